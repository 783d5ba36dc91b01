/*
 * model.c - the registry of architectures, and reading `model:`; see model.h
 */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "model/basic.h"

static const model_ops *const registry[] = {&model_logistic, &model_mlp, &model_cnn};
enum { N_MODELS = sizeof registry / sizeof *registry };

const model_ops *model_at(size_t i)
{
    return i < N_MODELS ? registry[i] : NULL;
}

const model_ops *model_find(const char *name)
{
    for (size_t i = 0; i < N_MODELS; i++) {
        if (strcmp(registry[i]->name, name) == 0) {
            return registry[i];
        }
    }
    return NULL;
}

static void known_models(char *out, size_t n)
{
    size_t used = 0;

    for (size_t i = 0; i < N_MODELS && used < n; i++) {
        used += (size_t)snprintf(out + used, n - used, "%s%s", i > 0 ? ", " : "",
                                 registry[i]->name);
    }
}

/* A list of 1 to MODEL_MAX_LAYERS widths, if there is one. */
static int read_widths(int64_t *out, fl_node map, const char *key, const char *help)
{
    fl_node list = fl_cfg_get(map, key, help);
    size_t n = fl_cfg_count(list);

    if (!fl_cfg_present(list)) {
        return 0;
    }
    if (!fl_cfg_is_list(list) || n < 1 || n > MODEL_MAX_LAYERS) {
        fl_cfg_complain(list, "%s: expected a list of 1 to %d widths", key, MODEL_MAX_LAYERS);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = fl_node_int(fl_cfg_item(list, i), 1, 65536, key);
    }
    return (int)n;
}

void model_config_read(model_config *out, fl_node node)
{
    char known[256];

    memset(out, 0, sizeof *out);
    const char *name;
    if (fl_cfg_is_scalar(node)) {
        name = fl_node_text(node, "model");
    } else {
        name = fl_cfg_text(node, "name", NULL, "architecture");
        const char *onnx = fl_cfg_path(node, "onnx", NULL,
                                       "ONNX file to read the architecture from");
        out->dropout = fl_cfg_num(node, "dropout", 0, 0.95, 0,
                                  "dropout rate before the output (mlp: behind each layer)");
        out->n_hidden = read_widths(out->hidden, node, "hidden",
                                    "mlp: width of each hidden layer; [64, 32]");
        out->n_channels = read_widths(out->channels, node, "channels",
                                      "cnn: channels of each block; [16, 32, 64]");
        out->fc = fl_cfg_int(node, "fc", 0, 65536, 0,
                             "cnn: width of the layer before the output; 0 = 128");
        if ((name == NULL) == (onnx == NULL)) {
            fl_cfg_complain(node, "model: give either a name or an onnx file");
        }
        if (onnx != NULL && strlen(onnx) >= sizeof out->onnx) {
            fl_cfg_complain(node, "model: the path of the onnx file is too long");
        } else if (onnx != NULL) {
            snprintf(out->onnx, sizeof out->onnx, "%s", onnx);
        }
    }
    if (name != NULL && model_find(name) == NULL) {
        known_models(known, sizeof known);
        fl_cfg_complain(node, "model: no model is called '%s'; known are %s", name, known);
    } else if (name != NULL) {
        snprintf(out->name, sizeof out->name, "%s", name);
    }
}

fl_status model_config_parse(model_config *out, const char *text, fl_err *err)
{
    fl_cfg *c = NULL;

    memset(out, 0, sizeof *out);
    fl_status st = fl_cfg_parse(&c, text, strlen(text), "model", ".", err);
    if (st != FL_OK) {
        return st;
    }
    model_config_read(out, fl_cfg_root(c));
    st = fl_cfg_finish(c, err);
    fl_cfg_destroy(&c);
    return st;
}

fl_status model_build(nn_graph **out, const model_config *cfg, const model_io *io, fl_err *err)
{
    char known[256];

    *out = NULL;
    FL_REQUIRE(cfg->onnx[0] == '\0');  // such a graph is read by ckpt_onnx_read
    const model_ops *ops = model_find(cfg->name);
    if (ops == NULL) {
        known_models(known, sizeof known);
        return fl_fail(err, FL_ECONFIG, "no model is called '%s'; known are %s", cfg->name, known);
    }
    return ops->build(out, cfg, io, err);
}
