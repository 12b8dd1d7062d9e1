// Made from cuda/include/args.h by `make args`.

/// A 4-bit matrix W[N, K] in the layout mma_w4 (src/layout/mma_w4.rs): value = (codebook[code] - zero) * scale.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck :: Pod, bytemuck :: Zeroable)]
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
#[derive(Debug, Copy, Clone, bytemuck :: Pod, bytemuck :: Zeroable)]
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
