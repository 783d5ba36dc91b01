/*
 * stats.h - the intervals of eval/
 *
 * All intervals are two-sided 95 %.  What cannot be known from so few cases
 * gets no interval, and a sentence that says so.
 */
#ifndef EVAL_STATS_H
#define EVAL_STATS_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/eval.h"
#include "eval/patients.h"

#define EVAL_Z95 1.959963984540054  // 97.5 % point of the normal distribution

enum {
    EVAL_FEW = 10,  // fewer cases than this of a class: no interval for it
};

/* No value, and the reason.  Counts are kept. */
void eval_figure_undefined(eval_figure *f, const char *why);
/* The value stands, without interval, and the reason. */
void eval_figure_no_interval(eval_figure *f, const char *why);

/*
 * Student's t with df >= 1 whole degrees of freedom: the 97.5 % point, and the
 * two-sided p-value of t.  In closed form (Abramowitz and Stegun 26.7.3-4).
 */
double eval_student_quantile(int df);
double eval_student_p(double t, int df);

/* Wilson's score interval (1927) of a proportion p seen in n trials; n need
 * not be whole (an effective number of cases). */
void eval_wilson(double *low, double *high, double p, double n);
void eval_wilson_at(double *low, double *high, double p, double n, double z);  // z for 1.96

/*
 * The share of the cases with in[i] (NULL = all) that have hit[i]: value,
 * interval and counts of f; n_positive is left alone.  When patients repeat,
 * Wilson's n is divided by the design effect (Rao & Scott 1992), which is
 * taken as at least 1.  Undefined, with why_empty, when no case is in.
 */
void eval_proportion(eval_figure *f, const bool *in, const bool *hit, const eval_patients *patients,
                     const char *why_empty);
/* Wilson's n of such a share: the cases, or fewer where patients repeat. */
double eval_effective_n(const bool *in, const bool *hit, const eval_patients *patients);

/*
 * AUC with DeLong's interval (DeLong 1988; midranks after Sun & Xu 2014) on
 * the logit scale.  When patients repeat the variance is Obuchowski's (1997),
 * of which DeLong's is the case of one case a patient.  Where that variance
 * is zero (AUC 0 or 1, all scores equal): Newcombe's score interval (2006,
 * method 5).
 */
void eval_auc_figure(eval_figure *f, const double *score, const bool *is_positive,
                     const eval_patients *patients);
/* AUC of b minus AUC of a on the same cases, from the same components. */
void eval_auc_difference(eval_figure *f, const double *score_a, const double *score_b,
                         const bool *is_positive, const eval_patients *patients);

/*
 * The interval of f->value, an AUC with this standard error, on the logit
 * scale (by Newcombe where the error is zero), from so many patients with
 * cases of either class.  No interval, and why, when they are too few.
 */
void eval_auc_interval(eval_figure *f, double se, double n_positive, double n_negative,
                       bool by_patient);

/* Quantile q of n > 0 rising values, linear between ranks (Hyndman and Fan
 * 1996, type 7: numpy's). */
double eval_quantile(const double *sorted, size_t n, double q);

/*
 * Which of a table's cells stay hidden: those of fewer than min_cell patients
 * (empty ones hide nothing), and then the smallest of the others until those
 * that are missing could be any of enough patients, whatever the total says.
 */
void eval_suppress(bool *hidden, const int64_t *patients, size_t n_cells, int64_t min_cell);
/* Sets the "why" of a cell that is hidden for this. */
void eval_suppressed_why(json_t *entry, int64_t min_cell);

/* How many bootstrap samples for n cases: 2000, fewer above 20,000 cases. */
size_t eval_n_replicates(size_t n);
/*
 * Percentile interval of n replicates, which are sorted in place; somewhat
 * wider for few patients (f->n_patients; Hesterberg 2015).  Replicates
 * that are NaN do not count; f gets no interval when they are more than one
 * in twenty, or when all replicates are equal.
 */
void eval_percentile(eval_figure *f, double *replicate, size_t n, bool by_patient);

#endif
