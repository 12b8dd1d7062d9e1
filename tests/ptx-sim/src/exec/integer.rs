//! Integer arithmetic of all lanes. The result's bits above the destination's width are dropped when it is written.

use crate::exec::warp::Lanes;
use crate::ir::CarryOp;
use crate::ir::IntegerBinary;
use crate::ir::IntegerTernary;
use crate::ir::IntegerUnary;
use crate::ir::PermuteMode;
use crate::numeric::convert::sign_extend;
use crate::numeric::convert::zero_extend;
use crate::parse::types::is_signed;
use crate::parse::types::type_bits;
use crate::types::Type;

#[inline(always)]
fn map(a: &Lanes, f: impl Fn(u64) -> u64) -> Lanes {
    std::array::from_fn(|lane| f(a[lane]))
}

#[inline(always)]
fn map2(a: &Lanes, b: &Lanes, f: impl Fn(u64, u64) -> u64) -> Lanes {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

#[inline(always)]
fn map3(a: &Lanes, b: &Lanes, c: &Lanes, f: impl Fn(u64, u64, u64) -> u64) -> Lanes {
    std::array::from_fn(|lane| f(a[lane], b[lane], c[lane]))
}

/// Extends every lane to 64 bits as its type says.
fn extend(a: &Lanes, ty: Type) -> Lanes {
    match (type_bits(ty), is_signed(ty)) {
        (16, false) => map(a, |a| a as u16 as u64),
        (32, false) => map(a, |a| a as u32 as u64),
        (16, true) => map(a, |a| a as i16 as u64),
        (32, true) => map(a, |a| a as i32 as u64),
        (64, _) => *a,
        _ => map(a, |a| if is_signed(ty) { sign_extend(a, ty) } else { zero_extend(a, ty) }),
    }
}

pub fn unary(op: IntegerUnary, ty: Type, a: &Lanes) -> Lanes {
    let bits = type_bits(ty);
    let a = &extend(a, ty);
    match op {
        IntegerUnary::Not => map(a, |a| !a),
        IntegerUnary::Negate => map(a, u64::wrapping_neg),
        IntegerUnary::Absolute => map(a, |a| (a as i64).wrapping_abs() as u64),
        IntegerUnary::PopulationCount => map(a, |a| a.count_ones().into()),
        IntegerUnary::LeadingZeros => map(a, |a| u64::from(a.leading_zeros() + bits - 64)),
        IntegerUnary::BitReverse => map(a, |a| a.reverse_bits() >> (64 - bits)),
        IntegerUnary::LogicalNot => map(a, |a| u64::from(a == 0)),
        IntegerUnary::FindBit { shift_amount } => map(a, |a| {
            // Of a negative number, the highest bit that differs from the sign.
            let significant = if is_signed(ty) && (a as i64) < 0 { !a } else { a };
            if significant == 0 {
                return u64::MAX;
            }
            let position = 63 - significant.leading_zeros();
            u64::from(if shift_amount { bits - 1 - position } else { position })
        }),
    }
}

pub fn binary(op: IntegerBinary, ty: Type, a: &Lanes, b: &Lanes) -> Lanes {
    match op {
        IntegerBinary::Add => map2(a, b, u64::wrapping_add),
        IntegerBinary::Sub => map2(a, b, u64::wrapping_sub),
        IntegerBinary::MulLow => map2(a, b, u64::wrapping_mul),
        IntegerBinary::And => map2(a, b, |a, b| a & b),
        IntegerBinary::Or => map2(a, b, |a, b| a | b),
        IntegerBinary::Xor => map2(a, b, |a, b| a ^ b),
        IntegerBinary::ShiftLeft => {
            let bits = u64::from(type_bits(ty));
            map2(a, b, |a, b| if (b as u32 as u64) < bits { a << (b as u32) } else { 0 })
        }
        IntegerBinary::ShiftRight => shift_right(ty, &extend(a, ty), b),
        _ => extended_binary(op, ty, &extend(a, ty), &extend(b, ty)),
    }
}

fn shift_right(ty: Type, a: &Lanes, b: &Lanes) -> Lanes {
    if is_signed(ty) {
        return map2(a, b, |a, b| ((a as i64) >> (b as u32).min(63)) as u64);
    }
    map2(a, b, |a, b| if (b as u32) < 64 { a >> (b as u32) } else { 0 })
}

fn extended_binary(op: IntegerBinary, ty: Type, a: &Lanes, b: &Lanes) -> Lanes {
    let (bits, signed) = (type_bits(ty), is_signed(ty));
    match op {
        IntegerBinary::AddSaturating => map2(a, b, |a, b| saturate(a as i64 + b as i64)),
        IntegerBinary::SubSaturating => map2(a, b, |a, b| saturate(a as i64 - b as i64)),
        IntegerBinary::MulHigh => map2(a, b, |a, b| high_product(a, b, bits, signed)),
        IntegerBinary::MulWide => map2(a, b, u64::wrapping_mul),
        IntegerBinary::Mul24Low => map2(a, b, |a, b| low24(a, signed).wrapping_mul(low24(b, signed))),
        // The ISA leaves division by zero open; all ones, and the dividend, are what the compiled sequences give.
        IntegerBinary::Divide if signed => map2(a, b, |a, b| match b {
            0 => u64::MAX,
            _ => (a as i64).wrapping_div(b as i64) as u64,
        }),
        IntegerBinary::Divide => map2(a, b, |a, b| a.checked_div(b).unwrap_or(u64::MAX)),
        IntegerBinary::Remainder if signed => map2(a, b, |a, b| match b {
            0 => a,
            _ => (a as i64).wrapping_rem(b as i64) as u64,
        }),
        IntegerBinary::Remainder => map2(a, b, |a, b| a.checked_rem(b).unwrap_or(a)),
        IntegerBinary::Min if signed => map2(a, b, |a, b| (a as i64).min(b as i64) as u64),
        IntegerBinary::Min => map2(a, b, u64::min),
        IntegerBinary::Max if signed => map2(a, b, |a, b| (a as i64).max(b as i64) as u64),
        IntegerBinary::Max => map2(a, b, u64::max),
        IntegerBinary::BitMask => map2(a, b, |a, b| field_mask(b.min(32) as u32) << a.min(63)),
        _ => binary(op, ty, a, b),
    }
}

fn saturate(sum: i64) -> u64 {
    sum.clamp(i32::MIN.into(), i32::MAX.into()) as u64
}

fn low24(a: u64, signed: bool) -> u64 {
    if signed { ((a << 40) as i64 >> 40) as u64 } else { a & 0xff_ffff }
}

fn high_product(a: u64, b: u64, bits: u32, signed: bool) -> u64 {
    if signed {
        return ((i128::from(a as i64) * i128::from(b as i64)) >> bits) as u64;
    }
    ((u128::from(a) * u128::from(b)) >> bits) as u64
}

/// `length` ones.
fn field_mask(length: u32) -> u64 {
    if length >= 64 { u64::MAX } else { (1 << length) - 1 }
}

pub fn ternary(op: IntegerTernary, ty: Type, a: &Lanes, b: &Lanes, c: &Lanes) -> Lanes {
    let (bits, signed) = (type_bits(ty), is_signed(ty));
    match op {
        IntegerTernary::MadLow => map3(a, b, c, |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        IntegerTernary::Logic3(table) => logic3(table, a, b, c),
        IntegerTernary::Permute(mode) => map3(a, b, c, |a, b, c| permute(mode, a, b, c as u32)),
        IntegerTernary::Funnel { left, wrap } => map3(a, b, c, |a, b, c| funnel(a, b, c as u32, left, wrap)),
        IntegerTernary::Dot4 { a_signed, b_signed } => map3(a, b, c, |a, b, c| {
            let products = (0..4).map(|i| part(a, i, 8, a_signed).wrapping_mul(part(b, i, 8, b_signed)));
            products.fold(c, u64::wrapping_add)
        }),
        IntegerTernary::Dot2 { a_signed, b_signed, high } => map3(a, b, c, |a, b, c| {
            let first = if high { 2 } else { 0 };
            let products = (0..2).map(|i| part(a, i, 16, a_signed).wrapping_mul(part(b, first + i, 8, b_signed)));
            products.fold(c, u64::wrapping_add)
        }),
        IntegerTernary::BitExtract => map3(&extend(a, ty), b, c, |a, b, c| bit_extract(a, b, c, bits, signed)),
        IntegerTernary::PackSaturating { to } => map3(a, b, c, |a, b, c| pack_saturating(to, a, b, c)),
        _ => extended_ternary(op, bits, signed, [&extend(a, ty), &extend(b, ty), c], ty),
    }
}

fn extended_ternary(op: IntegerTernary, bits: u32, signed: bool, [a, b, c]: [&Lanes; 3], ty: Type) -> Lanes {
    match op {
        IntegerTernary::MadHigh => map3(a, b, c, |a, b, c| high_product(a, b, bits, signed).wrapping_add(c)),
        IntegerTernary::MadWide => map3(a, b, c, |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        IntegerTernary::SumAbsoluteDifferences => map3(a, b, c, |a, b, c| {
            let distance = if signed { (a as i64).abs_diff(b as i64) } else { a.abs_diff(b) };
            distance.wrapping_add(c)
        }),
        _ => ternary(op, ty, a, b, c),
    }
}

/// Part `index` of `width` bits.
fn part(value: u64, index: u32, width: u32, signed: bool) -> u64 {
    let raised = value << (64 - width * (index + 1));
    if signed { ((raised as i64) >> (64 - width)) as u64 } else { raised >> (64 - width) }
}

fn logic3(table: u8, a: &Lanes, b: &Lanes, c: &Lanes) -> Lanes {
    // One term for each row of the table; row 0b101 is a & !b & c.
    let mut result = [0; 32];
    for row in (0..8).filter(|row| table >> row & 1 == 1) {
        let flip = |bit: u32| if row >> bit & 1 == 1 { 0 } else { u64::MAX };
        let (fa, fb, fc) = (flip(2), flip(1), flip(0));
        for lane in 0..32 {
            result[lane] |= (a[lane] ^ fa) & (b[lane] ^ fb) & (c[lane] ^ fc);
        }
    }
    result
}

fn permute(mode: PermuteMode, a: u64, b: u64, control: u32) -> u64 {
    let bytes = (a & 0xffff_ffff) | (b << 32);
    let selected = |index: u32| (bytes >> (8 * (index & 7))) & 0xff;
    let c = control & 3;
    let index = |byte: u32| match mode {
        PermuteMode::Index => control >> (4 * byte) & 7,
        PermuteMode::Forward4 => c + byte,
        PermuteMode::Backward4 => c.wrapping_sub(byte) & 7,
        PermuteMode::Replicate8 => c,
        PermuteMode::EdgeLeft => byte.max(c),
        PermuteMode::EdgeRight => byte.min(c),
        PermuteMode::Replicate16 => 2 * (c & 1) + (byte & 1),
    };
    (0..4).fold(0, |result, byte| {
        let value = selected(index(byte));
        let replicates_sign = mode == PermuteMode::Index && control >> (4 * byte + 3) & 1 == 1;
        let value = if replicates_sign { if value & 0x80 != 0 { 0xff } else { 0 } } else { value };
        result | value << (8 * byte)
    })
}

fn funnel(a: u64, b: u64, c: u32, left: bool, wrap: bool) -> u64 {
    let amount = if wrap { c & 31 } else { c.min(32) };
    let value = (a & 0xffff_ffff) | (b << 32);
    if left { (value << amount) >> 32 } else { value >> amount }
}

fn bit_extract(a: u64, position: u64, length: u64, bits: u32, signed: bool) -> u64 {
    let (position, length) = ((position & 0xff) as u32, (length & 0xff) as u32);
    if length == 0 {
        return 0;
    }
    // `a` is extended, so that bits beyond its top are copies of the sign, or zeros.
    let shifted = if signed { ((a as i64) >> position.min(63)) as u64 } else { a.checked_shr(position).unwrap_or(0) };
    let field = shifted & field_mask(length);
    let top = position + length - 1;
    let sign_bit = a >> top.min(bits - 1) & 1;
    if signed && sign_bit == 1 { field | !field_mask(length) } else { field }
}

pub fn bit_insert(ty: Type, a: &Lanes, b: &Lanes, position: &Lanes, length: &Lanes) -> Lanes {
    let bits = type_bits(ty);
    std::array::from_fn(|lane| {
        let (position, length) = ((position[lane] & 0xff) as u32, (length[lane] & 0xff) as u32);
        if position >= bits {
            return b[lane];
        }
        let mask = field_mask(length) << position;
        (b[lane] & !mask) | (a[lane] << position & mask)
    })
}

fn pack_saturating(to: Type, a: u64, b: u64, c: u64) -> u64 {
    let bits = type_bits(to);
    let (low, high) =
        if is_signed(to) { (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1) } else { (0, (1i64 << bits) - 1) };
    let clamp = |value: u64| i64::from(value as i32).clamp(low, high) as u64 & field_mask(bits);
    c << (2 * bits) | clamp(a) << bits | clamp(b)
}

/// Addition and subtraction with carry: the results, and the flags that come out.
pub fn carry(op: CarryOp, ty: Type, flags: u32, [a, b, c]: [&Lanes; 3]) -> (Lanes, u32) {
    let bits = type_bits(ty);
    let mut result = [0; 32];
    let mut out = 0;
    for lane in 0..32 {
        let flag = u128::from(flags >> lane & 1);
        let (x, y, z) = (zero_extend(a[lane], ty), zero_extend(b[lane], ty), zero_extend(c[lane], ty));
        let total = match op {
            CarryOp::Add { with_carry } => u128::from(x) + u128::from(y) + if with_carry { flag } else { 0 },
            CarryOp::Sub { with_borrow } => {
                u128::from(x).wrapping_sub(u128::from(y)).wrapping_sub(if with_borrow { flag } else { 0 })
            }
            CarryOp::MadLow { with_carry } => {
                let low = u128::from(x.wrapping_mul(y)) & u128::from(field_mask(bits));
                low + u128::from(z) + if with_carry { flag } else { 0 }
            }
            CarryOp::MadHigh { with_carry } => {
                let (sx, sy) = (sign_extend(a[lane], ty), sign_extend(b[lane], ty));
                let high = high_product(sx, sy, bits, is_signed(ty)) & field_mask(bits);
                u128::from(high) + u128::from(z) + if with_carry { flag } else { 0 }
            }
        };
        result[lane] = total as u64;
        out |= u32::from(total >> bits & 1 == 1) << lane;
    }
    (result, out)
}
