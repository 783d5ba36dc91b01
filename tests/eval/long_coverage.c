/*
 * long_coverage.c - do 95 % intervals hold the truth 95 times in 100?
 *
 * Scores of two normal distributions whose AUC is known; 2,000 test sets a
 * setting.  The share of intervals that hold the truth has itself a standard
 * error of half a point, which the limits allow for.  Prints the table.
 */
#include "base/rng.h"
#include "check.h"
#include "eval/eval.h"
#include "eval/metrics_seg.h"
#include "eval/stats.h"
#include "eval/uncertainty.h"

enum { REPETITIONS = 2000, MOST = 400 };

static double normal_cdf(double x)
{
    return erfc(-x / sqrt(2)) / 2;
}

/* Distance of two unit normals for an AUC. */
static double distance_of(double auc)
{
    double low = 0, high = 10;
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        *(normal_cdf(middle / sqrt(2)) < auc ? &low : &high) = middle;
    }
    return low;
}

/* images: of each patient; 0.7 of the spread is the patient's, 0.3 the
 * image's. */
static double coverage_of_auc(double auc, size_t n_positive, size_t n_negative, size_t images)
{
    static double score[MOST];
    static bool positive[MOST];
    static int64_t patient[MOST];
    size_t n = (n_positive + n_negative) * images;
    check(n <= MOST);
    double distance = distance_of(auc), held = 0;
    fl_rng rng;
    fl_rng_init(&rng, 1, "coverage", "", (uint64_t)(auc * 1000) + n);
    for (int r = 0; r < REPETITIONS; r++) {
        for (size_t g = 0; g < n_positive + n_negative; g++) {
            double shared = fl_rng_normal(&rng) * sqrt(0.7);
            for (size_t i = g * images; i < (g + 1) * images; i++) {
                double own = fl_rng_normal(&rng) * sqrt(0.3);
                positive[i] = g < n_positive;
                patient[i] = (int64_t)g;
                score[i] = shared + own + distance * positive[i];
            }
        }
        eval_patients patients;
        eval_patients_init(&patients, patient, n);
        eval_figure f;
        eval_auc_figure(&f, score, positive, &patients);
        eval_patients_clear(&patients);
        held += f.ci_low <= auc && auc <= f.ci_high;
    }
    printf("auc %.2f, %3zu + %3zu patients, %zu images each: %.1f %%\n", auc, n_positive,
           n_negative, images, 100 * held / REPETITIONS);
    return held / REPETITIONS;
}

static void intervals_of_the_auc_hold_the_truth(void **state)
{
    (void)state;
    const double aucs[] = {0.8, 0.95};
    for (size_t a = 0; a < 2; a++) {
        const size_t enough[][2] = {{25, 25}, {25, 100}, {100, 25}, {100, 100}};
        for (size_t i = 0; i < 4; i++) {
            double share = coverage_of_auc(aucs[a], enough[i][0], enough[i][1], 1);
            check(share >= 0.93 && share <= 0.97);
        }
        check(coverage_of_auc(aucs[a], 10, 10, 1) >= 0.90);
        check(coverage_of_auc(aucs[a], 10, 100, 1) >= 0.90);
        double by_patient = coverage_of_auc(aucs[a], 50, 50, 3);
        check(by_patient >= 0.925 && by_patient <= 0.975);
    }
}

static void wilson_holds_the_truth_on_average(void **state)
{
    (void)state;
    for (int n = 50; n <= 200; n *= 2) {
        double held = 0, tried = 0;
        fl_rng rng;
        fl_rng_init(&rng, 1, "coverage", "wilson", (uint64_t)n);
        for (int step = 0; step <= 90; step++) {
            double p = 0.05 + 0.01 * step;
            for (int r = 0; r < REPETITIONS / 10; r++) {
                int hits = 0;
                for (int i = 0; i < n; i++) {
                    hits += fl_rng_uniform(&rng) < p;
                }
                double low, high;
                eval_wilson(&low, &high, (double)hits / n, n);
                held += low <= p && p <= high;
                tried++;
            }
        }
        printf("wilson, n %3d, p over [.05, .95]: %.1f %%\n", n, 100 * held / tried);
        check(held / tried >= 0.93 && held / tried <= 0.97);
    }
}

/*
 * Uniform scores p of a model that is calibrated, or says .8 p + .1 too
 * strongly (y ~ Bernoulli(.1 + .8 p)).  Truths by integration.
 */
