/*
 * transfer.h - starting from a network that was trained for something else
 *
 * Which parameters stay as they are, and where a network is cut to get another
 * end.  A *layer* is what parameters share whose names agree up to the last dot
 * (layer4.1.conv2); a *block* is what they share whose layers agree in their
 * first two parts (layer4.1, fc, features.denseblock4), in the order in which
 * the graph uses them.
 */
#ifndef NN_TRANSFER_H
#define NN_TRANSFER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "nn/graph.h"

/*
 * Freezes the parameters of a finished graph whose names match one of n patterns
 * ('*' is any run), and all but those of its last train_last blocks (0: all may
 * be trained).  FL_ECONFIG when a pattern matches none, there are not so many
 * blocks, or nothing would be left to train.
 * A BatchNormalization whose scale and shift are frozen normalises by its running
 * statistics, which stay; Dropout goes on dropping.
 */
fl_status nn_transfer_freeze(nn_graph *g, const char *const *patterns, size_t n, int64_t train_last,
                             fl_err *err);

/*
 * The value behind a layer, block or node of that name (or a value's): the last
 * node that it names, and what follows it without parameters and without a
 * branch (activations, sums, pools).  FL_ECONFIG when there is none.
 */
fl_status nn_transfer_find(nn_value *out, const nn_graph *g, const char *name, fl_err *err);

/* Names of blocks, with blanks between: those that are trained, or those that are not. */
void nn_transfer_blocks(fl_buf *out, const nn_graph *g, bool trained);

#endif
