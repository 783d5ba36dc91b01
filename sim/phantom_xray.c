/*
 * phantom_xray.c - a frontal chest radiograph as a sum of attenuating parts
 *
 * The picture is a projection: every part (trunk, lungs, heart, spine, ribs,
 * clavicles, vessels, breasts, the opacity) adds to or takes from the path
 * integral of attenuation, and the detector shows 1 - exp(-integral), so dense
 * parts are bright and contrasts shrink in thick patients (Beer-Lambert).
 * Anatomy varies by patient: lung shape, heart size, diaphragm height, rib
 * spacing, rotation of the patient, age (less dense ribs, wider aorta), sex.
 *
 * The opacity is a patch of consolidation: a soft ellipse broken up by noise, somewhere in
 * a lung.  Patients without it still have what imitates it (vessels end-on, a
 * skin fold, a nipple, a healed rib), so no single bright spot decides.
 * Coordinates: x and y in [-1, 1], y down, the patient's right side at x < 0.
 */
#include "sim/phantom.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

enum { N_RIBS = 9, N_VESSELS = 14, NOISE_CELLS = 16, MAX_PATCHES = 3, MAX_DECOYS = 4 };

typedef struct { double x, y, rx, ry, cos_t, sin_t; } ellipse;

typedef struct {
    ellipse shape;
    double strength;  // attenuation at its centre
    double softness;  // width of its edge, relative to its radius
    double texture;   // 0 smooth .. 1 broken up
} blob;

typedef struct {
    double size;               // body size
    double lean;               // rotation of the patient: shifts the midline with y
    double lung_top, lung_bottom[2], lung_in[2], lung_out[2];
    double heart_x, heart_y, heart_rx, heart_ry;
    double aorta;              // width of the aortic knob
    double rib_first, rib_step, rib_slope, rib_arch, rib_density;
    double breast;             // thickness of breast tissue, 0 in men
    double vessel_density;
    double noise[2][NOISE_CELLS * NOISE_CELLS]; // coarse and fine lattice
} anatomy;

static double uniform(fl_rng *rng, double lo, double hi)
{
    return fl_rng_range(rng, lo, hi);
}

/* 0 below a, 1 above b, smooth between. */
static double smoothstep(double a, double b, double x)
{
    double t = (x - a) / (b - a);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * (3 - 2 * t);
}

/* Value noise on a periodic lattice, about -1 to 1. */
static double value_noise(const double *lattice, double x, double y)
{
    double fx = x - floor(x), fy = y - floor(y);
    int x0 = (int)floor(x) & (NOISE_CELLS - 1), y0 = (int)floor(y) & (NOISE_CELLS - 1);
    int x1 = (x0 + 1) & (NOISE_CELLS - 1), y1 = (y0 + 1) & (NOISE_CELLS - 1);
    double u = fx * fx * (3 - 2 * fx), v = fy * fy * (3 - 2 * fy);
    double top = lattice[y0 * NOISE_CELLS + x0] * (1 - u) + lattice[y0 * NOISE_CELLS + x1] * u;
    double bottom = lattice[y1 * NOISE_CELLS + x0] * (1 - u) + lattice[y1 * NOISE_CELLS + x1] * u;
    return top * (1 - v) + bottom * v;
}

/* Distance from the centre in units of the radius. */
static double ellipse_distance(const ellipse *e, double x, double y)
{
    double dx = x - e->x, dy = y - e->y;
    double u = (dx * e->cos_t + dy * e->sin_t) / e->rx;
    double v = (-dx * e->sin_t + dy * e->cos_t) / e->ry;
    return sqrt(u * u + v * v);
}

