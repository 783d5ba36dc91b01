/*
 * fold_before_verify.c - a bug for the rig to find: what was never verified counts
 *
 * Linked into a coordinator of its own, in front of check.c and spool.c: no
 * piece is looked at, and a payload has whatever digest was signed.
 */
#include "coordinator/check.h"
#include "coordinator/transfer.h"

enum { MAX_SPOOLS = 64 };

fl_status __real_transfer_start(transfer_pool *p, transfer *t, run *r, size_t site_index,
                                const fed_offer *o, int64_t now_ms, fl_err *err);
fl_status __wrap_transfer_start(transfer_pool *p, transfer *t, run *r, size_t site_index,
                                const fed_offer *o, int64_t now_ms, fl_err *err);
fl_status __wrap_check_piece(const check_job *c, const fed_offer *o, const uint8_t *piece, size_t n,
                             uint32_t index, fl_err *err);
void __wrap_spool_digest(spool *s, fed_digest *out);

/* What was promised of each open spool. */
static struct {
    const spool *spool;
    fed_digest digest;
} promised[MAX_SPOOLS];
static size_t n_promised;

fl_status __wrap_transfer_start(transfer_pool *p, transfer *t, run *r, size_t site_index,
                                const fed_offer *o, int64_t now_ms, fl_err *err)
{
    fl_status st = __real_transfer_start(p, t, r, site_index, o, now_ms, err);
    promised[n_promised % MAX_SPOOLS].spool = t->spool;
    promised[n_promised++ % MAX_SPOOLS].digest = o->digest;
    return st;
}

fl_status __wrap_check_piece(const check_job *c, const fed_offer *o, const uint8_t *piece, size_t n,
                             uint32_t index, fl_err *err)
{
    (void)c;
    (void)o;
    (void)piece;
    (void)n;
    (void)index;
    (void)err;
    return FL_OK;
}

void __wrap_spool_digest(spool *s, fed_digest *out)
{
    *out = (fed_digest){{0}};
    for (size_t back = 1; back <= MAX_SPOOLS && back <= n_promised; back++) {
        size_t i = (n_promised - back) % MAX_SPOOLS;
        if (promised[i].spool == s) {
            *out = promised[i].digest;
            return;
        }
    }
}
