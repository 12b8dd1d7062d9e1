//! Products of integers: codes of x in i8, codes of W as unsigned bytes, sums in i32.
//!
//! ```text
//! sum_k (w[k] - zero_point) * x[k]  =  sum_k w[k] * x[k]  -  zero_point * sum_k x[k]
//! ```
//! holds in wrapping arithmetic whenever the left side fits. So any zero point costs one sum of x, and signed codes are
//! unsigned ones with zero point 128.

use crate::cpu::kernels::gemm::Epilogue;
use crate::cpu::kernels::gemm::Product;
use crate::cpu::kernels::gemm::Weights;
use crate::cpu::kernels::layout::Segment;
use crate::cpu::simd::Simd;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::formats::int4_channel_group;
use crate::formats::int4_channel_group::GROUP;
use crate::formats::nibbles;

/// One scale per row of W: sums of a whole row stay integers.
pub struct RowProduct;

impl Product for RowProduct {
    const GROUPED: bool = false;
    type Sum<S: Simd> = S::I;

    #[inline(always)]
    fn start<S: Simd>(simd: S, c: S::F, _: i32, _: S::I) -> S::I {
        simd.to_bits(c)
    }
    #[inline(always)]
    fn step<S: Simd>(simd: S, sum: S::I, x: S::I, w: S::I) -> S::I {
        simd.dot4(sum, w, x)
    }
    #[inline(always)]
    fn finish<S: Simd>(simd: S, sum: S::I, _: S::F, _: f32) -> S::F {
        simd.from_bits(sum)
    }
}

/// A scale per group: integer sums of a segment, scaled and summed in f32.
pub struct GroupProduct;

impl Product for GroupProduct {
    const GROUPED: bool = true;
    type Sum<S: Simd> = S::I;

    #[inline(always)]
    fn start<S: Simd>(simd: S, _: S::F, zero_point: i32, x_sum: S::I) -> S::I {
        simd.mul_i(simd.splat_i(-zero_point), x_sum)
    }
    #[inline(always)]
    fn step<S: Simd>(simd: S, sum: S::I, x: S::I, w: S::I) -> S::I {
        simd.dot4(sum, w, x)
    }
    #[inline(always)]
    fn finish<S: Simd>(simd: S, sum: S::I, c: S::F, scale: f32) -> S::F {
        simd.mul_add(simd.to_float(sum), simd.splat(scale), c)
    }
}

/// The codes of W as unsigned bytes.
pub struct Codes<'a>(pub &'a QuantMatrix);

/// The zero point of scale `index`, of codes as unsigned bytes.
pub fn zero_point(matrix: &QuantMatrix, index: usize) -> i32 {
    match matrix.format() {
        Format::Int8 { .. } | Format::Int4ChannelGroup => 128,
        _ => i32::from(matrix.zero_point(index)),
    }
}

impl Weights for Codes<'_> {
    #[inline(always)]
    fn words<S: Simd>(&self, _: S, row: usize, segments: &[Segment], out: &mut [u32], _: &mut [f32]) {
        let matrix = self.0;
        let start = segments[0].word;
        for segment in segments {
            let first = row * matrix.shape().k() + segment.first;
            let out = &mut out[segment.word - start..][..segment.words];
            if matrix.format() == Format::Int4ChannelGroup {
                stepped_bytes(matrix, row, segment, bytemuck::cast_slice_mut(out));
                continue;
            }
            if matrix.format().code_bits() == 4 {
                split_nibbles(matrix.codes(), first, segment.len, out);
                continue;
            }
            let flip = if matches!(matrix.format(), Format::Int8 { .. }) { 0x80 } else { 0 };
            let out: &mut [u8] = bytemuck::cast_slice_mut(out);
            // What the padding holds does not matter: x is zero there.
            for (out, code) in out.iter_mut().zip(&matrix.codes()[first..first + segment.len]) {
                *out = code ^ flip;
            }
        }
    }

    #[inline(always)]
    fn scale<S: Simd>(&self, row: usize, group: usize) -> (f32, i32) {
        let matrix = self.0;
        let groups = matrix.format().granularity().map_or(1, |g| g.groups_per_row(matrix.shape()));
        let index = row * groups + group;
        (matrix.scales().get(index), zero_point(matrix, index) - S::DOT4_BIAS)
    }
}

