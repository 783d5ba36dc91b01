/*
 * test_dicom_series.c - a folder of DICOM slices as a volume, or refused
 *
 * The slices of tests/vectors/dicom_series and what NumPy makes of them come
 * from tests/vectors/data_dicom.py.
 */
#include "base/hash.h"
#include "fixture.h"

static const char slices[] = "tests/vectors/dicom_series";

static void a_folder_is_a_volume_in_the_order_of_the_places(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;
    char hex[FL_HEX_DIGEST];
    json_t *vectors = fixture_vectors("data_dicom.json");
    const json_t *facts = json_object_get(vectors, "series");

    check_ok(data_image_read(&image, slices, &err), err);
    check_int(image.frames, 5);
    check_int(image.rows, 6);
    check_int(image.cols, 7);
    check_near(image.stored_min, fl_json_get_number(facts, "min"), 0);
    check_near(image.stored_max, fl_json_get_number(facts, "max"), 0);
    check_near(image.stored_mean, fl_json_get_number(facts, "mean"), 1e-9);
    for (size_t k = 0; k < 5; k++) {  // every slice with the scale of its own
        double sum = 0;
        for (size_t i = 0; i < 42; i++) {
            sum += (double)image.data[42 * k + i];
        }
        check_near(sum, json_number_value(json_array_get(json_object_get(facts, "value_sums"), k)),
                   1e-2);
    }
    for (size_t i = 0; i < 3; i++) {
        check_near(image.spacing_mm[i],
                   json_number_value(json_array_get(json_object_get(facts, "spacing_mm"), i)),
                   1e-4);  // positions are written with four decimals
    }
    for (size_t i = 0; i < 12; i++) {
        check_near(image.affine[i],
                   json_number_value(json_array_get(json_object_get(facts, "affine"), i)), 1e-6);
    }
    fl_hex(hex, image.sha256, sizeof image.sha256);
    check_str(hex, fl_json_get_string(facts, "sha256", "?"));
    data_image_clear(&image);
    json_decref(vectors);
}

/* A copy of the slices in a folder that a test may change. */
static char *copy_slices(void)
{
    char *dir = check_tmpdir();
    for (int i = 1; i <= 5; i++) {
        fl_err err = FL_ERR_INIT;
        size_t n;
        char *from = fl_xasprintf("%s/IM%d", slices, i);
        char *to = fl_xasprintf("%s/IM%d", dir, i);
        uint8_t *bytes = fixture_bytes(from, &n);
        check_ok(fl_file_write(to, bytes, n, 0600, &err), err);
        free(bytes);
        free(from);
        free(to);
    }
    return dir;
}

static void check_refused(char *dir, fl_status status, const char *sentence)
{
    fl_err err = FL_ERR_INIT;
    data_image image;
    check_fails(data_image_read_as(&image, dir, "manifest.csv:2", &err), status);
    check_has(err.text, "manifest.csv:2: ");
    check_has(err.text, sentence);
    check(strstr(err.text, "IM") == NULL);  // files may be named after patients
    check(strstr(err.text, dir) == NULL);
    check(image.data == NULL);
    check_rmdir(&dir);
}

static void copy_as(const char *dir, const char *from, const char *to)
{
    fl_err err = FL_ERR_INIT;
    size_t n;
    char *a = fl_path_join(dir, from);
    char *b = fl_path_join(dir, to);
    uint8_t *bytes = fixture_bytes(a, &n);
    check_ok(fl_file_write(b, bytes, n, 0600, &err), err);
    free(bytes);
    free(a);
    free(b);
}

/* Writes other bytes of the same length over the first place they stand. */
static void change(const char *dir, const char *name, const char *what, const char *with,
                   size_t length)
{
    fl_err err = FL_ERR_INIT;
    size_t n;
    size_t at = 132;
    char *path = fl_path_join(dir, name);
    uint8_t *bytes = fixture_bytes(path, &n);
    while (at + length < n && memcmp(bytes + at, what, length) != 0) {
        at++;
    }
    check(at + length < n);
    memcpy(bytes + at, with, length);
    check_ok(fl_file_write(path, bytes, n, 0600, &err), err);
    free(bytes);
    free(path);
}

static void a_missing_slice_is_told(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = copy_slices();
    char *path = fl_path_join(dir, "IM5");  // the third by place
    check_ok(fl_remove_tree(path, &err), err);
    free(path);
    check_refused(dir, FL_EUNSUPPORTED, "the 4 slices are not evenly apart");
}

