// archs: 80 89 90a 100 120
//
// quantize_int8: rows of x [M, K] to i8 codes, as LLM.int8() rounds them (src/reference.rs, quantize_rows and int8_code).
//
//   absmax[m]  = max over k of |x[m, k]|, outliers (|x| >= threshold) and NaN not counted
//   code[m, k] = clamp(round_half_even(x * ((1 / absmax) * max_code)), -max_code, max_code), 0 for a NaN
//   absmax[m]  = NaN where row m has a NaN or infinity, after its codes are made
//
// rows, short        One pass: codes, absmax, sums of codes, and the columns that have an outlier, flagged.
//                    rows: 256 threads a row; short: a warp a row, 8 rows a block.
// outliers           For the flagged columns: their list in ascending order, zeros instead of their codes, and x and
//                    dequantized W of these columns, gathered.
// tensor             The largest magnitude of a whole tensor, for one absmax that all rows share.
// dequant_rows_int8  x' f32 [M, K] = an outlier's column ? x : code * (absmax / max_code).
//
// Codes are row-major, or in the tiles of wgmma_w8.cuh, padded with zeros.
//
// Nothing here waits for the host: how many columns there are is known on the device alone.

#include "args.h"
#include "values.cuh"
#include "w8.cuh"

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kMinBlocks = 2;  // leaves 128 registers a thread: without it ptxas spills at 80
constexpr uint32_t kAllLanes = 0xffffffff;
// Vectors of a row that a thread keeps between the pass for the absmax and that for the codes: rows of up to
// kThreads * kHeld * 16 bytes (16,384 values of 16 bits) are read once, the rest of a longer one again, from L2.
constexpr int kHeld = 8;
// Columns and rows of one block of `outliers`; src/cuda/ops/quantize_int8.rs has both numbers too.
constexpr uint32_t kSliceColumns = 256;
constexpr uint32_t kSliceRows = 512;

// What a row, or a thread's part of it, holds.
struct RowRange {
    float absmax;
    bool is_finite;
};

__device__ __forceinline__ RowRange combine(RowRange a, RowRange b) {
    return {fmaxf(a.absmax, b.absmax), a.is_finite && b.is_finite};
}

__device__ __forceinline__ RowRange reduce_warp(RowRange range) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2)
        range.absmax = fmaxf(range.absmax, __shfl_xor_sync(kAllLanes, range.absmax, offset));
    range.is_finite = __all_sync(kAllLanes, range.is_finite);
    return range;
}

__device__ __forceinline__ int32_t reduce_warp(int32_t sum) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(kAllLanes, sum, offset);
    return sum;
}

// The combination over all threads of a row: of a warp, or of the block.
template <int kRowThreads>
__device__ __forceinline__ RowRange reduce_row(RowRange range) {
    range = reduce_warp(range);
    if constexpr (kRowThreads > 32) {
        __shared__ RowRange parts[kWarps];
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = range;
        __syncthreads();
        range = parts[0];
#pragma unroll
        for (int warp = 1; warp < kWarps; ++warp) range = combine(range, parts[warp]);
    }
    return range;
}

template <int kRowThreads>
__device__ __forceinline__ int32_t reduce_row(int32_t sum) {
    sum = reduce_warp(sum);
    if constexpr (kRowThreads > 32) {
        __shared__ int32_t parts[kWarps];
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
        __syncthreads();
        sum = 0;
#pragma unroll
        for (int warp = 0; warp < kWarps; ++warp) sum += parts[warp];
    }
    return sum;
}

// One row, as one of its threads sees it.
template <typename T>
struct Row {
    const QuantizeRowsArgs &args;
    const T *x;
    uint64_t index;
    uint32_t lane;

    // Where the code of column `col` goes, and those of the rest of its 16 bytes after it.
    __device__ __forceinline__ int8_t *code(uint32_t col) const {
        return args.codes + (is_tiled(args.row_atoms) ? tiled_offset(index, col, args.row_atoms) : index * args.k + col);
    }
};

// Takes a magnitude into `range`, and flags its column when it is an outlier.
__device__ __forceinline__ void scan_value(const QuantizeRowsArgs &args, float magnitude, uint32_t col, RowRange &range) {
    const bool is_outlier = magnitude >= args.threshold;
    if (is_outlier && args.flags != nullptr) args.flags[col] = 1;
    if (!is_outlier) range.absmax = fmaxf(range.absmax, magnitude);
}

