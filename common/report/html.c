/*
 * html.c - see html.h
 */
#include "report/html.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "report/numbers.h"
#include "report/read.h"
#include "report/style.h"

void report_page_clear(report_page *page)
{
    fl_buf_clear(&page->text);
}

/* ------------------------------------------------------------- characters */

static const char no_break[] = "\xc2\xa0";
static const char minus[] = "\xe2\x88\x92";

/* "95 %" or "95 %%" of a format; "hôpital %s" is none. */
static bool is_percent(const char *text)
{
    return text[0] == '%' && !isalnum((unsigned char)text[1]);
}

/* In French a space stands before these marks and inside guillemets, and no line ends there. */
static bool stays_with_next(const char *text)
{
    static const char *const marks[] = {":", ";", "?", "!", "\xc2\xbb"};
    if (text[0] == ' ' && is_percent(text + 1)) {
        return true;
    }
    for (size_t i = 0; text[0] == ' ' && i < sizeof marks / sizeof marks[0]; i++) {
        if (strncmp(text + 1, marks[i], strlen(marks[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* The space of "[0,80 ; 0,88]" behind its mark: an interval stays on one line. */
static bool is_in_interval(const char *text)
{
    size_t number = strspn(text + 1, "+-0123456789,");
    return text[0] == ' ' && number > 0 && text[1 + number] == ']';
}

/* two: a character of two bytes. */
static bool ends_with(const fl_buf *b, const char *two)
{
    return b->n >= 2 && strcmp(b->data + b->n - 2, two) == 0;
}

static bool is_after_guillemet(const fl_buf *b)
{
    return ends_with(b, "\xc2\xab");
}

/* Is the hyphen at c a minus: in front of a number, behind what may stand before one?  A range
 * (7-8), a date and a name with a hyphen have something else there, and so has CSS. */
static bool is_minus(const fl_buf *before, const char *c)
{
    bool is_number = isdigit((unsigned char)c[1]) || (c[1] == '.' && isdigit((unsigned char)c[2]));
    char last = before->n > 0 ? before->data[before->n - 1] : ' ';
    bool is_free = strchr(" [(>\n", last) != NULL || ends_with(before, no_break);
    return *c == '-' && is_number && is_free;
}

static void add_character(report_page *out, const char *c)
{
    if (is_minus(&out->text, c)) {
        fl_buf_puts(&out->text, minus);
        return;
    }
    bool unbroken = out->language == REPORT_FR && *c == ' ' &&
                    (stays_with_next(c) || is_in_interval(c) || is_after_guillemet(&out->text));
    if (unbroken) {
        fl_buf_puts(&out->text, no_break);
    } else {
        fl_buf_add(&out->text, c, 1);
    }
}

void report_html_text(report_page *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            fl_buf_puts(&out->text, "&amp;");
            break;
        case '<':
            fl_buf_puts(&out->text, "&lt;");
            break;
        case '>':
            fl_buf_puts(&out->text, "&gt;");
            break;
        case '"':
            fl_buf_puts(&out->text, "&quot;");
            break;
        case '\'':
            fl_buf_puts(&out->text, "&#39;");
            break;
        default:
            add_character(out, text);
        }
    }
}

/* ----------------------------------------------------------------- formats */

enum { MOST_ARGUMENTS = 10 };

typedef struct {
    const char *text;  // NULL: the number
    long long number;
} argument;

/* The next conversion of fmt from *at on: its letter, and its number from 1 on where
 * it has one ("%2$s"); '\0' at the end.  *at is then behind it. */
static char next_conversion(const char **at, size_t *number)
{
    static const char *const known[] = {"s", "d", "zu", "lld", "%"};
    *at += strcspn(*at, "%");
    if (**at == '\0') {
        return '\0';
    }
    const char *p = *at + 1;
    *number = 0;
    if (p[0] >= '1' && p[0] <= '9' && p[1] == '$') {
        *number = (size_t)(p[0] - '0');
        p += 2;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strncmp(p, known[i], strlen(known[i])) == 0) {
            *at = p + strlen(known[i]);
            return known[i][0];
        }
    }
    FL_REQUIRE(false);  // no other conversion is escaped
    return '\0';
}

static size_t arguments_of(argument *args, const char *fmt, va_list list)
{
    size_t n = 0, number;
    for (char c; (c = next_conversion(&fmt, &number)) != '\0';) {
        if (c == '%') {
            continue;
        }
        FL_REQUIRE(n < MOST_ARGUMENTS);
        args[n] = (argument){0};
        if (c == 's') {
            const char *text = va_arg(list, const char *);
            args[n].text = text != NULL ? text : "";
        } else {
            args[n].number = c == 'd'   ? va_arg(list, int)
                             : c == 'z' ? (long long)va_arg(list, size_t)
                                        : va_arg(list, long long);
        }
        n++;
    }
    return n;
}

static void print(report_page *out, const char *fmt, const argument *args, size_t n, bool escape)
{
    size_t next = 0, number;
    for (;;) {
        const char *from = fmt;
        for (const char *end = fmt + strcspn(fmt, "%"); from < end; from++) {
            add_character(out, from);
        }
        char c = next_conversion(&fmt, &number);
        if (c == '\0') {
            return;
        }
        if (c == '%') {
            fl_buf_puts(&out->text, "%");
            continue;
        }
        size_t which = number > 0 ? number - 1 : next++;
        FL_REQUIRE(which < n);
        if (args[which].text != NULL && escape) {
            report_html_text(out, args[which].text);
        } else if (args[which].text != NULL) {
            fl_buf_puts(&out->text, args[which].text);
        } else {
            fl_buf_printf(&out->text, "%lld", args[which].number);
        }
    }
}

void report_html(report_page *out, const char *fmt, ...)
{
    argument args[MOST_ARGUMENTS];
    va_list list;
    va_start(list, fmt);
    size_t n = arguments_of(args, fmt, list);
    va_end(list);
    print(out, fmt, args, n, true);
}

void report_say(report_page *out, const char *message, ...)
{
    argument args[MOST_ARGUMENTS];
    va_list list;
    va_start(list, message);
    size_t n = arguments_of(args, message, list);
    va_end(list);
    print(out, report_words(out->language, message), args, n, true);
}

void report_plain(report_page *out, const char *message, ...)
{
    argument args[MOST_ARGUMENTS];
    va_list list;
    va_start(list, message);
    size_t n = arguments_of(args, message, list);
    va_end(list);
    print(out, report_words(out->language, message), args, n, false);
}

const char *report_word(const report_page *out, const char *message)
{
    return report_words(out->language, message);
}

void report_told(report_page *out, const char *text)
{
    fl_buf said = FL_BUF_INIT;
    bool known = report_words_told(&said, out->language, text);
    known = known || text[0] == '\0';
    fl_buf_puts(&out->text, known ? "" : "<span lang=\"en\">");
    report_html_text(out, said.n > 0 ? said.data : "");
    fl_buf_puts(&out->text, known ? "" : "</span>");
    fl_buf_clear(&said);
}

char *report_told_text(const report_page *out, const char *text)
{
    fl_buf said = FL_BUF_INIT;
    report_words_told(&said, out->language, text);
    fl_buf_puts(&said, "");
    return fl_buf_take(&said);
}

/* ------------------------------------------------------------- whole pages */

void report_html_begin(report_page *out, const json_t *report, const char *eyebrow,
                       const char *title)
{
    const char *use = fl_json_get_string(report, "intended_use", "");
    report_html(out, "<!doctype html>\n<html lang=\"%s\">\n", report_language_code(out->language));
    report_html(out, "<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     // Nothing may be loaded, whatever a text might smuggle in.
                     "<meta http-equiv=\"Content-Security-Policy\" "
                     "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
                     "<link rel=\"icon\" href=\"data:,\">\n");
    report_html(out, "<title>%s</title>\n<style>\n", title);
    fl_buf_puts(&out->text, report_style);
    report_html(out, "@page{@bottom-left{content:'%s';font:8pt sans-serif;color:#55656f}}\n",
                report_word(out, "Research use. Not a medical device."));
    report_html(out,
                "</style>\n</head>\n<body>\n<div class=\"page\">\n<header>\n"
                "<p class=\"eyebrow\">%s</p>\n<h1>%s</h1>\n<p class=\"use\" id=\"use\"><b>",
                eyebrow, title);
    report_say(out, "Intended use:");
    report_html(out, "</b> %s</p>\n</header>\n<main>\n",
                use[0] != '\0' ? use : report_word(out, "not stated in the job"));
}

void report_html_end(report_page *out, const json_t *report)
{
    char time[REPORT_NUMBER_BYTES];
    report_html(out, "</main>\n<footer>\n<p><b>");
    report_say(out, "Research use. Not a medical device.");
    report_html(out, "</b></p>\n<p>");
    report_say(out, "Intended use:");
    report_html(
        out, " %s</p>\n<p>",
        fl_json_get_string(report, "intended_use", report_word(out, "not stated in the job")));
    report_say(out, "Made by Consilium %s from report.json of run %s, %s.",
               fl_json_get_string(json_object_get(report, "environment"), "consilium", ""),
               fl_json_get_string(report, "run", "?"),
               report_time(time, out->language, fl_json_get_string(report, "created", "")));
    report_html(out, "</p>\n</footer>\n</div>\n</body>\n</html>\n");
}

void report_html_section(report_page *out, const char *id, const char *heading)
{
    report_html(out, "<section id=\"%s\">\n<h2>%s</h2>\n", id, report_word(out, heading));
}

void report_html_section_end(report_page *out)
{
    report_html(out, "</section>\n");
}

/* ------------------------------------------------------------------ tables */

void report_html_table(report_page *out, report_table kind, const char *const *columns)
{
    static const char *const classes[] = {
        [REPORT_NARROW] = "plain",
        [REPORT_WIDE] = "wide",
        [REPORT_CARDS] = "cards",
    };
    report_html(out, "<div class=\"scroll\"><table class=\"%s\"><thead><tr>", classes[kind]);
    for (; *columns != NULL; columns++) {
        bool number = (*columns)[0] == '#';
        report_html(out, number ? "<th class=\"n\" scope=\"col\">" : "<th scope=\"col\">");
        report_html(out, "%s</th>", report_word(out, *columns + number));
    }
    report_html(out, "</tr></thead>\n<tbody>\n");
}

void report_html_table_end(report_page *out)
{
    report_html(out, "</tbody></table></div>\n");
}

void report_html_cell(report_page *out, const char *column, bool number)
{
    report_html(out, number ? "<td class=\"n\"" : "<td");
    report_html(out, " data-l=\"%s\">", report_word(out, column));
}

void report_html_number(report_page *out, const char *number)
{
    for (; *number != '\0'; number++) {
        if (*number == '-') {
            fl_buf_puts(&out->text, minus);
        } else {
            add_character(out, number);
        }
    }
}

void report_html_count(report_page *out, const char *column, int64_t count)
{
    char text[REPORT_NUMBER_BYTES];
    report_html_cell(out, column, true);
    report_html(out, "%s</td>", count < 0 ? "" : report_count(text, out->language, count));
}

void report_html_value(report_page *out, const char *column, double value, int digits)
{
    char text[REPORT_NUMBER_BYTES];
    report_html_cell(out, column, true);
    report_html_number(out, isnan(value) ? "" : report_number(text, out->language, value, digits));
    report_html(out, "</td>");
}

void report_html_figure(report_page *out, const char *column, const json_t *figure, int digits,
                        bool with_sign)
{
    char *(*number)(char *, report_language, double, int) = with_sign ? report_signed
                                                                      : report_number;
    char text[REPORT_NUMBER_BYTES];
    double value = report_value(figure);
    double low = fl_json_get_number(figure, "ci_low"), high = fl_json_get_number(figure, "ci_high");
    report_html_cell(out, column, true);
    report_html(out, "<span>");
    if (isnan(value)) {
        report_html(out, "\xe2\x80\x93");
    } else {
        report_html_number(out, number(text, out->language, value, digits));
    }
    if (!isnan(low) && !isnan(high)) {
        report_html(out, " <span class=\"ci\">[");
        report_html_number(out, number(text, out->language, low, digits));
        report_html(out, out->language == REPORT_FR ? " ; " : ", ");
        report_html_number(out, number(text, out->language, high, digits));
        report_html(out, "]</span>");
    } else if (figure != NULL) {
        report_html(out, " <span class=\"why\">");
        report_told(out, fl_json_get_string(figure, "why", ""));
        report_html(out, "</span>");
    }
    report_html(out, "</span></td>");
}

char *report_names_text(const report_page *out, const char *const *names, size_t n)
{
    fl_buf text = FL_BUF_INIT;
    fl_buf_puts(&text, "");
    for (size_t i = 0; i < n; i++) {
        fl_buf_puts(&text, i == 0 ? "" : i + 1 < n ? ", " : report_word(out, " and "));
        fl_buf_puts(&text, names[i]);
    }
    return fl_buf_take(&text);
}

void report_html_names(report_page *out, const char *const *names, size_t n)
{
    char *text = report_names_text(out, names, n);
    report_html_text(out, text);
    free(text);
}
