/*
 * nova.h - updates of unequal work, made comparable (partial: true)
 *
 * A site that takes more steps moves further, and a plain mean would lean its
 * way whatever its number of cases.  After Wang et al. 2020 (FedNova, equations 6
 * and 8) an update is divided by the 1-norm of the vector a that says how often each
 * of its gradients is in it, and the mean multiplied by their mean tau_eff:
 *
 *     mean = tau_eff sum_i p_i update_i / |a_i|,   tau_eff = sum_i p_i |a_i|
 *
 * with p_i the site's share of the weights.  Equal work gives the plain mean.
 */
#ifndef COORDINATOR_NOVA_H
#define COORDINATOR_NOVA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "task/task.h"

/*
 * |a| after so many steps: of SGD with its momentum and the proximal term mu,
 * the displacement by gradients that are all 1, per unit of lr (which is the sum of a,
 * and its norm while no entry is negative); the steps for Adam, whose a is not defined.
 */
double nova_norm(const task_train_config *local, double mu, int64_t steps);

/*
 * Integers near weight[i] / norm[i] on one scale, for an exact sum: at least 1,
 * together at most FED_MAX_WEIGHT_SUM, each rounded by at most 1.  Returns what
 * their mean is to be multiplied by; >= 1.
 */
double nova_weights(uint32_t *out, const uint32_t *weight, const double *norm, size_t n);

#endif
