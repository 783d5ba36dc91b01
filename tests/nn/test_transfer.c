/*
 * test_transfer.c - frozen parameters, blocks, and networks that get another end
 */
#include "check.h"
#include "nn/optim.h"
#include "nn/plan.h"
#include "nn/transfer.h"

enum { ROWS = 4, P_MAX = 4096 };

/* A residual network in small, named as torchvision's. */
static nn_graph *new_net(void)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("net");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, 1, 6, 6}}), y;

    x = nn_relu(g, nn_batch_norm(g, "bn1", nn_conv(g, "conv1", x, 4, 3, 1, 1)));
    y = nn_relu(g, nn_batch_norm(g, "layer1.0.bn1", nn_conv(g, "layer1.0.conv1", x, 4, 3, 1, 1)));
    x = nn_relu(g, nn_add(g, x, nn_conv(g, "layer1.0.conv2", y, 4, 3, 1, 1)));
    x = nn_relu(g, nn_batch_norm(g, "layer1.1.bn1", nn_conv(g, "layer1.1.conv1", x, 4, 3, 1, 1)));
    x = nn_flatten(g, nn_global_average_pool(g, x));
    nn_graph_output(g, "logits", nn_gemm(g, "fc", x, 3));
    check_ok(nn_graph_finish(g, &err), err);
    return g;
}

static void freeze(nn_graph *g, const char *pattern, int64_t train_last)
{
    fl_err err = FL_ERR_INIT;

    check_ok(nn_transfer_freeze(g, &pattern, pattern != NULL ? 1 : 0, train_last, &err), err);
}

static char *blocks(const nn_graph *g, bool trained)
{
    fl_buf out = FL_BUF_INIT;

    nn_transfer_blocks(&out, g, trained);
    return fl_buf_take(&out);
}

static void check_blocks(const nn_graph *g, const char *trained, const char *frozen)
{
    char *now = blocks(g, true);

    check_str(now, trained);
    free(now);
    now = blocks(g, false);
    check_str(now, frozen);
    free(now);
}

static void the_last_blocks_are_trained(void **state)
{
    (void)state;
    nn_graph *g = new_net();
    check_blocks(g, "conv1 bn1 layer1.0 layer1.1 fc", "");
    freeze(g, NULL, 2);
    check_blocks(g, "layer1.1 fc", "conv1 bn1 layer1.0");
    const nn_table *t = nn_graph_table(g);
    check_int(nn_table_find(t, "layer1.0.conv2.weight")->kind, NN_FROZEN);
    check_int(nn_table_find(t, "layer1.0.bn1.bias")->kind, NN_FROZEN);
    check_int(nn_table_find(t, "layer1.0.bn1.running_mean")->kind, NN_STAT);
    check_int(nn_table_find(t, "layer1.1.conv1.weight")->kind, NN_WEIGHT);
    nn_graph_destroy(&g);
}

static void patterns_freeze_by_name(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_graph *g = new_net();
    freeze(g, "*1.bias", 0);  // conv1's, bn1's ... but no fc's
    check_int(nn_table_find(nn_graph_table(g), "conv1.bias")->kind, NN_FROZEN);
    check_int(nn_table_find(nn_graph_table(g), "conv1.weight")->kind, NN_WEIGHT);
    check_int(nn_table_find(nn_graph_table(g), "fc.bias")->kind, NN_BIAS);
    check_fails(nn_transfer_freeze(g, (const char *[]){"conv7*"}, 1, 0, &err), FL_ECONFIG);
    check_has(err.text, "no parameter matches conv7*");
    check_fails(nn_transfer_freeze(g, (const char *[]){"*"}, 1, 0, &err), FL_ECONFIG);
    check_has(err.text, "nothing would be left");
    check_fails(nn_transfer_freeze(g, NULL, 0, 6, &err), FL_ECONFIG);
    check_has(err.text, "5 blocks");
    nn_graph_destroy(&g);
}

/* A plan with an input that is always the same. */
static nn_plan *new_plan(const nn_graph *g, bool train)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *p;
    nn_plan_config cfg = {
        .capacity = ROWS, .train = train, .threads = 1, .loss = {.kind = NN_LOSS_MSE}};
    fl_rng rng;

    check_ok(nn_plan_new(&p, g, &cfg, &err), err);
    fl_rng_init(&rng, 1, "input", "", 0);
    for (int i = 0; i < ROWS * 36; i++) {
        nn_plan_input(p, 0)[i] = (float)fl_rng_normal(&rng);
    }
    return p;
}

static void start(const nn_graph *g, float *params)
{
    fl_rng rng;

    check(nn_table_count(nn_graph_table(g)) <= P_MAX);
    nn_graph_init(g, params, 3);
    fl_rng_init(&rng, 1, "statistics", "", 0);
    for (size_t i = 0; i < nn_table_n(nn_graph_table(g)); i++) {
        const nn_param *p = nn_table_at(nn_graph_table(g), i);
        for (int64_t k = 0; p->kind == NN_STAT && k < p->count; k++) {
            params[p->offset + k] = (float)fl_rng_range(&rng, 0.3, 1.2);
        }
    }
}

