/*
 * html.c - see html.h
 */
#include "report/html.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

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

void report_html_begin(fl_buf *out, const char *title, const char *subtitle, const json_t *report)
{
    (void)report;
    report_html(out, "<!doctype html><meta charset=utf-8><title>%s</title><h1>%s</h1><p>%s</p>",
                title, title, subtitle);
}

void report_html_end(fl_buf *out, const json_t *report)
{
    (void)report;
    fl_buf_puts(out, "<p>Research use. Not a medical device.</p>\n");
}
