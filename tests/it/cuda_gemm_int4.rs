//! `gemm_int4`: 4-bit codes times 4-bit codes, the bits of the CPU's definition; refused where there is no such instruction.

use std::sync::Arc;

use lowbit::Activations;
use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::Linear4bit;
use lowbit::Strategy;
use lowbit::Tensor;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::gemm_int4;
use lowbit::cuda::ops::gemm_int4::GemmInt4;
use lowbit::cuda::ops::gemm_int4::scratch_bytes;
use lowbit::cuda::ops::quantize_int4::PackedRows;
use lowbit::cuda::ops::s4::S4;
use lowbit::cuda::ops::tiles::ProductSize;
use lowbit::formats::Format;
use lowbit::formats::Parts;
use lowbit::formats::QuantMatrix;
use lowbit::formats::Symmetry::Asymmetric;
use lowbit::formats::Symmetry::Symmetric;
use lowbit::formats::nibbles;
use lowbit::reference;
use lowbit::shape::Granularity;
use lowbit::shape::MatShape;
use lowbit::values::OwnedValues;

use crate::built;
use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::simulator::Simulator;
use crate::support::Random;
use crate::tolerance;
use crate::w4_cases::group;
use crate::w4_cases::int4;
use crate::w4_cases::matrix;

const DTYPES: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

/// One scale for many columns: per row, per tensor.
fn by_row() -> [Format; 2] {
    [int4(Granularity::PerRow, Symmetric), int4(Granularity::PerTensor, Symmetric)]
}

/// A scale per group, also one that is longer than a stage of the kernel.
fn by_group() -> [Format; 2] {
    [int4(group(128), Symmetric), int4(group(384), Symmetric)]
}

/// Rounded rows and a matrix.
struct Case {
    m: usize,
    matrix: QuantMatrix,
    dtype: Dtype,
    codes: Vec<i8>,
    absmax: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// `rows` of `k` codes as the kernel takes them: the even column low, padded with zeros to a multiple of 16 bytes.
fn packed(codes: &[i8], k: usize) -> Vec<u8> {
    let row_bytes = k.div_ceil(32) * 16;
    let nibble = |code: Option<&i8>| code.map_or(0, |code| *code as u8 & 15);
    let row = |row: &[i8]| (0..row_bytes).map(|i| nibble(row.get(2 * i)) | nibble(row.get(2 * i + 1)) << 4).collect();
    codes.chunks(k).flat_map(|codes| -> Vec<u8> { row(codes) }).collect()
}

impl Case {
    fn new((m, n, k): (usize, usize, usize), format: Format, dtype: Dtype, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let matrix = matrix(format, MatShape::new(n, k).unwrap(), &mut random);
        let codes = (0..m * k).map(|_| random.below(15) as i8 - 7).collect();
        let absmax = (0..m).map(|_| random.uniform().abs() / 4.0).collect();
        let bias = seed.is_multiple_of(2).then(|| (0..n).map(|_| random.uniform()).collect());
        Self { m, matrix, dtype, codes, absmax, bias }
    }

    fn size(&self) -> ProductSize {
        ProductSize { m: self.m, n: self.matrix.shape().n(), k: self.matrix.shape().k() }
    }

    fn run(&self, device: &Device) -> OwnedValues {
        let cuda = cuda_device(device);
        let ProductSize { m, n, k } = self.size();
        let upload = |bytes: &[u8]| DeviceBuffer::upload(cuda, bytes).unwrap();
        let (codes, absmax) = (upload(&packed(&self.codes, k)), upload(bytemuck::cast_slice(&self.absmax)));
        let x = PackedRows { codes: codes.region(), absmax: absmax.region() };
        let w = S4::upload(cuda, &self.matrix).unwrap();
        let bias = self.bias.as_ref().map(|bias| upload(bytemuck::cast_slice(bias)));
        let y = DeviceBuffer::zeros(cuda, m * n * self.dtype.size_bytes()).unwrap();
        let scratch = DeviceBuffer::new(cuda, scratch_bytes(cuda.limits(), self.size()).unwrap()).unwrap();
        let bias = bias.as_ref().map(DeviceBuffer::region);
        let product = GemmInt4 { x: &x, w: &w, bias, y: y.region(), m, dtype: self.dtype };
        product.enqueue(cuda, scratch.region()).unwrap_or_else(|e| panic!("{m} {n} {k} {}: {e}", self.dtype));
        let mut values = OwnedValues::zeros(self.dtype, m * n);
        y.download(values.as_bytes_mut()).unwrap();
        values
    }

