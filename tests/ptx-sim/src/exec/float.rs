//! Floating-point arithmetic of all lanes.

use crate::exec::warp::Lanes;
use crate::exec::warp::lanes_of;
use crate::ir::FloatBinary;
use crate::ir::FloatUnary;
use crate::numeric::FloatModifiers;
use crate::numeric::Unsupported;
use crate::numeric::approx;
use crate::numeric::arith;
use crate::types::Type;

/// One lane of a two-operand instruction; the parser calls it too, to learn what is supported.
#[inline]
pub fn binary(op: FloatBinary, ty: Type, a: u64, b: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    match op {
        FloatBinary::Add => arith::add(ty, a, b, modifiers),
        FloatBinary::Sub => arith::sub(ty, a, b, modifiers),
        FloatBinary::Mul => arith::mul(ty, a, b, modifiers),
        FloatBinary::Divide => arith::div(ty, a, b, modifiers),
        FloatBinary::DivideApproximately(division) => approx::div(ty, a, b, division, modifiers.ftz),
        FloatBinary::Min => arith::min(ty, a, b, modifiers),
        FloatBinary::Max => arith::max(ty, a, b, modifiers),
        FloatBinary::CopySign => arith::copysign(ty, a, b, modifiers),
    }
}

/// One lane of a one-operand instruction.
#[inline]
pub fn unary(op: FloatUnary, ty: Type, a: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    match op {
        FloatUnary::Negate => arith::neg(ty, a, modifiers),
        FloatUnary::Absolute => arith::abs(ty, a, modifiers),
        FloatUnary::Reciprocal => arith::rcp(ty, a, modifiers),
        FloatUnary::SquareRoot => arith::sqrt(ty, a, modifiers),
        FloatUnary::Approximate(op) => approx::unary(op, ty, a, modifiers.ftz),
    }
}

/// Evaluates the lanes of `mask`. The parser has tried the combination, so that none fails here.
#[inline(always)]
pub fn for_lanes(mask: u32, evaluate: impl Fn(usize) -> Result<u64, Unsupported>) -> Lanes {
    let mut result = [0; 32];
    for lane in lanes_of(mask) {
        result[lane] = evaluate(lane).expect("the parser accepts only what numeric supports");
    }
    result
}
