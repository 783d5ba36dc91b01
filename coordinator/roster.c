/*
 * roster.c - see roster.h
 */
#include "coordinator/roster_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"

/*
 * site        a row for every name that ever enrolled; status: 1 unconfirmed,
 *             2 enrolled, 3 removed (roster_status)
 * invitation  state: 0 open, 1 used by used_curve and used_sign, 2 revoked
 * refusal     one row for each (what, reason, address), counted
 */
static const char schema[] =
    "CREATE TABLE site (name TEXT PRIMARY KEY, status INTEGER NOT NULL, curve BLOB NOT NULL,"
    " sign BLOB NOT NULL, enrolled_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL DEFAULT 0,"
    " software TEXT NOT NULL DEFAULT '', environment TEXT NOT NULL DEFAULT '');"
    "CREATE UNIQUE INDEX site_curve ON site (curve) WHERE status <> 3;"
    "CREATE TABLE invitation (id BLOB PRIMARY KEY, site TEXT NOT NULL, curve BLOB NOT NULL UNIQUE,"
    " expires_ms INTEGER NOT NULL, confirm INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,"
    " used_curve BLOB, used_sign BLOB);"
    "CREATE TABLE refusal (what TEXT, reason TEXT, address TEXT, count INTEGER NOT NULL,"
    " first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, PRIMARY KEY (what, reason, address));";

/* rotation  in order; is_open: the old transport key may still speak.  statement: JSON
 * knows     the coordinator's next signing key, of a site that said that it has it
 * speaks    a site's protocol */
static const char added[] =
    "CREATE TABLE IF NOT EXISTS rotation (n INTEGER PRIMARY KEY, site TEXT NOT NULL,"
    " old_curve BLOB NOT NULL, statement TEXT NOT NULL, at_ms INTEGER NOT NULL,"
    " is_open INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS knows (site TEXT PRIMARY KEY, sign BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS speaks (site TEXT PRIMARY KEY, version INTEGER NOT NULL);";

enum { INVITATION_OPEN, INVITATION_USED, INVITATION_REVOKED };

const char *roster_status_text(roster_status status)
{
    static const char *const text[] = {"invited", "unconfirmed", "enrolled", "removed"};
    return text[status];
}

// ----------------------------------------------------------------- snapshot

static roster_site *append_site(roster *r)
{
    r->sites = fl_xrealloc(r->sites, r->n_sites + 1, sizeof *r->sites);
    roster_site *s = &r->sites[r->n_sites++];
    memset(s, 0, sizeof *s);
    return s;
}

static fl_status load_sites(roster *r, fl_err *err)
{
    fl_status st = store_find(
        r->db, err,
        "SELECT name, status, curve, s.sign, enrolled_ms, seen_ms, software, environment, k.sign,"
        " p.version FROM site s LEFT JOIN knows k ON k.site = s.name"
        " LEFT JOIN speaks p ON p.site = s.name",
        "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        roster_site *s = append_site(r);
        s->status = (roster_status)store_int(r->db, 1);
        s->enrolled_ms = store_int(r->db, 4);
        s->seen_ms = store_int(r->db, 5);
        snprintf(s->software, sizeof s->software, "%s", store_text(r->db, 6));
        snprintf(s->environment, sizeof s->environment, "%s", store_text(r->db, 7));
        if ((st = fed_site_id_parse(&s->name, store_text(r->db, 0), err)) != FL_OK ||
            (st = store_copy(r->db, 2, &s->curve, sizeof s->curve, err)) != FL_OK ||
            (st = store_copy(r->db, 3, &s->sign, sizeof s->sign, err)) != FL_OK) {
            store_end(r->db);
            break;
        }
        size_t n_knows = 0;
        if (store_bytes(r->db, 8, &n_knows) != NULL && n_knows == sizeof s->knows) {
            st = store_copy(r->db, 8, &s->knows, sizeof s->knows, err);
        }
        s->protocol = (uint32_t)store_int(r->db, 9);  // 0 for none
        fed_fingerprint(s->fingerprint, &s->curve, &s->sign);
    }
    return st;
}

