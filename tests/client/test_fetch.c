/*
 * test_fetch.c - an object that arrives in pieces
 */
#include "check.h"

#include "client/fetch.h"
#include "fed/identity.h"

enum { N_PIECES = 200 };

/* An object of N_PIECES pieces, the last one short. */
typedef struct {
    float *value;
    uint64_t n, n_bytes;
    uint32_t n_pieces;
    fed_digest digest;
} object;

static object object_new(void)
{
    object o = {.n = (uint64_t)(N_PIECES - 1) * FED_PIECE_VALUES + 5};
    o.value = fl_xcalloc(o.n, sizeof *o.value);
    for (uint64_t i = 0; i < o.n; i += 1000) {
        o.value[i] = (float)i;
    }
    fed_init();
    fed_object_digest(&o.digest, FED_ENC_F32, o.value, o.n, &o.n_bytes, &o.n_pieces);
    return o;
}

static fl_status deliver(fetch *f, const object *o, uint32_t index, int64_t now_ms, fl_err *err)
{
    uint8_t *piece = fl_xcalloc(1, FED_PIECE_BYTES);
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    size_t n = fed_piece_pack(piece, FED_ENC_F32, o->value, o->n, index);
    m->type = FED_MSG_PIECE;
    m->u.piece.object = o->digest;
    m->u.piece.index = index;
    m->u.piece.n_pieces = o->n_pieces;
    m->u.piece.n_bytes = o->n_bytes;
    fl_status st = fetch_piece(f, m, piece, n, now_ms, err);
    free(m);
    free(piece);
    return st;
}

static void pieces_are_asked_for_in_windows_until_all_are_in(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    object o = object_new();
    fetch f = {.inbox = NULL};
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    check_ok(fetch_start(&f, &o.digest, o.n_bytes, &err), err);
    check(!fetch_is_done(&f));
    check(fetch_next(&f, 1000, m));
    check_int(m->u.fetch.first, 0);
    check_int(m->u.fetch.count, FETCH_WINDOW);
    check(!fetch_next(&f, 1000, m));  // one window at a time

    uint32_t asked = FETCH_WINDOW;
    for (uint32_t i = 0; i < N_PIECES; i++) {
        check(i < asked);
        check_ok(deliver(&f, &o, i, 1000, &err), err);
        if (fetch_next(&f, 1000, m)) {
            check_int(m->u.fetch.first, asked);
            asked += m->u.fetch.count;
            check(asked - (i + 1) <= FETCH_WINDOW);  // never more under way
            check(asked <= N_PIECES);
        }
    }
    check(fetch_is_done(&f));
    const void *items = NULL;
    uint64_t n = 0;
    check_ok(fetch_items(&f, FED_ENC_F32, &items, &n, &err), err);
    check_int(n, o.n);
    check_bytes(items, o.value, 4 * o.n);
    check_fails(fetch_items(&f, FED_ENC_BYTES, &items, &n, &err), FL_EFORMAT);

    // The same object again is there already.
    check_ok(fetch_start(&f, &o.digest, o.n_bytes, &err), err);
    check(fetch_is_done(&f));
    fetch_clear(&f);
    free(m);
    free(o.value);
}

static void what_does_not_come_is_asked_for_again(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    object o = object_new();
    fetch f = {.inbox = NULL};
    fed_msg *m = fl_xcalloc(1, sizeof *m);
    check_ok(fetch_start(&f, &o.digest, o.n_bytes, &err), err);
    check(fetch_next(&f, 1000, m));
    check(!fetch_next(&f, 1000 + FETCH_SILENCE_MS - 1, m));
    check(fetch_next(&f, 1000 + FETCH_SILENCE_MS, m));
    check_int(m->u.fetch.first, 0);

    // Ten came, the connection was lost: from the eleventh on.
    for (uint32_t i = 0; i < 10; i++) {
        check_ok(deliver(&f, &o, i, 7000, &err), err);
    }
    fetch_again(&f);
    check(fetch_next(&f, 7000, m));
    check_int(m->u.fetch.first, 10);
    check_int(m->u.fetch.count, FETCH_WINDOW);
    fetch_clear(&f);
    free(m);
    free(o.value);
}

static void an_object_larger_than_allowed_is_refused_at_its_first_piece(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    object o = object_new();
    fetch f = {.inbox = NULL};
    check_ok(fetch_start(&f, &o.digest, o.n_bytes - 1, &err), err);
    check_fails(deliver(&f, &o, 0, 1000, &err), FL_ELIMIT);
    fetch_clear(&f);
    free(o.value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_asked_for_in_windows_until_all_are_in),
        cmocka_unit_test(what_does_not_come_is_asked_for_again),
        cmocka_unit_test(an_object_larger_than_allowed_is_refused_at_its_first_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
