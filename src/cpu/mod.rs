//! The CPU backend: [`Isa`] says which CPU, `arch` holds the intrinsics, `kernels` the algorithms.

mod arch;
mod isa;
mod kernels;
mod simd;

pub use isa::Isa;
