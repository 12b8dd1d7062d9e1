//! Executes the PTX of CUDA kernels on the CPU, and finds what a run on a GPU would hide.

pub mod matrix;
pub mod numeric;
pub mod types;
