/*
 * test_preprocess.c - resizing against NumPy and Pillow, windows, channels
 */
#include "data/preprocess.h"
#include "data/resample.h"
#include "fixture.h"

static data_preprocess read_steps(const char *text, fl_err *err, fl_status *st)
{
    fl_cfg *c = NULL;
    data_preprocess p;
    check_ok(fl_cfg_parse(&c, text, strlen(text), "d.yaml", ".", err), *err);
    data_preprocess_read(&p, fl_cfg_list(fl_cfg_root(c), "preprocess", ""));
    *st = fl_cfg_finish(c, err);
    fl_cfg_destroy(&c);
    return p;
}

static data_image make_image(int64_t channels, int64_t rows, int64_t cols, float full_scale)
{
    data_image image = {
        .frames = 1, .rows = rows, .cols = cols, .channels = channels, .full_scale = full_scale};
    size_t n = (size_t)(channels * rows * cols);
    image.data = fl_xcalloc(n, sizeof *image.data);
    for (size_t i = 0; i < n; i++) {
        image.data[i] = (float)i;
    }
    image.stored_max = (double)n - 1;
    return image;
}

static void steps_are_done_in_order_and_leave_unit_values(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st;
    const nn_shape any = {0, {0}};
    data_preprocess p = read_steps("preprocess: [channels: 1, resize: 4, "
                                   "normalise: zscore]",
                                   &err, &st);
    check_ok(st, err);
    check_int(p.n, 2);
    check_int(p.normalise, DATA_NORMALISE_ZSCORE);

    data_image image = make_image(3, 8, 8, 255);
    check_ok(data_preprocess_apply(&image, &p, &any, "x", &err), err);
    check_int(image.channels, 1);
    check_int(image.rows, 4);
    check_near(image.full_scale, 1, 0);
    double gray = 4.5 + 0.587 * 64 + 0.114 * 128;  // mean of 0 1 8 9, plus luma
    check_near(image.data[0], gray / 255, 1e-6);

    float mean;
    float factor;
    data_normalise_of(p.normalise, image.data, 16, &mean, &factor);
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < 16; i++) {
        double z = (double)((image.data[i] - mean) * factor);
        sum += z;
        squares += z * z;
    }
    check_near(sum, 0, 1e-5);
    check_near(squares / 16, 1, 1e-5);
    data_image_clear(&image);
}

static void check_resized(const json_t *resize, const char *key, int64_t rows, int64_t cols,
                          double tolerance)
{
    const json_t *from = json_object_get(resize, "x");
    const json_t *to = json_object_get(resize, key);
    float x[12 * 10];
    float y[29 * 17];
    for (size_t i = 0; i < 120; i++) {
        x[i] = (float)json_number_value(json_array_get(from, i));
    }
    data_resize(y, rows, cols, x, 1, 12, 10);
    check_int(json_array_size(to), rows * cols);
    for (size_t i = 0; i < json_array_size(to); i++) {
        check_near(y[i], json_number_value(json_array_get(to, i)), tolerance);
    }
}

static void shrinking_is_area_averaging_growing_is_linear(void **state)
{
    (void)state;
    json_t *vectors = fixture_vectors("data_files.json");
    const json_t *resize = json_object_get(vectors, "resize");
    /* float32 results of sums of float32 products */
    check_resized(resize, "4x5", 4, 5, 1e-6);
    check_resized(resize, "7x3", 7, 3, 1e-6);
    check_resized(resize, "29x17", 29, 17, 1e-6);
    json_decref(vectors);
}

static void resizing_keeps_constants_and_means(void **state)
{
    (void)state;
    float x[30];
    float y[100];
    for (int i = 0; i < 30; i++) {
        x[i] = 0.25f;
    }
    data_resize(y, 10, 10, x, 1, 5, 6);
    for (int i = 0; i < 100; i++) {
        check_near(y[i], 0.25, 1e-7);
    }
    double before = 0;
    double after = 0;
    for (int i = 0; i < 30; i++) {
        x[i] = (float)(i * i % 7);
        before += (double)x[i] / 30;
    }
    data_resize(y, 3, 4, x, 1, 5, 6);
    for (int i = 0; i < 12; i++) {
        after += (double)y[i] / 12;
    }
    check_near(after, before, 1e-6);
}

static void a_window_maps_units_to_zero_and_one(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st;
    const nn_shape any = {0, {0}};
    data_preprocess p = read_steps("preprocess: [window: {centre: 4, width: 4}]", &err, &st);
    check_ok(st, err);
    data_image image = make_image(1, 1, 8, 0);
    check_ok(data_preprocess_apply(&image, &p, &any, "x", &err), err);
    const float expected[] = {0, 0, 0, 0.25f, 0.5f, 0.75f, 1, 1};
    for (int i = 0; i < 8; i++) {
        check_near(image.data[i], expected[i], 0);
    }
    data_image_clear(&image);
}

static void without_steps_the_stored_values_stay(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const data_preprocess none = {.n = 0};
    const nn_shape any = {0, {0}};
    data_image image = make_image(1, 2, 2, 255);
    check_ok(data_preprocess_apply(&image, &none, &any, "x", &err), err);
    check_near(image.data[3], 3, 0);
    check_near(image.full_scale, 255, 0);
    data_image_clear(&image);

    image = make_image(1, 2, 2, 0);  // unknown scale: least to most
    check_ok(data_preprocess_apply(&image, &none, &any, "x", &err), err);
    check_near(image.data[3], 1, 0);
    data_image_clear(&image);
}

