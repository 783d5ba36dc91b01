/*
 * tool_status.c - `coordinator status`: where each run is, whom it waits for, who is absent and why
 *
 * Reads what a running coordinator writes; may be called at any time, without the passphrase.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"
#include "coordinator/federation.h"
#include "coordinator/record.h"
#include "coordinator/roster.h"
#include "coordinator/tools.h"
#include "job/job.h"

enum { MAX_NAMED = 20 };  // sites of a run that are named on a terminal; JSON names all

static bool as_json;

static const fl_opt options[] = {
    {"json", FL_OPT_FLAG, NULL, "as JSON", &as_json, 0, 0, false},
    {0},
};

const fl_opt *coordinator_status_options(void)
{
    return options;
}

// -------------------------------------------------------------------- a run

/* The answers to a stage, as far as they go. */
typedef struct {
    json_t *sites;  // [{"site", "state", "reason"}]
    json_t *named;  // site: true
    json_t *outside;  // [{"site", "answer", "reason"}]: who has not joined the job
    bool is_check;  // the stage that asks about the job itself
    int in, absent, waiting;
} stage;

static void add_site(stage *s, const char *site, const char *state, const char *reason)
{
    json_object_set_new(s->named, site, json_true());
    json_array_append_new(s->sites, json_pack("{s:s, s:s, s:s?}", "site", site, "state", state,
                                              "reason", reason[0] != '\0' ? reason : NULL));
}

static fl_status add_check(stage *s, const record_answer *a)
{
    static const char *const names[] = {[ROUND_CHECK_ASKED] = "waiting",
                                        [ROUND_CHECK_PENDING] = "waiting",
                                        [ROUND_CHECK_JOINED] = "in",
                                        [ROUND_CHECK_REFUSED] = "absent",
                                        [ROUND_CHECK_MISFIT] = "absent"};
    if (a->state < 0 || a->state > ROUND_CHECK_MISFIT) {
        return FL_OK;  // of a later version
    }
    s->in += a->state == ROUND_CHECK_JOINED;
    s->absent += a->state == ROUND_CHECK_REFUSED || a->state == ROUND_CHECK_MISFIT;
    s->waiting += a->state == ROUND_CHECK_ASKED || a->state == ROUND_CHECK_PENDING;
    add_site(s, a->site.text, names[a->state], a->reason);
    return FL_OK;
}

static fl_status add_answer(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    stage *s = ctx;
    if (s->is_check) {
        return add_check(s, a);
    }
    if (a->state != ROUND_UNASKED) {
        s->in += a->state == ROUND_IN;
        s->absent += a->state == ROUND_ABSENT;
        s->waiting += a->state == ROUND_ASKED;
        add_site(s, a->site.text,
                 a->state == ROUND_IN       ? "in"
                 : a->state == ROUND_ABSENT ? "absent"
                                            : "waiting",
                 a->state == ROUND_ABSENT ? a->reason : "");
    }
    return FL_OK;
}

/* Members that have not said anything about the job. */
static void add_silent(stage *s, const round_machine *m)
{
    for (size_t i = 0; i < round_n_sites(m); i++) {
        const round_site *site = round_at(m, i);
        if (site->member && json_object_get(s->named, site->name.text) == NULL) {
            s->waiting++;
            add_site(s, site->name.text, "waiting", "");
        }
    }
}

/* Sites whose answer to the job is not that they join; of a run that is over its report tells. */
static fl_status list_outside(void *ctx, const record_answer *a, fl_err *err)
{
    static const char *const words[] = {[ROUND_CHECK_ASKED] = "asked",
                                        [ROUND_CHECK_PENDING] = "pending",
                                        [ROUND_CHECK_REFUSED] = "refused",
                                        [ROUND_CHECK_MISFIT] = "misfit"};
    (void)err;
    if (a->state != ROUND_CHECK_JOINED) {
        json_array_append_new(ctx, json_pack("{s:s, s:s, s:s}", "site", a->site.text, "answer",
                                             words[a->state], "reason", a->reason));
    }
    return FL_OK;
}

static fl_status read_stage(stage *s, record *r, const round_machine *m, fl_err *err)
{
    fed_order_kind kind;
    uint32_t round;
    fl_status st = FL_OK;
    s->is_check = round_now(m) == ROUND_CHECKING;
    if (s->is_check) {
        if ((st = record_answers(r, FED_CHECK, 0, add_answer, s, err)) == FL_OK) {
            add_silent(s, m);
        }
    } else if (round_stage(m, &kind, &round)) {
        st = record_answers(r, kind, round, add_answer, s, err);
    }
    return st;
}

/* Of the run's job; 0 where it cannot be read. */
static int64_t quorum_of(const char *dir)
{
    job j;
    char *text = NULL, *path = fl_path_join(dir, "job.yaml");
    size_t n = 0;
    int64_t quorum = 0;
    if (fl_file_read(&text, &n, path, (size_t)1 << 20, NULL) == FL_OK &&
        job_parse(&j, text, n, path, dir, NULL) == FL_OK) {
        quorum = j.sites.quorum;
        job_clear(&j);
    }
    free(text);
    free(path);
    return quorum;
}

