/*
 * npy.c - NumPy's .npy arrays (formats 1.0 to 3.0)
 *
 * An array comes out in C order and this machine's byte order whatever it was
 * written in.  Python objects, text and complex numbers are refused: the
 * first could run code when NumPy reads them, the others are not data of ours.
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
#include "data/npy.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/sys.h"
#include "data/image.h"

enum { MAX_HEADER_BYTES = DATA_NPY_HEAD_BYTES - 12, MAGIC_BYTES = 6 };
static const char magic[] = "\x93NUMPY";

void data_array_clear(data_array *a)
{
    FL_FREE(a->bytes);
    *a = (data_array){0};
}

size_t data_array_count(const data_array *a)
{
    size_t n = 1;
    for (int i = 0; i < a->rank; i++) {
        n *= (size_t)a->dim[i];  // cannot overflow: checked when read
    }
    return n;
}

bool data_array_is_alike(const data_array *a, const data_array *b)
{
    bool same = a->rank == b->rank && a->type == b->type && a->item_bytes == b->item_bytes;
    for (int d = 0; d < a->rank && same; d++) {
        same = a->dim[d] == b->dim[d];
    }
    return same;
}

/* IEEE 754 binary16. */
static double half_to_double(uint16_t h)
{
    int exponent = h >> 10 & 31;
    double fraction = h & 1023;
    double sign = h & 0x8000 ? -1.0 : 1.0;

    if (exponent == 31) {
        return fraction == 0 ? sign * HUGE_VAL : NAN;
    }
    return exponent == 0 ? sign * ldexp(fraction, -24)
                         : sign * ldexp(fraction + 1024, exponent - 25);
}

double data_array_at(const data_array *a, size_t i)
{
    const uint8_t *p = a->bytes + i * (size_t)a->item_bytes;
#define VALUE_AS(type)           \
    do {                         \
        type v;                  \
        memcpy(&v, p, sizeof v); \
        return (double)v;        \
    } while (0)
    if (a->type == 'f') {
        switch (a->item_bytes) {
        case 2: {
            uint16_t h;
            memcpy(&h, p, sizeof h);
            return half_to_double(h);
        }
        case 4:
            VALUE_AS(float);
        default:
            VALUE_AS(double);
        }
    }
    if (a->type == 'i') {
        switch (a->item_bytes) {
        case 1:
            VALUE_AS(int8_t);
        case 2:
            VALUE_AS(int16_t);
        case 4:
            VALUE_AS(int32_t);
        default:
            VALUE_AS(int64_t);
        }
    }
    switch (a->item_bytes) {
    case 1:
        VALUE_AS(uint8_t);
    case 2:
        VALUE_AS(uint16_t);
    case 4:
        VALUE_AS(uint32_t);
    default:
        VALUE_AS(uint64_t);
    }
#undef VALUE_AS
}

/* --- the header: a Python dict of three keys --- */

typedef struct {
    const char *p, *end;
    uint64_t most;  // bytes of the array
    bool big_endian, fortran;
    bool has_descr, has_order, has_shape;
} npy_header;

static void skip_blanks(npy_header *h)
{
    while (h->p < h->end && isspace((unsigned char)*h->p)) {
        h->p++;
    }
}

/* Steps over text when it is next. */
static bool take(npy_header *h, const char *text)
{
    size_t n = strlen(text);
    skip_blanks(h);
    if ((size_t)(h->end - h->p) < n || memcmp(h->p, text, n) != 0) {
        return false;
    }
    h->p += n;
    return true;
}

/* A quoted word of fewer than cap bytes. */
static bool take_word(npy_header *h, char *word, size_t cap)
{
    skip_blanks(h);
    if (h->p >= h->end || (*h->p != '\'' && *h->p != '"')) {
        return false;
    }
    char quote = *h->p++;
    size_t n = 0;
    while (h->p < h->end && *h->p != quote && n + 1 < cap) {
        word[n++] = *h->p++;
    }
    word[n] = '\0';
    if (h->p >= h->end || *h->p != quote) {
        return false;
    }
    h->p++;
    return true;
}

