/*
 * fake_site.c - a site that trains nothing, and speaks the whole conversation; see fake.h
 */
#include "fake.h"

#include "check.h"

#include "base/json.h"
#include "coordinator/round.h"
#include "fed/bf16.h"
#include "fed/msg.h"

enum { AGAIN_MS = 60, BEAT_MS = 40, WINDOW = 64 };

fl_status fake_say(fake_site *s, const fed_msg *m, const void *payload, size_t n)
{
    fl_buf header = FL_BUF_INIT;
    fed_msg_pack_as(m, s->version != 0 ? s->version : FED_PROTOCOL_VERSION, &header);
    fl_status st = s->link != NULL
                       ? fed_send(s->link, NULL, header.data, header.n, payload, n, NULL)
                       : FL_ENOTFOUND;
    fl_buf_clear(&header);
    return st;
}

void fake_sign(fake_site *s, fed_offer *o)
{
    fl_buf bytes = FL_BUF_INIT;
    fed_offer_bytes(o, &bytes);
    fed_sign(&o->signature, s->id, "consilium contribution 1", bytes.data, bytes.n);
    fl_buf_clear(&bytes);
}

fake_kept *fake_keep(fake_site *s, fed_encoding enc, const void *items, uint64_t n)
{
    check(s->n_kept < FAKE_MAX_KEPT);
    size_t size = enc == FED_ENC_BYTES ? 1 : 4;
    fake_kept *k = &s->kept[s->n_kept++];
    fed_offer scalars = k->offer;
    *k = (fake_kept){.enc = enc, .n = n, .items = fl_xcalloc((size_t)n + 1, size)};
    memcpy(k->offer.scalars, scalars.scalars, sizeof scalars.scalars);
    k->offer.n_scalars = scalars.n_scalars;
    if (n > 0) {
        memcpy(k->items, items, (size_t)n * size);
    }
    k->offer.key = s->order.key;
    if (s->order.key.kind != FED_CHECK) {
        k->offer.base_model = s->order.model_id;
    }
    if (s->order.key.kind == FED_TRAIN || (s->order.key.kind == FED_LEND && n > 0)) {
        memcpy(k->offer.table_hash, s->order.table_hash, sizeof k->offer.table_hash);
    }
    memcpy(k->offer.site.text, s->name, sizeof s->name);
    if (s->spoil != NULL) {
        s->spoil(s, k);
    }
    fed_object_digest(&k->offer.digest, enc, k->items, k->n, &k->offer.n_bytes, &k->offer.n_pieces);
    fake_sign(s, &k->offer);
    return k;
}

/* The scalars of the next contribution to be kept. */
static fed_offer *next_scalars(fake_site *s)
{
    fed_offer *o = &s->kept[s->n_kept].offer;
    memset(o, 0, sizeof *o);
    return o;
}

static int n_train(const fake_site *s)
{
    return 100 + 31 * s->number;
}

static void make_check(fake_site *s)
{
    fed_offer *o = next_scalars(s);
    fed_offer_set(o, "n_train", n_train(s));
    fed_offer_set(o, "n_val", 20);
    fed_offer_set(o, "n_test", 40);
    fl_buf b = FL_BUF_INIT;
    fl_buf_puts(&b, "{\"flow\": {\"cases\": 160}");
    if (s->own_model != NULL) {
        fl_buf_printf(&b, ", \"policy\": {\"own_model\": \"%s\"}", s->own_model);
    }
    fl_buf_puts(&b, "}");
    fake_keep(s, FED_ENC_BYTES, b.data, b.n);
    fl_buf_clear(&b);
}

