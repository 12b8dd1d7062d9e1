//! `quantize_int8`: bit for bit what `reference` makes of rows and weights, and what it gathers of columns with outliers.

use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::Int8;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::quantize_int8;
use lowbit::cuda::ops::quantize_int8::QuantizedRows;
use lowbit::cuda::ops::quantize_int8::QuantizedSize;
use lowbit::cuda::ops::quantize_int8::Rounding;
use lowbit::cuda::ops::quantize_int8::Rows;
use lowbit::cuda::ops::w8::W8;
use lowbit::formats::Format;
use lowbit::formats::QuantMatrix;
use lowbit::ops;
use lowbit::reference;
use lowbit::shape::Granularity;
use lowbit::shape::GroupSize;
use lowbit::shape::MatShape;
use lowbit::values::OwnedValues;

use crate::cuda_dequant_int8::DTYPES;
use crate::cuda_dequant_int8::formats;
use crate::cuda_dequant_int8::matrix;
use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::support::Random;

/// What memory holds before the kernels write it.
pub const UNTOUCHED: u8 = 0xab;

/// One product's activations.
struct Case<'a> {
    x: &'a OwnedValues,
    m: usize,
    k: usize,
    rounding: Rounding,
    weights: Option<&'a QuantMatrix>,
}

impl Case<'_> {
    fn dtype(&self) -> Dtype {
        self.x.as_values().dtype()
    }

    fn name(&self, device: &Device) -> String {
        let Rounding { max_code, threshold } = self.rounding;
        format!("[{}, {}] {} to {max_code}, threshold {threshold}, {device:?}", self.m, self.k, self.dtype())
    }

    /// Runs the kernels and compares all that they write with the reference.
    fn check(&self, device: &Device) {
        let Self { m, k, rounding, .. } = *self;
        let (cuda, dtype, name) = (cuda_device(device), self.dtype(), self.name(device));
        let n = self.weights.map_or(0, |w| w.shape().n());
        let size = QuantizedSize { m, k, n, dtype, has_outliers: rounding.threshold > 0.0 };
        let buffers = size.bytes().map(|bytes| DeviceBuffer::upload(cuda, &vec![UNTOUCHED; bytes]).unwrap());
        let to = QuantizedRows::new(size, std::array::from_fn(|i| buffers[i].region()));
        let x = DeviceBuffer::upload(cuda, self.x.as_bytes()).unwrap();
        let rows = Rows { x: x.region(), dtype, m, k };
        let weights = self.weights.map(|matrix| W8::upload(cuda, matrix).unwrap());
        quantize_int8::quantize(cuda, &rows, rounding, weights.as_ref(), &to).unwrap();
        let out = DeviceBuffer::new(cuda, 4 * m * k).unwrap();
        quantize_int8::dequantize(cuda, &rows, rounding, &to, out.region()).unwrap();

        let max_code = f32::from(rounding.max_code);
        let expected = reference::quantize_rows(&self.x.as_values().to_f32(), k, max_code, rounding.threshold);
        let [codes, absmax, sums, _, columns, count, outlier_x, outlier_w] = buffers.map(|buffer| bytes_of(&buffer));
        let expected_sums: Vec<i32> =
            expected.codes.chunks(k).map(|row| row.iter().map(|&c| i32::from(c)).sum()).collect();
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, i8>(&codes), expected.codes, "codes: {name}");
        assert_floats("absmax", &expected.absmax, &absmax, &name);
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, i32>(&sums), expected_sums, "sums: {name}");
        assert_floats("dequantized rows", &self.dequantized(&expected), &bytes_of(&out), &name);
        if rounding.threshold > 0.0 {
            let listed: Vec<u32> = expected.outlier_columns.iter().map(|&column| column as u32).collect();
            assert_eq!(count, (listed.len() as u32).to_le_bytes(), "count: {name}");
            assert_eq!(columns[..4 * listed.len()], *bytemuck::cast_slice::<u32, u8>(&listed), "columns: {name}");
            let x = self.x.as_values();
            self.check_gathered("x", &listed, &outlier_x, m, |row, column| x.get(row * k + column), &name);
            let value = |row, column| self.weights.unwrap().value(row, column);
            self.check_gathered("W", &listed, &outlier_w, n, value, &name);
        }
    }

    fn dequantized(&self, rows: &reference::QuantizedRows) -> Vec<f32> {
        let scale = |row: usize| rows.absmax[row] / f32::from(self.rounding.max_code);
        let value = |i| match rows.outlier_columns.contains(&(i % self.k)) {
            true => self.x.as_values().get(i),
            false => f32::from(rows.codes[i]) * scale(i / self.k),
        };
        (0..self.m * self.k).map(value).collect()
    }

    /// The columns, then zeros to a multiple of 16, then memory nobody wrote.
    fn check_gathered(
        &self,
        what: &str,
        columns: &[u32],
        found: &[u8],
        num_rows: usize,
        value: impl Fn(usize, usize) -> f32,
        name: &str,
    ) {
        let size = self.dtype().size_bytes();
        for (row, found) in found.chunks(quantize_int8::leading_dimension(self.k) * size).enumerate() {
            assert!(row < num_rows);
            let mut values: Vec<f32> = columns.iter().map(|&column| value(row, column as usize)).collect();
            values.resize(columns.len().next_multiple_of(16), 0.0);
            let expected = OwnedValues::from_f32(self.dtype(), &values);
            let (gathered, rest) = found.split_at(expected.as_bytes().len());
            assert_eq!(gathered, expected.as_bytes(), "outliers of {what}, row {row}: {name}");
            assert!(rest.iter().all(|&byte| byte == UNTOUCHED), "beyond the outliers of {what}, row {row}: {name}");
        }
    }
}

