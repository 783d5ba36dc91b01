/*
 * pair.h - a coordinator's link and sites' links for tests of transports
 */
#ifndef PAIR_H
#define PAIR_H

#include "fed/transport.h"

enum { PAIR_MAX_ALLOWED = 64 };

/* Who is let in; set before listening, `n` may grow later. */
typedef struct {
    fed_public_key keys[PAIR_MAX_ALLOWED];
    _Atomic int n;
} pair_list;
void pair_allow(pair_list *list, const fed_identity *id);
bool pair_is_allowed(void *list, const fed_public_key *key); // a fed_allow_fn

/* Waits up to ten seconds for the next message; fails the test without one. */
void pair_receive(fed_link *l, fed_packet *out);
/* Sends text as the header. */
void pair_send(fed_link *l, const fed_route *to, const char *text);
/* The header is this text. */
void pair_expect(const fed_packet *p, const char *text);
/* Sends text from the client and has it answered by the server. */
void pair_talk(fed_link *client, fed_link *server, const fed_identity *who);
/* Waits until the link is up, up to ten seconds. */
void pair_wait_up(fed_link *client);
/* Waits for the next refusal whose reason has this part. */
void pair_wait_refusal(fed_link *server, fed_refusal *out, const char *part);

#endif
