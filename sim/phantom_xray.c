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
 * skin fold, a nipple, a healed rib), so no single bright spot decides.  A nodule
 * is round with a sharp edge; an effusion fills a side from below, and its
 * surface climbs along the chest wall.
 * Coordinates: x and y in [-1, 1], y down, the patient's right side at x < 0.
 */
#include <math.h>

#include "sim/phantom_draw.h"

enum { N_RIBS = 9, N_VESSELS = 14, MAX_PATCHES = 3, MAX_DECOYS = 4 };

/* What may be found; labels of the task "findings" in this order. */
typedef enum { OPACITY, NODULE, EFFUSION, N_FINDINGS } finding;

typedef struct {
    draw_ellipse shape;
    double strength;  // attenuation at its centre
    double softness;  // width of its edge, relative to its radius
    double texture;   // 0 smooth .. 1 broken up
} blob;

typedef struct {
    double size;  // body size
    double lean;  // rotation of the patient: shifts the midline with y
    double lung_top, lung_bottom[2], lung_in[2], lung_out[2];
    double heart_x, heart_y, heart_rx, heart_ry;
    double aorta;  // width of the aortic knob
    double rib_first, rib_step, rib_slope, rib_arch, rib_density;
    double breast;  // thickness of breast tissue, 0 in men
    double vessel_density;
    draw_noise noise[2];  // coarse and fine
} anatomy;

static void draw_anatomy(anatomy *a, const phantom_patient *p, fl_rng *rng)
{
    a->size = p->body_size;
    a->lean = fl_rng_range(rng, -0.05, 0.05);
    a->lung_top = fl_rng_range(rng, -0.84, -0.74);
    double age = (p->age - 50) / 40;  // about -0.8 .. 1.1
    for (int side = 0; side < 2; side++) {
        a->lung_bottom[side] = fl_rng_range(rng, 0.48, 0.66) + 0.05 * age;
        a->lung_in[side] = fl_rng_range(rng, 0.13, 0.17);
        a->lung_out[side] = fl_rng_range(rng, 0.72, 0.80) - 0.04 * (a->size - 1);
    }
    a->lung_bottom[0] -= 0.06;  // the liver lifts the right diaphragm
    a->heart_x = fl_rng_range(rng, 0.10, 0.18);
    a->heart_y = fl_rng_range(rng, 0.26, 0.36);
    a->heart_rx = fl_rng_range(rng, 0.27, 0.36) + 0.04 * age;
    a->heart_ry = fl_rng_range(rng, 0.28, 0.35);
    a->aorta = 0.09 + 0.03 * age + fl_rng_range(rng, -0.015, 0.015);
    a->rib_first = fl_rng_range(rng, -0.86, -0.76);
    a->rib_step = fl_rng_range(rng, 0.165, 0.19);
    a->rib_slope = fl_rng_range(rng, 0.10, 0.22);
    a->rib_arch = fl_rng_range(rng, 0.18, 0.30);
    a->rib_density = fl_rng_range(rng, 0.13, 0.19) * (1 - 0.25 * age);
    a->breast = p->sex == 'F' ? fl_rng_range(rng, 0.06, 0.20) : 0.0;
    a->vessel_density = fl_rng_range(rng, 0.05, 0.09);
    for (int octave = 0; octave < 2; octave++) {
        draw_noise_init(&a->noise[octave], rng);
    }
}

/* How much of the path at (x, y) is lung: 0 to 1.  side: 0 patient's right. */
static double lung_at(const anatomy *a, double x, double y, int *side)
{
    double mid = a->lean * y;
    *side = x > mid;
    double d = fabs(x - mid);                                              // from the midline
    double t = (y - a->lung_top) / (a->lung_bottom[*side] - a->lung_top);  // 0 apex .. 1 base
    if (t <= 0 || t >= 1.25) {
        return 0;
    }
    double out = a->lung_out[*side] * sqrt(fmin(1.0, 0.16 + 1.9 * t - 1.05 * t * t)) * 0.98;
    double in = a->lung_in[*side] + 0.10 * draw_smoothstep(0.25, 0.0, t);
    double dome = a->lung_bottom[*side] + 0.16 * (pow((d - 0.42) / 0.42, 2) - 0.35);
    double across = draw_smoothstep(in - 0.02, in + 0.05, d) *
                    draw_smoothstep(out + 0.02, out - 0.06, d);
    return across * draw_smoothstep(a->lung_top, a->lung_top + 0.10, y) *
           draw_smoothstep(dome + 0.02, dome - 0.05, y);
}

