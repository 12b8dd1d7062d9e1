// archs: 90a
// gemm_int8_sm90: y[M, N] of gemm_int8.cu, the same bits before the outliers, by wgmma of 8-bit codes.
//
// Computed as yᵀ = W * xᵀ: W [N, K] is operand A, 64 rows a warpgroup, x [M, K] operand B, 16 to 256 tokens. So few tokens
// multiply few zeros, and a kernel that decodes W into registers (where only A may be) has the same skeleton. Both operands lie
// in memory in the layout wgmma_w8 (wgmma_w8.cuh), K to 128 and rows to eights padded: what a tile needs of 128 of K is
// contiguous, swizzled as wgmma reads it, and comes by one bulk copy.
//
// gemm_int8_sm90_{f16,bf16}_m{16,64,128,192,256}          INT8, tiles of 128 rows of W (256 for 192 tokens) by so many tokens
// gemm_int8_sm90_{f16,bf16}_affine_m{16,64,128,192,256}   affine INT8: W unsigned
// With `partials` the sums of each part of K are stored, and gemm_int8_reduce of gemm_int8.cu finishes.
//
//   block: one a multiprocessor; for each unit of work (a tile of y by a part of K) of its own:
//     producer, 1 thread:    for each 128 of K: wait until its stage is empty; copy W and x there, counted at `full`
//     consumers, 2 x 4 warps: for each 128 of K: wait for `full`; 4 wgmma m64nTk32; then the stage before this one is empty
//                            sums -> scaled, outliers added by mma.m16n8k16, bias, one rounding, stored from registers
//
// Departures:
// 1. A stage is given back one step late, when its wgmma is known to be done, so that the next ones are queued behind it.
// 2. Each warp gives it back for itself: that its own part of a wgmma is done says nothing of the other warps.
// 3. The last tiles of M and N copy the eights of rows that exist. What the stage holds beyond are zeros or what another unit
//    left there: it multiplies into rows and tokens of y that are not stored.
// 4. Rows of W are in an order (place_of_w) that gives each thread neighbours in y: whole sectors of 32 bytes are stored.
#include "args.h"
#include "epilogue.cuh"
#include "int8.cuh"
#include "persistent_sm90.cuh"
#include "ptx_sm90.cuh"
#include "wgmma_w8.cuh"

