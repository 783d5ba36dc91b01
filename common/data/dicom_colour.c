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

fl_status data_dicom_palette(uint8_t **samples, size_t *bytes, const dicom_header *h, size_t count,
                             const char *name, fl_err *err)
{
    size_t entries[3];
    int first[3];
    int bits = 0;

    for (size_t c = 0; c < 3; c++) {
        dicom_span d = h->lut_descriptor[c];
        if (d.n != 6) {
            return fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: the palette is not here", name);
        }
        bool big = h->syntax->is_big;
        entries[c] = data_dicom_uint(d.p, 2, big) == 0 ? 65536 : data_dicom_uint(d.p, 2, big);
        uint32_t raw = data_dicom_uint(d.p + 2, 2, big);
        first[c] = h->is_signed == 1 && raw > 32767 ? (int)raw - 65536 : (int)raw;
        int own = (int)data_dicom_uint(d.p + 4, 2, big);
        bits = c == 0 ? own : bits;
        size_t entry = own == 16 ? 2 : 1;
        /* 8-bit entries may also be stored in a word each */
        if ((own != 8 && own != 16) || own != bits || h->lut[c].n < entry * entries[c]) {
            return fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: the palette is malformed", name);
        }
    }
    size_t size = bits == 16 ? 2 : 1;
    uint8_t *colours = fl_calloc(3 * count, size, name, err);
    if (colours == NULL) {
        return FL_ELIMIT;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t index = (int64_t)data_dicom_uint(*samples + i * *bytes, (int)*bytes, false);
        index &= ((int64_t)1 << h->stored) - 1;
        if (h->is_signed == 1 && index >> (h->stored - 1) != 0) {
            index -= (int64_t)1 << h->stored;
        }
        for (size_t c = 0; c < 3; c++) {
            int64_t last = (int64_t)entries[c] - 1;
            int64_t at = index - first[c];
            at = at < 0 ? 0 : at > last ? last : at;
            bool in_words = size == 1 && h->lut[c].n >= 2 * entries[c];
            const uint8_t *p = h->lut[c].p + (size_t)at * (in_words ? 2 : size);
            uint32_t v = data_dicom_uint(p, in_words ? 2 : (int)size, h->syntax->is_big);
            colours[(3 * i + c) * size] = (uint8_t)v;
            if (size == 2) {
                colours[(3 * i + c) * size + 1] = (uint8_t)(v >> 8);
            }
        }
    }
    free(*samples);
    *samples = colours;
    *bytes = size;
    return FL_OK;
}
