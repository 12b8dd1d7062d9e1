//! `mma.sync` against three loops over matrices that are laid out by the ISA's formulas.

use crate::matrix::WarpRegister;
use crate::matrix::fragments::Operand;
use crate::matrix::mma::Mma;
use crate::matrix::mma::Qualifiers;
use crate::matrix::tests::isa::Position;
use crate::matrix::tests::isa::instructions;
use crate::numeric::tests::exact;
use crate::numeric::tests::exact::Exact;
use crate::numeric::tests::exact::Layout;
use crate::numeric::tests::random::Random;
use crate::types::Rounding;
use crate::types::Type;
use crate::types::Type::*;

/// Bits of an element.
fn width(ty: Type) -> usize {
    match ty {
        S4 | U4 => 4,
        S8 | U8 | E4m3 | E5m2 => 8,
        F16 | Bf16 => 16,
        F64 => 64,
        _ => 32,
    }
}

fn layout(ty: Type) -> Layout {
    match ty {
        F16 => exact::F16,
        Bf16 => exact::BF16,
        E4m3 => exact::E4M3,
        E5m2 => exact::E5M2,
        F64 => exact::F64,
        _ => exact::F32,
    }
}

/// A matrix of codes: `[row][column]`.
type Codes = Vec<Vec<u64>>;

fn random_codes(random: &mut Random, ty: Type, rows: usize, columns: usize) -> Codes {
    let code = |random: &mut Random| {
        let bits = random.bits();
        match ty {
            // Within 2^-6 and 2^6, so that the sums of exact products fit an f64: then truncation is exact too.
            F16 => bits & 0x83ff | (9 + random.below(13)) << 10,
            Bf16 => bits & 0x807f | (121 + random.below(13)) << 7,
            Tf32 | F32 => bits & 0x807f_ffff | (121 + random.below(13)) << 23,
            F64 => bits & (1 << 63 | 0xf_ffff_ffff_ffff) | (1017 + random.below(13)) << 52,
            E4m3 if bits & 0x7f == 0x7f => 0,
            E5m2 => bits & 0x83 | random.below(31) << 2,
            _ => bits & (u64::MAX >> (64 - width(ty))),
        }
    };
    (0..rows).map(|_| (0..columns).map(|_| code(random)).collect()).collect()
}

/// Packs codes into registers: element `i` of a lane lies `i * width` bits from the start of its registers.
fn pack(codes: &Codes, ty: Type, (elements, position): (usize, Position)) -> Vec<WarpRegister> {
    let mut registers = vec![[0u32; 32]; (elements * width(ty)).div_ceil(32)];
    for (lane, index) in (0..32).flat_map(|lane| (0..elements).map(move |index| (lane, index))) {
        let (row, column) = position(lane >> 2, lane % 4, index);
        for bit in 0..width(ty) {
            let place = index * width(ty) + bit;
            registers[place / 32][lane] |= ((codes[row][column] >> bit & 1) as u32) << (place % 32);
        }
    }
    registers
}

fn integer(ty: Type, code: u64) -> i64 {
    match ty {
        S4 => ((code << 60) as i64) >> 60,
        S8 => i64::from(code as i8),
        S32 => i64::from(code as i32),
        _ => code as i64,
    }
}

/// A code as the instruction reads it: a `tf32` has no low bits.
fn operand(ty: Type, code: u64) -> u64 {
    if ty == Tf32 { code & !0x1fff } else { code }
}

/// Row `row` of A times column `column` of B, plus C, as the code of the result.
fn expected(q: &Qualifiers, a: &[u64], column_of_b: &[u64], c: u64) -> u64 {
    let pairs = a.iter().zip(column_of_b);
    match q.d {
        S32 => {
            let sum = pairs.fold(integer(S32, c), |sum, (&x, &y)| sum + integer(q.a, x) * integer(q.b, y));
            let sum = if q.satfinite { sum.clamp(i32::MIN.into(), i32::MAX.into()) } else { sum };
            u64::from(sum as u32)
        }
        F64 => {
            pairs.fold(f64::from_bits(c), |sum, (&x, &y)| f64::from_bits(x).mul_add(f64::from_bits(y), sum)).to_bits()
        }
        _ => {
            let start = layout(q.d).value(c);
            let sum = pairs.fold(start, |sum, (&x, &y)| {
                let (x, y) = (layout(q.a).parts(operand(q.a, x)), layout(q.b).parts(operand(q.b, y)));
                sum.plus(&Exact::new(x.0 != y.0, u128::from(x.1) * u128::from(y.1), x.2 + y.2))
            });
            let rounding = if q.d == F32 { Rounding::Zero } else { Rounding::NearestEven };
            if sum.is_zero() { 0 } else { layout(q.d).round(&sum, rounding) }
        }
    }
}

