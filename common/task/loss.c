/*
 * loss.c - see loss.h
 */
#include "task/loss.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char *const names[] = {"default", "ce", "focal", "dice", "dice_ce", "mse",
                                    "l1",      "huber", "evidential", NULL};

enum {
    CLASSIFY = 1 << DATA_CLASSIFY,
    MULTILABEL = 1 << DATA_MULTILABEL,
    SEGMENT = 1 << DATA_SEGMENT,
    REGRESS = 1 << DATA_REGRESS
};

/* How nn/ calls a loss.  NO: there is none. */
enum { NO = -1 };

static const struct {
    unsigned tasks;       // it is for
    int softmax, single;  // with an output a class; with one for two classes
                          // (multilabel: for each label)
    bool weighs;          // takes weights of classes
} kinds[] = {
    [TASK_LOSS_CE] = {CLASSIFY | MULTILABEL | SEGMENT, NN_LOSS_SOFTMAX_CE, NN_LOSS_SIGMOID_CE,
                      true},
    [TASK_LOSS_FOCAL] = {CLASSIFY | SEGMENT, NN_LOSS_FOCAL, NO, true},
    [TASK_LOSS_DICE] = {SEGMENT, NN_LOSS_SOFTMAX_DICE, NN_LOSS_DICE, false},
    [TASK_LOSS_DICE_CE] = {SEGMENT, NN_LOSS_SOFTMAX_DICE_CE, NN_LOSS_DICE_CE, true},
    [TASK_LOSS_MSE] = {REGRESS, NN_LOSS_MSE, NN_LOSS_MSE, false},
    [TASK_LOSS_L1] = {REGRESS, NN_LOSS_L1, NN_LOSS_L1, false},
    [TASK_LOSS_HUBER] = {REGRESS, NN_LOSS_HUBER, NN_LOSS_HUBER, false},
    [TASK_LOSS_EVIDENTIAL] = {CLASSIFY | SEGMENT, NN_LOSS_EVIDENTIAL, NO, true},
};

static task_loss_kind kind_of(const task_loss *loss, data_task task)
{
    static const task_loss_kind of_task[] = {
        [DATA_CLASSIFY] = TASK_LOSS_CE,
        [DATA_MULTILABEL] = TASK_LOSS_CE,
        [DATA_SEGMENT] = TASK_LOSS_DICE_CE,
        [DATA_REGRESS] = TASK_LOSS_MSE,
    };
    return loss->kind == TASK_LOSS_OF_TASK ? of_task[task] : loss->kind;
}

void task_loss_defaults(task_loss *out)
{
    *out = (task_loss){.gamma = 2, .delta = 1, .anneal = 10};
}

bool task_loss_weighs(const task_loss *loss, data_task task)
{
    return kinds[kind_of(loss, task)].weighs;
}

static void read_weights(task_loss *out, fl_node map, const data_spec *spec)
{
    fl_node list = fl_cfg_list(map, "weights",
                               "ce, dice_ce, focal, evidential: of each class, in the job's order; "
                               "multilabel: of each label's positives");
    size_t n = fl_cfg_count(list);
    if (n == 0) {
        return;
    }
    if (n != spec->n_classes) {
        fl_cfg_complain(list, "loss.weights: expected one for each of the %zu classes, found %zu",
                        spec->n_classes, n);
        return;
    }
    for (size_t k = 0; k < n; k++) {
        out->weight[k] = fl_node_num(fl_cfg_item(list, k), 1e-6, 1e6, "loss.weights");
    }
    out->n_weights = n;
}

/* A setting that another loss has. */
static void refuse_key(fl_node map, const char *key, const char *of, bool is_of_it)
{
    if (!is_of_it && fl_cfg_has(map, key)) {
        fl_cfg_complain(fl_cfg_get(map, key, ""), "loss.%s: is a setting of %s", key, of);
    }
}

static void read_settings(task_loss *out, fl_node map, const data_spec *spec)
{
    out->smoothing = fl_cfg_num(map, "smoothing", 0, 0.999, out->smoothing,
                                "ce: share of a label that is given to all classes alike");
    out->gamma = fl_cfg_num(map, "gamma", 0, 10, out->gamma,
                            "focal: how little sure cases weigh");
    out->delta = fl_cfg_num(map, "delta", 1e-9, 1e9, out->delta,
                            "huber: errors up to this are squared, in the target's unit");
    out->anneal = fl_cfg_num(map, "anneal_rounds", 0, 1e6, out->anneal,
                             "evidential: rounds in which unfounded certainty comes to count");
    read_weights(out, map, spec);
    task_loss_kind kind = kind_of(out, spec->task);
    refuse_key(map, "smoothing", "ce for one class a case or pixel",
               kind == TASK_LOSS_CE && spec->task != DATA_MULTILABEL);
    refuse_key(map, "gamma", "focal", kind == TASK_LOSS_FOCAL);
    refuse_key(map, "delta", "huber", kind == TASK_LOSS_HUBER);
    refuse_key(map, "anneal_rounds", "evidential", kind == TASK_LOSS_EVIDENTIAL);
    refuse_key(map, "weights", "ce, dice_ce, focal and evidential", kinds[kind].weighs);
}

