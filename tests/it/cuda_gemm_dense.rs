//! `gemm_dense`: y = x · Wᵀ + bias of dense matrices, within the bound of its sums.
#![allow(unsafe_code)]

use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::Region;
use lowbit::cuda::ops::gemm_dense::AddBias;
use lowbit::cuda::ops::gemm_dense::GemmDense;
use lowbit::cuda::ops::gemm_dense::dense;
use lowbit::cuda::ops::gemm_dense::scratch_bytes;
use lowbit::cuda::ops::tiles::ProductSize;
use lowbit::reference;
use lowbit::shape::MatShape;
use lowbit::values::OwnedValues;

use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::support::Random;
use crate::tolerance;

/// A product with the values of its operands.
struct Case {
    size: ProductSize,
    types: (Dtype, Dtype),
    x: OwnedValues,
    w: OwnedValues,
    bias: Option<Vec<f32>>,
    /// How many elements after the beginning of an allocation x and y begin.
    shift: usize,
}

impl Case {
    fn new(size: (usize, usize, usize), types: (Dtype, Dtype), has_bias: bool, seed: u64) -> Self {
        let (m, n, k) = size;
        let mut random = Random::new(seed);
        // Magnitudes of four orders: a place that is missed shows.
        let mut values = |count: usize| -> Vec<f32> {
            (0..count).map(|_| random.uniform() * [1.0, 1e-1, 1e-2, 10.0][random.below(4)]).collect()
        };
        let x = OwnedValues::from_f32(types.0, &values(m * k));
        let w = OwnedValues::from_f32(types.0, &values(n * k));
        let bias = has_bias.then(|| values(n));
        Self { size: ProductSize { m, n, k }, types, x, w, bias, shift: 0 }
    }

    /// y, computed on `device`.
    fn run(&self, device: &Device) -> OwnedValues {
        let cuda = cuda_device(device);
        let ProductSize { m, n, k } = self.size;
        let (in_dtype, out_dtype) = self.types;
        let upload = |values: &OwnedValues, shift: usize| {
            let bytes = [&vec![0; shift * in_dtype.size_bytes()], values.as_bytes()].concat();
            DeviceBuffer::upload(cuda, &bytes).unwrap()
        };
        let (x, w) = (upload(&self.x, self.shift), upload(&self.w, 0));
        let bias = self.bias.as_ref().map(|b| DeviceBuffer::upload(cuda, bytemuck::cast_slice(b)).unwrap());
        let shift = self.shift * out_dtype.size_bytes();
        let y = DeviceBuffer::zeros(cuda, shift + m * n * out_dtype.size_bytes()).unwrap();
        let scratch = scratch_bytes(cuda.limits(), self.size, in_dtype).unwrap();
        let scratch = DeviceBuffer::new(cuda, scratch).unwrap();
        let product = GemmDense {
            x: after(&x, self.shift * in_dtype.size_bytes()),
            w: w.region(),
            bias: bias.as_ref().map(DeviceBuffer::region),
            y: after(&y, shift),
            m,
            n,
            k,
            in_dtype,
            out_dtype,
        };
        dense(&product, cuda, scratch.region()).unwrap_or_else(|e| panic!("{:?} {:?}: {e}", self.size, self.types));
        let mut found = vec![0; y.bytes()];
        y.download(&mut found).unwrap();
        let mut values = OwnedValues::zeros(out_dtype, m * n);
        values.as_bytes_mut().copy_from_slice(&found[shift..]);
        values
    }

    fn check(&self, device: &Device) {
        let ProductSize { m, n, k } = self.size;
        let (x, w) = (self.x.as_values().to_f32(), self.w.as_values().to_f32());
        let found = self.run(device).as_values().to_f32();
        assert_eq!(found.len(), m * n);
        let exact = match n * k {
            0 => (0..m * n).map(|i| self.bias.as_ref().map_or(0.0, |b| f64::from(b[i % n]))).collect(),
            _ => reference::matmul(&x, &w, MatShape::new(n, k).unwrap(), self.bias.as_deref()),
        };
        for (i, (found, exact)) in found.iter().zip(exact).enumerate() {
            let (row, column) = (i / n, i % n);
            let (x, w) = (&x[row * k..][..k], &w[column * k..][..k]);
            let bias = self.bias.as_ref().map_or(0.0, |b| b[column]);
            let bound = match self.types.0 {
                Dtype::F32 => tolerance::fma_bound(x, w, bias, exact, self.types.1),
                _ => tolerance::mma_bound(x, w, bias, exact, self.types.1),
            };
            let error = (f64::from(*found) - exact).abs();
            assert!(
                error <= bound,
                "{:?} {:?} shift {} on {device:?}: y[{row}, {column}] = {found}, exactly {exact}, off by {error}, bound {bound}",
                self.size,
                self.types,
                self.shift
            );
        }
    }
}

