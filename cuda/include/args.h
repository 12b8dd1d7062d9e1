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

/// Arguments of `gemm_int8`, all of its kernels. Sizes in elements, matrices row-major.
struct GemmInt8Args {
    DEVICE_PTR(const int8_t) x;               ///< [M, K]
    DEVICE_PTR(const void) w;                 ///< [N, K]: i8; u8 where codes are affine
    DEVICE_PTR(const float) x_absmax;         ///< [M]
    DEVICE_PTR(const int32_t) x_sums;         ///< [M], of each row's codes; null when all zero points are 0
    DEVICE_PTR(const float) w_scales;         ///< [N], or [1]
    DEVICE_PTR(const uint8_t) w_zero_points;  ///< as many; null: all are `zero_point`
    DEVICE_PTR(const float) bias;             ///< [N]; null: none
    DEVICE_PTR(void) y;                       ///< [M, N]
    DEVICE_PTR(int32_t) partials;             ///< [splits, M, N]; null when every block sums over all of K
    DEVICE_PTR(float) outlier_sums;           ///< [M, N], beside `partials`
    DEVICE_PTR(const uint32_t) outlier_count;  ///< how many columns are in floating point; null: none
    DEVICE_PTR(const void) outlier_x;         ///< [M, outlier_ld] of the type of y, zeros to a multiple of 16 columns
    DEVICE_PTR(const void) outlier_w;         ///< [N, outlier_ld], likewise
    uint32_t m;
    uint32_t n;
    uint32_t k;
    uint32_t k_per_split;    ///< values of K that one block sums over: a multiple of 64
    uint32_t splits;
    uint32_t whole_fours;    ///< 1: N is a multiple of 4 and y aligned to four of its elements
    uint32_t outlier_ld;
    uint32_t zero_point;
    uint32_t scale_per_row;  ///< 0: one scale and zero point for all of W
    float factor;            ///< what all scales are multiplied by
};
static_assert(sizeof(GemmInt8Args) == 144, "src/cuda/args.rs has the same size");
