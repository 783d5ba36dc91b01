/*
 * report_build.c - see report_build.h
 */
#include "coordinator/report_build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/mem.h"
#include "base/sys.h"
#include "coordinator/calibrate.h"
#include "coordinator/choose.h"
#include "coordinator/cross_site.h"
#include "coordinator/pooled.h"
#include "fed/msg.h"
#include "model/model.h"
#include "report/read.h"

/* A site's answer to the job and its part in the rounds. */
typedef struct {
    fed_site_id name;
    int check;                    // round_check; -1: never answered
    char reason[FED_TEXT_BYTES];  // why it did not join, or has no figures
    int64_t rounds_joined;
    int64_t rounds_chosen;  // where the strategy chooses
    double weight;  // of its last update
    bool seen;      // has a row in the round that is looked at
    bool asked;     // had one in an earlier round
    bool removed;   // from the federation, meanwhile
    json_t *earlier_homes;  // as the report has them; NULL: none
} taking_part;

typedef struct {
    const report_build_input *in;
    taking_part *site;  // sorted by name
    size_t n_sites;
    json_t *participants, *absent, *curves;  // of the round that is looked at
    json_t *steps;                           // likewise, where partial work counts
    json_t *carried;                         // likewise, where late updates do
    json_t *chosen;                          // likewise, where the strategy chooses
    bool abandoned;                          // likewise: it has no model of its own
    json_t *sites;                           // report's "sites"
} build;

// -------------------------------------------------------------------- sites

static int by_name(const void *a, const void *b)
{
    return strcmp(((const taking_part *)a)->name.text, ((const taking_part *)b)->name.text);
}

static taking_part *find_site(build *b, const fed_site_id *name)
{
    taking_part wanted = {.name = *name};
    return b->n_sites == 0 ? NULL : bsearch(&wanted, b->site, b->n_sites, sizeof *b->site, by_name);
}

static fl_status note_check(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    taking_part *site = find_site(ctx, &a->site);
    if (site != NULL) {
        site->check = a->state;
        snprintf(site->reason, sizeof site->reason, "%s%.480s",
                 a->state == ROUND_CHECK_PENDING  ? "had not joined yet: "
                 : a->state == ROUND_CHECK_MISFIT ? "its data do not fit the job: "
                                                  : "",
                 a->reason);
    }
    return FL_OK;
}

/* Homes that ended in mid-run, and whose site has another, or waits for it. */
static fl_status note_home(void *ctx, const record_home *home, fl_err *err)
{
    (void)err;
    taking_part *site = find_site(ctx, &home->site);
    if (site != NULL) {
        site->earlier_homes = site->earlier_homes != NULL ? site->earlier_homes : json_array();
        json_array_append_new(site->earlier_homes,
                              json_pack("{s:I, s:i, s:I}", "last_round",
                                        (json_int_t)home->last_round, "rounds_joined", 0, "n_train",
                                        (json_int_t)fed_offer_get(&home->joined, "n_train", 0)));
    }
    return FL_OK;
}

/* Everyone the run knew of, sorted, with the answer to the job. */
static fl_status list_sites(build *b, fl_err *err)
{
    size_t n = round_n_sites(b->in->machine);
    b->site = fl_xcalloc(n, sizeof *b->site);
    for (size_t i = 0; i < n; i++) {
        const round_site *s = round_at(b->in->machine, i);
        taking_part *site = &b->site[b->n_sites++];
        *site = (taking_part){.name = s->name, .check = -1, .removed = !s->member};
        snprintf(site->reason, sizeof site->reason, "%s",
                 s->member ? "never answered"
                           : "removed from the federation before it answered");
    }
    qsort(b->site, b->n_sites, sizeof *b->site, by_name);
    fl_status st = record_answers(b->in->record, FED_CHECK, 0, note_check, b, err);
    return st == FL_OK ? record_homes(b->in->record, note_home, b, err) : st;
}

