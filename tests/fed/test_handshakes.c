/*
 * test_handshakes.c - which connections never became one
 */
#include "fed/handshakes.h"

#include "check.h"

enum { FD = 900 };  // no descriptor of ours: without an address

typedef struct {
    fed_refusals refusals;
    fed_handshakes handshakes;
} door;

static int open_door(void **state)
{
    door *d = fl_xcalloc(1, sizeof *d);
    fed_refusals_init(&d->refusals);
    fed_handshakes_init(&d->handshakes, &d->refusals);
    *state = d;
    return 0;
}

static int close_door(void **state)
{
    door *d = *state;
    fed_handshakes_clear(&d->handshakes);
    fed_refusals_clear(&d->refusals);
    free(d);
    return 0;
}

/* The next refusal has this reason; NULL: there is none. */
static void expect(door *d, const char *reason)
{
    fed_refusal r;
    bool any = fed_refusals_next(&d->refusals, &r);
    if (reason == NULL) {
        check(!any);
        return;
    }
    check(any);
    check_str(r.reason, reason);
}

static void a_failure_belongs_to_the_connection_that_closes_next(void **state)
{
    door *d = *state;
    fed_handshakes *h = &d->handshakes;
    fed_handshakes_opened(h, FD);
    fed_handshakes_failed(h, FED_SHAKE_OTHER_KEY);
    fed_handshakes_closed(h, FD);
    expect(d, "handshake for another server's key");
    expect(d, NULL);
}

static void a_connection_that_spoke_takes_no_blame(void **state)
{
    door *d = *state;
    fed_handshakes *h = &d->handshakes;
    fed_handshakes_opened(h, FD);
    fed_handshakes_spoke(h, FD);
    fed_handshakes_opened(h, FD + 1);
    fed_handshakes_failed(h, FED_SHAKE_MALFORMED);
    fed_handshakes_closed(h, FD);  // in between, from libzmq's other thread
    expect(d, NULL);
    fed_handshakes_closed(h, FD + 1);
    expect(d, "malformed handshake");
    expect(d, NULL);
}

static void a_key_that_was_refused_is_not_recorded_twice(void **state)
{
    door *d = *state;
    fed_handshakes *h = &d->handshakes;
    fed_handshakes_opened(h, FD);
    fed_handshakes_failed(h, FED_SHAKE_RECORDED);
    fed_handshakes_closed(h, FD);
    expect(d, NULL);
}

static void silence_is_recorded_and_a_descriptor_starts_afresh(void **state)
{
    door *d = *state;
    fed_handshakes *h = &d->handshakes;
    fed_handshakes_opened(h, FD);
    fed_handshakes_spoke(h, FD);
    fed_handshakes_closed(h, FD);
    expect(d, NULL);
    fed_handshakes_opened(h, FD);  // used again by somebody else
    fed_handshakes_closed(h, FD);
    expect(d, "no CURVE handshake, or not a word after it");
}

static void odd_descriptors_and_many_failures_do_no_harm(void **state)
{
    door *d = *state;
    fed_handshakes *h = &d->handshakes;
    for (int i = 0; i < 10000; i++) {
        fed_handshakes_failed(h, FED_SHAKE_GAVE_UP);
    }
    fed_handshakes_opened(h, -1);
    fed_handshakes_spoke(h, -1);
    fed_handshakes_closed(h, -1);
    fed_handshakes_opened(h, INT32_MAX);
    fed_handshakes_spoke(h, INT32_MAX);
    fed_handshakes_closed(h, INT32_MAX);
    expect(d, NULL);
    fed_handshakes_opened(h, FD);
    fed_handshakes_closed(h, FD);
    expect(d, "handshake not completed");
}

static void addresses_are_shown_as_people_write_them(void **state)
{
    (void)state;
    check_str(fed_plain_address("::ffff:10.1.2.3"), "10.1.2.3");
    check_str(fed_plain_address("10.1.2.3"), "10.1.2.3");
    check_str(fed_plain_address("2001:db8::1"), "2001:db8::1");
}

#define with_door(test) cmocka_unit_test_setup_teardown(test, open_door, close_door)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_door(a_failure_belongs_to_the_connection_that_closes_next),
        with_door(a_connection_that_spoke_takes_no_blame),
        with_door(a_key_that_was_refused_is_not_recorded_twice),
        with_door(silence_is_recorded_and_a_descriptor_starts_afresh),
        with_door(odd_descriptors_and_many_failures_do_no_harm),
        cmocka_unit_test(addresses_are_shown_as_people_write_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
