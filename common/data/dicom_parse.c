/*
 * dicom_parse.c - the elements of a DICOM file (PS3.5, PS3.10)
 *
 * Walks a Part 10 file in memory: implicit, explicit, big-endian and deflated
 * data sets.  Only the fields listed in `keep_field` are looked at; every
 * other element, and so every name, date and identifier of a patient, is
 * stepped over unread.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/mem.h"
#include "data/dicom.h"

enum {
    MAX_DEPTH = 16,        // of sequences in sequences
    MAX_FRAGMENTS = 65536  // of encapsulated pixel data
};
static const uint32_t undefined_length = UINT32_MAX;

/* Two steps between slices are one when they differ by less. */
static const double same_step_mm = 0.01, same_step_part = 0.01;

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

/* PS3.5 annex A, its retired ones too, and two makers' own. */
static const dicom_syntax syntaxes[] = {
    {"1.2.840.10008.1.2", false, false, false, DICOM_PACK_NONE, false},
    {"1.2.840.10008.1.2.1", true, false, false, DICOM_PACK_NONE, false},
    {"1.2.840.10008.1.2.1.99", true, false, true, DICOM_PACK_NONE, false},
    {"1.2.840.10008.1.2.2", true, true, false, DICOM_PACK_NONE, true},
    {"1.2.840.113619.5.2", false, false, false, DICOM_PACK_NONE, true},       // GE
    {"1.3.46.670589.33.1.4.1", true, false, false, DICOM_PACK_NONE, false},  // Philips
    {"1.2.840.10008.1.2.5", true, false, false, DICOM_PACK_RLE, false},
    {"1.2.840.10008.1.2.4.50", true, false, false, DICOM_PACK_JPEG, false},
    {"1.2.840.10008.1.2.4.51", true, false, false, DICOM_PACK_JPEG, false},
    {"1.2.840.10008.1.2.4.52", true, false, false, DICOM_PACK_JPEG, false},
    {"1.2.840.10008.1.2.4.53", true, false, false, DICOM_PACK_JPEG, false},
    {"1.2.840.10008.1.2.4.54", true, false, false, DICOM_PACK_JPEG, false},
    {"1.2.840.10008.1.2.4.55", true, false, false, DICOM_PACK_JPEG, false},
    {"1.2.840.10008.1.2.4.56", true, false, false, DICOM_PACK_JPEG, false},
    {"1.2.840.10008.1.2.4.57", true, false, false, DICOM_PACK_JPEG, false},
    {"1.2.840.10008.1.2.4.70", true, false, false, DICOM_PACK_JPEG, false},
    {"1.2.840.10008.1.2.4.80", true, false, false, DICOM_PACK_LS, false},
    {"1.2.840.10008.1.2.4.81", true, false, false, DICOM_PACK_LS, false},
    {"1.2.840.10008.1.2.4.90", true, false, false, DICOM_PACK_2000, false},
    {"1.2.840.10008.1.2.4.91", true, false, false, DICOM_PACK_2000, false},
    {"1.2.840.10008.1.2.4.92", true, false, false, DICOM_PACK_2000_2, false},
    {"1.2.840.10008.1.2.4.93", true, false, false, DICOM_PACK_2000_2, false},
};

/* What is not read, by name: what begins so, the first that fits. */
static const struct {
    const char *uid, *name;
} others[] = {
    {"1.2.840.10008.1.2.1.98", "encapsulated uncompressed"},
    {"1.2.840.10008.1.2.4.58", "JPEG lossless, arithmetic, retired"},
    {"1.2.840.10008.1.2.4.59", "JPEG hierarchical, retired"},
    {"1.2.840.10008.1.2.4.6", "JPEG hierarchical, retired"},
    {"1.2.840.10008.1.2.4.94", "JPIP: the pixels are on a server"},
    {"1.2.840.10008.1.2.4.95", "JPIP: the pixels are on a server"},
    {"1.2.840.10008.1.2.4.204", "JPIP: the pixels are on a server"},
    {"1.2.840.10008.1.2.4.205", "JPIP: the pixels are on a server"},
    {"1.2.840.10008.1.2.4.20", "HTJ2K"},
    {"1.2.840.10008.1.2.4.100", "MPEG-2 video"},
    {"1.2.840.10008.1.2.4.101", "MPEG-2 video"},
    {"1.2.840.10008.1.2.4.107", "HEVC video"},
    {"1.2.840.10008.1.2.4.108", "HEVC video"},
    {"1.2.840.10008.1.2.4.10", "MPEG-4 video"},
    {"1.2.840.10008.1.2.4.11", "JPEG XL"},
    {"1.2.840.10008.1.2.6", "not of images"},
    {"1.2.840.10008.1.2.7", "video over SMPTE ST 2110"},
    {"1.2.840.10008.1.2.8", "deflated frames"},
};

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

uint32_t data_dicom_uint(const uint8_t *p, int bytes, bool big)
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

