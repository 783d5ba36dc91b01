/*
 * liar.c - see liar.h
 */
#include "liar.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "fed/msg.h"
#include "fed/transport.h"
#include "fed/update.h"

enum {
    AGAIN_MS = 1000,
    BEAT_MS = 1000,
    N_LIES = 2,  // before each honest update
    WEIGHT = 10,
    N_TINY = 1000000,
    MAX_MODEL_BYTES = 64 << 20
};

static const struct {
    const char *name, *earns;
} lies[] = {
    {"nan", "parameters "},
    {"infinite", "parameters "},
    {"huge", "parameters "},
    {"shape", "the update has "},
    {"pieces", "its pieces do not have the digest"},
    {"second", "a different train contribution of round"},
    {"replay", ""},
    {"round", ""},
    {"name", "the contribution is in the name of"},
    {"signature", "the signature is not the site's"},
    {"model", "it was made from another model"},
    {"weight", "weight: "},
    {"10 GB", "the update has 107"},
    {"tiny", "a message without protocol version"},
};
enum { N_KINDS = sizeof lies / sizeof *lies };

const char *liar_lie(size_t i)
{
    return lies[i % N_KINDS].name;
}

const char *liar_earns(const char *lie)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        if (strcmp(lies[i].name, lie) == 0) {
            return lies[i].earns;
        }
    }
    return "";
}

typedef struct {
    const char *lie;
    fed_identity *id, *one_time;
    fed_invitation invitation;
    fed_site_id site;
    fed_link *link;
    uint32_t n_connected;
    bool enrolled, welcome, is_done;
    int64_t greeted_ms, offered_ms, beat_ms;
    fed_order order;
    bool has_order;
    int n_lies;        // to the current order to train
    fed_inbox *inbox;  // of the first model: how many parameters there are
    uint64_t P;
    float *update;
    fed_offer offer, before;  // before: of the last round
    bool has_before, lies_now;
    char *document;
    size_t n_document;
} liar;

static void say(liar *x, const fed_msg *m, const void *payload, size_t n)
{
    fl_buf header = FL_BUF_INIT;
    fed_msg_pack(m, &header);
    (void)fed_send(x->link, NULL, header.data, header.n, payload, n, NULL);
    fl_buf_clear(&header);
}

// ------------------------------------------------------------- contributions

static void begin_offer(liar *x, fed_offer *o)
{
    *o = (fed_offer){.key = x->order.key, .site = x->site};
    if (x->order.key.kind != FED_CHECK) {
        o->base_model = x->order.model_id;
    }
    FL_FREE(x->document);
    x->n_document = 0;
}

static void end_offer(liar *x, fed_offer *o)
{
    if (o->key.kind == FED_TRAIN) {
        memcpy(o->table_hash, x->order.table_hash, sizeof o->table_hash);
        fed_object_digest(&o->digest, FED_ENC_F32, x->update, x->P, &o->n_bytes, &o->n_pieces);
    } else {
        fed_object_digest(&o->digest, FED_ENC_BYTES, x->document, x->n_document, &o->n_bytes,
                          &o->n_pieces);
    }
    fed_offer_sign(o, x->id);
}

/* By a formula of round and place. */
static void fill_update(liar *x, uint32_t round)
{
    for (uint64_t i = 0; i < x->P; i++) {
        x->update[i] = 0.001f * ((float)((i * 7 + round) % 19) - 9.0f);
    }
}

static const char score_document[] = "{\"bins\": 10, \"negatives\": [0, 0, 5, 0, 0, 0, 0, 0, 0, 0],"
                                     " \"positives\": [0, 0, 0, 0, 0, 0, 0, 5, 0, 0]}";
static const char test_document[] =
    "{\"name\": \"west\", \"n_train\": 20, \"n_val\": 10, \"n_test\": 40, \"test_opened\": 1,"
    " \"models\": {\"global\": {\"accuracy\": {\"value\": 0.8, \"ci_low\": 0.6, \"ci_high\": 0.9,"
    " \"n\": 40, \"n_positive\": 16, \"n_patients\": 40, \"method\": \"Wilson\", \"why\": \"\"}}},"
    " \"confusion\": {\"global\": {\"tp\": 12, \"fn\": 4, \"fp\": 4, \"tn\": 20}},"
    " \"histogram\": {\"bins\": 2, \"negatives\": [20, 4], \"positives\": [4, 12]}}";

