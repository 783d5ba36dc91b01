/*
 * test_nifti.c - NIfTI volumes against nibabel's reading of them
 *
 * The files and what nibabel sees in them are made by
 * tests/vectors/data_nifti.py.
 */
#include "base/hash.h"
#include "fixture.h"

static const char corpus[] = "tests/fuzz/corpus/nifti";

static void a_volume_is_read_with_its_place_in_the_patient(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;

    check_ok(data_image_read(&image, "tests/fuzz/corpus/nifti/scaled.nii.gz", &err), err);
    check_str(image.format, "NIfTI-1");
    check_int(image.cols, 4);
    check_int(image.rows, 3);
    check_int(image.frames, 2);
    check_int(image.channels, 1);
    check_near(image.spacing_mm[0], 3, 0);  // frames, rows, columns
    check_near(image.spacing_mm[1], 1.5, 0);
    check_near(image.spacing_mm[2], 2, 0);
    check_str(image.orientation, "LAS");
    check_near(image.affine[3], 10, 0);  // mm of the first voxel
    data_image_clear(&image);
}

/* nibabel's NaN and ours need not have the same bits. */
static void values_digest(char *hex, const data_image *image)
{
    uint8_t digest[FL_SHA256_BYTES];
    fl_sha256 hash;
    size_t n = (size_t)(image->channels * image->frames * image->rows * image->cols);

    fl_sha256_init(&hash);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = 0x7fc00000u;
        if (!isnan(image->data[i])) {
            memcpy(&bits, &image->data[i], sizeof bits);
        }
        const uint8_t le[] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                              (uint8_t)(bits >> 24)};
        fl_sha256_add(&hash, le, sizeof le);
    }
    fl_sha256_done(&hash, digest);
    fl_hex(hex, digest, sizeof digest);
}

static double values_sum(const data_image *image)
{
    size_t n = (size_t)(image->channels * image->frames * image->rows * image->cols);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += isnan(image->data[i]) ? 0 : (double)image->data[i];
    }
    return sum;
}

static void check_place(const data_image *image, const json_t *facts)
{
    const json_t *spacing = json_object_get(facts, "spacing_mm");
    const json_t *affine = json_object_get(facts, "affine");

    for (size_t i = 0; i < 3; i++) {
        check_near(image->spacing_mm[i], json_number_value(json_array_get(spacing, i)), 0);
    }
    check_str(image->orientation, fl_json_get_string(facts, "orientation", ""));
    for (size_t i = 0; i < 12; i++) {
        /* a qform's rotation is a dozen products of doubles */
        double mm = affine == NULL ? 0 : json_number_value(json_array_get(affine, i));
        check_near(image->affine[i], mm, 1e-12 * (1 + fabs(mm)));
    }
}

static void check_facts(const data_image *image, const json_t *facts)
{
    char hex[FL_HEX_DIGEST];

    check_str(image->format, fl_json_get_string(facts, "format", "?"));
    check_int(image->cols, fl_json_get_int(facts, "cols", -1));
    check_int(image->rows, fl_json_get_int(facts, "rows", -1));
    check_int(image->frames, fl_json_get_int(facts, "frames", -1));
    check_int(image->channels, fl_json_get_int(facts, "channels", -1));
    check_int(image->bits, fl_json_get_int(facts, "bits", -1));
    check_str(image->photometric, fl_json_get_string(facts, "photometric", "?"));
    check_near(image->stored_min, fl_json_get_number(facts, "min"), 0);
    check_near(image->stored_max, fl_json_get_number(facts, "max"), 0);
    double mean = fl_json_get_number(facts, "mean");  // numpy sums in another order
    check_near(image->stored_mean, mean, 1e-12 * (1 + fabs(image->stored_max)));
    fl_hex(hex, image->sha256, sizeof image->sha256);
    check_str(hex, fl_json_get_string(facts, "sha256", "?"));
    values_digest(hex, image);
    double sum = fl_json_get_number(facts, "values_sum");
    check_near(values_sum(image), sum, 1e-9 * (1 + fabs(sum)));
    check_str(hex, fl_json_get_string(facts, "values_sha256", "?"));
    check_place(image, facts);
}

static size_t check_files(const char *dir, const json_t *files)
{
    fl_err err = FL_ERR_INIT;
    const char *name;
    json_t *facts;

    json_object_foreach((json_t *)files, name, facts)
    {
        char *path = fl_path_join(dir, name);
        data_image image;
        print_message("# %s\n", name);
        check_ok(data_image_read(&image, path, &err), err);
        check_facts(&image, facts);
        data_image_clear(&image);
        free(path);
    }
    return json_object_size(files);
}

static void every_type_order_and_version_gives_nibabels_values(void **state)
{
    (void)state;
    json_t *vectors = fixture_vectors("data_nifti.json");
    check_int(check_files(corpus, json_object_get(vectors, "made")), 30);
    json_decref(vectors);
}

