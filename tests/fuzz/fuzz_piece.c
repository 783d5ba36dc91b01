/*
 * fuzz_piece.c - pieces into an inbox, as a coordinator could send them
 *
 * The input is a row of pieces: index, n_pieces (1 byte each), n_bytes and the
 * piece's size (2 bytes each, little-endian), then the piece.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fed/update.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEAD = 6 };
    fl_err err = FL_ERR_INIT;
    fed_digest wanted;
    memset(&wanted, 7, sizeof wanted);
    fed_inbox *b = NULL;
    FL_REQUIRE(fed_inbox_new(&b, &wanted, 1 << 16, &err) == FL_OK);
    while (size >= HEAD) {
        size_t n = data[4] | (size_t)data[5] << 8;
        if (n > size - HEAD) {
            n = size - HEAD;
        }
        // In a block of its own size, so that a sanitizer sees a step beyond.
        uint8_t *piece = fl_xcalloc(n, 1);
        memcpy(piece, data + HEAD, n);
        fl_status st = fed_inbox_add(b, data[0], data[1], data[2] | (uint64_t)data[3] << 8, piece,
                                     n, &err);
        FL_REQUIRE(st == FL_OK || st == FL_EFORMAT || st == FL_ELIMIT);
        FL_REQUIRE(!fed_inbox_done(b));  // that digest cannot be met
        free(piece);
        data += HEAD + n;
        size -= HEAD + n;
    }
    fed_inbox_destroy(&b);
    return 0;
}
