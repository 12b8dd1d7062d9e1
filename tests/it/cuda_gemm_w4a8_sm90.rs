//! `gemm_w4a8_sm90`: the bits of `gemm_w4a8` and so of the CPU, by wgmma.

use lowbit::Dtype;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::gemm_w4a8_sm90;
use lowbit::cuda::ops::persistent_sm90::TokenTile;
use lowbit::cuda::ops::quantize_int8::Outliers;
use lowbit::cuda::ops::quantize_int8::QuantizedRows;
use lowbit::cuda::ops::tiles::ProductSize;
use lowbit::cuda::ops::w8::CodeOrder;

use crate::built;
use crate::cuda_gemm_w4a8;
use crate::cuda_gemm_w4a8::Case;
use crate::cuda_gemm_w4a8::DTYPES;
use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::simulator::Simulator;
use crate::w4_cases::after;

/// No value; one; K within a step of wgmma, a unit, a stage, odd and even numbers of units; M within eight, at their end, across
/// tiles; N within four columns, a unit, across the units of a warp, of a warpgroup, of a tile.
const SHAPES: [(usize, usize, usize); 14] = [
    (0, 5, 64),
    (1, 1, 1),
    (3, 5, 17),
    (7, 31, 64),
    (8, 33, 128),
    (17, 257, 192),
    (65, 1, 320),
    (1, 130, 100),
    (129, 31, 64),
    (16, 129, 129),
    (9, 64, 200),
    (2, 300, 448),
    (33, 36, 65),
    (300, 34, 256),
];

/// A shape for each tile that the plan has, so that it takes it, in one part of K: a last tile of tokens that there are not, and
/// of units that there are not; K of an odd number of units.
const TILES: [((usize, usize, usize), TokenTile); 3] =
    [((15, 33_700, 64), TokenTile::T16), ((117, 4200, 40), TokenTile::T64), ((261, 8100, 64), TokenTile::T128)];

/// Parts of K, some of them with an odd number of units.
const PARTS: [((usize, usize, usize), TokenTile); 4] = [
    ((3, 66, 4032), TokenTile::T16),
    ((70, 31, 4111), TokenTile::T16),
    ((300, 31, 4160), TokenTile::T64),
    ((70, 4201, 4160), TokenTile::T128),
];

/// Several units of work a block, more stages than the pipeline has: both parities of every barrier.
const LARGE: [((usize, usize, usize), TokenTile); 2] =
    [((18, 34_000, 1216), TokenTile::T64), ((200, 16_900, 832), TokenTile::T128)];

/// Every kernel over shapes that hurt.
pub fn against_reference(bench: &Bench) {
    let devices = bench.devices().into_iter().filter(|d| cuda_device(d).limits().has_wgmma());
    for device in devices.collect::<Vec<_>>() {
        for (seed, (shape, dtype)) in SHAPES.into_iter().flat_map(|s| DTYPES.map(|d| (s, d))).enumerate() {
            Case::new(shape, dtype, seed as u64 / 2).in_tiles().check(&device);
        }
        for dtype in DTYPES {
            for (shape, _) in TILES {
                Case::new(shape, dtype, 100).in_tiles().check(&device);
            }
        }
        for (seed, (shape, _)) in PARTS.into_iter().chain(LARGE).enumerate() {
            Case::new(shape, DTYPES[seed % 2], 101 + seed as u64).in_tiles().check(&device);
        }
        cuda_gemm_w4a8::largest_sums().in_tiles().check(&device);
    }
}

#[test]
fn the_shapes_for_each_tile_are_planned_with_it() {
    let device = Simulator::new(90).device();
    let limits = cuda_device(&device).limits();
    let plan = |(m, n, k)| gemm_w4a8_sm90::plan(limits, ProductSize { m, n, k }).unwrap();
    for (shape, tile) in TILES {
        assert_eq!((plan(shape).tile, plan(shape).splits), (tile, 1), "{shape:?}: {:?}", plan(shape));
    }
    for (shape, tile) in PARTS {
        assert_eq!((plan(shape).tile, plan(shape).splits > 1), (tile, true), "{shape:?}: {:?}", plan(shape));
    }
    for (shape, tile) in LARGE {
        let plan = plan(shape);
        assert_eq!((plan.tile, plan.splits), (tile, 1), "{shape:?}: {plan:?}");
        assert!(plan.token_tiles * plan.row_tiles > plan.grid[0], "{shape:?}: {plan:?}");
    }
}

#[test]
fn a_row_that_is_not_finite_is_a_row_of_nans() {
    if built::present() {
        cuda_gemm_w4a8::a_row_that_is_not_finite(&Simulator::new(90).device(), Case::in_tiles);
    }
}

/// The order in which warps run does not matter.
#[test]
fn the_result_does_not_depend_on_timing() {
    if !built::present() {
        return;
    }
    let case = Case::new((33, 300, 1344), Dtype::F16, 8).in_tiles();
    for seed in 0..4 {
        case.check(&Simulator::with(90, Default::default(), seed).device());
    }
}

#[test]
fn what_the_kernel_does_not_have_is_refused_before_the_launch() {
    let tiles = CodeOrder::Tiles;
    let refused = |capability, dtype, order, has_outliers: bool, (at, bytes): (usize, usize)| {
        let device = Simulator::new(capability).device();
        let cuda = cuda_device(&device);
        let [all, codes] = [1 << 13, at + bytes].map(|bytes| DeviceBuffer::zeros(cuda, bytes).unwrap());
        let (all, codes) = (all.region(), after(&codes, at));
        let outliers = has_outliers.then_some(Outliers { flags: all, columns: all, count: all, x: all, w: all });
        let x = QuantizedRows { codes, order, absmax: all, sums: all, outliers };
        let case = Case::new((2, 3, 64), dtype, 1).in_tiles();
        case.multiply(cuda, &x).map(|_| ()).map_err(|error| error.to_string())
    };
    let says = |found: Result<(), String>, what: &str| {
        let error = found.unwrap_err();
        assert!(error.contains(what), "{error}, not {what}");
    };
    if built::present() {
        refused(90, Dtype::F16, tiles, false, (0, 1024)).unwrap();
    }
    for capability in [80, 89, 120] {
        says(refused(capability, Dtype::F16, tiles, false, (0, 1024)), "compute capability 9.0 alone");
    }
    says(refused(90, Dtype::F32, tiles, false, (0, 1024)), "f16 and bf16");
    says(refused(90, Dtype::F16, CodeOrder::Rows, false, (0, 1024)), "in Tiles, not in Rows");
    says(refused(90, Dtype::F16, tiles, true, (0, 1024)), "no outlier columns");
    // The padding of x must be there too, 8 rows of 128; and whole chunks are copied.
    says(refused(90, Dtype::F16, tiles, false, (0, 1023)), "1024");
    says(refused(90, Dtype::F16, tiles, false, (8, 1024)), "must be a multiple");
}
