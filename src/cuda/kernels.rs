//! The table of kernels: one row for each symbol in `cuda/*.cu`.
//!
//! Grammar of a symbol: `<op>_<format>_<activations>[_<variant>]`; `w4` is any 4-bit format in the layout `mma_w4`.

use crate::cuda::args;

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
    /// The compute capabilities that have it.
    pub capabilities: Capabilities,
}

/// The compute capabilities that a kernel is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capabilities {
    /// This and all above.
    Since(u32),
    /// This alone: it uses what later ones do not have, as code for sm_90a does.
    Only(u32),
}

impl Capabilities {
    /// [`Capabilities::Since`].
    pub const fn since(capability: u32) -> Self {
        Self::Since(capability)
    }

    /// [`Capabilities::Only`].
    pub const fn only(capability: u32) -> Self {
        Self::Only(capability)
    }

    /// Whether `capability` is among them.
    pub fn include(self, capability: u32) -> bool {
        match self {
            Self::Since(lowest) => lowest <= capability,
            Self::Only(one) => one == capability,
        }
    }
}

/// A constant for each kernel, and [`KERNELS`] with all of them: `file(Args) since capability { NAME: "symbol" of threads }`,
/// or `only capability`.
macro_rules! kernels {
    ($($file:ident($args:ident) $scope:ident $capability:literal {
        $($(#[$doc:meta])* $name:ident: $symbol:literal of $threads:literal,)*
    })*) => {
        $($(
            $(#[$doc])*
            pub const $name: Kernel = Kernel {
                file: stringify!($file),
                symbol: $symbol,
                threads: $threads,
                args_bytes: size_of::<args::$args>(),
                capabilities: Capabilities::$scope($capability),
            };
        )*)*

        /// Every kernel of the crate.
        pub const KERNELS: &[&Kernel] = &[$($(&$name,)*)*];
    };
}

kernels! {
    dequant_int8(DequantInt8Args) since 80 {
        /// INT8 by absmax to f32.
        DEQUANT_INT8_F32: "dequant_int8_f32" of 256,
        /// INT8 by absmax to f16.
        DEQUANT_INT8_F16: "dequant_int8_f16" of 256,
        /// INT8 by absmax to bf16.
        DEQUANT_INT8_BF16: "dequant_int8_bf16" of 256,
        /// Affine INT8 to f32.
        DEQUANT_AFFINE_INT8_F32: "dequant_affine_int8_f32" of 256,
        /// Affine INT8 to f16.
        DEQUANT_AFFINE_INT8_F16: "dequant_affine_int8_f16" of 256,
        /// Affine INT8 to bf16.
        DEQUANT_AFFINE_INT8_BF16: "dequant_affine_int8_bf16" of 256,
        /// The dynamic 8-bit map to f32.
        DEQUANT_DYNAMIC8_F32: "dequant_dynamic8_f32" of 256,
        /// The dynamic 8-bit map to f16.
        DEQUANT_DYNAMIC8_F16: "dequant_dynamic8_f16" of 256,
        /// The dynamic 8-bit map to bf16.
        DEQUANT_DYNAMIC8_BF16: "dequant_dynamic8_bf16" of 256,
    }
    dequant_w4(DequantW4Args) since 80 {
        /// 4-bit weights to f32.
        DEQUANT_W4_F32: "dequant_w4_f32" of 256,
        /// 4-bit weights to f16.
        DEQUANT_W4_F16: "dequant_w4_f16" of 256,
        /// 4-bit weights to bf16.
        DEQUANT_W4_BF16: "dequant_w4_bf16" of 256,
        /// 4-bit weights whose groups run across rows or have any length, to f32.
        DEQUANT_W4_F32_FLAT: "dequant_w4_f32_flat" of 256,
        /// The same to f16.
        DEQUANT_W4_F16_FLAT: "dequant_w4_f16_flat" of 256,
        /// The same to bf16.
        DEQUANT_W4_BF16_FLAT: "dequant_w4_bf16_flat" of 256,
    }
    dequant_w4a8(DequantW4A8Args) since 80 {
        /// `int4_channel_group` to f32.
        DEQUANT_W4A8_F32: "dequant_w4a8_f32" of 256,
        /// `int4_channel_group` to f16.
        DEQUANT_W4A8_F16: "dequant_w4a8_f16" of 256,
        /// `int4_channel_group` to bf16.
        DEQUANT_W4A8_BF16: "dequant_w4a8_bf16" of 256,
    }
    gemm_dense(GemmDenseArgs) since 80 {
        /// f16, 128 x 128 tiles.
        GEMM_DENSE_F16: "gemm_dense_f16" of 128,
        /// f16, 64 x 64 tiles.
        GEMM_DENSE_F16_SMALL: "gemm_dense_f16_small" of 128,
        /// f16, rows at any address.
        GEMM_DENSE_F16_UNALIGNED: "gemm_dense_f16_unaligned" of 128,
        /// bf16, 128 x 128 tiles.
        GEMM_DENSE_BF16: "gemm_dense_bf16" of 128,
        /// bf16, 64 x 64 tiles.
        GEMM_DENSE_BF16_SMALL: "gemm_dense_bf16_small" of 128,
        /// bf16, rows at any address.
        GEMM_DENSE_BF16_UNALIGNED: "gemm_dense_bf16_unaligned" of 128,
        /// Adds up the splits of K, f16.
        GEMM_DENSE_REDUCE_F16: "gemm_dense_reduce_f16" of 256,
        /// Adds up the splits of K, bf16.
        GEMM_DENSE_REDUCE_BF16: "gemm_dense_reduce_bf16" of 256,
        /// f32 x and W.
        GEMM_DENSE_F32: "gemm_dense_f32" of 128,
        /// f32 x and W, f16 y.
        GEMM_DENSE_F32_F16: "gemm_dense_f32_f16" of 128,
        /// f32 x and W, bf16 y.
        GEMM_DENSE_F32_BF16: "gemm_dense_f32_bf16" of 128,
        /// y += bias, f16.
        ADD_BIAS_F16: "add_bias_f16" of 256,
        /// y += bias, bf16.
        ADD_BIAS_BF16: "add_bias_bf16" of 256,
        /// y += bias, f32.
        ADD_BIAS_F32: "add_bias_f32" of 256,
    }
    gemm_int4(GemmInt4Args) since 80 {
        /// f16, 128 x 128 tiles.
        GEMM_INT4_F16: "gemm_int4_f16" of 128,
        /// f16, 64 x 64 tiles.
        GEMM_INT4_F16_SMALL: "gemm_int4_f16_small" of 128,
        /// f16, a scale per group, 128 x 128 tiles.
        GEMM_INT4_F16_GROUP: "gemm_int4_f16_group" of 128,
        /// f16, a scale per group, 64 x 64 tiles.
        GEMM_INT4_F16_GROUP_SMALL: "gemm_int4_f16_group_small" of 128,
        /// Adds up the splits of K, f16.
        GEMM_INT4_REDUCE_F16: "gemm_int4_reduce_f16" of 256,
        /// Adds up the splits of K, a scale per group, f16.
        GEMM_INT4_REDUCE_GROUP_F16: "gemm_int4_reduce_group_f16" of 256,
        /// bf16, 128 x 128 tiles.
        GEMM_INT4_BF16: "gemm_int4_bf16" of 128,
        /// bf16, 64 x 64 tiles.
        GEMM_INT4_BF16_SMALL: "gemm_int4_bf16_small" of 128,
        /// bf16, a scale per group, 128 x 128 tiles.
        GEMM_INT4_BF16_GROUP: "gemm_int4_bf16_group" of 128,
        /// bf16, a scale per group, 64 x 64 tiles.
        GEMM_INT4_BF16_GROUP_SMALL: "gemm_int4_bf16_group_small" of 128,
        /// Adds up the splits of K, bf16.
        GEMM_INT4_REDUCE_BF16: "gemm_int4_reduce_bf16" of 256,
        /// Adds up the splits of K, a scale per group, bf16.
        GEMM_INT4_REDUCE_GROUP_BF16: "gemm_int4_reduce_group_bf16" of 256,
    }
    gemm_int4(DequantInt4Args) since 80 {
        /// Rows of s4 to f32.
        DEQUANT_INT4_F32: "dequant_int4_f32" of 256,
        /// Rows of s4 to f16.
        DEQUANT_INT4_F16: "dequant_int4_f16" of 256,
        /// Rows of s4 to bf16.
        DEQUANT_INT4_BF16: "dequant_int4_bf16" of 256,
    }
    gemm_int8(GemmInt8Args) since 80 {
        /// f16, 128 x 128 tiles.
        GEMM_INT8_F16: "gemm_int8_f16" of 128,
        /// f16, 64 x 64 tiles.
        GEMM_INT8_F16_SMALL: "gemm_int8_f16_small" of 128,
        /// f16, rows at any address.
        GEMM_INT8_F16_UNALIGNED: "gemm_int8_f16_unaligned" of 128,
        /// f16, affine INT8.
        GEMM_INT8_F16_AFFINE: "gemm_int8_f16_affine" of 128,
        /// f16, affine INT8, rows at any address.
        GEMM_INT8_F16_AFFINE_UNALIGNED: "gemm_int8_f16_affine_unaligned" of 128,
        /// Adds up the splits of K, f16.
        GEMM_INT8_REDUCE_F16: "gemm_int8_reduce_f16" of 256,
        /// bf16, 128 x 128 tiles.
        GEMM_INT8_BF16: "gemm_int8_bf16" of 128,
        /// bf16, 64 x 64 tiles.
        GEMM_INT8_BF16_SMALL: "gemm_int8_bf16_small" of 128,
        /// bf16, rows at any address.
        GEMM_INT8_BF16_UNALIGNED: "gemm_int8_bf16_unaligned" of 128,
        /// bf16, affine INT8.
        GEMM_INT8_BF16_AFFINE: "gemm_int8_bf16_affine" of 128,
        /// bf16, affine INT8, rows at any address.
        GEMM_INT8_BF16_AFFINE_UNALIGNED: "gemm_int8_bf16_affine_unaligned" of 128,
        /// Adds up the splits of K, bf16.
        GEMM_INT8_REDUCE_BF16: "gemm_int8_reduce_bf16" of 256,
    }
    gemm_int8_sm90(GemmInt8Sm90Args) only 90 {
        /// f16, tiles of 16 tokens.
        GEMM_INT8_SM90_F16_M16: "gemm_int8_sm90_f16_m16" of 384,
        /// f16, tiles of 64 tokens.
        GEMM_INT8_SM90_F16_M64: "gemm_int8_sm90_f16_m64" of 384,
        /// f16, tiles of 128 tokens.
        GEMM_INT8_SM90_F16_M128: "gemm_int8_sm90_f16_m128" of 384,
        /// f16, tiles of 192 tokens.
        GEMM_INT8_SM90_F16_M192: "gemm_int8_sm90_f16_m192" of 384,
        /// f16, tiles of 256 tokens.
        GEMM_INT8_SM90_F16_M256: "gemm_int8_sm90_f16_m256" of 384,
        /// f16, affine INT8, tiles of 16 tokens.
        GEMM_INT8_SM90_F16_AFFINE_M16: "gemm_int8_sm90_f16_affine_m16" of 384,
        /// f16, affine INT8, tiles of 64 tokens.
        GEMM_INT8_SM90_F16_AFFINE_M64: "gemm_int8_sm90_f16_affine_m64" of 384,
        /// f16, affine INT8, tiles of 128 tokens.
        GEMM_INT8_SM90_F16_AFFINE_M128: "gemm_int8_sm90_f16_affine_m128" of 384,
        /// f16, affine INT8, tiles of 192 tokens.
        GEMM_INT8_SM90_F16_AFFINE_M192: "gemm_int8_sm90_f16_affine_m192" of 384,
        /// f16, affine INT8, tiles of 256 tokens.
        GEMM_INT8_SM90_F16_AFFINE_M256: "gemm_int8_sm90_f16_affine_m256" of 384,
        /// bf16, tiles of 16 tokens.
        GEMM_INT8_SM90_BF16_M16: "gemm_int8_sm90_bf16_m16" of 384,
        /// bf16, tiles of 64 tokens.
        GEMM_INT8_SM90_BF16_M64: "gemm_int8_sm90_bf16_m64" of 384,
        /// bf16, tiles of 128 tokens.
        GEMM_INT8_SM90_BF16_M128: "gemm_int8_sm90_bf16_m128" of 384,
        /// bf16, tiles of 192 tokens.
        GEMM_INT8_SM90_BF16_M192: "gemm_int8_sm90_bf16_m192" of 384,
        /// bf16, tiles of 256 tokens.
        GEMM_INT8_SM90_BF16_M256: "gemm_int8_sm90_bf16_m256" of 384,
        /// bf16, affine INT8, tiles of 16 tokens.
        GEMM_INT8_SM90_BF16_AFFINE_M16: "gemm_int8_sm90_bf16_affine_m16" of 384,
        /// bf16, affine INT8, tiles of 64 tokens.
        GEMM_INT8_SM90_BF16_AFFINE_M64: "gemm_int8_sm90_bf16_affine_m64" of 384,
        /// bf16, affine INT8, tiles of 128 tokens.
        GEMM_INT8_SM90_BF16_AFFINE_M128: "gemm_int8_sm90_bf16_affine_m128" of 384,
        /// bf16, affine INT8, tiles of 192 tokens.
        GEMM_INT8_SM90_BF16_AFFINE_M192: "gemm_int8_sm90_bf16_affine_m192" of 384,
        /// bf16, affine INT8, tiles of 256 tokens.
        GEMM_INT8_SM90_BF16_AFFINE_M256: "gemm_int8_sm90_bf16_affine_m256" of 384,
    }
    gemm_w4(GemmW4Args) since 80 {
        /// f16 activations, 32 rows of x at a time, f32 or double-quantized scales.
        GEMM_W4_F16_M32: "gemm_w4_f16_m32" of 256,
        /// f16 activations, 32 rows of x at a time, f32 or double-quantized scales, groups of 32.
        GEMM_W4_F16_G32_M32: "gemm_w4_f16_g32_m32" of 256,
        /// f16 activations, 32 rows of x at a time, zero points.
        GEMM_W4_F16_ZEROS_M32: "gemm_w4_f16_zeros_m32" of 256,
        /// f16 activations, 32 rows of x at a time, zero points, groups of 32.
        GEMM_W4_F16_ZEROS_G32_M32: "gemm_w4_f16_zeros_g32_m32" of 256,
        /// f16 activations, 64 rows of x at a time, f32 or double-quantized scales.
        GEMM_W4_F16_M64: "gemm_w4_f16_m64" of 256,
        /// f16 activations, 64 rows of x at a time, zero points.
        GEMM_W4_F16_ZEROS_M64: "gemm_w4_f16_zeros_m64" of 256,
        /// bf16 activations, 32 rows of x at a time, f32 or double-quantized scales.
        GEMM_W4_BF16_M32: "gemm_w4_bf16_m32" of 256,
        /// bf16 activations, 32 rows of x at a time, f32 or double-quantized scales, groups of 32.
        GEMM_W4_BF16_G32_M32: "gemm_w4_bf16_g32_m32" of 256,
        /// bf16 activations, 32 rows of x at a time, zero points.
        GEMM_W4_BF16_ZEROS_M32: "gemm_w4_bf16_zeros_m32" of 256,
        /// bf16 activations, 32 rows of x at a time, zero points, groups of 32.
        GEMM_W4_BF16_ZEROS_G32_M32: "gemm_w4_bf16_zeros_g32_m32" of 256,
        /// bf16 activations, 64 rows of x at a time, f32 or double-quantized scales.
        GEMM_W4_BF16_M64: "gemm_w4_bf16_m64" of 256,
        /// bf16 activations, 64 rows of x at a time, zero points.
        GEMM_W4_BF16_ZEROS_M64: "gemm_w4_bf16_zeros_m64" of 256,
    }
    gemm_w4a8(GemmInt8Args) since 80 {
        /// f16, 128 rows of x to a block.
        GEMM_W4A8_F16: "gemm_w4a8_f16" of 128,
        /// f16, 64 rows of x to a block.
        GEMM_W4A8_F16_M64: "gemm_w4a8_f16_m64" of 128,
        /// f16, 32 rows of x to a block.
        GEMM_W4A8_F16_M32: "gemm_w4a8_f16_m32" of 128,
        /// f16, 16 rows of x to a block.
        GEMM_W4A8_F16_M16: "gemm_w4a8_f16_m16" of 128,
        /// f16, rows of x at any address.
        GEMM_W4A8_F16_UNALIGNED: "gemm_w4a8_f16_unaligned" of 128,
        /// bf16, 128 rows of x to a block.
        GEMM_W4A8_BF16: "gemm_w4a8_bf16" of 128,
        /// bf16, 64 rows of x to a block.
        GEMM_W4A8_BF16_M64: "gemm_w4a8_bf16_m64" of 128,
        /// bf16, 32 rows of x to a block.
        GEMM_W4A8_BF16_M32: "gemm_w4a8_bf16_m32" of 128,
        /// bf16, 16 rows of x to a block.
        GEMM_W4A8_BF16_M16: "gemm_w4a8_bf16_m16" of 128,
        /// bf16, rows of x at any address.
        GEMM_W4A8_BF16_UNALIGNED: "gemm_w4a8_bf16_unaligned" of 128,
    }
    gemm_w4a8_sm90(GemmInt8Sm90Args) only 90 {
        /// f16, tiles of 16 tokens.
        GEMM_W4A8_SM90_F16_M16: "gemm_w4a8_sm90_f16_m16" of 384,
        /// f16, tiles of 64 tokens.
        GEMM_W4A8_SM90_F16_M64: "gemm_w4a8_sm90_f16_m64" of 384,
        /// f16, tiles of 128 tokens.
        GEMM_W4A8_SM90_F16_M128: "gemm_w4a8_sm90_f16_m128" of 384,
        /// bf16, tiles of 16 tokens.
        GEMM_W4A8_SM90_BF16_M16: "gemm_w4a8_sm90_bf16_m16" of 384,
        /// bf16, tiles of 64 tokens.
        GEMM_W4A8_SM90_BF16_M64: "gemm_w4a8_sm90_bf16_m64" of 384,
        /// bf16, tiles of 128 tokens.
        GEMM_W4A8_SM90_BF16_M128: "gemm_w4a8_sm90_bf16_m128" of 384,
    }
    gemm_w4_sm90(GemmW4Sm90Args) only 90 {
        /// f16 activations, 16 rows at a time, f32 scales.
        GEMM_W4_SM90_F16_M16: "gemm_w4_sm90_f16_m16" of 384,
        /// f16 activations, 32 rows at a time, f32 scales.
        GEMM_W4_SM90_F16_M32: "gemm_w4_sm90_f16_m32" of 384,
        /// f16 activations, 64 rows at a time, f32 scales.
        GEMM_W4_SM90_F16_M64: "gemm_w4_sm90_f16_m64" of 384,
        /// f16 activations, 128 rows at a time, f32 scales.
        GEMM_W4_SM90_F16_M128: "gemm_w4_sm90_f16_m128" of 384,
        /// f16 activations, 16 rows at a time, f32 scales, groups of 32.
        GEMM_W4_SM90_F16_M16_G32: "gemm_w4_sm90_f16_m16_g32" of 384,
        /// f16 activations, 32 rows at a time, f32 scales, groups of 32.
        GEMM_W4_SM90_F16_M32_G32: "gemm_w4_sm90_f16_m32_g32" of 384,
        /// f16 activations, 64 rows at a time, f32 scales, groups of 32.
        GEMM_W4_SM90_F16_M64_G32: "gemm_w4_sm90_f16_m64_g32" of 384,
        /// f16 activations, 128 rows at a time, f32 scales, groups of 32.
        GEMM_W4_SM90_F16_M128_G32: "gemm_w4_sm90_f16_m128_g32" of 384,
        /// f16 activations, 16 rows at a time, double-quantized scales.
        GEMM_W4_SM90_F16_M16_NESTED: "gemm_w4_sm90_f16_m16_nested" of 384,
        /// f16 activations, 32 rows at a time, double-quantized scales.
        GEMM_W4_SM90_F16_M32_NESTED: "gemm_w4_sm90_f16_m32_nested" of 384,
        /// f16 activations, 64 rows at a time, double-quantized scales.
        GEMM_W4_SM90_F16_M64_NESTED: "gemm_w4_sm90_f16_m64_nested" of 384,
        /// f16 activations, 128 rows at a time, double-quantized scales.
        GEMM_W4_SM90_F16_M128_NESTED: "gemm_w4_sm90_f16_m128_nested" of 384,
        /// f16 activations, 16 rows at a time, double-quantized scales, groups of 32.
        GEMM_W4_SM90_F16_M16_NESTED_G32: "gemm_w4_sm90_f16_m16_nested_g32" of 384,
        /// f16 activations, 32 rows at a time, double-quantized scales, groups of 32.
        GEMM_W4_SM90_F16_M32_NESTED_G32: "gemm_w4_sm90_f16_m32_nested_g32" of 384,
        /// f16 activations, 64 rows at a time, double-quantized scales, groups of 32.
        GEMM_W4_SM90_F16_M64_NESTED_G32: "gemm_w4_sm90_f16_m64_nested_g32" of 384,
        /// f16 activations, 128 rows at a time, double-quantized scales, groups of 32.
        GEMM_W4_SM90_F16_M128_NESTED_G32: "gemm_w4_sm90_f16_m128_nested_g32" of 384,
        /// f16 activations, 16 rows at a time, zero points.
        GEMM_W4_SM90_F16_M16_ZEROS: "gemm_w4_sm90_f16_m16_zeros" of 384,
        /// f16 activations, 32 rows at a time, zero points.
        GEMM_W4_SM90_F16_M32_ZEROS: "gemm_w4_sm90_f16_m32_zeros" of 384,
        /// f16 activations, 64 rows at a time, zero points.
        GEMM_W4_SM90_F16_M64_ZEROS: "gemm_w4_sm90_f16_m64_zeros" of 384,
        /// f16 activations, 128 rows at a time, zero points.
        GEMM_W4_SM90_F16_M128_ZEROS: "gemm_w4_sm90_f16_m128_zeros" of 384,
        /// f16 activations, 16 rows at a time, zero points, groups of 32.
        GEMM_W4_SM90_F16_M16_ZEROS_G32: "gemm_w4_sm90_f16_m16_zeros_g32" of 384,
        /// f16 activations, 32 rows at a time, zero points, groups of 32.
        GEMM_W4_SM90_F16_M32_ZEROS_G32: "gemm_w4_sm90_f16_m32_zeros_g32" of 384,
        /// f16 activations, 64 rows at a time, zero points, groups of 32.
        GEMM_W4_SM90_F16_M64_ZEROS_G32: "gemm_w4_sm90_f16_m64_zeros_g32" of 384,
        /// f16 activations, 128 rows at a time, zero points, groups of 32.
        GEMM_W4_SM90_F16_M128_ZEROS_G32: "gemm_w4_sm90_f16_m128_zeros_g32" of 384,
        /// bf16 activations, 16 rows at a time, f32 scales.
        GEMM_W4_SM90_BF16_M16: "gemm_w4_sm90_bf16_m16" of 384,
        /// bf16 activations, 32 rows at a time, f32 scales.
        GEMM_W4_SM90_BF16_M32: "gemm_w4_sm90_bf16_m32" of 384,
        /// bf16 activations, 64 rows at a time, f32 scales.
        GEMM_W4_SM90_BF16_M64: "gemm_w4_sm90_bf16_m64" of 384,
        /// bf16 activations, 128 rows at a time, f32 scales.
        GEMM_W4_SM90_BF16_M128: "gemm_w4_sm90_bf16_m128" of 384,
        /// bf16 activations, 16 rows at a time, f32 scales, groups of 32.
        GEMM_W4_SM90_BF16_M16_G32: "gemm_w4_sm90_bf16_m16_g32" of 384,
        /// bf16 activations, 32 rows at a time, f32 scales, groups of 32.
        GEMM_W4_SM90_BF16_M32_G32: "gemm_w4_sm90_bf16_m32_g32" of 384,
        /// bf16 activations, 64 rows at a time, f32 scales, groups of 32.
        GEMM_W4_SM90_BF16_M64_G32: "gemm_w4_sm90_bf16_m64_g32" of 384,
        /// bf16 activations, 128 rows at a time, f32 scales, groups of 32.
        GEMM_W4_SM90_BF16_M128_G32: "gemm_w4_sm90_bf16_m128_g32" of 384,
        /// bf16 activations, 16 rows at a time, double-quantized scales.
        GEMM_W4_SM90_BF16_M16_NESTED: "gemm_w4_sm90_bf16_m16_nested" of 384,
        /// bf16 activations, 32 rows at a time, double-quantized scales.
        GEMM_W4_SM90_BF16_M32_NESTED: "gemm_w4_sm90_bf16_m32_nested" of 384,
        /// bf16 activations, 64 rows at a time, double-quantized scales.
        GEMM_W4_SM90_BF16_M64_NESTED: "gemm_w4_sm90_bf16_m64_nested" of 384,
        /// bf16 activations, 128 rows at a time, double-quantized scales.
        GEMM_W4_SM90_BF16_M128_NESTED: "gemm_w4_sm90_bf16_m128_nested" of 384,
        /// bf16 activations, 16 rows at a time, double-quantized scales, groups of 32.
        GEMM_W4_SM90_BF16_M16_NESTED_G32: "gemm_w4_sm90_bf16_m16_nested_g32" of 384,
        /// bf16 activations, 32 rows at a time, double-quantized scales, groups of 32.
        GEMM_W4_SM90_BF16_M32_NESTED_G32: "gemm_w4_sm90_bf16_m32_nested_g32" of 384,
        /// bf16 activations, 64 rows at a time, double-quantized scales, groups of 32.
        GEMM_W4_SM90_BF16_M64_NESTED_G32: "gemm_w4_sm90_bf16_m64_nested_g32" of 384,
        /// bf16 activations, 128 rows at a time, double-quantized scales, groups of 32.
        GEMM_W4_SM90_BF16_M128_NESTED_G32: "gemm_w4_sm90_bf16_m128_nested_g32" of 384,
        /// bf16 activations, 16 rows at a time, zero points.
        GEMM_W4_SM90_BF16_M16_ZEROS: "gemm_w4_sm90_bf16_m16_zeros" of 384,
        /// bf16 activations, 32 rows at a time, zero points.
        GEMM_W4_SM90_BF16_M32_ZEROS: "gemm_w4_sm90_bf16_m32_zeros" of 384,
        /// bf16 activations, 64 rows at a time, zero points.
        GEMM_W4_SM90_BF16_M64_ZEROS: "gemm_w4_sm90_bf16_m64_zeros" of 384,
        /// bf16 activations, 128 rows at a time, zero points.
        GEMM_W4_SM90_BF16_M128_ZEROS: "gemm_w4_sm90_bf16_m128_zeros" of 384,
        /// bf16 activations, 16 rows at a time, zero points, groups of 32.
        GEMM_W4_SM90_BF16_M16_ZEROS_G32: "gemm_w4_sm90_bf16_m16_zeros_g32" of 384,
        /// bf16 activations, 32 rows at a time, zero points, groups of 32.
        GEMM_W4_SM90_BF16_M32_ZEROS_G32: "gemm_w4_sm90_bf16_m32_zeros_g32" of 384,
        /// bf16 activations, 64 rows at a time, zero points, groups of 32.
        GEMM_W4_SM90_BF16_M64_ZEROS_G32: "gemm_w4_sm90_bf16_m64_zeros_g32" of 384,
        /// bf16 activations, 128 rows at a time, zero points, groups of 32.
        GEMM_W4_SM90_BF16_M128_ZEROS_G32: "gemm_w4_sm90_bf16_m128_zeros_g32" of 384,
    }
    gemv_w4(GemvW4Args) since 80 {
        /// f16 activations, M <= 8, f32 scales.
        GEMV_W4_F16_M8: "gemv_w4_f16_m8" of 512,
        /// f16 activations, M <= 16, f32 scales.
        GEMV_W4_F16_M16: "gemv_w4_f16_m16" of 512,
        /// f16 activations, M <= 8, f32 scales, groups of 32.
        GEMV_W4_F16_G32_M8: "gemv_w4_f16_g32_m8" of 512,
        /// f16 activations, M <= 16, f32 scales, groups of 32.
        GEMV_W4_F16_G32_M16: "gemv_w4_f16_g32_m16" of 512,
        /// f16 activations, M <= 8, double-quantized scales.
        GEMV_W4_F16_NESTED_M8: "gemv_w4_f16_nested_m8" of 512,
        /// f16 activations, M <= 16, double-quantized scales.
        GEMV_W4_F16_NESTED_M16: "gemv_w4_f16_nested_m16" of 512,
        /// f16 activations, M <= 8, double-quantized scales, groups of 32.
        GEMV_W4_F16_NESTED_G32_M8: "gemv_w4_f16_nested_g32_m8" of 512,
        /// f16 activations, M <= 16, double-quantized scales, groups of 32.
        GEMV_W4_F16_NESTED_G32_M16: "gemv_w4_f16_nested_g32_m16" of 512,
        /// f16 activations, M <= 8, zero points.
        GEMV_W4_F16_ZEROS_M8: "gemv_w4_f16_zeros_m8" of 512,
        /// f16 activations, M <= 16, zero points.
        GEMV_W4_F16_ZEROS_M16: "gemv_w4_f16_zeros_m16" of 512,
        /// f16 activations, M <= 8, zero points, groups of 32.
        GEMV_W4_F16_ZEROS_G32_M8: "gemv_w4_f16_zeros_g32_m8" of 512,
        /// f16 activations, M <= 16, zero points, groups of 32.
        GEMV_W4_F16_ZEROS_G32_M16: "gemv_w4_f16_zeros_g32_m16" of 512,
        /// Adds up the splits of K, f16.
        GEMV_W4_F16_SUM: "gemv_w4_f16_sum" of 512,
        /// bf16 activations, M <= 8, f32 scales.
        GEMV_W4_BF16_M8: "gemv_w4_bf16_m8" of 512,
        /// bf16 activations, M <= 16, f32 scales.
        GEMV_W4_BF16_M16: "gemv_w4_bf16_m16" of 512,
        /// bf16 activations, M <= 8, f32 scales, groups of 32.
        GEMV_W4_BF16_G32_M8: "gemv_w4_bf16_g32_m8" of 512,
        /// bf16 activations, M <= 16, f32 scales, groups of 32.
        GEMV_W4_BF16_G32_M16: "gemv_w4_bf16_g32_m16" of 512,
        /// bf16 activations, M <= 8, double-quantized scales.
        GEMV_W4_BF16_NESTED_M8: "gemv_w4_bf16_nested_m8" of 512,
        /// bf16 activations, M <= 16, double-quantized scales.
        GEMV_W4_BF16_NESTED_M16: "gemv_w4_bf16_nested_m16" of 512,
        /// bf16 activations, M <= 8, double-quantized scales, groups of 32.
        GEMV_W4_BF16_NESTED_G32_M8: "gemv_w4_bf16_nested_g32_m8" of 512,
        /// bf16 activations, M <= 16, double-quantized scales, groups of 32.
        GEMV_W4_BF16_NESTED_G32_M16: "gemv_w4_bf16_nested_g32_m16" of 512,
        /// bf16 activations, M <= 8, zero points.
        GEMV_W4_BF16_ZEROS_M8: "gemv_w4_bf16_zeros_m8" of 512,
        /// bf16 activations, M <= 16, zero points.
        GEMV_W4_BF16_ZEROS_M16: "gemv_w4_bf16_zeros_m16" of 512,
        /// bf16 activations, M <= 8, zero points, groups of 32.
        GEMV_W4_BF16_ZEROS_G32_M8: "gemv_w4_bf16_zeros_g32_m8" of 512,
        /// bf16 activations, M <= 16, zero points, groups of 32.
        GEMV_W4_BF16_ZEROS_G32_M16: "gemv_w4_bf16_zeros_g32_m16" of 512,
        /// Adds up the splits of K, bf16.
        GEMV_W4_BF16_SUM: "gemv_w4_bf16_sum" of 512,
    }
    quantize_int4(QuantizeInt4Args) since 80 {
        /// Rows of f16 to s4, a block a row.
        QUANTIZE_INT4_F16_ROWS: "quantize_int4_f16_rows" of 256,
        /// Rows of f16 to s4, a warp a row.
        QUANTIZE_INT4_F16_SHORT: "quantize_int4_f16_short" of 256,
        /// Rows of bf16 to s4, a block a row.
        QUANTIZE_INT4_BF16_ROWS: "quantize_int4_bf16_rows" of 256,
        /// Rows of bf16 to s4, a warp a row.
        QUANTIZE_INT4_BF16_SHORT: "quantize_int4_bf16_short" of 256,
    }
    quantize_int8(QuantizeRowsArgs) since 80 {
        /// Rows of f32 to INT8, a block a row.
        QUANTIZE_INT8_F32_ROWS: "quantize_int8_f32_rows" of 256,
        /// Rows of f32 to INT8, a warp a row.
        QUANTIZE_INT8_F32_SHORT: "quantize_int8_f32_short" of 256,
        /// Rows of f16 to INT8, a block a row.
        QUANTIZE_INT8_F16_ROWS: "quantize_int8_f16_rows" of 256,
        /// Rows of f16 to INT8, a warp a row.
        QUANTIZE_INT8_F16_SHORT: "quantize_int8_f16_short" of 256,
        /// Rows of bf16 to INT8, a block a row.
        QUANTIZE_INT8_BF16_ROWS: "quantize_int8_bf16_rows" of 256,
        /// Rows of bf16 to INT8, a warp a row.
        QUANTIZE_INT8_BF16_SHORT: "quantize_int8_bf16_short" of 256,
    }
    quantize_int8(OutliersArgs) since 80 {
        /// The columns of f32 that have outliers.
        QUANTIZE_INT8_F32_OUTLIERS: "quantize_int8_f32_outliers" of 256,
        /// The columns of f16 that have outliers.
        QUANTIZE_INT8_F16_OUTLIERS: "quantize_int8_f16_outliers" of 256,
        /// The columns of bf16 that have outliers.
        QUANTIZE_INT8_BF16_OUTLIERS: "quantize_int8_bf16_outliers" of 256,
    }
    quantize_int8(TensorAbsmaxArgs) since 80 {
        /// The absmax of all of a tensor of f32.
        QUANTIZE_INT8_F32_TENSOR: "quantize_int8_f32_tensor" of 256,
        /// The absmax of all of a tensor of f16.
        QUANTIZE_INT8_F16_TENSOR: "quantize_int8_f16_tensor" of 256,
        /// The absmax of all of a tensor of bf16.
        QUANTIZE_INT8_BF16_TENSOR: "quantize_int8_bf16_tensor" of 256,
    }
    quantize_int8(DequantRowsArgs) since 80 {
        /// Rounded rows of f32 to f32.
        DEQUANT_ROWS_INT8_F32: "dequant_rows_int8_f32" of 256,
        /// Rounded rows of f16 to f32.
        DEQUANT_ROWS_INT8_F16: "dequant_rows_int8_f16" of 256,
        /// Rounded rows of bf16 to f32.
        DEQUANT_ROWS_INT8_BF16: "dequant_rows_int8_bf16" of 256,
    }
    quantize_w4(QuantizeW4Args) since 80 {
        /// Blocks of f32 to NF4 or FP4.
        QUANTIZE_W4_F32: "quantize_w4_f32" of 256,
        /// Blocks of f16 to NF4 or FP4.
        QUANTIZE_W4_F16: "quantize_w4_f16" of 256,
        /// Blocks of bf16 to NF4 or FP4.
        QUANTIZE_W4_BF16: "quantize_w4_bf16" of 256,
    }
    quantize_w4(NestAbsmaxArgs) since 80 {
        /// Sums of runs of absmax values.
        QUANTIZE_W4_NEST_SUMS: "quantize_w4_nest_sums" of 256,
        /// The mean of absmax values.
        QUANTIZE_W4_NEST_MEAN: "quantize_w4_nest_mean" of 256,
        /// Absmax values to 8 bits.
        QUANTIZE_W4_NEST_CODES: "quantize_w4_nest_codes" of 256,
    }
}
