//! `tf32`: the range of `f32` with the 10 mantissa bits of `f16`, in the upper 19 bits of a 32-bit register.

use crate::numeric::round::Format;

/// Width of the part of an `f32` register that a `tf32` leaves unused.
pub const UNUSED_BITS: u32 = 13;

/// The upper 19 bits of a register; shift by [`UNUSED_BITS`] for the register. NaN is `0x7fffffff` there, which this
/// format cannot say: see [`register`].
pub const TF32: Format = Format::ieee(8, 10, 0x3_ffff);

/// The register of an encoded `tf32`. Its unused bits are zero except in a NaN, which is `0x7fffffff`.
pub fn register(encoded: u64) -> u64 {
    if encoded == TF32.nan { Format::F32.nan } else { encoded << UNUSED_BITS }
}

/// The value that a matrix instruction takes from a register: its unused bits do not count, whatever they hold.
///
/// A NaN whose payload lies in them only would turn into an infinity; it stays a NaN.
#[inline]
pub fn operand(bits: u32) -> f32 {
    let value = f32::from_bits(bits);
    if value.is_nan() { value } else { f32::from_bits(bits >> UNUSED_BITS << UNUSED_BITS) }
}
