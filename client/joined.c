/*
 * joined.c - see joined.h
 *
 * The file is a mark and one record a case, by rising name.
 */
#include "client/joined.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "fed/secret.h"

enum { MAX_BYTES = 1 << 30 };

static const char mark[8] = {'f', 'e', 'd', '-', 'j', 'n', 'd', '1'};

typedef struct {
    uint8_t name[16];   // which case, of which of the sets that stand in by turns
    uint8_t label[15];  // and what it is
    uint8_t split;
} entry;
_Static_assert(sizeof(entry) == 32, "as on the disk");

typedef struct {
    entry *item;
    size_t n;
} entries;

// -------------------------------------------------------------- what they are

static void add_target(fl_blake2b *hash, const float *target, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        float value = isnan(target[k]) ? NAN : target[k];  // of many that are none, one
        fl_blake2b_add(hash, &value, sizeof value);
    }
}

/* since: the round from which on the set stands in. */
static entry entry_of(const data_set *s, size_t i, int64_t since,
                      const uint8_t secret[static FED_KEY_BYTES])
{
    const data_spec *spec = data_set_spec(s);
    size_t n_targets = spec->task == DATA_MULTILABEL ? spec->n_classes : 1;
    data_case c = data_set_case(s, i);
    uint8_t digest[FL_DIGEST_BYTES];
    entry e = {.split = (uint8_t)c.split};
    fl_blake2b hash;

    fl_blake2b_init(&hash, "joined case");
    fl_blake2b_add(&hash, secret, FED_KEY_BYTES);
    fl_blake2b_add(&hash, &since, sizeof since);
    fl_blake2b_add(&hash, c.case_id, strlen(c.case_id));
    fl_blake2b_done(&hash, digest);
    memcpy(e.name, digest, sizeof e.name);

    fl_blake2b_init(&hash, "joined label");
    fl_blake2b_add(&hash, secret, FED_KEY_BYTES);
    fl_blake2b_add(&hash, e.name, sizeof e.name);
    fl_blake2b_add(&hash, &c.code, sizeof c.code);
    if (c.target != NULL) {
        add_target(&hash, c.target, n_targets);
    }
    if (c.mask != NULL) {
        fl_blake2b_add(&hash, c.mask, data_set_n_pixels(s));
    }
    fl_blake2b_done(&hash, digest);
    memcpy(e.label, digest, sizeof e.label);
    return e;
}

static void add_set(entries *out, const data_set *s, int64_t since,
                    const uint8_t secret[static FED_KEY_BYTES])
{
    size_t n = data_set_n(s);
    out->item = fl_xrealloc(out->item, out->n + n, sizeof *out->item);
    for (size_t i = 0; i < n; i++) {
        out->item[out->n++] = entry_of(s, i, since, secret);
    }
}

static int by_name(const void *a, const void *b)
{
    return memcmp(((const entry *)a)->name, ((const entry *)b)->name, sizeof(((entry *)0)->name));
}

/* Of all sets that the job's rounds see. */
static fl_status list_now(entries *out, const local *l, const home *h, fl_err *err)
{
    uint8_t secret[FED_KEY_BYTES];
    *out = (entries){NULL, 0};
    fl_status st = home_patient_secret(secret, h, err);
    if (st != FL_OK) {
        return st;
    }
    const data_set *last = NULL;
    for (int64_t round = 1; round <= l->job.rounds; round++) {
        const data_set *now = data_set_in_round(l->set, round);
        if (now != last) {
            add_set(out, now, round, secret);
            last = now;
        }
    }
    fed_wipe(secret, sizeof secret);
    qsort(out->item, out->n, sizeof *out->item, by_name);
    return FL_OK;
}

// ------------------------------------------------------------------- the file

static char *path_of(const char *run_dir)
{
    return fl_path_join(run_dir, "joined");
}

static fl_status write_entries(const entries *e, const char *run_dir, fl_err *err)
{
    size_t n = sizeof mark + e->n * sizeof *e->item;
    char *path = path_of(run_dir), *bytes = fl_xcalloc(n, 1);
    memcpy(bytes, mark, sizeof mark);
    memcpy(bytes + sizeof mark, e->item, e->n * sizeof *e->item);
    fl_status st = fl_file_write(path, bytes, n, 0600, err);
    free(bytes);
    free(path);
    return st;
}

