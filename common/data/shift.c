/*
 * shift.c - scanners, protocols and workflows as image transforms
 *
 * Each transform says what it does to an image in [0, 1] and what severity 5
 * is.  Lengths are parts of the image's short side, so a severity means the
 * same to the eye at any resolution.  Every transform of a chain draws from a
 * stream of its own: changing one severity leaves the others' noise alone.
 */
#include "data/shift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/image.h"
#include "data/preprocess.h"

static const double pi = 3.14159265358979323846;

static float to_unit(double v)
{
    return v > 0 ? (v < 1 ? (float)v : 1.0f) : 0.0f;
}

static int64_t short_side(int64_t rows, int64_t cols)
{
    return rows < cols ? rows : cols;
}

/* --- sharpness --- */

enum { MAX_RADIUS = 512 };  // of a Gaussian, in pixels

/* One line of n samples a stride apart, convolved; edges are repeated. */
static void blur_line(float *out, const float *x, int64_t n, int64_t stride, const double *weight,
                      int64_t radius)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t k = -radius; k <= radius; k++) {
            int64_t at = i + k < 0 ? 0 : i + k >= n ? n - 1 : i + k;
            sum += weight[k < 0 ? -k : k] * (double)x[at * stride];
        }
        out[i * stride] = (float)sum;
    }
}

/* Convolves planes with a Gaussian; scratch holds one plane. */
static void gaussian(float *x, int64_t planes, int64_t rows, int64_t cols, double sigma,
                     float *scratch)
{
    double weight[MAX_RADIUS + 1];
    double total = 0;
    if (sigma < 0.01) {  // pixels: nothing reaches the neighbour
        return;
    }
    int64_t radius = (int64_t)ceil(3 * sigma);
    radius = radius > MAX_RADIUS ? MAX_RADIUS : radius;

    for (int64_t k = 0; k <= radius; k++) {
        weight[k] = exp(-0.5 * (double)(k * k) / (sigma * sigma));
        total += k == 0 ? weight[k] : 2 * weight[k];
    }
    for (int64_t k = 0; k <= radius; k++) {
        weight[k] /= total;
    }
    for (int64_t p = 0; p < planes; p++) {
        float *plane = x + p * rows * cols;
        for (int64_t r = 0; r < rows; r++) {
            blur_line(scratch + r * cols, plane + r * cols, cols, 1, weight, radius);
        }
        for (int64_t c = 0; c < cols; c++) {
            blur_line(plane + c, scratch + c, rows, cols, weight, radius);
        }
    }
}

static void blur(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                 fl_rng *rng, float *scratch)
{
    (void)rng;
    double sigma = 0.008 * severity * (double)short_side(rows, cols);
    gaussian(x, channels, rows, cols, sigma, scratch);
}

/* A detector of fewer elements, shown at the old size. */
static void resolution(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                       fl_rng *rng, float *scratch)
{
    (void)rng;
    double factor = 1 + 0.6 * severity;
    int64_t few_rows = (int64_t)fmax(1, floor((double)rows / factor + 0.5));
    int64_t few_cols = (int64_t)fmax(1, floor((double)cols / factor + 0.5));

    data_resize(scratch, few_rows, few_cols, x, channels, rows, cols);
    data_resize(x, rows, cols, scratch, channels, few_rows, few_cols);
}

/* --- noise --- */

/*
 * Counting statistics of X-ray quanta and the amplifier's noise: x becomes
 * Poisson(N x) / N + Normal(0, e).  At white the standard deviation of the
 * counts is 1/sqrt(N).
 */
static void noise(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                  fl_rng *rng, float *scratch)
{
    (void)scratch;
    double at_white = 0.03 * severity;
    double electronic = 0.005 * severity;
    double quanta = fmin(1 / (at_white * at_white), 1e9);

    for (int64_t i = 0; i < channels * rows * cols; i++) {
        double counts = (double)fl_rng_poisson(rng, quanta * (double)x[i]);
        x[i] = to_unit(counts / quanta + electronic * fl_rng_normal(rng));
    }
}

/*
 * The magnitude of a complex MR signal with Gaussian noise in both parts
 * (Gudbjartsson & Patz 1995): dark regions grow brighter.
 */
static void rician(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                   fl_rng *rng, float *scratch)
{
    (void)scratch;
    double sigma = 0.03 * severity;
    for (int64_t i = 0; i < channels * rows * cols; i++) {
        double real = (double)x[i] + sigma * fl_rng_normal(rng);
        double imaginary = sigma * fl_rng_normal(rng);
        x[i] = to_unit(hypot(real, imaginary));
    }
}

