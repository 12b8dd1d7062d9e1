//! The algorithms, each written once over [`Simd`](crate::cpu::simd::Simd). No intrinsics.

pub mod decode;
pub mod gemm;
pub mod gemm_float;
pub mod gemm_int8;
pub mod gemv;
pub mod gemv_operands;
pub mod layout;
pub mod output;
pub mod panels;
pub mod quantize_rows;
mod runs;
pub mod scratch;
#[cfg(test)]
pub mod testing;
