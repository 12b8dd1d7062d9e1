//! `cvt`: conversions between integers and floating-point numbers of all sizes.

use crate::numeric::Unsupported;
use crate::numeric::float8;
use crate::numeric::float16::bf16_to_f32;
use crate::numeric::float16::f16_to_f32;
use crate::numeric::float16::pack;
use crate::numeric::float16::unpack;
use crate::numeric::round::Format;
use crate::numeric::round::Overflow;
use crate::numeric::round::Unpacked;
use crate::numeric::round::shift_right_rounded;
use crate::numeric::tf32;
use crate::types::Rounding;
use crate::types::Type;

/// The modifiers of `cvt` besides its rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConvertModifiers {
    /// `.ftz`: a subnormal `f32`, operand or result, becomes a zero of the same sign.
    pub ftz: bool,
    /// `.sat`: integers are clamped to the destination's range, floating-point results to `[0, 1]` with NaN to `+0`.
    pub sat: bool,
    /// `.satfinite`: too large a number, or an infinity, becomes the largest finite one. NaN stays NaN.
    pub satfinite: bool,
    /// `.relu`: a result with the sign bit becomes `+0`; NaN is the canonical one.
    pub relu: bool,
    /// `.rni`, `.rzi`, `.rmi`, `.rpi`: round to an integral value. Implied where the destination is an integer.
    pub integral: bool,
}

/// Converts one register: a number, or a pair of numbers (`f16x2` to and from `e4m3x2` and `e5m2x2`).
///
/// The result has the width of `to`, with zeros above: a destination register that is wider than `to` gets
/// [`sign_extend`] of it. Floating-point numbers too large for an integer, and infinities, give the nearest end of its
/// range. NaN gives 0, but `1 << (width - 1)` where either side has 64 bits (PTX ISA, `cvt`).
///
/// # Errors
/// A pair of types that `cvt` does not have, a rounding left out where the result can be inexact, or a modifier that
/// the destination does not take.
pub fn convert(
    bits: u64,
    to: Type,
    from: Type,
    rounding: Option<Rounding>,
    modifiers: ConvertModifiers,
) -> Result<u64, Unsupported> {
    if let Some(result) = common(bits, to, from, rounding, modifiers) {
        return Ok(result);
    }
    let conversion = Conversion { to, from, rounding, modifiers };
    match (Integer::of(to), Integer::of(from)) {
        (Some(to), Some(from)) => {
            Ok(to.truncate(if modifiers.sat { to.clamp(from.value(bits)) } else { from.value(bits) }))
        }
        (Some(to), None) => conversion.float_to_integer(bits, to),
        (None, Some(from)) => {
            let value = from.value(bits);
            let unpacked =
                Unpacked::Finite { negative: value < 0, significand: value.unsigned_abs() as u64, exponent: 0 };
            conversion.encode(unpacked)
        }
        (None, None) => conversion.float_to_float(bits),
    }
}

/// The conversions of inner loops that the host does in an instruction or two. The result is what the general way gives.
#[inline]
fn common(bits: u64, to: Type, from: Type, rounding: Option<Rounding>, modifiers: ConvertModifiers) -> Option<u64> {
    use Type::*;
    const NEAREST: Option<Rounding> = Some(Rounding::NearestEven);
    const ZERO: Option<Rounding> = Some(Rounding::Zero);
    if modifiers != (ConvertModifiers { ftz: false, sat: false, satfinite: false, relu: false, integral: false }) {
        return None;
    }
    let single = f32::from_bits(bits as u32);
    let f32_bits = |value: f32| if value.is_nan() { Format::F32.nan } else { u64::from(value.to_bits()) };
    match (to, from, rounding) {
        (F32, F16, None | NEAREST) => Some(f32_bits(f16_to_f32(bits as u16))),
        (F32, Bf16, None | NEAREST) => Some(f32_bits(bf16_to_f32(bits as u16))),
        (F16, F32, NEAREST) => Some(Format::F16.nearest(single.into())),
        (Bf16, F32, NEAREST) => Some(Format::BF16.nearest(single.into())),
        (F32, S32, NEAREST) => Some(f32_bits(bits as i32 as f32)),
        (F32, U32, NEAREST) => Some(f32_bits(bits as u32 as f32)),
        // `as` clamps, and makes NaN 0.
        (S32, F32, ZERO) => Some(u64::from(single as i32 as u32)),
        (S32, F32, NEAREST) => Some(u64::from(single.round_ties_even() as i32 as u32)),
        (U32, F32, ZERO) => Some(u64::from(single as u32)),
        (U8 | S8 | U16 | S16 | U32 | S32 | U64 | S64, U8 | S8 | U16 | S16 | U32 | S32 | U64 | S64, _) => {
            Some(zero_extend(sign_extend(bits, from), to))
        }
        _ => None,
    }
}

