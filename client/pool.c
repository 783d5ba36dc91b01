/*
 * pool.c - see pool.h
 */
#include "client/pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

typedef struct {
    order_work **item;
    size_t n;
} queue;

struct pool {
    pthread_mutex_t lock;  // guards what follows, but steps
    pthread_cond_t more;   // waiting grew, or stopping
    queue waiting, over;
    bool stopping;
    fed_waker *waker;
    pthread_t *worker;
    int n_workers;
    atomic_uint_least64_t steps;
};

static void queue_add(queue *q, order_work *w)
{
    q->item = fl_xrealloc(q->item, q->n + 1, sizeof *q->item);
    q->item[q->n++] = w;
}

static order_work *queue_take(queue *q, size_t i)
{
    order_work *w = q->item[i];
    q->n--;
    for (; i < q->n; i++) {
        q->item[i] = q->item[i + 1];
    }
    return w;
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
    pthread_mutex_lock(&p->lock);
    queue_add(&p->over, w);
    pthread_mutex_unlock(&p->lock);
    if (p->waker != NULL) {
        fed_waker_wake(p->waker);
    }
}

static void *work(void *arg)
{
    pool *p = arg;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        while (p->waiting.n == 0 && !p->stopping) {
            pthread_cond_wait(&p->more, &p->lock);
        }
        if (p->stopping) {
            pthread_mutex_unlock(&p->lock);
            return NULL;
        }
        order_work *w = queue_take(&p->waiting, 0);
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
    free(p->waiting.item);
    free(p->over.item);
    FL_FREE(*pp);
}

void pool_submit(pool *p, order_work *w)
{
    atomic_store(&w->progress.started, false);
    atomic_store(&w->progress.cancel, false);
    atomic_store(&w->progress.done, 0);
    atomic_store(&w->progress.total, 0);
    w->progress.all = &p->steps;
    pthread_mutex_lock(&p->lock);
    queue_add(&p->waiting, w);
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
}

order_work *pool_collect(pool *p, const home *owner)
{
    order_work *found = NULL;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->over.n && found == NULL; i++) {
        if (p->over.item[i]->home == owner) {
            found = queue_take(&p->over, i);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

bool pool_run_one(pool *p)
{
    pthread_mutex_lock(&p->lock);
    order_work *w = p->waiting.n == 0 ? NULL : queue_take(&p->waiting, 0);
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
