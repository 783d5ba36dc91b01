/*
 * fixture.h - a hospital with a small data set, and a coordinator that follows
 * a script
 *
 * The data set is a table: two features, class "ill" when x + y is large, sex
 * and age.  The coordinator speaks through fed_listen_mem and does by itself
 * only what any coordinator does: it answers Hello, Fetch and Offer, and says
 * the current order again when a Beat names another one.
 */
#ifndef TESTS_CLIENT_FIXTURE_H
#define TESTS_CLIENT_FIXTURE_H

#include "check.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"
#include "client/home.h"
#include "client/outbox.h"
#include "client/policy.h"
#include "client/pool.h"
#include "client/session.h"
#include "fed/audit.h"
#include "fed/transport.h"
#include "fed/update.h"
#include "job/job.h"
#include "nn/params.h"
#include "task/task.h"

static const char hospital_job[] = "name: toy\n"
                                   "intended_use: tests\n"
                                   "task: classify\n"
                                   "data: {input: [2], classes: [well, ill], positive: ill, "
                                   "attributes: {sex: [F, M], age: years}}\n"
                                   "model: {name: logistic}\n"
                                   "rounds: 3\n"
                                   "seed: 7\n"
                                   "strategy: {name: fedprox, mu: 0.1}\n"
                                   "local: {steps: 10, batch: 16, lr: 0.1}\n"
                                   "sites: {quorum: 3, patience: 10s}\n"
                                   "evaluation:\n"
                                   "  threshold: {rule: sensitivity, at: 0.9}\n"
                                   "  subgroups: [sex, age: [40, 60]]\n"
                                   "  local_baseline: {budget: same_steps}\n";

static inline void hospital_file(const char *dir, const char *name, const char *text)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    check_ok(fl_file_write(path, text, strlen(text), 0644, &err), err);
    free(path);
}

/* has_val: false leaves the validation split out. */
static inline char *hospital_data(const char *dir, int n, bool has_val)
{
    fl_err err = FL_ERR_INIT;
    char *data = fl_path_join(dir, "data");
    fl_buf text = FL_BUF_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 11, "hospital", "", 0);
    fl_buf_puts(&text, "case,patient,split,x,y,sex,age,label\n");
    for (int i = 0; i < n; i++) {
        double x = fl_rng_normal(&rng), y = fl_rng_normal(&rng);
        bool ill = x + y + 0.5 * fl_rng_normal(&rng) > 0;
        const char *split = i % 4 == 0 ? "test" : i % 4 == 1 && has_val ? "val" : "train";
        fl_buf_printf(&text, "c%d,p%d,%s,%.5f,%.5f,%s,%d,%s\n", i, i, split, x, y,
                      i % 3 == 0 ? "F" : "M", 30 + i % 50, ill ? "ill" : "well");
    }
    check_ok(fl_mkdirs(data, 0700, &err), err);
    hospital_file(data, "t.csv", text.data);
    hospital_file(data, "dataset.yaml",
                  "task: classify\n"
                  "classes: {well: well, ill: ill}\n"
                  "positive: ill\n"
                  "attributes: {sex: sex, age: age}\n"
                  "table: {file: t.csv, case: case, patient: patient, label: {column: label},\n"
                  "        drop: [sex, age]}\n"
                  "split: {column: split}\n");
    fl_buf_clear(&text);
    return data;
}

// --------------------------------------------------------------- a coordinator

