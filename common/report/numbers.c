/*
 * numbers.c - see numbers.h
 */
#include "report/numbers.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/read.h"

static char *with_mark(char *out, report_language l)
{
    char *point = l == REPORT_FR ? strchr(out, '.') : NULL;
    if (point != NULL) {
        *point = ',';
    }
    return out;
}

char *report_number(char *out, report_language l, double value, int digits)
{
    if (isnan(value)) {
        snprintf(out, REPORT_NUMBER_BYTES, "-");
    } else {
        // No "-0.00".
        double least = 0.5 * pow(10, -digits);
        snprintf(out, REPORT_NUMBER_BYTES, "%.*f", digits, fabs(value) < least ? 0 : value);
    }
    return with_mark(out, l);
}

char *report_signed(char *out, report_language l, double value, int digits)
{
    double least = 0.5 * pow(10, -digits);
    if (isnan(value) || fabs(value) < least) {
        return report_number(out, l, value, digits);
    }
    snprintf(out, REPORT_NUMBER_BYTES, "%+.*f", digits, value);
    return with_mark(out, l);
}

char *report_short(char *out, report_language l, double value)
{
    snprintf(out, REPORT_NUMBER_BYTES, "%.6g", value);
    return with_mark(out, l);
}

char *report_percent(char *out, report_language l, double share, int digits)
{
    snprintf(out, REPORT_NUMBER_BYTES, "%.*g %%", digits, 100 * share);
    return with_mark(out, l);
}

char *report_figure_text(char *out, report_language l, const json_t *figure, int digits,
                         bool with_sign)
{
    char *(*number)(char *, report_language, double, int) = with_sign ? report_signed
                                                                      : report_number;
    char value[REPORT_NUMBER_BYTES], low[REPORT_NUMBER_BYTES], high[REPORT_NUMBER_BYTES];
    double ci_low = fl_json_get_number(figure, "ci_low");
    double ci_high = fl_json_get_number(figure, "ci_high");
    number(value, l, report_value(figure), digits);
    if (isnan(ci_low) || isnan(ci_high)) {
        snprintf(out, REPORT_NUMBER_BYTES, "%s", value);
    } else {
        snprintf(out, REPORT_NUMBER_BYTES, "%.24s [%.24s%s %.24s]", value,
                 number(low, l, ci_low, digits), l == REPORT_FR ? " ;" : ",",
                 number(high, l, ci_high, digits));
    }
    return out;
}

char *report_count(char *out, report_language l, int64_t count)
{
    const char *gap = l == REPORT_FR ? "\xe2\x80\xaf" : " ";  // narrow, and no line ends there
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%" PRId64, count), at = 0;
    for (int i = 0; i < n; i++) {
        out[at++] = digits[i];
        if ((n - 1 - i) % 3 == 0 && i + 1 < n && digits[i] != '-' && n > 4) {
            at += snprintf(out + at, REPORT_NUMBER_BYTES - (size_t)at, "%s", gap);
        }
    }
    out[at] = '\0';
    return out;
}

char *report_bytes(char *out, report_language l, double bytes)
{
    static const char *const units[][5] = {
        [REPORT_EN] = {"B", "kB", "MB", "GB", "TB"},
        [REPORT_FR] = {"o", "ko", "Mo", "Go", "To"},
    };
    size_t u = 0;
    while (bytes >= 1000 && u < 4) {
        bytes /= 1000;
        u++;
    }
    snprintf(out, REPORT_NUMBER_BYTES, "%.*f %s", u > 0 && bytes < 100, bytes, units[l][u]);
    return with_mark(out, l);
}

char *report_duration(char *out, report_language l, double seconds)
{
    long whole = lround(seconds);
    if (isnan(seconds)) {
        snprintf(out, REPORT_NUMBER_BYTES, "-");
    } else if (seconds < 60) {
        snprintf(out, REPORT_NUMBER_BYTES, "%.*f s", seconds < 9.95, seconds);
    } else if (whole < 3600) {
        snprintf(out, REPORT_NUMBER_BYTES, "%ld min %02ld s", whole / 60, whole % 60);
    } else {
        snprintf(out, REPORT_NUMBER_BYTES, "%ld h %02ld min", whole / 3600, whole / 60 % 60);
    }
    return with_mark(out, l);
}

char *report_time(char *out, report_language l, const char *iso)
{
    static const char shape[] = "0000-00-00T00:00:00Z";
    bool known = strlen(iso) == strlen(shape) && iso[10] == 'T' && iso[19] == 'Z';
    if (known && l == REPORT_FR) {
        snprintf(out, REPORT_NUMBER_BYTES, "%.2s/%.2s/%.4s à %.5s UTC", iso + 8, iso + 5, iso,
                 iso + 11);
    } else if (known) {
        snprintf(out, REPORT_NUMBER_BYTES, "%.10s %.5s UTC", iso, iso + 11);
    } else {
        snprintf(out, REPORT_NUMBER_BYTES, "%s", iso);
    }
    return out;
}
