// archs: 90a
//
// gemm_w4_sm90: y[m][n] = sum_k x[m][k] * W[n][k] + bias[n], W in any 4-bit format with tiled scales, on wgmma.
//
//   w  W[N, K] in the layout mma_w4 (src/layout/mma_w4.rs)     x [M, K], y [M, N] f16 or bf16     bias f32[N] or null
//
// yᵀ = W * xᵀ: four row tiles of the layout are the m64k16 operand A of a warpgroup, from registers; x is operand B, from
// shared memory. A unit is 128 rows of W by kTokens rows of x by a part of K; blocks are as many as there are
// multiprocessors, and stay. Warps 0 to 7 are two warpgroups of 64 rows each, warps 8 to 11 bring what they need:
//
//   producers, for each unit, for each tile of 64 columns:
//       wait until the stage is empty
//       codes and scales of eight row tiles by bulk copies; x by cp.async, zeros beyond M and K
//       of the tile kLag before: wait for its x, make it visible to wgmma, arrive
//   consumers, for each unit, for each tile, for each half of it (32 columns):
//       acc (+)= codebook[codes] * xᵀ, two wgmma
//       meanwhile decode the next half into the other registers
//       where a group ends: wait, total += scale * acc
//       y, or a partial sum where K is split; gemm_dense_reduce adds those in order
//
// The codebook is rounded to the type of x, exactly for integers; scales and sums are f32. The result does not depend on
// timing.
//
// Departures:
// 1. Zero points are subtracted from A in its type: only formats whose codebook is 16 consecutive integers have them, so that
//    the value of zero point z is that of code z, and differences are exact.
// 2. The map of nested scales lies in the gaps of the table of pairs, once for each lane.
// 3. Row tiles beyond the last are the last one once more, and are not stored.

#include "ptx_sm90.cuh"
#include "values.cuh"
#include "w4.cuh"
#include "w4_table.cuh"

namespace {

constexpr uint32_t kConsumerWarps = 8;
constexpr uint32_t kProducers = 128;
constexpr uint32_t kThreads = 32 * kConsumerWarps + kProducers;
// Row tiles of a unit, one to a warp.
constexpr uint32_t kUnitTiles = kConsumerWarps;
// Tiles whose x is under way. One takes 0.16 µs at least (ops/gemm_w4_sm90.rs), the L2 some 0.5 µs.
constexpr uint32_t kLag = 4;
// Arrivals that fill a stage: the bulk copies, and each warp of producers.
constexpr uint32_t kFullArrivals = 1 + kProducers / 32;

extern __shared__ __align__(1024) uint8_t shared[];

// What a group of columns has besides codes.
enum class Scales { kPlain, kNested, kZeros };

// A stage: x as wgmma takes it, the codes of the row tiles, their scales (f32, or a byte if nested), their zero points, and
// its two barriers.
template <int kTokens, int kGroups>
struct Stage {
    static constexpr uint32_t kCodes = kTokens * 128;
    static constexpr uint32_t kScales = kCodes + kUnitTiles * kTileBytes;
    static constexpr uint32_t kZeros = kScales + kUnitTiles * kTileRows * sizeof(float) * kGroups;
    static constexpr uint32_t kFull = kZeros + kUnitTiles * kTileRows * kGroups;
    static constexpr uint32_t kEmpty = kFull + 8;
    static constexpr uint32_t kBytes = (kEmpty + 8 + 1023) / 1024 * 1024;
};

// Part of the product, of which a block does one after the other.
struct Unit {
    uint32_t token;
    uint32_t row_tile;
    uint32_t split;
    uint32_t first_tile;
    uint32_t end_tile;

    __device__ __forceinline__ Unit(const GemmW4Sm90Args &args, uint32_t index, uint32_t tokens) {
        // Neighbours share codes, which the L2 then reads once.
        const uint32_t token_tiles = (args.m + tokens - 1) / tokens;
        token = index % token_tiles * tokens;
        const uint32_t rest = index / token_tiles;
        row_tile = rest % args.row_blocks * kUnitTiles;
        split = rest / args.row_blocks;
        first_tile = split * args.tiles_per_split;
        end_tile = min(first_tile + args.tiles_per_split, args.w.k_tiles);
    }
};

// A stage of the pipeline, by its address, in its round.
template <uint32_t kStageBytes>
struct Place {
    uint32_t address;
    uint32_t parity;

