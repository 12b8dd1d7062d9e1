// The layout mma_w4a8 (src/layout/mma_w4a8.rs) of int4_channel_group, and what the products with it have in common: how codes
// become the bytes of operand A, and how sums become four adjacent columns of y.
#pragma once

#include "epilogue.cuh"
#include "int8.cuh"
#include "ptx.cuh"

// Rows and columns of a unit, its bytes, and where its steps are.
constexpr uint32_t kUnitRows = 32;
constexpr uint32_t kUnitCols = 64;
constexpr uint32_t kUnitBytes = 1088;
constexpr uint32_t kTileBytes = 512;
constexpr uint32_t kStepsOffset = 1024;

// Where a thread has its codes and its steps in a unit.
__device__ __forceinline__ uint32_t own_codes() {
    return threadIdx.x % 32 * 16;
}
__device__ __forceinline__ uint32_t own_steps() {
    return kStepsOffset + threadIdx.x % 32 / 4 * 8;
}

// Multiplier of one of a thread's four rows, and its offset in each byte.
struct RowSteps {
    uint32_t multiplier;
    uint32_t offset;

    // Of the codes in the low halves of the bytes of `word`.
    __device__ __forceinline__ uint32_t widen(uint32_t word) const { return (word & 0x0f0f0f0f) * multiplier + offset; }
};

// What a thread has of a unit: the codes of two tiles of 16 rows, and the steps of its four rows.
struct UnitCodes {
    uint32_t words[2][4];
    RowSteps steps[4];

    // From shared memory: the thread's codes of the first tile, and its steps.
    __device__ __forceinline__ void load(uint32_t codes_address, uint32_t steps_address) {
        const uint2 own = load_shared_8(steps_address);
        #pragma unroll
        for (int row = 0; row < 4; ++row)
            steps[row] = {__byte_perm(own.x, 0, 0x4440 + row), __byte_perm(own.y, 0, 0x1111 * row)};
        #pragma unroll
        for (int tile = 0; tile < 2; ++tile) load_shared_16(words[tile], codes_address + tile * kTileBytes);
    }

    // Operand A of both tiles in k32 step `step`.
    __device__ __forceinline__ void widen(uint32_t (&a)[2][4], int step) const {
        #pragma unroll
        for (int row = 0; row < 4; ++row) {
            const uint32_t word = words[row / 2][2 * step + row % 2];
            a[row / 2][row % 2] = steps[row].widen(word);
            a[row / 2][2 + row % 2] = steps[row].widen(word >> 4);
        }
    }
};

// Scales and bias of four adjacent columns of y.
struct FourColumns {
    uint32_t first;
    ColumnScale scales[4];
    Four<float> bias;

    __device__ __forceinline__ FourColumns(const GemmInt8Args &args, uint32_t first_) : first(first_) {
        #pragma unroll
        for (int i = 0; i < 4; ++i) scales[i] = column_scale(args, first + i);
        bias = bias_of_four(args.bias, first, args.n);
    }

    // Scales, rounds and stores their sums in row `row` of y, which exists.
    template <typename T>
    __device__ __forceinline__ void store(const GemmInt8Args &args, uint32_t row, RowScale scale, const int32_t (&sums)[4]) const {
        float values[4];
        #pragma unroll
        for (int i = 0; i < 4; ++i) values[i] = scaled(uint32_t(sums[i]), scale, scales[i], args.factor);
        finish_four(static_cast<T *>(args.y) + uint64_t(row) * args.n, first, args.n, args.whole_fours, bias, values);
    }
};

// Stores the sums of four adjacent columns from `column` in row `row`, which exists, to the plane of a part of K.
__device__ __forceinline__ void store_part(const GemmInt8Args &args, uint32_t split, uint32_t row, uint32_t column,
                                           const int32_t (&sums)[4]) {
    int32_t *plane = args.partials + split * (uint64_t(args.m) * args.n);
    store_four(plane + uint64_t(row) * args.n, column, args.n, args.n % 4 == 0, sums);
}