template <typename T>
__device__ __forceinline__ void scan_vector(const QuantizeRowsArgs &args, const Vector<T> &vector, uint32_t col,
                                            RowRange &range) {
    float absmax = 0.0f;
#pragma unroll
    for (int i = 0; i < kVectorValues<T>; ++i) {
        const float magnitude = fabsf(widen(vector.values[i]));
        range.is_finite = range.is_finite && magnitude < INFINITY;
        absmax = fmaxf(absmax, magnitude);
    }
    if (absmax >= args.threshold) {
#pragma unroll
        for (int i = 0; i < kVectorValues<T>; ++i) scan_value(args, fabsf(widen(vector.values[i])), col + i, range);
    } else {
        range.absmax = fmaxf(range.absmax, absmax);
    }
}

// A NaN converts to 0; beyond the range the conversion saturates, so that the clamp sees the right sign.
__device__ __forceinline__ int32_t code_of(float x, float factor, int32_t max_code) {
    return min(max(__float2int_rn(__fmul_rn(x, factor)), -max_code), max_code);
}

// Stores the codes of a vector at `to` and returns their sum.
template <typename T>
__device__ __forceinline__ int32_t encode_vector(const Vector<T> &vector, float factor, int32_t max_code, int8_t *to) {
    constexpr int kVector = kVectorValues<T>;
    uint32_t words[kVector / 4] = {};
    int32_t sum = 0;
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
        const int32_t code = code_of(widen(vector.values[i]), factor, max_code);
        sum += code;
        words[i / 4] |= (static_cast<uint32_t>(code) & 0xff) << (8 * (i % 4));
    }
    if constexpr (kVector == 8) *reinterpret_cast<uint2 *>(to) = make_uint2(words[0], words[1]);
    else *reinterpret_cast<uint32_t *>(to) = words[0];
    return sum;
}

// The row by vectors: the first kHeld of each thread stay in its registers.
template <typename T, int kRowThreads>
struct ByVectors {
    static constexpr uint32_t kVector = kVectorValues<T>, kStride = kRowThreads * kVector;
    Vector<T> held[kHeld];

    __device__ __forceinline__ RowRange scan(const Row<T> &row) {
        const uint32_t first = row.lane * kVector, k = row.args.k;
        RowRange range = {0.0f, true};
#pragma unroll
        for (int i = 0; i < kHeld; ++i)
            if (first + i * kStride < k) held[i] = load_vector(row.x + first + i * kStride);
#pragma unroll
        for (int i = 0; i < kHeld; ++i)
            if (first + i * kStride < k) scan_vector(row.args, held[i], first + i * kStride, range);
        for (uint32_t col = first + kHeld * kStride; col < k; col += kStride)
            scan_vector(row.args, load_vector(row.x + col), col, range);
        return range;
    }

    __device__ __forceinline__ int32_t encode(const Row<T> &row, float factor, int32_t max_code) const {
        const uint32_t first = row.lane * kVector, k = row.args.k;
        int32_t sum = 0;
#pragma unroll
        for (int i = 0; i < kHeld; ++i)
            if (first + i * kStride < k)
                sum += encode_vector(held[i], factor, max_code, row.code(first + i * kStride));
        for (uint32_t col = first + kHeld * kStride; col < k; col += kStride)
            sum += encode_vector(load_vector(row.x + col), factor, max_code, row.code(col));
        return sum;
    }
};

// The row value by value, read twice: where rows do not begin at multiples of 16 bytes.
template <typename T, int kRowThreads>
struct ByValues {
    __device__ __forceinline__ RowRange scan(const Row<T> &row) {
        RowRange range = {0.0f, true};
        for (uint32_t col = row.lane; col < row.args.k; col += kRowThreads) {
            const float magnitude = fabsf(widen(row.x[col]));
            range.is_finite = range.is_finite && magnitude < INFINITY;
            scan_value(row.args, magnitude, col, range);
        }
        return range;
    }

    __device__ __forceinline__ int32_t encode(const Row<T> &row, float factor, int32_t max_code) const {
        int32_t sum = 0;
        for (uint32_t col = row.lane; col < row.args.k; col += kRowThreads) {
            const int32_t code = code_of(widen(row.x[col]), factor, max_code);
            *row.code(col) = static_cast<int8_t>(code);
            sum += code;
        }
        return sum;
    }
};

// Lowers `first_nonfinite` to the flat index of the row's first NaN or infinity.
template <typename T, int kRowThreads>
__device__ __forceinline__ void report_nonfinite(const Row<T> &row, uint64_t base) {
    for (uint32_t col = row.lane; col < row.args.k; col += kRowThreads) {
        if (fabsf(widen(row.x[col])) < INFINITY) continue;
        atomicMin(reinterpret_cast<unsigned long long *>(row.args.first_nonfinite),
                  static_cast<unsigned long long>(base + col));
        return;
    }
}

// Zeros from column `first` to the end of the row's last tile.
template <typename T, int kRowThreads>
__device__ __forceinline__ void pad_row(const Row<T> &row, uint32_t first) {
    const uint32_t end = (row.args.k + kTileK - 1) / kTileK * kTileK;
    for (uint32_t col = first + row.lane; col < end; col += kRowThreads) *row.code(col) = 0;
}

