/*
 * medmnist_images.c - see medmnist.h
 *
 * The unit of the cache is a case, as it is for image files.  A deflated archive
 * can only be read from its start, and a hospital's rows may be any; so what goes to a
 * cache is first unpacked to a file that has no name, from which rows are taken in any
 * order by several threads, and which is gone with the last of them.
 */
#define _GNU_SOURCE  // mkostemp
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"
#include "data/image.h"
#include "data/medmnist.h"

typedef struct {
    data_set *set;
    const data_recipe *r;
    const data_array *const *images;  // described; NULL: no such split
    const data_npz_row *row;          // [entry]
    const char *dir;                  // of the cache
    data_npz npz;                     // in memory: the archive, else empty
    int fd;                           // unpacked: the file, else -1
    uint64_t at[DATA_N_SPLITS];       // unpacked: where an array begins
    float full_scale;                 // of all images; 0 = each its own
    data_decoded *cases;              // [entry]
    size_t first;                     // decode_here's first
} archive_images;

static const char *array_name(char out[static 32], int split)
{
    snprintf(out, 32, "%s_images", data_split_name((data_split)split));
    return out;
}

static size_t row_items(const data_array *a)
{
    return data_array_count(a) / (size_t)a->dim[0];
}

/* --- where the numbers are --- */

static fl_status load(archive_images *m, fl_err *err)
{
    char name[32];
    fl_status st = data_npz_read(&m->npz, m->r->npz, err);
    for (int i = 0; i < DATA_N_SPLITS && st == FL_OK; i++) {
        const data_array *a = data_npz_find(&m->npz, array_name(name, i));
        if (m->images[i] != NULL && (a == NULL || !data_array_is_alike(a, m->images[i]))) {
            st = fl_fail(err, FL_EIO, "%s: changed while it was read", m->r->npz);
        }
    }
    return st;
}

static fl_status unpack(archive_images *m, fl_err *err)
{
    char *path = fl_path_join(m->dir, "unpacked-XXXXXX");
    fl_status st = FL_OK;

    m->fd = mkostemp(path, O_CLOEXEC);
    if (m->fd < 0 || unlink(path) != 0) {
        st = fl_fail_errno(err, errno, m->dir);
    }
    for (int i = 0; i < DATA_N_SPLITS && st == FL_OK; i++) {
        if (m->images[i] != NULL) {
            m->at[i] = (uint64_t)lseek(m->fd, 0, SEEK_CUR);
            st = data_npz_unpack(m->r->npz, m->images[i], m->fd, err);
        }
    }
    free(path);
    return st;
}

/* The numbers of one row, in bytes where they are not in memory. */
static fl_status row_of(const uint8_t **out, uint8_t *bytes, const archive_images *m,
                        const data_npz_row *row, const char *where, fl_err *err)
{
    char name[32];
    const data_array *a = m->images[row->split];
    size_t n = row_items(a) * (size_t)a->item_bytes;

    if (m->fd < 0) {
        const data_array *in = data_npz_find(&m->npz, array_name(name, (int)row->split));
        *out = in->bytes + row->index * n;
        return FL_OK;
    }
    *out = bytes;
    for (size_t has = 0; has < n;) {
        off_t at = (off_t)(m->at[row->split] + row->index * n + has);
        ssize_t got = pread(m->fd, bytes + has, n - has, at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return fl_fail(err, FL_EIO, "%s: what was unpacked cannot be read back: %s", where,
                           got < 0 ? strerror(errno) : "it is cut off");
        }
        has += (size_t)got;
    }
    return FL_OK;
}

/* --- pixels --- */

static bool is_unit(const data_array *one)
{
    bool unit = true;
    for (size_t k = 0; k < data_array_count(one) && unit; k++) {
        double v = data_array_at(one, k);
        unit = v >= 0 && v <= 1;
    }
    return unit;
}

/* What counts as 1: the type's largest value; numbers of another type that are all in [0, 1]
 * are that already. */
