/*
 * grad_check.c - see grad_check.h
 */
#include "grad_check.h"

#include "check.h"
#include "nn/plan.h"
#include "nn/ref.h"

enum { MOST_DIFFERENCES = 12 };  // finite differences taken of one parameter
static const double step = 1e-5;

typedef struct {
    const nn_graph *g;
    nn_value input, output;
    int64_t N, n_in, n_out, P;
    float *x, *target;  // (n_in), (n_out)
    nn_params params;
    double *grad;  // (P), by the plain loops
} problem;

static void problem_init(problem *p, const nn_graph *g, int64_t N)
{
    fl_err err = FL_ERR_INIT;
    fl_rng rng;

    p->g = g;
    p->input = nn_graph_input_at(g, 0);
    p->output = nn_graph_output_at(g, 0);
    p->N = N;
    p->n_in = nn_shape_count(nn_graph_shape(g, p->input), N);
    p->n_out = nn_shape_count(nn_graph_shape(g, p->output), N);
    p->P = nn_table_count(nn_graph_table(g));
    p->x = fl_xcalloc((size_t)p->n_in, sizeof *p->x);
    p->target = fl_xcalloc((size_t)p->n_out, sizeof *p->target);
    p->grad = fl_xcalloc((size_t)p->P, sizeof *p->grad);
    check_ok(nn_params_init(&p->params, nn_graph_table(g), &err), err);
    nn_graph_init(g, p->params.data, 7);
    fl_rng_init(&rng, 7, "grad_check", "", 0);
    for (int64_t i = 0; i < p->n_in; i++) {
        p->x[i] = (float)fl_rng_normal(&rng);
    }
    for (int64_t i = 0; i < p->n_out; i++) {
        p->target[i] = (float)fl_rng_normal(&rng);
    }
    for (size_t i = 0; i < nn_table_n(nn_graph_table(g)); i++) {  // away from 0 and 1
        const nn_param *param = nn_table_at(nn_graph_table(g), i);
        for (int64_t k = 0; param->kind == NN_NORM && k < param->count; k++) {
            p->params.data[param->offset + k] += (float)fl_rng_range(&rng, -0.5, 0.5);
        }
    }
}

static void problem_clear(problem *p)
{
    free(p->x);
    free(p->target);
    free(p->grad);
    nn_params_clear(&p->params);
}

static nn_ref *new_ref(const problem *p, bool train)
{
    nn_ref *r = nn_ref_new(p->g, p->N, train);

    nn_ref_set_params(r, p->params.data);
    for (int64_t i = 0; i < p->n_in; i++) {
        nn_ref_value(r, p->input)[i] = p->x[i];
    }
    return r;
}

/* mean (y - t)^2, and its gradient when dy is not NULL. */
static double loss_of(const problem *p, const double *y, double *dy)
{
    double loss = 0;

    for (int64_t i = 0; i < p->n_out; i++) {
        double e = y[i] - p->target[i];
        loss += e * e / (double)p->n_out;
        if (dy != NULL) {
            dy[i] = 2 * e / (double)p->n_out;
        }
    }
    return loss;
}

static double ref_loss(const problem *p, nn_ref *r)
{
    fl_rng rng;

    fl_rng_init(&rng, 7, "dropout", "", 0);
    nn_ref_forward(r, &rng);
    return loss_of(p, nn_ref_value(r, p->output), NULL);
}

static double largest_of(const double *x, int64_t n)
{
    double largest = 0;

    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(x[i]));
    }
    return largest;
}

static void check_differences(const problem *p, nn_ref *r)
{
    for (nn_value v = 0; v < (nn_value)nn_graph_n_values(p->g); v++) {
        int64_t index = nn_graph_param_index(p->g, v);
        const nn_param *param = index < 0 ? NULL : nn_table_at(nn_graph_table(p->g), (size_t)index);
        if (param == NULL || !nn_kind_trainable(param->kind)) {
            continue;
        }
        const double *grad = p->grad + param->offset;
        double largest = largest_of(grad, param->count);
        int64_t stride = param->count / MOST_DIFFERENCES + 1;
        for (int64_t i = 0; i < param->count; i += stride) {
            double *x = &nn_ref_value(r, v)[i], before = *x;
            *x = before + step;
            double above = ref_loss(p, r);
            *x = before - step;
            double below = ref_loss(p, r);
            *x = before;
            double difference = (above - below) / (2 * step);
            if (fabs(difference - grad[i]) > 1e-6 * largest + 1e-10) {
                check_fail("%s[%lld]: plain loops say %g, finite differences %g", param->name,
                           (long long)i, grad[i], difference);
            }
        }
    }
}

