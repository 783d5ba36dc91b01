/*
 * preprocess.c - channels, resizing, windowing, normalising
 */
#include "data/preprocess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* --- reading --- */

static void read_resize(data_step *step, fl_node n)
{
    step->kind = DATA_STEP_RESIZE;
    if (fl_cfg_is_list(n)) {
        if (fl_cfg_count(n) != 2) {
            fl_cfg_complain(n, "resize: expected a side, [rows, cols] or the word input");
            return;
        }
        step->rows = fl_node_int(fl_cfg_item(n, 0), 1, DATA_MAX_SIDE, "resize");
        step->cols = fl_node_int(fl_cfg_item(n, 1), 1, DATA_MAX_SIDE, "resize");
        return;
    }
    if (strcmp(fl_node_text(n, "resize"), "input") == 0) {
        return;  // rows = cols = 0: the job's
    }
    step->rows = step->cols = fl_node_int(n, 1, DATA_MAX_SIDE, "resize");
}

static void read_window(data_step *step, fl_node map)
{
    step->kind = DATA_STEP_WINDOW;
    double centre = fl_cfg_num(map, "centre", -1e9, 1e9, FL_CFG_REQUIRED_NUM,
                               "value that becomes 0.5, in the file's units");
    double width = fl_cfg_num(map, "width", 1e-9, 1e9, FL_CFG_REQUIRED_NUM,
                              "width of the interval that becomes 0 to 1");
    step->low = centre - width / 2;
    step->high = centre + width / 2;
}

static void read_channels(data_step *step, fl_node n)
{
    step->kind = DATA_STEP_CHANNELS;
    step->channels = fl_node_int(n, 1, 3, "channels");
    if (step->channels == 2) {
        fl_cfg_complain(n, "channels: expected 1 or 3, found 2");
    }
}

static void read_step(data_preprocess *out, fl_node item)
{
    static const char *const normalisations[] = {"none", "zscore", "range", NULL};
    data_step step = {.kind = DATA_STEP_CHANNELS};
    bool is_step = false;

    if (!fl_cfg_is_map(item) || fl_cfg_count(item) != 1) {
        fl_cfg_complain(item, "preprocess: expected one step an item, such as resize: 64");
        return;
    }
    if (fl_cfg_has(item, "channels")) {
        read_channels(&step, fl_cfg_get(item, "channels", "1: RGB to gray (luma); 3: gray to RGB"));
        is_step = true;
    }
    if (fl_cfg_has(item, "resize")) {
        read_resize(
            &step, fl_cfg_get(item, "resize",
                              "a side in pixels, [rows, cols], or the word input: the job's size"));
        is_step = true;
    }
    if (fl_cfg_has(item, "window")) {
        read_window(&step,
                    fl_cfg_map(item, "window", "the interval of values that becomes 0 to 1"));
        is_step = true;
    }
    if (fl_cfg_has(item, "normalise")) {
        out->normalise = (data_normalise)fl_cfg_choice(
            item, "normalise", normalisations, -1,
            "per image: zscore = mean 0, sd 1; range = 0 to 1; comes last");
    }
    if (!is_step) {
        return;
    }
    if (out->n == DATA_MAX_STEPS) {
        fl_cfg_complain(item, "preprocess: more than %d steps", DATA_MAX_STEPS);
        return;
    }
    out->steps[out->n++] = step;
}

void data_preprocess_read(data_preprocess *out, fl_node list)
{
    *out = (data_preprocess){0};
    for (size_t i = 0; i < fl_cfg_count(list); i++) {
        fl_node item = fl_cfg_item(list, i);
        if (out->normalise != DATA_NORMALISE_NONE) {
            fl_cfg_complain(item, "preprocess: normalise comes last");
        }
        read_step(out, item);
    }
}

/* --- resizing --- */

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

/* --- the steps --- */

/* Alpha is no tissue. */
void data_image_drop_alpha(data_image *image)
{
    char *alpha = strstr(image->photometric, ", alpha");
    if (alpha != NULL) {
        *alpha = '\0';
        image->channels--;  // the last; channels come first in data
    }
}

static fl_status change_channels(data_image *image, int64_t channels, const char *name, fl_err *err)
{
    size_t plane = (size_t)(image->frames * image->rows * image->cols);

    if (image->channels == channels) {
        return FL_OK;
    }
    if (image->channels != 1 && image->channels != 3) {
        return fl_fail(err, FL_ECONFIG, "%s: channels: expected an image of 1 or 3, found %lld",
                       name, (long long)image->channels);
    }
    if (channels == 1) {  // luma of ITU-R BT.601, as JPEG and PIL have it
        const float *r = image->data;
        for (size_t i = 0; i < plane; i++) {
            image->data[i] = 0.299f * r[i] + 0.587f * r[plane + i] + 0.114f * r[2 * plane + i];
        }
    } else {
        float *rgb = fl_calloc(3 * plane, sizeof *rgb, name, err);
        if (rgb == NULL) {
            return FL_ELIMIT;
        }
        for (size_t c = 0; c < 3; c++) {
            memcpy(rgb + c * plane, image->data, plane * sizeof *rgb);
        }
        free(image->data);
        image->data = rgb;
    }
    image->channels = channels;
    return FL_OK;
}