pub fn bytes_of(buffer: &DeviceBuffer) -> Vec<u8> {
    let mut bytes = vec![0; buffer.bytes()];
    buffer.download(&mut bytes).unwrap();
    bytes
}

/// The same bits, or both NaN.
pub fn assert_floats(what: &str, expected: &[f32], found: &[u8], name: &str) {
    let found: Vec<f32> = bytemuck::pod_collect_to_vec(found);
    assert_eq!(found.len(), expected.len(), "{what}: {name}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!(f.to_bits() == e.to_bits() || f.is_nan() && e.is_nan(), "{what}[{i}] = {f}, expected {e}: {name}");
    }
}

/// Rows of very different size: usual, all zero, subnormal, with a NaN, with an infinity; a few values are large, or exactly
/// the threshold.
pub fn activations(m: usize, k: usize, dtype: Dtype, random: &mut Random) -> OwnedValues {
    let mut x = Vec::with_capacity(m * k);
    for row in 0..m {
        let scale = [2.0, 0.0, 1e-39, 100.0, 2.0][row % 5];
        x.extend((0..k).map(|col| match random.below(61) {
            0 if row % 5 == 0 && col % 3 == 0 => random.uniform() * 40.0,
            1 if row % 5 == 0 => [6.0, -6.0][random.below(2)],
            _ => random.uniform() * scale,
        }));
        match row % 7 {
            5 => x[row * k + random.below(k)] = f32::NAN,
            6 => x[row * k + random.below(k)] = f32::NEG_INFINITY,
            _ => {}
        }
    }
    OwnedValues::from_f32(dtype, &x)
}

/// Shapes of short and long rows, aligned and not, beyond what is kept in registers; one row and many.
pub const SHAPES: [(usize, usize); 9] =
    [(1, 1), (9, 7), (3, 16), (17, 100), (8, 1024), (2, 1025), (7, 1032), (2, 16_392), (1, 16_385)];

/// Every kernel over shapes that hurt, bit for bit.
pub fn against_reference(bench: &Bench) {
    let mut random = Random::new(3);
    for (m, k) in SHAPES {
        for dtype in DTYPES {
            let x = activations(m, k, dtype, &mut random);
            for device in bench.devices() {
                for (max_code, threshold) in [(127, 0.0), (7, 0.0), (127, 6.0), (127, 1e9), (127, 1e-45)] {
                    let rounding = Rounding { max_code, threshold };
                    Case { x: &x, m, k, rounding, weights: None }.check(&device);
                }
                weights(&x, MatShape::new(m, k).unwrap(), &device);
            }
        }
    }
    gathering(bench, &mut random);
}

/// Outliers of x with those of W in every format: several slices of columns and rows, each count of padding.
fn gathering(bench: &Bench, random: &mut Random) {
    for (i, format) in formats().into_iter().enumerate() {
        let (m, n, k) = [(3, 5, 33), (600, 3, 9), (2, 700, 260), (1, 1, 1), (4, 9, 530)][i % 5];
        let matrix = matrix(format, MatShape::new(n, k).unwrap(), random);
        for dtype in DTYPES {
            let x = activations(m, k, dtype, random);
            let rounding = Rounding { max_code: 127, threshold: 6.0 };
            for device in bench.devices() {
                Case { x: &x, m, k, rounding, weights: Some(&matrix) }.check(&device);
            }
        }
    }
}

