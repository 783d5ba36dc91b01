/*
 * test_shift_curve.c - which shifts are tried, and on what they cannot be
 */
#include "data/shift_curve.h"

#include "check.h"

static data_spec images(int64_t channels, data_task task)
{
    return (data_spec){.task = task, .input = {3, {channels, 32, 32}}, .positive = -1};
}

static bool has(const data_shift_curves *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->item[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void a_chain_and_a_family_are_named(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_spec gray = images(1, DATA_CLASSIFY);
    data_shift_curves c = {.n = 0};
    check_ok(data_shift_curves_add(&c, "blur,noise", &gray, &err), err);
    check_ok(data_shift_curves_add(&c, "protocol", &gray, &err), err);
    check_int(c.n, 4);
    check_str(c.item[0].family, "scanner");
    check(has(&c, "contrast") && has(&c, "window") && has(&c, "field_of_view"));

    data_shift chain;
    data_shift_curve_at(&chain, &c.item[0], 3);
    check_int(chain.n, 2);
    check_str(chain.ops[1]->name, "noise");
    check_near(chain.severity[0], 3, 0);
    check_near(chain.severity[1], 3, 0);
}

static void all_is_what_suits_the_data(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_spec gray = images(1, DATA_CLASSIFY), colour = images(3, DATA_CLASSIFY);
    data_spec masks = images(1, DATA_SEGMENT);
    data_shift_curves c = {.n = 0};
    check_ok(data_shift_curves_add(&c, "all", &gray, &err), err);
    check(!has(&c, "stain") && has(&c, "rotation"));
    size_t n_gray = c.n;
    c.n = 0;
    check_ok(data_shift_curves_add(&c, "all", &colour, &err), err);
    check_int(c.n, n_gray + 2);
    c.n = 0;
    check_ok(data_shift_curves_add(&c, "all", &masks, &err), err);
    check_int(c.n, n_gray);  // masks go along with what moves
}

static void what_cannot_be_tried_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
        int64_t channels;
        data_task task;
        fl_status st;
    } odd[] = {
        {"fog", "expected a transform such as blur", 1, DATA_CLASSIFY, FL_EUSAGE},
        {"blur,", "expected a transform such as blur", 1, DATA_CLASSIFY, FL_EUSAGE},
        {"", "expected a transform such as blur", 1, DATA_CLASSIFY, FL_EUSAGE},
        {"noise", "noise is there twice", 1, DATA_CLASSIFY, FL_EUSAGE},
        {"colour", "colour: for colour images", 1, DATA_CLASSIFY, FL_EUNSUPPORTED},
        {"blur,stain", "stain: for colour images", 1, DATA_SEGMENT, FL_EUNSUPPORTED},
    };
    fl_err err = FL_ERR_INIT;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        data_shift_curves c = {.n = 0};
        data_spec spec = images(odd[i].channels, odd[i].task);
        check_ok(data_shift_curves_add(&c, "noise", &spec, &err), err);
        check_fails(data_shift_curves_add(&c, odd[i].text, &spec, &err), odd[i].st);
        check_has(err.text, odd[i].message);
    }
    data_shift_curves c = {.n = 0};
    data_spec table = {.task = DATA_CLASSIFY, .input = {1, {13}}, .positive = -1};
    check_fails(data_shift_curves_add(&c, "all", &table, &err), FL_EUNSUPPORTED);
    check_fails(data_shift_curves_add(&c, "blur", &table, &err), FL_EUNSUPPORTED);
    check_has(err.text, "only for images and volumes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_and_a_family_are_named),
        cmocka_unit_test(all_is_what_suits_the_data),
        cmocka_unit_test(what_cannot_be_tried_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
