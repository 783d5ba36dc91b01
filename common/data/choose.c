/*
 * choose.c - part of a data set: the cases that a file lists
 *
 * A hospital's share of a larger collection, used where it lies (`cases:` beside
 * `union:`).  The file says which cases, and may give them other splits; a patient
 * in two splits is refused as always.
 */
#include <stdlib.h>
#include <string.h>

#include "data/set.h"

typedef struct {
    const char *name;
    int split;  // data_split, or DATA_NO_SPLIT: as it was
    int line;
    bool found;
} choice;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const choice *)a)->name, ((const choice *)b)->name);
}

static fl_status read_choices(choice *out, const data_csv *t, const char *file, fl_err *err)
{
    int column = data_csv_column(t, "case");
    int split = data_csv_column(t, "split");
    if (column < 0) {
        return fl_fail(err, FL_ECONFIG, "%s:1: there is no column case", file);
    }
    for (size_t i = 0; i < t->n_rows; i++) {
        data_split found = DATA_TRAIN;
        const char *text = split >= 0 ? t->cell[i][split] : "";
        if (text[0] != '\0' && !data_split_parse(&found, text)) {
            return fl_fail(err, FL_ECONFIG, "%s:%d: split: expected train, val or test, found %s",
                           file, t->line[i], text);
        }
        out[i] = (choice){.name = t->cell[i][column],
                          .split = text[0] != '\0' ? (int)found : DATA_NO_SPLIT,
                          .line = t->line[i]};
    }
    qsort(out, t->n_rows, sizeof *out, by_name);
    return FL_OK;
}

/* Messages name lines and not cases. */
static fl_status check_choices(const choice *c, size_t n, const char *file, fl_err *err)
{
    for (size_t i = 1; i < n; i++) {
        if (strcmp(c[i - 1].name, c[i].name) == 0) {
            return fl_fail(err, FL_ECONFIG, "%s:%d: this case stands in line %d as well", file,
                           c[i].line, c[i - 1].line);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!c[i].found) {
            return fl_fail(err, FL_ECONFIG, "%s:%d: the data set has no such case", file,
                           c[i].line);
        }
    }
    return FL_OK;
}

fl_status data_choose(data_set *s, const char *file, fl_err *err)
{
    data_csv t;
    fl_status st = data_csv_read(&t, file, true, err);
    if (st != FL_OK) {
        return st;
    }
    choice *choices = fl_xcalloc(t.n_rows + 1, sizeof *choices);
    if ((st = read_choices(choices, &t, file, err)) == FL_OK) {
        size_t kept = 0;
        for (size_t i = 0; i < s->n; i++) {
            const choice key = {.name = s->entries[i].case_id};
            choice *c = bsearch(&key, choices, t.n_rows, sizeof *choices, by_name);
            if (c == NULL) {
                continue;
            }
            c->found = true;
            s->entries[kept] = s->entries[i];
            s->entries[kept].split = c->split != DATA_NO_SPLIT ? c->split : s->entries[i].split;
            kept++;
        }
        s->n = kept;
        st = check_choices(choices, t.n_rows, file, err);
    }
    free(choices);
    data_csv_clear(&t);
    return st;
}
