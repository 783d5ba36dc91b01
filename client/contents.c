/*
 * contents.c - see contents.h
 */
#include "client/contents.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "fed/accum.h"
#include "report/report.h"

enum { MAX_NAMES = 12 };

/* The whole of what may leave in a contribution. */
typedef struct {
    const char *scalars[MAX_NAMES];  // names, NULL behind the last
    const char *keys[MAX_NAMES];     // of a JSON payload's object
    bool update;                     // payload is the difference of the parameters
    bool model;                      // payload is the site's own model, or nothing
    bool site;                       // payload is the site's element of the report
    bool crossed;                    // payload is figures of another's model, or why not
    bool figures;                    // metrics: policy's statistics.figures
} contents;

static const contents allowed[FED_N_ORDERS] = {
    [FED_CHECK] = {.scalars = {"n_train", "n_val", "n_test", "parameters"},
                   .keys = {"flow", "table1", "policy", "environment", "reference_standard"}},
    [FED_TRAIN] = {.scalars = {"weight", "n", "steps", "loss", "seconds"}, .update = true},
    [FED_SCORE] = {.scalars = {"n", "n_positive", "loss", "accuracy", "auc", "dice", "iou", "mae",
                               "rmse"},
                   .keys = {"bins", "negatives", "positives", "temperature", "nonconformity"},
                   .figures = true},
    [FED_TEST] = {.site = true, .figures = true},
    [FED_DONE] = {.scalars = {NULL}},
    [FED_LEND] = {.scalars = {"allowed", "threshold"}, .model = true},
    [FED_CROSS] = {.scalars = {"n"}, .crossed = true},
};

