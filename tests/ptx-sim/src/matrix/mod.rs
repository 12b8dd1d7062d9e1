//! The matrix instructions of PTX as pure functions: which lane holds which element, and what the products are.
//!
//! A register of a warp is a [`WarpRegister`]: the 32 bits that each lane holds. Operands are slices of them, in the
//! order in which PTX lists the registers. A 64-bit element takes two, low half first.

pub mod descriptor;
pub mod fragments;
pub mod ldmatrix;
pub mod mma;
mod multiply;
pub mod swizzle;
#[cfg(test)]
mod tests;
pub mod wgmma;

/// One 32-bit register of all lanes of a warp.
pub type WarpRegister = [u32; 32];
