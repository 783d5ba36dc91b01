#include "fixture.h"

#include <math.h>

#include "data/label_map.h"

static const char words[] = "labels:\n  no_finding: normal\n  empyema: effusion\n"
                            "  hydrothorax: effusion\n  fracture: ignore\n";

static data_label_map *parse(const char *text, const char *name)
{
    fl_err err = FL_ERR_INIT;
    data_label_map *m;
    check_ok(data_label_map_parse(&m, text, strlen(text), name, &err), err);
    return m;
}

static data_spec spec_of(data_task task, const char *const *classes, size_t n)
{
    data_spec spec = {.task = task, .n_classes = n, .positive = -1};
    for (size_t k = 0; k < n; k++) {
        snprintf(spec.classes[k], sizeof spec.classes[k], "%s", classes[k]);
    }
    return spec;
}

static const char *const two[] = {"effusion", "normal"};

/* Cases c0, c1 ... of 8 x 8, one a patient, all test; labels: the manifest's cells. */
static void write_set(const char *dir, const char *yaml, const char *columns,
                      const char *const *cells, size_t n)
{
    fl_buf manifest = FL_BUF_INIT;
    fl_buf_printf(&manifest, "case,patient,file,split,%s\n", columns);
    for (size_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "c%zu.png", i);
        fixture_png(dir, name, 8, (unsigned)i);
        fl_buf_printf(&manifest, "c%zu,p%zu,%s,test,%s\n", i, i, name, cells[i]);
    }
    fixture_text(dir, "manifest.csv", manifest.data);
    fixture_text(dir, "dataset.yaml", yaml);
    fl_buf_clear(&manifest);
}

static data_set *open_set(const char *dir)
{
    fl_err err = FL_ERR_INIT;
    data_set *s;
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    return s;
}

