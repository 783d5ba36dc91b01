/*
 * onnx_fold_arrange.c - constants reshaped, cut and joined; see onnx_fold.h
 */
#include <string.h>

#include "ckpt/onnx_fold.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

/* The same numbers with other dimensions. */
static fl_status with_dims(const onnx_job *j, int rank, const int64_t *dim)
{
    const onnx_const *x = j->in[0];
    fl_status st = onnx_const_new(j->out, j->pool, x->type, rank, dim, j->err);

    if (st == FL_OK && j->out->count != x->count) {
        return onnx_job_refuse(j, "the shape does not fit");
    }
    if (st == FL_OK && x->count > 0) {
        memcpy(j->out->at, x->at, (size_t)x->count * sizeof *x->at);
    }
    return st;
}

fl_status onnx_fold_identity(const onnx_job *j)
{
    return with_dims(j, j->in[0]->rank, j->in[0]->dim);
}

fl_status onnx_fold_reshape(const onnx_job *j)
{
    const onnx_const *x = j->in[0];
    const int64_t *shape;
    size_t n = onnx_job_list(&shape, j, "shape", 1);
    int64_t dim[NN_MAX_RANK], known = 1;
    int open = -1;

    if (n > NN_MAX_RANK || (shape == NULL && n > 0)) {
        return onnx_job_refuse(j, "shape is missing or too long");
    }
    for (size_t i = 0; i < n; i++) {
        bool is_kept = shape[i] == 0 && (int)i < x->rank && onnx_job_int(j, "allowzero", 0) == 0;
        dim[i] = is_kept ? x->dim[i] : shape[i];
        if (dim[i] == -1 && open < 0) {
            open = (int)i;
        } else if (dim[i] < 0 || __builtin_mul_overflow(known, dim[i], &known)) {
            return onnx_job_refuse(j, "shape has a number that is not allowed");
        }
    }
    if (open >= 0) {
        dim[open] = known > 0 ? x->count / known : 0;
    }
    return with_dims(j, (int)n, dim);
}

fl_status onnx_fold_squeeze(const onnx_job *j)
{
    const onnx_const *x = j->in[0];
    const int64_t *axes;
    size_t n = onnx_job_list(&axes, j, "axes", 1);
    int64_t dim[NN_MAX_RANK];
    bool gone[NN_MAX_RANK] = {false};
    int rank = 0;

    for (size_t i = 0; i < n; i++) {
        int axis = onnx_axis(axes[i], x->rank);
        if (axis < 0) {
            return onnx_job_refuse(j, "axes are out of range");
        }
        gone[axis] = true;
    }
    for (int d = 0; d < x->rank; d++) {
        if (!(axes == NULL ? x->dim[d] == 1 : gone[d])) {
            dim[rank++] = x->dim[d];
        }
    }
    return with_dims(j, rank, dim);
}

fl_status onnx_fold_unsqueeze(const onnx_job *j)
{
    const onnx_const *x = j->in[0];
    const int64_t *axes;
    size_t n = onnx_job_list(&axes, j, "axes", 1);
    int64_t dim[NN_MAX_RANK];
    bool is_new[NN_MAX_RANK] = {false};
    int rank = x->rank + (int)n;

    if (n > NN_MAX_RANK || rank > NN_MAX_RANK) {
        return onnx_job_refuse(j, "too many axes");
    }
    for (size_t i = 0; i < n; i++) {
        int axis = onnx_axis(axes[i], rank);
        if (axis < 0 || is_new[axis]) {
            return onnx_job_refuse(j, "axes are out of range");
        }
        is_new[axis] = true;
    }
    for (int d = 0, k = 0; d < rank; d++) {
        dim[d] = is_new[d] ? 1 : x->dim[k++];
    }
    return with_dims(j, rank, dim);
}

fl_status onnx_fold_expand(const onnx_job *j)
{
    const int64_t *shape;
    size_t n = onnx_job_list(&shape, j, "shape", 1);
    onnx_const to = {.type = TYPE(INT64), .rank = (int)n};
    int64_t dim[NN_MAX_RANK] = {0};
    int rank;

    if (n > NN_MAX_RANK || (shape == NULL && n > 0)) {
        return onnx_job_refuse(j, "shape is missing or too long");
    }
    for (size_t i = 0; i < n; i++) {
        to.dim[i] = shape[i];
        if (shape[i] < 0) {
            return onnx_job_refuse(
                j, "shape has a number that is not allowed, or depends on the batch");
        }
    }
    onnx_job two = *j;
    two.in = (const onnx_const *[]){j->in[0], &to};
    two.n_in = 2;
    fl_status st = onnx_broadcast(&rank, dim, &two);
    if (st != FL_OK ||
        (st = onnx_const_new(j->out, j->pool, j->in[0]->type, rank, dim, j->err)) != FL_OK) {
        return st;
    }
    for (int64_t i = 0; i < j->out->count; i++) {
        j->out->at[i] = j->in[0]->at[onnx_broadcast_index(j->out, j->in[0], i)];
    }
    return st;
}

