//! `gemm_int8`: codes times codes, the bits of the CPU's definition but for what the outlier columns add.

use std::sync::Arc;

use lowbit::Activations;
use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::Strategy;
use lowbit::Tensor;
use lowbit::cuda::CudaDevice;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::gemm_int8::GemmInt8;
use lowbit::cuda::ops::gemm_int8::scratch_bytes;
use lowbit::cuda::ops::gemm_int8_sm90;
use lowbit::cuda::ops::quantize_int8;
use lowbit::cuda::ops::quantize_int8::Outliers;
use lowbit::cuda::ops::quantize_int8::QuantizedRows;
use lowbit::cuda::ops::quantize_int8::QuantizedSize;
use lowbit::cuda::ops::quantize_int8::Rounding;
use lowbit::cuda::ops::quantize_int8::Rows;
use lowbit::cuda::ops::quantize_int8::leading_dimension;
use lowbit::cuda::ops::tiles::ProductSize;
use lowbit::cuda::ops::w8::CodeOrder;
use lowbit::cuda::ops::w8::W8;
use lowbit::formats::Format;
use lowbit::formats::Parts;
use lowbit::formats::QuantMatrix;
use lowbit::formats::Symmetry;
use lowbit::layout::wgmma_w8;
use lowbit::shape::Granularity;
use lowbit::shape::GroupSize;
use lowbit::shape::MatShape;
use lowbit::values::OwnedValues;

use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::support::Random;
use crate::tolerance;

pub const DTYPES: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

pub const INT8: Format = Format::Int8 { granularity: Granularity::PerRow };
pub const SYMMETRIC: Format = Format::AffineInt8 { granularity: Granularity::PerRow, symmetry: Symmetry::Symmetric };
pub const ASYMMETRIC: Format = Format::AffineInt8 { granularity: Granularity::PerRow, symmetry: Symmetry::Asymmetric };
pub const PER_TENSOR: [Format; 2] = [
    Format::Int8 { granularity: Granularity::PerTensor },
    Format::AffineInt8 { granularity: Granularity::PerTensor, symmetry: Symmetry::Asymmetric },
];

/// Rounded rows, a matrix, and columns that are in floating point.
pub struct Case {
    pub m: usize,
    pub matrix: QuantMatrix,
    pub dtype: Dtype,
    /// How the codes of both lie, which decides the kernel.
    pub order: CodeOrder,
    pub codes: Vec<i8>,
    pub absmax: Vec<f32>,
    pub bias: Option<Vec<f32>>,
    /// How many outlier columns, and their values in x [M, count] and W [N, count]; `None` when there is no threshold.
    outliers: Option<(usize, OwnedValues, OwnedValues)>,
}

impl Case {
    pub fn new(
        (m, n, k): (usize, usize, usize),
        format: Format,
        dtype: Dtype,
        outliers: Option<usize>,
        seed: u64,
    ) -> Self {
        let mut random = Random::new(seed);
        let shape = MatShape::new(n, k).unwrap();
        let num_scales = format.num_scales(shape);
        let code = |random: &mut Random| (random.below(255) as i32 - 127) as i8;
        let w_codes = (0..n * k).map(|_| if format == INT8 { code(&mut random) as u8 } else { random.next() as u8 });
        let mut parts = Parts::new(w_codes.collect(), (0..num_scales).map(|_| random.uniform().abs() + 0.1).collect());
        if format.has_zero_points() {
            parts.zero_points = Some((0..num_scales).map(|_| random.next() as u8).collect());
        }
        let matrix = QuantMatrix::from_parts(format, shape, Dtype::F32, parts).unwrap();
        let codes = (0..m * k).map(|_| code(&mut random)).collect();
        let absmax = (0..m).map(|_| random.uniform().abs() / 16.0).collect();
        let mut values = |count: usize| (0..count).map(|_| 8.0 * random.uniform()).collect::<Vec<f32>>();
        let bias = seed.is_multiple_of(2).then(|| values(n));
        let outliers = outliers.map(|count| {
            let (x, w) = (values(m * count), values(n * count));
            (count, OwnedValues::from_f32(dtype, &x), OwnedValues::from_f32(dtype, &w))
        });
        Self { m, matrix, dtype, order: CodeOrder::Rows, codes, absmax, bias, outliers }
    }

