/*
 * base_model.h - is a fetched model the one that the order names?
 *
 * Threads: any.
 */
#ifndef CLIENT_BASE_MODEL_H
#define CLIENT_BASE_MODEL_H

#include <stdint.h>

#include "base/err.h"
#include "fed/msg.h"
#include "nn/params.h"

/*
 * model (n) is what was fetched under o->model, its digest checked.  FL_ECONFIG when the table is
 * another than the order's, FL_EFORMAT when the numbers are.
 */
fl_status base_model_check(const fed_order *o, const nn_table *table, const float *model,
                           uint64_t n, fl_err *err);

#endif