/* Ribs: bright bands that run down from the spine and arch outward. */
static double ribs_at(const anatomy *a, double x, double y)
{
    double d = fabs(x - a->lean * y);
    if (d < 0.09 || d > 0.86) {
        return 0;
    }
    double offset = a->rib_slope * d + a->rib_arch * d * d;
    double k = (y - a->rib_first - offset) / a->rib_step;  // the nearest rib's number
    double nearest = floor(k + 0.5);
    if (nearest < 0 || nearest >= N_RIBS) {
        return 0;
    }
    double distance = (k - nearest) * a->rib_step;
    const double half_width = 0.030;
    /* A tube's wall is denser than its core: two soft edges and a plateau. */
    double band = draw_smoothstep(half_width + 0.018, half_width - 0.012, fabs(distance));
    double wall = exp(-pow((fabs(distance) - half_width) / 0.010, 2));
    return a->rib_density * (0.75 * band + 0.45 * wall) *
           (0.7 + 0.5 * draw_smoothstep(0.45, 0.85, d));
}

static double spine_at(const anatomy *a, double x, double y)
{
    double d = fabs(x - a->lean * y);
    double vertebra = 0.85 + 0.15 * cos(y * 3.14159265358979 / (0.5 * a->rib_step));
    return 0.26 * vertebra * draw_smoothstep(0.13, 0.07, d) + 0.16 * draw_smoothstep(0.22, 0.10, d);
}

static double clavicles_at(const anatomy *a, double x, double y)
{
    double d = fabs(x - a->lean * y);
    if (d < 0.06 || d > 0.75) {
        return 0;
    }
    double line = -0.66 - 0.16 * (d - 0.06) + 0.06 * sin(d * 7);
    return 0.20 * draw_smoothstep(0.045, 0.020, fabs(y - line));
}

/* A smaller radius, a lighter shadow: blobs are lungs' opacities and decoys. */
static double blob_at(const blob *b, const anatomy *a, double x, double y)
{
    double r = draw_ellipse_at(&b->shape, x, y);
    if (r > 1.6) {
        return 0;
    }
    double broken = b->texture * (0.45 * draw_noise_at(&a->noise[1], 9 * x + 3, 9 * y + 5) +
                                  0.25 * draw_noise_at(&a->noise[0], 19 * x, 19 * y));
    return b->strength * draw_smoothstep(1.0 + b->softness, 1.0 - b->softness, r + broken);
}

static draw_ellipse place_in_lung(const anatomy *a, fl_rng *rng, double r_min, double r_max)
{
    draw_ellipse e;
    int side;
    double angle = fl_rng_range(rng, 0, 3.14159265358979);
    do {
        e.x = fl_rng_range(rng, -0.75, 0.75);
        e.y = fl_rng_range(rng, -0.6, 0.6);
    } while (lung_at(a, e.x, e.y, &side) < 0.9);
    e.rx = fl_rng_range(rng, r_min, r_max);
    e.ry = e.rx * fl_rng_range(rng, 0.65, 1.35);
    e.cos_t = cos(angle);
    e.sin_t = sin(angle);
    return e;
}

/* 0 for the faintest, smallest patch of its kind .. 1. */
static double conspicuity_of(const blob *b, double strength, double radius)
{
    double s = (b->strength / strength - 0.6) / 0.9, r = (b->shape.rx / radius - 0.6) / 0.7;
    return fmin(fmax(0.5 * (s + r), 0), 1);
}

static int draw_opacities(blob *out, double *conspicuity, const anatomy *a, double difficulty,
                          fl_rng *rng)
{
    int n = 1 + (fl_rng_uniform(rng) < 0.35) + (fl_rng_uniform(rng) < 0.12);
    double strength = 0.34 - 0.22 * difficulty;
    double radius = 0.22 - 0.10 * difficulty;
    for (int i = 0; i < n; i++) {
        out[i].shape = place_in_lung(a, rng, 0.6 * radius, 1.3 * radius);
        out[i].strength = strength * fl_rng_range(rng, 0.6, 1.5);
        out[i].softness = fl_rng_range(rng, 0.35, 0.7);
        out[i].texture = fl_rng_range(rng, 0.5, 1.1);
        *conspicuity = fmax(i > 0 ? *conspicuity : 0, conspicuity_of(&out[i], strength, radius));
    }
    return n;
}

