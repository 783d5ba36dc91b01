/*
 * pool.c - see pool.h
 */
#include "client/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct pool {
    pthread_mutex_t lock;  // guards what follows, but steps
    pthread_cond_t more;   // waiting grew, or stopping
    order_work **waiting;
    size_t n_waiting;
    bool stopping;
    fed_waker *waker;
    pthread_t *worker;
    int n_workers;
    atomic_uint_least64_t steps;
};

/* Under the lock.  NULL: none waits. */
static order_work *take(pool *p)
{
    if (p->n_waiting == 0) {
        return NULL;
    }
    order_work *oldest = p->waiting[0];
    p->n_waiting--;
    memmove(p->waiting, p->waiting + 1, p->n_waiting * sizeof *p->waiting);
    return oldest;
}

static void run(pool *p, order_work *w)
{
    atomic_store(&w->progress.started, true);
    if (atomic_load(&w->progress.cancel)) {
        w->outcome = ORDER_STOPPED;
        w->item.fd = -1;
    } else {
        order_carry_out(w);
    }
    atomic_store(&w->is_over, true);  // from here on it is its owner's
    if (p->waker != NULL) {
        fed_waker_wake(p->waker);
    }
}

static void *work(void *arg)
{
    pool *p = arg;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        while (p->n_waiting == 0 && !p->stopping) {
            pthread_cond_wait(&p->more, &p->lock);
        }
        if (p->stopping) {
            pthread_mutex_unlock(&p->lock);
            return NULL;
        }
        order_work *w = take(p);
        pthread_mutex_unlock(&p->lock);
        run(p, w);
    }
}

pool *pool_new(int n_workers, fed_waker *waker)
{
    pool *p = fl_xcalloc(1, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    p->waker = waker;
    atomic_init(&p->steps, 0);
    p->worker = fl_xcalloc((size_t)n_workers, sizeof *p->worker);
    for (int i = 0; i < n_workers; i++) {
        if (pthread_create(&p->worker[p->n_workers], NULL, work, p) == 0) {
            p->n_workers++;
        }
    }
    FL_REQUIRE(n_workers == 0 || p->n_workers > 0);
    return p;
}

void pool_destroy(pool **pp)
{
    pool *p = *pp;
    if (p == NULL) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_workers; i++) {
        pthread_join(p->worker[i], NULL);
    }
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p->worker);
    free(p->waiting);
    FL_FREE(*pp);
}

void pool_submit(pool *p, order_work *w)
{
    atomic_store(&w->is_over, false);
    atomic_store(&w->progress.started, false);
    atomic_store(&w->progress.cancel, false);
    atomic_store(&w->progress.done, 0);
    atomic_store(&w->progress.total, 0);
    w->progress.all = &p->steps;
    pthread_mutex_lock(&p->lock);
    p->waiting = fl_xrealloc(p->waiting, p->n_waiting + 1, sizeof *p->waiting);
    p->waiting[p->n_waiting++] = w;
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
}

bool pool_is_over(const order_work *w)
{
    return atomic_load(&w->is_over);
}

bool pool_run_one(pool *p)
{
    pthread_mutex_lock(&p->lock);
    order_work *w = take(p);
    pthread_mutex_unlock(&p->lock);
    if (w == NULL) {
        return false;
    }
    run(p, w);
    return true;
}

uint64_t pool_steps(const pool *p)
{
    return atomic_load(&p->steps);
}
