// What the products of codes on wgmma have in common (gemm_int8_sm90, gemm_w4a8_sm90): blocks that stay, of a producer and
// consumers, stages in shared memory between them, and the units of work that they take one after the other.
//
// A Shape has kRows and kTokens, the rows of W and x in a tile of y; kStages; kBytesW, what a stage of 128 of K has of W, a
// multiple of 1024; and kStageBytes, with x after it in the layout wgmma_w8.
#pragma once

#include "args.h"
#include "int8.cuh"
#include "ptx_sm90.cuh"
#include "wgmma_w8.cuh"

// Warpgroups that multiply; one more brings what they need.
constexpr uint32_t kConsumers = 2;
constexpr uint32_t kConsumerWarps = 4 * kConsumers;
constexpr uint32_t kThreads = 128 * (kConsumers + 1);
// Registers: 384 threads are launched with 168 each, 64,512 in all; the sums of a consumer alone take up to 128.
constexpr int kConsumerRegisters = 240;
constexpr int kProducerRegisters = 24;

// The addresses of a block's stages, of their barriers and of the scales of its tokens; which stage is next.
template <typename Shape>
struct Pipeline {
    uint32_t base;
    uint32_t stage;
    uint32_t parity;

    __device__ __forceinline__ explicit Pipeline(const uint8_t *shared) : base(shared_address(shared)), stage(0), parity(0) {}

    __device__ __forceinline__ uint32_t full(uint32_t of) const { return base + Shape::kStages * Shape::kStageBytes + 8 * of; }
    __device__ __forceinline__ uint32_t empty(uint32_t of) const { return full(Shape::kStages + of); }
    __device__ __forceinline__ uint32_t scales() const { return full(2 * Shape::kStages); }
    __device__ __forceinline__ uint32_t tile_w() const { return base + stage * Shape::kStageBytes; }
    __device__ __forceinline__ uint32_t tile_x() const { return tile_w() + Shape::kBytesW; }

    __device__ __forceinline__ void init() const {
        for (uint32_t i = 0; i < Shape::kStages; ++i) {
            mbarrier_init(full(i), 1);
            mbarrier_init(empty(i), kConsumerWarps);
        }
        fence_mbarrier_init();
    }

    __device__ __forceinline__ void advance() {
        stage = stage + 1 == Shape::kStages ? 0 : stage + 1;
        if (stage == 0) parity ^= 1;
    }
};

// Zeros in the rows of a tile in the layout wgmma_w8 from row `8 * atoms` on, if the last tile ends there.
template <uint32_t kTileRows>
__device__ __forceinline__ void clear_rows(uint32_t tile, uint32_t atoms) {
    if (atoms == 0) return;
    const uint32_t zeros[4] = {};
    for (uint32_t at = atoms * kAtomBytes + 16 * threadIdx.x; at < kTileRows * kTileK; at += 16 * kThreads)
        store_shared_16(tile + at, zeros);
}

// A tile of y by a part of K.
struct Unit {
    uint32_t row;
    uint32_t token;
    uint32_t k_begin;
    uint32_t k_end;
    uint32_t split;
};

// Units go through eight tiles of tokens before the next rows of W: those under way at one time share rows of both in L2.
template <typename Shape>
__device__ __forceinline__ Unit unit_of(const GemmInt8Sm90Args &args, uint32_t index) {
    constexpr uint32_t kGroup = 8;
    const uint32_t tiles = args.token_tiles * args.row_tiles;
    const uint32_t split = index / tiles;
    const uint32_t tile = index % tiles;
    const uint32_t first = tile / (kGroup * args.row_tiles) * kGroup;
    const uint32_t within = tile % (kGroup * args.row_tiles);
    const uint32_t height = min(args.token_tiles - first, kGroup);
    const uint32_t k_begin = split * args.tiles_per_split;
    return {within / height * Shape::kRows, (first + within % height) * Shape::kTokens, k_begin,
            min(args.k_tiles, k_begin + args.tiles_per_split), split};
}

// Puts what belongs to the unit's tokens where all consumers find it: absmax[kTokens], sums[kTokens].
template <typename Shape>
__device__ __forceinline__ void stage_scales(const Pipeline<Shape> &pipeline, const GemmInt8Args &args, const Unit &unit) {
    if (threadIdx.x < Shape::kTokens) {
        const RowScale scale = row_scale(args, unit.token + threadIdx.x);
        store_shared_4(pipeline.scales() + 4 * threadIdx.x, __float_as_uint(scale.absmax));
        store_shared_4(pipeline.scales() + 4 * (Shape::kTokens + threadIdx.x), scale.sum);
    }
    named_barrier(1, 128 * kConsumers);
}

// All that a block does. clear_w(pipeline at a stage): by all threads, zeros where copies of a last tile leave W out. produce():
// by one thread, all of its units. consume(unit, which consumer): by each warpgroup of consumers, for each unit.
template <typename Shape, typename ClearW, typename Produce, typename Consume>
__device__ __forceinline__ void run_block(const GemmInt8Sm90Args &args, const Pipeline<Shape> &pipeline, ClearW clear_w,
                                          Produce produce, Consume consume) {
    if (threadIdx.x == 0) pipeline.init();
    // So that wgmma reads nothing that nobody wrote.
    Pipeline<Shape> each = pipeline;
    for (uint32_t i = 0; i < Shape::kStages; ++i) {
        clear_w(each);
        clear_rows<Shape::kTokens>(each.tile_x(), args.x_atoms % (Shape::kTokens / 8));
        each.advance();
    }
    fence_proxy_async();
    __syncthreads();

    // The same for a whole warp, which the compiler is told by the shuffle.
    const uint32_t warpgroup = __shfl_sync(0xffffffff, threadIdx.x / 128, 0);
    if (warpgroup == kConsumers) {
        give_registers<kProducerRegisters>();
        if (threadIdx.x == 128 * kConsumers) produce();
        return;
    }
    take_registers<kConsumerRegisters>();
    for (uint32_t index = blockIdx.x; index < args.units; index += gridDim.x) {
        const Unit unit = unit_of<Shape>(args, index);
        stage_scales(pipeline, args.product, unit);
        consume(unit, warpgroup);
        named_barrier(1, 128 * kConsumers);
    }
}
