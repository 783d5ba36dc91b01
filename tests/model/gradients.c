/*
 * gradients.c - see gradients.h
 */
#include "gradients.h"

#include "check.h"
#include "formula.h"
#include "nn/plan.h"
#include "nn/ref.h"
#include "nn/transfer.h"

enum { N = 4 };

/* Of the size of a parameter.  Rounding leaves some 1e-14 of the loss, 1e-6 of the
 * difference; a larger step would carry some of a hundred thousand ReLUs across 0. */
static const double step = 1e-8, difference_tolerance = 1e-4;

typedef struct {
    const nn_graph *g;
    nn_value input, output;
    int64_t n_in, n_out, P;
    float *params, *direction, *grad;  // (P)
    double *ref_grad;                  // (P)
} problem;

static float input_at(int64_t i)
{
    return formula_value(1, (uint64_t)i);
}

static float target_at(int64_t i)
{
    return formula_value(2, (uint64_t)i);
}

static void problem_init(problem *p, const nn_graph *g)
{
    p->g = g;
    p->input = nn_graph_input_at(g, 0);
    p->output = nn_graph_output_at(g, 0);
    p->n_in = nn_shape_count(nn_graph_shape(g, p->input), N);
    p->n_out = nn_shape_count(nn_graph_shape(g, p->output), N);
    p->P = nn_table_count(nn_graph_table(g));
    p->params = fl_xcalloc((size_t)p->P, sizeof *p->params);
    p->direction = fl_xcalloc((size_t)p->P, sizeof *p->direction);
    p->grad = fl_xcalloc((size_t)p->P, sizeof *p->grad);
    p->ref_grad = fl_xcalloc((size_t)p->P, sizeof *p->ref_grad);
    formula_parameters(p->params, nn_graph_table(g));
    for (size_t i = 0; i < nn_table_n(nn_graph_table(g)); i++) {
        const nn_param *param = nn_table_at(nn_graph_table(g), i);
        float size = param->shape.rank > 1 ? sqrtf((float)param->shape.dim[0] / (float)param->count)
                                           : 0.1f;
        for (int64_t k = 0; k < param->count && nn_kind_trainable(param->kind); k++) {
            int64_t at = param->offset + k;
            p->direction[at] = size * formula_value(3, (uint64_t)at);
        }
    }
}

static void problem_clear(problem *p)
{
    free(p->params);
    free(p->direction);
    free(p->grad);
    free(p->ref_grad);
}

/* mean (y - target)^2 at params + by direction; with the gradient when by is 0. */
static double ref_loss(problem *p, double by)
{
    nn_ref *r = nn_ref_new(p->g, N, true);
    double loss = 0;

    for (nn_value v = 0; v < (nn_value)nn_graph_n_values(p->g); v++) {
        int64_t index = nn_graph_param_index(p->g, v);
        const nn_param *param = index < 0 ? NULL : nn_table_at(nn_graph_table(p->g), (size_t)index);
        for (int64_t k = 0; param != NULL && k < param->count; k++) {
            nn_ref_value(r, v)[k] = (double)p->params[param->offset + k] +
                                    by * (double)p->direction[param->offset + k];
        }
    }
    for (int64_t i = 0; i < p->n_in; i++) {
        nn_ref_value(r, p->input)[i] = input_at(i);
    }
    nn_ref_forward(r, NULL);
    for (int64_t i = 0; i < p->n_out; i++) {
        double e = nn_ref_value(r, p->output)[i] - target_at(i);
        loss += e * e / (double)p->n_out;
        nn_ref_grad(r, p->output)[i] = 2 * e / (double)p->n_out;
    }
    if (by == 0) {
        nn_ref_backward(r);
        nn_ref_get_param_grads(r, p->ref_grad);
    }
    nn_ref_destroy(&r);
    return loss;
}

static void check_difference(const char *model, problem *p)
{
    double along = 0, size = 0;
    double difference = (ref_loss(p, step) - ref_loss(p, -step)) / (2 * step);

    for (int64_t i = 0; i < p->P; i++) {
        double part = p->ref_grad[i] * (double)p->direction[i];
        along += part;
        size += part * part;
    }
    if (!(fabs(difference - along) <= difference_tolerance * sqrt(size))) {
        check_fail("%s: along the direction plain loops say %.9g, differences %.9g", model, along,
                   difference);
    }
}

static void check_plan(const char *model, problem *p, double wanted, double tolerance)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    nn_plan_config cfg = {
        .capacity = N, .train = true, .threads = 1, .loss = {.kind = NN_LOSS_MSE}};
    double apart = 0, size = 0;

    check_ok(nn_plan_new(&plan, p->g, &cfg, &err), err);
    for (int64_t i = 0; i < p->n_in; i++) {
        nn_plan_input(plan, 0)[i] = input_at(i);
    }
    for (int64_t i = 0; i < p->n_out; i++) {
        nn_plan_target(plan)[i] = target_at(i);
    }
    double loss = nn_plan_step(plan, p->params, p->grad, N, NULL);
    check_near(loss, wanted, 1e-4 * wanted);
    for (int64_t i = 0; i < p->P; i++) {
        double e = (double)p->grad[i] - p->ref_grad[i];
        apart += e * e;
        size += p->ref_grad[i] * p->ref_grad[i];
    }
    if (!(size > 0 && sqrt(apart / size) <= tolerance)) {
        check_fail("%s: the plan's gradient is %.3g of its size away from the plain loops'", model,
                   sqrt(apart / size));
    }
    nn_plan_destroy(&plan);
}

/* Takes g. */
static void check_graph(const char *name, nn_graph *g, double tolerance)
{
    problem p;

    problem_init(&p, g);
    double loss = ref_loss(&p, 0);
    check_difference(name, &p);
    check_plan(name, &p, loss, tolerance);
    problem_clear(&p);
    nn_graph_destroy(&g);
}

void gradients_check(const char *model, nn_shape input, double tolerance)
{
    check_graph(model, formula_build(model, &input, 2), tolerance);
}

void gradients_check_until(const char *model, const char *last, nn_shape input, double tolerance)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g = formula_build(model, &input, 2);
    nn_value x;

    check_ok(nn_transfer_find(&x, g, last, &err), err);
    nn_graph_reopen(g);
    x = nn_flatten(g, nn_global_average_pool(g, x));
    nn_graph_output(g, "logits", nn_gemm(g, "head", x, 2));
    check_ok(nn_graph_finish(g, &err), err);
    check_graph(last, g, tolerance);
}
