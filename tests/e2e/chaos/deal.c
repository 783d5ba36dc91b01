/*
 * deal.c - see deal.h
 */
#include "deal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "liar.h"

enum { MAX_PLACES = 256, LINES = 45 };  // of the record of a run, about

/* A place where a program kills itself. */
typedef struct {
    fault_kind kind;
    int rank;  // later in the run
    char spec[PLAY_SPEC_BYTES];
} place;

typedef struct {
    place places[MAX_PLACES];
    size_t n;
} deck;

static void add(deck *d, fault_kind kind, int rank, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void add(deck *d, fault_kind kind, int rank, const char *fmt, ...)
{
    va_list args;
    if (d->n < MAX_PLACES) {
        place *p = &d->places[d->n++];
        p->kind = kind;
        p->rank = rank;
        va_start(args, fmt);
        vsnprintf(p->spec, sizeof p->spec, fmt, args);
        va_end(args);
    }
}

static const char *const both[] = {"before", "after"};

/* Every transition and every acceptance, as audit.jsonl writes them; what is written between. */
static void fill_coordinator(deck *d)
{
    static const char *const round_states[] = {"selected", "training", "aggregating", "evaluating"};
    static const char *const end_states[] = {"choosing", "testing", "reporting", "handing out",
                                             "finished"};
    static const char *const files[] = {"round-0001", "state-0001",        "round-0002",
                                        "state-0002", "final.safetensors", "final.onnx",
                                        "report.json"};
    static const int file_ranks[] = {14, 14, 34, 34, 90, 90, 91};
    for (int w = 0; w < 2; w++) {
        for (int round = 1; round <= 2; round++) {
            for (int s = 0; s < 4; s++) {
                add(d, FAULT_KILL_TRANSITION, 20 * round - 10 + 4 * s + w,
                    "commit|%s|kill|1|\"state\":\"%s\"|\"round\":%d,", both[w], round_states[s],
                    round);
            }
            add(d, FAULT_KILL_ACCEPT, 20 * round - 4 + w,
                "commit|%s|kill|1|\"kind\":\"train\"|\"round\":%d,|contribution", both[w], round);
            add(d, FAULT_KILL_ACCEPT, 20 * round - 3 + w,
                "commit|%s|kill|2|\"kind\":\"train\"|\"round\":%d,|contribution", both[w], round);
            add(d, FAULT_KILL_ACCEPT, 20 * round + 5 + w,
                "commit|%s|kill|1|\"kind\":\"score\"|\"round\":%d,|contribution", both[w], round);
        }
        for (int s = 0; s < 5; s++) {
            add(d, FAULT_KILL_TRANSITION, 60 + 8 * s + w, "commit|%s|kill|1|\"state\":\"%s\"",
                both[w], end_states[s]);
        }
        add(d, FAULT_KILL_ACCEPT, 2 + w, "commit|%s|kill|1|\"kind\":\"check\"|contribution",
            both[w]);
        add(d, FAULT_KILL_ACCEPT, 3 + w, "commit|%s|kill|2|\"kind\":\"check\"|contribution",
            both[w]);
        add(d, FAULT_KILL_ACCEPT, 70 + w, "commit|%s|kill|1|\"kind\":\"test\"|contribution",
            both[w]);
        add(d, FAULT_KILL_ACCEPT, 92 + w, "commit|%s|kill|1|\"kind\":\"done\"|contribution",
            both[w]);
        for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
            add(d, FAULT_KILL_FILE, file_ranks[f], "rename|%s|kill|1|%s", both[w], files[f]);
        }
        add(d, FAULT_KILL_FILE, 1, "fsync|%s|kill|2|federation.db-wal", both[w]);
        for (int nth = 1; nth <= 13; nth += 4) {
            add(d, FAULT_KILL_FILE, nth, "fsync|%s|kill|%d|state.db-wal", both[w], nth);
        }
        for (int nth = 1; nth <= 7; nth += 2) {
            add(d, FAULT_KILL_FILE, 12, "write|%s|kill|%d|/spool/train", both[w], nth);
        }
    }
    for (int nth = 1; nth <= 13; nth += 3) {
        add(d, FAULT_KILL_FILE, nth, "write||tear|%d|audit.jsonl", nth);
        add(d, FAULT_KILL_FILE, 12 + nth, "write||tear|%d|/spool/train", 1 + nth / 2);
    }
}

