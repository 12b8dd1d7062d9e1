//! The dynamic 8-bit map: blocks of the flattened matrix to absmax values and codes; and double quantization with it.
//!
//! ```text
//! s = x * (1 / max(absmax, 1e-38))
//! key = sign, exponent and the upper six mantissa bits of s, magnitudes clamped to 2^-22 ..= 1
//! code = below[key] + (s > midpoint[below[key]])
//! ```
//! The map is linear within each decade, so that no two midpoints share a key; the one comparison is that of the
//! definition (a tie goes down). Keys are computed in vectors, the two look-ups of a value are ordinary loads.

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::kernels::source::Aligned;
use crate::cpu::kernels::source::NON_FINITE;
use crate::cpu::kernels::source::Source;
use crate::cpu::kernels::source::absmax_bits;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::formats::NestedAbsmax;
use crate::formats::tables::DYNAMIC_MAP;

/// The bits of 2^-22: below every midpoint's magnitude.
const SMALLEST: u32 = (127 - 22) << 23;
/// The bits of 1.0.
const LARGEST: u32 = 127 << 23;
/// Mantissa bits that are not part of a key.
const DROPPED: u32 = 17;
/// Keys of one sign.
const KEYS: usize = ((LARGEST - SMALLEST) >> DROPPED) as usize + 1;

/// The midpoints, and infinity above the last.
static MIDPOINTS: [f32; 256] = {
    let mut midpoints = [f32::INFINITY; 256];
    let mut i = 0;
    while i < 255 {
        midpoints[i] = (DYNAMIC_MAP[i] + DYNAMIC_MAP[i + 1]) / 2.0;
        i += 1;
    }
    midpoints
};

/// Where the keys of negative sign begin: a power of two, so that the sign is shifted there and never branched on.
const NEGATIVE: usize = 2048;

/// How many midpoints lie below all values with a key: those of positive sign, then those of negative sign.
static BELOW: [u8; 2 * NEGATIVE] = {
    let mut below = [0; 2 * NEGATIVE];
    // From the most negative value upwards, `count` midpoints are behind.
    let mut count = 0;
    let mut step = 0;
    while step < 2 * KEYS {
        let key = if step < KEYS { NEGATIVE + KEYS - 1 - step } else { step - KEYS };
        below[key] = count;
        let end = upper_end(key);
        let before = count;
        while MIDPOINTS[count as usize] < end {
            count += 1;
        }
        assert!(count - before <= 1, "two midpoints share a key");
        step += 1;
    }
    below
};

/// The end of a key's values: none is above it.
const fn upper_end(key: usize) -> f32 {
    match key {
        0..KEYS => f32::from_bits(SMALLEST + ((key as u32 + 1) << DROPPED)),
        // Negative magnitudes that are clamped reach up to zero.
        NEGATIVE => 0.0,
        _ => -f32::from_bits(SMALLEST + (((key - NEGATIVE) as u32) << DROPPED)),
    }
}

/// Values handled at a time: keys go through memory between the vector part and the look-ups.
const PIECE: usize = 256;

/// The codes of `values * reciprocal`.
#[inline(always)]
fn encode<S: Simd, E: Source>(simd: S, values: &[E], reciprocal: f32, codes: &mut [u8]) {
    let (mut scaled, mut keys) = (Aligned([0.0; PIECE]), Aligned([0.0; PIECE]));
    let (scaled, keys) = (&mut scaled.0, &mut keys.0);
    let (magnitude, negative) = (simd.splat_i(i32::MAX), simd.splat_i(NEGATIVE as i32));
    let (smallest, largest) = (simd.splat_i(SMALLEST as i32), simd.splat_i(LARGEST as i32));
    let minus_smallest = simd.splat_i(-(SMALLEST as i32));
    for (values, codes) in values.chunks(PIECE).zip(codes.chunks_mut(PIECE)) {
        let vectors = values.chunks_exact(S::LANES);
        for (value, scaled) in vectors.remainder().iter().zip(&mut scaled[values.len() / S::LANES * S::LANES..]) {
            *scaled = value.to_f32() * reciprocal;
        }
        for (values, scaled) in vectors.zip(scaled.chunks_exact_mut(S::LANES)) {
            simd.store(simd.mul(E::load(simd, values), simd.splat(reciprocal)), scaled);
        }
        for (scaled, keys) in scaled.chunks_exact(S::LANES).zip(keys.chunks_exact_mut(S::LANES)) {
            let bits = simd.to_bits(simd.load(scaled));
            let clamped = simd.min_i(simd.max_i(simd.and(bits, magnitude), smallest), largest);
            let key = simd.shr::<{ DROPPED as i32 }>(simd.add_i(clamped, minus_smallest));
            let sign = simd.and(simd.shr::<{ 31 - NEGATIVE.trailing_zeros() as i32 }>(bits), negative);
            simd.store(simd.from_bits(simd.add_i(key, sign)), keys);
        }
        for ((&s, key), code) in scaled.iter().zip(keys.iter()).zip(codes) {
            *code = nearest(s, key.to_bits());
        }
    }
}

/// The key of `s`.
fn key(s: f32) -> u32 {
    let bits = s.to_bits();
    let magnitude = (bits & 0x7fff_ffff).clamp(SMALLEST, LARGEST);
    ((magnitude - SMALLEST) >> DROPPED) | (bits >> 31 << NEGATIVE.trailing_zeros())
}

