/*
 * study.c - see study.h
 */
#include "sim/study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "report/read.h"
#include "sim/launch.h"

typedef struct {
    char *folder, *job, *settings;
    int64_t seed;
    json_t *thresholds;  // {SITE: number or null}: of the shared model
} study_run;

struct study {
    study_run *run;
    size_t n;
    char *metric, *positive;  // of the first report; positive: "" when there is none
};

study *study_new(void)
{
    return fl_xcalloc(1, sizeof(study));
}

void study_destroy(study **s)
{
    for (size_t i = 0; *s != NULL && i < (*s)->n; i++) {
        free((*s)->run[i].folder);
        free((*s)->run[i].job);
        free((*s)->run[i].settings);
        json_decref((*s)->run[i].thresholds);
    }
    if (*s != NULL) {
        free((*s)->run);
        free((*s)->metric);
        free((*s)->positive);
    }
    free(*s);
    *s = NULL;
}

/* The code of the positive class, as predictions.csv writes it. */
static char *positive_code(const json_t *report)
{
    const char *positive = fl_json_get_string(report, "positive", "");
    size_t i;
    const json_t *name;
    json_array_foreach(json_object_get(report, "classes"), i, name) {
        if (strcmp(json_string_value(name), positive) == 0) {
            return fl_xasprintf("%zu", i);
        }
    }
    return fl_xstrdup("");
}

void study_add(study *s, const char *folder, const char *job, const char *settings, int64_t seed,
               const json_t *report)
{
    if (s->n == 0) {
        s->metric = fl_xstrdup(report_main_metric(report));
        s->positive = positive_code(report);
    }
    json_t *thresholds = json_object();
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        json_object_set_new(
            thresholds, report_site_name(site),
            fl_json_number(fl_json_get_number(json_object_get(site, "thresholds"), "global")));
    }
    s->run = fl_xrealloc(s->run, ++s->n, sizeof *s->run);
    s->run[s->n - 1] = (study_run){
        .folder = fl_xstrdup(folder),
        .job = fl_xstrdup(job),
        .settings = fl_xstrdup(settings[0] != '\0' ? settings : "as written"),
        .seed = seed,
        .thresholds = thresholds};
}

// ------------------------------------------------------------- case by case

static char *predictions_of(const study_run *r, const char *site)
{
    return fl_xasprintf("%s/homes/%s/runs/%s/predictions.csv", r->folder, site, r->job);
}

static void add_threshold(launch_args *a, const char *option, const study_run *r, const char *site)
{
    double threshold = fl_json_get_number(r->thresholds, site);
    if (!isnan(threshold)) {
        launch_args_add_num(a, option, threshold);
    }
}

/* What `client metrics` finds between two runs' predictions at a hospital. */
static fl_status difference(json_t **out, const study *s, const char *site, const study_run *run,
                            const study_run *against, fl_err *err)
{
    char *new = predictions_of(run, site), *old = predictions_of(against, site), *text = NULL;
    fl_status st = FL_OK;
    *out = NULL;
    if (fl_file_exists(new) && fl_file_exists(old)) {  // pictures have masks, no scores
        launch_args a;
        launch_args_init(&a, "client");
        launch_args_add(&a, "metrics");
        launch_args_add(&a, new);
        launch_args_add(&a, "--against");
        launch_args_add(&a, old);
        launch_args_add(&a, "--metric");
        launch_args_add(&a, s->metric);
        launch_args_add(&a, "--json");
        if (s->positive[0] != '\0') {
            launch_args_add(&a, "--positive");
            launch_args_add(&a, s->positive);
            add_threshold(&a, "--threshold", run, site);
            add_threshold(&a, "--against-threshold", against, site);
        }
        st = launch_read(&text, "client metrics", &a, err);
        launch_args_clear(&a);
        if (st == FL_OK) {
            st = fl_json_parse(out, text, strlen(text), strlen(text), "client metrics", err);
        }
    }
    free(text);
    free(new);
    free(old);
    return st;
}

/* The run of the first settings with that seed; NULL = none. */
static const study_run *first_with(const study *s, int64_t seed)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->run[i].seed == seed && strcmp(s->run[i].settings, s->run[0].settings) == 0) {
            return &s->run[i];
        }
    }
    return NULL;
}

static fl_status add_differences(json_t *list, const study *s, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t i = 0; i < s->n && st == FL_OK; i++) {
        const study_run *run = &s->run[i], *against = first_with(s, run->seed);
        const char *site;
        json_t *none;
        if (against == NULL || against == run) {
            continue;
        }
        json_object_foreach(run->thresholds, site, none) {
            json_t *found = NULL;
            if (st == FL_OK) {
                st = difference(&found, s, site, run, against, err);
            }
            json_t *item = json_object_get(found, "differences");
            if (item != NULL) {
                json_object_set_new(item, "run", json_integer((json_int_t)i));
                json_object_set_new(item, "against", json_integer((json_int_t)(against - s->run)));
                json_object_set_new(item, "site", json_string(site));
                json_array_append(list, item);
            }
            json_decref(found);
        }
    }
    return st;
}

// ------------------------------------------------------------------ the page

static fl_status write_study(const study *s, const char *path, fl_err *err)
{
    json_t *arms = json_array(), *differences = json_array();
    for (size_t i = 0; i < s->n; i++) {
        json_array_append_new(arms, json_string(s->run[i].settings));
    }
    fl_status st = add_differences(differences, s, err);
    json_t *json = json_pack("{s:o, s:o}", "arms", arms, "differences", differences);
    st = st == FL_OK ? fl_json_write(json, path, err) : st;
    json_decref(json);
    return st;
}

static void add_run_folder(launch_args *a, const study_run *r)
{
    char *folder = fl_xasprintf("%s/federation/runs/%s", r->folder, r->job);
    launch_args_add(a, folder);
    free(folder);
}

static fl_status compare(const study *s, const char *dir, const char *study_path, fl_err *err)
{
    launch_args a;
    char *text = NULL;
    launch_args_init(&a, "coordinator");
    launch_args_add(&a, "report");
    add_run_folder(&a, &s->run[0]);
    for (size_t i = 1; i < s->n; i++) {
        launch_args_add(&a, "--compare");
        add_run_folder(&a, &s->run[i]);
    }
    launch_args_add(&a, "--study");
    launch_args_add(&a, study_path);
    launch_args_add(&a, "--out");
    launch_args_add(&a, dir);
    fl_status st = launch_read(&text, "coordinator report", &a, err);
    launch_args_clear(&a);
    free(text);
    return st;
}

fl_status study_write(char **page, const study *s, const char *out, fl_err *err)
{
    *page = NULL;
    if (s->n < 2 || s->n > STUDY_MOST_RUNS) {
        return FL_OK;
    }
    char *dir = fl_path_join(out, "compare"), *path = fl_path_join(dir, "study.json");
    fl_status st;
    if ((st = fl_mkdirs(dir, 0755, err)) == FL_OK && (st = write_study(s, path, err)) == FL_OK &&
        (st = compare(s, dir, path, err)) == FL_OK) {
        *page = fl_path_join(dir, "compare.html");
    }
    free(dir);
    free(path);
    return st;
}
