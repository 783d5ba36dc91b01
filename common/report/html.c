/*
 * html.c - see html.h
 */
#include "report/html.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/err.h"
#include "report/read.h"
#include "report/style.h"

void report_html_text(fl_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            fl_buf_puts(out, "&amp;");
            break;
        case '<':
            fl_buf_puts(out, "&lt;");
            break;
        case '>':
            fl_buf_puts(out, "&gt;");
            break;
        case '"':
            fl_buf_puts(out, "&quot;");
            break;
        case '\'':
            fl_buf_puts(out, "&#39;");
            break;
        default:
            fl_buf_add(out, text, 1);
        }
    }
}

void report_html(fl_buf *out, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    while (*fmt != '\0') {
        size_t plain = strcspn(fmt, "%");
        fl_buf_add(out, fmt, plain);
        fmt += plain;
        if (strncmp(fmt, "%s", 2) == 0) {
            const char *text = va_arg(args, const char *);
            report_html_text(out, text != NULL ? text : "");
            fmt += 2;
        } else if (strncmp(fmt, "%d", 2) == 0) {
            fl_buf_printf(out, "%d", va_arg(args, int));
            fmt += 2;
        } else if (strncmp(fmt, "%zu", 3) == 0) {
            fl_buf_printf(out, "%zu", va_arg(args, size_t));
            fmt += 3;
        } else if (strncmp(fmt, "%lld", 4) == 0) {
            fl_buf_printf(out, "%lld", va_arg(args, long long));
            fmt += 4;
        } else if (strncmp(fmt, "%%", 2) == 0) {
            fl_buf_puts(out, "%");
            fmt += 2;
        } else {
            FL_REQUIRE(*fmt == '\0');  // no other conversion is escaped
        }
    }
    va_end(args);
}

/* ------------------------------------------------------------- whole pages */

void report_html_begin(fl_buf *out, const json_t *report, const char *eyebrow, const char *title)
{
    const char *use = fl_json_get_string(report, "intended_use", "");
    fl_buf_puts(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     // Nothing may be loaded, whatever a text might smuggle in.
                     "<meta http-equiv=\"Content-Security-Policy\" "
                     "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
                     "<link rel=\"icon\" href=\"data:,\">\n");
    report_html(out, "<title>%s</title>\n<style>\n", title);
    fl_buf_puts(out, report_style);
    report_html(out,
                "</style>\n</head>\n<body>\n<div class=\"page\">\n<header>\n"
                "<p class=\"eyebrow\">%s</p>\n<h1>%s</h1>\n"
                "<p class=\"use\"><b>Intended use:</b> %s</p>\n</header>\n<main>\n",
                eyebrow, title, use[0] != '\0' ? use : "not stated in the job");
}

void report_html_end(fl_buf *out, const json_t *report)
{
    char time[REPORT_NUMBER_BYTES];
    report_html(
        out,
        "</main>\n<footer>\n<p><b>Research use. Not a medical device.</b></p>\n"
        "<p>Intended use: %s</p>\n<p>Made by Consilium %s from report.json of run %s, %s.</p>\n"
        "</footer>\n</div>\n</body>\n</html>\n",
        fl_json_get_string(report, "intended_use", "not stated in the job"),
        fl_json_get_string(json_object_get(report, "environment"), "consilium", ""),
        fl_json_get_string(report, "run", "?"),
        report_time(time, fl_json_get_string(report, "created", "")));
}

void report_html_section(fl_buf *out, const char *id, const char *heading)
{
    report_html(out, "<section id=\"%s\">\n<h2>%s</h2>\n", id, heading);
}

void report_html_section_end(fl_buf *out)
{
    fl_buf_puts(out, "</section>\n");
}

/* ------------------------------------------------------------------ tables */

void report_html_table(fl_buf *out, report_table kind, const char *const *columns)
{
    static const char *const classes[] = {
        [REPORT_NARROW] = "plain",
        [REPORT_WIDE] = "wide",
        [REPORT_CARDS] = "cards",
    };
    report_html(out, "<div class=\"scroll\"><table class=\"%s\"><thead><tr>", classes[kind]);
    for (; *columns != NULL; columns++) {
        bool number = (*columns)[0] == '#';
        fl_buf_puts(out, number ? "<th class=\"n\" scope=\"col\">" : "<th scope=\"col\">");
        report_html(out, "%s</th>", *columns + number);
    }
    fl_buf_puts(out, "</tr></thead>\n<tbody>\n");
}

void report_html_table_end(fl_buf *out)
{
    fl_buf_puts(out, "</tbody></table></div>\n");
}

void report_html_number(fl_buf *out, const char *number)
{
    for (; *number != '\0'; number++) {
        if (*number == '-') {
            fl_buf_puts(out, "\xe2\x88\x92");
        } else {
            fl_buf_add(out, number, 1);
        }
    }
}

void report_html_figure(fl_buf *out, const char *column, const json_t *figure, int digits,
                        bool with_sign)
{
    char *(*number)(char *, double, int) = with_sign ? report_signed : report_number;
    char text[REPORT_NUMBER_BYTES];
    double value = report_value(figure);
    double low = fl_json_get_number(figure, "ci_low"), high = fl_json_get_number(figure, "ci_high");
    report_html(out, "<td class=\"n\" data-l=\"%s\">", column);
    fl_buf_puts(out, "<span>");
    if (isnan(value)) {
        fl_buf_puts(out, "\xe2\x80\x93");
    } else {
        report_html_number(out, number(text, value, digits));
    }
    if (!isnan(low) && !isnan(high)) {
        fl_buf_puts(out, " <span class=\"ci\">[");
        report_html_number(out, number(text, low, digits));
        fl_buf_puts(out, ", ");
        report_html_number(out, number(text, high, digits));
        fl_buf_puts(out, "]</span>");
    } else if (figure != NULL) {
        report_html(out, " <span class=\"why\">%s</span>", fl_json_get_string(figure, "why", ""));
    }
    fl_buf_puts(out, "</span></td>");
}

void report_html_names(fl_buf *out, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fl_buf_puts(out, i == 0 ? "" : i + 1 < n ? ", " : " and ");
        report_html_text(out, names[i]);
    }
}
