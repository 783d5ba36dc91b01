/*
 * racer.h - one side of a race: a process that trains when it is told to
 *
 * Every contestant of a row, ours or the peer's, is a fresh process, so that its
 * memory is its own, and all of them wait for their turn at a pipe: rounds can
 * be interleaved, and what disturbs the machine disturbs all alike.
 *
 * The conversation, one line each way:
 *     racer:  ready PARAMETERS WHO         or: cannot SENTENCE
 *     bench:  run SECONDS                  racer: did STEPS SECONDS CPU_SECONDS
 *     bench:  end                          racer: peak BYTES, and it is gone
 */
#ifndef RACER_H
#define RACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { RACER_TEXT = 160, RACER_MAX_ROUNDS = 32 };

typedef struct {
    pid_t pid;  // 0 = not running
    FILE *to, *from;
    int64_t n_params;                  // that it trains
    char who[RACER_TEXT];              // "PyTorch 1.13.0"
    char why_not[RACER_TEXT];          // what it said that it cannot; "" when it can
    double seconds[RACER_MAX_ROUNDS];  // of a step, by round
    size_t n_rounds;
    double peak_mb;  // once it has ended
} racer;

/* Starts argv, with the variables of env ("NAME=value", ended by NULL) set, and
 * waits until it is ready or has said why it cannot.  False when it cannot. */
bool racer_start(racer *r, const char *const *argv, const char *const *env);
/* One round of about so many seconds.  cpu: counts the process's CPU time
 * instead of the time that passes, for a machine on which others work. */
void racer_run(racer *r, double seconds, bool cpu);
/* Asks for its peak memory and lets it go; fine when it is not running. */
void racer_end(racer *r);
/* Median over the rounds so far. */
double racer_median(const racer *r);
double median_of(const double *x, size_t n);  // n <= RACER_MAX_ROUNDS

#endif
