/*
 * resample.c - see resample.h
 */
#include "data/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/image.h"

/* --- resizing planes --- */

/* For each output sample of one axis: n input samples from `first` and their
 * weights, which sum to 1. */
typedef struct {
    int64_t *first;
    float *weight;  // (to, most)
    int64_t most;   // input samples an output sample may need
} axis_weights;

static void area_weights(axis_weights *w, int64_t from, int64_t to)
{
    double ratio = (double)from / (double)to;
    for (int64_t i = 0; i < to; i++) {
        double lo = (double)i * ratio;
        double hi = lo + ratio;
        w->first[i] = (int64_t)lo;
        for (int64_t j = 0; j < w->most; j++) {
            double cell = (double)(w->first[i] + j);
            double overlap = fmin(hi, cell + 1) - fmax(lo, cell);
            w->weight[i * w->most + j] = overlap > 0 && cell < (double)from
                                             ? (float)(overlap / ratio)
                                             : 0.0f;
        }
    }
}

static void linear_weights(axis_weights *w, int64_t from, int64_t to)
{
    double ratio = (double)from / (double)to;
    for (int64_t i = 0; i < to; i++) {
        double at = ((double)i + 0.5) * ratio - 0.5;  // between pixel centres
        at = fmin(fmax(at, 0), (double)(from - 1));
        int64_t left = (int64_t)at;
        w->first[i] = left;
        w->weight[2 * i] = (float)((double)(left + 1) - at);
        w->weight[2 * i + 1] = (float)(at - (double)left);
    }
}

static axis_weights make_weights(int64_t from, int64_t to)
{
    axis_weights w;
    w.most = to < from ? from / to + 2 : 2;
    w.first = fl_xcalloc((size_t)to, sizeof *w.first);
    w.weight = fl_xcalloc((size_t)(to * w.most), sizeof *w.weight);
    if (to < from) {
        area_weights(&w, from, to);
    } else {
        linear_weights(&w, from, to);
    }
    return w;
}

static void free_weights(axis_weights *w)
{
    free(w->first);
    free(w->weight);
}

/* Sums over j of weight[i, j] * x[first[i] + j], stepping by stride. */
static double weigh(const axis_weights *w, int64_t i, const float *x, int64_t from, int64_t stride)
{
    double sum = 0;
    for (int64_t j = 0; j < w->most; j++) {
        int64_t at = w->first[i] + j;
        float weight = w->weight[i * w->most + j];
        if (weight != 0.0f && at < from) {
            sum += (double)weight * (double)x[at * stride];
        }
    }
    return sum;
}

void data_resize(float *out, int64_t to_rows, int64_t to_cols, const float *x, int64_t planes,
                 int64_t rows, int64_t cols)
{
    axis_weights across = make_weights(cols, to_cols);
    axis_weights down = make_weights(rows, to_rows);
    float *narrow = fl_xcalloc((size_t)(rows * to_cols), sizeof *narrow);

    for (int64_t p = 0; p < planes; p++) {
        const float *plane = x + p * rows * cols;
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t c = 0; c < to_cols; c++) {
                narrow[r * to_cols + c] = (float)weigh(&across, c, plane + r * cols, cols, 1);
            }
        }
        float *to = out + p * to_rows * to_cols;
        for (int64_t r = 0; r < to_rows; r++) {
            for (int64_t c = 0; c < to_cols; c++) {
                to[r * to_cols + c] = (float)weigh(&down, r, narrow + c, rows, to_cols);
            }
        }
    }
    free(narrow);
    free_weights(&down);
    free_weights(&across);
}

/* --- where the pixels lie --- */

static size_t count(const data_image *image)
{
    return (size_t)(image->channels * image->frames * image->rows * image->cols);
}

/*
 * Index i of an axis (0: frames, 1: rows, 2: columns) now is what
 * ratio * i + offset was.
 */
static void move_axis(data_image *image, int axis, double ratio, double offset)
{
    for (int of = 0; of < 3; of++) {
        double *view = image->view + 4 * of;
        view[3] += view[axis] * offset;
        view[axis] *= ratio;
        double *place = image->affine + 4 * of;  // by column, row, frame
        place[3] += place[2 - axis] * offset;
        place[2 - axis] *= ratio;
    }
    image->spacing_mm[axis] *= fabs(ratio);
}

