// Made by bindgen from cuda/include/args.h; `make args` writes it.

/// Arguments of `gemm_dense`, all of its kernels. Sizes in elements, matrices row-major.
#[repr(C)]
#[derive(Debug, Copy, Clone, bytemuck :: Pod, bytemuck :: Zeroable)]
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
