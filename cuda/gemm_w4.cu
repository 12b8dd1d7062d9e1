// archs: 80 89 90a 100 120
//
// gemm_w4: y[m][n] = sum_k x[m][k] * W[n][k] + bias[n] for any m, W in any 4-bit format with tiled scales.
//
//   w  W[N, K] in the layout mma_w4 (src/layout/mma_w4.rs)     x [m, K], y [m, N] f16 or bf16     bias f32[N] or null
//
// A block has 256 rows of W, 32 or 64 rows of x (tokens) and of K the tiles s * tiles_per_split .. of its split. A stage is two
// tiles of K: 16 KB of codes, their scales, and 8 or 16 KB of x. Warps are 4 below each other by 2 along K, one for each tile
// of a stage.
//
//   start copying stages - 1 stages; fill the table of pairs
//   for each stage:
//       wait for it; all threads meet; start copying what is stages - 1 further into the stage read last
//       for each group of the warp's tile, and each half of it where there are 64 tokens or groups of 32 columns:
//           a = codebook[codes] - zero for the 64 rows of the warp
//           for each 8 tokens:
//               acc = a * xᵀ by mma.m16n8k16, W as operand A, x as operand B
//               total += scale * acc
//   add the totals of the two halves of K; + bias; y, or a partial sum where K is split (gemm_dense_reduce adds them in order)
//
// The codebook is rounded to the type of x, exactly for integers. Only INT4 has zero points: codebook - zero is an integer of
// at most 255, which both types hold. Scales and sums are f32. The result does not depend on timing.
//
// Departures:
// 1. Four row tiles a warp, so that each x from shared memory is multiplied four times, leave no registers for sums of 64
//    columns beside the totals of 64 tokens. So a is decoded for all row tiles first, for 32 columns (64 where 32 tokens leave
//    more room), and sums live for eight tokens only.
// 2. Scales and zero points come with the stage, as they lie in memory. A lane makes those of two of the warp's 64 rows ready
//    for use; what it needs of its own rows comes by shuffle.
// 3. Codes of two stages lie in the gaps of the table.
// 4. Rows of x beyond m are the last row, row tiles beyond N the last tile: what comes of them is not stored. A tile beyond the
//    split's last is zeros.

#include "ptx.cuh"
#include "values.cuh"
#include "w4.cuh"
#include "w4_table.cuh"

constexpr int kThreads = 256;
constexpr int kRowWarps = 4;
constexpr int kParts = 2;
// Row tiles of a warp, and of a block.
constexpr int kWarpTiles = 4;
constexpr int kBlockTiles = kRowWarps * kWarpTiles;
constexpr uint32_t kLine = 128;
// The scales of a row tile in a group, and its zero points.
constexpr uint32_t kScaleBytes = kTileRows * (sizeof(float) + 1);
constexpr uint32_t kStageCodes = kParts * kBlockTiles * kTileBytes;
// Stages whose codes lie in the gaps of the table.
constexpr uint32_t kGapStages = 256 * kLine / kStageCodes;

extern __shared__ __align__(128) uint8_t shared[];

// What a block computes: the rows of x from `token` on, row tiles from `row_tile` on, tiles of K up to `end_tile`. Computed
// anew where it is used, which costs less than registers. Blocks that follow each other have the same codes.
struct Place {
    uint32_t token;
    uint32_t row_tile;
    uint32_t first_tile;
    uint32_t end_tile;

    __device__ __forceinline__ Place(const GemmW4Args &args, uint32_t tokens) {
        token = used_here(blockIdx.x) * tokens;
        row_tile = used_here(blockIdx.y) * kBlockTiles;
        first_tile = used_here(blockIdx.z) * args.tiles_per_split;
        end_tile = min(first_tile + args.tiles_per_split, args.w.k_tiles);
    }
};

// What a thread is, computed anew likewise: the row tile of the block where its warp begins, its warp's tile of a stage.
struct Lane {
    uint32_t lane;
    uint32_t first_row_tile;
    uint32_t part;

