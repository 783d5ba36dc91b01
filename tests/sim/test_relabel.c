/*
 * test_relabel.c - readers' errors on real cases: as many as asked, where asked, each time the same
 */
#include "sim/relabel.h"

#include <math.h>
#include <string.h>

#include "data/dataset.h"
#include "fixture.h"

/* The hospital's data set as a client opens it. */
static data_set *open_hospital(const scenario *s, const char *out, const char *name)
{
    fl_err err = FL_ERR_INIT;
    data_set *set = NULL;
    char *own = fl_path_join(out, name);
    check_ok(data_set_open(&set, own, &s->job.data, &err), err);
    free(own);
    return set;
}

/* Cases of a split whose class is not what fixture_npz gave them. */
static int wrong(const data_set *set, data_split split)
{
    int n = 0;
    for (size_t i = 0; i < data_set_n(set); i++) {
        data_case c = data_set_case(set, i);
        int row = atoi(strchr(c.case_id, '-') + 1);
        n += c.split == split && c.code >= 0 && c.code != (row % 3 == 0);
    }
    return n;
}

#define SHARED                                                                     \
    FIXTURE_SHARED_JOB                                                             \
    "source: {npz: real.npz, classes: {a: 0, b: 1}, split: even, min_train: 5}\n"  \
    "hospitals:\n  - {name: x, labels: {noise: 0.3}, shift: [noise: 1]}\n"         \
    "  - {name: y}\n  - {name: z, like: y, labels: {noise: 0.3, labelled: 0.4}}\n" \
    "events: [{round: 2, site: x, shift: [gain: 3]}]\n"

static void wrong_labels_of_a_shared_archive_are_as_many_as_asked(void **state)
{
    (void)state;
    static const size_t n[] = {1500, 300, 300};
    char *dir = check_tmpdir();
    char *npz = fixture_npz(dir, n);
    scenario s;
    char *text = fl_xasprintf("%s", SHARED);
    char *at = strstr(text, "rounds: 1");
    at[8] = '3';
    char *out = fixture_make(&s, dir, text, -1, "data");
    data_set *x = open_hospital(&s, out, "x"), *y = open_hospital(&s, out, "y"),
             *z = open_hospital(&s, out, "z");
    // Binomial(500, 0.3): mean 150, sd 10.2; four of them.
    check_near(data_set_n_split(x, DATA_TRAIN), 500, 1);
    check_near(wrong(x, DATA_TRAIN), 150, 41);
    char *says = fl_xasprintf("the data set's own labels; readers wrote %d of %zu training labels "
                              "wrongly",
                              wrong(x, DATA_TRAIN), data_set_n_split(x, DATA_TRAIN));
    check_str(data_set_reference_standard(x), says);
    free(says);
    check_int(wrong(y, DATA_TRAIN), 0);
    check_str(data_set_reference_standard(y), "not provided");
    int known = 0;
    for (size_t i = 0; i < data_set_n(z); i++) {
        data_case c = data_set_case(z, i);
        check(c.split == DATA_TRAIN || c.code >= 0);
        known += c.split == DATA_TRAIN && c.code >= 0;
    }
    // Binomial(500, 0.4): mean 200, sd 11; of those 0.3: mean 60, sd 6.5.
    check_near(known, 200, 44);
    check_near(wrong(z, DATA_TRAIN), 0.3 * known, 26);
    const data_set *const sets[] = {x, y, z};
    for (int k = 0; k < 3; k++) {
        check(data_set_n_split(sets[k], DATA_TEST) > 0);
        check_int(wrong(sets[k], DATA_VAL), 0);
        check_int(wrong(sets[k], DATA_TEST), 0);
    }
    const data_set *then = data_set_in_round(x, 2);  // another scanner, the same readers
    check(then != x);
    for (size_t i = 0; i < data_set_n(x); i++) {
        check_int(data_set_case(then, i).code, data_set_case(x, i).code);
    }
    data_set_destroy(&x);
    data_set_destroy(&y);
    data_set_destroy(&z);
    scenario_clear(&s);
    free(text);
    free(out);
    free(npz);
    check_rmdir(&dir);
}

