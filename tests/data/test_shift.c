/*
 * test_shift.c - what makes one hospital's images differ from another's
 */
#include "data/shift.h"
#include "fixture.h"

enum { SIDE = 48, N = SIDE * SIDE };

static const nn_shape gray = {3, {1, SIDE, SIDE}};

/* Smooth anatomy with an edge and a fine texture, in [0, 1]. */
static void make_image(float *x, int channels)
{
    for (int c = 0; c < channels; c++) {
        for (int r = 0; r < SIDE; r++) {
            for (int k = 0; k < SIDE; k++) {
                double v = 0.4 + 0.2 * sin(0.13 * r + c) + 0.1 * cos(0.9 * k) +
                           0.07 * cos(1.1 * r) + (k > SIDE / 3 ? 0.2 : 0);
                x[c * N + r * SIDE + k] = (float)v;
            }
        }
    }
}

static double distance(const float *x, const float *y, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double d = (double)x[i] - (double)y[i];
        sum += d * d;
    }
    return sqrt(sum / n);
}

static data_shift read_chain(const char *yaml, fl_status *st, fl_err *err)
{
    fl_cfg *c = NULL;
    data_shift chain;
    check_ok(fl_cfg_parse(&c, yaml, strlen(yaml), "s.yaml", ".", err), *err);
    data_shift_read(&chain, fl_cfg_list(fl_cfg_root(c), "shift", ""));
    *st = fl_cfg_finish(c, err);
    fl_cfg_destroy(&c);
    return chain;
}

/* Does the transform fit images of so many channels? */
static bool fits(const data_shift_ops *ops, int channels)
{
    return !ops->needs_rgb || channels == 3;
}

static void apply(float *x, int channels, const char *name, double severity, uint64_t seed)
{
    fl_err err = FL_ERR_INIT;
    fl_rng rng;
    data_shift chain = {.ops = {data_shift_find(name)}, .severity = {severity}, .n = 1};
    check(chain.ops[0] != NULL);
    fl_rng_init(&rng, seed, "shift", "case", 0);
    nn_shape shape = {3, {channels, SIDE, SIDE}};
    check_ok(data_shift_apply(&chain, x, &shape, &rng, &err), err);
}

static void a_chain_is_read_and_applied(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st;
    fl_rng rng;
    float x[N];
    float y[N];
    data_shift chain = read_chain("shift: [blur: 1, noise: 2.5, gamma: 1]", &st, &err);
    check_ok(st, err);
    check_int(chain.n, 3);
    check_str(chain.ops[1]->name, "noise");
    check_near(chain.severity[1], 2.5, 0);

    make_image(x, 1);
    make_image(y, 1);
    fl_rng_init(&rng, 1, "shift", "case", 0);
    check_ok(data_shift_apply(&chain, x, &gray, &rng, &err), err);
    check(distance(x, y, N) > 0.02);
}

static void severity_zero_changes_nothing(void **state)
{
    (void)state;
    const data_shift_ops *ops;
    for (size_t i = 0; (ops = data_shift_at(i)) != NULL; i++) {
        float x[3 * N];
        float y[3 * N];
        make_image(x, 3);
        make_image(y, 3);
        apply(x, 3, ops->name, 0, 1);
        check_bytes(x, y, sizeof x);
    }
}

/* The mean over seeds, because noise is random. */
static double mean_distance(const char *name, double severity, int channels)
{
    enum { SEEDS = 4 };
    double sum = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        float x[3 * N];
        float y[3 * N];
        make_image(x, channels);
        make_image(y, channels);
        apply(x, channels, name, severity, seed);
        for (int i = 0; i < channels * N; i++) {
            check(x[i] >= 0 && x[i] <= 1);
        }
        sum += distance(x, y, channels * N) / SEEDS;
    }
    return sum;
}

static void more_severity_is_further_away(void **state)
{
    (void)state;
    const data_shift_ops *ops;
    for (size_t i = 0; (ops = data_shift_at(i)) != NULL; i++) {
        for (int channels = 1; channels <= 3; channels += 2) {
            if (!fits(ops, channels)) {
                continue;
            }
            double last = 0;
            for (int severity = 1; severity <= 5; severity++) {
                double d = mean_distance(ops->name, severity, channels);
                if (d <= last) {
                    check_fail("%s: severity %d is %g away, %d was %g", ops->name, severity, d,
                               severity - 1, last);
                }
                last = d;
            }
            if (last <= 0.03) {  // not visible
                check_fail("%s: severity 5 is only %g away", ops->name, last);
            }
        }
    }
}

