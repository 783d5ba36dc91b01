/*
 * preprocess.c - channels, resizing, windowing, normalising
 */
#include "data/preprocess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/resample.h"

/* --- reading --- */

static void read_size(data_step *step, data_step_kind kind, fl_node n, const char *key)
{
    step->kind = kind;
    if (fl_cfg_is_list(n)) {
        size_t count = fl_cfg_count(n);
        if (count != 2 && count != 3) {
            fl_cfg_complain(
                n, "%s: expected a side, [rows, cols], [frames, rows, cols] or the word input",
                key);
            return;
        }
        step->frames = count == 3 ? fl_node_int(fl_cfg_item(n, 0), 1, DATA_MAX_SIDE, key) : 0;
        step->rows = fl_node_int(fl_cfg_item(n, count - 2), 1, DATA_MAX_SIDE, key);
        step->cols = fl_node_int(fl_cfg_item(n, count - 1), 1, DATA_MAX_SIDE, key);
        return;
    }
    if (strcmp(fl_node_text(n, key), "input") == 0) {
        return;  // rows = cols = 0: the job's
    }
    step->rows = step->cols = fl_node_int(n, 1, DATA_MAX_SIDE, key);
}

static void read_spacing(data_step *step, fl_node n)
{
    step->kind = DATA_STEP_SPACING;
    if (!fl_cfg_is_list(n)) {
        double mm = fl_node_num(n, 1e-3, 1e3, "spacing");
        step->spacing_mm[0] = step->spacing_mm[1] = step->spacing_mm[2] = mm;
        return;
    }
    if (fl_cfg_count(n) != 3) {
        fl_cfg_complain(n, "spacing: expected mm, or mm of [slices, rows, columns]");
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        step->spacing_mm[i] = fl_node_num(fl_cfg_item(n, i), 1e-3, 1e3, "spacing");
    }
}

static void read_orient(data_step *step, fl_node n)
{
    const char *axes = fl_node_text(n, "orient");
    bool seen[3] = {false};
    size_t length = strlen(axes);

    step->kind = DATA_STEP_ORIENT;
    for (size_t i = 0; i < length && length == 3; i++) {
        const char *at = strchr("RLAPSI", axes[i]);
        if (at != NULL) {
            seen[(at - strchr("RLAPSI", 'R')) / 2] = true;
        }
    }
    if (!seen[0] || !seen[1] || !seen[2]) {
        fl_cfg_complain(n, "orient: expected three axes such as RAS: R or L, A or P, S or I");
        return;
    }
    memcpy(step->axes, axes, 3);
}

static void read_percentile(data_step *step, fl_node n)
{
    step->kind = DATA_STEP_PERCENTILE;
    if (fl_cfg_count(n) != 2) {
        fl_cfg_complain(n, "percentile: expected two, such as [0.5, 99.5]");
        return;
    }
    step->low = fl_node_num(fl_cfg_item(n, 0), 0, 100, "percentile");
    step->high = fl_node_num(fl_cfg_item(n, 1), 0, 100, "percentile");
    if (!(step->low < step->high)) {
        fl_cfg_complain(n, "percentile: expected a lower and a higher one");
    }
}

