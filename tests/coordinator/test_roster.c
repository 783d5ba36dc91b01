/*
 * test_roster.c - invitations, enrolment, removal; the store underneath
 */
#include "check.h"

#include <pthread.h>

#include "coordinator/roster.h"
#include "coordinator/store.h"

static const int64_t day_ms = 86400000, now_ms = 1700000000000;

/* A roster in a folder, and an invitation to one site. */
typedef struct {
    char *dir, *path;
    roster *r;
    fed_invitation inv;
    fed_public_key one_time;
} setting;

static fed_invitation invitation_of(const char *site, int64_t expires_ms)
{
    fl_err err = FL_ERR_INIT;
    fed_invitation inv = {.expires_ms = expires_ms};
    fed_identity *key = fed_identity_new();
    check_ok(fed_site_id_parse(&inv.site, site, &err), err);
    inv.curve_public = fed_identity_public(key);
    memcpy(inv.id, inv.curve_public.bytes, sizeof inv.id);
    fed_identity_destroy(&key);
    return inv;
}

static setting setting_of(const char *site, int64_t expires_ms, bool confirm)
{
    fl_err err = FL_ERR_INIT;
    setting s = {.dir = check_tmpdir()};
    s.path = fl_path_join(s.dir, "federation.db");
    check_ok(roster_open(&s.r, s.path, &err), err);
    s.inv = invitation_of(site, expires_ms);
    check_ok(roster_invite(s.r, &s.inv, confirm, &err), err);
    return s;
}

static void clear(setting *s)
{
    roster_close(&s->r);
    free(s->path);
    check_rmdir(&s->dir);
}

static fed_enrol enrol_of(const fed_invitation *inv, const fed_identity *id)
{
    fed_enrol e = {.site = inv->site};
    fl_buf bytes = FL_BUF_INIT;
    memcpy(e.invitation, inv->id, sizeof inv->id);
    e.sign_key = fed_identity_verify(id);
    e.curve_key = fed_identity_public(id);
    fed_enrol_bytes(&e, &bytes);
    fed_sign(&e.signature, id, "consilium enrol 1", bytes.data, bytes.n);
    fl_buf_clear(&bytes);
    return e;
}

static void refused(setting *s, const fed_public_key *peer, const fed_enrol *e, int64_t when,
                    const char *why)
{
    fl_err err = FL_ERR_INIT;
    bool confirmed;
    check_fails(roster_enrol(s->r, peer, e, when, &confirmed, &err), FL_EDENIED);
    check_has(err.text, why);
}

static void an_invited_site_enrols_once_and_is_known_from_then_on(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    fed_identity *id = fed_identity_new();
    fed_public_key own = fed_identity_public(id);
    fed_enrol e = enrol_of(&s.inv, id);
    size_t site;
    bool confirmed;
    check_int(roster_at(s.r, 0)->status, ROSTER_INVITED);
    check_int(roster_who(s.r, &s.inv.curve_public, &site), ROSTER_ONE_TIME);
    check(roster_allow(s.r, &s.inv.curve_public) && !roster_allow(s.r, &own));

    check_ok(roster_enrol(s.r, &s.inv.curve_public, &e, now_ms, &confirmed, &err), err);
    check(confirmed);
    check_int(roster_who(s.r, &own, &site), ROSTER_SITE);
    check_str(roster_at(s.r, site)->name.text, "nord");
    check_int(roster_at(s.r, site)->status, ROSTER_ENROLLED);
    check_int(strlen(roster_at(s.r, site)->fingerprint), 39);

    roster_close(&s.r);  // and after a restart
    check_ok(roster_open(&s.r, s.path, &err), err);
    check(roster_allow(s.r, &own));
    fed_identity_destroy(&id);
    clear(&s);
}

