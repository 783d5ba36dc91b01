/*
 * dicom_series.c - a folder of DICOM slices as one volume
 *
 * The slices' order is where they lie: ImagePositionPatient along the normal
 * of the plane, never the files' names or numbers, which archives renumber.
 * A volume is one series, complete and evenly spaced, or it is refused:
 * a missing slice, two at one place, a localiser among them or a file that
 * cannot be read would give a volume that looks right and is not.
 * A message counts the folder's files in the order of their names and says none.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/dicom.h"
#include "data/image.h"

/* How far a slice may lie from its place on the line of all, as a part of the
 * distance of two: positions are often written with one decimal. */
static const double slack_part = 0.1;
/* Two slices nearer than this are at one place. */
static const double same_place_mm = 1e-3;
/* Between two directions that are written alike. */
static const double same_cosine = 1e-3;

typedef struct {
    size_t file;  // 1-based, by name
    const char *path;
    double position[3];
    double along;  // mm, along the normal
} slice;

typedef struct {
    char **path;  // owned
    size_t n_files;
    slice *slices;       // owned; one a file
    dicom_header first;  // of the first file; its spans are not to be used
    data_image shape;    // likewise, of one slice
    double normal[3];
    const char *name;
    fl_err *err;
} series;

static bool is_left_out(const char *name)
{
    return name[0] == '.' || strcmp(name, "DICOMDIR") == 0;
}

static fl_status list_files(series *s, const char *dir)
{
    char **names;
    size_t n;
    fl_err why = FL_ERR_INIT;

    fl_status st = fl_list_dir(&names, &n, dir, &why);
    if (st != FL_OK) {
        return fl_fail(s->err, st, "%s: the folder: %s", s->name, fl_status_text(st));
    }
    s->path = fl_xcalloc(n, sizeof *s->path);
    for (size_t i = 0; i < n; i++) {
        if (!is_left_out(names[i])) {
            s->path[s->n_files++] = fl_path_join(dir, names[i]);
        }
    }
    fl_names_free(&names, n);
    if (s->n_files == 0) {
        return fl_fail(s->err, FL_ENOTFOUND, "%s: the folder of a DICOM series holds no files",
                       s->name);
    }
    if (s->n_files > DICOM_MAX_SLICES) {
        return fl_fail(s->err, FL_ELIMIT, "%s: a DICOM series of more than %d files", s->name,
                       DICOM_MAX_SLICES);
    }
    s->slices = fl_xcalloc(s->n_files, sizeof *s->slices);
    return FL_OK;
}

/* "manifest.csv:3: file 7 of 120 (by name)"; caller's. */
static char *file_name(const series *s, size_t file)
{
    return fl_xasprintf("%s: file %zu of %zu (by name)", s->name, file, s->n_files);
}

/* Its bytes are the caller's and must outlive the header. */
static fl_status open_file(char **bytes, dicom_header *h, data_image *shape, const series *s,
                           size_t file, const char *name)
{
    size_t n;
    fl_err why = FL_ERR_INIT;

    *bytes = NULL;
    *h = (dicom_header){0};
    if (fl_is_dir(s->path[file - 1])) {
        return fl_fail(s->err, FL_EUNSUPPORTED, "%s: a folder in the folder of a DICOM series",
                       name);
    }
    fl_status st = fl_file_read(bytes, &n, s->path[file - 1], DATA_MAX_FILE_BYTES, &why);
    if (st != FL_OK) {
        return fl_fail(s->err, st, "%s: %s", name, fl_status_text(st));
    }
    const uint8_t *head = (const uint8_t *)*bytes;
    if (!data_dicom_is(head, n)) {
        return fl_fail(s->err, FL_EUNSUPPORTED,
                       "%s: no DICOM file; a series' folder holds its slices and nothing else",
                       name);
    }
    st = data_dicom_parse(h, head, n, name, s->err);
    return st == FL_OK ? data_dicom_shape(shape, h, name, s->err) : st;
}

/* --- are they one series? --- */

static bool same_numbers(const dicom_numbers *a, const dicom_numbers *b, double slack)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++) {
        same = fabs(a->v[i] - b->v[i]) <= slack;
    }
    return same;
}

