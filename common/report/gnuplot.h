/*
 * gnuplot.h - runs gnuplot, and makes its SVG fit into a page
 */
#ifndef REPORT_GNUPLOT_H
#define REPORT_GNUPLOT_H

#include <stdbool.h>

#include "base/buf.h"
#include "report/html.h"

/* Runs a script that draws on an svg terminal; false when there is no
 * gnuplot, it fails or takes longer than a drawing can. */
bool report_gnuplot_run(fl_buf *svg, const char *script);
/* What the script writes, on whatever terminal it sets. */
bool report_gnuplot_bytes(fl_buf *out, const char *script);

/*
 * gnuplot's document as an element of a page: no prolog, no titles or
 * descriptions of gnuplot's own, every id and reference to it made unique by
 * the number of the chart, and words for who cannot see it.
 */
void report_gnuplot_inline(report_page *out, const char *svg, int id, const char *words);

/* Text that gnuplot takes as text whatever it holds: quoted, and without the
 * characters that end a string, start a command or begin an escape. */
void report_gnuplot_quote(fl_buf *script, const char *text);

#endif
