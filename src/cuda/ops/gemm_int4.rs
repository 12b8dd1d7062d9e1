//! The product of activations rounded to 4 bits with a symmetric INT4 matrix: W4A4 on the 4-bit tensor cores of Ampere and
//! Ada.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::DequantInt4Args;
use crate::cuda::args::GemmInt4Args;
use crate::cuda::buffer::Region;
use crate::cuda::driver::Limits;
use crate::cuda::kernels;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::blocks;
use crate::cuda::ops::gemm_dense::aligned;
use crate::cuda::ops::gemm_dense::whole_fours;
use crate::cuda::ops::quantize_int4::PackedRows;
use crate::cuda::ops::s4;
use crate::cuda::ops::s4::S4;
use crate::cuda::ops::tiles;
use crate::cuda::ops::tiles::ProductSize;
use crate::cuda::ops::tiles::RowAccess;
use crate::cuda::ops::tiles::Tile;
use crate::cuda::ops::tiles::TilePlan;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::layout::s4_rows;
use crate::shape::MatShape;
use crate::values::Dtype;

/// y\[M,N\] = x · Wᵀ + bias, where x is rounded to rows of s4 codes and W is symmetric INT4.
///
/// Sums of codes are i32 and exact, over all of K or over each 128 columns of a group; they are scaled (and, by groups, added
/// up) in f32 in the CPU's order; y is rounded once. The instruction is native on compute capabilities 8.0 to 8.9 and
/// emulated elsewhere: see [`rule`].
#[derive(Clone, Copy, Debug)]
pub struct GemmInt4<'a> {
    /// x \[M, K\], rounded.
    pub x: &'a PackedRows<'a>,
    /// W \[N, K\].
    pub w: &'a S4,
    /// f32 \[N\].
    pub bias: Option<Region<'a>>,
    /// \[M, N\] of `dtype`.
    pub y: Region<'a>,
    /// Rows of x.
    pub m: usize,
    /// The type of y: f16 or bf16.
    pub dtype: Dtype,
}

/// Why activations of 4 bits are not multiplied with a matrix of `format` and `shape` on a device of these limits; `None`
/// when they are.
pub fn rule(limits: &Limits, format: Format, shape: MatShape) -> Option<String> {
    let capability = limits.capability;
    if !(80..90).contains(&capability) {
        return Some(format!(
            "4-bit matrix instructions exist on sm_80 to sm_89, not on sm_{capability}, whose way is W4A8: \
             int4_channel_group with int8 activations"
        ));
    }
    s4::rule(format, shape)
}

/// Bytes of scratch memory that [`GemmInt4::enqueue`] may want.
///
/// # Errors
/// [`Error::TooLarge`] when a side is beyond 31 bits.
pub fn scratch_bytes(limits: &Limits, size: ProductSize) -> Result<usize> {
    Ok(plan(limits, size)?.partial_bytes(size))
}

/// How the product is cut, K in bytes of a row: [`TilePlan::k_per_split`] too.
fn plan(limits: &Limits, size: ProductSize) -> Result<TilePlan> {
    let bytes = ProductSize { k: s4_rows::row_bytes(size.k), ..size };
    tiles::plan(limits, bytes, 1, RowAccess::Aligned)
}

/// The kernels of a type of y and a kind of scales.
struct Kernels {
    large: &'static Kernel,
    small: &'static Kernel,
    reduce: &'static Kernel,
}

const F16: Kernels = Kernels {
    large: &kernels::GEMM_INT4_F16,
    small: &kernels::GEMM_INT4_F16_SMALL,
    reduce: &kernels::GEMM_INT4_REDUCE_F16,
};

const F16_GROUP: Kernels = Kernels {
    large: &kernels::GEMM_INT4_F16_GROUP,
    small: &kernels::GEMM_INT4_F16_GROUP_SMALL,
    reduce: &kernels::GEMM_INT4_REDUCE_GROUP_F16,
};

