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

enum { GENERATOR_VERSION = 2 }; // raised when the same settings give other bytes

#define STAMP_HEAD "consilium-sim data: " // the first words of DIR/stamp

static fl_status write_dataset_yaml(const char *dir, const char *text, fl_err *err)
{
    char *path = fl_path_join(dir, "dataset.yaml");
    fl_status st = fl_file_write(path, text, strlen(text), 0644, err);
    free(path);
    return st;
}

// ----------------------------------------------------- a real set, shared out

static fl_status write_rows(const partition_row *rows, size_t n, size_t hospital, const char *dir, fl_err *err)
{
    fl_buf csv = FL_BUF_INIT;
    fl_buf_puts(&csv, "split,index\n");
    for (size_t i = 0; i < n; i++) {
        if (rows[i].hospital == hospital) {
            fl_buf_printf(&csv, "%s,%zu\n", data_split_name((data_split)rows[i].split), rows[i].index);
        }
    }
    char *path = fl_path_join(dir, "rows.csv");
    fl_status st = fl_file_write(path, csv.data, csv.n, 0644, err);
    free(path);
    fl_buf_clear(&csv);
    return st;
}

static fl_status share_out(const scenario *s, const char *dir, fl_err *err)
{
    partition_row *rows = NULL;
    size_t n = 0;
    fl_status st = partition_npz(&rows, &n, s, err);
    char *source = realpath(s->source.npz, NULL);
    for (size_t i = 0; i < s->n_hospitals && st == FL_OK; i++) {
        const scenario_hospital *h = &s->hospitals[i];
        char *own = fl_path_join(dir, h->name);
        fl_buf yaml = FL_BUF_INIT;
        fl_buf_printf(&yaml, "task: classify\nnpz: \"%s\"\nrows: rows.csv\nclasses: %s\n", source, s->source.classes_yaml);
        if (h->shift.n > 0) {
            fl_buf_printf(&yaml, "shift: %s\nshift_seed: %llu\n", h->shift_yaml, (unsigned long long)s->job.seed);
        }
        if ((st = fl_mkdirs(own, 0755, err)) == FL_OK && (st = write_rows(rows, n, i, own, err)) == FL_OK) {
            st = write_dataset_yaml(own, yaml.data, err);
        }
        fl_buf_clear(&yaml);
        free(own);
    }
    free(source);
    free(rows);
    return st;
}

// -------------------------------------------------------------- own real data

static fl_status refer_to_own(const scenario *s, const scenario_hospital *h, const char *dir, fl_err *err)
{
    fl_buf yaml = FL_BUF_INIT;
    if (h->dataset_yaml != NULL) {
        fl_buf_puts(&yaml, h->dataset_yaml);
    } else {
        char *where = realpath(h->data, NULL);
        if (where == NULL) {
            return fl_fail(err, FL_ENOTFOUND, "hospital %s: data: %s does not exist", h->name, h->data);
        }
        fl_buf_printf(&yaml, "union: [\"%s\"]\n", where);
        free(where);
    }
    if (h->shift.n > 0) {
        fl_buf_printf(&yaml, "\nshift: %s\nshift_seed: %llu\n", h->shift_yaml, (unsigned long long)s->job.seed);
    }
    fl_status st = fl_mkdirs(dir, 0755, err);
    if (st == FL_OK) {
        st = write_dataset_yaml(dir, yaml.data, err);
    }
    fl_buf_clear(&yaml);
    return st;
}

// ------------------------------------------------------------ all of them

char *hospital_stamp(const scenario *s)
{
    fl_buf text = FL_BUF_INIT;
    fl_buf_printf(&text, "version %d kind %d seed %llu\n", GENERATOR_VERSION, (int)s->kind, (unsigned long long)s->job.seed);
    if (s->kind == SCENARIO_GENERATE) {
        fl_buf_printf(&text, "%s %s %.17g %lld %lld %s\n", s->generate.phantom->name, s->generate.phantom->task,
                      s->generate.difficulty, (long long)s->generate.depth, (long long)s->generate.size,
                      data_task_name(s->job.data.task));
    } else if (s->kind == SCENARIO_SOURCE) {
        fl_buf_printf(&text, "%s %s %d %.17g %lld\n", s->source.npz, s->source.classes_yaml, s->source.dirichlet,
                      s->source.alpha, (long long)s->source.min_train);
    }
    for (size_t i = 0; i < s->n_hospitals; i++) {
        const scenario_hospital *h = &s->hospitals[i];
        const annotate_rules *r = &h->labels;
        fl_buf_printf(&text, "%x %.17g %lld %.17g %.17g %.17g %.17g %.17g\n", h->unseen, h->curated, (long long)r->annotators,
                      r->variation, r->missed, r->threshold, r->confused, r->labelled);
        fl_buf_printf(&text, "%s %lld %lld %lld %.17g %.17g %.17g %.17g %.17g %s %s %s %s\n", h->name, (long long)h->n[0],
                      (long long)h->n[1], (long long)h->n[2], h->population.female, h->population.age_mean,
                      h->population.age_sd, h->population.prevalence, h->labels.noise, h->scanner, h->shift_yaml,
                      h->dataset_yaml != NULL ? h->dataset_yaml : "", h->data != NULL ? h->data : "");
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
    bool does = fl_file_read(&found, &n, path, 4096, &ignored) == FL_OK && strncmp(found, text, strlen(text)) == 0;
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
            st = fl_fail(err, FL_ECONFLICT, "%s: is not empty and was not made by the simulator; choose another folder", dir);
        }
        fl_names_free(&names, n);
    }
    if (st != FL_OK || (st = fl_remove_tree(dir, err)) != FL_OK || (st = fl_mkdirs(dir, 0755, err)) != FL_OK) {
        return st;
    }
    return fl_file_write(stamp_path, unfinished, strlen(unfinished), 0644, err);
}

static fl_status write_pooled(const scenario *s, const char *dir, fl_err *err)
{
    char *pooled = fl_path_join(dir, "pooled");
    fl_buf yaml = FL_BUF_INIT;
    fl_buf_puts(&yaml, "union:\n");
    for (size_t i = 0; i < s->n_hospitals; i++) {
        fl_buf_printf(&yaml, "  - ../%s\n", s->hospitals[i].name);
    }
    fl_status st = fl_mkdirs(pooled, 0755, err);
    if (st == FL_OK) {
        st = write_dataset_yaml(pooled, yaml.data, err);
    }
    fl_buf_clear(&yaml);
    free(pooled);
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
