/*
 * hospital.c - see hospital.h
 */
#define _XOPEN_SOURCE 700  // realpath

#include "sim/hospital.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "data/dataset.h"
#include "sim/generate.h"
#include "sim/partition.h"
#include "sim/relabel.h"

enum { GENERATOR_VERSION = 6 };  // raised when the same settings give other bytes

#define STAMP_HEAD "consilium-sim data: "  // the first words of DIR/stamp

static fl_status write_dataset_yaml(const char *dir, const char *text, fl_err *err)
{
    char *path = fl_path_join(dir, "dataset.yaml");
    fl_status st = fl_file_write(path, text, strlen(text), 0644, err);
    free(path);
    return st;
}

/* Writes DIR/dataset.yaml: what head says, the hospital's scanner, and what comes later. */
static fl_status write_scanned(const scenario *s, const scenario_hospital *h, const char *head,
                               const char *dir, fl_err *err)
{
    fl_buf yaml = FL_BUF_INIT;
    fl_buf_puts(&yaml, head);
    if (h->shift.n > 0) {
        fl_buf_printf(&yaml, "\nshift: %s\nshift_seed: %llu\n", h->shift_yaml,
                      (unsigned long long)s->job.seed);
    }
    scenario_add_later(&yaml, h);
    fl_status st = fl_mkdirs(dir, 0755, err);
    if (st == FL_OK) {
        st = write_dataset_yaml(dir, yaml.data, err);
    }
    fl_buf_clear(&yaml);
    return st;
}

/* The same with each of its later scanners.  later: head below the hospital's folder. */
static fl_status write_all_scanned(const scenario *s, const scenario_hospital *h, const char *head,
                                   const char *later, const char *dir, fl_err *err)
{
    fl_status st = write_scanned(s, h, head, dir, err);
    for (size_t i = 0; i < h->n_changes && st == FL_OK; i++) {
        scenario_hospital then = *h;
        then.shift = h->changes[i].shift;
        then.shift_yaml = h->changes[i].shift_yaml;
        then.n_changes = 0;
        char *folder = scenario_change_folder(&h->changes[i]), *path = fl_path_join(dir, folder);
        st = write_scanned(s, &then, later, path, err);
        free(folder);
        free(path);
    }
    return st;
}

/* The line of dataset.yaml, or nothing: what a hospital's own one says stays. */
static char *standard_line(const char *yaml, const char *standard)
{
    fl_buf line = FL_BUF_INIT;
    fl_buf_puts(&line, "");
    if (standard != NULL && strstr(yaml, "reference_standard:") == NULL) {
        fl_buf_puts(&line, "reference_standard: '");
        for (const char *p = standard; *p != '\0'; p++) {
            fl_buf_add(&line, p, 1);
            fl_buf_puts(&line, *p == '\'' ? "'" : "");
        }
        fl_buf_puts(&line, "'\n");
    }
    return fl_buf_take(&line);
}

/*
 * The same of real cases, with what the hospital's readers made of them.  lists: head and
 * later name the file of cases already.
 */
static fl_status write_real(const scenario *s, const scenario_hospital *h, const char *head,
                            const char *later, bool lists, const char *dir, fl_err *err)
{
    fl_status st;
    if (!relabel_is_needed(h)) {
        return write_all_scanned(s, h, head, later, dir, err);
    }
    char *standard = NULL;
    if ((st = fl_mkdirs(dir, 0755, err)) == FL_OK &&
        (st = write_dataset_yaml(dir, head, err)) == FL_OK &&
        (st = relabel_write(&standard, s, h, dir, err)) == FL_OK) {
        char *more = standard_line(head, standard);
        char *own = fl_xasprintf("%s\n%s%s", head, more, lists ? "" : "cases: cases.csv\n");
        char *then = fl_xasprintf("%s\n%s%s", later, more, lists ? "" : "cases: ../cases.csv\n");
        st = write_all_scanned(s, h, own, then, dir, err);
        free(more);
        free(own);
        free(then);
    }
    free(standard);
    return st;
}

// ----------------------------------------------------- a real set, shared out

/* rows.csv of an npz, cases.csv of a folder. */
static fl_status write_share(const partition *p, size_t hospital, const char *dir, fl_err *err)
{
    fl_buf csv = FL_BUF_INIT;
    fl_buf_puts(&csv, p->cases != NULL ? "case,split\n" : "split,index\n");
    for (size_t i = 0; i < p->n; i++) {
        const partition_row *row = &p->rows[i];
        const char *split = data_split_name((data_split)row->split);
        if (row->hospital != hospital) {
            continue;
        }
        if (p->cases != NULL) {
            char *name = generate_quoted(p->cases[i]);
            fl_buf_printf(&csv, "%s,%s\n", name, split);
            free(name);
        } else {
            fl_buf_printf(&csv, "%s,%zu\n", split, row->index);
        }
    }
    char *path = fl_path_join(dir, p->cases != NULL ? "cases.csv" : "rows.csv");
    fl_status st = fl_file_write(path, csv.data, csv.n, 0644, err);
    free(path);
    fl_buf_clear(&csv);
    return st;
}

