/*
 * test_ood.c - inputs beside those that a model learnt from, and diseases that it did not
 */
#include "task/ood.h"

#include "base/json.h"
#include "task/features.h"
#include "task/unseen.h"
#include "toy.h"

typedef struct {
    char *dir;
    data_set *set;
    task_model *m;
    float *params;
} world;

static world world_new(void)
{
    world w = {.dir = check_tmpdir()};
    w.set = toy_rings(w.dir, 400);
    w.m = toy_model(w.set, "{name: mlp, hidden: [16, 8]}");
    w.params = toy_params(w.m, 1);
    return w;
}

static void world_clear(world *w)
{
    free(w->params);
    task_model_destroy(&w->m);
    data_set_destroy(&w->set);
    check_rmdir(&w->dir);
}

/* 30 cases far from the rings, called "far", and 10 within, called "in"; all are test cases. */
static data_set *far_away(char **dir)
{
    fl_buf text = FL_BUF_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 4, "far", "", 0);
    *dir = check_tmpdir();
    fl_buf_puts(&text, "case,split,x,y,label\n");
    for (int i = 0; i < 40; i++) {
        double r = i < 30 ? 20 : 0.5, angle = fl_rng_range(&rng, 0, 6.283185307179586);
        fl_buf_printf(&text, "c%d,test,%.5f,%.5f,%s\n", i, r * cos(angle), r * sin(angle),
                      i < 30 ? "far" : "in");
    }
    toy_file(*dir, "t.csv", text.data);
    fl_buf_clear(&text);
    toy_file(*dir, "dataset.yaml", "task: classify\nclasses: {in: in, far: far}\n"
                                   "table: {file: t.csv, case: case, label: {column: label}}\n"
                                   "split: {column: split}\n");
    return toy_open(*dir);
}

static double value_at(const json_t *json, const char *a, const char *b)
{
    return fl_json_get_number(json_object_get(json_object_get(json, a), b), "value");
}

static double share_of(const json_t *entry, size_t k)
{
    const json_t *one = json_array_get(json_object_get(entry, "called"), k);
    return fl_json_get_number(json_object_get(one, "share"), "value");
}

static void strange_inputs_are_told_from_the_reference(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    world w = world_new();
    char *far_dir;
    data_set *far = far_away(&far_dir);
    task_ood *o = NULL;
    json_t *json;
    check_ok(task_ood_new(&o, w.m, w.params, w.set, DATA_TEST, 1, &err), err);
    const task_ood_given given = {.set = far, .split = DATA_TEST, .own_classes = true,
                                  .threshold = NAN};
    check_ok(task_ood_judge(&json, o, &given, &err), err);
    check_int(fl_json_get_int(json, "features", 0), 8);
    check_int(fl_json_get_int(json, "means", 0), 2);
    check_str(fl_json_get_string(json_object_get(json, "limit"), "split", ""), "val");
    const json_t *all = json_array_get(json_object_get(json, "sets"), 0);
    check_int(fl_json_get_int(all, "n", 0), 40);
    check(value_at(all, "mahalanobis", "auroc") > 0.8);

    // "in" is the model's, "far" was never taught: all are far, and are called something.
    check_int(json_array_size(json_object_get(json, "unseen")), 1);
    const json_t *unseen = json_array_get(json_object_get(json, "unseen"), 0);
    check_str(fl_json_get_string(unseen, "class", ""), "far");
    check_int(fl_json_get_int(unseen, "n", 0), 30);
    check_near(value_at(unseen, "mahalanobis", "auroc"), 1, 1e-12);
    check_near(value_at(unseen, "mahalanobis", "fpr95"), 0, 1e-12);
    check_near(fl_json_get_number(json_object_get(unseen, "flagged"), "value"), 1, 1e-12);
    check_near(share_of(unseen, 0) + share_of(unseen, 1), 1, 1e-12);
    check(value_at(unseen, "max_softmax", "auroc") >= 0);
    json_decref(json);

    // A case's distance is what the limit is for.
    double distance[40];
    data_split set_by;
    double limit = task_ood_limit(o, &set_by);
    check_ok(task_ood_distance(o, distance, far, data_set_split(far, DATA_TEST), 40, &err), err);
    check_int(set_by, DATA_VAL);
    for (int i = 0; i < 30; i++) {
        check(distance[i] > limit);
    }
    task_ood_destroy(&o);
    data_set_destroy(&far);
    check_rmdir(&far_dir);
    world_clear(&w);
}

typedef double (*sure_by_hand)(const float *z, size_t n);

static double greatest_sigmoid(const float *z, size_t n)
{
    double most = 0;
    for (size_t k = 0; k < n; k++) {
        most = fmax(most, 1 / (1 + exp(-(double)z[k])));
    }
    return most;
}