static void add_key(known_key **keys, size_t *n, const fed_public_key *key, int site)
{
    *keys = fl_xrealloc(*keys, *n + 1, sizeof **keys);
    (*keys)[(*n)++] = (known_key){.key = *key, .site = site};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const roster_site *)a)->name.text, ((const roster_site *)b)->name.text);
}

/* Transport keys of before a rotation that may still speak.  The sites are sorted. */
static fl_status load_former(roster *r, known_key **keys, size_t *n_keys, fl_err *err)
{
    fl_status st = store_find(r->db, err, "SELECT site, old_curve FROM rotation WHERE is_open = 1",
                              "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        fed_public_key key;
        int site = roster_find(r, store_text(r->db, 0));
        if ((st = store_copy(r->db, 1, &key, sizeof key, err)) != FL_OK) {
            store_end(r->db);
            break;
        }
        if (site >= 0 && r->sites[site].status == ROSTER_ENROLLED) {
            add_key(keys, n_keys, &key, site);
            (*keys)[*n_keys - 1].former = true;
            r->sites[site].knows_old_key = true;
        }
    }
    return st;
}

/* Open invitations, one a site at most, make it "invited" where no keys are enrolled.  The sites
 * are sorted; new ones are appended. */
static fl_status load_invitations(roster *r, known_key **keys, size_t *n_keys, int64_t wall_ms,
                                  fl_err *err)
{
    r->next_expiry = INT64_MAX;
    size_t n_sorted = r->n_sites;
    fl_status st = store_find(
        r->db, err, "SELECT site, curve, expires_ms, state FROM invitation WHERE state <> 2", "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        fed_public_key key;
        fed_site_id name;
        if ((st = fed_site_id_parse(&name, store_text(r->db, 0), err)) != FL_OK ||
            (st = store_copy(r->db, 1, &key, sizeof key, err)) != FL_OK) {
            store_end(r->db);
            break;
        }
        int64_t expires = store_int(r->db, 2);
        add_key(keys, n_keys, &key, -1);
        if (store_int(r->db, 3) != INVITATION_OPEN || expires <= wall_ms) {
            continue;
        }
        r->next_expiry = expires < r->next_expiry ? expires : r->next_expiry;
        roster_site wanted = {.name = name};
        roster_site *s = n_sorted == 0
                             ? NULL
                             : bsearch(&wanted, r->sites, n_sorted, sizeof *r->sites, by_name);
        if (s == NULL) {
            s = append_site(r);
        } else if (s->status != ROSTER_REMOVED) {
            continue;  // enrolled meanwhile
        }
        *s = (roster_site){.name = name, .status = ROSTER_INVITED, .expires_ms = expires};
    }
    return st;
}

static int by_key(const void *a, const void *b)
{
    return memcmp(&((const known_key *)a)->key, &((const known_key *)b)->key,
                  sizeof(fed_public_key));
}

/* qsort takes no NULL, not even for nothing. */
static void sort(void *items, size_t n, size_t size, int (*order)(const void *, const void *))
{
    if (n > 0) {
        qsort(items, n, size, order);
    }
}

static fl_status load_all(roster *r, known_key **keys, size_t *n_keys, int64_t wall_ms, fl_err *err)
{
    fl_status st;
    if ((st = load_sites(r, err)) != FL_OK) {
        return st;
    }
    sort(r->sites, r->n_sites, sizeof *r->sites, by_name);
    if ((st = load_invitations(r, keys, n_keys, wall_ms, err)) != FL_OK) {
        return st;
    }
    sort(r->sites, r->n_sites, sizeof *r->sites, by_name);
    for (size_t i = 0; i < r->n_sites; i++) {
        if (r->sites[i].status == ROSTER_ENROLLED || r->sites[i].status == ROSTER_UNCONFIRMED) {
            add_key(keys, n_keys, &r->sites[i].curve, (int)i);
        }
    }
    return load_former(r, keys, n_keys, err);
}

