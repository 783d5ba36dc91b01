/*
 * verify.c - `client verify`: is this hospital's part in a run's record, and only that?
 *
 * Holds a coordinator's audit.jsonl against what the hospital kept by itself
 * (receipts.h): every head that it was given must be in the record, so one
 * that was cut, rewritten or forked is found; every contribution under its
 * name must be one that it sent; every one that was accepted must be there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cli.h"
#include "base/mem.h"
#include "base/sys.h"
#include "client/fed_commands.h"
#include "client/home.h"
#include "client/peer.h"
#include "client/receipts.h"
#include "fed/audit.h"

static struct {
    const char *home;
    bool json;
} o;

static const fl_opt options[] = {
    {"home", FL_OPT_TEXT, "DIR", "the hospital's home", &o.home, 0, 0, true},
    {"json", FL_OPT_FLAG, NULL, "as JSON", &o.json, 0, 0, false},
    {0},
};

const fl_opt *client_verify_options(void)
{
    return options;
}

typedef struct {
    const home *home;
    fed_verify_key own_key;
    fed_digest job;
    char run[FED_NAME_BYTES];
    json_t *receipts;  // of the job
    json_t *sent;      // "kind round digest": true, of our contributions to the job
    json_t *counted;   // the same of those that the record has under our name
    bool is_enrolled;  // our keys stood in the record
    bool is_before;    // another home's do: nothing of ours yet
    json_t *before;    // digests of the contributions of that one
    int64_t n_heads;   // that were found in the record
    int64_t n_updates;      // of ours
    int64_t n_chosen;       // of these, that the record says are in a model
    bool strategy_chooses;  // it says so of somebody's
} verification;

// ---------------------------------------------------------------- the receipts

static bool is_what(const json_t *receipt, const char *what)
{
    return strcmp(fl_json_get_string(receipt, "what", ""), what) == 0;
}

/* The coordinator's key of its time: it may have changed since. */
static bool is_signed(const verification *v, const fed_signature *signature, const char *run,
                      const fed_audit_head *head)
{
    size_t i;
    const json_t *item;
    bool good = fed_audit_verify(signature, &v->home->coordinator_sign, &v->job, run, head);
    json_array_foreach (v->home->coordinators, i, item) {
        fed_rotation r;
        good = good || (fed_rotation_parse(&r, item, NULL) == FL_OK &&
                        fed_audit_verify(signature, &r.old_sign, &v->job, run, head));
    }
    return good;
}

static fl_status head_of(fed_audit_head *head, const verification *v, const json_t *receipt,
                         fl_err *err)
{
    fed_signature signature;
    head->n_lines = (uint64_t)fl_json_get_int(receipt, "lines", 0);
    if (fl_unhex(&head->last, sizeof head->last, fl_json_get_string(receipt, "last", ""), NULL) !=
            FL_OK ||
        fl_unhex(&signature, sizeof signature, fl_json_get_string(receipt, "signature", ""),
                 NULL) != FL_OK ||
        !is_signed(v, &signature, fl_json_get_string(receipt, "run", ""), head)) {
        return fl_fail(err, FL_EFORMAT,
                       "receipts.jsonl: the head of line %lld does not bear the coordinator's "
                       "signature: this hospital's own file was changed",
                       (long long)head->n_lines);
    }
    return FL_OK;
}

/* Is the head that we were given for this line the line's? */
static fl_status compare_heads(verification *v, const fed_audit_entry *e, fl_err *err)
{
    size_t i;
    json_t *receipt;
    json_array_foreach (v->receipts, i, receipt) {
        fed_audit_head head;
        if (!is_what(receipt, "head") ||
            fl_json_get_int(receipt, "lines", 0) != (int64_t)e->head.n_lines) {
            continue;
        }
        fl_status st = head_of(&head, v, receipt, err);
        if (st != FL_OK) {
            return st;
        }
        if (!fed_audit_head_equal(&head, &e->head)) {
            return fl_fail(err, FL_EFORMAT,
                           "the coordinator signed another line %llu for this hospital: the "
                           "record was rewritten, or there are two",
                           (unsigned long long)e->head.n_lines);
        }
        v->n_heads++;
    }
    return FL_OK;
}

/* What tells a contribution from all others of the job: those without a payload have one digest.
 * The caller's. */
static char *name_of(const char *kind, const json_t *line)
{
    return fl_xasprintf("%s %lld %s", kind, (long long)fl_json_get_int(line, "round", -1),
                        fl_json_get_string(line, "digest", ""));
}

static void add_name(json_t *names, const char *kind, const json_t *line)
{
    char *name = name_of(kind, line);
    json_object_set_new(names, name, json_true());
    free(name);
}

static bool has_name(const json_t *names, const char *kind, const json_t *line)
{
    char *name = name_of(kind, line);
    bool has = json_object_get(names, name) != NULL;
    free(name);
    return has;
}

