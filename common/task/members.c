/*
 * members.c - see members.h
 */
#include "task/members.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "eval/uncertainty.h"
#include "task/ops.h"

// --------------------------------------------------------------------- names

fl_status task_members_parse(task_members *out, const char *text, fl_err *err)
{
    static const struct {
        const char *prefix;
        task_members_kind kind;
    } counted[] = {{"mc:", TASK_DROPOUT}, {"tta:", TASK_FLIPS}};
    *out = (task_members){.kind = TASK_ONE, .n = 1};
    if (strcmp(text, "one") == 0) {
        return FL_OK;
    }
    if (strcmp(text, "ensemble") == 0) {
        *out = (task_members){.kind = TASK_ENSEMBLE};
        return FL_OK;
    }
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
        size_t skip = strlen(counted[i].prefix);
        char *end;
        if (strncmp(text, counted[i].prefix, skip) != 0) {
            continue;
        }
        long n = strtol(text + skip, &end, 10);
        if (end != text + skip && *end == '\0' && n >= 2 && n <= TASK_MAX_MEMBERS) {
            *out = (task_members){counted[i].kind, n};
            return FL_OK;
        }
    }
    return fl_fail(err, FL_EUSAGE,
                   "expected mc:N or tta:N (N from 2 to %d), ensemble, or one, found %.40s",
                   TASK_MAX_MEMBERS, text);
}

void task_members_text(char out[static TASK_MEMBERS_BYTES], const task_members *m)
{
    static const char *const names[] = {
        [TASK_ONE] = "one", [TASK_DROPOUT] = "mc", [TASK_FLIPS] = "tta",
        [TASK_ENSEMBLE] = "ensemble"};
    if (m->kind == TASK_ONE) {
        snprintf(out, TASK_MEMBERS_BYTES, "%s", names[m->kind]);
    } else {
        snprintf(out, TASK_MEMBERS_BYTES, "%s:%lld", names[m->kind], (long long)m->n);
    }
}

// --------------------------------------------------------------- turned inputs

/* Turning by the bits of a member's number: width, height, then depth of a volume
 * or, of a square image, both sides swapped. */
typedef struct {
    int64_t size[3];  // depth, rows, cols
    bool is_volume;
} turning;

static turning turning_of(const nn_shape *input)
{
    turning t = {.is_volume = input->rank == 4};
    t.size[0] = t.is_volume ? input->dim[1] : 1;
    t.size[1] = input->dim[input->rank - 2];
    t.size[2] = input->dim[input->rank - 1];
    return t;
}

static int64_t n_turnings(const turning *t)
{
    return t->is_volume || t->size[1] == t->size[2] ? 8 : 4;
}

/* from (pixels): where the turned input's pixels come from. */
static void turn(uint32_t *from, const turning *t, int64_t member)
{
    const int64_t *n = t->size;
    size_t i = 0;
    for (int64_t z = 0; z < n[0]; z++) {
        for (int64_t y = 0; y < n[1]; y++) {
            for (int64_t x = 0; x < n[2]; x++, i++) {
                bool swapped = !t->is_volume && (member & 4);
                int64_t at[3] = {z, swapped ? x : y, swapped ? y : x};
                at[2] = member & 1 ? n[2] - 1 - at[2] : at[2];
                at[1] = member & 2 ? n[1] - 1 - at[1] : at[1];
                at[0] = t->is_volume && (member & 4) ? n[0] - 1 - at[0] : at[0];
                from[i] = (uint32_t)((at[0] * n[1] + at[1]) * n[2] + at[2]);
            }
        }
    }
}

// ------------------------------------------------------------------- the work

/* What predicting a split works with. */
typedef struct {
    task_doubt *out;
    const task_member *models;
    const data_set *set;
    uint64_t seed;
    const task_maps *maps;
    const data_shift *shift;  // NULL: images as they are
    const task_ops *ops;
    const data_spec *spec;
    int64_t L;             // of the model at hand
    bool evidential;
    size_t batch, n_pixels, n_features;
    size_t rows;           // of the batch at hand
    nn_plan **plan;        // one a model
    size_t n_plans;
    turning turning;
    uint32_t *from;        // (n_pixels) flips
    float *x;              // (batch, input...)
    double *member;        // (members, rows, K) not of pixels
    float *target;         // (K) multilabel, regress: of the case at hand
    double *prob;          // (classes, n_pixels) segment: of one member and case
    eval_points *points;   // [batch] segment
    double *entropy, *information, *variance;  // (n_pixels) segment
    uint8_t *code, *moved; // (n_pixels) segment; moved: the truth under a shift
    float *soft[3];        // (n_pixels) segment, for maps: probability, entropy, variance
} work;

