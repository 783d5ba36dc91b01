/*
 * fed_commands.c - see fed_commands.h
 */
#include "client/fed_commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "client/home.h"
#include "client/jit.h"
#include "client/policy.h"
#include "client/pool.h"
#include "client/receipts.h"
#include "client/session.h"
#include "client/way.h"
#include "fed/identity.h"
#include "fed/transport.h"
#include "job/job.h"

enum {
    MAX_WORKERS = 64,
    FILES_A_HOME = 8,  // its lock, outbox and line, which is libzmq's socket and two for its events
    SPARE_FILES = 64,
    LOCK_WAIT_MS = 3000
};

// ----------------------------------------------------------------------- join

static struct {
    const char *home, *data, *approve, *tasks, *lang, *own_model;
    int64_t histogram_bins, min_other_sites, min_cell;
} join;

static const fl_opt join_options[] = {
    {"home", FL_OPT_TEXT, "DIR", "folder to make for this hospital", &join.home, 0, 0, true},
    {"data", FL_OPT_TEXT, "DATASET", "the hospital's data set: folder, .csv or .npz", &join.data, 0,
     0, true},
    {"approve", FL_OPT_TEXT, "each|all", "each: a person looks at every job (default)",
     &join.approve, 0, 0, false},
    {"tasks", FL_OPT_TEXT, "A,B", "kinds of job that are allowed (default classify)", &join.tasks,
     0, 0, false},
    {"histogram-bins", FL_OPT_INT, "N", "finest score histogram that may leave (default 20)",
     &join.histogram_bins, 0, 100000, false},
    {"min-other-sites", FL_OPT_INT, "N",
     "fewest other hospitals in a sum (default 2; 0 with --approve all)", &join.min_other_sites, 0,
     100000, false},
    {"min-cell", FL_OPT_INT, "N", "fewest patients in a cell that may leave (default 10)",
     &join.min_cell, 1, 1000000, false},
    {"own-model", FL_OPT_TEXT, "stays|leaves",
     "leaves: where every hospital allows it, the model trained here alone may be judged by all "
     "(default stays)", &join.own_model, 0, 0, false},
    {"lang", FL_OPT_TEXT, "en|fr", "fr: the hospital's pages in French too (default en)",
     &join.lang, 0, 0, false},
    {0},
};

const fl_opt *client_join_options(void)
{
    return join_options;
}

/* "classify,segment" */
static fl_status chosen_tasks(policy *p, fl_err *err)
{
    p->tasks = 0;
    for (const char *at = join.tasks; *at != '\0';) {
        char name[32];
        data_task task;
        size_t n = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), at);
        if (!data_task_parse(&task, name)) {
            return fl_fail(err, FL_EUSAGE,
                           "--tasks: expected classify, multilabel, segment or regress, found %s",
                           name);
        }
        p->tasks |= 1u << task;
        at += at[n] == ',' ? n + 1 : n;
    }
    return FL_OK;
}

static fl_status chosen_policy(policy *p, fl_err *err)
{
    if (strcmp(join.approve, "all") != 0 && strcmp(join.approve, "each") != 0) {
        return fl_fail(err, FL_EUSAGE, "--approve: expected each or all, found %s", join.approve);
    }
    p->approve_all = strcmp(join.approve, "all") == 0;
    p->own_model_leaves = strcmp(join.own_model, "leaves") == 0;
    if (!p->own_model_leaves && strcmp(join.own_model, "stays") != 0) {
        return fl_fail(err, FL_EUSAGE, "--own-model: expected stays or leaves, found %.60s",
                       join.own_model);
    }
    p->histogram_bins = join.histogram_bins;
    if (join.min_other_sites >= 0) {
        p->min_other_sites = join.min_other_sites;
    } else if (p->approve_all) {
        p->min_other_sites = 0;  // nobody is there to be asked
    }
    p->min_cell = join.min_cell;
    return join.tasks != NULL ? chosen_tasks(p, err) : FL_OK;
}

/* What this decision means, where it is made. */
static const char leaves_text[] =
    "own model    leaves, where a job asks for it and every hospital allows it: it may tell\n"
    "             more of the cases that it learnt from than the shared model does, and others\n"
    "             may keep it\n";