static void read_loss(task_loss *out, fl_node node, const data_spec *spec)
{
    task_loss_defaults(out);
    if (fl_cfg_is_scalar(node)) {
        const char *text = fl_node_text(node, "loss");
        int i = 0;
        while (names[i] != NULL && strcmp(names[i], text) != 0) {
            i++;
        }
        if (names[i] == NULL) {
            fl_cfg_complain(node,
                            "loss: expected ce, focal, dice, dice_ce, mse, l1, huber or "
                            "evidential, found %.40s",
                            text);
            return;
        }
        out->kind = (task_loss_kind)i;
    } else {
        out->kind = (task_loss_kind)fl_cfg_choice(
            node, "name", names, TASK_LOSS_OF_TASK,
            "default: ce; segment: dice_ce; regress: mse");
        read_settings(out, node, spec);
    }
    if (!(kinds[kind_of(out, spec->task)].tasks & 1u << spec->task)) {
        fl_cfg_complain(node, "loss: %s is not for task %s", names[out->kind],
                        data_task_name(spec->task));
    }
}

void task_loss_read(task_loss *out, fl_node map, const data_spec *spec)
{
    fl_node node = fl_cfg_get(map, "loss", "what training makes small: a name, or {name, ...}");
    if (fl_cfg_is_list(node) && !fl_cfg_is_map(node)) {
        fl_cfg_complain(node, "loss: expected a name or {name: ce, ...}");
        task_loss_defaults(out);
        return;
    }
    read_loss(out, node, spec);
}

fl_status task_loss_parse(task_loss *out, const char *text, const data_spec *spec, fl_err *err)
{
    fl_cfg *c = NULL;
    char *line = fl_xasprintf("loss: %s", text);
    task_loss_defaults(out);
    fl_status st = fl_cfg_parse(&c, line, strlen(line), "--loss", ".", err);
    if (st == FL_OK) {
        task_loss_read(out, fl_cfg_root(c), spec);
        st = fl_cfg_finish(c, err);
    }
    fl_cfg_destroy(&c);
    free(line);
    return st;
}

fl_status task_loss_of(nn_loss_config *out, float *weight, const task_loss *loss,
                       const data_spec *spec, int64_t L, fl_err *err)
{
    task_loss_kind kind = kind_of(loss, spec->task);
    bool single = spec->task == DATA_MULTILABEL || (L == 1 && spec->task != DATA_REGRESS);
    int nn_kind = single ? kinds[kind].single : kinds[kind].softmax;

    *out = (nn_loss_config){.kind = NN_LOSS_MSE};
    if (!(kinds[kind].tasks & 1u << spec->task)) {
        return fl_fail(err, FL_ECONFIG, "loss: %s is not for task %s", names[kind],
                       data_task_name(spec->task));
    }
    if (nn_kind == NO || (single && loss->smoothing > 0)) {
        return fl_fail(err, FL_ECONFIG,
                       "loss: %s needs a model with an output for each class; this one has one "
                       "for both",
                       nn_kind == NO ? names[kind] : "smoothing");
    }
    *out = (nn_loss_config){.kind = (nn_loss_kind)nn_kind,
                            .smoothing = kind == TASK_LOSS_CE ? loss->smoothing : 0,
                            .gamma = loss->gamma,
                            .delta = loss->delta,
                            .anneal = kind == TASK_LOSS_EVIDENTIAL ? 1 : 0};
    if (loss->n_weights == 0) {
        return FL_OK;
    }
    for (size_t k = 0; k < loss->n_weights; k++) {
        weight[k] = (float)loss->weight[k];
    }
    if (single && spec->task != DATA_MULTILABEL) {  // only their ratio counts
        size_t positive = spec->positive >= 0 ? (size_t)spec->positive : 1;
        weight[0] = (float)(loss->weight[positive] / loss->weight[1 - positive]);
    }
    out->class_weight = weight;
    return FL_OK;
}
