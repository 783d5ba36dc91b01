/*
 * fuzz_dataset.c - a whole data set from a hostile dataset.yaml and table
 *
 * The input is a dataset.yaml, a line "=====" and a CSV, which becomes
 * manifest.csv, t.csv, rows.csv and s.csv of a folder that also has a small
 * image a.png and an archive m.npz.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/dataset.h"
#include "data/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *folder;  // made for the first input, removed at exit

static void remove_folder(void)
{
    fl_remove_tree(folder, NULL);
    FL_FREE(folder);
}

/* The table is the same in most inputs: it is written when it changes. */
static bool is_new_table(const uint8_t *bytes, size_t n)
{
    static uint8_t *last;
    static size_t n_last;
    if (last != NULL && n == n_last && memcmp(last, bytes, n) == 0) {
        return false;
    }
    last = fl_xrealloc(last, n + 1, 1);
    memcpy(last, bytes, n);
    n_last = n;
    return true;
}

static void write_file(const char *name, const void *bytes, size_t n)
{
    char *path = fl_path_join(folder, name);
    FILE *file = fopen(path, "wb");
    FL_REQUIRE(file != NULL);
    FL_REQUIRE(fwrite(bytes, 1, n, file) == n);
    FL_REQUIRE(fclose(file) == 0);
    free(path);
}

static void copy_file(const char *from, const char *name)
{
    char *bytes = NULL;
    size_t n = 0;
    if (fl_file_read(&bytes, &n, from, 1 << 20, NULL) == FL_OK) {
        write_file(name, bytes, n);
    }
    free(bytes);
}

static void make_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    folder = fl_xasprintf("%s/consilium-fuzz-XXXXXX", tmp != NULL ? tmp : "/tmp");
    FL_REQUIRE(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    copy_file("tests/fuzz/corpus/image/gray8.png", "a.png");
    copy_file("tests/fuzz/corpus/npz/medmnist.npz", "m.npz");
}

static void use(const data_set *s)
{
    size_t F = data_set_n_features(s);
    float *x = fl_xcalloc(F, sizeof *x);
    uint8_t digest[32];
    for (size_t i = 0; i < data_set_n(s); i++) {
        data_case c = data_set_case(s, i);
        FL_REQUIRE(c.code >= -1 && c.code < (int)data_set_spec(s)->n_classes);
        FL_REQUIRE(strlen(c.case_id) + strlen(c.patient) < SIZE_MAX);
        data_set_batch(s, &i, 1, x);
    }
    data_set_sha256(digest, s);
    json_decref(data_set_flow(s));
    json_decref(data_set_table1(s, 2));
    json_decref(data_set_problems(s));
    free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char line[] = "\n=====\n";
    static const char *const names[] = {"manifest.csv", "t.csv", "rows.csv", "s.csv"};
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    size_t at = 0;

    if (folder == NULL) {
        make_folder();
    }
    while (at + sizeof line - 1 <= size && memcmp(data + at, line, sizeof line - 1) != 0) {
        at++;
    }
    bool found = at + sizeof line - 1 <= size;
    size_t rest = found ? at + sizeof line - 1 : size;
    write_file("dataset.yaml", data, found ? at : size);
    bool write_table = is_new_table(data + rest, size - rest);
    for (int i = 0; i < 4 && write_table; i++) {
        write_file(names[i], data + rest, size - rest);
    }
    if (data_set_open(&s, folder, NULL, &err) == FL_OK) {
        use(s);
    } else {
        FL_REQUIRE(err.text[0] != '\0' && s == NULL);
    }
    data_set_destroy(&s);
    return 0;
}
