// What turns a sum of products of codes into a value, the same in every kernel that multiplies rounded rows of x with codes of W.
#pragma once

#include "args.h"

// What belongs to a row of x.
struct RowScale {
    float absmax;
    uint32_t sum;
};

// What belongs to a column of y.
struct ColumnScale {
    float scale;
    uint32_t zero_point;
};

__device__ __forceinline__ RowScale row_scale(const GemmInt8Args &args, uint32_t row) {
    if (row >= args.m) return {0.0f, 0};
    return {args.x_absmax[row], args.x_sums ? uint32_t(args.x_sums[row]) : 0};
}

__device__ __forceinline__ ColumnScale column_scale(const GemmInt8Args &args, uint32_t column) {
    if (column >= args.n) return {0.0f, 0};
    const uint32_t index = args.scale_per_row ? column : 0;
    return {args.w_scales[index], args.w_zero_points ? args.w_zero_points[index] : args.zero_point};
}

// The value of a sum of products of codes. Unsigned, because it may wrap on the way.
__device__ __forceinline__ float scaled(uint32_t sum, RowScale row, ColumnScale column, float factor) {
    const int32_t codes = int32_t(sum - column.zero_point * row.sum);
    return __fmul_rn(__fmul_rn(__int2float_rn(codes), __fmul_rn(row.absmax, column.scale)), factor);
}