#[test]
fn products_are_those_of_three_loops() {
    let mut random = Random(9);
    let mut all = instructions();
    let saturating = all.iter().filter(|(q, _)| q.d == S32).map(|&(q, s)| (Qualifiers { satfinite: true, ..q }, s));
    all.extend(saturating.collect::<Vec<_>>());
    for (q, section) in all {
        let mma = Mma::new(q).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(mma.multiply_accumulates(), (q.m * q.n * q.k) as u64);
        for _ in 0..3 {
            let a = random_codes(&mut random, q.a, q.m, q.k);
            let b = random_codes(&mut random, q.b, q.k, q.n);
            let c = random_codes(&mut random, q.d, q.m, q.n);
            let d = mma
                .execute(&pack(&a, q.a, section.a), &pack(&b, q.b, section.b), &pack(&c, q.d, section.c))
                .unwrap_or_else(|error| panic!("{error}"));
            let want: Codes = (0..q.m)
                .map(|row| {
                    let column_of_b = |column: usize| b.iter().map(|row| row[column]).collect::<Vec<_>>();
                    (0..q.n).map(|column| expected(&q, &a[row], &column_of_b(column), c[row][column])).collect()
                })
                .collect();
            assert_eq!(d, pack(&want, q.d, section.c), "{q:?}");
        }
    }
}

#[test]
fn registers_per_operand_are_those_of_the_isa() {
    let cases = [
        ((16, 16, F16, F32), (4, 2, 4)),
        ((16, 16, F16, F16), (4, 2, 2)),
        ((16, 8, Bf16, F32), (2, 1, 4)),
        ((16, 8, Tf32, F32), (4, 2, 4)),
        ((16, 4, Tf32, F32), (2, 1, 4)),
        ((8, 16, S8, S32), (1, 1, 2)),
        ((16, 32, U8, S32), (4, 2, 4)),
        ((16, 64, S4, S32), (4, 2, 4)),
        ((16, 32, E4m3, F32), (4, 2, 4)),
        // Doubles take two 32-bit registers.
        ((8, 4, F64, F64), (2, 2, 4)),
    ];
    for ((m, k, ty, d), (a, b, c)) in cases {
        let q = Qualifiers { m, n: 8, k, d, a: ty, b: ty, c: d, satfinite: false };
        let mma = Mma::new(q).unwrap();
        let counts = [Operand::A, Operand::B, Operand::Accumulator].map(|operand| mma.registers(operand));
        assert_eq!(counts, [a, b, c], "{q:?}");
    }
}

/// An instruction whose every element of A is `a`, of B `b`, of C `c`: the registers hold copies of a word.
fn uniform(m: usize, k: usize, ty: Type, d: Type, [a, b, c]: [u32; 3], satfinite: bool) -> u32 {
    let mma = Mma::new(Qualifiers { m, n: 8, k, d, a: ty, b: ty, c: d, satfinite }).unwrap();
    let fill = |operand, word| vec![[word; 32]; mma.registers(operand)];
    let result = mma.execute(&fill(Operand::A, a), &fill(Operand::B, b), &fill(Operand::Accumulator, c)).unwrap();
    assert!(result.iter().flatten().all(|&word| word == result[0][0]));
    result[0][0]
}

#[test]
fn extremes_of_integers_saturate_or_wrap() {
    let max = i32::MAX as u32;
    assert_eq!(uniform(16, 32, U8, S32, [!0, !0, 0], false), 32 * 255 * 255);
    assert_eq!(uniform(16, 32, S8, S32, [0x8080_8080, 0x8080_8080, 0], false), 32 << 14);
    assert_eq!(uniform(16, 64, U4, S32, [!0, !0, 0], false), 64 * 225);
    assert_eq!(uniform(16, 64, S4, S32, [0x8888_8888, 0x7777_7777, 0], false), (-64i32 * 56) as u32);
    assert_eq!(uniform(16, 32, U8, S32, [!0, !0, max], true), max);
    assert_eq!(uniform(16, 32, U8, S32, [!0, !0, max], false), max.wrapping_add(32 * 255 * 255));
    assert_eq!(uniform(8, 16, S8, S32, [0x8080_8080, 0x7f7f_7f7f, 0x8000_0000], true), 0x8000_0000);
}

