//! `cvt`.

use crate::numeric::ConvertModifiers;
use crate::numeric::convert;
use crate::numeric::convert_pair;
use crate::numeric::float8::e4m3_to_f32;
use crate::numeric::float8::e5m2_to_f32;
use crate::numeric::float16::bf16_to_f32;
use crate::numeric::float16::f16_to_f32;
use crate::numeric::tests::exact::BF16;
use crate::numeric::tests::exact::E4M3;
use crate::numeric::tests::exact::E5M2;
use crate::numeric::tests::exact::Exact;
use crate::numeric::tests::exact::F16;
use crate::numeric::tests::exact::F32;
use crate::numeric::tests::exact::F64;
use crate::numeric::tests::exact::Layout;
use crate::numeric::tests::exact::TF32;
use crate::numeric::tests::random::Random;
use crate::types::Rounding;
use crate::types::Type;

const NONE: ConvertModifiers =
    ConvertModifiers { ftz: false, sat: false, satfinite: false, relu: false, integral: false };
const NEAREST: Option<Rounding> = Some(Rounding::NearestEven);
const DIRECTIONS: [Rounding; 4] = [Rounding::NearestEven, Rounding::Zero, Rounding::Down, Rounding::Up];

fn cvt(bits: u64, to: Type, from: Type, rounding: Option<Rounding>, modifiers: ConvertModifiers) -> u64 {
    convert(bits, to, from, rounding, modifiers).unwrap_or_else(|error| panic!("{error}"))
}

/// The expected code of a finite operand.
fn expected(from: Layout, to: Layout, bits: u64, rounding: Rounding) -> u64 {
    let value = from.value(bits);
    match value.is_zero() {
        true if from.is_negative(bits) => to.sign_bit(),
        true => 0,
        false => to.round(&value, rounding),
    }
}

#[test]
fn every_16_bit_number_widens_exactly_and_comes_back() {
    for bits in 0..=u16::MAX {
        let word = u64::from(bits);
        for (ty, layout, widened, oracle) in [
            (Type::F16, F16, f16_to_f32(bits), half::f16::from_bits(bits).to_f32()),
            (Type::Bf16, BF16, bf16_to_f32(bits), half::bf16::from_bits(bits).to_f32()),
        ] {
            let converted = cvt(word, Type::F32, ty, None, NONE);
            if oracle.is_nan() {
                assert!(widened.is_nan(), "{ty:?} {bits:#x}");
                assert_eq!(converted, 0x7fff_ffff, "{ty:?} {bits:#x}");
                assert_eq!(cvt(converted, ty, Type::F32, NEAREST, NONE), 0x7fff, "{ty:?} {bits:#x}");
                continue;
            }
            assert_eq!(widened.to_bits(), oracle.to_bits(), "{ty:?} {bits:#x}");
            assert_eq!(converted, u64::from(oracle.to_bits()), "{ty:?} {bits:#x}");
            for rounding in DIRECTIONS {
                assert_eq!(cvt(converted, ty, Type::F32, Some(rounding), NONE), word, "{ty:?} {bits:#x} {rounding:?}");
            }
            let through_f64 = cvt(word, Type::F64, ty, None, NONE);
            assert_eq!(f64::from_bits(through_f64), f64::from(oracle), "{ty:?} {bits:#x}");
            assert!(layout.is_finite(word) || oracle.is_infinite());
        }
    }
}

#[test]
fn every_8_bit_number_unpacks_to_its_value() {
    for code in 0..=u8::MAX {
        let word = u64::from(code);
        for (ty, layout, value) in [(Type::E4m3x2, E4M3, e4m3_to_f32(code)), (Type::E5m2x2, E5M2, e5m2_to_f32(code))] {
            let pair = cvt(word << 8 | 0x38, Type::F16x2, ty, NEAREST, NONE);
            let half = pair >> 16;
            assert_eq!(pair & 0xffff, if ty == Type::E4m3x2 { 0x3c00 } else { 0x3800 }, "0x38 in the low half");
            assert_eq!(
                cvt(half, Type::F32, Type::F16, None, NONE),
                match value.is_nan() {
                    true => 0x7fff_ffff,
                    false => u64::from(value.to_bits()),
                }
            );
            if layout.is_finite(word) {
                assert_eq!(F32.value(value.to_bits().into()), layout.value(word), "{ty:?} {code:#x}");
                assert_eq!(value.is_sign_negative(), code >= 0x80);
            } else if ty == Type::E5m2x2 && code & 0x7f == 0x7c {
                assert!(value.is_infinite());
            } else {
                assert!(value.is_nan());
                assert_eq!(half, 0x7fff);
            }
        }
    }
}

