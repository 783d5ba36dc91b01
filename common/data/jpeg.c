/*
 * jpeg.c - JPEG images (ITU-T T.81) through libjpeg
 *
 * Gray and colour, baseline and progressive.  libjpeg patches over damaged
 * data with a warning; a half-gray X-ray is not a finding, so here every such
 * warning but "extraneous bytes" (common, harmless) is a refusal.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "base/mem.h"
#include "data/dicom.h"
#include "data/image.h"

/* libjpeg's error manager and the way back; everything that must survive the
 * longjmp lives here. */
typedef struct {
    struct jpeg_error_mgr manager;  // first: libjpeg's pointer is ours
    jmp_buf back;
    char why[JMSG_LENGTH_MAX];
    uint8_t *samples;  // (rows, cols, channels)
} jpeg_errors;

static bool is_jpeg(const uint8_t *head, size_t n)
{
    return n >= 3 && head[0] == 0xff && head[1] == 0xd8 && head[2] == 0xff;
}

static void leave(j_common_ptr jpeg)
{
    jpeg_errors *e = (jpeg_errors *)jpeg->err;
    e->manager.format_message(jpeg, e->why);
    longjmp(e->back, 1);
}

/* level -1 is a warning about the data, higher ones are a trace. */
static void refuse_damage(j_common_ptr jpeg, int level)
{
    if (level < 0 && jpeg->err->msg_code != JWRN_EXTRANEOUS_DATA) {
        leave(jpeg);
    }
}

static void be_silent(j_common_ptr jpeg)
{
    (void)jpeg;
}

static struct jpeg_error_mgr *set_up_errors(jpeg_errors *e)
{
    struct jpeg_error_mgr *m = jpeg_std_error(&e->manager);
    m->error_exit = leave;
    m->emit_message = refuse_damage;
    m->output_message = be_silent;
    return m;
}

/* The part that libjpeg may leave by longjmp. */
static fl_status read_samples(struct jpeg_decompress_struct *jpeg, jpeg_errors *e, data_image *out,
                              const uint8_t *bytes, size_t n, const char *name, fl_err *err)
{
    if (setjmp(e->back)) {
        return fl_fail(err, FL_EFORMAT, "%s: JPEG: %s", name, e->why);
    }
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, bytes, n);
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->num_components != 1 && jpeg->num_components != 3) {
        return fl_fail(err, FL_EUNSUPPORTED, "%s: JPEG: expected gray or RGB, found %d components",
                       name, jpeg->num_components);
    }
    bool gray = jpeg->num_components == 1;
    jpeg->out_color_space = gray ? JCS_GRAYSCALE : JCS_RGB;
    jpeg->dct_method = JDCT_ISLOW;

    out->frames = 1;
    out->rows = jpeg->image_height;
    out->cols = jpeg->image_width;
    out->channels = gray ? 1 : 3;
    out->bits = 8;
    snprintf(out->format, sizeof out->format, "JPEG");
    snprintf(out->photometric, sizeof out->photometric, "%s", gray ? "gray" : "RGB");
    fl_status st = data_image_check_size(out, name, err);
    if (st != FL_OK) {
        return st;
    }

    size_t row_bytes = (size_t)(out->cols * out->channels);
    e->samples = fl_calloc((size_t)out->rows, row_bytes, name, err);
    if (e->samples == NULL) {
        return FL_ELIMIT;
    }
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = e->samples + jpeg->output_scanline * row_bytes;
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);
    return FL_OK;
}

static fl_status read_jpeg(data_image *out, const uint8_t *bytes, size_t n, const char *name,
                           fl_err *err)
{
    struct jpeg_decompress_struct jpeg = {0};
    jpeg_errors errors = {.samples = NULL};

    *out = (data_image){0};
    jpeg.err = set_up_errors(&errors);
    fl_status st = read_samples(&jpeg, &errors, out, bytes, n, name, err);
    if (st == FL_OK) {
        st = data_image_fill(out, errors.samples, 1, err);
    }
    jpeg_destroy_decompress(&jpeg);
    free(errors.samples);
    if (st != FL_OK) {
        data_image_clear(out);
    }
    return st;
}

const data_format data_format_jpeg = {"JPEG", is_jpeg, read_jpeg};

