/*
 * test_arena.c - how much memory the steps of a plan share
 *
 * A step must keep what its reverse half needs: the values of the graph, but for
 * views and ReLUs, which are written over what they read.  Everything else lives
 * for a few steps only and finds room where nothing lives yet or any more.
 */
#include "check.h"

#include "model/model.h"
#include "nn/plan.h"

enum { ROWS = 8, BLOCK = 16 };  // the most channels of a block

/* Of a value with its channels in blocks; item: bytes of a number. */
static double bytes_of(const nn_shape *s, double item)
{
    double n = item * ROWS;

    for (int i = 1; i < s->rank; i++) {
        n *= (double)(i == 1 && s->rank > 2 ? (s->dim[i] + BLOCK - 1) / BLOCK * BLOCK : s->dim[i]);
    }
    return n;
}

static bool needs_no_room(const nn_node *node)
{
    static const char *const names[] = {"Relu", "Flatten", "Reshape", "Identity"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(node->op, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * Values that are kept; two gradients of the largest and as much to compute them
 * in; and the weights in the layouts of the primitives.  Winograd's form of a 3x3
 * kernel has 6x6 numbers, four times as many, and stays from the forward to the
 * reverse step.
 */
static double room_for(const nn_graph *g, nn_precision precision)
{
    double item = precision == NN_BF16 ? 2 : 4, kept = 0, largest = 0;
    double weights = 4.0 * (double)nn_table_count(nn_graph_table(g));

    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        double bytes = bytes_of(nn_graph_shape(g, node->out[0]), item);
        kept += needs_no_room(node) ? 0 : bytes;
        largest = fmax(largest, bytes);
    }
    return kept + 4 * largest + (precision == NN_BF16 ? weights : 4 * weights);
}

static void check_model(const char *text, int64_t pixels, nn_precision precision)
{
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    nn_graph *g;
    nn_plan *plan;
    nn_plan_config plan_cfg = {.capacity = ROWS,
                               .train = true,
                               .precision = precision,
                               .threads = 1,
                               .loss = {.kind = NN_LOSS_SOFTMAX_CE}};
    nn_shape input = {4, {NN_BATCH, 1, pixels, pixels}};

    check_ok(model_config_parse(&cfg, text, &err), err);
    check_ok(model_build(&g, &cfg, &(model_io){input, 2}, &err), err);
    check_ok(nn_plan_new(&plan, g, &plan_cfg, &err), err);
    double room = room_for(g, precision), arena = (double)nn_plan_bytes(plan);
    if (arena > room) {
        check_fail("%s in %s: an arena of %.0f bytes, more than %.0f", text,
                   nn_precision_names[precision], arena, room);
    }
    nn_plan_destroy(&plan);
    nn_graph_destroy(&g);
}

static void what_a_step_keeps_and_little_more(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        int64_t pixels;
    } cases[] = {{"resnet18", 28},
                 {"{name: unet, base: 16, depth: 4}", 128},
                 {"{name: attention_unet, base: 16, depth: 3}", 64},
                 {"densenet121", 32}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_model(cases[i].model, cases[i].pixels, NN_FP32);
        if (nn_precision_why_not(NN_BF16) == NULL) {
            check_model(cases[i].model, cases[i].pixels, NN_BF16);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_step_keeps_and_little_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
