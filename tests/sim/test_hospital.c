/*
 * test_hospital.c - simulated hospitals repeat byte by byte and open as real ones
 */
#include "sim/hospital.h"

#include <sys/stat.h>

#include "base/hash.h"
#include "data/dataset.h"
#include "data/formats.h"
#include "fixture.h"
#include "sim/gallery.h"
#include "sim/partition.h"

static char *read_text(const char *dir, const char *name)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name), *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, path, 1 << 24, &err), err);
    free(path);
    return text;
}

static void a_hospital_opens_as_a_real_one_would(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    char *out = fixture_make(&s, dir, FIXTURE_SMALL, -1, "data");
    const char *const names[] = {"nord", "sud", "pooled"};
    for (int i = 0; i < 3; i++) {
        data_set *set = NULL;
        char *own = fl_path_join(out, names[i]);
        int64_t hospitals = i < 2 ? 1 : 2;
        check_ok(data_set_open(&set, own, &s.job.data, &err), err);
        check_int(data_set_n_split(set, DATA_TRAIN), 12 * hospitals);
        check_int(data_set_n_split(set, DATA_VAL), 6 * hospitals);
        check_int(data_set_n_split(set, DATA_TEST), 6 * hospitals);
        check_ok(job_check_data(set, &err), err);
        float x[16 * 16];
        size_t first = 0;
        data_set_batch(set, &first, 1, x);
        double sum = 0, squares = 0;
        for (int k = 0; k < 16 * 16; k++) {
            sum += (double)x[k] / 256;
            squares += (double)x[k] * (double)x[k] / 256;
        }
        check_near(sum, 0, 1e-5);  // normalised, each image for itself
        check_near(squares, 1, 1e-4);
        data_set_destroy(&set);
        free(own);
    }
    scenario_clear(&s);
    free(out);
    check_rmdir(&dir);
}

static void the_same_seed_gives_the_same_bytes_on_one_core_and_on_all(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    scenario s;
    fixture_same_on_one_core(dir, FIXTURE_SMALL);
    char *on_all = fixture_make(&s, dir, FIXTURE_SMALL, -1, "again");
    scenario_clear(&s);

    char *other = fixture_make(&s, dir, FIXTURE_SMALL, 6, "other");
    scenario_clear(&s);
    char *a = read_text(on_all, "nord/images/000001.png"),
         *b = read_text(other, "nord/images/000001.png");
    check(memcmp(a, b, 64) != 0 || strcmp(a, b) != 0);
    free(a);
    free(b);
    free(on_all);
    free(other);
    check_rmdir(&dir);
}

/* A hospital is itself: whoever else is in the scenario changes nothing. */
static void a_hospital_does_not_depend_on_the_others(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    scenario s;
    char *two = fixture_make(&s, dir, FIXTURE_SMALL, -1, "two");
    scenario_clear(&s);
    char *one = fixture_make(
        &s, dir,
        FIXTURE_JOB FIXTURE_GENERATE
        "hospitals:\n  - {name: sud, patients: {n: {train: 12, val: 6, test: 6}, prevalence: 0.5}, "
        "shift: [resolution: 2]}\n",
        -1, "one");
    scenario_clear(&s);
    char *a = fl_path_join(two, "sud"), *b = fl_path_join(one, "sud");
    fixture_same_tree(a, b);
    free(a);
    free(b);
    free(one);
    free(two);
    check_rmdir(&dir);
}

static int64_t made_at(const char *dir, const char *name)
{
    char *path = fl_path_join(dir, name);
    struct stat info;
    check_int(stat(path, &info), 0);
    free(path);
    return (int64_t)info.st_ino;
}

