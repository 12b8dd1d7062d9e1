//! y\[M,N\] = x\[M,K\] · W\[N,K\]ᵀ + bias\[N\] for 4-bit W on the warpgroup instructions of sm_90a.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::GemmW4Sm90Args;
use crate::cuda::buffer::Region;
use crate::cuda::driver::Limits;
use crate::cuda::kernels;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::gemm_dense;
use crate::cuda::ops::gemm_dense::PartialSums;
use crate::cuda::ops::gemm_dense::aligned;
use crate::cuda::ops::tiles;
use crate::cuda::ops::tiles::ProductSize;
use crate::cuda::ops::w4::W4;
use crate::cuda::ops::w4_product::Addresses;
use crate::cuda::ops::w4_product::W4Product;
use crate::error::Error;
use crate::error::Result;
use crate::layout::mma_w4::ScaleOrder;
use crate::layout::mma_w4::TILE_BYTES;
use crate::layout::mma_w4::TILE_COLS;
use crate::layout::mma_w4::TILE_ROWS;
use crate::values::Dtype;

/// The compute capability that has wgmma: neither an earlier nor a later one does.
const CAPABILITY: u32 = 90;
/// Row tiles of a unit: two warpgroups of four warps.
const UNIT_TILES: usize = 8;
/// The table of pairs of values.
const TABLE_BYTES: usize = 65536;
/// Stages at most: 16 x 4 KB of codes are under way, where 29 KB a multiprocessor keep 4.8 TB/s busy for 0.8 µs.
const MAX_STAGES: usize = 16;
/// Stages at least. Producers say that a tile is there when they have asked for kLag = 4 more, and consumers give back a stage
/// when they have the tile after it.
const MIN_STAGES: usize = 6;
/// Parts of K at most: the second kernel reads each of them.
const MAX_SPLITS: usize = 16;
/// Tiles that a part of K must have at least: as many as a pipeline has stages.
const MIN_TILES: usize = 8;
/// What a unit costs besides its tiles, in tiles: the first decoding, which nothing hides, and the stores.
const UNIT_COST: usize = 4;
/// What a second pass costs, in tiles: about 1 µs of launching, of 0.16 µs each.
const SECOND_PASS_COST: usize = 6;
/// Partial sums that are written and read in the time of a tile: 0.16 µs at 4.3 TB/s, 8 bytes each.
const SUMS_PER_TILE: usize = 86_000;

/// Why such a device does not multiply x of `dtype` by `w` so; `None` when it does.
pub fn rule(limits: &Limits, w: &W4, dtype: Dtype) -> Option<String> {
    if limits.capability != CAPABILITY {
        return Some(format!("wgmma is on compute capability 9.0 alone, not {}", limits.capability as f32 / 10.0));
    }
    if dtype == Dtype::F32 {
        return Some("x must be f16 or bf16".into());
    }
    let (need, has) = (least_shared_bytes(groups_per_tile(w.order())), limits.shared_bytes_per_block as usize);
    if has < need {
        return Some(format!("a block has {has} bytes of shared memory and needs {need}"));
    }
    w.fragment_rule()
}

/// Bytes of scratch memory, 256-byte aligned, that [`enqueue`] needs for `m` rows on such a device.
///
/// # Errors
/// [`Error::TooLarge`] when there are 2^31 units of work.
pub fn scratch_bytes(limits: &Limits, w: &W4, m: usize) -> Result<usize> {
    let size = Size::new(w, m);
    Ok(if m == 0 { 0 } else { plan(limits, &size)?.partial_bytes(&size) })
}

