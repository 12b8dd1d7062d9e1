//! An `int4_channel_group` matrix to floats.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::DequantW4A8Args;
use crate::cuda::buffer::Region;
use crate::cuda::kernels;
use crate::cuda::ops::blocks;
use crate::cuda::ops::gemm_dense::aligned;
use crate::cuda::ops::w4a8::W4A8;
use crate::error::Result;
use crate::values::Dtype;

/// Units of a block, one to a warp.
const BLOCK_UNITS: usize = 8;

/// Writes W [N, K] row-major to `out`, each value computed in f32 and rounded once to `dtype`.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) when `out` is too short, [`Error::Invalid`](crate::Error::Invalid) when it is not aligned
/// to 16 bytes, [`Error::TooLarge`](crate::Error::TooLarge) when a launch cannot have so many blocks; the driver's.
pub fn dequant_w4a8(device: &CudaDevice, w: &W4A8, dtype: Dtype, out: Region<'_>) -> Result<()> {
    let shape = w.shape();
    let out = out.holds("dequantized weights", shape.num_values() * dtype.size_bytes(), "N * K values")?;
    let units = w.units().count();
    let args = DequantW4A8Args {
        w: w.codes().ptr(),
        scales: w.scales().ptr(),
        out: aligned(out, "dequantized weights", 16)?,
        units: units as u64,
        n: shape.n() as u32,
        k: shape.k() as u32,
    };
    let kernel = match dtype {
        Dtype::F32 => &kernels::DEQUANT_W4A8_F32,
        Dtype::F16 => &kernels::DEQUANT_W4A8_F16,
        Dtype::Bf16 => &kernels::DEQUANT_W4A8_BF16,
    };
    // SAFETY: `w` holds the units and scales that its arguments describe, and `out` room for N * K values.
    unsafe { device.launch(kernel, blocks(units.div_ceil(BLOCK_UNITS))?, 0, &args) }
}
