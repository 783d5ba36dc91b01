/*
 * csv.c - the local predictions.csv, one row a case
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"
#include "task/task.h"

/* RFC 4180: quoted when a reader would trip over it. */
static void put_cell(fl_buf *b, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fl_buf_puts(b, text);
        return;
    }
    fl_buf_puts(b, "\"");
    for (const char *c = text; *c != '\0'; c++) {
        fl_buf_add(b, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    }
    fl_buf_puts(b, "\"");
}

/* The shortest text that reads back as the same double. */
static void put_number(fl_buf *b, double value)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    fl_buf_puts(b, text);
}

/* Segment: what was measured of each class but the background; empty where
 * there is no mask, or nothing in either. */
static void put_seg_header(fl_buf *b, const task_scores *s, const data_spec *spec)
{
    static const char *const names[] = {"dice", "iou", "hd95", "surface_dice", "n_pred", "n_truth"};
    for (size_t k = 0; k < s->K; k++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            char *name = s->K == 1 ? fl_xstrdup(names[i])
                                   : fl_xasprintf("%s:%s", names[i], spec->classes[k + 1]);
            fl_buf_puts(b, ",");
            put_cell(b, name);
            free(name);
        }
    }
}

static void put_seg_row(fl_buf *b, const task_scores *s, size_t i)
{
    for (size_t k = 0; k < s->K; k++) {
        const eval_seg_case *c = &s->seg[i * s->K + k];
        if (s->label[i] < 0) {
            fl_buf_puts(b, ",,,,,,");
            continue;
        }
        const double figures[] = {c->dice, c->iou, c->hd95, c->surface_dice};
        for (size_t f = 0; f < sizeof figures / sizeof *figures; f++) {
            fl_buf_puts(b, ",");
            if (isfinite(figures[f])) {
                put_number(b, figures[f]);
            }
        }
        fl_buf_printf(b, ",%lld,%lld", (long long)c->n_pred, (long long)c->n_truth);
    }
}

static void put_header(fl_buf *b, const task_scores *s, const data_spec *spec,
                       const task_column *more, size_t n_more)
{
    fl_buf_puts(b, "case,patient");
    if (s->seg != NULL) {
        put_seg_header(b, s, spec);
    } else if (spec->task == DATA_MULTILABEL) {
        for (size_t k = 0; k < s->K; k++) {
            fl_buf_printf(b, ",label_%zu", k);
        }
    } else {
        fl_buf_puts(b, ",label");
    }
    for (size_t k = 0; k < s->K && s->seg == NULL; k++) {
        fl_buf_printf(b, ",score_%zu", k);
    }
    for (size_t m = 0; m < n_more; m++) {
        fl_buf_printf(b, ",%s", more[m].name);
    }
    for (size_t a = 0; a < spec->n_attributes; a++) {
        fl_buf_puts(b, ",");
        put_cell(b, spec->attributes[a].name);
    }
    fl_buf_puts(b, "\n");
}

static void put_row(fl_buf *b, const task_scores *s, size_t i,
                    const data_set *set, const data_spec *spec, const task_column *more,
                    size_t n_more)
{
    data_case c = data_set_case(set, s->index[i]);
    put_cell(b, c.case_id);
    fl_buf_puts(b, ",");
    put_cell(b, c.patient);
    if (s->seg != NULL) {
        put_seg_row(b, s, i);
    } else if (s->target == NULL) {
        fl_buf_printf(b, ",%d", s->label[i]);
    }
    for (size_t k = 0; k < s->K && s->target != NULL; k++) {
        double truth = s->target[i * s->K + k];
        fl_buf_puts(b, ",");
        if (!isnan(truth)) {
            put_number(b, truth);
        }
    }
    for (size_t k = 0; k < s->K && s->seg == NULL; k++) {
        fl_buf_puts(b, ",");
        put_number(b, s->score[i * s->K + k]);
    }
    for (size_t m = 0; m < n_more; m++) {
        fl_buf_puts(b, ",");
        put_number(b, more[m].value[i]);
    }
    for (size_t a = 0; a < spec->n_attributes; a++) {
        fl_buf_puts(b, ",");
        put_cell(b, c.attributes[a]);
    }
    fl_buf_puts(b, "\n");
}

fl_status task_predictions_write(const task_scores *s, const data_set *set,
                                 const data_spec *spec, const char *path,
                                 fl_err *err)
{
    return task_predictions_write_more(s, set, spec, NULL, 0, path, err);
}

fl_status task_predictions_write_more(const task_scores *s, const data_set *set,
                                      const data_spec *spec, const task_column *more,
                                      size_t n_more, const char *path, fl_err *err)
{
    fl_buf text = FL_BUF_INIT;
    put_header(&text, s, spec, more, n_more);
    for (size_t i = 0; i < s->n; i++) {
        put_row(&text, s, i, set, spec, more, n_more);
    }
    fl_status st = fl_file_write(path, text.data, text.n, 0600, err);
    fl_buf_clear(&text);
    return st;
}
