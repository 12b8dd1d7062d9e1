//! The algorithms, each written once over [`Simd`](crate::cpu::simd::Simd). No intrinsics.

pub mod decode;
mod runs;
#[cfg(test)]
mod testing;
