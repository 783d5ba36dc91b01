/*
 * dicom_lossless.c - lossless JPEG (ITU-T T.81 annex H)
 *
 * The lossless process is older than and unrelated to JPEG-LS; archives of
 * the nineties are full of it and no separate library in Debian reads it.
 * Each sample is predicted from its left and upper neighbours (selection values 1 to 7,
 * table H.1) and the difference is coded by Huffman category.
 */
#include "data/dicom.h"
#include "data/dicom_jpeg.h"

typedef struct {
    jpeg_tables tables;
    int precision, restart_every;
    int id[JPEG_MAX_COMPONENTS], table_of[JPEG_MAX_COMPONENTS];
    int predictor, shift;
    jpeg_bits bits;
} lossless;

static bool read_scan(lossless *l, const jpeg_segment *s, const dicom_frame *f)
{
    if (s->n != 4 + 2 * (size_t)f->samples || s->body[0] != f->samples) {
        return false;  // components in scans of their own are not read
    }
    for (int c = 0; c < f->samples; c++) {
        const uint8_t *p = s->body + 1 + 2 * c;
        l->table_of[c] = p[1] >> 4;
        if (p[0] != l->id[c] || l->table_of[c] > 3 || !l->tables.dc[l->table_of[c]].is_set) {
            return false;
        }
    }
    const uint8_t *p = s->body + 1 + 2 * f->samples;
    l->predictor = p[0];
    l->shift = p[2] & 15;
    return l->predictor >= 1 && l->predictor <= 7 && l->shift < l->precision;
}

static bool next_difference(int *difference, lossless *l, const huffman_table *t)
{
    int category = data_jpeg_next_value(&l->bits, t);
    if (category < 0 || category > 16) {
        return false;
    }
    *difference = category == 16 ? 32768 : data_jpeg_next_number(&l->bits, category);
    return !l->bits.starved;
}

/* a left, b above, c above left. */
static int predict(int kind, int a, int b, int c)
{
    switch (kind) {
    case 1:
        return a;
    case 2:
        return b;
    case 3:
        return c;
    case 4:
        return a + b - c;
    case 5:
        return a + ((b - c) >> 1);
    case 6:
        return b + ((a - c) >> 1);
    default:
        return (a + b) >> 1;
    }
}

static int sample_of(const uint8_t *p, int bytes)
{
    return bytes == 1 ? p[0] : p[0] | p[1] << 8;
}

static bool decode_samples(uint8_t *out, const dicom_frame *f, lossless *l)
{
    size_t step = (size_t)(f->samples * f->bytes);
    size_t stride = step * (size_t)f->cols;
    int64_t until_restart = l->restart_every;
    int n_restarts = 0;
    bool first_line = true;  // of the image or behind a restart

    for (int64_t y = 0; y < f->rows; y++) {
        if (l->restart_every > 0 && until_restart == 0) {
            if (!data_jpeg_take_restart(&l->bits, n_restarts++)) {
                return false;
            }
            until_restart = l->restart_every;
            first_line = true;
        }
        for (int64_t x = 0; x < f->cols; x++) {
            for (int c = 0; c < f->samples; c++) {
                uint8_t *to = out + (size_t)y * stride + (size_t)x * step + (size_t)(c * f->bytes);
                int guess = 1 << (l->precision - l->shift - 1);
                if (first_line) {
                    guess = x == 0 ? guess : sample_of(to - step, f->bytes) >> l->shift;
                } else if (x == 0) {
                    guess = sample_of(to - stride, f->bytes) >> l->shift;
                } else {
                    guess = predict(l->predictor, sample_of(to - step, f->bytes) >> l->shift,
                                    sample_of(to - stride, f->bytes) >> l->shift,
                                    sample_of(to - stride - step, f->bytes) >> l->shift);
                }
                int difference;
                if (!next_difference(&difference, l, &l->tables.dc[l->table_of[c]])) {
                    return false;
                }
                unsigned v = ((unsigned)(guess + difference) << l->shift) & 0xffffu;
                to[0] = (uint8_t)v;
                if (f->bytes > 1) {
                    to[1] = (uint8_t)(v >> 8);
                }
            }
        }
        until_restart -= l->restart_every > 0 ? f->cols : 0;
        first_line = false;
    }
    return true;
}

static bool read_frame_header(lossless *l, const jpeg_segment *s, const dicom_frame *f)
{
    l->precision = s->body[0];
    for (int c = 0; c < f->samples; c++) {
        l->id[c] = s->body[6 + 3 * c];
        if (s->body[7 + 3 * c] != 0x11) {
            return false;  // subsampled
        }
    }
    return l->precision >= 2 && l->precision <= (f->bytes == 1 ? 8 : 16);
}

fl_status data_dicom_jpeg_lossless(uint8_t *out, const dicom_frame *f, const uint8_t *bytes,
                                   size_t n, const char *name, fl_err *err)
{
    lossless l = {.bits = {.end = bytes + n}};
    dicom_jpeg_kind kind = data_dicom_jpeg_kind(bytes, n);
    jpeg_segment s;
    size_t at = 0;

    if (kind.kind != 3 || kind.rows != f->rows || kind.cols != f->cols ||
        kind.components != f->samples || f->samples > JPEG_MAX_COMPONENTS || f->bytes > 2) {
        return fl_fail(err, FL_EFORMAT,
                       "%s: DICOM: the JPEG stream has another shape than the header says", name);
    }
    while (data_jpeg_next_segment(&s, &at, bytes, n) && s.marker != JPEG_EOI) {
        bool well = true;
        if (s.marker == JPEG_DHT) {
            well = data_jpeg_read_tables(&l.tables, &s);
        } else if (s.marker == JPEG_DRI) {
            well = s.n == 2;
            l.restart_every = well ? data_jpeg_get_16(s.body) : 0;
            well = l.restart_every % f->cols == 0;  // whole lines: T.81 H.1.1
        } else if (data_jpeg_is_frame_header(s.marker)) {
            well = s.marker == 0xc3 && l.precision == 0 && read_frame_header(&l, &s, f);
        } else if (s.marker == JPEG_SOS) {
            l.bits.p = bytes + at;
            if (l.precision > 0 && read_scan(&l, &s, f) && decode_samples(out, f, &l)) {
                return FL_OK;
            }
            well = false;
        }
        if (!well) {
            break;
        }
    }
    return fl_fail(err, FL_EFORMAT, "%s: DICOM: the lossless JPEG stream is damaged", name);
}
