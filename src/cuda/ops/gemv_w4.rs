//! y\[M,N\] = x\[M,K\] · W\[N,K\]ᵀ + bias\[N\] for M up to 16 and 4-bit W, reading the codes once.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::GemvW4Args;
use crate::cuda::buffer::Region;
use crate::cuda::driver::Limits;
use crate::cuda::kernels;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::blocks;
use crate::cuda::ops::w4::W4;
use crate::cuda::ops::w4_product::Addresses;
use crate::cuda::ops::w4_product::W4Product;
use crate::error::Result;
use crate::layout::mma_w4::ScaleOrder;
use crate::layout::mma_w4::TILE_COLS;
use crate::values::Dtype;

/// Rows of x at most.
pub const MAX_M: usize = 16;

/// Row tiles of a unit, what a block multiplies at one time.
const UNIT_TILES: usize = 2;
/// Warps of a block, which share the tiles of K.
const WARPS: usize = 16;
/// The table of pairs, with gaps for the totals of the warps.
const TABLE_BYTES: usize = 65536;
/// The map of nested scales.
const MAP_BYTES: usize = 256 * size_of::<f32>();
/// What a second pass costs, in tiles of a unit: about 1 µs of launching, where at 4.3 TB/s one of 132 multiprocessors reads
/// the 1.1 KB of such a tile and its scales in 34 ns.
const SECOND_PASS_TILES: usize = 32;
/// Parts of K at most, so that a grid stays small and partial sums are few.
const MAX_SPLITS: usize = 64;

/// Why the kernels do not take `m` rows of x of `dtype` with weights `w`; `None` when they do.
pub fn rule(w: &W4, m: usize, dtype: Dtype) -> Option<String> {
    if dtype == Dtype::F32 {
        return Some("x must be f16 or bf16".into());
    }
    if m > MAX_M {
        return Some(format!("M = {m} must be at most {MAX_M}"));
    }
    w.fragment_rule()
}

/// Bytes of scratch memory, 256-byte aligned, that [`enqueue`] needs for `m` rows on such a device.
pub fn scratch_bytes(limits: &Limits, w: &W4, m: usize) -> usize {
    if m == 0 { 0 } else { plan(limits, &Size::new(w, m)).partial_bytes(w, m) }
}

/// Enqueues the kernels, with [`scratch_bytes`] of memory between them. Nothing when y is empty.
///
/// # Errors
/// Those of [`W4Product`].
pub fn enqueue(product: &W4Product<'_>, device: &CudaDevice, scratch: Region<'_>) -> Result<()> {
    if let Some(rule) = rule(product.w, product.m, product.dtype) {
        return Err(product.refused("multiplying (gemv)", device, rule));
    }
    let mut args = kernel_args(product)?;
    if product.m == 0 {
        return Ok(());
    }
    let plan = plan(device.limits(), &Size::new(product.w, product.m));
    args.units = plan.units as u32;
    args.tiles_per_split = plan.tiles_per_split as u32;
    args.splits = plan.splits as u32;
    args.sums_offset = plan.sums_offset as u32;
    args.map_offset = plan.map_offset as u32;
    let (kernel, sum) = kernels_of(product);
    let shared_bytes = plan.shared_bytes as u32;
    if plan.splits == 1 {
        // SAFETY: `w` holds what its arguments describe, the regions hold x, bias and y.
        return unsafe { device.launch(kernel, plan.grid, shared_bytes, &args) };
    }
    let bytes = plan.partial_bytes(product.w, product.m);
    args.partials = scratch.holds("scratch memory", bytes, "partial sums")?;
    let sum_grid = blocks((product.m * product.w.shape().n()).div_ceil(32 * WARPS))?;
    // SAFETY: as above, and the scratch memory has room for the partial sums.
    unsafe {
        device.launch(kernel, plan.grid, shared_bytes, &args)?;
        device.launch(sum, sum_grid, 0, &args)
    }
}

/// The arguments that do not depend on the plan, when the regions hold what the sizes say.
fn kernel_args(product: &W4Product<'_>) -> Result<GemvW4Args> {
    let Addresses { x, bias, y, x_is_aligned } = product.addresses()?;
    Ok(GemvW4Args {
        w: product.w.args(),
        x,
        bias,
        y,
        partials: 0,
        m: product.m as u32,
        units: 0,
        tiles_per_split: 0,
        splits: 1,
        x_is_aligned,
        x_offset: TABLE_BYTES as u32,
        sums_offset: 0,
        map_offset: 0,
    })
}

