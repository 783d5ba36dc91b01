/*
 * update.h - objects in pieces: how vectors and documents travel
 *
 * An object (a model, an update, a job's text, a report) is a sequence of
 * pieces.  A piece says itself how it is encoded:
 *     byte 0     encoding: 0 bytes, 1 float32, 2 bfloat16 (later: int8 + scale, sparse)
 *     byte 1..3  zero
 *     byte 4..7  n, little-endian: number of values (or bytes)
 *     then       the values, little-endian
 * Vectors have FED_PIECE_VALUES values in every piece but the last; bytes have
 * 4 * FED_PIECE_VALUES.  In memory a vector is always float32; one that travels as
 * bfloat16 holds values that need no more (bf16.h).  The tree digest of an object is
 *     BLAKE2b("consilium tree", n_bytes, n_pieces, BLAKE2b("consilium piece", piece 0), ...)
 * so a receiver checks piece by piece and never holds the whole.
 */
#ifndef FED_UPDATE_H
#define FED_UPDATE_H

#include "fed/fed.h"

typedef enum { FED_ENC_BYTES = 0, FED_ENC_F32 = 1, FED_ENC_BF16 = 2 } fed_encoding;

/* Number of pieces and payload bytes for n values or bytes; 0 for none. */
uint32_t fed_pieces_of(fed_encoding enc, uint64_t n);
uint64_t fed_piece_bytes_of(fed_encoding enc, uint64_t n);
/* Bytes of a value on the way, and of every piece but the last. */
size_t fed_value_bytes(fed_encoding enc);
size_t fed_full_piece(fed_encoding enc);
/* Writes piece index of an object of n items to out (room FED_PIECE_BYTES); returns its size. */
size_t fed_piece_pack(uint8_t *out, fed_encoding enc, const void *items, uint64_t n, uint32_t index);
/* Checks the head; *values points into piece (4-byte aligned if piece is 8-byte aligned). */
fl_status fed_piece_parse(const uint8_t *piece, size_t n_bytes, fed_encoding *enc, const uint8_t **values, uint32_t *n, fl_err *err);

/* n values of a vector's piece as float32. */
void fed_piece_values(float *out, fed_encoding enc, const uint8_t *values, uint32_t n);
/* Tree digest, piece after piece in order. */
typedef struct { fl_blake2b tree; uint64_t n_bytes; uint32_t n_pieces, next; uint64_t seen; } fed_tree;
void fed_tree_init(fed_tree *t, uint64_t n_bytes, uint32_t n_pieces);
void fed_tree_add(fed_tree *t, const uint8_t *piece, size_t n);
/* Pieces that lie one behind the other, n bytes in all; all but the last one are full.
 * FED_TREE_BATCH at a time is fastest. */
enum { FED_TREE_BATCH = 8 };
void fed_tree_add_row(fed_tree *t, const uint8_t *pieces, size_t n);
/* Pieces up to end, cut from the object's n items: those that were added before are not looked at. */
void fed_tree_add_items(fed_tree *t, fed_encoding enc, const void *items, uint64_t n, uint32_t end);
/* Zeros, which no object has, unless pieces and bytes came as announced. */
void fed_tree_done(fed_tree *t, fed_digest *out);
/* Of a whole object at once. */
void fed_object_digest(fed_digest *out, fed_encoding enc, const void *items, uint64_t n, uint64_t *n_bytes, uint32_t *n_pieces);

/* Receiving an object into memory.  max_bytes: of its values in memory, heads included. */
typedef struct fed_inbox fed_inbox;
fl_status fed_inbox_new(fed_inbox **out, const fed_digest *object, uint64_t max_bytes, fl_err *err);
void fed_inbox_destroy(fed_inbox **b);
/* For another object: what was received is gone, its room is kept for one of the same size.
 * FL_EFORMAT: as fed_inbox_new. */
fl_status fed_inbox_renew(fed_inbox *b, const fed_digest *object, uint64_t max_bytes, fl_err *err);
/*
 * The next piece in order (a repeat or a gap is ignored).  Fields as in the
 * Piece message.  FL_EFORMAT: does not fit; after the last one FL_EFORMAT when
 * the digest differs, and the inbox is empty again.  FL_ELIMIT: too large.
 */
fl_status fed_inbox_add(fed_inbox *b, uint32_t index, uint32_t n_pieces, uint64_t n_bytes,
                        const uint8_t *piece, size_t n, fl_err *err);
uint32_t fed_inbox_next(const fed_inbox *b);   // first piece still missing
uint32_t fed_inbox_n_pieces(const fed_inbox *b); // 0 until the first piece arrived
bool fed_inbox_done(const fed_inbox *b);
/* Whole and verified: the items, borrowed.  n: values or bytes. */
const void *fed_inbox_items(const fed_inbox *b, fed_encoding *enc, uint64_t *n);

#endif