namespace {

// Rows of W that the consumers multiply at once, 64 each.
constexpr uint32_t kBlockRows = 64 * kConsumers;

// `kBlocks` times those rows by `kTokens` of x.
template <uint32_t kBlocks_, int kTokens_, uint32_t kStages_>
struct TileShape {
    static constexpr uint32_t kBlocks = kBlocks_;
    static constexpr uint32_t kRows = kBlocks * kBlockRows;
    static constexpr int kTokens = kTokens_;
    static constexpr uint32_t kStages = kStages_;
    static constexpr uint32_t kBytesW = kRows * kTileK;
    static constexpr uint32_t kStageBytes = kBytesW + kTokens * kTileK;
};

template <typename Shape>
__device__ __forceinline__ void produce(const GemmInt8Sm90Args &args, Pipeline<Shape> pipeline) {
    const uint8_t *w = static_cast<const uint8_t *>(args.product.w);
    const uint8_t *x = reinterpret_cast<const uint8_t *>(args.product.x);
    for (uint32_t index = blockIdx.x; index < args.units; index += gridDim.x) {
        const Unit unit = unit_of<Shape>(args, index);
        const uint32_t row_atom = unit.row / 8, token_atom = unit.token / 8;
        const uint32_t bytes_w = min(Shape::kRows / 8, args.w_blocks - row_atom) * kAtomBytes;
        const uint32_t bytes_x = min(Shape::kTokens / 8, args.x_atoms - token_atom) * kAtomBytes;
        for (uint32_t k = unit.k_begin; k < unit.k_end; ++k) {
            const uint32_t full = pipeline.full(pipeline.stage);
            // The first time round all stages are empty: the phase before the first counts as over.
            mbarrier_wait(pipeline.empty(pipeline.stage), pipeline.parity ^ 1);
            mbarrier_arrive_expect(full, bytes_w + bytes_x);
            bulk_copy(pipeline.tile_w(), w + (uint64_t(k) * args.w_blocks + row_atom) * kAtomBytes, bytes_w, full);
            bulk_copy(pipeline.tile_x(), x + (uint64_t(k) * args.x_atoms + token_atom) * kAtomBytes, bytes_x, full);
            pipeline.advance();
        }
    }
}

// They begin as zeros rather than by a first wgmma that does not add: what that one reads would be 128 registers that nobody
// wrote, which the compiler keeps through the epilogue of the unit before.
//
// The epilogue below takes places of tokens one after the other, `used_here`: all of them computed first, as the compiler likes
// to, take more registers than 128 sums leave.
//
// What a thread holds of yᵀ: of eight tokens after the other, (row, token), (row, token + 1), (row + 1, token), (row + 1,
// token + 1), where `row` is even and place_of_w has put row + 1 eight rows further.
template <int kTokens, typename Sum>
using Sums = Sum[kTokens / 2];

// sums += W * xᵀ over the unit's part of K, for the 64 rows of `consumer` in each block.
template <typename Shape, typename W>
__device__ __forceinline__ void multiply(Sums<Shape::kTokens, int32_t> (&sums)[Shape::kBlocks], const Unit &unit, Pipeline<Shape> &pipeline,
                                         uint32_t consumer) {
    uint32_t before = 0;
    for (uint32_t k = unit.k_begin; k < unit.k_end; ++k) {
        mbarrier_wait(pipeline.full(pipeline.stage), pipeline.parity);
        const uint64_t w = swizzled_tile(pipeline.tile_w() + consumer * 64 * kTileK);
        const uint64_t x = swizzled_tile(pipeline.tile_x());
        wgmma_fence();
        #pragma unroll
        for (uint32_t step = 0; step < kTileK / 32; ++step) {
            #pragma unroll
            for (uint32_t block = 0; block < Shape::kBlocks; ++block) {
                const uint64_t own = w + block * (kBlockRows * kTileK / 16) + 2 * step;
                wgmma_shared<W, int8_t, Shape::kTokens>(sums[block], own, x + 2 * step, 1);
            }
        }
        wgmma_commit();
        wgmma_wait<1>();
        if (k > unit.k_begin && threadIdx.x % 32 == 0) mbarrier_arrive(pipeline.empty(before));
        before = pipeline.stage;
        pipeline.advance();
    }
    wgmma_wait<0>();
    #pragma unroll
    for (uint32_t block = 0; block < Shape::kBlocks; ++block) pin(sums[block]);
    if (threadIdx.x % 32 == 0) mbarrier_arrive(pipeline.empty(before));
}

// The thread's first row of W and token.
struct Place {
    uint32_t row;
    uint32_t token;

