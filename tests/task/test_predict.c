#include "toy.h"

#include <sys/stat.h>

#include "data/formats.h"

static char *read_text(const char *dir, const char *name)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    char *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, path, 1 << 20, &err), err);
    free(path);
    return text;
}

static void scores_are_the_softmax_of_what_the_plan_says(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_rings(dir, 400);
    task_model *m = toy_model(set, "{name: mlp, hidden: [8]}");
    float *params = toy_params(m, 1);
    task_scores s;
    check_ok(task_predict(&s, m, params, set, DATA_TRAIN, 1, &err), err);
    check_int(s.n, data_set_n_split(set, DATA_TRAIN));
    check(s.n > 128);  // more than two batches, the last one smaller
    check_int(s.K, 2);

    nn_plan *plan = NULL;
    nn_plan_config one = {.capacity = 1, .threads = 1};
    check_ok(nn_plan_new(&plan, task_model_graph(m), &one, &err), err);
    double loss = 0;
    for (size_t i = 0; i < s.n; i++) {
        check_int(s.index[i], data_set_split(set, DATA_TRAIN)[i]);
        data_case c = data_set_case(set, s.index[i]);
        data_set_batch(set, &s.index[i], 1, nn_plan_input(plan, 0));
        nn_plan_forward(plan, params, 1);
        const float *z = nn_plan_output(plan, 0);
        double p1 = 1 / (1 + exp((double)z[0] - z[1]));
        // a batch's sums may be in another order than one row's
        check_near(s.score[2 * i + 1], p1, 1e-6);
        check_near(s.score[2 * i] + s.score[2 * i + 1], 1, 1e-12);
        check_int(s.label[i], c.code);
        check_int(s.patient[i], c.patient_no);
        loss -= log(s.score[2 * i + (size_t)c.code]) / (double)s.n;
    }
    check_near(s.loss, loss, 1e-6);
    nn_plan_destroy(&plan);
    task_scores_clear(&s);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

/* Whichever class is positive, the single logit speaks for it. */
static void one_logit_gives_two_scores(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_logistic(dir);
    model_config cfg;
    check_ok(model_config_parse(&cfg, "logistic", &err), err);
    for (int positive = 0; positive < 2; positive++) {
        data_spec spec = *data_set_spec(set);
        task_model *m;
        task_scores s;
        task_train_config train;
        task_trainer *t;
        task_train_result done;
        task_quick quick;
        spec.positive = positive;
        check_ok(task_model_new(&m, &spec, &cfg, &err), err);
        check_int(task_model_n_scores(m), 2);
        check_int(nn_table_count(task_model_table(m)), 4);
        float *params = toy_params(m, 1);
        task_train_defaults(&train);
        train.epochs = 40;
        check_ok(task_trainer_new(&t, m, set, &train, &err), err);
        check_ok(task_trainer_run(t, params, 1, "", 1, false, NULL, &done, &err),
                 err);
        check_ok(task_predict(&s, m, params, set, DATA_TEST, 1, &err), err);
        task_quick_of(&quick, &s, task_model_spec(m));
        check(quick.auc > 0.85);
        check(quick.accuracy > 0.7);
        check_int(quick.n, 40);
        for (size_t i = 0; i < s.n; i++) {
            check_near(s.score[2 * i] + s.score[2 * i + 1], 1, 1e-12);
        }
        // The weight of feature a has the sign that its class needs.
        check(positive == 1 ? params[0] > 0 : params[0] < 0);
        eval_predictions p = task_predictions(&s, task_model_spec(m), NAN);
        check_int(p.positive, positive);
        check_near(p.threshold, 0.5, 0);
        task_scores_clear(&s);
        task_trainer_destroy(&t);
        free(params);
        task_model_destroy(&m);
    }
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void a_rounds_figures_are_counted_by_hand(void **state)
{
    (void)state;
    data_spec two = {.task = DATA_CLASSIFY, .n_classes = 2, .positive = 0};
    data_spec three = {.task = DATA_CLASSIFY, .n_classes = 3, .positive = -1};
    task_quick q;

    double score2[] = {0.9, 0.1, 0.6, 0.4, 0.3, 0.7, 0.5, 0.5, 0.2, 0.8};
    int label2[] = {0, 1, 0, 0, -1};
    task_scores s2 = {.n = 5, .K = 2, .score = score2, .label = label2,
                      .loss = 0.25};
    task_quick_of(&q, &s2, &two);
    check_int(q.n, 4);
    check_int(q.n_positive, 3);
    check_near(q.accuracy, 2.0 / 4, 1e-12);  // 0.9 and 0.5 are called right
    check_near(q.auc, 1.0 / 3, 1e-12);       // 0.6 lies above 0.5 and 0.3
    check_near(q.loss, 0.25, 0);
    check_near(task_quick_metric(&q, "loss"), 0.25, 0);
    check(isnan(task_quick_metric(&q, "f1")));
    check(task_quick_suits(DATA_CLASSIFY, "accuracy"));
    check(!task_quick_suits(DATA_CLASSIFY, "f1") && !task_quick_suits(DATA_CLASSIFY, "dice"));

    double score3[] = {0.8, 0.1, 0.1, 0.2, 0.5, 0.3, 0.3, 0.3, 0.4};
    int label3[] = {0, 1, 0};
    task_scores s3 = {.n = 3, .K = 3, .score = score3, .label = label3,
                      .loss = NAN};
    task_quick_of(&q, &s3, &three);
    check_int(q.n, 3);
    check_near(q.accuracy, 2.0 / 3, 1e-12);
    check_near(q.auc, 1, 1e-12);  // of the two classes that are there
    check(isnan(q.loss));

    task_scores none = {.K = 2, .loss = NAN};
    task_quick_of(&q, &none, &two);
    check_int(q.n, 0);
    check(isnan(q.accuracy) && isnan(q.auc));
}

/* 12 cases of 12 patients, 3 of them positive; at 4 a patient they would be one. */
static void what_rests_on_few_patients_is_not_told(void **state)
{
    (void)state;
    enum { N = 12 };
    const data_spec two = {.task = DATA_CLASSIFY, .n_classes = 2, .positive = 1};
    const data_spec finding = {.task = DATA_MULTILABEL, .n_classes = 2, .positive = -1};
    double score[2 * N], target[2 * N];
    int label[N], none[N];
    int64_t patient[N], twice[N];
    for (int i = 0; i < N; i++) {
        score[2 * i + 1] = (i + 0.5) / N;
        score[2 * i] = 1 - score[2 * i + 1];
        label[i] = i >= 9;
        none[i] = -1;
        target[2 * i] = i >= 6;
        target[2 * i + 1] = i >= 9;
        patient[i] = i;
        twice[i] = i / 2;
    }
    task_scores s = {.n = N, .K = 2, .score = score, .label = label, .patient = patient,
                     .loss = 0.5};
    task_quick q;
    task_quick_told(&q, &s, &two, 3);
    check_near(q.auc, 1, 0);
    check_int(q.n_positive, 3);
    task_quick_told(&q, &s, &two, 4);  // three positive patients
    check(isnan(q.auc));
    check_int(q.n_positive, -1);
    check_int(q.n, N);
    check_near(q.accuracy, 9.0 / 12, 1e-12);
    check_near(q.loss, 0.5, 0);
    s.patient = twice;  // six patients
    task_quick_told(&q, &s, &two, 7);
    check(isnan(q.loss) && isnan(q.accuracy) && isnan(q.auc));
    check_int(q.n, N);
    s.patient = patient;
    s.label = none;
    s.target = target;
    task_quick_told(&q, &s, &finding, 3);
    check_near(q.auc, 0.5, 1e-12);  // none of the first are in order, all of the second
    task_quick_told(&q, &s, &finding, 4);
    check_near(q.auc, 0, 0);  // of the first alone
}

static void predictions_are_written_for_the_owner_only(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    toy_file(dir, "t.csv",
             "id,who,split,x,label,sex,note\n"
             "c1,p1,test,0.5,1,F,\"a, b\"\n"
             "\"c \"\"2\"\"\",p2,test,-3,,M,-\n"
             "c3,p3,train,1,0,F,x\n");
    toy_file(dir, "dataset.yaml",
             "task: classify\nclasses: {no: 0, yes: 1}\npositive: yes\n"
             "attributes: {sex: sex, note: note}\n"
             "table: {file: t.csv, case: id, patient: who, drop: [sex, note]}\n"
             "split: {column: split}\n");
    data_set *set = toy_open(dir);
    task_model *m = toy_model(set, "logistic");
    float *params = toy_params(m, 1);
    task_scores s;
    check_ok(task_predict(&s, m, params, set, DATA_TEST, 1, &err), err);
    char *path = fl_path_join(dir, "predictions.csv");
    check_ok(task_predictions_write(&s, set, data_set_spec(set), path, &err),
             err);
    struct stat info;
    check_int(stat(path, &info), 0);
    check_int(info.st_mode & 0777, 0600);

    data_csv t;
    check_ok(data_csv_read(&t, path, true, &err), err);
    static const char *const header[] = {"case", "patient", "label", "score_0",
                                         "score_1", "sex", "note"};
    check_int(t.n_rows, 2);
    check_int(t.n_cols, 7);
    for (size_t c = 0; c < 7; c++) {
        check_str(t.header[c], header[c]);
    }
    check_str(t.cell[0][0], "c1");
    check_str(t.cell[0][2], "1");
    check_str(t.cell[0][5], "F");
    check_str(t.cell[0][6], "a, b");
    check_str(t.cell[1][0], "c \"2\"");
    check_str(t.cell[1][1], "patient-2");  // p2 is the hospital's own word
    check_str(t.cell[1][2], "-1");
    for (size_t i = 0; i < 2; i++) {
        check(strtod(t.cell[i][3], NULL) == s.score[2 * i]);
        check(strtod(t.cell[i][4], NULL) == s.score[2 * i + 1]);
    }
    data_csv_clear(&t);
    free(path);
    task_scores_clear(&s);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void an_empty_split_has_no_scores(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    toy_file(dir, "t.csv", "split,x,label\ntrain,1,1\ntrain,2,0\n");
    toy_file(dir, "dataset.yaml",
             "task: classify\nclasses: {no: 0, yes: 1}\n"
             "table: {file: t.csv}\nsplit: {column: split}\n");
    data_set *set = toy_open(dir);
    task_model *m = toy_model(set, "logistic");
    float *params = toy_params(m, 1);
    task_scores s;
    eval_metrics metrics;
    check_ok(task_predict(&s, m, params, set, DATA_VAL, 1, &err), err);
    check_int(s.n, 0);
    check(isnan(s.loss));
    task_evaluate(&metrics, &s, task_model_spec(m), NAN, 1);
    check(isnan(eval_metrics_find(&metrics, "auc")->value));
    task_scores_clear(&s);
    task_scores_clear(&s);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void several_findings_a_case_are_learned_each(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_findings(dir, 150);
    task_model *m = toy_model(set, "logistic");
    float *params = toy_params(m, 1);
    task_train_config cfg;
    task_trainer *t;
    task_train_result done;
    task_scores s;
    task_quick quick;
    eval_metrics metrics;
    task_train_defaults(&cfg);
    cfg.epochs = 60;
    cfg.batch = 10;
    cfg.optim.lr = 0.3;
    check_ok(task_trainer_new(&t, m, set, &cfg, &err), err);
    check_ok(task_trainer_run(t, params, 1, "", 1, false, NULL, &done, &err), err);
    check_ok(task_predict(&s, m, params, set, DATA_TEST, 1, &err), err);
    check_int(s.K, 2);
    check(isnan(s.target[0]));
    task_quick_of(&quick, &s, task_model_spec(m));
    check(quick.auc > 0.97);
    check(quick.accuracy > 0.9);
    task_evaluate(&metrics, &s, task_model_spec(m), NAN, 1);
    check_near(eval_metrics_find(&metrics, "auc")->value, quick.auc, 1e-9);
    task_scores_clear(&s);
    task_trainer_destroy(&t);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void a_number_is_learned_from_its_square_error(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = toy_plane(dir, 120);
    task_model *m = toy_model(set, "logistic");
    float *params = toy_params(m, 1);
    task_train_config cfg;
    task_trainer *t;
    task_train_result done;
    task_scores s;
    eval_metrics metrics;
    task_train_defaults(&cfg);
    cfg.epochs = 60;
    check_ok(task_trainer_new(&t, m, set, &cfg, &err), err);
    check_ok(task_trainer_run(t, params, 1, "", 1, false, NULL, &done, &err), err);
    check_near(params[0], 2, 1e-3);
    check_near(params[1], -1, 1e-3);
    check_near(params[2], 1, 1e-3);
    check_ok(task_predict(&s, m, params, set, DATA_TEST, 1, &err), err);
    check_int(s.K, 1);
    task_evaluate(&metrics, &s, task_model_spec(m), NAN, 1);
    check(eval_metrics_find(&metrics, "mae")->value < 1e-2);
    char *path = fl_path_join(dir, "predictions.csv");
    check_ok(task_predictions_write(&s, set, data_set_spec(set), path, &err),
             err);
    char *csv = read_text(dir, "predictions.csv");
    check_has(csv, "case,patient,label,score_0\n");
    free(csv);
    free(path);
    task_scores_clear(&s);
    task_trainer_destroy(&t);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_the_softmax_of_what_the_plan_says),
        cmocka_unit_test(one_logit_gives_two_scores),
        cmocka_unit_test(a_rounds_figures_are_counted_by_hand),
        cmocka_unit_test(what_rests_on_few_patients_is_not_told),
        cmocka_unit_test(predictions_are_written_for_the_owner_only),
        cmocka_unit_test(an_empty_split_has_no_scores),
        cmocka_unit_test(several_findings_a_case_are_learned_each),
        cmocka_unit_test(a_number_is_learned_from_its_square_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
