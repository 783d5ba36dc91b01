/*
 * test_formats.c - PNG, JPEG and npy images against Pillow's reading of them
 *
 * The files and what Pillow sees in them are made by
 * tests/vectors/data_vectors.py.
 */
#include "base/hash.h"
#include "base/rng.h"
#include "fixture.h"

static const char corpus[] = "tests/fuzz/corpus/image";

static void an_image_file_is_read(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;

    check_ok(data_image_read(&image, "tests/fuzz/corpus/image/gray8.png", &err), err);
    check_int(image.rows, 7);
    check_int(image.cols, 9);
    check_int(image.channels, 1);
    check_str(image.format, "PNG");
    check_near(image.full_scale, 255, 0);
    data_image_clear(&image);
    data_image_clear(&image);
}

/* sum over (channels, rows, cols) of value * (1 + place). */
static double sum_by_place(const data_image *image)
{
    double sum = 0;
    int64_t n = image->channels * image->frames * image->rows * image->cols;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)image->data[i] * (double)(i + 1);
    }
    return sum;
}

static void check_facts(const data_image *image, const json_t *facts)
{
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, image->sha256, sizeof image->sha256);
    check_int(image->rows, fl_json_get_int(facts, "rows", -1));
    check_int(image->cols, fl_json_get_int(facts, "cols", -1));
    check_int(image->channels, fl_json_get_int(facts, "channels", -1));
    check_int(image->bits, fl_json_get_int(facts, "bits", -1));
    check_str(image->photometric, fl_json_get_string(facts, "photometric", "?"));

    /* libjpeg-turbo's versions differ by a step where colour is upsampled */
    const json_t *values = json_object_get(facts, "values");
    if (values == NULL) {
        check_near(image->stored_min, fl_json_get_number(facts, "min"), 0);
        check_near(image->stored_max, fl_json_get_number(facts, "max"), 0);
        check_near(image->stored_mean, fl_json_get_number(facts, "mean"), 1e-9);
        check_near(sum_by_place(image), fl_json_get_number(facts, "sum_by_place"), 0);
        check_str(hex, fl_json_get_string(facts, "sha256", "?"));
    }
    for (size_t i = 0; i < json_array_size(values); i++) {
        check_near(image->data[i], json_number_value(json_array_get(values, i)), 2);
    }
}

static void every_kind_of_file_gives_pillows_pixels(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *vectors = fixture_vectors("data_files.json");
    json_t *images = json_object_get(vectors, "images");
    const char *name;
    json_t *facts;

    check_int(json_object_size(images), 12);
    json_object_foreach(images, name, facts)
    {
        char *path = fl_path_join(corpus, name);
        data_image image;
        check_ok(data_image_read(&image, path, &err), err);
        check_facts(&image, facts);
        data_image_clear(&image);
        free(path);
    }
    json_decref(vectors);
}

static void real_photographs_give_pillows_pixels(void **state)
{
    (void)state;
    if (fixture_real_data() == NULL) {
        check_skip("CONSILIUM_DATA is not set");
    }
    fl_err err = FL_ERR_INIT;
    json_t *vectors = fixture_vectors("data_real.json");
    const char *name;
    json_t *facts;

    json_object_foreach(json_object_get(vectors, "photographs"), name, facts)
    {
        char *path = fl_path_join(fixture_real_data(), name);
        data_image image;
        check_ok(data_image_read(&image, path, &err), err);
        const json_t *shape = json_object_get(facts, "shape");
        check_int(image.rows, json_integer_value(json_array_get(shape, 0)));
        check_int(image.cols, json_integer_value(json_array_get(shape, 1)));
        check_int(image.channels, json_integer_value(json_array_get(shape, 2)));
        check_near(image.stored_mean, fl_json_get_number(facts, "mean"), 0.02);
        if (json_object_get(facts, "sha256") != NULL) {
            char hex[FL_HEX_DIGEST];
            fl_hex(hex, image.sha256, sizeof image.sha256);
            check_str(hex, fl_json_get_string(facts, "sha256", "?"));
        }
        data_image_clear(&image);
        free(path);
    }
    json_decref(vectors);
}

static void a_png_that_was_written_is_read_back(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "x.png");
    enum { ROWS = 3, COLS = 5 };

    for (int bits = 8; bits <= 16; bits += 8) {
        for (int channels = 1; channels <= 3; channels += 2) {
            float x[ROWS * COLS * 3];
            int n = ROWS * COLS * channels;
            for (int i = 0; i < n; i++) {
                x[i] = (float)i / (float)(n - 1);
            }
            data_image image;
            double top = bits == 8 ? 255 : 65535;
            check_ok(data_png_write(path, x, ROWS, COLS, channels, bits, &err), err);
            check_ok(data_image_read(&image, path, &err), err);
            check_int(image.bits, bits);
            for (int i = 0; i < ROWS * COLS; i++) {
                for (int c = 0; c < channels; c++) {
                    check_near(image.data[c * ROWS * COLS + i] / top, x[i * channels + c],
                               0.5001 / top);
                }
            }
            data_image_clear(&image);
        }
    }
    free(path);
    check_rmdir(&dir);
}

