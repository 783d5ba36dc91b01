#include "check.h"

#include "job/job.h"

static const char example[] =
    "name: chest-opacity\n"
    "intended_use: triage of adult chest X-rays, second reader\n"
    "task: classify\n"
    "data:\n"
    "  input: [1, 16, 16]\n"
    "  classes: [normal, opacity]\n"
    "  positive: opacity\n"
    "  attributes: {sex: [F, M], age: years, scanner: text}\n"
    "model: {name: mlp}\n"
    "init: null\n"
    "rounds: 20\n"
    "seed: 7\n"
    "strategy: {name: fedprox, mu: 0.01}\n"
    "local: {epochs: 2, batch: 32, optimizer: sgd, lr: 0.01, momentum: 0.9}\n"
    "sites: {quorum: 4, of: all, patience: 10m, late: drop}\n"
    "select: {metric: auc, split: val, keep: best}\n"
    "evaluation:\n"
    "  threshold: {rule: sensitivity, at: 0.90, split: val}\n"
    "  margin: {auc: 0.02}\n"
    "  subgroups: [sex, age: [0, 40, 60, 80], scanner]\n"
    "  min_cell: 10\n"
    "  local_baseline: {budget: same_steps}\n"
    "  histogram_bins: 20\n"
    "privacy: {secure_aggregation: false, dp: none}\n"
    "names: codes\n";

static void a_job_is_read_as_written(void **state)
{
    (void)state;
    job j;
    fl_err err = FL_ERR_INIT;
    check_ok(job_parse(&j, example, sizeof example - 1, "job.yaml", ".", &err),
             err);
    check_str(j.name, "chest-opacity");
    check_str(j.intended_use, "triage of adult chest X-rays, second reader");
    check_int(j.data.task, DATA_CLASSIFY);
    check_int(j.data.input.rank, 3);
    check_int(j.data.n_classes, 2);
    check_int(j.data.positive, 1);
    check_int(j.data.n_attributes, 3);
    check_str(j.model.name, "mlp");
    check_str(j.init, "");
    check_int(j.rounds, 20);
    check_int(j.seed, 7);
    check_str(j.strategy.name, "fedprox");
    check(!j.strategy.uniform);
    check_int(j.strategy.n_params, 1);
    check_near(job_strategy_param(&j.strategy, "mu", 9), 0.01, 0);
    check_near(job_strategy_param(&j.strategy, "beta", 9), 9, 0);
    check_int(j.local.epochs, 2);
    check_int(j.local.steps, 0);
    check_int(j.local.batch, 32);
    check_near(j.local.optim.momentum, 0.9, 0);
    check_int(j.sites.quorum, 4);
    check(j.sites.of_all);
    check_int(j.sites.patience_ms, 600000);
    check_int(j.sites.late, JOB_LATE_DROP);
    check_str(j.select.metric, "auc");
    check(j.select.best);
    check_int(j.evaluation.rule, EVAL_RULE_SENSITIVITY);
    check_near(j.evaluation.at, 0.9, 0);
    check_int(j.evaluation.n_margins, 1);
    check_str(j.evaluation.margin[0].metric, "auc");
    check_int(j.evaluation.n_subgroups, 3);
    check_str(j.evaluation.subgroups[1].name, "age");
    check_int(j.evaluation.subgroups[1].n_edges, 4);
    check_near(j.evaluation.subgroups[1].edges[2], 60, 0);
    check_int(j.evaluation.min_cell, 10);
    check(j.evaluation.local_baseline);
    check_int(j.evaluation.histogram_bins, 20);
    check_str(j.privacy.dp, "none");
    check(j.codes);
    check_int(j.n_text, sizeof example - 1);
    check_str(j.text, example);
    job_clear(&j);
    job_clear(&j);
}

