/*
 * carry.c - see carry.h
 */
#include "coordinator/carry.h"

#include <math.h>

#include "fed/accum.h"

fl_status carry_check(const job *j, const strategy *s, fl_err *err)
{
    if (j->sites.late != JOB_LATE_CARRY) {
        return FL_OK;
    }
    if (j->privacy.secure_aggregation) {
        return fl_fail(err, FL_ECONFIG,
                       "sites.late: carry needs every update by itself, and secure aggregation "
                       "shows sums only; expected drop or wait");
    }
    if (s->ops->sees == STRATEGY_EACH) {
        return fl_fail(err, FL_ECONFIG,
                       "sites.late: %s holds the updates of one round against each other, which a "
                       "carried one is not of; expected drop or wait",
                       s->ops->name);
    }
    return FL_OK;
}

static double discounted(uint32_t weight, uint32_t late)
{
    return weight / sqrt(1.0 + late);
}

void carry_weights(uint32_t *weight, const uint32_t *late, size_t n)
{
    double sum = 0;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        sum += discounted(weight[i], late[i]);
        any = any || late[i] > 0;
    }
    if (!any) {
        return;
    }
    double unit = (double)(FED_MAX_WEIGHT_SUM - (int64_t)n) / sum;
    for (size_t i = 0; i < n; i++) {
        double w = floor(unit * discounted(weight[i], late[i]));
        weight[i] = w >= 1 ? (uint32_t)w : 1;
    }
}
