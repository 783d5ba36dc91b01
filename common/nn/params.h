/*
 * params.h - all numbers of a model in one vector, with a table of names
 *
 * The vector is one contiguous float32 block, aligned to 64 bytes.  The table
 * says which stretch is what.  Training, optimisers, FedProx, clipping, noise,
 * aggregation and checkpoints are arithmetic on the vector (nn_vec_*, which a
 * later GPU backend can own); so the federated half never knows what a
 * convolution is.  Kinds matter: prox, server optimisers, clipping and noise
 * act on trainable kinds only; running statistics are plainly averaged or stay.
 */
#ifndef NN_PARAMS_H
#define NN_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/tensor.h"

typedef enum {
    NN_WEIGHT,  // matrix or kernel
    NN_BIAS,
    NN_NORM,  // scale and shift of a normalisation
    NN_STAT,   // running mean or variance: not trained by gradients
    NN_FROZEN  // one of the first three that stays as it is (transfer learning)
} nn_kind;

enum { NN_NAME_BYTES = 128 };  // longest parameter name, terminator included

typedef struct {
    char name[NN_NAME_BYTES];  // "conv1.weight": PyTorch's style of names
    nn_kind kind;
    nn_shape shape;
    int64_t offset;  // first element in the vector
    int64_t count;   // elements
} nn_param;

typedef struct nn_table nn_table;  // immutable once shared

nn_table *nn_table_new(void);
void nn_table_destroy(nn_table **t);
nn_table *nn_table_copy(const nn_table *t);
/* Appends; FL_ECONFLICT for a name that is there already, FL_ELIMIT above
 * 2^31 elements in all or 100,000 entries. */
fl_status nn_table_add(nn_table *t, const char *name, nn_kind kind, const nn_shape *shape,
                       fl_err *err);
size_t nn_table_n(const nn_table *t);
const nn_param *nn_table_at(const nn_table *t, size_t i);            // borrowed
const nn_param *nn_table_find(const nn_table *t, const char *name);  // or NULL
int64_t nn_table_count(const nn_table *t);                           // P
bool nn_kind_trainable(nn_kind kind);
const char *nn_kind_name(nn_kind kind);  // "weight" "bias" "norm" "stat" "frozen"
bool nn_kind_parse(nn_kind *out, const char *name);
bool nn_table_equal(const nn_table *a, const nn_table *b);
/* SHA-256 over a canonical text of the table: "name kind 3x4x5\n" ... */
void nn_table_hash(uint8_t out[static 32], const nn_table *t);
/* The sub-table of entries whose name matches a pattern ('*' any run) and that
 * the kinds mask (1 << kind, 0 = all) lets through; index[i] is the entry of t
 * behind entry i.  Both the caller's. */
nn_table *nn_table_filter(const nn_table *t, const char *const *patterns, size_t n, unsigned kinds,
                          size_t **index);

/* A vector with its table. */
typedef struct {
    const nn_table *table;  // borrowed
    float *data;            // P floats, owned
} nn_params;

fl_status nn_params_init(nn_params *p, const nn_table *table, fl_err *err);  // zeros
void nn_params_clear(nn_params *p);
/* model.sha256: SHA-256 of the table's canonical text, then the values as
 * little-endian float32.  Of table and values, not of a file. */
void nn_params_sha256(uint8_t out[static 32], const nn_table *table, const float *data);
bool nn_vec_is_finite(const float *x, int64_t n);

void nn_vec_copy(float *y, const float *x, int64_t n);
void nn_vec_zero(float *y, int64_t n);
void nn_vec_scale(float *y, float a, int64_t n);
void nn_vec_axpy(float *y, float a, const float *x, int64_t n);        // y += a x
void nn_vec_sub(float *y, const float *a, const float *b, int64_t n);  // y = a - b
double nn_vec_dot(const float *a, const float *b, int64_t n);          // in double
double nn_vec_norm(const float *x, int64_t n);                         // L2, in double
float nn_vec_max_abs(const float *x, int64_t n);

#endif
