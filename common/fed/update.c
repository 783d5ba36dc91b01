/*
 * update.c - see update.h
 */
#include "fed/update.h"

#include <stdlib.h>

#include "base/mem.h"
#include "fed/bf16.h"

// Values travel as they lie in memory; a big-endian machine needs a swap here.
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte order");
_Static_assert(sizeof(float) == 4, "float32");

// ------------------------------------------------------------------ encodings

static bool is_encoding(uint8_t code)
{
    return code == FED_ENC_BYTES || code == FED_ENC_F32 || code == FED_ENC_BF16;
}

/* On the way. */
static size_t item_bytes(fed_encoding enc)
{
    return enc == FED_ENC_F32 ? sizeof(float) : enc == FED_ENC_BF16 ? sizeof(uint16_t) : 1;
}

/* In memory. */
static size_t kept_bytes(fed_encoding enc)
{
    return enc == FED_ENC_BYTES ? 1 : sizeof(float);
}

/* Items in every piece but the last. */
static uint32_t items_per_piece(fed_encoding enc)
{
    return enc == FED_ENC_BYTES ? 4 * FED_PIECE_VALUES : FED_PIECE_VALUES;
}

size_t fed_value_bytes(fed_encoding enc)
{
    return item_bytes(enc);
}

size_t fed_full_piece(fed_encoding enc)
{
    return FED_PIECE_HEAD + items_per_piece(enc) * item_bytes(enc);
}

void fed_piece_values(float *out, fed_encoding enc, const uint8_t *values, uint32_t n)
{
    FL_REQUIRE(enc != FED_ENC_BYTES);
    if (enc == FED_ENC_F32) {
        memcpy(out, values, n * sizeof *out);
        return;
    }
    fed_bf16_widen(out, values, n);
}

/* Items in piece index of an object of n. */
static uint32_t items_in(fed_encoding enc, uint64_t n, uint32_t index)
{
    uint64_t first = (uint64_t)index * items_per_piece(enc);
    FL_REQUIRE(first < n);
    uint64_t left = n - first;
    return left < items_per_piece(enc) ? (uint32_t)left : items_per_piece(enc);
}

uint32_t fed_pieces_of(fed_encoding enc, uint64_t n)
{
    uint64_t full = items_per_piece(enc);
    uint64_t n_pieces = n / full + (n % full != 0);
    FL_REQUIRE(n_pieces <= FED_MAX_PIECES);
    return (uint32_t)n_pieces;
}

uint64_t fed_piece_bytes_of(fed_encoding enc, uint64_t n)
{
    return (uint64_t)fed_pieces_of(enc, n) * FED_PIECE_HEAD + n * item_bytes(enc);
}

// ------------------------------------------------------------------ one piece

static void put_u32(uint8_t out[static 4], uint32_t x)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(x >> (8 * i));
    }
}

static void put_u64(uint8_t out[static 8], uint64_t x)
{
    put_u32(out, (uint32_t)x);
    put_u32(out + 4, (uint32_t)(x >> 32));
}

static uint32_t get_u32(const uint8_t in[static 4])
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

size_t fed_piece_pack(uint8_t *out, fed_encoding enc, const void *items, uint64_t n, uint32_t index)
{
    uint32_t count = items_in(enc, n, index);
    size_t size = item_bytes(enc);
    size_t first = (size_t)index * items_per_piece(enc);
    memset(out, 0, FED_PIECE_HEAD);
    out[0] = (uint8_t)enc;
    put_u32(out + 4, count);
    if (enc == FED_ENC_BF16) {
        fed_bf16_pack(out + FED_PIECE_HEAD, (const float *)items + first, count);
        return FED_PIECE_HEAD + count * size;
    }
    memcpy(out + FED_PIECE_HEAD, (const uint8_t *)items + first * size, count * size);
    return FED_PIECE_HEAD + count * size;
}