static bool is_among(const char *name, const char *const *names)
{
    for (size_t i = 0; i < MAX_NAMES && names[i] != NULL; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static fl_status check_scalars(const contents *c, const policy *p, const fed_offer *o, fl_err *err)
{
    for (size_t i = 0; i < o->n_scalars; i++) {
        const char *name = o->scalars[i].name;
        bool is_count = strcmp(name, "n") == 0;
        if (!is_among(name, c->scalars)) {
            return fl_fail(err, FL_EDENIED, "%s may not hold %s", fed_order_name(o->key.kind),
                           name);
        }
        if (c->figures && !p->figures && !(is_count && o->scalars[i].value == 0)) {
            return fl_fail(err, FL_EDENIED,
                           "this hospital's policy does not let figures leave (%s)", name);
        }
        if (!isfinite(o->scalars[i].value)) {
            return fl_fail(err, FL_EFORMAT, "%s is not a finite number", name);
        }
    }
    return FL_OK;
}

static fl_status check_histogram(const policy *p, const json_t *histogram, fl_err *err)
{
    if (!json_is_object(histogram)) {
        return FL_OK;
    }
    int64_t bins = fl_json_get_int(histogram, "bins", -1);
    if (bins < 1 || bins > p->histogram_bins) {
        return fl_fail(err, FL_EDENIED,
                       "this hospital's policy lets histograms of at most %" PRId64
                       " bins leave, this one has %" PRId64,
                       p->histogram_bins, bins);
    }
    return FL_OK;
}

/* Of validation scores: a histogram, and what calibration takes. */
static fl_status check_counts(const policy *p, const json_t *payload, fl_err *err)
{
    const json_t *temperature = json_object_get(payload, "temperature");
    int64_t n = fl_json_get_int(temperature, "n", 0);
    if (temperature != NULL && n < p->min_cell) {
        return fl_fail(err, FL_EDENIED,
                       "temperature: %" PRId64 " cases are below the policy's min_cell", n);
    }
    fl_status st = json_object_get(payload, "bins") != NULL ? check_histogram(p, payload, err)
                                                            : FL_OK;
    return st != FL_OK ? st : check_histogram(p, json_object_get(payload, "nonconformity"), err);
}

/* Small cells were suppressed where they were made; nothing leaves on trust. */
static fl_status check_list(const policy *p, const json_t *site, const char *list, const char *key,
                            fl_err *err)
{
    const json_t *cells = json_object_get(site, list);
    for (size_t i = 0; i < json_array_size(cells); i++) {
        const json_t *n = json_object_get(json_array_get(cells, i), key);
        if (json_is_integer(n) && json_integer_value(n) < p->min_cell) {
            return fl_fail(err, FL_EDENIED, "%s: %lld cases are below the policy's min_cell", list,
                           (long long)json_integer_value(n));
        }
    }
    return FL_OK;
}

static fl_status check_patients(const policy *p, const json_t *figure, const char *of, fl_err *err)
{
    int64_t n = fl_json_get_int(figure, "n_patients", 0);
    return n == 0 || n >= p->min_cell
               ? FL_OK
               : fl_fail(err, FL_EDENIED,
                         "%s: %" PRId64 " patients are below the policy's min_cell", of, n);
}

/* Annotators are few, and each may have drawn some of the cases only. */
static fl_status check_annotators(const policy *p, const json_t *annotators, fl_err *err)
{
    static const char *const lists[] = {"pairs", "model"};
    const json_t *consensus = json_object_get(annotators, "consensus");
    const json_t *comparison = json_object_get(annotators, "comparison");
    fl_status st = check_patients(p, json_object_get(consensus, "dice"), "annotators", err);
    if (st == FL_OK) {
        st = check_patients(p, json_object_get(comparison, "difference"), "annotators", err);
    }
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        const json_t *list = json_object_get(annotators, lists[k]);
        for (size_t i = 0; i < json_array_size(list) && st == FL_OK; i++) {
            st = check_patients(p, json_object_get(json_array_get(list, i), "dice"), "annotators",
                                err);
        }
    }
    return st;
}

int64_t contents_patients(const json_t *figures)
{
    int64_t most = 0;
    const char *name;
    const json_t *figure;
    json_object_foreach((json_t *)figures, name, figure) {
        int64_t n = fl_json_get_int(figure, "n_patients", 0);
        most = n > most ? n : most;
    }
    return most;
}

/* A whole test split of few patients says nothing of them. */
static fl_status check_split(const policy *p, const json_t *figures, const char *of, fl_err *err)
{
    int64_t n = contents_patients(figures);
    return n == 0 || n >= p->min_cell
               ? FL_OK
               : fl_fail(err, FL_EDENIED,
                         "%s: a test split of %" PRId64 " patients is below the policy's min_cell",
                         of, n);
}

static fl_status check_models(const policy *p, const json_t *site, fl_err *err)
{
    static const char *const differences[] = {"benefit", "personal_gain"};
    const char *name;
    const json_t *figures;
    fl_status st = FL_OK;
    json_object_foreach(json_object_get(site, "models"), name, figures) {
        if ((st = check_split(p, figures, name, err)) != FL_OK) {
            return st;
        }
    }
    for (size_t i = 0; i < sizeof differences / sizeof *differences && st == FL_OK; i++) {
        st = check_split(p, json_object_get(site, differences[i]), differences[i], err);
    }
    if (st == FL_OK) {
        const json_t *error = json_object_get(json_object_get(site, "uncertainty"), "error");
        st = check_patients(p, error, "uncertainty", err);
    }
    return st;
}

static fl_status check_cells(const policy *p, const json_t *site, fl_err *err)
{
    fl_status st;
    if ((st = check_list(p, site, "subgroups", "n", err)) != FL_OK ||
        (st = check_list(p, site, "by_class", "n", err)) != FL_OK ||
        (st = check_list(p, site, "unseen", "n", err)) != FL_OK ||
        (st = check_list(p, site, "calibration", "n", err)) != FL_OK ||
        (st = check_list(p, site, "disparities", "n", err)) != FL_OK ||
        (st = check_list(p, json_object_get(site, "uncertainty"), "findings", "n", err)) !=
            FL_OK ||
        (st = check_list(p, site, "disparities", "n_other", err)) != FL_OK) {
        return st;
    }
    st = check_models(p, site, err);
    return st == FL_OK ? check_annotators(p, json_object_get(site, "annotators"), err) : st;
}

/* Of whole test splits alone; a reason tells of no case. */
static fl_status check_crossed(const policy *p, const json_t *payload, fl_err *err)
{
    const json_t *metrics = json_object_get(payload, "metrics");
    const char *name;
    json_t *figure;
    fl_status st = report_check_crossed(payload, err);
    if (st == FL_OK && metrics != NULL && !p->figures) {
        st = fl_fail(err, FL_EDENIED, "this hospital's policy does not let figures leave");
    }
    json_object_foreach((json_t *)metrics, name, figure) {
        st = st != FL_OK ? st : check_patients(p, figure, name, err);
    }
    return st;
}

static fl_status check_document(const contents *c, const policy *p, fed_order_kind kind,
                                const json_t *payload, fl_err *err)
{
    if (c->figures && !p->figures) {
        return fl_fail(err, FL_EDENIED, "this hospital's policy does not let figures leave");
    }
    fl_status st = FL_OK;
    if (c->crossed) {
        return check_crossed(p, payload, err);
    }
    if (c->site) {
        if ((st = report_check_site(payload, err)) != FL_OK ||
            (st = check_histogram(p, json_object_get(payload, "histogram"), err)) != FL_OK) {
            return st;
        }
        return check_cells(p, payload, err);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)payload, key, value)
    {
        if (!is_among(key, c->keys)) {
            return fl_fail(err, FL_EDENIED, "%s may not hold %s", fed_order_name(kind), key);
        }
    }
    return kind == FED_SCORE ? check_counts(p, payload, err) : FL_OK;
}

