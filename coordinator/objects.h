/*
 * objects.h - what sites may fetch: the job and its graph, current models, reports
 *
 * Objects are named by their tree digest (fed/update.h).  Models and graphs are mapped from
 * their files and cut into pieces as they are asked for, so serving one to a
 * thousand sites keeps no copy.
 */
#ifndef COORDINATOR_OBJECTS_H
#define COORDINATOR_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "fed/update.h"
#include "nn/params.h"

typedef struct objects objects;

objects *objects_new(void);
void objects_destroy(objects **o);

/* A document; bytes are copied.  Adding one twice keeps it once. */
void objects_add_bytes(objects *o, const void *bytes, size_t n, fed_digest *digest);
/* A file's bytes. */
fl_status objects_add_file(objects *o, const char *path, fed_digest *digest, fl_err *err);
/* The numbers of a safetensors file that ckpt_safetensors_write made of table, to travel as enc. */
fl_status objects_add_model(objects *o, const char *path, const nn_table *table, fed_encoding enc,
                            fed_digest *digest, fl_err *err);
/* What digest does not name any more is not served. */
void objects_drop(objects *o, const fed_digest *digest);

/* Pieces and bytes of an object; false: not served here. */
bool objects_find(const objects *o, const fed_digest *digest, uint32_t *n_pieces,
                  uint64_t *n_bytes);
/* Writes a piece to out (room FED_PIECE_BYTES); returns its size.  The object has it. */
size_t objects_piece(const objects *o, const fed_digest *digest, uint32_t index, uint8_t *out);
/* The bytes of a document or file, borrowed likewise; NULL when digest names none. */
const void *objects_bytes(const objects *o, const fed_digest *digest, size_t *n);
/* The model's numbers (P), borrowed until it is dropped; NULL when digest names no model. */
const float *objects_model(const objects *o, const fed_digest *digest);

#endif