typedef struct {
    fed_identity *id;
    fed_link *link;
    fed_invitation invitation;
    fed_route route;
    bool has_route;

    fed_digest job;
    const char *job_text;
    task_model *model;
    float *global;  // (P)
    int64_t P;
    fed_digest model_object;
    fed_order order;  // said on Hello and when a Beat names another

    const char *report;  // object of DONE; NULL: none
    fed_digest report_object;

    uint32_t credits;    // pieces in a Grant
    uint32_t share;      // pieces of an object out that no Beat told of; 0: a Fetch's
    fed_msg fetch;       // what is left of the last one
    uint32_t beat_ms;
    bool mute_verdicts;  // for tests of lost answers
    bool forges_heads;  // signs one audit head and sends another
    fed_offer offer;     // the last one
    fl_buf payload;      // its pieces as far as they are in
    uint32_t n_in;
    size_t n[FED_N_MSGS];  // messages received, by type
    fed_msg reply;              // the last one
    fed_msg beat;               // likewise
    fed_msg rotated;            // likewise
} coordinator;

static inline bool coordinator_allows(void *ctx, const fed_public_key *key)
{
    (void)ctx;
    (void)key;
    return true;
}

/* The model's bits are new: what names it follows. */
static inline void coordinator_publish(coordinator *c)
{
    const nn_table *table = task_model_table(c->model);
    uint64_t n_bytes;
    uint32_t n_pieces;
    fed_object_digest(&c->model_object, FED_ENC_F32, c->global, (uint64_t)c->P, &n_bytes,
                      &n_pieces);
    nn_params_sha256(c->order.model_id.bytes, table, c->global);
    nn_table_hash(c->order.table_hash, table);
}

static inline coordinator *coordinator_new(const char *job_text)
{
    fl_err err = FL_ERR_INIT;
    job j;
    coordinator *c = fl_xcalloc(1, sizeof *c);
    fed_init();
    c->id = fed_identity_new();
    check_ok(fed_listen_mem(&c->link, c->id, coordinator_allows, NULL, &err), err);
    c->job_text = job_text;
    c->credits = 2;
    c->beat_ms = 500;
    fed_job_digest(&c->job, job_text, strlen(job_text));
    check_ok(job_parse(&j, job_text, strlen(job_text), "job.yaml", ".", &err), err);
    check_ok(task_model_new(&c->model, &j.data, &j.model, &err), err);
    c->P = nn_table_count(task_model_table(c->model));
    c->global = fl_xcalloc((size_t)c->P, sizeof *c->global);
    nn_graph_init(task_model_graph(c->model), c->global, j.seed);
    job_clear(&j);
    coordinator_publish(c);
    return c;
}

static inline void coordinator_destroy(coordinator **c)
{
    fed_link_close(&(*c)->link);
    fed_identity_destroy(&(*c)->id);
    fed_invitation_clear(&(*c)->invitation);
    task_model_destroy(&(*c)->model);
    fl_buf_clear(&(*c)->payload);
    free((*c)->global);
    FL_FREE(*c);
}

/* An invitation names a TCP address; a hospital of ours connects in memory. */
static const char far_away[] = "tcp://coordinator.example.org:7700";

/* Writes dir/NAME.invitation; the path, caller's. */
static inline char *coordinator_invite(coordinator *c, const char *dir, const char *site)
{
    fl_err err = FL_ERR_INIT;
    fed_invitation *inv = &c->invitation;
    fed_identity *one_time = fed_identity_new();
    snprintf(inv->federation, sizeof inv->federation, "toys");
    check_ok(fed_site_id_parse(&inv->site, site, &err), err);
    snprintf(inv->address, sizeof inv->address, "%s", far_away);
    inv->coordinator_curve = fed_identity_public(c->id);
    inv->coordinator_sign = fed_identity_verify(c->id);
    memset(inv->id, 7, sizeof inv->id);
    memcpy(inv->curve_secret, fed_identity_curve_secret(one_time), sizeof inv->curve_secret);
    inv->curve_public = fed_identity_public(one_time);
    inv->expires_ms = fl_wall_ms() + 3600 * 1000;
    fed_identity_destroy(&one_time);
    char *path = fl_xasprintf("%s/%s.invitation", dir, site);
    check_ok(fed_invitation_write(inv, path, &err), err);
    return path;
}

