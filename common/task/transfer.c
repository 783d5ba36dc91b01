/*
 * transfer.c - a model that starts from one trained for something else
 */
#include "nn/transfer.h"

#include "task/ops.h"
#include "task/task.h"

/* The last layer: from features of the image, or of each pixel. */
static nn_value add_head(nn_graph *g, nn_value x, int64_t n_outputs, bool per_pixel)
{
    if (per_pixel) {
        return nn_conv(g, "head", x, n_outputs, 1, 1, 0);
    }
    if (nn_graph_shape(g, x)->rank > 2) {
        x = nn_flatten(g, nn_global_average_pool(g, x));
    }
    return nn_gemm(g, "head", x, n_outputs);
}

static fl_status truncate(nn_graph *g, const char *after, int64_t n_outputs, bool per_pixel,
                          fl_err *err)
{
    nn_value x;
    fl_status st = nn_transfer_find(&x, g, after, err);

    if (st != FL_OK) {
        return st;
    }
    const nn_shape *shape = nn_graph_shape(g, x),
                   *image = nn_graph_shape(g, nn_graph_input_at(g, 0));
    if (shape->rank < 2 || shape->dim[0] != NN_BATCH ||
        (per_pixel && (shape->rank != image->rank ||
                       shape->dim[shape->rank - 1] != image->dim[image->rank - 1]))) {
        char text[128];
        nn_shape_text(text, sizeof text, shape);
        return fl_fail(err, FL_ECONFIG, "truncate_after: %.80s gives %s, no features of %s", after,
                       text, per_pixel ? "each pixel" : "a case");
    }
    nn_graph_reopen(g);
    nn_graph_output(g, "logits", add_head(g, x, n_outputs, per_pixel));
    return nn_graph_finish(g, err);
}

fl_status task_transfer(nn_graph *g, const model_config *cfg, int64_t n_outputs, bool per_pixel,
                        fl_err *err)
{
    const char *patterns[MODEL_MAX_PATTERNS];
    fl_status st = FL_OK;

    for (size_t i = 0; i < cfg->n_freeze; i++) {
        patterns[i] = cfg->freeze[i];
    }
    if (cfg->truncate_after[0] != '\0') {
        st = truncate(g, cfg->truncate_after, n_outputs, per_pixel, err);
    }
    if (st == FL_OK && (cfg->n_freeze > 0 || cfg->train_last > 0)) {
        st = nn_transfer_freeze(g, patterns, cfg->n_freeze, cfg->train_last, err);
    }
    return st;
}
