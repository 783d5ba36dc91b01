/*
 * test_cache.c - decoded images in a mapped file: the same samples, and never stale ones
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "data/dataset.h"
#include "fixture.h"

#define YAML                                      \
    "task: classify\n"                            \
    "classes: {no: 0, yes: 1}\n"                  \
    "split: {by: patient, val: 0.2, test: 0.2}\n" \
    "attributes: {sex: sex, age: age}\n"          \
    "preprocess: [resize: 6, normalise: zscore]\n"
static const char in_memory[] = YAML "cache: none\n";
static const char cached[] = YAML "cache: made/here\n";

static void write_yaml(const char *dir, const char *yaml)
{
    fixture_text(dir, "dataset.yaml", yaml);
}

static void digest_of(char hex[FL_HEX_DIGEST], const char *dir)
{
    fl_err err = FL_ERR_INIT;
    data_set *s;
    uint8_t digest[FL_SHA256_BYTES];
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    data_set_sha256(digest, s);
    fl_hex(hex, digest, sizeof digest);
    data_set_destroy(&s);
}

/* The only cache of a data set, caller's; n: how many there are. */
static char *cache_file(const char *dir, size_t n)
{
    fl_err err = FL_ERR_INIT;
    char **names;
    size_t n_names;
    size_t n_found = 0;
    char *found = NULL;
    char *folder = fl_path_join(dir, "made/here");
    check_ok(fl_list_dir(&names, &n_names, folder, &err), err);
    for (size_t i = 0; i < n_names; i++) {
        if (strstr(names[i], ".cache") != NULL) {
            check(strstr(names[i], ".tmp") == NULL);
            free(found);
            found = fl_path_join(folder, names[i]);
            n_found++;
        }
    }
    check_int(n_found, n);
    fl_names_free(&names, n_names);
    free(folder);
    return found;
}

static ino_t inode_of(const char *path)
{
    struct stat info;
    check(stat(path, &info) == 0);
    return info.st_ino;
}

static void a_data_set_from_a_cache_is_the_one_from_memory(void **state)
{
    (void)state;
    char memory[FL_HEX_DIGEST];
    char first[FL_HEX_DIGEST];
    char again[FL_HEX_DIGEST];
    char *dir = check_tmpdir();

    fixture_images(dir, 40, in_memory);
    digest_of(memory, dir);
    write_yaml(dir, cached);
    digest_of(first, dir);
    check_str(first, memory);
    char *file = cache_file(dir, 1);
    struct stat info;
    check(stat(file, &info) == 0);
    check_int(info.st_mode & 0777, 0600);  // patients' pixels
    digest_of(again, dir);
    check_str(again, memory);
    check_int(inode_of(file), info.st_ino);  // used, not made again
    free(file);
    check_rmdir(&dir);
}

static void masks_by_several_annotators_come_back(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    static const char manifest[] = "case,patient,file,mask,mask:a,mask:b,split\n"
                                   "1,p,x.png,m.png,m.png,,train\n"
                                   "2,q,y.png,,,n.png,train\n"
                                   "3,r,y.png,n.png,n.png,m.png,test\n";
    static const char yaml[] = "task: segment\nclasses: {no: 0, yes: 255}\nmask_threshold: 128\n";

    fixture_png(dir, "x.png", 8, 3);
    fixture_png(dir, "y.png", 8, 90);
    fixture_png(dir, "m.png", 8, 120);
    fixture_png(dir, "n.png", 8, 7);
    fixture_text(dir, "manifest.csv", manifest);
    for (int pass = 0; pass < 3; pass++) {  // in memory, built, found
        data_set *s;
        char *text = fl_xasprintf("%scache: %s\n", yaml, pass == 0 ? "none" : "made/here");
        if (pass < 2) {
            write_yaml(dir, text);
        }
        check_ok(data_set_open(&s, dir, NULL, &err), err);
        check_int(data_set_n_annotators(s), 2);
        check(data_set_mask_by(s, 0, 1) == NULL && data_set_mask_by(s, 1, 0) == NULL);
        check(data_set_case(s, 1).mask == NULL);
        for (size_t i = 0; i < 64; i++) {
            int m = (120 + 3 * i) % 256 >= 128;
            int n = (7 + 3 * i) % 256 >= 128;
            check_int(data_set_case(s, 0).mask[i], m);
            check_int(data_set_mask_by(s, 0, 0)[i], m);
            check_int(data_set_mask_by(s, 1, 1)[i], n);
            check_int(data_set_case(s, 2).mask[i], n);
            check_int(data_set_mask_by(s, 2, 0)[i], n);
            check_int(data_set_mask_by(s, 2, 1)[i], m);
        }
        data_set_destroy(&s);
        free(text);
    }
    check_rmdir(&dir);
}

