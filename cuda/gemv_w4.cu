// archs: 80 89 90a 100 120
//
// gemv_w4: y[m][n] = sum_k x[m][k] * W[n][k] + bias[n] for m <= 16, W in any 4-bit format with tiled scales.
//
//   w  W[N, K] in the layout mma_w4 (src/layout/mma_w4.rs)     x [m, K], y [m, N] f16 or bf16     bias f32[N] or null
//
// A unit is two row tiles, 32 rows of W. Blocks are as many as there are multiprocessors, and stay:
//
//   block (b, s) has the units b, b + gridDim.x, .. and of K the tiles s * tiles_per_split ..
//       load the first codes and scales; bring x to shared memory; fill the table of pairs
//       for each unit:
//           warp w, for the tiles w, w + 16, .. of its part of K:
//               for both row tiles, for each group in the tile (one, or two of 32 columns):
//                   acc = codebook[codes] * xᵀ by mma.m16n8k16, W as operand A, x as operand B
//                   total += scale * (acc - zero * sum of x in the group)
//           add the totals of the 16 warps in order; + bias; y, or a partial sum where K is split
//   gemv_w4_*_sum adds the partial sums in order. The result does not depend on timing.
//
// The codebook is rounded to the type of x, exactly for integers; scales and sums are f32.
//
// Departures:
// 1. Codes and scales are loaded kDepth tiles ahead into registers, 1 KB a warp and tile, past L1: 64 KB of codes in flight, or
//    32 KB where registers allow no more. The first of the next unit are under way while totals are added.
// 2. Totals of warps lie in the gaps of the table.
// 3. Rows of x beyond m are the last row: the columns of y that come of them are not stored.

#include "ptx.cuh"
#include "values.cuh"
#include "w4.cuh"
#include "w4_table.cuh"

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;
// Row tiles of a unit.
constexpr int kUnitTiles = 2;

// What a group of columns has besides codes.
enum class Scales { kPlain, kNested, kZeros };

extern __shared__ __align__(128) uint8_t shared[];

// What of K the block has.
struct Slice {
    uint32_t first_tile;
    uint32_t end_tile;

    __device__ __forceinline__ explicit Slice(const GemvW4Args &args) {
        first_tile = blockIdx.y * args.tiles_per_split;
        end_tile = min(first_tile + args.tiles_per_split, args.w.k_tiles);
    }

    __device__ __forceinline__ uint32_t tiles() const { return end_tile - first_tile; }
};

// The first group of tile `k_tile`, which has kHalves of them.
template <int kHalves>
__device__ __forceinline__ uint32_t group_of(const W4Args &w, uint32_t k_tile) {
    return kHalves == 2 ? 2 * k_tile : __umulhi(2 * k_tile, w.group_magic);
}

// The row tile `i` of a unit. A unit of one row tile takes it twice.
__device__ __forceinline__ uint32_t row_tile_of(const W4Args &w, uint32_t unit, int i) {
    return min(unit * kUnitTiles + i, w.row_tiles - 1);
}

// What a lane has of a row tile in memory.
struct RowTile {
    const uint8_t *codes;
    uint32_t scales;  // index of that of row g in group 0; ops/w4.rs checks that 32 bits hold it

    __device__ __forceinline__ RowTile() {}
    __device__ __forceinline__ RowTile(const W4Args &w, uint32_t row_tile) {
        const uint32_t lane = used_here(threadIdx.x) % 32;
        codes = w.codes + static_cast<uint64_t>(row_tile) * w.k_tiles * kTileBytes + lane * 16;
        scales = row_tile * w.groups * kTileRows + 2 * (lane / 4);
    }
};

// The scales of rows g and g + 8 for the groups of a tile, as loaded.
template <Scales kScales, int kHalves>
struct Loaded;

template <int kHalves>
struct Loaded<Scales::kPlain, kHalves> {
    float2 scale[kHalves];

    __device__ __forceinline__ void load(const W4Args &w, uint32_t index, int half) {
        scale[half] = *reinterpret_cast<const float2 *>(w.scales + index);
    }
};

template <int kHalves>
struct Loaded<Scales::kZeros, kHalves> {
    float2 scale[kHalves];
    uint16_t zeros[kHalves];

