/*
 * cache.c - see cache.h
 *
 * The file: a header, the cases' samples and masks, each at a multiple of 64
 * bytes, and an index of fixed records.  It is of this machine and this
 * program's version: both are in the key.
 */
#define _GNU_SOURCE  // madvise
#include "data/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

enum {
    ALIGN = 64,
    NAME_DIGITS = 16,        // of the set and of the key in a file's name
    KEEP = 3,                // files of one data set
    CHUNK_BYTES = 16 << 20,  // samples decoded before they are written
    CHUNK_MOST = 4096,       // cases
    LET_GO_BYTES = 32 << 20  // looked at before pages are let go
};

static const char magic[16] = "consilium-cache";

typedef struct {
    char magic[16];
    uint8_t key[FL_SHA256_BYTES];
    uint64_t n, n_annotators, index_at, file_bytes, record_bytes;
    uint8_t digest[FL_DIGEST_BYTES];  // of the header with zeros here, and of all behind it
    uint8_t unused[136];
} cache_header;
_Static_assert(sizeof(cache_header) == 4 * ALIGN, "what follows is aligned");

typedef struct {
    uint64_t samples_at, samples_bytes;
    uint64_t masks_at, masks_bytes;
    uint64_t text_at, text_bytes;  // of an error
    int32_t status;                // fl_status; not FL_OK: the case has an error
    uint16_t drawn;                // bit a: annotator a drew a mask
    uint8_t has_mask;
    uint8_t sample, normalise;
    uint8_t unused[7];
    float full, mean, factor;
    int32_t rank;
    int64_t dim[NN_MAX_RANK];
    data_place place;
    uint8_t digest[FL_SHA256_BYTES];
} cache_record;

struct data_cache {
    uint8_t *map;
    size_t size;
    const cache_header *header;  // in the map
    const cache_record *records;
    const uint8_t **masks;  // [case][annotator]
    atomic_size_t looked_at;
};

void data_decoded_clear(data_decoded *d)
{
    free(d->input.samples);
    free(d->masks.block);
    free(d->error);
    *d = (data_decoded){0};
}

static size_t n_pixels(const nn_shape *shape)
{
    return (size_t)(nn_shape_count(shape, 1) / shape->dim[0]);
}

