/*
 * formats.c - the registry of image formats, and what all of them share
 *
 * A format is recognised by its first bytes, never by the name of the file:
 * hospitals' exports are full of JPEGs called .png.
 */
#include "data/formats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/sys.h"
#include "data/image.h"

enum { HEAD_BYTES = 512 };  // what a format may look at to recognise itself

const data_format *data_format_at(size_t i)
{
    static const data_format *const formats[] = {
        &data_format_png,   &data_format_jpeg, &data_format_npy,
        &data_format_dicom,  // before NIfTI: a file can be both, with the latter's header in the preamble
        &data_format_nifti,
    };
    return i < sizeof formats / sizeof *formats ? formats[i] : NULL;
}

void data_image_clear(data_image *image)
{
    FL_FREE(image->data);
    *image = (data_image){0};
}

fl_status data_image_parse(data_image *out, const uint8_t *bytes, size_t n, const char *name,
                           fl_err *err)
{
    size_t head = n < HEAD_BYTES ? n : HEAD_BYTES;
    const data_format *format;

    *out = (data_image){0};
    for (size_t i = 0; (format = data_format_at(i)) != NULL; i++) {
        if (format->is(bytes, head)) {
            fl_status st = format->read(out, bytes, n, name, err);
            if (st != FL_OK) {
                data_image_clear(out);
            }
            return st;
        }
    }
    return fl_fail(err, FL_EUNSUPPORTED,
                   "%s: expected an image (PNG, JPEG, NIfTI, DICOM, npy), found %s", name,
                   n == 0 ? "an empty file" : "none of these");
}

fl_status data_image_bytes(char **bytes, size_t *n, const char *path, fl_err *err)
{
    fl_status st = fl_file_read(bytes, n, path, DATA_MAX_FILE_BYTES, err);
    return st == FL_OK ? data_nifti_join_pair(bytes, n, path, err) : st;
}

fl_status data_image_read_as(data_image *out, const char *path, const char *name, fl_err *err)
{
    char *bytes = NULL;
    size_t n = 0;
    fl_err why = FL_ERR_INIT;

    *out = (data_image){0};
    if (fl_is_dir(path)) {
        return data_dicom_series_read(out, path, name, err);
    }
    fl_status st = data_image_bytes(&bytes, &n, path, &why);
    if (st == FL_OK) {
        st = data_image_parse(out, (const uint8_t *)bytes, n, name, err);
    } else if (st == FL_ENOTFOUND) {
        fl_fail(err, st, "%s: the file does not exist", name);
    } else {
        fl_fail(err, st, "%s: the file: %s", name, fl_status_text(st));
    }
    free(bytes);
    return st;
}

fl_status data_image_read(data_image *out, const char *path, fl_err *err)
{
    char *bytes = NULL;
    size_t n = 0;

    *out = (data_image){0};
    if (fl_is_dir(path)) {
        return data_dicom_series_read(out, path, path, err);
    }
    fl_status st = data_image_bytes(&bytes, &n, path, err);
    if (st == FL_OK) {
        st = data_image_parse(out, (const uint8_t *)bytes, n, path, err);
    }
    free(bytes);
    return st;
}

fl_status data_image_check_size(const data_image *image, const char *name, fl_err *err)
{
    const int64_t dim[4] = {image->frames, image->rows, image->cols, image->channels};
    int64_t pixels = 1;

    for (int i = 0; i < 4; i++) {
        if (dim[i] < 1) {
            return fl_fail(err, FL_EFORMAT, "%s: an image without pixels", name);
        }
        if (dim[i] > DATA_MAX_SIDE || pixels > DATA_MAX_PIXELS / dim[i]) {
            return fl_fail(err, FL_ELIMIT,
                           "%s: %lld x %lld pixels, %lld frames and %lld channels are more than "
                           "the %d a side and %d in all that are read",
                           name, (long long)image->rows, (long long)image->cols,
                           (long long)image->frames, (long long)image->channels, DATA_MAX_SIDE,
                           DATA_MAX_PIXELS);
        }
        pixels *= dim[i];
    }
    return FL_OK;
}

/* The three axes in turn, the best fitting first: no two get one letter. */
void data_image_set_orientation(data_image *image)
{
    static const char *const letters[] = {"LR", "PA", "IS"};
    double length[3];
    char found[4] = "";
    bool used[3] = {false};  // directions of the patient

    for (int j = 0; j < 3; j++) {
        const double *a = image->affine + j;
        length[j] = sqrt(a[0] * a[0] + a[4] * a[4] + a[8] * a[8]);
        if (!(length[j] > 0)) {
            return;
        }
    }
    for (int turn = 0; turn < 3; turn++) {
        double best = -1;
        int axis = 0;
        int to = 0;
        for (int k = 0; k < 9; k++) {
            double cosine = fabs(image->affine[4 * (k / 3) + k % 3]) / length[k % 3];
            if (found[k % 3] == '\0' && !used[k / 3] && cosine > best) {
                best = cosine;
                axis = k % 3;
                to = k / 3;
            }
        }
        used[to] = true;
        found[axis] = letters[to][image->affine[4 * to + axis] > 0 ? 1 : 0];
    }
    memcpy(image->orientation, found, sizeof found);
}

fl_status data_image_fill(data_image *image, const uint8_t *samples, int bytes_per_sample,
                          fl_err *err)
{
    size_t channels = (size_t)image->channels;
    size_t plane = (size_t)(image->frames * image->rows * image->cols);
    double sum = 0;
    unsigned least = UINT32_MAX;
    unsigned most = 0;

    FL_REQUIRE(bytes_per_sample == 1 || bytes_per_sample == 2);
    image->data = fl_calloc(plane * channels, sizeof *image->data, "image", err);
    if (image->data == NULL) {
        return FL_ELIMIT;
    }
    for (size_t i = 0; i < plane; i++) {
        for (size_t c = 0; c < channels; c++) {
            size_t at = i * channels + c;
            unsigned v = bytes_per_sample == 1 ? samples[at]
                                               : samples[2 * at] | samples[2 * at + 1] << 8u;
            least = v < least ? v : least;
            most = v > most ? v : most;
            sum += v;
            image->data[c * plane + i] = (float)v;
        }
    }
    image->stored_min = least;
    image->stored_max = most;
    image->stored_mean = sum / (double)(plane * channels);
    image->full_scale = bytes_per_sample == 1 ? 255.0f : 65535.0f;

    fl_sha256 hash;
    fl_sha256_init(&hash);
    fl_sha256_add(&hash, samples, plane * channels * (size_t)bytes_per_sample);
    fl_sha256_done(&hash, image->sha256);
    return FL_OK;
}
