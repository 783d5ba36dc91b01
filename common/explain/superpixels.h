/*
 * superpixels.h - pieces of an image that look alike: SLIC
 *
 * Achanta et al. 2012: k-means of colour and place, each centre looking around itself
 * only; then pieces that came apart or are tiny join a neighbour.
 */
#ifndef EXPLAIN_SUPERPIXELS_H
#define EXPLAIN_SUPERPIXELS_H

#include <stddef.h>
#include <stdint.h>

/*
 * image: (channels, rows, cols) in [0, 1]; three channels are sRGB and compared in CIELAB.
 * wanted: about how many.  piece (rows, cols): 0 to the number returned - 1, each connected
 * across edges.
 */
size_t explain_superpixels(int32_t *piece, const float *image, int64_t channels, int64_t rows,
                           int64_t cols, size_t wanted);

#endif