/// The code nearest to `s`, which has `key`: the lower one of two.
#[inline(always)]
fn nearest(s: f32, key: u32) -> u8 {
    let below = BELOW[key as usize % BELOW.len()];
    below + u8::from(s > MIDPOINTS[usize::from(below)])
}

/// Quantizes `values`, which begin at a block, to codes of [`DYNAMIC_MAP`] and an absmax per block. Returns whether all
/// values are finite; if not, the output means nothing.
#[inline(always)]
pub fn quantize<S: Simd, E: Source>(simd: S, block: usize, values: &[E], scales: &mut [f32], codes: &mut [u8]) -> bool {
    let mut most = 0;
    for ((values, scale), codes) in values.chunks(block).zip(scales).zip(codes.chunks_mut(block)) {
        let bits = absmax_bits(simd, values);
        most = most.max(bits);
        *scale = f32::from_bits(bits as u32);
        let divisor = scale.max(1e-38);
        if values.len() == block {
            encode(simd, values, 1.0 / divisor, codes);
        } else {
            // A last block that is not full divides. Once per matrix, so plain.
            for (value, code) in values.iter().zip(codes) {
                let s = value.to_f32() / divisor;
                *code = nearest(s, key(s));
            }
        }
    }
    most < NON_FINITE
}

/// [`NestedAbsmax::BLOCK_SIZE`] as a constant.
const NEST_BLOCK: usize = 256;

/// Absmax values per task of double quantization.
const NEST_TASK: usize = 8192;

/// Double quantization: the bits of [`reference::nest`](crate::reference::nest).
pub fn nest(isa: Isa, absmax: &[f32]) -> NestedAbsmax {
    let offset = mean(absmax);
    let block = NEST_BLOCK;
    let mut codes = vec![0; absmax.len()];
    let mut nested = vec![0.0; absmax.len().div_ceil(block)];
    absmax
        .par_chunks(NEST_TASK)
        .zip(codes.par_chunks_mut(NEST_TASK))
        .zip(nested.par_chunks_mut(NEST_TASK / block))
        .for_each(|((absmax, codes), nested)| isa.run(Nest { absmax, offset, codes, nested }));
    NestedAbsmax { codes, absmax: nested, offset, map: NestedAbsmax::default_map() }
}

struct Nest<'a> {
    absmax: &'a [f32],
    offset: f32,
    codes: &'a mut [u8],
    nested: &'a mut [f32],
}

impl Op for Nest<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let block = NEST_BLOCK;
        let mut centred = [0.0; NEST_BLOCK];
        for ((absmax, codes), nested) in
            self.absmax.chunks(block).zip(self.codes.chunks_mut(block)).zip(self.nested.chunks_mut(1))
        {
            for (centred, absmax) in centred.iter_mut().zip(absmax) {
                *centred = absmax - self.offset;
            }
            quantize(simd, block, &centred[..absmax.len()], nested, codes);
        }
    }
}

/// Values whose f64 sum is taken from left to right before such sums are added.
const RUN: usize = 1024;

/// The mean, added in the order of [`reference::mean`](crate::reference::mean): runs, then their sums. Eight runs go side by
/// side, because each is a chain of dependent additions.
fn mean(values: &[f32]) -> f32 {
    let sums = |values: &[f32]| {
        let mut sums = [0.0f64; 8];
        if values.len() == 8 * RUN {
            for i in 0..RUN {
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum += f64::from(values[j * RUN + i]);
                }
            }
        } else {
            for (run, sum) in values.chunks(RUN).zip(&mut sums) {
                *sum = run.iter().map(|&v| f64::from(v)).sum();
            }
        }
        sums
    };
    let sums: Vec<[f64; 8]> = values.par_chunks(8 * RUN).map(sums).collect();
    (sums.as_flattened().iter().sum::<f64>() / values.len() as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::testing::Random;
    use crate::cpu::kernels::testing::assert_same_bits;
    use crate::reference;

    #[test]
    fn every_decision_boundary_is_that_of_the_definition() {
        let around = |x: f32| (-40..=40).map(move |ulps| f32::from_bits((x.to_bits() as i32 + ulps) as u32));
        let mut values: Vec<f32> = MIDPOINTS[..255].iter().copied().flat_map(around).collect();
        values.extend((0..KEYS).chain(NEGATIVE..NEGATIVE + KEYS).map(upper_end).filter(|&v| v != 0.0).flat_map(around));
        values.extend([0.0, -0.0, 1e-45, -1e-45, 1e-7, -1e-7]);
        values.extend((-200_000..=200_000).map(|i| i as f32 * 5.000_01e-6));
        for s in values {
            let expected = MIDPOINTS.iter().filter(|&&mid| s > mid).count();
            assert_eq!(usize::from(nearest(s, key(s))), expected, "{s:e}");
        }
    }

    #[test]
    fn double_quantization_has_the_bits_of_the_definition() {
        let mut random = Random::new(3);
        for len in [1, 255, 256, 257, 8191, 8192, 8193, 30_000] {
            let absmax: Vec<f32> = (0..len).map(|_| random.normal().abs()).collect();
            for isa in Isa::available() {
                let (found, expected) = (nest(isa, &absmax), reference::nest(&absmax));
                assert_eq!(found.offset.to_bits(), expected.offset.to_bits(), "{len}");
                assert_same_bits(&found.absmax, &expected.absmax, "nested absmax");
                assert_eq!(found.codes, expected.codes, "{len}");
            }
        }
    }
}
