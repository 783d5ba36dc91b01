/*
 * dicom_segments.c - a palette that is written in segments (PS3.3 C.7.9.2)
 *
 * Discrete: entries as they are.  Linear: a line from the last entry to another one.
 * Indirect: some of the segments that begin at an offset, once more; a line among them
 * goes on from the entry before.
 */
#include <math.h>

#include "data/dicom.h"

enum { DISCRETE, LINEAR, INDIRECT };

/* Entries come out of segments; both are as wide. */
typedef struct {
    uint16_t *out;
    size_t n, done;
    dicom_span in;
    bool is_wide, is_big;
} expansion;

/* Takes the number at *at; false behind the end. */
static bool take(uint32_t *out, const expansion *e, size_t *at)
{
    size_t size = e->is_wide ? 2 : 1;
    if (e->in.n < size || *at > e->in.n - size) {
        return false;
    }
    *out = data_dicom_uint(e->in.p + *at, (int)size, e->is_big);
    *at += size;
    return true;
}

/* A segment's kind and length; one of length 0, which would never come to an end, is none. */
static bool take_head(uint32_t *kind, uint32_t *length, const expansion *e, size_t *at)
{
    return take(kind, e, at) && take(length, e, at) && *length > 0;
}

static bool put(expansion *e, uint32_t value)
{
    if (e->done == e->n) {
        return false;
    }
    e->out[e->done++] = (uint16_t)value;
    return true;
}

static bool put_discrete(expansion *e, uint32_t length, size_t *at)
{
    uint32_t v;
    for (uint32_t i = 0; i < length; i++) {
        if (!take(&v, e, at) || !put(e, v)) {
            return false;
        }
    }
    return true;
}

static bool put_linear(expansion *e, uint32_t length, size_t *at)
{
    uint32_t last;
    if (e->done == 0 || !take(&last, e, at)) {
        return false;
    }
    double from = e->out[e->done - 1];
    for (uint32_t i = 1; i <= length; i++) {
        double v = from + ((double)last - from) * i / length;
        if (!put(e, (uint32_t)rint(v))) {
            return false;
        }
    }
    return true;
}

/* In bytes, its lower half first whatever the byte order. */
static bool take_offset(size_t *out, const expansion *e, size_t *at)
{
    if (e->in.n < 4 || *at > e->in.n - 4) {
        return false;
    }
    const uint8_t *p = e->in.p + *at;
    *out = data_dicom_uint(p, 2, e->is_big) | (size_t)data_dicom_uint(p + 2, 2, e->is_big) << 16;
    *at += 4;
    return true;
}

/* n segments from at on.  What is repeated holds no repetition. */
static bool put_again(expansion *e, uint32_t n, size_t at)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t kind, length;
        if (!take_head(&kind, &length, e, &at) || kind > LINEAR ||
            !(kind == DISCRETE ? put_discrete(e, length, &at) : put_linear(e, length, &at))) {
            return false;
        }
    }
    return true;
}

bool data_dicom_palette_expand(uint16_t *out, size_t n, dicom_span segments, bool is_wide,
                               bool is_big)
{
    expansion e = {.out = out, .n = n, .in = segments, .is_wide = is_wide, .is_big = is_big};
    size_t at = 0, offset;
    bool ok = true;
    while (ok && e.done < n) {
        uint32_t kind, length;
        ok = take_head(&kind, &length, &e, &at);
        if (ok && kind == DISCRETE) {
            ok = put_discrete(&e, length, &at);
        } else if (ok && kind == LINEAR) {
            ok = put_linear(&e, length, &at);
        } else {
            ok = ok && kind == INDIRECT && take_offset(&offset, &e, &at) &&
                 put_again(&e, length, offset);
        }
    }
    return ok;
}
