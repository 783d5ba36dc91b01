/*
 * phantom_ct.c - axial computed tomography in Hounsfield units: lung nodule, liver lesion
 *
 * Every point has the attenuation of its tissue (air -1000, fat -100, water 0,
 * muscle 55, liver 105 after contrast, bone to 400).  The anatomy is three-dimensional:
 * lungs with a tree of vessels, which a single slice shows as dots that look like
 * nodules; a liver with bright vessels and, in some, small cysts that are darker and
 * sharper than a lesion.
 * x < 0 is the patient's right, y < 0 the front, z < 0 the feet.
 */
#include "sim/phantom_ct.h"

enum { N_CYSTS = 3, N_RIBS = 12 };

/* Replaces part of the value by another tissue's. */
static void put(double *hu, double tissue, double amount)
{
    *hu += (tissue - *hu) * amount;
}

static double ellipsoid_at(double x, double y, double z, const double c[3], const double r[3])
{
    double u = (x - c[0]) / r[0], v = (y - c[1]) / r[1], w = (z - c[2]) / r[2];
    return sqrt(u * u + v * v + w * w);
}

/* Distance from the skin inwards, about 0 at the skin and 1 in the middle. */
static double depth_at(double rx, double ry, double x, double y)
{
    double u = x / rx, v = y / ry;
    double p = pow(fabs(u), 2.4) + pow(fabs(v), 2.4);  // a rounded box
    return 1 - pow(p, 1 / 2.4);
}

/* Vertebra, its canal, and ribs cut across; 0 to 1. */
static double bone_at(double depth, double ry, double x, double y, double z)
{
    double back = ry - 0.38;
    double body = draw_smoothstep(1.12, 0.9, hypot(x / 0.125, (y - back) / 0.10));
    double canal = draw_smoothstep(1.15, 0.85, hypot(x / 0.045, (y - back - 0.125) / 0.036));
    double arch = draw_smoothstep(1.12, 0.9, hypot(x / 0.10, (y - back - 0.125) / 0.085));
    double process = draw_smoothstep(1.15, 0.85, hypot(x / 0.028, (y - back - 0.21) / 0.06));
    double angle = atan2(y / ry, x / 0.86);
    double between = angle * N_RIBS / (2 * PHANTOM_PI) + 1.6 * z;
    double along = fabs(between - floor(between) - 0.5);
    double rib = draw_smoothstep(0.20, 0.12, along) *
                 draw_smoothstep(0.055, 0.035, fabs(depth - 0.175));
    rib *= draw_smoothstep(-0.55, -0.35, y);  // cartilage in front
    return fmax(fmax(body, rib), fmax(process, arch) * (1 - canal)) * (1 - canal);
}

// -------------------------------------------------------------------- chest

static void draw_vessels(ct_chest *c, double middle, double reach, fl_rng *rng)
{
    for (int i = 0; i < CT_VESSELS; i++) {
        ct_vessel *v = &c->vessels[i];
        double side = i % 2 == 0 ? -1 : 1;
        double out = fl_rng_range(rng, 0.30, 1.0), angle = fl_rng_range(rng, -2.2, 2.2);
        v->from[0] = side * fl_rng_range(rng, 0.16, 0.24);
        v->from[1] = fl_rng_range(rng, -0.05, 0.15);
        v->from[2] = middle + fl_rng_range(rng, -1, 1) * (reach + 0.15);
        v->to[0] = side * (0.2 + 0.52 * out * (0.35 + 0.65 * fabs(cos(angle / 2))));
        v->to[1] = 0.05 + 0.42 * out * sin(angle / 1.4);
        v->to[2] = v->from[2] + fl_rng_range(rng, -0.35, 0.35);
        v->radius = fl_rng_range(rng, 0.013, 0.030);
    }
}