/*
 * Ultrasound's grain: a log-normal factor of mean 1, correlated over a pixel
 * or two as the beam's width makes it, the same in every channel.
 */
static void speckle(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                    fl_rng *rng, float *scratch)
{
    static const double grain = 0.6;  // pixels
    double sigma = 0.06 * severity;
    int64_t plane = rows * cols;
    float *field = fl_xcalloc((size_t)plane, sizeof *field);
    double squares = 0;

    for (int64_t i = 0; i < plane; i++) {
        field[i] = (float)fl_rng_normal(rng);
    }
    gaussian(field, 1, rows, cols, grain, scratch);
    for (int64_t i = 0; i < plane; i++) {
        squares += (double)field[i] * (double)field[i];
    }
    double sd = sqrt(squares / (double)plane);
    for (int64_t i = 0; i < channels * plane; i++) {
        double g = sd > 0 ? (double)field[i % plane] / sd : 0;
        x[i] = to_unit((double)x[i] * exp(sigma * g - sigma * sigma / 2));
    }
    free(field);
}

/* --- brightness --- */

static void gain(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                 fl_rng *rng, float *scratch)
{
    (void)rng;
    (void)scratch;
    double factor = 1 + 0.1 * severity;
    for (int64_t i = 0; i < channels * rows * cols; i++) {
        x[i] = to_unit((double)x[i] * factor);
    }
}

static void gamma_curve(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                        fl_rng *rng, float *scratch)
{
    (void)rng;
    (void)scratch;
    double exponent = 1 + 0.25 * severity;
    for (int64_t i = 0; i < channels * rows * cols; i++) {
        x[i] = to_unit(pow((double)x[i], exponent));
    }
}

static void contrast(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                     fl_rng *rng, float *scratch)
{
    (void)rng;
    (void)scratch;
    int64_t n = channels * rows * cols;
    double factor = 1 - 0.15 * severity;
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
    }
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) {
        x[i] = to_unit(mean + factor * ((double)x[i] - mean));
    }
}

/*
 * An MR coil's sensitivity: a smooth factor exp(a f), f a random sum of the
 * lowest cosines, scaled to |f| <= 1.
 */
static void bias(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                 fl_rng *rng, float *scratch)
{
    enum { ORDER = 3 };
    double weight[ORDER][ORDER];
    double amplitude = 0.14 * severity;
    double largest = 0;

    for (int u = 0; u < ORDER; u++) {
        for (int v = 0; v < ORDER; v++) {
            weight[u][v] = fl_rng_normal(rng) / (1 + u + v);
        }
    }
    weight[0][0] = 0;  // that would be gain
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            double f = 0;
            for (int u = 0; u < ORDER; u++) {
                for (int v = 0; v < ORDER; v++) {
                    f += weight[u][v] * cos(pi * u * ((double)r + 0.5) / (double)rows) *
                         cos(pi * v * ((double)c + 0.5) / (double)cols);
                }
            }
            scratch[r * cols + c] = (float)f;
            largest = fmax(largest, fabs(f));
        }
    }
    for (int64_t i = 0; i < channels * rows * cols; i++) {
        double f = largest > 0 ? (double)scratch[i % (rows * cols)] / largest : 0;
        x[i] = to_unit((double)x[i] * exp(amplitude * f));
    }
}

/* A narrower display window: the ends of the range are cut off. */
static void window(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                   fl_rng *rng, float *scratch)
{
    (void)rng;
    (void)scratch;
    double low = 0.04 * severity;
    double high = 1 - 0.05 * severity;
    for (int64_t i = 0; i < channels * rows * cols; i++) {
        x[i] = to_unit(((double)x[i] - low) / (high - low));
    }
}

/* --- workflow --- */

/* Channels other than gray or RGB are compressed one by one. */
static void jpeg(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                 fl_rng *rng, float *scratch)
{
    (void)rng;
    (void)scratch;
    int quality = (int)floor(100 * exp(-0.5 * severity) + 0.5);
    int64_t together = channels == 3 ? 3 : 1;
    for (int64_t c = 0; c < channels; c += together) {
        bool done = data_jpeg_roundtrip(x + c * rows * cols, together, rows, cols, quality);
        FL_REQUIRE(done);  // what we wrote ourselves can be read
    }
}

/* Value at (r, c) between pixel centres; outside, the nearest edge. */
static double between(const float *x, int64_t rows, int64_t cols, double r, double c)
{
    r = fmin(fmax(r, 0), (double)(rows - 1));
    c = fmin(fmax(c, 0), (double)(cols - 1));
    int64_t top = (int64_t)r;
    int64_t left = (int64_t)c;
    int64_t bottom = top + 1 < rows ? top + 1 : top;
    int64_t right = left + 1 < cols ? left + 1 : left;
    double down = r - (double)top;
    double across = c - (double)left;
    double upper = (1 - across) * (double)x[top * cols + left] +
                   across * (double)x[top * cols + right];
    double lower = (1 - across) * (double)x[bottom * cols + left] +
                   across * (double)x[bottom * cols + right];
    return (1 - down) * upper + down * lower;
}

