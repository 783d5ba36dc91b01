/*
 * play.c - see play.h
 */
#include "sim/play.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "sim/baseline.h"
#include "sim/extra.h"
#include "sim/hospital.h"
#include "sim/launch.h"

#define MARK ".consilium-sim"  // a folder that may be cleaned

typedef struct {
    const scenario *s;
    const play_options *o;
    char *data, *federation, *homes, *logs, *baselines;
    char address[64];
    launch_child coordinator, centralised;
    launch_child *clients;
    size_t n_clients;
} stage;

/* Runs program with the arguments put after it, to its end. */
static fl_status run_program(launch_args *a, const char *what, const char *log, fl_err *err)
{
    launch_child child;
    fl_status st = launch_start(&child, what, a, log, 0, err);
    if (st == FL_OK) {
        st = launch_wait(&child, err);
    }
    launch_args_clear(a);
    return st;
}

/* An earlier run's folder is cleaned; anybody else's is left alone. */
static fl_status prepare(stage *g, fl_err *err)
{
    const char *out = g->o->out;
    char *mark = fl_path_join(out, MARK), *link = fl_path_join(out, "report");
    fl_status st = FL_OK;
    char **names = NULL;
    size_t n = 0;
    if (fl_is_dir(out) && !fl_file_exists(mark)) {
        if ((st = fl_list_dir(&names, &n, out, err)) == FL_OK && n > 0) {
            st = fl_fail(err, FL_ECONFLICT,
                         "%s: is not empty and was not made by the simulator; choose another --out",
                         out);
        }
        fl_names_free(&names, n);
    }
    unlink(link);
    const char *const folders[] = {g->federation, g->homes, g->logs};
    for (size_t i = 0; i < 3 && st == FL_OK; i++) {
        st = fl_remove_tree(folders[i], err);
    }
    if (st == FL_OK && (st = fl_mkdirs(g->logs, 0755, err)) == FL_OK &&
        (st = fl_mkdirs(g->homes, 0755, err)) == FL_OK &&
        (st = fl_mkdirs(g->baselines, 0755, err)) == FL_OK) {
        st = fl_file_write(mark, "", 0, 0644, err);
    }
    free(mark);
    free(link);
    return st;
}

static fl_status found_federation(stage *g, fl_err *err)
{
    launch_args a;
    int port = 0;
    fl_status st = launch_free_port(&port, err);
    if (st != FL_OK) {
        return st;
    }
    snprintf(g->address, sizeof g->address, "tcp://127.0.0.1:%d", port);
    char *log = fl_path_join(g->logs, "setup.log");
    launch_args_init(&a, "coordinator");
    launch_args_add(&a, "init");
    launch_args_add(&a, g->federation);
    launch_args_add(&a, "--name");
    launch_args_add(&a, g->s->name);
    launch_args_add(&a, "--address");
    launch_args_add(&a, g->address);
    st = run_program(&a, "coordinator init", log, err);
    free(log);
    return st;
}

/* Invites hospital i and has it join with its data. */
static fl_status enrol(stage *g, size_t i, fl_err *err)
{
    const char *name = g->s->hospitals[i].name;
    launch_args a;
    char *log = fl_path_join(g->logs, "setup.log");
    char *invitation = fl_xasprintf("%s/%s.invitation.yaml", g->homes, name);
    char *home = fl_path_join(g->homes, name), *data = fl_path_join(g->data, name);
    launch_args_init(&a, "coordinator");
    launch_args_add(&a, "invite");
    launch_args_add(&a, g->federation);
    launch_args_add(&a, "--site");
    launch_args_add(&a, name);
    launch_args_add(&a, "--out");
    launch_args_add(&a, invitation);
    fl_status st = run_program(&a, "coordinator invite", log, err);
    if (st == FL_OK) {
        launch_args_init(&a, "client");
        launch_args_add(&a, "join");
        launch_args_add(&a, invitation);
        launch_args_add(&a, "--home");
        launch_args_add(&a, home);
        launch_args_add(&a, "--data");
        launch_args_add(&a, data);
        launch_args_add(&a, "--approve");
        launch_args_add(&a, "all");
        launch_args_add(&a, "--tasks");
        launch_args_add(&a, data_task_name(g->s->job.data.task));
        if (g->s->job.evaluation.cross_site) {
            launch_args_add(&a, "--own-model");
            launch_args_add(&a, "leaves");
        }
        launch_args_add_int(&a, "--min-cell", (long long)g->s->job.evaluation.min_cell);
        launch_args_add_int(&a, "--histogram-bins", (long long)g->s->job.evaluation.histogram_bins);
        st = run_program(&a, "client join", log, err);
    }
    free(log);
    free(invitation);
    free(home);
    free(data);
    return st;
}

