/*
 * dicom.h - what the files that read DICOM share
 *
 * dicom_parse.c makes a header of a file, dicom_pixels.c and dicom_colour.c
 * make samples of it, dicom.c an image, dicom_place.c its place in the
 * patient, dicom_series.c a volume of a folder.  A decoder turns one packed
 * frame's bytes into plain samples: (rows, cols, samples), little-endian, of
 * bytes_per_sample each, and refuses a stream whose own header does not say
 * the same shape.  Known to this folder only.
 */
#ifndef DATA_DICOM_H
#define DATA_DICOM_H

#include "base/hash.h"
#include "data/formats.h"

enum {
    DICOM_PREAMBLE = 128,    // bytes before the mark
    DICOM_MAX_NUMBERS = 6,   // of one field
    DICOM_MAX_SLICES = 8192  // of a series
};

/* How pixels are packed. */
typedef enum {
    DICOM_PACK_NONE,
    DICOM_PACK_RLE,
    DICOM_PACK_JPEG,
    DICOM_PACK_LS,
    DICOM_PACK_2000,
    DICOM_PACK_2000_2  // by the second part, which may put several frames into one stream
} dicom_packing;

typedef struct {
    const char *uid;
    bool is_explicit, is_big, is_deflated;
    dicom_packing pack;
    bool has_big_pixels;  // GE's private one, whose other elements are little-endian
} dicom_syntax;

typedef struct {
    const uint8_t *p;
    size_t n;
} dicom_span;

typedef struct {
    size_t n;  // 0 = absent
    double v[DICOM_MAX_NUMBERS];
} dicom_numbers;

/* Positions of the frames of an enhanced image, as they come. */
typedef struct {
    int64_t n;
    dicom_numbers first, last;
    double step[3];  // from the first to the second
    bool uneven;     // a later step is another one
} dicom_track;

/* The listed fields: all that is ever looked at. */
typedef struct {
    const dicom_syntax *syntax;
    int64_t samples, planar, frames, rows, cols, allocated, stored, high, is_signed;  // -1 = absent
    char photometric[32];
    dicom_numbers spacing, imager_spacing, thickness, between, orientation;
    dicom_track position;
    dicom_numbers slope, intercept, centre, width, grid;
    bool scales_differ, has_modality_lut;
    dicom_span lut_descriptor[3], lut[3], segments[3];  // segments: a table written as lines
    char pixel_vr[3];
    char kind;             // 'u' integers, 'f' floats, '\0' there are no pixels
    dicom_span pixels;     // native
    dicom_span *fragment;  // encapsulated; owned
    size_t n_fragments;
    dicom_span offsets;  // the basic offset table
    bool has_series;
    uint8_t series[FL_SHA256_BYTES];  // of the series' identifier, to tell two apart
    uint8_t *inflated;                // of a deflated file, where the spans point; owned
} dicom_header;

/* Unsigned, of 1, 2 or 4 bytes. */
uint32_t data_dicom_uint(const uint8_t *p, int bytes, bool big);

bool data_dicom_is(const uint8_t *head, size_t n);
/* out borrows from bytes.  What fails leaves it to be cleared, too. */
fl_status data_dicom_parse(dicom_header *out, const uint8_t *bytes, size_t n, const char *name,
                           fl_err *err);
void data_dicom_header_clear(dicom_header *h);

/* Of one sample in memory. */
size_t data_dicom_sample_bytes(const dicom_header *h);
/* MONOCHROME is MONOCHROME1 and MONOCHROME2. */
bool data_dicom_photometric(const dicom_header *h, const char *begins);

/*
 * The frames in order, (frames, rows, cols, samples); the caller's.  The
 * header has passed dicom.c's checks.  is_rgb: the packed stream says that
 * its colours are RGB, whatever the header says.
 */
fl_status data_dicom_samples(uint8_t **out, bool *is_rgb, const dicom_header *h, const char *name,
                             fl_err *err);

/* YBR to RGB, in place: PS3.3 C.7.6.3.1.2 (ITU-R BT.601, full range). */
void data_dicom_ybr_to_rgb(uint8_t *samples, size_t n_pixels);
/*
 * Replaces *samples, count indices of *bytes each, by the colours that they
 * stand for; *bytes becomes theirs.
 */
fl_status data_dicom_palette(uint8_t **samples, size_t *bytes, const dicom_header *h, size_t count,
                             const char *name, fl_err *err);

/*
 * PS3.3 C.7.9.2: a palette written as runs of entries, lines between two and repetitions of
 * those, to the n entries that they stand for.  is_wide: entries of 16 bits, else of 8.
 * False when it is malformed or gives another number.
 */
bool data_dicom_palette_expand(uint16_t *out, size_t n, dicom_span segments, bool is_wide,
                               bool is_big);

/* Spacing, slice thickness, affine and orientation. */
void data_dicom_place(data_image *out, const dicom_header *h);

/* An image of one file, checked; out->data is NULL.  FL_EUNSUPPORTED, FL_EFORMAT, FL_ELIMIT. */
fl_status data_dicom_shape(data_image *out, const dicom_header *h, const char *name, fl_err *err);
/*
 * Fills data (channels, frames, rows, cols) and the stored_* figures of a shape;
 * what is stored goes to hash.
 */
fl_status data_dicom_values(data_image *out, fl_sha256 *hash, const dicom_header *h,
                            const char *name, fl_err *err);

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
/* T.81, process 4: sequential, 12 bits. */
dicom_decoder data_dicom_jpeg_12;
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
