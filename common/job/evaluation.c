/*
 * evaluation.c - `evaluation:` of job.yaml: how the model is judged
 *
 * What a task cannot be judged by is refused here, with file and line.
 */
#include <stdio.h>
#include <string.h>

#include "job/job_inside.h"

static void read_threshold(job_evaluation *out, const data_spec *data,
                           fl_node map)
{
    static const char *const rules[] = {"fixed", "sensitivity", "youden", NULL};
    static const char *const splits[] = {"val", NULL};
    fl_node t = fl_cfg_map(map, "threshold",
                           "score from which a case is called positive; "
                           "frozen before the test split is opened");
    out->rule = (eval_rule)fl_cfg_choice(t, "rule", rules, 0,
                                         "a number, a sensitivity to reach, "
                                         "or Youden's index");
    bool has_at = fl_cfg_has(t, "at");
    out->at = fl_cfg_num(t, "at", 0, 1, 0.5,
                         "fixed: the threshold; sensitivity: the one to reach");
    fl_cfg_choice(t, "split", splits, 0, "where the rule looks");
    fl_node where = fl_cfg_get(t, "rule", "");
    if (!fl_cfg_present(t)) {
        return;
    }
    bool of_labels = data->task == DATA_MULTILABEL && out->rule == EVAL_RULE_FIXED;
    if (data->positive < 0 && !of_labels) {
        fl_cfg_complain(t, "evaluation.threshold: only for tasks with two "
                           "classes; multilabel takes rule fixed");
    } else if (out->rule == EVAL_RULE_SENSITIVITY && (!has_at || out->at <= 0)) {
        fl_cfg_complain(where, "evaluation.threshold: rule sensitivity needs "
                               "at: a number above 0, at most 1");
    } else if (out->rule == EVAL_RULE_YOUDEN && has_at) {
        fl_cfg_complain(where, "evaluation.threshold: rule youden has no at");
    }
}

static void read_margins(job_evaluation *out, fl_node map)
{
    fl_node margins = fl_cfg_map(map, "margin",
                                 "smallest difference that matters, by metric");
    size_t n = fl_cfg_count(margins);
    if (n > JOB_MAX_MARGINS) {
        fl_cfg_complain(margins, "evaluation.margin: expected at most %d, found "
                                 "%zu", JOB_MAX_MARGINS, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const char *metric;
        fl_node value = fl_cfg_pair(margins, i, &metric);
        if (!eval_metric_known(metric)) {
            fl_cfg_complain(value, "evaluation.margin: unknown metric %.40s",
                            metric);
            continue;
        }
        job_margin *m = &out->margin[out->n_margins++];
        job_take_text(m->metric, sizeof m->metric, value, "evaluation.margin",
                      metric);
        m->value = fl_node_num(value, 0, 1e6, "in the metric's unit");
    }
}

static const data_attribute *find_attribute(const data_spec *data,
                                            const char *name)
{
    for (size_t i = 0; i < data->n_attributes; i++) {
        if (strcmp(data->attributes[i].name, name) == 0) {
            return &data->attributes[i];
        }
    }
    return NULL;
}

static void read_edges(job_subgroup *out, fl_node list)
{
    size_t n = fl_cfg_count(list);
    if (!fl_cfg_is_list(list) || n < 1 || n > JOB_MAX_EDGES) {
        fl_cfg_complain(list, "evaluation.subgroups: %s: expected a list of 1 "
                              "to %d edges", out->name, JOB_MAX_EDGES);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        fl_node item = fl_cfg_item(list, i);
        out->edges[i] = fl_node_num(item, -1e12, 1e12,
                                    "edges that cut a number into groups");
        if (i > 0 && out->edges[i] <= out->edges[i - 1]) {
            fl_cfg_complain(item, "evaluation.subgroups: %s: expected edges "
                                  "that increase", out->name);
        }
    }
    out->n_edges = n;
}

/* sex, or age: [0, 40, 60] */
static void read_subgroup(job_subgroup *out, const data_spec *data,
                          fl_node item)
{
    const char *name;
    fl_node edges = {item.cfg, 0};
    bool has_edges = fl_cfg_is_map(item);
    if (has_edges) {
        if (fl_cfg_count(item) != 1) {
            fl_cfg_complain(item, "evaluation.subgroups: expected one "
                                  "attribute an item");
            return;
        }
        edges = fl_cfg_pair(item, 0, &name);
    } else {
        name = fl_node_text(item, "attribute");
    }
    const data_attribute *a = find_attribute(data, name);
    if (a == NULL) {
        fl_cfg_complain(item, "evaluation.subgroups: data.attributes has no "
                              "%.60s", name);
    } else if (has_edges != (a->kind == DATA_ATTR_NUMBER)) {
        fl_cfg_complain(item, has_edges
                                  ? "evaluation.subgroups: %s is no number and "
                                    "takes no edges"
                                  : "evaluation.subgroups: %s is a number; say "
                                    "where to cut it, as in {%s: [40, 60]}",
                        name, name);
    }
    job_take_text(out->name, sizeof out->name, item, "evaluation.subgroups", name);
    if (has_edges) {
        read_edges(out, edges);
    }
}

static void read_subgroups(job_evaluation *out, const data_spec *data,
                           fl_node map)
{
    fl_node list = fl_cfg_list(map, "subgroups",
                               "attributes; a number with the edges to cut it "
                               "at, as in age: [40, 60]");
    size_t n = fl_cfg_count(list);
    if (n > JOB_MAX_SUBGROUPS) {
        fl_cfg_complain(list, "evaluation.subgroups: expected at most %d, found "
                              "%zu", JOB_MAX_SUBGROUPS, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        fl_node item = fl_cfg_item(list, i);
        read_subgroup(&out->subgroups[i], data, item);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(out->subgroups[j].name, out->subgroups[i].name) == 0) {
                fl_cfg_complain(item, "evaluation.subgroups: %s is there twice",
                                out->subgroups[i].name);
            }
        }
    }
    out->n_subgroups = n;
}

