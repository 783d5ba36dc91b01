/*
 * split.c - which cases train, which choose, which judge
 *
 * Always by patient: two images of one person in train and test make a model
 * look better than it is.  Which patients fall where depends on the seed and
 * on the patients' names only, not on the order of the rows.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "data/set.h"

/* Cases of one patient stand together when sorted by these. */
typedef struct {
    const char *name;
    size_t index;
} name_key;

static int by_name(const void *a, const void *b)
{
    const name_key *x = a;
    const name_key *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static name_key *sort_patients(const data_set *s)
{
    name_key *keys = fl_xcalloc(s->n, sizeof *keys);
    for (size_t i = 0; i < s->n; i++) {
        keys[i] = (name_key){s->entries[i].patient, i};
    }
    qsort(keys, s->n, sizeof *keys, by_name);
    return keys;
}

static bool begins_patient(const name_key *keys, size_t i)
{
    return i == 0 || strcmp(keys[i - 1].name, keys[i].name) != 0;
}

/*
 * Moves round(part * P) of the P patients whose cases are in `from` to `to`,
 * for each of the parts in turn; the rest is left.
 */
static void draw_patients(data_set *s, int from, const double *part, const int *to, size_t n_parts,
                          uint64_t seed)
{
    name_key *keys = sort_patients(s);
    size_t *first = fl_xcalloc(s->n, sizeof *first);  // key of each patient
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (begins_patient(keys, i) && s->entries[keys[i].index].split == from) {
            first[n++] = i;
        }
    }
    fl_rng rng;
    fl_rng_init(&rng, seed, "split", "", 0);
    fl_rng_shuffle(&rng, first, n);

    size_t next = 0;
    for (size_t p = 0; p < n_parts; p++) {
        size_t quota = (size_t)floor(part[p] * (double)n + 0.5);
        for (size_t k = 0; k < quota && next < n; k++, next++) {
            size_t i = first[next];
            do {
                s->entries[keys[i].index].split = to[p];
                i++;
            } while (i < s->n && !begins_patient(keys, i));
        }
    }
    free(first);
    free(keys);
}

static void split_by_patient(data_set *s, const data_split_rule *rule)
{
    const double part[] = {rule->test, rule->val};
    const int to[] = {DATA_TEST, DATA_VAL};

    draw_patients(s, DATA_NO_SPLIT, part, to, 2, rule->seed);
    for (size_t i = 0; i < s->n; i++) {
        if (s->entries[i].split == DATA_NO_SPLIT) {
            s->entries[i].split = DATA_TRAIN;
        }
    }
}

static void carve_validation(data_set *s, const data_split_rule *rule)
{
    const int to = DATA_VAL;
    if (rule->val > 0) {
        draw_patients(s, DATA_TRAIN, &rule->val, &to, 1, rule->seed);
    }
}

static fl_status parse_split(int *out, const char *text, const char *file, int line,
                             const char *column, fl_err *err)
{
    data_split split;
    if (!data_split_parse(&split, text)) {
        return fl_fail(err, FL_ECONFIG, "%s:%d: %s: expected train, val or test, found %s", file,
                       line, column, text[0] != '\0' ? text : "nothing");
    }
    *out = (int)split;
    return FL_OK;
}

/* --- a file of splits, row by row --- */

typedef struct {
    int set, row, site;  // columns; site -1: the file has one site
} split_columns;

static fl_status find_columns(split_columns *out, const data_csv *t, const data_split_rule *rule,
                              fl_err *err)
{
    out->set = data_csv_column(t, rule->set_column);
    out->row = data_csv_column(t, rule->row_column);
    out->site = rule->site != NULL ? data_csv_column(t, rule->site_column) : -1;
    const char *missing = out->set < 0                          ? rule->set_column
                          : out->row < 0                        ? rule->row_column
                          : rule->site != NULL && out->site < 0 ? rule->site_column
                                                                : NULL;
    return missing == NULL
               ? FL_OK
               : fl_fail(err, FL_ECONFIG, "%s:1: there is no column %s", rule->file, missing);
}

/* Index of the case that stands in a row of its file, or s->n. */
static size_t case_of_row(const data_set *s, const size_t *by_row, size_t n_rows, const char *text)
{
    double row;
    if (!data_parse_number(&row, text) || row < 0 || floor(row) != row || row >= (double)n_rows) {
        return s->n;
    }
    return by_row[(size_t)row];
}

