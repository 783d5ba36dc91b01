/*
 * record.c - see record.h
 */
#include "coordinator/record_inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"

/*
 * run      one row: the machine's state
 * site     who took part, with the key its signatures are checked with
 * model    one row a committed round; 0 is the first model
 * answer   one row for each (order, site of its cohort).  state: round_check for
 *          CHECK, else round_answer.  offer: the accepted Offer as it travelled, signature
 *          included; its digest binds, so that a second, different one is refused.
 *          payload: the document that came with it (updates stay in their spools)
 * carried  updates that missed their round, whose answer is ROUND_ABSENT with an offer, and
 *          the round whose model they are in; 0: they wait for the next
 * chosen   updates that are in their round's model, where the strategy chooses
 * abandoned  rounds that were, and why; their model is the one before
 * audit    the lines of audit.jsonl, whose file is a copy (audit.h)
 * member   sites as the federation knew them when they were last noted
 * refusal  what was refused, how often, and the count that was last noted
 * coordinator  one row: its keys as they were last noted
 * crossing  one row: which of the own models that sites lent is judged, of how many
 * home     CHECKs of homes that ended and whose site has, or awaits, another; number: from 0
 */
static const char schema[] =
    "CREATE TABLE run (id INTEGER PRIMARY KEY CHECK (id = 1), job BLOB NOT NULL, name TEXT NOT "
    "NULL,"
    " created_ms INTEGER NOT NULL, state INTEGER NOT NULL, round INTEGER NOT NULL,"
    " selected INTEGER NOT NULL, entered_ms INTEGER NOT NULL, threshold REAL, bins INTEGER, why "
    "TEXT);"
    "CREATE TABLE site (name TEXT PRIMARY KEY, sign BLOB NOT NULL, environment TEXT NOT NULL);"
    "CREATE TABLE model (round INTEGER PRIMARY KEY, object BLOB NOT NULL, sha256 BLOB NOT NULL,"
    " bytes_up INTEGER NOT NULL, bytes_down INTEGER NOT NULL, seconds REAL, loss REAL, "
    "committed_ms INTEGER NOT NULL);"
    "CREATE TABLE answer (kind INTEGER, round INTEGER, site TEXT, state INTEGER NOT NULL, reason "
    "TEXT NOT NULL DEFAULT '',"
    " time_ms INTEGER NOT NULL, digest BLOB, offer BLOB, payload BLOB, PRIMARY KEY (kind, round, "
    "site)) WITHOUT ROWID;"
    "CREATE TABLE audit (seq INTEGER PRIMARY KEY, line TEXT NOT NULL);"
    "CREATE TABLE member (name TEXT PRIMARY KEY, status TEXT NOT NULL, fingerprint TEXT NOT NULL);"
    "CREATE TABLE refusal (what TEXT, reason TEXT, address TEXT, count INTEGER NOT NULL,"
    " noted INTEGER NOT NULL, PRIMARY KEY (what, reason, address)) WITHOUT ROWID;";