static inline void coordinator_say(coordinator *c, const fed_msg *m, const void *payload, size_t n)
{
    fl_buf header = FL_BUF_INIT;
    fed_msg_pack(m, &header);
    (void)fed_send(c->link, &c->route, header.data, header.n, payload, n, NULL);
    fl_buf_clear(&header);
}

static inline void coordinator_say_order(coordinator *c)
{
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    m->type = FED_MSG_ORDER;
    c->order.has_head = true;
    c->order.head.n_lines = 1 + c->order.committed.n;
    memset(&c->order.head.last, (int)c->order.head.n_lines, sizeof c->order.head.last);
    fed_audit_sign(&c->order.head_signature, c->id, &c->job, c->order.run, &c->order.head);
    m->u.order = c->order;
    m->u.order.head.n_lines += c->forges_heads;
    coordinator_say(c, m, NULL, 0);
    free(m);
}

/* From now on this is what the site is to do. */
static inline void coordinator_order(coordinator *c, fed_order_kind kind, uint32_t round,
                                     uint32_t committed)
{
    bool has_model = kind != FED_CHECK && kind != FED_WAIT;
    c->order.key = (fed_order_key){.kind = kind, .job = c->job, .round = {round}};
    c->order.has_model = has_model;
    c->order.model = c->model_object;
    c->order.committed.n = committed;
    c->order.has_report = kind == FED_DONE;
    c->order.report = c->report_object;
    snprintf(c->order.run, sizeof c->order.run, "toy-1");
    if (kind == FED_CHECK) {
        memset(&c->order.model_id, 0, sizeof c->order.model_id);
        memset(&c->order.model, 0, sizeof c->order.model);
        memset(c->order.table_hash, 0, sizeof c->order.table_hash);
    } else {
        coordinator_publish(c);
        c->order.model = c->model_object;
    }
    if (c->has_route) {
        coordinator_say_order(c);
    }
}

static inline void coordinator_verdict(coordinator *c, bool accepted, const char *text)
{
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    m->type = FED_MSG_VERDICT;
    m->u.verdict.digest = c->offer.digest;
    m->u.verdict.accepted = accepted;
    snprintf(m->u.verdict.text, sizeof m->u.verdict.text, "%s", text);
    if (!c->mute_verdicts) {
        coordinator_say(c, m, NULL, 0);
    }
    free(m);
}

/* As far as its share goes beyond the first `told` pieces. */
static inline void coordinator_send_object(coordinator *c, uint64_t told)
{
    const fed_msg *m = &c->fetch;
    bool is_job = fed_digest_equal(&m->u.fetch.object, &c->job);
    bool is_model = fed_digest_equal(&m->u.fetch.object, &c->model_object);
    fed_encoding enc = is_model ? FED_ENC_F32 : FED_ENC_BYTES;
    const void *items = is_job     ? (const void *)c->job_text
                        : is_model ? (const void *)c->global
                                   : (const void *)c->report;
    uint64_t n = is_model ? (uint64_t)c->P : strlen(items);
    uint8_t *piece = fl_xcalloc(1, FED_PIECE_BYTES);
    fed_msg *out = fl_xcalloc(1, sizeof *out);
    out->type = FED_MSG_PIECE;
    out->u.piece.object = m->u.fetch.object;
    out->u.piece.n_pieces = fed_pieces_of(enc, n);
    out->u.piece.n_bytes = fed_piece_bytes_of(enc, n);
    while (c->fetch.u.fetch.count > 0 &&
           (c->share == 0 || c->fetch.u.fetch.first < told + c->share)) {
        out->u.piece.index = c->fetch.u.fetch.first++;
        c->fetch.u.fetch.count--;
        if (out->u.piece.index < out->u.piece.n_pieces) {
            size_t size = fed_piece_pack(piece, enc, items, n, out->u.piece.index);
            coordinator_say(c, out, piece, size);
        }
    }
    free(out);
    free(piece);
}

