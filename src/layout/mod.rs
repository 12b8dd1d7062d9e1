//! PERMUTATION: from the order of a format to the order that one kernel family wants, and back. Bijective, no arithmetic
//! on values. One file per layout.

pub mod mma_w4;
pub mod mma_w4a8;
pub mod s4_rows;
pub mod wgmma_w8;
