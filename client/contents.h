/*
 * contents.h - what a contribution of each kind may hold
 *
 * One table: the names that may leave in answer to an order, beside the hospital's policy on
 * figures, small cells and the size of models.  What is made elsewhere is checked here once
 * more; nothing leaves on trust.  Knows no file and no message.
 * Threads: any; keeps no state.
 */
#ifndef CLIENT_CONTENTS_H
#define CLIENT_CONTENTS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "client/policy.h"
#include "fed/msg.h"
#include "nn/params.h"

/* Is the answer to such an order a difference of parameters? */
bool contents_is_update(fed_order_kind kind);
/* A site's own model: policy and values, as below. */
fl_status contents_check_model(const policy *p, const fed_offer *draft, const nn_table *table,
                               const float *model, fl_err *err) FL_MUST_CHECK;
/* draft: key and scalars are filled in.  FL_EDENIED: kind or policy forbid it; FL_EFORMAT: not
 * finite, or out of the exact sum's range. */
fl_status contents_check_update(const policy *p, const fed_offer *draft, const nn_table *table,
                                const float *update, fl_err *err) FL_MUST_CHECK;
/* payload: an object, or NULL for none. */
fl_status contents_check_json(const policy *p, const fed_offer *draft, const json_t *payload,
                              fl_err *err) FL_MUST_CHECK;

/* The most patients that one of {METRIC: FIGURE} rests on; 0: no figure says. */
int64_t contents_patients(const json_t *figures);

#endif
