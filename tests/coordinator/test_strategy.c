/*
 * test_strategy.c - strategies and the aggregation they share
 */
#include "check.h"

#include "base/json.h"
#include "base/rng.h"
#include "coordinator/aggregate.h"
#include "coordinator/nova.h"
#include "coordinator/vectors.h"
#include "fed/accum.h"
#include "fed/fed.h"

enum { MAX_P = 16, MAX_SITES = 8 };

typedef struct {
    size_t n;
    const float *update[MAX_SITES];
    uint64_t weight[MAX_SITES];
    const double *norm;  // of unequal work
    bool *counted;       // which of them the strategy chose; NULL: nobody asks
} round_input;

static fl_status read_update(void *ctx, size_t i, float *out, int64_t offset, int64_t count,
                             fl_err *err)
{
    (void)err;
    const round_input *in = ctx;
    memcpy(out, in->update[i] + offset, (size_t)count * sizeof *out);
    return FL_OK;
}

static nn_table *table_of(const char *const *kinds, const int64_t *count, size_t n)
{
    fl_err err = FL_ERR_INIT;
    nn_table *t = nn_table_new();
    for (size_t i = 0; i < n; i++) {
        char name[32];
        nn_kind kind;
        nn_shape shape = {1, {count[i]}};
        snprintf(name, sizeof name, "p%zu", i);
        check(nn_kind_parse(&kind, kinds[i]));
        check_ok(nn_table_add(t, name, kind, &shape, &err), err);
    }
    return t;
}

static strategy strategy_of(const char *name)
{
    fl_err err = FL_ERR_INIT;
    job_strategy cfg = {0};
    strategy s;
    snprintf(cfg.name, sizeof cfg.name, "%s", name);
    check_ok(strategy_init(&s, &cfg, &err), err);
    return s;
}

static void step(float *out, float *const *vectors, const strategy *s, const nn_table *t,
                 const float *global, round_input *in)
{
    fl_err err = FL_ERR_INIT;
    aggregate_input a = {
        .n = in->n, .weight = in->weight, .norm = in->norm, .ctx = in, .read = read_update};
    check_ok(aggregate_run(out, in->counted, vectors, s, t, global, &a, &err), err);
}

static void fedavg_of_two_updates_is_their_weighted_mean_on_top_of_the_global(void **state)
{
    (void)state;
    const char *kinds[] = {"weight"};
    const int64_t count[] = {2};
    nn_table *t = table_of(kinds, count, 1);
    strategy s = strategy_of("fedavg");
    float global[] = {1, 2}, a[] = {1, 0}, b[] = {0, -4}, out[2];
    round_input in = {.n = 2, .update = {a, b}, .weight = {3, 1}};
    step(out, NULL, &s, t, global, &in);
    check_near(out[0], 1.75, 0);
    check_near(out[1], 1, 0);
    nn_table_destroy(&t);
}

// ----------------------------------------------------------- golden vectors

static void read_floats(float *out, const json_t *list)
{
    size_t i;
    json_t *x;
    json_array_foreach(list, i, x) {
        out[i] = (float)json_number_value(x);
    }
}

static void read_settings(strategy *s, const json_t *golden)
{
    fl_err err = FL_ERR_INIT;
    job_strategy cfg = {.uniform = json_is_true(json_object_get(golden, "uniform"))};
    const char *key;
    json_t *value;
    snprintf(cfg.name, sizeof cfg.name, "%s", fl_json_get_string(golden, "strategy", ""));
    json_object_foreach(json_object_get(golden, "settings"), key, value) {
        snprintf(cfg.param[cfg.n_params].key, sizeof cfg.param[0].key, "%s", key);
        cfg.param[cfg.n_params++].value = json_number_value(value);
    }
    check_ok(strategy_init(s, &cfg, &err), err);
}

/* chosen: indices, ascending; NULL: the strategy takes all. */
static void check_counted(const bool *counted, size_t n, const json_t *chosen)
{
    size_t next = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *index = json_array_get(chosen, next);
        bool is_next = index != NULL && json_integer_value(index) == (json_int_t)i;
        next += is_next;
        check_int(counted[i], chosen == NULL || is_next);
    }
    check_int(next, json_array_size(chosen));
}

/* NumPy's float64 steps round as ours do, so most values agree to the bit; a
 * rounding that falls the other way costs one unit of float32: 2^-23. */
