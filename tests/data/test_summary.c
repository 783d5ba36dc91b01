/*
 * test_summary.c - flow, table 1 and problems of a data set
 */
#include "data/dataset.h"
#include "fixture.h"

static const char yaml[] = "classes: {normal: 0, opacity: 1}\n"
                           "attributes: {sex: sex, age: age, ward: ward}\n"
                           "split: {column: split}\n";

/* n cases of one patient each; the rest of a row comes from the caller. */
typedef void row_writer(fl_buf *b, int i);

static data_set *open_cases(const char *dir, int n, row_writer *write_row)
{
    fl_err err = FL_ERR_INIT;
    fl_buf b = FL_BUF_INIT;
    data_set *s = NULL;
    fl_buf_puts(&b, "case,patient,file,label,split,sex,age,ward\n");
    for (int i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "i%d.png", i);
        fixture_png(dir, name, 4, (unsigned)i);
        fl_buf_printf(&b, "c%d,p%d,%s,", i, i, name);
        write_row(&b, i);
    }
    fixture_text(dir, "manifest.csv", b.data);
    fixture_text(dir, "dataset.yaml", yaml);
    fl_buf_clear(&b);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    return s;
}

/* 40 in train: 30 F, 10 M, every second opaque; 20 in test, all normal. */
static void usual_row(fl_buf *b, int i)
{
    bool train = i < 40;
    fl_buf_printf(b, "%d,%s,%s,%d,", train ? i % 2 : 0, train ? "train" : "test",
                  i % 4 == 0 ? "M" : "F", 50 + i % 3);
    fl_buf_printf(b, i % 2 == 0 ? "big ward\n" : "ward %d\n", i);
}

static const json_t *at(const json_t *json, const char *a, const char *b, const char *c,
                        const char *d)
{
    const char *const keys[] = {a, b, c, d};
    for (int i = 0; i < 4 && keys[i] != NULL; i++) {
        json = json_object_get(json, keys[i]);
    }
    return json;
}

