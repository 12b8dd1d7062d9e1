//! y\[M,N\] = x\[M,K\] · W\[N,K\]ᵀ + bias\[N\] for any M and 4-bit W, decoded within the product on tensor cores.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::GemmW4Args;
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
use crate::error::Result;
use crate::layout::mma_w4::ScaleOrder;
use crate::layout::mma_w4::TILE_BYTES;
use crate::layout::mma_w4::TILE_ROWS;
use crate::values::Dtype;

/// Row tiles of a block: 256 rows of W.
const BLOCK_TILES: usize = 16;
/// Tiles of K in a stage, one for each half of a block's warps.
const PARTS: usize = 2;
/// The table of pairs; the codes of [`GAP_STAGES`] stages lie in its gaps.
const TABLE_BYTES: usize = 65536;
const GAP_STAGES: usize = 2;
/// Codes of a stage.
const STAGE_CODES: usize = PARTS * BLOCK_TILES * TILE_BYTES;
/// Scales of a row tile in a group, and its zero points.
const SCALE_BYTES: usize = TILE_ROWS * (size_of::<f32>() + 1);
/// The map of nested scales.
const MAP_BYTES: usize = 256 * size_of::<f32>();
/// Stages of the ring at least: one is read, one under way; and at most.
const STAGES: (usize, usize) = (2, 6);
/// Blocks in the second dimension of a grid, at most.
const MAX_UNITS: usize = 65535;

/// Clocks of a multiprocessor for a tile of K with 32 tokens, a guess from counts: 256 matrix instructions at one in two
/// clocks, and as many wavefronts of shared memory. It is twice that with 64 tokens.
const TILE_CLOCKS: usize = 512;
/// What a block begins with, its table and the latency of its first stages: about 1 µs.
const BLOCK_CLOCKS: usize = 1500;
/// What a second pass costs beside its traffic: about 1 µs of launching.
const SECOND_PASS_CLOCKS: usize = 2000;
/// Bytes a clock in which a multiprocessor writes partial sums, and reads them again, from L2.
const PARTIAL_BYTES_PER_CLOCK: usize = 24;
/// Parts of K at most: the second pass reads each of them.
const MAX_SPLITS: usize = 16;

/// Why the kernels do not take x of `dtype` with weights `w`; `None` when they do.
pub fn rule(limits: &Limits, w: &W4, dtype: Dtype) -> Option<String> {
    if dtype == Dtype::F32 {
        return Some("x must be f16 or bf16".into());
    }
    let n = w.shape().n();
    if n > MAX_UNITS * BLOCK_TILES * TILE_ROWS {
        return Some(format!("N = {n} must be at most {}", MAX_UNITS * BLOCK_TILES * TILE_ROWS));
    }
    let (need, has) = (Tokens::T32.shared_bytes(&Size::new(w, 1), STAGES.0), limits.shared_bytes_per_block as usize);
    if need > has {
        return Some(format!("it needs {need} bytes of shared memory in a block, the device has {has}"));
    }
    w.fragment_rule()
}

/// Bytes of scratch memory, 256-byte aligned, that [`enqueue`] needs for `m` rows on such a device.
pub fn scratch_bytes(limits: &Limits, w: &W4, m: usize) -> usize {
    if m == 0 { 0 } else { plan(limits, &Size::new(w, m)).partial_bytes(w, m) }
}

/// Enqueues the kernels, with [`scratch_bytes`] of memory between them. Nothing when M is 0.
///
/// # Errors
/// Those of [`W4Product`].
pub fn enqueue(product: &W4Product<'_>, device: &CudaDevice, scratch: Region<'_>) -> Result<()> {
    if let Some(rule) = rule(device.limits(), product.w, product.dtype) {
        return Err(product.refused("multiplying (gemm)", device, rule));
    }
    let (n, k) = (product.w.shape().n(), product.w.shape().k());
    tiles::check_size(ProductSize { m: product.m, n, k }, product.dtype.size_bytes())?;
    let mut args = kernel_args(product)?;
    if product.m == 0 {
        return Ok(());
    }
    let plan = plan(device.limits(), &Size::new(product.w, product.m));
    args.tiles_per_split = plan.tiles_per_split as u32;
    args.stages = plan.stages as u32;
    args.codes_offset = plan.codes_offset as u32;
    args.scales_offset = plan.scales_offset as u32;
    args.map_offset = plan.map_offset as u32;
    let (kernel, shared_bytes) = (kernel(product, plan.tokens), plan.shared_bytes as u32);
    if plan.splits == 1 {
        // SAFETY: `w` holds what its arguments describe, the regions hold x, bias and y.
        return unsafe { device.launch(kernel, plan.grid, shared_bytes, &args) };
    }
    let bytes = plan.partial_bytes(product.w, product.m);
    args.partials = aligned(scratch.holds("scratch memory", bytes, "partial sums")?, "scratch memory", 16)?;
    let sums = PartialSums {
        partials: args.partials,
        splits: plan.splits,
        bias: args.bias,
        y: args.y,
        m: product.m,
        n,
        dtype: product.dtype,
    };
    // SAFETY: as above, and the scratch memory has room for the partial sums.
    unsafe {
        device.launch(kernel, plan.grid, shared_bytes, &args)?;
        gemm_dense::sum_partials(device, &sums)
    }
}

