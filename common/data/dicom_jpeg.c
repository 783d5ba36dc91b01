/*
 * dicom_jpeg.c - lossless JPEG (ITU-T T.81 annex H), and what a stream is
 *
 * The lossless process is older than and unrelated to JPEG-LS; archives of
 * the nineties are full of it and no separate library in Debian reads it.
 * Each sample is predicted from its left and upper neighbours (selection values 1 to 7,
 * table H.1) and the difference is coded by Huffman category.
 */
#include <string.h>

#include "data/dicom.h"

enum {
    SOI = 0xd8,
    EOI = 0xd9,
    SOS = 0xda,
    DHT = 0xc4,
    DRI = 0xdd,
    APP14 = 0xee,
    TEM = 0x01,
    RST0 = 0xd0,
    MAX_CODE_BITS = 16,
    MAX_COMPONENTS = 3
};

static int get_16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static bool is_frame_header(int marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != DHT && marker != 0xc8 && marker != 0xcc;
}

/* One marker segment: *at is behind it; body and length are its contents. */
typedef struct {
    int marker;
    const uint8_t *body;
    size_t n;
} jpeg_segment;

static bool next_segment(jpeg_segment *s, size_t *at, const uint8_t *bytes, size_t n)
{
    while (*at + 1 < n && bytes[*at] == 0xff && bytes[*at + 1] == 0xff) {
        (*at)++;  // fill bytes
    }
    if (*at + 2 > n || bytes[*at] != 0xff) {
        return false;
    }
    *s = (jpeg_segment){.marker = bytes[*at + 1]};
    *at += 2;
    if (s->marker == SOI || s->marker == EOI || s->marker == TEM) {
        return true;
    }
    if (n - *at < 2) {
        return false;
    }
    size_t length = (size_t)get_16(bytes + *at);
    if (length < 2 || length > n - *at) {
        return false;
    }
    s->body = bytes + *at + 2;
    s->n = length - 2;
    *at += length;
    return true;
}

dicom_jpeg_kind data_dicom_jpeg_kind(const uint8_t *bytes, size_t n)
{
    dicom_jpeg_kind k = {.kind = -1, .adobe = -1};
    jpeg_segment s;
    size_t at = 0;

    while (next_segment(&s, &at, bytes, n) && s.marker != SOS && s.marker != EOI) {
        if (s.marker == APP14 && s.n >= 12 && memcmp(s.body, "Adobe", 5) == 0) {
            k.adobe = s.body[11];
        }
        if (is_frame_header(s.marker) && s.n >= 6 && s.n >= 6 + 3 * (size_t)s.body[5]) {
            k.kind = s.marker - 0xc0;
            k.bits = s.body[0];
            k.rows = get_16(s.body + 1);
            k.cols = get_16(s.body + 3);
            k.components = s.body[5];
            k.rgb_ids = k.components == 3 && s.body[6] == 'R' && s.body[9] == 'G' &&
                        s.body[12] == 'B';
            return k;
        }
    }
    return k;
}

/* --- the lossless process --- */

typedef struct {
    bool is_set;
    int first_code[MAX_CODE_BITS + 1];  // smallest code of each length
    int n_codes[MAX_CODE_BITS + 1];
    int first_value[MAX_CODE_BITS + 1];  // where its values begin
    uint8_t value[256];
} huffman_table;

typedef struct {
    huffman_table tables[4];
    int precision, restart_every;
    int id[MAX_COMPONENTS], table_of[MAX_COMPONENTS];
    int predictor, shift;
    const uint8_t *p, *end;  // of the entropy-coded bytes
    uint32_t bits;
    int n_bits;
    bool starved;  // asked for more bits than there are
} lossless;

static bool read_tables(lossless *l, const jpeg_segment *s)
{
    const uint8_t *p = s->body;
    size_t left = s->n;
    while (left >= 17) {
        int slot = p[0] & 15;
        if (p[0] >> 4 != 0 || slot > 3) {
            return false;
        }
        huffman_table *t = &l->tables[slot];
        int code = 0;
        int total = 0;
        *t = (huffman_table){.is_set = true};
        for (int length = 1; length <= MAX_CODE_BITS; length++) {
            t->first_code[length] = code;
            t->n_codes[length] = p[length];
            t->first_value[length] = total;
            total += p[length];
            code = (code + p[length]) << 1;
        }
        if (total > 256 || left < 17 + (size_t)total) {
            return false;
        }
        memcpy(t->value, p + 17, (size_t)total);
        p += 17 + total;
        left -= 17 + (size_t)total;
    }
    return left == 0;
}