    /// Sums of the products of codes with row `column` of W over each 128 columns of K, with their scales.
    fn sums(&self, row: usize, w: &[i8], column: usize) -> Vec<(i32, f32)> {
        let k = self.size().k;
        let (format, shape) = (self.matrix.format(), self.matrix.shape());
        let chunks = self.codes[row * k..][..k].chunks(128).zip(w.chunks(128));
        let sum = |(x, w): (&[i8], &[i8])| x.iter().zip(w).map(|(&x, &w)| i32::from(x) * i32::from(w)).sum();
        let scale = |i| self.matrix.scales().get(format.scale_index(shape, column, 128 * i));
        chunks.map(sum).enumerate().map(|(i, sum)| (sum, scale(i))).collect()
    }

    /// y[row, column] before the bias in f32 as the CPU computes it, and how far the result may be from it: parts of K by
    /// groups are added up in an order of their own. K / 128 fmas, at most 16 parts, and the scale are rounded each.
    fn expected(&self, row: usize, w: &[i8], column: usize, is_split: bool) -> (f32, f64) {
        let sums = self.sums(row, w, column);
        let absmax = self.absmax[row];
        let factor = 1.0 / 7.0f32;
        if !matches!(self.matrix.format().granularity(), Some(Granularity::PerGroup(_))) {
            let sum: i32 = sums.iter().map(|(sum, _)| sum).sum();
            return (sum as f32 * (absmax * sums[0].1) * factor, 0.0);
        }
        let value = sums.iter().fold(0.0, |value, &(sum, scale)| (sum as f32).mul_add(scale, value));
        let value = value * (absmax * factor);
        let magnitude: f64 = sums.iter().map(|&(sum, scale)| (f64::from(sum) * f64::from(scale)).abs()).sum();
        let roundings = 2.0 * (sums.len() as f64 + 16.0 + 2.0) * tolerance::unit_roundoff(Dtype::F32) * 1.01;
        (value, if is_split { roundings * magnitude * f64::from(absmax) / 7.0 } else { 0.0 })
    }

