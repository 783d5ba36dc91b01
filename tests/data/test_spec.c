/*
 * test_spec.c - the `data:` part of a job
 */
#include "data/spec.h"
#include "fixture.h"

static fl_status read_spec(data_spec *s, const char *yaml, fl_err *err)
{
    fl_cfg *c = NULL;
    check_ok(fl_cfg_parse(&c, yaml, strlen(yaml), "job.yaml", ".", err), *err);
    data_spec_read(s, fl_cfg_root(c));
    fl_status st = fl_cfg_finish(c, err);
    fl_cfg_destroy(&c);
    return st;
}

static void a_job_says_what_every_site_must_have(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_spec s;

    check_ok(read_spec(&s,
                       "task: classify\n"
                       "data:\n"
                       "  input: [1, 64, 48]\n"
                       "  classes: [normal, opacity]\n"
                       "  positive: opacity\n"
                       "  attributes: {sex: [F, M], age: years, scanner: text}\n",
                       &err),
             err);
    check_int(s.task, DATA_CLASSIFY);
    check_int(s.input.rank, 3);
    check_int(s.input.dim[2], 48);
    check_int(s.n_classes, 2);
    check_int(s.positive, 1);
    check_int(s.n_attributes, 3);
    check_int(s.attributes[0].kind, DATA_ATTR_CODES);
    check_str(s.attributes[0].codes[1], "M");
    check_int(s.attributes[1].kind, DATA_ATTR_NUMBER);
    check_str(s.attributes[1].unit, "years");
    check_int(s.attributes[2].kind, DATA_ATTR_TEXT);
}

static void three_classes_need_no_positive(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_spec s;
    check_ok(read_spec(&s, "task: classify\ndata: {classes: [a, b, c]}\n", &err), err);
    check_int(s.positive, -1);
    check_int(s.input.rank, 0);
    check_ok(read_spec(&s, "task: regress\ndata: {input: [13]}\n", &err), err);
    check_int(s.input.rank, 1);
}

static void wrong_specs_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *says;
    } cases[] = {
        {"task: guess\ndata: {}\n", "job.yaml:1: task: expected classify"},
        {"data: {classes: [a, b, c]}\n", "task: is required"},
        {"task: classify\ndata:\n  classes: [a]\n",
         "job.yaml:3: classes: task classify needs two or more, found 1"},
        {"task: classify\ndata:\n  classes: [a, b]\n", "positive: expected one"},
        {"task: classify\ndata:\n  classes: [a, b]\n  positive: c\n",
         "job.yaml:4: positive: expected a or b, found c"},
        {"task: classify\ndata:\n  classes: [a, a]\n  positive: a\n", "a is there twice"},
        {"task: classify\ndata:\n  classes: [a, b, c]\n  positive: a\n", "two classes"},
        {"task: regress\ndata: {classes: [a, b]}\n", "regress has none"},
        {"task: multilabel\ndata: {}\n", "multilabel needs one or more"},
        {"task: regress\ndata: {input: [1, 2]}\n", "found 2 numbers"},
        {"task: regress\ndata: {input: [0]}\n", "data.input[0]"},
        {"task: regress\ndata: {input: [3.7]}\n", "found 3.7"},
        {"task: regress\ndata: {shape: [1]}\n", "shape: unknown key"},
        {"task: regress\ndata: {attributes: {sex: []}}\n", "1 to 16 codes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        data_spec s;
        check_fails(read_spec(&s, cases[i].yaml, &err), FL_ECONFIG);
        check_has(err.text, cases[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_says_what_every_site_must_have),
        cmocka_unit_test(three_classes_need_no_positive),
        cmocka_unit_test(wrong_specs_are_refused_with_their_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
