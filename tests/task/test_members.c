/*
 * test_members.c - several predictions of a case, against predictions made one by one
 */
#include "task/members.h"

#include "toy.h"

enum { PIXELS = TOY_SIDE * TOY_SIDE };

static const task_members one = {TASK_ONE, 1};

static void dropout_says_how_sure_a_mask_is(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_squares(dir, 20, 2);
    task_model *m = toy_model(set, "{name: unet, base: 4, depth: 1, dropout: 0.3}");
    float *params = toy_params(m, 2);
    const task_member model = {m, params};
    task_members how;
    task_doubt a, b, other;
    check_ok(task_members_parse(&how, "mc:6", &err), err);
    check_ok(task_doubt_of(&a, &how, &model, 1, set, DATA_TEST, 7, 1, NULL, &err), err);
    check_ok(task_doubt_of(&b, &how, &model, 1, set, DATA_TEST, 7, 1, NULL, &err), err);
    check_ok(task_doubt_of(&other, &how, &model, 1, set, DATA_TEST, 8, 1, NULL, &err), err);
    check_int(a.scores.n, 4);
    check_bytes(a.information, b.information, a.scores.n * sizeof *a.information);
    check(memcmp(a.information, other.information, a.scores.n * sizeof *a.information) != 0);
    for (size_t i = 0; i < a.scores.n; i++) {
        check(a.information[i] > 0 && a.information[i] < a.entropy[i]);
        check(a.entropy[i] < log(2) && a.variance[i] > 0 && a.variance[i] < 0.25);
        check(a.expected[i] >= 0 && a.expected[i] <= 1);
    }
    json_t *json = task_doubt_json(&a, data_set_spec(set), NAN,
                                   &(eval_selective_config){.share = 0.2, .target = NAN, .seed = 1},
                                   0.5, NULL);
    check_str(fl_json_get_string(json, "how", ""), "mc:6");
    check_str(fl_json_get_string(json, "measure", ""), "expected_error");
    check_int(fl_json_get_int(json_object_get(json, "flag"), "n", 0), 4);
    check(json_object_get(json, "lesions") != NULL);
    json_decref(json);
    task_doubt_clear(&a);
    task_doubt_clear(&b);
    task_doubt_clear(&other);
    task_doubt_clear(&other);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

/* The foreground's probability of n images x, by a plan of its own. */
static double *foreground_of(const task_model *m, const float *params, const float *x, size_t n)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    const nn_plan_config cfg = {.capacity = (int64_t)n, .threads = 1};
    double *p = fl_xcalloc(n * PIXELS, sizeof *p);
    check_ok(nn_plan_new(&plan, task_model_graph(m), &cfg, &err), err);
    memcpy(nn_plan_input(plan, 0), x, n * PIXELS * sizeof *x);
    nn_plan_forward(plan, params, (int64_t)n);
    int64_t L = nn_graph_shape(task_model_graph(m),
                               nn_graph_output_at(task_model_graph(m), 0))->dim[1];
    for (size_t i = 0; i < n * PIXELS; i++) {
        const float *z = nn_plan_output(plan, 0) + i / PIXELS * (size_t)L * PIXELS + i % PIXELS;
        p[i] = 1 / (1 + exp(L == 1 ? -(double)z[0] : (double)z[0] - z[PIXELS]));
    }
    nn_plan_destroy(&plan);
    return p;
}

/* What turning by member does, said in another way: undone by hand. */
static size_t turned(int member, int row, int col)
{
    if (member & 4) {
        int swap = row;
        row = col;
        col = swap;
    }
    row = member & 2 ? TOY_SIDE - 1 - row : row;
    col = member & 1 ? TOY_SIDE - 1 - col : col;
    return (size_t)(row * TOY_SIDE + col);
}

typedef struct {
    double entropy[PIXELS], variance[PIXELS], prob[PIXELS];
    size_t n;
} kept;

static fl_status keep_first(void *ctx, const data_set *set, size_t i, const task_map *map,
                            fl_err *err)
{
    (void)set;
    (void)i;
    (void)err;
    kept *k = ctx;
    for (int p = 0; k->n == 0 && p < PIXELS; p++) {
        k->entropy[p] = (double)map->entropy[p];
        k->variance[p] = (double)map->variance[p];
        k->prob[p] = (double)map->prob[p];
    }
    k->n++;
    return FL_OK;
}