static fl_status make_room(float **out, const data_image *image, const int64_t to[static 3],
                           const char *name, fl_err *err)
{
    data_image wanted = {
        .frames = to[0], .rows = to[1], .cols = to[2], .channels = image->channels};
    fl_status st = data_image_check_size(&wanted, name, err);
    *out = NULL;
    if (st != FL_OK) {
        return st;
    }
    *out = fl_calloc(count(&wanted), sizeof **out, name, err);
    return *out != NULL ? FL_OK : FL_ELIMIT;
}

static void replace(data_image *image, float *x, const int64_t to[static 3])
{
    free(image->data);
    image->data = x;
    image->frames = to[0];
    image->rows = to[1];
    image->cols = to[2];
}

static void scale_axis(data_image *image, int axis, int64_t from, int64_t to)
{
    double ratio = (double)from / (double)to;
    move_axis(image, axis, ratio, (ratio - 1) / 2);
}

/* A volume is, along its depth, planes of frames by pixels. */
static fl_status resize_depth(data_image *image, int64_t frames, const char *name, fl_err *err)
{
    const int64_t to[3] = {frames, image->rows, image->cols};
    int64_t plane = image->rows * image->cols;
    float *x;

    if (frames == image->frames) {
        return FL_OK;
    }
    fl_status st = make_room(&x, image, to, name, err);
    if (st != FL_OK) {
        return st;
    }
    data_resize(x, frames, plane, image->data, image->channels, image->frames, plane);
    scale_axis(image, 0, image->frames, frames);
    replace(image, x, to);
    return FL_OK;
}

fl_status data_image_resize(data_image *image, const int64_t to[static 3], const char *name,
                            fl_err *err)
{
    const int64_t flat[3] = {image->frames, to[1], to[2]};
    float *x;

    if (to[1] != image->rows || to[2] != image->cols) {
        fl_status st = make_room(&x, image, flat, name, err);
        if (st != FL_OK) {
            return st;
        }
        data_resize(x, to[1], to[2], image->data, image->channels * image->frames, image->rows,
                    image->cols);
        scale_axis(image, 1, image->rows, to[1]);
        scale_axis(image, 2, image->cols, to[2]);
        replace(image, x, flat);
    }
    return resize_depth(image, to[0], name, err);
}

/* --- a part --- */

static float least_of(const data_image *image)
{
    float least = HUGE_VALF;
    for (size_t i = 0; i < count(image); i++) {
        least = fminf(least, image->data[i]);
    }
    return least;
}

fl_status data_image_crop(data_image *image, const int64_t to[static 3], const char *name,
                          fl_err *err)
{
    const int64_t has[3] = {image->frames, image->rows, image->cols};
    int64_t first[3];  // of the image's indices; negative: it is smaller
    float *x;

    fl_status st = make_room(&x, image, to, name, err);
    if (st != FL_OK) {
        return st;
    }
    for (int axis = 0; axis < 3; axis++) {
        int64_t over = has[axis] - to[axis];
        first[axis] = over >= 0 ? over / 2 : -((1 - over) / 2);
        move_axis(image, axis, 1, (double)first[axis]);
    }
    float around = least_of(image);
    float *at = x;
    for (int64_t c = 0; c < image->channels; c++) {
        for (int64_t d = first[0]; d < first[0] + to[0]; d++) {
            for (int64_t r = first[1]; r < first[1] + to[1]; r++) {
                bool line = d >= 0 && d < has[0] && r >= 0 && r < has[1];
                const float *from = image->data + ((c * has[0] + d) * has[1] + r) * has[2];
                for (int64_t k = first[2]; k < first[2] + to[2]; k++) {
                    *at++ = line && k >= 0 && k < has[2] ? from[k] : around;
                }
            }
        }
    }
    replace(image, x, to);
    return FL_OK;
}

/* --- turning --- */

/* Axis of the patient a letter means: 0 right-left, 1 front-back, 2 top-bottom. */
static int direction_of(char letter)
{
    static const char letters[] = "RLAPSI";
    const char *at = letter == '\0' ? NULL : strchr(letters, letter);
    return at == NULL ? -1 : (int)(at - letters) / 2;
}

