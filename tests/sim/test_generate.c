/*
 * test_generate.c - simulated patients as the files of a hospital: images, volumes, masks, reports
 */
#include "sim/generate.h"

#include <math.h>

#include "data/dataset.h"
#include "data/formats.h"
#include "fixture.h"
#include "sim/gallery.h"
#include "sim/hospital.h"

/* A scenario of one phantom; caller's.  task: of the job.  depth 1: images. */
static char *scenario_of(const phantom_ops *p, const char *task, int64_t depth,
                         const char *hospitals)
{
    fl_buf text = FL_BUF_INIT;
    fl_buf_printf(&text, "job:\n  name: small\n  task: %s\n  data: {input: [%lld, ", task,
                  (long long)p->n_channels);
    if (depth > 1) {
        fl_buf_printf(&text, "%lld, ", (long long)depth);
    }
    fl_buf_puts(&text, "24, 24], classes: [");
    bool segment = strcmp(task, "segment") == 0;
    for (size_t c = 0; !segment && p->classes[c] != NULL; c++) {
        fl_buf_printf(&text, "%s%s", c > 0 ? ", " : "", p->classes[c]);
    }
    if (segment) {
        fl_buf_printf(&text, "background, %s", p->structure);
    }
    fl_buf_puts(&text, "]");
    if (strcmp(task, "classify") == 0 && phantom_n_classes(p) == 2) {
        fl_buf_printf(&text, ", positive: %s", p->classes[1]);
    }
    fl_buf_printf(&text,
                  "}\n  model: {name: %s}\n  rounds: 1\n  seed: 4\n"
                  "generate: {phantom: %s, task: %s, size: 24, depth: %lld}\nhospitals:\n%s",
                  segment ? "unet, base: 4, depth: 2" : "logistic", p->name, p->task,
                  (long long)depth, hospitals);
    return fl_buf_take(&text);
}

static const char two_hospitals[] =
    "  - {name: a, patients: {n: {train: 6, val: 3, test: 4}}, shift: [blur: 1]}\n"
    "  - {name: b, like: a, shift: [noise: 2, gamma: 1]}\n";

static data_set *open_hospital(const scenario *s, const char *out, const char *name)
{
    fl_err err = FL_ERR_INIT;
    data_set *set = NULL;
    char *own = fl_path_join(out, name);
    check_ok(data_set_open(&set, own, &s->job.data, &err), err);
    free(own);
    return set;
}

static void every_phantom_makes_hospitals_that_open(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    for (size_t k = 0; phantom_at(k) != NULL; k++) {
        const phantom_ops *p = phantom_at(k);
        scenario s;
        char *text = scenario_of(p, p->multilabel ? "multilabel" : "classify", 1, two_hospitals);
        char *out = fixture_make(&s, dir, text, -1, "data");
        data_set *set = open_hospital(&s, out, "b");
        check_int(data_set_n(set), 13);
        char *png = fl_path_join(dir, "gallery.png");
        check_ok(gallery_write(&s, out, png, &err), err);
        data_set_destroy(&set);
        scenario_clear(&s);
        free(png);
        free(out);
        free(text);
    }
    check_rmdir(&dir);
}

static void every_phantom_repeats_on_any_number_of_cores(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    for (size_t k = 0; phantom_at(k) != NULL; k++) {
        const phantom_ops *p = phantom_at(k);
        char *text = scenario_of(
            p, "segment", 1,
            "  - {name: a, patients: {n: {train: 6, val: 2, test: 2}}, shift: "
            "[blur: 1, noise: 2], labels: {annotators: 2, variation: 0.03}}\n");
        fixture_same_on_one_core(dir, text);
        free(text);
    }
    check_rmdir(&dir);
}

