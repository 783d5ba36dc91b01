/*
 * dicom.c - DICOM images (PS3.3): from a parsed file to an image
 *
 * Checks that what the header says goes together, has the samples read
 * (dicom_pixels.c) and coloured (dicom_colour.c), rescales them and says where
 * they lie (dicom_place.c).
 *
 * Why not GDCM or DCMTK: DCMTK reads no JPEG 2000, and GDCM 3.0 aborts the
 * process even on some whole files, which one bad export must not do to a
 * hospital's client.  https://www.dicomstandard.org/current
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "data/dicom.h"
#include "data/image.h"

/* --- shape --- */

bool data_dicom_photometric(const dicom_header *h, const char *begins)
{
    return strncmp(h->photometric, begins, strlen(begins)) == 0;
}

static fl_status check_header(const dicom_header *h, const char *name, fl_err *err)
{
    static const char *const known[] = {"MONOCHROME1", "MONOCHROME2", "RGB",     "PALETTE COLOR",
                                        "YBR_FULL",    "YBR_RCT",     "YBR_ICT", "YBR_FULL_422"};
    bool is_known = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        is_known = is_known || strcmp(h->photometric, known[i]) == 0;
    }
    if (!is_known) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: DICOM: this photometric interpretation is not read", name);
    }
    bool one = data_dicom_photometric(h, "MONOCHROME") || data_dicom_photometric(h, "PALETTE");
    int64_t a = h->allocated;
    bool float_fits = h->kind != 'f' || ((a == 32 || a == 64) && one);
    bool bits_fit = h->stored >= 1 && h->stored <= a && h->high >= h->stored - 1 && h->high < a;
    bool size_fits = a == 8 || a == 16 || a == 32 || (a == 1 && one) || (a == 64 && h->kind == 'f');
    if (h->samples != (one ? 1 : 3) || !size_fits || !float_fits || (h->kind == 'u' && !bits_fit) ||
        h->is_signed < 0 || h->is_signed > 1 || h->planar < 0 || h->planar > 1 || h->frames < 1) {
        return fl_fail(err, FL_EFORMAT,
                       "%s: DICOM: %lld samples of %lld bits in %lld, highest %lld, and %lld "
                       "frames do not go together",
                       name, (long long)h->samples, (long long)h->stored, (long long)a,
                       (long long)h->high, (long long)h->frames);
    }
    if (h->scales_differ || h->has_modality_lut) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: DICOM: a modality table, or a rescale that "
                       "differs between frames, is not read",
                       name);
    }
    return FL_OK;
}

fl_status data_dicom_shape(data_image *out, const dicom_header *h, const char *name, fl_err *err)
{
    *out = (data_image){0};
    if (h->kind == '\0') {
        return fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: the file holds no image", name);
    }
    fl_status st = check_header(h, name, err);
    if (st != FL_OK) {
        return st;
    }
    out->frames = h->frames;
    out->rows = h->rows;
    out->cols = h->cols;
    out->channels = data_dicom_photometric(h, "PALETTE") ? 3 : h->samples;
    out->bits = (int)(h->kind == 'f' ? h->allocated : h->stored);
    out->is_float = h->kind == 'f';
    out->is_signed = h->is_signed == 1;
    snprintf(out->format, sizeof out->format, "DICOM");
    snprintf(out->photometric, sizeof out->photometric, "%s", h->photometric);
    if (h->centre.n > 0 && h->width.n > 0 && h->width.v[0] > 0) {
        out->window_centre = h->centre.v[0];
        out->window_width = h->width.v[0];
    }
    return data_image_check_size(out, name, err);
}

/* --- values --- */

typedef struct {
    size_t bytes;
    int stored, shift;  // bits of a value, and of what is below it
    bool is_signed, is_float;
} sample_layout;

/* The value as stored, and rewritten little-endian to p: what lies in the
 * unused high bits (overlays of old files) is no pixel. */
