//! `add`, `sub`, `mul`, `fma`, `neg`, `abs`, `min`, `max`, `copysign`, `div.rn`, `sqrt.rn` and `rcp.rn` of
//! floating-point numbers, each rounded once.
//!
//! Products of `f32`, `f16` and `bf16` are exact in an `f64`, and what is not exact there is rounded to odd (`odd.rs`)
//! first.

use crate::numeric::Unsupported;
use crate::numeric::convert::saturate;
use crate::numeric::float16::bf16_to_f32;
use crate::numeric::float16::f16_to_f32;
use crate::numeric::float16::f64_to_bf16;
use crate::numeric::float16::f64_to_f16;
use crate::numeric::float16::flush_f16;
use crate::numeric::float16::pack;
use crate::numeric::float16::unpack;
use crate::numeric::odd::sum_to_odd;
use crate::numeric::odd::to_odd;
use crate::numeric::round::Format;
use crate::numeric::round::Overflow;
use crate::types::Rounding;
use crate::types::Type;

/// The NaN that `f32` instructions return.
pub const NAN_F32: u32 = 0x7fff_ffff;

/// The modifiers of floating-point instructions. `Default` is round to nearest even and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FloatModifiers {
    /// `.rn`, `.rz`, `.rm` or `.rp`.
    pub rounding: Rounding,
    /// `.ftz`: subnormal operands and results become zeros of the same sign (`f32` and `f16`).
    pub ftz: bool,
    /// `.sat`: the result is clamped to `[0, 1]`; NaN becomes `+0`.
    pub sat: bool,
    /// `.relu`: a result with the sign bit becomes `+0`; NaN is the canonical one.
    pub relu: bool,
    /// `.NaN`, of `min` and `max`: NaN if either operand is. Without it the other operand.
    pub nan: bool,
    /// `.xorsign.abs`, of `min` and `max`: of absolute values, with the exclusive or of the signs.
    pub xorsign_abs: bool,
}

/// A two-operand instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
}

/// `a + b`.
///
/// # Errors
/// A type other than `f16`, `bf16`, `f32`, `f64` and their pairs; a rounding that the type does not have (`f16` and
/// `bf16` round to nearest only; so does `f64` here, though PTX has all four); `.rna`. The same holds for all
/// functions of this module.
pub fn add(ty: Type, a: u64, b: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    binary(Binary::Add, ty, a, b, modifiers)
}

/// `a - b`.
///
/// # Errors
/// As [`add`].
pub fn sub(ty: Type, a: u64, b: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    binary(Binary::Sub, ty, a, b, modifiers)
}

/// `a * b`.
///
/// # Errors
/// As [`add`].
pub fn mul(ty: Type, a: u64, b: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    binary(Binary::Mul, ty, a, b, modifiers)
}

/// `a / b`, correctly rounded: `div.rn` and its kin of `f32` and `f64`.
///
/// # Errors
/// As [`add`], and for 16-bit types.
pub fn div(ty: Type, a: u64, b: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    if !matches!(ty, Type::F32 | Type::F64) {
        return Err(Unsupported::new(format!("div of {ty:?}")));
    }
    binary(Binary::Div, ty, a, b, modifiers)
}

/// `1 / a`, correctly rounded: `rcp.rn` and its kin of `f32` and `f64`.
///
/// # Errors
/// As [`div`].
pub fn rcp(ty: Type, a: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    let one = if ty == Type::F64 { 1f64.to_bits() } else { u64::from(1f32.to_bits()) };
    div(ty, one, a, modifiers)
}

/// The square root, correctly rounded: `sqrt.rn` and its kin of `f32` and `f64`.
///
/// # Errors
/// As [`div`].
pub fn sqrt(ty: Type, a: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    check(ty, modifiers)?;
    match ty {
        Type::F32 => {
            let a = f64::from(operand_f32(a, modifiers));
            let root = a.sqrt();
            Ok(result_f32(to_odd(root, (-root).mul_add(root, a)), modifiers))
        }
        Type::F64 => Ok(f64::from_bits(a).sqrt().to_bits()),
        _ => Err(Unsupported::new(format!("sqrt of {ty:?}"))),
    }
}

/// The smaller operand; `-0` is smaller than `+0`.
///
/// # Errors
/// As [`add`].
pub fn min(ty: Type, a: u64, b: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    binary(Binary::Min, ty, a, b, modifiers)
}

/// The larger operand; `+0` is larger than `-0`.
///
/// # Errors
/// As [`add`].
pub fn max(ty: Type, a: u64, b: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    binary(Binary::Max, ty, a, b, modifiers)
}

