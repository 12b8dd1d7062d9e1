//! What is decided about codes beyond rounding, and how far the result is from the original.

pub mod distortion;

pub use distortion::Distortion;
