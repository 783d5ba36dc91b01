/*
 * figures.h - the drawings of pages as SVG and PDF files
 *
 * For slides and papers.  A page that is given a report_figures leaves each of
 * its drawings there, named after the section it stands in.
 */
#ifndef REPORT_FIGURES_H
#define REPORT_FIGURES_H

#include "base/err.h"
#include "base/json.h"
#include "report/html.h"

report_figures *report_figures_new(void);
void report_figures_destroy(report_figures **f);  // fine on NULL
/* What names of files begin with from now on: "run", a hospital. */
void report_figures_prefix(report_figures *f, const char *prefix);

/* A drawing of the page: its script and what gnuplot made of it. */
void report_figures_add(report_page *page, const char *script, const char *svg);
/* DIR/PREFIX-SECTION.svg and .pdf (French: .fr.svg, .fr.pdf) of every drawing; FL_EIO when
 * gnuplot cannot draw a PDF. */
fl_status report_figures_write(const report_figures *f, report_language language, const char *dir,
                               fl_err *err);

/* The pages of report.h, their drawings left in figures (NULL: nowhere). */
fl_status report_write_index_with(const json_t *report, report_language language,
                                  report_figures *figures, const char *path, fl_err *err);
fl_status report_write_site_with(const json_t *report, const char *site, report_language language,
                                 report_figures *figures, const char *path, fl_err *err);

#endif