static void draw_anatomy(anatomy *a, const phantom_patient *p, fl_rng *rng)
{
    a->size = p->body_size;
    a->lean = uniform(rng, -0.05, 0.05);
    a->lung_top = uniform(rng, -0.84, -0.74);
    double age = (p->age - 50) / 40; // about -0.8 .. 1.1
    for (int side = 0; side < 2; side++) {
        a->lung_bottom[side] = uniform(rng, 0.48, 0.66) + 0.05 * age;
        a->lung_in[side] = uniform(rng, 0.13, 0.17);
        a->lung_out[side] = uniform(rng, 0.72, 0.80) - 0.04 * (a->size - 1);
    }
    a->lung_bottom[0] -= 0.06; // the liver lifts the right diaphragm
    a->heart_x = uniform(rng, 0.10, 0.18);
    a->heart_y = uniform(rng, 0.26, 0.36);
    a->heart_rx = uniform(rng, 0.27, 0.36) + 0.04 * age;
    a->heart_ry = uniform(rng, 0.28, 0.35);
    a->aorta = 0.09 + 0.03 * age + uniform(rng, -0.015, 0.015);
    a->rib_first = uniform(rng, -0.86, -0.76);
    a->rib_step = uniform(rng, 0.165, 0.19);
    a->rib_slope = uniform(rng, 0.10, 0.22);
    a->rib_arch = uniform(rng, 0.18, 0.30);
    a->rib_density = uniform(rng, 0.13, 0.19) * (1 - 0.25 * age);
    a->breast = p->sex == 'F' ? uniform(rng, 0.06, 0.20) : 0.0;
    a->vessel_density = uniform(rng, 0.05, 0.09);
    for (int octave = 0; octave < 2; octave++) {
        for (int i = 0; i < NOISE_CELLS * NOISE_CELLS; i++) {
            a->noise[octave][i] = uniform(rng, -1, 1);
        }
    }
}

/* How much of the path at (x, y) is lung: 0 to 1.  side: 0 patient's right. */
static double lung_at(const anatomy *a, double x, double y, int *side)
{
    double mid = a->lean * y;
    *side = x > mid;
    double d = fabs(x - mid); // from the midline
    double t = (y - a->lung_top) / (a->lung_bottom[*side] - a->lung_top); // 0 apex .. 1 base
    if (t <= 0 || t >= 1.25) {
        return 0;
    }
    double out = a->lung_out[*side] * sqrt(fmin(1.0, 0.16 + 1.9 * t - 1.05 * t * t)) * 0.98;
    double in = a->lung_in[*side] + 0.10 * smoothstep(0.25, 0.0, t);
    double dome = a->lung_bottom[*side] + 0.16 * (pow((d - 0.42) / 0.42, 2) - 0.35);
    double across = smoothstep(in - 0.02, in + 0.05, d) * smoothstep(out + 0.02, out - 0.06, d);
    return across * smoothstep(a->lung_top, a->lung_top + 0.10, y) * smoothstep(dome + 0.02, dome - 0.05, y);
}

/* Ribs: bright bands that run down from the spine and arch outward. */
static double ribs_at(const anatomy *a, double x, double y)
{
    double d = fabs(x - a->lean * y);
    if (d < 0.09 || d > 0.86) {
        return 0;
    }
    double offset = a->rib_slope * d + a->rib_arch * d * d;
    double k = (y - a->rib_first - offset) / a->rib_step; // the nearest rib's number
    double nearest = floor(k + 0.5);
    if (nearest < 0 || nearest >= N_RIBS) {
        return 0;
    }
    double distance = (k - nearest) * a->rib_step;
    const double half_width = 0.030;
    /* A tube's wall is denser than its core: two soft edges and a plateau. */
    double band = smoothstep(half_width + 0.018, half_width - 0.012, fabs(distance));
    double wall = exp(-pow((fabs(distance) - half_width) / 0.010, 2));
    return a->rib_density * (0.75 * band + 0.45 * wall) * (0.7 + 0.5 * smoothstep(0.45, 0.85, d));
}

static double spine_at(const anatomy *a, double x, double y)
{
    double d = fabs(x - a->lean * y);
    double vertebra = 0.85 + 0.15 * cos(y * 3.14159265358979 / (0.5 * a->rib_step));
    return 0.26 * vertebra * smoothstep(0.13, 0.07, d) + 0.16 * smoothstep(0.22, 0.10, d);
}

static double clavicles_at(const anatomy *a, double x, double y)
{
    double d = fabs(x - a->lean * y);
    if (d < 0.06 || d > 0.75) {
        return 0;
    }
    double line = -0.66 - 0.16 * (d - 0.06) + 0.06 * sin(d * 7);
    return 0.20 * smoothstep(0.045, 0.020, fabs(y - line));
}

