/*
 * onnx_fold.c - nodes whose inputs are constants, computed when a file is read
 *
 * Exporters write shapes as little programs: Shape, Gather, Unsqueeze, Concat,
 * Reshape.  The size of the batch is not known then; it is a number of its own,
 * ONNX_BATCH, which may be passed on but not computed with: anything else made
 * of it is ONNX_UNKNOWN, which is refused where it is needed.
 * Whole numbers are computed in 64 bits and wrap around as their type does.
 */
#include <math.h>
#include <string.h>

#include "ckpt/onnx_fold.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

const Onnx__AttributeProto *onnx_attribute(const Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++) {
        if (node->attribute[i]->name != NULL && strcmp(node->attribute[i]->name, name) == 0) {
            return node->attribute[i];
        }
    }
    return NULL;
}

const onnx_const *onnx_job_input(const onnx_job *j, size_t i)
{
    return i < j->n_in ? j->in[i] : NULL;
}

int64_t onnx_job_int(const onnx_job *j, const char *name, int64_t dflt)
{
    const Onnx__AttributeProto *a = onnx_attribute(j->node, name);

    return a != NULL ? a->i : dflt;
}

size_t onnx_job_list(const int64_t **at, const onnx_job *j, const char *name, size_t place)
{
    const Onnx__AttributeProto *a = onnx_attribute(j->node, name);
    const onnx_const *c = place > 0 ? onnx_job_input(j, place) : NULL;

    *at = NULL;
    if (a != NULL) {
        *at = a->ints;
        return a->n_ints;
    }
    if (c == NULL || onnx_type_is_float(c->type)) {
        return 0;
    }
    *at = &c->at->i;  // an onnx_number is 8 bytes, whichever it is
    return (size_t)c->count;
}

fl_status onnx_job_refuse(const onnx_job *j, const char *what)
{
    return fl_fail(j->err, FL_EFORMAT, "%s", what);
}

bool onnx_is_known(const onnx_const *c, int64_t i)
{
    return onnx_type_is_float(c->type) ? c->at[i].f != ONNX_BATCH_F && c->at[i].f != ONNX_UNKNOWN_F
                                       : c->at[i].i != ONNX_BATCH && c->at[i].i != ONNX_UNKNOWN;
}

static bool is_all_known(const onnx_const *c)
{
    for (int64_t i = 0; i < c->count; i++) {
        if (!onnx_is_known(c, i)) {
            return false;
        }
    }
    return true;
}

int onnx_axis(int64_t axis, int rank)
{
    axis += axis < 0 ? rank : 0;
    return axis >= 0 && axis < rank ? (int)axis : -1;
}

/* ------------------------------------------------------------- of one number */

static double apply_float(const char *op, double x)
{
    return strcmp(op, "Neg") == 0          ? -x
           : strcmp(op, "Abs") == 0        ? fabs(x)
           : strcmp(op, "Sqrt") == 0       ? sqrt(x)
           : strcmp(op, "Exp") == 0        ? exp(x)
           : strcmp(op, "Log") == 0        ? log(x)
           : strcmp(op, "Floor") == 0      ? floor(x)
           : strcmp(op, "Ceil") == 0       ? ceil(x)
           : strcmp(op, "Round") == 0      ? nearbyint(x)
           : strcmp(op, "Reciprocal") == 0 ? 1 / x
                                           : (double)((x > 0) - (x < 0));  // Sign
}