    __device__ __forceinline__ explicit Place(const Unit &unit)
        : row(unit.row + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 * 2), token(unit.token + threadIdx.x % 4 * 2) {}
};

template <bool kIsAffine, typename Shape>
__device__ __forceinline__ void scale_sums(Sums<Shape::kTokens, float> &values, const Sums<Shape::kTokens, int32_t> &sums,
                                           const Pipeline<Shape> &pipeline, const GemmInt8Args &args, const Unit &unit) {
    const Place place(unit);
    const ColumnScale rows[2] = {column_scale(args, place.row), column_scale(args, place.row + 1)};
    const uint32_t from = pipeline.scales() + 4 * (place.token - unit.token);
    #pragma unroll
    for (int i = 0; i < Shape::kTokens / 8; ++i) {
        const uint2 sum = kIsAffine ? load_shared_8(from + 4 * Shape::kTokens + 32 * i) : make_uint2(0, 0);
        const uint2 absmax = load_shared_8(from + 32 * i);
        const RowScale tokens[2] = {{__uint_as_float(absmax.x), sum.x}, {__uint_as_float(absmax.y), sum.y}};
        #pragma unroll
        for (int j = 0; j < 4; ++j)
            values[4 * i + j] = scaled(sums[4 * i + j], tokens[j % 2], rows[j / 2], args.factor);
    }
}

// Values `column`.. + 3 of a row of 16-bit values; zeros where there is no such row.
__device__ __forceinline__ uint2 load_factors(const void *matrix, uint32_t row, uint32_t rows, uint32_t ld, uint32_t column) {
    if (row >= rows) return make_uint2(0, 0);
    return *reinterpret_cast<const uint2 *>(static_cast<const uint16_t *>(matrix) + uint64_t(row) * ld + column);
}

// values += outlier_w * outlier_xᵀ, straight from memory: they are few, and in L1 or L2 after the first warp. Which columns of a
// step of 16 a thread takes does not matter, if it takes the same of both: four neighbours.
template <typename T, int kTokens>
__device__ __forceinline__ void add_outliers(Sums<kTokens, float> &values, const GemmInt8Args &args, const Unit &unit,
                                             uint32_t outliers) {
    const Place place(unit);
    const uint32_t lane = threadIdx.x % 32;
    const uint32_t first = place.token - lane % 4 * 2 + lane / 4;
    for (uint32_t step = 0; step < outliers; step += 16) {
        const uint32_t column = step + lane % 4 * 4;
        const uint2 low = load_factors(args.outlier_w, place.row, args.n, args.outlier_ld, column);
        const uint2 high = load_factors(args.outlier_w, place.row + 1, args.n, args.outlier_ld, column);
        const uint32_t w[4] = {low.x, high.x, low.y, high.y};
        uint32_t token = first;
        #pragma unroll
        for (int i = 0; i < kTokens / 8; ++i) {
            const uint2 x = load_factors(args.outlier_x, token, args.m, args.outlier_ld, column);
            token = used_here(token + 8);
            const uint32_t factor[2] = {x.x, x.y};
            float sum[4] = {values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]};
            mma_m16n8k16<T>(sum, w, factor);
            #pragma unroll
            for (int j = 0; j < 4; ++j) values[4 * i + j] = sum[j];
        }
    }
}

template <typename T>
struct alignas(2 * sizeof(T)) Two {
    T at[2];
};

// Stores two neighbours, `column` and the next of a row of `n`: both at once when `whole`, else those that exist.
template <typename T>
__device__ __forceinline__ void store_two(T *to, uint32_t column, uint32_t n, bool whole, T first, T second) {
    if (whole && column < n) {
        *reinterpret_cast<Two<T> *>(to) = {first, second};
        return;
    }
    if (column < n) to[0] = first;
    if (column + 1 < n) to[1] = second;
}

// Stores all that the thread holds to a matrix [M, N], each value made by `convert(value, 0 or 1: which row of W)`.
template <int kTokens, typename T, typename Sum, typename Convert>
__device__ __forceinline__ void store_all(T *to, const Sums<kTokens, Sum> &sums, const GemmInt8Args &args, bool whole,
                                          const Unit &unit, Convert convert) {
    const Place place(unit);
    to += uint64_t(place.token) * args.n + place.row;
    uint32_t token = place.token;
    #pragma unroll
    for (int i = 0; i < kTokens / 8; ++i) {
        #pragma unroll
        for (int j = 0; j < 2; ++j) {
            const T first = convert(sums[4 * i + j], 0), second = convert(sums[4 * i + 2 + j], 1);
            if (token + j < args.m) store_two(to, place.row, args.n, whole, first, second);
            to = used_here(to + uint64_t(j == 0 ? 1 : 7) * args.n);
        }
        token = used_here(token + 8);
    }
}

// How many columns of the unit's product are in floating point: those of all of K with its first part.
__device__ __forceinline__ uint32_t outlier_count(const GemmInt8Args &args, const Unit &unit) {
    return args.outlier_count && unit.split == 0 ? *args.outlier_count : 0;
}

