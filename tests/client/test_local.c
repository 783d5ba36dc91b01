/*
 * test_local.c - one job at one hospital: training, baseline, histogram, test
 */
#include "fixture.h"

#include "client/drift.h"
#include "client/judge.h"
#include "client/local.h"
#include "report/report.h"

typedef struct {
    coordinator *c;  // for the job's digest and first model
    hospital h;
    local *l;
    float *params;  // (P)
    local_progress progress;
} desk;

static desk desk_new_of(const char *job_text, bool has_val)
{
    fl_err err = FL_ERR_INIT;
    desk d = {.c = coordinator_new(job_text)};
    d.h = hospital_new(d.c, "nord", NULL);
    if (!has_val) {
        free(hospital_data(d.h.dir, 400, false));
    }
    check_ok(local_new(&d.l, d.h.home, &d.c->job, job_text, strlen(job_text), NULL, &err), err);
    check_ok(local_load(d.l, d.h.home, &err), err);
    d.params = fl_xcalloc((size_t)d.c->P, sizeof *d.params);
    return d;
}

static desk desk_new(void)
{
    return desk_new_of(hospital_job, true);
}

static void desk_destroy(desk *d)
{
    free(d->params);
    local_destroy(&d->l);
    hospital_destroy(&d->h);
    coordinator_destroy(&d->c);
}

static fl_status train(desk *d, uint32_t round, fl_err *err)
{
    task_train_result result;
    return local_train(d->l, d->params, d->c->global, (fed_round_no){round}, &d->progress, &result,
                       err);
}

static void a_round_takes_a_model_in_and_gives_a_better_one(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    task_train_result result;
    task_scores before, after;
    check_int(local_n_parameters(d.l), 3);
    check_int(local_n_labelled(d.l), 200);
    check_ok(local_train(d.l, d.params, d.c->global, (fed_round_no){1}, &d.progress, &result, &err),
             err);
    check_int(result.steps, 10);
    check_int(atomic_load(&d.progress.done), 10);
    check_int(atomic_load(&d.progress.total), 10);
    check_ok(task_predict(&before, d.l->model, d.c->global, d.l->set, DATA_VAL, 1, &err), err);
    check_ok(task_predict(&after, d.l->model, d.params, d.l->set, DATA_VAL, 1, &err), err);
    check(after.loss < before.loss);
    task_scores_clear(&before);
    task_scores_clear(&after);
    desk_destroy(&d);
}

static void the_same_round_gives_the_same_bits_and_another_does_not(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    float first[3];
    check_ok(train(&d, 1, &err), err);
    memcpy(first, d.params, sizeof first);
    check_ok(train(&d, 2, &err), err);
    check(memcmp(first, d.params, sizeof first) != 0);
    check_ok(train(&d, 1, &err), err);  // round 2 in between has left no trace
    check_bytes(d.params, first, sizeof first);
    desk_destroy(&d);
}

static void partial_work_ends_with_the_job_s_patience(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    task_train_result result;
    const char *job_text = "name: toy\n"
                           "task: classify\n"
                           "data: {input: [2], classes: [well, ill], positive: ill, "
                           "attributes: {sex: [F, M], age: years}}\n"
                           "model: {name: logistic}\n"
                           "rounds: 3\n"
                           "local: {steps: 1000000, batch: 16, lr: 0.1}\n"
                           "sites: {quorum: 3, patience: 100ms, partial: true}\n";
    desk d = desk_new_of(job_text, true);
    check_ok(local_train(d.l, d.params, d.c->global, (fed_round_no){1}, &d.progress, &result, &err),
             err);
    check(result.steps >= 1 && result.steps < 1000000);
    check_int(atomic_load(&d.progress.done), result.steps);
    check(isfinite(result.loss) && memcmp(d.params, d.c->global, 3 * sizeof(float)) != 0);
    atomic_store(&d.progress.cancel, true);  // is not the same as running out of time
    check_fails(local_train(d.l, d.params, d.c->global, (fed_round_no){2}, &d.progress, &result,
                            &err),
                FL_ESTOPPED);
    desk_destroy(&d);
}

static void cancelled_training_stops_after_the_step(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    atomic_store(&d.progress.cancel, true);
    check_fails(train(&d, 1, &err), FL_ESTOPPED);
    check_int(atomic_load(&d.progress.done), 1);
    desk_destroy(&d);
}