/* Of one moment: who enrols between two readings is neither invited any more nor a site yet. */
static fl_status load(roster *r, int64_t wall_ms, fl_err *err)
{
    known_key *keys = NULL;
    size_t n_keys = 0;
    r->n_sites = 0;
    r->version = store_version(r->db);
    fl_status st = store_begin_reading(r->db, err);
    if (st == FL_OK) {
        st = load_all(r, &keys, &n_keys, wall_ms, err);
    }
    store_rollback(r->db);
    if (st != FL_OK) {
        free(keys);
        return st;
    }
    sort(keys, n_keys, sizeof *keys, by_key);
    pthread_mutex_lock(&r->mutex);
    known_key *old = r->keys;
    r->keys = keys;
    r->n_keys = n_keys;
    pthread_mutex_unlock(&r->mutex);
    free(old);
    return FL_OK;
}

typedef fl_status (*opener)(store **out, const char *path, const char *name, int version,
                            const char *schema, fl_err *err);

static fl_status open_with(roster **out, opener open, const char *path, fl_err *err)
{
    *out = NULL;
    roster *r = fl_xcalloc(1, sizeof *r);
    pthread_mutex_init(&r->mutex, NULL);
    fl_status st;
    if ((st = open(&r->db, path, "federation", 1, schema, err)) != FL_OK ||
        (st = store_extend(r->db, added, err)) != FL_OK ||
        (st = load(r, fl_wall_ms(), err)) != FL_OK) {
        roster_close(&r);
        return st;
    }
    *out = r;
    return FL_OK;
}

fl_status roster_open(roster **out, const char *path, fl_err *err)
{
    return open_with(out, store_open, path, err);
}

fl_status roster_look(roster **out, const char *path, fl_err *err)
{
    return open_with(out, store_look, path, err);
}

void roster_close(roster **r)
{
    if (*r == NULL) {
        return;
    }
    store_close(&(*r)->db);
    pthread_mutex_destroy(&(*r)->mutex);
    free((*r)->sites);
    free((*r)->keys);
    FL_FREE(*r);
}

fl_status roster_refresh(roster *r, int64_t wall_ms, bool *changed, fl_err *err)
{
    *changed = store_version(r->db) != r->version || wall_ms >= r->next_expiry;
    if (!*changed) {
        return FL_OK;
    }
    fl_status st = roster_flush(r, err);
    return st == FL_OK ? load(r, wall_ms, err) : st;
}

size_t roster_n(const roster *r)
{
    return r->n_sites;
}

const roster_site *roster_at(const roster *r, size_t i)
{
    FL_REQUIRE(i < r->n_sites);
    return &r->sites[i];
}

int roster_find(const roster *r, const char *name)
{
    size_t low = 0, high = r->n_sites;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, r->sites[middle].name.text);
        if (order == 0) {
            return (int)middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return -1;
}

/* Under the mutex, or on the roster's own thread. */
static const known_key *find_key(const roster *r, const fed_public_key *key)
{
    known_key wanted = {.key = *key};
    return r->n_keys == 0 ? NULL : bsearch(&wanted, r->keys, r->n_keys, sizeof *r->keys, by_key);
}

roster_peer roster_who(const roster *r, const fed_public_key *key, size_t *site)
{
    const known_key *found = find_key(r, key);
    if (found == NULL) {
        return ROSTER_STRANGER;
    }
    if (found->site < 0) {
        return ROSTER_ONE_TIME;
    }
    *site = (size_t)found->site;
    return found->former ? ROSTER_FORMER : ROSTER_SITE;
}

bool roster_allow(void *ctx, const fed_public_key *key)
{
    roster *r = ctx;
    pthread_mutex_lock(&r->mutex);
    bool known = find_key(r, key) != NULL;
    pthread_mutex_unlock(&r->mutex);
    return known;
}

// ------------------------------------------------------------------ changes

/* Ends a change: commits, or leaves all as it was. */
static fl_status end(roster *r, fl_status st, fl_err *err)
{
    if (st == FL_OK) {
        st = store_commit(r->db, err);
    }
    store_rollback(r->db);
    return st;
}