static void the_same_keys_are_answered_again_and_other_keys_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    fed_identity *id = fed_identity_new(), *thief = fed_identity_new();
    fed_enrol e = enrol_of(&s.inv, id), stolen = enrol_of(&s.inv, thief);
    bool confirmed;
    check_ok(roster_enrol(s.r, &s.inv.curve_public, &e, now_ms, &confirmed, &err), err);
    confirmed = false;
    check_ok(roster_enrol(s.r, &s.inv.curve_public, &e, now_ms + 400 * day_ms, &confirmed, &err),
             err);  // even long after it expired
    check(confirmed);
    refused(&s, &s.inv.curve_public, &stolen, now_ms, "used already, with other keys");
    check_int(roster_n(s.r), 1);
    fed_identity_destroy(&id);
    fed_identity_destroy(&thief);
    clear(&s);
}

static void what_is_expired_forged_or_for_another_site_is_refused(void **state)
{
    (void)state;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    fed_identity *id = fed_identity_new(), *other = fed_identity_new();
    fed_enrol good = enrol_of(&s.inv, id), e;
    refused(&s, &s.inv.curve_public, &good, fl_wall_ms() + 2 * day_ms, "expired");

    e = good;
    e.signature.bytes[3] ^= 1;
    refused(&s, &s.inv.curve_public, &e, fl_wall_ms(), "not signed with the key it names");
    e = good;
    e.curve_key = fed_identity_public(other);  // the signature binds it
    refused(&s, &s.inv.curve_public, &e, fl_wall_ms(), "not signed");

    fed_invitation changed = s.inv;
    memcpy(changed.site.text, "sud\0", 4);
    e = enrol_of(&changed, id);
    refused(&s, &s.inv.curve_public, &e, fl_wall_ms(), "for nord, not for sud");
    changed = s.inv;
    changed.id[0] ^= 1;
    e = enrol_of(&changed, id);
    refused(&s, &s.inv.curve_public, &e, fl_wall_ms(), "id does not belong to its key");

    fed_public_key stranger = fed_identity_public(other);
    refused(&s, &stranger, &good, fl_wall_ms(), "not known");
    check_int(roster_at(s.r, 0)->status, ROSTER_INVITED);
    fed_identity_destroy(&id);
    fed_identity_destroy(&other);
    clear(&s);
}

static void one_key_is_one_site(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    fed_invitation second = invitation_of("sud", fl_wall_ms() + day_ms);
    fed_identity *id = fed_identity_new();
    fed_enrol e = enrol_of(&s.inv, id), twice = enrol_of(&second, id);
    bool confirmed;
    check_ok(roster_invite(s.r, &second, false, &err), err);
    check_ok(roster_enrol(s.r, &s.inv.curve_public, &e, now_ms, &confirmed, &err), err);
    refused(&s, &second.curve_public, &twice, fl_wall_ms(), "under another name");
    fed_identity_destroy(&id);
    clear(&s);
}

static void removal_revokes_keys_and_invitation_at_once_also_from_another_process(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    fed_identity *id = fed_identity_new();
    fed_public_key own = fed_identity_public(id);
    fed_enrol e = enrol_of(&s.inv, id);
    bool confirmed, changed;
    check_ok(roster_enrol(s.r, &s.inv.curve_public, &e, now_ms, &confirmed, &err), err);
    roster *other = NULL;  // as another process would
    check_ok(roster_open(&other, s.path, &err), err);
    check_ok(roster_refresh(s.r, fl_wall_ms(), &changed, &err), err);
    check(!changed);
    check_ok(roster_remove(other, "nord", &err), err);
    check_ok(roster_refresh(s.r, fl_wall_ms(), &changed, &err), err);
    check(changed);
    check(!roster_allow(s.r, &own) && !roster_allow(s.r, &s.inv.curve_public));
    refused(&s, &s.inv.curve_public, &e, fl_wall_ms(), "revoked");
    check_fails(roster_remove(s.r, "west", &err), FL_ENOTFOUND);

    fed_invitation again = invitation_of("nord", fl_wall_ms() + day_ms);
    check_ok(roster_invite(s.r, &again, false, &err), err);  // and may be invited anew
    check_int(roster_at(s.r, 0)->status, ROSTER_INVITED);
    roster_close(&other);
    fed_identity_destroy(&id);
    clear(&s);
}