    /// The same by wgmma.
    pub fn in_tiles(mut self) -> Self {
        self.order = CodeOrder::Tiles;
        self
    }

    fn size(&self) -> ProductSize {
        ProductSize { m: self.m, n: self.matrix.shape().n(), k: self.matrix.shape().k() }
    }

    pub fn run(&self, device: &Device) -> OwnedValues {
        let cuda = cuda_device(device);
        let ProductSize { m, k, .. } = self.size();
        let upload = |bytes: &[u8]| DeviceBuffer::upload(cuda, bytes).unwrap();
        let sums: Vec<i32> = self.codes.chunks(k).map(|row| row.iter().map(|&c| i32::from(c)).sum()).collect();
        let [codes, absmax, sums] = [
            upload_codes(cuda, self.order, &self.codes, (m, k)),
            upload(bytemuck::cast_slice(&self.absmax)),
            upload(bytemuck::cast_slice(&sums)),
        ];
        let gathered = self.outliers.as_ref().map(|(count, x, w)| {
            let of = |values, rows| self.padded(cuda, *count, values, rows);
            (upload(&(*count as u32).to_ne_bytes()), of(x, m), of(w, self.size().n))
        });
        let nothing = DeviceBuffer::new(cuda, 0).unwrap();
        let x = QuantizedRows {
            codes: codes.region(),
            order: self.order,
            absmax: absmax.region(),
            sums: sums.region(),
            outliers: gathered.as_ref().map(|(count, x, w)| Outliers {
                flags: nothing.region(),
                columns: nothing.region(),
                count: count.region(),
                x: x.region(),
                w: w.region(),
            }),
        };
        multiply(cuda, &x, &self.matrix, self.bias.as_deref(), self.m, self.dtype)
    }

    /// Values [rows, count] as `quantize_int8` leaves them: zeros to a multiple of 16, then (here) NaNs.
    fn padded(&self, cuda: &CudaDevice, count: usize, values: &OwnedValues, rows: usize) -> DeviceBuffer {
        let size = self.dtype.size_bytes();
        let (row, ld) = (count * size, leading_dimension(self.size().k) * size);
        let mut bytes = vec![0xff; rows * ld];
        for (i, to) in bytes.chunks_exact_mut(ld).enumerate() {
            to[..count.next_multiple_of(16) * size].fill(0);
            to[..row].copy_from_slice(&values.as_bytes()[i * row..][..row]);
        }
        DeviceBuffer::upload(cuda, &bytes).unwrap()
    }

    /// The value before outliers and bias, in f32 as the CPU computes it.
    fn scaled(&self, row: usize, column: usize) -> f32 {
        let (matrix, k) = (&self.matrix, self.size().k);
        let index = matrix.format().scale_index(matrix.shape(), column, 0);
        let x = &self.codes[row * k..][..k];
        let w = &matrix.codes()[column * k..][..k];
        let is_affine = matches!(matrix.format(), Format::AffineInt8 { .. });
        let zero_point = i64::from(matrix.zero_point(index));
        let code = |code: u8| if is_affine { i64::from(code) - zero_point } else { i64::from(code as i8) };
        let sum: i64 = x.iter().zip(w).map(|(&x, &w)| i64::from(x) * code(w)).sum();
        let factor = if is_affine { 1.0 / 127.0 } else { 1.0 / (127.0 * 127.0f32) };
        i32::try_from(sum).unwrap() as f32 * (self.absmax[row] * matrix.scales().get(index)) * factor
    }

