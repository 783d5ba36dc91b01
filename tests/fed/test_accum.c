/*
 * test_accum.c - the sum that does not depend on order
 */
#include "fed/accum.h"

#include "base/rng.h"
#include "check.h"
#include "fed/golden.h"

static void three_sites_give_their_weighted_mean(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const float north[2] = {1.0f, -2.0f};
    const float south[2] = {4.0f, 0.5f};
    const float east[2] = {0.0f, 8.0f};
    int64_t sum[2] = {0, 0};

    check_ok(fed_accum_add(sum, north, 2, 100, FED_SCALE_TRAINED, &err), err);
    check_ok(fed_accum_add(sum, south, 2, 50, FED_SCALE_TRAINED, &err), err);
    check_ok(fed_accum_add(sum, east, 2, 50, FED_SCALE_TRAINED, &err), err);

    float mean[2];
    fed_accum_mean(mean, sum, 2, 200, FED_SCALE_TRAINED);
    check_near(mean[0], 1.5, 0);  // exact in binary
    check_near(mean[1], 1.125, 0);
}

// ------------------------------------------------------------------ vectors

static float *row_of(const json_t *values, size_t row, size_t n)
{
    float *out = fl_xcalloc(n, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)json_number_value(json_array_get(json_array_get(values, row), i));
    }
    return out;
}

static void sums_and_means_are_those_of_exact_fractions(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *golden = golden_read();
    const json_t *cases = json_object_get(golden, "accum");
    for (size_t k = 0; k < json_array_size(cases); k++) {
        const json_t *c = json_array_get(cases, k);
        const char *name = json_string_value(json_object_get(c, "scale"));
        fed_scale scale = strcmp(name, "stat") == 0 ? FED_SCALE_STAT : FED_SCALE_TRAINED;
        const json_t *weights = json_object_get(c, "weights");
        const json_t *sums = json_object_get(c, "sums");
        size_t n = json_array_size(sums);
        int64_t *q = fl_xcalloc(n, sizeof *q);
        float *mean = fl_xcalloc(n, sizeof *mean);
        uint64_t total = 0;
        for (size_t r = 0; r < json_array_size(weights); r++) {
            float *d = row_of(json_object_get(c, "values"), r, n);
            uint32_t w = (uint32_t)json_integer_value(json_array_get(weights, r));
            check_ok(fed_accum_add(q, d, (int64_t)n, w, scale, &err), err);
            total += w;
            free(d);
        }
        check_int(total, FED_MAX_WEIGHT_SUM);  // the largest that may be summed
        fed_accum_mean(mean, q, (int64_t)n, total, scale);
        for (size_t i = 0; i < n; i++) {
            const char *text = json_string_value(json_array_get(sums, i));
            check_int(q[i], strtoll(text, NULL, 10));
            // Through double the mean may miss the nearest float by one step.
            double expected = json_number_value(json_array_get(json_object_get(c, "mean"), i));
            check_near(mean[i], expected, fabs(expected) * 0x1p-23);
        }
        free(q);
        free(mean);
    }
    json_decref(golden);
}

// --------------------------------------------------------------------- laws

enum { SITES = 20, VALUES = 1000 };

static void draw(float *d, size_t n, double size, fl_rng *rng)
{
    for (size_t i = 0; i < n; i++) {
        d[i] = (float)(fl_rng_normal(rng) * size);
    }
}

static void a_thousand_orders_of_arrival_give_the_same_bits(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 7, "accum", "", 0);
    static float d[SITES][VALUES];
    uint32_t weight[SITES];
    size_t order[SITES];
    uint64_t total = 0;
    for (size_t s = 0; s < SITES; s++) {
        draw(d[s], VALUES, 0.3, &rng);
        weight[s] = 1 + (uint32_t)fl_rng_below(&rng, 800000);
        order[s] = s;
        total += weight[s];
    }
    static int64_t first[VALUES], again[VALUES];
    static float mean[VALUES], mean_again[VALUES];
    for (int trial = 0; trial < 1000; trial++) {
        int64_t *q = trial == 0 ? first : again;
        memset(q, 0, sizeof first);
        for (size_t s = 0; s < SITES; s++) {
            check_ok(
                fed_accum_add(q, d[order[s]], VALUES, weight[order[s]], FED_SCALE_TRAINED, &err),
                err);
        }
        float *m = trial == 0 ? mean : mean_again;
        fed_accum_mean(m, q, VALUES, total, FED_SCALE_TRAINED);
        if (trial > 0) {
            check_bytes(again, first, sizeof first);
            check_bytes(mean_again, mean, sizeof mean);
        }
        fl_rng_shuffle(&rng, order, SITES);
    }
}

