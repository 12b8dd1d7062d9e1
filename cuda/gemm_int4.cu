// archs: 80 89
// test archs: 90a
//
// gemm_int4: y[m, n] = (sum_k x[m, k] * w[n, k] * w_scale[n, k / G]) * (x_absmax[m] / 7) + bias[n]          W4A4
//   x [M, K] and w [N, K]: s4 codes in rows of `row_bytes` bytes, a multiple of 16, zeros beyond K (src/layout/s4_rows.rs)
//   w_scales [parts][N rounded up to 128, a tile's columns, so that none is beyond]: one part, or one for each 128 of K
//
// gemm_int4_{f16,bf16}[_small]           one scale per row of W: s32 sums over all of K, scaled at the end in f32,
//                                        sum * (x_absmax * w_scale) * (1 / 7) in this order, as on the CPU (IntEpilogue)
// gemm_int4_{f16,bf16}_group[_small]     a scale per 128 of K: s32 sums of each, scaled and added up by an fma in f32 in
//                                        ascending order, as on the CPU (GroupProduct); at the end * (x_absmax * (1 / 7))
// gemm_int4_reduce[_group]_{f16,bf16}    with `partials`, [splits, M, N] s32 or f32: adds them up and finishes
// dequant_int4_{f32,f16,bf16}            W as floats: code * scale, rounded once
//
// mma.m16n8k64.s4 exists on compute capabilities 8.0 to 8.9 only. Elsewhere ptxas makes some 200 instructions of it: right,
// so that tests may run it, and slow, so that ops/gemm_int4.rs refuses it. An x_absmax that is a NaN makes a row of NaNs.
#include "args.h"
#include "epilogue.cuh"
#include "tile.cuh"
#include "values.cuh"

namespace {

// What all scales are multiplied by: the largest code of x is 7.
constexpr float kFactor = 1.0f / 7.0f;

__device__ __forceinline__ float row_absmax(const GemmInt4Args &args, uint32_t row) {
    return row < args.m ? args.x_absmax[row] : 0.0f;
}

// How far apart the parts of w_scales are.
__device__ __forceinline__ uint64_t scales_per_part(uint32_t n) { return (uint64_t(n) + 127) / 128 * 128; }

__device__ __forceinline__ Four<float> load_scales(const float *from) { return *reinterpret_cast<const Four<float> *>(from); }

// How sums become values: one scale per row of W.
struct ByRow {
    using Sum = int32_t;

    template <typename Shape>
    static __device__ __forceinline__ void multiply(Sums<Shape, Sum> &sums, const GemmInt4Args &args, const TilePlace &tile,
                                                    uint32_t begin, uint32_t end, const uint8_t *shared) {
        multiply_tiles<Shape, S4Mma, AlignedCopy>(sums, rows_from(args.x, args.row_bytes, tile.row, args.m),
                                                  rows_from(args.w, args.row_bytes, tile.column, args.n), begin, end,
                                                  shared);
    }

    static __device__ __forceinline__ float value(Sum sum, float absmax, float scale) {
        return __fmul_rn(__fmul_rn(__int2float_rn(sum), __fmul_rn(absmax, scale)), kFactor);
    }

    static __device__ __forceinline__ Four<float> final_scales(const GemmInt4Args &args, uint32_t column) {
        return load_scales(args.w_scales + column);
    }
};

// A scale per 128 of K, which is a stage: the sums are values already, but for the scale of x.
struct ByGroup {
    using Sum = float;

    // 1.5 * 2^23: with its bits as the first sum, the sum has the bits of the float kBias + sum for |sum| < 2^22, and one
    // addition makes the conversion, which is no instruction of the arithmetic pipes on sm_80.
    static constexpr float kBias = 12582912.0f;

