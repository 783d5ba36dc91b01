/*
 * charts.h - gnuplot's drawings as part of a page
 *
 * Each chart appends a <figure> with an inline SVG and a caption.  Where
 * gnuplot is missing or fails, the caption says that the table holds the
 * numbers; a page is never without its numbers for want of a drawing.
 */
#ifndef REPORT_CHARTS_H
#define REPORT_CHARTS_H

#include <stdbool.h>

#include "base/json.h"
#include "report/html.h"

/*
 * The metric of every hospital with its interval: global, local and
 * centralised model.  own: NULL, or the hospital to point out; then the
 * global model alone is drawn.  id: differs for each chart of a page.
 */
void report_chart_forest(report_page *out, const json_t *report, const char *metric,
                         const char *own, int id);
/* Validation per round, each hospital and the mean; false when the report
 * holds none (nothing was added). */
bool report_chart_curves(report_page *out, const json_t *report, int id);
/* A hospital's test scores, negatives and positives, and the threshold. */
void report_chart_histogram(report_page *out, const json_t *report, const json_t *site, int id);
/* The share of positives against the mean score, in the site's joined bins. */
void report_chart_calibration(report_page *out, const json_t *site, int id);
/* The error of the cases kept against their share, from the surest on. */
void report_chart_risk(report_page *out, const json_t *site, int id);
/* Net benefit against the threshold, of acting on the scores, on all, on none. */
void report_chart_decision(report_page *out, const json_t *site, int id);
/* Arms of a comparison less the first one, at every hospital; list: "seeds" or "cases" of
 * coordinator/contrast.h's object. */
void report_chart_contrasts(report_page *out, const json_t *contrasts, const char *list, int id);
/* A metric against the severity of each shift; what loses most is named, the rest grey. */
void report_chart_shift(report_page *out, const json_t *site, const char *metric, int id);

#endif
