/*
 * fuzz_onnx.c - bytes that are read as a model; small ones are trained a step
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ckpt/ckpt.h"
#include "nn/plan.h"

enum { MAX_NUMBERS = 1 << 16, MAX_NODES = 64 };  // of a value; what is larger is only read
#define MAX_MACS 10000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_small(const nn_graph *g)
{
    if (nn_graph_macs(g) > MAX_MACS || nn_graph_n_nodes(g) > MAX_NODES) {
        return false;
    }
    for (size_t v = 0; v < nn_graph_n_values(g); v++) {
        if (nn_shape_count(nn_graph_shape(g, (nn_value)v), 2) > MAX_NUMBERS) {
            return false;
        }
    }
    return true;
}

static void train_a_step(const nn_graph *g, float *params)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    nn_plan_config cfg = {.capacity = 2, .train = true, .threads = 1, .loss = {.kind = NN_LOSS_MSE}};

    if (nn_plan_new(&plan, g, &cfg, &err) == FL_OK) {
        float *grad = fl_xcalloc((size_t)nn_table_count(nn_graph_table(g)), sizeof *grad);
        nn_plan_step(plan, params, grad, 2, NULL);
        free(grad);
    } else {
        FL_REQUIRE(err.text[0] != '\0');
    }
    nn_plan_destroy(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g;
    float *params;
    ckpt_meta meta = {0};

    if (ckpt_onnx_unpack(&g, &params, &meta, (const char *)data, size, &err) != FL_OK) {
        FL_REQUIRE(err.text[0] != '\0');
    } else if (is_small(g)) {
        train_a_step(g, params);
    }
    ckpt_meta_clear(&meta);
    nn_graph_destroy(&g);
    free(params);
    return 0;
}