static void fedprox_adds_mu_times_the_distance_to_the_gradient(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_table *table = nn_table_new();
    nn_shape two = {1, {2}};
    check_ok(nn_table_add(table, "w", NN_WEIGHT, &two, &err), err);
    check_ok(nn_table_add(table, "running_mean", NN_STAT, &two, &err), err);
    const float global[4] = {1, 2, 3, 4};
    const float params[4] = {2, 0, 30, 40};
    float grad[4] = {10, 10, 0, 0};
    job_strategy s = {.name = "fedprox", .param = {{.key = "mu", .value = 0.5}}, .n_params = 1};
    drift d;
    drift_adjust *adjust = drift_of(&d, &s, table, global);
    check(adjust != NULL);
    adjust(&d, grad, params, 4);
    check_near(grad[0], 10.5, 0);  // 10 + 0.5 (2 - 1)
    check_near(grad[1], 9, 0);     // 10 + 0.5 (0 - 2)
    check_near(grad[2], 0, 0);     // statistics are no parameters of the loss
    check_near(grad[3], 0, 0);
    snprintf(s.name, sizeof s.name, "fedavg");
    check(drift_of(&d, &s, table, global) == NULL);
    nn_table_destroy(&table);
}

static char *without(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    check(at != NULL);
    return fl_xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void fedprox_keeps_the_model_nearer_to_the_others(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    double distance[2];
    static const char *const mu[] = {"mu: 0", "mu: 5"};
    for (int i = 0; i < 2; i++) {
        char *text = without(hospital_job, "mu: 0.1", mu[i]);
        desk d = desk_new_of(text, true);
        check_ok(train(&d, 1, &err), err);
        nn_vec_sub(d.params, d.params, d.c->global, d.c->P);
        distance[i] = nn_vec_norm(d.params, d.c->P);
        desk_destroy(&d);
        free(text);
    }
    check(distance[1] < distance[0]);
}

static void the_local_model_is_the_best_stretch_by_validation(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    local_baseline_result result, again;
    check_ok(local_baseline(d.l, d.params, NULL, &d.progress, &result, &err), err);
    check_int(result.steps, 30);
    check_int(atomic_load(&d.progress.done), 30);
    check_int(atomic_load(&d.progress.total), 0);  // what follows has no known end
    check(result.best_step >= 10 && result.best_step <= 30 && result.best_step % 10 == 0);
    float first[3];
    memcpy(first, d.params, sizeof first);
    check_ok(local_baseline(d.l, d.params, NULL, &d.progress, &again, &err), err);
    check_bytes(d.params, first, sizeof first);
    desk_destroy(&d);

    desk blind = desk_new_of(hospital_job, false);
    check_ok(local_baseline(blind.l, blind.params, NULL, &blind.progress, &result, &err), err);
    check_int(result.best_step, 30);  // nothing to choose by: the last
    desk_destroy(&blind);
}

/* With initial weights, where the federation starts the local-only model starts. */
static void the_local_model_starts_where_the_federation_did(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new_of(hospital_job, false);
    local_baseline_result result;
    float drawn[3], first[3], by_seed[3], by_first[3];
    nn_graph_init(task_model_graph(d.l->model), drawn, d.l->job.seed);
    check_int(local_n_parameters(d.l), 3);
    check_ok(local_baseline(d.l, d.params, NULL, &d.progress, &result, &err), err);
    memcpy(by_seed, d.params, sizeof by_seed);
    check_ok(local_baseline(d.l, d.params, drawn, &d.progress, &result, &err), err);
    check_bytes(d.params, by_seed, sizeof by_seed);
    for (int i = 0; i < 3; i++) {
        first[i] = drawn[i] + 100;  // so far that 30 steps do not reach the other
    }
    check_ok(local_baseline(d.l, d.params, first, &d.progress, &result, &err), err);
    memcpy(by_first, d.params, sizeof by_first);
    check(by_first[0] > by_seed[0] + 50);
    desk_destroy(&d);
}

static json_t *judge(desk *d, double threshold)
{
    fl_err err = FL_ERR_INIT;
    json_t *site = NULL;
    fed_model_id id = {{1}};
    check_ok(train(d, 1, &err), err);
    check_ok(judge_site(&site, d->l, d->params, &id, threshold, &(sure_pooled){1.5, 0.8}, 20, d->h.dir,
                        &d->progress, &err),
             err);
    check_ok(report_check_site(site, &err), err);
    return site;
}

static void the_test_split_is_judged_by_global_and_local_model(void **state)
{
    (void)state;
    desk d = desk_new();
    json_t *site = judge(&d, 0.4);
    check_int(fl_json_get_int(site, "n_train", 0), 200);
    check_int(fl_json_get_int(site, "n_val", 0), 100);
    check_int(fl_json_get_int(site, "n_test", 0), 100);
    check_near(fl_json_get_number(json_object_get(site, "thresholds"), "global"), 0.4, 0);
    json_t *confusion = json_object_get(json_object_get(site, "confusion"), "global");
    check_int(fl_json_get_int(confusion, "tp", 0) + fl_json_get_int(confusion, "fp", 0) +
                  fl_json_get_int(confusion, "tn", 0) + fl_json_get_int(confusion, "fn", 0),
              100);
    json_t *benefit = json_object_get(json_object_get(site, "benefit"), "auc");
    check_int(fl_json_get_int(benefit, "n", 0), 100);

    char *path = fl_path_join(d.h.dir, "predictions.csv");
    char *text = NULL;
    size_t n = 0;
    fl_err err = FL_ERR_INIT;
    check_ok(fl_file_read(&text, &n, path, 1 << 20, &err), err);
    check_has(text, "\nc0,");
    check(strstr(text, ",p0,") == NULL);  // a pseudonym
    char *json = fl_json_text(site);
    check(strstr(json, "p0") == NULL);  // patients stay in the file
    free(json);
    free(text);
    free(path);
    json_decref(site);
    desk_destroy(&d);
}

static void looking_again_is_counted_and_the_same_look_is_not(void **state)
{
    (void)state;
    desk d = desk_new();
    json_t *site = judge(&d, 0.4);
    check_int(fl_json_get_int(site, "test_opened", 0), 1);
    json_decref(site);
    site = judge(&d, 0.4);  // after a power cut
    check_int(fl_json_get_int(site, "test_opened", 0), 1);
    json_decref(site);
    site = judge(&d, 0.5);
    check_int(fl_json_get_int(site, "test_opened", 0), 2);
    json_decref(site);
    desk_destroy(&d);
}

static void without_a_baseline_there_is_no_local_model_in_the_report(void **state)
{
    (void)state;
    char *text = without(hospital_job, "{budget: same_steps}", "{budget: none}");
    desk d = desk_new_of(text, true);
    json_t *site = judge(&d, 0.4);
    check(json_object_get(json_object_get(site, "models"), "local") == NULL);
    check_int(json_object_size(json_object_get(site, "benefit")), 0);
    json_decref(site);
    desk_destroy(&d);
    free(text);
}

/* What lies in the hospital's run folder under own/NAME.onnx. */
static void read_own(float out[3], double *threshold, const desk *d, const char *name)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_xasprintf("%s/own/%s.onnx", d->h.dir, name);
    task_model *model = NULL;
    float *params = NULL;
    check_ok(task_model_read(&model, &params, NULL, path, &err), err);
    memcpy(out, params, 3 * sizeof *out);
    *threshold = task_model_threshold(model);
    task_model_destroy(&model);
    free(params);
    free(path);
}

