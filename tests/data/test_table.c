/*
 * test_table.c - tables, and the four hospitals of UCI Heart Disease as
 * FLamby has them (tests/vectors/data_vectors.py has its own way there)
 */
#include "data/dataset.h"
#include "fixture.h"

static const char yaml[] =
    "task: classify\n"
    "classes: {healthy: 0, ill: 1}\n"
    "table:\n"
    "  file: t.csv\n"
    "  header: [age, kind, chol, sick, set]\n"
    "  missing: '?'\n"
    "  rows_with_missing: drop\n"
    "  one_hot: {columns: {kind: [1, 2, 3]}, drop_first: true, place: last}\n"
    "  label: {column: sick, positive: '> 0'}\n"
    "  standardise: site\n"
    "split: {column: set}\n";

static const char rows[] = "40,1,200,0,train\n"
                           "50,2,?,2,train\n"
                           "60,3,240,3,train\n"
                           "80,2.0,280,1,test\n";

static data_set *open_table(const char *dir, const char *recipe, const char *text)
{
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    fixture_text(dir, "t.csv", text);
    fixture_text(dir, "dataset.yaml", recipe);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    return s;
}

static void a_table_gives_standardised_features(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    data_set *s = open_table(dir, yaml, rows);
    const double sd = sqrt(200);  // of 40 and 60, n - 1

    check_int(data_set_n(s), 3);
    check_int(data_set_n_features(s), 4);
    check_str(data_set_feature_name(s, 1), "chol");
    check_str(data_set_feature_name(s, 3), "kind=3");
    check_int(data_set_spec(s)->positive, 1);
    check_str(data_set_spec(s)->classes[1], "ill");

    float x[3 * 4];
    const size_t all[] = {0, 1, 2};
    data_set_batch(s, all, 3, x);
    check_near(x[0], -10 / sd, 1e-6);
    check_near(x[4], 10 / sd, 1e-6);
    check_near(x[8], 30 / sd, 1e-6);
    check_near(x[2], 0, 0);                        // kind=2: 0 in training: centred,
    check_near(x[8 + 2], 1, 0);                    // and unscaled
    check_near(x[8 + 3], -0.5 / sqrt(0.5), 1e-6);  // kind=3: 0 and 1 in training
    check_int(data_set_case(s, 0).code, 0);
    check_int(data_set_case(s, 2).code, 1);
    check_int(data_set_case(s, 2).split, DATA_TEST);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void levels_that_are_found_are_sorted_by_value(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    data_set *s = open_table(dir,
                             "table: {file: t.csv, one_hot: {columns: [k]}, "
                             "label: {column: y}}\n"
                             "split: {by: patient, val: 0, test: 0}\n",
                             "k,y,z\n10,a,1\n9,b,2\n10.0,a,3\n");
    check_int(data_set_n_features(s), 3);
    check_str(data_set_feature_name(s, 0), "k=9");
    check_str(data_set_feature_name(s, 1), "k=10");
    check_str(data_set_feature_name(s, 2), "z");
    check_str(data_set_spec(s)->classes[0], "a");
    check_int(data_set_n_split(s, DATA_TRAIN), 3);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void a_bare_csv_is_a_table(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "t.csv");
    data_set *s = NULL;
    fixture_text(dir, "t.csv", "patient,age,label,split\na,1,x,train\nb,2,y,test\n");
    check_ok(data_set_open(&s, path, NULL, &err), err);
    check_int(data_set_n_features(s), 1);
    check_int(data_set_n_split(s, DATA_TEST), 1);
    check_str(data_set_case(s, 1).patient, "patient-2");  // not what the table says
    data_set_destroy(&s);
    free(path);
    check_rmdir(&dir);
}

static void a_regression_keeps_numbers(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    data_set *s = open_table(dir,
                             "task: regress\n"
                             "table: {file: t.csv, label: {column: y}}\n"
                             "split: {by: patient, val: 0, test: 0}\n",
                             "x,y\n1,2.5\n3,-1\n");
    check_near(data_set_case(s, 0).target[0], 2.5, 0);
    check_near(data_set_case(s, 1).target[0], -1, 0);
    check_int(data_set_case(s, 1).code, -1);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void wrong_tables_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *table;
        const char *rows;
        const char *says;
    } cases[] = {
        {"label: {column: y}", "x,y\n1,0\nnan,1\n",
         "t.csv:3: x: expected a finite number, found nan"},
        {"label: {column: y}", "x,y\n1,0\ninf,1\n", "t.csv:3: x: expected a finite"},
        {"label: {column: y}", "x,y\n1,0\n1e99,1\n", "t.csv:3: x: expected a finite"},
        {"label: {column: y}", "x,y\n1,0\nabc,1\n", "t.csv:3: x: expected a finite"},
        {"label: {column: y}", "x,y\n1,0\n,1\n", "t.csv:3: x: a missing value"},
        {"label: {column: z}", "x,y\n1,0\n", "label: "},
        {"label: {column: y}, drop: [w]", "x,y\n1,0\n", "drop: "},
        {"label: {column: y}, header: [a]", "1,0\n", "expected 2 names"},
        {"label: {column: y}, one_hot: {columns: {x: [1, 2]}}", "x,y\n1,0\n3,1\n",
         "t.csv:3: x: expected a level of one_hot, found 3"},
        {"label: {column: y}, one_hot: {columns: [y]}", "x,y\n1,0\n", "y is no feature"},
        {"label: {column: y, positive: more}", "x,y\n1,0\n", "a comparison such as"},
        {"label: {column: y, positive: '> 0'}", "x,y\n1,0\n2,many\n",
         "t.csv:3: y: expected a number, found many"},
        {"label: {column: y}", "y\n0\n1\n", "no column is left as a feature"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        char *dir = check_tmpdir();
        data_set *s = NULL;
        char *recipe = fl_xasprintf("task: classify\ntable: {file: t.csv, %s}\n"
                                    "split: {by: patient, val: 0, test: 0}\n",
                                    cases[i].table);
        fixture_text(dir, "dataset.yaml", recipe);
        fixture_text(dir, "t.csv", cases[i].rows);
        check_fails(data_set_open(&s, dir, NULL, &err), FL_ECONFIG);
        check_has(err.text, cases[i].says);
        check(s == NULL);
        free(recipe);
        check_rmdir(&dir);
    }
}

static void labels_out_of_range_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = NULL;
    fixture_text(dir, "dataset.yaml",
                 "classes: {no: 0, yes: 1}\n"
                 "table: {file: t.csv, label: {column: y}}\n");
    fixture_text(dir, "t.csv", "x,y\n1,0\n2,7\n");
    check_fails(data_set_open(&s, dir, NULL, &err), FL_ECONFIG);
    check_has(err.text, "t.csv:3: y: expected 0 or 1, found 7");
    check_rmdir(&dir);
}

