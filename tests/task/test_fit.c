/*
 * test_fit.c - whole trainings: validation chooses, patience, averages, hooks
 */
#include "toy.h"

#include "nn/params.h"

typedef struct {
    char *dir;
    data_set *set;
    task_model *model;
    float *params;
    int64_t P;
    task_train_config cfg;
} bench;

static void bench_init(bench *b)
{
    b->dir = check_tmpdir();
    b->set = toy_rings(b->dir, 200);
    b->model = toy_model(b->set, "{name: mlp, hidden: [16]}");
    b->params = toy_params(b->model, 1);
    b->P = nn_table_count(task_model_table(b->model));
    task_train_defaults(&b->cfg);
    b->cfg.batch = 16;
    b->cfg.optim.lr = 0.1;
}

static void bench_clear(bench *b)
{
    free(b->params);
    task_model_destroy(&b->model);
    data_set_destroy(&b->set);
    check_rmdir(&b->dir);
}

static task_trainer *trainer_of(const bench *b)
{
    fl_err err = FL_ERR_INIT;
    task_trainer *t = NULL;
    check_ok(task_trainer_new(&t, b->model, b->set, &b->cfg, &err), err);
    return t;
}

static double validation_loss(const bench *b, const float *params)
{
    fl_err err = FL_ERR_INIT;
    task_scores s;
    check_ok(task_predict(&s, b->model, params, b->set, DATA_VAL, 1, &err), err);
    double loss = s.loss;
    task_scores_clear(&s);
    return loss;
}

/* Keeps the least validation loss there was. */
typedef struct {
    double least;
    int n;
    int64_t at;
} looks;

static bool note_look(void *ctx, const task_fit_result *r, int64_t done, int64_t total)
{
    looks *l = ctx;
    (void)total;
    l->n++;
    if (l->n == 1 || r->now.loss < l->least) {
        l->least = r->now.loss;
        l->at = done;
    }
    return true;
}

static void the_best_there_was_is_kept(void **state)
{
    (void)state;
    bench b;
    fl_err err = FL_ERR_INIT;
    looks seen = {0};
    task_fit_result r;
    bench_init(&b);
    b.cfg.optim.lr = 1.5;  // so wild that the last is not the best
    task_trainer *t = trainer_of(&b);
    task_fit_config fit = {.rounds = 12, .metric = "loss", .keep_best = true};
    const task_fit_hooks hooks = {.step = {.ctx = &seen}, .looked = note_look};
    check_ok(task_fit(b.params, t, 1, "", &fit, &hooks, &r, &err), err);
    check_int(seen.n, 12);
    check_int(r.steps, 12 * task_trainer_epoch_steps(t));
    check_int(r.best_step, seen.at);
    check_near(r.best.loss, seen.least, 0);
    check_near(validation_loss(&b, b.params), seen.least, 0);
    check(r.now.loss > seen.least);

    // Runs of a trainer are the same training.
    float *by_hand = toy_params(b.model, 1);
    task_train_result done;
    for (uint64_t round = 1; round * (uint64_t)task_trainer_steps(t) <= (uint64_t)seen.at; round++) {
        check_ok(task_trainer_run(t, by_hand, 1, "", round, round > 1, NULL, &done, &err), err);
    }
    check_bytes(by_hand, b.params, (size_t)b.P * sizeof(float));
    free(by_hand);
    task_trainer_destroy(&t);
    bench_clear(&b);
}

static void patience_ends_a_training_and_max_steps_too(void **state)
{
    (void)state;
    bench b;
    fl_err err = FL_ERR_INIT;
    looks seen = {0};
    task_fit_result r;
    bench_init(&b);
    b.cfg.optim.lr = 1e-9;
    b.cfg.optim.momentum = 0;  // nothing gets better but by rounding
    task_trainer *t = trainer_of(&b);
    task_fit_config fit = {.rounds = 50, .metric = "accuracy", .keep_best = true, .patience = 3};
    const task_fit_hooks hooks = {.step = {.ctx = &seen}, .looked = note_look};
    check_ok(task_fit(b.params, t, 1, "", &fit, &hooks, &r, &err), err);
    check(r.stopped);
    check_int(seen.n, 4);  // the first is the best, and three more
    check_int(r.best_step, task_trainer_epoch_steps(t));

    fit = (task_fit_config){.rounds = 50, .max_steps = 7, .try_every = 3, .metric = "loss"};
    seen = (looks){0};
    check_ok(task_fit(b.params, t, 1, "", &fit, &hooks, &r, &err), err);
    check_int(r.steps, 7);
    check_int(seen.n, 3);  // after 3, 6 and the last
    check(!r.stopped);
    check_int(r.best_step, 0);  // the last is kept
    task_trainer_destroy(&t);
    bench_clear(&b);
}

