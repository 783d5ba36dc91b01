/*
 * dicom_dct.c - sequential JPEG with 12 bits (ITU-T T.81, process 4)
 *
 * "JPEG Extended" of DICOM.  libjpeg reads 8 bits; what is coded with 12 is
 * decoded here: Huffman codes, up to three components of full resolution, in
 * one scan or in several.  The inverse cosine transform (T.81 A.3.3) is computed in
 * double, so that a sample is off by its rounding alone.
 */
#include <math.h>
#include <string.h>

#include "data/dicom.h"
#include "data/dicom_jpeg.h"

enum { SIDE = 8, N_COEFFICIENTS = SIDE * SIDE };

typedef struct {
    int id, quant;  // slot of its quantisation table
    int dc, ac;     // slots of the scan's tables
    int last_dc;
    bool is_decoded;
} component;

typedef struct {
    jpeg_tables tables;
    jpeg_bits bits;
    int precision, restart_every;  // MCUs; 0 = never
    component comp[JPEG_MAX_COMPONENTS];
    int n_components;
    bool has_quant[JPEG_SLOTS];
    int quant[JPEG_SLOTS][N_COEFFICIENTS];  // in zigzag order
    double cosine[SIDE][SIDE];              // [x][u]: C(u) / 2 * cos((2x + 1) u pi / 16)
} dct;

/* T.81 figure A.6: place in the block of the k-th coefficient. */
static const uint8_t zigzag[N_COEFFICIENTS] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

static void set_cosines(dct *d)
{
    const double pi = 3.14159265358979323846;
    for (int x = 0; x < SIDE; x++) {
        for (int u = 0; u < SIDE; u++) {
            d->cosine[x][u] = (u == 0 ? sqrt(0.5) : 1.0) / 2 * cos((2 * x + 1) * u * pi / 16);
        }
    }
}

static bool read_quant(dct *d, const jpeg_segment *s)
{
    const uint8_t *p = s->body;
    size_t left = s->n;
    while (left > 0) {
        int slot = p[0] & 15;
        size_t size = p[0] >> 4 == 0 ? 1 : 2;
        if (p[0] >> 4 > 1 || slot >= JPEG_SLOTS || left < 1 + size * N_COEFFICIENTS) {
            return false;
        }
        for (size_t k = 0; k < N_COEFFICIENTS; k++) {
            d->quant[slot][k] = size == 1 ? p[1 + k] : data_jpeg_get_16(p + 1 + 2 * k);
        }
        d->has_quant[slot] = true;
        p += 1 + size * N_COEFFICIENTS;
        left -= 1 + size * N_COEFFICIENTS;
    }
    return true;
}

/* A single component has full resolution whatever its factors say. */
static bool read_frame(dct *d, const jpeg_segment *s, const dicom_frame *f)
{
    d->precision = s->body[0];
    d->n_components = f->samples;
    for (int c = 0; c < f->samples; c++) {
        const uint8_t *p = s->body + 6 + 3 * c;
        d->comp[c] = (component){.id = p[0], .quant = p[2]};
        if ((f->samples > 1 && p[1] != 0x11) || p[2] >= JPEG_SLOTS) {
            return false;
        }
    }
    return true;
}

/* in: the scan's components. */
static bool read_scan(component *in[static JPEG_MAX_COMPONENTS], int *n, dct *d,
                      const jpeg_segment *s)
{
    *n = s->n > 0 ? s->body[0] : 0;
    if (*n < 1 || *n > d->n_components || s->n != 4 + 2 * (size_t)*n) {
        return false;
    }
    for (int i = 0; i < *n; i++) {
        const uint8_t *p = s->body + 1 + 2 * i;
        in[i] = NULL;
        for (int c = 0; c < d->n_components; c++) {
            in[i] = d->comp[c].id == p[0] ? &d->comp[c] : in[i];
        }
        if (in[i] == NULL || in[i]->is_decoded || p[1] >> 4 >= JPEG_SLOTS ||
            (p[1] & 15) >= JPEG_SLOTS) {
            return false;
        }
        in[i]->dc = p[1] >> 4;
        in[i]->ac = p[1] & 15;
        in[i]->last_dc = 0;
        in[i]->is_decoded = true;
        if (!d->tables.dc[in[i]->dc].is_set || !d->tables.ac[in[i]->ac].is_set ||
            !d->has_quant[in[i]->quant]) {
            return false;
        }
    }
    return true;  // the spectral selection is all of it; some files say otherwise
}

/* Dequantised, in the block's order: [v][u]. */
static bool next_block(double block[static N_COEFFICIENTS], dct *d, component *c)
{
    const int *quant = d->quant[c->quant];

    memset(block, 0, N_COEFFICIENTS * sizeof *block);
    int category = data_jpeg_next_value(&d->bits, &d->tables.dc[c->dc]);
    if (category < 0 || category > 15) {
        return false;
    }
    c->last_dc += data_jpeg_next_number(&d->bits, category);
    if (c->last_dc < -(1 << 16) || c->last_dc > 1 << 16) {
        return false;
    }
    block[0] = (double)c->last_dc * quant[0];
    for (int k = 1; k < N_COEFFICIENTS; k++) {
        int value = data_jpeg_next_value(&d->bits, &d->tables.ac[c->ac]);
        int run = value >> 4;
        int size = value & 15;
        if (value < 0) {
            return false;
        }
        if (size == 0 && run != 15) {
            break;  // end of block
        }
        k += run;
        if (k >= N_COEFFICIENTS) {
            return false;
        }
        if (size > 0) {
            block[zigzag[k]] = (double)data_jpeg_next_number(&d->bits, size) * quant[k];
        }
    }
    return !d->bits.starved;
}

