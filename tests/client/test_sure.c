/*
 * test_sure.c - what of a validation split leaves for temperature and conformal sets
 */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "check.h"
#include "client/sure.h"
#include "eval/uncertainty.h"
#include "job/job.h"

enum { MOST = 240 };

/* A job that asks, and a site with n labelled validation cases, per_patient each. */
typedef struct {
    local site;
    task_scores val;
    double score[2 * MOST];
    int label[MOST];
    int64_t patient[MOST];
} hospital;

static void hospital_init(hospital *h, size_t n, size_t per_patient)
{
    fl_rng rng;
    fl_rng_init(&rng, 3, "sure", "", 0);
    *h = (hospital){.val = {.n = n, .K = 2}};
    h->site.job.data.task = DATA_CLASSIFY;
    h->site.job.evaluation.uncertainty.asked = true;
    h->val.score = h->score;
    h->val.label = h->label;
    h->val.patient = h->patient;
    for (size_t i = 0; i < n; i++) {
        h->label[i] = (int)(i % 2);
        double logit = 1.5 * fl_rng_normal(&rng) + (h->label[i] == 1 ? 1 : -1);
        h->score[2 * i + 1] = 1 / (1 + exp(-logit));
        h->score[2 * i] = 1 - h->score[2 * i + 1];
        h->patient[i] = (int64_t)(i / per_patient);
    }
}

static json_t *sent(const hospital *h, int64_t bins, int64_t min_cell)
{
    json_t *payload = json_object();
    sure_put_sums(payload, &h->site, &h->val, bins, min_cell);
    return payload;
}

static void a_split_of_few_patients_sends_nothing(void **state)
{
    (void)state;
    static hospital h;
    static const struct {
        size_t n, per_patient;
        int64_t min_cell;
    } small[] = {{9, 1, 10}, {0, 1, 10}, {240, 60, 10}, {90, 10, 10}, {99, 1, 100}, {4, 1, 5}};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        hospital_init(&h, small[i].n, small[i].per_patient);
        json_t *payload = sent(&h, 20, small[i].min_cell);
        check_int(json_object_size(payload), 0);
        json_decref(payload);
    }
    // Cases without a label are nobody's.
    hospital_init(&h, 100, 1);
    for (size_t i = 9; i < 100; i++) {
        h.label[i] = -1;
    }
    json_t *payload = sent(&h, 20, 10);
    check_int(json_object_size(payload), 0);
    json_decref(payload);
}

static void between_min_cell_and_fifty_only_counts_leave(void **state)
{
    (void)state;
    static hospital h;
    hospital_init(&h, 49, 1);
    json_t *payload = sent(&h, 20, 10);
    check(json_object_get(payload, "temperature") == NULL);
    const json_t *counts = json_object_get(json_object_get(payload, "nonconformity"), "counts");
    int64_t total = 0;
    check_int(json_array_size(counts), 20);
    for (size_t k = 0; k < 20; k++) {
        int64_t n = json_integer_value(json_array_get(counts, k));
        check(n == 0 || n >= 10);
        total += n;
    }
    check_int(total, 49);
    json_decref(payload);
    // A policy without a histogram: not even these.
    payload = sent(&h, 0, 10);
    check_int(json_object_size(payload), 0);
    json_decref(payload);
}

static void sums_are_rounded_and_still_give_the_temperature(void **state)
{
    (void)state;
    static hospital h;
    hospital_init(&h, 50, 1);
    json_t *payload = sent(&h, 0, 10), *t = json_object_get(payload, "temperature");
    check_int(fl_json_get_int(t, "n", 0), 50);
    double slope[EVAL_TEMPERATURE_POINTS], curvature[EVAL_TEMPERATURE_POINTS];
    for (size_t k = 0; k < EVAL_TEMPERATURE_POINTS; k++) {
        eval_temperature_sums exact = {0};
        eval_temperature_add(&exact, h.score, h.label, 50, 2, eval_temperature_point(k));
        slope[k] = json_number_value(json_array_get(json_object_get(t, "slope"), k));
        curvature[k] = json_number_value(json_array_get(json_object_get(t, "curvature"), k));
        check_near(slope[k], exact.slope, 50. / 8192 + 1e-12);
        check_near(curvature[k], exact.curvature, 50. / 8192 + 1e-12);
        // Nothing finer than the step is in them.
        check_near(slope[k] * 4096 / 50, round(slope[k] * 4096 / 50), 1e-9);
        check_near(curvature[k] * 4096 / 50, round(curvature[k] * 4096 / 50), 1e-9);
    }
    const char *why;
    double exact = eval_temperature_fit(&why, h.score, h.label, 50, 2);
    double T = eval_temperature_pooled(&why, slope, curvature);
    check(exact > 0.2 && exact < 5);
    check_near(T / exact, 1, 0.01);
    json_decref(payload);
}

static void who_is_not_asked_sends_nothing(void **state)
{
    (void)state;
    static hospital h;
    hospital_init(&h, 200, 1);
    h.site.job.evaluation.uncertainty.asked = false;
    json_t *payload = sent(&h, 20, 10);
    check_int(json_object_size(payload), 0);
    json_decref(payload);
    h.site.job.evaluation.uncertainty.asked = true;
    h.site.job.data.task = DATA_SEGMENT;  // masks have no temperature
    payload = sent(&h, 20, 10);
    check_int(json_object_size(payload), 0);
    json_decref(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_split_of_few_patients_sends_nothing),
        cmocka_unit_test(between_min_cell_and_fifty_only_counts_leave),
        cmocka_unit_test(sums_are_rounded_and_still_give_the_temperature),
        cmocka_unit_test(who_is_not_asked_sends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
