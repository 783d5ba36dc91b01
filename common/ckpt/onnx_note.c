/*
 * onnx_note.c - what an export has lost before we see it; see ckpt.h
 *
 * In evaluation mode PyTorch's exporters fold batch normalisation into the
 * convolution before it and leave Dropout out.  The numbers that folding makes
 * have names that no module has; a Dropout leaves no trace.
 */
#include <stdio.h>
#include <string.h>

#include "ckpt/onnx.h"

static bool has_op(const nn_graph *g, const char *op)
{
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        if (strcmp(nn_graph_node(g, i)->op, op) == 0) {
            return true;
        }
    }
    return false;
}

/* Of PyTorch's exporters: "onnx::Conv_41", "val_26", "block.0.weight_bias". */
static const char *folded_name(const nn_graph *g)
{
    static const char end[] = ".weight_bias";
    const nn_table *table = nn_graph_table(g);

    for (size_t i = 0; i < nn_table_n(table); i++) {
        const char *name = nn_table_at(table, i)->name;
        size_t n = strlen(name), k = sizeof end - 1;
        if (strncmp(name, "onnx::", 6) == 0 || strncmp(name, "val_", 4) == 0 ||
            (n > k && strcmp(name + n - k, end) == 0)) {
            return name;
        }
    }
    return NULL;
}

bool ckpt_onnx_note(char *out, size_t n, const nn_graph *g, const ckpt_meta *meta)
{
    static const char keeps[] =
        "torch.onnx.export(model.train(), (x,), FILE, dynamo=True, optimize=False) keeps what is "
        "trained, as does dynamo=False with training=torch.onnx.TrainingMode.TRAINING and "
        "do_constant_folding=False";
    const char *folded = folded_name(g), *producer = ckpt_meta_get(meta, CKPT_ONNX_PRODUCER);
    bool is_torch = producer != NULL && strcmp(producer, "pytorch") == 0;

    if (folded != NULL) {
        snprintf(out, n,
                 "the export folded %s (%.60s is no parameter of the network), so that names do "
                 "not fit its state_dict%s; %s",
                 has_op(g, "BatchNormalization") ? "constants into weights"
                                                 : "batch normalisation or constants into weights",
                 folded, has_op(g, "Dropout") ? "" : ", and holds no Dropout", keeps);
        return true;
    }
    if (is_torch && !has_op(g, "Dropout")) {
        snprintf(out, n,
                 "the file holds no Dropout%s, which an export for evaluation leaves out; if the "
                 "network has it, %s",
                 has_op(g, "BatchNormalization") ? "" : " and no BatchNormalization", keeps);
        return true;
    }
    return false;
}