    __device__ __forceinline__ void load(const W4Args &w, uint32_t index, int half) {
        scale[half] = *reinterpret_cast<const float2 *>(w.scales + index);
        zeros[half] = *reinterpret_cast<const uint16_t *>(w.zeros + index);
    }
};

template <int kHalves>
struct Loaded<Scales::kNested, kHalves> {
    uint16_t codes[kHalves];

    __device__ __forceinline__ void load(const W4Args &w, uint32_t index, int half) {
        codes[half] = *reinterpret_cast<const uint16_t *>(w.nested_codes + index);
    }
};

// A tile of both row tiles of a unit, under way from memory.
template <Scales kScales, int kHalves>
struct Tile {
    uint4 codes[kUnitTiles];
    Loaded<kScales, kHalves> scales[kUnitTiles];

    __device__ __forceinline__ void load(const W4Args &w, const RowTile (&rows)[kUnitTiles], uint32_t k_tile) {
        const uint32_t group = group_of<kHalves>(w, k_tile);
        #pragma unroll
        for (int i = 0; i < kUnitTiles; ++i) {
            codes[i] = load_streaming_16(rows[i].codes + static_cast<uint64_t>(k_tile) * kTileBytes);
            #pragma unroll
            for (int half = 0; half < kHalves; ++half)
                scales[i].load(w, rows[i].scales + (group + half) * kTileRows, half);
        }
    }
};

// Scale and zero point of rows g and g + 8 in a group.
struct RowPair {
    float scale[2];
    float zero[2];
};

template <int kHalves>
__device__ __forceinline__ RowPair row_pair(const Loaded<Scales::kPlain, kHalves> &loaded, const GemvW4Args &, int half,
                                            uint32_t, uint32_t) {
    return {{loaded.scale[half].x, loaded.scale[half].y}, {}};
}

// The zero point in byte `b` of two: 2^23 + z as a float's bits, less 2^23 and the shift.
__device__ __forceinline__ float zero_of(uint32_t zeros, int b, float shift) {
    return __uint_as_float(0x4b000000 | (zeros >> (8 * b) & 255)) - (8388608.0f + shift);
}

template <int kHalves>
__device__ __forceinline__ RowPair row_pair(const Loaded<Scales::kZeros, kHalves> &loaded, const GemvW4Args &args, int half,
                                            uint32_t, uint32_t) {
    const uint32_t zeros = loaded.zeros[half];
    return {{loaded.scale[half].x, loaded.scale[half].y},
            {zero_of(zeros, 0, args.w.zero_shift), zero_of(zeros, 1, args.w.zero_shift)}};
}

// Nested scales, rounded as the CPU rounds them. `row` is row g, `group` the group.
template <int kHalves>
__device__ __forceinline__ RowPair row_pair(const Loaded<Scales::kNested, kHalves> &loaded, const GemvW4Args &args, int half,
                                            uint32_t row, uint32_t group) {
    const float *map = reinterpret_cast<const float *>(shared + args.map_offset);
    RowPair pair;
    #pragma unroll
    for (int b = 0; b < 2; ++b) {
        // ops/w4.rs checks that there are fewer than 2^32 scales.
        const uint32_t block = min(row + 8 * b, args.w.n - 1) * args.w.row_groups + group;
        const float absmax = args.w.nested_absmax[block / 256];
        pair.scale[b] = __fadd_rn(__fmul_rn(map[loaded.codes[half] >> (8 * b) & 255], absmax), args.w.nested_offset);
    }
    return pair;
}

// Sums over K of a unit's rows g, g + 8 (of each row tile) and the columns 2 t, 2 t + 1 of each eight of y's.
template <int kEights>
using Totals = float[kUnitTiles][kEights][4];

// total += scale * (acc - zero * sum of x).
template <Scales kScales, int kEights>
__device__ __forceinline__ void add_group(float (&total)[kEights][4], const float (&acc)[kEights][4], const RowPair &pair,
                                          const float *sums) {
    #pragma unroll
    for (int e = 0; e < kEights; ++e) {
        float2 sum = {};
        if (kScales == Scales::kZeros) sum = *reinterpret_cast<const float2 *>(sums + 8 * e);
        #pragma unroll
        for (int i = 0; i < 4; ++i) {
            float value = acc[e][i];
            if (kScales == Scales::kZeros) value = __fmaf_rn(-pair.zero[i / 2], i % 2 == 0 ? sum.x : sum.y, value);
            total[e][i] = __fmaf_rn(pair.scale[i / 2], value, total[e][i]);
        }
    }
}

