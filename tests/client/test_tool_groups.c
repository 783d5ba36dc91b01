#include "check.h"

#include "base/json.h"
#include "client/tools.h"

enum { N = 40 };

/* 40 cases of 40 patients, every other one positive. */
typedef struct {
    double score[2 * N];
    int label[N];
    int64_t patient[N];
    char age[N][8];
    const char *age_of[N], *sex_of[N], *name_of[N];
    char name[N][16];
    task_scores scores;
    data_spec spec;
    task_grouped all;
    tool_column columns[3];
} clinic;

static void clinic_init(clinic *c)
{
    for (int i = 0; i < N; i++) {
        c->score[2 * i + 1] = (i + 0.5) / N;
        c->score[2 * i] = 1 - c->score[2 * i + 1];
        c->label[i] = i % 2;
        c->patient[i] = i;
        snprintf(c->age[i], sizeof c->age[i], "%d", 20 + i);
        snprintf(c->name[i], sizeof c->name[i], "name %d", i);
        c->age_of[i] = i == 7 ? "" : c->age[i];
        c->sex_of[i] = i < 10 ? "F" : "M";
        c->name_of[i] = c->name[i];
    }
    c->scores = (task_scores){.n = N, .K = 2, .score = c->score, .label = c->label,
                              .patient = c->patient};
    c->spec = (data_spec){.task = DATA_CLASSIFY, .n_classes = 2, .positive = 1};
    c->all = (task_grouped){.scores = &c->scores, .spec = &c->spec, .threshold = 0.5,
                            .min_cell = 1, .seed = 1};
    c->columns[0] = (tool_column){"age", c->age_of};
    c->columns[1] = (tool_column){"sex", c->sex_of};
    c->columns[2] = (tool_column){"name", c->name_of};
}

static int64_t cases_of(const json_t *list, const char *attribute,
                        const char *value)
{
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)list, i, entry) {
        if (strcmp(fl_json_get_string(entry, "attribute", ""), attribute) == 0 &&
            strcmp(fl_json_get_string(entry, "value", ""), value) == 0) {
            return fl_json_get_int(entry, "n", -1);
        }
    }
    return -2;
}

static void attributes_group_themselves(void **state)
{
    (void)state;
    clinic c;
    json_t *list;
    fl_err err = FL_ERR_INIT;
    fl_texts by = {0};
    clinic_init(&c);
    check_ok(tool_subgroups(&list, c.columns, 3, &c.all, &by, &err), err);
    check_int(cases_of(list, "sex", "F"), 10);
    check_int(cases_of(list, "sex", "M"), 30);
    // 39 known ages, cut at their quartiles 29, 40 and 50
    check_int(cases_of(list, "age", "under 30"), 9);
    check_int(cases_of(list, "age", "30-40"), 10);
    check_int(cases_of(list, "age", "40-50"), 10);
    check_int(cases_of(list, "age", "50+"), 10);
    check_int(cases_of(list, "age", "unknown"), 1);
    // 40 different names are cases, not groups; 41 would be left out
    check_int(cases_of(list, "name", "name 3"), 1);
    json_decref(list);
}

static void groups_are_made_as_asked(void **state)
{
    (void)state;
    clinic c;
    json_t *list;
    fl_err err = FL_ERR_INIT;
    const char *wanted[] = {"age:30,55"};
    fl_texts by = {wanted, 1};
    clinic_init(&c);
    check_ok(tool_subgroups(&list, c.columns, 3, &c.all, &by, &err), err);
    check_int(json_array_size(list), 4);
    check_int(cases_of(list, "age", "under 30"), 9);
    check_int(cases_of(list, "age", "30-55"), 25);
    check_int(cases_of(list, "age", "55+"), 5);
    json_decref(list);

    static const char *const bad[] = {"agee", "age:", "age:x", "age:60,40",
                                      "age:40,,60", "age:40;60", "age:nan"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wanted[0] = bad[i];
        fl_status st = tool_subgroups(&list, c.columns, 3, &c.all, &by, &err);
        if (strcmp(bad[i], "age:") == 0) {
            check_ok(st, err);  // no edges: values as they are
            json_decref(list);
            continue;
        }
        check_fails(st, FL_EUSAGE);
        check(list == NULL);
        check_has(err.text, "--by: ");
    }
}

static void a_class_is_found_by_name_or_code(void **state)
{
    (void)state;
    data_spec spec = {.n_classes = 3, .classes = {"cat", "dog", "0"}};
    fl_err err = FL_ERR_INIT;
    int found;
    check_ok(tool_find_class(&found, &spec, "dog", &err), err);
    check_int(found, 1);
    check_ok(tool_find_class(&found, &spec, "1", &err), err);
    check_int(found, 1);
    check_ok(tool_find_class(&found, &spec, "0", &err), err);
    check_int(found, 2);  // a name counts before a code
    check_fails(tool_find_class(&found, &spec, "3", &err), FL_EUSAGE);
    check_str(err.text, "--positive: expected one of the classes cat, dog, 0, "
                        "found 3");
    check_fails(tool_find_class(&found, &spec, "", &err), FL_EUSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_group_themselves),
        cmocka_unit_test(groups_are_made_as_asked),
        cmocka_unit_test(a_class_is_found_by_name_or_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