fl_status fed_piece_parse(const uint8_t *piece, size_t n_bytes, fed_encoding *enc,
                          const uint8_t **values, uint32_t *n, fl_err *err)
{
    *enc = FED_ENC_BYTES;
    *values = NULL;
    *n = 0;
    if (n_bytes < FED_PIECE_HEAD || n_bytes > FED_PIECE_BYTES) {
        return fl_fail(err, FL_EFORMAT, "a piece has %zu bytes, expected %d to %d", n_bytes,
                       FED_PIECE_HEAD, FED_PIECE_BYTES);
    }
    if (!is_encoding(piece[0]) || piece[1] != 0 || piece[2] != 0 || piece[3] != 0) {
        return fl_fail(err, FL_EFORMAT, "a piece's encoding %u is not known", get_u32(piece));
    }
    fed_encoding found = (fed_encoding)piece[0];
    uint32_t count = get_u32(piece + 4);
    if (count == 0 || count > items_per_piece(found) ||
        n_bytes != FED_PIECE_HEAD + count * item_bytes(found)) {
        return fl_fail(err, FL_EFORMAT, "a piece of %zu bytes says that it holds %u values",
                       n_bytes, count);
    }
    *enc = found;
    *values = piece + FED_PIECE_HEAD;
    *n = count;
    return FL_OK;
}

// ------------------------------------------------------------ the tree digest

void fed_tree_init(fed_tree *t, uint64_t n_bytes, uint32_t n_pieces)
{
    memset(t, 0, sizeof *t);
    t->n_bytes = n_bytes;
    t->n_pieces = n_pieces;
    uint8_t head[12];
    put_u64(head, n_bytes);
    put_u32(head + 8, n_pieces);
    fl_blake2b_init(&t->tree, "consilium tree");
    fl_blake2b_add(&t->tree, head, sizeof head);
}

void fed_tree_add(fed_tree *t, const uint8_t *piece, size_t n)
{
    uint8_t leaf[FL_DIGEST_BYTES];
    fl_blake2b_of(leaf, "consilium piece", piece, n);
    fl_blake2b_add(&t->tree, leaf, sizeof leaf);
    t->next++;
    t->seen += n;
}

void fed_tree_done(fed_tree *t, fed_digest *out)
{
    fl_blake2b_done(&t->tree, out->bytes);
    if (t->next != t->n_pieces || t->seen != t->n_bytes) {
        memset(out, 0, sizeof *out);
    }
}

static void add_leaves(fed_tree *t, uint8_t (*leaf)[FL_DIGEST_BYTES], uint32_t count, size_t bytes)
{
    fl_blake2b_add(&t->tree, leaf, (size_t)count * FL_DIGEST_BYTES);
    t->next += count;
    t->seen += (uint64_t)count * bytes;
}

static uint32_t batch_of(uint32_t left)
{
    return left < FED_TREE_BATCH ? left : FED_TREE_BATCH;
}

void fed_tree_add_row(fed_tree *t, const uint8_t *pieces, size_t n)
{
    uint8_t leaf[FED_TREE_BATCH][FL_DIGEST_BYTES];
    const uint8_t *at[FED_TREE_BATCH];
    size_t full = n > 0 ? fed_full_piece((fed_encoding)pieces[0]) : FED_PIECE_BYTES;
    uint32_t count = (uint32_t)(n / full);
    for (uint32_t here; count > 0; count -= here) {
        here = batch_of(count);
        for (uint32_t i = 0; i < here; i++, pieces += full) {
            at[i] = pieces;
        }
        fl_blake2b_many(leaf, "consilium piece", NULL, 0, at, full, here);
        add_leaves(t, leaf, here, full);
    }
    if (n % full != 0) {
        fed_tree_add(t, pieces, n % full);
    }
}

/* Where pieces are not what lies in memory they are put together. */
static void add_packed(fed_tree *t, fed_encoding enc, const void *items, uint64_t n, uint32_t end)
{
    uint8_t *row = fl_xcalloc(FED_TREE_BATCH, fed_full_piece(enc));
    while (t->next < end) {
        size_t used = 0;
        uint32_t stop = t->next + batch_of(end - t->next);
        for (uint32_t i = t->next; i < stop; i++) {
            used += fed_piece_pack(row + used, enc, items, n, i);
        }
        fed_tree_add_row(t, row, used);
    }
    free(row);
}

/* The head goes in first and the values from where they lie, so no piece is
 * put together only to be hashed. */
