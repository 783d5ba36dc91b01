/*
 * csv.h - pieces of tidy tables, shared by one run's and by several runs'
 */
#ifndef REPORT_CSV_H
#define REPORT_CSV_H

#include "base/buf.h"
#include "base/json.h"

void report_csv_text(fl_buf *out, const char *text);      // quoted where needed
void report_csv_number(fl_buf *out, double value);        // empty for NAN
/* value,ci_low,ci_high,n,n_positive,n_patients,method,why and a line end. */
void report_csv_figure(fl_buf *out, const json_t *figure);
/* prefix,site,model,metric,FIGURE for every metric of {METRIC: FIGURE}. */
void report_csv_figures(fl_buf *out, const char *prefix, const char *site,
                        const char *model, const json_t *figures);
/* The same for every site and model of a run, and the pooled figures. */
void report_csv_sites(fl_buf *out, const char *prefix, const json_t *report);

#endif
