/*
 * test_threshold.c - what histograms of scores tell
 */
#include "base/rng.h"
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

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* As a site counts before anything leaves: neighbouring bins of a class are
 * joined until they hold min_cell cases.  score is sorted. */
static size_t join_bins(eval_span *span, double *score, size_t n, size_t n_bins, size_t min_cell)
{
    size_t n_spans = 0, first = 0;
    qsort(score, n, sizeof *score, by_value);
    for (size_t i = 0, in_span = 0; i < n; i++) {
        size_t bin = (size_t)fmin((double)n_bins - 1, floor(score[i] * (double)n_bins));
        size_t next = i + 1 < n
                          ? (size_t)fmin((double)n_bins - 1, floor(score[i + 1] * (double)n_bins))
                          : n_bins;
        in_span++;
        if (next != bin && (in_span >= min_cell || (i + 1 == n && n_spans == 0))) {
            span[n_spans++] = (eval_span){first, bin, (int64_t)in_span};
            first = bin + 1;
            in_span = 0;
        } else if (i + 1 == n) {
            span[n_spans - 1].last = n_bins - 1;
            span[n_spans - 1].n += (int64_t)in_span;
        }
    }
    return n_spans;
}

/* Whatever the scores of two sites are, bins of 20 hold the AUC of all ranked
 * together within their bounds, and 1,000 bins are within .002 of it. */
static void the_bounds_hold_the_auc_of_all_scores(void **state)
{
    (void)state;
    enum { MOST = 600, BINS = 20, FINE = 1000, ROUNDS = 200 };
    static double score[2][MOST], all[2 * MOST];
    static int label[2 * MOST];
    const uint64_t seed = 20;
    print_message("seed %llu\n", (unsigned long long)seed);
    fl_rng rng;
    fl_rng_init(&rng, seed, "bounds", "", 0);
    double worst = 0;
    for (int r = 0; r < ROUNDS; r++) {
        eval_span span[2][2 * BINS];
        size_t n_spans[2] = {0, 0}, n_all = 0;
        int64_t fine[2][FINE] = {{0}};
        double shape = 0.3 + 3 * fl_rng_uniform(&rng), gap = 2 * fl_rng_uniform(&rng);
        for (int site = 0; site < 2; site++) {
            for (int y = 0; y < 2; y++) {
                size_t n = 20 + fl_rng_below(&rng, MOST / 2 - 20);
                for (size_t i = 0; i < n; i++) {
                    double x = fl_rng_normal(&rng) * shape + gap * y + 0.3 * site;
                    score[y][i] = 1 / (1 + exp(-x));
                    all[n_all] = score[y][i];
                    label[n_all++] = y;
                }
                eval_histogram(fine[y], FINE, score[y], n);
                n_spans[y] += join_bins(span[y] + n_spans[y], score[y], n, BINS, 10);
            }
        }
        double exact = eval_auc(all, label, n_all), low, high, half_width;
        eval_span_bounds(&low, &high, span[0], n_spans[0], span[1], n_spans[1], BINS);
        if (!(low <= exact && exact <= high)) {
            check_fail("round %d: %.6f is not in [%.6f, %.6f]", r, exact, low, high);
        }
        double of_fine = eval_histogram_auc(fine[0], fine[1], FINE, &half_width);
        check(fabs(of_fine - exact) <= half_width + 1e-12);
        worst = fmax(worst, fabs(of_fine - exact));
    }
    print_message("1,000 bins: at most %.5f away\n", worst);
    check(worst <= 0.002);
}

static void bounds_of_what_overlaps_and_what_does_not(void **state)
{
    (void)state;
    const eval_span negatives[] = {{0, 1, 10}, {2, 4, 30}}, positives[] = {{4, 4, 5}, {1, 1, 5}};
    double low, high;
    eval_span_bounds(&low, &high, negatives, 2, positives, 2, 5);
    // Of 400 pairs 50 are surely in order, 150 surely not; 200 overlap.
    check_near(low, 50.0 / 400, 1e-15);
    check_near(high, 250.0 / 400, 1e-15);
    eval_span_bounds(&low, &high, negatives, 0, positives, 2, 5);
    check_near(low, NAN, 0);
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
        cmocka_unit_test(the_bounds_hold_the_auc_of_all_scores),
        cmocka_unit_test(bounds_of_what_overlaps_and_what_does_not),
        cmocka_unit_test(without_a_class_there_is_no_threshold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