void ct_chest_draw(ct_chest *out, const phantom_patient *patient, double middle, double reach,
                   fl_rng *rng)
{
    double size = patient->body_size;
    out->rx = fmin(0.84 + 0.25 * (size - 1), 0.97);
    out->ry = fmin(0.62 + 0.25 * (size - 1) + fl_rng_range(rng, -0.03, 0.03), 0.80);
    out->fat = fmax(0.04, 0.08 + 0.12 * (size - 1));
    out->lung_rx = fl_rng_range(rng, 0.27, 0.31);
    out->lung_ry = fl_rng_range(rng, 0.38, 0.45);
    out->heart_x = fl_rng_range(rng, 0.08, 0.16);
    out->heart_y = fl_rng_range(rng, -0.22, -0.12);
    out->heart_r = fl_rng_range(rng, 0.19, 0.26) + 0.02 * (patient->age - 50) / 40;
    draw_noise3_init(&out->noise, rng);
    draw_vessels(out, middle, reach, rng);
    out->has_nodule = false;
}

/* Parts of the point that are lung. */
static double lung_at(const ct_chest *c, double x, double y, double z)
{
    double d = fabs(x) - 0.40, v = (y + 0.02) / c->lung_ry;
    double r = hypot(d / c->lung_rx, v) * (1 + 0.10 * z * z);
    r *= 1 + 0.04 * draw_noise3_at(&c->noise, 2 * x, 2 * y, 2 * z);
    return draw_smoothstep(1.03, 0.97, r);
}

void ct_chest_add_nodule(ct_chest *chest, double radius, double hu, double middle, double reach,
                         fl_rng *rng)
{
    double x, y;
    do {
        x = fl_rng_range(rng, -0.7, 0.7);
        y = fl_rng_range(rng, -0.45, 0.45);
    } while (lung_at(chest, x, y, middle) < 0.99);
    chest->has_nodule = true;
    chest->nodule_hu = hu;
    chest->nodule = (draw_ball){.x = x,
                                .y = y,
                                .z = middle + fl_rng_range(rng, -1, 1) * fmin(reach, 0.5 * radius),
                                .rx = radius * fl_rng_range(rng, 0.9, 1.1),
                                .ry = radius * fl_rng_range(rng, 0.9, 1.1),
                                .rz = radius * fl_rng_range(rng, 0.9, 1.1),
                                .bend = fl_rng_range(rng, 0.05, 0.4),
                                .frequency = 1.5,
                                .offset = fl_rng_range(rng, 0, 8)};
}

static double vessels_at(const ct_chest *c, double x, double y, double z)
{
    const double p[3] = {x, y, z};
    double most = 0;
    for (int i = 0; i < CT_VESSELS; i++) {
        const ct_vessel *v = &c->vessels[i];
        double along = 0, length = 0, apart = 0;
        for (int k = 0; k < 3; k++) {
            along += (p[k] - v->from[k]) * (v->to[k] - v->from[k]);
            length += (v->to[k] - v->from[k]) * (v->to[k] - v->from[k]);
        }
        double t = fmin(fmax(along / length, 0), 1);
        for (int k = 0; k < 3; k++) {
            double d = p[k] - draw_mix(v->from[k], v->to[k], t);
            apart += d * d;
        }
        double radius = v->radius * (1.1 - 0.6 * t);  // thins out
        most = fmax(most, draw_smoothstep(1.4, 0.6, sqrt(apart) / radius));
    }
    return most;
}

ct_point ct_chest_at(const ct_chest *chest, double x, double y, double z)
{
    ct_point p = {.hu = -1000};
    double depth = depth_at(chest->rx, chest->ry, x, y);
    p.body = draw_smoothstep(-0.01, 0.015, depth);
    put(&p.hu, -95, p.body);
    put(&p.hu, 50, draw_smoothstep(chest->fat - 0.01, chest->fat + 0.015, depth));
    p.lung = lung_at(chest, x, y, z);
    double fine = draw_fractal3_at(&chest->noise, x, y, z, 6, 2);
    put(&p.hu, -850 + 45 * fine + 60 * y, p.lung);
    if (p.lung > 0) {
        put(&p.hu, 35, p.lung * vessels_at(chest, x, y, z));
    }
    p.heart = draw_smoothstep(1.06, 0.94,
                              hypot((x - chest->heart_x) / (1.15 * chest->heart_r),
                                    (y - chest->heart_y) / chest->heart_r));
    put(&p.hu, 60, p.heart);
    put(&p.hu, 130,
        draw_smoothstep(1.15, 0.9, hypot((x - 0.13) / 0.065, (y - chest->ry + 0.49) / 0.065)));
    put(&p.hu, -900, 0.95 * draw_smoothstep(1.2, 0.85, hypot(x / 0.05, (y - 0.02) / 0.05)));
    p.bone = bone_at(depth, chest->ry, x, y, z);
    put(&p.hu, 260, p.bone);
    if (chest->has_nodule) {
        double r = draw_ball_at(&chest->nodule, &chest->noise, x, y, z);
        p.nodule = draw_smoothstep(1.12, 0.88, r) * p.lung;
        put(&p.hu, chest->nodule_hu, p.nodule);
    }
    return p;
}