/// `values` as a weight matrix, with what is not finite and without.
fn weights(values: &OwnedValues, shape: MatShape, device: &Device) {
    let dtype = values.as_values().dtype();
    let finite: Vec<f32> =
        values.as_values().to_f32().into_iter().map(|v| if v.is_finite() { v } else { -1.5 }).collect();
    let finite = OwnedValues::from_f32(dtype, &finite);
    for granularity in [Granularity::PerRow, Granularity::PerTensor] {
        let quantize = |values: &OwnedValues| {
            let recipe = Int8::default().granularity(granularity);
            let found = ops::quantize(values.as_values(), shape, recipe, device);
            (reference::quantize(values.as_values(), shape, Format::Int8 { granularity }), found)
        };
        let (expected, found) = quantize(&finite);
        assert!(expected.unwrap() == found.unwrap(), "{granularity} {shape} {dtype} {device:?}");
        match quantize(values) {
            (Ok(expected), Ok(found)) => assert!(expected == found, "{granularity} {shape} {dtype}"),
            (Err(expected), found) => assert_eq!(found.unwrap_err().to_string(), expected.to_string()),
            (Ok(_), Err(error)) => panic!("{granularity} {shape} {dtype}: {error}"),
        }
    }
}

#[test]
fn rows_are_rounded_on_the_device_as_on_the_cpu() {
    if !crate::built::present() {
        return;
    }
    let mut random = Random::new(4);
    let device = crate::simulator::Simulator::new(80).device();
    for (m, k) in [(0, 5), (3, 70)] {
        let x = activations(m, k, Dtype::F16, &mut random);
        for threshold in [0.0, 6.0] {
            let found = ops::quantize_rows(x.as_values(), k, threshold, &device).unwrap();
            let expected = ops::quantize_rows(x.as_values(), k, threshold, &Device::cpu()).unwrap();
            assert_eq!(found.codes, expected.codes);
            assert_eq!(found.outlier_columns, expected.outlier_columns);
            assert_floats("absmax", &expected.absmax, bytemuck::cast_slice(&found.absmax), "through ops");
        }
    }
}

#[test]
fn groups_stay_the_work_of_the_cpu() {
    let device = crate::simulator::Simulator::new(80).device();
    let shape = MatShape::new(2, 70).unwrap();
    let values: Vec<f32> = (0..140).map(|i| (i as f32).sin()).collect();
    let granularity = Granularity::PerGroup(GroupSize::G32);
    let found = ops::quantize((&values[..]).into(), shape, Int8::default().granularity(granularity), &device).unwrap();
    assert!(found == reference::quantize((&values[..]).into(), shape, Format::Int8 { granularity }).unwrap());
}

#[test]
fn what_does_not_fit_is_refused_before_the_launch() {
    let device = crate::simulator::Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let buffer = DeviceBuffer::zeros(cuda, 1 << 12).unwrap();
    let quantize = |m, k, threshold, has_outliers: bool, weights: Option<&W8>| {
        let size = QuantizedSize { m, k, n: 0, dtype: Dtype::F16, has_outliers };
        let to = QuantizedRows::new(size, [buffer.region(); 8]);
        let rows = Rows { x: buffer.region(), dtype: Dtype::F16, m, k };
        quantize_int8::quantize(cuda, &rows, Rounding { max_code: 127, threshold }, weights, &to).unwrap_err()
    };
    for (threshold, has_outliers) in [(-1.0, true), (f32::NAN, true), (f32::INFINITY, true), (6.0, false), (0.0, true)]
    {
        let refused = quantize(1, 16, threshold, has_outliers, None);
        assert!(matches!(refused, Error::Invalid { what: "outlier threshold", .. }), "{refused}");
    }
    let refused = quantize(64, 33, 0.0, false, None);
    assert!(matches!(refused, Error::Length { what: "activations", expected: 4224, found: 4096, .. }), "{refused}");
    let refused = quantize(1, 1 << 31, 0.0, false, None);
    assert!(matches!(refused, Error::Length { .. } | Error::TooLarge { .. }), "{refused}");

    let format = Format::Int8 { granularity: Granularity::PerRow };
    let w = W8::upload(cuda, &matrix(format, MatShape::new(2, 15).unwrap(), &mut Random::new(5))).unwrap();
    let refused = quantize(1, 16, 6.0, true, Some(&w));
    assert!(matches!(refused, Error::Shape { .. }), "{refused}");
}
