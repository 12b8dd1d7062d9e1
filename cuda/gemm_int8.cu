// archs: 80 89 90a 100 120
// gemm_int8: y[m, n] = (sum_k x[m, k] * w[n, k] - zero_point[n] * x_sum[m]) * (x_absmax[m] * w_scale[n]) * factor
//                      + sum_j outlier_x[m, j] * outlier_w[n, j] + bias[n]
//   x [M, K] s8 codes and w [N, K] s8 codes (`_affine`: u8), row-major; sums in s32, which wrap: K is such that the difference
//   fits (ops/gemm_int8.rs). Scales are multiplied in this order, in f32, as on the CPU (IntEpilogue): the same bits before
//   the outliers. An x_absmax that is a NaN makes a row of NaNs.
//
// gemm_int8_{f16,bf16}[_small|_unaligned]       INT8; tiles as in gemm_dense.cu; `_unaligned` takes any K.
// gemm_int8_{f16,bf16}_affine[_unaligned]       affine INT8, 64 x 64 tiles.
// gemm_int8_reduce_{f16,bf16}                   with `partials`, s32 [splits, M, N]: adds them up and finishes.
//
// One block, LLM.int8() in one kernel (arXiv 2208.07339, without its round trip of int32 and its synchronisation):
//   sums = x * wᵀ over its part of K                    mma.m16n8k32, tile.cuh
//   values = sums, scaled, in the same registers
//   if *outlier_count > 0: values += outlier_x * outlier_wᵀ      mma.m16n8k16, to *outlier_count rounded up to 16
//   y = values + bias, rounded once
// Where K is split, the block of the first part puts the outliers' sums into a plane of their own, which the second kernel adds.
#include "args.h"
#include "epilogue.cuh"
#include "int8.cuh"
#include "tile.cuh"

namespace {

// Scales all that the thread holds. `row` and `column` are its first in y.
template <typename Shape>
__device__ __forceinline__ void scale_sums(Sums<Shape, float> &values, const Sums<Shape, int32_t> &sums,
                                           const GemmInt8Args &args, const TilePlace &tile) {
    RowScale rows[Shape::kFragmentsM][2];
    #pragma unroll
    for (int m = 0; m < Shape::kFragmentsM; ++m) {
        rows[m][0] = row_scale(args, tile.row + own_row<Shape>(m, 0));
        rows[m][1] = row_scale(args, tile.row + own_row<Shape>(m, 1));
    }
    #pragma unroll
    for (int n = 0; n < Shape::kFragmentsN; ++n) {
        #pragma unroll
        for (int i = 0; i < 4; ++i) {
            const ColumnScale column = column_scale(args, tile.column + own_column<Shape>(n) + i);
            #pragma unroll
            for (int m = 0; m < Shape::kFragmentsM; ++m) {
                #pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const int at = 2 * half + i % 2;
                    values[m][n][i / 2][at] = scaled(sums[m][n][i / 2][at], rows[m][half], column, args.factor);
                }
            }
        }
    }
}

// Stores what the thread holds to a plane [M, N] of 32-bit values.
template <typename Shape, typename Sum>
__device__ __forceinline__ void store_plane(Sum *plane, const Sums<Shape, Sum> &sums, const GemmInt8Args &args,
                                            const TilePlace &tile) {
    for_each_four<Shape, Sum>(sums, [&](int fragment, uint32_t row, const Sum(&four)[4]) {
        if (tile.row + row >= args.m) return;
        Sum *to = plane + uint64_t(tile.row + row) * args.n;
        store_four(to, tile.column + own_column<Shape>(fragment), args.n, args.n % 4 == 0, four);
    });
}

