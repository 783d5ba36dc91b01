/*
 * mask.h - what somebody drew on an image; known to this folder only
 *
 * A mask is a class code for every pixel of a case's *input*: it is looked up
 * in the mask's file at the centre of each input pixel (nearest neighbour), so
 * whatever the preprocess did to the image's grid holds for the mask.
 */
#ifndef DATA_MASK_H
#define DATA_MASK_H

#include "base/hash.h"
#include "data/coding.h"
#include "data/dataset.h"
#include "data/formats.h"
#include "data/shift.h"

enum { DATA_MAX_ANNOTATORS = 16, DATA_MAX_MASK_FILES = 64 };

/* The columns mask and mask:ANNOTATOR of a manifest. */
typedef struct {
    int reference;  // column; -1: the annotators' vote is the reference
    int column[DATA_MAX_ANNOTATORS];
    const char *name[DATA_MAX_ANNOTATORS];  // borrowed from the table
    size_t n;
} data_mask_columns;

/* FL_ECONFIG when there is no such column, FL_ELIMIT when there are too many. */
fl_status data_mask_find(data_mask_columns *out, const data_csv *table, const char *file,
                         fl_err *err);

/* Files that the masks of a row are read from. */
size_t data_mask_count_files(const data_mask_columns *columns, char *const *cell);

/* Adds what tells whether one of those has changed. */
void data_mask_add_identity(fl_sha256 *hash, const data_mask_columns *columns, char *const *cell,
                            const char *dir);

/* Where the pixels of an image lie, before a step has moved them. */
typedef struct {
    int64_t frames, rows, cols;
    double spacing_mm[3];  // depth, row, column; 0 = unknown
    double affine[12];     // as of a data_image
    bool has_affine;
} data_grid;

data_grid data_grid_of(const data_image *image);

/* Spacing in mm of the pixels that view (data_image) made of a grid's; 0 = unknown. */
void data_grid_spacing(double out[static 3], const data_grid *grid, const double view[static 12]);

/* All masks of a case; one block of memory. */
typedef struct {
    void *block;            // from malloc; NULL where nobody drew
    const uint8_t *mask;    // in it; NULL unlabelled
    const uint8_t **masks;  // [annotator] likewise; NULL without annotators
} data_masks;

/*
 * Reads the masks of a row whose image has grid and view (data_image).  A cell
 * holds a file, or several between "|" that together are the mask; an empty
 * one is no mask, which is not the same as a mask in which nothing is drawn.
 * dir: files are relative to it.  shape: of the input.
 */
fl_status data_masks_read(data_masks *out, const data_mask_columns *columns, char *const *cell,
                          const char *dir, const data_grid *grid, const double view[static 12],
                          const nn_shape *shape, const data_coding *coding, const char *where,
                          fl_err *err);

/* The same masks in a block of their own; mask and those in masks may be NULL.  what: for the
 * sentence.  Frees nothing. */
fl_status data_masks_copy(data_masks *out, const data_masks *from, size_t n_annotators,
                          size_t n_pixels, const char *what, fl_err *err);

/* Moves masks, whose memory is the caller's to change, as the chain moves the image of that name. */
fl_status data_masks_shift(const data_masks *masks, size_t n_annotators, const nn_shape *shape,
                           const data_shift *chain, uint64_t seed, const char *name, fl_err *err);

/* Where an input lies that view made of a grid's pixels. */
data_place data_grid_place(const data_grid *grid, const double view[static 12]);

/* A pixel's spacing as the chain makes it. */
void data_place_widen(data_place *place, const data_shift *chain);

/*
 * Adds one file of a mask to code, (n_pixels) of the input; where two files
 * of a mask overlap, the one that came first has the pixel.  Two classes: a
 * value that dataset.yaml names is that class, others are foreground from
 * mask_threshold on; more: every value must be a class's.
 * view: the preprocessed image's.  shape: of the input.  where: for the sentence.
 * FL_ECONFIG when the mask is of another size or place than the image, or has a
 * value outside the classes.
 */
fl_status data_mask_add(uint8_t *code, const data_image *mask, const data_grid *grid,
                        const double view[static 12], const nn_shape *shape,
                        const data_coding *coding, const char *where, fl_err *err);

/*
 * What most of n masks (NULL: not drawn) say of each pixel; of classes with
 * as many votes, the one whose mask comes first.
 */
void data_mask_vote(uint8_t *code, const uint8_t *const *masks, size_t n, size_t n_pixels);

#endif