/* A step of a third towards a point that differs by site, with a wobble by round. */
static void make_update(fake_site *s, const float *model, uint64_t P)
{
    float *update = fl_xcalloc((size_t)P, sizeof *update);
    for (uint64_t i = 0; i < P; i++) {
        float target = (float)((i * 7 + (uint64_t)s->number * 13) % 19) / 19.0f - 0.4f;
        update[i] = 0.3f * (target - model[i]) + 0.001f * (float)((s->order.key.round.n + i) % 5);
    }
    fed_offer *o = next_scalars(s);
    fed_offer_set(o, "weight", n_train(s));
    fed_offer_set(o, "n", n_train(s));
    fed_offer_set(o, "steps", 10);
    fed_offer_set(o, "loss", 0.7 / (1 + s->order.key.round.n));
    if (s->enc == FED_ENC_BF16) {
        fed_bf16_round(update, NULL, (int64_t)P);
    }
    fake_keep(s, s->enc, update, P);
    free(update);
}

static void make_score(fake_site *s)
{
    fed_offer *o = next_scalars(s);
    fed_offer_set(o, "n", 20);
    fed_offer_set(o, "n_positive", 8);
    fed_offer_set(o, "loss", 0.5 + 0.01 * s->number);
    fed_offer_set(o, "accuracy", 0.75);
    uint32_t round = s->order.key.round.n & ~FED_HISTOGRAM_BIT;
    fed_offer_set(o, "auc", 0.6 + 0.01 * (double)(round % 10));  // the last of few rounds is best
    if (s->order.histogram_bins == 0) {
        fake_keep(s, FED_ENC_BYTES, "", 0);
        return;
    }
    uint32_t bins = s->order.histogram_bins;
    fl_buf b = FL_BUF_INIT;
    fl_buf_printf(&b, "{\"bins\": %u, \"negatives\": [", bins);
    for (uint32_t i = 0; i < bins; i++) {
        fl_buf_printf(&b, "%s%d", i > 0 ? ", " : "", i == 2 ? 12 : 0);
    }
    fl_buf_puts(&b, "], \"positives\": [");
    for (uint32_t i = 0; i < bins; i++) {
        fl_buf_printf(&b, "%s%d", i > 0 ? ", " : "", i == bins - 3 ? 8 : 0);
    }
    fl_buf_puts(&b, "]}");
    fake_keep(s, FED_ENC_BYTES, b.data, b.n);
    fl_buf_clear(&b);
}

static void make_test(fake_site *s)
{
    next_scalars(s);
    fl_buf b = FL_BUF_INIT;
    fl_buf_printf(
        &b,
        "{\"name\": \"%s\", \"n_train\": %d, \"n_val\": 20, \"n_test\": 40, \"test_opened\": 1,"
        " \"models\": {\"global\": {\"accuracy\": {\"value\": 0.8, \"ci_low\": 0.6, \"ci_high\": "
        "0.9, \"n\": 40,"
        " \"n_positive\": 16, \"n_patients\": 40, \"method\": \"Wilson\", \"why\": \"\"},"
        " \"auc\": {\"value\": %.2f, \"ci_low\": 0.6, \"ci_high\": 0.99, \"n\": 40, "
        "\"n_positive\": 16,"
        " \"n_patients\": 40, \"method\": \"DeLong\", \"why\": \"\"}}},"
        " \"confusion\": {\"global\": {\"tp\": 12, \"fn\": 4, \"fp\": 4, \"tn\": 20}},"
        " \"histogram\": {\"bins\": 2, \"negatives\": [20, 4], \"positives\": [4, 12]}}",
        s->name, n_train(s), 0.7 + 0.02 * (s->number % 10));
    fake_keep(s, FED_ENC_BYTES, b.data, b.n);
    fl_buf_clear(&b);
}

// ------------------------------------------------------- own models, lent and judged

float fake_own_first(int number)
{
    return 0.01f * (float)(number + 1);
}

double fake_own_threshold(int number)
{
    return 0.1 * (number + 1);
}

double fake_judged(float first, double threshold, int number)
{
    return 0.3 + (double)first + 0.1 * threshold + 0.001 * number;
}

