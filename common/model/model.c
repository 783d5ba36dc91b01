/*
 * model.c - the registry of architectures, and reading `model:`; see model.h
 */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "model/basic.h"
#include "model/densenet.h"
#include "model/googlenet.h"
#include "model/resnet.h"
#include "model/unet.h"
#include "model/vgg.h"

static const model_ops *const registry[] = {
    &model_logistic, &model_mlp,         &model_cnn,      &model_alexnet,
    &model_vgg16,    &model_googlenet,   &model_resnet18, &model_resnet34,
    &model_resnet50, &model_densenet121, &model_unet,     &model_attention_unet,
};
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

/* The keys that some architectures take and others do not. */
static const struct {
    const char *key;
    unsigned bit;
} keys[] = {
    {"dropout", MODEL_DROPOUT}, {"hidden", MODEL_HIDDEN}, {"channels", MODEL_CHANNELS},
    {"fc", MODEL_FC},           {"norm", MODEL_NORM},     {"groups", MODEL_NORM},
    {"stem", MODEL_STEM},       {"base", MODEL_BASE},     {"depth", MODEL_DEPTH},
    {"padding", MODEL_PADDING}, {"maps", MODEL_MAPS},
};
enum { N_KEYS = sizeof keys / sizeof *keys };

/* "dropout, hidden", or "no keys" */
static void known_keys(char *out, size_t n, unsigned taken)
{
    size_t used = 0;

    snprintf(out, n, "no keys");
    for (size_t i = 0; i < N_KEYS; i++) {
        if ((keys[i].bit & taken) != 0) {
            used += (size_t)snprintf(out + used, n - used, "%s%s", used > 0 ? ", " : "",
                                     keys[i].key);
        }
    }
}

/* Every key is read, so that make docs prints it; those that this architecture
 * does not take are refused here. */
static void refuse_foreign_keys(fl_node node, const char *name, unsigned taken)
{
    char known[256];

    for (size_t i = 0; i < N_KEYS; i++) {
        if ((keys[i].bit & taken) == 0 && fl_cfg_has(node, keys[i].key)) {
            known_keys(known, sizeof known, taken);
            fl_cfg_complain(fl_cfg_get(node, keys[i].key, ""),
                            "model.%s: model %s has no such key; it takes %s", keys[i].key, name,
                            known);
        }
    }
}

static const char *const norm_words[] = {"default", "batch", "group", "instance", "none", NULL};

static void read_norm(model_config *out, fl_node node, const model_ops *ops)
{
    out->norm = (model_norm)fl_cfg_choice(
        node, "norm", norm_words, MODEL_NORM_DEFAULT,
        "normalisation behind each convolution; the default is the paper's or torchvision's. none: "
        "where the model trains without");
    out->groups = fl_cfg_int(node, "groups", 1, 65536, 32,
                             "norm: group: at most so many groups; fewer where they do not divide "
                             "the channels or would hold less than 4");
    if (ops != NULL && (ops->keys & MODEL_NORM) != 0 && out->norm != MODEL_NORM_DEFAULT &&
        (ops->norms & 1u << out->norm) == 0) {
        fl_cfg_complain(fl_cfg_get(node, "norm", ""), "model.norm: model %s cannot have norm: %s",
                        ops->name, norm_words[out->norm]);
    }
}

static void read_settings(model_config *out, fl_node node, const model_ops *ops)
{
    static const char *const stems[] = {"auto", "small", "full", NULL};
    static const char *const paddings[] = {"same", "valid", NULL};

    out->dropout = fl_cfg_num(
        node, "dropout", 0, 0.95, out->dropout,
        "dropout rate before the output (mlp: behind each layer; unet: behind "
        "the deepest level)");
    out->n_hidden = read_widths(out->hidden, node, "hidden",
                                "mlp: width of each hidden layer; [64, 32]");
    out->n_channels = read_widths(out->channels, node, "channels",
                                  "cnn: channels of each block; [16, 32, 64]");
    out->fc = fl_cfg_int(
        node, "fc", 0, 65536, 0,
        "width of the hidden layers before the output; 0 = cnn: 128; alexnet, vgg16: "
        "4096");
    read_norm(out, node, ops);
    out->stem = (model_stem)fl_cfg_choice(
        node, "stem", stems, MODEL_STEM_AUTO,
        "first layers: small, a 3x3 convolution that keeps the size; full, 7x7 with stride 2 and a "
        "pool; auto: small below 64 pixels");
    out->base = fl_cfg_int(
        node, "base", 0, 1024, 0,
        "channels of the first level, doubled at each; 0 = 64, but unet: 16 (the "
        "paper: 64); densenet: twice the growth rate");
    out->depth = fl_cfg_int(node, "depth", 1, 7, 4, "unet: how often the size is halved");
    out->padding = (model_padding)fl_cfg_choice(
        node, "padding", paddings, MODEL_PADDING_SAME,
        "unet: same, every convolution is padded with zeros; valid, the original's form: none is, "
        "the image is continued by mirroring instead, so that every pixel has an output");
    out->maps = fl_cfg_bool(node, "maps", false,
                            "attention_unet: the gates' weights as further outputs of the graph");
}

