/*
 * png.c - PNG images (ISO/IEC 15948) through libpng
 *
 * Every colour type and depth is read.  Palettes become RGB; 1, 2 and 4-bit
 * gray is widened to 0..255; alpha stays as the last channel, and whoever
 * makes inputs of it drops it.  Every checksum must hold.
 */
#include <errno.h>
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"
#include "data/image.h"

/* One reading; everything libpng's error path needs lives here, because
 * locals do not survive its longjmp. */
typedef struct {
    const uint8_t *bytes;
    size_t n, at;
    char why[128];  // libpng's complaint
    png_structp png;
    png_infop info;
    uint8_t *samples;  // (rows, cols, channels), little-endian
    png_bytep *row;    // into samples
} png_reading;

static bool is_png(const uint8_t *head, size_t n)
{
    return n >= 8 && png_sig_cmp(head, 0, 8) == 0;
}

static void keep_error(png_structp png, png_const_charp why)
{
    png_reading *r = png_get_error_ptr(png);
    snprintf(r->why, sizeof r->why, "%s", why);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp why)
{
    (void)png;
    (void)why;
}

static void give_bytes(png_structp png, png_bytep out, size_t n)
{
    png_reading *r = png_get_io_ptr(png);
    if (n > r->n - r->at) {
        png_error(png, "the file ends too early");
    }
    memcpy(out, r->bytes + r->at, n);
    r->at += n;
}

/* Asks libpng for one of: gray, gray+alpha, RGB, RGB+alpha in 8 or 16 bits. */
static void ask_for_plain_samples(png_reading *r, int colour, int depth)
{
    if (colour == PNG_COLOR_TYPE_PALETTE) {
        png_set_palette_to_rgb(r->png);
    }
    if (colour == PNG_COLOR_TYPE_GRAY && depth < 8) {
        png_set_expand_gray_1_2_4_to_8(r->png);
    }
    if (png_get_valid(r->png, r->info, PNG_INFO_tRNS)) {
        png_set_tRNS_to_alpha(r->png);
    }
    if (depth == 16) {
        png_set_swap(r->png);
    }
    png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
}

static const char *photometric_of(int colour, int64_t channels)
{
    if (colour == PNG_COLOR_TYPE_PALETTE) {
        return channels == 4 ? "palette, alpha" : "palette";
    }
    static const char *const names[] = {"gray", "gray, alpha", "RGB", "RGB, alpha"};
    return names[channels - 1];
}

/* The part that libpng may leave by longjmp. */
static fl_status read_samples(png_reading *r, data_image *out, const char *name, fl_err *err)
{
    if (setjmp(png_jmpbuf(r->png))) {
        return fl_fail(err, FL_EFORMAT, "%s: PNG: %s", name, r->why);
    }
    png_set_user_limits(r->png, DATA_MAX_SIDE, DATA_MAX_SIDE);
    png_set_read_fn(r->png, r, give_bytes);
    png_read_info(r->png, r->info);

    int colour = png_get_color_type(r->png, r->info);
    int depth = png_get_bit_depth(r->png, r->info);
    ask_for_plain_samples(r, colour, depth);

    out->frames = 1;
    out->rows = png_get_image_height(r->png, r->info);
    out->cols = png_get_image_width(r->png, r->info);
    out->channels = png_get_channels(r->png, r->info);
    out->bits = depth;
    snprintf(out->format, sizeof out->format, "PNG");
    snprintf(out->photometric, sizeof out->photometric, "%s",
             photometric_of(colour, out->channels));
    fl_status st = data_image_check_size(out, name, err);
    if (st != FL_OK) {
        return st;
    }

    size_t row_bytes = png_get_rowbytes(r->png, r->info);
    r->samples = fl_calloc((size_t)out->rows, row_bytes, name, err);
    r->row = fl_calloc((size_t)out->rows, sizeof *r->row, name, err);
    if (r->samples == NULL || r->row == NULL) {
        return FL_ELIMIT;
    }
    for (size_t i = 0; i < (size_t)out->rows; i++) {
        r->row[i] = r->samples + i * row_bytes;
    }
    png_read_image(r->png, r->row);
    png_read_end(r->png, NULL);
    return FL_OK;
}

static fl_status read_png(data_image *out, const uint8_t *bytes, size_t n, const char *name,
                          fl_err *err)
{
    png_reading r = {.bytes = bytes, .n = n};

    *out = (data_image){0};
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, keep_error, ignore_warning);
    FL_REQUIRE(r.png != NULL);
    r.info = png_create_info_struct(r.png);
    FL_REQUIRE(r.info != NULL);

    fl_status st = read_samples(&r, out, name, err);
    if (st == FL_OK) {
        st = data_image_fill(out, r.samples, out->bits == 16 ? 2 : 1, err);
    }
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.samples);
    free(r.row);
    if (st != FL_OK) {
        data_image_clear(out);
    }
    return st;
}