static const char added[] =
    "CREATE TABLE IF NOT EXISTS carried (round INTEGER, site TEXT, folded INTEGER NOT NULL,"
    " PRIMARY KEY (round, site)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS chosen (round INTEGER, site TEXT, PRIMARY KEY (round, site))"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS abandoned (round INTEGER PRIMARY KEY, why TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS coordinator (id INTEGER PRIMARY KEY CHECK (id = 1),"
    " fingerprint TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS crossing (id INTEGER PRIMARY KEY CHECK (id = 1),"
    " lent INTEGER NOT NULL, n_lent INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS home (site TEXT, number INTEGER, last_round INTEGER NOT NULL,"
    " offer BLOB NOT NULL, payload BLOB, PRIMARY KEY (site, number)) WITHOUT ROWID;";

/* What stands in the table: a number stays what it was, whatever states are added. */
static const int64_t stored_states[ROUND_N_STATES] = {
    [ROUND_CHECKING] = 0,   [ROUND_SELECTED] = 1,  [ROUND_TRAINING] = 2, [ROUND_AGGREGATING] = 3,
    [ROUND_EVALUATING] = 4, [ROUND_CHOOSING] = 5,  [ROUND_TESTING] = 6,  [ROUND_REPORTING] = 7,
    [ROUND_HANDING] = 8,    [ROUND_FINISHED] = 9,  [ROUND_LENDING] = 10, [ROUND_CROSSING] = 11};

bool record_state_of(round_state *out, int64_t stored)
{
    for (int s = 0; s < ROUND_N_STATES; s++) {
        if (stored_states[s] == stored) {
            *out = (round_state)s;
            return true;
        }
    }
    return false;
}

// ----------------------------------------------------------------- open, close

static fl_status load_head(record *r, fl_err *err)
{
    r->head = (fed_audit_head){0};
    fl_status st = store_find(r->db, err,
                              "SELECT seq, line FROM audit ORDER BY seq DESC LIMIT 1", "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        const char *line = store_text(r->db, 1);
        r->head.n_lines = (uint64_t)store_int(r->db, 0) - 1;
        fed_audit_extend(&r->head, line, strlen(line));
    }
    return st;
}

/* The first line. */
static fl_status note_run(record *r, const fed_digest *job, const char *name, fl_err *err)
{
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, job->bytes, sizeof job->bytes);
    return record_note(r,
                       json_pack("{s:s, s:s, s:s, s:s}", "what", "run", "format",
                                 "consilium-audit-1", "job", hex, "run", name),
                       err);
}

static fl_status look_up_run(record *r, const fed_digest *job, const char *name, const char *path,
                             fl_err *err)
{
    fed_digest found;
    bool any = false;
    fl_status st = store_find(r->db, err, "SELECT job, created_ms, entered_ms FROM run", "");
    while (st == FL_OK && store_row(r->db, &st, err)) {
        any = true;
        st = store_copy(r->db, 0, &found, sizeof found, err);
        r->created_ms = store_int(r->db, 1);
        r->entered_ms = store_int(r->db, 2);
        store_end(r->db);
        break;
    }
    if (st == FL_OK && any && job != NULL && !fed_digest_equal(&found, job)) {
        return fl_fail(err, FL_ECONFLICT, "%s: belongs to another job", path);
    }
    if (st != FL_OK || any) {
        return st;
    }
    if (job == NULL || name == NULL) {
        return fl_fail(err, FL_ENOTFOUND, "%s: holds no run", path);
    }
    r->created_ms = r->entered_ms = fl_wall_ms();
    if ((st = record_begin(r, err)) == FL_OK &&
        (st = store_do(r->db, err,
                       "INSERT INTO run (id, job, name, created_ms, state, round, selected, "
                       "entered_ms) VALUES (1, ?, ?, ?, 0, 0, 0, ?)",
                       "btii", (const void *)job, sizeof *job, name, r->created_ms,
                       r->created_ms)) == FL_OK &&
        (st = note_run(r, job, name, err)) == FL_OK) {
        st = record_commit(r, err);
    }
    record_rollback(r);
    return st;
}

typedef fl_status (*opener)(store **out, const char *path, const char *name, int version,
                            const char *schema, fl_err *err);

/* name: NULL = nothing is made. */
static fl_status open_with(record **out, opener open, const char *path, const fed_digest *job,
                           const char *name, fl_err *err)
{
    *out = NULL;
    record *r = fl_xcalloc(1, sizeof *r);
    fl_status st;
    if ((st = open(&r->db, path, "run", 2, schema, err)) != FL_OK ||
        (st = store_extend(r->db, added, err)) != FL_OK ||
        (st = load_head(r, err)) != FL_OK || (st = look_up_run(r, job, name, path, err)) != FL_OK) {
        record_close(&r);
        return st;
    }
    *out = r;
    return FL_OK;
}

fl_status record_open(record **out, const char *path, const fed_digest *job, const char *name,
                      fl_err *err)
{
    return open_with(out, store_open, path, job, name, err);
}

fl_status record_look(record **out, const char *path, const fed_digest *job, fl_err *err)
{
    return open_with(out, store_look, path, job, NULL, err);
}

void record_close(record **r)
{
    if (*r != NULL) {
        store_close(&(*r)->db);
        FL_FREE(*r);
    }
}

fl_status record_begin(record *r, fl_err *err)
{
    r->before = r->head;
    return store_begin(r->db, err);
}

static fl_status commit(record *r, fl_status (*store_it)(store *s, fl_err *err), fl_err *err)
{
    fl_status st = store_it(r->db, err);
    if (st == FL_OK) {
        r->before = r->head;
    }
    return st;
}

fl_status record_commit(record *r, fl_err *err)
{
    return commit(r, store_commit, err);
}

fl_status record_commit_later(record *r, fl_err *err)
{
    return commit(r, store_commit_later, err);
}

void record_rollback(record *r)
{
    store_rollback(r->db);
    r->head = r->before;
}

// ------------------------------------------------------------------ writing

static fl_status put_answer(record *r, fed_order_kind kind, uint32_t round, const char *site,
                            int state, const char *reason, fl_err *err)
{
    char clean[FED_TEXT_BYTES];  // it may quote what a site sent, and be cut in mid-letter
    return store_do(
        r->db, err,
        "INSERT INTO answer (kind, round, site, state, reason, time_ms) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, round, site) DO UPDATE SET state = excluded.state,"
        " reason = excluded.reason, time_ms = excluded.time_ms",
        "iititi", (int64_t)kind, (int64_t)round, site, (int64_t)state,
        fed_msg_clean_text(clean, sizeof clean, reason), fl_wall_ms());
}

static fl_status put_enter(record *r, const round_machine *m, const round_step *step, fl_err *err)
{
    fed_order_kind kind;
    uint32_t order_round;
    bool selected = step->state >= ROUND_CHOOSING;
    int64_t round = selected ? (int64_t)round_committed(m) : (int64_t)step->round;
    r->entered_ms = fl_wall_ms();
    fl_status st = store_do(
        r->db, err, "UPDATE run SET state = ?, round = ?, selected = ?, entered_ms = ?", "iiii",
        stored_states[step->state], round, selected ? (int64_t)step->round : 0, r->entered_ms);
    int64_t n_asked = 0;
    bool asks = round_asks(step->state) &&
                round_stage_of(step, &kind, &order_round);
    bool crosses = step->state == ROUND_CROSSING;
    if (st == FL_OK && crosses) {
        st = store_do(r->db, err, "INSERT OR REPLACE INTO crossing VALUES (1, ?, ?)", "ii",
                      (int64_t)step->lent, (int64_t)step->n_lent);
    }
    for (size_t i = 0; i < round_n_sites(m) && st == FL_OK && asks; i++) {
        if (round_in_cohort(m, i)) {
            st = put_answer(r, kind, order_round, round_at(m, i)->name.text, ROUND_ASKED, "", err);
            n_asked++;
        }
    }
    if (st != FL_OK) {
        return st;
    }
    json_t *line = json_pack("{s:s, s:s, s:I}", "what", "state", "state",
                             round_state_name(step->state), "round",
                             (json_int_t)(crosses ? step->lent : step->round));
    if (asks) {
        json_object_set_new(line, "asked", json_integer((json_int_t)n_asked));
    }
    return record_note(r, line, err);
}

/* Stores a site's answer that is no contribution, and notes it. */
static fl_status put_word(record *r, const char *what, fed_order_kind kind, uint32_t round,
                          const char *site, int state, const char *reason, fl_err *err)
{
    char clean[FED_TEXT_BYTES];
    fl_status st = put_answer(r, kind, round, site, state, reason, err);
    if (st != FL_OK) {
        return st;
    }
    json_t *line = json_pack("{s:s, s:s, s:I, s:s}", "what", what, "kind", fed_order_name(kind),
                             "round", (json_int_t)round, "site", site);
    if (*reason != '\0') {
        json_object_set_new(line, "reason",
                            json_string(fed_msg_clean_text(clean, sizeof clean, reason)));
    }
    return record_note(r, line, err);
}

/* What a site joined with was its former home's. */
static fl_status put_home_away(record *r, const char *site, fl_err *err)
{
    fl_status st = store_do(
        r->db, err,
        "INSERT INTO home SELECT site, (SELECT count(*) FROM home h WHERE h.site = c.site),"
        " (SELECT coalesce(max(t.round), 0) FROM answer t WHERE t.kind = ? AND t.site = c.site"
        "  AND t.offer IS NOT NULL), offer, payload"
        " FROM answer c WHERE kind = ? AND round = 0 AND site = ? AND offer IS NOT NULL",
        "iit", (int64_t)FED_TRAIN, (int64_t)FED_CHECK, site);
    return st == FL_OK ? store_do(r->db, err,
                                  "UPDATE answer SET digest = NULL, offer = NULL, payload = NULL"
                                  " WHERE kind = ? AND round = 0 AND site = ?",
                                  "it", (int64_t)FED_CHECK, site)
                       : st;
}

static const char *const check_words[] = {[ROUND_CHECK_ASKED] = "asked",
                                          [ROUND_CHECK_PENDING] = "pending",
                                          [ROUND_CHECK_JOINED] = "joined",
                                          [ROUND_CHECK_REFUSED] = "refused",
                                          [ROUND_CHECK_MISFIT] = "misfit"};

fl_status record_step(record *r, const round_machine *m, const round_step *step, fl_err *err)
{
    fed_order_kind kind;
    uint32_t round;
    bool has_stage = round_stage(m, &kind, &round);
    fl_status st = FL_OK;
    switch (step->kind) {
    case ROUND_STEP_ENTER:
        return put_enter(r, m, step, err);
    case ROUND_STEP_CHECK:
        if (step->check == ROUND_CHECK_ASKED) {
            st = put_home_away(r, round_at(m, step->site)->name.text, err);
        }
        return st == FL_OK ? put_word(r, check_words[step->check], FED_CHECK, 0,
                                      round_at(m, step->site)->name.text, (int)step->check,
                                      step->reason, err)
                           : st;
    case ROUND_STEP_ABSENT:
        FL_REQUIRE(has_stage);
        return put_word(r, "absent", kind, round, round_at(m, step->site)->name.text, ROUND_ABSENT,
                        step->reason, err);
    case ROUND_STEP_ASK:
    case ROUND_STEP_LOST:
        FL_REQUIRE(has_stage);
        return put_word(r, step->kind == ROUND_STEP_ASK ? "asked" : "lost", kind, round,
                        round_at(m, step->site)->name.text, ROUND_ASKED, "", err);
    case ROUND_STEP_ACCEPT:  // record_accept writes it
    case ROUND_STEP_CARRY:   // record_carry
    case ROUND_STEP_STOP:
        break;
    }
    return FL_OK;
}

fl_status record_accept(record *r, const fed_offer *offer, const void *payload, size_t n,
                        fl_err *err)
{
    fed_msg msg = {.type = FED_MSG_OFFER, .u.offer = *offer};
    fl_buf packed = FL_BUF_INIT;
    fed_msg_pack(&msg, &packed);
    int64_t state = offer->key.kind == FED_CHECK ? (int64_t)ROUND_CHECK_JOINED : (int64_t)ROUND_IN;
    fl_status st = store_do(
        r->db, err,
        "INSERT INTO answer (kind, round, site, state, time_ms, digest, offer, payload) VALUES (?, "
        "?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, round, site) DO UPDATE SET state = excluded.state, reason = '',"
        " time_ms = excluded.time_ms, digest = excluded.digest, offer = excluded.offer, payload = "
        "excluded.payload",
        "iitiibbb", (int64_t)offer->key.kind, (int64_t)offer->key.round.n, offer->site.text, state,
        fl_wall_ms(), (const void *)&offer->digest, sizeof offer->digest, (const void *)packed.data,
        packed.n, payload, n);
    fl_buf_clear(&packed);
    return st == FL_OK ? record_note(r, fed_audit_of_offer(offer), err) : st;
}

fl_status record_carry(record *r, const fed_offer *offer, fl_err *err)
{
    fed_msg msg = {.type = FED_MSG_OFFER, .u.offer = *offer};
    fl_buf packed = FL_BUF_INIT;
    fed_msg_pack(&msg, &packed);
    fl_status st = store_do(
        r->db, err,
        "UPDATE answer SET digest = ?, offer = ? WHERE kind = ? AND round = ? AND site = ?", "bbiit",
        (const void *)&offer->digest, sizeof offer->digest, (const void *)packed.data, packed.n,
        (int64_t)offer->key.kind, (int64_t)offer->key.round.n, offer->site.text);
    fl_buf_clear(&packed);
    if (st == FL_OK) {
        FL_REQUIRE(store_changes(r->db) == 1);
        st = store_do(r->db, err, "INSERT INTO carried VALUES (?, ?, 0)", "it",
                      (int64_t)offer->key.round.n, offer->site.text);
    }
    return st == FL_OK ? record_note(r, fed_audit_of_offer(offer), err) : st;
}

/* A line for each update that was carried. */
static fl_status list_carried(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    char digest[FL_HEX_DIGEST];
    fl_hex(digest, a->offer.digest.bytes, sizeof a->offer.digest.bytes);
    json_array_append_new(ctx, json_pack("{s:s, s:I, s:s, s:s}", "what", "carried", "from",
                                         (json_int_t)a->offer.key.round.n, "site", a->site.text,
                                         "digest", digest));
    return FL_OK;
}

fl_status record_fold_carried(record *r, uint32_t round, fl_err *err)
{
    json_t *lines = json_array();
    fl_status st = record_carried(r, 0, list_carried, lines, err);
    for (size_t i = 0; i < json_array_size(lines) && st == FL_OK; i++) {
        json_t *line = json_incref(json_array_get(lines, i));
        json_object_set_new(line, "round", json_integer((json_int_t)round));
        st = record_note(r, line, err);
    }
    json_decref(lines);
    return st == FL_OK ? store_do(r->db, err, "UPDATE carried SET folded = ? WHERE folded = 0", "i",
                                  (int64_t)round)
                       : st;
}

fl_status record_choose(record *r, uint32_t round, const fed_site_id *site,
                        const fed_digest *digest, fl_err *err)
{
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, digest->bytes, sizeof digest->bytes);
    fl_status st = store_do(r->db, err, "INSERT INTO chosen VALUES (?, ?)", "it", (int64_t)round,
                            site->text);
    return st == FL_OK ? record_note(r,
                                     json_pack("{s:s, s:I, s:s, s:s}", "what", "chosen", "round",
                                               (json_int_t)round, "site", site->text, "digest",
                                               hex),
                                     err)
                       : st;
}

