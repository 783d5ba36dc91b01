/*
 * play.c - see play.h
 */
#define _GNU_SOURCE  // nanosleep, truncate

#include "play.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "disk.h"

enum {
    POLL_NS = 10000000,
    AGAIN_MS = 100,     // before who died is started again
    CLIENTS_MS = 20000  // for the clients, after the coordinator has ended
};

const char *fault_name(fault_kind kind)
{
    static const char *const names[FAULT_N] = {
        [FAULT_KILL_TRANSITION] = "coordinator killed at a transition",
        [FAULT_KILL_ACCEPT] = "coordinator killed at an acceptance",
        [FAULT_KILL_FILE] = "coordinator killed at a file",
        [FAULT_KILL_COORDINATOR] = "coordinator killed at any instant",
        [FAULT_KILL_CLIENT_FILE] = "client killed at a file",
        [FAULT_KILL_CLIENT_SEND] = "client killed at a message",
        [FAULT_KILL_CLIENT] = "client killed at any instant",
        [FAULT_KILL_ALL] = "everybody killed at once",
        [FAULT_STOP_COORDINATOR] = "coordinator stopped for a while",
        [FAULT_STOP_CLIENT] = "client stopped for a while",
        [FAULT_POWER_CUT] = "power cut: spools and torn lines lost",
        [FAULT_DELAY] = "line: delay",
        [FAULT_CUT] = "line: cut in mid-message",
        [FAULT_THROTTLE] = "line: 1 Mbit/s",
        [FAULT_HOLE] = "line: nothing passes for a while",
        [FAULT_DISK_FULL] = "disk full",
        [FAULT_READ_ONLY] = "disk read-only",
        [FAULT_FSYNC] = "fsync fails",
        [FAULT_CLOCK] = "clock jumps by an hour",
        [FAULT_GONE] = "client gone for longer than patience",
        [FAULT_REMOVED] = "site removed in mid-round",
        [FAULT_LIE] = "client lies"};
    return names[kind];
}

typedef struct {
    lane *lane;
    plan *plan;
    outcome *out;
    int64_t start_ms, ends_ms;       // ends: it hangs, unless something happens
    int64_t again_ms[WORLD_ACTORS];  // when to start it again; 0: it runs, or is over
    fault *at_call[WORLD_ACTORS];    // what it was started with
    size_t n_fired[WORLD_ACTORS];    // lines of its .fired file that were counted
    bool listens, stopped[WORLD_ACTORS];
    size_t n_lines;       // of the record
    int64_t patience_ms;  // the game's own
} game;

static void strike(game *g, fault *f)
{
    if (!f->struck) {
        f->struck = true;
        g->out->struck[f->kind]++;
    }
}

// ------------------------------------------------------- starting and dying

/* The fault at a call that comes next for the actor. */
static fault *next_at_call(game *g, int who)
{
    fault *best = NULL;
    for (size_t i = 0; i < g->plan->n; i++) {
        fault *f = &g->plan->faults[i];
        if (f->who == who && f->spec[0] != '\0' && !f->over &&
            (best == NULL || f->rank < best->rank)) {
            best = f;
        }
    }
    return best;
}

static void start(game *g, int who)
{
    fault *f = next_at_call(g, who);
    g->at_call[who] = f;
    g->again_ms[who] = 0;
    g->stopped[who] = false;
    lane_start(g->lane, who, f != NULL ? f->spec : NULL);
    if (who == WORLD_COORDINATOR) {
        g->listens = false;
    }
}

/* Faults at calls say so in a file. */
static void look_at_fired(game *g, int who)
{
    char *name = fl_xasprintf("%s.fired", g->lane->actors[who].name),
         *path = lane_path(g->lane, name);
    size_t n = lane_n_lines(path);
    if (n > g->n_fired[who] && g->at_call[who] != NULL) {
        strike(g, g->at_call[who]);
        g->at_call[who]->over = true;
    }
    g->n_fired[who] = n;
    free(path);
    free(name);
}

/* Something that explains why the actor failed just now. */
static bool is_excused(const game *g, int who)
{
    for (size_t i = 0; i < g->plan->n; i++) {
        const fault *f = &g->plan->faults[i];
        bool own = f->who == who && (f->kind == FAULT_DISK_FULL || f->kind == FAULT_READ_ONLY ||
                                     f->kind == FAULT_FSYNC);
        if (own && f->struck) {
            return true;
        }
    }
    return false;
}

static bool is_removed(const game *g, int who)
{
    for (size_t i = 0; i < g->plan->n; i++) {
        const fault *f = &g->plan->faults[i];
        if (f->kind == FAULT_REMOVED && f->who == who && f->struck) {
            return true;
        }
    }
    return false;
}

