/*
 * dicom_place.c - where a DICOM image lies in the patient
 */
#include <math.h>
#include <string.h>

#include "data/dicom.h"
#include "data/image.h"

static double positive(dicom_numbers v, size_t i)
{
    return v.n > i && v.v[i] > 0 ? v.v[i] : 0;
}

/* DICOM's patient axes are left, back, top; the first two are turned. */
void data_dicom_place(data_image *out, const dicom_header *h)
{
    dicom_numbers spacing = h->spacing.n >= 2 ? h->spacing : h->imager_spacing;
    const dicom_track *at = &h->position;
    bool measured = at->n > 1 && at->n == h->frames;
    double step[3] = {0};

    out->spacing_mm[1] = positive(spacing, 0);
    out->spacing_mm[2] = positive(spacing, 1);
    out->thickness_mm = positive(h->thickness, 0);
    if (measured && at->uneven) {
        return;  // the frames are no grid
    }
    out->spacing_mm[0] = positive(h->between, 0) > 0 ? h->between.v[0] : out->thickness_mm;
    if (h->grid.n > 1) {
        out->spacing_mm[0] = fabs(h->grid.v[1] - h->grid.v[0]);
    }
    for (int i = 0; measured && i < 3; i++) {
        step[i] = (at->last.v[i] - at->first.v[i]) / (double)(h->frames - 1);
    }
    double length = sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2]);
    if (length > 0) {
        out->spacing_mm[0] = length;
    }
    if (h->orientation.n != 6 || at->first.n != 3 || out->spacing_mm[1] == 0) {
        return;
    }
    const double *x = h->orientation.v;
    const double *y = h->orientation.v + 3;
    const double normal[3] = {x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2],
                              x[0] * y[1] - x[1] * y[0]};
    double depth = out->spacing_mm[0] > 0 ? out->spacing_mm[0] : 1;
    for (int i = 0; i < 3; i++) {
        double sign = i < 2 ? -1 : 1;
        double *row = out->affine + 4 * i;
        row[0] = sign * x[i] * out->spacing_mm[2];
        row[1] = sign * y[i] * out->spacing_mm[1];
        row[2] = sign * (length > 0 ? step[i] : normal[i] * depth);
        row[3] = sign * at->first.v[i];
    }
    data_image_set_orientation(out);
    if (out->orientation[0] == '\0') {
        memset(out->affine, 0, sizeof out->affine);
    }
}