/* Value of the input before it is normalised, and of the phantom it was made from. */
static void a_volume_is_read_as_it_was_rendered(void **state)
{
    (void)state;
    enum { DEPTH = 4, SIDE = 24, VOXELS = DEPTH * SIDE * SIDE };
    char *dir = check_tmpdir();
    for (size_t k = 0; phantom_at(k) != NULL; k++) {
        const phantom_ops *p = phantom_at(k);
        if (!p->volume || p->n_channels > 1) {
            continue;
        }
        scenario s;
        char *text = scenario_of(p, "segment", DEPTH,
                                 "  - {name: a, patients: {n: {train: 3, val: 1, test: 1}}}\n");
        char *out = fixture_make(&s, dir, text, -1, "data");
        data_set *set = open_hospital(&s, out, "a");
        float read[VOXELS], image[VOXELS], mask[VOXELS];
        phantom_case c = {.depth = DEPTH, .size = SIDE, .image = image, .mask = mask};
        fl_rng rng;
        fl_rng_init(&rng, 4, "phantom", "a", 0);
        p->render(&c, 0.5, &s.hospitals[0].population, &rng);
        data_set_image(set, 0, read);
        double step = p->scale.unit != NULL ? 1 / (p->scale.high - p->scale.low) : 1e-3;
        for (int i = 0; i < VOXELS; i++) {
            check_near(read[i], image[i], 0.51 * step);  // rounded to whole units
            check_int(data_set_case(set, 0).mask[i], (int)mask[i]);
        }
        data_set_destroy(&set);
        scenario_clear(&s);
        free(out);
        free(text);
    }
    check_rmdir(&dir);
}

/* The same patients by a scanner with a field 1.6 times as large. */
static void outlines_move_with_what_the_scanner_moves(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    static const char *const shifts[] = {"", ", shift: [noise: 1, field_of_view: 5, rotation: 3]"};
    double area[2] = {0};
    for (int k = 0; k < 2; k++) {
        char *hospital = fl_xasprintf("  - {name: a, patients: {n: {train: 20, val: 1, test: 1}}%s}\n",
                                      shifts[k]);
        char *text = scenario_of(phantom_find("histology", "grade"), "segment", 1, hospital);
        char *name = fl_xasprintf("data-%d", k);
        scenario s;
        char *out = fixture_make(&s, dir, text, -1, name);
        data_set *set = open_hospital(&s, out, "a");
        for (size_t i = 0; i < data_set_n(set); i++) {
            for (size_t p = 0; p < data_set_n_pixels(set); p++) {
                area[k] += data_set_case(set, i).mask[p];
            }
        }
        data_set_destroy(&set);
        scenario_clear(&s);
        free(out);
        free(name);
        free(text);
        free(hospital);
    }
    check(area[0] > 500);
    check_near(area[1] / area[0], 16. * 16 / (24 * 24), 0.03);  // 16 of 24 pixels a side are inside
    check_rmdir(&dir);
}

static void several_annotators_each_outline_every_case(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    scenario s;
    char *text = scenario_of(phantom_find("histology", "grade"), "segment", 1,
                             "  - {name: a, patients: {n: {train: 4, val: 2, test: 2}}, labels: "
                             "{annotators: 3, variation: 0.03}}\n");
    char *out = fixture_make(&s, dir, text, -1, "data");
    data_set *set = open_hospital(&s, out, "a");
    check_int(data_set_n_annotators(set), 3);
    check_str(data_set_annotator(set, 2), "reader-3");
    size_t differ = 0, n = data_set_n_pixels(set);
    for (size_t i = 0; i < data_set_n(set); i++) {
        check(data_set_case(set, i).mask != NULL);
        differ += memcmp(data_set_mask_by(set, i, 0), data_set_mask_by(set, i, 1), n) != 0;
    }
    check_int(differ, data_set_n(set));
    data_set_destroy(&set);
    scenario_clear(&s);
    free(out);
    free(text);
    check_rmdir(&dir);
}

/* What a hospital lacks, curates and leaves unlabelled, in 300 training cases. */
static void composition_is_what_was_asked_for(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    scenario s;
    char *text = scenario_of(
        phantom_find("xray", "findings"), "multilabel", 1,
        "  - {name: a, patients: {n: {train: 300, val: 40, test: 150}, unseen: "
        "[effusion]}, labels: {labelled: 0.2}}\n");
    char *out = fixture_make(&s, dir, text, -1, "data");
    data_set *set = open_hospital(&s, out, "a");
    int effusions[DATA_N_SPLITS] = {0}, opacities[DATA_N_SPLITS] = {0}, unlabelled = 0;
    for (size_t i = 0; i < data_set_n(set); i++) {
        data_case c = data_set_case(set, i);
        unlabelled += isnan(c.target[0]) != 0;
        effusions[c.split] += c.target[2] == 1.0f;
        opacities[c.split] += c.target[0] == 1.0f;
    }
    check_int(effusions[DATA_TRAIN] + effusions[DATA_VAL], 0);
    check(effusions[DATA_TEST] > 10 && opacities[DATA_TRAIN] > 3);
    check(unlabelled > 240 - 28 && unlabelled < 240 + 28);  // binomial, four sd
    data_set_destroy(&set);
    scenario_clear(&s);
    free(out);
    free(text);
    check_rmdir(&dir);
}