static void play(const json_t *all, const json_t *golden)
{
    double tolerance = 2.4e-7;
    fl_err err = FL_ERR_INIT;
    strategy s;
    read_settings(&s, golden);
    const char *kinds[MAX_P];
    int64_t ones[MAX_P];
    size_t P = json_array_size(json_object_get(all, "kinds"));
    for (size_t i = 0; i < P; i++) {
        kinds[i] = json_string_value(json_array_get(json_object_get(all, "kinds"), i));
        ones[i] = 1;
    }
    nn_table *t = table_of(kinds, ones, P);
    float **vectors = vectors_new(&s, (int64_t)P, &err);
    float global[MAX_P], expected[MAX_P], out[MAX_P], update[MAX_SITES][MAX_P];
    read_floats(global, json_object_get(golden, "first"));
    double norms[MAX_SITES];
    const json_t *has_norms = json_object_get(golden, "norms");
    for (size_t i = 0; i < json_array_size(has_norms); i++) {
        norms[i] = json_number_value(json_array_get(has_norms, i));
    }
    if (has_norms != NULL) {
        tolerance = 2e-6;  // shares are whole numbers of 2^-24, and the mean is scaled by up to 8
    }
    size_t r;
    json_t *round;
    json_array_foreach(json_object_get(golden, "rounds"), r, round) {
        json_t *updates = json_object_get(round, "updates");
        round_input in = {.n = json_array_size(updates), .norm = has_norms != NULL ? norms : NULL};
        for (size_t i = 0; i < in.n; i++) {
            read_floats(update[i], json_array_get(updates, i));
            in.update[i] = update[i];
            in.weight[i] = (uint64_t)json_integer_value(
                json_array_get(json_object_get(all, "weights"), i));
        }
        bool counted[MAX_SITES];
        in.counted = counted;
        read_floats(expected, json_object_get(round, "global"));
        step(out, vectors, &s, t, global, &in);
        for (size_t i = 0; i < P; i++) {
            check_near(out[i], expected[i], tolerance * fmax(1, fabs((double)expected[i])));
        }
        check_counted(counted, in.n, json_object_get(round, "chosen"));
        memcpy(global, out, sizeof global);
    }
    check_int(r, 4);
    vectors_free(&vectors, &s);
    nn_table_destroy(&t);
}

static void four_rounds_of_every_strategy_agree_with_numpy(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *all = NULL;
    check_ok(fl_json_read(&all, "tests/vectors/strategy_golden.json", 1 << 20, &err), err);
    size_t i;
    json_t *golden;
    json_array_foreach(json_object_get(all, "cases"), i, golden) {
        play(all, golden);
    }
    check_int(i, 23);
    json_decref(all);
}

// --------------------------------------------------------------------- laws

// --------------------------------------------------------------- partial work

static void the_norm_of_local_steps_is_the_paper_s(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *all = NULL, *row;
    size_t i;
    check_ok(fl_json_read(&all, "tests/vectors/strategy_golden.json", 1 << 20, &err), err);
    check(json_array_size(json_object_get(all, "norms")) > 10);
    json_array_foreach(json_object_get(all, "norms"), i, row) {
        task_train_config local = {
            .optim = {.kind = NN_SGD,
                      .lr = json_number_value(json_object_get(row, "lr")),
                      .momentum = json_number_value(json_object_get(row, "momentum"))}};
        double expected = json_number_value(json_object_get(row, "norm"));
        double found = nova_norm(&local, json_number_value(json_object_get(row, "mu")),
                                 fl_json_get_int(row, "steps", 0));
        check_near(found, expected, 1e-8 * expected);  // written with nine digits
    }
    task_train_config adam = {.optim = {.kind = NN_ADAM, .lr = 1, .momentum = 0.9}};
    check_near(nova_norm(&adam, 0, 12), 12, 0);
    // Nesterov's first step is 1 + momentum.
    task_train_config nesterov = {
        .optim = {.kind = NN_SGD, .lr = 1, .momentum = 0.9, .nesterov = true}};
    check_near(nova_norm(&nesterov, 0, 1), 1.9, 1e-12);
    json_decref(all);
}

