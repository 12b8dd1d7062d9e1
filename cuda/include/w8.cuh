// One value of a matrix in an 8-bit format, as src/formats computes it: f32, each operation rounded.
#pragma once

#include "args.h"
#include "wgmma_w8.cuh"

// How an 8-bit code becomes a value.
enum class Code8 { kInt8, kAffine, kDynamic };

__device__ __forceinline__ Code8 code8_of(const W8Args &w) {
    return w.map != nullptr ? Code8::kDynamic : w.is_affine != 0 ? Code8::kAffine : Code8::kInt8;
}

__device__ __forceinline__ uint64_t divide(uint64_t value, const DivisorArgs &by) {
    return (__umul64hi(by.multiplier, value) + value) >> by.shift;
}

// A scale, and how many values from the one asked for on have it.
struct ScaleRun {
    uint64_t index;
    uint64_t values;
};

// Where the scale of value `i` of the flattened matrix is.
__device__ __forceinline__ ScaleRun scale_run(const W8Args &w, uint64_t i) {
    const uint64_t row = divide(i, w.row_len), row_len = w.row_len.divisor, col = i - row * row_len;
    if (w.groups_per_row == 1) return {row, row_len - col};
    const uint64_t group = divide(col, w.group);
    const uint64_t group_end = (group + 1) * w.group.divisor;
    return {row * w.groups_per_row + group, (group_end < row_len ? group_end : row_len) - col};
}

// Where the code of value `i` of the flattened matrix is.
__device__ __forceinline__ uint64_t code_offset(const W8Args &w, uint64_t i) {
    if (!is_tiled(w.row_atoms)) return i;
    const uint64_t row = divide(i, w.cols);
    return tiled_offset(place_of_w(row), static_cast<uint32_t>(i - row * w.cols.divisor), w.row_atoms);
}

__device__ __forceinline__ int32_t zero_point_at(const W8Args &w, uint64_t scale_index) {
    return w.zero_points != nullptr ? w.zero_points[scale_index] : static_cast<int32_t>(w.zero_point);
}

// The value of `code`; `map` is f32[256] in any memory space, used by kDynamic alone.
template <Code8 kCode>
__device__ __forceinline__ float value8(uint32_t code, float scale, int32_t zero_point, const float *map) {
    if (kCode == Code8::kDynamic) return __fmul_rn(map[code], scale);
    if (kCode == Code8::kAffine) return __fmul_rn(static_cast<float>(static_cast<int32_t>(code) - zero_point), scale);
    return __fmul_rn(__fmul_rn(static_cast<float>(static_cast<int8_t>(code)), scale), 1.0f / 127.0f);
}

// Value `i` of the flattened matrix.
__device__ __forceinline__ float value8_at(const W8Args &w, uint64_t i) {
    const uint64_t index = scale_run(w, i).index;
    const float scale = w.scales[index];
    const uint32_t code = w.codes[code_offset(w, i)];
    switch (code8_of(w)) {
        case Code8::kDynamic: return value8<Code8::kDynamic>(code, scale, 0, w.map);
        case Code8::kAffine: return value8<Code8::kAffine>(code, scale, zero_point_at(w, index), nullptr);
        default: return value8<Code8::kInt8>(code, scale, 0, nullptr);
    }
}
