//! One file per kernel family: what its arguments must satisfy, its plan, its launch.

pub mod dequant_w4;
pub mod w4;