static const char *difference(const series *s, const dicom_header *h, const data_image *shape)
{
    const dicom_header *f = &s->first;
    if (h->has_series != f->has_series || memcmp(h->series, f->series, sizeof h->series) != 0) {
        return "of another series than the first file: a folder holds one series";
    }
    if (!same_numbers(&h->orientation, &f->orientation, same_cosine)) {
        return "a slice of another direction than the first file's, such as a localiser";
    }
    if (shape->rows != s->shape.rows || shape->cols != s->shape.cols ||
        shape->channels != s->shape.channels || shape->bits != s->shape.bits ||
        shape->is_signed != s->shape.is_signed || shape->is_float != s->shape.is_float ||
        strcmp(shape->photometric, s->shape.photometric) != 0 ||
        !same_numbers(&h->spacing, &f->spacing, same_cosine)) {
        return "a slice of another size or kind than the first file's";
    }
    return NULL;
}

static fl_status keep_slice(series *s, const dicom_header *h, const data_image *shape, size_t file,
                            const char *name)
{
    slice *to = &s->slices[file - 1];
    if (h->frames != 1) {
        return fl_fail(s->err, FL_EUNSUPPORTED,
                       "%s: a file of %lld frames among others; such a file is a volume by itself",
                       name, (long long)h->frames);
    }
    if (h->orientation.n != 6 || h->position.first.n != 3) {
        return fl_fail(
            s->err, FL_EUNSUPPORTED,
            "%s: it does not say where in the patient the slice lies (Image Position and "
            "Orientation), so its place in the volume is unknown",
            name);
    }
    if (file == 1) {
        const double *x = h->orientation.v;
        const double *y = x + 3;
        s->first = *h;
        s->first.fragment = NULL;  // whoever opened the file frees it
        s->first.inflated = NULL;
        s->shape = *shape;
        s->normal[0] = x[1] * y[2] - x[2] * y[1];
        s->normal[1] = x[2] * y[0] - x[0] * y[2];
        s->normal[2] = x[0] * y[1] - x[1] * y[0];
    }
    const char *why = difference(s, h, shape);
    if (why != NULL) {
        return fl_fail(s->err, FL_EUNSUPPORTED, "%s: %s", name, why);
    }
    *to = (slice){.file = file, .path = s->path[file - 1]};
    for (int i = 0; i < 3; i++) {
        to->position[i] = h->position.first.v[i];
        to->along += s->normal[i] * to->position[i];
    }
    return FL_OK;
}

static fl_status look_at_files(series *s)
{
    fl_status st = FL_OK;
    for (size_t file = 1; file <= s->n_files && st == FL_OK; file++) {
        char *bytes;
        dicom_header h;
        data_image shape;
        char *name = file_name(s, file);
        st = open_file(&bytes, &h, &shape, s, file, name);
        if (st == FL_OK) {
            st = keep_slice(s, &h, &shape, file, name);
        }
        data_dicom_header_clear(&h);
        free(bytes);
        free(name);
    }
    return st;
}

/* --- where do they lie? --- */

static int by_place(const void *a, const void *b)
{
    const slice *x = a;
    const slice *y = b;
    return x->along != y->along ? (x->along > y->along) - (x->along < y->along)
                                : (x->file > y->file) - (x->file < y->file);
}

static fl_status check_line(const series *s)
{
    size_t n = s->n_files;
    const slice *all = s->slices;
    double step[3];
    double length = 0;

    for (size_t i = 1; i < n; i++) {
        if (all[i].along - all[i - 1].along < same_place_mm) {
            return fl_fail(
                s->err, FL_EUNSUPPORTED,
                "%s: files %zu and %zu of %zu (by name) lie at one place: a slice twice, "
                "or several phases in one folder",
                s->name, all[i - 1].file, all[i].file, n);
        }
    }
    for (int k = 0; k < 3; k++) {
        step[k] = (all[n - 1].position[k] - all[0].position[k]) / (double)(n - 1);
        length += step[k] * step[k];
    }
    length = sqrt(length);
    for (size_t i = 1; i < n; i++) {
        double off = 0;
        for (int k = 0; k < 3; k++) {
            double d = all[i].position[k] - (all[0].position[k] + (double)i * step[k]);
            off += d * d;
        }
        if (sqrt(off) > slack_part * length) {
            return fl_fail(s->err, FL_EUNSUPPORTED,
                           "%s: the %zu slices are not evenly apart: %.3g mm on average, but slice "
                           "%zu lies %.3g mm from its place; is one missing?",
                           s->name, n, length, i + 1, sqrt(off));
        }
    }
    return FL_OK;
}

