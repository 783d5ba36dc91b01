#include "check.h"

#include "base/buf.h"

static void text_grows_as_it_is_added(void **state)
{
    (void)state;
    fl_buf b = FL_BUF_INIT;
    fl_buf_puts(&b, "round");
    fl_buf_printf(&b, " %d of %s", 3, "20");
    fl_buf_add(&b, "!", 1);
    check_str(b.data, "round 3 of 20!");
    check_int(b.n, 14);
    char *text = fl_buf_take(&b);
    check_str(text, "round 3 of 20!");
    check(b.data == NULL && b.n == 0);
    free(text);
}

static void an_empty_buffer_is_an_empty_text(void **state)
{
    (void)state;
    fl_buf b = FL_BUF_INIT;
    char *text = fl_buf_take(&b);
    check_str(text, "");
    free(text);
    fl_buf_reset(&b);
    fl_buf_add(&b, NULL, 0);
    check_str(b.data, "");
    fl_buf_clear(&b);
    fl_buf_clear(&b);
}

static void bytes_of_any_value_and_length_are_kept(void **state)
{
    (void)state;
    fl_buf b = FL_BUF_INIT;
    unsigned char all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (unsigned char)i;
    }
    for (int i = 0; i < 1000; i++) {
        fl_buf_add(&b, all, sizeof all);
        check_int(b.data[b.n], 0);
    }
    check_int(b.n, 256000);
    check(b.cap > b.n);
    check_bytes(b.data + 255 * 256, all, 256);
    size_t cap = b.cap;
    fl_buf_reset(&b);
    check_str(b.data, "");
    check_int(b.cap, cap);
    fl_buf_clear(&b);
}

static void a_long_text_is_printed_whole(void **state)
{
    (void)state;
    fl_buf b = FL_BUF_INIT;
    fl_buf_printf(&b, "%5000d", 7);
    check_int(b.n, 5000);
    check_int(b.data[4999], '7');
    fl_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows_as_it_is_added),
        cmocka_unit_test(an_empty_buffer_is_an_empty_text),
        cmocka_unit_test(bytes_of_any_value_and_length_are_kept),
        cmocka_unit_test(a_long_text_is_printed_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
