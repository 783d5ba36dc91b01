/*
 * doctor.c - `client doctor`: why a hospital's client does not get through, a line a cause
 *
 * Goes the way of `client run` step by step and says how far it comes.  Only
 * when no client serves the home does it say Hello, for that would take the
 * conversation away from it; that Hello is in receipts.jsonl like every other.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"
#include "client/fed_commands.h"
#include "client/home.h"
#include "client/jit.h"
#include "client/outbox.h"
#include "client/policy.h"
#include "client/way.h"
#include "fed/transport.h"

enum {
    CONNECT_MS = 10000,
    HANDSHAKE_MS = 15000,
    WELCOME_MS = 10000,
    CLOCK_MS = 60000,          // more looks wrong; it matters for invitations and the record
    TRIAL_BYTES = 1 << 20,     // written and flushed
    LITTLE_DISK = 1 << 30      // bytes; less is a warning
};

static struct {
    const char *home, *proxy;
    bool json;
} doctor;

static const fl_opt options[] = {
    {"home", FL_OPT_TEXT, "DIR", "the hospital's home", &doctor.home, 0, 0, true},
    {"proxy", FL_OPT_TEXT, "URL", "another proxy than client.yaml's, or none", &doctor.proxy, 0, 0,
     false},
    {"json", FL_OPT_FLAG, NULL, "as a JSON list", &doctor.json, 0, 0, false},
    {0},
};

const fl_opt *client_doctor_options(void)
{
    return options;
}

// ------------------------------------------------------------------ findings

typedef enum { GOOD, ODD, BAD, UNKNOWN } finding;

typedef struct {
    json_t *list;  // [{"what", "result", "text"}]
    int n_bad;
} findings;

static void find(findings *f, const char *what, finding result, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void find(findings *f, const char *what, finding result, const char *format, ...)
{
    static const char *const names[] = {"ok", "odd", "FAILS", "-"};
    char text[FL_ERR_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    f->n_bad += result == BAD;
    json_array_append_new(f->list, json_pack("{s:s, s:s, s:s}", "what", what, "result",
                                             names[result], "text", text));
    if (!doctor.json) {
        printf("%-11s %-5s  %s\n", what, names[result], text);
        fflush(stdout);  // the next one may take seconds
    }
}

// ---------------------------------------------------------------- the network

/* What the later lines need of the earlier. */
typedef struct {
    home *home;
    ways ways;
    fed_proxy proxy;
    bool has_proxy;
    bool gets_through;  // a TCP connection to the coordinator
    bool is_served;     // by a running client
    fed_link *link;
    fed_identity *one_time;  // not enrolled yet
} visit;

static fed_patience patience_of(int64_t ms)
{
    return (fed_patience){.until_ms = fl_now_ms() + ms, .stop_fd = -1};
}

static void look_at_way(findings *f, visit *v)
{
    fed_endpoint target;
    fl_err err = FL_ERR_INIT;
    char address[FED_ADDRESS_TEXT], name[FED_PROXY_NAME_BYTES];
    int fd = -1;
    if (fed_endpoint_parse(&target, v->home->address, &err) != FL_OK) {
        find(f, "name", BAD, "%s/client.yaml: %s", v->home->dir, err.text);
        return;
    }
    const fed_endpoint *first = v->has_proxy ? &v->proxy.at : &target;
    if (fed_resolve(address, first, &err) != FL_OK) {
        find(f, "name", BAD, "%s%s", v->has_proxy ? "the proxy: " : "", err.text);
        return;
    }
    find(f, "name", GOOD, "%s%s is %s%s", v->has_proxy ? "the proxy " : "", first->host, address,
         v->has_proxy ? "; it looks up the coordinator's name itself" : "");
    int64_t start = fl_now_ms();
    if (fed_tcp_connect(&fd, address, first, patience_of(CONNECT_MS), &err) != FL_OK) {
        find(f, "route", BAD, "%s: is a firewall in between, does it run there?", err.text);
        return;
    }
    find(f, "route", GOOD, "%s port %s answers after %" PRId64 " ms", address, first->port,
         fl_now_ms() - start);
    if (!v->has_proxy) {
        find(f, "proxy", GOOD, "none is used");
        v->gets_through = true;
    } else if (fed_proxy_ask(fd, &v->proxy, &target, patience_of(CONNECT_MS), &err) != FL_OK) {
        find(f, "proxy", BAD, "%s", err.text);
    } else {
        fed_proxy_name(name, &v->proxy);
        find(f, "proxy", GOOD, "%s connects to %s port %s", name, target.host, target.port);
        v->gets_through = true;
    }
    close(fd);
}

