/*
 * worst.c - see worst.h
 */
#include "client/worst.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "client/picture.h"
#include "eval/metrics_seg.h"
#include "explain/gradcam.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/report.h"

/* Whose errors are looked for. */
typedef struct {
    const task_model *model;
    const float *params;
    const data_set *set;
    const data_spec *spec;
    const task_scores *scores;
    double threshold;
    task_scorer *scorer;  // of masks; else NULL
} subject;

typedef struct {
    size_t row;      // in the scores
    size_t of;       // finding; else 0
    double badness;  // the greatest first
} mistake;

/* What a task calls an error, and how it is shown. */
typedef struct {
    data_task task;
    const char *lead, *none;
    /* Into found (n K); how many. */
    size_t (*find)(mistake *found, const subject *w);
    /* The picture of case index, at path. */
    fl_status (*draw)(const char *path, const subject *w, size_t index, const mistake *one,
                      fl_err *err);
    void (*say)(report_page *page, const subject *w, const data_case *c, const mistake *one);
} kind;

// ------------------------------------------------------------------ pictures

/* What one of these pictures is made of; (C, H, W), (C, H, W) and (H, W). */
typedef struct {
    float *x, *image, *heat;
} canvas;

static fl_status canvas_new(canvas *c, const subject *w, size_t index, fl_err *err)
{
    size_t F = data_set_n_features(w->set);
    *c = (canvas){.x = fl_calloc(F, sizeof *c->x, "an image", err),
                  .image = fl_calloc(F, sizeof *c->image, "an image", err),
                  .heat = fl_calloc(F, sizeof *c->heat, "a map", err)};
    if (c->x == NULL || c->image == NULL || c->heat == NULL) {
        return FL_ELIMIT;
    }
    data_set_batch(w->set, &index, 1, c->x);
    data_set_image(w->set, index, c->image);
    return FL_OK;
}

static void canvas_clear(canvas *c)
{
    free(c->x);
    free(c->image);
    free(c->heat);
}

/* The image under what speaks for score k, or against it; alone where the model has no such
 * maps. */
static fl_status draw_heat(const char *path, const subject *w, size_t index, size_t k, bool against,
                           fl_err *err)
{
    const nn_shape *shape = &w->spec->input;
    fl_err unused = FL_ERR_INIT;
    explain_cam cam;
    canvas c;
    int sign;
    int64_t logit = task_model_logit_of(w->model, k, &sign);
    fl_status st = canvas_new(&c, w, index, err);
    if (st == FL_OK) {
        bool has_heat = explain_gradcam(&cam, task_model_graph(w->model), w->params, c.x, logit,
                                        against ? -sign : sign, &unused) == FL_OK;
        if (has_heat) {
            explain_cam_resize(c.heat, 1, shape->dim[1], shape->dim[2], &cam);
            free(cam.map);
        }
        st = picture_write(path, c.image, shape, has_heat ? c.heat : NULL, err);
    }
    canvas_clear(&c);
    return st;
}

static const char *number(char out[static REPORT_NUMBER_BYTES], const report_page *page, double v)
{
    return report_number(out, page->language, v, 3);
}

// ------------------------------------------------------------------- classes

static size_t find_calls(mistake *found, const subject *w)
{
    const task_scores *s = w->scores;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->label[i] >= 0 && task_called(s, w->spec, i, w->threshold) != s->label[i]) {
            found[n++] = (mistake){.row = i, .badness = -s->score[i * s->K + (size_t)s->label[i]]};
        }
    }
    return n;
}

static fl_status draw_call(const char *path, const subject *w, size_t index, const mistake *one,
                           fl_err *err)
{
    int called = task_called(w->scores, w->spec, one->row, w->threshold);
    return draw_heat(path, w, index, (size_t)called, false, err);
}

