/*
 * tool_verify.c - `coordinator verify`: does what is on the disk agree with itself?
 *
 * Offline, from a run's folder alone: the chain of audit.jsonl, its signed head,
 * the record in state.db line by line, the signature of every contribution,
 * and every model against the digest that the record has of it.  Whoever has
 * no state.db (an auditor with a copy) can still check the rest.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "coordinator/record.h"
#include "coordinator/tools.h"
#include "fed/audit.h"
#include "job/job.h"

enum { MAX_HEAD_BYTES = 4096, MAX_JOB_BYTES = 1 << 20 };
static const size_t max_model_bytes = (size_t)1 << 36;

static bool as_json;

static const fl_opt options[] = {
    {"json", FL_OPT_FLAG, NULL, "as JSON", &as_json, 0, 0, false},
    {0},
};

const fl_opt *coordinator_verify_options(void)
{
    return options;
}

typedef struct {
    const char *dir;
    fed_digest job;
    char run[FED_NAME_BYTES];
    json_t *keys;      // site: its signing key, hex, as the record has it so far
    json_t *accepted;  // "kind round site": digest
    json_t *carried;   // "train round site": true, of updates that count in a later round
    json_t *chosen;    // "train round site": true, where the strategy chooses
    json_t *last;      // path: SHA-256, of the files the record tells of
    fed_audit_head signed_head, end;
    fed_verify_key signer;    // of the signed head
    char coordinator[FL_HEX_DIGEST];  // its key as the record has it so far; "": it names none
    bool has_state;             // state.db is there
    char report[FL_HEX_DIGEST]; // SHA-256 of report.json when it was written; "": not yet
    bool report_differs;        // it was made again since, or changed
    bool passed_head;  // the signed head's line was seen, and is it
    int64_t n_contributions, n_models, n_files;
} verification;

// ------------------------------------------------------------- the signed head

static fl_status read_hex(void *out, size_t n, const json_t *json, const char *key,
                          const char *path, fl_err *err)
{
    return fl_unhex(out, n, fl_json_get_string(json, key, ""), NULL) == FL_OK
               ? FL_OK
               : fl_fail(err, FL_EFORMAT, "%s: %s: expected %zu bytes in hexadecimal", path, key,
                         n);
}

/* A folder with neither is no run's. */
static bool is_run(const char *dir)
{
    char *lines = fl_path_join(dir, "audit.jsonl"), *head = fl_path_join(dir, "audit.head");
    bool is = fl_file_exists(lines) || fl_file_exists(head);
    free(lines);
    free(head);
    return is;
}

static fl_status read_head(verification *v, fl_err *err)
{
    json_t *json = NULL;
    fed_signature signature;
    char *path = fl_path_join(v->dir, "audit.head");
    fl_status st;
    if (!is_run(v->dir)) {
        st = fl_fail(err, FL_ENOTFOUND,
                     "%s holds no record of a run: name a run's folder, FEDERATION/runs/RUN",
                     v->dir);
        goto done;
    }
    if ((st = fl_json_read(&json, path, MAX_HEAD_BYTES, err)) != FL_OK ||
        (st = read_hex(&v->job, sizeof v->job, json, "job", path, err)) != FL_OK ||
        (st = read_hex(&v->signer, sizeof v->signer, json, "coordinator", path, err)) != FL_OK ||
        (st = read_hex(&signature, sizeof signature, json, "signature", path, err)) != FL_OK ||
        (st = read_hex(&v->signed_head.last, sizeof v->signed_head.last, json, "last", path,
                       err)) != FL_OK) {
        goto done;
    }
    v->signed_head.n_lines = (uint64_t)fl_json_get_int(json, "lines", 0);
    snprintf(v->run, sizeof v->run, "%s", fl_json_get_string(json, "run", ""));
    if (!fed_audit_verify(&signature, &v->signer, &v->job, v->run, &v->signed_head)) {
        st = fl_fail(err, FL_EFORMAT, "%s: does not bear the signature of the key it names", path);
    }
done:
    json_decref(json);
    free(path);
    return st;
}

// ------------------------------------------------------------------- the lines

static fl_status check_first(const verification *v, const json_t *line, fl_err *err)
{
    fed_digest named;
    if (strcmp(fl_json_get_string(line, "format", ""), "consilium-audit-1") != 0) {
        return fl_fail(err, FL_EFORMAT, "is no audit record of this version");
    }
    if (fl_unhex(&named, sizeof named, fl_json_get_string(line, "job", ""), NULL) != FL_OK ||
        !fed_digest_equal(&named, &v->job) ||
        strcmp(fl_json_get_string(line, "run", ""), v->run) != 0) {
        return fl_fail(err, FL_EFORMAT, "is of another job or run than audit.head");
    }
    return FL_OK;
}