static void make_lend(fake_site *s)
{
    fl_err err = FL_ERR_INIT;
    uint64_t P = 0;
    fed_encoding enc;
    (void)fed_inbox_items(s->inbox, &enc, &P);
    fed_offer *o = next_scalars(s);
    fed_offer_set(o, "allowed", !s->keeps_own);
    if (s->keeps_own || s->has_no_own) {
        fake_keep(s, FED_ENC_BYTES, "", 0);
        return;
    }
    float *own = fl_calloc_aligned((size_t)P, sizeof *own, "a model", &err);
    check(own != NULL);
    for (uint64_t i = 0; i < P; i++) {
        own[i] = fake_own_first(s->number) * (float)(1 + i % 11);
    }
    fed_offer_set(o, "threshold", fake_own_threshold(s->number));
    fake_keep(s, FED_ENC_F32, own, P);
    free(own);
}

static void make_cross(fake_site *s)
{
    uint64_t P = 0;
    fed_encoding enc;
    const float *model = fed_inbox_items(s->inbox, &enc, &P);
    check_int(enc, FED_ENC_F32);
    fed_offer_set(next_scalars(s), "n", 40);
    char looks[32] = "";
    if (!s->tells_no_looks) {
        snprintf(looks, sizeof looks, "\"test_opened\": %u, ", 1 + s->order.key.round.n);
    }
    char *text = fl_xasprintf("{%s\"n_test\": 40, \"metrics\": {\"accuracy\": {\"value\": %.17g, "
                              "\"ci_low\": 0.1, \"ci_high\": 1, \"n\": 40, \"why\": \"\"}}}",
                              looks, fake_judged(model[0], s->order.threshold, s->number));
    fake_keep(s, FED_ENC_BYTES, text, strlen(text));
    free(text);
}

static fake_kept *find_kept(fake_site *s)
{
    for (size_t i = 0; i < s->n_kept; i++) {
        fake_kept *k = &s->kept[i];
        bool based = s->order.key.kind == FED_CHECK ||
                     memcmp(&k->offer.base_model, &s->order.model_id, sizeof s->order.model_id) ==
                         0;
        if (fed_order_key_equal(&k->offer.key, &s->order.key) && (based || s->spoil != NULL)) {
            return k;
        }
    }
    return NULL;
}

fake_kept *fake_update_of(fake_site *s, uint32_t round)
{
    for (size_t i = 0; i < s->n_kept; i++) {
        fake_kept *k = &s->kept[i];
        if (k->offer.key.kind == FED_TRAIN && k->offer.key.round.n == round) {
            return k;
        }
    }
    return NULL;
}

/* An update of a round that was committed before it was answered. */
static fake_kept *find_late(fake_site *s)
{
    for (uint32_t round = 1; round <= s->order.committed.n && !s->keeps_late; round++) {
        fake_kept *k = fake_update_of(s, round);
        if (k != NULL && !k->answered) {
            return k;
        }
    }
    return NULL;
}

static void offer(fake_site *s, const fake_kept *k)
{
    fed_msg m = {.type = FED_MSG_OFFER, .u.offer = k->offer};
    if (s->n_rotated > 0) {
        fake_sign(s, &m.u.offer);
    }
    s->offered_ms = fl_now_ms();
    fake_say(s, &m, NULL, 0);
}

static void reply(fake_site *s, fed_answer answer, bool mismatch, const char *text)
{
    fed_msg m = {.type = FED_MSG_REPLY};
    m.u.reply.key = s->order.key;
    m.u.reply.answer = answer;
    m.u.reply.mismatch = mismatch;
    snprintf(m.u.reply.text, sizeof m.u.reply.text, "%s", text);
    fake_say(s, &m, NULL, 0);
}

static void fetch_model(fake_site *s)
{
    fl_err err = FL_ERR_INIT;
    if (s->inbox == NULL || !fed_digest_equal(&s->inbox_object, &s->order.model)) {
        fed_inbox_destroy(&s->inbox);
        s->inbox_object = s->order.model;
        check_ok(fed_inbox_new(&s->inbox, &s->order.model, 1 << 28, &err), err);
    } else if (fed_inbox_next(s->inbox) < s->asked && fl_now_ms() - s->fetched_ms < AGAIN_MS) {
        return;
    }
    fed_msg m = {.type = FED_MSG_FETCH};
    m.u.fetch.object = s->order.model;
    m.u.fetch.first = fed_inbox_next(s->inbox);
    m.u.fetch.count = WINDOW;
    s->asked = m.u.fetch.first + WINDOW;
    s->fetched_ms = fl_now_ms();
    fake_say(s, &m, NULL, 0);
}

