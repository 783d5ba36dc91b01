#include "toy.h"

#include "base/json.h"

/* What most tests need: a toy, a model on it, its parameters. */
typedef struct {
    char *dir;
    data_set *set;
    task_model *model;
    float *params;
    int64_t P;
} bench;

static void bench_init(bench *b, data_set *(*make)(const char *), const char *spec)
{
    b->dir = check_tmpdir();
    b->set = make(b->dir);
    b->model = toy_model(b->set, spec);
    b->params = toy_params(b->model, 1);
    b->P = nn_table_count(task_model_table(b->model));
}

static void bench_clear(bench *b)
{
    free(b->params);
    task_model_destroy(&b->model);
    data_set_destroy(&b->set);
    check_rmdir(&b->dir);
}

static data_set *rings(const char *dir)
{
    return toy_rings(dir, 400);
}

static task_trainer *trainer_of(const bench *b, const task_train_config *cfg)
{
    fl_err err = FL_ERR_INIT;
    task_trainer *t = NULL;
    check_ok(task_trainer_new(&t, b->model, b->set, cfg, &err), err);
    return t;
}

static task_train_result run(task_trainer *t, float *params, uint64_t seed,
                             const char *site, uint64_t round, bool keep_state)
{
    fl_err err = FL_ERR_INIT;
    task_train_result done;
    check_ok(task_trainer_run(t, params, seed, site, round, keep_state, NULL,
                              &done, &err), err);
    return done;
}

static void a_network_learns_rings_that_no_line_separates(void **state)
{
    (void)state;
    bench b;
    task_train_config cfg;
    fl_err err = FL_ERR_INIT;
    bench_init(&b, rings, "{name: mlp, hidden: [16]}");
    task_train_defaults(&cfg);
    cfg.epochs = 30;
    cfg.batch = 16;
    cfg.optim.lr = 0.1;

    task_trainer *t = trainer_of(&b, &cfg);
    task_train_result done = run(t, b.params, 1, "", 1, false);
    check_int(done.steps, task_trainer_steps(t));
    check_int(task_trainer_steps(t), 30 * task_trainer_epoch_steps(t));
    check_int(done.samples, 30 * data_set_n_split(b.set, DATA_TRAIN));

    task_scores scores;
    task_quick quick;
    check_ok(task_predict(&scores, b.model, b.params, b.set, DATA_TEST, 1, &err),
             err);
    task_quick_of(&quick, &scores, task_model_spec(b.model));
    check(quick.auc > 0.98);
    check(quick.accuracy > 0.93);
    check(quick.loss < 0.3);
    task_scores_clear(&scores);
    task_trainer_destroy(&t);
    task_trainer_destroy(&t);
    bench_clear(&b);
}

static void training_makes_the_loss_smaller(void **state)
{
    (void)state;
    bench b;
    task_train_config cfg;
    bench_init(&b, rings, "{name: mlp, hidden: [16]}");
    task_train_defaults(&cfg);
    cfg.epochs = 5;
    task_trainer *t = trainer_of(&b, &cfg);
    double first = run(t, b.params, 1, "", 1, false).loss;
    for (uint64_t round = 2; round <= 6; round++) {
        run(t, b.params, 1, "", round, false);
    }
    double last = run(t, b.params, 1, "", 7, false).loss;
    check(last < 0.8 * first);
    task_trainer_destroy(&t);
    bench_clear(&b);
}

static void the_same_names_give_the_same_bits(void **state)
{
    (void)state;
    bench b;
    task_train_config cfg;
    bench_init(&b, rings, "{name: mlp, hidden: [16], dropout: 0.3}");
    task_train_defaults(&cfg);
    cfg.batch = 7;  // leaves a smaller batch at the end
    size_t bytes = (size_t)b.P * sizeof(float);
    float *again = toy_params(b.model, 1);
    float *other = toy_params(b.model, 1);

    task_trainer *t = trainer_of(&b, &cfg);
    run(t, b.params, 5, "north", 2, false);
    run(t, other, 5, "south", 2, false);  // what was trained between is forgotten
    run(t, again, 5, "north", 2, false);
    check_bytes(again, b.params, bytes);
    check(memcmp(other, b.params, bytes) != 0);
    task_trainer_destroy(&t);

    nn_graph_init(task_model_graph(b.model), again, 1);
    t = trainer_of(&b, &cfg);
    run(t, again, 5, "north", 2, false);
    check_bytes(again, b.params, bytes);
    task_trainer_destroy(&t);
    free(again);
    free(other);
    bench_clear(&b);
}