/* "<f4": byte order, kind, bytes. */
static fl_status read_descr(npy_header *h, data_array *a, const char *name, fl_err *err)
{
    char descr[32];
    if (!take_word(h, descr, sizeof descr)) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: expected an array of one plain type, found a record", name);
    }
    bool order_known = strchr("<>|=", descr[0]) != NULL && descr[0] != '\0';
    const char *kind = descr + (order_known ? 1 : 0);
    const char *sizes = *kind == 'b'                   ? "1"
                        : *kind == 'u' || *kind == 'i' ? "1248"
                        : *kind == 'f'                 ? "248"
                                                       : "";
    if (kind[0] == '\0' || kind[1] == '\0' || kind[2] != '\0' || strchr(sizes, kind[1]) == NULL) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: expected an array of integers, bool or float, found type %s", name,
                       descr);
    }
    a->type = kind[0];
    a->item_bytes = kind[1] - '0';
    h->big_endian = descr[0] == '>';
    h->has_descr = true;
    return FL_OK;
}

static fl_status too_large(const npy_header *h, const char *name, fl_err *err)
{
    return fl_fail(err, FL_ELIMIT, "%s: an array of more than %llu bytes", name,
                   (unsigned long long)h->most);
}

/* "(3, 4)" "(3,)" "()"; each dimension and the product within limits. */
static fl_status read_shape(npy_header *h, data_array *a, const char *name, fl_err *err)
{
    size_t bytes = (size_t)a->item_bytes > 0 ? (size_t)a->item_bytes : 8;

    h->has_shape = take(h, "(");
    while (h->has_shape && !take(h, ")")) {
        int64_t value = 0;
        skip_blanks(h);
        const char *digits = h->p;
        while (h->p < h->end && isdigit((unsigned char)*h->p)) {
            value = value * 10 + (*h->p++ - '0');
            if ((uint64_t)value > h->most) {
                return too_large(h, name, err);
            }
        }
        if (h->p == digits || (!take(h, ",") && h->p < h->end && *h->p != ')')) {
            h->has_shape = false;
            break;
        }
        if (a->rank == 6) {
            return fl_fail(err, FL_ELIMIT, "%s: an array of more than 6 dimensions", name);
        }
        if (!fl_size_mul(&bytes, bytes, (size_t)value) || bytes > h->most) {
            return too_large(h, name, err);
        }
        a->dim[a->rank++] = value;
    }
    return h->has_shape ? FL_OK
                        : fl_fail(err, FL_EFORMAT, "%s: the shape of the array is malformed", name);
}

static fl_status read_header(npy_header *h, data_array *a, const char *name, fl_err *err)
{
    fl_status st = FL_OK;
    char key[32];

    bool well = take(h, "{");
    while (well && st == FL_OK && !take(h, "}")) {
        well = take_word(h, key, sizeof key) && take(h, ":");
        if (well && strcmp(key, "descr") == 0 && !h->has_descr) {
            st = read_descr(h, a, name, err);
        } else if (well && strcmp(key, "fortran_order") == 0) {
            h->fortran = take(h, "True");
            h->has_order = h->fortran || take(h, "False");
            well = h->has_order;
        } else if (well && strcmp(key, "shape") == 0 && !h->has_shape) {
            st = read_shape(h, a, name, err);
        } else {
            well = false;
        }
        if (well && st == FL_OK && !take(h, ",")) {
            skip_blanks(h);
            well = h->p < h->end && *h->p == '}';
        }
    }
    if (st != FL_OK) {
        return st;
    }
    if (!well || !h->has_descr || !h->has_order || !h->has_shape) {
        return fl_fail(err, FL_EFORMAT, "%s: the header of the array is malformed", name);
    }
    return FL_OK;
}

/* --- the body --- */

static bool machine_is_big_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 0;
}

