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