/* The parameters of every step, by the side of a training. */
typedef struct {
    const float *params;
    float *average;
    int64_t P, n;
    double decay;
} averaging;

static bool average_by_hand(void *ctx, int64_t done, int64_t total, double loss)
{
    (void)done;
    (void)total;
    (void)loss;
    averaging *a = ctx;
    double early = (1.0 + (double)a->n) / (10.0 + (double)a->n);
    float decay = (float)(early < a->decay ? early : a->decay);
    for (int64_t i = 0; i < a->P; i++) {
        a->average[i] = decay * a->average[i] + (1 - decay) * a->params[i];
    }
    a->n++;
    return true;
}

static void an_average_follows_the_parameters(void **state)
{
    (void)state;
    bench b;
    fl_err err = FL_ERR_INIT;
    task_train_result done;
    bench_init(&b);
    float *plain = toy_params(b.model, 1), *average = toy_params(b.model, 1);
    averaging a = {.params = plain, .average = average, .P = b.P, .decay = 0.5};
    const task_hooks hooks = {.ctx = &a, .step_done = average_by_hand};
    task_trainer *t = trainer_of(&b);
    for (uint64_t round = 1; round <= 3; round++) {
        check_ok(task_trainer_run(t, plain, 1, "", round, round > 1, &hooks, &done, &err), err);
    }
    task_trainer_destroy(&t);

    b.cfg.ema = 0.5;
    t = trainer_of(&b);
    for (uint64_t round = 1; round <= 3; round++) {
        check_ok(task_trainer_run(t, b.params, 1, "", round, round > 1, NULL, &done, &err), err);
    }
    double most = 0, apart = 0;
    for (int64_t i = 0; i < b.P; i++) {
        most = fmax(most, fabs((double)b.params[i] - average[i]));
        apart = fmax(apart, fabs((double)b.params[i] - plain[i]));
    }
    check_near(most, 0, 1e-6);
    check(apart > 1e-3);
    task_trainer_destroy(&t);
    free(average);
    free(plain);
    bench_clear(&b);
}

typedef struct {
    size_t n_batches, n_cases;
    uint64_t last_epoch;
} batches;

/* Hides the label of every case: nothing can be learnt from them. */
static void hide_labels(void *ctx, const data_set *set, const size_t *index, size_t n,
                        uint64_t epoch, float *x, float *target)
{
    batches *seen = ctx;
    float first[2];
    data_set_batch(set, index, 1, first);
    check_near(x[0], first[0], 0);
    for (size_t i = 0; i < n; i++) {
        check_int((int)target[i], data_set_case(set, index[i]).code);
        target[i] = -1;
    }
    seen->n_batches++;
    seen->n_cases += n;
    seen->last_epoch = epoch;
}

static void a_hook_sees_every_batch_before_its_step(void **state)
{
    (void)state;
    bench b;
    fl_err err = FL_ERR_INIT;
    task_train_result done;
    batches seen = {0};
    bench_init(&b);
    float *before = toy_params(b.model, 1);
    b.cfg.epochs = 2;
    task_trainer *t = trainer_of(&b);
    const task_hooks hooks = {.ctx = &seen, .batch = hide_labels};
    check_ok(task_trainer_run(t, b.params, 1, "", 2, false, &hooks, &done, &err), err);
    check_int(seen.n_batches, done.steps);
    check_int(seen.n_cases, 2 * data_set_n_split(b.set, DATA_TRAIN));
    check_int(seen.last_epoch, 3);  // of the second round's epochs 2 and 3
    check_bytes(b.params, before, (size_t)b.P * sizeof(float));
    free(before);
    task_trainer_destroy(&t);
    bench_clear(&b);
}

