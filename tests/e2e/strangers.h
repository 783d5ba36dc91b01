/*
 * strangers.h - those who were not invited and try to get in
 *
 * Each tries once and keeps what it was told; see play.h for what they try at.
 */
#ifndef STRANGERS_H
#define STRANGERS_H

#include <stdbool.h>
#include <stddef.h>

#include "child.h"
#include "fed/fed.h"

typedef struct {
    size_t junk_bytes;                               // most that a raw connection was told
    bool plain_heard, unlisted_heard, astray_heard;  // a message came to them
    char unlisted_state[160], astray_state[160];
    int thief_code, late_code, bare_code;
    char *thief_said, *late_said, *bare_said, *forger_said;
    child forger;
    char one_time_answer[3][256];  // to Hello, Fetch and Offer
    int slow;                      // a connection that greets and then says nothing
} strangers_told;
extern strangers_told told;

void strangers_try_junk(void);
void strangers_try_plain_socket(void);
/* With CURVE and keys of its own; says Hello until it is told off.  part: what
 * its link says of itself in the end. */
void strangers_try_keys(const fed_public_key *server, const char *part, char state[static 160],
                        bool *heard);
/* The one-time key of a used invitation still opens the door; behind it there
 * is only the enrolment desk. */
void strangers_try_one_time_key(const char *invitation);
void strangers_try_clients(void);
/* Knocking without end, on a thread of its own. */
void strangers_keep_knocking(void);
void strangers_stop(void);
void strangers_clear(void);

#endif
