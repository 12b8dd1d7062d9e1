//! `add` to `sqrt`.

use crate::numeric::FloatModifiers;
use crate::numeric::Unsupported;
use crate::numeric::arith;
use crate::numeric::round::Format;
use crate::numeric::round::Overflow;
use crate::numeric::tests::exact::BF16;
use crate::numeric::tests::exact::Exact;
use crate::numeric::tests::exact::F16;
use crate::numeric::tests::exact::F32;
use crate::numeric::tests::exact::Layout;
use crate::numeric::tests::random::Random;
use crate::types::Rounding;
use crate::types::Type;

const PLAIN: FloatModifiers = FloatModifiers {
    rounding: Rounding::NearestEven,
    ftz: false,
    sat: false,
    relu: false,
    nan: false,
    xorsign_abs: false,
};
const DIRECTIONS: [Rounding; 4] = [Rounding::NearestEven, Rounding::Zero, Rounding::Down, Rounding::Up];

/// Type, layout, and the roundings it has.
const FORMATS: [(Type, Layout, &[Rounding]); 3] = [
    (Type::F16, F16, &[Rounding::NearestEven]),
    (Type::Bf16, BF16, &[Rounding::NearestEven]),
    (Type::F32, F32, &DIRECTIONS),
];

fn ok(result: Result<u64, Unsupported>) -> u64 {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn single(x: f32) -> u64 {
    u64::from(x.to_bits())
}

/// `exact` rounded, where a zero takes the sign that IEEE 754 gives the sum of `terms`' signs.
fn rounded(layout: Layout, exact: &Exact, rounding: Rounding, terms: [bool; 2]) -> u64 {
    if !exact.is_zero() {
        return layout.round(exact, rounding);
    }
    let negative = if terms[0] == terms[1] { terms[0] } else { rounding == Rounding::Down };
    if negative { layout.sign_bit() } else { 0 }
}

#[test]
fn sums_products_and_fused_ones_are_rounded_once() {
    let mut random = Random(5);
    for round in 0..40_000 {
        let (ty, layout, roundings) = FORMATS[round % 3];
        let [a, b, c] = [0; 3].map(|_| random.float(layout.exponent_bits, layout.mantissa_bits));
        if ![a, b, c].iter().all(|&bits| layout.is_finite(bits)) {
            continue;
        }
        let negative = |bits| layout.is_negative(bits);
        let [x, y, z] = [a, b, c].map(|bits| layout.value(bits));
        let product = layout.product(a, b);
        let sign = negative(a) != negative(b);
        for &rounding in roundings {
            let modifiers = FloatModifiers { rounding, ..PLAIN };
            let context = || format!("{ty:?} {rounding:?} {a:#x} {b:#x} {c:#x}");
            let want = rounded(layout, &x.plus(&y), rounding, [negative(a), negative(b)]);
            assert_eq!(ok(arith::add(ty, a, b, modifiers)), want, "add {}", context());
            let minus = layout.value(c ^ layout.sign_bit());
            let want = rounded(layout, &x.plus(&minus), rounding, [negative(a), !negative(c)]);
            assert_eq!(ok(arith::sub(ty, a, c, modifiers)), want, "sub {}", context());
            let want = rounded(layout, &product, rounding, [sign; 2]);
            assert_eq!(ok(arith::mul(ty, a, b, modifiers)), want, "mul {}", context());
            let want = rounded(layout, &product.plus(&z), rounding, [sign, negative(c)]);
            assert_eq!(ok(arith::fma(ty, a, b, c, modifiers)), want, "fma {}", context());
        }
    }
}

#[test]
fn a_tie_broken_far_below_is_seen() {
    // 1.5 * (1 + 2^-7) of bf16 lies between two numbers; the operand c decides by less than an f64 can show.
    let cases = [
        // (1 + 2^-7)^2 = 1 + 2^-6 + 2^-14, against a tie of its own: (1 + 2^-7) * (1 + 2^-1) = 1.5 + 1.5 * 2^-7.
        (Type::Bf16, BF16, 0x3f81, 0x3fc0),
        (Type::F16, F16, 0x3c01, 0x3e00),
        (Type::F32, F32, 0x3f80_0001, 0x3fc0_0000),
    ];
    for (ty, layout, a, b) in cases {
        let tie = layout.product(a, b);
        for tiny in [1, 1 | layout.sign_bit()] {
            let want = layout.round(&tie.plus(&layout.value(tiny)), Rounding::NearestEven);
            let other = layout.round(&tie.plus(&layout.value(tiny ^ layout.sign_bit())), Rounding::NearestEven);
            assert_ne!(want, other, "{ty:?}: the case is a tie");
            assert_eq!(ok(arith::fma(ty, a, b, tiny, PLAIN)), want, "{ty:?} {tiny:#x}");
        }
    }
}

#[test]
fn the_fast_rounding_is_the_general_one() {
    let mut random = Random(6);
    for _ in 0..300_000 {
        let exponent = 1023 - 160 + random.below(310);
        let mask = if random.below(2) == 0 { !0 } else { !0 << (30 + random.below(22)) };
        let value = f64::from_bits(random.bits() & 1 << 63 | exponent << 52 | random.bits() >> 12 & mask);
        for format in [Format::F16, Format::BF16] {
            let want = format.encode(Format::F64.decode(value.to_bits()), Rounding::NearestEven, Overflow::Ieee);
            assert_eq!(format.nearest(value), want, "{value:e} {format:?}");
        }
    }
    for value in [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE, 65520.0, 65519.99]
    {
        let want = Format::F16.encode(Format::F64.decode(value.to_bits()), Rounding::NearestEven, Overflow::Ieee);
        assert_eq!(Format::F16.nearest(value), want, "{value}");
    }
}

#[test]
fn quotients_and_roots_are_rounded_once() {
    let mut random = Random(7);
    for _ in 0..10_000 {
        let [a, b] = [0; 2].map(|_| random.float(8, 23));
        let [x, y] = [a, b].map(|bits| f32::from_bits(bits as u32));
        if !x.is_finite() || !y.is_finite() || x == 0.0 || y == 0.0 {
            continue;
        }
        assert_eq!(ok(arith::div(Type::F32, a, b, PLAIN)), single(x / y), "{x:e} / {y:e}");
        assert_eq!(ok(arith::rcp(Type::F32, b, PLAIN)), single(1.0 / y), "1 / {y:e}");
        assert_eq!(ok(arith::sqrt(Type::F32, a & 0x7fff_ffff, PLAIN)), single(x.abs().sqrt()), "root of {x:e}");
        let directed = |rounding| FloatModifiers { rounding, ..PLAIN };
        let (numerator, divisor) = (F32.value(a & 0x7fff_ffff), b & 0x7fff_ffff);
        let down = ok(arith::div(Type::F32, a & 0x7fff_ffff, divisor, directed(Rounding::Down)));
        let up = ok(arith::div(Type::F32, a & 0x7fff_ffff, divisor, directed(Rounding::Up)));
        check_bracket(down, up, |q| F32.product(q, divisor), &numerator);
        let down = ok(arith::sqrt(Type::F32, a & 0x7fff_ffff, directed(Rounding::Zero)));
        let up = ok(arith::sqrt(Type::F32, a & 0x7fff_ffff, directed(Rounding::Up)));
        check_bracket(down, up, |q| F32.product(q, q), &numerator);
    }
}

/// `down` is the largest number whose image under `f` is not above `target`, and `up` the smallest not below.
fn check_bracket(down: u64, up: u64, f: impl Fn(u64) -> Exact, target: &Exact) {
    if down == 0x7f7f_ffff || up == 0x7f80_0000 {
        assert_eq!((down, up), (0x7f7f_ffff, 0x7f80_0000), "overflow");
        return;
    }
    assert!(f(down).compare(target).is_le() && f(up).compare(target).is_ge(), "{down:#x} {up:#x}");
    let exact = f(down) == *target;
    assert_eq!(up, if exact { down } else { down + 1 });
}

#[test]
fn pairs_are_two_numbers() {
    let mut random = Random(8);
    for (pair, ty) in [(Type::F16x2, Type::F16), (Type::Bf16x2, Type::Bf16)] {
        for _ in 0..20_000 {
            let [a, b, c] = [0; 3].map(|_| random.bits() & 0xffff_ffff);
            let both = |f: &dyn Fn(Type, [u64; 3]) -> u64| {
                let low = f(ty, [a, b, c].map(|bits| bits & 0xffff));
                let high = f(ty, [a, b, c].map(|bits| bits >> 16));
                assert_eq!(f(pair, [a, b, c]), high << 16 | low, "{pair:?} {a:#x} {b:#x} {c:#x}");
            };
            both(&|ty, [a, b, c]| ok(arith::fma(ty, a, b, c, PLAIN)));
            both(&|ty, [a, b, _]| ok(arith::add(ty, a, b, PLAIN)));
            both(&|ty, [a, b, _]| ok(arith::max(ty, a, b, PLAIN)));
            both(&|ty, [a, _, _]| ok(arith::neg(ty, a, PLAIN)));
            both(&|ty, [a, _, _]| ok(arith::abs(ty, a, PLAIN)));
        }
    }
}

#[test]
fn infinities_and_nans() {
    let inf = f32::INFINITY;
    let nan = u64::from(arith::NAN_F32);
    let add = |a, b| ok(arith::add(Type::F32, single(a), single(b), PLAIN));
    let mul = |a, b| ok(arith::mul(Type::F32, single(a), single(b), PLAIN));
    assert_eq!(add(inf, 1.0), single(inf));
    assert_eq!(add(inf, -inf), nan);
    assert_eq!(add(f32::from_bits(0xffc0_1234), 1.0), nan, "canonical, whatever came in");
    assert_eq!(mul(inf, 0.0), nan);
    assert_eq!(mul(-inf, 2.0), single(-inf));
    assert_eq!(add(f32::MAX, f32::MAX), single(inf));
    let zero = FloatModifiers { rounding: Rounding::Zero, ..PLAIN };
    assert_eq!(ok(arith::add(Type::F32, single(f32::MAX), single(f32::MAX), zero)), single(f32::MAX));
    assert_eq!(ok(arith::add(Type::F16, 0x7c00, 0xfc00, PLAIN)), 0x7fff);
    assert_eq!(ok(arith::fma(Type::Bf16, 0x7f80, 0, 0x3f80, PLAIN)), 0x7fff);
    assert_eq!(ok(arith::fma(Type::Bf16x2, 0x7f80_3f80, 0x3f80_3f80, 0x3f80_3f80, PLAIN)), 0x7f80_4000);
    assert_eq!(ok(arith::div(Type::F32, single(1.0), single(-0.0), PLAIN)), single(-inf));
    assert_eq!(ok(arith::sqrt(Type::F32, single(-1.0), PLAIN)), nan);
    assert_eq!(ok(arith::sqrt(Type::F32, single(-0.0), PLAIN)), single(-0.0));
}

#[test]
fn minimum_and_maximum() {
    let nan = f32::NAN;
    let strict = FloatModifiers { nan: true, ..PLAIN };
    let signs = FloatModifiers { xorsign_abs: true, ..PLAIN };
    let cases = [
        (1.0, 2.0, PLAIN, 1.0, 2.0),
        (0.0, -0.0, PLAIN, -0.0, 0.0),
        (-0.0, 0.0, PLAIN, -0.0, 0.0),
        (nan, 1.0, PLAIN, 1.0, 1.0),
        (1.0, nan, PLAIN, 1.0, 1.0),
        (nan, 1.0, strict, nan, nan),
        (nan, nan, PLAIN, nan, nan),
        (-1.0, 2.0, signs, -1.0, -2.0),
        (-1.0, -2.0, signs, 1.0, 2.0),
    ];
    for (a, b, modifiers, low, high) in cases {
        let canonical = |x: f32| if x.is_nan() { u64::from(arith::NAN_F32) } else { single(x) };
        assert_eq!(ok(arith::min(Type::F32, single(a), single(b), modifiers)), canonical(low), "min {a} {b}");
        assert_eq!(ok(arith::max(Type::F32, single(a), single(b), modifiers)), canonical(high), "max {a} {b}");
    }
    assert_eq!(ok(arith::max(Type::F16, 0x7e00, 0x3c00, PLAIN)), 0x3c00);
    assert_eq!(ok(arith::max(Type::F16, 0x7e00, 0x3c00, strict)), 0x7fff);
}

#[test]
fn modifiers_of_results_and_signs() {
    let ftz = FloatModifiers { ftz: true, ..PLAIN };
    let sat = FloatModifiers { sat: true, ..PLAIN };
    let relu = FloatModifiers { relu: true, ..PLAIN };
    let tiny = single(f32::MIN_POSITIVE / 2.0);
    assert_eq!(ok(arith::add(Type::F32, tiny, tiny, PLAIN)), single(f32::MIN_POSITIVE));
    assert_eq!(ok(arith::add(Type::F32, tiny, tiny, ftz)), 0, "operands");
    let half = single(0.5);
    assert_eq!(ok(arith::mul(Type::F32, single(-f32::MIN_POSITIVE), half, ftz)), single(-0.0), "result");
    assert_eq!(ok(arith::add(Type::F16, 0x0200, 0x0200, ftz)), 0);
    assert_eq!(ok(arith::add(Type::F16, 0x0200, 0x0200, PLAIN)), 0x0400);
    assert_eq!(ok(arith::neg(Type::F32, tiny, ftz)), single(-0.0));
    for (x, want) in [(-2.0, 0.0), (0.5, 0.5), (2.0, 1.0), (f32::NAN, 0.0), (-0.0, 0.0)] {
        assert_eq!(ok(arith::add(Type::F32, single(x), single(-0.0), sat)), single(want), "sat {x}");
    }
    assert_eq!(ok(arith::fma(Type::F16x2, 0x3c00_bc00, 0x4000_4000, 0, sat)), 0x3c00_0000);
    assert_eq!(ok(arith::fma(Type::F16x2, 0x3c00_bc00, 0x4000_4000, 0, relu)), 0x4000_0000);
    assert_eq!(ok(arith::fma(Type::Bf16, 0x7fc0, 0, 0, relu)), 0x7fff);
    assert_eq!(ok(arith::neg(Type::F32, 0xffff_ffff_3f80_0000, PLAIN)), single(-1.0), "upper bits are ignored");
    assert_eq!(ok(arith::abs(Type::F64, (-2f64).to_bits(), PLAIN)), 2f64.to_bits());
    assert_eq!(ok(arith::copysign(Type::F32, single(-1.0), single(3.0), PLAIN)), single(-3.0));
    let product = ok(arith::fma(Type::F64, 3f64.to_bits(), 0.5f64.to_bits(), 1f64.to_bits(), PLAIN));
    assert_eq!(f64::from_bits(product), 2.5);
}

#[test]
fn what_the_types_do_not_have_is_refused() {
    let up = FloatModifiers { rounding: Rounding::Up, ..PLAIN };
    let sat = FloatModifiers { sat: true, ..PLAIN };
    for (ty, modifiers) in [(Type::F16, up), (Type::F64, up), (Type::Bf16, sat), (Type::F64, sat), (Type::S32, PLAIN)] {
        assert!(arith::add(ty, 0, 0, modifiers).is_err(), "{ty:?} {modifiers:?}");
        assert!(arith::fma(ty, 0, 0, 0, modifiers).is_err(), "{ty:?} {modifiers:?}");
    }
    assert!(arith::div(Type::F16, 0, 0, PLAIN).is_err());
    assert!(arith::sqrt(Type::Bf16, 0, PLAIN).is_err());
    assert!(arith::copysign(Type::F16, 0, 0, PLAIN).is_err());
}