// ------------------------------------------------------------------ abdomen

typedef struct {
    double rx, ry, fat;
    double liver_hu;
    draw_ball liver;
    double stomach_x, air;
    draw_noise3 noise;
    draw_ball cysts[N_CYSTS];
    int n_cysts;
    bool has_lesion;
    draw_ball lesion;
    double lesion_hu;
} abdomen;

static double liver_at(const abdomen *a, double x, double y, double z)
{
    double r = draw_ball_at(&a->liver, &a->noise, x, y, z);
    return draw_smoothstep(1.03, 0.97, r) * draw_smoothstep(0.20, 0.08, x + 0.5 * (y + 0.15));
}

static void place_in_liver(draw_ball *b, const abdomen *a, double middle, fl_rng *rng)
{
    do {
        b->x = fl_rng_range(rng, -0.75, 0.1);
        b->y = fl_rng_range(rng, -0.5, 0.35);
    } while (liver_at(a, b->x, b->y, middle) < 0.99 ||
             liver_at(a, b->x + 0.06, b->y, middle) < 0.9);
    b->offset = fl_rng_range(rng, 0, 8);
    b->frequency = 1.6;
}

static void draw_abdomen(abdomen *a, const phantom_patient *patient, double middle, double reach,
                         fl_rng *rng)
{
    double size = patient->body_size;
    a->rx = fmin(0.82 + 0.3 * (size - 1), 0.97);
    a->ry = fmin(0.62 + 0.35 * (size - 1) + fl_rng_range(rng, -0.03, 0.03), 0.85);
    a->fat = fmax(0.04, 0.10 + 0.22 * (size - 1));
    a->liver_hu = fl_rng_range(rng, 95, 122);
    draw_noise3_init(&a->noise, rng);
    a->liver = (draw_ball){.x = fl_rng_range(rng, -0.33, -0.27),
                           .y = fl_rng_range(rng, -0.10, -0.03),
                           .z = middle,
                           .rx = fl_rng_range(rng, 0.40, 0.46) * a->rx / 0.82,
                           .ry = fl_rng_range(rng, 0.36, 0.44) * a->ry / 0.62,
                           .rz = 1.5 * (reach + 0.4),
                           .bend = 0.12,
                           .frequency = 1.2};
    a->stomach_x = fl_rng_range(rng, 0.28, 0.40);
    a->air = fl_rng_range(rng, -0.36, -0.22);
    a->n_cysts = fl_rng_uniform(rng) < 0.35 ? 1 + (int)fl_rng_below(rng, N_CYSTS) : 0;
    for (int i = 0; i < a->n_cysts; i++) {
        double r = fl_rng_range(rng, 0.025, 0.06);
        a->cysts[i] = (draw_ball){
            .z = middle + fl_rng_range(rng, -1, 1) * (reach + 0.02), .rx = r, .ry = r, .rz = r};
        place_in_liver(&a->cysts[i], a, middle, rng);
    }
    a->has_lesion = false;
}

