/*
 * test_recipe.c - dataset.yaml: what is understood and what is refused
 */
#include "data/dataset.h"
#include "data/recipe.h"
#include "fixture.h"

#include <unistd.h>

static fl_status read_recipe(const char *yaml, fl_err *err)
{
    fl_cfg *c = NULL;
    data_recipe r;
    fl_status st = fl_cfg_parse(&c, yaml, strlen(yaml), "dataset.yaml", ".", err);
    if (st == FL_OK) {
        data_recipe_read_keys(&r, fl_cfg_root(c));
        st = fl_cfg_finish(c, err);
        r.cfg = c;
        data_recipe_clear(&r);
    }
    return st;
}

static void the_reference_of_file_formats_is_understood(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    check_ok(read_recipe("task: classify\n"
                         "classes: {normal: 0, opacity: 1}  # how the manifest writes them\n"
                         "reference_standard: two radiologists, consensus\n"
                         "attributes: {sex: sex, age: age, scanner: scanner}\n"
                         "split: {by: patient, val: 0.15, test: 0.25, seed: 7}\n"
                         "preprocess: [resize: 64, window: {centre: 40, width: 400}, "
                         "normalise: zscore]\n"
                         "on_error: stop\n"
                         "mask_threshold: 128\n"
                         "prevalence: 0.08\n",
                         &err),
             err);
    check_ok(read_recipe("table: {file: processed.cleveland.data, header: [age, sex, cp, num],\n"
                         "        missing: ['?'], drop: [age], rows_with_missing: drop,\n"
                         "        one_hot: {columns: [cp], drop_first: true, place: last},\n"
                         "        label: {column: num, positive: '> 0'}, standardise: site}\n"
                         "split: {file: flamby_split_seed43.csv, site: cleveland}\n",
                         &err),
             err);
    check_ok(read_recipe("", &err), err);
}

static void wrong_recipes_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *says;
    } cases[] = {
        {"clases: {a: 0}\n", "dataset.yaml:1: clases: unknown key; did you mean "
                             "classes?"},
        {"task: guess\n", "task: expected classify"},
        {"split: {by: case}\n", "expected patient"},
        {"split: {val: 0.7, test: 0.7}\n", "more than all"},
        {"split: {val: -0.1}\n", "expected a number from 0 to 1"},
        {"split: {column: s, test: 0.3}\n", "test is for by: patient"},
        {"split: {column: s, file: t.csv}\n", "found several"},
        {"on_error: ignore\n", "expected stop or skip"},
        {"prevalence: 1.2\n", "expected a number from 0 to 1"},
        {"npz: a.npz\nmanifest: m.csv\n", "found several"},
        {"rows: r.csv\n", "rows: only with npz"},
        {"table: {file: t.csv}\nshift: [blur: 1]\n", "are for images"},
        {"table: {header: [a]}\n", "table.file: is required"},
        {"table: {file: t.csv, one_hot: {drop_first: true}}\n", "columns is required"},
        {"table: {file: t.csv, rows_with_missing: mean}\n", "expected stop or drop"},
        {"union: [a, b]\nclasses: {x: 0}\n", "said by its members"},
        {"classes: {'': 0}\n", "a name of 1 to 63 bytes"},
        {"attributes: {sex: {values: {F: 0}}}\n", "column: is required"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        check_fails(read_recipe(cases[i].yaml, &err), FL_ECONFIG);
        check_has(err.text, cases[i].says);
    }
}

static void what_is_no_data_set_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = check_tmpdir();
    char *text = fl_path_join(dir, "notes.txt");

    check_fails(data_set_open(&s, "/nowhere", NULL, &err), FL_ENOTFOUND);
    check_has(err.text, "/nowhere");
    check_fails(data_set_open(&s, dir, NULL, &err), FL_ENOTFOUND);
    check_has(err.text, "a data set's folder has a dataset.yaml");
    // What leads nowhere, or may not be looked into, is not called absent.
    char *loop = fl_path_join(dir, "loop"), *inside = fl_path_join(dir, "dataset.yaml");
    check_int(symlink("loop", loop), 0);
    check_fails(data_set_open(&s, loop, NULL, &err), FL_EIO);
    check_has(err.text, "symbolic links");
    check_int(symlink("loop", inside), 0);
    check_fails(data_set_open(&s, dir, NULL, &err), FL_EIO);
    check_has(err.text, "symbolic links");
    check_int(unlink(inside), 0);
    free(inside);
    free(loop);
    fixture_text(dir, "dataset.yaml", "task: classify\n");
    check_fails(data_set_open(&s, dir, NULL, &err), FL_ECONFIG);
    check_has(err.text, "expected manifest.csv beside it");
    fixture_text(dir, "notes.txt", "hello");
    check_fails(data_set_open(&s, text, NULL, &err), FL_EUNSUPPORTED);
    free(text);
    check_rmdir(&dir);
}

static void every_key_is_described(void **state)
{
    (void)state;
    static const char *const keys[] = {"table.one_hot.drop_first",
                                       "split.row_column",
                                       "shift[].speckle",
                                       "preprocess[].window.centre",
                                       "attributes.NAME.column",
                                       "split.test",
                                       "shift_seed",
                                       "union[]",
                                       "rows",
                                       "classes.NAME"};
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    data_set_keys(out);
    fclose(out);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        check_has(text, keys[i]);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_of_file_formats_is_understood),
        cmocka_unit_test(wrong_recipes_are_refused_with_their_line),
        cmocka_unit_test(what_is_no_data_set_is_refused),
        cmocka_unit_test(every_key_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