/* An update of round is in the model: whose was it? */
static void count_home(taking_part *site, uint32_t round)
{
    size_t i;
    json_t *home;
    json_array_foreach(site->earlier_homes, i, home) {
        if ((int64_t)round <= fl_json_get_int(home, "last_round", 0)) {
            int64_t n = fl_json_get_int(home, "rounds_joined", 0);
            json_object_set_new(home, "rounds_joined", json_integer((json_int_t)n + 1));
            return;
        }
    }
}

static json_t *absence(const char *site, const char *reason)
{
    char clean[FED_TEXT_BYTES];  // cut in mid-letter it would be no JSON
    return json_pack("{s:s, s:s}", "site", site, "reason",
                     fed_msg_clean_text(clean, sizeof clean, reason));
}

// ------------------------------------------------------------------- rounds

static fl_status note_update(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    build *b = ctx;
    taking_part *site = find_site(b, &a->site);
    if (a->state == ROUND_IN && b->abandoned) {
        const char *why = "its update went with the round, which was abandoned";
        json_array_append_new(b->absent, absence(a->site.text, why));
    } else if (a->state == ROUND_IN) {
        json_array_append_new(b->participants, json_string(a->site.text));
        json_object_set_new(b->steps, a->site.text,
                            json_integer((json_int_t)fed_offer_get(&a->offer, "steps", 0)));
        if (site != NULL) {
            site->rounds_joined++;
            count_home(site, a->offer.key.round.n);
            site->weight = fed_offer_get(&a->offer, "weight", 1);
        }
    } else {
        json_array_append_new(b->absent, absence(a->site.text, a->reason));
    }
    if (site != NULL) {
        site->seen = true;
    }
    return FL_OK;
}

static fl_status note_carried(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    build *b = ctx;
    json_array_append_new(b->carried, json_pack("{s:s, s:I}", "site", a->site.text, "from",
                                                (json_int_t)a->offer.key.round.n));
    return FL_OK;
}

static fl_status note_chosen(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    build *b = ctx;
    taking_part *site = find_site(b, &a->site);
    json_array_append_new(b->chosen, json_string(a->site.text));
    if (site != NULL) {
        site->rounds_chosen++;
    }
    return FL_OK;
}

/* Beside figures some of which are null. */
static void say_why(json_t *figures, const char *why)
{
    const char *name;
    const json_t *figure;
    bool any = false;
    json_object_foreach(figures, name, figure) {
        any = any || json_is_null(figure);
    }
    if (any) {
        json_object_set_new(figures, "why", json_string(why));
    }
}

static fl_status note_score(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    build *b = ctx;
    if (a->state == ROUND_IN) {
        const data_task task = b->in->job->data.task;
        json_t *point = json_object();
        const char *name;
        for (size_t i = 0; (name = task_quick_of_task(task, i)) != NULL; i++) {
            json_object_set_new(point, name, fl_json_number(fed_offer_get(&a->offer, name, NAN)));
        }
        json_object_set_new(point, "n",
                            json_integer((json_int_t)fed_offer_get(&a->offer, "n", 0)));
        say_why(point, "too few validation cases, or of a class, for what is null");
        json_object_set_new(b->curves, a->site.text, point);
    }
    return FL_OK;
}

/* Why a site that joined was not asked. */
static const char *outside(const taking_part *site)
{
    return site->removed                 ? "removed from the federation"
           : site->earlier_homes != NULL ? "its new home had not joined yet"
                                         : "was not asked";
}

/* Who was not asked in this round, and why. */
static void add_outsiders(build *b)
{
    for (size_t i = 0; i < b->n_sites; i++) {
        if (!b->site[i].seen) {
            const char *why = b->site[i].check != ROUND_CHECK_JOINED ? b->site[i].reason
                              : b->site[i].asked                     ? outside(&b->site[i])
                                                                     : "joined later";
            json_array_append_new(b->absent, absence(b->site[i].name.text, why));
        }
    }
}

/* The task's figures over all sites, and of each. */
static json_t *validation_json(const build *b, const choose_score *score)
{
    const char *name;
    json_t *json = json_object();
    for (size_t i = 0; (name = task_quick_of_task(b->in->job->data.task, i)) != NULL; i++) {
        json_object_set_new(json, name, fl_json_number(task_quick_metric(&score->figures, name)));
    }
    json_object_set_new(json, "n", json_integer((json_int_t)score->n));
    say_why(json, "no hospital could say what is null");
    json_object_set_new(json, "sites", b->curves);
    return json;
}