static json_t *run_json(const char *name, const char *dir, const round_machine *m, record *r,
                        const stage *s, int64_t n_sites, int64_t n)
{
    char since[32];
    fl_iso_time(since, sizeof since, record_entered_ms(r));
    json_t *run = json_pack("{s:s, s:s, s:I, s:s, s:i, s:i, s:i, s:I, s:I, s:O}", "run", name,
                            "state", round_state_name(round_now(m)), "round",
                            (json_int_t)round_number(m), "since", since, "in", s->in, "absent",
                            s->absent, "waiting", s->waiting, "absent_sites", (json_int_t)n_sites,
                            "absences", (json_int_t)n, "sites", s->sites);
    json_object_set(run, "not_joined", s->outside);
    if (round_now(m) == ROUND_TRAINING && s->waiting == 0) {
        json_object_set_new(run, "quorum", json_integer((json_int_t)quorum_of(dir)));
    }
    return run;
}

static fl_status add_run(json_t *list, const char *dir, const char *name, fl_err *err)
{
    record *r = NULL;
    char *db = fl_path_join(dir, "state.db");
    int64_t n_sites = 0, n = 0;
    fl_status st = record_look(&r, db, NULL, err);
    free(db);
    if (st != FL_OK) {
        return st;
    }
    round_machine *m = round_new(
        &(round_config){.quorum = 1, .patience_ms = INT64_MAX, .n_rounds = UINT32_MAX}, 0);
    stage s = {.sites = json_array(), .named = json_object(), .outside = json_array()};
    if ((st = record_load(r, m, 0, err)) == FL_OK && round_now(m) < ROUND_REPORTING) {
        st = record_answers(r, FED_CHECK, 0, list_outside, s.outside, err);
    }
    if (st == FL_OK && (st = read_stage(&s, r, m, err)) == FL_OK &&
        (s.is_check || (st = record_absences(r, &n_sites, &n, err)) == FL_OK)) {
        json_array_append_new(list, run_json(name, dir, m, r, &s, n_sites, n));
    }
    json_decref(s.sites);
    json_decref(s.named);
    json_decref(s.outside);
    round_destroy(&m);
    record_close(&r);
    return st;
}

static fl_status list_runs(json_t *list, const federation *f, fl_err *err)
{
    char *runs = federation_path(f, "runs");
    char **names = NULL;
    size_t n = 0;
    fl_status st = fl_list_dir(&names, &n, runs, err);
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        char *dir = fl_path_join(runs, names[i]), *db = fl_path_join(dir, "state.db");
        if (fl_file_exists(db)) {
            st = add_run(list, dir, names[i], err);
        }
        free(db);
        free(dir);
    }
    fl_names_free(&names, n);
    free(runs);
    return st;
}

// ----------------------------------------------------------------- for people

/* "  est is absent: silent for 8 s", a line each; then who is waited for, in one line. */
static void print_sites(const json_t *run)
{
    const json_t *sites = json_object_get(run, "sites");
    bool is_check = strcmp(fl_json_get_string(run, "state", ""),
                           round_state_name(ROUND_CHECKING)) == 0;
    size_t i, n_absent = 0, n_waiting = 0;
    json_t *site;
    json_array_foreach ((json_t *)sites, i, site) {
        const char *name = fl_json_get_string(site, "site", "");
        const char *reason = fl_json_get_string(site, "reason", "");
        const char *state = fl_json_get_string(site, "state", "");
        if (strcmp(state, "absent") == 0 && !is_check && n_absent++ < MAX_NAMED) {
            printf("  %s is absent: %s\n", name, reason);
        }
    }
    json_array_foreach (json_object_get(run, "not_joined"), i, site) {
        if (n_absent++ < MAX_NAMED) {
            printf("  %s has not joined: %s\n", fl_json_get_string(site, "site", ""),
                   fl_json_get_string(site, "reason", ""));
        }
    }
    if (n_absent > MAX_NAMED) {
        printf("  and %zu more; --json names all\n", n_absent - MAX_NAMED);
    }
    json_array_foreach ((json_t *)sites, i, site) {
        if (strcmp(fl_json_get_string(site, "state", ""), "waiting") == 0 &&
            n_waiting++ < MAX_NAMED) {
            printf("%s %s", n_waiting == 1 ? "  waiting for" : ",",
                   fl_json_get_string(site, "site", ""));
        }
    }
    if (n_waiting > MAX_NAMED) {
        printf(" and %zu more", n_waiting - MAX_NAMED);
    }
    printf("%s", n_waiting > 0 ? "\n" : "");
}