// ------------------------------------------------------------------ the record

static fl_status begin(verification *v, const fed_audit_entry *e, fl_err *err)
{
    if (strcmp(fl_json_get_string(e->json, "format", ""), "consilium-audit-1") != 0 ||
        fl_unhex(&v->job, sizeof v->job, fl_json_get_string(e->json, "job", ""), NULL) != FL_OK) {
        return fl_fail(err, FL_EFORMAT, "is no audit record of this version");
    }
    snprintf(v->run, sizeof v->run, "%s", fl_json_get_string(e->json, "run", ""));
    fl_status st = receipts_of_job(&v->receipts, v->home, &v->job, err);
    size_t i;
    json_t *receipt;
    json_array_foreach (v->receipts, i, receipt) {
        if (is_what(receipt, "sent")) {
            add_name(v->sent, fl_json_get_string(receipt, "kind", ""), receipt);
        }
    }
    return st;
}

static bool is_in(const json_t *digests, const char *digest)
{
    size_t i;
    json_t *one;
    json_array_foreach (digests, i, one) {
        if (json_is_string(one) && strcmp(json_string_value(one), digest) == 0) {
            return true;
        }
    }
    return false;
}

static fl_status check_own(verification *v, const json_t *line, fl_err *err)
{
    fed_offer offer;
    if (v->is_before) {
        json_array_append(v->before, json_object_get(line, "digest"));
        return FL_OK;
    }
    fl_status st = fed_audit_offer(&offer, line, &v->own_key, err);
    if (st != FL_OK) {
        return st;
    }
    const char *kind = receipts_kind(offer.key.kind);
    if (!has_name(v->sent, kind, line)) {
        return fl_fail(err, FL_EFORMAT,
                       "a %s contribution of round %u stands under this hospital's name that it "
                       "did not send",
                       fed_order_name(offer.key.kind), (unsigned)fed_plain_round(offer.key.round));
    }
    add_name(v->counted, kind, line);
    v->n_updates += offer.key.kind == FED_TRAIN;
    return FL_OK;
}

/* An update under our name that the strategy chose is one of ours. */
static fl_status check_chosen(verification *v, const json_t *line, fl_err *err)
{
    const char *digest = fl_json_get_string(line, "digest", "");
    if (is_in(v->before, digest)) {
        return FL_OK;  // another home's, though this one may stand there by now
    }
    if (!has_name(v->counted, receipts_kind(FED_TRAIN), line)) {
        return fl_fail(err, FL_EFORMAT,
                       "says that an update of round %lld counts which is not this hospital's",
                       (long long)fl_json_get_int(line, "round", 0));
    }
    v->n_chosen++;
    return FL_OK;
}

/* The key that contributions bear from here on: ours, or one that was; or, before any of them, that
 * of a home which was removed before this one enrolled. */
static fl_status follow_own_key(verification *v, const json_t *line, fl_err *err)
{
    const char *hex = fl_json_get_string(line, "sign_key", "");
    fed_verify_key key;
    if (*hex == '\0') {
        return FL_OK;  // invited
    }
    bool is_key = fl_unhex(&key, sizeof key, hex, NULL) == FL_OK;
    v->is_before = is_key && !v->is_enrolled && !home_had_key(v->home, &key);
    if (v->is_before) {
        return FL_OK;
    }
    if (!is_key || !home_had_key(v->home, &key)) {
        return fl_fail(err, FL_EFORMAT,
                       "names a key under this hospital's name that never was its own");
    }
    v->is_enrolled = true;
    v->own_key = key;
    return FL_OK;
}

/* One that this hospital knows or knew; or one to which such a key leads, of which it has not heard. */
static fl_status check_coordinator(const verification *v, const json_t *line, fl_err *err)
{
    fed_verify_key key;
    if (fl_unhex(&key, sizeof key, fl_json_get_string(line, "sign_key", ""), NULL) != FL_OK ||
        (!peer_knew(v->home, &key) &&
         !fed_rotations_lead(json_object_get(line, "rotations"), &v->home->coordinator_sign,
                             &key))) {
        return fl_fail(err, FL_EFORMAT,
                       "names a key of the coordinator that those which this hospital knows did "
                       "not sign");
    }
    return FL_OK;
}

static fl_status check_line(void *ctx, const fed_audit_entry *e, fl_err *err)
{
    verification *v = ctx;
    fl_status st = e->head.n_lines == 1 ? begin(v, e, err) : FL_OK;
    if (st != FL_OK || (st = compare_heads(v, e, err)) != FL_OK) {
        return st;
    }
    const char *what = fl_json_get_string(e->json, "what", "");
    if (strcmp(what, "coordinator") == 0) {
        return check_coordinator(v, e->json, err);
    }
    v->strategy_chooses = v->strategy_chooses || strcmp(what, "chosen") == 0;
    if (strcmp(fl_json_get_string(e->json, "site", ""), v->home->site.text) != 0) {
        return FL_OK;
    }
    return strcmp(what, "contribution") == 0 ? check_own(v, e->json, err)
           : strcmp(what, "chosen") == 0     ? check_chosen(v, e->json, err)
           : strcmp(what, "site") == 0       ? follow_own_key(v, e->json, err)
                                             : FL_OK;
}

