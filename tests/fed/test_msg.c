/*
 * test_msg.c - plain structs become wire bytes, and the same again
 *
 * What must not come in is test_msg_unpack.c's.
 */
#include "fed/msg.h"

#include "base/sys.h"
#include "check.h"
#include "fed/draw.h"

static void an_order_is_packed_and_unpacked(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fed_msg sent = {.type = FED_MSG_ORDER};
    sent.u.order.key.kind = FED_TRAIN;
    sent.u.order.key.round.n = 3;
    fed_job_digest(&sent.u.order.key.job, "name: demo\n", 11);
    sent.u.order.has_model = true;
    memset(&sent.u.order.model, 0xab, sizeof sent.u.order.model);
    strcpy(sent.u.order.run, "demo-1");

    fl_buf wire = FL_BUF_INIT;
    fed_msg_pack(&sent, &wire);
    fed_msg read;
    check_ok(fed_msg_unpack(&read, (const uint8_t *)wire.data, wire.n, &err), err);

    check_int(read.type, FED_MSG_ORDER);
    check(fed_order_key_equal(&read.u.order.key, &sent.u.order.key));
    check_str(fed_order_name(read.u.order.key.kind), "train");
    check_str(read.u.order.run, "demo-1");
    fl_buf_clear(&wire);
}

static void every_message_comes_back_as_it_was(void **state)
{
    (void)state;
    draw_seed();
    fl_buf wire = FL_BUF_INIT;
    for (int trial = 0; trial < 3000; trial++) {
        fl_err err = FL_ERR_INIT;
        static fed_msg sent, read;
        draw_message(&sent, (fed_msg_type)(trial % FED_N_MSGS));
        fl_buf_reset(&wire);
        fed_msg_pack(&sent, &wire);
        check_ok(fed_msg_unpack(&read, (const uint8_t *)wire.data, wire.n, &err), err);
        check_str(fed_msg_name(read.type), fed_msg_name(sent.type));
        check_bytes(&read, &sent, sizeof sent);
    }
    fl_buf_clear(&wire);
}

/* A complaint may quote a file or another program: it still goes out clean. */
static void what_we_send_is_cleaned(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    static fed_msg m, read;
    memset(&m, 0, sizeof m);
    m.type = FED_MSG_BYE;
    memset(m.u.bye.text, 'x', sizeof m.u.bye.text - 1);
    memcpy(m.u.bye.text, "a\nb\x1b\xff", 5);
    memcpy(m.u.bye.text + FED_TEXT_BYTES - 2, "\xc3", 1);  // a character cut by snprintf
    fl_buf wire = FL_BUF_INIT;
    fed_msg_pack(&m, &wire);
    check_ok(fed_msg_unpack(&read, (const uint8_t *)wire.data, wire.n, &err), err);
    check_bytes(read.u.bye.text, "a b  xx", 7);
    check_int(read.u.bye.text[FED_TEXT_BYTES - 2], ' ');
    fl_buf_clear(&wire);
}

// ---------------------------------------------------------- older versions

/* Calls each for the messages of a version, saved when it was the newest. */
static void each_saved(const char *folder, size_t expected,
                       void (*each)(const uint8_t *bytes, size_t n))
{
    char **names = NULL;
    size_t n = 0;
    fl_err err = FL_ERR_INIT;
    check_ok(fl_list_dir(&names, &n, folder, &err), err);
    check_int(n, expected);
    for (size_t i = 0; i < n; i++) {
        char *path = fl_path_join(folder, names[i]), *bytes = NULL;
        size_t n_bytes = 0;
        check_ok(fl_file_read(&bytes, &n_bytes, path, FED_MAX_HEADER_BYTES, &err), err);
        each((const uint8_t *)bytes, n_bytes);
        free(bytes);
        free(path);
    }
    fl_names_free(&names, n);
}

static void is_refused(const uint8_t *bytes, size_t n)
{
    static fed_msg m;
    fl_err err = FL_ERR_INIT;
    check_fails(fed_msg_unpack(&m, bytes, n, &err), FL_EUNSUPPORTED);
    check_has(err.text, "speaks protocol 1, this program protocol 4: upgrade the other side");
}

static uint32_t saved_version;  // of the messages that is_understood is given

static void is_understood(const uint8_t *bytes, size_t n)
{
    static fed_msg m;
    fl_err err = FL_ERR_INIT;
    fl_buf again = FL_BUF_INIT;
    check_ok(fed_msg_unpack(&m, bytes, n, &err), err);
    check_int(m.version, saved_version);
    fed_msg_pack_as(&m, saved_version, &again);
    check_int(again.n, n);
    check_bytes(again.data, bytes, n);
    fl_buf_clear(&again);
}

static void the_first_version_is_refused_in_words_and_those_after_it_are_spoken(void **state)
{
    (void)state;
    each_saved("tests/vectors/messages-v1", FED_MSG_BYE + 1, is_refused);
    saved_version = 2;
    each_saved("tests/vectors/messages-v2", FED_MSG_BYE + 1, is_understood);
    saved_version = 3;
    each_saved("tests/vectors/messages-v3", FED_N_MSGS, is_understood);
    saved_version = 4;  // two orders more, and their answers
    each_saved("tests/vectors/messages-v4", FED_N_MSGS + 4, is_understood);
}

/* An order that is newer than the message's version is no order. */
static void an_older_message_holds_no_newer_order(void **state)
{
    (void)state;
    static const char *const newer[] = {"order-lend", "order-cross", "offer-lend", "offer-cross"};
    static fed_msg m;
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++) {
        fl_err err = FL_ERR_INIT;
        char path[80], *bytes = NULL;
        size_t n = 0;
        snprintf(path, sizeof path, "tests/vectors/messages-v4/%s", newer[i]);
        check_ok(fl_file_read(&bytes, &n, path, FED_MAX_HEADER_BYTES, &err), err);
        check_int(bytes[1], 4);
        bytes[1] = 3;
        check_fails(fed_msg_unpack(&m, (const uint8_t *)bytes, n, &err), FL_EFORMAT);
        check_has(err.text, "kind: no such kind of order");
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_packed_and_unpacked),
        cmocka_unit_test(every_message_comes_back_as_it_was),
        cmocka_unit_test(what_we_send_is_cleaned),
        cmocka_unit_test(the_first_version_is_refused_in_words_and_those_after_it_are_spoken),
        cmocka_unit_test(an_older_message_holds_no_newer_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
