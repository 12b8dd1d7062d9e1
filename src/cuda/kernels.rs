//! The table of kernels: one row for each symbol in `cuda/*.cu`.
//!
//! Grammar of a symbol: `<op>_<format>_<activations>[_<variant>]`; `w4` is any 4-bit format in the layout `mma_w4`.

use crate::cuda::args::DequantW4Args;
use crate::cuda::args::GemmDenseArgs;
use crate::cuda::args::GemvW4Args;

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

/// A kernel of `dequant_w4.cu`.
const fn dequant_w4(symbol: &'static str) -> Kernel {
    Kernel { file: "dequant_w4", symbol, threads: 256, args_bytes: size_of::<DequantW4Args>(), min_capability: 80 }
}

/// 4-bit weights to f32.
pub const DEQUANT_W4_F32: Kernel = dequant_w4("dequant_w4_f32");
/// 4-bit weights to f16.
pub const DEQUANT_W4_F16: Kernel = dequant_w4("dequant_w4_f16");
/// 4-bit weights to bf16.
pub const DEQUANT_W4_BF16: Kernel = dequant_w4("dequant_w4_bf16");
/// 4-bit weights whose groups run across rows or have any length, to f32.
pub const DEQUANT_W4_F32_FLAT: Kernel = dequant_w4("dequant_w4_f32_flat");
/// The same to f16.
pub const DEQUANT_W4_F16_FLAT: Kernel = dequant_w4("dequant_w4_f16_flat");
/// The same to bf16.
pub const DEQUANT_W4_BF16_FLAT: Kernel = dequant_w4("dequant_w4_bf16_flat");

/// A kernel of `gemv_w4.cu`.
const fn gemv_w4(symbol: &'static str) -> Kernel {
    Kernel { file: "gemv_w4", symbol, threads: 512, args_bytes: size_of::<GemvW4Args>(), min_capability: 80 }
}