static void what_is_there_is_kept_and_what_changed_is_made_anew(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    char *out = fixture_make(&s, dir, FIXTURE_SMALL, -1, "data");
    char *extra = fixture_file(out, "extra", "");
    check_ok(hospital_make_all(&s, out, &err), err);
    check(fl_file_exists(extra));
    scenario_clear(&s);
    // How it is trained is no business of the data.
    free(fixture_make(&s, dir, FIXTURE_SMALL "clients: {processes: 1}\nbaselines: [centralised]\n",
                      -1, "data"));
    check(fl_file_exists(extra));
    scenario_clear(&s);

    static const char *const changed[] = {
        FIXTURE_JOB FIXTURE_GENERATE "hospitals:\n  - {name: nord, patients: {n: 24}}\n",
        FIXTURE_JOB FIXTURE_GENERATE
        "hospitals:\n  - {name: nord, patients: {n: 24}, shift: [noise: 1]}\n",
        FIXTURE_JOB FIXTURE_GENERATE
        "hospitals:\n  - {name: nord, patients: {n: 24}, scanner: S}\n",
        FIXTURE_JOB FIXTURE_GENERATE
        "hospitals:\n  - {name: nord, patients: {n: 24}, labels: {noise: 0.1}}\n",
    };
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++) {
        free(fixture_file(out, "extra", ""));
        free(fixture_make(&s, dir, changed[i], -1, "data"));
        check(!fl_file_exists(extra));
        scenario_clear(&s);
    }
    free(extra);
    // Interrupted before it was complete: made anew.
    extra = fixture_file(out, "nord/extra", "");
    char *stamp = fixture_file(out, "stamp", "consilium-sim data: unfinished\n");
    free(fixture_make(&s, dir, changed[3], -1, "data"));
    check(!fl_file_exists(extra));
    scenario_clear(&s);
    check(made_at(out, "stamp") > 0);
    free(stamp);
    free(extra);
    free(out);
    check_rmdir(&dir);
}

static void a_folder_of_somebody_else_is_left_alone(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *out = fl_path_join(dir, "thesis");
    scenario s;
    check_ok(fl_mkdirs(out, 0755, &err), err);
    char *thesis = fixture_file(out, "thesis.tex", "years of work");
    check_ok(fixture_read(&s, dir, FIXTURE_SMALL, NULL, 0, -1, &err), err);
    check_fails(hospital_make_all(&s, out, &err), FL_ECONFLICT);
    check_has(err.text, out);
    check(fl_file_exists(thesis));
    // Neither does a file that happens to be called stamp make it ours.
    char *stamp = fixture_file(out, "stamp", "collection of stamps\n");
    check_fails(hospital_make_all(&s, out, &err), FL_ECONFLICT);
    check(fl_file_exists(thesis));
    // An empty folder is fine.
    char *empty = fl_path_join(dir, "empty");
    check_ok(fl_mkdirs(empty, 0755, &err), err);
    check_ok(hospital_make_all(&s, empty, &err), err);
    scenario_clear(&s);
    free(stamp);
    free(thesis);
    free(empty);
    free(out);
    check_rmdir(&dir);
}

static void the_share_of_wrong_labels_is_the_one_asked_for(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    scenario s;
    const char *head = FIXTURE_JOB FIXTURE_GENERATE
        "hospitals:\n  - {name: a, patients: {n: {train: 600, val: 30, test: 30}}";
    char *clean_text = fl_xasprintf("%s}\n", head);
    char *noisy_text = fl_xasprintf("%s, labels: {noise: 0.2}}\n", head);
    char *clean = fixture_make(&s, dir, clean_text, -1, "clean");
    scenario_clear(&s);
    char *noisy = fixture_make(&s, dir, noisy_text, -1, "noisy");
    scenario_clear(&s);
    char *images_a = fl_path_join(clean, "a/images"), *images_b = fl_path_join(noisy, "a/images");
    fixture_same_tree(images_a, images_b);
    free(images_a);
    free(images_b);
    fl_err err = FL_ERR_INIT;
    data_csv a, b;
    char *path_a = fl_path_join(clean, "a/manifest.csv"),
         *path_b = fl_path_join(noisy, "a/manifest.csv");
    check_ok(data_csv_read(&a, path_a, true, &err), err);
    check_ok(data_csv_read(&b, path_b, true, &err), err);
    int label = data_csv_column(&a, "label"), split = data_csv_column(&a, "split");
    int wrong = 0, to_positive = 0;
    for (size_t i = 0; i < a.n_rows; i++) {
        bool differs = strcmp(a.cell[i][label], b.cell[i][label]) != 0;
        check(!differs || strcmp(a.cell[i][split], "train") == 0);  // judged by the truth
        wrong += differs;
        to_positive += differs && strcmp(b.cell[i][label], "opacity") == 0;
    }
    // Binomial(600, 0.2): mean 120, sd 9.8; four of them.
    check(wrong > 120 - 40 && wrong < 120 + 40);
    check(to_positive > 0 && to_positive < wrong);
    data_csv_clear(&a);
    data_csv_clear(&b);
    free(path_a);
    free(path_b);
    free(clean_text);
    free(noisy_text);
    free(clean);
    free(noisy);
    check_rmdir(&dir);
}

