//! Rows of activations to i8 codes: LLM.int8()'s rule, bit for bit.
//!
//! ```text
//! outlier columns   those that hold |x| >= threshold (threshold 0: none)
//! absmax[m]         the largest |x| of row m, outlier elements not counted; NaN when the row holds a NaN or an infinity
//! code[m, k]        round_half_even(x * ((1 / absmax) * max_code)), 0 in outlier columns
//! ```

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use crate::cpu::Isa;
use crate::cpu::kernels::panels::widen;
use crate::cpu::kernels::scratch::Lease;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::values::Values;

/// What is known of rows besides their codes.
#[derive(Clone, Debug, PartialEq)]
pub struct RowScales {
    /// The absmax of each row.
    pub absmax: Vec<f32>,
    /// The outlier columns, ascending.
    pub outlier_columns: Vec<usize>,
}

/// Quantizes the rows of `x` (K columns) to codes in `-max_code..=max_code`, into `codes` of the same length.
///
/// # Panics
/// When `codes` is not as long as `x`, or `x` does not consist of whole rows.
pub fn quantize_rows(isa: Isa, x: Values<'_>, k: usize, max_code: f32, threshold: f32, codes: &mut [i8]) -> RowScales {
    assert!(x.len() == codes.len() && x.len().is_multiple_of(k));
    let mut absmax = vec![RowMax::default(); x.len() / k];
    let flags: Vec<AtomicBool> =
        if threshold > 0.0 { (0..k).map(|_| AtomicBool::new(false)).collect() } else { Vec::new() };
    // About 16 Ki values a task.
    let rows = (1usize << 14).div_ceil(k);
    let row = |index: usize| x.slice(index * k..(index + 1) * k);
    absmax.par_iter_mut().with_min_len(rows).enumerate().for_each(|(index, absmax)| {
        *absmax = isa.run(RowAbsmax { x: row(index), threshold, outliers: &flags });
    });
    let outlier_columns: Vec<usize> = (0..flags.len()).filter(|&c| flags[c].load(Ordering::Relaxed)).collect();
    codes.par_chunks_exact_mut(k).with_min_len(rows).zip(&absmax).enumerate().for_each(|(index, (codes, absmax))| {
        isa.run(RowCodes { x: row(index), absmax: *absmax, max_code, codes });
        for &column in &outlier_columns {
            codes[column] = 0;
        }
    });
    RowScales { absmax: absmax.into_iter().map(RowMax::stored).collect(), outlier_columns }
}

/// The largest magnitude of a row that is not an outlier, and whether the whole row is finite.
#[derive(Clone, Copy, Debug, Default)]
struct RowMax {
    value: f32,
    finite: bool,
}

impl RowMax {
    fn stored(self) -> f32 {
        if self.finite { self.value } else { f32::NAN }
    }
}

struct RowAbsmax<'a> {
    x: Values<'a>,
    threshold: f32,
    outliers: &'a [AtomicBool],
}

impl Op for RowAbsmax<'_> {
    type Output = RowMax;
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) -> RowMax {
        let mut lease = Lease::new();
        let row = lease.buffers()[0].floats(self.x.len());
        widen(simd, self.x, row);
        let bits = largest_bits(simd, row);
        let finite = bits < f32::INFINITY.to_bits();
        let value = f32::from_bits(bits);
        if finite && (self.outliers.is_empty() || value < self.threshold) {
            return RowMax { value, finite };
        }
        let mut value = 0.0f32;
        for (column, x) in row.iter().enumerate() {
            if !self.outliers.is_empty() && x.abs() >= self.threshold {
                self.outliers[column].store(true, Ordering::Relaxed);
            } else {
                value = value.max(x.abs());
            }
        }
        RowMax { value, finite }
    }
}

/// The largest bits of a magnitude: as integers NaNs are above infinity, and that above all finite values.
#[inline(always)]
fn largest_bits<S: Simd>(simd: S, row: &[f32]) -> u32 {
    let magnitude = simd.splat_i(i32::MAX);
    let mut largest = simd.splat_i(0);
    let whole = row.len() / S::LANES * S::LANES;
    for x in row[..whole].chunks_exact(S::LANES) {
        largest = simd.max_i(largest, simd.and(simd.to_bits(simd.load(x)), magnitude));
    }
    let mut result = simd.reduce_max_i(largest) as u32;
    for x in &row[whole..] {
        result = result.max(x.abs().to_bits());
    }
    result
}

struct RowCodes<'a> {
    x: Values<'a>,
    absmax: RowMax,
    max_code: f32,
    codes: &'a mut [i8],
}

impl Op for RowCodes<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let mut lease = Lease::new();
        let row = lease.buffers()[0].floats(self.x.len());
        widen(simd, self.x, row);
        let factor = (1.0 / self.absmax.value) * self.max_code;
        let codes: &mut [u8] = bytemuck::cast_slice_mut(self.codes);
        // NaNs become 0, which the vectors do not do: rows that may have some go one by one.
        let plain = self.absmax.finite && factor.is_finite();
        let vectors = if plain { row.len() / S::LANES * S::LANES } else { 0 };
        let (top, bottom) = (simd.splat(self.max_code), simd.splat(-self.max_code));
        for (x, codes) in row[..vectors].chunks_exact(S::LANES).zip(codes.chunks_exact_mut(S::LANES)) {
            let scaled = simd.mul(simd.load(x), simd.splat(factor));
            simd.store_bytes(simd.round_i(simd.max(simd.min(scaled, top), bottom)), codes);
        }
        for (x, code) in row[vectors..].iter().zip(&mut codes[vectors..]) {
            *code = (x * factor).round_ties_even().clamp(-self.max_code, self.max_code) as i8 as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use crate::values::Dtype;
    use crate::values::OwnedValues;

    #[test]
    fn codes_absmax_and_outliers_have_the_bits_of_the_definition() {
        for k in [1, 2, 31, 64, 130, 1000] {
            let mut x: Vec<f32> = (0..7 * k).map(|i| ((i * 7919 % 1009) as f32 - 504.0) / 97.0).collect();
            x[k..2 * k].fill(0.0);
            x[2 * k] = f32::NAN;
            x[3 * k + k / 2] = f32::NEG_INFINITY;
            x[4 * k..5 * k].iter_mut().for_each(|v| *v *= 1e-42);
            x[5 * k + k - 1] = 6.0;
            for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
                let owned = OwnedValues::from_f32(dtype, &x);
                for (max_code, threshold) in [(127.0, 0.0), (127.0, 6.0), (127.0, 3.0), (7.0, 0.0)] {
                    let expected = reference::quantize_rows(&owned.as_values().to_f32(), k, max_code, threshold);
                    for isa in Isa::available() {
                        let mut codes = vec![99; x.len()];
                        let got = quantize_rows(isa, owned.as_values(), k, max_code, threshold, &mut codes);
                        let case = format!("k {k} {dtype} {max_code} {threshold} {}", isa.name());
                        assert_eq!(codes, expected.codes, "{case}");
                        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                        assert_eq!(bits(&got.absmax), bits(&expected.absmax), "{case}");
                        assert_eq!(got.outlier_columns, expected.outlier_columns, "{case}");
                    }
                }
            }
        }
    }
}