/* Other keys than before are under the signature of those, unless the site was removed meanwhile. */
static fl_status check_site(verification *v, const json_t *line, fl_err *err)
{
    const char *site = fl_json_get_string(line, "site", ""),
               *now = fl_json_get_string(line, "sign_key", ""),
               *before = fl_json_get_string(v->keys, site, "");
    bool removed = strcmp(fl_json_get_string(line, "status", ""), "removed") == 0;
    fed_verify_key from, to;
    if (*before != '\0' && *now != '\0' && !removed && strcmp(before, now) != 0 &&
        (fl_unhex(&from, sizeof from, before, NULL) != FL_OK ||
         fl_unhex(&to, sizeof to, now, NULL) != FL_OK ||
         !fed_rotations_lead(json_object_get(line, "rotations"), &from, &to))) {
        return fl_fail(err, FL_EFORMAT, "gives %.48s keys that its old ones did not sign", site);
    }
    json_object_set_new(v->keys, site, json_string(removed ? "" : now));
    if (removed) {  // a new home joins with a CHECK of its own
        char *what = fl_xasprintf("%s 0 %s", fed_order_name(FED_CHECK), site);
        json_object_del(v->accepted, what);
        free(what);
    }
    return FL_OK;
}

/* The first time it names its keys; later ones are under the signature of those before. */
static fl_status check_coordinator(verification *v, const json_t *line, fl_err *err)
{
    const char *now = fl_json_get_string(line, "sign_key", "");
    fed_verify_key from, to;
    if (fl_unhex(&to, sizeof to, now, NULL) != FL_OK ||
        (v->coordinator[0] != '\0' &&
         (fl_unhex(&from, sizeof from, v->coordinator, NULL) != FL_OK ||
          !fed_rotations_lead(json_object_get(line, "rotations"), &from, &to)))) {
        return fl_fail(err, FL_EFORMAT,
                       "gives the coordinator keys that its old ones did not sign");
    }
    snprintf(v->coordinator, sizeof v->coordinator, "%s", now);
    return FL_OK;
}

/* The head is signed with the keys that the record came to last. */
static fl_status check_signer(const verification *v, fl_err *err)
{
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, v->signer.bytes, sizeof v->signer.bytes);
    return v->coordinator[0] == '\0' || strcmp(v->coordinator, hex) == 0
               ? FL_OK
               : fl_fail(err, FL_EFORMAT,
                         "%s/audit.head: is signed with another key than the coordinator's in the "
                         "record",
                         v->dir);
}

static fl_status check_contribution(verification *v, const json_t *line, fl_err *err)
{
    const char *site = fl_json_get_string(line, "site", "");
    fed_verify_key key;
    fed_offer offer;
    if (fl_unhex(&key, sizeof key, fl_json_get_string(v->keys, site, ""), NULL) != FL_OK) {
        return fl_fail(err, FL_EFORMAT, "a contribution of %.48s, which is not enrolled", site);
    }
    fl_status st = fed_audit_offer(&offer, line, &key, err);
    if (st != FL_OK) {
        return st;
    }
    if (!fed_digest_equal(&offer.key.job, &v->job)) {
        return fl_fail(err, FL_EFORMAT, "a contribution to another job");
    }
    char *what = fl_xasprintf("%s %u %s", fed_order_name(offer.key.kind),
                              (unsigned)offer.key.round.n, site);
    const char *digest = fl_json_get_string(line, "digest", "");
    const char *before = fl_json_get_string(v->accepted, what, digest);
    if (strcmp(before, digest) != 0) {
        st = fl_fail(err, FL_EFORMAT, "a second, different contribution of %s", what);
    }
    json_object_set_new(v->accepted, what, json_string(digest));
    v->n_contributions++;
    free(what);
    return st;
}