static double take_sample(uint8_t *p, const sample_layout *l)
{
    uint64_t raw = 0;
    for (size_t b = 0; b < l->bytes; b++) {
        raw |= (uint64_t)p[b] << 8 * b;
    }
    if (l->is_float && l->bytes == 8) {
        double d;
        memcpy(&d, &raw, sizeof d);
        return d;
    }
    if (l->is_float) {
        uint32_t low = (uint32_t)raw;
        float f;
        memcpy(&f, &low, sizeof f);
        return (double)f;
    }
    raw = raw >> l->shift & (((uint64_t)1 << l->stored) - 1);
    int64_t v = (int64_t)raw;
    if (l->is_signed && raw >> (l->stored - 1) != 0) {
        v -= (int64_t)1 << l->stored;
    }
    for (size_t b = 0; b < l->bytes; b++) {
        p[b] = (uint8_t)((uint64_t)v >> 8 * b);
    }
    return (double)v;
}

static fl_status fill(data_image *out, fl_sha256 *hash, uint8_t *samples, const sample_layout *l,
                      const dicom_header *h, const char *name, fl_err *err)
{
    size_t plane = (size_t)(out->frames * out->rows * out->cols);
    size_t channels = (size_t)out->channels;
    bool scaled = channels == 1 && h->slope.n > 0 && h->slope.v[0] != 0;
    double slope = scaled ? h->slope.v[0] : 1;
    double intercept = scaled && h->intercept.n > 0 ? h->intercept.v[0] : 0;
    double sum = 0;

    out->data = fl_calloc(plane * channels, sizeof *out->data, name, err);
    if (out->data == NULL) {
        return FL_ELIMIT;
    }
    out->stored_min = HUGE_VAL;
    out->stored_max = -HUGE_VAL;
    for (size_t i = 0; i < plane * channels; i++) {
        double v = take_sample(samples + i * l->bytes, l);
        if (!isfinite(v)) {
            return fl_fail(err, FL_EFORMAT, "%s: DICOM: a pixel is no finite number", name);
        }
        out->stored_min = fmin(out->stored_min, v);
        out->stored_max = fmax(out->stored_max, v);
        sum += v;
        out->data[i % channels * plane + i / channels] = (float)(v * slope + intercept);
    }
    out->stored_mean = sum / (double)(plane * channels);
    out->full_scale = channels == 1 ? 0.0f : l->bytes == 1 ? 255.0f : l->bytes == 2 ? 65535.0f : 0;
    fl_sha256_add(hash, samples, plane * channels * l->bytes);
    return FL_OK;
}
fl_status data_dicom_values(data_image *out, fl_sha256 *hash, const dicom_header *h,
                            const char *name, fl_err *err)
{
    size_t count = (size_t)(h->frames * h->rows * h->cols * h->samples);
    sample_layout l = {.bytes = data_dicom_sample_bytes(h),
                       .stored = (int)h->stored,
                       .shift = (int)(h->high + 1 - h->stored),
                       .is_signed = h->is_signed == 1,
                       .is_float = h->kind == 'f'};
    uint8_t *samples;
    bool is_rgb;

    fl_status st = data_dicom_samples(&samples, &is_rgb, h, name, err);
    if (st == FL_OK && data_dicom_photometric(h, "YBR_FULL") && !is_rgb) {
        if (h->allocated == 8) {
            data_dicom_ybr_to_rgb(samples, count / 3);
        } else {
            st = fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: YBR colours of more than 8 bits", name);
        }
    }
    if (st == FL_OK && data_dicom_photometric(h, "PALETTE")) {
        st = data_dicom_palette(&samples, &l.bytes, h, count, name, err);
        l = (sample_layout){.bytes = l.bytes, .stored = (int)(8 * l.bytes)};
    }
    if (st == FL_OK) {
        st = fill(out, hash, samples, &l, h, name, err);
    }
    free(samples);
    return st;
}

static fl_status read_dicom(data_image *out, const uint8_t *bytes, size_t n, const char *name,
                            fl_err *err)
{
    dicom_header h;
    fl_sha256 hash;

    *out = (data_image){0};
    fl_sha256_init(&hash);
    fl_status st = data_dicom_parse(&h, bytes, n, name, err);
    if (st == FL_OK && (st = data_dicom_shape(out, &h, name, err)) == FL_OK &&
        (st = data_dicom_values(out, &hash, &h, name, err)) == FL_OK) {
        fl_sha256_done(&hash, out->sha256);
        data_dicom_place(out, &h);
    }
    data_dicom_header_clear(&h);
    if (st != FL_OK) {
        data_image_clear(out);
    }
    return st;
}

const data_format data_format_dicom = {"DICOM", data_dicom_is, read_dicom};
