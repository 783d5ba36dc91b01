/*
 * npz.c - NumPy's .npz archives: arrays by name, stored or deflated
 *
 * Arrays of an archive that is larger than memory can be left where they are, and
 * written out to a file piece by piece.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zip.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/npy.h"

enum {
    MAX_MEMBERS = 256,
    PIECE_BYTES = 1 << 20  // a multiple of every number's size
};

/* One array of an open archive. */
typedef struct {
    zip_t *zip;
    zip_uint64_t index;
    uint64_t size;  // unpacked
    char name[sizeof((data_array *)NULL)->name];
    char *where;  // for the sentences; owned
} member;

static fl_status find_member(member *m, zip_t *zip, zip_uint64_t i, const char *path, fl_err *err)
{
    zip_stat_t stat;
    const zip_uint64_t needs = ZIP_STAT_NAME | ZIP_STAT_SIZE;

    *m = (member){.zip = zip, .index = i};
    if (zip_stat_index(zip, i, 0, &stat) != 0 || (stat.valid & needs) != needs) {
        return fl_fail(err, FL_EFORMAT, "%s: member %d of the archive is malformed", path, (int)i);
    }
    const char *suffix = strrchr(stat.name, '.');
    size_t stem = suffix != NULL ? (size_t)(suffix - stat.name) : 0;
    if (suffix == NULL || strcmp(suffix, ".npy") != 0 || stem == 0 || stem >= sizeof m->name) {
        return fl_fail(err, FL_EFORMAT, "%s: expected members NAME.npy with names of 1 to %d bytes",
                       path, (int)sizeof m->name - 1);
    }
    memcpy(m->name, stat.name, stem);
    m->size = stat.size;
    m->where = fl_xasprintf("%s: %s", path, m->name);
    return FL_OK;
}

static fl_status open_member(zip_file_t **out, const member *m, fl_err *err)
{
    *out = zip_fopen_index(m->zip, m->index, 0);
    return *out != NULL ? FL_OK
                        : fl_fail(err, FL_EFORMAT, "%s: %s", m->where, zip_strerror(m->zip));
}

static fl_status cut_short(const member *m, zip_file_t *file, bool failed, fl_err *err)
{
    return fl_fail(err, FL_EFORMAT, "%s: expected %llu bytes, found %s", m->where,
                   (unsigned long long)m->size,
                   failed ? zip_file_strerror(file) : "another number");
}

/* The whole array. */
static fl_status read_member(data_array *out, const member *m, fl_err *err)
{
    zip_file_t *file;
    uint8_t *bytes = NULL;
    fl_status st = open_member(&file, m, err);
    if (st != FL_OK) {
        return st;
    }
    bytes = fl_calloc(m->size + 1, 1, m->where, err);
    if (bytes == NULL) {
        st = FL_ELIMIT;
        goto done;
    }
    /* One byte more than promised: the checksum is looked at only at the
     * end of the member. */
    zip_int64_t got = zip_fread(file, bytes, m->size + 1);
    zip_int64_t more = got >= 0 ? zip_fread(file, bytes + m->size, 1) : -1;
    if (got != (zip_int64_t)m->size || more != 0) {
        st = cut_short(m, file, got < 0 || more < 0, err);
        goto done;
    }
    st = data_npy_parse(out, bytes, m->size, m->where, err);
done:
    zip_fclose(file);
    free(bytes);
    return st;
}

/* Reads up to n bytes, fewer only at the end; their number, or -1. */
static zip_int64_t read_piece(zip_file_t *file, uint8_t *bytes, size_t n)
{
    size_t has = 0;
    while (has < n) {
        zip_int64_t got = zip_fread(file, bytes + has, n - has);
        if (got <= 0) {
            return got < 0 ? -1 : (zip_int64_t)has;
        }
        has += (size_t)got;
    }
    return (zip_int64_t)has;
}

/* What stands before the numbers; file is behind the n bytes that were read to see it. */
static fl_status read_head(data_npy_layout *layout, data_array *out, uint8_t *bytes, size_t *n,
                           const member *m, zip_file_t *file, fl_err *err)
{
    size_t wants = m->size < DATA_NPY_HEAD_BYTES ? (size_t)m->size : DATA_NPY_HEAD_BYTES;
    zip_int64_t got = read_piece(file, bytes, wants);
    if (got != (zip_int64_t)wants) {
        return cut_short(m, file, got < 0, err);
    }
    *n = wants;
    return data_npy_head(layout, out, bytes, wants, m->size, DATA_NPZ_MAX_BYTES, m->where, err);
}

