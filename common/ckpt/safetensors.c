/*
 * safetensors.c - numbers at rest: 8 bytes of length, a JSON header, the data
 *
 * The format is that of Hugging Face's safetensors (github.com/huggingface/
 * safetensors, "Format").  Beside what the format asks, a header whose
 * stretches overlap or leave gaps is refused, and duplicate names are.
 * "__metadata__" carries "kinds": one letter a tensor in the file's order, so
 * that a table survives the trip, and the caller's notes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"

enum { MAX_HEADER = 16 << 20, MAX_TENSORS = 100000, LENGTH_BYTES = 8, MAX_META = 1000 };
#define MAX_DATA ((size_t)8 << 30)

static const char kinds_key[] = "kinds";
static const char kind_letters[] = "wbnsf";  // by nn_kind

/* ----------------------------------------------------------------- writing */

static void set_metadata(json_t *header, const nn_table *table, const ckpt_meta *meta)
{
    json_t *notes = json_object();
    char *kinds = fl_xcalloc(nn_table_n(table) + 1, 1);

    for (size_t i = 0; i < nn_table_n(table); i++) {
        kinds[i] = kind_letters[nn_table_at(table, i)->kind];
    }
    json_object_set_new(notes, kinds_key, json_string(kinds));
    for (size_t i = 0; meta != NULL && i < meta->n; i++) {
        json_object_set_new(notes, meta->keys[i], json_string(meta->values[i]));
    }
    json_object_set_new(header, "__metadata__", notes);
    free(kinds);
}

static json_t *tensor_entry(const nn_param *p)
{
    json_t *shape = json_array();
    json_int_t begin = p->offset * (int64_t)sizeof(float),
               end = begin + p->count * (int64_t)sizeof(float);

    for (int i = 0; i < p->shape.rank; i++) {
        json_array_append_new(shape, json_integer(p->shape.dim[i]));
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape, "data_offsets", begin,
                     end);
}

