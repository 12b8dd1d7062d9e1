// archs: 80 89 90a 100 120
//
// gemm_w4a8: y[m, n] = (sum_k x[m, k] * byte[n, k] - 128 * x_sum[m]) * (x_absmax[m] * w_scale[n]) * factor + bias[n]
//   byte[n, k] = code * multiplier + offset, u8, of int4_channel_group (src/formats/int4_channel_group.rs): the sum less 128 times
//   that of x is the sum of int8 values, exactly, however s32 wraps on the way.
//   x [M, K] s8 codes, row-major; w in the layout mma_w4a8 (src/layout/mma_w4a8.rs). Scales in f32 in the CPU's order (int8.cuh).
//
// gemm_w4a8_{f16,bf16}[_m16|_m32|_m64]    blocks of 128, 16, 32 or 64 rows of x by 128 of W
// gemm_w4a8_{f16,bf16}_unaligned          64 rows of x, which begin anywhere
// Parts of K leave s32 sums in `partials`; gemm_int8_reduce of gemm_int8.cu adds them up and finishes.
//
// One block, four warps; a warp has 32 rows of W and all of the block's rows of x:
//   for each 64 columns of K, a group:
//       wait for its stage; all threads meet; start copying what is kStages - 1 further into the stage read last
//       for both k32 steps:
//           a = codes widened: word & 0x0f0f0f0f, times the row's multiplier, plus four times its offset
//           for each 16 rows of x: b by ldmatrix; sums += a * b by mma.m16n8k32, W as operand A
//
// Departures:
// 1. A row of W is widened once a block, whatever M: no two warps share one. 5 instructions for 8 weights, and 8 byte permutes a
//    thread and group of 64 weights: 6 for 8 in all.
// 2. A warp copies its own rows of W, 1088 bytes a stage; x is copied by all.
// 3. The layout gives a thread four adjacent columns of y: one store of four (see there).
#include "args.h"
#include "int8.cuh"
#include "tile.cuh"
#include "w4a8.cuh"

namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
// What a warp copies at once.
constexpr uint32_t kWarpBytes = 512;

// What a block takes: kM rows of x, kN of W; a stage has 64 columns of both, x first.
template <int kTokens, int kStages_>
struct W4A8Shape {
    static constexpr int kM = kTokens;
    static constexpr int kN = kWarps * kUnitRows;
    static constexpr int kStages = kStages_;
    static constexpr int kBytesX = kM * kStageK;
    static constexpr int kStageBytes = kBytesX + kWarps * kUnitBytes;
    static_assert(kM % 16 == 0 && kStageK == kUnitCols && kStageBytes % 128 == 0, "fragments and swizzled rows");
    static_assert(kUnitBytes % kUnitCols == 0, "a column of K is a number of bytes of a unit");
};

// What a thread holds: [eight rows of x][tile of 16 rows of W][register].
template <typename Shape>
using TokenSums = int32_t[Shape::kM / 8][2][4];

// One thread's part in copying a stage: chunk `thread % 4` of every 32nd row of x, and every 32nd chunk of its warp's unit.
template <typename Shape, typename Copy>
struct StageCopy {
    static constexpr uint32_t kRowStep = kThreads / kChunksPerRow;
    const uint8_t *x;
    const uint8_t *w;
    uint64_t x_step_bytes;
    uint32_t x_valid;  // rows from the thread's first on
    uint32_t x_to;
    uint32_t w_to;
    uint32_t k_end;

    __device__ __forceinline__ StageCopy(const GemmInt8Args &args, const TilePlace &tile, uint32_t k_end_) : k_end(k_end_) {
        const uint32_t row = threadIdx.x / kChunksPerRow, chunk = threadIdx.x % kChunksPerRow;
        const Rows rows = rows_from(args.x, args.k, tile.row, args.m);
        x = rows.first + row * rows.stride_bytes + 16 * chunk;
        x_step_bytes = kRowStep * rows.stride_bytes;
        x_valid = rows.valid > row ? rows.valid - row : 0;
        x_to = swizzled(row, chunk);
        const uint32_t warp = threadIdx.x / 32, own = 16 * (threadIdx.x % 32);
        // Warps beyond the last unit take that: nobody stores their columns.
        const uint32_t unit = min(tile.column / kUnitRows + warp, (args.n + kUnitRows - 1) / kUnitRows - 1);
        const uint32_t k_tiles = (args.k + kUnitCols - 1) / kUnitCols;
        w = static_cast<const uint8_t *>(args.w) + uint64_t(unit) * k_tiles * kUnitBytes + own;
        w_to = Shape::kBytesX + warp * kUnitBytes + own;
    }

    // Columns `k`.. to the stage at `stage`; nothing from k_end on.
    __device__ __forceinline__ void start(uint32_t stage, uint32_t k) const {
        if (k >= k_end) return;
        const uint32_t own = k + threadIdx.x % kChunksPerRow * 16;
        const uint32_t bytes = own < k_end ? min(k_end - own, 16u) : 0;
        if (Shape::kM >= kRowStep || threadIdx.x < Shape::kM * kChunksPerRow) {
            #pragma unroll
            for (uint32_t i = 0; i * kRowStep < Shape::kM; ++i) {
                const uint32_t first = i * kRowStep;
                Copy::chunk(stage + x_to + first * kStageK, x + i * x_step_bytes + k, first < x_valid ? bytes : 0);
            }
        }
        const uint8_t *from = w + uint64_t(k) * (kUnitBytes / kUnitCols);
        #pragma unroll
        for (uint32_t at = 0; at < kUnitBytes; at += kWarpBytes) {
            const bool is_whole = at + kWarpBytes <= kUnitBytes;
            if (is_whole || at + 16 * (threadIdx.x % 32) < kUnitBytes) cp_async_16(stage + w_to + at, from + at);
        }
    }
};

