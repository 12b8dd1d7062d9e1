//! How a product is cut into the tiles of `cuda/include/tile.cuh`: which tile, which grid, how many parts of K.

use crate::cuda::driver::Limits;
use crate::error::Error;
use crate::error::Result;

/// The size of y\[M,N\] = x\[M,K\] · W\[N,K\]ᵀ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductSize {
    /// Rows of x.
    pub m: usize,
    /// Rows of W.
    pub n: usize,
    /// Columns of both.
    pub k: usize,
}

/// A tile of tile.cuh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    /// 128 x 128, three stages.
    Large,
    /// 64 x 64, four stages.
    Small,
}

impl Tile {
    /// Rows and columns of y.
    pub fn side(self) -> usize {
        match self {
            Self::Large => 128,
            Self::Small => 64,
        }
    }

    /// Shared memory of its stages, each a tile of x and one of W with [`STAGE_K_BYTES`] of K.
    pub fn shared_bytes(self) -> u32 {
        match self {
            Self::Large => 3 * 2 * 128 * STAGE_K_BYTES as u32,
            Self::Small => 4 * 2 * 64 * STAGE_K_BYTES as u32,
        }
    }

    fn count(self, size: ProductSize) -> usize {
        size.m.div_ceil(self.side()) * size.n.div_ceil(self.side())
    }
}

/// Bytes of K in a stage: kStageK of tile.cuh.
pub const STAGE_K_BYTES: usize = 64;

/// Rows of x up to which a block takes 64: more would only multiply zeros.
const SMALL_M: usize = 64;

/// Blocks of small tiles that are to be resident on a multiprocessor: 3 x 32 KB fit the 100 KB of sm_86, sm_89 and sm_120.
const BLOCKS_PER_SM: usize = 3;

/// Stages of K that a block must have at least: twice the pipeline's depth.
const MIN_STAGES: usize = 8;

/// Parts of K at most: the second kernel reads each of them.
const MAX_SPLITS: usize = 16;

/// How rows can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowAccess {
    /// All begin at multiples of 16 bytes.
    Aligned,
    /// They begin anywhere.
    Unaligned,
}

impl RowAccess {
    /// Of matrices at `addresses` whose rows have `row_bytes` bytes.
    pub fn of(addresses: &[u64], row_bytes: usize) -> Self {
        let aligned = addresses.iter().all(|a| a.is_multiple_of(16)) && row_bytes.is_multiple_of(16);
        if aligned { Self::Aligned } else { Self::Unaligned }
    }
}

/// How a product is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePlan {
    /// The tile of a block.
    pub tile: Tile,
    /// Tiles in x, parts of K in z.
    pub grid: [u32; 3],
    /// Values of K in a part: whole stages.
    pub k_per_split: u32,
    /// Parts of K.
    pub splits: u32,
}

impl TilePlan {
    /// Bytes of the partial sums, 32 bits each; 0 when K is in one part.
    pub fn partial_bytes(&self, size: ProductSize) -> usize {
        if self.splits == 1 { 0 } else { self.splits as usize * size.m * size.n * 4 }
    }
}

/// Cuts a product of elements of `element_bytes`.
///
/// The large tile where it fills the device. Otherwise the small one, and where even those leave multiprocessors idle, K in
/// as many parts as fill it.
///
/// # Errors
/// [`Error::TooLarge`] when M or N is not below 2^31, a row has more than 2^31 bytes, or there are 2^31 tiles.
pub fn plan(limits: &Limits, size: ProductSize, element_bytes: usize, access: RowAccess) -> Result<TilePlan> {
    let ProductSize { m, k, .. } = size;
    let sms = limits.num_sms as usize;
    let large = access == RowAccess::Aligned && m > SMALL_M && Tile::Large.count(size) >= sms;
    let tile = if large { Tile::Large } else { Tile::Small };
    check_size(size, element_bytes)?;
    let tiles = tile.count(size);
    let [grid_x, ..] = whole_grid(tile, size)?;

    let stage = STAGE_K_BYTES / element_bytes;
    let stages = k.div_ceil(stage);
    let wanted = if (1..sms).contains(&tiles) { BLOCKS_PER_SM * sms / tiles } else { 1 };
    let splits = wanted.min(stages / MIN_STAGES).clamp(1, MAX_SPLITS);
    let k_per_split = stages.div_ceil(splits).max(1) * stage;
    let splits = k.div_ceil(k_per_split).max(1) as u32;
    Ok(TilePlan { tile, grid: [grid_x, 1, splits], k_per_split: k_per_split as u32, splits })
}

/// Bytes of partial sums that a product may need, however its rows begin.
///
/// # Errors
/// Those of [`plan`].
pub fn partial_bytes(limits: &Limits, size: ProductSize, element_bytes: usize) -> Result<usize> {
    let of = |access| plan(limits, size, element_bytes, access).map(|plan| plan.partial_bytes(size));
    Ok(of(RowAccess::Aligned)?.max(of(RowAccess::Unaligned)?))
}

/// The grid of a product whose blocks sum over all of K.
///
/// # Errors
/// [`Error::TooLarge`] when there are 2^31 tiles.
pub fn whole_grid(tile: Tile, size: ProductSize) -> Result<[u32; 3]> {
    match u32::try_from(tile.count(size)) {
        Ok(tiles) if tiles < 1 << 31 => Ok([tiles, 1, 1]),
        _ => Err(Error::TooLarge { what: "product", shape: vec![size.m, size.n] }),
    }
}