fl_status ckpt_safetensors_pack(char **out, size_t *n, const nn_table *table, const float *data,
                                const ckpt_meta *meta, fl_err *err)
{
    json_t *header = json_object();
    size_t data_bytes = (size_t)nn_table_count(table) * sizeof *data;

    *out = NULL;
    *n = 0;
    set_metadata(header, table, meta);
    for (size_t i = 0; i < nn_table_n(table); i++) {
        json_object_set_new(header, nn_table_at(table, i)->name,
                            tensor_entry(nn_table_at(table, i)));
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (text == NULL) {
        return fl_fail(err, FL_EFORMAT, "a name or note of the model is not UTF-8");
    }
    size_t used = strlen(text), padded = (used + 7) / 8 * 8;  // the data starts aligned
    char *file = padded > MAX_HEADER
                     ? NULL
                     : fl_calloc(LENGTH_BYTES + padded + data_bytes, 1, "the model's file", err);
    if (file == NULL) {
        free(text);
        return padded > MAX_HEADER
                   ? fl_fail(err, FL_ELIMIT, "the model's header would be larger than %d bytes",
                             MAX_HEADER)
                   : FL_ELIMIT;
    }
    uint64_t length = padded;
    memcpy(file, &length, LENGTH_BYTES);
    memcpy(file + LENGTH_BYTES, text, used);
    memset(file + LENGTH_BYTES + used, ' ', padded - used);
    memcpy(file + LENGTH_BYTES + padded, data, data_bytes);
    free(text);
    *out = file;
    *n = LENGTH_BYTES + padded + data_bytes;
    return FL_OK;
}

fl_status ckpt_safetensors_write(const char *path, const nn_table *table, const float *data,
                                 const ckpt_meta *meta, fl_err *err)
{
    char *file;
    size_t n;
    fl_status st = ckpt_safetensors_pack(&file, &n, table, data, meta, err);

    if (st == FL_OK) {
        st = fl_file_write(path, file, n, 0644, err);
        free(file);
    }
    return st;
}

/* ----------------------------------------------------------------- reading */

typedef enum { DTYPE_F32, DTYPE_F64, DTYPE_BF16, DTYPE_I64, N_DTYPES } dtype;

static const struct {
    const char *name;
    size_t bytes;
} dtypes[N_DTYPES] = {{"F32", 4}, {"F64", 8}, {"BF16", 2}, {"I64", 8}};

typedef struct {
    const char *name;  // borrowed from the header
    dtype type;
    nn_shape shape;
    size_t begin, end;  // bytes of the data
} tensor;

/* PyTorch counts the batches that a normalisation has seen: a whole number,
 * and no parameter of ours. */
static bool is_counter(const char *name, dtype type)
{
    static const char counter[] = "num_batches_tracked";
    size_t n = strlen(name), k = sizeof counter - 1;

    return type == DTYPE_I64 && n >= k && strcmp(name + n - k, counter) == 0;
}

static fl_status read_dtype(dtype *out, const char *name, const json_t *entry, fl_err *err)
{
    const char *text = fl_json_get_string(entry, "dtype", "");

    for (*out = DTYPE_F32; *out < N_DTYPES; (*out)++) {
        if (strcmp(dtypes[*out].name, text) == 0 && (*out != DTYPE_I64 || is_counter(name, *out))) {
            return FL_OK;
        }
    }
    return fl_fail(err, FL_EUNSUPPORTED,
                   "tensor %.80s has type '%.16s'; F32, F64 and BF16 are read", name, text);
}

static fl_status read_tensor(tensor *t, const char *name, const json_t *entry, size_t data_bytes,
                             fl_err *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    int64_t begin = json_integer_value(json_array_get(offsets, 0));
    int64_t end = json_integer_value(json_array_get(offsets, 1));

    memset(t, 0, sizeof *t);
    t->name = name;
    fl_status st = read_dtype(&t->type, name, entry, err);
    if (st != FL_OK) {
        return st;
    }
    if (!json_is_array(shape) || json_array_size(shape) > NN_MAX_RANK) {
        return fl_fail(err, FL_ELIMIT, "tensor %.80s must have a shape of at most %d dimensions",
                       name, NN_MAX_RANK);
    }
    t->shape.rank = (int)json_array_size(shape);
    for (int i = 0; i < t->shape.rank; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        t->shape.dim[i] = json_integer_value(dim);
        if (!json_is_integer(dim) || t->shape.dim[i] < 1) {
            return fl_fail(err, FL_EFORMAT,
                           "tensor %.80s has a dimension that is not a number from 1", name);
        }
    }
    int64_t count = nn_shape_count(&t->shape, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(json_array_get(offsets, 0)) ||
        !json_is_integer(json_array_get(offsets, 1)) || begin < 0 || end < begin ||
        (uint64_t)end > data_bytes) {
        return fl_fail(err, FL_EFORMAT, "tensor %.80s lies outside the file", name);
    }
    size_t n = (size_t)(end - begin), size = dtypes[t->type].bytes;
    if (count < 0 || (size_t)count != n / size || n % size != 0) {
        return fl_fail(err, FL_EFORMAT, "tensor %.80s: its shape does not fit its %zu bytes", name,
                       n);
    }
    t->begin = (size_t)begin;
    t->end = (size_t)end;
    return FL_OK;
}

static int by_place(const void *a, const void *b)
{
    const tensor *x = a, *y = b;

    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Reads the entries of the header, in the order of their data, which must
 * follow each other without gaps to the end of the file. */
static fl_status read_entries(tensor **out, size_t *n, const json_t *header, size_t data_bytes,
                              fl_err *err)
{
    const char *name;
    json_t *entry;
    size_t at = 0, count = json_object_size(header);
    fl_status st = FL_OK;

    *out = NULL;
    *n = 0;
    if (count > MAX_TENSORS) {
        return fl_fail(err, FL_ELIMIT, "the header names %zu tensors, at most %d are read", count,
                       MAX_TENSORS);
    }
    tensor *tensors = fl_xcalloc(count, sizeof *tensors);
    json_object_foreach((json_t *)header, name, entry)
    {
        if (st == FL_OK && strcmp(name, "__metadata__") != 0) {
            st = read_tensor(&tensors[*n], name, entry, data_bytes, err);
            (*n)++;
        }
    }
    qsort(tensors, *n, sizeof *tensors, by_place);
    for (size_t i = 0; i < *n && st == FL_OK; i++) {
        if (tensors[i].begin != at) {
            st = fl_fail(err, FL_EFORMAT, "tensor %.80s overlaps another or leaves a gap",
                         tensors[i].name);
        }
        at = tensors[i].end;
    }
    if (st == FL_OK && (*n == 0 || at != data_bytes)) {
        st = fl_fail(err, FL_EFORMAT,
                     *n == 0 ? "the file holds no tensor" : "bytes follow the last tensor");
    }
    *out = tensors;
    return st;
}

/* Kinds from the metadata, else from the names. */
static nn_kind kind_of(const char *name, const char *kinds, size_t i)
{
    const char *letter = kinds != NULL ? strchr(kind_letters, kinds[i]) : NULL;
    size_t n = strlen(name);
    const char *last = strrchr(name, '.') != NULL ? strrchr(name, '.') + 1 : name;

    if (letter != NULL && *letter != '\0') {
        return (nn_kind)(letter - kind_letters);
    }
    if (strstr(name, "running_mean") != NULL || strstr(name, "running_var") != NULL) {
        return NN_STAT;
    }
    return n >= 4 && strcmp(last, "bias") == 0 ? NN_BIAS : NN_WEIGHT;
}

static void read_values(float *out, const tensor *t, const char *bytes)
{
    size_t n = (t->end - t->begin) / dtypes[t->type].bytes;

    if (t->type == DTYPE_F32) {
        memcpy(out, bytes, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        double wide;
        uint32_t bits = 0;
        if (t->type == DTYPE_F64) {
            memcpy(&wide, bytes + i * sizeof wide, sizeof wide);
            out[i] = (float)wide;
        } else {  // bf16 is the upper half of a float
            memcpy((char *)&bits + 2, bytes + 2 * i, 2);
            memcpy(&out[i], &bits, sizeof bits);
        }
    }
}

static fl_status read_metadata(ckpt_meta *meta, const char **kinds, size_t n_tensors,
                               const json_t *header, fl_err *err)
{
    json_t *notes = json_object_get(header, "__metadata__"), *value;
    const char *key;

    *kinds = NULL;
    if (notes == NULL) {
        return FL_OK;
    }
    if (!json_is_object(notes) || json_object_size(notes) > MAX_META) {
        return fl_fail(err, FL_EFORMAT, "__metadata__ must be an object of at most %d texts",
                       MAX_META);
    }
    json_object_foreach(notes, key, value)
    {
        if (!json_is_string(value)) {
            return fl_fail(err, FL_EFORMAT, "__metadata__: %.80s must be a text", key);
        }
        if (strcmp(key, kinds_key) == 0) {
            *kinds = json_string_length(value) == n_tensors ? json_string_value(value) : NULL;
        } else if (meta != NULL) {
            ckpt_meta_add(meta, key, json_string_value(value));
        }
    }
    return FL_OK;
}

/* From the checked pieces of a file to a table and its vector. */
static fl_status fill(nn_table **table, float **data, const tensor *tensors, size_t n,
                      const char *kinds, const char *bytes, fl_err *err)
{
    *table = nn_table_new();
    for (size_t i = 0; i < n; i++) {
        const tensor *t = &tensors[i];
        fl_status st = is_counter(t->name, t->type)
                           ? FL_OK
                           : nn_table_add(*table, t->name, kind_of(t->name, kinds, i), &t->shape,
                                          err);
        if (st != FL_OK) {
            return st;
        }
    }
    *data = fl_calloc_aligned((size_t)nn_table_count(*table), sizeof **data,
                              "the model's parameters", err);
    for (size_t i = 0; *data != NULL && i < n; i++) {
        const nn_param *p = nn_table_find(*table, tensors[i].name);
        if (p != NULL) {
            read_values(*data + p->offset, &tensors[i], bytes + tensors[i].begin);
        }
    }
    return *data == NULL ? FL_ELIMIT : FL_OK;
}

fl_status ckpt_safetensors_unpack(nn_table **table, float **data, ckpt_meta *meta, const char *file,
                                  size_t n, fl_err *err)
{
    fl_status st;
    uint64_t length = 0;
    json_t *header = NULL;
    tensor *tensors = NULL;
    size_t n_tensors = 0;
    const char *kinds = NULL;

    *table = NULL;
    *data = NULL;
    if (n >= LENGTH_BYTES) {
        memcpy(&length, file, LENGTH_BYTES);
    }
    if (n < LENGTH_BYTES || length > n - LENGTH_BYTES) {
        return fl_fail(err, FL_EFORMAT, "no safetensors file: it ends within its header");
    }
    if (length > MAX_HEADER) {
        return fl_fail(err, FL_ELIMIT, "a header of %llu bytes, at most %d are read",
                       (unsigned long long)length, MAX_HEADER);
    }
    const char *bytes = file + LENGTH_BYTES + length;
    size_t data_bytes = n - LENGTH_BYTES - (size_t)length;
    if ((st = fl_json_parse(&header, file + LENGTH_BYTES, (size_t)length, MAX_HEADER, "header",
                            err)) != FL_OK) {
        goto done;
    }
    if (!json_is_object(header)) {
        st = fl_fail(err, FL_EFORMAT, "the header is no JSON object");
        goto done;
    }
    if ((st = read_entries(&tensors, &n_tensors, header, data_bytes, err)) != FL_OK ||
        (st = read_metadata(meta, &kinds, n_tensors, header, err)) != FL_OK) {
        goto done;
    }
    st = fill(table, data, tensors, n_tensors, kinds, bytes, err);
done:
    if (st != FL_OK) {
        nn_table_destroy(table);
        FL_FREE(*data);
    }
    free(tensors);
    json_decref(header);
    return st;
}

fl_status ckpt_safetensors_read(nn_table **table, float **data, ckpt_meta *meta, const char *path,
                                fl_err *err)
{
    char *file;
    size_t n;

    *table = NULL;
    *data = NULL;
    fl_status st = fl_file_read(&file, &n, path, LENGTH_BYTES + MAX_HEADER + MAX_DATA, err);
    if (st != FL_OK) {
        return st;
    }
    st = ckpt_safetensors_unpack(table, data, meta, file, n, err);
    free(file);
    return st == FL_OK ? st : fl_wrap(err, st, "%s", path);
}