static fl_status find_full_scale(archive_images *m, fl_err *err)
{
    bool unit = true;
    fl_status st = FL_OK;
    for (int i = 0; i < DATA_N_SPLITS; i++) {
        const data_array *a = m->images[i];
        if (a != NULL && a->type == 'u' && a->item_bytes <= 2) {
            m->full_scale = a->item_bytes == 1 ? 255.0f : 65535.0f;
            return FL_OK;  // all are of one type
        }
        if (a == NULL || a->dim[0] == 0) {
            continue;
        }
        uint8_t *room = fl_xcalloc(row_items(a), (size_t)a->item_bytes);
        data_array one = *a;
        one.dim[0] = 1;
        for (int64_t k = 0; k < a->dim[0] && unit && st == FL_OK; k++) {
            const data_npz_row row = {(data_split)i, (size_t)k};
            const uint8_t *bytes;
            st = row_of(&bytes, room, m, &row, m->r->npz, err);
            one.bytes = (uint8_t *)bytes;  // only looked at
            unit = st == FL_OK && is_unit(&one);
        }
        free(room);
    }
    m->full_scale = unit ? 1.0f : 0.0f;
    return st;
}

/* (H, W), (H, W, 3) or (D, H, W) of one row. */
static void set_shape(data_image *image, const data_array *a)
{
    bool colour = a->rank == 4 && a->dim[3] == 3;
    int first = a->rank == 4 && !colour ? 1 : 0;

    image->frames = first == 1 ? a->dim[1] : 1;
    image->rows = a->dim[first + 1];
    image->cols = a->dim[first + 2];
    image->channels = colour ? 3 : 1;
    image->bits = 8 * a->item_bytes;
    image->is_float = a->type == 'f';
}

static fl_status fill(data_image *out, const data_array *one, const char *where, fl_err *err)
{
    size_t n = data_array_count(one);
    size_t channels = (size_t)out->channels;
    fl_sha256 hash;

    out->data = fl_calloc(n, sizeof *out->data, where, err);
    if (out->data == NULL) {
        return FL_ELIMIT;
    }
    out->stored_min = HUGE_VAL;
    out->stored_max = -HUGE_VAL;
    for (size_t i = 0; i < n; i++) {
        double v = data_array_at(one, i);
        out->stored_min = fmin(out->stored_min, v);
        out->stored_max = fmax(out->stored_max, v);
        out->data[i % channels * (n / channels) + i / channels] = (float)v;
    }
    fl_sha256_init(&hash);
    fl_sha256_add(&hash, one->bytes, n * (size_t)one->item_bytes);
    fl_sha256_done(&hash, out->sha256);
    return FL_OK;
}

static fl_status read_image(data_image *out, const archive_images *m, const data_npz_row *row,
                            const char *where, fl_err *err)
{
    data_array one = *m->images[row->split];
    const uint8_t *bytes = NULL;

    *out = (data_image){.full_scale = m->full_scale};
    set_shape(out, &one);
    fl_status st = data_image_check_size(out, where, err);
    if (st != FL_OK) {
        return st;
    }
    one.dim[0] = 1;
    uint8_t *room = fl_calloc(data_array_count(&one), (size_t)one.item_bytes, where, err);
    if (room == NULL) {
        return FL_ELIMIT;
    }
    if ((st = row_of(&bytes, room, m, row, where, err)) == FL_OK) {
        one.bytes = (uint8_t *)bytes;  // only looked at
        st = fill(out, &one, where, err);
    }
    free(room);
    return st;
}

static void decode(void *context, size_t i, data_decoded *out)
{
    const archive_images *m = context;
    const data_npz_row *row = &m->row[i];
    fl_err err = FL_ERR_INIT;
    data_image image;
    char *where = fl_xasprintf("%s: %s_images: row %zu", m->r->npz, data_split_name(row->split),
                               row->index);

    fl_status st = read_image(&image, m, row, where, &err);
    if (st == FL_OK) {
        st = data_input_make(&out->input, &image, m->r, &m->set->spec.input,
                             m->set->entries[i].case_id, where, &err);
    }
    if (st != FL_OK) {
        out->error = fl_xcalloc(1, sizeof err);
        *out->error = err;
    }
    data_image_clear(&image);
    free(where);
}

/* --- in memory or in a cache --- */

static void decode_here(void *context, size_t i)
{
    archive_images *m = context;
    decode(m, m->first + i, &m->cases[m->first + i]);
}

