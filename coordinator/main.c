/*
 * main.c - the coordinator's program: a federation's folder, and runs
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cli.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "coordinator/federation.h"
#include "coordinator/renewal.h"
#include "coordinator/roster.h"
#include "coordinator/serve.h"
#include "coordinator/strategy.h"
#include "coordinator/tools.h"
#include "job/job.h"
#include "report/report.h"

enum { LOCK_WAIT_MS = 3000 };

// --------------------------------------------------------------------- init

static struct {
    const char *name, *address;
} init_o;

static const fl_opt init_options[] = {
    {"name", FL_OPT_TEXT, "N", "the federation's name (the folder's)", &init_o.name, 0, 0, false},
    {"address", FL_OPT_TEXT, "tcp://HOST:7700",
     "how hospitals reach this machine (its host name, port 7700)", &init_o.address, 0, 0, false},
    {0},
};

static const fl_opt *get_init_options(void)
{
    return init_options;
}

static fl_status run_init(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    federation f;
    roster *r = NULL;
    fl_status st = fl_cli_parse(argc, argv, init_options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = federation_init(pos.items[0], init_o.name, init_o.address, err)) == FL_OK &&
        (st = coordinator_open(&f, &r, pos.items[0], err)) == FL_OK) {
        char fingerprint[FED_FINGERPRINT_BYTES];
        fed_public_key curve = fed_identity_public(f.identity);
        fed_verify_key sign = fed_identity_verify(f.identity);
        fed_fingerprint(fingerprint, &curve, &sign);
        printf("federation %s at %s\nfingerprint of the coordinator: %s\nnext: "
               "consilium-coordinator invite %s --site NAME\n",
               f.name, f.address, fingerprint, pos.items[0]);
        roster_close(&r);
        federation_close(&f);
    }
    free(pos.items);
    return st;
}

// ------------------------------------------------------------------- remove

static fl_status run_remove(int argc, char **argv, fl_err *err)
{
    static const fl_opt none[] = {{0}};
    fl_texts pos;
    federation f;
    roster *r = NULL;
    fl_status st = fl_cli_parse(argc, argv, none, 2, 2, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = coordinator_look(&f, &r, pos.items[0], err)) == FL_OK) {  // in a hurry: no passphrase
        if ((st = roster_remove(r, pos.items[1], err)) == FL_OK) {
            printf("%s is removed; its keys are refused from now on\n", pos.items[1]);
        }
        roster_close(&r);
        federation_close(&f);
    }
    free(pos.items);
    return st;
}

// ---------------------------------------------------------------------- run

static struct {
    const char *job, *bind, *name;
    bool quiet;
} run_o;

static const fl_opt run_options[] = {
    {"job", FL_OPT_TEXT, "JOB.yaml", "what to train; without it, an unfinished run goes on",
     &run_o.job, 0, 0, false},
    {"bind", FL_OPT_TEXT, "tcp://*:7700",
     "where to listen (all interfaces, the port of the federation's address)", &run_o.bind, 0, 0,
     false},
    {"name", FL_OPT_TEXT, "RUN", "the run's name (the job's)", &run_o.name, 0, 0, false},
    {"quiet", FL_OPT_FLAG, NULL, "nothing on standard output", &run_o.quiet, 0, 0, false},
    {0},
};

static const fl_opt *get_run_options(void)
{
    return run_options;
}

/* The run of DIR that was not finished; *dir stays NULL when there is none. */
static fl_status find_unfinished(char **dir, const federation *f, fl_err *err)
{
    char *runs = federation_path(f, "runs");
    char **names = NULL;
    size_t n = 0;
    fl_status st = fl_list_dir(&names, &n, runs, err);
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        record *r = NULL;
        char *path = fl_path_join(runs, names[i]), *db = fl_path_join(path, "state.db");
        bool named = run_o.name == NULL || strcmp(run_o.name, names[i]) == 0;
        if (named && fl_file_exists(db) &&
            (st = record_open(&r, db, NULL, names[i], err)) == FL_OK) {
            if (record_state(r, err) < ROUND_FINISHED && *dir != NULL) {
                st = fl_fail(err, FL_ECONFLICT,
                             "%s and %s are both unfinished: say which with --name",
                             fl_path_base(*dir), names[i]);
            } else if (record_state(r, err) < ROUND_FINISHED) {
                *dir = fl_xstrdup(path);
            }
            record_close(&r);
        }
        free(db);
        free(path);
    }
    fl_names_free(&names, n);
    free(runs);
    if (st == FL_OK && *dir == NULL && run_o.name != NULL) {
        st = fl_fail(err, FL_ENOTFOUND,
                     "no unfinished run is called %s; `consilium-coordinator status %s` lists them",
                     run_o.name, f->dir);
    }
    return st;
}

