/*
 * shift_stain.c - colours of a stained slide
 *
 * Light through a slide is absorbed by each stain in proportion to its amount
 * (Beer-Lambert): the optical density -log(x) is a sum of the stains' colours.
 * Ruifrok & Johnston 2001 turn that round to find the amounts, which another
 * laboratory then has in other colours and strengths.
 */
#include <math.h>

#include "data/shift_family.h"

enum { STAINS = 3 };

/* Optical densities of haematoxylin and eosin in red, green, blue
 * (Ruifrok & Johnston 2001), and how far another laboratory's may be. */
static const double usual[2][STAINS] = {{0.650, 0.704, 0.286}, {0.072, 0.990, 0.105}};
static const double other[2][STAINS] = {{0.560, 0.560, 0.610}, {0.180, 0.780, 0.600}};
static const double strength[2] = {0.55, 1.7};  // of the amounts, at severity 5

static void normalise(double v[STAINS])
{
    double norm = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    for (int k = 0; k < STAINS; k++) {
        v[k] /= norm;
    }
}

/* The third colour is what neither stain has. */
static void complete(double m[STAINS][STAINS])
{
    normalise(m[0]);
    normalise(m[1]);
    m[2][0] = m[0][1] * m[1][2] - m[0][2] * m[1][1];
    m[2][1] = m[0][2] * m[1][0] - m[0][0] * m[1][2];
    m[2][2] = m[0][0] * m[1][1] - m[0][1] * m[1][0];
    normalise(m[2]);
}

static void invert(double out[STAINS][STAINS], double m[STAINS][STAINS])
{
    double cofactor[STAINS][STAINS];
    for (int i = 0; i < STAINS; i++) {
        for (int j = 0; j < STAINS; j++) {
            int a = (i + 1) % STAINS, b = (i + 2) % STAINS;
            int c = (j + 1) % STAINS, d = (j + 2) % STAINS;
            cofactor[i][j] = m[a][c] * m[b][d] - m[a][d] * m[b][c];
        }
    }
    double determinant = m[0][0] * cofactor[0][0] + m[0][1] * cofactor[0][1] +
                         m[0][2] * cofactor[0][2];
    for (int i = 0; i < STAINS; i++) {
        for (int j = 0; j < STAINS; j++) {
            out[j][i] = cofactor[i][j] / determinant;
        }
    }
}

static void stain(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    static const double darkest = 1.0 / 255;
    double part = severity / 5;
    double from[STAINS][STAINS], to[STAINS][STAINS], amounts[STAINS][STAINS];
    for (int s = 0; s < 2; s++) {
        for (int k = 0; k < STAINS; k++) {
            from[s][k] = usual[s][k];
            to[s][k] = usual[s][k] + part * (other[s][k] - usual[s][k]);
        }
    }
    complete(from);
    complete(to);
    invert(amounts, from);
    int64_t plane = image->depth * image->rows * image->cols;
    for (int64_t i = 0; i < plane; i++) {
        double density[STAINS], amount[STAINS];
        for (int k = 0; k < STAINS; k++) {
            density[k] = -log(fmax((double)image->x[k * plane + i], darkest));
        }
        for (int s = 0; s < STAINS; s++) {
            amount[s] = density[0] * amounts[0][s] + density[1] * amounts[1][s] +
                        density[2] * amounts[2][s];
            amount[s] *= s < 2 ? 1 + part * (strength[s] - 1) : 1;
        }
        for (int k = 0; k < STAINS; k++) {
            double sum = amount[0] * to[0][k] + amount[1] * to[1][k] + amount[2] * to[2][k];
            image->x[k * plane + i] = data_shift_unit(exp(-sum));
        }
    }
}

/* A camera's colours: warmer white, less saturated. */
static void colour(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    static const double luma[STAINS] = {0.299, 0.587, 0.114};
    static const double white[STAINS] = {1.0, 0.86, 0.62};  // at severity 5
    double part = severity / 5;
    int64_t plane = image->depth * image->rows * image->cols;
    for (int64_t i = 0; i < plane; i++) {
        double gray = 0;
        for (int k = 0; k < STAINS; k++) {
            gray += luma[k] * (double)image->x[k * plane + i];
        }
        for (int k = 0; k < STAINS; k++) {
            double pale = (double)image->x[k * plane + i];
            pale += 0.5 * part * (gray - pale);
            image->x[k * plane + i] = data_shift_unit(pale * (1 + part * (white[k] - 1)));
        }
    }
}

const data_shift_ops data_shift_stain[] = {
    {"stain", "stain", "another laboratory's H&E; 5: bluish eosin 1.7 times, haematoxylin 0.55",
     true, stain, false},
    {"colour", "stain", "a camera's colours; 5: white (1, 0.86, 0.62), half saturated", true,
     colour, false},
    {0},
};