/* A head that was given lies behind the record's end. */
static fl_status check_end(const verification *v, const fed_audit_head *end, fl_err *err)
{
    size_t i;
    json_t *receipt;
    json_array_foreach (v->receipts, i, receipt) {
        fed_audit_head head;
        fl_status st = is_what(receipt, "head") ? head_of(&head, v, receipt, err) : FL_OK;
        if (st != FL_OK) {
            return st;
        }
        if (is_what(receipt, "head") && head.n_lines > end->n_lines) {
            return fl_fail(err, FL_EFORMAT,
                           "the record ends at line %llu; the coordinator signed line %llu for "
                           "this hospital: the rest is missing",
                           (unsigned long long)end->n_lines, (unsigned long long)head.n_lines);
        }
    }
    return FL_OK;
}

static fl_status find_missing(const verification *v, fl_err *err)
{
    size_t i;
    json_t *receipt;
    json_array_foreach (v->receipts, i, receipt) {
        if (is_what(receipt, "accepted") &&
            !has_name(v->counted, fl_json_get_string(receipt, "kind", ""), receipt)) {
            fed_round_no round = {(uint32_t)fl_json_get_int(receipt, "round", 0)};
            return fl_fail(err, FL_EFORMAT,
                           "the %s contribution of round %u that the coordinator accepted from "
                           "this hospital is not in the record",
                           fl_json_get_string(receipt, "kind", ""), (unsigned)fed_plain_round(round));
        }
    }
    return FL_OK;
}

static fl_status verify(verification *v, fed_audit_head *end, const char *run, fl_err *err)
{
    char *path = fl_is_dir(run) ? fl_path_join(run, "audit.jsonl") : fl_xstrdup(run);
    if (!fl_file_exists(path) && fl_is_dir(run)) {
        free(path);
        return fl_fail(err, FL_ENOTFOUND,
                       "%s holds no record of a run: name a run's folder at the coordinator, or a "
                       "copy of its audit.jsonl",
                       run);
    }
    v->own_key = home_verify_key(v->home);
    v->sent = json_object();
    v->counted = json_object();
    v->before = json_array();
    fl_status st = fed_audit_walk(end, path, check_line, v, err);
    if (st == FL_OK && end->n_lines == 0) {
        st = fl_fail(err, FL_EFORMAT, "%s: is empty", path);
    }
    if (st == FL_OK && v->is_before) {
        st = fl_fail(err, FL_EFORMAT,
                     "%s: names keys under this hospital's name that never were its own, and none "
                     "of its own",
                     path);
    }
    if (st == FL_OK &&
        ((st = check_end(v, end, err)) != FL_OK || (st = find_missing(v, err)) != FL_OK)) {
        st = fl_wrap(err, st, "%s", path);
    }
    free(path);
    return st;
}

fl_status client_verify(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    home *h = NULL;
    fl_status st = fl_cli_parse(argc, argv, options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    verification v = {0};
    fed_audit_head end;
    if ((st = home_look(&h, o.home, err)) == FL_OK) {
        v.home = h;
        st = verify(&v, &end, pos.items[0], err);
    }
    if (st == FL_OK && o.json) {
        printf("{\"run\": \"%s\", \"lines\": %llu, \"heads\": %lld, \"contributions\": %zu, "
               "\"before\": %lld",
               v.run, (unsigned long long)end.n_lines, (long long)v.n_heads,
               json_object_size(v.counted), (long long)json_array_size(v.before));
        if (v.strategy_chooses) {
            printf(", \"updates\": %lld, \"chosen\": %lld", (long long)v.n_updates,
                   (long long)v.n_chosen);
        }
        puts("}");
    } else if (st == FL_OK) {
        printf("The record of run %s holds: %llu lines.  It has the %lld heads that this hospital "
               "was given,\nits %zu accepted contributions, and no others under its name.\n",
               v.run, (unsigned long long)end.n_lines, (long long)v.n_heads,
               json_object_size(v.counted));
        if (v.strategy_chooses) {
            printf("The strategy chooses among updates: of this hospital's %lld the record says "
                   "that %lld counted.\n",
                   (long long)v.n_updates, (long long)v.n_chosen);
        }
        if (json_array_size(v.before) > 0) {
            printf("%lld contributions before them are of another home, whose keys stood under "
                   "this name until this one's were enrolled.\n",
                   (long long)json_array_size(v.before));
        }
    }
    json_decref(v.receipts);
    json_decref(v.sent);
    json_decref(v.counted);
    json_decref(v.before);
    home_close(&h);
    free(pos.items);
    return st;
}
