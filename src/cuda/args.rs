// Made by bindgen from cuda/include/args.h; `make args` writes it.

/// Arguments of `gemm_dense`, all of its kernels. Sizes in elements, matrices row-major.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GemmDenseArgs {
    /// [M, K]
    pub x: u64,
    /// [N, K]
    pub w: u64,
    /// [N]; null: none
    pub bias: u64,
    /// [M, N]
    pub y: u64,
    /// [splits, M, N]; null when every block sums over all of K
    pub partials: u64,
    pub m: u32,
    pub n: u32,
    pub k: u32,
    /// values of K that one block sums over: a multiple of 32
    pub k_per_split: u32,
    pub splits: u32,
    /// 1: N is a multiple of 4 and y aligned to four of its elements
    pub whole_fours: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of GemmDenseArgs"][::core::mem::size_of::<GemmDenseArgs>() - 64usize];
    ["Alignment of GemmDenseArgs"][::core::mem::align_of::<GemmDenseArgs>() - 8usize];
    ["Offset of field: GemmDenseArgs::x"][::core::mem::offset_of!(GemmDenseArgs, x) - 0usize];
    ["Offset of field: GemmDenseArgs::w"][::core::mem::offset_of!(GemmDenseArgs, w) - 8usize];
    ["Offset of field: GemmDenseArgs::bias"][::core::mem::offset_of!(GemmDenseArgs, bias) - 16usize];
    ["Offset of field: GemmDenseArgs::y"][::core::mem::offset_of!(GemmDenseArgs, y) - 24usize];
    ["Offset of field: GemmDenseArgs::partials"][::core::mem::offset_of!(GemmDenseArgs, partials) - 32usize];
    ["Offset of field: GemmDenseArgs::m"][::core::mem::offset_of!(GemmDenseArgs, m) - 40usize];
    ["Offset of field: GemmDenseArgs::n"][::core::mem::offset_of!(GemmDenseArgs, n) - 44usize];
    ["Offset of field: GemmDenseArgs::k"][::core::mem::offset_of!(GemmDenseArgs, k) - 48usize];
    ["Offset of field: GemmDenseArgs::k_per_split"][::core::mem::offset_of!(GemmDenseArgs, k_per_split) - 52usize];
    ["Offset of field: GemmDenseArgs::splits"][::core::mem::offset_of!(GemmDenseArgs, splits) - 56usize];
    ["Offset of field: GemmDenseArgs::whole_fours"][::core::mem::offset_of!(GemmDenseArgs, whole_fours) - 60usize];
};
/// Arguments of `gemm_int8`, all of its kernels. Sizes in elements, matrices row-major.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GemmInt8Args {
    /// [M, K]
    pub x: u64,
    /// [N, K]: i8; u8 where codes are affine
    pub w: u64,
    /// [M]
    pub x_absmax: u64,
    /// [M], of each row's codes; null when all zero points are 0
    pub x_sums: u64,
    /// [N], or [1]
    pub w_scales: u64,
    /// as many; null: all are `zero_point`
    pub w_zero_points: u64,
    /// [N]; null: none
    pub bias: u64,
    /// [M, N]
    pub y: u64,
    /// [splits, M, N]; null when every block sums over all of K
    pub partials: u64,
    /// [M, N], beside `partials`
    pub outlier_sums: u64,
    /// how many columns are in floating point; null: none
    pub outlier_count: u64,
    /// [M, outlier_ld] of the type of y, zeros to a multiple of 16 columns
    pub outlier_x: u64,
    /// [N, outlier_ld], likewise
    pub outlier_w: u64,
    pub m: u32,
    pub n: u32,
    pub k: u32,
    /// values of K that one block sums over: a multiple of 64
    pub k_per_split: u32,
    pub splits: u32,
    /// 1: N is a multiple of 4 and y aligned to four of its elements
    pub whole_fours: u32,
    pub outlier_ld: u32,
    pub zero_point: u32,
    /// 0: one scale and zero point for all of W
    pub scale_per_row: u32,
    /// what all scales are multiplied by
    pub factor: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of GemmInt8Args"][::core::mem::size_of::<GemmInt8Args>() - 144usize];
    ["Alignment of GemmInt8Args"][::core::mem::align_of::<GemmInt8Args>() - 8usize];
    ["Offset of field: GemmInt8Args::x"][::core::mem::offset_of!(GemmInt8Args, x) - 0usize];
    ["Offset of field: GemmInt8Args::w"][::core::mem::offset_of!(GemmInt8Args, w) - 8usize];
    ["Offset of field: GemmInt8Args::x_absmax"][::core::mem::offset_of!(GemmInt8Args, x_absmax) - 16usize];
    ["Offset of field: GemmInt8Args::x_sums"][::core::mem::offset_of!(GemmInt8Args, x_sums) - 24usize];
    ["Offset of field: GemmInt8Args::w_scales"][::core::mem::offset_of!(GemmInt8Args, w_scales) - 32usize];
    ["Offset of field: GemmInt8Args::w_zero_points"][::core::mem::offset_of!(GemmInt8Args, w_zero_points) - 40usize];
    ["Offset of field: GemmInt8Args::bias"][::core::mem::offset_of!(GemmInt8Args, bias) - 48usize];
    ["Offset of field: GemmInt8Args::y"][::core::mem::offset_of!(GemmInt8Args, y) - 56usize];
    ["Offset of field: GemmInt8Args::partials"][::core::mem::offset_of!(GemmInt8Args, partials) - 64usize];
    ["Offset of field: GemmInt8Args::outlier_sums"][::core::mem::offset_of!(GemmInt8Args, outlier_sums) - 72usize];
    ["Offset of field: GemmInt8Args::outlier_count"][::core::mem::offset_of!(GemmInt8Args, outlier_count) - 80usize];
    ["Offset of field: GemmInt8Args::outlier_x"][::core::mem::offset_of!(GemmInt8Args, outlier_x) - 88usize];
    ["Offset of field: GemmInt8Args::outlier_w"][::core::mem::offset_of!(GemmInt8Args, outlier_w) - 96usize];
    ["Offset of field: GemmInt8Args::m"][::core::mem::offset_of!(GemmInt8Args, m) - 104usize];
    ["Offset of field: GemmInt8Args::n"][::core::mem::offset_of!(GemmInt8Args, n) - 108usize];
    ["Offset of field: GemmInt8Args::k"][::core::mem::offset_of!(GemmInt8Args, k) - 112usize];
    ["Offset of field: GemmInt8Args::k_per_split"][::core::mem::offset_of!(GemmInt8Args, k_per_split) - 116usize];
    ["Offset of field: GemmInt8Args::splits"][::core::mem::offset_of!(GemmInt8Args, splits) - 120usize];
    ["Offset of field: GemmInt8Args::whole_fours"][::core::mem::offset_of!(GemmInt8Args, whole_fours) - 124usize];
    ["Offset of field: GemmInt8Args::outlier_ld"][::core::mem::offset_of!(GemmInt8Args, outlier_ld) - 128usize];
    ["Offset of field: GemmInt8Args::zero_point"][::core::mem::offset_of!(GemmInt8Args, zero_point) - 132usize];
    ["Offset of field: GemmInt8Args::scale_per_row"][::core::mem::offset_of!(GemmInt8Args, scale_per_row) - 136usize];
    ["Offset of field: GemmInt8Args::factor"][::core::mem::offset_of!(GemmInt8Args, factor) - 140usize];
};
/// Arguments of `gemm_int8_sm90` and `gemm_w4a8_sm90`. x is in the layout wgmma_w8 (src/layout/wgmma_w8.rs), W there with its\n rows in pairs, here in the layout mma_w4a8 (src/layout/mma_w4a8.rs).\n\n A unit of work is a tile of y by a part of K; unit i is part i / (token_tiles * row_tiles).
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GemmInt8Sm90Args {
    pub product: GemmInt8Args,
    /// rows of x in eights
    pub x_atoms: u32,
    /// rows of W in eights, an even number; in the layout mma_w4a8 in units of 32
    pub w_blocks: u32,
    /// K in tiles of 128
    pub k_tiles: u32,
    /// of K
    pub tiles_per_split: u32,
    /// of y, along M
    pub token_tiles: u32,
    /// of y, along N
    pub row_tiles: u32,
    pub units: u32,
    /// 1: N is even and y aligned to two of its elements
    pub whole_pairs: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of GemmInt8Sm90Args"][::core::mem::size_of::<GemmInt8Sm90Args>() - 176usize];
    ["Alignment of GemmInt8Sm90Args"][::core::mem::align_of::<GemmInt8Sm90Args>() - 8usize];
    ["Offset of field: GemmInt8Sm90Args::product"][::core::mem::offset_of!(GemmInt8Sm90Args, product) - 0usize];
    ["Offset of field: GemmInt8Sm90Args::x_atoms"][::core::mem::offset_of!(GemmInt8Sm90Args, x_atoms) - 144usize];
    ["Offset of field: GemmInt8Sm90Args::w_blocks"][::core::mem::offset_of!(GemmInt8Sm90Args, w_blocks) - 148usize];
    ["Offset of field: GemmInt8Sm90Args::k_tiles"][::core::mem::offset_of!(GemmInt8Sm90Args, k_tiles) - 152usize];
    ["Offset of field: GemmInt8Sm90Args::tiles_per_split"]
        [::core::mem::offset_of!(GemmInt8Sm90Args, tiles_per_split) - 156usize];
    ["Offset of field: GemmInt8Sm90Args::token_tiles"]
        [::core::mem::offset_of!(GemmInt8Sm90Args, token_tiles) - 160usize];
    ["Offset of field: GemmInt8Sm90Args::row_tiles"][::core::mem::offset_of!(GemmInt8Sm90Args, row_tiles) - 164usize];
    ["Offset of field: GemmInt8Sm90Args::units"][::core::mem::offset_of!(GemmInt8Sm90Args, units) - 168usize];
    ["Offset of field: GemmInt8Sm90Args::whole_pairs"]
        [::core::mem::offset_of!(GemmInt8Sm90Args, whole_pairs) - 172usize];
};
/// Arguments of `gemm_int4`, its products. Codes are s4, two a byte, the even column in the low half; rows have `row_bytes`\n bytes, zeros beyond K.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GemmInt4Args {
    /// [M, row_bytes]
    pub x: u64,
    /// [N, row_bytes]
    pub w: u64,
    /// [M]
    pub x_absmax: u64,
    /// [parts, N rounded up to 128]; one part, or one for each 128 of K
    pub w_scales: u64,
    /// [N]; null: none
    pub bias: u64,
    /// [M, N]
    pub y: u64,
    /// [splits, M, N] s32, or f32 by groups; null when every block sums over all of K
    pub partials: u64,
    pub m: u32,
    pub n: u32,
    /// K / 2 rounded up to 16
    pub row_bytes: u32,
    /// of a row, that one block sums over: a multiple of 64
    pub bytes_per_split: u32,
    pub splits: u32,
    /// 1: N is a multiple of 4 and y aligned to four of its elements
    pub whole_fours: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of GemmInt4Args"][::core::mem::size_of::<GemmInt4Args>() - 80usize];
    ["Alignment of GemmInt4Args"][::core::mem::align_of::<GemmInt4Args>() - 8usize];
    ["Offset of field: GemmInt4Args::x"][::core::mem::offset_of!(GemmInt4Args, x) - 0usize];
    ["Offset of field: GemmInt4Args::w"][::core::mem::offset_of!(GemmInt4Args, w) - 8usize];
    ["Offset of field: GemmInt4Args::x_absmax"][::core::mem::offset_of!(GemmInt4Args, x_absmax) - 16usize];
    ["Offset of field: GemmInt4Args::w_scales"][::core::mem::offset_of!(GemmInt4Args, w_scales) - 24usize];
    ["Offset of field: GemmInt4Args::bias"][::core::mem::offset_of!(GemmInt4Args, bias) - 32usize];
    ["Offset of field: GemmInt4Args::y"][::core::mem::offset_of!(GemmInt4Args, y) - 40usize];
    ["Offset of field: GemmInt4Args::partials"][::core::mem::offset_of!(GemmInt4Args, partials) - 48usize];
    ["Offset of field: GemmInt4Args::m"][::core::mem::offset_of!(GemmInt4Args, m) - 56usize];
    ["Offset of field: GemmInt4Args::n"][::core::mem::offset_of!(GemmInt4Args, n) - 60usize];
    ["Offset of field: GemmInt4Args::row_bytes"][::core::mem::offset_of!(GemmInt4Args, row_bytes) - 64usize];
    ["Offset of field: GemmInt4Args::bytes_per_split"]
        [::core::mem::offset_of!(GemmInt4Args, bytes_per_split) - 68usize];
    ["Offset of field: GemmInt4Args::splits"][::core::mem::offset_of!(GemmInt4Args, splits) - 72usize];
    ["Offset of field: GemmInt4Args::whole_fours"][::core::mem::offset_of!(GemmInt4Args, whole_fours) - 76usize];
};
/// Arguments of `gemm_int4`, W as floats. Codes and scales as there.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct DequantInt4Args {
    pub w: u64,
    pub w_scales: u64,
    /// [N, K] of the kernel's type, 16-byte aligned
    pub out: u64,
    pub n: u32,
    pub k: u32,
    pub row_bytes: u32,
    /// 1: a part of `w_scales` for each 128 of K
    pub is_grouped: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DequantInt4Args"][::core::mem::size_of::<DequantInt4Args>() - 40usize];
    ["Alignment of DequantInt4Args"][::core::mem::align_of::<DequantInt4Args>() - 8usize];
    ["Offset of field: DequantInt4Args::w"][::core::mem::offset_of!(DequantInt4Args, w) - 0usize];
    ["Offset of field: DequantInt4Args::w_scales"][::core::mem::offset_of!(DequantInt4Args, w_scales) - 8usize];
    ["Offset of field: DequantInt4Args::out"][::core::mem::offset_of!(DequantInt4Args, out) - 16usize];
    ["Offset of field: DequantInt4Args::n"][::core::mem::offset_of!(DequantInt4Args, n) - 24usize];
    ["Offset of field: DequantInt4Args::k"][::core::mem::offset_of!(DequantInt4Args, k) - 28usize];
    ["Offset of field: DequantInt4Args::row_bytes"][::core::mem::offset_of!(DequantInt4Args, row_bytes) - 32usize];
    ["Offset of field: DequantInt4Args::is_grouped"][::core::mem::offset_of!(DequantInt4Args, is_grouped) - 36usize];
};
/// Arguments of `quantize_int4`, rows to s4 codes as `gemm_int4` takes them.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct QuantizeInt4Args {
    /// [M, K] of the kernel's type
    pub x: u64,
    /// [M, K / 2 rounded up to 16]
    pub codes: u64,
    /// [M]
    pub absmax: u64,
    pub m: u64,
    pub k: u32,
    /// 1: rows of x begin at multiples of 16 bytes
    pub is_aligned: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of QuantizeInt4Args"][::core::mem::size_of::<QuantizeInt4Args>() - 40usize];
    ["Alignment of QuantizeInt4Args"][::core::mem::align_of::<QuantizeInt4Args>() - 8usize];
    ["Offset of field: QuantizeInt4Args::x"][::core::mem::offset_of!(QuantizeInt4Args, x) - 0usize];
    ["Offset of field: QuantizeInt4Args::codes"][::core::mem::offset_of!(QuantizeInt4Args, codes) - 8usize];
    ["Offset of field: QuantizeInt4Args::absmax"][::core::mem::offset_of!(QuantizeInt4Args, absmax) - 16usize];
    ["Offset of field: QuantizeInt4Args::m"][::core::mem::offset_of!(QuantizeInt4Args, m) - 24usize];
    ["Offset of field: QuantizeInt4Args::k"][::core::mem::offset_of!(QuantizeInt4Args, k) - 32usize];
    ["Offset of field: QuantizeInt4Args::is_aligned"][::core::mem::offset_of!(QuantizeInt4Args, is_aligned) - 36usize];
};
/// Exact division by a number known when a kernel is launched: i / d = (high64(multiplier * i) + i) >> shift for i < 2^63,\n with 2^(shift - 1) < d <= 2^shift and multiplier = floor(2^64 (2^shift - d) / d) + 1 (Granlund and Montgomery, 1994).
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct DivisorArgs {
    pub divisor: u64,
    pub multiplier: u64,
    pub shift: u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DivisorArgs"][::core::mem::size_of::<DivisorArgs>() - 24usize];
    ["Alignment of DivisorArgs"][::core::mem::align_of::<DivisorArgs>() - 8usize];
    ["Offset of field: DivisorArgs::divisor"][::core::mem::offset_of!(DivisorArgs, divisor) - 0usize];
    ["Offset of field: DivisorArgs::multiplier"][::core::mem::offset_of!(DivisorArgs, multiplier) - 8usize];
    ["Offset of field: DivisorArgs::shift"][::core::mem::offset_of!(DivisorArgs, shift) - 16usize];
};
/// A matrix in an 8-bit format, W8 in src/cuda/ops/w8.rs: codes [N, K], one byte each, row-major or in tiles.\n\n Value i of the flattened matrix has scale (i / row_len) * groups_per_row + (i % row_len) / group.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct W8Args {
    pub codes: u64,
    pub scales: u64,
    /// one per scale, or null: all are `zero_point`
    pub zero_points: u64,
    /// f32[256], of the dynamic map; null otherwise
    pub map: u64,
    /// values per row of scales
    pub row_len: DivisorArgs,
    /// values per scale; the last of a row may have fewer
    pub group: DivisorArgs,
    /// K
    pub cols: DivisorArgs,
    pub groups_per_row: u64,
    /// 0: row-major; else the layout wgmma_w8 with rows in pairs, so many eights of rows
    pub row_atoms: u64,
    /// of affine codes without stored ones
    pub zero_point: u32,
    /// 1: (code - zero point) * scale; 0: INT8 by absmax, or the dynamic map
    pub is_affine: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of W8Args"][::core::mem::size_of::<W8Args>() - 128usize];
    ["Alignment of W8Args"][::core::mem::align_of::<W8Args>() - 8usize];
    ["Offset of field: W8Args::codes"][::core::mem::offset_of!(W8Args, codes) - 0usize];
    ["Offset of field: W8Args::scales"][::core::mem::offset_of!(W8Args, scales) - 8usize];
    ["Offset of field: W8Args::zero_points"][::core::mem::offset_of!(W8Args, zero_points) - 16usize];
    ["Offset of field: W8Args::map"][::core::mem::offset_of!(W8Args, map) - 24usize];
    ["Offset of field: W8Args::row_len"][::core::mem::offset_of!(W8Args, row_len) - 32usize];
    ["Offset of field: W8Args::group"][::core::mem::offset_of!(W8Args, group) - 56usize];
    ["Offset of field: W8Args::cols"][::core::mem::offset_of!(W8Args, cols) - 80usize];
    ["Offset of field: W8Args::groups_per_row"][::core::mem::offset_of!(W8Args, groups_per_row) - 104usize];
    ["Offset of field: W8Args::row_atoms"][::core::mem::offset_of!(W8Args, row_atoms) - 112usize];
    ["Offset of field: W8Args::zero_point"][::core::mem::offset_of!(W8Args, zero_point) - 120usize];
    ["Offset of field: W8Args::is_affine"][::core::mem::offset_of!(W8Args, is_affine) - 124usize];
};
/// Arguments of `dequant_int8`: all values of a matrix, as floats.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct DequantInt8Args {
    pub w: W8Args,
    /// [num_values] of the kernel's type
    pub out: u64,
    pub num_values: u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DequantInt8Args"][::core::mem::size_of::<DequantInt8Args>() - 144usize];
    ["Alignment of DequantInt8Args"][::core::mem::align_of::<DequantInt8Args>() - 8usize];
    ["Offset of field: DequantInt8Args::w"][::core::mem::offset_of!(DequantInt8Args, w) - 0usize];
    ["Offset of field: DequantInt8Args::out"][::core::mem::offset_of!(DequantInt8Args, out) - 128usize];
    ["Offset of field: DequantInt8Args::num_values"][::core::mem::offset_of!(DequantInt8Args, num_values) - 136usize];
};
/// Arguments of `quantize_int8`, rows to codes. Addresses that may be null: what is not wanted.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct QuantizeRowsArgs {
    /// [M, K] of the kernel's type
    pub x: u64,
    /// [M, K], row-major or in tiles
    pub codes: u64,
    /// [M]; may be null
    pub absmax: u64,
    /// [M], of each row's codes; may be null
    pub sums: u64,
    /// [K], set to 1 where a column has an outlier; may be null
    pub flags: u64,
    /// lowered to the flat index of a NaN or infinity; may be null
    pub first_nonfinite: u64,
    /// one absmax for all rows, instead of their own; may be null
    pub tensor_absmax: u64,
    pub m: u64,
    /// 0: codes row-major; else in the layout wgmma_w8, so many eights of rows, padded with zeros
    pub row_atoms: u64,
    pub k: u32,
    /// 1: rows of x begin at multiples of 16 bytes, rows of codes at multiples of 16 values of x
    pub is_aligned: u32,
    /// magnitudes from here on are outliers; NaN: none are
    pub threshold: f32,
    pub max_code: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of QuantizeRowsArgs"][::core::mem::size_of::<QuantizeRowsArgs>() - 88usize];
    ["Alignment of QuantizeRowsArgs"][::core::mem::align_of::<QuantizeRowsArgs>() - 8usize];
    ["Offset of field: QuantizeRowsArgs::x"][::core::mem::offset_of!(QuantizeRowsArgs, x) - 0usize];
    ["Offset of field: QuantizeRowsArgs::codes"][::core::mem::offset_of!(QuantizeRowsArgs, codes) - 8usize];
    ["Offset of field: QuantizeRowsArgs::absmax"][::core::mem::offset_of!(QuantizeRowsArgs, absmax) - 16usize];
    ["Offset of field: QuantizeRowsArgs::sums"][::core::mem::offset_of!(QuantizeRowsArgs, sums) - 24usize];
    ["Offset of field: QuantizeRowsArgs::flags"][::core::mem::offset_of!(QuantizeRowsArgs, flags) - 32usize];
    ["Offset of field: QuantizeRowsArgs::first_nonfinite"]
        [::core::mem::offset_of!(QuantizeRowsArgs, first_nonfinite) - 40usize];
    ["Offset of field: QuantizeRowsArgs::tensor_absmax"]
        [::core::mem::offset_of!(QuantizeRowsArgs, tensor_absmax) - 48usize];
    ["Offset of field: QuantizeRowsArgs::m"][::core::mem::offset_of!(QuantizeRowsArgs, m) - 56usize];
    ["Offset of field: QuantizeRowsArgs::row_atoms"][::core::mem::offset_of!(QuantizeRowsArgs, row_atoms) - 64usize];
    ["Offset of field: QuantizeRowsArgs::k"][::core::mem::offset_of!(QuantizeRowsArgs, k) - 72usize];
    ["Offset of field: QuantizeRowsArgs::is_aligned"][::core::mem::offset_of!(QuantizeRowsArgs, is_aligned) - 76usize];
    ["Offset of field: QuantizeRowsArgs::threshold"][::core::mem::offset_of!(QuantizeRowsArgs, threshold) - 80usize];
    ["Offset of field: QuantizeRowsArgs::max_code"][::core::mem::offset_of!(QuantizeRowsArgs, max_code) - 84usize];
};
/// Arguments of `quantize_int8`, the columns with outliers.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct OutliersArgs {
    pub w: W8Args,
    /// [M, K] of the kernel's type
    pub x: u64,
    /// [M, K], row-major or in tiles: zeroed in these columns
    pub codes: u64,
    /// [M]: of the codes that stay
    pub sums: u64,
    /// [K padded to a multiple of 256], 1 for the columns that are taken, 0 otherwise
    pub flags: u64,
    /// [K]: their indices, ascending
    pub columns: u64,
    /// how many
    pub count: u64,
    /// [M, ld] of the kernel's type
    pub outlier_x: u64,
    /// [N, ld] of the kernel's type
    pub outlier_w: u64,
    pub m: u64,
    /// 0 when W is not gathered
    pub n: u64,
    /// of `codes`, as of QuantizeRowsArgs
    pub row_atoms: u64,
    pub k: u32,
    /// K rounded up to 16
    pub ld: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of OutliersArgs"][::core::mem::size_of::<OutliersArgs>() - 224usize];
    ["Alignment of OutliersArgs"][::core::mem::align_of::<OutliersArgs>() - 8usize];
    ["Offset of field: OutliersArgs::w"][::core::mem::offset_of!(OutliersArgs, w) - 0usize];
    ["Offset of field: OutliersArgs::x"][::core::mem::offset_of!(OutliersArgs, x) - 128usize];
    ["Offset of field: OutliersArgs::codes"][::core::mem::offset_of!(OutliersArgs, codes) - 136usize];
    ["Offset of field: OutliersArgs::sums"][::core::mem::offset_of!(OutliersArgs, sums) - 144usize];
    ["Offset of field: OutliersArgs::flags"][::core::mem::offset_of!(OutliersArgs, flags) - 152usize];
    ["Offset of field: OutliersArgs::columns"][::core::mem::offset_of!(OutliersArgs, columns) - 160usize];
    ["Offset of field: OutliersArgs::count"][::core::mem::offset_of!(OutliersArgs, count) - 168usize];
    ["Offset of field: OutliersArgs::outlier_x"][::core::mem::offset_of!(OutliersArgs, outlier_x) - 176usize];
    ["Offset of field: OutliersArgs::outlier_w"][::core::mem::offset_of!(OutliersArgs, outlier_w) - 184usize];
    ["Offset of field: OutliersArgs::m"][::core::mem::offset_of!(OutliersArgs, m) - 192usize];
    ["Offset of field: OutliersArgs::n"][::core::mem::offset_of!(OutliersArgs, n) - 200usize];
    ["Offset of field: OutliersArgs::row_atoms"][::core::mem::offset_of!(OutliersArgs, row_atoms) - 208usize];
    ["Offset of field: OutliersArgs::k"][::core::mem::offset_of!(OutliersArgs, k) - 216usize];
    ["Offset of field: OutliersArgs::ld"][::core::mem::offset_of!(OutliersArgs, ld) - 220usize];
};
/// Arguments of `quantize_int8`, rounded rows as floats.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct DequantRowsArgs {
    /// [M, K] of the kernel's type: taken in columns with outliers
    pub x: u64,
    /// [M, K]
    pub codes: u64,
    /// [M]
    pub absmax: u64,
    /// [K]; null: no column has outliers
    pub flags: u64,
    /// [M, K]
    pub out: u64,
    pub m: u64,
    pub k: u32,
    pub max_code: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DequantRowsArgs"][::core::mem::size_of::<DequantRowsArgs>() - 56usize];
    ["Alignment of DequantRowsArgs"][::core::mem::align_of::<DequantRowsArgs>() - 8usize];
    ["Offset of field: DequantRowsArgs::x"][::core::mem::offset_of!(DequantRowsArgs, x) - 0usize];
    ["Offset of field: DequantRowsArgs::codes"][::core::mem::offset_of!(DequantRowsArgs, codes) - 8usize];
    ["Offset of field: DequantRowsArgs::absmax"][::core::mem::offset_of!(DequantRowsArgs, absmax) - 16usize];
    ["Offset of field: DequantRowsArgs::flags"][::core::mem::offset_of!(DequantRowsArgs, flags) - 24usize];
    ["Offset of field: DequantRowsArgs::out"][::core::mem::offset_of!(DequantRowsArgs, out) - 32usize];
    ["Offset of field: DequantRowsArgs::m"][::core::mem::offset_of!(DequantRowsArgs, m) - 40usize];
    ["Offset of field: DequantRowsArgs::k"][::core::mem::offset_of!(DequantRowsArgs, k) - 48usize];
    ["Offset of field: DequantRowsArgs::max_code"][::core::mem::offset_of!(DequantRowsArgs, max_code) - 52usize];
};
/// Arguments of `quantize_int8`, the largest magnitude of a tensor.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct TensorAbsmaxArgs {
    /// [num_values] of the kernel's type, 16-byte aligned
    pub x: u64,
    /// raised to the bits of the largest magnitude that is not a NaN; begins as 0
    pub absmax: u64,
    pub num_values: u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of TensorAbsmaxArgs"][::core::mem::size_of::<TensorAbsmaxArgs>() - 24usize];
    ["Alignment of TensorAbsmaxArgs"][::core::mem::align_of::<TensorAbsmaxArgs>() - 8usize];
    ["Offset of field: TensorAbsmaxArgs::x"][::core::mem::offset_of!(TensorAbsmaxArgs, x) - 0usize];
    ["Offset of field: TensorAbsmaxArgs::absmax"][::core::mem::offset_of!(TensorAbsmaxArgs, absmax) - 8usize];
    ["Offset of field: TensorAbsmaxArgs::num_values"][::core::mem::offset_of!(TensorAbsmaxArgs, num_values) - 16usize];
};
/// A 4-bit matrix W[N, K] in the layout mma_w4 (src/layout/mma_w4.rs): value = (codebook[code] - zero) * scale.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct W4Args {
    /// tiles of 16 rows x 64 columns, [row_tiles][k_tiles][512]
    pub codes: u64,
    /// null when they are nested
    pub scales: u64,
    /// i: nested_map[nested_codes[i]] * nested_absmax[j / 256] + nested_offset
    pub nested_codes: u64,
    /// j: the index of the scale in the format's own order
    pub nested_absmax: u64,
    /// f32[256]
    pub nested_map: u64,
    /// in the order of the scales, or null: zero = zeros[i] - zero_shift
    pub zeros: u64,
    /// flat scales: (row, col) has number (row * row_values + col) / group_len
    pub row_values: u64,
    /// flat scales: how many there are
    pub num_scales: u64,
    pub n: u32,
    pub k: u32,
    pub row_tiles: u32,
    pub k_tiles: u32,
    /// columns per scale; tiled scales: 32 or a multiple of 64
    pub group_len: u32,
    /// tiled scales: per row, those of padding included
    pub groups: u32,
    /// tiled scales: per row in the format's own order
    pub row_groups: u32,
    /// tiled scales: tile t is in group (2 t * group_magic) >> 32; 0: see group_len
    pub group_magic: u32,
    pub nested_offset: f32,
    pub zero_shift: f32,
    pub codebook: [f32; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of W4Args"][::core::mem::size_of::<W4Args>() - 168usize];
    ["Alignment of W4Args"][::core::mem::align_of::<W4Args>() - 8usize];
    ["Offset of field: W4Args::codes"][::core::mem::offset_of!(W4Args, codes) - 0usize];
    ["Offset of field: W4Args::scales"][::core::mem::offset_of!(W4Args, scales) - 8usize];
    ["Offset of field: W4Args::nested_codes"][::core::mem::offset_of!(W4Args, nested_codes) - 16usize];
    ["Offset of field: W4Args::nested_absmax"][::core::mem::offset_of!(W4Args, nested_absmax) - 24usize];
    ["Offset of field: W4Args::nested_map"][::core::mem::offset_of!(W4Args, nested_map) - 32usize];
    ["Offset of field: W4Args::zeros"][::core::mem::offset_of!(W4Args, zeros) - 40usize];
    ["Offset of field: W4Args::row_values"][::core::mem::offset_of!(W4Args, row_values) - 48usize];
    ["Offset of field: W4Args::num_scales"][::core::mem::offset_of!(W4Args, num_scales) - 56usize];
    ["Offset of field: W4Args::n"][::core::mem::offset_of!(W4Args, n) - 64usize];
    ["Offset of field: W4Args::k"][::core::mem::offset_of!(W4Args, k) - 68usize];
    ["Offset of field: W4Args::row_tiles"][::core::mem::offset_of!(W4Args, row_tiles) - 72usize];
    ["Offset of field: W4Args::k_tiles"][::core::mem::offset_of!(W4Args, k_tiles) - 76usize];
    ["Offset of field: W4Args::group_len"][::core::mem::offset_of!(W4Args, group_len) - 80usize];
    ["Offset of field: W4Args::groups"][::core::mem::offset_of!(W4Args, groups) - 84usize];
    ["Offset of field: W4Args::row_groups"][::core::mem::offset_of!(W4Args, row_groups) - 88usize];
    ["Offset of field: W4Args::group_magic"][::core::mem::offset_of!(W4Args, group_magic) - 92usize];
    ["Offset of field: W4Args::nested_offset"][::core::mem::offset_of!(W4Args, nested_offset) - 96usize];
    ["Offset of field: W4Args::zero_shift"][::core::mem::offset_of!(W4Args, zero_shift) - 100usize];
    ["Offset of field: W4Args::codebook"][::core::mem::offset_of!(W4Args, codebook) - 104usize];
};
/// Arguments of `dequant_w4`.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct DequantW4Args {
    pub w: W4Args,
    /// [n, k] of the kernel's type, 16-byte aligned
    pub out: u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DequantW4Args"][::core::mem::size_of::<DequantW4Args>() - 176usize];
    ["Alignment of DequantW4Args"][::core::mem::align_of::<DequantW4Args>() - 8usize];
    ["Offset of field: DequantW4Args::w"][::core::mem::offset_of!(DequantW4Args, w) - 0usize];
    ["Offset of field: DequantW4Args::out"][::core::mem::offset_of!(DequantW4Args, out) - 168usize];
};
/// Arguments of `dequant_w4a8`.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct DequantW4A8Args {
    /// in the layout mma_w4a8 (src/layout/mma_w4a8.rs)
    pub w: u64,
    /// [N]
    pub scales: u64,
    /// [N, K] of the kernel's type, 16-byte aligned
    pub out: u64,
    /// of 32 rows by 64 columns
    pub units: u64,
    pub n: u32,
    pub k: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DequantW4A8Args"][::core::mem::size_of::<DequantW4A8Args>() - 40usize];
    ["Alignment of DequantW4A8Args"][::core::mem::align_of::<DequantW4A8Args>() - 8usize];
    ["Offset of field: DequantW4A8Args::w"][::core::mem::offset_of!(DequantW4A8Args, w) - 0usize];
    ["Offset of field: DequantW4A8Args::scales"][::core::mem::offset_of!(DequantW4A8Args, scales) - 8usize];
    ["Offset of field: DequantW4A8Args::out"][::core::mem::offset_of!(DequantW4A8Args, out) - 16usize];
    ["Offset of field: DequantW4A8Args::units"][::core::mem::offset_of!(DequantW4A8Args, units) - 24usize];
    ["Offset of field: DequantW4A8Args::n"][::core::mem::offset_of!(DequantW4A8Args, n) - 32usize];
    ["Offset of field: DequantW4A8Args::k"][::core::mem::offset_of!(DequantW4A8Args, k) - 36usize];
};
/// Arguments of `gemv_w4`: y = x * Wᵀ + bias for few rows of x, and of its second pass.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GemvW4Args {
    pub w: W4Args,
    /// [m, k] of the kernel's type
    pub x: u64,
    /// [n], or null
    pub bias: u64,
    /// [m, n] of the kernel's type
    pub y: u64,
    /// [splits, m, n], or null: a block sums over all of K
    pub partials: u64,
    pub m: u32,
    /// of 32 rows
    pub units: u32,
    /// of K
    pub tiles_per_split: u32,
    pub splits: u32,
    /// 1: rows of x begin at multiples of 16 bytes
    pub x_is_aligned: u32,
    /// of the staged x in shared memory, a multiple of 128
    pub x_offset: u32,
    /// of the sums of x
    pub sums_offset: u32,
    /// of the map of nested scales
    pub map_offset: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of GemvW4Args"][::core::mem::size_of::<GemvW4Args>() - 232usize];
    ["Alignment of GemvW4Args"][::core::mem::align_of::<GemvW4Args>() - 8usize];
    ["Offset of field: GemvW4Args::w"][::core::mem::offset_of!(GemvW4Args, w) - 0usize];
    ["Offset of field: GemvW4Args::x"][::core::mem::offset_of!(GemvW4Args, x) - 168usize];
    ["Offset of field: GemvW4Args::bias"][::core::mem::offset_of!(GemvW4Args, bias) - 176usize];
    ["Offset of field: GemvW4Args::y"][::core::mem::offset_of!(GemvW4Args, y) - 184usize];
    ["Offset of field: GemvW4Args::partials"][::core::mem::offset_of!(GemvW4Args, partials) - 192usize];
    ["Offset of field: GemvW4Args::m"][::core::mem::offset_of!(GemvW4Args, m) - 200usize];
    ["Offset of field: GemvW4Args::units"][::core::mem::offset_of!(GemvW4Args, units) - 204usize];
    ["Offset of field: GemvW4Args::tiles_per_split"][::core::mem::offset_of!(GemvW4Args, tiles_per_split) - 208usize];
    ["Offset of field: GemvW4Args::splits"][::core::mem::offset_of!(GemvW4Args, splits) - 212usize];
    ["Offset of field: GemvW4Args::x_is_aligned"][::core::mem::offset_of!(GemvW4Args, x_is_aligned) - 216usize];
    ["Offset of field: GemvW4Args::x_offset"][::core::mem::offset_of!(GemvW4Args, x_offset) - 220usize];
    ["Offset of field: GemvW4Args::sums_offset"][::core::mem::offset_of!(GemvW4Args, sums_offset) - 224usize];
    ["Offset of field: GemvW4Args::map_offset"][::core::mem::offset_of!(GemvW4Args, map_offset) - 228usize];
};
/// Arguments of `gemm_w4`: y = x * Wᵀ + bias on tensor cores. Offsets are in shared memory.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GemmW4Args {
    pub w: W4Args,
    /// [m, k] of the kernel's type
    pub x: u64,
    /// [n], or null
    pub bias: u64,
    /// [m, n] of the kernel's type
    pub y: u64,
    /// [splits, m, n], or null: a block sums over all of K
    pub partials: u64,
    pub m: u32,
    /// of K
    pub tiles_per_split: u32,
    /// of the ring, 2 to 6
    pub stages: u32,
    /// 1: rows of x begin at multiples of 16 bytes
    pub x_is_aligned: u32,
    /// of the codes of stage 2, a multiple of 128
    pub codes_offset: u32,
    /// of the scales of all stages, a multiple of 16
    pub scales_offset: u32,
    /// of the map of nested scales
    pub map_offset: u32,
    pub unused: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of GemmW4Args"][::core::mem::size_of::<GemmW4Args>() - 232usize];
    ["Alignment of GemmW4Args"][::core::mem::align_of::<GemmW4Args>() - 8usize];
    ["Offset of field: GemmW4Args::w"][::core::mem::offset_of!(GemmW4Args, w) - 0usize];
    ["Offset of field: GemmW4Args::x"][::core::mem::offset_of!(GemmW4Args, x) - 168usize];
    ["Offset of field: GemmW4Args::bias"][::core::mem::offset_of!(GemmW4Args, bias) - 176usize];
    ["Offset of field: GemmW4Args::y"][::core::mem::offset_of!(GemmW4Args, y) - 184usize];
    ["Offset of field: GemmW4Args::partials"][::core::mem::offset_of!(GemmW4Args, partials) - 192usize];
    ["Offset of field: GemmW4Args::m"][::core::mem::offset_of!(GemmW4Args, m) - 200usize];
    ["Offset of field: GemmW4Args::tiles_per_split"][::core::mem::offset_of!(GemmW4Args, tiles_per_split) - 204usize];
    ["Offset of field: GemmW4Args::stages"][::core::mem::offset_of!(GemmW4Args, stages) - 208usize];
    ["Offset of field: GemmW4Args::x_is_aligned"][::core::mem::offset_of!(GemmW4Args, x_is_aligned) - 212usize];
    ["Offset of field: GemmW4Args::codes_offset"][::core::mem::offset_of!(GemmW4Args, codes_offset) - 216usize];
    ["Offset of field: GemmW4Args::scales_offset"][::core::mem::offset_of!(GemmW4Args, scales_offset) - 220usize];
    ["Offset of field: GemmW4Args::map_offset"][::core::mem::offset_of!(GemmW4Args, map_offset) - 224usize];
    ["Offset of field: GemmW4Args::unused"][::core::mem::offset_of!(GemmW4Args, unused) - 228usize];
};
/// Arguments of `gemm_w4_sm90`: y = x * Wᵀ + bias, in blocks of 128 rows of W by the kernel's rows of x.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GemmW4Sm90Args {
    pub w: W4Args,
    /// [m, k] of the kernel's type
    pub x: u64,
    /// [n], or null
    pub bias: u64,
    /// [m, n] of the kernel's type
    pub y: u64,
    /// [splits, m, n], or null: a unit sums over all of K
    pub partials: u64,
    pub m: u32,
    /// of 128 rows of W
    pub row_blocks: u32,
    /// row blocks by tiles of x by parts of K
    pub units: u32,
    /// of K
    pub tiles_per_split: u32,
    /// the table of pairs, then the stages of the pipeline
    pub shared_bytes: u32,
    /// 1: rows of x begin at multiples of 16 bytes
    pub x_is_aligned: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of GemmW4Sm90Args"][::core::mem::size_of::<GemmW4Sm90Args>() - 224usize];
    ["Alignment of GemmW4Sm90Args"][::core::mem::align_of::<GemmW4Sm90Args>() - 8usize];
    ["Offset of field: GemmW4Sm90Args::w"][::core::mem::offset_of!(GemmW4Sm90Args, w) - 0usize];
    ["Offset of field: GemmW4Sm90Args::x"][::core::mem::offset_of!(GemmW4Sm90Args, x) - 168usize];
    ["Offset of field: GemmW4Sm90Args::bias"][::core::mem::offset_of!(GemmW4Sm90Args, bias) - 176usize];
    ["Offset of field: GemmW4Sm90Args::y"][::core::mem::offset_of!(GemmW4Sm90Args, y) - 184usize];
    ["Offset of field: GemmW4Sm90Args::partials"][::core::mem::offset_of!(GemmW4Sm90Args, partials) - 192usize];
    ["Offset of field: GemmW4Sm90Args::m"][::core::mem::offset_of!(GemmW4Sm90Args, m) - 200usize];
    ["Offset of field: GemmW4Sm90Args::row_blocks"][::core::mem::offset_of!(GemmW4Sm90Args, row_blocks) - 204usize];
    ["Offset of field: GemmW4Sm90Args::units"][::core::mem::offset_of!(GemmW4Sm90Args, units) - 208usize];
    ["Offset of field: GemmW4Sm90Args::tiles_per_split"]
        [::core::mem::offset_of!(GemmW4Sm90Args, tiles_per_split) - 212usize];
    ["Offset of field: GemmW4Sm90Args::shared_bytes"][::core::mem::offset_of!(GemmW4Sm90Args, shared_bytes) - 216usize];
    ["Offset of field: GemmW4Sm90Args::x_is_aligned"][::core::mem::offset_of!(GemmW4Sm90Args, x_is_aligned) - 220usize];
};
/// One bucket of `quantize_w4`'s search: at most one midpoint of the codebook lies in it.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct CodebookBucket {
    /// infinite when there is none
    pub midpoint: f32,
    /// the code up to the midpoint in bits 28..31, the code above it in bits 24..27
    pub codes: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of CodebookBucket"][::core::mem::size_of::<CodebookBucket>() - 8usize];
    ["Alignment of CodebookBucket"][::core::mem::align_of::<CodebookBucket>() - 4usize];
    ["Offset of field: CodebookBucket::midpoint"][::core::mem::offset_of!(CodebookBucket, midpoint) - 0usize];
    ["Offset of field: CodebookBucket::codes"][::core::mem::offset_of!(CodebookBucket, codes) - 4usize];
};
/// Arguments of `quantize_w4`, blocks of values to 4-bit codes.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct QuantizeW4Args {
    /// [num_values] of the kernel's type
    pub x: u64,
    /// [ceil(num_values / 2) rounded up to 4], an even value in the high half
    pub codes: u64,
    /// [ceil(num_values / block)]
    pub absmax: u64,
    /// lowered to the index of a NaN or infinity
    pub first_nonfinite: u64,
    pub num_values: u64,
    /// values per absmax: 5 to 12
    pub log2_block: u32,
    /// 1: x begins at a multiple of 16 bytes
    pub is_aligned: u32,
    /// bucket i: from (i - 17) / 16 on, for values scaled to -1..1
    pub buckets: [CodebookBucket; 48usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of QuantizeW4Args"][::core::mem::size_of::<QuantizeW4Args>() - 432usize];
    ["Alignment of QuantizeW4Args"][::core::mem::align_of::<QuantizeW4Args>() - 8usize];
    ["Offset of field: QuantizeW4Args::x"][::core::mem::offset_of!(QuantizeW4Args, x) - 0usize];
    ["Offset of field: QuantizeW4Args::codes"][::core::mem::offset_of!(QuantizeW4Args, codes) - 8usize];
    ["Offset of field: QuantizeW4Args::absmax"][::core::mem::offset_of!(QuantizeW4Args, absmax) - 16usize];
    ["Offset of field: QuantizeW4Args::first_nonfinite"]
        [::core::mem::offset_of!(QuantizeW4Args, first_nonfinite) - 24usize];
    ["Offset of field: QuantizeW4Args::num_values"][::core::mem::offset_of!(QuantizeW4Args, num_values) - 32usize];
    ["Offset of field: QuantizeW4Args::log2_block"][::core::mem::offset_of!(QuantizeW4Args, log2_block) - 40usize];
    ["Offset of field: QuantizeW4Args::is_aligned"][::core::mem::offset_of!(QuantizeW4Args, is_aligned) - 44usize];
    ["Offset of field: QuantizeW4Args::buckets"][::core::mem::offset_of!(QuantizeW4Args, buckets) - 48usize];
};
/// Arguments of `quantize_w4`, the mean of the absmax values and their codes.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
pub struct NestAbsmaxArgs {
    /// [count]
    pub absmax: u64,
    /// [ceil(count / 1024)]
    pub run_sums: u64,
    /// the mean
    pub offset: u64,
    /// [count]
    pub codes: u64,
    /// [ceil(count / 256)]
    pub nested_absmax: u64,
    pub count: u64,
    /// between the neighbours of the ascending map; the last is infinite
    pub midpoints: [f32; 256usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of NestAbsmaxArgs"][::core::mem::size_of::<NestAbsmaxArgs>() - 1072usize];
    ["Alignment of NestAbsmaxArgs"][::core::mem::align_of::<NestAbsmaxArgs>() - 8usize];
    ["Offset of field: NestAbsmaxArgs::absmax"][::core::mem::offset_of!(NestAbsmaxArgs, absmax) - 0usize];
    ["Offset of field: NestAbsmaxArgs::run_sums"][::core::mem::offset_of!(NestAbsmaxArgs, run_sums) - 8usize];
    ["Offset of field: NestAbsmaxArgs::offset"][::core::mem::offset_of!(NestAbsmaxArgs, offset) - 16usize];
    ["Offset of field: NestAbsmaxArgs::codes"][::core::mem::offset_of!(NestAbsmaxArgs, codes) - 24usize];
    ["Offset of field: NestAbsmaxArgs::nested_absmax"]
        [::core::mem::offset_of!(NestAbsmaxArgs, nested_absmax) - 32usize];
    ["Offset of field: NestAbsmaxArgs::count"][::core::mem::offset_of!(NestAbsmaxArgs, count) - 40usize];
    ["Offset of field: NestAbsmaxArgs::midpoints"][::core::mem::offset_of!(NestAbsmaxArgs, midpoints) - 48usize];
};
