/*
 * draw.h - messages at random, valid ones
 *
 * Threads: one.  draw_seed comes first.
 */
#ifndef DRAW_H
#define DRAW_H

#include <stddef.h>

#include "fed/msg.h"

/* TEST_SEED, or a fresh seed each run; printed so that a failure can be repeated. */
void draw_seed(void);
size_t draw_below(size_t n);  // 0 to n - 1
void draw_bytes(void *out, size_t n);
/* A message of the type, everything that is not set zeroed. */
void draw_message(fed_msg *m, fed_msg_type type);

#endif
