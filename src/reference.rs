//! The slow, plain definitions: quantize, dequantize, multiply. The oracle of every fast path; nobody optimises it.

use crate::error::Error;
use crate::error::Result;
use crate::formats::AbsmaxKind;
use crate::formats::Format;
use crate::formats::GroupSteps;
use crate::formats::NestedAbsmax;
use crate::formats::Parts;
use crate::formats::QuantMatrix;
use crate::formats::Scales;
use crate::formats::Symmetry;
use crate::formats::int4_channel_group;
use crate::formats::int4_channel_group::MAX_CODE;
use crate::formats::int4_channel_group::MAX_INT8;
use crate::formats::nibbles;
use crate::formats::tables;
use crate::shape::MatShape;
pub use crate::strategy::QuantizedRows;
use crate::values::Values;

/// Every value of `matrix`, row-major, in f32.
pub fn dequantize(matrix: &QuantMatrix) -> Vec<f32> {
    let shape = matrix.shape();
    (0..shape.n()).flat_map(|row| (0..shape.k()).map(move |col| matrix.value(row, col))).collect()
}

/// `y[m, n] = sum_k x[m, k] * w[n, k] + bias[n]`, summed in f64. `x` is row-major with K columns.
///
/// # Panics
/// When a slice does not have the length that `shape` demands.
pub fn matmul(x: &[f32], w: &[f32], shape: MatShape, bias: Option<&[f32]>) -> Vec<f64> {
    assert_eq!(w.len(), shape.num_values());
    assert!(x.len().is_multiple_of(shape.k()));
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    x.chunks_exact(shape.k())
        .flat_map(|x| {
            w.chunks_exact(shape.k()).enumerate().map(move |(n, w)| dot(x, w) + bias.map_or(0.0, |b| f64::from(b[n])))
        })
        .collect()
}

/// Quantizes `values` (row-major, `shape`) to `format`, scales by absmax or range.
///
/// # Errors
/// [`Error::Length`] when `values` does not have `shape`, [`Error::NonFinite`] for a NaN or infinity.
pub fn quantize(values: Values<'_>, shape: MatShape, format: Format) -> Result<QuantMatrix> {
    let x = values.to_f32();
    if x.len() != shape.num_values() {
        let rule = format!("shape {shape}");
        return Err(Error::Length { what: "weight", expected: shape.num_values(), found: x.len(), rule });
    }
    if let Some(index) = x.iter().position(|v| !v.is_finite()) {
        return Err(Error::NonFinite { what: "weight", index, value: x[index] });
    }
    let parts = match format {
        Format::Nf4 { block_size, absmax } => codebook4(&x, &tables::NF4, block_size.get(), absmax),
        Format::Fp4 { block_size, absmax } => codebook4(&x, &tables::FP4, block_size.get(), absmax),
        Format::Dynamic8 { block_size } => {
            let (codes, absmax) = blockwise8(&x, &tables::DYNAMIC_MAP, block_size.get());
            Parts::new(codes, absmax)
        }
        Format::Int8 { .. } => int8(&x, shape, format),
        Format::Int4 { symmetry, .. } => affine(&x, shape, format, symmetry, 15),
        Format::AffineInt8 { symmetry, .. } => affine(&x, shape, format, symmetry, 255),
        Format::Int4ChannelGroup => channel_groups(&x, shape),
    };
    QuantMatrix::from_parts(format, shape, values.dtype(), parts)
}

/// bitsandbytes' blockwise rule, the same for every codebook: the absmax of each block, and the rank in the ascending
/// codebook `sorted` of each value. A full block multiplies by a reciprocal, a short last one divides; the divisor is at
/// least 1e-38; a value on a midpoint goes down.
pub fn blockwise_ranks(x: &[f32], sorted: &[f32], block_size: usize) -> (Vec<u8>, Vec<f32>) {
    let midpoints: Vec<f32> = sorted.windows(2).map(|w| (w[0] + w[1]) / 2.0).collect();
    let rank = |s: f32| midpoints.iter().filter(|&&mid| s > mid).count() as u8;
    let mut ranks = Vec::with_capacity(x.len());
    let mut scales = Vec::with_capacity(x.len().div_ceil(block_size));
    for block in x.chunks(block_size) {
        let absmax = block.iter().fold(0.0f32, |max, v| max.max(v.abs()));
        let divisor = absmax.max(1e-38);
        if block.len() == block_size {
            let reciprocal = 1.0 / divisor;
            ranks.extend(block.iter().map(|v| rank((v * reciprocal).clamp(-1.0, 1.0))));
        } else {
            ranks.extend(block.iter().map(|v| rank((v / divisor).clamp(-1.0, 1.0))));
        }
        scales.push(absmax);
    }
    (ranks, scales)
}

