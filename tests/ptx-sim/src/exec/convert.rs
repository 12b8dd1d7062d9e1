//! Conversions, comparisons and parts of registers, of all lanes.

use crate::exec::environment::Environment;
use crate::exec::float::for_lanes;
use crate::exec::warp::Lanes;
use crate::exec::warp::Warp;
use crate::exec::warp::lanes_of;
use crate::ir::Compare;
use crate::ir::Convert;
use crate::ir::Destination;
use crate::ir::Logic;
use crate::ir::Operand;
use crate::ir::PredicateOperand;
use crate::ir::SetPredicate;
use crate::numeric;
use crate::numeric::Comparison;
use crate::numeric::convert::sign_extend;
use crate::numeric::convert::zero_extend;
use crate::parse::types::is_signed;
use crate::types::Type;

/// `cvt` of one source.
pub fn convert(warp: &mut Warp, env: &Environment<'_>, convert: &Convert, mask: u32) {
    let src = env.read(warp, &convert.src);
    let is_plain = convert.rounding.is_none() && convert.modifiers == numeric::ConvertModifiers::default();
    if is_plain && is_integer(convert.to) && is_integer(convert.from) {
        let result = std::array::from_fn(|lane| extend(extend(src[lane], convert.from), convert.to));
        warp.write(convert.dst, &result, mask);
        return;
    }
    let Convert { to, from, rounding, modifiers, .. } = *convert;
    let result = for_lanes(mask, |lane| Ok(extend(numeric::convert(src[lane], to, from, rounding, modifiers)?, to)));
    warp.write(convert.dst, &result, mask);
}

fn is_integer(ty: Type) -> bool {
    matches!(ty, Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::S8 | Type::S16 | Type::S32 | Type::S64)
}

#[inline]
fn extend(value: u64, ty: Type) -> u64 {
    if is_signed(ty) { sign_extend(value, ty) } else { zero_extend(value, ty) }
}

/// `cvt` of two sources to a pair.
pub fn convert_pair(warp: &mut Warp, env: &Environment<'_>, convert: &Convert, low: &Operand, mask: u32) {
    let (high, low) = (env.read(warp, &convert.src), env.read(warp, low));
    let Convert { to, from, rounding, modifiers, .. } = *convert;
    let result = for_lanes(mask, |lane| numeric::convert_pair(high[lane], low[lane], to, from, rounding, modifiers));
    warp.write(convert.dst, &result, mask);
}

/// The lanes of `mask` in which a comparison holds: of the value, or of the low and the high half of a pair.
fn compare(warp: &Warp, env: &Environment<'_>, compare: &Compare, mask: u32) -> (u32, u32) {
    let (a, b) = (env.read(warp, &compare.a), env.read(warp, &compare.b));
    let half = match compare.ty {
        Type::F16x2 => Type::F16,
        Type::Bf16x2 => Type::Bf16,
        _ => return (compare_lanes(compare, compare.ty, &a, &b, mask), 0),
    };
    let high = |lanes: &Lanes| lanes.map(|lane| lane >> 16);
    (compare_lanes(compare, half, &a, &b, mask), compare_lanes(compare, half, &high(&a), &high(&b), mask))
}

fn compare_lanes(compare: &Compare, ty: Type, a: &Lanes, b: &Lanes, mask: u32) -> u32 {
    use Comparison::*;
    match (compare.comparison, ty) {
        (Eq, Type::B32 | Type::U32 | Type::S32) => collect(mask, |lane| a[lane] as u32 == b[lane] as u32),
        (Ne, Type::B32 | Type::U32 | Type::S32) => collect(mask, |lane| a[lane] as u32 != b[lane] as u32),
        (Lt, Type::S32) => collect(mask, |lane| (a[lane] as i32) < b[lane] as i32),
        (Le, Type::S32) => collect(mask, |lane| a[lane] as i32 <= b[lane] as i32),
        (Gt, Type::S32) => collect(mask, |lane| a[lane] as i32 > b[lane] as i32),
        (Ge, Type::S32) => collect(mask, |lane| a[lane] as i32 >= b[lane] as i32),
        _ => lanes_of(mask).fold(0, |found, lane| {
            let holds = numeric::compare(compare.comparison, ty, a[lane], b[lane], compare.ftz);
            let holds = holds.expect("the parser accepts only what numeric supports");
            found | u32::from(holds) << lane
        }),
    }
}

