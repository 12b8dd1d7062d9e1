//! Integer arithmetic, logic, shifts and bit fields.

use crate::Class;
use crate::ir::CarryOp;
use crate::ir::IntegerBinary;
use crate::ir::IntegerTernary;
use crate::ir::IntegerUnary;
use crate::ir::Logic;
use crate::ir::Operation;
use crate::ir::PermuteMode;
use crate::parse::lower::decoder::Decoded;
use crate::parse::lower::decoder::Decoder;
use crate::parse::types::is_signed;
use crate::parse::types::type_bits;
use crate::types::Type;

/// Decodes `add`, `sub`, `mul`, `mad` and the like; the type is taken and is not a floating-point one.
pub fn arithmetic(mut d: Decoder<'_>, ty: Type) -> Decoded {
    if d.take("cc") || matches!(d.mnemonic, "addc" | "subc" | "madc") {
        return carry(d, ty);
    }
    if !matches!(type_bits(ty), 16 | 32 | 64) {
        return Err(d.error(format!("{ty:?} is not a type of integer arithmetic")));
    }
    let sat = d.take("sat");
    if sat && !(ty == Type::S32 && matches!(d.mnemonic, "add" | "sub")) {
        return Err(d.error(".sat is of add.s32 and sub.s32 only"));
    }
    let part = d.take_any(&["lo", "hi", "wide"]);
    if d.mnemonic == "mad" {
        let op = match part {
            Some("lo") => IntegerTernary::MadLow,
            Some("hi") => IntegerTernary::MadHigh,
            Some(_) => IntegerTernary::MadWide,
            None => return Err(d.error(".lo, .hi or .wide is missing")),
        };
        return ternary(d, op, ty, Class::IntegerMultiply);
    }
    let (op, class) = match (d.mnemonic, part) {
        ("add", None) if sat => (IntegerBinary::AddSaturating, Class::Integer),
        ("add", None) => (IntegerBinary::Add, Class::Integer),
        ("sub", None) if sat => (IntegerBinary::SubSaturating, Class::Integer),
        ("sub", None) => (IntegerBinary::Sub, Class::Integer),
        ("mul", Some("lo")) => (IntegerBinary::MulLow, Class::IntegerMultiply),
        ("mul", Some("hi")) => (IntegerBinary::MulHigh, Class::IntegerMultiply),
        ("mul", Some(_)) => (IntegerBinary::MulWide, Class::IntegerMultiply),
        ("div", None) => (IntegerBinary::Divide, Class::Special),
        ("rem", None) => (IntegerBinary::Remainder, Class::Special),
        ("min", None) => (IntegerBinary::Min, Class::Integer),
        ("max", None) => (IntegerBinary::Max, Class::Integer),
        _ => return Err(d.unknown()),
    };
    binary(d, op, ty, class)
}

fn binary(d: Decoder<'_>, op: IntegerBinary, ty: Type, class: Class) -> Decoded {
    d.expect_operands(&[3])?;
    let b_type = match op {
        IntegerBinary::ShiftLeft | IntegerBinary::ShiftRight => Type::B32,
        _ => ty,
    };
    let operation =
        Operation::IntegerBinary { op, ty, dst: d.destination(0)?, a: d.source(1, ty)?, b: d.source(2, b_type)? };
    d.finish(operation, class)
}

fn ternary(d: Decoder<'_>, op: IntegerTernary, ty: Type, class: Class) -> Decoded {
    d.expect_operands(&[4])?;
    let c_type = match (op, type_bits(ty), is_signed(ty)) {
        (IntegerTernary::MadWide, 16, false) => Type::U32,
        (IntegerTernary::MadWide, 16, true) => Type::S32,
        (IntegerTernary::MadWide, _, false) => Type::U64,
        (IntegerTernary::MadWide, _, true) => Type::S64,
        (IntegerTernary::BitExtract, ..) => Type::B32,
        _ => ty,
    };
    let b_type = if op == IntegerTernary::BitExtract { Type::B32 } else { ty };
    let operation = Operation::IntegerTernary {
        op,
        ty,
        dst: d.destination(0)?,
        a: d.source(1, ty)?,
        b: d.source(2, b_type)?,
        c: d.source(3, c_type)?,
    };
    d.finish(operation, class)
}

/// `add.cc`, `addc`, `sub.cc`, `subc`, `mad.cc`, `madc`; `.cc` is taken.
fn carry(mut d: Decoder<'_>, ty: Type) -> Decoded {
    let had_cc = d.raw.opcode.split('.').any(|part| part == "cc");
    let part = d.take_any(&["lo", "hi"]);
    let with_carry = d.mnemonic.ends_with('c');
    let op = match (d.mnemonic, part) {
        ("add" | "addc", None) => CarryOp::Add { with_carry },
        ("sub" | "subc", None) => CarryOp::Sub { with_borrow: with_carry },
        ("mad" | "madc", Some("lo")) => CarryOp::MadLow { with_carry },
        ("mad" | "madc", Some("hi")) => CarryOp::MadHigh { with_carry },
        _ => return Err(d.unknown()),
    };
    let is_mad = matches!(op, CarryOp::MadLow { .. } | CarryOp::MadHigh { .. });
    d.expect_operands(if is_mad { &[4] } else { &[3] })?;
    let b = d.source(2, ty)?;
    let c = if is_mad { d.source(3, ty)? } else { b };
    let operation = Operation::Carry { op, ty, sets_carry: had_cc, dst: d.destination(0)?, a: d.source(1, ty)?, b, c };
    d.finish(operation, if is_mad { Class::IntegerMultiply } else { Class::Integer })
}