/* A smaller radius, a lighter shadow: blobs are lungs' opacities and decoys. */
static double blob_at(const blob *b, const anatomy *a, double x, double y)
{
    double r = ellipse_distance(&b->shape, x, y);
    if (r > 1.6) {
        return 0;
    }
    double broken = b->texture * (0.45 * value_noise(a->noise[1], 9 * x + 3, 9 * y + 5) +
                                  0.25 * value_noise(a->noise[0], 19 * x, 19 * y));
    return b->strength * smoothstep(1.0 + b->softness, 1.0 - b->softness, r + broken);
}

static ellipse place_in_lung(const anatomy *a, fl_rng *rng, double r_min, double r_max)
{
    ellipse e;
    int side;
    double angle = uniform(rng, 0, 3.14159265358979);
    do {
        e.x = uniform(rng, -0.75, 0.75);
        e.y = uniform(rng, -0.6, 0.6);
    } while (lung_at(a, e.x, e.y, &side) < 0.9);
    e.rx = uniform(rng, r_min, r_max);
    e.ry = e.rx * uniform(rng, 0.65, 1.35);
    e.cos_t = cos(angle);
    e.sin_t = sin(angle);
    return e;
}

static int draw_opacities(blob *out, const anatomy *a, double difficulty, fl_rng *rng)
{
    int n = 1 + (fl_rng_uniform(rng) < 0.35) + (fl_rng_uniform(rng) < 0.12);
    double strength = 0.34 - 0.22 * difficulty;
    double radius = 0.22 - 0.10 * difficulty;
    for (int i = 0; i < n; i++) {
        out[i].shape = place_in_lung(a, rng, 0.6 * radius, 1.3 * radius);
        out[i].strength = strength * uniform(rng, 0.6, 1.5);
        out[i].softness = uniform(rng, 0.35, 0.7);
        out[i].texture = uniform(rng, 0.5, 1.1);
    }
    return n;
}

/* Everyone has some: small end-on vessels, nipples, a healed rib. */
static int draw_decoys(blob *out, const anatomy *a, fl_rng *rng)
{
    int n = (int)fl_rng_below(rng, MAX_DECOYS + 1);
    for (int i = 0; i < n; i++) {
        out[i].shape = place_in_lung(a, rng, 0.025, 0.07);
        out[i].strength = uniform(rng, 0.06, 0.22);
        out[i].softness = uniform(rng, 0.15, 0.5);
        out[i].texture = uniform(rng, 0.0, 0.4);
    }
    return n;
}

/* Vessels leave the hila and thin out; drawn as short line segments. */
static void add_vessels(float *integral, int64_t size, const anatomy *a, fl_rng *rng)
{
    for (int v = 0; v < N_VESSELS; v++) {
        int side = v % 2;
        double x = (side ? 1 : -1) * uniform(rng, 0.15, 0.22), y = uniform(rng, -0.12, 0.14);
        double angle = uniform(rng, -1.2, 1.35);
        double width = uniform(rng, 0.014, 0.026), density = a->vessel_density * uniform(rng, 0.7, 1.6);
        for (int step = 0; step < 44; step++) {
            angle += uniform(rng, -0.10, 0.10);
            x += (side ? 1 : -1) * 0.016 * cos(angle);
            y += 0.016 * sin(angle);
            int s;
            double lung = lung_at(a, x, y, &s);
            if (lung <= 0) {
                continue;
            }
            double w = width * (1 - 0.018 * step), reach = 2.2 * w + 2.0 / (double)size;
            int64_t x0 = (int64_t)((x - reach + 1) / 2 * (double)size), x1 = (int64_t)((x + reach + 1) / 2 * (double)size);
            int64_t y0 = (int64_t)((y - reach + 1) / 2 * (double)size), y1 = (int64_t)((y + reach + 1) / 2 * (double)size);
            for (int64_t j = y0 < 0 ? 0 : y0; j <= y1 && j < size; j++) {
                for (int64_t i = x0 < 0 ? 0 : x0; i <= x1 && i < size; i++) {
                    double dx = (2.0 * ((double)i + 0.5) / (double)size - 1) - x;
                    double dy = (2.0 * ((double)j + 0.5) / (double)size - 1) - y;
                    integral[j * size + i] += (float)(0.30 * density * lung * exp(-(dx * dx + dy * dy) / (w * w)));
                }
            }
        }
    }
}

