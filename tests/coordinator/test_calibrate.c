/*
 * test_calibrate.c - a temperature and a quantile from the sites' sums, as from
 * all their scores in one place
 */
#include "check.h"

#include "base/rng.h"
#include "coordinator/calibrate.h"
#include "eval/uncertainty.h"

enum { N_SITES = 4, PER_SITE = 60, N = N_SITES * PER_SITE, K = 3, BINS = 20 };

/* Scores that are too sure, and their labels. */
typedef struct {
    double score[N * K];
    int label[N];
} scores;

static scores draw(uint64_t seed)
{
    scores s;
    fl_rng rng;
    fl_rng_init(&rng, seed, "calibrate", "", 0);
    for (int i = 0; i < N; i++) {
        double z[K], sum = 0;
        s.label[i] = (int)fl_rng_below(&rng, K);
        for (int k = 0; k < K; k++) {
            z[k] = exp(3 * (fl_rng_normal(&rng) + (k == s.label[i])));
            sum += z[k];
        }
        for (int k = 0; k < K; k++) {
            s.score[i * K + k] = z[k] / sum;
        }
    }
    return s;
}

/* What a site of these sends, in bins of its policy; the caller's. */
static char *sums_of(const scores *s, int site, size_t bins)
{
    const double *score = s->score + site * PER_SITE * K;
    const int *label = s->label + site * PER_SITE;
    json_t *slope = json_array(), *curvature = json_array(), *counts = json_array();
    for (size_t p = 0; p < EVAL_TEMPERATURE_POINTS; p++) {
        eval_temperature_sums sums = {0};
        eval_temperature_add(&sums, score, label, PER_SITE, K, eval_temperature_point(p));
        json_array_append_new(slope, json_real(sums.slope));
        json_array_append_new(curvature, json_real(sums.curvature));
    }
    double own[PER_SITE];
    int64_t count[BINS];
    eval_conformal_nonconformity(own, score, label, PER_SITE, K);
    check(eval_conformal_counts(count, bins, own, PER_SITE, 5));
    for (size_t k = 0; k < bins; k++) {
        json_array_append_new(counts, json_integer(count[k]));
    }
    json_t *json = json_pack("{s:{s:i, s:o, s:o}, s:{s:i, s:o}}", "temperature", "n", PER_SITE,
                             "slope", slope, "curvature", curvature, "nonconformity", "bins",
                             (int)bins, "counts", counts);
    char *text = fl_json_text(json);
    json_decref(json);
    return text;
}

static void send(record *r, const char *site, const char *text)
{
    fl_err err = FL_ERR_INIT;
    fed_offer o = {.key = {.kind = FED_SCORE, .job = {{1}}, .round = {2 | FED_HISTOGRAM_BIT}},
                   .digest = {{2}}};
    snprintf(o.site.text, sizeof o.site.text, "%s", site);
    check_ok(record_accept(r, &o, text, text != NULL ? strlen(text) : 0, &err), err);
}

static void the_sites_sums_are_as_good_as_their_scores(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "state.db");
    record *r;
    fed_digest digest = {{1}};
    const char *why;
    check_ok(record_open(&r, path, &digest, "test", &err), err);
    scores s = draw(3);
    for (int site = 0; site < N_SITES; site++) {
        char name[16], *text = sums_of(&s, site, site == 1 ? BINS / 2 : BINS);
        snprintf(name, sizeof name, "s%d", site);
        send(r, name, text);
        free(text);
    }
    send(r, "silent", NULL);
    job j = {.data = {.task = DATA_CLASSIFY}};
    j.evaluation.histogram_bins = BINS;
    j.evaluation.uncertainty = (job_uncertainty){.asked = true, .alpha = 0.1};
    calibration c;
    check_ok(calibrate_of(&c, r, &j, 2, &err), err);
    check_int(c.n, N);
    check_int(c.n_sites, N_SITES);
    check_int(c.n_counted, N);
    check_int(c.n_without, 1);
    double T = eval_temperature_fit(&why, s.score, s.label, N, K);
    check(T > 1.5);
    check_near(c.temperature / T, 1, 1e-3);
    double own[N];
    eval_conformal_nonconformity(own, s.score, s.label, N, K);
    check(c.quantile >= eval_conformal_quantile(own, N, 0.1) && c.quantile <= 1);
    json_t *json = calibrate_json(&c, &j);
    check_int(fl_json_get_int(json, "sites_without", 0), 1);
    json_decref(json);
    // Another round was not asked; a job that does not ask has none.
    check_ok(calibrate_of(&c, r, &j, 1, &err), err);
    check(isnan(c.temperature) && isnan(c.quantile));
    check_has(c.why, "no site sent sums");
    check_near(calibrate_order_temperature(&c), 0, 0);
    check_near(calibrate_order_quantile(&c), 0, 0);
    j.evaluation.uncertainty.asked = false;
    check_ok(calibrate_of(&c, r, &j, 2, &err), err);
    check(isnan(c.temperature) && calibrate_json(&c, &j) == NULL);
    record_close(&r);
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sites_sums_are_as_good_as_their_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