/* The absolute part is for gradients that are 0 but for rounding, as that of a
 * bias in front of batch normalisation. */
static void check_close(const char *what, const float *got, const double *wanted, int64_t n,
                        double tolerance)
{
    double largest = largest_of(wanted, n);

    for (int64_t i = 0; i < n; i++) {
        if (!(fabs(got[i] - wanted[i]) <= tolerance * largest + 1e-6)) {
            check_fail("%s[%lld]: the plan says %g, the plain loops %g (largest %g)", what,
                       (long long)i, (double)got[i], wanted[i], largest);
        }
    }
}

static nn_plan *new_plan(const problem *p, nn_precision precision, bool train, int threads)
{
    nn_plan *plan;
    fl_err err = FL_ERR_INIT;
    nn_plan_config cfg = {.capacity = p->N,
                          .train = train,
                          .precision = precision,
                          .threads = threads,
                          .loss = {.kind = NN_LOSS_MSE}};

    check_ok(nn_plan_new(&plan, p->g, &cfg, &err), err);
    memcpy(nn_plan_input(plan, 0), p->x, (size_t)p->n_in * sizeof *p->x);
    return plan;
}

/* One step of a training plan against a pass of the plain loops. */
static void check_training(problem *p, nn_ref *r, const grad_check_config *cfg)
{
    nn_plan *plan = new_plan(p, NN_FP32, true, cfg->threads);
    float *grad = fl_xcalloc((size_t)p->P, sizeof *grad);
    fl_rng rng;

    memcpy(nn_plan_target(plan), p->target, (size_t)p->n_out * sizeof *p->target);
    fl_rng_init(&rng, 7, "dropout", "", 0);
    double loss = nn_plan_step(plan, p->params.data, grad, p->N, &rng);
    check_near(loss, loss_of(p, nn_ref_value(r, p->output), NULL), cfg->tolerance * (1 + loss));
    check_close("output", nn_plan_output(plan, 0), nn_ref_value(r, p->output), p->n_out,
                cfg->tolerance);
    for (nn_value v = 0; v < (nn_value)nn_graph_n_values(p->g); v++) {
        int64_t index = nn_graph_param_index(p->g, v);
        const nn_param *param = index < 0 ? NULL : nn_table_at(nn_graph_table(p->g), (size_t)index);
        if (param != NULL && param->kind == NN_STAT) {
            check_close(param->name, p->params.data + param->offset, nn_ref_value(r, v),
                        param->count, cfg->tolerance);
        } else if (param != NULL) {
            check_close(param->name, grad + param->offset, p->grad + param->offset, param->count,
                        cfg->tolerance);
        }
    }
    free(grad);
    nn_plan_destroy(&plan);
}

static void check_inference(const problem *p, const grad_check_config *cfg)
{
    nn_plan *plan = new_plan(p, NN_FP32, false, cfg->threads);
    nn_ref *r = new_ref(p, false);

    nn_ref_forward(r, NULL);
    nn_plan_forward(plan, p->params.data, p->N);
    check_close("inference", nn_plan_output(plan, 0), nn_ref_value(r, p->output), p->n_out,
                cfg->tolerance);
    nn_ref_destroy(&r);
    nn_plan_destroy(&plan);
}

static double norm_of(const double *x, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    return sqrt(sum);
}

/* As check_close, but by the norm of the difference; floor: what it may be anyway. */
static void check_alike(const char *what, const float *got, const double *wanted, int64_t n,
                        double tolerance, double floor)
{
    double apart = 0, norm = norm_of(wanted, n);

    for (int64_t i = 0; i < n; i++) {
        apart += (got[i] - wanted[i]) * (got[i] - wanted[i]);
    }
    if (!(sqrt(apart) <= tolerance * norm + floor)) {
        check_fail("%s: the bf16 plan is %g apart from the plain loops, whose norm is %g", what,
                   sqrt(apart), norm);
    }
}