static void alpha_is_dropped(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const data_preprocess none = {.n = 0};
    const nn_shape any = {0, {0}};
    data_image image = make_image(4, 2, 2, 255);
    strcpy(image.photometric, "RGB, alpha");
    check_ok(data_preprocess_apply(&image, &none, &any, "x", &err), err);
    check_int(image.channels, 3);
    data_image_clear(&image);
}

static void resize_input_needs_a_job(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st;
    const nn_shape any = {0, {0}};
    const nn_shape job = {3, {1, 3, 5}};
    data_preprocess p = read_steps("preprocess: [resize: input]", &err, &st);
    check_ok(st, err);
    data_image image = make_image(1, 6, 10, 255);
    check_fails(data_preprocess_apply(&image, &p, &any, "x", &err), FL_ECONFIG);
    check_has(err.text, "resize: input needs a job");
    check_ok(data_preprocess_apply(&image, &p, &job, "x", &err), err);
    check_int(image.rows, 3);
    check_int(image.cols, 5);
    data_image_clear(&image);
}

static void wrong_steps_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *says;
    } cases[] = {
        {"preprocess: [sharpen: 1]", "sharpen"},
        {"preprocess: [resize: 0]", "d.yaml:1: preprocess[0].resize: expected a "
                                    "whole number from 1 to 32768, found 0"},
        {"preprocess: [resize: [1, 2, 3, 4]]", "[frames, rows, cols]"},
        {"preprocess: [crop: word]", "crop"},
        {"preprocess: [spacing: [1, 2]]", "[slices, rows, columns]"},
        {"preprocess: [spacing: 0]", "spacing"},
        {"preprocess: [orient: RAR]", "expected three axes such as RAS"},
        {"preprocess: [orient: RASL]", "expected three axes such as RAS"},
        {"preprocess: [percentile: [90, 10]]", "a lower and a higher one"},
        {"preprocess: [percentile: 3]", "percentile"},
        {"preprocess: [window: wide]", "the word file"},
        {"preprocess: [normalise: zscore, resize: 3]", "normalise comes last"},
        {"preprocess: [normalise: l2]", "expected none, zscore or range"},
        {"preprocess: [window: {centre: 1}]", "width"},
        {"preprocess: [channels: 2]", "expected 1 or 3"},
        {"preprocess: [resize]", "one step an item"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        fl_status st;
        read_steps(cases[i].yaml, &err, &st);
        check_fails(st, FL_ECONFIG);
        check_has(err.text, cases[i].says);
    }
}

/* numpy.percentile of 0 .. 99: 9.9 at 10 and 89.1 at 90. */
static void percentiles_of_each_channel_become_zero_and_one(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st;
    const nn_shape any = {0, {0}};
    data_preprocess p = read_steps("preprocess: [percentile: [10, 90]]", &err, &st);
    check_ok(st, err);
    data_image image = make_image(2, 10, 10, 0);  // the second goes from 100 to 199
    check_ok(data_preprocess_apply(&image, &p, &any, "x", &err), err);
    for (int c = 0; c < 2; c++) {
        check_near(image.data[100 * c + 9], 0, 0);
        check_near(image.data[100 * c + 50], (50 - 9.9) / 79.2, 1e-6);
        check_near(image.data[100 * c + 90], 1, 0);
    }
    data_image_clear(&image);
}

static void a_window_may_be_the_files_or_one_channels(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st;
    const nn_shape any = {0, {0}};
    data_preprocess p = read_steps("preprocess: [window: file]", &err, &st);
    check_ok(st, err);
    data_image image = make_image(1, 10, 10, 0);
    check_fails(data_preprocess_apply(&image, &p, &any, "x", &err), FL_ECONFIG);
    check_has(err.text, "x: window: file: the file gives no window");
    image.window_centre = 50;
    image.window_width = 20;
    check_ok(data_preprocess_apply(&image, &p, &any, "x", &err), err);
    check_near(image.data[45], 0.25, 1e-6);
    data_image_clear(&image);

    p = read_steps("preprocess: [window: {centre: 50, width: 20, channel: 1}]", &err, &st);
    check_ok(st, err);
    image = make_image(2, 10, 10, 0);
    image.stacked = true;
    check_ok(data_preprocess_apply(&image, &p, &any, "x", &err), err);
    check_near(image.data[45], 0.25, 1e-6);
    check_near(image.data[100], 0, 0);  // the other from its least to its most
    check_near(image.data[199], 1, 0);
    data_image_clear(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_done_in_order_and_leave_unit_values),
        cmocka_unit_test(shrinking_is_area_averaging_growing_is_linear),
        cmocka_unit_test(resizing_keeps_constants_and_means),
        cmocka_unit_test(a_window_maps_units_to_zero_and_one),
        cmocka_unit_test(without_steps_the_stored_values_stay),
        cmocka_unit_test(alpha_is_dropped),
        cmocka_unit_test(resize_input_needs_a_job),
        cmocka_unit_test(wrong_steps_are_named),
        cmocka_unit_test(percentiles_of_each_channel_become_zero_and_one),
        cmocka_unit_test(a_window_may_be_the_files_or_one_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
