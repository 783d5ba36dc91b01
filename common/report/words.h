/*
 * words.h - the languages of the pages
 *
 * A page's sentences are written once, in English, where they are used; the
 * table in words_fr.c has the French beside each.  What programs wrote into
 * report.json (methods, reasons) is looked up too; what people wrote (intended
 * use, names of classes) is shown as they wrote it.
 */
#ifndef REPORT_WORDS_H
#define REPORT_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

typedef enum { REPORT_EN, REPORT_FR, REPORT_N_LANGUAGES } report_language;

const char *report_language_code(report_language language);  // "en", "fr"
bool report_language_find(report_language *out, const char *code);

/*
 * Marks a message that is looked up elsewhere, as in a table of headings; the
 * test of the table finds it by this name.
 */
#define REPORT_N(message) message

/* The message in that language, or as it is when the table lacks it; borrowed for good. */
const char *report_words(report_language language, const char *message);

/*
 * Appends what a program wrote into a report ("too few cases: 6 positive, 16
 * negative; 10 of each are needed"), in that language.  False, and the text as
 * it came, when no entry of the table fits it.
 */
bool report_words_told(fl_buf *out, report_language language, const char *text);

/* A message and its French.  Conversions of the French are those of the message in its
 * order, or "%2$s" by number. */
typedef struct {
    const char *english, *french;
} report_words_entry;
/* What the pages say themselves, and what they are told; both end with NULL. */
extern const report_words_entry report_words_said[];
extern const report_words_entry report_words_heard[];

#endif
