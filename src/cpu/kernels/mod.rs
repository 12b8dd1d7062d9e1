//! The algorithms, each written once over [`Simd`](crate::cpu::simd::Simd). No intrinsics.

mod blockwise8;
pub mod ceiling;
mod code_writer;
mod codebook4;
pub mod decode;
pub mod dequantize;
mod grouped;
pub mod quantize;
mod runs;
mod scale_search;
mod source;
mod tasks;
#[cfg(test)]
mod testing;