/* Its scores are the Dirichlet's mean, which its file remembers. */
static void evidence_is_learnt_and_read_as_such(void **state)
{
    (void)state;
    bench b;
    fl_err err = FL_ERR_INIT;
    task_fit_result r;
    bench_init(&b);
    check_ok(task_loss_parse(&b.cfg.loss, "{name: evidential, anneal_rounds: 4}",
                             task_model_spec(b.model), &err),
             err);
    check_ok(task_model_set_loss(b.model, &b.cfg.loss, &err), err);
    task_trainer *t = trainer_of(&b);
    task_fit_config fit = {.rounds = 30, .metric = "auc", .keep_best = true};
    check_ok(task_fit(b.params, t, 1, "", &fit, NULL, &r, &err), err);
    check(r.best.auc > 0.95);

    task_scores s, again;
    check_ok(task_predict(&s, b.model, b.params, b.set, DATA_TEST, 1, &err), err);
    for (size_t i = 0; i < s.n; i++) {
        check_near(s.score[2 * i] + s.score[2 * i + 1], 1, 1e-12);
    }
    char *path = fl_path_join(b.dir, "m.onnx");
    task_model *read = NULL;
    float *data = NULL;
    check_ok(task_model_write(b.model, b.params, NAN, path, &err), err);
    check_ok(task_model_read(&read, &data, NULL, path, &err), err);
    check_ok(task_predict(&again, read, data, b.set, DATA_TEST, 1, &err), err);
    check_near(again.score[0], s.score[0], 0);
    task_scores_clear(&again);
    task_scores_clear(&s);
    free(data);
    task_model_destroy(&read);
    free(path);
    task_trainer_destroy(&t);
    bench_clear(&b);
}

/* Which data each run was trained on. */
typedef struct {
    const data_set *first;
    int64_t steps[2];  // on the first data, on the later ones
    bool went_back;
} rounds_seen;

static void note_data(void *ctx, const data_set *set, const size_t *index, size_t n,
                      uint64_t epoch, float *x, float *target)
{
    rounds_seen *seen = ctx;
    (void)index;
    (void)n;
    (void)epoch;
    (void)x;
    (void)target;
    seen->went_back = seen->went_back || (set == seen->first && seen->steps[1] > 0);
    seen->steps[set != seen->first]++;
}

static void each_round_is_trained_on_its_own_data(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    bench b;
    task_fit_result r;
    char *later_dir = check_tmpdir();
    data_set *later = toy_rings(later_dir, 120);
    bench_init(&b);
    char *yaml = fl_xasprintf("union: [.]\nlater: [{round: 3, data: \"%s\"}]\n", later_dir);
    toy_file(b.dir, "changing.yaml", yaml);
    char *path = fl_path_join(b.dir, "changing.yaml");
    data_set_destroy(&b.set);
    check_ok(data_set_open(&b.set, path, NULL, &err), err);

    task_trainer *t = trainer_of(&b);
    rounds_seen seen = {.first = b.set};
    const task_fit_hooks hooks = {.step = {.ctx = &seen, .batch = note_data}};
    task_fit_config fit = {.rounds = 5, .metric = "loss", .in_rounds = true};
    check_int(data_set_n_split(b.set, DATA_TRAIN), 120);
    check_int(data_set_n_split(later, DATA_TRAIN), 72);
    check_ok(task_fit(b.params, t, 1, "", &fit, &hooks, &r, &err), err);
    check_int(seen.steps[0], 2 * 8);  // 120 cases in batches of 16
    check_int(seen.steps[1], 3 * 5);  // 72
    check(!seen.went_back);
    check_int(r.steps, 2 * 8 + 3 * 5);
    seen = (rounds_seen){.first = b.set};
    task_trainer_destroy(&t);
    t = trainer_of(&b);
    fit.in_rounds = false;
    check_ok(task_fit(b.params, t, 1, "", &fit, &hooks, &r, &err), err);
    check_int(seen.steps[1], 0);
    task_trainer_destroy(&t);
    data_set_destroy(&later);
    free(path);
    free(yaml);
    check_rmdir(&later_dir);
    bench_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_there_was_is_kept),
        cmocka_unit_test(patience_ends_a_training_and_max_steps_too),
        cmocka_unit_test(an_average_follows_the_parameters),
        cmocka_unit_test(a_hook_sees_every_batch_before_its_step),
        cmocka_unit_test(each_round_is_trained_on_its_own_data),
        cmocka_unit_test(evidence_is_learnt_and_read_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
