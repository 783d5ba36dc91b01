/*
 * worst.h - the cases that a model gets most wrong, to look at in the hospital
 *
 * runs/R/worst/: index.html and a picture a case, the image beside itself under its
 * Grad-CAM map, or with both outlines over it.  Names cases, so it stays where predictions.csv does and nothing of it
 * is in report.json.
 */
#ifndef CLIENT_WORST_H
#define CLIENT_WORST_H

#include "base/err.h"
#include "base/json.h"
#include "report/words.h"
#include "task/task.h"

enum { WORST_CASES = 12 };

/*
 * The worst first: wrong calls of the lowest score for the label, wrong findings that the
 * model was surest of, masks of the lowest Dice, numbers that are farthest off.  threshold:
 * of two classes and of findings.  Nothing is written for other data than images, and
 * nothing is left of an earlier one.  A model without maps for Grad-CAM has its images alone.
 * The page is index.html in English, and in another language (index.fr.html) beside it.
 */
fl_status worst_write(const task_model *m, const float *params, const data_set *set,
                      const task_scores *s, double threshold, report_language language,
                      const char *run_dir, fl_err *err);

/* {"method"}: how the pictures of that page say what a call rests on; NULL where they do not (masks,
 * no images, a model without maps for Grad-CAM).  It says nothing of any case.  New reference. */
json_t *worst_explained(const task_model *m, const float *params, const data_set *set);

#endif
