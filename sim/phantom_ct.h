/*
 * phantom_ct.h - the chest that CT shows and PET shows again; known to phantoms only
 */
#ifndef SIM_PHANTOM_CT_H
#define SIM_PHANTOM_CT_H

#include "sim/phantom_draw.h"

enum { CT_VESSELS = 36 };

typedef struct {
    double from[3], to[3];
    double radius;
} ct_vessel;

typedef struct {
    double rx, ry;  // of the body
    double fat;     // thickness under the skin
    double lung_rx, lung_ry;
    double heart_x, heart_y, heart_r;
    ct_vessel vessels[CT_VESSELS];
    draw_noise3 noise;
    bool has_nodule;
    draw_ball nodule;
    double nodule_hu;
} ct_chest;

/* What a point is made of, in parts; the rest is air. */
typedef struct {
    double body, lung, heart, bone, nodule;
    double hu;
} ct_point;

/* middle, reach: of what is shown along z, as for every volume.  radius: the nodule's. */
void ct_chest_draw(ct_chest *out, const phantom_patient *patient, double middle, double reach,
                   fl_rng *rng);
void ct_chest_add_nodule(ct_chest *chest, double radius, double hu, double middle, double reach,
                         fl_rng *rng);
ct_point ct_chest_at(const ct_chest *chest, double x, double y, double z);

#endif
