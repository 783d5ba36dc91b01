/*
 * onnx_fold.h - what the two files of folding share
 *
 * onnx_fold.c computes numbers, onnx_fold_arrange.c moves them.  Internal to ckpt/.
 */
#ifndef CKPT_ONNX_FOLD_H
#define CKPT_ONNX_FOLD_H

#include "ckpt/onnx.h"

/* One node that is being computed. */
typedef struct {
    const Onnx__NodeProto *node;
    const onnx_const *const *in;
    size_t n_in;
    onnx_pool *pool;
    onnx_const *out;
    fl_err *err;
} onnx_job;

const onnx_const *onnx_job_input(const onnx_job *j, size_t i);  // NULL: left out
int64_t onnx_job_int(const onnx_job *j, const char *name, int64_t dflt);
/* A list that older operator sets give as an attribute, newer ones as an input;
 * NULL in *at when it is not given. */
size_t onnx_job_list(const int64_t **at, const onnx_job *j, const char *name, size_t place);
fl_status onnx_job_refuse(const onnx_job *j, const char *what);
bool onnx_job_is(const onnx_job *j, const char *op);
bool onnx_is_known(const onnx_const *c, int64_t i);
int onnx_axis(int64_t axis, int rank);  // -1: out of range
/* The dimensions that all inputs are broadcast to, and where number i of the
 * result reads one of them. */
fl_status onnx_broadcast(int *rank, int64_t *dim, const onnx_job *j);
int64_t onnx_broadcast_index(const onnx_const *out, const onnx_const *in, int64_t i);

/* Of onnx_fold_arrange.c. */
fl_status onnx_fold_identity(const onnx_job *j);
fl_status onnx_fold_reshape(const onnx_job *j);
fl_status onnx_fold_squeeze(const onnx_job *j);
fl_status onnx_fold_unsqueeze(const onnx_job *j);
fl_status onnx_fold_expand(const onnx_job *j);
fl_status onnx_fold_tile(const onnx_job *j);
fl_status onnx_fold_transpose(const onnx_job *j);
fl_status onnx_fold_gather(const onnx_job *j);
fl_status onnx_fold_slice(const onnx_job *j);
fl_status onnx_fold_concat(const onnx_job *j);
fl_status onnx_fold_split(const onnx_job *j);

#endif
