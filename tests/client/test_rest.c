/*
 * test_rest.c - what rounding takes from updates comes with the next one
 */
#include "fixture.h"

#include <math.h>

#include "client/rest.h"
#include "fed/bf16.h"

enum { P = 3 * 1000 + 7 };

typedef struct {
    coordinator *c;
    hospital h;
    fed_order order;
} desk;

static desk desk_new(void)
{
    desk d = {.c = coordinator_new(hospital_job)};
    d.h = hospital_new(d.c, "nord", NULL);
    d.order.key = (fed_order_key){.kind = FED_TRAIN, .job = d.c->job};
    snprintf(d.order.run, sizeof d.order.run, "toy-1");
    return d;
}

static void desk_destroy(desk *d)
{
    hospital_destroy(&d->h);
    coordinator_destroy(&d->c);
}

/* The same small steps in every round: most are below half a unit of what was sent so far. */
static void draw(float *update, uint32_t round)
{
    for (int i = 0; i < P; i++) {
        update[i] = 1e-3f + 1e-6f * (float)((i * 31 + (int)round * 17) % 101);
    }
}

static void round_of(desk *d, float *update, uint32_t round, uint32_t committed)
{
    fl_err err = FL_ERR_INIT;
    d->order.key.round.n = round;
    d->order.committed.n = committed;
    draw(update, round);
    check_ok(rest_round(update, d->h.home, &d->order, P, &err), err);
}

static bool has_file(const hospital *h, const char *name)
{
    char *path = fl_path_join(h->home_dir, name);
    bool there = fl_file_exists(path);
    free(path);
    return there;
}

static void nothing_is_lost_over_rounds(void **state)
{
    (void)state;
    enum { ROUNDS = 20 };
    desk d = desk_new();
    float *update = fl_xcalloc(P, sizeof *update), *plain = fl_xcalloc(P, sizeof *plain);
    double *sent = fl_xcalloc(P, sizeof *sent), *meant = fl_xcalloc(P, sizeof *meant),
           *rounded = fl_xcalloc(P, sizeof *rounded);
    for (uint32_t r = 1; r <= ROUNDS; r++) {
        round_of(&d, update, r, r - 1);
        draw(plain, r);
        for (int i = 0; i < P; i++) {
            sent[i] += update[i];
            meant[i] += plain[i];
        }
        fed_bf16_round(plain, NULL, P);
        for (int i = 0; i < P; i++) {
            rounded[i] += plain[i];
        }
        uint32_t bits;
        memcpy(&bits, update, sizeof bits);
        check_int(bits & 0xffff, 0);
    }
    double worst = 0, without = 0;
    for (int i = 0; i < P; i++) {
        worst = fmax(worst, fabs(sent[i] - meant[i]));
        without = fmax(without, fabs(rounded[i] - meant[i]));
    }
    // One round's rounding is owed at most (half a unit at .001: 2^-19); without remainders it adds up.
    check(worst <= 0x1p-18);
    check(without > 4 * worst);
    free(rounded);
    free(meant);
    free(sent);
    free(plain);
    free(update);
    desk_destroy(&d);
}

static void the_same_order_gives_the_same_again_and_remainders_follow_commits(void **state)
{
    (void)state;
    desk d = desk_new();
    float *a = fl_xcalloc(P, sizeof *a), *b = fl_xcalloc(P, sizeof *b),
          *first = fl_xcalloc(P, sizeof *first);
    round_of(&d, first, 1, 0);
    round_of(&d, b, 1, 0);  // killed before the outbox had it
    check_bytes(b, first, P * sizeof *b);
    round_of(&d, a, 2, 1);
    round_of(&d, b, 2, 1);
    check_bytes(b, a, P * sizeof *b);
    check(has_file(&d.h, "runs/toy-1/rest-0000000001"));
    check(has_file(&d.h, "runs/toy-1/rest-0000000002"));
    round_of(&d, b, 3, 1);  // round 2 was not committed: its remainder does not count
    round_of(&d, a, 3, 2);  // and now it was
    check(memcmp(a, b, P * sizeof *a) != 0);
    check(!has_file(&d.h, "runs/toy-1/rest-0000000001"));
    free(first);
    free(b);
    free(a);
    desk_destroy(&d);
}

static void a_damaged_remainder_is_refused_in_words(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    float *a = fl_xcalloc(P, sizeof *a);
    round_of(&d, a, 1, 0);
    hospital_file(d.h.home_dir, "runs/toy-1/rest-0000000001", "short");
    d.order.key.round.n = 2;
    d.order.committed.n = 1;
    check_fails(rest_round(a, d.h.home, &d.order, P, &err), FL_EFORMAT);
    check_has(err.text, "rest-0000000001");
    free(a);
    desk_destroy(&d);
}

/* A process that was killed while it wrote, and the job's end. */
static void what_a_job_leaves_is_removed_and_may_be_removed_twice(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    float *a = fl_xcalloc(P, sizeof *a), *b = fl_xcalloc(P, sizeof *b);
    check_ok(rest_drop(d.h.home, "toy-1", &err), err);  // there is no folder yet
    round_of(&d, a, 1, 0);
    round_of(&d, a, 2, 1);
    hospital_file(d.h.home_dir, "runs/toy-1/rest.tmp", "half of a rema");
    round_of(&d, b, 2, 1);
    check_bytes(b, a, P * sizeof *b);
    check(!has_file(&d.h, "runs/toy-1/rest.tmp"));
    hospital_file(d.h.home_dir, "runs/toy-1/rest.tmp", "half of a rema");
    hospital_file(d.h.home_dir, "runs/toy-1/rest-of-it.txt", "somebody's");
    for (int i = 0; i < 2; i++) {
        check_ok(rest_drop(d.h.home, "toy-1", &err), err);
        check(!has_file(&d.h, "runs/toy-1/rest-0000000001"));
        check(!has_file(&d.h, "runs/toy-1/rest-0000000002"));
        check(!has_file(&d.h, "runs/toy-1/rest.tmp"));
        check(has_file(&d.h, "runs/toy-1/rest-of-it.txt"));
    }
    free(b);
    free(a);
    desk_destroy(&d);
}

int main(void)
{
    fl_log_setup(NULL, FL_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_over_rounds),
        cmocka_unit_test(the_same_order_gives_the_same_again_and_remainders_follow_commits),
        cmocka_unit_test(a_damaged_remainder_is_refused_in_words),
        cmocka_unit_test(what_a_job_leaves_is_removed_and_may_be_removed_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