static void the_same_seed_makes_the_same_mistakes(void **state)
{
    (void)state;
    static const size_t n[] = {300, 60, 60};
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *npz = fixture_npz(dir, n);
    char *text = fl_xasprintf("%s", SHARED);
    strstr(text, "rounds: 1")[8] = '3';
    scenario s;
    char *bytes[3];
    for (int k = 0; k < 3; k++) {
        size_t size;
        char name[8];
        snprintf(name, sizeof name, "run-%d", k);
        char *out = fixture_make(&s, dir, text, k < 2 ? 5 : 6, name);
        char *path = fl_path_join(out, "x/cases.csv");
        check_ok(fl_file_read(&bytes[k], &size, path, 1 << 20, &err), err);
        scenario_clear(&s);
        free(path);
        free(out);
    }
    check_str(bytes[0], bytes[1]);
    check(strcmp(bytes[0], bytes[2]) != 0);
    for (int k = 0; k < 3; k++) {
        free(bytes[k]);
    }
    free(text);
    free(npz);
    check_rmdir(&dir);
}

#define FINDINGS                                                           \
    "job:\n  name: findings\n  task: multilabel\n"                         \
    "  data: {input: [1, 16, 16], classes: [opacity, nodule, effusion]}\n" \
    "  model: {name: logistic}\n  rounds: 1\n  seed: 4\n"

static void findings_of_a_hospitals_own_data_are_each_wrong_by_themselves(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    scenario s;
    char *made = fixture_make(&s, dir,
                              FINDINGS "generate: {phantom: xray, task: findings, size: 16}\n"
                                       "hospitals:\n  - {name: a, patients: {n: {train: 400, val: "
                                       "40, test: 40}}}\n",
                              -1, "made");
    data_set *truth = open_hospital(&s, made, "a");
    scenario_clear(&s);
    char *out = fixture_make(&s, dir,
                             FINDINGS "hospitals:\n  - {name: own, data: made/a, labels: {noise: "
                                      "0.1, labelled: 0.75}}\n",
                             -1, "out");
    data_set *set = open_hospital(&s, out, "own");
    int n_wrong = 0, n_known = 0;
    check_int(data_set_n(set), 480);
    for (size_t i = 0; i < data_set_n(set); i++) {
        data_case c = data_set_case(set, i), t = data_set_case(truth, i);
        check_str(c.case_id, t.case_id);
        for (int k = 0; k < 3; k++) {
            bool known = !isnan(c.target[k]), differs = known && c.target[k] != t.target[k];
            check(c.split == DATA_TRAIN || (known && !differs));
            check_int(isnan(c.target[0]), !known);  // a report, or none
            n_known += c.split == DATA_TRAIN && known;
            n_wrong += differs;
        }
    }
    // Binomial(400, 0.75), three labels each; of those a tenth.
    check_near(n_known / 3, 300, 35);
    check_near(n_wrong, 0.1 * n_known, 4 * sqrt(0.09 * n_known));
    data_set_destroy(&set);
    data_set_destroy(&truth);
    scenario_clear(&s);
    free(made);
    free(out);
    check_rmdir(&dir);
}

static double dice(const uint8_t *a, const uint8_t *b, size_t n)
{
    double both = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        both += a[i] * b[i];
        all += a[i] + b[i];
    }
    return all > 0 ? 2 * both / all : 1;
}

#define OUTLINES                                                    \
    "job:\n  name: outlines\n  task: segment\n"                     \
    "  data: {input: [1, 32, 32], classes: [background, lesion]}\n" \
    "  model: {name: unet, base: 4, depth: 2}\n  rounds: 1\n  seed: 4\n"

