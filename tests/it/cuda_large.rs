//! Products of more than 2^32 elements, of x and of y: the last rows of y, by the blocks that compute them.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use lowbit::Activations;
use lowbit::Device;
use lowbit::Dtype;
use lowbit::Int8;
use lowbit::Nf4;
use lowbit::Recipe;
use lowbit::Strategy;
use lowbit::Tensor;
use lowbit::cuda::CudaDevice;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::Driver;
use lowbit::cuda::Prepared;
use lowbit::cuda::kernels::Kernel;
use lowbit::formats::QuantMatrix;
use lowbit::ops;
use lowbit::reference;
use lowbit::shape::MatShape;
use lowbit::values::OwnedValues;

use crate::simulator::Simulator;
use crate::support::Random;
use crate::support::same_bits;
use crate::tolerance;

const DTYPE: Dtype = Dtype::Bf16;
/// Rows of x, of which three are beyond the last whole tile.
const M: usize = (1 << 20) + 3;
/// Rows and columns of W: M * SIDE is above 2^32.
const SIDE: usize = 4160;
/// Rows of x that exist: reading another is a finding.
const ROWS: usize = 2048;
/// Rows and columns of y that are compared.
const ROWS_COMPARED: usize = 3;
const COLUMNS_COMPARED: usize = 8;

/// All of a launch over W; of one over x or y the end, which computes the last rows.
fn last_blocks(kernel: &Kernel, blocks: u64) -> Range<u64> {
    let executed = match blocks {
        0..=16_384 => blocks,
        _ if kernel.file.starts_with("gemm") => 1,
        _ => 256,
    };
    blocks - executed..blocks
}

/// The end of x \[M, SIDE\], as f32, and its place on a new device.
struct Rows {
    simulator: Arc<Simulator>,
    device: CudaDevice,
    x: DeviceBuffer,
    values: Vec<f32>,
}

impl Rows {
    fn new() -> Self {
        let simulator = Arc::new(Simulator::partial(80, 64 << 30, last_blocks));
        let device = CudaDevice::from_driver(simulator.clone());
        let x = DeviceBuffer::new(&device, M * SIDE * DTYPE.size_bytes()).unwrap();
        let mut random = Random::new(3);
        let values: Vec<f32> = (0..ROWS * SIDE).map(|_| random.uniform()).collect();
        let values = OwnedValues::from_f32(DTYPE, &values);
        let bytes = values.as_values().as_bytes();
        let first = x.ptr() + (x.bytes() - bytes.len()) as u64;
        // SAFETY: the end of a live allocation.
        unsafe { simulator.upload(bytes, first).unwrap() };
        Self { simulator, device, x, values: values.as_values().to_f32() }
    }

    /// The last rows of x, \[ROWS_COMPARED, SIDE\].
    fn last(&self) -> &[f32] {
        &self.values[(ROWS - ROWS_COMPARED) * SIDE..]
    }

    /// The last columns of the last rows of y.
    fn multiplied(&self, prepared: &Prepared, strategy: Strategy) -> Vec<f32> {
        let y = DeviceBuffer::new(&self.device, M * SIDE * DTYPE.size_bytes()).unwrap();
        prepared.matmul((&self.x, DTYPE), strategy, (&y, DTYPE)).unwrap();
        let mut columns = OwnedValues::zeros(DTYPE, ROWS_COMPARED * COLUMNS_COMPARED);
        for (row, columns) in columns.as_bytes_mut().chunks_mut(COLUMNS_COMPARED * DTYPE.size_bytes()).enumerate() {
            let end = y.ptr() + (y.bytes() - (ROWS_COMPARED - 1 - row) * SIDE * DTYPE.size_bytes()) as u64;
            // SAFETY: within a live allocation.
            unsafe { self.simulator.download(end - columns.len() as u64, columns).unwrap() };
        }
        columns.as_values().to_f32()
    }
}

fn matrix(recipe: impl Into<Recipe>) -> QuantMatrix {
    let mut random = Random::new(5);
    let values: Vec<f32> = (0..SIDE * SIDE).map(|_| random.uniform()).collect();
    let shape = MatShape::new(SIDE, SIDE).unwrap();
    ops::quantize((&values[..]).into(), shape, recipe, &Device::cpu()).unwrap()
}

fn prepared(rows: &Rows, matrix: &Arc<QuantMatrix>, activations: Activations) -> Prepared {
    Prepared::new(&rows.device, Arc::clone(matrix), None, activations).unwrap()
}

#[test]
fn float_activations() {
    if !crate::built::present() {
        return;
    }
    let matrix = Arc::new(matrix(Nf4::default()));
    let w = reference::dequantize(&matrix).split_off((SIDE - COLUMNS_COMPARED) * SIDE);
    let rows = Rows::new();
    let exact = reference::matmul(rows.last(), &w, MatShape::new(COLUMNS_COMPARED, SIDE).unwrap(), None);
    for strategy in [Strategy::Fused, Strategy::DequantizeThenMultiply] {
        let found = rows.multiplied(&prepared(&rows, &matrix, Activations::Float), strategy);
        for (i, (found, &exact)) in found.iter().zip(&exact).enumerate() {
            let x = &rows.last()[i / COLUMNS_COMPARED * SIDE..][..SIDE];
            let w = &w[i % COLUMNS_COMPARED * SIDE..][..SIDE];
            // The weights, or their codebook, are rounded to the type of x.
            let bound = tolerance::product_bound(x, w, 0.0, exact, DTYPE, DTYPE);
            assert!((f64::from(*found) - exact).abs() <= bound, "{strategy} {i}: {found}, exactly {exact}");
        }
    }
}

#[test]
fn int8_activations() {
    if !crate::built::present() {
        return;
    }
    let matrix = Arc::new(matrix(Int8::default()));
    let activations = Activations::Int8 { threshold: 0.0 };
    let rows = Rows::new();
    let cpu = Device::cpu();
    let x = Tensor::new(OwnedValues::from_f32(DTYPE, rows.last()), &[ROWS_COMPARED, SIDE]).unwrap();
    let y =
        ops::matmul(&x, &ops::prepare(Arc::clone(&matrix), None, activations, &cpu).unwrap(), Strategy::Auto).unwrap();
    let expected: Vec<f32> =
        y.values().unwrap().to_f32().chunks(SIDE).flat_map(|y| y[SIDE - COLUMNS_COMPARED..].to_vec()).collect();
    let found = rows.multiplied(&prepared(&rows, &matrix, activations), Strategy::Fused);
    same_bits("the last of y", &expected, &found).unwrap();
}