#[test]
fn every_f16_rounds_to_the_nearest_8_bit_number() {
    let satfinite = ConvertModifiers { satfinite: true, ..NONE };
    for bits in 0..=0xffffu64 {
        for (ty, layout, max) in [(Type::E4m3x2, E4M3, 0x7e), (Type::E5m2x2, E5M2, 0x7b)] {
            let sign = (bits >> 8) & 0x80;
            let want = match bits & 0x7fff {
                0x7c00 => sign | max,
                0x7c01.. => 0x7f,
                _ => match expected(F16, layout, bits, Rounding::NearestEven) {
                    code if layout.is_finite(code) => code,
                    _ => sign | max,
                },
            };
            let pair = cvt(bits << 16 | 0x3c00, ty, Type::F16x2, NEAREST, satfinite);
            let one = if ty == Type::E4m3x2 { 0x38 } else { 0x3c };
            assert_eq!(pair, want << 8 | one, "{ty:?} {bits:#x}");
            let relu = ConvertModifiers { relu: true, ..satfinite };
            let want = if want & 0x80 != 0 { 0 } else { want };
            assert_eq!(cvt(bits << 16, ty, Type::F16x2, NEAREST, relu), want << 8, "relu {ty:?} {bits:#x}");
        }
    }
}

#[test]
fn f32_and_f64_round_as_defined() {
    let mut random = Random(1);
    for _ in 0..10_000 {
        let bits = random.float(8, 23);
        if !F32.is_finite(bits) {
            continue;
        }
        for rounding in [Rounding::NearestEven, Rounding::Zero, Rounding::Down, Rounding::Up] {
            for (ty, layout) in [(Type::F16, F16), (Type::Bf16, BF16)] {
                let want = expected(F32, layout, bits, rounding);
                assert_eq!(cvt(bits, ty, Type::F32, Some(rounding), NONE), want, "{ty:?} {bits:#x} {rounding:?}");
            }
            let double = f64::from_bits(random.bits() & !(0x7ff << 52) | (1023 - 170 + random.below(310)) << 52);
            let want = F32.round(&F64.value(double.to_bits()), rounding);
            assert_eq!(
                cvt(double.to_bits(), Type::F32, Type::F64, Some(rounding), NONE),
                want,
                "{double} {rounding:?}"
            );
        }
        for rounding in [Rounding::NearestEven, Rounding::NearestAway, Rounding::Zero] {
            let want = expected(F32, TF32, bits, rounding) << 13;
            assert_eq!(cvt(bits, Type::Tf32, Type::F32, Some(rounding), NONE), want, "tf32 {bits:#x} {rounding:?}");
        }
        let satfinite = ConvertModifiers { satfinite: true, ..NONE };
        for (ty, layout, max) in [(Type::E4m3x2, E4M3, 0x7e), (Type::E5m2x2, E5M2, 0x7b)] {
            let code = expected(F32, layout, bits, Rounding::NearestEven);
            let want = if layout.is_finite(code) { code } else { code & 0x80 | max };
            let pair = convert_pair(bits, 0, ty, Type::F32, NEAREST, satfinite).unwrap();
            assert_eq!(pair, want << 8, "{ty:?} {bits:#x}");
        }
    }
}

#[test]
fn pairs_have_the_first_operand_high() {
    let [one, two] = [1f32, 2.0].map(|x| u64::from(x.to_bits()));
    let pair = |to| convert_pair(one, two, to, Type::F32, NEAREST, NONE).unwrap();
    assert_eq!(pair(Type::F16x2), 0x3c00_4000);
    assert_eq!(pair(Type::Bf16x2), 0x3f80_4000);
    let satfinite = ConvertModifiers { satfinite: true, ..NONE };
    assert_eq!(convert_pair(one, two, Type::E4m3x2, Type::F32, NEAREST, satfinite).unwrap(), 0x3840);
    assert_eq!(convert_pair(one, two, Type::E5m2x2, Type::F32, NEAREST, satfinite).unwrap(), 0x3c40);
}

