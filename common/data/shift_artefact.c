/*
 * shift_artefact.c - what goes wrong while the picture is taken
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/shift_family.h"

/* --- motion --- */

/*
 * An MR slice is acquired line by line in k-space.  A patient who has moved by d
 * along the phase-encode axis multiplies the line of frequency k by
 * exp(-2 pi i k d / N) (Fourier's shift theorem); what differs from line to line
 * comes out as ghosts.  The middle line is the reference.
 */
static void ghost_plane(float *plane, int64_t rows, int64_t cols, double amplitude, double cycles,
                        double phase)
{
    double *re = fl_xcalloc((size_t)rows, sizeof *re);
    double *im = fl_xcalloc((size_t)rows, sizeof *im);
    double *cosine = fl_xcalloc((size_t)rows, sizeof *cosine);
    double *sine = fl_xcalloc((size_t)rows, sizeof *sine);
    for (int64_t i = 0; i < rows; i++) {
        cosine[i] = cos(2 * DATA_PI * (double)i / (double)rows);
        sine[i] = sin(2 * DATA_PI * (double)i / (double)rows);
    }
    for (int64_t c = 0; c < cols; c++) {
        for (int64_t k = 0; k < rows; k++) {
            double a = 0;
            double b = 0;
            for (int64_t r = 0; r < rows; r++) {
                double v = (double)plane[r * cols + c];
                a += v * cosine[k * r % rows];
                b -= v * sine[k * r % rows];
            }
            int64_t frequency = k <= rows / 2 ? k : k - rows;
            double moved = sin(2 * DATA_PI * cycles * (double)frequency / (double)rows + phase) -
                           sin(phase);
            double turn = -2 * DATA_PI * (double)frequency * amplitude * moved / (double)rows;
            re[k] = a * cos(turn) - b * sin(turn);
            im[k] = a * sin(turn) + b * cos(turn);
        }
        for (int64_t r = 0; r < rows; r++) {
            double a = 0;
            double b = 0;
            for (int64_t k = 0; k < rows; k++) {
                a += re[k] * cosine[k * r % rows] - im[k] * sine[k * r % rows];
                b += re[k] * sine[k * r % rows] + im[k] * cosine[k * r % rows];
            }
            plane[r * cols + c] = data_shift_unit(hypot(a, b) / (double)rows);
        }
    }
    free(re);
    free(im);
    free(cosine);
    free(sine);
}

static void motion(data_shift_image *image, double severity, fl_rng *rng)
{
    double amplitude = 0.011 * severity * (double)image->rows;
    double cycles = fl_rng_range(rng, 5, 9);  // breaths in an acquisition
    for (int64_t d = 0; d < image->depth; d++) {
        double phase = fl_rng_range(rng, 0, 2 * DATA_PI);
        for (int64_t c = 0; c < image->channels; c++) {
            ghost_plane(image->x + (c * image->depth + d) * image->rows * image->cols, image->rows,
                        image->cols, amplitude, cycles, phase);
        }
    }
}

/* --- metal --- */

/*
 * An implant stops nearly all quanta: it is white, and rays that met it are
 * reconstructed as bright and dark streaks that fade with the distance.
 */
static void metal(data_shift_image *image, double severity, fl_rng *rng)
{
    enum { STREAKS = 8 };
    double side = (double)data_shift_side(image);
    double at_r = (double)image->rows * fl_rng_range(rng, 0.3, 0.7);
    double at_c = (double)image->cols * fl_rng_range(rng, 0.3, 0.7);
    double radius = (0.012 + 0.006 * severity) * side;
    double weight[STREAKS], phase[STREAKS];
    for (int k = 0; k < STREAKS; k++) {
        weight[k] = fl_rng_normal(rng) / sqrt(STREAKS);
        phase[k] = fl_rng_range(rng, 0, 2 * DATA_PI);
    }
    int64_t plane = image->rows * image->cols;
    for (int64_t i = 0; i < plane; i++) {
        double dr = (double)(i / image->cols) - at_r;
        double dc = (double)(i % image->cols) - at_c;
        double distance = hypot(dr, dc);
        double angle = atan2(dr, dc);
        double streak = 0;
        for (int k = 0; k < STREAKS; k++) {
            streak += weight[k] * cos((k + 2) * 2 * angle + phase[k]);
        }
        streak *= 0.12 * severity / (1 + 3 * distance / side);
        for (int64_t p = 0; p < data_shift_planes(image); p++) {
            float *x = image->x + p * plane + i;
            *x = distance <= radius ? 1.0f : data_shift_unit((double)*x + streak);
        }
    }
}

/* --- rings --- */

/* A detector element that reads too much or too little draws a circle about
 * the axis of rotation; one in six is off. */
static void ring(data_shift_image *image, double severity, fl_rng *rng)
{
    double middle_r = ((double)image->rows - 1) / 2;
    double middle_c = ((double)image->cols - 1) / 2;
    size_t n = (size_t)ceil(hypot(middle_r, middle_c)) + 2;
    double *offset = fl_xcalloc(n, sizeof *offset);
    for (size_t i = 0; i < n; i++) {
        double z = fl_rng_normal(rng);
        offset[i] = fl_rng_uniform(rng) < 1.0 / 6 ? 0.05 * severity * z : 0;
    }
    int64_t plane = image->rows * image->cols;
    for (int64_t i = 0; i < data_shift_count(image); i++) {
        double dr = (double)(i % plane / image->cols) - middle_r;
        double dc = (double)(i % image->cols) - middle_c;
        double r = hypot(dr, dc);
        size_t k = (size_t)r;
        double between = (r - (double)k) * offset[k + 1] + ((double)k + 1 - r) * offset[k];
        image->x[i] = data_shift_unit((double)image->x[i] + between);
    }
    free(offset);
}

const data_shift_ops data_shift_artefact[] = {
    {"motion", "artefact", "MR ghosts of a breathing patient; 5: moves by 5 % of the height", false,
     motion, false},
    {"metal", "artefact", "an implant and its streaks; 5: 8 % wide, streaks of sd 0.4 beside it",
     false, metal, false},
    {"ring", "artefact", "CT detector elements off; 5: one in six by sd 0.25", false, ring, false},
    {0},
};