static void equal_work_is_the_plain_mean_to_the_bit(void **state)
{
    (void)state;
    const char *kinds[] = {"weight", "stat"};
    const int64_t count[] = {2, 1};
    nn_table *t = table_of(kinds, count, 2);
    strategy s = strategy_of("fedavg");
    float global[] = {1, 2, 3}, a[] = {0.1f, 0.7f, 2}, b[] = {-0.3f, 1e-5f, 9}, plain[3], out[3];
    const double norm[] = {7.3, 7.3};
    round_input in = {.n = 2, .update = {a, b}, .weight = {300, 77}};
    step(plain, NULL, &s, t, global, &in);
    in.norm = norm;
    step(out, NULL, &s, t, global, &in);
    check_bytes(out, plain, sizeof out);
    nn_table_destroy(&t);
}

/* Two sites of equal size pull towards -1 and 3 with steps of gradient descent on (x - e)^2 / 2,
 * one ten times as many as the other.  The plain mean ends near the busy one; normalised it ends near
 * the optimum, 1 (the paper's figure 1). */
static void unequal_work_does_not_pull_the_model_to_the_busy_site(void **state)
{
    (void)state;
    const char *kinds[] = {"weight"};
    const int64_t one[] = {1};
    const double lr = 1e-3, optimum = 1;
    const int64_t steps[] = {2, 20};
    const float target[] = {-1, 3};
    nn_table *t = table_of(kinds, one, 1);
    strategy s = strategy_of("fedavg");
    task_train_config local = {.optim = {.kind = NN_SGD, .lr = lr}};
    const double norm[] = {nova_norm(&local, 0, steps[0]), nova_norm(&local, 0, steps[1])};
    double ends[2];
    for (int normalised = 0; normalised < 2; normalised++) {
        float x = 0, update[2], out;
        for (int round = 0; round < 2000; round++) {
            for (int i = 0; i < 2; i++) {
                update[i] = (float)((1 - pow(1 - lr, (double)steps[i])) * (double)(target[i] - x));
            }
            round_input in = {.n = 2,
                              .update = {&update[0], &update[1]},
                              .weight = {50, 50},
                              .norm = normalised ? norm : NULL};
            step(&out, NULL, &s, t, &x, &in);
            x = out;
        }
        ends[normalised] = x;
    }
    check(ends[0] > 2.5);
    check_near(ends[1], optimum, 0.02);  // as far as the steps are small
    nn_table_destroy(&t);
}

static void weights_of_unequal_work_stay_within_an_exact_sum(void **state)
{
    (void)state;
    const uint32_t weight[] = {1, FED_MAX_WEIGHT_SUM - 5000, 4000, 3};
    const double norm[] = {1, 1000, 1e9, 0.5};
    uint32_t out[4];
    double rates = 0;
    uint64_t sum = 0;
    double scale = nova_weights(out, weight, norm, 4);
    for (int i = 0; i < 4; i++) {
        sum += out[i];
        rates += weight[i] / norm[i];
    }
    check(sum <= FED_MAX_WEIGHT_SUM);
    for (int i = 0; i < 4; i++) {
        check_near(out[i], FED_MAX_WEIGHT_SUM * (weight[i] / norm[i] / rates), 5);
        check(out[i] >= 1);
    }
    check(scale >= 1);
}

static void every_strategy_in_the_registry_is_named_and_cited(void **state)
{
    (void)state;
    size_t n = 0;
    for (; strategy_at(n) != NULL; n++) {
        const strategy_ops *ops = strategy_at(n);
        check(strategy_find(ops->name) == ops);
        check(strlen(ops->paper) > 10);
        check(ops->block != NULL && ops->n_vectors <= STRATEGY_MAX_VECTORS);
    }
    check_int(n, 10);
}

static void identical_updates_move_the_global_by_just_that_update(void **state)
{
    (void)state;
    const char *kinds[] = {"weight", "stat"};
    const int64_t count[] = {3, 2};
    nn_table *t = table_of(kinds, count, 2);
    strategy s = strategy_of("fedprox");
    float global[] = {1, 2, 3, 4, 5}, u[] = {0.5f, -0.25f, 0, 8, -3}, out[5];
    round_input in = {.n = 3, .update = {u, u, u}, .weight = {7, 100, 13}};
    step(out, NULL, &s, t, global, &in);
    for (int i = 0; i < 5; i++) {
        check_near(out[i], global[i] + u[i], 0);
    }
    nn_table_destroy(&t);
}