static fl_status fold_map(const onnx_job *j)
{
    const onnx_const *x = onnx_job_input(j, 0);
    const char *op = j->node->op_type;
    fl_status st = onnx_const_new(j->out, j->pool, x->type, x->rank, x->dim, j->err);

    for (int64_t i = 0; st == FL_OK && i < x->count; i++) {
        onnx_number v = x->at[i];
        if (!onnx_is_known(x, i)) {
            v = onnx_convert(onnx_type_is_float(x->type) ? (onnx_number){.f = ONNX_UNKNOWN_F}
                                                         : (onnx_number){.i = ONNX_UNKNOWN},
                             x->type, x->type);
        } else if (onnx_type_is_float(x->type)) {
            v.f = apply_float(op, v.f);
            v = onnx_convert(v, x->type, x->type);
        } else if (strcmp(op, "Not") == 0) {
            v.i = v.i == 0;
        } else {
            int64_t negative = (int64_t)(0 - (uint64_t)v.i);
            v.i = strcmp(op, "Neg") == 0    ? negative
                  : strcmp(op, "Abs") == 0  ? (v.i < 0 ? negative : v.i)
                  : strcmp(op, "Sign") == 0 ? (v.i > 0) - (v.i < 0)
                                            : v.i;
            v = onnx_convert(v, x->type, x->type);
        }
        j->out->at[i] = v;
    }
    return st;
}

static fl_status fold_cast(const onnx_job *j)
{
    const onnx_const *x = onnx_job_input(j, 0), *like = onnx_job_input(j, 1);
    int32_t to = strcmp(j->node->op_type, "CastLike") == 0
                     ? (like != NULL ? like->type : TYPE(FLOAT))
                     : (int32_t)onnx_job_int(j, "to", TYPE(FLOAT));

    if (to == TYPE(STRING) || to == TYPE(COMPLEX64) || to == TYPE(COMPLEX128)) {
        return fl_fail(j->err, FL_EUNSUPPORTED, "numbers do not become %s", onnx_type_name(to));
    }
    fl_status st = onnx_const_new(j->out, j->pool, to, x->rank, x->dim, j->err);
    for (int64_t i = 0; st == FL_OK && i < x->count; i++) {
        j->out->at[i] = onnx_convert(x->at[i], x->type, to);
    }
    return st;
}

/* ----------------------------------------------------------------- of a pair */

bool onnx_job_is(const onnx_job *j, const char *op)
{
    return strcmp(j->node->op_type, op) == 0;
}

static bool is_comparison(const onnx_job *j)
{
    static const char *const ops[] = {"Equal",          "Less", "Greater", "LessOrEqual",
                                      "GreaterOrEqual", "And",  "Or",      "Xor"};

    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (onnx_job_is(j, ops[i])) {
            return true;
        }
    }
    return false;
}

static double pair_float(const onnx_job *j, double a, double b)
{
    return onnx_job_is(j, "Add")              ? a + b
           : onnx_job_is(j, "Sub")            ? a - b
           : onnx_job_is(j, "Mul")            ? a * b
           : onnx_job_is(j, "Div")            ? a / b
           : onnx_job_is(j, "Pow")            ? pow(a, b)
           : onnx_job_is(j, "Min")            ? (a < b || isnan(a) ? a : b)
           : onnx_job_is(j, "Max")            ? (a > b || isnan(a) ? a : b)
           : onnx_job_is(j, "Mod")            ? fmod(a, b)
           : onnx_job_is(j, "Equal")          ? a == b
           : onnx_job_is(j, "Less")           ? a < b
           : onnx_job_is(j, "Greater")        ? a > b
           : onnx_job_is(j, "LessOrEqual")    ? a <= b
           : onnx_job_is(j, "GreaterOrEqual") ? a >= b
                                              : NAN;
}