/// The absolute value of `b` with the sign of `a`, of `f32` and `f64`.
///
/// # Errors
/// As [`add`], and for 16-bit types.
pub fn copysign(ty: Type, a: u64, b: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    check(ty, modifiers)?;
    if !matches!(ty, Type::F32 | Type::F64) {
        return Err(Unsupported::new(format!("copysign of {ty:?}")));
    }
    let sign = sign_bits(ty);
    Ok(a & sign | flushed(ty, b, modifiers.ftz) & !sign)
}

/// `a` with the other sign. A NaN keeps its payload.
///
/// # Errors
/// As [`add`].
pub fn neg(ty: Type, a: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    check(ty, modifiers)?;
    Ok(flushed(ty, a, modifiers.ftz) ^ sign_bits(ty))
}

/// `a` without its sign. A NaN keeps its payload.
///
/// # Errors
/// As [`add`].
pub fn abs(ty: Type, a: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    check(ty, modifiers)?;
    Ok(flushed(ty, a, modifiers.ftz) & !sign_bits(ty))
}

/// `a * b + c`, rounded once.
///
/// # Errors
/// As [`add`].
#[inline]
pub fn fma(ty: Type, a: u64, b: u64, c: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    check(ty, modifiers)?;
    let half = |a: u16, b: u16, c: u16| {
        let [a, b, c] = [a, b, c].map(|bits| operand_half(ty, bits, modifiers));
        result_half(ty, sum_to_odd(a * b, c, modifiers.rounding), modifiers)
    };
    Ok(match ty {
        Type::F32 => {
            let [a, b, c] = [a, b, c].map(|bits| f64::from(operand_f32(bits, modifiers)));
            result_f32(sum_to_odd(a * b, c, modifiers.rounding), modifiers)
        }
        Type::F64 => f64::from_bits(a).mul_add(f64::from_bits(b), f64::from_bits(c)).to_bits(),
        Type::F16 | Type::Bf16 => u64::from(half(a as u16, b as u16, c as u16)),
        _ => {
            let ([a, d], [b, e], [c, f]) = (unpack(a), unpack(b), unpack(c));
            pack(half(a, b, c), half(d, e, f))
        }
    })
}

fn binary(op: Binary, ty: Type, a: u64, b: u64, modifiers: FloatModifiers) -> Result<u64, Unsupported> {
    check(ty, modifiers)?;
    let half = |a: u16, b: u16| {
        let [a, b] = [a, b].map(|bits| operand_half(ty, bits, modifiers));
        result_half(ty, compute_to_odd(op, a, b, modifiers), modifiers)
    };
    let nearest = modifiers.rounding == Rounding::NearestEven;
    Ok(match ty {
        Type::F32 => {
            let [a, b] = [a, b].map(|bits| f64::from(operand_f32(bits, modifiers)));
            let value = match op {
                // The host rounds to nearest as the instruction does: no second rounding follows.
                Binary::Add if nearest => f64::from(a as f32 + b as f32),
                Binary::Sub if nearest => f64::from(a as f32 - b as f32),
                Binary::Div if nearest => f64::from(a as f32 / b as f32),
                _ => compute_to_odd(op, a, b, modifiers),
            };
            result_f32(value, modifiers)
        }
        Type::F64 => binary_f64(op, f64::from_bits(a), f64::from_bits(b), modifiers).to_bits(),
        Type::F16 | Type::Bf16 => u64::from(half(a as u16, b as u16)),
        _ => {
            let ([a, c], [b, d]) = (unpack(a), unpack(b));
            pack(half(a, b), half(c, d))
        }
    })
}

fn binary_f64(op: Binary, a: f64, b: f64, modifiers: FloatModifiers) -> f64 {
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Min | Binary::Max => select(op, a, b, modifiers),
    }
}

/// The result in `f64`, rounded to odd. Operands have at most 24 significant bits.
#[inline]
fn compute_to_odd(op: Binary, a: f64, b: f64, modifiers: FloatModifiers) -> f64 {
    match op {
        Binary::Add => sum_to_odd(a, b, modifiers.rounding),
        Binary::Sub => sum_to_odd(a, -b, modifiers.rounding),
        Binary::Mul => a * b,
        Binary::Div => {
            let quotient = a / b;
            // The remainder is exact, and has the sign of the quotient's error times the divisor's.
            to_odd(quotient, (-quotient).mul_add(b, a) * b.signum())
        }
        Binary::Min | Binary::Max => select(op, a, b, modifiers),
    }
}