/* The batch as the member sees it, turned by from. */
static void show(const work *w, nn_plan *plan, size_t n)
{
    float *to = nn_plan_input(plan, 0);
    if (w->out->members.kind != TASK_FLIPS) {
        memcpy(to, w->x, n * w->n_features * sizeof *to);
        return;
    }
    for (size_t plane = 0; plane < n * w->n_features / w->n_pixels; plane++) {
        const float *x = w->x + plane * w->n_pixels;
        for (size_t i = 0; i < w->n_pixels; i++) {
            to[plane * w->n_pixels + i] = x[w->from[i]];
        }
    }
}

/* One member's answer for case row of the batch. */
static void take_answer(work *w, int64_t member, size_t row, size_t at, const float *logits)
{
    task_doubt *d = w->out;
    double part = 1 / (double)d->members.n;
    size_t n_logits = (size_t)w->L;
    if (!w->ops->of_pixels) {
        size_t K = d->scores.K;
        w->ops->score(w->member + ((size_t)member * w->rows + row) * K, w->spec, w->L, logits,
                      w->evidential);
        if (w->evidential) {
            d->vacuity[at] += part * (double)K / task_evidence(logits, w->L, 1);
        }
        return;
    }
    size_t n = w->n_pixels;
    // The turned image's pixel i is the image's pixel from[i].
    task_segment_probs(w->prob, logits, w->L, n, w->evidential,
                       d->members.kind == TASK_FLIPS ? w->from : NULL);
    eval_points_add(&w->points[row], w->prob);
    for (size_t i = 0; w->evidential && i < n; i++) {
        d->vacuity[at] += part * (double)n_logits / task_evidence(logits + i, w->L, n) / (double)n;
    }
}

/* One pass over the batch. */
static void ask(work *w, int64_t member, size_t from, size_t n)
{
    const task_members *m = &w->out->members;
    size_t of = m->kind == TASK_ENSEMBLE ? (size_t)member : 0;
    nn_plan *plan = w->plan[of];
    w->L = task_model_n_logits(w->models[of].model);
    int64_t HW = w->ops->of_pixels ? (int64_t)w->n_pixels : 1;
    if (m->kind == TASK_FLIPS) {
        turn(w->from, &w->turning, member);
    }
    show(w, plan, n);
    if (m->kind == TASK_DROPOUT) {
        fl_rng rng;
        fl_rng_init(&rng, w->seed, "members", "",
                    (uint64_t)member << 32 | (uint64_t)(from / w->batch));
        nn_plan_sample(plan, w->models[of].params, (int64_t)n, &rng);
    } else {
        nn_plan_forward(plan, w->models[of].params, (int64_t)n);
    }
    const float *logits = nn_plan_output(plan, 0);
    for (size_t row = 0; row < n; row++) {
        take_answer(w, member, row, from + row, logits + (int64_t)row * w->L * HW);
    }
}

static fl_status give_maps(const work *w, size_t at, const eval_points *p, fl_err *err)
{
    for (size_t i = 0; i < w->n_pixels; i++) {
        w->soft[0][i] = (float)(1 - p->mean[i]);
        w->soft[1][i] = (float)w->entropy[i];
        w->soft[2][i] = (float)w->variance[i];
    }
    const task_map map = {w->code, w->soft[0], w->soft[1], w->soft[2]};
    return w->maps->take(w->maps->ctx, w->set, w->out->scores.index[at], &map, err);
}

