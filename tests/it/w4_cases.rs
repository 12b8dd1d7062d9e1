//! What the tests of kernels for 4-bit weights share: matrices with random codes, the products of their values, and cases of them.
#![allow(unsafe_code)]

use lowbit::Device;
use lowbit::Dtype;
use lowbit::MatShape;
use lowbit::QuantMatrix;
use lowbit::cuda::CudaDevice;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::Limits;
use lowbit::cuda::Region;
use lowbit::cuda::ops::w4::W4;
use lowbit::cuda::ops::w4_product::W4Product;
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

use crate::cuda_kernels::cuda_device;
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

/// Every kind of scales, with groups of 32 and longer.
pub fn formats() -> [Format; 10] {
    [
        nf4(64, AbsmaxKind::F32),
        nf4(32, AbsmaxKind::F32),
        fp4(128, AbsmaxKind::Nested),
        nf4(32, AbsmaxKind::Nested),
        int4(group(64), Symmetry::Asymmetric),
        int4(group(32), Symmetry::Asymmetric),
        int4(group(128), Symmetry::Symmetric),
        int4(group(192), Symmetry::Asymmetric),
        int4(Granularity::PerRow, Symmetry::Symmetric),
        int4(Granularity::PerTensor, Symmetry::Asymmetric),
    ]
}

/// A kernel family for [`W4Product`].
#[derive(Clone, Copy)]
pub struct Family {
    pub scratch_bytes: fn(&Limits, &W4, usize) -> usize,
    pub enqueue: fn(&W4Product<'_>, &CudaDevice, Region<'_>) -> lowbit::Result<()>,
}

/// A product of random values by one of them.
pub struct Case {
    family: Family,
    pub matrix: QuantMatrix,
    pub m: usize,
    pub dtype: Dtype,
    pub x: OwnedValues,
    pub bias: Option<Vec<f32>>,
    /// How many elements after the beginning of an allocation x begins.
    pub shift: usize,
}

impl Case {
    pub fn new(family: Family, format: Format, (m, n, k): (usize, usize, usize), dtype: Dtype, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let matrix = matrix(format, MatShape::new(n, k).unwrap(), &mut random);
        let mut values = |count: usize| -> Vec<f32> {
            (0..count).map(|_| random.uniform() * [1.0, 1e-1, 1e-2, 10.0][random.below(4)]).collect()
        };
        let x = OwnedValues::from_f32(dtype, &values(m * k));
        let bias = seed.is_multiple_of(2).then(|| values(n));
        Self { family, matrix, m, dtype, x, bias, shift: 0 }
    }

    pub fn run(&self, device: &Device) -> Vec<f32> {
        let cuda = cuda_device(device);
        let (n, bytes) = (self.matrix.shape().n(), self.dtype.size_bytes());
        let w = W4::upload(cuda, &self.matrix).unwrap();
        let x = [&vec![0; self.shift * bytes], self.x.as_bytes()].concat();
        let x = DeviceBuffer::upload(cuda, &x).unwrap();
        let bias = self.bias.as_ref().map(|b| DeviceBuffer::upload(cuda, bytemuck::cast_slice(b)).unwrap());
        // What is not written stays what nobody wrote, and cannot be read.
        let y = DeviceBuffer::new(cuda, self.m * n * bytes).unwrap();
        let scratch = DeviceBuffer::new(cuda, (self.family.scratch_bytes)(cuda.limits(), &w, self.m)).unwrap();
        let product = W4Product {
            w: &w,
            x: after(&x, self.shift * bytes),
            bias: bias.as_ref().map(DeviceBuffer::region),
            y: y.region(),
            m: self.m,
            dtype: self.dtype,
        };
        (self.family.enqueue)(&product, cuda, scratch.region()).unwrap_or_else(|e| panic!("{self}: {e}"));
        let mut found = OwnedValues::zeros(self.dtype, self.m * n);
        y.download(found.as_bytes_mut()).unwrap();
        found.as_values().to_f32()
    }

    pub fn check(&self, device: &Device) {
        let shape = self.matrix.shape();
        let x = self.x.as_values().to_f32();
        let found = self.run(device);
        for (i, &found) in found.iter().enumerate() {
            let (m, row) = (i / shape.n(), i % shape.n());
            let bias = self.bias.as_ref().map_or(0.0, |b| b[row]);
            let expected = expected(&self.matrix, self.dtype, &x[m * shape.k()..][..shape.k()], row, bias);
            let error = (f64::from(found) - expected.value).abs();
            let (value, bound) = (expected.value, expected.bound);
            assert!(error <= bound, "{self} on {device:?}: y[{m}, {row}] is {found}, not {value}, bound {bound}");
            let error = (f64::from(found) - expected.unrounded).abs();
            let (value, bound) = (expected.unrounded, expected.unrounded_bound);
            assert!(error <= bound, "{self} on {device:?}: y[{m}, {row}] is {found}, not {value}, bound {bound}");
        }
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { matrix, m, dtype, shift, .. } = self;
        write!(f, "{} {} by {m} rows of {dtype}, shift {shift}", matrix.format(), matrix.shape())
    }
}

/// What lies `bytes` after the beginning of a buffer.
pub fn after(buffer: &DeviceBuffer, bytes: usize) -> Region<'_> {
    // SAFETY: within the buffer, which the region borrows.
    unsafe { Region::new(buffer.ptr() + bytes as u64, buffer.bytes() - bytes) }
}