/* Another image under the old name, of the old size and with the old time. */
static void a_changed_image_makes_another_cache(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char before[FL_HEX_DIGEST];
    char after[FL_HEX_DIGEST];
    char fresh[FL_HEX_DIGEST];
    char *dir = check_tmpdir();
    size_t n;
    struct stat info;

    fixture_images(dir, 20, cached);
    digest_of(before, dir);
    char *path = fl_path_join(dir, "i7.png");
    check(stat(path, &info) == 0);
    fixture_png(dir, "i7.png", 8, 200);
    uint8_t *bytes = fixture_bytes(path, &n);
    check_ok(fl_file_write(path, bytes, n, 0644, &err), err);
    free(bytes);
    const struct timespec times[2] = {info.st_atim, info.st_mtim};
    check(utimensat(AT_FDCWD, path, times, 0) == 0);
    free(path);
    digest_of(after, dir);
    check(strcmp(before, after) != 0);
    free(cache_file(dir, 2));
    write_yaml(dir, in_memory);
    digest_of(fresh, dir);
    check_str(after, fresh);
    check_rmdir(&dir);
}

static void a_changed_setting_makes_another_cache_and_old_ones_go(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char hex[FL_HEX_DIGEST];

    fixture_images(dir, 20, cached);
    for (int side = 3; side < 9; side++) {
        data_set *s;
        char *yaml = fl_xasprintf("task: classify\nclasses: {no: 0, yes: 1}\n"
                                  "preprocess: [resize: %d]\ncache: made/here\n",
                                  side);
        write_yaml(dir, yaml);
        check_ok(data_set_open(&s, dir, NULL, &err), err);
        check_int(data_set_spec(s)->input.dim[2], side);
        data_set_destroy(&s);
        free(yaml);
    }
    free(cache_file(dir, 3));  // the last used
    digest_of(hex, dir);
    check_rmdir(&dir);
}

/* Every kind of damage is noticed and the file is made again. */
static void a_damaged_cache_is_made_again(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char whole[FL_HEX_DIGEST];
    char again[FL_HEX_DIGEST];
    char *dir = check_tmpdir();
    size_t n;

    fixture_images(dir, 12, cached);
    digest_of(whole, dir);
    char *path = cache_file(dir, 1);
    uint8_t *bytes = fixture_bytes(path, &n);
    for (size_t i = 0; i < 120; i++) {
        size_t at = i * n / 120;
        size_t keep = i % 3 == 0 ? at : n;  // cut off, or a bit of it
        uint8_t *copy = fl_xcalloc(n, 1);
        memcpy(copy, bytes, n);
        copy[at] ^= (uint8_t)(1u << i % 8);
        check_ok(fl_file_write(path, copy, keep, 0600, &err), err);
        ino_t damaged = inode_of(path);
        digest_of(again, dir);
        check_str(again, whole);
        check(inode_of(path) != damaged);
        free(copy);
    }
    free(bytes);
    free(path);
    check_rmdir(&dir);
}

static void two_processes_build_one_cache(void **state)
{
    (void)state;
    char whole[FL_HEX_DIGEST];
    char *dir = check_tmpdir();
    pid_t child[4];

    fixture_images(dir, 200, in_memory);
    digest_of(whole, dir);
    write_yaml(dir, cached);
    for (int i = 0; i < 4; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            fl_err err = FL_ERR_INIT;
            data_set *s;
            uint8_t digest[FL_SHA256_BYTES];
            char hex[FL_HEX_DIGEST] = "";
            if (data_set_open(&s, dir, NULL, &err) == FL_OK) {
                data_set_sha256(digest, s);
                fl_hex(hex, digest, sizeof digest);
            }
            _exit(strcmp(hex, whole) == 0 ? 0 : 1);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status = -1;
        while (waitpid(child[i], &status, 0) < 0 && errno == EINTR) {
        }
        check_int(status, 0);
    }
    free(cache_file(dir, 1));
    check_rmdir(&dir);
}