/* Of whole numbers, in 64 bits that wrap around; false where it has no value. */
static bool pair_int(const onnx_job *j, int64_t *out, int64_t a, int64_t b)
{
    uint64_t ua = (uint64_t)a, ub = (uint64_t)b;
    bool unsigned_64 = j->in[0]->type == TYPE(UINT64);

    if ((onnx_job_is(j, "Div") || onnx_job_is(j, "Mod")) &&
        (b == 0 || (b == -1 && a == INT64_MIN))) {
        return false;
    }
    bool less = unsigned_64 ? ua < ub : a < b;
    int64_t rest = !onnx_job_is(j, "Mod") ? 0 : unsigned_64 ? (int64_t)(ua % ub) : a % b;
    if (onnx_job_is(j, "Mod") && onnx_job_int(j, "fmod", 0) == 0 && rest != 0 && !unsigned_64 &&
        (rest < 0) != (b < 0)) {
        rest += b;  // the sign of the divisor, as Python has it
    }
    *out = onnx_job_is(j, "Add")              ? (int64_t)(ua + ub)
           : onnx_job_is(j, "Sub")            ? (int64_t)(ua - ub)
           : onnx_job_is(j, "Mul")            ? (int64_t)(ua * ub)
           : onnx_job_is(j, "Div")            ? (unsigned_64 ? (int64_t)(ua / ub) : a / b)
           : onnx_job_is(j, "Mod")            ? rest
           : onnx_job_is(j, "Pow")            ? (int64_t)pow((double)a, (double)b)
           : onnx_job_is(j, "Min")            ? (less ? a : b)
           : onnx_job_is(j, "Max")            ? (less ? b : a)
           : onnx_job_is(j, "Equal")          ? a == b
           : onnx_job_is(j, "Less")           ? less
           : onnx_job_is(j, "Greater")        ? !less && a != b
           : onnx_job_is(j, "LessOrEqual")    ? less || a == b
           : onnx_job_is(j, "GreaterOrEqual") ? !less
           : onnx_job_is(j, "And")            ? (a != 0 && b != 0)
           : onnx_job_is(j, "Or")             ? (a != 0 || b != 0)
                                              : (a != 0) != (b != 0);
    return true;
}

/* What is known of a whole number that is computed with the batch's size. */
static int64_t pair_unknown(const onnx_job *j, int64_t a, int64_t b)
{
    int64_t batch = a == ONNX_BATCH ? a : b, other = a == ONNX_BATCH ? b : a;

    if (batch != ONNX_BATCH || other == ONNX_UNKNOWN) {
        return ONNX_UNKNOWN;
    }
    bool same = other == ONNX_BATCH;
    if (onnx_job_is(j, "Equal")) {
        return same;  // no file counts on a batch of one size
    }
    bool keeps = (onnx_job_is(j, "Mul") && other == 1) || (onnx_job_is(j, "Add") && other == 0) ||
                 (onnx_job_is(j, "Max") && (same || other <= 1)) ||
                 (onnx_job_is(j, "Min") && same) ||
                 (a == ONNX_BATCH &&
                  ((onnx_job_is(j, "Div") && b == 1) || (onnx_job_is(j, "Sub") && b == 0)));
    return keeps                                                    ? ONNX_BATCH
           : a == ONNX_BATCH && b <= 0 && onnx_job_is(j, "Greater") ? 1
           : a == ONNX_BATCH && b <= 0 && onnx_job_is(j, "Less")    ? 0
           : onnx_job_is(j, "Mul") && other == 0                    ? 0
                                                                    : ONNX_UNKNOWN;
}

fl_status onnx_broadcast(int *rank, int64_t *dim, const onnx_job *j)
{
    *rank = 0;
    for (size_t k = 0; k < j->n_in; k++) {
        const onnx_const *c = j->in[k];
        for (; *rank < c->rank; ++*rank) {
            memmove(dim + 1, dim, (size_t)*rank * sizeof *dim);
            dim[0] = 1;
        }
        for (int d = 1; d <= c->rank; d++) {
            int64_t *all = &dim[*rank - d], one = c->dim[c->rank - d];
            if (one != *all && one != 1 && *all != 1) {
                return onnx_job_refuse(j, "shapes do not fit together");
            }
            *all = *all == 1 ? one : *all;
        }
    }
    return FL_OK;
}

/* Where number i of out reads an input that is broadcast to it. */
int64_t onnx_broadcast_index(const onnx_const *out, const onnx_const *in, int64_t i)
{
    int64_t at = 0, step = 1;

    for (int d = 1; d <= out->rank; d++) {
        int64_t place = i % out->dim[out->rank - d];
        i /= out->dim[out->rank - d];
        if (d <= in->rank) {
            at += in->dim[in->rank - d] == 1 ? 0 : place * step;
            step *= in->dim[in->rank - d];
        }
    }
    return at;
}

