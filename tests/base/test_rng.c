#include "check.h"

#include "base/rng.h"

/* Bounds on means below are at least five standard errors wide and the seeds
 * are fixed, so a pass is a pass for ever. */

static void a_named_stream_repeats(void **state)
{
    (void)state;
    fl_rng a;
    fl_rng b;
    fl_rng_init(&a, 7, "shuffle", "north", 3);
    fl_rng_init(&b, 7, "shuffle", "north", 3);
    for (int i = 0; i < 1000; i++) {
        check(fl_rng_u64(&a) == fl_rng_u64(&b));
    }
}

/* tests/vectors/rng.py makes these numbers with Python's hashlib and a plain
 * ChaCha20. */
static void the_stream_is_chacha20_under_the_digest_of_its_name(void **state)
{
    (void)state;
    static const uint64_t expected[] = {
        0x60eceb9e1c00ba16,
        0x8af4360be7e49645,
        0xd74c7cb09e2decad,
        0x4c6dc6a3ef32ad9a,
    };
    static const uint64_t expected_at_64 = 0x6d7784df924b8a5c;  // first of the second block
    fl_rng r;
    fl_rng_init(&r, 42, "init", "north", 5);
    for (size_t i = 0; i < 64; i++) {
        uint64_t value = fl_rng_u64(&r);
        if (i < sizeof expected / sizeof *expected) {
            check(value == expected[i]);
        }
    }
    check(fl_rng_u64(&r) == expected_at_64);
}

static void different_names_are_different_streams(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        const char *purpose;
        const char *site;
        uint64_t round;
    } names[] = {{1, "init", "", 0},         {2, "init", "", 0},   {1, "inis", "", 0},
                 {1, "init", "a", 0},        {1, "init", "", 1},   {1, "in", "it", 0},
                 {1, "ini", "t", 0},         {256, "init", "", 0}, {1, "init", "", 256},
                 {0, "init", "", 1ULL << 56}};
    enum { N = sizeof names / sizeof *names };
    uint64_t first[N];
    for (size_t i = 0; i < N; i++) {
        fl_rng r;
        fl_rng_init(&r, names[i].seed, names[i].purpose, names[i].site, names[i].round);
        first[i] = fl_rng_u64(&r);
        for (size_t k = 0; k < i; k++) {
            check(first[i] != first[k]);
        }
    }
}

static void streams_are_uncorrelated(void **state)
{
    (void)state;
    enum { N = 100000 };
    fl_rng a;
    fl_rng b;
    fl_rng_init(&a, 1, "dropout", "north", 1);
    fl_rng_init(&b, 1, "dropout", "north", 2);
    double sum = 0;
    for (int i = 0; i < N; i++) {
        sum += (fl_rng_uniform(&a) - 0.5) * (fl_rng_uniform(&b) - 0.5);
    }
    // The product has variance 1/144.
    check_near(sum / N, 0, 5 / 12.0 / sqrt(N));
}

typedef struct {
    double mean, variance, skewness, low, high;
} moments;

static moments moments_of(const double *x, size_t n)
{
    moments m = {0, 0, 0, INFINITY, -INFINITY};
    for (size_t i = 0; i < n; i++) {
        m.mean += x[i] / (double)n;
        m.low = fmin(m.low, x[i]);
        m.high = fmax(m.high, x[i]);
    }
    for (size_t i = 0; i < n; i++) {
        double d = x[i] - m.mean;
        m.variance += d * d / (double)n;
        m.skewness += d * d * d / (double)n;
    }
    m.skewness /= pow(m.variance, 1.5);
    return m;
}

enum { N_DRAWS = 200000 };

