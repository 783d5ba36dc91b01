/*
 * shift_workflow.c - what happens to a picture afterwards: files, photographs of films
 */
#include <math.h>

#include "data/image.h"
#include "data/shift_family.h"

/* Channels other than gray or RGB are compressed one by one. */
static void jpeg(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    int quality = (int)floor(100 * exp(-0.5 * severity) + 0.5);
    int64_t together = image->channels == 3 && image->depth == 1 ? 3 : 1;
    for (int64_t p = 0; p < data_shift_planes(image); p += together) {
        bool done = data_jpeg_roundtrip(image->x + p * image->rows * image->cols, together,
                                        image->rows, image->cols, quality);
        FL_REQUIRE(done);  // what we wrote ourselves can be read
    }
}

/* --- geometry --- */

typedef struct {
    double middle[2];
    double cosine, sine;
} turn;

static bool from_turned(double to[2], const double from[2], const void *ctx)
{
    const turn *t = ctx;
    double dr = from[0] - t->middle[0];
    double dc = from[1] - t->middle[1];
    to[0] = t->middle[0] + dr * t->cosine - dc * t->sine;
    to[1] = t->middle[1] + dr * t->sine + dc * t->cosine;
    return true;
}

/* The patient lies askew, to one side or the other. */
static void rotation(data_shift_image *image, double severity, fl_rng *rng)
{
    double side = fl_rng_uniform(rng) < 0.5 ? -1 : 1;
    double angle = side * 3 * severity * DATA_PI / 180;
    turn t = {.middle = {((double)image->rows - 1) / 2, ((double)image->cols - 1) / 2},
              .cosine = cos(angle),
              .sine = sin(angle)};
    data_shift_warp(image, from_turned, &t);
}

typedef struct {
    double size[2];  // rows, columns
    double tilt[2];  // of the film against the camera, about each axis
} camera;

/* Plane projective: a tilted film's far side is smaller. */
static bool from_photo(double to[2], const double from[2], const void *ctx)
{
    const camera *k = ctx;
    double u[2];
    for (int i = 0; i < 2; i++) {
        u[i] = 2 * (from[i] + 0.5) / k->size[i] - 1;
    }
    double w = 1 + k->tilt[0] * u[0] + k->tilt[1] * u[1];
    bool inside = true;
    for (int i = 0; i < 2; i++) {
        double v = u[i] * (1 + fabs(k->tilt[0]) + fabs(k->tilt[1])) / w;
        to[i] = (v + 1) / 2 * k->size[i] - 0.5;
        inside = inside && fabs(v) <= 1;
    }
    return inside;
}

static void perspective(data_shift_image *image, double severity, fl_rng *rng)
{
    double direction = fl_rng_range(rng, 0, 2 * DATA_PI);
    camera k = {.size = {(double)image->rows, (double)image->cols},
                .tilt = {0.05 * severity * sin(direction), 0.05 * severity * cos(direction)}};
    data_shift_warp(image, from_photo, &k);
}

/* --- light --- */

/* The room's lamp in the film: a bright spot that hides what is under it. */
static void glare(data_shift_image *image, double severity, fl_rng *rng)
{
    double at_r = (double)image->rows * fl_rng_range(rng, 0.15, 0.85);
    double at_c = (double)image->cols * fl_rng_range(rng, 0.15, 0.85);
    double sigma = fl_rng_range(rng, 0.12, 0.25) * (double)data_shift_side(image);
    int64_t plane = image->rows * image->cols;
    for (int64_t i = 0; i < data_shift_count(image); i++) {
        double dr = (double)(i % plane / image->cols) - at_r;
        double dc = (double)(i % image->cols) - at_c;
        double light = 0.18 * severity * exp(-(dr * dr + dc * dc) / (2 * sigma * sigma));
        image->x[i] = data_shift_unit(1 - (1 - (double)image->x[i]) * (1 - light));
    }
}

/* The camera's grid on the screen's or the grid's: bands where they beat. */
static void moire(data_shift_image *image, double severity, fl_rng *rng)
{
    double side = (double)data_shift_side(image);
    double period = fl_rng_range(rng, 0.05, 0.10) * side;
    double direction = fl_rng_range(rng, 0, DATA_PI);
    double phase = fl_rng_range(rng, 0, 2 * DATA_PI);
    int64_t plane = image->rows * image->cols;
    for (int64_t i = 0; i < data_shift_count(image); i++) {
        double r = (double)(i % plane / image->cols);
        double c = (double)(i % image->cols);
        double bend = 0.8 * sin(2 * DATA_PI * (r - c) / (3 * side));
        double along = (r * sin(direction) + c * cos(direction)) / period + bend;
        double factor = 1 + 0.06 * severity * cos(2 * DATA_PI * along + phase);
        image->x[i] = data_shift_unit((double)image->x[i] * factor);
    }
}

/* A light box that is brighter at one side. */
static void uneven_light(data_shift_image *image, double severity, fl_rng *rng)
{
    double direction = fl_rng_range(rng, 0, 2 * DATA_PI);
    int64_t plane = image->rows * image->cols;
    for (int64_t i = 0; i < data_shift_count(image); i++) {
        double u = 2 * ((double)(i % plane / image->cols) + 0.5) / (double)image->rows - 1;
        double v = 2 * ((double)(i % image->cols) + 0.5) / (double)image->cols - 1;
        double down = 0.5 + 0.5 * (u * sin(direction) + v * cos(direction)) / sqrt(2);
        image->x[i] = data_shift_unit((double)image->x[i] * (1 - 0.15 * severity * down));
    }
}

const data_shift_ops data_shift_workflow[] = {
    {"jpeg", "workflow", "lossy compression; 5: quality 8 of 100", false, jpeg, false},
    {"rotation", "workflow", "to either side; 5: 15 degrees", false, rotation, true},
    {"perspective", "workflow", "a photographed film, tilted; 5: far side a quarter smaller", false,
     perspective, true},
    {"glare", "workflow", "a lamp's reflection; 5: 90 % of white at its middle",
     false, glare, false},
    {"moire", "workflow", "bands of two beating grids; 5: +- 30 %", false, moire, false},
    {"uneven_light", "workflow", "darker to one side; 5: by 75 % at the corner", false,
     uneven_light, false},
    {0},
};