static fl_status fold_two(const onnx_job *j)
{
    const onnx_const *a = j->in[0], *b = j->in[1];
    int64_t dim[NN_MAX_RANK] = {0};
    int rank;
    bool is_pow = onnx_job_is(j, "Pow");
    bool floats = onnx_type_is_float(a->type) || (is_pow && onnx_type_is_float(b->type));
    fl_status st = onnx_broadcast(&rank, dim, j);

    if (st != FL_OK) {
        return st;
    }
    if (!is_pow && onnx_type_is_float(a->type) != onnx_type_is_float(b->type)) {
        return onnx_job_refuse(j, "the inputs have different types");
    }
    int32_t type = is_comparison(j) ? TYPE(BOOL) : a->type;
    st = onnx_const_new(j->out, j->pool, type, rank, dim, j->err);
    for (int64_t i = 0; st == FL_OK && i < j->out->count; i++) {
        int64_t ia = onnx_broadcast_index(j->out, a, i), ib = onnx_broadcast_index(j->out, b, i);
        bool known = onnx_is_known(a, ia) && onnx_is_known(b, ib);
        onnx_number v = {0};
        if (floats) {
            double fa = onnx_convert(a->at[ia], a->type, TYPE(DOUBLE)).f;
            double fb = onnx_convert(b->at[ib], b->type, TYPE(DOUBLE)).f;
            v.f = known ? pair_float(j, fa, fb) : ONNX_UNKNOWN_F;
            v = onnx_convert(v, TYPE(DOUBLE), type);
        } else if (!known) {
            v.i = pair_unknown(j, a->at[ia].i, b->at[ib].i);
        } else if (!pair_int(j, &v.i, a->at[ia].i, b->at[ib].i)) {
            st = onnx_job_refuse(j, "a division by 0");
        } else {
            v = onnx_convert(v, type == TYPE(BOOL) ? TYPE(INT64) : type, type);
        }
        j->out->at[i] = v;
    }
    return st;
}

/* Min and Max take any number of inputs. */
static fl_status fold_pair(const onnx_job *j)
{
    onnx_const so_far = *j->in[0];
    fl_status st = FL_OK;

    if (j->n_in == 1 && (onnx_job_is(j, "Min") || onnx_job_is(j, "Max"))) {
        *j->out = so_far;
        return FL_OK;
    }
    if (j->n_in < 2) {
        return onnx_job_refuse(j, "an input is missing");
    }
    for (size_t k = 1; k < j->n_in && st == FL_OK; k++) {
        onnx_job two = *j;
        two.in = (const onnx_const *[]){&so_far, j->in[k]};
        two.n_in = 2;
        st = fold_two(&two);
        so_far = *j->out;
    }
    return st;
}

static fl_status fold_where(const onnx_job *j)
{
    int64_t dim[NN_MAX_RANK] = {0};
    int rank;
    fl_status st = j->n_in == 3 ? onnx_broadcast(&rank, dim, j)
                                : onnx_job_refuse(j, "an input is missing");

    if (st == FL_OK && (j->in[1]->type != j->in[2]->type || !is_all_known(j->in[0]))) {
        st = onnx_job_refuse(j,
                             "the inputs have different types, or the choice depends on the batch");
    }
    if (st != FL_OK ||
        (st = onnx_const_new(j->out, j->pool, j->in[1]->type, rank, dim, j->err)) != FL_OK) {
        return st;
    }
    for (int64_t i = 0; i < j->out->count; i++) {
        bool yes = j->in[0]->at[onnx_broadcast_index(j->out, j->in[0], i)].i != 0;
        const onnx_const *from = j->in[yes ? 1 : 2];
        j->out->at[i] = from->at[onnx_broadcast_index(j->out, from, i)];
    }
    return st;
}

/* ------------------------------------------------------------------ new ones */