fl_status onnx_fold_tile(const onnx_job *j)
{
    const onnx_const *x = j->in[0];
    const int64_t *repeats;
    size_t n = onnx_job_list(&repeats, j, "repeats", 1);
    int64_t dim[NN_MAX_RANK];

    if ((int)n != x->rank) {
        return onnx_job_refuse(j, "repeats must be a number for each axis");
    }
    for (int d = 0; d < x->rank; d++) {
        if (repeats[d] < 0 || repeats[d] > ONNX_MAX_CONST ||
            __builtin_mul_overflow(x->dim[d], repeats[d], &dim[d])) {
            return onnx_job_refuse(j, "repeats has a number that is not allowed");
        }
    }
    fl_status st = onnx_const_new(j->out, j->pool, x->type, x->rank, dim, j->err);
    for (int64_t i = 0; st == FL_OK && i < j->out->count; i++) {
        int64_t rest = i, at = 0, step = 1;
        for (int d = x->rank - 1; d >= 0; d--) {
            at += rest % dim[d] % x->dim[d] * step;
            rest /= dim[d];
            step *= x->dim[d];
        }
        j->out->at[i] = x->at[at];
    }
    return st;
}

fl_status onnx_fold_transpose(const onnx_job *j)
{
    const onnx_const *x = j->in[0];
    const int64_t *perm;
    size_t n = onnx_job_list(&perm, j, "perm", 0);
    int64_t dim[NN_MAX_RANK], step[NN_MAX_RANK], all = 1;
    int from[NN_MAX_RANK];
    unsigned seen = 0;

    for (int d = 0; d < x->rank; d++) {
        int64_t axis = perm == NULL ? x->rank - 1 - d : (int)n == x->rank ? perm[d] : -1;
        if (axis < 0 || axis >= x->rank) {
            return onnx_job_refuse(j, "perm must name each dimension");
        }
        from[d] = (int)axis;
        dim[d] = x->dim[axis];
        seen |= 1u << axis;
    }
    if (seen != (1u << x->rank) - 1) {
        return onnx_job_refuse(j, "perm must name each dimension");
    }
    for (int d = x->rank - 1; d >= 0; all *= x->dim[d], d--) {
        step[d] = all;
    }
    fl_status st = onnx_const_new(j->out, j->pool, x->type, x->rank, dim, j->err);
    for (int64_t i = 0; st == FL_OK && i < j->out->count; i++) {
        int64_t rest = i, at = 0;
        for (int d = x->rank - 1; d >= 0; d--) {
            at += rest % dim[d] * step[from[d]];
            rest /= dim[d];
        }
        j->out->at[i] = x->at[at];
    }
    return st;
}

/* Numbers before and behind an axis. */
static void around(int64_t *outer, int64_t *inner, const onnx_const *c, int axis)
{
    *outer = *inner = 1;
    for (int d = 0; d < c->rank; d++) {
        *(d < axis ? outer : inner) *= d == axis ? 1 : c->dim[d];
    }
}

/* Copies from x along an axis the numbers at index[0 .. n). */
static fl_status take(const onnx_job *j, int axis, const int64_t *index, int64_t n, int n_new,
                      const int64_t *new_dim)
{
    const onnx_const *x = j->in[0];
    int64_t outer, inner, dim[2 * NN_MAX_RANK];
    int rank = 0;

    around(&outer, &inner, x, axis);
    for (int d = 0; d < axis; d++) {
        dim[rank++] = x->dim[d];
    }
    for (int d = 0; d < n_new; d++) {
        dim[rank++] = new_dim[d];
    }
    for (int d = axis + 1; d < x->rank; d++) {
        dim[rank++] = x->dim[d];
    }
    fl_status st = onnx_const_new(j->out, j->pool, x->type, rank, dim, j->err);
    for (int64_t o = 0; st == FL_OK && o < outer; o++) {
        for (int64_t i = 0; i < n; i++) {
            for (int64_t k = 0; k < inner; k++) {
                j->out->at[(o * n + i) * inner + k] =
                    x->at[(o * x->dim[axis] + index[i]) * inner + k];
            }
        }
    }
    return st;
}

fl_status onnx_fold_gather(const onnx_job *j)
{
    const onnx_const *x = j->in[0], *indices = onnx_job_input(j, 1);
    int axis = onnx_axis(onnx_job_int(j, "axis", 0), x->rank);

    if (indices == NULL || onnx_type_is_float(indices->type) || axis < 0) {
        return onnx_job_refuse(j, "indices must be whole numbers and axis an axis");
    }
    int64_t *index = onnx_pool_take(j->pool, indices->count, j->err);
    if (index == NULL) {
        return FL_ELIMIT;
    }
    for (int64_t i = 0; i < indices->count; i++) {
        index[i] = indices->at[i].i + (indices->at[i].i < 0 ? x->dim[axis] : 0);
        if (!onnx_is_known(indices, i) || index[i] < 0 || index[i] >= x->dim[axis]) {
            return onnx_job_refuse(j, "an index is out of range");
        }
    }
    return take(j, axis, index, indices->count, indices->rank, indices->dim);
}

