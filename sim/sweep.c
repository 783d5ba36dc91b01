/*
 * sweep.c - see sweep.h
 */
#include "sim/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "sim/extra.h"
#include "sim/hospital.h"
#include "sim/play.h"
#include "sim/study.h"

enum { MAX_REPORT_BYTES = 256 * 1024 * 1024 };

/* The first comma outside brackets and quotes, or the end; NULL when a bracket
 * or a quote is left open. */
static const char *value_end(const char *p)
{
    int depth = 0;
    char quote = '\0';
    for (; *p != '\0' && (*p != ',' || depth > 0 || quote != '\0'); p++) {
        if (quote != '\0') {
            quote = *p == quote ? '\0' : quote;
        } else if (*p == '"' || *p == '\'') {
            quote = *p;
        } else {
            depth += *p == '[' || *p == '{';
            depth -= *p == ']' || *p == '}';
        }
        if (depth < 0) {
            return NULL;
        }
    }
    return depth == 0 && quote == '\0' ? p : NULL;
}

fl_status sweep_axis_parse(sweep_axis *out, const char *text, fl_err *err)
{
    memset(out, 0, sizeof *out);
    const char *equals = strchr(text, '='), *from = equals, *end = NULL;
    bool good = equals != NULL && equals != text;
    while (good && (end == NULL || *end == ',')) {  // from: the sign in front of a value
        end = value_end(from + 1);
        good = end != NULL && end > from + 1;
        if (good) {
            out->values = fl_xrealloc(out->values, out->n + 1, sizeof *out->values);
            out->values[out->n++] = fl_xstrndup(from + 1, (size_t)(end - from - 1));
            from = end;
        }
    }
    if (!good) {
        sweep_axis_clear(out);
        return fl_fail(err, FL_EUSAGE, "--sweep: expected key=value,value..., found %s", text);
    }
    out->path = fl_xstrndup(text, (size_t)(equals - text));
    return FL_OK;
}

void sweep_axis_clear(sweep_axis *a)
{
    for (size_t i = 0; i < a->n; i++) {
        free(a->values[i]);
    }
    free(a->values);
    free(a->path);
    memset(a, 0, sizeof *a);
}

/* Digits only; behind them, or NULL. */
static const char *seed_parse(int64_t *seed, const char *p)
{
    size_t n = strspn(p, "0123456789");
    *seed = strtoll(p, NULL, 10);
    return n > 0 && *seed <= SWEEP_MAX_SEED ? p + n : NULL;
}

fl_status sweep_seeds_parse(int64_t **seeds, size_t *n, const char *text, fl_err *err)
{
    *seeds = NULL;
    *n = 0;
    for (const char *p = text; p != NULL;) {
        int64_t first = 0, last = 0;
        p = seed_parse(&first, p);
        last = first;
        if (p != NULL && *p == '-') {
            p = seed_parse(&last, p + 1);
        }
        if (p == NULL || last < first || last - first >= SWEEP_MAX_RUNS ||
            (*p != ',' && *p != '\0')) {
            FL_FREE(*seeds);
            *n = 0;
            return fl_fail(err, FL_EUSAGE, "--seeds: expected 1-10 or 1,4,7, found %s",
                           text[0] != '\0' ? text : "nothing");
        }
        for (int64_t s = first; s <= last; s++) {
            *seeds = fl_xrealloc(*seeds, *n + 1, sizeof **seeds);
            (*seeds)[(*n)++] = s;
        }
        p = *p == ',' ? p + 1 : NULL;
    }
    return FL_OK;
}

// -------------------------------------------------------------- tidy figures

typedef struct {
    fl_buf *csv;
    const char *scenario, *strategy, *settings;
    int64_t seed;
} tidy;

static void add_number(fl_buf *csv, const json_t *figure, const char *key)
{
    double value = fl_json_get_number(figure, key);
    fl_buf_puts(csv, ",");
    if (!isnan(value)) {
        fl_buf_printf(csv, "%.10g", value);
    }
}

static void add_figures(const tidy *t, const char *site, const char *model, const json_t *metrics)
{
    const char *metric;
    json_t *figure;
    json_object_foreach((json_t *)metrics, metric, figure) {
        fl_buf_printf(t->csv, "%s,%s,\"%s\",%lld,%s,%s,%s", t->scenario, t->strategy, t->settings,
                      (long long)t->seed, site, model, metric);
        add_number(t->csv, figure, "value");
        add_number(t->csv, figure, "ci_low");
        add_number(t->csv, figure, "ci_high");
        add_number(t->csv, figure, "n");
        fl_buf_puts(t->csv, "\n");
    }
}