static fl_status start_coordinator(stage *g, fl_err *err)
{
    launch_args a;
    char *job_path = fl_path_join(g->o->out, "job.yaml"),
         *log = fl_path_join(g->logs, "coordinator.log");
    fl_status st = fl_file_write(job_path, g->s->job_yaml, strlen(g->s->job_yaml), 0644, err);
    if (st == FL_OK) {
        launch_args_init(&a, "coordinator");
        launch_args_add(&a, "run");
        launch_args_add(&a, g->federation);
        launch_args_add(&a, "--job");
        launch_args_add(&a, job_path);
        launch_args_add(&a, "--bind");
        launch_args_add(&a, g->address);
        launch_args_add(&a, "--quiet");  // its table comes again, with the baselines
        st = launch_start(&g->coordinator, "coordinator run", &a, g->o->quiet ? log : NULL, 0, err);
        launch_args_clear(&a);
    }
    free(job_path);
    free(log);
    return st;
}

/* Hospital i is hosted by process i mod n: neighbours in the list land in
 * different processes, so work spreads. */
static fl_status start_clients(stage *g, fl_err *err)
{
    size_t n = (size_t)g->s->n_processes < g->s->n_hospitals ? (size_t)g->s->n_processes
                                                             : g->s->n_hospitals;
    fl_status st = FL_OK;
    g->clients = fl_xcalloc(n, sizeof *g->clients);
    g->n_clients = n;
    for (size_t k = 0; k < n && st == FL_OK; k++) {
        size_t c = g->o->reverse ? n - 1 - k : k;
        launch_args a;
        launch_args_init(&a, "client");
        launch_args_add(&a, "run");
        launch_args_add(&a, "--once");
        for (size_t i = c; i < g->s->n_hospitals; i += n) {
            char *home = fl_path_join(g->homes, g->s->hospitals[i].name);
            launch_args_add(&a, "--home");
            launch_args_add(&a, home);
            free(home);
        }
        char *log = fl_xasprintf("%s/client-%zu.log", g->logs, c + 1);
        char name[64];
        snprintf(name, sizeof name, "client process %zu", c + 1);
        st = launch_start(&g->clients[c], name, &a, log, 0, err);
        launch_args_clear(&a);
        free(log);
    }
    return st;
}

/* Why the coordinator failed; what it does not accept, a person wrote. */
static fl_status explain(const stage *g, int code, fl_err *err)
{
    char words[512];
    launch_last_words(words, sizeof words, &g->coordinator);
    fl_status st = code == fl_exit_code(FL_ECONFIG) ? FL_ECONFIG : FL_EIO;
    if (words[0] != '\0') {
        return fl_fail(err, st, "%s", words);
    }
    return fl_fail(err, st, "the coordinator exited with %d; what it said is above", code);
}

/* The coordinator ends the run; a client that ends badly before it is told at
 * once, so nobody waits for patience to run out. */
static fl_status wait_for_run(stage *g, fl_err *err)
{
    for (;;) {
        int code = 0;
        if (fl_stop_requested()) {
            return fl_fail(err, FL_ESTOPPED, "stopped on request");
        }
        if (launch_ended(&g->coordinator, &code)) {
            bool is_done = code == 0 || code == fl_exit_code(FL_EABSENCES);
            return is_done ? FL_OK : explain(g, code, err);
        }
        for (size_t c = 0; c < g->n_clients; c++) {
            if (g->clients[c].pid != 0 && launch_ended(&g->clients[c], &code) && code != 0) {
                fl_log(FL_LOG_WARN, "sim.client", "%s exited with %d; see %s", g->clients[c].name,
                       code, g->clients[c].log);
            }
        }
        nanosleep(&(struct timespec){0, 50000000}, NULL);
    }
}

