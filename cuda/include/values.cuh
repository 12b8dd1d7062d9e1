// Values of a floating-point type T (float, __half, __nv_bfloat16), widened to f32 and rounded back, 16 bytes at a time.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

// Values in 16 bytes.
template <typename T>
constexpr int kVectorValues = 16 / sizeof(T);

__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ float widen(__half value) { return __half2float(value); }
__device__ __forceinline__ float widen(__nv_bfloat16 value) { return __bfloat162float(value); }

// Rounds to nearest, ties to even.
template <typename T>
__device__ __forceinline__ T narrow(float value);
template <>
__device__ __forceinline__ float narrow<float>(float value) { return value; }
template <>
__device__ __forceinline__ __half narrow<__half>(float value) { return __float2half_rn(value); }
template <>
__device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float value) { return __float2bfloat16_rn(value); }

// Sixteen bytes of values, as they lie in memory.
template <typename T>
union Vector {
    uint4 bits;
    T values[kVectorValues<T>];

    __device__ __forceinline__ Vector() {}
};

// The vector at `from`, a multiple of 16 bytes.
template <typename T>
__device__ __forceinline__ Vector<T> load_vector(const T *from) {
    Vector<T> vector;
    vector.bits = *reinterpret_cast<const uint4 *>(from);
    return vector;
}

// Values `first` .. `first + kVectorValues` of the `count` at `values`, one by one; zeros beyond.
template <typename T>
__device__ __forceinline__ Vector<T> gather_vector(const T *values, uint64_t first, uint64_t count) {
    Vector<T> vector;
    vector.bits = make_uint4(0, 0, 0, 0);
#pragma unroll
    for (int i = 0; i < kVectorValues<T>; ++i)
        if (first + i < count) vector.values[i] = values[first + i];
    return vector;
}

// Rounds kCount values and stores them at `out`, a multiple of 16 bytes.
template <typename T, int kCount>
__device__ __forceinline__ void store_values(T *out, const float (&values)[kCount]) {
    static_assert(kCount % kVectorValues<T> == 0, "whole vectors");
#pragma unroll
    for (int first = 0; first < kCount; first += kVectorValues<T>) {
        Vector<T> vector;
#pragma unroll
        for (int i = 0; i < kVectorValues<T>; ++i) vector.values[i] = narrow<T>(values[first + i]);
        *reinterpret_cast<uint4 *>(out + first) = vector.bits;
    }
}
