//! The product of rounded activations with an 8-bit matrix: LLM.int8() and W8A8 on tensor cores.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::GemmInt8Args;
use crate::cuda::buffer::Region;
use crate::cuda::driver::Limits;
use crate::cuda::kernels;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::gemm_dense::aligned;
use crate::cuda::ops::gemm_dense::whole_fours;
use crate::cuda::ops::quantize_int8::QuantizedRows;
use crate::cuda::ops::quantize_int8::QuantizedSize;
use crate::cuda::ops::quantize_int8::leading_dimension;
use crate::cuda::ops::tiles;
use crate::cuda::ops::tiles::ProductSize;
use crate::cuda::ops::tiles::RowAccess;
use crate::cuda::ops::tiles::Tile;
use crate::cuda::ops::tiles::TilePlan;
use crate::cuda::ops::w8::CodeOrder;
use crate::cuda::ops::w8::W8;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::Symmetry;
use crate::shape::Granularity;
use crate::shape::MatShape;
use crate::values::Dtype;

/// y\[M,N\] = x · Wᵀ + bias, where x is rounded to rows of i8 codes and W is INT8 or affine INT8 with a scale per row or tensor.
///
/// Sums of codes are i32 and exact; scales are multiplied in f32 in the CPU's order; outlier columns are added in f32 from
/// values of `dtype`; y is rounded once.
#[derive(Clone, Copy, Debug)]
pub struct GemmInt8<'a> {
    /// x \[M, K\], rounded; its outliers, if any, with those of `w` and in the type of y.
    pub x: &'a QuantizedRows<'a>,
    /// The largest code of x: 127, or 7.
    pub max_code: u8,
    /// W \[N, K\].
    pub w: &'a W8,
    /// f32 \[N\].
    pub bias: Option<Region<'a>>,
    /// \[M, N\] of `dtype`.
    pub y: Region<'a>,
    /// Rows of x.
    pub m: usize,
    /// The type of y: f16 or bf16.
    pub dtype: Dtype,
}

/// Whether `format` of `shape` can be multiplied with codes of at most `max_code` on `device`.
///
/// # Errors
/// [`Error::Unsupported`] for any format but INT8 and affine INT8, for a scale per group, and for K where 32 bits may overflow.
pub fn check(device: &CudaDevice, format: Format, shape: MatShape, max_code: u8) -> Result<()> {
    let refuse = |subject: String, rule: String| Err(unsupported(device, subject, &rule));
    let (granularity, largest) = match format {
        Format::Int8 { granularity } => (granularity, 127),
        Format::AffineInt8 { granularity, symmetry: Symmetry::Symmetric } => (granularity, 128),
        Format::AffineInt8 { granularity, symmetry: Symmetry::Asymmetric } => (granularity, 255),
        _ => {
            let rule = "the kernel takes int8 and affine int8; dequantize, then multiply";
            return refuse(format.to_string(), rule.into());
        }
    };
    if let Granularity::PerGroup(_) = granularity {
        let rule = "the kernel takes a scale per row or tensor; dequantize, then multiply";
        return refuse(format.to_string(), rule.into());
    }
    let most = (1usize << 31) / (largest * usize::from(max_code));
    if shape.k() > most {
        let rule = format!("K = {} is above {most}, where sums in 32 bits may overflow", shape.k());
        return refuse(format!("{format} {shape}"), rule);
    }
    Ok(())
}

pub(super) fn unsupported(device: &CudaDevice, subject: String, rule: &str) -> Error {
    Error::Unsupported { op: "multiplying by codes", subject, device: device.name().into(), rule: rule.into() }
}

pub(super) fn no_f32(device: &CudaDevice) -> Error {
    unsupported(device, "f32 activations".into(), "the kernel has f16 and bf16; dequantize, then multiply")
}

/// Bytes of scratch memory that [`GemmInt8::enqueue`] may want.
///
/// # Errors
/// [`Error::TooLarge`] when a side is beyond 31 bits.
pub fn scratch_bytes(limits: &Limits, size: ProductSize) -> Result<usize> {
    // Beside the partial sums, a plane for those of the outliers.
    let partial = tiles::partial_bytes(limits, size, 1)?;
    Ok(if partial == 0 { 0 } else { partial + plane_bytes(size) })
}