/// The arguments that do not depend on the plan, when the regions hold what the sizes say.
fn kernel_args(product: &W4Product<'_>) -> Result<GemmW4Args> {
    let Addresses { x, bias, y, x_is_aligned } = product.addresses()?;
    Ok(GemmW4Args {
        w: product.w.args(),
        x,
        bias,
        y,
        partials: 0,
        m: product.m as u32,
        tiles_per_split: 0,
        stages: 0,
        x_is_aligned,
        codes_offset: 0,
        scales_offset: 0,
        map_offset: 0,
        unused: 0,
    })
}

fn kernel(product: &W4Product<'_>, tokens: Tokens) -> &'static Kernel {
    let kernels = match (product.dtype, product.w.has_zeros()) {
        (Dtype::Bf16, false) => BF16,
        (Dtype::Bf16, true) => BF16_ZEROS,
        (_, false) => F16,
        (_, true) => F16_ZEROS,
    };
    match (tokens, groups_per_tile(product.w)) {
        (Tokens::T64, _) => kernels.m64,
        (Tokens::T32, 1) => kernels.m32,
        (Tokens::T32, _) => kernels.g32_m32,
    }
}

/// The kernels of a type of x, without or with zero points. Nested scales are read by those without.
struct Kernels {
    m32: &'static Kernel,
    g32_m32: &'static Kernel,
    m64: &'static Kernel,
}

const F16: Kernels =
    Kernels { m32: &kernels::GEMM_W4_F16_M32, g32_m32: &kernels::GEMM_W4_F16_G32_M32, m64: &kernels::GEMM_W4_F16_M64 };

const F16_ZEROS: Kernels = Kernels {
    m32: &kernels::GEMM_W4_F16_ZEROS_M32,
    g32_m32: &kernels::GEMM_W4_F16_ZEROS_G32_M32,
    m64: &kernels::GEMM_W4_F16_ZEROS_M64,
};

const BF16: Kernels = Kernels {
    m32: &kernels::GEMM_W4_BF16_M32,
    g32_m32: &kernels::GEMM_W4_BF16_G32_M32,
    m64: &kernels::GEMM_W4_BF16_M64,
};

const BF16_ZEROS: Kernels = Kernels {
    m32: &kernels::GEMM_W4_BF16_ZEROS_M32,
    g32_m32: &kernels::GEMM_W4_BF16_ZEROS_G32_M32,
    m64: &kernels::GEMM_W4_BF16_ZEROS_M64,
};

fn groups_per_tile(w: &W4) -> usize {
    if matches!(w.order(), ScaleOrder::Tiled { group_len: 32, .. }) { 2 } else { 1 }
}

/// Rows of x that a block multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tokens {
    T32,
    T64,
}

impl Tokens {
    fn count(self) -> usize {
        match self {
            Self::T32 => 32,
            Self::T64 => 64,
        }
    }

    /// Where the codes that do not fit the gaps begin: behind the stages of x.
    fn codes_offset(self, stages: usize) -> usize {
        TABLE_BYTES + stages * PARTS * self.count() * 128
    }

    fn scales_offset(self, stages: usize) -> usize {
        self.codes_offset(stages) + stages.saturating_sub(GAP_STAGES) * STAGE_CODES
    }

    fn map_offset(self, size: &Size, stages: usize) -> usize {
        // The kernel for 64 tokens has room for two groups a tile, whatever the format.
        let groups = if self == Self::T64 { 2 } else { size.groups_per_tile };
        self.scales_offset(stages) + stages * PARTS * BLOCK_TILES * groups * SCALE_BYTES
    }

