/*
 * test_peer.c - the coordinator's keys change, and a hospital follows them
 */
#include "fixture.h"

#include "client/peer.h"

enum { N_KEYS = 4 };

typedef struct {
    coordinator *c;
    hospital h;
    fed_identity *id[N_KEYS];  // [0]: the invitation's, borrowed
    fed_rotation to[N_KEYS];   // [i]: from the keys before
} place;

static place place_new(void)
{
    place p = {.c = coordinator_new(hospital_job)};
    p.h = hospital_new(p.c, "nord", hospital_approves_all);
    p.id[0] = p.c->id;
    for (int i = 1; i < N_KEYS; i++) {
        p.id[i] = fed_identity_new();
        fed_rotation_make(&p.to[i], &fed_coordinator, p.id[i - 1], p.id[i]);
    }
    return p;
}

static void place_destroy(place *p)
{
    for (int i = 1; i < N_KEYS; i++) {
        fed_identity_destroy(&p->id[i]);
    }
    hospital_destroy(&p->h);
    coordinator_destroy(&p->c);
}

/* As after a kill: what the disk says. */
static home *opened_again(place *p)
{
    fl_err err = FL_ERR_INIT;
    home_close(&p->h.home);
    check_ok(home_open(&p->h.home, p->h.home_dir, &err), err);
    return p->h.home;
}

static void check_known(const home *h, const fed_identity *id)
{
    fed_public_key curve = fed_identity_public(id);
    fed_verify_key sign = fed_identity_verify(id);
    check_bytes(&h->coordinator_curve, &curve, sizeof curve);
    check_bytes(&h->coordinator_sign, &sign, sizeof sign);
}

static void the_next_keys_lie_beside_the_known_ones_until_they_are_used(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    place p = place_new();
    check_ok(peer_learn(p.h.home, &p.to[1], &err), err);
    check_ok(peer_learn(p.h.home, &p.to[1], &err), err);  // said again
    home *h = opened_again(&p);
    check_known(h, p.id[0]);
    check(h->has_next);
    check_bytes(&h->next, &p.to[1], sizeof h->next);

    check_ok(peer_takes_next(h, &err), err);
    check_known(h, p.id[1]);
    h = opened_again(&p);
    check_known(h, p.id[1]);
    check(!h->has_next);

    check_ok(peer_learn(h, &p.to[2], &err), err);
    check_ok(peer_takes_next(h, &err), err);
    h = opened_again(&p);
    check_known(h, p.id[2]);
    for (int i = 0; i < N_KEYS; i++) {
        fed_verify_key key = fed_identity_verify(p.id[i]);
        check(peer_knew(h, &key) == (i <= 2));
    }
    place_destroy(&p);
}

static void keys_that_the_known_ones_did_not_sign_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    place p = place_new();
    fed_rotation forged = p.to[1], others;
    fed_site_id nord = {.text = "nord"};
    forged.curve = fed_identity_public(p.id[3]);
    check_fails(peer_learn(p.h.home, &forged, &err), FL_EDENIED);
    check_fails(peer_learn(p.h.home, &p.to[2], &err), FL_EDENIED);  // not from the known ones
    fed_rotation_make(&others, &nord, p.id[0], p.id[1]);            // in another's name
    check_fails(peer_learn(p.h.home, &others, &err), FL_EDENIED);
    home *h = opened_again(&p);
    check_known(h, p.id[0]);
    check(!h->has_next);
    place_destroy(&p);
}

/* Killed between the line of coordinator.jsonl and the removal of coordinator.next. */
static void a_next_that_is_used_already_is_passed_over(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    place p = place_new();
    check_ok(peer_learn(p.h.home, &p.to[1], &err), err);
    char *chain = home_path(p.h.home, "keys/coordinator.jsonl");
    check_ok(fed_rotations_add(chain, &p.to[1], &err), err);
    home *h = opened_again(&p);
    check_known(h, p.id[1]);
    check(!h->has_next);
    check_ok(peer_learn(h, &p.to[2], &err), err);
    check(opened_again(&p)->has_next);
    // A line that a power cut tore is none.
    char *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, chain, 1 << 16, &err), err);
    check_ok(fl_file_write(chain, text, n / 2, 0600, &err), err);
    check_known(opened_again(&p), p.id[0]);
    free(text);
    free(chain);
    place_destroy(&p);
}