    fn check(&self, device: &Device) {
        let ProductSize { m, n, k } = self.size();
        let is_split = scratch_bytes(cuda_device(device).limits(), self.size()).unwrap() > 0;
        let found = self.run(device);
        let bits = |values: &OwnedValues, i: usize| [values.as_bytes()[2 * i], values.as_bytes()[2 * i + 1]];
        for column in 0..n {
            let code = |i| nibbles::get(self.matrix.codes(), column * k + i) as i8 - 8;
            let w: Vec<i8> = (0..k).map(code).collect();
            for row in 0..m {
                let (value, bound) = self.expected(row, &w, column, is_split);
                // Without a bias not even the sign of a zero changes.
                let bias = self.bias.as_ref().map_or(-0.0, |b| b[column]);
                let (i, y) = (row * n + column, found.as_values().get(row * n + column));
                let case = || {
                    let format = self.matrix.format();
                    format!("{m} {n} {k} {format} {} on {device:?}: y[{row}, {column}] = {y}", self.dtype)
                };
                let expected = OwnedValues::from_f32(self.dtype, &[value + bias]);
                if bound == 0.0 {
                    assert_eq!(bits(&found, i), bits(&expected, 0), "{}, expected {}", case(), value + bias);
                    continue;
                }
                let exact = f64::from(value) + f64::from(bias);
                let bound = bound + tolerance::rounding(exact, self.dtype);
                assert!((f64::from(y) - exact).abs() <= bound, "{}, expected {exact}, bound {bound}", case());
            }
        }
    }
}

/// No value; one; K odd, within a chunk, a group, several; tiles that overhang; columns that are not fours; K in parts.
const SHAPES: [(usize, usize, usize); 10] = [
    (0, 5, 64),
    (1, 1, 1),
    (3, 5, 31),
    (17, 33, 33),
    (65, 66, 127),
    (2, 130, 129),
    (64, 64, 256),
    (70, 3, 700),
    (3, 64, 4000),
    (2, 70, 5111),
];

/// Every kernel over shapes that hurt.
pub fn against_reference(bench: &Bench) {
    let devices = || [bench.simulated(80)].into_iter().chain(bench.devices());
    for device in devices() {
        for (seed, (shape, format)) in
            SHAPES.into_iter().flat_map(|s| by_row().into_iter().chain(by_group()).map(move |f| (s, f))).enumerate()
        {
            for dtype in DTYPES {
                Case::new(shape, format, dtype, seed as u64).check(&device);
            }
        }
        extremes(&device);
        every_value_is_dequantized(&device);
    }
    // Large tiles where there are as many as multiprocessors; the last row and column overhang.
    for (device, n) in [(bench.simulated(80), 13_702), (bench.simulated(89), 18_053)] {
        for (dtype, format) in DTYPES.into_iter().zip([by_row()[0], by_group()[0]]) {
            Case::new((70, n, 300), format, dtype, 300).check(&device);
        }
    }
    for (dtype, format) in DTYPES.into_iter().zip([by_group()[0], by_row()[0]]) {
        Case::new((130, 6913, 200), format, dtype, 301).check(&bench.simulated(80));
    }
}

/// The largest sums of a group, of either sign: all codes -8 against 7 and -7. A group of 64 is all of its row.
fn extremes(device: &Device) {
    for (k, granularity) in [(1000, Granularity::PerRow), (1000, group(128)), (64, group(64))] {
        let format = int4(granularity, Symmetric);
        let mut case = Case::new((2, 5, k), format, Dtype::Bf16, 1);
        let parts = Parts::new(vec![0; (5 * k).div_ceil(2)], vec![0.5; format.num_scales(case.matrix.shape())]);
        case.matrix = QuantMatrix::from_parts(format, case.matrix.shape(), Dtype::F32, parts).unwrap();
        case.codes[..k].fill(7);
        case.codes[k..].fill(-7);
        case.check(device);
    }
}

/// W as floats from the layout of the product.
fn every_value_is_dequantized(device: &Device) {
    let cuda = cuda_device(device);
    let mut random = Random::new(3);
    for (n, k) in [(1, 1), (3, 5), (7, 64), (130, 264), (5, 401)] {
        for format in by_row().into_iter().chain(by_group()) {
            let shape = MatShape::new(n, k).unwrap();
            let matrix = matrix(format, shape, &mut random);
            let w = S4::upload(cuda, &matrix).unwrap();
            for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
                let out = DeviceBuffer::new(cuda, n * k * dtype.size_bytes()).unwrap();
                gemm_int4::dequantize(cuda, &w, dtype, out.region()).unwrap();
                let mut found = OwnedValues::zeros(dtype, n * k);
                out.download(found.as_bytes_mut()).unwrap();
                let expected = OwnedValues::from_f32(dtype, &reference::dequantize(&matrix));
                assert_eq!(found.as_bytes(), expected.as_bytes(), "{format} {n} x {k} {dtype}");
            }
        }
    }
}

fn random_tensor(dtype: Dtype, shape: &[usize], seed: u64) -> Tensor {
    let mut random = Random::new(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.uniform()).collect();
    Tensor::new(OwnedValues::from_f32(dtype, &values), shape).unwrap()
}

