//! [`GemmInt8`] by wgmma, for devices of compute capability 9.0: both matrices in the tiles of
//! [`wgmma_w8`](crate::layout::wgmma_w8).
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::GemmInt8Sm90Args;
use crate::cuda::buffer::Region;
use crate::cuda::driver::Limits;
use crate::cuda::kernels::GEMM_INT8_SM90_F16_M16;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::gemm_dense::aligned;
use crate::cuda::ops::gemm_int8;
use crate::cuda::ops::gemm_int8::GemmInt8;
use crate::cuda::ops::quantize_int8;
use crate::cuda::ops::tiles;
use crate::cuda::ops::tiles::ProductSize;
use crate::cuda::ops::w8::CodeOrder;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::layout::wgmma_w8::ATOM_COLS;
use crate::values::Dtype;

/// Whether a device has wgmma: compute capability 9.0, and no later one.
pub fn is_for(limits: &Limits) -> bool {
    limits.capability == 90
}

/// Whether weights for `device` are better in tiles: it has wgmma, and this build has code for it.
pub fn is_ready(device: &CudaDevice) -> bool {
    is_for(device.limits()) && device.driver().load(&GEMM_INT8_SM90_F16_M16).is_ok()
}

/// Refuses codes in tiles where the kernels that read and write them are not made for it.
pub(super) fn check_order(device: &CudaDevice, order: CodeOrder) -> Result<()> {
    if order == CodeOrder::Rows || is_for(device.limits()) {
        return Ok(());
    }
    Err(gemm_int8::unsupported(device, "codes in tiles".into(), "compute capability 9.0 alone has wgmma"))
}

/// Rows of W in a tile of y.
const TILE_ROWS: usize = 128;

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
    /// 256.
    T256,
}

impl TokenTile {
    const ALL: [Self; 4] = [Self::T16, Self::T64, Self::T128, Self::T256];

    /// Rows of x.
    pub fn tokens(self) -> usize {
        match self {
            Self::T16 => 16,
            Self::T64 => 64,
            Self::T128 => 128,
            Self::T256 => 256,
        }
    }

    /// Tiles of 128 of K of both matrices in shared memory, as in cuda/gemm_int8_sm90.cu.
    pub fn stages(self) -> usize {
        match self {
            Self::T16 | Self::T64 => 8,
            Self::T128 => 6,
            Self::T256 => 4,
        }
    }

    /// Shared memory: the stages, two barriers of 8 bytes for each, and 8 bytes for each token.
    pub fn shared_bytes(self) -> u32 {
        let stage = (TILE_ROWS + self.tokens()) * ATOM_COLS;
        (self.stages() * (stage + 16) + 8 * self.tokens()) as u32
    }

    fn kernel(self, dtype: Dtype, is_affine: bool) -> Option<&'static Kernel> {
        use crate::cuda::kernels::*;
        let of_tiles = match (dtype, is_affine) {
            (Dtype::F16, false) => {
                [&GEMM_INT8_SM90_F16_M16, &GEMM_INT8_SM90_F16_M64, &GEMM_INT8_SM90_F16_M128, &GEMM_INT8_SM90_F16_M256]
            }
            (Dtype::F16, true) => [
                &GEMM_INT8_SM90_F16_AFFINE_M16,
                &GEMM_INT8_SM90_F16_AFFINE_M64,
                &GEMM_INT8_SM90_F16_AFFINE_M128,
                &GEMM_INT8_SM90_F16_AFFINE_M256,
            ],
            (Dtype::Bf16, false) => [
                &GEMM_INT8_SM90_BF16_M16,
                &GEMM_INT8_SM90_BF16_M64,
                &GEMM_INT8_SM90_BF16_M128,
                &GEMM_INT8_SM90_BF16_M256,
            ],
            (Dtype::Bf16, true) => [
                &GEMM_INT8_SM90_BF16_AFFINE_M16,
                &GEMM_INT8_SM90_BF16_AFFINE_M64,
                &GEMM_INT8_SM90_BF16_AFFINE_M128,
                &GEMM_INT8_SM90_BF16_AFFINE_M256,
            ],
            (Dtype::F32, _) => return None,
        };
        Some(of_tiles[self as usize])
    }
}

/// How a product is cut into units of work: tiles of y by parts of K.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows of x in a tile.
    pub tile: TokenTile,
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
}

impl Plan {
    fn units(&self) -> u64 {
        u64::from(self.token_tiles) * u64::from(self.row_tiles) * u64::from(self.splits)
    }
}