static void print_run(const json_t *run)
{
    int64_t in = fl_json_get_int(run, "in", 0), absent = fl_json_get_int(run, "absent", 0);
    int64_t all = in + absent + fl_json_get_int(run, "waiting", 0);
    int64_t quorum = fl_json_get_int(run, "quorum", 0), n = fl_json_get_int(run, "absences", 0);
    char sites[48] = "-";  // nobody is asked yet
    if (all > 0) {
        snprintf(sites, sizeof sites, "%" PRId64 " of %" PRId64, in, all);
    }
    printf("%-24s  %-11s  %5" PRId64 "  %-10s  %6" PRId64 "  %s\n",
           fl_json_get_string(run, "run", ""), fl_json_get_string(run, "state", ""),
           fl_json_get_int(run, "round", 0), sites, absent, fl_json_get_string(run, "since", ""));
    print_sites(run);
    if (in < quorum) {
        printf("  fewer than the quorum of %" PRId64 ": it waits for absent sites\n", quorum);
    }
    if (n > absent) {
        printf("  absences of the whole run: %" PRId64 ", of %" PRId64
               " site%s; audit.jsonl, and the report at the end, say when and why\n",
               n, fl_json_get_int(run, "absent_sites", 0),
               fl_json_get_int(run, "absent_sites", 0) == 1 ? "" : "s");
    }
}

/* Who takes part in nothing until a person has compared fingerprints.  New reference. */
static json_t *list_unconfirmed(const roster *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < roster_n(r); i++) {
        const roster_site *s = roster_at(r, i);
        if (s->status == ROSTER_UNCONFIRMED) {
            json_array_append_new(list, json_pack("{s:s, s:s}", "site", s->name.text,
                                                  "fingerprint", s->fingerprint));
        }
    }
    return list;
}

static void print_unconfirmed(const federation *f, const json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach ((json_t *)list, i, one) {
        const char *site = fl_json_get_string(one, "site", "");
        if (i < MAX_NAMED) {
            printf("\n  %s waits to be confirmed: compare %s with its people, by telephone say, "
                   "then:\n  consilium-coordinator sites %s --confirm %s",
                   site, fl_json_get_string(one, "fingerprint", ""), f->dir, site);
        }
    }
    if (json_array_size(list) > MAX_NAMED) {
        printf("\n  and %zu more; `consilium-coordinator sites %s` lists them",
               json_array_size(list) - MAX_NAMED, f->dir);
    }
}

static void print_status(const federation *f, const int n[static 4], const json_t *unconfirmed,
                         const json_t *runs)
{
    printf("federation %s at %s\nsites: %d enrolled, %d invited", f->name, f->address,
           n[ROSTER_ENROLLED], n[ROSTER_INVITED]);
    if (n[ROSTER_UNCONFIRMED] > 0) {
        printf(", %d to be confirmed", n[ROSTER_UNCONFIRMED]);
    }
    if (n[ROSTER_REMOVED] > 0) {
        printf(", %d removed", n[ROSTER_REMOVED]);
    }
    print_unconfirmed(f, unconfirmed);
    if (json_array_size(runs) == 0) {
        printf("\nno run yet: `consilium-coordinator run %s --job JOB.yaml` starts one\n", f->dir);
        return;
    }
    printf("\n\n%-24s  %-11s  %5s  %-10s  %6s  %s\n", "run", "state", "round", "sites in", "absent",
           "since");
    size_t i;
    json_t *run;
    json_array_foreach ((json_t *)runs, i, run) {
        print_run(run);
    }
}

fl_status coordinator_status(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    federation f;
    roster *r = NULL;
    fl_status st = fl_cli_parse(argc, argv, options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = coordinator_look(&f, &r, pos.items[0], err)) != FL_OK) {
        free(pos.items);
        return st;
    }
    int n[4] = {0};
    for (size_t i = 0; i < roster_n(r); i++) {
        n[roster_at(r, i)->status]++;
    }
    json_t *runs = json_array(), *unconfirmed = list_unconfirmed(r);
    st = list_runs(runs, &f, err);
    if (st == FL_OK && as_json) {
        json_t *json = json_pack("{s:s, s:s, s:{s:i, s:i, s:i, s:i}, s:O, s:O}", "federation", f.name,
                                 "address", f.address, "sites", "enrolled", n[ROSTER_ENROLLED],
                                 "unconfirmed", n[ROSTER_UNCONFIRMED], "invited",
                                 n[ROSTER_INVITED], "removed", n[ROSTER_REMOVED], "to_confirm",
                                 unconfirmed, "runs", runs);
        char *text = fl_json_text(json);
        fputs(text, stdout);
        free(text);
        json_decref(json);
    } else if (st == FL_OK) {
        print_status(&f, n, unconfirmed, runs);
    }
    json_decref(unconfirmed);
    json_decref(runs);
    roster_close(&r);
    federation_close(&f);
    free(pos.items);
    return st;
}