static void look_at_actor(game *g, int who, int64_t now_ms)
{
    actor *a = &g->lane->actors[who];
    if (a->is_over || g->again_ms[who] != 0 || a->n_started == 0 || !lane_has_ended(g->lane, who)) {
        return;
    }
    look_at_fired(g, who);
    if (a->exit_code == 0 || (who == WORLD_COORDINATOR && a->exit_code == 3)) {
        a->is_over = true;
        return;
    }
    if (is_removed(g, who)) {
        a->is_over = true;  // it was told so
        return;
    }
    if (a->exit_code != 128 + SIGKILL && !is_excused(g, who)) {
        char *said = lane_last_words(g->lane, who);
        story_blame(&g->out->verdict, STORY_DIFFERS, "%s ended by itself with exit code %d: %s",
                    a->name, a->exit_code, said);
        free(said);
    }
    g->again_ms[who] = now_ms + AGAIN_MS;
}

static void kill_now(game *g, int who)
{
    lane_kill(g->lane, who, SIGKILL);
    if (g->stopped[who]) {
        g->stopped[who] = false;
    }
}

// --------------------------------------------------------- faults from outside

/* What was written and not flushed may be gone after a power cut: the spools, and the end of the
 * record's copy. */
static void lose_what_was_not_flushed(game *g)
{
    char *dir = fl_path_join(g->lane->record, "spool"), **names = NULL;
    char *audit = fl_path_join(g->lane->record, "audit.jsonl"), *text = lane_text(audit);
    size_t n = 0, n_audit = strlen(text);
    if (fl_list_dir(&names, &n, dir, NULL) == FL_OK) {
        for (size_t i = 0; i < n; i++) {
            char *path = fl_path_join(dir, names[i]);
            if (i % 2 == 0 ? unlink(path) != 0 : truncate(path, 1000) != 0) {
                // gone already
            }
            free(path);
        }
    }
    if (n_audit > 300 && truncate(audit, (off_t)(n_audit - 100)) != 0) {
        // likewise
    }
    fl_names_free(&names, n);
    free(dir);
    free(audit);
    free(text);
}

static void remove_site(game *g, const fault *f)
{
    char *fed = lane_path(g->lane, "fed"), *log = lane_path(g->lane, "remove.log");
    char *command = fl_xasprintf("'%s' remove '%s' %s >'%s' 2>&1", g->lane->programs->coordinator,
                                 fed, world_site(f->who), log);
    if (system(command) != 0) {
        story_blame(&g->out->verdict, STORY_DIFFERS, "remove failed");
    }
    free(command);
    free(fed);
    free(log);
}

static char *disk_of(const game *g, const fault *f)
{
    char *name = f->who == WORLD_COORDINATOR ? fl_xstrdup("fed")
                                             : fl_xasprintf("home-%s", world_site(f->who));
    char *path = lane_path(g->lane, name);
    free(name);
    return path;
}

static void begin_fault(game *g, fault *f)
{
    relay *line = g->lane->relay;
    char *disk;
    switch (f->kind) {
    case FAULT_KILL_COORDINATOR:
    case FAULT_KILL_CLIENT:
        kill_now(g, f->who);
        break;
    case FAULT_KILL_ALL:
        for (int who = 0; who < WORLD_ACTORS; who++) {
            kill_now(g, who);
        }
        break;
    case FAULT_POWER_CUT:
        kill_now(g, WORLD_COORDINATOR);
        while (!lane_has_ended(g->lane, WORLD_COORDINATOR)) {
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        }
        lose_what_was_not_flushed(g);
        break;
    case FAULT_STOP_COORDINATOR:
    case FAULT_STOP_CLIENT:
    case FAULT_GONE:
        lane_kill(g->lane, f->who, SIGSTOP);
        g->stopped[f->who] = true;
        break;
    case FAULT_DELAY:
        relay_set_delay(line, (int)f->size);
        break;
    case FAULT_THROTTLE:
        relay_set_rate(line, f->size);
        break;
    case FAULT_HOLE:
        relay_set_hole(line, 1);
        break;
    case FAULT_CUT:
        relay_cut(line, f->size);
        break;
    case FAULT_DISK_FULL:
        disk = disk_of(g, f);
        disk_fill(disk);
        free(disk);
        break;
    case FAULT_READ_ONLY:  // a disk that is in use cannot be made so: it is when one starts
        kill_now(g, f->who);
        while (!lane_has_ended(g->lane, f->who)) {
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        }
        disk = disk_of(g, f);
        disk_set_read_only(disk, true);
        free(disk);
        break;
    case FAULT_REMOVED:
        remove_site(g, f);
        break;
    default:
        break;
    }
    strike(g, f);
}