/* Likewise, with a new snapshot: of a person's command. */
static fl_status finish(roster *r, fl_status st, fl_err *err)
{
    return (st = end(r, st, err)) == FL_OK ? load(r, fl_wall_ms(), err) : st;
}

/* Begins a change.  What sites said of themselves is saved first, for finish ends it with a new
 * snapshot from the disk. */
static fl_status begin(roster *r, fl_err *err)
{
    fl_status st = roster_flush(r, err);
    return st == FL_OK ? store_begin(r->db, err) : st;
}

static fl_status put_invitation(roster *r, const fed_invitation *inv, bool confirm, fl_err *err)
{
    const char *site = inv->site.text;
    int known = roster_find(r, site);
    if (known >= 0 && (r->sites[known].status == ROSTER_ENROLLED ||
                       r->sites[known].status == ROSTER_UNCONFIRMED)) {
        return fl_fail(
            err, FL_ECONFLICT,
            "%s is enrolled already; `consilium-coordinator remove` it first to enrol it with new keys",
            site);
    }
    fl_status st;
    if ((st = store_do(r->db, err, "UPDATE invitation SET state = 2 WHERE site = ?", "t", site)) ==
        FL_OK) {
        st = store_do(
            r->db, err,
            "INSERT INTO invitation (id, site, curve, expires_ms, confirm) VALUES (?, ?, ?, ?, ?)",
            "btbii", (const void *)inv->id, sizeof inv->id, site, (const void *)&inv->curve_public,
            sizeof inv->curve_public, inv->expires_ms, (int64_t)confirm);
    }
    return st;
}

fl_status roster_invite_all(roster *r, const fed_invitation *inv, size_t n, bool confirm,
                            fl_err *err)
{
    fl_status st = begin(r, err);
    if (st != FL_OK) {
        return st;
    }
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        st = put_invitation(r, &inv[i], confirm, err);
    }
    return finish(r, st, err);
}

fl_status roster_invite(roster *r, const fed_invitation *inv, bool confirm, fl_err *err)
{
    return roster_invite_all(r, inv, 1, confirm, err);
}

typedef struct {
    uint8_t id[FED_INVITATION_BYTES];
    fed_site_id site;
    int64_t expires_ms;
    bool confirm;
    int state;
    fed_public_key used_curve;
    fed_verify_key used_sign;
} invitation;

static fl_status find_invitation(roster *r, const fed_public_key *peer, invitation *out,
                                 fl_err *err)
{
    bool found = false;
    fl_status st = store_find(r->db, err,
                              "SELECT id, site, expires_ms, confirm, state, used_curve, used_sign "
                              "FROM invitation WHERE curve = ?",
                              "b", (const void *)peer, sizeof *peer);
    while (st == FL_OK && store_row(r->db, &st, err)) {
        found = true;
        out->expires_ms = store_int(r->db, 2);
        out->confirm = store_int(r->db, 3) != 0;
        out->state = (int)store_int(r->db, 4);
        st = store_copy(r->db, 0, out->id, sizeof out->id, err);
        if (st == FL_OK) {
            st = fed_site_id_parse(&out->site, store_text(r->db, 1), err);
        }
        if (st == FL_OK && out->state == INVITATION_USED &&
            (st = store_copy(r->db, 5, &out->used_curve, sizeof out->used_curve, err)) == FL_OK) {
            st = store_copy(r->db, 6, &out->used_sign, sizeof out->used_sign, err);
        }
        store_end(r->db);
        break;
    }
    if (st == FL_OK && !found) {
        return fl_fail(err, FL_EDENIED, "this invitation is not known here");
    }
    return st;
}

