/*
 * relabel.c - see relabel.h
 */
#include "sim/relabel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"
#include "data/dataset.h"
#include "data/formats.h"
#include "sim/generate.h"
#include "sim/readings.h"

typedef struct {
    const scenario_hospital *h;
    const data_set *set;
    const data_spec *spec;
    annotate_site readers;
    const char *dir;
    fl_buf csv;
    readings read;
} relabelling;

bool relabel_is_needed(const scenario_hospital *h)
{
    const annotate_rules *r = &h->labels;
    return r->noise > 0 || r->labelled < 1 || r->annotators > 1 || r->variation > 0;
}

// ------------------------------------------------------------------- labels

static void add_label(relabelling *w, size_t i, data_case c)
{
    int code = c.code;
    if (c.split == DATA_TRAIN) {
        code = annotate_code(&w->readers, c.code, w->spec->n_classes, i);
        w->read.n_labels += code >= 0;
        w->read.n_wrong += code >= 0 && code != c.code;
    }
    char *name = code >= 0 ? generate_quoted(w->spec->classes[code]) : NULL;
    fl_buf_printf(&w->csv, ",%s", name != NULL ? name : "");
    free(name);
}

static void add_flags(relabelling *w, size_t i, data_case c)
{
    float flags[DATA_MAX_CLASSES];
    for (size_t k = 0; k < w->spec->n_classes; k++) {
        flags[k] = c.target[k];
    }
    if (c.split == DATA_TRAIN) {
        annotate_flags(flags, &w->readers, c.target, w->spec->n_classes, i);
    }
    for (size_t k = 0; k < w->spec->n_classes && c.split == DATA_TRAIN; k++) {
        w->read.n_labels += !isnan(flags[k]);
        w->read.n_wrong += !isnan(flags[k]) && flags[k] != c.target[k];
    }
    for (size_t k = 0; k < w->spec->n_classes; k++) {
        fl_buf_puts(&w->csv, isnan(flags[k]) ? "," : flags[k] > 0 ? ",1" : ",0");
    }
}

// ----------------------------------------------------------------- outlines

/* Class codes, as files say them. */
static fl_status write_codes(const relabelling *w, const char *name, const float *mask, fl_err *err)
{
    const nn_shape *shape = &w->spec->input;
    int64_t rows = shape->dim[shape->rank - 2], cols = shape->dim[shape->rank - 1];
    size_t n = data_set_n_pixels(w->set);
    const double any_mm[3] = {1, 1, 1};  // nobody asks: codes lie on the input's grid
    char *path = fl_path_join(w->dir, name);
    fl_status st;
    if (shape->rank == 4) {
        st = data_nifti_write(path, mask, shape->dim[1], rows, cols, any_mm, err);
    } else {
        float *gray = fl_xcalloc(n, sizeof *gray);
        for (size_t i = 0; i < n; i++) {
            gray[i] = mask[i] / 255.0f;
        }
        st = data_png_write(path, gray, rows, cols, 1, 8, err);
        free(gray);
    }
    free(path);
    return st;
}

/* A single reader draws what is trained on; several draw every case. */
static fl_status add_masks(relabelling *w, size_t i, data_case c, fl_err *err)
{
    const nn_shape *shape = &w->spec->input;
    int64_t depth = shape->rank == 4 ? shape->dim[1] : 1;
    int64_t n_readers = w->h->labels.annotators;
    size_t n = data_set_n_pixels(w->set);
    float *truth = fl_xcalloc(n, sizeof *truth), *drawn = fl_xcalloc(n, sizeof *drawn);
    fl_status st = FL_OK;
    bool is_drawn = c.mask != NULL && (c.split != DATA_TRAIN || annotate_is_drawn(&w->readers, i));
    bool varies = w->h->labels.variation > 0 && (n_readers > 1 || c.split == DATA_TRAIN);
    for (size_t k = 0; is_drawn && k < n; k++) {
        truth[k] = c.mask[k];
    }
    for (int64_t r = 0; r < n_readers && st == FL_OK; r++) {
        char name[64] = "";
        if (is_drawn) {
            snprintf(name, sizeof name, "masks/%06zu-%lld.%s", i + 1, (long long)(r + 1),
                     shape->rank == 4 ? "nii" : "png");
            if (varies) {
                annotate_mask(drawn, &w->readers, truth, depth, shape->dim[shape->rank - 2],
                              shape->dim[shape->rank - 1], i, r);
            }
            st = write_codes(w, name, varies ? drawn : truth, err);
            if (varies && c.split == DATA_TRAIN) {
                readings_add_outline(&w->read, drawn, truth, n);
            }
        }
        fl_buf_printf(&w->csv, ",%s", name);
    }
    free(truth);
    free(drawn);
    return st;
}

