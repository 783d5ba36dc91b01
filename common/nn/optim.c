/*
 * optim.c - SGD, Adam and AdamW on the flat vector; see optim.h
 *
 * Each is one pass over the stretches of trainable parameters.
 */
#include "nn/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

typedef struct {
    int64_t offset, count;
} stretch;

struct nn_optim {
    nn_optim_config cfg;
    stretch *stretches;  // trainable ones, neighbours joined
    size_t n_stretches;
    float *first, *second;  // SGD: velocity and nothing; Adam: moments.  (P) each
    int64_t n_steps;
};

void nn_optim_defaults(nn_optim_config *cfg)
{
    *cfg = (nn_optim_config){
        .kind = NN_SGD, .lr = 0.01, .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
}

static void find_stretches(nn_optim *o, const nn_table *table)
{
    o->stretches = fl_xcalloc(nn_table_n(table), sizeof *o->stretches);
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        stretch *last = o->n_stretches > 0 ? &o->stretches[o->n_stretches - 1] : NULL;
        if (!nn_kind_trainable(p->kind)) {
            continue;
        }
        if (last != NULL && last->offset + last->count == p->offset) {
            last->count += p->count;
        } else {
            o->stretches[o->n_stretches++] = (stretch){p->offset, p->count};
        }
    }
}

fl_status nn_optim_new(nn_optim **out, const nn_optim_config *cfg, const nn_table *table,
                       fl_err *err)
{
    bool is_adam = cfg->kind != NN_SGD;
    size_t P = (size_t)nn_table_count(table);

    *out = NULL;
    if (!(cfg->lr > 0) || !(cfg->weight_decay >= 0) || !(cfg->momentum >= 0 && cfg->momentum < 1) ||
        (is_adam && !(cfg->beta1 >= 0 && cfg->beta1 < 1 && cfg->beta2 >= 0 && cfg->beta2 < 1 &&
                      cfg->eps > 0))) {
        return fl_fail(err, FL_ECONFIG,
                       "optimiser: lr and eps must be above 0, weight_decay at least 0, "
                       "momentum and betas in [0, 1)");
    }
    if (cfg->nesterov && cfg->momentum == 0) {
        return fl_fail(err, FL_ECONFIG, "optimiser: nesterov needs momentum above 0");
    }
    nn_optim *o = fl_xcalloc(1, sizeof *o);
    o->cfg = *cfg;
    find_stretches(o, table);
    if (is_adam || cfg->momentum > 0) {
        o->first = fl_calloc_aligned(P, sizeof(float), "the optimiser's state", err);
        o->second = is_adam ? fl_calloc_aligned(P, sizeof(float), "the optimiser's state", err)
                            : NULL;
        if (o->first == NULL || (is_adam && o->second == NULL)) {
            nn_optim_destroy(&o);
            return FL_ELIMIT;
        }
    }
    *out = o;
    return FL_OK;
}

void nn_optim_destroy(nn_optim **o)
{
    if (*o != NULL) {
        free((*o)->stretches);
        free((*o)->first);
        free((*o)->second);
        FL_FREE(*o);
    }
}

/* Scales the trainable gradient down to an L2 norm of at most clip_norm, as
 * torch.nn.utils.clip_grad_norm_. */
static void clip(const nn_optim *o, float *grad)
{
    double square = 0;

    for (size_t i = 0; i < o->n_stretches; i++) {
        const float *g = grad + o->stretches[i].offset;
        square += nn_vec_dot(g, g, o->stretches[i].count);
    }
    double scale = o->cfg.clip_norm / (sqrt(square) + 1e-6);
    for (size_t i = 0; scale < 1 && i < o->n_stretches; i++) {
        nn_vec_scale(grad + o->stretches[i].offset, (float)scale, o->stretches[i].count);
    }
}

