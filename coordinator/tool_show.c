/*
 * tool_show.c - `coordinator sites` and `coordinator status`
 *
 * Read what a running coordinator writes; both may be called at any time.
 */
#include <inttypes.h>
#include <math.h>
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

static fl_status open_roster(federation *f, roster **r, const char *dir, fl_err *err)
{
    fl_status st = federation_open(f, dir, err);
    if (st != FL_OK) {
        return st;
    }
    char *db = federation_path(f, "federation.db");
    if ((st = roster_open(r, db, err)) != FL_OK) {
        federation_close(f);
    }
    free(db);
    return st;
}

static void print_json(json_t *json)
{
    char *text = fl_json_text(json);
    fputs(text, stdout);
    free(text);
    json_decref(json);
}

static void time_text(char out[static 32], int64_t wall_ms)
{
    if (wall_ms == 0) {
        snprintf(out, 32, "-");
    } else {
        fl_iso_time(out, 32, wall_ms);
    }
}

// -------------------------------------------------------------------- sites

static struct {
    const char *confirm;
    bool json;
} sites_o;

static const fl_opt sites_options[] = {
    {"confirm", FL_OPT_TEXT, "SITE", "the fingerprint of this site was compared and is right",
     &sites_o.confirm, 0, 0, false},
    {"json", FL_OPT_FLAG, NULL, "as JSON", &sites_o.json, 0, 0, false},
    {0},
};

const fl_opt *coordinator_sites_options(void)
{
    return sites_options;
}

static json_t *site_json(const roster_site *s)
{
    char enrolled[32], seen[32], expires[32];
    time_text(enrolled, s->enrolled_ms);
    time_text(seen, s->seen_ms);
    time_text(expires, s->expires_ms);
    return json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?}", "name", s->name.text, "status",
                     roster_status_text(s->status), "fingerprint",
                     s->fingerprint[0] != '\0' ? s->fingerprint : NULL, "enrolled",
                     s->enrolled_ms != 0 ? enrolled : NULL, "seen", s->seen_ms != 0 ? seen : NULL,
                     "expires", s->expires_ms != 0 ? expires : NULL, "software",
                     s->software[0] != '\0' ? s->software : NULL);
}

static void print_site(const roster_site *s)
{
    char when[32];
    bool invited = s->status == ROSTER_INVITED;
    time_text(when, invited ? s->expires_ms : s->seen_ms);
    printf("%-16s  %-11s  %-39s  %s%s\n", s->name.text, roster_status_text(s->status),
           s->fingerprint[0] != '\0' ? s->fingerprint : "-", invited ? "until " : "", when);
}

fl_status coordinator_sites(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    federation f;
    roster *r = NULL;
    fl_status st = fl_cli_parse(argc, argv, sites_options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = open_roster(&f, &r, pos.items[0], err)) != FL_OK) {
        goto done;
    }
    if (sites_o.confirm != NULL && (st = roster_confirm(r, sites_o.confirm, err)) != FL_OK) {
        goto close;
    }
    json_t *list = json_array();
    if (!sites_o.json && roster_n(r) > 0) {
        printf("%-16s  %-11s  %-39s  %s\n", "site", "status", "fingerprint", "connected");
    }
    for (size_t i = 0; i < roster_n(r); i++) {
        if (sites_o.json) {
            json_array_append_new(list, site_json(roster_at(r, i)));
        } else {
            print_site(roster_at(r, i));
        }
    }
    if (sites_o.json) {
        print_json(list);
    } else {
        json_decref(list);
        if (roster_n(r) == 0) {
            printf(
                "no site yet: `consilium-coordinator invite %s --site NAME` makes an invitation\n",
                pos.items[0]);
        }
    }
close:
    roster_close(&r);
    federation_close(&f);
done:
    free(pos.items);
    return st;
}

// ------------------------------------------------------------------- status

static bool status_json;

static const fl_opt status_options[] = {
    {"json", FL_OPT_FLAG, NULL, "as JSON", &status_json, 0, 0, false},
    {0},
};

const fl_opt *coordinator_status_options(void)
{
    return status_options;
}

/* The stage's answers of a run, counted. */
typedef struct {
    int in, absent, asked;
} tally;

static fl_status count_answer(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    tally *t = ctx;
    t->in += a->state == ROUND_IN;
    t->absent += a->state == ROUND_ABSENT;
    t->asked += a->state == ROUND_ASKED;
    return FL_OK;
}

/* Sites whose answer to the job is not that they join; of a run that is over they are in its report. */
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