static char *share_yaml(const scenario *s, const char *source, const char *up)
{
    if (s->source.folder != NULL) {
        return fl_xasprintf("union: [\"%s\"]\ncases: %scases.csv\n", source, up);
    }
    return fl_xasprintf("task: classify\nnpz: \"%s\"\nrows: %srows.csv\nclasses: %s\n", source, up,
                        s->source.classes_yaml);
}

static fl_status share_out(const scenario *s, const char *dir, fl_err *err)
{
    partition p;
    fl_status st = partition_read(&p, s, err);
    char *source = realpath(s->source.npz != NULL ? s->source.npz : s->source.folder, NULL);
    for (size_t i = 0; i < s->n_hospitals && st == FL_OK; i++) {
        const scenario_hospital *h = &s->hospitals[i];
        char *own = fl_path_join(dir, h->name), *head = share_yaml(s, source, ""),
             *later = share_yaml(s, source, "../");
        if ((st = fl_mkdirs(own, 0755, err)) == FL_OK &&
            (st = write_share(&p, i, own, err)) == FL_OK) {
            st = write_real(s, h, head, later, p.cases != NULL, own, err);
        }
        free(own);
        free(head);
        free(later);
    }
    free(source);
    partition_clear(&p);
    return st;
}

// -------------------------------------------------------------- own real data

static fl_status refer_to_own(const scenario *s, const scenario_hospital *h, const char *dir,
                              fl_err *err)
{
    char *head;
    if (h->dataset_yaml != NULL) {
        head = fl_xstrdup(h->dataset_yaml);
    } else {
        char *where = realpath(h->data, NULL);
        if (where == NULL) {
            return fl_fail(err, FL_ENOTFOUND, "hospital %s: data: %s does not exist", h->name,
                           h->data);
        }
        head = fl_xasprintf("union: [\"%s\"]\n", where);
        free(where);
    }
    fl_status st = write_real(s, h, head, head, false, dir, err);
    free(head);
    return st;
}

// ------------------------------------------------------------ all of them

char *hospital_stamp(const scenario *s)
{
    fl_buf text = FL_BUF_INIT;
    fl_buf_printf(&text, "version %d kind %d seed %llu\n", GENERATOR_VERSION, (int)s->kind,
                  (unsigned long long)s->job.seed);
    if (s->kind == SCENARIO_GENERATE) {
        fl_buf_printf(&text, "%s %s %.17g %lld %lld %s\n", s->generate.phantom->name,
                      s->generate.phantom->task, s->generate.difficulty,
                      (long long)s->generate.depth, (long long)s->generate.size,
                      data_task_name(s->job.data.task));
    } else if (s->kind == SCENARIO_SOURCE) {
        fl_buf_printf(&text, "%s %s %d %.17g %.17g %lld\n",
                      s->source.npz != NULL ? s->source.npz : s->source.folder,
                      s->source.classes_yaml, s->source.dirichlet, s->source.alpha,
                      s->source.size_alpha, (long long)s->source.min_train);
        for (int k = 0; k < DATA_MAX_CLASSES; k++) {
            if (s->source.only_at[k] >= 0) {
                fl_buf_printf(&text, "class %d only at %d\n", k, s->source.only_at[k]);
            }
        }
    }
    for (size_t i = 0; i < s->n_hospitals; i++) {
        const scenario_hospital *h = &s->hospitals[i];
        const annotate_rules *r = &h->labels;
        fl_buf_printf(&text, "%x %.17g %lld %.17g %.17g %.17g %.17g %.17g\n", h->unseen, h->curated,
                      (long long)r->annotators, r->variation, r->missed, r->threshold, r->confused,
                      r->labelled);
        fl_buf_printf(&text, "%s %lld %lld %lld %.17g %.17g %.17g %.17g %.17g %s %s %s %s\n",
                      h->name, (long long)h->n[0], (long long)h->n[1], (long long)h->n[2],
                      h->population.female, h->population.age_mean, h->population.age_sd,
                      h->population.prevalence, h->labels.noise, h->scanner, h->shift_yaml,
                      h->dataset_yaml != NULL ? h->dataset_yaml : "",
                      h->data != NULL ? h->data : "");
    }
    for (size_t i = 0; i < s->n_hospitals; i++) {
        for (size_t k = 0; k < s->hospitals[i].n_changes; k++) {
            const scenario_change *c = &s->hospitals[i].changes[k];
            fl_buf_printf(&text, "%s from %lld: %s %s\n", s->hospitals[i].name, (long long)c->round,
                          c->scanner, c->shift_yaml);
        }
    }
    uint8_t digest[FL_DIGEST_BYTES];
    char hex[FL_HEX_DIGEST];
    fl_blake2b_of(digest, "hospitals", text.data, text.n);
    fl_hex(hex, digest, sizeof digest);
    fl_buf_clear(&text);
    return fl_xasprintf(STAMP_HEAD "%s\n", hex);
}

