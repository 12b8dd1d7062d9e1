// The layout wgmma_w8 of 8-bit codes (src/layout/wgmma_w8.rs): [K in 128][rows in 8][8 rows][8 chunks of 16 bytes], chunk c of
// row r at place c ^ (r % 8), which is the 128-byte swizzle of wgmma. Whole numbers of eights of rows, and of 128 columns.
#pragma once

#include <stdint.h>

constexpr uint32_t kTileK = 128;
// Bytes of eight rows of a tile.
constexpr uint32_t kAtomBytes = 8 * kTileK;

// Whether codes may be in tiles: only where there is wgmma, so that other architectures do not carry the arithmetic.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ != 900
constexpr bool kHasTiles = false;
#else
constexpr bool kHasTiles = true;
#endif

// Whether codes are in tiles, of which arguments give the eights of rows, or row-major, of which they give 0.
__device__ __forceinline__ bool is_tiled(uint64_t row_atoms) {
    return kHasTiles && row_atoms != 0;
}

// Where the code at (`row`, `col`) is, of `row_atoms` eights of rows.
__device__ __forceinline__ uint64_t tiled_offset(uint64_t row, uint32_t col, uint64_t row_atoms) {
    const uint32_t within = static_cast<uint32_t>(row) % 8;
    const uint64_t atom = col / kTileK * row_atoms + row / 8;
    return atom * kAtomBytes + within * kTileK + ((col % kTileK / 16 ^ within) << 4) + col % 16;
}

// The row of the layout that has row `row` of W: of each sixteen the even ones come first, so that a thread of wgmma, which
// has rows g and g + 8 of a warp's sixteen, has neighbours.
__device__ __forceinline__ uint64_t place_of_w(uint64_t row) {
    const uint32_t within = static_cast<uint32_t>(row) % 16;
    return row - within + within % 2 * 8 + within / 2;
}