static fl_status run_status(json_t *list, const char *dir, const char *name, fl_err *err)
{
    record *r = NULL;
    char *db = fl_path_join(dir, "state.db"), since[32];
    fl_status st = record_open(&r, db, NULL, name, err);
    free(db);
    if (st != FL_OK) {
        return st;
    }
    round_machine *m = round_new(
        &(round_config){.quorum = 1, .patience_ms = INT64_MAX, .n_rounds = UINT32_MAX}, 0);
    tally t = {0};
    fed_order_kind kind;
    uint32_t round;
    st = record_load(r, m, 0, err);
    if (st == FL_OK && round_now(m) != ROUND_CHECKING && round_stage(m, &kind, &round)) {
        st = record_answers(r, kind, round, count_answer, &t, err);
    }
    json_t *outside = json_array();
    if (st == FL_OK && round_now(m) < ROUND_REPORTING) {
        st = record_answers(r, FED_CHECK, 0, list_outside, outside, err);
    }
    if (st == FL_OK) {
        fl_iso_time(since, sizeof since, record_entered_ms(r));
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:s, s:i, s:i, s:i, s:O}", "run",
                                              name, "state", round_state_name(round_now(m)),
                                              "round", (json_int_t)round_number(m), "since", since,
                                              "in", t.in, "absent", t.absent, "waiting", t.asked,
                                              "not_joined", outside));
    }
    json_decref(outside);
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
            st = run_status(list, dir, names[i], err);
        }
        free(db);
        free(dir);
    }
    fl_names_free(&names, n);
    free(runs);
    return st;
}

static void print_run(const json_t *run)
{
    int64_t in = fl_json_get_int(run, "in", 0), absent = fl_json_get_int(run, "absent", 0);
    int64_t all = in + absent + fl_json_get_int(run, "waiting", 0);
    char sites[48] = "-";  // nobody is asked yet
    if (all > 0) {
        snprintf(sites, sizeof sites, "%" PRId64 " of %" PRId64, in, all);
    }
    printf("%-24s  %-11s  %5" PRId64 "  %-10s  %6" PRId64 "  %s\n",
           fl_json_get_string(run, "run", ""), fl_json_get_string(run, "state", ""),
           fl_json_get_int(run, "round", 0), sites, absent, fl_json_get_string(run, "since", ""));
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(run, "not_joined"), i, site) {
        printf("  %s has not joined: %s\n", fl_json_get_string(site, "site", ""),
               fl_json_get_string(site, "reason", ""));
    }
}

static void print_status(const federation *f, const int n[static 4], const json_t *runs)
{
    printf("federation %s at %s\nsites: %d enrolled, %d invited", f->name, f->address,
           n[ROSTER_ENROLLED], n[ROSTER_INVITED]);
    if (n[ROSTER_UNCONFIRMED] > 0) {
        printf(", %d to be confirmed", n[ROSTER_UNCONFIRMED]);
    }
    if (n[ROSTER_REMOVED] > 0) {
        printf(", %d removed", n[ROSTER_REMOVED]);
    }
    if (json_array_size(runs) == 0) {
        printf("\nno run yet: `consilium-coordinator run %s --job JOB.yaml` starts one\n", f->dir);
        return;
    }
    printf("\n\n%-24s  %-11s  %5s  %-10s  %6s  %s\n", "run", "state", "round", "sites in", "absent",
           "since");
    size_t i;
    json_t *run;
    json_array_foreach((json_t *)runs, i, run)
    {
        print_run(run);
    }
}

fl_status coordinator_status(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    federation f;
    roster *r = NULL;
    fl_status st = fl_cli_parse(argc, argv, status_options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = open_roster(&f, &r, pos.items[0], err)) != FL_OK) {
        free(pos.items);
        return st;
    }
    int n[4] = {0};
    for (size_t i = 0; i < roster_n(r); i++) {
        n[roster_at(r, i)->status]++;
    }
    json_t *runs = json_array();
    st = list_runs(runs, &f, err);
    if (st == FL_OK && status_json) {
        print_json(json_pack("{s:s, s:s, s:{s:i, s:i, s:i, s:i}, s:O}", "federation", f.name,
                             "address", f.address, "sites", "enrolled", n[ROSTER_ENROLLED],
                             "unconfirmed", n[ROSTER_UNCONFIRMED], "invited", n[ROSTER_INVITED],
                             "removed", n[ROSTER_REMOVED], "runs", runs));
    } else if (st == FL_OK) {
        print_status(&f, n, runs);
    }
    json_decref(runs);
    roster_close(&r);
    federation_close(&f);
    free(pos.items);
    return st;
}
