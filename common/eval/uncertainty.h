/*
 * uncertainty.h - how sure a model is, and whether that means anything
 *
 * Pure functions over scores: temperature scaling, conformal prediction sets,
 * entropy, mutual information and spread of several predictions of a case.  How well an
 * uncertainty tells the cases that go wrong is in selective.h.
 * Scores are (n, K) probabilities, rows summing to 1; labels are codes, -1 =
 * unlabelled (left out).
 */
#ifndef EVAL_UNCERTAINTY_H
#define EVAL_UNCERTAINTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/eval.h"

// --------------------------------------------------------------- temperature

/*
 * Scores at temperature T are softmax(log score / T), which is softmax(z / T)
 * of the logits behind them (Guo et al. 2017).  The log loss of labelled cases
 * is convex in b = 1 / T; its sums at some b add over sites, so that T can be
 * fitted without a score leaving one.
 */
typedef struct {
    double n, loss, slope, curvature;  // cases; sum of losses, and its derivatives by b
} eval_temperature_sums;

/* Adds a site's cases at b > 0. */
void eval_temperature_add(eval_temperature_sums *s, const double *score, const int *label, size_t n,
                          size_t K, double b);

/*
 * The temperature of the least log loss on these (validation) cases.  NaN when
 * there is none between 1/100 and 100: no labelled case, or all called right,
 * so that surer would always be better; *why says so (else NULL).
 */
double eval_temperature_fit(const char **why, const double *score, const int *label, size_t n,
                            size_t K);

/*
 * The same from sums alone, which were taken at fixed points and added over sites:
 * slope and curvature at b = 2^(-4) to 2^4, in steps of a factor sqrt 2.  In between,
 * the slope is the cubic of log b that has both (Hermite); the temperature is
 * within .1 % of eval_temperature_fit of the pooled scores
 * (tests/eval/test_uncertainty.c).  NaN and *why: likewise, beyond 1/16 and 16.
 */
enum { EVAL_TEMPERATURE_POINTS = 17 };
double eval_temperature_point(size_t k);  // b
double eval_temperature_pooled(const char **why, const double slope[static EVAL_TEMPERATURE_POINTS],
                               const double curvature[static EVAL_TEMPERATURE_POINTS]);

/*
 * A sum over n cases as it may leave a site: the nearest multiple of n / 4096.  Exact
 * sums of n cases at 17 points are 34 equations for n numbers, so from few cases they
 * would tell every score; rounded, and from EVAL_TEMPERATURE_PATIENTS patients on, they
 * hold about a dozen (docs/STATISTICS.md, tests/vectors/temperature_inference.py).
 */
enum { EVAL_TEMPERATURE_PATIENTS = 50 };
double eval_temperature_coarse(double sum, double n);
/* out (n, K) may be score. */
void eval_temperature_apply(double *out, const double *score, size_t n, size_t K, double T);

// ------------------------------------------------------------------ conformal

enum { EVAL_CONFORMAL_CASES = 200 };  // calibration cases from which a site has its own quantile

/*
 * The value of rank ceil((n + 1)(1 - alpha)) of n nonconformities, which are
 * sorted in place (Vovk et al. 2005; Angelopoulos and Bates 2023): a new,
 * exchangeable case has a greater one with probability alpha at most.  INFINITY
 * when the rank is above n: everything must be in the set.
 */
double eval_conformal_quantile(double *nonconformity, size_t n, double alpha);

/* 1 - score of the label (Sadinle, Lei and Wasserman 2019) of the labelled
 * cases, into out (n); returns how many. */
size_t eval_conformal_nonconformity(double *out, const double *score, const int *label, size_t n,
                                    size_t K);

/*
 * Nonconformities counted in equal bins of [0, 1], for what several sites know
 * together.  Every one lies at or below the upper edge of the bin that it is counted
 * in, so that a quantile of the counts is never too small: sets may be larger than
 * they need be, and hold the label no less often.
 *
 * Counts n of them, sorted in place; neighbouring bins are joined, in the upper
 * one, until each count is of min_cell cases.  False, and no counts: there are
 * not as many.
 */
bool eval_conformal_counts(int64_t *count, size_t n_bins, double *nonconformity, size_t n,
                           int64_t min_cell);
/* The upper edge of the bin of rank ceil((n + 1)(1 - alpha)); INFINITY as above. */
double eval_conformal_pooled(const int64_t *count, size_t n_bins, double alpha);

typedef struct {
    eval_figure coverage;   // labelled cases whose label is in the set
    eval_figure set_size;   // mean number of classes in the set
    double empty, single;   // share of cases with no class, with one
} eval_conformal;

/* Sets {k: 1 - score_k <= quantile} judged; Wilson and bootstrap by patient. */
void eval_conformal_judge(eval_conformal *out, const double *score, const int *label,
                          const int64_t *patient, size_t n, size_t K, double quantile,
                          uint64_t seed);

// ------------------------------------------------------- several predictions

/*
 * Of M members' scores (M, n, K), nats: entropy (n) of the mean score, and
 * mutual information (n) = entropy of the mean - mean of the entropies, what
 * the members disagree about (Depeweg et al. 2018).  mean (n, K) or NULL.
 */
void eval_members(double *mean, double *entropy, double *information, const double *member,
                  size_t M, size_t n, size_t K);

/*
 * The same of K findings a case, each there or not with a probability of its own: nats a
 * finding, entropy_of and information_of (n, K); of the case, their means over the findings.
 */
void eval_members_findings(double *mean, double *entropy, double *information,
                           double *entropy_of, double *information_of, const double *member,
                           size_t M, size_t n, size_t K);

/*
 * Of M members' numbers (M, n): mean (n), and spread (n), their standard deviation (of all,
 * not M - 1), in the numbers' unit.  Members that say a value alone and no variance of their
 * own differ by what training left open; what the data do not tell is not in it, so that an
 * error is greater (Lakshminarayanan et al. 2017, section 3.2).
 */
void eval_members_numbers(double *mean, double *spread, const double *member, size_t M, size_t n);

#endif