static fl_status fold_constant_of_shape(const onnx_job *j)
{
    const onnx_const *shape = j->in[0];
    const Onnx__AttributeProto *a = onnx_attribute(j->node, "value");
    onnx_const value = {.type = TYPE(FLOAT), .count = 1, .at = &(onnx_number){.f = 0}};
    int64_t dim[NN_MAX_RANK];
    fl_status st = a != NULL && a->t != NULL ? onnx_tensor_const(&value, j->pool, a->t, j->err)
                                             : FL_OK;

    if (st != FL_OK || value.count != 1 || shape->rank > 1 || shape->count > NN_MAX_RANK ||
        onnx_type_is_float(shape->type)) {
        return st != FL_OK ? st
                           : onnx_job_refuse(j, "the input must be a shape and value one number");
    }
    for (int64_t i = 0; i < shape->count; i++) {
        dim[i] = shape->at[i].i;
        if (dim[i] < 0) {
            return onnx_job_refuse(
                j, "the shape has a number that is not allowed, or depends on the batch");
        }
    }
    st = onnx_const_new(j->out, j->pool, value.type, (int)shape->count, dim, j->err);
    for (int64_t i = 0; st == FL_OK && i < j->out->count; i++) {
        j->out->at[i] = value.at[0];
    }
    return st;
}

static fl_status fold_range(const onnx_job *j)
{
    if (j->n_in != 3 || j->in[0]->count != 1 || j->in[1]->count != 1 || j->in[2]->count != 1) {
        return onnx_job_refuse(j, "start, limit and delta must be single numbers");
    }
    int32_t type = j->in[0]->type;
    double value[3];
    for (size_t k = 0; k < 3; k++) {
        if (!onnx_is_known(j->in[k], 0)) {
            return onnx_job_refuse(j, "the range depends on the batch");
        }
        value[k] = onnx_convert(j->in[k]->at[0], j->in[k]->type, TYPE(DOUBLE)).f;
    }
    double n = ceil((value[1] - value[0]) / value[2]);
    if (!(n <= ONNX_MAX_CONST)) {
        return onnx_job_refuse(j, "the range is too long");
    }
    int64_t count = n > 0 ? (int64_t)n : 0;
    fl_status st = onnx_const_new(j->out, j->pool, type, 1, &count, j->err);
    for (int64_t i = 0; st == FL_OK && i < count; i++) {
        onnx_number v = {.f = value[0] + (double)i * value[2]};
        j->out->at[i] = onnx_convert(v, TYPE(DOUBLE), type);
    }
    return st;
}