/// Decodes what only integers have; the type is not taken.
pub fn special(mut d: Decoder<'_>) -> Decoded {
    match d.mnemonic {
        "lop3" => lop3(d),
        "prmt" => permute(d),
        "shf" => funnel(d),
        "dp4a" | "dp2a" => dot(d),
        "bfi" => {
            let ty = d.take_type()?;
            d.expect_operands(&[5])?;
            let operation = Operation::BitInsert {
                ty,
                dst: d.destination(0)?,
                a: d.source(1, ty)?,
                b: d.source(2, ty)?,
                position: d.source(3, Type::B32)?,
                length: d.source(4, Type::B32)?,
            };
            d.finish(operation, Class::Integer)
        }
        "bfe" => {
            let ty = d.take_type()?;
            ternary(d, IntegerTernary::BitExtract, ty, Class::Integer)
        }
        "sad" => {
            let ty = d.take_type()?;
            ternary(d, IntegerTernary::SumAbsoluteDifferences, ty, Class::Integer)
        }
        "mul24" => {
            let ty = d.take_type()?;
            if !d.take("lo") {
                return Err(d.error("only .lo is supported"));
            }
            binary(d, IntegerBinary::Mul24Low, ty, Class::IntegerMultiply)
        }
        "bmsk" => {
            let ty = d.take_type()?;
            if !d.take("clamp") {
                return Err(d.error("only .clamp is supported"));
            }
            binary(d, IntegerBinary::BitMask, ty, Class::Integer)
        }
        _ => shift_or_unary(d),
    }
}

fn shift_or_unary(mut d: Decoder<'_>) -> Decoded {
    let ty = d.take_type()?;
    let op = match d.mnemonic {
        "shl" => return binary(d, IntegerBinary::ShiftLeft, ty, Class::Integer),
        "shr" => return binary(d, IntegerBinary::ShiftRight, ty, Class::Integer),
        "not" => IntegerUnary::Not,
        "cnot" => IntegerUnary::LogicalNot,
        "popc" => IntegerUnary::PopulationCount,
        "clz" => IntegerUnary::LeadingZeros,
        "brev" => IntegerUnary::BitReverse,
        "bfind" => IntegerUnary::FindBit { shift_amount: d.take("shiftamt") },
        _ => return Err(d.unknown()),
    };
    unary(d, op, ty)
}

/// Decodes an integer instruction of one source; the type is taken.
pub fn unary(d: Decoder<'_>, op: IntegerUnary, ty: Type) -> Decoded {
    d.expect_operands(&[2])?;
    let operation = Operation::IntegerUnary { op, ty, dst: d.destination(0)?, a: d.source(1, ty)? };
    d.finish(operation, Class::Integer)
}

/// `and`, `or`, `xor` of registers or of predicates.
pub fn logic(mut d: Decoder<'_>) -> Decoded {
    let ty = d.take_type()?;
    let (logic, op) = match d.mnemonic {
        "and" => (Logic::And, IntegerBinary::And),
        "or" => (Logic::Or, IntegerBinary::Or),
        _ => (Logic::Xor, IntegerBinary::Xor),
    };
    if ty != Type::Pred {
        return binary(d, op, ty, Class::Integer);
    }
    d.expect_operands(&[3])?;
    let operation = Operation::PredicateLogic {
        op: logic,
        dst: d.predicate_destination(0)?,
        a: d.predicate(1)?,
        b: d.predicate(2)?,
    };
    d.finish(operation, Class::Predicate)
}

fn lop3(mut d: Decoder<'_>) -> Decoded {
    let ty = d.take_type()?;
    d.expect_operands(&[5])?;
    let table = u8::try_from(d.constant(4)?).map_err(|_| d.error("the table is not a byte"))?;
    let operation = Operation::IntegerTernary {
        op: IntegerTernary::Logic3(table),
        ty,
        dst: d.destination(0)?,
        a: d.source(1, ty)?,
        b: d.source(2, ty)?,
        c: d.source(3, ty)?,
    };
    d.finish(operation, Class::Integer)
}

fn permute(mut d: Decoder<'_>) -> Decoded {
    let ty = d.take_type()?;
    let mode = match d.take_any(&["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"]) {
        None => PermuteMode::Index,
        Some("f4e") => PermuteMode::Forward4,
        Some("b4e") => PermuteMode::Backward4,
        Some("rc8") => PermuteMode::Replicate8,
        Some("ecl") => PermuteMode::EdgeLeft,
        Some("ecr") => PermuteMode::EdgeRight,
        Some(_) => PermuteMode::Replicate16,
    };
    ternary(d, IntegerTernary::Permute(mode), ty, Class::Integer)
}

fn funnel(mut d: Decoder<'_>) -> Decoded {
    let ty = d.take_type()?;
    let left = match d.take_any(&["l", "r"]) {
        Some(direction) => direction == "l",
        None => return Err(d.error(".l or .r is missing")),
    };
    let wrap = match d.take_any(&["wrap", "clamp"]) {
        Some(amount) => amount == "wrap",
        None => return Err(d.error(".wrap or .clamp is missing")),
    };
    ternary(d, IntegerTernary::Funnel { left, wrap }, ty, Class::Integer)
}

fn dot(mut d: Decoder<'_>) -> Decoded {
    let part = d.take_any(&["lo", "hi"]);
    let (a_type, b_type) = (d.take_type()?, d.take_type()?);
    let (a_signed, b_signed) = (is_signed(a_type), is_signed(b_type));
    let op = match (d.mnemonic, part) {
        ("dp4a", None) => IntegerTernary::Dot4 { a_signed, b_signed },
        ("dp2a", Some(part)) => IntegerTernary::Dot2 { a_signed, b_signed, high: part == "hi" },
        _ => return Err(d.unknown()),
    };
    ternary(d, op, Type::B32, Class::IntegerMultiply)
}
