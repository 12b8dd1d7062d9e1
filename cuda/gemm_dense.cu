// archs: 80 89 90a 100 120
// gemm_dense: y[m, n] = sum_k x[m, k] * w[n, k] + bias[n]; x [M, K], w [N, K], y [M, N] row-major, bias f32 or none.
//
// gemm_dense_{f16,bf16}[_small|_unaligned]   mma.m16n8k16, f32 sums, one rounding. The plain ones and `_small` (64 x 64 tiles)
//     want rows that begin at multiples of 16 bytes; `_unaligned` (64 x 64) takes any.
//     Grid: x tiles of y (tile.cuh), z splits of K. With `partials` the sums go there, f32 [splits, M, N], and
// gemm_dense_reduce_{f16,bf16}               adds them up in order: the same bits in every run. Alone, with no splits, it is y = bias, for K = 0.
// gemm_dense_f32[_f16|_bf16]                 f32 x and w, one fma each in order of k; y as the name says.
// add_bias_{f16,bf16,f32}                    y += bias, for products that a vendor's library has made.
#include "args.h"
#include "epilogue.cuh"
#include "tile.cuh"

namespace {

// 16-bit elements on tensor cores.
template <typename T, typename Shape, typename Copy>
__device__ __forceinline__ void gemm_dense(const GemmDenseArgs &args) {
    extern __shared__ __align__(128) uint8_t shared[];
    const TilePlace tile = tile_of_block<Shape>(args.m, args.n);
    const uint64_t row_bytes = uint64_t(args.k) * sizeof(T);
    const uint32_t k_begin = blockIdx.z * args.k_per_split;
    const uint32_t k_end = min(args.k, k_begin + args.k_per_split);

    Sums<Shape, float> sums = {};
    multiply_tiles<Shape, FloatMma<T>, Copy>(sums, rows_from(args.x, row_bytes, tile.row, args.m),
                                             rows_from(args.w, row_bytes, tile.column, args.n), k_begin * sizeof(T),
                                             k_end * sizeof(T), shared);

    if (args.partials) {
        float *plane = args.partials + uint64_t(blockIdx.z) * args.m * args.n;
        for_each_four<Shape, float>(sums, [&](int fragment, uint32_t row, const float (&four)[4]) {
            if (tile.row + row >= args.m) return;
            float *to = plane + uint64_t(tile.row + row) * args.n;
            store_four(to, tile.column + own_column<Shape>(fragment), args.n, args.n % 4 == 0, four);
        });
        return;
    }
    Four<float> bias[Shape::kFragmentsN];
    #pragma unroll
    for (int i = 0; i < Shape::kFragmentsN; ++i)
        bias[i] = bias_of_four(args.bias, tile.column + own_column<Shape>(i), args.n);
    for_each_four<Shape, float>(sums, [&](int fragment, uint32_t row, const float (&four)[4]) {
        if (tile.row + row >= args.m) return;
        T *to = static_cast<T *>(args.y) + uint64_t(tile.row + row) * args.n;
        finish_four(to, tile.column + own_column<Shape>(fragment), args.n, args.whole_fours, bias[fragment], four);
    });
}

template <typename T>
__device__ __forceinline__ void gemm_dense_reduce(const GemmDenseArgs &args) {
    const RowPart part = row_part(args.n);
    if (part.column >= args.n) return;
    float sums[4] = {};
    for (uint32_t split = 0; split < args.splits; ++split) {
        const float *from = args.partials + (uint64_t(split) * args.m + part.row) * args.n;
        const Four<float> four = load_four(from, part.column, args.n, args.n % 4 == 0);
        #pragma unroll
        for (uint32_t i = 0; i < 4; ++i) sums[i] += four.at[i];
    }
    T *to = static_cast<T *>(args.y) + uint64_t(part.row) * args.n;
    finish_four(to, part.column, args.n, args.whole_fours, bias_of_four(args.bias, part.column, args.n), sums);
}

template <typename T>
__device__ __forceinline__ void add_bias(const GemmDenseArgs &args) {
    const RowPart part = row_part(args.n);
    if (part.column >= args.n) return;
    T *row = static_cast<T *>(args.y) + uint64_t(part.row) * args.n;
    const Four<T> four = load_four(row, part.column, args.n, args.whole_fours);
    const float values[4] = {float(four.at[0]), float(four.at[1]), float(four.at[2]), float(four.at[3])};
    finish_four(row, part.column, args.n, args.whole_fours, bias_of_four(args.bias, part.column, args.n), values);
}

// f32: 64 x 64 tiles, 128 threads of 8 rows by 4 columns, three stages of 16 k.
constexpr uint32_t kTile = 64;
constexpr uint32_t kTileK = 16;
constexpr uint32_t kStages = 3;
// A row of a stage is one k: threads read along rows of x or of w. The four more spread the copies over the banks.
constexpr uint32_t kPitch = kTile + 4;

struct StageF32 {
    float x[kTileK][kPitch];
    float w[kTileK][kPitch];
};

// Starts copying [64 rows][16 k], turned; 128 threads, 16 neighbours along k.
__device__ __forceinline__ void start_copy(float (&to)[kTileK][kPitch], const float *matrix, uint32_t first, uint32_t rows,
                                           uint32_t k_first, uint32_t k_end) {
    const uint32_t k = threadIdx.x % kTileK;
    #pragma unroll
    for (uint32_t i = 0; i < kTile; i += 128 / kTileK) {
        const uint32_t row = threadIdx.x / kTileK + i;
        const bool exists = first + row < rows && k_first + k < k_end;
        const float *from = matrix + (exists ? uint64_t(first + row) * k_end + k_first + k : 0);
        cp_async_4(shared_address(&to[k][row]), from, exists ? 4 : 0);
    }
}

__device__ __forceinline__ void multiply_stage(float (&sums)[8][4], const StageF32 &stage, uint32_t row, uint32_t column) {
    #pragma unroll
    for (uint32_t k = 0; k < kTileK; ++k) {
        const Four<float> x[2] = {*reinterpret_cast<const Four<float> *>(&stage.x[k][row]),
                                  *reinterpret_cast<const Four<float> *>(&stage.x[k][row + 4])};
        const Four<float> w = *reinterpret_cast<const Four<float> *>(&stage.w[k][column]);
        #pragma unroll
        for (uint32_t i = 0; i < 8; ++i) {
            #pragma unroll
            for (uint32_t j = 0; j < 4; ++j) sums[i][j] = fmaf(x[i / 4].at[i % 4], w.at[j], sums[i][j]);
        }
    }
}

template <typename T>
__device__ __forceinline__ void gemm_dense_f32_to(const GemmDenseArgs &args) {
    __shared__ __align__(16) StageF32 stages[kStages];
    const TilePlace tile = tile_of_block<SmallTile>(args.m, args.n);
    auto start = [&](uint32_t index, uint32_t k) {
        if (k < args.k) {
            start_copy(stages[index].x, static_cast<const float *>(args.x), tile.row, args.m, k, args.k);
            start_copy(stages[index].w, static_cast<const float *>(args.w), tile.column, args.n, k, args.k);
        }
        cp_async_commit();
    };
    #pragma unroll
    for (uint32_t i = 0; i < kStages - 1; ++i) start(i, i * kTileK);

    // Threads of a warp: two groups of rows, sixteen of columns.
    const uint32_t row = threadIdx.x / 16 * 8;
    const uint32_t column = threadIdx.x % 16 * 4;
    float sums[8][4] = {};
    uint32_t index = 0;
    for (uint32_t k = 0; k < args.k; k += kTileK) {
        cp_async_wait<kStages - 2>();
        __syncthreads();
        start(index == 0 ? kStages - 1 : index - 1, k + (kStages - 1) * kTileK);
        multiply_stage(sums, stages[index], row, column);
        index = index == kStages - 1 ? 0 : index + 1;
    }

    const Four<float> bias = bias_of_four(args.bias, tile.column + column, args.n);
    #pragma unroll
    for (uint32_t i = 0; i < 8; ++i) {
        if (tile.row + row + i >= args.m) return;
        T *to = static_cast<T *>(args.y) + uint64_t(tile.row + row + i) * args.n;
        finish_four(to, tile.column + column, args.n, args.whole_fours, bias, sums[i]);
    }
}

}  // namespace