/* True once the link is up; false with its state when it is not going to be. */
static bool wait_for_link(fed_link *link)
{
    int64_t until = fl_now_ms() + HANDSHAKE_MS;
    while (fl_now_ms() < until) {
        if (fed_link_up(link)) {
            return true;
        }
        const char *state = fed_link_state(link);
        if (strncmp(state, "refused", 7) == 0 || strncmp(state, "handshake", 9) == 0) {
            return false;
        }
        fed_wait(&link, 1, NULL, 100);
    }
    return false;
}

/* With the coordinator's key; false: it is not the one that answers, or err says what is wrong. */
static bool connect_with(visit *v, const fed_public_key *key, fl_err *err)
{
    fed_link_close(&v->link);
    if (fed_connect(&v->link, v->home->dial, key, v->one_time != NULL ? v->one_time : v->home->id,
                    err) != FL_OK) {
        return false;
    }
    if (v->has_proxy) {
        fed_link_through(v->link, v->home->address, v->home->via);
    }
    return wait_for_link(v->link);
}

/* What follows from the state in which a link was left. */
static const char *handshake_hint(const visit *v)
{
    const char *state = fed_link_state(v->link);
    if (strncmp(state, "refused", 7) == 0) {
        return v->one_time != NULL
                   ? "; the invitation expired, was replaced by another or was taken back: ask the "
                     "coordinator's people for a new one"
                   : "; this site was removed: ask the coordinator's people, "
                     "`consilium-coordinator sites` tells them";
    }
    if (strncmp(state, "connecting", 10) == 0) {
        return "; something answers there, but not as a coordinator does: is it the right port?";
    }
    return "";
}

static void look_at_handshake(findings *f, visit *v)
{
    fl_err err = FL_ERR_INIT;
    fed_invitation invitation;
    if (!v->gets_through) {
        find(f, "handshake", UNKNOWN, "not tried: there is no way to the coordinator");
        return;
    }
    if (home_invitation(v->home, &invitation, &err)) {
        v->one_time = fed_identity_one_time(invitation.curve_secret);
        fed_invitation_clear(&invitation);
    }
    int64_t start = fl_now_ms();
    if (ways_open(&v->ways, &v->home, 1, doctor.proxy, &err) != FL_OK ||
        (!connect_with(v, &v->home->coordinator_curve, &err) && err.status == FL_OK &&
         (!v->home->has_next || !connect_with(v, &v->home->next.curve, &err)))) {
        find(f, "handshake", BAD, "%s%s",
             err.status != FL_OK ? err.text : fed_link_state(v->link),
             err.status != FL_OK ? "" : handshake_hint(v));
        fed_link_close(&v->link);
        return;
    }
    find(f, "handshake", GOOD, "CURVE, the coordinator has the expected key, after %" PRId64 " ms%s",
         fl_now_ms() - start,
         v->one_time != NULL ? "; with the invitation's key, this site is not enrolled yet" : "");
}

/* Hello, until Welcome.  False: none came; *why says what came instead. */
static bool greet(visit *v, fed_msg *answer, char *why, size_t n)
{
    fed_digest none = {{0}};
    fed_packet packet;
    fl_buf header = FL_BUF_INIT;
    outbox_hello(answer, v->home, &none, (fed_round_no){0}, true);
    fed_msg_pack(answer, &header);
    bool sent = fed_send(v->link, NULL, header.data, header.n, NULL, 0, NULL) == FL_OK;
    fl_buf_clear(&header);
    int64_t until = fl_now_ms() + WELCOME_MS;
    snprintf(why, n, "the coordinator does not answer");
    while (sent && fl_now_ms() < until) {
        while (fed_receive(v->link, &packet)) {
            fl_err err = FL_ERR_INIT;
            if (fed_msg_unpack(answer, packet.header, packet.n_header, &err) != FL_OK) {
                snprintf(why, n, "%s", err.text);
                return false;
            }
            if (answer->type == FED_MSG_REFUSED) {
                snprintf(why, n, "the coordinator refuses: %s", answer->u.refused.text);
                return false;
            }
            if (answer->type == FED_MSG_WELCOME) {
                return true;
            }
        }
        fed_wait(&v->link, 1, NULL, 100);
    }
    return false;
}