/* g = grad + decay p;  v = m v + g;  p -= lr (nesterov ? g + m v : v) */
static void sgd(const nn_optim_config *cfg, float *restrict p, const float *restrict grad,
                float *restrict v, int64_t n, float lr)
{
    float m = (float)cfg->momentum, decay = (float)cfg->weight_decay;

    if (v == NULL) {
        for (int64_t i = 0; i < n; i++) {
            p[i] -= lr * (grad[i] + decay * p[i]);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i] + decay * p[i];
        v[i] = m * v[i] + g;
        p[i] -= lr * (cfg->nesterov ? g + m * v[i] : v[i]);
    }
}

/* Kingma & Ba 2015, algorithm 1; decay into the gradient (Adam) or straight
 * off the parameter (AdamW). */
static void adam(const nn_optim_config *cfg, float *restrict p, const float *restrict grad,
                 float *restrict m1, float *restrict m2, int64_t n, double lr, int64_t t)
{
    float b1 = (float)cfg->beta1, b2 = (float)cfg->beta2, eps = (float)cfg->eps;
    float c1 = (float)(1 - cfg->beta1), c2 = (float)(1 - cfg->beta2);
    float step = (float)(lr / (1 - pow(cfg->beta1, (double)t)));
    float correct2 = (float)sqrt(1 - pow(cfg->beta2, (double)t));
    float decay = cfg->kind == NN_ADAM ? (float)cfg->weight_decay : 0;
    float shrink = cfg->kind == NN_ADAMW ? (float)(1 - lr * cfg->weight_decay) : 1;

    for (int64_t i = 0; i < n; i++) {
        float x = p[i] * shrink, g = grad[i] + decay * x;
        m1[i] = b1 * m1[i] + c1 * g;
        m2[i] = b2 * m2[i] + c2 * g * g;
        p[i] = x - step * m1[i] / (sqrtf(m2[i]) / correct2 + eps);
    }
}

void nn_optim_step(nn_optim *o, float *params, float *grad, double lr_scale)
{
    double lr = o->cfg.lr * lr_scale;

    o->n_steps++;
    if (o->cfg.clip_norm > 0) {
        clip(o, grad);
    }
    for (size_t i = 0; i < o->n_stretches; i++) {
        int64_t at = o->stretches[i].offset, n = o->stretches[i].count;
        if (o->cfg.kind == NN_SGD) {
            sgd(&o->cfg, params + at, grad + at, o->first == NULL ? NULL : o->first + at, n,
                (float)lr);
        } else {
            adam(&o->cfg, params + at, grad + at, o->first + at, o->second + at, n, lr, o->n_steps);
        }
    }
}

bool nn_schedule_set_drops(nn_schedule *s, const double *at, size_t n)
{
    bool increases = n >= 1 && n <= NN_MAX_DROPS && at[0] > 0;

    for (size_t i = 1; i < n && increases; i++) {
        increases = at[i] > at[i - 1];
    }
    if (increases) {
        memcpy(s->drops, at, n * sizeof *at);
        s->n_drops = (int)n;
    }
    return increases;
}

/* How often the rate has dropped. */
static double n_drops(const nn_schedule *s, double at)
{
    int n = 0;

    if (s->n_drops == 0) {
        return floor(at / s->length);
    }
    while (n < s->n_drops && at >= s->drops[n]) {
        n++;
    }
    return n;
}

double nn_schedule_scale(const nn_schedule *s, double at)
{
    const double pi = 3.14159265358979323846;
    double scale = at < s->warmup ? at / s->warmup : 1;

    switch (s->kind) {
    case NN_STEP:
        return scale * pow(s->factor, n_drops(s, at));
    case NN_COSINE:
        return at >= s->length ? 0 : scale * (1 + cos(pi * at / s->length)) / 2;
    default:
        return scale;
    }
}

void nn_optim_average(float *average, const float *params, const nn_table *table, double decay)
{
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        float keep = nn_kind_trainable(p->kind) ? (float)decay : 0;
        for (int64_t k = p->offset; k < p->offset + p->count; k++) {
            average[k] = params[k] + keep * (average[k] - params[k]);
        }
    }
}