static void what_is_left_out_has_its_default(void **state)
{
    (void)state;
    static const char least[] =
        "name: heart\n"
        "task: classify\n"
        "data: {input: [13], classes: [no, yes], positive: yes}\n"
        "model: {name: logistic}\n"
        "rounds: 15\n"
        "local: {steps: 100, batch: 4}\n";
    job j;
    fl_err err = FL_ERR_INIT;
    check_ok(job_parse(&j, least, sizeof least - 1, "job.yaml", ".", &err), err);
    check_str(j.intended_use, "not stated");
    check_str(j.strategy.name, "fedavg");
    check_int(j.seed, 1);
    check_int(j.local.steps, 100);
    check_int(j.local.epochs, 0);
    check_int(j.sites.quorum, 1);
    check_int(j.sites.patience_ms, 600000);
    check_int(j.evaluation.rule, EVAL_RULE_FIXED);
    check_near(j.evaluation.at, 0.5, 0);
    check(j.evaluation.local_baseline);
    check(!j.codes);
    job_clear(&j);
}

/* The example with its line that starts with `start` replaced. */
static char *with_line(const char *start, const char *line)
{
    const char *at = strstr(example, start);
    check(at != NULL);
    const char *end = strchr(at, '\n');
    return fl_xasprintf("%.*s%s%s", (int)(at - example), example, line, end);
}

