//! The `.approx` instructions: special values of the ISA's tables, and values known in closed form.

use crate::numeric::approx;
use crate::numeric::approx::Division;
use crate::types::Type;

fn bits(x: f32) -> u64 {
    u64::from(x.to_bits())
}

fn check(name: &str, f: fn(Type, u64, bool) -> Result<u64, crate::numeric::Unsupported>, cases: &[(f32, f32)]) {
    for &(x, want) in cases {
        let got = f(Type::F32, bits(x), false).unwrap_or_else(|error| panic!("{error}"));
        let want = if want.is_nan() { 0x7fff_ffff } else { bits(want) };
        assert_eq!(got, want, "{name} {x}");
    }
}

#[test]
fn special_values_are_those_of_the_tables() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    check("rcp", approx::rcp, &[(-inf, -0.0), (-0.0, -inf), (0.0, inf), (inf, 0.0), (nan, nan), (4.0, 0.25)]);
    check(
        "sqrt",
        approx::sqrt,
        &[(-inf, nan), (-1.0, nan), (-0.0, -0.0), (0.0, 0.0), (inf, inf), (nan, nan), (9.0, 3.0)],
    );
    check(
        "rsqrt",
        approx::rsqrt,
        &[(-inf, nan), (-1.0, nan), (-0.0, -inf), (0.0, inf), (inf, 0.0), (nan, nan), (4.0, 0.5)],
    );
    check(
        "ex2",
        approx::ex2,
        &[(-inf, 0.0), (-0.0, 1.0), (0.0, 1.0), (inf, inf), (nan, nan), (10.0, 1024.0), (-3.0, 0.125)],
    );
    check(
        "lg2",
        approx::lg2,
        &[(-inf, nan), (-0.0, -inf), (0.0, -inf), (inf, inf), (nan, nan), (8.0, 3.0), (0.25, -2.0)],
    );
    check("sin", approx::sin, &[(-inf, nan), (-0.0, -0.0), (0.0, 0.0), (inf, nan), (nan, nan)]);
    check("cos", approx::cos, &[(-inf, nan), (-0.0, 1.0), (0.0, 1.0), (inf, nan), (nan, nan)]);
    check("tanh", approx::tanh, &[(-inf, -1.0), (-0.0, -0.0), (0.0, 0.0), (inf, 1.0), (nan, nan)]);
}

#[test]
fn subnormals_are_flushed_on_demand() {
    let tiny = f32::from_bits(1);
    assert_eq!(approx::lg2(Type::F32, bits(tiny), false), Ok(bits(-149.0)));
    assert_eq!(approx::lg2(Type::F32, bits(tiny), true), Ok(bits(f32::NEG_INFINITY)));
    assert_eq!(approx::ex2(Type::F32, bits(-140.0), false), Ok(bits(2f32.powi(-140))));
    assert_eq!(approx::ex2(Type::F32, bits(-140.0), true), Ok(0));
    // 2^-20 is subnormal in f16, 2^-130 in bf16.
    assert_eq!(approx::ex2(Type::F16, 0xcd00, false), Ok(0x0010));
    assert_eq!(approx::ex2(Type::F16, 0xcd00, true), Ok(0));
    assert_eq!(approx::ex2(Type::Bf16, 0xc302, false), Ok(0x0008));
    assert_eq!(approx::ex2(Type::Bf16, 0xc302, true), Ok(0));
}

#[test]
fn division_has_the_range_of_its_instruction() {
    let div = |a, b, division| approx::div(Type::F32, bits(a), bits(b), division, false).unwrap();
    let large = 2f32.powi(127);
    assert_eq!(div(3.0, 2.0, Division::Approx), bits(1.5));
    assert_eq!(div(large, large, Division::Approx), bits(0.0));
    assert_eq!(div(-large, large, Division::Approx), bits(-0.0));
    assert_eq!(div(f32::INFINITY, large, Division::Approx), 0x7fff_ffff);
    assert_eq!(div(large, large, Division::Full), bits(1.0));
    assert_eq!(div(large, large / 2.0, Division::Approx), bits(2.0));
}

#[test]
fn halves_have_two_instructions() {
    assert_eq!(approx::ex2(Type::F16x2, 0x4000_bc00, false), Ok(0x4400_3800));
    assert_eq!(approx::tanh(Type::Bf16, 0x7f80, false), Ok(0x3f80));
    assert_eq!(approx::tanh(Type::F16, 0x7e00, false), Ok(0x7fff));
    assert!(approx::rcp(Type::F16, 0, false).is_err());
    assert!(approx::div(Type::F64, 0, 0, Division::Full, false).is_err());
}