void data_npy_swap(uint8_t *bytes, size_t n, size_t item_bytes)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t *p = bytes + i * item_bytes;
        for (size_t j = 0; j < item_bytes / 2; j++) {
            uint8_t t = p[j];
            p[j] = p[item_bytes - 1 - j];
            p[item_bytes - 1 - j] = t;
        }
    }
}

/* Copies from, in Fortran order (first index fastest), to C order. */
static void reorder(data_array *a, const uint8_t *from, size_t n)
{
    size_t size = (size_t)a->item_bytes;
    int64_t index[6] = {0};

    for (size_t i = 0; i < n; i++) {
        size_t at = 0;  // of index in C order
        for (int d = 0; d < a->rank; d++) {
            at = at * (size_t)a->dim[d] + (size_t)index[d];
        }
        memcpy(a->bytes + at * size, from + i * size, size);
        for (int d = 0; d < a->rank && ++index[d] == a->dim[d]; d++) {
            index[d] = 0;
        }
    }
}

fl_status data_npy_head(data_npy_layout *layout, data_array *out, const uint8_t *bytes, size_t n,
                        uint64_t size, uint64_t most, const char *name, fl_err *err)
{
    *out = (data_array){0};
    if (n < MAGIC_BYTES + 4 || memcmp(bytes, magic, MAGIC_BYTES) != 0) {
        return fl_fail(err, FL_EFORMAT, "%s: expected a NumPy array; its first bytes are others",
                       name);
    }
    int version = bytes[6];
    if (version < 1 || version > 3 || bytes[7] != 0) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: expected NumPy's format 1.0, 2.0 or 3.0, found %d.%d", name, version,
                       bytes[7]);
    }
    size_t at = version == 1 ? 10 : 12;
    size_t length = bytes[8] | (size_t)bytes[9] << 8;
    if (version > 1 && n >= at) {
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    }
    if (n < at || length > n - at || length > MAX_HEADER_BYTES) {
        return fl_fail(err, FL_EFORMAT, "%s: the header of the array is cut off", name);
    }

    npy_header h = {
        .p = (const char *)bytes + at, .end = (const char *)bytes + at + length, .most = most};
    fl_status st = read_header(&h, out, name, err);
    if (st != FL_OK) {
        return st;
    }
    size_t count = data_array_count(out);
    size_t expected;
    if (!fl_size_mul(&expected, count, (size_t)out->item_bytes) || expected > most) {
        return too_large(&h, name, err);
    }
    if (size - at - length != expected) {
        return fl_fail(err, FL_EFORMAT, "%s: expected %zu bytes of array, found %llu", name,
                       expected, (unsigned long long)(size - at - length));
    }
    *layout = (data_npy_layout){.at = at + length,
                                .swap = out->item_bytes > 1 &&
                                        h.big_endian != machine_is_big_endian(),
                                .fortran = h.fortran && out->rank > 1};
    return FL_OK;
}

static fl_status parse_npy(data_array *out, const uint8_t *bytes, size_t n, const char *name,
                           fl_err *err)
{
    data_npy_layout layout;
    fl_status st = data_npy_head(&layout, out, bytes, n, n, DATA_MAX_FILE_BYTES, name, err);
    if (st != FL_OK) {
        return st;
    }
    const uint8_t *body = bytes + layout.at;
    size_t count = data_array_count(out);
    size_t size = n - layout.at;
    out->bytes = fl_calloc(size > 0 ? size : 1, 1, name, err);
    if (out->bytes == NULL) {
        return FL_ELIMIT;
    }
    if (layout.fortran) {
        reorder(out, body, count);
    } else {
        memcpy(out->bytes, body, size);
    }
    if (layout.swap) {
        data_npy_swap(out->bytes, count, (size_t)out->item_bytes);
    }
    return FL_OK;
}

