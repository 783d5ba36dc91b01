/*
 * cross_site.c - see cross_site.h
 */
#include "sim/cross_site.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "sim/baseline.h"

/* The models that there are, and whose. */
typedef struct {
    char **path;    // (n) owned
    size_t *row;    // (n) hospital
    size_t n;
    json_t *missing;
} rows;

static rows find_rows(const scenario *s, const char *out)
{
    rows r = {.path = fl_xcalloc(s->n_hospitals, sizeof *r.path),
              .row = fl_xcalloc(s->n_hospitals, sizeof *r.row),
              .missing = json_array()};
    for (size_t i = 0; i < s->n_hospitals; i++) {
        const char *name = s->hospitals[i].name;
        char *path = fl_xasprintf("%s/homes/%s/runs/%s/own/local.onnx", out, name, s->name);
        if (fl_file_exists(path)) {
            r.row[r.n] = i;
            r.path[r.n++] = path;
        } else {
            json_array_append_new(r.missing, json_string(name));
            free(path);
        }
    }
    return r;
}

static void rows_clear(rows *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->path[i]);
    }
    free(r->path);
    free(r->row);
    json_decref(r->missing);
}

/* All models on the test cases of one hospital: a column of the matrix. */
static fl_status add_column(json_t *sites, const scenario *s, const rows *r, size_t column,
                            const char *data, fl_err *err)
{
    const scenario_hospital *h = &s->hospitals[column];
    const baseline_models models = {.path = (const char *const *)r->path, .n = r->n,
                                    .seed = s->job.seed};
    char *last = scenario_last_folder(h);
    json_t *list = NULL;
    fl_status st = baseline_judge(&list, &models, data, last, err);
    for (size_t i = 0; i < r->n && st == FL_OK; i++) {
        json_t *row = json_object_get(sites, s->hospitals[r->row[i]].name);
        json_object_set_new(row, h->name, baseline_metrics(json_array_get(list, i), true));
    }
    json_decref(list);
    free(last);
    return st;
}

fl_status cross_site_figures(json_t **figures, const scenario *s, const char *data,
                             const char *out, fl_err *err)
{
    rows r = find_rows(s, out);
    json_t *sites = json_object();
    fl_status st = FL_OK;
    *figures = NULL;
    for (size_t i = 0; i < r.n; i++) {
        json_object_set_new(sites, s->hospitals[r.row[i]].name, json_object());
    }
    for (size_t j = 0; j < s->n_hospitals && r.n > 0 && st == FL_OK; j++) {
        fl_progress("own models at other hospitals: %zu of %zu, %s", j + 1, s->n_hospitals,
                    s->hospitals[j].name);
        st = add_column(sites, s, &r, j, data, err);
    }
    if (st == FL_OK) {
        *figures = json_pack("{s:O, s:O}", "sites", sites, "missing", r.missing);
    }
    json_decref(sites);
    rows_clear(&r);
    return st == FL_OK ? st : fl_wrap(err, st, "the cross-site matrix");
}