/// The codes of `codebook` in ascending order of value. Of two codes with one value the lower comes first.
pub fn ascending(codebook: &[f32; 16]) -> [u8; 16] {
    let mut order: [u8; 16] = std::array::from_fn(|code| code as u8);
    order.sort_by(|&a, &b| codebook[usize::from(a)].total_cmp(&codebook[usize::from(b)]));
    order
}

fn codebook4(x: &[f32], codebook: &[f32; 16], block_size: usize, absmax: AbsmaxKind) -> Parts {
    let order = ascending(codebook);
    let sorted = order.map(|code| codebook[usize::from(code)]);
    let (ranks, mut scales) = blockwise_ranks(x, &sorted, block_size);
    // Of a short last block the 4-bit formats (alone) store the divisor, even when all its values are zero.
    if let Some(last) = scales.last_mut().filter(|_| !x.len().is_multiple_of(block_size)) {
        *last = last.max(1e-38);
    }
    // FP4 has two zeros; the one that is written is the positive one.
    let code_of = |rank: u8| match order[usize::from(rank)] {
        code if codebook[usize::from(code)] == 0.0 => codebook.iter().position(|&v| v == 0.0).unwrap() as u8,
        code => code,
    };
    // The pad of an odd count is the code of 0.0.
    let zero = codebook.iter().position(|&v| v == 0.0).unwrap() as u8;
    let mut codes = vec![zero | zero << 4; x.len().div_ceil(2)];
    for (i, &rank) in ranks.iter().enumerate() {
        nibbles::set(&mut codes, i, code_of(rank));
    }
    let scales = match absmax {
        AbsmaxKind::F32 => Scales::F32(scales),
        AbsmaxKind::Nested => Scales::Nested(nest(&scales)),
    };
    Parts { codes, scales, zero_points: None, map: None, steps: None }
}

/// Double quantization: subtracts the mean, then [`blockwise8`] with the dynamic map and blocks of 256.
pub fn nest(absmax: &[f32]) -> NestedAbsmax {
    let offset = mean(absmax);
    let centred: Vec<f32> = absmax.iter().map(|v| v - offset).collect();
    let map = NestedAbsmax::default_map();
    let (codes, absmax) = blockwise8(&centred, &map, NestedAbsmax::BLOCK_SIZE.get());
    NestedAbsmax { codes, absmax, offset, map }
}

/// The mean, summed in f64: runs of 1024 from left to right, then their sums from left to right.
pub fn mean(values: &[f32]) -> f32 {
    let sum: f64 = values.chunks(1024).map(|run| run.iter().map(|&v| f64::from(v)).sum::<f64>()).sum();
    (sum / values.len() as f64) as f32
}

/// bitsandbytes' `quantize_blockwise` (its portable rule): codes and absmax values.
pub fn blockwise8(x: &[f32], map: &[f32; 256], block_size: usize) -> (Vec<u8>, Vec<f32>) {
    blockwise_ranks(x, map, block_size)
}

/// One INT8 code: the rule of LLM.int8(), for weights and activations. Saturates; 0 when `absmax` is 0.
pub fn int8_code(x: f32, absmax: f32, max_code: f32) -> i8 {
    (x * ((1.0 / absmax) * max_code)).round_ties_even().clamp(-max_code, max_code) as i8
}

fn int8(x: &[f32], shape: MatShape, format: Format) -> Parts {
    let mut absmax = vec![0.0f32; format.num_scales(shape)];
    for_each_value(x, shape, format, |g, _, v| absmax[g] = absmax[g].max(v.abs()));
    let mut codes = vec![0u8; x.len()];
    for_each_value(x, shape, format, |g, i, v| codes[i] = int8_code(v, absmax[g], 127.0) as u8);
    Parts::new(codes, absmax)
}

fn affine(x: &[f32], shape: MatShape, format: Format, symmetry: Symmetry, top: u8) -> Parts {
    let mut range = vec![(0.0f32, 0.0f32); format.num_scales(shape)];
    for_each_value(x, shape, format, |g, _, v| range[g] = (range[g].0.min(v), range[g].1.max(v)));
    let middle = top / 2 + 1;
    let params: Vec<(f32, u8)> = range
        .iter()
        .map(|&(lo, hi)| match symmetry {
            Symmetry::Symmetric => (hi.max(-lo) / f32::from(top / 2), middle),
            Symmetry::Asymmetric => {
                let scale = (hi - lo) / f32::from(top);
                // Dividing denormals can overshoot.
                (scale, (-lo / scale).round_ties_even().min(f32::from(top)) as u8)
            }
        })
        .collect();
    let lowest = match symmetry {
        Symmetry::Symmetric => 1.0,
        Symmetry::Asymmetric => 0.0,
    };
    let mut codes = vec![0u8; format.num_code_bytes(shape)];
    for_each_value(x, shape, format, |g, i, v| {
        let (scale, zero_point) = params[g];
        let quotient = if scale == 0.0 { 0.0 } else { (v / scale).round_ties_even() };
        let code = (quotient + f32::from(zero_point)).clamp(lowest, f32::from(top)) as u8;
        match format.code_bits() {
            4 => nibbles::set(&mut codes, i, code),
            _ => codes[i] = code,
        }
    });
    let zero_points = matches!(symmetry, Symmetry::Asymmetric).then(|| params.iter().map(|p| p.1).collect());
    let scales = Scales::F32(params.iter().map(|p| p.0).collect());
    Parts { codes, scales, zero_points, map: None, steps: None }
}

