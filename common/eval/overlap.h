/*
 * overlap.h - how much of one map's high places lie where another is high
 *
 * Of a case's uncertain pixels, the share that lies in the region a prediction is
 * explained by: by chance it is as large as the region.
 */
#ifndef EVAL_OVERLAP_H
#define EVAL_OVERLAP_H

#include <stddef.h>

/*
 * Of the round(top * n) places where a is highest (at least 1), the share that is among as
 * many where b is highest; n places, top in (0, 1).  Among equal values at the border each
 * is as likely in as the others, so two maps without any relation give top.  NaN
 * where a map is the same everywhere, or n is 0: there is no high place.
 */
double eval_overlap(const float *a, const float *b, size_t n, double top);

#endif