/* Full batches, so that the order of cases does not matter. */
static void ten_steps_are_those_of_an_independent_implementation(void **state)
{
    (void)state;
    bench b;
    task_train_config cfg;
    fl_err err = FL_ERR_INIT;
    json_t *vectors = NULL;
    check_ok(fl_json_read(&vectors, "tests/vectors/task_logistic.json", 1 << 20,
                          &err), err);
    bench_init(&b, toy_logistic, "logistic");
    check_int(b.P, 4);
    for (size_t j = 0; j < 4; j++) {
        b.params[j] = (float)json_number_value(
            json_array_get(json_object_get(vectors, "start"), j));
    }
    task_train_defaults(&cfg);
    cfg.batch = 1000;
    cfg.optim.lr = fl_json_get_number(vectors, "lr");
    cfg.optim.momentum = fl_json_get_number(vectors, "momentum");
    task_trainer *t = trainer_of(&b, &cfg);
    check_int(task_trainer_epoch_steps(t), 1);
    for (size_t step = 0; step < 10; step++) {
        const json_t *wanted =
            json_array_get(json_object_get(vectors, "steps"), step);
        task_train_result done = run(t, b.params, 1, "", step + 1, step > 0);
        // float against double: a few of 2^-24 a step, of numbers near 1
        check_near(done.loss, fl_json_get_number(wanted, "loss"), 2e-6);
        for (size_t j = 0; j < 4; j++) {
            check_near(b.params[j],
                       json_number_value(json_array_get(
                           json_object_get(wanted, "params"), j)), 5e-6);
        }
    }
    task_trainer_destroy(&t);
    json_decref(vectors);
    bench_clear(&b);
}

static void training_ends_at_the_optimum_that_newton_finds(void **state)
{
    (void)state;
    bench b;
    task_train_config cfg;
    fl_err err = FL_ERR_INIT;
    json_t *vectors = NULL;
    check_ok(fl_json_read(&vectors, "tests/vectors/task_logistic.json", 1 << 20,
                          &err), err);
    bench_init(&b, toy_logistic, "logistic");
    task_train_defaults(&cfg);
    cfg.epochs = 400;
    cfg.batch = 1000;
    cfg.optim.lr = 0.5;
    cfg.optim.weight_decay = fl_json_get_number(vectors, "weight_decay");
    task_trainer *t = trainer_of(&b, &cfg);
    run(t, b.params, 1, "", 1, false);
    for (size_t j = 0; j < 4; j++) {
        check_near(b.params[j],
                   json_number_value(json_array_get(
                       json_object_get(vectors, "optimum"), j)), 1e-4);
    }
    task_scores scores;
    task_quick quick;
    const json_t *wanted = json_object_get(vectors, "test");
    check_ok(task_predict(&scores, b.model, b.params, b.set, DATA_TEST, 1, &err),
             err);
    task_quick_of(&quick, &scores, task_model_spec(b.model));
    check_near(quick.loss, fl_json_get_number(wanted, "loss"), 1e-4);
    check_near(quick.auc, fl_json_get_number(wanted, "auc"), 1e-9);
    check_near(quick.accuracy, fl_json_get_number(wanted, "accuracy"), 1e-9);
    check_near(task_quick_metric(&quick, "auc"), quick.auc, 0);
    task_scores_clear(&scores);
    task_trainer_destroy(&t);
    json_decref(vectors);
    bench_clear(&b);
}

