/*
 * test_subgroups.c - what may be shown of few patients
 */
#include "check.h"
#include "eval/eval.h"

enum { N = 200 };

typedef struct {
    double score[2 * N];
    int label[N];
    const char *value[N];
    eval_predictions p;
} table;

/* Scores that separate the classes a little, the same for every cell. */
static table *table_new(void)
{
    table *t = fl_xcalloc(1, sizeof *t);
    for (int i = 0; i < N; i++) {
        t->label[i] = i % 3 == 0;
        t->score[2 * i + 1] = 0.2 + 0.003 * (i * 37 % 150) + 0.2 * t->label[i];
        t->score[2 * i] = 1 - t->score[2 * i + 1];
    }
    t->p = (eval_predictions){.n = N,
                              .n_classes = 2,
                              .score = t->score,
                              .label = t->label,
                              .positive = 1,
                              .threshold = 0.5};
    return t;
}

/* Gives the next n cases this value. */
static void fill(table *t, int *at, int n, const char *value)
{
    for (int i = 0; i < n; i++) {
        t->value[(*at)++] = value;
    }
}

static const char *value_of(const json_t *list, size_t i)
{
    return fl_json_get_string(json_array_get(list, i), "value", "?");
}

static bool shown(const json_t *list, size_t i)
{
    return json_is_integer(json_object_get(json_array_get(list, i), "n"));
}

static void each_value_of_an_attribute_gets_its_figures(void **state)
{
    (void)state;
    table *t = table_new();
    int at = 0;
    fill(t, &at, 120, "M");
    fill(t, &at, 80, "F");
    json_t *list = json_array();
    eval_subgroups(list, "sex", t->value, &t->p, 10, 1);

    check_int(json_array_size(list), 2);
    const json_t *women = json_array_get(list, 0);
    check_str(fl_json_get_string(women, "attribute", "?"), "sex");
    check_str(fl_json_get_string(women, "value", "?"), "F");
    check_int(fl_json_get_int(women, "n", -1), 80);
    check_int(fl_json_get_int(json_object_get(women, "auc"), "n", -1), 80);
    check(json_is_number(json_object_get(json_object_get(women, "auc"), "ci_low")));
    json_decref(list);
    free(t);
}

static void one_small_cell_takes_the_next_smallest_with_it(void **state)
{
    (void)state;
    table *t = table_new();
    int at = 0;
    fill(t, &at, 130, "60-80");
    fill(t, &at, 40, "80+");
    fill(t, &at, 25, "under 60");
    fill(t, &at, 5, NULL);
    json_t *list = json_array();
    eval_subgroups(list, "age", t->value, &t->p, 10, 1);
    check_int(json_array_size(list), 4);
    check_str(value_of(list, 0), "under 60");
    check_str(value_of(list, 1), "60-80");
    check_str(value_of(list, 2), "80+");
    check_str(value_of(list, 3), "unknown");
    check(!shown(list, 0));  // else 5 = 200 - 130 - 40 - 25
    check(shown(list, 1));
    check(shown(list, 2));
    check(!shown(list, 3));
    check(json_object_get(json_array_get(list, 3), "auc") == NULL);
    json_decref(list);
    free(t);
}

static void two_tiny_cells_that_together_are_few_take_a_third(void **state)
{
    (void)state;
    table *t = table_new();
    int at = 0;
    fill(t, &at, 160, "a");
    fill(t, &at, 34, "b");
    fill(t, &at, 4, "c");
    fill(t, &at, 2, "d");
    json_t *list = json_array();
    eval_subgroups(list, "scanner", t->value, &t->p, 10, 1);
    check(shown(list, 0));
    check(!shown(list, 1));
    check(!shown(list, 2));
    check(!shown(list, 3));
    json_decref(list);
    free(t);
}

static void patients_count_not_images(void **state)
{
    (void)state;
    table *t = table_new();
    int64_t patient[N];
    int at = 0;
    fill(t, &at, 100, "F");
    fill(t, &at, 100, "M");
    for (int i = 0; i < N; i++) {
        patient[i] = i < 100 ? i / 20 : i;  // five women with twenty images each
    }
    t->p.patient = patient;
    json_t *list = json_array();
    eval_subgroups(list, "sex", t->value, &t->p, 10, 1);
    check(!shown(list, 0));
    check(!shown(list, 1));
    json_decref(list);
    free(t);
}

static void free_text_makes_no_subgroups(void **state)
{
    (void)state;
    table *t = table_new();
    char text[N][8];
    for (int i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "v%d", i);
        t->value[i] = text[i];
    }
    json_t *list = json_array();
    eval_subgroups(list, "scanner", t->value, &t->p, 0, 1);
    check_int(json_array_size(list), 1);
    check(!shown(list, 0));
    json_decref(list);

    // A table in another encoding is no reason to lose a cell.
    for (int i = 0; i < N; i++) {
        t->value[i] = "m\xe9nard";
    }
    list = json_array();
    eval_subgroups(list, "scanner", t->value, &t->p, 0, 1);
    check_str(value_of(list, 0), "m?nard");
    json_decref(list);
    free(t);
}

static void bands_cover_every_age(void **state)
{
    (void)state;
    const double edges[] = {0, 40, 60.5};
    char band[32];
    eval_band(band, sizeof band, 0, edges, 3);
    check_str(band, "0-40");
    eval_band(band, sizeof band, 40, edges, 3);
    check_str(band, "40-60.5");
    eval_band(band, sizeof band, 60.5, edges, 3);
    check_str(band, "60.5+");
    eval_band(band, sizeof band, -1, edges, 3);
    check_str(band, "under 0");
    eval_band(band, sizeof band, NAN, edges, 3);
    check_str(band, "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_of_an_attribute_gets_its_figures),
        cmocka_unit_test(one_small_cell_takes_the_next_smallest_with_it),
        cmocka_unit_test(two_tiny_cells_that_together_are_few_take_a_third),
        cmocka_unit_test(patients_count_not_images),
        cmocka_unit_test(free_text_makes_no_subgroups),
        cmocka_unit_test(bands_cover_every_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
