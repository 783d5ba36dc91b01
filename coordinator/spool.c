/*
 * spool.c - see spool.h
 */
#include "coordinator/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

struct spool {
    char *path;
    fed_encoding enc;
    uint64_t n_bytes;
    uint32_t n_pieces, next;
    fed_tree tree;  // over some of the pieces before next
};

/* Bytes of piece index: all but the last are full. */
static size_t piece_size(fed_encoding enc, uint64_t n_bytes, uint32_t n_pieces, uint32_t index)
{
    uint64_t full = fed_full_piece(enc);
    return (size_t)(index + 1 < n_pieces ? full : n_bytes - (n_pieces - 1) * full);
}

static fl_status write_at(int fd, const uint8_t *bytes, size_t n, off_t at)
{
    while (n > 0) {
        ssize_t put = pwrite(fd, bytes, n, at);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return FL_EIO;
        }
        bytes += put;
        at += put;
        n -= (size_t)put;
    }
    return FL_OK;
}

/* Exactly n bytes, or false. */
static bool read_at(int fd, void *bytes, size_t n, off_t at)
{
    uint8_t *to = bytes;
    while (n > 0) {
        ssize_t got = pread(fd, to, n, at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        to += got;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

static bool piece_is_good(fed_encoding enc, const uint8_t *piece, size_t n, size_t wanted)
{
    fed_encoding found;
    const uint8_t *values;
    uint32_t count;
    return n == wanted && fed_piece_parse(piece, n, &found, &values, &count, NULL) == FL_OK &&
           found == enc;
}

/*
 * Hashes pieces of fd in order, from the first that is not in the tree up to end; returns the first
 * that is missing or odd, or end.  Pieces are read in batches, which are hashed faster than one by one:
 * that pays for reading back what has just been written.
 */
static uint32_t hash_pieces(int fd, fed_encoding enc, uint64_t n_bytes, uint32_t n_pieces,
                            uint32_t end, fed_tree *tree)
{
    static uint8_t batch[FED_TREE_BATCH * FED_PIECE_BYTES];  // of the one thread
    bool on = true;
    while (on && tree->next < end) {
        size_t used = 0;
        for (uint32_t i = tree->next; on && i < end && i < tree->next + FED_TREE_BATCH; i++) {
            size_t size = piece_size(enc, n_bytes, n_pieces, i);
            on = read_at(fd, batch + used, size, (off_t)i * (off_t)fed_full_piece(enc)) &&
                 piece_is_good(enc, batch + used, size, size);
            used += on ? size : 0;
        }
        fed_tree_add_row(tree, batch, used);
    }
    return tree->next;
}

fl_status spool_open(spool **out, const char *path, fed_encoding enc, uint64_t n_bytes,
                     uint32_t n_pieces, fl_err *err)
{
    *out = NULL;
    uint64_t full = fed_full_piece(enc), last = (uint64_t)(n_pieces - 1) * full;
    if (n_pieces == 0 || n_pieces > FED_MAX_PIECES || n_bytes <= last + FED_PIECE_HEAD ||
        n_bytes > last + full) {
        return fl_fail(err, FL_EFORMAT, "%llu bytes do not make %u pieces",
                       (unsigned long long)n_bytes, n_pieces);
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fl_fail_errno(err, errno, path);
    }
    spool *s = fl_xcalloc(1, sizeof *s);
    *s = (spool){.path = fl_xstrdup(path), .enc = enc, .n_bytes = n_bytes, .n_pieces = n_pieces};
    fed_tree_init(&s->tree, n_bytes, n_pieces);
    s->next = hash_pieces(fd, enc, n_bytes, n_pieces, n_pieces, &s->tree);
    uint64_t kept = s->next == n_pieces ? n_bytes : s->next * full;
    fl_status st = FL_OK;
    struct stat info;
    if (fstat(fd, &info) != 0 ||
        ((uint64_t)info.st_size != kept && ftruncate(fd, (off_t)kept) != 0)) {
        st = fl_fail_errno(err, errno, path);
        spool_close(&s);
    }
    close(fd);
    *out = s;
    return st;
}

void spool_close(spool **s)
{
    if (*s != NULL) {
        free((*s)->path);
        FL_FREE(*s);
    }
}

uint32_t spool_next(const spool *s)
{
    return s->next;
}

bool spool_is_whole(const spool *s)
{
    return s->next == s->n_pieces;
}

fl_status spool_append(spool *s, const uint8_t *piece, size_t n, fl_err *err)
{
    FL_REQUIRE(s->next < s->n_pieces);
    size_t wanted = piece_size(s->enc, s->n_bytes, s->n_pieces, s->next);
    if (!piece_is_good(s->enc, piece, n, wanted)) {
        return fl_fail(err, FL_EFORMAT, "piece %u of %u is not %zu bytes of the right kind",
                       s->next, s->n_pieces, wanted);
    }
    int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fl_fail_errno(err, errno, s->path);
    }
    fl_status st = FL_OK;
    if (write_at(fd, piece, n, (off_t)s->next * (off_t)fed_full_piece(s->enc)) != FL_OK) {
        st = fl_fail_errno(err, errno != 0 ? errno : EIO, s->path);
    }
    uint32_t next = s->next + (st == FL_OK);
    if (next == s->n_pieces || next - s->tree.next == FED_TREE_BATCH) {
        if (hash_pieces(fd, s->enc, s->n_bytes, s->n_pieces, next, &s->tree) != next) {
            st = fl_fail(err, FL_EIO, "%s: does not read back as it was written", s->path);
        }
    }
    if (close(fd) != 0 && st == FL_OK) {
        st = fl_fail_errno(err, errno, s->path);  // network file systems tell here
    }
    s->next = st == FL_OK ? next : s->next;
    return st;
}

void spool_digest(spool *s, fed_digest *out)
{
    FL_REQUIRE(spool_is_whole(s));
    fed_tree copy = s->tree;
    fed_tree_done(&copy, out);
}

fl_status spool_flush(const spool *s, fl_err *err)
{
    int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    fl_status st = FL_OK;
    if (fd < 0 || fsync(fd) != 0) {
        st = fl_fail_errno(err, errno, s->path);
    }
    if (fd >= 0) {
        close(fd);
    }
    char *dir = fl_path_dir(s->path);
    st = st == FL_OK ? fl_fsync_dir(dir, err) : st;
    free(dir);
    return st;
}

fl_status spool_reset(spool *s, fl_err *err)
{
    if (truncate(s->path, 0) != 0 && errno != ENOENT) {
        return fl_fail_errno(err, errno, s->path);
    }
    s->next = 0;
    fed_tree_init(&s->tree, s->n_bytes, s->n_pieces);
    return FL_OK;
}

fl_status spool_read_values(const char *path, fed_encoding enc, float *out, int64_t offset,
                            int64_t count, fl_err *err)
{
    uint8_t packed[FED_PIECE_BYTES];  // several threads read at once
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fl_fail_errno(err, errno, path);
    }
    fl_status st = FL_OK;
    const off_t full = (off_t)fed_full_piece(enc), value = (off_t)fed_value_bytes(enc);
    while (count > 0 && st == FL_OK) {
        int64_t index = offset / FED_PIECE_VALUES, within = offset % FED_PIECE_VALUES;
        int64_t here = FED_PIECE_VALUES - within < count ? FED_PIECE_VALUES - within : count;
        void *to = enc == FED_ENC_F32 ? (void *)out : packed;
        if (!read_at(fd, to, (size_t)(here * value),
                     (off_t)index * full + FED_PIECE_HEAD + within * value)) {
            st = fl_fail(err, FL_EIO, "%s: ends early", path);
        } else if (enc != FED_ENC_F32) {
            fed_piece_values(out, enc, packed, (uint32_t)here);
        }
        out += here;
        offset += here;
        count -= here;
    }
    close(fd);
    return st;
}

fl_status spool_read_bytes(const char *path, char **out, size_t *n, size_t max, fl_err *err)
{
    *out = NULL;
    *n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        fl_status st = fl_fail_errno(err, errno, path);
        if (fd >= 0) {
            close(fd);
        }
        return st;
    }
    uint64_t size = (uint64_t)info.st_size;
    uint32_t n_pieces = (uint32_t)((size + FED_PIECE_BYTES - 1) / FED_PIECE_BYTES);
    size_t total = (size_t)(size - (uint64_t)n_pieces * FED_PIECE_HEAD);
    fl_status st = FL_OK;
    if (size < FED_PIECE_HEAD || total > max) {
        st = fl_fail(err, FL_ELIMIT, "a document of %llu bytes, at most %zu are read",
                     (unsigned long long)size, max);
    } else if ((*out = fl_calloc(total + 1, 1, "a document", err)) == NULL) {
        st = FL_ELIMIT;
    }
    size_t used = 0;
    for (uint32_t i = 0; i < n_pieces && st == FL_OK; i++) {
        size_t here = piece_size(FED_ENC_BYTES, size, n_pieces, i) - FED_PIECE_HEAD;
        if (!read_at(fd, *out + used, here, (off_t)i * FED_PIECE_BYTES + FED_PIECE_HEAD)) {
            st = fl_fail(err, FL_EIO, "%s: ends early", path);
        }
        used += here;
    }
    close(fd);
    if (st != FL_OK) {
        FL_FREE(*out);
        return st;
    }
    *n = total;
    return FL_OK;
}

bool spool_verify(const char *path, fed_encoding enc, uint64_t n_bytes, uint32_t n_pieces,
                  const fed_digest *digest)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    fed_tree tree;
    fed_digest found;
    fed_tree_init(&tree, n_bytes, n_pieces);
    bool whole = hash_pieces(fd, enc, n_bytes, n_pieces, n_pieces, &tree) == n_pieces;
    close(fd);
    if (!whole) {
        return false;
    }
    fed_tree_done(&tree, &found);
    return fed_digest_equal(&found, digest);
}
