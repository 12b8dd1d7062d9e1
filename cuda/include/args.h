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

/// Arguments of `gemm_int8_sm90` and `gemm_w4a8_sm90`. x is in the layout wgmma_w8 (src/layout/wgmma_w8.rs), W there with its
/// rows in pairs, here in the layout mma_w4a8 (src/layout/mma_w4a8.rs).
///
/// A unit of work is a tile of y by a part of K; unit i is part i / (token_tiles * row_tiles).
struct GemmInt8Sm90Args {
    GemmInt8Args product;
    uint32_t x_atoms;          ///< rows of x in eights
    uint32_t w_blocks;         ///< rows of W in eights, an even number; in the layout mma_w4a8 in units of 32
    uint32_t k_tiles;          ///< K in tiles of 128
    uint32_t tiles_per_split;  ///< of K
    uint32_t token_tiles;      ///< of y, along M
    uint32_t row_tiles;        ///< of y, along N
    uint32_t units;
    uint32_t whole_pairs;      ///< 1: N is even and y aligned to two of its elements
};
static_assert(sizeof(GemmInt8Sm90Args) == 176, "src/cuda/args.rs has the same size");
/// Arguments of `gemm_int4`, its products. Codes are s4, two a byte, the even column in the low half; rows have `row_bytes`
/// bytes, zeros beyond K.
struct GemmInt4Args {
    DEVICE_PTR(const uint8_t) x;       ///< [M, row_bytes]
    DEVICE_PTR(const uint8_t) w;       ///< [N, row_bytes]
    DEVICE_PTR(const float) x_absmax;  ///< [M]
    DEVICE_PTR(const float) w_scales;  ///< [parts, N rounded up to 128]; one part, or one for each 128 of K
    DEVICE_PTR(const float) bias;      ///< [N]; null: none
    DEVICE_PTR(void) y;                ///< [M, N]
    DEVICE_PTR(void) partials;         ///< [splits, M, N] s32, or f32 by groups; null when every block sums over all of K
    uint32_t m;
    uint32_t n;
    uint32_t row_bytes;                ///< K / 2 rounded up to 16
    uint32_t bytes_per_split;          ///< of a row, that one block sums over: a multiple of 64
    uint32_t splits;
    uint32_t whole_fours;              ///< 1: N is a multiple of 4 and y aligned to four of its elements
};
static_assert(sizeof(GemmInt4Args) == 80, "src/cuda/args.rs has the same size");

/// Arguments of `gemm_int4`, W as floats. Codes and scales as there.
struct DequantInt4Args {
    DEVICE_PTR(const uint8_t) w;
    DEVICE_PTR(const float) w_scales;
    DEVICE_PTR(void) out;  ///< [N, K] of the kernel's type, 16-byte aligned
    uint32_t n;
    uint32_t k;
    uint32_t row_bytes;
    uint32_t is_grouped;   ///< 1: a part of `w_scales` for each 128 of K
};
static_assert(sizeof(DequantInt4Args) == 40, "src/cuda/args.rs has the same size");

/// Arguments of `quantize_int4`, rows to s4 codes as `gemm_int4` takes them.
struct QuantizeInt4Args {
    DEVICE_PTR(const void) x;   ///< [M, K] of the kernel's type
    DEVICE_PTR(uint8_t) codes;  ///< [M, K / 2 rounded up to 16]
    DEVICE_PTR(float) absmax;   ///< [M]
    uint64_t m;
    uint32_t k;
    uint32_t is_aligned;        ///< 1: rows of x begin at multiples of 16 bytes
};
static_assert(sizeof(QuantizeInt4Args) == 40, "src/cuda/args.rs has the same size");

/// Exact division by a number known when a kernel is launched: i / d = (high64(multiplier * i) + i) >> shift for i < 2^63,
/// with 2^(shift - 1) < d <= 2^shift and multiplier = floor(2^64 (2^shift - d) / d) + 1 (Granlund and Montgomery, 1994).
struct DivisorArgs {
    uint64_t divisor;
    uint64_t multiplier;
    uint64_t shift;
};
static_assert(sizeof(DivisorArgs) == 24, "src/cuda/args.rs has the same size");