static void a_bad_image_stops_it_or_is_counted_each_time(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    fixture_images(dir, 20, cached);
    fixture_text(dir, "i5.png", "no image");
    for (int pass = 0; pass < 2; pass++) {
        fl_err why = FL_ERR_INIT;
        data_set *s;
        check_fails(data_set_open(&s, dir, NULL, &why), FL_EUNSUPPORTED);
        check_has(why.text, "manifest.csv:7: ");
    }
    free(cache_file(dir, 0));
    write_yaml(dir, YAML "cache: made/here\non_error: skip\n");
    for (int pass = 0; pass < 2; pass++) {  // built, found
        fl_err err = FL_ERR_INIT;
        data_set *s;
        check_ok(data_set_open(&s, dir, NULL, &err), err);
        check_int(data_set_n(s), 19);
        json_t *flow = data_set_flow(s);
        check_int(fl_json_get_int(json_object_get(flow, "refused"), "unknown format", 0), 1);
        json_decref(flow);
        data_set_destroy(&s);
    }
    check_rmdir(&dir);
}

static const char archive[] = "task: classify\nnpz: m.npz\nclasses: {no: 0, yes: 1}\n"
                              "preprocess: [resize: 6, normalise: zscore]\n";

static void write_archive(const char *dir, bool in_cache, const char *more)
{
    char *yaml = fl_xasprintf("%s%scache: %s\n", archive, more, in_cache ? "made/here" : "none");
    write_yaml(dir, yaml);
    free(yaml);
}

/* The same bits in every batch, also of rows in another order than the archive's. */
static void an_archive_from_a_cache_is_the_one_from_memory(void **state)
{
    (void)state;
    char memory[FL_HEX_DIGEST];
    char first[FL_HEX_DIGEST];
    char again[FL_HEX_DIGEST];
    char *dir = check_tmpdir();
    static const char *const more[] = {"", "rows: rows.csv\n", "shift: [noise: 3]\n"};

    fixture_npz(dir, "m.npz", (const int[]){24, 6, 9});
    fixture_text(dir, "rows.csv", "split,index\ntest,8\ntrain,23\nval,1\ntrain,0\ntest,0\n");
    for (size_t k = 0; k < 3; k++) {
        write_archive(dir, false, more[k]);
        digest_of(memory, dir);
        write_archive(dir, true, more[k]);
        digest_of(first, dir);
        check_str(first, memory);
        digest_of(again, dir);
        check_str(again, memory);
        free(cache_file(dir, k + 1));
    }
    check_rmdir(&dir);
}

static void epoch(float *x, const data_set *s)
{
    size_t n = data_set_n_split(s, DATA_TRAIN);
    size_t *order = fl_xcalloc(n, sizeof *order);
    data_set_shuffle(s, DATA_TRAIN, 3, "nord", 2, order);
    data_set_batch(s, order, n, x);
    free(order);
}

static void an_epoch_of_an_archive_has_the_same_bits(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    float x[2][24 * 36];

    fixture_npz(dir, "m.npz", (const int[]){24, 6, 9});
    for (int in_cache = 0; in_cache < 2; in_cache++) {
        data_set *s;
        write_archive(dir, in_cache == 1, "");
        check_ok(data_set_open(&s, dir, NULL, &err), err);
        epoch(x[in_cache], s);
        data_set_destroy(&s);
    }
    check_bytes(x[1], x[0], sizeof x[0]);
    check_rmdir(&dir);
}