static void bad_jobs_are_refused_in_one_sentence_with_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *start, *line, *text;
    } cases[] = {
        {"name:", "name: Chest Opacity",
         "job.yaml:1: name: expected a-z, 0-9, _ and - only, found Chest"},
        {"task:", "task: detect", "job.yaml:3: task: expected classify"},
        {"  input:", "  input: [1, 16]", "job.yaml:5: input: expected"},
        {"  input:", "  input: [1, 16, 0]",
         "expected a whole number from 1 to 1048576, found 0"},
        {"  classes:", "  classes: [normal]", "needs two or more, found 1"},
        {"  positive:", "  positive: nodule",
         "job.yaml:7: positive: expected normal or opacity, found nodule"},
        {"  positive:", "  # nothing", "positive: expected one of the two"},
        {"model:", "model: {name: resnet9000}", "job.yaml:9:"},
        {"model:", "model: {name: cnn, graph: 00}", "job.yaml:9: model.graph: expected 64 hexa"},
        {"model:",
         "model: {name: cnn, graph: "
         "0000000000000000000000000000000000000000000000000000000000000000}",
         "job.yaml:9: model.graph: goes with onnx only"},
        {"init:", "init: weights.pt",
         "job.yaml:10: init: expected a .safetensors or .onnx file, found "
         "weights.pt"},
        {"rounds:", "rounds: 3.7",
         "job.yaml:11: rounds: expected a whole number from 1 to 100000, "
         "found 3.7"},
        {"rounds:", "rounds: nan",
         "job.yaml:11: rounds: expected a whole number from 1 to 100000, "
         "found nan"},
        {"rounds:", "rounds: 0", "rounds: expected a whole number from 1"},
        {"rounds:", "rounds: -5", "rounds: expected a whole number from 1"},
        {"rounds:", "rounds: '20'", "rounds: expected a whole number"},
        {"rounds:", "runds: 20", "runds: unknown key; did you mean rounds?"},
        {"seed:", "seeds: 7",
         "job.yaml:12: seeds: unknown key; did you mean seed?"},
        {"strategy:", "strategy: {name: fedprox, mu: inf}",
         "job.yaml:13: strategy.mu: expected a number"},
        {"strategy:", "strategy: fedavg",
         "job.yaml:13: strategy: expected a mapping, found fedavg"},
        {"local:", "local: {epochs: 1, steps: 100}",
         "job.yaml:14: steps: give either epochs or steps, not both"},
        {"local:", "local: {lr: nan}",
         "job.yaml:14: local.lr: expected a number"},
        {"local:", "local: {lr: 0}", "local.lr: expected a number"},
        {"local:", "local: {optimizer: lion}",
         "local.optimizer: expected sgd, adam or adamw, found lion"},
        {"local:", "local: {schedule: cosine, schedule_rounds: [5, 9]}",
         "schedule_rounds: a list is for schedule: step"},
        {"local:", "local: {schedule: step, schedule_rounds: [9, 5]}",
         "schedule_rounds: expected 1 to 16 rounds above 0 that increase"},
        {"local:", "local: {schedule: cosine}",
         "schedule: needs schedule_rounds"},
        {"local:", "local: {momentum: 0, nesterov: true}",
         "nesterov: needs a momentum"},
        {"sites:", "sites: {quorum: 0}",
         "job.yaml:15: sites.quorum: expected a whole number from 1 to 100000, "
         "found 0"},
        {"sites:", "sites: {patience: soon}",
         "job.yaml:15: sites.patience: expected a duration"},
        {"sites:", "sites: {late: later}",
         "job.yaml:15: sites.late: expected drop, carry or wait, found later"},
        {"sites:", "sites: {abandon: soon}", "job.yaml:15: sites.abandon: expected a duration"},
        {"sites:", "sites: {late: wait, abandon: 1h}",
         "sites.abandon: with late: wait no site is ever given up, nor a round"},
        {"sites:", "sites: {of: some}", "sites.of: expected all, found some"},
        {"select:", "select: {metric: f1}",
         "job.yaml:16: select.metric: expected auc, accuracy or loss, found f1"},
        {"select:", "select: {split: test}",
         "job.yaml:16: select.split: the test split never chooses"},
        {"  threshold:", "  threshold: {rule: sensitivity}",
         "job.yaml:18: evaluation.threshold: rule sensitivity needs at"},
        {"  threshold:", "  threshold: {rule: youden, at: 0.5}",
         "job.yaml:18: evaluation.threshold: rule youden has no at"},
        {"  threshold:", "  threshold: {rule: fixed, at: 1.5}",
         "evaluation.threshold.at: expected a number from 0 to 1, found 1.5"},
        {"  margin:", "  margin: {aux: 0.02}",
         "job.yaml:19: evaluation.margin: unknown metric aux"},
        {"  subgroups:", "  subgroups: [gender]",
         "job.yaml:20: evaluation.subgroups: data.attributes has no gender"},
        {"  subgroups:", "  subgroups: [age]",
         "evaluation.subgroups: age is a number; say where to cut it"},
        {"  subgroups:", "  subgroups: [sex: [0, 1]]",
         "evaluation.subgroups: sex is no number"},
        {"  subgroups:", "  subgroups: [age: [60, 40]]",
         "evaluation.subgroups: age: expected edges that increase"},
        {"  subgroups:", "  subgroups: [sex, sex]",
         "evaluation.subgroups: sex is there twice"},
        {"  local_baseline:", "  personal: {epochs: 2, steps: 9}\n  local_baseline:",
         "job.yaml:22: evaluation.personal.steps: give either epochs or steps, not both"},
        {"  local_baseline:", "  personal: {lr: 0}\n  local_baseline:",
         "evaluation.personal.lr: expected a number"},
        {"  local_baseline:", "  extent: fuller\n  local_baseline:",
         "job.yaml:22: evaluation.extent: expected basic or full, found fuller"},
        {"  local_baseline:", "  cross_site: true\n  local_baseline: {budget: none}",
         "job.yaml:22: evaluation.cross_site: needs each site's own model"},
        {"  local_baseline:", "  local_baseline: {budget: none, x: 1}",
         "job.yaml:22: evaluation.local_baseline.x: unknown key"},
        {"  histogram_bins:", "  histogram_bins: 1",
         "evaluation.histogram_bins: expected a whole number from 2 to 1000"},
        {"privacy:", "privacy: {secure_aggregation: true}",
         "job.yaml:24: privacy.secure_aggregation: is not built yet"},
        {"privacy:", "privacy: {dp: {epsilon: 3}}",
         "job.yaml:24: privacy.dp: differential privacy is not built yet"},
        {"names:", "names: secret",
         "job.yaml:25: names: expected real or codes, found secret"},
        {"names:", "names: real\nevaluations: {}",
         "job.yaml:26: evaluations: unknown key; did you mean evaluation?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = with_line(cases[i].start, cases[i].line);
        job j;
        fl_err err = FL_ERR_INIT;
        fl_status st = job_parse(&j, text, strlen(text), "job.yaml", ".", &err);
        if (st != FL_ECONFIG) {
            print_error("case %s\n", cases[i].line);
        }
        check_int(st, FL_ECONFIG);
        check_has(err.text, cases[i].text);
        check(strchr(err.text, '\n') == NULL);
        check(j.text == NULL);
        free(text);
    }
}

