/*
 * test_later.c - parts of a data set, and data that change while a federation runs
 */
#include "data/dataset.h"
#include "fixture.h"

static const char yaml[] = "task: classify\nclasses: {normal: 0, opacity: 1}\n"
                           "split: {by: patient, val: 0.25, test: 0.25, seed: 3}\n";

/* A folder of 16 images, and beside it another look at the same patients. */
static char *make_hospital(const char *later)
{
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *text = fl_xasprintf("%s%s", yaml, later);
    char *after = fl_path_join(dir, "after");
    fixture_images(dir, 16, text);
    check_ok(fl_mkdirs(after, 0755, &err), err);
    text[strlen(yaml)] = '\0';
    fixture_images(after, 16, text);
    char *shifted = fl_xasprintf("union: [\"%s\"]\nshift: [gain: 3]\n", after);
    fixture_text(dir, "new.yaml", shifted);
    free(shifted);
    free(after);
    free(text);
    return dir;
}

static void a_replaced_scanner_shows_the_same_patients_from_its_round_on(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_hospital("later: [{round: 5, data: new.yaml}, {round: 9, data: after}]\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    const data_set *now = data_set_in_round(s, 5);
    check(data_set_in_round(s, 0) == s && data_set_in_round(s, 4) == s);
    check(now != s && data_set_in_round(s, 8) == now);
    check(data_set_in_round(s, 9) != now && data_set_in_round(s, 1000) != s);
    check_int(data_set_n(now), 16);
    float before[64], after[64];
    for (size_t i = 0; i < 16; i++) {
        check_str(data_set_case(now, i).patient, data_set_case(s, i).patient);
        check_int(data_set_case(now, i).split, data_set_case(s, i).split);
        data_set_batch(s, &i, 1, before);
        data_set_batch(now, &i, 1, after);
        for (int k = 0; k < 64; k++) {
            check_near(after[k], before[k] * 1.3 < 1 ? before[k] * 1.3 : 1, 1e-6);
        }
    }
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void what_cannot_come_later_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *later, *says;
    } cases[] = {
        {"later: [{round: 1, data: after}]\n", "from 2 to"},
        {"later: [{round: 5, data: after}, {round: 5, data: new.yaml}]\n", "rounds must rise"},
        {"later: [{round: 5, data: nowhere}]\n", "later: round 5"},
        {"later: [{round: 5, data: small}]\n", "input"},
        {"later: [{round: 5, data: moved}]\n", "of the data set before"},
        {"later: [{round: 5, data: again}]\n", "none that come later"},
        {"later: [{round: 5}]\n", "data"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        data_set *s = NULL;
        char *dir = make_hospital(cases[i].later);
        static const char *const others[] = {"small", "moved", "again"};
        for (int k = 0; k < 3; k++) {
            char *path = fl_path_join(dir, others[k]);
            check_ok(fl_mkdirs(path, 0755, &err), err);
            fixture_images(path, 16, yaml);
            if (k == 0) {
                fixture_text(path, "dataset.yaml",
                             "task: classify\nclasses: {normal: 0, opacity: 1}\npreprocess: "
                             "[resize: 4]\n");
            } else if (k == 1) {
                fixture_text(path, "dataset.yaml",
                             "task: classify\nclasses: {normal: 0, opacity: 1}\nsplit: {by: "
                             "patient, val: 0.25, test: 0.25, seed: 4}\n");
            } else {
                char *text = fl_xasprintf("%slater: [{round: 9, data: ../after}]\n", yaml);
                fixture_text(path, "dataset.yaml", text);
                free(text);
            }
            free(path);
        }
        fl_status st = data_set_open(&s, dir, NULL, &err);
        check(st == FL_ECONFIG || st == FL_ENOTFOUND);
        check_has(err.text, cases[i].says);
        check(s == NULL);
        check_rmdir(&dir);
    }
}

static void a_union_changes_when_a_member_does(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_hospital("later: [{round: 5, data: new.yaml}]\n");
    char *other = make_hospital("later: [{round: 3, data: new.yaml}, {round: 5, data: after}]\n");
    char *yaml_of_all = fl_xasprintf("union: [\"%s\", \"%s\"]\n", dir, other);
    fixture_text(dir, "all.yaml", yaml_of_all);
    char *all = fl_path_join(dir, "all.yaml");
    static const int64_t rounds[] = {1, 3, 5, 9};
    float was[64];
    float is[64];

    check_ok(data_set_open(&s, all, NULL, &err), err);
    for (int k = 0; k < 4; k++) {
        const data_set *now = data_set_in_round(s, rounds[k]);
        const double gain[2] = {rounds[k] < 5 ? 1 : 1.3, rounds[k] == 3 ? 1.3 : 1};
        check_int(data_set_n(now), 32);
        check((now == s) == (k == 0));
        for (size_t i = 0; i < 32; i++) {
            check_str(data_set_case(now, i).case_id, data_set_case(s, i).case_id);
            data_set_batch(s, &i, 1, was);
            data_set_batch(now, &i, 1, is);
            double wanted = was[9] * gain[i / 16];
            check_near(is[9], wanted < 1 ? wanted : 1, 1e-6);
        }
    }
    data_set_destroy(&s);

    fixture_text(dir, "all.yaml", "union: [.]\nlater: [{round: 2, data: after}]\n");
    check_fails(data_set_open(&s, all, NULL, &err), FL_EUNSUPPORTED);
    check_has(err.text, "one of them can say when");
    free(yaml_of_all);
    free(all);
    check_rmdir(&dir);
    check_rmdir(&other);
}

/* Whom a hospital's secret hides is still the same person. */
static void patients_keep_split_and_pseudonym(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    const uint8_t secret[DATA_SECRET_BYTES] = {7};
    char *dir = make_hospital("later: [{round: 5, data: after}]\n");
    char *after = fl_path_join(dir, "after");
    check_ok(data_set_open_as(&s, dir, NULL, secret, &err), err);
    for (size_t i = 0; i < 16; i++) {
        const char *name = data_set_case(s, i).patient;
        check_int(strlen(name), 16);
        check_str(data_set_case(data_set_in_round(s, 5), i).patient, name);
    }
    data_set_destroy(&s);
    fixture_text(after, "dataset.yaml",
                 "task: classify\nclasses: {normal: 0, opacity: 1}\nsplit: {by: patient, val: "
                 "0.25, test: 0.25, seed: 4}\n");
    check_fails(data_set_open_as(&s, dir, NULL, secret, &err), FL_ECONFIG);
    check_has(err.text, "of the data set before");
    free(after);
    check_rmdir(&dir);
}

static void a_hospital_has_the_cases_that_its_list_names(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_hospital("");
    fixture_text(dir, "cases.csv", "case,split\nc9,test\nc2,train\nc3,train\nc12,val\n");
    fixture_text(dir, "share.yaml", "union: [after]\ncases: cases.csv\nshift: [gamma: 1]\n");
    char *share = fl_path_join(dir, "share.yaml");
    check_ok(data_set_open(&s, share, NULL, &err), err);
    check_int(data_set_n(s), 4);
    check_str(data_set_case(s, 0).case_id, "c2");
    check_int(data_set_n_split(s, DATA_TRAIN), 2);
    check_int(data_set_case(s, 2).split, DATA_TEST);
    check_int(data_set_case(s, 3).split, DATA_VAL);
    data_set_destroy(&s);

    static const struct {
        const char *list, *says;
    } cases[] = {
        {"case\nc1\nc99\n", ":3: the data set has no such case"},
        {"case\nc1\nc2\nc1\n", "stands in line"},
        {"name\nc1\n", "no column case"},
        {"case,split\nc1,later\n", "expected train, val or test, found later"},
        {"case,split\nc2,train\nc3,test\n", "patient"},  // one patient's two images
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_text(dir, "cases.csv", cases[i].list);
        check_fails(data_set_open(&s, share, NULL, &err), FL_ECONFIG);
        check_has(err.text, cases[i].says);
    }
    free(share);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replaced_scanner_shows_the_same_patients_from_its_round_on),
        cmocka_unit_test(what_cannot_come_later_is_refused),
        cmocka_unit_test(a_union_changes_when_a_member_does),
        cmocka_unit_test(patients_keep_split_and_pseudonym),
        cmocka_unit_test(a_hospital_has_the_cases_that_its_list_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
