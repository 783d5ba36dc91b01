#include "check.h"

#include "base/json.h"

static void a_document_is_written_and_read_back(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "report.json");
    json_t *doc = json_object();
    json_object_set_new(doc, "name", json_string("chest"));
    json_object_set_new(doc, "auc", fl_json_number(0.875));
    json_object_set_new(doc, "rounds", json_integer(20));
    check_ok(fl_json_write(doc, path, &err), err);
    json_decref(doc);

    json_t *back = NULL;
    check_ok(fl_json_read(&back, path, 1000, &err), err);
    check_str(fl_json_get_string(back, "name", "?"), "chest");
    check_near(fl_json_get_number(back, "auc"), 0.875, 0);
    check_int(fl_json_get_int(back, "rounds", -1), 20);
    json_decref(back);
    check_fails(fl_json_read(&back, path, 10, &err), FL_ELIMIT);
    free(path);
    check_rmdir(&dir);
}

static void text_is_indented_in_order_with_ten_digits(void **state)
{
    (void)state;
    json_t *doc = json_object();
    json_object_set_new(doc, "z", fl_json_number(0.1));
    json_object_set_new(doc, "a", fl_json_number(1.0 / 3));
    json_object_set_new(doc, "whole", fl_json_number(3));
    json_object_set_new(doc, "large", fl_json_number(1e300));
    json_object_set_new(doc, "none", fl_json_number(NAN));
    char *text = fl_json_text(doc);
    check_str(text, "{\n  \"z\": 0.1,\n  \"a\": 0.3333333333,\n  \"whole\": 3.0,\n"
                    "  \"large\": 1e300,\n  \"none\": null\n}\n");
    free(text);
    json_decref(doc);
    json_t *number = json_integer(3);
    text = fl_json_text(number);
    check_str(text, "3\n");
    free(text);
    json_decref(number);
}

static void undefined_numbers_are_null_and_come_back_as_nan(void **state)
{
    (void)state;
    static const double undefined[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        json_t *doc = json_object();
        json_object_set_new(doc, "x", fl_json_number(undefined[i]));
        check(json_is_null(json_object_get(doc, "x")));
        check_near(fl_json_get_number(doc, "x"), NAN, 0);
        json_decref(doc);
    }
}

static void absent_and_wrong_kinds_give_the_fallback(void **state)
{
    (void)state;
    json_t *doc = json_pack("{s:s, s:i, s:f}", "text", "x", "int", 3, "real", 2.5);
    check_near(fl_json_get_number(doc, "absent"), NAN, 0);
    check_near(fl_json_get_number(doc, "text"), NAN, 0);
    check_near(fl_json_get_number(doc, "int"), 3, 0);
    check_str(fl_json_get_string(doc, "int", "fallback"), "fallback");
    check_str(fl_json_get_string(doc, "absent", NULL), NULL);
    check_int(fl_json_get_int(doc, "real", -1), -1);
    check_near(fl_json_get_number(NULL, "x"), NAN, 0);
    json_decref(doc);
}

static void malformed_text_is_refused_with_its_line(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",         "{",        "{\"a\": 1,}", "{\"a\": 1} x",  "{\"a\": 1, \"a\": 2}",
        "[1, NaN]", "{'a': 1}", "[1e999]",     "[\"\\u0000\"]", "[\"\xff\"]",
        "[01]",     "nul",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fl_err err = FL_ERR_INIT;
        json_t *doc = NULL;
        check_fails(fl_json_parse(&doc, bad[i], strlen(bad[i]), 100, "x.json", &err), FL_EFORMAT);
        check(doc == NULL);
        check_has(err.text, "x.json:");
    }
    fl_err err = FL_ERR_INIT;
    json_t *doc = NULL;
    check_fails(fl_json_parse(&doc, "{\n\n1", 4, 100, "x.json", &err), FL_EFORMAT);
    check_has(err.text, "x.json:3: ");
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    char *text = fl_xcalloc(N, 1);
    fl_err err = FL_ERR_INIT;
    json_t *doc = NULL;
    memset(text, '[', N);
    check_fails(fl_json_parse(&doc, text, N, N, "x.json", &err), FL_EFORMAT);
    free(text);
}

static void damaged_text_is_read_or_refused(void **state)
{
    (void)state;
    char text[] = "{\"name\": \"n\\u00f6rd\", \"x\": [1, 2.5e-3, null, true], \"o\": {\"a\": -1}}";
    size_t n = strlen(text);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        text[bit / 8] ^= (char)(1 << (bit % 8));
        json_t *doc = NULL;
        fl_err err = FL_ERR_INIT;
        if (fl_json_parse(&doc, text, n, n, "x", &err) == FL_OK) {
            char *again = fl_json_text(doc);
            free(again);
            json_decref(doc);
        }
        check_fails(fl_json_parse(&doc, text, bit / 8, n, "x", NULL), FL_EFORMAT);
        text[bit / 8] ^= (char)(1 << (bit % 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_written_and_read_back),
        cmocka_unit_test(text_is_indented_in_order_with_ten_digits),
        cmocka_unit_test(undefined_numbers_are_null_and_come_back_as_nan),
        cmocka_unit_test(absent_and_wrong_kinds_give_the_fallback),
        cmocka_unit_test(malformed_text_is_refused_with_its_line),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(damaged_text_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