static void a_model_that_does_not_fit_the_data_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "name: x\n"
        "task: classify\n"
        "data: {input: [13], classes: [no, yes], positive: yes}\n"
        "model: {name: cnn}\n"
        "rounds: 1\n";
    job j;
    fl_err err = FL_ERR_INIT;
    check_fails(job_parse(&j, text, sizeof text - 1, "job.yaml", ".", &err),
                FL_ECONFIG);
    check_has(err.text, "job.yaml:4: model: ");
}

/* Each complaint names the line of what does not go with the task. */
static void what_does_not_suit_the_task_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *task, *classes, *model, *rest, *sentence;
    } cases[] = {
        {"segment", "[background, lung]", "cnn", "",
         "job.yaml:4: model: the model has one answer a case; task segment needs one for every "
         "pixel"},
        {"segment", "[lung]", "cnn", "",
         "job.yaml:3: classes: task segment needs two or more, the background first; found 1"},
        {"regress", "[]", "cnn", "select: {metric: auc}\n",
         "job.yaml:6: select.metric: expected mae, rmse or loss, found auc"},
        {"multilabel", "[a, b]", "cnn", "select: {metric: dice}\n",
         "job.yaml:6: select.metric: expected auc, accuracy or loss, found dice"},
        {"multilabel", "[a, b]", "cnn", "evaluation: {threshold: {rule: youden}}\n",
         "job.yaml:6: evaluation.threshold: only for tasks with two classes; multilabel takes "
         "rule fixed"},
        {"regress", "[]", "cnn", "local: {loss: dice}\n",
         "job.yaml:6: loss: dice is not for task regress"},
        {"multilabel", "[a, b]", "cnn", "local: {loss: focal}\n",
         "job.yaml:6: loss: focal is not for task multilabel"},
        {"multilabel", "[a, b]", "cnn", "local: {loss: {name: ce, smoothing: 0.1}}\n",
         "job.yaml:6: loss.smoothing: is a setting of ce for one class a case or pixel"},
        {"multilabel", "[a, b]", "cnn", "local: {loss: {name: ce, weights: [1]}}\n",
         "job.yaml:6: loss.weights: expected one for each of the 2 classes, found 1"},
        {"regress", "[]", "cnn", "local: {loss: huber, class_weights: true}\n",
         "job.yaml:6: class_weights: this loss weighs no classes"},
        {"classify", "[a, b, c]", "cnn", "local: {loss: hinge}\n",
         "job.yaml:6: loss: expected ce, focal, dice"},
        {"classify", "[a, b, c]", "cnn", "local: {loss: {name: focal, smoothing: 0.2}}\n",
         "job.yaml:6: loss.smoothing: is a setting of ce"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job j;
        fl_err err = FL_ERR_INIT;
        char *text = fl_xasprintf("name: x\ntask: %s\n"
                                  "data: {input: [1, 28, 28], classes: %s, "
                                  "attributes: {sex: [F, M]}}\n"
                                  "model: {name: %s}\nrounds: 1\n%s",
                                  cases[i].task, cases[i].classes, cases[i].model, cases[i].rest);
        check_fails(job_parse(&j, text, strlen(text), "job.yaml", ".", &err), FL_ECONFIG);
        check_has(err.text, cases[i].sentence);
        free(text);
    }
    // Two classes of a model with one output for both.
    static const char one_output[] =
        "name: x\ntask: classify\ndata: {input: [13], classes: [a, b], positive: b}\n"
        "model: {name: logistic}\nrounds: 1\nlocal: {loss: focal}\n";
    job j;
    fl_err err = FL_ERR_INIT;
    check_fails(job_parse(&j, one_output, sizeof one_output - 1, "job.yaml", ".", &err),
                FL_ECONFIG);
    check_has(err.text, "job.yaml:6: loss: focal needs a model with an output for each class");
}