static void say_call(report_page *page, const subject *w, const data_case *c, const mistake *one)
{
    char score[REPORT_NUMBER_BYTES];
    int called = task_called(w->scores, w->spec, one->row, w->threshold);
    report_say(page, "%s: labelled %s, called %s; score of %s %s", c->case_id,
               w->spec->classes[c->code], w->spec->classes[called], w->spec->classes[c->code],
               number(score, page, -one->badness));
}

// ------------------------------------------------------------------ findings

static bool is_there(const subject *w, const mistake *one)
{
    return w->scores->target[one->row * w->scores->K + one->of] > 0.5;
}

/* Each finding of each case by itself; badness: less the probability of what is so. */
static size_t find_findings(mistake *found, const subject *w)
{
    const task_scores *s = w->scores;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; k < s->K; k++) {
            double p = s->score[i * s->K + k], y = s->target[i * s->K + k];
            if (!isnan(y) && (p >= w->threshold) != (y > 0.5)) {
                found[n++] = (mistake){i, k, y > 0.5 ? -p : p - 1};
            }
        }
    }
    return n;
}

static fl_status draw_finding(const char *path, const subject *w, size_t index, const mistake *one,
                              fl_err *err)
{
    return draw_heat(path, w, index, one->of, is_there(w, one), err);
}

static void say_finding(report_page *page, const subject *w, const data_case *c, const mistake *one)
{
    char score[REPORT_NUMBER_BYTES];
    const char *name = w->spec->classes[one->of];
    number(score, page, w->scores->score[one->row * w->scores->K + one->of]);
    if (is_there(w, one)) {
        report_say(page, "%s: %s is there and is not seen; score %s", c->case_id, name, score);
    } else {
        report_say(page, "%s: %s is seen and is not there; score %s", c->case_id, name, score);
    }
}

// --------------------------------------------------------------------- masks

/* Every case that is not quite right; also of numbers. */
static size_t find_errors(mistake *found, const subject *w)
{
    const task_scores *s = w->scores;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        double error = task_case_error(s, w->spec, i, w->threshold);
        if (error > 0) {
            found[n++] = (mistake){.row = i, .badness = error};
        }
    }
    return n;
}

static fl_status draw_mask(const char *path, const subject *w, size_t index, const mistake *one,
                           fl_err *err)
{
    size_t n = data_spec_n_pixels(w->spec);
    canvas c;
    uint8_t *code = fl_xcalloc(n, 1), *truth = fl_xcalloc(n, 1);
    fl_status st = canvas_new(&c, w, index, err);
    (void)one;
    if (st == FL_OK) {
        const uint8_t *mask = data_set_case(w->set, index).mask;
        task_scorer_mask(w->scorer, code, c.heat, c.x);
        for (size_t i = 0; i < n; i++) {
            truth[i] = mask[i] == EVAL_SEG_IGNORE ? 0 : mask[i];
        }
        st = picture_write_outlines(path, c.image, &w->spec->input, truth, code, err);
    }
    canvas_clear(&c);
    free(truth);
    free(code);
    return st;
}

static void say_mask(report_page *page, const subject *w, const data_case *c, const mistake *one)
{
    const eval_seg_case *seg = w->scores->seg + one->row * w->scores->K;
    char dice[REPORT_NUMBER_BYTES];
    long long n_truth = 0, n_called = 0;
    for (size_t k = 0; k < w->scores->K; k++) {
        n_truth += (long long)seg[k].n_truth;
        n_called += (long long)seg[k].n_pred;
    }
    number(dice, page, 1 - one->badness);
    if (n_truth == 0) {
        report_say(page, "%s: the reference has nothing, the model outlines %lld pixels", c->case_id,
                   n_called);
    } else if (n_called == 0) {
        report_say(page, "%s: the reference has %lld pixels, the model outlines nothing", c->case_id,
                   n_truth);
    } else {
        report_say(page, "%s: Dice %s; the reference has %lld pixels, the model outlines %lld",
                   c->case_id, dice, n_truth, n_called);
    }
}