static void write_document(liar *x, const char *text)
{
    x->document = fl_xstrdup(text);
    x->n_document = strlen(text);
}

static void make_honest(liar *x, fed_offer *o)
{
    begin_offer(x, o);
    switch (o->key.kind) {
    case FED_CHECK:
        fed_offer_set(o, "n_train", 20);
        fed_offer_set(o, "n_val", 10);
        fed_offer_set(o, "n_test", 40);
        write_document(x, "{\"flow\": {\"cases\": 70}}");
        break;
    case FED_TRAIN:
        fed_offer_set(o, "weight", WEIGHT);
        fed_offer_set(o, "n", WEIGHT);
        fed_offer_set(o, "steps", 4);
        fed_offer_set(o, "loss", 0.5);
        fill_update(x, o->key.round.n);
        break;
    case FED_SCORE:
        fed_offer_set(o, "n", 10);
        fed_offer_set(o, "n_positive", 5);
        fed_offer_set(o, "loss", 0.5);
        fed_offer_set(o, "auc", 0.75);
        if (x->order.histogram_bins > 0) {
            write_document(x, score_document);
        }
        break;
    case FED_TEST:
        write_document(x, test_document);
        break;
    default:
        break;
    }
    end_offer(x, o);
}

// ---------------------------------------------------------------------- lies

static bool is_lie(const liar *x, const char *name)
{
    return strcmp(x->lie, name) == 0;
}

/* Messages without a sense, and many with one. */
static void say_tiny(liar *x)
{
    fed_msg beat = {.type = FED_MSG_BEAT};
    beat.u.beat.key = x->order.key;
    for (int i = 0; i < N_TINY / (2 * N_LIES) && fed_link_up(x->link); i++) {
        if (i % 8000 == 0) {
            (void)fed_send(x->link, NULL, "?", 1, NULL, 0, NULL);
        } else {
            say(x, &beat, NULL, 0);
        }
        if (i % 64 == 0) {
            fed_wait(&x->link, 1, NULL, 0);
        }
    }
}

/* An Offer that is not true, out of the one that would be. */
static void make_lie(liar *x, fed_offer *o)
{
    make_honest(x, o);
    if (is_lie(x, "nan")) {
        x->update[x->P - 1] = NAN;
    } else if (is_lie(x, "infinite")) {
        x->update[70000] = -INFINITY;
    } else if (is_lie(x, "huge")) {
        x->update[3] = 1e30f;
    } else if (is_lie(x, "name")) {
        fed_site_id_parse(&o->site, "nord", NULL);
    } else if (is_lie(x, "model")) {
        o->base_model.bytes[7] ^= 1;
    } else if (is_lie(x, "weight")) {
        fed_offer_set(o, "weight", 1e6);
    } else if (is_lie(x, "round")) {
        o->key.round.n++;
    }
    end_offer(x, o);
    if (is_lie(x, "shape")) {
        o->n_pieces--;
        o->n_bytes -= 4 * (x->P % FED_PIECE_VALUES) + FED_PIECE_HEAD;
        fed_offer_sign(o, x->id);
    } else if (is_lie(x, "10 GB")) {
        o->n_pieces = 40960;
        o->n_bytes = (uint64_t)o->n_pieces * FED_PIECE_BYTES;
        fed_offer_sign(o, x->id);
    } else if (is_lie(x, "signature")) {
        o->signature.bytes[5] ^= 1;
    } else if (is_lie(x, "pieces")) {
        x->update[5] += 0.25f;  // after it was signed
    } else if (is_lie(x, "replay") && x->has_before) {
        *o = x->before;
    } else if (is_lie(x, "tiny")) {
        say_tiny(x);
    }
}

// -------------------------------------------------------------- conversation

static void offer(liar *x)
{
    bool trains = x->order.key.kind == FED_TRAIN;
    x->lies_now = trains && x->n_lies < N_LIES && !is_lie(x, "") && !is_lie(x, "second");
    if (x->lies_now) {
        x->n_lies++;
        make_lie(x, &x->offer);
    } else {
        make_honest(x, &x->offer);
    }
    fed_msg m = {.type = FED_MSG_OFFER, .u.offer = x->offer};
    x->offered_ms = fl_now_ms();
    say(x, &m, NULL, 0);
}

