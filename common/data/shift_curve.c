/*
 * shift_curve.c - see shift_curve.h
 */
#include "data/shift_curve.h"

#include <stdio.h>
#include <string.h>

/* Why a transform cannot be tried on data of this kind, or NULL. */
static const char *why_not(const data_shift_ops *ops, const data_spec *spec)
{
    if (spec->input.rank != 3 && spec->input.rank != 4) {
        return "only for images and volumes";
    }
    if (ops->needs_rgb && spec->input.dim[0] != 3) {
        return "for colour images of 3 channels only";
    }
    return NULL;
}

static fl_status add_curve(data_shift_curves *c, const data_shift_curve *curve, fl_err *err)
{
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->item[i].name, curve->name) == 0) {
            return fl_fail(err, FL_EUSAGE, "shift: %s is there twice", curve->name);
        }
    }
    if (c->n == DATA_SHIFT_CURVES) {
        return fl_fail(err, FL_EUSAGE, "shift: more than %d of them", DATA_SHIFT_CURVES);
    }
    c->item[c->n++] = *curve;
    return FL_OK;
}

/* *known: text is a family, or "all". */
static fl_status add_family(bool *known, data_shift_curves *c, const char *text,
                            const data_spec *spec, fl_err *err)
{
    const data_shift_ops *ops;
    bool all = strcmp(text, "all") == 0;
    size_t before = c->n;

    *known = all;
    for (size_t i = 0; (ops = data_shift_at(i)) != NULL; i++) {
        if (!all && strcmp(ops->family, text) != 0) {
            continue;
        }
        *known = true;
        if (why_not(ops, spec) != NULL) {
            continue;
        }
        data_shift_curve one = {.family = ops->family, .ops = {ops}, .n = 1};
        snprintf(one.name, sizeof one.name, "%s", ops->name);
        fl_status st = add_curve(c, &one, err);
        if (st != FL_OK) {
            return st;
        }
    }
    if (*known && c->n == before) {
        return fl_fail(err, FL_EUNSUPPORTED, "shift: nothing of %s suits these inputs", text);
    }
    return FL_OK;
}

static fl_status add_link(data_shift_curve *curve, const char *name, const data_spec *spec,
                          fl_err *err)
{
    const data_shift_ops *ops = data_shift_find(name);
    if (ops == NULL) {
        return fl_fail(err, FL_EUSAGE,
                       "shift: expected a transform such as blur, a family such as scanner, or "
                       "all; found %.40s",
                       name);
    }
    const char *why = why_not(ops, spec);
    if (why != NULL) {
        return fl_fail(err, FL_EUNSUPPORTED, "shift: %s: %s", name, why);
    }
    if (curve->n == DATA_SHIFT_MAX) {
        return fl_fail(err, FL_EUSAGE, "shift: more than %d transforms in a chain",
                       DATA_SHIFT_MAX);
    }
    bool same = curve->n == 0 || strcmp(curve->family, ops->family) == 0;
    curve->family = same ? ops->family : "mixed";
    curve->ops[curve->n++] = ops;
    return FL_OK;
}

fl_status data_shift_curves_add(data_shift_curves *c, const char *text, const data_spec *spec,
                                fl_err *err)
{
    data_shift_curve curve = {.n = 0};
    bool is_family;
    fl_status st = add_family(&is_family, c, text, spec, err);

    if (st != FL_OK || is_family) {
        return st;
    }
    if (strlen(text) >= sizeof curve.name) {
        return fl_fail(err, FL_EUSAGE, "shift: %.40s...: longer than %d bytes", text,
                       DATA_SHIFT_CURVE_BYTES - 1);
    }
    memcpy(curve.name, text, strlen(text) + 1);
    for (const char *at = text;; at++) {
        char name[DATA_SHIFT_CURVE_BYTES];
        size_t n = strcspn(at, ",");
        memcpy(name, at, n);
        name[n] = '\0';
        if ((st = add_link(&curve, name, spec, err)) != FL_OK) {
            return st;
        }
        at += n;
        if (*at == '\0') {
            return add_curve(c, &curve, err);
        }
    }
}

void data_shift_curve_at(data_shift *out, const data_shift_curve *curve, double severity)
{
    *out = (data_shift){.n = curve->n};
    for (size_t i = 0; i < curve->n; i++) {
        out->ops[i] = curve->ops[i];
        out->severity[i] = severity;
    }
}
