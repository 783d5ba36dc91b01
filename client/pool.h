/*
 * pool.h - worker threads for the orders of all sites of a process
 *
 * First come, first served; more workers than cores would only slow each other
 * down.  A pool without workers runs its works when pool_run_one is called,
 * which makes tests repeatable.
 * Threads: one thread submits; the workers are the pool's own.
 */
#ifndef CLIENT_POOL_H
#define CLIENT_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/order.h"
#include "fed/transport.h"

typedef struct pool pool;

/* waker: woken when a work is over; borrowed, may be NULL. */
pool *pool_new(int n_workers, fed_waker *waker);
/* Waits for what is running; works that wait are dropped. */
void pool_destroy(pool **p);

/* Runs w some time; w is the pool's until pool_is_over. */
void pool_submit(pool *p, order_work *w);
/* It was run, and is its owner's again. */
bool pool_is_over(const order_work *w);
/* Runs the oldest waiting work in this thread; false when there is none. */
bool pool_run_one(pool *p);

/* Optimiser steps of all works so far: a sign that those who wait will be
 * served. */
uint64_t pool_steps(const pool *p);

#endif