static fl_status create_run(char **dir, const federation *f, fl_err *err)
{
    roster *r = NULL;
    char *db = federation_path(f, "federation.db");
    fl_status st = roster_open(&r, db, err);
    if (st == FL_OK) {
        st = run_create(dir, f, r, run_o.job, run_o.name, err);
    }
    roster_close(&r);
    free(db);
    return st;
}

static bool finished_before(const char *dir)
{
    record *r = NULL;
    char *db = fl_path_join(dir, "state.db");
    bool finished = fl_file_exists(db) && record_open(&r, db, NULL, "", NULL) == FL_OK &&
                    record_state(r, NULL) == ROUND_FINISHED;
    record_close(&r);
    free(db);
    return finished;
}

/* One that was killed at the run's last commit has not brought audit.jsonl to its end. */
static fl_status mend_record(const federation *f, const char *dir, fl_err *err)
{
    run *finished = NULL;
    roster *sites = NULL;
    char *db = federation_path(f, "federation.db");
    fl_status st = roster_open(&sites, db, err);
    if (st == FL_OK) {
        st = run_open(&finished, dir, f, sites, fl_now_ms(), NULL, NULL, err);
    }
    run_close(&finished);
    roster_close(&sites);
    free(db);
    return st;
}

static void print_end(const char *dir)
{
    if (run_o.quiet) {
        return;
    }
    json_t *report = NULL;
    char *path = fl_path_join(dir, "report/report.json");
    if (fl_json_read(&report, path, (size_t)1 << 30, NULL) == FL_OK) {
        char *text = report_text(report);
        printf("%s", text);
        free(text);
        json_decref(report);
    }
    printf("report: %s/report/index.html\n", dir);
    free(path);
}

/* "a site was absent once", "2 sites were absent, 7 times in all"; the caller's. */
static char *absences_text(int64_t n_sites, int64_t n)
{
    if (n_sites == 1 && n <= 2) {
        return fl_xasprintf("a site was absent %s", n == 1 ? "once" : "twice");
    }
    if (n_sites == 1) {
        return fl_xasprintf("a site was absent %lld times", (long long)n);
    }
    if (n == n_sites) {
        return fl_xasprintf("%lld sites were absent, each once", (long long)n_sites);
    }
    return fl_xasprintf("%lld sites were absent, %lld times in all", (long long)n_sites,
                        (long long)n);
}

/* Says where the report is; FL_EABSENCES when a site was missing somewhere. */
static fl_status end_run(const char *dir, fl_err *err)
{
    record *r = NULL;
    int64_t n_sites = 0, n = 0;
    char *db = fl_path_join(dir, "state.db");
    print_end(dir);
    fl_status st = record_open(&r, db, NULL, "", err);
    if (st == FL_OK && (st = record_absences(r, &n_sites, &n, err)) == FL_OK) {
        int64_t n_abandoned = record_n_abandoned(r);
        char *absent = absences_text(n_sites, n);
        if (n_abandoned > 0) {
            st = fl_fail(err, FL_EABSENCES,
                         "done, but %lld round%s abandoned%s%s; the report says which and why",
                         (long long)n_abandoned, n_abandoned == 1 ? " was" : "s were",
                         n > 0 ? ", and " : "", n > 0 ? absent : "");
        } else if (n > 0) {
            st = fl_fail(err, FL_EABSENCES, "done, but %s; the report says when and why", absent);
        }
        free(absent);
    }
    record_close(&r);
    free(db);
    return st;
}