static void a_frozen_part_does_not_move(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_graph *g = new_net();
    freeze(g, NULL, 2);
    const nn_table *t = nn_graph_table(g);
    float params[P_MAX], before[P_MAX], grad[P_MAX];
    nn_plan *p = new_plan(g, true);
    nn_optim_config cfg;
    nn_optim *o;
    nn_optim_defaults(&cfg);
    cfg.weight_decay = 0.1;
    start(g, params);
    memcpy(before, params, sizeof before);
    check_ok(nn_optim_new(&o, &cfg, t, &err), err);
    for (int step = 0; step < 5; step++) {
        nn_plan_step(p, params, grad, step == 2 ? ROWS - 1 : ROWS, NULL);
        nn_optim_step(o, params, grad, 1);
    }
    for (size_t i = 0; i < nn_table_n(t); i++) {
        const nn_param *q = nn_table_at(t, i);
        bool moved = memcmp(params + q->offset, before + q->offset,
                            (size_t)q->count * sizeof *params) != 0;
        bool should = strncmp(q->name, "layer1.1", 8) == 0 || strncmp(q->name, "fc", 2) == 0;
        if (moved != should) {
            fail_msg("%s %s", q->name, moved ? "moved" : "did not move");
        }
    }
    nn_optim_destroy(&o);
    nn_plan_destroy(&p);
    nn_graph_destroy(&g);
}

/* All norms frozen: training sees the function that inference does. */
static void a_frozen_norm_uses_its_running_statistics(void **state)
{
    (void)state;
    nn_graph *g = new_net();
    freeze(g, "*bn1.*", 0);
    float params[P_MAX];
    start(g, params);
    nn_plan *train = new_plan(g, true), *use = new_plan(g, false);
    nn_plan_forward(train, params, ROWS);
    nn_plan_forward(use, params, ROWS);
    for (int i = 0; i < ROWS * 3; i++) {
        check_near(nn_plan_output(train, 0)[i], nn_plan_output(use, 0)[i], 1e-6);
    }
    nn_plan_destroy(&train);
    nn_plan_destroy(&use);
    nn_graph_destroy(&g);
}

/* Through frozen norms the gradient still reaches what lies below. */
static void the_gradient_passes_a_frozen_norm(void **state)
{
    (void)state;
    nn_graph *g = new_net();
    freeze(g, "*bn1.*", 0);
    float params[P_MAX], grad[P_MAX], ignored[P_MAX];
    start(g, params);
    nn_plan *p = new_plan(g, true);
    nn_plan_step(p, params, grad, ROWS, NULL);
    static const char *const names[] = {"conv1.weight", "layer1.0.conv1.weight", "fc.weight"};
    for (size_t i = 0; i < 3; i++) {
        const nn_param *q = nn_table_find(nn_graph_table(g), names[i]);
        for (int64_t k = q->offset; k < q->offset + 8; k++) {
            float at = params[k], h = 1e-2f;
            params[k] = at + h;
            double above = nn_plan_step(p, params, ignored, ROWS, NULL);
            params[k] = at - h;
            double below = nn_plan_step(p, params, ignored, ROWS, NULL);
            params[k] = at;
            check_near(grad[k], (above - below) / (2 * (double)h), 2e-3);  // h^2, a kink of ReLU
        }
    }
    nn_plan_destroy(&p);
    nn_graph_destroy(&g);
}

static void check_cut(const char *after, const char *shape, const char *left)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g = new_net();
    nn_value x;
    char text[128];

    check_ok(nn_transfer_find(&x, g, after, &err), err);
    nn_shape_text(text, sizeof text, nn_graph_shape(g, x));
    check_str(text, shape);
    nn_graph_reopen(g);
    x = nn_graph_shape(g, x)->rank > 2 ? nn_flatten(g, nn_global_average_pool(g, x)) : x;
    nn_graph_output(g, "logits", nn_gemm(g, "head", x, 5));
    check_ok(nn_graph_finish(g, &err), err);
    check_blocks(g, left, "");
    nn_plan *p = new_plan(g, true);
    float params[P_MAX], grad[P_MAX];
    start(g, params);
    check(isfinite(nn_plan_step(p, params, grad, ROWS, NULL)));
    nn_plan_destroy(&p);
    nn_graph_destroy(&g);
}

static void a_network_is_cut_behind_a_layer_or_a_block(void **state)
{
    (void)state;
    check_cut("layer1", "Nx4", "conv1 bn1 layer1.0 layer1.1 head");
    check_cut("layer1.0", "Nx4x6x6", "conv1 bn1 layer1.0 head");
    check_cut("bn1", "Nx4x6x6", "conv1 bn1 head");
    check_cut("conv1", "Nx4x6x6", "conv1 head");
    fl_err err = FL_ERR_INIT;
    nn_graph *g = new_net();
    nn_value x;
    check_fails(nn_transfer_find(&x, g, "layer9", &err), FL_ECONFIG);
    check_has(err.text, "called layer9");
    nn_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_blocks_are_trained),
        cmocka_unit_test(patterns_freeze_by_name),
        cmocka_unit_test(a_frozen_part_does_not_move),
        cmocka_unit_test(a_frozen_norm_uses_its_running_statistics),
        cmocka_unit_test(the_gradient_passes_a_frozen_norm),
        cmocka_unit_test(a_network_is_cut_behind_a_layer_or_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