/* The rules of enrolment, in order. */
static fl_status may_enrol(const roster *r, const invitation *inv, const fed_enrol *e,
                           int64_t wall_ms, fl_err *err)
{
    fl_buf bytes = FL_BUF_INIT;
    fed_enrol_bytes(e, &bytes);
    bool signed_well = fed_verify(&e->signature, &e->sign_key, "consilium enrol 1", bytes.data,
                                  bytes.n);
    fl_buf_clear(&bytes);
    if (!signed_well) {
        return fl_fail(err, FL_EDENIED, "the enrolment is not signed with the key it names");
    }
    if (memcmp(inv->id, e->invitation, sizeof inv->id) != 0) {
        return fl_fail(err, FL_EDENIED, "the invitation's id does not belong to its key");
    }
    if (strcmp(inv->site.text, e->site.text) != 0) {
        return fl_fail(err, FL_EDENIED, "the invitation is for %s, not for %s", inv->site.text,
                       e->site.text);
    }
    if (inv->state == INVITATION_REVOKED) {
        return fl_fail(err, FL_EDENIED, "this invitation was revoked");
    }
    if (inv->state == INVITATION_USED) {
        bool same = memcmp(&inv->used_curve, &e->curve_key, sizeof e->curve_key) == 0 &&
                    memcmp(&inv->used_sign, &e->sign_key, sizeof e->sign_key) == 0;
        return same ? FL_OK
                    : fl_fail(err, FL_EDENIED, "this invitation was used already, with other keys");
    }
    if (inv->expires_ms <= wall_ms) {
        char when[32];
        fl_iso_time(when, sizeof when, inv->expires_ms);
        return fl_fail(err, FL_EDENIED, "this invitation expired on %s; ask for a new one", when);
    }
    if (find_key(r, &e->curve_key) != NULL) {
        return fl_fail(err, FL_EDENIED, "these keys are enrolled already under another name");
    }
    return FL_OK;
}

/* Under the mutex. */
static void insert_key(roster *r, known_key new)
{
    size_t at = r->n_keys;
    r->keys = fl_xrealloc(r->keys, r->n_keys + 1, sizeof *r->keys);
    for (; at > 0 && by_key(&new, &r->keys[at - 1]) < 0; at--) {
        r->keys[at] = r->keys[at - 1];
    }
    r->keys[at] = new;
    r->n_keys++;
}

/* Under the mutex: room for a site in its place among the others, whose indices behind it move. */
static int insert_site(roster *r, const fed_site_id *name)
{
    append_site(r);
    int at = (int)r->n_sites - 1;
    for (; at > 0 && strcmp(name->text, r->sites[at - 1].name.text) < 0; at--) {
        r->sites[at] = r->sites[at - 1];
    }
    for (size_t i = 0; i < r->n_keys; i++) {
        r->keys[i].site += r->keys[i].site >= at;
    }
    return at;
}

/* The snapshot with the new site in it: thousands enrol one after the other, so it is not taken
 * anew for each. */
static void take_in(roster *r, const fed_enrol *e, roster_status status, int64_t wall_ms)
{
    pthread_mutex_lock(&r->mutex);
    int known = roster_find(r, e->site.text);
    if (known < 0) {  // its invitation had run out, and the clock was set back
        known = insert_site(r, &e->site);
    }
    roster_site *s = &r->sites[known];
    *s = (roster_site){.name = e->site,
                       .status = status,
                       .curve = e->curve_key,
                       .sign = e->sign_key,
                       .enrolled_ms = wall_ms};
    fed_fingerprint(s->fingerprint, &s->curve, &s->sign);
    insert_key(r, (known_key){.key = e->curve_key, .site = known});
    pthread_mutex_unlock(&r->mutex);
}

