/*
 * tool_doubt.c - how sure models are of one's own cases, and what that is good for
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/tools.h"

fl_status tool_doubt_parse(tool_doubt *out, const char *how, fl_err *err)
{
    fl_status st = task_members_parse(&out->members, how, err);
    return st == FL_OK ? st : fl_wrap(err, st, "--uncertainty");
}

fl_status tool_doubt_limit(double *limit, const char **why, const tool_doubt *d,
                           const task_member *models, size_t n_models, const data_set *set,
                           data_split split, fl_err *err)
{
    *limit = NAN;
    *why = split == DATA_VAL                        ? "the validation split itself is judged"
           : data_set_n_split(set, DATA_VAL) == 0 ? "no validation cases to set a limit by"
                                                  : NULL;
    if (*why != NULL) {
        return FL_OK;
    }
    task_doubt doubt;
    fl_status st = task_doubt_of(&doubt, &d->members, models, n_models, set, DATA_VAL, d->seed,
                                 d->threads, NULL, err);
    if (st == FL_OK) {
        *limit = task_doubt_limit(&doubt, d->refer);
        task_doubt_clear(&doubt);
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
    task_doubt doubt;
    double limit;
    const char *why;
    *out = NULL;
    fl_status st = tool_doubt_limit(&limit, &why, d, models, n_models, set, split, err);
    if (st != FL_OK || (st = task_doubt_of(&doubt, &d->members, models, n_models, set, split,
                                           d->seed, d->threads, NULL, err)) != FL_OK) {
        return fl_wrap(err, st, "--uncertainty");
    }
    const eval_selective_config cfg = {.share = d->refer, .target = d->target_error,
                                       .n_points = EVAL_MAX_POINTS, .seed = d->seed};
    task_evaluate(metrics, &doubt.scores, spec, threshold, d->seed);
    *out = json_object();
    json_object_set_new(*out, "metrics", eval_metrics_json(metrics));
    json_object_set_new(*out, "uncertainty",
                        task_doubt_json(&doubt, spec, threshold, &cfg, limit, why));
    if (d->against != NULL) {
        const task_scored mean = {&doubt.scores, threshold};
        json_object_set_new(*out, "differences", differences_json(d, &mean, spec));
    }
    task_doubt_clear(&doubt);
    return FL_OK;
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
    printf("\nto reach an error of %.3f, refer %.1f %% of the cases\n",
           fl_json_get_number(target, "error"), 100 * fl_json_get_number(target, "share"));
    print_flag(json_object_get(u, "flag"));
    printf("\n");
}