static void the_model_is_fine_tuned_where_the_job_asks(void **state)
{
    (void)state;
    char *text = without(hospital_job, "{budget: same_steps}",
                         "{budget: same_steps}\n  personal: {epochs: 3}");
    desk d = desk_new_of(text, true);
    float kept[3], local_only[3];
    double threshold, local_threshold;
    check_near(d.l->job.evaluation.personal.lr, 0.1 * d.l->job.local.optim.lr, 1e-12);
    json_t *site = judge(&d, 0.4);
    json_t *how = json_object_get(site, "personal");
    check_int(fl_json_get_int(how, "steps", 0), 39);  // 3 x ceil(200 / 16)
    int64_t best = fl_json_get_int(how, "best_step", -1);
    check(best == 0 || best == 13 || best == 26 || best == 39);
    read_own(kept, &threshold, &d, "personal");
    read_own(local_only, &local_threshold, &d, "local");
    check((memcmp(kept, d.params, sizeof kept) == 0) == (best == 0));
    check(memcmp(kept, local_only, sizeof kept) != 0);
    const json_t *thresholds = json_object_get(site, "thresholds");
    check_near(fl_json_get_number(thresholds, "personal"), threshold, 0);
    check_near(fl_json_get_number(thresholds, "local"), local_threshold, 0);
    // Paired: the difference of the two models' figures.
    const json_t *models = json_object_get(site, "models");
    const json_t *of[] = {json_object_get(json_object_get(models, "global"), "brier"),
                          json_object_get(json_object_get(models, "personal"), "brier"),
                          json_object_get(json_object_get(site, "personal_gain"), "brier")};
    check_near(fl_json_get_number(of[2], "value"),
               fl_json_get_number(of[1], "value") - fl_json_get_number(of[0], "value"), 1e-12);
    // The judged one is the file's: the same again from the file.
    task_scores scores;
    fl_err err = FL_ERR_INIT;
    eval_metrics metrics;
    check_ok(task_predict(&scores, d.l->model, kept, d.l->now, DATA_TEST, 1, &err), err);
    task_evaluate(&metrics, &scores, &d.l->job.data, threshold, d.l->job.seed);
    check_near(eval_metrics_find(&metrics, "brier")->value, fl_json_get_number(of[1], "value"), 0);
    task_scores_clear(&scores);
    json_decref(site);
    desk_destroy(&d);
    free(text);
}

