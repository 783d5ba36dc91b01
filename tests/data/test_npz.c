/*
 * test_npz.c - NumPy's arrays and archives against NumPy
 */
#include <fcntl.h>
#include <unistd.h>

#include "fixture.h"

static const char corpus[] = "tests/fuzz/corpus/npz";

static void an_archive_gives_arrays_by_name(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_npz npz;

    check_ok(data_npz_read(&npz, "tests/fuzz/corpus/npz/medmnist.npz", &err), err);
    const data_array *images = data_npz_find(&npz, "train_images");
    check_int(images->rank, 3);
    check_int(images->dim[0], 6);
    check_int(images->type, 'u');
    check_int(data_array_count(images), 6 * 4 * 4);
    check(data_npz_find(&npz, "nothing") == NULL);
    data_npz_clear(&npz);
    data_npz_clear(&npz);
}

static void check_values(const data_array *a, const json_t *expected)
{
    const json_t *shape = json_object_get(expected, "shape");
    const json_t *values = json_object_get(expected, "values");

    check_int(a->rank, json_array_size(shape));
    for (int d = 0; d < a->rank; d++) {
        check_int(a->dim[d], json_integer_value(json_array_get(shape, (size_t)d)));
    }
    check_int(data_array_count(a), json_array_size(values));
    for (size_t i = 0; i < json_array_size(values); i++) {
        check_near(data_array_at(a, i), json_number_value(json_array_get(values, i)), 0);
    }
}

static void every_type_order_and_version_is_as_numpy_has_it(void **state)
{
    (void)state;
    static const char *const files[] = {"types-stored.npz", "deflated.npz"};
    fl_err err = FL_ERR_INIT;
    json_t *vectors = fixture_vectors("data_files.json");
    const json_t *arrays = json_object_get(vectors, "arrays");

    for (int k = 0; k < 2; k++) {
        char *path = fl_path_join(corpus, files[k]);
        data_npz npz;
        check_ok(data_npz_read(&npz, path, &err), err);
        check(npz.n >= 3);
        for (size_t i = 0; i < npz.n; i++) {
            check_values(&npz.items[i], json_object_get(arrays, npz.items[i].name));
        }
        data_npz_clear(&npz);
        free(path);
    }
    json_decref(vectors);
}

/* Of every type, order and compression: the bytes that reading gives. */
static void unpacking_to_a_file_gives_what_reading_does(void **state)
{
    (void)state;
    static const char *const files[] = {"types-stored.npz", "deflated.npz", "medmnist.npz"};
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *to = fl_path_join(dir, "numbers");

    for (int k = 0; k < 3; k++) {
        char *path = fl_path_join(corpus, files[k]);
        data_npz npz;
        data_npz heads;
        check_ok(data_npz_read(&npz, path, &err), err);
        check_ok(data_npz_read_but(&heads, path, "", &err), err);
        check_int(heads.n, npz.n);
        for (size_t i = 0; i < npz.n; i++) {
            const data_array *a = &npz.items[i];
            size_t size = data_array_count(a) * (size_t)a->item_bytes;
            size_t n;
            check_str(heads.items[i].name, a->name);
            check(heads.items[i].bytes == NULL && data_array_is_alike(&heads.items[i], a));
            int fd = open(to, O_RDWR | O_CREAT | O_TRUNC, 0600);
            check(fd >= 0 && write(fd, "before", 6) == 6);
            check_ok(data_npz_unpack(path, &heads.items[i], fd, &err), err);
            close(fd);
            uint8_t *bytes = fixture_bytes(to, &n);
            check_int(n, 6 + size);
            check_bytes(bytes + 6, a->bytes, size);
            free(bytes);
        }
        data_npz_clear(&heads);
        data_npz_clear(&npz);
        free(path);
    }
    free(to);
    check_rmdir(&dir);
}

static void all_versions_of_the_format_are_read(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    for (int version = 1; version <= 3; version++) {
        char *path = fl_xasprintf("%s/version%d.npy", corpus, version);
        size_t n;
        uint8_t *bytes = fixture_bytes(path, &n);
        data_array a;
        check_ok(data_npy_parse(&a, bytes, n, path, &err), err);
        for (size_t i = 0; i < 6; i++) {
            check_near(data_array_at(&a, i), i, 0);
        }
        data_array_clear(&a);
        free(bytes);
        free(path);
    }
}