fn channel_groups(x: &[f32], shape: MatShape) -> Parts {
    let mut parts = Parts::new(vec![0; shape.num_values().div_ceil(2)], Vec::new());
    let mut steps = GroupSteps { multipliers: Vec::new(), offsets: Vec::new() };
    for (row, x) in x.chunks(shape.k()).enumerate() {
        let scale = x.iter().fold(0.0f32, |max, v| max.max(v.abs())) / MAX_INT8 as f32;
        let int8 = |v: &f32| if scale == 0.0 { 0 } else { (v / scale).round_ties_even() as i32 };
        let values: Vec<i32> = x.iter().map(|v| int8(v).clamp(-MAX_INT8, MAX_INT8)).collect();
        for (group, values) in values.chunks(int4_channel_group::GROUP).enumerate() {
            let Grid { start, multiplier } = Grid::of(values);
            for (i, &value) in values.iter().enumerate() {
                let index = row * shape.k() + group * int4_channel_group::GROUP + i;
                nibbles::set(&mut parts.codes, index, Grid { start, multiplier }.code(value));
            }
            steps.multipliers.push(multiplier as u8);
            steps.offsets.push((start + i32::from(int4_channel_group::ZERO_POINT)) as u8);
        }
        let Scales::F32(scales) = &mut parts.scales else { unreachable!("f32 scales") };
        scales.push(scale);
    }
    parts.steps = Some(steps);
    parts
}

/// The 16 int8 values of a group of [`Format::Int4ChannelGroup`]: `start + code * multiplier`.
#[derive(Clone, Copy)]
struct Grid {
    start: i32,
    multiplier: i32,
}

impl Grid {
    /// The better of two grids centred over the range of `values`.
    fn of(values: &[i32]) -> Self {
        let top = i32::from(MAX_CODE);
        let (lo, hi) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
        let centred = |multiplier: i32| {
            let slack = top * multiplier - (hi - lo);
            Self { start: lo - (slack + 1).div_euclid(2), multiplier }
        };
        let floor = centred(((hi - lo) / top).max(1));
        let ceil = centred(((hi - lo + top - 1) / top).max(1));
        if ceil.squared_error(values) < floor.squared_error(values) { ceil } else { floor }
    }

    fn code(self, value: i32) -> u8 {
        let code = (2 * (value - self.start) + self.multiplier).div_euclid(2 * self.multiplier);
        code.clamp(0, i32::from(MAX_CODE)) as u8
    }

    fn squared_error(self, values: &[i32]) -> i32 {
        let error = |value: i32| self.start + i32::from(self.code(value)) * self.multiplier - value;
        values.iter().map(|&value| error(value) * error(value)).sum()
    }
}

/// Calls `f(scale index, flat index, value)` for every value.
fn for_each_value(x: &[f32], shape: MatShape, format: Format, mut f: impl FnMut(usize, usize, f32)) {
    for (i, &v) in x.iter().enumerate() {
        f(format.scale_index(shape, i / shape.k(), i % shape.k()), i, v);
    }
}

/// Quantizes each row of `x` (K columns) to codes in `-max_code..=max_code`; `threshold` 0 means no outliers.
/// A row that holds a NaN or an infinity gets a NaN absmax.
pub fn quantize_rows(x: &[f32], k: usize, max_code: f32, threshold: f32) -> QuantizedRows {
    let is_outlier = |v: f32| threshold > 0.0 && v.abs() >= threshold;
    let outlier_columns: Vec<usize> =
        (0..k).filter(|&col| x.iter().skip(col).step_by(k).any(|&v| is_outlier(v))).collect();
    let (mut codes, mut absmax) = (Vec::with_capacity(x.len()), Vec::new());
    for row in x.chunks_exact(k) {
        let finite = row.iter().all(|v| v.is_finite());
        let max = row.iter().filter(|&&v| !is_outlier(v)).fold(0.0f32, |max, v| max.max(v.abs()));
        codes.extend(row.iter().enumerate().map(|(col, &v)| {
            if outlier_columns.binary_search(&col).is_ok() { 0 } else { int8_code(v, max, max_code) }
        }));
        absmax.push(if finite { max } else { f32::NAN });
    }
    QuantizedRows { codes, absmax, outlier_columns }
}
