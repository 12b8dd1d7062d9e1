//! A 4-bit matrix to floats.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::args::DequantW4Args;
use crate::cuda::buffer::Region;
use crate::cuda::kernels::DEQUANT_W4_BF16;
use crate::cuda::kernels::DEQUANT_W4_BF16_FLAT;
use crate::cuda::kernels::DEQUANT_W4_F16;
use crate::cuda::kernels::DEQUANT_W4_F16_FLAT;
use crate::cuda::kernels::DEQUANT_W4_F32;
use crate::cuda::kernels::DEQUANT_W4_F32_FLAT;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::w4::W4;
use crate::error::Error;
use crate::error::Result;
use crate::layout::mma_w4::ScaleOrder;
use crate::layout::mma_w4::Tiles;
use crate::values::Dtype;

/// Tiles of a block: 8 warps, 2 each.
const BLOCK_TILES: usize = 16;

/// Alignment of the output, in bytes.
const ALIGNMENT: u64 = 16;

/// Writes W [N, K] row-major to `out`, each value computed in f32 and rounded once to `dtype`.
///
/// # Errors
/// [`Error::Length`] when `out` is too short, [`Error::Unsupported`] when it is not aligned to 16 bytes or there are more than
/// 2^32 tiles; the driver's.
pub fn dequant_w4(device: &CudaDevice, w: &W4, dtype: Dtype, out: Region<'_>) -> Result<()> {
    let shape = w.shape();
    let unsupported = |rule: String| Error::Unsupported {
        op: "dequantizing",
        subject: format!("{} {shape}", w.format()),
        device: device.name().into(),
        rule,
    };
    let out = out.holds("dequantized weights", shape.num_values() * dtype.size_bytes(), "N * K values")?;
    if !out.is_multiple_of(ALIGNMENT) {
        return Err(unsupported(format!("the output at {out:#x} must be aligned to {ALIGNMENT} bytes")));
    }
    let blocks = num_blocks(w.tiles()).ok_or_else(|| unsupported("more than 2^32 tiles of 16 x 64".into()))?;
    let args = DequantW4Args { w: w.args(), out };
    let kernel = kernel(dtype, w.order());
    // SAFETY: `w` holds all that its arguments describe, and `out` room for N * K values.
    unsafe { device.launch(kernel, [blocks, 1, 1], 0, &args) }
}

fn kernel(dtype: Dtype, order: ScaleOrder) -> &'static Kernel {
    match (dtype, order) {
        (Dtype::F32, ScaleOrder::Tiled { .. }) => &DEQUANT_W4_F32,
        (Dtype::F16, ScaleOrder::Tiled { .. }) => &DEQUANT_W4_F16,
        (Dtype::Bf16, ScaleOrder::Tiled { .. }) => &DEQUANT_W4_BF16,
        (Dtype::F32, ScaleOrder::Flat { .. }) => &DEQUANT_W4_F32_FLAT,
        (Dtype::F16, ScaleOrder::Flat { .. }) => &DEQUANT_W4_F16_FLAT,
        (Dtype::Bf16, ScaleOrder::Flat { .. }) => &DEQUANT_W4_BF16_FLAT,
    }
}

/// Blocks of the grid. The kernel counts tiles in 32 bits, also those of the last block that are not there.
fn num_blocks(tiles: Tiles) -> Option<u32> {
    let count = tiles.row_tiles() * tiles.k_tiles();
    u32::try_from(count.next_multiple_of(BLOCK_TILES)).ok().map(|tiles| tiles / BLOCK_TILES as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::MatShape;

    #[test]
    fn a_grid_covers_every_tile() {
        let blocks = |n, k| num_blocks(Tiles::new(MatShape::new(n, k).unwrap()).unwrap());
        assert_eq!(blocks(1, 1), Some(1));
        assert_eq!(blocks(16, 64 * 16), Some(1));
        assert_eq!(blocks(17, 64 * 16), Some(2));
        assert_eq!(blocks(8192, 57344), Some(512 * 896 / 16));
        // 2^42 values are 2^32 tiles.
        assert_eq!(blocks(1 << 21, 1 << 20), Some(1 << 27));
        assert_eq!(blocks(1 << 21, 1 << 21), None);
    }
}
