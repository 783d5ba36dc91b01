/*
 * html.h - writing pages that cannot be broken by what they show
 *
 * Formats are ours and trusted, arguments are not: every %s is escaped.  So a
 * hospital's words can be printed anywhere between tags and inside quoted
 * attributes, and there is no other way to print them.
 */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include "base/buf.h"
#include "base/json.h"

/* Appends text with & < > " ' escaped. */
void report_html_text(fl_buf *out, const char *text);

/*
 * As printf for HTML: %s is escaped; besides it there are %d, %zu, %lld and %%
 * only.  NULL prints as "".
 */
void report_html(fl_buf *out, const char *fmt, ...) FL_PRINTF(2, 3);

/* Head with the style sheet, then the page's header: title, subtitle. */
void report_html_begin(fl_buf *out, const char *title, const char *subtitle,
                       const json_t *report);
/* The footer that every page has. */
void report_html_end(fl_buf *out, const json_t *report);

#endif