    __device__ __forceinline__ Lane() {
        const uint32_t thread = used_here(threadIdx.x);
        lane = thread % 32;
        first_row_tile = thread / 32 % kRowWarps * kWarpTiles;
        part = thread / 32 / kRowWarps;
    }
};

// Where the codes of a stage are: lines of 128 bytes, four to a tile, the tiles of the first part of K first.
struct CodeLines {
    uint32_t first;
    uint32_t stride;

    __device__ __forceinline__ CodeLines(const GemmW4Args &args, uint32_t stage) {
        const bool in_gaps = stage < kGapStages;
        stride = in_gaps ? kTableRow : kLine;
        first = in_gaps ? kTableGap + stage * (kStageCodes / kLine * kTableRow)
                        : args.codes_offset + (stage - kGapStages) * kStageCodes;
    }

    __device__ __forceinline__ uint32_t at(uint32_t part, uint32_t tile, uint32_t lane) const {
        return first + ((part * kBlockTiles + tile) * 4 + lane / 8) * stride + lane % 8 * 16;
    }
};

// The codes of two or four steps of k16.
template <int kSteps>
__device__ __forceinline__ void load_words(uint32_t (&words)[4], uint32_t from) {
    if (kSteps == 4) {
        load_shared_16(words, from);
    } else {
        const uint2 two = load_shared_8(from);
        words[0] = two.x, words[1] = two.y;
    }
}

// Where the scales of a row tile of a stage are, as they lie in memory: 16 of f32 or 16 codes, then 16 zero points; the same of
// the second half where groups have 32 columns.
template <int kHalves>
__device__ __forceinline__ uint32_t scales_at(const GemmW4Args &args, uint32_t stage, uint32_t part, uint32_t tile) {
    return args.scales_offset + ((stage * kParts + part) * kBlockTiles + tile) * (kHalves * kScaleBytes);
}

// Starts copying the codes of two tiles of K from `tile` on, zeros beyond the last.
__device__ __forceinline__ void start_codes(const GemmW4Args &args, const Place &place, uint32_t base, uint32_t stage,
                                            uint32_t tile) {
    const uint32_t thread = used_here(threadIdx.x), part = thread % 64 / 32, lane = thread % 32;
    const bool exists = tile + part < place.end_tile;
    const uint8_t *first = args.w.codes + (tile + (exists ? part : 0)) * kTileBytes + lane * 16;
    const uint32_t row_tile = place.row_tile + thread / 64, row_tile_bytes = args.w.k_tiles * kTileBytes;
    const CodeLines lines(args, stage);
    const uint32_t to = base + lines.at(part, thread / 64, lane);
    #pragma unroll
    for (uint32_t i = 0; i < kBlockTiles; i += kThreads / 64) {
        const uint64_t from = uint64_t(min(row_tile + i, args.w.row_tiles - 1)) * row_tile_bytes;
        cp_async_16(to + i * 4 * lines.stride, first + from, exists ? 16 : 0);
    }
}

// Starts copying the scales and zero points of two tiles of K from `tile` on: one group of each row tile, or two of 32 columns.
template <bool kZeros, int kHalves>
__device__ __forceinline__ void start_scales(const GemmW4Args &args, const Place &place, uint32_t base, uint32_t stage,
                                             uint32_t tile) {
    const W4Args &w = args.w;
    const uint32_t thread = used_here(threadIdx.x), half = thread / 128, part = thread / 64 % 2, chunk = thread % 4;
    const bool has_halves = kHalves == 2 && w.group_magic == 0;
    if (half > has_halves) return;
    const uint32_t bytes = tile + part < place.end_tile ? 16 : 0;
    const uint32_t within = thread / 4 % kBlockTiles, own = bytes == 0 ? tile : tile + part;
    const uint32_t row_tile = min(place.row_tile + within, w.row_tiles - 1);
    const uint32_t group = has_halves ? 2 * own + half : __umulhi(2 * own, w.group_magic);
    // ops/w4.rs checks that 32 bits hold it.
    const uint32_t index = (row_tile * w.groups + group) * kTileRows;
    const uint32_t to = base + scales_at<kHalves>(args, stage, part, within) + half * kScaleBytes;
    if (kZeros || w.scales != nullptr)
        cp_async_16(to + 16 * chunk, w.scales + index + 4 * chunk, bytes);
    else if (chunk == 0)
        cp_async_16(to, w.nested_codes + index, bytes);
    if (kZeros && chunk == 0) cp_async_16(to + kTileRows * sizeof(float), w.zeros + index, bytes);
}