// To the planes of a split K.
template <typename T, int kTokens>
__device__ __forceinline__ void finish_part(const Sums<kTokens, int32_t> &sums, const GemmInt8Args &args, const Unit &unit) {
    const bool whole = args.n % 2 == 0;
    int32_t *plane = args.partials + unit.split * (uint64_t(args.m) * args.n);
    store_all<kTokens>(plane, sums, args, whole, unit, [](int32_t sum, int) { return sum; });
    const uint32_t outliers = outlier_count(args, unit);
    if (outliers == 0) return;
    Sums<kTokens, float> values = {};
    add_outliers<T, kTokens>(values, args, unit, outliers);
    store_all<kTokens>(args.outlier_sums, values, args, whole, unit, [](float value, int) { return value; });
}

// From sums of products of codes to y, or to the planes of a split K.
template <typename T, bool kIsAffine, typename Shape>
__device__ __forceinline__ void finish(const Sums<Shape::kTokens, int32_t> &sums, const Pipeline<Shape> &pipeline,
                                       const GemmInt8Sm90Args &args, const Unit &unit) {
    const GemmInt8Args &product = args.product;
    if (product.partials) return finish_part<T, Shape::kTokens>(sums, product, unit);
    Sums<Shape::kTokens, float> values;
    scale_sums<kIsAffine, Shape>(values, sums, pipeline, product, unit);
    const uint32_t outliers = outlier_count(product, unit);
    if (outliers > 0) add_outliers<T, Shape::kTokens>(values, product, unit, outliers);
    const Four<float> bias = bias_of_four(product.bias, Place(unit).row, product.n);
    store_all<Shape::kTokens>(static_cast<T *>(product.y), values, product, args.whole_pairs, unit,
                              [&](float value, int row) { return round_to<T>(__fadd_rn(value, bias.at[row])); });
}

template <typename T, typename W, typename Shape>
__device__ __forceinline__ void gemm_int8_sm90(const GemmInt8Sm90Args &args) {
    extern __shared__ __align__(1024) uint8_t shared[];
    Pipeline<Shape> pipeline(shared);
    run_block<Shape>(
        args, pipeline,
        [&](const Pipeline<Shape> &at) { clear_rows<Shape::kRows>(at.tile_w(), args.w_blocks % (Shape::kRows / 8)); },
        [&] { produce(args, pipeline); },
        [&](const Unit &unit, uint32_t consumer) {
            Sums<Shape::kTokens, int32_t> sums[Shape::kBlocks] = {};
            multiply<Shape, W>(sums, unit, pipeline, consumer);
            Unit rows = unit;
            #pragma unroll
            for (uint32_t block = 0; block < Shape::kBlocks; ++block) {
                finish<T, (W(-1) > 0), Shape>(sums[block], pipeline, args, rows);
                rows.row += kBlockRows;
            }
        });
}

}  // namespace

// Four stages of 48 or 56 KB, six of 32, eight of 24, eight of 18: of the 227 KB of a block, and 144 to 224 KB under way.
#define KERNEL(name, T, W, blocks, tokens, stages)                                                                    \
    extern "C" __global__ void __launch_bounds__(kThreads, 1) name##_m##tokens(const __grid_constant__ GemmInt8Sm90Args args) { \
        gemm_int8_sm90<T, W, TileShape<blocks, tokens, stages>>(args);                                                 \
    }

#define KERNELS(name, T, W)          \
    KERNEL(name, T, W, 1, 16, 8)     \
    KERNEL(name, T, W, 1, 64, 8)     \
    KERNEL(name, T, W, 1, 128, 6)    \
    KERNEL(name, T, W, 1, 256, 4)    \
    KERNEL(name, T, W, 2, 192, 4)

KERNELS(gemm_int8_sm90_f16, __half, int8_t)
KERNELS(gemm_int8_sm90_f16_affine, __half, uint8_t)
KERNELS(gemm_int8_sm90_bf16, __nv_bfloat16, int8_t)
KERNELS(gemm_int8_sm90_bf16_affine, __nv_bfloat16, uint8_t)