static fl_status build_round(build *b, uint32_t round, json_t **out, fl_err *err)
{
    record_model model;
    choose_score score;
    fl_status st;
    char hex[FL_HEX_DIGEST], why[FED_TEXT_BYTES];
    b->abandoned = record_is_abandoned(b->in->record, round, why);
    b->carried = json_array();
    b->chosen = json_array();
    b->participants = json_array();
    b->absent = json_array();
    b->curves = json_object();
    b->steps = json_object();
    for (size_t i = 0; i < b->n_sites; i++) {
        b->site[i].asked = b->site[i].asked || b->site[i].seen;
        b->site[i].seen = false;
    }
    if ((st = record_get_model(b->in->record, round, &model, err)) != FL_OK ||
        (st = record_answers(b->in->record, FED_TRAIN, round, note_update, b, err)) != FL_OK ||
        (st = record_carried(b->in->record, round, note_carried, b, err)) != FL_OK ||
        (st = record_chosen(b->in->record, round, note_chosen, b, err)) != FL_OK ||
        (st = record_answers(b->in->record, FED_SCORE, round, note_score, b, err)) != FL_OK ||
        (st = choose_score_of(&score, b->in->record, round, err)) != FL_OK) {
        json_decref(b->participants);
        json_decref(b->absent);
        json_decref(b->curves);
        json_decref(b->steps);
        json_decref(b->carried);
        json_decref(b->chosen);
        return st;
    }
    add_outsiders(b);
    fl_hex(hex, model.id.bytes, sizeof model.id.bytes);
    *out = json_pack("{s:I, s:o, s:I, s:I, s:o, s:o, s:o, s:s, s:o}",
                     "round", (json_int_t)round, "seconds", fl_json_number(model.seconds),
                     "bytes_up", (json_int_t)model.bytes_up, "bytes_down",
                     (json_int_t)model.bytes_down, "loss", fl_json_number(model.loss),
                     "participants", b->participants, "absent", b->absent, "model_sha256", hex,
                     "validation", validation_json(b, &score));
    if (b->in->job->sites.partial) {
        json_object_set(*out, "steps", b->steps);
    }
    json_decref(b->steps);
    if (b->in->job->sites.late == JOB_LATE_CARRY) {
        json_object_set(*out, "carried", b->carried);
    }
    json_decref(b->carried);
    if (b->in->strategy->ops->choose != NULL) {
        json_object_set(*out, "chosen", b->chosen);
    }
    json_decref(b->chosen);
    if (b->abandoned) {
        json_object_set_new(*out, "abandoned", json_string(why));
    }
    return FL_OK;
}

static fl_status build_rounds(build *b, json_t *report, fl_err *err)
{
    json_t *rounds = json_array();
    json_object_set_new(report, "rounds", rounds);
    for (uint32_t r = 1; r <= (uint32_t)b->in->job->rounds; r++) {
        json_t *round = NULL;
        fl_status st = build_round(b, r, &round, err);
        if (st != FL_OK) {
            return st;
        }
        json_array_append_new(rounds, round);
    }
    return FL_OK;
}

// ------------------------------------------------------------------ figures

static fl_status note_test(void *ctx, const record_answer *a, fl_err *err)
{
    build *b = ctx;
    taking_part *site = find_site(b, &a->site);
    json_t *json = NULL;
    if (a->state != ROUND_IN) {
        if (site != NULL) {
            snprintf(site->reason, sizeof site->reason, "no test figures: %.480s", a->reason);
            site->seen = false;
        }
        return FL_OK;
    }
    fl_status st = fl_json_parse(&json, a->payload, a->n_payload, a->n_payload, a->site.text, err);
    if (st != FL_OK) {
        return st;
    }
    json_object_set_new(json, "weight", fl_json_number(site != NULL ? site->weight : NAN));
    json_object_set_new(json, "rounds_joined",
                        json_integer(site != NULL ? site->rounds_joined : 0));
    json_object_del(json, "rounds_chosen");  // not the site's to say
    if (b->in->strategy->ops->choose != NULL) {
        json_object_set_new(json, "rounds_chosen",
                            json_integer(site != NULL ? site->rounds_chosen : 0));
    }
    json_object_del(json, "earlier_homes");
    if (site != NULL && site->earlier_homes != NULL) {
        json_object_set(json, "earlier_homes", site->earlier_homes);
    }
    json_array_append_new(b->sites, json);
    if (site != NULL) {
        site->seen = true;
    }
    return FL_OK;
}