/* Path integral of everything but vessels and blobs. */
static double body_at(const anatomy *a, double x, double y)
{
    int side;
    double shoulder = 0.98 - 0.35 * smoothstep(-0.55, -0.98, y);
    double trunk = smoothstep(shoulder + 0.04, shoulder - 0.10, fabs(x)) * smoothstep(-1.12, -0.92, y + 0.25 * x * x);
    double neck = smoothstep(0.30, 0.18, fabs(x - a->lean * y)) * smoothstep(-0.5, -0.8, y);
    double tissue = 0.80 * trunk + 0.25 * neck;
    double lung = lung_at(a, x, y, &side);
    double thickness = tissue * a->size * (1 - 0.62 * lung);
    const ellipse heart = {a->heart_x + a->lean * y, a->heart_y, a->heart_rx, a->heart_ry, 0.86, 0.51};
    double cardiac = 0.24 * smoothstep(1.14, 0.80, ellipse_distance(&heart, x, y));
    const ellipse knob = {0.13 + a->lean * y, -0.28, a->aorta, 0.11, 1, 0};
    double aorta = 0.16 * smoothstep(1.15, 0.80, ellipse_distance(&knob, x, y));
    double mediastinum = 0.12 * smoothstep(0.22, 0.10, fabs(x - a->lean * y));
    double breasts = 0;
    if (a->breast > 0) {
        const ellipse left = {0.46, 0.42, 0.34, 0.30, 1, 0}, right = {-0.46, 0.42, 0.34, 0.30, 1, 0};
        breasts = a->breast * (smoothstep(1.05, 0.75, ellipse_distance(&left, x, y)) +
                               smoothstep(1.05, 0.75, ellipse_distance(&right, x, y)));
    }
    double texture = 0.022 * value_noise(a->noise[0], 8 * x, 8 * y) + 0.014 * value_noise(a->noise[1], 17 * x, 17 * y);
    return thickness + trunk * (cardiac + aorta + mediastinum + breasts + spine_at(a, x, y) + ribs_at(a, x, y) +
                                clavicles_at(a, x, y) + texture * (0.4 + lung));
}

static void render(float *image, float *mask, phantom_patient *patient, int64_t size,
                   double difficulty, const phantom_population *population, fl_rng *rng)
{
    phantom_draw_patient(patient, population, rng);
    anatomy a;
    draw_anatomy(&a, patient, rng);
    blob blobs[MAX_DECOYS + MAX_PATCHES];
    int n_decoys = draw_decoys(blobs, &a, rng);
    int n_blobs = n_decoys;
    if (patient->code == 1) {
        n_blobs += draw_opacities(blobs + n_decoys, &a, difficulty, rng);
    }

    for (int64_t j = 0; j < size; j++) {
        double y = 2.0 * ((double)j + 0.5) / (double)size - 1;
        for (int64_t i = 0; i < size; i++) {
            double x = 2.0 * ((double)i + 0.5) / (double)size - 1;
            int side;
            double integral = body_at(&a, x, y), finding = 0;
            double lung = lung_at(&a, x, y, &side);
            for (int b = 0; b < n_blobs; b++) {
                double shadow = blob_at(&blobs[b], &a, x, y) * (0.25 + 0.75 * lung);
                integral += shadow;
                finding += b >= n_decoys ? shadow : 0;
            }
            image[j * size + i] = (float)integral;
            if (mask != NULL) {
                mask[j * size + i] = finding > 0.03 ? 1.0f : 0.0f;
            }
        }
    }
    add_vessels(image, size, &a, rng);
    for (int64_t k = 0; k < size * size; k++) {
        double shown = 1.10 * (1 - exp(-1.15 * (double)image[k]));
        image[k] = (float)(shown < 0 ? 0 : shown > 1 ? 1 : shown);
    }
}

const phantom_ops phantom_xray_opacity = {
    .name = "xray",
    .task = "opacity",
    .help = "frontal chest X-ray; lung opacity (consolidation) or none",
    .source = "projection of attenuating parts, Beer-Lambert display",
    .classes = {"normal", "opacity", NULL},
    .render = render,
};
