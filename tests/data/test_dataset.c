/*
 * test_dataset.c - opening, splits, batches, unions, summaries
 */
#include "data/dataset.h"
#include "fixture.h"

static const char yaml[] = "task: classify\n"
                           "classes: {normal: 0, opacity: 1}\n"
                           "reference_standard: two radiologists\n"
                           "attributes: {sex: sex, age: age}\n"
                           "split: {by: patient, val: 0.2, test: 0.3, seed: 7}\n"
                           "prevalence: 0.08\n";

static void a_folder_of_images_gives_batches(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = NULL;
    fixture_images(dir, 40, yaml);

    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 40);
    check_int(data_set_n_split(s, DATA_TRAIN), 20);
    check_int(data_set_n_split(s, DATA_VAL), 8);
    check_int(data_set_n_split(s, DATA_TEST), 12);
    check_int(data_set_n_features(s), 64);
    check_str(data_set_spec(s)->classes[1], "opacity");
    check_str(data_set_reference_standard(s), "two radiologists");
    check_near(data_set_prevalence(s), 0.08, 0);

    float x[2 * 64];
    const size_t wanted[] = {3, 0};
    data_set_batch(s, wanted, 2, x);
    check_near(x[0], 21.0f / 255.0f, 0);
    check_near(x[64 + 1], 3.0f / 255.0f, 0);

    data_case c = data_set_case(s, 3);
    check_str(c.case_id, "c3");
    check_int(c.code, 1);
    check_int(c.patient_no, 1);
    check_str(c.attributes[0], "M");
    check_str(c.attributes[1], "41");
    data_set_destroy(&s);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void a_jobs_expectation_is_met_or_named(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = NULL;
    fixture_images(dir, 8, yaml);
    data_spec expect = {
        .task = DATA_CLASSIFY, .n_classes = 2, .positive = 0, .input = {3, {1, 8, 8}}};
    strcpy(expect.classes[0], "opacity");
    strcpy(expect.classes[1], "normal");

    check_ok(data_set_open(&s, dir, &expect, &err), err);
    check_int(data_set_case(s, 1).code, 0);  // the job's order
    check_int(data_set_spec(s)->positive, 0);
    check_int(data_set_spec(s)->n_attributes, 0);  // nobody asked
    data_set_destroy(&s);

    strcpy(expect.classes[1], "nodule");
    check_fails(data_set_open(&s, dir, &expect, &err), FL_ECONFIG);
    check_has(err.text, "classes: the job has opacity, nodule; this data set "
                        "has normal, opacity");
    strcpy(expect.classes[1], "normal");
    expect.input.dim[1] = 64;
    check_fails(data_set_open(&s, dir, &expect, &err), FL_ECONFIG);
    check_has(err.text, "manifest.csv:2: input: expected 1x64x8, found 1x8x8");
    expect.input.rank = 0;
    expect.task = DATA_REGRESS;
    check_fails(data_set_open(&s, dir, &expect, &err), FL_ECONFIG);
    check_has(err.text, "task: the job has regress; this data set has classify");
    check_rmdir(&dir);
}

static void zscore_gives_each_image_mean_zero(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *recipe = fl_xasprintf("%spreprocess: [normalise: zscore]\n", yaml);
    data_set *s = NULL;
    fixture_images(dir, 4, recipe);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    for (size_t i = 0; i < 4; i++) {
        float x[64];
        double sum = 0;
        double squares = 0;
        data_set_batch(s, &i, 1, x);
        for (int k = 0; k < 64; k++) {
            sum += (double)x[k];
            squares += (double)x[k] * (double)x[k];
        }
        check_near(sum, 0, 1e-4);
        check_near(squares / 64, 1, 1e-5);
    }
    data_set_destroy(&s);
    free(recipe);
    check_rmdir(&dir);
}