static bool has_model(const fake_site *s)
{
    return s->inbox != NULL && fed_digest_equal(&s->inbox_object, &s->order.model) &&
           fed_inbox_done(s->inbox);
}

static bool says_no(fake_site *s)
{
    bool check = s->order.key.kind == FED_CHECK, train = s->order.key.kind == FED_TRAIN;
    if (check && s->refuse_check) {
        reply(s, FED_REFUSE, false, "the policy allows no such task");
    } else if (check && s->misfit) {
        reply(s, FED_REFUSE, true,
              "classes: the job has normal, opacity; this data set has normal, nodule");
    } else if (check && s->pending) {
        reply(s, FED_PENDING, false, "waits for approval");
    } else if (train && s->refuse_train) {
        reply(s, FED_REFUSE, false, "the loss is not finite");
    } else {
        return false;
    }
    s->has_order = s->pending;
    return true;
}

/* What the order asks for, from the outbox or anew. */
static void work(fake_site *s)
{
    if (s->idle_beats || fl_now_ms() - s->offered_ms < AGAIN_MS || says_no(s)) {
        return;
    }
    fake_kept *k = find_late(s);
    k = k != NULL ? k : find_kept(s);
    bool reads_model = s->order.key.kind == FED_TRAIN || s->order.key.kind == FED_LEND ||
                       s->order.key.kind == FED_CROSS;
    if (k == NULL && s->order.has_model && reads_model && !has_model(s)) {
        fetch_model(s);
        return;
    }
    if (k == NULL) {
        uint64_t P = 0;
        fed_encoding enc;
        switch (s->order.key.kind) {
        case FED_CHECK:
            make_check(s);
            break;
        case FED_TRAIN: {
            const float *model = fed_inbox_items(s->inbox, &enc, &P);
            make_update(s, model, P);
            break;
        }
        case FED_SCORE:
            make_score(s);
            break;
        case FED_TEST:
            make_test(s);
            break;
        case FED_LEND:
            make_lend(s);
            break;
        case FED_CROSS:
            make_cross(s);
            break;
        default:
            next_scalars(s);
            fake_keep(s, FED_ENC_BYTES, "", 0);
        }
        k = find_kept(s);
        check(k != NULL);
    }
    if (s->order.key.kind == FED_TRAIN && s->order.key.round.n == s->late_in) {
        reply(s, FED_REFUSE, false, "the disk was away");
        s->has_order = false;
    } else {
        offer(s, k);
    }
}

static void on_grant(fake_site *s, const fed_msg *m)
{
    uint8_t *piece = fl_xcalloc(FED_PIECE_BYTES, 1);
    for (size_t i = 0; i < s->n_kept; i++) {
        const fake_kept *k = &s->kept[i];
        if (!fed_digest_equal(&k->offer.digest, &m->u.grant.digest)) {
            continue;
        }
        for (uint32_t p = m->u.grant.next;
             p < m->u.grant.next + m->u.grant.credits && p < k->offer.n_pieces; p++) {
            fed_msg out = {.type = FED_MSG_PIECE};
            out.u.piece.object = k->offer.digest;
            out.u.piece.index = p;
            out.u.piece.n_pieces = k->offer.n_pieces;
            out.u.piece.n_bytes = k->offer.n_bytes;
            size_t n = fed_piece_pack(piece, k->enc, k->items, k->n, p);
            fake_say(s, &out, piece, n);
        }
        s->offered_ms = fl_now_ms();
        break;
    }
    free(piece);
}

static void drop_kept(fake_site *s, const fed_digest *digest)
{
    for (size_t i = 0; i < s->n_kept; i++) {
        if (fed_digest_equal(&s->kept[i].offer.digest, digest)) {
            free(s->kept[i].items);
            s->kept[i] = s->kept[--s->n_kept];
            return;
        }
    }
}