static size_t aligned(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

size_t data_decoded_bytes(const data_decoded *d, size_t n_annotators)
{
    if (d->error != NULL) {
        return 0;
    }
    size_t n_masks = d->masks.mask != NULL;
    for (size_t a = 0; d->masks.masks != NULL && a < n_annotators; a++) {
        n_masks += d->masks.masks[a] != NULL;
    }
    return data_input_bytes(&d->input) + n_masks * n_pixels(&d->input.shape);
}

/* --- writing --- */

typedef struct {
    FILE *file;
    uint64_t at;
    fl_blake2b hash;
    bool failed;
} cache_writer;

static void put(cache_writer *w, const void *bytes, size_t n)
{
    static const uint8_t zeros[ALIGN];
    size_t padding = aligned((size_t)w->at) - (size_t)w->at;
    w->failed |= fwrite(zeros, 1, padding, w->file) != padding;
    w->failed |= fwrite(bytes, 1, n, w->file) != n;
    fl_blake2b_add(&w->hash, zeros, padding);
    fl_blake2b_add(&w->hash, bytes, n);
    w->at += padding + n;
}

/* The masks of a case are drawn ones in the annotators' order, then the reference. */
static void put_masks(cache_writer *w, cache_record *r, const data_decoded *d, size_t n_annotators)
{
    size_t n = n_pixels(&d->input.shape);
    for (size_t a = 0; d->masks.masks != NULL && a < n_annotators; a++) {
        if (d->masks.masks[a] != NULL) {
            r->drawn |= (uint16_t)(1u << a);
            put(w, d->masks.masks[a], n);
            r->masks_at = r->masks_bytes == 0 ? w->at - n : r->masks_at;
            r->masks_bytes += n;
        }
    }
    if (d->masks.mask != NULL) {
        r->has_mask = 1;
        put(w, d->masks.mask, n);
        r->masks_at = r->masks_bytes == 0 ? w->at - n : r->masks_at;
        r->masks_bytes += n;
    }
}

static void put_case(cache_writer *w, cache_record *r, const data_decoded *d, size_t n_annotators)
{
    *r = (cache_record){0};
    if (d->error != NULL) {
        r->status = (int32_t)d->error->status;
        r->text_bytes = strlen(d->error->text) + 1;
        put(w, d->error->text, (size_t)r->text_bytes);
        r->text_at = w->at - r->text_bytes;
        return;
    }
    const data_input *in = &d->input;
    r->samples_bytes = data_input_bytes(in);
    put(w, in->samples, (size_t)r->samples_bytes);
    r->samples_at = w->at - r->samples_bytes;
    r->sample = (uint8_t)in->sample;
    r->normalise = (uint8_t)in->normalise;
    r->full = in->full;
    r->mean = in->mean;
    r->factor = in->factor;
    r->rank = in->shape.rank;
    memcpy(r->dim, in->shape.dim, sizeof r->dim);
    r->place = d->place;
    memcpy(r->digest, in->digest, sizeof r->digest);
    put_masks(w, r, d, n_annotators);
}

typedef struct {
    data_decoder *decode;
    void *context;
    size_t from;
    data_decoded *out;
} chunk;

static void decode_one(void *context, size_t i)
{
    chunk *c = context;
    c->decode(c->context, c->from + i, &c->out[i]);
}

/* Writes n cases and frees them; with stop, the first error is the result. */
static fl_status put_chunk(cache_writer *w, cache_record *records, data_decoded *cases, size_t n,
                           const data_cache_plan *plan, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t i = 0; i < n; i++) {
        if (cases[i].error != NULL && plan->stop && st == FL_OK) {
            st = fl_fail(err, cases[i].error->status, "%s", cases[i].error->text);
        }
        if (st == FL_OK) {
            put_case(w, &records[i], &cases[i], plan->n_annotators);
        }
        data_decoded_clear(&cases[i]);
    }
    return st;
}

/* As many cases as fill a chunk, by the largest of the last one. */
static size_t next_chunk(const cache_record *last, size_t n)
{
    uint64_t most = 1;
    for (size_t i = 0; i < n; i++) {
        uint64_t bytes = last[i].samples_bytes + last[i].masks_bytes;
        most = bytes > most ? bytes : most;
    }
    size_t fit = (size_t)(CHUNK_BYTES / most);
    size_t least = (size_t)fl_n_cores();
    return fit < least ? least : fit > CHUNK_MOST ? CHUNK_MOST : fit;
}

static fl_status put_all(cache_writer *w, const data_cache_plan *plan, cache_record *records,
                         data_decoder *decode, void *context, fl_err *err)
{
    data_decoded *cases = fl_xcalloc(CHUNK_MOST + (size_t)fl_n_cores(), sizeof *cases);
    size_t n = (size_t)fl_n_cores();
    fl_status st = FL_OK;

    for (size_t from = 0; from < plan->n && st == FL_OK && !w->failed;) {
        n = n < plan->n - from ? n : plan->n - from;
        chunk c = {decode, context, from, cases};
        fl_parallel(fl_n_cores(), n, decode_one, &c);
        st = put_chunk(w, records + from, cases, n, plan, err);
        from += n;
        n = next_chunk(records + from - n, n);
    }
    free(cases);
    return st;
}

static void digest_of(uint8_t out[static FL_DIGEST_BYTES], const cache_header *h, fl_blake2b *body)
{
    cache_header blank = *h;
    memset(blank.digest, 0, sizeof blank.digest);
    fl_blake2b_add(body, &blank, sizeof blank);
    fl_blake2b_done(body, out);
}

