/*
 * later.c - a hospital's data that change while a federation runs
 *
 * A scanner is replaced at round R: from then on the hospital trains, validates
 * and is judged on other images.  They are data sets of their own, opened with the
 * first so that what does not fit is found before round 1; which one a round uses is a
 * function of its number alone, so that a round that is repeated sees the same.
 */
#include <stdlib.h>
#include <string.h>

#include "data/set.h"

void data_later_note(data_set *s, const data_recipe *r)
{
    s->later = fl_xcalloc(r->n_changes + 1, sizeof *s->later);
    s->n_later = r->n_changes;
    for (size_t i = 0; i < r->n_changes; i++) {
        s->later[i].round = r->changes[i].round;
        s->later[i].path = fl_arena_strdup(s->arena, r->changes[i].path);
    }
}

const char *data_later_path(const data_recipe *r, int64_t round)
{
    const char *path = NULL;
    for (size_t i = 0; i < r->n_changes && r->changes[i].round <= round; i++) {
        path = r->changes[i].path;
    }
    return path;
}

void data_later_join(data_set *s, const data_set *member)
{
    for (size_t i = 0; i < member->n_later; i++) {
        int64_t round = member->later[i].round;
        size_t at = 0;
        while (at < s->n_later && s->later[at].round < round) {
            at++;
        }
        if (at < s->n_later && s->later[at].round == round) {
            continue;
        }
        s->later = fl_xrealloc(s->later, s->n_later + 1, sizeof *s->later);
        memmove(s->later + at + 1, s->later + at, (s->n_later - at) * sizeof *s->later);
        s->later[at] = (data_later){.round = round};
        s->n_later++;
    }
}

void data_later_clear(data_set *s)
{
    for (size_t i = 0; i < s->n_later; i++) {
        data_set_destroy(&s->later[i].set);
    }
    free(s->later);
}

static int by_patient(const void *a, const void *b)
{
    const data_entry *const *x = a, *const *y = b;
    return strcmp((*x)->patient, (*y)->patient);
}

/* Who was trained on before may not be tested on later. */
static fl_status check_patients(const data_set *s, const data_set *later, const char *name,
                                fl_err *err)
{
    fl_status st = FL_OK;
    const data_entry **sorted = fl_xcalloc(s->n, sizeof *sorted);
    for (size_t i = 0; i < s->n; i++) {
        sorted[i] = &s->entries[i];
    }
    qsort(sorted, s->n, sizeof *sorted, by_patient);
    for (size_t i = 0; i < later->n && st == FL_OK; i++) {
        const data_entry *key = &later->entries[i];
        const data_entry *const *found = bsearch(&key, sorted, s->n, sizeof *sorted, by_patient);
        if (found != NULL && (*found)->split != key->split) {
            st = fl_fail(err, FL_ECONFIG,
                         "%s: a patient in %s here is in %s of the data set before", name,
                         data_split_name((data_split)key->split),
                         data_split_name((data_split)(*found)->split));
        }
    }
    free(sorted);
    return st;
}

fl_status data_later_open(data_set *s, const char *path, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t i = 0; i < s->n_later && st == FL_OK; i++) {
        data_later *l = &s->later[i];
        const char *from = l->path != NULL ? l->path : path;
        st = data_set_open_round(&l->set, from, &s->spec, l->path != NULL ? 0 : l->round, err);
        if (st == FL_OK && l->set->n_later > 0) {
            st = fl_fail(err, FL_ECONFIG, "%s: a later data set has none that come later", from);
        }
        if (st == FL_OK) {
            st = check_patients(s, l->set, from, err);
        }
        if (st != FL_OK) {
            fl_wrap(err, st, "%s: later: round %lld", path, (long long)l->round);
        }
    }
    return st;
}

const data_set *data_set_in_round(const data_set *s, int64_t round)
{
    const data_set *now = s;
    for (size_t i = 0; i < s->n_later && s->later[i].round <= round; i++) {
        now = s->later[i].set;
    }
    return now;
}