/* The sum is of integers, so no order is better than another. */
static void the_order_of_contributions_changes_no_bit(void **state)
{
    (void)state;
    enum { P = 70000, N = 5, TRIALS = 20 };  // more than one block
    const char *kinds[] = {"weight", "stat", "norm"};
    const int64_t count[] = {40000, 20000, 10000};
    nn_table *t = table_of(kinds, count, 3);
    strategy s = strategy_of("fedadam");
    fl_rng rng;
    fl_rng_init(&rng, 5, "test", "", 0);
    float *data = fl_xcalloc((N + 3) * (size_t)P, sizeof *data);
    float *global = data + N * P, *first = global + P, *out = first + P;
    for (size_t i = 0; i < (N + 1) * (size_t)P; i++) {
        data[i] = (float)fl_rng_normal(&rng);
    }
    size_t order[N] = {0, 1, 2, 3, 4};
    for (int trial = 0; trial < TRIALS; trial++) {
        fl_err err = FL_ERR_INIT;
        round_input in = {.n = N};
        for (size_t i = 0; i < N; i++) {
            in.update[i] = data + order[i] * P;
            in.weight[i] = 100 + 37 * order[i];
        }
        float **vectors = vectors_new(&s, P, &err);
        step(trial == 0 ? first : out, vectors, &s, t, global, &in);
        vectors_free(&vectors, &s);
        if (trial > 0) {
            check_bytes(out, first, P * sizeof *out);
        }
        fl_rng_shuffle(&rng, order, N);
    }
    free(data);
    nn_table_destroy(&t);
}

static void server_optimisers_leave_running_statistics_to_the_plain_mean(void **state)
{
    (void)state;
    const char *kinds[] = {"stat", "weight"};
    const int64_t count[] = {1, 1};
    nn_table *t = table_of(kinds, count, 2);
    const char *names[] = {"fedavgm", "fedadam", "fedyogi", "fedadagrad"};
    for (size_t i = 0; i < 4; i++) {
        fl_err err = FL_ERR_INIT;
        strategy s = strategy_of(names[i]);
        float **vectors = vectors_new(&s, 2, &err);
        float global[] = {10, 10}, u[] = {0.5f, 0.5f}, out[2];
        round_input in = {.n = 1, .update = {u}, .weight = {9}};
        step(out, vectors, &s, t, global, &in);
        check_near(out[0], 10.5, 0);
        if (i > 0) {
            check(out[1] != 10.5f);
        }
        vectors_free(&vectors, &s);
    }
    nn_table_destroy(&t);
}

static void weights_that_sum_to_more_than_the_limit_are_halved_together(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    uint64_t weight[] = {1 << 24, 1 << 23, 1};
    uint32_t out[3];
    check_ok(aggregate_weights(out, weight, 3, false, &err), err);
    check((uint64_t)out[0] + out[1] + out[2] <= 1 << 24);
    check_int(out[0], 2 * out[1]);
    check_int(out[2], 1);
    check_ok(aggregate_weights(out, weight, 3, true, &err), err);
    check(out[0] == 1 && out[1] == 1 && out[2] == 1);
    uint64_t small[] = {3, 5};
    check_ok(aggregate_weights(out, small, 2, false, &err), err);
    check(out[0] == 3 && out[1] == 5);
}

static void what_is_not_finite_or_out_of_range_is_refused(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY, 128, -200};
    const char *kinds[] = {"weight"};
    const int64_t count[] = {1};
    nn_table *t = table_of(kinds, count, 1);
    strategy s = strategy_of("fedavg");
    for (size_t i = 0; i < 5; i++) {
        fl_err err = FL_ERR_INIT;
        float global = 0, out;
        round_input in = {.n = 1, .update = {&bad[i]}, .weight = {1}};
        aggregate_input a = {.n = 1, .weight = in.weight, .ctx = &in, .read = read_update};
        check_fails(aggregate_run(&out, NULL, NULL, &s, t, &global, &a, &err), FL_EFORMAT);
    }
    nn_table_destroy(&t);
}

/* Sites that nobody has in memory: value of site i at parameter p. */
static float made_value(size_t i, int64_t p)
{
    return (float)((int64_t)(i * 7919 + (size_t)p * 104729) % 10007 - 5003) * 1e-4f;
}

