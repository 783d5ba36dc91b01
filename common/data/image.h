/*
 * image.h - what the image readers share; known to this folder only
 */
#ifndef DATA_IMAGE_H
#define DATA_IMAGE_H

#include "data/formats.h"

extern const data_format data_format_png;
extern const data_format data_format_jpeg;
extern const data_format data_format_npy;
extern const data_format data_format_nifti;
extern const data_format data_format_dicom;

/*
 * Checks rows, cols, frames and channels, which the caller has set, against
 * the limits.  format and name are for the sentence.
 */
fl_status data_image_check_size(const data_image *image, const char *name, fl_err *err);

/*
 * Fills data, stored_* and sha256 from samples: unsigned integers of 1 or 2
 * bytes, little-endian, ordered frames, rows, cols, channels.  The shape has
 * passed data_image_check_size.
 */
fl_status data_image_fill(data_image *image, const uint8_t *samples, int bytes_per_sample,
                          fl_err *err);

/* Sets orientation from affine; "" where its axes do not span the space. */
void data_image_set_orientation(data_image *image);

/*
 * Where *bytes is the header of a NIfTI pair called path: reads the .img file
 * beside it and replaces *bytes by the single file of both.  Others are left
 * as they are.
 */
fl_status data_nifti_join_pair(char **bytes, size_t *n, const char *path, fl_err *err);

/*
 * The volume of a folder that holds the slices of one DICOM series, in the
 * order of their places; sha256 is of all slices' samples in that order.
 * FL_EUNSUPPORTED when they are not one complete, even series.  name is for
 * the sentence, which says no file's name.
 */
fl_status data_dicom_series_read(data_image *out, const char *dir, const char *name, fl_err *err);

/*
 * Compresses to JPEG at quality 1 to 100 and reads it back, in place.
 * x: (channels, rows, cols) in [0, 1], channels 1 or 3.  False when the
 * codec fails; x is then unchanged.
 */
bool data_jpeg_roundtrip(float *x, int64_t channels, int64_t rows, int64_t cols, int quality);

#endif
