//! `gemm_int8_sm90`: the bits of `gemm_int8` and so of the CPU, by wgmma.

use lowbit::Dtype;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::gemm_int8::GemmInt8;
use lowbit::cuda::ops::gemm_int8_sm90;
use lowbit::cuda::ops::persistent_sm90::TokenTile;
use lowbit::cuda::ops::quantize_int8::QuantizedRows;
use lowbit::cuda::ops::tiles::ProductSize;
use lowbit::cuda::ops::w8::CodeOrder;
use lowbit::cuda::ops::w8::W8;
use lowbit::formats::Parts;
use lowbit::formats::QuantMatrix;
use lowbit::shape::MatShape;

use crate::cuda_gemm_int8::ASYMMETRIC;
use crate::cuda_gemm_int8::Case;
use crate::cuda_gemm_int8::DTYPES;
use crate::cuda_gemm_int8::INT8;
use crate::cuda_gemm_int8::PER_TENSOR;
use crate::cuda_gemm_int8::SYMMETRIC;
use crate::cuda_gemm_int8::rounded_on_the_device;
use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;

/// No value; one; K within a step of wgmma, a tile, several; M and N within an atom, at its end, across tiles; odd N.
const SHAPES: [(usize, usize, usize); 8] =
    [(0, 5, 64), (1, 1, 1), (3, 5, 17), (17, 33, 128), (8, 64, 129), (2, 130, 272), (65, 126, 300), (9, 129, 100)];

/// A shape for each tile that the plan has, so that it takes it, and what the plan must say of it.
const TILES: [((usize, usize, usize), TokenTile); 5] = [
    ((16, 17_000, 130), TokenTile::T16),
    ((50, 17_000, 40), TokenTile::T64),
    ((120, 16_800, 40), TokenTile::T128),
    ((190, 17_000, 40), TokenTile::T192),
    ((250, 17_000, 40), TokenTile::T256),
];

/// Several units a block, more stages than the pipeline has: both parities of every barrier.
const LARGE: [((usize, usize, usize), TokenTile); 2] =
    [((515, 17_300, 300), TokenTile::T192), ((256, 33_000, 300), TokenTile::T256)];

/// Every kernel over shapes that hurt.
pub fn against_reference(bench: &Bench) {
    let devices = bench.devices().into_iter().filter(|d| cuda_device(d).limits().has_wgmma());
    for device in devices.collect::<Vec<_>>() {
        let formats = [INT8, SYMMETRIC, ASYMMETRIC].into_iter().chain(PER_TENSOR);
        for (seed, (shape, format)) in SHAPES.into_iter().flat_map(|s| formats.clone().map(move |f| (s, f))).enumerate()
        {
            for dtype in DTYPES {
                Case::new(shape, format, dtype, None, seed as u64).in_tiles().check(&device);
            }
        }
        for dtype in DTYPES {
            for count in [0, 1, 16, 17, 40] {
                Case::new((5, 70, 80), INT8, dtype, Some(count), 100 + count as u64).in_tiles().check(&device);
                // K in parts: the sums of the outliers have a plane of their own.
                Case::new((3, 65, 4000), INT8, dtype, Some(count), 200 + count as u64).in_tiles().check(&device);
            }
            Case::new((66, 67, 90), ASYMMETRIC, dtype, Some(90), 300).in_tiles().check(&device);
            Case::new((2, 70, 4111), ASYMMETRIC, dtype, None, 301).in_tiles().check(&device);
            for (shape, _) in TILES {
                for format in [INT8, ASYMMETRIC] {
                    Case::new(shape, format, dtype, None, 302).in_tiles().check(&device);
                }
                Case::new(shape, INT8, dtype, Some(3), 303).in_tiles().check(&device);
            }
        }
        for (shape, _) in LARGE {
            Case::new(shape, INT8, Dtype::Bf16, None, 304).in_tiles().check(&device);
        }
        largest_sums_do_not_overflow(&device);
    }
}

#[test]
fn the_shapes_for_each_tile_are_planned_with_it() {
    let device = crate::simulator::Simulator::new(90).device();
    let plan = |(m, n, k)| gemm_int8_sm90::plan(cuda_device(&device).limits(), ProductSize { m, n, k }).unwrap();
    for (shape, tile) in TILES.into_iter().chain(LARGE) {
        assert_eq!((plan(shape).tile, plan(shape).splits), (tile, 1), "{shape:?}: {:?}", plan(shape));
    }
    for (shape, _) in LARGE {
        let plan = plan(shape);
        assert!(plan.token_tiles * plan.row_tiles > plan.grid[0], "{shape:?}: {plan:?}");
    }
}

