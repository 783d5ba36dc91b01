/*
 * test_split.c - which patients train, which choose, which judge
 */
#include "data/dataset.h"
#include "fixture.h"

/* A table of n rows, patient i / per_patient; rows in reverse if asked to. */
static data_set *open_split(const char *dir, int n, int per_patient, bool reverse,
                            const char *split, fl_err *err)
{
    fl_buf b = FL_BUF_INIT;
    data_set *s = NULL;
    fl_buf_puts(&b, "case,patient,x,label\n");
    for (int k = 0; k < n; k++) {
        int i = reverse ? n - 1 - k : k;
        fl_buf_printf(&b, "c%d,p%d,%d,%d\n", i, i / per_patient, i, i % 2);
    }
    fixture_text(dir, "t.csv", b.data);
    char *yaml = fl_xasprintf("table: {file: t.csv, case: case}\nsplit: %s\n", split);
    fixture_text(dir, "dataset.yaml", yaml);
    free(yaml);
    fl_buf_clear(&b);
    if (data_set_open(&s, dir, NULL, err) != FL_OK) {
        return NULL;
    }
    return s;
}

static void patients_are_dealt_out_in_proportion(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = open_split(dir, 303, 3, false, "{by: patient, val: 0.15, test: 0.25, seed: 7}",
                             &err);
    check(s != NULL);
    check_int(data_set_n_split(s, DATA_TEST), 3 * 25);  // of 101 patients
    check_int(data_set_n_split(s, DATA_VAL), 3 * 15);
    check_int(data_set_n_split(s, DATA_TRAIN), 3 * 61);
    for (size_t i = 0; i < 303; i += 3) {
        data_split split = data_set_case(s, i).split;
        check_int(data_set_case(s, i + 1).split, split);
        check_int(data_set_case(s, i + 2).split, split);
        check_int(data_set_case(s, i + 2).patient_no, i / 3);
    }
    /* indices of a split stand in the manifest's order */
    for (size_t i = 1; i < data_set_n_split(s, DATA_TRAIN); i++) {
        check(data_set_split(s, DATA_TRAIN)[i - 1] < data_set_split(s, DATA_TRAIN)[i]);
    }
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void the_order_of_rows_does_not_matter_the_seed_does(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    static const char seven[] = "{by: patient, val: 0.2, test: 0.2, seed: 7}";
    static const char eight[] = "{by: patient, val: 0.2, test: 0.2, seed: 8}";
    data_set *a = open_split(dir, 100, 1, false, seven, &err);
    data_set *b = open_split(dir, 100, 1, true, seven, &err);
    data_set *c = open_split(dir, 100, 1, false, eight, &err);
    int moved = 0;
    for (size_t i = 0; i < 100; i++) {
        check_int(data_set_case(a, i).split, data_set_case(b, 99 - i).split);
        moved += data_set_case(a, i).split != data_set_case(c, i).split;
    }
    check(moved > 10);
    data_set_destroy(&a);
    data_set_destroy(&b);
    data_set_destroy(&c);
    check_rmdir(&dir);
}

static void all_or_nothing_is_possible(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = open_split(dir, 10, 1, false, "{by: patient, val: 0, test: 1}", &err);
    check_int(data_set_n_split(s, DATA_TEST), 10);
    check_int(data_set_n_split(s, DATA_TRAIN), 0);
    data_set_destroy(&s);
    s = open_split(dir, 10, 1, false, "{by: patient, val: 0, test: 0}", &err);
    check_int(data_set_n_split(s, DATA_TRAIN), 10);
    check_int(data_set_n_split(s, DATA_TEST), 0);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void a_file_may_say_the_split_of_every_row(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    fixture_text(dir, "s.csv",
                 "centre,row_in_processed_file,set\n"
                 "a,0,train\na,1,test\nb,0,test\na,2,val\n");
    data_set *s = open_split(dir, 3, 1, false, "{file: s.csv, site: a}", &err);
    check(s != NULL);
    check_int(data_set_case(s, 0).split, DATA_TRAIN);
    check_int(data_set_case(s, 1).split, DATA_TEST);
    check_int(data_set_case(s, 2).split, DATA_VAL);
    data_set_destroy(&s);

    fixture_text(dir, "s.csv", "index,part\n0,train\n1,test\n2,train\n");
    s = open_split(dir, 3, 1, false, "{file: s.csv, row_column: index, set_column: part}", &err);
    check(s != NULL);
    check_int(data_set_n_split(s, DATA_TRAIN), 2);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void wrong_files_of_splits_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"centre,row_in_processed_file,set\na,0,train\na,1,test\n", "t.csv:4: "},
        {"centre,row_in_processed_file,set\na,0,train\na,0,test\n",
         "s.csv:3: row 0 is there twice"},
        {"centre,row_in_processed_file,set\na,9,train\n", "s.csv:2: expected a row that"},
        {"centre,row_in_processed_file,set\na,x,train\n", "s.csv:2: expected a row that"},
        {"centre,row_in_processed_file,set\na,0,tryout\n",
         "s.csv:2: set: expected train, val or test, found tryout"},
        {"centre,row,set\na,0,train\n", "s.csv:1: there is no column row_in_processed_file"},
    };
    char *dir = check_tmpdir();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        fixture_text(dir, "s.csv", cases[i].text);
        check(open_split(dir, 3, 1, false, "{file: s.csv, site: a}", &err) == NULL);
        check_has(err.text, cases[i].says);
    }
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patients_are_dealt_out_in_proportion),
        cmocka_unit_test(the_order_of_rows_does_not_matter_the_seed_does),
        cmocka_unit_test(all_or_nothing_is_possible),
        cmocka_unit_test(a_file_may_say_the_split_of_every_row),
        cmocka_unit_test(wrong_files_of_splits_are_refused_with_their_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
