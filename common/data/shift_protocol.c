/*
 * shift_protocol.c - how the picture is taken and shown
 */
#include <math.h>

#include "data/shift_family.h"

static void contrast(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    int64_t n = data_shift_count(image);
    double factor = 1 - 0.15 * severity;
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
        sum += (double)image->x[i];
    }
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) {
        image->x[i] = data_shift_unit(mean + factor * ((double)image->x[i] - mean));
    }
}

/* A narrower display window: the ends of the range are cut off. */
static void window(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    double low = 0.04 * severity;
    double high = 1 - 0.05 * severity;
    for (int64_t i = 0; i < data_shift_count(image); i++) {
        image->x[i] = data_shift_unit(((double)image->x[i] - low) / (high - low));
    }
}

typedef struct {
    double middle[2];  // row, column
    double half[2];    // of the old image
    double size;       // of what a pixel covers, in old pixels
} zoom;

static bool from_smaller(double to[2], const double from[2], const void *ctx)
{
    const zoom *z = ctx;
    bool inside = true;
    for (int k = 0; k < 2; k++) {
        double d = (from[k] - z->middle[k]) * z->size;
        to[k] = z->middle[k] + d;
        inside = inside && fabs(d) <= z->half[k];
    }
    return inside;
}

/* A larger field on the same matrix: the patient is smaller, around is black. */
static void field_of_view(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    zoom z = {.middle = {((double)image->rows - 1) / 2, ((double)image->cols - 1) / 2},
              .half = {(double)image->rows / 2, (double)image->cols / 2},
              .size = 1 + 0.12 * severity};
    data_shift_warp(image, from_smaller, &z);
    image->pixel_size *= z.size;
}

const data_shift_ops data_shift_protocol[] = {
    {"contrast", "protocol", "towards the mean; 5: a quarter is left", false, contrast, false},
    {"window", "protocol", "narrower window; 5: 0.20 to 0.75 of the range", false, window, false},
    {"field_of_view", "protocol", "a larger field, black around; 5: 1.6 times", false,
     field_of_view, true},
    {0},
};
