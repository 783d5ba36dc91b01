/*
 * test_dicom.c - DICOM images against pydicom's reading of them
 *
 * The files and what pydicom sees in them are made by
 * tests/vectors/data_dicom.py.
 */
#include "base/hash.h"
#include "data/preprocess.h"
#include "fixture.h"

static const char corpus[] = "tests/fuzz/corpus/dicom";

static void a_slice_is_read_in_hounsfield_units(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;

    check_ok(data_image_read(&image, "tests/fuzz/corpus/dicom/explicit-i16.dcm", &err), err);
    check_str(image.format, "DICOM");
    check_str(image.photometric, "MONOCHROME2");
    check_int(image.rows, 9);
    check_int(image.cols, 10);
    check_int(image.bits, 16);
    check(image.is_signed);
    check_near(image.spacing_mm[1], 0.5, 0);
    check_near(image.spacing_mm[2], 0.75, 0);
    check_near(image.thickness_mm, 2.5, 0);
    double least = INFINITY;
    for (int i = 0; i < 90; i++) {
        least = fmin(least, (double)image.data[i]);
    }
    check_near(least, image.stored_min - 1024, 0);
    data_image_clear(&image);
}

/* The mean of each of 16 runs of pixels, as numpy.array_split cuts them. */
static void check_parts(const data_image *image, const json_t *parts)
{
    size_t plane = (size_t)(image->frames * image->rows * image->cols);
    size_t channels = (size_t)image->channels;
    size_t n = json_array_size(parts);
    size_t at = 0;
    for (size_t k = 0; k < n; k++) {
        size_t size = plane / n + (k < plane % n ? 1 : 0);
        double sum = 0;
        for (size_t i = at; i < at + size; i++) {
            for (size_t c = 0; c < channels; c++) {
                sum += (double)image->data[c * plane + i];
            }
        }
        at += size;
        /* a pixel differs by 1 or 2 and a part may hold few of them */
        check_near(sum / (double)(size * channels), json_number_value(json_array_get(parts, k)), 1);
    }
}

static void check_values(const data_image *image, const json_t *facts, double tolerance)
{
    size_t n = (size_t)(image->channels * image->frames * image->rows * image->cols);
    double least = INFINITY;
    double most = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        least = fmin(least, (double)image->data[i]);
        most = fmax(most, (double)image->data[i]);
    }
    /* data are float, the reference is double */
    double slack = tolerance + 1e-7 * fmax(fabs(least), fabs(most));
    check_near(least, fl_json_get_number(facts, "value_min"), slack);
    check_near(most, fl_json_get_number(facts, "value_max"), slack);
}

static void check_facts(const data_image *image, const json_t *facts)
{
    const json_t *parts = json_object_get(facts, "parts");
    const json_t *spacing = json_object_get(facts, "spacing_mm");
    /*
     * Two decoders' cosine transforms differ by 1 in a sample, in 12 bits too.
     * Where the samples are YBR, the conversion multiplies a chroma by 1.772
     * and adds the luma: 1 + 1.772 rounds to 3 in RGB.  (libjpeg's own RGB
     * of these files is the same as ours to the last bit.)
     */
    double tolerance = parts == NULL ? 0 : 3;

    check_str(image->format, "DICOM");
    check_int(image->rows, fl_json_get_int(facts, "rows", -1));
    check_int(image->cols, fl_json_get_int(facts, "cols", -1));
    check_int(image->frames, fl_json_get_int(facts, "frames", -1));
    check_int(image->channels, fl_json_get_int(facts, "channels", -1));
    check_int(image->bits, fl_json_get_int(facts, "bits", -1));
    check_str(image->photometric, fl_json_get_string(facts, "photometric", "?"));
    check_near(image->stored_min, fl_json_get_number(facts, "min"), tolerance);
    check_near(image->stored_max, fl_json_get_number(facts, "max"), tolerance);
    double mean = fl_json_get_number(facts, "mean");
    check_near(image->stored_mean, mean, parts == NULL ? 1e-9 * (1 + fabs(mean)) : 0.25);
    check_values(image, facts, tolerance);
    for (size_t i = 0; i < 3; i++) {
        check_near(image->spacing_mm[i], json_number_value(json_array_get(spacing, i)), 0);
    }
    if (parts != NULL) {
        check_parts(image, parts);
    } else {
        char hex[FL_HEX_DIGEST];
        fl_hex(hex, image->sha256, sizeof image->sha256);
        check_str(hex, fl_json_get_string(facts, "sha256", "?"));
    }
}

static void check_files(const char *dir, const json_t *files)
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
}