fl_status data_npy_parse(data_array *out, const uint8_t *bytes, size_t n, const char *name,
                         fl_err *err)
{
    *out = (data_array){0};
    fl_status st = parse_npy(out, bytes, n, name, err);
    if (st != FL_OK) {
        data_array_clear(out);
    }
    return st;
}

/* --- a single array as an image --- */

static bool is_npy(const uint8_t *head, size_t n)
{
    return n >= MAGIC_BYTES && memcmp(head, magic, MAGIC_BYTES) == 0;
}

/* (rows, cols), (rows, cols, 3 or 4) or (frames, rows, cols). */
static fl_status set_shape(data_image *out, const data_array *a, const char *name, fl_err *err)
{
    bool colour = a->rank == 3 && (a->dim[2] == 3 || a->dim[2] == 4);
    if (a->rank != 2 && a->rank != 3) {
        return fl_fail(err, FL_EFORMAT,
                       "%s: expected an array of 2 or 3 dimensions as image, found %d", name,
                       a->rank);
    }
    int first = a->rank == 3 && !colour ? 1 : 0;
    out->frames = first == 1 ? a->dim[0] : 1;
    out->rows = a->dim[first];
    out->cols = a->dim[first + 1];
    out->channels = colour ? a->dim[2] : 1;
    snprintf(out->photometric, sizeof out->photometric, "%s",
             !colour          ? "gray"
             : a->dim[2] == 3 ? "RGB"
                              : "RGB, alpha");
    return data_image_check_size(out, name, err);
}

/* Any type of number; the smallest and largest value tell the scale. */
static fl_status fill_from_array(data_image *out, const data_array *a, const char *name,
                                 fl_err *err)
{
    size_t channels = (size_t)out->channels;
    size_t plane = data_array_count(a) / channels;
    double sum = 0;

    out->data = fl_calloc(plane * channels, sizeof *out->data, name, err);
    if (out->data == NULL) {
        return FL_ELIMIT;
    }
    out->stored_min = HUGE_VAL;
    out->stored_max = -HUGE_VAL;
    for (size_t i = 0; i < plane * channels; i++) {
        double v = data_array_at(a, i);
        if (!isfinite((float)v)) {  // 1e300 is none either
            return fl_fail(err, FL_EFORMAT, "%s: expected finite numbers, found %g", name, v);
        }
        out->stored_min = fmin(out->stored_min, v);
        out->stored_max = fmax(out->stored_max, v);
        sum += v;
        out->data[i % channels * plane + i / channels] = (float)v;
    }
    out->stored_mean = sum / (double)(plane * channels);
    out->full_scale = a->type == 'b'                         ? 1.0f
                      : a->type == 'u' && a->item_bytes == 1 ? 255.0f
                      : a->type == 'u' && a->item_bytes == 2 ? 65535.0f
                                                             : 0.0f;
    return FL_OK;
}

static fl_status read_npy(data_image *out, const uint8_t *bytes, size_t n, const char *name,
                          fl_err *err)
{
    data_array a;

    *out = (data_image){0};
    fl_status st = data_npy_parse(&a, bytes, n, name, err);
    if (st != FL_OK) {
        return st;
    }
    snprintf(out->format, sizeof out->format, "npy");
    out->bits = 8 * a.item_bytes;
    out->is_signed = a.type == 'i';
    out->is_float = a.type == 'f';
    if ((st = set_shape(out, &a, name, err)) == FL_OK) {
        st = fill_from_array(out, &a, name, err);
    }
    if (st == FL_OK) {
        fl_sha256 hash;
        size_t size = data_array_count(&a) * (size_t)a.item_bytes;
        if (machine_is_big_endian()) {
            data_npy_swap(a.bytes, data_array_count(&a), (size_t)a.item_bytes);
        }
        fl_sha256_init(&hash);
        fl_sha256_add(&hash, a.bytes, size);
        fl_sha256_done(&hash, out->sha256);
    } else {
        data_image_clear(out);
    }
    data_array_clear(&a);
    return st;
}

const data_format data_format_npy = {"npy", is_npy, read_npy};