/* The accepted update's round, and other numbers. */
static void offer_second(liar *x)
{
    x->before = x->offer;
    for (; x->n_lies < N_LIES; x->n_lies++) {
        fed_offer other = x->offer;
        x->update[0] += 0.5f;
        end_offer(x, &other);
        fed_msg m = {.type = FED_MSG_OFFER, .u.offer = other};
        say(x, &m, NULL, 0);
    }
}

static void on_verdict(liar *x, const fed_msg *m)
{
    if (!fed_digest_equal(&m->u.verdict.digest, &x->offer.digest)) {
        return;
    }
    if (!m->u.verdict.accepted || x->lies_now) {
        x->offered_ms = 0;  // what comes next
        return;
    }
    if (x->offer.key.kind == FED_TRAIN) {
        if (is_lie(x, "second")) {
            offer_second(x);
        }
        x->before = x->offer;
        x->has_before = true;
    }
    if (!fed_order_key_equal(&x->offer.key, &x->order.key)) {
        return;  // said twice, and another order came in between
    }
    x->is_done = x->offer.key.kind == FED_DONE;
    x->has_order = false;
}

static void on_grant(liar *x, const fed_msg *m)
{
    uint8_t *piece = fl_xcalloc(FED_PIECE_BYTES, 1);
    const fed_offer *o = &x->offer;
    bool trains = o->key.kind == FED_TRAIN;
    for (uint32_t i = m->u.grant.next;
         i < m->u.grant.next + m->u.grant.credits && i < o->n_pieces &&
         fed_digest_equal(&o->digest, &m->u.grant.digest);
         i++) {
        fed_msg out = {.type = FED_MSG_PIECE};
        out.u.piece.object = o->digest;
        out.u.piece.index = i;
        out.u.piece.n_pieces = o->n_pieces;
        out.u.piece.n_bytes = o->n_bytes;
        size_t n = trains ? fed_piece_pack(piece, FED_ENC_F32, x->update, x->P, i)
                          : fed_piece_pack(piece, FED_ENC_BYTES, x->document, x->n_document, i);
        say(x, &out, piece, n);
    }
    x->offered_ms = fl_now_ms();
    free(piece);
}

static void on_order(liar *x, const fed_msg *m)
{
    bool is_new = !fed_order_key_equal(&x->order.key, &m->u.order.key);
    x->order = m->u.order;
    x->has_order = m->u.order.key.kind != FED_WAIT;
    if (is_new) {
        x->n_lies = 0;
        x->offered_ms = 0;
    }
}

static void on_piece(liar *x, const fed_msg *m, const fed_packet *packet)
{
    fed_encoding enc;
    if (x->inbox != NULL && x->P == 0 &&
        fed_inbox_add(x->inbox, m->u.piece.index, m->u.piece.n_pieces, m->u.piece.n_bytes,
                      packet->payload, packet->n_payload, NULL) == FL_OK &&
        fed_inbox_done(x->inbox)) {
        (void)fed_inbox_items(x->inbox, &enc, &x->P);
        x->update = fl_xcalloc((size_t)x->P, sizeof *x->update);
        x->offered_ms = 0;
    }
}

static void on_message(liar *x, const fed_packet *packet)
{
    fed_msg m;
    if (fed_msg_unpack(&m, packet->header, packet->n_header, NULL) != FL_OK) {
        return;
    }
    switch (m.type) {
    case FED_MSG_ENROLLED:
        x->enrolled = true;
        break;
    case FED_MSG_WELCOME:
        x->welcome = true;
        break;
    case FED_MSG_ORDER:
        on_order(x, &m);
        break;
    case FED_MSG_GRANT:
        on_grant(x, &m);
        break;
    case FED_MSG_PIECE:
        on_piece(x, &m, packet);
        break;
    case FED_MSG_VERDICT:
        on_verdict(x, &m);
        break;
    default:
        break;
    }
}