const BF16: Kernels = Kernels {
    large: &kernels::GEMM_INT4_BF16,
    small: &kernels::GEMM_INT4_BF16_SMALL,
    reduce: &kernels::GEMM_INT4_REDUCE_BF16,
};

const BF16_GROUP: Kernels = Kernels {
    large: &kernels::GEMM_INT4_BF16_GROUP,
    small: &kernels::GEMM_INT4_BF16_GROUP_SMALL,
    reduce: &kernels::GEMM_INT4_REDUCE_GROUP_BF16,
};

impl GemmInt4<'_> {
    /// Enqueues the kernels, on a device without the instruction too. Nothing when M is 0. `scratch` has [`scratch_bytes`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] when `dtype` is f32; [`Error::Length`] when a region is too short; [`Error::Invalid`] when one
    /// is not aligned; [`Error::TooLarge`] when a side is beyond 31 bits; the driver's.
    pub fn enqueue(&self, device: &CudaDevice, scratch: Region<'_>) -> Result<()> {
        let kernels = match (self.dtype, self.w.is_grouped()) {
            (Dtype::F16, false) => F16,
            (Dtype::F16, true) => F16_GROUP,
            (Dtype::Bf16, false) => BF16,
            (Dtype::Bf16, true) => BF16_GROUP,
            (Dtype::F32, _) => {
                return Err(Error::Unsupported {
                    op: "multiplying by codes",
                    subject: "f32 activations".into(),
                    device: device.name().into(),
                    rule: "the kernel has f16 and bf16; dequantize, then multiply".into(),
                });
            }
        };
        let size = self.size();
        let plan = plan(device.limits(), size)?;
        if self.m == 0 {
            return Ok(());
        }
        let mut args = self.args()?;
        args.bytes_per_split = plan.k_per_split;
        args.splits = plan.splits;
        let kernel = if plan.tile == Tile::Large { kernels.large } else { kernels.small };
        let shared_bytes = plan.tile.shared_bytes();
        if plan.splits == 1 {
            // SAFETY: `args` has checked the regions; W and bias are there for the call, and freeing them is ordered behind it.
            return unsafe { device.launch(kernel, plan.grid, shared_bytes, &args) };
        }
        let scratch = scratch.holds("scratch memory", plan.partial_bytes(size), "splits of K x M x N sums")?;
        args.partials = aligned(scratch, "scratch memory", 16)?;
        let grid = tiles::row_parts(self.m, size.n)?;
        // SAFETY: as above, and the scratch memory has room for the partial sums.
        unsafe {
            device.launch(kernel, plan.grid, shared_bytes, &args)?;
            device.launch(kernels.reduce, grid, 0, &args)
        }
    }

    fn size(&self) -> ProductSize {
        ProductSize { m: self.m, n: self.w.shape().n(), k: self.w.shape().k() }
    }

    /// The arguments but for the plan's, when the regions hold what the sizes say.
    fn args(&self) -> Result<GemmInt4Args> {
        let ProductSize { m, n, k } = self.size();
        let row_bytes = s4_rows::row_bytes(k);
        let holds = |region: Region<'_>, what, bytes: usize, alignment: usize| {
            let rule = format!("M = {m}, N = {n}, K = {k}, y of {}", self.dtype);
            aligned(region.holds(what, bytes, &rule)?, what, alignment)
        };
        let y = holds(self.y, "y", m * n * self.dtype.size_bytes(), self.dtype.size_bytes())?;
        Ok(GemmInt4Args {
            x: holds(self.x.codes, "codes of x", m * row_bytes, 16)?,
            w: self.w.codes().ptr(),
            x_absmax: holds(self.x.absmax, "absmax of x", 4 * m, 4)?,
            w_scales: self.w.scales().ptr(),
            bias: self.bias.map_or(Ok(0), |bias| holds(bias, "bias", 4 * n, 4))?,
            y,
            partials: 0,
            m: m as u32,
            n: n as u32,
            row_bytes: row_bytes as u32,
            bytes_per_split: row_bytes as u32,
            splits: 1,
            whole_fours: whole_fours(y, n, self.dtype),
        })
    }
}