    pub fn check(&self, device: &Device) {
        let ProductSize { n, .. } = self.size();
        let found = self.run(device);
        let floats = |values: &OwnedValues| values.as_values().to_f32();
        let outliers = self.outliers.as_ref().map(|(count, x, w)| (*count, floats(x), floats(w)));
        let bits = |values: &OwnedValues, i: usize| [values.as_bytes()[2 * i], values.as_bytes()[2 * i + 1]];
        for i in 0..self.m * n {
            let (row, column) = (i / n, i % n);
            let scaled = self.scaled(row, column);
            let bias = self.bias.as_ref().map_or(0.0, |b| b[column]);
            let case = || {
                let (size, format, value) = (self.size(), self.matrix.format(), found.as_values().get(i));
                format!("{size:?} {format} {} on {device:?}: y[{row}, {column}] = {value}", self.dtype)
            };
            let Some((count, x, w)) = outliers.as_ref().filter(|outliers| outliers.0 > 0) else {
                let expected = OwnedValues::from_f32(self.dtype, &[scaled + bias]);
                let value = expected.as_values().get(0);
                assert_eq!(bits(&found, i), bits(&expected, 0), "{}, expected {value}", case());
                continue;
            };
            let (x, w) = (&x[row * count..][..*count], &w[column * count..][..*count]);
            let product: f64 = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
            let exact = f64::from(scaled) + product + f64::from(bias);
            // The scaled sum stands where the bias does: it is in the sum from the beginning.
            let bound = tolerance::mma_bound(x, w, bias.abs() + scaled.abs(), exact, self.dtype);
            let error = (f64::from(found.as_values().get(i)) - exact).abs();
            assert!(error <= bound, "{}, exactly {exact}, off by {error}, bound {bound}", case());
        }
    }
}

/// Rounded rows [m, k] in device memory.
pub fn upload_codes(cuda: &CudaDevice, order: CodeOrder, codes: &[i8], (m, k): (usize, usize)) -> DeviceBuffer {
    let codes: &[u8] = bytemuck::cast_slice(codes);
    let tiles = |order| wgmma_w8::Tiles::new(order, m, k).unwrap();
    match order {
        CodeOrder::Rows => DeviceBuffer::upload(cuda, codes).unwrap(),
        CodeOrder::Tiles => {
            DeviceBuffer::upload(cuda, &wgmma_w8::pack(tiles(wgmma_w8::RowOrder::Plain), codes)).unwrap()
        }
    }
}

/// y of rounded rows that are in device memory.
fn multiply(
    cuda: &CudaDevice,
    x: &QuantizedRows<'_>,
    matrix: &QuantMatrix,
    bias: Option<&[f32]>,
    m: usize,
    dtype: Dtype,
) -> OwnedValues {
    let w = W8::upload(cuda, matrix, x.order).unwrap();
    let (n, k) = (matrix.shape().n(), matrix.shape().k());
    let bias = bias.map(|bias| DeviceBuffer::upload(cuda, bytemuck::cast_slice(bias)).unwrap());
    let y = DeviceBuffer::zeros(cuda, m * n * dtype.size_bytes()).unwrap();
    let of_scratch = match x.order {
        CodeOrder::Rows => scratch_bytes,
        CodeOrder::Tiles => gemm_int8_sm90::scratch_bytes,
    };
    let scratch = of_scratch(cuda.limits(), ProductSize { m, n, k }).unwrap();
    let scratch = DeviceBuffer::new(cuda, scratch).unwrap();
    let bias = bias.as_ref().map(DeviceBuffer::region);
    let product = GemmInt8 { x, max_code: 127, w: &w, bias, y: y.region(), m, dtype };
    let enqueued = match x.order {
        CodeOrder::Rows => product.enqueue(cuda, scratch.region()),
        CodeOrder::Tiles => gemm_int8_sm90::enqueue(&product, cuda, scratch.region()),
    };
    enqueued.unwrap_or_else(|e| panic!("{m} {n} {k} {dtype}: {e}"));
    let mut values = OwnedValues::zeros(dtype, m * n);
    y.download(values.as_bytes_mut()).unwrap();
    values
}

/// No value; one; K within a chunk, a stage, several; tiles that overhang; columns that are not fours.
const SHAPES: [(usize, usize, usize); 8] =
    [(0, 5, 64), (1, 1, 1), (3, 5, 17), (17, 33, 64), (65, 66, 80), (2, 130, 272), (64, 64, 128), (129, 3, 100)];

