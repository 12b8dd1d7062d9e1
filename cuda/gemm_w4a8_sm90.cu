// archs: 90a
//
// gemm_w4a8_sm90: y[M, N] of gemm_w4a8.cu, the same bits, by wgmma with the codes of W widened in registers.
//
// yᵀ = W * xᵀ: tile i of four units of mma_w4a8 below each other (src/layout/mma_w4a8.rs) is operand A of a wgmma m64nTk32, from
// registers, u8; x [M, K] is operand B, s8, from shared memory in the layout wgmma_w8 (wgmma_w8.cuh). The sums less 128 times
// those of x are those of int8 values, exactly, however s32 wraps on the way.
//
// gemm_w4a8_sm90_{f16,bf16}_m{16,64,128}   tiles of 256 rows of W by so many tokens
// With `partials` the sums of each part of K are stored, and gemm_int8_reduce of gemm_int8.cu finishes.
//
//   block: one a multiprocessor; for each unit of work (a tile of y by a part of K) of its own:
//     producer, 1 thread:    for each 128 of K: wait until its stage is empty; copy eight times two units of W, and x there
//     consumers, 2 x 4 warps: for each 64 of K, a unit of the warp's own; for both k32 steps of it:
//                            begin two wgmma of this step, one a tile; those of the step before are done: widen into
//                            their registers the codes of the step after this one
//                            sums -> scaled, bias, one rounding, stored from registers: four adjacent columns of y a thread
//
// Departures:
// 1. A stage is given back a step late, when its wgmma are known to be done, so that the next ones are queued behind them.
// 2. The last stage of an odd number of 64 columns has one unit of W: only its half is multiplied. x is padded to 128.
// 3. Units beyond the last are the last one once more, and are not stored.
// 4. The last tile of M copies the eights of tokens that exist. What the stage holds beyond are zeros or what another unit of
//    work left there: it multiplies into tokens that are not stored.
#include "args.h"
#include "int8.cuh"
#include "persistent_sm90.cuh"
#include "ptx_sm90.cuh"
#include "w4a8.cuh"
#include "wgmma_w8.cuh"