/*
 * bfloat16 rounds to 2^-9, each number by itself, so results are some 2^-8 of
 * their norm apart.  Gradients that are 0 in exact arithmetic, as that of a
 * bias in front of batch normalisation, are sums of such errors.
 */
static const double bf16_tolerance = 0x1p-6, bf16_floor = 0x1p-8;

/*
 * Where a graph chooses (the largest of a window, the sign for a ReLU), rounding
 * lets it choose another of two that are nearly equal, and a gradient goes
 * elsewhere: one in a few dozen on graphs as small as these.
 */
static const double bf16_choice_tolerance = 0x1p-2;

static bool chooses(const nn_graph *g)
{
    static const char *const names[] = {"MaxPool", "Relu", "Min", "Max", "ReduceMax"};

    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            if (strcmp(nn_graph_node(g, i)->op, names[k]) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* One step with mixed precision; leaves the parameters as they were. */
static void check_bf16_training(problem *p, nn_ref *r, const grad_check_config *cfg)
{
    nn_plan *plan = new_plan(p, NN_BF16, true, cfg->threads);
    float *grad = fl_xcalloc((size_t)p->P, sizeof *grad);
    float *before = fl_xcalloc((size_t)p->P, sizeof *before);
    double tolerance = chooses(p->g) ? bf16_choice_tolerance : bf16_tolerance;
    double floor = bf16_floor * norm_of(p->grad, p->P) + 1e-6;
    fl_rng rng;

    nn_vec_copy(before, p->params.data, p->P);
    memcpy(nn_plan_target(plan), p->target, (size_t)p->n_out * sizeof *p->target);
    fl_rng_init(&rng, 7, "dropout", "", 0);
    nn_plan_step(plan, p->params.data, grad, p->N, &rng);
    check_alike("output", nn_plan_output(plan, 0), nn_ref_value(r, p->output), p->n_out,
                bf16_tolerance, 1e-6);
    for (nn_value v = 0; v < (nn_value)nn_graph_n_values(p->g); v++) {
        int64_t index = nn_graph_param_index(p->g, v);
        const nn_param *param = index < 0 ? NULL : nn_table_at(nn_graph_table(p->g), (size_t)index);
        if (param != NULL && param->kind == NN_STAT) {
            check_alike(param->name, p->params.data + param->offset, nn_ref_value(r, v),
                        param->count, bf16_tolerance, 1e-3);
        } else if (param != NULL) {
            check_alike(param->name, grad + param->offset, p->grad + param->offset, param->count,
                        tolerance, floor);
        }
    }
    nn_vec_copy(p->params.data, before, p->P);
    free(grad);
    free(before);
    nn_plan_destroy(&plan);
}

static void check_bf16_inference(const problem *p, const grad_check_config *cfg)
{
    nn_plan *plan = new_plan(p, NN_BF16, false, cfg->threads);
    nn_ref *r = new_ref(p, false);

    nn_ref_forward(r, NULL);
    nn_plan_forward(plan, p->params.data, p->N);
    check_alike("inference", nn_plan_output(plan, 0), nn_ref_value(r, p->output), p->n_out,
                bf16_tolerance, 1e-6);
    nn_ref_destroy(&r);
    nn_plan_destroy(&plan);
}

void grad_check(const nn_graph *g, const grad_check_config *cfg)
{
    problem p;

    problem_init(&p, g, cfg->N);
    check_inference(&p, cfg);
    nn_ref *r = new_ref(&p, true);
    ref_loss(&p, r);
    loss_of(&p, nn_ref_value(r, p.output), nn_ref_grad(r, p.output));
    nn_ref_backward(r);
    nn_ref_get_param_grads(r, p.grad);
    if (nn_precision_why_not(NN_BF16) == NULL) {
        check_bf16_inference(&p, cfg);
        check_bf16_training(&p, r, cfg);
    }
    check_training(&p, r, cfg);
    check_differences(&p, r);
    nn_ref_destroy(&r);
    problem_clear(&p);
}