/* The patient lies askew, to one side or the other. */
static void rotation(float *x, int64_t channels, int64_t rows, int64_t cols, double severity,
                     fl_rng *rng, float *scratch)
{
    double side = fl_rng_uniform(rng) < 0.5 ? -1 : 1;
    double angle = side * 3 * severity * pi / 180;
    double middle_r = ((double)rows - 1) / 2;
    double middle_c = ((double)cols - 1) / 2;

    for (int64_t k = 0; k < channels; k++) {
        float *plane = x + k * rows * cols;
        memcpy(scratch, plane, (size_t)(rows * cols) * sizeof *plane);
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t c = 0; c < cols; c++) {
                double dr = (double)r - middle_r;
                double dc = (double)c - middle_c;
                plane[r * cols + c] = to_unit(
                    between(scratch, rows, cols, middle_r + dr * cos(angle) - dc * sin(angle),
                            middle_c + dr * sin(angle) + dc * cos(angle)));
            }
        }
    }
}

/* --- registry --- */

static const data_shift_ops registry[] = {
    {"blur", "point-spread function; 5: sigma 4 % of the short side", blur},
    {"resolution", "fewer detector elements; 5: a quarter a side", resolution},
    {"noise", "quantum (Poisson) and electronic; 5: sd 15 % at white", noise},
    {"rician", "magnitude MR noise; 5: sd 15 % of white", rician},
    {"speckle", "ultrasound grain; 5: sd of the log factor 0.3", speckle},
    {"gain", "brighter, clipped at white; 5: 1.5 times", gain},
    {"gamma", "darker midtones; 5: exponent 2.25", gamma_curve},
    {"contrast", "towards the mean; 5: a quarter is left", contrast},
    {"bias", "smooth coil sensitivity; 5: 0.5 to 2 times", bias},
    {"window", "narrower window; 5: 0.20 to 0.75 of the range", window},
    {"jpeg", "lossy compression; 5: quality 8 of 100", jpeg},
    {"rotation", "to either side; 5: 15 degrees", rotation},
};

const data_shift_ops *data_shift_at(size_t i)
{
    return i < sizeof registry / sizeof *registry ? &registry[i] : NULL;
}

const data_shift_ops *data_shift_find(const char *name)
{
    const data_shift_ops *ops;
    for (size_t i = 0; (ops = data_shift_at(i)) != NULL; i++) {
        if (strcmp(ops->name, name) == 0) {
            return ops;
        }
    }
    return NULL;
}

void data_shift_read(data_shift *out, fl_node list)
{
    const data_shift_ops *ops;

    *out = (data_shift){.n = 0};
    for (size_t i = 0; i < fl_cfg_count(list); i++) {
        fl_node item = fl_cfg_item(list, i);
        if (!fl_cfg_is_map(item) || fl_cfg_count(item) != 1) {
            fl_cfg_complain(item, "shift: expected one transform an item, such as blur: 2");
            return;
        }
        for (size_t k = 0; (ops = data_shift_at(k)) != NULL; k++) {
            if (!fl_cfg_has(item, ops->name)) {
                continue;
            }
            double severity = fl_cfg_num(item, ops->name, 0, 5, FL_CFG_REQUIRED_NUM, ops->help);
            if (out->n == DATA_SHIFT_MAX) {
                fl_cfg_complain(item, "shift: more than %d transforms", DATA_SHIFT_MAX);
                return;
            }
            out->ops[out->n] = ops;
            out->severity[out->n++] = severity;
        }
    }
}

fl_status data_shift_apply(const data_shift *chain, float *x, int64_t channels, int64_t rows,
                           int64_t cols, fl_rng *rng, fl_err *err)
{
    if (chain->n == 0) {
        return FL_OK;
    }
    float *scratch = fl_calloc((size_t)(channels * rows * cols), sizeof *scratch, "shift", err);
    if (scratch == NULL) {
        return FL_ELIMIT;
    }
    for (size_t i = 0; i < chain->n; i++) {
        fl_rng own;
        fl_rng_init(&own, fl_rng_u64(rng), "shift", chain->ops[i]->name, i);
        if (chain->severity[i] > 0) {
            chain->ops[i]->apply(x, channels, rows, cols, chain->severity[i], &own, scratch);
        }
    }
    free(scratch);
    return FL_OK;
}