// Starts copying x for two tiles of K from `tile` on, zeros beyond K. A line is a token's 64 values; chunk c of 16 bytes lies at
// c ^ (token % 8), so that the eight rows of one part of ldmatrix lie in different banks.
template <typename T, int kTokens>
__device__ __forceinline__ void start_x(const GemmW4Args &args, const Place &place, uint32_t base, uint32_t tile) {
    constexpr uint32_t kStep = kThreads / 16;
    const uint32_t thread = used_here(threadIdx.x), part = thread % 16 / 8, chunk = thread % 8, row = thread / 16;
    const uint32_t k = (tile + part) * kTileCols + chunk * 8;
    const uint32_t count = tile + part < place.end_tile && k < args.w.k ? min(args.w.k - k, 8) : 0;
    const T *first = static_cast<const T *>(args.x) + (count == 0 ? 0 : k);
    const uint32_t token = place.token + row, last = args.m - 1;
    const uint32_t to = base + (part * kTokens + row) * kLine + ((chunk ^ row % 8) << 4);
    if (args.x_is_aligned) {
        #pragma unroll
        for (uint32_t i = 0; i < kTokens; i += kStep)
            cp_async_16(to + i * kLine, first + uint64_t(min(token + i, last)) * args.w.k, 2 * count);
        return;
    }
    #pragma unroll 1
    for (uint32_t i = 0; i < kTokens; i += kStep) {
        const Vector<T> vector = gather_vector(first + uint64_t(min(token + i, last)) * args.w.k, 0, count);
        const uint32_t words[4] = {vector.bits.x, vector.bits.y, vector.bits.z, vector.bits.w};
        store_shared_16(to + i * kLine, words);
    }
}

// Waits until the oldest of `stages` - 1 stages has arrived.
__device__ __forceinline__ void wait_for_stage(uint32_t stages) {
    switch (stages) {
        case 2: cp_async_wait<0>(); break;
        case 3: cp_async_wait<1>(); break;
        case 4: cp_async_wait<2>(); break;
        case 5: cp_async_wait<3>(); break;
        default: cp_async_wait<4>(); break;
    }
}

// Scales and zero points of the warp's 64 rows in a group: register r of a lane has the row tile 2 r + lane / 16 of the warp
// and of it row e / 2 + e % 2 * 8, e = lane % 16.
struct LaneScales {
    float scale[2];
    uint32_t zero[2];  // minus the zero point, twice, of the kernel's type
};

// `tile` is that of K, `half` the half of it. Nested scales are rounded as the CPU rounds them; their absmax values, one for 256
// groups of a row, are in L1 all along.
template <typename T, bool kZeros, int kHalves>
__device__ __forceinline__ LaneScales lane_scales(const GemmW4Args &args, uint32_t stage, uint32_t tile, uint32_t half) {
    const W4Args &w = args.w;
    const Lane at;
    const bool has_halves = kHalves == 2 && w.group_magic == 0;
    const uint32_t within = at.first_row_tile + at.lane / 16, element = at.lane % 16;
    const uint8_t *from = shared + scales_at<kHalves>(args, stage, at.part, within) + (has_halves ? half * kScaleBytes : 0);
    LaneScales scales;
    #pragma unroll
    for (int r = 0; r < 2; ++r) {
        const uint8_t *own = from + r * (2 * kHalves * kScaleBytes);
        if (kZeros || w.scales != nullptr) {
            scales.scale[r] = reinterpret_cast<const float *>(own)[element];
        } else {
            const uint32_t row_tile = used_here(blockIdx.y) * kBlockTiles + within + 2 * r;
            const uint32_t row = min(row_tile * kTileRows + element / 2 + element % 2 * 8, w.n - 1);
            const uint32_t group = has_halves ? 2 * tile + half : __umulhi(2 * tile, w.group_magic);
            // ops/w4.rs checks that there are fewer than 2^32 scales.
            const float absmax = w.nested_absmax[(row * w.row_groups + min(group, w.row_groups - 1)) / 256];
            const float value = reinterpret_cast<const float *>(shared + args.map_offset)[own[element]];
            scales.scale[r] = __fadd_rn(__fmul_rn(value, absmax), w.nested_offset);
        }
        if (kZeros) {
            const float zero = w.zero_shift - static_cast<float>(own[kTileRows * sizeof(float) + element]);
            scales.zero[r] = pair_bits<T>(zero, zero);
        }
    }
    return scales;
}