/* A late update counts once, in a later round than its own, and is one that was accepted. */
static fl_status check_carried(verification *v, const json_t *line, fl_err *err)
{
    const char *site = fl_json_get_string(line, "site", "");
    int64_t from = fl_json_get_int(line, "from", 0), round = fl_json_get_int(line, "round", 0);
    char *what = fl_xasprintf("%s %lld %s", fed_order_name(FED_TRAIN), (long long)from, site);
    fl_status st = FL_OK;
    if (strcmp(fl_json_get_string(v->accepted, what, ""),
               fl_json_get_string(line, "digest", "?")) != 0) {
        st = fl_fail(err, FL_EFORMAT, "carries %s, which was not accepted", what);
    } else if (round <= from || json_object_get(v->carried, what) != NULL) {
        st = fl_fail(err, FL_EFORMAT, "carries %s into round %lld, where it may not count", what,
                     (long long)round);
    }
    json_object_set_new(v->carried, what, json_true());
    free(what);
    return st;
}

/* An update that the strategy chose is one that was accepted. */
static fl_status check_chosen(verification *v, const json_t *line, fl_err *err)
{
    char *what = fl_xasprintf("%s %lld %s", fed_order_name(FED_TRAIN),
                              (long long)fl_json_get_int(line, "round", 0),
                              fl_json_get_string(line, "site", ""));
    fl_status st = FL_OK;
    if (strcmp(fl_json_get_string(v->accepted, what, ""),
               fl_json_get_string(line, "digest", "?")) != 0) {
        st = fl_fail(err, FL_EFORMAT, "chooses %s, which was not accepted", what);
    } else if (json_object_get(v->chosen, what) != NULL) {
        st = fl_fail(err, FL_EFORMAT, "chooses %s twice", what);
    }
    json_object_set_new(v->chosen, what, json_true());
    free(what);
    return st;
}

/* A round's model: the file's bytes follow from its table and numbers. */
static fl_status check_model(verification *v, const json_t *line, fl_err *err)
{
    char part[64], hex[FL_HEX_DIGEST];
    uint8_t sha256[FL_SHA256_BYTES];
    nn_table *table = NULL;
    float *data = NULL;
    char *bytes = NULL, *again = NULL;
    size_t n = 0, n_again = 0;
    snprintf(part, sizeof part, "model/round-%04u.safetensors",
             (unsigned)fl_json_get_int(line, "round", 0));
    char *path = fl_path_join(v->dir, part);
    fl_status st;
    if ((st = ckpt_safetensors_read(&table, &data, NULL, path, err)) != FL_OK ||
        (st = fl_file_read(&bytes, &n, path, max_model_bytes, err)) != FL_OK ||
        (st = ckpt_safetensors_pack(&again, &n_again, table, data, NULL, err)) != FL_OK) {
        goto done;
    }
    nn_params_sha256(sha256, table, data);
    fl_hex(hex, sha256, sizeof sha256);
    if (strcmp(hex, fl_json_get_string(line, "model_sha256", "")) != 0) {
        st = fl_fail(err, FL_EFORMAT, "%s: its numbers are not those that were committed", path);
    } else if (n != n_again || memcmp(bytes, again, n) != 0) {
        st = fl_fail(err, FL_EFORMAT, "%s: its header was changed", path);
    }
    v->n_models++;
done:
    nn_table_destroy(&table);
    free(data);
    free(bytes);
    free(again);
    free(path);
    return st;
}

static fl_status check_line(void *ctx, const fed_audit_entry *e, fl_err *err)
{
    verification *v = ctx;
    const char *what = fl_json_get_string(e->json, "what", "");
    if (e->head.n_lines == v->signed_head.n_lines) {
        if (!fed_audit_head_equal(&e->head, &v->signed_head)) {
            return fl_fail(err, FL_EFORMAT, "is not the line whose head was signed");
        }
        v->passed_head = true;
    }
    if (e->head.n_lines > v->signed_head.n_lines) {
        return fl_fail(err, FL_EFORMAT, "stands behind the head that was signed");
    }
    if (e->head.n_lines == 1) {
        return check_first(v, e->json, err);
    }
    if (strcmp(what, "coordinator") == 0) {
        return check_coordinator(v, e->json, err);
    } else if (strcmp(what, "site") == 0) {
        return check_site(v, e->json, err);
    } else if (strcmp(what, "contribution") == 0) {
        return check_contribution(v, e->json, err);
    } else if (strcmp(what, "carried") == 0) {
        return check_carried(v, e->json, err);
    } else if (strcmp(what, "chosen") == 0) {
        return check_chosen(v, e->json, err);
    } else if (strcmp(what, "model") == 0) {
        return check_model(v, e->json, err);
    } else if (strcmp(what, "file") == 0) {
        json_object_set(v->last, fl_json_get_string(e->json, "path", ""),
                        json_object_get(e->json, "sha256"));
    } else if (strcmp(what, "report") == 0) {
        snprintf(v->report, sizeof v->report, "%s", fl_json_get_string(e->json, "sha256", ""));
    }
    return FL_OK;
}

