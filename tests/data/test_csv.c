/*
 * test_csv.c - comma-separated tables
 */
#include "fixture.h"

static fl_status parse(data_csv *t, const char *text, bool header, fl_err *err)
{
    size_t n = strlen(text);
    char *copy = malloc(n > 0 ? n : 1);  // no byte behind the text
    memcpy(copy, text, n);
    fl_status st = data_csv_parse(t, copy, n, "t.csv", header, err);
    free(copy);
    return st;
}

static void a_table_has_rows_columns_and_lines(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_csv t;

    check_ok(parse(&t, "case,age\n\nc1, 61 \nc2,\"5,5\"\n", true, &err), err);
    check_int(t.n_rows, 2);
    check_int(t.n_cols, 2);
    check_int(data_csv_column(&t, "age"), 1);
    check_int(data_csv_column(&t, "sex"), -1);
    check_str(t.cell[0][1], "61");
    check_str(t.cell[1][1], "5,5");
    check_int(t.line[0], 3);
    check_int(t.line[1], 4);
    data_csv_clear(&t);
    data_csv_clear(&t);
}

static void quotes_line_breaks_and_byte_order_marks_are_understood(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_csv t;

    check_ok(data_csv_read(&t, "tests/fuzz/corpus/csv/quoted.csv", true, &err), err);
    check_str(t.header[0], "name");
    check_str(t.header[1], "a \"b\"");
    check_str(t.cell[0][0], "x, y");
    check_str(t.cell[0][1], "line\nbreak");
    check_str(t.cell[0][2], "z");
    check_int(t.line[1], 4);
    check_str(t.cell[1][0], "");
    check_str(t.cell[1][1], "");
    data_csv_clear(&t);
}

static void no_line_end_at_the_end_is_fine(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_csv t;

    check_ok(parse(&t, "1,2\r\n3,4", false, &err), err);
    check_int(t.n_rows, 2);
    check_str(t.cell[1][1], "4");
    check(t.header == NULL);
    data_csv_clear(&t);
    check_ok(parse(&t, "a,b", true, &err), err);
    check_int(t.n_rows, 0);
    data_csv_clear(&t);
    check_ok(parse(&t, "1,", false, &err), err);
    check_int(t.n_cols, 2);
    check_str(t.cell[0][1], "");
    data_csv_clear(&t);
}

static void malformed_tables_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"a,b\n1,2\n3\n", "t.csv:3: expected 2 cells as in the first row, found 1"},
        {"a,b\n1,\"2\n3", "t.csv:2: a quoted cell that begins here never ends"},
        {"a,b\n1,\"2\"x\n", "t.csv:2: expected a comma"},
        {"a,b\n1,2\"\n", "t.csv:2: a quote inside"},
        {"a,a\n1,2\n", "t.csv:1: column a is there twice"},
        {"a,\n1,2\n", "t.csv:1: column 2 of the header has no name"},
        {"", "t.csv: an empty table"},
        {"\n\n", "t.csv: an empty table"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        data_csv t;
        check_fails(parse(&t, cases[i].text, true, &err), FL_EFORMAT);
        check_has(err.text, cases[i].says);
        check(t.cell == NULL);
    }
    fl_err err = FL_ERR_INIT;
    data_csv t;
    check_fails(data_csv_parse(&t, "a\0b", 3, "t.csv", false, &err), FL_EFORMAT);
    check_has(err.text, "a zero byte");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_has_rows_columns_and_lines),
        cmocka_unit_test(quotes_line_breaks_and_byte_order_marks_are_understood),
        cmocka_unit_test(no_line_end_at_the_end_is_fine),
        cmocka_unit_test(malformed_tables_are_refused_with_their_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
