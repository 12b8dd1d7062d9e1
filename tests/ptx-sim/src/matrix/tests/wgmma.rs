//! `wgmma.mma_async` against three loops, and operands laid out as kernels and tensor maps lay them out.

use crate::matrix::descriptor::Major;
use crate::matrix::descriptor::MatrixDescriptor;
use crate::matrix::swizzle::Swizzle;
use crate::matrix::wgmma::M;
use crate::matrix::wgmma::Qualifiers;
use crate::matrix::wgmma::Scales;
use crate::matrix::wgmma::SourceA;
use crate::matrix::wgmma::WarpgroupRegister;
use crate::matrix::wgmma::Wgmma;
use crate::numeric::Unsupported;
use crate::numeric::tests::exact;
use crate::numeric::tests::random::Random;
use crate::types::Type;
use crate::types::Type::*;

const PLAIN: Scales = Scales { accumulate: true, negate_a: false, negate_b: false };

/// An element: its code and what it is worth.
#[derive(Clone, Copy)]
struct Element {
    code: u32,
    value: f64,
}

/// An element whose products sum up without rounding.
fn element(random: &mut Random, ty: Type) -> Element {
    let bits = random.bits() as u32;
    let float = |code: u32, layout: exact::Layout| {
        let (negative, significand, exponent) = layout.parts(code.into());
        let magnitude = significand as f64 * 2f64.powi(exponent);
        Element { code, value: if negative { -magnitude } else { magnitude } }
    };
    let small = f32::from((bits % 65) as i8 - 32) / 4.0;
    match ty {
        F16 => Element { code: half::f16::from_f32(small).to_bits().into(), value: small.into() },
        Bf16 => Element { code: half::bf16::from_f32(small).to_bits().into(), value: small.into() },
        Tf32 => Element { code: small.to_bits() | bits >> 19, value: small.into() },
        E4m3 => float(bits & 0x87 | (5 + bits / 256 % 5) << 3, exact::E4M3),
        E5m2 => float(bits & 0x83 | (13 + bits / 256 % 5) << 2, exact::E5M2),
        S8 => Element { code: bits & 0xff, value: f64::from(bits as i8) },
        _ => Element { code: bits & 0xff, value: f64::from(bits as u8) },
    }
}

/// `[row of A or column of B][k]`.
type Matrix = Vec<Vec<Element>>;

fn matrix(random: &mut Random, ty: Type, extent: usize, k: usize) -> Matrix {
    (0..extent).map(|_| (0..k).map(|_| element(random, ty)).collect()).collect()
}

fn store(memory: &mut [u8], address: usize, code: u32, bytes: usize) {
    memory[address..address + bytes].copy_from_slice(&code.to_le_bytes()[..bytes]);
}

fn reader(memory: &[u8]) -> impl FnMut(u32) -> Result<[u8; 16], Unsupported> {
    |address| {
        assert_eq!(address % 16, 0);
        Ok(std::array::from_fn(|byte| memory[address as usize + byte]))
    }
}

/// Core matrices of 8 rows of 16 bytes, one after the other along K, then along the rows.
fn store_unswizzled(memory: &mut [u8], start: usize, matrix: &Matrix, bytes: usize) -> MatrixDescriptor {
    for (mn, row) in matrix.iter().enumerate() {
        for (byte, element) in (0..).step_by(bytes).zip(row) {
            let address = start + mn / 8 * 256 + byte / 16 * 128 + mn % 8 * 16 + byte % 16;
            store(memory, address, element.code, bytes);
        }
    }
    MatrixDescriptor { start: start as u32, leading: 128, stride: 256, base_offset: 0, swizzle: Swizzle::None }
}

/// A in registers, by the ISA's formula: `T` elements a register, registers in the order of `m16n8k16`.
fn registers_of_a(a: &Matrix, bytes: usize) -> Vec<WarpgroupRegister> {
    let per_register = 4 / bytes;
    let word = |register: usize, warp: usize, lane: usize| {
        let row = 16 * warp + lane / 4 + 8 * (register % 2);
        let k = per_register * (lane % 4) + 4 * per_register * (register / 2);
        (0..per_register).fold(0, |word, part| word | a[row][k + part].code << (8 * bytes * part))
    };
    (0..4).map(|r| std::array::from_fn(|warp| std::array::from_fn(|lane| word(r, warp, lane)))).collect()
}