// -------------------------------------------------------------- what is beside

/* A strategy's vectors, and what rounding left, of older rounds are not kept. */
static bool may_be_gone(const verification *v, const char *part)
{
    const char *other;
    json_t *ignored;
    size_t n = strncmp(part, "model/state-", 12) == 0  ? 12
               : strncmp(part, "model/rest-", 11) == 0 ? 11
                                                       : 0;
    if (n == 0) {
        return false;
    }
    json_object_foreach (v->last, other, ignored) {
        if (strncmp(other, part, n) == 0 && strcmp(other, part) > 0) {
            return true;
        }
    }
    return false;
}

static fl_status check_files(verification *v, fl_err *err)
{
    const char *part;
    json_t *wanted;
    json_object_foreach (v->last, part, wanted) {
        uint8_t sha256[FL_SHA256_BYTES];
        char hex[FL_HEX_DIGEST];
        char *path = fl_path_join(v->dir, part);
        fl_status st = fl_sha256_file(sha256, path, err);
        if (st == FL_ENOTFOUND && may_be_gone(v, part)) {
            free(path);
            continue;
        }
        fl_hex(hex, sha256, sizeof sha256);
        if (st == FL_OK && strcmp(hex, json_string_value(wanted)) != 0) {
            st = fl_fail(err, FL_EFORMAT, "%s: is not the file that was written", path);
        }
        v->n_files++;
        free(path);
        if (st != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

/* `coordinator report` may have made it again: told, not refused. */
static void look_at_report(verification *v)
{
    uint8_t sha256[FL_SHA256_BYTES];
    char hex[FL_HEX_DIGEST] = "";
    char *path = fl_path_join(v->dir, "report/report.json");
    if (fl_sha256_file(sha256, path, NULL) == FL_OK) {
        fl_hex(hex, sha256, sizeof sha256);
    }
    v->report_differs = v->report[0] != '\0' && strcmp(v->report, hex) != 0;
    free(path);
}

/* The job's digest vouches for that of its graph. */
static fl_status check_graph(const verification *v, const char *job_text, size_t n_job, fl_err *err)
{
    char named[MODEL_DIGEST_BYTES], found[FL_HEX_DIGEST], *bytes = NULL;
    size_t n = 0;
    fed_digest digest;
    if (!job_names_graph(named, job_text, n_job)) {
        return FL_OK;
    }
    char *path = fl_path_join(v->dir, "model/graph.onnx");
    fl_status st = fl_file_read(&bytes, &n, path, max_model_bytes, err);
    if (st == FL_OK) {
        fed_job_digest(&digest, n > 0 ? bytes : " ", n > 0 ? n : 1);
        fl_hex(found, digest.bytes, sizeof digest.bytes);
        if (strcmp(found, named) != 0) {
            st = fl_fail(err, FL_EFORMAT, "%s: is not the graph that the job names", path);
        }
    }
    free(bytes);
    free(path);
    return st;
}

static fl_status check_job(const verification *v, fl_err *err)
{
    char *bytes = NULL;
    size_t n = 0;
    char *path = fl_path_join(v->dir, "job.yaml");
    fed_digest found;
    fl_status st = fl_file_read(&bytes, &n, path, MAX_JOB_BYTES, err);
    if (st == FL_OK) {
        fed_job_digest(&found, n > 0 ? bytes : " ", n > 0 ? n : 1);
        if (!fed_digest_equal(&found, &v->job)) {
            st = fl_fail(err, FL_EFORMAT, "%s: is not the job of the record", path);
        }
    }
    if (st == FL_OK) {
        st = check_graph(v, bytes, n, err);
    }
    free(bytes);
    free(path);
    return st;
}

/* The record must end where the file does; its lines were compared by their chain. */
static fl_status check_record(verification *v, fl_err *err)
{
    char *path = fl_path_join(v->dir, "state.db");
    record *r = NULL;
    fl_status st = FL_OK;
    v->has_state = fl_file_exists(path);
    if (v->has_state && (st = record_look(&r, path, &v->job, err)) == FL_OK &&
        !fed_audit_head_equal(record_head(r), &v->end)) {
        st = fl_fail(err, FL_EFORMAT,
                     "%s: has %llu lines, audit.jsonl %llu: they are not the same record", path,
                     (unsigned long long)record_head(r)->n_lines,
                     (unsigned long long)v->end.n_lines);
    }
    record_close(&r);
    free(path);
    return st;
}

static fl_status verify(verification *v, fl_err *err)
{
    char *path = fl_path_join(v->dir, "audit.jsonl");
    fl_status st;
    if ((st = read_head(v, err)) == FL_OK &&
        (st = fed_audit_walk(&v->end, path, check_line, v, err)) == FL_OK && !v->passed_head) {
        st = fl_fail(err, FL_EFORMAT, "%s: ends at line %llu; the signed head is of line %llu",
                     path, (unsigned long long)v->end.n_lines,
                     (unsigned long long)v->signed_head.n_lines);
    }
    free(path);
    if (st != FL_OK || (st = check_signer(v, err)) != FL_OK ||
        (st = check_record(v, err)) != FL_OK ||
        (st = check_job(v, err)) != FL_OK) {
        return st;
    }
    look_at_report(v);
    return check_files(v, err);
}

static void begin(verification *v, const char *dir)
{
    *v = (verification){.dir = dir,
                        .keys = json_object(),
                        .accepted = json_object(),
                        .carried = json_object(),
                        .chosen = json_object(),
                        .last = json_object()};
}

static void end(verification *v)
{
    json_decref(v->keys);
    json_decref(v->accepted);
    json_decref(v->carried);
    json_decref(v->chosen);
    json_decref(v->last);
}

/* Has the coordinator signed another head since v read it?  It may just be about to. */
static bool goes_on(const verification *v)
{
    enum { WRITING_MS = 100 };
    verification now = {.dir = v->dir};
    poll(NULL, 0, WRITING_MS);
    return read_head(&now, NULL) == FL_OK &&
           !fed_audit_head_equal(&now.signed_head, &v->signed_head);
}

/* A run that goes on writes its record while it is read: then once more, from the start. */
static fl_status verify_at_rest(verification *v, const char *dir, fl_err *err)
{
    enum { TRIES = 20 };
    fl_status st = FL_OK;
    for (int i = 0; i < TRIES; i++) {
        begin(v, dir);
        if ((st = verify(v, err)) == FL_OK || !goes_on(v)) {
            return st;
        }
        end(v);
    }
    begin(v, dir);
    return fl_fail(err, FL_ECONFLICT,
                   "%s: the run goes on and its record grows faster than it is read; verify it "
                   "when it is finished, or a copy",
                   dir);
}

static json_t *facts(const verification *v, const char *key)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:b, s:b}", "run", v->run, "lines",
                     (json_int_t)v->end.n_lines, "contributions", (json_int_t)v->n_contributions,
                     "models", (json_int_t)v->n_models, "files", (json_int_t)v->n_files,
                     "sign_key", key, "state", v->has_state, "report_as_written",
                     v->report[0] != '\0' && !v->report_differs);
}

