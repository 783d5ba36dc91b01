/*
 * site_parts.h - the sections of a hospital's page
 *
 * Each adds a section, or nothing where the report holds nothing for it.
 */
#ifndef REPORT_SITE_PARTS_H
#define REPORT_SITE_PARTS_H

#include <stdbool.h>

#include "base/json.h"
#include "report/html.h"

// site_cases.c
void report_site_flow(report_page *out, const json_t *site);
void report_site_table1(report_page *out, const json_t *report, const json_t *site);
void report_site_problems(report_page *out, const json_t *site);

// site_figures.c
/* Has no value because the job or the hospital asks for none: not worth a row. */
bool report_site_not_asked(const json_t *figure);
void report_site_figures(report_page *out, const json_t *report, const json_t *site);
void report_site_classes(report_page *out, const json_t *site);
void report_site_threshold(report_page *out, const json_t *report, const json_t *site);
void report_site_calibration(report_page *out, const json_t *report, const json_t *site);

// site_models.c
void report_site_personal(report_page *out, const json_t *report, const json_t *site,
                          const char *metric);
void report_site_elsewhere(report_page *out, const json_t *report, const json_t *site,
                           const char *metric);

// teams.c
void report_site_teams(report_page *out, const json_t *report, const json_t *site,
                       const char *metric);

// site_sure.c
void report_site_sure(report_page *out, const json_t *site);

/* By what maps the hospital can see what a call rests on; nothing where there are none. */
void report_site_explanations(report_page *out, const json_t *site);

// site_annotators.c
void report_site_annotators(report_page *out, const json_t *site);
/* One sentence: does the model agree with the annotators as they do with each other?
 * Nothing where there are not several. */
void report_site_agreement(report_page *out, const json_t *site);
void report_site_agreement_rule(report_page *out, const json_t *site);

// unseen.c
void report_site_unseen(report_page *out, const json_t *site);

// site_groups.c
void report_site_groups(report_page *out, const json_t *report, const json_t *site);
/* "sex F against M: AUC -0.12 [-0.20, -0.05]; ...": the flagged differences;
 * returns how many. */
size_t report_site_flags(report_page *out, const json_t *site);

// checklists.c
/* Items of CLAIM 2024, TRIPOD+AI and STARD-AI, and where on the page that is in out so far they are
 * answered: comes last. */
void report_site_checklists(report_page *out, const json_t *report, const json_t *site);

// site_shift.c
void report_site_shift(report_page *out, const json_t *site);

#endif
