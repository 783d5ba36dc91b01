/*
 * dicom_pixels.c - the samples of a DICOM image, native or packed
 *
 * Whatever the file's byte order, planes and packing, what comes out is
 * (frames, rows, cols, samples), little-endian.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/dicom.h"

/* --- native pixels --- */

size_t data_dicom_sample_bytes(const dicom_header *h)
{
    return h->allocated == 1 ? 1 : (size_t)h->allocated / 8;
}

/* Byte i of a value whose 8-bit (or 1-bit) samples were written as 16-bit
 * words of the other byte order. */
static uint8_t native_byte(const dicom_header *h, size_t i)
{
    bool swapped = h->syntax->has_big_pixels && h->allocated <= 8 &&
                   strcmp(h->pixel_vr, "OW") == 0;
    size_t at = swapped ? i ^ 1u : i;
    return h->pixels.p[at < h->pixels.n ? at : i];
}

/* Native 4:2:2: two pixels of a line share their colour (PS3.3 C.7.6.3.1.2). */
static bool is_halved(const dicom_header *h)
{
    return h->syntax->pack == DICOM_PACK_NONE && h->allocated == 8 && h->cols % 2 == 0 &&
           strcmp(h->photometric, "YBR_FULL_422") == 0;
}

/* samples: (frames, rows, cols, samples), little-endian. */
static void read_native(uint8_t *samples, const dicom_header *h, size_t count)
{
    size_t size = data_dicom_sample_bytes(h);
    size_t plane = (size_t)(h->rows * h->cols);
    bool planar = h->planar == 1 && h->samples == 3, is_big = h->syntax->has_big_pixels;

    if (is_halved(h)) {
        for (size_t i = 0; i < count / 3; i++) {  // Y Y Cb Cr of two pixels
            const uint8_t *pair = h->pixels.p + i / 2 * 4;
            samples[3 * i] = pair[i % 2];
            samples[3 * i + 1] = pair[2];
            samples[3 * i + 2] = pair[3];
        }
        return;
    }
    if (h->allocated == 1) {
        for (size_t i = 0; i < count; i++) {
            samples[i] = native_byte(h, i / 8) >> i % 8 & 1u;
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t from = i;
        if (planar) {
            size_t frame = i / (3 * plane);
            from = frame * 3 * plane + i % 3 * plane + i % (3 * plane) / 3;
        }
        for (size_t b = 0; b < size; b++) {
            samples[i * size + b] = native_byte(h, from * size + (is_big ? size - 1 - b : b));
        }
    }
}

/* --- packed pixels --- */

static bool begins_stream(dicom_span f)
{
    return f.n >= 2 && f.p[0] == 0xff && (f.p[1] == 0xd8 || f.p[1] == 0x4f);
}

/* Of frame i: its first fragment; n_fragments behind the last frame. */
static size_t first_fragment(const dicom_header *h, size_t i)
{
    if (i >= (size_t)h->frames) {
        return h->n_fragments;
    }
    if (i == 0 || h->n_fragments == (size_t)h->frames) {
        return i;
    }
    size_t at = 0;  // bytes from the first fragment's item on
    size_t seen = 0;
    bool has_table = h->offsets.n == 4 * (size_t)h->frames;
    for (size_t k = 0; k < h->n_fragments; k++) {
        if (has_table ? at == data_dicom_uint(h->offsets.p + 4 * i, 4, false)
                      : begins_stream(h->fragment[k]) && seen++ == i) {
            return k;
        }
        at += 8 + h->fragment[k].n;
    }
    return 0;  // not found: the caller sees an empty or backward range
}

static bool stream_is_rgb(const uint8_t *bytes, size_t n)
{
    dicom_jpeg_kind kind = data_dicom_jpeg_kind(bytes, n);
    return kind.adobe == 0 || kind.rgb_ids;
}

static fl_status decode_frame(uint8_t *out, const dicom_header *h, const uint8_t *bytes, size_t n,
                              const char *name, fl_err *err)
{
    const dicom_frame f = {.rows = h->rows,
                           .cols = h->cols,
                           .samples = (int)h->samples,
                           .bytes = (int)data_dicom_sample_bytes(h)};
    switch (h->syntax->pack) {
    case DICOM_PACK_RLE:
        return data_dicom_rle(out, &f, bytes, n, name, err);
    case DICOM_PACK_LS:
        return data_dicom_jpeg_ls(out, &f, bytes, n, name, err);
    case DICOM_PACK_2000:
    case DICOM_PACK_2000_2:
        return data_dicom_jpeg_2000(out, &f, bytes, n, name, err);
    default:
        break;
    }
    dicom_jpeg_kind kind = data_dicom_jpeg_kind(bytes, n);
    if (kind.kind == 3) {
        return data_dicom_jpeg_lossless(out, &f, bytes, n, name, err);
    }
    bool by_libjpeg = (kind.kind >= 0 && kind.kind <= 2) || kind.kind == 9 || kind.kind == 10;
    if (by_libjpeg && kind.bits == 8) {  // 9 and 10: arithmetic
        return data_dicom_jpeg_8(out, &f, bytes, n, name, err);
    }
    if ((kind.kind == 0 || kind.kind == 1) && kind.bits == 12) {
        return data_dicom_jpeg_12(out, &f, bytes, n, name, err);
    }
    if (kind.kind < 0) {
        return fl_fail(err, FL_EFORMAT, "%s: DICOM: the JPEG stream has no frame", name);
    }
    return fl_fail(err, FL_EUNSUPPORTED,
                   "%s: DICOM: JPEG of process SOF%d with %d bits is not read", name, kind.kind,
                   kind.bits);
}

/* Has every frame a stream of its own? */
static bool has_streams(const dicom_header *h)
{
    int64_t n = 0;
    for (size_t k = 0; k < h->n_fragments; k++) {
        n += begins_stream(h->fragment[k]);
    }
    return n >= h->frames;
}

static fl_status read_packed(uint8_t *samples, const dicom_header *h, size_t count, bool *is_rgb,
                             const char *name, fl_err *err)
{
    size_t frame_bytes = count / (size_t)h->frames * data_dicom_sample_bytes(h);
    fl_status st = FL_OK;

    if (h->allocated == 1 || h->kind == 'f') {
        return fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: packed pixels of 1 bit or float", name);
    }
    if (h->syntax->pack == DICOM_PACK_2000_2 && !has_streams(h)) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: DICOM: several frames in one stream (JPEG 2000, second part) are not "
                       "read",
                       name);
    }
    for (size_t i = 0; i < (size_t)h->frames && st == FL_OK; i++) {
        size_t from = first_fragment(h, i);
        size_t to = first_fragment(h, i + 1);
        size_t n = 0;
        for (size_t k = from; k < to; k++) {
            n += h->fragment[k].n;  // all of them lie in the file
        }
        if (from >= to || n == 0) {
            return fl_fail(err, FL_EFORMAT, "%s: DICOM: frame %zu of %lld has no pixels", name,
                           i + 1, (long long)h->frames);
        }
        uint8_t *stream = fl_calloc(n, 1, name, err);
        if (stream == NULL) {
            return FL_ELIMIT;
        }
        size_t at = 0;
        for (size_t k = from; k < to; k++) {
            memcpy(stream + at, h->fragment[k].p, h->fragment[k].n);
            at += h->fragment[k].n;
        }
        *is_rgb = h->syntax->pack == DICOM_PACK_JPEG && stream_is_rgb(stream, n);
        st = decode_frame(samples + i * frame_bytes, h, stream, n, name, err);
        free(stream);
    }
    return st;
}