static void uniforms_fill_their_interval(void **state)
{
    (void)state;
    double *x = fl_xcalloc(N_DRAWS, sizeof *x);
    float *f = fl_xcalloc(N_DRAWS, sizeof *f);
    fl_rng r;
    fl_rng_init(&r, 1, "uniform", "", 0);
    for (size_t i = 0; i < N_DRAWS; i++) {
        x[i] = fl_rng_range(&r, -1, 3);
    }
    moments m = moments_of(x, N_DRAWS);
    check_near(m.mean, 1, 5 * sqrt(16 / 12.0 / N_DRAWS));
    check_near(m.variance, 16 / 12.0, 0.02);
    check(m.low >= -1 && m.high < 3 && m.low < -0.999 && m.high > 2.999);
    fl_rng_fill_uniform(&r, f, N_DRAWS);
    for (size_t i = 0; i < N_DRAWS; i++) {
        x[i] = (double)f[i];
    }
    m = moments_of(x, N_DRAWS);
    check_near(m.mean, 0.5, 5 * sqrt(1 / 12.0 / N_DRAWS));
    check(m.low >= 0 && m.high < 1);
    free(f);
    free(x);
}

static void normals_have_the_moments_of_a_normal(void **state)
{
    (void)state;
    double *x = fl_xcalloc(N_DRAWS, sizeof *x);
    fl_rng r;
    fl_rng_init(&r, 1, "normal", "", 0);
    size_t beyond_2 = 0;
    for (size_t i = 0; i < N_DRAWS; i++) {
        x[i] = fl_rng_normal(&r);
        beyond_2 += fabs(x[i]) > 2;
    }
    moments m = moments_of(x, N_DRAWS);
    check_near(m.mean, 0, 5 / sqrt(N_DRAWS));
    check_near(m.variance, 1, 5 * sqrt(2.0 / N_DRAWS));
    check_near(m.skewness, 0, 5 * sqrt(6.0 / N_DRAWS));
    check_near((double)beyond_2 / N_DRAWS, 0.0455, 0.0025);
    free(x);
}

static void gammas_have_mean_and_variance_of_their_shape(void **state)
{
    (void)state;
    static const double shapes[] = {0.1, 0.5, 1, 2.5, 40};
    double *x = fl_xcalloc(N_DRAWS, sizeof *x);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        fl_rng r;
        fl_rng_init(&r, 1, "gamma", "", s);
        for (size_t i = 0; i < N_DRAWS; i++) {
            x[i] = fl_rng_gamma(&r, shapes[s]);
        }
        moments m = moments_of(x, N_DRAWS);
        check_near(m.mean, shapes[s], 5 * sqrt(shapes[s] / N_DRAWS));
        // var(s^2) = (2 k^2 + 6 k) / n for shape k
        check_near(m.variance, shapes[s],
                   5 * sqrt((2 * shapes[s] * shapes[s] + 6 * shapes[s]) / N_DRAWS));
        check_near(m.skewness, 2 / sqrt(shapes[s]), 0.15 * (1 + 2 / sqrt(shapes[s])));
        check(m.low >= 0);
    }
    free(x);
}

static void poissons_have_equal_mean_and_variance(void **state)
{
    (void)state;
    static const double means[] = {0.05, 1, 9.9, 10, 35, 1000, 1e6};
    double *x = fl_xcalloc(N_DRAWS, sizeof *x);
    for (size_t k = 0; k < sizeof means / sizeof *means; k++) {
        fl_rng r;
        fl_rng_init(&r, 1, "poisson", "", k);
        for (size_t i = 0; i < N_DRAWS; i++) {
            x[i] = (double)fl_rng_poisson(&r, means[k]);
        }
        moments m = moments_of(x, N_DRAWS);
        double mu = means[k];
        check_near(m.mean, mu, 5 * sqrt(mu / N_DRAWS));
        check_near(m.variance, mu, 5 * sqrt((2 * mu * mu + mu) / N_DRAWS));
        check_near(m.skewness, 1 / sqrt(mu), 0.1 * (1 + 1 / sqrt(mu)));
    }
    free(x);
    fl_rng r;
    fl_rng_init(&r, 1, "poisson", "", 0);
    check_int(fl_rng_poisson(&r, 0), 0);
}