/* The selected round's validation figures: what settings may be chosen by. */
static void add_validation(const tidy *t, const json_t *report)
{
    static const char *const metrics[] = {"auc", "accuracy", "loss"};
    int64_t selected = fl_json_get_int(json_object_get(report, "select"), "round", 0);
    size_t i;
    json_t *round;
    json_array_foreach(json_object_get(report, "rounds"), i, round) {
        json_t *validation = json_object_get(round, "validation");
        for (size_t m = 0; fl_json_get_int(round, "round", -1) == selected && m < 3; m++) {
            double value = fl_json_get_number(validation, metrics[m]);
            if (!isnan(value)) {
                fl_buf_printf(t->csv, "%s,%s,\"%s\",%lld,all,global,val_%s,%.10g,,,%lld\n",
                              t->scenario, t->strategy, t->settings, (long long)t->seed, metrics[m],
                              value, (long long)fl_json_get_int(validation, "n", 0));
            }
        }
    }
}

/* Several models as one, at every hospital. */
static void add_teams(const tidy *t, const json_t *baselines)
{
    static const char *const teams[] = {"ensemble", "snapshot"};
    for (size_t k = 0; k < sizeof teams / sizeof *teams; k++) {
        const json_t *team = json_object_get(baselines, teams[k]);
        const char *name;
        json_t *joined;
        json_object_foreach(json_object_get(team, "sites"), name, joined) {
            add_figures(t, name, teams[k], json_object_get(joined, "metrics"));
        }
        add_figures(t, "pooled", teams[k],
                    json_object_get(json_object_get(team, "pooled"), "metrics"));
    }
}

static void add_report(const tidy *t, const json_t *report)
{
    size_t i;
    json_t *site, *metrics;
    const char *model, *name;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        json_object_foreach(json_object_get(site, "models"), model, metrics) {
            add_figures(t, fl_json_get_string(site, "name", ""), model, metrics);
        }
    }
    add_validation(t, report);
    const json_t *baselines = json_object_get(report, "baselines");
    const json_t *central = json_object_get(baselines, "centralised");
    add_figures(t, "pooled", "global", json_object_get(baselines, "global_on_pooled"));
    add_figures(t, "pooled", "centralised", json_object_get(central, "pooled"));
    json_object_foreach(json_object_get(central, "sites"), name, metrics) {
        add_figures(t, name, "centralised", metrics);
    }
    json_object_foreach(json_object_get(json_object_get(baselines, "leave_one_out"), "sites"), name,
                        metrics) {
        add_figures(t, name, "left_out", metrics);
    }
    add_teams(t, baselines);
}

// ----------------------------------------------------------------- the product

typedef struct {
    const char *scenario_path, *out;
    const scenario_setting *fixed;
    size_t n_fixed;
    const sweep_axis *axes;
    size_t n_axes;
    fl_buf csv;
    study *study;
    size_t n_runs, n_done;
} sweep;

static char *settings_text(const sweep *w, const size_t *choice)
{
    fl_buf text = FL_BUF_INIT;
    for (size_t a = 0; a < w->n_axes; a++) {
        fl_buf_printf(&text, "%s%s=%s", a > 0 ? " " : "", w->axes[a].path,
                      w->axes[a].values[choice[a]]);
    }
    return fl_buf_take(&text);
}

/* A folder of its own, named after all that the run's figures depend on: what
 * was finished under other settings is not taken for it. */
static char *run_folder(const sweep *w, const scenario *s)
{
    uint8_t digest[FL_DIGEST_BYTES];
    char hex[FL_HEX_DIGEST], *stamp = hospital_stamp(s);
    const scenario_compared *c = &s->compared;
    char *text = fl_xasprintf("%s%s%s", stamp, s->job_yaml, s->centralised ? s->central_yaml : "");
    if (c->leave_one_out || c->cross_site || c->ensemble > 0 || c->snapshot > 0) {
        char *more = fl_xasprintf("%s%d%d %lld %lld", text, c->leave_one_out, c->cross_site,
                                  (long long)c->ensemble, (long long)c->snapshot);
        free(text);
        text = more;
    }
    fl_blake2b_of(digest, "sweep", text, strlen(text));
    fl_hex(hex, digest, sizeof digest);
    free(text);
    free(stamp);
    return fl_xasprintf("%s/seed-%llu/%.16s", w->out, (unsigned long long)s->job.seed, hex);
}

/* Before the first run: what each will train besides. */
static void say_cost(const sweep *w, const scenario *s)
{
    char *cost = w->n_done == 0 ? extra_cost(s) : NULL;
    if (cost != NULL) {
        fprintf(stderr, "%zu runs, of which each: %s\n", w->n_runs, cost);
    }
    free(cost);
}

