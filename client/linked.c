/*
 * linked.c - see linked.h
 */
#include "client/linked.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/overlap.h"
#include "eval/patients.h"
#include "eval/stats.h"
#include "explain/gradcam.h"

static const double top = 0.1;  // share of the pixels that are high places

struct linked {
    const task_model *model;
    const float *params;
    size_t n_pixels;
    float *x;     // (input)
    float *heat;  // (n_pixels)
    bool *asked;  // (n_pixels)
    size_t n, room, n_without;
    double *share;     // (n)
    int64_t *patient;  // (n)
};

fl_status linked_new(linked **out, const task_model *m, const float *params, fl_err *err)
{
    const data_spec *spec = task_model_spec(m);
    *out = NULL;
    if (spec->task != DATA_SEGMENT) {
        return fl_fail(err, FL_EUSAGE, "--explained: for models that outline; this one is for %s",
                       data_task_name(spec->task));
    }
    linked *l = fl_xcalloc(1, sizeof *l);
    *l = (linked){.model = m, .params = params, .n_pixels = data_spec_n_pixels(spec)};
    l->x = fl_calloc((size_t)nn_shape_count(&spec->input, 1), sizeof *l->x, "an image", err);
    l->heat = fl_calloc(l->n_pixels, sizeof *l->heat, "a map", err);
    l->asked = fl_calloc(l->n_pixels, sizeof *l->asked, "a map", err);
    if (l->x == NULL || l->heat == NULL || l->asked == NULL) {
        linked_destroy(&l);
        return FL_ELIMIT;
    }
    *out = l;
    return FL_OK;
}

void linked_destroy(linked **l)
{
    if (*l != NULL) {
        free((*l)->x);
        free((*l)->heat);
        free((*l)->asked);
        free((*l)->share);
        free((*l)->patient);
        FL_FREE(*l);
    }
}

/* The class but the background with most pixels, which become asked; 0: none. */
static uint8_t outlined_class(linked *l, const uint8_t *code)
{
    size_t count[256] = {0};
    uint8_t most = 0;
    for (size_t i = 0; i < l->n_pixels; i++) {
        count[code[i]] += code[i] != 0;
        most = count[code[i]] > count[most] ? code[i] : most;
    }
    for (size_t i = 0; i < l->n_pixels; i++) {
        l->asked[i] = most != 0 && code[i] == most;
    }
    return most;
}

static void keep(linked *l, double share, int64_t patient)
{
    if (l->n == l->room) {
        l->room = l->room > 0 ? 2 * l->room : 64;
        l->share = fl_xrealloc(l->share, l->room, sizeof *l->share);
        l->patient = fl_xrealloc(l->patient, l->room, sizeof *l->patient);
    }
    l->share[l->n] = share;
    l->patient[l->n++] = patient;
}

static fl_status take(void *ctx, const data_set *set, size_t i, const task_map *map, fl_err *err)
{
    linked *l = ctx;
    const nn_shape *input = &task_model_spec(l->model)->input;
    const float *unsure = map->variance != NULL ? map->variance : map->entropy;
    int64_t frames = input->rank == 4 ? input->dim[1] : 1;
    uint8_t class = outlined_class(l, map->code);
    explain_cam cam;
    int sign;
    if (class == 0 || unsure == NULL) {
        l->n_without++;
        return FL_OK;
    }
    data_set_batch(set, &i, 1, l->x);
    int64_t logit = task_model_logit_of(l->model, class, &sign);
    fl_status st = explain_seg_gradcam(&cam, task_model_graph(l->model), l->params, l->x, logit,
                                       sign, l->asked, err);
    if (st != FL_OK) {
        return st;
    }
    explain_cam_resize(l->heat, frames, input->dim[input->rank - 2], input->dim[input->rank - 1],
                       &cam);
    free(cam.map);
    double share = eval_overlap(unsure, l->heat, l->n_pixels, top);
    if (isnan(share)) {
        l->n_without++;
    } else {
        keep(l, share, data_set_case(set, i).patient_no);
    }
    return FL_OK;
}

task_maps linked_sink(linked *l)
{
    return (task_maps){l, take, NULL};
}

json_t *linked_json(const linked *l, uint64_t seed)
{
    eval_figure f = {.value = NAN, .ci_low = NAN, .ci_high = NAN, .n_positive = -1,
                     .n = (int64_t)l->n};
    eval_patients patients;
    eval_patients_init(&patients, l->patient, l->n);
    f.n_patients = (int64_t)patients.n_patients;
    if (l->n == 0) {
        eval_figure_undefined(&f, "no case is outlined, explained and unsure");
    } else {
        eval_patients_mean(&f, l->share, &patients, "explained", seed);
    }
    eval_patients_clear(&patients);
    return json_pack("{s:f, s:f, s:o, s:I, s:I}", "top", top, "chance", top, "share",
                     eval_figure_json(&f), "n_outlined", (json_int_t)l->n, "n_without",
                     (json_int_t)l->n_without);
}