static void another_hospitals_labels_become_the_models_classes(void **state)
{
    (void)state;
    static const char *const cells[] = {"no_finding", "empyema", "fracture",
                                        "hydrothorax", "",        "empyema"};
    static const int codes[] = {1, 0, 0, -1, 0};
    char *dir = check_tmpdir();
    fl_err err = FL_ERR_INIT;
    json_t *labels;
    write_set(dir, "task: classify\n", "label", cells, 6);
    data_set *s = open_set(dir);
    data_label_map *m = parse(words, "map.yaml");
    data_spec model = spec_of(DATA_CLASSIFY, two, 2);
    model.positive = 0;

    check_ok(data_set_map_labels(s, &labels, m, &model, &err), err);
    check_int(data_set_n(s), 5);
    check_int(data_set_n_split(s, DATA_TEST), 5);
    for (size_t i = 0; i < 5; i++) {
        data_case c = data_set_case(s, data_set_split(s, DATA_TEST)[i]);
        check_int(c.code, codes[i]);
        check_int(c.patient_no, i);
    }
    check_str(data_set_case(s, 2).case_id, "c3");
    check_int(data_set_spec(s)->positive, 0);
    check_str(data_set_spec(s)->classes[1], "normal");
    json_t *flow = data_set_flow(s);
    check_int(json_integer_value(json_object_get(json_object_get(flow, "refused"),
                                                 "out of the model's scope")), 1);
    check_int(json_integer_value(json_object_get(flow, "patients")), 5);
    check_int(json_integer_value(json_object_get(flow, "unlabelled")), 1);
    json_decref(flow);
    check_int(json_array_size(labels), 4);
    const json_t *one = json_array_get(labels, 0);  // in alphabetical order: empyema
    check_str(json_string_value(json_object_get(one, "label")), "empyema");
    check_str(json_string_value(json_object_get(one, "class")), "effusion");
    check_int(json_integer_value(json_object_get(one, "test")), 2);
    check(json_is_null(json_object_get(json_array_get(labels, 1), "class")));  // fracture
    json_decref(labels);
    data_label_map_destroy(&m);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

/* What nobody looked for is not absent. */
static void findings_that_a_hospital_does_not_label_stay_unlabelled(void **state)
{
    (void)state;
    // empyema, hydrothorax, fracture
    static const char *const cells[] = {"1,0,0", "0,0,1", "0,,0", ",1,0", "0,0,", ",,1"};
    static const float effusion[] = {1, 0, NAN, 1, 0, NAN};
    static const char *const classes[] = {"nodule", "effusion"};
    char *dir = check_tmpdir();
    fl_err err = FL_ERR_INIT;
    json_t *labels;
    write_set(dir, "task: multilabel\n", "label:empyema,label:hydrothorax,label:fracture", cells,
              6);
    data_set *s = open_set(dir);
    data_label_map *m = parse("label,class\nempyema,effusion\nhydrothorax,effusion\n"
                              "fracture,ignore\nnever_used,nodule\n", "map.csv");
    data_spec model = spec_of(DATA_MULTILABEL, classes, 2);

    check_ok(data_set_map_labels(s, &labels, m, &model, &err), err);
    check_int(data_set_n(s), 6);  // a finding that is out of scope takes no case away
    for (size_t i = 0; i < 6; i++) {
        const float *target = data_set_case(s, i).target;
        check(isnan(target[0]));
        check(isnan(effusion[i]) ? isnan(target[1]) : target[1] == effusion[i]);
    }
    json_t *flow = data_set_flow(s);
    check_int(json_integer_value(json_object_get(flow, "unlabelled")), 2);
    json_decref(flow);
    check_int(json_integer_value(json_object_get(json_array_get(labels, 2), "test")), 2);
    json_decref(labels);
    data_label_map_destroy(&m);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void what_a_map_gets_wrong_is_said_in_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *says;
    } cases[] = {
        {"m.yaml", "labels: {a: x, b: }\n", "m.yaml:1"},
        {"m.yaml", "labels: {}\n", "labels: expected 1 to 512, found 0"},
        {"m.yaml", "classes: {a: x}\n", "m.yaml:1"},
        {"m.yaml", "labels: {a: x}\nmore: 1\n", "m.yaml:2"},
        {"m.yaml", "labels: {a: x, a: y}\n", "is there twice"},
        {"m.yaml", "labels:\n  1: x\n  '1.0': y\n", "m.yaml:3: label 1.0 is there twice, first on "
                                                   "line 2"},
        {"m.yaml", "labels: {a: [x, y]}\n", "m.yaml:1"},
        {"m.csv", "label,klass\na,x\n", "m.csv:1: expected the columns label and class"},
        {"m.csv", "label,class\n", "expected 1 to 512, found 0"},
        {"m.csv", "label,class\na,x\nb,\n", "m.csv:3: expected a label and its class"},
        {"m.csv", "label,class\na,x\na,y\n", "m.csv:3: label a is there twice, first on line 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        data_label_map *m;
        check_fails(data_label_map_parse(&m, cases[i].text, strlen(cases[i].text), cases[i].name,
                                         &err), FL_ECONFIG);
        check_has(err.text, cases[i].says);
        check(m == NULL);
    }
}

static void labels_and_classes_must_all_be_known(void **state)
{
    (void)state;
    static const char *const own[] = {"no_finding", "scoliosis"};
    static const char *const odd[] = {"ignore", "normal"};
    fl_err err = FL_ERR_INIT;
    int to[DATA_MAX_CLASSES];
    data_spec site = spec_of(DATA_CLASSIFY, own, 2), model = spec_of(DATA_CLASSIFY, two, 2);
    data_label_map *m = parse(words, "map.yaml");

    check_fails(data_label_map_find(to, m, &site, &model, &err), FL_ECONFIG);
    check_str(err.text, "map.yaml: does not name the label scoliosis of this data set; give its "
                        "class, or ignore");
    model = spec_of(DATA_CLASSIFY, odd, 2);
    check_fails(data_label_map_find(to, m, &site, &model, &err), FL_EUNSUPPORTED);
    check_has(err.text, "a class that is called ignore");
    model = spec_of(DATA_CLASSIFY, two + 1, 1);
    check_fails(data_label_map_find(to, m, &site, &model, &err), FL_ECONFIG);
    check_str(err.text, "map.yaml:3: empyema: expected a class of the model (normal) or ignore, "
                        "found effusion");
    data_label_map_destroy(&m);
}

/* Every prefix and every flipped bit is read or refused with a sentence. */
static void damaged_maps_are_read_or_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"m.yaml", "m.csv"};
    static const char *const texts[] = {words, "label,class\nno_finding,normal\n"
                                               "\"an \"\"odd\"\" one\",effusion\nx,ignore\n"};
    for (size_t k = 0; k < 2; k++) {
        size_t n = strlen(texts[k]);
        for (size_t at = 0; at < 8 * n; at++) {
            fl_err err = FL_ERR_INIT;
            data_label_map *m;
            char *copy = fl_xstrndup(texts[k], n);
            copy[at / 8] ^= (char)(1 << at % 8);
            fl_status st = data_label_map_parse(&m, copy, n, names[k], &err);
            check((st == FL_OK) == (m != NULL) && (st == FL_OK) == (err.text[0] == '\0'));
            data_label_map_destroy(&m);
            st = data_label_map_parse(&m, texts[k], at / 8, names[k], &err);
            check((st == FL_OK) == (m != NULL));
            data_label_map_destroy(&m);
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_hospitals_labels_become_the_models_classes),
        cmocka_unit_test(findings_that_a_hospital_does_not_label_stay_unlabelled),
        cmocka_unit_test(what_a_map_gets_wrong_is_said_in_a_sentence),
        cmocka_unit_test(labels_and_classes_must_all_be_known),
        cmocka_unit_test(damaged_maps_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
