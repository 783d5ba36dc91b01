/*
 * dicom.c - DICOM images (PS3.3, PS3.5, PS3.10)
 *
 * Reads a Part 10 file from memory: implicit, explicit, big-endian and deflated
 * data sets; native pixels here, packed ones by the decoders of dicom.h.
 *
 * Only the fields listed in `keep_field` are looked at; every other element,
 * and so every name, date and identifier of a patient, is stepped over
 * unread.  Why not GDCM or DCMTK: DCMTK reads no JPEG 2000, and GDCM 3.0
 * aborts the process even on some whole ones, which one bad export must not do to a
 * hospital's client.  https://www.dicomstandard.org/current
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "data/dicom.h"
#include "data/image.h"

enum {
    PREAMBLE = 128,
    MAX_DEPTH = 16,         // of sequences in sequences
    MAX_FRAGMENTS = 65536,  // of encapsulated pixel data
    MAX_NUMBERS = 6         // of one field
};
static const uint32_t undefined_length = UINT32_MAX;

#define TAG(group, element) ((uint32_t)(group) << 16 | (uint32_t)(element))
enum {
    TAG_SYNTAX = TAG(0x0002, 0x0010),
    TAG_SHARED = TAG(0x5200, 0x9229),
    TAG_PER_FRAME = TAG(0x5200, 0x9230),
    TAG_PIXELS = TAG(0x7fe0, 0x0010)
};
static const uint32_t tag_item = TAG(0xfffe, 0xe000);
static const uint32_t tag_item_end = TAG(0xfffe, 0xe00d);
static const uint32_t tag_sequence_end = TAG(0xfffe, 0xe0dd);

/* How pixels are packed; index of the table below. */
typedef enum { PACK_NONE, PACK_RLE, PACK_JPEG, PACK_LS, PACK_2000 } packing;

typedef struct {
    const char *uid;
    bool is_explicit, is_big, is_deflated;
    packing pack;
} transfer_syntax;

static const transfer_syntax syntaxes[] = {
    {"1.2.840.10008.1.2", false, false, false, PACK_NONE},
    {"1.2.840.10008.1.2.1", true, false, false, PACK_NONE},
    {"1.2.840.10008.1.2.1.99", true, false, true, PACK_NONE},
    {"1.2.840.10008.1.2.2", true, true, false, PACK_NONE},
    {"1.2.840.10008.1.2.5", true, false, false, PACK_RLE},
    {"1.2.840.10008.1.2.4.50", true, false, false, PACK_JPEG},
    {"1.2.840.10008.1.2.4.51", true, false, false, PACK_JPEG},
    {"1.2.840.10008.1.2.4.57", true, false, false, PACK_JPEG},
    {"1.2.840.10008.1.2.4.70", true, false, false, PACK_JPEG},
    {"1.2.840.10008.1.2.4.80", true, false, false, PACK_LS},
    {"1.2.840.10008.1.2.4.81", true, false, false, PACK_LS},
    {"1.2.840.10008.1.2.4.90", true, false, false, PACK_2000},
    {"1.2.840.10008.1.2.4.91", true, false, false, PACK_2000},
};

typedef struct {
    const uint8_t *p;
    size_t n;
} span;

typedef struct {
    size_t n;  // 0 = absent
    double v[MAX_NUMBERS];
} numbers;

/* The listed fields. */
typedef struct {
    const transfer_syntax *syntax;
    int64_t samples, planar, frames, rows, cols, allocated, stored, high, is_signed;
    char photometric[32];
    numbers spacing, imager_spacing, thickness, between, position, last_position, orientation;
    numbers slope, intercept, centre, width, grid;
    int64_t n_positions;
    bool scales_differ, has_modality_lut;
    span lut_descriptor[3], lut[3];
    char pixel_vr[3];
    char kind;       // 'u' 'f'
    span pixels;     // native
    span *fragment;  // encapsulated; owned
    size_t n_fragments;
    span offsets;  // the basic offset table
} dicom_header;

/* Where in the nesting an element stands: fields count at the top and in the
 * functional groups of enhanced images. */
typedef enum { AT_TOP, IN_SHARED, IN_FRAME, ELSEWHERE } place;

typedef struct {
    const uint8_t *p;
    size_t n, at;
    bool is_explicit, is_big;
    dicom_header *h;
    const char *name;
    fl_err *err;
} dicom_reader;

typedef struct {
    uint32_t tag, length;
    char vr[3];
} dicom_element;

static uint32_t get_n(const uint8_t *p, int bytes, bool big)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++) {
        v = v << 8 | p[big ? i : bytes - 1 - i];
    }
    return v;
}

static fl_status cut_off(const dicom_reader *r)
{
    return fl_fail(r->err, FL_EFORMAT, "%s: DICOM: the file ends inside an element", r->name);
}

/* --- fields --- */

