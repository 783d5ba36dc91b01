/*
 * serve_keys.c - the coordinator's new keys, until every site knows them
 *
 * See renewal.h.  A rotation is a level, as an order is: it is said to each site that does not
 * know it, on each of its connections, until it is answered; so a site that was away learns it
 * when it comes back.  Another process may begin one, or lose patience, at any time.
 */
#include "coordinator/renewal.h"
#include "coordinator/serve_inside.h"

#include "base/log.h"

enum { ROTATE_EVERY_MS = 3000 };

static void tell_rotation(session *x, const fed_rotation *rotation, int64_t now_ms)
{
    fed_msg m = {.type = FED_MSG_ROTATE, .u.rotate = *rotation};
    if (x->rotate_ms != 0 && now_ms - x->rotate_ms < ROTATE_EVERY_MS) {
        return;
    }
    if (x->version < RENEWAL_SINCE) {
        if (x->rotate_ms == 0) {
            fl_log(FL_LOG_WARN, "keys.untold",
                   "site=%s its client is too old to learn the coordinator's new keys: upgrade it",
                   x->site.text);
            serve_warn(x, "the coordinator's keys are about to change, and this client is too old to "
                          "learn the new ones: upgrade it, without which it will not get through");
        }
    } else if (serve_send(x, &m) != FL_OK) {
        return;  // its queue is full
    }
    x->rotate_ms = now_ms;
}

void serve_tend_keys(serve *s, int64_t now_ms)
{
    fed_rotation rotation;
    if (!renewal_pending(&rotation, s->cfg.fed)) {
        return;
    }
    for (size_t i = 0; i < s->n_sessions; i++) {
        session *x = s->sessions[i];
        if (x != NULL && x->connected &&
            memcmp(&roster_at(s->sites, i)->knows, &rotation.sign, sizeof rotation.sign) != 0) {
            tell_rotation(x, &rotation, now_ms);
        }
    }
    s->wants_new_keys = renewal_is_due(s->cfg.fed, s->sites, &rotation);
}

void serve_on_rotated(session *x, const fed_msg *m, size_t entry)
{
    serve *s = x->serve;
    fed_rotation rotation;
    if (!renewal_pending(&rotation, s->cfg.fed) ||
        memcmp(&rotation.sign, &m->u.rotated.sign, sizeof rotation.sign) != 0) {
        return;  // an answer to what was said twice
    }
    if (m->u.rotated.accepted) {
        roster_knows(s->sites, entry, &rotation.sign);
    } else {
        fl_log(FL_LOG_WARN, "keys.unwanted", "site=%s %s", x->site.text, m->u.rotated.text);
    }
}
