/*
 * test_uncertainty.c - temperature, conformal sets and several members against
 * scipy and plain numpy (tests/vectors/eval_gaps.py)
 */
#include "eval/uncertainty.h"

#include "base/rng.h"
#include "check.h"
#include "eval/vectors.h"

typedef struct {
    json_t *all;
    const json_t *v;
    size_t n, K, M;
    double *score;
    int *label;
} loaded;

static loaded load(void)
{
    loaded l = {.all = vectors_read("eval_gaps.json")};
    size_t n = 0;
    l.v = json_object_get(l.all, "uncertainty");
    l.K = (size_t)fl_json_get_int(l.v, "K", 0);
    l.M = (size_t)fl_json_get_int(l.v, "M", 0);
    l.score = vectors_numbers(l.v, "score", &n);
    l.label = vectors_labels(l.v, "label", &l.n);
    return l;
}

static void unload(loaded *l)
{
    free(l->score);
    free(l->label);
    json_decref(l->all);
}

static void check_numbers(const double *got, const json_t *v, const char *key)
{
    size_t n = 0;
    double *wanted = vectors_numbers(v, key, &n);
    for (size_t i = 0; i < n; i++) {
        check_near(got[i], wanted[i], 1e-9);
    }
    free(wanted);
}

static void the_temperature_is_where_the_log_loss_is_least(void **state)
{
    (void)state;
    loaded l = load();
    const char *why;
    double T = eval_temperature_fit(&why, l.score, l.label, l.n, l.K);
    check(why == NULL);
    check_near(T, fl_json_get_number(l.v, "temperature"), 1e-9);
    double *scaled = fl_xcalloc(l.n * l.K, sizeof *scaled);
    eval_temperature_apply(scaled, l.score, l.n, l.K, T);
    check_numbers(scaled, l.v, "scaled");
    // Already at its temperature.
    check_near(eval_temperature_fit(&why, scaled, l.label, l.n, l.K), 1, 1e-9);
    // The sums of two halves are the sums of all.
    eval_temperature_sums whole = {0}, parts = {0};
    size_t half = l.n / 2;
    eval_temperature_add(&whole, l.score, l.label, l.n, l.K, 0.7);
    eval_temperature_add(&parts, l.score, l.label, half, l.K, 0.7);
    eval_temperature_add(&parts, l.score + half * l.K, l.label + half, l.n - half, l.K, 0.7);
    check_near(parts.loss, whole.loss, 1e-9);
    check_near(parts.slope, whole.slope, 1e-9);
    check_near(parts.n, whole.n, 0);
    free(scaled);
    unload(&l);
}

static void a_temperature_that_has_no_end_says_so(void **state)
{
    (void)state;
    const double right[] = {0.9, 0.1, 0.2, 0.8};
    const int label[] = {0, 1}, turned[] = {1, 0}, none[] = {-1, -1};
    const char *why;
    check_near(eval_temperature_fit(&why, right, label, 2, 2), NAN, 0);
    check_has(why, "surer scores would always be better");
    check_near(eval_temperature_fit(&why, right, turned, 2, 2), NAN, 0);
    check_has(why, "less sure");
    check_near(eval_temperature_fit(&why, right, none, 2, 2), NAN, 0);
    check_has(why, "no labelled cases");
}

static void conformal_sets_equal_the_independent_ones(void **state)
{
    (void)state;
    loaded l = load();
    double *s = fl_xcalloc(l.n, sizeof *s);
    const char *key;
    json_t *wanted;
    size_t n = eval_conformal_nonconformity(s, l.score, l.label, l.n, l.K);
    json_object_foreach(json_object_get(l.v, "quantile"), key, wanted) {
        check_near(eval_conformal_quantile(s, n, strtod(key, NULL)), json_number_value(wanted),
                   1e-12);
    }
    eval_conformal judged;
    eval_conformal_judge(&judged, l.score, l.label, NULL, l.n, l.K,
                         eval_conformal_quantile(s, n, 0.1), 1);
    check_near(judged.coverage.value, fl_json_get_number(l.v, "coverage"), 1e-12);
    check_near(judged.set_size.value, fl_json_get_number(l.v, "set_size"), 1e-12);
    check_near(judged.single, fl_json_get_number(l.v, "single"), 1e-12);
    check_near(judged.empty, fl_json_get_number(l.v, "empty"), 1e-12);
    check_str(judged.coverage.method, "Wilson");
    check(judged.set_size.ci_low < judged.set_size.value);
    free(s);
    unload(&l);
}

static void too_few_calibration_cases_put_everything_in_the_set(void **state)
{
    (void)state;
    double s[] = {0.3, 0.1, 0.2};
    check(isinf(eval_conformal_quantile(s, 3, 0.1)));
    check_near(eval_conformal_quantile(s, 3, 0.25), 0.3, 0);  // rank 3 of 3
    check_near(eval_conformal_quantile(s, 3, 0.5), 0.2, 0);
    check(isinf(eval_conformal_quantile(s, 0, 0.5)));
    eval_conformal judged;
    const double score[] = {0.6, 0.4};
    const int label[] = {1};
    eval_conformal_judge(&judged, score, label, NULL, 1, 2, INFINITY, 1);
    check_near(judged.coverage.value, 1, 0);
    check_near(judged.set_size.value, 2, 0);
    check_has(judged.set_size.why, "10 are needed");
    eval_conformal_judge(&judged, score, label, NULL, 0, 2, 0.5, 1);
    check_str(judged.coverage.why, "no cases");
}