/* The last contribution's document; decref. */
static inline json_t *document_of(const coordinator *c)
{
    const uint8_t *values = NULL;
    fed_encoding enc;
    uint32_t n = 0;
    fl_err err = FL_ERR_INIT;
    json_t *json = NULL;
    check_ok(
        fed_piece_parse((const uint8_t *)c->payload.data, c->payload.n, &enc, &values, &n, &err),
        err);
    check_int(enc, FED_ENC_BYTES);
    check_ok(fl_json_parse(&json, (const char *)values, n, 1 << 20, "payload", &err), err);
    return json;
}

static inline void coordinator_grant_or_judge(coordinator *c)
{
    if (c->n_in == c->offer.n_pieces) {
        coordinator_verdict(c, true, "");
        return;
    }
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    m->type = FED_MSG_GRANT;
    m->u.grant.digest = c->offer.digest;
    m->u.grant.next = c->n_in;
    m->u.grant.credits = c->credits;
    coordinator_say(c, m, NULL, 0);
    free(m);
}

static inline void coordinator_hear(coordinator *c, const fed_msg *m, const fed_packet *packet)
{
    fed_msg *out = fl_xcalloc(1, sizeof *out);
    c->n[m->type]++;
    switch (m->type) {
    case FED_MSG_ENROL:
        out->type = FED_MSG_ENROLLED;
        out->u.enrolled.site = m->u.enrol.site;
        out->u.enrolled.confirmed = true;
        coordinator_say(c, out, NULL, 0);
        break;
    case FED_MSG_HELLO:
        out->type = FED_MSG_WELCOME;
        out->u.welcome.site = c->invitation.site;
        out->u.welcome.beat_ms = c->beat_ms;
        coordinator_say(c, out, NULL, 0);
        coordinator_say_order(c);
        break;
    case FED_MSG_BEAT:
        c->beat = *m;
        if (!fed_order_key_equal(&m->u.beat.key, &c->order.key)) {
            coordinator_say_order(c);
        }
        if (c->share > 0 && m->u.beat.phase == FED_FETCHING) {
            coordinator_send_object(c, m->u.beat.steps_done);
        }
        break;
    case FED_MSG_FETCH:
        c->fetch = *m;
        coordinator_send_object(c, 0);
        break;
    case FED_MSG_OFFER:
        if (!fed_digest_equal(&c->offer.digest, &m->u.offer.digest) ||
            !fed_order_key_equal(&c->offer.key, &m->u.offer.key)) {
            c->n_in = 0;
            fl_buf_reset(&c->payload);
        }
        c->offer = m->u.offer;
        coordinator_grant_or_judge(c);
        break;
    case FED_MSG_PIECE:
        if (m->u.piece.index == c->n_in) {
            fl_buf_add(&c->payload, packet->payload, packet->n_payload);
            c->n_in++;
            if (c->n_in == c->offer.n_pieces || c->n_in % c->credits == 0) {
                coordinator_grant_or_judge(c);
            }
        }
        break;
    case FED_MSG_REPLY:
        c->reply = *m;
        break;
    case FED_MSG_ROTATED:
        c->rotated = *m;
        break;
    default:
        break;
    }
    free(out);
}

static inline void coordinator_step(coordinator *c)
{
    fed_packet packet;
    while (fed_receive(c->link, &packet)) {
        fed_msg *m = fl_xcalloc(1, sizeof *m);
        fl_err err = FL_ERR_INIT;
        check_ok(fed_msg_unpack(m, packet.header, packet.n_header, &err), err);
        c->route = packet.route;
        c->has_route = true;
        coordinator_hear(c, m, &packet);
        free(m);
    }
}

/* Listens anew, elsewhere, with these keys, which stay the caller's. */
static inline void coordinator_returns(coordinator *c, fed_identity *id)
{
    fl_err err = FL_ERR_INIT;
    fed_link_close(&c->link);
    c->has_route = false;
    check_ok(fed_listen_mem(&c->link, id, coordinator_allows, NULL, &err), err);
}