static void another_number_of_features_is_a_mismatch(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = open_table(dir, yaml, rows);
    data_spec expect = *data_set_spec(s);
    data_set_destroy(&s);
    expect.input.dim[0] = 13;
    check_fails(data_set_open(&s, dir, &expect, &err), FL_ECONFIG);
    check_has(err.text, "input: the job has 13; this table has 4 features");
    check_rmdir(&dir);
}

static void standardising_needs_training_rows(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = NULL;
    fixture_text(dir, "dataset.yaml",
                 "table: {file: t.csv, label: {column: y}, standardise: site}\n"
                 "split: {by: patient, val: 0, test: 1}\n");
    fixture_text(dir, "t.csv", "x,y\n1,0\n2,1\n");
    check_fails(data_set_open(&s, dir, NULL, &err), FL_ECONFIG);
    check_has(err.text, "needs training rows");
    check_rmdir(&dir);
}

/* --- FLamby's Fed-Heart-Disease --- */

static char *heart_yaml(const char *site, const char *more)
{
    return fl_xasprintf("task: classify\n"
                        "classes: {healthy: 0, disease: 1}\n"
                        "table:\n"
                        "  file: ${CONSILIUM_DATA}/uci-heart/processed.%s.data\n"
                        "  header: [age, sex, cp, trestbps, chol, fbs, restecg, thalach,\n"
                        "           exang, oldpeak, slope, ca, thal, num]\n"
                        "  missing: ['?']\n"
                        "  drop: [slope, ca, thal]\n"
                        "  rows_with_missing: drop\n"
                        "  one_hot:\n"
                        "    columns: {cp: [1, 2, 3, 4], restecg: [0, 1, 2]}\n"
                        "    drop_first: true\n"
                        "    place: last\n"
                        "  label: {column: num, positive: '> 0'}\n"
                        "  standardise: site\n"
                        "split:\n"
                        "  file: ${CONSILIUM_DATA}/uci-heart/flamby_split_seed43.csv\n"
                        "  site: %s\n%s",
                        site, site, more);
}

static void check_heart_split(const data_set *s, const json_t *wanted, data_split split)
{
    enum { F = 13 };
    size_t n = data_set_n_split(s, split);
    double squares[F] = {0};
    double waves[F] = {0};
    double label_wave = 0;
    int positive = 0;

    check_int(n, fl_json_get_int(wanted, "n", -1));
    for (size_t i = 0; i < n; i++) {
        float x[F];
        size_t index = data_set_split(s, split)[i];
        double w = sin((double)(i + 1));
        data_set_batch(s, &index, 1, x);
        for (int f = 0; f < F; f++) {
            squares[f] += (double)x[f] * (double)x[f];
            waves[f] += w * (double)x[f];
        }
        label_wave += w * data_set_case(s, index).code;
        positive += data_set_case(s, index).code;
    }
    check_int(positive, fl_json_get_int(wanted, "positive", -1));
    check_near(label_wave, fl_json_get_number(wanted, "label_wave"), 1e-9);
    for (size_t f = 0; f < F; f++) {
        /* features are kept as float32 */
        double q = json_number_value(json_array_get(json_object_get(wanted, "squares"), f));
        check_near(squares[f], q, 1e-5 * (1 + q));
        check_near(waves[f], json_number_value(json_array_get(json_object_get(wanted, "waves"), f)),
                   1e-4);
    }
}