// One tile of K for both row tiles. `x_address`: the lane's rows of ldmatrix in this tile; `sums`: the sums of x.
template <typename T, Scales kScales, int kHalves, int kEights>
__device__ __forceinline__ void multiply_tile(Totals<kEights> &totals, const Tile<kScales, kHalves> &tile,
                                              const GemvW4Args &args, uint32_t table, uint32_t unit, uint32_t k_tile,
                                              const uint32_t (&x_address)[kEights], const float *sums) {
    constexpr int kSteps = 4 / kHalves;  // of k16 in a group
    const uint32_t lane = threadIdx.x % 32;
    const uint32_t group = kScales == Scales::kNested ? group_of<kHalves>(args.w, k_tile) : 0;
    #pragma unroll
    for (int half = 0; half < kHalves; ++half) {
        uint32_t x[kEights][kSteps / 2][4];
        #pragma unroll
        for (int e = 0; e < kEights; ++e)
            #pragma unroll
            for (int j = 0; j < kSteps / 2; ++j) ldmatrix_x4(x[e][j], x_address[e] ^ (64 * (half + j)));
        #pragma unroll
        for (int i = 0; i < kUnitTiles; ++i) {
            const uint32_t words[4] = {tile.codes[i].x, tile.codes[i].y, tile.codes[i].z, tile.codes[i].w};
            float acc[kEights][4];
            #pragma unroll
            for (int step = 0; step < kSteps; ++step) {
                uint32_t a[4];
                decode_pairs(a, table, words[half * kSteps + step], 4 * lane);
                #pragma unroll
                for (int e = 0; e < kEights; ++e) {
                    const uint32_t b[2] = {x[e][step / 2][step % 2 * 2], x[e][step / 2][step % 2 * 2 + 1]};
                    if (step == 0)
                        mma_m16n8k16_first<T>(acc[e], a, b);
                    else
                        mma_m16n8k16<T>(acc[e], a, b);
                }
            }
            const uint32_t row = kScales == Scales::kNested ? row_tile_of(args.w, unit, i) * kTileRows + lane / 4 : 0;
            const RowPair pair = row_pair(tile.scales[i], args, half, row, group + half);
            add_group<kScales>(totals[i], acc, pair, sums + half * (8 * kEights));
        }
    }
}

// Row `row` of x in tile `tile` of the slice: 128 bytes, chunk c of 16 at c ^ (row % 8), so that the eight rows of one part
// of ldmatrix lie in different banks.
__device__ __forceinline__ uint32_t staged_row(const GemvW4Args &args, uint32_t tile, uint32_t row) {
    return args.x_offset + (tile * args.m + row) * 128;
}

// Starts copying the slice of x to shared memory, zeros beyond K.
template <typename T>
__device__ __forceinline__ void stage_x(const GemvW4Args &args, const Slice &slice) {
    for (uint32_t row = 0; row < args.m; ++row) {
        const T *from = static_cast<const T *>(args.x) + static_cast<uint64_t>(row) * args.w.k;
        for (uint32_t i = threadIdx.x; i < slice.tiles() * 8; i += kThreads) {
            const uint32_t k = slice.first_tile * kTileCols + i * 8;
            const uint32_t count = k < args.w.k ? min(args.w.k - k, 8) : 0;
            uint8_t *to = shared + staged_row(args, i / 8, row) + ((i % 8 ^ row % 8) << 4);
            if (args.x_is_aligned) {
                cp_async_16(shared_address(to), count == 0 ? from : from + k, 2 * count);
            } else {
                Vector<T> vector;
                vector.bits = make_uint4(0, 0, 0, 0);
                #pragma unroll
                for (uint32_t j = 0; j < 8; ++j)
                    if (j < count) vector.values[j] = from[k + j];
                *reinterpret_cast<uint4 *>(to) = vector.bits;
            }
        }
    }
    cp_async_commit();
}