/// Converts two `f32` registers to a packed pair: `cvt.rn.f16x2.f32 d, a, b` has `a` as `high` and `b` as `low`.
///
/// # Errors
/// As [`convert`], and for anything but `f32` to `f16x2`, `bf16x2`, `e4m3x2` and `e5m2x2`.
pub fn convert_pair(
    high: u64,
    low: u64,
    to: Type,
    from: Type,
    rounding: Option<Rounding>,
    modifiers: ConvertModifiers,
) -> Result<u64, Unsupported> {
    let (element, width) = match to {
        Type::F16x2 => (Type::F16, 16),
        Type::Bf16x2 => (Type::Bf16, 16),
        Type::E4m3x2 => (Type::E4m3, 8),
        Type::E5m2x2 => (Type::E5m2, 8),
        _ => return Err(Unsupported::new(format!("cvt.{to:?}.{from:?} of two registers"))),
    };
    if from != Type::F32 {
        return Err(Unsupported::new(format!("cvt.{to:?}.{from:?} of two registers: they must be f32")));
    }
    let conversion = Conversion { to: element, from, rounding, modifiers };
    let convert = |bits| match common(bits, element, from, rounding, modifiers) {
        Some(result) => Ok(result),
        None => conversion.number_to_float(bits),
    };
    Ok(convert(high)? << width | convert(low)?)
}

/// The value of an integer or `.b` type, its sign repeated up to bit 63 if it has one.
#[inline]
pub fn sign_extend(bits: u64, ty: Type) -> u64 {
    match ty {
        Type::S8 => bits as i8 as u64,
        Type::S16 => bits as i16 as u64,
        Type::S32 => bits as i32 as u64,
        _ => zero_extend(bits, ty),
    }
}

/// The bits of a value without what lies above them.
#[inline]
pub fn zero_extend(bits: u64, ty: Type) -> u64 {
    use Type::*;
    match ty {
        Pred => bits & 1,
        U4 | S4 => bits & 0xf,
        B8 | U8 | S8 | E4m3 | E5m2 => bits & 0xff,
        B16 | U16 | S16 | F16 | Bf16 | E4m3x2 | E5m2x2 => bits & 0xffff,
        B32 | U32 | S32 | F16x2 | Bf16x2 | Tf32 | F32 => bits & 0xffff_ffff,
        B64 | B128 | U64 | S64 | F64 => bits,
    }
}

/// An integer type.
#[derive(Clone, Copy)]
struct Integer {
    ty: Type,
    width: u32,
    signed: bool,
}

impl Integer {
    fn of(ty: Type) -> Option<Self> {
        let (width, signed) = match ty {
            Type::U8 => (8, false),
            Type::U16 => (16, false),
            Type::U32 => (32, false),
            Type::U64 => (64, false),
            Type::S8 => (8, true),
            Type::S16 => (16, true),
            Type::S32 => (32, true),
            Type::S64 => (64, true),
            _ => return None,
        };
        Some(Self { ty, width, signed })
    }