#[test]
fn special_values_and_modifiers() {
    let f32_bits = |x: f32| u64::from(x.to_bits());
    let satfinite = ConvertModifiers { satfinite: true, ..NONE };
    let relu = ConvertModifiers { relu: true, ..NONE };
    let sat = ConvertModifiers { sat: true, ..NONE };
    let ftz = ConvertModifiers { ftz: true, ..NONE };
    let to = |ty, x, modifiers| cvt(f32_bits(x), ty, Type::F32, NEAREST, modifiers);
    assert_eq!(to(Type::F16, 1e6, NONE), 0x7c00);
    assert_eq!(to(Type::F16, 1e6, satfinite), 0x7bff);
    assert_eq!(to(Type::F16, f32::NEG_INFINITY, satfinite), 0xfbff);
    assert_eq!(to(Type::F16, 65519.996, NONE), 0x7bff, "just below the midpoint to 2^16");
    assert_eq!(to(Type::F16, 65520.0, NONE), 0x7c00, "the midpoint");
    assert_eq!(to(Type::F16, f32::NAN, satfinite), 0x7fff);
    assert_eq!(to(Type::Tf32, f32::NAN, NONE), 0x7fff_ffff);
    assert_eq!(to(Type::F16, -3.0, relu), 0);
    assert_eq!(to(Type::F16, -0.0, relu), 0);
    assert_eq!(to(Type::F16, f32::NAN, relu), 0x7fff);
    assert_eq!(to(Type::Bf16, 3.0, relu), 0x4040);
    for (x, want) in [(-1.0, 0.0), (-0.0, 0.0), (0.25, 0.25), (1.5, 1.0), (f32::INFINITY, 1.0), (f32::NAN, 0.0)] {
        assert_eq!(to(Type::F32, x, sat), f32_bits(want), "sat {x}");
        assert_eq!(to(Type::F32, x, ConvertModifiers { integral: true, ..sat }), f32_bits(want.round()), "rni sat {x}");
    }
    assert_eq!(cvt(0x8000_0001, Type::F32, Type::F32, None, ftz), 0x8000_0000);
    assert_eq!(cvt(1, Type::F64, Type::F32, None, ftz), 0);
    assert_eq!(cvt(2f64.powi(-130).to_bits(), Type::F32, Type::F64, NEAREST, ftz), 0, "a subnormal result");
    assert_eq!(cvt(1, Type::F32, Type::F16, None, ftz), f32_bits(2f32.powi(-24)), "f16 subnormals are f32 normals");
}

#[test]
fn floats_round_to_integral_values() {
    let integral = ConvertModifiers { integral: true, ..NONE };
    let mut random = Random(2);
    for _ in 0..50_000 {
        let x = f32::from_bits(random.float(8, 23) as u32);
        for (rounding, want) in [
            (Rounding::NearestEven, x.round_ties_even()),
            (Rounding::Zero, x.trunc()),
            (Rounding::Down, x.floor()),
            (Rounding::Up, x.ceil()),
        ] {
            let bits = cvt(x.to_bits().into(), Type::F32, Type::F32, Some(rounding), integral) as u32;
            assert!(bits == want.to_bits() || (want.is_nan() && bits == 0x7fff_ffff), "{x} {rounding:?}");
        }
    }
}