static void writing_clips_and_leaves_nothing_behind(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "x.png");
    const float x[] = {-1.0f, 2.0f, NAN, 0.5f};
    data_image image;
    char **names;
    size_t n;

    check_ok(data_png_write(path, x, 2, 2, 1, 8, &err), err);
    check_ok(data_image_read(&image, path, &err), err);
    check_near(image.data[0], 0, 0);
    check_near(image.data[1], 255, 0);
    check_near(image.data[2], 0, 0);
    check_near(image.data[3], 128, 0);
    data_image_clear(&image);

    check_fails(data_png_write("/nowhere/x.png", x, 2, 2, 1, 8, &err), FL_ENOTFOUND);
    check_ok(fl_list_dir(&names, &n, dir, &err), err);
    check_int(n, 1);
    fl_names_free(&names, n);
    free(path);
    check_rmdir(&dir);
}

static void what_is_no_image_is_refused_in_a_sentence(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;

    check_fails(data_image_parse(&image, (const uint8_t *)"hello", 5, "h.png", &err),
                FL_EUNSUPPORTED);
    check_str(err.text, "h.png: expected an image (PNG, JPEG, NIfTI, DICOM, npy), found "
                        "none of these");
    check_fails(data_image_parse(&image, (const uint8_t *)"", 0, "e", &err), FL_EUNSUPPORTED);
    check_has(err.text, "an empty file");
    check_fails(data_image_read(&image, "/nowhere.png", &err), FL_ENOTFOUND);
}

static void numbers_that_are_no_floats_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;
    check_fails(data_image_read(&image, "tests/fuzz/corpus/image/no-float.npy", &err), FL_EFORMAT);
    check_has(err.text, "expected finite numbers, found 1e+300");
}

/* A header that promises more than the limits, and no pixels behind it. */
static void a_bomb_is_refused_before_memory_is_asked_for(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;
    static const uint8_t huge[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x80\0\0\0\x80\0\x10\6\0\0\0";
    uint8_t bytes[64] = {0};
    memcpy(bytes, huge, sizeof huge - 1);
    /* CRC of this IHDR: 32768 x 32768, 16 bits, RGBA */
    memcpy(bytes + 29, "\x94\xec\x7f\x3c", 4);
    memcpy(bytes + 33, "\0\0\0\0IDAT", 8);
    check_fails(data_image_parse(&image, bytes, 64, "huge.png", &err), FL_ELIMIT);
    check_has(err.text, "huge.png: 32768 x 32768 pixels");
}

static void copy_and_flip(const uint8_t *bytes, size_t n, size_t bit)
{
    fl_err err = FL_ERR_INIT;
    data_image image;
    uint8_t *copy = malloc(n);
    memcpy(copy, bytes, n);
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    data_image_parse(&image, copy, n, "flipped", &err);
    data_image_clear(&image);
    free(copy);
}

static void damaged_files_are_read_or_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char **names;
    size_t n_names;

    check_ok(fl_list_dir(&names, &n_names, corpus, &err), err);
    for (size_t k = 0; k < n_names; k++) {
        size_t n;
        char *path = fl_path_join(corpus, names[k]);
        uint8_t *bytes = fixture_bytes(path, &n);
        for (size_t cut = 0; cut + 1 < n; cut++) {
            data_image image;
            uint8_t *part = malloc(cut > 0 ? cut : 1);
            memcpy(part, bytes, cut);
            fl_status st = data_image_parse(&image, part, cut, "cut", &err);
            check(st != FL_OK || strstr(names[k], ".jpg") != NULL);
            data_image_clear(&image);
            free(part);
        }
        for (size_t bit = 0; bit < 8 * n; bit += 3) {
            copy_and_flip(bytes, n, bit);
        }
        free(bytes);
        free(path);
    }
    fl_names_free(&names, n_names);
}

/* A half-gray X-ray is not a finding. */
static void half_a_jpeg_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;
    size_t n;
    uint8_t *bytes = fixture_bytes("tests/fuzz/corpus/image/rgb.jpg", &n);

    check_fails(data_image_parse(&image, bytes, n - 60, "half.jpg", &err), FL_EFORMAT);
    check_has(err.text, "half.jpg: JPEG: ");
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_file_is_read),
        cmocka_unit_test(every_kind_of_file_gives_pillows_pixels),
        cmocka_unit_test(real_photographs_give_pillows_pixels),
        cmocka_unit_test(a_png_that_was_written_is_read_back),
        cmocka_unit_test(writing_clips_and_leaves_nothing_behind),
        cmocka_unit_test(what_is_no_image_is_refused_in_a_sentence),
        cmocka_unit_test(numbers_that_are_no_floats_are_refused),
        cmocka_unit_test(a_bomb_is_refused_before_memory_is_asked_for),
        cmocka_unit_test(damaged_files_are_read_or_refused),
        cmocka_unit_test(half_a_jpeg_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