/// The bytes of a segment of a row of [`Format::Int4ChannelGroup`], one each.
#[inline(always)]
fn stepped_bytes(matrix: &QuantMatrix, row: usize, segment: &Segment, out: &mut [u8]) {
    let (k, codes) = (matrix.shape().k(), matrix.codes());
    let steps = matrix.steps().expect("from_parts: it has steps");
    let groups = int4_channel_group::groups_per_row(matrix.shape());
    let (mut col, end) = (segment.first, segment.first + segment.len);
    let mut rest = out;
    while col < end {
        let group = row * groups + col / GROUP;
        let len = (GROUP - col % GROUP).min(end - col);
        let (multiplier, offset) = (steps.multipliers[group], steps.offsets[group]);
        // No byte overflows: from_parts has checked every group.
        let byte = |code: u8| code.wrapping_mul(multiplier).wrapping_add(offset);
        let (out, after) = rest.split_at_mut(len);
        let first = row * k + col;
        if first.is_multiple_of(2) {
            for (pair, &packed) in out.chunks_mut(2).zip(&codes[first / 2..]) {
                pair[0] = byte(packed >> 4);
                if let Some(low) = pair.get_mut(1) {
                    *low = byte(packed & 15);
                }
            }
        } else {
            out.iter_mut().enumerate().for_each(|(i, out)| *out = byte(nibbles::get(codes, first + i)));
        }
        (rest, col) = (after, col + len);
    }
}

/// The 4-bit codes `first..first + len` as [`Word::SplitBytes`](crate::cpu::kernels::layout::Word::SplitBytes).
#[inline(always)]
fn split_nibbles(codes: &[u8], first: usize, len: usize, out: &mut [u32]) {
    const LOW: u32 = 0x0f0f_0f0f;
    let whole = if first.is_multiple_of(2) { len / 8 } else { 0 };
    let bytes = &codes[first / 2..][..4 * whole];
    for (out, word) in out.chunks_exact_mut(2).zip(bytes.chunks_exact(4)) {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        out[0] = (word >> 4) & LOW;
        out[1] = word & LOW;
    }
    for (unit, out) in out.chunks_exact_mut(2).enumerate().skip(whole) {
        let mut bytes = [0; 8];
        for i in 8 * unit..len.min(8 * unit + 8) {
            bytes[i % 8 / 2 + 4 * (i % 2)] = nibbles::get(codes, first + i);
        }
        out.copy_from_slice(bytemuck::cast_slice(&[u64::from_ne_bytes(bytes)]));
    }
}

/// Columns of x that stay in floating point, with the columns of W they meet.
#[derive(Default)]
pub struct Outliers {
    /// How many.
    pub count: usize,
    /// `[M][count]`
    pub x: Vec<f32>,
    /// `[count][N]`, dequantized.
    pub w: Vec<f32>,
}

impl Outliers {
    /// Adds their products to the results of row `m` from column `first` on.
    #[inline(always)]
    pub fn add(&self, m: usize, first: usize, values: &mut [f32]) {
        for (column, x) in self.x[m * self.count..][..self.count].iter().enumerate() {
            let n = self.w.len() / self.count;
            for (value, w) in values.iter_mut().zip(&self.w[column * n + first..(column + 1) * n]) {
                *value += x * w;
            }
        }
    }
}

/// Scales of rows and columns, zero points, outliers.
pub struct IntEpilogue<'a> {
    /// The absmax of each row of x.
    pub x_absmax: &'a [f32],
    /// The scale of each column of y; `None` when the sums are scaled by group.
    pub columns: Option<Columns<'a>>,
    /// What the product of all scales is multiplied by.
    pub factor: f32,
    /// The outliers.
    pub outliers: &'a Outliers,
}

/// What belongs to a row of W, so to a column of y.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// Scales.
    pub scales: &'a [f32],
    /// Zero points.
    pub zero_points: &'a [i32],
    /// The sum of the codes of each row of x.
    pub x_sums: &'a [i32],
}

impl Epilogue for IntEpilogue<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&self, _: S, m: usize, first: usize, values: &mut [f32]) {
        let absmax = self.x_absmax[m];
        match self.columns {
            Some(columns) => {
                let x_sum = columns.x_sums[m];
                let sides = columns.scales[first..].iter().zip(&columns.zero_points[first..]);
                for (value, (scale, zero_point)) in values.iter_mut().zip(sides) {
                    let correction = (zero_point - S::DOT4_BIAS).wrapping_mul(x_sum);
                    let sum = (value.to_bits() as i32).wrapping_sub(correction);
                    *value = sum as f32 * (absmax * scale) * self.factor;
                }
            }
            None => {
                for value in values.iter_mut() {
                    *value *= absmax * self.factor;
                }
            }
        }
        self.outliers.add(m, first, values);
    }
}