/// Every kernel over shapes that hurt.
pub fn against_reference(bench: &Bench) {
    let formats = [INT8, SYMMETRIC, ASYMMETRIC].into_iter().chain(PER_TENSOR);
    for device in bench.devices() {
        for (seed, (shape, format)) in SHAPES.into_iter().flat_map(|s| formats.clone().map(move |f| (s, f))).enumerate()
        {
            for dtype in DTYPES {
                Case::new(shape, format, dtype, None, seed as u64).check(&device);
            }
        }
        for dtype in DTYPES {
            for count in [0, 1, 16, 17, 40] {
                Case::new((5, 70, 80), INT8, dtype, Some(count), 100 + count as u64).check(&device);
                // K in parts: the sums of the outliers have a plane of their own.
                Case::new((3, 64, 2000), INT8, dtype, Some(count), 200 + count as u64).check(&device);
            }
            Case::new((66, 67, 90), ASYMMETRIC, dtype, Some(90), 300).check(&device);
            Case::new((2, 70, 4111), ASYMMETRIC, dtype, None, 301).check(&device);
        }
        // 132 large tiles, those of the last row and column overhanging, without outliers and with some.
        Case::new((1500, 1400, 80), INT8, Dtype::F16, None, 302).check(&device);
        Case::new((1430, 1535, 16), INT8, Dtype::Bf16, Some(3), 303).check(&device);
    }
    for capability in [80, 89, 120] {
        let device = bench.simulated(capability);
        for (dtype, format) in DTYPES.into_iter().flat_map(|dtype| [(dtype, INT8), (dtype, ASYMMETRIC)]) {
            Case::new((65, 70, 176), format, dtype, Some(20), 400).check(&device);
        }
    }
    largest_sums_do_not_overflow(bench);
}

/// The longest K with the largest codes: sums next to 2^31, on the way beyond it.
fn largest_sums_do_not_overflow(bench: &Bench) {
    // Codes of W, the stored zero point, and K.
    let extremes: [(Format, u8, Option<u8>, usize); 5] = [
        (INT8, 127, None, 133_144),
        (INT8, -127i8 as u8, None, 133_144),
        (SYMMETRIC, 0, None, 132_104),
        (ASYMMETRIC, 255, Some(0), 66_311),
        (ASYMMETRIC, 0, Some(255), 66_311),
    ];
    for (format, code, zero_point, k) in extremes {
        let shape = MatShape::new(1, k).unwrap();
        let mut parts = Parts::new(vec![code; k], vec![1.0]);
        parts.zero_points = zero_point.map(|point| vec![point]);
        let mut case = Case::new((2, 1, k), format, Dtype::Bf16, None, 1);
        case.matrix = QuantMatrix::from_parts(format, shape, Dtype::F32, parts).unwrap();
        case.codes[..k].fill(127);
        case.codes[k..].fill(-127);
        bench.devices().iter().for_each(|device| case.check(device));
    }
}

/// x rounded by `quantize_int8` and multiplied, both in `order`, against the CPU's layer.
pub fn rounded_on_the_device((m, n, k): (usize, usize, usize), order: CodeOrder) {
    let device = crate::simulator::Simulator::new(90).device();
    let cuda = cuda_device(&device);
    let mut random = Random::new(7);
    for (dtype, format) in DTYPES.into_iter().flat_map(|dtype| [(dtype, INT8), (dtype, ASYMMETRIC)]) {
        let mut values = |count: usize| (0..count).map(|_| random.uniform()).collect::<Vec<f32>>();
        let x = OwnedValues::from_f32(dtype, &values(m * k));
        let w = values(n * k);
        let shape = MatShape::new(n, k).unwrap();
        let matrix = lowbit::reference::quantize((&w[..]).into(), shape, format).unwrap();
        let bias = values(n);

        let activations = Activations::Int8 { threshold: 0.0 };
        let cpu = lowbit::ops::prepare(Arc::new(matrix.clone()), Some(&bias), activations, &Device::cpu()).unwrap();
        let tensor = Tensor::new(x.clone(), &[m, k]).unwrap();
        let expected = lowbit::ops::matmul(&tensor, &cpu, Strategy::Auto).unwrap();

        let size = QuantizedSize { m, k, n, dtype, has_outliers: false, order };
        let buffers = size.bytes().map(|bytes| DeviceBuffer::new(cuda, bytes).unwrap());
        let rounded = QuantizedRows::new(size, std::array::from_fn(|i| buffers[i].region()));
        let values = DeviceBuffer::upload(cuda, x.as_bytes()).unwrap();
        let rows = Rows { x: values.region(), dtype, m, k };
        let rounding = Rounding { max_code: 127, threshold: 0.0 };
        quantize_int8::quantize(cuda, &rows, rounding, None, &rounded).unwrap();
        let found = multiply(cuda, &rounded, &matrix, Some(&bias), m, dtype);
        assert_eq!(found.as_values().to_f32(), expected.values().unwrap().to_f32(), "{dtype} {format}");
    }
}