/* Contents, splits and labels do not depend on how the loading was shared. */
static void opening_twice_gives_the_same_digest(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    uint8_t digest[3][32];
    fixture_images(dir, 40, yaml);
    for (int k = 0; k < 3; k++) {
        data_set *s = NULL;
        if (k == 2) {
            fixture_png(dir, "i7.png", 8, 200);
        }
        check_ok(data_set_open(&s, dir, NULL, &err), err);
        data_set_sha256(digest[k], s);
        data_set_destroy(&s);
    }
    check_bytes(digest[0], digest[1], 32);
    check(memcmp(digest[0], digest[2], 32) != 0);
    check_rmdir(&dir);
}

static void an_epoch_visits_every_case_once_in_its_own_order(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = NULL;
    size_t a[20];
    size_t b[20];
    size_t c[20];
    fixture_images(dir, 40, yaml);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    data_set_shuffle(s, DATA_TRAIN, 1, "nord", 0, a);
    data_set_shuffle(s, DATA_TRAIN, 1, "nord", 0, b);
    data_set_shuffle(s, DATA_TRAIN, 1, "nord", 1, c);
    check_bytes(a, b, sizeof a);
    check(memcmp(a, c, sizeof a) != 0);
    for (size_t i = 0; i < 20; i++) {
        int seen = 0;
        for (size_t k = 0; k < 20; k++) {
            seen += a[k] == data_set_split(s, DATA_TRAIN)[i];
        }
        check_int(seen, 1);
    }
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void a_batch_may_be_seen_by_another_scanner(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = NULL;
    fixture_images(dir, 8, yaml);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    data_shift chain = {.ops = {data_shift_find("noise")}, .severity = {3}, .n = 1};
    const data_shift none = {.n = 0};
    const size_t pair[] = {5, 2};
    const size_t alone[] = {2};
    float plain[128];
    float same[128];
    float noisy[128];
    float again[64];
    data_set_batch(s, pair, 2, plain);
    check_ok(data_set_batch_shifted(s, &none, 1, pair, 2, same, &err), err);
    check_bytes(plain, same, sizeof plain);
    check_ok(data_set_batch_shifted(s, &chain, 1, pair, 2, noisy, &err), err);
    check_ok(data_set_batch_shifted(s, &chain, 1, alone, 1, again, &err), err);
    check(memcmp(plain, noisy, sizeof plain) != 0);
    check_bytes(noisy + 64, again, sizeof again);  // whatever batch it is in
    data_set_destroy(&s);
    check_rmdir(&dir);
}

/* --- unions --- */

static void write_table(const char *dir, const char *name, const char *rows)
{
    char *path = fl_path_join(dir, name);
    fl_err err = FL_ERR_INIT;
    check_ok(fl_mkdirs(path, 0755, &err), err);
    fixture_text(path, "t.csv", rows);
    fixture_text(path, "dataset.yaml",
                 "classes: {no: 0, yes: 1}\n"
                 "table: {file: t.csv, case: case, patient: patient, "
                 "standardise: site}\n"
                 "split: {column: split}\n");
    free(path);
}

static void a_union_of_tables_is_standardised_as_one(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "pooled.yaml");
    data_set *s = NULL;
    write_table(dir, "nord",
                "case,patient,x,label,split\n"
                "c1,p1,1,0,train\nc2,p2,3,1,test\n");
    write_table(dir, "sud",
                "case,patient,x,label,split\n"
                "c1,p1,5,1,train\nc2,p2,7,0,train\n");
    fixture_text(dir, "pooled.yaml", "union: [nord, sud]\n");
    check_ok(data_set_open(&s, path, NULL, &err), err);

    check_int(data_set_n(s), 4);
    check_int(data_set_n_split(s, DATA_TRAIN), 3);
    check_str(data_set_case(s, 0).case_id, "0/c1");
    check_str(data_set_case(s, 2).case_id, "1/c1");  // another person
    check_int(data_set_case(s, 2).patient_no, 2);
    const double mean = 13.0 / 3;
    const double sd = sqrt((pow(1 - mean, 2) + pow(5 - mean, 2) + pow(7 - mean, 2)) / 2);
    const double x[] = {1, 3, 5, 7};
    for (size_t i = 0; i < 4; i++) {
        float z;
        data_set_batch(s, &i, 1, &z);
        check_near(z, (x[i] - mean) / sd, 1e-6);
    }
    data_set_destroy(&s);
    free(path);
    check_rmdir(&dir);
}

