/*
 * report.h - from report.json to pages people read
 *
 * report.json is the report; HTML and CSV are made from it alone, so a page can
 * be made again from the file, at the coordinator or at a site.  Pages are
 * self-contained: no script, no network, in English or French, charts by gnuplot as inline SVG with
 * unique ids on a light card; they print on A4 and read on a phone.
 * report/ knows JSON and nothing of models or networks.
 */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "report/words.h"

#define REPORT_FORMAT "consilium-report-1"

/* Is json a report this program can show?  The first thing that is not, with
 * its path ("sites[2].n_test: expected a whole number >= 0, found -3"). */
fl_status report_check(const json_t *json, fl_err *err);
/* The same for what one site sends (an element of "sites" without weight and
 * rounds_joined): every figure's numbers in range, counts that add up, known metric names,
 * texts limited.  Numbers a site could not have are refused. */
fl_status report_check_site(const json_t *site, fl_err *err);
/* What one site says of another's own model: {"n_test", "metrics": {METRIC: FIGURE}}, or
 * {"n_test", "why"} where it may not say it. */
fl_status report_check_crossed(const json_t *json, fl_err *err);

/* ".html", ".fr.html": pages of both languages stand side by side. */
const char *report_page_suffix(report_language language);
/* Pages.  Paths are written atomically; folders must exist. */
fl_status report_write_index(const json_t *report, report_language language, const char *path,
                             fl_err *err);
/* One hospital's page; FL_ENOTFOUND when it has no figures.  Other hospitals appear as the job says: real names or codes. */
fl_status report_write_site(const json_t *report, const char *site, report_language language,
                            const char *path, fl_err *err);
/* rounds.csv: round,seconds,bytes_up,bytes_down,loss,participants,absent. */
fl_status report_write_rounds_csv(const json_t *report, const char *path, fl_err *err);
/* sites.csv: site,model,metric,value,ci_low,ci_high,n,n_positive,n_patients,method,why. */
fl_status report_write_sites_csv(const json_t *report, const char *path, fl_err *err);
/* dir/report.json, index.html, rounds.csv, sites.csv, sites/SITE.html.  In French the pages
 * are index.fr.html and sites/SITE.fr.html: those in English stay beside them. */
fl_status report_write_all(const json_t *report, report_language language, const char *dir,
                           fl_err *err);
/* The same, and every drawing as dir/figures/NAME.svg and .pdf. */
fl_status report_write_all_figures(const json_t *report, report_language language,
                                   const char *dir, fl_err *err);

/* The report as site may see it: other hospitals as codes when "names" is "codes"
 * (H1, H2 ... by name order), else a copy.  New reference. */
json_t *report_for_site(const json_t *report, const char *site);

/* A table of the run for a terminal: a line a site, global and local with
 * intervals; caller's text. */
char *report_text(const json_t *report);
/*
 * Several runs side by side: dir/compare.html (French: compare.fr.html), results.csv (tidy, a
 * line a run, site, model and metric), tests.csv (a line a test) and figures/.  contrasts: what
 * coordinator/contrast.h makes of the runs; NULL = no tests.
 */
fl_status report_write_compare(const json_t *const *reports, size_t n, const json_t *contrasts,
                               report_language language, const char *dir, fl_err *err);

#endif