/* The order that follows Welcome: it says whether a person must still confirm this site. */
static void look_at_order(findings *f, visit *v, fed_msg *m)
{
    fed_packet packet;
    char fingerprint[FED_FINGERPRINT_BYTES];
    home_fingerprint(fingerprint, v->home);
    bool told = false;
    for (int64_t until = fl_now_ms() + WELCOME_MS; !told && fl_now_ms() < until;) {
        while (!told && fed_receive(v->link, &packet)) {
            told = fed_msg_unpack(m, packet.header, packet.n_header, NULL) == FL_OK &&
                   m->type == FED_MSG_ORDER;
        }
        if (!told) {
            fed_wait(&v->link, 1, NULL, 100);
        }
    }
    if (!told) {
        find(f, "confirmed", UNKNOWN, "the coordinator does not say what this site is to do");
    } else if (m->u.order.key.kind == FED_WAIT &&
               strncmp(m->u.order.text, fed_unconfirmed, strlen(fed_unconfirmed)) == 0) {
        find(f, "confirmed", ODD, "no: %s.  This home's own is %s: compare the two, by telephone say",
             m->u.order.text, fingerprint);
    } else {
        find(f, "confirmed", GOOD, "this site takes part; its fingerprint is %s", fingerprint);
    }
}

static void say_bye(visit *v)
{
    fed_msg *bye = fl_xcalloc(1, sizeof *bye);
    fl_buf header = FL_BUF_INIT;
    bye->type = FED_MSG_BYE;
    snprintf(bye->u.bye.text, sizeof bye->u.bye.text, "client doctor has looked");
    fed_msg_pack(bye, &header);
    fed_send(v->link, NULL, header.data, header.n, NULL, 0, NULL);
    fl_buf_clear(&header);
    free(bye);
}

static void look_at_conversation(findings *f, visit *v)
{
    const char *not_asked = v->link == NULL      ? "not asked: there is no connection"
                            : v->one_time != NULL ? "not asked: this site is not enrolled yet"
                            : v->is_served        ? "not asked: a client serves this home now, and "
                                                    "its log tells"
                                                  : NULL;
    if (not_asked != NULL) {
        find(f, "clock", UNKNOWN, "%s", not_asked);
        find(f, "protocol", UNKNOWN, "%s; this program speaks %d", not_asked,
             FED_PROTOCOL_VERSION);
        find(f, "confirmed", UNKNOWN, "%s", not_asked);
        return;
    }
    char why[FL_ERR_TEXT];
    fed_msg *answer = fl_xcalloc(1, sizeof *answer);
    int64_t asked = fl_wall_ms();
    if (greet(v, answer, why, sizeof why)) {
        int64_t now = fl_wall_ms();
        int64_t ahead = (asked + now) / 2 - answer->u.welcome.time_ms;
        int64_t off = ahead < 0 ? -ahead : ahead;
        find(f, "clock", off < CLOCK_MS ? GOOD : ODD, "%.1f s %s the coordinator's%s",
             (double)off / 1000, ahead < 0 ? "behind" : "ahead of",
             off < CLOCK_MS ? "" : ": one of the two is wrong");
        find(f, "protocol", GOOD, "%d, as the coordinator, which knows this site as %s",
             FED_PROTOCOL_VERSION, answer->u.welcome.site.text);
        look_at_order(f, v, answer);
        say_bye(v);
    } else {
        find(f, "clock", UNKNOWN, "not told");
        find(f, "protocol", BAD, "%s", why);
        find(f, "confirmed", UNKNOWN, "not told");
    }
    free(answer);
}

