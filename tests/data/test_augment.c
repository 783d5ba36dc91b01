/*
 * test_augment.c - augmentation: what it does to an image, its mask and nothing else
 */
#include "data/augment.h"

#include "data/dataset.h"
#include "fixture.h"

enum { H = 12, W = 16, N = H * W };

static const nn_shape shape = {3, {1, H, W}};

static void ramp(float *x, uint8_t *mask)
{
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i % W) / (W - 1);
        mask[i] = (uint8_t)(i / W < 3 ? 1 : 0);
    }
}

static fl_rng stream(uint64_t i)
{
    fl_rng rng;
    fl_rng_init(&rng, 1, "augment", "a case", i);
    return rng;
}

static data_augment augment_of(const char *text)
{
    fl_err err = FL_ERR_INIT;
    data_augment a;
    check_ok(data_augment_parse(&a, text, &err), err);
    return a;
}

static void keys_are_read_and_nonsense_refused(void **state)
{
    (void)state;
    data_augment a = augment_of("{flip: [horizontal, vertical], rotate: 10, shift: 0.1, scale: 0.2, "
                          "gamma: 0.3, noise: 0.05}");
    check(a.flip_horizontal && a.flip_vertical && data_augment_does_something(&a));
    check_near(a.rotate, 10, 0);
    check_near(a.noise, 0.05, 0);
    a = augment_of("{flip: horizontal}");
    check(a.flip_horizontal && !a.flip_vertical);
    a = augment_of("{}");
    check(!data_augment_does_something(&a));
    static const char *const bad[][2] = {{"{flip: sideways}", "expected horizontal or vertical"},
                                         {"{rotate: 200}", "rotate"},
                                         {"{spin: 3}", "spin"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fl_err err = FL_ERR_INIT;
        check_fails(data_augment_parse(&a, bad[i][0], &err), FL_ECONFIG);
        check_has(err.text, bad[i][1]);
    }
}

static void nothing_asked_changes_nothing(void **state)
{
    (void)state;
    float x[N], before[N], scratch[N];
    uint8_t mask[N], drawn[N];
    const data_augment none = {.rotate = 0};
    ramp(x, mask);
    memcpy(before, x, sizeof x);
    memcpy(drawn, mask, sizeof mask);
    fl_rng rng = stream(0);
    data_augment_apply(&none, x, mask, &shape, &rng, scratch);
    check_bytes(x, before, sizeof x);
    check_bytes(mask, drawn, sizeof mask);
}

/* Half of them, exactly mirrored, the mask with the image. */
static void flips_mirror_image_and_mask_alike(void **state)
{
    (void)state;
    data_augment a = augment_of("{flip: [horizontal, vertical]}");
    int n_across = 0, n_down = 0;
    for (uint64_t k = 0; k < 200; k++) {
        float x[N], before[N], scratch[N];
        uint8_t mask[N], drawn[N];
        ramp(x, mask);
        memcpy(before, x, sizeof x);
        memcpy(drawn, mask, sizeof mask);
        fl_rng rng = stream(k);
        data_augment_apply(&a, x, mask, &shape, &rng, scratch);
        bool across = x[0] > 0.5f, down = mask[0] == 0;
        n_across += across;
        n_down += down;
        for (int r = 0; r < H; r++) {
            for (int c = 0; c < W; c++) {
                int from = (down ? H - 1 - r : r) * W + (across ? W - 1 - c : c);
                check_near(x[r * W + c], before[from], 1e-6);
                check_int(mask[r * W + c], drawn[from]);
            }
        }
    }
    assert_in_range(n_across, 70, 130);
    assert_in_range(n_down, 70, 130);
}

/* A disc in the middle is turned into itself, wherever it is turned. */
static void a_rotation_turns_about_the_middle(void **state)
{
    (void)state;
    enum { SIDE = 33 };
    static float x[SIDE * SIDE], scratch[SIDE * SIDE];
    static uint8_t mask[SIDE * SIDE];
    const nn_shape square = {3, {1, SIDE, SIDE}};
    data_augment a = augment_of("{rotate: 180}");
    for (uint64_t k = 0; k < 20; k++) {
        int before = 0, apart = 0, corner = 0;
        for (int i = 0; i < SIDE * SIDE; i++) {
            int r = i / SIDE - SIDE / 2, c = i % SIDE - SIDE / 2;
            mask[i] = r * r + c * c <= 100;
            x[i] = mask[i];
            before += mask[i];
        }
        mask[SIDE + 3] = 2;
        fl_rng rng = stream(k);
        data_augment_apply(&a, x, mask, &square, &rng, scratch);
        for (int i = 0; i < SIDE * SIDE; i++) {
            int r = i / SIDE - SIDE / 2, c = i % SIDE - SIDE / 2;
            corner += mask[i] == 2;
            apart += mask[i] != 2 && mask[i] != (r * r + c * c <= 100);
            check(fabs((double)x[i] - (mask[i] == 1)) <= 0.75 || mask[i] == 2);
        }
        assert_in_range(apart, 0, before / 8);  // the rim, by nearest neighbour
        assert_in_range(corner, 0, 2);
    }
}

static void shifts_and_scalings_keep_what_they_say(void **state)
{
    (void)state;
    data_augment shift = augment_of("{shift: 0.25}"), scale = augment_of("{scale: 0.5}");
    double most_shift = 0, least = 1e9, most = 0;
    for (uint64_t k = 0; k < 100; k++) {
        float x[N], scratch[N];
        uint8_t mask[N];
        ramp(x, mask);
        fl_rng rng = stream(k);
        data_augment_apply(&shift, x, mask, &shape, &rng, scratch);
        // Columns of the ramp moved by so much, of 16: at most 4.
        double moved = (double)((W / 2) - x[W / 2] * (W - 1));
        most_shift = fmax(most_shift, fabs(moved));
        ramp(x, mask);
        data_augment_apply(&scale, x, mask, &shape, &rng, scratch);
        double slope = (double)(x[W / 2 + 1] - x[W / 2 - 1]) / 2 * (W - 1);
        least = fmin(least, slope);
        most = fmax(most, slope);
    }
    check(most_shift > 2.5 && most_shift <= 4 + 1e-4);
    check(least > 1 / 1.5 - 1e-3 && least < 0.8);
    check(most < 1.5 + 1e-3 && most > 1.25);
}

static void gamma_and_noise_leave_masks_and_stay_in_range(void **state)
{
    (void)state;
    data_augment a = augment_of("{gamma: 1, noise: 0.3}");
    double sum = 0;
    for (uint64_t k = 0; k < 30; k++) {
        float x[N], scratch[N];
        uint8_t mask[N], drawn[N];
        ramp(x, mask);
        memcpy(drawn, mask, sizeof mask);
        fl_rng rng = stream(k);
        data_augment_apply(&a, x, mask, &shape, &rng, scratch);
        check_bytes(mask, drawn, sizeof mask);
        for (int i = 0; i < N; i++) {
            check(x[i] >= 0 && x[i] <= 1);
            sum += fabs((double)x[i] - (double)(i % W) / (W - 1));
        }
    }
    check(sum / (30 * N) > 0.02);
}

/* Slices of a volume move together. */
static void a_volume_moves_as_one(void **state)
{
    (void)state;
    static float x[3 * N], scratch[3 * N];
    static uint8_t mask[3 * N];
    const nn_shape volume = {4, {1, 3, H, W}};
    data_augment a = augment_of("{flip: horizontal, rotate: 20, shift: 0.1, scale: 0.1}");
    for (int d = 0; d < 3; d++) {
        ramp(x + d * N, mask + d * N);
    }
    fl_rng rng = stream(3);
    data_augment_apply(&a, x, mask, &volume, &rng, scratch);
    check_bytes(x + N, x, N * sizeof *x);
    check_bytes(mask + 2 * N, mask, N);
}

/* The batch of a set: same names, same bits; another epoch, other ones. */
static void batches_repeat_by_their_names(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = check_tmpdir();
    fixture_images(dir, 4, "task: classify\nclasses: {a: 0, b: 1}\n"
                           "preprocess: [normalise: zscore]\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    data_augment a = augment_of("{flip: horizontal, rotate: 15, gamma: 0.2, noise: 0.1}");
    const size_t index[] = {2, 0}, alone[] = {0};
    float x[2 * 64], y[2 * 64], z[64], scratch[64];
    data_set_batch_augmented(s, &a, 5, "north", 3, index, 2, x, NULL, scratch);
    data_set_batch_augmented(s, &a, 5, "north", 3, index, 2, y, NULL, scratch);
    check_bytes(x, y, sizeof x);
    data_set_batch_augmented(s, &a, 5, "north", 3, alone, 1, z, NULL, scratch);
    check_bytes(z, x + 64, sizeof z);  // whatever batch it is in
    double mean = 0;
    for (int i = 0; i < 64; i++) {
        mean += z[i];
    }
    check_near(mean / 64, 0, 1e-5);  // normalised after it
    static const struct {
        uint64_t seed, epoch;
        const char *site;
    } others[] = {{6, 3, "north"}, {5, 4, "north"}, {5, 3, "south"}};
    for (size_t i = 0; i < 3; i++) {
        data_set_batch_augmented(s, &a, others[i].seed, others[i].site, others[i].epoch, alone, 1,
                                 y, NULL, scratch);
        check(memcmp(z, y, sizeof z) != 0);
    }
    data_set_destroy(&s);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_read_and_nonsense_refused),
        cmocka_unit_test(nothing_asked_changes_nothing),
        cmocka_unit_test(flips_mirror_image_and_mask_alike),
        cmocka_unit_test(a_rotation_turns_about_the_middle),
        cmocka_unit_test(shifts_and_scalings_keep_what_they_say),
        cmocka_unit_test(gamma_and_noise_leave_masks_and_stay_in_range),
        cmocka_unit_test(a_volume_moves_as_one),
        cmocka_unit_test(batches_repeat_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
