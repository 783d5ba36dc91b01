/*
 * world.c - see world.h
 */
#define _GNU_SOURCE  // prctl's constants

#include "world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"

enum { MAX_ARGS = 16, SETUP_MS = 60000, MAX_FILE_BYTES = 256 << 20 };

/* 3 inputs and 30,000 hidden units: updates of three pieces. */
static const char job_yaml[] =
    "name: chaos\n"
    "task: classify\n"
    "data: {input: [3], classes: [\"0\", \"1\"], positive: \"1\"}\n"
    "model: {name: mlp, hidden: [30000]}\n"
    "rounds: 2\n"
    "seed: 11\n"
    "strategy: {name: fedadam, lr: 0.01}\n"
    "local: {steps: 4, batch: 8, lr: 0.01}\n"
    "sites: {quorum: 2, patience: %s}\n"
    "select: {metric: auc, split: val, keep: last}\n"
    "evaluation: {threshold: {rule: youden, split: val}, histogram_bins: 10,"
    " local_baseline: {budget: none}}\n";

const char *world_site(int site)
{
    static const char *const names[] = {"est", "nord", "sud", "west"};
    return names[site];
}

// ------------------------------------------------------------------ processes

/* env: NAME=VALUE ..., NULL; the program's output is added to log. */
static pid_t start(const char *log, const char *const *env, const char *const *argv)
{
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
        for (; *env != NULL; env++) {
            putenv((char *)*env);
        }
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(out);
    close(null);
    return pid;
}

/* Exit code of a program that has ended; -1 when it still runs. */
static int exit_code_of(pid_t pid, int flags)
{
    int status = 0;
    if (waitpid(pid, &status, flags) != pid) {
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Runs a program to its end; false, and what it said last, unless it exits with 0. */
static bool do_program(char *why, size_t n_why, const char *log, ...)
{
    static const char *const no_env[] = {NULL};
    const char *argv[MAX_ARGS + 1] = {NULL};
    va_list args;
    va_start(args, log);
    for (int n = 0; n < MAX_ARGS && (argv[n] = va_arg(args, const char *)) != NULL;) {
        n++;
    }
    va_end(args);
    pid_t pid = start(log, no_env, argv);
    int code = exit_code_of(pid, 0);
    if (code != 0) {
        char *said = lane_text(log);
        size_t n = strlen(said);
        snprintf(why, n_why, "%s %s: exit code %d: %s", argv[0], argv[1], code,
                 said + (n > 300 ? n - 300 : 0));
        free(said);
    }
    return code == 0;
}

char *lane_text(const char *path)
{
    char *text = NULL;
    size_t n = 0;
    return fl_file_read(&text, &n, path, MAX_FILE_BYTES, NULL) == FL_OK ? text : fl_xstrdup("");
}

size_t lane_n_lines(const char *path)
{
    char *text = lane_text(path);
    size_t n = 0;
    for (const char *c = text; (c = strchr(c, '\n')) != NULL; c++) {
        n++;
    }
    free(text);
    return n;
}

char *lane_path(const lane *l, const char *file)
{
    return fl_path_join(l->run_dir, file);
}

// ---------------------------------------------------------------------- setup

/* A table whose label follows from its columns, with some noise. */
static bool write_table(const char *path, int site)
{
    static const struct {
        const char *split;
        int n;
    } parts[] = {{"train", 24}, {"val", 24}, {"test", 24}};
    fl_buf csv = FL_BUF_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 7, "chaos table", world_site(site), 0);
    fl_buf_puts(&csv, "split,a,b,c,label\n");
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        for (int i = 0; i < parts[p].n + 4 * site; i++) {
            double x[3];
            for (int k = 0; k < 3; k++) {
                x[k] = fl_rng_normal(&rng);
            }
            bool label = x[0] - x[1] + 0.5 * fl_rng_normal(&rng) > 0;
            fl_buf_printf(&csv, "%s,%.4f,%.4f,%.4f,%d\n", parts[p].split, x[0], x[1], x[2], label);
        }
    }
    bool good = fl_file_write(path, csv.data, csv.n, 0600, NULL) == FL_OK;
    fl_buf_clear(&csv);
    return good;
}