// a + b, two values in each.
__device__ __forceinline__ uint32_t add_pairs(uint32_t a, uint32_t b, __half) {
    const __half2 sum = __hadd2(*reinterpret_cast<__half2 *>(&a), *reinterpret_cast<__half2 *>(&b));
    return *reinterpret_cast<const uint32_t *>(&sum);
}
__device__ __forceinline__ uint32_t add_pairs(uint32_t a, uint32_t b, __nv_bfloat16) {
    const __nv_bfloat162 sum = __hadd2(*reinterpret_cast<__nv_bfloat162 *>(&a), *reinterpret_cast<__nv_bfloat162 *>(&b));
    return *reinterpret_cast<const uint32_t *>(&sum);
}

// Sums over K: [row tile of the warp][eight tokens][rows g, g, g + 8, g + 8 and tokens 2 t, 2 t + 1, 2 t, 2 t + 1].
template <int kEights>
using Totals = float[kWarpTiles][kEights][4];

// The lane that has what lanes of rows g and g + 8 (b = 0, 1) of row tile i need of `LaneScales`, in register i / 2.
__device__ __forceinline__ uint32_t lane_of(uint32_t lane, int i, int b) { return i % 2 * 16 + lane / 4 * 2 + b; }

// Operand A of the warp's row tiles, codebook - zero, for as many steps of k16 as there are words.
template <typename T, bool kZeros, int kSteps>
__device__ __forceinline__ void decode_tiles(uint32_t (&a)[kWarpTiles][kSteps][4], const uint32_t (&words)[kWarpTiles][4],
                                             const LaneScales &scales, uint32_t table, uint32_t lane) {
    #pragma unroll
    for (int i = 0; i < kWarpTiles; ++i) {
        uint32_t zero[2] = {};
        #pragma unroll
        for (int b = 0; kZeros && b < 2; ++b) zero[b] = __shfl_sync(0xffffffff, scales.zero[i / 2], lane_of(lane, i, b));
        #pragma unroll
        for (int step = 0; step < kSteps; ++step) {
            decode_pairs(a[i][step], table, words[i][step], 4 * lane);
            #pragma unroll
            for (int j = 0; kZeros && j < 4; ++j) a[i][step][j] = add_pairs(a[i][step][j], zero[j % 2], T());
        }
    }
}

