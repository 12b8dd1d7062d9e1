//! Tests of the arithmetic against [`exact`], which shares no code with it.

mod approximation;
mod arithmetic;
mod comparison;
mod conversion;
pub mod exact;
pub mod random;