/* "0.5\1.0 ": at most MAX_NUMBERS; what is no number ends the list. */
static numbers read_numbers(const uint8_t *p, size_t n)
{
    numbers out = {0};
    char text[128];
    size_t length = n < sizeof text - 1 ? n : sizeof text - 1;

    memcpy(text, p, length);
    text[length] = '\0';
    for (char *at = text; out.n < MAX_NUMBERS;) {
        char *end;
        double v = strtod(at, &end);
        if (end == at || !isfinite(v)) {
            break;
        }
        out.v[out.n++] = v;
        end += strspn(end, " ");
        if (*end != '\\') {
            break;
        }
        at = end + 1;
    }
    return out;
}

static void keep_number(int64_t *out, const dicom_reader *r, const uint8_t *p, size_t n)
{
    *out = n >= 2 ? (int64_t)get_n(p, 2, r->is_big) : -1;
}

static void keep_text(char *out, size_t cap, const uint8_t *p, size_t n)
{
    size_t length = n < cap - 1 ? n : cap - 1;
    memcpy(out, p, length);
    out[length] = '\0';
    while (length > 0 && (out[length - 1] == ' ' || out[length - 1] == '\0')) {
        out[--length] = '\0';
    }
}

/* Enhanced images give it a frame; the frames must then agree. */
static void keep_scale(dicom_header *h, numbers *out, numbers v, place where)
{
    if (where == IN_FRAME && out->n > 0 && v.n > 0 && out->v[0] != v.v[0]) {
        h->scales_differ = true;
    }
    *out = v;
}

/* "12 ": pydicom and we take "1A" for damage. */
static bool is_digits(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((p[i] < '0' || p[i] > '9') && p[i] != ' ' && p[i] != '\0' && p[i] != '+') {
            return false;
        }
    }
    return true;
}

/* All that is ever looked at. */
static void keep_field(dicom_reader *r, uint32_t tag, const uint8_t *p, size_t n, place where)
{
    dicom_header *h = r->h;
    bool top = where == AT_TOP;

    switch (tag) {
    case TAG(0x0028, 0x0030):
        h->spacing = read_numbers(p, n);
        return;
    case TAG(0x0018, 0x0050):
        h->thickness = read_numbers(p, n);
        return;
    case TAG(0x0018, 0x0088):
        h->between = read_numbers(p, n);
        return;
    case TAG(0x0020, 0x0032):
        h->last_position = read_numbers(p, n);
        if (h->n_positions++ == 0) {
            h->position = h->last_position;
        }
        return;
    case TAG(0x0020, 0x0037):
        h->orientation = read_numbers(p, n);
        return;
    case TAG(0x0028, 0x1050):
        h->centre = read_numbers(p, n);
        return;
    case TAG(0x0028, 0x1051):
        h->width = read_numbers(p, n);
        return;
    case TAG(0x0028, 0x1052):
        keep_scale(h, &h->intercept, read_numbers(p, n), where);
        return;
    case TAG(0x0028, 0x1053):
        keep_scale(h, &h->slope, read_numbers(p, n), where);
        return;
    default:
        break;
    }
    if (!top) {
        return;
    }
    switch (tag) {
    case TAG(0x0018, 0x1164):
        h->imager_spacing = read_numbers(p, n);
        break;
    case TAG(0x0028, 0x0002):
        keep_number(&h->samples, r, p, n);
        break;
    case TAG(0x0028, 0x0004):
        keep_text(h->photometric, sizeof h->photometric, p, n);
        break;
    case TAG(0x0028, 0x0006):
        keep_number(&h->planar, r, p, n);
        break;
    case TAG(0x0028, 0x0008): {
        numbers frames = read_numbers(p, n);
        bool whole = frames.n == 1 && is_digits(p, n) && frames.v[0] >= 0 && frames.v[0] <= 1e9;
        h->frames = n == 0 ? 1 : whole ? (int64_t)frames.v[0] : -1;
        break;
    }
    case TAG(0x0028, 0x0010):
        keep_number(&h->rows, r, p, n);
        break;
    case TAG(0x0028, 0x0011):
        keep_number(&h->cols, r, p, n);
        break;
    case TAG(0x0028, 0x0100):
        keep_number(&h->allocated, r, p, n);
        break;
    case TAG(0x0028, 0x0101):
        keep_number(&h->stored, r, p, n);
        break;
    case TAG(0x0028, 0x0102):
        keep_number(&h->high, r, p, n);
        break;
    case TAG(0x0028, 0x0103):
        keep_number(&h->is_signed, r, p, n);
        break;
    case TAG(0x0028, 0x1101):
    case TAG(0x0028, 0x1102):
    case TAG(0x0028, 0x1103):
        h->lut_descriptor[tag - TAG(0x0028, 0x1101)] = (span){p, n};
        break;
    case TAG(0x0028, 0x1201):
    case TAG(0x0028, 0x1202):
    case TAG(0x0028, 0x1203):
        h->lut[tag - TAG(0x0028, 0x1201)] = (span){p, n};
        break;
    case TAG(0x3004, 0x000c):
        h->grid = read_numbers(p, n);
        break;
    default:
        break;
    }
}

