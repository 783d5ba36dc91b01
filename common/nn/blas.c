/*
 * blas.c - OpenBLAS behind blas.h
 */
#include "nn/blas.h"

#include <cblas.h>

#include "base/err.h"

/* OpenBLAS starts as many threads as there are cores; another BLAS has no such
 * function, and its own settings. */
extern void openblas_set_num_threads(int n) __attribute__((weak));

void nn_blas_product(float *restrict c, const float *a, const float *b, int64_t M, int64_t N,
                     int64_t K, bool trans_a, bool trans_b, float alpha, float beta)
{
    FL_REQUIRE(M <= INT32_MAX && N <= INT32_MAX && K <= INT32_MAX);
    if (openblas_set_num_threads != NULL) {
        openblas_set_num_threads(1);
    }
    cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans,
                trans_b ? CblasTrans : CblasNoTrans, (int)M, (int)N, (int)K, alpha, a,
                (int)(trans_a ? M : K), b, (int)(trans_b ? K : N), beta, c, (int)N);
}

void nn_blas_gemm(float *restrict c, const float *a, const float *b, int64_t M, int64_t N,
                  int64_t K)
{
    nn_blas_product(c, a, b, M, N, K, false, false, 1, 0);
}