// The sums of x in each group of a tile: [tile][half][8 * kEights] f32, zeros beyond m.
template <typename T, int kHalves, int kEights>
__device__ __forceinline__ void sum_x(const GemvW4Args &args, const Slice &slice) {
    float *sums = reinterpret_cast<float *>(shared + args.sums_offset);
    for (uint32_t i = threadIdx.x; i < slice.tiles() * 8 * kEights; i += kThreads) {
        const uint32_t tile = i / (8 * kEights), row = i % (8 * kEights);
        float half[2] = {0.0f, 0.0f};
        for (uint32_t j = 0; row < args.m && j < 8; ++j) {
            // Each lane begins at another chunk, or all would read the same banks.
            const uint32_t place = (j + threadIdx.x) % 8;
            Vector<T> vector;
            vector.bits = *reinterpret_cast<const uint4 *>(shared + staged_row(args, tile, row) + place * 16);
            float sum = 0.0f;
            #pragma unroll
            for (int v = 0; v < 8; ++v) sum += widen(vector.values[v]);
            ((place ^ row % 8) < 4 ? half[0] : half[1]) += sum;
        }
        float *to = sums + tile * kHalves * (8 * kEights) + row;
        to[0] = kHalves == 2 ? half[0] : half[0] + half[1];
        if (kHalves == 2) to[8 * kEights] = half[1];
    }
}

// The place of total `index` of a warp's totals, for lane 0: a gap of the table.
template <int kEights>
__device__ __forceinline__ float *total_slot(uint32_t warp, uint32_t index) {
    const uint32_t row = warp * (kUnitTiles * kEights * 4) + index;
    return reinterpret_cast<float *>(shared + row * kTableRow + kTableGap);
}

// Adds the totals of all warps for a unit and stores them.
template <typename T, int kEights>
__device__ __forceinline__ void finish_unit(const GemvW4Args &args, const Totals<kEights> &totals, uint32_t unit) {
    constexpr uint32_t kCount = kUnitTiles * kEights * 4;
    static_assert(kWarps * kCount <= 256, "the table has 256 gaps");
    const uint32_t thread = used_here(threadIdx.x), warp = thread / 32, lane = thread % 32;
    // The sums of the unit before have been read.
    __syncthreads();
    #pragma unroll
    for (int i = 0; i < kUnitTiles; ++i)
        #pragma unroll
        for (int e = 0; e < kEights; ++e)
            #pragma unroll
            for (int j = 0; j < 4; ++j) total_slot<kEights>(warp, (i * kEights + e) * 4 + j)[lane] = totals[i][e][j];
    __syncthreads();

    for (uint32_t index = warp; index < kCount; index += kWarps) {
        const uint32_t row = (unit * kUnitTiles + index / (4 * kEights)) * kTileRows + lane / 4 + index % 4 / 2 * 8;
        const uint32_t m = index / 4 % kEights * 8 + lane % 4 * 2 + index % 2;
        if (row >= args.w.n || m >= args.m) continue;
        float sum = 0.0f;
        #pragma unroll
        for (int w = 0; w < kWarps; ++w) sum += total_slot<kEights>(w, index)[lane];
        const uint64_t place = static_cast<uint64_t>(m) * args.w.n + row;
        if (args.partials != nullptr) {
            args.partials[static_cast<uint64_t>(used_here(blockIdx.y)) * args.m * args.w.n + place] = sum;
        } else {
            if (args.bias != nullptr) sum += args.bias[row];
            static_cast<T *>(args.y)[place] = narrow<T>(sum);
        }
    }
}

