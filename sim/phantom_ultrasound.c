/*
 * phantom_ultrasound.c - a breast lesion in B-mode, benign or malignant
 *
 * Echoes come from scatterers much smaller than the beam: the received field is a
 * complex Gaussian weighted by the tissue's reflectivity and blurred by the beam,
 * wider across than along; its magnitude is speckle (Rayleigh), shown on a
 * logarithmic scale.  Sound weakens with depth.
 *
 * Benign lesions are smooth, wider than tall, with a capsule, and brighten what
 * lies behind; malignant ones are irregular, taller than wide, with a halo, and
 * cast a shadow.  As with real ones each sign has exceptions: all depend on a
 * degree of malignancy, each with its own variation.  The probe is at the top.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "sim/phantom_draw.h"

enum { WAVES = 8, N_SEPTA = 5 };

typedef struct {
    double skin, fat, muscle;  // depths of the layers' borders
    double tilt;
    double septum[N_SEPTA], slope[N_SEPTA];  // bright lines in the fat
    draw_noise coarse, fine;
    double x, y, rx, ry, turn;  // lesion
    double wave[WAVES], phase[WAVES];
    double dark;                   // decibels below the gland
    double capsule, halo, behind;  // decibels
    double attenuation;            // decibels at the bottom
} section;

static void draw_lesion(section *s, double m, fl_rng *rng)
{
    double r = fl_rng_range(rng, 0.20, 0.40);
    double tall = exp(0.55 * (m - 0.62) + 0.16 * fl_rng_normal(rng));  // height by width
    s->rx = r / sqrt(tall);
    s->ry = r * sqrt(tall);
    s->x = fl_rng_range(rng, -0.35, 0.35);
    s->y = fl_rng_range(rng, -0.25, 0.10);
    s->turn = fl_rng_range(rng, -0.25, 0.25);
    double rough = fmax(0.02 + 0.20 * m + 0.05 * fl_rng_normal(rng), 0.01);
    for (int w = 0; w < WAVES; w++) {
        s->wave[w] = rough * fl_rng_normal(rng) / sqrt(w + 1.0);
        s->phase[w] = fl_rng_range(rng, 0, 2 * PHANTOM_PI);
    }
    s->dark = 9 + 5 * m + 2.0 * fl_rng_normal(rng);
    s->capsule = fmax(7 * (1 - m) + 2 * fl_rng_normal(rng), 0);
    s->halo = fmax(6 * m + 2 * fl_rng_normal(rng), 0);
    s->behind = 7 - 15 * m + 3.5 * fl_rng_normal(rng);
}

static void draw_section(section *s, const phantom_patient *p, double malignancy, fl_rng *rng)
{
    s->skin = fl_rng_range(rng, -0.95, -0.90);
    s->fat = fl_rng_range(rng, -0.65, -0.45) + 0.3 * (p->body_size - 1);
    s->muscle = fl_rng_range(rng, 0.50, 0.68);
    s->tilt = fl_rng_range(rng, -0.08, 0.08);
    for (int i = 0; i < N_SEPTA; i++) {
        s->septum[i] = fl_rng_range(rng, -1.1, 1.1);
        s->slope[i] = fl_rng_range(rng, -1.5, 1.5);
    }
    draw_noise_init(&s->coarse, rng);
    draw_noise_init(&s->fine, rng);
    s->attenuation = fl_rng_range(rng, 8, 16);
    draw_lesion(s, malignancy, rng);
}

/* Distance from the lesion's centre in units of its outline. */
static double lesion_at(const section *s, double x, double y)
{
    double dx = x - s->x, dy = y - s->y, c = cos(s->turn), n = sin(s->turn);
    double u = (dx * c + dy * n) / s->rx, v = (-dx * n + dy * c) / s->ry;
    double angle = atan2(v, u), outline = 1;
    for (int w = 0; w < WAVES; w++) {
        outline += s->wave[w] * cos((w + 2) * angle + s->phase[w]);
    }
    return hypot(u, v) / fmax(outline, 0.3);
}

