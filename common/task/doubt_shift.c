/*
 * doubt_shift.c - is a model that errs under a shift at least less sure? (members.h)
 *
 * Limits and quantiles were set on images as they are, and are not set anew: what a
 * shift does to coverage and to referral is what a hospital would see that changes its
 * scanner without telling anyone (Ovadia et al. 2019).
 */
#include <math.h>

#include "task/members.h"

/* Share of the cases from the limit on; null where few are on one side of it. */
static json_t *flagged_json(const json_t *flag, int64_t min_cell)
{
    int64_t n = fl_json_get_int(flag, "n", 0), flagged = fl_json_get_int(flag, "n_flagged", 0);
    bool is_small = (flagged > 0 && flagged < min_cell) ||
                    (n - flagged > 0 && n - flagged < min_cell);
    return fl_json_number(n == 0 || is_small ? NAN : (double)flagged / (double)n);
}

/* What of the block at a point goes into the report: the first measure, and no curve. */
static json_t *point_json(const json_t *u, const task_doubt_shift_config *cfg)
{
    static const char *const tells[] = {"auroc", "pearson"};
    json_t *measures = json_object_get(u, "measures"), *refer = json_object_get(u, "refer");
    json_t *first = json_object_get(measures, fl_json_get_string(u, "measure", ""));
    json_t *json = json_object();
    json_object_set(json, "error", json_object_get(u, "error"));
    json_object_set(json, "error_kept", json_object_get(refer, "error_kept"));
    json_object_set(json, "cut", json_object_get(refer, "cut"));
    json_object_set(json, "aurc", json_object_get(first, "aurc"));
    for (size_t i = 0; i < sizeof tells / sizeof *tells; i++) {
        json_t *figure = json_object_get(first, tells[i]);
        if (figure != NULL) {
            json_object_set(json, tells[i], figure);
        }
    }
    json_t *flagged = flagged_json(json_object_get(u, "flag"), cfg->min_cell);
    if (json_is_null(flagged)) {
        json_object_set_new(json, "why", json_string("too few cases on one side to be shown"));
    }
    json_object_set_new(json, "flagged", flagged);
    return json;
}

/* Coverage and size of the sets; nothing where there is no quantile. */
static void put_sets(json_t *json, const task_scores *s, const task_doubt_shift_config *cfg)
{
    if (cfg->conformal == NULL || isnan(cfg->conformal->quantile)) {
        return;
    }
    json_t *sets = task_conformal_json(cfg->conformal, s, cfg->selective.seed);
    json_object_set(json, "coverage", json_object_get(sets, "coverage"));
    json_object_set(json, "set_size", json_object_get(sets, "set_size"));
    json_decref(sets);
}

static fl_status add_point(json_t *list, const task_doubt_subject *of, size_t curve, int severity,
                           const task_doubt_shift_config *cfg, fl_err *err)
{
    const data_shift_curve *shift = &cfg->curves->item[curve];
    const data_spec *spec = task_model_spec(of->models[0].model);
    data_shift chain;
    task_doubt doubt;
    data_shift_curve_at(&chain, shift, severity);
    fl_status st = task_doubt_of_shifted(&doubt, of, &chain, cfg->selective.seed, cfg->threads,
                                         err);
    if (st != FL_OK) {
        return st;
    }
    json_t *u = task_doubt_json(&doubt, spec, cfg->threshold, &cfg->selective, cfg->limit, "");
    json_t *json = point_json(u, cfg);
    json_object_set_new(json, "shift", json_string(shift->name));
    json_object_set_new(json, "family", json_string(shift->family));
    json_object_set_new(json, "severity", json_integer(severity));
    json_decref(u);
    task_scores plain;
    if (cfg->conformal != NULL && cfg->sets_are_plain && of->members->kind != TASK_ONE) {
        const task_member *m = &of->models[0];
        st = task_predict_shifted(&plain, m->model, m->params, of->set, of->split, &chain,
                                  cfg->selective.seed, cfg->threads, err);
        if (st == FL_OK) {
            put_sets(json, &plain, cfg);
            task_scores_clear(&plain);
        }
    } else {
        put_sets(json, &doubt.scores, cfg);
    }
    json_array_append_new(list, json);
    task_doubt_clear(&doubt);
    return st;
}

fl_status task_doubt_shifts(json_t **out, const task_doubt_subject *of,
                            const task_doubt_shift_config *cfg, fl_err *err)
{
    json_t *list = json_array();
    fl_status st = FL_OK;
    *out = NULL;
    for (size_t c = 0; c < cfg->curves->n && st == FL_OK; c++) {
        for (int v = cfg->first; v <= cfg->last && st == FL_OK; v++) {
            st = add_point(list, of, c, v, cfg, err);
            if (st == FL_OK && cfg->step != NULL && !cfg->step(cfg->ctx)) {
                st = fl_fail(err, FL_ESTOPPED, "stopped");
            }
        }
    }
    if (st != FL_OK) {
        json_decref(list);
        return st;
    }
    *out = list;
    return FL_OK;
}
