//! What the products of codes by wgmma have in common, as `cuda/include/persistent_sm90.cuh` has it for their kernels: blocks
//! that stay, and how a product is cut into their units of work.

use crate::cuda::CudaDevice;
use crate::cuda::args::GemmInt8Args;
use crate::cuda::args::GemmInt8Sm90Args;
use crate::cuda::driver::Limits;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::tiles;
use crate::cuda::ops::tiles::ProductSize;
use crate::cuda::ops::w8::CodeOrder;
use crate::error::Error;
use crate::error::Result;
use crate::layout::wgmma_w8::ATOM_COLS;
use crate::values::Dtype;

/// Whether `device` has wgmma and this build has code for it, `kernel` being one with it.
pub(super) fn is_ready(device: &CudaDevice, kernel: &'static Kernel) -> bool {
    device.limits().has_wgmma() && device.driver().load(kernel).is_ok()
}

/// Parts of K at most: the second kernel reads each of them.
const MAX_SPLITS: usize = 16;

/// How many rows of x a tile of y has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenTile {
    /// 16.
    T16,
    /// 64.
    T64,
    /// 128.
    T128,
    /// 192.
    T192,
    /// 256.
    T256,
}

impl TokenTile {
    /// Rows of x.
    pub fn tokens(self) -> usize {
        match self {
            Self::T16 => 16,
            Self::T64 => 64,
            Self::T128 => 128,
            Self::T192 => 192,
            Self::T256 => 256,
        }
    }
}

/// The shape of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Rows of W in a tile of y.
    pub rows: usize,
    /// Rows of x in it.
    pub tile: TokenTile,
    /// Stages in shared memory: kStages of the kernel.
    pub stages: usize,
}

/// The shapes that the kernels of a family have.
#[derive(Clone, Copy, Debug)]
pub struct Shapes {
    /// Bytes of a row of W in a stage, 128 of K.
    pub row_bytes: usize,
    /// The kernels.
    pub kernels: &'static [Shape],
}

impl Shapes {
    /// Shared memory: the stages, two barriers of 8 bytes for each, and 8 bytes for each token.
    pub fn shared_bytes(&self, shape: &Shape) -> u32 {
        let tokens = shape.tile.tokens();
        let stage = shape.rows * self.row_bytes + tokens * ATOM_COLS;
        (shape.stages * (stage + 16) + 8 * tokens) as u32
    }
}

/// How a product is cut into units of work: tiles of y by parts of K.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows of x in a tile.
    pub tile: TokenTile,
    /// Rows of W in a tile.
    pub rows: usize,
    /// Tiles of y along M.
    pub token_tiles: u32,
    /// Tiles of y along N.
    pub row_tiles: u32,
    /// Tiles of 128 of K in a part.
    pub tiles_per_split: u32,
    /// Parts of K.
    pub splits: u32,
    /// Blocks: one a multiprocessor, each with the units that follow from its index.
    pub grid: [u32; 3],
    /// Shared memory of a block.
    pub shared_bytes: u32,
}

impl Plan {
    fn units(&self) -> u64 {
        u64::from(self.token_tiles) * u64::from(self.row_tiles) * u64::from(self.splits)
    }

    /// Bytes of the partial sums of a split K.
    pub(super) fn partial_bytes(&self, size: ProductSize) -> usize {
        if self.splits == 1 { 0 } else { self.splits as usize * size.m * size.n * size_of::<i32>() }
    }

    /// The arguments of a kernel: `product` but for its split of K, W in `w_blocks` blocks of rows, y of `dtype`.
    pub(super) fn args(
        &self,
        product: GemmInt8Args,
        size: ProductSize,
        w_blocks: usize,
        dtype: Dtype,
    ) -> GemmInt8Sm90Args {
        let pair_bytes = 2 * dtype.size_bytes() as u64;
        GemmInt8Sm90Args {
            x_atoms: CodeOrder::Tiles.row_atoms(size.m) as u32,
            w_blocks: w_blocks as u32,
            k_tiles: size.k.div_ceil(ATOM_COLS) as u32,
            tiles_per_split: self.tiles_per_split,
            token_tiles: self.token_tiles,
            row_tiles: self.row_tiles,
            units: self.units() as u32,
            whole_pairs: (size.n.is_multiple_of(2) && product.y.is_multiple_of(pair_bytes)).into(),
            product: GemmInt8Args {
                splits: self.splits,
                k_per_split: self.tiles_per_split * ATOM_COLS as u32,
                ..product
            },
        }
    }
}

/// Cuts a product into tiles of `shapes` so that by `cost` it takes least.
///
/// # Errors
/// [`Error::TooLarge`] when M or N is not below 2^31, a row has more than 2^31 bytes, or there are 2^31 units.
pub fn plan(shapes: &Shapes, limits: &Limits, size: ProductSize) -> Result<Plan> {
    tiles::check_size(size, 1)?;
    let too_large = || Error::TooLarge { what: "product", shape: vec![size.m, size.n] };
    let candidates = shapes.kernels.iter().flat_map(|shape| {
        // Where tiles occupy all multiprocessors, parts would only add to the work.
        let tiles = size.m.div_ceil(shape.tile.tokens()) * size.n.div_ceil(shape.rows);
        let most = if tiles < limits.num_sms as usize { MAX_SPLITS } else { 1 };
        (1..=most).map(move |splits| cut(shapes, limits, size, shape, splits))
    });
    let best = candidates.min_by_key(|plan| cost(shapes, limits, size, plan)).ok_or_else(too_large)?;
    if best.units() < 1 << 31 { Ok(best) } else { Err(too_large()) }
}

