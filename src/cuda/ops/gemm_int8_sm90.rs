//! [`GemmInt8`] by wgmma, for devices of compute capability 9.0: both matrices in the tiles of
//! [`wgmma_w8`](crate::layout::wgmma_w8).
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::buffer::Region;
use crate::cuda::driver::Limits;
use crate::cuda::kernels::GEMM_INT8_SM90_F16_M16;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::gemm_dense::aligned;
use crate::cuda::ops::gemm_int8;
use crate::cuda::ops::gemm_int8::GemmInt8;
use crate::cuda::ops::persistent_sm90;
use crate::cuda::ops::persistent_sm90::Plan;
use crate::cuda::ops::persistent_sm90::Shape;
use crate::cuda::ops::persistent_sm90::Shapes;
use crate::cuda::ops::persistent_sm90::TokenTile;
use crate::cuda::ops::tiles::ProductSize;
use crate::cuda::ops::w8::CodeOrder;
use crate::error::Result;
use crate::formats::Format;
use crate::layout::wgmma_w8::ATOM_COLS;
use crate::values::Dtype;

/// Whether weights for `device` are better in tiles: it has wgmma, and this build has code for it.
pub fn is_ready(device: &CudaDevice) -> bool {
    persistent_sm90::is_ready(device, &GEMM_INT8_SM90_F16_M16)
}

/// As in cuda/gemm_int8_sm90.cu. A tile of 256 x 192 reads 37 bytes of L2 for the time of 4096 multiply-adds, 128 x 256 48.
const SHAPES: Shapes = Shapes {
    row_bytes: ATOM_COLS,
    kernels: &[
        Shape { rows: 128, tile: TokenTile::T16, stages: 8 },
        Shape { rows: 128, tile: TokenTile::T64, stages: 8 },
        Shape { rows: 128, tile: TokenTile::T128, stages: 6 },
        Shape { rows: 256, tile: TokenTile::T192, stages: 4 },
        Shape { rows: 128, tile: TokenTile::T256, stages: 4 },
    ],
};

fn kernel(tile: TokenTile, dtype: Dtype, is_affine: bool) -> Option<&'static Kernel> {
    use crate::cuda::kernels::*;
    let of_tiles = match (dtype, is_affine) {
        (Dtype::F16, false) => [
            &GEMM_INT8_SM90_F16_M16,
            &GEMM_INT8_SM90_F16_M64,
            &GEMM_INT8_SM90_F16_M128,
            &GEMM_INT8_SM90_F16_M192,
            &GEMM_INT8_SM90_F16_M256,
        ],
        (Dtype::F16, true) => [
            &GEMM_INT8_SM90_F16_AFFINE_M16,
            &GEMM_INT8_SM90_F16_AFFINE_M64,
            &GEMM_INT8_SM90_F16_AFFINE_M128,
            &GEMM_INT8_SM90_F16_AFFINE_M192,
            &GEMM_INT8_SM90_F16_AFFINE_M256,
        ],
        (Dtype::Bf16, false) => [
            &GEMM_INT8_SM90_BF16_M16,
            &GEMM_INT8_SM90_BF16_M64,
            &GEMM_INT8_SM90_BF16_M128,
            &GEMM_INT8_SM90_BF16_M192,
            &GEMM_INT8_SM90_BF16_M256,
        ],
        (Dtype::Bf16, true) => [
            &GEMM_INT8_SM90_BF16_AFFINE_M16,
            &GEMM_INT8_SM90_BF16_AFFINE_M64,
            &GEMM_INT8_SM90_BF16_AFFINE_M128,
            &GEMM_INT8_SM90_BF16_AFFINE_M192,
            &GEMM_INT8_SM90_BF16_AFFINE_M256,
        ],
        (Dtype::F32, _) => return None,
    };
    Some(of_tiles[tile as usize])
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
    let partial = plan(limits, size)?.partial_bytes(size);
    Ok(if partial == 0 { 0 } else { partial + gemm_int8::plane_bytes(size) })
}

