/*
 * blas.h - dense algebra of OpenBLAS
 *
 * For products of computed matrices, and for what is no network: distances
 * between updates, least squares, the peak that benches compare with.  blas.c is
 * the only file that includes cblas.h.
 * One thread: whoever wants more calls from several.
 */
#ifndef NN_BLAS_H
#define NN_BLAS_H

#include <stdbool.h>
#include <stdint.h>

/* c = a b, row-major; a (M, K), b (K, N), c (M, N), which may not overlap. */
void nn_blas_gemm(float *restrict c, const float *a, const float *b, int64_t M, int64_t N,
                  int64_t K);

/* c = alpha op(a) op(b) + beta c, row-major; op(a) (M, K), op(b) (K, N): as they
 * lie, or transposed.  c may not overlap; with beta 0 it is not read. */
void nn_blas_product(float *restrict c, const float *a, const float *b, int64_t M, int64_t N,
                     int64_t K, bool trans_a, bool trans_b, float alpha, float beta);

/* x = a^-1 x of a symmetric, positive definite a (n, n), row-major, of which the lower half is
 * read; a is overwritten.  False when a is not positive definite. */
bool nn_blas_solve(double *x, double *a, int64_t n);

/* c (n, n) = a' a of a (rows, n), row-major, all of it. */
void nn_blas_gram(double *restrict c, const double *a, int64_t rows, int64_t n);

/* a (n, n), symmetric and positive definite, row-major: its lower half becomes l with l l' = a;
 * the upper is left.  False when a is not positive definite. */
bool nn_blas_cholesky(double *a, int64_t n);

/* Every row of x (rows, n) becomes l^-1 of it; l (n, n) as nn_blas_cholesky leaves it. */
void nn_blas_solve_lower(double *x, const double *l, int64_t rows, int64_t n);

#endif