    __device__ __forceinline__ Place() : address(shared_address(shared) + kTableBytes), parity(0) {}
    __device__ __forceinline__ void next(const GemmW4Sm90Args &args) {
        address += kStageBytes;
        if (address == shared_address(shared) + args.shared_bytes) {
            address = shared_address(shared) + kTableBytes;
            parity ^= 1;
        }
    }
};

// The first group of tile `k_tile`, which has kGroups of them.
template <int kGroups>
__device__ __forceinline__ uint32_t group_of(const W4Args &w, uint32_t k_tile) {
    return kGroups == 2 ? 2 * k_tile : __umulhi(2 * k_tile, w.group_magic);
}

// ---- Producers.

// What a lane copies of W: one row tile of a unit. Two lanes of each warp of producers have one.
template <Scales kScales, int kGroups>
struct RowTileSource {
    static constexpr uint32_t kScaleBytes = kTileRows * kGroups * (kScales == Scales::kNested ? 1 : sizeof(float));
    static constexpr uint32_t kZeroBytes = kScales == Scales::kZeros ? kTileRows * kGroups : 0;
    static constexpr uint32_t kLanes = kUnitTiles / (kProducers / 32);

    const uint8_t *codes;
    uint32_t first_scale;  // ops/w4.rs checks that 32 bits hold it
    uint32_t index;        // in the unit

    __device__ __forceinline__ RowTileSource(const W4Args &w, const Unit &unit) {
        const uint32_t thread = threadIdx.x % kProducers;
        index = thread / 32 * kLanes + thread % 32 % kLanes;
        const uint32_t row_tile = min(unit.row_tile + index, w.row_tiles - 1);
        codes = w.codes + static_cast<uint64_t>(row_tile) * w.k_tiles * kTileBytes;
        first_scale = row_tile * w.groups * kTileRows;
    }