/* Round, with a sharp edge: one, seldom two. */
static int draw_nodules(blob *out, double *conspicuity, const anatomy *a, double difficulty,
                        fl_rng *rng)
{
    int n = 1 + (fl_rng_uniform(rng) < 0.2);
    double strength = 0.42 - 0.22 * difficulty;
    double radius = 0.13 - 0.04 * difficulty;
    for (int i = 0; i < n; i++) {
        out[i].shape = place_in_lung(a, rng, 0.6 * radius, 1.3 * radius);
        out[i].shape.ry = out[i].shape.rx * fl_rng_range(rng, 0.85, 1.18);
        out[i].strength = strength * fl_rng_range(rng, 0.6, 1.5);
        out[i].softness = fl_rng_range(rng, 0.12, 0.3);
        out[i].texture = fl_rng_range(rng, 0.0, 0.15);
        *conspicuity = fmax(i > 0 ? *conspicuity : 0, conspicuity_of(&out[i], strength, radius));
    }
    return n;
}

/* Fluid at the bottom of one side: its surface climbs along the chest wall. */
typedef struct {
    int side;
    double level, climb, strength;
} fluid;

static fluid draw_effusion(double *conspicuity, const anatomy *a, double difficulty, fl_rng *rng)
{
    fluid f = {.side = fl_rng_uniform(rng) < 0.5};
    /* From a side half full to an angle that is hardly blunted. */
    double least = 0.12 - 0.09 * difficulty, most = 0.66 - 0.48 * difficulty;
    double height = fl_rng_range(rng, least, most);
    f.level = a->lung_bottom[f.side] + 0.04 - height;
    f.climb = fl_rng_range(rng, 0.08, 0.18) * fmin(height / 0.3, 1);
    f.strength = fl_rng_range(rng, 0.36, 0.52) - 0.28 * difficulty;
    *conspicuity = (height - least) / (most - least);
    return f;
}

static double fluid_at(const fluid *f, const anatomy *a, double x, double y)
{
    int side;
    double lung = lung_at(a, x, y, &side);
    if (f->strength <= 0 || side != f->side) {
        return 0;
    }
    double d = fabs(x - a->lean * y);
    double surface = f->level - f->climb * draw_smoothstep(0.40, 0.78, d);
    return f->strength * lung * draw_smoothstep(surface - 0.02, surface + 0.09, y);
}

/* Everyone has some: small end-on vessels, nipples, a healed rib. */
static int draw_decoys(blob *out, const anatomy *a, fl_rng *rng)
{
    int n = (int)fl_rng_below(rng, MAX_DECOYS + 1);
    for (int i = 0; i < n; i++) {
        out[i].shape = place_in_lung(a, rng, 0.025, 0.07);
        out[i].strength = fl_rng_range(rng, 0.06, 0.22);
        out[i].softness = fl_rng_range(rng, 0.15, 0.5);
        out[i].texture = fl_rng_range(rng, 0.0, 0.4);
    }
    return n;
}

/* Vessels leave the hila and thin out; drawn as short line segments. */
static void add_vessels(float *integral, int64_t size, const anatomy *a, fl_rng *rng)
{
    for (int v = 0; v < N_VESSELS; v++) {
        int side = v % 2;
        double x = (side ? 1 : -1) * fl_rng_range(rng, 0.15, 0.22),
               y = fl_rng_range(rng, -0.12, 0.14);
        double angle = fl_rng_range(rng, -1.2, 1.35);
        double width = fl_rng_range(rng, 0.014, 0.026),
               density = a->vessel_density * fl_rng_range(rng, 0.7, 1.6);
        for (int step = 0; step < 44; step++) {
            angle += fl_rng_range(rng, -0.10, 0.10);
            x += (side ? 1 : -1) * 0.016 * cos(angle);
            y += 0.016 * sin(angle);
            int s;
            double lung = lung_at(a, x, y, &s);
            if (lung <= 0) {
                continue;
            }
            double w = width * (1 - 0.018 * step), reach = 2.2 * w + 2.0 / (double)size;
            int64_t x0 = (int64_t)((x - reach + 1) / 2 * (double)size),
                    x1 = (int64_t)((x + reach + 1) / 2 * (double)size);
            int64_t y0 = (int64_t)((y - reach + 1) / 2 * (double)size),
                    y1 = (int64_t)((y + reach + 1) / 2 * (double)size);
            for (int64_t j = y0 < 0 ? 0 : y0; j <= y1 && j < size; j++) {
                for (int64_t i = x0 < 0 ? 0 : x0; i <= x1 && i < size; i++) {
                    double dx = (2.0 * ((double)i + 0.5) / (double)size - 1) - x;
                    double dy = (2.0 * ((double)j + 0.5) / (double)size - 1) - y;
                    integral[j * size + i] += (float)(0.30 * density * lung *
                                                      exp(-(dx * dx + dy * dy) / (w * w)));
                }
            }
        }
    }
}