static fl_status run_one(sweep *w, const size_t *choice, int64_t seed, fl_err *err)
{
    size_t n_set = w->n_fixed + w->n_axes;
    scenario_setting *set = fl_xcalloc(n_set + 1, sizeof *set);
    for (size_t i = 0; i < w->n_fixed; i++) {
        set[i] = w->fixed[i];
    }
    for (size_t a = 0; a < w->n_axes; a++) {
        set[w->n_fixed + a] = (scenario_setting){w->axes[a].path, w->axes[a].values[choice[a]]};
    }
    scenario s;
    fl_status st = scenario_read(&s, w->scenario_path, set, n_set, seed, err);
    free(set);
    if (st != FL_OK) {
        return st;
    }
    say_cost(w, &s);
    int64_t used_seed = (int64_t)s.job.seed;
    char *settings = settings_text(w, choice), *folder = run_folder(w, &s);
    char *report_path = fl_path_join(folder, "report/report.json"),
         *figures = fl_path_join(folder, "baselines.json");
    char *data = fl_xasprintf("%s/seed-%lld/data", w->out, (long long)used_seed);
    char *baselines = fl_xasprintf("%s/seed-%lld/baselines", w->out, (long long)used_seed);
    json_t *report = NULL;
    w->n_done++;
    fl_progress("run %zu of %zu: seed %lld %s", w->n_done, w->n_runs, (long long)used_seed,
                settings);
    if (!fl_file_exists(report_path) || !fl_file_exists(figures)) {
        st = play_run(
            &s, &(play_options){.out = folder, .data = data, .baselines = baselines, .quiet = true},
            err);
    }
    if (st == FL_OK && (st = fl_json_read(&report, report_path, MAX_REPORT_BYTES, err)) == FL_OK) {
        add_report(&(tidy){.csv = &w->csv,
                           .scenario = s.name,
                           .strategy = s.job.strategy.name,
                           .settings = settings,
                           .seed = used_seed},
                   report);
        study_add(w->study, folder, s.name, settings, used_seed, report);
    }
    json_decref(report);
    free(settings);
    free(folder);
    free(report_path);
    free(figures);
    free(data);
    free(baselines);
    scenario_clear(&s);
    return st;
}

/* The next combination, the last axis fastest; false after the last one. */
static bool next_choice(const sweep *w, size_t *choice)
{
    for (size_t a = w->n_axes; a-- > 0;) {
        if (++choice[a] < w->axes[a].n) {
            return true;
        }
        choice[a] = 0;
    }
    return false;
}

fl_status sweep_run(char **page, const char *scenario_path, const char *out,
                    const scenario_setting *set, size_t n_set, const sweep_axis *axes,
                    size_t n_axes, const int64_t *seeds, size_t n_seeds, fl_err *err)
{
    static const int64_t own_seed = -1;
    sweep w = {.scenario_path = scenario_path,
               .out = out,
               .fixed = set,
               .n_fixed = n_set,
               .axes = axes,
               .n_axes = n_axes,
               .csv = FL_BUF_INIT};
    *page = NULL;
    seeds = n_seeds > 0 ? seeds : &own_seed;
    n_seeds = n_seeds > 0 ? n_seeds : 1;
    w.n_runs = n_seeds;
    for (size_t a = 0; a < n_axes; a++) {
        w.n_runs *= axes[a].n;
        if (w.n_runs > SWEEP_MAX_RUNS) {
            return fl_fail(err, FL_EUSAGE, "--sweep: more than %d runs", SWEEP_MAX_RUNS);
        }
    }
    w.study = study_new();
    fl_status st = fl_mkdirs(out, 0755, err);
    size_t *choice = fl_xcalloc(n_axes + 1, sizeof *choice);
    fl_buf_puts(&w.csv,
                "scenario,strategy,settings,seed,site,model,metric,value,ci_low,ci_high,n\n");
    for (size_t i = 0; i < n_seeds && st == FL_OK; i++) {
        do {
            st = run_one(&w, choice, seeds[i], err);
        } while (st == FL_OK && next_choice(&w, choice));
    }
    fl_progress_end();
    if (st == FL_OK) {
        char *path = fl_path_join(out, "results.csv");
        st = fl_file_write(path, w.csv.data, w.csv.n, 0644, err);
        free(path);
    }
    if (st == FL_OK) {
        st = study_write(page, w.study, out, err);
    }
    study_destroy(&w.study);
    fl_buf_clear(&w.csv);
    free(choice);
    return st;
}
