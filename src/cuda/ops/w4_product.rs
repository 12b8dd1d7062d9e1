//! [`W4Product`]: a product of x with 4-bit weights, as each of the kernels for it is asked for one.

use crate::cuda::CudaDevice;
use crate::cuda::buffer::Region;
use crate::cuda::driver::DevicePtr;
use crate::cuda::ops::gemm_dense::aligned;
use crate::cuda::ops::is_aligned;
use crate::cuda::ops::w4::W4;
use crate::error::Error;
use crate::error::Result;
use crate::values::Dtype;

/// y\[M,N\] = x\[M,K\] · W\[N,K\]ᵀ + bias\[N\].
///
/// Each of its kernel families has a `rule` that says what it does not take, `scratch_bytes`, and `enqueue`, whose errors are:
/// [`Error::Unsupported`] with the rule that is broken; [`Error::Length`] when a region is too short; [`Error::Invalid`] when one
/// is not aligned to its elements; [`Error::TooLarge`] when M is beyond 31 bits or a grid too large; the driver's.
#[derive(Clone, Copy, Debug)]
pub struct W4Product<'a> {
    /// W \[N, K\].
    pub w: &'a W4,
    /// \[M, K\] of `dtype`.
    pub x: Region<'a>,
    /// f32 \[N\].
    pub bias: Option<Region<'a>>,
    /// \[M, N\] of `dtype`.
    pub y: Region<'a>,
    /// Rows of x.
    pub m: usize,
    /// The type of x and y, f16 or bf16. The codebook is rounded to it; scales and sums are f32.
    pub dtype: Dtype,
}

/// Where the matrices are, once it is known that they have room for the sizes.
pub(super) struct Addresses {
    pub x: DevicePtr,
    /// 0 without a bias.
    pub bias: DevicePtr,
    pub y: DevicePtr,
    /// 1 when every row of x begins at a multiple of 16 bytes.
    pub x_is_aligned: u32,
}

impl W4Product<'_> {
    /// Checks the regions.
    pub(super) fn addresses(&self) -> Result<Addresses> {
        let (n, k) = (self.w.shape().n(), self.w.shape().k());
        let checked = |region: Region<'_>, what, rows: usize, columns: usize, bytes: usize| {
            let rule = format!("{rows} x {columns} values of {bytes} bytes");
            aligned(region.holds(what, rows * columns * bytes, &rule)?, what, bytes)
        };
        let bytes = self.dtype.size_bytes();
        let x = checked(self.x, "x", self.m, k, bytes)?;
        Ok(Addresses {
            x,
            bias: self.bias.map_or(Ok(0), |bias| checked(bias, "bias", 1, n, size_of::<f32>()))?,
            y: checked(self.y, "y", self.m, n, bytes)?,
            x_is_aligned: (is_aligned(x) && (k * bytes).is_multiple_of(16)).into(),
        })
    }

    /// That `device` does not do it by `op`, because of `rule`.
    pub(super) fn refused(&self, op: &'static str, device: &CudaDevice, rule: String) -> Error {
        Error::Unsupported {
            op,
            subject: format!("{} {} by {} rows of {}", self.w.format(), self.w.shape(), self.m, self.dtype),
            device: device.name().into(),
            rule,
        }
    }
}