static bool read_scan(lossless *l, const jpeg_segment *s, const dicom_frame *f)
{
    if (s->n != 4 + 2 * (size_t)f->samples || s->body[0] != f->samples) {
        return false;  // components in scans of their own are not read
    }
    for (int c = 0; c < f->samples; c++) {
        const uint8_t *p = s->body + 1 + 2 * c;
        l->table_of[c] = p[1] >> 4;
        if (p[0] != l->id[c] || l->table_of[c] > 3 || !l->tables[l->table_of[c]].is_set) {
            return false;
        }
    }
    const uint8_t *p = s->body + 1 + 2 * f->samples;
    l->predictor = p[0];
    l->shift = p[2] & 15;
    return l->predictor >= 1 && l->predictor <= 7 && l->shift < l->precision;
}

/* Zeros behind the end or a marker; more than a few are damage. */
static int next_bit(lossless *l)
{
    if (l->n_bits == 0) {
        int byte = 0;
        if (l->p < l->end && !(l->p[0] == 0xff && (l->p + 1 == l->end || l->p[1] != 0))) {
            byte = *l->p++;
            l->p += byte == 0xff ? 1 : 0;  // the stuffed zero
        } else {
            l->starved = true;
        }
        l->bits = (uint32_t)byte;
        l->n_bits = 8;
    }
    l->n_bits--;
    return (int)(l->bits >> l->n_bits & 1u);
}

/* A category of 0 to 16 bits, or -1. */
static int next_category(lossless *l, const huffman_table *t)
{
    int code = 0;
    for (int length = 1; length <= MAX_CODE_BITS; length++) {
        code = code << 1 | next_bit(l);
        int place = code - t->first_code[length];
        if (place >= 0 && place < t->n_codes[length]) {
            int category = t->value[t->first_value[length] + place];
            return category <= 16 ? category : -1;
        }
    }
    return -1;
}

static bool next_difference(int *difference, lossless *l, const huffman_table *t)
{
    int category = next_category(l, t);
    if (category < 0) {
        return false;
    }
    if (category == 16) {
        *difference = 32768;
        return !l->starved;
    }
    int v = 0;
    for (int i = 0; i < category; i++) {
        v = v << 1 | next_bit(l);
    }
    bool negative = category > 0 && v < 1 << (category - 1);
    *difference = negative ? v - (1 << category) + 1 : v;
    return !l->starved;
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

/* Steps over RSTm; false when it is not there. */
static bool take_restart(lossless *l, int number)
{
    l->n_bits = 0;
    if (l->end - l->p < 2 || l->p[0] != 0xff || l->p[1] != RST0 + number % 8) {
        return false;
    }
    l->p += 2;
    return true;
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
            if (!take_restart(l, n_restarts++)) {
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
                if (!next_difference(&difference, l, &l->tables[l->table_of[c]])) {
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
    lossless l = {.end = bytes + n};
    dicom_jpeg_kind kind = data_dicom_jpeg_kind(bytes, n);
    jpeg_segment s;
    size_t at = 0;

    if (kind.kind != 3 || kind.rows != f->rows || kind.cols != f->cols ||
        kind.components != f->samples || f->samples > MAX_COMPONENTS || f->bytes > 2) {
        return fl_fail(err, FL_EFORMAT,
                       "%s: DICOM: the JPEG stream has another shape than the header says", name);
    }
    while (next_segment(&s, &at, bytes, n) && s.marker != EOI) {
        bool well = true;
        if (s.marker == DHT) {
            well = read_tables(&l, &s);
        } else if (s.marker == DRI) {
            well = s.n == 2;
            l.restart_every = well ? get_16(s.body) : 0;
            well = l.restart_every % f->cols == 0;  // whole lines: T.81 H.1.1
        } else if (is_frame_header(s.marker)) {
            well = s.marker == 0xc3 && l.precision == 0 && read_frame_header(&l, &s, f);
        } else if (s.marker == SOS) {
            l.p = bytes + at;
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
