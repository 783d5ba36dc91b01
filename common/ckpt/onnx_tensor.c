/*
 * onnx_tensor.c - tensors of a file: their shapes and their numbers
 *
 * A TensorProto holds its numbers as raw little-endian bytes or in a field of
 * their type; narrow whole numbers, float16 and bfloat16 share int32_data.
 */
#include <math.h>
#include <string.h>

#include "ckpt/onnx.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

static const struct {
    int32_t type;
    const char *name;
    size_t bytes;  // of a raw number; 0: is not read
} types[] = {
    {TYPE(FLOAT), "float", 4},        {TYPE(DOUBLE), "double", 8}, {TYPE(FLOAT16), "float16", 2},
    {TYPE(BFLOAT16), "bfloat16", 2},  {TYPE(INT64), "int64", 8},   {TYPE(INT32), "int32", 4},
    {TYPE(INT16), "int16", 2},        {TYPE(INT8), "int8", 1},     {TYPE(UINT64), "uint64", 8},
    {TYPE(UINT32), "uint32", 4},      {TYPE(UINT16), "uint16", 2}, {TYPE(UINT8), "uint8", 1},
    {TYPE(BOOL), "bool", 1},          {TYPE(STRING), "string", 0}, {TYPE(COMPLEX64), "complex", 0},
    {TYPE(COMPLEX128), "complex", 0},
};
enum { N_TYPES = sizeof types / sizeof *types };

static size_t bytes_of(int32_t type)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        if (types[i].type == type) {
            return types[i].bytes;
        }
    }
    return 0;
}

const char *onnx_type_name(int32_t type)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        if (types[i].type == type) {
            return types[i].name;
        }
    }
    return "a type of its own";
}

bool onnx_type_is_float(int32_t type)
{
    return type == TYPE(FLOAT) || type == TYPE(DOUBLE) || type == TYPE(FLOAT16) ||
           type == TYPE(BFLOAT16);
}

static const char *tensor_name(const Onnx__TensorProto *t)
{
    return t->name != NULL && t->name[0] != '\0' ? t->name : "(constant)";
}

/* -------------------------------------------------------- kinds of numbers */

static double half_to_double(uint16_t h)
{
    int exponent = h >> 10 & 0x1f, fraction = h & 0x3ff;
    double value = exponent == 0x1f ? (fraction != 0 ? NAN : INFINITY)
                   : exponent == 0  ? ldexp(fraction, -24)
                                    : ldexp(fraction + 1024, exponent - 25);

    return (h & 0x8000) != 0 ? -value : value;
}