#[inline(always)]
fn collect(mask: u32, holds: impl Fn(usize) -> bool) -> u32 {
    (0..32).fold(0, |found, lane| found | u32::from(holds(lane)) << lane) & mask
}

/// Boolean operations of predicates.
pub fn logic(op: Logic, a: u32, b: u32) -> u32 {
    match op {
        Logic::And => a & b,
        Logic::Or => a | b,
        Logic::Xor => a ^ b,
    }
}

fn combined(warp: &Warp, value: u32, combine: Option<(Logic, PredicateOperand)>) -> u32 {
    combine.map_or(value, |(op, predicate)| logic(op, value, warp.predicate(predicate)))
}

/// `setp`
pub fn set_predicate(warp: &mut Warp, env: &Environment<'_>, set: &SetPredicate, mask: u32) {
    let (low, high) = compare(warp, env, &set.compare, mask);
    let is_pair = matches!(set.compare.ty, Type::F16x2 | Type::Bf16x2);
    let first = combined(warp, low, set.combine);
    let second = combined(warp, if is_pair { high } else { !low }, set.combine);
    if let Some(dst) = set.dst {
        warp.set_predicate(dst, first, mask);
    }
    if let Some(dst) = set.second {
        warp.set_predicate(dst, second, mask);
    }
}

/// `set`
pub fn set(
    warp: &mut Warp,
    env: &Environment<'_>,
    compared: &Compare,
    combine: Option<(Logic, PredicateOperand)>,
    to: Type,
    dst: Destination,
    mask: u32,
) {
    let (low, high) = compare(warp, env, compared, mask);
    let (low, high) = (combined(warp, low, combine), combined(warp, high, combine));
    let one = match to {
        Type::F16 | Type::F16x2 => 0x3c00,
        Type::Bf16 | Type::Bf16x2 => 0x3f80,
        Type::F32 => 0x3f80_0000,
        _ => u64::MAX,
    };
    let is_pair = matches!(to, Type::F16x2 | Type::Bf16x2);
    let result = std::array::from_fn(|lane| {
        let value = |holds: u32| if holds >> lane & 1 == 1 { one } else { 0 };
        if is_pair { value(low) | value(high) << 16 } else { value(low) }
    });
    warp.write(dst, &result, mask);
}

/// `slct`
pub fn select_sign(ty: Type, ftz: bool, a: &Lanes, b: &Lanes, c: &Lanes) -> Lanes {
    std::array::from_fn(|lane| {
        let value = f32::from_bits(c[lane] as u32);
        let is_first = match ty {
            // A flushed subnormal is zero, and negative zero is not below zero.
            Type::F32 => value >= 0.0 || (ftz && value.is_subnormal()),
            _ => c[lane] as i32 >= 0,
        };
        if is_first { a[lane] } else { b[lane] }
    })
}

/// `mov` from parts.
pub fn pack(warp: &mut Warp, env: &Environment<'_>, dst: Destination, elements: &[Operand], bits: u32, mask: u32) {
    let ones = u64::MAX >> (64 - bits);
    let mut result = [0; 32];
    for (index, element) in elements.iter().enumerate() {
        let value = env.read(warp, element);
        for lane in 0..32 {
            result[lane] |= (value[lane] & ones) << (bits * index as u32);
        }
    }
    warp.write(dst, &result, mask);
}

/// `mov` to parts.
pub fn unpack(
    warp: &mut Warp,
    env: &Environment<'_>,
    dsts: &[Option<Destination>],
    src: &Operand,
    bits: u32,
    mask: u32,
) {
    let value = env.read(warp, src);
    let ones = u64::MAX >> (64 - bits);
    for (index, dst) in dsts.iter().enumerate() {
        if let Some(dst) = dst {
            let part = value.map(|lane| lane >> (bits * index as u32) & ones);
            warp.write(*dst, &part, mask);
        }
    }
}
