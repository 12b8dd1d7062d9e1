//! The table of kernels: one row for each symbol in `cuda/*.cu`.
//!
//! Grammar of a symbol: `<op>_<format>_<activations>[_<variant>]`; `w4` is any 4-bit format in the layout `mma_w4`.

use crate::cuda::args::DequantInt8Args;
use crate::cuda::args::DequantRowsArgs;
use crate::cuda::args::GemmDenseArgs;
use crate::cuda::args::GemmInt8Args;
use crate::cuda::args::OutliersArgs;
use crate::cuda::args::QuantizeRowsArgs;
use crate::cuda::args::TensorAbsmaxArgs;

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

const fn dequant_int8(symbol: &'static str) -> Kernel {
    Kernel { file: "dequant_int8", symbol, threads: 256, args_bytes: size_of::<DequantInt8Args>(), min_capability: 80 }
}

/// INT8 by absmax to f32.
pub const DEQUANT_INT8_F32: Kernel = dequant_int8("dequant_int8_f32");
/// INT8 by absmax to f16.
pub const DEQUANT_INT8_F16: Kernel = dequant_int8("dequant_int8_f16");
/// INT8 by absmax to bf16.
pub const DEQUANT_INT8_BF16: Kernel = dequant_int8("dequant_int8_bf16");
/// Affine INT8 to f32.
pub const DEQUANT_AFFINE_INT8_F32: Kernel = dequant_int8("dequant_affine_int8_f32");
/// Affine INT8 to f16.
pub const DEQUANT_AFFINE_INT8_F16: Kernel = dequant_int8("dequant_affine_int8_f16");
/// Affine INT8 to bf16.
pub const DEQUANT_AFFINE_INT8_BF16: Kernel = dequant_int8("dequant_affine_int8_bf16");
/// The dynamic 8-bit map to f32.
pub const DEQUANT_DYNAMIC8_F32: Kernel = dequant_int8("dequant_dynamic8_f32");
/// The dynamic 8-bit map to f16.
pub const DEQUANT_DYNAMIC8_F16: Kernel = dequant_int8("dequant_dynamic8_f16");
/// The dynamic 8-bit map to bf16.
pub const DEQUANT_DYNAMIC8_BF16: Kernel = dequant_int8("dequant_dynamic8_bf16");

const fn quantize_int8(symbol: &'static str) -> Kernel {
    Kernel {
        file: "quantize_int8",
        symbol,
        threads: 256,
        args_bytes: size_of::<QuantizeRowsArgs>(),
        min_capability: 80,
    }
}

/// Rows of f32 to INT8, a block a row.
pub const QUANTIZE_INT8_F32_ROWS: Kernel = quantize_int8("quantize_int8_f32_rows");
/// Rows of f32 to INT8, a warp a row.
pub const QUANTIZE_INT8_F32_SHORT: Kernel = quantize_int8("quantize_int8_f32_short");
/// Rows of f16 to INT8, a block a row.
pub const QUANTIZE_INT8_F16_ROWS: Kernel = quantize_int8("quantize_int8_f16_rows");
/// Rows of f16 to INT8, a warp a row.
pub const QUANTIZE_INT8_F16_SHORT: Kernel = quantize_int8("quantize_int8_f16_short");
/// Rows of bf16 to INT8, a block a row.
pub const QUANTIZE_INT8_BF16_ROWS: Kernel = quantize_int8("quantize_int8_bf16_rows");
/// Rows of bf16 to INT8, a warp a row.
pub const QUANTIZE_INT8_BF16_SHORT: Kernel = quantize_int8("quantize_int8_bf16_short");

const fn quantize_int8_outliers(symbol: &'static str) -> Kernel {
    Kernel { file: "quantize_int8", symbol, threads: 256, args_bytes: size_of::<OutliersArgs>(), min_capability: 80 }
}

/// The columns of f32 that have outliers.
pub const QUANTIZE_INT8_F32_OUTLIERS: Kernel = quantize_int8_outliers("quantize_int8_f32_outliers");
/// The columns of f16 that have outliers.
pub const QUANTIZE_INT8_F16_OUTLIERS: Kernel = quantize_int8_outliers("quantize_int8_f16_outliers");
/// The columns of bf16 that have outliers.
pub const QUANTIZE_INT8_BF16_OUTLIERS: Kernel = quantize_int8_outliers("quantize_int8_bf16_outliers");

const fn quantize_int8_tensor(symbol: &'static str) -> Kernel {
    Kernel {
        file: "quantize_int8",
        symbol,
        threads: 256,
        args_bytes: size_of::<TensorAbsmaxArgs>(),
        min_capability: 80,
    }
}

/// The absmax of all of a tensor of f32.
pub const QUANTIZE_INT8_F32_TENSOR: Kernel = quantize_int8_tensor("quantize_int8_f32_tensor");
/// The absmax of all of a tensor of f16.
pub const QUANTIZE_INT8_F16_TENSOR: Kernel = quantize_int8_tensor("quantize_int8_f16_tensor");
/// The absmax of all of a tensor of bf16.
pub const QUANTIZE_INT8_BF16_TENSOR: Kernel = quantize_int8_tensor("quantize_int8_bf16_tensor");

