/*
 * vectors.c - see vectors.h
 */
#include "eval/vectors.h"

#include "check.h"

json_t *vectors_read(const char *name)
{
    fl_err err = FL_ERR_INIT;
    json_t *json = NULL;
    char *path = fl_path_join("tests/vectors", name);
    check_ok(fl_json_read(&json, path, 1 << 20, &err), err);
    free(path);
    return json;
}

double *vectors_numbers(const json_t *object, const char *key, size_t *n)
{
    const json_t *list = json_object_get(object, key);
    *n = json_array_size(list);
    if (!json_is_array(list)) {
        return NULL;
    }
    double *out = fl_xcalloc(*n, sizeof *out);
    for (size_t i = 0; i < *n; i++) {
        const json_t *item = json_array_get(list, i);
        out[i] = json_is_null(item) ? NAN : json_number_value(item);
    }
    return out;
}

int64_t *vectors_integers(const json_t *object, const char *key, size_t *n)
{
    double *numbers = vectors_numbers(object, key, n);
    if (numbers == NULL) {
        return NULL;
    }
    int64_t *out = fl_xcalloc(*n, sizeof *out);
    for (size_t i = 0; i < *n; i++) {
        out[i] = (int64_t)numbers[i];
    }
    free(numbers);
    return out;
}

int *vectors_labels(const json_t *object, const char *key, size_t *n)
{
    double *numbers = vectors_numbers(object, key, n);
    if (numbers == NULL) {
        return NULL;
    }
    int *out = fl_xcalloc(*n, sizeof *out);
    for (size_t i = 0; i < *n; i++) {
        out[i] = (int)numbers[i];
    }
    free(numbers);
    return out;
}