/* The first model tells how many parameters there are. */
static void fetch(liar *x)
{
    fed_msg m = {.type = FED_MSG_FETCH};
    fed_inbox_destroy(&x->inbox);
    if (fed_inbox_new(&x->inbox, &x->order.model, MAX_MODEL_BYTES, NULL) == FL_OK) {
        m.u.fetch.object = x->order.model;
        m.u.fetch.count = 64;
        say(x, &m, NULL, 0);
    }
    x->offered_ms = fl_now_ms();
}

static void greet(liar *x)
{
    fed_msg m = {.type = FED_MSG_HELLO};
    snprintf(m.u.hello.software, sizeof m.u.hello.software, "liar 1");
    snprintf(m.u.hello.environment, sizeof m.u.hello.environment, "no training at all");
    if (!x->enrolled) {
        fl_buf bytes = FL_BUF_INIT;
        m = (fed_msg){.type = FED_MSG_ENROL};
        memcpy(m.u.enrol.invitation, x->invitation.id, sizeof x->invitation.id);
        m.u.enrol.site = x->site;
        m.u.enrol.sign_key = fed_identity_verify(x->id);
        m.u.enrol.curve_key = fed_identity_public(x->id);
        fed_enrol_bytes(&m.u.enrol, &bytes);
        fed_sign(&m.u.enrol.signature, x->id, "consilium enrol 1", bytes.data, bytes.n);
        fl_buf_clear(&bytes);
    }
    x->greeted_ms = fl_now_ms();
    say(x, &m, NULL, 0);
}

static void talk(liar *x)
{
    int64_t now = fl_now_ms();
    bool is_up = fed_link_up(x->link);
    if (fed_link_n_connected(x->link) != x->n_connected) {
        x->n_connected = fed_link_n_connected(x->link);
        x->welcome = false;
        x->greeted_ms = x->offered_ms = 0;
    }
    if (!is_up) {
        return;
    }
    if (!x->welcome) {
        if (now - x->greeted_ms > AGAIN_MS) {
            greet(x);
        }
        return;
    }
    if (now - x->beat_ms > BEAT_MS) {
        fed_msg m = {.type = FED_MSG_BEAT};
        m.u.beat.key = x->order.key;
        m.u.beat.phase = FED_WORKING;
        m.u.beat.steps_done = (uint64_t)now;  // always busy
        x->beat_ms = now;
        say(x, &m, NULL, 0);
    }
    if (x->has_order && now - x->offered_ms > AGAIN_MS) {
        if (x->order.key.kind == FED_TRAIN && x->P == 0) {
            fetch(x);
        } else {
            offer(x);
        }
    }
}

static fl_status connect_with(liar *x, const fed_identity *id, fl_err *err)
{
    fed_link_close(&x->link);
    x->n_connected = 0;
    x->welcome = false;
    return fed_connect(&x->link, x->invitation.address, &x->invitation.coordinator_curve, id, err);
}

int liar_main(const char *home, const char *lie)
{
    fl_err err = FL_ERR_INIT;
    liar x = {.lie = lie};
    char *keys = fl_path_join(home, "keys"), *invitation = fl_path_join(keys, "invitation.yaml");
    fed_init();
    if (fed_identity_read(&x.id, keys, &err) != FL_OK ||
        fed_invitation_read(&x.invitation, invitation, &err) != FL_OK) {
        goto done;
    }
    x.site = x.invitation.site;
    x.one_time = fed_identity_one_time(x.invitation.curve_secret);
    if (connect_with(&x, x.one_time, &err) != FL_OK) {
        goto done;
    }
    fl_catch_signals();
    while (!x.is_done && !fl_stop_requested()) {
        fed_packet packet;
        fed_wait(&x.link, 1, NULL, 20);
        bool was_enrolled = x.enrolled;
        while (fed_receive(x.link, &packet)) {
            on_message(&x, &packet);
        }
        if (x.enrolled && !was_enrolled && connect_with(&x, x.id, &err) != FL_OK) {
            goto done;
        }
        talk(&x);
    }
done:
    if (err.status != FL_OK) {
        fprintf(stderr, "liar: %s\n", err.text);
    }
    fed_link_close(&x.link);
    fed_identity_destroy(&x.id);
    fed_identity_destroy(&x.one_time);
    fed_invitation_clear(&x.invitation);
    fed_inbox_destroy(&x.inbox);
    free(x.update);
    free(x.document);
    free(keys);
    free(invitation);
    return err.status == FL_OK ? 0 : 1;
}