// ------------------------------------------------------------------- numbers

static fl_status draw_number(const char *path, const subject *w, size_t index, const mistake *one,
                             fl_err *err)
{
    bool too_low = w->scores->score[one->row] < w->scores->target[one->row];
    return draw_heat(path, w, index, 0, too_low, err);
}

static void say_number(report_page *page, const subject *w, const data_case *c, const mistake *one)
{
    char truth[REPORT_NUMBER_BYTES], said[REPORT_NUMBER_BYTES], error[REPORT_NUMBER_BYTES];
    report_say(page, "%s: %s, predicted %s; error %s", c->case_id,
               number(truth, page, w->scores->target[one->row]),
               number(said, page, w->scores->score[one->row]), number(error, page, one->badness));
}

// -------------------------------------------------------------------- the page

static const kind kinds[] = {
    {DATA_CLASSIFY,
     REPORT_N("The test cases that the shared model called wrongly with the lowest score for their "
              "label. Red: what speaks for what was called (Grad-CAM, Selvaraju et al. 2017)."),
     REPORT_N("No test case was called wrongly."), find_calls, draw_call, say_call},
    {DATA_MULTILABEL,
     REPORT_N("The findings of test cases that the shared model called wrongly and was surest of. "
              "Red: what speaks for what was called (Grad-CAM, Selvaraju et al. 2017)."),
     REPORT_N("No finding of a test case was called wrongly."), find_findings, draw_finding,
     say_finding},
    {DATA_SEGMENT,
     REPORT_N("The test cases that the shared model outlined with the lowest Dice coefficient. "
              "Solid blue: the reference; dashed orange: the model."),
     REPORT_N("Every test case was outlined as the reference."), find_errors, draw_mask, say_mask},
    {DATA_REGRESS,
     REPORT_N("The test cases that the shared model's numbers are farthest off. Red: what pulls the "
              "number the wrong way (Grad-CAM, Selvaraju et al. 2017)."),
     REPORT_N("No number was off."), find_errors, draw_number, say_number},
};

static const kind *kind_of(data_task task)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].task == task) {
            return &kinds[i];
        }
    }
    return NULL;
}

static int by_badness(const void *a, const void *b)
{
    const mistake *x = a, *y = b;
    int order = (x->badness < y->badness) - (x->badness > y->badness);
    order = order != 0 ? order : (x->row > y->row) - (x->row < y->row);
    return order != 0 ? order : (x->of > y->of) - (x->of < y->of);
}

/* The caller's; *n at most WORST_CASES. */
static mistake *find_worst(size_t *n, const kind *k, const subject *w)
{
    mistake *found = fl_xcalloc(w->scores->n * w->scores->K, sizeof *found);
    *n = k->find(found, w);
    qsort(found, *n, sizeof *found, by_badness);
    *n = *n < WORST_CASES ? *n : WORST_CASES;
    return found;
}

static void add_case(report_page *page, size_t count, const kind *k, const subject *w,
                     const mistake *one)
{
    data_case c = data_set_case(w->set, w->scores->index[one->row]);
    report_html(page, "<figure><img src=\"%zu%zu.png\" alt=\"\"><figcaption>", count / 10,
                count % 10);
    k->say(page, w, &c, one);
    report_html(page, "</figcaption></figure>\n");
}