/* {SITE: n}: how often each opened its test split, when it was tested. */
static json_t *looks_of(const json_t *sites)
{
    json_t *looks = json_object(), *site;
    size_t i;
    json_array_foreach(sites, i, site) {
        json_object_set_new(looks, fl_json_get_string(site, "name", ""),
                            json_integer(fl_json_get_int(site, "test_opened", 1)));
    }
    return looks;
}

/* What came of them in the end: beside each site, and the most. */
static void put_looks(json_t *report, json_t *sites, const json_t *looks)
{
    json_int_t most = 0;
    size_t i;
    json_t *site;
    json_array_foreach(sites, i, site) {
        json_int_t n = fl_json_get_int(looks, fl_json_get_string(site, "name", ""), 1);
        json_object_set_new(site, "test_opened", json_integer(n));
        most = n > most ? n : most;
    }
    json_object_set_new(report, "test_evaluations", json_integer(most));
}

static fl_status build_sites(build *b, json_t *report, fl_err *err)
{
    b->sites = json_array();
    json_object_set_new(report, "sites", b->sites);
    for (size_t i = 0; i < b->n_sites; i++) {
        b->site[i].seen = false;
    }
    fl_status st = record_answers(b->in->record, FED_TEST, b->in->selected, note_test, b, err);
    if (st != FL_OK) {
        return st;
    }
    json_t *absent = json_array(), *missing = json_array();
    for (size_t i = 0; i < b->n_sites; i++) {
        if (!b->site[i].seen) {
            const char *why = b->site[i].reason[0] != '\0' ? b->site[i].reason
                                                           : outside(&b->site[i]);
            json_array_append_new(absent, absence(b->site[i].name.text, why));
            json_array_append_new(missing, json_string(b->site[i].name.text));
        }
    }
    json_object_set_new(report, "absent", absent);
    json_object_set_new(report, "pooled", pooled_build(b->sites, missing, b->in->job->data.task));
    json_object_set_new(report, "baselines", json_object());
    json_t *looks = looks_of(b->sites);
    if (b->in->job->evaluation.cross_site) {
        json_t *matrix;
        st = cross_site_json(&matrix, looks, b->in->record, b->in->selected, err);
        if (st == FL_OK) {
            json_object_set_new(json_object_get(report, "baselines"), "cross_site", matrix);
        }
    }
    put_looks(report, b->sites, looks);
    json_decref(looks);
    json_object_set_new(report, "fairness", pooled_fairness(b->sites, b->in->job->data.task));
    json_decref(missing);
    return st;
}

// -------------------------------------------------------------- the settings

static json_t *strategy_settings(const strategy *s)
{
    json_t *settings = json_object();
    for (const strategy_param *p = s->ops->params; p->key != NULL; p++) {
        json_object_set_new(settings, p->key, json_real(s->value[p - s->ops->params]));
    }
    bool is_uniform = s->uniform || s->ops->sees == STRATEGY_EACH;
    json_object_set_new(settings, "weights", json_string(is_uniform ? "uniform" : "samples"));
    return settings;
}