/* --- the volume --- */

/* Puts a slice's values at place k of every channel's stack. */
static void put_slice(data_image *out, const data_image *from, size_t k)
{
    size_t plane = (size_t)(out->rows * out->cols);
    size_t frames = (size_t)out->frames;
    for (size_t c = 0; c < (size_t)out->channels; c++) {
        memcpy(out->data + (c * frames + k) * plane, from->data + c * plane,
               plane * sizeof *out->data);
    }
    out->stored_min = k == 0 ? from->stored_min : fmin(out->stored_min, from->stored_min);
    out->stored_max = k == 0 ? from->stored_max : fmax(out->stored_max, from->stored_max);
    out->stored_mean += from->stored_mean / (double)frames;
    out->full_scale = from->full_scale;
}

static fl_status read_slices(data_image *out, series *s)
{
    fl_sha256 hash;
    fl_status st = FL_OK;

    fl_sha256_init(&hash);
    for (size_t k = 0; k < s->n_files && st == FL_OK; k++) {
        char *bytes;
        dicom_header h;
        data_image image = {0};
        size_t file = s->slices[k].file;
        char *name = file_name(s, file);
        st = open_file(&bytes, &h, &image, s, file, name);
        if (st == FL_OK && (h.frames != 1 || difference(s, &h, &image) != NULL)) {
            st = fl_fail(s->err, FL_ECONFLICT, "%s: the file changed while it was read", name);
        }
        if (st == FL_OK) {
            st = data_dicom_values(&image, &hash, &h, name, s->err);
        }
        if (st == FL_OK) {
            put_slice(out, &image, k);
        }
        data_image_clear(&image);
        data_dicom_header_clear(&h);
        free(bytes);
        free(name);
    }
    fl_sha256_done(&hash, out->sha256);
    return st;
}

/* As if all slices were the frames of one file. */
static void set_place(data_image *out, const series *s)
{
    dicom_header h = s->first;
    dicom_track *t = &h.position;
    *t = (dicom_track){.n = (int64_t)s->n_files, .first = {.n = 3}, .last = {.n = 3}};
    memcpy(t->first.v, s->slices[0].position, sizeof s->slices[0].position);
    memcpy(t->last.v, s->slices[s->n_files - 1].position, sizeof s->slices[0].position);
    h.frames = t->n;
    data_dicom_place(out, &h);
}

static fl_status read_series(data_image *out, series *s)
{
    fl_status st = look_at_files(s);
    if (st != FL_OK) {
        return st;
    }
    qsort(s->slices, s->n_files, sizeof *s->slices, by_place);
    if ((st = check_line(s)) != FL_OK) {
        return st;
    }
    *out = s->shape;
    out->frames = (int64_t)s->n_files;
    if ((st = data_image_check_size(out, s->name, s->err)) != FL_OK) {
        return st;
    }
    size_t n = (size_t)(out->channels * out->frames * out->rows * out->cols);
    out->data = fl_calloc(n, sizeof *out->data, s->name, s->err);
    if (out->data == NULL) {
        return FL_ELIMIT;
    }
    set_place(out, s);
    return read_slices(out, s);
}

/* One file, of one frame or many, is what it is. */
static fl_status read_single(data_image *out, const series *s)
{
    char *bytes;
    dicom_header h;
    fl_sha256 hash;
    char *name = file_name(s, 1);

    fl_sha256_init(&hash);
    fl_status st = open_file(&bytes, &h, out, s, 1, name);
    if (st == FL_OK) {
        st = data_dicom_values(out, &hash, &h, name, s->err);
    }
    if (st == FL_OK) {
        fl_sha256_done(&hash, out->sha256);
        data_dicom_place(out, &h);
    }
    data_dicom_header_clear(&h);
    free(bytes);
    free(name);
    return st;
}

fl_status data_dicom_series_read(data_image *out, const char *dir, const char *name, fl_err *err)
{
    series s = {.name = name, .err = err};

    *out = (data_image){0};
    fl_status st = list_files(&s, dir);
    if (st == FL_OK) {
        st = s.n_files == 1 ? read_single(out, &s) : read_series(out, &s);
    }
    for (size_t i = 0; i < s.n_files; i++) {
        free(s.path[i]);
    }
    free(s.path);
    free(s.slices);
    if (st != FL_OK) {
        data_image_clear(out);
    }
    return st;
}