    // values += (sum over the stage) * scale. Calls used(n) when `scales[n]` is no longer needed.
    template <typename Shape, typename Used>
    static __device__ __forceinline__ void multiply_stage(Sums<Shape, Sum> &values, uint32_t address_a, uint32_t address_b,
                                                          const Four<float> (&scales)[Shape::kFragmentsN], Used used) {
        // The second step is two chunks further: the permutation only turns bits.
        uint32_t a[2][Shape::kFragmentsM][4];
        #pragma unroll
        for (int step = 0; step < 2; ++step) {
            #pragma unroll
            for (int m = 0; m < Shape::kFragmentsM; ++m)
                ldmatrix_x4(a[step][m], (address_a ^ (step * kStepK)) + m * 16 * kStageK);
        }
        #pragma unroll
        for (int n = 0; n < Shape::kFragmentsN; ++n) {
            uint32_t b[2][4];
            #pragma unroll
            for (int step = 0; step < 2; ++step)
                ldmatrix_x4(b[step], (address_b ^ (step * kStepK)) + n * 16 * kStageK);
            #pragma unroll
            for (int half = 0; half < 2; ++half) {
                const uint32_t first[2] = {b[0][2 * half], b[0][2 * half + 1]};
                const uint32_t second[2] = {b[1][2 * half], b[1][2 * half + 1]};
                #pragma unroll
                for (int m = 0; m < Shape::kFragmentsM; ++m) {
                    int32_t sum[4];
                    mma_m16n8k64_s4_first(sum, a[0][m], first, __float_as_int(kBias));
                    mma_m16n8k64_s4(sum, a[1][m], second);
                    #pragma unroll
                    for (int i = 0; i < 4; ++i) {
                        float &value = values[m][n][half][i];
                        const float exact = __fadd_rn(__int_as_float(sum[i]), -kBias);
                        value = __fmaf_rn(exact, scales[n].at[2 * half + i % 2], value);
                    }
                }
            }
            // Holds back what ptxas would otherwise read for further fragments: more registers than there are.
            __syncwarp();
            used(n);
        }
    }

    // The scales of the thread's columns for the next stage are read as soon as those of this one are used.
    template <typename Shape>
    static __device__ __forceinline__ void multiply(Sums<Shape, Sum> &values, const GemmInt4Args &args,
                                                    const TilePlace &tile, uint32_t begin, uint32_t end,
                                                    const uint8_t *shared) {
        const uint64_t part = scales_per_part(args.n);
        const float *from = args.w_scales + begin / kStageK * part + tile.column + own_column<Shape>(0);
        Four<float> scales[Shape::kFragmentsN];
        auto load = [&](int n) { scales[n] = load_scales(from + 16 * n); };
        #pragma unroll
        for (int n = 0; n < Shape::kFragmentsN; ++n) load(n);
        const Fragments<Shape> fragments;
        for_each_stage<Shape, AlignedCopy>(rows_from(args.x, args.row_bytes, tile.row, args.m),
                                           rows_from(args.w, args.row_bytes, tile.column, args.n), begin, end, shared,
                                           [&](uint32_t k, uint32_t stage) {
            // Behind the last stage the same are read again.
            if (k + kStageK < end) from += part;
            multiply_stage<Shape>(values, stage + fragments.a, stage + fragments.b, scales, load);
        });
    }

    static __device__ __forceinline__ float value(Sum sum, float absmax, float) {
        return __fmul_rn(sum, __fmul_rn(absmax, kFactor));
    }

