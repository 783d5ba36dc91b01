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
#include "eval/stats.h"

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
    };
    double held[5] = {0};
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
                              .threshold = 0.5};
        eval_metrics m;
        eval_classify(&m, &p, (uint64_t)s);
        for (size_t i = 0; i < 5; i++) {
            const eval_figure *f = eval_metrics_find(&m, metrics[i].name);
            double truth = metrics[i].truth[calibrated];
            held[i] += f->ci_low <= truth && truth <= f->ci_high;
        }
    }
    for (size_t i = 0; i < 5; i++) {
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_of_the_auc_hold_the_truth),
        cmocka_unit_test(wilson_holds_the_truth_on_average),
        cmocka_unit_test(intervals_of_the_other_figures_hold_the_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