static fl_status check_size(const policy *p, int64_t P, fl_err *err)
{
    return P <= p->max_parameters
               ? FL_OK
               : fl_fail(err, FL_EDENIED,
                         "this hospital's policy allows models of %" PRId64
                         " parameters, this one has %" PRId64,
                         p->max_parameters, P);
}

static fl_status check_update(const policy *p, const nn_table *table, const float *update,
                              fl_err *err)
{
    fl_status large = check_size(p, nn_table_count(table), err);
    if (large != FL_OK) {
        return large;
    }
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *entry = nn_table_at(table, i);
        fed_scale scale = nn_kind_trainable(entry->kind) ? FED_SCALE_TRAINED : FED_SCALE_STAT;
        fl_status st = fed_accum_check(update + entry->offset, entry->count, scale, err);
        if (st != FL_OK) {
            return fl_wrap(err, st, "update of %s", entry->name);
        }
    }
    return FL_OK;
}

bool contents_is_update(fed_order_kind kind)
{
    return allowed[kind].update;
}

fl_status contents_check_update(const policy *p, const fed_offer *draft, const nn_table *table,
                                const float *update, fl_err *err)
{
    const contents *c = &allowed[draft->key.kind];
    FL_REQUIRE(c->update);
    fl_status st = check_scalars(c, p, draft, err);
    return st == FL_OK ? check_update(p, table, update, err) : st;
}

fl_status contents_check_model(const policy *p, const fed_offer *draft, const nn_table *table,
                               const float *model, fl_err *err)
{
    const contents *c = &allowed[draft->key.kind];
    FL_REQUIRE(c->model);
    fl_status st = check_scalars(c, p, draft, err);
    if (st == FL_OK && !p->own_model_leaves) {
        st = fl_fail(err, FL_EDENIED, "this hospital's policy keeps its own model (own_model)");
    }
    if (st == FL_OK &&
        (st = check_size(p, nn_table_count(table), err)) == FL_OK &&
        !nn_vec_is_finite(model, nn_table_count(table))) {
        st = fl_fail(err, FL_EFORMAT, "the own model is not finite");
    }
    return st;
}

fl_status contents_check_json(const policy *p, const fed_offer *draft, const json_t *payload,
                              fl_err *err)
{
    const contents *c = &allowed[draft->key.kind];
    FL_REQUIRE(!c->update && draft->key.kind != FED_WAIT);
    fl_status st = check_scalars(c, p, draft, err);
    if (st == FL_OK && c->model && payload != NULL) {
        return fl_fail(err, FL_EDENIED, "%s may not hold a document",
                       fed_order_name(draft->key.kind));
    }
    return st == FL_OK && payload != NULL ? check_document(c, p, draft->key.kind, payload, err)
                                          : st;
}
