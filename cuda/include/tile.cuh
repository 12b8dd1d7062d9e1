// Tiles of two row-major matrices in shared memory, and the loop over K that multiplies them on tensor cores.
//
// Everything is in bytes: fragments of mma.m16n8k16 (16-bit factors), mma.m16n8k32 (8-bit factors) and mma.m16n8k64 (4-bit
// factors) are the same bytes of the same rows, so one loop serves them all.
//
//   a  rows of x (M), b  rows of W (N): both [rows][K], a tile takes 64 bytes of each row, a stage both tiles
//   for each 64 bytes of K:
//       wait for its stage; all threads meet; start copying what is kStages - 1 further into the stage read last
//       for each 32 bytes: fragments of a and b by ldmatrix, all pairs of them multiplied
//
// Departures:
// 1. Chunks of 16 bytes are stored permuted within their row (`swizzled`), so that neither the copies nor ldmatrix meet a bank
//    conflict: a row is half a line of the 32 banks, the eight rows of one ldmatrix phase must fall on eight chunks.
// 2. ldmatrix takes the rows of W in an order (`Fragments`) that leaves each thread with four adjacent columns of y instead of
//    two pairs eight apart: one store of four, and full 32-byte sectors.
#pragma once

#include "ptx.cuh"

// Bytes of K in a stage.
constexpr int kStageK = 64;
// Bytes of K in one step of the multiplication.
constexpr int kStepK = 32;
constexpr int kChunksPerRow = kStageK / 16;

// A block's tile: kWarpsM x kWarpsN warps, each of kFragmentsM fragments of 16 rows by kFragmentsN of 16 columns.
template <int kWarpsM_, int kWarpsN_, int kFragmentsM_, int kFragmentsN_, int kStages_>
struct TileShape {
    static constexpr int kWarpsM = kWarpsM_;
    static constexpr int kWarpsN = kWarpsN_;
    static constexpr int kFragmentsM = kFragmentsM_;
    static constexpr int kFragmentsN = kFragmentsN_;
    static constexpr int kStages = kStages_;
    static constexpr int kThreads = 32 * kWarpsM * kWarpsN;
    static constexpr int kM = kWarpsM * kFragmentsM * 16;
    static constexpr int kN = kWarpsN * kFragmentsN * 16;
    static constexpr int kBytesA = kM * kStageK;
    static constexpr int kStageBytes = kBytesA + kN * kStageK;
};

// 128 x 128, 48 KB: two blocks to a multiprocessor everywhere. A warp's 64 x 64 reads 1 wavefront of shared memory per mma.
using LargeTile = TileShape<2, 2, 4, 4, 3>;
// 64 x 64, 32 KB: for few rows, where reading W is the work.
using SmallTile = TileShape<2, 2, 2, 2, 4>;

// What a thread holds of a block's product: [fragment of rows][fragment of columns][half of its columns][register].
template <typename Shape, typename Sum>
using Sums = Sum[Shape::kFragmentsM][Shape::kFragmentsN][2][4];

// Multiplications that `multiply_tiles` knows.
template <typename T>
struct FloatMma {
    using Sum = float;
    static __device__ __forceinline__ void multiply(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
        mma_m16n8k16<T>(sum, a, b);
    }
};

struct S8Mma {
    using Sum = int32_t;
    static __device__ __forceinline__ void multiply(int32_t (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
        mma_m16n8k32_s8(sum, a, b);
    }
};

struct S8U8Mma {
    using Sum = int32_t;
    static __device__ __forceinline__ void multiply(int32_t (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
        mma_m16n8k32_s8_u8(sum, a, b);
    }
};

struct S4Mma {
    using Sum = int32_t;
    static __device__ __forceinline__ void multiply(int32_t (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
        mma_m16n8k64_s4(sum, a, b);
    }
};

// Rows of a matrix, from a tile's first on. `valid` of them exist; the others count as zeros.
struct Rows {
    const uint8_t *first;
    uint64_t stride_bytes;
    uint32_t valid;
};

// Rows `first`.. of a matrix of `rows` rows of `stride_bytes` bytes.
__device__ __forceinline__ Rows rows_from(const void *matrix, uint64_t stride_bytes, uint32_t first, uint32_t rows) {
    return {static_cast<const uint8_t *>(matrix) + first * stride_bytes, stride_bytes, rows - first};
}

// Where a chunk of 16 bytes lies in a tile. Rows 0..7 of a fragment, and rows {0, 1, 4, 5, 8, 9, 12, 13}, each fall on eight
// different chunks of the 128 bytes of all banks; so do the four chunks of two rows. Rows 16 apart are permuted alike.
__device__ __forceinline__ uint32_t swizzled(uint32_t row, uint32_t chunk) {
    const uint32_t turn = ((row >> 1) ^ ((row >> 3) & 1)) & 3;
    return row * kStageK + ((chunk ^ turn) << 4);
}

// Copies a chunk whose address is a multiple of 16; beyond its first `bytes` bytes (0 or 16) it becomes zero.
struct AlignedCopy {
    static __device__ __forceinline__ void chunk(uint32_t to, const uint8_t *from, uint32_t bytes) {
        cp_async_16(to, from, bytes);
    }
};

// Copies a chunk at any multiple of T's size, element by element through registers.
template <typename T>
struct ElementCopy {
    static __device__ __forceinline__ void chunk(uint32_t to, const uint8_t *from, uint32_t bytes) {
        uint32_t words[4] = {};
        #pragma unroll
        for (uint32_t at = 0; at < 16; at += sizeof(T))
            if (at < bytes) words[at / 4] |= uint32_t(*reinterpret_cast<const T *>(from + at)) << (8 * (at % 4));
        store_shared_16(to, words);
    }
};

// One thread's part in copying kRows rows: chunk `thread % 4` of every (kThreads / 4)-th row.
template <int kRows, int kThreads, typename Copy>
struct TileCopy {
    static constexpr int kRowStep = kThreads / kChunksPerRow;
    static_assert(kRows % kRowStep == 0 && kRowStep % 16 == 0, "every thread copies as many rows, all permuted alike");

