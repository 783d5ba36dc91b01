/*
 * ahead.c - see ahead.h
 */
#include "data/ahead.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "data/set.h"

enum { PAGE_BYTES = 4096 };  // no smaller anywhere: each page is looked at once or more

struct data_ahead {
    const data_set *set;
    size_t window;  // cases
    pthread_t thread;
    pthread_mutex_t lock;  // of all below
    pthread_cond_t moved;
    size_t *order;  // (data_set_n)
    size_t n, at, next;
    bool stop;
};

static void read_case(const data_set *s, size_t i)
{
    const data_entry *e = &s->entries[i];
    if (e->cache == NULL) {
        return;
    }
    size_t n = data_input_bytes(&e->input);
    const volatile uint8_t *p = e->input.samples;
    data_cache_will_need(e->cache, e->input.samples, n);
    for (size_t k = 0; k < n; k += PAGE_BYTES) {
        (void)p[k];
    }
    (void)p[n - 1];
}

static void *run(void *context)
{
    data_ahead *a = context;

    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        a->next = a->next < a->at ? a->at : a->next;  // never behind
        if (a->next >= a->n || a->next >= a->at + a->window) {
            pthread_cond_wait(&a->moved, &a->lock);
            continue;
        }
        size_t i = a->order[a->next++];
        pthread_mutex_unlock(&a->lock);
        read_case(a->set, i);
        pthread_mutex_lock(&a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static bool is_in_memory(const data_set *s)
{
    bool all = true;
    for (size_t i = 0; i < s->n && all; i++) {
        all = s->entries[i].cache == NULL;
    }
    return all;
}

data_ahead *data_ahead_new(const data_set *s)
{
    if (is_in_memory(s)) {
        return NULL;
    }
    data_ahead *a = fl_xcalloc(1, sizeof *a);
    a->set = s;
    a->window = DATA_AHEAD_BYTES / data_input_bytes(&s->entries[0].input) + 1;
    a->order = fl_xcalloc(s->n, sizeof *a->order);
    FL_REQUIRE(pthread_mutex_init(&a->lock, NULL) == 0 && pthread_cond_init(&a->moved, NULL) == 0);
    if (pthread_create(&a->thread, NULL, run, a) != 0) {  // it goes without, only slower
        pthread_cond_destroy(&a->moved);
        pthread_mutex_destroy(&a->lock);
        free(a->order);
        FL_FREE(a);
    }
    return a;
}

void data_ahead_start(data_ahead *a, const size_t *order, size_t n)
{
    if (a == NULL) {
        return;
    }
    FL_REQUIRE(n <= a->set->n);
    pthread_mutex_lock(&a->lock);
    memcpy(a->order, order, n * sizeof *order);
    a->n = n;
    a->at = a->next = 0;
    pthread_cond_signal(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

void data_ahead_at(data_ahead *a, size_t at)
{
    if (a == NULL) {
        return;
    }
    pthread_mutex_lock(&a->lock);
    a->at = at;
    pthread_cond_signal(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

void data_ahead_destroy(data_ahead **ahead)
{
    data_ahead *a = *ahead;
    if (a == NULL) {
        return;
    }
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->moved);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->moved);
    pthread_mutex_destroy(&a->lock);
    free(a->order);
    FL_FREE(*ahead);
}