// ------------------------------------------------------------------ a hospital

typedef struct {
    char *dir;  // of everything
    char *home_dir, *data;
    home *home;
    pool *pool;  // no threads: works run when the clock moves
    session *session;
    int64_t now_ms;
} hospital;

/* Puts the link's address in the place of the invitation's. */
static inline void hospital_moves(const char *home_dir, const char *address)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(home_dir, "client.yaml");
    char *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, path, 1 << 16, &err), err);
    char *at = strstr(text, far_away);
    check(at != NULL);
    char *moved = fl_xasprintf("%.*s%s%s", (int)(at - text), text, address, at + strlen(far_away));
    check_ok(fl_file_write(path, moved, strlen(moved), 0644, &err), err);
    free(moved);
    free(text);
    free(path);
}

/* Joined; change: what differs from the default policy, or NULL. */
static inline hospital hospital_new(coordinator *c, const char *site, void (*change)(policy *p))
{
    fl_err err = FL_ERR_INIT;
    hospital h = {.dir = check_tmpdir()};
    fl_buf text = FL_BUF_INIT;
    policy p;
    policy_defaults(&p);
    if (change != NULL) {
        change(&p);
    }
    policy_text(&p, &text);
    h.home_dir = fl_path_join(h.dir, "home");
    h.data = hospital_data(h.dir, 400, true);
    char *invitation = coordinator_invite(c, h.dir, site);
    home_plan plan = {
        .invitation = invitation, .dir = h.home_dir, .data = h.data, .policy = text.data};
    check_ok(home_join(&plan, &err), err);
    hospital_moves(h.home_dir, fed_link_address(c->link));
    check_ok(home_open(&h.home, h.home_dir, &err), err);
    free(invitation);
    fl_buf_clear(&text);
    return h;
}

static inline void hospital_approves_all(policy *p)
{
    p->approve_all = true;
}

static inline void hospital_starts(hospital *h)
{
    fl_err err = FL_ERR_INIT;
    if (h->home == NULL) {
        check_ok(home_open(&h->home, h->home_dir, &err), err);
    }
    check_ok(home_lock(h->home, 0, &err), err);
    h->pool = pool_new(0, NULL);
    h->session = session_new(h->home, h->pool);
}

/* As kill -9 would: nothing is said and nothing tidied up. */
static inline void hospital_dies(hospital *h)
{
    pool_destroy(&h->pool);
    session_destroy(&h->session);
    home_close(&h->home);
}

static inline void hospital_destroy(hospital *h)
{
    hospital_dies(h);
    check_rmdir(&h->dir);
    free(h->home_dir);
    free(h->data);
}

/* The coordinator is there now, and the line is cut. */
static inline void hospital_moves_to(hospital *h, const char *address)
{
    snprintf(h->home->dial, sizeof h->home->dial, "%s", address);
}

/* Lets both sides go on for a while of the hospital's clock. */
static inline void play(hospital *h, coordinator *c, int64_t ms)
{
    for (int64_t end = h->now_ms + ms; h->now_ms < end; h->now_ms += 50) {
        session_step(h->session, h->now_ms);
        coordinator_step(c);
        pool_run_one(h->pool);
    }
}

/* Until the coordinator has what it ordered; fails after a minute. */
static inline void play_until_offered(hospital *h, coordinator *c)
{
    for (int i = 0; i < 1200; i++) {
        bool whole = fed_order_key_equal(&c->offer.key, &c->order.key) &&
                     c->n_in == c->offer.n_pieces;
        if (whole) {
            play(h, c, 200);
            return;
        }
        play(h, c, 50);
    }
    check_fail("no contribution to %s %u", fed_order_name(c->order.key.kind), c->order.key.round.n);
}

#endif