// totals += scale * (a * xᵀ). `x`: the lane's row of ldmatrix, for the first 32 columns; the next 32 are at x ^ 64.
template <typename T, int kSteps, int kEights>
__device__ __forceinline__ void multiply_tokens(Totals<kEights> &totals, const uint32_t (&a)[kWarpTiles][kSteps][4],
                                                const float (&scale)[kWarpTiles][2], uint32_t x) {
    uint32_t columns[kEights][kSteps / 2][4];
    auto load = [&](int e) {
        // No load moves across it: all of x at once would find no registers.
        __syncwarp();
        #pragma unroll
        for (int j = 0; j < kSteps / 2; ++j) ldmatrix_x4(columns[e][j], (x ^ (64 * j)) + e * 8 * kLine);
    };
    load(0);
    #pragma unroll
    for (int e = 0; e < kEights; ++e) {
        if (e + 1 < kEights) load(e + 1);
        float acc[kWarpTiles][4];
        #pragma unroll
        for (int step = 0; step < kSteps; ++step) {
            const uint32_t(&column)[4] = columns[e][step / 2];
            const uint32_t b[2] = {column[step % 2 * 2], column[step % 2 * 2 + 1]};
            #pragma unroll
            for (int i = 0; i < kWarpTiles; ++i) {
                if (step == 0)
                    mma_m16n8k16_first<T>(acc[i], a[i][step], b);
                else
                    mma_m16n8k16<T>(acc[i], a[i][step], b);
            }
        }
        #pragma unroll
        for (int i = 0; i < kWarpTiles; ++i)
            #pragma unroll
            for (int j = 0; j < 4; ++j) totals[i][e][j] = __fmaf_rn(scale[i][j / 2], acc[i][j], totals[i][e][j]);
    }
}

// The warp's tile of stage `stage`, which begins with tile `tile` of K.
template <typename T, bool kZeros, int kHalves, int kEights>
__device__ __forceinline__ void multiply_tile(Totals<kEights> &totals, const GemmW4Args &args, uint32_t base, uint32_t stage,
                                              uint32_t tile) {
    constexpr int kSteps = 4 / kHalves;  // of k16
    constexpr int kTokens = 8 * kEights;
    const Lane at;
    // Matrix i of ldmatrix is chunk i of a token's line, or 4 + i.
    const uint32_t x = base + kTableBytes + ((stage * kParts + at.part) * kTokens + at.lane % 8) * kLine +
                       ((at.lane / 8 ^ at.lane % 8) << 4);
    const CodeLines lines(args, stage);
    const uint32_t codes = base + lines.at(at.part, at.first_row_tile, at.lane);
    // Beside the totals of 64 tokens, what the second half needs finds no registers during the first.
    #pragma unroll(kEights == 8 ? 1 : kHalves)
    for (int half = 0; half < kHalves; ++half) {
        uint32_t words[kWarpTiles][4];
        #pragma unroll
        for (int i = 0; i < kWarpTiles; ++i) load_words<kSteps>(words[i], codes + i * 4 * lines.stride + 8 * half);
        const LaneScales scales = lane_scales<T, kZeros, kHalves>(args, stage, tile + at.part, half);
        uint32_t a[kWarpTiles][kSteps][4];
        decode_tiles<T, kZeros, kSteps>(a, words, scales, base, at.lane);
        float scale[kWarpTiles][2];
        #pragma unroll
        for (int i = 0; i < kWarpTiles; ++i)
            #pragma unroll
            for (int b = 0; b < 2; ++b) scale[i][b] = __shfl_sync(0xffffffff, scales.scale[i / 2], lane_of(at.lane, i, b));
        multiply_tokens<T, kSteps, kEights>(totals, a, scale, x ^ (64 * half));
    }
}