    const uint8_t *from;
    uint64_t step_bytes;
    uint32_t valid;
    uint32_t to;

    __device__ __forceinline__ TileCopy(const Rows &rows, uint32_t tile_offset) {
        const uint32_t row = threadIdx.x / kChunksPerRow;
        const uint32_t chunk = threadIdx.x % kChunksPerRow;
        from = rows.first + row * rows.stride_bytes + 16 * chunk;
        step_bytes = kRowStep * rows.stride_bytes;
        valid = rows.valid > row ? rows.valid - row : 0;
        to = tile_offset + swizzled(row, chunk);
    }

    // Starts copying bytes `k`.. of each row, of which the thread's own chunk has `bytes` within K, to a stage.
    __device__ __forceinline__ void start(uint32_t stage, uint32_t k, uint32_t bytes) const {
        #pragma unroll
        for (uint32_t i = 0; i < kRows / kRowStep; ++i)
            Copy::chunk(stage + to + i * kRowStep * kStageK, from + i * step_bytes + k, i * kRowStep < valid ? bytes : 0);
    }
};

// Where a thread's ldmatrix addresses begin in a stage.
template <typename Shape>
struct Fragments {
    uint32_t a;
    uint32_t b;

    __device__ __forceinline__ Fragments() {
        const uint32_t lane = threadIdx.x % 32;
        const uint32_t warp_m = threadIdx.x / 32 % Shape::kWarpsM;
        const uint32_t warp_n = threadIdx.x / 32 / Shape::kWarpsM;
        // a: 8 x 8 tiles (rows 0.., chunk 0), (rows 8.., chunk 0), (rows 0.., chunk 1), (rows 8.., chunk 1).
        a = swizzled(warp_m * Shape::kFragmentsM * 16 + lane % 16, lane / 16);
        // b: (half 0, chunk 0), (half 0, chunk 1), (half 1, chunk 0), (half 1, chunk 1). Column c of half h is row
        // 4 (c / 2) + 2 h + c % 2: a thread, which gets columns 2 t and 2 t + 1 of each half, gets rows 4 t .. 4 t + 3.
        const uint32_t row = 4 * (lane % 8 / 2) + 2 * (lane / 16) + lane % 2;
        b = Shape::kBytesA + swizzled(warp_n * Shape::kFragmentsN * 16 + row, lane / 8 % 2);
    }
};

// sums += a * b over 32 bytes of K.
template <typename Shape, typename Mma>
__device__ __forceinline__ void multiply_step(Sums<Shape, typename Mma::Sum> &sums, uint32_t address_a, uint32_t address_b) {
    uint32_t a[Shape::kFragmentsM][4];
    uint32_t b[Shape::kFragmentsN][4];
    #pragma unroll
    for (int m = 0; m < Shape::kFragmentsM; ++m) ldmatrix_x4(a[m], address_a + m * 16 * kStageK);
    #pragma unroll
    for (int n = 0; n < Shape::kFragmentsN; ++n) ldmatrix_x4(b[n], address_b + n * 16 * kStageK);
    #pragma unroll
    for (int n = 0; n < Shape::kFragmentsN; ++n) {
        #pragma unroll
        for (int half = 0; half < 2; ++half) {
            const uint32_t factor[2] = {b[n][2 * half], b[n][2 * half + 1]};
            #pragma unroll
            for (int m = 0; m < Shape::kFragmentsM; ++m) Mma::multiply(sums[m][n][half], a[m], factor);
        }
    }
}

// Copies bytes `begin` (a multiple of 64) to `end` of the rows through the stages and calls visit(k, address) for each stage,
// where bytes k .. k + 63 lie. `shared` has kStages * kStageBytes bytes. All threads of the block call it, and meet between
// two calls: the second writes where the first reads.
template <typename Shape, typename Copy, typename Visit>
__device__ __forceinline__ void for_each_stage(const Rows &a, const Rows &b, uint32_t begin, uint32_t end,
                                               const uint8_t *shared, Visit visit) {
    const TileCopy<Shape::kM, Shape::kThreads, Copy> copy_a(a, 0);
    const TileCopy<Shape::kN, Shape::kThreads, Copy> copy_b(b, Shape::kBytesA);
    const uint32_t base = shared_address(shared);
    const uint32_t own = threadIdx.x % kChunksPerRow * 16;

    auto start = [&](uint32_t stage, uint32_t k) {
        const uint32_t bytes = k + own < end ? min(end - k - own, 16u) : 0;
        if (k < end) {
            copy_a.start(base + stage * Shape::kStageBytes, k, bytes);
            copy_b.start(base + stage * Shape::kStageBytes, k, bytes);
        }
        cp_async_commit();
    };

    #pragma unroll
    for (uint32_t stage = 0; stage < Shape::kStages - 1; ++stage) start(stage, begin + stage * kStageK);

    uint32_t stage = 0;
    for (uint32_t k = begin; k < end; k += kStageK) {
        cp_async_wait<Shape::kStages - 2>();
        __syncthreads();
        const uint32_t last = stage == 0 ? Shape::kStages - 1 : stage - 1;
        start(last, k + (Shape::kStages - 1) * kStageK);

        visit(k, base + stage * Shape::kStageBytes);
        stage = stage == Shape::kStages - 1 ? 0 : stage + 1;
    }
}

// sums += a * bᵀ over bytes `begin` to `end` of the rows, as `for_each_stage` takes them.
template <typename Shape, typename Mma, typename Copy>
__device__ __forceinline__ void multiply_tiles(Sums<Shape, typename Mma::Sum> &sums, const Rows &a, const Rows &b,
                                               uint32_t begin, uint32_t end, const uint8_t *shared) {
    const Fragments<Shape> fragments;
    for_each_stage<Shape, Copy>(a, b, begin, end, shared, [&](uint32_t, uint32_t from) {
        multiply_step<Shape, Mma>(sums, from + fragments.a, from + fragments.b);
        // The second step is two chunks further: the permutation only turns bits.
        multiply_step<Shape, Mma>(sums, from + (fragments.a ^ kStepK), from + (fragments.b ^ kStepK));
    });
}

// A row, within the block's tile, that a thread holds of a fragment of 16: in its upper or lower half.
template <typename Shape>
__device__ __forceinline__ uint32_t own_row(int fragment, int half) {
    return (threadIdx.x / 32 % Shape::kWarpsM * Shape::kFragmentsM + fragment) * 16 + half * 8 + threadIdx.x % 32 / 4;
}

// The first column, within the block's tile, of the four that a thread holds of a fragment.
template <typename Shape>
__device__ __forceinline__ uint32_t own_column(int fragment) {
    return (threadIdx.x / 32 / Shape::kWarpsM * Shape::kFragmentsN + fragment) * 16 + threadIdx.x % 4 * 4;
}

// Calls visit(fragment of columns, row within the block's tile, sums[4]) for all that the thread holds.
template <typename Shape, typename Sum, typename Visit>
__device__ __forceinline__ void for_each_four(const Sums<Shape, Sum> &sums, Visit visit) {
    #pragma unroll
    for (int m = 0; m < Shape::kFragmentsM; ++m) {
        #pragma unroll
        for (int half = 0; half < 2; ++half) {
            #pragma unroll
            for (int n = 0; n < Shape::kFragmentsN; ++n) {
                const auto &low = sums[m][n][0];
                const auto &high = sums[m][n][1];
                const Sum four[4] = {low[2 * half], low[2 * half + 1], high[2 * half], high[2 * half + 1]};
                visit(n, own_row<Shape>(m, half), four);
            }
        }
    }
}

// The tile of a block: its first row and column of y.
struct TilePlace {
    uint32_t row;
    uint32_t column;
};

// Blocks go down eight tiles before the next column of tiles: those that run at one time share rows of x and of W in L2.
template <typename Shape>
__device__ __forceinline__ TilePlace tile_of_block(uint32_t m, uint32_t n) {
    constexpr uint32_t kRowTiles = 8;
    const uint32_t tiles_m = (m + Shape::kM - 1) / Shape::kM;
    const uint32_t tiles_n = (n + Shape::kN - 1) / Shape::kN;
    const uint32_t first = blockIdx.x / (kRowTiles * tiles_n) * kRowTiles;
    const uint32_t within = blockIdx.x % (kRowTiles * tiles_n);
    const uint32_t rows = min(tiles_m - first, kRowTiles);
    return {(first + within % rows) * Shape::kM, within / rows * Shape::kN};
}