fl_status roster_enrol(roster *r, const fed_public_key *peer, const fed_enrol *e, int64_t wall_ms,
                       bool *confirmed, fl_err *err)
{
    *confirmed = false;
    invitation inv = {.state = INVITATION_REVOKED};
    fl_status st;
    if ((st = find_invitation(r, peer, &inv, err)) != FL_OK ||
        (st = may_enrol(r, &inv, e, wall_ms, err)) != FL_OK) {
        return st;
    }
    if (inv.state == INVITATION_USED) {
        int known = roster_find(r, e->site.text);
        *confirmed = known >= 0 && r->sites[known].status == ROSTER_ENROLLED;
        return FL_OK;
    }
    roster_status status = inv.confirm ? ROSTER_UNCONFIRMED : ROSTER_ENROLLED;
    if ((st = store_begin(r->db, err)) != FL_OK) {
        return st;
    }
    if ((st = store_do(
             r->db, err,
             "UPDATE invitation SET state = 1, used_curve = ?, used_sign = ? WHERE curve = ?",
             "bbb", (const void *)&e->curve_key, sizeof e->curve_key, (const void *)&e->sign_key,
             sizeof e->sign_key, (const void *)peer, sizeof *peer)) == FL_OK) {
        st = store_do(r->db, err,
                      "INSERT OR REPLACE INTO site (name, status, curve, sign, enrolled_ms) VALUES "
                      "(?, ?, ?, ?, ?)",
                      "tibbi", e->site.text, (int64_t)status, (const void *)&e->curve_key,
                      sizeof e->curve_key, (const void *)&e->sign_key, sizeof e->sign_key, wall_ms);
    }
    *confirmed = status == ROSTER_ENROLLED;
    if (st == FL_OK) {  // what an earlier site of that name knew, this one does not
        st = store_do(r->db, err, "DELETE FROM knows WHERE site = ?", "t", e->site.text);
    }
    if ((st = end(r, st, err)) == FL_OK) {
        take_in(r, e, status, wall_ms);
    }
    return st;
}

// ------------------------------------------------------------------- rotation

/* The rules, in order; *again: it is the one that was carried out last. */
static fl_status may_rotate(const roster *r, const roster_site *s, const fed_rotation *rotation,
                            bool *again, fl_err *err)
{
    *again = memcmp(&s->sign, &rotation->sign, sizeof s->sign) == 0 &&
             memcmp(&s->curve, &rotation->curve, sizeof s->curve) == 0;
    if (strcmp(s->name.text, rotation->site.text) != 0) {
        return fl_fail(err, FL_EDENIED, "the rotation is in the name of %s", rotation->site.text);
    }
    if (s->status != ROSTER_ENROLLED) {
        return fl_fail(err, FL_EDENIED, "%s is %s: its keys cannot change", s->name.text,
                       roster_status_text(s->status));
    }
    if (!fed_rotation_verify(rotation)) {
        return fl_fail(err, FL_EDENIED,
                       "the rotation does not bear the signatures of the old and the new key");
    }
    if (*again) {
        return FL_OK;
    }
    if (memcmp(&s->sign, &rotation->old_sign, sizeof s->sign) != 0 ||
        memcmp(&s->curve, &rotation->old_curve, sizeof s->curve) != 0) {
        return fl_fail(err, FL_EDENIED, "the rotation is not from the keys that %s has now",
                       s->name.text);
    }
    if (find_key(r, &rotation->curve) != NULL) {
        return fl_fail(err, FL_EDENIED, "the new keys are known here already");
    }
    return FL_OK;
}

/* Under the mutex: the site's transport key of before is nobody's any more. */
static void drop_former(roster *r, int site)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_keys; i++) {
        if (!r->keys[i].former || r->keys[i].site != site) {
            r->keys[n++] = r->keys[i];
        }
    }
    r->n_keys = n;
    r->sites[site].knows_old_key = false;
}

/* The snapshot with the site's new keys in it. */
static void take_new_keys(roster *r, int site, const fed_rotation *rotation)
{
    roster_site *s = &r->sites[site];
    pthread_mutex_lock(&r->mutex);
    drop_former(r, site);
    for (size_t i = 0; i < r->n_keys; i++) {
        r->keys[i].former = r->keys[i].former || r->keys[i].site == site;
    }
    insert_key(r, (known_key){.key = rotation->curve, .site = site});
    pthread_mutex_unlock(&r->mutex);
    s->curve = rotation->curve;
    s->sign = rotation->sign;
    s->knows_old_key = true;
    fed_fingerprint(s->fingerprint, &s->curve, &s->sign);
}