static fl_status write_file(cache_writer *w, const data_cache_plan *plan, cache_record *records,
                            data_decoder *decode, void *context, const char *path, fl_err *err)
{
    cache_header h = {
        .n = plan->n, .n_annotators = plan->n_annotators, .record_bytes = sizeof(cache_record)};

    w->failed = fwrite(&h, 1, sizeof h, w->file) != sizeof h;
    w->at = sizeof h;
    fl_blake2b_init(&w->hash, "cache");
    fl_status st = put_all(w, plan, records, decode, context, err);
    if (st != FL_OK) {
        return st;
    }
    put(w, records, plan->n * sizeof *records);
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.key, plan->key, sizeof h.key);
    h.index_at = w->at - plan->n * sizeof *records;
    h.file_bytes = w->at;
    digest_of(h.digest, &h, &w->hash);
    errno = 0;
    if (w->failed || fseek(w->file, 0, SEEK_SET) != 0 ||
        fwrite(&h, 1, sizeof h, w->file) != sizeof h || fflush(w->file) != 0 ||
        fsync(fileno(w->file)) != 0) {
        return fl_fail(err, FL_EIO, "%s: the cache of decoded images cannot be written: %s", path,
                       errno != 0 ? strerror(errno) : "the disk is full");
    }
    return FL_OK;
}

