/*
 * phantom_mri.c - a head in two magnetic resonance sequences, T1 and FLAIR
 *
 * Every point of a head is a mixture of tissues (scalp, bone, fluid, gray and
 * white matter), and each sequence gives a tissue its brightness: fluid is dark
 * in both, white matter is brighter than gray in T1 and darker in FLAIR.  The
 * anatomy is three-dimensional, so a slice and a volume are the same head.
 *
 * A tumour is a bent ball with a core and swelling about it: dark in T1, bright
 * in FLAIR, and it pushes what is around it aside.  Ageing brains have wider
 * ventricles and small bright spots in the white matter of FLAIR, with or without
 * a tumour, so brightness alone does not decide.
 * x < 0 is the patient's right, y < 0 the front, z < 0 the neck.
 */
#include "sim/phantom_draw.h"

enum { MAX_SPOTS = 24 };

typedef enum { AIR, SCALP, BONE, FLUID, GRAY, WHITE, N_TISSUES } tissue;

enum { T1, FLAIR, N_SEQUENCES };

static const double brightness[N_SEQUENCES][N_TISSUES] = {
    {0.02, 0.86, 0.10, 0.13, 0.47, 0.70},  // T1
    {0.02, 0.52, 0.07, 0.09, 0.56, 0.43},  // FLAIR
};

typedef struct {
    double x, y, z, r, strength;
} spot;

typedef struct {
    double rx, ry, rz;  // of the head
    double tilt;        // of the midline
    double fold;        // frequency of the gyri
    double sulcus;      // width of the fluid between them
    double ventricle;   // size, 1 = usual
    draw_noise3 folds, texture;
    spot spots[MAX_SPOTS];  // age's
    int n_spots;
    double coil[3];  // direction of the coil's own brightness
    bool has_tumour;
    draw_ball tumour;  // all that is not normal: core and swelling
    double core;       // radius of the core in it
    double t1_drop, flair_rise, necrosis;
} head;

/* White matter about the ventricles; inside it at the slice's level z. */
static void place_deep(double *x, double *y, const head *h, fl_rng *rng)
{
    double angle = fl_rng_range(rng, 0, 2 * PHANTOM_PI), r = sqrt(fl_rng_uniform(rng));
    *x = 0.56 * h->rx * r * cos(angle);
    *y = 0.58 * h->ry * r * sin(angle);
}

static void draw_spots(head *h, double age, double z, double reach, fl_rng *rng)
{
    double mean = 1.2 + fmax(0, age - 40) / 7;
    uint64_t n = fl_rng_poisson(rng, mean);
    h->n_spots = n < MAX_SPOTS ? (int)n : MAX_SPOTS;
    for (int i = 0; i < h->n_spots; i++) {
        spot *s = &h->spots[i];
        place_deep(&s->x, &s->y, h, rng);
        s->z = z + fl_rng_range(rng, -reach, reach);
        s->r = fl_rng_range(rng, 0.02, 0.065);
        s->strength = fl_rng_range(rng, 0.10, 0.34);
    }
}

/* In the hemisphere's white matter, not across the midline. */
static void draw_tumour(head *h, double *conspicuity, double difficulty, double z, double reach,
                        fl_rng *rng)
{
    double radius = 0.27 - 0.14 * difficulty, r = radius * fl_rng_range(rng, 0.65, 1.3);
    double rise = 0.36 - 0.22 * difficulty, strength = rise * fl_rng_range(rng, 0.65, 1.35);
    double x, y;
    do {
        place_deep(&x, &y, h, rng);
    } while (fabs(x) < 0.12);
    h->has_tumour = true;
    h->tumour = (draw_ball){.x = x,
                            .y = y,
                            .z = z + fl_rng_range(rng, -1, 1) * fmin(reach, 0.45 * r),
                            .rx = r * fl_rng_range(rng, 0.75, 1.2),
                            .ry = r * fl_rng_range(rng, 0.75, 1.2),
                            .rz = r * fl_rng_range(rng, 0.8, 1.2),
                            .bend = fl_rng_range(rng, 0.35, 0.75),
                            .frequency = 1.6,
                            .offset = fl_rng_range(rng, 0, 8)};
    h->core = fl_rng_range(rng, 0.45, 0.7);
    h->flair_rise = strength;
    h->t1_drop = 0.75 * strength;
    h->necrosis = fl_rng_uniform(rng) < 0.4 ? fl_rng_range(rng, 0.3, 0.7) : 0;
    *conspicuity = fmin(
        fmax(0.5 * ((r / radius - 0.65) / 0.65 + (strength / rise - 0.65) / 0.7), 0), 1);
}