static fl_status read_split_rows(data_set *s, const data_split_rule *rule, const data_csv *t,
                                 const char *file, fl_err *err)
{
    split_columns at;
    fl_status st = find_columns(&at, t, rule, err);
    if (st != FL_OK) {
        return st;
    }
    size_t n_rows = s->n > 0 ? s->entries[s->n - 1].row + 1 : 0;
    size_t *by_row = fl_xcalloc(n_rows, sizeof *by_row);
    for (size_t i = 0; i < n_rows; i++) {
        by_row[i] = s->n;
    }
    for (size_t i = 0; i < s->n; i++) {
        by_row[s->entries[i].row] = i;
    }

    for (size_t i = 0; i < t->n_rows && st == FL_OK; i++) {
        char **cell = t->cell[i];
        if (at.site >= 0 && strcmp(cell[at.site], rule->site) != 0) {
            continue;
        }
        size_t k = case_of_row(s, by_row, n_rows, cell[at.row]);
        if (k == s->n) {
            st = fl_fail(err, FL_ECONFIG, "%s:%d: expected a row that %s has and keeps, found %s",
                         rule->file, t->line[i], file, cell[at.row]);
        } else if (s->entries[k].split != DATA_NO_SPLIT) {
            st = fl_fail(err, FL_ECONFIG, "%s:%d: row %s is there twice", rule->file, t->line[i],
                         cell[at.row]);
        } else {
            st = parse_split(&s->entries[k].split, cell[at.set], rule->file, t->line[i],
                             rule->set_column, err);
        }
    }
    free(by_row);
    for (size_t i = 0; i < s->n && st == FL_OK; i++) {
        if (s->entries[i].split == DATA_NO_SPLIT) {
            st = fl_fail(err, FL_ECONFIG, "%s:%d: %s has no split for this row", file,
                         s->entries[i].line, rule->file);
        }
    }
    return st;
}

static fl_status split_by_file(data_set *s, const data_split_rule *rule, const char *file,
                               fl_err *err)
{
    data_csv t;
    fl_status st = data_csv_read(&t, rule->file, true, err);
    if (st == FL_OK) {
        st = read_split_rows(s, rule, &t, file, err);
    }
    data_csv_clear(&t);
    return st;
}

/* --- all rules --- */

fl_status data_split_assign(data_set *s, const data_split_rule *rule, const char *file,
                            const char *const *column, fl_err *err)
{
    fl_status st = FL_OK;

    if (rule->kind == DATA_SPLIT_FILE) {
        if ((st = split_by_file(s, rule, file, err)) == FL_OK) {
            carve_validation(s, rule);
        }
        return st;
    }
    bool by_column = rule->kind == DATA_SPLIT_COLUMN ||
                     (rule->kind == DATA_SPLIT_DEFAULT && column != NULL);
    if (!by_column) {
        split_by_patient(s, rule);
        return FL_OK;
    }
    if (column == NULL) {
        return fl_fail(err, FL_ECONFIG, "%s:1: there is no column %s", file, rule->column);
    }
    for (size_t i = 0; i < s->n && st == FL_OK; i++) {
        st = parse_split(&s->entries[i].split, column[i], file, s->entries[i].line, rule->column,
                         err);
    }
    if (st == FL_OK && rule->kind == DATA_SPLIT_COLUMN) {
        carve_validation(s, rule);
    }
    return st;
}

static fl_status check_case_names(const data_set *s, const char *file, fl_err *err)
{
    fl_status st = FL_OK;
    name_key *keys = fl_xcalloc(s->n, sizeof *keys);

    for (size_t i = 0; i < s->n; i++) {
        keys[i] = (name_key){s->entries[i].case_id, i};
    }
    qsort(keys, s->n, sizeof *keys, by_name);
    for (size_t i = 1; i < s->n && st == FL_OK; i++) {
        if (strcmp(keys[i - 1].name, keys[i].name) == 0) {
            st = fl_fail(err, FL_ECONFIG, "%s:%d: this case has the name of the one in line %d",
                         file, s->entries[keys[i].index].line, s->entries[keys[i - 1].index].line);
        }
    }
    free(keys);
    return st;
}

/* Patients with cases in several splits. */
static size_t count_leaked(const data_set *s, const name_key *keys)
{
    size_t n = 0;
    size_t begin = 0;
    bool counted = false;
    for (size_t i = 0; i < s->n; i++) {
        if (begins_patient(keys, i)) {
            begin = i;
            counted = false;
        }
        bool leaks = s->entries[keys[begin].index].split != s->entries[keys[i].index].split;
        n += leaks && !counted;
        counted = counted || leaks;
    }
    return n;
}

static fl_status refuse_leak(const data_set *s, const name_key *keys, const data_entry *one,
                             const data_entry *other, const char *file, fl_err *err)
{
    size_t n = count_leaked(s, keys);
    return fl_fail(err, FL_ECONFIG,
                   "%s:%d: a patient in two splits: %s here, %s in line %d; %zu patient%s in more "
                   "than one split, and must be in one",
                   file, other->line, data_split_name((data_split)other->split),
                   data_split_name((data_split)one->split), one->line, n, n == 1 ? " is" : "s are");
}

fl_status data_split_check(data_set *s, const char *file, fl_err *err)
{
    fl_status st = check_case_names(s, file, err);
    name_key *keys = sort_patients(s);
    size_t *first = fl_xcalloc(s->n, sizeof *first);  // case of the same patient

    size_t begin = 0;
    for (size_t i = 0; i < s->n && st == FL_OK; i++) {
        begin = begins_patient(keys, i) ? i : begin;
        const data_entry *one = &s->entries[keys[begin].index];
        const data_entry *other = &s->entries[keys[i].index];
        first[keys[i].index] = keys[begin].index;
        if (one->split != other->split) {
            st = refuse_leak(s, keys, one, other, file, err);
        }
    }
    s->n_patients = 0;
    for (size_t i = 0; i < s->n && st == FL_OK; i++) {
        s->entries[i].patient_no = first[i] == i ? s->n_patients++
                                                 : s->entries[first[i]].patient_no;
    }
    free(first);
    free(keys);
    return st;
}
