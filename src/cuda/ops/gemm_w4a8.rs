//! The product of int8 activations with an `int4_channel_group` matrix: W4A8 on tensor cores.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::GemmInt8Args;
use crate::cuda::buffer::Region;
use crate::cuda::driver::Limits;
use crate::cuda::kernels;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::gemm_dense::aligned;
use crate::cuda::ops::gemm_dense::whole_fours;
use crate::cuda::ops::gemm_int8::code_rows;
use crate::cuda::ops::quantize_int8::QuantizedRows;
use crate::cuda::ops::quantize_int8::QuantizedSize;
use crate::cuda::ops::tiles;
use crate::cuda::ops::tiles::ProductSize;
use crate::cuda::ops::tiles::RowAccess;
use crate::cuda::ops::w4a8::W4A8;
use crate::cuda::ops::w8::CodeOrder;
use crate::error::Error;
use crate::error::Result;
use crate::formats::int4_channel_group::ZERO_POINT;
use crate::layout::mma_w4a8::UNIT_BYTES;
use crate::layout::mma_w4a8::UNIT_COLS;
use crate::layout::mma_w4a8::UNIT_ROWS;
use crate::values::Dtype;

/// y\[M,N\] = x · Wᵀ + bias, where x is rounded to rows of i8 codes without outliers and W is `int4_channel_group`.
///
/// Sums of codes are i32 over all of K and exact; scales are multiplied in f32 in the CPU's order; y is rounded once.
#[derive(Clone, Copy, Debug)]
pub struct GemmW4A8<'a> {
    /// x \[M, K\], rounded.
    pub x: &'a QuantizedRows<'a>,
    /// The largest code of x: 127, or 7.
    pub max_code: u8,
    /// W \[N, K\].
    pub w: &'a W4A8,
    /// f32 \[N\].
    pub bias: Option<Region<'a>>,
    /// \[M, N\] of `dtype`.
    pub y: Region<'a>,
    /// Rows of x.
    pub m: usize,
    /// The type of y: f16 or bf16.
    pub dtype: Dtype,
}

/// Rows of W that a block takes: four warps of a unit each.
const BLOCK_ROWS: usize = 4 * UNIT_ROWS;

/// Stages of K that a block must have at least: more than the deepest pipeline.
const MIN_STAGES: usize = 8;

/// Parts of K at most: the second kernel reads each of them.
const MAX_SPLITS: usize = 16;

/// Rows of x that a block takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tokens {
    T16,
    T32,
    T64,
    T128,
}

impl Tokens {
    fn rows(self) -> usize {
        match self {
            Self::T16 => 16,
            Self::T32 => 32,
            Self::T64 => 64,
            Self::T128 => 128,
        }
    }

    /// Stages of the pipeline: kStages of the kernel.
    fn stages(self) -> usize {
        match self {
            Self::T16 => 6,
            Self::T32 => 5,
            Self::T64 | Self::T128 => 3,
        }
    }

    /// Shared memory of the stages: 64 columns of x and of the units of W.
    fn shared_bytes(self) -> u32 {
        (self.stages() * (self.rows() * UNIT_COLS + BLOCK_ROWS / UNIT_ROWS * UNIT_BYTES)) as u32
    }

    /// Blocks that are to be resident on a multiprocessor: what its registers and the 100 KB of sm_86, sm_89 and sm_120 allow.
    fn blocks_per_sm(self) -> usize {
        match self {
            Self::T128 => 2,
            Self::T16 | Self::T32 | Self::T64 => 3,
        }
    }

    fn tiles(self, size: ProductSize) -> usize {
        size.m.div_ceil(self.rows()).saturating_mul(size.n.div_ceil(BLOCK_ROWS))
    }
}

/// How a product is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    tokens: Tokens,
    /// Tiles in x, parts of K in z.
    grid: [u32; 3],
    /// Columns of K in a part: whole groups.
    k_per_split: u32,
    splits: u32,
}