/* Path integral of everything but vessels and blobs. */
static double body_at(const anatomy *a, double x, double y)
{
    int side;
    double shoulder = 0.98 - 0.35 * draw_smoothstep(-0.55, -0.98, y);
    double trunk = draw_smoothstep(shoulder + 0.04, shoulder - 0.10, fabs(x)) *
                   draw_smoothstep(-1.12, -0.92, y + 0.25 * x * x);
    double neck = draw_smoothstep(0.30, 0.18, fabs(x - a->lean * y)) *
                  draw_smoothstep(-0.5, -0.8, y);
    double tissue = 0.80 * trunk + 0.25 * neck;
    double lung = lung_at(a, x, y, &side);
    double thickness = tissue * a->size * (1 - 0.62 * lung);
    const draw_ellipse heart = {
        a->heart_x + a->lean * y, a->heart_y, a->heart_rx, a->heart_ry, 0.86, 0.51};
    double cardiac = 0.24 * draw_smoothstep(1.14, 0.80, draw_ellipse_at(&heart, x, y));
    const draw_ellipse knob = {0.13 + a->lean * y, -0.28, a->aorta, 0.11, 1, 0};
    double aorta = 0.16 * draw_smoothstep(1.15, 0.80, draw_ellipse_at(&knob, x, y));
    double mediastinum = 0.12 * draw_smoothstep(0.22, 0.10, fabs(x - a->lean * y));
    double breasts = 0;
    if (a->breast > 0) {
        const draw_ellipse left = {0.46, 0.42, 0.34, 0.30, 1, 0},
                           right = {-0.46, 0.42, 0.34, 0.30, 1, 0};
        breasts = a->breast * (draw_smoothstep(1.05, 0.75, draw_ellipse_at(&left, x, y)) +
                               draw_smoothstep(1.05, 0.75, draw_ellipse_at(&right, x, y)));
    }
    double texture = 0.022 * draw_noise_at(&a->noise[0], 8 * x, 8 * y) +
                     0.014 * draw_noise_at(&a->noise[1], 17 * x, 17 * y);
    return thickness + trunk * (cardiac + aorta + mediastinum + breasts + spine_at(a, x, y) +
                                ribs_at(a, x, y) + clavicles_at(a, x, y) + texture * (0.4 + lung));
}

typedef struct {
    anatomy a;
    blob blobs[MAX_DECOYS + 2 * MAX_PATCHES];
    int n_decoys, n_blobs;  // decoys come first
    fluid effusion;         // strength 0: none
} chest;

static void draw_chest(chest *out, phantom_patient *patient, double difficulty, fl_rng *rng)
{
    double *conspicuity = patient->conspicuity;
    draw_anatomy(&out->a, patient, rng);
    out->effusion = (fluid){.strength = 0};
    out->n_blobs = out->n_decoys = draw_decoys(out->blobs, &out->a, rng);
    if (patient->findings & 1u << OPACITY) {
        out->n_blobs += draw_opacities(out->blobs + out->n_blobs, &conspicuity[OPACITY], &out->a,
                                       difficulty, rng);
    }
    if (patient->findings & 1u << NODULE) {
        out->n_blobs += draw_nodules(out->blobs + out->n_blobs, &conspicuity[NODULE], &out->a,
                                     difficulty, rng);
    }
    if (patient->findings & 1u << EFFUSION) {
        out->effusion = draw_effusion(&conspicuity[EFFUSION], &out->a, difficulty, rng);
    }
}