/// Enqueues `product`, whose x and W are in tiles. Nothing when M is 0. `scratch` has [`scratch_bytes`].
///
/// # Errors
/// Those of [`GemmInt8::enqueue`]; [`Error::Unsupported`](crate::Error::Unsupported) on a device without wgmma.
pub fn enqueue(product: &GemmInt8<'_>, device: &CudaDevice, scratch: Region<'_>) -> Result<()> {
    gemm_int8::check(device, product.w.format(), product.w.shape(), product.max_code)?;
    CodeOrder::Tiles.check(device)?;
    let is_affine = matches!(product.w.format(), Format::AffineInt8 { .. });
    let size = product.size();
    let plan = plan(device.limits(), size)?;
    let Some(kernel) = kernel(plan.tile, product.dtype, is_affine) else { return Err(gemm_int8::no_f32(device)) };
    if product.m == 0 {
        return Ok(());
    }
    let mut args = product.args(device, CodeOrder::Tiles)?;
    let partials = plan.partial_bytes(size);
    if partials > 0 {
        let bytes = partials + gemm_int8::plane_bytes(size);
        let scratch = scratch.holds("scratch memory", bytes, "(splits of K + 1) x M x N sums")?;
        args.partials = aligned(scratch, "scratch memory", 16)?;
        args.outlier_sums = args.partials + partials as u64;
    }
    let args = plan.args(args, size, product.w.row_atoms(), product.dtype);
    // SAFETY: `product.args` has checked the regions, the scratch memory has room for the partial sums and those of the
    // outliers; W and bias are there for the call, and freeing them is ordered behind it.
    unsafe { device.launch(kernel, plan.grid, plan.shared_bytes, &args)? };
    if partials == 0 { Ok(()) } else { product.reduce(device, &args.product) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::ops::persistent_sm90::tests;

    fn of(m: usize, n: usize, k: usize) -> Plan {
        plan(&tests::limits(132), ProductSize { m, n, k }).unwrap()
    }

    #[test]
    fn every_product_is_covered_once() {
        tests::every_product_is_covered_once(&SHAPES);
    }

    #[test]
    fn sizes_beyond_32_bits_are_refused() {
        tests::sizes_beyond_32_bits_are_refused(&SHAPES);
    }

    #[test]
    fn a_split_has_a_plane_for_the_outliers_too() {
        let scratch = |m, n, k| scratch_bytes(&tests::limits(132), ProductSize { m, n, k }).unwrap();
        assert_eq!(scratch(1, 8192, 8192), (2 + 1) * 8192 * 4);
        assert_eq!(scratch(64, 28_672, 8192), 0);
    }

    #[test]
    fn few_tokens_take_small_tiles_and_parts_of_k_that_fill_the_device() {
        assert_eq!((of(1, 8192, 8192).tile, of(1, 8192, 8192).splits), (TokenTile::T16, 2));
        assert_eq!((of(16, 4096, 4096).tile, of(16, 4096, 4096).splits), (TokenTile::T16, 4));
        assert_eq!((of(64, 28_672, 8192).tile, of(64, 28_672, 8192).splits), (TokenTile::T64, 1));
        assert_eq!((of(1, 64, 128).tile, of(1, 64, 128).splits), (TokenTile::T16, 1));
    }

    #[test]
    fn many_tokens_take_the_largest_tile_whole() {
        // 1024: 256 tiles of 128 x 256 are nearly two for each multiprocessor, 192 of 256 x 192 are not.
        for (m, tile) in [(1024, TokenTile::T256), (4096, TokenTile::T192), (1 << 20, TokenTile::T192)] {
            assert_eq!((of(m, 8192, 8192).tile, of(m, 8192, 8192).splits), (tile, 1), "{m}");
        }
    }
}
