//! Tensor maps and the copies that use them.

mod case;
mod copies;
mod gemm;
mod map;
mod mistakes;