static fl_status write_index(const char *dir, report_language language, const kind *k,
                             const subject *w, const mistake *worst, size_t n, fl_err *err)
{
    report_page page = REPORT_PAGE(language);
    report_html(&page, "<!DOCTYPE html>\n<html lang=\"%s\"><head><meta charset=\"utf-8\">"
                       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                       "<title>%s</title>\n<style>body{font:16px sans-serif;max-width:60em;"
                       "margin:2em auto;padding:0 1em}img{max-width:100%%}figure{margin:2em 0;"
                       "break-inside:avoid}</style></head><body>\n<h1>%s</h1>\n<p>",
                report_language_code(language), report_word(&page, "Worst errors"),
                report_word(&page, "Worst errors"));
    report_html(&page, "%s %s</p>\n", report_word(&page, k->lead),
                report_word(&page, "This page names cases: it is the hospital's own and never leaves "
                                   "it."));
    for (size_t i = 0; i < n; i++) {
        add_case(&page, i + 1, k, w, &worst[i]);
    }
    if (n == 0) {
        report_html(&page, "<p>%s</p>\n", report_word(&page, k->none));
    }
    report_html(&page, "</body></html>\n");
    char *path = fl_xasprintf("%s/index%s", dir, report_page_suffix(language));
    fl_status st = fl_file_write(path, page.text.data, page.text.n, 0600, err);
    free(path);
    report_page_clear(&page);
    return st;
}

static fl_status write_all(const char *dir, const kind *k, const subject *w,
                           report_language language, fl_err *err)
{
    size_t n;
    fl_status st = FL_OK;
    mistake *worst = find_worst(&n, k, w);
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        char *path = fl_xasprintf("%s/%02zu.png", dir, i + 1);
        st = k->draw(path, w, w->scores->index[worst[i].row], &worst[i], err);
        free(path);
    }
    if (st == FL_OK) {
        st = write_index(dir, REPORT_EN, k, w, worst, n, err);
    }
    if (st == FL_OK && language != REPORT_EN) {
        st = write_index(dir, language, k, w, worst, n, err);
    }
    free(worst);
    return st;
}

fl_status worst_write(const task_model *m, const float *params, const data_set *set,
                      const task_scores *s, double threshold, report_language language,
                      const char *run_dir, fl_err *err)
{
    const data_spec *spec = task_model_spec(m);
    const kind *k = kind_of(spec->task);
    char *dir = fl_path_join(run_dir, "worst");
    char *partial = fl_path_join(run_dir, "worst.tmp");
    subject w = {m, params, set, spec, s, isnan(threshold) ? 0.5 : threshold, NULL};
    fl_status st = FL_OK;
    if ((fl_is_dir(dir) && (st = fl_remove_tree(dir, err)) != FL_OK) ||
        (st = fl_remove_tree(partial, err)) != FL_OK || k == NULL || spec->input.rank != 3) {
        goto done;
    }
    if ((spec->task == DATA_SEGMENT &&
         (st = task_scorer_new(&w.scorer, m, params, 1, err)) != FL_OK) ||
        (st = fl_mkdirs(partial, 0700, err)) != FL_OK ||
        (st = write_all(partial, k, &w, language, err)) != FL_OK) {
        goto done;
    }
    if (rename(partial, dir) != 0) {
        st = fl_fail_errno(err, errno, dir);
    }
done:
    task_scorer_destroy(&w.scorer);
    (void)fl_remove_tree(partial, NULL);
    free(partial);
    free(dir);
    return st;
}

json_t *worst_explained(const task_model *m, const float *params, const data_set *set)
{
    const data_spec *spec = task_model_spec(m);
    fl_err unused = FL_ERR_INIT;
    explain_cam cam;
    int sign;
    bool is_made = false;
    float *x = fl_calloc(data_set_n_features(set), sizeof *x, "an image", &unused);
    int64_t logit = task_model_logit_of(m, 0, &sign);
    // Any case will do: whether there are maps is the graph's affair.
    if (x != NULL && kind_of(spec->task) != NULL && spec->task != DATA_SEGMENT &&
        spec->input.rank == 3 && data_set_n_split(set, DATA_TEST) > 0) {
        data_set_batch(set, data_set_split(set, DATA_TEST), 1, x);
        is_made = explain_gradcam(&cam, task_model_graph(m), params, x, logit, sign, &unused) ==
                  FL_OK;
    }
    if (is_made) {
        free(cam.map);
    }
    free(x);
    return is_made ? json_pack("{s:s}", "method", "Grad-CAM") : NULL;
}
