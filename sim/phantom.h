/*
 * phantom.h - simulated patients: seed -> image, truth, patient
 *
 * One file a modality, one line in the registry.  A phantom draws a patient
 * (sex, age, body size), decides with the site's prevalence whether the finding
 * is there, and renders what an ideal scanner would show, in [0, 1].  What makes
 * one hospital's scanner differ from another's is data/shift's business.
 * Everything comes from the stream given: same stream, same patient, same bytes.
 */
#ifndef SIM_PHANTOM_H
#define SIM_PHANTOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"

enum { PHANTOM_MAX_CLASSES = 8 };

/* Whom a hospital sees. */
typedef struct {
    double female;             // share, [0, 1]
    double age_mean, age_sd;   // years
    double prevalence;         // share of the positive class, [0, 1]
} phantom_population;

typedef struct {
    char sex;                  // 'F' or 'M'
    double age;                // years, 18 to 95
    double body_size;          // 1 = average; scales tissue thickness
    int code;                  // class code
} phantom_patient;

typedef struct {
    const char *name;          // "xray"
    const char *task;          // "opacity"
    const char *help;
    const char *source;        // what the picture is modelled on
    const char *classes[PHANTOM_MAX_CLASSES + 1]; // code = index, NULL behind the last
    /*
     * Renders (1, size, size) into image and the finding's extent into mask (same
     * shape, 0 or 1; may be NULL).  difficulty in [0, 1]: 0 plain to see, 1 at the edge of what
     * a reader can tell.  patient is drawn from population first.
     */
    void (*render)(float *image, float *mask, phantom_patient *patient, int64_t size,
                   double difficulty, const phantom_population *population, fl_rng *rng);
} phantom_ops;

const phantom_ops *phantom_find(const char *name, const char *task); // NULL when unknown
const phantom_ops *phantom_at(size_t i);                             // NULL behind the last

/* Draws sex, age and body size; the class with the prevalence, which rises
 * with age about the site's mean (odds double in 30 years). */
void phantom_draw_patient(phantom_patient *out, const phantom_population *population, fl_rng *rng);

#endif