fl_status record_abandon(record *r, uint32_t round, const char *why, fl_err *err)
{
    fl_status st = store_do(r->db, err, "INSERT INTO abandoned VALUES (?, ?)", "it", (int64_t)round,
                            why);
    return st == FL_OK ? record_note(r,
                                     json_pack("{s:s, s:I, s:s}", "what", "abandoned", "round",
                                               (json_int_t)round, "reason", why),
                                     err)
                       : st;
}

fl_status record_close_checks(record *r, const round_machine *m, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t i = 0; i < round_n_sites(m) && st == FL_OK; i++) {
        const round_site *s = round_at(m, i);
        if (s->member && s->check == ROUND_CHECK_ASKED) {  // or it said PENDING to a coordinator
            st = store_do(r->db, err,  // that was killed: its reason stays
                          "INSERT INTO answer (kind, round, site, state, reason, time_ms)"
                          " VALUES (?, 0, ?, ?, 'never answered', ?) ON CONFLICT DO NOTHING",
                          "itii", (int64_t)FED_CHECK, s->name.text, (int64_t)ROUND_CHECK_ASKED,
                          fl_wall_ms());
        }
        if (s->member && st == FL_OK &&
            (s->check == ROUND_CHECK_ASKED || s->check == ROUND_CHECK_PENDING)) {
            st = record_note(r,
                             json_pack("{s:s, s:s, s:i, s:s, s:s}", "what", "absent", "kind",
                                       fed_order_name(FED_CHECK), "round", 0, "site", s->name.text,
                                       "reason", "did not join until the end"),
                             err);
        }
    }
    return st;
}