static fl_status build(const char *path, const data_cache_plan *plan, data_decoder *decode,
                       void *context, fl_err *err)
{
    char *tmp = fl_xasprintf("%s.tmp", path);  // under the folder's lock: nobody else's
    int fd = open(tmp, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    cache_writer w = {.file = fd < 0 ? NULL : fdopen(fd, "r+b")};
    fl_status st;

    if (w.file == NULL) {
        st = fl_fail_errno(err, errno, tmp);
        free(tmp);
        return st;
    }
    cache_record *records = fl_xcalloc(plan->n, sizeof *records);
    st = write_file(&w, plan, records, decode, context, path, err);
    free(records);
    fclose(w.file);
    if (st == FL_OK && rename(tmp, path) != 0) {
        st = fl_fail_errno(err, errno, path);
    }
    if (st == FL_OK) {
        st = fl_fsync_dir(plan->dir, err);
    } else {
        unlink(tmp);
    }
    free(tmp);
    return st;
}

/* --- reading --- */

static bool inside(const data_cache *c, uint64_t at, uint64_t n)
{
    return at >= sizeof(cache_header) && at <= c->size && n <= c->size - at;
}

/* What makes numbers of samples, and places of pixels. */
static bool is_sound_scale(const cache_record *r)
{
    uint8_t has_affine;  // as it lies there: no other byte is a bool
    memcpy(&has_affine, &r->place.has_affine, sizeof has_affine);
    return has_affine <= 1 && r->normalise <= DATA_NORMALISE_RANGE && isfinite(r->full) &&
           r->full > 0 && isfinite(r->mean) && isfinite(r->factor);
}

static bool is_whole_record(const data_cache *c, const cache_record *r)
{
    if (r->status != FL_OK) {
        return r->status > FL_OK && r->status <= FL_EABSENCES && r->text_bytes > 0 &&
               inside(c, r->text_at, r->text_bytes) &&
               c->map[r->text_at + r->text_bytes - 1] == '\0';
    }
    nn_shape shape = {.rank = r->rank};
    uint64_t count = 1;
    if (r->rank < 1 || r->rank > NN_MAX_RANK) {
        return false;
    }
    for (int i = 0; i < r->rank; i++) {
        if (r->dim[i] < 1 || r->dim[i] > DATA_MAX_PIXELS ||
            count > DATA_MAX_PIXELS / (uint64_t)r->dim[i]) {
            return false;
        }
        shape.dim[i] = r->dim[i];
        count *= (uint64_t)r->dim[i];
    }
    data_input in = {.sample = (data_sample)r->sample, .shape = shape};
    uint64_t n = n_pixels(&shape);
    uint64_t n_masks = r->has_mask;
    for (int a = 0; a < DATA_MAX_ANNOTATORS; a++) {
        n_masks += r->drawn >> a & 1u;
    }
    return is_sound_scale(r) && r->sample <= DATA_SAMPLE_F32 &&
           r->samples_bytes == data_input_bytes(&in) && r->samples_at % ALIGN == 0 &&
           inside(c, r->samples_at, r->samples_bytes) && r->masks_bytes == n_masks * n &&
           r->masks_at % ALIGN == 0 &&
           (n_masks == 0 || inside(c, r->masks_at, (n_masks - 1) * aligned(n) + n));
}

static bool has_digest(const data_cache *c)
{
    fl_blake2b hash;
    uint8_t digest[FL_DIGEST_BYTES];

    fl_blake2b_init(&hash, "cache");
    for (size_t at = sizeof(cache_header); at < c->size;) {
        size_t n = c->size - at < LET_GO_BYTES ? c->size - at : LET_GO_BYTES;
        fl_blake2b_add(&hash, c->map + at, n);
        at += n;
        madvise(c->map, c->size, MADV_DONTNEED);
    }
    digest_of(digest, c->header, &hash);
    return memcmp(digest, c->header->digest, sizeof digest) == 0;
}

static bool is_whole(data_cache *c, const data_cache_plan *plan)
{
    const cache_header *h = (const cache_header *)c->map;
    c->header = h;
    uint64_t index_bytes = (uint64_t)plan->n * sizeof(cache_record);
    if (c->size < sizeof *h || memcmp(h->magic, magic, sizeof magic) != 0 ||
        memcmp(h->key, plan->key, sizeof h->key) != 0 || h->n != plan->n ||
        h->n_annotators != plan->n_annotators || h->record_bytes != sizeof(cache_record) ||
        h->file_bytes != c->size || h->index_at % ALIGN != 0 ||
        !inside(c, h->index_at, index_bytes) || !has_digest(c)) {
        return false;
    }
    c->records = (const cache_record *)(c->map + h->index_at);
    for (size_t i = 0; i < plan->n; i++) {
        if (!is_whole_record(c, &c->records[i])) {
            return false;
        }
    }
    return true;
}

static void find_masks(data_cache *c)
{
    size_t A = c->header->n_annotators;
    c->masks = A == 0 ? NULL : fl_xcalloc(c->header->n * A, sizeof *c->masks);
    for (size_t i = 0; c->masks != NULL && i < c->header->n; i++) {
        const cache_record *r = &c->records[i];
        const uint8_t *at = c->map + r->masks_at;
        nn_shape shape = {.rank = r->rank};
        memcpy(shape.dim, r->dim, sizeof shape.dim);
        for (size_t a = 0; r->masks_bytes > 0 && a < A; a++) {
            if (r->drawn & 1u << a) {
                c->masks[i * A + a] = at;
                at += aligned(n_pixels(&shape));
            }
        }
    }
}

/* *out is NULL where there is no whole file. */
static fl_status map_file(data_cache **out, const char *path, const data_cache_plan *plan,
                          fl_err *err)
{
    struct stat info;
    fl_status st = FL_OK;

    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? FL_OK : fl_fail_errno(err, errno, path);
    }
    data_cache *c = fl_xcalloc(1, sizeof *c);
    if (fstat(fd, &info) == 0 && info.st_size >= (off_t)sizeof(cache_header)) {
        c->size = (size_t)info.st_size;
        c->map = mmap(NULL, c->size, PROT_READ, MAP_SHARED, fd, 0);
        if (c->map == MAP_FAILED) {
            c->map = NULL;
            st = fl_fail(err, FL_ELIMIT, "%s: %zu MiB cannot be mapped: %s", path, c->size >> 20,
                         strerror(errno));
        } else if (is_whole(c, plan)) {
            find_masks(c);
            futimens(fd, NULL);  // was used now: see remove_old
            *out = c;
            c = NULL;  // now the caller's
        }
    }
    close(fd);
    data_cache_destroy(&c);
    return st;
}

