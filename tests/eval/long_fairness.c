/*
 * long_fairness.c - how often are groups flagged that are served alike?
 *
 * 400 simulated test sets a setting, of patients with a sex, an age band and a
 * scanner, whose scores depend on the label alone: every flag of a page is a
 * false alarm, and at most one page in twenty may have one.  And a group that
 * is served worse must be found.
 */
#include "base/rng.h"
#include "check.h"
#include "eval/by_group.h"
#include "eval/disparity.h"

enum { PAGES = 400, MOST = 1800 };

typedef struct {
    size_t patients, images;  // images of each
    double harm;              // how much nearer the classes are for women
} setting;

typedef struct {
    double score[2 * MOST];
    int label[MOST];
    int64_t patient[MOST];
    const char *sex[MOST], *age[MOST], *scanner[MOST];
    size_t n;
} page;

static const char *pick(fl_rng *rng, const char *const *names, const double *share)
{
    double u = fl_rng_uniform(rng);
    while (u >= *share && share[1] > 0) {
        u -= *share++;
        names++;
    }
    return *names;
}

static void draw(page *out, const setting *s, fl_rng *rng)
{
    static const char *const sexes[] = {"F", "M"};
    static const char *const ages[] = {"under 40", "40-60", "60-80", "80+"};
    static const char *const scanners[] = {"A", "B", "C"};
    static const double of_sex[] = {0.5, 0.5, 0}, of_age[] = {0.1, 0.3, 0.4, 0.2, 0},
                        of_scanner[] = {0.7, 0.2, 0.1, 0};
    out->n = 0;
    for (size_t g = 0; g < s->patients; g++) {
        const char *sex = pick(rng, sexes, of_sex), *age = pick(rng, ages, of_age);
        const char *scanner = pick(rng, scanners, of_scanner);
        int ill = fl_rng_uniform(rng) < 0.35;
        double distance = 1.6 - (strcmp(sex, "F") == 0 ? s->harm : 0);
        double own = fl_rng_normal(rng) * sqrt(0.6);
        for (size_t i = 0; i < s->images; i++) {
            double x = own + fl_rng_normal(rng) * sqrt(0.4) + distance * ill;
            double p = 1 / (1 + exp(-1.6 * (x - 0.8) + 0.6));
            size_t at = out->n++;
            out->score[2 * at] = 1 - p;
            out->score[2 * at + 1] = p;
            out->label[at] = ill;
            out->patient[at] = (int64_t)g;
            out->sex[at] = sex;
            out->age[at] = age;
            out->scanner[at] = scanner;
        }
    }
}

/* Is a gap of the attribute flagged?  NULL: of any. */
static bool is_flagged(const json_t *list, const char *attribute)
{
    size_t at;
    json_t *entry, *figure;
    const char *key;
    json_array_foreach((json_t *)(uintptr_t)list, at, entry) {
        const char *name = fl_json_get_string(entry, "attribute", "");
        json_object_foreach(entry, key, figure) {
            if (json_is_true(json_object_get(figure, "flagged")) &&
                (attribute == NULL || strcmp(attribute, name) == 0)) {
                return true;
            }
        }
    }
    return false;
}

static double share_flagged(const setting *s, const char *attribute)
{
    static page drawn;
    size_t flagged = 0;
    fl_rng rng;
    fl_rng_init(&rng, 1, "fairness", "", s->patients * 10 + s->images);
    for (int r = 0; r < PAGES; r++) {
        draw(&drawn, s, &rng);
        eval_attribute attributes[] = {
            {"sex", drawn.sex}, {"age", drawn.age}, {"scanner", drawn.scanner}};
        eval_predictions p = {.n = drawn.n,
                              .n_classes = 2,
                              .score = drawn.score,
                              .label = drawn.label,
                              .patient = drawn.patient,
                              .positive = 1,
                              .threshold = 0.5};
        json_t *list = eval_disparities(attributes, 3, &p, 10);
        flagged += is_flagged(list, attribute);
        json_decref(list);
    }
    printf("%zu patients, %zu images each, harm %.1f: %.1f %% of pages flag %s\n", s->patients,
           s->images, s->harm, 100.0 * (double)flagged / PAGES,
           attribute == NULL ? "something" : attribute);
    return (double)flagged / PAGES;
}

/*
 * Dice of outlines that are mostly good and sometimes missed: skewed, as t is said not to like.
 * harm: how much a woman's loses.  *held: how often the interval of F less M holds the truth.
 */
static double share_of_masks_flagged(const setting *s, double *held)
{
    static page drawn;
    static double dice[MOST];
    size_t flagged = 0, n_held = 0;
    fl_rng rng;
    fl_rng_init(&rng, 1, "fairness of masks", "", s->patients * 10 + s->images);
    for (int r = 0; r < PAGES; r++) {
        draw(&drawn, s, &rng);
        double of_patient = 0;
        for (size_t i = 0; i < drawn.n; i++) {
            bool first = i == 0 || drawn.patient[i] != drawn.patient[i - 1];
            of_patient = first ? (fl_rng_uniform(&rng) < 0.1 ? 0.2 : 0.9) : of_patient;
            double u = fl_rng_uniform(&rng);
            dice[i] = of_patient * (1 - 0.3 * u * u) - (drawn.sex[i][0] == 'F' ? s->harm : 0);
        }
        const eval_attribute attributes[] = {
            {"sex", drawn.sex}, {"age", drawn.age}, {"scanner", drawn.scanner}};
        const eval_measure measure = {"dice_gap", dice};
        const eval_predictions cases = {.n = drawn.n, .label = drawn.label,
                                        .patient = drawn.patient};
        json_t *list = eval_mean_disparities(attributes, 3, &measure, 1, &cases, 10);
        const json_t *sex = json_object_get(json_array_get(list, 0), "dice_gap");
        n_held += fl_json_get_number(sex, "ci_low") <= -s->harm &&
                  fl_json_get_number(sex, "ci_high") >= -s->harm;
        flagged += is_flagged(list, NULL);
        json_decref(list);
    }
    *held = (double)n_held / PAGES;
    printf("masks of %zu patients, %zu images each, harm %.1f: %.1f %% of pages flag something, "
           "%.1f %% of intervals hold the gap\n", s->patients, s->images, s->harm,
           100.0 * (double)flagged / PAGES, 100 * *held);
    return (double)flagged / PAGES;
}

static void few_pages_of_masks_raise_a_false_alarm(void **state)
{
    (void)state;
    const setting settings[] = {{60, 1, 0}, {150, 1, 0}, {1500, 1, 0}, {200, 3, 0}};
    double held;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        check(share_of_masks_flagged(&settings[i], &held) <= 0.05);
        check(held >= 0.92);
    }
    const setting harmed = {400, 1, 0.2};
    check(share_of_masks_flagged(&harmed, &held) >= 0.9);
}

static void few_pages_raise_a_false_alarm(void **state)
{
    (void)state;
    const setting settings[] = {{150, 1, 0}, {400, 1, 0}, {1500, 1, 0}, {200, 3, 0}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        check(share_flagged(&settings[i], NULL) <= 0.05);
    }
}

static void a_group_that_is_served_worse_is_found(void **state)
{
    (void)state;
    const setting harmed = {600, 1, 1.2};
    check(share_flagged(&harmed, "sex") >= 0.9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_pages_raise_a_false_alarm),
        cmocka_unit_test(few_pages_of_masks_raise_a_false_alarm),
        cmocka_unit_test(a_group_that_is_served_worse_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
