//! `gemm_w4_sm90`: x by 4-bit weights on wgmma, within the bound of its sums.
#![allow(unsafe_code)]

use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::MatShape;
use lowbit::QuantMatrix;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::Region;
use lowbit::cuda::ops::gemm_w4_sm90;
use lowbit::cuda::ops::gemm_w4_sm90::GemmW4Sm90;
use lowbit::cuda::ops::w4::W4;
use lowbit::formats::AbsmaxKind::F32;
use lowbit::formats::AbsmaxKind::Nested;
use lowbit::formats::Format;
use lowbit::formats::Symmetry::Asymmetric;
use lowbit::formats::Symmetry::Symmetric;
use lowbit::shape::Granularity;
use lowbit::values::OwnedValues;

use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::simulator::Simulator;
use crate::support::Random;
use crate::w4_cases::expected;
use crate::w4_cases::fp4;
use crate::w4_cases::group;
use crate::w4_cases::int4;
use crate::w4_cases::matrix;
use crate::w4_cases::nf4;

const HALVES: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

struct Case {
    matrix: QuantMatrix,
    m: usize,
    dtype: Dtype,
    x: OwnedValues,
    bias: Option<Vec<f32>>,
    /// How many elements after the beginning of an allocation x begins.
    shift: usize,
}

impl Case {
    fn new(format: Format, (m, n, k): (usize, usize, usize), dtype: Dtype, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let matrix = matrix(format, MatShape::new(n, k).unwrap(), &mut random);
        let mut values = |count: usize| -> Vec<f32> {
            (0..count).map(|_| random.uniform() * [1.0, 1e-1, 1e-2, 10.0][random.below(4)]).collect()
        };
        let x = OwnedValues::from_f32(dtype, &values(m * k));
        let bias = seed.is_multiple_of(2).then(|| values(n));
        Self { matrix, m, dtype, x, bias, shift: 0 }
    }

    fn run(&self, device: &Device) -> Vec<f32> {
        let cuda = cuda_device(device);
        let (n, bytes) = (self.matrix.shape().n(), self.dtype.size_bytes());
        let w = W4::upload(cuda, &self.matrix).unwrap();
        let x = [&vec![0; self.shift * bytes], self.x.as_bytes()].concat();
        let x = DeviceBuffer::upload(cuda, &x).unwrap();
        let bias = self.bias.as_ref().map(|b| DeviceBuffer::upload(cuda, bytemuck::cast_slice(b)).unwrap());
        let y = DeviceBuffer::new(cuda, self.m * n * bytes).unwrap();
        let scratch_bytes = gemm_w4_sm90::scratch_bytes(cuda.limits(), &w, self.m).unwrap();
        let scratch = DeviceBuffer::new(cuda, scratch_bytes).unwrap();
        let product = GemmW4Sm90 {
            w: &w,
            x: after(&x, self.shift * bytes),
            bias: bias.as_ref().map(DeviceBuffer::region),
            y: y.region(),
            m: self.m,
            dtype: self.dtype,
        };
        product.enqueue(cuda, scratch.region()).unwrap_or_else(|e| panic!("{self}: {e}"));
        let mut found = OwnedValues::zeros(self.dtype, self.m * n);
        y.download(found.as_bytes_mut()).unwrap();
        found.as_values().to_f32()
    }

