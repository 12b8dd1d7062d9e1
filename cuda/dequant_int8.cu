// archs: 80 89 90a 100 120
//
// dequant_int8: out[i] = value of code[i] by its scale, for i in [0, N * K), rounded once from f32 to the type of out.
//
//   int8          code * absmax * (1 / 127)         i8 codes
//   affine_int8   (code - zero_point) * scale       u8 codes
//   dynamic8      map[code] * absmax                u8 codes, a map of 256 values
//
// codes u8[N, K], row-major or in the tiles of wgmma_w8.cuh, out [N, K] f32, f16 or bf16, both 16-byte aligned; scales as
// args.h says. A thread has kSteps vectors of
// as many values as 16 bytes of out hold, so that a warp's stores (two thirds of the traffic) fill whole cache lines; its
// loads are 4 or 8 bytes, all asked for first. Within a vector the scale seldom changes: one look-up, and one a value where
// it does.

#include "args.h"
#include "ptx.cuh"
#include "values.cuh"
#include "w8.cuh"

constexpr int kThreads = 256;
constexpr int kThreadValues = 16;

// Codes of one vector of T, packed.
template <typename T>
struct Codes {
    uint32_t words[kVectorValues<T> / 4];

    __device__ __forceinline__ uint32_t operator[](int i) const { return words[i / 4] >> (8 * (i % 4)) & 0xff; }
};

template <typename T>
__device__ __forceinline__ Codes<T> load_codes(const uint8_t *from) {
    Codes<T> codes;
    if constexpr (kVectorValues<T> == 8) {
        const uint2 words = __ldcs(reinterpret_cast<const uint2 *>(from));
        codes.words[0] = words.x;
        codes.words[1] = words.y;
    } else {
        codes.words[0] = __ldcs(reinterpret_cast<const uint32_t *>(from));
    }
    return codes;
}

// Whether the codes of the vector at value `first` lie side by side: in tiles they do where it does not run across rows and
// begins at a multiple of its length, so that it stays within 16 bytes.
template <typename T>
__device__ __forceinline__ bool is_whole_vector(const DequantInt8Args &args, uint64_t first) {
    if (first + kVectorValues<T> > args.num_values) return false;
    return !is_tiled(args.w.row_atoms) || args.w.cols.divisor % kVectorValues<T> == 0;
}

// Value by value: where a vector is cut by the end, by a change of scale or by the end of a row of tiles.
template <Code8 kCode, typename T>
__device__ __forceinline__ void dequantize_each(const DequantInt8Args &args, uint64_t first, const float *map) {
#pragma unroll 1
    for (uint64_t i = first; i < first + kVectorValues<T> && i < args.num_values; ++i) {
        const uint64_t index = scale_run(args.w, i).index;
        const int32_t zero_point = kCode == Code8::kAffine ? zero_point_at(args.w, index) : 0;
        const float value = value8<kCode>(args.w.codes[code_offset(args.w, i)], args.w.scales[index], zero_point, map);
        static_cast<T *>(args.out)[i] = narrow<T>(value);
    }
}

template <Code8 kCode, typename T>
__device__ __forceinline__ void dequantize(const DequantInt8Args &args) {
    constexpr int kVector = kVectorValues<T>, kSteps = kThreadValues / kVector;
    __shared__ float map[kCode == Code8::kDynamic ? 256 : 1];
    if (kCode == Code8::kDynamic) {
        map[threadIdx.x] = args.w.map[threadIdx.x];
        __syncthreads();
    }
    const uint64_t block_first = static_cast<uint64_t>(blockIdx.x) * kThreads * kThreadValues;
    const auto first_of = [&](int step) { return block_first + (step * kThreads + threadIdx.x) * kVector; };

    Codes<T> codes[kSteps];
#pragma unroll
    for (int step = 0; step < kSteps; ++step)
        if (is_whole_vector<T>(args, first_of(step)))
            codes[step] = load_codes<T>(args.w.codes + code_offset(args.w, first_of(step)));

#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
        const uint64_t first = first_of(step);
        if (first >= args.num_values) return;
        const ScaleRun run = scale_run(args.w, first);
        if (run.values < kVector || !is_whole_vector<T>(args, first)) {
            dequantize_each<kCode, T>(args, first, map);
            continue;
        }
        const float scale = args.w.scales[run.index];
        const int32_t zero_point = kCode == Code8::kAffine ? zero_point_at(args.w, run.index) : 0;
        float values[kVector];
#pragma unroll
        for (int i = 0; i < kVector; ++i) values[i] = value8<kCode>(codes[step][i], scale, zero_point, map);
        store_values<T>(static_cast<T *>(args.out) + first, values);
    }
}

#define KERNEL(format, code, suffix, type)                                                                    \
    extern "C" __global__ void __launch_bounds__(kThreads)                                                    \
        dequant_##format##_##suffix(const __grid_constant__ DequantInt8Args args) {                           \
        dequantize<Code8::code, type>(args);                                                                  \
    }
#define KERNELS(format, code)             \
    KERNEL(format, code, f32, float)      \
    KERNEL(format, code, f16, __half)     \
    KERNEL(format, code, bf16, __nv_bfloat16)

KERNELS(int8, kInt8)
KERNELS(affine_int8, kAffine)
KERNELS(dynamic8, kDynamic)