static fl_status print_joined(const char *dir, const policy *p, fl_err *err)
{
    home *h = NULL;
    fl_status st = home_open(&h, dir, err);
    if (st != FL_OK) {
        return st;
    }
    char own[FED_FINGERPRINT_BYTES], other[FED_FINGERPRINT_BYTES];
    home_fingerprint(own, h);
    fed_fingerprint(other, &h->coordinator_curve, &h->coordinator_sign);
    printf("site         %s of federation %s\n"
           "home         %s\n"
           "fingerprint  %s\n"
           "coordinator  %s\n"
           "             at %s\n"
           "%s"
           "Compare both fingerprints with the coordinator's people, by telephone say.\n"
           "Look at %s/policy.yaml, then: consilium-client run --home %s\n",
           h->site.text, h->federation, h->dir, own, other, h->address,
           p->own_model_leaves ? leaves_text : "", h->dir, h->dir);
    if (!fl_file_exists(h->data)) {
        printf("warning: there is no %s yet; the client needs it when a job comes\n", h->data);
    }
    home_close(&h);
    return FL_OK;
}

fl_status client_join(int argc, char **argv, fl_err *err)
{
    policy p;
    report_language language;
    fl_texts pos = {NULL, 0};
    fl_buf text = FL_BUF_INIT;
    policy_defaults(&p);
    join.approve = "each";
    join.lang = "en";
    join.own_model = "stays";
    join.histogram_bins = p.histogram_bins;
    join.min_other_sites = -1;  // not given
    join.min_cell = p.min_cell;
    fl_status st = fl_cli_parse(argc, argv, join_options, 1, 1, &pos, err);
    if (st != FL_OK || (st = chosen_policy(&p, err)) != FL_OK) {
        goto done;
    }
    if (!report_language_find(&language, join.lang)) {
        st = fl_fail(err, FL_EUSAGE, "--lang: expected en or fr, found %.60s", join.lang);
        goto done;
    }
    policy_text(&p, &text);
    home_plan plan = {.invitation = pos.items[0],
                      .dir = join.home,
                      .data = join.data,
                      .policy = text.data,
                      .language = language};
    if ((st = home_join(&plan, err)) == FL_OK) {
        st = print_joined(join.home, &p, err);
    }
done:
    fl_buf_clear(&text);
    free(pos.items);
    return st;
}

// ------------------------------------------------------------------------ run

static struct {
    fl_texts homes;
    bool once;
    int64_t workers;
    const char *proxy;
} run;

static const fl_opt run_options[] = {
    {"home", FL_OPT_LIST, "DIR", "a hospital's home", &run.homes, 0, 0, true},
    {"once", FL_OPT_FLAG, NULL, "end after the first job of every home", &run.once, 0, 0, false},
    {"workers", FL_OPT_INT, "W", "sites that work at a time (default: as many as cores)",
     &run.workers, 1, MAX_WORKERS, false},
    {"proxy", FL_OPT_TEXT, "URL",
     "go through http://H:P or socks5://H:P, or none (default: as client.yaml says)", &run.proxy, 0,
     0, false},
    {0},
};

const fl_opt *client_run_options(void)
{
    return run_options;
}

/* All sites of this process. */
typedef struct {
    size_t n;
    home **home;
    session **session;
    int64_t *due_ms;  // of each session: when it has something to do if nothing stirs it before
    fed_link **link;  // of the sessions that have one now
    fed_waker *waker;
    pool *pool;
    ways ways;
} sites;

/* Is the i-th home one of those before it, perhaps by another path? */
static bool is_named_before(size_t i)
{
    struct stat one, other;
    for (size_t k = 0; k < i; k++) {
        if (stat(run.homes.items[i], &one) == 0 && stat(run.homes.items[k], &other) == 0 &&
            one.st_dev == other.st_dev && one.st_ino == other.st_ino) {
            return true;
        }
    }
    return false;
}

static fl_status open_homes(sites *s, fl_err *err)
{
    s->n = run.homes.n;
    s->home = fl_xcalloc(s->n, sizeof *s->home);
    s->session = fl_xcalloc(s->n, sizeof *s->session);
    s->due_ms = fl_xcalloc(s->n, sizeof *s->due_ms);
    s->link = fl_xcalloc(s->n, sizeof *s->link);
    char what[64];
    snprintf(what, sizeof what, "%zu homes", s->n);
    fl_status st = fl_need_files(s->n * FILES_A_HOME + SPARE_FILES, what, err);
    if (st != FL_OK) {
        s->n = 0;
        return st;
    }
    for (size_t i = 0; i < s->n; i++) {
        policy p;
        if (is_named_before(i)) {
            return fl_fail(err, FL_EUSAGE, "--home: %s is named twice", run.homes.items[i]);
        }
        st = home_open(&s->home[i], run.homes.items[i], err);
        if (st != FL_OK || (st = home_lock(s->home[i], LOCK_WAIT_MS, err)) != FL_OK ||
            (st = policy_read(&p, s->home[i], err)) != FL_OK) {
            return st;
        }
    }
    return ways_open(&s->ways, s->home, s->n, run.proxy, err);
}