#[test]
fn rounded_on_the_device_the_result_is_the_cpu_s() {
    rounded_on_the_device((5, 37, 144), CodeOrder::Rows);
}

#[test]
fn a_row_that_is_not_finite_is_a_row_of_nans() {
    let device = crate::simulator::Simulator::new(80).device();
    // With all of K in one block, and in parts.
    for (dtype, k) in DTYPES.into_iter().flat_map(|dtype| [(dtype, 40), (dtype, 2048)]) {
        let mut case = Case::new((3, 6, k), INT8, dtype, None, 9);
        case.absmax[1] = f32::NAN;
        case.codes[k..2 * k].fill(0);
        let y = case.run(&device).as_values().to_f32();
        assert!(y[6..12].iter().all(|v| v.is_nan()), "{y:?}");
        assert!(y[..6].iter().chain(&y[12..]).all(|v| v.is_finite()), "{y:?}");
    }
}

#[test]
fn what_the_kernel_does_not_have_is_refused_before_the_launch() {
    let device = crate::simulator::Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let buffer = DeviceBuffer::zeros(cuda, 1 << 20).unwrap();
    let all = buffer.region();
    let x = QuantizedRows { codes: all, order: CodeOrder::Rows, absmax: all, sums: all, outliers: None };
    let refused = |format: Format, (n, k), dtype, y: usize| {
        let shape = MatShape::new(n, k).unwrap();
        let mut parts = Parts::new(vec![0; n * k], vec![1.0; format.num_scales(shape)]);
        parts.zero_points = format.has_zero_points().then(|| vec![0; format.num_scales(shape)]);
        let matrix = QuantMatrix::from_parts(format, shape, Dtype::F32, parts).unwrap();
        let w = W8::upload(cuda, &matrix, CodeOrder::Rows).unwrap();
        let y = DeviceBuffer::zeros(cuda, y).unwrap();
        let product = GemmInt8 { x: &x, max_code: 127, w: &w, bias: None, y: y.region(), m: 2, dtype };
        product.enqueue(cuda, all).unwrap_err()
    };
    let groups = Format::Int8 { granularity: Granularity::PerGroup(GroupSize::G64) };
    let error = refused(groups, (2, 64), Dtype::F16, 8);
    assert!(error.to_string().contains("dequantize, then multiply"), "{error}");
    let error = refused(Format::Dynamic8 { block_size: lowbit::BlockSize::B64 }, (2, 64), Dtype::F16, 8);
    assert!(error.to_string().contains("dequantize, then multiply"), "{error}");
    let error = refused(INT8, (2, 64), Dtype::F32, 16);
    assert!(error.to_string().contains("f32 activations"), "{error}");
    for (format, most) in [(INT8, 133_144), (SYMMETRIC, 132_104), (ASYMMETRIC, 66_311)] {
        let error = refused(format, (1, most + 1), Dtype::F16, 4);
        assert!(error.to_string().contains(&format!("K = {} is above {most}", most + 1)), "{error}");
    }
    let error = refused(INT8, (2, 64), Dtype::F16, 7);
    assert!(matches!(error, Error::Length { what: "y", expected: 8, found: 7, .. }), "{error}");
}