static void a_new_invitation_replaces_the_open_one_and_an_enrolled_site_needs_none(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    fed_identity *id = fed_identity_new();
    fed_enrol old = enrol_of(&s.inv, id);
    fed_invitation second = invitation_of("nord", fl_wall_ms() + day_ms);
    bool confirmed;
    check_ok(roster_invite(s.r, &second, false, &err), err);
    check(!roster_allow(s.r, &s.inv.curve_public));
    refused(&s, &s.inv.curve_public, &old, fl_wall_ms(), "revoked");
    fed_enrol e = enrol_of(&second, id);
    check_ok(roster_enrol(s.r, &second.curve_public, &e, now_ms, &confirmed, &err), err);
    fed_invitation third = invitation_of("nord", fl_wall_ms() + day_ms);
    check_fails(roster_invite(s.r, &third, false, &err), FL_ECONFLICT);
    fed_identity_destroy(&id);
    clear(&s);
}

static void with_confirm_a_person_has_the_last_word(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, true);
    fed_identity *id = fed_identity_new();
    fed_enrol e = enrol_of(&s.inv, id);
    bool confirmed = true;
    check_fails(roster_confirm(s.r, "nord", &err), FL_ENOTFOUND);
    check_ok(roster_enrol(s.r, &s.inv.curve_public, &e, now_ms, &confirmed, &err), err);
    check(!confirmed);
    check_int(roster_at(s.r, 0)->status, ROSTER_UNCONFIRMED);
    check_ok(roster_confirm(s.r, "nord", &err), err);
    check_int(roster_at(s.r, 0)->status, ROSTER_ENROLLED);
    check_ok(roster_confirm(s.r, "nord", &err), err);  // twice is fine
    check_ok(roster_enrol(s.r, &s.inv.curve_public, &e, now_ms, &confirmed, &err), err);
    check(confirmed);
    fed_identity_destroy(&id);
    clear(&s);
}

static void an_invitation_that_runs_out_is_nobody_to_wait_for(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    bool changed;
    check_int(roster_n(s.r), 1);
    check_ok(roster_refresh(s.r, fl_wall_ms() + 2 * day_ms, &changed, &err), err);
    check(changed);
    check_int(roster_n(s.r), 0);
    check(roster_allow(s.r, &s.inv.curve_public));  // to be told why, in words
    clear(&s);
}

static void refusals_are_counted_by_what_reason_and_address(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    json_t *list = NULL;
    for (int i = 0; i < 1000; i++) {
        roster_refuse(s.r, "connection", "key is not on the list", "192.0.2.7", 1, now_ms + i);
    }
    roster_refuse(s.r, "enrol", "expired", "invitation of nord", 1, now_ms);
    check_ok(roster_flush(s.r, &err), err);
    roster_refuse(s.r, "connection", "key is not on the list", "192.0.2.7", 1, now_ms + 5000);
    check_ok(roster_refusals(&list, s.r, now_ms + 1, &err), err);
    check_int(json_array_size(list), 1);  // the other one is older
    check_int(fl_json_get_int(json_array_get(list, 0), "count", 0), 1001);
    check_str(fl_json_get_string(json_array_get(list, 0), "address", ""), "192.0.2.7");
    json_decref(list);
    for (int i = 0; i < 5000; i++) {  // a flood from everywhere stays small
        char address[32];
        snprintf(address, sizeof address, "198.51.%d.%d", i / 250, i % 250);
        roster_refuse(s.r, "connection", "no CURVE handshake", address, 1, now_ms + 6000);
    }
    check_ok(roster_refusals(&list, s.r, now_ms + 6000, &err), err);
    check(json_array_size(list) <= 256);
    json_decref(list);
    for (int i = 0; i < 20000; i++) {  // and so does a liar who never says the same twice
        char reason[64];
        snprintf(reason, sizeof reason, "n: expected a whole number, found 0.%d", i);
        roster_refuse(s.r, "contribution", reason, "site nord", 1, now_ms + 7000);
        if (i % 200 == 199) {
            check_ok(roster_flush(s.r, &err), err);
        }
    }
    check_ok(roster_refusals(&list, s.r, now_ms + 7000, &err), err);
    check(json_array_size(list) <= 10300);
    json_decref(list);
    clear(&s);
}

