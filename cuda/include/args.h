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

/// A 4-bit matrix W[N, K] in the layout mma_w4 (src/layout/mma_w4.rs): value = (codebook[code] - zero) * scale.
struct W4Args {
    DEVICE_PTR(const uint8_t) codes;         ///< tiles of 16 rows x 64 columns, [row_tiles][k_tiles][512]
    DEVICE_PTR(const float) scales;          ///< null when they are nested
    DEVICE_PTR(const uint8_t) nested_codes;  ///< i: nested_map[nested_codes[i]] * nested_absmax[j / 256] + nested_offset
    DEVICE_PTR(const float) nested_absmax;   ///< j: the index of the scale in the format's own order
    DEVICE_PTR(const float) nested_map;      ///< f32[256]
    DEVICE_PTR(const uint8_t) zeros;         ///< in the order of the scales, or null: zero = zeros[i] - zero_shift
    uint64_t row_values;                     ///< flat scales: (row, col) has number (row * row_values + col) / group_len
    uint64_t num_scales;                     ///< flat scales: how many there are
    uint32_t n;
    uint32_t k;
    uint32_t row_tiles;
    uint32_t k_tiles;
    uint32_t group_len;                      ///< columns per scale; tiled scales: 32 or a multiple of 64
    uint32_t groups;                         ///< tiled scales: per row, those of padding included
    uint32_t row_groups;                     ///< tiled scales: per row in the format's own order
    uint32_t group_magic;                    ///< tiled scales: tile t is in group (2 t * group_magic) >> 32; 0: see group_len
    float nested_offset;
    float zero_shift;
    float codebook[16];
};
static_assert(sizeof(W4Args) == 168, "src/cuda/args.rs has the same size");

/// Arguments of `dequant_w4`.
struct DequantW4Args {
    W4Args w;
    DEVICE_PTR(void) out;  ///< [n, k] of the kernel's type, 16-byte aligned
};
static_assert(sizeof(DequantW4Args) == 176, "src/cuda/args.rs has the same size");

/// Arguments of `gemv_w4`: y = x * Wᵀ + bias for few rows of x, and of its second pass.
struct GemvW4Args {
    W4Args w;
    DEVICE_PTR(const void) x;       ///< [m, k] of the kernel's type
    DEVICE_PTR(const float) bias;   ///< [n], or null
    DEVICE_PTR(void) y;             ///< [m, n] of the kernel's type
    DEVICE_PTR(float) partials;     ///< [splits, m, n], or null: a block sums over all of K
    uint32_t m;
    uint32_t units;                 ///< of 32 rows
    uint32_t tiles_per_split;       ///< of K
    uint32_t splits;
    uint32_t x_is_aligned;          ///< 1: rows of x begin at multiples of 16 bytes
    uint32_t x_offset;              ///< of the staged x in shared memory, a multiple of 128
    uint32_t sums_offset;           ///< of the sums of x
    uint32_t map_offset;            ///< of the map of nested scales
};
static_assert(sizeof(GemvW4Args) == 232, "src/cuda/args.rs has the same size");
