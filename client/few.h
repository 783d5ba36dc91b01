/*
 * few.h - a test split of few patients says nothing of them
 *
 * What a hospital says of its test cases is about each of them where they are of fewer than
 * min_cell patients: that all of seven were called rightly says so of every one, and that none
 * is positive says what they have.  Then every figure is null with the reason beside it, and
 * whatever would tell it another way (counts, curves, groups, uncertainty, shifts) is left out.
 * The hospital has its predictions.csv.
 */
#ifndef CLIENT_FEW_H
#define CLIENT_FEW_H

#include <stdint.h>

#include "base/json.h"

/* Of a site's element of the report (proto/REPORT.md), in place. */
void few_hide(json_t *site, int64_t min_cell);

#endif