/// Enqueues the kernels, with [`scratch_bytes`] of memory between them. Nothing when y is empty.
///
/// # Errors
/// Those of [`W4Product`].
pub fn enqueue(product: &W4Product<'_>, device: &CudaDevice, scratch: Region<'_>) -> Result<()> {
    if let Some(rule) = rule(device.limits(), product.w, product.dtype) {
        return Err(product.refused("multiplying (gemm, wgmma)", device, rule));
    }
    let size = Size::new(product.w, product.m);
    tiles::check_size(size.product, product.dtype.size_bytes())?;
    let mut args = kernel_args(product)?;
    if product.m == 0 {
        return Ok(());
    }
    let plan = plan(device.limits(), &size)?;
    args.row_blocks = size.row_blocks() as u32;
    args.units = plan.units as u32;
    args.tiles_per_split = plan.tiles_per_split as u32;
    args.shared_bytes = plan.shared_bytes() as u32;
    let kernel = kernel(product, plan.width);
    if plan.splits == 1 {
        // SAFETY: `w` holds what its arguments describe, the regions hold x, bias and y.
        return unsafe { device.launch(kernel, plan.grid, args.shared_bytes, &args) };
    }
    let partials = scratch.holds("scratch memory", plan.partial_bytes(&size), "parts of K x M x N sums")?;
    args.partials = aligned(partials, "scratch memory", 16)?;
    let ProductSize { m, n, .. } = size.product;
    let (partials, splits) = (args.partials, plan.splits);
    let sums = PartialSums { partials, splits, bias: args.bias, y: args.y, m, n, dtype: product.dtype };
    // SAFETY: as above, and the scratch memory has room for the partial sums.
    unsafe {
        device.launch(kernel, plan.grid, args.shared_bytes, &args)?;
        gemm_dense::sum_partials(device, &sums)
    }
}

/// The arguments that do not depend on the plan, when the regions hold what the sizes say.
fn kernel_args(product: &W4Product<'_>) -> Result<GemmW4Sm90Args> {
    let Addresses { x, bias, y, x_is_aligned } = product.addresses()?;
    Ok(GemmW4Sm90Args {
        w: product.w.args(),
        x,
        bias,
        y,
        partials: 0,
        m: product.m as u32,
        row_blocks: 0,
        units: 0,
        tiles_per_split: 0,
        shared_bytes: 0,
        x_is_aligned,
    })
}

fn kernel(product: &W4Product<'_>, width: Width) -> &'static Kernel {
    let table = if product.dtype == Dtype::Bf16 { &BF16 } else { &F16 };
    let scales = match (product.w.is_nested(), product.w.has_zeros()) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    };
    table[scales][groups_per_tile(product.w.order()) - 1][width as usize]
}