static fl_status wait_for_clients(stage *g, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t c = 0; c < g->n_clients && st == FL_OK; c++) {
        st = launch_wait(&g->clients[c], err);
    }
    return st;
}

/* OUT/report points into the federation's folder. */
static fl_status link_report(const stage *g, fl_err *err)
{
    char *link = fl_path_join(g->o->out, "report"),
         *to = fl_xasprintf("federation/runs/%s/report", g->s->name);
    fl_status st = FL_OK;
    if (symlink(to, link) != 0 && errno != EEXIST) {
        st = fl_fail_errno(err, errno, link);
    }
    free(link);
    free(to);
    return st;
}

/* Puts the simulator's figures into the report and makes the pages again. */
static fl_status finish_report(stage *g, fl_err *err)
{
    char *run = fl_xasprintf("%s/runs/%s", g->federation, g->s->name);
    char *figures = fl_path_join(g->o->out, "baselines.json"),
         *log = fl_path_join(g->logs, "report.log");
    char *model = fl_path_join(run, "model/final.onnx");
    fl_status st = baseline_figures(g->s, g->data, g->baselines, model, g->o->out, figures, err);
    if (st == FL_OK) {
        launch_args a;
        launch_args_init(&a, "coordinator");
        launch_args_add(&a, "report");
        launch_args_add(&a, run);
        launch_args_add(&a, "--baselines");
        launch_args_add(&a, figures);
        st = run_program(&a, "coordinator report", log, err);
    }
    free(run);
    free(figures);
    free(log);
    free(model);
    return st == FL_OK ? link_report(g, err) : st;
}

/* Takes the sentence; NULL is none. */
static void say(const stage *g, char *sentence)
{
    if (sentence != NULL && !g->o->quiet) {
        fprintf(stderr, "%s\n", sentence);
    }
    free(sentence);
}

static fl_status play(stage *g, fl_err *err)
{
    fl_status st;
    say(g, extra_cost(g->s));
    if ((st = prepare(g, err)) != FL_OK ||
        (!g->o->data_is_made && (st = hospital_make_all(g->s, g->data, err)) != FL_OK) ||
        (st = found_federation(g, err)) != FL_OK) {
        return st;
    }
    for (size_t i = 0; i < g->s->n_hospitals; i++) {
        if ((st = enrol(g, i, err)) != FL_OK) {
            return fl_wrap(err, st, "hospital %s", g->s->hospitals[i].name);
        }
    }
    if ((st = start_coordinator(g, err)) != FL_OK || (st = start_clients(g, err)) != FL_OK) {
        return st;
    }
    /* The centralised model needs nothing from the federation: it trains in the
     * time that the hospitals leave. */
    double start = fl_now();
    st = baseline_start(&g->centralised, g->s, g->data, g->baselines, g->logs, err);
    if (st != FL_OK || (st = wait_for_run(g, err)) != FL_OK ||
        (st = wait_for_clients(g, err)) != FL_OK) {
        return st;
    }
    double seconds = fl_now() - start;
    if (g->centralised.pid != 0 && !g->o->quiet) {
        fl_progress("training the centralised model, to compare with");
    }
    if ((st = launch_wait(&g->centralised, err)) == FL_OK) {
        say(g, extra_time(g->s, g->o->out, seconds));
        st = finish_report(g, err);
    }
    fl_progress_end();
    return st;
}

fl_status play_run(const scenario *s, const play_options *options, fl_err *err)
{
    const char *out = options->out;
    stage g = {
        .s = s,
        .o = options,
        .data = options->data != NULL ? fl_xstrdup(options->data) : fl_path_join(out, "data"),
        .baselines = options->baselines != NULL ? fl_xstrdup(options->baselines)
                                                : fl_path_join(out, "baselines"),
        .federation = fl_path_join(out, "federation"),
        .homes = fl_path_join(out, "homes"),
        .logs = fl_path_join(out, "logs"),
    };
    fl_status st = fl_mkdirs(out, 0755, err);
    if (st == FL_OK) {
        st = play(&g, err);
    }
    launch_stop(&g.coordinator);
    launch_stop(&g.centralised);
    for (size_t c = 0; c < g.n_clients; c++) {
        launch_stop(&g.clients[c]);
    }
    free(g.clients);
    free(g.data);
    free(g.baselines);
    free(g.federation);
    free(g.homes);
    free(g.logs);
    return st;
}