/* An array file of one line of header and n zero bytes. */
static fl_status parse(data_array *a, const char *header, size_t n_zeros, fl_err *err)
{
    fl_buf b = FL_BUF_INIT;
    size_t length = strlen(header);
    const char size[] = {(char)length, (char)(length >> 8)};
    fl_buf_add(&b, "\x93NUMPY\1\0", 8);
    fl_buf_add(&b, size, 2);
    fl_buf_puts(&b, header);
    for (size_t i = 0; i < n_zeros; i++) {
        fl_buf_add(&b, "", 1);
    }
    fl_status st = data_npy_parse(a, (const uint8_t *)b.data, b.n, "a", err);
    fl_buf_clear(&b);
    return st;
}

static void headers_that_promise_too_much_or_lie_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        fl_status status;
        const char *says;
    } cases[] = {
        {"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", FL_EUNSUPPORTED,
         "found type |O"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (3,), }", FL_EUNSUPPORTED, "<c8"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", FL_EUNSUPPORTED,
         "a record"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", FL_EFORMAT,
         "expected 12 bytes of array, found 8"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", FL_EFORMAT,
         "expected 4 bytes of array, found 8"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 99999999)}", FL_ELIMIT,
         "more than"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", FL_ELIMIT,
         "more than"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,2)}", FL_ELIMIT,
         "6 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", FL_EFORMAT, "shape"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}", FL_EFORMAT, "malformed"},
        {"{'descr': '<f4', 'fortran_order': False}", FL_EFORMAT, "malformed"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", FL_EFORMAT,
         "malformed"},
        {"", FL_EFORMAT, "malformed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        data_array a;
        check_fails(parse(&a, cases[i].header, 8, &err), cases[i].status);
        check_has(err.text, cases[i].says);
        check(a.bytes == NULL);
    }
}

static void damaged_archives_are_read_or_refused(void **state)
{
    (void)state;
    static const char *const files[] = {"deflated.npz", "medmnist.npz"};
    for (int k = 0; k < 2; k++) {
        char *path = fl_path_join(corpus, files[k]);
        size_t n;
        uint8_t *bytes = fixture_bytes(path, &n);
        for (size_t cut = 0; cut < n; cut++) {
            fl_err err = FL_ERR_INIT;
            data_npz npz;
            uint8_t *part = malloc(cut > 0 ? cut : 1);
            memcpy(part, bytes, cut);
            check(data_npz_parse(&npz, part, cut, "cut", &err) != FL_OK);
            free(part);
        }
        for (size_t bit = 0; bit < 8 * n; bit += 2) {
            fl_err err = FL_ERR_INIT;
            data_npz npz;
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            data_npz_parse(&npz, bytes, n, "flipped", &err);
            data_npz_clear(&npz);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(bytes);
        free(path);
    }
}

/* Cut off, or with a bit turned; what is unpacked of it is whole or refused. */
static void damaged_archives_are_unpacked_or_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    size_t n;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "m.npz");
    uint8_t *bytes = fixture_bytes("tests/fuzz/corpus/npz/deflated.npz", &n);

    for (size_t k = 0; k < 300; k++) {
        fl_err why = FL_ERR_INIT;
        data_npz npz;
        size_t at = k * n / 300;
        bytes[at] ^= (uint8_t)(1u << k % 8);
        check_ok(fl_file_write(path, bytes, k % 3 == 0 ? at : n, 0644, &err), err);
        bytes[at] ^= (uint8_t)(1u << k % 8);
        fl_status st = data_npz_read_but(&npz, path, "", &why);
        check(st == FL_OK || (why.text[0] != '\0' && npz.items == NULL));
        for (size_t i = 0; i < npz.n; i++) {
            FILE *to = tmpfile();
            data_array *a = &npz.items[i];
            check(to != NULL);
            st = data_npz_unpack(path, a, fileno(to), &why);
            size_t size = data_array_count(a) * (size_t)a->item_bytes;
            check(st != FL_OK || lseek(fileno(to), 0, SEEK_CUR) == (off_t)size);
            fclose(to);
        }
        data_npz_clear(&npz);
    }
    free(bytes);
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_archive_gives_arrays_by_name),
        cmocka_unit_test(every_type_order_and_version_is_as_numpy_has_it),
        cmocka_unit_test(unpacking_to_a_file_gives_what_reading_does),
        cmocka_unit_test(all_versions_of_the_format_are_read),
        cmocka_unit_test(headers_that_promise_too_much_or_lie_are_refused),
        cmocka_unit_test(damaged_archives_are_read_or_refused),
        cmocka_unit_test(damaged_archives_are_unpacked_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