template <typename T, typename Mma, typename Shape, typename Copy>
__device__ __forceinline__ void gemm_int8(const GemmInt8Args &args) {
    extern __shared__ __align__(128) uint8_t shared[];
    const TilePlace tile = tile_of_block<Shape>(args.m, args.n);
    const uint32_t k_begin = blockIdx.z * args.k_per_split;
    const uint32_t k_end = min(args.k, k_begin + args.k_per_split);

    Sums<Shape, int32_t> sums = {};
    multiply_tiles<Shape, Mma, Copy>(sums, rows_from(args.x, args.k, tile.row, args.m),
                                     rows_from(args.w, args.k, tile.column, args.n), k_begin, k_end, shared);

    Sums<Shape, float> values = {};
    const uint64_t plane = uint64_t(args.m) * args.n;
    if (args.partials)
        store_plane<Shape>(args.partials + blockIdx.z * plane, sums, args, tile);
    else
        scale_sums<Shape>(values, sums, args, tile);

    const uint32_t outliers = args.outlier_count && blockIdx.z == 0 ? *args.outlier_count : 0;
    if (outliers > 0) {
        __syncthreads();
        const uint64_t row_bytes = uint64_t(args.outlier_ld) * sizeof(T);
        multiply_tiles<Shape, FloatMma<T>, AlignedCopy>(values, rows_from(args.outlier_x, row_bytes, tile.row, args.m),
                                                        rows_from(args.outlier_w, row_bytes, tile.column, args.n), 0,
                                                        (outliers + 15) / 16 * 16 * sizeof(T), shared);
    }
    if (args.partials) {
        if (outliers > 0) store_plane<Shape>(args.outlier_sums, values, args, tile);
        return;
    }

    Four<float> bias[Shape::kFragmentsN];
    #pragma unroll
    for (int i = 0; i < Shape::kFragmentsN; ++i)
        bias[i] = bias_of_four(args.bias, tile.column + own_column<Shape>(i), args.n);
    for_each_four<Shape, float>(values, [&](int fragment, uint32_t row, const float(&four)[4]) {
        if (tile.row + row >= args.m) return;
        T *to = static_cast<T *>(args.y) + uint64_t(tile.row + row) * args.n;
        finish_four(to, tile.column + own_column<Shape>(fragment), args.n, args.whole_fours, bias[fragment], four);
    });
}

template <typename T>
__device__ __forceinline__ void gemm_int8_reduce(const GemmInt8Args &args) {
    const RowPart part = row_part(args.n);
    if (part.column >= args.n) return;
    const uint64_t plane = uint64_t(args.m) * args.n;
    const uint64_t first = uint64_t(part.row) * args.n;
    const bool whole = args.n % 4 == 0;
    uint32_t sums[4] = {};
    for (uint32_t split = 0; split < args.splits; ++split) {
        const Four<int32_t> four = load_four(args.partials + split * plane + first, part.column, args.n, whole);
        #pragma unroll
        for (uint32_t i = 0; i < 4; ++i) sums[i] += uint32_t(four.at[i]);
    }
    const RowScale row = row_scale(args, part.row);
    float values[4];
    #pragma unroll
    for (uint32_t i = 0; i < 4; ++i)
        values[i] = scaled(sums[i], row, column_scale(args, part.column + i), args.factor);
    if (args.outlier_count && *args.outlier_count > 0) {
        const Four<float> four = load_four(args.outlier_sums + first, part.column, args.n, whole);
        #pragma unroll
        for (uint32_t i = 0; i < 4; ++i) values[i] = __fadd_rn(values[i], four.at[i]);
    }
    T *to = static_cast<T *>(args.y) + uint64_t(part.row) * args.n;
    finish_four(to, part.column, args.n, args.whole_fours, bias_of_four(args.bias, part.column, args.n), values);
}

}  // namespace

#define KERNEL(name, threads, min_blocks, ...)                                                                       \
    extern "C" __global__ void __launch_bounds__(threads, min_blocks) name(const __grid_constant__ GemmInt8Args args) { \
        __VA_ARGS__(args);                                                                                           \
    }

#define KERNELS(type, T)                                                                                     \
    KERNEL(gemm_int8_##type, 128, 2, gemm_int8<T, S8Mma, LargeTile, AlignedCopy>)                             \
    KERNEL(gemm_int8_##type##_small, 128, 3, gemm_int8<T, S8Mma, SmallTile, AlignedCopy>)                     \
    KERNEL(gemm_int8_##type##_unaligned, 128, 3, gemm_int8<T, S8Mma, SmallTile, ElementCopy<uint8_t>>)        \
    KERNEL(gemm_int8_##type##_affine, 128, 3, gemm_int8<T, S8U8Mma, SmallTile, AlignedCopy>)                  \
    KERNEL(gemm_int8_##type##_affine_unaligned, 128, 3, gemm_int8<T, S8U8Mma, SmallTile, ElementCopy<uint8_t>>) \
    KERNEL(gemm_int8_reduce_##type, 256, 1, gemm_int8_reduce<T>)

KERNELS(f16, __half)
KERNELS(bf16, __nv_bfloat16)