impl Plan {
    /// The fewest rows of x that hold M; 128 where such blocks fill the device, 64 where they would not. Where multiprocessors
    /// would be idle, K in as many parts as fill them.
    fn new(limits: &Limits, size: ProductSize, access: RowAccess) -> Result<Self> {
        tiles::check_size(size, 1)?;
        let sms = limits.num_sms as usize;
        let tokens = match (access, size.m) {
            (RowAccess::Unaligned, _) => Tokens::T64,
            (RowAccess::Aligned, ..=16) => Tokens::T16,
            (RowAccess::Aligned, ..=32) => Tokens::T32,
            (RowAccess::Aligned, 65..) if Tokens::T128.tiles(size) >= sms => Tokens::T128,
            (RowAccess::Aligned, _) => Tokens::T64,
        };
        let tiles = tokens.tiles(size);
        let too_large = || Error::TooLarge { what: "product", shape: vec![size.m, size.n] };
        let grid_x = u32::try_from(tiles).ok().filter(|&tiles| tiles < 1 << 31).ok_or_else(too_large)?;
        let stages = size.k.div_ceil(UNIT_COLS);
        let wanted = if (1..sms).contains(&tiles) { tokens.blocks_per_sm() * sms / tiles } else { 1 };
        let splits = wanted.min(stages / MIN_STAGES).clamp(1, MAX_SPLITS);
        let k_per_split = stages.div_ceil(splits) * UNIT_COLS;
        let splits = size.k.div_ceil(k_per_split) as u32;
        Ok(Self { tokens, grid: [grid_x, 1, splits], k_per_split: k_per_split as u32, splits })
    }

    fn partial_bytes(&self, size: ProductSize) -> usize {
        if self.splits == 1 { 0 } else { self.splits as usize * size.m * size.n * size_of::<i32>() }
    }
}

/// Bytes of scratch memory that [`GemmW4A8::enqueue`] may want.
///
/// # Errors
/// [`Error::TooLarge`] when a side is beyond 31 bits.
pub fn scratch_bytes(limits: &Limits, size: ProductSize) -> Result<usize> {
    let of = |access| Plan::new(limits, size, access).map(|plan| plan.partial_bytes(size));
    Ok(of(RowAccess::Aligned)?.max(of(RowAccess::Unaligned)?))
}

/// The kernels of a type of y.
struct Kernels {
    t16: &'static Kernel,
    t32: &'static Kernel,
    t64: &'static Kernel,
    t128: &'static Kernel,
    unaligned: &'static Kernel,
}

const F16: Kernels = Kernels {
    t16: &kernels::GEMM_W4A8_F16_M16,
    t32: &kernels::GEMM_W4A8_F16_M32,
    t64: &kernels::GEMM_W4A8_F16_M64,
    t128: &kernels::GEMM_W4A8_F16,
    unaligned: &kernels::GEMM_W4A8_F16_UNALIGNED,
};

const BF16: Kernels = Kernels {
    t16: &kernels::GEMM_W4A8_BF16_M16,
    t32: &kernels::GEMM_W4A8_BF16_M32,
    t64: &kernels::GEMM_W4A8_BF16_M64,
    t128: &kernels::GEMM_W4A8_BF16,
    unaligned: &kernels::GEMM_W4A8_BF16_UNALIGNED,
};

/// Why the kernels cannot multiply x of `dtype` with outliers from `threshold` on; `None` when they can.
pub fn rule(dtype: Dtype, threshold: f32) -> Option<String> {
    if threshold > 0.0 {
        return Some(format!("the threshold {threshold} must be 0: W4A8 has no outlier columns"));
    }
    (dtype == Dtype::F32).then(|| "its kernels write f16 and bf16".into())
}

