//! `mov`, `cvt`, comparisons and selections.

use crate::Class;
use crate::ParseError;
use crate::ir::Compare;
use crate::ir::Convert;
use crate::ir::IntegerTernary;
use crate::ir::Logic;
use crate::ir::Operation;
use crate::ir::PredicateOperand;
use crate::ir::SetPredicate;
use crate::numeric::Comparison;
use crate::numeric::ConvertModifiers;
use crate::parse::ast::RawOperand;
use crate::parse::lower::decoder::Decoded;
use crate::parse::lower::decoder::Decoder;
use crate::parse::lower::float::class_of;
use crate::parse::types::is_float;
use crate::parse::types::type_bits;
use crate::types::Rounding;
use crate::types::Type;

/// `mov`, also between a register and its parts.
pub fn mov(mut d: Decoder<'_>) -> Decoded {
    let ty = d.take_type()?;
    d.expect_operands(&[2])?;
    if ty == Type::Pred {
        let a = d.predicate(1)?;
        let operation = Operation::PredicateLogic { op: Logic::Or, dst: d.predicate_destination(0)?, a, b: a };
        return d.finish(operation, Class::Predicate);
    }
    if ty == Type::B128 {
        return Err(d.error("128-bit registers are not supported"));
    }
    match (d.operand(0)?, d.operand(1)?) {
        (RawOperand::Vector(parts), _) => {
            let dsts = parts.iter().map(|part| d.destination_of(part)).collect::<Result<_, _>>()?;
            let element_bits = type_bits(ty) / parts.len() as u32;
            d.finish(Operation::Unpack { dsts, src: d.source(1, ty)?, element_bits }, Class::Move)
        }
        (_, RawOperand::Vector(parts)) => {
            let element_bits = type_bits(ty) / parts.len() as u32;
            let element = match element_bits {
                8 => Type::B8,
                16 => Type::B16,
                32 => Type::B32,
                _ => return Err(d.error(format!("{} parts of {ty:?}", parts.len()))),
            };
            let elements = parts.iter().map(|part| d.source_of(part, element)).collect::<Result<_, _>>()?;
            d.finish(Operation::Pack { dst: d.destination(0)?, elements, element_bits }, Class::Move)
        }
        _ => d.finish(Operation::Move { dst: d.destination(0)?, src: d.source(1, ty)? }, Class::Move),
    }
}

/// `cvt`.
pub fn cvt(mut d: Decoder<'_>) -> Decoded {
    if d.take("pack") {
        return pack(d);
    }
    let integral = d.take_parsed(|name| {
        Some(match name {
            "rni" => Rounding::NearestEven,
            "rzi" => Rounding::Zero,
            "rmi" => Rounding::Down,
            "rpi" => Rounding::Up,
            _ => return None,
        })
    });
    let rounding = integral.or(d.take_rounding());
    let modifiers = ConvertModifiers {
        ftz: d.take("ftz"),
        sat: d.take("sat"),
        satfinite: d.take("satfinite"),
        relu: d.take("relu"),
        integral: integral.is_some(),
    };
    let (to, from) = (d.take_type()?, d.take_type()?);
    d.expect_operands(&[2, 3])?;
    let convert = Convert { to, from, rounding, modifiers, dst: d.destination(0)?, src: d.source(1, from)? };
    let refused = |error: crate::numeric::Unsupported| d.error(error.to_string());
    if d.has_operand(2) {
        crate::numeric::convert_pair(0, 0, to, from, rounding, modifiers).map_err(refused)?;
        return d.finish(Operation::ConvertPair { convert, low: d.source(2, from)? }, Class::Convert);
    }
    crate::numeric::convert(0, to, from, rounding, modifiers).map_err(refused)?;
    // Widening and narrowing of integers are moves and logic, not the conversion pipe.
    let class = if is_float(to) || is_float(from) || modifiers.sat { Class::Convert } else { Class::Integer };
    d.finish(Operation::Convert(convert), class)
}

/// `cvt.pack.sat.s8.s32.b32 d, a, b, c`
fn pack(mut d: Decoder<'_>) -> Decoded {
    let (to, from) = (d.take_type()?, d.take_type()?);
    let expected = match to {
        Type::S16 | Type::U16 => 3,
        Type::S8 | Type::U8 | Type::S4 | Type::U4 => 4,
        _ => return Err(d.error(format!("to {to:?}"))),
    };
    if !d.take("sat") || from != Type::S32 || (expected == 4) != d.take("b32") {
        return Err(d.error("cvt.pack is .sat, of .s32, and has .b32 with four operands"));
    }
    d.expect_operands(&[expected])?;
    let operation = Operation::IntegerTernary {
        op: IntegerTernary::PackSaturating { to },
        ty: Type::S32,
        dst: d.destination(0)?,
        a: d.source(1, Type::S32)?,
        b: d.source(2, Type::S32)?,
        c: if expected == 4 { d.source(3, Type::B32)? } else { crate::ir::Operand::Immediate(0) },
    };
    d.finish(operation, Class::Convert)
}