/* One SGD step of a logistic regression in double on the given cases. */
static void plain_step(double *w, const data_set *set, const size_t *index,
                       size_t n, double lr)
{
    double g[4] = {0};
    for (size_t i = 0; i < n; i++) {
        float x[3];
        data_set_batch(set, &index[i], 1, x);
        double z = w[3];
        for (int j = 0; j < 3; j++) {
            z += w[j] * x[j];
        }
        double e = 1 / (1 + exp(-z)) - data_set_case(set, index[i]).code;
        for (int j = 0; j < 3; j++) {
            g[j] += e * x[j] / (double)n;
        }
        g[3] += e / (double)n;
    }
    for (int j = 0; j < 4; j++) {
        w[j] -= lr * g[j];
    }
}

/* 60 cases in batches of 16: 16, 16, 16, 12; rounds of 6 steps. */
static void steps_go_on_where_the_round_before_ended(void **state)
{
    (void)state;
    bench b;
    task_train_config cfg;
    bench_init(&b, toy_logistic, "logistic");
    task_train_defaults(&cfg);
    cfg.epochs = 0;
    cfg.steps = 6;
    cfg.batch = 16;
    cfg.optim.lr = 0.1;
    cfg.optim.momentum = 0;
    double w[4];
    for (int j = 0; j < 4; j++) {
        w[j] = b.params[j];
    }
    size_t order[60];
    for (int at = 0; at < 18; at++) {
        size_t from = (size_t)(at % 4) * 16;
        data_set_shuffle(b.set, DATA_TRAIN, 9, "north", (uint64_t)at / 4, order);
        plain_step(w, b.set, order + from, from == 48 ? 12 : 16, cfg.optim.lr);
    }
    task_trainer *t = trainer_of(&b, &cfg);
    for (uint64_t round = 1; round <= 3; round++) {
        task_train_result done = run(t, b.params, 9, "north", round, false);
        check_int(done.steps, 6);
        check_int(done.samples, round == 1 ? 92 : round == 2 ? 88 : 92);
    }
    for (int j = 0; j < 4; j++) {
        check_near(b.params[j], w[j], 1e-6);
    }
    task_trainer_destroy(&t);
    bench_clear(&b);
}

typedef struct {
    int64_t adjusted, done, total, stop_at;
    double last_loss;
} watched;

static void freeze(void *ctx, float *grad, const float *params, int64_t n)
{
    (void)params;
    ((watched *)ctx)->adjusted++;
    nn_vec_zero(grad, n);
}

static bool watch(void *ctx, int64_t done, int64_t total, double loss)
{
    watched *w = ctx;
    w->done = done;
    w->total = total;
    w->last_loss = loss;
    return done != w->stop_at;
}

static void hooks_see_every_step_and_may_change_its_gradient(void **state)
{
    (void)state;
    bench b;
    task_train_config cfg;
    fl_err err = FL_ERR_INIT;
    task_train_result done;
    watched w = {0};
    task_hooks hooks = {.ctx = &w, .adjust = freeze, .step_done = watch};
    bench_init(&b, toy_logistic, "logistic");
    task_train_defaults(&cfg);
    cfg.epochs = 2;
    float *before = toy_params(b.model, 1);
    task_trainer *t = trainer_of(&b, &cfg);
    check_ok(task_trainer_run(t, b.params, 1, "", 1, false, &hooks, &done, &err),
             err);
    check_int(w.adjusted, 4);
    check_int(w.done, 4);
    check_int(w.total, 4);
    check(isfinite(w.last_loss));
    check_bytes(b.params, before, (size_t)b.P * sizeof(float));

    w.stop_at = 3;
    check_fails(task_trainer_run(t, b.params, 1, "", 1, false, &hooks, &done,
                                 &err), FL_ESTOPPED);
    check_int(done.steps, 3);
    check_has(err.text, "stopped after 3 of 4 steps");
    task_trainer_destroy(&t);
    free(before);
    bench_clear(&b);
}

