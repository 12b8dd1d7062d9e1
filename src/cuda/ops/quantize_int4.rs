//! Rows of activations to s4 codes, two a byte: the activations of W4A4.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::QuantizeInt4Args;
use crate::cuda::buffer::Region;
use crate::cuda::kernels;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::blocks;
use crate::cuda::ops::gemm_dense::aligned;
use crate::cuda::ops::is_aligned;
use crate::cuda::ops::quantize_int8::Rows;
use crate::error::Error;
use crate::error::Result;
use crate::layout::s4_rows;
use crate::values::Dtype;

/// Rows of up to so many columns are rounded by a warp, longer ones by 256 threads: of the eight vectors of eight columns that
/// a lane keeps in registers, half.
const SHORT_COLUMNS: usize = 1024;
/// Rows in one block, a warp each.
const SHORT_ROWS: usize = 8;

/// Rows rounded to 4 bits in device memory.
#[derive(Clone, Copy, Debug)]
pub struct PackedRows<'a> {
    /// s4 in the layout [`s4_rows`], at a multiple of 16 bytes.
    pub codes: Region<'a>,
    /// f32 \[M\]: each row's largest magnitude; NaN when the row has a NaN or infinity.
    pub absmax: Region<'a>,
}

impl PackedRows<'_> {
    /// Bytes of its regions for x [M, K], for [`CudaDevice::lease`].
    pub fn bytes(m: usize, k: usize) -> [usize; 2] {
        [m * s4_rows::row_bytes(k), 4 * m]
    }
}

/// Quantizes `rows` to codes -7 ..= 7 by their absmax. Nothing when M is 0.
///
/// # Errors
/// [`Error::Unsupported`] for f32 rows; [`Error::Length`] when a region is too short; [`Error::Invalid`] when one is not
/// aligned; [`Error::TooLarge`] when K is beyond 31 bits or M beyond a grid; the driver's.
pub fn quantize(device: &CudaDevice, rows: &Rows<'_>, to: &PackedRows<'_>) -> Result<()> {
    let Rows { x, dtype, m, k } = *rows;
    let (long, short) = match dtype {
        Dtype::F16 => (&kernels::QUANTIZE_INT4_F16_ROWS, &kernels::QUANTIZE_INT4_F16_SHORT),
        Dtype::Bf16 => (&kernels::QUANTIZE_INT4_BF16_ROWS, &kernels::QUANTIZE_INT4_BF16_SHORT),
        Dtype::F32 => {
            return Err(Error::Unsupported {
                op: "rounding to 4 bits",
                subject: "f32 activations".into(),
                device: device.name().into(),
                rule: "the kernel has f16 and bf16".into(),
            });
        }
    };
    if i32::try_from(k).is_err() {
        return Err(Error::TooLarge { what: "row", shape: vec![m, k] });
    }
    if m == 0 {
        return Ok(());
    }
    let [codes, absmax] = PackedRows::bytes(m, k);
    let rule = format!("x [{m}, {k}] of {dtype}, in 4 bits");
    let holds =
        |region: Region<'_>, what, bytes, alignment| aligned(region.holds(what, bytes, &rule)?, what, alignment);
    let row_bytes = k * dtype.size_bytes();
    let x = holds(x, "activations", m * row_bytes, dtype.size_bytes())?;
    let args = QuantizeInt4Args {
        x,
        codes: holds(to.codes, "codes of x", codes, 16)?,
        absmax: holds(to.absmax, "absmax of x", absmax, 4)?,
        m: m as u64,
        k: k as u32,
        is_aligned: (is_aligned(x) && row_bytes.is_multiple_of(16)).into(),
    };
    let (kernel, grid) = plan(m, k, [long, short])?;
    // SAFETY: the regions hold what M and K say.
    unsafe { device.launch(kernel, grid, 0, &args) }
}

/// The kernel for `m` rows of `k` columns, of that for long and that for short ones, and its grid.
fn plan(m: usize, k: usize, [long, short]: [&'static Kernel; 2]) -> Result<(&'static Kernel, [u32; 3])> {
    if k <= SHORT_COLUMNS { Ok((short, blocks(m.div_ceil(SHORT_ROWS))?)) } else { Ok((long, blocks(m)?)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_planned_by_their_length_in_grids_that_exist() {
        let (long, short) = (&kernels::QUANTIZE_INT4_F16_ROWS, &kernels::QUANTIZE_INT4_F16_SHORT);
        let plan = |m, k| plan(m, k, [long, short]);
        assert_eq!(plan(1, SHORT_COLUMNS).unwrap(), (short, [1, 1, 1]));
        assert_eq!(plan((1 << 20) + 1, 1).unwrap(), (short, [(1 << 17) + 1, 1, 1]));
        assert_eq!(plan(1 << 20, SHORT_COLUMNS + 1).unwrap(), (long, [1 << 20, 1, 1]));
        assert!(matches!(plan(1 << 31, 4096), Err(Error::TooLarge { .. })));
    }
}