void fed_tree_add_items(fed_tree *t, fed_encoding enc, const void *items, uint64_t n, uint32_t end)
{
    uint8_t leaf[FED_TREE_BATCH][FL_DIGEST_BYTES];
    const uint8_t *at[FED_TREE_BATCH];
    size_t stride = items_per_piece(enc) * item_bytes(enc);
    if (enc == FED_ENC_BF16) {
        add_packed(t, enc, items, n, end);
        return;
    }
    while (t->next < end) {
        uint32_t count = items_in(enc, n, t->next), here = 1;
        if (count == items_per_piece(enc)) {
            uint64_t full = n / count - t->next;  // this one, and those behind it that are full
            here = batch_of(end - t->next);
            here = full < here ? (uint32_t)full : here;
        }
        uint8_t head[FED_PIECE_HEAD] = {(uint8_t)enc};
        put_u32(head + 4, count);
        for (uint32_t i = 0; i < here; i++) {
            at[i] = (const uint8_t *)items + (size_t)(t->next + i) * stride;
        }
        size_t bytes = count * item_bytes(enc);
        fl_blake2b_many(leaf, "consilium piece", head, sizeof head, at, bytes, here);
        add_leaves(t, leaf, here, sizeof head + bytes);
    }
}

void fed_object_digest(fed_digest *out, fed_encoding enc, const void *items, uint64_t n,
                       uint64_t *n_bytes, uint32_t *n_pieces)
{
    *n_pieces = fed_pieces_of(enc, n);
    *n_bytes = fed_piece_bytes_of(enc, n);
    fed_tree t;
    fed_tree_init(&t, *n_bytes, *n_pieces);
    fed_tree_add_items(&t, enc, items, n, *n_pieces);
    fl_blake2b_done(&t.tree, out->bytes);
}

// ------------------------------------------------------------------ receiving

struct fed_inbox {
    fed_digest object;   // what was asked for
    uint64_t max_bytes;  // largest n_bytes that is accepted
    uint64_t n_bytes;    // as announced; 0 before the first piece
    uint32_t n_pieces;   // likewise
    uint32_t next;       // first piece still missing
    fed_encoding enc;    // of the first piece and so of all
    uint64_t n;          // values or bytes in all
    uint8_t *items;      // room for all of them, filled in order
    uint64_t room;       // bytes of it
    fed_tree tree;       // over some of pieces 0 .. next - 1: whole batches are faster
    bool verified;       // the digest was right
};

fl_status fed_inbox_new(fed_inbox **out, const fed_digest *object, uint64_t max_bytes, fl_err *err)
{
    *out = fl_xcalloc(1, sizeof **out);
    fl_status st = fed_inbox_renew(*out, object, max_bytes, err);
    if (st != FL_OK) {
        fed_inbox_destroy(out);
    }
    return st;
}

void fed_inbox_destroy(fed_inbox **b)
{
    if (*b != NULL) {
        free((*b)->items);
        FL_FREE(*b);
    }
}

/* As after fed_inbox_new, but for the room. */
static void start_over(fed_inbox *b)
{
    b->n_bytes = 0;
    b->n_pieces = 0;
    b->next = 0;
    b->n = 0;
    b->verified = false;
}

fl_status fed_inbox_renew(fed_inbox *b, const fed_digest *object, uint64_t max_bytes, fl_err *err)
{
    start_over(b);
    if (fed_digest_is_zero(object)) {
        return fl_fail(err, FL_EFORMAT, "no object has a digest of zeros");
    }
    b->object = *object;
    b->max_bytes = max_bytes;
    return FL_OK;
}

/* Not touched before its pieces are here: an announcement alone costs no memory. */
static fl_status make_room(fed_inbox *b, uint64_t values, size_t size, fl_err *err)
{
    uint64_t room = values * size;
    if (b->items != NULL && b->room == room) {
        return FL_OK;  // a run's models are all of one size, and new pages cost more than their bytes
    }
    free(b->items);
    b->items = fl_alloc_aligned(values, size, "an object", err);
    b->room = b->items != NULL ? room : 0;
    return b->items != NULL ? FL_OK : FL_ELIMIT;
}

