/*
 * keep.h - what a hospital has when a job is done
 *
 * runs/R/{job.yaml, model/{final.onnx, final.safetensors}, report.json,
 * report.html} beside the predictions.csv of the test, and report.fr.html where client.yaml
 * asks for French.  Everything is made in a folder of its own first, so a full disk leaves
 * what was there before.
 */
#ifndef CLIENT_KEEP_H
#define CLIENT_KEEP_H

#include <stddef.h>

#include "base/err.h"
#include "client/local.h"
#include "report/words.h"

/* model: (P) the selected one.  report: JSON text for this site. */
fl_status keep_run(const local *l, const char *run_dir, const float *model, const char *report,
                   size_t n_report, fl_err *err);

/* The page made again from the run's report.json, in that language.  *path: where it lies,
 * caller's.  FL_ENOTFOUND when the hospital has no report of that run. */
fl_status keep_page(char **path, const char *run_dir, const char *site, report_language language,
                    fl_err *err);

#endif
