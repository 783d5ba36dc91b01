/*
 * test_threshold.c - what histograms of scores tell
 */
#include "check.h"
#include "eval/eval.h"
#include "eval/vectors.h"

static void a_threshold_from_two_sites_histograms(void **state)
{
    (void)state;
    enum { BINS = 10 };
    const double sick[] = {0.35, 0.62, 0.81, 0.97}, well[] = {0.05, 0.12, 0.44, 1.0};
    int64_t positives[BINS] = {0}, negatives[BINS] = {0};
    eval_histogram(positives, BINS, sick, 2);
    eval_histogram(positives, BINS, sick + 2, 2);  // another site's are added
    eval_histogram(negatives, BINS, well, 4);
    check_int(negatives[9], 1);  // 1.0 belongs to the last bin

    check_near(eval_threshold(EVAL_RULE_SENSITIVITY, 0.75, negatives, positives, BINS), 0.6, 1e-12);
    check_near(eval_threshold(EVAL_RULE_SENSITIVITY, 1.0, negatives, positives, BINS), 0.3, 1e-12);
    check_near(eval_threshold(EVAL_RULE_FIXED, 0.42, negatives, positives, BINS), 0.42, 0);
}

static void histograms_equal_the_independent_ones(void **state)
{
    (void)state;
    json_t *all = vectors_read("eval_more.json");
    const json_t *h = json_object_get(all, "histogram");
    size_t n = 0, n_bins = 0;
    double *score = vectors_numbers(h, "score", &n);
    int *label = vectors_labels(h, "label", &n);
    int64_t *negatives = vectors_integers(h, "negatives", &n_bins);
    int64_t *positives = vectors_integers(h, "positives", &n_bins);
    int64_t *bins[2] = {fl_xcalloc(n_bins, sizeof(int64_t)), fl_xcalloc(n_bins, sizeof(int64_t))};
    for (size_t i = 0; i < n; i++) {
        eval_histogram(bins[label[i]], n_bins, &score[i], 1);
    }
    for (size_t b = 0; b < n_bins; b++) {
        check_int(bins[0][b], negatives[b]);
        check_int(bins[1][b], positives[b]);
    }
    const char *at;
    json_t *wanted;
    json_object_foreach(json_object_get(h, "threshold"), at, wanted) {
        check_near(
            eval_threshold(EVAL_RULE_SENSITIVITY, strtod(at, NULL), negatives, positives, n_bins),
            json_number_value(wanted), 1e-12);
    }
    check_near(eval_threshold(EVAL_RULE_YOUDEN, 0, negatives, positives, n_bins),
               fl_json_get_number(h, "youden"), 1e-12);
    double half_width = 0;
    check_near(eval_histogram_auc(negatives, positives, n_bins, &half_width),
               fl_json_get_number(h, "auc"), 1e-12);
    check_near(half_width, fl_json_get_number(h, "half_width"), 1e-12);
    check_near(eval_histogram_auc(negatives, positives, n_bins, NULL),
               fl_json_get_number(h, "auc_of_scores"), half_width);
    eval_figure pooled;
    eval_histogram_figure(&pooled, negatives, positives, n_bins);
    const json_t *ci = json_object_get(h, "ci");
    check_near(pooled.value, fl_json_get_number(h, "auc"), 1e-12);
    check_near(pooled.ci_low, json_number_value(json_array_get(ci, 0)), 1e-9);
    check_near(pooled.ci_high, json_number_value(json_array_get(ci, 1)), 1e-9);
    check_int(pooled.n, n);
    check_near(eval_auc(score, label, n), fl_json_get_number(h, "auc_of_scores"), 1e-12);
    free(score);
    free(label);
    free(negatives);
    free(positives);
    free(bins[0]);
    free(bins[1]);
    json_decref(all);
}

/* The threshold of a histogram must mean the same to `score >= threshold`. */
static void a_score_on_an_edge_is_in_the_bin_above(void **state)
{
    (void)state;
    enum { MOST = 1000 };
    for (size_t n_bins = 1; n_bins <= MOST; n_bins++) {
        for (size_t b = 0; b < n_bins; b++) {
            int64_t bins[MOST] = {0};
            double edge = (double)b / (double)n_bins;
            double below = nextafter(edge, -1);
            eval_histogram(bins, n_bins, &edge, 1);
            check_int(bins[b], 1);
            if (b > 0) {
                eval_histogram(bins, n_bins, &below, 1);
                check_int(bins[b - 1], 1);
            }
        }
        n_bins += n_bins / 20;
    }
}

static void without_a_class_there_is_no_threshold(void **state)
{
    (void)state;
    const int64_t none[4] = {0}, some[4] = {1, 2, 3, 4};
    double half_width = 0;
    check_near(eval_threshold(EVAL_RULE_SENSITIVITY, 0.9, some, none, 4), NAN, 0);
    check_near(eval_threshold(EVAL_RULE_YOUDEN, 0, some, none, 4), NAN, 0);
    check_near(eval_threshold(EVAL_RULE_YOUDEN, 0, none, some, 4), NAN, 0);
    check_near(eval_threshold(EVAL_RULE_SENSITIVITY, 0.9, none, some, 4), 0.25, 0);
    check_near(eval_histogram_auc(none, some, 4, &half_width), NAN, 0);
    check_near(half_width, NAN, 0);
    eval_figure pooled;
    eval_histogram_figure(&pooled, none, some, 4);
    check_near(pooled.value, NAN, 0);
    check_str(pooled.why, "no negative cases");
    eval_histogram_figure(&pooled, some, some, 4);
    check_near(pooled.value, 0.5, 1e-12);
    check(pooled.ci_low < 0.5 && pooled.ci_high > 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_threshold_from_two_sites_histograms),
        cmocka_unit_test(histograms_equal_the_independent_ones),
        cmocka_unit_test(a_score_on_an_edge_is_in_the_bin_above),
        cmocka_unit_test(without_a_class_there_is_no_threshold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