/* Slice along one axis after the other. */
fl_status onnx_fold_slice(const onnx_job *j)
{
    const int64_t *starts, *ends, *axes, *steps;
    size_t n = onnx_job_list(&starts, j, "starts", 1), n_ends = onnx_job_list(&ends, j, "ends", 2);
    size_t n_axes = onnx_job_list(&axes, j, "axes", 3),
           n_steps = onnx_job_list(&steps, j, "steps", 4);
    onnx_const x = *j->in[0];
    fl_status st = FL_OK;

    if (n_ends != n || (axes != NULL && n_axes != n) || (steps != NULL && n_steps != n)) {
        return onnx_job_refuse(j, "starts, ends, axes and steps must have one length");
    }
    *j->out = x;
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        int axis = onnx_axis(axes != NULL ? axes[i] : (int64_t)i, x.rank);
        int64_t step = steps != NULL ? steps[i] : 1, start = starts[i], end = ends[i], k = 0;
        if (axis < 0 || step == 0 || start == ONNX_UNKNOWN || end == ONNX_UNKNOWN ||
            start == ONNX_BATCH || end == ONNX_BATCH) {
            return onnx_job_refuse(j, "an axis or a step is out of range, or depends on the batch");
        }
        int64_t size = x.dim[axis], low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
        start += start < 0 ? size : 0;
        end += end < 0 ? size : 0;
        start = start < 0 ? 0 : start > high ? high : start;
        end = end < low ? low : end > high ? high : end;
        int64_t *index = onnx_pool_take(j->pool, size + 1, j->err);
        if (index == NULL) {
            return FL_ELIMIT;
        }
        for (int64_t at = start; (step > 0 ? at < end : at > end) && at >= 0 && at < size;) {
            index[k++] = at;
            if (__builtin_add_overflow(at, step, &at)) {
                break;
            }
        }
        onnx_job one = *j;
        one.in = (const onnx_const *[]){&x};
        one.n_in = 1;
        st = take(&one, axis, index, k, 1, &k);
        x = *j->out;
    }
    return st;
}

fl_status onnx_fold_concat(const onnx_job *j)
{
    const onnx_const *x = j->in[0];
    int axis = onnx_axis(onnx_job_int(j, "axis", 0), x->rank);
    int64_t dim[NN_MAX_RANK], outer, inner;

    if (axis < 0) {
        return onnx_job_refuse(j, "axis is out of range");
    }
    memcpy(dim, x->dim, sizeof dim);
    for (size_t k = 1; k < j->n_in; k++) {
        const onnx_const *c = j->in[k];
        bool fits = c->rank == x->rank && c->type == x->type;
        for (int d = 0; d < x->rank && fits; d++) {
            fits = d == axis || c->dim[d] == x->dim[d];
        }
        if (!fits) {
            return onnx_job_refuse(j, "an input differs outside of the axis");
        }
        dim[axis] += c->dim[axis];
    }
    around(&outer, &inner, x, axis);
    fl_status st = onnx_const_new(j->out, j->pool, x->type, x->rank, dim, j->err);
    int64_t done = 0;
    for (size_t k = 0; st == FL_OK && k < j->n_in; k++) {
        int64_t n = j->in[k]->dim[axis] * inner;
        for (int64_t o = 0; o < outer; o++) {
            for (int64_t i = 0; i < n; i++) {
                j->out->at[o * dim[axis] * inner + done + i] = j->in[k]->at[o * n + i];
            }
        }
        done += n;
    }
    return st;
}

fl_status onnx_fold_split(const onnx_job *j)
{
    const onnx_const *x = j->in[0];
    const int64_t *sizes;
    size_t n = onnx_job_list(&sizes, j, "split", 1), parts = j->node->n_output;
    int axis = onnx_axis(onnx_job_int(j, "axis", 0), x->rank);
    int64_t from = 0;
    fl_status st = FL_OK;

    if (axis < 0 || (sizes != NULL && n != parts) || parts == 0) {
        return onnx_job_refuse(j,
                               "axis is out of range, or split has not a number for each output");
    }
    int64_t each = (x->dim[axis] + (int64_t)parts - 1) / (int64_t)parts;
    for (size_t k = 0; k < parts && st == FL_OK; k++) {
        int64_t left = x->dim[axis] - from;
        int64_t size = sizes != NULL ? sizes[k] : each < left ? each : left;
        if (size < 0 || size > left) {
            return onnx_job_refuse(j, "split takes more than there is");
        }
        int64_t *index = onnx_pool_take(j->pool, size, j->err);
        if (index == NULL) {
            return FL_ELIMIT;
        }
        for (int64_t i = 0; i < size; i++) {
            index[i] = from + i;
        }
        onnx_job one = *j;
        one.out = j->out + k;
        st = take(&one, axis, index, size, 1, &size);
        from += size;
    }
    return st;
}
