/*
 * test_agreement.c - annotators and a model beside them, against scikit-learn and numpy
 * (tests/vectors/eval_agreement.py)
 */
#include "eval/agreement.h"

#include "check.h"
#include "eval/vectors.h"

/* Two readers outline the same square, the second a row lower; so does the model, twice. */
static void a_model_like_a_further_reader_agrees_as_well(void **state)
{
    (void)state;
    enum { SIDE = 8, N = 20 };
    eval_overlap pair[N], model[N][2], consensus[N];
    for (int i = 0; i < N; i++) {
        uint8_t mask[3][SIDE * SIDE] = {{0}};
        for (int m = 0; m < 3; m++) {
            for (int r = 1 + m; r < 5 + m + i % 2; r++) {
                memset(mask[m] + r * SIDE + 2, 1, 4);
            }
        }
        eval_overlap_count(&pair[i], mask[0], mask[1], SIDE * SIDE, 1);
        eval_overlap_count(&model[i][0], mask[1], mask[0], SIDE * SIDE, 1);
        eval_overlap_count(&model[i][1], mask[2], mask[1], SIDE * SIDE, 1);
        eval_overlap_count(&consensus[i], mask[1], NULL, SIDE * SIDE, 1);
    }
    const eval_drawn d = {.n = N, .n_readers = 2, .n_classes = 1, .pair = pair,
                          .model = model[0], .consensus = consensus};
    eval_figure f;
    eval_drawn_pair(&f, &d, 0, 1);
    check_near(f.value, (3.0 / 4 + 4.0 / 5) / 2, 1e-12);
    check(f.ci_low < f.value && f.value < f.ci_high);
    check_int(f.n, N);
    eval_drawn_consensus(&f, &d, 1);
    check(isnan(f.value));
    check_has(f.why, "two have no majority");
    eval_agreement a;
    eval_agreement_of(&a, &d, 1);
    check_near(a.difference.value, 0, 1e-12);
}