/* The archive in memory, or FL_OK and *large where it, or what becomes of it, is too much. */
static fl_status decode_in_memory(archive_images *m, bool *large, fl_err *err)
{
    size_t n = m->set->n;
    fl_status st = load(m, err);

    if (st != FL_OK || (st = find_full_scale(m, err)) != FL_OK) {
        return st;
    }
    decode_here(m, 0);
    *large = !m->r->no_cache && data_decoded_bytes(&m->cases[0], 0) > m->set->room / n;
    if (*large) {
        data_decoded_clear(&m->cases[0]);
    } else {
        m->first = 1;
        fl_parallel(fl_n_cores(), n - 1, decode_here, m);
    }
    return FL_OK;
}

/* All that the contents of a cache depend on. */
static void key_of(data_cache_plan *plan, const archive_images *m)
{
    const data_set *s = m->set;
    fl_sha256 hash;

    fl_sha256_init(&hash);
    fl_sha256_add(&hash, FL_VERSION, sizeof FL_VERSION);
    data_cache_add_identity(&hash, m->r->name);  // dataset.yaml
    data_cache_add_identity(&hash, m->r->npz);
    data_cache_add_identity(&hash, m->r->rows != NULL ? m->r->rows : "");
    fl_sha256_add(&hash, &s->spec.task, sizeof s->spec.task);
    fl_sha256_add(&hash, &s->spec.input, sizeof s->spec.input);
    fl_sha256_done(&hash, plan->key);
    fl_sha256_init(&hash);
    fl_sha256_add(&hash, m->r->name, strlen(m->r->name));
    fl_sha256_done(&hash, plan->set);
}

static fl_status begin(void *context, fl_err *err)
{
    archive_images *m = context;
    fl_status st = unpack(m, err);
    return st == FL_OK ? find_full_scale(m, err) : st;
}

static fl_status decode_to_cache(archive_images *m, fl_err *err)
{
    data_set *s = m->set;
    data_cache_plan plan = {.dir = m->dir, .n = s->n, .stop = true, .begin = begin};

    key_of(&plan, m);
    fl_status st = data_cache_open(&s->cache, &plan, decode, m, err);
    for (size_t i = 0; i < s->n && st == FL_OK; i++) {
        data_cache_get(&m->cases[i], s->cache, i);
    }
    return st;
}

static fl_status take_cases(data_set *s, const archive_images *m, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t i = 0; i < s->n; i++) {
        data_decoded *c = &m->cases[i];
        s->entries[i].input = c->input;
        s->entries[i].cache = s->cache;
        if (s->cache == NULL) {
            data_set_own(s, c->input.samples);
        }
        if (c->error != NULL && st == FL_OK) {
            st = fl_fail(err, c->error->status, "%s", c->error->text);
        }
        free(c->error);
    }
    if (st == FL_OK) {
        s->spec.input = s->entries[0].input.shape;  // all the same array shape
    }
    return st;
}

/* Of the arrays as they come. */
static uint64_t unpacked_bytes(const archive_images *m)
{
    uint64_t n = 0;
    for (int i = 0; i < DATA_N_SPLITS; i++) {
        const data_array *a = m->images[i];
        n += a != NULL ? data_array_count(a) * (uint64_t)a->item_bytes : 0;
    }
    return n;
}

fl_status data_medmnist_images(data_set *s, const data_recipe *r,
                               const data_array *const images[static DATA_N_SPLITS],
                               const data_npz_row *row, fl_err *err)
{
    archive_images m = {.set = s, .r = r, .images = images, .row = row, .fd = -1};
    fl_status st = FL_OK;
    char *dir = NULL;

    if (s->n == 0) {
        return FL_OK;
    }
    bool large = r->cache != NULL || (!r->no_cache && unpacked_bytes(&m) > DATA_MEMORY_BYTES);
    m.cases = fl_xcalloc(s->n, sizeof *m.cases);
    if (!large) {
        st = decode_in_memory(&m, &large, err);
        data_npz_clear(&m.npz);
    }
    if (st == FL_OK && large && r->cache == NULL) {
        st = data_cache_default_dir(&dir, r->name, err);
    }
    if (st == FL_OK && large) {
        m.dir = r->cache != NULL ? r->cache : dir;
        st = decode_to_cache(&m, err);
    }
    if (st == FL_OK) {
        st = take_cases(s, &m, err);
    }
    if (m.fd >= 0) {
        close(m.fd);
    }
    free(m.cases);
    free(dir);
    return st;
}