/// A matrix in an 8-bit format, W8 in src/cuda/ops/w8.rs: codes [N, K], one byte each, row-major or in tiles.
///
/// Value i of the flattened matrix has scale (i / row_len) * groups_per_row + (i % row_len) / group.
struct W8Args {
    DEVICE_PTR(const uint8_t) codes;
    DEVICE_PTR(const float) scales;
    DEVICE_PTR(const uint8_t) zero_points;  ///< one per scale, or null: all are `zero_point`
    DEVICE_PTR(const float) map;            ///< f32[256], of the dynamic map; null otherwise
    DivisorArgs row_len;                    ///< values per row of scales
    DivisorArgs group;                      ///< values per scale; the last of a row may have fewer
    DivisorArgs cols;                       ///< K
    uint64_t groups_per_row;
    uint64_t row_atoms;   ///< 0: row-major; else the layout wgmma_w8 with rows in pairs, so many eights of rows
    uint32_t zero_point;  ///< of affine codes without stored ones
    uint32_t is_affine;   ///< 1: (code - zero point) * scale; 0: INT8 by absmax, or the dynamic map
};
static_assert(sizeof(W8Args) == 128, "src/cuda/args.rs has the same size");

/// Arguments of `dequant_int8`: all values of a matrix, as floats.
struct DequantInt8Args {
    W8Args w;
    DEVICE_PTR(void) out;  ///< [num_values] of the kernel's type
    uint64_t num_values;
};
static_assert(sizeof(DequantInt8Args) == 144, "src/cuda/args.rs has the same size");

/// Arguments of `quantize_int8`, rows to codes. Addresses that may be null: what is not wanted.
struct QuantizeRowsArgs {
    DEVICE_PTR(const void) x;                ///< [M, K] of the kernel's type
    DEVICE_PTR(int8_t) codes;                ///< [M, K], row-major or in tiles
    DEVICE_PTR(float) absmax;                ///< [M]; may be null
    DEVICE_PTR(int32_t) sums;                ///< [M], of each row's codes; may be null
    DEVICE_PTR(uint8_t) flags;               ///< [K], set to 1 where a column has an outlier; may be null
    DEVICE_PTR(uint64_t) first_nonfinite;    ///< lowered to the flat index of a NaN or infinity; may be null
    DEVICE_PTR(const float) tensor_absmax;   ///< one absmax for all rows, instead of their own; may be null
    uint64_t m;
    uint64_t row_atoms;   ///< 0: codes row-major; else in the layout wgmma_w8, so many eights of rows, padded with zeros
    uint32_t k;
    uint32_t is_aligned;  ///< 1: rows of x begin at multiples of 16 bytes, rows of codes at multiples of 16 values of x
    float threshold;      ///< magnitudes from here on are outliers; NaN: none are
    float max_code;
};
static_assert(sizeof(QuantizeRowsArgs) == 88, "src/cuda/args.rs has the same size");

/// Arguments of `quantize_int8`, the columns with outliers.
struct OutliersArgs {
    W8Args w;
    DEVICE_PTR(const void) x;         ///< [M, K] of the kernel's type
    DEVICE_PTR(int8_t) codes;         ///< [M, K], row-major or in tiles: zeroed in these columns
    DEVICE_PTR(int32_t) sums;         ///< [M]: of the codes that stay
    DEVICE_PTR(const uint8_t) flags;  ///< [K padded to a multiple of 256], 1 for the columns that are taken, 0 otherwise
    DEVICE_PTR(uint32_t) columns;     ///< [K]: their indices, ascending
    DEVICE_PTR(uint32_t) count;       ///< how many
    DEVICE_PTR(void) outlier_x;       ///< [M, ld] of the kernel's type
    DEVICE_PTR(void) outlier_w;       ///< [N, ld] of the kernel's type
    uint64_t m;
    uint64_t n;          ///< 0 when W is not gathered
    uint64_t row_atoms;  ///< of `codes`, as of QuantizeRowsArgs
    uint32_t k;
    uint32_t ld;  ///< K rounded up to 16
};
static_assert(sizeof(OutliersArgs) == 224, "src/cuda/args.rs has the same size");

/// Arguments of `quantize_int8`, rounded rows as floats.
struct DequantRowsArgs {
    DEVICE_PTR(const void) x;         ///< [M, K] of the kernel's type: taken in columns with outliers
    DEVICE_PTR(const int8_t) codes;   ///< [M, K]
    DEVICE_PTR(const float) absmax;   ///< [M]
    DEVICE_PTR(const uint8_t) flags;  ///< [K]; null: no column has outliers
    DEVICE_PTR(float) out;            ///< [M, K]
    uint64_t m;
    uint32_t k;
    float max_code;
};
static_assert(sizeof(DequantRowsArgs) == 56, "src/cuda/args.rs has the same size");

/// Arguments of `quantize_int8`, the largest magnitude of a tensor.
struct TensorAbsmaxArgs {
    DEVICE_PTR(const void) x;         ///< [num_values] of the kernel's type, 16-byte aligned
    DEVICE_PTR(uint32_t) absmax;      ///< raised to the bits of the largest magnitude that is not a NaN; begins as 0
    uint64_t num_values;
};
static_assert(sizeof(TensorAbsmaxArgs) == 24, "src/cuda/args.rs has the same size");
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