/// Whether kernels can count rows, columns and the bytes of a row in 32 bits.
///
/// # Errors
/// [`Error::TooLarge`] otherwise.
pub fn check_size(size: ProductSize, element_bytes: usize) -> Result<()> {
    let ProductSize { m, n, k } = size;
    if m.max(n) >= 1 << 31 || k > (1 << 31) / element_bytes {
        return Err(Error::TooLarge { what: "product", shape: vec![m, n, k] });
    }
    Ok(())
}

/// Blocks for elementwise work on \[M, N\] (`row_part` of epilogue.cuh): 1024 columns of one row each.
///
/// # Errors
/// [`Error::TooLarge`] when a launch cannot have so many.
pub fn row_parts(m: usize, n: usize) -> Result<[u32; 3]> {
    match m.checked_mul(n.div_ceil(1024)).map(u32::try_from) {
        Some(Ok(blocks)) if blocks < 1 << 31 => Ok([blocks, 1, 1]),
        _ => Err(Error::TooLarge { what: "matrix", shape: vec![m, n] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compute capability, multiprocessors, shared memory of a block and of a multiprocessor in KB.
    const DEVICES: [(u32, u32, u32, u32); 5] =
        [(80, 108, 163, 164), (86, 84, 99, 100), (89, 128, 99, 100), (90, 132, 227, 228), (120, 170, 99, 100)];

    fn limits((capability, num_sms, block_kb, sm_kb): (u32, u32, u32, u32)) -> Limits {
        Limits {
            name: "test".into(),
            capability,
            num_sms,
            shared_bytes_per_block: block_kb << 10,
            shared_bytes_per_sm: sm_kb << 10,
            threads_per_sm: 1536,
            l2_bytes: 32 << 20,
            memory_bytes: 24 << 30,
        }
    }

    #[test]
    fn every_product_is_covered_once_on_every_device() {
        let sizes = [1, 2, 17, 64, 65, 128, 129, 1000, 4096, 28672, 1 << 20];
        for device in DEVICES {
            let limits = limits(device);
            for (m, n, k) in sizes.iter().flat_map(|&m| sizes.iter().map(move |&n| (m, n, (m * 31 + n * 7) % 9000 + 1)))
            {
                for (bytes, access) in [(2, RowAccess::Aligned), (2, RowAccess::Unaligned), (1, RowAccess::Aligned)] {
                    let size = ProductSize { m, n, k };
                    let plan = plan(&limits, size, bytes, access).unwrap();
                    let case = format!("{device:?} {size:?} {plan:?}");
                    let side = plan.tile.side();
                    assert_eq!(plan.grid[0] as usize, m.div_ceil(side) * n.div_ceil(side), "{case}");
                    assert_eq!(plan.grid[1..], [1, plan.splits], "{case}");
                    assert_eq!(plan.k_per_split as usize * bytes % STAGE_K_BYTES, 0, "{case}");
                    assert_eq!(k.div_ceil(plan.k_per_split as usize), plan.splits as usize, "{case}");
                    assert!(plan.tile.shared_bytes() <= limits.shared_bytes_per_block, "{case}");
                }
            }
        }
    }

    #[test]
    fn large_tiles_where_they_fill_the_device_and_splits_where_tiles_do_not() {
        let h200 = limits(DEVICES[3]);
        let plan = |m, n, k| plan(&h200, ProductSize { m, n, k }, 2, RowAccess::Aligned).unwrap();
        assert_eq!((plan(4096, 4096, 4096).tile, plan(4096, 4096, 4096).splits), (Tile::Large, 1));
        assert_eq!((plan(64, 1 << 20, 4096).tile, plan(64, 1 << 20, 4096).splits), (Tile::Small, 1));
        // 64 tiles for 132 multiprocessors: six parts make 384 blocks of the 396 that are resident.
        assert_eq!((plan(1, 4096, 4096).tile, plan(1, 4096, 4096).splits), (Tile::Small, 6));
        assert_eq!(plan(1, 64, 255).splits, 1, "one part of seven stages or fewer");
        assert_eq!(plan(1, 64, 1 << 16).splits, 16);
    }

    #[test]
    fn two_large_or_three_small_blocks_share_the_smallest_multiprocessor() {
        // A kilobyte of each block is the system's.
        assert!(2 * (Tile::Large.shared_bytes() + 1024) <= 100 << 10);
        assert!(BLOCKS_PER_SM as u32 * (Tile::Small.shared_bytes() + 1024) <= 100 << 10);
    }

    #[test]
    fn sizes_beyond_32_bits_are_refused() {
        let plan = |m, n, k| plan(&limits(DEVICES[0]), ProductSize { m, n, k }, 2, RowAccess::Aligned);
        assert!(plan(1 << 20, 57344, 8192).is_ok());
        for (m, n, k) in [(1 << 31, 1, 1), (1, 1 << 31, 1), (1, 1, (1 << 30) + 1), ((1 << 31) - 1, (1 << 31) - 1, 1)] {
            assert!(matches!(plan(m, n, k), Err(Error::TooLarge { .. })), "{m} {n} {k}");
        }
        assert!(row_parts(1 << 20, 57344).is_ok());
        assert!(row_parts(1 << 30, 4096).is_err());
    }
}
