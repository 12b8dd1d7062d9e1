// archs: 80 89 90a 100 120
//
// dequant_w4: out[n][k] = (codebook[code] - zero) * scale, computed in f32 as the CPU does and rounded once.
//
//   w    W[N, K] in the layout mma_w4 (src/layout/mma_w4.rs), scales tiled, or flat in the variant `flat`
//   out  [N, K] f32, f16 or bf16, row-major; any N and K
//
// One warp: kWarpTiles tiles of 16 x 64, one after the other, all loaded at the beginning. The lanes have a tile in the
// order of the matrix instruction: they write its values to shared memory in order of rows and read them back 16 bytes at a
// time, which are stored as they are where rows begin at multiples of 16 bytes, and else value by value.

#include "ptx.cuh"
#include "values.cuh"
#include "w4.cuh"

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kWarpTiles = 2;

// The values of a warp's tile. Rows are padded so that neither the pairs (rows g, pairs t) nor the 16-byte reads conflict.
template <typename T>
struct TileValues {
    alignas(16) T at[kTileRows][kTileCols + 8];
};

template <typename T>
struct alignas(2 * sizeof(T)) Pair {
    T low;
    T high;
};

// What a lane needs to know of its rows g and g + 8.
template <bool kFlat>
struct RowGroups;

// Tiled scales: one per row in a tile, or two where groups have 32 columns.
template <>
struct RowGroups<false> {
    W4Group at[2][2];

    __device__ __forceinline__ RowGroups(const W4Args &w, uint32_t row, uint32_t k_tile) {
        #pragma unroll
        for (int b = 0; b < 2; ++b) {
            const bool halves = w.group_len == 32;
            const uint32_t group = halves ? 2 * k_tile : k_tile / (w.group_len / kTileCols);
            at[b][0] = w4_group_tiled(w, row + 8 * b, group);
            at[b][1] = halves ? w4_group_tiled(w, row + 8 * b, group + 1) : at[b][0];
        }
    }

    // Of the row b, column `col` of the tile.
    __device__ __forceinline__ W4Group of(const W4Args &, int b, uint32_t, int step) const { return at[b][step / 2]; }
};

// Flat scales: where in which group the tile begins.
template <>
struct RowGroups<true> {
    uint64_t first[2];
    uint32_t offset[2];

    __device__ __forceinline__ RowGroups(const W4Args &w, uint32_t row, uint32_t k_tile) {
        #pragma unroll
        for (int b = 0; b < 2; ++b) {
            const uint64_t index = min(row + 8 * b, w.n - 1) * w.row_values + k_tile * kTileCols;
            first[b] = index / w.group_len;
            offset[b] = static_cast<uint32_t>(index - first[b] * w.group_len);
        }
    }

    __device__ __forceinline__ W4Group of(const W4Args &w, int b, uint32_t col, int) const {
        const uint32_t at = offset[b] + col;
        const uint64_t group = first[b] + (w.group_len < kTileCols ? at / w.group_len : at >= w.group_len);
        // Columns of padding may lie beyond the last group.
        const uint64_t index = min(group, w.num_scales - 1);
        return w4_group(w, index, index);
    }
};

template <typename T>
__device__ __forceinline__ T value_of(const float *codebook, uint32_t code, const W4Group &group) {
    return narrow<T>(__fmul_rn(__fsub_rn(codebook[code], group.zero), group.scale));
}

// Writes the values of a lane's 32 codes where they belong in the tile.
template <typename T, bool kFlat>
__device__ __forceinline__ void decode(const W4Args &w, const float *codebook, const uint4 &codes, uint32_t row_tile,
                                       uint32_t k_tile, TileValues<T> &values) {
    const uint32_t lane = threadIdx.x % 32;
    const RowGroups<kFlat> groups(w, row_tile * kTileRows + lane / 4, k_tile);
    const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
    #pragma unroll
    for (int step = 0; step < 4; ++step) {
        #pragma unroll
        for (int r = 0; r < 4; ++r) {
            const int b = r % 2;
            const uint32_t col = 16 * step + 8 * (r / 2) + 2 * (lane % 4);
            const uint32_t byte = words[step] >> (8 * r);
            Pair<T> pair;
            pair.low = value_of<T>(codebook, byte >> 4 & 15, groups.of(w, b, col, step));
            pair.high = value_of<T>(codebook, byte & 15, groups.of(w, b, col + 1, step));
            *reinterpret_cast<Pair<T> *>(&values.at[lane / 4 + 8 * b][col]) = pair;
        }
    }
}

