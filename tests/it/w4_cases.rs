//! What the tests of kernels for 4-bit weights share: matrices with random codes, and the products of their values.

use lowbit::Dtype;
use lowbit::MatShape;
use lowbit::QuantMatrix;
use lowbit::formats::AbsmaxKind;
use lowbit::formats::Format;
use lowbit::formats::NestedAbsmax;
use lowbit::formats::Parts;
use lowbit::formats::Scales;
use lowbit::formats::Symmetry;
use lowbit::formats::nibbles;
use lowbit::shape::BlockSize;
use lowbit::shape::Granularity;
use lowbit::shape::GroupSize;
use lowbit::values::OwnedValues;

use crate::support::Random;
use crate::tolerance;

pub fn nf4(block: usize, absmax: AbsmaxKind) -> Format {
    Format::Nf4 { block_size: BlockSize::new(block).unwrap(), absmax }
}

pub fn fp4(block: usize, absmax: AbsmaxKind) -> Format {
    Format::Fp4 { block_size: BlockSize::new(block).unwrap(), absmax }
}

pub fn int4(granularity: Granularity, symmetry: Symmetry) -> Format {
    Format::Int4 { granularity, symmetry }
}

pub fn group(size: usize) -> Granularity {
    Granularity::PerGroup(GroupSize::new(size).unwrap())
}

/// A matrix with random codes, scales of two orders of magnitude and either sign, and random zero points.
pub fn matrix(format: Format, shape: MatShape, random: &mut Random) -> QuantMatrix {
    let codes = (0..format.num_code_bytes(shape)).map(|_| random.next() as u8).collect();
    let count = format.num_scales(shape);
    let mut floats =
        |count: usize| -> Vec<f32> { (0..count).map(|_| random.uniform() * [1.0, 0.1][random.below(2)]).collect() };
    let is_nested = matches!(
        format,
        Format::Nf4 { absmax: AbsmaxKind::Nested, .. } | Format::Fp4 { absmax: AbsmaxKind::Nested, .. }
    );
    let scales = if is_nested {
        let absmax = floats(count.div_ceil(256));
        let codes = (0..count).map(|_| random.next() as u8).collect();
        Scales::Nested(NestedAbsmax { codes, absmax, offset: 0.3, map: NestedAbsmax::default_map() })
    } else {
        Scales::F32(floats(count))
    };
    let zero_points = format.has_zero_points().then(|| (0..count).map(|_| random.below(16) as u8).collect());
    let parts = Parts { codes, scales, zero_points, map: None, steps: None };
    QuantMatrix::from_parts(format, shape, Dtype::F16, parts).unwrap()
}

/// A weight as the kernels with 16-bit activations see it: (codebook - zero) * scale, the codebook rounded to their type.
struct Weight {
    codebook: f64,
    exact_codebook: f64,
    zero: f64,
    scale: f64,
}

fn weight(matrix: &QuantMatrix, dtype: Dtype, row: usize, col: usize) -> Weight {
    let (format, shape) = (matrix.format(), matrix.shape());
    let code = nibbles::get(matrix.codes(), row * shape.k() + col);
    let exact = format.codebook().unwrap()[usize::from(code)];
    let scale_index = format.scale_index(shape, row, col);
    // The kernels' codebook of INT4 is -8 .. 7, and zero points are moved alike.
    let shift = if matches!(format, Format::Int4 { .. }) { 8.0 } else { 0.0 };
    let rounded = OwnedValues::from_f32(dtype, &[exact]).as_values().get(0);
    Weight {
        codebook: f64::from(rounded) - shift,
        exact_codebook: f64::from(exact) - shift,
        zero: f64::from(matrix.zero_point(scale_index)) - shift,
        scale: f64::from(matrix.scales().get(scale_index)),
    }
}

/// One element of y and how far it may be off.
pub struct Expected {
    /// With the codebook rounded to the type of x.
    pub value: f64,
    pub bound: f64,
    /// With the weights as they are.
    pub unrounded: f64,
    pub unrounded_bound: f64,
}

/// x[k] · W[row]ᵀ + bias.
///
/// A group's products are summed by mma: 18 cuts of 2^-23 of the sum of magnitudes for each 16 products, as
/// [`tolerance::mma_bound`] has it, in all of K. The magnitudes are those of codebook and zero point apart, since they are
/// subtracted after the sum. Sums of x have 64 roundings; each tile of 64 columns adds at most two groups, an fma for the
/// zero point and one for the scale; the scale of a nested matrix is exact. Then 16 warps, 64 parts of K, and the bias.
pub fn expected(matrix: &QuantMatrix, dtype: Dtype, x: &[f32], row: usize, bias: f32) -> Expected {
    let (mut value, mut unrounded) = (f64::from(bias), f64::from(bias));
    let (mut magnitude, mut codebook_error) = (f64::from(bias.abs()), 0.0);
    for (col, &x) in x.iter().enumerate() {
        let w = weight(matrix, dtype, row, col);
        let x = f64::from(x);
        value += x * (w.codebook - w.zero) * w.scale;
        unrounded += x * (w.exact_codebook - w.zero) * w.scale;
        magnitude += (x * w.scale).abs() * (w.codebook.abs() + w.zero.abs());
        codebook_error += (x * w.scale * (w.codebook - w.exact_codebook)).abs();
    }
    let k = x.len() as f64;
    let roundings = 36.0 * (k / 16.0).ceil() + 64.0 + 4.0 * (k / 64.0).ceil() + 16.0 + 64.0 + 1.0;
    let bound = roundings * tolerance::unit_roundoff(Dtype::F32) * 1.01 * magnitude + tolerance::rounding(value, dtype);
    Expected { value, bound, unrounded, unrounded_bound: bound + codebook_error * 1.01 }
}