/// Bytes of a plane of 32-bit sums.
pub(super) fn plane_bytes(size: ProductSize) -> usize {
    size.m * size.n * size_of::<f32>()
}

/// The kernels of a type of y.
struct Kernels {
    large: &'static Kernel,
    small: &'static Kernel,
    unaligned: &'static Kernel,
    affine: &'static Kernel,
    affine_unaligned: &'static Kernel,
    reduce: &'static Kernel,
}

const F16: Kernels = Kernels {
    large: &kernels::GEMM_INT8_F16,
    small: &kernels::GEMM_INT8_F16_SMALL,
    unaligned: &kernels::GEMM_INT8_F16_UNALIGNED,
    affine: &kernels::GEMM_INT8_F16_AFFINE,
    affine_unaligned: &kernels::GEMM_INT8_F16_AFFINE_UNALIGNED,
    reduce: &kernels::GEMM_INT8_REDUCE_F16,
};

const BF16: Kernels = Kernels {
    large: &kernels::GEMM_INT8_BF16,
    small: &kernels::GEMM_INT8_BF16_SMALL,
    unaligned: &kernels::GEMM_INT8_BF16_UNALIGNED,
    affine: &kernels::GEMM_INT8_BF16_AFFINE,
    affine_unaligned: &kernels::GEMM_INT8_BF16_AFFINE_UNALIGNED,
    reduce: &kernels::GEMM_INT8_REDUCE_BF16,
};

