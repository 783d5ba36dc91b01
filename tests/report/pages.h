/*
 * pages.h - a report's pages as text, to look for words in
 */
#ifndef TESTS_REPORT_PAGES_H
#define TESTS_REPORT_PAGES_H

#include "base/json.h"
#include "report/words.h"

/* The page of site, or of the run (NULL); caller's. */
char *page_in(report_language language, const json_t *report, const char *site);
char *page_text(const json_t *report, const char *site);  // in English

void check_has_not(const char *text, const char *part);

#endif