    fn shared_bytes(self, size: &Size, stages: usize) -> usize {
        self.map_offset(size, stages) + if size.is_nested { MAP_BYTES } else { 0 }
    }
}

/// What a plan depends on.
#[derive(Clone, Copy, Debug)]
struct Size {
    m: usize,
    n: usize,
    k_tiles: usize,
    groups_per_tile: usize,
    is_nested: bool,
}

impl Size {
    fn new(w: &W4, m: usize) -> Self {
        let (n, k_tiles) = (w.shape().n(), w.tiles().k_tiles());
        Self { m, n, k_tiles, groups_per_tile: groups_per_tile(w), is_nested: w.is_nested() }
    }
}

/// How a product is spread over blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    tokens: Tokens,
    /// Tiles of tokens, of 256 rows of W, parts of K.
    grid: [u32; 3],
    splits: usize,
    tiles_per_split: usize,
    stages: usize,
    codes_offset: usize,
    scales_offset: usize,
    map_offset: usize,
    shared_bytes: usize,
}

impl Plan {
    /// Bytes of the partial sums, where K is cut.
    fn partial_bytes(&self, w: &W4, m: usize) -> usize {
        if self.splits == 1 { 0 } else { self.splits * m * w.shape().n() * size_of::<f32>() }
    }
}

/// 64 tokens where there are more than 32 and the device has the shared memory for it. One block is resident on a
/// multiprocessor; K is cut where blocks do not come out even over them, as far as that pays for partial sums.
fn plan(limits: &Limits, size: &Size) -> Plan {
    let room = limits.shared_bytes_per_block as usize;
    let wide = size.m > Tokens::T32.count() && Tokens::T64.shared_bytes(size, STAGES.0) <= room;
    let tokens = if wide { Tokens::T64 } else { Tokens::T32 };
    let fits = |stages: &usize| tokens.shared_bytes(size, *stages) <= room;
    let stages = (STAGES.0..=STAGES.1).rev().find(fits).unwrap_or(STAGES.0);

    let (token_tiles, units) = (size.m.div_ceil(tokens.count()), size.n.div_ceil(BLOCK_TILES * TILE_ROWS));
    let splits = splits(limits, size, tokens, token_tiles * units);
    let tiles_per_split = size.k_tiles.div_ceil(splits).next_multiple_of(PARTS);
    // Rounding up may have left the last parts empty.
    let splits = size.k_tiles.div_ceil(tiles_per_split);
    Plan {
        tokens,
        grid: [token_tiles as u32, units as u32, splits as u32],
        splits,
        tiles_per_split,
        stages,
        codes_offset: tokens.codes_offset(stages),
        scales_offset: tokens.scales_offset(stages),
        map_offset: tokens.map_offset(size, stages),
        shared_bytes: tokens.shared_bytes(size, stages),
    }
}