// Stores what of a tile lies within the matrix.
template <typename T>
__device__ __forceinline__ void store(const DequantW4Args &args, uint32_t row_tile, uint32_t k_tile,
                                      const TileValues<T> &values) {
    constexpr uint32_t kVector = kVectorValues<T>;
    const uint32_t lane = threadIdx.x % 32;
    const uint32_t rows = min(args.w.n - row_tile * kTileRows, kTileRows);
    const uint32_t cols = min(args.w.k - k_tile * kTileCols, kTileCols);
    T *out = static_cast<T *>(args.out) + static_cast<uint64_t>(row_tile) * kTileRows * args.w.k + k_tile * kTileCols;
    if (args.w.k % kVector == 0) {
        #pragma unroll
        for (uint32_t i = lane; i < kTileRows * kTileCols / kVector; i += 32) {
            const uint32_t row = i / (kTileCols / kVector), col = i % (kTileCols / kVector) * kVector;
            if (row < rows && col < cols) {
                *reinterpret_cast<uint4 *>(out + static_cast<uint64_t>(row) * args.w.k + col) =
                    *reinterpret_cast<const uint4 *>(&values.at[row][col]);
            }
        }
    } else {
        for (uint32_t row = 0; row < rows; ++row)
            for (uint32_t col = lane; col < cols; col += 32)
                out[static_cast<uint64_t>(row) * args.w.k + col] = values.at[row][col];
    }
}

template <typename T, bool kFlat>
__device__ __forceinline__ void dequantize(const DequantW4Args &args) {
    // 16 values in 16 banks: any codes may be looked up at once.
    __shared__ float codebook[16];
    __shared__ TileValues<T> values[kWarps];
    if (threadIdx.x < 16) codebook[threadIdx.x] = args.w.codebook[threadIdx.x];
    __syncthreads();

    const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t num_tiles = args.w.row_tiles * args.w.k_tiles;
    const uint32_t first = (blockIdx.x * kWarps + warp) * kWarpTiles;
    const uint8_t *from = args.w.codes + static_cast<uint64_t>(first) * kTileBytes + lane * 16;
    uint4 codes[kWarpTiles];
    #pragma unroll
    for (int i = 0; i < kWarpTiles; ++i)
        if (first + i < num_tiles) codes[i] = load_streaming_16(from + i * kTileBytes);

    #pragma unroll
    for (int i = 0; i < kWarpTiles; ++i) {
        if (first + i >= num_tiles) return;
        const uint32_t row_tile = (first + i) / args.w.k_tiles, k_tile = (first + i) % args.w.k_tiles;
        if (i > 0) __syncwarp();
        decode<T, kFlat>(args.w, codebook, codes[i], row_tile, k_tile, values[warp]);
        __syncwarp();
        store<T>(args, row_tile, k_tile, values[warp]);
    }
}

#define KERNEL(symbol, type, is_flat)                                                                          \
    extern "C" __global__ void __launch_bounds__(kThreads) symbol(const __grid_constant__ DequantW4Args args) { \
        dequantize<type, is_flat>(args);                                                                       \
    }

KERNEL(dequant_w4_f32, float, false)
KERNEL(dequant_w4_f16, __half, false)
KERNEL(dequant_w4_bf16, __nv_bfloat16, false)
KERNEL(dequant_w4_f32_flat, float, true)
KERNEL(dequant_w4_f16_flat, __half, true)
KERNEL(dequant_w4_bf16_flat, __nv_bfloat16, true)