/// Cuts a product so that by `cost` it takes least.
///
/// # Errors
/// [`Error::TooLarge`] when M or N is not below 2^31, a row has more than 2^31 bytes, or there are 2^31 units.
pub fn plan(limits: &Limits, size: ProductSize) -> Result<Plan> {
    tiles::check_size(size, 1)?;
    let too_large = || Error::TooLarge { what: "product", shape: vec![size.m, size.n] };
    let candidates = TokenTile::ALL.into_iter().flat_map(|tile| {
        // Where tiles occupy all multiprocessors, parts would only add to the work.
        let tiles = size.m.div_ceil(tile.tokens()) * size.n.div_ceil(TILE_ROWS);
        let most = if tiles < limits.num_sms as usize { MAX_SPLITS } else { 1 };
        (1..=most).map(move |splits| cut(limits, size, tile, splits))
    });
    let best = candidates.min_by_key(|plan| cost(limits, size, plan)).ok_or_else(too_large)?;
    if best.units() < 1 << 31 { Ok(best) } else { Err(too_large()) }
}

/// The plan of these tiles, with as many parts as whole tiles of K make of `splits`.
fn cut(limits: &Limits, size: ProductSize, tile: TokenTile, splits: usize) -> Plan {
    let k_tiles = size.k.div_ceil(ATOM_COLS).max(1);
    let tiles_per_split = k_tiles.div_ceil(splits);
    let mut plan = Plan {
        tile,
        token_tiles: size.m.div_ceil(tile.tokens()) as u32,
        row_tiles: size.n.div_ceil(TILE_ROWS) as u32,
        tiles_per_split: tiles_per_split as u32,
        splits: k_tiles.div_ceil(tiles_per_split) as u32,
        grid: [1, 1, 1],
    };
    plan.grid[0] = plan.units().min(limits.num_sms.into()) as u32;
    plan
}

/// Cycles that a plan may take, from counts and not from a measurement.
///
/// A tile of 128 of K takes the tensor cores of a multiprocessor 128 x tokens x 128 / 4096 cycles (1979 TOPS dense on 132
/// multiprocessors at 1.83 GHz are 4096 multiply-adds a cycle each) and its share of L2 its bytes / 32 (about 5.5 TB/s in all);
/// a unit, 1500 cycles to fill the pipeline and 10 a token for its end; a second kernel, 4000 to begin, and the partial sums,
/// written and read, at the same rate of L2.
fn cost(limits: &Limits, size: ProductSize, plan: &Plan) -> u64 {
    const L2_BYTES: u64 = 32;
    let (tokens, sms) = (plan.tile.tokens(), u64::from(limits.num_sms));
    let copied = ((TILE_ROWS + tokens.min(size.m.next_multiple_of(8))) * ATOM_COLS) as u64;
    let stage = (4 * tokens as u64).max(copied / L2_BYTES);
    let unit = u64::from(plan.tiles_per_split) * stage + 1500 + 10 * tokens as u64;
    let sums = 2 * partial_bytes(plan, size) as u64 / (sms * L2_BYTES);
    let second = if plan.splits > 1 { 4000 + sums } else { 0 };
    plan.units().div_ceil(sms) * unit + second
}

/// Bytes of the partial sums of a split K, without the plane of outliers.
fn partial_bytes(plan: &Plan, size: ProductSize) -> usize {
    if plan.splits == 1 { 0 } else { plan.splits as usize * size.m * size.n * size_of::<i32>() }
}

/// Bytes of scratch memory that [`enqueue`] wants.
///
/// # Errors
/// Those of [`plan`].
pub fn scratch_bytes(limits: &Limits, size: ProductSize) -> Result<usize> {
    let partial = partial_bytes(&plan(limits, size)?, size);
    Ok(if partial == 0 { 0 } else { partial + gemm_int8::plane_bytes(size) })
}