    // Asks for what a tile has. The first thread of producers lets the stage wait for all of them.
    template <typename Layout>
    __device__ __forceinline__ void copy(const W4Args &w, uint32_t k_tile, uint32_t stage) const {
        const uint32_t full = stage + Layout::kFull;
        if (threadIdx.x % kProducers == 0)
            mbarrier_arrive_expect(full, kUnitTiles * (kTileBytes + kScaleBytes + kZeroBytes));
        if (threadIdx.x % 32 >= kLanes) return;
        bulk_copy(stage + Layout::kCodes + index * kTileBytes, codes + static_cast<uint64_t>(k_tile) * kTileBytes, kTileBytes,
                  full);
        const uint32_t first = first_scale + group_of<kGroups>(w, k_tile) * kTileRows;
        const void *scales = kScales == Scales::kNested ? static_cast<const void *>(w.nested_codes + first) : w.scales + first;
        bulk_copy(stage + Layout::kScales + index * kScaleBytes, scales, kScaleBytes, full);
        if (kZeroBytes > 0) bulk_copy(stage + Layout::kZeros + index * kZeroBytes, w.zeros + first, kZeroBytes, full);
    }
};

// Chunk `threadIdx.x % 8` of some rows of x, 16 rows apart.
template <typename T, int kTokens>
__device__ __forceinline__ void copy_x(const GemmW4Sm90Args &args, const Unit &unit, uint32_t k_tile, uint32_t stage) {
    const uint32_t thread = threadIdx.x % kProducers, chunk = thread % 8;
    const uint32_t k = k_tile * kTileCols + chunk * 8;
    const uint32_t count = k < args.w.k ? min(args.w.k - k, 8) : 0;
    const uint32_t first = thread / 8;
    uint32_t to = stage + first * 128 + ((chunk ^ first % 8) << 4);
    const T *from = static_cast<const T *>(args.x) + static_cast<uint64_t>(unit.token + first) * args.w.k + k;
    #pragma unroll
    for (uint32_t row = 0; row < kTokens; row += kProducers / 8) {
        const bool exists = count > 0 && unit.token + first + row < args.m;
        if (args.x_is_aligned) {
            cp_async_16(to, exists ? from : static_cast<const T *>(args.x), exists ? 2 * count : 0);
        } else {
            const uint4 bits = gather_vector<T>(from, 0, exists ? count : 0).bits;
            store_shared_16(to, {bits.x, bits.y, bits.z, bits.w});
        }
        to += kProducers / 8 * 128;
        from += static_cast<uint64_t>(kProducers / 8) * args.w.k;
    }
}

template <typename T, int kTokens, Scales kScales, int kGroups>
__device__ __forceinline__ void produce(const GemmW4Sm90Args &args) {
    using Layout = Stage<kTokens, kGroups>;
    const uint32_t lane = threadIdx.x % 32;
    Place<Layout::kBytes> place, behind;
    // The x of this warp in stage `behind` has come: says so.
    auto publish = [&] {
        fence_proxy_async();
        __syncwarp();
        if (lane == 0) mbarrier_arrive(behind.address + Layout::kFull);
        behind.next(args);
    };
    uint32_t under_way = 0;
    for (uint32_t index = blockIdx.x; index < args.units; index += gridDim.x) {
        const Unit unit(args, index, kTokens);
        const RowTileSource<kScales, kGroups> weights(args.w, unit);
        for (uint32_t tile = unit.first_tile; tile < unit.end_tile; ++tile) {
            mbarrier_wait(place.address + Layout::kEmpty, place.parity ^ 1);
            weights.template copy<Layout>(args.w, tile, place.address);
            copy_x<T, kTokens>(args, unit, tile, place.address);
            cp_async_commit();
            place.next(args);
            if (under_way < kLag) {
                ++under_way;
            } else {
                cp_async_wait<kLag>();
                publish();
            }
        }
    }
    cp_async_wait<0>();
    for (; under_way > 0; --under_way) publish();
}

// ---- Consumers.

// Where a lane has its part of a stage, from the beginning of it.
template <typename Layout, Scales kScales, int kGroups>
struct LaneParts {
    uint32_t table_column;  // in a row of the table
    uint32_t codes;
    uint32_t scales;  // of rows g and g + 8 in the first group
    uint32_t zeros;
    bool is_first;  // of the warp

    __device__ __forceinline__ LaneParts(uint32_t warp, uint32_t lane) {
        constexpr uint32_t kScaleBytes = kScales == Scales::kNested ? 1 : sizeof(float);
        const uint32_t pair = warp * kTileRows * kGroups + 2 * (lane / 4);
        table_column = used_here(4 * lane);
        codes = used_here(Layout::kCodes + warp * kTileBytes + 16 * lane);
        scales = used_here(Layout::kScales + pair * kScaleBytes);
        zeros = used_here(Layout::kZeros + pair);
        is_first = lane == 0;
    }
};

// What a lane has of a tile: the codes, and the zero points of rows g and g + 8 as pairs of the type of x.
template <Scales kScales, int kGroups>
struct Codes {
    uint32_t words[4];
    uint32_t zeros[kGroups][2];