static void jobs_of_every_task_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *head, *metric;
        task_loss_kind loss;
    } cases[] = {
        {"task: multilabel\ndata: {input: [1, 28, 28], classes: [edema, mass]}\n"
         "evaluation: {threshold: {rule: fixed, at: 0.3}}\n",
         "auc", TASK_LOSS_OF_TASK},
        {"task: regress\ndata: {input: [1, 28, 28]}\nselect: {metric: rmse}\n"
         "local: {loss: {name: huber, delta: 2}, ema: 0.99}\n",
         "rmse", TASK_LOSS_HUBER},
        {"task: classify\ndata: {input: [1, 28, 28], classes: [a, b, c]}\n"
         "local: {loss: {name: ce, smoothing: 0.1, weights: [1, 2, 3]}}\n",
         "auc", TASK_LOSS_CE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job j;
        fl_err err = FL_ERR_INIT;
        char *text = fl_xasprintf("name: x\n%smodel: {name: cnn}\nrounds: 1\n", cases[i].head);
        check_ok(job_parse(&j, text, strlen(text), "job.yaml", ".", &err), err);
        check_str(j.select.metric, cases[i].metric);
        check_int(j.local.loss.kind, cases[i].loss);
        job_clear(&j);
        free(text);
    }
}

static void a_job_is_read_from_its_file_and_init_must_be_there(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "job.yaml");
    char *text = with_line("init:", "init: start.safetensors");
    char *init = fl_path_join(dir, "start.safetensors");
    job j;
    check_fails(job_read(&j, path, &err), FL_ENOTFOUND);
    check_has(err.text, "job.yaml");
    check_ok(fl_file_write(path, text, strlen(text), 0644, &err), err);
    check_fails(job_read(&j, path, &err), FL_ECONFIG);
    check_has(err.text, "job.yaml:10: init: there is no ");
    check_ok(fl_file_write(init, "", 0, 0644, &err), err);
    check_ok(job_read(&j, path, &err), err);
    check_str(j.init, init);  // beside the job, wherever we are
    check_str(j.text, text);
    job_clear(&j);
    free(init);
    free(text);
    free(path);
    check_rmdir(&dir);
}

/* dir/net.onnx, a small model for the data of the job below; its bytes, the caller's. */
static job_graph make_net(const char *dir, const data_spec *spec)
{
    fl_err err = FL_ERR_INIT;
    task_model *model = NULL;
    model_config cfg;
    char *path = fl_path_join(dir, "net.onnx"), *bytes = NULL;
    job_graph out;
    check_ok(model_config_parse(&cfg, "{name: cnn, channels: [2, 4], fc: 8}", &err), err);
    check_ok(task_model_new(&model, spec, &cfg, &err), err);
    float *data = fl_xcalloc((size_t)nn_table_count(task_model_table(model)), sizeof *data);
    nn_graph_init(task_model_graph(model), data, 3);
    check_ok(task_model_write(model, data, NAN, path, &err), err);
    check_ok(fl_file_read(&bytes, &out.n, path, 1 << 20, &err), err);
    out.bytes = bytes;
    free(data);
    task_model_destroy(&model);
    free(path);
    return out;
}

/* Where the file is, a job with a model of its own is read from there; elsewhere from what
 * came with it, and never from a path that somebody else wrote. */
