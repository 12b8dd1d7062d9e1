// The end of a product: bias, one rounding, and the store of four adjacent values of a row.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

// Rounds to nearest, ties to even.
template <typename T>
__device__ __forceinline__ T round_to(float value);

template <>
__device__ __forceinline__ float round_to<float>(float value) {
    return value;
}
template <>
__device__ __forceinline__ __half round_to<__half>(float value) {
    return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 round_to<__nv_bfloat16>(float value) {
    return __float2bfloat16_rn(value);
}

// Four values that are loaded or stored as one.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
    T at[4];
};

// Columns `column`.. of a row of `n`: all four at once when `whole`, else those that exist, and zeros.
template <typename T>
__device__ __forceinline__ Four<T> load_four(const T *row, uint32_t column, uint32_t n, bool whole) {
    if (whole && column < n) return *reinterpret_cast<const Four<T> *>(row + column);
    Four<T> four = {};
    #pragma unroll
    for (uint32_t i = 0; i < 4; ++i)
        if (column + i < n) four.at[i] = row[column + i];
    return four;
}

// Columns `column`.. of a row of `n`: all four at once when `whole`, else those that exist.
template <typename T>
__device__ __forceinline__ void store_four(T *row, uint32_t column, uint32_t n, bool whole, const T (&values)[4]) {
    if (whole && column < n) {
        *reinterpret_cast<Four<T> *>(row + column) = {values[0], values[1], values[2], values[3]};
        return;
    }
    #pragma unroll
    for (uint32_t i = 0; i < 4; ++i)
        if (column + i < n) row[column + i] = values[i];
}

// What is added to four sums: bias, and -0 (which changes no sum) where there is none.
__device__ __forceinline__ Four<float> bias_of_four(const float *bias, uint32_t column, uint32_t n) {
    Four<float> four;
    #pragma unroll
    for (uint32_t i = 0; i < 4; ++i) four.at[i] = bias != nullptr && column + i < n ? bias[column + i] : -0.0f;
    return four;
}

// Adds the bias, rounds and stores.
template <typename T>
__device__ __forceinline__ void finish_four(T *row, uint32_t column, uint32_t n, bool whole, const Four<float> &bias,
                                            const float (&sums)[4]) {
    T values[4];
    #pragma unroll
    for (uint32_t i = 0; i < 4; ++i) values[i] = round_to<T>(__fadd_rn(sums[i], bias.at[i]));
    store_four(row, column, n, whole, values);
}

// Elementwise work on [m, n]: a block of 256 threads has 1024 columns of one row, a thread four.
struct RowPart {
    uint32_t row;
    uint32_t column;
};

__device__ __forceinline__ RowPart row_part(uint32_t n) {
    const uint32_t blocks_per_row = (n + 1023) / 1024;
    return {blockIdx.x / blocks_per_row, blockIdx.x % blocks_per_row * 1024 + threadIdx.x * 4};
}
