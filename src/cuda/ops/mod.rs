//! One file per kernel family: what its arguments must satisfy, its plan, its launch.

pub mod gemm_dense;
pub mod tiles;
