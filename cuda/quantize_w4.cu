// archs: 80 89 90a 100 120
//
// quantize_w4: NF4 and FP4 by blocks of the flattened matrix, as bitsandbytes does it (src/reference.rs, blockwise_ranks).
//
//   absmax[b]  = max |x| over block b; of a short last block at least 1e-38
//   s[i]       = x[i] * (1 / max(absmax, 1e-38)) in a full block, x[i] / max(absmax, 1e-38) in a short last one
//   code[i]    = the codebook's nearest to s[i]; a value on a midpoint goes down
//   codes      value 2j in the high half of byte j; an odd count is padded with the code of 0
//
// Double quantization (nest): offset = mean of the absmax values in f64, runs of 1024 and then their sums from left to
// right; absmax - offset to 8 bits with a map of 256 values, by the same rule in blocks of 256.
//
// The search. With s in -1..1, adding 1.5 * 2^19 rounded down leaves floor(16 s) in the low bits of the sum: a bucket that
// holds at most one midpoint. The bucket's entry, one shared-memory read, has the midpoint and the codes on both sides. Each
// lane has a copy of the table in banks of its own, so the 32 reads of a warp take two wavefronts, whatever the values.
//
// A block of threads goes over tiles of 4096 values, a multiple of every block size; a warp has 512 of them, a lane eight
// consecutive ones twice, so that its codes are one 4-byte store.

#include "args.h"
#include "ptx.cuh"
#include "values.cuh"

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr uint32_t kAllLanes = 0xffffffff;
constexpr int kEight = 8;                            // values that make one word of codes
constexpr int kSteps = 2;                            // such words a lane and tile
constexpr uint32_t kWarpValues = 32 * kEight * kSteps;
constexpr uint32_t kTile = kWarps * kWarpValues;     // 4096; src/cuda/ops/quantize_w4.rs has it too
constexpr uint32_t kBuckets = 48;
constexpr uint32_t kBucketBytes = 32 * sizeof(uint2);  // with every lane's copy
constexpr uint32_t kRun = 1024;                      // absmax values that are summed first
constexpr uint32_t kInfinity = 0x7f800000;
constexpr float kSmallestDivisor = 1e-38f;
// The bits of 1.5 * 2^19 less 17: what `floor(16 s)` is counted from, and the place of bucket 0.
constexpr float kFloorMagic = 786432.0f;
constexpr uint32_t kBucketZero = 0x49400000 - 17;

// The search table, replicated per lane: CodebookBucket as one 8-byte word.
struct Table {
    uint2 buckets[kBuckets][32];
};

__device__ __forceinline__ void fill(Table &table, const QuantizeW4Args &args) {
#pragma unroll 1
    for (uint32_t i = threadIdx.x; i < kBuckets * 32; i += kThreads) {
        const CodebookBucket &bucket = args.buckets[i / 32];
        table.buckets[i / 32][i % 32] = make_uint2(__float_as_uint(bucket.midpoint), bucket.codes);
    }
    __syncthreads();
}

// Where a lane's copy of the bucket of a sum with the bits 0 would be: one multiply-add away from every bucket.
__device__ __forceinline__ uint32_t lane_table(const Table &table) {
    return shared_address(&table.buckets[0][threadIdx.x % 32]) - kBucketZero * kBucketBytes;
}

// Appends the code of `scaled` to the eight in `word`, first to last from the top.
__device__ __forceinline__ uint32_t append_code(uint32_t table, uint32_t word, float scaled) {
    const uint2 entry = load_shared_8(table + __float_as_uint(__fadd_rd(scaled, kFloorMagic)) * kBucketBytes);
    const uint32_t codes = scaled > __uint_as_float(entry.x) ? entry.y << 4 : entry.y;
    return __funnelshift_l(codes, word, 4);
}

// Eight consecutive values, as they lie in memory.
template <typename T>
struct Eight {
    Vector<T> vectors[kEight / kVectorValues<T>];

    __device__ __forceinline__ float operator[](int i) const {
        return widen(vectors[i / kVectorValues<T>].values[i % kVectorValues<T>]);
    }
};

// Zeros from `count` on. `kWhole`: all eight are there, at a multiple of 16 bytes.
template <bool kWhole, typename T>
__device__ __forceinline__ Eight<T> load_eight(const T *x, uint64_t first, uint64_t count) {
    Eight<T> eight;
#pragma unroll
    for (int i = 0; i < kEight; i += kVectorValues<T>) {
        Vector<T> &vector = eight.vectors[i / kVectorValues<T>];
        if (kWhole) vector = load_vector(x + first + i);
        else vector = gather_vector(x, first + i, count);
    }
    return eight;
}

