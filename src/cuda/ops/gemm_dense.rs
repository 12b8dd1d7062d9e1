//! The dense product y\[M,N\] = x\[M,K\] · W\[N,K\]ᵀ + bias\[N\], all row-major: [`GemmDense`] by our own kernels, [`dense`] by
//! a vendor's library where there is one.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::GemmDenseArgs;
use crate::cuda::buffer::Region;
use crate::cuda::driver::DenseProduct;
use crate::cuda::driver::DevicePtr;
use crate::cuda::driver::Limits;
use crate::cuda::kernels;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::tiles;
use crate::cuda::ops::tiles::ProductSize;
use crate::cuda::ops::tiles::RowAccess;
use crate::cuda::ops::tiles::Tile;
use crate::error::Error;
use crate::error::Result;
use crate::values::Dtype;

/// A dense product on tensor cores (16-bit x and W) or in f32. Sums are f32 and rounded once.
#[derive(Clone, Copy, Debug)]
pub struct GemmDense<'a> {
    /// \[M, K\] of `in_dtype`.
    pub x: Region<'a>,
    /// \[N, K\] of `in_dtype`.
    pub w: Region<'a>,
    /// f32 \[N\].
    pub bias: Option<Region<'a>>,
    /// \[M, N\] of `out_dtype`.
    pub y: Region<'a>,
    /// Rows of x.
    pub m: usize,
    /// Rows of W.
    pub n: usize,
    /// Columns of both.
    pub k: usize,
    /// The type of x and W.
    pub in_dtype: Dtype,
    /// The type of y: that of x, or any when x is f32.
    pub out_dtype: Dtype,
}

/// y = x · Wᵀ + bias in the vendor's library, if there is one and y has the type of x; else [`GemmDense::enqueue`], which
/// says what `scratch` is.
///
/// # Errors
/// Those of [`GemmDense::enqueue`] and of the library.
pub fn dense(product: &GemmDense<'_>, device: &CudaDevice, scratch: Region<'_>) -> Result<()> {
    let GemmDense { m, n, k, in_dtype, out_dtype, .. } = *product;
    tiles::check_size(product.size(), in_dtype.size_bytes())?;
    if in_dtype != out_dtype || !device.driver().has_dense() || [m, n, k].contains(&0) {
        return product.enqueue(device, scratch);
    }
    let DenseAddresses { x, w, y, .. } = product.addresses()?;
    // SAFETY: the regions hold the matrices, as `addresses` has checked.
    unsafe { device.driver().dense(&DenseProduct { dtype: in_dtype, m, n, k, x, w, y })? };
    match product.bias {
        Some(bias) => AddBias { y: product.y, bias, m, n, dtype: out_dtype }.enqueue(device),
        None => Ok(()),
    }
}

/// Bytes of scratch memory that [`dense`] and [`GemmDense::enqueue`] may want for a product of `in_dtype`.
///
/// # Errors
/// [`Error::TooLarge`] when a side is beyond 31 bits.
pub fn scratch_bytes(limits: &Limits, size: ProductSize, in_dtype: Dtype) -> Result<usize> {
    match in_dtype {
        Dtype::F32 => Ok(0),
        Dtype::F16 | Dtype::Bf16 => tiles::partial_bytes(limits, size, in_dtype.size_bytes()),
    }
}

/// Where the operands are, once they are known to be long enough.
#[derive(Clone, Copy)]
struct DenseAddresses {
    x: DevicePtr,
    w: DevicePtr,
    bias: DevicePtr,
    y: DevicePtr,
}

/// The kernels of a type of x and y.
struct Kernels {
    large: &'static Kernel,
    small: &'static Kernel,
    unaligned: &'static Kernel,
    reduce: &'static Kernel,
}

const F16: Kernels = Kernels {
    large: &kernels::GEMM_DENSE_F16,
    small: &kernels::GEMM_DENSE_F16_SMALL,
    unaligned: &kernels::GEMM_DENSE_F16_UNALIGNED,
    reduce: &kernels::GEMM_DENSE_REDUCE_F16,
};

const BF16: Kernels = Kernels {
    large: &kernels::GEMM_DENSE_BF16,
    small: &kernels::GEMM_DENSE_BF16_SMALL,
    unaligned: &kernels::GEMM_DENSE_BF16_UNALIGNED,
    reduce: &kernels::GEMM_DENSE_REDUCE_BF16,
};