static void the_same_seed_gives_the_same_image(void **state)
{
    (void)state;
    const data_shift_ops *ops;
    for (size_t i = 0; (ops = data_shift_at(i)) != NULL; i++) {
        float x[3 * N];
        float y[3 * N];
        make_image(x, 3);
        make_image(y, 3);
        apply(x, 3, ops->name, 3, 5);
        apply(y, 3, ops->name, 3, 5);
        check_bytes(x, y, sizeof x);
    }
}

/* A disc and its mask, moved alike: apart from its edge they still agree, also behind
 * transforms that move nothing. */
static void a_mask_moves_with_what_is_shown(void **state)
{
    (void)state;
    enum { DEPTH = 2 };
    fl_err err = FL_ERR_INIT;
    const data_shift_ops *ops;
    const nn_shape volume = {4, {1, DEPTH, SIDE, SIDE}};
    for (size_t i = 0; (ops = data_shift_at(i)) != NULL; i++) {
        data_shift chain = {.ops = {data_shift_find("gamma"), ops}, .severity = {1, 4}, .n = 2};
        float x[DEPTH * N];
        uint8_t code[2][DEPTH * N], was[DEPTH * N];
        fl_rng rng, same;
        for (int k = 0; k < DEPTH * N; k++) {
            int r = k % N / SIDE - 14, c = k % SIDE - 30 + 4 * (k / N);
            was[k] = code[0][k] = r * r + c * c < 80;
            code[1][k] = 3;
            x[k] = was[k];
        }
        fl_rng_init(&rng, 9, "shift", "case", 0);
        same = rng;
        check_int(data_shift_moves(&chain), ops->moves);
        uint8_t *const masks[2] = {code[0], code[1]};
        if (ops->moves) {
            check_ok(data_shift_apply(&chain, x, &volume, &rng, &err), err);
        }
        if (!ops->needs_rgb) {
            check_ok(data_shift_masks(&chain, masks, 2, &volume, &same, &err), err);
        }
        int apart = 0, changed = 0, black = 0;
        for (int k = 0; k < DEPTH * N; k++) {
            apart += (x[k] > 0.5f) != code[0][k];
            changed += was[k] != code[0][k];
            black += code[1][k] == 0;
            check(code[0][k] <= 1 && (code[1][k] == 3 || code[1][k] == 0));
        }
        if (apart > DEPTH * 12 || (changed > 40) != ops->moves || (black > 0 && !ops->moves)) {
            check_fail("%s: %d pixels apart, %d changed, %d black", ops->name, apart, changed,
                       black);
        }
    }
}

/* A patient lies askew in all slices, and who films a screen does not move between them. */
static void every_slice_of_a_volume_moves_alike(void **state)
{
    (void)state;
    enum { DEPTH = 3 };
    static const char *const names[] = {"rotation", "perspective", "field_of_view"};
    const nn_shape volume = {4, {1, DEPTH, SIDE, SIDE}};
    for (size_t k = 0; k < 3; k++) {
        fl_err err = FL_ERR_INIT;
        fl_rng rng;
        float x[DEPTH * N], one[N];
        data_shift chain = {.ops = {data_shift_find(names[k])}, .severity = {3}, .n = 1};
        make_image(one, 1);
        for (int d = 0; d < DEPTH; d++) {
            memcpy(x + d * N, one, sizeof one);
        }
        apply(one, 1, names[k], 3, 7);
        fl_rng_init(&rng, 7, "shift", "case", 0);
        check_ok(data_shift_apply(&chain, x, &volume, &rng, &err), err);
        for (int d = 0; d < DEPTH; d++) {
            check_bytes(x + d * N, one, sizeof one);
        }
    }
}

static void a_larger_field_has_larger_pixels(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st;
    const data_shift other = read_chain("shift: [blur: 1, rotation: 5]", &st, &err);
    const data_shift larger = read_chain("shift: [field_of_view: 5, blur: 1, field_of_view: 1]",
                                         &st, &err);
    check_near(data_shift_pixel_size(&other), 1, 0);
    check_near(data_shift_pixel_size(&larger), 1.6 * 1.12, 1e-12);
}