/// Arguments of `dequant_w4a8`.
struct DequantW4A8Args {
    DEVICE_PTR(const uint8_t) w;     ///< in the layout mma_w4a8 (src/layout/mma_w4a8.rs)
    DEVICE_PTR(const float) scales;  ///< [N]
    DEVICE_PTR(void) out;            ///< [N, K] of the kernel's type, 16-byte aligned
    uint64_t units;                  ///< of 32 rows by 64 columns
    uint32_t n;
    uint32_t k;
};
static_assert(sizeof(DequantW4A8Args) == 40, "src/cuda/args.rs has the same size");

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

/// Arguments of `gemm_w4`: y = x * Wᵀ + bias on tensor cores. Offsets are in shared memory.
struct GemmW4Args {
    W4Args w;
    DEVICE_PTR(const void) x;       ///< [m, k] of the kernel's type
    DEVICE_PTR(const float) bias;   ///< [n], or null
    DEVICE_PTR(void) y;             ///< [m, n] of the kernel's type
    DEVICE_PTR(float) partials;     ///< [splits, m, n], or null: a block sums over all of K
    uint32_t m;
    uint32_t tiles_per_split;       ///< of K
    uint32_t stages;                ///< of the ring, 2 to 6
    uint32_t x_is_aligned;          ///< 1: rows of x begin at multiples of 16 bytes
    uint32_t codes_offset;          ///< of the codes of stage 2, a multiple of 128
    uint32_t scales_offset;         ///< of the scales of all stages, a multiple of 16
    uint32_t map_offset;            ///< of the map of nested scales
    uint32_t unused;
};
static_assert(sizeof(GemmW4Args) == 232, "src/cuda/args.rs has the same size");

/// Arguments of `gemm_w4_sm90`: y = x * Wᵀ + bias, in blocks of 128 rows of W by the kernel's rows of x.
struct GemmW4Sm90Args {
    W4Args w;
    DEVICE_PTR(const void) x;      ///< [m, k] of the kernel's type
    DEVICE_PTR(const float) bias;  ///< [n], or null
    DEVICE_PTR(void) y;            ///< [m, n] of the kernel's type
    DEVICE_PTR(float) partials;    ///< [splits, m, n], or null: a unit sums over all of K
    uint32_t m;
    uint32_t row_blocks;           ///< of 128 rows of W
    uint32_t units;                ///< row blocks by tiles of x by parts of K
    uint32_t tiles_per_split;      ///< of K
    uint32_t shared_bytes;         ///< the table of pairs, then the stages of the pipeline
    uint32_t x_is_aligned;         ///< 1: rows of x begin at multiples of 16 bytes
};
static_assert(sizeof(GemmW4Sm90Args) == 224, "src/cuda/args.rs has the same size");

/// One bucket of `quantize_w4`'s search: at most one midpoint of the codebook lies in it.
struct CodebookBucket {
    float midpoint;  ///< infinite when there is none
    uint32_t codes;  ///< the code up to the midpoint in bits 28..31, the code above it in bits 24..27
};
static_assert(sizeof(CodebookBucket) == 8, "src/cuda/args.rs has the same size");

/// Arguments of `quantize_w4`, blocks of values to 4-bit codes.
struct QuantizeW4Args {
    DEVICE_PTR(const void) x;              ///< [num_values] of the kernel's type
    DEVICE_PTR(uint8_t) codes;             ///< [ceil(num_values / 2) rounded up to 4], an even value in the high half
    DEVICE_PTR(float) absmax;              ///< [ceil(num_values / block)]
    DEVICE_PTR(uint64_t) first_nonfinite;  ///< lowered to the index of a NaN or infinity
    uint64_t num_values;
    uint32_t log2_block;        ///< values per absmax: 5 to 12
    uint32_t is_aligned;        ///< 1: x begins at a multiple of 16 bytes
    CodebookBucket buckets[48];  ///< bucket i: from (i - 17) / 16 on, for values scaled to -1..1
};
static_assert(sizeof(QuantizeW4Args) == 432, "src/cuda/args.rs has the same size");

/// Arguments of `quantize_w4`, the mean of the absmax values and their codes.
struct NestAbsmaxArgs {
    DEVICE_PTR(const float) absmax;        ///< [count]
    DEVICE_PTR(double) run_sums;           ///< [ceil(count / 1024)]
    DEVICE_PTR(float) offset;              ///< the mean
    DEVICE_PTR(uint8_t) codes;             ///< [count]
    DEVICE_PTR(float) nested_absmax;       ///< [ceil(count / 256)]
    uint64_t count;
    float midpoints[256];  ///< between the neighbours of the ascending map; the last is infinite
};
static_assert(sizeof(NestAbsmaxArgs) == 1072, "src/cuda/args.rs has the same size");
