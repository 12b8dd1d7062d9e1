//! All values of an 8-bit matrix, as floats.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::DequantInt8Args;
use crate::cuda::buffer::Region;
use crate::cuda::kernels;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::blocks;
use crate::cuda::ops::is_aligned;
use crate::cuda::ops::w8::W8;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::values::Dtype;

/// Values of one block: 16 of each of its 256 threads.
const BLOCK_VALUES: usize = 256 * 16;

/// Writes every value of `w`, computed in f32 and rounded once to `dtype`, to `out` [N, K].
///
/// # Errors
/// [`Error::Length`] when `out` is too short, [`Error::Unsupported`] when it does not begin at a multiple of 16 bytes; the
/// driver's.
pub fn dequantize(device: &CudaDevice, w: &W8, out: Region<'_>, dtype: Dtype) -> Result<()> {
    let num_values = w.shape().num_values();
    let rule = format!("{dtype}, shape {}", w.shape());
    let out = out.holds("output", num_values * dtype.size_bytes(), &rule)?;
    if !is_aligned(out) {
        return Err(Error::Unsupported {
            op: "dequantizing",
            subject: w.format().to_string(),
            device: device.name().into(),
            rule: format!("the output begins at {out:#x}, which is not a multiple of 16 bytes"),
        });
    }
    let args = DequantInt8Args { w: w.args(), out, num_values: num_values as u64 };
    let grid = blocks(num_values.div_ceil(BLOCK_VALUES))?;
    // SAFETY: `w` holds the arrays of its shape and lives until the launch is enqueued, after which freeing is ordered
    // behind it; `out` holds all values.
    unsafe { device.launch(kernel(w.format(), dtype), grid, 0, &args) }
}

fn kernel(format: Format, dtype: Dtype) -> &'static Kernel {
    match (format, dtype) {
        (Format::AffineInt8 { .. }, Dtype::F32) => &kernels::DEQUANT_AFFINE_INT8_F32,
        (Format::AffineInt8 { .. }, Dtype::F16) => &kernels::DEQUANT_AFFINE_INT8_F16,
        (Format::AffineInt8 { .. }, Dtype::Bf16) => &kernels::DEQUANT_AFFINE_INT8_BF16,
        (Format::Dynamic8 { .. }, Dtype::F32) => &kernels::DEQUANT_DYNAMIC8_F32,
        (Format::Dynamic8 { .. }, Dtype::F16) => &kernels::DEQUANT_DYNAMIC8_F16,
        (Format::Dynamic8 { .. }, Dtype::Bf16) => &kernels::DEQUANT_DYNAMIC8_BF16,
        // A W8 has no 4-bit format.
        (_, Dtype::F32) => &kernels::DEQUANT_INT8_F32,
        (_, Dtype::F16) => &kernels::DEQUANT_INT8_F16,
        (_, Dtype::Bf16) => &kernels::DEQUANT_INT8_BF16,
    }
}
