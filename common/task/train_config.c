/*
 * train_config.c - reads how a site trains: the `local:` part of a job
 */
#include "task/task.h"

static const char *const optimizers[] = {"sgd", "adam", "adamw", NULL};
static const char *const schedules[] = {"constant", "step", "cosine", NULL};

void task_train_defaults(task_train_config *cfg)
{
    *cfg = (task_train_config){
        .epochs = 1, .batch = 32, .precision = NN_FP32, .threads = 1,
        .schedule = {.length = 100, .factor = 0.1},
    };
    nn_optim_defaults(&cfg->optim);
    task_loss_defaults(&cfg->loss);
}

static void read_optimizer(nn_optim_config *o, fl_node map)
{
    o->kind = (nn_optim_kind)fl_cfg_choice(map, "optimizer", optimizers,
                                           (int)o->kind,
                                           "rule that turns gradients into "
                                           "steps");
    o->lr = fl_cfg_num(map, "lr", 1e-12, 1e3, o->lr, "learning rate");
    o->momentum = fl_cfg_num(map, "momentum", 0, 0.9999, o->momentum,
                             "of sgd; 0 = none");
    o->nesterov = fl_cfg_bool(map, "nesterov", o->nesterov,
                              "sgd looks ahead along its momentum");
    o->weight_decay = fl_cfg_num(map, "weight_decay", 0, 10, o->weight_decay,
                                 "pull towards 0: L2 term of the gradient; "
                                 "adamw: apart from it");
    o->beta1 = fl_cfg_num(map, "beta1", 0, 0.99999, o->beta1,
                          "adam: memory of the mean gradient");
    o->beta2 = fl_cfg_num(map, "beta2", 0, 0.9999999, o->beta2,
                          "adam: memory of its square");
    o->eps = fl_cfg_num(map, "eps", 0, 1, o->eps, "adam: added to the root");
    o->clip_norm = fl_cfg_num(map, "clip_norm", 0, 1e9, o->clip_norm,
                              "largest L2 norm of a batch's gradient; 0 = any");
    if (o->nesterov && o->momentum == 0) {
        fl_cfg_complain(fl_cfg_get(map, "nesterov", ""),
                        "nesterov: needs a momentum above 0");
    }
}

/* schedule_rounds: 30, or [50, 75] */
static void read_length(nn_schedule *s, fl_node map)
{
    static const char help[] = "step: rounds between drops, or the rounds after which the rate drops, "
                               "as [50, 75]; cosine: rounds until the rate is 0";
    fl_node node = fl_cfg_get(map, "schedule_rounds", help);
    double drops[NN_MAX_DROPS] = {0};
    size_t n = fl_cfg_count(node);
    if (!fl_cfg_is_list(node) || fl_cfg_is_map(node)) {  // or make docs asks
        s->length = fl_cfg_num(map, "schedule_rounds", 1, 1e6, s->length, help);
        return;
    }
    for (size_t i = 0; i < n && i < NN_MAX_DROPS; i++) {
        drops[i] = fl_node_num(fl_cfg_item(node, i), 0, 1e6, "schedule_rounds");
    }
    if (s->kind != NN_STEP) {
        fl_cfg_complain(node, "schedule_rounds: a list is for schedule: step");
    } else if (n > NN_MAX_DROPS || !nn_schedule_set_drops(s, drops, n)) {
        fl_cfg_complain(node, "schedule_rounds: expected 1 to %d rounds above 0 that increase",
                        NN_MAX_DROPS);
    }
}

static void read_schedule(nn_schedule *s, fl_node map)
{
    s->kind = (nn_schedule_kind)fl_cfg_choice(
        map, "schedule", schedules, (int)s->kind,
        "learning rate over the rounds: drops by steps or falls as a cosine");
    read_length(s, map);
    s->factor = fl_cfg_num(map, "schedule_factor", 1e-6, 1, s->factor,
                           "step: what a drop leaves of the rate");
    s->warmup = fl_cfg_num(map, "warmup_rounds", 0, 1e6, s->warmup,
                           "rounds in which the rate rises from 0");
    if (s->kind != NN_CONSTANT && !fl_cfg_has(map, "schedule_rounds")) {
        fl_cfg_complain(fl_cfg_get(map, "schedule", ""),
                        "schedule: needs schedule_rounds");
    }
}

static void read_class_weights(task_train_config *out, fl_node map, const data_spec *spec)
{
    out->class_weights = fl_cfg_bool(map, "class_weights", false,
                                     "weigh classes by 1 / frequency in the "
                                     "site's training split");
    if (out->class_weights && (!task_loss_weighs(&out->loss, spec->task) ||
                               out->loss.n_weights > 0)) {
        fl_cfg_complain(fl_cfg_get(map, "class_weights", ""),
                        out->loss.n_weights > 0
                            ? "class_weights: give either these or loss.weights"
                            : "class_weights: this loss weighs no classes");
    }
}

void task_train_read(task_train_config *out, fl_node map, const data_spec *spec)
{
    task_train_defaults(out);
    bool by_steps = fl_cfg_has(map, "steps");
    bool by_epochs = fl_cfg_has(map, "epochs");
    out->epochs = fl_cfg_int(map, "epochs", 1, 100000, out->epochs,
                             "passes over the training split a round");
    out->steps = fl_cfg_int(map, "steps", 1, 100000000, 0,
                            "batches a round, instead of epochs");
    if (by_steps && by_epochs) {
        fl_cfg_complain(fl_cfg_get(map, "steps", ""),
                        "steps: give either epochs or steps, not both");
    }
    if (out->steps > 0) {
        out->epochs = 0;
    }
    out->batch = fl_cfg_int(map, "batch", 1, 65536, out->batch,
                            "cases a step");
    read_optimizer(&out->optim, map);
    read_schedule(&out->schedule, map);
    out->precision = (nn_precision)fl_cfg_choice(
        map, "precision", nn_precision_names, (int)out->precision,
        "bf16: half-width products, fp32 weights and sums");
    out->threads = (int)fl_cfg_int(map, "threads", 1, 256, out->threads,
                                   "OpenMP threads of a site; same bits need "
                                   "the same number");
    fl_node augment = fl_cfg_map(map, "augment", "random changes of every training image and its "
                                                 "mask, anew in each epoch");
    data_augment_read(&out->augment, augment);
    if (data_augment_does_something(&out->augment) && spec->input.rank < 3 &&
        spec->input.rank > 0) {
        fl_cfg_complain(augment, "augment: is for images");
    }
    task_loss_read(&out->loss, map, spec);
    read_class_weights(out, map, spec);
    out->ema = fl_cfg_num(map, "ema", 0, 0.999999, 0,
                          "decay of the average over steps that a round hands out; 0 = none");
}
