/*
 * phantom_draw.c - see phantom_draw.h
 */
#include "sim/phantom_draw.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void draw_noise_init(draw_noise *out, fl_rng *rng)
{
    for (size_t i = 0; i < sizeof out->at / sizeof *out->at; i++) {
        out->at[i] = fl_rng_range(rng, -1, 1);
    }
}

void draw_noise3_init(draw_noise3 *out, fl_rng *rng)
{
    for (size_t i = 0; i < sizeof out->at / sizeof *out->at; i++) {
        out->at[i] = fl_rng_range(rng, -1, 1);
    }
}

double draw_noise_at(const draw_noise *noise, double x, double y)
{
    const double *lattice = noise->at;
    double fx = x - floor(x), fy = y - floor(y);
    int x0 = (int)floor(x) & (PHANTOM_CELLS - 1), y0 = (int)floor(y) & (PHANTOM_CELLS - 1);
    int x1 = (x0 + 1) & (PHANTOM_CELLS - 1), y1 = (y0 + 1) & (PHANTOM_CELLS - 1);
    double u = fx * fx * (3 - 2 * fx), v = fy * fy * (3 - 2 * fy);
    double top = lattice[y0 * PHANTOM_CELLS + x0] * (1 - u) + lattice[y0 * PHANTOM_CELLS + x1] * u;
    double bottom = lattice[y1 * PHANTOM_CELLS + x0] * (1 - u) +
                    lattice[y1 * PHANTOM_CELLS + x1] * u;
    return top * (1 - v) + bottom * v;
}

double draw_noise3_at(const draw_noise3 *noise, double x, double y, double z)
{
    enum { CELLS = PHANTOM_CELLS3 };
    const double p[3] = {x, y, z};
    double weight[3];
    int low[3];
    for (int k = 0; k < 3; k++) {
        double f = p[k] - floor(p[k]);
        weight[k] = f * f * (3 - 2 * f);
        low[k] = (int)floor(p[k]) & (CELLS - 1);
    }
    double sum = 0;
    for (int corner = 0; corner < 8; corner++) {
        double w = 1;
        int at[3];
        for (int k = 0; k < 3; k++) {
            bool up = corner >> k & 1;
            w *= up ? weight[k] : 1 - weight[k];
            at[k] = (low[k] + up) & (CELLS - 1);
        }
        sum += w * noise->at[(at[2] * CELLS + at[1]) * CELLS + at[0]];
    }
    return sum;
}

double draw_fractal_at(const draw_noise *noise, double x, double y, double frequency, int octaves)
{
    double sum = 0, weight = 1, total = 0;
    for (int k = 0; k < octaves; k++) {
        sum += weight * draw_noise_at(noise, frequency * x + 3.7 * k, frequency * y + 5.3 * k);
        total += weight;
        frequency *= 2;
        weight /= 2;
    }
    return sum / total;
}

double draw_fractal3_at(const draw_noise3 *noise, double x, double y, double z, double frequency,
                        int octaves)
{
    double sum = 0, weight = 1, total = 0;
    for (int k = 0; k < octaves; k++) {
        sum += weight * draw_noise3_at(noise, frequency * x + 3.7 * k, frequency * y + 5.3 * k,
                                       frequency * z + 1.9 * k);
        total += weight;
        frequency *= 2;
        weight /= 2;
    }
    return sum / total;
}

double draw_ellipse_at(const draw_ellipse *e, double x, double y)
{
    double dx = x - e->x, dy = y - e->y;
    double u = (dx * e->cos_t + dy * e->sin_t) / e->rx;
    double v = (-dx * e->sin_t + dy * e->cos_t) / e->ry;
    return sqrt(u * u + v * v);
}

double draw_ball_at(const draw_ball *b, const draw_noise3 *noise, double x, double y, double z)
{
    double u = (x - b->x) / b->rx, v = (y - b->y) / b->ry, w = (z - b->z) / b->rz;
    double r = sqrt(u * u + v * v + w * w);
    if (b->bend <= 0 || r > 2.5) {
        return r;
    }
    return r / (1 + b->bend * draw_fractal3_at(noise, u + b->offset, v, w, b->frequency, 2));
}

/* One line of n samples a stride apart. */
static void blur_line(float *out, const float *x, int64_t n, int64_t stride, double sigma)
{
    int64_t radius = (int64_t)ceil(3 * sigma);
    for (int64_t i = 0; i < n; i++) {
        double sum = 0, total = 0;
        for (int64_t k = -radius; k <= radius; k++) {
            int64_t at = i + k < 0 ? 0 : i + k >= n ? n - 1 : i + k;
            double w = exp(-0.5 * (double)(k * k) / (sigma * sigma));
            sum += w * (double)x[at * stride];
            total += w;
        }
        out[i * stride] = (float)(sum / total);
    }
}

void draw_blur(float *x, int64_t rows, int64_t cols, double sigma_rows, double sigma_cols)
{
    float *line = fl_xcalloc((size_t)(rows * cols), sizeof *line);
    memcpy(line, x, (size_t)(rows * cols) * sizeof *x);
    if (sigma_cols > 0.05) {
        for (int64_t r = 0; r < rows; r++) {
            blur_line(line + r * cols, x + r * cols, cols, 1, sigma_cols);
        }
    }
    memcpy(x, line, (size_t)(rows * cols) * sizeof *x);
    if (sigma_rows > 0.05) {
        for (int64_t c = 0; c < cols; c++) {
            blur_line(x + c, line + c, rows, cols, sigma_rows);
        }
    }
    free(line);
}
