/*
 * phantom.h - simulated patients: seed -> images, truth, patient
 *
 * One file a modality, one line in the registry.  A phantom draws a patient
 * (sex, age, body size), decides with the site's prevalence whether the finding
 * is there, and renders what an ideal scanner would show, in [0, 1].  What makes
 * one hospital's scanner differ from another's is data/shift's business; what its
 * readers make of it is annotate.h's.
 * Everything comes from the stream given: same stream, same patient, same bytes.
 */
#ifndef SIM_PHANTOM_H
#define SIM_PHANTOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"

enum { PHANTOM_MAX_CLASSES = 8, PHANTOM_MAX_CHANNELS = 3 };

/* Whom a hospital sees. */
typedef struct {
    double female;            // share, [0, 1]
    double age_mean, age_sd;  // years
    double prevalence;        // share of the positive class, [0, 1]
} phantom_population;

typedef struct {
    char sex;                                 // 'F' or 'M'
    double age;                               // years, 18 to 95
    double body_size;                         // 1 = average; scales tissue thickness
    int code;                                 // class code; multi-label: 1 with any finding
    unsigned findings;                        // multi-label: bit k is label k
    double conspicuity[PHANTOM_MAX_CLASSES];  // 0 hardly to be seen .. 1 plain: multi-label of
                                              // label k, else [0] of what was found; with nothing 1
} phantom_patient;

/* A case to be rendered; the buffers are the caller's. */
typedef struct {
    int64_t depth, size;  // slices (1: an image), pixels a side
    float *image;         // (channels, depth, size, size) in [0, 1]
    float *mask;          // (depth, size, size), 1 where the structure is, else 0; or NULL
    phantom_patient patient;
} phantom_case;

/* What 0 and 1 are where pictures are measurements. */
typedef struct {
    const char *unit;  // "HU"; NULL: a picture
    double low, high;
} phantom_scale;

typedef struct {
    const char *name;  // "xray"
    const char *task;  // "opacity"
    const char *help;
    const char *source;                              // what the picture is modelled on
    const char *classes[PHANTOM_MAX_CLASSES + 1];    // code = index, NULL behind the last
    bool multilabel;                                 // classes are labels, each there or not
    const char *structure;                           // what the mask outlines: "tumour"
    bool mask_everybody;                             // patients of every class have the structure
    const char *channels[PHANTOM_MAX_CHANNELS + 1];  // a file each: "t1"; none: one file
    int64_t n_channels;   // without named channels 1 is gray, 3 a colour picture
    phantom_scale scale;  // of phantoms of one channel
    bool volume;          // can render more than one slice
    double difficulty;    // where a scenario does not say: 500 images teach a small CNN to an AUC
                          // of 0.80 to 0.97 (docs/PHANTOMS.md)
    /*
     * For multi-label reports and ordered grades: the class a reader may write
     * instead (a parent, a neighbour); -1 none.
     */
    int confused[PHANTOM_MAX_CLASSES];
    /*
     * Renders out->image and, unless NULL, out->mask, after drawing out->patient from
     * population.  difficulty in [0, 1]: 0 plain to see, 1 at the edge of what a
     * reader can tell.
     */
    void (*render)(phantom_case *out, double difficulty, const phantom_population *population,
                   fl_rng *rng);
} phantom_ops;

const phantom_ops *phantom_find(const char *name, const char *task);  // NULL when unknown
const phantom_ops *phantom_at(size_t i);                              // NULL behind the last
size_t phantom_n_classes(const phantom_ops *p);

/* Draws sex, age and body size; the class with the prevalence, which rises
 * with age about the site's mean (odds double in 30 years). */
void phantom_draw_patient(phantom_patient *out, const phantom_population *population, fl_rng *rng);

#endif