/// The kernel, and the one that adds up the splits of K.
fn kernels_of(product: &W4Product<'_>) -> (&'static Kernel, &'static Kernel) {
    let (table, sum) = match product.dtype {
        Dtype::Bf16 => (&BF16, &kernels::GEMV_W4_BF16_SUM),
        _ => (&F16, &kernels::GEMV_W4_F16_SUM),
    };
    let scales = match (product.w.is_nested(), product.w.has_zeros()) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    };
    (table[scales][groups_per_tile(product.w.order()) - 1][usize::from(product.m > 8)], sum)
}

/// [scales: f32, nested, with zero points][groups in a tile][M: to 8, to 16].
type Table = [[[&'static Kernel; 2]; 2]; 3];

const F16: Table = [
    [
        [&kernels::GEMV_W4_F16_M8, &kernels::GEMV_W4_F16_M16],
        [&kernels::GEMV_W4_F16_G32_M8, &kernels::GEMV_W4_F16_G32_M16],
    ],
    [
        [&kernels::GEMV_W4_F16_NESTED_M8, &kernels::GEMV_W4_F16_NESTED_M16],
        [&kernels::GEMV_W4_F16_NESTED_G32_M8, &kernels::GEMV_W4_F16_NESTED_G32_M16],
    ],
    [
        [&kernels::GEMV_W4_F16_ZEROS_M8, &kernels::GEMV_W4_F16_ZEROS_M16],
        [&kernels::GEMV_W4_F16_ZEROS_G32_M8, &kernels::GEMV_W4_F16_ZEROS_G32_M16],
    ],
];

const BF16: Table = [
    [
        [&kernels::GEMV_W4_BF16_M8, &kernels::GEMV_W4_BF16_M16],
        [&kernels::GEMV_W4_BF16_G32_M8, &kernels::GEMV_W4_BF16_G32_M16],
    ],
    [
        [&kernels::GEMV_W4_BF16_NESTED_M8, &kernels::GEMV_W4_BF16_NESTED_M16],
        [&kernels::GEMV_W4_BF16_NESTED_G32_M8, &kernels::GEMV_W4_BF16_NESTED_G32_M16],
    ],
    [
        [&kernels::GEMV_W4_BF16_ZEROS_M8, &kernels::GEMV_W4_BF16_ZEROS_M16],
        [&kernels::GEMV_W4_BF16_ZEROS_G32_M8, &kernels::GEMV_W4_BF16_ZEROS_G32_M16],
    ],
];

fn groups_per_tile(order: ScaleOrder) -> usize {
    if matches!(order, ScaleOrder::Tiled { group_len: 32, .. }) { 2 } else { 1 }
}

/// What a plan depends on.
#[derive(Clone, Copy, Debug)]
struct Size {
    m: usize,
    units: usize,
    k_tiles: usize,
    groups_per_tile: usize,
    has_zeros: bool,
    is_nested: bool,
}

/// How a product is spread over blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    /// Blocks, parts of K.
    grid: [u32; 3],
    units: usize,
    splits: usize,
    tiles_per_split: usize,
    sums_offset: usize,
    map_offset: usize,
    shared_bytes: usize,
}

impl Plan {
    /// Bytes of the partial sums, where K is cut.
    fn partial_bytes(&self, w: &W4, m: usize) -> usize {
        if self.splits == 1 { 0 } else { self.splits * m * w.shape().n() * size_of::<f32>() }
    }
}

impl Size {
    fn new(w: &W4, m: usize) -> Self {
        let tiles = w.tiles();
        Self {
            m,
            units: tiles.row_tiles().div_ceil(UNIT_TILES),
            k_tiles: tiles.k_tiles(),
            groups_per_tile: groups_per_tile(w.order()),
            has_zeros: w.has_zeros(),
            is_nested: w.is_nested(),
        }
    }

    /// Shared memory for each tile of K that a block has: x, and its sums.
    fn bytes_per_tile(&self) -> usize {
        let sums =
            if self.has_zeros { self.groups_per_tile * self.m.next_multiple_of(8) * size_of::<f32>() } else { 0 };
        self.m * TILE_COLS * 2 + sums
    }

    fn map_bytes(&self) -> usize {
        if self.is_nested { MAP_BYTES } else { 0 }
    }
}

/// Chooses the parts of K. A block stays on its multiprocessor and holds all of its part of x, which asks for parts at all;
/// more of them pay where units do not come out even over the multiprocessors. Counted is what the busiest block reads.
fn plan(limits: &Limits, size: &Size) -> Plan {
    let sms = limits.num_sms as usize;
    let room = limits.shared_bytes_per_block as usize - TABLE_BYTES - size.map_bytes();
    let fewest = size.k_tiles.div_ceil((room / size.bytes_per_tile()).max(1));
    // Every warp is to have a tile.
    let most = (size.k_tiles / WARPS).min(sms).clamp(fewest, MAX_SPLITS.max(fewest));
    let cost = |splits: usize| {
        let rounds = size.units.div_ceil((sms / splits).max(1));
        let second_pass = if splits > 1 { SECOND_PASS_TILES } else { 0 };
        rounds * size.k_tiles.div_ceil(splits) + second_pass
    };
    let splits = (fewest..=most).min_by_key(|&splits| (cost(splits), splits)).unwrap_or(fewest);
    let tiles_per_split = size.k_tiles.div_ceil(splits);
    // Rounding up may have left the last parts empty.
    let splits = size.k_tiles.div_ceil(tiles_per_split);
    let blocks = size.units.min((sms / splits).max(1));
    let sums_offset = TABLE_BYTES + tiles_per_split * size.m * TILE_COLS * 2;
    let map_offset = TABLE_BYTES + tiles_per_split * size.bytes_per_tile();
    Plan {
        grid: [blocks as u32, splits as u32, 1],
        units: size.units,
        splits,
        tiles_per_split,
        sums_offset,
        map_offset,
        shared_bytes: map_offset + size.map_bytes(),
    }
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
        let (units, k_tiles) = (n.div_ceil(32), k.div_ceil(64));
        Size { m, units, k_tiles, groups_per_tile: 1, has_zeros: false, is_nested: false }
    }

    #[test]
    fn every_plan_covers_k_and_fits_the_device() {
        let ks = [1, 64, 65, 1000, 4096, 8192, 11008, 14336, 28672, 57344, MAX_MAGIC_K];
        for &device in DEVICES {
            let limits = limits(device);
            for (n, k) in [1, 31, 1024, 4096, 14336, 57344, 1 << 20].into_iter().flat_map(|n| ks.map(|k| (n, k))) {
                for (m, hard) in [1, 2, 7, 8, 9, 16].into_iter().flat_map(|m| [(m, false), (m, true)]) {
                    let groups_per_tile = 1 + usize::from(hard);
                    let size = Size { groups_per_tile, has_zeros: hard, is_nested: hard, ..size(m, n, k) };
                    let plan = plan(&limits, &size);
                    let place = format!("sm_{} m {m} n {n} k {k}: {plan:?}", device.0);
                    assert!(plan.shared_bytes <= limits.shared_bytes_per_block as usize, "{place}");
                    assert!(plan.tiles_per_split * plan.splits >= size.k_tiles, "{place}");
                    assert!(plan.tiles_per_split * (plan.splits - 1) < size.k_tiles, "{place}");
                    assert!(plan.grid[0] >= 1 && plan.grid[0] as usize <= plan.units, "{place}");
                    assert!(plan.grid[1] <= 65535, "{place}");
                    assert!(plan.sums_offset.is_multiple_of(128) && plan.map_offset.is_multiple_of(4), "{place}");
                    assert!(plan.map_offset >= plan.sums_offset, "{place}");
                }
            }
        }
    }

    #[test]
    fn k_is_cut_where_units_do_not_come_out_even() {
        let h200 = limits((90, 132, 227));
        let grid = |m, n, k| plan(&h200, &size(m, n, k)).grid;
        // 256 units on 132 multiprocessors: two rounds, nearly full.
        assert_eq!(grid(1, 8192, 8192), [132, 1, 1]);
        assert_eq!(grid(1, 4096, 4096), [128, 1, 1]);
        // 160 units of 80 tiles: two rounds of 80, or five rounds of 20 on 33 multiprocessors for each quarter of K.
        assert_eq!(grid(1, 5120, 5120), [33, 4, 1]);
        // x does not fit: 16 rows of 28672 are 896 KB, 163 KB are free.
        assert!(grid(16, 8192, 28672)[1] >= 6);
    }
}