static void a_file_is_followed_as_far_as_it_leads(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    place p = place_new();
    size_t n = 0;
    char *path = fl_path_join(p.h.dir, "former.jsonl");
    check_fails(peer_trust(p.h.home, path, &n, &err), FL_ENOTFOUND);
    for (int i = 2; i < N_KEYS; i++) {
        check_ok(fed_rotations_add(path, &p.to[i], &err), err);
    }
    check_fails(peer_trust(p.h.home, path, &n, &err), FL_EDENIED);
    check_known(opened_again(&p), p.id[0]);
    check_ok(fl_file_write(path, "", 0, 0644, &err), err);
    for (int i = 1; i < N_KEYS; i++) {
        check_ok(fed_rotations_add(path, &p.to[i], &err), err);
    }
    check_ok(peer_learn(p.h.home, &p.to[1], &err), err);  // it had heard of the first
    check_ok(peer_trust(p.h.home, path, &n, &err), err);
    check_int(n, 3);
    home *h = opened_again(&p);
    check_known(h, p.id[3]);
    check(!h->has_next);
    free(path);
    place_destroy(&p);
}

static void a_client_tries_both_and_keeps_the_new_once_they_answered(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    place p = place_new();
    coordinator *c = p.c;
    hospital_starts(&p.h);
    play(&p.h, c, 2000);
    check(c->n[FED_MSG_HELLO] > 0);

    fed_msg *m = fl_xcalloc(1, sizeof *m);
    m->type = FED_MSG_ROTATE;
    m->u.rotate = p.to[1];
    m->u.rotate.curve = fed_identity_public(p.id[2]);
    coordinator_say(c, m, NULL, 0);
    play(&p.h, c, 1000);
    check_int(c->n[FED_MSG_ROTATED], 1);
    check(!c->rotated.u.rotated.accepted);
    check_has(c->rotated.u.rotated.text, "do not bear the signature");
    m->u.rotate = p.to[1];
    coordinator_say(c, m, NULL, 0);
    play(&p.h, c, 1000);
    check_int(c->n[FED_MSG_ROTATED], 2);
    check(c->rotated.u.rotated.accepted);
    free(m);

    // The coordinator comes back with the old keys, then with the new ones.
    for (int i = 0; i < 2; i++) {
        size_t before = c->n[FED_MSG_HELLO];
        coordinator_returns(c, p.id[i]);
        hospital_moves_to(&p.h, fed_link_address(c->link));
        play(&p.h, c, 40000);
        check(c->n[FED_MSG_HELLO] > before);
        check_known(p.h.home, p.id[i]);
        check(p.h.home->has_next == (i == 0));
    }
    // With the old ones nobody is reached any more.
    size_t before = c->n[FED_MSG_HELLO];
    coordinator_returns(c, p.id[0]);
    hospital_moves_to(&p.h, fed_link_address(c->link));
    play(&p.h, c, 40000);
    check_int(c->n[FED_MSG_HELLO], before);
    c->id = p.id[0];
    hospital_dies(&p.h);
    check_ok(home_open(&p.h.home, p.h.home_dir, &err), err);
    check_known(p.h.home, p.id[1]);
    place_destroy(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_keys_lie_beside_the_known_ones_until_they_are_used),
        cmocka_unit_test(keys_that_the_known_ones_did_not_sign_are_refused),
        cmocka_unit_test(a_next_that_is_used_already_is_passed_over),
        cmocka_unit_test(a_file_is_followed_as_far_as_it_leads),
        cmocka_unit_test(a_client_tries_both_and_keeps_the_new_once_they_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