/* z and reach: the middle and half the height of what is shown. */
static void draw_head(head *h, phantom_patient *patient, double difficulty, double z, double reach,
                      fl_rng *rng)
{
    double age = (patient->age - 50) / 40;  // about -0.8 .. 1.1
    h->rx = fl_rng_range(rng, 0.72, 0.80) * (1 + 0.1 * (patient->body_size - 1));
    h->ry = fl_rng_range(rng, 0.88, 0.95);
    h->rz = fl_rng_range(rng, 1.0, 1.1);
    h->tilt = fl_rng_range(rng, -0.06, 0.06);
    h->fold = fl_rng_range(rng, 5.6, 6.8);
    h->sulcus = 0.055 + 0.035 * age + fl_rng_range(rng, -0.01, 0.01);
    h->ventricle = fmax(0.6, 1 + 0.35 * age + fl_rng_range(rng, -0.2, 0.2));
    draw_noise3_init(&h->folds, rng);
    draw_noise3_init(&h->texture, rng);
    draw_spots(h, patient->age, z, reach, rng);
    for (int k = 0; k < 3; k++) {
        h->coil[k] = fl_rng_range(rng, -0.06, 0.06);
    }
    h->has_tumour = false;
    if (patient->code == 1) {
        draw_tumour(h, &patient->conspicuity[0], difficulty, z, reach, rng);
    }
}

static double ellipsoid_at(double x, double y, double z, const double c[3], const double r[3])
{
    double u = (x - c[0]) / r[0], v = (y - c[1]) / r[1], w = (z - c[2]) / r[2];
    return sqrt(u * u + v * v + w * w);
}

/* Body of the lateral ventricles: two bent drops beside the midline. */
static double ventricle_at(const head *h, double x, double y, double z)
{
    double s = h->ventricle, d = fabs(x) - 0.075 * s - 0.12 * (y + 0.05) * (y + 0.05);
    double r[3] = {0.055 * s, 0.27 + 0.04 * s, 0.26}, c[3] = {0, 0.0, 0.16};
    double lateral = ellipsoid_at(d, y, z, c, r);
    double third_r[3] = {0.022 * s, 0.11, 0.22}, third_c[3] = {0, 0.06, -0.1};
    return fmin(lateral, ellipsoid_at(x, y, z, third_c, third_r));
}

/* Deep gray matter: head of the caudate, putamen, thalamus. */
static double nuclei_at(double x, double y, double z)
{
    static const double centre[3][3] = {
        {0.15, -0.20, 0.02}, {0.27, -0.04, -0.04}, {0.13, 0.16, 0.0}};
    static const double radius[3][3] = {
        {0.055, 0.10, 0.16}, {0.06, 0.16, 0.16}, {0.085, 0.11, 0.14}};
    double nearest = 9;
    for (int k = 0; k < 3; k++) {
        nearest = fmin(nearest, ellipsoid_at(fabs(x), y, z, centre[k], radius[k]));
    }
    return nearest;
}

/* Replaces part of the mixture by one tissue. */
static void put(double part[N_TISSUES], tissue what, double amount)
{
    for (int k = 0; k < N_TISSUES; k++) {
        part[k] *= 1 - amount;
    }
    part[what] += amount;
}

/* Parts of each tissue at a point of the undisturbed head; they sum to 1. */
static void tissues_at(double part[N_TISSUES], const head *h, double x, double y, double z)
{
    x -= h->tilt * y;
    double u = x / h->rx, v = y / h->ry, w = z / h->rz;
    double r = sqrt(u * u + v * v + w * w) *
               (1 + 0.02 * draw_noise3_at(&h->folds, 2 * x, 2 * y, 2 * z));
    for (int k = 0; k < N_TISSUES; k++) {
        part[k] = k == AIR;
    }
    put(part, SCALP, draw_smoothstep(1.01, 0.98, r));
    put(part, BONE, draw_smoothstep(0.945, 0.925, r));
    put(part, FLUID, draw_smoothstep(0.885, 0.87, r));
    double depth = 0.85 - r;
    double fold = fabs(draw_fractal3_at(&h->folds, x, y, 0.8 * z, h->fold, 2));
    double outer = draw_smoothstep(0.33, 0.20, depth);  // gyri reach so deep
    put(part, GRAY, draw_smoothstep(-0.01, 0.012, depth));
    double ribbon = fmin(depth - 0.05, (fold - 0.15) * 0.5);
    put(part, WHITE,
        draw_smoothstep(-0.012, 0.012, draw_mix(depth - 0.10, ribbon, outer)) *
            draw_smoothstep(0.03, 0.06, depth));
    put(part, FLUID,
        draw_smoothstep(h->sulcus, 0.4 * h->sulcus, fold) * outer *
            draw_smoothstep(0.28, 0.18, depth) * draw_smoothstep(-0.01, 0.01, depth));
    put(part, FLUID,
        draw_smoothstep(0.022, 0.008, fabs(x)) * draw_smoothstep(0.26, 0.16, depth) *
            draw_smoothstep(-0.01, 0.02, depth));
    put(part, GRAY, 0.85 * draw_smoothstep(1.12, 0.9, nuclei_at(x, y, z)));
    put(part, FLUID, draw_smoothstep(1.1, 0.93, ventricle_at(h, x, y, z)));
}

