/*
 * objects.c - see objects.h
 */
#include "coordinator/objects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

typedef struct {
    fed_digest digest;
    fed_encoding enc;
    const void *items;  // in bytes or in map
    uint64_t n;         // items
    uint32_t n_pieces;
    uint64_t n_bytes;  // of all pieces
    void *bytes;       // owned document, or NULL
    void *map;         // of a model's file, or NULL
    size_t map_size;
} object;

struct objects {
    object *items;
    size_t n;
};

objects *objects_new(void)
{
    return fl_xcalloc(1, sizeof(objects));
}

static void release(object *o)
{
    free(o->bytes);
    if (o->map != NULL) {
        munmap(o->map, o->map_size);
    }
}

void objects_destroy(objects **o)
{
    if (*o == NULL) {
        return;
    }
    for (size_t i = 0; i < (*o)->n; i++) {
        release(&(*o)->items[i]);
    }
    free((*o)->items);
    FL_FREE(*o);
}

static const object *find(const objects *o, const fed_digest *digest)
{
    for (size_t i = 0; i < o->n; i++) {
        if (fed_digest_equal(&o->items[i].digest, digest)) {
            return &o->items[i];
        }
    }
    return NULL;
}

/* Takes over what new owns. */
static void add(objects *o, object *new, fed_digest *digest)
{
    fed_object_digest(&new->digest, new->enc, new->items, new->n, &new->n_bytes, &new->n_pieces);
    *digest = new->digest;
    if (find(o, digest) != NULL) {
        release(new);
        return;
    }
    o->items = fl_xrealloc(o->items, o->n + 1, sizeof *o->items);
    o->items[o->n++] = *new;
}

void objects_add_bytes(objects *o, const void *bytes, size_t n, fed_digest *digest)
{
    object new = {.enc = FED_ENC_BYTES, .n = n};
    new.bytes = fl_xcalloc(n, 1);
    memcpy(new.bytes, bytes, n);
    new.items = new.bytes;
    add(o, &new, digest);
}

/* Into map and map_size. */
static fl_status map_file(object *out, const char *path, fl_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        fl_status st = fl_fail_errno(err, errno, path);
        if (fd >= 0) {
            close(fd);
        }
        return st;
    }
    out->map_size = (size_t)info.st_size;
    void *map = out->map_size > 8 ? mmap(NULL, out->map_size, PROT_READ, MAP_SHARED, fd, 0)
                                  : MAP_FAILED;
    close(fd);
    if (map == MAP_FAILED) {
        return fl_fail(err, FL_EIO, "%s: cannot be mapped into memory", path);
    }
    out->map = map;
    return FL_OK;
}

fl_status objects_add_file(objects *o, const char *path, fed_digest *digest, fl_err *err)
{
    object new = {.enc = FED_ENC_BYTES};
    fl_status st = map_file(&new, path, err);
    if (st == FL_OK) {
        new.items = new.map;
        new.n = new.map_size;
        add(o, &new, digest);
    }
    return st;
}

fl_status objects_add_model(objects *o, const char *path, const nn_table *table, fed_encoding enc,
                            fed_digest *digest, fl_err *err)
{
    object new = {.enc = enc, .n = (uint64_t)nn_table_count(table)};
    fl_status st = map_file(&new, path, err);
    if (st != FL_OK) {
        return st;
    }
    /* 8 bytes of header length, the header, then the numbers in table order. */
    const uint8_t *head = new.map;
    uint64_t header = 0;
    for (int i = 7; i >= 0; i--) {
        header = header << 8 | head[i];
    }
    uint64_t values = new.n * sizeof(float);
    if (header > new.map_size || 8 + header + values != new.map_size ||
        (8 + header) % sizeof(float) != 0) {
        release(&new);
        return fl_fail(err, FL_EFORMAT, "%s: not a model of this job (%zu bytes for %llu numbers)",
                       path, new.map_size, (unsigned long long)new.n);
    }
    new.items = head + 8 + header;
    for (uint64_t i = 0; enc == FED_ENC_BF16 && i < new.n; i++) {
        if ((((const uint32_t *)new.items)[i] & 0xffff) != 0) {
            release(&new);
            return fl_fail(err, FL_EFORMAT, "%s: damaged: its numbers are not rounded", path);
        }
    }
    add(o, &new, digest);
    return FL_OK;
}

void objects_drop(objects *o, const fed_digest *digest)
{
    for (size_t i = 0; i < o->n; i++) {
        if (fed_digest_equal(&o->items[i].digest, digest)) {
            release(&o->items[i]);
            o->items[i] = o->items[--o->n];
            return;
        }
    }
}

bool objects_find(const objects *o, const fed_digest *digest, uint32_t *n_pieces, uint64_t *n_bytes)
{
    const object *found = find(o, digest);
    if (found != NULL) {
        *n_pieces = found->n_pieces;
        *n_bytes = found->n_bytes;
    }
    return found != NULL;
}

size_t objects_piece(const objects *o, const fed_digest *digest, uint32_t index, uint8_t *out)
{
    const object *found = find(o, digest);
    FL_REQUIRE(found != NULL && index < found->n_pieces);
    return fed_piece_pack(out, found->enc, found->items, found->n, index);
}

const void *objects_bytes(const objects *o, const fed_digest *digest, size_t *n)
{
    const object *found = find(o, digest);
    bool has = found != NULL && found->enc == FED_ENC_BYTES;
    *n = has ? (size_t)found->n : 0;
    return has ? found->items : NULL;
}

const float *objects_model(const objects *o, const fed_digest *digest)
{
    const object *found = find(o, digest);
    return found != NULL && found->enc != FED_ENC_BYTES ? found->items : NULL;
}
