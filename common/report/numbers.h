/*
 * numbers.h - numbers as people read them, in their language
 *
 * All functions return out, of REPORT_NUMBER_BYTES.
 */
#ifndef REPORT_NUMBERS_H
#define REPORT_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "report/words.h"

enum { REPORT_NUMBER_BYTES = 96 };

char *report_number(char *out, report_language l, double value, int digits);   // "-" for NAN
char *report_signed(char *out, report_language l, double value, int digits);   // "+0.06"
char *report_short(char *out, report_language l, double value);  // six digits at most: "1e-05"
char *report_percent(char *out, report_language l, double share, int digits);  // "8.3 %"
/* "0.84 [0.80, 0.88]", in French "0,84 [0,80 ; 0,88]". */
char *report_figure_text(char *out, report_language l, const json_t *figure, int digits,
                         bool with_sign);
char *report_count(char *out, report_language l, int64_t count);      // "12 345"
char *report_bytes(char *out, report_language l, double bytes);       // "1.4 MB", "1,4 Mo"
char *report_duration(char *out, report_language l, double seconds);  // "2 min 05 s"
/* "2026-01-31 12:00 UTC", in French "31/01/2026 à 12:00 UTC"; another text as it is. */
char *report_time(char *out, report_language l, const char *iso);

#endif
