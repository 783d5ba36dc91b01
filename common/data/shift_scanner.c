/*
 * shift_scanner.c - the machine: sharpness, slice thickness, noise, brightness
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/resample.h"
#include "data/shift_family.h"

/* --- sharpness --- */

static void blur(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    double sigma = 0.008 * severity * (double)data_shift_side(image);
    data_shift_gaussian(image->x, data_shift_planes(image), image->rows, image->cols, sigma,
                        image->scratch);
}

/* A detector of fewer elements, shown at the old size. */
static void resolution(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    double factor = 1 + 0.6 * severity;
    int64_t rows = image->rows;
    int64_t cols = image->cols;
    int64_t few_rows = (int64_t)fmax(1, floor((double)rows / factor + 0.5));
    int64_t few_cols = (int64_t)fmax(1, floor((double)cols / factor + 0.5));
    int64_t planes = data_shift_planes(image);

    data_resize(image->scratch, few_rows, few_cols, image->x, planes, rows, cols);
    data_resize(image->x, rows, cols, image->scratch, planes, few_rows, few_cols);
}

/* Voxels longer in one direction: a volume's slices, an image's rows. */
static void anisotropy(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    double factor = 1 + 0.6 * severity;
    bool volume = image->depth > 1;
    int64_t planes = volume ? image->channels : data_shift_planes(image);
    int64_t along = volume ? image->depth : image->rows;
    int64_t across = volume ? image->rows * image->cols : image->cols;
    int64_t few = (int64_t)fmax(1, floor((double)along / factor + 0.5));

    data_resize(image->scratch, few, across, image->x, planes, along, across);
    data_resize(image->x, along, across, image->scratch, planes, few, across);
}

/* A volume's slice is the mean over its thickness: a box of 1 + 0.8 s slices. */
static void thicken(data_shift_image *image, double severity)
{
    int64_t depth = image->depth;
    int64_t slice = image->rows * image->cols;
    double half = (1 + 0.8 * severity) / 2;  // in slices

    for (int64_t c = 0; c < image->channels; c++) {
        float *x = image->x + c * depth * slice;
        memcpy(image->scratch, x, (size_t)(depth * slice) * sizeof *x);
        for (int64_t d = 0; d < depth; d++) {
            for (int64_t i = 0; i < slice; i++) {
                double sum = 0;
                for (int64_t k = (int64_t)-ceil(half); k <= (int64_t)ceil(half); k++) {
                    double inside = fmin(half, (double)k + 0.5) - fmax(-half, (double)k - 0.5);
                    int64_t at = d + k < 0 ? 0 : d + k >= depth ? depth - 1 : d + k;
                    sum += fmax(inside, 0) * (double)image->scratch[at * slice + i];
                }
                x[d * slice + i] = data_shift_unit(sum / (2 * half));
            }
        }
    }
}

/*
 * A thick slice shows the anatomy above and below it.  A single image does not
 * know them; organs taper, so they are taken as copies of it at other sizes.
 */
static void partial_volume(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    enum { HALF = 3 };
    if (image->depth > 1) {
        thicken(image, severity);
        return;
    }
    int64_t rows = image->rows;
    int64_t cols = image->cols;
    double middle_r = ((double)rows - 1) / 2;
    double middle_c = ((double)cols - 1) / 2;
    for (int64_t k = 0; k < image->channels; k++) {
        float *plane = image->x + k * rows * cols;
        memcpy(image->scratch, plane, (size_t)(rows * cols) * sizeof *plane);
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t c = 0; c < cols; c++) {
                double sum = 0;
                for (int i = -HALF; i <= HALF; i++) {
                    double size = 1 + 0.03 * severity * i / HALF;
                    sum += data_shift_between(image->scratch, rows, cols,
                                              middle_r + ((double)r - middle_r) * size,
                                              middle_c + ((double)c - middle_c) * size);
                }
                plane[r * cols + c] = data_shift_unit(sum / (2 * HALF + 1));
            }
        }
    }
}

/* --- noise --- */

/*
 * Counting statistics of X-ray quanta and the amplifier's noise: x becomes
 * Poisson(N x) / N + Normal(0, e).  At white the standard deviation of the
 * counts is 1/sqrt(N).
 */
static void noise(data_shift_image *image, double severity, fl_rng *rng)
{
    double at_white = 0.03 * severity;
    double electronic = 0.005 * severity;
    double quanta = fmin(1 / (at_white * at_white), 1e9);

    for (int64_t i = 0; i < data_shift_count(image); i++) {
        double counts = (double)fl_rng_poisson(rng, quanta * (double)image->x[i]);
        image->x[i] = data_shift_unit(counts / quanta + electronic * fl_rng_normal(rng));
    }
}

/*
 * The magnitude of a complex MR signal with Gaussian noise in both parts
 * (Gudbjartsson & Patz 1995): dark regions grow brighter.
 */
static void rician(data_shift_image *image, double severity, fl_rng *rng)
{
    double sigma = 0.03 * severity;
    for (int64_t i = 0; i < data_shift_count(image); i++) {
        double real = (double)image->x[i] + sigma * fl_rng_normal(rng);
        double imaginary = sigma * fl_rng_normal(rng);
        image->x[i] = data_shift_unit(hypot(real, imaginary));
    }
}