impl GemmDense<'_> {
    /// Enqueues the kernels. Nothing when y is empty. `scratch` has [`scratch_bytes`]; it is not leased here, because x and
    /// W may lie in the caller's lease.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when y has neither the type of x nor x is f32; [`Error::Length`] when a region is too short;
    /// [`Error::Invalid`] when one is not aligned to its elements; [`Error::TooLarge`] when a side is beyond 31 bits; the
    /// driver's.
    pub fn enqueue(&self, device: &CudaDevice, scratch: Region<'_>) -> Result<()> {
        tiles::check_size(self.size(), self.in_dtype.size_bytes())?;
        let addresses = self.addresses()?;
        let kernels = match (self.in_dtype, self.out_dtype) {
            (Dtype::F32, _) => return self.enqueue_f32(device, addresses),
            (Dtype::F16, Dtype::F16) => F16,
            (Dtype::Bf16, Dtype::Bf16) => BF16,
            (x, y) => {
                return Err(Error::Unsupported {
                    op: "multiplying",
                    subject: format!("{x} activations to {y}"),
                    device: device.name().into(),
                    rule: "y must have the type of x, unless x is f32".into(),
                });
            }
        };
        if self.m == 0 || self.n == 0 {
            return Ok(());
        }
        self.enqueue_tiles(device, addresses, &kernels, scratch)
    }

    fn enqueue_tiles(
        &self,
        device: &CudaDevice,
        addresses: DenseAddresses,
        kernels: &Kernels,
        scratch: Region<'_>,
    ) -> Result<()> {
        let bytes = self.in_dtype.size_bytes();
        let access = RowAccess::of(&[addresses.x, addresses.w], self.k * bytes);
        let plan = tiles::plan(device.limits(), self.size(), bytes, access)?;
        let kernel = match (access, plan.tile) {
            (RowAccess::Unaligned, _) => kernels.unaligned,
            (RowAccess::Aligned, Tile::Large) => kernels.large,
            (RowAccess::Aligned, Tile::Small) => kernels.small,
        };
        let mut args = self.kernel_args(addresses);
        if self.k == 0 {
            args.splits = 0;
            // SAFETY: `addresses` are those of regions that hold bias and y; of no splits none is read.
            return unsafe { device.launch(kernels.reduce, tiles::row_parts(self.m, self.n)?, 0, &args) };
        }
        args.k_per_split = plan.k_per_split;
        args.splits = plan.splits;
        let shared_bytes = plan.tile.shared_bytes();
        if plan.splits == 1 {
            // SAFETY: `addresses` are those of regions that hold the matrices.
            return unsafe { device.launch(kernel, plan.grid, shared_bytes, &args) };
        }
        let bytes = plan.partial_bytes(self.size());
        args.partials =
            aligned(scratch.holds("scratch memory", bytes, "splits of K x M x N sums")?, "scratch memory", 16)?;
        let rows = tiles::row_parts(self.m, self.n)?;
        // SAFETY: as above, and the scratch memory has room for the partial sums.
        unsafe {
            device.launch(kernel, plan.grid, shared_bytes, &args)?;
            device.launch(kernels.reduce, rows, 0, &args)
        }
    }

    fn enqueue_f32(&self, device: &CudaDevice, addresses: DenseAddresses) -> Result<()> {
        if self.m == 0 || self.n == 0 {
            return Ok(());
        }
        let kernel = match self.out_dtype {
            Dtype::F32 => &kernels::GEMM_DENSE_F32,
            Dtype::F16 => &kernels::GEMM_DENSE_F32_F16,
            Dtype::Bf16 => &kernels::GEMM_DENSE_F32_BF16,
        };
        let grid = tiles::whole_grid(Tile::Small, self.size())?;
        // SAFETY: `addresses` are those of regions that hold the matrices.
        unsafe { device.launch(kernel, grid, 0, &self.kernel_args(addresses)) }
    }

    fn size(&self) -> ProductSize {
        ProductSize { m: self.m, n: self.n, k: self.k }
    }

    /// The addresses, when the regions hold what the sizes say and are aligned to their elements.
    fn addresses(&self) -> Result<DenseAddresses> {
        let Self { m, n, k, .. } = *self;
        let (input, output) = (self.in_dtype.size_bytes(), self.out_dtype.size_bytes());
        let checked = |region: Region<'_>, what, rows: usize, columns: usize, bytes: usize| {
            let rule = format!("{rows} x {columns} values of {bytes} bytes");
            aligned(region.holds(what, rows * columns * bytes, &rule)?, what, bytes)
        };
        Ok(DenseAddresses {
            x: checked(self.x, "x", m, k, input)?,
            w: checked(self.w, "W", n, k, input)?,
            bias: self.bias.map_or(Ok(0), |bias| checked(bias, "bias", 1, n, size_of::<f32>()))?,
            y: checked(self.y, "y", m, n, output)?,
        })
    }

    fn kernel_args(&self, addresses: DenseAddresses) -> GemmDenseArgs {
        let DenseAddresses { x, w, bias, y } = addresses;
        GemmDenseArgs {
            x,
            w,
            bias,
            y,
            partials: 0,
            m: self.m as u32,
            n: self.n as u32,
            k: self.k as u32,
            k_per_split: self.k as u32,
            splits: 1,
            whole_fours: whole_fours(y, self.n, self.out_dtype),
        }
    }
}

