/*
 * worst.c - see worst.h
 */
#include "client/worst.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "client/picture.h"
#include "explain/gradcam.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/report.h"

typedef struct {
    size_t row;    // in the scores
    int called;
    double score;  // of the label
} mistake;

static int by_score(const void *a, const void *b)
{
    const mistake *x = a, *y = b;
    return x->score < y->score ? -1 : x->score > y->score ? 1 : x->row < y->row ? -1 : 1;
}

/* The caller's; *n at most WORST_CASES. */
static mistake *find_worst(size_t *n, const task_scores *s, const data_spec *spec,
                           double threshold)
{
    mistake *found = fl_xcalloc(s->n, sizeof *found);
    *n = 0;
    for (size_t i = 0; i < s->n; i++) {
        int called = task_called(s, spec, i, threshold);
        if (s->label[i] >= 0 && called != s->label[i]) {
            found[(*n)++] = (mistake){i, called, s->score[i * s->K + (size_t)s->label[i]]};
        }
    }
    qsort(found, *n, sizeof *found, by_score);
    *n = *n < WORST_CASES ? *n : WORST_CASES;
    return found;
}

/* heat (H, W) of what was called; false where the model has no such maps. */
static bool heat_of(float *heat, const task_model *m, const float *params, const float *x,
                    int called)
{
    const nn_shape *shape = &task_model_spec(m)->input;
    fl_err unused = FL_ERR_INIT;
    explain_cam cam;
    int sign;
    int64_t logit = task_model_logit_of(m, (size_t)called, &sign);
    if (explain_gradcam(&cam, task_model_graph(m), params, x, logit, sign, &unused) != FL_OK) {
        return false;
    }
    explain_cam_resize(heat, 1, shape->dim[1], shape->dim[2], &cam);
    free(cam.map);
    return true;
}

static fl_status draw(const char *dir, size_t number, const task_model *m, const float *params,
                      const data_set *set, size_t index, int called, fl_err *err)
{
    size_t F = data_set_n_features(set);
    float *x = fl_calloc(F, sizeof *x, "an image", err);
    float *image = fl_calloc(F, sizeof *image, "an image", err);
    float *heat = fl_calloc(F, sizeof *heat, "a map", err);
    char *file = fl_xasprintf("%s/%02zu.png", dir, number);
    fl_status st = FL_ELIMIT;
    if (x != NULL && image != NULL && heat != NULL) {
        data_set_batch(set, &index, 1, x);
        data_set_image(set, index, image);
        bool has_heat = heat_of(heat, m, params, x, called);
        st = picture_write(file, image, &task_model_spec(m)->input, has_heat ? heat : NULL, err);
    }
    free(file);
    free(heat);
    free(image);
    free(x);
    return st;
}

static void add_case(report_page *page, size_t number, const data_case *c, const data_spec *spec,
                     const mistake *one)
{
    char score[REPORT_NUMBER_BYTES];
    report_html(page, "<figure><img src=\"%zu%zu.png\" alt=\"\"><figcaption>", number / 10,
                number % 10);
    report_say(page, "%s: labelled %s, called %s; score of %s %s", c->case_id,
               spec->classes[c->code], spec->classes[one->called], spec->classes[c->code],
               report_number(score, page->language, one->score, 3));
    report_html(page, "</figcaption></figure>\n");
}

static fl_status write_index(const char *dir, report_language language, const data_set *set,
                             const data_spec *spec, const task_scores *s, const mistake *worst,
                             size_t n, fl_err *err)
{
    report_page page = REPORT_PAGE(language);
    report_html(&page, "<!DOCTYPE html>\n<html lang=\"%s\"><head><meta charset=\"utf-8\">"
                       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                       "<title>%s</title>\n<style>body{font:16px sans-serif;max-width:60em;"
                       "margin:2em auto;padding:0 1em}img{max-width:100%%}figure{margin:2em 0}"
                       "</style></head><body>\n<h1>%s</h1>\n<p>",
                report_language_code(language), report_word(&page, "Worst errors"),
                report_word(&page, "Worst errors"));
    report_say(&page, "The test cases that the shared model called wrongly with the lowest score "
                      "for their label. Red: what speaks for what was called (Grad-CAM, Selvaraju "
                      "et al. 2017). This page names cases: it is the hospital's own and never "
                      "leaves it.");
    report_html(&page, "</p>\n");
    for (size_t i = 0; i < n; i++) {
        data_case c = data_set_case(set, s->index[worst[i].row]);
        add_case(&page, i + 1, &c, spec, &worst[i]);
    }
    if (n == 0) {
        report_html(&page, "<p>%s</p>\n",
                    report_word(&page, "No test case was called wrongly."));
    }
    report_html(&page, "</body></html>\n");
    char *path = fl_xasprintf("%s/index%s", dir, report_page_suffix(language));
    fl_status st = fl_file_write(path, page.text.data, page.text.n, 0600, err);
    free(path);
    report_page_clear(&page);
    return st;
}

static fl_status write_all(const char *dir, const task_model *m, const float *params,
                           const data_set *set, const task_scores *s, const mistake *worst,
                           size_t n, report_language language, fl_err *err)
{
    const data_spec *spec = task_model_spec(m);
    fl_status st = FL_OK;
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        st = draw(dir, i + 1, m, params, set, s->index[worst[i].row], worst[i].called, err);
    }
    if (st == FL_OK) {
        st = write_index(dir, REPORT_EN, set, spec, s, worst, n, err);
    }
    if (st == FL_OK && language != REPORT_EN) {
        st = write_index(dir, language, set, spec, s, worst, n, err);
    }
    return st;
}

fl_status worst_write(const task_model *m, const float *params, const data_set *set,
                      const task_scores *s, double threshold, report_language language,
                      const char *run_dir, fl_err *err)
{
    const data_spec *spec = task_model_spec(m);
    char *dir = fl_path_join(run_dir, "worst");
    char *partial = fl_path_join(run_dir, "worst.tmp");
    size_t n = 0;
    fl_status st = FL_OK;
    if ((fl_is_dir(dir) && (st = fl_remove_tree(dir, err)) != FL_OK) ||
        (st = fl_remove_tree(partial, err)) != FL_OK || spec->task != DATA_CLASSIFY ||
        spec->input.rank != 3) {
        goto done;
    }
    mistake *worst = find_worst(&n, s, spec, threshold);
    if ((st = fl_mkdirs(partial, 0700, err)) == FL_OK &&
        (st = write_all(partial, m, params, set, s, worst, n, language, err)) == FL_OK &&
        rename(partial, dir) != 0) {
        st = fl_fail_errno(err, errno, dir);
    }
    free(worst);
    (void)fl_remove_tree(partial, NULL);
done:
    free(partial);
    free(dir);
    return st;
}