static void fill_client(deck *d)
{
    static const char *const kinds[] = {"update-0000000001",
                                        "score-0000000001",
                                        "update-0000000002",
                                        "score-0000000002",
                                        "test",
                                        "done"};
    for (int w = 0; w < 2; w++) {
        add(d, FAULT_KILL_CLIENT_FILE, 5, "rename|%s|kill|1|outbox|check", both[w]);
        add(d, FAULT_KILL_CLIENT_FILE, 5, "fsync|%s|kill|1|outbox|check", both[w]);
        for (int k = 0; k < 6; k++) {
            add(d, FAULT_KILL_CLIENT_FILE, 10 * (k + 1), "rename|%s|kill|1|outbox|%s", both[w],
                kinds[k]);
            add(d, FAULT_KILL_CLIENT_FILE, 10 * (k + 1), "fsync|%s|kill|1|outbox|%s", both[w],
                kinds[k]);
        }
        add(d, FAULT_KILL_CLIENT_FILE, 70, "rename|%s|kill|1|runs/chaos|final.onnx", both[w]);
        for (int nth = 1; nth <= 10; nth += 2) {
            add(d, FAULT_KILL_CLIENT_FILE, 4 * nth, "fsync|%s|kill|%d|receipts", both[w], nth);
        }
        for (int nth = 1; nth <= 20; nth += 2) {
            add(d, FAULT_KILL_CLIENT_SEND, 3 * nth, "send|%s|kill|%d", both[w], nth);
        }
    }
    for (int nth = 1; nth <= 10; nth += 3) {
        add(d, FAULT_KILL_CLIENT_FILE, 4 * nth, "write||tear|%d|receipts", nth);
        add(d, FAULT_KILL_CLIENT_FILE, 10, "write||tear|%d|outbox|update", 1 + nth / 3);
    }
}

static void shuffle(deck *d, uint64_t seed, const char *name)
{
    fl_rng rng;
    fl_rng_init(&rng, seed, "chaos deck", name, 0);
    for (size_t i = d->n; i > 1; i--) {
        size_t k = (size_t)fl_rng_below(&rng, i);
        place held = d->places[i - 1];
        d->places[i - 1] = d->places[k];
        d->places[k] = held;
    }
}

const char *deal_name(deal_kind kind)
{
    static const char *const names[DEAL_N] = {"calls", "instant", "line", "disk",
                                              "power", "lies",    "gone"};
    return names[kind];
}

// ------------------------------------------------------------------ one run

static fault *put(plan *p, fault_kind kind, int who)
{
    FL_REQUIRE(p->n < PLAY_MAX_FAULTS);
    fault *f = &p->faults[p->n++];
    *f = (fault){.kind = kind, .who = who};
    return f;
}

static void put_place(plan *p, const deck *d, size_t i, int who)
{
    const place *from = &d->places[i % d->n];
    fault *f = put(p, from->kind, who);
    f->rank = from->rank;
    memcpy(f->spec, from->spec, sizeof f->spec);
}

static int any_site(fl_rng *rng)
{
    return (int)fl_rng_below(rng, WORLD_SITES);
}

/* From outside, some time in the run. */
static fault *put_outside(plan *p, fl_rng *rng, fault_kind kind, int who, int for_ms)
{
    fault *f = put(p, kind, who);
    f->at_line = 1 + (size_t)fl_rng_below(rng, LINES - 5);
    f->after_ms = (int)fl_rng_below(rng, 200);
    f->for_ms = for_ms;
    return f;
}

static void put_line(plan *p, fl_rng *rng, int which)
{
    fault *f;
    switch (which % 4) {
    case 0:
        f = put_outside(p, rng, FAULT_CUT, WORLD_ACTORS, 50);
        f->size = 1 + (int64_t)fl_rng_below(rng, 400000);
        break;
    case 1:
        f = put_outside(p, rng, FAULT_DELAY, WORLD_ACTORS, 1500);
        f->size = 20 + (int64_t)fl_rng_below(rng, 200);
        break;
    case 2:
        f = put_outside(p, rng, FAULT_THROTTLE, WORLD_ACTORS, 4000);
        f->size = 125000;
        break;
    default:
        put_outside(p, rng, FAULT_HOLE, WORLD_ACTORS, 300 + (int)fl_rng_below(rng, 1500));
    }
}

static void put_calls(plan *p, const deck *coordinator, const deck *client, size_t turn,
                      fl_rng *rng, int n_coordinator, int n_client)
{
    for (int i = 0; i < n_coordinator; i++) {
        put_place(p, coordinator, turn * (size_t)n_coordinator + (size_t)i, WORLD_COORDINATOR);
    }
    for (int i = 0; i < n_client; i++) {
        put_place(p, client, turn * (size_t)n_client + (size_t)i, any_site(rng));
    }
}

static void put_disk(plan *p, fl_rng *rng, size_t turn)
{
    int site = any_site(rng), other = (site + 1) % WORLD_SITES;
    put_outside(p, rng, FAULT_DISK_FULL, turn % 2 == 0 ? WORLD_COORDINATOR : site, 1500);
    put_outside(p, rng, FAULT_READ_ONLY, turn % 2 == 0 ? site : WORLD_COORDINATOR, 800);
    fault *f = put(p, FAULT_FSYNC, turn % 2 == 0 ? other : WORLD_COORDINATOR);
    if (f->who == WORLD_COORDINATOR) {
        int nth = 1 + (int)fl_rng_below(rng, 20);
        snprintf(f->spec, sizeof f->spec, "fsync||fail|%d-%d|state.db", nth, nth + 3);
    } else {
        snprintf(f->spec, sizeof f->spec, "fsync||fail|%d|outbox", 1 + (int)fl_rng_below(rng, 4));
    }
    f = put(p, FAULT_CLOCK, turn % 2 == 0 ? WORLD_COORDINATOR : other);
    snprintf(f->spec, sizeof f->spec, "clock||%s3600|%d", turn % 4 < 2 ? "+" : "-",
             1 + (int)fl_rng_below(rng, 40));
    f = put(p, FAULT_CLOCK, 3 - site - other);
    snprintf(f->spec, sizeof f->spec, "clock||%s3600|%d", turn % 4 < 2 ? "-" : "+",
             1 + (int)fl_rng_below(rng, 10));
}