static void what_sites_say_of_themselves_is_kept(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    fed_identity *id = fed_identity_new();
    fed_enrol e = enrol_of(&s.inv, id);
    bool confirmed;
    check_ok(roster_enrol(s.r, &s.inv.curve_public, &e, now_ms, &confirmed, &err), err);
    roster_seen(s.r, 0, 2, "consilium 0.1.0", "oneDNN 2.6.3", now_ms + 7);
    check_ok(roster_flush(s.r, &err), err);
    roster_close(&s.r);
    check_ok(roster_open(&s.r, s.path, &err), err);
    check_str(roster_at(s.r, 0)->software, "consilium 0.1.0");
    check_int(roster_at(s.r, 0)->protocol, 2);
    check_int(roster_at(s.r, 0)->seen_ms, now_ms + 7);

    fed_invitation second = invitation_of("sud", fl_wall_ms() + day_ms);  // others enrol meanwhile
    fed_identity *other = fed_identity_new();
    fed_enrol sud = enrol_of(&second, other);
    roster_seen(s.r, 0, FED_PROTOCOL_VERSION, "consilium 0.2.0", "oneDNN 3.1", now_ms + 9);
    check_ok(roster_invite(s.r, &second, false, &err), err);
    check_str(roster_at(s.r, 0)->environment, "oneDNN 3.1");
    roster_seen(s.r, 0, FED_PROTOCOL_VERSION, "consilium 0.2.0", "oneDNN 3.2", now_ms + 9);
    check_ok(roster_enrol(s.r, &second.curve_public, &sud, now_ms, &confirmed, &err), err);
    check_str(roster_at(s.r, 0)->environment, "oneDNN 3.2");
    fed_identity_destroy(&other);
    fed_identity_destroy(&id);
    clear(&s);
}

/* A rotation, as two roster handles of one federation see it: the first name of the other's
 * invitation goes before all that are here. */
static void what_another_changed_is_unheard_of_while_a_site_rotates_and_news_after_it(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    fed_identity *old = fed_identity_new(), *new = fed_identity_new(),
                 *their = fed_identity_new();
    fed_public_key old_key = fed_identity_public(old), new_key = fed_identity_public(new);
    fed_invitation sud = invitation_of("sud", fl_wall_ms() + day_ms),
                   alt = invitation_of("alt", fl_wall_ms() + day_ms);
    fed_enrol e = enrol_of(&s.inv, old), theirs = enrol_of(&sud, their);
    fed_rotation rotation;
    roster *other = NULL;
    bool changed, confirmed;
    size_t site = 9;
    check_ok(roster_invite(s.r, &sud, false, &err), err);
    check_ok(roster_enrol(s.r, &s.inv.curve_public, &e, fl_wall_ms(), &confirmed, &err), err);
    check_ok(roster_enrol(s.r, &sud.curve_public, &theirs, fl_wall_ms(), &confirmed, &err), err);
    check_ok(roster_open(&other, s.path, &err), err);
    fed_rotation_make(&rotation, &s.inv.site, old, new);
    for (int used = 0; used < 2; used++) {
        if (used == 0) {
            check_ok(roster_remove(other, "sud", &err), err);
            check_ok(roster_rotate(s.r, 0, &rotation, fl_wall_ms(), &err), err);
        } else {
            check_ok(roster_invite(other, &alt, false, &err), err);
            check_ok(roster_used_new_key(s.r, 0, &err), err);
        }
        check_int(roster_n(s.r), 2);
        check_str(roster_at(s.r, 0)->name.text, "nord");
        check_int(roster_who(s.r, &new_key, &site), ROSTER_SITE);
        check_int(site, 0);
        check_int(roster_who(s.r, &old_key, &site), used == 0 ? ROSTER_FORMER : ROSTER_STRANGER);
        check_int(roster_at(s.r, 0)->knows_old_key, used == 0);
        check_ok(roster_refresh(s.r, fl_wall_ms(), &changed, &err), err);
        check(changed);
        roster *again = NULL;  // what is kept up to date in memory is what the database says
        check_ok(roster_open(&again, s.path, &err), err);
        size_t here = (size_t)roster_find(s.r, "nord");
        check_int(roster_n(again), roster_n(s.r));
        check_str(roster_at(again, here)->fingerprint, roster_at(s.r, here)->fingerprint);
        check_int(roster_who(again, &old_key, &site),
                  used == 0 ? ROSTER_FORMER : ROSTER_STRANGER);
        roster_close(&again);
    }
    check_str(roster_at(s.r, 0)->name.text, "alt");
    check_int(roster_at(s.r, 2)->status, ROSTER_REMOVED);
    roster_close(&other);
    fed_identity_destroy(&old);
    fed_identity_destroy(&new);
    fed_identity_destroy(&their);
    clear(&s);
}

