/*
 * heads.c - see heads.h
 */
#include "client/heads.h"

#include <string.h>

#include "base/log.h"
#include "client/receipts.h"
#include "fed/audit.h"

/* The last head whose signature was found good.  One process serves many sites, and one
 * coordinator tells all of them the same. */
static _Thread_local struct {
    fed_signature signature;
    fed_verify_key key;
    fed_digest job;
    char run[FED_NAME_BYTES];
    fed_audit_head head;
} good;

static bool is_signed(const fed_order *o, const fed_verify_key *key)
{
    if (memcmp(&good.signature, &o->head_signature, sizeof good.signature) == 0 &&
        memcmp(&good.key, key, sizeof good.key) == 0 && fed_digest_equal(&good.job, &o->key.job) &&
        strcmp(good.run, o->run) == 0 && fed_audit_head_equal(&good.head, &o->head)) {
        return true;
    }
    if (!fed_audit_verify(&o->head_signature, key, &o->key.job, o->run, &o->head)) {
        return false;
    }
    good.signature = o->head_signature;
    good.key = *key;
    good.job = o->key.job;
    memcpy(good.run, o->run, sizeof good.run);
    good.head = o->head;
    return true;
}

bool heads_keep(heads *k, const home *h, const fed_order *o)
{
    fl_err err = FL_ERR_INIT;
    if (!o->has_head) {
        return o->key.kind == FED_WAIT;
    }
    if (!is_signed(o, &h->coordinator_sign)) {
        return false;
    }
    bool is_kept = fed_digest_equal(&k->job, &o->key.job) &&
                   k->commit.n == o->committed.n && o->key.kind != FED_DONE;
    if (!is_kept && receipts_add_head(h, o, &err) != FL_OK) {
        fl_log(FL_LOG_ERROR, "receipts.write", "site=%s %s", h->site.text, err.text);
        return true;  // the hospital's own disk: the next one is kept
    }
    k->job = o->key.job;
    k->commit = o->committed;
    return true;
}