    fn check(&self, device: &Device) {
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
fn after(buffer: &DeviceBuffer, bytes: usize) -> Region<'_> {
    // SAFETY: within the buffer, which the region borrows.
    unsafe { Region::new(buffer.ptr() + bytes as u64, buffer.bytes() - bytes) }
}

fn simulated() -> Device {
    Simulator::new(90).device()
}

/// Every kind of scales, with groups of 32 and longer.
fn formats() -> [Format; 10] {
    [
        nf4(64, F32),
        nf4(32, F32),
        fp4(128, Nested),
        nf4(32, Nested),
        int4(group(64), Asymmetric),
        int4(group(32), Asymmetric),
        int4(group(128), Symmetric),
        int4(group(192), Asymmetric),
        int4(Granularity::PerRow, Symmetric),
        int4(Granularity::PerTensor, Asymmetric),
    ]
}

/// Every kernel over shapes that hurt.
pub fn against_reference(bench: &Bench) {
    for device in bench.devices() {
        let mut seed = 0;
        // Each width of wgmma, full and nearly empty.
        for (m, n) in [(1, 33), (16, 1), (17, 16), (50, 40), (65, 17), (128, 3)] {
            for (format, dtype) in formats().into_iter().flat_map(|f| HALVES.map(|dtype| (f, dtype))) {
                seed += 1;
                // Blocks of the flattened matrix must not run across rows; groups may end short.
                let k = if format.flat_block().is_some() { 384 } else { [381, 1, 65, 520][seed as usize % 4] };
                Case::new(format, (m, n, k), dtype, seed).check(&device);
            }
        }
        for dtype in HALVES {
            // More tiles than the pipeline has stages, in more than one part of K and in one.
            Case::new(nf4(64, F32), (3, 130, 3200), dtype, 200).check(&device);
            Case::new(int4(group(32), Asymmetric), (70, 129, 1600), dtype, 201).check(&device);
            Case::new(int4(group(192), Asymmetric), (5, 20, 960), dtype, 202).check(&device);
        }
        // Blocks with more than one unit, the last not full.
        Case::new(nf4(64, Nested), (128 * 133 - 3, 2, 64), Dtype::F16, 203).check(&device);
    }
}

#[test]
fn x_may_begin_at_any_element() {
    let device = simulated();
    for dtype in HALVES {
        for (shift, m, k) in [(1, 2, 128), (4, 20, 192), (0, 3, 131)] {
            let format = int4(group(64), Symmetric);
            let mut case = Case::new(format, (m, 18, k), dtype, 3);
            case.shift = shift;
            case.check(&device);
        }
    }
}

#[test]
fn what_is_not_finite_stays_in_its_row() {
    let device = simulated();
    for dtype in HALVES {
        for value in [f32::NAN, f32::INFINITY] {
            let mut case = Case::new(int4(group(64), Asymmetric), (4, 3, 130), dtype, 5);
            let mut x = case.x.as_values().to_f32();
            x[130 + 2] = value;
            case.x = OwnedValues::from_f32(dtype, &x);
            let y = case.run(&device);
            assert!(y[3..6].iter().all(|v| !v.is_finite()), "{y:?}");
            assert!(y[..3].iter().chain(&y[6..]).all(|v| v.is_finite()), "{y:?}");
        }
    }
}

/// With a whole number of 256 scales to a nested block, the group of padding in the last row is beyond the last of them.
#[test]
fn nested_scales_of_padding_are_not_read_beyond_the_last() {
    Case::new(nf4(32, Nested), (2, 256, 96), Dtype::Bf16, 6).check(&simulated());
}

/// The order in which warps run does not matter.
#[test]
fn the_result_does_not_depend_on_timing() {
    let case = Case::new(nf4(64, F32), (33, 140, 1088), Dtype::F16, 8);
    let results: Vec<Vec<f32>> =
        (0..4).map(|seed| case.run(&Simulator::with(90, Default::default(), seed).device())).collect();
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn what_the_kernels_do_not_take_is_refused_before_the_launch() {
    let device = simulated();
    let cuda = cuda_device(&device);
    let upload = |format, n, k| {
        let matrix = matrix(format, MatShape::new(n, k).unwrap(), &mut Random::new(7));
        W4::upload(cuda, &matrix).unwrap()
    };
    let w = upload(nf4(64, F32), 3, 64);
    let rule = |w: &W4, dtype| gemm_w4_sm90::rule(cuda.limits(), w, dtype);
    assert_eq!(rule(&w, Dtype::F16), None);
    assert!(rule(&w, Dtype::F32).unwrap().contains("f16 or bf16"));
    assert!(rule(&upload(nf4(64, F32), 3, 65), Dtype::F16).unwrap().contains("across the rows"));
    assert!(rule(&upload(int4(group(48), Symmetric), 3, 96), Dtype::F16).unwrap().contains("48"));
    for capability in [80, 89, 120] {
        let other = Simulator::new(capability).device();
        let cuda = cuda_device(&other);
        let rule = gemm_w4_sm90::rule(cuda.limits(), &w, Dtype::F16).unwrap();
        assert!(rule.contains("9.0 alone") && rule.contains(&format!("{}", capability / 10)), "{rule}");
    }

    let buffer = DeviceBuffer::zeros(cuda, 1 << 12).unwrap();
    let all = buffer.region();
    let good = GemmW4Sm90 { w: &w, x: all, bias: None, y: all, m: 2, dtype: Dtype::F16 };
    let refused = |product: GemmW4Sm90<'_>| product.enqueue(cuda, all).unwrap_err();
    let error = refused(GemmW4Sm90 { dtype: Dtype::F32, ..good });
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let error = refused(GemmW4Sm90 { x: after(&buffer, (1 << 12) - 255), ..good });
    assert!(matches!(error, Error::Length { what: "x", expected: 256, found: 255, .. }), "{error}");
    let error = refused(GemmW4Sm90 { y: after(&buffer, 1), ..good });
    assert!(matches!(error, Error::Invalid { what: "y", .. }), "{error}");
    let error = refused(GemmW4Sm90 { bias: Some(after(&buffer, (1 << 12) - 8)), ..good });
    assert!(matches!(error, Error::Length { what: "bias", .. }), "{error}");
    GemmW4Sm90 { m: 0, ..good }.enqueue(cuda, after(&buffer, 1 << 12)).unwrap();

    let long = upload(nf4(64, F32), 3, 8192);
    let x = DeviceBuffer::zeros(cuda, 2 * 8192 * 2).unwrap();
    let error = GemmW4Sm90 { w: &long, x: x.region(), ..good }.enqueue(cuda, after(&buffer, 1 << 12)).unwrap_err();
    assert!(matches!(error, Error::Length { what: "scratch memory", .. }), "{error}");
}
