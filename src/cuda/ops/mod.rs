//! One file per kernel family: what its arguments must satisfy, its plan, its launch.

pub mod dequant_w4;
pub mod gemm_dense;
pub mod gemv_w4;
pub mod tiles;
pub mod w4;
