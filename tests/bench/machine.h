/*
 * machine.h - the machine that a bench runs on
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#include "nn/plan.h"

/* "AMD EPYC 9R14 (family 25, model 17), 2 cores": hypervisors hide names, and
 * the numbers still tell. */
void machine_text(char *out, size_t n);

/* Floating-point operations a second of oneDNN's direct convolution on a layer
 * that suits it best; of several runs the fastest, since nothing else is meant by
 * a peak.  cpu: of CPU time instead of time that passes.  0 where the CPU has no
 * such precision. */
double machine_peak(int threads, nn_precision precision, bool cpu);

#endif
