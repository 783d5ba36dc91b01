/*
 * shift_curve.h - "and under that scanner?": chains to be tried at severities 1 to 5
 *
 * What `evaluation: {shift: [...]}` of a job and `client evaluate --shift` name:
 * a transform, several one after the other, or a whole family, each of whose
 * transforms is then tried by itself.
 */
#ifndef DATA_SHIFT_CURVE_H
#define DATA_SHIFT_CURVE_H

#include "data/shift.h"
#include "data/spec.h"

enum {
    DATA_SHIFT_SEVERITIES = 5,
    DATA_SHIFT_CURVES = 32,  // most that one evaluation tries
    DATA_SHIFT_CURVE_BYTES = 128
};

/* One chain, every transform of which gets the same severity. */
typedef struct {
    char name[DATA_SHIFT_CURVE_BYTES];  // "blur", "blur,noise"
    const char *family;                 // of its transforms; "mixed"
    const data_shift_ops *ops[DATA_SHIFT_MAX];
    size_t n;
} data_shift_curve;

typedef struct {
    data_shift_curve item[DATA_SHIFT_CURVES];
    size_t n;
} data_shift_curves;

/*
 * Adds what text names: "blur", "blur,noise" (one after the other), a family
 * ("scanner") or "all".  Of a family and of "all", what does not suit spec is left out
 * (colours of grey images); named by itself it is FL_EUNSUPPORTED.  FL_EUSAGE for an unknown name, or one that is there
 * already.
 */
fl_status data_shift_curves_add(data_shift_curves *c, const char *text, const data_spec *spec,
                                fl_err *err);

/* The chain at a severity in [0, 5]. */
void data_shift_curve_at(data_shift *out, const data_shift_curve *curve, double severity);

#endif