/* The bound of accum.h, against sums in long double (64 bits of mantissa, so
 * its own error is far below). */
static void the_mean_is_within_its_error_bound(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 8, "accum", "", 0);
    for (int scale = FED_SCALE_TRAINED; scale <= FED_SCALE_STAT; scale++) {
        double size = scale == FED_SCALE_TRAINED ? 1 : 1000;
        static float d[SITES][VALUES];
        static int64_t q[VALUES];
        static float mean[VALUES];
        memset(q, 0, sizeof q);
        uint32_t weight[SITES];
        uint64_t total = 0;
        for (size_t s = 0; s < SITES; s++) {
            draw(d[s], VALUES, size, &rng);
            weight[s] = 1 + (uint32_t)fl_rng_below(&rng, 500);
            total += weight[s];
            check_ok(fed_accum_add(q, d[s], VALUES, weight[s], (fed_scale)scale, &err), err);
        }
        fed_accum_mean(mean, q, VALUES, total, (fed_scale)scale);
        double bound = SITES / (2 * fed_scale_factor((fed_scale)scale) * (double)total);
        for (size_t i = 0; i < VALUES; i++) {
            long double exact = 0;
            for (size_t s = 0; s < SITES; s++) {
                exact += (long double)weight[s] * (long double)d[s][i];
            }
            exact /= (long double)total;
            double half_ulp = fabs((double)exact) * 0x1p-24;
            check_near(mean[i], (double)exact, bound + half_ulp * (1 + 1e-6));
        }
    }
}

/* Blocks, their leftovers and any alignment compute the same. */
static void cut_into_stretches_the_sum_is_the_same(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 9, "accum", "", 0);
    static float d[VALUES];
    static int64_t whole[VALUES], cut[VALUES];
    for (int trial = 0; trial < 200; trial++) {
        for (size_t i = 0; i < VALUES; i++) {  // all magnitudes up to the limit
            d[i] = (float)ldexp(fl_rng_range(&rng, -1, 1), (int)fl_rng_below(&rng, 60) - 52);
        }
        uint32_t weight = (uint32_t)fl_rng_below(&rng, 1 << 17);
        check_ok(fed_accum_add(whole, d, VALUES, weight, FED_SCALE_TRAINED, &err), err);
        for (int64_t at = 0; at < VALUES;) {
            int64_t n = 1 + (int64_t)fl_rng_below(&rng, 130);
            n = at + n > VALUES ? VALUES - at : n;
            check_ok(fed_accum_add(cut + at, d + at, n, weight, FED_SCALE_TRAINED, &err), err);
            at += n;
        }
        check_bytes(cut, whole, sizeof whole);
    }
    for (size_t i = 0; i < VALUES; i++) {
        check(whole[i] != INT64_MIN);
    }
}

/* Against the formula of accum.h itself, element by element. */
static void every_element_is_rint_of_weight_times_value(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 10, "accum", "", 0);
    static float d[VALUES];
    static int64_t q[VALUES];
    const uint32_t weights[] = {0, 1, 2, 3, 12345, (1 << 24) - 1, 1 << 24};
    for (size_t k = 0; k < sizeof weights / sizeof weights[0]; k++) {
        for (size_t i = 0; i < VALUES; i++) {
            int exponent = (int)fl_rng_below(&rng, 180) - 149;
            d[i] = (float)ldexp(fl_rng_range(&rng, -1, 1), exponent > 7 ? 7 : exponent);
            if (i % 10 == 0) {  // halves, which go to the even neighbour
                d[i] = (float)((int)fl_rng_below(&rng, 64) - 32) * 0x1p-33f;
            }
        }
        d[0] = 127.99999f;
        d[1] = -127.99999f;
        memset(q, 0, sizeof q);
        check_ok(fed_accum_add(q, d, VALUES, weights[k], FED_SCALE_TRAINED, &err), err);
        for (size_t i = 0; i < VALUES; i++) {
            int64_t wanted = (int64_t)rint((double)weights[k] * d[i] * 0x1p32);
            check_int(q[i], wanted);
        }
    }
}