template <typename T, int kRowThreads, typename Access>
__device__ __forceinline__ void quantize_row(const Row<T> &row, Access access) {
    const QuantizeRowsArgs &args = row.args;
    RowRange range = reduce_row<kRowThreads>(access.scan(row));
    if (!range.is_finite && args.first_nonfinite != nullptr) report_nonfinite<T, kRowThreads>(row, row.index * args.k);
    if (args.tensor_absmax != nullptr) range.absmax = *args.tensor_absmax;

    // The reciprocal comes first: the product is rounded as bitsandbytes rounds it.
    const float factor = __fmul_rn(__frcp_rn(range.absmax), args.max_code);
    int32_t sum = access.encode(row, factor, static_cast<int32_t>(args.max_code));
    if (is_tiled(args.row_atoms)) pad_row<T, kRowThreads>(row, args.k);

    if (args.sums != nullptr) sum = reduce_row<kRowThreads>(sum);
    if (row.lane != 0) return;
    if (args.sums != nullptr) args.sums[row.index] = sum;
    if (args.absmax != nullptr) args.absmax[row.index] = range.is_finite ? range.absmax : NAN;
}

template <typename T, int kRowThreads>
__device__ __forceinline__ void quantize_rows(const QuantizeRowsArgs &args) {
    const uint64_t index = static_cast<uint64_t>(blockIdx.x) * (kThreads / kRowThreads) + threadIdx.x / kRowThreads;
    const Row<T> row = {args, static_cast<const T *>(args.x) + index * args.k, index, threadIdx.x % kRowThreads};
    if (index >= args.m) {  // whole warps alone
        if (is_tiled(args.row_atoms) && index < 8 * args.row_atoms) pad_row<T, kRowThreads>(row, 0);
        return;
    }
    if (args.is_aligned != 0) quantize_row<T, kRowThreads>(row, ByVectors<T, kRowThreads>());
    else quantize_row<T, kRowThreads>(row, ByValues<T, kRowThreads>());
}

// The sum over the block; every thread gets it.
__device__ __forceinline__ uint32_t sum_block(uint32_t value, uint32_t (&parts)[kWarps]) {
    value = static_cast<uint32_t>(reduce_warp(static_cast<int32_t>(value)));
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    uint32_t sum = 0;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) sum += parts[warp];
    return sum;
}

// The flagged columns of one slice, in shared memory.
struct Slice {
    uint32_t columns[kSliceColumns];
    uint32_t warp_counts[kWarps];
    uint32_t parts[kWarps];
};

// Fills `slice.columns`; returns how many there are.
__device__ __forceinline__ uint32_t list_columns(const OutliersArgs &args, Slice &slice) {
    const uint32_t column = blockIdx.x * kSliceColumns + threadIdx.x;
    const bool is_flagged = column < args.k && args.flags[column] != 0;
    const uint32_t lanes = __ballot_sync(kAllLanes, is_flagged);
    const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (lane == 0) slice.warp_counts[warp] = __popc(lanes);
    __syncthreads();
    uint32_t before = 0, count = 0;
#pragma unroll
    for (uint32_t i = 0; i < kWarps; ++i) {
        if (i < warp) before += slice.warp_counts[i];
        count += slice.warp_counts[i];
    }
    if (is_flagged) slice.columns[before + __popc(lanes & ((1u << lane) - 1))] = column;
    return count;
}

// How many columns before this slice are flagged. Flags are 0 or 1, so the set bits of 16 bytes are their sum.
__device__ __forceinline__ uint32_t count_before(const OutliersArgs &args, Slice &slice) {
    const uint4 *flags = reinterpret_cast<const uint4 *>(args.flags);
    uint32_t count = 0;
    for (uint32_t i = threadIdx.x; i < blockIdx.x * (kSliceColumns / 16); i += kThreads) {
        const uint4 bytes = flags[i];
        count += __popc(bytes.x) + __popc(bytes.y) + __popc(bytes.z) + __popc(bytes.w);
    }
    return sum_block(count, slice.parts);
}

// Gathers element (`row`, `column`) as the outlier `rank`; rows from M on are those of W.
template <typename T>
__device__ __forceinline__ void gather(const OutliersArgs &args, uint64_t row, uint32_t column, uint32_t rank) {
    if (row >= args.m) {
        row -= args.m;
        static_cast<T *>(args.outlier_w)[row * args.ld + rank] = narrow<T>(value8_at(args.w, row * args.k + column));
        return;
    }
    const uint64_t index = row * args.k + column;
    static_cast<T *>(args.outlier_x)[row * args.ld + rank] = static_cast<const T *>(args.x)[index];
    int8_t *at = args.codes + (is_tiled(args.row_atoms) ? tiled_offset(row, column, args.row_atoms) : index);
    const int32_t code = *at;
    if (code != 0) {
        *at = 0;
        atomicSub(args.sums + row, code);
    }
}

