//! [`GemmW4A8`] by wgmma, for devices of compute capability 9.0: x in the tiles of [`wgmma_w8`](crate::layout::wgmma_w8), W in
//! the units that `gemm_w4a8` takes too.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::buffer::Region;
use crate::cuda::driver::Limits;
use crate::cuda::kernels;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::gemm_dense::aligned;
use crate::cuda::ops::gemm_w4a8::GemmW4A8;
use crate::cuda::ops::persistent_sm90;
use crate::cuda::ops::persistent_sm90::Plan;
use crate::cuda::ops::persistent_sm90::Shape;
use crate::cuda::ops::persistent_sm90::Shapes;
use crate::cuda::ops::persistent_sm90::TokenTile;
use crate::cuda::ops::tiles::ProductSize;
use crate::cuda::ops::w8::CodeOrder;
use crate::error::Result;
use crate::layout::mma_w4a8::UNIT_BYTES;
use crate::layout::mma_w4a8::UNIT_ROWS;
use crate::values::Dtype;

/// Tiles of 256 rows of W, eight warps of two units side by side, as in cuda/gemm_w4a8_sm90.cu.
const SHAPES: Shapes = Shapes {
    row_bytes: 2 * UNIT_BYTES / UNIT_ROWS,
    kernels: &[
        Shape { rows: 8 * UNIT_ROWS, tile: TokenTile::T16, stages: 8 },
        Shape { rows: 8 * UNIT_ROWS, tile: TokenTile::T64, stages: 8 },
        Shape { rows: 8 * UNIT_ROWS, tile: TokenTile::T128, stages: 6 },
    ],
};

/// How x is to lie for the product on `device`: in tiles where it has wgmma and this build has code for it.
pub fn order_of_x(device: &CudaDevice) -> CodeOrder {
    match persistent_sm90::is_ready(device, &kernels::GEMM_W4A8_SM90_F16_M16) {
        true => CodeOrder::Tiles,
        false => CodeOrder::Rows,
    }
}

/// How a product is cut into units of work.
///
/// # Errors
/// Those of [`persistent_sm90::plan`].
pub fn plan(limits: &Limits, size: ProductSize) -> Result<Plan> {
    persistent_sm90::plan(&SHAPES, limits, size)
}

/// Bytes of scratch memory that [`enqueue`] wants.
///
/// # Errors
/// Those of [`plan`].
pub fn scratch_bytes(limits: &Limits, size: ProductSize) -> Result<usize> {
    Ok(plan(limits, size)?.partial_bytes(size))
}

/// The kernel with tiles of `tile` that writes f16, or bf16.
fn kernel(tile: TokenTile, dtype: Dtype) -> &'static Kernel {
    match (dtype, tile) {
        (Dtype::Bf16, TokenTile::T16) => &kernels::GEMM_W4A8_SM90_BF16_M16,
        (Dtype::Bf16, TokenTile::T64) => &kernels::GEMM_W4A8_SM90_BF16_M64,
        (Dtype::Bf16, _) => &kernels::GEMM_W4A8_SM90_BF16_M128,
        (_, TokenTile::T16) => &kernels::GEMM_W4A8_SM90_F16_M16,
        (_, TokenTile::T64) => &kernels::GEMM_W4A8_SM90_F16_M64,
        _ => &kernels::GEMM_W4A8_SM90_F16_M128,
    }
}

/// Enqueues `product`, whose x is in tiles. Nothing when M is 0. `scratch` has [`scratch_bytes`].
///
/// # Errors
/// Those of [`GemmW4A8::enqueue`]; [`Error::Unsupported`](crate::Error::Unsupported) on a device without wgmma;
/// [`Error::Invalid`](crate::Error::Invalid) when the codes of x do not begin at a multiple of 16 bytes.
pub fn enqueue(product: &GemmW4A8<'_>, device: &CudaDevice, scratch: Region<'_>) -> Result<()> {
    product.check(device, CodeOrder::Tiles)?;
    CodeOrder::Tiles.check(device)?;
    let size = product.size();
    let plan = plan(device.limits(), size)?;
    if product.m == 0 {
        return Ok(());
    }
    let mut args = product.args(CodeOrder::Tiles)?;
    let partials = plan.partial_bytes(size);
    if partials > 0 {
        args.partials =
            aligned(scratch.holds("scratch memory", partials, "splits of K x M x N sums")?, "scratch memory", 16)?;
    }
    let args = plan.args(args, size, size.n.div_ceil(UNIT_ROWS), product.dtype);
    // SAFETY: `product.args` has checked the regions, the scratch memory has room for the partial sums; W and bias are there for
    // the call, and freeing them is ordered behind it.
    unsafe { device.launch(kernel(plan.tile, product.dtype), plan.grid, plan.shared_bytes, &args)? };
    if partials == 0 { Ok(()) } else { product.reduce(device, &args.product) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::ops::persistent_sm90::tests;

    #[test]
    fn every_product_is_covered_once() {
        tests::every_product_is_covered_once(&SHAPES);
    }

    #[test]
    fn sizes_beyond_32_bits_are_refused() {
        tests::sizes_beyond_32_bits_are_refused(&SHAPES);
    }

    #[test]
    fn a_stage_holds_what_the_kernel_copies() {
        // W: 256 rows of 128 half bytes, with a multiplier and an offset for each 64; x: 128 bytes a token.
        assert_eq!(256 * SHAPES.row_bytes, 256 * 128 / 2 + 256 * 2 * 2);
        assert_eq!(SHAPES.shared_bytes(&SHAPES.kernels[2]), 6 * (17_408 + 128 * 128 + 16) + 8 * 128);
    }

    #[test]
    fn few_tokens_take_small_tiles_and_parts_of_k_that_fill_the_device() {
        let of = |m, n, k| {
            let plan = plan(&tests::limits(132), ProductSize { m, n, k }).unwrap();
            (plan.tile, plan.splits)
        };
        // 32 tiles of 132 multiprocessors: four parts fill them.
        assert_eq!(of(1, 8192, 8192), (TokenTile::T16, 4));
        assert_eq!(of(16, 4096, 4096), (TokenTile::T16, 8));
        assert_eq!(of(17, 28_672, 4096), (TokenTile::T64, 1));
        assert_eq!(of(128, 28_672, 4096), (TokenTile::T128, 1));
        assert_eq!(of(4096, 8192, 8192), (TokenTile::T128, 1));
        assert_eq!(of(1 << 20, 8192, 8192), (TokenTile::T128, 1));
        assert_eq!(of(1, 64, 64), (TokenTile::T16, 1));
    }
}