static void table_1_counts_classes_and_attributes(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    data_set *s = open_cases(dir, 60, usual_row);
    json_t *t = data_set_table1(s, 5);

    check_int(fl_json_get_int(at(t, "train", NULL, NULL, NULL), "n", -1), 40);
    check_int(fl_json_get_int(at(t, "train", "classes", "opacity", NULL), "n", -1), 20);
    check_int(fl_json_get_int(at(t, "train", "attributes", "sex", "M"), "n", -1), 10);
    const json_t *age = at(t, "train", "attributes", "age", NULL);
    check_int(fl_json_get_int(age, "n", -1), 40);
    check_near(fl_json_get_number(age, "mean"), 50.975, 1e-9);
    check_near(fl_json_get_number(age, "sd"), 0.831665, 1e-5);
    const json_t *ward = at(t, "train", "attributes", "ward", NULL);
    check_int(fl_json_get_int(json_object_get(ward, "big ward"), "n", -1), 20);
    check_int(fl_json_get_int(json_object_get(ward, "other"), "n", -1), 20);
    /* a ward's name may tell who was in it */
    check_int(json_object_size(ward), 3);
    json_decref(t);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void small_cells_and_one_more_are_hidden(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    data_set *s = open_cases(dir, 60, usual_row);
    json_t *t = data_set_table1(s, 11);
    const json_t *sex = at(t, "train", "attributes", "sex", NULL);
    check(json_is_null(at(sex, "M", "n", NULL, NULL)));
    check_has(fl_json_get_string(at(sex, "M", NULL, NULL, NULL), "why", ""),
              "fewer than 11 patients");
    /* or 40 - 30 would give M away */
    check(json_is_null(at(sex, "F", "n", NULL, NULL)));
    check_int(fl_json_get_int(at(sex, "unknown", NULL, NULL, NULL), "n", -1), 0);
    const json_t *age = at(t, "val", "attributes", "age", NULL);
    check_int(fl_json_get_int(age, "n", -1), 0);  // nobody
    check(json_is_null(json_object_get(age, "mean")));
    json_decref(t);

    t = data_set_table1(s, 41);
    check(json_is_null(at(t, "train", "attributes", "age", "mean")));
    /* all 20 of test are normal: an empty cell would say so */
    check(json_is_null(at(t, "test", "classes", "normal", "n")));
    check(json_is_null(at(t, "test", "classes", "opacity", "n")));
    /* told by the flow, so that it hides nothing */
    check_int(fl_json_get_int(at(t, "test", "classes", "unlabelled", NULL), "n", -1), 0);
    json_decref(t);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

/* As usual, but every tenth of train has no label, and few are opaque. */
static void unlabelled_row(fl_buf *b, int i)
{
    if (i < 40 && i % 10 == 0) {
        fl_buf_puts(b, ",train,F,50,ward\n");
    } else {
        fl_buf_printf(b, "%d,%s,F,50,ward\n", i % 7 == 1, i < 40 ? "train" : "test");
    }
}

static void cases_without_a_label_are_counted_apart_and_cover_no_small_class(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    data_set *s = open_cases(dir, 60, unlabelled_row);
    json_t *flow = data_set_flow(s), *t = data_set_table1(s, 10);
    check_int(fl_json_get_int(flow, "unlabelled", -1), 4);
    check_int(fl_json_get_int(json_object_get(flow, "analysed"), "train", -1), 40);
    check_int(fl_json_get_int(json_object_get(flow, "labelled"), "train", -1), 36);
    check_int(fl_json_get_int(json_object_get(flow, "labelled"), "val", -1), 0);
    check_int(fl_json_get_int(json_object_get(flow, "labelled"), "test", -1), 20);
    check_int(fl_json_get_int(at(t, "train", "classes", "unlabelled", NULL), "n", -1), 4);
    /* 40 - 4 - 31 would give opacity away */
    check(json_is_null(at(t, "train", "classes", "opacity", "n")));
    check(json_is_null(at(t, "train", "classes", "normal", "n")));
    json_decref(t);
    json_decref(flow);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void the_flow_counts_from_files_to_splits(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    data_set *s = open_cases(dir, 60, usual_row);
    json_t *flow = data_set_flow(s);
    check_int(fl_json_get_int(flow, "files", -1), 60);
    check_int(fl_json_get_int(flow, "cases", -1), 60);
    check_int(fl_json_get_int(flow, "patients", -1), 60);
    check_int(fl_json_get_int(flow, "unlabelled", -1), 0);
    check_int(json_object_size(json_object_get(flow, "refused")), 0);
    check_int(fl_json_get_int(json_object_get(flow, "analysed"), "test", -1), 20);
    json_decref(flow);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static bool has_problem(const json_t *problems, const char *what, const char *where, int64_t n)
{
    size_t i;
    const json_t *p;
    json_array_foreach(problems, i, p)
    {
        if (strcmp(fl_json_get_string(p, "what", ""), what) == 0 &&
            strcmp(fl_json_get_string(p, "where", ""), where) == 0 &&
            fl_json_get_int(p, "n", -1) == n) {
            return true;
        }
    }
    return false;
}

static void problems_are_named_and_nobody_in_them(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = open_cases(dir, 60, usual_row);
    data_set_destroy(&s);
    fixture_png(dir, "i50.png", 4, 3);  // test case 50 is now train case 3
    fixture_png(dir, "i8.png", 4, 9);   // and train cases 8 and 9 are one
    check_ok(data_set_open(&s, dir, NULL, &err), err);

    json_t *problems = data_set_problems(s);
    check(has_problem(problems, "an empty split", "val", 0));
    check(has_problem(problems, "a split with a single class", "test", 20));
    check(has_problem(problems, "the same content in two splits", "images", 1));
    check(has_problem(problems, "the same content twice in a split", "images", 1));
    check_int(json_array_size(problems), 4);
    json_decref(problems);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_1_counts_classes_and_attributes),
        cmocka_unit_test(small_cells_and_one_more_are_hidden),
        cmocka_unit_test(cases_without_a_label_are_counted_apart_and_cover_no_small_class),
        cmocka_unit_test(the_flow_counts_from_files_to_splits),
        cmocka_unit_test(problems_are_named_and_nobody_in_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