static void the_graph_of_a_file_travels_with_its_job(void **state)
{
    (void)state;
    static const char text[] = "# for the sites\n"
                               "name: x\ntask: classify\n"
                               "data: {input: [1, 8, 8], classes: [a, b, c]}\n"
                               "model: {onnx: net.onnx, freeze: ['conv1*']}\nrounds: 1\n";
    static const char digest[] = "0123456789abcdef0123456789abcdef"
                                 "0123456789abcdef0123456789abcdef";
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "job.yaml"), found[MODEL_DIGEST_BYTES];
    job j, there;
    task_model *model = NULL;
    check_ok(fl_file_write(path, text, sizeof text - 1, 0644, &err), err);
    check_fails(job_read(&j, path, &err), FL_ECONFIG);
    check_has(err.text, "job.yaml:5: ");
    check_has(err.text, "net.onnx");
    check_ok(job_parse(&j, text, sizeof text - 1, "job.yaml", dir, &err), err);
    job_graph graph = make_net(dir, &j.data);
    job_clear(&j);

    check_ok(job_read(&j, path, &err), err);
    check(job_starts_from_file(&j));
    check(!job_names_graph(found, j.text, j.n_text));
    check_ok(job_put_graph(&j, digest, &err), err);
    check(job_names_graph(found, j.text, j.n_text));
    check_str(found, digest);

    check_fails(job_parse_model(&there, &model, j.text, j.n_text, "job.yaml", dir, NULL, &err),
                FL_ECONFIG);
    check_has(err.text, "model: the graph of net.onnx did not come with the job");
    check(model == NULL);
    check_ok(job_parse_model(&there, &model, j.text, j.n_text, "job.yaml", "/nowhere", &graph,
                             &err), err);
    check_str(there.model.graph, digest);
    check(there.model.onnx_bytes == NULL);
    check_int(nn_table_at(task_model_table(model), 0)->kind, NN_FROZEN);
    job_clear(&there);
    task_model_destroy(&model);

    job_graph cut = {graph.bytes, graph.n / 2};
    check_fails(job_parse_model(&there, &model, j.text, j.n_text, "job.yaml", dir, &cut, &err),
                FL_ECONFIG);
    check_has(err.text, "model: ");
    check(model == NULL && strchr(err.text, '\n') == NULL);
    job_clear(&j);
    free((void *)graph.bytes);
    free(path);
    check_rmdir(&dir);
}

static void every_key_of_the_example_is_in_the_reference(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "name ", "intended_use ", "task ", "data.input ", "data.classes ",
        "data.positive ", "data.attributes ", "model", "init ", "rounds ",
        "seed ", "strategy.name ", "strategy.weights ", "local.epochs ",
        "local.steps ", "local.batch ", "local.optimizer ", "local.lr ",
        "local.momentum ", "local.schedule ", "local.precision ",
        "local.threads ", "sites.quorum ", "sites.of ", "sites.patience ",
        "sites.late ", "sites.partial ", "select.metric ", "select.split ", "select.keep ",
        "evaluation.threshold.rule ", "evaluation.threshold.at ",
        "evaluation.margin ", "evaluation.subgroups ", "evaluation.min_cell ",
        "evaluation.local_baseline.budget ", "evaluation.histogram_bins ",
        "privacy.secure_aggregation ", "privacy.dp ", "names ",
    };
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    check(to != NULL);
    job_describe(to);
    fclose(to);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        check_has(text, keys[i]);
    }
    free(text);
}

/* What a consortium can play of it. */
static void a_full_evaluation_asks_for_fine_tuned_models_and_the_matrix(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool cross_site, personal;
    } cases[] = {{"  local_baseline: {budget: same_steps}", false, false},
                 {"  cross_site: true\n  local_baseline: {budget: same_steps}", true, false},
                 {"  extent: full\n  local_baseline: {budget: same_steps}", true, true},
                 {"  extent: full\n  local_baseline: {budget: none}", false, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = with_line("  local_baseline:", cases[i].line);
        job j;
        fl_err err = FL_ERR_INIT;
        check_ok(job_parse(&j, text, strlen(text), "job.yaml", ".", &err), err);
        check_int(j.evaluation.cross_site, cases[i].cross_site);
        check_int(j.evaluation.personal.asked, cases[i].personal);
        check(!cases[i].personal || j.evaluation.personal.epochs == 5);
        job_clear(&j);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_evaluation_asks_for_fine_tuned_models_and_the_matrix),
        cmocka_unit_test(a_job_is_read_as_written),
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(
            bad_jobs_are_refused_in_one_sentence_with_file_and_line),
        cmocka_unit_test(a_model_that_does_not_fit_the_data_is_refused),
        cmocka_unit_test(what_does_not_suit_the_task_is_refused),
        cmocka_unit_test(jobs_of_every_task_are_read),
        cmocka_unit_test(a_job_is_read_from_its_file_and_init_must_be_there),
        cmocka_unit_test(the_graph_of_a_file_travels_with_its_job),
        cmocka_unit_test(every_key_of_the_example_is_in_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