// The bits of the largest magnitude; of a NaN they are above all others'.
template <typename T>
__device__ __forceinline__ uint32_t absmax_bits(const Eight<T> &values) {
    uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < kEight; ++i) bits = max(bits, __float_as_uint(fabsf(values[i])));
    return bits;
}

// The maximum over `lanes` neighbouring lanes, a power of two.
__device__ __forceinline__ uint32_t reduce_lanes(uint32_t value, uint32_t lanes) {
    for (uint32_t offset = lanes / 2; offset > 0; offset /= 2) value = max(value, __shfl_xor_sync(kAllLanes, value, offset));
    return value;
}

// Turns each lane's maxima into those of the blocks that its values are in.
__device__ __forceinline__ void reduce_blocks(uint32_t (&bits)[kSteps], uint32_t log2_block, uint32_t (&warp_bits)[kWarps]) {
    const uint32_t block = 1u << log2_block, warp = threadIdx.x / 32;
    if (block < kWarpValues) {
#pragma unroll
        for (int step = 0; step < kSteps; ++step) bits[step] = reduce_lanes(bits[step], block / kEight);
        return;
    }
    bits[0] = reduce_lanes(max(bits[0], bits[1]), 32);
    if (block > kWarpValues) {
        __syncthreads();  // the tile before has been read
        if (threadIdx.x % 32 == 0) warp_bits[warp] = bits[0];
        __syncthreads();
        const uint32_t warps = block / kWarpValues, first = warp & ~(warps - 1);
#pragma unroll 1
        for (uint32_t i = 0; i < warps; ++i) bits[0] = max(bits[0], warp_bits[first + i]);
    }
    bits[1] = bits[0];
}

template <typename T>
__device__ __forceinline__ void report_nonfinite(uint64_t *index, const Eight<T> &values, uint64_t first) {
#pragma unroll
    for (int i = kEight - 1; i >= 0; --i)
        if (!(fabsf(values[i]) < INFINITY))
            atomicMin(reinterpret_cast<unsigned long long *>(index), static_cast<unsigned long long>(first + i));
}

// One tile. `kWhole`: it is full and x aligned.
template <bool kWhole, typename T>
__device__ __forceinline__ void quantize_tile(const QuantizeW4Args &args, uint32_t table, uint32_t (&warp_bits)[kWarps],
                                              uint64_t tile) {
    const uint64_t count = args.num_values, block = 1ull << args.log2_block;
    const uint64_t lane_first = tile * kTile + threadIdx.x / 32 * kWarpValues + threadIdx.x % 32 * kEight;
    const auto first_of = [&](int step) { return lane_first + step * 32 * kEight; };

    Eight<T> values[kSteps];
    uint32_t bits[kSteps];
#pragma unroll
    for (int step = 0; step < kSteps; ++step)
        values[step] = load_eight<kWhole>(static_cast<const T *>(args.x), first_of(step), count);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) bits[step] = absmax_bits(values[step]);
    reduce_blocks(bits, args.log2_block, warp_bits);

#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
        const uint64_t first = first_of(step), block_first = first & ~(block - 1);
        if (!kWhole && first >= count) return;
        if (bits[step] >= kInfinity) {
            // There will be no codes. A value that is not finite would have no bucket.
            report_nonfinite(args.first_nonfinite, values[step], first);
            if (first == block_first) args.absmax[first >> args.log2_block] = 0.0f;
            continue;
        }
        const bool is_short = !kWhole && block_first + block > count;
        const float absmax = __uint_as_float(bits[step]), divisor = fmaxf(absmax, kSmallestDivisor);
        const float reciprocal = __frcp_rn(divisor);
        uint32_t word = 0;
#pragma unroll
        for (int i = 0; i < kEight; ++i) {
            const float x = values[step][i];
            word = append_code(table, word, is_short ? __fdiv_rn(x, divisor) : __fmul_rn(x, reciprocal));
        }
        // The first code is at the top of the word and belongs into the first byte.
        reinterpret_cast<uint32_t *>(args.codes)[first / kEight] = __byte_perm(word, 0, 0x0123);
        if (first == block_first) args.absmax[first >> args.log2_block] = is_short ? divisor : absmax;
    }
}

template <typename T>
__device__ __forceinline__ void quantize(const QuantizeW4Args &args) {
    __shared__ Table table;
    __shared__ uint32_t warp_bits[kWarps];
    fill(table, args);
    const uint32_t lane = lane_table(table);
    for (uint64_t tile = blockIdx.x; tile * kTile < args.num_values; tile += gridDim.x) {
        if (args.is_aligned != 0 && (tile + 1) * kTile <= args.num_values)
            quantize_tile<true, T>(args, lane, warp_bits, tile);
        else
            quantize_tile<false, T>(args, lane, warp_bits, tile);
    }
}