static fl_status make_update(void *ctx, size_t i, float *out, int64_t offset, int64_t count,
                             fl_err *err)
{
    (void)ctx, (void)err;
    for (int64_t p = 0; p < count; p++) {
        out[p] = made_value(i, offset + p);
    }
    return FL_OK;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* So many sites that their updates go by in blocks smaller than a piece. */
static void ten_thousand_sites_have_a_median_and_a_trimmed_mean(void **state)
{
    (void)state;
    enum { N = 10000, P = 2000, CUT = 2000 };
    fl_err err = FL_ERR_INIT;
    const char *kinds[] = {"weight", "stat", "bias"};
    const int64_t count[] = {P - 20, 5, 15};
    nn_table *t = table_of(kinds, count, 3);
    float *global = fl_xcalloc(P, sizeof *global), *out = fl_xcalloc(P, sizeof *out);
    float *column = fl_xcalloc(N, sizeof *column);
    uint64_t *weight = fl_xcalloc(N, sizeof *weight);
    for (int p = 0; p < P; p++) {
        global[p] = (float)p;
    }
    aggregate_input in = {.n = N, .weight = weight, .read = make_update};
    for (int which = 0; which < 2; which++) {
        strategy s = strategy_of(which == 0 ? "median" : "trimmed_mean");
        s.value[0] = 0.2;
        check_ok(aggregate_run(out, NULL, NULL, &s, t, global, &in, &err), err);
        for (int p = 0; p < P; p += 37) {
            size_t k = which == 0 ? (N - 1) / 2 : CUT;
            double sum = 0;
            for (size_t i = 0; i < N; i++) {
                column[i] = made_value(i, p);
            }
            qsort(column, N, sizeof *column, by_value);
            for (size_t i = k; i < N - k; i++) {
                sum += (double)column[i];
            }
            double step = sum / (double)(N - 2 * k);
            check_near(out[p], global[p] + step, 2.4e-7 * fmax(1, global[p]));
        }
    }
    free(weight);
    free(column);
    free(out);
    free(global);
    nn_table_destroy(&t);
}

static void a_wrong_update_moves_a_mean_but_no_median(void **state)
{
    (void)state;
    const char *kinds[] = {"weight", "stat"};
    const int64_t one[] = {1, 1};
    nn_table *t = table_of(kinds, one, 2);
    const float honest[][2] = {{0.9f, 0.9f}, {1.0f, 1.0f}, {1.1f, 1.1f}, {1.2f, 1.2f}};
    const float lie[2] = {-127, -1e6f}, global[2] = {0};
    round_input in = {.n = 5,
                      .update = {honest[0], lie, honest[1], honest[2], honest[3]},
                      .weight = {10, 100000, 10, 10, 10}};  // and says that it has most cases
    float out[2];
    strategy s = strategy_of("fedavg");
    step(out, NULL, &s, t, global, &in);
    check(out[0] < -100 && out[1] < -900000);
    s = strategy_of("median");
    step(out, NULL, &s, t, global, &in);
    check_near(out[0], 1.0, 1e-7);
    check_near(out[1], 1.0, 1e-7);
    s = strategy_of("trimmed_mean");
    s.value[0] = 0.2;  // one of five at each end
    step(out, NULL, &s, t, global, &in);
    check_near(out[0], 1.0, 1e-7);
    check_near(out[1], 1.0, 1e-7);
    nn_table_destroy(&t);
}

static void a_rule_that_sees_each_update_is_not_given_what_it_cannot_use(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    strategy median = strategy_of("median"), mean = strategy_of("fedavg");
    job j = {.sites = {.partial = true}};
    check_ok(aggregate_check(&j, &mean, &err), err);
    check_fails(aggregate_check(&j, &median, &err), FL_ECONFIG);
    check(strstr(err.text, "sites.partial: median") != NULL);
    j.sites.partial = false;
    check_ok(aggregate_check(&j, &median, &err), err);
    j.privacy.secure_aggregation = true;
    check_fails(aggregate_check(&j, &median, &err), FL_ECONFIG);
}

static void stretches_follow_the_kinds_across_a_block(void **state)
{
    (void)state;
    const char *kinds[] = {"weight", "bias", "stat", "stat", "norm"};
    const int64_t count[] = {10, 5, 3, 2, 100};
    nn_table *t = table_of(kinds, count, 5);
    aggregate_stretch s = aggregate_stretch_at(t, 0, 120);
    check(s.offset == 0 && s.count == 15 && s.trainable);
    s = aggregate_stretch_at(t, 15, 120);
    check(s.offset == 15 && s.count == 5 && !s.trainable);
    s = aggregate_stretch_at(t, 20, 120);
    check(s.offset == 20 && s.count == 100 && s.trainable);
    s = aggregate_stretch_at(t, 12, 14);
    check(s.offset == 12 && s.count == 2 && s.trainable);
    s = aggregate_stretch_at(t, 17, 19);
    check(s.offset == 17 && s.count == 2 && !s.trainable);
    s = aggregate_stretch_at(t, 119, 120);
    check(s.offset == 119 && s.count == 1);
    nn_table_destroy(&t);
}

static void vectors_survive_the_disk(void **state)
{
    (void)state;
    enum { P = 5 };
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "state.safetensors");
    strategy s = strategy_of("fedadam");
    float **a = vectors_new(&s, P, &err), **b = NULL;
    for (int v = 0; v < 2; v++) {
        for (int i = 0; i < P; i++) {
            a[v][i] = (float)(10 * v + i) / 3;
        }
    }
    check_ok(vectors_write(path, &s, P, a, &err), err);
    check_ok(vectors_read(&b, path, &s, P, &err), err);
    check_bytes(b[0], a[0], P * sizeof(float));
    check_bytes(b[1], a[1], P * sizeof(float));
    vectors_free(&b, &s);
    check_fails(vectors_read(&b, path, &s, P + 1, &err), FL_EFORMAT);
    strategy other = strategy_of("fedyogi");
    check_fails(vectors_read(&b, path, &other, P, &err), FL_EFORMAT);
    vectors_free(&a, &s);
    free(path);
    check_rmdir(&dir);
}