static void turned_inputs_are_turned_back(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_squares(dir, 20, 2);
    task_model *m = toy_model(set, "{name: unet, base: 4, depth: 1}");
    float *params = toy_params(m, 3);
    const task_member model = {m, params};
    const size_t first = data_set_split(set, DATA_TEST)[0];
    float x[PIXELS], seen[8 * PIXELS];
    double mean[PIXELS] = {0}, square[PIXELS] = {0};
    data_set_batch(set, &first, 1, x);
    for (int member = 0; member < 8; member++) {
        for (int p = 0; p < PIXELS; p++) {
            seen[member * PIXELS + p] = x[turned(member, p / TOY_SIDE, p % TOY_SIDE)];
        }
    }
    double *p = foreground_of(m, params, seen, 8);
    for (int member = 0; member < 8; member++) {
        for (int i = 0; i < PIXELS; i++) {
            size_t at = turned(member, i / TOY_SIDE, i % TOY_SIDE);
            mean[at] += p[member * PIXELS + i] / 8;
            square[at] += p[member * PIXELS + i] * p[member * PIXELS + i] / 8;
        }
    }
    kept got = {.n = 0};
    const task_maps maps = {.ctx = &got, .take = keep_first};
    task_doubt d;
    check_ok(task_doubt_of(&d, &(task_members){TASK_FLIPS, 8}, &model, 1, set, DATA_TEST, 1, 1,
                           &maps, &err), err);
    check_int(got.n, d.scores.n);
    double largest = 0;
    for (int i = 0; i < PIXELS; i++) {
        double variance = square[i] - mean[i] * mean[i];
        double entropy = -mean[i] * log(mean[i]) - (1 - mean[i]) * log(1 - mean[i]);
        check_near(got.prob[i], mean[i], 1e-5);
        check_near(got.entropy[i], entropy, 1e-4);
        check_near(got.variance[i], variance, 1e-5);
        largest = fmax(largest, variance);
    }
    check(largest > 1e-4);  // the turnings do differ
    task_doubt_clear(&d);
    free(p);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void an_ensemble_is_the_mean_of_its_models(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_rings(dir, 200);
    task_member models[3];
    task_scores scores[3];
    for (uint64_t k = 0; k < 3; k++) {
        models[k].model = toy_model(set, k == 2 ? "{name: mlp, hidden: [9]}"
                                                : "{name: mlp, hidden: [5]}");
        models[k].params = toy_params(models[k].model, k + 1);
        check_ok(task_predict(&scores[k], models[k].model, models[k].params, set, DATA_TEST, 1,
                              &err), err);
    }
    task_doubt d;
    check_ok(task_doubt_of(&d, &(task_members){TASK_ENSEMBLE, 0}, models, 3, set, DATA_TEST, 1, 1,
                           NULL, &err), err);
    check_int(d.members.n, 3);
    for (size_t i = 0; i < d.scores.n; i++) {
        double p = 0, own = 0;
        for (int k = 0; k < 3; k++) {
            double q = scores[k].score[2 * i];
            p += q / 3;
            own -= (q * log(q) + (1 - q) * log(1 - q)) / 3;
        }
        double entropy = -p * log(p) - (1 - p) * log(1 - p);
        check_near(d.scores.score[2 * i], p, 1e-12);
        check_near(d.entropy[i], entropy, 1e-12);
        check_near(d.information[i], entropy - own, 1e-12);
        check_int(d.scores.label[i], scores[0].label[i]);
    }
    task_doubt_clear(&d);
    // One alone is itself, and its entropy is all there is.
    check_ok(task_doubt_of(&d, &one, models, 1, set, DATA_TEST, 1, 1, NULL, &err), err);
    check_bytes(d.scores.score, scores[0].score, d.scores.n * 2 * sizeof(double));
    eval_doubt measures[TASK_MAX_DOUBTS];
    check_int(task_doubts(measures, &d), 1);
    check_str(measures[0].name, "entropy");
    size_t above = 0;
    double limit = task_doubt_limit(&d, 0.25);
    for (size_t i = 0; i < d.scores.n; i++) {
        above += d.entropy[i] >= limit;
    }
    check_near((double)above, 0.25 * (double)d.scores.n, 1.01);
    task_doubt_clear(&d);
    for (int k = 0; k < 3; k++) {
        task_model *m = (task_model *)models[k].model;
        free((float *)models[k].params);
        task_model_destroy(&m);
        task_scores_clear(&scores[k]);
    }
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static double binary_entropy(double p)
{
    return -p * log(p) - (1 - p) * log(1 - p);
}

/* Three small networks with first values of their own, and what each says. */
typedef struct {
    task_member model[3];
    task_scores scores[3];
} trio;

static void trio_init(trio *t, const data_set *set)
{
    fl_err err = FL_ERR_INIT;
    for (uint64_t k = 0; k < 3; k++) {
        t->model[k].model = toy_model(set, "{name: mlp, hidden: [5]}");
        t->model[k].params = toy_params(t->model[k].model, k + 1);
        check_ok(task_predict(&t->scores[k], t->model[k].model, t->model[k].params, set, DATA_TEST,
                              1, &err), err);
    }
}

static void trio_clear(trio *t)
{
    for (int k = 0; k < 3; k++) {
        task_model *m = (task_model *)t->model[k].model;
        free((float *)t->model[k].params);
        task_model_destroy(&m);
        task_scores_clear(&t->scores[k]);
    }
}

static void each_finding_has_a_doubt_of_its_own(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_findings(dir, 150);
    trio t;
    task_doubt d;
    trio_init(&t, set);
    check_ok(task_doubt_of(&d, &(task_members){TASK_ENSEMBLE, 0}, t.model, 3, set, DATA_TEST, 1, 1,
                           NULL, &err), err);
    size_t n_wrong[2] = {0}, n_asked[2] = {0};
    double errors = 0;
    for (size_t i = 0; i < d.scores.n; i++) {
        double entropy = 0, information = 0, wrong = 0, asked = 0;
        for (size_t k = 0; k < 2; k++) {
            size_t at = 2 * i + k;
            double p = 0, own = 0, y = t.scores[0].target[at];
            for (int m = 0; m < 3; m++) {
                p += t.scores[m].score[at] / 3;
                own += binary_entropy(t.scores[m].score[at]) / 3;
            }
            check_near(d.scores.score[at], p, 1e-12);
            check_near(d.entropy_of[at], binary_entropy(p), 1e-12);
            check_near(d.information_of[at], binary_entropy(p) - own, 1e-12);
            entropy += binary_entropy(p) / 2;
            information += (binary_entropy(p) - own) / 2;
            check(isnan(y) ? isnan(d.scores.target[at]) : d.scores.target[at] == y);
            if (!isnan(y)) {
                asked++;
                n_asked[k]++;
                wrong += (p >= 0.5) != (y > 0.5);
                n_wrong[k] += (p >= 0.5) != (y > 0.5);
            }
        }
        check_near(d.entropy[i], entropy, 1e-12);
        check_near(d.information[i], information, 1e-12);
        check(task_scores_judged(&d.scores, i));
        errors += wrong / asked / (double)d.scores.n;
    }
    json_t *json = task_doubt_json(&d, data_set_spec(set), NAN,
                                   &(eval_selective_config){.share = 0.2, .target = NAN, .seed = 1},
                                   NAN, "none");
    check_str(fl_json_get_string(json, "error_of", ""), "findings");
    check_near(fl_json_get_number(json_object_get(json, "error"), "value"), errors, 1e-9);
    check(json_object_get(json_object_get(json_object_get(json, "measures"), "entropy"), "pearson")
          != NULL);
    const json_t *list = json_object_get(json, "findings");
    for (size_t k = 0; k < 2; k++) {
        const json_t *f = json_array_get(list, k);
        check_str(fl_json_get_string(f, "class", ""), k == 0 ? "left" : "right");
        check_int(fl_json_get_int(f, "n", 0), n_asked[k]);
        check_int(fl_json_get_int(f, "n_wrong", 0), n_wrong[k]);
        check_int(fl_json_get_int(json_object_get(f, "entropy"), "n", 0), n_asked[k]);
        check(json_object_get(f, "information") != NULL);
    }
    check(n_asked[0] < n_asked[1]);
    json_decref(json);
    task_doubt_clear(&d);
    // One prediction agrees with itself: its entropy is all there is.
    check_ok(task_doubt_of(&d, &one, t.model, 1, set, DATA_TEST, 1, 1, NULL, &err), err);
    eval_doubt measures[TASK_MAX_DOUBTS];
    check_int(task_doubts(measures, &d), 1);
    check_bytes(d.scores.score, t.scores[0].score, d.scores.n * 2 * sizeof(double));
    task_doubt_clear(&d);
    trio_clear(&t);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void several_numbers_spread(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_plane(dir, 120);
    trio t;
    task_doubt d;
    trio_init(&t, set);
    check_ok(task_doubt_of(&d, &(task_members){TASK_ENSEMBLE, 0}, t.model, 3, set, DATA_TEST, 1, 1,
                           NULL, &err), err);
    double errors = 0;
    for (size_t i = 0; i < d.scores.n; i++) {
        double mean = 0, squares = 0;
        for (int m = 0; m < 3; m++) {
            mean += t.scores[m].score[i] / 3;
            squares += t.scores[m].score[i] * t.scores[m].score[i] / 3;
        }
        check_near(d.scores.score[i], mean, 1e-9);
        check_near(d.spread[i] * d.spread[i], squares - mean * mean, 1e-9);
        check(d.scores.target[i] == t.scores[0].target[i]);
        errors += fabs(mean - t.scores[0].target[i]) / (double)d.scores.n;
    }
    check(d.entropy == NULL && d.information == NULL);
    eval_doubt measures[TASK_MAX_DOUBTS];
    check_int(task_doubts(measures, &d), 1);
    check_str(measures[0].name, "spread");
    json_t *json = task_doubt_json(&d, data_set_spec(set), NAN,
                                   &(eval_selective_config){.share = 0.2, .target = NAN, .seed = 1},
                                   task_doubt_limit(&d, 0.2), NULL);
    check_str(fl_json_get_string(json, "error_of", ""), "numbers");
    check_near(fl_json_get_number(json_object_get(json, "error"), "value"), errors, 1e-9);
    check(json_object_get(json, "findings") == NULL && json_object_get(json, "lesions") == NULL);
    check_int(fl_json_get_int(json_object_get(json, "flag"), "n", 0), d.scores.n);
    json_decref(json);
    task_doubt_clear(&d);
    check_fails(task_doubt_of(&d, &one, t.model, 1, set, DATA_TEST, 1, 1, NULL, &err), FL_ECONFIG);
    check_has(err.text, "a number alone says nothing of how sure it is");
    trio_clear(&t);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void evidence_says_what_is_not_known(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_rings(dir, 60);
    task_model *m = toy_model(set, "{name: mlp, hidden: [5]}");
    float *params = toy_params(m, 4);
    task_loss loss;
    check_ok(task_loss_parse(&loss, "evidential", task_model_spec(m), &err), err);
    check_ok(task_model_set_loss(m, &loss, &err), err);
    const task_member model = {m, params};
    task_doubt d;
    check_ok(task_doubt_of(&d, &one, &model, 1, set, DATA_TEST, 1, 1, NULL, &err), err);
    size_t n = d.scores.n;
    nn_plan *plan;
    const nn_plan_config cfg = {.capacity = (int64_t)n, .threads = 1};
    check_ok(nn_plan_new(&plan, task_model_graph(m), &cfg, &err), err);
    data_set_batch(set, d.scores.index, n, nn_plan_input(plan, 0));
    nn_plan_forward(plan, params, (int64_t)n);
    for (size_t i = 0; i < n; i++) {
        const float *z = nn_plan_output(plan, 0) + 2 * i;
        double a = 1 + log1p(exp((double)z[0])), b = 1 + log1p(exp((double)z[1]));
        check_near(d.vacuity[i], 2 / (a + b), 1e-6);
        check_near(d.scores.score[2 * i], a / (a + b), 1e-6);
    }
    eval_doubt measures[TASK_MAX_DOUBTS];
    check_int(task_doubts(measures, &d), 2);
    check_str(measures[0].name, "vacuity");
    nn_plan_destroy(&plan);
    task_doubt_clear(&d);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void what_has_no_members_is_refused_in_words(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_rings(dir, 40);
    task_model *m = toy_model(set, "{name: mlp, hidden: [5]}");
    task_model *wet = toy_model(set, "{name: mlp, hidden: [5], dropout: 0.2}");
    float *params = toy_params(m, 4);
    const task_member models[] = {{m, params}};
    task_doubt d;
    static const struct {
        task_members how;
        const char *why;
    } bad[] = {{{TASK_DROPOUT, 5}, "holds no Dropout"},
               {{TASK_FLIPS, 2}, "a table cannot be turned"},
               {{TASK_ENSEMBLE, 0}, "an ensemble needs 2 to"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_fails(task_doubt_of(&d, &bad[i].how, models, 1, set, DATA_TEST, 1, 1, NULL, &err),
                    FL_ECONFIG);
        check_has(err.text, bad[i].why);
    }
    const task_member wet_one = {wet, params};
    check_ok(task_doubt_of(&d, &bad[0].how, &wet_one, 1, set, DATA_TEST, 1, 1, NULL, &err), err);
    task_doubt_clear(&d);
    task_members how;
    static const char *const odd[] = {"mc", "mc:1", "mc:x", "tta:", "mc:3x", "mc:2000", "", "boo"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        check_fails(task_members_parse(&how, odd[i], &err), FL_EUSAGE);
        check_has(err.text, "expected mc:N or tta:N");
    }
    char text[TASK_MEMBERS_BYTES];
    check_ok(task_members_parse(&how, "tta:8", &err), err);
    task_members_text(text, &how);
    check_str(text, "tta:8");
    free(params);
    task_model_destroy(&wet);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropout_says_how_sure_a_mask_is),
        cmocka_unit_test(turned_inputs_are_turned_back),
        cmocka_unit_test(an_ensemble_is_the_mean_of_its_models),
        cmocka_unit_test(each_finding_has_a_doubt_of_its_own),
        cmocka_unit_test(several_numbers_spread),
        cmocka_unit_test(evidence_says_what_is_not_known),
        cmocka_unit_test(what_has_no_members_is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