// sums += byte * x over a stage.
template <typename Shape>
__device__ __forceinline__ void multiply_stage(TokenSums<Shape> &sums, uint32_t x_address, uint32_t w_address) {
    UnitCodes codes;
    codes.load(w_address + own_codes(), w_address + own_steps());
    #pragma unroll
    for (int step = 0; step < 2; ++step) {
        uint32_t a[2][4];
        codes.widen(a, step);
        #pragma unroll
        for (int pair = 0; pair < Shape::kM / 16; ++pair) {
            uint32_t x[4];
            ldmatrix_x4(x, (x_address ^ (step * kStepK)) + pair * 16 * kStageK);
            #pragma unroll
            for (int eight = 0; eight < 2; ++eight) {
                const uint32_t b[2] = {x[2 * eight], x[2 * eight + 1]};
                #pragma unroll
                for (int tile = 0; tile < 2; ++tile) mma_m16n8k32_u8_s8(sums[2 * pair + eight][tile], a[tile], b);
            }
        }
    }
}

// The whole of the block's part of K, from `begin`, a multiple of 64.
template <typename Shape, typename Copy>
__device__ __forceinline__ void multiply(TokenSums<Shape> &sums, const StageCopy<Shape, Copy> &copy, uint32_t begin,
                                         const uint8_t *shared) {
    const uint32_t base = shared_address(shared);
    const uint32_t lane = threadIdx.x % 32;
    // (eight 0, chunk 0), (eight 0, chunk 1), (eight 1, chunk 0), (eight 1, chunk 1) of 16 rows of x.
    const uint32_t own_x = swizzled(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    const uint32_t own_w = Shape::kBytesX + threadIdx.x / 32 * kUnitBytes;
    #pragma unroll
    for (uint32_t stage = 0; stage < Shape::kStages - 1; ++stage) {
        copy.start(base + stage * Shape::kStageBytes, begin + stage * kStageK);
        cp_async_commit();
    }
    uint32_t stage = 0;
    for (uint32_t k = begin; k < copy.k_end; k += kStageK) {
        cp_async_wait<Shape::kStages - 2>();
        __syncthreads();
        const uint32_t last = stage == 0 ? Shape::kStages - 1 : stage - 1;
        copy.start(base + last * Shape::kStageBytes, k + (Shape::kStages - 1) * kStageK);
        cp_async_commit();
        const uint32_t from = base + stage * Shape::kStageBytes;
        multiply_stage<Shape>(sums, from + own_x, from + own_w);
        stage = stage == Shape::kStages - 1 ? 0 : stage + 1;
    }
}

// Calls visit(row of x, sums of four adjacent columns) for all that the thread holds.
template <typename Shape, typename Visit>
__device__ __forceinline__ void for_each_row(const TokenSums<Shape> &sums, const TilePlace &tile, Visit visit) {
    #pragma unroll
    for (int eight = 0; eight < Shape::kM / 8; ++eight) {
        #pragma unroll
        for (int i = 0; i < 2; ++i) {
            const auto &of = sums[eight];
            const int32_t four[4] = {of[0][i], of[0][2 + i], of[1][i], of[1][2 + i]};
            visit(tile.row + 8 * eight + threadIdx.x % 4 * 2 + i, four);
        }
    }
}

template <typename T, typename Shape, typename Copy>
__device__ __forceinline__ void gemm_w4a8(const GemmInt8Args &args) {
    extern __shared__ __align__(128) uint8_t shared[];
    const TilePlace tile = tile_of_block<Shape>(args.m, args.n);
    const uint32_t begin = blockIdx.z * args.k_per_split;
    const StageCopy<Shape, Copy> copy(args, tile, min(args.k, begin + args.k_per_split));
    TokenSums<Shape> sums = {};
    multiply<Shape, Copy>(sums, copy, begin, shared);

    const uint32_t column = tile.column + threadIdx.x / 32 * kUnitRows + threadIdx.x % 32 / 4 * 4;
    if (args.partials) {
        for_each_row<Shape>(sums, tile, [&](uint32_t row, const int32_t(&four)[4]) {
            if (row < args.m) store_part(args, blockIdx.z, row, column, four);
        });
        return;
    }
    const FourColumns columns(args, column);
    for_each_row<Shape>(sums, tile, [&](uint32_t row, const int32_t(&four)[4]) {
        if (row < args.m) columns.store<T>(args, row, row_scale(args, row), four);
    });
}

}  // namespace

#define KERNEL(name, min_blocks, ...)                                                                                 \
    extern "C" __global__ void __launch_bounds__(kThreads, min_blocks) name(const __grid_constant__ GemmInt8Args args) { \
        gemm_w4a8<__VA_ARGS__>(args);                                                                                 \
    }

#define KERNELS(type, T)                                                                          \
    KERNEL(gemm_w4a8_##type, 2, T, W4A8Shape<128, 3>, AlignedCopy)                                \
    KERNEL(gemm_w4a8_##type##_m64, 3, T, W4A8Shape<64, 3>, AlignedCopy)                           \
    KERNEL(gemm_w4a8_##type##_m32, 3, T, W4A8Shape<32, 5>, AlignedCopy)                           \
    KERNEL(gemm_w4a8_##type##_m16, 3, T, W4A8Shape<16, 6>, AlignedCopy)                           \
    KERNEL(gemm_w4a8_##type##_unaligned, 3, T, W4A8Shape<64, 3>, ElementCopy<uint8_t>)

KERNELS(f16, __half)
KERNELS(bf16, __nv_bfloat16)