fn take_comparison(d: &mut Decoder<'_>) -> Result<Comparison, ParseError> {
    d.take_parsed(comparison).ok_or_else(|| d.error("a comparison is missing"))
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        "eq" => Comparison::Eq,
        "ne" => Comparison::Ne,
        "lt" => Comparison::Lt,
        "le" => Comparison::Le,
        "gt" => Comparison::Gt,
        "ge" => Comparison::Ge,
        "lo" => Comparison::Lo,
        "ls" => Comparison::Ls,
        "hi" => Comparison::Hi,
        "hs" => Comparison::Hs,
        "equ" => Comparison::Equ,
        "neu" => Comparison::Neu,
        "ltu" => Comparison::Ltu,
        "leu" => Comparison::Leu,
        "gtu" => Comparison::Gtu,
        "geu" => Comparison::Geu,
        "num" => Comparison::Num,
        "nan" => Comparison::Nan,
        _ => return None,
    })
}

fn take_combination(d: &mut Decoder<'_>, operand: usize) -> Result<Option<(Logic, PredicateOperand)>, ParseError> {
    let logic = match d.take_any(&["and", "or", "xor"]) {
        None => return Ok(None),
        Some("and") => Logic::And,
        Some("or") => Logic::Or,
        Some(_) => Logic::Xor,
    };
    Ok(Some((logic, d.predicate(operand)?)))
}

fn check(d: &Decoder<'_>, compare: &Compare) -> Result<(), ParseError> {
    let ty = element(compare.ty);
    crate::numeric::compare(compare.comparison, ty, 0, 0, compare.ftz)
        .map(drop)
        .map_err(|error| d.error(error.to_string()))
}

/// The type of one half of a pair.
pub fn element(ty: Type) -> Type {
    match ty {
        Type::F16x2 => Type::F16,
        Type::Bf16x2 => Type::Bf16,
        other => other,
    }
}

/// `setp`
pub fn setp(mut d: Decoder<'_>) -> Decoded {
    let comparison = take_comparison(&mut d)?;
    let combine = take_combination(&mut d, 3)?;
    let ftz = d.take("ftz");
    let ty = d.take_type()?;
    d.expect_operands(if combine.is_some() { &[4] } else { &[3] })?;
    let (first, second) = d.pair(0)?;
    let compare = Compare { comparison, ty, ftz, a: d.source(1, ty)?, b: d.source(2, ty)? };
    check(&d, &compare)?;
    let second = second.map(|operand| d.predicate_destination_of(operand)).transpose()?.flatten();
    let set = SetPredicate { compare, combine, dst: d.predicate_destination_of(first)?, second };
    d.finish(Operation::SetPredicate(set), if is_float(ty) { class_of(ty) } else { Class::Integer })
}

/// `set`
pub fn set(mut d: Decoder<'_>) -> Decoded {
    let comparison = take_comparison(&mut d)?;
    let combine = take_combination(&mut d, 3)?;
    let ftz = d.take("ftz");
    let (to, ty) = (d.take_type()?, d.take_type()?);
    d.expect_operands(if combine.is_some() { &[4] } else { &[3] })?;
    let compare = Compare { comparison, ty, ftz, a: d.source(1, ty)?, b: d.source(2, ty)? };
    check(&d, &compare)?;
    let result_is_known = matches!(
        to,
        Type::U16 | Type::S16 | Type::U32 | Type::S32 | Type::F16 | Type::Bf16 | Type::F32 | Type::F16x2 | Type::Bf16x2
    );
    if !result_is_known {
        return Err(d.error(format!("a result of type {to:?}")));
    }
    let operation = Operation::Set { compare, combine, to, dst: d.destination(0)? };
    d.finish(operation, if is_float(ty) { class_of(ty) } else { Class::Integer })
}

/// `selp`
pub fn selp(mut d: Decoder<'_>) -> Decoded {
    let ty = d.take_type()?;
    d.expect_operands(&[4])?;
    let (a, b) = (d.source(1, ty)?, d.source(2, ty)?);
    d.finish(Operation::Select { dst: d.destination(0)?, a, b, predicate: d.predicate(3)? }, Class::Integer)
}

/// `slct`
pub fn slct(mut d: Decoder<'_>) -> Decoded {
    let ftz = d.take("ftz");
    let (ty, sign_type) = (d.take_type()?, d.take_type()?);
    if !matches!(sign_type, Type::S32 | Type::F32) {
        return Err(d.error(format!("the sign of {sign_type:?}")));
    }
    d.expect_operands(&[4])?;
    let operation = Operation::SelectSign {
        ty: sign_type,
        ftz,
        dst: d.destination(0)?,
        a: d.source(1, ty)?,
        b: d.source(2, ty)?,
        c: d.source(3, sign_type)?,
    };
    d.finish(operation, Class::Integer)
}
