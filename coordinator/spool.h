/*
 * spool.h - a contribution's payload on disk while it arrives, and after
 *
 * One file a contribution: its pieces, as they travelled, one behind the other;
 * all but the last are equally long, so piece i is found without an
 * index.  Pieces are hashed on the way.  A killed coordinator opens the file
 * again, keeps its whole pieces and asks for the rest.  No file stays open
 * between two pieces, so a thousand sites need no thousand descriptors.
 * Spools are not flushed but for those that are carried: what a power cut takes is asked for again.
 * Threads: one, for all spools.
 */
#ifndef COORDINATOR_SPOOL_H
#define COORDINATOR_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "fed/update.h"

typedef struct spool spool;

/*
 * Opens path for an object of n_bytes in n_pieces, going on behind the whole
 * pieces that are there.  Pieces must be of encoding enc.
 */
fl_status spool_open(spool **out, const char *path, fed_encoding enc, uint64_t n_bytes,
                     uint32_t n_pieces, fl_err *err);
void spool_close(spool **s);          // the file stays
uint32_t spool_next(const spool *s);  // first piece that is missing
bool spool_is_whole(const spool *s);
/* Appends piece spool_next(); FL_EFORMAT when it is not of the right size or encoding, and nothing
 * changed. */
fl_status spool_append(spool *s, const uint8_t *piece, size_t n, fl_err *err);
/* Whole: the tree digest of what is there. */
void spool_digest(spool *s, fed_digest *out);
/* Brings it to the disk, for one that nobody can be asked for again. */
fl_status spool_flush(const spool *s, fl_err *err);
/* Starts over with an empty file. */
fl_status spool_reset(spool *s, fl_err *err);

/* Values [offset, offset + count) of a vector's spool. */
fl_status spool_read_values(const char *path, fed_encoding enc, float *out, int64_t offset,
                            int64_t count, fl_err *err);
/* The bytes of a FED_ENC_BYTES spool, NUL-terminated, caller's. */
fl_status spool_read_bytes(const char *path, char **out, size_t *n, size_t max, fl_err *err);
/* Is path there, whole, and of this digest? */
bool spool_verify(const char *path, fed_encoding enc, uint64_t n_bytes, uint32_t n_pieces,
                  const fed_digest *digest);

#endif