template <typename T, Scales kScales, int kHalves, int kEights>
__device__ __forceinline__ void gemv(const GemvW4Args &args) {
    // Zero points for two groups a tile and sums for 16 rows leave no registers for a second tile: 20 KB in flight.
    constexpr int kDepth = kEights * kHalves == 1 ? 4 : kEights * kHalves == 4 && kScales == Scales::kZeros ? 1 : 2;
    constexpr uint32_t kStride = kDepth * kWarps;
    const uint32_t lane = threadIdx.x % 32;
    // From lane 0, so that the compiler knows it to be the same in all lanes.
    const uint32_t warp = __shfl_sync(0xffffffff, threadIdx.x / 32, 0);
    const Slice slice(args);

    // What is loaded next is of these rows.
    RowTile rows[kUnitTiles];
    auto go_to = [&](uint32_t unit) {
        #pragma unroll
        for (int i = 0; i < kUnitTiles; ++i) rows[i] = RowTile(args.w, row_tile_of(args.w, unit, i));
    };
    Tile<kScales, kHalves> ahead[kDepth];
    auto load = [&](int d, uint32_t tile) {
        if (tile < slice.end_tile) ahead[d].load(args.w, rows, tile);
    };
    go_to(blockIdx.x);
    #pragma unroll
    for (int d = 0; d < kDepth; ++d) load(d, slice.first_tile + warp + d * kWarps);

    stage_x<T>(args, slice);
    fill_pair_table<T>(shared, args.w);
    if (kScales == Scales::kNested && threadIdx.x < 256)
        reinterpret_cast<float *>(shared + args.map_offset)[threadIdx.x] = args.w.nested_map[threadIdx.x];
    cp_async_wait<0>();
    __syncthreads();
    if (kScales == Scales::kZeros) {
        sum_x<T, kHalves, kEights>(args, slice);
        __syncthreads();
    }

    const uint32_t table = shared_address(shared);
    // Of tile 0 of K, wherever the slice begins. Matrix i of ldmatrix is chunk i of the tile, or 4 + i.
    uint32_t x_address[kEights];
    #pragma unroll
    for (int e = 0; e < kEights; ++e) {
        const uint32_t row = min(lane % 8 + 8 * e, args.m - 1);
        x_address[e] = table + staged_row(args, 0 - slice.first_tile, row) + ((lane / 8 ^ row % 8) << 4);
    }
    const float *sums = reinterpret_cast<const float *>(shared + args.sums_offset) + 2 * (lane % 4) -
                        static_cast<int32_t>(slice.first_tile * kHalves * (8 * kEights));

    for (uint32_t unit = blockIdx.x; unit < args.units; unit += gridDim.x) {
        Totals<kEights> totals = {};
        for (uint32_t first = slice.first_tile + warp; first < slice.end_tile; first += kStride) {
            // Loaded next is what is further along K, or the beginning of the next unit; of the last unit, itself once more.
            uint32_t next = first + kStride;
            if (next >= slice.end_tile) {
                next = slice.first_tile + warp;
                go_to(min(unit + gridDim.x, args.units - 1));
            }
            #pragma unroll
            for (int d = 0; d < kDepth; ++d) {
                const uint32_t tile = first + d * kWarps;
                if (tile < slice.end_tile) {
                    uint32_t address[kEights];
                    #pragma unroll
                    for (int e = 0; e < kEights; ++e) address[e] = x_address[e] + tile * args.m * 128;
                    const float *tile_sums = sums + tile * kHalves * (8 * kEights);
                    multiply_tile<T, kScales, kHalves, kEights>(totals, ahead[d], args, table, unit, tile, address, tile_sums);
                }
                load(d, next + d * kWarps);
            }
        }
        finish_unit<T, kEights>(args, totals, unit);
    }
}

// y = sum of the partial sums in order + bias. One thread: one value.
template <typename T>
__device__ __forceinline__ void sum_partials(const GemvW4Args &args) {
    const uint64_t count = static_cast<uint64_t>(args.m) * args.w.n;
    const uint64_t place = static_cast<uint64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (place >= count) return;
    float sum = 0.0f;
    for (uint32_t split = 0; split < args.splits; ++split) sum += args.partials[split * count + place];
    if (args.bias != nullptr) sum += args.bias[place % args.w.n];
    static_cast<T *>(args.y)[place] = narrow<T>(sum);
}

#define KERNEL(symbol, call)                                                                                  \
    extern "C" __global__ void __launch_bounds__(kThreads) symbol(const __grid_constant__ GemvW4Args args) { \
        call(args);                                                                                           \
    }
#define GEMV(symbol, type, scales)                                       \
    KERNEL(symbol##_m8, (gemv<type, Scales::scales, 1, 1>))              \
    KERNEL(symbol##_m16, (gemv<type, Scales::scales, 1, 2>))             \
    KERNEL(symbol##_g32_m8, (gemv<type, Scales::scales, 2, 1>))          \
    KERNEL(symbol##_g32_m16, (gemv<type, Scales::scales, 2, 2>))
#define KERNELS(suffix, type)                         \
    GEMV(gemv_w4_##suffix, type, kPlain)              \
    GEMV(gemv_w4_##suffix##_nested, type, kNested)    \
    GEMV(gemv_w4_##suffix##_zeros, type, kZeros)      \
    KERNEL(gemv_w4_##suffix##_sum, (sum_partials<type>))

KERNELS(f16, __half)
KERNELS(bf16, __nv_bfloat16)
