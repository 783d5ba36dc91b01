/*
 * input.c - from a decoded image to what a model sees
 */
#include "data/input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

static size_t count(const data_image *image)
{
    return (size_t)(image->channels * image->frames * image->rows * image->cols);
}

static fl_status check_finite(const data_image *image, const char *where, fl_err *err)
{
    for (size_t i = 0; i < count(image); i++) {
        if (!isfinite(image->data[i])) {
            return fl_fail(err, FL_EFORMAT, "%s: expected finite pixels, found %g", where,
                           (double)image->data[i]);
        }
    }
    return FL_OK;
}

static nn_shape shape_of(const data_image *image)
{
    if (image->frames == 1) {
        return (nn_shape){3, {image->channels, image->rows, image->cols}};
    }
    return (nn_shape){4, {image->channels, image->frames, image->rows, image->cols}};
}

static fl_status check_shape(const nn_shape *found, const nn_shape *expect, const char *where,
                             fl_err *err)
{
    char ours[128];
    char theirs[128];
    if (expect->rank == 0 || nn_shape_equal(found, expect)) {
        return FL_OK;
    }
    nn_shape_text(ours, sizeof ours, found);
    nn_shape_text(theirs, sizeof theirs, expect);
    return fl_fail(err, FL_ECONFIG,
                   "%s: input: expected %s, found %s (preprocess can change channels and resize)",
                   where, theirs, ours);
}

fl_status data_input_shift_values(float *x, const nn_shape *shape, const data_shift *chain,
                                  uint64_t seed, const char *name, fl_err *err)
{
    fl_rng rng;
    fl_rng_init(&rng, seed, "shift", name, 0);
    return data_shift_apply(chain, x, shape, &rng, err);
}

fl_status data_input_shift_masks(uint8_t *const *masks, size_t n, const nn_shape *shape,
                                 const data_shift *chain, uint64_t seed, const char *name,
                                 fl_err *err)
{
    fl_rng rng;
    fl_rng_init(&rng, seed, "shift", name, 0);
    return data_shift_masks(chain, masks, n, shape, &rng, err);
}

static fl_status shift(data_image *image, const data_recipe *r, const nn_shape *shape,
                       const char *name, const char *where, fl_err *err)
{
    if (r->shift.n == 0) {
        return FL_OK;
    }
    for (size_t i = 0; i < count(image); i++) {
        image->data[i] /= image->full_scale;
    }
    image->full_scale = 1.0f;
    fl_status st = data_input_shift_values(image->data, shape, &r->shift, r->shift_seed, name, err);
    return st == FL_OK ? st : fl_wrap(err, st, "%s", where);
}

/* Bytes where the image still is what the file had. */
static fl_status pack(data_input *out, data_image *image, const char *where, fl_err *err)
{
    size_t n = count(image);

    out->full = image->full_scale;
    if (out->full != 255.0f && out->full != 65535.0f) {
        out->sample = DATA_SAMPLE_F32;
        out->samples = image->data;
        image->data = NULL;  // now the input's
        return FL_OK;
    }
    bool small = out->full == 255.0f;
    out->sample = small ? DATA_SAMPLE_U8 : DATA_SAMPLE_U16;
    out->samples = fl_calloc(n, small ? 1 : 2, where, err);
    if (out->samples == NULL) {
        return FL_ELIMIT;
    }
    uint8_t *bytes = out->samples;
    uint16_t *words = out->samples;
    for (size_t i = 0; i < n; i++) {
        if (small) {
            bytes[i] = (uint8_t)image->data[i];
        } else {
            words[i] = (uint16_t)image->data[i];
        }
    }
    FL_FREE(image->data);
    return FL_OK;
}

static fl_status normalise(data_input *in, data_normalise kind, size_t n, const char *where,
                           fl_err *err)
{
    in->normalise = kind;
    in->factor = 1.0f;
    if (kind == DATA_NORMALISE_NONE) {
        return FL_OK;
    }
    float *x = fl_calloc(n, sizeof *x, where, err);
    if (x == NULL) {
        return FL_ELIMIT;
    }
    data_input_copy_raw(x, in, n);
    data_normalise_of(kind, x, n, &in->mean, &in->factor);
    free(x);
    return FL_OK;
}

fl_status data_input_make(data_input *out, data_image *image, const data_recipe *r,
                          const nn_shape *expect, const char *name, const char *where, fl_err *err)
{
    fl_status st;

    *out = (data_input){0};
    memcpy(out->digest, image->sha256, sizeof out->digest);
    if ((st = check_finite(image, where, err)) != FL_OK ||
        (st = data_preprocess_apply(image, &r->preprocess, expect, where, err)) != FL_OK) {
        return st;
    }
    out->shape = shape_of(image);
    size_t n = count(image);
    if ((st = check_shape(&out->shape, expect, where, err)) != FL_OK ||
        (st = shift(image, r, &out->shape, name, where, err)) != FL_OK ||
        (st = pack(out, image, where, err)) != FL_OK ||
        (st = normalise(out, r->preprocess.normalise, n, where, err)) != FL_OK) {
        FL_FREE(out->samples);
    }
    return st;
}

fl_status data_input_shift(data_input *in, const data_shift *chain, uint64_t seed, const char *name,
                           fl_err *err)
{
    size_t n = (size_t)nn_shape_count(&in->shape, 1);
    float *x = fl_calloc(n, sizeof *x, "shifted image", err);
    if (x == NULL) {
        return FL_ELIMIT;
    }
    data_input_copy_raw(x, in, n);
    fl_status st = data_input_shift_values(x, &in->shape, chain, seed, name, err);
    if (st != FL_OK) {
        free(x);
        return st;
    }
    data_normalise_of(in->normalise, x, n, &in->mean, &in->factor);
    in->samples = x;
    in->sample = DATA_SAMPLE_F32;
    in->full = 1.0f;
    return FL_OK;
}

size_t data_input_bytes(const data_input *in)
{
    size_t item = in->sample == DATA_SAMPLE_U8 ? 1 : in->sample == DATA_SAMPLE_U16 ? 2 : 4;
    return (size_t)nn_shape_count(&in->shape, 1) * item;
}

void data_input_copy_raw(float *x, const data_input *in, size_t n)
{
    const uint8_t *bytes = in->samples;
    const uint16_t *words = in->samples;

    switch (in->sample) {
    case DATA_SAMPLE_U8:
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)bytes[i] / in->full;
        }
        break;
    case DATA_SAMPLE_U16:
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)words[i] / in->full;
        }
        break;
    case DATA_SAMPLE_F32:
        memcpy(x, in->samples, n * sizeof *x);  // full is 1
        break;
    }
}

void data_input_copy(float *x, const data_input *in, size_t n)
{
    data_input_copy_raw(x, in, n);
    if (in->normalise == DATA_NORMALISE_NONE) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        x[i] = (x[i] - in->mean) * in->factor;
    }
}
