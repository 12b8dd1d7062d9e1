//! The `.approx` and `.full` instructions: `rcp`, `sqrt`, `rsqrt`, `ex2`, `lg2`, `sin`, `cos`, `tanh` and `div`.
//!
//! Results are computed in `f64` by the host and rounded once to nearest, so they are within one unit in the last place
//! of the exact value, and almost always nearest to it. Hardware is allowed more (PTX ISA): for `f32`, 1 ulp for `rcp`
//! and `sqrt.approx`, 2 ulp for `div` and `ex2.approx`, 2^-22.9 relative for `rsqrt`, 2^-22 for `lg2`, 2^-20.5
//! absolute for `sin` and `cos` in `[-pi, pi]`, 2^-11 relative for `tanh`; for `f16` and `bf16`, 2^-9.9 and 2^-7 for
//! `ex2`, 2^-10.987 and 2^-8 for `tanh`. A test that compares the simulator with a device must allow for that.
//! Special values are those of the ISA's tables.

use crate::numeric::FloatModifiers;
use crate::numeric::Unsupported;
use crate::numeric::arith::flush_f32;
use crate::numeric::arith::result_f32;
use crate::numeric::float16::bf16_to_f32;
use crate::numeric::float16::f16_to_f32;
use crate::numeric::float16::f64_to_bf16;
use crate::numeric::float16::f64_to_f16;
use crate::numeric::float16::flush_bf16;
use crate::numeric::float16::flush_f16;
use crate::numeric::float16::pack;
use crate::numeric::float16::unpack;
use crate::types::Type;

/// A one-operand instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Approximation {
    /// `rcp.approx`: `1 / a`.
    Rcp,
    /// `sqrt.approx`.
    Sqrt,
    /// `rsqrt.approx`: `1 / sqrt(a)`.
    Rsqrt,
    /// `ex2.approx`: `2^a`.
    Ex2,
    /// `lg2.approx`: the logarithm to base 2.
    Lg2,
    /// `sin.approx`, of radians.
    Sin,
    /// `cos.approx`, of radians.
    Cos,
    /// `tanh.approx`.
    Tanh,
}

impl Approximation {
    fn evaluate(self, a: f64) -> f64 {
        match self {
            Self::Rcp => 1.0 / a,
            Self::Sqrt => a.sqrt(),
            // A zero gives an infinity of its sign, which the square root keeps.
            Self::Rsqrt => 1.0 / a.sqrt(),
            Self::Ex2 => a.exp2(),
            Self::Lg2 => a.log2(),
            Self::Sin => a.sin(),
            Self::Cos => a.cos(),
            Self::Tanh => a.tanh(),
        }
    }
}

/// Evaluates a one-operand instruction of `f32`, or `ex2` and `tanh` of 16-bit types and their pairs.
///
/// `ftz` makes subnormal operands and results zeros of the same sign.
///
/// # Errors
/// A type that the instruction does not have.
pub fn unary(op: Approximation, ty: Type, a: u64, ftz: bool) -> Result<u64, Unsupported> {
    let half = |bits: u16| match ty {
        Type::F16 | Type::F16x2 => {
            let operand = f16_to_f32(flush_f16(bits, ftz));
            flush_f16(f64_to_f16(op.evaluate(operand.into())), ftz)
        }
        _ => {
            let operand = bf16_to_f32(flush_bf16(bits, ftz));
            flush_bf16(f64_to_bf16(op.evaluate(operand.into())), ftz)
        }
    };
    match ty {
        Type::F32 => {
            let operand = flush_f32(f32::from_bits(a as u32), ftz);
            Ok(result_f32(op.evaluate(operand.into()), FloatModifiers { ftz, ..FloatModifiers::default() }))
        }
        Type::F16 | Type::Bf16 if op.has_half() => Ok(u64::from(half(a as u16))),
        Type::F16x2 | Type::Bf16x2 if op.has_half() => {
            let [low, high] = unpack(a).map(half);
            Ok(pack(low, high))
        }
        _ => Err(Unsupported::new(format!("{op:?}.approx of {ty:?}"))),
    }
}

impl Approximation {
    fn has_half(self) -> bool {
        matches!(self, Self::Ex2 | Self::Tanh)
    }
}

/// Which division.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Division {
    /// `div.approx`: a divisor above 2^126 gives 0, or NaN if the dividend is infinite.
    Approx,
    /// `div.full`: the full range.
    Full,
}

/// `a / b` of `f32`.
///
/// # Errors
/// Another type.
pub fn div(ty: Type, a: u64, b: u64, division: Division, ftz: bool) -> Result<u64, Unsupported> {
    if ty != Type::F32 {
        return Err(Unsupported::new(format!("approximate division of {ty:?}")));
    }
    let [a, b] = [a, b].map(|bits| f64::from(flush_f32(f32::from_bits(bits as u32), ftz)));
    let limit = f64::from(2f32.powi(126));
    let quotient = if division == Division::Approx && b.is_finite() && b.abs() > limit {
        // The instruction multiplies by a reciprocal that is too small for it and becomes 0.
        a * 0f64.copysign(b)
    } else {
        a / b
    };
    Ok(result_f32(quotient, FloatModifiers { ftz, ..FloatModifiers::default() }))
}

macro_rules! named {
    ($($(#[$doc:meta])* $name:ident: $op:ident;)*) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// As [`unary`].
        pub fn $name(ty: Type, a: u64, ftz: bool) -> Result<u64, Unsupported> {
            unary(Approximation::$op, ty, a, ftz)
        })*
    };
}

named! {
    /// `rcp.approx`.
    rcp: Rcp;
    /// `sqrt.approx`.
    sqrt: Sqrt;
    /// `rsqrt.approx`.
    rsqrt: Rsqrt;
    /// `ex2.approx`.
    ex2: Ex2;
    /// `lg2.approx`.
    lg2: Lg2;
    /// `sin.approx`.
    sin: Sin;
    /// `cos.approx`.
    cos: Cos;
    /// `tanh.approx`.
    tanh: Tanh;
}