const fn dequant_rows_int8(symbol: &'static str) -> Kernel {
    Kernel { file: "quantize_int8", symbol, threads: 256, args_bytes: size_of::<DequantRowsArgs>(), min_capability: 80 }
}

/// Rounded rows of f32 to f32.
pub const DEQUANT_ROWS_INT8_F32: Kernel = dequant_rows_int8("dequant_rows_int8_f32");
/// Rounded rows of f16 to f32.
pub const DEQUANT_ROWS_INT8_F16: Kernel = dequant_rows_int8("dequant_rows_int8_f16");
/// Rounded rows of bf16 to f32.
pub const DEQUANT_ROWS_INT8_BF16: Kernel = dequant_rows_int8("dequant_rows_int8_bf16");

/// A kernel of `gemm_int8.cu`.
const fn gemm_int8(symbol: &'static str, threads: u32) -> Kernel {
    Kernel { file: "gemm_int8", symbol, threads, args_bytes: size_of::<GemmInt8Args>(), min_capability: 80 }
}

/// f16, 128 x 128 tiles.
pub const GEMM_INT8_F16: Kernel = gemm_int8("gemm_int8_f16", 128);
/// f16, 64 x 64 tiles.
pub const GEMM_INT8_F16_SMALL: Kernel = gemm_int8("gemm_int8_f16_small", 128);
/// f16, rows at any address.
pub const GEMM_INT8_F16_UNALIGNED: Kernel = gemm_int8("gemm_int8_f16_unaligned", 128);
/// f16, affine INT8.
pub const GEMM_INT8_F16_AFFINE: Kernel = gemm_int8("gemm_int8_f16_affine", 128);
/// f16, affine INT8, rows at any address.
pub const GEMM_INT8_F16_AFFINE_UNALIGNED: Kernel = gemm_int8("gemm_int8_f16_affine_unaligned", 128);
/// Adds up the splits of K, f16.
pub const GEMM_INT8_REDUCE_F16: Kernel = gemm_int8("gemm_int8_reduce_f16", 256);
/// bf16, 128 x 128 tiles.
pub const GEMM_INT8_BF16: Kernel = gemm_int8("gemm_int8_bf16", 128);
/// bf16, 64 x 64 tiles.
pub const GEMM_INT8_BF16_SMALL: Kernel = gemm_int8("gemm_int8_bf16_small", 128);
/// bf16, rows at any address.
pub const GEMM_INT8_BF16_UNALIGNED: Kernel = gemm_int8("gemm_int8_bf16_unaligned", 128);
/// bf16, affine INT8.
pub const GEMM_INT8_BF16_AFFINE: Kernel = gemm_int8("gemm_int8_bf16_affine", 128);
/// bf16, affine INT8, rows at any address.
pub const GEMM_INT8_BF16_AFFINE_UNALIGNED: Kernel = gemm_int8("gemm_int8_bf16_affine_unaligned", 128);
/// Adds up the splits of K, bf16.
pub const GEMM_INT8_REDUCE_BF16: Kernel = gemm_int8("gemm_int8_reduce_bf16", 256);

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
    &GEMM_INT8_F16,
    &GEMM_INT8_F16_SMALL,
    &GEMM_INT8_F16_UNALIGNED,
    &GEMM_INT8_F16_AFFINE,
    &GEMM_INT8_F16_AFFINE_UNALIGNED,
    &GEMM_INT8_REDUCE_F16,
    &GEMM_INT8_BF16,
    &GEMM_INT8_BF16_SMALL,
    &GEMM_INT8_BF16_UNALIGNED,
    &GEMM_INT8_BF16_AFFINE,
    &GEMM_INT8_BF16_AFFINE_UNALIGNED,
    &GEMM_INT8_REDUCE_BF16,
    &DEQUANT_INT8_F32,
    &DEQUANT_INT8_F16,
    &DEQUANT_INT8_BF16,
    &DEQUANT_AFFINE_INT8_F32,
    &DEQUANT_AFFINE_INT8_F16,
    &DEQUANT_AFFINE_INT8_BF16,
    &DEQUANT_DYNAMIC8_F32,
    &DEQUANT_DYNAMIC8_F16,
    &DEQUANT_DYNAMIC8_BF16,
    &QUANTIZE_INT8_F32_ROWS,
    &QUANTIZE_INT8_F32_SHORT,
    &QUANTIZE_INT8_F16_ROWS,
    &QUANTIZE_INT8_F16_SHORT,
    &QUANTIZE_INT8_BF16_ROWS,
    &QUANTIZE_INT8_BF16_SHORT,
    &QUANTIZE_INT8_F32_OUTLIERS,
    &QUANTIZE_INT8_F16_OUTLIERS,
    &QUANTIZE_INT8_BF16_OUTLIERS,
    &QUANTIZE_INT8_F32_TENSOR,
    &QUANTIZE_INT8_F16_TENSOR,
    &QUANTIZE_INT8_BF16_TENSOR,
    &DEQUANT_ROWS_INT8_F32,
    &DEQUANT_ROWS_INT8_F16,
    &DEQUANT_ROWS_INT8_BF16,
];