#[test]
fn floats_become_clamped_integers() {
    let mut random = Random(3);
    let ends = |ty| match ty {
        Type::U8 => (0, 0xff),
        Type::S8 => (-0x80, 0x7f),
        Type::U16 => (0, 0xffff),
        Type::S16 => (-0x8000, 0x7fff),
        Type::U32 => (0, i128::from(u32::MAX)),
        Type::S32 => (i32::MIN.into(), i32::MAX.into()),
        Type::U64 => (0, u64::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    };
    let types = [
        (Type::U8, 8),
        (Type::S8, 8),
        (Type::U16, 16),
        (Type::S16, 16),
        (Type::U32, 32),
        (Type::S32, 32),
        (Type::U64, 64),
        (Type::S64, 64),
    ];
    for _ in 0..6_000 {
        let near_an_end = (random.bits() as i64 >> random.below(64)) as f64 * 0.25;
        let x = if random.below(2) == 0 { near_an_end } else { f64::from(f32::from_bits(random.bits() as u32)) };
        let single = x as f32;
        for (ty, width) in types {
            for (from, bits, x) in
                [(Type::F64, x.to_bits(), x), (Type::F32, u64::from(single.to_bits()), f64::from(single))]
            {
                for (rounding, whole) in [
                    (Rounding::NearestEven, x.round_ties_even()),
                    (Rounding::Zero, x.trunc()),
                    (Rounding::Down, x.floor()),
                    (Rounding::Up, x.ceil()),
                ] {
                    let (min, max) = ends(ty);
                    // `as` clamps, and an i128 holds every f32 and the ends of each type.
                    let want = match x.is_nan() {
                        true if width == 64 || from == Type::F64 => 1 << (width - 1),
                        true => 0,
                        false => (whole as i128).clamp(min, max) as u64 & (u64::MAX >> (64 - width)),
                    };
                    assert_eq!(cvt(bits, ty, from, Some(rounding), NONE), want, "{ty:?} {from:?} {x} {rounding:?}");
                }
            }
        }
    }
    assert_eq!(cvt(0x7e00, Type::S32, Type::F16, NEAREST, NONE), 0, "NaN of f16");
    assert_eq!(cvt(0xfc00, Type::S16, Type::F16, NEAREST, NONE), 0x8000, "-infinity");
}

#[test]
fn integers_round_to_floats() {
    let mut random = Random(4);
    for _ in 0..6_000 {
        let bits = (random.bits() as i64 >> random.below(64)) as u64;
        for (from, value) in [
            (Type::S64, i128::from(bits as i64)),
            (Type::U64, i128::from(bits)),
            (Type::S32, i128::from(bits as i32)),
            (Type::U32, i128::from(bits as u32)),
            (Type::S8, i128::from(bits as i8)),
            (Type::U16, i128::from(bits as u16)),
        ] {
            for rounding in DIRECTIONS {
                for (to, layout) in [(Type::F32, F32), (Type::F16, F16), (Type::Bf16, BF16)] {
                    let want = match value {
                        0 => 0,
                        _ => layout.round(&Exact::new(value < 0, value.unsigned_abs(), 0), rounding),
                    };
                    assert_eq!(cvt(bits, to, from, Some(rounding), NONE), want, "{to:?} {from:?} {value} {rounding:?}");
                }
            }
            let double = f64::from_bits(cvt(bits, Type::F64, from, NEAREST, NONE));
            assert_eq!(double, value as f64, "{from:?} {value}");
        }
    }
}

#[test]
fn integers_extend_truncate_and_saturate() {
    let sat = ConvertModifiers { sat: true, ..NONE };
    let cases = [
        (0x80, Type::S32, Type::S8, NONE, 0xffff_ff80),
        (0xff80, Type::U32, Type::U8, NONE, 0x80),
        (0xffff_ff80, Type::S64, Type::S32, NONE, 0xffff_ffff_ffff_ff80),
        (0xffff_ff80, Type::U64, Type::U32, NONE, 0xffff_ff80),
        (0x1_2345_6789, Type::U16, Type::U64, NONE, 0x6789),
        (0xffff_fff0, Type::U32, Type::S32, NONE, 0xffff_fff0),
        (0xffff_fff0, Type::U32, Type::S32, sat, 0),
        (0x8000_0000, Type::S32, Type::U32, sat, 0x7fff_ffff),
        (300, Type::U8, Type::S32, sat, 255),
        (0xffff_ff00, Type::S8, Type::S32, sat, 0x80),
        (200, Type::S8, Type::U8, sat, 127),
        (u64::MAX, Type::S64, Type::U64, sat, i64::MAX as u64),
        (1 << 63, Type::U64, Type::S64, sat, 0),
    ];
    for (bits, to, from, modifiers, want) in cases {
        assert_eq!(cvt(bits, to, from, None, modifiers), want, "{to:?} {from:?} {bits:#x} {modifiers:?}");
    }
}

#[test]
fn what_cvt_does_not_have_is_refused() {
    let satfinite = ConvertModifiers { satfinite: true, ..NONE };
    let sat = ConvertModifiers { sat: true, ..NONE };
    let cases = [
        (Type::F16, Type::F32, None, NONE),
        (Type::S32, Type::F32, None, NONE),
        (Type::F32, Type::S32, None, NONE),
        (Type::E4m3x2, Type::F16x2, NEAREST, NONE),
        (Type::F32, Type::F64, NEAREST, satfinite),
        (Type::Bf16, Type::F32, NEAREST, sat),
        (Type::F16, Type::F32, Some(Rounding::NearestAway), NONE),
        (Type::F16x2, Type::F32, NEAREST, NONE),
        (Type::B32, Type::F32, NEAREST, NONE),
        (Type::F32, Type::Pred, NEAREST, NONE),
    ];
    for (to, from, rounding, modifiers) in cases {
        let result = convert(0, to, from, rounding, modifiers);
        assert!(result.is_err(), "{to:?} {from:?} {rounding:?} {modifiers:?}: {result:?}");
    }
    assert!(convert_pair(0, 0, Type::F16x2, Type::F16, NEAREST, NONE).is_err());
    assert!(convert_pair(0, 0, Type::F16, Type::F32, NEAREST, NONE).is_err());
}