/* Ten sites' sums, added, as if their scores were in one place. */
static void a_temperature_of_sums_is_that_of_the_pooled_scores(void **state)
{
    (void)state;
    enum { N = 300, K = 3 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        fl_rng rng;
        fl_rng_init(&rng, seed, "temperature", "", 0);
        double score[N * K], sharp = fl_rng_range(&rng, 0.3, 6);
        int label[N];
        for (int i = 0; i < N; i++) {
            double z[K], sum = 0;
            label[i] = (int)fl_rng_below(&rng, K);
            for (int k = 0; k < K; k++) {
                z[k] = exp(sharp * (fl_rng_normal(&rng) + (k == label[i])));
                sum += z[k];
            }
            for (int k = 0; k < K; k++) {
                score[i * K + k] = z[k] / sum;
            }
        }
        const char *why;
        double slope[EVAL_TEMPERATURE_POINTS] = {0}, curvature[EVAL_TEMPERATURE_POINTS] = {0};
        for (int site = 0; site < 10; site++) {
            for (size_t p = 0; p < EVAL_TEMPERATURE_POINTS; p++) {
                eval_temperature_sums s = {0};
                eval_temperature_add(&s, score + site * 30 * K, label + site * 30, 30, K,
                                     eval_temperature_point(p));
                slope[p] += s.slope;
                curvature[p] += s.curvature;
            }
        }
        double exact = eval_temperature_fit(&why, score, label, N, K);
        check(why == NULL);
        check_near(eval_temperature_pooled(&why, slope, curvature) / exact, 1, 1e-3);
        check(why == NULL);
    }
    const char *why;
    double up[EVAL_TEMPERATURE_POINTS], none[EVAL_TEMPERATURE_POINTS] = {0};
    for (size_t p = 0; p < EVAL_TEMPERATURE_POINTS; p++) {
        up[p] = -1;
    }
    check(isnan(eval_temperature_pooled(&why, up, none)));
    check_has(why, "surer scores");
    check(isnan(eval_temperature_pooled(&why, none, none)));
}

static void counts_never_make_a_quantile_too_small(void **state)
{
    (void)state;
    enum { N = 157, BINS = 20 };
    fl_rng rng;
    fl_rng_init(&rng, 4, "counts", "", 0);
    for (int64_t min_cell = 1; min_cell <= 40; min_cell += 13) {
        double s[N], sorted[N];
        int64_t count[BINS], total = 0;
        for (int i = 0; i < N; i++) {
            double u = fl_rng_uniform(&rng);
            s[i] = sorted[i] = i % 7 == 0 ? floor(u * BINS) / BINS : u * u;  // edges too
        }
        check(eval_conformal_counts(count, BINS, s, N, min_cell));
        for (int k = 0; k < BINS; k++) {
            check(count[k] == 0 || count[k] >= min_cell);
            total += count[k];
        }
        check_int(total, N);
        for (double alpha = 0.02; alpha < 0.5; alpha += 0.07) {
            double exact = eval_conformal_quantile(sorted, N, alpha);
            double pooled = eval_conformal_pooled(count, BINS, alpha);
            check(pooled >= exact);
            check(min_cell > 1 || pooled < exact + 1.0 / BINS + 1e-12);
        }
        check(isinf(eval_conformal_pooled(count, BINS, 0.001)));
    }
    double few[] = {0.1, 0.2};
    int64_t count[BINS];
    check(!eval_conformal_counts(count, BINS, few, 2, 3));
    check_int(count[3], 0);
}

static void members_disagree_as_the_independent_ones_do(void **state)
{
    (void)state;
    loaded l = load();
    size_t n = 0;
    double *member = vectors_numbers(l.v, "member", &n);
    double *mean = fl_xcalloc(l.n * l.K, sizeof *mean);
    double *entropy = fl_xcalloc(l.n, sizeof *entropy);
    double *information = fl_xcalloc(l.n, sizeof *information);
    eval_members(mean, entropy, information, member, l.M, l.n, l.K);
    check_numbers(mean, l.v, "mean");
    check_numbers(entropy, l.v, "entropy");
    check_numbers(information, l.v, "information");
    eval_members(NULL, entropy, information, member, 1, l.n, l.K);
    for (size_t i = 0; i < l.n; i++) {
        check_near(information[i], 0, 1e-12);  // one agrees with itself
    }
    free(member);
    free(mean);
    free(entropy);
    free(information);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_temperature_is_where_the_log_loss_is_least),
        cmocka_unit_test(a_temperature_that_has_no_end_says_so),
        cmocka_unit_test(conformal_sets_equal_the_independent_ones),
        cmocka_unit_test(too_few_calibration_cases_put_everything_in_the_set),
        cmocka_unit_test(a_temperature_of_sums_is_that_of_the_pooled_scores),
        cmocka_unit_test(counts_never_make_a_quantile_too_small),
        cmocka_unit_test(members_disagree_as_the_independent_ones_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
