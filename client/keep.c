/*
 * keep.c - see keep.h
 */
#include "client/keep.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "report/report.h"

enum { MAX_REPORT_BYTES = 64 << 20 };

static const char *const results[] = {"job.yaml", "model", "report.json", "report.html",
                                      "report.fr.html"};  // the last where it was asked for

static fl_status write_models(const local *l, const char *dir, const float *model, double threshold,
                              fl_err *err)
{
    char *models = fl_path_join(dir, "model");
    char *onnx = fl_path_join(models, "final.onnx");
    char *numbers = fl_path_join(models, "final.safetensors");
    fl_status st = fl_mkdirs(models, 0700, err);
    if (st == FL_OK && (st = task_model_write(l->model, model, threshold, onnx, err)) == FL_OK) {
        st = ckpt_safetensors_write(numbers, task_model_table(l->model), model, NULL, err);
    }
    free(numbers);
    free(onnx);
    free(models);
    return st;
}

/* DIR/report.html or report.fr.html; caller's. */
static char *page_path(const char *dir, report_language language)
{
    return fl_xasprintf("%s/report%s", dir, report_page_suffix(language));
}

/* A hospital that was away when the test split was opened has no page; it is
 * handed the run's, which says why. */
static fl_status write_page(const json_t *report, const char *site, report_language language,
                            const char *dir, fl_err *err)
{
    char *page = page_path(dir, language);
    fl_status st = report_write_site(report, site, language, page, err);
    if (st == FL_ENOTFOUND) {
        st = report_write_index(report, language, page, err);
    }
    free(page);
    return st;
}

static fl_status write_pages(const local *l, const char *dir, const json_t *report, fl_err *err)
{
    char *document = fl_path_join(dir, "report.json");
    char *job_path = fl_path_join(dir, "job.yaml");
    fl_status st;
    if ((st = fl_json_write(report, document, err)) == FL_OK &&
        (st = write_page(report, l->site, REPORT_EN, dir, err)) == FL_OK &&
        (l->language == REPORT_EN ||
         (st = write_page(report, l->site, l->language, dir, err)) == FL_OK)) {
        st = fl_file_write(job_path, l->job.text, l->job.n_text, 0644, err);
    }
    free(job_path);
    free(document);
    return st;
}

/* From the finished folder to their places; renaming needs no space. */
static fl_status move_results(const char *from, const char *run_dir, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t i = 0; i < sizeof results / sizeof *results && st == FL_OK; i++) {
        char *source = fl_path_join(from, results[i]);
        char *target = fl_path_join(run_dir, results[i]);
        bool made = fl_file_exists(source);
        if (fl_is_dir(target) || !made) {
            st = fl_remove_tree(target, err);
        }
        if (st == FL_OK && made && rename(source, target) != 0) {
            st = fl_fail_errno(err, errno, target);
        }
        free(target);
        free(source);
    }
    return st == FL_OK ? fl_fsync_dir(run_dir, err) : st;
}

fl_status keep_run(const local *l, const char *run_dir, const float *model, const char *report,
                   size_t n_report, fl_err *err)
{
    json_t *json = NULL;
    char *partial = fl_path_join(run_dir, "results.tmp");
    fl_status st;
    if ((st = fl_json_parse(&json, report, n_report, MAX_REPORT_BYTES, "report.json", err)) !=
            FL_OK ||
        (st = report_check(json, err)) != FL_OK || (st = fl_remove_tree(partial, err)) != FL_OK ||
        (st = fl_mkdirs(partial, 0700, err)) != FL_OK) {
        goto done;
    }
    double threshold = fl_json_get_number(json_object_get(json, "threshold"), "value");
    if ((st = write_models(l, partial, model, threshold, err)) != FL_OK ||
        (st = write_pages(l, partial, json, err)) != FL_OK) {
        goto done;
    }
    st = move_results(partial, run_dir, err);
done:
    (void)fl_remove_tree(partial, NULL);
    json_decref(json);
    free(partial);
    return st;
}

fl_status keep_page(char **path, const char *run_dir, const char *site, report_language language,
                    fl_err *err)
{
    json_t *report = NULL;
    char *document = fl_path_join(run_dir, "report.json");
    fl_status st;
    *path = NULL;
    if (!fl_file_exists(document)) {
        st = fl_fail(err, FL_ENOTFOUND,
                     "%s: is not there; a run's report comes to its hospitals when the job is done",
                     document);
    } else if ((st = fl_json_read(&report, document, MAX_REPORT_BYTES, err)) == FL_OK &&
               (st = report_check(report, err)) != FL_OK) {
        st = fl_wrap(err, st, "%s", document);
    }
    if (st == FL_OK && (st = write_page(report, site, language, run_dir, err)) == FL_OK) {
        *path = page_path(run_dir, language);
    }
    json_decref(report);
    free(document);
    return st;
}
