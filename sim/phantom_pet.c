/*
 * phantom_pet.c - uptake of FDG in the chest, with the CT of the same patient
 *
 * Everybody has a lung nodule on CT; whether it is malignant is seen in how much
 * sugar it takes up (standardised uptake value).  PET is blurred (a resolution of
 * about 7 mm), so a small nodule looks colder than it is, and its noise is that of
 * few counts, correlated by the same blur.  Hearts and inflamed lymph nodes are
 * warm too, and not malignant.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "sim/phantom_ct.h"

enum { PET, CT, N_CHANNELS, MAX_NODES = 4 };

static const double most_suv = 8;   // is white
static const double sigma = 0.026;  // of the blur: 3 mm of 120 a unit

typedef struct {
    ct_chest chest;
    draw_ball nodes[MAX_NODES];
    int n_nodes;
    double node_suv[MAX_NODES];
    double nodule_suv, heart_suv, blood_suv;
} uptake;

static void draw_uptake(uptake *u, phantom_patient *patient, double difficulty, double middle,
                        double reach, fl_rng *rng)
{
    ct_chest_draw(&u->chest, patient, middle, reach, rng);
    ct_chest_add_nodule(&u->chest, fl_rng_range(rng, 0.055, 0.12), fl_rng_range(rng, -80, 60),
                        middle, reach, rng);
    double away = 0.62 - 0.40 * difficulty;
    double heat = 0.95 + (patient->code == 1 ? away : -away) + 0.28 * fl_rng_normal(rng);
    u->nodule_suv = exp(heat);  // about 1.4 and 4.8 at difficulty 0
    patient->conspicuity[0] = fmin(fabs(heat - 0.95) / 0.9, 1);
    u->blood_suv = fl_rng_range(rng, 1.1, 1.8);
    u->heart_suv = fl_rng_uniform(rng) < 0.5 ? fl_rng_range(rng, 3, 7)
                                             : fl_rng_range(rng, 1.2, 2.5);
    u->n_nodes = (int)fl_rng_below(rng, MAX_NODES + 1);
    for (int i = 0; i < u->n_nodes; i++) {
        double r = fl_rng_range(rng, 0.03, 0.06);
        u->nodes[i] = (draw_ball){.x = fl_rng_range(rng, -0.25, 0.25),
                                  .y = fl_rng_range(rng, -0.08, 0.18),
                                  .z = middle + fl_rng_range(rng, -1, 1) * (reach + 0.03),
                                  .rx = r,
                                  .ry = r,
                                  .rz = r};
        u->node_suv[i] = fl_rng_range(rng, 2, 5.5);
    }
}

static void put(double *suv, double tissue, double amount)
{
    *suv += (tissue - *suv) * amount;
}

static double suv_at(const uptake *u, const ct_point *p, double x, double y, double z)
{
    double suv = 0.02;
    const ct_chest *c = &u->chest;
    put(&suv, 0.75, p->body);
    put(&suv, 0.40, p->lung);
    double mediastinum = draw_smoothstep(0.26, 0.18, fabs(x)) *
                         draw_smoothstep(0.40, 0.30, fabs(y - 0.02));
    put(&suv, u->blood_suv, mediastinum * (1 - p->lung));
    double wall = hypot((x - c->heart_x) / (1.15 * c->heart_r), (y - c->heart_y) / c->heart_r);
    put(&suv, u->blood_suv, p->heart);
    put(&suv, u->heart_suv, p->heart * draw_smoothstep(0.50, 0.68, wall));  // the muscle
    put(&suv, 1.3, 0.8 * p->bone);
    for (int i = 0; i < u->n_nodes; i++) {
        put(&suv, u->node_suv[i],
            draw_smoothstep(1.1, 0.9, draw_ball_at(&u->nodes[i], &c->noise, x, y, z)));
    }
    put(&suv, u->nodule_suv, p->nodule);
    return suv;
}

/* Counts of one slice, then the detector's blur in the slice. */
static void scan_slice(float *pet, int64_t size, fl_rng *rng)
{
    const double counts = 26 * 64.0 * 64.0 / (double)(size * size);  // per SUV and pixel
    for (int64_t i = 0; i < size * size; i++) {
        pet[i] = (float)((double)fl_rng_poisson(rng, counts * (double)pet[i]) / counts);
    }
    double pixels = sigma * (double)size;
    draw_blur(pet, size, size, pixels, pixels);
    for (int64_t i = 0; i < size * size; i++) {
        pet[i] = draw_unit((double)pet[i] / most_suv);
    }
}

/* The blur along z is that of a few slices' mean. */
static void blur_depth(float *pet, int64_t depth, int64_t plane, double slices)
{
    float *column = fl_xcalloc((size_t)depth, sizeof *column);
    for (int64_t i = 0; i < plane; i++) {
        for (int64_t d = 0; d < depth; d++) {
            column[d] = pet[d * plane + i];
        }
        draw_blur(column, 1, depth, 0, slices);
        for (int64_t d = 0; d < depth; d++) {
            pet[d * plane + i] = column[d];
        }
    }
    free(column);
}

static void render(phantom_case *out, double difficulty, const phantom_population *population,
                   fl_rng *rng)
{
    bool volume = out->depth > 1;
    uptake u;
    double middle = 0, reach = volume ? 0.35 : 0;
    phantom_draw_patient(&out->patient, population, rng);
    draw_uptake(&u, &out->patient, difficulty, middle, reach, rng);
    int64_t size = out->size, plane = size * size, n = out->depth * plane;
    for (int64_t i = 0; i < n; i++) {
        double x = draw_centre(i % size, size), y = draw_centre(i % plane / size, size);
        double z = middle + (volume ? reach * draw_centre(i / plane, out->depth) : 0);
        ct_point p = ct_chest_at(&u.chest, x, y, z);
        out->image[PET * n + i] = (float)suv_at(&u, &p, x, y, z);
        out->image[CT * n + i] = draw_unit((p.hu + 12 * fl_rng_normal(rng) + 1100) / 1400);
        if (out->mask != NULL) {
            out->mask[i] = p.nodule > 0.5 ? 1.0f : 0.0f;
        }
    }
    if (volume) {
        blur_depth(out->image + PET * n, out->depth, plane, sigma / reach * (double)out->depth / 2);
    }
    for (int64_t d = 0; d < out->depth; d++) {
        scan_slice(out->image + PET * n + d * plane, size, rng);
    }
}

const phantom_ops phantom_pet_malignancy = {
    .name = "pet",
    .task = "malignancy",
    .help = "FDG-PET with CT of the chest, slice or volume; lung nodule, benign or malignant",
    .source = "uptake by tissue, counting noise, detector blur",
    .classes = {"benign", "malignant", NULL},
    .structure = "nodule",
    .mask_everybody = true,
    .channels = {"pet", "ct", NULL},
    .n_channels = N_CHANNELS,
    .volume = true,
    .difficulty = 0.4,
    .confused = {1, 0},
    .render = render,
};