static void a_union_of_one_keeps_its_names_and_may_be_shifted(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "elsewhere.yaml");
    data_set *s = NULL;
    float plain[64];
    float darker[64];
    const size_t third = 3;
    fixture_images(dir, 8, yaml);
    fixture_text(dir, "elsewhere.yaml", "union: [.]\nshift: [gamma: 4]\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    data_set_batch(s, &third, 1, plain);
    data_set_destroy(&s);
    check_ok(data_set_open(&s, path, NULL, &err), err);
    data_set_batch(s, &third, 1, darker);
    check_str(data_set_case(s, 3).case_id, "c3");
    for (int i = 0; i < 64; i++) {
        check_near(darker[i], pow((double)plain[i], 2), 1e-6);
    }
    data_set_destroy(&s);
    free(path);
    check_rmdir(&dir);
}

static void a_union_says_what_all_its_members_do(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *own, *says;
    } cases[] = {
        {"pathology", "pathology", "", "pathology"},
        {"pathology", "a reader", "", "differs between its data sets"},
        {"pathology", "a reader", "reference_standard: a panel\n", "a panel"},
        {"pathology", NULL, "", "differs between its data sets"},
        {NULL, NULL, "", "not provided"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        char *dir = check_tmpdir();
        const char *const names[] = {"a", "b"}, *const standards[] = {cases[i].a, cases[i].b};
        for (int k = 0; k < 2; k++) {
            char name[8];
            char *recipe = fl_xasprintf("task: classify\nclasses: {x: 0, y: 1}\n%s%s%s"
                                        "split: {by: patient, val: 0, test: 0.5}\n"
                                        "table: {file: %s.csv, label: {column: l}}\n",
                                        standards[k] != NULL ? "reference_standard: " : "",
                                        standards[k] != NULL ? standards[k] : "",
                                        standards[k] != NULL ? "\n" : "", names[k]);
            snprintf(name, sizeof name, "%s.csv", names[k]);
            fixture_text(dir, name, "v,l\n1,0\n2,1\n3,0\n4,1\n");
            snprintf(name, sizeof name, "%s.yaml", names[k]);
            fixture_text(dir, name, recipe);
            free(recipe);
        }
        char *text = fl_xasprintf("union: [a.yaml, b.yaml]\n%s", cases[i].own);
        fixture_text(dir, "u.yaml", text);
        char *path = fl_path_join(dir, "u.yaml");
        data_set *s = NULL;
        check_ok(data_set_open(&s, path, NULL, &err), err);
        check_str(data_set_reference_standard(s), cases[i].says);
        data_set_destroy(&s);
        free(path);
        free(text);
        check_rmdir(&dir);
    }
}

static void members_of_a_union_may_know_other_codes(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "u.yaml");
    data_set *s = NULL;
    for (int k = 0; k < 2; k++) {
        const char *name = k == 0 ? "a" : "b";
        char *yaml_name = fl_xasprintf("%s.yaml", name);
        char *csv_name = fl_xasprintf("%s.csv", name);
        char *text = fl_xasprintf("attributes: {scanner: scanner}\n"
                                  "table: {file: %s.csv, drop: [scanner]}\n",
                                  name);
        char *table = fl_xasprintf("x,label,scanner\n1,0,DR-%s\n2,1,DR-%s\n", name, name);
        fixture_text(dir, yaml_name, text);
        fixture_text(dir, csv_name, table);
        free(table);
        free(text);
        free(csv_name);
        free(yaml_name);
    }
    fixture_text(dir, "u.yaml", "union: [a.yaml, b.yaml]\n");
    check_ok(data_set_open(&s, path, NULL, &err), err);
    check_int(data_set_spec(s)->attributes[0].kind, DATA_ATTR_CODES);
    check_int(data_set_spec(s)->attributes[0].n_codes, 2);
    check_str(data_set_spec(s)->attributes[0].codes[1], "DR-b");
    check_str(data_set_case(s, 3).attributes[0], "DR-b");
    data_set_destroy(&s);
    free(path);
    check_rmdir(&dir);
}

