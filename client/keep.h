/*
 * keep.h - what a hospital has when a job is done
 *
 * runs/R/{job.yaml, model/{final.onnx, final.safetensors}, report.json,
 * report.html} beside the predictions.csv of the test.  Everything is made in a
 * folder of its own first, so a full disk leaves what was there before.
 */
#ifndef CLIENT_KEEP_H
#define CLIENT_KEEP_H

#include <stddef.h>

#include "base/err.h"
#include "client/local.h"

/* model: (P) the selected one.  report: JSON text for this site. */
fl_status keep_run(const local *l, const char *run_dir, const float *model, const char *report,
                   size_t n_report, fl_err *err);

#endif
