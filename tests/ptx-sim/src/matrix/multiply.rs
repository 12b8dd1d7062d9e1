//! The products of small matrices that `mma.sync` and `wgmma` share: reading elements, sums, and rounding.
//!
//! Floating-point products of up to 11 significant bits are exact in `f64`, and their sum there is as good as exact for
//! an `f32` result: its relative error, 2^-53 of the sum of magnitudes for each addition, is invisible beside the
//! 2^-23 of the result's rounding. Integer products are summed in `f32`, which is exact below 2^24 and vectorises on
//! every machine: the largest sums, 64 products of `u4` or 32 of `u8`, are below 2^21.

use crate::numeric::float8::e4m3_to_f32;
use crate::numeric::float8::e5m2_to_f32;
use crate::numeric::float16::bf16_to_f32;
use crate::numeric::float16::f16_to_f32;
use crate::numeric::float16::f64_to_f16;
use crate::numeric::tf32;
use crate::types::Type;

/// A function that can be given the decoder of one element type, so that its loops are compiled for that type.
pub(super) trait WithDecoder {
    /// Runs with a function from a register and the index of an element in it to the element's value.
    fn run(self, decode: impl Fn(u32, usize) -> f32 + Copy);
}

/// Runs `user` with the decoder of `ty`.
#[inline]
pub(super) fn with_decoder(ty: Type, user: impl WithDecoder) {
    match ty {
        Type::F16 => user.run(|word, part| f16_to_f32((word >> (16 * part)) as u16)),
        Type::Bf16 => user.run(|word, part| bf16_to_f32((word >> (16 * part)) as u16)),
        Type::E4m3 => user.run(|word, part| e4m3_to_f32((word >> (8 * part)) as u8)),
        Type::E5m2 => user.run(|word, part| e5m2_to_f32((word >> (8 * part)) as u8)),
        Type::U8 => user.run(|word, part| f32::from((word >> (8 * part)) as u8)),
        Type::S8 => user.run(|word, part| f32::from((word >> (8 * part)) as i8)),
        Type::U4 => user.run(|word, part| f32::from((word >> (4 * part)) as u8 & 0xf)),
        Type::S4 => user.run(|word, part| f32::from(((word >> (4 * part)) as i8) << 4 >> 4)),
        Type::Tf32 => user.run(|word, _| tf32::operand(word)),
        _ => user.run(|word, _| f32::from_bits(word)),
    }
}

/// Adds the products of a row of A with the columns of B to a row of sums, in order of ascending `k`.
#[inline]
pub(super) fn multiply_row<T, const N: usize>(sums: &mut [T; N], row_of_a: &[T], b: &[[T; N]])
where
    T: Copy + std::ops::AddAssign + std::ops::Mul<Output = T>,
{
    for (&a, row_of_b) in row_of_a.iter().zip(b) {
        for (sum, &b) in sums.iter_mut().zip(row_of_b) {
            *sum += a * b;
        }
    }
}

/// The `f32` accumulator of an exact sum: truncated, as tensor cores do. NaN is `0x7fffffff`.
#[inline]
pub(super) fn truncate_to_f32(sum: f64) -> u32 {
    if sum.is_nan() {
        return 0x7fff_ffff;
    }
    let nearest = sum as f32;
    // 2^128: what reaches it is an infinity in any rounding that has one.
    let overflows = sum.abs() >= 340_282_366_920_938_463_463_374_607_431_768_211_456.0;
    let beyond = f64::from(nearest).abs() > sum.abs();
    nearest.to_bits() - u32::from(beyond && !overflows)
}

/// The `f16` accumulator of an exact sum: rounded to nearest even, as tensor cores do. NaN is `0x7fff`.
#[inline]
pub(super) fn round_to_f16(sum: f64) -> u32 {
    u32::from(f64_to_f16(sum))
}

/// The `s32` accumulator `c + sum`: clamped with `.satfinite`, else modulo 2^32.
#[inline]
pub(super) fn add_to_s32(c: u32, sum: f32, satfinite: bool) -> u32 {
    let total = i64::from(c as i32) + sum as i64;
    if satfinite { total.clamp(i32::MIN.into(), i32::MAX.into()) as u32 } else { total as u32 }
}

/// How far a result may be from exact; [`Mma::error_bound`](crate::matrix::mma::Mma::error_bound) has the derivation.
pub(super) fn float_error_bound(k: usize, elements: Type, accumulator: Type, magnitudes: f64) -> f64 {
    let blocks = k.div_ceil(4) as f64;
    let cut = match elements {
        Type::E4m3 | Type::E5m2 => 2f64.powi(-13),
        _ => 2f64.powi(-23),
    };
    let f32_cuts = blocks * 6.0 * (cut * magnitudes + 2f64.powi(-149));
    match accumulator {
        Type::F32 => f32_cuts,
        Type::F16 => f32_cuts + blocks * (2f64.powi(-11) * magnitudes).max(2f64.powi(-25)),
        Type::F64 => k as f64 * 2f64.powi(-53) * magnitudes,
        _ => 0.0,
    }
}