/// What lies `bytes` after the beginning of a buffer.
fn after(buffer: &DeviceBuffer, bytes: usize) -> Region<'_> {
    // SAFETY: within the buffer, which the region borrows.
    unsafe { Region::new(buffer.ptr() + bytes as u64, buffer.bytes() - bytes) }
}

const HALVES: [(Dtype, Dtype); 2] = [(Dtype::F16, Dtype::F16), (Dtype::Bf16, Dtype::Bf16)];
const SINGLES: [(Dtype, Dtype); 3] = [(Dtype::F32, Dtype::F32), (Dtype::F32, Dtype::F16), (Dtype::F32, Dtype::Bf16)];

/// Rows of whole chunks of 16 bytes: one chunk, a whole stage, a chunk more, tiles that overhang, few columns.
const ALIGNED: [(usize, usize, usize); 6] =
    [(1, 1, 8), (17, 33, 32), (65, 66, 72), (64, 64, 128), (2, 130, 264), (129, 4, 40)];
/// Rows that are not.
const UNALIGNED: [(usize, usize, usize); 5] = [(1, 1, 1), (3, 5, 7), (2, 64, 513), (66, 67, 34), (64, 3, 100)];

/// Every kernel over shapes that hurt.
pub fn against_reference(bench: &Bench) {
    for device in bench.devices() {
        for (index, size) in ALIGNED.into_iter().chain(UNALIGNED).enumerate() {
            for types in HALVES.into_iter().chain(SINGLES) {
                Case::new(size, types, index % 2 == 0, index as u64).check(&device);
            }
        }
        for types in HALVES {
            // One tile, K in sixteen parts; a last part that is short.
            Case::new((1, 64, 4096), types, true, 20).check(&device);
            Case::new((3, 70, 1992), types, false, 21).check(&device);
        }
        // 132 large tiles, those of the last row and column overhanging; columns that are fours, and that are not.
        Case::new((1500, 1400, 72), HALVES[0], true, 22).check(&device);
        Case::new((1430, 1535, 40), HALVES[1], false, 23).check(&device);
    }
    for capability in [80, 89, 120] {
        let device = bench.simulated(capability);
        for types in HALVES.into_iter().chain(SINGLES) {
            Case::new((65, 70, 168), types, true, 30).check(&device);
        }
    }
    bias_is_added(bench);
}

/// The sums are those of f32, rounded once.
fn bias_is_added(bench: &Bench) {
    for (m, n) in [(1, 1), (3, 7), (2, 1028), (5, 1025)] {
        for dtype in [Dtype::F16, Dtype::Bf16, Dtype::F32] {
            let Case { x: before, bias, .. } = Case::new((m, n, n), (dtype, dtype), true, 40);
            let before = OwnedValues::from_f32(dtype, &before.as_values().to_f32()[..m * n]);
            let bias = bias.unwrap();
            let sums = before.as_values().to_f32().into_iter().enumerate().map(|(i, v)| v + bias[i % n]);
            let expected = OwnedValues::from_f32(dtype, &sums.collect::<Vec<_>>());
            for device in bench.devices() {
                let cuda = cuda_device(&device);
                let y = DeviceBuffer::upload(cuda, before.as_bytes()).unwrap();
                let bias = DeviceBuffer::upload(cuda, bytemuck::cast_slice(&bias)).unwrap();
                AddBias { y: y.region(), bias: bias.region(), m, n, dtype }.enqueue(cuda).unwrap();
                let mut found = vec![0; y.bytes()];
                y.download(&mut found).unwrap();
                assert_eq!(found, expected.as_bytes(), "[{m}, {n}] {dtype} on {device:?}");
            }
        }
    }
}