    static __device__ __forceinline__ Four<float> final_scales(const GemmInt4Args &, uint32_t) { return {}; }
};

// Scales, adds the bias, rounds and stores four sums of row `row` from column `column` on.
template <typename T, typename Scaling>
__device__ __forceinline__ void finish_sums(const GemmInt4Args &args, uint32_t row, uint32_t column, float absmax,
                                            const Four<float> &scales, const Four<float> &bias,
                                            const typename Scaling::Sum (&sums)[4]) {
    float values[4];
    #pragma unroll
    for (int i = 0; i < 4; ++i) values[i] = Scaling::value(sums[i], absmax, scales.at[i]);
    finish_four(static_cast<T *>(args.y) + uint64_t(row) * args.n, column, args.n, args.whole_fours, bias, values);
}

template <typename T, typename Scaling, typename Shape>
__device__ __forceinline__ void gemm_int4(const GemmInt4Args &args) {
    using Sum = typename Scaling::Sum;
    extern __shared__ __align__(128) uint8_t shared[];
    const uint32_t begin = blockIdx.z * args.bytes_per_split;
    const uint32_t end = min(args.row_bytes, begin + args.bytes_per_split);

    Sums<Shape, Sum> sums = {};
    Scaling::template multiply<Shape>(sums, args, tile_of_block<Shape>(args.m, args.n), begin, end, shared);

    // Found once more: kept through the loop, it takes registers that there are not.
    const TilePlace tile = tile_of_block<Shape>(used_here(args.m), args.n);

    if (args.partials) {
        Sum *plane = static_cast<Sum *>(args.partials) + blockIdx.z * (uint64_t(args.m) * args.n);
        for_each_four<Shape, Sum>(sums, [&](int fragment, uint32_t row, const Sum(&four)[4]) {
            if (tile.row + row >= args.m) return;
            Sum *to = plane + uint64_t(tile.row + row) * args.n;
            store_four(to, tile.column + own_column<Shape>(fragment), args.n, args.n % 4 == 0, four);
        });
        return;
    }

    Four<float> scales[Shape::kFragmentsN], bias[Shape::kFragmentsN];
    #pragma unroll
    for (int i = 0; i < Shape::kFragmentsN; ++i) {
        const uint32_t column = tile.column + own_column<Shape>(i);
        scales[i] = Scaling::final_scales(args, column);
        bias[i] = bias_of_four(args.bias, column, args.n);
    }
    for_each_four<Shape, Sum>(sums, [&](int fragment, uint32_t row, const Sum(&four)[4]) {
        if (tile.row + row >= args.m) return;
        finish_sums<T, Scaling>(args, tile.row + row, tile.column + own_column<Shape>(fragment),
                                row_absmax(args, tile.row + row), scales[fragment], bias[fragment], four);
    });
}

template <typename T, typename Scaling>
__device__ __forceinline__ void gemm_int4_reduce(const GemmInt4Args &args) {
    using Sum = typename Scaling::Sum;
    const RowPart part = row_part(args.n);
    if (part.column >= args.n) return;
    const uint64_t plane = uint64_t(args.m) * args.n;
    const Sum *from = static_cast<const Sum *>(args.partials) + uint64_t(part.row) * args.n;
    Sum sums[4] = {};
    for (uint32_t split = 0; split < args.splits; ++split) {
        const Four<Sum> four = load_four(from + split * plane, part.column, args.n, args.n % 4 == 0);
        #pragma unroll
        for (uint32_t i = 0; i < 4; ++i) sums[i] += four.at[i];
    }
    finish_sums<T, Scaling>(args, part.row, part.column, row_absmax(args, part.row),
                            Scaling::final_scales(args, part.column), bias_of_four(args.bias, part.column, args.n), sums);
}

// A thread: eight codes of a row.
template <typename T>
__device__ __forceinline__ void dequant_int4(const DequantInt4Args &args) {
    const uint32_t words_per_row = args.row_bytes / 4;
    const uint64_t index = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    const uint64_t row = index / words_per_row;
    const uint32_t column = uint32_t(index % words_per_row) * 8;
    if (row >= args.n || column >= args.k) return;
    const uint32_t codes = reinterpret_cast<const uint32_t *>(args.w)[index];
    const uint64_t part = args.is_grouped ? column / (2 * kStageK) : 0;
    const float scale = args.w_scales[part * scales_per_part(args.n) + row];
    float values[8];
    #pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = __fmul_rn(float(int32_t(codes << (28 - 4 * i)) >> 28), scale);
    T *to = static_cast<T *>(args.out) + row * args.k + column;
    if (args.k % 8 == 0) {
        store_values(to, values);
        return;
    }
    #pragma unroll
    for (uint32_t i = 0; i < 8; ++i)
        if (column + i < args.k) to[i] = narrow<T>(values[i]);
}

}  // namespace

#define KERNEL(name, Args, threads, min_blocks, ...)                                                            \
    extern "C" __global__ void __launch_bounds__(threads, min_blocks) name(const __grid_constant__ Args args) { \
        __VA_ARGS__(args);                                                                                      \
    }

#define KERNELS(type, T)                                                                               \
    KERNEL(gemm_int4_##type, GemmInt4Args, 128, 2, gemm_int4<T, ByRow, LargeTile>)                     \
    KERNEL(gemm_int4_##type##_small, GemmInt4Args, 128, 3, gemm_int4<T, ByRow, SmallTile>)             \
    KERNEL(gemm_int4_##type##_group, GemmInt4Args, 128, 2, gemm_int4<T, ByGroup, LargeTile>)           \
    KERNEL(gemm_int4_##type##_group_small, GemmInt4Args, 128, 3, gemm_int4<T, ByGroup, SmallTile>)     \
    KERNEL(gemm_int4_reduce_##type, GemmInt4Args, 256, 1, gemm_int4_reduce<T, ByRow>)                  \
    KERNEL(gemm_int4_reduce_group_##type, GemmInt4Args, 256, 1, gemm_int4_reduce<T, ByGroup>)

KERNELS(f16, __half)
KERNELS(bf16, __nv_bfloat16)
KERNEL(dequant_int4_f32, DequantInt4Args, 256, 1, dequant_int4<float>)
KERNEL(dequant_int4_f16, DequantInt4Args, 256, 1, dequant_int4<__half>)
KERNEL(dequant_int4_bf16, DequantInt4Args, 256, 1, dequant_int4<__nv_bfloat16>)