/* Believes an announcement as far as it fits itself and the limit. */
static fl_status open_inbox(fed_inbox *b, uint32_t n_pieces, uint64_t n_bytes, fed_encoding enc,
                            fl_err *err)
{
    uint64_t heads = (uint64_t)n_pieces * FED_PIECE_HEAD;
    uint64_t size = item_bytes(enc);
    uint64_t values = n_bytes > heads ? (n_bytes - heads) / size : 0;
    if (n_bytes > b->max_bytes || values * kept_bytes(enc) + heads > b->max_bytes) {
        return fl_fail(err, FL_ELIMIT, "an object of %llu bytes, at most %llu are expected",
                       (unsigned long long)n_bytes, (unsigned long long)b->max_bytes);
    }
    if (n_pieces == 0 || n_pieces > FED_MAX_PIECES || n_bytes <= heads ||
        n_bytes > (uint64_t)n_pieces * FED_PIECE_BYTES || (n_bytes - heads) % size != 0 ||
        fed_pieces_of(enc, (n_bytes - heads) / size) != n_pieces) {
        return fl_fail(err, FL_EFORMAT, "an object cannot have %llu bytes in %u pieces",
                       (unsigned long long)n_bytes, n_pieces);
    }
    if (make_room(b, values, kept_bytes(enc), err) != FL_OK) {
        return FL_ELIMIT;
    }
    b->n_bytes = n_bytes;
    b->n_pieces = n_pieces;
    b->enc = enc;
    b->n = values;
    fed_tree_init(&b->tree, n_bytes, n_pieces);
    return FL_OK;
}

fl_status fed_inbox_add(fed_inbox *b, uint32_t index, uint32_t n_pieces, uint64_t n_bytes,
                        const uint8_t *piece, size_t n, fl_err *err)
{
    if (b->verified || index != b->next) {
        return FL_OK;
    }
    if (b->n_pieces != 0 && (n_pieces != b->n_pieces || n_bytes != b->n_bytes)) {
        return fl_fail(err, FL_EFORMAT, "piece %u announces %u pieces, the first one %u", index,
                       n_pieces, b->n_pieces);
    }
    fed_encoding enc;
    const uint8_t *values;
    uint32_t count;
    fl_status st = fed_piece_parse(piece, n, &enc, &values, &count, err);
    if (st != FL_OK) {
        return st;
    }
    if (b->n_pieces == 0 && (st = open_inbox(b, n_pieces, n_bytes, enc, err)) != FL_OK) {
        return st;
    }
    uint32_t expected = items_in(b->enc, b->n, index);
    if (enc != b->enc || count != expected) {
        fl_fail(err, FL_EFORMAT, "piece %u holds %u values of encoding %d, expected %u of %d",
                index, count, enc, expected, b->enc);
        if (index == 0) {
            start_over(b);
        }
        return FL_EFORMAT;
    }
    uint8_t *to = b->items + (size_t)index * items_per_piece(enc) * kept_bytes(enc);
    if (enc == FED_ENC_BYTES) {
        memcpy(to, values, count);
    } else {
        fed_piece_values((float *)(void *)to, enc, values, count);
    }
    b->next++;
    if (b->next == b->n_pieces || b->next - b->tree.next == FED_TREE_BATCH) {
        fed_tree_add_items(&b->tree, b->enc, b->items, b->n, b->next);
    }
    if (b->next < b->n_pieces) {
        return FL_OK;
    }
    fed_digest found;
    fed_tree_done(&b->tree, &found);
    if (!fed_digest_equal(&found, &b->object)) {
        start_over(b);
        return fl_fail(err, FL_EFORMAT,
                       "the pieces are not those of the object asked for: "
                       "their digest differs");
    }
    b->verified = true;
    return FL_OK;
}

uint32_t fed_inbox_next(const fed_inbox *b)
{
    return b->next;
}

uint32_t fed_inbox_n_pieces(const fed_inbox *b)
{
    return b->n_pieces;
}

bool fed_inbox_done(const fed_inbox *b)
{
    return b->verified;
}

const void *fed_inbox_items(const fed_inbox *b, fed_encoding *enc, uint64_t *n)
{
    FL_REQUIRE(b->verified);
    *enc = b->enc;
    *n = b->n;
    return b->items;
}
