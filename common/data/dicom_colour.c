/*
 * dicom_colour.c - YBR and palette colours of a DICOM image, as RGB
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "data/dicom.h"

static uint8_t to_byte(double v)
{
    return (uint8_t)(v <= 0 ? 0 : v >= 255 ? 255 : floor(v + 0.5));
}

void data_dicom_ybr_to_rgb(uint8_t *samples, size_t n_pixels)
{
    for (uint8_t *p = samples; p < samples + 3 * n_pixels; p += 3) {
        double y = p[0];
        double cb = p[1] - 128.0;
        double cr = p[2] - 128.0;
        p[0] = to_byte(y + 1.402 * cr);
        p[1] = to_byte(y - 0.344136 * cb - 0.714136 * cr);
        p[2] = to_byte(y + 1.772 * cb);
    }
}

/* One colour of a palette. */
typedef struct {
    int64_t n, first;  // entries, and the index that the first one stands for
    bool is_wide;      // 16 bits
    uint16_t *entry;
} colour_table;

static fl_status malformed(const char *name, fl_err *err)
{
    return fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: the palette is malformed", name);
}

static fl_status read_table(colour_table *t, const dicom_header *h, int colour, const char *name,
                            fl_err *err)
{
    dicom_span d = h->lut_descriptor[colour], lut = h->lut[colour];
    bool big = h->syntax->is_big;

    if (d.n != 6) {
        return fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: the palette is not here", name);
    }
    uint32_t n = data_dicom_uint(d.p, 2, big), first = data_dicom_uint(d.p + 2, 2, big);
    uint32_t bits = data_dicom_uint(d.p + 4, 2, big);
    t->n = n == 0 ? 65536 : n;
    t->first = h->is_signed == 1 && first > 32767 ? (int64_t)first - 65536 : first;
    t->is_wide = bits == 16;
    if (bits != 8 && bits != 16) {
        return malformed(name, err);
    }
    t->entry = fl_xcalloc((size_t)t->n, sizeof *t->entry);
    if (lut.n == 0 && h->segments[colour].n > 0) {
        return data_dicom_palette_expand(t->entry, (size_t)t->n, h->segments[colour], t->is_wide,
                                         big)
                   ? FL_OK
                   : malformed(name, err);
    }
    bool in_words = t->is_wide || lut.n >= 2 * (size_t)t->n;  // as 8-bit entries may be, too
    int size = in_words ? 2 : 1;
    if (lut.n < (size_t)size * (size_t)t->n) {
        return malformed(name, err);
    }
    for (int64_t i = 0; i < t->n; i++) {
        uint32_t v = data_dicom_uint(lut.p + i * size, size, big);
        t->entry[i] = t->is_wide ? (uint16_t)v : (uint8_t)v;
    }
    return FL_OK;
}

/* Sample i, of so many bytes. */
static int64_t index_at(const uint8_t *samples, size_t i, size_t bytes, const dicom_header *h)
{
    int64_t index = (int64_t)data_dicom_uint(samples + i * bytes, (int)bytes, false);
    index &= ((int64_t)1 << h->stored) - 1;
    if (h->is_signed == 1 && index >> (h->stored - 1) != 0) {
        index -= (int64_t)1 << h->stored;
    }
    return index;
}

fl_status data_dicom_palette(uint8_t **samples, size_t *bytes, const dicom_header *h, size_t count,
                             const char *name, fl_err *err)
{
    colour_table table[3] = {0};
    uint8_t *colours = NULL;
    size_t size = 0;
    fl_status st = FL_OK;

    for (int c = 0; c < 3 && st == FL_OK; c++) {
        st = read_table(&table[c], h, c, name, err);
    }
    if (st == FL_OK && (table[1].is_wide != table[0].is_wide ||
                        table[2].is_wide != table[0].is_wide)) {
        st = malformed(name, err);
    }
    if (st == FL_OK) {
        size = table[0].is_wide ? 2 : 1;
        colours = fl_calloc(3 * count, size, name, err);
        st = colours != NULL ? FL_OK : FL_ELIMIT;
    }
    for (size_t i = 0; st == FL_OK && i < count; i++) {
        int64_t index = index_at(*samples, i, *bytes, h);
        for (size_t c = 0; c < 3; c++) {
            const colour_table *t = &table[c];
            int64_t at = index - t->first;
            uint16_t v = t->entry[at < 0 ? 0 : at >= t->n ? t->n - 1 : at];
            colours[(3 * i + c) * size] = (uint8_t)v;
            if (size == 2) {
                colours[(3 * i + c) * size + 1] = (uint8_t)(v >> 8);
            }
        }
    }
    if (st == FL_OK) {
        free(*samples);
        *samples = colours;
        *bytes = size;
    }
    for (int c = 0; c < 3; c++) {
        free(table[c].entry);
    }
    return st;
}
