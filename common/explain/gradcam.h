/*
 * gradcam.h - where in an image or a volume a score comes from: Grad-CAM
 *
 * Selvaraju et al. 2017: of the last convolution's maps A_k (as what comes next, behind
 * normalisation and activation, sees them) the sum of alpha_k A_k, cut below 0, where
 * alpha_k is the mean over places of the gradient of the score by A_k (equations 1, 2).
 * Where each pixel has a score, Seg-Grad-CAM (Vinogradova, Dibrov and Myers 2020): the score
 * is the sum over the pixels asked about, the maps are the deepest ones.
 */
#ifndef EXPLAIN_GRADCAM_H
#define EXPLAIN_GRADCAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/graph.h"

typedef struct {
    int64_t frames, rows, cols;  // of the maps; frames: 1 for images
    float *map;  // (frames, rows, cols), 0 to 1: divided by its greatest; all 0 where nothing
                         // speaks for the score.  free(map)
} explain_cam;

/*
 * x: one input.  logit: which output; sign: -1 for the score of its opposite (two classes as
 * one logit), else 1.  FL_EUNSUPPORTED for graphs without a convolution of images or
 * volumes whose maps alone lead to one answer a case, and for those that normalise batches behind it.
 */
fl_status explain_gradcam(explain_cam *out, const nn_graph *g, const float *params, const float *x,
                          int64_t logit, int sign, fl_err *err);

/*
 * The same for a graph with an answer a pixel, (N, L, ...): of logit, times sign, over the pixels
 * that are asked (their number is the output's).  The maps are of the convolution with the
 * fewest places (of these, the most channels), at a U-Net's bottom; what leads around them
 * stays as it is.  All 0 too where no pixel is asked.
 */
fl_status explain_seg_gradcam(explain_cam *out, const nn_graph *g, const float *params,
                              const float *x, int64_t logit, int sign, const bool *asked,
                              fl_err *err);

/* The map on frames x rows x cols pixels, linearly between the middles of its places. */
void explain_cam_resize(float *out, int64_t frames, int64_t rows, int64_t cols,
                        const explain_cam *cam);

#endif
