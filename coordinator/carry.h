/*
 * carry.h - updates that missed their round count in the next (late: carry)
 *
 * What is carried is the difference itself, trained minus the base model that the site
 * was given; it is added to a later model as it is.  An update that is folded k rounds
 * after its own counts 1 / sqrt(1 + k) of what it would have counted: the polynomial
 * staleness function of Xie et al. 2019 (FedAsync, section 5.2, a = 1/2), as Nguyen et al.
 * 2022 (FedBuff) use it for differences that are added beside fresh ones.  k has no bound.
 */
#ifndef COORDINATOR_CARRY_H
#define COORDINATOR_CARRY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "coordinator/strategy.h"

/* FL_ECONFIG for a job whose updates cannot count in another round than their own. */
fl_status carry_check(const job *j, const strategy *s, fl_err *err);

/*
 * Brings weights to integers near weight[i] / sqrt(1 + late[i]) on one scale, for an exact sum: at
 * least 1, together at most FED_MAX_WEIGHT_SUM, each rounded by at most 1.  Leaves them as they are
 * when nobody is late.
 */
void carry_weights(uint32_t *weight, const uint32_t *late, size_t n);

#endif
