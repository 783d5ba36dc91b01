/*
 * long_damage.c - ten thousand damages of every sample: read or refused
 *
 * Each is cut, or has some bits or bytes changed, or a run of them moved;
 * what tests/fuzz replays in `make check` are single bits and cuts only.  The seed is printed.
 */
#include "base/rng.h"
#include "fixture.h"

enum { N_DAMAGES = 10000 };

/* Returns how many bytes of copy are left. */
static size_t damage(uint8_t *copy, const uint8_t *bytes, size_t n, fl_rng *rng)
{
    size_t kept = n;
    memcpy(copy, bytes, n);
    switch (fl_rng_below(rng, 4)) {
    case 0:
        kept = (size_t)fl_rng_below(rng, n);
        break;
    case 1:
        for (uint64_t k = 1 + fl_rng_below(rng, 4); k > 0; k--) {
            copy[fl_rng_below(rng, n)] ^= (uint8_t)(1u << fl_rng_below(rng, 8));
        }
        break;
    case 2:
        for (uint64_t k = 1 + fl_rng_below(rng, 8); k > 0; k--) {
            static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff};
            copy[fl_rng_below(rng, n)] = odd[fl_rng_below(rng, sizeof odd)];
        }
        break;
    default: {
        size_t length = 1 + (size_t)fl_rng_below(rng, n / 4 + 1);
        size_t from = (size_t)fl_rng_below(rng, n - length + 1);
        size_t to = (size_t)fl_rng_below(rng, n - length + 1);
        memmove(copy + to, bytes + from, length);
    }
    }
    return kept;
}

static void read_image(const uint8_t *bytes, size_t n)
{
    fl_err err = FL_ERR_INIT;
    data_image image;
    if (data_image_parse(&image, bytes, n, "x", &err) != FL_OK) {
        check(image.data == NULL && err.text[0] != '\0');
    }
    data_image_clear(&image);
}

static void read_npz(const uint8_t *bytes, size_t n)
{
    fl_err err = FL_ERR_INIT;
    data_npz z;
    data_array a;
    if (data_npz_parse(&z, bytes, n, "x", &err) == FL_OK) {
        data_npz_clear(&z);
    }
    if (data_npy_parse(&a, bytes, n, "x", &err) == FL_OK) {
        data_array_clear(&a);
    }
}

static void read_csv(const uint8_t *bytes, size_t n)
{
    fl_err err = FL_ERR_INIT;
    data_csv t;
    if (data_csv_parse(&t, (const char *)bytes, n, "x", true, &err) == FL_OK) {
        data_csv_clear(&t);
    }
}

/* Every file of tests/fuzz/corpus/NAME. */
static void damage_all(const char *name, void (*read)(const uint8_t *bytes, size_t n))
{
    fl_err err = FL_ERR_INIT;
    char **names;
    size_t n_names;
    const uint64_t seed = 20240521;
    char *dir = fl_path_join("tests/fuzz/corpus", name);

    print_message("# seed %llu\n", (unsigned long long)seed);
    check_ok(fl_list_dir(&names, &n_names, dir, &err), err);
    check(n_names > 0);
    for (size_t i = 0; i < n_names; i++) {
        size_t n;
        fl_rng rng;
        char *path = fl_path_join(dir, names[i]);
        uint8_t *bytes = fixture_bytes(path, &n);
        fl_rng_init(&rng, seed, "damage", names[i], 0);
        for (int k = 0; k < N_DAMAGES && n > 0; k++) {
            uint8_t *copy = fl_xcalloc(n, 1);
            size_t kept = damage(copy, bytes, n, &rng);
            /* of just this size, so that a sanitizer sees every step beyond it */
            uint8_t *exact = fl_xcalloc(kept > 0 ? kept : 1, 1);
            memcpy(exact, copy, kept);
            read(exact, kept);
            free(exact);
            free(copy);
        }
        free(bytes);
        free(path);
    }
    fl_names_free(&names, n_names);
    free(dir);
}

static void png_jpeg_and_npy_images(void **state)
{
    (void)state;
    damage_all("image", read_image);
}

static void dicom_images(void **state)
{
    (void)state;
    damage_all("dicom", read_image);
}

static void nifti_volumes(void **state)
{
    (void)state;
    damage_all("nifti", read_image);
}

static void npz_archives(void **state)
{
    (void)state;
    damage_all("npz", read_npz);
}

static void csv_tables(void **state)
{
    (void)state;
    damage_all("csv", read_csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_jpeg_and_npy_images),
        cmocka_unit_test(dicom_images),
        cmocka_unit_test(nifti_volumes),
        cmocka_unit_test(npz_archives),
        cmocka_unit_test(csv_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
