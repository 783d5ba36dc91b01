/*
 * refusals.c - see refusals.h
 */
#include "fed/refusals.h"

#include <stdio.h>

#include "base/sys.h"

void fed_refusals_init(fed_refusals *r)
{
    memset(r, 0, sizeof *r);
    FL_REQUIRE(pthread_mutex_init(&r->lock, NULL) == 0);
    r->tokens = FED_REFUSALS_BURST;
    r->filled_at = fl_now();
}

void fed_refusals_clear(fed_refusals *r)
{
    pthread_mutex_destroy(&r->lock);
}

static bool is_alike(const fed_refusal *a, const fed_refusal *b)
{
    return strcmp(a->address, b->address) == 0 && strcmp(a->reason, b->reason) == 0 &&
           memcmp(&a->key, &b->key, sizeof a->key) == 0;
}

void fed_refusals_add(fed_refusals *r, const char *address, const char *reason,
                      const fed_public_key *key)
{
    fed_refusal fresh = {.n_attempts = 1};
    snprintf(fresh.address, sizeof fresh.address, "%s", address);
    snprintf(fresh.reason, sizeof fresh.reason, "%s", reason);
    if (key != NULL) {
        fresh.key = *key;
    }
    pthread_mutex_lock(&r->lock);
    size_t i = 0;
    while (i < r->n && !is_alike(&r->waiting[i], &fresh)) {
        i++;
    }
    if (i < r->n) {
        r->waiting[i].n_attempts++;
    } else if (r->n < FED_REFUSALS_WAITING) {
        r->waiting[r->n++] = fresh;
    } else if (r->others.n_attempts++ == 0) {
        snprintf(r->others.reason, sizeof r->others.reason,
                 "refused while many others were: not listed one by one");
    }
    pthread_mutex_unlock(&r->lock);
}

/* A token bucket: what was not used fills it up to the burst. */
static bool take_token(fed_refusals *r)
{
    double now = fl_now();
    r->tokens += (now - r->filled_at) * FED_REFUSALS_PER_SECOND;
    r->filled_at = now;
    if (r->tokens > FED_REFUSALS_BURST) {
        r->tokens = FED_REFUSALS_BURST;
    }
    if (r->tokens < 1) {
        return false;
    }
    r->tokens -= 1;
    return true;
}

bool fed_refusals_next(fed_refusals *r, fed_refusal *out)
{
    pthread_mutex_lock(&r->lock);
    bool any = (r->n > 0 || r->others.n_attempts > 0) && take_token(r);
    if (any && r->n > 0) {
        *out = r->waiting[0];
        r->n--;
        memmove(r->waiting, r->waiting + 1, r->n * sizeof r->waiting[0]);
    } else if (any) {
        *out = r->others;
        memset(&r->others, 0, sizeof r->others);
    }
    pthread_mutex_unlock(&r->lock);
    return any;
}