static void end_fault(game *g, fault *f)
{
    relay *line = g->lane->relay;
    char *disk;
    switch (f->kind) {
    case FAULT_STOP_COORDINATOR:
    case FAULT_STOP_CLIENT:
    case FAULT_GONE:
        lane_kill(g->lane, f->who, SIGCONT);
        g->stopped[f->who] = false;
        break;
    case FAULT_DELAY:
        relay_set_delay(line, 0);
        break;
    case FAULT_THROTTLE:
        relay_set_rate(line, 0);
        break;
    case FAULT_HOLE:
        relay_set_hole(line, 0);
        break;
    case FAULT_DISK_FULL:
        disk = disk_of(g, f);
        disk_empty(disk);
        free(disk);
        break;
    case FAULT_READ_ONLY:
        disk = disk_of(g, f);
        disk_set_read_only(disk, false);
        free(disk);
        break;
    default:
        break;
    }
}

/* Whom a fault needs to be there; nobody is killed twice at once. */
static bool can_strike(const game *g, const fault *f)
{
    if (f->kind == FAULT_KILL_ALL || f->who == WORLD_ACTORS) {
        return true;
    }
    const actor *a = &g->lane->actors[f->who];
    return a->pid != 0 && !g->stopped[f->who];
}

static void look_at_fault(game *g, fault *f, int64_t now_ms)
{
    if (f->over || f->spec[0] != '\0' || f->kind == FAULT_LIE) {
        return;
    }
    if (!f->on && f->due_ms == 0 && g->n_lines >= f->at_line) {
        f->due_ms = now_ms + f->after_ms;
    }
    if (!f->on && f->due_ms != 0 && now_ms >= f->due_ms && can_strike(g, f)) {
        begin_fault(g, f);
        f->on = true;
        f->until_ms = now_ms + f->for_ms;
    }
    if (f->on && now_ms >= f->until_ms) {
        end_fault(g, f);
        f->over = true;
    }
}

// ------------------------------------------------------------------- the game

static void turn(game *g)
{
    int64_t now_ms = fl_now_ms();
    char *record = fl_path_join(g->lane->record, "audit.jsonl");
    size_t n_lines = lane_n_lines(record);
    g->ends_ms = n_lines != g->n_lines ? now_ms + g->patience_ms : g->ends_ms;
    g->n_lines = n_lines;
    free(record);
    for (int who = 0; who < WORLD_ACTORS; who++) {
        look_at_actor(g, who, now_ms);
        bool dead_disk = false;
        for (size_t i = 0; i < g->plan->n; i++) {
            const fault *f = &g->plan->faults[i];
            dead_disk = dead_disk || (f->kind == FAULT_DISK_FULL && f->who == who && f->on &&
                                      !f->over);  // who finds it full says so and waits for people
        }
        if (g->again_ms[who] != 0 && now_ms >= g->again_ms[who] && !dead_disk) {
            start(g, who);
        }
        if (g->at_call[who] != NULL && !g->at_call[who]->over) {
            look_at_fired(g, who);
        }
    }
    if (!g->listens && g->lane->actors[WORLD_COORDINATOR].pid != 0) {
        g->listens = lane_listens(g->lane);
    }
    for (size_t i = 0; i < g->plan->n; i++) {
        look_at_fault(g, &g->plan->faults[i], now_ms);
    }
    nanosleep(&(struct timespec){0, POLL_NS}, NULL);
}

/* Faults that are still on end; nobody stays stopped. */
static void calm(game *g)
{
    for (size_t i = 0; i < g->plan->n; i++) {
        fault *f = &g->plan->faults[i];
        if (f->on && !f->over) {
            end_fault(g, f);
        }
        f->over = true;
    }
    relay_calm(g->lane->relay);
}

static bool clients_are_over(const game *g)
{
    for (int who = 0; who < WORLD_COORDINATOR; who++) {
        if (!g->lane->actors[who].is_over) {
            return false;
        }
    }
    return true;
}

/* The coordinator has ended: so do the clients, or they are asked to.  One that was killed when it
 * had everything has nothing to come back for. */
static void end_clients(game *g)
{
    int64_t until = fl_now_ms() + CLIENTS_MS, ask = fl_now_ms() + 3000;
    while (!clients_are_over(g) && fl_now_ms() < until) {
        for (int who = 0; who < WORLD_COORDINATOR; who++) {
            actor *a = &g->lane->actors[who];
            if (a->pid == 0 || lane_has_ended(g->lane, who)) {
                a->is_over = true;
            } else if (fl_now_ms() >= ask) {
                lane_kill(g->lane, who, SIGTERM);
            }
        }
        nanosleep(&(struct timespec){0, POLL_NS}, NULL);
    }
    if (!clients_are_over(g)) {
        story_blame(&g->out->verdict, STORY_HANGS, "a client did not end when it was asked to");
    }
}

