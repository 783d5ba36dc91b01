/*
 * phantom.c - the registry of phantoms, and the patients they share
 */
#include "sim/phantom.h"

#include <math.h>
#include <string.h>

extern const phantom_ops phantom_xray_opacity, phantom_xray_nodule, phantom_xray_effusion,
    phantom_xray_findings;
extern const phantom_ops phantom_mri_tumour;
extern const phantom_ops phantom_histology_grade;
extern const phantom_ops phantom_ct_lung, phantom_ct_liver;
extern const phantom_ops phantom_pet_malignancy;
extern const phantom_ops phantom_mammography_density, phantom_mammography_mass,
    phantom_mammography_calcification;
extern const phantom_ops phantom_ultrasound_lesion;

static const phantom_ops *const phantoms[] = {
    &phantom_xray_opacity,      &phantom_xray_nodule,
    &phantom_xray_effusion,     &phantom_xray_findings,
    &phantom_mri_tumour,        &phantom_histology_grade,
    &phantom_ct_lung,           &phantom_ct_liver,
    &phantom_pet_malignancy,    &phantom_mammography_density,
    &phantom_mammography_mass,  &phantom_mammography_calcification,
    &phantom_ultrasound_lesion, NULL,
};

const phantom_ops *phantom_find(const char *name, const char *task)
{
    for (size_t i = 0; phantoms[i] != NULL; i++) {
        if (strcmp(phantoms[i]->name, name) == 0 && strcmp(phantoms[i]->task, task) == 0) {
            return phantoms[i];
        }
    }
    return NULL;
}

const phantom_ops *phantom_at(size_t i)
{
    return i < sizeof phantoms / sizeof phantoms[0] ? phantoms[i] : NULL;
}

size_t phantom_n_classes(const phantom_ops *p)
{
    size_t n = 0;
    while (p->classes[n] != NULL) {
        n++;
    }
    return n;
}

static double clamp(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

void phantom_draw_patient(phantom_patient *out, const phantom_population *population, fl_rng *rng)
{
    out->sex = fl_rng_uniform(rng) < population->female ? 'F' : 'M';
    out->age = floor(clamp(population->age_mean + population->age_sd * fl_rng_normal(rng), 18, 95));
    out->body_size = clamp(1.0 + 0.12 * fl_rng_normal(rng), 0.7, 1.45);
    double p = clamp(population->prevalence, 0.0, 1.0);
    if (p > 0.0 && p < 1.0) {
        double logit = log(p / (1.0 - p)) + log(2.0) * (out->age - population->age_mean) / 30.0;
        p = 1.0 / (1.0 + exp(-logit));
    }
    out->code = fl_rng_uniform(rng) < p;
    out->findings = 0;
    for (int k = 0; k < PHANTOM_MAX_CLASSES; k++) {
        out->conspicuity[k] = 1;
    }
}