static void a_scanner_may_have_any_name(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    char *out = fixture_make(
        &s, dir,
        FIXTURE_JOB FIXTURE_GENERATE
        "hospitals:\n  - {name: a, patients: {n: 20}, scanner: 'the 12\" one, \"old\"'}\n",
        -1, "data");
    char *path = fl_path_join(out, "a/manifest.csv");
    data_csv t;
    check_ok(data_csv_read(&t, path, true, &err), err);
    check_str(t.cell[0][data_csv_column(&t, "scanner")], "the 12\" one, \"old\"");
    data_csv_clear(&t);
    free(path);
    free(out);
    scenario_clear(&s);
    check_rmdir(&dir);
}

static void the_gallery_is_a_picture_of_every_hospital(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *png = fl_path_join(dir, "gallery.png");
    scenario s;
    char *out = fixture_make(&s, dir, FIXTURE_SMALL, -1, "data");
    check_ok(gallery_write(&s, out, png, &err), err);
    data_image image;
    check_ok(data_image_read(&image, png, &err), err);
    const int zoom = 7, side = 16 * zoom + 4, title = 18, row = title + 16 * zoom + 13 + 4;
    check_int(image.rows, 2 * row);
    check_int(image.cols, 10 * side);
    // The first test case (the 19th image) as its file has it; the seventh place is empty.
    data_image first;
    char *file = fl_path_join(out, "sud/images/000019.png");
    check_ok(data_image_read(&first, file, &err), err);
    for (int y = 0; y < 16 * zoom; y++) {
        const float *line = image.data + (row + title + y) * image.cols;
        for (int x = 0; x < 16 * zoom; x++) {
            check_near(line[x], first.data[16 * (y / zoom) + x / zoom], 0);
            check_near(line[6 * side + x], 0, 0);
        }
    }
    int n_lit[2] = {0};  // of a row's title, and under its first image
    for (int x = 0; x < side; x++) {
        for (int y = 0; y < title; y++) {
            n_lit[0] += image.data[y * image.cols + x] > 0;
            n_lit[1] += y < 13 && image.data[(title + 16 * zoom + y) * image.cols + x] > 0;
        }
    }
    check(n_lit[0] > 50 && n_lit[1] > 20);
    data_image_clear(&first);
    free(file);
    data_image_clear(&image);
    scenario_clear(&s);
    free(png);
    free(out);
    check_rmdir(&dir);
}

// ------------------------------------------------------- a real set, shared out

#define SOURCE_HOSPITALS \
    "hospitals:\n  - {name: x}\n  - {name: y, shift: [noise: 1]}\n  - {name: z}\n"

static void every_row_of_a_shared_set_goes_to_one_hospital(void **state)
{
    (void)state;
    static const char *const split_names[] = {"train", "val", "test"};
    static const size_t n[] = {300, 60, 90};
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *npz = fixture_npz(dir, n);
    scenario s;
    for (int dirichlet = 0; dirichlet < 2; dirichlet++) {
        char *text = fl_xasprintf(FIXTURE_SHARED_JOB
                                  "source: {npz: real.npz, classes: {a: 0, b: 1}, split: %s, "
                                  "alpha: 0.5, min_train: 5}\n" SOURCE_HOSPITALS,
                                  dirichlet ? "dirichlet" : "even");
        char *out = fixture_make(&s, dir, text, -1, "data");
        int seen[3][300] = {{0}};
        size_t counts[3] = {0};
        for (size_t h = 0; h < 3; h++) {
            data_csv t;
            char *path = fl_xasprintf("%s/%s/rows.csv", out, s.hospitals[h].name);
            check_ok(data_csv_read(&t, path, true, &err), err);
            check(t.n_rows > 5);
            for (size_t i = 0; i < t.n_rows; i++) {
                int split = t.cell[i][0][0] == 'v' ? 1 : t.cell[i][0][1] == 'r' ? 0 : 2;
                check_str(t.cell[i][0], split_names[split]);
                size_t index = (size_t)atoi(t.cell[i][1]);
                check(index < n[split]);
                seen[split][index]++;
            }
            counts[h] = t.n_rows;
            data_csv_clear(&t);
            free(path);
            // And it opens as a data set of so many cases.
            data_set *set = NULL;
            char *own = fl_path_join(out, s.hospitals[h].name);
            check_ok(data_set_open(&set, own, &s.job.data, &err), err);
            check_int(data_set_n(set), counts[h]);
            data_set_destroy(&set);
            free(own);
        }
        for (int split = 0; split < 3; split++) {
            for (size_t i = 0; i < n[split]; i++) {
                check_int(seen[split][i], 1);
            }
        }
        check_int(counts[0] + counts[1] + counts[2], 450);
        for (int h = 0; h < 3 && !dirichlet; h++) {
            check_near(counts[h], 150, 6);  // each class and split rounds for itself
        }
        check(!dirichlet || counts[0] != counts[1]);
        char *png = fl_path_join(dir, "gallery.png");
        check_ok(gallery_write(&s, out, png, &err), err);
        free(png);
        scenario_clear(&s);
        free(text);
        free(out);
    }
    free(npz);
    check_rmdir(&dir);
}