// ------------------------------------------------------------------ afterwards

/* Blames with the last words of what this command said, on one line. */
static void must_hold(game *g, const char *command, const char *what)
{
    enum { WORDS = 250 };
    char *log = lane_path(g->lane, "verify.log"), *before = lane_text(log),
         *whole = fl_xasprintf("%s >>'%s' 2>&1", command, log);
    if (system(whole) != 0) {
        char *text = lane_text(log), *said = text + strlen(before);
        size_t n = strlen(said);
        for (char *c = said; *c != '\0'; c++) {
            *c = *c == '\n' ? ' ' : *c;
        }
        story_blame(&g->out->verdict, STORY_UNPROVEN, "%s: %s", what,
                    said + (n > WORDS ? n - WORDS : 0));
        free(text);
    }
    free(before);
    free(whole);
    free(log);
}

static void verify(game *g)
{
    lane *l = g->lane;
    char *command = fl_xasprintf("'%s' verify '%s'", l->programs->coordinator, l->record);
    must_hold(g, command, "coordinator verify");
    free(command);
    for (int site = 0; site < WORLD_SITES; site++) {
        command = fl_xasprintf("'%s' verify --home '%s/home-%s' '%s'", l->programs->client,
                               l->run_dir, world_site(site), l->record);
        must_hold(g, command, world_site(site));
        free(command);
    }
}

static void judge(game *g, const char *undisturbed)
{
    outcome *out = g->out;
    int code = g->lane->actors[WORLD_COORDINATOR].exit_code;
    verify(g);
    out->story = story_read(g->lane, &out->verdict);
    if ((out->verdict.n_absent > 0) != (code == 3)) {
        story_blame(&out->verdict, STORY_UNSAID, "%zu absences, and the exit code is %d",
                    out->verdict.n_absent, code);
    }
    if (undisturbed != NULL && !g->plan->may_lack) {
        story_compare(out->story, undisturbed, &out->verdict);
    }
}

/* Faults that need a file system of their own; those that cannot be had are left out. */
static void mount_disks(game *g)
{
    for (size_t i = 0; i < g->plan->n; i++) {
        fault *f = &g->plan->faults[i];
        if (f->kind == FAULT_DISK_FULL || f->kind == FAULT_READ_ONLY) {
            char *disk = disk_of(g, f);
            if (!disk_mount(disk)) {
                f->over = true;
                g->out->skipped[f->kind]++;
            }
            free(disk);
        }
    }
}

static void unmount_disks(game *g)
{
    for (size_t i = 0; i < g->plan->n; i++) {
        fault *f = &g->plan->faults[i];
        if (f->kind == FAULT_DISK_FULL || f->kind == FAULT_READ_ONLY) {
            char *disk = disk_of(g, f);
            disk_unmount(disk);
            free(disk);
        }
    }
}

void play(lane *l, plan *p, const char *undisturbed, int patience_s, outcome *out)
{
    game g = {.lane = l, .plan = p, .out = out, .start_ms = fl_now_ms()};
    char why[512] = "";
    *out = (outcome){0};
    l->lie = p->lie;
    if (!lane_begin(l, p->patience, p->has_liar, why, sizeof why)) {
        story_blame(&out->verdict, STORY_HANGS, "the run could not begin: %s", why);
        return;
    }
    mount_disks(&g);
    for (int who = WORLD_ACTORS - 1; who >= 0; who--) {
        if (!l->actors[who].is_over) {
            start(&g, who);
        }
    }
    g.patience_ms = (int64_t)patience_s * 1000;
    g.ends_ms = g.start_ms + g.patience_ms;
    while (!l->actors[WORLD_COORDINATOR].is_over && fl_now_ms() < g.ends_ms &&
           story_is_good(&out->verdict)) {
        turn(&g);
    }
    bool ended = l->actors[WORLD_COORDINATOR].is_over;
    calm(&g);
    if (ended) {
        for (size_t i = 0; i < p->n; i++) {
            if (p->faults[i].kind == FAULT_LIE) {
                strike(&g, &p->faults[i]);
            }
        }
        end_clients(&g);
        judge(&g, undisturbed);
    } else if (story_is_good(&out->verdict)) {
        story_blame(&out->verdict, STORY_HANGS, "nothing happened for %d s, at %zu lines of record",
                    patience_s, g.n_lines);
    }
    lane_end(l);
    unmount_disks(&g);
    out->seconds = (double)(fl_now_ms() - g.start_ms) / 1000;
}
