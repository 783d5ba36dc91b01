/*
 * handshakes.c - see handshakes.h
 */
#include "fed/handshakes.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/mem.h"

enum { MAX_FDS = 1 << 20 };

void fed_handshakes_init(fed_handshakes *h, fed_refusals *refusals)
{
    memset(h, 0, sizeof *h);
    h->refusals = refusals;
    struct rlimit files = {1024, 1024};
    getrlimit(RLIMIT_NOFILE, &files);
    h->n_spoke = files.rlim_cur > MAX_FDS ? MAX_FDS : (size_t)files.rlim_cur;
    h->spoke = fl_xcalloc(h->n_spoke, sizeof h->spoke[0]);
}

void fed_handshakes_clear(fed_handshakes *h)
{
    FL_FREE(h->peers);
    FL_FREE(h->spoke);
}

const char *fed_plain_address(const char *address)
{
    return strncmp(address, "::ffff:", 7) == 0 ? address + 7 : address;
}

/* Makes room for a descriptor; false for one beyond all reason. */
static bool peers_reach(fed_handshakes *h, int fd)
{
    if (fd < 0 || fd >= MAX_FDS) {
        return false;
    }
    size_t wanted = (size_t)fd + 1;
    if (wanted > h->n_peers) {
        size_t n = wanted < 64 ? 64 : 2 * wanted;
        h->peers = fl_xrealloc(h->peers, n, sizeof h->peers[0]);
        memset(h->peers[h->n_peers], 0, (n - h->n_peers) * sizeof h->peers[0]);
        h->n_peers = n;
    }
    return true;
}

void fed_handshakes_opened(fed_handshakes *h, int fd)
{
    if (!peers_reach(h, fd)) {
        return;
    }
    if ((size_t)fd < h->n_spoke) {
        atomic_store(&h->spoke[fd], 0);
    }
    struct sockaddr_storage peer;
    socklen_t n = sizeof peer;
    char host[64] = "";
    // The connection may be gone again, and then stays without an address.
    if (getpeername(fd, (struct sockaddr *)&peer, &n) == 0) {
        getnameinfo((struct sockaddr *)&peer, n, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    }
    snprintf(h->peers[fd], sizeof h->peers[fd], "%s", fed_plain_address(host));
}

void fed_handshakes_spoke(fed_handshakes *h, int fd)
{
    if (fd >= 0 && (size_t)fd < h->n_spoke) {
        atomic_store(&h->spoke[fd], 1);
    }
}

void fed_handshakes_failed(fed_handshakes *h, fed_shake_failure why)
{
    if (h->n_pending < FED_HANDSHAKES_PENDING) {
        h->pending[h->n_pending++] = why;
    }
}

static bool has_spoken(fed_handshakes *h, int fd)
{
    return (size_t)fd >= h->n_spoke || atomic_load(&h->spoke[fd]) != 0;
}

void fed_handshakes_closed(fed_handshakes *h, int fd)
{
    static const char *const reasons[] = {
        [FED_SHAKE_NO_CURVE] = "no CURVE handshake",
        [FED_SHAKE_OTHER_KEY] = "handshake for another server's key",
        [FED_SHAKE_MALFORMED] = "malformed handshake",
        [FED_SHAKE_GAVE_UP] = "handshake not completed",
    };
    if (!peers_reach(h, fd) || has_spoken(h, fd)) {
        return;  // an ordinary good-bye
    }
    const char *reason = "no CURVE handshake, or not a word after it";
    if (h->n_pending > 0) {
        fed_shake_failure why = h->pending[0];
        h->n_pending--;
        memmove(h->pending, h->pending + 1, h->n_pending * sizeof h->pending[0]);
        if (why == FED_SHAKE_RECORDED) {
            return;
        }
        reason = reasons[why];
    }
    fed_refusals_add(h->refusals, h->peers[fd], reason, NULL);
}
