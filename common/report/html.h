/*
 * html.h - writing pages that cannot be broken by what they show
 *
 * Formats are ours and trusted, arguments are not: every %s is escaped.  So a
 * hospital's words can be printed anywhere between tags and inside quoted
 * attributes, and there is no other way to print them.
 */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/json.h"

/* Appends text with & < > " ' escaped. */
void report_html_text(fl_buf *out, const char *text);

/*
 * As printf for HTML: %s is escaped; besides it there are %d, %zu, %lld and %%
 * only.  NULL prints as "".
 */
void report_html(fl_buf *out, const char *fmt, ...) FL_PRINTF(2, 3);

/* A whole page: head with the style sheet, title, intended use ... */
void report_html_begin(fl_buf *out, const json_t *report, const char *eyebrow, const char *title);
/* ... and the footer that every page has. */
void report_html_end(fl_buf *out, const json_t *report);

/* <section> with a heading; id is for links within the page. */
void report_html_section(fl_buf *out, const char *id, const char *heading);
void report_html_section_end(fl_buf *out);

/* What becomes of a table on a phone. */
typedef enum {
    REPORT_NARROW,  // it fits
    REPORT_WIDE,    // keeps its width and scrolls in its own box
    REPORT_CARDS,   // one card a row; every cell needs its column in data-l
} report_table;
/* columns: "name" is text, "#name" a column of numbers; NULL at the end. */
void report_html_table(fl_buf *out, report_table kind, const char *const *columns);
void report_html_table_end(fl_buf *out);

/* A cell with a FIGURE: value, interval, or why there is none. */
void report_html_figure(fl_buf *out, const char *column, const json_t *figure, int digits,
                        bool with_sign);
/* A number, or "0.84 [0.80, 0.88]", with real minus signs. */
void report_html_number(fl_buf *out, const char *number);
/* "a, b and c". */
void report_html_names(fl_buf *out, const char *const *names, size_t n);

#endif
