/*
 * test_older.c - clients that were not upgraded with the coordinator: each answer is one that they read
 *
 * The fake site fails when it is sent a message of a later version than its own.
 */
#include "check.h"
#include "fake.h"
#include "played.h"

#include "base/log.h"
#include "base/sys.h"

static void a_client_of_protocol_3_changes_its_keys(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 3, "{name: fedavg}", 9, "20s", "");
    char *expected = undisturbed(3, yaml);
    fake *f = in_second_round(yaml, 3);
    fake_rotate(&f->site[1]);
    check(fake_until(f, b_has_rotated, &err));
    plays_to(f, expected);
    free(expected);
    free(yaml);
    fake_free(&f);
}

static bool b_hears_that_it_is_removed(fake *f)
{
    return strcmp(f->site[1].refused, "this site was removed from the federation") == 0;
}

static void one_that_is_removed_hears_it_in_its_own_version(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 2, "{name: fedavg}", 9, "20s", "");
    fake *f = in_second_round(yaml, 2);
    f->site[0].idle_beats = true;  // the round waits
    fake_remove(f, "site-b");
    check(fake_until(f, b_hears_that_it_is_removed, &err));
    fake_free(&f);
    free(yaml);
}

static bool b_is_welcome(fake *f)
{
    return f->site[1].welcome;
}

/* What a client of that version said when it was the newest, byte for byte. */
static void say_saved(fake_site *s, const char *path)
{
    fl_err err = FL_ERR_INIT;
    char *bytes = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&bytes, &n, path, FED_MAX_HEADER_BYTES, &err), err);
    check_ok(fed_send(s->link, NULL, bytes, n, NULL, 0, &err), err);
    free(bytes);
}

static bool b_hears_of_upgrading(fake *f)
{
    return f->site[1].refused[0] != '\0';
}

static void saved_messages_of_protocol_2_are_answered_and_those_of_1_refused_in_words(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(3, 2, "{name: fedavg}", 9, "20s", "");
    fake *f = fake_new(3, yaml);
    fake_site *b = &f->site[1];
    b->version = 2;
    check_ok(fake_start(f, false, &err), err);
    check(fake_until(f, b_is_welcome, &err));
    b->welcome = false;
    b->greeted_ms = INT64_MAX;  // says nothing by itself
    say_saved(b, "tests/vectors/messages-v2/hello");
    check(fake_until(f, b_is_welcome, &err));
    b->welcome = false;
    say_saved(b, "tests/vectors/messages-v1/hello");
    check(fake_until(f, b_hears_of_upgrading, &err));
    check_has(b->refused, "speaks protocol 1");
    check_has(b->refused, "upgrade the other side");
    check(!b->welcome);
    fake_free(&f);
    free(yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_of_protocol_3_changes_its_keys),
        cmocka_unit_test(one_that_is_removed_hears_it_in_its_own_version),
        cmocka_unit_test(saved_messages_of_protocol_2_are_answered_and_those_of_1_refused_in_words),
    };
    fl_log_setup(stderr, FL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