static double bfloat_to_double(uint16_t b)
{
    uint32_t bits = (uint32_t)b << 16;
    float value;

    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* x rounded to the nearest number with `digits` binary digits and exponents
 * from lowest on, ties to even. */
static double rounded(double x, int digits, int lowest, double largest)
{
    int exponent;

    if (x == 0 || !isfinite(x)) {
        return x;
    }
    frexp(x, &exponent);
    int unit = exponent - digits > lowest ? exponent - digits : lowest;
    double y = ldexp(nearbyint(ldexp(x, -unit)), unit);
    return fabs(y) > largest ? copysign(INFINITY, y) : y;
}

static int64_t wrapped(int64_t x, int32_t type)
{
    switch (type) {
    case TYPE(INT32):
        return (int32_t)x;
    case TYPE(INT16):
        return (int16_t)x;
    case TYPE(INT8):
        return (int8_t)x;
    case TYPE(UINT32):
        return (uint32_t)x;
    case TYPE(UINT16):
        return (uint16_t)x;
    case TYPE(UINT8):
        return (uint8_t)x;
    case TYPE(BOOL):
        return x != 0;
    default:
        return x;
    }
}

/* Towards 0; what no int64 can hold becomes the nearest one that can. */
static int64_t truncated(double x)
{
    return isnan(x) ? 0 : x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (int64_t)x;
}

onnx_number onnx_convert(onnx_number x, int32_t from, int32_t to)
{
    bool is_float = onnx_type_is_float(from);

    if (is_float ? x.f == ONNX_BATCH_F || x.f == ONNX_UNKNOWN_F
                 : x.i == ONNX_BATCH || x.i == ONNX_UNKNOWN) {
        bool is_batch = is_float ? x.f == ONNX_BATCH_F : x.i == ONNX_BATCH;
        return onnx_type_is_float(to) ? (onnx_number){.f = is_batch ? ONNX_BATCH_F : ONNX_UNKNOWN_F}
                                      : (onnx_number){.i = is_batch ? ONNX_BATCH : ONNX_UNKNOWN};
    }
    if (!onnx_type_is_float(to)) {
        int64_t i = !is_float ? x.i : to == TYPE(BOOL) ? x.f != 0 : truncated(x.f);
        return (onnx_number){.i = wrapped(i, to)};
    }
    double f = is_float ? x.f : from == TYPE(UINT64) ? (double)(uint64_t)x.i : (double)x.i;
    f = to == TYPE(FLOAT)      ? (double)(float)f
        : to == TYPE(FLOAT16)  ? rounded(f, 11, -24, 65504)
        : to == TYPE(BFLOAT16) ? rounded((double)(float)f, 8, -133, 0x1.fep127)
                               : f;
    return (onnx_number){.f = f};
}

/* ----------------------------------------------------------------- numbers */

/* Where a tensor's numbers are: raw bytes, or a field of 4 or 8 bytes each. */
typedef struct {
    const uint8_t *at;
    size_t each;
    bool is_raw;
} numbers;

/* NULL in at unless there are exactly as many as the dimensions say. */
static numbers find_numbers(const Onnx__TensorProto *t, int64_t count)
{
    numbers none = {NULL, 0, false};
    size_t each = bytes_of(t->data_type), n = (size_t)count;

    if (count < 0 || each == 0) {
        return none;
    }
    if (t->has_raw_data && t->raw_data.len > 0) {
        return t->raw_data.len / each == n && t->raw_data.len % each == 0
                   ? (numbers){t->raw_data.data, each, true}
                   : none;
    }
    numbers found = none;
    size_t held = t->n_int32_data;
    switch (t->data_type) {
    case TYPE(FLOAT):
        found = (numbers){(const uint8_t *)t->float_data, sizeof(float), false};
        held = t->n_float_data;
        break;
    case TYPE(DOUBLE):
        found = (numbers){(const uint8_t *)t->double_data, sizeof(double), false};
        held = t->n_double_data;
        break;
    case TYPE(INT64):
        found = (numbers){(const uint8_t *)t->int64_data, sizeof(int64_t), false};
        held = t->n_int64_data;
        break;
    case TYPE(UINT64):
    case TYPE(UINT32):
        found = (numbers){(const uint8_t *)t->uint64_data, sizeof(uint64_t), false};
        held = t->n_uint64_data;
        break;
    default:
        found = (numbers){(const uint8_t *)t->int32_data, sizeof(int32_t), false};
    }
    if (n == 0 && held == 0) {
        return (numbers){(const uint8_t *)"", each, true};
    }
    return held == n ? found : none;
}

static onnx_number number_at(const numbers *s, int32_t type, int64_t i)
{
    const uint8_t *at = s->at + (size_t)i * s->each;
    uint64_t bits = 0;
    float f;
    double d;

    memcpy(&bits, at, s->each);  // little-endian, as the file
    if (type == TYPE(FLOAT)) {
        memcpy(&f, at, sizeof f);
        return (onnx_number){.f = (double)f};
    }
    if (type == TYPE(DOUBLE)) {
        memcpy(&d, at, sizeof d);
        return (onnx_number){.f = d};
    }
    if (type == TYPE(FLOAT16) || type == TYPE(BFLOAT16)) {
        return (onnx_number){.f = type == TYPE(FLOAT16) ? half_to_double((uint16_t)bits)
                                                        : bfloat_to_double((uint16_t)bits)};
    }
    return (onnx_number){.i = wrapped((int64_t)bits, type)};
}

/* ------------------------------------------------------------------ checks */

static int64_t count_of(const Onnx__TensorProto *t)
{
    int64_t count = 1;

    for (size_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] < 0 || __builtin_mul_overflow(count, t->dims[i], &count)) {
            return -1;
        }
    }
    return count;
}