static void curated_training_has_only_plain_findings(void **state)
{
    (void)state;
    enum { SIDE = 24 };
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    const phantom_ops *p = phantom_find("mri", "tumour");
    char *text = scenario_of(p, "segment", 1,
                             "  - {name: a, patients: {n: {train: 60, val: 1, test: 60}, "
                             "prevalence: 1, curated: 0.6}}\n");
    char *out = fixture_make(&s, dir, text, -1, "data");
    data_set *set = open_hospital(&s, out, "a");
    double area[DATA_N_SPLITS] = {0};
    for (size_t i = 0; i < data_set_n(set); i++) {
        data_case c = data_set_case(set, i);
        for (int k = 0; k < SIDE * SIDE; k++) {
            area[c.split] += c.mask[k];
        }
    }
    check(area[DATA_TRAIN] > 1.15 * area[DATA_TEST]);  // as many cases, larger tumours
    data_set_destroy(&set);
    scenario_clear(&s);
    free(text);
    free(out);

    /* Asking for positives that may not be seen cannot end. */
    text = scenario_of(p, "classify", 1,
                       "  - {name: a, patients: {n: {train: 2, val: 1, test: 1}, prevalence: 1, "
                       "unseen: [tumour]}}\n");
    out = fl_path_join(dir, "never");
    check_ok(fixture_read(&s, dir, text, NULL, 0, -1, &err), err);
    check_fails(hospital_make_all(&s, out, &err), FL_ECONFIG);
    check_has(err.text, "hospital a");
    check_has(err.text, "unseen");
    scenario_clear(&s);
    free(text);
    free(out);
    check_rmdir(&dir);
}

static void what_a_phantom_cannot_do_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *phantom, *task, *job_task, *hospitals, *says;
        int64_t depth;
    } cases[] = {
        {"xray", "nodule", "segment", two_hospitals, "makes images, not volumes", 16},
        {"xray", "findings", "classify", two_hospitals, "is for multilabel or segment", 1},
        {"xray", "nodule", "classify", "  - {name: a, patients: {n: 9, unseen: [boredom]}}\n",
         "has no class boredom", 1},
        {"xray", "nodule", "classify",
         "  - {name: a, patients: {n: 9, unseen: [normal, nodule]}}\n", "no class is left", 1},
        {"xray", "nodule", "classify", "  - {name: a, patients: {n: 9}, shift: [stain: 1]}\n",
         "stain is for colour images", 1},
        {"xray", "nodule", "classify",
         "  - {name: a, patients: {n: 9}, labels: {annotators: 99}}\n", "annotators", 1},
    };
    char *dir = check_tmpdir();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        scenario s;
        char *text = scenario_of(phantom_find(cases[i].phantom, cases[i].task), cases[i].job_task,
                                 cases[i].depth, cases[i].hospitals);
        check_fails(fixture_read(&s, dir, text, NULL, 0, -1, &err), FL_ECONFIG);
        check_has(err.text, cases[i].says);
        free(text);
    }
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_phantom_makes_hospitals_that_open),
        cmocka_unit_test(every_phantom_repeats_on_any_number_of_cores),
        cmocka_unit_test(a_volume_is_read_as_it_was_rendered),
        cmocka_unit_test(outlines_move_with_what_the_scanner_moves),
        cmocka_unit_test(several_annotators_each_outline_every_case),
        cmocka_unit_test(composition_is_what_was_asked_for),
        cmocka_unit_test(curated_training_has_only_plain_findings),
        cmocka_unit_test(what_a_phantom_cannot_do_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
