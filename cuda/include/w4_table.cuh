// Decoding 4-bit weights for tensor cores: a table of the 256 pairs of values, once per lane.
//
// A byte of the layout mma_w4 is two values of one row that follow each other in K: one register of operand A. Entry (byte,
// lane) of the table lies at 256 * byte + 4 * lane, so that lanes never meet in a bank, and the address of an entry is one
// byte permute of the word of codes. Only the first half of each 256 bytes is table; the kernel uses the others.
#pragma once

#include "ptx.cuh"
#include "values.cuh"
#include "w4.cuh"

constexpr uint32_t kTableBytes = 65536;
constexpr uint32_t kTableRow = 256;
// Where the 128 bytes begin that a row of the table leaves to others.
constexpr uint32_t kTableGap = 128;

template <typename T>
__device__ __forceinline__ uint32_t pair_bits(float low, float high) {
    const T values[2] = {narrow<T>(low), narrow<T>(high)};
    return static_cast<uint32_t>(*reinterpret_cast<const uint16_t *>(&values[0])) |
           static_cast<uint32_t>(*reinterpret_cast<const uint16_t *>(&values[1])) << 16;
}

// Fills the table with the codebook, rounded to T. The block meets afterwards.
template <typename T>
__device__ __forceinline__ void fill_pair_table(uint8_t *shared, const W4Args &w) {
    for (uint32_t i = threadIdx.x; i < 256 * 8; i += blockDim.x) {
        const uint32_t byte = i / 8;
        const uint32_t pair = pair_bits<T>(w.codebook[byte >> 4], w.codebook[byte & 15]);
        *reinterpret_cast<uint4 *>(shared + byte * kTableRow + i % 8 * 16) = make_uint4(pair, pair, pair, pair);
    }
}

// Operand A of one k16 step: the registers of the four bytes of a word. `table` is its address, `lane_offset` 4 * lane.
__device__ __forceinline__ void decode_pairs(uint32_t (&a)[4], uint32_t table, uint32_t word, uint32_t lane_offset) {
    a[0] = load_shared_4(table + __byte_perm(word, lane_offset, 0x7704));
    a[1] = load_shared_4(table + __byte_perm(word, lane_offset, 0x7714));
    a[2] = load_shared_4(table + __byte_perm(word, lane_offset, 0x7724));
    a[3] = load_shared_4(table + __byte_perm(word, lane_offset, 0x7734));
}