/* Pixels of an axis (1: rows, 2: columns) become ratio times as large; their
 * edges stay where they were. */
static void scale_view(data_image *image, int axis, double ratio)
{
    for (int of = 0; of < 3; of++) {
        double *m = image->view + 4 * of;
        m[3] += m[axis] * (ratio - 1) / 2;
        m[axis] *= ratio;
    }
}

static fl_status resize(data_image *image, const data_step *step, const nn_shape *input,
                        const char *name, fl_err *err)
{
    int64_t rows = step->rows;
    int64_t cols = step->cols;

    if (rows == 0) {
        if (input->rank < 3) {
            return fl_fail(err, FL_ECONFIG,
                           "%s: resize: input needs a job that says its input; write the size, "
                           "such as resize: 64",
                           name);
        }
        rows = input->dim[input->rank - 2];
        cols = input->dim[input->rank - 1];
    }
    if (rows == image->rows && cols == image->cols) {
        return FL_OK;
    }
    int64_t planes = image->channels * image->frames;
    size_t n;
    if (!fl_size_mul(&n, (size_t)(rows * cols), (size_t)planes) || n > DATA_MAX_PIXELS) {
        return fl_fail(err, FL_ELIMIT, "%s: resize: more than %d pixels", name, DATA_MAX_PIXELS);
    }
    float *x = fl_calloc(n, sizeof *x, name, err);
    if (x == NULL) {
        return FL_ELIMIT;
    }
    data_resize(x, rows, cols, image->data, planes, image->rows, image->cols);
    scale_view(image, 1, (double)image->rows / (double)rows);
    scale_view(image, 2, (double)image->cols / (double)cols);
    free(image->data);
    image->data = x;
    image->rows = rows;
    image->cols = cols;
    return FL_OK;
}

/* Maps low..high to 0..1; what lies outside is clipped. */
static void map_to_unit(data_image *image, double low, double high)
{
    size_t n = (size_t)(image->channels * image->frames * image->rows * image->cols);
    double factor = high > low ? 1.0 / (high - low) : 0.0;
    for (size_t i = 0; i < n; i++) {
        double v = (image->data[i] - low) * factor;
        image->data[i] = (float)fmin(fmax(v, 0), 1);
    }
    image->full_scale = 1.0f;
}

/* DICOM's films in which more is darker: a model sees all with bone bright. */
static void turn_monochrome1(data_image *image)
{
    size_t n = (size_t)(image->channels * image->frames * image->rows * image->cols);
    bool turn = strcmp(image->photometric, "MONOCHROME1") == 0;
    for (size_t i = 0; i < n && turn; i++) {
        image->data[i] = 1.0f - image->data[i];  // full_scale is 1 by now
    }
}

fl_status data_preprocess_apply(data_image *image, const data_preprocess *p, const nn_shape *input,
                                const char *name, fl_err *err)
{
    static const double as_it_is[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
    fl_status st = FL_OK;
    bool windowed = false;

    memcpy(image->view, as_it_is, sizeof image->view);
    data_image_drop_alpha(image);
    double least = HUGE_VAL;  // of the values, which a rescale has moved from stored_min
    double most = -HUGE_VAL;
    size_t n = (size_t)(image->channels * image->frames * image->rows * image->cols);
    for (size_t i = 0; i < n && image->full_scale == 0.0f; i++) {
        least = fmin(least, image->data[i]);
        most = fmax(most, image->data[i]);
    }
    for (size_t i = 0; i < p->n && st == FL_OK; i++) {
        const data_step *step = &p->steps[i];
        switch (step->kind) {
        case DATA_STEP_CHANNELS:
            st = change_channels(image, step->channels, name, err);
            break;
        case DATA_STEP_RESIZE:
            st = resize(image, step, input, name, err);
            break;
        case DATA_STEP_WINDOW:
            map_to_unit(image, step->low, step->high);
            windowed = true;
            break;
        }
    }
    if (st != FL_OK) {
        return st;
    }
    if (windowed) {
        turn_monochrome1(image);
        return FL_OK;
    }
    if (image->full_scale == 0.0f) {
        map_to_unit(image, least, most);
    } else if (p->n > 0) {
        map_to_unit(image, 0, image->full_scale);
    }
    turn_monochrome1(image);
    return FL_OK;
}

void data_normalise_of(data_normalise kind, const float *x, size_t n, float *mean, float *factor)
{
    *mean = 0.0f;
    *factor = 1.0f;
    if (kind == DATA_NORMALISE_NONE) {
        return;
    }
    double sum = 0;
    double least = HUGE_VAL;
    double most = -HUGE_VAL;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        least = fmin(least, x[i]);
        most = fmax(most, x[i]);
    }
    if (kind == DATA_NORMALISE_RANGE) {
        *mean = (float)least;
        *factor = most > least ? (float)(1.0 / (most - least)) : 1.0f;
        return;
    }
    double centre = sum / (double)n;
    double squares = 0;
    for (size_t i = 0; i < n; i++) {
        double d = x[i] - centre;
        squares += d * d;
    }
    double sd = sqrt(squares / (double)n);
    *mean = (float)centre;
    *factor = sd > 1e-6 ? (float)(1.0 / sd) : 1.0f;
}
