// 4-bit matrices in the layout mma_w4 (src/layout/mma_w4.rs): where the scales are, and what they are.
#pragma once

#include "args.h"

constexpr uint32_t kTileRows = 16;
constexpr uint32_t kTileCols = 64;
constexpr uint32_t kTileBytes = 512;

// Scale and zero point of some values: value = (codebook[code] - zero) * scale.
struct W4Group {
    float scale;
    float zero;
};

// Group `index` in the order of the device; `block` is its index in the format's own order. All as the CPU rounds it.
__device__ __forceinline__ W4Group w4_group(const W4Args &w, uint64_t index, uint64_t block) {
    W4Group group;
    if (w.scales != nullptr) {
        group.scale = w.scales[index];
    } else {
        const float scaled = __fmul_rn(w.nested_map[w.nested_codes[index]], w.nested_absmax[block / 256]);
        group.scale = __fadd_rn(scaled, w.nested_offset);
    }
    group.zero = w.zeros == nullptr ? 0.0f : static_cast<float>(w.zeros[index]) - w.zero_shift;
    return group;
}

// Group `group` of `row` where the scales are tiled; zeros beyond the last row.
__device__ __forceinline__ W4Group w4_group_tiled(const W4Args &w, uint32_t row, uint32_t group) {
    if (row >= w.n) return {0.0f, 0.0f};
    const uint64_t first = (static_cast<uint64_t>(row / kTileRows) * w.groups + group) * kTileRows;
    const uint64_t block = static_cast<uint64_t>(row) * w.row_groups + min(group, w.row_groups - 1);
    return w4_group(w, first + 2 * (row % 8) + row / 8 % 2, block);
}
