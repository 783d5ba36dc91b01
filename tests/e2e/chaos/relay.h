/*
 * relay.h - the line between hospitals and coordinator, as bad as one likes
 *
 * A TCP relay on the loopback address.  Clients connect to it for as long as it
 * lives; where their connections lead may change with every new coordinator.
 * Threads: a relay belongs to one thread; its own loop runs behind it.
 */
#ifndef RELAY_H
#define RELAY_H

#include <stdint.h>

typedef struct relay relay;

/* Listens on a port of its own; NULL when it cannot. */
relay *relay_new(void);
void relay_destroy(relay **r);
int relay_port(const relay *r);
/* Where new connections lead; 0: nowhere, they are closed at once. */
void relay_set_target(relay *r, int port);

/* Each holds until it is told otherwise. */
void relay_set_delay(relay *r, int ms);  // of every block, both ways; 0: none
void relay_set_rate(relay *r,
                    int64_t bytes_a_second);  // a connection and direction; 0: as it comes
void relay_set_hole(relay *r, int is_on);     // nothing passes and nobody is told
/* Resets every connection, in the middle of a message where `bytes` more of it have passed. */
void relay_cut(relay *r, int64_t bytes);
uint64_t relay_n_cut(const relay *r);  // connections that were
void relay_calm(relay *r);             // no fault from here on

#endif