static void every_syntax_and_layout_gives_pydicoms_pixels(void **state)
{
    (void)state;
    json_t *vectors = fixture_vectors("data_dicom.json");
    const json_t *made = json_object_get(vectors, "made");
    check_int(json_object_size(made), 58);
    check_files(corpus, made);
    json_decref(vectors);
}

static void every_sample_gives_pydicoms_pixels(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = fixture_real_data() == NULL ? NULL
                                            : fl_path_join(fixture_real_data(), "dicom-pydicom");
    if (dir == NULL || !fl_is_dir(dir)) {
        free(dir);
        check_skip("CONSILIUM_DATA/dicom-pydicom is not here");
    }
    json_t *vectors = fixture_vectors("data_dicom.json");
    const char *name;
    json_t *why;

    check_files(fixture_real_data(), json_object_get(vectors, "samples"));
    json_object_foreach(json_object_get(vectors, "refused"), name, why)
    {
        char *path = fl_path_join(fixture_real_data(), name);
        data_image image;
        fl_status st = data_image_read(&image, path, &err);
        check(st != FL_OK);
        check_has(err.text, "DICOM: ");
        check(image.data == NULL);
        free(path);
    }
    json_decref(vectors);
    free(dir);
}

/* Finds an element of an explicit little-endian file and changes its value. */
static void check_changed(const char *file, const char *tag_and_vr, int skip, const void *with,
                          size_t size, fl_status status, const char *sentence)
{
    fl_err err = FL_ERR_INIT;
    data_image image;
    size_t n;
    char *path = fl_path_join(corpus, file);
    uint8_t *bytes = fixture_bytes(path, &n);
    size_t at = 132;

    while (at + 16 < n && memcmp(bytes + at, tag_and_vr, 6) != 0) {
        at++;
    }
    memcpy(bytes + at + skip, with, size);
    check_fails(data_image_parse(&image, bytes, n, "x.dcm", &err), status);
    check_has(err.text, sentence);
    check(image.data == NULL);
    free(bytes);
    free(path);
}

static void what_does_not_fit_is_refused_in_a_sentence(void **state)
{
    (void)state;
    check_changed("explicit-u8.dcm", "\x02\0\x10\0UI", 8, "1.2.3.4.5.6.7.8.9", 17, FL_EUNSUPPORTED,
                  "transfer syntax 1.2.3.4.5.6.7.8.9");
    check_changed("explicit-u8.dcm", "\x28\0\x10\0US", 8, "\xff\xff", 2, FL_ELIMIT,
                  "65535 x 10 pixels");
    check_changed("explicit-u8.dcm", "\x28\0\x10\0US", 8, "\x60\0", 2, FL_EFORMAT,
                  "expected 960 bytes of pixels, found 90");
    check_changed("explicit-u8.dcm", "\x28\0\x01\1US", 8, "\x09\0", 2, FL_EFORMAT,
                  "do not go together");
    check_changed("explicit-u8.dcm", "\x28\0\x04\0CS", 8, "HSV        ", 11, FL_EUNSUPPORTED,
                  "photometric interpretation");
    check_changed("frames.dcm", "\x28\0\x08\0IS", 8, "0 ", 2, FL_EFORMAT, "0 frames");
    check_changed("j2k.dcm", "\x28\0\x11\0US", 8, "\x0b\0", 2, FL_EFORMAT,
                  "the JPEG 2000 stream has another shape");
    check_changed("lossless-1.dcm", "\x28\0\x11\0US", 8, "\x0b\0", 2, FL_EFORMAT,
                  "the JPEG stream has another shape");
}

static void what_no_library_reads_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *uid, *name;
    } cases[] = {
        {"1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.110 (JPEG XL) is not read"},
        {"1.2.840.10008.1.2.4.112", "(JPEG XL)"},
        {"1.2.840.10008.1.2.4.201", "(HTJ2K)"},
        {"1.2.840.10008.1.2.4.203", "(HTJ2K)"},
        {"1.2.840.10008.1.2.4.205", "(JPIP: the pixels are on a server)"},
        {"1.2.840.10008.1.2.4.100", "(MPEG-2 video)"},
        {"1.2.840.10008.1.2.4.106", "(MPEG-4 video)"},
        {"1.2.840.10008.1.2.4.107", "(HEVC video)"},
        {"1.2.840.10008.1.2.4.58\0", "(JPEG lossless, arithmetic, retired)"},
        {"1.2.840.10008.1.2.4.66\0", "(JPEG hierarchical, retired)"},
        {"1.2.840.10008.1.2.1.98\0", "(encapsulated uncompressed)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_changed("ht.dcm", "\x02\0\x10\0UI", 8, cases[i].uid, 23, FL_EUNSUPPORTED,
                      cases[i].name);
    }
    // Under another name too: the library would end the program on a damaged one.
    check_changed("ht.dcm", "\x02\0\x10\0UI", 8, "1.2.840.10008.1.2.4.90\0", 23, FL_EUNSUPPORTED,
                  "HTJ2K pixels are not read");
    // GDCM and DCMTK do not agree on its bytes.
    check_changed("ge.dcm", "\x28\0\x00\x01\x02\0", 8, "\x20\0", 2, FL_EUNSUPPORTED,
                  "GE's own transfer syntax is read with 16 bits only");
    // A transform over components, which only the second part of JPEG 2000 has.
    check_changed("j2k-part2.dcm", "\xff\x52\0\x0c\0\0", 8, "\x02", 1, FL_EUNSUPPORTED,
                  "JPEG 2000's second part is not read");
    check_changed("j2k-part2.dcm", "\x28\0\x08\0IS", 8, "3 ", 2, FL_EUNSUPPORTED,
                  "several frames in one stream");
}

