//! [`Source`]: element types that kernels read a vector of, widened to f32.

use crate::cpu::simd::Simd;
use crate::values::Element;
use crate::values::bf16;
use crate::values::f16;

/// At least [`Simd::LANES`] of every instruction set.
pub const MAX_LANES: usize = 16;

/// A buffer that begins at a cache line: vectors of 64 bytes that straddle two cost two accesses.
#[repr(align(64))]
pub struct Aligned<T>(pub T);

/// An element type with a vector load.
pub trait Source: Element {
    /// The first [`Simd::LANES`] values of `src`.
    fn load<S: Simd>(simd: S, src: &[Self]) -> S::F;
}

impl Source for f32 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, src: &[Self]) -> S::F {
        simd.load(src)
    }
}

impl Source for f16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, src: &[Self]) -> S::F {
        simd.load_f16(src)
    }
}

impl Source for bf16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, src: &[Self]) -> S::F {
        simd.load_bf16(src)
    }
}

/// The bits of the largest magnitude in `values`, as an integer: magnitudes sort as their bits do, and a NaN or an infinity
/// gives [`NON_FINITE`] or more.
#[inline(always)]
pub fn absmax_bits<S: Simd, E: Source>(simd: S, values: &[E]) -> i32 {
    let magnitude = simd.splat_i(i32::MAX);
    let zero = simd.splat_i(0);
    let (mut even, mut odd) = (zero, zero);
    let mut pairs = values.chunks_exact(2 * S::LANES);
    for pair in &mut pairs {
        even = simd.max_i(even, simd.and(simd.to_bits(E::load(simd, pair)), magnitude));
        odd = simd.max_i(odd, simd.and(simd.to_bits(E::load(simd, &pair[S::LANES..])), magnitude));
    }
    let rest = pairs.remainder().iter().map(|v| (v.to_f32().to_bits() & 0x7fff_ffff) as i32);
    simd.reduce_max_i(simd.max_i(even, odd)).max(rest.max().unwrap_or(0))
}

/// The bits of infinity: those of a finite magnitude are less.
pub const NON_FINITE: i32 = 0x7f80_0000;