static void coverage_of_figures(bool calibrated)
{
    enum { N = 300, SETS = 500 };
    static double score[2 * N];
    static int label[N];
    const struct {
        const char *name;
        double truth[2];  // overconfident, calibrated
    } metrics[] = {
        {"brier", {1.0 / 5, 1.0 / 6}},
        {"nll", {0.6, 0.5}},
        {"ece", {0.05, 0}},
        {"f1", {0.7, 0.75}},
        {"balanced_accuracy", {0.7, 0.75}},
        {"sensitivity", {0.7, 0.75}},
        {"observed_expected", {1, 1}},
        {"calibration_slope", {NAN, 1}},
        {"calibration_intercept", {NAN, 0}},
        {"ppv_at_prevalence", {0.07 / (0.07 + 0.27), 0.075 / (0.075 + 0.225)}},
    };
    enum { N_FIGURES = sizeof metrics / sizeof metrics[0] };
    double held[N_FIGURES] = {0};
    fl_rng rng;
    fl_rng_init(&rng, 1, "coverage", "figures", 0);
    for (int s = 0; s < SETS; s++) {
        for (int i = 0; i < N; i++) {
            double p = fl_rng_uniform(&rng);
            score[2 * i + 1] = p;
            score[2 * i] = 1 - p;
            label[i] = fl_rng_uniform(&rng) < (calibrated ? p : 0.1 + 0.8 * p);
        }
        eval_predictions p = {.n = N,
                              .n_classes = 2,
                              .score = score,
                              .label = label,
                              .positive = 1,
                              .threshold = 0.5,
                              .prevalence = 0.1};
        eval_metrics m;
        eval_classify(&m, &p, (uint64_t)s);
        for (size_t i = 0; i < N_FIGURES; i++) {
            const eval_figure *f = eval_metrics_find(&m, metrics[i].name);
            double truth = metrics[i].truth[calibrated];
            held[i] += f->ci_low <= truth && truth <= f->ci_high;
        }
    }
    for (size_t i = 0; i < N_FIGURES; i++) {
        if (isnan(metrics[i].truth[calibrated])) {
            continue;  // no closed form
        }
        printf("%s, n %d, %s: %.1f %%\n", metrics[i].name, N,
               calibrated ? "calibrated" : "overconfident", 100 * held[i] / SETS);
        check(held[i] / SETS >= 0.92);
    }
}

static void intervals_of_the_other_figures_hold_the_truth(void **state)
{
    (void)state;
    coverage_of_figures(true);
    coverage_of_figures(false);
}

/*
 * Three classes, logits normal about 1.5 for the true one, scores their softmax
 * (overconfident by a factor 2, which conformal sets do not mind).  noise: added
 * to the logits of test cases only, as a worse scanner would.
 */
static double coverage_of_sets(double noise, double alpha)
{
    enum { K = 3, CALIBRATE = 200, JUDGE = 400, SETS = 500 };
    static double score[(CALIBRATE + JUDGE) * K], s[CALIBRATE];
    static int label[CALIBRATE + JUDGE];
    double held = 0;
    fl_rng rng;
    fl_rng_init(&rng, 1, "coverage", "conformal", (uint64_t)(noise * 10));
    for (int r = 0; r < SETS; r++) {
        for (size_t i = 0; i < CALIBRATE + JUDGE; i++) {
            double sum = 0, *row = score + i * K;
            label[i] = (int)fl_rng_below(&rng, K);
            for (int k = 0; k < K; k++) {
                double extra = i < CALIBRATE ? 0 : noise * fl_rng_normal(&rng);
                row[k] = exp(2 * (1.5 * (k == label[i]) + fl_rng_normal(&rng) + extra));
                sum += row[k];
            }
            for (int k = 0; k < K; k++) {
                row[k] /= sum;
            }
        }
        size_t n = eval_conformal_nonconformity(s, score, label, CALIBRATE, K);
        double quantile = eval_conformal_quantile(s, n, alpha);
        for (size_t i = CALIBRATE; i < CALIBRATE + JUDGE; i++) {
            held += 1 - score[i * K + (size_t)label[i]] <= quantile;
        }
    }
    held /= (double)SETS * JUDGE;
    printf("conformal sets, 200 to calibrate, nominal %.0f %%, shift %.1f: %.1f %%\n",
           100 * (1 - alpha), noise, 100 * held);
    return held;
}

static void conformal_sets_hold_the_class_and_lose_it_under_shift(void **state)
{
    (void)state;
    const double alphas[] = {0.05, 0.1, 0.2};
    for (size_t a = 0; a < 3; a++) {
        double held = coverage_of_sets(0, alphas[a]);
        check(fabs(held - (1 - alphas[a])) <= 0.01);
    }
    double mild = coverage_of_sets(1, 0.1), strong = coverage_of_sets(2, 0.1);
    check(mild < 0.87 && strong < mild - 0.03);
}

/* Means of skewed Dice values: 1 - an exponential, cut at 0, of mean .8 or so. */
static void the_bootstrap_of_a_mean_holds_the_truth(void **state)
{
    (void)state;
    enum { SETS = 500, MOST_CASES = 100 };
    const double truth = 1 - 0.2 * (1 - exp(-5));
    static eval_seg_case cases[MOST_CASES];
    fl_rng rng;
    fl_rng_init(&rng, 1, "coverage", "dice", 0);
    for (size_t n = 10; n <= MOST_CASES; n = n == 10 ? 25 : n * 4) {
        double held = 0;
        for (int r = 0; r < SETS; r++) {
            for (size_t i = 0; i < n; i++) {
                cases[i] = (eval_seg_case){.dice = fmax(0, 1 + 0.2 * log(1 - fl_rng_uniform(&rng))),
                                           .n_truth = 1};
            }
            eval_metrics m;
            eval_segment(&m, cases, n, 1, NULL, (uint64_t)r);
            const eval_figure *f = eval_metrics_find(&m, "dice");
            held += f->ci_low <= truth && truth <= f->ci_high;
        }
        printf("mean Dice, bootstrap, n %3zu: %.1f %%\n", n, 100 * held / SETS);
        check(held / SETS >= (n < 25 ? 0.88 : 0.90));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_of_the_auc_hold_the_truth),
        cmocka_unit_test(wilson_holds_the_truth_on_average),
        cmocka_unit_test(intervals_of_the_other_figures_hold_the_truth),
        cmocka_unit_test(conformal_sets_hold_the_class_and_lose_it_under_shift),
        cmocka_unit_test(the_bootstrap_of_a_mean_holds_the_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