/// The accumulators by the ISA's formula, from a function of row and column to a code.
fn accumulators(d: Type, n: usize, code: impl Fn(usize, usize) -> u32) -> Vec<WarpgroupRegister> {
    let packed = if d == F16 { 2 } else { 1 };
    let mut registers = vec![[[0; 32]; 4]; n / 2 / packed];
    for (index, warp, lane) in (0..n / 2).flat_map(|i| (0..4).flat_map(move |w| (0..32).map(move |l| (i, w, l)))) {
        let row = 16 * warp + lane / 4 + if index % 4 < 2 { 0 } else { 8 };
        let column = index / 4 * 8 + lane % 4 * 2 + (index & 1);
        registers[index / packed][warp][lane] |= code(row, column) << (16 * (index % packed));
    }
    registers
}

fn code_of(d: Type, value: f64) -> u32 {
    match d {
        F32 => (value as f32).to_bits(),
        F16 => half::f16::from_f64(value).to_bits().into(),
        _ => value as i64 as u32,
    }
}

fn dot(a: &[Element], b: &[Element]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.value * b.value).sum()
}

fn kinds() -> Vec<(Type, Type, Type, usize)> {
    let mut kinds = vec![(F16, F16, F32, 16), (F16, F16, F16, 16), (Bf16, Bf16, F32, 16), (Tf32, Tf32, F32, 8)];
    for (a, b) in [(E4m3, E4m3), (E4m3, E5m2), (E5m2, E4m3), (E5m2, E5m2)] {
        kinds.extend([(a, b, F32, 32), (a, b, F16, 32)]);
    }
    kinds.extend([(S8, S8), (S8, U8), (U8, S8), (U8, U8)].map(|(a, b)| (a, b, S32, 32)));
    kinds
}

#[test]
fn products_are_those_of_three_loops() {
    let mut random = Random(10);
    for (a_type, b_type, d, k) in kinds() {
        for n in [8, 24, 256] {
            let q = Qualifiers { n, k, d, a: a_type, b: b_type, satfinite: false };
            let wgmma = Wgmma::new(q).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(wgmma.multiply_accumulates(), (M * n * k) as u64);
            let bytes = 32 / k;
            let (a, b) = (matrix(&mut random, a_type, M, k), matrix(&mut random, b_type, n, k));
            let mut memory = vec![0; 65536];
            let a_in_memory = store_unswizzled(&mut memory, 4096, &a, bytes);
            let b_in_memory = store_unswizzled(&mut memory, 16384, &b, bytes);
            let in_registers = registers_of_a(&a, bytes);
            let start = |row: usize, column: usize| (row as f64 - 30.0) * if d == F16 { 1.0 } else { column as f64 };
            for (accumulate, negate) in [(true, false), (false, false), (true, true)] {
                if negate && d == S32 {
                    continue;
                }
                let scales = Scales { accumulate, negate_a: negate, negate_b: false };
                let want = accumulators(d, n, |row, column| {
                    let sign = if negate { -1.0 } else { 1.0 };
                    let c = if accumulate { start(row, column) } else { 0.0 };
                    code_of(d, c + sign * dot(&a[row], &b[column]))
                });
                for source in [SourceA::Registers(&in_registers), SourceA::Shared(a_in_memory, Major::K)] {
                    let mut got = accumulators(d, n, |row, column| code_of(d, start(row, column)));
                    assert_eq!(got.len(), wgmma.registers_d());
                    wgmma
                        .execute(scales, source, (b_in_memory, Major::K), &mut got, reader(&memory))
                        .unwrap_or_else(|error| panic!("{error}"));
                    assert!(got == want, "{q:?} {scales:?} {source:?}");
                }
            }
        }
    }
}

/// Row `row` of a tile whose rows are 128 bytes, as a tensor map with the 128-byte swizzle stores it from `start`, where
/// the swizzle's pattern begins.
fn swizzled_128(start: usize, row: usize, byte: usize) -> usize {
    start + 128 * row + 16 * ((byte / 16) ^ (row % 8)) + byte % 16
}