static void shares_that_cannot_be_are_refused_with_what_to_do(void **state)
{
    (void)state;
    static const size_t n[] = {20, 2, 2};
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *out = fl_path_join(dir, "data");
    char *npz = fixture_npz(dir, n);
    scenario s;
    check_ok(fixture_read(&s, dir,
                          FIXTURE_SHARED_JOB
                          "source: {npz: real.npz, classes: {a: 0, b: 1}}\n" SOURCE_HOSPITALS,
                          NULL, 0, -1, &err),
             err);
    check_fails(hospital_make_all(&s, out, &err), FL_ECONFIG);
    check_has(err.text, "min_train");
    // A second try says the same: what is half there does not count.
    check_fails(hospital_make_all(&s, out, &err), FL_ECONFIG);
    scenario_clear(&s);
    check_ok(fixture_read(&s, dir,
                          FIXTURE_SHARED_JOB
                          "source: {npz: none.npz, classes: {a: 0, b: 1}}\n" SOURCE_HOSPITALS,
                          NULL, 0, -1, &err),
             err);
    check_fails(hospital_make_all(&s, out, &err), FL_ENOTFOUND);
    check_has(err.text, "none.npz");
    scenario_clear(&s);
    free(npz);
    free(out);
    check_rmdir(&dir);
}

/* A class that one hospital alone trains on, and hospitals of uneven sizes. */
static void a_class_may_be_one_hospitals_alone(void **state)
{
    (void)state;
    static const size_t n[] = {300, 60, 90};
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *npz = fixture_npz(dir, n);
    scenario s;
    char *out = fixture_make(&s, dir,
                             FIXTURE_SHARED_JOB
                             "source: {npz: real.npz, classes: {a: 0, b: 1}, split: even, "
                             "sizes: 5, only: {b: y}, min_train: 5}\n" SOURCE_HOSPITALS,
                             -1, "data");
    size_t trained[3] = {0}, tested[3] = {0}, all[3] = {0};
    for (size_t h = 0; h < 3; h++) {
        data_set *set = NULL;
        char *own = fl_path_join(out, s.hospitals[h].name);
        check_ok(data_set_open(&set, own, &s.job.data, &err), err);
        for (size_t i = 0; i < data_set_n(set); i++) {
            data_case c = data_set_case(set, i);
            trained[h] += c.split != DATA_TEST && c.code == 1;
            tested[h] += c.split == DATA_TEST && c.code == 1;
            all[h]++;
        }
        data_set_destroy(&set);
        free(own);
    }
    check_int(trained[0] + trained[2], 0);
    check(trained[1] > 100 && tested[0] > 0 && tested[2] > 0);
    check_int(all[0] + all[1] + all[2], 450);
    scenario_clear(&s);
    free(out);
    free(npz);
    check_rmdir(&dir);
}