namespace {

// Bytes of the units that a stage has of 32 rows: two beside each other, contiguous also in memory.
constexpr uint32_t kPairBytes = 2 * kUnitBytes;

template <int kTokens_, uint32_t kStages_>
struct TileShape {
    static constexpr uint32_t kRows = kConsumerWarps * kUnitRows;
    static constexpr int kTokens = kTokens_;
    static constexpr uint32_t kStages = kStages_;
    static constexpr uint32_t kBytesW = kConsumerWarps * kPairBytes;
    static constexpr uint32_t kStageBytes = kBytesW + kTokens * kTileK;
    static_assert(kTileK == 2 * kUnitCols && kBytesW % 1024 == 0, "a stage is two units, then swizzled tiles of x");
};

// Of 64 columns of K, how many there are.
__device__ __forceinline__ uint32_t unit_columns(const GemmInt8Sm90Args &args) {
    return (args.product.k + kUnitCols - 1) / kUnitCols;
}

template <typename Shape>
__device__ __forceinline__ void produce(const GemmInt8Sm90Args &args, Pipeline<Shape> pipeline) {
    const uint8_t *w = static_cast<const uint8_t *>(args.product.w);
    const uint8_t *x = reinterpret_cast<const uint8_t *>(args.product.x);
    const uint32_t columns = unit_columns(args);
    for (uint32_t index = blockIdx.x; index < args.units; index += gridDim.x) {
        const Unit unit = unit_of<Shape>(args, index);
        const uint32_t token_atom = unit.token / 8;
        const uint32_t bytes_x = min(Shape::kTokens / 8, args.x_atoms - token_atom) * kAtomBytes;
        for (uint32_t k = unit.k_begin; k < unit.k_end; ++k) {
            const uint32_t full = pipeline.full(pipeline.stage);
            const uint32_t bytes_w = min(columns - 2 * k, 2u) * kUnitBytes;
            // The first time round all stages are empty: the phase before the first counts as over.
            mbarrier_wait(pipeline.empty(pipeline.stage), pipeline.parity ^ 1);
            mbarrier_arrive_expect(full, kConsumerWarps * bytes_w + bytes_x);
            for (uint32_t warp = 0; warp < kConsumerWarps; ++warp) {
                const uint32_t block = min(unit.row / kUnitRows + warp, args.w_blocks - 1);
                const uint8_t *from = w + (uint64_t(block) * columns + 2 * k) * kUnitBytes;
                bulk_copy(pipeline.tile_w() + warp * kPairBytes, from, bytes_w, full);
            }
            bulk_copy(pipeline.tile_x(), x + (uint64_t(k) * args.x_atoms + token_atom) * kAtomBytes, bytes_x, full);
            pipeline.advance();
        }
    }
}

// What a thread holds: [tile of 16 rows of its warp's unit][eight tokens x register].
template <typename Shape>
using Sums = int32_t[2][Shape::kTokens / 2];

// Operand A of both tiles in one k32 step.
using Step = uint32_t[2][4];

__device__ __forceinline__ void pin_step(Step &a) {
    pin(a[0]);
    pin(a[1]);
}

// Begins sums += a * xᵀ over a k32 step.
template <typename Shape>
__device__ __forceinline__ void begin_step(Sums<Shape> &sums, Step &a, uint64_t x) {
    pin_step(a);
    wgmma_fence();
    #pragma unroll
    for (int tile = 0; tile < 2; ++tile) wgmma_registers_u8_s8<Shape::kTokens>(sums[tile], a[tile], x, 1);
    wgmma_commit();
}

// sums += W * xᵀ over the unit's part of K, for the 32 rows of each warp.
template <typename Shape>
__device__ __forceinline__ void multiply(Sums<Shape> &sums, const GemmInt8Sm90Args &args, const Unit &unit,
                                         Pipeline<Shape> &pipeline) {
    const uint32_t unit_of_warp = threadIdx.x / 32 * kPairBytes;
    const uint32_t codes_at = used_here(unit_of_warp + own_codes()), steps_at = used_here(unit_of_warp + own_steps());
    const bool is_first = threadIdx.x % 32 == 0;
    const uint32_t columns = min(2 * unit.k_end, unit_columns(args)) - 2 * unit.k_begin;
    auto give_back = [&](uint32_t stage) {
        __syncwarp();
        if (is_first) mbarrier_arrive(pipeline.empty(stage));
    };
    UnitCodes codes;
    Step a[2];
    mbarrier_wait(pipeline.full(pipeline.stage), pipeline.parity);
    codes.load(pipeline.tile_w() + codes_at, pipeline.tile_w() + steps_at);
    codes.widen(a[0], 0);
    uint32_t before = pipeline.stage;
    for (uint32_t column = 0; column < columns; ++column) {
        const uint64_t x = swizzled_tile(pipeline.tile_x()) + column % 2 * (kUnitCols / 16);
        begin_step<Shape>(sums, a[0], x);
        wgmma_wait<1>();
        pin_step(a[1]);
        if (column % 2 == 0 && column > 0) give_back(before);
        codes.widen(a[1], 1);
        begin_step<Shape>(sums, a[1], x + 2);
        if (column + 1 < columns) {
            if (column % 2 == 1) {
                before = pipeline.stage;
                pipeline.advance();
                mbarrier_wait(pipeline.full(pipeline.stage), pipeline.parity);
            }
            const uint32_t next = pipeline.tile_w() + (column + 1) % 2 * kUnitBytes;
            codes.load(next + codes_at, next + steps_at);
        }
        wgmma_wait<1>();
        // The registers of the first step are free; after the last unit they are filled once more for nothing.
        pin_step(a[0]);
        codes.widen(a[0], 0);
    }
    wgmma_wait<0>();
    pin(sums[0]);
    pin(sums[1]);
    give_back(pipeline.stage);
    pipeline.advance();
}

// From sums of products of codes to y, or to the planes of a split K.
template <typename T, typename Shape>
__device__ __forceinline__ void finish(const Sums<Shape> &sums, const Pipeline<Shape> &pipeline, const GemmInt8Args &args,
                                       const Unit &unit) {
    const uint32_t lane = threadIdx.x % 32;
    const uint32_t column = unit.row + threadIdx.x / 32 * kUnitRows + lane / 4 * 4;
    const FourColumns columns(args, column);
    const uint32_t scales = pipeline.scales() + 8 * (lane % 4);
    uint32_t row = unit.token + lane % 4 * 2;
    #pragma unroll
    for (int eight = 0; eight < Shape::kTokens / 8; ++eight) {
        const uint2 absmax = load_shared_8(scales + 32 * eight), sum = load_shared_8(scales + 4 * Shape::kTokens + 32 * eight);
        const RowScale rows[2] = {{__uint_as_float(absmax.x), sum.x}, {__uint_as_float(absmax.y), sum.y}};
        #pragma unroll
        for (int i = 0; i < 2; ++i) {
            const int at = 4 * eight + i;
            const int32_t four[4] = {sums[0][at], sums[0][at + 2], sums[1][at], sums[1][at + 2]};
            if (row + i >= args.m) continue;
            if (args.partials)
                store_part(args, unit.split, row + i, column, four);
            else
                columns.store<T>(args, row + i, rows[i], four);
        }
        // One place after the other: all computed first take more registers than the sums leave.
        row = used_here(row + 8);
    }
}

template <typename T, typename Shape>
__device__ __forceinline__ void gemm_w4a8_sm90(const GemmInt8Sm90Args &args) {
    extern __shared__ __align__(1024) uint8_t shared[];
    Pipeline<Shape> pipeline(shared);
    run_block<Shape>(
        args, pipeline, [](const Pipeline<Shape> &) {}, [&] { produce(args, pipeline); },
        [&](const Unit &unit, uint32_t) {
            // Zeros rather than a first wgmma that does not add: it would read registers that nobody wrote.
            Sums<Shape> sums = {};
            multiply<Shape>(sums, args, unit, pipeline);
            finish<T, Shape>(sums, pipeline, args.product, unit);
        });
}

}  // namespace

// Six stages of 33 KB, eight of 25, eight of 19: of the 227 KB of a block, and 152 to 200 KB under way.
#define KERNEL(name, T, tokens, stages)                                                                               \
    extern "C" __global__ void __launch_bounds__(kThreads, 1) name##_m##tokens(const __grid_constant__ GemmInt8Sm90Args args) { \
        gemm_w4a8_sm90<T, TileShape<tokens, stages>>(args);                                                            \
    }

#define KERNELS(name, T)      \
    KERNEL(name, T, 16, 8)    \
    KERNEL(name, T, 64, 8)    \
    KERNEL(name, T, 128, 6)

KERNELS(gemm_w4a8_sm90_f16, __half)
KERNELS(gemm_w4a8_sm90_bf16, __nv_bfloat16)
