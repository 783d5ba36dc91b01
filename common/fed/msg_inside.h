/*
 * msg_inside.h - what msg.c and msg_unpack.c share; for them alone
 *
 * msg.c writes messages, and says what a text may hold; msg_unpack.c is the border on which
 * outside bytes are checked.
 */
#ifndef FED_MSG_INSIDE_H
#define FED_MSG_INSIDE_H

#include "fed/msg.h"

#include "fed.pb-c.h"

enum {
    MSG_MAX_HISTOGRAM_BINS = 1000,
    // The numbers of Header.body run in the order of fed_msg_type.
    MSG_FIRST_BODY = CONSILIUM__HEADER__BODY_ENROL
};
_Static_assert(CONSILIUM__HEADER__BODY_ROTATED - MSG_FIRST_BODY == FED_MSG_ROTATED, "body");

/*
 * The UTF-8 character at p: its bytes, or 0 when it is not well-formed
 * (RFC 3629) or not printable: control characters, line separators and marks
 * that turn the direction of writing, with which a name could pose as another.
 */
size_t fed_msg_printable(const uint8_t *p);
/* 0: there is none. */
bool fed_msg_is_temperature(double x);

#endif
