//! One file per kernel family: what its arguments must satisfy, its plan, its launch.

pub mod quantize_int8;
pub mod w8;