/* FL_ENOTFOUND: nothing was kept. */
static fl_status read_entries(entries *out, const char *run_dir, fl_err *err)
{
    char *path = path_of(run_dir), *bytes = NULL;
    size_t n = 0;
    *out = (entries){NULL, 0};
    fl_status st = fl_file_read(&bytes, &n, path, MAX_BYTES, err);
    if (st == FL_OK && (n < sizeof mark || (n - sizeof mark) % sizeof *out->item != 0 ||
                        memcmp(bytes, mark, sizeof mark) != 0)) {
        st = fl_fail(err, FL_EFORMAT,
                     "%s: damaged, so nobody can tell whether the data are those that this "
                     "hospital joined the run with; remove it if you know that they are",
                     path);
    }
    if (st == FL_OK) {
        out->n = (n - sizeof mark) / sizeof *out->item;
        out->item = fl_xcalloc(out->n, sizeof *out->item);
        memcpy(out->item, bytes + sizeof mark, n - sizeof mark);
    }
    free(bytes);
    free(path);
    return st;
}

fl_status joined_keep(const local *l, const home *h, const char *run_dir, fl_err *err)
{
    entries now;
    fl_status st = list_now(&now, l, h, err);
    if (st == FL_OK) {
        st = write_entries(&now, run_dir, err);
    }
    free(now.item);
    return st;
}

fl_status joined_drop(const char *run_dir, fl_err *err)
{
    char *path = path_of(run_dir);
    fl_status st = unlink(path) == 0 || errno == ENOENT ? FL_OK : fl_fail_errno(err, errno, path);
    free(path);
    return st;
}

// ----------------------------------------------------------------- comparing

typedef struct {
    size_t n_labels, n_splits, n_new, n_gone;
} changes;

static changes compare(const entries *then, const entries *now)
{
    changes c = {0};
    size_t i = 0, k = 0;
    while (i < then->n || k < now->n) {
        int order = i == then->n ? 1 : k == now->n ? -1 : by_name(&then->item[i], &now->item[k]);
        if (order == 0) {
            const entry *a = &then->item[i], *b = &now->item[k];
            c.n_labels += memcmp(a->label, b->label, sizeof a->label) != 0;
            c.n_splits += a->split != b->split;
        }
        c.n_gone += order < 0;
        c.n_new += order > 0;
        i += order <= 0;
        k += order >= 0;
    }
    return c;
}

enum { COUNT_BYTES = 48 };

/* As a count may leave. */
static void say_count(char out[static COUNT_BYTES], size_t n, int64_t min_cell)
{
    if (n > 0 && (int64_t)n < min_cell) {
        snprintf(out, COUNT_BYTES, "1-%" PRId64, min_cell - 1);
    } else {
        snprintf(out, COUNT_BYTES, "%zu", n);
    }
}

static fl_status tell(const changes *c, const home *h, int64_t min_cell, fl_err *err)
{
    char labels[COUNT_BYTES], splits[COUNT_BYTES], added[COUNT_BYTES];
    fl_log(FL_LOG_WARN, "data.changed",
           "site=%s labels=%zu splits=%zu new=%zu gone=%zu of %s, since this hospital joined the "
           "run: nothing is trained on them.  Put them back and start this client again (the next "
           "round asks by itself), or take part in the next run: corrected labels belong there.  "
           "Rows of a table without a column for cases go by their number; `split: {by: patient}` "
           "is drawn from all patients",
           h->site.text, c->n_labels, c->n_splits, c->n_new, c->n_gone, h->data);
    say_count(labels, c->n_labels, min_cell);
    say_count(splits, c->n_splits, min_cell);
    say_count(added, c->n_new, min_cell);
    return fl_fail(err, FL_ECONFLICT,
                   "the data are not those that this hospital joined the run with: another label "
                   "for %s cases, another split for %s, %s new; put them back, or take part in "
                   "the next run, where corrected labels belong",
                   labels, splits, added);
}

fl_status joined_check(const local *l, const home *h, const char *run_dir, int64_t min_cell,
                       fl_err *err)
{
    entries then, now;
    fl_status st = list_now(&now, l, h, err);
    if (st != FL_OK) {
        return st;
    }
    st = read_entries(&then, run_dir, err);
    if (st == FL_ENOTFOUND) {
        st = write_entries(&now, run_dir, err);
    } else if (st == FL_OK) {
        changes c = compare(&then, &now);
        if (c.n_labels + c.n_splits + c.n_new > 0) {
            st = tell(&c, h, min_cell, err);
        } else if (c.n_gone > 0) {
            fl_log(FL_LOG_INFO, "data.fewer", "site=%s %zu cases are gone since it joined the run",
                   h->site.text, c.n_gone);
        }
    }
    free(then.item);
    free(now.item);
    return st;
}