/* z (L, pixels) */
static double mean_softmax(const float *z, size_t n)
{
    size_t pixels = TOY_SIDE * TOY_SIDE;
    double sum = 0;
    for (size_t i = 0; i < pixels; i++) {
        double all = 0, most = 0;
        for (size_t at = i; at < n; at += pixels) {
            all += exp((double)z[at]);
            most = fmax(most, exp((double)z[at]));
        }
        sum += most / all / (double)pixels;
    }
    return sum;
}

/* How sure each test case's answer looks, beside what its outputs say by hand. */
static void check_sure(const world *w, sure_by_hand by_hand)
{
    fl_err err = FL_ERR_INIT;
    const nn_graph *g = task_model_graph(w->m);
    const size_t *index = data_set_split(w->set, DATA_TEST), n = data_set_n_split(w->set, DATA_TEST);
    size_t width = (size_t)nn_shape_count(nn_graph_shape(g, nn_graph_output_at(g, 0)), 1);
    const nn_plan_config cfg = {.capacity = (int64_t)n, .threads = 1};
    nn_plan *plan;
    task_features *f = NULL;
    check_ok(task_features_new(&f, w->m, w->params, 1, &err), err);
    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    data_set_batch(w->set, index, n, nn_plan_input(plan, 0));
    nn_plan_forward(plan, w->params, (int64_t)n);
    double *feature = fl_xcalloc(n * task_features_n(f), sizeof *feature);
    double *score = fl_xcalloc(n * task_model_n_scores(w->m), sizeof *score);
    double *sure = fl_xcalloc(n, sizeof *sure);
    bool of_pixels = task_model_spec(w->m)->task == DATA_SEGMENT;
    check_ok(task_features_run(f, feature, of_pixels ? NULL : score, sure, w->set, index, n, NULL,
                               0, &err), err);
    double least = 1, most = 0;
    for (size_t i = 0; i < n; i++) {
        check_near(sure[i], by_hand(nn_plan_output(plan, 0) + i * width, width), 1e-6);
        least = fmin(least, sure[i]);
        most = fmax(most, sure[i]);
    }
    check(least < most);
    free(sure);
    free(score);
    free(feature);
    nn_plan_destroy(&plan);
    task_features_destroy(&f);
}

/* The one figure of how sure answers look that the task has; key NULL: none. */
static void check_sure_figure(const world *w, const char *key)
{
    static const char *const keys[] = {"max_softmax", "max_sigmoid", "mean_max_softmax"};
    fl_err err = FL_ERR_INIT;
    task_ood *o = NULL;
    json_t *json;
    check_ok(task_ood_new(&o, w->m, w->params, w->set, DATA_TEST, 1, &err), err);
    const task_ood_given given = {.set = w->set, .split = DATA_TEST, .is_reference = true,
                                  .threshold = NAN};
    check_ok(task_ood_judge(&json, o, &given, &err), err);
    const json_t *all = json_array_get(json_object_get(json, "sets"), 0);
    for (size_t k = 0; k < 3; k++) {
        bool wanted = key != NULL && strcmp(key, keys[k]) == 0;
        check((json_object_get(all, keys[k]) != NULL) == wanted);
        if (wanted) {
            check_near(value_at(all, key, "auroc"), 0.5, 1e-12);
        }
    }
    json_decref(json);
    task_ood_destroy(&o);
}

static void every_task_but_numbers_says_how_sure_its_answers_look(void **state)
{
    (void)state;
    static const struct {
        const char *model, *key;
        int n_classes;  // of masks; 0: findings, -1: numbers
        sure_by_hand by_hand;
    } tasks[] = {{"{name: mlp, hidden: [6]}", "max_sigmoid", 0, greatest_sigmoid},
                 {"{name: unet, base: 4, depth: 1}", "mean_max_softmax", 3, mean_softmax},
                 {"{name: unet, base: 4, depth: 1}", "mean_max_softmax", 2, mean_softmax},
                 {"{name: mlp, hidden: [6]}", NULL, -1, NULL}};
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        world w = {.dir = check_tmpdir()};
        w.set = tasks[i].n_classes > 0    ? toy_squares(w.dir, 60, tasks[i].n_classes)
                : tasks[i].n_classes == 0 ? toy_findings(w.dir, 150)
                                          : toy_plane(w.dir, 120);
        w.m = toy_model(w.set, tasks[i].model);
        w.params = toy_params(w.m, 1);
        check_sure_figure(&w, tasks[i].key);
        if (tasks[i].by_hand != NULL) {
            check_sure(&w, tasks[i].by_hand);
        }
        world_clear(&w);
    }
}

static void the_reference_itself_is_not_strange(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    world w = world_new();
    task_ood *o = NULL;
    json_t *json;
    check_ok(task_ood_new(&o, w.m, w.params, w.set, DATA_TEST, 1, &err), err);
    const task_ood_given given = {.set = w.set, .split = DATA_TEST, .is_reference = true,
                                  .threshold = NAN};
    check_ok(task_ood_judge(&json, o, &given, &err), err);
    const json_t *all = json_array_get(json_object_get(json, "sets"), 0);
    check_near(value_at(all, "mahalanobis", "auroc"), 0.5, 1e-12);
    check_near(value_at(all, "max_softmax", "auroc"), 0.5, 1e-12);
    check(value_at(all, "mahalanobis", "fpr95") >= 0.95);
    check_int(json_array_size(json_object_get(json, "unseen")), 0);
    json_decref(json);
    task_ood_destroy(&o);
    world_clear(&w);
}

