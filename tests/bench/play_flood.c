/*
 * play_flood.c - somebody who wants the coordinator to have no time for others
 *
 * usage: play_flood stranger PORT RATE SECONDS
 *        play_flood enrolled ADDRESS CURVE_KEY KEYS RATE SECONDS
 *
 * stranger: has no key.  Opens TCP connections to 127.0.0.1, RATE a second, says what is no
 * ZeroMQ on each and goes.  enrolled: has the keys of a site (the folder KEYS) and sends
 * RATE messages a second that are none; a connection that was ended is opened anew at
 * once, which the real client would not do.  Prints how many went out.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/sys.h"
#include "fed/identity.h"
#include "fed/transport.h"

enum { N_LINKS = 8, MAX_A_LINK = 400, LINK_MS = 2000, JUNK_BYTES = 48 };

typedef struct {
    double since, rate;
    long sent;
} pace;

/* Sleeps until the next one is due. */
static void keep_pace(pace *p)
{
    double due = p->since + (double)p->sent / p->rate;
    double wait = due - fl_now();
    if (wait > 0.001) {
        poll(NULL, 0, (int)(wait * 1000));
    }
}

static void dial_and_go(int port, const void *junk, size_t n)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};  // no port is kept in TIME_WAIT
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) {
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0) {
        (void)send(fd, junk, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    close(fd);
}

static void fill(uint8_t junk[static JUNK_BYTES], fl_rng *rng)
{
    for (int i = 0; i < JUNK_BYTES; i++) {
        junk[i] = (uint8_t)fl_rng_below(rng, 256);
    }
}

static void be_a_stranger(int port, pace *p, double until, fl_rng *rng)
{
    uint8_t junk[JUNK_BYTES];
    while (fl_now() < until) {
        fill(junk, rng);
        dial_and_go(port, junk, sizeof junk);
        p->sent++;
        keep_pace(p);
    }
}

typedef struct {
    fed_link *link;
    int64_t since_ms;
    int n;
} door;

static void open_door(door *d, const char *address, const fed_public_key *server,
                      const fed_identity *id)
{
    fl_err err = FL_ERR_INIT;
    fed_link_close(&d->link);
    if (fed_connect(&d->link, address, server, id, &err) != FL_OK) {
        fprintf(stderr, "play_flood: %s\n", err.text);
        exit(1);
    }
    d->since_ms = fl_now_ms();
    d->n = 0;
}

static void be_a_site(const char *address, const fed_public_key *server, const fed_identity *id,
                      pace *p, double until, fl_rng *rng)
{
    door doors[N_LINKS] = {{NULL, 0, 0}};
    uint8_t junk[JUNK_BYTES];
    while (fl_now() < until) {
        bool any = false;
        for (int i = 0; i < N_LINKS; i++) {
            door *d = &doors[i];
            if (d->link == NULL || d->n >= MAX_A_LINK || fl_now_ms() - d->since_ms > LINK_MS) {
                open_door(d, address, server, id);
            }
            for (int k = 0; k < 16 && fl_now() < until; k++) {
                fill(junk, rng);
                if (fed_send(d->link, NULL, junk, sizeof junk, NULL, 0, NULL) != FL_OK) {
                    break;
                }
                d->n++;
                p->sent++;
                any = true;
            }
        }
        if (!any) {
            poll(NULL, 0, 1);
        }
        keep_pace(p);
    }
    for (int i = 0; i < N_LINKS; i++) {
        fed_link_close(&doors[i].link);
    }
}

int main(int argc, char **argv)
{
    bool stranger = argc == 5 && strcmp(argv[1], "stranger") == 0;
    bool enrolled = argc == 7 && strcmp(argv[1], "enrolled") == 0;
    if (!stranger && !enrolled) {
        fprintf(stderr, "usage: play_flood stranger PORT RATE SECONDS\n"
                        "       play_flood enrolled ADDRESS CURVE_KEY KEYS RATE SECONDS\n");
        return 2;
    }
    fl_err err = FL_ERR_INIT;
    fed_identity *id = NULL;
    fed_public_key server;
    fl_rng rng;
    fed_init();
    fl_rng_init(&rng, 1, "flood", "", 0);
    pace p = {.since = fl_now(), .rate = atof(argv[argc - 2])};
    double until = p.since + atof(argv[argc - 1]);
    if (stranger) {
        be_a_stranger(atoi(argv[2]), &p, until, &rng);
    } else {
        if (fl_unhex(server.bytes, sizeof server.bytes, argv[3], &err) != FL_OK ||
            fed_identity_read(&id, argv[4], &err) != FL_OK) {
            fprintf(stderr, "play_flood: %s\n", err.text);
            return 1;
        }
        be_a_site(argv[2], &server, id, &p, until, &rng);
    }
    printf("%ld\n", p.sent);
    fed_identity_destroy(&id);
    return 0;
}