static void unions_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "u.yaml");
    data_set *s = NULL;
    write_table(dir, "nord", "case,patient,x,label,split\nc1,p1,1,0,train\n");
    write_table(dir, "sud", "case,patient,x,y,label,split\nc1,p1,1,2,0,train\n");
    fixture_text(dir, "u.yaml", "union: [nord, sud]\n");
    check_fails(data_set_open(&s, path, NULL, &err), FL_ECONFIG);
    check_has(err.text, "u.yaml: union: ");
    check_has(err.text, "this table has 2 features");

    fixture_text(dir, "u.yaml", "union: [nord, nowhere]\n");
    check_fails(data_set_open(&s, path, NULL, &err), FL_ENOTFOUND);
    fixture_text(dir, "u.yaml", "union: [u.yaml]\n");
    check_fails(data_set_open(&s, path, NULL, &err), FL_ELIMIT);
    fixture_text(dir, "u.yaml", "union: [nord]\nshift: [blur: 1]\n");
    check_fails(data_set_open(&s, path, NULL, &err), FL_EUNSUPPORTED);
    check_has(err.text, "only for images");
    free(path);
    check_rmdir(&dir);
}

/* The case's own name, the hospital's secret and the place in the file: what patients are called. */
static void patients_are_called_by_pseudonyms(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const uint8_t secret[DATA_SECRET_BYTES] = {1, 2, 3};
    const uint8_t another[DATA_SECRET_BYTES] = {1, 2, 4};
    char *dir = check_tmpdir();
    char first[64];
    data_set *s;

    fixture_images(dir, 8, "task: classify\nclasses: {no: 0, yes: 1}\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_str(data_set_case(s, 0).patient, "patient-1");
    check_str(data_set_case(s, 7).patient, "patient-4");
    data_set_destroy(&s);

    check_ok(data_set_open_as(&s, dir, NULL, secret, &err), err);
    snprintf(first, sizeof first, "%s", data_set_case(s, 0).patient);
    /* hashlib.blake2b(bytes([1, 2, 3] + [0] * 29) + b"p0", key=b"patient" + bytes(9), digest_size=32) */
    check_str(first, "0e362ee8067ccb5a");
    check_str(data_set_case(s, 1).patient, first);  // the same patient
    check(strcmp(data_set_case(s, 2).patient, first) != 0);
    data_set_destroy(&s);
    check_ok(data_set_open_as(&s, dir, NULL, another, &err), err);
    check(strcmp(data_set_case(s, 0).patient, first) != 0);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_of_images_gives_batches),
        cmocka_unit_test(a_jobs_expectation_is_met_or_named),
        cmocka_unit_test(zscore_gives_each_image_mean_zero),
        cmocka_unit_test(opening_twice_gives_the_same_digest),
        cmocka_unit_test(an_epoch_visits_every_case_once_in_its_own_order),
        cmocka_unit_test(a_batch_may_be_seen_by_another_scanner),
        cmocka_unit_test(a_union_of_tables_is_standardised_as_one),
        cmocka_unit_test(a_union_of_one_keeps_its_names_and_may_be_shifted),
        cmocka_unit_test(a_union_says_what_all_its_members_do),
        cmocka_unit_test(members_of_a_union_may_know_other_codes),
        cmocka_unit_test(unions_that_do_not_fit_are_refused),
        cmocka_unit_test(patients_are_called_by_pseudonyms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