/*
 * Ultrasound's grain: a log-normal factor of mean 1, correlated over a pixel
 * or two as the beam's width makes it, the same in every channel.
 */
static void speckle(data_shift_image *image, double severity, fl_rng *rng)
{
    static const double grain = 0.6;  // pixels
    double sigma = 0.06 * severity;
    int64_t n = image->depth * image->rows * image->cols;
    float *field = fl_xcalloc((size_t)n, sizeof *field);
    double squares = 0;

    for (int64_t i = 0; i < n; i++) {
        field[i] = (float)fl_rng_normal(rng);
    }
    data_shift_gaussian(field, image->depth, image->rows, image->cols, grain, image->scratch);
    for (int64_t i = 0; i < n; i++) {
        squares += (double)field[i] * (double)field[i];
    }
    double sd = sqrt(squares / (double)n);
    for (int64_t i = 0; i < data_shift_count(image); i++) {
        double g = sd > 0 ? (double)field[i % n] / sd : 0;
        image->x[i] = data_shift_unit((double)image->x[i] * exp(sigma * g - sigma * sigma / 2));
    }
    free(field);
}

/* --- brightness --- */

static void gain(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    double factor = 1 + 0.1 * severity;
    for (int64_t i = 0; i < data_shift_count(image); i++) {
        image->x[i] = data_shift_unit((double)image->x[i] * factor);
    }
}

static void gamma_curve(data_shift_image *image, double severity, fl_rng *rng)
{
    (void)rng;
    double exponent = 1 + 0.25 * severity;
    for (int64_t i = 0; i < data_shift_count(image); i++) {
        image->x[i] = data_shift_unit(pow((double)image->x[i], exponent));
    }
}

/*
 * An MR coil's sensitivity: a smooth factor exp(a f), f a random sum of the
 * lowest cosines, scaled to |f| <= 1.
 */
static void bias(data_shift_image *image, double severity, fl_rng *rng)
{
    enum { ORDER = 3 };
    double weight[ORDER][ORDER][ORDER] = {{{0}}};  // of depth, row, column
    int orders = image->depth > 1 ? ORDER : 1;
    int64_t n = image->depth * image->rows * image->cols;
    double amplitude = 0.14 * severity;
    double largest = 0;

    for (int w = 0; w < orders; w++) {
        for (int u = 0; u < ORDER; u++) {
            for (int v = 0; v < ORDER; v++) {
                weight[w][u][v] = fl_rng_normal(rng) / (1 + w + u + v);
            }
        }
    }
    weight[0][0][0] = 0;  // that would be gain
    for (int64_t i = 0; i < n; i++) {
        double cosine[3][ORDER];  // of depth, row, column
        int64_t at[3] = {i / (image->rows * image->cols), i / image->cols % image->rows,
                         i % image->cols};
        int64_t sides[3] = {image->depth, image->rows, image->cols};
        for (int k = 0; k < 3; k++) {
            for (int u = 0; u < ORDER; u++) {
                cosine[k][u] = cos(DATA_PI * u * ((double)at[k] + 0.5) / (double)sides[k]);
            }
        }
        double f = 0;
        for (int w = 0; w < orders; w++) {
            for (int u = 0; u < ORDER; u++) {
                for (int v = 0; v < ORDER; v++) {
                    f += weight[w][u][v] * cosine[0][w] * cosine[1][u] * cosine[2][v];
                }
            }
        }
        image->scratch[i] = (float)f;
        largest = fmax(largest, fabs(f));
    }
    for (int64_t i = 0; i < data_shift_count(image); i++) {
        double f = largest > 0 ? (double)image->scratch[i % n] / largest : 0;
        image->x[i] = data_shift_unit((double)image->x[i] * exp(amplitude * f));
    }
}

const data_shift_ops data_shift_scanner[] = {
    {"blur", "scanner", "point-spread function; 5: sigma 4 % of the short side",
     false, blur, false},
    {"resolution", "scanner", "fewer detector elements; 5: a quarter a side",
     false, resolution, false},
    {"anisotropy", "scanner", "thick slices, or rows of an image; 5: four times as thick", false,
     anisotropy, false},
    {"partial_volume", "scanner",
     "mean over a slice's thickness; 5: five slices, or an image's sizes +- 15 %", false,
     partial_volume, false},
    {"noise", "scanner", "quantum (Poisson) and electronic; 5: sd 15 % at white",
     false, noise, false},
    {"rician", "scanner", "magnitude MR noise; 5: sd 15 % of white", false, rician, false},
    {"speckle", "scanner", "ultrasound grain; 5: sd of the log factor 0.3", false, speckle, false},
    {"gain", "scanner", "brighter, clipped at white; 5: 1.5 times", false, gain, false},
    {"gamma", "scanner", "darker midtones; 5: exponent 2.25", false, gamma_curve, false},
    {"bias", "scanner", "smooth coil sensitivity; 5: 0.5 to 2 times", false, bias, false},
    {0},
};
