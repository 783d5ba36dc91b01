/*
 * formats.h - one reader signature for all image formats, with hard limits
 *
 * Bytes from outside become a data_image in one file per format, under limits
 * that are checked before anything is allocated.  Code behind this border trusts
 * its input.  Readers refuse in one sentence; messages name the file only.
 */
#ifndef DATA_FORMATS_H
#define DATA_FORMATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    DATA_MAX_SIDE = 32768,      // pixels a side
    DATA_MAX_PIXELS = 1 << 28,  // rows * cols * frames * channels
    DATA_MAX_FILE_BYTES = 1 << 30
};

/* An image as stored, then as float. */
typedef struct {
    int64_t frames, rows, cols, channels;  // channels last in the file, first in data
    int bits;                              // bits per sample as stored
    bool is_signed, is_float;
    float *data;  // (channels, frames, rows, cols), values after rescale; owned
    double stored_min, stored_max, stored_mean;  // as in the file
    float full_scale;      // what counts as 1.0 (255, 65535; 0 = unknown, use min..max)
    double spacing_mm[3];  // depth, row, column; 0 = unknown
    /* Voxel (col, row, frame, 1) to mm to the patient's right, front and top (RAS): the first three
     * rows of the matrix.  Where the axes point, in words: "RAS" = columns to the right, rows to
     * the front, frames to the top; "" = the file does not say, and affine is 0. */
    double affine[12];
    char orientation[4];
    double thickness_mm;  // of a slice, which spacing may leave gaps between; 0 = unknown
    bool stacked;         // channels are of several files, each with a scale of its own
    double window_centre, window_width;  // the file's first advice for display; width 0 = none
    char format[32];                     // "PNG", "JPEG", "npy", "NIfTI-1", "DICOM"
    char photometric
        [32];  // "gray" "RGB" "palette", DICOM's own words; ", alpha" behind it: the last channel is alpha
    /* After preprocessing: pixel (frame, row, col, 1) to the file's (frame, row, col), the first
     * three rows of the matrix, so that what lies on the file's grid can be looked up. */
    double view[12];
    uint8_t sha256
        [32];  // of the array of stored samples: frames, rows, cols, channels order, little-endian
} data_image;

void data_image_clear(data_image *image);

typedef struct {
    const char *name;                           // "PNG"
    bool (*is)(const uint8_t *head, size_t n);  // by its first (<= 512) bytes, not by its name
    fl_status (*read)(data_image *out, const uint8_t *bytes, size_t n, const char *name,
                      fl_err *err);
} data_format;

const data_format *data_format_at(size_t i);  // NULL behind the last; a format is a file and a line
/* Reads any known image file; for a NIfTI pair path is the .hdr, for the slices of a DICOM series their folder. */
fl_status data_image_read(data_image *out, const char *path, fl_err *err);
/* Likewise; name stands for path in the sentence, which then says no path. */
fl_status data_image_read_as(data_image *out, const char *path, const char *name, fl_err *err);
/* The bytes that data_image_parse reads: the file, a NIfTI pair joined into one.  Caller's. */
fl_status data_image_bytes(char **bytes, size_t *n, const char *path, fl_err *err);
/* From memory (damage tests, fuzzing). */
fl_status data_image_parse(data_image *out, const uint8_t *bytes, size_t n, const char *name,
                           fl_err *err);
/* 8- or 16-bit gray (channels 1) or RGB (channels 3) PNG; data (rows, cols, channels) in [0, 1]. Atomic. */
fl_status data_png_write(const char *path, const float *data, int64_t rows, int64_t cols,
                         int channels, int bits, fl_err *err);

/* Single-file NIfTI-1 of 16-bit integers: data (frames, rows, cols) is rounded, in the image's own
 * unit; spacing of frames, rows, columns.  Sides of at most 32767.  Atomic. */
fl_status data_nifti_write(const char *path, const float *data, int64_t frames, int64_t rows,
                           int64_t cols, const double spacing_mm[3], fl_err *err);
/* The same where an affine (data_image) says where it lies. */
fl_status data_nifti_write_at(const char *path, const float *data, int64_t frames, int64_t rows,
                              int64_t cols, const double affine[static 12], fl_err *err);

/* --- .npy arrays and .npz archives (NumPy's format 1 to 3) --- */
typedef struct {
    char name[128];  // member without ".npy"
    int rank;
    int64_t dim[6];
    char type;       // 'u' 'i' 'f' 'b' (bool)
    int item_bytes;  // 1 2 4 8; 2 with 'f' is IEEE half precision
    uint8_t *bytes;  // C order, this machine's byte order; owned
} data_array;
void data_array_clear(data_array *a);
fl_status data_npy_parse(data_array *out, const uint8_t *bytes, size_t n, const char *name,
                         fl_err *err);
typedef struct {
    data_array *items;
    size_t n;
} data_npz;  // owned
fl_status data_npz_read(data_npz *out, const char *path, fl_err *err);
fl_status data_npz_parse(data_npz *out, const uint8_t *bytes, size_t n, const char *name,
                         fl_err *err);
/*
 * As data_npz_read, but an array whose name ends in `but` is described only, its bytes are NULL:
 * it may be larger than memory, up to DATA_NPZ_MAX_BYTES.  The others: 1 GiB together.
 */
#define DATA_NPZ_MAX_BYTES ((uint64_t)1 << 38)
fl_status data_npz_read_but(data_npz *out, const char *path, const char *but, fl_err *err);
/*
 * Appends the numbers of an array so described to the file fd, in C order and this machine's byte
 * order, holding a piece of them at a time (one in Fortran order: all, at most 1 GiB).
 */
fl_status data_npz_unpack(const char *path, const data_array *array, int fd, fl_err *err);
/* Of the same shape and type? */
bool data_array_is_alike(const data_array *a, const data_array *b);
size_t data_array_count(const data_array *a);                          // elements
const data_array *data_npz_find(const data_npz *z, const char *name);  // or NULL
void data_npz_clear(data_npz *z);
double data_array_at(const data_array *a, size_t i);  // element i as double

/* --- CSV tables (RFC 4180: quotes, doubled quotes, CRLF) ---
 * Blanks around an unquoted cell do not count, empty lines are skipped. */
enum { DATA_MAX_COLUMNS = 4096, DATA_MAX_CELLS = 1 << 26 };

typedef struct {
    char ***cell;   // [row][column] text; owned
    int *line;      // 1-based line each row begins at
    char **header;  // column names; NULL when the file has none
    size_t n_rows, n_cols;
    char *text;  // where all cells lie; private
} data_csv;
/* Every row must have as many cells as the first; FL_EFORMAT names file:line. */
fl_status data_csv_read(data_csv *out, const char *path, bool has_header, fl_err *err);
fl_status data_csv_parse(data_csv *out, const char *text, size_t n, const char *name,
                         bool has_header, fl_err *err);
int data_csv_column(const data_csv *t, const char *name);  // -1 when absent
void data_csv_clear(data_csv *t);

#endif
