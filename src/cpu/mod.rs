//! The CPU backend: [`Isa`] says which CPU, `arch` holds the intrinsics, `kernels` the algorithms.

mod arch;
#[cfg(feature = "cli")]
mod dense;
mod isa;
mod kernels;
mod matmul;
mod matmul_int;
#[cfg(test)]
mod matmul_tests;
mod simd;
#[cfg(test)]
mod simd_tests;

#[cfg(feature = "cli")]
pub use dense::dense_f32;
pub use isa::Isa;
pub use kernels::ceiling;
pub use kernels::dequantize::dequantize_into;
pub use kernels::dequantize::dequantize_range;
pub use kernels::own_map::quantize_blockwise;
pub use kernels::quantize::quantize;
pub use kernels::quantize_rows::RowScales;
pub use kernels::quantize_rows::quantize_rows;
pub use matmul::GEMV_MAX_ROWS;
pub use matmul::Prepared;
pub use matmul::choice;
pub use matmul::matmul;
pub use matmul::prepare;