/// The number of parts of K with the least clocks of the busiest multiprocessor, by the constants above.
fn splits(limits: &Limits, size: &Size, tokens: Tokens, blocks: usize) -> usize {
    let sms = limits.num_sms as usize;
    let clocks = |splits: usize| {
        let tiles = size.k_tiles.div_ceil(splits).next_multiple_of(PARTS);
        let rounds = (blocks * splits).div_ceil(sms);
        let product = rounds * (BLOCK_CLOCKS + tiles * TILE_CLOCKS * tokens.count() / Tokens::T32.count());
        let partial_bytes = 2 * splits * size.m * size.n * size_of::<f32>();
        let second = SECOND_PASS_CLOCKS + partial_bytes / (PARTIAL_BYTES_PER_CLOCK * sms);
        if splits == 1 { product } else { product + second }
    };
    // Every block is to have two stages, and partial sums stay a few blocks' for each multiprocessor.
    let most = (size.k_tiles / (2 * PARTS)).min(4 * sms / blocks.max(1)).clamp(1, MAX_SPLITS);
    (1..=most).min_by_key(|&splits| (clocks(splits), splits)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::ops::w4::MAX_MAGIC_K;

    /// Capability, multiprocessors, opt-in shared memory in KB.
    const DEVICES: &[(u32, u32, u32)] = &[(80, 108, 163), (86, 84, 99), (89, 128, 99), (90, 132, 227), (120, 170, 99)];

    fn limits((capability, num_sms, kib): (u32, u32, u32)) -> Limits {
        Limits {
            name: "a device".into(),
            capability,
            num_sms,
            shared_bytes_per_block: kib << 10,
            shared_bytes_per_sm: (kib + 1) << 10,
            threads_per_sm: 1536,
            l2_bytes: 1 << 25,
            memory_bytes: 1 << 34,
        }
    }

    fn size(m: usize, n: usize, k: usize) -> Size {
        Size { m, n, k_tiles: k.div_ceil(64), groups_per_tile: 1, is_nested: false }
    }

    #[test]
    fn every_plan_covers_the_product_and_fits_the_device() {
        let ks = [1, 64, 65, 1000, 4096, 8192, 11008, 28672, MAX_MAGIC_K];
        for &device in DEVICES {
            let limits = limits(device);
            for (n, k) in [1, 31, 1024, 4096, 14336, 57344, 1 << 20].into_iter().flat_map(|n| ks.map(|k| (n, k))) {
                let rows = [1, 17, 32, 33, 64, 65, 256, 1000, 1 << 20];
                for (m, hard) in rows.into_iter().flat_map(|m| [(m, false), (m, true)]) {
                    let size = Size { groups_per_tile: 1 + usize::from(hard), is_nested: hard, ..size(m, n, k) };
                    let plan = plan(&limits, &size);
                    let place = format!("sm_{} m {m} n {n} k {k}: {plan:?}", device.0);
                    assert!(plan.shared_bytes <= limits.shared_bytes_per_block as usize, "{place}");
                    assert!((STAGES.0..=STAGES.1).contains(&plan.stages), "{place}");
                    assert!(plan.tiles_per_split * plan.splits >= size.k_tiles, "{place}");
                    assert!(plan.tiles_per_split * (plan.splits - 1) < size.k_tiles, "{place}");
                    assert_eq!(plan.tiles_per_split % PARTS, 0, "{place}");
                    assert_eq!(plan.grid[0] as usize, m.div_ceil(plan.tokens.count()), "{place}");
                    assert_eq!(plan.grid[1] as usize, n.div_ceil(256), "{place}");
                    assert!(plan.grid[0] < 1 << 31 && plan.grid[1] <= 65535 && plan.grid[2] <= 16, "{place}");
                    assert!(plan.codes_offset.is_multiple_of(128) && plan.scales_offset.is_multiple_of(16), "{place}");
                    assert!(plan.map_offset.is_multiple_of(4), "{place}");
                    let partials = if plan.splits == 1 { 0 } else { plan.splits * m * n * 4 };
                    assert!(partials <= 4 * 64 * 256 * 4 * device.1 as usize, "{place}");
                }
            }
        }
    }

    /// The end of a block exchanges half of its totals through the shared memory from its beginning.
    #[test]
    fn totals_fit_where_they_are_exchanged() {
        assert!(256 * Tokens::T64.count() * size_of::<f32>() <= TABLE_BYTES);
    }

    #[test]
    fn tokens_and_stages_are_what_shared_memory_allows() {
        let plan = |device, m| plan(&limits(DEVICES[device]), &size(m, 4096, 4096));
        let of = |device, m| (plan(device, m).tokens, plan(device, m).stages);
        assert_eq!([of(0, 32), of(0, 33)], [(Tokens::T32, 4), (Tokens::T64, 3)]);
        assert_eq!([of(1, 32), of(1, 33)], [(Tokens::T32, 2), (Tokens::T32, 2)]);
        assert_eq!([of(3, 32), of(3, 33)], [(Tokens::T32, 6), (Tokens::T64, 5)]);
    }

    #[test]
    fn k_is_cut_where_blocks_do_not_fill_the_device() {
        let h200 = limits(DEVICES[3]);
        let grid = |m, n, k| plan(&h200, &size(m, n, k)).grid;
        // 16 blocks for 132 multiprocessors: eight parts of 8 tiles.
        assert_eq!(grid(32, 4096, 4096), [1, 16, 8]);
        assert_eq!(grid(64, 8192, 8192), [1, 32, 4]);
        // 224 blocks: the second round is not worth a second pass.
        assert_eq!(grid(64, 57344, 8192), [1, 224, 1]);
        assert_eq!(grid(1 << 20, 4096, 4096)[2], 1);
    }
}