fl_status onnx_tensor_check(const Onnx__TensorProto *t, fl_err *err)
{
    if (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "tensor %.80s lies in another file; save the model as one file",
                       tensor_name(t));
    }
    if (t->n_dims > NN_MAX_RANK) {
        return fl_fail(err, FL_ELIMIT, "tensor %.80s has more than %d dimensions", tensor_name(t),
                       NN_MAX_RANK);
    }
    if (bytes_of(t->data_type) == 0) {
        return fl_fail(err, FL_EUNSUPPORTED, "tensor %.80s holds %s, not numbers", tensor_name(t),
                       onnx_type_name(t->data_type));
    }
    if (find_numbers(t, count_of(t)).at == NULL) {
        return fl_fail(err, FL_EFORMAT,
                       "tensor %.80s does not hold as many numbers as its shape says",
                       tensor_name(t));
    }
    return FL_OK;
}

fl_status onnx_tensor_shape(nn_shape *out, const Onnx__TensorProto *t, fl_err *err)
{
    fl_status st = onnx_tensor_check(t, err);

    memset(out, 0, sizeof *out);
    for (size_t i = 0; st == FL_OK && i < t->n_dims; i++) {
        out->dim[out->rank++] = t->dims[i];
        if (t->dims[i] < 1) {
            st = fl_fail(err, FL_EFORMAT, "tensor %.80s has a dimension of %lld", tensor_name(t),
                         (long long)t->dims[i]);
        }
    }
    return st;
}

fl_status onnx_tensor_floats(float *out, const Onnx__TensorProto *t, fl_err *err)
{
    int64_t count = count_of(t);
    fl_status st = onnx_tensor_check(t, err);

    if (st != FL_OK) {
        return st;
    }
    numbers s = find_numbers(t, count);
    if (t->data_type == TYPE(FLOAT)) {
        memcpy(out, s.at, (size_t)count * sizeof *out);
        return FL_OK;
    }
    for (int64_t i = 0; i < count; i++) {
        out[i] = (float)onnx_convert(number_at(&s, t->data_type, i), t->data_type, TYPE(FLOAT)).f;
    }
    return FL_OK;
}

/* --------------------------------------------------------------- constants */

void *onnx_pool_take(onnx_pool *pool, int64_t n, fl_err *err)
{
    if (n > pool->left) {
        fl_fail(err, FL_ELIMIT, "constants of more than %lld numbers", (long long)ONNX_MAX_CONSTS);
        return NULL;
    }
    pool->left -= n;
    return fl_arena_alloc(pool->arena, (size_t)n, sizeof(onnx_number));
}

fl_status onnx_const_new(onnx_const *out, onnx_pool *pool, int32_t type, int rank,
                         const int64_t *dim, fl_err *err)
{
    *out = (onnx_const){.type = type, .rank = rank, .count = 1};
    if (rank < 0 || rank > NN_MAX_RANK) {
        return fl_fail(err, FL_ELIMIT, "a constant of more than %d dimensions", NN_MAX_RANK);
    }
    for (int d = 0; d < rank; d++) {
        if (dim[d] < 0 || (dim[d] > 0 && out->count > ONNX_MAX_CONST / dim[d])) {
            return fl_fail(err, FL_ELIMIT, "a constant of more than %d numbers", ONNX_MAX_CONST);
        }
        out->dim[d] = dim[d];
        out->count *= dim[d];
    }
    out->at = onnx_pool_take(pool, out->count, err);
    return out->at != NULL ? FL_OK : FL_ELIMIT;
}

fl_status onnx_tensor_const(onnx_const *out, onnx_pool *pool, const Onnx__TensorProto *t,
                            fl_err *err)
{
    fl_status st = onnx_tensor_check(t, err);

    if (st != FL_OK ||
        (st = onnx_const_new(out, pool, t->data_type, (int)t->n_dims, t->dims, err)) != FL_OK) {
        return st;
    }
    numbers s = find_numbers(t, out->count);
    for (int64_t i = 0; i < out->count; i++) {
        out->at[i] = number_at(&s, t->data_type, i);
    }
    return FL_OK;
}
