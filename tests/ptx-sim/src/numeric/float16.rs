//! The 16-bit formats `f16` and `bf16`, and their pairs in 32-bit registers.
//!
//! Widening is exact and written without branches, so that loops over fragments of matrices vectorise.

use crate::numeric::round::Format;

/// The exact value of an `f16`; any NaN becomes a NaN.
#[inline]
pub fn f16_to_f32(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let sign = u32::from(bits & 0x8000) << 16;
    // The exponent's bias is 127 in an f32 and 15 here. Infinity and NaN must reach the highest exponent, 112 further.
    let special = if magnitude >= 0x1f << 23 { 112 << 23 } else { 0 };
    let normal = f32::from_bits(magnitude + (112 << 23) + special);
    // A subnormal is given an implicit bit worth 2^-14, which is then subtracted: exact.
    let subnormal = f32::from_bits(magnitude + (113 << 23)) - f32::from_bits(113 << 23);
    let value = if magnitude < 1 << 23 { subnormal } else { normal };
    f32::from_bits(value.to_bits() | sign)
}

/// The exact value of a `bf16`.
#[inline]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest `f16`, ties to even; NaN becomes `0x7fff`.
#[inline]
pub fn f64_to_f16(value: f64) -> u16 {
    Format::F16.nearest(value) as u16
}

/// The nearest `bf16`, ties to even; NaN becomes `0x7fff`.
#[inline]
pub fn f64_to_bf16(value: f64) -> u16 {
    Format::BF16.nearest(value) as u16
}

/// Makes a subnormal `f16` a zero of the same sign if `ftz`.
#[inline]
pub fn flush_f16(bits: u16, ftz: bool) -> u16 {
    if ftz && bits & 0x7c00 == 0 { bits & 0x8000 } else { bits }
}

/// Makes a subnormal `bf16` a zero of the same sign if `ftz`.
#[inline]
pub fn flush_bf16(bits: u16, ftz: bool) -> u16 {
    if ftz && bits & 0x7f80 == 0 { bits & 0x8000 } else { bits }
}

/// The halves of a packed register, low one first.
#[inline]
pub fn unpack(bits: u64) -> [u16; 2] {
    [bits as u16, (bits >> 16) as u16]
}

/// A packed register of two halves.
#[inline]
pub fn pack(low: u16, high: u16) -> u64 {
    u64::from(high) << 16 | u64::from(low)
}