/* Notes the answer; was it to an update of an earlier round? */
static bool is_late_verdict(fake_site *s, const fed_digest *digest)
{
    for (size_t i = 0; i < s->n_kept; i++) {
        fake_kept *k = &s->kept[i];
        if (fed_digest_equal(&k->offer.digest, digest)) {
            k->answered = true;
            return k->offer.key.kind == FED_TRAIN &&
                   !fed_order_key_equal(&k->offer.key, &s->order.key);
        }
    }
    return false;
}

static void on_message(fake_site *s, const fed_packet *packet)
{
    fl_err err = FL_ERR_INIT;
    fed_msg m;
    check_ok(fed_msg_unpack(&m, packet->header, packet->n_header, &err), err);
    check(s->version == 0 || m.version <= s->version);  // else it could not read it
    switch (m.type) {
    case FED_MSG_ENROLLED:
        s->enrolled = true;
        break;
    case FED_MSG_WELCOME:
        s->welcome = true;
        check_str(m.u.welcome.site.text, s->name);
        break;
    case FED_MSG_ORDER:
        s->n_orders++;
        if (!s->has_order || !fed_order_key_equal(&s->order.key, &m.u.order.key)) {
            s->offered_ms = 0;
        }
        s->order = m.u.order;
        s->has_order = m.u.order.key.kind != FED_WAIT;
        snprintf(s->wait_text, sizeof s->wait_text, "%s", m.u.order.text);
        break;
    case FED_MSG_GRANT:
        on_grant(s, &m);
        break;
    case FED_MSG_PIECE:
        if (s->inbox != NULL && fed_digest_equal(&m.u.piece.object, &s->inbox_object)) {
            check_ok(fed_inbox_add(s->inbox, m.u.piece.index, m.u.piece.n_pieces, m.u.piece.n_bytes,
                                   packet->payload, packet->n_payload, &err),
                     err);
            s->fetched_ms = fl_now_ms();
        }
        break;
    case FED_MSG_VERDICT:
        snprintf(s->last_verdict, sizeof s->last_verdict, "%s", m.u.verdict.text);
        if (is_late_verdict(s, &m.u.verdict.digest)) {
            s->n_accepted += m.u.verdict.accepted;
            s->n_refused += !m.u.verdict.accepted;
            s->offered_ms = 0;
        } else if (m.u.verdict.accepted) {
            const fake_kept *k = find_kept(s);
            s->n_accepted++;
            if (k != NULL && fed_digest_equal(&k->offer.digest, &m.u.verdict.digest)) {
                s->done = s->done || s->order.key.kind == FED_DONE;
                s->has_order = false;
            }  // else it was said twice, and another order came in between
        } else {
            s->n_refused++;
            drop_kept(s, &m.u.verdict.digest);
            s->has_order = false;
        }
        break;
    case FED_MSG_ROTATED:
        if (s->next == NULL || s->deaf_to_rotated ||
            memcmp(&s->rotation.sign, &m.u.rotated.sign, sizeof s->rotation.sign) != 0) {
            break;
        }
        if (m.u.rotated.accepted) {
            fed_identity_destroy(&s->id);
            s->id = s->next;
            s->n_rotated++;
        } else {
            fed_identity_destroy(&s->next);
            snprintf(s->not_rotated, sizeof s->not_rotated, "%s", m.u.rotated.text);
        }
        s->next = NULL;
        break;
    case FED_MSG_ROTATE: {
        fed_msg answer = {.type = FED_MSG_ROTATED};
        answer.u.rotated.sign = m.u.rotate.sign;
        answer.u.rotated.accepted = fed_rotation_verify(&m.u.rotate);
        check(answer.u.rotated.accepted);
        s->n_told++;
        fake_say(s, &answer, NULL, 0);
        break;
    }
    case FED_MSG_REFUSED:
        snprintf(s->refused, sizeof s->refused, "%s", m.u.refused.text);
        break;
    default:
        check_fail("a site was sent %s", fed_msg_name(m.type));
    }
}