static const char *const sites[] = {"cleveland", "hungarian", "switzerland", "va"};

static void heart_hospitals_follow_flambys_protocol(void **state)
{
    (void)state;
    if (fixture_real_data() == NULL) {
        check_skip("CONSILIUM_DATA is not set");
    }
    fl_err err = FL_ERR_INIT;
    json_t *vectors = fixture_vectors("data_real.json");
    const json_t *heart = json_object_get(vectors, "heart");
    char *dir = check_tmpdir();
    size_t n_test = 0;
    data_set *s = NULL;

    for (int k = 0; k < 4; k++) {
        char *text = heart_yaml(sites[k], "");
        char *name = fl_xasprintf("%s.yaml", sites[k]);
        char *path = fl_path_join(dir, name);
        fixture_text(dir, name, text);
        check_ok(data_set_open(&s, path, NULL, &err), err);
        check_int(data_set_n_features(s), 13);
        check_int(data_set_n_split(s, DATA_VAL), 0);
        const json_t *wanted = json_object_get(heart, sites[k]);
        check_heart_split(s, json_object_get(wanted, "train"), DATA_TRAIN);
        check_heart_split(s, json_object_get(wanted, "test"), DATA_TEST);
        n_test += data_set_n_split(s, DATA_TEST);
        data_set_destroy(&s);
        free(path);
        free(name);
        free(text);
    }
    check_int(n_test, 254);

    char *pooled = fl_path_join(dir, "pooled.yaml");
    fixture_text(dir, "pooled.yaml",
                 "union: [cleveland.yaml, hungarian.yaml, "
                 "switzerland.yaml, va.yaml]\n");
    check_ok(data_set_open(&s, pooled, NULL, &err), err);
    const json_t *wanted = json_object_get(heart, "pooled");
    check_int(data_set_n(s), 740);
    check_heart_split(s, json_object_get(wanted, "train"), DATA_TRAIN);
    check_heart_split(s, json_object_get(wanted, "test"), DATA_TEST);
    data_set_destroy(&s);
    free(pooled);
    check_rmdir(&dir);
    json_decref(vectors);
}

static void validation_can_be_carved_out_of_heart_training(void **state)
{
    (void)state;
    if (fixture_real_data() == NULL) {
        check_skip("CONSILIUM_DATA is not set");
    }
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *text = heart_yaml("cleveland", "  val: 0.2\n  seed: 3\n");
    data_set *s = NULL;
    fixture_text(dir, "dataset.yaml", text);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n_split(s, DATA_VAL), 40);  // 0.2 of 199
    check_int(data_set_n_split(s, DATA_TRAIN), 159);
    check_int(data_set_n_split(s, DATA_TEST), 104);
    data_set_destroy(&s);
    free(text);
    check_rmdir(&dir);
}

static void disguised_zeros_are_a_problem(void **state)
{
    (void)state;
    if (fixture_real_data() == NULL) {
        check_skip("CONSILIUM_DATA is not set");
    }
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *text = heart_yaml("va", "");
    data_set *s = NULL;
    fixture_text(dir, "dataset.yaml", text);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    json_t *problems = data_set_problems(s);
    char *said = fl_json_text(problems);
    check_has(said, "zeros that look like missing values");
    check_has(said, "chol");
    check(strstr(said, "oldpeak") == NULL);  // 0 is a normal value there
    free(said);
    json_decref(problems);
    data_set_destroy(&s);
    free(text);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_gives_standardised_features),
        cmocka_unit_test(levels_that_are_found_are_sorted_by_value),
        cmocka_unit_test(a_bare_csv_is_a_table),
        cmocka_unit_test(a_regression_keeps_numbers),
        cmocka_unit_test(wrong_tables_are_refused_with_their_line),
        cmocka_unit_test(labels_out_of_range_are_refused),
        cmocka_unit_test(another_number_of_features_is_a_mismatch),
        cmocka_unit_test(standardising_needs_training_rows),
        cmocka_unit_test(heart_hospitals_follow_flambys_protocol),
        cmocka_unit_test(validation_can_be_carved_out_of_heart_training),
        cmocka_unit_test(disguised_zeros_are_a_problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