/* Any data set can be a source; patients stay whole and the chain is each one's own. */
static void a_folder_is_shared_out_by_patient(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    char *whole = fixture_make(
        &s, dir,
        FIXTURE_JOB FIXTURE_GENERATE
        "hospitals:\n  - {name: one, patients: {n: {train: 60, val: 20, test: "
        "20}}}\n",
        -1, "whole");
    scenario_clear(&s);
    char *out = fixture_make(&s, dir,
                             FIXTURE_JOB "source: {folder: whole/one, alpha: 2, min_train: 5}\n"
                                         "hospitals:\n  - {name: a, shift: []}\n"
                                         "  - {name: b, shift: [gain: 4]}\n"
                                         "  - {name: c, shift: [noise: 1]}\n"
                                         "events: [{round: 2, site: c, shift: [noise: 4]}]\n",
                             -1, "data");
    size_t total = 0;
    for (size_t h = 0; h < 3; h++) {
        data_set *set = NULL;
        char *own = fl_path_join(out, s.hospitals[h].name);
        check_ok(data_set_open(&set, own, &s.job.data, &err), err);
        total += data_set_n(set);
        check(data_set_n_split(set, DATA_TRAIN) >= 5);
        const data_set *then = data_set_in_round(set, 2);
        check((then != set) == (h == 2));
        if (h == 2) {
            float before[256], after[256];
            data_set_image(set, 0, before);
            data_set_image(then, 0, after);
            check_str(data_set_case(set, 0).case_id, data_set_case(then, 0).case_id);
            check(memcmp(before, after, sizeof before) != 0);
        }
        data_set_destroy(&set);
        free(own);
    }
    check_int(total, 100);
    char *pooled = fl_path_join(out, "pooled");
    data_set *set = NULL;
    check_ok(data_set_open(&set, pooled, &s.job.data, &err), err);
    check_int(data_set_n(set), 100);
    // In the rounds: all as they were, then with the new scanner, as the pool has it.
    data_set *rounds = NULL;
    char *in_rounds = fl_path_join(out, "pooled/rounds");
    check_ok(data_set_open(&rounds, in_rounds, &s.job.data, &err), err);
    const data_set *then = data_set_in_round(rounds, 2);
    int changed = 0;
    for (size_t i = 0; i < 100; i++) {
        float first[256], second[256], last[256];
        data_set_image(rounds, i, first);
        data_set_image(then, i, second);
        data_set_image(set, i, last);
        check_bytes(second, last, sizeof last);
        changed += memcmp(first, second, sizeof first) != 0;
    }
    check(changed > 5 && changed < 95);  // those of c
    data_set_destroy(&rounds);
    data_set_destroy(&set);
    scenario_clear(&s);
    free(in_rounds);
    free(pooled);
    free(whole);
    free(out);
    check_rmdir(&dir);
}

static void a_hospital_with_its_own_data_is_referred_to(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    char *made = fixture_make(&s, dir, FIXTURE_SMALL, -1, "made");
    scenario_clear(&s);
    char *out = fixture_make(&s, dir,
                             FIXTURE_JOB
                             "hospitals:\n  - {name: own, data: made/nord, shift: [gamma: "
                             "2]}\n  - {name: too, data: made/sud}\n",
                             -1, "out");
    const char *const names[] = {"own", "too", "pooled"};
    for (int i = 0; i < 3; i++) {
        data_set *set = NULL;
        char *own = fl_path_join(out, names[i]);
        check_ok(data_set_open(&set, own, &s.job.data, &err), err);
        check_int(data_set_n(set), i < 2 ? 24 : 48);
        data_set_destroy(&set);
        free(own);
    }
    scenario_clear(&s);
    free(out);
    check_ok(fixture_read(&s, dir, FIXTURE_JOB "hospitals:\n  - {name: own, data: made/west}\n",
                          NULL, 0, -1, &err),
             err);
    out = fl_path_join(dir, "none");
    check_fails(hospital_make_all(&s, out, &err), FL_ENOTFOUND);
    check_has(err.text, "own");
    check_has(err.text, "made/west");
    scenario_clear(&s);
    free(made);
    free(out);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hospital_opens_as_a_real_one_would),
        cmocka_unit_test(the_same_seed_gives_the_same_bytes_on_one_core_and_on_all),
        cmocka_unit_test(a_hospital_does_not_depend_on_the_others),
        cmocka_unit_test(what_is_there_is_kept_and_what_changed_is_made_anew),
        cmocka_unit_test(a_folder_of_somebody_else_is_left_alone),
        cmocka_unit_test(the_share_of_wrong_labels_is_the_one_asked_for),
        cmocka_unit_test(a_scanner_may_have_any_name),
        cmocka_unit_test(the_gallery_is_a_picture_of_every_hospital),
        cmocka_unit_test(every_row_of_a_shared_set_goes_to_one_hospital),
        cmocka_unit_test(shares_that_cannot_be_are_refused_with_what_to_do),
        cmocka_unit_test(a_class_may_be_one_hospitals_alone),
        cmocka_unit_test(a_folder_is_shared_out_by_patient),
        cmocka_unit_test(a_hospital_with_its_own_data_is_referred_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