static void every_sample_gives_nibabels_values_or_is_no_nifti(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = fixture_real_data() == NULL ? NULL
                                            : fl_path_join(fixture_real_data(), "nifti-nibabel");
    if (dir == NULL || !fl_is_dir(dir)) {
        free(dir);
        check_skip("CONSILIUM_DATA/nifti-nibabel is not here");
    }
    json_t *vectors = fixture_vectors("data_nifti.json");
    check_int(check_files(fixture_real_data(), json_object_get(vectors, "samples")), 8);

    const json_t *refused = json_object_get(vectors, "refused");
    for (size_t i = 0; i < json_array_size(refused); i++) {
        data_image image;
        const char *name = json_string_value(json_array_get(refused, i));
        char *path = fl_path_join(fixture_real_data(), name);
        check(data_image_read(&image, path, &err) != FL_OK);
        print_message("# %s\n", err.text + strlen(path) - strlen(name));
        check(image.data == NULL);
        free(path);
    }
    json_decref(vectors);
    free(dir);
}

/* bytes: 352 + 24 of u1-le.nii, changed by the caller. */
static void check_refused(uint8_t *bytes, size_t n, fl_status status, const char *sentence)
{
    fl_err err = FL_ERR_INIT;
    data_image image;
    check_fails(data_image_parse(&image, bytes, n, "x.nii", &err), status);
    check_has(err.text, sentence);
    check(image.data == NULL);
    free(bytes);
}

static uint8_t *changed(size_t *n, size_t at, const void *with, size_t size)
{
    uint8_t *bytes = fixture_bytes("tests/fuzz/corpus/nifti/u1-le.nii", n);
    memcpy(bytes + at, with, size);
    return bytes;
}

static void what_does_not_fit_is_refused_in_a_sentence(void **state)
{
    (void)state;
    size_t n;
    uint8_t *bytes;

    bytes = changed(&n, 344, "\0\0\0\0", 4);
    check_refused(bytes, n, FL_EUNSUPPORTED, "expected the mark n+1; an Analyze 7.5 header");
    bytes = changed(&n, 70, "\x20\0\x40\0", 4);  // complex64
    check_refused(bytes, n, FL_EUNSUPPORTED, "found datatype 32 of 64 bits");
    bytes = changed(&n, 42, "\xff\x7f\xff\x7f\xff\x7f", 6);
    check_refused(bytes, n, FL_ELIMIT, "32767 x 32767 pixels");
    bytes = changed(&n, 42, "\0\0", 2);
    check_refused(bytes, n, FL_EFORMAT, "without pixels");
    bytes = changed(&n, 42, "\5\0", 2);
    check_refused(bytes, n, FL_EFORMAT, "expected 30 bytes of pixels, found 24");
    bytes = changed(&n, 108, "\0\0\0\0", 4);
    check_refused(bytes, n, FL_EFORMAT, "begin inside the header");
    bytes = changed(&n, 344, "ni1", 4);
    check_refused(bytes, n, FL_EUNSUPPORTED, "its pixels are in the .img file");
    bytes = changed(&n, 280, "\0\0\xc0\x7f", 4);  // NaN
    check_refused(bytes, n, FL_EFORMAT, "the affine holds no finite numbers");
}

static void a_packed_file_must_end_with_its_pixels(void **state)
{
    (void)state;
    size_t n;
    uint8_t *bytes = fixture_bytes("tests/fuzz/corpus/nifti/scaled.nii.gz", &n);
    uint8_t *more = calloc(2, n);
    memcpy(more, bytes, n);
    memcpy(more + n, bytes, n);
    check_refused(more, 2 * n, FL_EFORMAT, "bytes of pixels, found");
    bytes[n - 6] ^= 1;  // the checksum
    check_refused(bytes, n, FL_EFORMAT, "the gzip file is damaged");
}

static void a_pair_without_its_pixels_is_told(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;
    size_t n;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "x.hdr");
    uint8_t *bytes = fixture_bytes("tests/fuzz/corpus/nifti/pair.hdr", &n);
    check_ok(fl_file_write(path, bytes, n, 0644, &err), err);
    check_fails(data_image_read(&image, path, &err), FL_ENOTFOUND);
    check_has(err.text, "x.img");
    free(bytes);
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_is_read_with_its_place_in_the_patient),
        cmocka_unit_test(every_type_order_and_version_gives_nibabels_values),
        cmocka_unit_test(every_sample_gives_nibabels_values_or_is_no_nifti),
        cmocka_unit_test(what_does_not_fit_is_refused_in_a_sentence),
        cmocka_unit_test(a_packed_file_must_end_with_its_pixels),
        cmocka_unit_test(a_pair_without_its_pixels_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