/* Axis new of the image was axis old, and is mirrored. */
static void turn_matrices(data_image *was, const data_image *image, const int old[static 3],
                          const bool mirrored[static 3])
{
    const int64_t size[3] = {image->frames, image->rows, image->cols};
    for (int of = 0; of < 3; of++) {
        const double *view = image->view + 4 * of;
        const double *place = image->affine + 4 * of;
        double *new_view = was->view + 4 * of;
        double *new_place = was->affine + 4 * of;
        new_view[3] = view[3];
        new_place[3] = place[3];
        for (int axis = 0; axis < 3; axis++) {
            double sign = mirrored[axis] ? -1 : 1;
            double last = mirrored[axis] ? (double)(size[old[axis]] - 1) : 0;
            new_view[axis] = sign * view[old[axis]];
            new_view[3] += last * view[old[axis]];
            new_place[2 - axis] = sign * place[2 - old[axis]];
            new_place[3] += last * place[2 - old[axis]];
        }
    }
    for (int axis = 0; axis < 3; axis++) {
        was->spacing_mm[axis] = image->spacing_mm[old[axis]];
    }
}

static void turn_pixels(float *x, const data_image *image, const int64_t to[static 3],
                        const int old[static 3], const bool mirrored[static 3])
{
    const int64_t stride[3] = {image->rows * image->cols, image->cols, 1};
    const int64_t volume = image->frames * image->rows * image->cols;

    for (int64_t c = 0; c < image->channels; c++) {
        for (int64_t d = 0; d < to[0]; d++) {
            for (int64_t r = 0; r < to[1]; r++) {
                for (int64_t k = 0; k < to[2]; k++) {
                    const int64_t at[3] = {d, r, k};
                    int64_t from = c * volume;
                    for (int axis = 0; axis < 3; axis++) {
                        int64_t i = mirrored[axis] ? to[axis] - 1 - at[axis] : at[axis];
                        from += i * stride[old[axis]];
                    }
                    *x++ = image->data[from];
                }
            }
        }
    }
}

fl_status data_image_orient(data_image *image, const char *axes, const char *name, fl_err *err)
{
    const int64_t size[3] = {image->frames, image->rows, image->cols};
    int old[3];
    bool mirrored[3];
    int64_t to[3];
    float *x;

    if (image->orientation[0] == '\0') {
        return fl_fail(err, FL_ECONFIG, "%s: orient: the file does not say where its axes point",
                       name);
    }
    for (int axis = 0; axis < 3; axis++) {
        char wanted = axes[2 - axis];  // the letters are of columns, rows, frames
        for (int has = 0; has < 3; has++) {
            char letter = image->orientation[2 - has];
            if (direction_of(letter) == direction_of(wanted)) {
                old[axis] = has;
                mirrored[axis] = letter != wanted;
            }
        }
        to[axis] = size[old[axis]];
    }
    if (image->frames == 1 && to[0] != 1) {
        return fl_fail(err, FL_ECONFIG,
                       "%s: orient: %s would stand the flat image (%s) on its edge", name, axes,
                       image->orientation);
    }
    fl_status st = make_room(&x, image, to, name, err);
    if (st != FL_OK) {
        return st;
    }
    turn_pixels(x, image, to, old, mirrored);
    data_image turned = *image;
    turn_matrices(&turned, image, old, mirrored);
    *image = turned;
    replace(image, x, to);
    memcpy(image->orientation, axes, sizeof image->orientation);
    return FL_OK;
}

/* --- another image's grid --- */

/* out = inverse of the affine a; false when it has none. */
static bool invert(double out[static 12], const double a[static 12])
{
    const double c[9] = {
        a[5] * a[10] - a[6] * a[9], a[2] * a[9] - a[1] * a[10], a[1] * a[6] - a[2] * a[5],
        a[6] * a[8] - a[4] * a[10], a[0] * a[10] - a[2] * a[8], a[2] * a[4] - a[0] * a[6],
        a[4] * a[9] - a[5] * a[8],  a[1] * a[8] - a[0] * a[9],  a[0] * a[5] - a[1] * a[4]};
    double det = a[0] * c[0] + a[1] * c[3] + a[2] * c[6];
    if (!(fabs(det) > 1e-12)) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        double *row = out + 4 * i;
        row[3] = 0;
        for (int j = 0; j < 3; j++) {
            row[j] = c[3 * i + j] / det;
            row[3] -= row[j] * a[4 * j + 3];
        }
    }
    return true;
}

/* How far apart the voxels of `to` are along an axis (0: frames) of image, in its voxels. */
static double coarser(const data_image *image, const data_image *to, int axis)
{
    double most = 0;
    const double *mine = image->affine + 2 - axis;
    double length2 = mine[0] * mine[0] + mine[4] * mine[4] + mine[8] * mine[8];
    for (int other = 0; other < 3; other++) {
        const double *theirs = to->affine + other;
        double dot = mine[0] * theirs[0] + mine[4] * theirs[4] + mine[8] * theirs[8];
        most = fmax(most, fabs(dot) / length2);
    }
    return most;
}