#[inline]
fn select(op: Binary, a: f64, b: f64, modifiers: FloatModifiers) -> f64 {
    let negative = modifiers.xorsign_abs && a.is_sign_negative() != b.is_sign_negative();
    let [x, y] = if modifiers.xorsign_abs { [a.abs(), b.abs()] } else { [a, b] };
    let chosen = match (x.is_nan(), y.is_nan()) {
        (false, false) => {
            let a_first = x < y || (x == y && x.is_sign_negative());
            if a_first == (op == Binary::Min) { x } else { y }
        }
        _ if modifiers.nan => f64::NAN,
        (true, _) => y,
        (false, true) => x,
    };
    if negative { -chosen } else { chosen }
}

#[inline]
fn check(ty: Type, modifiers: FloatModifiers) -> Result<(), Unsupported> {
    use Type::*;
    let FloatModifiers { rounding, ftz, sat, relu, .. } = modifiers;
    let why = match ty {
        F16 | F16x2 | F64 | Bf16 | Bf16x2 if rounding != Rounding::NearestEven => "rounds to nearest even only",
        F32 if rounding == Rounding::NearestAway => "does not round ties away from zero",
        F32 if relu => "has no .relu",
        F64 if ftz || sat || relu => "has no .ftz, .sat or .relu",
        Bf16 | Bf16x2 if ftz || sat => "has no .ftz or .sat",
        F16 | F16x2 | Bf16 | Bf16x2 | F32 | F64 => return Ok(()),
        _ => "is no type of floating-point arithmetic",
    };
    Err(Unsupported::new(format!("{ty:?} {why}: {modifiers:?}")))
}

#[inline]
fn operand_f32(bits: u64, modifiers: FloatModifiers) -> f32 {
    flush_f32(f32::from_bits(bits as u32), modifiers.ftz)
}

/// Makes a subnormal a zero of the same sign if `ftz`.
#[inline]
pub(super) fn flush_f32(value: f32, ftz: bool) -> f32 {
    if ftz && value.is_subnormal() { 0f32.copysign(value) } else { value }
}

/// Rounds an `f64` that was rounded to odd, and applies the modifiers of a result.
#[inline]
pub(super) fn result_f32(value: f64, modifiers: FloatModifiers) -> u64 {
    if value.is_nan() {
        return if modifiers.sat { 0 } else { u64::from(NAN_F32) };
    }
    let rounded = match modifiers.rounding {
        Rounding::NearestEven => value as f32,
        rounding => {
            let unpacked = Format::F64.decode(value.to_bits());
            f32::from_bits(Format::F32.encode(unpacked, rounding, Overflow::Ieee) as u32)
        }
    };
    let bits = u64::from(flush_f32(rounded, modifiers.ftz).to_bits());
    if modifiers.sat { saturate(bits, Format::F32) } else { bits }
}

#[inline]
fn operand_half(ty: Type, bits: u16, modifiers: FloatModifiers) -> f64 {
    f64::from(match ty {
        Type::F16 | Type::F16x2 => f16_to_f32(flush_f16(bits, modifiers.ftz)),
        _ => bf16_to_f32(bits),
    })
}

#[inline]
fn result_half(ty: Type, value: f64, modifiers: FloatModifiers) -> u16 {
    let is_f16 = matches!(ty, Type::F16 | Type::F16x2);
    let bits = if is_f16 { f64_to_f16(value) } else { f64_to_bf16(value) };
    let bits = if is_f16 { flush_f16(bits, modifiers.ftz) } else { bits };
    if modifiers.relu && bits & 0x8000 != 0 {
        return 0;
    }
    if modifiers.sat { saturate(u64::from(bits), Format::F16) as u16 } else { bits }
}

fn flushed(ty: Type, bits: u64, ftz: bool) -> u64 {
    match ty {
        Type::F32 => u64::from(flush_f32(f32::from_bits(bits as u32), ftz).to_bits()),
        Type::F16x2 | Type::Bf16x2 => {
            let [low, high] = unpack(bits).map(|half| flush_f16(half, ftz && ty == Type::F16x2));
            pack(low, high)
        }
        Type::F16 | Type::Bf16 => u64::from(flush_f16(bits as u16, ftz && ty == Type::F16)),
        _ => bits,
    }
}

fn sign_bits(ty: Type) -> u64 {
    match ty {
        Type::F64 => 1 << 63,
        Type::F32 => 0x8000_0000,
        Type::F16x2 | Type::Bf16x2 => 0x8000_8000,
        _ => 0x8000,
    }
}
