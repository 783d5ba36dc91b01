/*
 * test_explain.c - kernel SHAP against Shapley's sum over all coalitions, LIME against a
 * planted linear model
 */
#include "explain/explain.h"

#include "base/rng.h"
#include "check.h"

enum { MAX = 40 };

/* Pairs that work together, and weights; nothing is linear in it. */
typedef struct {
    size_t M;
    double w[MAX], pair[MAX];
    size_t n_asked;
} planted;

static double answer(const planted *p, const bool *z)
{
    double sum = 0.3;
    for (size_t j = 0; j < p->M; j++) {
        sum += z[j] ? p->w[j] : 0;
        sum += z[j] && z[(j + 3) % p->M] ? p->pair[j] : 0;
    }
    return sum + 0.5 * sin(sum);
}

static double line(const planted *p, const bool *z)
{
    double sum = 0.3;
    for (size_t j = 0; j < p->M; j++) {
        sum += z[j] ? p->w[j] : 0;
    }
    return sum;
}

static fl_status ask(void *ctx, double *out, const bool *present, size_t n, fl_err *err)
{
    planted *p = ctx;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        out[i] = answer(p, present + i * p->M);
    }
    p->n_asked += n;
    return FL_OK;
}

static fl_status ask_line(void *ctx, double *out, const bool *present, size_t n, fl_err *err)
{
    planted *p = ctx;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        out[i] = line(p, present + i * p->M);
    }
    return FL_OK;
}

static planted plant(size_t M, uint64_t seed)
{
    planted p = {.M = M};
    fl_rng rng;
    fl_rng_init(&rng, seed, "plant", "", 0);
    for (size_t j = 0; j < M; j++) {
        p.w[j] = fl_rng_range(&rng, -1, 1);
        p.pair[j] = fl_rng_range(&rng, -0.5, 0.5);
    }
    return p;
}

/* phi_j = sum over S without j of |S|! (M - |S| - 1)! / M! (f(S with j) - f(S)). */
static void shapley(double *phi, const planted *p)
{
    size_t M = p->M;
    for (size_t j = 0; j < M; j++) {
        phi[j] = 0;
        for (uint32_t set = 0; set < (uint32_t)1 << M; set++) {
            bool z[MAX];
            size_t s = 0;
            if (set >> j & 1) {
                continue;
            }
            for (size_t k = 0; k < M; k++) {
                z[k] = set >> k & 1;
                s += z[k];
            }
            double without = answer(p, z);
            z[j] = true;
            phi[j] += exp(lgamma((double)s + 1) + lgamma((double)(M - s)) - lgamma((double)M + 1)) *
                      (answer(p, z) - without);
        }
    }
}

static void shap_of_ten_features_is_the_exact_enumeration(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    for (size_t M = 1; M <= 10; M += 3) {
        planted p = plant(M, 7 + M);
        explain_game g = {.n_features = M, .ctx = &p, .ask = ask};
        double phi[MAX], exact[MAX], none, all, sum = 0;
        check_ok(explain_shap(phi, &none, &all, &g, 2048, 1, &err), err);
        check_int(p.n_asked, M == 1 ? 2 : (1 << M));
        shapley(exact, &p);
        for (size_t j = 0; j < M; j++) {
            check_near(phi[j], exact[j], 1e-9);
            sum += phi[j];
        }
        check_near(sum, all - none, 1e-9);
    }
}

static void sampled_shap_keeps_the_sum_and_comes_near(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    planted p = plant(16, 3);
    explain_game g = {.n_features = 16, .ctx = &p, .ask = ask};
    double phi[MAX], again[MAX], exact[MAX], none, all, sum = 0;
    check_ok(explain_shap(phi, &none, &all, &g, 4000, 1, &err), err);
    check_int(p.n_asked, 4002);
    check_ok(explain_shap(again, &none, &all, &g, 4000, 1, &err), err);
    shapley(exact, &p);
    for (size_t j = 0; j < 16; j++) {
        check_near(phi[j], exact[j], 0.03);
        check_near(again[j], phi[j], 0);
        sum += phi[j];
    }
    check_near(sum, all - none, 1e-6);

    planted many = plant(MAX, 5);
    explain_game few = {.n_features = MAX, .ctx = &many, .ask = ask};
    check_fails(explain_shap(phi, &none, &all, &few, 20, 1, &err), FL_EUSAGE);
    check_has(err.text, "too few samples for 40 features");
}

static void shap_of_a_linear_model_is_its_weights(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    planted p = plant(30, 9);
    explain_game g = {.n_features = 30, .ctx = &p, .ask = ask_line};
    double phi[MAX], none, all;
    check_ok(explain_shap(phi, &none, &all, &g, 500, 1, &err), err);
    for (size_t j = 0; j < 30; j++) {
        check_near(phi[j], p.w[j], 1e-9);
    }
}

static void lime_recovers_a_planted_linear_model(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    planted p = plant(20, 11);
    explain_game g = {.n_features = 20, .ctx = &p, .ask = ask_line};
    explain_lime_config cfg;
    double weight[MAX], intercept, r2;
    explain_lime_defaults(&cfg);
    cfg.ridge = 1e-9;
    check_ok(explain_lime(weight, &intercept, &r2, &g, &cfg, &err), err);
    for (size_t j = 0; j < 20; j++) {
        check_near(weight[j], p.w[j], 1e-7);
    }
    check_near(intercept, 0.3, 1e-7);
    check_near(r2, 1, 1e-9);
    // The usual penalty draws weights to 0 and leaves their order alone.
    explain_lime_defaults(&cfg);
    cfg.n_samples = 4000;
    check_ok(explain_lime(weight, &intercept, &r2, &g, &cfg, &err), err);
    for (size_t j = 0; j < 20; j++) {
        check_near(weight[j], p.w[j], 0.03);
    }
    check(r2 > 0.99 && r2 < 1);
}

static void a_model_that_says_one_thing_has_nothing_to_explain(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    planted p = {.M = 5};
    explain_game g = {.n_features = 5, .ctx = &p, .ask = ask_line};
    explain_lime_config cfg;
    double weight[MAX], intercept, r2, none, all;
    explain_lime_defaults(&cfg);
    check_ok(explain_lime(weight, &intercept, &r2, &g, &cfg, &err), err);
    check_near(intercept, 0.3, 1e-12);
    check(isnan(r2) || fabs(r2) <= 1);
    check_ok(explain_shap(weight, &none, &all, &g, 100, 1, &err), err);
    for (size_t j = 0; j < 5; j++) {
        check_near(weight[j], 0, 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shap_of_ten_features_is_the_exact_enumeration),
        cmocka_unit_test(sampled_shap_keeps_the_sum_and_comes_near),
        cmocka_unit_test(shap_of_a_linear_model_is_its_weights),
        cmocka_unit_test(lime_recovers_a_planted_linear_model),
        cmocka_unit_test(a_model_that_says_one_thing_has_nothing_to_explain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
