// A cuBLASLt that multiplies f32 matrices on the host, column-major as the real one, and checks what it is asked for.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct { int type; uint64_t rows, columns; int64_t ld; } Layout;
typedef struct { int compute, scale, transpose_a; } Desc;
typedef struct { uint64_t workspace; uint32_t scheme, alignment[4]; } Preference;
typedef struct { uint64_t algo[8]; size_t workspace; int state; float waves; int reserved[4]; } Result;

static int alive, asked;
int fake_lt_alive(void) { return alive; }
int fake_lt_asked(void) { return asked; }
static void *make(size_t bytes) { ++alive; return calloc(1, bytes); }
static int destroy(void *p) { --alive; free(p); return 0; }

size_t cublasLtGetVersion(void) { return 130100; }
int cublasLtCreate(void **handle) { *handle = make(1); return 0; }
int cublasLtDestroy(void *handle) { return destroy(handle); }
int cublasLtMatmulDescCreate(Desc **desc, int compute, int scale) {
    *desc = make(sizeof **desc);
    (*desc)->compute = compute;
    (*desc)->scale = scale;
    return 0;
}
int cublasLtMatmulDescDestroy(Desc *desc) { return destroy(desc); }
int cublasLtMatmulDescSetAttribute(Desc *desc, int attribute, const void *value, size_t bytes) {
    if (attribute != 3 || bytes != 4) return 7;
    desc->transpose_a = *(const int *)value;
    return 0;
}
int cublasLtMatrixLayoutCreate(Layout **layout, int type, uint64_t rows, uint64_t columns, int64_t ld) {
    *layout = make(sizeof **layout);
    **layout = (Layout){type, rows, columns, ld};
    return 0;
}
int cublasLtMatrixLayoutDestroy(Layout *layout) { return destroy(layout); }
int cublasLtMatmulPreferenceCreate(Preference **preference) { *preference = make(sizeof **preference); return 0; }
int cublasLtMatmulPreferenceDestroy(Preference *preference) { return destroy(preference); }
int cublasLtMatmulPreferenceSetAttribute(Preference *preference, int attribute, const void *value, size_t bytes) {
    if (attribute == 1 && bytes == 8) preference->workspace = *(const uint64_t *)value;
    else if (attribute == 3 && bytes == 4) preference->scheme = *(const uint32_t *)value;
    else if (attribute >= 5 && attribute <= 8 && bytes == 4) preference->alignment[attribute - 5] = *(const uint32_t *)value;
    else return 7;
    return 0;
}
int cublasLtMatmulAlgoGetHeuristic(void *handle, Desc *desc, Layout *a, Layout *b, Layout *c, Layout *d,
                                   Preference *preference, int wanted, Result *results, int *count) {
    ++asked;
    *count = 0;
    // f32 sums, reduced as f32; alignments said.
    if (desc->compute != 68 || desc->scale != 0 || desc->transpose_a != 1 || preference->scheme != 2) return 7;
    for (int i = 0; i < 4; ++i)
        if (preference->alignment[i] < 2 || preference->alignment[i] > 256) return 7;
    // A K of 13 is something that this library does not have.
    if (wanted != 1 || a->rows == 13) return 0;
    *count = 1;
    *results = (Result){.algo = {42}, .workspace = preference->workspace};
    return 0;
}
int cublasLtMatmul(void *handle, Desc *desc, const float *alpha, const float *a, Layout *la, const float *b, Layout *lb,
                   const float *beta, const float *c, Layout *lc, float *d, Layout *ld, const uint64_t *algo,
                   void *workspace, size_t bytes, void *stream) {
    if (*algo != 42 || !workspace || bytes != 32 << 20 || la->type != 0 || *alpha != 1 || *beta != 0) return 7;
    if (la->rows != lb->rows || la->columns != ld->rows || lb->columns != ld->columns) return 7;
    for (uint64_t j = 0; j < ld->columns; ++j)
        for (uint64_t i = 0; i < ld->rows; ++i) {
            float sum = 0;
            for (uint64_t k = 0; k < la->rows; ++k) sum += a[k + i * la->ld] * b[k + j * lb->ld];
            d[i + j * ld->ld] = sum;
        }
    return 0;
}