static void render(phantom_case *out, double difficulty, fl_rng *rng)
{
    chest c;
    int64_t size = out->size;
    draw_chest(&c, &out->patient, difficulty, rng);
    for (int64_t j = 0; j < size; j++) {
        double y = draw_centre(j, size);
        for (int64_t i = 0; i < size; i++) {
            double x = draw_centre(i, size);
            int side;
            double integral = body_at(&c.a, x, y), found = 0;
            double lung = lung_at(&c.a, x, y, &side);
            for (int b = 0; b < c.n_blobs; b++) {
                double shadow = blob_at(&c.blobs[b], &c.a, x, y) * (0.25 + 0.75 * lung);
                integral += shadow;
                found += b >= c.n_decoys ? shadow : 0;
            }
            if (c.effusion.strength > 0) {
                double shadow = fluid_at(&c.effusion, &c.a, x, y);
                integral += shadow;
                found += shadow;
            }
            out->image[j * size + i] = (float)integral;
            if (out->mask != NULL) {
                out->mask[j * size + i] = found > 0.03 ? 1.0f : 0.0f;
            }
        }
    }
    add_vessels(out->image, size, &c.a, rng);
    for (int64_t k = 0; k < size * size; k++) {
        out->image[k] = draw_unit(1.10 * (1 - exp(-1.15 * (double)out->image[k])));
    }
}

static void render_one(phantom_case *out, finding what, double difficulty,
                       const phantom_population *population, fl_rng *rng)
{
    phantom_draw_patient(&out->patient, population, rng);
    out->patient.findings = out->patient.code == 1 ? 1u << what : 0;
    render(out, difficulty, rng);
    out->patient.conspicuity[0] = out->patient.conspicuity[what];
}

static void render_opacity(phantom_case *out, double difficulty,
                           const phantom_population *population, fl_rng *rng)
{
    render_one(out, OPACITY, difficulty, population, rng);
}

static void render_nodule(phantom_case *out, double difficulty,
                          const phantom_population *population, fl_rng *rng)
{
    render_one(out, NODULE, difficulty, population, rng);
}

static void render_effusion(phantom_case *out, double difficulty,
                            const phantom_population *population, fl_rng *rng)
{
    render_one(out, EFFUSION, difficulty, population, rng);
}

/* Who is ill has one finding or several. */
static void render_findings(phantom_case *out, double difficulty,
                            const phantom_population *population, fl_rng *rng)
{
    static const double share[N_FINDINGS] = {0.45, 0.35, 0.40};
    phantom_draw_patient(&out->patient, population, rng);
    while (out->patient.code == 1 && out->patient.findings == 0) {
        for (int k = 0; k < N_FINDINGS; k++) {
            out->patient.findings |= (unsigned)(fl_rng_uniform(rng) < share[k]) << k;
        }
    }
    render(out, difficulty, rng);
}

static const char source[] = "projection of attenuating parts, Beer-Lambert display";

const phantom_ops phantom_xray_opacity = {
    .name = "xray",
    .task = "opacity",
    .help = "frontal chest X-ray; lung opacity (consolidation) or none",
    .source = source,
    .classes = {"normal", "opacity", NULL},
    .structure = "opacity",
    .n_channels = 1,
    .difficulty = 0.5,
    .confused = {-1, -1},
    .render = render_opacity,
};

const phantom_ops phantom_xray_nodule = {
    .name = "xray",
    .task = "nodule",
    .help = "frontal chest X-ray; lung nodule or none",
    .source = source,
    .classes = {"normal", "nodule", NULL},
    .structure = "nodule",
    .n_channels = 1,
    .difficulty = 0.3,
    .confused = {-1, -1},
    .render = render_nodule,
};

const phantom_ops phantom_xray_effusion = {
    .name = "xray",
    .task = "effusion",
    .help = "frontal chest X-ray; pleural effusion or none",
    .source = source,
    .classes = {"normal", "effusion", NULL},
    .structure = "effusion",
    .n_channels = 1,
    .difficulty = 0.7,
    .confused = {-1, -1},
    .render = render_effusion,
};

/* A report that says "opacity" may mean the nodule: its parent in CheXpert's tree. */
const phantom_ops phantom_xray_findings = {
    .name = "xray",
    .task = "findings",
    .help = "frontal chest X-ray; several labels: opacity, nodule, effusion",
    .source = source,
    .classes = {"opacity", "nodule", "effusion", NULL},
    .multilabel = true,
    .structure = "finding",
    .n_channels = 1,
    .difficulty = 0.4,
    .confused = {-1, OPACITY, OPACITY},
    .render = render_findings,
};