/// The plan of these tiles, with as many parts as whole tiles of K make of `splits`.
fn cut(shapes: &Shapes, limits: &Limits, size: ProductSize, shape: &Shape, splits: usize) -> Plan {
    let k_tiles = size.k.div_ceil(ATOM_COLS).max(1);
    let tiles_per_split = k_tiles.div_ceil(splits);
    let mut plan = Plan {
        tile: shape.tile,
        rows: shape.rows,
        token_tiles: size.m.div_ceil(shape.tile.tokens()) as u32,
        row_tiles: size.n.div_ceil(shape.rows) as u32,
        tiles_per_split: tiles_per_split as u32,
        splits: k_tiles.div_ceil(tiles_per_split) as u32,
        grid: [1, 1, 1],
        shared_bytes: shapes.shared_bytes(shape),
    };
    plan.grid[0] = plan.units().min(limits.num_sms.into()) as u32;
    plan
}

/// Cycles that a plan may take, from counts and not from a measurement.
///
/// A tile of 128 of K takes the tensor cores of a multiprocessor rows x tokens x 128 / 4096 cycles (1979 TOPS dense on 132
/// multiprocessors at 1.83 GHz are 4096 multiply-adds a cycle each) and its share of L2 its bytes / 32 (about 5.5 TB/s in all);
/// a unit, 1500 cycles to fill the pipeline and 10 a token and 128 rows for its end; a second kernel, 4000 to begin, and the
/// partial sums, written and read, at the same rate of L2.
fn cost(shapes: &Shapes, limits: &Limits, size: ProductSize, plan: &Plan) -> u64 {
    const L2_BYTES: u64 = 32;
    let (tokens, sms) = (plan.tile.tokens(), u64::from(limits.num_sms));
    let copied = (plan.rows * shapes.row_bytes + tokens.min(size.m.next_multiple_of(8)) * ATOM_COLS) as u64;
    let sums = (plan.rows * tokens) as u64;
    let stage = (sums * ATOM_COLS as u64 / 4096).max(copied / L2_BYTES);
    let unit = u64::from(plan.tiles_per_split) * stage + 1500 + 10 * sums / 128;
    let partials = 2 * plan.partial_bytes(size) as u64 / (sms * L2_BYTES);
    let second = if plan.splits > 1 { 4000 + partials } else { 0 };
    plan.units().div_ceil(sms) * unit + second
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn limits(num_sms: u32) -> Limits {
        Limits {
            name: "test".into(),
            capability: 90,
            num_sms,
            shared_bytes_per_block: 227 << 10,
            shared_bytes_per_sm: 228 << 10,
            threads_per_sm: 2048,
            l2_bytes: 60 << 20,
            memory_bytes: 80 << 30,
        }
    }

    #[test]
    fn wgmma_is_of_one_capability() {
        let of = |capability| Limits { capability, ..limits(132) }.has_wgmma();
        assert_eq!([80, 86, 89, 90, 100, 120].map(of), [false, false, false, true, false, false]);
    }

    /// Plans of a family over sizes that hurt: each product is covered once, by blocks that fit a multiprocessor.
    pub fn every_product_is_covered_once(shapes: &Shapes) {
        let ms = [1, 7, 16, 17, 64, 65, 128, 129, 300, 1000, 4096];
        let ns = [1, 31, 100, 128, 129, 257, 1000, 4096, 28_672];
        for (num_sms, m) in [78, 114, 132].into_iter().flat_map(|sms| ms.map(|m| (sms, m))) {
            for (n, k) in ns.into_iter().flat_map(|n| [1, 64, 128, 129, 1000, 8192].map(|k| (n, k))) {
                let (limits, size) = (limits(num_sms), ProductSize { m, n, k });
                let plan = plan(shapes, &limits, size).unwrap();
                let case = format!("{num_sms} {size:?} {plan:?}");
                assert_eq!(plan.token_tiles as usize, m.div_ceil(plan.tile.tokens()), "{case}");
                assert_eq!(plan.row_tiles as usize, n.div_ceil(plan.rows), "{case}");
                assert_eq!(k.div_ceil(128).div_ceil(plan.tiles_per_split as usize), plan.splits as usize, "{case}");
                assert_eq!(u64::from(plan.grid[0]), plan.units().min(num_sms.into()), "{case}");
                assert!((1..=limits.shared_bytes_per_block).contains(&plan.shared_bytes), "{case}");
                let sums = if plan.splits > 1 { plan.splits as usize * m * n * 4 } else { 0 };
                assert_eq!(plan.partial_bytes(size), sums, "{case}");
            }
        }
    }

    /// Sizes that 32 bits do not hold are errors, M of 2^20 is not.
    pub fn sizes_beyond_32_bits_are_refused(shapes: &Shapes) {
        let plan = |m, n, k| plan(shapes, &limits(132), ProductSize { m, n, k });
        assert!(plan(1 << 20, 57_344, 8192).is_ok());
        for (m, n, k) in [(1 << 31, 1, 1), (1, 1 << 31, 1), (1, 1, (1 << 31) + 1), ((1 << 31) - 1, (1 << 31) - 1, 1)] {
            assert!(matches!(plan(m, n, k), Err(Error::TooLarge { .. })), "{m} {n} {k}");
        }
    }
}
