/*
 * phantom_histology.c - a field of a slide stained with haematoxylin and eosin
 *
 * Light is absorbed by two stains (Beer-Lambert): haematoxylin in nuclei, eosin in
 * everything else.  Their colours are those of Ruifrok & Johnston 2001.  What
 * makes a tumour's grade is the nuclei: in high grade they are larger, of many
 * sizes, crowded, dark, of irregular outline, with nucleoli and mitoses.  A
 * patient has a degree of atypia from 0 to 1, on which all of these depend, each
 * with its own variation; the grade is which side of the middle it was drawn from.
 * Lymphocytes, small and dark, and gaps in the tissue are everywhere.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "sim/phantom_draw.h"

enum { MAX_NUCLEI = 220, MAX_TRIES = 4000, WAVES = 3, RGB = 3 };

static const double haematoxylin[RGB] = {0.650, 0.704, 0.286};
static const double eosin[RGB] = {0.072, 0.990, 0.105};

typedef struct {
    double x, y, r, stretch, angle;    // r: mean radius
    double wave[WAVES], phase[WAVES];  // of the outline
    double dark, clumps;               // haematoxylin inside, and how uneven
    double nucleolus;                  // radius; 0 none
    bool decoy;                        // a lymphocyte, a mitosis: no nucleus to outline
} nucleus;

typedef struct {
    nucleus nuclei[MAX_NUCLEI];
    int n;
    double fibre;  // direction of the stroma
    double pink;   // eosin
    double gaps;   // share of empty glass
    draw_noise coarse, fine;
} field;

static double jitter(fl_rng *rng, double mean, double spread)
{
    return mean * (1 + spread * fl_rng_normal(rng));
}

static bool is_free(const field *f, const nucleus *next, double room)
{
    for (int i = 0; i < f->n; i++) {
        double dx = f->nuclei[i].x - next->x, dy = f->nuclei[i].y - next->y;
        double least = room * (f->nuclei[i].r + next->r);
        if (dx * dx + dy * dy < least * least) {
            return false;
        }
    }
    return true;
}

static double gap_at(const field *f, double x, double y)
{
    double v = draw_fractal_at(&f->coarse, x, y, 1.7, 2);
    return draw_smoothstep(f->gaps - 0.08, f->gaps + 0.04, -v);
}

static void place(field *f, nucleus *next, double room, fl_rng *rng)
{
    for (int tries = 0; tries < MAX_TRIES / 40 && f->n < MAX_NUCLEI; tries++) {
        next->x = fl_rng_range(rng, -1.05, 1.05);
        next->y = fl_rng_range(rng, -1.05, 1.05);
        if (gap_at(f, next->x, next->y) < 0.3 && is_free(f, next, room)) {
            f->nuclei[f->n++] = *next;
            return;
        }
    }
}

static nucleus draw_nucleus(double atypia, double size, double spread, double dark, fl_rng *rng)
{
    nucleus k = {.r = fmin(fmax(jitter(rng, size, spread), 0.045), 0.24),
                 .stretch = fl_rng_range(rng, 1.0, 1.35 + 0.5 * atypia),
                 .angle = fl_rng_range(rng, 0, PHANTOM_PI),
                 .dark = fmax(jitter(rng, dark, 0.12 + 0.1 * atypia), 0.35),
                 .clumps = 0.10 + 0.28 * atypia * fl_rng_uniform(rng)};
    for (int w = 0; w < WAVES; w++) {
        k.wave[w] = (0.02 + 0.10 * atypia) * fl_rng_normal(rng) / (w + 1);
        k.phase[w] = fl_rng_range(rng, 0, 2 * PHANTOM_PI);
    }
    k.nucleolus = fl_rng_uniform(rng) < 0.7 * atypia ? k.r * fl_rng_range(rng, 0.18, 0.32) : 0;
    return k;
}

static void draw_field(field *f, double atypia, fl_rng *rng)
{
    f->n = 0;
    f->fibre = fl_rng_range(rng, 0, PHANTOM_PI);
    f->pink = fl_rng_range(rng, 0.38, 0.58);
    f->gaps = fl_rng_range(rng, 0.30, 0.62);
    draw_noise_init(&f->coarse, rng);
    draw_noise_init(&f->fine, rng);
    double size = jitter(rng, 0.080 + 0.045 * atypia, 0.10);
    double spread = 0.08 + 0.26 * atypia;
    double dark = jitter(rng, 0.85 + 0.45 * atypia, 0.10);
    double room = 1.25 - 0.50 * atypia + fl_rng_range(rng, -0.08, 0.08);
    int n = (int)(fl_rng_range(rng, 50, 75) + 40 * atypia);
    int n_mitoses = (int)fl_rng_poisson(rng, 1.6 * atypia * atypia);
    int n_lymphocytes = (int)fl_rng_poisson(rng, fl_rng_uniform(rng) < 0.3 ? 10 : 2);
    for (int i = 0; i < n; i++) {
        nucleus k = draw_nucleus(atypia, size, spread, dark, rng);
        place(f, &k, room, rng);
    }
    for (int i = 0; i < n_mitoses; i++) {
        nucleus k = draw_nucleus(1, 0.07, 0.2, 1.9, rng);
        k.stretch = fl_rng_range(rng, 1.6, 2.4);
        k.decoy = true;
        place(f, &k, 0.8, rng);
    }
    for (int i = 0; i < n_lymphocytes; i++) {
        nucleus k = draw_nucleus(0, 0.05, 0.08, 1.55, rng);
        k.decoy = true;
        place(f, &k, 0.9, rng);
    }
}

/* Signed distance from the outline in units of the radius: < 1 inside. */
static double nucleus_at(const nucleus *k, double x, double y)
{
    double dx = x - k->x, dy = y - k->y, c = cos(k->angle), s = sin(k->angle);
    double u = (dx * c + dy * s) / k->stretch, v = (-dx * s + dy * c) * sqrt(k->stretch);
    double angle = atan2(v, u), outline = 1;
    for (int w = 0; w < WAVES; w++) {
        outline += k->wave[w] * cos((w + 2) * angle + k->phase[w]);
    }
    return sqrt(u * u + v * v) / (k->r * outline);
}