/* Transfer learning: keys that every model takes. */
static void read_transfer(model_config *out, fl_node node)
{
    fl_node list = fl_cfg_get(node, "freeze",
                              "names of parameters that stay as `init` has them, '*' is any run: "
                              "['conv1*', 'layer1.*']; a BatchNorm that is frozen keeps its "
                              "statistics too");
    if (fl_cfg_present(list) && !fl_cfg_is_list(list)) {
        fl_cfg_complain(list, "model.freeze: expected a list of names, as ['conv1*']");
    } else if (fl_cfg_count(list) > MODEL_MAX_PATTERNS) {
        fl_cfg_complain(list, "model.freeze: at most %d names", MODEL_MAX_PATTERNS);
    } else {
        for (size_t i = 0; i < fl_cfg_count(list); i++) {
            const char *pattern = fl_node_text(fl_cfg_item(list, i), "freeze");
            snprintf(out->freeze[out->n_freeze++], MODEL_PATTERN_BYTES, "%s", pattern);
        }
    }
    out->train_last = fl_cfg_int(
        node, "train_last", 0, 100000, 0,
        "only the last so many blocks are trained; a block: the parameters whose names agree in "
        "their first two parts, as layer4.1, or fc; 0 = all");
    const char *after = fl_cfg_text(node, "truncate_after", "",
                                    "the model ends behind this layer, block or node and gets a "
                                    "new last layer, `head`, for the task's classes");
    snprintf(out->truncate_after, sizeof out->truncate_after, "%s", after);
}

/* Hexadecimal digits, as a digest has. */
static void read_graph(model_config *out, fl_node node)
{
    const char *graph = fl_cfg_text(node, "graph", "",
                                    "digest of the onnx file's graph, under which sites fetch it; "
                                    "the coordinator writes it when a run begins");
    size_t n = strlen(graph);

    if (n == 0) {
        return;
    }
    if (n != sizeof out->graph - 1 || strspn(graph, "0123456789abcdef") != n) {
        fl_cfg_complain(fl_cfg_get(node, "graph", ""),
                        "model.graph: expected %zu hexadecimal digits, found %.80s",
                        sizeof out->graph - 1, graph);
    } else if (out->onnx[0] == '\0') {
        fl_cfg_complain(fl_cfg_get(node, "graph", ""), "model.graph: goes with onnx only");
    } else {
        memcpy(out->graph, graph, n + 1);
    }
}

void model_config_read(model_config *out, fl_node node)
{
    char known[512];
    bool is_scalar = fl_cfg_is_scalar(node);

    memset(out, 0, sizeof *out);
    const char *name = is_scalar ? fl_node_text(node, "model")
                                 : fl_cfg_text(node, "name", NULL, "architecture");
    const model_ops *ops = name != NULL ? model_find(name) : NULL;
    if (name != NULL && ops == NULL) {
        known_models(known, sizeof known);
        fl_cfg_complain(node, "model: no model is called '%s'; known are %s", name, known);
    } else if (name != NULL) {
        snprintf(out->name, sizeof out->name, "%s", name);
        out->dropout = ops->dropout;
    }
    if (is_scalar) {
        return;
    }
    const char *onnx = fl_cfg_path(node, "onnx", NULL, "ONNX file to read the architecture from");
    if ((name == NULL) == (onnx == NULL)) {
        fl_cfg_complain(node, "model: give either a name or an onnx file");
    }
    if (onnx != NULL && strlen(onnx) >= sizeof out->onnx) {
        fl_cfg_complain(node, "model: the path of the onnx file is too long");
    } else if (onnx != NULL) {
        snprintf(out->onnx, sizeof out->onnx, "%s", onnx);
    }
    read_graph(out, node);
    read_settings(out, node, ops);
    read_transfer(out, node);
    refuse_foreign_keys(node, name != NULL ? name : "of a file", ops != NULL ? ops->keys : 0);
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

void model_describe(FILE *out)
{
    char taken[256];

    for (size_t i = 0; i < N_MODELS; i++) {
        const model_ops *ops = registry[i];
        known_keys(taken, sizeof taken, ops->keys);
        fprintf(out, "model: {name: %s}  # %s\n  %s; takes %s\n", ops->name, ops->paper, ops->help,
                taken);
    }
}

/* A normalisation over one number gives 0 whatever the number was. */
static fl_status check_norms(const nn_graph *g, fl_err *err)
{
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        const nn_shape *x = nn_graph_shape(g, node->in[0]);
        const nn_attr *groups = nn_node_attr(node, "num_groups");
        bool is_group = strcmp(node->op, "GroupNormalization") == 0;
        if ((is_group || strcmp(node->op, "InstanceNormalization") == 0) &&
            nn_shape_count(x, 1) == (is_group ? groups->i : x->dim[1])) {
            return fl_fail(err, FL_ECONFIG,
                           "model %s: %s would normalise single numbers: the images are too small "
                           "for this norm; take norm: batch, or larger images",
                           nn_graph_name(g), node->name);
        }
    }
    return FL_OK;
}

fl_status model_build(nn_graph **out, const model_config *cfg, const model_io *io, fl_err *err)
{
    char known[512];

    *out = NULL;
    FL_REQUIRE(cfg->onnx[0] == '\0');  // such a graph is read by ckpt_onnx_read
    const model_ops *ops = model_find(cfg->name);
    if (ops == NULL) {
        known_models(known, sizeof known);
        return fl_fail(err, FL_ECONFIG, "no model is called '%s'; known are %s", cfg->name, known);
    }
    fl_status st = ops->build(out, cfg, io, err);
    if (st == FL_OK && (st = check_norms(*out, err)) != FL_OK) {
        nn_graph_destroy(out);
    }
    return st;
}