static void a_loss_that_explodes_is_an_error(void **state)
{
    (void)state;
    bench b;
    task_train_config cfg;
    fl_err err = FL_ERR_INIT;
    task_train_result done;
    bench_init(&b, rings, "{name: mlp, hidden: [16, 16]}");
    task_train_defaults(&cfg);
    cfg.epochs = 50;
    cfg.optim.lr = 1e30;
    task_trainer *t = trainer_of(&b, &cfg);
    check_fails(task_trainer_run(t, b.params, 1, "", 1, false, NULL, &done,
                                 &err), FL_EFORMAT);
    check_has(err.text, "stopped being finite at step ");
    task_trainer_destroy(&t);

    cfg.optim.lr = 0.01;
    b.params[0] = NAN;  // as a broken update would bring
    t = trainer_of(&b, &cfg);
    check_fails(task_trainer_run(t, b.params, 1, "", 1, false, NULL, &done,
                                 &err), FL_EFORMAT);
    check_has(err.text, "stopped being finite at step 1;");
    task_trainer_destroy(&t);
    bench_clear(&b);
}

static void features_that_are_nan_are_refused_before_training(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *set = NULL;
    char *dir = check_tmpdir();
    toy_file(dir, "t.csv", "split,x,label\ntrain,1.5,0\ntrain,nan,1\n");
    toy_file(dir, "dataset.yaml",
             "task: classify\nclasses: {no: 0, yes: 1}\n"
             "table: {file: t.csv}\nsplit: {column: split}\n");
    check(data_set_open(&set, dir, NULL, &err) != FL_OK);
    check_has(err.text, "t.csv:3: x: ");
    check(set == NULL);
    check_rmdir(&dir);
}

static void cases_without_a_label_teach_nothing(void **state)
{
    (void)state;
    bench b;
    task_train_config cfg;
    fl_err err = FL_ERR_INIT;
    b.dir = check_tmpdir();
    toy_file(b.dir, "t.csv",
             "split,x,label\n"
             "train,1,1\ntrain,2,\ntrain,-1,0\ntrain,-2,-1\ntrain,3,1\n"
             "test,1,1\ntest,-1,\n");
    toy_file(b.dir, "dataset.yaml",
             "task: classify\nclasses: {no: 0, yes: 1}\npositive: yes\n"
             "table: {file: t.csv}\nsplit: {column: split}\n");
    b.set = toy_open(b.dir);
    b.model = toy_model(b.set, "logistic");
    b.params = toy_params(b.model, 1);
    task_train_defaults(&cfg);
    cfg.batch = 2;
    task_trainer *t = trainer_of(&b, &cfg);
    check_int(task_trainer_steps(t), 2);
    check_int(run(t, b.params, 1, "", 1, false).samples, 3);
    task_trainer_destroy(&t);

    task_scores scores;
    task_quick quick;
    check_ok(task_predict(&scores, b.model, b.params, b.set, DATA_TEST, 1, &err),
             err);
    check_int(scores.n, 2);
    check_int(scores.label[1], -1);
    task_quick_of(&quick, &scores, task_model_spec(b.model));
    check_int(quick.n, 1);
    check_int(quick.n_positive, 1);
    check(isnan(quick.auc));
    task_scores_clear(&scores);
    bench_clear(&b);
}