/* The array without its numbers. */
static fl_status describe_member(data_array *out, const member *m, fl_err *err)
{
    data_npy_layout layout;
    zip_file_t *file;
    size_t n;
    fl_status st = open_member(&file, m, err);
    if (st == FL_OK) {
        uint8_t *bytes = fl_xcalloc(DATA_NPY_HEAD_BYTES, 1);
        st = read_head(&layout, out, bytes, &n, m, file, err);
        free(bytes);
        zip_fclose(file);
    }
    return st;
}

/* Takes the archive that n bytes, or a file, are; NULL for bytes: the file called name. */
static fl_status open_archive(zip_t **out, const uint8_t *bytes, size_t n, const char *name,
                              fl_err *err)
{
    zip_error_t why;

    zip_error_init(&why);
    zip_source_t *source = bytes != NULL ? zip_source_buffer_create(bytes, n, 0, &why)
                                         : zip_source_file_create(name, 0, -1, &why);
    *out = source != NULL ? zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &why) : NULL;
    fl_status st = FL_OK;
    if (*out == NULL) {
        st = bytes == NULL && access(name, R_OK) != 0
                 ? fl_fail_errno(err, errno, name)
                 : fl_fail(err, FL_EFORMAT, "%s: expected a zip archive of arrays: %s", name,
                           zip_error_strerror(&why));
        zip_source_free(source);
    }
    zip_error_fini(&why);
    return st;
}

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name);
    size_t k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

/* but: arrays whose names end so are described only; NULL: none. */
static fl_status read_archive(data_npz *out, zip_t *zip, const char *but, const char *path,
                              fl_err *err)
{
    fl_status st = FL_OK;
    uint64_t total = 0;  // of what is read

    zip_int64_t n = zip_get_num_entries(zip, 0);
    if (n < 1 || n > MAX_MEMBERS) {
        return fl_fail(err, n < 1 ? FL_EFORMAT : FL_ELIMIT,
                       "%s: expected an archive of 1 to %d arrays, found %lld", path, MAX_MEMBERS,
                       (long long)n);
    }
    out->items = fl_xcalloc((size_t)n, sizeof *out->items);
    for (zip_int64_t i = 0; i < n && st == FL_OK; i++) {
        member m;
        data_array *a = &out->items[i];
        out->n = (size_t)i + 1;
        st = find_member(&m, zip, (zip_uint64_t)i, path, err);
        bool describe = st == FL_OK && but != NULL && ends_in(m.name, but);
        if (st == FL_OK && !describe && m.size > DATA_MAX_FILE_BYTES - total) {
            st = fl_fail(err, FL_ELIMIT, "%s: the arrays unpack to more than %d bytes", path,
                         DATA_MAX_FILE_BYTES);
        }
        if (st == FL_OK) {
            total += describe ? 0 : m.size;
            st = describe ? describe_member(a, &m, err) : read_member(a, &m, err);
        }
        memcpy(a->name, m.name, sizeof a->name);
        free(m.where);
    }
    return st;
}

static fl_status read_and_close(data_npz *out, zip_t *zip, const char *but, const char *path,
                                fl_err *err)
{
    fl_status st = read_archive(out, zip, but, path, err);
    zip_discard(zip);
    if (st != FL_OK) {
        data_npz_clear(out);
    }
    return st;
}

fl_status data_npz_parse(data_npz *out, const uint8_t *bytes, size_t n, const char *name,
                         fl_err *err)
{
    zip_t *zip;

    *out = (data_npz){0};
    fl_status st = open_archive(&zip, bytes, n, name, err);
    return st == FL_OK ? read_and_close(out, zip, NULL, name, err) : st;
}

fl_status data_npz_read(data_npz *out, const char *path, fl_err *err)
{
    return data_npz_read_but(out, path, NULL, err);
}

fl_status data_npz_read_but(data_npz *out, const char *path, const char *but, fl_err *err)
{
    zip_t *zip;

    *out = (data_npz){0};
    fl_status st = open_archive(&zip, NULL, 0, path, err);
    return st == FL_OK ? read_and_close(out, zip, but, path, err) : st;
}

