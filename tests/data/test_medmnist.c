/*
 * test_medmnist.c - MedMNIST-style archives, whole and dealt out by rows
 */
#include "data/dataset.h"
#include "fixture.h"

static void an_archive_is_a_data_set(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "m.npz");
    data_set *s = NULL;
    const int n[] = {6, 2, 4};
    fixture_npz(dir, "m.npz", n);

    check_ok(data_set_open(&s, path, NULL, &err), err);
    check_int(data_set_n_split(s, DATA_TRAIN), 6);
    check_int(data_set_n_split(s, DATA_VAL), 2);
    check_int(data_set_n_split(s, DATA_TEST), 4);
    check_int(data_set_spec(s)->input.rank, 3);
    check_int(data_set_spec(s)->input.dim[0], 1);
    check_str(data_set_spec(s)->classes[1], "1");
    check_int(data_set_spec(s)->positive, -1);

    float x[16];
    size_t last = data_set_split(s, DATA_VAL)[1];
    data_set_batch(s, &last, 1, x);
    check_near(x[3], (16 * 7 + 3) / 255.0f, 0);
    check_str(data_set_case(s, last).case_id, "val-1");
    check_int(data_set_case(s, last).patient_no, last);  // its own
    check_int(data_set_case(s, last).code, 1);
    data_set_destroy(&s);
    free(path);
    check_rmdir(&dir);
}

static const char yaml[] = "task: classify\n"
                           "npz: m.npz\n"
                           "classes: {ill: 0, well: 1}\n"
                           "positive: ill\n";

static void a_yaml_beside_it_names_the_classes(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "m.npz");
    data_set *s = NULL;
    const int n[] = {6, 2, 4};
    fixture_npz(dir, "m.npz", n);
    fixture_text(dir, "dataset.yaml", "classes: {ill: 0, well: 1}\n");

    /* by folder, by its yaml, or by the archive */
    char *yaml_path = fl_path_join(dir, "dataset.yaml");
    const char *const ways[] = {dir, path, yaml_path};
    for (int k = 0; k < 3; k++) {
        check_ok(data_set_open(&s, ways[k], NULL, &err), err);
        check_str(data_set_spec(s)->classes[0], "ill");
        data_set_destroy(&s);
    }
    free(yaml_path);
    free(path);
    check_rmdir(&dir);
}

static void a_jobs_order_of_classes_decides_the_codes(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = NULL;
    const int n[] = {6, 0, 4};
    fixture_npz(dir, "m.npz", n);
    fixture_text(dir, "dataset.yaml", yaml);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    data_spec expect = *data_set_spec(s);
    check_int(expect.positive, 0);
    check_int(data_set_case(s, 0).code, 0);
    data_set_destroy(&s);

    strcpy(expect.classes[0], "well");
    strcpy(expect.classes[1], "ill");
    check_ok(data_set_open(&s, dir, &expect, &err), err);
    check_int(data_set_case(s, 0).code, 1);
    data_set_destroy(&s);

    strcpy(expect.classes[1], "dying");
    check_fails(data_set_open(&s, dir, &expect, &err), FL_ECONFIG);
    check_has(err.text, "classes: the job has well, dying; this data set has "
                        "ill, well");
    check_rmdir(&dir);
}

static void rows_deal_an_archive_out(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *recipe = fl_xasprintf("%srows: rows.csv\nattributes: {sex: sex}\n", yaml);
    data_set *s = NULL;
    const int n[] = {6, 2, 4};
    fixture_npz(dir, "m.npz", n);
    fixture_text(dir, "dataset.yaml", recipe);
    fixture_text(dir, "rows.csv",
                 "split,index,patient,new_split,label,sex\n"
                 "train,5,p1,test,1,F\n"
                 "test,0,p2,train,0,M\n"
                 "train,1,p2,train,,F\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 3);
    check_int(data_set_n_split(s, DATA_TRAIN), 2);
    check_int(data_set_n_split(s, DATA_TEST), 1);
    check_str(data_set_case(s, 0).case_id, "train-5");
    check_str(data_set_case(s, 1).patient, "patient-2");
    check_int(data_set_case(s, 2).patient_no, 1);
    check_int(data_set_case(s, 2).code, -1);
    check_str(data_set_case(s, 0).attributes[0], "F");
    float x[16];
    const size_t first = 0;
    data_set_batch(s, &first, 1, x);
    check_near(x[0], 16 * 5 / 255.0f, 0);
    data_set_destroy(&s);
    free(recipe);
    check_rmdir(&dir);
}

static void a_shift_is_the_same_at_every_opening(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *recipe = fl_xasprintf("%sshift: [noise: 2, blur: 1]\nshift_seed: 4\n", yaml);
    const int n[] = {6, 2, 4};
    float x[3][16];
    const size_t fourth = 3;
    fixture_npz(dir, "m.npz", n);
    for (int k = 0; k < 3; k++) {
        data_set *s = NULL;
        fixture_text(dir, "dataset.yaml", k < 2 ? recipe : yaml);
        check_ok(data_set_open(&s, dir, NULL, &err), err);
        data_set_batch(s, &fourth, 1, x[k]);
        data_set_destroy(&s);
    }
    check_bytes(x[0], x[1], sizeof x[0]);
    check(memcmp(x[0], x[2], sizeof x[0]) != 0);
    free(recipe);
    check_rmdir(&dir);
}

static void wrong_rows_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *rows;
        const char *says;
    } cases[] = {
        {"split,index\ntrain,6\n", "rows.csv:2: index: expected 0 to 5, found 6"},
        {"split,index\ntrain,-1\n", "rows.csv:2: index: expected 0 to 5"},
        {"split,index\ntrain,0.5\n", "rows.csv:2: index: expected 0 to 5"},
        {"split,index\nall,0\n", "rows.csv:2: split: expected train, val or test"},
        {"split,row\ntrain,0\n", "rows.csv:1: there is no column index"},
        {"split,index\ntrain,0\ntrain,0\n", "rows.csv:3: this case has the name "
                                            "of the one in line 2"},
        {"split,index,label\ntrain,0,9\n", "rows.csv:2: label: expected 0 or 1, "
                                           "found 9"},
        {"split,index,patient,new_split\ntrain,0,p,train\ntrain,1,p,test\n",
         "rows.csv:3: a patient in two splits: test here, train in line 2"},
        {"split,index\n", "no case left"},
    };
    char *dir = check_tmpdir();
    char *recipe = fl_xasprintf("%srows: rows.csv\n", yaml);
    const int n[] = {6, 2, 4};
    fixture_npz(dir, "m.npz", n);
    fixture_text(dir, "dataset.yaml", recipe);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        data_set *s = NULL;
        fixture_text(dir, "rows.csv", cases[i].rows);
        check_fails(data_set_open(&s, dir, NULL, &err), FL_ECONFIG);
        check_has(err.text, cases[i].says);
    }
    free(recipe);
    check_rmdir(&dir);
}

