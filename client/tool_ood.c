/*
 * tool_ood.c - `--reference DATASET`: cases beside those that a model learnt from
 */
#define _XOPEN_SOURCE 700  // realpath
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/tools.h"

fl_status tool_reference_open(tool_reference *out, task_model *m, const float *params,
                              const char *path, data_split split, int threads, fl_err *err)
{
    data_spec spec;
    *out = (tool_reference){.path = path};
    fl_status st = tool_open_for_model(&out->set, &spec, m, path, err);
    if (st == FL_OK) {
        st = task_ood_new(&out->ood, m, params, out->set, split, threads, err);
    }
    if (st != FL_OK) {
        tool_reference_clear(out);
        return fl_wrap(err, st, "--reference %.200s", path);
    }
    return FL_OK;
}

void tool_reference_clear(tool_reference *r)
{
    task_ood_destroy(&r->ood);
    data_set_destroy(&r->set);
}

bool tool_same_files(const char *a, const char *b)
{
    char *x = realpath(a, NULL), *y = realpath(b, NULL);
    bool same = x != NULL && y != NULL && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

/* As the data set sees itself: of other classes than the model's, but of its input. */
static fl_status open_strange(data_set **out, const task_model *m, const char *path,
                              const fl_err *first, fl_err *err)
{
    char own[64], wanted[64];
    fl_err why = FL_ERR_INIT;
    const nn_shape *input = &task_model_spec(m)->input;
    if (data_set_open(out, path, NULL, &why) != FL_OK) {
        return fl_fail(err, first->status, "%s", first->text);
    }
    const nn_shape *found = &data_set_spec(*out)->input;
    if (!nn_shape_equal(found, input)) {
        nn_shape_text(own, sizeof own, found);
        nn_shape_text(wanted, sizeof wanted, input);
        data_set_destroy(out);
        return fl_fail(err, FL_ECONFIG,
                       "%.200s: its inputs are %s behind its preprocessing, the model's %s", path,
                       own, wanted);
    }
    return FL_OK;
}

fl_status tool_open_given(data_set **out, data_spec *spec, bool *own_classes, task_model *m,
                          const char *path, fl_err *err)
{
    fl_err first = FL_ERR_INIT;
    fl_status st = tool_open_for_model(out, spec, m, path, &first);
    *own_classes = st == FL_ECONFIG;
    if (st == FL_ECONFIG) {
        st = open_strange(out, m, path, &first, err);
    } else if (st != FL_OK) {
        st = fl_fail(err, st, "%s", first.text);
    }
    return st;
}

// ------------------------------------------------------------------------------ text

static void print_number(const json_t *figure)
{
    double value = fl_json_get_number(figure, "value");
    if (isnan(value)) {
        printf(" %8s", "-");
    } else {
        printf(" %8.3f", value);
    }
}

/* "0.931 [0.90, 0.95]" in a column. */
static void print_interval(const json_t *figure)
{
    char text[48] = "-";
    double value = fl_json_get_number(figure, "value"), low = fl_json_get_number(figure, "ci_low");
    if (!isnan(value) && isnan(low)) {
        snprintf(text, sizeof text, "%.3f", value);
    } else if (!isnan(value)) {
        snprintf(text, sizeof text, "%.3f [%.2f, %.2f]", value, low,
                 fl_json_get_number(figure, "ci_high"));
    }
    printf(" %20s", text);
}

/* How sure an answer looks, as each task says it. */
static const struct {
    const char *key, *heading;
} sures[] = {
    {"max_softmax", "AUROC of softmax"},
    {"max_sigmoid", "AUROC of sigmoid"},
    {"mean_max_softmax", "AUROC of softmax"},  // the mean over the pixels
};

/* NULL: the task has none; else *heading is its column's. */
static const json_t *sure_of(const json_t *entry, const char **heading)
{
    const json_t *found = NULL;
    *heading = "";
    for (size_t i = 0; i < sizeof sures / sizeof *sures && found == NULL; i++) {
        found = json_object_get(entry, sures[i].key);
        *heading = found != NULL ? sures[i].heading : "";
    }
    return found;
}

static void print_row(const char *name, const json_t *entry)
{
    const char *heading;
    const json_t *distance = json_object_get(entry, "mahalanobis");
    const json_t *sure = sure_of(entry, &heading);
    printf("%-20.60s %6lld", name, (long long)fl_json_get_int(entry, "n", 0));
    print_number(json_object_get(entry, "flagged"));
    print_interval(json_object_get(distance, "auroc"));
    print_number(json_object_get(distance, "fpr95"));
    if (sure != NULL) {
        print_interval(json_object_get(sure, "auroc"));
        print_number(json_object_get(sure, "fpr95"));
    }
    printf("\n");
}

static void print_share(const char *name, const json_t *figure, bool first)
{
    printf("%s%s %.3f", first ? "" : "; ", name, fl_json_get_number(figure, "value"));
    if (!isnan(fl_json_get_number(figure, "ci_low"))) {
        printf(" [%.2f, %.2f]", fl_json_get_number(figure, "ci_low"),
               fl_json_get_number(figure, "ci_high"));
    }
}

static void print_called(const char *what, const json_t *entry)
{
    const json_t *none = json_object_get(entry, "no_finding"), *one;
    size_t i;
    if (json_object_get(entry, "called") == NULL) {
        return;
    }
    printf("%s, %lld cases: called ", what, (long long)fl_json_get_int(entry, "n", 0));
    if (none != NULL) {
        print_share("(no finding)", none, true);
    }
    json_array_foreach(json_object_get(entry, "called"), i, one) {
        print_share(fl_json_get_string(one, "class", ""), json_object_get(one, "share"),
                    i == 0 && none == NULL);
    }
    printf("\n");
}

void tool_print_outside(const json_t *outside)
{
    const json_t *sets = json_object_get(outside, "sets"), *entry;
    const json_t *limit = json_object_get(outside, "limit"), *inside;
    size_t i;
    if (outside == NULL) {
        return;
    }
    inside = json_object_get(outside, "inside");
    printf("beside %s: %lld features (%s) of %lld training cases, %lld means, shrinkage %.3f\n",
           fl_json_get_string(outside, "reference", ""),
           (long long)fl_json_get_int(outside, "features", 0),
           fl_json_get_string(outside, "layer", ""),
           (long long)fl_json_get_int(outside, "n_fitted", 0),
           (long long)fl_json_get_int(outside, "means", 0),
           fl_json_get_number(outside, "shrinkage"));
    printf("flagged: a distance above %.4g, which 95 %% of its %s cases do not exceed\n\n",
           fl_json_get_number(limit, "value"), fl_json_get_string(limit, "split", ""));
    const char *heading;
    bool has_sure = sure_of(json_array_get(sets, 0), &heading) != NULL;
    printf("%-20s %6s %8s %20s %8s", "", "n", "flagged", "AUROC of distance", "passes");
    if (has_sure) {
        printf(" %20s %8s", heading, "passes");
    }
    printf("\n");
    printf("%-20s %6lld", "reference", (long long)fl_json_get_int(inside, "n", 0));
    print_number(json_object_get(inside, "flagged"));
    printf("\n");
    json_array_foreach(sets, i, entry) {
        print_row(fl_json_get_string(entry, "set", ""), entry);
    }
    if (!has_sure) {
        printf("no maximum softmax: it takes probabilities, and a number has none\n");
    }
    json_array_foreach(json_object_get(outside, "unseen"), i, entry) {
        print_row(fl_json_get_string(entry, "class", ""), entry);
    }
    printf("passes: of these cases, where 95 %% of the reference's pass (false-positive rate)\n\n");
    print_called("all of them", json_array_get(sets, 0));
    json_array_foreach(json_object_get(outside, "unseen"), i, entry) {
        char what[120];
        snprintf(what, sizeof what, "%.60s, which the model was never taught",
                 fl_json_get_string(entry, "class", ""));
        print_called(what, entry);
    }
    printf("\n");
}