void deal(plan *out, uint64_t seed, size_t number, deal_kind kind)
{
    static const deal_kind turns[] = {DEAL_CALLS, DEAL_LINE,  DEAL_CALLS,   DEAL_DISK,  DEAL_LIES,
                                      DEAL_CALLS, DEAL_POWER, DEAL_INSTANT, DEAL_CALLS, DEAL_GONE};
    enum { N_TURNS = sizeof turns / sizeof *turns };
    static deck coordinator, client;
    fl_rng rng;
    size_t turn = kind == DEAL_N ? number / N_TURNS : number;
    kind = kind == DEAL_N ? turns[number % N_TURNS] : kind;
    *out = (plan){.patience = "600s"};
    coordinator.n = client.n = 0;
    fill_coordinator(&coordinator);
    fill_client(&client);
    shuffle(&coordinator, seed, "coordinator");
    shuffle(&client, seed, "client");
    fl_rng_init(&rng, seed, "chaos run", "", (uint32_t)number);
    switch (kind) {
    case DEAL_CALLS:
        put_calls(out, &coordinator, &client, number, &rng, 3, 3);
        put_line(out, &rng, (int)fl_rng_below(&rng, 4));
        break;
    case DEAL_INSTANT:
        for (int i = 0; i < 2; i++) {
            put_outside(out, &rng, FAULT_KILL_COORDINATOR, WORLD_COORDINATOR, 0);
            put_outside(out, &rng, FAULT_KILL_CLIENT, any_site(&rng), 0);
        }
        put_outside(out, &rng, FAULT_KILL_ALL, WORLD_COORDINATOR, 0);
        put_outside(out, &rng, FAULT_STOP_COORDINATOR, WORLD_COORDINATOR, 400);
        put_outside(out, &rng, FAULT_STOP_CLIENT, any_site(&rng), 700);
        break;
    case DEAL_LINE:
        for (int i = 0; i < 4; i++) {
            put_line(out, &rng, i);
        }
        put_line(out, &rng, 0);
        put_outside(out, &rng, FAULT_KILL_COORDINATOR, WORLD_COORDINATOR, 0);
        break;
    case DEAL_DISK:
        put_disk(out, &rng, turn);
        break;
    case DEAL_POWER:
        for (int i = 0; i < 3; i++) {
            put_outside(out, &rng, FAULT_POWER_CUT, WORLD_COORDINATOR, 0);
        }
        put_outside(out, &rng, FAULT_KILL_CLIENT, any_site(&rng), 0);
        put_outside(out, &rng, FAULT_STOP_CLIENT, any_site(&rng), 500);
        break;
    case DEAL_LIES:
        out->has_liar = true;
        put(out, FAULT_LIE, WORLD_LIAR);
        snprintf(out->lie, sizeof out->lie, "%s", liar_lie(turn));
        put_outside(out, &rng, FAULT_KILL_COORDINATOR, WORLD_COORDINATOR, 0);
        put_line(out, &rng, 0);
        break;
    default:
        out->patience = turn % 4 < 2 ? "2s" : "2s, late: carry";
        out->may_lack = true;
        if (turn % 2 == 0) {
            put_outside(out, &rng, FAULT_GONE, any_site(&rng), 5000);
            put_outside(out, &rng, FAULT_KILL_COORDINATOR, WORLD_COORDINATOR, 0);
        } else {
            put_outside(out, &rng, FAULT_REMOVED, any_site(&rng), 0);
            put_line(out, &rng, 0);
        }
    }
}

char *deal_describe(const plan *p)
{
    fl_buf out = FL_BUF_INIT;
    for (size_t i = 0; i < p->n; i++) {
        const fault *f = &p->faults[i];
        const char *who = f->who == WORLD_COORDINATOR ? "coordinator"
                          : f->who == WORLD_ACTORS    ? "line"
                                                      : world_site(f->who);
        fl_buf_printf(&out, "  %s%s: %s", f->struck ? "" : "(not reached) ", who,
                      fault_name(f->kind));
        if (f->spec[0] != '\0') {
            fl_buf_printf(&out, ", %s\n", f->spec);
        } else if (f->kind == FAULT_LIE) {
            fl_buf_printf(&out, ", %s\n", p->lie);
        } else {
            fl_buf_printf(&out, ", line %zu + %d ms, %lld, for %d ms\n", f->at_line, f->after_ms,
                          (long long)f->size, f->for_ms);
        }
    }
    return fl_buf_take(&out);
}