#[test]
fn tiles_of_64_k_swizzled_by_128_bytes() {
    // As kernels do it: tiles of 64 k, one descriptor, 32 bytes further for each step of 16 k.
    let mut random = Random(11);
    let n = 48;
    let wgmma = Wgmma::new(Qualifiers { n, k: 16, d: F32, a: F16, b: F16, satfinite: false }).unwrap();
    let (a, b) = (matrix(&mut random, F16, M, 64), matrix(&mut random, F16, n, 64));
    // The second pattern does not start at a multiple of 1024 bytes, which the base offset says.
    for (start_a, start_b, base_offset) in [(0, 8192, 0), (0x180, 0x4180, 3)] {
        let mut memory = vec![0; 32768];
        for (start, tile) in [(start_a, &a), (start_b, &b)] {
            for (row, elements) in tile.iter().enumerate() {
                for (k, element) in elements.iter().enumerate() {
                    store(&mut memory, swizzled_128(start, row, 2 * k), element.code, 2);
                }
            }
        }
        let descriptor = |start: usize, step: usize| MatrixDescriptor {
            start: (start + 32 * step) as u32,
            leading: 16,
            stride: 1024,
            base_offset,
            swizzle: Swizzle::Bytes128,
        };
        let mut d = accumulators(F32, n, |_, _| 0);
        for step in 0..4 {
            let source = SourceA::Shared(descriptor(start_a, step), Major::K);
            let scales = Scales { accumulate: step > 0, ..PLAIN };
            wgmma.execute(scales, source, (descriptor(start_b, step), Major::K), &mut d, reader(&memory)).unwrap();
        }
        let want = accumulators(F32, n, |row, column| code_of(F32, dot(&a[row], &b[column])));
        assert!(d == want, "base offset {base_offset}");
    }
}

#[test]
fn operands_with_m_and_n_contiguous() {
    // Both operands come as rows of k, each with 64 elements of M or N in 128 bytes; N = 128 takes two such tiles.
    let mut random = Random(12);
    let (n, depth) = (128, 32);
    let wgmma = Wgmma::new(Qualifiers { n, k: 16, d: F32, a: Bf16, b: Bf16, satfinite: false }).unwrap();
    let (a, b) = (matrix(&mut random, Bf16, M, depth), matrix(&mut random, Bf16, n, depth));
    let mut memory = vec![0; 32768];
    let tile_bytes = 128 * depth;
    for (start, operand) in [(0, &a), (8192, &b)] {
        for (mn, elements) in operand.iter().enumerate() {
            for (k, element) in elements.iter().enumerate() {
                let tile = start + mn / 64 * tile_bytes;
                store(&mut memory, swizzled_128(tile, k, 2 * (mn % 64)), element.code, 2);
            }
        }
    }
    let descriptor = |start: usize, step: usize| MatrixDescriptor {
        start: (start + 16 * 128 * step) as u32,
        leading: tile_bytes as u32,
        stride: 1024,
        base_offset: 0,
        swizzle: Swizzle::Bytes128,
    };
    let mut d = accumulators(F32, n, |_, _| 0);
    for step in 0..2 {
        let source = SourceA::Shared(descriptor(0, step), Major::Mn);
        wgmma.execute(PLAIN, source, (descriptor(8192, step), Major::Mn), &mut d, reader(&memory)).unwrap();
    }
    let want = accumulators(F32, n, |row, column| code_of(F32, dot(&a[row], &b[column])));
    assert!(d == want);
}

#[test]
fn positions_cover_the_matrices_once() {
    for (a, b, d, k) in kinds() {
        let wgmma = Wgmma::new(Qualifiers { n: 40 + 8 * (k / 32), k, d, a, b, satfinite: false }).unwrap();
        let n = 40 + 8 * (k / 32);
        let lanes = || (0..4).flat_map(|warp| (0..32).map(move |lane| (warp, lane)));
        let of_a: std::collections::HashSet<_> =
            lanes().flat_map(|(w, l)| (0..k / 2).map(move |i| wgmma.position_a(w, l, i))).collect();
        assert!(of_a.len() == M * k && of_a.iter().all(|&(row, column)| row < M && column < k));
        let of_d: std::collections::HashSet<_> =
            lanes().flat_map(|(w, l)| (0..n / 2).map(move |i| wgmma.position_d(w, l, i))).collect();
        assert!(of_d.len() == M * n && of_d.iter().all(|&(row, column)| row < M && column < n));
        // Warp 3, lane 31: the last rows, and within a pair of columns the last.
        assert_eq!(wgmma.position_d(3, 31, n / 2 - 1), (63, n - 1));
        assert_eq!(wgmma.position_d(1, 4, 6), (25, 8));
    }
}

