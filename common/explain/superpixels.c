/*
 * superpixels.c - see superpixels.h
 */
#include "explain/superpixels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { ITERATIONS = 10 };
static const double compactness = 10;  // m of the paper; colours run to 100

typedef struct {
    int64_t channels, rows, cols, n;  // n = rows * cols
    double *colour;                   // (n, channels)
    double step;                      // S, between centres
} picture;

static double linear(double s)
{
    return s <= 0.04045 ? s / 12.92 : pow((s + 0.055) / 1.055, 2.4);
}

static double lab_curve(double t)
{
    return t > 216.0 / 24389 ? cbrt(t) : (24389.0 / 27 * t + 16) / 116;
}

/* sRGB to CIELAB under D65. */
static void to_lab(double lab[static 3], double r, double g, double b)
{
    r = linear(r);
    g = linear(g);
    b = linear(b);
    double x = lab_curve((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047);
    double y = lab_curve(0.2126729 * r + 0.7151522 * g + 0.0721750 * b);
    double z = lab_curve((0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883);
    lab[0] = 116 * y - 16;
    lab[1] = 500 * (x - y);
    lab[2] = 200 * (y - z);
}

static void colours_of(picture *p, const float *image)
{
    for (int64_t i = 0; i < p->n; i++) {
        double *c = p->colour + i * p->channels;
        if (p->channels == 3) {
            to_lab(c, (double)image[i], (double)image[p->n + i], (double)image[2 * p->n + i]);
            continue;
        }
        for (int64_t k = 0; k < p->channels; k++) {
            c[k] = 100 * (double)image[k * p->n + i];
        }
    }
}

/* Centres are (channels + 2): colour, row, col. */
static size_t place_centres(double *centre, const picture *p, size_t down, size_t across)
{
    int64_t C = p->channels;
    size_t n = 0;
    for (size_t i = 0; i < down; i++) {
        for (size_t j = 0; j < across; j++, n++) {
            double *c = centre + (int64_t)n * (C + 2);
            int64_t row = (int64_t)(((double)i + 0.5) * (double)p->rows / (double)down);
            int64_t col = (int64_t)(((double)j + 0.5) * (double)p->cols / (double)across);
            memcpy(c, p->colour + (row * p->cols + col) * C, (size_t)C * sizeof *c);
            c[C] = (double)row;
            c[C + 1] = (double)col;
        }
    }
    return n;
}

/* D'^2 = d_c^2 + (d_s / S)^2 m^2 (equation 3, squared). */
static double apart2(const picture *p, const double *centre, int64_t row, int64_t col)
{
    int64_t C = p->channels;
    const double *colour = p->colour + (row * p->cols + col) * C;
    double d2 = 0;
    for (int64_t k = 0; k < C; k++) {
        d2 += (colour[k] - centre[k]) * (colour[k] - centre[k]);
    }
    double y = ((double)row - centre[C]) / p->step, x = ((double)col - centre[C + 1]) / p->step;
    return d2 + compactness * compactness * (x * x + y * y);
}

static int64_t within(double v, int64_t n)
{
    return v < 0 ? 0 : v > (double)(n - 1) ? n - 1 : (int64_t)v;
}

static void assign(int32_t *piece, double *best, const picture *p, const double *centre, size_t n)
{
    int64_t C = p->channels;
    for (int64_t i = 0; i < p->n; i++) {
        best[i] = INFINITY;
    }
    for (size_t k = 0; k < n; k++) {
        const double *c = centre + (int64_t)k * (C + 2);
        for (int64_t r = within(c[C] - p->step, p->rows); r <= within(c[C] + p->step, p->rows);
             r++) {
            for (int64_t q = within(c[C + 1] - p->step, p->cols);
                 q <= within(c[C + 1] + p->step, p->cols); q++) {
                double d = apart2(p, c, r, q);
                if (d < best[r * p->cols + q]) {
                    best[r * p->cols + q] = d;
                    piece[r * p->cols + q] = (int32_t)k;
                }
            }
        }
    }
}

static void move_centres(double *centre, const picture *p, const int32_t *piece, size_t n)
{
    int64_t C = p->channels;
    double *sum = fl_xcalloc(n * (size_t)(C + 3), sizeof *sum);
    for (int64_t i = 0; i < p->n; i++) {
        double *s = sum + piece[i] * (C + 3);
        for (int64_t k = 0; k < C; k++) {
            s[k] += p->colour[i * C + k];
        }
        s[C] += (double)(i / p->cols);
        s[C + 1] += (double)(i % p->cols);
        s[C + 2]++;
    }
    for (size_t k = 0; k < n; k++) {
        const double *s = sum + (int64_t)k * (C + 3);
        for (int64_t j = 0; j < C + 2 && s[C + 2] > 0; j++) {
            centre[(int64_t)k * (C + 2) + j] = s[j] / s[C + 2];
        }
    }
    free(sum);
}

/* The connected pixels of one piece from start, into stack; beside: a neighbour that is
 * done already, or -1. */
static int64_t flood(int64_t *stack, int32_t *done, int32_t *beside, const picture *p,
                     const int32_t *piece, int64_t start, int32_t number)
{
    int64_t n = 0;
    *beside = -1;
    stack[n++] = start;
    done[start] = number;
    for (int64_t at = 0; at < n; at++) {
        int64_t i = stack[at], row = i / p->cols, col = i % p->cols;
        const int64_t next[4] = {row > 0 ? i - p->cols : -1, row + 1 < p->rows ? i + p->cols : -1,
                                 col > 0 ? i - 1 : -1, col + 1 < p->cols ? i + 1 : -1};
        for (int k = 0; k < 4; k++) {
            if (next[k] < 0) {
                continue;
            }
            if (done[next[k]] < 0 && piece[next[k]] == piece[start]) {
                done[next[k]] = number;
                stack[n++] = next[k];
            } else if (done[next[k]] >= 0 && done[next[k]] != number) {
                *beside = done[next[k]];
            }
        }
    }
    return n;
}

/* Numbers connected pieces; those below a quarter of the usual size join one beside them. */
static size_t connect(int32_t *piece, const picture *p)
{
    int32_t *done = fl_xcalloc((size_t)p->n, sizeof *done);
    int64_t *stack = fl_xcalloc((size_t)p->n, sizeof *stack);
    int32_t number = 0;
    for (int64_t i = 0; i < p->n; i++) {
        done[i] = -1;
    }
    for (int64_t i = 0; i < p->n; i++) {
        int32_t beside;
        if (done[i] >= 0) {
            continue;
        }
        int64_t size = flood(stack, done, &beside, p, piece, i, number);
        if ((double)size < p->step * p->step / 4 && beside >= 0) {
            for (int64_t k = 0; k < size; k++) {
                done[stack[k]] = beside;
            }
        } else {
            number++;
        }
    }
    memcpy(piece, done, (size_t)p->n * sizeof *piece);
    free(stack);
    free(done);
    return (size_t)number;
}

size_t explain_superpixels(int32_t *piece, const float *image, int64_t channels, int64_t rows,
                           int64_t cols, size_t wanted)
{
    picture p = {channels, rows, cols, rows * cols, NULL, 0};
    FL_REQUIRE(channels > 0 && rows > 0 && cols > 0 && wanted > 0);
    p.step = fmax(1, sqrt((double)p.n / (double)wanted));
    size_t down = (size_t)fmax(1, round((double)rows / p.step));
    size_t across = (size_t)fmax(1, round((double)cols / p.step));
    // Windows of 2 S must reach over the gaps that rounding leaves.
    p.step = fmax(p.step, fmax((double)rows / (double)down, (double)cols / (double)across));
    p.colour = fl_xcalloc((size_t)p.n * (size_t)channels, sizeof *p.colour);
    double *centre = fl_xcalloc(down * across * (size_t)(channels + 2), sizeof *centre);
    double *best = fl_xcalloc((size_t)p.n, sizeof *best);
    memset(piece, 0, (size_t)p.n * sizeof *piece);
    colours_of(&p, image);
    size_t n = place_centres(centre, &p, down, across);
    for (int i = 0; i < ITERATIONS; i++) {
        assign(piece, best, &p, centre, n);
        move_centres(centre, &p, piece, n);
    }
    n = connect(piece, &p);
    free(best);
    free(centre);
    free(p.colour);
    return n;
}