// run_sums[r] = the sum of run r, from left to right: a warp stages the run, one lane adds.
__device__ __forceinline__ void sum_runs(const NestAbsmaxArgs &args) {
    __shared__ float staged[kWarps][kRun];
    const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint64_t run = static_cast<uint64_t>(blockIdx.x) * kWarps + warp, first = run * kRun;
    if (first >= args.count) return;
    const uint32_t length = args.count - first < kRun ? static_cast<uint32_t>(args.count - first) : kRun;
    for (uint32_t i = lane; i < length; i += 32) staged[warp][i] = args.absmax[first + i];
    __syncwarp();
    if (lane != 0) return;
    double sum = 0.0;
    for (uint32_t i = 0; i < length; ++i) sum += static_cast<double>(staged[warp][i]);
    args.run_sums[run] = sum;
}

// offset = the sum of the runs, from left to right, over the count. One block; one thread of it adds.
__device__ __forceinline__ void mean_of_runs(const NestAbsmaxArgs &args) {
    __shared__ double staged[kRun];
    const uint64_t runs = (args.count + kRun - 1) / kRun;
    double sum = 0.0;
    for (uint64_t first = 0; first < runs; first += kRun) {
        const uint32_t length = runs - first < kRun ? static_cast<uint32_t>(runs - first) : kRun;
        for (uint32_t i = threadIdx.x; i < length; i += kThreads) staged[i] = args.run_sums[first + i];
        __syncthreads();
        if (threadIdx.x == 0)
            for (uint32_t i = 0; i < length; ++i) sum += staged[i];
        __syncthreads();
    }
    if (threadIdx.x == 0) *args.offset = __double2float_rn(sum / static_cast<double>(args.count));
}

// How many of the 255 midpoints lie below `scaled`.
__device__ __forceinline__ uint32_t rank_of(const float (&midpoints)[256], float scaled) {
    uint32_t rank = 0;
#pragma unroll
    for (uint32_t step = 128; step > 0; step /= 2)
        if (scaled > midpoints[rank + step - 1]) rank += step;
    return rank;
}

// The codes of the centred absmax values: a block of threads for each block of 256.
__device__ __forceinline__ void nest_codes(const NestAbsmaxArgs &args) {
    static_assert(kThreads == 256, "a thread has one value, and one midpoint");
    __shared__ float midpoints[256];
    __shared__ uint32_t warp_bits[kWarps];
    const uint64_t block_first = static_cast<uint64_t>(blockIdx.x) * kThreads, i = block_first + threadIdx.x;
    midpoints[threadIdx.x] = args.midpoints[threadIdx.x];
    const float centred = i < args.count ? __fsub_rn(args.absmax[i], *args.offset) : 0.0f;
    uint32_t bits = reduce_lanes(__float_as_uint(fabsf(centred)), 32);
    if (threadIdx.x % 32 == 0) warp_bits[threadIdx.x / 32] = bits;
    __syncthreads();
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) bits = max(bits, warp_bits[warp]);

    if (i >= args.count) return;
    const float absmax = __uint_as_float(bits), divisor = fmaxf(absmax, kSmallestDivisor);
    const bool is_short = block_first + kThreads > args.count;
    const float scaled = is_short ? __fdiv_rn(centred, divisor) : __fmul_rn(centred, __frcp_rn(divisor));
    args.codes[i] = static_cast<uint8_t>(rank_of(midpoints, scaled));
    if (threadIdx.x == 0) args.nested_absmax[blockIdx.x] = absmax;
}

#define KERNEL(symbol, struct_name, body)                           \
    extern "C" __global__ void __launch_bounds__(kThreads)          \
        symbol(const __grid_constant__ struct_name args) {          \
        body(args);                                                 \
    }
KERNEL(quantize_w4_f32, QuantizeW4Args, quantize<float>)
KERNEL(quantize_w4_f16, QuantizeW4Args, quantize<__half>)
KERNEL(quantize_w4_bf16, QuantizeW4Args, quantize<__nv_bfloat16>)
KERNEL(quantize_w4_nest_sums, NestAbsmaxArgs, sum_runs)
KERNEL(quantize_w4_nest_mean, NestAbsmaxArgs, mean_of_runs)
KERNEL(quantize_w4_nest_codes, NestAbsmaxArgs, nest_codes)
