/*
 * site_parts.h - the sections of a hospital's page
 *
 * Each adds a section, or nothing where the report holds nothing for it.
 */
#ifndef REPORT_SITE_PARTS_H
#define REPORT_SITE_PARTS_H

#include "base/buf.h"
#include "base/json.h"

// site_cases.c
void report_site_flow(fl_buf *out, const json_t *site);
void report_site_table1(fl_buf *out, const json_t *report, const json_t *site);
void report_site_problems(fl_buf *out, const json_t *site);

// site_figures.c
void report_site_figures(fl_buf *out, const json_t *report, const json_t *site);
void report_site_classes(fl_buf *out, const json_t *report, const json_t *site);
void report_site_threshold(fl_buf *out, const json_t *report, const json_t *site);
void report_site_calibration(fl_buf *out, const json_t *report, const json_t *site);

// site_groups.c
void report_site_groups(fl_buf *out, const json_t *report, const json_t *site);
/* "sex F against M: AUC -0.12 [-0.20, -0.05]; ...": the flagged differences;
 * returns how many. */
size_t report_site_flags(fl_buf *out, const json_t *site);

#endif