/* Chi-squared of counts against the Poisson's own probabilities. */
static void the_large_poisson_has_the_right_shape(void **state)
{
    (void)state;
    enum { CELLS = 40 };
    double mu = 20;
    size_t counts[CELLS] = {0};
    fl_rng r;
    fl_rng_init(&r, 3, "poisson", "", 0);
    for (size_t i = 0; i < N_DRAWS; i++) {
        uint64_t k = fl_rng_poisson(&r, mu);
        counts[k < CELLS ? k : CELLS - 1]++;
    }
    double chi2 = 0;
    int cells = 0;
    double p = exp(-mu);
    for (int k = 0; k < CELLS - 1; k++) {
        double expected = p * N_DRAWS;
        if (expected > 10) {
            double d = (double)counts[k] - expected;
            chi2 += d * d / expected;
            cells++;
        }
        p *= mu / (k + 1);
    }
    // mean cells, standard deviation sqrt(2 cells)
    check(chi2 < cells + 5 * sqrt(2.0 * cells));
}

static void below_is_unbiased_and_below(void **state)
{
    (void)state;
    size_t counts[7] = {0};
    fl_rng r;
    fl_rng_init(&r, 1, "below", "", 0);
    for (int i = 0; i < 70000; i++) {
        uint64_t k = fl_rng_below(&r, 7);
        check(k < 7);
        counts[k]++;
    }
    for (int k = 0; k < 7; k++) {
        check_near(counts[k], 10000, 5 * sqrt(70000 * 6 / 49.0));
    }
    // Just above half the range half of all draws are thrown away; the mean
    // shows whether they really are.
    uint64_t n = (1ULL << 63) + 1;
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t value = fl_rng_below(&r, n);
        check(value < n);
        sum += (double)value / (double)n;
    }
    check_near(sum / 10000, 0.5, 5 * sqrt(1 / 12.0 / 10000));
    check_int(fl_rng_below(&r, 1), 0);
    check(fl_rng_below(&r, UINT64_MAX) < UINT64_MAX);
}

static void a_shuffle_is_a_permutation_and_every_one_is_likely(void **state)
{
    (void)state;
    size_t counts[27] = {0};
    fl_rng r;
    fl_rng_init(&r, 1, "shuffle", "", 0);
    for (int i = 0; i < 60000; i++) {
        size_t index[3] = {0, 1, 2};
        fl_rng_shuffle(&r, index, 3);
        counts[9 * index[0] + 3 * index[1] + index[2]]++;
    }
    int n_seen = 0;
    for (int k = 0; k < 27; k++) {
        if (counts[k] > 0) {
            check_near(counts[k], 10000, 5 * sqrt(60000 * 5 / 36.0));
            n_seen++;
        }
    }
    check_int(n_seen, 6);
    fl_rng_shuffle(&r, NULL, 0);
}

static void draws_of_different_kinds_do_not_disturb_repetition(void **state)
{
    (void)state;
    double sums[2] = {0, 0};
    for (int k = 0; k < 2; k++) {
        fl_rng r;
        float f[3];
        fl_rng_init(&r, 9, "mixed", "", 0);
        for (int i = 0; i < 500; i++) {
            fl_rng_fill_uniform(&r, f, 3);
            sums[k] += fl_rng_normal(&r) + (double)f[0] + fl_rng_gamma(&r, 0.7);
            sums[k] += (double)fl_rng_poisson(&r, 12) + (double)(fl_rng_u64(&r) >> 40);
        }
    }
    check(sums[0] == sums[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_named_stream_repeats),
        cmocka_unit_test(the_stream_is_chacha20_under_the_digest_of_its_name),
        cmocka_unit_test(different_names_are_different_streams),
        cmocka_unit_test(streams_are_uncorrelated),
        cmocka_unit_test(uniforms_fill_their_interval),
        cmocka_unit_test(normals_have_the_moments_of_a_normal),
        cmocka_unit_test(gammas_have_mean_and_variance_of_their_shape),
        cmocka_unit_test(poissons_have_equal_mean_and_variance),
        cmocka_unit_test(the_large_poisson_has_the_right_shape),
        cmocka_unit_test(below_is_unbiased_and_below),
        cmocka_unit_test(a_shuffle_is_a_permutation_and_every_one_is_likely),
        cmocka_unit_test(draws_of_different_kinds_do_not_disturb_repetition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
