/*
 * test_annotate.c - readers differ from the truth by as much as was asked, and no more
 */
#include "sim/annotate.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"

enum { SIDE = 64, N = SIDE * SIDE };

static const annotate_rules perfect = {.annotators = 1, .labelled = 1};

static void make_disc(float *mask, double radius)
{
    for (int i = 0; i < N; i++) {
        double y = i / SIDE - 31.5, x = i % SIDE - 31.5;
        mask[i] = x * x + y * y < radius * radius ? 1.0f : 0.0f;
    }
}

static double area(const float *mask)
{
    double sum = 0;
    for (int i = 0; i < N; i++) {
        sum += (double)mask[i];
    }
    return sum;
}

static double dice(const float *a, const float *b)
{
    double both = 0;
    for (int i = 0; i < N; i++) {
        both += (double)(a[i] * b[i]);
    }
    return 2 * both / (area(a) + area(b));
}

static double mean_dice(double variation)
{
    annotate_rules rules = {.annotators = 4, .variation = variation, .labelled = 1};
    annotate_site site = {&rules, 7, "nord"};
    float truth[N], drawn[N];
    double sum = 0;
    make_disc(truth, 12);
    for (int k = 0; k < 40; k++) {
        annotate_mask(drawn, &site, truth, 1, SIDE, SIDE, (size_t)(k / 4), k % 4);
        sum += dice(truth, drawn) / 40;
    }
    return sum;
}

static void without_variation_the_outline_is_the_truth(void **state)
{
    (void)state;
    check_near(mean_dice(0), 1, 1e-12);
}

static void more_variation_agrees_less(void **state)
{
    (void)state;
    double last = 1;
    for (int i = 1; i <= 4; i++) {
        double d = mean_dice(0.01 * i);
        check(d < last);
        last = d;
    }
    check(last > 0.3);
    /* An outline 1 % of the side off a disc of radius 12 moves by 0.64 pixels, which is
     * 5 % of the radius: Dice falls by about as much. */
    check(mean_dice(0.01) > 0.85 && mean_dice(0.01) < 0.99);
}

/* Who draws large draws large in every case. */
static void a_reader_has_habits(void **state)
{
    (void)state;
    annotate_rules rules = {.annotators = 9, .variation = 0.03, .labelled = 1};
    annotate_site site = {&rules, 7, "nord"};
    float truth[N], drawn[N];
    double between = 0, within = 0, mean[9] = {0}, all = 0;
    make_disc(truth, 12);
    for (int reader = 0; reader < 9; reader++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < 12; i++) {
            annotate_mask(drawn, &site, truth, 1, SIDE, SIDE, i, reader);
            double a = area(drawn);
            sum += a / 12;
            squares += a * a / 12;
        }
        mean[reader] = sum;
        all += sum / 9;
        within += (squares - sum * sum) / 9;
    }
    for (int reader = 0; reader < 9; reader++) {
        between += (mean[reader] - all) * (mean[reader] - all) / 9;
    }
    check(between > 2 * within);
}

static void nothing_stays_nothing(void **state)
{
    (void)state;
    annotate_rules rules = {.annotators = 2, .variation = 0.1, .labelled = 1};
    annotate_site site = {&rules, 7, "nord"};
    float truth[2 * N] = {0}, drawn[2 * N];
    make_disc(truth, 20);  // the first slice of two
    annotate_mask(drawn, &site, truth, 2, SIDE, SIDE, 0, 1);
    check(area(drawn) > 100);
    check_near(area(drawn + N), 0, 0);
}

// ------------------------------------------------------------------- labels

static phantom_patient patient_with(int code, double conspicuity)
{
    phantom_patient p = {.code = code, .findings = code ? 2u : 0};  // a nodule
    for (int k = 0; k < PHANTOM_MAX_CLASSES; k++) {
        p.conspicuity[k] = conspicuity;
    }
    return p;
}

/* Share of 2000 patients whose label is not the truth. */
static double share_changed(const annotate_rules *rules, int code, double conspicuity)
{
    enum { CASES = 2000 };
    const phantom_ops *phantom = phantom_find("xray", "nodule");
    annotate_site site = {rules, 3, "sud"};
    phantom_patient p = patient_with(code, conspicuity);
    double changed = 0;
    for (size_t i = 0; i < CASES; i++) {
        changed += annotate_label(&site, phantom, &p, i) != code;
    }
    return changed / CASES;
}

static void a_perfect_reader_tells_the_truth(void **state)
{
    (void)state;
    check_near(share_changed(&perfect, 1, 0.0), 0, 0);
    check_near(share_changed(&perfect, 0, 1.0), 0, 0);
}

/* Binomial(2000, p): four standard deviations are at most 0.045. */
static void faint_findings_are_missed_and_plain_ones_are_not(void **state)
{
    (void)state;
    annotate_rules rules = {.annotators = 1, .labelled = 1, .missed = 0.6};
    check_near(share_changed(&rules, 1, 0.0), 0.6, 0.045);
    check_near(share_changed(&rules, 1, 0.5), 0.3, 0.045);
    check_near(share_changed(&rules, 1, 1.0), 0, 0);
    check_near(share_changed(&rules, 0, 1.0), 0, 0);  // nobody invents one
}

static void readers_have_thresholds_of_their_own(void **state)
{
    (void)state;
    annotate_rules rules = {.annotators = 8, .labelled = 1, .threshold = 0.5};
    check_near(share_changed(&rules, 1, 1.0), 0, 0);
    check_near(share_changed(&rules, 1, 0.0), 1, 0);
    double some = share_changed(&rules, 1, 0.5);  // those who are stricter
    check(some > 0.1 && some < 0.9);
}

static void wrong_and_missing_labels_are_as_many_as_asked(void **state)
{
    (void)state;
    annotate_rules rules = {.annotators = 1, .labelled = 1, .noise = 0.1};
    check_near(share_changed(&rules, 0, 1.0), 0.1, 0.03);
    check_near(share_changed(&rules, 1, 1.0), 0.1, 0.03);
    rules = (annotate_rules){.annotators = 1, .labelled = 0.25};
    check_near(share_changed(&rules, 1, 1.0), 0.75, 0.04);  // -1: unlabelled
}

static void a_finding_may_be_written_as_its_parent(void **state)
{
    (void)state;
    enum { CASES = 1000 };
    const phantom_ops *phantom = phantom_find("xray", "findings");
    annotate_rules rules = {.annotators = 1, .labelled = 1, .confused = 0.3};
    annotate_site site = {&rules, 3, "sud"};
    phantom_patient p = patient_with(1, 1);
    int nodules = 0, opacities = 0;
    for (size_t i = 0; i < CASES; i++) {
        unsigned found;
        check(annotate_findings(&found, &site, phantom, &p, i));
        check(found == 1u || found == 2u);
        nodules += found == 2u;
        opacities += found == 1u;
    }
    check_near(opacities / (double)CASES, 0.3, 0.06);
    check_int(nodules + opacities, CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_variation_the_outline_is_the_truth),
        cmocka_unit_test(more_variation_agrees_less),
        cmocka_unit_test(a_reader_has_habits),
        cmocka_unit_test(nothing_stays_nothing),
        cmocka_unit_test(a_perfect_reader_tells_the_truth),
        cmocka_unit_test(faint_findings_are_missed_and_plain_ones_are_not),
        cmocka_unit_test(readers_have_thresholds_of_their_own),
        cmocka_unit_test(wrong_and_missing_labels_are_as_many_as_asked),
        cmocka_unit_test(a_finding_may_be_written_as_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