/// Enqueues `product`, whose x and W are in tiles. Nothing when M is 0. `scratch` has [`scratch_bytes`].
///
/// # Errors
/// Those of [`GemmInt8::enqueue`]; [`Error::Unsupported`] on a device without wgmma.
pub fn enqueue(product: &GemmInt8<'_>, device: &CudaDevice, scratch: Region<'_>) -> Result<()> {
    gemm_int8::check(device, product.w.format(), product.w.shape(), product.max_code)?;
    check_order(device, CodeOrder::Tiles)?;
    let is_affine = matches!(product.w.format(), Format::AffineInt8 { .. });
    let size = product.size();
    let plan = plan(device.limits(), size)?;
    let Some(kernel) = plan.tile.kernel(product.dtype, is_affine) else { return Err(gemm_int8::no_f32(device)) };
    if product.m == 0 {
        return Ok(());
    }
    let mut args = product.args(device, CodeOrder::Tiles)?;
    args.splits = plan.splits;
    args.k_per_split = plan.tiles_per_split * ATOM_COLS as u32;
    let partials = partial_bytes(&plan, size);
    if partials > 0 {
        let bytes = partials + gemm_int8::plane_bytes(size);
        let scratch = scratch.holds("scratch memory", bytes, "(splits of K + 1) x M x N sums")?;
        args.partials = aligned(scratch, "scratch memory", 16)?;
        args.outlier_sums = args.partials + partials as u64;
    }
    let pair_bytes = 2 * product.dtype.size_bytes() as u64;
    let args = GemmInt8Sm90Args {
        x_atoms: quantize_int8::row_atoms(size.m, CodeOrder::Tiles) as u32,
        w_atoms: product.w.row_atoms() as u32,
        k_tiles: size.k.div_ceil(ATOM_COLS) as u32,
        tiles_per_split: plan.tiles_per_split,
        token_tiles: plan.token_tiles,
        row_tiles: plan.row_tiles,
        units: plan.units() as u32,
        whole_pairs: (size.n.is_multiple_of(2) && args.y.is_multiple_of(pair_bytes)).into(),
        product: args,
    };
    // SAFETY: `product.args` has checked the regions, the scratch memory has room for the partial sums and those of the
    // outliers; W and bias are there for the call, and freeing them is ordered behind it.
    unsafe { device.launch(kernel, plan.grid, plan.tile.shared_bytes(), &args)? };
    if partials == 0 { Ok(()) } else { product.reduce(device, &args.product) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(num_sms: u32) -> Limits {
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

    fn of(m: usize, n: usize, k: usize) -> Plan {
        plan(&limits(132), ProductSize { m, n, k }).unwrap()
    }

    #[test]
    fn wgmma_is_of_one_capability() {
        let of = |capability| is_for(&Limits { capability, ..limits(132) });
        assert_eq!([80, 86, 89, 90, 100, 120].map(of), [false, false, false, true, false, false]);
    }

    #[test]
    fn every_product_is_covered_once() {
        for num_sms in [78, 114, 132] {
            let limits = limits(num_sms);
            for (m, n) in [1, 7, 16, 17, 64, 65, 128, 129, 300, 1000, 4096]
                .into_iter()
                .flat_map(|m| [1, 100, 128, 129, 1000, 4096, 28_672].map(|n| (m, n)))
            {
                for k in [1, 128, 129, 1000, 8192] {
                    let size = ProductSize { m, n, k };
                    let plan = plan(&limits, size).unwrap();
                    let case = format!("{num_sms} {size:?} {plan:?}");
                    assert_eq!(plan.token_tiles as usize, m.div_ceil(plan.tile.tokens()), "{case}");
                    assert_eq!(plan.row_tiles as usize, n.div_ceil(TILE_ROWS), "{case}");
                    assert_eq!(k.div_ceil(128).div_ceil(plan.tiles_per_split as usize), plan.splits as usize, "{case}");
                    assert_eq!(u64::from(plan.grid[0]), plan.units().min(num_sms.into()), "{case}");
                    assert!(plan.tile.shared_bytes() <= limits.shared_bytes_per_block, "{case}");
                    let scratch = if plan.splits > 1 { (plan.splits as usize + 1) * m * n * 4 } else { 0 };
                    assert_eq!(scratch_bytes(&limits, size).unwrap(), scratch, "{case}");
                }
            }
        }
    }

    #[test]
    fn few_tokens_take_small_tiles_and_parts_of_k_that_fill_the_device() {
        assert_eq!((of(1, 8192, 8192).tile, of(1, 8192, 8192).splits), (TokenTile::T16, 2));
        assert_eq!((of(16, 4096, 4096).tile, of(16, 4096, 4096).splits), (TokenTile::T16, 4));
        assert_eq!((of(64, 28_672, 8192).tile, of(64, 28_672, 8192).splits), (TokenTile::T64, 1));
        assert_eq!((of(1, 64, 128).tile, of(1, 64, 128).splits), (TokenTile::T16, 1));
    }

    #[test]
    fn many_tokens_take_the_largest_tile_whole() {
        for m in [1024, 2048, 4096, 1 << 20] {
            assert_eq!((of(m, 8192, 8192).tile, of(m, 8192, 8192).splits), (TokenTile::T256, 1), "{m}");
        }
    }

    #[test]
    fn sizes_beyond_32_bits_are_refused() {
        let plan = |m, n, k| plan(&limits(132), ProductSize { m, n, k });
        assert!(plan(1 << 20, 57_344, 8192).is_ok());
        for (m, n, k) in [(1 << 31, 1, 1), (1, 1 << 31, 1), (1, 1, (1 << 31) + 1), ((1 << 31) - 1, (1 << 31) - 1, 1)] {
            assert!(matches!(plan(m, n, k), Err(Error::TooLarge { .. })), "{m} {n} {k}");
        }
    }
}