static void a_slice_twice_is_told(void **state)
{
    (void)state;
    char *dir = copy_slices();
    copy_as(dir, "IM3", "IM9");
    check_refused(dir, FL_EUNSUPPORTED, "files 3 and 6 of 6 (by name) lie at one place");
}

static void two_series_in_a_folder_are_told(void **state)
{
    (void)state;
    char *dir = copy_slices();
    change(dir, "IM2", "1.2.3.4", "1.2.3.5", 7);
    check_refused(dir, FL_EUNSUPPORTED, "file 2 of 5 (by name): of another series");
}

static void what_is_no_slice_is_told(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = copy_slices();
    fixture_text(dir, "notes.txt", "who was here");
    check_refused(dir, FL_EUNSUPPORTED, "file 6 of 6 (by name): no DICOM file");

    dir = copy_slices();
    char *inner = fl_path_join(dir, "more");
    check_ok(fl_mkdirs(inner, 0700, &err), err);
    free(inner);
    check_refused(dir, FL_EUNSUPPORTED, "a folder in the folder");

    check_refused(check_tmpdir(), FL_ENOTFOUND, "holds no files");

    dir = copy_slices();
    change(dir, "IM4", "\x20\0\x32\0", "\x20\0\x33\0", 4);  // the position
    check_refused(dir, FL_EUNSUPPORTED, "does not say where in the patient the slice lies");

    dir = copy_slices();
    change(dir, "IM4", "\x28\0\x10\0US\2\0\6", "\x28\0\x10\0US\2\0\5", 9);
    check_refused(dir, FL_EUNSUPPORTED, "another size or kind");
}

/* DICOMDIR and what a file manager leaves are no slices. */
static void an_index_and_hidden_files_are_left_out(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;
    char *dir = copy_slices();
    fixture_text(dir, "DICOMDIR", "x");
    fixture_text(dir, ".DS_Store", "x");
    check_ok(data_image_read(&image, dir, &err), err);
    check_int(image.frames, 5);
    data_image_clear(&image);
    check_rmdir(&dir);
}

/* Every cut and many flips of one slice: a volume or a sentence. */
static void damage_to_a_slice_is_read_or_refused(void **state)
{
    (void)state;
    fl_err ok = FL_ERR_INIT;
    size_t n;
    char *dir = copy_slices();
    char *path = fl_path_join(dir, "IM1");
    uint8_t *bytes = fixture_bytes(path, &n);
    for (size_t i = 0; i < 200; i++) {
        fl_err err = FL_ERR_INIT;
        data_image image;
        size_t bit = i * (8 * n / 200);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_ok(fl_file_write(path, bytes, i % 2 == 0 ? n : bit / 8, 0600, &ok), ok);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (data_image_read(&image, dir, &err) == FL_OK) {
            check_int(image.frames, 5);
        } else {
            check(image.data == NULL && err.text[0] != '\0');
        }
        data_image_clear(&image);
    }
    free(bytes);
    free(path);
    check_rmdir(&dir);
}

static void real_series_are_stacked_or_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;
    char *dir = fixture_real_data() == NULL
                    ? NULL
                    : fl_path_join(fixture_real_data(), "dicom-pydicom/src/pydicom/data/test_files/"
                                                        "dicomdirtests/77654033/CT2");
    if (dir == NULL || !fl_is_dir(dir)) {
        free(dir);
        check_skip("CONSILIUM_DATA/dicom-pydicom is not here");
    }
    check_ok(data_image_read(&image, dir, &err), err);
    check_int(image.frames, 2);
    check_near(image.spacing_mm[0], 1.25, 1e-9);
    check_str(image.orientation, "LPS");
    data_image_clear(&image);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_a_volume_in_the_order_of_the_places),
        cmocka_unit_test(a_missing_slice_is_told),
        cmocka_unit_test(a_slice_twice_is_told),
        cmocka_unit_test(two_series_in_a_folder_are_told),
        cmocka_unit_test(what_is_no_slice_is_told),
        cmocka_unit_test(an_index_and_hidden_files_are_left_out),
        cmocka_unit_test(damage_to_a_slice_is_read_or_refused),
        cmocka_unit_test(real_series_are_stacked_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