// Adds the totals of the two parts of K and stores them: each part those of half of the tokens.
template <typename T, int kEights>
__device__ __forceinline__ void finish(const GemmW4Args &args, const Totals<kEights> &totals) {
    constexpr int kHalf = kEights / 2;
    const Place place(args, 8 * kEights);
    const Lane at;
    const uint32_t lane = at.lane, part = at.part;
    // [row tile][part that takes it][eight tokens][4][lane], over table and stages.
    auto slot = [&](uint32_t of, int i, int e, int j) -> float & {
        const uint32_t row = (((at.first_row_tile + i) * kParts + of) * kHalf + e) * 4 + j;
        return reinterpret_cast<float *>(shared)[row * 32 + lane];
    };
    __syncthreads();
    #pragma unroll
    for (int i = 0; i < kWarpTiles; ++i)
        #pragma unroll
        for (int e = 0; e < kHalf; ++e)
            #pragma unroll
            for (int j = 0; j < 4; ++j) slot(1 - part, i, e, j) = part == 0 ? totals[i][e + kHalf][j] : totals[i][e][j];
    __syncthreads();

    float *partials = args.partials == nullptr ? nullptr : args.partials + uint64_t(used_here(blockIdx.z)) * args.m * args.w.n;
    #pragma unroll
    for (int i = 0; i < kWarpTiles; ++i) {
        #pragma unroll
        for (int b = 0; b < 2; ++b) {
            const uint32_t row = (place.row_tile + at.first_row_tile + i) * kTileRows + lane / 4 + 8 * b;
            if (row >= args.w.n) continue;
            const float bias = partials == nullptr && args.bias != nullptr ? args.bias[row] : -0.0f;
            #pragma unroll
            for (int e = 0; e < kHalf; ++e) {
                #pragma unroll
                for (int c = 0; c < 2; ++c) {
                    const uint32_t token = place.token + (part * kHalf + e) * 8 + lane % 4 * 2 + c;
                    if (token >= args.m) continue;
                    const int j = 2 * b + c;
                    const float own = part == 0 ? totals[i][e][j] : totals[i][e + kHalf][j];
                    const float sum = own + slot(part, i, e, j);
                    const uint64_t to = uint64_t(token) * args.w.n + row;
                    if (partials != nullptr)
                        partials[to] = sum;
                    else
                        static_cast<T *>(args.y)[to] = narrow<T>(sum + bias);
                }
            }
        }
    }
}

template <typename T, bool kZeros, int kHalves, int kEights>
__device__ __forceinline__ void gemm(const GemmW4Args &args) {
    constexpr int kTokens = 8 * kEights;
    constexpr uint32_t kStageX = kParts * kTokens * kLine;
    const uint32_t base = shared_address(shared);

    // Stage `stage` of the ring gets the tiles `tile` and `tile` + 1.
    auto start = [&](uint32_t stage, uint32_t tile) {
        const Place place(args, kTokens);
        if (tile < place.end_tile) {
            start_codes(args, place, base, stage, tile);
            start_scales<kZeros, kHalves>(args, place, base, stage, tile);
            start_x<T, kTokens>(args, place, base + kTableBytes + stage * kStageX, tile);
        }
        cp_async_commit();
    };
    uint32_t tile = Place(args, kTokens).first_tile;
    for (uint32_t s = 0; s < args.stages - 1; ++s) start(s, tile + s * kParts);
    fill_pair_table<T>(shared, args.w);
    if (!kZeros && args.w.scales == nullptr)
        reinterpret_cast<float *>(shared + args.map_offset)[threadIdx.x] = args.w.nested_map[threadIdx.x];

    Totals<kEights> totals = {};
    for (uint32_t stage = 0; tile < Place(args, kTokens).end_tile; tile += kParts) {
        wait_for_stage(args.stages);
        __syncthreads();
        start(stage == 0 ? args.stages - 1 : stage - 1, tile + (args.stages - 1) * kParts);
        multiply_tile<T, kZeros, kHalves, kEights>(totals, args, base, stage, tile);
        stage = stage == args.stages - 1 ? 0 : stage + 1;
    }
    finish<T, kEights>(args, totals);
}

#define KERNEL(symbol, ...)                                                                                      \
    extern "C" __global__ void __launch_bounds__(kThreads, 1) symbol(const __grid_constant__ GemmW4Args args) { \
        gemm<__VA_ARGS__>(args);                                                                                 \
    }
#define KERNELS(suffix, T)                                         \
    KERNEL(gemm_w4_##suffix##_m32, T, false, 1, 4)                 \
    KERNEL(gemm_w4_##suffix##_g32_m32, T, false, 2, 4)             \
    KERNEL(gemm_w4_##suffix##_zeros_m32, T, true, 1, 4)            \
    KERNEL(gemm_w4_##suffix##_zeros_g32_m32, T, true, 2, 4)        \
    KERNEL(gemm_w4_##suffix##_m64, T, false, 2, 8)                 \
    KERNEL(gemm_w4_##suffix##_zeros_m64, T, true, 2, 8)

KERNELS(f16, __half)
KERNELS(bf16, __nv_bfloat16)
