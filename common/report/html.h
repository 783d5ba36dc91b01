/*
 * html.h - writing pages that cannot be broken by what they show
 *
 * Formats are ours and trusted, arguments are not: every %s is escaped.  So a
 * hospital's words can be printed anywhere between tags and inside quoted
 * attributes, and there is no other way to print them.
 *
 * A page knows its language.  Markup goes through report_html, sentences
 * through report_say, single words (arguments, headings) through report_word,
 * what a program wrote into the report through report_told.
 */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/json.h"
#include "report/words.h"

/* Drawings of a page, to be written as files of their own (figures.h). */
typedef struct report_figures report_figures;

typedef struct {
    fl_buf text;
    report_language language;
    report_figures *figures;  // borrowed; NULL = the drawings are in the page alone
} report_page;

#define REPORT_PAGE(in_language) {.text = FL_BUF_INIT, .language = (in_language)}
void report_page_clear(report_page *page);

/*
 * As printf for HTML: %s is escaped; besides it there are %d, %zu, %lld and %%
 * only.  NULL prints as "".
 */
void report_html(report_page *out, const char *fmt, ...) FL_PRINTF(2, 3);
/* The same, the format being a message that is said in the page's language. */
void report_say(report_page *out, const char *message, ...) FL_PRINTF(2, 3);
/* As report_say, with nothing escaped: for words that are printed later. */
void report_plain(report_page *out, const char *message, ...) FL_PRINTF(2, 3);
/* A message without conversions, for an argument; borrowed for good. */
const char *report_word(const report_page *out, const char *message);
/* What a program wrote into the report: a method, a reason; escaped.  Marked
 * as English where it could not be said in the page's language. */
void report_told(report_page *out, const char *text);
/* The same as an argument; caller's. */
char *report_told_text(const report_page *out, const char *text);
/* Text with & < > " ' escaped, spaces before French marks kept unbroken. */
void report_html_text(report_page *out, const char *text);

/* A whole page: head with the style sheet, title, intended use ... */
void report_html_begin(report_page *out, const json_t *report, const char *eyebrow,
                       const char *title);
/* ... and the footer that every page has. */
void report_html_end(report_page *out, const json_t *report);

/* <section> with a heading, a message; id is for links within the page. */
void report_html_section(report_page *out, const char *id, const char *heading);
void report_html_section_end(report_page *out);

/* What becomes of a table on a phone. */
typedef enum {
    REPORT_NARROW,  // it fits
    REPORT_WIDE,    // keeps its width and scrolls in its own box
    REPORT_CARDS,   // one card a row; every cell needs its column in data-l
} report_table;
/* columns: messages; "name" is text, "#name" (message: name) a column of numbers; NULL at
 * the end. */
void report_html_table(report_page *out, report_table kind, const char *const *columns);
void report_html_table_end(report_page *out);

/* <td data-l="column">, with class "n" for numbers; closing it is the caller's. */
void report_html_cell(report_page *out, const char *column, bool number);
/* A cell with a FIGURE: value, interval, or why there is none.  column: a message. */
void report_html_figure(report_page *out, const char *column, const json_t *figure, int digits,
                        bool with_sign);
/* A cell with a number; an empty one for a count below 0 or NAN. */
void report_html_count(report_page *out, const char *column, int64_t count);
void report_html_value(report_page *out, const char *column, double value, int digits);
/* A number, or "0.84 [0.80, 0.88]", with real minus signs. */
void report_html_number(report_page *out, const char *number);
/* "a, b and c". */
void report_html_names(report_page *out, const char *const *names, size_t n);
/* The same as an argument; caller's. */
char *report_names_text(const report_page *out, const char *const *names, size_t n);

#endif
