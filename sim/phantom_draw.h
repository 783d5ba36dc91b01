/*
 * phantom_draw.h - what anatomies are drawn with; known to phantoms only
 *
 * Coordinates are in [-1, 1] across the picture, y down, z from the first slice
 * to the last.
 */
#ifndef SIM_PHANTOM_DRAW_H
#define SIM_PHANTOM_DRAW_H

#include <math.h>

#include "base/rng.h"
#include "sim/phantom.h"

#define PHANTOM_PI 3.14159265358979323846

enum { PHANTOM_CELLS = 16, PHANTOM_CELLS3 = 8 };

/* 0 below a, 1 above b, smooth between; a > b falls. */
static inline double draw_smoothstep(double a, double b, double x)
{
    double t = (x - a) / (b - a);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * (3 - 2 * t);
}

static inline double draw_mix(double a, double b, double t)
{
    return a + (b - a) * t;
}

static inline float draw_unit(double v)
{
    return v > 0 ? (v < 1 ? (float)v : 1.0f) : 0.0f;
}

/* Centre of pixel i of n. */
static inline double draw_centre(int64_t i, int64_t n)
{
    return 2.0 * ((double)i + 0.5) / (double)n - 1;
}

/* --- noise --- */

/* Value noise on a periodic lattice, about -1 to 1; one cell is 1 wide. */
typedef struct {
    double at[PHANTOM_CELLS * PHANTOM_CELLS];
} draw_noise;
typedef struct {
    double at[PHANTOM_CELLS3 * PHANTOM_CELLS3 * PHANTOM_CELLS3];
} draw_noise3;

void draw_noise_init(draw_noise *out, fl_rng *rng);
void draw_noise3_init(draw_noise3 *out, fl_rng *rng);
double draw_noise_at(const draw_noise *noise, double x, double y);
double draw_noise3_at(const draw_noise3 *noise, double x, double y, double z);
/* Octaves of halving size and weight, the first with cells 1 / frequency wide. */
double draw_fractal_at(const draw_noise *noise, double x, double y, double frequency, int octaves);
double draw_fractal3_at(const draw_noise3 *noise, double x, double y, double z, double frequency,
                        int octaves);

/* --- shapes --- */

typedef struct {
    double x, y, rx, ry, cos_t, sin_t;
} draw_ellipse;

/* Distance from the centre in units of the radius. */
double draw_ellipse_at(const draw_ellipse *e, double x, double y);

/* A ball whose surface noise has bent. */
typedef struct {
    double x, y, z, rx, ry, rz;
    double bend;       // of the radius: 0 smooth
    double frequency;  // of the bends
    double offset;     // where in the noise
} draw_ball;

/* Distance from the centre in units of the (bent) radius. */
double draw_ball_at(const draw_ball *b, const draw_noise3 *noise, double x, double y, double z);

/* Convolves (rows, cols) with a Gaussian of sigma pixels; edges are repeated. */
void draw_blur(float *x, int64_t rows, int64_t cols, double sigma_rows, double sigma_cols);

#endif