/* ZeroMQ writes tcp://[::ffff:10.0.0.1]:7700 and tcp://[::]:7700. */
static void print_address(const char *address)
{
    const char *mapped = strstr(address, "[::ffff:"), *any = strstr(address, "[::]");
    const char *odd = mapped != NULL ? mapped : any, *end = strchr(address, ']');
    if (odd == NULL || end == NULL) {
        printf("listening on %s\n", address);
        return;
    }
    const char *host = mapped != NULL ? mapped + strlen("[::ffff:") : "*]";
    printf("listening on %.*s%.*s%s\n", (int)(odd - address), address, (int)strcspn(host, "]"),
           host, end + 1);
}

static void print_start(serve *s, const char *dir)
{
    if (run_o.quiet) {
        return;
    }
    print_address(serve_address(s));
    if (dir != NULL) {
        char hex[FL_HEX_DIGEST];
        fl_hex(hex, run_digest(serve_active_run(s))->bytes, FL_DIGEST_BYTES);
        printf("run %s, job %s\n", fl_path_base(dir), hex);
        char more[FED_TEXT_BYTES];
        run_describe_extent(serve_active_run(s), more, sizeof more);
        if (more[0] != '\0') {
            printf("besides: %s\n", more);
        }
    } else {
        printf("no job: enrolling and handing out finished models until stopped\n");
    }
    fflush(stdout);
}

/* A person who watches the line of progress wants only warnings beside it. */
static void quieten_terminal(void)
{
    if (isatty(STDERR_FILENO) && getenv("CONSILIUM_LOG") == NULL) {
        fl_log_setup(NULL, FL_LOG_WARN);
    }
}

/* Again with new keys whenever they are due. */
static fl_status serve_with_keys(federation *f, const serve_config *cfg, fl_err *err)
{
    fl_status st;
    bool renews = false;
    do {
        serve *s = NULL;
        if ((renews && (st = renewal_take(f, err)) != FL_OK) ||
            (st = serve_new(&s, cfg, err)) != FL_OK) {
            return st;
        }
        if (!renews) {
            fl_catch_signals();
            print_start(s, cfg->run_dir);
            if (cfg->run_dir != NULL) {
                quieten_terminal();
            }
        }
        st = serve_run(s, err);
        renews = st == FL_OK && serve_wants_new_keys(s);
        serve_destroy(&s);
    } while (renews);
    return st;
}

static fl_status serve_until_done(federation *f, const char *dir, fl_err *err)
{
    char bind[32];
    int port = FEDERATION_PORT;
    fl_status st = federation_port(&port, f->address, err);
    snprintf(bind, sizeof bind, "tcp://*:%d", port);
    serve_config cfg = {.fed = f, .bind = run_o.bind != NULL ? run_o.bind : bind, .run_dir = dir};
    if (st == FL_OK) {
        st = serve_with_keys(f, &cfg, err);
    }
    if (st == FL_EFULL) {
        return fl_wrap(
            err, st,
            "the disk is full; nothing is lost, make room and start again with the same command");
    }
    return st == FL_OK && dir != NULL ? end_run(dir, err) : st;
}

static fl_status run_run(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    federation f;
    char *dir = NULL;
    fl_status st = fl_cli_parse(argc, argv, run_options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = federation_open(&f, pos.items[0], err)) != FL_OK) {
        free(pos.items);
        return st;
    }
    if ((st = federation_lock(&f, LOCK_WAIT_MS, err)) != FL_OK) {
        goto done;
    }
    st = run_o.job != NULL ? create_run(&dir, &f, err) : find_unfinished(&dir, &f, err);
    if (st != FL_OK) {
        goto done;
    }
    if (run_o.job != NULL && finished_before(dir)) {
        if ((st = mend_record(&f, dir, err)) != FL_OK) {
            goto done;
        }
        if (!run_o.quiet) {
            printf("run %s is finished\n", fl_path_base(dir));
        }
        st = end_run(dir, err);
        goto done;
    }
    st = serve_until_done(&f, dir, err);
done:
    free(dir);
    federation_close(&f);
    free(pos.items);
    return st;
}

// --------------------------------------------------------------------- keys