fl_status roster_rotate(roster *r, size_t site, const fed_rotation *rotation, int64_t wall_ms,
                        fl_err *err)
{
    const roster_site s = *roster_at(r, site);
    bool again = false;
    fl_status st = may_rotate(r, &s, rotation, &again, err);
    if (st != FL_OK || again || (st = begin(r, err)) != FL_OK) {
        return st;
    }
    json_t *json = fed_rotation_json(rotation);
    char *text = json_dumps(json, JSON_COMPACT);
    if ((st = store_do(r->db, err, "UPDATE rotation SET is_open = 0 WHERE site = ?", "t",
                       s.name.text)) == FL_OK &&
        (st = store_do(r->db, err,
                       "INSERT INTO rotation (site, old_curve, statement, at_ms, is_open)"
                       " VALUES (?, ?, ?, ?, 1)",
                       "tbti", s.name.text, (const void *)&s.curve, sizeof s.curve, text,
                       wall_ms)) == FL_OK) {
        st = store_do(r->db, err,
                      "UPDATE site SET curve = ?, sign = ? WHERE name = ? AND status = 2"
                      " AND sign = ?",
                      "bbtb", (const void *)&rotation->curve, sizeof rotation->curve,
                      (const void *)&rotation->sign, sizeof rotation->sign, s.name.text,
                      (const void *)&s.sign, sizeof s.sign);
    }
    if (st == FL_OK && store_changes(r->db) == 0) {  // another process removed it meanwhile
        st = fl_fail(err, FL_EDENIED, "%s is removed: its keys cannot change", s.name.text);
    }
    free(text);
    json_decref(json);
    if ((st = end(r, st, err)) == FL_OK) {
        take_new_keys(r, (int)site, rotation);
    }
    return st;
}

fl_status roster_used_new_key(roster *r, size_t site, fl_err *err)
{
    const roster_site *s = roster_at(r, site);
    if (!s->knows_old_key) {
        return FL_OK;
    }
    fl_status st = begin(r, err);
    if (st == FL_OK) {
        st = store_do(r->db, err, "UPDATE rotation SET is_open = 0 WHERE site = ?", "t",
                      s->name.text);
        if ((st = end(r, st, err)) == FL_OK) {
            pthread_mutex_lock(&r->mutex);
            drop_former(r, (int)site);
            pthread_mutex_unlock(&r->mutex);
        }
    }
    return st;
}

fl_status roster_rotations(json_t **out, roster *r, const char *site, fl_err *err)
{
    *out = json_array();
    fl_status st = store_find(r->db, err, "SELECT statement FROM rotation WHERE site = ? ORDER BY n",
                              "t", site);
    while (st == FL_OK && store_row(r->db, &st, err)) {
        json_array_append_new(*out, json_loads(store_text(r->db, 0), 0, NULL));
    }
    return st;
}

fl_status roster_confirm(roster *r, const char *site, fl_err *err)
{
    int known = roster_find(r, site);
    if (known >= 0 && r->sites[known].status == ROSTER_ENROLLED) {
        return FL_OK;
    }
    if (known < 0 || r->sites[known].status != ROSTER_UNCONFIRMED) {
        return fl_fail(err, FL_ENOTFOUND, "%s has not enrolled: there is nothing to confirm", site);
    }
    fl_status st = begin(r, err);
    if (st == FL_OK) {
        st = store_do(r->db, err, "UPDATE site SET status = 2 WHERE name = ?", "t", site);
        st = finish(r, st, err);
    }
    return st;
}

fl_status roster_remove(roster *r, const char *site, fl_err *err)
{
    int known = roster_find(r, site);
    if (known < 0) {
        return fl_fail(err, FL_ENOTFOUND, "no site is called %s; `consilium-coordinator sites` lists them",
                       site);
    }
    fl_status st = begin(r, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = store_do(r->db, err, "UPDATE site SET status = 3 WHERE name = ?", "t", site)) ==
        FL_OK) {
        st = store_do(r->db, err, "UPDATE invitation SET state = 2 WHERE site = ?", "t", site);
    }
    return finish(r, st, err);
}