/* Does the file begin with text? */
static bool begins(const char *path, const char *text)
{
    char *found = NULL;
    size_t n = 0;
    fl_err ignored = FL_ERR_INIT;
    bool does = fl_file_read(&found, &n, path, 4096, &ignored) == FL_OK &&
                strncmp(found, text, strlen(text)) == 0;
    free(found);
    return does;
}

/* An empty folder that is marked as ours before anything else is in it.  What
 * somebody else put there is not removed. */
static fl_status clear_folder(const char *dir, const char *stamp_path, fl_err *err)
{
    static const char unfinished[] = STAMP_HEAD "unfinished\n";
    char **names = NULL;
    size_t n = 0;
    fl_status st = FL_OK;
    if (fl_is_dir(dir) && !begins(stamp_path, STAMP_HEAD)) {
        if ((st = fl_list_dir(&names, &n, dir, err)) == FL_OK && n > 0) {
            st = fl_fail(
                err, FL_ECONFLICT,
                "%s: is not empty and was not made by the simulator; choose another folder", dir);
        }
        fl_names_free(&names, n);
    }
    if (st != FL_OK || (st = fl_remove_tree(dir, err)) != FL_OK ||
        (st = fl_mkdirs(dir, 0755, err)) != FL_OK) {
        return st;
    }
    return fl_file_write(stamp_path, unfinished, strlen(unfinished), 0644, err);
}

/* dataset.yaml of all hospitals, at their last scanners; or below, in every round's. */
static fl_status write_union(const scenario *s, const char *dir, bool last, fl_err *err)
{
    fl_buf yaml = FL_BUF_INIT;
    fl_buf_puts(&yaml, "union:\n");
    for (size_t i = 0; i < s->n_hospitals; i++) {
        char *folder = last ? scenario_last_folder(&s->hospitals[i])
                            : fl_xasprintf("../%s", s->hospitals[i].name);
        fl_buf_printf(&yaml, "  - ../%s\n", folder);
        free(folder);
    }
    fl_status st = fl_mkdirs(dir, 0755, err);
    if (st == FL_OK) {
        st = write_dataset_yaml(dir, yaml.data, err);
    }
    fl_buf_clear(&yaml);
    return st;
}

static fl_status write_pooled(const scenario *s, const char *dir, fl_err *err)
{
    char *pooled = fl_path_join(dir, HOSPITAL_POOLED),
         *rounds = fl_path_join(dir, HOSPITAL_POOLED_ROUNDS);
    fl_status st = write_union(s, pooled, true, err);
    if (st == FL_OK && scenario_has_changes(s)) {
        st = write_union(s, rounds, false, err);
    }
    free(pooled);
    free(rounds);
    return st;
}

fl_status hospital_make_all(const scenario *s, const char *dir, fl_err *err)
{
    char *stamp = hospital_stamp(s), *stamp_path = fl_path_join(dir, "stamp");
    fl_status st = FL_OK;
    if (begins(stamp_path, stamp) || (st = clear_folder(dir, stamp_path, err)) != FL_OK) {
        goto done;
    }
    if (s->kind == SCENARIO_SOURCE) {
        st = share_out(s, dir, err);
    }
    for (size_t i = 0; i < s->n_hospitals && st == FL_OK; i++) {
        const scenario_hospital *h = &s->hospitals[i];
        char *own = fl_path_join(dir, h->name);
        fl_progress("making data: hospital %zu of %zu, %s", i + 1, s->n_hospitals, h->name);
        if (h->dataset_yaml != NULL || h->data != NULL) {
            st = refer_to_own(s, h, own, err);
        } else if (s->kind == SCENARIO_GENERATE) {
            st = generate_hospital(s, h, own, err);
        }
        free(own);
        if (st != FL_OK) {
            fl_wrap(err, st, "making the data of hospital %s", h->name);
        }
    }
    fl_progress_end();
    if (st == FL_OK && (st = write_pooled(s, dir, err)) == FL_OK) {
        st = fl_file_write(stamp_path, stamp, strlen(stamp), 0644, err);
    }
done:
    free(stamp);
    free(stamp_path);
    return st;
}