/* Adds a nucleus to the map of haematoxylin, and takes the eosin under it. */
static void stain_nucleus(float *blue, float *pink, float *mask, int64_t size, const field *f,
                          const nucleus *k)
{
    double reach = 1.7 * k->r * k->stretch + 2.0 / (double)size;
    double edge = fmax(0.10, 1.2 / ((double)size * k->r));  // a pixel's part of the radius
    int64_t from[2], to[2];
    const double centre[2] = {k->x, k->y};
    for (int a = 0; a < 2; a++) {
        double low = (centre[a] - reach + 1) / 2 * (double)size,
               high = (centre[a] + reach + 1) / 2 * (double)size;
        from[a] = low > 0 ? (int64_t)low : 0;
        to[a] = high < (double)size ? (int64_t)ceil(high) : size;
    }
    for (int64_t j = from[1]; j < to[1]; j++) {
        for (int64_t i = from[0]; i < to[0]; i++) {
            double x = draw_centre(i, size), y = draw_centre(j, size);
            double r = nucleus_at(k, x, y);
            double inside = draw_smoothstep(1 + edge, 1 - edge, r);
            if (inside <= 0) {
                continue;
            }
            double membrane = 0.30 * draw_smoothstep(0.62, 0.95, r);
            double chromatin = k->clumps * draw_fractal_at(&f->fine, x + k->phase[0], y, 14, 2);
            double dot = 0;
            if (k->nucleolus > 0) {
                double dx = x - k->x - 0.2 * k->r, dy = y - k->y;
                dot = 0.7 * draw_smoothstep(1.3, 0.7, sqrt(dx * dx + dy * dy) / k->nucleolus);
            }
            double amount = inside * k->dark * (0.78 + membrane + 1.6 * chromatin + dot);
            int64_t at = j * size + i;
            blue[at] = (float)fmax((double)blue[at], amount);
            pink[at] *= (float)(1 - 0.6 * inside);
            if (mask != NULL && inside > 0.5 && !k->decoy) {
                mask[at] = 1;
            }
        }
    }
}

/* Cytoplasm and stroma: streaks along the fibres, empty glass in between. */
static void stain_ground(float *blue, float *pink, int64_t size, const field *f)
{
    double c = cos(f->fibre), s = sin(f->fibre);
    for (int64_t i = 0; i < size * size; i++) {
        double x = draw_centre(i % size, size), y = draw_centre(i / size, size);
        double along = draw_fractal_at(&f->coarse, 0.5 * (x * c + y * s), 2 * (-x * s + y * c), 3,
                                       3);
        double cloud = draw_fractal_at(&f->fine, x, y, 2.5, 3);
        double tissue = 1 - gap_at(f, x, y);
        pink[i] = (float)(tissue * fmax(f->pink * (1 + 0.55 * along + 0.35 * cloud), 0.05));
        blue[i] = (float)(tissue * fmax(0.10 + 0.10 * cloud, 0));
    }
}

static void render(phantom_case *out, double difficulty, const phantom_population *population,
                   fl_rng *rng)
{
    field f;
    int64_t size = out->size, plane = size * size;
    phantom_draw_patient(&out->patient, population, rng);
    double away = 0.30 - 0.20 * difficulty;
    double atypia = 0.5 + (out->patient.code == 1 ? away : -away) + 0.10 * fl_rng_normal(rng);
    atypia = fmin(fmax(atypia, 0), 1);
    out->patient.conspicuity[0] = fmin(fabs(atypia - 0.5) / 0.4, 1);
    draw_field(&f, atypia, rng);

    float *blue = fl_xcalloc((size_t)plane, sizeof *blue),
          *pink = fl_xcalloc((size_t)plane, sizeof *pink);
    for (int64_t i = 0; i < plane && out->mask != NULL; i++) {
        out->mask[i] = 0;
    }
    stain_ground(blue, pink, size, &f);
    for (int i = 0; i < f.n; i++) {
        stain_nucleus(blue, pink, out->mask, size, &f, &f.nuclei[i]);
    }
    for (int64_t i = 0; i < plane; i++) {
        for (int k = 0; k < RGB; k++) {
            double density = (double)blue[i] * haematoxylin[k] + (double)pink[i] * eosin[k];
            out->image[k * plane + i] = draw_unit(0.97 * exp(-density) +
                                                  0.008 * fl_rng_normal(rng));
        }
    }
    free(blue);
    free(pink);
}

const phantom_ops phantom_histology_grade = {
    .name = "histology",
    .task = "grade",
    .help = "H&E-stained tumour in colour; low or high grade by its nuclei",
    .source = "Beer-Lambert absorption by two stains, nuclear atypia",
    .classes = {"low", "high", NULL},
    .structure = "nucleus",
    .mask_everybody = true,
    .n_channels = 3,
    .difficulty = 0.6,
    .confused = {1, 0},
    .render = render,
};