static void start_sessions(sites *s)
{
    int64_t workers = run.workers;
    if (workers == 0) {
        int cores = fl_n_cores();
        workers = s->n < (size_t)cores ? (int64_t)s->n : cores;
    }
    s->waker = fed_waker_new();
    s->pool = pool_new((int)workers, s->waker);
    for (size_t i = 0; i < s->n; i++) {
        s->session[i] = session_new(s->home[i], s->pool);
    }
}

static bool all_over(const sites *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (session_first_job(s->session[i]) == SESSION_SERVES) {
            return false;
        }
    }
    return true;
}

/* One turn of the network thread: what there is to do, then sleep. */
static void turn(sites *s)
{
    int64_t now_ms = fl_now_ms(), next_ms = INT64_MAX;
    size_t n_links = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (now_ms >= s->due_ms[i] || session_stirs(s->session[i])) {
            now_ms = fl_now_ms();
            session_step(s->session[i], now_ms);
            s->due_ms[i] = now_ms + session_next_ms(s->session[i], now_ms);
        }
        next_ms = s->due_ms[i] < next_ms ? s->due_ms[i] : next_ms;
        fed_link *link = session_link(s->session[i]);
        if (link != NULL) {
            s->link[n_links++] = link;
        }
    }
    if (!(run.once && all_over(s)) && !fl_stop_requested()) {
        now_ms = fl_now_ms();
        fed_wait(s->link, n_links, s->waker, next_ms > now_ms ? (int)(next_ms - now_ms) : 0);
    }
}

static fl_status outcome(const sites *s, fl_err *err)
{
    size_t n_failed = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (session_first_job(s->session[i]) == SESSION_FAILED) {
            fl_fail(err, FL_EDENIED, "site %s: %s", s->home[i]->site.text,
                    session_why(s->session[i]));
            n_failed++;
        }
    }
    if (n_failed > 1) {
        fl_wrap(err, FL_EDENIED, "the job failed at %zu of %zu sites; the last one", n_failed,
                s->n);
    }
    return n_failed > 0 ? FL_EDENIED : FL_OK;
}

static void close_sites(sites *s)
{
    for (size_t i = 0; i < s->n && s->session != NULL; i++) {
        if (s->session[i] != NULL) {
            session_leave(s->session[i], "the client was stopped");
        }
    }
    pool_destroy(&s->pool);
    for (size_t i = 0; i < s->n; i++) {
        session_destroy(&s->session[i]);
        home_close(&s->home[i]);
    }
    ways_close(&s->ways);
    fed_waker_destroy(&s->waker);
    free(s->link);
    free(s->due_ms);
    free(s->session);
    free(s->home);
}

fl_status client_run(int argc, char **argv, fl_err *err)
{
    sites s = {0};
    fl_texts pos = {NULL, 0};
    fl_status st = fl_cli_parse(argc, argv, run_options, 0, 0, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    fed_init();
    fl_catch_signals();
    if ((st = jit_look(err)) == FL_OK && (st = open_homes(&s, err)) == FL_OK) {
        start_sessions(&s);
        while (!fl_stop_requested() && !(run.once && all_over(&s))) {
            turn(&s);
        }
        if (run.once) {
            st = all_over(&s) ? outcome(&s, err)
                              : fl_fail(err, FL_ESTOPPED, "stopped before the job was done");
        }
    }
    close_sites(&s);
    free(run.homes.items);
    return st;
}

// -------------------------------------------------------------------- approve

static const char *approve_home;

static const fl_opt approve_options[] = {
    {"home", FL_OPT_TEXT, "DIR", "the hospital's home", &approve_home, 0, 0, true},
    {0},
};

const fl_opt *client_approve_options(void)
{
    return approve_options;
}

/* Why it waits, by what policy.yaml says now. */
static void print_why(const home *h, const job *j)
{
    char why[FED_TEXT_BYTES];
    policy p;
    fl_err err = FL_ERR_INIT;
    if (policy_read(&p, h, &err) == FL_OK) {
        policy_why(&p, j, why);
    }
    printf("  why it waits  %s\n", err.status == FL_OK ? why : err.text);
}

/* What a person needs to decide. */
static void print_job(const home *h, const fed_digest *digest)
{
    char hex[FL_HEX_DIGEST];
    char *text = NULL;
    size_t n = 0;
    job j;
    fl_err err = FL_ERR_INIT;
    fl_hex(hex, digest->bytes, sizeof digest->bytes);
    printf("job           %s%s\n", hex, policy_approved(h, digest) ? "   (approved)" : "");
    if (policy_held_text(h, digest, &text, &n, &err) != FL_OK ||
        job_parse(&j, text, n, "job.yaml", h->dir, &err) != FL_OK) {
        printf("              %s\n", err.text);
        free(text);
        return;
    }
    char *graph = policy_held_graph(h, digest);
    char *model = graph != NULL ? fl_xasprintf("a graph of its own, %s", graph)
                                : fl_xstrdup(j.model.name);
    printf("  name          %s\n"
           "  intended use  %s\n"
           "  task          %s\n"
           "  model         %s\n"
           "  rounds        %" PRId64 "\n"
           "  strategy      %s\n"
           "%s"
           "  whole text    %s/pending/%s.yaml\n",
           j.name, j.intended_use, data_task_name(j.data.task), model, j.rounds,
           j.strategy.name,
           !j.evaluation.cross_site ? ""
                                    : "  asks for      this hospital's own model, to be judged by "
                                      "all others; policy.yaml decides (own_model)\n",
           h->dir, hex);
    if (!policy_approved(h, digest)) {
        print_why(h, &j);
    }
    job_clear(&j);
    free(model);
    free(graph);
    free(text);
}

static fl_status list_waiting(const home *h, fl_err *err)
{
    fed_digest *waiting = NULL;
    size_t n = 0;
    fl_status st = policy_waiting(h, &waiting, &n, err);
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        print_job(h, &waiting[i]);
    }
    if (st == FL_OK && n == 0) {
        printf("no job waits for an approval\n");
    } else if (st == FL_OK) {
        printf("approve one with: consilium-client approve --home %s DIGEST\n", h->dir);
    }
    free(waiting);
    return st;
}