impl GemmInt8<'_> {
    /// Enqueues the kernels, by mma: x and W are row-major. Nothing when M is 0. `scratch` has [`scratch_bytes`].
    ///
    /// # Errors
    /// Those of [`check`]; [`Error::Unsupported`] when `dtype` is f32 or codes are in tiles; [`Error::Length`] when a region is too short;
    /// [`Error::Invalid`] when one is not aligned to its elements; [`Error::TooLarge`] when a side is beyond 31 bits; the
    /// driver's.
    pub fn enqueue(&self, device: &CudaDevice, scratch: Region<'_>) -> Result<()> {
        check(device, self.w.format(), self.w.shape(), self.max_code)?;
        let kernels = match self.dtype {
            Dtype::F16 => F16,
            Dtype::Bf16 => BF16,
            Dtype::F32 => return Err(no_f32(device)),
        };
        let size = self.size();
        tiles::check_size(size, 1)?;
        if self.m == 0 {
            return Ok(());
        }
        let mut args = self.args(device, CodeOrder::Rows)?;
        let access = RowAccess::of(&[args.x, args.w], size.k);
        let is_affine = matches!(self.w.format(), Format::AffineInt8 { .. });
        // There is no large tile of affine codes: that one is for rows that can be copied whole.
        let plan = match is_affine {
            true => tiles::plan(device.limits(), size, 1, RowAccess::Unaligned)?,
            false => tiles::plan(device.limits(), size, 1, access)?,
        };
        let kernel = match (is_affine, access, plan.tile) {
            (true, RowAccess::Aligned, _) => kernels.affine,
            (true, RowAccess::Unaligned, _) => kernels.affine_unaligned,
            (false, RowAccess::Unaligned, _) => kernels.unaligned,
            (false, RowAccess::Aligned, Tile::Small) => kernels.small,
            (false, RowAccess::Aligned, Tile::Large) => kernels.large,
        };
        args.k_per_split = plan.k_per_split;
        args.splits = plan.splits;
        self.launch(device, kernel, &plan, args, scratch)
    }

    fn launch(
        &self,
        device: &CudaDevice,
        kernel: &'static Kernel,
        plan: &TilePlan,
        mut args: GemmInt8Args,
        scratch: Region<'_>,
    ) -> Result<()> {
        let shared_bytes = plan.tile.shared_bytes();
        if plan.splits == 1 {
            // SAFETY: `args` has checked the regions; W and bias are there for the call, and freeing them is ordered behind it.
            return unsafe { device.launch(kernel, plan.grid, shared_bytes, &args) };
        }
        let partials = plan.partial_bytes(self.size());
        let bytes = partials + plane_bytes(self.size());
        let scratch = scratch.holds("scratch memory", bytes, "(splits of K + 1) x M x N sums")?;
        args.partials = aligned(scratch, "scratch memory", 16)?;
        args.outlier_sums = args.partials + partials as u64;
        // SAFETY: as above, and the scratch memory has room for the partial sums and those of the outliers.
        unsafe { device.launch(kernel, plan.grid, shared_bytes, &args)? };
        self.reduce(device, &args)
    }

    /// Adds up the parts of K, which are enqueued before.
    pub(super) fn reduce(&self, device: &CudaDevice, args: &GemmInt8Args) -> Result<()> {
        let kernel = match self.dtype {
            Dtype::Bf16 => BF16.reduce,
            _ => F16.reduce,
        };
        let grid = tiles::row_parts(self.m, self.size().n)?;
        // SAFETY: `args` is what the parts were enqueued with.
        unsafe { device.launch(kernel, grid, 0, args) }
    }

    pub(super) fn size(&self) -> ProductSize {
        ProductSize { m: self.m, n: self.w.shape().n(), k: self.w.shape().k() }
    }

    /// The arguments but for the plan's, when the codes are in `order` and the regions hold what the sizes say.
    pub(super) fn args(&self, device: &CudaDevice, order: CodeOrder) -> Result<GemmInt8Args> {
        if [self.x.order, self.w.order()] != [order; 2] {
            let subject = format!("x in {:?} and W in {:?}", self.x.order, self.w.order());
            return Err(unsupported(device, subject, &format!("the kernel takes both in {order:?}")));
        }
        let ProductSize { m, n, k } = self.size();
        let bytes = self.dtype.size_bytes();
        let ld = leading_dimension(k);
        let format = self.w.format();
        let holds = |region: Region<'_>, what, count: usize, size: usize| {
            let rule = format!("M = {m}, N = {n}, K = {k}, values of {size} bytes");
            aligned(region.holds(what, count * size, &rule)?, what, size)
        };
        let outliers = self.x.outliers.as_ref();
        let rows = QuantizedSize { m, k, n, dtype: self.dtype, has_outliers: false, order };
        let y = holds(self.y, "y", m * n, bytes)?;
        Ok(GemmInt8Args {
            x: code_rows(holds(self.x.codes, "codes of x", rows.bytes()[0], 1)?, order)?,
            w: self.w.codes().ptr(),
            x_absmax: holds(self.x.absmax, "absmax of x", m, 4)?,
            x_sums: match format {
                Format::AffineInt8 { .. } => holds(self.x.sums, "sums of codes", m, 4)?,
                _ => 0,
            },
            w_scales: self.w.scales().ptr(),
            w_zero_points: self.w.zero_points().map_or(0, |points| points.ptr()),
            bias: self.bias.map_or(Ok(0), |bias| holds(bias, "bias", n, 4))?,
            y,
            partials: 0,
            outlier_sums: 0,
            outlier_count: outliers.map_or(Ok(0), |o| holds(o.count, "outlier count", 1, 4))?,
            outlier_x: outliers.map_or(Ok(0), |o| outlier_rows(holds(o.x, "outliers of x", m * ld, bytes)?))?,
            outlier_w: outliers.map_or(Ok(0), |o| outlier_rows(holds(o.w, "outliers of W", n * ld, bytes)?))?,
            m: m as u32,
            n: n as u32,
            k: k as u32,
            k_per_split: k as u32,
            splits: 1,
            whole_fours: whole_fours(y, n, self.dtype),
            outlier_ld: ld as u32,
            zero_point: format.fixed_zero_point().unwrap_or(0).into(),
            scale_per_row: (format.granularity() == Some(Granularity::PerRow)).into(),
            factor: factor(format, self.max_code),
        })
    }
}

/// What the product of the absmax of x and the scale of W is multiplied by: the scale of INT8 is an absmax too.
fn factor(format: Format, max_code: u8) -> f32 {
    match format {
        Format::Int8 { .. } => 1.0 / (127.0 * f32::from(max_code)),
        _ => 1.0 / f32::from(max_code),
    }
}

/// Tiles are copied in chunks of 16 bytes.
pub(super) fn code_rows(address: u64, order: CodeOrder) -> Result<u64> {
    if order == CodeOrder::Tiles { aligned(address, "codes of x", 16) } else { Ok(address) }
}

/// The outliers are copied in chunks of 16 bytes.
fn outlier_rows(address: u64) -> Result<u64> {
    aligned(address, "outliers", 16)
}
