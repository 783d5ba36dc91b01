/*
 * nifti_write.c - a volume as a single-file NIfTI-1
 *
 * Samples are 16-bit integers in the image's own unit, rounded; axes point right,
 * front and top (RAS) with the rows turned round, as scanners store them: the
 * first row is the front.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/formats.h"

enum { HEADER_BYTES = 348, DATA_AT = 352, INT16_CODE = 4, CODE_SCANNER = 1, UNITS_MM = 2 };

/* Little-endian, whatever this machine is. */
static void put_16(uint8_t *at, int v)
{
    at[0] = (uint8_t)(v & 255);
    at[1] = (uint8_t)((v >> 8) & 255);
}

static void put_float(uint8_t *at, double value)
{
    float v = (float)value;
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_16(at, (int)(bits & 0xffff));
    put_16(at + 2, (int)(bits >> 16));
}

static void put_header(uint8_t *h, int64_t frames, int64_t rows, int64_t cols,
                       const double spacing_mm[3], const double affine[static 12])
{
    const int64_t dim[8] = {3, cols, rows, frames, 1, 1, 1, 1};
    const double pixdim[4] = {1, spacing_mm[2], spacing_mm[1], spacing_mm[0]};
    put_16(h, HEADER_BYTES);
    for (int k = 0; k < 8; k++) {
        put_16(h + 40 + 2 * k, (int)dim[k]);
        put_float(h + 76 + 4 * k, k < 4 ? pixdim[k] : 0);
    }
    put_16(h + 70, INT16_CODE);
    put_16(h + 72, 16);
    put_float(h + 108, DATA_AT);
    put_float(h + 112, 1);  // slope
    h[123] = UNITS_MM;
    put_16(h + 254, CODE_SCANNER);
    for (int i = 0; i < 12; i++) {
        put_float(h + 280 + 4 * i, affine[i]);
    }
    memcpy(h + 344, "n+1", 4);
}

static fl_status write_volume(const char *path, const float *data, int64_t frames, int64_t rows,
                              int64_t cols, const double spacing_mm[3],
                              const double affine[static 12], fl_err *err)
{
    FL_REQUIRE(frames > 0 && frames <= INT16_MAX && rows > 0 && rows <= INT16_MAX && cols > 0 &&
               cols <= INT16_MAX);
    size_t n = (size_t)(frames * rows * cols);
    uint8_t *bytes = fl_calloc(DATA_AT + 2 * n, 1, path, err);
    if (bytes == NULL) {
        return FL_ELIMIT;
    }
    put_header(bytes, frames, rows, cols, spacing_mm, affine);
    for (size_t i = 0; i < n; i++) {
        double v = floor((double)data[i] + 0.5);
        put_16(bytes + DATA_AT + 2 * i, (int)fmin(fmax(v, INT16_MIN), INT16_MAX));
    }
    fl_status st = fl_file_write(path, bytes, DATA_AT + 2 * n, 0644, err);
    free(bytes);
    return st;
}

fl_status data_nifti_write(const char *path, const float *data, int64_t frames, int64_t rows,
                           int64_t cols, const double spacing_mm[3], fl_err *err)
{
    const double step[3] = {spacing_mm[2], -spacing_mm[1], spacing_mm[0]};  // rows to the back
    const double half[3] = {(double)(cols - 1) / 2, (double)(rows - 1) / 2,
                            (double)(frames - 1) / 2};
    double affine[12] = {0};
    for (int k = 0; k < 3; k++) {
        affine[4 * k + k] = step[k];
        affine[4 * k + 3] = -step[k] * half[k];
    }
    return write_volume(path, data, frames, rows, cols, spacing_mm, affine, err);
}

fl_status data_nifti_write_at(const char *path, const float *data, int64_t frames, int64_t rows,
                              int64_t cols, const double affine[static 12], fl_err *err)
{
    double spacing_mm[3];
    for (int k = 0; k < 3; k++) {  // the length of each axis's column: cols, rows, frames
        spacing_mm[2 - k] = sqrt(affine[k] * affine[k] + affine[4 + k] * affine[4 + k] +
                                 affine[8 + k] * affine[8 + k]);
    }
    return write_volume(path, data, frames, rows, cols, spacing_mm, affine, err);
}
