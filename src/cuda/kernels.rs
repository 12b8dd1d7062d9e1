//! The table of kernels: one row for each symbol in `cuda/*.cu`.
//!
//! Grammar of a symbol: `<op>_<format>_<activations>[_<variant>]`; `w4` is any 4-bit format in the layout `mma_w4`.

use crate::cuda::args::GemmDenseArgs;

/// A kernel: where it is and how it is launched.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The stem of its file in `cuda/`.
    pub file: &'static str,
    /// Its symbol.
    pub symbol: &'static str,
    /// Threads per block: its launch bound, and how it is launched.
    pub threads: u32,
    /// Bytes of its argument struct.
    pub args_bytes: usize,
    /// The lowest compute capability that has it.
    pub min_capability: u32,
}

/// A kernel of `gemm_dense.cu`.
const fn gemm_dense(symbol: &'static str, threads: u32) -> Kernel {
    Kernel { file: "gemm_dense", symbol, threads, args_bytes: size_of::<GemmDenseArgs>(), min_capability: 80 }
}

/// f16, 128 x 128 tiles.
pub const GEMM_DENSE_F16: Kernel = gemm_dense("gemm_dense_f16", 128);
/// f16, 64 x 64 tiles.
pub const GEMM_DENSE_F16_SMALL: Kernel = gemm_dense("gemm_dense_f16_small", 128);
/// f16, rows at any address.
pub const GEMM_DENSE_F16_UNALIGNED: Kernel = gemm_dense("gemm_dense_f16_unaligned", 128);
/// bf16, 128 x 128 tiles.
pub const GEMM_DENSE_BF16: Kernel = gemm_dense("gemm_dense_bf16", 128);
/// bf16, 64 x 64 tiles.
pub const GEMM_DENSE_BF16_SMALL: Kernel = gemm_dense("gemm_dense_bf16_small", 128);
/// bf16, rows at any address.
pub const GEMM_DENSE_BF16_UNALIGNED: Kernel = gemm_dense("gemm_dense_bf16_unaligned", 128);
/// Adds up the splits of K, f16.
pub const GEMM_DENSE_REDUCE_F16: Kernel = gemm_dense("gemm_dense_reduce_f16", 256);
/// Adds up the splits of K, bf16.
pub const GEMM_DENSE_REDUCE_BF16: Kernel = gemm_dense("gemm_dense_reduce_bf16", 256);
/// f32 x and W.
pub const GEMM_DENSE_F32: Kernel = gemm_dense("gemm_dense_f32", 128);
/// f32 x and W, f16 y.
pub const GEMM_DENSE_F32_F16: Kernel = gemm_dense("gemm_dense_f32_f16", 128);
/// f32 x and W, bf16 y.
pub const GEMM_DENSE_F32_BF16: Kernel = gemm_dense("gemm_dense_f32_bf16", 128);
/// y += bias, f16.
pub const ADD_BIAS_F16: Kernel = gemm_dense("add_bias_f16", 256);
/// y += bias, bf16.
pub const ADD_BIAS_BF16: Kernel = gemm_dense("add_bias_bf16", 256);
/// y += bias, f32.
pub const ADD_BIAS_F32: Kernel = gemm_dense("add_bias_f32", 256);

/// Every kernel of the crate.
pub const KERNELS: &[&Kernel] = &[
    &GEMM_DENSE_F16,
    &GEMM_DENSE_F16_SMALL,
    &GEMM_DENSE_F16_UNALIGNED,
    &GEMM_DENSE_BF16,
    &GEMM_DENSE_BF16_SMALL,
    &GEMM_DENSE_BF16_UNALIGNED,
    &GEMM_DENSE_REDUCE_F16,
    &GEMM_DENSE_REDUCE_BF16,
    &GEMM_DENSE_F32,
    &GEMM_DENSE_F32_F16,
    &GEMM_DENSE_F32_BF16,
    &ADD_BIAS_F16,
    &ADD_BIAS_BF16,
    &ADD_BIAS_F32,
];