#define KERNEL(name, threads, min_blocks, body)                                                  \
    extern "C" __global__ void __launch_bounds__(threads, min_blocks) name(const __grid_constant__ GemmDenseArgs args) { \
        body(args);                                                                              \
    }
#define GEMM(name, ...) KERNEL(name, 128, 2, (gemm_dense<__VA_ARGS__>))

GEMM(gemm_dense_f16, __half, LargeTile, AlignedCopy)
GEMM(gemm_dense_f16_small, __half, SmallTile, AlignedCopy)
GEMM(gemm_dense_f16_unaligned, __half, SmallTile, ElementCopy<uint16_t>)
GEMM(gemm_dense_bf16, __nv_bfloat16, LargeTile, AlignedCopy)
GEMM(gemm_dense_bf16_small, __nv_bfloat16, SmallTile, AlignedCopy)
GEMM(gemm_dense_bf16_unaligned, __nv_bfloat16, SmallTile, ElementCopy<uint16_t>)

KERNEL(gemm_dense_reduce_f16, 256, 1, gemm_dense_reduce<__half>)
KERNEL(gemm_dense_reduce_bf16, 256, 1, gemm_dense_reduce<__nv_bfloat16>)

KERNEL(gemm_dense_f32, 128, 3, gemm_dense_f32_to<float>)
KERNEL(gemm_dense_f32_f16, 128, 3, gemm_dense_f32_to<__half>)
KERNEL(gemm_dense_f32_bf16, 128, 3, gemm_dense_f32_to<__nv_bfloat16>)

KERNEL(add_bias_f16, 256, 1, add_bias<__half>)
KERNEL(add_bias_bf16, 256, 1, add_bias<__nv_bfloat16>)
KERNEL(add_bias_f32, 256, 1, add_bias<float>)