    fn value(self, bits: u64) -> i128 {
        if self.signed { i128::from(sign_extend(bits, self.ty) as i64) } else { i128::from(zero_extend(bits, self.ty)) }
    }

    fn truncate(self, value: i128) -> u64 {
        zero_extend(value as u64, self.ty)
    }

    fn clamp(self, value: i128) -> i128 {
        let (min, max) = match self.signed {
            true => (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1),
            false => (0, (1 << self.width) - 1),
        };
        value.clamp(min, max)
    }
}

#[derive(Clone, Copy)]
struct Conversion {
    to: Type,
    from: Type,
    rounding: Option<Rounding>,
    modifiers: ConvertModifiers,
}

impl Conversion {
    fn refuse(&self, why: &str) -> Unsupported {
        let Self { to, from, rounding, modifiers } = self;
        Unsupported::new(format!("cvt.{to:?}.{from:?}: {why} (rounding {rounding:?}, {modifiers:?})"))
    }

    fn source(&self, bits: u64) -> Result<Unpacked, Unsupported> {
        let format = match self.from {
            Type::F32 if self.modifiers.ftz => return Ok(flush(Format::F32.decode(zero_extend(bits, Type::F32)))),
            Type::F16 => Format::F16,
            Type::Bf16 => Format::BF16,
            Type::F32 => Format::F32,
            Type::F64 => Format::F64,
            _ => return Err(self.refuse("PTX has no such conversion of one number")),
        };
        Ok(format.decode(bits))
    }

    fn float_to_integer(&self, bits: u64, to: Integer) -> Result<u64, Unsupported> {
        let Some(rounding) = self.rounding else {
            return Err(self.refuse("a conversion to an integer needs a rounding"));
        };
        let unbounded = match round_to_integral(self.source(bits)?, rounding) {
            Unpacked::Nan if to.width == 64 || self.from == Type::F64 => return Ok(1 << (to.width - 1)),
            Unpacked::Nan => return Ok(0),
            Unpacked::Infinite { negative } => i128::MAX * sign(negative),
            // A significand of at most 53 bits keeps its place in an i128 up to this exponent, and is far out of range.
            Unpacked::Finite { negative, significand, exponent } => {
                (i128::from(significand) << exponent.min(70)) * sign(negative)
            }
        };
        Ok(to.truncate(to.clamp(unbounded)))
    }

    fn float_to_float(&self, bits: u64) -> Result<u64, Unsupported> {
        use Type::*;
        match (self.to, self.from) {
            (E4m3x2 | E5m2x2, F16x2) => {
                let element = Self { to: if self.to == E4m3x2 { E4m3 } else { E5m2 }, ..*self };
                let [low, high] = unpack(bits).map(|half| element.encode(Format::F16.decode(half.into())));
                Ok(high? << 8 | low?)
            }
            (F16x2, E4m3x2 | E5m2x2) => {
                let element = Self { to: F16, ..*self };
                let format = if self.from == E4m3x2 { float8::E4M3 } else { float8::E5M2 };
                let [low, high] = [bits & 0xff, bits >> 8 & 0xff].map(|byte| element.encode(format.decode(byte)));
                Ok(pack(low? as u16, high? as u16))
            }
            (E4m3 | E5m2, _) => Err(self.refuse("8-bit formats come in pairs")),
            _ => self.number_to_float(bits),
        }
    }

    fn number_to_float(&self, bits: u64) -> Result<u64, Unsupported> {
        let mut value = self.source(bits)?;
        if self.modifiers.integral {
            let Some(rounding) = self.rounding else {
                return Err(self.refuse("rounding to an integral value needs a direction"));
            };
            value = round_to_integral(value, rounding);
        }
        self.encode(value)
    }

