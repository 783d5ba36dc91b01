/*
 * cache.h - decoded cases in a file that is mapped, not read into memory
 *
 * A data set that is larger than memory is decoded once, in pieces, into a
 * file; from then on its samples are pages of that file, which the system
 * reads when they are looked at and forgets when memory is short.  A file is
 * named after the data set and a key over everything that its contents depend on,
 * so that a change of the data or of a setting makes another file.
 *
 * A file appears whole or not at all.  It carries a digest of all its bytes, and
 * what fails it, from a torn disk or a stranger's hand, is built again.  Two
 * processes that want one file build it once: the second waits.
 * Known to this folder only.
 */
#ifndef DATA_CACHE_H
#define DATA_CACHE_H

#include "base/hash.h"
#include "data/dataset.h"
#include "data/input.h"
#include "data/mask.h"

/* What the files of a case gave. */
typedef struct {
    data_input input;  // samples: from malloc, or a cache's
    data_masks masks;  // block: likewise; NULL from a cache
    data_place place;
    fl_err *error;  // from malloc; NULL where all went well
} data_decoded;

/* Of samples that a data set, with all members of a union, keeps in memory unasked. */
enum { DATA_MEMORY_BYTES = 256 << 20 };

/* Of its samples and masks. */
size_t data_decoded_bytes(const data_decoded *d, size_t n_annotators);

/* Frees what a decoder allocated; not for what a cache gave, but for error. */
void data_decoded_clear(data_decoded *d);

/* Fills out, which is zeroed, with case i.  Called from several threads. */
typedef void data_decoder(void *context, size_t i, data_decoded *out);

typedef struct {
    const char *dir;               // where the file lies; made when it is absent
    uint8_t set[FL_SHA256_BYTES];  // which data set: old files of it are removed
    uint8_t key[FL_SHA256_BYTES];  // which contents
    size_t n, n_annotators;
    bool stop;  // at the first case with an error
    /* Before the first case is decoded, where there is no file yet; or NULL. */
    fl_status (*begin)(void *context, fl_err *err);
} data_cache_plan;

typedef struct data_cache data_cache;

/*
 * Maps the file of plan, building it first where there is none that is whole.
 * With plan->stop, a case's error is the result and no file is made.
 */
fl_status data_cache_open(data_cache **out, const data_cache_plan *plan, data_decoder *decode,
                          void *context, fl_err *err);
void data_cache_destroy(data_cache **c);
/* Case i; its samples and masks are the cache's, error is the caller's. */
void data_cache_get(data_decoded *out, const data_cache *c, size_t i);

/*
 * n bytes of samples were looked at: from time to time the process lets go of
 * the pages, which stay in the system's keeping.  From any thread.
 */
void data_cache_looked_at(data_cache *c, size_t n);
/* Asks the system to read samples soon. */
void data_cache_will_need(data_cache *c, const void *samples, size_t n);

/*
 * Where a data set's cache lies when nobody says: .consilium-cache beside
 * dataset.yaml (file), or, where that folder cannot be written, consilium in
 * $XDG_CACHE_HOME or ~/.cache.  Caller's.
 */
fl_status data_cache_default_dir(char **out, const char *file, fl_err *err);

/* Adds what tells whether a file, or any file in a folder, has changed. */
void data_cache_add_identity(fl_sha256 *hash, const char *path);

#endif
