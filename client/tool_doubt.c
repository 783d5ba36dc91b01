/*
 * tool_doubt.c - how sure models are of one's own cases, and what that is good for
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/linked.h"
#include "client/tools.h"

fl_status tool_doubt_parse(tool_doubt *out, const char *how, fl_err *err)
{
    fl_status st = task_members_parse(&out->members, how, err);
    return st == FL_OK ? st : fl_wrap(err, st, "--uncertainty");
}

/* What the validation split's cases set, by which others are judged. */
typedef struct {
    double limit;         // from it on a case is flagged; NaN: none
    const char *why;      // none
    task_conformal sets;  // classify; else quantile NaN
} by_validation;

static fl_status look_at_validation(by_validation *out, const tool_doubt *d,
                                    const task_member *models, size_t n_models,
                                    const data_set *set, data_split split, fl_err *err)
{
    *out = (by_validation){.limit = NAN, .sets = {.alpha = d->alpha, .quantile = NAN}};
    out->why = split == DATA_VAL                        ? "the validation split itself is judged"
               : data_set_n_split(set, DATA_VAL) == 0 ? "no validation cases to set a limit by"
                                                      : NULL;
    if (out->why != NULL) {
        return FL_OK;
    }
    task_doubt doubt;
    fl_status st = task_doubt_of(&doubt, &d->members, models, n_models, set, DATA_VAL, d->seed,
                                 d->threads, NULL, err);
    if (st == FL_OK) {
        out->limit = task_doubt_limit(&doubt, d->refer);
        if (task_model_spec(models[0].model)->task == DATA_CLASSIFY && d->alpha > 0) {
            task_conformal_own(&out->sets, &doubt.scores);
        }
        task_doubt_clear(&doubt);
    }
    return st;
}

fl_status tool_doubt_limit(double *limit, const char **why, const tool_doubt *d,
                           const task_member *models, size_t n_models, const data_set *set,
                           data_split split, fl_err *err)
{
    by_validation v;
    fl_status st = look_at_validation(&v, d, models, n_models, set, split, err);
    *limit = v.limit;
    *why = v.why;
    return st;
}

/* The same under the shifts asked for, if any. */
static fl_status put_shifts(json_t *u, const tool_doubt *d, const task_doubt_subject *of,
                            double threshold, const by_validation *v, fl_err *err)
{
    data_shift_curves curves = {.n = 0};
    task_doubt_shift_config cfg = {
        .curves = &curves,
        .threshold = threshold,
        .limit = v->limit,
        .selective = {.share = d->refer, .target = d->target_error, .seed = d->seed},
        .conformal = &v->sets,
        .threads = d->threads};
    json_t *points;
    if (d->shift == NULL || d->shift->n == 0) {
        return FL_OK;
    }
    fl_status st = tool_find_shifts(&curves, &cfg.first, &cfg.last, d->shift,
                                    task_model_spec(of->models[0].model), err);
    if (st == FL_OK && (st = task_doubt_shifts(&points, of, &cfg, err)) == FL_OK) {
        json_object_set_new(u, "shift", points);
    }
    return st;
}

static json_t *differences_json(const tool_doubt *d, const task_scored *mean,
                                const data_spec *spec)
{
    eval_metrics differences;
    json_t *json = json_object();
    task_differences(&differences, d->against, mean, spec, d->seed);
    for (size_t i = 0; i < differences.n; i++) {
        const eval_metric *m = &differences.item[i];
        if (eval_metric_compared(m->name)) {
            json_object_set_new(json, m->name, eval_figure_json(&m->figure));
        }
    }
    return json;
}

fl_status tool_doubt_judge(json_t **out, eval_metrics *metrics, const tool_doubt *d,
                           const task_member *models, size_t n_models, const data_set *set,
                           const data_spec *spec, data_split split, double threshold, fl_err *err)
{
    const task_doubt_subject of = {&d->members, models, n_models, set, split};
    task_doubt doubt;
    by_validation v;
    linked *link = NULL;
    *out = NULL;
    fl_status st = look_at_validation(&v, d, models, n_models, set, split, err);
    if (st == FL_OK && d->explained) {
        st = linked_new(&link, models[0].model, models[0].params, err);
    }
    task_maps sink = linked_sink(link);
    if (st != FL_OK || (st = task_doubt_of(&doubt, &d->members, models, n_models, set, split,
                                           d->seed, d->threads, link != NULL ? &sink : NULL,
                                           err)) != FL_OK) {
        linked_destroy(&link);
        return fl_wrap(err, st, "--uncertainty");
    }
    const eval_selective_config cfg = {.share = d->refer, .target = d->target_error,
                                       .n_points = EVAL_MAX_POINTS, .seed = d->seed};
    task_evaluate(metrics, &doubt.scores, spec, threshold, d->seed);
    json_t *u = task_doubt_json(&doubt, spec, threshold, &cfg, v.limit, v.why);
    json_t *both = json_pack("{s:o, s:o}", "metrics", eval_metrics_json(metrics), "uncertainty", u);
    if (spec->task == DATA_CLASSIFY && split != DATA_VAL) {
        json_object_set_new(u, "conformal", task_conformal_json(&v.sets, &doubt.scores, d->seed));
    }
    if (d->against != NULL) {
        const task_scored mean = {&doubt.scores, threshold};
        json_object_set_new(both, "differences", differences_json(d, &mean, spec));
    }
    if (link != NULL) {
        json_object_set_new(u, "explained", linked_json(link, d->seed));
    }
    linked_destroy(&link);
    task_doubt_clear(&doubt);
    if ((st = put_shifts(u, d, &of, threshold, &v, err)) == FL_OK) {
        *out = both;
        both = NULL;  // now the caller's
    }
    json_decref(both);
    return st;
}

