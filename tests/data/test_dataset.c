/*
 * test_dataset.c - opening, splits, batches, unions, summaries
 */
#include "data/dataset.h"
#include "fixture.h"

static const char yaml[] =
    "task: classify\n"
    "classes: {normal: 0, opacity: 1}\n"
    "reference_standard: two radiologists\n"
    "attributes: {sex: sex, age: age}\n"
    "split: {by: patient, val: 0.2, test: 0.3, seed: 7}\n"
    "prevalence: 0.08\n";

static void a_folder_of_images_gives_batches(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *s = NULL;
    fixture_images(dir, 40, yaml);

    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 40);
    check_int(data_set_n_split(s, DATA_TRAIN), 20);
    check_int(data_set_n_split(s, DATA_VAL), 8);
    check_int(data_set_n_split(s, DATA_TEST), 12);
    check_int(data_set_n_features(s), 64);
    check_str(data_set_spec(s)->classes[1], "opacity");
    check_str(data_set_reference_standard(s), "two radiologists");
    check_near(data_set_prevalence(s), 0.08, 0);

    float x[2 * 64];
    const size_t wanted[] = {3, 0};
    data_set_batch(s, wanted, 2, x);
    check_near(x[0], 21.0f / 255.0f, 0);
    check_near(x[64 + 1], 3.0f / 255.0f, 0);

    data_case c = data_set_case(s, 3);
    check_str(c.case_id, "c3");
    check_int(c.code, 1);
    check_int(c.patient_no, 1);
    check_str(c.attributes[0], "M");
    check_str(c.attributes[1], "41");
    data_set_destroy(&s);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_of_images_gives_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