/* All members have answered for the case. */
static fl_status finish_mask(work *w, size_t row, size_t at, const data_case *c, fl_err *err)
{
    task_doubt *d = w->out;
    eval_points *p = &w->points[row];
    eval_points_case sums;
    eval_points_maps(p, w->entropy, w->information, w->variance);
    eval_points_codes(p, w->code);
    eval_points_sum_up(&sums, p, w->code, w->entropy, w->information, w->variance);
    d->entropy[at] = sums.entropy;
    d->information[at] = sums.information;
    d->variance[at] = sums.variance;
    d->expected[at] = sums.expected_error;
    if (c->mask != NULL) {
        eval_grid g = task_segment_grid(w->spec, c->spacing_mm);
        d->scores.label[at] = 0;
        task_segment_measure(d->scores.seg + at * d->scores.K, w->code, w->spec, c);
        eval_lesions_add(&d->lesions, &d->n_lesions, at, w->code, c->mask, w->entropy, &g);
    }
    return w->maps == NULL ? FL_OK : give_maps(w, at, p, err);
}

static void take_target(const work *w, size_t at, const data_case *c)
{
    task_scores *s = &w->out->scores;
    w->ops->target(w->target, w->spec, w->L, c);
    for (size_t k = 0; k < s->K; k++) {
        s->target[at * s->K + k] = w->target[k];
    }
}

