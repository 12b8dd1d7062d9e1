//! One file per kernel family: what its arguments must satisfy, its plan, its launch.

pub mod dequant_int8;
pub mod dequant_w4;
pub mod dequant_w4a8;
mod divisor;
pub mod gemm_dense;
pub mod gemm_int4;
pub mod gemm_int8;
pub mod gemm_int8_sm90;
pub mod gemm_w4;
pub mod gemm_w4_sm90;
pub mod gemm_w4a8;
pub mod gemm_w4a8_sm90;
pub mod gemv_w4;
mod nonfinite;
pub mod persistent_sm90;
pub mod quantize_int4;
pub mod quantize_int8;
pub mod quantize_w4;
pub mod s4;
pub mod tiles;
pub mod w4;
pub mod w4_product;
pub mod w4a8;
pub mod w8;

use crate::cuda::driver::DevicePtr;
use crate::error::Error;
use crate::error::Result;

/// A grid of `count` blocks in one dimension.
fn blocks(count: usize) -> Result<[u32; 3]> {
    match u32::try_from(count) {
        Ok(count) if count <= i32::MAX as u32 => Ok([count, 1, 1]),
        _ => Err(Error::TooLarge { what: "grid of thread blocks", shape: vec![count] }),
    }
}

/// Whether 16 bytes can be read or written there at once.
fn is_aligned(address: DevicePtr) -> bool {
    address.is_multiple_of(16)
}