/* [scanner, blur, [blur, noise]]: a list within is one chain. */
static void read_shift(job_evaluation *out, const data_spec *data, fl_node map)
{
    fl_node list = fl_cfg_list(map, "shift",
                               "what the test images are shifted by, severities 1 to 5: a "
                               "transform, a family (scanner, artefact, protocol, stain, "
                               "workflow), all, or a list of transforms in a row");
    for (size_t i = 0; i < fl_cfg_count(list); i++) {
        fl_node item = fl_cfg_item(list, i);
        fl_err why = FL_ERR_INIT;
        fl_buf chain = FL_BUF_INIT;
        for (size_t k = 0; fl_cfg_is_list(item) && k < fl_cfg_count(item); k++) {
            fl_buf_printf(&chain, "%s%s", k > 0 ? "," : "",
                          fl_node_text(fl_cfg_item(item, k), "transform"));
        }
        const char *text = chain.data != NULL ? chain.data : fl_node_text(item, "transform");
        if (data->input.rank > 0 && fl_cfg_ok(item.cfg) &&
            data_shift_curves_add(&out->shift, text, data, &why) != FL_OK) {
            fl_cfg_complain(item, "evaluation.%s", why.text);
        }
        fl_buf_clear(&chain);
    }
}

static void read_uncertainty(job_uncertainty *out, fl_node map)
{
    fl_err why = FL_ERR_INIT;
    fl_node node = fl_cfg_map(map, "uncertainty",
                              "how sure the selected model is of each case, and what that is good "
                              "for; not looked at when absent");
    const char *how = fl_cfg_text(node, "how", "one",
                                  "one: by its scores; mc:N: passes with dropout; tta:N: turned "
                                  "inputs");
    out->refer = fl_cfg_num(node, "refer", 0.01, 0.5, 0.2,
                            "share of the cases, the most uncertain, that somebody else could "
                            "judge");
    out->alpha = fl_cfg_num(node, "alpha", 0.005, 0.5, 0.1,
                            "classify: conformal sets miss the label in this share of cases");
    out->asked = fl_cfg_present(node);
    fl_node where = fl_cfg_get(node, "how", "");
    if (task_members_parse(&out->members, how, &why) != FL_OK) {
        fl_cfg_complain(where, "evaluation.uncertainty.how: expected one, mc:N or tta:N, found "
                               "%.40s", how);
    } else if (out->members.kind == TASK_ENSEMBLE) {
        fl_cfg_complain(where, "evaluation.uncertainty.how: one federation has one model; a "
                               "scenario's ensemble: N plays several, and client evaluate "
                               "--uncertainty ensemble joins several jobs' models; expected one, "
                               "mc:N or tta:N");
    }
}

