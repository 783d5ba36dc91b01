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

/* One scenario's hospitals in a folder, and the data set of hospital a, open. */
typedef struct {
    char *dir, *text, *out;
    scenario s;
    data_set *set;
} made;

static void make(made *m, const phantom_ops *p, const char *task, const char *hospitals)
{
    m->dir = check_tmpdir();
    m->text = scenario_of(p, task, 1, hospitals);
    m->out = fixture_make(&m->s, m->dir, m->text, -1, "data");
    m->set = open_hospital(&m->s, m->out, "a");
}

static void made_clear(made *m)
{
    data_set_destroy(&m->set);
    scenario_clear(&m->s);
    free(m->out);
    free(m->text);
    check_rmdir(&m->dir);
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

/* Millimetres stay millimetres: of the file, of a manifest's chain and of a union's. */
static void a_larger_field_has_larger_voxels(void **state)
{
    (void)state;
    static const char chain[] = "shift: [field_of_view: 5]\n";
    char *dir = check_tmpdir();
    fl_err err = FL_ERR_INIT;
    scenario s;
    char *text = scenario_of(phantom_find("ct", "lung"), "segment", 4,
                             "  - {name: plain, patients: {n: {train: 1, val: 1, test: 1}}}\n"
                             "  - {name: wide, like: plain, shift: [field_of_view: 5]}\n");
    char *out = fixture_make(&s, dir, text, -1, "data"), *old = NULL;
    char *own = fl_path_join(out, "plain/dataset.yaml"), *chained = fl_path_join(out, "plain/c.yaml");
    char *joined = fl_path_join(out, "u.yaml");
    size_t n;
    check_ok(fl_file_read(&old, &n, own, 1 << 16, &err), err);
    char *yaml = fl_xasprintf("%s%s", old, chain);
    char *both = fl_xasprintf("union: [plain]\n%s", chain);
    check_ok(fl_file_write(chained, yaml, strlen(yaml), 0644, &err), err);
    check_ok(fl_file_write(joined, both, strlen(both), 0644, &err), err);
    const char *const which[] = {"plain", "wide", "plain/c.yaml", "u.yaml"};
    for (int k = 0; k < 4; k++) {
        data_set *set = open_hospital(&s, out, which[k]);
        const data_case c = data_set_case(set, 0);
        const double *mm = c.spacing_mm;
        const double side = 240.0 / 24 * (k == 0 ? 1 : 1.6);
        check_near(mm[0], 30, 1e-4);
        check_near(mm[1], side, 1e-4);
        check_near(mm[2], side, 1e-4);
        data_set_destroy(&set);
    }
    scenario_clear(&s);
    free(both);
    free(yaml);
    free(joined);
    free(chained);
    free(own);
    free(old);
    free(out);
    free(text);
    check_rmdir(&dir);
}

static void several_annotators_each_outline_every_case(void **state)
{
    (void)state;
    made m;
    make(&m, phantom_find("histology", "grade"), "segment",
         "  - {name: a, patients: {n: {train: 4, val: 2, test: 2}}, labels: "
         "{annotators: 3, variation: 0.03}}\n");
    data_set *set = m.set;
    check_int(data_set_n_annotators(set), 3);
    check_str(data_set_annotator(set, 2), "reader-3");
    size_t differ = 0, n = data_set_n_pixels(set);
    for (size_t i = 0; i < data_set_n(set); i++) {
        check(data_set_case(set, i).mask != NULL);
        differ += memcmp(data_set_mask_by(set, i, 0), data_set_mask_by(set, i, 1), n) != 0;
    }
    check_int(differ, data_set_n(set));
    made_clear(&m);
}

/* What a hospital lacks, curates and leaves unlabelled, in 300 training cases. */
static void composition_is_what_was_asked_for(void **state)
{
    (void)state;
    made m;
    make(&m, phantom_find("xray", "findings"), "multilabel",
         "  - {name: a, patients: {n: {train: 300, val: 40, test: 150}, unseen: "
         "[effusion]}, labels: {labelled: 0.2}}\n");
    data_set *set = m.set;
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
    made_clear(&m);
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

/* Labels of the same patients by readers who err, counted by hand. */
static void the_data_set_says_how_many_labels_its_readers_got_wrong(void **state)
{
    (void)state;
    made m;
    make(&m, phantom_find("xray", "nodule"), "classify",
         "  - {name: a, patients: {n: {train: 400, val: 5, test: 5}}, labels: "
         "{noise: 0.1, missed: 0.6, labelled: 0.8}}\n");
    data_set *set = m.set;
    size_t n_wrong = 0, n_labels = 0, n_missed = 0;
    float image[24 * 24];
    for (size_t i = 0; i < 400; i++) {
        phantom_case c = {.depth = 1, .size = 24, .image = image};
        fl_rng rng;
        fl_rng_init(&rng, 4, "phantom", "a", i);
        m.s.generate.phantom->render(&c, 0.5, &m.s.hospitals[0].population, &rng);
        int code = data_set_case(set, i).code;
        n_labels += code >= 0;
        n_wrong += code >= 0 && code != c.patient.code;
        n_missed += code == 0 && c.patient.code == 1;
    }
    char *says = fl_xasprintf("the simulator's own truth; readers wrote %zu of %zu training labels "
                              "wrongly",
                              n_wrong, n_labels);
    check_str(data_set_reference_standard(set), says);
    check(n_missed > n_wrong / 2);  // findings are missed, none are invented but by noise
    // Binomial(400, 0.8): mean 320, sd 8.  Wrong: a tenth, and .6 of (1 - conspicuity) of half.
    check_near((double)n_labels, 320, 32);
    check((double)n_wrong > 0.15 * (double)n_labels && (double)n_wrong < 0.35 * (double)n_labels);
    free(says);
    made_clear(&m);
}

/* In how many cases of the split is something outlined? */
static int count_outlined(const data_set *set, data_split split)
{
    int n = 0;
    for (size_t i = 0; i < data_set_n(set); i++) {
        data_case c = data_set_case(set, i);
        n += c.split == split && memchr(c.mask, 1, data_set_n_pixels(set)) != NULL;
    }
    return n;
}

static void who_overlooks_a_finding_outlines_nothing(void **state)
{
    (void)state;
    static const char *const labels[] = {"{}", "{missed: 0.8}", "{threshold: 0.5}",
                                         "{threshold: 0.5, annotators: 5, variation: 0.01}"};
    char *dir = check_tmpdir();
    int train[4], test[4];
    for (int k = 0; k < 4; k++) {
        scenario s;
        char *hospital = fl_xasprintf("  - {name: a, patients: {n: {train: 150, val: 5, test: 60}, "
                                      "prevalence: 1}, labels: %s}\n",
                                      labels[k]);
        char *text = scenario_of(phantom_find("mri", "tumour"), "segment", 1, hospital);
        char *name = fl_xasprintf("data-%d", k), says[64];
        char *out = fixture_make(&s, dir, text, -1, name);
        data_set *set = open_hospital(&s, out, "a");
        const char *standard = data_set_reference_standard(set);
        train[k] = count_outlined(set, DATA_TRAIN);
        test[k] = count_outlined(set, DATA_TEST);
        snprintf(says, sizeof says, "truth; %d of 150 findings were overlooked in training",
                 150 - train[k]);
        if (k == 1 || k == 2) {
            check_has(standard, says);
        }
        if (k == 3) {
            check_has(standard, "outlines of 5 readers (mean Dice 0.");
            check_has(standard, " of 750 findings were overlooked in training");
        }
        data_set_destroy(&set);
        scenario_clear(&s);
        free(out);
        free(name);
        free(text);
        free(hospital);
    }
    check_int(train[0], 150);
    check(train[1] > 45 && train[1] < 140 && train[2] > 10 && train[2] < 140);
    check(test[0] == 60 && test[1] == 60 && test[2] == 60);  // one reader: test keeps the truth
    check(test[3] < 60);                                      // several outline every case
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
        {"xray", "nodule", "classify", "  - {name: a, patients: {n: 9}, labels: {confused: 0.1}}\n",
         "no class of xray/nodule is another's parent or neighbour", 1},
        {"xray", "nodule", "classify", "  - {name: a, patients: {n: 9}, labels: {variation: 0.1}}\n",
         "variation is of outlines", 1},
        {"xray", "nodule", "classify", "  - {name: a, patients: {n: 9}, labels: {annotators: 3}}\n",
         "annotators of classes differ by their threshold", 1},
        {"mri", "tumour", "segment", "  - {name: a, patients: {n: 9}, labels: {noise: 0.1}}\n",
         "noise and confused are of classes", 1},
        {"histology", "grade", "segment", "  - {name: a, patients: {n: 9}, labels: {missed: 0.1}}\n",
         "every patient has a nucleus to outline", 1},
        {"xray", "findings", "segment",
         "  - {name: a, patients: {n: 9}, labels: {threshold: 0.1}}\n",
         "patients with one finding at most", 1},
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
        cmocka_unit_test(a_larger_field_has_larger_voxels),
        cmocka_unit_test(several_annotators_each_outline_every_case),
        cmocka_unit_test(composition_is_what_was_asked_for),
        cmocka_unit_test(curated_training_has_only_plain_findings),
        cmocka_unit_test(the_data_set_says_how_many_labels_its_readers_got_wrong),
        cmocka_unit_test(who_overlooks_a_finding_outlines_nothing),
        cmocka_unit_test(what_a_phantom_cannot_do_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