void data_cache_destroy(data_cache **cache)
{
    data_cache *c = *cache;
    if (c == NULL) {
        return;
    }
    if (c->map != NULL) {
        munmap(c->map, c->size);
    }
    free(c->masks);
    FL_FREE(*cache);
}

void data_cache_get(data_decoded *out, const data_cache *c, size_t i)
{
    FL_REQUIRE(i < c->header->n);
    const cache_record *r = &c->records[i];
    *out = (data_decoded){0};
    if (r->status != FL_OK) {
        out->error = fl_xcalloc(1, sizeof *out->error);
        fl_fail(out->error, (fl_status)r->status, "%s", (const char *)c->map + r->text_at);
        return;
    }
    out->input = (data_input){.samples = c->map + r->samples_at,
                              .sample = (data_sample)r->sample,
                              .full = r->full,
                              .normalise = (data_normalise)r->normalise,
                              .mean = r->mean,
                              .factor = r->factor,
                              .shape = {.rank = r->rank}};
    memcpy(out->input.shape.dim, r->dim, sizeof r->dim);
    memcpy(out->input.digest, r->digest, sizeof r->digest);
    out->place = r->place;
    if (r->masks_bytes > 0 && c->masks != NULL) {
        out->masks.masks = c->masks + i * c->header->n_annotators;
    }
    if (r->has_mask) {  // the last
        size_t n = n_pixels(&out->input.shape);
        size_t n_before = (size_t)(r->masks_bytes / n) - 1;
        out->masks.mask = c->map + r->masks_at + n_before * aligned(n);
    }
}

void data_cache_looked_at(data_cache *c, size_t n)
{
    size_t before = atomic_fetch_add(&c->looked_at, n);
    if (before + n >= LET_GO_BYTES) {
        atomic_store(&c->looked_at, 0);
        madvise(c->map, c->size, MADV_DONTNEED);
    }
}

void data_cache_will_need(data_cache *c, const void *samples, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t at = (size_t)((const uint8_t *)samples - c->map);
    size_t from = at / page * page;
    madvise(c->map + from, at + n - from, MADV_WILLNEED);
}

/* --- the folder --- */

/* "SET-KEY.cache", sixteen digits each; caller's. */
static char *file_path(const data_cache_plan *plan)
{
    char set[2 * FL_SHA256_BYTES + 1];
    char key[2 * FL_SHA256_BYTES + 1];
    fl_hex(set, plan->set, sizeof plan->set);
    fl_hex(key, plan->key, sizeof plan->key);
    return fl_xasprintf("%s/%.*s-%.*s.cache", plan->dir, NAME_DIGITS, set, NAME_DIGITS, key);
}

typedef struct {
    char *path;
    struct timespec used;
} old_file;