static void read_window(data_step *step, fl_node map)
{
    step->kind = DATA_STEP_WINDOW;
    if (fl_cfg_is_scalar(map)) {
        if (strcmp(fl_node_text(map, "window"), "file") != 0) {
            fl_cfg_complain(map, "window: expected {centre, width} or the word file");
        }
        step->low = step->high = NAN;
        return;
    }
    step->channel = fl_cfg_int(
        map, "channel", 0, 64, 0,
        "of a case of several files the channel it is for, 1 the first; 0: all");
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
        read_size(&step, DATA_STEP_RESIZE,
                  fl_cfg_get(item, "resize",
                             "a side in pixels, [rows, cols], [frames, rows, cols], or the word "
                             "input: the job's size"),
                  "resize");
        is_step = true;
    }
    if (fl_cfg_has(item, "crop")) {
        read_size(
            &step, DATA_STEP_CROP,
            fl_cfg_get(item, "crop",
                       "as resize, but the middle is cut out, or surrounded by the least value"),
            "crop");
        is_step = true;
    }
    if (fl_cfg_has(item, "spacing")) {
        read_spacing(
            &step, fl_cfg_get(item, "spacing", "mm between pixels, or of [slices, rows, columns]"));
        is_step = true;
    }
    if (fl_cfg_has(item, "orient")) {
        read_orient(&step,
                    fl_cfg_get(item, "orient",
                               "where columns, rows and slices shall point to, such as RAS"));
        is_step = true;
    }
    if (fl_cfg_has(item, "window")) {
        read_window(&step,
                    fl_cfg_get(item, "window",
                               "the interval of values that becomes 0 to 1; or file: what the "
                               "file advises"));
        is_step = true;
    }
    if (fl_cfg_has(item, "percentile")) {
        read_percentile(
            &step, fl_cfg_list(item, "percentile", "two, of each channel, that become 0 and 1"));
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

/* What a step says, what it leaves open, and the job's where it says `input`. */
static fl_status wanted_size(int64_t to[static 3], const data_image *image, const data_step *step,
                             const nn_shape *input, const char *name, fl_err *err)
{
    const char *key = step->kind == DATA_STEP_CROP ? "crop" : "resize";

    to[0] = step->frames > 0 ? step->frames : image->frames;
    to[1] = step->rows;
    to[2] = step->cols;
    if (step->rows == 0 && input->rank < 3) {
        return fl_fail(err, FL_ECONFIG,
                       "%s: %s: input needs a job that says its input; write the size, such as "
                       "%s: 64",
                       name, key, key);
    }
    if (step->rows == 0) {
        to[0] = input->rank == 4 ? input->dim[1] : image->frames;
        to[1] = input->dim[input->rank - 2];
        to[2] = input->dim[input->rank - 1];
    }
    return image->frames > 1 || to[0] == 1
               ? FL_OK
               : fl_fail(err, FL_ECONFIG, "%s: %s: a flat image cannot become %lld frames", name,
                         key, (long long)to[0]);
}

static fl_status resize(data_image *image, const data_step *step, const nn_shape *input,
                        const char *name, fl_err *err)
{
    int64_t to[3];
    fl_status st = wanted_size(to, image, step, input, name, err);
    if (st != FL_OK) {
        return st;
    }
    return step->kind == DATA_STEP_CROP ? data_image_crop(image, to, name, err)
                                        : data_image_resize(image, to, name, err);
}

/* Pixels of the wanted size in mm, as many as cover what was there. */
static fl_status respace(data_image *image, const data_step *step, const char *name, fl_err *err)
{
    int64_t to[3] = {image->frames, image->rows, image->cols};
    for (int axis = image->frames > 1 ? 0 : 1; axis < 3; axis++) {
        if (!(image->spacing_mm[axis] > 0)) {
            return fl_fail(err, FL_ECONFIG,
                           "%s: spacing: the file does not say how far apart its %s are", name,
                           axis == 0 ? "slices" : "pixels");
        }
        double n = floor((double)to[axis] * image->spacing_mm[axis] / step->spacing_mm[axis] + 0.5);
        to[axis] = n < 1 ? 1 : n > DATA_MAX_SIDE ? DATA_MAX_SIDE + 1 : (int64_t)n;
    }
    return data_image_resize(image, to, name, err);
}

/* Maps low..high of n values to 0..1; what lies outside is clipped. */
static void map_to_unit(float *x, size_t n, double low, double high)
{
    double factor = high > low ? 1.0 / (high - low) : 0.0;
    for (size_t i = 0; i < n; i++) {
        double v = ((double)x[i] - low) * factor;
        x[i] = (float)fmin(fmax(v, 0), 1);
    }
}

static size_t plane_of(const data_image *image)
{
    return (size_t)(image->frames * image->rows * image->cols);
}

static int by_value(const void *a, const void *b)
{
    const float *x = a;
    const float *y = b;
    return (*x > *y) - (*x < *y);
}

/* Linear between the order statistics, as numpy.percentile has it. */
static double percentile_of(const float *sorted, size_t n, double percent)
{
    double at = percent / 100 * (double)(n - 1);
    size_t low = (size_t)at;
    size_t high = low + 1 < n ? low + 1 : low;
    return (double)sorted[low] + (at - (double)low) * ((double)sorted[high] - (double)sorted[low]);
}

static fl_status map_percentiles(float *x, size_t n, const data_step *step, const char *name,
                                 fl_err *err)
{
    float *sorted = fl_calloc(n, sizeof *sorted, name, err);
    if (sorted == NULL) {
        return FL_ELIMIT;
    }
    memcpy(sorted, x, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    double low = percentile_of(sorted, n, step->low);
    double high = percentile_of(sorted, n, step->high);
    free(sorted);
    map_to_unit(x, n, low, high);
    return FL_OK;
}

/* Window or percentiles, of one channel or of each. */
static fl_status map_values(uint64_t *mapped, data_image *image, const data_step *step,
                            const char *name, fl_err *err)
{
    double low = step->low;
    double high = step->high;
    size_t n = plane_of(image);
    fl_status st = FL_OK;

    if (step->channel > image->channels) {
        return fl_fail(err, FL_ECONFIG, "%s: window: channel %lld of an image of %lld", name,
                       (long long)step->channel, (long long)image->channels);
    }
    if (step->kind == DATA_STEP_WINDOW && isnan(low)) {
        if (!(image->window_width > 0)) {
            return fl_fail(err, FL_ECONFIG, "%s: window: file: the file gives no window", name);
        }
        low = image->window_centre - image->window_width / 2;
        high = image->window_centre + image->window_width / 2;
    }
    for (int64_t c = 0; c < image->channels && st == FL_OK; c++) {
        float *x = image->data + (size_t)c * n;
        if (step->channel > 0 && step->channel != c + 1) {
            continue;
        }
        if (step->kind == DATA_STEP_PERCENTILE) {
            st = map_percentiles(x, n, step, name, err);
        } else {
            map_to_unit(x, n, low, high);
        }
        *mapped |= c < 64 ? (uint64_t)1 << c : 0;
    }
    return st;
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

/* Least and most of what lies in n values. */
static void range_of(double *least, double *most, const float *x, size_t n)
{
    *least = HUGE_VAL;
    *most = -HUGE_VAL;
    for (size_t i = 0; i < n; i++) {
        *least = fmin(*least, (double)x[i]);
        *most = fmax(*most, (double)x[i]);
    }
}

/*
 * What no window has mapped: by the file's full scale or, where there is none, from its
 * least to its most value: of the whole image, or, where files of one case
 * became its channels, of each.
 */
static void map_rest(data_image *image, uint64_t mapped, const double least[static 64],
                     const double most[static 64])
{
    size_t n = plane_of(image);
    for (int64_t c = 0; c < image->channels; c++) {
        int64_t slot = image->stacked && c < 64 ? c : 0;
        if (c < 64 ? mapped >> c & 1 : mapped != 0) {
            continue;
        }
        if (image->full_scale == 0.0f) {
            map_to_unit(image->data + (size_t)c * n, n, least[slot], most[slot]);
        } else {
            map_to_unit(image->data + (size_t)c * n, n, 0, (double)image->full_scale);
        }
    }
    image->full_scale = 1.0f;
}

static fl_status apply_step(uint64_t *mapped, data_image *image, const data_step *step,
                            const nn_shape *input, const char *name, fl_err *err)
{
    switch (step->kind) {
    case DATA_STEP_CHANNELS:
        return change_channels(image, step->channels, name, err);
    case DATA_STEP_RESIZE:
    case DATA_STEP_CROP:
        return resize(image, step, input, name, err);
    case DATA_STEP_SPACING:
        return respace(image, step, name, err);
    case DATA_STEP_ORIENT:
        return data_image_orient(image, step->axes, name, err);
    case DATA_STEP_WINDOW:
    case DATA_STEP_PERCENTILE:
        return map_values(mapped, image, step, name, err);
    }
    return FL_OK;
}

fl_status data_preprocess_apply(data_image *image, const data_preprocess *p, const nn_shape *input,
                                const char *name, fl_err *err)
{
    static const double as_it_is[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
    double least[64] = {0};  // of the values, which a rescale has moved from stored_min
    double most[64] = {0};
    uint64_t mapped = 0;  // channels

    memcpy(image->view, as_it_is, sizeof image->view);
    data_image_drop_alpha(image);
    size_t n = plane_of(image);
    if (image->full_scale == 0.0f && image->stacked) {
        for (int64_t c = 0; c < image->channels && c < 64; c++) {
            range_of(&least[c], &most[c], image->data + (size_t)c * n, n);
        }
    } else if (image->full_scale == 0.0f) {
        range_of(&least[0], &most[0], image->data, n * (size_t)image->channels);
    }
    for (size_t i = 0; i < p->n; i++) {
        fl_status st = apply_step(&mapped, image, &p->steps[i], input, name, err);
        if (st != FL_OK) {
            return st;
        }
    }
    if (mapped != 0 || image->full_scale == 0.0f || p->n > 0) {
        map_rest(image, mapped, least, most);
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