static void a_reference_needs_cases_to_set_a_limit_by(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    world w = world_new();
    char *dir = check_tmpdir();
    task_ood *o = NULL;
    fl_buf text = FL_BUF_INIT;
    fl_buf_puts(&text, "case,split,x,y,label\n");
    for (int i = 0; i < 30; i++) {
        fl_buf_printf(&text, "c%d,train,%d.%d,%d,%s\n", i, i % 3, i, i % 5, i % 2 ? "in" : "out");
    }
    toy_file(dir, "t.csv", text.data);
    fl_buf_clear(&text);
    toy_file(dir, "dataset.yaml", "task: classify\nclasses: {in: in, out: out}\n"
                                  "table: {file: t.csv, case: case, label: {column: label}}\n"
                                  "split: {column: split}\n");
    data_set *set = toy_open(dir);
    check_fails(task_ood_new(&o, w.m, w.params, set, DATA_TEST, 1, &err), FL_ECONFIG);
    check_has(err.text, "no validation or test cases to set a limit by");
    check(o == NULL);
    data_set_destroy(&set);
    check_rmdir(&dir);
    world_clear(&w);
}

/* Three classes, of which no training case shows the last. */
static data_set *without_a_class(const char *dir)
{
    fl_buf text = FL_BUF_INIT;
    fl_buf_puts(&text, "case,patient,split,x,label\n");
    for (int i = 0; i < 60; i++) {
        const char *split = i < 30 ? "train" : "test";
        const char *label = i < 30 ? (i % 2 ? "a" : "b") : i % 3 == 0 ? "c" : i % 3 == 1 ? "a" : "";
        fl_buf_printf(&text, "c%d,p%d,%s,%d,%s\n", i, i, split, i, label);
    }
    toy_file(dir, "t.csv", text.data);
    fl_buf_clear(&text);
    toy_file(dir, "dataset.yaml",
             "task: classify\nclasses: {a: a, b: b, c: c}\n"
             "table: {file: t.csv, case: case, patient: patient, label: {column: label}}\n"
             "split: {column: split}\n");
    return toy_open(dir);
}

static void what_a_site_never_learnt_is_counted_by_what_it_is_called(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    data_set *set = without_a_class(dir);
    const data_spec *spec = data_set_spec(set);
    bool unseen[3];
    task_unseen_classes(unseen, spec, set);
    check(!unseen[0] && !unseen[1] && unseen[2]);

    // Scores by rule: of the ten cases of c, four are called a, six b.
    enum { N = 30 };
    double score[N * 3];
    size_t index[N], n_c = 0;
    int64_t patient[N];
    for (size_t i = 0; i < N; i++) {
        index[i] = data_set_split(set, DATA_TEST)[i];
        data_case c = data_set_case(set, index[i]);
        patient[i] = c.patient_no;
        bool as_a = c.code == 2 ? n_c++ < 4 : true;
        score[3 * i] = as_a ? 0.7 : 0.2;
        score[3 * i + 1] = as_a ? 0.2 : 0.7;
        score[3 * i + 2] = 0.1;
    }
    check_int(n_c, 10);
    const task_scores s = {.n = N, .K = 3, .score = score, .index = index, .patient = patient};
    const task_answering models[] = {{"global", &s, NAN}};
    json_t *list = task_unseen_json(set, spec, models, 1, 10);
    check_int(json_array_size(list), 1);
    const json_t *entry = json_array_get(list, 0);
    check_str(fl_json_get_string(entry, "class", ""), "c");
    check_int(fl_json_get_int(entry, "n", 0), 10);
    const json_t *global = json_object_get(json_object_get(entry, "models"), "global");
    check_near(share_of(global, 0), 0.4, 1e-12);
    check_near(share_of(global, 1), 0.6, 1e-12);
    check_near(share_of(global, 2), 0, 1e-12);
    check(json_object_get(global, "no_finding") == NULL);
    const json_t *share = json_object_get(
        json_array_get(json_object_get(global, "called"), 0), "share");
    check_str(fl_json_get_string(share, "why", "?"), "");
    check(json_object_get(share, "unit") == NULL);
    json_decref(list);
    check(task_unseen_json(set, spec, models, 1, 11) == NULL);  // too few patients to be told
    data_set_destroy(&set);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strange_inputs_are_told_from_the_reference),
        cmocka_unit_test(every_task_but_numbers_says_how_sure_its_answers_look),
        cmocka_unit_test(the_reference_itself_is_not_strange),
        cmocka_unit_test(a_reference_needs_cases_to_set_a_limit_by),
        cmocka_unit_test(what_a_site_never_learnt_is_counted_by_what_it_is_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
