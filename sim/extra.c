/*
 * extra.c - see extra.h
 */
#include "sim/extra.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cfg.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"
#include "sim/hospital.h"
#include "sim/play.h"

#define STAMP "played"  // in the folder, once everything is there

/*
 * The scenario's job for such a federation: its quorum can be met, and what is judged is
 * its model alone, for all else is the scenario's own to say.
 */
static fl_status make_job(extra *e, fl_err *err)
{
    const scenario *s = e->s;
    char quorum[32], seed[32];
    int64_t most = (int64_t)s->n_hospitals - (e->left_out < s->n_hospitals);
    int64_t asked = s->job.sites.quorum;
    snprintf(quorum, sizeof quorum, "%lld", (long long)(asked < most ? asked : most));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)e->seed);
    const struct {
        const char *path, *value;
    } changes[] = {{"seed", seed},
                   {"sites.quorum", quorum},
                   {"evaluation.local_baseline.budget", "none"},
                   {"evaluation.personal", "null"},
                   {"evaluation.cross_site", "null"},
                   {"evaluation.shift", "null"},
                   {"evaluation.uncertainty", "null"}};
    fl_cfg *c = NULL;
    fl_buf text = FL_BUF_INIT;
    fl_status st = fl_cfg_parse(&c, s->job_yaml, strlen(s->job_yaml), "job", ".", err);
    for (size_t i = 0; i < sizeof changes / sizeof *changes && st == FL_OK; i++) {
        st = fl_cfg_set(c, changes[i].path, changes[i].value, err);
    }
    if (st == FL_OK) {
        st = fl_cfg_emit(fl_cfg_root(c), false, &text, err);
    }
    e->job_yaml = fl_buf_take(&text);
    fl_cfg_destroy(&c);
    return st;
}

static void make_stamp(extra *e)
{
    uint8_t digest[FL_DIGEST_BYTES];
    char hex[FL_HEX_DIGEST], *data = hospital_stamp(e->s);
    const char *without = e->left_out < e->s->n_hospitals ? e->s->hospitals[e->left_out].name : "";
    char *text = fl_xasprintf("%s\n%s\n%s", data, without, e->job_yaml);
    fl_blake2b_of(digest, "extra", text, strlen(text));
    fl_hex(hex, digest, sizeof digest);
    e->stamp = fl_xstrdup(hex);
    free(text);
    free(data);
}

static fl_status begin(extra *e, fl_err *err)
{
    fl_status st = make_job(e, err);
    if (st == FL_OK) {
        make_stamp(e);
    } else {
        extra_clear(e);
    }
    return st;
}

fl_status extra_without(extra *e, const scenario *s, size_t hospital, const char *out, fl_err *err)
{
    *e = (extra){.s = s,
                 .left_out = hospital,
                 .seed = s->job.seed,
                 .out = fl_xasprintf("%s/leave-one-out/%s", out, s->hospitals[hospital].name)};
    return begin(e, err);
}

/* Far from the seeds that people write, so that a sweep's runs share no member. */
static uint64_t member_seed(uint64_t seed, size_t k)
{
    fl_rng rng;
    fl_rng_init(&rng, seed, "ensemble", "", k);
    return fl_rng_u64(&rng) >> 12;  // a double holds it, so does JSON
}

fl_status extra_member(extra *e, const scenario *s, size_t k, const char *out, fl_err *err)
{
    *e = (extra){.s = s,
                 .left_out = s->n_hospitals,
                 .seed = member_seed(s->job.seed, k),
                 .out = fl_xasprintf("%s/ensemble/member-%zu", out, k)};
    return begin(e, err);
}

void extra_clear(extra *e)
{
    free(e->out);
    free(e->job_yaml);
    free(e->stamp);
    *e = (extra){0};
}

char *extra_model(const scenario *s, const char *out)
{
    return fl_xasprintf("%s/federation/runs/%s/model/final.onnx", out, s->name);
}

