/*
 * annotators.c - see annotators.h
 */
#include "task/annotators.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "task/ops.h"

struct task_annotators {
    const data_set *set;
    const size_t *index;  // (n) of the split
    size_t n, R, P, K, n_pixels;
    size_t n_taken;
    eval_overlap *pair, *model, *consensus;  // as in eval_drawn
    int64_t *patient;
    uint8_t *vote;  // (n_pixels)
};

enum { FEWEST_VOTES = 3 };  // two who differ have no majority

static bool anybody_drew(const data_set *set, data_split split)
{
    const size_t *index = data_set_split(set, split);
    for (size_t i = 0; i < data_set_n_split(set, split); i++) {
        for (size_t a = 0; a < data_set_n_annotators(set); a++) {
            if (data_set_mask_by(set, index[i], a) != NULL) {
                return true;
            }
        }
    }
    return false;
}

task_annotators *task_annotators_new(const task_model *m, const data_set *set, data_split split)
{
    if (!task_model_ops(m)->of_pixels || data_set_n_annotators(set) < 2 ||
        !anybody_drew(set, split)) {
        return NULL;
    }
    task_annotators *a = fl_xcalloc(1, sizeof *a);
    *a = (task_annotators){.set = set,
                           .index = data_set_split(set, split),
                           .n = data_set_n_split(set, split),
                           .R = data_set_n_annotators(set),
                           .K = task_model_n_scores(m),
                           .n_pixels = data_set_n_pixels(set)};
    a->P = eval_drawn_n_pairs(a->R);
    a->pair = fl_xcalloc(a->n * a->P, a->K * sizeof *a->pair);
    a->model = fl_xcalloc(a->n * a->R, a->K * sizeof *a->model);
    a->consensus = fl_xcalloc(a->n, a->K * sizeof *a->consensus);
    a->patient = fl_xcalloc(a->n, sizeof *a->patient);
    a->vote = fl_xcalloc(a->n_pixels, sizeof *a->vote);
    return a;
}

void task_annotators_destroy(task_annotators **a)
{
    if (*a != NULL) {
        free((*a)->pair);
        free((*a)->model);
        free((*a)->consensus);
        free((*a)->patient);
        free((*a)->vote);
        FL_FREE(*a);
    }
}

static fl_status take(void *ctx, const data_set *set, size_t i, const task_map *map, fl_err *err)
{
    (void)err;
    task_annotators *a = ctx;
    FL_REQUIRE(a->n_taken < a->n && a->index[a->n_taken] == i);
    size_t row = a->n_taken++;
    eval_overlap *pair = a->pair + row * a->P * a->K;
    for (size_t r = 0; r < a->R; r++) {
        const uint8_t *mask = data_set_mask_by(set, i, r);
        eval_overlap_count(a->model + (row * a->R + r) * a->K, map->code, mask, a->n_pixels, a->K);
        for (size_t other = r + 1; other < a->R; other++, pair += a->K) {
            eval_overlap_count(pair, mask, data_set_mask_by(set, i, other), a->n_pixels, a->K);
        }
    }
    bool votes = data_set_vote(a->vote, set, i) >= FEWEST_VOTES;
    eval_overlap_count(a->consensus + row * a->K, map->code, votes ? a->vote : NULL, a->n_pixels,
                       a->K);
    a->patient[row] = data_set_case(set, i).patient_no;
    return FL_OK;
}

task_maps task_annotators_sink(task_annotators *a)
{
    return (task_maps){.ctx = a, .take = take};
}

eval_drawn task_annotators_drawn(const task_annotators *a)
{
    return (eval_drawn){.n = a->n_taken,
                        .n_readers = a->R,
                        .n_classes = a->K,
                        .patient = a->patient,
                        .pair = a->pair,
                        .model = a->model,
                        .consensus = a->consensus};
}

json_t *task_annotators_json(const task_annotators *a, const task_annotators_config *cfg)
{
    enum { NUMBER_BYTES = 24 };
    eval_drawn drawn = task_annotators_drawn(a);
    const char **names = fl_xcalloc(a->R, sizeof *names);
    char(*number)[NUMBER_BYTES] = fl_xcalloc(a->R, sizeof *number);
    for (size_t r = 0; r < a->R; r++) {
        snprintf(number[r], NUMBER_BYTES, "%zu", r + 1);
        names[r] = cfg->numbered ? number[r] : data_set_annotator(a->set, r);
    }
    json_t *json = eval_agreement_json(&drawn, names, cfg->margin, cfg->min_cell, cfg->seed);
    free(number);
    free(names);
    return json;
}