/* How much of the point is tumour: 0 to 1; *core how much of that its core. */
static double tumour_at(const head *h, double *core, double x, double y, double z)
{
    double r = draw_ball_at(&h->tumour, &h->texture, x, y, z);
    *core = draw_smoothstep(h->core + 0.12, h->core - 0.08, r);
    return draw_smoothstep(1.12, 0.88, r);
}

/* Where the tissue at a point has been before the tumour grew. */
static void push_aside(double *x, double *y, double *z, const head *h)
{
    const draw_ball *t = &h->tumour;
    double dx = *x - t->x, dy = *y - t->y, dz = *z - t->z;
    double near = (dx * dx + dy * dy + dz * dz) / (1.4 * t->rx * t->ry);
    double shrink = 1 - 0.35 * exp(-near);
    *x = t->x + dx * shrink;
    *y = t->y + dy * shrink;
    *z = t->z + dz * shrink;
}

/* Both sequences at a point; returns how much of it is tumour. */
static double signal_at(double out[N_SEQUENCES], const head *h, double x, double y, double z)
{
    double part[N_TISSUES], px = x, py = y, pz = z, core = 0, tumour = 0;
    if (h->has_tumour) {
        push_aside(&px, &py, &pz, h);
    }
    tissues_at(part, h, px, py, pz);
    double brain = part[GRAY] + part[WHITE];
    double bright = 0;
    for (int i = 0; i < h->n_spots; i++) {
        const spot *s = &h->spots[i];
        double d = ((x - s->x) * (x - s->x) + (y - s->y) * (y - s->y) + (z - s->z) * (z - s->z)) /
                   (s->r * s->r);
        bright = fmax(bright, d < 6 ? s->strength * exp(-d) : 0);
    }
    if (h->has_tumour) {
        tumour = tumour_at(h, &core, x, y, z) * draw_smoothstep(0.2, 0.6, brain);
    }
    double texture = 0.03 * draw_fractal3_at(&h->texture, x, y, z, 7, 2) * brain;
    double coil = 1 + h->coil[0] * x + h->coil[1] * y + h->coil[2] * z;
    for (int k = 0; k < N_SEQUENCES; k++) {
        out[k] = texture;
        for (int t = 0; t < N_TISSUES; t++) {
            out[k] += part[t] * brightness[k][t];
        }
    }
    out[FLAIR] += bright * part[WHITE];
    out[T1] -= 0.4 * bright * part[WHITE];
    out[FLAIR] += tumour * (h->flair_rise * (1 - 0.25 * core) - h->necrosis * core * core * 0.35);
    out[T1] -= tumour * h->t1_drop * (0.55 + 0.6 * core);
    for (int k = 0; k < N_SEQUENCES; k++) {
        out[k] *= coil;
    }
    return tumour;
}

static void render(phantom_case *out, double difficulty, const phantom_population *population,
                   fl_rng *rng)
{
    bool volume = out->depth > 1;
    head h;
    phantom_draw_patient(&out->patient, population, rng);
    double middle = volume ? 0.1 : fl_rng_range(rng, -0.05, 0.35), reach = volume ? 0.65 : 0;
    draw_head(&h, &out->patient, difficulty, middle, reach, rng);
    int64_t size = out->size, plane = size * size, n = out->depth * plane;
    for (int64_t i = 0; i < n; i++) {
        double z = middle + (volume ? reach * draw_centre(i / plane, out->depth) : 0);
        double signal[N_SEQUENCES];
        double tumour = signal_at(signal, &h, draw_centre(i % size, size),
                                  draw_centre(i % plane / size, size), z);
        for (int k = 0; k < N_SEQUENCES; k++) {
            /* An ideal scanner still has some noise: the magnitude of a complex signal. */
            double real = signal[k] + 0.012 * fl_rng_normal(rng);
            out->image[k * n + i] = draw_unit(hypot(real, 0.012 * fl_rng_normal(rng)));
        }
        if (out->mask != NULL) {
            out->mask[i] = tumour > 0.5 ? 1.0f : 0.0f;
        }
    }
}

const phantom_ops phantom_mri_tumour = {
    .name = "mri",
    .task = "tumour",
    .help = "brain MRI, T1 and FLAIR, slice or volume; tumour with its oedema, or none",
    .source = "mixture of tissues by sequence, folded cortex, mass effect",
    .classes = {"normal", "tumour", NULL},
    .structure = "tumour",
    .channels = {"t1", "flair", NULL},
    .n_channels = N_SEQUENCES,
    .volume = true,
    .difficulty = 0.85,
    .confused = {-1, -1},
    .render = render,
};