fl_status record_put_model(record *r, uint32_t round, const record_model *model, fl_err *err)
{
    char sha256[FL_HEX_DIGEST];
    fl_status st = store_do(
        r->db, err, "INSERT OR REPLACE INTO model VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "ibbiiddi",
        (int64_t)round, (const void *)&model->object, sizeof model->object,
        (const void *)&model->id, sizeof model->id, (int64_t)model->bytes_up,
        (int64_t)model->bytes_down, model->seconds, model->loss, model->committed_ms);
    if (st != FL_OK) {
        return st;
    }
    fl_hex(sha256, model->id.bytes, sizeof model->id.bytes);
    return record_note(r,
                       json_pack("{s:s, s:I, s:s}", "what", "model", "round", (json_int_t)round,
                                 "model_sha256", sha256),
                       err);
}

fl_status record_put_threshold(record *r, double threshold, int64_t bins, const char *why,
                               fl_err *err)
{
    fl_status st = store_do(r->db, err, "UPDATE run SET threshold = ?, bins = ?, why = ?", "dit",
                            threshold, bins, why);
    return st == FL_OK ? record_note(r,
                                     json_pack("{s:s, s:o}", "what", "threshold", "value",
                                               fl_json_number(threshold)),
                                     err)
                       : st;
}

fl_status record_put_site(record *r, const fed_site_id *site, const fed_verify_key *key,
                          const char *environment, fl_err *err)
{
    return store_do(r->db, err, "INSERT OR REPLACE INTO site VALUES (?, ?, ?)", "tbt", site->text,
                    (const void *)key, sizeof *key, environment);
}