static void add_head(const report_build_input *in, json_t *report)
{
    const job *j = in->job;
    char created[32], hex[FL_HEX_DIGEST];
    fl_iso_time(created, sizeof created, record_entered_ms(in->record));
    fl_hex(hex, in->model_id.bytes, sizeof in->model_id.bytes);
    json_t *classes = json_array();
    for (size_t i = 0; i < j->data.n_classes; i++) {
        json_array_append_new(classes, json_string(j->data.classes[i]));
    }
    const model_ops *ops = model_find(j->model.name);
    json_object_set_new(report, "format", json_string(REPORT_FORMAT));
    json_object_set_new(report, "job", json_string(j->name));
    json_object_set_new(report, "intended_use", json_string(j->intended_use));
    json_object_set_new(report, "task", json_string(data_task_name(j->data.task)));
    json_object_set_new(report, "run", json_string(in->run));
    json_object_set_new(report, "federation", json_string(in->federation));
    json_object_set_new(report, "created", json_string(created));
    json_object_set_new(report, "names", json_string(j->codes ? "codes" : "real"));
    json_object_set_new(report, "classes", classes);
    json_object_set_new(report, "positive",
                        j->data.positive >= 0 ? json_string(j->data.classes[j->data.positive])
                                              : json_null());
    json_object_set_new(report, "strategy", json_string(in->strategy->ops->name));
    json_object_set_new(report, "strategy_settings", strategy_settings(in->strategy));
    json_object_set_new(report, "strategy_paper", json_string(in->strategy->ops->paper));
    json_object_set_new(report, "seed", json_integer((json_int_t)j->seed));
    json_object_set_new(report, "rounds_done",
                        json_integer(j->rounds - record_n_abandoned(in->record)));
    json_object_set_new(report, "rounds_planned", json_integer(j->rounds));
    json_object_set_new(report, "simulated", json_false());
    json_object_set_new(
        report, "model",
        json_pack("{s:s, s:s, s:I, s:s}", "name",
                  ops != NULL ? ops->name : fl_path_base(j->model.onnx), "paper",
                  ops != NULL ? ops->paper : "", "parameters", (json_int_t)in->n_parameters,
                  "sha256", hex));
}

static fl_status add_choices(const report_build_input *in, json_t *report, fl_err *err)
{
    static const char *const rules[] = {[EVAL_RULE_FIXED] = "fixed",
                                        [EVAL_RULE_SENSITIVITY] = "sensitivity",
                                        [EVAL_RULE_YOUDEN] = "youden"};
    const job *j = in->job;
    uint32_t selected;
    double value, threshold;
    int64_t bins;
    char why[FED_TEXT_BYTES];
    fl_status st;
    if ((st = choose_round(&selected, &value, in->record, j, err)) != FL_OK ||
        (st = record_get_threshold(in->record, &threshold, &bins, why, err)) != FL_OK) {
        return st;
    }
    json_t *margin = json_object();
    for (size_t i = 0; i < j->evaluation.n_margins; i++) {
        json_object_set_new(margin, j->evaluation.margin[i].metric,
                            json_real(j->evaluation.margin[i].value));
    }
    json_object_set_new(
        report, "select",
        json_pack("{s:I, s:s, s:s, s:s, s:o}", "round", (json_int_t)in->selected, "metric",
                  j->select.metric, "split", data_split_name(j->select.split), "keep",
                  j->select.best ? "best" : "last", "value", fl_json_number(value)));
    if (isnan(value)) {
        json_object_set_new(json_object_get(report, "select"), "why",
                            json_string("no site could send it, without a validation split or with too "
                                        "few patients in it: the last round is used"));
    }
    json_object_set_new(
        report, "threshold",
        json_pack("{s:s, s:o, s:s, s:o, s:I, s:s}", "rule", rules[j->evaluation.rule], "at",
                  fl_json_number(j->evaluation.rule == EVAL_RULE_YOUDEN ? NAN : j->evaluation.at),
                  "split", "val", "value", fl_json_number(threshold), "bins", (json_int_t)bins,
                  "why", why));
    json_object_set_new(report, "evaluation",
                        json_pack("{s:o, s:I, s:I, s:s}", "margin", margin, "min_cell",
                                  (json_int_t)j->evaluation.min_cell, "histogram_bins",
                                  (json_int_t)j->evaluation.histogram_bins, "local_budget",
                                  j->evaluation.local_baseline ? "same_steps" : "none"));
    calibration calibrated;
    if ((st = calibrate_of(&calibrated, in->record, j, in->selected, err)) != FL_OK) {
        return st;
    }
    json_t *calibration_json = calibrate_json(&calibrated, j);
    if (calibration_json != NULL) {
        json_object_set_new(report, "calibration", calibration_json);
    }
    return FL_OK;
}