// ------------------------------------------------------------- all together

static void add_header(relabelling *w)
{
    fl_buf_puts(&w->csv, "case,split");
    if (w->spec->task == DATA_SEGMENT) {
        for (int64_t r = 0; r < w->h->labels.annotators; r++) {
            fl_buf_printf(&w->csv, w->h->labels.annotators > 1 ? ",mask:reader-%lld" : ",mask",
                          (long long)(r + 1));
        }
    } else if (w->spec->task == DATA_MULTILABEL) {
        for (size_t k = 0; k < w->spec->n_classes; k++) {
            char *text = fl_xasprintf("label:%s", w->spec->classes[k]);
            char *name = generate_quoted(text);
            fl_buf_printf(&w->csv, ",%s", name);
            free(name);
            free(text);
        }
    } else {
        fl_buf_puts(&w->csv, ",label");
    }
    fl_buf_puts(&w->csv, "\n");
}

static fl_status add_case(relabelling *w, size_t i, fl_err *err)
{
    data_case c = data_set_case(w->set, i);
    char *name = generate_quoted(c.case_id);
    fl_status st = FL_OK;
    fl_buf_printf(&w->csv, "%s,%s", name, data_split_name(c.split));
    free(name);
    if (w->spec->task == DATA_SEGMENT) {
        st = add_masks(w, i, c, err);
    } else if (w->spec->task == DATA_MULTILABEL) {
        add_flags(w, i, c);
    } else {
        add_label(w, i, c);
    }
    fl_buf_puts(&w->csv, "\n");
    return st;
}

static char *standard_of(const relabelling *w)
{
    const char *truth = data_set_reference_standard(w->set);
    if (w->read.n_wrong == 0 && w->read.n_found == 0) {
        return NULL;
    }
    bool given = strcmp(truth, "not provided") != 0;
    return readings_text(&w->read, &w->h->labels, given ? truth : "the data set's own labels");
}

fl_status relabel_write(char **standard, const scenario *s, const scenario_hospital *h,
                        const char *dir, fl_err *err)
{
    data_set *set = NULL;
    *standard = NULL;
    fl_status st = data_set_open(&set, dir, &s->job.data, err);
    if (st != FL_OK) {
        return st;
    }
    relabelling w = {.h = h,
                     .set = set,
                     .spec = data_set_spec(set),
                     .readers = {&h->labels, s->job.seed, h->name},
                     .dir = dir,
                     .csv = FL_BUF_INIT};
    char *masks = fl_path_join(dir, "masks"), *path = fl_path_join(dir, "cases.csv");
    if (w.spec->task == DATA_SEGMENT) {
        st = fl_mkdirs(masks, 0755, err);
    }
    add_header(&w);
    for (size_t i = 0; i < data_set_n(set) && st == FL_OK; i++) {
        st = add_case(&w, i, err);
    }
    if (st == FL_OK &&
        (st = fl_file_write(path, w.csv.data, w.csv.n, 0644, err)) == FL_OK) {
        *standard = standard_of(&w);
    }
    free(masks);
    free(path);
    fl_buf_clear(&w.csv);
    data_set_destroy(&set);
    return st;
}