#[test]
fn operands_may_begin_at_any_element() {
    let device = crate::simulator::Simulator::new(80).device();
    for types in HALVES.into_iter().chain(SINGLES) {
        for shift in [1, 3, 4] {
            let mut case = Case::new((5, 12, 64), types, true, shift as u64);
            case.shift = shift;
            case.check(&device);
        }
    }
}

#[test]
fn nothing_to_sum_is_the_bias_and_no_rows_are_no_launch() {
    let device = crate::simulator::Simulator::new(80).device();
    for types in HALVES.into_iter().chain(SINGLES) {
        Case::new((3, 5, 0), types, true, 50).check(&device);
        Case::new((0, 5, 8), types, true, 51).check(&device);
        Case::new((4, 0, 8), types, false, 52).check(&device);
    }
}

#[test]
fn what_is_not_finite_stays_in_its_row() {
    let device = crate::simulator::Simulator::new(80).device();
    for (types, k) in HALVES.into_iter().flat_map(|types| [(types, 40), (types, 41)]) {
        let mut case = Case::new((4, 3, k), types, true, 60);
        let mut x = case.x.as_values().to_f32();
        x[k + 2] = f32::NAN;
        x[2 * k] = f32::INFINITY;
        x[2 * k + 1] = f32::NEG_INFINITY;
        case.x = OwnedValues::from_f32(types.0, &x);
        let y = case.run(&device).as_values().to_f32();
        assert!(y[3..6].iter().all(|v| v.is_nan()), "{types:?} {k}: {y:?}");
        assert!(y[6..9].iter().all(|v| !v.is_finite()), "{types:?} {k}: {y:?}");
        assert!(y[..3].iter().chain(&y[9..]).all(|v| v.is_finite()), "{types:?} {k}: {y:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_before_the_launch() {
    let device = crate::simulator::Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let buffer = DeviceBuffer::zeros(cuda, 1 << 12).unwrap();
    let empty = DeviceBuffer::new(cuda, 0).unwrap();
    let (all, f16) = (buffer.region(), Dtype::F16);
    let good = GemmDense { x: all, w: all, bias: None, y: all, m: 2, n: 3, k: 5, in_dtype: f16, out_dtype: f16 };
    let refused = |product: GemmDense<'_>| product.enqueue(cuda, empty.region()).unwrap_err();

    let error = refused(GemmDense { x: after(&buffer, (1 << 12) - 19), ..good });
    assert!(matches!(error, Error::Length { what: "x", expected: 20, found: 19, .. }), "{error}");
    let error = refused(GemmDense { bias: Some(after(&buffer, (1 << 12) - 8)), ..good });
    assert!(matches!(error, Error::Length { what: "bias", expected: 12, found: 8, .. }), "{error}");
    let error = refused(GemmDense { w: after(&buffer, 1), ..good });
    assert!(matches!(error, Error::Invalid { what: "W", .. }), "{error}");
    let error = refused(GemmDense { out_dtype: Dtype::Bf16, ..good });
    assert!(error.to_string().contains("f16 activations to bf16"), "{error}");
    let error = refused(GemmDense { m: 1 << 31, ..good });
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let error = refused(GemmDense { m: 1, n: 1, k: 2048, ..good });
    assert!(matches!(error, Error::Length { what: "scratch memory", .. }), "{error}");
}

#[test]
fn a_wrong_column_is_off_by_more_than_the_bound() {
    // The bound is no use when two columns of W can be exchanged without breaking it.
    let case = Case::new((3, 8, 200), (Dtype::Bf16, Dtype::Bf16), false, 70);
    let (x, w) = (case.x.as_values().to_f32(), case.w.as_values().to_f32());
    let exact = reference::matmul(&x, &w, MatShape::new(8, 200).unwrap(), None);
    let bound = tolerance::mma_bound(&x[..200], &w[..200], 0.0, exact[0], Dtype::Bf16);
    assert!((exact[0] - exact[1]).abs() > bound, "{} {} {bound}", exact[0], exact[1]);
    // Nor when one of 200 products can be missing.
    let largest = x[..200].iter().zip(&w[..200]).map(|(a, b)| f64::from((a * b).abs())).fold(0.0, f64::max);
    assert!(largest > bound, "{largest} {bound}");
}