    template <typename Parts>
    __device__ __forceinline__ void load(uint32_t table, uint32_t stage, const Parts &parts) {
        load_shared_16(words, stage + parts.codes);
        #pragma unroll
        for (int group = 0; kScales == Scales::kZeros && group < kGroups; ++group) {
            // z becomes the byte of the codes z, z.
            const uint32_t pair = load_shared_2(stage + parts.zeros + group * kTileRows) * 17;
            zeros[group][0] = load_shared_4(table + __byte_perm(pair, parts.table_column, 0x7704));
            zeros[group][1] = load_shared_4(table + __byte_perm(pair, parts.table_column, 0x7714));
        }
    }
};

template <typename T>
struct PairOf;
template <>
struct PairOf<__half> {
    using Type = __half2;
};
template <>
struct PairOf<__nv_bfloat16> {
    using Type = __nv_bfloat162;
};

// Pairs a - b.
template <typename T>
__device__ __forceinline__ uint32_t subtract(uint32_t a, uint32_t b) {
    using Pair = typename PairOf<T>::Type;
    const Pair difference = __hsub2(*reinterpret_cast<Pair *>(&a), *reinterpret_cast<Pair *>(&b));
    return *reinterpret_cast<const uint32_t *>(&difference);
}

// Operand A of 32 columns.
using Half = uint32_t[2][4];

template <typename T, Scales kScales, int kGroups>
__device__ __forceinline__ void decode_half(Half &a, const Codes<kScales, kGroups> &codes, int half, uint32_t table,
                                            uint32_t table_column) {
    decode_pairs(a[0], table, codes.words[2 * half], table_column);
    decode_pairs(a[1], table, codes.words[2 * half + 1], table_column);
    #pragma unroll
    for (int i = 0; kScales == Scales::kZeros && i < 8; ++i)
        a[i / 4][i % 4] = subtract<T>(a[i / 4][i % 4], codes.zeros[half % kGroups][i % 2]);
}

// Begins acc (+)= a * xᵀ over 32 columns.
template <typename T, int kTokens>
__device__ __forceinline__ void multiply_half(float (&acc)[kTokens / 2], Half &a, uint64_t x, bool add) {
    pin(a[0]);
    pin(a[1]);
    pin(acc);
    wgmma_fence();
    wgmma_registers<T, kTokens>(acc, a[0], x, add);
    wgmma_registers<T, kTokens>(acc, a[1], x + 2, 1);
    wgmma_commit();
}

// The scales of rows g and g + 8 of a group.
template <Scales kScales>
struct RowScales {
    float absmax[2];

    // Begins with what nested ones have in global memory. `rows` is the number of the first scale of each row.
    __device__ __forceinline__ RowScales(const W4Args &w, const uint32_t (&rows)[2], uint32_t group) {
        #pragma unroll
        for (int b = 0; kScales == Scales::kNested && b < 2; ++b)
            absmax[b] = __ldg(w.nested_absmax + (rows[b] + min(group, w.row_groups - 1)) / 256);
    }

    // The rest is at `from` in shared memory. Nested ones are rounded as the CPU rounds them.
    __device__ __forceinline__ float2 finish(const W4Args &w, uint32_t table, uint32_t from, uint32_t table_column) const {
        if (kScales != Scales::kNested) {
            const uint2 bits = load_shared_8(from);
            return make_float2(__uint_as_float(bits.x), __uint_as_float(bits.y));
        }
        const uint32_t codes = load_shared_2(from);
        float scale[2];
        #pragma unroll
        for (int b = 0; b < 2; ++b) {
            const uint32_t entry = __byte_perm(codes, table_column, b == 0 ? 0x7704 : 0x7714);
            const float value = __uint_as_float(load_shared_4(table + kTableGap + entry));
            scale[b] = __fadd_rn(__fmul_rn(value, absmax[b]), w.nested_offset);
        }
        return make_float2(scale[0], scale[1]);
    }
};

// total += scale * acc.
template <int kCount>
__device__ __forceinline__ void add_group(float (&totals)[kCount], float (&acc)[kCount], float2 scale) {
    #pragma unroll
    for (int i = 0; i < kCount; ++i) totals[i] = __fmaf_rn(i % 4 < 2 ? scale.x : scale.y, acc[i], totals[i]);
}

// Stores a warp's part of a unit: of rows g (`first_row`) and g + 8, tokens 2 t and 2 t + 1 of each eight.
template <typename T, int kTokens>
__device__ __forceinline__ void store_unit(const GemmW4Sm90Args &args, const Unit &unit, uint32_t first_row,
                                           uint32_t lane, const float (&totals)[kTokens / 2]) {
    #pragma unroll
    for (int b = 0; b < 2; ++b) {
        const uint32_t row = first_row + 8 * b;
        if (row >= args.w.n) continue;
        const float bias = args.bias != nullptr && args.partials == nullptr ? args.bias[row] : -0.0f;
        uint64_t place = static_cast<uint64_t>(unit.token + lane % 4 * 2) * args.w.n + row;
        if (args.partials != nullptr) place += static_cast<uint64_t>(unit.split) * args.m * args.w.n;
        #pragma unroll
        for (uint32_t token = 0; token < kTokens; token += 8) {
            #pragma unroll
            for (uint32_t i = 0; i < 2; ++i) {
                const float sum = __fadd_rn(totals[token / 2 + 2 * b + i], bias);
                if (unit.token + token + lane % 4 * 2 + i >= args.m) continue;
                const uint64_t at = place + static_cast<uint64_t>(token + i) * args.w.n;
                if (args.partials != nullptr)
                    args.partials[at] = sum;
                else
                    static_cast<T *>(args.y)[at] = narrow<T>(sum);
            }
        }
    }
}

// The groups along a unit's part of K, one tile after the other.
template <int kGroups>
struct GroupWalk {
    uint32_t group;  // the first of the tile
    uint32_t tiles_left;
    uint32_t tiles_per_group;