static void another_archive_or_other_rows_make_another_cache(void **state)
{
    (void)state;
    char hex[3][FL_HEX_DIGEST];
    char *dir = check_tmpdir();

    fixture_npz(dir, "m.npz", (const int[]){24, 6, 9});
    fixture_text(dir, "rows.csv", "split,index\ntrain,3\nval,0\ntest,8\n");
    write_archive(dir, true, "rows: rows.csv\n");
    digest_of(hex[0], dir);
    fixture_text(dir, "rows.csv", "split,index\ntrain,4\nval,0\ntest,8\n");
    digest_of(hex[1], dir);
    fixture_npz(dir, "m.npz", (const int[]){20, 10, 9});
    digest_of(hex[2], dir);
    check(strcmp(hex[0], hex[1]) != 0 && strcmp(hex[1], hex[2]) != 0);
    free(cache_file(dir, 3));
    check_rmdir(&dir);
}

/* Nothing is left of what was unpacked. */
static void a_damaged_archive_makes_no_cache(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "m.npz");
    char **names;
    size_t n;

    fixture_npz(dir, "m.npz", (const int[]){24, 6, 9});
    write_archive(dir, true, "");
    uint8_t *bytes = fixture_bytes(path, &n);
    bytes[300] ^= 1;  // a pixel of the first array: what it says of itself stays
    check_ok(fl_file_write(path, bytes, n, 0644, &err), err);
    free(bytes);
    for (int pass = 0; pass < 2; pass++) {
        fl_err why = FL_ERR_INIT;
        data_set *s;
        check_fails(data_set_open(&s, dir, NULL, &why), FL_EFORMAT);
        check_has(why.text, "train_images");
    }
    char *folder = fl_path_join(dir, "made/here");
    check_ok(fl_list_dir(&names, &n, folder, &err), err);
    check_int(n, 1);
    check_str(names[0], "lock");
    fl_names_free(&names, n);
    free(folder);
    free(path);
    check_rmdir(&dir);
}

/* Samples, and masks of every annotator, of the reader's pass over a shifted union. */
static void read_shifted(float *x, uint8_t *codes, const char *dir)
{
    enum { PIXELS = 64 };
    fl_err err = FL_ERR_INIT;
    data_set *s;
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 3);
    check_int(data_set_n_annotators(s), 2);
    for (size_t i = 0; i < 3; i++) {
        const uint8_t *from[] = {data_set_case(s, i).mask, data_set_mask_by(s, i, 0),
                                 data_set_mask_by(s, i, 1)};
        data_set_batch(s, &i, 1, x + i * PIXELS);
        for (size_t k = 0; k < 3; k++) {
            uint8_t *to = codes + (3 * i + k) * PIXELS;
            memset(to, 9, PIXELS);  // nobody drew
            memcpy(to, from[k] != NULL ? from[k] : to, from[k] != NULL ? PIXELS : 0);
        }
    }
    data_set_destroy(&s);
}

static void a_shifted_union_from_a_cache_is_the_one_from_memory(void **state)
{
    (void)state;
    static const char manifest[] = "case,patient,file,mask,mask:a,mask:b,split\n"
                                   "1,p,x.png,m.png,m.png,,train\n"
                                   "2,q,y.png,,,n.png,train\n"
                                   "3,r,y.png,,,,test\n";
    static const char *const members[] = {"none", "auto", "made/member"};
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "all.yaml");
    float x[2][3 * 64];
    uint8_t plain[9 * 64];
    uint8_t codes[2][9 * 64];

    fixture_png(dir, "x.png", 8, 3);
    fixture_png(dir, "y.png", 8, 90);
    fixture_png(dir, "m.png", 8, 120);
    fixture_png(dir, "n.png", 8, 7);
    fixture_text(dir, "manifest.csv", manifest);
    for (size_t k = 0; k < 3; k++) {  // whatever its member does
        char *yaml = fl_xasprintf("task: segment\nclasses: {no: 0, yes: 255}\nmask_threshold: 128\n"
                                  "preprocess: [normalise: zscore]\ncache: %s\n",
                                  members[k]);
        write_yaml(dir, yaml);
        read_shifted(x[0], plain, dir);
        char *itself = fl_xasprintf("%sshift: [noise: 3, field_of_view: 3]\n", yaml);
        fixture_text(dir, "itself.yaml", itself);
        free(itself);
        free(yaml);
        fixture_text(dir, "all.yaml", "union: [.]\nshift: [noise: 3, field_of_view: 3]\ncache: none\n");
        read_shifted(x[0], codes[0], path);
        check_int(codes[0][0], 0);  // from outside; in its file it is 0 or more
        check(memcmp(codes[0], plain, sizeof plain) != 0);
        fixture_text(dir, "all.yaml", "union: [.]\nshift: [noise: 3, field_of_view: 3]\ncache: made/here\n");
        for (int pass = 0; pass < 2; pass++) {  // built, found
            memset(x[1], 0, sizeof x[1]);
            memset(codes[1], 0, sizeof codes[1]);
            read_shifted(x[1], codes[1], path);
            check_bytes(x[1], x[0], sizeof x[0]);
            check_bytes(codes[1], codes[0], sizeof codes[0]);
        }
        free(cache_file(dir, k + 1));
        char *manifest_itself = fl_path_join(dir, "itself.yaml");
        read_shifted(x[1], codes[1], manifest_itself);  // the same scanner in the manifest
        check_bytes(x[1], x[0], sizeof x[0]);
        check_bytes(codes[1], codes[0], sizeof codes[0]);
        free(manifest_itself);
    }
    free(path);
    check_rmdir(&dir);
}