/// Writes every value of `w`, computed in f32 and rounded once to `dtype`, to `out` [N, K].
///
/// # Errors
/// [`Error::Length`] when `out` is too short, [`Error::Invalid`] when it does not begin at a multiple of 16 bytes;
/// [`Error::TooLarge`] when a side is beyond 31 bits; the driver's.
pub fn dequantize(device: &CudaDevice, w: &S4, dtype: Dtype, out: Region<'_>) -> Result<()> {
    let (n, k) = (w.shape().n(), w.shape().k());
    let row_bytes = s4_rows::row_bytes(k);
    tiles::check_size(ProductSize { m: 0, n, k: row_bytes }, 1)?;
    let out = out.holds("output", n * k * dtype.size_bytes(), &format!("{dtype}, shape {}", w.shape()))?;
    let args = DequantInt4Args {
        w: w.codes().ptr(),
        w_scales: w.scales().ptr(),
        out: aligned(out, "output", 16)?,
        n: n as u32,
        k: k as u32,
        row_bytes: row_bytes as u32,
        is_grouped: w.is_grouped().into(),
    };
    let kernel = match dtype {
        Dtype::F32 => &kernels::DEQUANT_INT4_F32,
        Dtype::F16 => &kernels::DEQUANT_INT4_F16,
        Dtype::Bf16 => &kernels::DEQUANT_INT4_BF16,
    };
    // A thread has the eight codes of a word.
    let grid = blocks((n * (row_bytes / 4)).div_ceil(kernel.threads as usize))?;
    // SAFETY: `w` holds the arrays of its shape and lives until the launch is enqueued, after which freeing is ordered
    // behind it; `out` holds all values.
    unsafe { device.launch(kernel, grid, 0, &args) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Symmetry;
    use crate::shape::Granularity;

    fn limits(capability: u32, num_sms: u32, shared_kb: u32) -> Limits {
        Limits {
            name: "test".into(),
            capability,
            num_sms,
            shared_bytes_per_block: shared_kb << 10,
            shared_bytes_per_sm: (shared_kb + 1) << 10,
            threads_per_sm: 1536,
            l2_bytes: 32 << 20,
            memory_bytes: 24 << 30,
        }
    }

    const DEVICES: [(u32, u32, u32); 5] = [(80, 108, 163), (86, 84, 99), (89, 128, 99), (90, 132, 227), (120, 170, 99)];

    #[test]
    fn only_ampere_and_ada_have_the_instruction() {
        let format = Format::Int4 { granularity: Granularity::PerRow, symmetry: Symmetry::Symmetric };
        let shape = MatShape::new(4096, 4096).unwrap();
        for (capability, sms, shared) in DEVICES {
            let rule = rule(&limits(capability, sms, shared), format, shape);
            assert_eq!(rule.is_none(), capability < 90, "sm_{capability}");
            let names_the_other = |rule: String| rule.contains("int4_channel_group with int8 activations");
            assert!(rule.is_none_or(names_the_other), "sm_{capability}");
        }
    }

    #[test]
    fn parts_of_k_are_whole_groups_and_cover_every_row() {
        for (capability, sms, shared) in DEVICES {
            let limits = limits(capability, sms, shared);
            for m in [1, 16, 64, 65, 4096, 1 << 20] {
                for (n, k) in [(1, 1), (64, 127), (4096, 4096), (28_672, 8192), (1000, 100_001)] {
                    let plan = plan(&limits, ProductSize { m, n, k }).unwrap();
                    let case = format!("sm_{capability} {m} {n} {k} {plan:?}");
                    assert_eq!(2 * plan.k_per_split as usize % s4::GROUP_COLUMNS, 0, "{case}");
                    assert!(plan.splits as usize * plan.k_per_split as usize >= s4_rows::row_bytes(k), "{case}");
                    assert!(plan.tile.shared_bytes() <= limits.shared_bytes_per_block, "{case}");
                    assert!(plan.grid[2] <= 65_535, "{case}");
                }
            }
        }
    }
}