// Zeros in the columns from `total` on to the next multiple of 16.
template <typename T>
__device__ __forceinline__ void pad(const OutliersArgs &args, uint64_t first_row, uint32_t rows, uint32_t total) {
    const uint32_t padding = (16 - total % 16) % 16;
    for (uint32_t i = threadIdx.x; i < rows * padding; i += kThreads) {
        const uint64_t row = first_row + i / padding;
        T *to = static_cast<T *>(row < args.m ? args.outlier_x : args.outlier_w);
        to[(row < args.m ? row : row - args.m) * args.ld + total + i % padding] = narrow<T>(0.0f);
    }
}

// Block (x, y): columns from x * kSliceColumns, rows of x and then of W from y * kSliceRows.
template <typename T>
__device__ __forceinline__ void gather_outliers(const OutliersArgs &args) {
    __shared__ Slice slice;
    const bool is_last = blockIdx.x == gridDim.x - 1;
    const uint32_t count = list_columns(args, slice);
    if (count == 0 && !is_last) return;
    const uint32_t before = count_before(args, slice);  // its barrier is also that of the list

    const uint64_t first_row = static_cast<uint64_t>(blockIdx.y) * kSliceRows;
    const uint64_t rows_left = args.m + args.n - first_row;
    const uint32_t rows = rows_left < kSliceRows ? static_cast<uint32_t>(rows_left) : kSliceRows;
    for (uint32_t i = threadIdx.x; i < rows * count; i += kThreads)
        gather<T>(args, first_row + i / count, slice.columns[i % count], before + i % count);
    if (is_last) pad<T>(args, first_row, rows, before + count);

    if (blockIdx.y != 0) return;
    if (threadIdx.x < count) args.columns[before + threadIdx.x] = slice.columns[threadIdx.x];
    if (is_last && threadIdx.x == 0) *args.count = before + count;
}

template <typename T>
__device__ __forceinline__ void tensor_absmax(const TensorAbsmaxArgs &args) {
    const uint64_t stride = static_cast<uint64_t>(gridDim.x) * kThreads * kVectorValues<T>;
    const T *x = static_cast<const T *>(args.x);
    RowRange range = {0.0f, true};
    for (uint64_t first = (static_cast<uint64_t>(blockIdx.x) * kThreads + threadIdx.x) * kVectorValues<T>;
         first < args.num_values; first += stride) {
        const bool is_whole = first + kVectorValues<T> <= args.num_values;
        const Vector<T> vector = is_whole ? load_vector(x + first) : gather_vector(x, first, args.num_values);
#pragma unroll
        for (int i = 0; i < kVectorValues<T>; ++i) range.absmax = fmaxf(range.absmax, fabsf(widen(vector.values[i])));
    }
    range = reduce_row<kThreads>(range);
    // Bits of floats that are not negative ascend as the floats do.
    if (threadIdx.x == 0) atomicMax(args.absmax, __float_as_uint(range.absmax));
}

template <typename T>
__device__ __forceinline__ void dequantize_rows(const DequantRowsArgs &args) {
    const uint64_t row = blockIdx.x, base = row * args.k;
    const float scale = __fdiv_rn(args.absmax[row], args.max_code);
    for (uint32_t col = threadIdx.x; col < args.k; col += kThreads) {
        const bool is_outlier = args.flags != nullptr && args.flags[col] != 0;
        const float value = is_outlier ? widen(static_cast<const T *>(args.x)[base + col])
                                       : __fmul_rn(static_cast<float>(args.codes[base + col]), scale);
        args.out[base + col] = value;
    }
}

#define KERNEL(symbol, struct_name, body)                              \
    extern "C" __global__ void __launch_bounds__(kThreads, kMinBlocks) \
        symbol(const __grid_constant__ struct_name args) {             \
        body(args);                                                    \
    }
#define KERNELS(suffix, type)                                                             \
    KERNEL(quantize_int8_##suffix##_rows, QuantizeRowsArgs, (quantize_rows<type, 256>))   \
    KERNEL(quantize_int8_##suffix##_short, QuantizeRowsArgs, (quantize_rows<type, 32>))   \
    KERNEL(quantize_int8_##suffix##_outliers, OutliersArgs, gather_outliers<type>)        \
    KERNEL(quantize_int8_##suffix##_tensor, TensorAbsmaxArgs, tensor_absmax<type>)        \
    KERNEL(dequant_rows_int8_##suffix, DequantRowsArgs, dequantize_rows<type>)

KERNELS(f32, float)
KERNELS(f16, __half)
KERNELS(bf16, __nv_bfloat16)