static void a_palette_in_segments_gives_as_many_entries_as_it_says(void **state)
{
    (void)state;
    const uint8_t bad_kind[] = {3}, empty[] = {0}, longer[] = {200};
    const char *file = "palette8-segments.dcm", *red = "\x28\0\x21\x12OW";
    check_changed(file, red, 12, bad_kind, 1, FL_EUNSUPPORTED, "the palette is malformed");
    check_changed(file, red, 13, empty, 1, FL_EUNSUPPORTED, "the palette is malformed");
    check_changed(file, red, 13, longer, 1, FL_EUNSUPPORTED, "the palette is malformed");
    check_changed(file, red, 12 + 9, "\xff", 1, FL_EUNSUPPORTED, "the palette is malformed");
    check_changed(file, red, 12 + 11, "\xff", 1, FL_EUNSUPPORTED, "the palette is malformed");
    check_changed(file, "\x28\0\x01\x11US", 8, "\x21", 1, FL_EUNSUPPORTED, "the palette is malformed");
}

/* Old files keep an overlay there. */
static void what_lies_above_the_stored_bits_is_no_pixel(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;
    size_t n;
    uint8_t *bytes = fixture_bytes("tests/fuzz/corpus/dicom/mono1.dcm", &n);

    bytes[n - 1] |= 0x80;  // an overlay's bit above 12 stored ones
    check_ok(data_image_parse(&image, bytes, n, "x.dcm", &err), err);
    check(image.stored_max < 4096);
    data_image_clear(&image);
    free(bytes);
}

static void a_volume_knows_where_it_lies(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image;

    check_ok(data_image_read(&image, "tests/fuzz/corpus/dicom/frames.dcm", &err), err);
    check_int(image.frames, 3);
    check_str(image.orientation, "LPS");
    check_near(image.spacing_mm[0], 3, 0);
    check_near(image.thickness_mm, 2.5, 0);
    check_near(image.affine[0], -0.75, 0);  // a column on is 0.75 mm to the left
    check_near(image.affine[3], 10, 0);
    check_near(image.affine[10], 3, 0);
    data_image_clear(&image);
}

/* In the file's own values it is not: they are what the scanner stored. */
static void a_film_in_which_more_is_darker_is_turned_for_the_model(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const data_preprocess nothing = {.n = 0};
    const nn_shape any = {.rank = 0};
    data_image film;
    data_image stored;

    check_ok(data_image_read(&film, "tests/fuzz/corpus/dicom/mono1.dcm", &err), err);
    check_ok(data_image_read(&stored, "tests/fuzz/corpus/dicom/mono1.dcm", &err), err);
    check_ok(data_preprocess_apply(&film, &nothing, &any, "x", &err), err);
    double range = stored.stored_max - stored.stored_min;
    for (int i = 0; i < 90; i++) {
        check_near(film.data[i], (stored.stored_max - (double)stored.data[i]) / range, 1e-6);
    }
    data_image_clear(&stored);
    data_image_clear(&film);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slice_is_read_in_hounsfield_units),
        cmocka_unit_test(every_syntax_and_layout_gives_pydicoms_pixels),
        cmocka_unit_test(every_sample_gives_pydicoms_pixels),
        cmocka_unit_test(what_does_not_fit_is_refused_in_a_sentence),
        cmocka_unit_test(what_no_library_reads_is_refused_by_name),
        cmocka_unit_test(a_palette_in_segments_gives_as_many_entries_as_it_says),
        cmocka_unit_test(what_lies_above_the_stored_bits_is_no_pixel),
        cmocka_unit_test(a_volume_knows_where_it_lies),
        cmocka_unit_test(a_film_in_which_more_is_darker_is_turned_for_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