static void one_severity_leaves_the_others_noise_alone(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st;
    float x[N];
    float y[N];
    /* Rician first uses many random numbers, or none at severity 0. */
    data_shift with = read_chain("shift: [rician: 0, bias: 3]", &st, &err);
    data_shift few = read_chain("shift: [rician: 1.0e-9, bias: 3]", &st, &err);
    fl_rng rng;
    make_image(x, 1);
    make_image(y, 1);
    fl_rng_init(&rng, 1, "shift", "case", 0);
    check_ok(data_shift_apply(&with, x, &gray, &rng, &err), err);
    fl_rng_init(&rng, 1, "shift", "case", 0);
    check_ok(data_shift_apply(&few, y, &gray, &rng, &err), err);
    check_near(distance(x, y, N), 0, 1e-6);
}

static void quantum_noise_has_the_physics_variance(void **state)
{
    (void)state;
    enum { SEVERITY = 2 };
    float x[N];
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < N; i++) {
        x[i] = 0.5f;
    }
    apply(x, 1, "noise", SEVERITY, 3);
    for (int i = 0; i < N; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    double mean = sum / N;
    double variance = squares / N - mean * mean;
    double expected = 0.5 * 0.06 * 0.06 + 0.01 * 0.01;  // x / N + e^2
    /* standard errors with 2304 pixels: 0.001 and 3 % */
    check_near(mean, 0.5, 0.005);
    check_near(variance / expected, 1, 0.12);
}

static void rician_noise_lifts_the_dark(void **state)
{
    (void)state;
    float x[N] = {0};
    double sum = 0;
    apply(x, 1, "rician", 2, 3);
    for (int i = 0; i < N; i++) {
        sum += (double)x[i] / N;
    }
    check_near(sum, 0.06 * sqrt(3.14159265 / 2), 0.003);  // Rayleigh's mean
}

static void blur_keeps_the_mean_and_a_turn_keeps_the_centre(void **state)
{
    (void)state;
    float x[N] = {0};
    double sum = 0;
    x[(SIDE / 2) * SIDE + SIDE / 2] = 1.0f;
    apply(x, 1, "blur", 3, 1);
    for (int i = 0; i < N; i++) {
        sum += (double)x[i];
    }
    check_near(sum, 1, 1e-5);
    double sigma = 0.008 * 3 * SIDE;  // cut off at 3 sigma
    check_near(x[(SIDE / 2) * SIDE + SIDE / 2], 1 / (2 * 3.14159265 * sigma * sigma), 0.01);

    float y[N];
    for (int i = 0; i < N; i++) {
        y[i] = 0.7f;
    }
    apply(y, 1, "rotation", 5, 1);
    for (int i = 0; i < N; i++) {
        check_near(y[i], 0.7, 1e-6);
    }
}

/* Volumes of several channels as well as images, of any size. */
static void odd_sizes_are_fine(void **state)
{
    (void)state;
    static const nn_shape shapes[] = {{3, {1, 1, 1}},    {3, {3, 1, 7}},     {3, {2, 5, 3}},
                                      {3, {1, 2, 9}},    {4, {1, 1, 4, 4}},  {4, {2, 5, 3, 7}},
                                      {4, {3, 2, 9, 1}}, {4, {1, 6, 16, 16}}};
    const data_shift_ops *ops;
    for (size_t i = 0; (ops = data_shift_at(i)) != NULL; i++) {
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            fl_err err = FL_ERR_INIT;
            fl_rng rng;
            data_shift chain = {.ops = {ops}, .severity = {5}, .n = 1};
            int64_t n = nn_shape_count(&shapes[k], 1);
            if (!fits(ops, (int)shapes[k].dim[0])) {
                continue;
            }
            float *x = malloc((size_t)n * sizeof *x);
            for (int64_t j = 0; j < n; j++) {
                x[j] = (float)(j % 5) / 4;
            }
            fl_rng_init(&rng, 1, "shift", "case", 0);
            check_ok(data_shift_apply(&chain, x, &shapes[k], &rng, &err), err);
            for (int64_t j = 0; j < n; j++) {
                check(x[j] >= 0 && x[j] <= 1);
            }
            free(x);
        }
    }
}

static void colours_need_a_colour_image(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st;
    fl_rng rng;
    float x[N];
    data_shift chain = read_chain("shift: [blur: 1, stain: 2]", &st, &err);
    make_image(x, 1);
    fl_rng_init(&rng, 1, "shift", "case", 0);
    check_fails(data_shift_apply(&chain, x, &gray, &rng, &err), FL_EUNSUPPORTED);
    check_has(err.text, "stain is for colour images of 3 channels; this one has 1");
    const nn_shape table = {1, {13}};
    check_fails(data_shift_check(&chain, &table, &err), FL_EUNSUPPORTED);
}