static void put_block(uint8_t *out, const dicom_frame *f, const dct *d, int channel, int64_t top,
                      int64_t left, const double block[static N_COEFFICIENTS])
{
    double rows[SIDE][SIDE];  // [v][x]
    const double most = (double)((1 << d->precision) - 1);
    const double middle = (double)(1 << (d->precision - 1));

    for (int v = 0; v < SIDE; v++) {
        for (int x = 0; x < SIDE; x++) {
            double sum = 0;
            for (int u = 0; u < SIDE; u++) {
                sum += d->cosine[x][u] * block[SIDE * v + u];
            }
            rows[v][x] = sum;
        }
    }
    for (int y = 0; y < SIDE && top + y < f->rows; y++) {
        for (int x = 0; x < SIDE && left + x < f->cols; x++) {
            double sum = 0;
            for (int v = 0; v < SIDE; v++) {
                sum += d->cosine[y][v] * rows[v][x];
            }
            unsigned sample = (unsigned)(fmin(fmax(sum + middle, 0), most) + 0.5);
            size_t pixel = (size_t)(top + y) * (size_t)f->cols + (size_t)(left + x);
            uint8_t *to = out + (pixel * (size_t)f->samples + (size_t)channel) * 2;
            to[0] = (uint8_t)sample;
            to[1] = (uint8_t)(sample >> 8);
        }
    }
}

static bool decode_scan(uint8_t *out, const dicom_frame *f, dct *d, const jpeg_segment *s)
{
    component *in[JPEG_MAX_COMPONENTS];
    double block[N_COEFFICIENTS];
    int n;
    int n_done = 0;
    int n_restarts = 0;

    if (!read_scan(in, &n, d, s)) {
        return false;
    }
    d->bits.n_bits = 0;
    for (int64_t top = 0; top < f->rows; top += SIDE) {
        for (int64_t left = 0; left < f->cols; left += SIDE, n_done++) {
            if (d->restart_every > 0 && n_done == d->restart_every) {
                if (!data_jpeg_take_restart(&d->bits, n_restarts++)) {
                    return false;
                }
                for (int i = 0; i < n; i++) {
                    in[i]->last_dc = 0;
                }
                n_done = 0;
            }
            for (int i = 0; i < n; i++) {
                if (!next_block(block, d, in[i])) {
                    return false;
                }
                put_block(out, f, d, (int)(in[i] - d->comp), top, left, block);
            }
        }
    }
    return true;
}

static bool is_complete(const dct *d)
{
    bool all = d->n_components > 0;
    for (int c = 0; c < d->n_components; c++) {
        all = all && d->comp[c].is_decoded;
    }
    return all;
}

fl_status data_dicom_jpeg_12(uint8_t *out, const dicom_frame *f, const uint8_t *bytes, size_t n,
                             const char *name, fl_err *err)
{
    dct d = {.bits = {.end = bytes + n}};
    dicom_jpeg_kind kind = data_dicom_jpeg_kind(bytes, n);
    jpeg_segment s;
    size_t at = 0;
    bool well = true;

    if (kind.rows != f->rows || kind.cols != f->cols || kind.components != f->samples ||
        f->bytes != 2) {
        return fl_fail(err, FL_EFORMAT,
                       "%s: DICOM: the JPEG stream has another shape than the header says", name);
    }
    set_cosines(&d);
    while (well && !is_complete(&d) && data_jpeg_next_segment(&s, &at, bytes, n)) {
        if (s.marker == JPEG_DQT) {
            well = read_quant(&d, &s);
        } else if (s.marker == JPEG_DHT) {
            well = data_jpeg_read_tables(&d.tables, &s);
        } else if (s.marker == JPEG_DRI) {
            well = s.n == 2;
            d.restart_every = well ? data_jpeg_get_16(s.body) : 0;
        } else if (data_jpeg_is_frame_header(s.marker)) {
            well = d.n_components == 0 && read_frame(&d, &s, f);
        } else if (s.marker == JPEG_SOS) {
            d.bits.p = bytes + at;
            well = d.n_components > 0 && decode_scan(out, f, &d, &s);
            at = (size_t)(d.bits.p - bytes);
        } else if (s.marker == JPEG_EOI) {
            break;
        }
    }
    if (!well || !is_complete(&d)) {
        return fl_fail(err, FL_EFORMAT,
                       "%s: DICOM: the JPEG stream of 12 bits is damaged, or its colours are "
                       "subsampled",
                       name);
    }
    return FL_OK;
}
