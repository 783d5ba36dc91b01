/*
 * test_superpixels.c - pieces of an image hang together and keep to its edges
 */
#include "explain/superpixels.h"

#include "base/rng.h"
#include "check.h"

enum { ROWS = 40, COLS = 56, N = ROWS * COLS };

/* Pixels that can be reached from the first of a piece, within it. */
static size_t reached(const int32_t *piece, int32_t which)
{
    static size_t stack[N];
    static bool seen[N];
    size_t n = 0;
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < N; i++) {
        if (piece[i] == which) {
            stack[n++] = i;
            seen[i] = true;
            break;
        }
    }
    for (size_t at = 0; at < n; at++) {
        size_t i = stack[at], row = i / COLS, col = i % COLS;
        const size_t next[4] = {row > 0 ? i - COLS : i, row + 1 < ROWS ? i + COLS : i,
                                col > 0 ? i - 1 : i, col + 1 < COLS ? i + 1 : i};
        for (int k = 0; k < 4; k++) {
            if (!seen[next[k]] && piece[next[k]] == which) {
                seen[next[k]] = true;
                stack[n++] = next[k];
            }
        }
    }
    return n;
}

static void pieces_hang_together_and_cover_the_image(void **state)
{
    (void)state;
    static float x[3 * N];
    static int32_t piece[N];
    fl_rng rng;
    fl_rng_init(&rng, 5, "superpixels", "", 0);
    for (int64_t channels = 1; channels <= 3; channels += 2) {
        for (int64_t i = 0; i < channels * N; i++) {
            x[i] = (float)(0.5 + 0.3 * sin(0.2 * (double)(i % COLS)) + 0.1 * fl_rng_uniform(&rng));
        }
        size_t n = explain_superpixels(piece, x, channels, ROWS, COLS, 30), covered = 0;
        check(n >= 10 && n <= 60);
        for (size_t k = 0; k < n; k++) {
            size_t size = 0;
            for (size_t i = 0; i < N; i++) {
                size += piece[i] == (int32_t)k;
            }
            check(size > 0);
            check_int(reached(piece, (int32_t)k), size);
            covered += size;
        }
        check_int(covered, N);
    }
}

/* No piece holds much of both sides of an edge that runs between the centres. */
static void pieces_keep_to_edges(void **state)
{
    (void)state;
    static float x[N];
    static int32_t piece[N];
    for (size_t i = 0; i < N; i++) {
        x[i] = i % COLS + i / COLS / 4 < 25 ? 0.2f : 0.7f;
    }
    size_t n = explain_superpixels(piece, x, 1, ROWS, COLS, 20), wrong = 0;
    for (size_t k = 0; k < n; k++) {
        size_t dark = 0, bright = 0;
        for (size_t i = 0; i < N; i++) {
            dark += piece[i] == (int32_t)k && x[i] < 0.5f;
            bright += piece[i] == (int32_t)k && x[i] > 0.5f;
        }
        wrong += dark < bright ? dark : bright;
    }
    check(wrong <= N / 100);
}

static void one_piece_is_the_image(void **state)
{
    (void)state;
    static float x[N];
    static int32_t piece[N];
    check_int(explain_superpixels(piece, x, 1, ROWS, COLS, 1), 1);
    check_int(explain_superpixels(piece, x, 1, 1, 1, 50), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_hang_together_and_cover_the_image),
        cmocka_unit_test(pieces_keep_to_edges),
        cmocka_unit_test(one_piece_is_the_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