/// Sums over parts of K in device memory, f32 \[splits, M, N\], and where y goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartialSums {
    pub partials: DevicePtr,
    pub splits: usize,
    /// f32 \[N\], or 0.
    pub bias: DevicePtr,
    /// \[M, N\] of `dtype`.
    pub y: DevicePtr,
    pub m: usize,
    pub n: usize,
    /// f16 or bf16.
    pub dtype: Dtype,
}

/// Enqueues y = the partial sums, added in order, + bias, rounded once.
///
/// # Safety
/// The addresses are those of live memory of this device, as large as M, N and `splits` say and aligned to their elements.
///
/// # Errors
/// [`Error::TooLarge`]; the driver's.
pub(super) unsafe fn sum_partials(device: &CudaDevice, sums: &PartialSums) -> Result<()> {
    let PartialSums { partials, splits, bias, y, m, n, dtype } = *sums;
    let args = GemmDenseArgs {
        bias,
        y,
        partials,
        m: m as u32,
        n: n as u32,
        splits: splits as u32,
        whole_fours: whole_fours(y, n, dtype),
        ..bytemuck::Zeroable::zeroed()
    };
    let kernels = if dtype == Dtype::Bf16 { BF16 } else { F16 };
    // SAFETY: the caller's promise.
    unsafe { device.launch(kernels.reduce, tiles::row_parts(m, n)?, 0, &args) }
}

/// y\[M,N\] += bias\[N\]: each sum rounded to the type of y.
#[derive(Clone, Copy, Debug)]
pub struct AddBias<'a> {
    /// \[M, N\] of `dtype`.
    pub y: Region<'a>,
    /// f32 \[N\].
    pub bias: Region<'a>,
    /// Rows of y.
    pub m: usize,
    /// Columns of y.
    pub n: usize,
    /// The type of y.
    pub dtype: Dtype,
}

impl AddBias<'_> {
    /// Enqueues the kernel. Nothing when y is empty.
    ///
    /// # Errors
    /// [`Error::Length`] when a region is too short, [`Error::Invalid`] when one is not aligned to its elements,
    /// [`Error::TooLarge`]; the driver's.
    pub fn enqueue(&self, device: &CudaDevice) -> Result<()> {
        let Self { y, bias, m, n, dtype } = *self;
        if m == 0 || n == 0 {
            return Ok(());
        }
        tiles::check_size(ProductSize { m, n, k: 0 }, dtype.size_bytes())?;
        let y = y.holds("y", m * n * dtype.size_bytes(), &format!("{m} x {n} values of {dtype}"))?;
        let bias = bias.holds("bias", n * size_of::<f32>(), &format!("{n} values of f32"))?;
        let args = GemmDenseArgs {
            y: aligned(y, "y", dtype.size_bytes())?,
            bias: aligned(bias, "bias", size_of::<f32>())?,
            m: m as u32,
            n: n as u32,
            whole_fours: whole_fours(y, n, dtype),
            ..bytemuck::Zeroable::zeroed()
        };
        let kernel = match dtype {
            Dtype::F32 => &kernels::ADD_BIAS_F32,
            Dtype::F16 => &kernels::ADD_BIAS_F16,
            Dtype::Bf16 => &kernels::ADD_BIAS_BF16,
        };
        // SAFETY: the regions hold y and the bias.
        unsafe { device.launch(kernel, tiles::row_parts(m, n)?, 0, &args) }
    }
}

/// `address`, when it is a multiple of `bytes`.
///
/// # Errors
/// [`Error::Invalid`] otherwise.
pub fn aligned(address: DevicePtr, what: &'static str, bytes: usize) -> Result<DevicePtr> {
    if address.is_multiple_of(bytes as DevicePtr) {
        return Ok(address);
    }
    let rule = "the address must be a multiple of what is read or written at once";
    Err(Error::Invalid { what, value: format!("{address:#x}"), rule })
}

/// Whether four neighbours of each row can be stored as one.
pub fn whole_fours(y: DevicePtr, n: usize, dtype: Dtype) -> u32 {
    (n.is_multiple_of(4) && y.is_multiple_of(4 * dtype.size_bytes() as DevicePtr)).into()
}