static fl_status run_keys(int argc, char **argv, fl_err *err)
{
    static const fl_opt none[] = {{0}};
    fl_texts pos;
    fl_status st = fl_cli_parse(argc, argv, none, 0, 0, &pos, err);
    if (st == FL_OK) {
        printf("# job.yaml\n");
        job_describe(stdout);
        strategy_describe(stdout);
        printf("\n# federation.yaml\n");
        federation_describe(stdout);
        free(pos.items);
    }
    return st;
}

static const fl_command commands[] = {
    {"init", "DIR [--name N] [--address tcp://HOST:7700]",
     "make a federation: a folder with the coordinator's keys", NULL, run_init, get_init_options},
    {"invite", "DIR --site NAME [--address A] [--out FILE] [--days D] [--confirm]",
     "write a one-time invitation for a hospital",
     "The file holds a one-time key: whoever has it can enrol once, under that name.  "
     "With\n--confirm the site takes part only after "
     "`sites DIR --confirm NAME`, when the\nfingerprints were compared, by telephone for example.",
     coordinator_invite, coordinator_invite_options},
    {"run", "DIR [--job JOB.yaml] [--bind tcp://*:7700] [--name RUN] [--quiet]",
     "run a job to its end, or go on with one",
     "The same job goes on where it was stopped or killed.  Without --job an unfinished run\ngoes "
     "on; when there is none, hospitals can "
     "enrol and fetch finished models until the\nprogram is stopped.\n\nOn a terminal there is one "
     "line "
     "of progress, and warnings; elsewhere every event has a\nline. CONSILIUM_LOG=error, warn, "
     "info or "
     "debug chooses.\n\nExit code 3: the run is done, and some site was absent somewhere.",
     run_run, get_run_options},
    {"sites", "DIR [--json] [--confirm SITE]", "list the hospitals with their fingerprints", NULL,
     coordinator_sites, coordinator_sites_options},
    {"remove", "DIR SITE", "revoke a hospital's keys at once", NULL, run_remove, NULL},
    {"passphrase", "DIR [--remove]", "put the coordinator's keys under a passphrase",
     "The keys are then read only with the passphrase (Argon2id): at a terminal, from "
     "the\nfile that CONSILIUM_PASSPHRASE_FILE names, or as systemd's credential "
     "`passphrase`.\nCONSILIUM_NEW_PASSPHRASE_FILE names a file with the new one where "
     "there is no\nterminal.",
     coordinator_passphrase, coordinator_passphrase_options},
    {"rotate", "DIR [--now]", "give the coordinator new keys, under the old ones' signature",
     "The coordinator that runs tells every site, also one that comes back weeks later, and "
     "takes\nthe new keys when all know them: it listens anew, the run goes on.  Until then the "
     "old keys\nare in use.  With --now it does not wait; sites that do not know the new keys "
     "then need\nkeys/former.jsonl (`consilium-client trust`).  Again: says who is waited for.  "
     "The record\nof a run names the new keys, and `verify` follows them.",
     coordinator_rotate, coordinator_rotate_options},
    {"status", "DIR [--json]", "show what the runs are doing", NULL, coordinator_status,
     coordinator_status_options},
    {"verify", "DIR/runs/R [--json]", "check a run's record, signatures and models, offline",
     "Holds audit.jsonl, its signed head, state.db, the signature of every contribution and\nevery "
     "model against each other, and names the first line or file that does not hold.",
     coordinator_verify, coordinator_verify_options},
    {"report", "DIR/runs/R [--baselines FILE.json] [--compare DIR/runs/S]...",
     "make the pages of a finished run again", NULL, coordinator_report,
     coordinator_report_options},
    {"aggregate",
     "--strategy S --global G --out OUT [--param K=V]... [--state FILE] U1:N1 [U2:N2 ...]",
     "one aggregation step from files, without a network",
     "U1, U2 ... are safetensors of updates (trained - global) over the table of G, N1, N2 ... "
     "their\nnumbers of training cases.  The "
     "same function as in a round, so the same bits.",
     coordinator_aggregate, coordinator_aggregate_options},
    {"keys", "", "the reference of the keys in job.yaml and federation.yaml", NULL, run_keys, NULL},
    {0},
};

static const fl_program program = {
    "consilium-coordinator",
    "brings hospitals together to train one model; images stay where they are",
    commands,
};

int main(int argc, char **argv)
{
    fed_init();
    return fl_cli_main(&program, argc, argv);
}