/* The clock was set back after the invitation had run out here: the site is in its place. */
static void who_enrols_after_all_stands_among_the_others(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + 2 * day_ms, false);
    fed_invitation late = invitation_of("alt", fl_wall_ms() + day_ms);
    fed_identity *nord = fed_identity_new(), *alt = fed_identity_new();
    fed_public_key nord_key = fed_identity_public(nord), alt_key = fed_identity_public(alt);
    fed_enrol first = enrol_of(&s.inv, nord), second = enrol_of(&late, alt);
    bool changed, confirmed;
    size_t site = 9;
    check_ok(roster_invite(s.r, &late, false, &err), err);
    check_ok(roster_enrol(s.r, &s.inv.curve_public, &first, fl_wall_ms(), &confirmed, &err), err);
    check_ok(roster_refresh(s.r, fl_wall_ms() + day_ms + 1, &changed, &err), err);
    check_int(roster_n(s.r), 1);
    check_ok(roster_enrol(s.r, &late.curve_public, &second, fl_wall_ms(), &confirmed, &err), err);
    check_int(roster_n(s.r), 2);
    check_int(roster_who(s.r, &alt_key, &site), ROSTER_SITE);
    check_int(site, 0);
    check_int(roster_who(s.r, &nord_key, &site), ROSTER_SITE);
    check_int(site, 1);
    check_str(roster_at(s.r, 0)->name.text, "alt");
    check_str(roster_at(s.r, 1)->name.text, "nord");
    fed_identity_destroy(&nord);
    fed_identity_destroy(&alt);
    clear(&s);
}

static void what_another_changed_is_news_also_after_an_enrolment(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    fed_invitation sud = invitation_of("sud", fl_wall_ms() + day_ms);
    fed_identity *id = fed_identity_new();
    fed_enrol e = enrol_of(&s.inv, id);
    bool changed, confirmed;
    check_ok(roster_invite(s.r, &sud, false, &err), err);
    check_ok(roster_refresh(s.r, fl_wall_ms(), &changed, &err), err);
    check(!changed);
    roster *other = NULL;
    check_ok(roster_open(&other, s.path, &err), err);
    check_ok(roster_remove(other, "sud", &err), err);
    roster_close(&other);
    check_ok(roster_enrol(s.r, &s.inv.curve_public, &e, fl_wall_ms(), &confirmed, &err), err);
    check_ok(roster_refresh(s.r, fl_wall_ms(), &changed, &err), err);
    check(changed);
    check_ok(roster_refresh(s.r, fl_wall_ms(), &changed, &err), err);
    check(!changed);
    fed_identity_destroy(&id);
    clear(&s);
}

