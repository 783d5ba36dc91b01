/*
 * index_parts.h - what page_index.c puts together
 *
 * Internal to report/.
 */
#ifndef REPORT_INDEX_PARTS_H
#define REPORT_INDEX_PARTS_H

#include "report/html.h"

typedef struct {
    const char **names;  // borrowed; the list is the caller's to free
    size_t n;
} index_names;
void index_names_add(index_names *list, const char *name);

void index_summary(report_page *out, const json_t *report, const char *metric);
/* index_models.c: what the report holds of other models than the shared and the own one. */
void index_models(report_page *out, const json_t *report, const char *metric);
/* Rounds, hospitals, time, traffic: a number each. */
void index_tiles(report_page *out, const json_t *report, const char *metric);

#endif
