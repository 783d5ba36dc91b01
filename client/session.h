/*
 * session.h - one site's conversation with its coordinator
 *
 * The site's half of PROTOCOL.md as a machine (drawn at the top of session.c):
 * messages, finished works and time go in, messages and works come out.  Every
 * step can be repeated; what was lost on the way is said again after a while,
 * so a session survives the loss of any message and the death of either side.
 * Threads: all sessions of a process belong to its network thread.
 */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "client/home.h"
#include "client/pool.h"
#include "fed/transport.h"

typedef struct session session;

/* h and p are borrowed; h is locked.  Connects in the background. */
session *session_new(home *h, pool *p);
/* No work of the session may be in the pool any more. */
void session_destroy(session **s);

/* Does everything there is to do now.  Call when it stirs, and when session_next_ms is over. */
void session_step(session *s, int64_t now_ms);
/* After fed_wait: did something come on the link, or is the work over? */
bool session_stirs(const session *s);
int64_t session_next_ms(const session *s, int64_t now_ms);  // from now, >= 0
fed_link *session_link(const session *s);                   // NULL: none now

/* What became of the first job of this process. */
typedef enum { SESSION_SERVES, SESSION_DONE, SESSION_FAILED } session_outcome;
session_outcome session_first_job(const session *s);
const char *session_why(const session *s);  // FAILED: the sentence

/* Says Bye and cancels what is being worked on. */
void session_leave(session *s, const char *text);

#endif