bool extra_is_done(const extra *e)
{
    char *path = fl_path_join(e->out, STAMP), *model = extra_model(e->s, e->out), *text = NULL;
    size_t n = 0;
    bool done = fl_file_exists(model) && fl_file_exists(path) &&
                fl_file_read(&text, &n, path, FL_HEX_DIGEST, NULL) == FL_OK &&
                strcmp(text, e->stamp) == 0;
    free(text);
    free(model);
    free(path);
    return done;
}

fl_status extra_play(const extra *e, const char *data, fl_err *err)
{
    scenario played = *e->s;  // shares all but the list and the job's text
    if (extra_is_done(e)) {
        return FL_OK;
    }
    char *path = fl_path_join(e->out, STAMP);
    played.hospitals = fl_xcalloc(e->s->n_hospitals, sizeof *played.hospitals);
    played.n_hospitals = 0;
    for (size_t i = 0; i < e->s->n_hospitals; i++) {
        if (i != e->left_out) {
            played.hospitals[played.n_hospitals++] = e->s->hospitals[i];
        }
    }
    played.job_yaml = e->job_yaml;
    played.centralised = false;
    played.compared = (scenario_compared){0};
    unlink(path);  // what it stands for goes now
    fl_status st = play_run(
        &played,
        &(play_options){.out = e->out, .data = data, .data_is_made = true, .quiet = true}, err);
    if (st == FL_OK) {
        st = fl_file_write(path, e->stamp, strlen(e->stamp), 0644, err);
    }
    free(played.hospitals);
    free(path);
    return st;
}

// ----------------------------------------------------------------------- cost

static size_t n_left_out(const scenario *s)
{
    return s->compared.leave_one_out ? s->n_hospitals : 0;
}

static size_t n_members(const scenario *s)
{
    return s->compared.ensemble > 0 ? (size_t)s->compared.ensemble - 1 : 0;
}

char *extra_cost(const scenario *s)
{
    size_t without = n_left_out(s), members = n_members(s);
    fl_buf text = FL_BUF_INIT;
    if (without + members == 0) {
        return NULL;
    }
    fl_buf_printf(&text, "this run will train %zu more federation%s: ", without + members,
                  without + members == 1 ? "" : "s");
    if (without > 0) {
        fl_buf_printf(&text, "%zu of %zu hospitals, without each in turn", without,
                      s->n_hospitals - 1);
    }
    if (members > 0) {
        fl_buf_printf(&text, "%s%zu with seeds of their own, for an ensemble of %zu",
                      without > 0 ? "; " : "", members, members + 1);
    }
    fl_buf_puts(&text, "; how long that may take is said when the first is done");
    return fl_buf_take(&text);
}

static bool is_left(const extra *e, fl_status st)
{
    return st == FL_OK && !extra_is_done(e);
}

static void add_duration(fl_buf *text, double seconds)
{
    if (seconds < 90) {
        fl_buf_printf(text, "%.0f s", seconds);
    } else if (seconds < 90 * 60) {
        fl_buf_printf(text, "%.0f min", seconds / 60);
    } else {
        fl_buf_printf(text, "%.1f h", seconds / 3600);
    }
}

char *extra_time(const scenario *s, const char *out, double seconds)
{
    size_t left = 0;
    double factor = 0;  // of the first one's time: of fewer hospitals it is less
    extra e;
    for (size_t i = 0; i < n_left_out(s); i++) {
        fl_status st = extra_without(&e, s, i, out, NULL);
        if (is_left(&e, st)) {
            left++;
            factor += (double)(s->n_hospitals - 1) / (double)s->n_hospitals;
        }
        extra_clear(&e);
    }
    for (size_t k = 2; k <= n_members(s) + 1; k++) {
        fl_status st = extra_member(&e, s, k, out, NULL);
        if (is_left(&e, st)) {
            left++;
            factor += 1;
        }
        extra_clear(&e);
    }
    if (left == 0) {
        return NULL;
    }
    fl_buf text = FL_BUF_INIT;
    fl_buf_printf(&text, "%zu more federation%s to train, at most about ", left,
                  left == 1 ? "" : "s");
    add_duration(&text, factor * seconds);
    fl_buf_puts(&text, " by the time of the first, ");
    add_duration(&text, seconds);
    return fl_buf_take(&text);
}
