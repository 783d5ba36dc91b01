/*
 * serve_enrol.c - who comes with keys: an invited site with its first, a site with new ones
 *
 * The roster judges (roster.h); what it took in, sessions and runs follow at once.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/sys.h"
#include "coordinator/serve_inside.h"

/* Has a former home of the site answered the job of a run? */
static bool has_answered(serve *s, const fed_site_id *name)
{
    bool answered = false;
    for (size_t i = 0; i < s->n_runs; i++) {
        size_t site = run_site(s->runs[i], name, fl_now_ms());
        answered = answered || round_at(run_machine(s->runs[i]), site)->check != ROUND_CHECK_ASKED;
    }
    return answered;
}

fl_status serve_on_enrol(serve *s, const fed_packet *packet, const fed_enrol *e, uint32_t version,
                         fl_err *err)
{
    fl_err why = FL_ERR_INIT;
    fed_msg m = {.type = FED_MSG_ENROLLED};
    fl_status st = roster_enrol(s->sites, &packet->peer, e, fl_wall_ms(), &m.u.enrolled.confirmed,
                                &why);
    if (st == FL_EFULL || st == FL_EIO) {  // our disk: no answer, so that it asks again
        return fl_fail(err, st, "%s", why.text);
    }
    if (st != FL_OK) {
        char address[64];
        snprintf(address, sizeof address, "invitation of %.40s", e->site.text);
        roster_refuse(s->sites, "enrol", why.text, address, 1, fl_wall_ms());
        fl_log(FL_LOG_WARN, "enrol.refused", "site=%s reason=\"%s\"", e->site.text, why.text);
        serve_send_refused(s, &packet->route, st, why.text);
        return FL_OK;
    }
    char fingerprint[FED_FINGERPRINT_BYTES];
    fed_fingerprint(fingerprint, &e->curve_key, &e->sign_key);
    fl_log(FL_LOG_INFO, "enrol", "site=%s fingerprint=%s confirmed=%s", e->site.text, fingerprint,
           m.u.enrolled.confirmed ? "yes" : "no");
    if (!m.u.enrolled.confirmed) {
        fl_log(FL_LOG_WARN, "enrol.confirm",
               "site=%s it takes part once a person has compared this fingerprint with the "
               "hospital's people: consilium-coordinator sites %s --confirm %s",
               e->site.text, s->cfg.fed->dir, e->site.text);
    }
    m.u.enrolled.site = e->site;
    snprintf(m.u.enrolled.federation, sizeof m.u.enrolled.federation, "%s", s->cfg.fed->name);
    serve_send_to(s, &packet->route, version, &m, NULL, 0);
    if (roster_n(s->sites) == s->n_sessions) {
        serve_follow_site(s, &e->site);
    } else {
        serve_follow_roster(s);
    }
    /* Before the new home says a word it is one that is asked about the job. */
    return has_answered(s, &e->site) ? serve_commit(s, fl_now_ms(), err) : FL_OK;
}

fl_status serve_on_rotate(serve *s, size_t entry, const fed_packet *packet,
                          const fed_rotation *rotation, uint32_t version, fl_err *err)
{
    session *x = s->sessions[entry];
    fl_err why = FL_ERR_INIT;
    fed_msg m = {.type = FED_MSG_ROTATED};
    if (x != NULL && x->transfer.up == TRANSFER_COMMITTING) {
        return FL_OK;  // signed with the old key, and not in the record yet; said again
    }
    const fed_verify_key before = roster_at(s->sites, entry)->sign;
    fl_status st = roster_rotate(s->sites, entry, rotation, fl_wall_ms(), &why);
    if (st == FL_EFULL || st == FL_EIO) {
        return fl_fail(err, st, "%s", why.text);
    }
    char who[64], fingerprint[FED_FINGERPRINT_BYTES];
    snprintf(who, sizeof who, "site %s", roster_at(s->sites, entry)->name.text);
    fed_fingerprint(fingerprint, &rotation->curve, &rotation->sign);
    m.u.rotated.sign = rotation->sign;
    m.u.rotated.accepted = st == FL_OK;
    if (st != FL_OK) {
        roster_refuse(s->sites, "rotation", why.text, who, 1, fl_wall_ms());
        snprintf(m.u.rotated.text, sizeof m.u.rotated.text, "%.500s", why.text);
    }
    fl_log(st == FL_OK ? FL_LOG_INFO : FL_LOG_WARN, "site.rotation", "%s fingerprint=%s %s", who,
           fingerprint, m.u.rotated.text);
    serve_send_to(s, &packet->route, version, &m, NULL, 0);
    if (memcmp(&before, &roster_at(s->sites, entry)->sign, sizeof before) != 0) {
        serve_follow_site(s, &rotation->site);
    }
    return FL_OK;
}