/* --- a frame of a DICOM file --- */

/* The part that libjpeg may leave by longjmp. */
static fl_status read_frame(struct jpeg_decompress_struct *jpeg, jpeg_errors *e, uint8_t *out,
                            const dicom_frame *f, const uint8_t *bytes, size_t n, const char *name,
                            fl_err *err)
{
    if (setjmp(e->back)) {
        return fl_fail(err, FL_EFORMAT, "%s: DICOM: JPEG: %s", name, e->why);
    }
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, bytes, n);
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->image_height != f->rows || jpeg->image_width != f->cols ||
        jpeg->num_components != f->samples || f->bytes != 1) {
        return fl_fail(err, FL_EFORMAT,
                       "%s: DICOM: the JPEG stream has another shape than the header says", name);
    }
    /* DICOM's header, not the stream, says which colours these are */
    jpeg->jpeg_color_space = f->samples == 1 ? JCS_GRAYSCALE : JCS_YCbCr;
    jpeg->out_color_space = jpeg->jpeg_color_space;
    jpeg->dct_method = JDCT_ISLOW;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = out + (size_t)jpeg->output_scanline * (size_t)(f->cols * f->samples);
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);
    return FL_OK;
}

fl_status data_dicom_jpeg_8(uint8_t *out, const dicom_frame *f, const uint8_t *bytes, size_t n,
                            const char *name, fl_err *err)
{
    struct jpeg_decompress_struct jpeg = {0};
    jpeg_errors errors = {.samples = NULL};

    jpeg.err = set_up_errors(&errors);
    fl_status st = read_frame(&jpeg, &errors, out, f, bytes, n, name, err);
    jpeg_destroy_decompress(&jpeg);
    return st;
}

/* --- the loss of a compression, for shift.c --- */

typedef struct {
    struct jpeg_compress_struct jpeg;
    jpeg_errors errors;
    unsigned char *bytes;  // libjpeg's, from malloc
    unsigned long n_bytes;
} jpeg_writing;

static bool compress(jpeg_writing *w, const uint8_t *samples, int64_t channels, int64_t rows,
                     int64_t cols, int quality)
{
    if (setjmp(w->errors.back)) {
        return false;
    }
    jpeg_create_compress(&w->jpeg);
    jpeg_mem_dest(&w->jpeg, &w->bytes, &w->n_bytes);
    w->jpeg.image_width = (JDIMENSION)cols;
    w->jpeg.image_height = (JDIMENSION)rows;
    w->jpeg.input_components = (int)channels;
    w->jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&w->jpeg);
    jpeg_set_quality(&w->jpeg, quality, TRUE);
    jpeg_start_compress(&w->jpeg, TRUE);
    while (w->jpeg.next_scanline < w->jpeg.image_height) {
        size_t at = (size_t)w->jpeg.next_scanline * (size_t)(cols * channels);
        JSAMPROW row = (JSAMPROW)(uintptr_t)(samples + at);
        jpeg_write_scanlines(&w->jpeg, &row, 1);
    }
    jpeg_finish_compress(&w->jpeg);
    return true;
}

bool data_jpeg_roundtrip(float *x, int64_t channels, int64_t rows, int64_t cols, int quality)
{
    FL_REQUIRE(channels == 1 || channels == 3);
    size_t plane = (size_t)(rows * cols);
    uint8_t *samples = fl_xcalloc(plane, (size_t)channels);
    jpeg_writing w = {.bytes = NULL};

    for (size_t i = 0; i < plane; i++) {
        for (size_t c = 0; c < (size_t)channels; c++) {
            samples[i * (size_t)channels + c] = (uint8_t)(x[c * plane + i] * 255.0f + 0.5f);
        }
    }
    w.jpeg.err = set_up_errors(&w.errors);
    data_image image = {0};
    bool done = compress(&w, samples, channels, rows, cols, quality) &&
                read_jpeg(&image, w.bytes, w.n_bytes, "", NULL) == FL_OK;
    if (done) {
        for (size_t i = 0; i < plane * (size_t)channels; i++) {
            x[i] = image.data[i] / 255.0f;
        }
    }
    data_image_clear(&image);
    jpeg_destroy_compress(&w.jpeg);
    free(w.bytes);
    free(samples);
    return done;
}