fl_status data_dicom_samples(uint8_t **out, bool *is_rgb, const dicom_header *h, const char *name,
                             fl_err *err)
{
    size_t count = (size_t)(h->frames * h->rows * h->cols * h->samples);
    size_t size = data_dicom_sample_bytes(h);
    size_t wants = h->allocated == 1 ? (count + 7) / 8
                   : is_halved(h)    ? count / 3 * 2
                                     : count * size;
    bool packed = h->syntax->pack != DICOM_PACK_NONE;
    fl_status st = FL_OK;

    *out = NULL;
    *is_rgb = false;
    if (h->syntax->has_big_pixels && !h->syntax->is_big && h->allocated != 16) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: DICOM: GE's own transfer syntax is read with 16 bits only", name);
    }
    if (!packed && h->pixels.n < wants) {
        return fl_fail(err, FL_EFORMAT, "%s: DICOM: expected %zu bytes of pixels, found %zu", name,
                       wants, h->pixels.n);
    }
    uint8_t *samples = fl_calloc(count, size, name, err);
    if (samples == NULL) {
        return FL_ELIMIT;
    }
    if (packed) {
        st = read_packed(samples, h, count, is_rgb, name, err);
    } else {
        read_native(samples, h, count);
    }
    if (st != FL_OK) {
        free(samples);
        return st;
    }
    *out = samples;
    return FL_OK;
}