enum { N_MANY = 300 };

typedef struct {
    const char *path;
    const fed_invitation *inv;  // [N_MANY]
} enrolling;

/* Another process, as it were: a roster of its own. */
static void *enrol_all(void *ctx)
{
    const enrolling *e = ctx;
    roster *r = NULL;
    fl_err err = FL_ERR_INIT;
    bool confirmed;
    check_ok(roster_open(&r, e->path, &err), err);
    for (int i = 0; i < N_MANY; i++) {
        fed_identity *id = fed_identity_new();
        fed_enrol enrol = enrol_of(&e->inv[i], id);
        check_ok(roster_enrol(r, &e->inv[i].curve_public, &enrol, fl_wall_ms(), &confirmed, &err),
                 err);
        fed_identity_destroy(&id);
    }
    roster_close(&r);
    return NULL;
}

static size_t n_enrolled(const roster *r)
{
    size_t n = 0;
    for (size_t i = 0; i < roster_n(r); i++) {
        n += roster_at(r, i)->status == ROSTER_ENROLLED;
    }
    return n;
}

static void who_enrols_while_another_looks_is_invited_or_enrolled_never_neither(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    static fed_invitation many[N_MANY];
    for (int i = 0; i < N_MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "site-%03d", i);
        many[i] = invitation_of(name, fl_wall_ms() + day_ms);
    }
    check_ok(roster_invite_all(s.r, many, N_MANY, false, &err), err);
    enrolling e = {.path = s.path, .inv = many};
    pthread_t other;
    bool changed;
    check(pthread_create(&other, NULL, enrol_all, &e) == 0);
    while (n_enrolled(s.r) < N_MANY) {
        check_ok(roster_refresh(s.r, fl_wall_ms(), &changed, &err), err);
        check_int(roster_n(s.r), N_MANY + 1);
    }
    pthread_join(other, NULL);
    clear(&s);
}

// -------------------------------------------------------------------- store

static void what_was_not_committed_is_gone_and_what_was_is_not(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "x.db");
    store *s = NULL;
    const char *schema = "CREATE TABLE t (a INTEGER, b TEXT, c REAL, d BLOB)";
    const char *insert = "INSERT INTO t VALUES (?, ?, ?, ?)";
    check_ok(store_open(&s, path, "test", 1, schema, &err), err);
    check_ok(store_begin(s, &err), err);
    check_ok(
        store_do(s, &err, insert, "itdb", (int64_t)1, "one", 1.5, (const void *)"\0\1", (size_t)2),
        err);
    check_ok(store_commit(s, &err), err);
    check_ok(store_begin(s, &err), err);
    check_ok(store_do(s, &err, insert, "itdb", (int64_t)2, (const char *)NULL, NAN,
                      (const void *)NULL, (size_t)0),
             err);
    store_close(&s);  // as a crash does

    check_ok(store_open(&s, path, "test", 1, schema, &err), err);
    fl_status st = store_find(s, &err, "SELECT a, b, c, d FROM t", "");
    int rows = 0;
    uint8_t two[2];
    while (st == FL_OK && store_row(s, &st, &err)) {
        rows++;
        check_int(store_int(s, 0), 1);
        check_str(store_text(s, 1), "one");
        check_near(store_num(s, 2), 1.5, 0);
        check_ok(store_copy(s, 3, two, 2, &err), err);
        check_int(two[1], 1);
        check_fails(store_copy(s, 3, two, 1, &err), FL_EFORMAT);
    }
    check_ok(st, err);
    check_int(rows, 1);
    store_close(&s);
    check_fails(store_open(&s, path, "other", 1, schema, &err), FL_EUNSUPPORTED);
    check_fails(store_open(&s, path, "test", 2, schema, &err), FL_EUNSUPPORTED);
    check_ok(fl_file_write(path,
                           "this is no database, and long enough to be sure of it ............", 64,
                           0644, &err),
             err);
    check_fails(store_open(&s, path, "test", 1, schema, &err), FL_EFORMAT);
    free(path);
    check_rmdir(&dir);
}