impl GemmW4A8<'_> {
    /// Enqueues the kernels. Nothing when M is 0. `scratch` has [`scratch_bytes`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] when `dtype` is f32, x has outliers, or K is so long that sums in 32 bits may overflow;
    /// [`Error::Length`] when a region is too short; [`Error::Invalid`] when one is not aligned to its elements;
    /// [`Error::TooLarge`] when a side is beyond 31 bits; the driver's.
    pub fn enqueue(&self, device: &CudaDevice, scratch: Region<'_>) -> Result<()> {
        self.check(device, CodeOrder::Rows)?;
        let kernels = if self.dtype == Dtype::Bf16 { BF16 } else { F16 };
        let size = self.size();
        tiles::check_size(size, 1)?;
        if self.m == 0 {
            return Ok(());
        }
        let mut args = self.args(CodeOrder::Rows)?;
        let access = RowAccess::of(&[args.x], size.k);
        let plan = Plan::new(device.limits(), size, access)?;
        let kernel = match (access, plan.tokens) {
            (RowAccess::Unaligned, _) => kernels.unaligned,
            (RowAccess::Aligned, Tokens::T16) => kernels.t16,
            (RowAccess::Aligned, Tokens::T32) => kernels.t32,
            (RowAccess::Aligned, Tokens::T64) => kernels.t64,
            (RowAccess::Aligned, Tokens::T128) => kernels.t128,
        };
        (args.k_per_split, args.splits) = (plan.k_per_split, plan.splits);
        let shared_bytes = plan.tokens.shared_bytes();
        if plan.splits == 1 {
            // SAFETY: `args` has checked the regions; W and bias are there for the call, and freeing them is ordered behind it.
            return unsafe { device.launch(kernel, plan.grid, shared_bytes, &args) };
        }
        let scratch = scratch.holds("scratch memory", plan.partial_bytes(size), "splits of K x M x N sums")?;
        args.partials = aligned(scratch, "scratch memory", 16)?;
        // SAFETY: as above, and the scratch memory has room for the partial sums.
        unsafe { device.launch(kernel, plan.grid, shared_bytes, &args)? };
        self.reduce(device, &args)
    }

    /// Adds up the parts of K, which are enqueued before: as those of [`gemm_int8`](crate::cuda::ops::gemm_int8).
    pub(super) fn reduce(&self, device: &CudaDevice, args: &GemmInt8Args) -> Result<()> {
        let kernel = match self.dtype {
            Dtype::Bf16 => &kernels::GEMM_INT8_REDUCE_BF16,
            _ => &kernels::GEMM_INT8_REDUCE_F16,
        };
        let grid = tiles::row_parts(self.m, self.size().n)?;
        // SAFETY: `args` is what the parts were enqueued with.
        unsafe { device.launch(kernel, grid, 0, args) }
    }

    pub(super) fn size(&self) -> ProductSize {
        ProductSize { m: self.m, n: self.w.shape().n(), k: self.w.shape().k() }
    }

    /// Whether there is a kernel for this product, x being in `order`.
    pub(super) fn check(&self, device: &CudaDevice, order: CodeOrder) -> Result<()> {
        let refuse = |rule: String| Error::Unsupported {
            op: "multiplying by codes",
            subject: format!("int4_channel_group {} and {}", self.w.shape(), self.dtype),
            device: device.name().into(),
            rule,
        };
        let most = (1usize << 31) / (usize::from(ZERO_POINT) * usize::from(self.max_code));
        let k = self.w.shape().k();
        if k > most {
            return Err(refuse(format!("K = {k} is above {most}, where sums in 32 bits may overflow")));
        }
        if self.x.order != order {
            return Err(refuse(format!("the kernel takes codes of x in {order:?}, not in {:?}", self.x.order)));
        }
        if self.x.outliers.is_some() {
            return Err(refuse("the kernel has no outlier columns; dequantize, then multiply".into()));
        }
        match self.dtype {
            Dtype::F16 | Dtype::Bf16 => Ok(()),
            Dtype::F32 => Err(refuse("the kernel has f16 and bf16; dequantize, then multiply".into())),
        }
    }

    /// The arguments but for the plan's, when the regions hold what the sizes say, x being in `order`.
    pub(super) fn args(&self, order: CodeOrder) -> Result<GemmInt8Args> {
        let ProductSize { m, n, k } = self.size();
        let holds = |region: Region<'_>, what, count: usize, size: usize| {
            let rule = format!("M = {m}, N = {n}, K = {k}, values of {size} bytes");
            aligned(region.holds(what, count * size, &rule)?, what, size)
        };
        let rows = QuantizedSize { m, k, n, dtype: self.dtype, has_outliers: false, order };
        let y = holds(self.y, "y", m * n, self.dtype.size_bytes())?;
        Ok(GemmInt8Args {
            x: code_rows(holds(self.x.codes, "codes of x", rows.bytes()[0], 1)?, order)?,
            w: self.w.codes().ptr(),
            x_absmax: holds(self.x.absmax, "absmax of x", m, 4)?,
            x_sums: holds(self.x.sums, "sums of codes", m, 4)?,
            w_scales: self.w.scales().ptr(),
            w_zero_points: 0,
            bias: self.bias.map_or(Ok(0), |bias| holds(bias, "bias", n, 4))?,
            y,
            partials: 0,
            outlier_sums: 0,
            outlier_count: 0,
            outlier_x: 0,
            outlier_w: 0,
            m: m as u32,
            n: n as u32,
            k: k as u32,
            k_per_split: k as u32,
            splits: 1,
            whole_fours: whole_fours(y, n, self.dtype),
            outlier_ld: 0,
            zero_point: ZERO_POINT.into(),
            scale_per_row: 1,
            factor: 1.0 / f32::from(self.max_code),
        })
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
        let sizes = [1, 2, 16, 17, 32, 33, 64, 65, 128, 129, 1000, 4096, 28672, 1 << 20];
        for device in DEVICES {
            let limits = limits(device);
            for (m, n, access) in sizes
                .iter()
                .flat_map(|&m| sizes.iter().map(move |&n| (m, n)))
                .flat_map(|(m, n)| [(m, n, RowAccess::Aligned), (m, n, RowAccess::Unaligned)])
            {
                let size = ProductSize { m, n, k: (m * 31 + n * 7) % 9000 + 1 };
                let plan = Plan::new(&limits, size, access).unwrap();
                let case = format!("{device:?} {size:?} {plan:?}");
                assert_eq!(plan.grid[0] as usize, m.div_ceil(plan.tokens.rows()) * n.div_ceil(128), "{case}");
                assert_eq!(plan.grid[1..], [1, plan.splits], "{case}");
                assert_eq!(plan.k_per_split as usize % UNIT_COLS, 0, "{case}");
                assert_eq!(size.k.div_ceil(plan.k_per_split as usize), plan.splits as usize, "{case}");
                assert!(plan.tokens.shared_bytes() <= 48 << 10, "{case}");
            }
        }
    }

    #[test]
    fn resident_blocks_fit_the_smallest_multiprocessor() {
        for tokens in [Tokens::T16, Tokens::T32, Tokens::T64, Tokens::T128] {
            // A kilobyte of each block is the system's.
            assert!(tokens.blocks_per_sm() as u32 * (tokens.shared_bytes() + 1024) <= 100 << 10, "{tokens:?}");
        }
    }

    #[test]
    fn few_rows_take_small_blocks_and_parts_of_k() {
        let h200 = limits(DEVICES[3]);
        let plan = |m, n, k| {
            let plan = Plan::new(&h200, ProductSize { m, n, k }, RowAccess::Aligned).unwrap();
            (plan.tokens, plan.splits)
        };
        // 32 blocks for 132 multiprocessors: 12 parts would fill them, and each has 8 stages of the 64 at least.
        assert_eq!(plan(1, 4096, 4096), (Tokens::T16, 8));
        assert_eq!(plan(17, 8192, 8192), (Tokens::T32, 6));
        assert_eq!(plan(64, 28672, 4096), (Tokens::T64, 1));
        assert_eq!(plan(128, 4096, 4096), (Tokens::T64, 6));
        assert_eq!(plan(1024, 8192, 8192), (Tokens::T128, 1));
        assert_eq!(plan(1, 128, 64), (Tokens::T16, 1));
    }
}