static void connect_site(fake_site *s)
{
    fl_err err = FL_ERR_INIT;
    fed_public_key server = fed_identity_public(s->fake->fed.identity);
    s->one_time = !s->enrolled;
    s->n_connected = 0;
    s->welcome = false;
    s->greeted_ms = 0;
    fed_identity *id = s->one_time ? fed_identity_one_time(s->invitation.curve_secret) : s->id;
    check_ok(fed_connect(&s->link, serve_address(s->fake->serve), &server, id, &err), err);
    if (s->one_time) {
        fed_identity_destroy(&id);
    }
}

static void greet(fake_site *s)
{
    fed_msg m = {.type = FED_MSG_HELLO};
    if (fl_now_ms() - s->greeted_ms < AGAIN_MS) {
        return;
    }
    s->greeted_ms = fl_now_ms();
    snprintf(m.u.hello.software, sizeof m.u.hello.software, "fake 1");
    snprintf(m.u.hello.environment, sizeof m.u.hello.environment, "no training at all");
    if (s->one_time) {
        fl_buf bytes = FL_BUF_INIT;
        m = (fed_msg){.type = FED_MSG_ENROL};
        memcpy(m.u.enrol.invitation, s->invitation.id, sizeof s->invitation.id);
        m.u.enrol.site = s->invitation.site;
        m.u.enrol.sign_key = fed_identity_verify(s->id);
        m.u.enrol.curve_key = fed_identity_public(s->id);
        fed_enrol_bytes(&m.u.enrol, &bytes);
        fed_sign(&m.u.enrol.signature, s->id, "consilium enrol 1", bytes.data, bytes.n);
        fl_buf_clear(&bytes);
    }
    fake_say(s, &m, NULL, 0);
}

static void beat(fake_site *s)
{
    if (fl_now_ms() - s->beat_ms < BEAT_MS) {
        return;
    }
    s->beat_ms = fl_now_ms();
    fed_msg m = {.type = FED_MSG_BEAT};
    m.u.beat.key = s->order.key;
    m.u.beat.phase = s->idle_beats ? FED_WORKING : FED_IDLE;
    fake_say(s, &m, NULL, 0);
}

void fake_site_step(fake_site *s)
{
    fed_packet packet;
    if (s->asleep) {
        return;
    }
    if (s->link == NULL) {
        connect_site(s);
    }
    fed_link_up(s->link);  // connects again
    if (fed_link_n_connected(s->link) != s->n_connected) {
        s->n_connected = fed_link_n_connected(s->link);
        s->welcome = false;
        s->greeted_ms = 0;
    }
    int n_rotated = s->n_rotated;
    if (s->next != NULL && !s->one_time && fl_now_ms() - s->rotated_ms >= AGAIN_MS) {
        fed_msg m = {.type = FED_MSG_ROTATE, .u.rotate = s->rotation};
        s->rotated_ms = fl_now_ms();
        fake_say(s, &m, NULL, 0);
    }
    while (fed_receive(s->link, &packet)) {
        on_message(s, &packet);
    }
    if (s->n_rotated > n_rotated) {
        fed_link_close(&s->link);
        s->welcome = false;
        return;
    }
    if (s->one_time && s->enrolled) {
        fed_link_close(&s->link);
        return;
    }
    if (s->one_time || !s->welcome) {
        greet(s);
        return;
    }
    beat(s);
    if (s->has_order) {
        work(s);
    }
}

void fake_rotate(fake_site *s)
{
    fed_site_id name;
    fl_err err = FL_ERR_INIT;
    check_ok(fed_site_id_parse(&name, s->name, &err), err);
    check(s->next == NULL);
    s->next = fed_identity_new();
    fed_rotation_make(&s->rotation, &name, s->id, s->next);
}

void fake_site_kill(fake_site *s)
{
    fed_link_close(&s->link);
    fed_inbox_destroy(&s->inbox);
    s->has_order = s->welcome = false;
    s->order = (fed_order){0};
    s->offered_ms = s->fetched_ms = 0;
}