static void print_verified(const verification *v, const char *key)
{
    printf("The record of run %s holds: %llu lines, the head signed by the coordinator.\n"
           "%lld contributions bear the signature of their site; %lld models and %lld other "
           "files are\nthose that were written.\n"
           "The coordinator's signing key is %s,\n"
           "which every hospital has as sign_key in its client.yaml.\n",
           v->run, (unsigned long long)v->end.n_lines, (long long)v->n_contributions,
           (long long)v->n_models, (long long)v->n_files, key);
    if (!v->has_state) {
        printf("There is no state.db here, so the record was not compared with it.\n");
    }
    if (v->report_differs) {
        printf("report/report.json is not the one that was written at the end of the run: it was "
               "made again\n(`consilium-coordinator report`), changed, or is gone.\n");
    }
}

fl_status coordinator_verify(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    fl_status st = fl_cli_parse(argc, argv, options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    verification v;
    char key[FL_HEX_DIGEST];
    st = verify_at_rest(&v, pos.items[0], err);
    fl_hex(key, v.signer.bytes, sizeof v.signer.bytes);
    if (st == FL_OK && as_json) {
        json_t *json = facts(&v, key);
        char *text = json_dumps(json, JSON_PRESERVE_ORDER);
        printf("%s\n", text);
        free(text);
        json_decref(json);
    } else if (st == FL_OK) {
        print_verified(&v, key);
    }
    end(&v);
    free(pos.items);
    return st;
}
