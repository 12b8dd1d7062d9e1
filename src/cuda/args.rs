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