/* Over all axes, or those that are named. */
static fl_status fold_reduce(const onnx_job *j)
{
    const onnx_const *x = j->in[0];
    const int64_t *axes;
    size_t n = onnx_job_list(&axes, j, "axes", 1);
    bool gone[NN_MAX_RANK] = {false}, keep = onnx_job_int(j, "keepdims", 1) != 0;
    bool all = n == 0 && onnx_job_int(j, "noop_with_empty_axes", 0) == 0;
    int64_t dim[NN_MAX_RANK], each = 1;
    int rank = 0;

    for (size_t i = 0; i < n; i++) {
        int axis = onnx_axis(axes[i], x->rank);
        if (axis < 0) {
            return onnx_job_refuse(j, "axes are out of range");
        }
        gone[axis] = true;
    }
    for (int d = 0; d < x->rank; d++) {
        gone[d] = gone[d] || all;
        each *= gone[d] ? x->dim[d] : 1;
        if (!gone[d] || keep) {
            dim[rank++] = gone[d] ? 1 : x->dim[d];
        }
    }
    fl_status st = onnx_const_new(j->out, j->pool, x->type, rank, dim, j->err);
    if (st != FL_OK || x->count == 0) {
        return st != FL_OK ? st : onnx_job_refuse(j, "nothing to reduce");
    }
    bool floats = onnx_type_is_float(x->type), product = onnx_job_is(j, "ReduceProd");
    int64_t *begun = onnx_pool_take(j->pool, j->out->count, j->err);
    if (begun == NULL) {
        return FL_ELIMIT;
    }
    for (int64_t i = 0; i < x->count; i++) {
        int64_t rest = i, into = 0, step = 1;
        for (int d = x->rank - 1; d >= 0; d--) {
            into += gone[d] ? 0 : rest % x->dim[d] * step;
            step *= gone[d] ? 1 : x->dim[d];
            rest /= x->dim[d];
        }
        onnx_number *y = &j->out->at[into], v = x->at[i];
        if (!begun[into]) {
            *y = v;
            begun[into] = 1;
            continue;
        }
        bool known = onnx_is_known(x, i) && onnx_is_known(j->out, into);
        if (floats) {
            y->f = !known                        ? ONNX_UNKNOWN_F
                   : product                     ? y->f * v.f
                   : onnx_job_is(j, "ReduceMax") ? fmax(y->f, v.f)
                   : onnx_job_is(j, "ReduceMin") ? fmin(y->f, v.f)
                                                 : y->f + v.f;
        } else {
            y->i = !known                        ? ONNX_UNKNOWN
                   : product                     ? (int64_t)((uint64_t)y->i * (uint64_t)v.i)
                   : onnx_job_is(j, "ReduceMax") ? (y->i > v.i ? y->i : v.i)
                   : onnx_job_is(j, "ReduceMin") ? (y->i < v.i ? y->i : v.i)
                                                 : (int64_t)((uint64_t)y->i + (uint64_t)v.i);
        }
    }
    for (int64_t i = 0; i < j->out->count; i++) {
        onnx_number *y = &j->out->at[i];
        if (onnx_job_is(j, "ReduceMean") && onnx_is_known(j->out, i)) {
            *y = floats ? (onnx_number){.f = y->f / (double)each} : (onnx_number){.i = y->i / each};
        }
        *y = onnx_convert(*y, x->type, x->type);
    }
    return st;
}

/* attrs: those that are understood, with blanks between; others are refused. */
static const struct {
    const char *op;
    fl_status (*fold)(const onnx_job *j);
    const char *attrs;
} folds[] = {
    {"Neg", fold_map, ""},
    {"Abs", fold_map, ""},
    {"Sqrt", fold_map, ""},
    {"Exp", fold_map, ""},
    {"Log", fold_map, ""},
    {"Floor", fold_map, ""},
    {"Ceil", fold_map, ""},
    {"Round", fold_map, ""},
    {"Reciprocal", fold_map, ""},
    {"Sign", fold_map, ""},
    {"Not", fold_map, ""},
    {"Cast", fold_cast, "to saturate"},
    {"CastLike", fold_cast, "saturate"},
    {"Add", fold_pair, ""},
    {"Sub", fold_pair, ""},
    {"Mul", fold_pair, ""},
    {"Div", fold_pair, ""},
    {"Pow", fold_pair, ""},
    {"Mod", fold_pair, "fmod"},
    {"Min", fold_pair, ""},
    {"Max", fold_pair, ""},
    {"Equal", fold_pair, ""},
    {"Less", fold_pair, ""},
    {"Greater", fold_pair, ""},
    {"LessOrEqual", fold_pair, ""},
    {"GreaterOrEqual", fold_pair, ""},
    {"And", fold_pair, ""},
    {"Or", fold_pair, ""},
    {"Xor", fold_pair, ""},
    {"Where", fold_where, ""},
    {"Identity", onnx_fold_identity, ""},
    {"Reshape", onnx_fold_reshape, "shape allowzero"},
    {"Squeeze", onnx_fold_squeeze, "axes"},
    {"Unsqueeze", onnx_fold_unsqueeze, "axes"},
    {"Expand", onnx_fold_expand, ""},
    {"Tile", onnx_fold_tile, ""},
    {"Transpose", onnx_fold_transpose, "perm"},
    {"Gather", onnx_fold_gather, "axis"},
    {"Slice", onnx_fold_slice, "starts ends axes steps"},
    {"Concat", onnx_fold_concat, "axis"},
    {"Split", onnx_fold_split, "axis split num_outputs"},
    {"ConstantOfShape", fold_constant_of_shape, "value"},
    {"Range", fold_range, ""},
    {"ReduceProd", fold_reduce, "axes keepdims noop_with_empty_axes"},
    {"ReduceSum", fold_reduce, "axes keepdims noop_with_empty_axes"},
    {"ReduceMax", fold_reduce, "axes keepdims noop_with_empty_axes"},
    {"ReduceMin", fold_reduce, "axes keepdims noop_with_empty_axes"},
    {"ReduceMean", fold_reduce, "axes keepdims noop_with_empty_axes"},
};
enum { N_FOLDS = sizeof folds / sizeof *folds };

