//! The algorithms, each written once over [`Simd`](crate::cpu::simd::Simd). No intrinsics.

mod blockwise8;
pub mod ceiling;
mod channel_group;
mod code_writer;
mod codebook4;
pub mod decode;
pub mod dequantize;
pub mod gemm;
pub mod gemm_float;
pub mod gemm_int8;
pub mod gemv;
pub mod gemv_codes;
pub mod gemv_operands;
pub mod gemv_x;
mod grouped;
pub mod layout;
pub mod output;
pub mod own_map;
pub mod panels;
pub mod quantize;
pub mod quantize_rows;
mod runs;
mod scale_search;
pub mod scratch;
mod source;
mod tasks;
#[cfg(test)]
pub mod testing;