/// f16 activations, M <= 8, f32 scales.
pub const GEMV_W4_F16_M8: Kernel = gemv_w4("gemv_w4_f16_m8");
/// f16 activations, M <= 16, f32 scales.
pub const GEMV_W4_F16_M16: Kernel = gemv_w4("gemv_w4_f16_m16");
/// f16 activations, M <= 8, f32 scales, groups of 32.
pub const GEMV_W4_F16_G32_M8: Kernel = gemv_w4("gemv_w4_f16_g32_m8");
/// f16 activations, M <= 16, f32 scales, groups of 32.
pub const GEMV_W4_F16_G32_M16: Kernel = gemv_w4("gemv_w4_f16_g32_m16");
/// f16 activations, M <= 8, double-quantized scales.
pub const GEMV_W4_F16_NESTED_M8: Kernel = gemv_w4("gemv_w4_f16_nested_m8");
/// f16 activations, M <= 16, double-quantized scales.
pub const GEMV_W4_F16_NESTED_M16: Kernel = gemv_w4("gemv_w4_f16_nested_m16");
/// f16 activations, M <= 8, double-quantized scales, groups of 32.
pub const GEMV_W4_F16_NESTED_G32_M8: Kernel = gemv_w4("gemv_w4_f16_nested_g32_m8");
/// f16 activations, M <= 16, double-quantized scales, groups of 32.
pub const GEMV_W4_F16_NESTED_G32_M16: Kernel = gemv_w4("gemv_w4_f16_nested_g32_m16");
/// f16 activations, M <= 8, zero points.
pub const GEMV_W4_F16_ZEROS_M8: Kernel = gemv_w4("gemv_w4_f16_zeros_m8");
/// f16 activations, M <= 16, zero points.
pub const GEMV_W4_F16_ZEROS_M16: Kernel = gemv_w4("gemv_w4_f16_zeros_m16");
/// f16 activations, M <= 8, zero points, groups of 32.
pub const GEMV_W4_F16_ZEROS_G32_M8: Kernel = gemv_w4("gemv_w4_f16_zeros_g32_m8");
/// f16 activations, M <= 16, zero points, groups of 32.
pub const GEMV_W4_F16_ZEROS_G32_M16: Kernel = gemv_w4("gemv_w4_f16_zeros_g32_m16");
/// Adds up the splits of K, f16.
pub const GEMV_W4_F16_SUM: Kernel = gemv_w4("gemv_w4_f16_sum");
/// bf16 activations, M <= 8, f32 scales.
pub const GEMV_W4_BF16_M8: Kernel = gemv_w4("gemv_w4_bf16_m8");
/// bf16 activations, M <= 16, f32 scales.
pub const GEMV_W4_BF16_M16: Kernel = gemv_w4("gemv_w4_bf16_m16");
/// bf16 activations, M <= 8, f32 scales, groups of 32.
pub const GEMV_W4_BF16_G32_M8: Kernel = gemv_w4("gemv_w4_bf16_g32_m8");
/// bf16 activations, M <= 16, f32 scales, groups of 32.
pub const GEMV_W4_BF16_G32_M16: Kernel = gemv_w4("gemv_w4_bf16_g32_m16");
/// bf16 activations, M <= 8, double-quantized scales.
pub const GEMV_W4_BF16_NESTED_M8: Kernel = gemv_w4("gemv_w4_bf16_nested_m8");
/// bf16 activations, M <= 16, double-quantized scales.
pub const GEMV_W4_BF16_NESTED_M16: Kernel = gemv_w4("gemv_w4_bf16_nested_m16");
/// bf16 activations, M <= 8, double-quantized scales, groups of 32.
pub const GEMV_W4_BF16_NESTED_G32_M8: Kernel = gemv_w4("gemv_w4_bf16_nested_g32_m8");
/// bf16 activations, M <= 16, double-quantized scales, groups of 32.
pub const GEMV_W4_BF16_NESTED_G32_M16: Kernel = gemv_w4("gemv_w4_bf16_nested_g32_m16");
/// bf16 activations, M <= 8, zero points.
pub const GEMV_W4_BF16_ZEROS_M8: Kernel = gemv_w4("gemv_w4_bf16_zeros_m8");
/// bf16 activations, M <= 16, zero points.
pub const GEMV_W4_BF16_ZEROS_M16: Kernel = gemv_w4("gemv_w4_bf16_zeros_m16");
/// bf16 activations, M <= 8, zero points, groups of 32.
pub const GEMV_W4_BF16_ZEROS_G32_M8: Kernel = gemv_w4("gemv_w4_bf16_zeros_g32_m8");
/// bf16 activations, M <= 16, zero points, groups of 32.
pub const GEMV_W4_BF16_ZEROS_G32_M16: Kernel = gemv_w4("gemv_w4_bf16_zeros_g32_m16");
/// Adds up the splits of K, bf16.
pub const GEMV_W4_BF16_SUM: Kernel = gemv_w4("gemv_w4_bf16_sum");

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
    &DEQUANT_W4_F32,
    &DEQUANT_W4_F16,
    &DEQUANT_W4_BF16,
    &DEQUANT_W4_F32_FLAT,
    &DEQUANT_W4_F16_FLAT,
    &DEQUANT_W4_BF16_FLAT,
    &GEMV_W4_F16_M8,
    &GEMV_W4_F16_M16,
    &GEMV_W4_F16_G32_M8,
    &GEMV_W4_F16_G32_M16,
    &GEMV_W4_F16_NESTED_M8,
    &GEMV_W4_F16_NESTED_M16,
    &GEMV_W4_F16_NESTED_G32_M8,
    &GEMV_W4_F16_NESTED_G32_M16,
    &GEMV_W4_F16_ZEROS_M8,
    &GEMV_W4_F16_ZEROS_M16,
    &GEMV_W4_F16_ZEROS_G32_M8,
    &GEMV_W4_F16_ZEROS_G32_M16,
    &GEMV_W4_F16_SUM,
    &GEMV_W4_BF16_M8,
    &GEMV_W4_BF16_M16,
    &GEMV_W4_BF16_G32_M8,
    &GEMV_W4_BF16_G32_M16,
    &GEMV_W4_BF16_NESTED_M8,
    &GEMV_W4_BF16_NESTED_M16,
    &GEMV_W4_BF16_NESTED_G32_M8,
    &GEMV_W4_BF16_NESTED_G32_M16,
    &GEMV_W4_BF16_ZEROS_M8,
    &GEMV_W4_BF16_ZEROS_M16,
    &GEMV_W4_BF16_ZEROS_G32_M8,
    &GEMV_W4_BF16_ZEROS_G32_M16,
    &GEMV_W4_BF16_SUM,
];
