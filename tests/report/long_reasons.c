/*
 * long_reasons.c - what programs write into a report has its French
 *
 * Apart from test_words.c, for it looks at other folders' sources: who gives a
 * figure a new reason is told here, not where reports are tested.
 */
#include "base/buf.h"
#include "check.h"
#include "report/messages.h"
#include "report/words.h"

/* What programs give as the reason of a figure without value, of a file left out. */
static const taker programs[] = {
    {"eval_figure_undefined", 2}, {"eval_figure_no_interval", 2}, {"data_set_refuse", 2},
    {"add_problem", 2},           {"eval_proportion", 5},
};

static void every_reason_of_a_program_has_its_french(void **state)
{
    (void)state;
    static const char *const folders[] = {"common/eval", "common/task", "common/data"};
    messages m = {0};
    size_t n_missing = 0;
    for (size_t f = 0; f < sizeof folders / sizeof folders[0]; f++) {
        messages_read(&m, folders[f], programs, sizeof programs / sizeof programs[0]);
    }
    check(m.n > 20);
    for (size_t i = 0; i < m.n; i++) {
        fl_buf french = FL_BUF_INIT;
        if (!report_words_told(&french, REPORT_FR, m.text[i])) {
            print_message("# no French for: %s\n", m.text[i]);
            n_missing++;
        }
        fl_buf_clear(&french);
    }
    check_int(n_missing, 0);
    messages_clear(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_of_a_program_has_its_french),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
