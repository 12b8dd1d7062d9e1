// The arguments of every kernel: one struct a kernel family, passed by value.
//
// src/cuda/args.rs is made from this file by bindgen; the layout is asserted on both sides. No field may leave padding:
// fields go by falling size, and the size is a multiple of 8. Addresses are device memory.
#pragma once

#include <stdint.h>

#ifdef __CUDACC__
#define DEVICE_PTR(type) type *
#else
#define DEVICE_PTR(type) uint64_t
#endif

/// Arguments of `gemm_dense`, all of its kernels. Sizes in elements, matrices row-major.
struct GemmDenseArgs {
    DEVICE_PTR(const void) x;      ///< [M, K]
    DEVICE_PTR(const void) w;      ///< [N, K]
    DEVICE_PTR(const float) bias;  ///< [N]; null: none
    DEVICE_PTR(void) y;            ///< [M, N]
    DEVICE_PTR(float) partials;    ///< [splits, M, N]; null when every block sums over all of K
    uint32_t m;
    uint32_t n;
    uint32_t k;
    uint32_t k_per_split;  ///< values of K that one block sums over: a multiple of 32
    uint32_t splits;
    uint32_t whole_fours;  ///< 1: N is a multiple of 4 and y aligned to four of its elements
};
static_assert(sizeof(GemmDenseArgs) == 64, "src/cuda/args.rs has the same size");