fn recipe(granularity: Granularity) -> lowbit::Int4 {
    lowbit::Int4::default().granularity(granularity)
}

/// A layer with int4 activations.
fn layer(n: usize, k: usize, recipe: lowbit::Int4) -> Linear4bit {
    let (weight, bias) = (random_tensor(Dtype::F32, &[n, k], 5), random_tensor(Dtype::F32, &[n], 6));
    let layer = Linear4bit::quantize(&weight, Some(bias), recipe, &Device::cpu()).unwrap();
    layer.with_activations(Activations::Int4).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to(&Device::cpu()).unwrap().values().unwrap().to_f32()
}

#[test]
fn rounded_on_the_device_the_result_is_the_cpu_s() {
    if !built::present() {
        return;
    }
    let (m, n, k) = (5, 37, 301);
    for (capability, granularity) in
        [80, 89].into_iter().flat_map(|c| [Granularity::PerRow, group(128), group(512)].map(|g| (c, g)))
    {
        let device = Simulator::new(capability).device();
        let cpu = layer(n, k, recipe(granularity));
        let gpu = cpu.to(&device).unwrap();
        for dtype in DTYPES {
            let x = random_tensor(dtype, &[m, k], 7);
            let expected = values(&cpu.forward(&x).unwrap());
            let on_device = x.to(&device).unwrap();
            for strategy in [Strategy::Auto, Strategy::Fused] {
                let found = values(&gpu.forward_with(&on_device, strategy).unwrap());
                assert_eq!(found, expected, "{granularity} {dtype} sm_{capability} {strategy}");
            }
            // The comparison has the same values, in f32 sums of another order: a unit in the last place of y apart.
            let dense = values(&gpu.forward_with(&on_device, Strategy::DequantizeThenMultiply).unwrap());
            for (d, e) in dense.iter().zip(&expected) {
                let bound = 2.0 * tolerance::rounding(f64::from(*e), dtype) + 1e-5;
                assert!(f64::from((d - e).abs()) <= bound, "{granularity} {dtype}: {d}, expected {e}");
            }
        }
    }
}

