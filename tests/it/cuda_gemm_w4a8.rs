//! `gemm_w4a8`: int8 activations times `int4_channel_group`, the bits of the CPU's definition.

use lowbit::Activations;
use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::Int4;
use lowbit::Int4ChannelGroup;
use lowbit::Linear4bit;
use lowbit::MatShape;
use lowbit::Nf4;
use lowbit::QuantMatrix;
use lowbit::Recipe;
use lowbit::Strategy;
use lowbit::Tensor;
use lowbit::cuda::CudaDevice;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::gemm_w4a8::GemmW4A8;
use lowbit::cuda::ops::gemm_w4a8::scratch_bytes;
use lowbit::cuda::ops::gemm_w4a8_sm90;
use lowbit::cuda::ops::quantize_int8::Outliers;
use lowbit::cuda::ops::quantize_int8::QuantizedRows;
use lowbit::cuda::ops::tiles::ProductSize;
use lowbit::cuda::ops::w4a8::W4A8;
use lowbit::cuda::ops::w8::CodeOrder;
use lowbit::formats::Format;
use lowbit::formats::GroupSteps;
use lowbit::formats::Parts;
use lowbit::values::OwnedValues;

use crate::built;
use crate::cuda_dequant_w4a8::matrix;
use crate::cuda_gemm_int8::upload_codes;
use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::simulator::Simulator;
use crate::support::Random;

pub const DTYPES: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