static void draw_lesion(abdomen *a, double *conspicuity, double difficulty, double middle,
                        double reach, fl_rng *rng)
{
    double radius = 0.20 - 0.11 * difficulty, r = radius * fl_rng_range(rng, 0.6, 1.3);
    double drop = 75 - 50 * difficulty, contrast = drop * fl_rng_range(rng, 0.7, 1.35);
    a->has_lesion = true;
    a->lesion_hu = a->liver_hu - contrast;
    a->lesion = (draw_ball){.z = middle + fl_rng_range(rng, -1, 1) * fmin(reach, 0.5 * r),
                            .rx = r * fl_rng_range(rng, 0.8, 1.2),
                            .ry = r * fl_rng_range(rng, 0.8, 1.2),
                            .rz = r,
                            .bend = fl_rng_range(rng, 0.2, 0.6)};
    place_in_liver(&a->lesion, a, middle, rng);
    *conspicuity = fmin(fmax(0.5 * ((r / radius - 0.6) / 0.7 + (contrast / drop - 0.7) / 0.65), 0),
                        1);
}

/* *lesion: how much of the point is. */
static double abdomen_at(double *lesion, const abdomen *a, double x, double y, double z)
{
    static const double spleen_c[3] = {0.60, 0.14, 0.0}, kidney_c[3] = {0.36, 0.33, -0.1};
    static const double spleen_r[3] = {0.15, 0.24, 0.6}, kidney_r[3] = {0.12, 0.15, 0.7};
    double hu = -1000, depth = depth_at(a->rx, a->ry, x, y);
    put(&hu, -100, draw_smoothstep(-0.01, 0.015, depth));
    put(&hu, 58, draw_smoothstep(a->fat - 0.01, a->fat + 0.015, depth));
    put(&hu, -95, draw_smoothstep(a->fat + 0.10, a->fat + 0.13, depth));  // fat between organs
    double bowel = draw_fractal3_at(&a->noise, x + 0.5, y, z, 2.6, 2);
    put(&hu, 35,
        draw_smoothstep(0.02, 0.10, bowel) * draw_smoothstep(a->fat + 0.12, a->fat + 0.18, depth));
    double scaled = x * 0.82 / a->rx;
    put(&hu, 118, draw_smoothstep(1.05, 0.95, ellipsoid_at(scaled, y, z, spleen_c, spleen_r)));
    double kidney = ellipsoid_at(fabs(scaled), y, z, kidney_c, kidney_r);
    put(&hu, 165, draw_smoothstep(1.06, 0.95, kidney));
    put(&hu, 60, draw_smoothstep(0.55, 0.40, kidney));
    double stomach = hypot((x - a->stomach_x) / 0.24, (y + 0.22) / 0.20);
    put(&hu, 60, draw_smoothstep(1.05, 0.97, stomach));
    put(&hu, y < a->air ? -900 : 15, draw_smoothstep(0.92, 0.85, stomach));
    double liver = liver_at(a, x, y, z);
    put(&hu, a->liver_hu + 5 * draw_fractal3_at(&a->noise, x, y, z, 5, 2), liver);
    double tree = fabs(draw_noise3_at(&a->noise, 3.2 * x + 2, 3.2 * y, 2.4 * z));
    double branch = draw_noise3_at(&a->noise, 2.1 * x + 5, 2.1 * y + 1, 2 * z);
    put(&hu, a->liver_hu + 45,
        liver * draw_smoothstep(0.055, 0.02, tree) * draw_smoothstep(-0.1, 0.15, branch));
    for (int i = 0; i < a->n_cysts; i++) {
        put(&hu, 8,
            liver * draw_smoothstep(1.1, 0.9, draw_ball_at(&a->cysts[i], &a->noise, x, y, z)));
    }
    *lesion = 0;
    if (a->has_lesion) {
        *lesion = liver * draw_smoothstep(1.18, 0.82, draw_ball_at(&a->lesion, &a->noise, x, y, z));
        put(&hu, a->lesion_hu, *lesion);
    }
    put(&hu, 150,
        draw_smoothstep(1.12, 0.92, hypot((x - 0.05) / 0.065, (y - a->ry + 0.54) / 0.065)));
    put(&hu, 140,
        draw_smoothstep(1.12, 0.92, hypot((x + 0.11) / 0.075, (y - a->ry + 0.55) / 0.055)));
    put(&hu, 300, bone_at(depth, a->ry, x, y, z));
    return hu;
}