// ----------------------------------------------------------------------- text

/* What each measure says of the cases that go wrong. */
static void print_measures(const json_t *measures)
{
    static const struct {
        const char *key, *text;
    } figures[] = {{"auroc", "AUROC for wrong calls"},
                   {"pearson", "correlation with the error"},
                   {"spearman", "rank correlation with it"}};
    const char *name;
    json_t *m;
    json_object_foreach((json_t *)measures, name, m) {
        for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
            const json_t *figure = json_object_get(m, figures[i].key);
            char what[64];
            snprintf(what, sizeof what, "%s: %s", name, figures[i].text);
            if (figure != NULL) {
                tool_print_line(what, figure);
            }
        }
        printf("%-44s %8.3f\n", "  area under risk and coverage", fl_json_get_number(m, "aurc"));
    }
}

/* Whether each finding's own doubt tells where it is called wrongly. */
static void print_findings(const json_t *findings)
{
    size_t i;
    const json_t *f;
    json_array_foreach(findings, i, f) {
        char what[128];
        snprintf(what, sizeof what, "%.40s: AUROC of entropy for %lld wrong",
                 fl_json_get_string(f, "class", ""), (long long)fl_json_get_int(f, "n_wrong", 0));
        tool_print_line(what, json_object_get(f, "entropy"));
    }
}

static void print_flag(const json_t *flag)
{
    if (json_is_null(json_object_get(flag, "limit"))) {
        printf("no case is flagged: %s\n", fl_json_get_string(flag, "why", ""));
        return;
    }
    printf("flagged from %.4g on, a limit set on validation: %lld of %lld cases, error %.3f; the "
           "others' %.3f\n",
           fl_json_get_number(flag, "limit"), (long long)fl_json_get_int(flag, "n_flagged", 0),
           (long long)fl_json_get_int(flag, "n", 0), fl_json_get_number(flag, "error_flagged"),
           fl_json_get_number(flag, "error_rest"));
}

static void print_conformal(const json_t *conformal)
{
    if (conformal == NULL) {
        return;
    }
    if (json_is_null(json_object_get(conformal, "quantile"))) {
        printf("no conformal sets: %s\n", fl_json_get_string(conformal, "why", ""));
        return;
    }
    char what[64];
    snprintf(what, sizeof what, "conformal sets that hold the class (%g)",
             1 - fl_json_get_number(conformal, "alpha"));
    tool_print_line(what, json_object_get(conformal, "coverage"));
    tool_print_line("  classes in a set", json_object_get(conformal, "set_size"));
}

static double value_at(const json_t *object, const char *key)
{
    return fl_json_get_number(json_object_get(object, key), "value");
}

/* A line a shift and severity; what is not defined is a dash. */
static void print_shifts(const json_t *points)
{
    static const char *const keys[] = {"error", "error_kept", "auroc", "coverage", "set_size"};
    size_t i;
    const json_t *point;
    if (json_array_size(points) == 0) {
        return;
    }
    printf("\n%-28s %3s %8s %8s %8s %8s %8s\n", "under shift, severity", "", "error", "kept",
           "auroc", "coverage", "set size");
    json_array_foreach(points, i, point) {
        printf("%-28s %3lld", fl_json_get_string(point, "shift", ""),
               (long long)fl_json_get_int(point, "severity", 0));
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            double value = value_at(point, keys[k]);
            if (isnan(value)) {
                printf(" %8s", "-");
            } else {
                printf(" %8.3f", value);
            }
        }
        printf("\n");
    }
}

/* Whether the uncertain pixels lie where the model looked. */
static void print_link(const json_t *link)
{
    char what[64];
    if (link != NULL) {
        snprintf(what, sizeof what, "uncertain pixels where it looked (chance: %g)",
                 fl_json_get_number(link, "chance"));
        tool_print_line(what, json_object_get(link, "share"));
    }
}

void tool_print_doubt(const json_t *u)
{
    const json_t *refer = json_object_get(u, "refer"), *target = json_object_get(u, "target");
    const json_t *lesions = json_object_get(u, "lesions");
    char what[64];
    printf("uncertainty by %s, cases ranked by %s\n\n", fl_json_get_string(u, "how", ""),
           fl_json_get_string(u, "measure", ""));
    tool_print_line("error", json_object_get(u, "error"));
    snprintf(what, sizeof what, "error when %g %% are referred",
             100 * fl_json_get_number(refer, "share"));
    tool_print_line(what, json_object_get(refer, "error_kept"));
    tool_print_line("  share of the error that this cuts", json_object_get(refer, "cut"));
    print_measures(json_object_get(u, "measures"));
    if (lesions != NULL) {
        snprintf(what, sizeof what, "lesions: AUROC of entropy for %lld false",
                 (long long)fl_json_get_int(lesions, "n_false", 0));
        tool_print_line(what, json_object_get(lesions, "auroc"));
    }
    print_findings(json_object_get(u, "findings"));
    print_link(json_object_get(u, "explained"));
    printf("\nto reach an error of %.3f, refer %.1f %% of the cases\n",
           fl_json_get_number(target, "error"), 100 * fl_json_get_number(target, "share"));
    print_flag(json_object_get(u, "flag"));
    print_conformal(json_object_get(u, "conformal"));
    print_shifts(json_object_get(u, "shift"));
    printf("\n");
}