// ---------------------------------------------------------------- the machine

static void look_at_policy(findings *f, const home *h)
{
    fl_err err = FL_ERR_INIT;
    policy p;
    if (policy_read(&p, h, &err) == FL_OK) {
        find(f, "policy", GOOD, "%s/policy.yaml can be read; %s", h->dir,
             p.approve_all ? "jobs within it begin by themselves"
                           : "every job waits for `consilium-client approve`");
    } else {
        find(f, "policy", BAD, "%s", err.text);
    }
}

/* There, and this user may read it; what is in it: `check-data`. */
static void look_at_data(findings *f, const home *h)
{
    bool is_dir = fl_is_dir(h->data);
    if (access(h->data, is_dir ? R_OK | X_OK : R_OK) != 0) {
        find(f, "data", BAD, "%s, as %s/client.yaml says: %s", h->data, h->dir, strerror(errno));
    } else {
        find(f, "data", GOOD, "%s is there; `consilium-client check-data` tells what is in it",
             h->data);
    }
}

static void look_at_disk(findings *f, const home *h)
{
    fl_err err = FL_ERR_INIT;
    struct statvfs info;
    char *path = home_path(h, "outbox/doctor.tmp");
    char *bytes = fl_xcalloc(TRIAL_BYTES, 1);
    int64_t start = fl_now_ms();
    fl_status st = fl_file_write(path, bytes, TRIAL_BYTES, 0600, &err);
    int64_t took = fl_now_ms() - start;
    unlink(path);
    if (st != FL_OK) {
        find(f, "disk", BAD, "nothing can be written to %s: %s", h->dir, err.text);
    } else if (statvfs(h->dir, &info) != 0) {
        find(f, "disk", ODD, "%s: %s", h->dir, strerror(errno));
    } else {
        double left = (double)info.f_bavail * (double)info.f_frsize;
        find(f, "disk", left >= LITTLE_DISK ? GOOD : ODD,
             "%.1f GB are free under %s; 1 MiB is safely written after %" PRId64 " ms", left / 1e9,
             h->dir, took);
    }
    free(bytes);
    free(path);
}

static void look_at_jit(findings *f)
{
    fl_err err = FL_ERR_INIT;
    if (jit_look(&err) == FL_OK) {
        find(f, "jit", GOOD, "code that is made at run time is allowed");
    } else {
        find(f, "jit", BAD, "%s", err.text);
    }
}

// ------------------------------------------------------------------ the visit

static void clear_visit(visit *v)
{
    fed_link_close(&v->link);
    fed_identity_destroy(&v->one_time);
    ways_close(&v->ways);
    home_close(&v->home);
}

fl_status client_doctor(int argc, char **argv, fl_err *err)
{
    fl_texts pos = {NULL, 0};
    visit v = {.home = NULL};
    findings f = {.list = json_array()};
    fl_err served = FL_ERR_INIT;
    fl_status st = fl_cli_parse(argc, argv, options, 0, 0, &pos, err);
    if (st != FL_OK) {
        goto done;
    }
    fed_init();
    if ((st = home_open(&v.home, doctor.home, err)) != FL_OK ||
        (st = way_proxy(&v.proxy, &v.has_proxy, v.home, doctor.proxy, err)) != FL_OK) {
        goto done;
    }
    v.is_served = home_lock(v.home, 0, &served) != FL_OK;
    look_at_way(&f, &v);
    look_at_handshake(&f, &v);
    look_at_conversation(&f, &v);
    look_at_policy(&f, v.home);
    look_at_data(&f, v.home);
    look_at_disk(&f, v.home);
    look_at_jit(&f);
    if (doctor.json) {
        char *text = fl_json_text(f.list);
        fputs(text, stdout);
        free(text);
    }
    if (f.n_bad > 0) {
        st = fl_fail(err, FL_EIO, "%d of the things that %s needs %s", f.n_bad, v.home->dir,
                     f.n_bad == 1 ? "fails" : "fail");
    }
done:
    clear_visit(&v);
    json_decref(f.list);
    free(pos.items);
    return st;
}
