/*
 * dicom.h - what dicom.c, which reads the data set, and its decoders share
 *
 * A decoder turns one frame's bytes into plain samples: (rows, cols, samples),
 * little-endian, of bytes_per_sample each, and refuses a stream whose own
 * header does not say the same shape.  Known to this folder only.
 */
#ifndef DATA_DICOM_H
#define DATA_DICOM_H

#include "data/formats.h"

typedef struct {
    int64_t rows, cols;
    int samples;  // a pixel, 1 or 3
    int bytes;    // a sample: 1, 2 or 4
} dicom_frame;

typedef fl_status dicom_decoder(uint8_t *out, const dicom_frame *f, const uint8_t *bytes, size_t n,
                                const char *name, fl_err *err);

/* PS3.5 annex G: byte planes, packed. */
dicom_decoder data_dicom_rle;
/* ISO/IEC 14495-1 by CharLS, 15444-1 by OpenJPEG. */
dicom_decoder data_dicom_jpeg_ls;
dicom_decoder data_dicom_jpeg_2000;
/* ITU-T T.81, process 14: lossless Huffman, 2 to 16 bits. */
dicom_decoder data_dicom_jpeg_lossless;
/* T.81 in 8 bits by libjpeg, the components as they are coded. */
dicom_decoder data_dicom_jpeg_8;

/* Of the first frame header (SOFn) in a JPEG stream; kind -1: there is none. */
typedef struct {
    int kind;  // n of SOFn: 0 baseline, 1 extended, 2 progressive, 3 lossless
    int bits;
    int rows, cols, components;
    int adobe;     // transform of an Adobe marker before it; -1 = none
    bool rgb_ids;  // the components are called R, G, B
} dicom_jpeg_kind;
dicom_jpeg_kind data_dicom_jpeg_kind(const uint8_t *bytes, size_t n);

#endif