/* A member's pixels and masks, its preprocessing and the chain are all in the key. */
static void what_a_shifted_union_is_made_of_makes_another_cache(void **state)
{
    (void)state;
    char hex[5][FL_HEX_DIGEST];
    float x[3 * 64];
    uint8_t codes[9 * 64];
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "all.yaml");
    const char *const yaml = "task: segment\nclasses: {no: 0, yes: 255}\nmask_threshold: 128\n";
    size_t n = 0;

    fixture_png(dir, "x.png", 8, 3);
    fixture_png(dir, "m.png", 8, 120);
    fixture_text(dir, "manifest.csv", "case,patient,file,mask:a,mask:b,split\n1,p,x.png,m.png,m.png"
                                      ",train\n2,q,x.png,m.png,,test\n3,r,x.png,,,test\n");
    write_yaml(dir, yaml);
    fixture_text(dir, "all.yaml", "union: [.]\nshift: [gamma: 1]\ncache: made/here\n");
    digest_of(hex[n++], path);
    fixture_png(dir, "x.png", 8, 4);
    digest_of(hex[n++], path);
    char *steps = fl_xasprintf("%spreprocess: [normalise: zscore]\n", yaml);
    write_yaml(dir, steps);
    digest_of(hex[n++], path);
    fixture_text(dir, "all.yaml", "union: [.]\nshift: [gamma: 2]\ncache: made/here\n");
    digest_of(hex[n++], path);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            check(strcmp(hex[i], hex[k]) != 0);
        }
    }
    fixture_png(dir, "m.png", 8, 20);
    read_shifted(x, codes, path);
    for (size_t i = 0; i < 64; i++) {
        check_int(codes[64 + i], (20 + 3 * i) % 256 >= 128);
    }
    free(steps);
    free(path);
    check_rmdir(&dir);
}

static void a_folder_that_cannot_be_made_is_told(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s;
    char *dir = check_tmpdir();
    fixture_images(dir, 8, YAML "cache: i1.png/x\n");
    check(data_set_open(&s, dir, NULL, &err) != FL_OK);
    check_has(err.text, "i1.png");
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_data_set_from_a_cache_is_the_one_from_memory),
        cmocka_unit_test(masks_by_several_annotators_come_back),
        cmocka_unit_test(a_changed_image_makes_another_cache),
        cmocka_unit_test(a_changed_setting_makes_another_cache_and_old_ones_go),
        cmocka_unit_test(a_damaged_cache_is_made_again),
        cmocka_unit_test(two_processes_build_one_cache),
        cmocka_unit_test(a_bad_image_stops_it_or_is_counted_each_time),
        cmocka_unit_test(an_archive_from_a_cache_is_the_one_from_memory),
        cmocka_unit_test(an_epoch_of_an_archive_has_the_same_bits),
        cmocka_unit_test(another_archive_or_other_rows_make_another_cache),
        cmocka_unit_test(a_damaged_archive_makes_no_cache),
        cmocka_unit_test(a_shifted_union_from_a_cache_is_the_one_from_memory),
        cmocka_unit_test(what_a_shifted_union_is_made_of_makes_another_cache),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