/// [scales: f32, nested, with zero points][groups in a tile: 1, 2][rows of x in a unit, see `Width`].
type Table = [[[&'static Kernel; 4]; 2]; 3];

const F16: Table = [
    [
        [
            &kernels::GEMM_W4_SM90_F16_M16,
            &kernels::GEMM_W4_SM90_F16_M32,
            &kernels::GEMM_W4_SM90_F16_M64,
            &kernels::GEMM_W4_SM90_F16_M128,
        ],
        [
            &kernels::GEMM_W4_SM90_F16_M16_G32,
            &kernels::GEMM_W4_SM90_F16_M32_G32,
            &kernels::GEMM_W4_SM90_F16_M64_G32,
            &kernels::GEMM_W4_SM90_F16_M128_G32,
        ],
    ],
    [
        [
            &kernels::GEMM_W4_SM90_F16_M16_NESTED,
            &kernels::GEMM_W4_SM90_F16_M32_NESTED,
            &kernels::GEMM_W4_SM90_F16_M64_NESTED,
            &kernels::GEMM_W4_SM90_F16_M128_NESTED,
        ],
        [
            &kernels::GEMM_W4_SM90_F16_M16_NESTED_G32,
            &kernels::GEMM_W4_SM90_F16_M32_NESTED_G32,
            &kernels::GEMM_W4_SM90_F16_M64_NESTED_G32,
            &kernels::GEMM_W4_SM90_F16_M128_NESTED_G32,
        ],
    ],
    [
        [
            &kernels::GEMM_W4_SM90_F16_M16_ZEROS,
            &kernels::GEMM_W4_SM90_F16_M32_ZEROS,
            &kernels::GEMM_W4_SM90_F16_M64_ZEROS,
            &kernels::GEMM_W4_SM90_F16_M128_ZEROS,
        ],
        [
            &kernels::GEMM_W4_SM90_F16_M16_ZEROS_G32,
            &kernels::GEMM_W4_SM90_F16_M32_ZEROS_G32,
            &kernels::GEMM_W4_SM90_F16_M64_ZEROS_G32,
            &kernels::GEMM_W4_SM90_F16_M128_ZEROS_G32,
        ],
    ],
];

const BF16: Table = [
    [
        [
            &kernels::GEMM_W4_SM90_BF16_M16,
            &kernels::GEMM_W4_SM90_BF16_M32,
            &kernels::GEMM_W4_SM90_BF16_M64,
            &kernels::GEMM_W4_SM90_BF16_M128,
        ],
        [
            &kernels::GEMM_W4_SM90_BF16_M16_G32,
            &kernels::GEMM_W4_SM90_BF16_M32_G32,
            &kernels::GEMM_W4_SM90_BF16_M64_G32,
            &kernels::GEMM_W4_SM90_BF16_M128_G32,
        ],
    ],
    [
        [
            &kernels::GEMM_W4_SM90_BF16_M16_NESTED,
            &kernels::GEMM_W4_SM90_BF16_M32_NESTED,
            &kernels::GEMM_W4_SM90_BF16_M64_NESTED,
            &kernels::GEMM_W4_SM90_BF16_M128_NESTED,
        ],
        [
            &kernels::GEMM_W4_SM90_BF16_M16_NESTED_G32,
            &kernels::GEMM_W4_SM90_BF16_M32_NESTED_G32,
            &kernels::GEMM_W4_SM90_BF16_M64_NESTED_G32,
            &kernels::GEMM_W4_SM90_BF16_M128_NESTED_G32,
        ],
    ],
    [
        [
            &kernels::GEMM_W4_SM90_BF16_M16_ZEROS,
            &kernels::GEMM_W4_SM90_BF16_M32_ZEROS,
            &kernels::GEMM_W4_SM90_BF16_M64_ZEROS,
            &kernels::GEMM_W4_SM90_BF16_M128_ZEROS,
        ],
        [
            &kernels::GEMM_W4_SM90_BF16_M16_ZEROS_G32,
            &kernels::GEMM_W4_SM90_BF16_M32_ZEROS_G32,
            &kernels::GEMM_W4_SM90_BF16_M64_ZEROS_G32,
            &kernels::GEMM_W4_SM90_BF16_M128_ZEROS_G32,
        ],
    ],
];

fn groups_per_tile(order: ScaleOrder) -> usize {
    if matches!(order, ScaleOrder::Tiled { group_len: 32, .. }) { 2 } else { 1 }
}

/// Rows of x in a unit: n of wgmma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    W16,
    W32,
    W64,
    W128,
}

impl Width {
    const ALL: [Self; 4] = [Self::W16, Self::W32, Self::W64, Self::W128];

    fn rows(self) -> usize {
        16 << self as usize
    }

    /// Clocks of a multiprocessor for a tile of all 128 rows of W. It has eight m64k16; of each, the tensor cores take n / 2
    /// clocks (2048 multiply-adds a clock), shared memory n / 4 for x, 16 for decoding and 8 for the codes (128 bytes a
    /// clock), and device memory 35 for 1024 weights (29 a clock at 4.3 TB/s).
    fn clocks(self) -> usize {
        let n = self.rows();
        8 * (n / 2).max(n / 4 + 24).max(35)
    }
}

/// What a plan depends on.
#[derive(Clone, Copy, Debug)]
struct Size {
    product: ProductSize,
    groups_per_tile: usize,
}

impl Size {
    fn new(w: &W4, m: usize) -> Self {
        let product = ProductSize { m, n: w.shape().n(), k: w.shape().k() };
        Self { product, groups_per_tile: groups_per_tile(w.order()) }
    }

    fn row_blocks(&self) -> usize {
        self.product.n.div_ceil(TILE_ROWS * UNIT_TILES)
    }

    fn k_tiles(&self) -> usize {
        self.product.k.div_ceil(TILE_COLS)
    }
}

/// Shared memory with which the widest kernel makes progress.
fn least_shared_bytes(groups_per_tile: usize) -> usize {
    TABLE_BYTES + MIN_STAGES * stage_bytes(Width::W128, groups_per_tile)
}

/// A stage of the kernel: x, codes, f32 scales and zero points of each group, two barriers; a multiple of 1024.
fn stage_bytes(width: Width, groups_per_tile: usize) -> usize {
    let scales = UNIT_TILES * TILE_ROWS * groups_per_tile * (size_of::<f32>() + 1);
    (width.rows() * TILE_COLS * 2 + UNIT_TILES * TILE_BYTES + scales + 16).next_multiple_of(1024)
}

/// How a product is spread over blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    width: Width,
    grid: [u32; 3],
    units: usize,
    splits: usize,
    tiles_per_split: usize,
    stages: usize,
    stage_bytes: usize,
}

impl Plan {
    /// Bytes of the partial sums, where K is cut.
    fn partial_bytes(&self, size: &Size) -> usize {
        if self.splits == 1 { 0 } else { self.splits * size.product.m * size.product.n * size_of::<f32>() }
    }

    fn shared_bytes(&self) -> usize {
        TABLE_BYTES + self.stages * self.stage_bytes
    }
}

/// Chooses the rows of x in a unit by the clocks they take, then the parts of K: more of them where units do not come out even
/// over the multiprocessors, by the tiles that the busiest block has.
fn plan(limits: &Limits, size: &Size) -> Result<Plan> {
    let ProductSize { m, n, .. } = size.product;
    let (sms, k_tiles) = (limits.num_sms as usize, size.k_tiles());
    // At equal cost what reads the codes fewer times, then what multiplies fewer zeros.
    let cost = |width: &Width| {
        let tiles = m.div_ceil(width.rows());
        (tiles * width.clocks(), tiles, width.rows())
    };
    let width = Width::ALL.into_iter().min_by_key(cost).unwrap_or(Width::W128);
    let whole = size.row_blocks() * m.div_ceil(width.rows());
    let cost = |splits: usize| {
        let second_pass = if splits > 1 { SECOND_PASS_COST + splits * m * n / SUMS_PER_TILE } else { 0 };
        (whole * splits).div_ceil(sms) * (k_tiles.div_ceil(splits) + UNIT_COST) + second_pass
    };
    let most = if whole < 1 << 20 { (k_tiles / MIN_TILES).clamp(1, MAX_SPLITS) } else { 1 };
    let splits = (1..=most).min_by_key(|&splits| (cost(splits), splits)).unwrap_or(1);
    let tiles_per_split = k_tiles.div_ceil(splits);
    // Rounding up may have left the last parts empty.
    let splits = k_tiles.div_ceil(tiles_per_split);
    let units = whole * splits;
    if units >= 1 << 31 {
        return Err(Error::TooLarge { what: "product", shape: vec![m, n] });
    }
    let stage_bytes = stage_bytes(width, size.groups_per_tile);
    let stages = ((limits.shared_bytes_per_block as usize - TABLE_BYTES) / stage_bytes).min(MAX_STAGES);
    let grid = [units.min(sms) as u32, 1, 1];
    Ok(Plan { width, grid, units, splits, tiles_per_split, stages, stage_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::ops::w4::MAX_MAGIC_K;

    /// Multiprocessors and opt-in shared memory of the devices of compute capability 9.0: H100 PCIe, H100 and H200, GH200.
    const DEVICES: &[(u32, u32)] = &[(114, 227 << 10), (132, 227 << 10), (144, 227 << 10)];

    fn limits((num_sms, shared_bytes_per_block): (u32, u32)) -> Limits {
        Limits {
            name: "a device".into(),
            capability: CAPABILITY,
            num_sms,
            shared_bytes_per_block,
            shared_bytes_per_sm: shared_bytes_per_block + 1024,
            threads_per_sm: 2048,
            l2_bytes: 50 << 20,
            memory_bytes: 1 << 36,
        }
    }

    fn size(m: usize, n: usize, k: usize, groups_per_tile: usize) -> Size {
        Size { product: ProductSize { m, n, k }, groups_per_tile }
    }

    #[test]
    fn every_plan_covers_the_product_and_fits_the_device() {
        let ks = [1, 64, 65, 1000, 4096, 8192, 11008, 14336, 28672, 57344, MAX_MAGIC_K];
        for &device in DEVICES {
            let limits = limits(device);
            for (n, k) in [1, 128, 129, 4096, 14336, 57344, 1 << 20].into_iter().flat_map(|n| ks.map(|k| (n, k))) {
                for (m, groups) in [1, 16, 17, 64, 65, 130, 4096, 1 << 20].into_iter().flat_map(|m| [(m, 1), (m, 2)]) {
                    let size = size(m, n, k, groups);
                    let plan = plan(&limits, &size).unwrap();
                    let place = format!("{device:?} m {m} n {n} k {k}: {plan:?}");
                    assert!(plan.shared_bytes() <= limits.shared_bytes_per_block as usize, "{place}");
                    assert!((MIN_STAGES..=MAX_STAGES).contains(&plan.stages), "{place}");
                    assert!(least_shared_bytes(groups) <= limits.shared_bytes_per_block as usize, "{place}");
                    assert!(plan.stage_bytes.is_multiple_of(1024), "{place}");
                    assert!(plan.tiles_per_split * plan.splits >= size.k_tiles(), "{place}");
                    assert!(plan.tiles_per_split * (plan.splits - 1) < size.k_tiles(), "{place}");
                    assert_eq!(plan.units, plan.splits * n.div_ceil(128) * m.div_ceil(plan.width.rows()), "{place}");
                    assert_eq!(plan.grid[0] as usize, plan.units.min(device.0 as usize), "{place}");
                }
            }
        }
    }

    #[test]
    fn codes_in_flight_keep_the_memory_busy() {
        // 4.8 TB/s for 0.6 µs, over 132 multiprocessors.
        for width in Width::ALL {
            for groups in [1, 2] {
                let stage_bytes = stage_bytes(width, groups);
                let stages = ((227 << 10) - TABLE_BYTES) / stage_bytes;
                assert!(stages.min(MAX_STAGES) * UNIT_TILES * TILE_BYTES >= 22_000, "{width:?}: {stages} stages");
            }
        }
    }

    #[test]
    fn k_is_cut_where_units_do_not_fill_the_device() {
        let h200 = limits(DEVICES[1]);
        let plan = |m, n, k| plan(&h200, &size(m, n, k, 1)).unwrap();
        let parts = |m, n, k| (plan(m, n, k).width, plan(m, n, k).splits);
        // 32 units of 64 tiles, or 128 of 16.
        assert_eq!(parts(16, 4096, 4096), (Width::W16, 4));
        assert_eq!(parts(64, 8192, 8192), (Width::W64, 2));
        // 448 units: four rounds of 112, or of 132 and a rest.
        assert_eq!(parts(128, 57344, 8192), (Width::W128, 1));
        assert_eq!(plan(256, 57344, 8192).grid, [132, 1, 1]);
    }

    #[test]
    fn rows_of_x_are_padded_as_little_as_pays() {
        let h200 = limits(DEVICES[1]);
        let width = |m| plan(&h200, &size(m, 8192, 8192, 1)).unwrap().width;
        assert_eq!([1, 16, 17, 32, 33, 64, 65, 128].map(width), {
            use Width::*;
            [W16, W16, W32, W32, W64, W64, W128, W128]
        });
        assert_eq!(width(256), Width::W128);
    }

    #[test]
    fn more_than_31_bits_of_work_are_refused() {
        let h200 = limits(DEVICES[1]);
        assert!(plan(&h200, &size(1 << 30, 1 << 30, 64, 1)).is_err());
    }
}
