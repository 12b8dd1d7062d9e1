//! Floating-point arithmetic. Combinations that `numeric` does not have are refused here, by trying them on zeros.

use crate::Class;
use crate::exec::float;
use crate::ir::FloatBinary;
use crate::ir::FloatUnary;
use crate::ir::Operation;
use crate::numeric::Approximation;
use crate::numeric::FloatModifiers;
use crate::numeric::approx::Division;
use crate::parse::lower::decoder::Decoded;
use crate::parse::lower::decoder::Decoder;
use crate::types::Type;

/// The pipe of a type.
pub fn class_of(ty: Type) -> Class {
    match ty {
        Type::F32 => Class::Float32,
        Type::F64 => Class::Float64,
        _ => Class::Float16,
    }
}

/// Decodes an instruction whose type, which is taken, is a floating-point one.
pub fn arithmetic(mut d: Decoder<'_>, ty: Type) -> Decoded {
    let approximate = d.take("approx");
    let full = d.take("full");
    let modifiers = FloatModifiers {
        rounding: d.take_rounding().unwrap_or_default(),
        ftz: d.take("ftz"),
        sat: d.take("sat"),
        relu: d.take("relu"),
        nan: d.take("NaN"),
        xorsign_abs: d.take("xorsign"),
    };
    if modifiers.xorsign_abs && !d.take("abs") {
        return Err(d.error(".xorsign stands with .abs"));
    }
    match d.mnemonic {
        "fma" | "mad" => fma(d, ty, modifiers),
        "add" | "sub" | "mul" | "div" | "min" | "max" | "copysign" => binary(d, ty, modifiers, approximate, full),
        _ => unary(d, ty, modifiers, approximate),
    }
}

fn fma(d: Decoder<'_>, ty: Type, modifiers: FloatModifiers) -> Decoded {
    d.expect_operands(&[4])?;
    crate::numeric::arith::fma(ty, 0, 0, 0, modifiers).map_err(|error| d.error(error.to_string()))?;
    let (a, b, c) = (d.source(1, ty)?, d.source(2, ty)?, d.source(3, ty)?);
    d.finish(Operation::Fma { ty, modifiers, dst: d.destination(0)?, a, b, c }, class_of(ty))
}

fn binary(d: Decoder<'_>, ty: Type, modifiers: FloatModifiers, approximate: bool, full: bool) -> Decoded {
    d.expect_operands(&[3])?;
    let op = match d.mnemonic {
        "add" => FloatBinary::Add,
        "sub" => FloatBinary::Sub,
        "mul" => FloatBinary::Mul,
        "min" => FloatBinary::Min,
        "max" => FloatBinary::Max,
        "div" if approximate => FloatBinary::DivideApproximately(Division::Approx),
        "div" if full => FloatBinary::DivideApproximately(Division::Full),
        "div" => FloatBinary::Divide,
        _ => FloatBinary::CopySign,
    };
    if (approximate || full) && d.mnemonic != "div" {
        return Err(d.error("unknown modifier .approx or .full"));
    }
    float::binary(op, ty, 0, 0, modifiers).map_err(|error| d.error(error.to_string()))?;
    let class = if d.mnemonic == "div" { Class::Special } else { class_of(ty) };
    d.finish(
        Operation::FloatBinary { op, ty, modifiers, dst: d.destination(0)?, a: d.source(1, ty)?, b: d.source(2, ty)? },
        class,
    )
}

fn unary(d: Decoder<'_>, ty: Type, modifiers: FloatModifiers, approximate: bool) -> Decoded {
    d.expect_operands(&[2])?;
    let (op, class) = match d.mnemonic {
        "neg" => (FloatUnary::Negate, class_of(ty)),
        "abs" => (FloatUnary::Absolute, class_of(ty)),
        "rcp" if !approximate => (FloatUnary::Reciprocal, Class::Special),
        "sqrt" if !approximate => (FloatUnary::SquareRoot, Class::Special),
        _ => (FloatUnary::Approximate(approximation(&d)?), Class::Special),
    };
    if matches!(op, FloatUnary::Approximate(_)) != approximate {
        return Err(d.error("a rounding or .approx is missing, or too much"));
    }
    float::unary(op, ty, 0, modifiers).map_err(|error| d.error(error.to_string()))?;
    d.finish(Operation::FloatUnary { op, ty, modifiers, dst: d.destination(0)?, a: d.source(1, ty)? }, class)
}

fn approximation(d: &Decoder<'_>) -> Result<Approximation, crate::ParseError> {
    Ok(match d.mnemonic {
        "rcp" => Approximation::Rcp,
        "sqrt" => Approximation::Sqrt,
        "rsqrt" => Approximation::Rsqrt,
        "ex2" => Approximation::Ex2,
        "lg2" => Approximation::Lg2,
        "sin" => Approximation::Sin,
        "cos" => Approximation::Cos,
        "tanh" => Approximation::Tanh,
        _ => return Err(d.unknown()),
    })
}
