//! The CPU backend: [`Isa`] says which CPU, `arch` holds the intrinsics, `kernels` the algorithms.

mod arch;
mod isa;
mod kernels;
mod simd;
#[cfg(test)]
mod simd_tests;

pub use isa::Isa;
pub use kernels::ceiling;
pub use kernels::dequantize::dequantize_into;
pub use kernels::quantize::quantize;