// ---------------------------------------------------------------- bad input

/* Wherever a value that does not fit may be, and over the whole range. */
static void every_variant_gives_the_plain_loops_bits(void **state)
{
    (void)state;
    enum { N = 1000 };
    fl_rng rng;
    fl_rng_init(&rng, 31, "accum variants", "", 0);
    for (int round = 0; round < 200; round++) {
        float d[N];
        int64_t start[N], plain[N], wide[N];
        fed_scale scale = round % 2 == 0 ? FED_SCALE_TRAINED : FED_SCALE_STAT;
        double size = fed_scale_limit(scale) * (round % 3 == 0 ? 1.0 : 1e-6);
        draw(d, N, size, &rng);
        if (round % 5 == 4) {
            static const float odd[] = {NAN, INFINITY, -INFINITY, 0x1p23f, -0.0f, 0x1p-149f};
            d[fl_rng_u64(&rng) % N] = odd[fl_rng_u64(&rng) % 6];
        }
        for (int i = 0; i < N; i++) {
            start[i] = (int64_t)fl_rng_u64(&rng);
        }
        uint32_t weight = (uint32_t)(fl_rng_u64(&rng) % FED_MAX_WEIGHT_SUM) + 1;
        int64_t n = N - (int64_t)(fl_rng_u64(&rng) % 70);
        fl_err err = FL_ERR_INIT;
        check(fed_accum_use(FED_ACCUM_PLAIN));
        memcpy(plain, start, sizeof plain);
        fl_status st = fed_accum_add(plain, d, n, weight, scale, &err);
        for (int v = FED_ACCUM_AVX2; v < FED_ACCUM_N_VARIANTS; v++) {
            if (fed_accum_use((fed_accum_variant)v)) {
                fl_err again = FL_ERR_INIT;
                memcpy(wide, start, sizeof wide);
                check_int(fed_accum_add(wide, d, n, weight, scale, &again), st);
                check_str(again.text, err.text);
                check_int(fed_accum_check(d, n, scale, NULL), st);
                check_bytes(wide, plain, sizeof wide);
            }
        }
    }
    for (int v = FED_ACCUM_N_VARIANTS - 1; v >= 0 && !fed_accum_use((fed_accum_variant)v); v--) {
    }
}

static void a_value_out_of_range_is_named(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 128.0f, -128.0f, 1e30f};
    static const size_t places[] = {0, 63, 64, 100, 199};
    for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
        for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
            fl_err err = FL_ERR_INIT;
            float d[200] = {0};
            int64_t q[200] = {0};
            d[places[p]] = bad[b];
            char name[32];
            snprintf(name, sizeof name, "value %zu is", places[p]);
            check_fails(fed_accum_check(d, 200, FED_SCALE_TRAINED, &err), FL_EFORMAT);
            check_has(err.text, name);
            check_fails(fed_accum_add(q, d, 200, 5, FED_SCALE_TRAINED, &err), FL_EFORMAT);
            check_has(err.text, name);
        }
    }
}

static void statistics_reach_further_than_trained_values(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    float d[1] = {8388607.5f};
    check_ok(fed_accum_check(d, 1, FED_SCALE_STAT, &err), err);
    check_fails(fed_accum_check(d, 1, FED_SCALE_TRAINED, &err), FL_EFORMAT);
    d[0] = 8388608.0f;
    check_fails(fed_accum_check(d, 1, FED_SCALE_STAT, &err), FL_EFORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_sites_give_their_weighted_mean),
        cmocka_unit_test(sums_and_means_are_those_of_exact_fractions),
        cmocka_unit_test(a_thousand_orders_of_arrival_give_the_same_bits),
        cmocka_unit_test(the_mean_is_within_its_error_bound),
        cmocka_unit_test(cut_into_stretches_the_sum_is_the_same),
        cmocka_unit_test(every_element_is_rint_of_weight_times_value),
        cmocka_unit_test(every_variant_gives_the_plain_loops_bits),
        cmocka_unit_test(a_value_out_of_range_is_named),
        cmocka_unit_test(statistics_reach_further_than_trained_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