static void fine_tuning_that_helps_at_no_look_leaves_the_shared_model(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *text = without(hospital_job, "{budget: same_steps}",
                         "{budget: none}\n  personal: {steps: 20, lr: 1000}");
    desk d = desk_new_of(text, true);
    local_baseline_result result;
    float good[3], tuned[3];
    check_ok(local_baseline(d.l, good, NULL, &d.progress, &result, &err), err);
    // At that rate nothing is better than what 30 quiet steps have come to.
    check_ok(local_personal(d.l, tuned, good, &d.progress, &result, &err), err);
    check_int(result.steps, 20);
    check_int(result.best_step, 0);
    check_bytes(tuned, good, sizeof good);
    // From a bad start fine-tuning is taken.
    float bad[3] = {-good[0], -good[1], good[2]};
    check_ok(local_personal(d.l, tuned, bad, &d.progress, &result, &err), err);
    check(result.best_step == 13 || result.best_step == 20);
    check(memcmp(tuned, bad, sizeof bad) != 0);
    desk_destroy(&d);
    free(text);
}

static void a_job_may_ask_how_sure_the_model_is(void **state)
{
    (void)state;
    char *text = without(hospital_job, "{budget: same_steps}",
                         "{budget: none}\n  uncertainty: {alpha: 0.2}");
    desk d = desk_new_of(text, true);
    json_t *site = judge(&d, 0.4);
    const json_t *u = json_object_get(site, "uncertainty");
    check_str(fl_json_get_string(u, "how", ""), "one");
    check_int(fl_json_get_int(json_object_get(u, "error"), "n", 0), 100);
    check_near(fl_json_get_number(json_object_get(u, "temperature"), "value"), 1.5, 0);
    const json_t *conformal = json_object_get(u, "conformal");
    check_str(fl_json_get_string(conformal, "source", ""), "pooled");  // 100 are fewer than 200
    check_int(fl_json_get_int(conformal, "n_calibration", 0), 100);
    check_near(fl_json_get_number(conformal, "quantile"), 0.8, 0);
    check(json_array_size(json_object_get(u, "risk_coverage")) <= 10);  // min_cell 10
    json_decref(site);

    // What leaves before: sums of 100 cases, and none where patients are few.
    fl_err err = FL_ERR_INIT;
    task_scores val;
    check_ok(task_predict(&val, d.l->model, d.params, d.l->now, DATA_VAL, 1, &err), err);
    json_t *payload = json_object();
    sure_put_sums(payload, d.l, &val, 20, 101);
    check_int(json_object_size(payload), 0);
    sure_put_sums(payload, d.l, &val, 0, 10);
    check_int(json_object_size(payload), 1);  // no bins may leave
    sure_put_sums(payload, d.l, &val, 20, 10);
    const json_t *counts = json_object_get(json_object_get(payload, "nonconformity"), "counts");
    json_int_t sum = 0;
    for (size_t k = 0; k < 20; k++) {
        json_int_t n = json_integer_value(json_array_get(counts, k));
        check(n == 0 || n >= 10);
        sum += n;
    }
    check_int(sum, 100);
    check_int(fl_json_get_int(json_object_get(payload, "temperature"), "n", 0), 100);
    json_decref(payload);
    task_scores_clear(&val);
    desk_destroy(&d);
    free(text);
}

// ------------------------------------------------------------------ histogram

enum { MAX_CASES = 64 };

/* Two-class scores that a test writes down; every case its own patient. */
typedef struct {
    task_scores s;
    double score[2 * MAX_CASES];
    int label[MAX_CASES];
    int64_t patient[MAX_CASES];
} toy_scores;