/* Averages where the other grid is coarser, so that nothing between its voxels is lost. */
static fl_status average_to(data_image *image, const data_image *to, const char *name, fl_err *err)
{
    int64_t size[3] = {image->frames, image->rows, image->cols};
    for (int axis = 0; axis < 3; axis++) {
        double ratio = coarser(image, to, axis);
        if (ratio > 1.5 && size[axis] > 1) {
            double n = floor((double)size[axis] / ratio + 0.5);
            size[axis] = n < 1 ? 1 : (int64_t)n;
        }
    }
    return data_image_resize(image, size, name, err);
}

/* Linear between the eight voxels around; 0 beyond half a voxel outside. */
static float value_at(const float *x, const int64_t size[static 3], const double at[static 3])
{
    int64_t low[3];
    double part[3];
    for (int axis = 0; axis < 3; axis++) {
        double last = (double)(size[axis] - 1);
        if (!(at[axis] >= -0.5 && at[axis] <= last + 0.5)) {
            return 0.0f;
        }
        double inside = fmin(fmax(at[axis], 0), last);
        low[axis] = (int64_t)inside;
        part[axis] = inside - (double)low[axis];
    }
    double sum = 0;
    for (int corner = 0; corner < 8; corner++) {
        double weight = 1;
        int64_t index = 0;
        for (int axis = 0; axis < 3; axis++) {
            bool high = corner >> axis & 1;
            weight *= high ? part[axis] : 1 - part[axis];
            int64_t i = low[axis] + high;
            index = index * size[axis] + (i < size[axis] ? i : size[axis] - 1);
        }
        sum += weight == 0 ? 0 : weight * (double)x[index];
    }
    return (float)sum;
}

static fl_status resample(data_image *image, const data_image *to, const char *name, fl_err *err)
{
    double back[12];
    float *x;
    const int64_t size[3] = {to->frames, to->rows, to->cols};

    fl_status st = average_to(image, to, name, err);
    if (st != FL_OK || (st = make_room(&x, image, size, name, err)) != FL_OK) {
        return st;
    }
    if (!invert(back, image->affine)) {
        free(x);
        return fl_fail(err, FL_EFORMAT, "%s: the affine has no inverse", name);
    }
    const int64_t has[3] = {image->frames, image->rows, image->cols};
    size_t volume = (size_t)(has[0] * has[1] * has[2]);
    float *out = x;
    for (int64_t c = 0; c < image->channels; c++) {
        for (int64_t d = 0; d < size[0]; d++) {
            for (int64_t r = 0; r < size[1]; r++) {
                for (int64_t k = 0; k < size[2]; k++) {
                    double mm[3];
                    double at[3];
                    for (int i = 0; i < 3; i++) {
                        const double *m = to->affine + 4 * i;
                        mm[i] = m[0] * (double)k + m[1] * (double)r + m[2] * (double)d + m[3];
                    }
                    for (int i = 0; i < 3; i++) {
                        const double *m = back + 4 * i;
                        at[2 - i] = m[0] * mm[0] + m[1] * mm[1] + m[2] * mm[2] + m[3];
                    }
                    *out++ = value_at(image->data + (size_t)c * volume, has, at);
                }
            }
        }
    }
    replace(image, x, size);
    return FL_OK;
}

static bool same_grid(const data_image *a, const data_image *b)
{
    bool same = a->frames == b->frames && a->rows == b->rows && a->cols == b->cols;
    for (int i = 0; i < 12 && same; i++) {
        same = fabs(a->affine[i] - b->affine[i]) < 1e-3;
    }
    return same;
}

fl_status data_image_match(data_image *image, const data_image *to, const char *name, fl_err *err)
{
    const int64_t size[3] = {to->frames, to->rows, to->cols};
    fl_status st = FL_OK;
    bool placed = image->orientation[0] != '\0';

    if (placed && to->orientation[0] != '\0') {
        st = same_grid(image, to) ? FL_OK : resample(image, to, name, err);
    } else if (image->frames != to->frames) {
        st = fl_fail(err, FL_EUNSUPPORTED,
                     "%s: files of %lld and %lld frames that do not both say where they lie cannot "
                     "be put on one grid",
                     name, (long long)to->frames, (long long)image->frames);
    } else {
        st = data_image_resize(image, size, name, err);
    }
    return st;
}