/* Cases from .. from + n - 1 of the split, n <= batch. */
static fl_status predict_batch(work *w, size_t from, size_t n, fl_err *err)
{
    task_doubt *d = w->out;
    task_scores *s = &d->scores;
    size_t M = (size_t)d->members.n;
    w->rows = n;
    if (w->shift == NULL) {
        data_set_batch(w->set, s->index + from, n, w->x);
    } else {
        fl_status st = data_set_batch_shifted(w->set, w->shift, w->seed, s->index + from, n, w->x,
                                              err);
        if (st != FL_OK) {
            return st;
        }
    }
    for (size_t row = 0; w->ops->of_pixels && row < n; row++) {
        eval_points_restart(&w->points[row]);
    }
    for (int64_t m = 0; m < d->members.n; m++) {
        ask(w, m, from, n);
    }
    if (w->ops->join != NULL) {
        w->ops->join(d, from, w->member, M, n);
    }
    for (size_t row = 0; row < n; row++) {
        data_case c = data_set_case(w->set, s->index[from + row]);
        fl_status st = w->shift == NULL ? FL_OK
                                        : data_set_case_shifted(&c, w->set, w->shift, w->seed,
                                                                s->index[from + row], w->moved,
                                                                err);
        if (st != FL_OK) {
            return st;
        }
        s->patient[from + row] = c.patient_no;
        s->label[from + row] = w->spec->task == DATA_CLASSIFY ? c.code : -1;
        if (s->target != NULL) {
            take_target(w, from + row, &c);
        }
        st = w->ops->of_pixels ? finish_mask(w, row, from + row, &c, err) : FL_OK;
        if (st != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

// ------------------------------------------------------------------- its room

static void *room_for(size_t n, size_t size, bool *all, fl_err *err)
{
    void *p = fl_calloc(n > 0 ? n : 1, size, "the members' predictions", err);
    *all = *all && p != NULL;
    return p;
}

static fl_status make_out(work *w, size_t n, fl_err *err)
{
    task_doubt *d = w->out;
    const task_ops *ops = w->ops;
    const struct {
        double **array;
        size_t n;
        bool is_there;
    } rooms[] = {{&d->entropy, n, !ops->of_numbers},
                 {&d->information, n, !ops->of_numbers},
                 {&d->variance, n, ops->of_pixels},
                 {&d->expected, n, ops->of_pixels},
                 {&d->vacuity, n, w->evidential},
                 {&d->spread, n, ops->of_numbers},
                 {&d->entropy_of, n * d->scores.K, ops->of_findings},
                 {&d->information_of, n * d->scores.K, ops->of_findings}};
    bool all = true;
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        if (rooms[i].is_there) {
            *rooms[i].array = room_for(rooms[i].n, sizeof(double), &all, err);
        }
    }
    return all ? FL_OK : FL_ELIMIT;
}

static fl_status make_room(work *w, fl_err *err)
{
    size_t n = w->n_pixels, K = w->out->scores.K;
    bool all = true;
    w->x = room_for(w->batch * w->n_features, sizeof *w->x, &all, err);
    if (w->out->members.kind == TASK_FLIPS) {
        w->from = room_for(n, sizeof *w->from, &all, err);
    }
    if (!w->ops->of_pixels) {
        w->member = room_for((size_t)w->out->members.n * w->batch * K, sizeof *w->member, &all,
                             err);
        w->target = room_for(K, sizeof *w->target, &all, err);
        return all ? FL_OK : FL_ELIMIT;
    }
    w->prob = room_for(n * w->spec->n_classes, sizeof *w->prob, &all, err);
    w->entropy = room_for(n, sizeof *w->entropy, &all, err);
    w->information = room_for(n, sizeof *w->information, &all, err);
    w->variance = room_for(n, sizeof *w->variance, &all, err);
    w->code = room_for(n, sizeof *w->code, &all, err);
    w->moved = room_for(n, sizeof *w->moved, &all, err);
    w->points = room_for(w->batch, sizeof *w->points, &all, err);
    for (int i = 0; i < 3 && w->maps != NULL; i++) {
        w->soft[i] = room_for(n, sizeof *w->soft[i], &all, err);
    }
    for (size_t row = 0; all && row < w->batch; row++) {
        all = eval_points_init(&w->points[row], n, w->spec->n_classes, err) == FL_OK;
    }
    return all ? FL_OK : FL_ELIMIT;
}

static fl_status make_plans(work *w, size_t n_models, int threads, fl_err *err)
{
    const nn_plan_config cfg = {.capacity = (int64_t)w->batch,
                                .sample = w->out->members.kind == TASK_DROPOUT,
                                .precision = NN_FP32,
                                .threads = threads};
    w->plan = fl_xcalloc(n_models, sizeof *w->plan);
    fl_status st = FL_OK;
    for (; w->n_plans < n_models && st == FL_OK; w->n_plans += st == FL_OK) {
        st = nn_plan_new(&w->plan[w->n_plans], task_model_graph(w->models[w->n_plans].model), &cfg,
                         err);
    }
    return st;
}

static void work_clear(work *w)
{
    for (size_t i = 0; i < w->n_plans; i++) {
        nn_plan_destroy(&w->plan[i]);
    }
    for (size_t row = 0; w->points != NULL && row < w->batch; row++) {
        eval_points_clear(&w->points[row]);
    }
    for (int i = 0; i < 3; i++) {
        free(w->soft[i]);
    }
    free(w->plan);
    free(w->points);
    free(w->from);
    free(w->x);
    free(w->member);
    free(w->target);
    free(w->prob);
    free(w->entropy);
    free(w->information);
    free(w->variance);
    free(w->code);
    free(w->moved);
}

// ----------------------------------------------------------------- what fits

static bool same_outputs(const task_model *a, const task_model *b)
{
    const data_spec *x = task_model_spec(a), *y = task_model_spec(b);
    bool same = x->task == y->task && x->n_classes == y->n_classes &&
                x->positive == y->positive && nn_shape_equal(&x->input, &y->input) &&
                task_model_is_evidential(a) == task_model_is_evidential(b);
    for (size_t k = 0; same && k < x->n_classes; k++) {
        same = strcmp(x->classes[k], y->classes[k]) == 0;
    }
    return same;
}

fl_status task_members_check(const task_members *m, const task_model *model, fl_err *err)
{
    const data_spec *spec = task_model_spec(model);
    if (m->kind == TASK_ONE && task_model_ops(model)->of_numbers) {
        return fl_fail(err, FL_ECONFIG, "one: a number alone says nothing of how sure it is; "
                                        "expected mc:N (a model with dropout), tta:N (images) or "
                                        "an ensemble");
    }
    if (m->kind == TASK_DROPOUT && !nn_graph_has(task_model_graph(model), "Dropout")) {
        return fl_fail(err, FL_ECONFIG, "mc: this model holds no Dropout, so every pass would be "
                                        "the same; train it with dropout, or use tta or ensemble");
    }
    if (m->kind == TASK_FLIPS) {
        bool is_image = spec->input.rank >= 3;
        turning t = is_image ? turning_of(&spec->input) : (turning){0};
        if (!is_image || m->n > n_turnings(&t)) {
            return fl_fail(err, FL_ECONFIG, "tta: %s",
                           !is_image              ? "a table cannot be turned"
                           : n_turnings(&t) == 8 ? "a square image or a volume has 8 turnings"
                                                 : "an image that is not square has 4 turnings");
        }
    }
    return FL_OK;
}

/* Also says how many an ensemble has. */
static fl_status check_members(task_members *m, const task_member *models, size_t n_models,
                               fl_err *err)
{
    fl_status st = task_members_check(m, models[0].model, err);
    if (st != FL_OK || m->kind != TASK_ENSEMBLE) {
        return st;
    }
    if (n_models < 2 || n_models > TASK_MAX_MEMBERS) {
        return fl_fail(err, FL_ECONFIG, "an ensemble needs 2 to %d models, found %zu",
                       TASK_MAX_MEMBERS, n_models);
    }
    m->n = (int64_t)n_models;
    for (size_t i = 1; i < n_models; i++) {
        if (!same_outputs(models[0].model, models[i].model)) {
            return fl_fail(err, FL_ECONFIG,
                           "an ensemble's models must have the same input and classes; model %zu "
                           "has others than the first", i + 1);
        }
    }
    return FL_OK;
}

static fl_status doubt_of(task_doubt *out, const task_doubt_subject *of, const data_shift *shift,
                          uint64_t seed, int threads, const task_maps *maps, fl_err *err)
{
    const task_model *first = of->models[0].model;
    const data_set *set = of->set;
    size_t n = data_set_n_split(set, of->split);
    work w = {.out = out, .models = of->models, .set = set, .seed = seed, .maps = maps,
              .shift = shift,
              .ops = task_model_ops(first), .spec = task_model_spec(first),
              .evidential = task_model_is_evidential(first),
              .n_features = data_set_n_features(set)};
    fl_status st;

    *out = (task_doubt){.members = *of->members, .scores = {.loss = NAN}};
    if ((st = check_members(&out->members, of->models, of->n_models, err)) != FL_OK) {
        return st;
    }
    if (n == 0) {
        out->scores.K = task_model_n_scores(first);
        return FL_OK;
    }
    bool is_image = w.spec->input.rank >= 3;
    w.n_pixels = is_image ? data_spec_n_pixels(w.spec) : 1;
    if (is_image) {
        w.turning = turning_of(&w.spec->input);
    }
    if ((st = task_scores_init(&out->scores, first, n, err)) != FL_OK) {
        return st;
    }
    memcpy(out->scores.index, data_set_split(set, of->split), n * sizeof *out->scores.index);
    out->scores.prevalence = data_set_prevalence(set);
    w.batch = task_batch_rows(first, n);
    if ((st = make_out(&w, n, err)) == FL_OK && (st = make_room(&w, err)) == FL_OK) {
        st = make_plans(&w, of->members->kind == TASK_ENSEMBLE ? of->n_models : 1, threads, err);
    }
    for (size_t from = 0; from < n && st == FL_OK; from += w.batch) {
        size_t left = n - from;
        st = predict_batch(&w, from, left < w.batch ? left : w.batch, err);
    }
    work_clear(&w);
    if (st != FL_OK) {
        task_doubt_clear(out);
    }
    return st;
}

fl_status task_doubt_of(task_doubt *out, const task_members *members, const task_member *models,
                        size_t n_models, const data_set *set, data_split split, uint64_t seed,
                        int threads, const task_maps *maps, fl_err *err)
{
    const task_doubt_subject of = {members, models, n_models, set, split};
    return doubt_of(out, &of, NULL, seed, threads, maps, err);
}

fl_status task_doubt_of_shifted(task_doubt *out, const task_doubt_subject *of,
                                const data_shift *chain, uint64_t seed, int threads, fl_err *err)
{
    *out = (task_doubt){.scores = {.loss = NAN}};
    fl_status st = data_shift_check(chain, &task_model_spec(of->models[0].model)->input, err);
    return st == FL_OK ? doubt_of(out, of, chain, seed, threads, NULL, err) : st;
}

void task_doubt_clear(task_doubt *d)
{
    task_scores_clear(&d->scores);
    free(d->entropy);
    free(d->information);
    free(d->variance);
    free(d->expected);
    free(d->vacuity);
    free(d->spread);
    free(d->entropy_of);
    free(d->information_of);
    free(d->lesions);
    *d = (task_doubt){.scores = {.loss = NAN}};
}