// ---------------------------------------------------------------- rendering

enum { QUANTUM_HU = 9 };  // noise of a good scanner at a full dose

static float shown(double hu, const phantom_scale *scale, fl_rng *rng)
{
    hu += QUANTUM_HU * fl_rng_normal(rng);
    return draw_unit((hu - scale->low) / (scale->high - scale->low));
}

static const phantom_scale lung_scale = {"HU", -1100, 300}, liver_scale = {"HU", -160, 240};

static void render_lung(phantom_case *out, double difficulty, const phantom_population *population,
                        fl_rng *rng)
{
    bool volume = out->depth > 1;
    ct_chest c;
    double middle = 0, reach = volume ? 0.35 : 0;
    phantom_draw_patient(&out->patient, population, rng);
    ct_chest_draw(&c, &out->patient, middle, reach, rng);
    if (out->patient.code == 1) {
        double radius = 0.155 - 0.085 * difficulty, r = radius * fl_rng_range(rng, 0.7, 1.3);
        double hu = fl_rng_range(rng, -250, 60) - 250 * difficulty * fl_rng_uniform(rng);
        ct_chest_add_nodule(&c, r, hu, middle, reach, rng);
        out->patient.conspicuity[0] = fmin(fmax((r / radius - 0.7) / 0.6, 0), 1);
    }
    int64_t size = out->size, plane = size * size;
    for (int64_t i = 0; i < out->depth * plane; i++) {
        double z = middle + (volume ? reach * draw_centre(i / plane, out->depth) : 0);
        ct_point p = ct_chest_at(&c, draw_centre(i % size, size),
                                 draw_centre(i % plane / size, size), z);
        out->image[i] = shown(p.hu, &lung_scale, rng);
        if (out->mask != NULL) {
            out->mask[i] = p.nodule > 0.5 ? 1.0f : 0.0f;
        }
    }
}

static void render_liver(phantom_case *out, double difficulty, const phantom_population *population,
                         fl_rng *rng)
{
    bool volume = out->depth > 1;
    abdomen a;
    double middle = 0, reach = volume ? 0.35 : 0;
    phantom_draw_patient(&out->patient, population, rng);
    draw_abdomen(&a, &out->patient, middle, reach, rng);
    if (out->patient.code == 1) {
        draw_lesion(&a, &out->patient.conspicuity[0], difficulty, middle, reach, rng);
    }
    int64_t size = out->size, plane = size * size;
    for (int64_t i = 0; i < out->depth * plane; i++) {
        double z = middle + (volume ? reach * draw_centre(i / plane, out->depth) : 0), lesion;
        double hu = abdomen_at(&lesion, &a, draw_centre(i % size, size),
                               draw_centre(i % plane / size, size), z);
        out->image[i] = shown(hu, &liver_scale, rng);
        if (out->mask != NULL) {
            out->mask[i] = lesion > 0.5 ? 1.0f : 0.0f;
        }
    }
}

const phantom_ops phantom_ct_lung = {
    .name = "ct",
    .task = "lung",
    .help = "axial chest CT in Hounsfield units, slice or volume; lung nodule or none",
    .source = "attenuation by tissue, a tree of vessels",
    .classes = {"normal", "nodule", NULL},
    .structure = "nodule",
    .n_channels = 1,
    .scale = {"HU", -1100, 300},
    .volume = true,
    .difficulty = 0.2,
    .confused = {-1, -1},
    .render = render_lung,
};

const phantom_ops phantom_ct_liver = {
    .name = "ct",
    .task = "liver",
    .help = "axial abdominal CT in Hounsfield units, slice or volume; liver lesion or none",
    .source = "attenuation by tissue in the portal venous phase",
    .classes = {"normal", "lesion", NULL},
    .structure = "lesion",
    .n_channels = 1,
    .scale = {"HU", -160, 240},
    .volume = true,
    .difficulty = 0.15,
    .confused = {-1, -1},
    .render = render_liver,
};