static size_t fold_of(const char *op)
{
    size_t k = 0;

    while (k < N_FOLDS && strcmp(folds[k].op, op) != 0) {
        k++;
    }
    return k;
}

bool onnx_can_fold(const char *op)
{
    return fold_of(op) < N_FOLDS;
}

static bool is_word_of(const char *word, const char *words)
{
    size_t n = strlen(word);

    for (const char *at = words; n > 0 && (at = strstr(at, word)) != NULL; at += n) {
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) {
            return true;
        }
    }
    return false;
}

fl_status onnx_fold(onnx_const *out, onnx_pool *pool, const Onnx__NodeProto *node,
                    const onnx_const *const *in, size_t n_in, fl_err *err)
{
    onnx_job j = {node, in, n_in, pool, out, err};
    size_t k = fold_of(node->op_type);

    FL_REQUIRE(k < N_FOLDS);
    if (n_in == 0 || in[0] == NULL) {
        return fl_fail(err, FL_EFORMAT, "it has no input");
    }
    for (size_t i = 0; i < node->n_attribute; i++) {
        const char *name = node->attribute[i]->name != NULL ? node->attribute[i]->name : "";
        if (!is_word_of(name, folds[k].attrs)) {
            return fl_fail(err, FL_EUNSUPPORTED, "attribute %.40s is not supported", name);
        }
    }
    for (size_t i = 0; i < n_in; i++) {
        if (in[i] == NULL && (folds[k].fold == fold_pair || folds[k].fold == fold_where ||
                              folds[k].fold == onnx_fold_concat || folds[k].fold == fold_range)) {
            return fl_fail(err, FL_EFORMAT, "input %zu is missing", i + 1);
        }
    }
    return folds[k].fold(&j);
}

fl_status onnx_fold_shape(onnx_const *out, onnx_pool *pool, const Onnx__NodeProto *node,
                          const nn_shape *shape, fl_err *err)
{
    const Onnx__AttributeProto *start = onnx_attribute(node, "start"),
                               *end = onnx_attribute(node, "end");
    int64_t from = start != NULL ? start->i : 0, to = end != NULL ? end->i : shape->rank;
    bool is_size = strcmp(node->op_type, "Size") == 0, has_batch = false;
    int64_t size = 1;

    from += from < 0 ? shape->rank : 0;
    to += to < 0 ? shape->rank : 0;
    from = from < 0 ? 0 : from > shape->rank ? shape->rank : from;
    to = to < from ? from : to > shape->rank ? shape->rank : to;
    int64_t n = to - from;
    fl_status st = onnx_const_new(out, pool, TYPE(INT64), is_size ? 0 : 1, &n, err);
    for (int d = 0; st == FL_OK && d < shape->rank; d++) {
        bool is_batch = shape->dim[d] == NN_BATCH;
        has_batch = has_batch || is_batch;
        size *= is_batch ? 1 : shape->dim[d];
        if (!is_size && d >= from && d < to) {
            out->at[d - from].i = is_batch ? ONNX_BATCH : shape->dim[d];
        }
    }
    if (st == FL_OK && is_size) {
        out->at[0].i = has_batch ? ONNX_UNKNOWN : size;
    }
    return st;
}