/// The longest K with the largest codes: sums next to 2^31, on the way beyond it.
fn largest_sums_do_not_overflow(device: &lowbit::Device) {
    for (format, code, zero_point, k) in [(INT8, -127i8 as u8, None, 133_144), (ASYMMETRIC, 255, Some(0), 66_311)] {
        let shape = MatShape::new(1, k).unwrap();
        let mut parts = Parts::new(vec![code; k], vec![1.0]);
        parts.zero_points = zero_point.map(|point| vec![point]);
        let mut case = Case::new((2, 1, k), format, Dtype::Bf16, None, 1).in_tiles();
        case.matrix = QuantMatrix::from_parts(format, shape, Dtype::F32, parts).unwrap();
        case.codes[..k].fill(127);
        case.codes[k..].fill(-127);
        case.check(device);
    }
}

#[test]
fn rounded_on_the_device_the_result_is_the_cpu_s() {
    rounded_on_the_device((5, 37, 144), CodeOrder::Tiles);
    rounded_on_the_device((70, 130, 1100), CodeOrder::Tiles);
}

#[test]
fn a_row_that_is_not_finite_is_a_row_of_nans() {
    let device = crate::simulator::Simulator::new(90).device();
    for (dtype, k) in DTYPES.into_iter().flat_map(|dtype| [(dtype, 40), (dtype, 4096)]) {
        let mut case = Case::new((3, 6, k), INT8, dtype, None, 9).in_tiles();
        case.absmax[1] = f32::NAN;
        case.codes[k..2 * k].fill(0);
        let y = case.run(&device).as_values().to_f32();
        assert!(y[6..12].iter().all(|v| v.is_nan()), "{y:?}");
        assert!(y[..6].iter().chain(&y[12..]).all(|v| v.is_finite()), "{y:?}");
    }
}

#[test]
fn what_the_kernel_does_not_have_is_refused_before_the_launch() {
    let refused = |capability, orders: [CodeOrder; 2], dtype, codes: usize| {
        let device = crate::simulator::Simulator::new(capability).device();
        let cuda = cuda_device(&device);
        let buffer = DeviceBuffer::zeros(cuda, 1 << 13).unwrap();
        let (all, codes) = (buffer.region(), DeviceBuffer::zeros(cuda, codes).unwrap());
        let x = QuantizedRows { codes: codes.region(), order: orders[0], absmax: all, sums: all, outliers: None };
        let matrix = Parts::new(vec![0; 128], vec![1.0; 2]);
        let matrix = QuantMatrix::from_parts(INT8, MatShape::new(2, 64).unwrap(), Dtype::F32, matrix).unwrap();
        let w = W8::upload(cuda, &matrix, orders[1]).map_err(|error| error.to_string())?;
        let product = GemmInt8 { x: &x, max_code: 127, w: &w, bias: None, y: all, m: 2, dtype };
        let result = gemm_int8_sm90::enqueue(&product, cuda, all);
        result.map_err(|error| error.to_string())
    };
    let (rows, tiles) = (CodeOrder::Rows, CodeOrder::Tiles);
    let says = |found: Result<(), String>, what: &str| {
        let error = found.unwrap_err();
        assert!(error.contains(what), "{error}, not {what}");
    };
    if crate::built::present() {
        refused(90, [tiles; 2], Dtype::F16, 1024).unwrap();
    }
    for orders in [[tiles; 2], [rows; 2]] {
        says(refused(80, orders, Dtype::F16, 1024), "compute capability 9.0 alone");
        says(refused(120, orders, Dtype::F16, 1024), "compute capability 9.0 alone");
    }
    says(refused(90, [tiles; 2], Dtype::F32, 1024), "f32 activations");
    says(refused(90, [rows, tiles], Dtype::F16, 1024), "x in Rows and W in Tiles");
    says(refused(90, [tiles, rows], Dtype::F16, 1024), "x in Tiles and W in Rows");
    // The padding of x must be there too.
    says(refused(90, [tiles; 2], Dtype::F16, 1023), "1024");
}