static void the_verdict_needs_the_whole_interval(void **state)
{
    (void)state;
    static const struct {
        double low, high;
        const char *word;
    } cases[] = {
        {-0.04, 0.02, "as well"},      {0.01, 0.2, "as well"},       {-0.051, 0.2, "cannot tell"},
        {-0.2, -0.049, "cannot tell"}, {-0.2, -0.051, "less well"}, {NAN, NAN, "cannot tell"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        eval_figure f = {.ci_low = cases[i].low, .ci_high = cases[i].high};
        check_str(eval_agreement_verdict(&f, 0.05), cases[i].word);
    }
}

/* Digits to codes; NULL where nothing was drawn.  Caller's. */
static uint8_t *mask_of(const json_t *text, size_t *n)
{
    const char *digits = json_string_value(text);
    if (digits == NULL) {
        return NULL;
    }
    *n = strlen(digits);
    uint8_t *mask = fl_xcalloc(*n, 1);
    for (size_t i = 0; i < *n; i++) {
        mask[i] = (uint8_t)(digits[i] - '0');
    }
    return mask;
}

enum { R = 3, P = 3, K = 2 };

typedef struct {
    json_t *v;
    int64_t *patient;
    eval_overlap *pair, *model, *consensus;
    eval_drawn d;
} loaded;

static void load_case(loaded *l, size_t i)
{
    uint8_t *mask[R];
    size_t n = 0, at = 0;
    uint8_t *model = mask_of(json_array_get(json_object_get(l->v, "predicted"), i), &n);
    uint8_t *vote = mask_of(json_array_get(json_object_get(l->v, "vote"), i), &n);
    for (size_t r = 0; r < R; r++) {
        mask[r] = mask_of(
            json_array_get(json_array_get(json_object_get(l->v, "masks"), i), r), &n);
        eval_overlap_count(l->model + (i * R + r) * K, model, mask[r], n, K);
    }
    for (size_t a = 0; a < R; a++) {
        for (size_t b = a + 1; b < R; b++) {
            eval_overlap_count(l->pair + (i * P + at++) * K, mask[a], mask[b], n, K);
        }
    }
    eval_overlap_count(l->consensus + i * K, model, vote, n, K);
    for (size_t r = 0; r < R; r++) {
        free(mask[r]);
    }
    free(vote);
    free(model);
}

static loaded load(void)
{
    loaded l = {.v = vectors_read("eval_agreement.json")};
    size_t n;
    l.patient = vectors_integers(l.v, "patient", &n);
    l.pair = fl_xcalloc(n * P, K * sizeof *l.pair);
    l.model = fl_xcalloc(n * R, K * sizeof *l.model);
    l.consensus = fl_xcalloc(n, K * sizeof *l.consensus);
    for (size_t i = 0; i < n; i++) {
        load_case(&l, i);
    }
    l.d = (eval_drawn){.n = n, .n_readers = R, .n_classes = K, .patient = l.patient,
                       .pair = l.pair, .model = l.model, .consensus = l.consensus};
    return l;
}

static void unload(loaded *l)
{
    free(l->pair);
    free(l->model);
    free(l->consensus);
    free(l->patient);
    json_decref(l->v);
}

/* sd: of 4,000 replicates there and 2,000 here, each within 2 % of the true one. */
static void check_figure(const eval_figure *f, const loaded *l, const char *name, size_t at)
{
    const json_t *wanted =
        json_array_get(json_object_get(json_object_get(l->v, "figures"), name), at);
    double sd = fl_json_get_number(wanted, "sd");
    check_near(f->value, fl_json_get_number(wanted, "value"), 1e-12);
    check_int(f->n, fl_json_get_int(wanted, "n", -1));
    check_int(f->n_patients, fl_json_get_int(wanted, "n_patients", -1));
    check_near(f->se, sd, 0.1 * sd);
    check(f->ci_low < f->value - sd && f->value + sd < f->ci_high);
    check_str(f->method, "bootstrap 2000, by patient");
}

static void figures_equal_the_independent_ones(void **state)
{
    (void)state;
    loaded l = load();
    eval_figure f;
    for (size_t at = 0; at < P; at++) {
        eval_drawn_pair(&f, &l.d, at, 7);
        check_figure(&f, &l, "pair", at);
        eval_drawn_reader(&f, &l.d, at, 7);
        check_figure(&f, &l, "reader", at);
    }
    eval_drawn_consensus(&f, &l.d, 7);
    check_figure(&f, &l, "consensus", 0);
    eval_agreement a;
    eval_agreement_of(&a, &l.d, 7);
    check_figure(&a.human, &l, "human", 0);
    check_figure(&a.model, &l, "model", 0);
    check_figure(&a.difference, &l, "difference", 0);
    check_str(eval_agreement_verdict(&a.difference, EVAL_AGREEMENT_MARGIN), "less well");
    check_str(eval_agreement_verdict(&a.difference, 0.5), "as well");
    unload(&l);
}

static void small_cells_are_hidden_together(void **state)
{
    (void)state;
    static const char *const names[R] = {"1", "2", "3"};
    loaded l = load();
    // 16, 18 and 17 patients behind the pairs, 19, 18 and 20 behind the readers.
    json_t *json = eval_agreement_json(&l.d, names, 0.05, 17, 7);
    const json_t *pairs = json_object_get(json, "pairs"), *model = json_object_get(json, "model");
    check(json_is_null(json_object_get(json_array_get(pairs, 0), "n")));
    check(json_object_get(json_array_get(pairs, 0), "dice") == NULL);
    check(json_object_get(json_array_get(pairs, 1), "dice") != NULL);
    check(json_is_null(json_object_get(json_array_get(pairs, 2), "n")));  // so that 0 stays hidden
    check_str(fl_json_get_string(json_array_get(pairs, 1), "b", ""), "3");
    check_int(fl_json_get_int(json_array_get(model, 2), "n", -1), 28);
    check_str(fl_json_get_string(json_object_get(json, "comparison"), "verdict", ""), "less well");
    json_decref(json);
    json = eval_agreement_json(&l.d, names, 0.05, 21, 7);
    check(json_object_get(json_object_get(json, "comparison"), "difference") == NULL);
    check_str(fl_json_get_string(json_object_get(json, "comparison"), "verdict", ""),
              "cannot tell");
    check(json_object_get(json_object_get(json, "consensus"), "dice") == NULL);
    json_decref(json);
    unload(&l);
}

static void what_nobody_drew_twice_has_no_figures(void **state)
{
    (void)state;
    static const char *const names[2] = {"a", "b"};
    eval_overlap none[4] = {{.n_both = -1}, {.n_both = -1}, {.n_both = -1}, {.n_both = -1}};
    const eval_drawn d = {.n = 2, .n_readers = 2, .n_classes = 1, .pair = none, .model = none,
                          .consensus = none};
    json_t *json = eval_agreement_json(&d, names, 0.05, 10, 1);
    const json_t *f = json_object_get(json_array_get(json_object_get(json, "pairs"), 0), "dice");
    check_str(fl_json_get_string(f, "why", ""), "no case was drawn by both");
    f = json_object_get(json_object_get(json, "comparison"), "difference");
    check_has(fl_json_get_string(f, "why", ""), "no case was drawn by two annotators");
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_like_a_further_reader_agrees_as_well),
        cmocka_unit_test(the_verdict_needs_the_whole_interval),
        cmocka_unit_test(figures_equal_the_independent_ones),
        cmocka_unit_test(small_cells_are_hidden_together),
        cmocka_unit_test(what_nobody_drew_twice_has_no_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
