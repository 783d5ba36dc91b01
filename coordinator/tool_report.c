/*
 * tool_report.c - `coordinator report`: pages again from a run's report.json
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sys.h"
#include "coordinator/contrast.h"
#include "coordinator/tools.h"
#include "report/read.h"
#include "report/report.h"

enum { MAX_REPORT_BYTES = 1 << 30 };

static struct {
    const char *baselines, *lang, *study, *out;
    fl_texts compare;
    bool figures;
} o = {.lang = "en"};

static const fl_opt options[] = {
    {"baselines", FL_OPT_TEXT, "FILE.json", "the simulator's figures, to be merged into the report",
     &o.baselines, 0, 0, false},
    {"compare", FL_OPT_LIST, "RUN",
     "another run's folder, to be held against this one; several for several settings and seeds",
     &o.compare, 0, 0, false},
    {"study", FL_OPT_TEXT, "FILE.json",
     "with --compare: the simulator's names of the settings, and differences by case", &o.study, 0,
     0, false},
    {"out", FL_OPT_TEXT, "DIR", "with --compare: where the comparison goes (RUN/report)", &o.out, 0,
     0, false},
    {"figures", FL_OPT_FLAG, NULL, "every drawing also as RUN/report/figures/NAME.svg and .pdf",
     &o.figures, 0, 0, false},
    {"lang", FL_OPT_TEXT, "en|fr", "the pages' language; French pages are named .fr.html (en)",
     &o.lang, 0, 0, false},
    {0},
};

const fl_opt *coordinator_report_options(void)
{
    return options;
}

/* A run's folder, or its report's. */
static fl_status read_report(json_t **out, const char *run, fl_err *err)
{
    char *path = fl_path_join(run, "report/report.json");
    fl_status st = fl_file_exists(path) ? fl_json_read(out, path, MAX_REPORT_BYTES, err)
                                        : fl_fail(err, FL_ENOTFOUND, "%s has no report yet", run);
    if (st == FL_OK && (st = report_check(*out, err)) != FL_OK) {
        st = fl_wrap(err, st, "%s", path);
    }
    free(path);
    return st;
}

static fl_status merge_baselines(json_t *report, fl_err *err)
{
    json_t *figures = NULL;
    fl_status st = fl_json_read(&figures, o.baselines, MAX_REPORT_BYTES, err);
    if (st != FL_OK) {
        return st;
    }
    json_t *inner = json_object_get(figures, "baselines");
    json_t *merged = inner != NULL ? inner : figures;
    json_t *played = json_object_get(json_object_get(report, "baselines"), "cross_site");
    if (played != NULL && json_object_get(merged, "cross_site") == NULL) {
        json_object_set(merged, "cross_site", played);  // the consortium's own
    }
    json_object_set(report, "baselines", merged);
    json_object_set_new(report, "simulated", json_true());
    json_decref(figures);
    return report_check(report, err);
}

static fl_status compare(const json_t *const *all, size_t n, report_language language,
                         const char *dir, fl_err *err)
{
    json_t *study = NULL, *contrasts = NULL;
    fl_status st = FL_OK;
    if (o.study != NULL) {
        st = fl_json_read(&study, o.study, MAX_REPORT_BYTES, err);
    }
    if (st == FL_OK &&
        (st = contrast_build(&contrasts, all, n, report_main_metric(all[0]), study, err)) ==
            FL_OK &&
        (st = report_write_compare(all, n, contrasts, language, dir, err)) == FL_OK) {
        printf("%s/compare%s\n", dir, report_page_suffix(language));
    }
    json_decref(study);
    json_decref(contrasts);
    return st;
}

static fl_status write_comparison(const json_t *report, report_language language, const char *dir,
                                  fl_err *err)
{
    size_t n = o.compare.n + 1;
    const json_t **all = fl_xcalloc(n, sizeof *all);
    json_t **others = fl_xcalloc(n, sizeof *others);
    fl_status st = FL_OK;
    all[0] = report;
    for (size_t i = 1; i < n && st == FL_OK; i++) {
        st = read_report(&others[i], o.compare.items[i - 1], err);
        all[i] = others[i];
    }
    if (st == FL_OK) {
        st = compare(all, n, language, o.out != NULL ? o.out : dir, err);
    }
    for (size_t i = 1; i < n; i++) {
        json_decref(others[i]);
    }
    free(others);
    free(all);
    return st;
}

/* The run's own pages, and its table on the terminal. */
static fl_status write_run(json_t *report, report_language language, const char *dir, fl_err *err)
{
    fl_status st;
    if ((o.baselines != NULL && (st = merge_baselines(report, err)) != FL_OK) ||
        (st = o.figures ? report_write_all_figures(report, language, dir, err)
                        : report_write_all(report, language, dir, err)) != FL_OK) {
        return st;
    }
    char *text = report_text(report);
    printf("%s\n%s/index%s\n", text, dir, report_page_suffix(language));
    free(text);
    return FL_OK;
}

static fl_status check_options(report_language *language, fl_err *err)
{
    if (!report_language_find(language, o.lang)) {
        return fl_fail(err, FL_EUSAGE, "--lang: expected en or fr, found %s", o.lang);
    }
    if (o.compare.n == 0 && (o.out != NULL || o.study != NULL)) {
        return fl_fail(err, FL_EUSAGE, "--%s goes with --compare", o.out != NULL ? "out" : "study");
    }
    return FL_OK;
}

/* With --compare and --out the run's folder stays as it is. */
fl_status coordinator_report(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    json_t *report = NULL;
    char *dir = NULL;
    report_language language;
    fl_status st = fl_cli_parse(argc, argv, options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = check_options(&language, err)) != FL_OK ||
        (st = read_report(&report, pos.items[0], err)) != FL_OK) {
        goto done;
    }
    dir = fl_path_join(pos.items[0], "report");
    if (o.out == NULL && (st = write_run(report, language, dir, err)) != FL_OK) {
        goto done;
    }
    if (o.compare.n > 0) {
        st = write_comparison(report, language, dir, err);
    }
done:
    json_decref(report);
    free(dir);
    free(pos.items);
    free(o.compare.items);
    return st;
}