fl_status client_approve(int argc, char **argv, fl_err *err)
{
    home *h = NULL;
    fl_texts pos = {NULL, 0};
    fl_status st = fl_cli_parse(argc, argv, approve_options, 0, 1, &pos, err);
    if (st != FL_OK || (st = home_look(&h, approve_home, err)) != FL_OK) {
        goto done;
    }
    if (pos.n == 0) {
        st = list_waiting(h, err);
        goto done;
    }
    fed_digest digest;
    if ((st = policy_approve(h, pos.items[0], &digest, err)) == FL_OK) {
        print_job(h, &digest);
    }
done:
    home_close(&h);
    free(pos.items);
    return st;
}

// ----------------------------------------------------------------------- sent

static struct {
    const char *home, *run;
    bool json;
} sent;

static const fl_opt sent_options[] = {
    {"home", FL_OPT_TEXT, "DIR", "the hospital's home", &sent.home, 0, 0, true},
    {"run", FL_OPT_TEXT, "R", "only what left for this run", &sent.run, 0, 0, false},
    {"json", FL_OPT_FLAG, NULL, "as a JSON list", &sent.json, 0, 0, false},
    {0},
};

const fl_opt *client_sent_options(void)
{
    return sent_options;
}

static void print_sent(const json_t *list)
{
    int64_t total = 0;
    size_t n = json_array_size(list);
    if (n == 0) {
        printf("nothing has left this hospital%s%s\n", sent.run != NULL ? " for run " : "",
               sent.run != NULL ? sent.run : "");
        return;
    }
    printf("%-20s  %-7s  %5s  %10s  %-16s  %s\n", "time", "kind", "round", "payload", "digest",
           "fields");
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_array_get(list, i);
        const json_t *fields = json_object_get(entry, "fields");
        int64_t bytes = fl_json_get_int(entry, "bytes", 0);
        total += bytes;
        printf("%-20s  %-7s  %5" PRId64 "  %10" PRId64 "  %-16.16s  ",
               fl_json_get_string(entry, "time", ""), fl_json_get_string(entry, "kind", ""),
               fl_json_get_int(entry, "round", 0) & 0x7fffffff, bytes,
               bytes > 0 ? fl_json_get_string(entry, "digest", "-") : "-");
        for (size_t k = 0; k < json_array_size(fields); k++) {
            printf("%s%s", k == 0 ? "" : ", ", json_string_value(json_array_get(fields, k)));
        }
        printf("\n");
    }
    printf("%zu messages; their payloads are %" PRId64
           " bytes, their headers hold the other fields\n",
           n, total);
}

fl_status client_sent(int argc, char **argv, fl_err *err)
{
    home *h = NULL;
    json_t *list = NULL;
    fl_texts pos = {NULL, 0};
    fl_status st = fl_cli_parse(argc, argv, sent_options, 0, 0, &pos, err);
    if (st != FL_OK || (st = home_look(&h, sent.home, err)) != FL_OK ||
        (st = receipts_sent(&list, h, sent.run, err)) != FL_OK) {
        goto done;
    }
    if (sent.json) {
        char *text = fl_json_text(list);
        fputs(text, stdout);
        free(text);
    } else {
        print_sent(list);
    }
done:
    json_decref(list);
    home_close(&h);
    return st;
}