const data_array *data_npz_find(const data_npz *z, const char *name)
{
    for (size_t i = 0; i < z->n; i++) {
        if (strcmp(z->items[i].name, name) == 0) {
            return &z->items[i];
        }
    }
    return NULL;
}

void data_npz_clear(data_npz *z)
{
    for (size_t i = 0; i < z->n; i++) {
        data_array_clear(&z->items[i]);
    }
    free(z->items);
    *z = (data_npz){0};
}

/* --- unpacking --- */

static fl_status write_all(int fd, const uint8_t *bytes, size_t n, const char *where, fl_err *err)
{
    while (n > 0) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return fl_fail(err, FL_EIO, "%s: cannot be unpacked to the disk: %s", where,
                           done < 0 ? strerror(errno) : "it is full");
        }
        bytes += done;
        n -= (size_t)done;
    }
    return FL_OK;
}

/* The numbers behind a header; bytes has room for a header and a piece, and has n of the member. */
static fl_status unpack_numbers(const data_npy_layout *layout, const data_array *a, uint8_t *bytes,
                                size_t n, const member *m, zip_file_t *file, int fd, fl_err *err)
{
    size_t item = (size_t)a->item_bytes;
    uint64_t left = m->size - layout->at;  // not yet written
    size_t has = n - layout->at;
    memmove(bytes, bytes + layout->at, has);
    for (;;) {
        zip_int64_t got = read_piece(file, bytes + has, PIECE_BYTES);
        if (got < 0 || has + (size_t)got > left) {
            return cut_short(m, file, got < 0, err);
        }
        has += (size_t)got;
        size_t whole = has / item * item;
        if (layout->swap) {
            data_npy_swap(bytes, whole / item, item);
        }
        fl_status st = write_all(fd, bytes, whole, m->where, err);
        if (st != FL_OK) {
            return st;
        }
        memmove(bytes, bytes + whole, has - whole);
        left -= whole;
        has -= whole;
        if (got == 0) {  // the end: the checksum was right
            return left == 0 ? FL_OK : cut_short(m, file, false, err);
        }
    }
}

static fl_status unpack_member(data_array *out, const member *m, int fd, fl_err *err)
{
    data_npy_layout layout;
    zip_file_t *file;
    size_t n;
    fl_status st = open_member(&file, m, err);
    if (st != FL_OK) {
        return st;
    }
    uint8_t *bytes = fl_xcalloc(DATA_NPY_HEAD_BYTES + PIECE_BYTES, 1);
    st = read_head(&layout, out, bytes, &n, m, file, err);
    if (st == FL_OK && !layout.fortran) {
        st = unpack_numbers(&layout, out, bytes, n, m, file, fd, err);
    }
    free(bytes);
    zip_fclose(file);
    if (st != FL_OK || !layout.fortran) {
        return st;
    }
    if (m->size > DATA_MAX_FILE_BYTES) {
        return fl_fail(err, FL_ELIMIT,
                       "%s: an array in Fortran order of more than %d bytes; save it in C order",
                       m->where, DATA_MAX_FILE_BYTES);
    }
    if ((st = read_member(out, m, err)) == FL_OK) {  // turned in memory
        st = write_all(fd, out->bytes, data_array_count(out) * (size_t)out->item_bytes, m->where,
                       err);
    }
    FL_FREE(out->bytes);
    return st;
}

fl_status data_npz_unpack(const char *path, const data_array *array, int fd, fl_err *err)
{
    zip_t *zip;
    fl_status st = open_archive(&zip, NULL, 0, path, err);
    if (st != FL_OK) {
        return st;
    }
    char *name = fl_xasprintf("%s.npy", array->name);
    zip_int64_t i = zip_name_locate(zip, name, 0);
    member m = {.zip = zip};
    data_array found = {0};
    if (i < 0) {
        st = fl_fail(err, FL_EIO, "%s: changed while it was read", path);
    } else if ((st = find_member(&m, zip, (zip_uint64_t)i, path, err)) == FL_OK &&
               (st = unpack_member(&found, &m, fd, err)) == FL_OK &&
               !data_array_is_alike(&found, array)) {
        st = fl_fail(err, FL_EIO, "%s: changed while it was read", path);
    }
    data_array_clear(&found);
    free(name);
    free(m.where);
    zip_discard(zip);
    return st;
}
