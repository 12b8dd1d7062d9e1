//! The table of kernels: one row for each symbol in `cuda/*.cu`.
//!
//! Grammar of a symbol: `<op>_<format>_<activations>[_<variant>]`; `w4` is any 4-bit format in the layout `mma_w4`.

use crate::cuda::args::DequantW4Args;

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

/// Every kernel of the crate.
pub const KERNELS: &[&Kernel] = &[
    &DEQUANT_W4_F32,
    &DEQUANT_W4_F16,
    &DEQUANT_W4_BF16,
    &DEQUANT_W4_F32_FLAT,
    &DEQUANT_W4_F16_FLAT,
    &DEQUANT_W4_BF16_FLAT,
];

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