static void unknown_strategies_and_settings_are_named(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    strategy s;
    job_strategy cfg = {.name = "fedbest"};
    check_fails(strategy_init(&s, &cfg, &err), FL_ECONFIG);
    check_has(err.text, "fedavg fedprox fedavgm fedadam fedyogi fedadagrad");
    check_has(err.text, "fedbest");
    cfg = (job_strategy){.name = "fedadam", .param = {{"mu", 1}}, .n_params = 1};
    check_fails(strategy_init(&s, &cfg, &err), FL_ECONFIG);
    check_has(err.text, "strategy.mu");
    cfg = (job_strategy){.name = "fedadam", .param = {{"beta1", 1.5}}, .n_params = 1};
    check_fails(strategy_init(&s, &cfg, &err), FL_ECONFIG);
    check_has(err.text, "strategy.beta1");
    cfg.param[0].value = NAN;
    check_fails(strategy_init(&s, &cfg, &err), FL_ECONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fedavg_of_two_updates_is_their_weighted_mean_on_top_of_the_global),
        cmocka_unit_test(four_rounds_of_every_strategy_agree_with_numpy),
        cmocka_unit_test(the_norm_of_local_steps_is_the_paper_s),
        cmocka_unit_test(equal_work_is_the_plain_mean_to_the_bit),
        cmocka_unit_test(unequal_work_does_not_pull_the_model_to_the_busy_site),
        cmocka_unit_test(weights_of_unequal_work_stay_within_an_exact_sum),
        cmocka_unit_test(every_strategy_in_the_registry_is_named_and_cited),
        cmocka_unit_test(identical_updates_move_the_global_by_just_that_update),
        cmocka_unit_test(the_order_of_contributions_changes_no_bit),
        cmocka_unit_test(server_optimisers_leave_running_statistics_to_the_plain_mean),
        cmocka_unit_test(weights_that_sum_to_more_than_the_limit_are_halved_together),
        cmocka_unit_test(what_is_not_finite_or_out_of_range_is_refused),
        cmocka_unit_test(ten_thousand_sites_have_a_median_and_a_trimmed_mean),
        cmocka_unit_test(a_wrong_update_moves_a_mean_but_no_median),
        cmocka_unit_test(a_rule_that_sees_each_update_is_not_given_what_it_cannot_use),
        cmocka_unit_test(stretches_follow_the_kinds_across_a_block),
        cmocka_unit_test(vectors_survive_the_disk),
        cmocka_unit_test(unknown_strategies_and_settings_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