/* What is white stays so, and haematoxylin alone stays a single stain. */
static void another_laboratory_has_other_colours_of_the_same_stain(void **state)
{
    (void)state;
    static const double haematoxylin[3] = {0.650, 0.704, 0.286};
    float x[3 * N];
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < 3; k++) {
            x[k * N + i] = i % 2 == 0 ? 1.0f : (float)exp(-haematoxylin[k]);
        }
    }
    apply(x, 3, "stain", 5, 1);
    const double norm = sqrt(0.56 * 0.56 * 2 + 0.61 * 0.61);
    const double usual = sqrt(0.65 * 0.65 + 0.704 * 0.704 + 0.286 * 0.286);
    const double other[3] = {0.56, 0.56, 0.61};
    for (int k = 0; k < 3; k++) {
        check_near(x[k * N], 1, 1e-6);
        check_near(-log((double)x[k * N + 1]), 0.55 * usual * other[k] / norm, 1e-4);
    }
}

/* Without movement between lines there is no ghost: a still row keeps its sum. */
static void ghosts_keep_the_signal_of_a_column(void **state)
{
    (void)state;
    float x[N] = {0};
    double before = 0;
    double after = 0;
    for (int r = SIDE / 3; r < SIDE / 2; r++) {
        x[r * SIDE + 5] = 0.8f;
        before += 0.8 * 0.8;
    }
    apply(x, 1, "motion", 3, 1);
    for (int i = 0; i < N; i++) {
        check(i % SIDE == 5 || x[i] == 0);  // along the phase-encode axis alone
        after += (double)x[i] * (double)x[i];
    }
    check_near(after / before, 1, 1e-3);  // a change of phases: Parseval
}

static void thick_slices_mix_their_neighbours(void **state)
{
    (void)state;
    enum { DEPTH = 9 };
    const nn_shape shape = {4, {1, DEPTH, 2, 2}};
    fl_err err = FL_ERR_INIT;
    fl_status st;
    fl_rng rng;
    float x[DEPTH * 4] = {0};
    x[4 * 4] = 1.0f;                                                           // the middle slice
    data_shift chain = read_chain("shift: [partial_volume: 2.5]", &st, &err);  // three slices
    fl_rng_init(&rng, 1, "shift", "case", 0);
    check_ok(data_shift_apply(&chain, x, &shape, &rng, &err), err);
    for (int d = 0; d < DEPTH; d++) {
        check_near(x[d * 4], d >= 3 && d <= 5 ? 1.0 / 3 : 0, 1e-6);
        check_near(x[d * 4 + 1], 0, 0);
    }
}

static void wrong_chains_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *says;
    } cases[] = {
        {"shift: [fog: 1]", "fog"},
        {"shift: [blur: 6]", "s.yaml:1: shift[0].blur: expected a number from 0 "
                             "to 5, found 6"},
        {"shift: [blur: nan]", "found nan"},
        {"shift: [blur]", "one transform an item"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        fl_status st;
        read_chain(cases[i].yaml, &st, &err);
        check_fails(st, FL_ECONFIG);
        check_has(err.text, cases[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_is_read_and_applied),
        cmocka_unit_test(severity_zero_changes_nothing),
        cmocka_unit_test(more_severity_is_further_away),
        cmocka_unit_test(the_same_seed_gives_the_same_image),
        cmocka_unit_test(a_mask_moves_with_what_is_shown),
        cmocka_unit_test(every_slice_of_a_volume_moves_alike),
        cmocka_unit_test(a_larger_field_has_larger_pixels),
        cmocka_unit_test(one_severity_leaves_the_others_noise_alone),
        cmocka_unit_test(quantum_noise_has_the_physics_variance),
        cmocka_unit_test(rician_noise_lifts_the_dark),
        cmocka_unit_test(blur_keeps_the_mean_and_a_turn_keeps_the_centre),
        cmocka_unit_test(odd_sizes_are_fine),
        cmocka_unit_test(colours_need_a_colour_image),
        cmocka_unit_test(another_laboratory_has_other_colours_of_the_same_stain),
        cmocka_unit_test(ghosts_keep_the_signal_of_a_column),
        cmocka_unit_test(thick_slices_mix_their_neighbours),
        cmocka_unit_test(wrong_chains_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