static void add_cases(toy_scores *t, int label, double score, int n)
{
    for (int i = 0; i < n; i++) {
        size_t at = t->s.n++;
        t->score[2 * at] = 1 - score;
        t->score[2 * at + 1] = score;
        t->label[at] = label;
        t->patient[at] = (int64_t)at;
    }
    t->s.K = 2;
    t->s.score = t->score;
    t->s.label = t->label;
    t->s.patient = t->patient;
}

static int64_t bin(const json_t *histogram, const char *name, size_t i)
{
    return json_integer_value(json_array_get(json_object_get(histogram, name), i));
}

static void a_histogram_counts_every_case_and_shows_no_small_cell(void **state)
{
    (void)state;
    data_spec spec = {.task = DATA_CLASSIFY, .n_classes = 2, .positive = 1};
    toy_scores t = {0};
    add_cases(&t, 0, 0.05, 12);  // bin 0: enough
    add_cases(&t, 0, 0.52, 3);   // bins 5 and 6: together enough
    add_cases(&t, 0, 0.64, 9);
    add_cases(&t, 0, 0.95, 2);  // too few at the end: join the last group
    add_cases(&t, 1, 0.95, 10);
    json_t *h = local_histogram(&t.s, &spec, 10, 10);
    check(h != NULL);
    check_int(bin(h, "negatives", 0), 12);
    check_int(bin(h, "negatives", 6), 14);
    check_int(bin(h, "negatives", 9), 0);
    check_int(bin(h, "positives", 9), 10);
    // Which bins each count is of: 0, and 1 to the end.
    const json_t *spans = json_object_get(h, "spans");
    const json_t *second = json_array_get(json_object_get(spans, "negatives"), 1);
    check_int(json_array_size(json_object_get(spans, "negatives")), 2);
    check_int(json_integer_value(json_array_get(second, 0)), 1);
    check_int(json_integer_value(json_array_get(second, 1)), 9);
    json_decref(h);

    // Two cases of one patient are one patient: nine are too few.
    t.patient[t.s.n - 1] = t.patient[t.s.n - 2];
    check(local_histogram(&t.s, &spec, 10, 10) == NULL);

    // A finer one was allowed by name.
    h = local_histogram(&t.s, &spec, 100, 10);
    check(h != NULL);
    check_int(bin(h, "negatives", 52), 3);
    json_decref(h);
    check(local_histogram(&t.s, &spec, 0, 10) == NULL);
}

static void data_without_a_test_split_do_not_fit(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    coordinator *c = coordinator_new(hospital_job);
    hospital h = hospital_new(c, "nord", NULL);
    local *l = NULL;
    hospital_file(h.data, "t.csv",
                  "case,patient,split,x,y,sex,age,label\n"
                  "a,1,train,0,0,F,40,ill\nb,2,train,1,0,M,41,well\n");
    check_ok(local_new(&l, h.home, &c->job, hospital_job, strlen(hospital_job), NULL, &err), err);
    check_fails(local_load(l, h.home, &err), FL_ECONFIG);
    check_has(err.text, "test");
    local_destroy(&l);
    hospital_destroy(&h);
    coordinator_destroy(&c);
}

int main(void)
{
    fl_log_setup(NULL, FL_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_takes_a_model_in_and_gives_a_better_one),
        cmocka_unit_test(the_same_round_gives_the_same_bits_and_another_does_not),
        cmocka_unit_test(partial_work_ends_with_the_job_s_patience),
        cmocka_unit_test(cancelled_training_stops_after_the_step),
        cmocka_unit_test(fedprox_adds_mu_times_the_distance_to_the_gradient),
        cmocka_unit_test(fedprox_keeps_the_model_nearer_to_the_others),
        cmocka_unit_test(the_local_model_is_the_best_stretch_by_validation),
        cmocka_unit_test(the_local_model_starts_where_the_federation_did),
        cmocka_unit_test(the_test_split_is_judged_by_global_and_local_model),
        cmocka_unit_test(looking_again_is_counted_and_the_same_look_is_not),
        cmocka_unit_test(without_a_baseline_there_is_no_local_model_in_the_report),
        cmocka_unit_test(the_model_is_fine_tuned_where_the_job_asks),
        cmocka_unit_test(fine_tuning_that_helps_at_no_look_leaves_the_shared_model),
        cmocka_unit_test(a_job_may_ask_how_sure_the_model_is),
        cmocka_unit_test(a_histogram_counts_every_case_and_shows_no_small_cell),
        cmocka_unit_test(data_without_a_test_split_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
