/*
 * preprocess.h - from an image as stored to the input of a model
 *
 * The steps of dataset.yaml's `preprocess:` in the order they are written.
 * Values are in the file's own units (for a DICOM: Hounsfield) until `window`
 * maps an interval of them to [0, 1]; without a window the file's full scale
 * (255, 65535) becomes 1.  `normalise` comes last and is applied when a batch
 * is copied, so that shifts see [0, 1].
 */
#ifndef DATA_PREPROCESS_H
#define DATA_PREPROCESS_H

#include "base/cfg.h"
#include "data/formats.h"
#include "nn/tensor.h"

enum { DATA_MAX_STEPS = 8 };

typedef enum {
    DATA_STEP_CHANNELS,
    DATA_STEP_RESIZE,
    DATA_STEP_CROP,
    DATA_STEP_SPACING,
    DATA_STEP_ORIENT,
    DATA_STEP_WINDOW,
    DATA_STEP_PERCENTILE
} data_step_kind;

typedef struct {
    data_step_kind kind;
    int64_t channels;            // CHANNELS: 1 or 3
    int64_t frames, rows, cols;  // RESIZE, CROP; frames 0 = as they are, rows 0 = the job's input
    double spacing_mm[3];        // SPACING: slices, rows, columns
    char axes[4];                // ORIENT: "RAS"
    double low, high;  // WINDOW, PERCENTILE: these become 0 and 1; WINDOW, NAN: the file's advice
    int64_t channel;   // WINDOW: 1 = the first; 0 = all
} data_step;

typedef enum { DATA_NORMALISE_NONE, DATA_NORMALISE_ZSCORE, DATA_NORMALISE_RANGE } data_normalise;

typedef struct {
    data_step steps[DATA_MAX_STEPS];
    size_t n;
    data_normalise normalise;
} data_preprocess;

/* Reads the list; complaints go to the document.  An absent list is none. */
void data_preprocess_read(data_preprocess *out, fl_node list);

/* Forgets the last channel where photometric says that it is alpha. */
void data_image_drop_alpha(data_image *image);

/*
 * Leaves image->data in [0, 1] (full_scale = 1), or, when no step changes a
 * value, as stored with its full_scale; image->view says where its pixels lie.
 * input: the job's, rank 0 when it does not say.  name is for the sentence.
 */
fl_status data_preprocess_apply(data_image *image, const data_preprocess *p, const nn_shape *input,
                                const char *name, fl_err *err);

/* Mean and 1/sd (or least and 1/range) that normalise subtracts and
 * multiplies by; 0 and 1 for none.  A constant image gives 1/sd = 1. */
void data_normalise_of(data_normalise kind, const float *x, size_t n, float *mean, float *factor);

#endif