static void a_split_without_labels_cannot_be_trained_on(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    task_train_config cfg;
    task_trainer *t = NULL;
    char *dir = check_tmpdir();
    toy_file(dir, "t.csv", "split,x,label\ntrain,1,\ntest,1,1\ntest,2,0\n");
    toy_file(dir, "dataset.yaml",
             "task: classify\nclasses: {no: 0, yes: 1}\n"
             "table: {file: t.csv}\nsplit: {column: split}\n");
    data_set *set = toy_open(dir);
    task_model *m = toy_model(set, "logistic");
    task_train_defaults(&cfg);
    check_fails(task_trainer_new(&t, m, set, &cfg, &err), FL_ECONFIG);
    check_has(err.text, "the training split has 1 cases, none with a label");
    check(t == NULL);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

/* 5 of 60 positive: weighed, a constant model calls half of them. */
static void class_weights_make_a_rare_class_count(void **state)
{
    (void)state;
    static const char *const specs[] = {"logistic", "{name: mlp, hidden: [2]}"};
    fl_buf text = FL_BUF_INIT;
    char *dir = check_tmpdir();
    fl_buf_puts(&text, "split,x,label\n");
    for (int i = 0; i < 60; i++) {
        fl_buf_printf(&text, "train,0,%d\n", i % 12 == 0);
    }
    fl_buf_puts(&text, "test,0,1\ntest,0,0\n");
    toy_file(dir, "t.csv", text.data);
    fl_buf_clear(&text);
    toy_file(dir, "dataset.yaml",
             "task: classify\nclasses: {no: 0, yes: 1}\npositive: yes\n"
             "table: {file: t.csv}\nsplit: {column: split}\n");
    data_set *set = toy_open(dir);
    for (size_t i = 0; i < 2; i++) {
        for (int weighed = 0; weighed <= 1; weighed++) {
            bench b = {.set = set};
            fl_err err = FL_ERR_INIT;
            task_train_config cfg;
            task_scores scores;
            b.model = toy_model(set, specs[i]);
            b.params = toy_params(b.model, 1);
            task_train_defaults(&cfg);
            cfg.batch = 60;
            cfg.epochs = 300;
            cfg.optim.lr = 0.1;
            cfg.class_weights = weighed;
            task_trainer *t = trainer_of(&b, &cfg);
            run(t, b.params, 1, "", 1, false);
            check_ok(task_predict(&scores, b.model, b.params, set, DATA_TEST, 1,
                                  &err), err);
            check_near(scores.score[1], weighed ? 0.5 : 5.0 / 60, 0.01);
            task_scores_clear(&scores);
            task_trainer_destroy(&t);
            free(b.params);
            task_model_destroy(&b.model);
        }
    }
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void the_keys_of_local_are_read(void **state)
{
    (void)state;
    static const char text[] =
        "{steps: 100, batch: 4, optimizer: adamw, lr: 0.001, weight_decay: 0.1,"
        " beta1: 0.8, beta2: 0.99, eps: 1e-6, clip_norm: 5, precision: bf16,"
        " threads: 2, class_weights: true, schedule: step, schedule_rounds: [50, 75]}";
    fl_cfg *doc;
    fl_err err = FL_ERR_INIT;
    task_train_config cfg;
    check_ok(fl_cfg_parse(&doc, text, sizeof text - 1, "local", ".", &err), err);
    const data_spec spec = {.task = DATA_CLASSIFY, .n_classes = 2, .positive = 1};
    task_train_read(&cfg, fl_cfg_root(doc), &spec);
    check_ok(fl_cfg_finish(doc, &err), err);
    check_int(cfg.steps, 100);
    check_int(cfg.epochs, 0);
    check_int(cfg.batch, 4);
    check_int(cfg.optim.kind, NN_ADAMW);
    check_near(cfg.optim.lr, 0.001, 0);
    check_near(cfg.optim.weight_decay, 0.1, 0);
    check_near(cfg.optim.beta1, 0.8, 0);
    check_near(cfg.optim.beta2, 0.99, 0);
    check_near(cfg.optim.eps, 1e-6, 0);
    check_near(cfg.optim.clip_norm, 5, 0);
    check_int(cfg.precision, NN_BF16);
    check_int(cfg.threads, 2);
    check(cfg.class_weights);
    check_int(cfg.schedule.kind, NN_STEP);
    check_int(cfg.schedule.n_drops, 2);
    check_near(cfg.schedule.drops[1], 75, 0);
    fl_cfg_destroy(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_learns_rings_that_no_line_separates),
        cmocka_unit_test(training_makes_the_loss_smaller),
        cmocka_unit_test(the_same_names_give_the_same_bits),
        cmocka_unit_test(ten_steps_are_those_of_an_independent_implementation),
        cmocka_unit_test(training_ends_at_the_optimum_that_newton_finds),
        cmocka_unit_test(steps_go_on_where_the_round_before_ended),
        cmocka_unit_test(hooks_see_every_step_and_may_change_its_gradient),
        cmocka_unit_test(a_loss_that_explodes_is_an_error),
        cmocka_unit_test(features_that_are_nan_are_refused_before_training),
        cmocka_unit_test(cases_without_a_label_teach_nothing),
        cmocka_unit_test(a_split_without_labels_cannot_be_trained_on),
        cmocka_unit_test(class_weights_make_a_rare_class_count),
        cmocka_unit_test(the_keys_of_local_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