static void labels_that_are_no_class_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = NULL;
    const int n[] = {6, 2, 4};
    fixture_npz(dir, "m.npz", n);
    fixture_text(dir, "dataset.yaml", "npz: m.npz\nclasses: {a: 0, b: 2}\n");
    check_fails(data_set_open(&s, dir, NULL, &err), FL_ECONFIG);
    check_has(err.text, "train_labels: row 1: expected 0 or 2, found 1");
    check_rmdir(&dir);
}

static void labels_without_columns_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = NULL;
    fixture_npz_without_labels(dir, "m.npz");
    fixture_text(dir, "dataset.yaml", "npz: m.npz\nclasses: {a: 0, b: 1}\n");
    check_fails(data_set_open(&s, dir, NULL, &err), FL_EFORMAT);
    check_has(err.text, "train_labels: there are no columns");
    check_rmdir(&dir);
}

static void breastmnist_is_as_numpy_reads_it(void **state)
{
    (void)state;
    if (fixture_real_data() == NULL) {
        check_skip("CONSILIUM_DATA is not set");
    }
    fl_err err = FL_ERR_INIT;
    json_t *vectors = fixture_vectors("data_real.json");
    const json_t *wanted = json_object_get(vectors, "breastmnist");
    char *path = fl_path_join(fixture_real_data(), "breastmnist/breastmnist.npz");
    data_spec expect = {
        .task = DATA_CLASSIFY, .n_classes = 2, .positive = 0, .input = {3, {1, 28, 28}}};
    strcpy(expect.classes[0], "malignant");
    strcpy(expect.classes[1], "benign");
    data_set *s = NULL;
    check_ok(data_set_open(&s, path, &expect, &err), err);

    for (int k = 0; k < DATA_N_SPLITS; k++) {
        data_split split = (data_split)k;
        const json_t *facts = json_object_get(wanted, data_split_name(split));
        double sum = 0;
        double wave = 0;
        int ones = 0;
        size_t n = data_set_n_split(s, split);
        check_int(n, fl_json_get_int(facts, "n", -1));
        for (size_t i = 0; i < n; i++) {
            float x[784];
            size_t index = data_set_split(s, split)[i];
            data_set_batch(s, &index, 1, x);
            ones += data_set_case(s, index).code;
            for (size_t p = 0; p < 784; p++) {
                double v = rint((double)x[p] * 255);
                sum += v;
                wave += sin((double)(i * 784 + p + 1)) * v;
            }
        }
        check_near(sum, fl_json_get_number(facts, "sum"), 0);
        check_near(wave, fl_json_get_number(facts, "wave"), 1e-4);
        check_int(ones, fl_json_get_int(facts, "positive", -1));
    }
    data_set_destroy(&s);
    free(path);
    json_decref(vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_archive_is_a_data_set),
        cmocka_unit_test(a_yaml_beside_it_names_the_classes),
        cmocka_unit_test(a_jobs_order_of_classes_decides_the_codes),
        cmocka_unit_test(rows_deal_an_archive_out),
        cmocka_unit_test(a_shift_is_the_same_at_every_opening),
        cmocka_unit_test(wrong_rows_are_refused_with_their_line),
        cmocka_unit_test(labels_that_are_no_class_are_refused),
        cmocka_unit_test(labels_without_columns_are_refused),
        cmocka_unit_test(breastmnist_is_as_numpy_reads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