/// Rounded rows and a matrix.
pub struct Case {
    m: usize,
    matrix: QuantMatrix,
    dtype: Dtype,
    order: CodeOrder,
    codes: Vec<i8>,
    absmax: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Case {
    pub fn new((m, n, k): (usize, usize, usize), dtype: Dtype, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let matrix = matrix(MatShape::new(n, k).unwrap(), &mut random, |random| random.uniform().abs() + 0.1);
        let codes = (0..m * k).map(|_| (random.below(255) as i32 - 127) as i8).collect();
        let absmax = (0..m).map(|_| random.uniform().abs() / 16.0).collect();
        let bias = seed.is_multiple_of(2).then(|| (0..n).map(|_| 8.0 * random.uniform()).collect());
        Self { m, matrix, dtype, order: CodeOrder::Rows, codes, absmax, bias }
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
        let x = QuantizedRows {
            codes: codes.region(),
            absmax: absmax.region(),
            sums: sums.region(),
            outliers: None,
            order: self.order,
        };
        self.multiply(cuda, &x).unwrap_or_else(|e| panic!("{:?} {}: {e}", self.size(), self.dtype))
    }

    pub fn multiply(&self, cuda: &CudaDevice, x: &QuantizedRows<'_>) -> lowbit::Result<OwnedValues> {
        let (size, dtype) = (self.size(), self.dtype);
        let w = W4A8::upload(cuda, &self.matrix).unwrap();
        let bias = self.bias.as_ref().map(|bias| DeviceBuffer::upload(cuda, bytemuck::cast_slice(bias)).unwrap());
        let y = DeviceBuffer::zeros(cuda, size.m * size.n * dtype.size_bytes()).unwrap();
        let of_scratch = match self.order {
            CodeOrder::Rows => scratch_bytes,
            CodeOrder::Tiles => gemm_w4a8_sm90::scratch_bytes,
        };
        let scratch = DeviceBuffer::new(cuda, of_scratch(cuda.limits(), size).unwrap()).unwrap();
        let bias = bias.as_ref().map(DeviceBuffer::region);
        let product = GemmW4A8 { x, max_code: 127, w: &w, bias, y: y.region(), m: size.m, dtype };
        match self.order {
            CodeOrder::Rows => product.enqueue(cuda, scratch.region())?,
            CodeOrder::Tiles => gemm_w4a8_sm90::enqueue(&product, cuda, scratch.region())?,
        }
        let mut values = OwnedValues::zeros(dtype, size.m * size.n);
        y.download(values.as_bytes_mut()).unwrap();
        Ok(values)
    }

    /// The value in f32 as the CPU computes it, from the exact sum.
    fn value(&self, row: usize, column: usize) -> f32 {
        let k = self.size().k;
        let codes = self.codes[row * k..][..k].iter().enumerate();
        let sum: i64 = codes.map(|(col, &x)| i64::from(x) * i64::from(self.matrix.int8(column, col))).sum();
        let scales = self.absmax[row] * self.matrix.scales().get(column);
        let bias = self.bias.as_ref().map_or(-0.0, |bias| bias[column]);
        i32::try_from(sum).unwrap() as f32 * scales * (1.0 / 127.0) + bias
    }

    pub fn check(&self, device: &Device) {
        let ProductSize { m, n, .. } = self.size();
        let found = self.run(device);
        let bits = |values: &OwnedValues, i: usize| [values.as_bytes()[2 * i], values.as_bytes()[2 * i + 1]];
        for i in 0..m * n {
            let (row, column) = (i / n, i % n);
            let expected = OwnedValues::from_f32(self.dtype, &[self.value(row, column)]);
            let (is, value) = (found.as_values().get(i), expected.as_values().get(0));
            let case = || format!("{:?} {} on {device:?}: y[{row}, {column}]", self.size(), self.dtype);
            assert_eq!(bits(&found, i), bits(&expected, 0), "{} = {is}, expected {value}", case());
        }
    }
}

/// No value; one; K within a chunk, a group, several; blocks of every size that overhang; columns that are not fours; K in parts.
const SHAPES: [(usize, usize, usize); 13] = [
    (0, 5, 64),
    (1, 1, 1),
    (3, 5, 17),
    (16, 129, 64),
    (17, 33, 80),
    (2, 130, 272),
    (32, 128, 128),
    (33, 3, 96),
    (65, 66, 100),
    (70, 31, 144),
    (1, 64, 2000),
    (19, 36, 1040),
    (5, 34, 1111),
];

/// Every kernel over shapes that hurt.
pub fn against_reference(bench: &Bench) {
    for device in bench.devices() {
        for (seed, shape) in SHAPES.into_iter().enumerate() {
            for dtype in DTYPES {
                Case::new(shape, dtype, seed as u64).check(&device);
            }
        }
        // 132 blocks of 128 x 128, those of the last row and column overhanging.
        Case::new((1500, 1400, 80), Dtype::F16, 100).check(&device);
        Case::new((1430, 1535, 16), Dtype::Bf16, 101).check(&device);
    }
    for capability in [80, 89, 120] {
        let device = bench.simulated(capability);
        for dtype in DTYPES {
            Case::new((9, 70, 176), dtype, 200).check(&device);
            Case::new((30, 70, 100), dtype, 201).check(&device);
        }
    }
    largest_sums_do_not_overflow(bench);
}

/// The longest K with the largest integers: the difference is next to 2^31, both sides of it wrap on the way.
fn largest_sums_do_not_overflow(bench: &Bench) {
    bench.devices().iter().for_each(|device| largest_sums().check(device));
}

/// The longest K with the largest integers.
pub fn largest_sums() -> Case {
    let k = 132_104;
    let shape = MatShape::new(2, k).unwrap();
    let groups = k.div_ceil(64);
    // Bytes 0 and 255: -128 and 127.
    let steps = GroupSteps { multipliers: [vec![0; groups], vec![17; groups]].concat(), offsets: vec![0; 2 * groups] };
    let mut case = Case::new((2, 2, k), Dtype::Bf16, 1);
    let parts = Parts { steps: Some(steps), ..Parts::new(vec![0xff; k], vec![1.0; 2]) };
    case.matrix = QuantMatrix::from_parts(Format::Int4ChannelGroup, shape, Dtype::F32, parts).unwrap();
    assert_eq!([(0, 0), (1, 1)].map(|(row, col)| case.matrix.int8(row, col)), [-128, 127]);
    case.codes[..k].fill(127);
    case.codes[k..].fill(-127);
    case
}

/// What a layer does by itself: rounds x on the device, multiplies, as the CPU's layer does.
#[test]
fn a_layer_with_int8_activations_has_the_bits_of_the_cpu_s() {
    for capability in [80, 90] {
        a_layer_has_the_bits_of_the_cpu_s(capability);
    }
}

fn a_layer_has_the_bits_of_the_cpu_s(capability: u32) {
    if !built::present() {
        return;
    }
    let mut random = Random::new(3);
    let mut values = |count: usize| (0..count).map(|_| random.uniform()).collect::<Vec<f32>>();
    let (n, k) = (70, 200);
    let weight = Tensor::new(values(n * k), &[n, k]).unwrap();
    let bias = Tensor::new(values(n), &[n]).unwrap();
    let int8 = Activations::Int8 { threshold: 0.0 };
    let cpu = Linear4bit::quantize(&weight, Some(bias), Int4ChannelGroup, &Device::cpu()).unwrap();
    let device = Simulator::new(capability).device();
    let gpu = cpu.to(&device).unwrap();
    for activations in [int8, Activations::Int4] {
        let (cpu, gpu) =
            (cpu.clone().with_activations(activations).unwrap(), gpu.clone().with_activations(activations).unwrap());
        for (m, dtype) in [(1, Dtype::F16), (20, Dtype::Bf16)] {
            let x = Tensor::new(values(m * k), &[m, k]).unwrap().to_dtype(dtype).unwrap();
            let expected = cpu.forward(&x).unwrap();
            for strategy in [Strategy::Auto, Strategy::Fused] {
                let y = gpu.forward_with(&x.to(&device).unwrap(), strategy).unwrap().to(&Device::cpu()).unwrap();
                let (y, expected) = (y.values().unwrap().to_f32(), expected.values().unwrap().to_f32());
                assert_eq!(y, expected, "{activations} {dtype} {strategy}");
            }
            // The same sums to a few parts in 10^7, rounded to the type: a unit in the last place of the largest value.
            let dense = gpu.forward_with(&x.to(&device).unwrap(), Strategy::DequantizeThenMultiply).unwrap();
            let dense = dense.to(&Device::cpu()).unwrap().values().unwrap().to_f32();
            let unit = if dtype == Dtype::F16 { 2f32.powi(-10) } else { 2f32.powi(-7) };
            for (dense, expected) in dense.iter().zip(expected.values().unwrap().to_f32()) {
                let bound = unit * expected.abs() + 1e-4;
                assert!((dense - expected).abs() <= bound, "{activations} {dtype}: {dense}, expected {expected}");
            }
        }
    }
}

/// y of a row with a NaN or infinity is NaN, others are not; `place` brings a case into the order of a kernel.
pub fn a_row_that_is_not_finite(device: &Device, place: impl Fn(Case) -> Case) {
    // With all of K in one block, and in parts.
    for (dtype, k) in DTYPES.into_iter().flat_map(|dtype| [(dtype, 48), (dtype, 2048)]) {
        let mut case = place(Case::new((3, 6, k), dtype, 9));
        case.absmax[1] = f32::NAN;
        case.codes[k..2 * k].fill(0);
        let y = case.run(device).as_values().to_f32();
        assert!(y[6..12].iter().all(|v| v.is_nan()), "{y:?}");
        assert!(y[..6].iter().chain(&y[12..]).all(|v| v.is_finite()), "{y:?}");
    }
}

#[test]
fn a_row_that_is_not_finite_is_a_row_of_nans() {
    if built::present() {
        a_row_that_is_not_finite(&Simulator::new(80).device(), |case| case);
    }
}

#[test]
fn what_the_kernel_does_not_have_is_refused_before_the_launch() {
    let device = Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let buffer = DeviceBuffer::zeros(cuda, 1 << 19).unwrap();
    let all = buffer.region();
    let x = QuantizedRows { codes: all, absmax: all, sums: all, outliers: None, order: CodeOrder::Rows };
    let refused = |case: Case, x: &QuantizedRows<'_>| case.multiply(cuda, x).unwrap_err().to_string();
    let error = refused(Case::new((2, 2, 64), Dtype::F32, 1), &x);
    assert!(error.contains("f16 and bf16"), "{error}");
    let outliers = Outliers { flags: all, columns: all, count: all, x: all, w: all };
    let error = refused(Case::new((2, 2, 64), Dtype::F16, 1), &QuantizedRows { outliers: Some(outliers), ..x });
    assert!(error.contains("no outlier columns"), "{error}");
    let error = refused(Case::new((2, 2, 64), Dtype::F16, 1), &QuantizedRows { order: CodeOrder::Tiles, ..x });
    assert!(error.contains("codes of x in Rows, not in Tiles"), "{error}");
    let error = refused(Case::new((1, 1, 132_105), Dtype::F16, 1), &x);
    assert!(error.contains("K = 132105 is above 132104"), "{error}");
    let short = DeviceBuffer::zeros(cuda, 127).unwrap();
    let error = refused(Case::new((2, 2, 64), Dtype::F16, 1), &QuantizedRows { codes: short.region(), ..x });
    assert!(error.contains("codes of x has 127"), "{error}");
}

/// W4A8 of another 4-bit format says what to do; outliers and f32 take the other strategy.
#[test]
fn a_layer_says_what_w4a8_takes() {
    if !built::present() {
        return;
    }
    let device = Simulator::new(90).device();
    let weight = Tensor::new(vec![0.5f32; 4 * 64], &[4, 64]).unwrap();
    let layer = |recipe: Recipe| Linear4bit::quantize(&weight, None, recipe, &device).unwrap();
    let with = |recipe: Recipe, threshold| layer(recipe).with_activations(Activations::Int8 { threshold });
    for recipe in [Int4::default().into(), Nf4::default().into()] {
        let error = with(recipe, 0.0).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("quantize the dense weights to int4_channel_group"), "{error}");
    }
    let x = |dtype| Tensor::new(vec![1.0f32; 64], &[1, 64]).unwrap().to_dtype(dtype).unwrap().to(&device).unwrap();
    let run = |layer: &Linear4bit, dtype, strategy| layer.forward_with(&x(dtype), strategy).map_err(|e| e.to_string());
    let plain = with(Int4ChannelGroup.into(), 0.0).unwrap();
    assert!(run(&plain, Dtype::F32, Strategy::Fused).unwrap_err().contains("f16 and bf16"));
    assert!(run(&plain, Dtype::F32, Strategy::Auto).is_ok());
    assert!(run(&plain, Dtype::F16, Strategy::Gemv).unwrap_err().contains("codebook"));
    let outliers = with(Int4ChannelGroup.into(), 6.0).unwrap();
    assert!(run(&outliers, Dtype::F16, Strategy::Fused).unwrap_err().contains("threshold 6 must be 0"));
    assert!(run(&outliers, Dtype::F16, Strategy::Auto).is_ok());
    let float = layer(Int4ChannelGroup.into());
    assert!(run(&float, Dtype::F16, Strategy::Fused).unwrap_err().contains("int8 activations only"));
    assert!(run(&float, Dtype::F16, Strategy::Auto).is_ok());
}
