/*
 * dicom_codecs.c - RLE, JPEG-LS (CharLS) and JPEG 2000 (OpenJPEG) frames
 *
 * The libraries see a stream only after its header has said the shape that
 * the DICOM header promised, so they never allocate more than was checked.
 */
#include <stdlib.h>
#include <string.h>

#include <charls/charls.h>
#include <openjpeg.h>

#include "base/mem.h"
#include "data/dicom.h"

static fl_status another_shape(const char *name, const char *what, fl_err *err)
{
    return fl_fail(err, FL_EFORMAT,
                   "%s: DICOM: the %s stream has another shape than the header says", name, what);
}

static fl_status damaged(const char *name, const char *what, fl_err *err)
{
    return fl_fail(err, FL_EFORMAT, "%s: DICOM: the %s stream is damaged", name, what);
}

static size_t n_pixels(const dicom_frame *f)
{
    return (size_t)(f->rows * f->cols);
}

/* --- RLE --- */

enum { RLE_HEADER = 64, RLE_MOST_SEGMENTS = 15 };

static size_t get_32(const uint8_t *p)
{
    return p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

/* PackBits into every step-th byte; false when it ends before count bytes. */
static bool unpack_bits(uint8_t *out, size_t step, size_t count, const uint8_t *p, size_t n)
{
    size_t done = 0;
    size_t at = 0;
    while (done < count && at < n) {
        uint8_t control = p[at++];
        if (control == 128) {
            continue;
        }
        bool run = control > 128;
        size_t length = run ? (size_t)(257 - control) : (size_t)control + 1;
        if (run ? at >= n : length > n - at) {
            return false;
        }
        for (size_t i = 0; i < length && done < count; i++, done++) {
            out[done * step] = p[run ? at : at + i];
        }
        at += run ? 1 : length;
    }
    return done == count;
}

fl_status data_dicom_rle(uint8_t *out, const dicom_frame *f, const uint8_t *bytes, size_t n,
                         const char *name, fl_err *err)
{
    size_t segments = (size_t)(f->samples * f->bytes);
    size_t pixel = segments;  // bytes

    if (n < RLE_HEADER || segments > RLE_MOST_SEGMENTS || get_32(bytes) != segments) {
        return another_shape(name, "RLE", err);
    }
    for (size_t s = 0; s < segments; s++) {
        size_t from = get_32(bytes + 4 * (s + 1));
        size_t to = s + 1 < segments ? get_32(bytes + 4 * (s + 2)) : n;
        /* planes come sample by sample, each from its highest byte down */
        size_t sample = s / (size_t)f->bytes;
        size_t byte = (size_t)f->bytes - 1 - s % (size_t)f->bytes;
        if (from < RLE_HEADER || from > to || to > n ||
            !unpack_bits(out + sample * (size_t)f->bytes + byte, pixel, n_pixels(f), bytes + from,
                         to - from)) {
            return damaged(name, "RLE", err);
        }
    }
    return FL_OK;
}

/* --- JPEG-LS --- */

/* (samples, pixels) of `has` bytes each, or (pixels, samples), to out. */
static void spread(uint8_t *out, const dicom_frame *f, const uint8_t *from, int has, bool planar)
{
    size_t pixels = n_pixels(f);
    size_t samples = (size_t)f->samples;
    for (size_t i = 0; i < pixels; i++) {
        for (size_t c = 0; c < samples; c++) {
            size_t at = planar ? c * pixels + i : i * samples + c;
            for (int b = 0; b < f->bytes && b < has; b++) {
                out[(i * samples + c) * (size_t)f->bytes + (size_t)b] =
                    from[at * (size_t)has + (size_t)b];
            }
        }
    }
}

static fl_status decode_ls(uint8_t *out, const dicom_frame *f, charls_jpegls_decoder *d,
                           const uint8_t *bytes, size_t n, const char *name, fl_err *err)
{
    charls_frame_info info;
    charls_interleave_mode mode;
    size_t size;

    if (charls_jpegls_decoder_set_source_buffer(d, bytes, n) != 0 ||
        charls_jpegls_decoder_read_header(d) != 0 ||
        charls_jpegls_decoder_get_frame_info(d, &info) != 0 ||
        charls_jpegls_decoder_get_interleave_mode(d, &mode) != 0) {
        return damaged(name, "JPEG-LS", err);
    }
    int has = info.bits_per_sample <= 8 ? 1 : 2;
    if ((int64_t)info.width != f->cols || (int64_t)info.height != f->rows ||
        info.component_count != f->samples || has > f->bytes) {
        return another_shape(name, "JPEG-LS", err);
    }
    size_t expects = n_pixels(f) * (size_t)(f->samples * has);
    if (charls_jpegls_decoder_get_destination_size(d, 0, &size) != 0 || size != expects) {
        return another_shape(name, "JPEG-LS", err);
    }
    uint8_t *plain = fl_calloc(size, 1, name, err);
    if (plain == NULL) {
        return FL_ELIMIT;
    }
    fl_status st = FL_OK;
    if (charls_jpegls_decoder_decode_to_buffer(d, plain, size, 0) != 0) {
        st = damaged(name, "JPEG-LS", err);
    } else {
        spread(out, f, plain, has, mode == CHARLS_INTERLEAVE_MODE_NONE);
    }
    free(plain);
    return st;
}

fl_status data_dicom_jpeg_ls(uint8_t *out, const dicom_frame *f, const uint8_t *bytes, size_t n,
                             const char *name, fl_err *err)
{
    charls_jpegls_decoder *d = charls_jpegls_decoder_create();
    FL_REQUIRE(d != NULL);
    fl_status st = decode_ls(out, f, d, bytes, n, name, err);
    charls_jpegls_decoder_destroy(d);
    return st;
}

/* --- JPEG 2000 --- */

typedef struct {
    const uint8_t *bytes;
    size_t n, at;
} byte_source;

static OPJ_SIZE_T give_bytes(void *to, OPJ_SIZE_T wanted, void *context)
{
    byte_source *s = context;
    size_t n = s->n - s->at < wanted ? s->n - s->at : wanted;
    if (n == 0) {
        return (OPJ_SIZE_T)-1;
    }
    memcpy(to, s->bytes + s->at, n);
    s->at += n;
    return n;
}

static OPJ_OFF_T skip_bytes(OPJ_OFF_T n, void *context)
{
    byte_source *s = context;
    if (n < 0 || (size_t)n > s->n - s->at) {
        return -1;
    }
    s->at += (size_t)n;
    return n;
}

static OPJ_BOOL seek_byte(OPJ_OFF_T to, void *context)
{
    byte_source *s = context;
    if (to < 0 || (size_t)to > s->n) {
        return OPJ_FALSE;
    }
    s->at = (size_t)to;
    return OPJ_TRUE;
}

static bool has_shape(const opj_image_t *image, const dicom_frame *f)
{
    if ((int)image->numcomps != f->samples) {
        return false;
    }
    for (int c = 0; c < f->samples; c++) {
        const opj_image_comp_t *comp = &image->comps[c];
        if (comp->dx != 1 || comp->dy != 1 || (int64_t)comp->w != f->cols ||
            (int64_t)comp->h != f->rows || comp->prec < 1 || (int)comp->prec > 8 * f->bytes) {
            return false;
        }
    }
    return true;
}

/* Does the stream's SIZ marker say that it needs the second part (Rsiz, bit 15)? */
static bool is_extended(const uint8_t *bytes, size_t n)
{
    static const uint8_t begin[] = {0xff, 0x4f, 0xff, 0x51};  // SOC, SIZ
    return n > 6 && memcmp(bytes, begin, sizeof begin) == 0 && (bytes[6] & 0x80) != 0;
}

/* May this be COD's or COC's part on a component, with high-throughput code blocks? */
static bool is_ht_style(const uint8_t *p)
{
    enum { LEVELS = 32, EXPONENT = 8, HT = 0x40 };
    return p[0] <= LEVELS && p[1] <= EXPONENT && p[2] <= EXPONENT && (p[3] & HT) != 0 && p[4] <= 1;
}

/*
 * Does the stream say anywhere that its code blocks are HTJ2K's (ISO/IEC 15444-15)?
 * OpenJPEG 2.5.0 decodes those, but a damaged one fails an assertion in it, which ends the
 * program.  Every place is looked at, not just headers, for where OpenJPEG thinks that
 * those are in a damaged stream nobody knows; by chance it happens once in 10^13 bytes.
 */
static bool uses_ht(const uint8_t *bytes, size_t n)
{
    enum { COD = 0x52, COC = 0x53, LONGEST = 64, NEEDED = 14 };
    for (size_t i = 0; n >= NEEDED && i <= n - NEEDED; i++) {
        const uint8_t *p = bytes + i;
        if (p[0] == 0xff && p[2] == 0 && p[3] < LONGEST &&
            ((p[1] == COD && is_ht_style(p + 9)) || (p[1] == COC && is_ht_style(p + 6)))) {
            return true;
        }
    }
    return false;
}

static fl_status decode_2000(uint8_t *out, const dicom_frame *f, opj_codec_t *codec,
                             opj_stream_t *stream, opj_image_t **image, bool extended,
                             const char *name, fl_err *err)
{
    opj_dparameters_t parameters;
    opj_set_default_decoder_parameters(&parameters);
    if (!opj_setup_decoder(codec, &parameters) || !opj_read_header(stream, codec, image)) {
        return extended ? fl_fail(err, FL_EUNSUPPORTED,
                                  "%s: DICOM: what the stream uses of JPEG 2000's second part is "
                                  "not read",
                                  name)
                        : damaged(name, "JPEG 2000", err);
    }
    if (!has_shape(*image, f)) {
        return another_shape(name, "JPEG 2000", err);
    }
    if (!opj_decode(codec, stream, *image) || !opj_end_decompress(codec, stream)) {
        return damaged(name, "JPEG 2000", err);
    }
    for (int c = 0; c < f->samples; c++) {
        const OPJ_INT32 *data = (*image)->comps[c].data;
        if (data == NULL || !has_shape(*image, f)) {
            return damaged(name, "JPEG 2000", err);
        }
        for (size_t i = 0; i < n_pixels(f); i++) {
            for (int b = 0; b < f->bytes; b++) {
                out[(i * (size_t)f->samples + (size_t)c) * (size_t)f->bytes + (size_t)b] =
                    (uint8_t)((uint32_t)data[i] >> 8 * b);
            }
        }
    }
    return FL_OK;
}

fl_status data_dicom_jpeg_2000(uint8_t *out, const dicom_frame *f, const uint8_t *bytes, size_t n,
                               const char *name, fl_err *err)
{
    static const uint8_t boxes[] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};  // JP2: not of DICOM, but met
    bool jp2 = n >= sizeof boxes && memcmp(bytes, boxes, sizeof boxes) == 0;
    byte_source source = {.bytes = bytes, .n = n};
    opj_image_t *image = NULL;

    if (uses_ht(bytes, n)) {
        return fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: HTJ2K pixels are not read", name);
    }

    opj_codec_t *codec = opj_create_decompress(jp2 ? OPJ_CODEC_JP2 : OPJ_CODEC_J2K);
    opj_stream_t *stream = opj_stream_create(65536, OPJ_TRUE);
    FL_REQUIRE(codec != NULL && stream != NULL);
    opj_stream_set_user_data(stream, &source, NULL);
    opj_stream_set_user_data_length(stream, n);
    opj_stream_set_read_function(stream, give_bytes);
    opj_stream_set_skip_function(stream, skip_bytes);
    opj_stream_set_seek_function(stream, seek_byte);
    fl_status st = decode_2000(out, f, codec, stream, &image, is_extended(bytes, n), name, err);
    opj_image_destroy(image);
    opj_stream_destroy(stream);
    opj_destroy_codec(codec);
    return st;
}
