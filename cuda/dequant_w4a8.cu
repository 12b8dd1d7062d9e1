// archs: 80 89 90a 100 120
//
// dequant_w4a8: out[n][k] = (code * multiplier + offset - 128) * scale[n], one rounding in f32 as on the CPU, one to the type.
//
//   w    the layout mma_w4a8 (src/layout/mma_w4a8.rs)      out  [N, K] f32, f16 or bf16, row-major; any N and K
//
// One warp: a unit of 32 rows by 64 columns. A lane widens the words it would have in a product; a word is four columns of a row
// and the four that begin 16 further, so that four lanes write whole sectors.

#include "args.h"
#include "epilogue.cuh"
#include "w4a8.cuh"

namespace {

constexpr uint32_t kThreads = 256;

// The byte `j` of a word.
__device__ __forceinline__ uint32_t byte_of(uint32_t word, uint32_t j) {
    return word >> (8 * j) & 255;
}

template <typename T>
__device__ __forceinline__ void dequantize(const DequantW4A8Args &args) {
    const uint32_t k_tiles = (args.k + kUnitCols - 1) / kUnitCols;
    const uint64_t unit = uint64_t(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32;
    if (unit >= args.units) return;
    const uint32_t first_row = uint32_t(unit / k_tiles) * kUnitRows;
    const uint32_t first_col = uint32_t(unit % k_tiles) * kUnitCols;
    const uint8_t *from = args.w + unit * kUnitBytes;
    const uint32_t lane = threadIdx.x % 32;
    const uint2 steps = *reinterpret_cast<const uint2 *>(from + kStepsOffset + lane / 4 * 8);

    #pragma unroll
    for (uint32_t tile = 0; tile < 2; ++tile) {
        const uint4 codes = *reinterpret_cast<const uint4 *>(from + tile * kTileBytes + 16 * lane);
        const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
        #pragma unroll
        for (uint32_t half = 0; half < 2; ++half) {
            const uint32_t row = first_row + lane / 4 * 4 + 2 * tile + half;
            if (row >= args.n) continue;
            const uint32_t multiplier = byte_of(steps.x, 2 * tile + half);
            const uint32_t offset = byte_of(steps.y, 2 * tile + half) * 0x01010101;
            const float scale = args.scales[row];
            T *to = static_cast<T *>(args.out) + uint64_t(row) * args.k;
            #pragma unroll
            for (uint32_t quarter = 0; quarter < 4; ++quarter) {
                const uint32_t word = words[quarter / 2 * 2 + half] >> (4 * (quarter % 2)) & 0x0f0f0f0f;
                const uint32_t bytes = word * multiplier + offset;
                T values[4];
                #pragma unroll
                for (uint32_t j = 0; j < 4; ++j) {
                    const float integer = __int2float_rn(int32_t(byte_of(bytes, j)) - 128);
                    values[j] = round_to<T>(__fmul_rn(integer, scale));
                }
                store_four(to, first_col + 16 * quarter + 4 * (lane % 4), args.k, args.k % 4 == 0, values);
            }
        }
    }
}

}  // namespace

#define KERNEL(symbol, type)                                                                                     \
    extern "C" __global__ void __launch_bounds__(kThreads) symbol(const __grid_constant__ DequantW4A8Args args) { \
        dequantize<type>(args);                                                                                  \
    }

KERNEL(dequant_w4a8_f32, float)
KERNEL(dequant_w4a8_f16, __half)
KERNEL(dequant_w4a8_bf16, __nv_bfloat16)