#[test]
fn where_there_is_no_such_instruction_the_strategy_is_refused_and_w4a8_is_named() {
    if !built::present() {
        return;
    }
    let (m, n, k) = (3, 16, 128);
    for capability in [90, 120] {
        let device = Simulator::new(capability).device();
        let cpu = layer(n, k, recipe(Granularity::PerRow));
        let gpu = cpu.to(&device).unwrap();
        let x = random_tensor(Dtype::F16, &[m, k], 8);
        let on_device = x.to(&device).unwrap();
        let error = gpu.forward_with(&on_device, Strategy::Fused).unwrap_err();
        assert!(matches!(error, Error::Unsupported { op: "the strategy", .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("exist on sm_80 to sm_89, not on sm_{capability}")), "{text}");
        assert!(text.contains("W4A8: int4_channel_group with int8 activations"), "{text}");
        // What is computed does not depend on the device, only how.
        let (found, expected) = (values(&gpu.forward(&on_device).unwrap()), values(&cpu.forward(&x).unwrap()));
        for (f, e) in found.iter().zip(&expected) {
            let bound = 2.0 * tolerance::rounding(f64::from(*e), Dtype::F16) + 1e-5;
            assert!(f64::from((f - e).abs()) <= bound, "sm_{capability}: {f}, expected {e}");
        }
    }
}

#[test]
fn groups_that_are_not_whole_stages_are_refused_by_name() {
    if !built::present() {
        return;
    }
    let device = Simulator::new(80).device();
    let refused = |recipe: lowbit::Int4, dtype| {
        let x = random_tensor(dtype, &[2, 256], 9).to(&device).unwrap();
        layer(16, 256, recipe).to(&device).unwrap().forward_with(&x, Strategy::Fused).unwrap_err().to_string()
    };
    let error = refused(recipe(group(64)), Dtype::F16);
    assert!(error.contains("groups of 64 must be a multiple of 128"), "{error}");
    let error = refused(recipe(Granularity::PerRow).symmetry(Asymmetric), Dtype::F16);
    assert!(error.contains("symmetric int4"), "{error}");
    let error = refused(recipe(group(128)), Dtype::F32);
    assert!(error.contains("f16 and bf16"), "{error}");

    let shape = MatShape::new(2, 256).unwrap();
    for format in [int4(group(64), Symmetric), int4(group(128), Asymmetric)] {
        let refused = S4::upload(cuda_device(&device), &matrix(format, shape, &mut Random::new(1))).unwrap_err();
        assert!(matches!(refused, Error::Unsupported { op: "uploading", .. }), "{refused}");
    }
}

#[test]
fn a_row_that_is_not_finite_is_a_row_of_nans() {
    if !built::present() {
        return;
    }
    let device = Simulator::new(80).device();
    // With all of K in one block, and in parts.
    for (dtype, k) in DTYPES.into_iter().flat_map(|dtype| [(dtype, 40), (dtype, 4096)]) {
        for granularity in [Granularity::PerRow, group(128)] {
            let mut case = Case::new((3, 6, k), int4(granularity, Symmetric), dtype, 9);
            case.absmax[1] = f32::NAN;
            case.codes[k..2 * k].fill(0);
            let y = case.run(&device).as_values().to_f32();
            assert!(y[6..12].iter().all(|v| v.is_nan()), "{y:?}");
            assert!(y[..6].iter().chain(&y[12..]).all(|v| v.is_finite()), "{y:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_the_launch() {
    let device = Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let shape = MatShape::new(2, 64).unwrap();
    let w = S4::upload(cuda, &matrix(by_row()[0], shape, &mut Random::new(1))).unwrap();
    let refused = |dtype, codes: usize, absmax: usize, y: usize| {
        let [codes, absmax, y] = [codes, absmax, y].map(|bytes| DeviceBuffer::zeros(cuda, bytes).unwrap());
        let x = PackedRows { codes: codes.region(), absmax: absmax.region() };
        let product = GemmInt4 { x: &x, w: &w, bias: None, y: y.region(), m: 2, dtype };
        product.enqueue(cuda, y.region()).unwrap_err()
    };
    let error = refused(Dtype::F32, 64, 8, 16);
    assert!(error.to_string().contains("f32 activations"), "{error}");
    let error = refused(Dtype::F16, 63, 8, 8);
    assert!(matches!(error, Error::Length { what: "codes of x", expected: 64, found: 63, .. }), "{error}");
    let error = refused(Dtype::F16, 64, 7, 8);
    assert!(matches!(error, Error::Length { what: "absmax of x", expected: 8, found: 7, .. }), "{error}");
    let error = refused(Dtype::F16, 64, 8, 7);
    assert!(matches!(error, Error::Length { what: "y", expected: 8, found: 7, .. }), "{error}");
}

/// A prepared matrix keeps the way back to floats.
#[test]
fn a_matrix_prepared_for_int4_activations_has_its_values() {
    if !built::present() {
        return;
    }
    let device = Simulator::new(89).device();
    for granularity in [Granularity::PerRow, group(128), group(64)] {
        let matrix =
            Arc::new(matrix(int4(granularity, Symmetric), MatShape::new(9, 130).unwrap(), &mut Random::new(2)));
        let prepared =
            lowbit::cuda::Prepared::new(cuda_device(&device), Arc::clone(&matrix), None, Activations::Int4).unwrap();
        let out = prepared.dequantize(Dtype::F32).unwrap();
        let mut found = vec![0f32; 9 * 130];
        out.download(bytemuck::cast_slice_mut(&mut found)).unwrap();
        assert_eq!(found, reference::dequantize(&matrix), "{granularity}");
    }
}
