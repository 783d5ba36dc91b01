/*
 * grid.h - geometry on a mask's grid: surface, exact distances, lesions
 *
 * Masks are (D, H, W) bytes, row-major; D is 1 for images.  What is found is
 * the same for a mask and its mirror image, and needs no padding.
 */
#ifndef EVAL_GRID_H
#define EVAL_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t size[3];    // depth (1: an image), height, width; each >= 1
    double spacing[3];  // between centres along each, > 0: mm, or 1 where not known
    bool in_mm;         // spacing is known; else distances are in pixels
} eval_grid;

size_t eval_grid_n(const eval_grid *g);  // points

/* Corner to corner of what the grid covers; the depth counts when D > 1. */
double eval_grid_diagonal(const eval_grid *g);

/*
 * out[i]: mask[i], and a neighbour across a face is not in the mask or lies
 * outside the grid (so a mask that the image cuts off has a surface there; the
 * mask less its erosion of scipy.ndimage, MONAI and medpy).  Images have no
 * neighbours in depth.  out may not be mask.
 */
void eval_grid_surface(bool *out, const bool *mask, const eval_grid *g);

/*
 * square[i]: squared distance of point i to the nearest with to[i]; infinite
 * when there is none.  Exact (Felzenszwalb and Huttenlocher 2012, eq. 2 and
 * algorithm 1, along each axis in turn), linear in the number of points.
 */
void eval_grid_distance2(double *square, const bool *to, const eval_grid *g);

/*
 * Connected components of mask, neighbours across faces, edges and corners (8
 * in an image, 26 in a volume).  part (n): 1 to their number, in the order of
 * their first points; 0 outside.  Returns their number.
 */
int32_t eval_grid_parts(int32_t *part, const bool *mask, const eval_grid *g);

#endif