/* "0.5\1.0 ": at most DICOM_MAX_NUMBERS; what is no number ends the list. */
static dicom_numbers read_numbers(const uint8_t *p, size_t n)
{
    dicom_numbers out = {0};
    char text[128];
    size_t length = n < sizeof text - 1 ? n : sizeof text - 1;

    memcpy(text, p, length);
    text[length] = '\0';
    for (char *at = text; out.n < DICOM_MAX_NUMBERS;) {
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
    *out = n >= 2 ? (int64_t)data_dicom_uint(p, 2, r->is_big) : -1;
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
static void keep_scale(dicom_header *h, dicom_numbers *out, dicom_numbers v, place where)
{
    if (where == IN_FRAME && out->n > 0 && v.n > 0 && out->v[0] != v.v[0]) {
        h->scales_differ = true;
    }
    *out = v;
}

static void keep_position(dicom_track *t, dicom_numbers at)
{
    double length = 0;
    for (int i = 0; t->n == 1 && i < 3; i++) {
        t->step[i] = at.v[i] - t->last.v[i];
    }
    for (int i = 0; i < 3; i++) {
        length += t->step[i] * t->step[i];
    }
    double slack = fmax(same_step_mm, same_step_part * sqrt(length));
    for (int i = 0; t->n > 1 && i < 3; i++) {
        t->uneven |= fabs(at.v[i] - t->last.v[i] - t->step[i]) > slack;
    }
    t->uneven |= at.n != 3;
    t->first = t->n == 0 ? at : t->first;
    t->last = at;
    t->n++;
}

static void keep_digest(dicom_header *h, const uint8_t *p, size_t n)
{
    fl_sha256 hash;
    fl_sha256_init(&hash);
    fl_sha256_add(&hash, p, n);
    fl_sha256_done(&hash, h->series);
    h->has_series = true;
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
        keep_position(&h->position, read_numbers(p, n));
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
    case TAG(0x0020, 0x000e):
        keep_digest(h, p, n);
        break;
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
        dicom_numbers frames = read_numbers(p, n);
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
        h->lut_descriptor[tag - TAG(0x0028, 0x1101)] = (dicom_span){p, n};
        break;
    case TAG(0x0028, 0x1201):
    case TAG(0x0028, 0x1202):
    case TAG(0x0028, 0x1203):
        h->lut[tag - TAG(0x0028, 0x1201)] = (dicom_span){p, n};
        break;
    case TAG(0x0028, 0x1221):
    case TAG(0x0028, 0x1222):
    case TAG(0x0028, 0x1223):
        h->segments[tag - TAG(0x0028, 0x1221)] = (dicom_span){p, n};
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
    e->tag = TAG(data_dicom_uint(p, 2, r->is_big), data_dicom_uint(p + 2, 2, r->is_big));
    if (!r->is_explicit || e->tag >> 16 == 0xfffe) {
        e->length = data_dicom_uint(p + 4, 4, r->is_big);
        r->at += 8;
        return FL_OK;
    }
    if (!is_capital(p[4]) || !is_capital(p[5])) {
        return fl_fail(r->err, FL_EFORMAT, "%s: DICOM: an element of no known type", r->name);
    }
    memcpy(e->vr, p + 4, 2);
    if (!vr_is_long(e->vr)) {
        e->length = data_dicom_uint(p + 6, 2, r->is_big);
        r->at += 8;
        return FL_OK;
    }
    if (left < 12) {
        return cut_off(r);
    }
    e->length = data_dicom_uint(p + 8, 4, r->is_big);
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
        dicom_span body = {r->p + r->at, item.length};
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
    h->pixels = (dicom_span){r->p + r->at, e->length < left ? e->length : left};
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
    r->at = DICOM_PREAMBLE + 4;
    while (r->n - r->at >= 8 && data_dicom_uint(r->p + r->at, 2, false) == 0x0002) {
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
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strncmp(others[i].uid, uid, strlen(others[i].uid)) == 0) {
            return fl_fail(r->err, FL_EUNSUPPORTED,
                           "%s: DICOM: transfer syntax %s (%s) is not read", r->name, uid,
                           others[i].name);
        }
    }
    return fl_fail(r->err, FL_EUNSUPPORTED, "%s: DICOM: transfer syntax %s is not read", r->name,
                   uid[0] != '\0' ? uid : "(none given)");
}

/* The rest of the file, unpacked, in the header's keeping. */
static fl_status inflate_rest(size_t *n, const dicom_reader *r)
{
    z_stream z = {.next_in = (Bytef *)(r->p + r->at), .avail_in = (uInt)(r->n - r->at)};
    uint8_t **out = &r->h->inflated;
    size_t cap = 0;
    int rc = Z_OK;

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

bool data_dicom_is(const uint8_t *head, size_t n)
{
    return n >= DICOM_PREAMBLE + 4 && memcmp(head + DICOM_PREAMBLE, "DICM", 4) == 0;
}

fl_status data_dicom_parse(dicom_header *out, const uint8_t *bytes, size_t n, const char *name,
                           fl_err *err)
{
    dicom_reader r = {.p = bytes, .n = n, .h = out, .name = name, .err = err};

    *out = (dicom_header){.samples = 1, .frames = 1, .allocated = -1, .stored = -1, .high = -1};
    fl_status st = read_meta(&r);
    if (st == FL_OK && out->syntax->is_deflated) {
        size_t size;
        st = inflate_rest(&size, &r);
        r.p = out->inflated;
        r.n = size;
        r.at = 0;
    }
    return st == FL_OK ? read_elements(&r, r.n, false, AT_TOP, 0) : st;
}

void data_dicom_header_clear(dicom_header *h)
{
    FL_FREE(h->fragment);
    FL_FREE(h->inflated);
    *h = (dicom_header){0};
}
