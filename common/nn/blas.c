/*
 * blas.c - OpenBLAS behind blas.h
 */
#include "nn/blas.h"

#include <cblas.h>
#include <lapack.h>

#include "base/err.h"

/* OpenBLAS starts as many threads as there are cores; another BLAS has no such
 * function, and its own settings. */
extern void openblas_set_num_threads(int n) __attribute__((weak));

static void one_thread(void)
{
    if (openblas_set_num_threads != NULL) {
        openblas_set_num_threads(1);
    }
}

void nn_blas_product(float *restrict c, const float *a, const float *b, int64_t M, int64_t N,
                     int64_t K, bool trans_a, bool trans_b, float alpha, float beta)
{
    FL_REQUIRE(M <= INT32_MAX && N <= INT32_MAX && K <= INT32_MAX);
    one_thread();
    cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans,
                trans_b ? CblasTrans : CblasNoTrans, (int)M, (int)N, (int)K, alpha, a,
                (int)(trans_a ? M : K), b, (int)(trans_b ? K : N), beta, c, (int)N);
}

void nn_blas_gemm(float *restrict c, const float *a, const float *b, int64_t M, int64_t N,
                  int64_t K)
{
    nn_blas_product(c, a, b, M, N, K, false, false, 1, 0);
}

bool nn_blas_solve(double *x, double *a, int64_t n)
{
    FL_REQUIRE(n >= 1 && n <= INT32_MAX);
    one_thread();
    // OpenBLAS holds LAPACK itself: LAPACKE's library would load three more, a
    // megabyte at each start, for this one call.  The lower half by rows is
    // the upper one by columns.
    lapack_int order = (lapack_int)n, one = 1, info = 0;
    LAPACK_dposv("U", &order, &one, a, &order, x, &order, &info);
    return info == 0;
}

void nn_blas_gram(double *restrict c, const double *a, int64_t rows, int64_t n)
{
    FL_REQUIRE(rows >= 1 && rows <= INT32_MAX && n >= 1 && n <= INT32_MAX);
    one_thread();
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)n, (int)rows, 1, a, (int)n, 0, c,
                (int)n);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = i + 1; j < n; j++) {
            c[i * n + j] = c[j * n + i];
        }
    }
}

bool nn_blas_cholesky(double *a, int64_t n)
{
    FL_REQUIRE(n >= 1 && n <= INT32_MAX);
    one_thread();
    lapack_int order = (lapack_int)n, info = 0;  // as nn_blas_solve
    LAPACK_dpotrf("U", &order, a, &order, &info);
    return info == 0;
}

void nn_blas_solve_lower(double *x, const double *l, int64_t rows, int64_t n)
{
    FL_REQUIRE(rows >= 0 && rows <= INT32_MAX && n >= 1 && n <= INT32_MAX);
    one_thread();
    // Rows: x' l'^-1.
    cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, (int)rows, (int)n,
                1, l, (int)n, x, (int)n);
}