static int newest_first(const void *a, const void *b)
{
    const struct timespec *x = &((const old_file *)a)->used;
    const struct timespec *y = &((const old_file *)b)->used;
    return x->tv_sec != y->tv_sec ? (x->tv_sec < y->tv_sec) - (x->tv_sec > y->tv_sec)
                                  : (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

/* This data set's files but the last used, and what a killed builder left. */
static void remove_old(const char *path)
{
    char **names = NULL;
    size_t n = 0;
    size_t n_old = 0;
    char *dir = fl_path_dir(path);
    const char *base = fl_path_base(path);

    if (fl_list_dir(&names, &n, dir, NULL) != FL_OK) {
        free(dir);
        return;
    }
    old_file *old = fl_xcalloc(n, sizeof *old);
    for (size_t i = 0; i < n; i++) {
        struct stat info;
        char *file = fl_path_join(dir, names[i]);
        size_t length = strlen(names[i]);
        bool ours = strncmp(names[i], base, NAME_DIGITS + 1) == 0;
        if (ours && length > 4 && strcmp(names[i] + length - 4, ".tmp") == 0) {
            unlink(file);
        } else if (ours && stat(file, &info) == 0) {
            old[n_old++] = (old_file){file, info.st_mtim};
            continue;
        }
        free(file);
    }
    qsort(old, n_old, sizeof *old, newest_first);
    for (size_t i = 0; i < n_old; i++) {
        if (i >= KEEP) {
            unlink(old[i].path);
        }
        free(old[i].path);
    }
    free(old);
    fl_names_free(&names, n);
    free(dir);
}

fl_status data_cache_default_dir(char **out, const char *file, fl_err *err)
{
    const char *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char *beside = fl_path_dir(file);

    *out = NULL;
    if (access(beside, W_OK) == 0) {
        *out = fl_path_join(beside, ".consilium-cache");
    } else if (xdg != NULL && xdg[0] == '/') {
        *out = fl_path_join(xdg, "consilium");
    } else if (home != NULL && home[0] == '/') {
        *out = fl_path_join(home, ".cache/consilium");
    }
    free(beside);
    return *out != NULL ? FL_OK
                        : fl_fail(err, FL_ECONFIG,
                                  "%s: the images are more than fits in memory and the folder "
                                  "cannot be written; say where with cache: FOLDER",
                                  file);
}

/* Waits for whoever builds in the folder; close() lets go. */
static fl_status lock_folder(int *fd, const char *dir, fl_err *err)
{
    *fd = -1;
    fl_status st = fl_mkdirs(dir, 0700, err);
    if (st != FL_OK) {
        return st;
    }
    char *path = fl_path_join(dir, "lock");
    st = fl_file_lock(fd, path, 0600, FL_LOCK_FOREVER, err);
    free(path);
    return st;
}

fl_status data_cache_open(data_cache **out, const data_cache_plan *plan, data_decoder *decode,
                          void *context, fl_err *err)
{
    int lock = -1;
    char *path = file_path(plan);

    fl_status st = map_file(out, path, plan, err);
    if (st == FL_OK && *out == NULL && (st = lock_folder(&lock, plan->dir, err)) == FL_OK &&
        (st = map_file(out, path, plan, err)) == FL_OK && *out == NULL) {
        remove_old(path);
        st = plan->begin != NULL ? plan->begin(context, err) : FL_OK;
        if (st == FL_OK) {
            st = build(path, plan, decode, context, err);
        }
        if (st == FL_OK) {
            remove_old(path);
            st = map_file(out, path, plan, err);
        }
        if (st == FL_OK && *out == NULL) {
            st = fl_fail(err, FL_EIO, "%s: what was written cannot be read back", path);
        }
    }
    if (lock >= 0) {
        close(lock);
    }
    free(path);
    return st;
}

/* --- identity --- */

static void add_stat(fl_sha256 *hash, const char *path)
{
    struct stat info;
    int64_t facts[7] = {-1};
    if (stat(path, &info) == 0) {
        facts[0] = (int64_t)info.st_size;
        facts[1] = (int64_t)info.st_ino;
        facts[2] = (int64_t)info.st_dev;
        facts[3] = (int64_t)info.st_mtim.tv_sec;
        facts[4] = (int64_t)info.st_mtim.tv_nsec;
        facts[5] = (int64_t)info.st_ctim.tv_sec;
        facts[6] = (int64_t)info.st_ctim.tv_nsec;
    }
    fl_sha256_add(hash, path, strlen(path) + 1);
    fl_sha256_add(hash, facts, sizeof facts);
}

void data_cache_add_identity(fl_sha256 *hash, const char *path)
{
    size_t length = strlen(path);
    char **names = NULL;
    size_t n = 0;

    add_stat(hash, path);
    if (length > 4 && strcmp(path + length - 4, ".hdr") == 0) {
        char *pixels = fl_xasprintf("%.*s.img", (int)length - 4, path);  // NIfTI's pair
        add_stat(hash, pixels);
        free(pixels);
    }
    if (!fl_is_dir(path) || fl_list_dir(&names, &n, path, NULL) != FL_OK) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char *file = fl_path_join(path, names[i]);
        add_stat(hash, file);
        free(file);
    }
    fl_names_free(&names, n);
}