const data_format data_format_png = {"PNG", is_png, read_png};

/* --- writing --- */

typedef struct {
    fl_buf bytes;
    char why[128];
    png_structp png;
    png_infop info;
    uint8_t *samples;  // (rows, cols, channels), big-endian
    int64_t rows, cols;
    int channels, bits;
} png_writing;

static void keep_write_error(png_structp png, png_const_charp why)
{
    png_writing *w = png_get_error_ptr(png);
    snprintf(w->why, sizeof w->why, "%s", why);
    png_longjmp(png, 1);
}

static void take_bytes(png_structp png, png_bytep bytes, size_t n)
{
    png_writing *w = png_get_io_ptr(png);
    fl_buf_add(&w->bytes, bytes, n);
}

static void nothing_to_flush(png_structp png)
{
    (void)png;
}

static fl_status encode(png_writing *w, const char *path, fl_err *err)
{
    if (setjmp(png_jmpbuf(w->png))) {
        return fl_fail(err, FL_EFORMAT, "%s: PNG: %s", path, w->why);
    }
    png_set_write_fn(w->png, w, take_bytes, nothing_to_flush);
    png_set_IHDR(w->png, w->info, (png_uint_32)w->cols, (png_uint_32)w->rows, w->bits,
                 w->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(w->png, w->info);
    size_t row_bytes = (size_t)(w->cols * w->channels * (w->bits / 8));
    for (int64_t i = 0; i < w->rows; i++) {
        png_write_row(w->png, w->samples + (size_t)i * row_bytes);
    }
    png_write_end(w->png, NULL);
    return FL_OK;
}

/* Out of range is clipped, NaN is black. */
static void quantise(uint8_t *out, const float *data, size_t n, int bits)
{
    double top = bits == 8 ? 255.0 : 65535.0;
    for (size_t i = 0; i < n; i++) {
        double v = data[i] > 0 ? (data[i] < 1 ? data[i] : 1.0) : 0.0;
        unsigned q = (unsigned)floor(v * top + 0.5);
        if (bits == 8) {
            out[i] = (uint8_t)q;
        } else {
            out[2 * i] = (uint8_t)(q >> 8);
            out[2 * i + 1] = (uint8_t)q;
        }
    }
}

/*
 * As fl_file_write without the two fsyncs: a simulated hospital is thousands
 * of files, which count only once the dataset.yaml written last is there.
 */
static fl_status write_whole(const char *path, const fl_buf *b, fl_err *err)
{
    fl_status st = FL_OK;
    char *temporary = fl_xasprintf("%s.tmp-%ld", path, (long)getpid());

    FILE *file = fopen(temporary, "wb");
    if (file == NULL) {
        st = fl_fail_errno(err, errno, path);
        goto done;
    }
    bool whole = fwrite(b->data, 1, b->n, file) == b->n;
    int why = errno;
    if (fclose(file) != 0 && whole) {
        whole = false;
        why = errno;
    }
    if (whole && rename(temporary, path) != 0) {
        whole = false;
        why = errno;
    }
    if (!whole) {
        st = fl_fail_errno(err, why, path);
        remove(temporary);
    }
done:
    free(temporary);
    return st;
}

fl_status data_png_write(const char *path, const float *data, int64_t rows, int64_t cols,
                         int channels, int bits, fl_err *err)
{
    png_writing w = {
        .bytes = FL_BUF_INIT, .rows = rows, .cols = cols, .channels = channels, .bits = bits};

    FL_REQUIRE(channels == 1 || channels == 3);
    FL_REQUIRE(bits == 8 || bits == 16);
    FL_REQUIRE(rows >= 1 && rows <= DATA_MAX_SIDE);
    FL_REQUIRE(cols >= 1 && cols <= DATA_MAX_SIDE);
    size_t n = (size_t)(rows * cols * channels);
    w.samples = fl_calloc(n, (size_t)bits / 8, path, err);
    if (w.samples == NULL) {
        return FL_ELIMIT;
    }
    quantise(w.samples, data, n, bits);

    w.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, keep_write_error, ignore_warning);
    FL_REQUIRE(w.png != NULL);
    w.info = png_create_info_struct(w.png);
    FL_REQUIRE(w.info != NULL);
    fl_status st = encode(&w, path, err);
    if (st == FL_OK) {
        st = write_whole(path, &w.bytes, err);
    }
    png_destroy_write_struct(&w.png, &w.info);
    free(w.samples);
    fl_buf_clear(&w.bytes);
    return st;
}