static void read_personal(job_personal *out, double local_lr, fl_node map)
{
    fl_node node = fl_cfg_map(map, "personal",
                              "each site's version of the selected model, fine-tuned on its own "
                              "training split and never sent; not made when absent");
    out->asked = fl_cfg_present(node);
    out->epochs = fl_cfg_int(node, "epochs", 1, 10000, 5,
                             "passes over the training split; the best by the validation split is "
                             "kept, which may be none");
    out->steps = fl_cfg_int(node, "steps", 1, 100000000, 0, "batches, instead of epochs");
    out->lr = fl_cfg_num(node, "lr", 1e-12, 1e3, 0.1 * local_lr,
                         "learning rate; default: a tenth of local.lr");
    if (fl_cfg_has(node, "epochs") && fl_cfg_has(node, "steps")) {
        fl_cfg_complain(fl_cfg_get(node, "steps", ""),
                        "evaluation.personal.steps: give either epochs or steps, not both");
    }
    if (out->steps > 0) {
        out->epochs = 0;
    }
}

/* `evaluation: full` for `evaluation: {extent: full}`; the mapping, which is then absent. */
static fl_node read_extent(job_evaluation *out, fl_node root)
{
    static const char *const extents[] = {"basic", "full", NULL};
    static const char help[] = "how the model is judged; basic and full stand for their extent";
    fl_node node = fl_cfg_get(root, "evaluation", help);
    if (fl_cfg_is_scalar(node) && !fl_cfg_is_map(node) && !fl_cfg_is_null(node)) {
        const char *word = fl_node_text(node, "evaluation");
        out->full = strcmp(word, extents[1]) == 0;
        if (!out->full && strcmp(word, extents[0]) != 0) {
            fl_cfg_complain(node, "evaluation: expected basic, full or a mapping, found %.40s",
                            word);
        }
        return (fl_node){root.cfg, 0};
    }
    fl_node map = fl_cfg_map(root, "evaluation", help);
    out->full = fl_cfg_choice(map, "extent", extents, 0,
                              "basic: the shared model and each site's own; full: personal and "
                              "cross_site too, and in a simulation leave-one-out and an "
                              "ensemble") == 1;
    return map;
}

static void read_cross_site(job_evaluation *out, fl_node map)
{
    out->cross_site = fl_cfg_bool(map, "cross_site", false,
                                  "each site's own model is judged on the test cases of every "
                                  "other, after the test; played where every site's policy says "
                                  "own_model: leaves");
    if (out->cross_site && !out->local_baseline) {
        fl_cfg_complain(fl_cfg_get(map, "cross_site", ""),
                        "evaluation.cross_site: needs each site's own model; expected "
                        "local_baseline.budget same_steps, found none");
    }
    if (out->full) {
        out->cross_site = out->local_baseline;
        out->personal.asked = true;
    }
}

void job_read_evaluation(job *j, fl_node root)
{
    job_evaluation *out = &j->evaluation;
    const data_spec *data = &j->data;
    static const char *const budgets[] = {"same_steps", "none", NULL};
    fl_node map = read_extent(out, root);
    read_threshold(out, data, map);
    read_margins(out, map);
    read_subgroups(out, data, map);
    out->min_cell = fl_cfg_int(map, "min_cell", 1, 100000, 10,
                               "a cell of fewer patients is suppressed");
    fl_node local = fl_cfg_map(map, "local_baseline",
                               "each site's own model, to compare with");
    out->local_baseline =
        fl_cfg_choice(local, "budget", budgets, 0,
                      "same_steps: rounds x local steps; none: no such "
                      "model") == 0;
    out->histogram_bins = fl_cfg_int(map, "histogram_bins", 2, 1000, 20,
                                     "of scores that may leave a site");
    read_shift(out, data, map);
    read_uncertainty(&out->uncertainty, map);
    read_personal(&out->personal, j->local.optim.lr, map);
    read_cross_site(out, map);
}

bool job_asks_histogram(const job *j)
{
    return j->data.positive >= 0 && j->evaluation.rule != EVAL_RULE_FIXED;
}

bool job_asks_calibration(const job *j)
{
    return j->evaluation.uncertainty.asked && j->data.task == DATA_CLASSIFY;
}