// ------------------------------------------------- privacy, security, machines

static void add_privacy(const report_build_input *in, json_t *report)
{
    const job *j = in->job;
    json_object_set_new(
        report, "privacy",
        json_pack("{s:b, s:s, s:s, s:[s, s, s, s]}", "secure_aggregation",
                  j->privacy.secure_aggregation, "dp",
                  j->privacy.dp[0] != '\0' ? j->privacy.dp : "none", "statement",
                  "The coordinator could see each hospital's update. No noise was added to it. "
                  "Images, labels and patient records never left a hospital.",
                  "left", "counts and summary of the data set, once",
                  "model updates, once a round and site",
                  "validation figures, once a round and site, and a score histogram of the "
                  "selected model",
                  "test figures and counts, once, for the selected model"));
    const json_t *matrix = report_at(report, "baselines", "cross_site", "sites", NULL);
    if (json_object_size(matrix) > 0) {
        json_array_append_new(
            json_object_get(json_object_get(report, "privacy"), "left"),
            json_string("each hospital's own model, once, to the coordinator and to every other "
                        "hospital, and test figures of each of them"));
    }
    if (job_asks_calibration(j)) {
        json_array_append_new(
            json_object_get(json_object_get(report, "privacy"), "left"),
            json_string("sums of the selected model's validation losses and counts of its "
                        "scores, once, for temperature and conformal sets"));
    }
}

static fl_status add_security(const report_build_input *in, json_t *report, fl_err *err)
{
    json_t *refusals = NULL;
    fl_status st = roster_refusals(&refusals, in->sites, record_created_ms(in->record), err);
    if (st == FL_OK) {
        json_object_set_new(
            report, "security",
            json_pack(
                "{s:s, s:o}", "transport",
                "CURVE (Curve25519, XSalsa20-Poly1305), allow-list of site keys; contributions "
                "signed with Ed25519",
                "refusals", refusals));
    }
    return st;
}

static void add_environment(build *b, json_t *report)
{
    struct utsname machine;
    json_t *sites = json_object(), *own = json_object();
    if (uname(&machine) == 0) {
        json_object_set_new(own, "system", json_string(machine.sysname));
        json_object_set_new(own, "release", json_string(machine.release));
        json_object_set_new(own, "machine", json_string(machine.machine));
    }
    for (size_t i = 0; i < b->n_sites; i++) {
        char *text = record_environment(b->in->record, b->site[i].name.text);
        if (*text != '\0') {
            json_object_set_new(sites, b->site[i].name.text, json_string(text));
        }
        free(text);
    }
    json_object_set_new(
        report, "environment",
        json_pack("{s:s, s:s, s:o, s:o}", "consilium", FL_VERSION, "precision",
                  nn_precision_names[b->in->job->local.precision], "coordinator", own, "sites",
                  sites));
}

fl_status report_build(json_t **out, const report_build_input *in, fl_err *err)
{
    build b = {.in = in};
    json_t *report = json_object();
    *out = NULL;
    add_head(in, report);
    fl_status st;
    if ((st = list_sites(&b, err)) != FL_OK || (st = build_rounds(&b, report, err)) != FL_OK ||
        (st = add_choices(in, report, err)) != FL_OK ||
        (st = build_sites(&b, report, err)) != FL_OK ||
        (st = add_security(in, report, err)) != FL_OK) {
        goto done;
    }
    add_privacy(in, report);
    add_environment(&b, report);
    *out = report;
    report = NULL;  // now the caller's
done:
    json_decref(report);
    for (size_t i = 0; i < b.n_sites; i++) {
        json_decref(b.site[i].earlier_homes);
    }
    free(b.site);
    return st == FL_OK ? st : fl_wrap(err, st, "building the report");
}