bool world_prepare(const world_programs *p, char *why, size_t n_why)
{
    fl_err err = FL_ERR_INIT;
    for (int site = 0; site < WORLD_SITES; site++) {
        char *path = fl_xasprintf("%s/data-%s.csv", p->dir, world_site(site));
        bool good = fl_mkdirs(p->dir, 0700, &err) == FL_OK && write_table(path, site);
        free(path);
        if (!good) {
            snprintf(why, n_why, "%s: cannot write the data: %s", p->dir, err.text);
            return false;
        }
    }
    return true;
}

static bool join_site(const lane *l, int site, char *why, size_t n_why)
{
    const world_programs *p = l->programs;
    const char *name = world_site(site);
    char *log = fl_path_join(l->dir, "setup.log"), *fed = fl_path_join(l->dir, "first/fed"),
         *invitation = fl_xasprintf("%s/%s.invitation", l->dir, name),
         *home = fl_xasprintf("%s/first/home-%s", l->dir, name),
         *data = fl_xasprintf("%s/data-%s.csv", p->dir, site < WORLD_SITES ? name : "est");
    bool good = do_program(why, n_why, log, p->coordinator, "invite", fed, "--site", name, "--out",
                           invitation, NULL) &&
                do_program(why, n_why, log, p->client, "join", invitation, "--home", home, "--data",
                           data, "--approve", "all", NULL);
    free(log);
    free(fed);
    free(invitation);
    free(home);
    free(data);
    return good;
}

lane *lane_new(const world_programs *p, int number, char *why, size_t n_why)
{
    lane *l = fl_xcalloc(1, sizeof *l);
    l->programs = p;
    l->number = number;
    l->dir = fl_xasprintf("%s/lane-%d", p->dir, number);
    l->run_dir = fl_path_join(l->dir, "run");
    l->record = fl_path_join(l->run_dir, "fed/runs/chaos");
    l->relay = relay_new();
    for (int i = 0; i < WORLD_ACTORS; i++) {
        l->actors[i].name = i == WORLD_COORDINATOR ? "coordinator" : world_site(i);
    }
    char *first = fl_path_join(l->dir, "first"), *fed = fl_path_join(first, "fed"),
         *log = fl_path_join(l->dir, "setup.log"), *with = fl_path_join(l->dir, "with-liar"),
         *address = fl_xasprintf("tcp://127.0.0.1:%d", l->relay == NULL ? 0 : relay_port(l->relay));
    bool good = l->relay != NULL && fl_mkdirs(first, 0700, NULL) == FL_OK &&
                do_program(why, n_why, log, p->coordinator, "init", fed, "--address", address,
                           NULL);
    for (int site = 0; site < WORLD_SITES && good; site++) {
        good = join_site(l, site, why, n_why);
    }
    /* The same with one site more, which lies. */
    good = good && do_program(why, n_why, log, "/bin/cp", "-a", first, with, NULL) &&
           join_site(l, WORLD_LIAR, why, n_why);
    if (good) {
        char *swap = fl_path_join(l->dir, "swap");
        good = rename(first, swap) == 0 && rename(with, first) == 0 && rename(swap, with) == 0;
        free(swap);
    }
    free(first);
    free(fed);
    free(log);
    free(with);
    free(address);
    if (!good) {
        lane_destroy(&l);
    }
    return l;
}

void lane_destroy(lane **l)
{
    if (*l == NULL) {
        return;
    }
    lane_end(*l);
    relay_destroy(&(*l)->relay);
    free((*l)->dir);
    free((*l)->run_dir);
    free((*l)->record);
    FL_FREE(*l);
}

// ---------------------------------------------------------------------- a run

bool lane_begin(lane *l, const char *patience, bool has_liar, char *why, size_t n_why)
{
    char *log = fl_path_join(l->dir, "setup.log"),
         *from = fl_path_join(l->dir, has_liar ? "with-liar" : "first"),
         *job = fl_path_join(l->run_dir, "job.yaml"), *text = fl_xasprintf(job_yaml, patience);
    for (int i = 0; i < WORLD_ACTORS; i++) {
        l->actors[i] = (actor){.name = l->actors[i].name, .is_over = i == WORLD_LIAR && !has_liar};
    }
    l->patience = patience;
    l->has_liar = has_liar;
    relay_set_target(l->relay, 0);
    relay_calm(l->relay);
    bool good = fl_mkdirs(l->run_dir, 0700, NULL) == FL_OK;
    char *inside = fl_xasprintf("%s/.", from);
    good = good && do_program(why, n_why, log, "/bin/cp", "-a", inside, l->run_dir, NULL) &&
           fl_file_write(job, text, strlen(text), 0600, NULL) == FL_OK;
    free(inside);
    free(log);
    free(from);
    free(job);
    free(text);
    return good;
}

