// archs: 80 89
// test archs: 90a
//
// quantize_int4: rows of x [M, K] to s4 codes, two a byte (src/layout/s4_rows.rs), as reference.rs rounds them:
//
//   absmax[m]  = max over k of |x[m, k]|, NaN not counted
//   code[m, k] = clamp(round_half_even(x * ((1 / absmax) * 7)), -7, 7), 0 for a NaN and beyond K
//   absmax[m]  = NaN where row m has a NaN or infinity, after its codes are made
//
// rows: 256 threads a row; short: a warp a row, 8 rows a block. A thread has units of eight columns, a word of codes each,
// which it loads as 16 bytes or, where rows do not begin at multiples of 16 bytes, value by value.
// For gemm_int4, and so for the architectures that have its instruction.

#include "args.h"
#include "values.cuh"

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr uint32_t kAllLanes = 0xffffffff;
constexpr uint32_t kUnit = 8;
constexpr float kMaxCode = 7.0f;
// Units that a thread keeps between the pass for the absmax and that for the codes: rows of up to kThreads * kHeld * 8 =
// 16,384 columns are read once, the rest of a longer one again, from L2.
constexpr int kHeld = 8;

// What a row, or a thread's part of it, holds.
struct RowRange {
    float absmax;
    bool is_finite;
};

template <typename T>
__device__ __forceinline__ void scan(const Vector<T> &unit, RowRange &range) {
    #pragma unroll
    for (uint32_t i = 0; i < kUnit; ++i) {
        const float magnitude = fabsf(widen(unit.values[i]));
        range.is_finite = range.is_finite && magnitude < INFINITY;
        range.absmax = fmaxf(range.absmax, magnitude);
    }
}

// The combination over all threads of a row: of a warp, or of the block.
template <int kRowThreads>
__device__ __forceinline__ RowRange reduce_row(RowRange range) {
    #pragma unroll
    for (int offset = 16; offset > 0; offset /= 2)
        range.absmax = fmaxf(range.absmax, __shfl_xor_sync(kAllLanes, range.absmax, offset));
    range.is_finite = __all_sync(kAllLanes, range.is_finite);
    if constexpr (kRowThreads > 32) {
        __shared__ RowRange parts[kWarps];
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = range;
        __syncthreads();
        range = parts[0];
        #pragma unroll
        for (int warp = 1; warp < kWarps; ++warp) {
            range.absmax = fmaxf(range.absmax, parts[warp].absmax);
            range.is_finite = range.is_finite && parts[warp].is_finite;
        }
    }
    return range;
}

// The codes of a unit. A NaN converts to 0; beyond the range the conversion saturates, so that the clamp sees the right sign.
template <typename T>
__device__ __forceinline__ uint32_t encode(const Vector<T> &unit, float factor) {
    uint32_t word = 0;
    #pragma unroll
    for (uint32_t i = 0; i < kUnit; ++i) {
        const int32_t code = __float2int_rn(__fmul_rn(widen(unit.values[i]), factor));
        word |= (uint32_t(min(max(code, -int32_t(kMaxCode)), int32_t(kMaxCode))) & 15) << (4 * i);
    }
    return word;
}

template <typename T, int kRowThreads>
__device__ __forceinline__ void quantize_rows(const QuantizeInt4Args &args) {
    static_assert(kVectorValues<T> == kUnit, "a unit is 16 bytes");
    const uint64_t index = uint64_t(blockIdx.x) * (kThreads / kRowThreads) + threadIdx.x / kRowThreads;
    if (index >= args.m) return;  // whole warps alone
    const T *x = static_cast<const T *>(args.x) + index * args.k;
    const uint32_t units = (args.k + 31) / 32 * 4;
    uint32_t *codes = reinterpret_cast<uint32_t *>(args.codes) + index * units;
    // Units beyond K are zeros.
    auto load = [&](uint32_t unit) {
        const uint32_t first = unit * kUnit;
        return args.is_aligned && first < args.k ? load_vector(x + first) : gather_vector(x, first, args.k);
    };

    const uint32_t lane = threadIdx.x % kRowThreads;
    Vector<T> held[kHeld];
    RowRange range = {0.0f, true};
    #pragma unroll
    for (int i = 0; i < kHeld; ++i)
        if (lane + i * kRowThreads < units) held[i] = load(lane + i * kRowThreads);
    #pragma unroll
    for (int i = 0; i < kHeld; ++i)
        if (lane + i * kRowThreads < units) scan(held[i], range);
    for (uint32_t unit = lane + kHeld * kRowThreads; unit < units; unit += kRowThreads) scan(load(unit), range);
    range = reduce_row<kRowThreads>(range);

    // The reciprocal comes first: the product is rounded as bitsandbytes rounds it.
    const float factor = __fmul_rn(__frcp_rn(range.absmax), kMaxCode);
    #pragma unroll
    for (int i = 0; i < kHeld; ++i)
        if (lane + i * kRowThreads < units) codes[lane + i * kRowThreads] = encode(held[i], factor);
    for (uint32_t unit = lane + kHeld * kRowThreads; unit < units; unit += kRowThreads)
        codes[unit] = encode(load(unit), factor);
    if (lane == 0) args.absmax[index] = range.is_finite ? range.absmax : NAN;
}

}  // namespace

#define KERNEL(name, ...)                                                                                            \
    extern "C" __global__ void __launch_bounds__(kThreads, 2) name(const __grid_constant__ QuantizeInt4Args args) { \
        __VA_ARGS__(args);                                                                                           \
    }

KERNEL(quantize_int4_f16_rows, quantize_rows<__half, 256>)
KERNEL(quantize_int4_f16_short, quantize_rows<__half, 32>)
KERNEL(quantize_int4_bf16_rows, quantize_rows<__nv_bfloat16, 256>)
KERNEL(quantize_int4_bf16_short, quantize_rows<__nv_bfloat16, 32>)
