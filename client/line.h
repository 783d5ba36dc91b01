/*
 * line.h - the line to the coordinator: connect, enrol, greet
 *
 *   one-time key --Enrolled--> own keys --Hello--> --Welcome--> heard
 *                                  ^                              |
 *                                  +------- new connection -------+
 *
 * While the home holds an invitation the line uses the one-time key and says
 * Enrol; the answer to the same keys is the same, so a lost one locks nobody
 * out.  Then it uses the site's own keys and says Hello on every connection,
 * again and again until Welcome comes.  While the coordinator's keys are about to
 * change, the known and the next ones are tried in turn.  It tries for ever; why it is not
 * connected is in the log.
 * Threads: one, as its session.
 */
#ifndef CLIENT_LINE_H
#define CLIENT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/home.h"
#include "fed/msg.h"
#include "fed/transport.h"

typedef struct {
    home *home;
    fed_link *link;             // NULL: sent away, connects again at greet_at_ms
    fed_identity *one_time;     // while enrolling
    fed_invitation invitation;  // likewise
    uint32_t n_connected;       // the connection that was greeted
    bool heard;                 // Welcome came on it: messages are listened to
    char state[160];            // as last logged
    int64_t greet_at_ms;
    bool said_hello, said_enrol;  // and recorded
    bool uses_next;      // dialled with the coordinator's next keys (peer.h)
    int64_t turn_at_ms;  // while there are such: the other ones are tried then
    bool said_rotated;   // and recorded
} line;

void line_init(line *l, home *h);
void line_clear(line *l);  // hangs up

/* Connects when it is time to, greets a new connection.  digest, committed: of
 * the job the site is in, for Hello. */
void line_tend(line *l, const fed_digest *digest, fed_round_no committed, int64_t now_ms);
/* Queues a message; false when it cannot be taken now. */
bool line_say(line *l, const fed_msg *m, const void *payload, size_t n);
/* Milliseconds until line_tend has something to do; -1: not known. */
int64_t line_next_ms(const line *l, int64_t now_ms);

void line_on_enrolled(line *l, const fed_msg *m, int64_t now_ms);
/* true: the connection is heard from now on; false: it was already, or the coordinator's new keys
 * could not be kept and it is over. */
bool line_on_welcome(line *l, const fed_msg *m, int64_t now_ms);
/* The coordinator's keys are about to change. */
void line_on_rotate(line *l, const fed_msg *m);
/* The keys are others now: connects with them. */
void line_again(line *l, int64_t now_ms);
/* The coordinator does not want us; perhaps later. */
void line_sent_away(line *l, int64_t now_ms);

#endif