/* --- elements --- */

static bool vr_is_long(const char *vr)
{
    static const char *const longs[] = {"OB", "OW", "OF", "OD", "OL", "OV", "SQ",
                                        "UN", "UC", "UR", "UT", "SV", "UV"};
    for (size_t i = 0; i < sizeof longs / sizeof *longs; i++) {
        if (strcmp(vr, longs[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_capital(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

/* Leaves r->at behind the length. */
static fl_status next_element(dicom_element *e, dicom_reader *r)
{
    const uint8_t *p = r->p + r->at;
    size_t left = r->n - r->at;

    *e = (dicom_element){.vr = ""};
    if (left < 8) {
        return cut_off(r);
    }
    e->tag = TAG(get_n(p, 2, r->is_big), get_n(p + 2, 2, r->is_big));
    if (!r->is_explicit || e->tag >> 16 == 0xfffe) {
        e->length = get_n(p + 4, 4, r->is_big);
        r->at += 8;
        return FL_OK;
    }
    if (!is_capital(p[4]) || !is_capital(p[5])) {
        return fl_fail(r->err, FL_EFORMAT, "%s: DICOM: an element of no known type", r->name);
    }
    memcpy(e->vr, p + 4, 2);
    if (!vr_is_long(e->vr)) {
        e->length = get_n(p + 6, 2, r->is_big);
        r->at += 8;
        return FL_OK;
    }
    if (left < 12) {
        return cut_off(r);
    }
    e->length = get_n(p + 8, 4, r->is_big);
    r->at += 12;
    return FL_OK;
}

static fl_status read_elements(dicom_reader *r, size_t end, bool until_mark, place where,
                               int depth);

/* Fields inside count only along the path of the functional groups. */
static place place_inside(uint32_t tag, place where)
{
    switch (tag) {
    case TAG_SHARED:
        return where == AT_TOP ? IN_SHARED : ELSEWHERE;
    case TAG_PER_FRAME:
        return where == AT_TOP ? IN_FRAME : ELSEWHERE;
    case TAG(0x0028, 0x9110):  // pixel measures
    case TAG(0x0020, 0x9113):  // plane position
    case TAG(0x0020, 0x9116):  // plane orientation
    case TAG(0x0028, 0x9145):  // pixel value transformation
    case TAG(0x0028, 0x9132):  // frame VOI LUT
        return where == IN_SHARED || where == IN_FRAME ? where : ELSEWHERE;
    default:
        return ELSEWHERE;
    }
}

/* Items up to end, or up to the mark that ends the sequence. */
static fl_status read_sequence(dicom_reader *r, size_t end, bool until_mark, place where, int depth)
{
    if (depth > MAX_DEPTH) {
        return fl_fail(r->err, FL_ELIMIT, "%s: DICOM: sequences nested more than %d deep", r->name,
                       MAX_DEPTH);
    }
    while (r->at < end) {
        dicom_element item;
        fl_status st = next_element(&item, r);
        if (st != FL_OK) {
            return st;
        }
        if (item.tag == tag_sequence_end && until_mark) {
            return FL_OK;
        }
        bool open = item.length == undefined_length;
        if (item.tag != tag_item || (!open && item.length > end - r->at)) {
            return fl_fail(r->err, FL_EFORMAT, "%s: DICOM: a sequence is malformed", r->name);
        }
        size_t item_end = open ? end : r->at + item.length;
        if ((st = read_elements(r, item_end, open, where, depth)) != FL_OK) {
            return st;
        }
    }
    return until_mark ? cut_off(r) : FL_OK;
}

static bool is_pixels(uint32_t tag)
{
    return tag == TAG_PIXELS || tag == TAG(0x7fe0, 0x0008) || tag == TAG(0x7fe0, 0x0009);
}

/* keep: these are the image's, not an icon's. */
static fl_status read_fragments(dicom_reader *r, bool keep)
{
    dicom_header *h = r->h;
    size_t cap = 0;

    for (size_t i = 0;; i++) {
        dicom_element item;
        fl_status st = next_element(&item, r);
        if (st != FL_OK) {
            return st;
        }
        if (item.tag == tag_sequence_end) {
            return FL_OK;
        }
        if (item.tag != tag_item || item.length > r->n - r->at) {
            return fl_fail(r->err, FL_EFORMAT, "%s: DICOM: the packed pixels are cut off", r->name);
        }
        span body = {r->p + r->at, item.length};
        r->at += item.length;
        if (!keep) {
            continue;
        }
        if (i == 0) {
            h->offsets = body;
            continue;
        }
        if (h->n_fragments == MAX_FRAGMENTS) {
            return fl_fail(r->err, FL_ELIMIT, "%s: DICOM: more than %d fragments", r->name,
                           MAX_FRAGMENTS);
        }
        if (h->n_fragments == cap) {
            cap = cap == 0 ? 16 : 2 * cap;
            h->fragment = fl_xrealloc(h->fragment, cap, sizeof *h->fragment);
        }
        h->fragment[h->n_fragments++] = body;
    }
}

static fl_status read_pixels(dicom_reader *r, const dicom_element *e)
{
    dicom_header *h = r->h;
    memcpy(h->pixel_vr, e->vr, sizeof h->pixel_vr);
    h->kind = e->tag == TAG_PIXELS ? 'u' : 'f';
    if (e->length == undefined_length) {
        return read_fragments(r, true);
    }
    size_t left = r->n - r->at;
    h->pixels = (span){r->p + r->at, e->length < left ? e->length : left};
    r->at += h->pixels.n;
    return FL_OK;
}

static fl_status read_one(dicom_reader *r, const dicom_element *e, size_t end, place where,
                          int depth)
{
    place inside = place_inside(e->tag, where);

    if (e->length == undefined_length && is_pixels(e->tag)) {
        return read_fragments(r, false);
    }
    if (e->length == undefined_length) {
        /* of unknown type, it is written as an implicit data set (PS3.5 6.2.2) */
        bool was_explicit = r->is_explicit;
        r->is_explicit = was_explicit && strcmp(e->vr, "UN") != 0;
        fl_status st = read_sequence(r, end, true, inside, depth + 1);
        r->is_explicit = was_explicit;
        return st;
    }
    if (e->length > end - r->at) {
        return cut_off(r);
    }
    if (inside != ELSEWHERE) {
        return read_sequence(r, r->at + e->length, false, inside, depth + 1);
    }
    if (where != ELSEWHERE) {
        keep_field(r, e->tag, r->p + r->at, e->length, where);
        r->h->has_modality_lut |= where == AT_TOP && e->tag == TAG(0x0028, 0x3000);
    }
    r->at += e->length;
    return FL_OK;
}

/* Up to end, to the mark that ends an item, or, at the top, to the pixels. */
static fl_status read_elements(dicom_reader *r, size_t end, bool until_mark, place where, int depth)
{
    while (r->at < end) {
        dicom_element e;
        fl_status st = next_element(&e, r);
        if (st != FL_OK) {
            return st;
        }
        if (e.tag == tag_item_end && until_mark) {
            return FL_OK;
        }
        if (where == AT_TOP && is_pixels(e.tag)) {
            return read_pixels(r, &e);  // nothing behind them is of use
        }
        if ((st = read_one(r, &e, end, where, depth)) != FL_OK) {
            return st;
        }
    }
    return until_mark ? cut_off(r) : FL_OK;
}

/* --- the file --- */

/* Group 2, always explicit and little-endian; leaves r->at behind it. */
static fl_status read_meta(dicom_reader *r)
{
    char uid[65] = "";

    r->is_explicit = true;
    r->at = PREAMBLE + 4;
    while (r->n - r->at >= 8 && get_n(r->p + r->at, 2, false) == 0x0002) {
        dicom_element e;
        fl_status st = next_element(&e, r);
        if (st != FL_OK) {
            return st;
        }
        if (e.length > r->n - r->at) {
            return cut_off(r);
        }
        if (e.tag == TAG_SYNTAX) {
            keep_text(uid, sizeof uid, r->p + r->at, e.length);
        }
        r->at += e.length;
    }
    for (size_t i = 0; i < sizeof syntaxes / sizeof *syntaxes; i++) {
        if (strcmp(syntaxes[i].uid, uid) == 0) {
            r->h->syntax = &syntaxes[i];
            r->is_explicit = syntaxes[i].is_explicit;
            r->is_big = syntaxes[i].is_big;
            return FL_OK;
        }
    }
    for (char *c = uid; *c != '\0'; c++) {
        *c = (*c >= '0' && *c <= '9') || *c == '.' ? *c : '?';
    }
    return fl_fail(r->err, FL_EUNSUPPORTED, "%s: DICOM: transfer syntax %s is not read", r->name,
                   uid[0] != '\0' ? uid : "(none given)");
}

/* The rest of the file, unpacked; *out is the caller's. */
static fl_status inflate_rest(uint8_t **out, size_t *n, const dicom_reader *r)
{
    z_stream z = {.next_in = (Bytef *)(r->p + r->at), .avail_in = (uInt)(r->n - r->at)};
    size_t cap = 0;
    int rc = Z_OK;

    *out = NULL;
    *n = 0;
    FL_REQUIRE(inflateInit2(&z, -15) == Z_OK);  // no wrapper
    while (rc == Z_OK && *n == cap && cap < DATA_MAX_FILE_BYTES) {
        cap = cap == 0 ? 65536 : 4 * cap;
        cap = cap < DATA_MAX_FILE_BYTES ? cap : DATA_MAX_FILE_BYTES;
        *out = fl_xrealloc(*out, cap, 1);
        z.next_out = *out + *n;
        z.avail_out = (uInt)(cap - *n);
        rc = inflate(&z, Z_NO_FLUSH);
        *n = cap - z.avail_out;
    }
    inflateEnd(&z);
    if (rc != Z_STREAM_END) {
        return fl_fail(r->err, FL_EFORMAT, "%s: DICOM: the deflated part is damaged or too large",
                       r->name);
    }
    return FL_OK;
}

/* --- shape --- */

static bool is_photometric(const dicom_header *h, const char *what)
{
    return strncmp(h->photometric, what, strlen(what)) == 0;
}

static fl_status check_header(const dicom_header *h, const char *name, fl_err *err)
{
    static const char *const known[] = {"MONOCHROME1", "MONOCHROME2", "RGB",     "PALETTE COLOR",
                                        "YBR_FULL",    "YBR_RCT",     "YBR_ICT", "YBR_FULL_422"};
    bool is_known = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        is_known = is_known || strcmp(h->photometric, known[i]) == 0;
    }
    if (!is_known) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: DICOM: this photometric interpretation is not read", name);
    }
    bool one = is_photometric(h, "MONOCHROME") || is_photometric(h, "PALETTE");
    int64_t a = h->allocated;
    bool float_fits = h->kind != 'f' || ((a == 32 || a == 64) && one);
    bool bits_fit = h->stored >= 1 && h->stored <= a && h->high >= h->stored - 1 && h->high < a;
    bool size_fits = a == 8 || a == 16 || a == 32 || (a == 1 && one) || (a == 64 && h->kind == 'f');
    if (h->samples != (one ? 1 : 3) || !size_fits || !float_fits || (h->kind == 'u' && !bits_fit) ||
        h->is_signed < 0 || h->is_signed > 1 || h->planar < 0 || h->planar > 1 || h->frames < 1) {
        return fl_fail(err, FL_EFORMAT,
                       "%s: DICOM: %lld samples of %lld bits in %lld, highest %lld, and %lld "
                       "frames do not go together",
                       name, (long long)h->samples, (long long)h->stored, (long long)a,
                       (long long)h->high, (long long)h->frames);
    }
    if (h->scales_differ || h->has_modality_lut) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: DICOM: a modality table, or a rescale that "
                       "differs between frames, is not read",
                       name);
    }
    return FL_OK;
}

static fl_status set_shape(data_image *out, const dicom_header *h, const char *name, fl_err *err)
{
    out->frames = h->frames;
    out->rows = h->rows;
    out->cols = h->cols;
    out->channels = is_photometric(h, "PALETTE") ? 3 : h->samples;
    out->bits = (int)(h->kind == 'f' ? h->allocated : h->stored);
    out->is_float = h->kind == 'f';
    out->is_signed = h->is_signed == 1;
    snprintf(out->format, sizeof out->format, "DICOM");
    snprintf(out->photometric, sizeof out->photometric, "%s", h->photometric);
    return data_image_check_size(out, name, err);
}

/* --- native pixels --- */

static size_t sample_bytes(const dicom_header *h)
{
    return h->allocated == 1 ? 1 : (size_t)h->allocated / 8;
}

static fl_status too_few(const char *name, size_t wants, size_t has, fl_err *err)
{
    return fl_fail(err, FL_EFORMAT, "%s: DICOM: expected %zu bytes of pixels, found %zu", name,
                   wants, has);
}

/* Byte i of a value whose 8-bit (or 1-bit) samples were written as 16-bit
 * words of the other byte order. */
static uint8_t native_byte(const dicom_header *h, size_t i)
{
    bool swapped = h->syntax->is_big && h->allocated <= 8 && strcmp(h->pixel_vr, "OW") == 0;
    size_t at = swapped ? i ^ 1u : i;
    return h->pixels.p[at < h->pixels.n ? at : i];
}

/* samples: (frames, rows, cols, samples), little-endian. */
static fl_status read_native(uint8_t *samples, const dicom_header *h, size_t count,
                             const char *name, fl_err *err)
{
    size_t size = sample_bytes(h);
    size_t wants = h->allocated == 1 ? (count + 7) / 8 : count * size;
    size_t plane = (size_t)(h->rows * h->cols);
    bool planar = h->planar == 1 && h->samples == 3;

    if (h->pixels.n < wants) {
        return too_few(name, wants, h->pixels.n, err);
    }
    if (h->allocated == 1) {
        for (size_t i = 0; i < count; i++) {
            samples[i] = native_byte(h, i / 8) >> i % 8 & 1u;
        }
        return FL_OK;
    }
    for (size_t i = 0; i < count; i++) {
        size_t from = i;
        if (planar) {
            size_t frame = i / (3 * plane);
            from = frame * 3 * plane + i % 3 * plane + i % (3 * plane) / 3;
        }
        for (size_t b = 0; b < size; b++) {
            samples[i * size + b] = native_byte(h, from * size +
                                                       (h->syntax->is_big ? size - 1 - b : b));
        }
    }
    return FL_OK;
}

/* --- packed pixels --- */

static bool begins_stream(span f)
{
    return f.n >= 2 && f.p[0] == 0xff && (f.p[1] == 0xd8 || f.p[1] == 0x4f);
}

/* Of frame i: its first fragment; n_fragments behind the last frame. */
static size_t first_fragment(const dicom_header *h, size_t i)
{
    if (i >= (size_t)h->frames) {
        return h->n_fragments;
    }
    if (i == 0 || h->n_fragments == (size_t)h->frames) {
        return i;
    }
    size_t at = 0;  // bytes from the first fragment's item on
    size_t seen = 0;
    bool has_table = h->offsets.n == 4 * (size_t)h->frames;
    for (size_t k = 0; k < h->n_fragments; k++) {
        if (has_table ? at == get_n(h->offsets.p + 4 * i, 4, false)
                      : begins_stream(h->fragment[k]) && seen++ == i) {
            return k;
        }
        at += 8 + h->fragment[k].n;
    }
    return 0;  // not found: the caller sees an empty or backward range
}

static bool stream_is_rgb(const uint8_t *bytes, size_t n)
{
    dicom_jpeg_kind kind = data_dicom_jpeg_kind(bytes, n);
    return kind.adobe == 0 || kind.rgb_ids;
}

static fl_status decode_frame(uint8_t *out, const dicom_header *h, const uint8_t *bytes, size_t n,
                              const char *name, fl_err *err)
{
    const dicom_frame f = {.rows = h->rows,
                           .cols = h->cols,
                           .samples = (int)h->samples,
                           .bytes = (int)sample_bytes(h)};
    switch (h->syntax->pack) {
    case PACK_RLE:
        return data_dicom_rle(out, &f, bytes, n, name, err);
    case PACK_LS:
        return data_dicom_jpeg_ls(out, &f, bytes, n, name, err);
    case PACK_2000:
        return data_dicom_jpeg_2000(out, &f, bytes, n, name, err);
    default:
        break;
    }
    dicom_jpeg_kind kind = data_dicom_jpeg_kind(bytes, n);
    if (kind.kind == 3) {
        return data_dicom_jpeg_lossless(out, &f, bytes, n, name, err);
    }
    if (kind.kind >= 0 && kind.kind <= 2 && kind.bits == 8) {
        return data_dicom_jpeg_8(out, &f, bytes, n, name, err);
    }
    return fl_fail(err, kind.kind < 0 ? FL_EFORMAT : FL_EUNSUPPORTED,
                   kind.kind < 0 ? "%s: DICOM: the JPEG stream has no frame"
                                 : "%s: DICOM: JPEG of 12 bits with loss is not read",
                   name);
}

static fl_status read_packed(uint8_t *samples, dicom_header *h, size_t count, bool *is_rgb,
                             const char *name, fl_err *err)
{
    size_t frame_bytes = count / (size_t)h->frames * sample_bytes(h);
    fl_status st = FL_OK;

    if (h->allocated == 1 || h->kind == 'f') {
        return fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: packed pixels of 1 bit or float", name);
    }
    for (size_t i = 0; i < (size_t)h->frames && st == FL_OK; i++) {
        size_t from = first_fragment(h, i);
        size_t to = first_fragment(h, i + 1);
        size_t n = 0;
        for (size_t k = from; k < to; k++) {
            n += h->fragment[k].n;  // all of them lie in the file
        }
        if (from >= to || n == 0) {
            return fl_fail(err, FL_EFORMAT, "%s: DICOM: frame %zu of %lld has no pixels", name,
                           i + 1, (long long)h->frames);
        }
        uint8_t *stream = fl_calloc(n, 1, name, err);
        if (stream == NULL) {
            return FL_ELIMIT;
        }
        size_t at = 0;
        for (size_t k = from; k < to; k++) {
            memcpy(stream + at, h->fragment[k].p, h->fragment[k].n);
            at += h->fragment[k].n;
        }
        *is_rgb = h->syntax->pack == PACK_JPEG && stream_is_rgb(stream, n);
        st = decode_frame(samples + i * frame_bytes, h, stream, n, name, err);
        free(stream);
    }
    return st;
}

/* --- colour --- */

static uint8_t to_byte(double v)
{
    return (uint8_t)(v <= 0 ? 0 : v >= 255 ? 255 : floor(v + 0.5));
}

/* PS3.3 C.7.6.3.1.2 (ITU-R BT.601, full range); 8 bits a sample. */
static void ybr_to_rgb(uint8_t *samples, size_t n_pixels)
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

/* Replaces *samples by the colours the indices stand for; *bytes becomes
 * theirs. */
static fl_status apply_palette(uint8_t **samples, size_t *bytes, const dicom_header *h,
                               size_t count, const char *name, fl_err *err)
{
    size_t entries[3];
    int first[3];
    int bits = 0;

    for (size_t c = 0; c < 3; c++) {
        span d = h->lut_descriptor[c];
        if (d.n != 6) {
            return fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: the palette is not here", name);
        }
        bool big = h->syntax->is_big;
        entries[c] = get_n(d.p, 2, big) == 0 ? 65536 : get_n(d.p, 2, big);
        uint32_t raw = get_n(d.p + 2, 2, big);
        first[c] = h->is_signed == 1 && raw > 32767 ? (int)raw - 65536 : (int)raw;
        int own = (int)get_n(d.p + 4, 2, big);
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
        int64_t index = (int64_t)get_n(*samples + i * *bytes, (int)*bytes, false);
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
            uint32_t v = get_n(p, in_words ? 2 : (int)size, h->syntax->is_big);
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

/* --- values --- */

typedef struct {
    size_t bytes;
    int stored, shift;  // bits of a value, and of what is below it
    bool is_signed, is_float;
} sample_layout;

/* The value as stored, and rewritten little-endian to p: what lies in the
 * unused high bits (overlays of old files) is no pixel. */
static double take_sample(uint8_t *p, const sample_layout *l)
{
    uint64_t raw = 0;
    for (size_t b = 0; b < l->bytes; b++) {
        raw |= (uint64_t)p[b] << 8 * b;
    }
    if (l->is_float && l->bytes == 8) {
        double d;
        memcpy(&d, &raw, sizeof d);
        return d;
    }
    if (l->is_float) {
        uint32_t low = (uint32_t)raw;
        float f;
        memcpy(&f, &low, sizeof f);
        return (double)f;
    }
    raw = raw >> l->shift & (((uint64_t)1 << l->stored) - 1);
    int64_t v = (int64_t)raw;
    if (l->is_signed && raw >> (l->stored - 1) != 0) {
        v -= (int64_t)1 << l->stored;
    }
    for (size_t b = 0; b < l->bytes; b++) {
        p[b] = (uint8_t)((uint64_t)v >> 8 * b);
    }
    return (double)v;
}

static fl_status fill(data_image *out, uint8_t *samples, const sample_layout *l,
                      const dicom_header *h, const char *name, fl_err *err)
{
    size_t plane = (size_t)(out->frames * out->rows * out->cols);
    size_t channels = (size_t)out->channels;
    bool scaled = channels == 1 && h->slope.n > 0 && h->slope.v[0] != 0;
    double slope = scaled ? h->slope.v[0] : 1;
    double intercept = scaled && h->intercept.n > 0 ? h->intercept.v[0] : 0;
    double sum = 0;

    out->data = fl_calloc(plane * channels, sizeof *out->data, name, err);
    if (out->data == NULL) {
        return FL_ELIMIT;
    }
    out->stored_min = HUGE_VAL;
    out->stored_max = -HUGE_VAL;
    for (size_t i = 0; i < plane * channels; i++) {
        double v = take_sample(samples + i * l->bytes, l);
        if (!isfinite(v)) {
            return fl_fail(err, FL_EFORMAT, "%s: DICOM: a pixel is no finite number", name);
        }
        out->stored_min = fmin(out->stored_min, v);
        out->stored_max = fmax(out->stored_max, v);
        sum += v;
        out->data[i % channels * plane + i / channels] = (float)(v * slope + intercept);
    }
    out->stored_mean = sum / (double)(plane * channels);
    out->full_scale = channels == 1 ? 0.0f : l->bytes == 1 ? 255.0f : l->bytes == 2 ? 65535.0f : 0;

    fl_sha256 hash;
    fl_sha256_init(&hash);
    fl_sha256_add(&hash, samples, plane * channels * l->bytes);
    fl_sha256_done(&hash, out->sha256);
    return FL_OK;
}

/* --- place --- */

static double positive(numbers v, size_t i)
{
    return v.n > i && v.v[i] > 0 ? v.v[i] : 0;
}

/* DICOM's patient axes are left, back, top; the first two are turned. */
static void set_place(data_image *out, const dicom_header *h)
{
    numbers spacing = h->spacing.n >= 2 ? h->spacing : h->imager_spacing;
    bool measured = h->n_positions > 1 && h->n_positions == h->frames && h->position.n == 3 &&
                    h->last_position.n == 3;
    double step[3] = {0};

    out->spacing_mm[1] = positive(spacing, 0);
    out->spacing_mm[2] = positive(spacing, 1);
    out->thickness_mm = positive(h->thickness, 0);
    out->spacing_mm[0] = positive(h->between, 0) > 0 ? h->between.v[0] : out->thickness_mm;
    if (h->grid.n > 1) {
        out->spacing_mm[0] = fabs(h->grid.v[1] - h->grid.v[0]);
    }
    for (int i = 0; measured && i < 3; i++) {
        step[i] = (h->last_position.v[i] - h->position.v[i]) / (double)(h->frames - 1);
    }
    double length = sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2]);
    if (length > 0) {
        out->spacing_mm[0] = length;
    }
    if (h->orientation.n != 6 || h->position.n != 3 || out->spacing_mm[1] == 0) {
        return;
    }
    const double *x = h->orientation.v;
    const double *y = h->orientation.v + 3;
    const double normal[3] = {x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2],
                              x[0] * y[1] - x[1] * y[0]};
    double depth = out->spacing_mm[0] > 0 ? out->spacing_mm[0] : 1;
    for (int i = 0; i < 3; i++) {
        double sign = i < 2 ? -1 : 1;
        double *row = out->affine + 4 * i;
        row[0] = sign * x[i] * out->spacing_mm[2];
        row[1] = sign * y[i] * out->spacing_mm[1];
        row[2] = sign * (length > 0 ? step[i] : normal[i] * depth);
        row[3] = sign * h->position.v[i];
    }
    data_image_set_orientation(out);
    if (out->orientation[0] == '\0') {
        memset(out->affine, 0, sizeof out->affine);
    }
}

static void set_window(data_image *out, const dicom_header *h)
{
    if (h->centre.n > 0 && positive(h->width, 0) > 0) {
        out->window_centre = h->centre.v[0];
        out->window_width = h->width.v[0];
    }
}

/* --- all of it --- */

static fl_status make_image(data_image *out, dicom_header *h, const char *name, fl_err *err)
{
    fl_status st;
    bool is_rgb = false;

    if (h->kind == '\0') {
        return fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: the file holds no image", name);
    }
    if ((st = check_header(h, name, err)) != FL_OK ||
        (st = set_shape(out, h, name, err)) != FL_OK) {
        return st;
    }
    size_t count = (size_t)(h->frames * h->rows * h->cols * h->samples);
    sample_layout l = {.bytes = sample_bytes(h),
                       .stored = (int)h->stored,
                       .shift = (int)(h->high + 1 - h->stored),
                       .is_signed = h->is_signed == 1,
                       .is_float = h->kind == 'f'};
    bool packed = h->syntax->pack != PACK_NONE;
    if (!packed && h->pixels.n < (h->allocated == 1 ? (count + 7) / 8 : count * l.bytes)) {
        return too_few(name, h->allocated == 1 ? (count + 7) / 8 : count * l.bytes, h->pixels.n,
                       err);
    }
    uint8_t *samples = fl_calloc(count, l.bytes, name, err);
    if (samples == NULL) {
        return FL_ELIMIT;
    }
    st = packed ? read_packed(samples, h, count, &is_rgb, name, err)
                : read_native(samples, h, count, name, err);
    if (st == FL_OK && is_photometric(h, "YBR_FULL") && !is_rgb) {
        if (h->allocated == 8) {
            ybr_to_rgb(samples, count / 3);
        } else {
            st = fl_fail(err, FL_EUNSUPPORTED, "%s: DICOM: YBR colours of more than 8 bits", name);
        }
    }
    if (st == FL_OK && is_photometric(h, "PALETTE")) {
        st = apply_palette(&samples, &l.bytes, h, count, name, err);
        l = (sample_layout){.bytes = l.bytes, .stored = (int)(8 * l.bytes)};
    }
    if (st == FL_OK && (st = fill(out, samples, &l, h, name, err)) == FL_OK) {
        set_place(out, h);
        set_window(out, h);
    }
    free(samples);
    return st;
}

static bool is_dicom(const uint8_t *head, size_t n)
{
    return n >= PREAMBLE + 4 && memcmp(head + PREAMBLE, "DICM", 4) == 0;
}

static fl_status read_dicom(data_image *out, const uint8_t *bytes, size_t n, const char *name,
                            fl_err *err)
{
    dicom_header h = {.samples = 1, .frames = 1, .allocated = -1, .stored = -1, .high = -1};
    dicom_reader r = {.p = bytes, .n = n, .h = &h, .name = name, .err = err};
    uint8_t *inflated = NULL;

    *out = (data_image){0};
    fl_status st = read_meta(&r);
    if (st == FL_OK && h.syntax->is_deflated) {
        size_t size;
        st = inflate_rest(&inflated, &size, &r);
        r.p = inflated;
        r.n = size;
        r.at = 0;
    }
    if (st == FL_OK) {
        st = read_elements(&r, r.n, false, AT_TOP, 0);
    }
    if (st == FL_OK) {
        st = make_image(out, &h, name, err);
    }
    free(h.fragment);
    free(inflated);
    if (st != FL_OK) {
        data_image_clear(out);
    }
    return st;
}

const data_format data_format_dicom = {"DICOM", is_dicom, read_dicom};