    __device__ __forceinline__ GroupWalk(const W4Args &w, uint32_t tile) {
        tiles_per_group = w.group_len / kTileCols;
        group = group_of<kGroups>(w, tile);
        tiles_left = kGroups == 2 ? 1 : (group + 1) * tiles_per_group - tile;
    }
    __device__ __forceinline__ bool ends() const { return kGroups == 2 || tiles_left == 1; }
    __device__ __forceinline__ void next() {
        if (kGroups == 2) {
            group += 2;
        } else if (--tiles_left == 0) {
            ++group;
            tiles_left = tiles_per_group;
        }
    }
};

// The sums of a unit: of a lane, those of rows g and g + 8 of its warp's row tile.
template <typename T, int kTokens, Scales kScales, int kGroups>
__device__ __forceinline__ void multiply_unit(float (&totals)[kTokens / 2], Place<Stage<kTokens, kGroups>::kBytes> &place,
                                              const GemmW4Sm90Args &args, const Unit &unit, uint32_t row,
                                              const LaneParts<Stage<kTokens, kGroups>, kScales, kGroups> &parts) {
    using Layout = Stage<kTokens, kGroups>;
    constexpr uint32_t kGroupBytes = kTileRows * (kScales == Scales::kNested ? 1 : sizeof(float));
    const uint32_t table = shared_address(shared);
    // ops/w4.rs checks that there are fewer than 2^32 scales. Rows and groups of padding have any.
    const uint32_t rows[2] = {used_here(min(row, args.w.n - 1) * args.w.row_groups),
                              used_here(min(row + 8, args.w.n - 1) * args.w.row_groups)};
    GroupWalk<kGroups> walk(args.w, unit.first_tile);
    float acc[kTokens / 2] = {};
    Codes<kScales, kGroups> codes;
    Half a[2];
    auto decode = [&](int half) { decode_half<T>(a[half], codes, half, table, parts.table_column); };
    auto add = [&](const RowScales<kScales> &scales, uint32_t from) {
        add_group(totals, acc, scales.finish(args.w, table, from, parts.table_column));
    };
    mbarrier_wait(place.address + Layout::kFull, place.parity);
    codes.load(table, place.address, parts);
    decode(0);
    bool adds = false;
    for (uint32_t tiles = unit.end_tile - unit.first_tile; tiles > 0; --tiles) {
        const uint32_t stage = place.address;
        const uint64_t x = swizzled_tile(stage);
        const RowScales<kScales> first(args.w, rows, walk.group), last(args.w, rows, walk.group + kGroups - 1);
        multiply_half<T, kTokens>(acc, a[0], x, adds);
        decode(1);
        if (kGroups == 2) {
            wgmma_wait<0>();
            pin(acc);
            add(first, stage + parts.scales);
        }
        multiply_half<T, kTokens>(acc, a[1], x + 4, kGroups == 1);

        place.next(args);
        if (tiles > 1) {
            mbarrier_wait(place.address + Layout::kFull, place.parity);
            codes.load(table, place.address, parts);
        }
        // The registers of the first half are free; after the last tile they are filled once more for nothing.
        wgmma_wait<1>();
        pin(a[0][0]);
        pin(a[0][1]);
        decode(0);
        wgmma_wait<0>();
        pin(acc);
        pin(a[1][0]);
        pin(a[1][1]);
        adds = !walk.ends() && tiles > 1;
        if (!adds) add(last, stage + parts.scales + (kGroups - 1) * kGroupBytes);
        walk.next();
        __syncwarp();
        if (parts.is_first) mbarrier_arrive(stage + Layout::kEmpty);
    }
}

template <typename T, int kTokens, Scales kScales, int kGroups>
__device__ __forceinline__ void consume(const GemmW4Sm90Args &args) {
    using Layout = Stage<kTokens, kGroups>;
    const uint32_t lane = threadIdx.x % 32;
    // From lane 0, so that the compiler knows it to be the same in all lanes.
    const uint32_t warp = __shfl_sync(0xffffffff, threadIdx.x / 32, 0);
    const LaneParts<Layout, kScales, kGroups> parts(warp, lane);
    Place<Layout::kBytes> place;
    for (uint32_t index = blockIdx.x; index < args.units; index += gridDim.x) {
        const Unit unit(args, index, kTokens);
        const uint32_t row = (unit.row_tile + warp) * kTileRows + lane / 4;
        float totals[kTokens / 2] = {};
        multiply_unit<T, kTokens, kScales, kGroups>(totals, place, args, unit, row, parts);
        store_unit<T, kTokens>(args, unit, row, lane, totals);
    }
}

// ---- Both.

// Fills the gaps of the table with the map of nested scales.
__device__ __forceinline__ void fill_map(const W4Args &w) {
    for (uint32_t i = threadIdx.x; i < 256 * 8; i += kThreads) {
        const float value = w.nested_map[i / 8];
        *reinterpret_cast<float4 *>(shared + i / 8 * kTableRow + kTableGap + i % 8 * 16) =
            make_float4(value, value, value, value);
    }
}

template <typename T, int kTokens, Scales kScales, int kGroups>
__device__ __forceinline__ void gemm(const GemmW4Sm90Args &args) {
    using Layout = Stage<kTokens, kGroups>;
    fill_pair_table<T>(shared, args.w);
    if (kScales == Scales::kNested) fill_map(args.w);
    if (threadIdx.x == 0) {
        for (Place<Layout::kBytes> place; place.parity == 0; place.next(args)) {
            mbarrier_init(place.address + Layout::kFull, kFullArrivals);
            mbarrier_init(place.address + Layout::kEmpty, kConsumerWarps);
        }
        fence_mbarrier_init();
    }
    __syncthreads();
    // 256 x 232 + 128 x 40 registers of 64 K.
    if (threadIdx.x >= 32 * kConsumerWarps) {
        give_registers<40>();
        produce<T, kTokens, kScales, kGroups>(args);
    } else {
        take_registers<232>();
        consume<T, kTokens, kScales, kGroups>(args);
    }
}

}  // namespace

#define KERNEL(symbol, ...)                                                                                       \
    extern "C" __global__ void __launch_bounds__(kThreads, 1) symbol(const __grid_constant__ GemmW4Sm90Args args) { \
        gemm<__VA_ARGS__>(args);                                                                                  \
    }
#define TOKENS(symbol, type, tokens)                             \
    KERNEL(symbol, type, tokens, Scales::kPlain, 1)              \
    KERNEL(symbol##_g32, type, tokens, Scales::kPlain, 2)        \
    KERNEL(symbol##_nested, type, tokens, Scales::kNested, 1)    \
    KERNEL(symbol##_nested_g32, type, tokens, Scales::kNested, 2) \
    KERNEL(symbol##_zeros, type, tokens, Scales::kZeros, 1)      \
    KERNEL(symbol##_zeros_g32, type, tokens, Scales::kZeros, 2)
#define KERNELS(symbol, type)         \
    TOKENS(symbol##_m16, type, 16)    \
    TOKENS(symbol##_m32, type, 32)    \
    TOKENS(symbol##_m64, type, 64)    \
    TOKENS(symbol##_m128, type, 128)

KERNELS(gemm_w4_sm90_f16, __half)
KERNELS(gemm_w4_sm90_bf16, __nv_bfloat16)