#[test]
fn special_values_of_floats() {
    let (one, inf, nan) = (0x3c00_3c00, 0x7c00_7c00, 0x7e01_7e01);
    let f32_bits = |x: f32| x.to_bits();
    assert_eq!(uniform(16, 16, F16, F32, [one, one, f32_bits(0.5)], false), f32_bits(16.5));
    assert_eq!(uniform(16, 16, F16, F32, [inf, one, 0], false), f32_bits(f32::INFINITY));
    assert_eq!(uniform(16, 16, F16, F32, [inf, one, f32_bits(f32::NEG_INFINITY)], false), 0x7fff_ffff);
    assert_eq!(uniform(16, 16, F16, F32, [nan, one, 0], false), 0x7fff_ffff);
    assert_eq!(uniform(16, 16, F16, F16, [nan, one, 0], false), 0x7fff_7fff);
    assert_eq!(uniform(16, 16, F16, F16, [0x7bff_7bff, one, 0], false), inf, "16 * 65504");
    // 2^-24 squared, 16 times: far below f16, and counted in full.
    assert_eq!(uniform(16, 16, F16, F32, [0x0001_0001, 0x0001_0001, 0], false), f32_bits(2f32.powi(-44)));
    // 8 * 2^254 overflows.
    assert_eq!(uniform(16, 8, Bf16, F32, [0x7f00_7f00, 0x7f00_7f00, 0], false), f32_bits(f32::INFINITY));
    // 1 + 8 * 1.75 * 2^-27 is 7/8 of the way to the next number: cut, not rounded.
    assert_eq!(uniform(16, 8, Bf16, F32, [0x3fe0_3fe0, 0x3200_3200, f32_bits(1.0)], false), f32_bits(1.0));
    assert_eq!(uniform(16, 8, Tf32, F32, [f32_bits(1.0) | 0x1fff, f32_bits(1.0), 0], false), f32_bits(8.0));
    assert_eq!(uniform(16, 32, E4m3, F32, [0x7f38_3838, 0x3838_3838, 0], false), 0x7fff_ffff);
}

#[test]
fn the_bound_holds_here_and_excludes_a_lost_product() {
    let mma = Mma::new(Qualifiers { m: 16, n: 8, k: 16, d: F32, a: F16, b: F16, c: F32, satfinite: false }).unwrap();
    // All products are 1: one of 16 is lost if the bound is above 1.
    assert!(mma.error_bound(16.0) < 1e-3 && mma.error_bound(16.0) >= 16.0 * 2f64.powi(-23));
    let half = Mma::new(Qualifiers { m: 16, n: 8, k: 16, d: F16, a: F16, b: F16, c: F16, satfinite: false }).unwrap();
    assert!(half.error_bound(16.0) < 0.1 && half.error_bound(0.0) >= 2f64.powi(-25));
}

#[test]
fn what_the_isa_does_not_have_is_refused() {
    let good = Qualifiers { m: 16, n: 8, k: 16, d: F32, a: F16, b: F16, c: F32, satfinite: false };
    let bad = [
        Qualifiers { m: 8, k: 4, ..good },
        Qualifiers { n: 16, ..good },
        Qualifiers { k: 32, ..good },
        Qualifiers { b: Bf16, ..good },
        Qualifiers { a: Bf16, b: Bf16, d: F16, c: F16, ..good },
        Qualifiers { c: F16, ..good },
        Qualifiers { satfinite: true, ..good },
        Qualifiers { a: S8, b: S8, ..good },
        Qualifiers { a: S8, b: S4, d: S32, c: S32, k: 32, ..good },
        Qualifiers { a: Tf32, b: Tf32, ..good },
    ];
    for q in bad {
        assert!(Mma::new(q).is_err(), "{q:?}");
    }
    let mma = Mma::new(good).unwrap();
    let registers = |count| vec![[0u32; 32]; count];
    assert!(mma.execute(&registers(4), &registers(2), &registers(4)).is_ok());
    assert!(mma.execute(&registers(2), &registers(2), &registers(4)).is_err());
    assert!(mma.execute(&registers(4), &registers(2), &registers(2)).is_err());
}
