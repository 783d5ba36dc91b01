/*
 * dicom_jpeg.c - segments, Huffman codes and bits of a JPEG stream (ITU-T T.81)
 */
#include "data/dicom_jpeg.h"

#include <string.h>

#include "data/dicom.h"

enum { JPEG_APP14 = 0xee, JPEG_TEM = 0x01 };

int data_jpeg_get_16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

bool data_jpeg_is_frame_header(int marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != JPEG_DHT && marker != 0xc8 &&
           marker != 0xcc;
}

bool data_jpeg_next_segment(jpeg_segment *s, size_t *at, const uint8_t *bytes, size_t n)
{
    while (*at + 1 < n && bytes[*at] == 0xff && bytes[*at + 1] == 0xff) {
        (*at)++;  // fill bytes
    }
    if (*at + 2 > n || bytes[*at] != 0xff) {
        return false;
    }
    *s = (jpeg_segment){.marker = bytes[*at + 1]};
    *at += 2;
    if (s->marker == JPEG_SOI || s->marker == JPEG_EOI || s->marker == JPEG_TEM) {
        return true;
    }
    if (n - *at < 2) {
        return false;
    }
    size_t length = (size_t)data_jpeg_get_16(bytes + *at);
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

    while (data_jpeg_next_segment(&s, &at, bytes, n) && s.marker != JPEG_SOS &&
           s.marker != JPEG_EOI) {
        if (s.marker == JPEG_APP14 && s.n >= 12 && memcmp(s.body, "Adobe", 5) == 0) {
            k.adobe = s.body[11];
        }
        if (data_jpeg_is_frame_header(s.marker) && s.n >= 6 && s.n >= 6 + 3 * (size_t)s.body[5]) {
            k.kind = s.marker - 0xc0;
            k.bits = s.body[0];
            k.rows = data_jpeg_get_16(s.body + 1);
            k.cols = data_jpeg_get_16(s.body + 3);
            k.components = s.body[5];
            k.rgb_ids = k.components == 3 && s.body[6] == 'R' && s.body[9] == 'G' &&
                        s.body[12] == 'B';
            return k;
        }
    }
    return k;
}

/* --- Huffman codes --- */

bool data_jpeg_read_tables(jpeg_tables *out, const jpeg_segment *s)
{
    const uint8_t *p = s->body;
    size_t left = s->n;
    while (left >= 17) {
        int slot = p[0] & 15;
        if (p[0] >> 4 > 1 || slot >= JPEG_SLOTS) {
            return false;
        }
        huffman_table *t = p[0] >> 4 == 0 ? &out->dc[slot] : &out->ac[slot];
        int code = 0;
        int total = 0;
        *t = (huffman_table){.is_set = true};
        for (int length = 1; length <= JPEG_MAX_CODE_BITS; length++) {
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

/* Zeros behind the end or a marker. */
static int next_bit(jpeg_bits *b)
{
    if (b->n_bits == 0) {
        int byte = 0;
        if (b->p < b->end && !(b->p[0] == 0xff && (b->p + 1 == b->end || b->p[1] != 0))) {
            byte = *b->p++;
            b->p += byte == 0xff ? 1 : 0;  // the stuffed zero
        } else {
            b->starved = true;
        }
        b->bits = (uint32_t)byte;
        b->n_bits = 8;
    }
    b->n_bits--;
    return (int)(b->bits >> b->n_bits & 1u);
}

int data_jpeg_next_value(jpeg_bits *b, const huffman_table *t)
{
    int code = 0;
    for (int length = 1; length <= JPEG_MAX_CODE_BITS; length++) {
        code = code << 1 | next_bit(b);
        int place = code - t->first_code[length];
        if (place >= 0 && place < t->n_codes[length]) {
            return t->value[t->first_value[length] + place];
        }
    }
    return -1;
}

int data_jpeg_next_number(jpeg_bits *b, int category)
{
    int v = 0;
    for (int i = 0; i < category; i++) {
        v = v << 1 | next_bit(b);
    }
    bool negative = category > 0 && v < 1 << (category - 1);
    return negative ? v - (1 << category) + 1 : v;
}

bool data_jpeg_take_restart(jpeg_bits *b, int number)
{
    b->n_bits = 0;
    if (b->end - b->p < 2 || b->p[0] != 0xff || b->p[1] != JPEG_RST0 + number % 8) {
        return false;
    }
    b->p += 2;
    return true;
}