static void annotators_of_real_masks_vary_and_a_single_one_in_training_only(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    scenario s;
    char *made = fixture_make(&s, dir,
                              OUTLINES "generate: {phantom: ultrasound, task: lesion, size: 32}\n"
                                       "hospitals:\n  - {name: a, patients: {n: {train: 12, val: "
                                       "4, test: 6}}}\n",
                              -1, "made");
    data_set *truth = open_hospital(&s, made, "a");
    scenario_clear(&s);
    char *out = fixture_make(
        &s, dir,
        OUTLINES "source: {folder: made/a, split: even, min_train: 2}\n"
                 "hospitals:\n  - {name: one, labels: {variation: 0.04}}\n"
                 "  - {name: three, labels: {variation: 0.04, annotators: 3}, shift: [noise: 1]}\n",
        -1, "out");
    data_set *one = open_hospital(&s, out, "one"), *three = open_hospital(&s, out, "three");
    size_t n = data_set_n_pixels(truth);
    check_int(data_set_n_annotators(one), 0);
    check_int(data_set_n_annotators(three), 3);
    check_int(data_set_n(one) + data_set_n(three), 22);
    double training = 0, between = 0, majority = 0;
    for (size_t i = 0, a = 0, b = 0; i < 22; i++) {
        data_case t = data_set_case(truth, i);
        data_case c = a < data_set_n(one) ? data_set_case(one, a) : t;
        if (a < data_set_n(one) && strcmp(c.case_id, t.case_id) == 0) {
            double same = dice(c.mask, t.mask, n);
            check(c.split == DATA_TRAIN || same == 1);
            training += c.split == DATA_TRAIN ? same / (double)data_set_n_split(one, DATA_TRAIN)
                                              : 0;
            a++;
            continue;
        }
        check_str(data_set_case(three, b).case_id, t.case_id);
        between += dice(data_set_mask_by(three, b, 0), data_set_mask_by(three, b, 2), n) /
                   (double)data_set_n(three);
        majority += dice(data_set_case(three, b).mask, t.mask, n) / (double)data_set_n(three);
        b++;
    }
    check(training > 0.5 && training < 0.97);
    char says[96];  // what the folder says of itself, held against what was drawn
    snprintf(says, sizeof says, "truth; training outlines are one reader's (mean Dice %.2f with it)",
             training);
    check_has(data_set_reference_standard(one), says);
    check_has(data_set_reference_standard(three), "outlines of 3 readers (mean Dice 0.");
    check(between > 0.4 && between < 0.97);
    check(majority > between && majority < 1);
    data_set_destroy(&one);
    data_set_destroy(&three);
    data_set_destroy(&truth);
    scenario_clear(&s);
    free(made);
    free(out);
    check_rmdir(&dir);
}

static void what_nobody_knows_of_real_cases_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *job, *labels, *says;
    } cases[] = {
        {FIXTURE_JOB, "{missed: 0.2}", "how plain its finding is"},
        {FIXTURE_JOB, "{threshold: 0.2}", "how plain its finding is"},
        {FIXTURE_JOB, "{confused: 0.2}", "how plain its finding is"},
        {FIXTURE_JOB, "{annotators: 3}", "for task segment"},
        {OUTLINES, "{noise: 0.2}", "outlines have variation"},
    };
    char *dir = check_tmpdir();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        scenario s;
        char *text = fl_xasprintf("%shospitals:\n  - {name: own, data: there, labels: %s}\n",
                                  cases[i].job, cases[i].labels);
        check_fails(fixture_read(&s, dir, text, NULL, 0, -1, &err), FL_ECONFIG);
        check_has(err.text, cases[i].says);
        free(text);
    }
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_labels_of_a_shared_archive_are_as_many_as_asked),
        cmocka_unit_test(the_same_seed_makes_the_same_mistakes),
        cmocka_unit_test(findings_of_a_hospitals_own_data_are_each_wrong_by_themselves),
        cmocka_unit_test(annotators_of_real_masks_vary_and_a_single_one_in_training_only),
        cmocka_unit_test(what_nobody_knows_of_real_cases_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
