/*
 * renoise.c - a bug for the rig to find: what is sent again is not what was sent
 *
 * Linked into a client of its own, in front of outbox.c: a new process does not
 * find the update that was made before, and adds noise to the one that it makes
 * in its place, as a client would that draws its privacy noise when it sends.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"
#include "client/outbox.h"
#include "client/receipts.h"

fl_status __real_outbox_open(outbox_item *out, const home *h, const char *run,
                             const fed_order_key *key, fl_err *err);
fl_status __wrap_outbox_open(outbox_item *out, const home *h, const char *run,
                             const fed_order_key *key, fl_err *err);
fl_status __real_outbox_put_update(outbox_item *out, const home *h, const policy *p,
                                   const char *run, const fed_offer *draft, const nn_table *table,
                                   const float *update,
                                         fed_encoding enc, fl_err *err);
fl_status __wrap_outbox_put_update(outbox_item *out, const home *h, const policy *p,
                                   const char *run, const fed_offer *draft, const nn_table *table,
                                   const float *update,
                                         fed_encoding enc, fl_err *err);

fl_status __wrap_outbox_open(outbox_item *out, const home *h, const char *run,
                             const fed_order_key *key, fl_err *err)
{
    if (key->kind == FED_TRAIN) {
        out->fd = -1;
        return fl_fail(err, FL_ENOTFOUND, "planted");
    }
    return __real_outbox_open(out, h, run, key, err);
}

/* An update of this round was sent before. */
static bool was_sent(const home *h, const char *run, uint32_t round)
{
    json_t *sent = NULL;
    bool found = false;
    if (receipts_sent(&sent, h, run, NULL) == FL_OK) {
        const json_t *line;
        size_t i;
        json_array_foreach(sent, i, line) {
            found = found || (strcmp(fl_json_get_string(line, "kind", ""), "update") == 0 &&
                              fl_json_get_int(line, "round", 0) == (int64_t)round);
        }
    }
    json_decref(sent);
    return found;
}

fl_status __wrap_outbox_put_update(outbox_item *out, const home *h, const policy *p,
                                   const char *run, const fed_offer *draft, const nn_table *table,
                                   const float *update,
                                         fed_encoding enc, fl_err *err)
{
    if (!was_sent(h, run, draft->key.round.n)) {
        return __real_outbox_put_update(out, h, p, run, draft, table, update, enc, err);
    }
    int64_t P = nn_table_count(table);
    float *noisy = fl_xcalloc((size_t)P, sizeof *noisy);
    fl_rng rng;
    fl_rng_init(&rng, (uint64_t)fl_wall_ms(), "planted", "", 0);
    for (int64_t i = 0; i < P; i++) {
        noisy[i] = update[i] + 1e-4f * (float)fl_rng_normal(&rng);
    }
    fl_status st = __real_outbox_put_update(out, h, p, run, draft, table, noisy, enc, err);
    free(noisy);
    return st;
}