    fn encode(&self, value: Unpacked) -> Result<u64, Unsupported> {
        use Type::*;
        let format = match self.to {
            F16 => Format::F16,
            Bf16 => Format::BF16,
            Tf32 => tf32::TF32,
            F32 => Format::F32,
            F64 => Format::F64,
            E4m3 => float8::E4M3,
            E5m2 => float8::E5M2,
            _ => return Err(self.refuse("PTX has no such conversion")),
        };
        self.check_modifiers()?;
        let Some(rounding) = self.rounding.or(self.is_exact().then_some(Rounding::NearestEven)) else {
            return Err(self.refuse("a conversion that can be inexact needs a rounding"));
        };
        let overflow = if self.modifiers.satfinite { Overflow::Finite } else { Overflow::Ieee };
        let mut bits = format.encode(value, rounding, overflow);
        if self.modifiers.relu && bits & format.sign_bit() != 0 {
            bits = 0;
        }
        if self.modifiers.sat {
            bits = saturate(bits, format);
        }
        match self.to {
            Tf32 => Ok(tf32::register(bits)),
            F32 if self.modifiers.ftz && bits & 0x7f80_0000 == 0 => Ok(bits & 0x8000_0000),
            _ => Ok(bits),
        }
    }

    fn check_modifiers(&self) -> Result<(), Unsupported> {
        use Type::*;
        let ConvertModifiers { sat, satfinite, relu, .. } = self.modifiers;
        let narrow = matches!(self.to, F16 | Bf16 | Tf32 | E4m3 | E5m2);
        if matches!(self.to, E4m3 | E5m2) && !satfinite {
            return Err(self.refuse(".satfinite is mandatory for 8-bit formats"));
        }
        if !narrow && (satfinite || relu) {
            return Err(self.refuse(".satfinite and .relu are for formats narrower than f32"));
        }
        if sat && !matches!(self.to, F16 | F32 | F64) {
            return Err(self.refuse(".sat is for f16, f32, f64 and integers"));
        }
        let away = self.rounding == Some(Rounding::NearestAway);
        if away && self.to != Tf32 {
            return Err(self.refuse(".rna is for tf32"));
        }
        Ok(())
    }

    /// Whether every number of the source type is one of the destination type.
    fn is_exact(&self) -> bool {
        use Type::*;
        match self.to {
            F64 => !matches!(self.from, U64 | S64),
            F32 => matches!(self.from, F16 | Bf16 | F32 | U8 | S8 | U16 | S16),
            F16 => matches!(self.from, F16 | U8 | S8 | E4m3x2 | E5m2x2),
            Bf16 => matches!(self.from, Bf16 | U8 | S8),
            _ => false,
        }
    }
}

fn sign(negative: bool) -> i128 {
    if negative { -1 } else { 1 }
}

fn flush(value: Unpacked) -> Unpacked {
    match value {
        Unpacked::Finite { negative, significand, exponent } if significand < 1 << Format::F32.mantissa_bits => {
            Unpacked::Finite { negative, significand: 0, exponent }
        }
        _ => value,
    }
}

/// The integral value, with exponent 0 or more, that a number rounds to.
fn round_to_integral(value: Unpacked, rounding: Rounding) -> Unpacked {
    match value {
        Unpacked::Finite { negative, significand, exponent } if exponent < 0 => {
            let significand = shift_right_rounded(significand, -exponent, negative, rounding);
            Unpacked::Finite { negative, significand, exponent: 0 }
        }
        _ => value,
    }
}

/// `.sat` of floating-point numbers: clamps to `[0, 1]`; NaN, `-0` and everything negative become `+0`.
pub(super) fn saturate(bits: u64, format: Format) -> u64 {
    let one = ((1 << (format.exponent_bits - 1)) - 1) << format.mantissa_bits;
    match format.decode(bits) {
        Unpacked::Nan | Unpacked::Infinite { negative: true } | Unpacked::Finite { negative: true, .. } => 0,
        _ => bits.min(one),
    }
}