/* Thousands are invited at once and enrol one after the other: what is kept up to date in memory is
 * what the database says. */
static void many_are_invited_at_once_and_known_one_by_one(void **state)
{
    (void)state;
    enum { N = 60 };
    fl_err err = FL_ERR_INIT;
    setting s = setting_of("nord", fl_wall_ms() + day_ms, false);
    fed_identity *id[N + 1];
    fed_invitation *inv = fl_xcalloc(N + 1, sizeof *inv);
    bool confirmed;
    id[N] = fed_identity_new();
    fed_enrol first = enrol_of(&s.inv, id[N]);
    check_ok(roster_enrol(s.r, &s.inv.curve_public, &first, fl_wall_ms(), &confirmed, &err), err);
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "site-%02d", (i * 37) % N);
        inv[i] = invitation_of(name, fl_wall_ms() + day_ms);
    }
    inv[N] = invitation_of("nord", fl_wall_ms() + day_ms);
    check_fails(roster_invite_all(s.r, inv, N + 1, false, &err), FL_ECONFLICT);
    check_int(roster_n(s.r), 1);  // none of them
    check_ok(roster_invite_all(s.r, inv, N, false, &err), err);
    check_int(roster_n(s.r), N + 1);
    for (int i = 0; i < N; i++) {
        id[i] = fed_identity_new();
        fed_enrol e = enrol_of(&inv[i], id[i]);
        check_ok(roster_enrol(s.r, &inv[i].curve_public, &e, fl_wall_ms(), &confirmed, &err), err);
        check(confirmed);
    }
    roster *again = NULL;
    check_ok(roster_open(&again, s.path, &err), err);
    check_int(roster_n(again), roster_n(s.r));
    for (int i = 0; i <= N; i++) {
        fed_public_key key = fed_identity_public(id[i]);
        size_t here = 0, there = 0;
        check_int(roster_who(s.r, &key, &here), ROSTER_SITE);
        check_int(roster_who(again, &key, &there), ROSTER_SITE);
        check_int(here, there);
        check_str(roster_at(s.r, here)->name.text, i < N ? inv[i].site.text : "nord");
        check_str(roster_at(s.r, here)->fingerprint, roster_at(again, there)->fingerprint);
        check_int(roster_at(s.r, here)->status, ROSTER_ENROLLED);
        check(roster_allow(s.r, &key));
        fed_identity_destroy(&id[i]);
    }
    roster_close(&again);
    free(inv);
    clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_invited_site_enrols_once_and_is_known_from_then_on),
        cmocka_unit_test(the_same_keys_are_answered_again_and_other_keys_are_refused),
        cmocka_unit_test(what_is_expired_forged_or_for_another_site_is_refused),
        cmocka_unit_test(one_key_is_one_site),
        cmocka_unit_test(many_are_invited_at_once_and_known_one_by_one),
        cmocka_unit_test(removal_revokes_keys_and_invitation_at_once_also_from_another_process),
        cmocka_unit_test(a_new_invitation_replaces_the_open_one_and_an_enrolled_site_needs_none),
        cmocka_unit_test(with_confirm_a_person_has_the_last_word),
        cmocka_unit_test(an_invitation_that_runs_out_is_nobody_to_wait_for),
        cmocka_unit_test(refusals_are_counted_by_what_reason_and_address),
        cmocka_unit_test(what_sites_say_of_themselves_is_kept),
        cmocka_unit_test(what_another_changed_is_unheard_of_while_a_site_rotates_and_news_after_it),
        cmocka_unit_test(who_enrols_after_all_stands_among_the_others),
        cmocka_unit_test(what_another_changed_is_news_also_after_an_enrolment),
        cmocka_unit_test(who_enrols_while_another_looks_is_invited_or_enrolled_never_neither),
        cmocka_unit_test(what_was_not_committed_is_gone_and_what_was_is_not),
    };
    fed_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