/* Reflectivity in decibels relative to the gland's. */
static double echo_at(const section *s, double x, double y)
{
    double bent = y + s->tilt * x + 0.06 * draw_fractal_at(&s->coarse, x, y, 1.5, 2);
    double gland = 2.5 * draw_fractal_at(&s->coarse, x, 1.6 * y, 3, 3);
    double db = gland;
    double fat = -9 + 1.5 * draw_fractal_at(&s->fine, x, y, 4, 2);
    for (int i = 0; i < N_SEPTA; i++) {
        double off = y - (s->fat - 0.3) - s->slope[i] * (x - s->septum[i]);
        fat += 9 * exp(-off * off / 0.0012);
    }
    db = draw_mix(db, fat, draw_smoothstep(s->fat + 0.03, s->fat - 0.03, bent));
    db = draw_mix(db, 8, draw_smoothstep(s->skin + 0.03, s->skin, y));
    double fibres = -6 +
                    7 * draw_smoothstep(0.2, 0.9,
                                        sin(48 * bent + 6 * draw_noise_at(&s->fine, 2 * x, 2 * y)));
    db = draw_mix(db, fibres, draw_smoothstep(s->muscle - 0.02, s->muscle + 0.02, bent));
    db += 9 * exp(-pow((bent - s->muscle) / 0.018, 2));
    double r = lesion_at(s, x, y);
    db += s->halo * exp(-pow((r - 1.18) / 0.16, 2));
    db = draw_mix(db, -s->dark + 1.5 * draw_fractal_at(&s->fine, x, y, 5, 2),
                  draw_smoothstep(1.05, 0.95, r));
    return db + s->capsule * exp(-pow((r - 1.0) / 0.05, 2));
}

/* Decibels that the beam has gained or lost on its way. */
static double beam_at(const section *s, double x, double y)
{
    double db = -s->attenuation * (y + 1) / 2;
    double across = fabs(x - s->x) / s->rx;
    double below = draw_smoothstep(s->y + 0.2 * s->ry, s->y + 1.3 * s->ry, y);
    return db + s->behind * below * draw_smoothstep(1.2, 0.3, across);
}

/* Magnitude of the received field, white at `top` decibels over a range of 46. */
static void receive(float *image, const section *s, int64_t size, fl_rng *rng)
{
    enum { RANGE_DB = 46, TOP_DB = 12 };
    int64_t n = size * size;
    float *field[2];
    double across = 0.020 * (double)size / 2, along = 0.009 * (double)size / 2;  // pixels
    for (int part = 0; part < 2; part++) {
        field[part] = fl_xcalloc((size_t)n, sizeof **field);
        for (int64_t i = 0; i < n; i++) {
            field[part][i] = (float)fl_rng_normal(rng);
        }
    }
    for (int64_t i = 0; i < n; i++) {
        double x = draw_centre(i % size, size), y = draw_centre(i / size, size);
        float gain = (float)pow(10, (echo_at(s, x, y) + beam_at(s, x, y)) / 20);
        field[0][i] *= gain;
        field[1][i] *= gain;
    }
    /* The blur averages independent scatterers: their power falls by the beam's area. */
    double area = fmax(1, 2 * sqrt(PHANTOM_PI) * across) * fmax(1, 2 * sqrt(PHANTOM_PI) * along);
    for (int part = 0; part < 2; part++) {
        draw_blur(field[part], size, size, along, across);
    }
    for (int64_t i = 0; i < n; i++) {
        double power = ((double)field[0][i] * (double)field[0][i] +
                        (double)field[1][i] * (double)field[1][i]) *
                       area / 2;
        double db = 10 * log10(power + 1e-5);
        image[i] = draw_unit((db - TOP_DB + RANGE_DB) / RANGE_DB);
    }
    free(field[0]);
    free(field[1]);
}

static void render(phantom_case *out, double difficulty, const phantom_population *population,
                   fl_rng *rng)
{
    section s;
    phantom_draw_patient(&out->patient, population, rng);
    double away = 0.40 - 0.25 * difficulty;
    double malignancy = 0.5 + (out->patient.code == 1 ? away : -away) + 0.12 * fl_rng_normal(rng);
    malignancy = fmin(fmax(malignancy, 0), 1);
    out->patient.conspicuity[0] = fmin(fabs(malignancy - 0.5) / 0.5, 1);
    draw_section(&s, &out->patient, malignancy, rng);
    receive(out->image, &s, out->size, rng);
    for (int64_t i = 0; i < out->size * out->size && out->mask != NULL; i++) {
        double r = lesion_at(&s, draw_centre(i % out->size, out->size),
                             draw_centre(i / out->size, out->size));
        out->mask[i] = r < 1 ? 1.0f : 0.0f;
    }
}

const phantom_ops phantom_ultrasound_lesion = {
    .name = "ultrasound",
    .task = "lesion",
    .help = "breast ultrasound; a lesion, benign or malignant",
    .source = "fully developed speckle of a blurred complex Gaussian field, log compression",
    .classes = {"benign", "malignant", NULL},
    .structure = "lesion",
    .mask_everybody = true,
    .n_channels = 1,
    .difficulty = 0.5,
    .confused = {1, 0},
    .render = render,
};