#[test]
fn integers_saturate_on_demand() {
    for (satfinite, want) in [(true, i32::MAX as u32), (false, (i32::MAX as u32).wrapping_add(32 * 127 * 127))] {
        let wgmma = Wgmma::new(Qualifiers { n: 8, k: 32, d: S32, a: S8, b: S8, satfinite }).unwrap();
        let a = vec![[[0x7f7f_7f7f; 32]; 4]; 4];
        let b = MatrixDescriptor { start: 0, leading: 128, stride: 256, base_offset: 0, swizzle: Swizzle::None };
        let mut d = vec![[[i32::MAX as u32; 32]; 4]; 4];
        let read = |_| Ok::<_, Unsupported>([0x7f; 16]);
        wgmma.execute(PLAIN, SourceA::Registers(&a), (b, Major::K), &mut d, read).unwrap();
        assert!(d.iter().flatten().flatten().all(|&word| word == want));
    }
}

#[test]
fn failing_reads_leave_the_accumulators() {
    let wgmma = Wgmma::new(Qualifiers { n: 8, k: 16, d: F32, a: F16, b: F16, satfinite: false }).unwrap();
    let descriptor = MatrixDescriptor { start: 0, leading: 128, stride: 256, base_offset: 0, swizzle: Swizzle::None };
    let mut d = vec![[[7; 32]; 4]; 4];
    let mut reads = 0;
    let read = |_| {
        reads += 1;
        if reads < 140 { Ok([0; 16]) } else { Err(Unsupported::new("no such address".into())) }
    };
    let scales = Scales { accumulate: false, ..PLAIN };
    let source = SourceA::Shared(descriptor, Major::K);
    assert!(wgmma.execute(scales, source, (descriptor, Major::K), &mut d, read).is_err());
    assert!(d.iter().flatten().flatten().all(|&word| word == 7));
    assert_eq!(reads, 140, "128 blocks of A, then those of B");
}

#[test]
fn what_the_isa_does_not_have_is_refused() {
    let good = Qualifiers { n: 64, k: 16, d: F32, a: F16, b: F16, satfinite: false };
    let bytes = Qualifiers { n: 64, k: 32, d: S32, a: S8, b: U8, satfinite: true };
    let bad = [
        Qualifiers { n: 4, ..good },
        Qualifiers { n: 12, ..good },
        Qualifiers { n: 264, ..good },
        Qualifiers { n: 0, ..good },
        Qualifiers { k: 8, ..good },
        Qualifiers { b: Bf16, ..good },
        Qualifiers { satfinite: true, ..good },
        Qualifiers { a: Bf16, b: Bf16, d: F16, ..good },
        Qualifiers { n: 40, ..bytes },
        Qualifiers { d: F32, ..bytes },
    ];
    for q in bad {
        assert!(Wgmma::new(q).is_err(), "{q:?}");
    }
    let descriptor = MatrixDescriptor { start: 0, leading: 128, stride: 256, base_offset: 0, swizzle: Swizzle::None };
    let wgmma = Wgmma::new(bytes).unwrap();
    let a = vec![[[0; 32]; 4]; 4];
    let run = |scales, a: SourceA<'_>, major, registers| {
        let mut d = vec![[[0; 32]; 4]; registers];
        wgmma.execute(scales, a, (descriptor, major), &mut d, |_| Ok::<_, Unsupported>([0; 16]))
    };
    let from_registers = SourceA::Registers(&a);
    assert!(run(PLAIN, from_registers, Major::K, 32).is_ok());
    assert!(run(PLAIN, from_registers, Major::K, 31).is_err());
    assert!(run(PLAIN, SourceA::Registers(&a[..2]), Major::K, 32).is_err());
    assert!(run(PLAIN, from_registers, Major::Mn, 32).is_err());
    assert!(run(PLAIN, SourceA::Shared(descriptor, Major::Mn), Major::K, 32).is_err());
    assert!(run(Scales { negate_b: true, ..PLAIN }, from_registers, Major::K, 32).is_err());
}