/* Each start of the coordinator has its own: its port is read from it. */
static char *log_of(const lane *l, int who)
{
    const actor *a = &l->actors[who];
    return who == WORLD_COORDINATOR
               ? fl_xasprintf("%s/%s-%d.log", l->run_dir, a->name, a->n_started)
               : fl_xasprintf("%s/%s.log", l->run_dir, a->name);
}

void lane_start(lane *l, int who, const char *fault)
{
    const world_programs *p = l->programs;
    actor *a = &l->actors[who];
    a->n_started++;
    char *log = log_of(l, who), *home = fl_xasprintf("%s/home-%s", l->run_dir, a->name),
         *fed = lane_path(l, "fed"), *job = lane_path(l, "job.yaml");
    char *env_fault = fl_xasprintf("CHAOS_FAULT=%s", fault != NULL ? fault : ""),
         *env_fired = fl_xasprintf("CHAOS_FIRED=%s/%s.fired", l->run_dir, a->name),
         *env_preload = fl_xasprintf("LD_PRELOAD=%s", p->preload),
         *env_program = fl_xasprintf("CHAOS_PROGRAM=%s",
                                     who == WORLD_COORDINATOR ? p->coordinator : p->client);
    const char *const none[] = {NULL};
    const char *const env[] = {env_fault, env_fired, env_preload, env_program, NULL};
    const char *const coordinator[] = {p->coordinator,      "run", fed, "--job", job, "--bind",
                                       "tcp://127.0.0.1:0", NULL};
    const char *const client[] = {p->client, "run", "--home", home, "--once", NULL};
    const char *const liar[] = {p->liar, "liar", home, l->lie != NULL ? l->lie : "", NULL};
    if (who == WORLD_COORDINATOR) {
        relay_set_target(l->relay, 0);
    }
    a->pid = start(log, fault != NULL ? env : none,
                   who == WORLD_COORDINATOR ? coordinator
                   : who == WORLD_LIAR      ? liar
                                            : client);
    free(log);
    free(home);
    free(fed);
    free(job);
    free(env_fault);
    free(env_fired);
    free(env_preload);
    free(env_program);
}

bool lane_listens(lane *l)
{
    char *log = log_of(l, WORLD_COORDINATOR), *text = lane_text(log);
    static const char said[] = "listening on tcp://";
    const char *line = strstr(text, said), *end = line != NULL ? strchr(line, '\n') : NULL;
    if (end != NULL) {
        while (end[-1] != ':') {
            end--;
        }
        relay_set_target(l->relay, atoi(end));
    }
    free(log);
    free(text);
    return end != NULL;
}

char *lane_last_words(const lane *l, int who)
{
    char *log = log_of(l, who), *text = lane_text(log);
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '\n') {
        text[--n] = '\0';
    }
    char *line = strrchr(text, '\n'), *last = fl_xstrdup(line != NULL ? line + 1 : text);
    free(log);
    free(text);
    return last;
}

bool lane_has_ended(lane *l, int who)
{
    actor *a = &l->actors[who];
    if (a->pid != 0) {
        int code = exit_code_of(a->pid, WNOHANG);
        if (code >= 0) {
            a->pid = 0;
            a->exit_code = code;
        }
    }
    return a->pid == 0;
}

void lane_kill(lane *l, int who, int signal)
{
    if (l->actors[who].pid != 0) {
        kill(l->actors[who].pid, signal);
    }
}

void lane_end(lane *l)
{
    for (int i = 0; i < WORLD_ACTORS; i++) {
        actor *a = &l->actors[i];
        if (a->pid != 0) {
            kill(a->pid, SIGKILL);
            a->exit_code = exit_code_of(a->pid, 0);
            a->pid = 0;
        }
    }
}
