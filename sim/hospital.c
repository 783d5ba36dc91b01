/*
 * hospital.c - see hospital.h
 */
#define _XOPEN_SOURCE 700  // realpath

#include "sim/hospital.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "data/formats.h"
#include "sim/partition.h"

enum { GENERATOR_VERSION = 2 }; // raised when the same settings give other bytes

#define STAMP_HEAD "consilium-sim data: " // the first words of DIR/stamp

static const char *const split_names[SCENARIO_SPLITS] = {"train", "val", "test"};

// --------------------------------------------------------- generated patients

typedef struct {
    const scenario *s;
    const scenario_hospital *h;
    const char *dir;
    phantom_patient *patients;
    fl_err *errors;    // one a patient: threads do not share
    size_t n;
} generation;

static void make_patient(void *ctx, size_t i)
{
    generation *g = ctx;
    int64_t size = g->s->generate.size;
    fl_err *err = &g->errors[i];
    float *image = fl_calloc((size_t)(size * size), sizeof *image, "image", err);
    if (image == NULL) {
        return;
    }
    fl_rng rng;
    fl_rng_init(&rng, g->s->job.seed, "phantom", g->h->name, i);
    g->s->generate.phantom->render(image, NULL, &g->patients[i], size, g->s->generate.difficulty,
                                   &g->h->population, &rng);
    fl_rng_init(&rng, g->s->job.seed, "scanner", g->h->name, i);
    nn_shape shape = {3, {1, size, size}};
    if (data_shift_apply(&g->h->shift, image, &shape, &rng, err) == FL_OK) {
        char *path = fl_xasprintf("%s/images/%06zu.png", g->dir, i + 1);
        data_png_write(path, image, size, size, 1, 8, err);
        free(path);
    }
    free(image);
}

/* The label as the hospital's archive has it. */
static int recorded_label(const generation *g, size_t i, int split)
{
    if (split != 0 || g->h->label_noise <= 0) {
        return g->patients[i].code;
    }
    fl_rng rng;
    fl_rng_init(&rng, g->s->job.seed, "label noise", g->h->name, i);
    return fl_rng_uniform(&rng) < g->h->label_noise ? 1 - g->patients[i].code : g->patients[i].code;
}

/* A CSV cell in quotes; quotes in it are doubled (RFC 4180). */
static char *quoted(const char *text)
{
    fl_buf cell = FL_BUF_INIT;
    fl_buf_puts(&cell, "\"");
    for (const char *p = text; *p != '\0'; p++) {
        fl_buf_add(&cell, p, 1);
        if (*p == '"') {
            fl_buf_puts(&cell, "\"");
        }
    }
    fl_buf_puts(&cell, "\"");
    return fl_buf_take(&cell);
}

static fl_status write_manifest(const generation *g, fl_err *err)
{
    fl_buf csv = FL_BUF_INIT;
    const phantom_ops *p = g->s->generate.phantom;
    char *scanner = quoted(g->h->scanner[0] != '\0' ? g->h->scanner : "simulated");
    fl_buf_puts(&csv, "case,patient,file,label,split,sex,age,scanner\n");
    size_t i = 0;
    for (int split = 0; split < SCENARIO_SPLITS; split++) {
        for (int64_t k = 0; k < g->h->n[split]; k++, i++) {
            const phantom_patient *who = &g->patients[i];
            fl_buf_printf(&csv, "%06zu,%s-%06zu,images/%06zu.png,%s,%s,%c,%.0f,%s\n", i + 1, g->h->name, i + 1, i + 1,
                          p->classes[recorded_label(g, i, split)], split_names[split], who->sex, who->age, scanner);
        }
    }
    free(scanner);
    char *path = fl_path_join(g->dir, "manifest.csv");
    fl_status st = fl_file_write(path, csv.data, csv.n, 0644, err);
    free(path);
    fl_buf_clear(&csv);
    return st;
}

static fl_status write_dataset_yaml(const char *dir, const char *text, fl_err *err)
{
    char *path = fl_path_join(dir, "dataset.yaml");
    fl_status st = fl_file_write(path, text, strlen(text), 0644, err);
    free(path);
    return st;
}

static fl_status generate(const scenario *s, const scenario_hospital *h, const char *dir, fl_err *err)
{
    generation g = {.s = s, .h = h, .dir = dir};
    for (int split = 0; split < SCENARIO_SPLITS; split++) {
        g.n += (size_t)h->n[split];
    }
    char *images = fl_path_join(dir, "images");
    fl_status st = fl_mkdirs(images, 0755, err);
    free(images);
    if (st != FL_OK) {
        return st;
    }
    g.patients = fl_calloc(g.n, sizeof *g.patients, "patients", err);
    g.errors = fl_calloc(g.n, sizeof *g.errors, "patients", err);
    if (g.patients == NULL || g.errors == NULL) {
        st = FL_ELIMIT;
    } else {
        fl_parallel(fl_n_cores(), g.n, make_patient, &g);
    }
    for (size_t i = 0; i < g.n && st == FL_OK; i++) {
        if (g.errors[i].status != FL_OK) {
            *err = g.errors[i];
            st = err->status;
        }
    }
    if (st == FL_OK) {
        st = write_manifest(&g, err);
    }
    free(g.patients);
    free(g.errors);
    if (st != FL_OK) {
        return st;
    }
    fl_buf yaml = FL_BUF_INIT;
    fl_buf_printf(&yaml, "task: classify\nclasses: {");
    for (size_t c = 0; s->generate.phantom->classes[c] != NULL; c++) {
        fl_buf_printf(&yaml, "%s%s: %s", c > 0 ? ", " : "", s->generate.phantom->classes[c], s->generate.phantom->classes[c]);
    }
    fl_buf_puts(&yaml, "}\nreference_standard: the simulator's own truth\n"
                       "attributes: {sex: sex, age: age, scanner: scanner}\nsplit: {column: split}\npreprocess: [normalise: zscore]\n");
    st = write_dataset_yaml(dir, yaml.data, err);
    fl_buf_clear(&yaml);
    return st;
}

// ----------------------------------------------------- a real set, shared out

static fl_status write_rows(const partition_row *rows, size_t n, size_t hospital, const char *dir, fl_err *err)
{
    fl_buf csv = FL_BUF_INIT;
    fl_buf_puts(&csv, "split,index\n");
    for (size_t i = 0; i < n; i++) {
        if (rows[i].hospital == hospital) {
            fl_buf_printf(&csv, "%s,%zu\n", split_names[rows[i].split], rows[i].index);
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
        fl_buf_printf(&text, "%s %s %.17g %lld\n", s->generate.phantom->name, s->generate.phantom->task,
                      s->generate.difficulty, (long long)s->generate.size);
    } else if (s->kind == SCENARIO_SOURCE) {
        fl_buf_printf(&text, "%s %s %d %.17g %lld\n", s->source.npz, s->source.classes_yaml, s->source.dirichlet,
                      s->source.alpha, (long long)s->source.min_train);
    }
    for (size_t i = 0; i < s->n_hospitals; i++) {
        const scenario_hospital *h = &s->hospitals[i];
        fl_buf_printf(&text, "%s %lld %lld %lld %.17g %.17g %.17g %.17g %.17g %s %s %s %s\n", h->name, (long long)h->n[0],
                      (long long)h->n[1], (long long)h->n[2], h->population.female, h->population.age_mean,
                      h->population.age_sd, h->population.prevalence, h->label_noise, h->scanner, h->shift_yaml,
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
            st = generate(s, h, own, err);
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

// ------------------------------------------------------------------- gallery

enum { GALLERY_CASES = 10, GALLERY_GAP = 4 };

/* A case as a person should see it, in [0, 1]: as its file has it where the
 * simulator wrote one, else the model's input from its darkest to its brightest. */
static void show(float *out, const data_set *set, size_t index, const char *dir, int64_t n)
{
    data_image image;
    fl_err ignored = FL_ERR_INIT;
    char *path = fl_xasprintf("%s/images/%s.png", dir, data_set_case(set, index).case_id);
    bool read = fl_file_exists(path) && data_image_read(&image, path, &ignored) == FL_OK;
    free(path);
    if (read && image.rows * image.cols * image.channels == n && image.full_scale > 0) {
        for (int64_t i = 0; i < n; i++) {
            out[i] = image.data[i] / image.full_scale;
        }
    } else {
        data_set_batch(set, &index, 1, out);
        float low = 0, high = 1;
        for (int64_t i = 0; i < n; i++) {
            low = fminf(low, out[i]);
            high = fmaxf(high, out[i]);
        }
        for (int64_t i = 0; i < n; i++) {
            out[i] = (out[i] - low) / (high - low);
        }
    }
    if (read) {
        data_image_clear(&image);
    }
}

/* Copies an image into the sheet at column, row. */
static void paste(float *sheet, int64_t width, const float *image, int64_t column, int64_t row, int64_t rows, int64_t cols)
{
    for (int64_t y = 0; y < rows; y++) {
        float *to = sheet + ((row * (rows + GALLERY_GAP) + y) * width + column * (cols + GALLERY_GAP));
        memcpy(to, image + y * cols, (size_t)cols * sizeof *to);
    }
}

fl_status hospital_gallery(const scenario *s, const char *dir, const char *png, fl_err *err)
{
    const nn_shape *in = &s->job.data.input;
    if (in->rank != 3) {
        return fl_fail(err, FL_EUNSUPPORTED, "--gallery shows images; this scenario has tables");
    }
    int64_t rows = in->dim[1], cols = in->dim[2];
    int64_t width = GALLERY_CASES * (cols + GALLERY_GAP), height = (int64_t)s->n_hospitals * (rows + GALLERY_GAP);
    float *sheet = fl_calloc((size_t)(width * height), sizeof *sheet, "gallery", err);
    float *scratch = fl_calloc((size_t)(in->dim[0] * rows * cols), sizeof *scratch, "gallery", err);
    fl_status st = sheet == NULL || scratch == NULL ? FL_ELIMIT : FL_OK;
    for (size_t i = 0; i < s->n_hospitals && st == FL_OK; i++) {
        char *own = fl_path_join(dir, s->hospitals[i].name);
        data_set *set = NULL;
        if ((st = data_set_open(&set, own, &s->job.data, err)) == FL_OK) {
            const size_t *test = data_set_split(set, DATA_TEST);
            size_t n = data_set_n_split(set, DATA_TEST);
            for (size_t k = 0; k < GALLERY_CASES && k < n; k++) {
                show(scratch, set, test[k], own, in->dim[0] * rows * cols);
                paste(sheet, width, scratch, (int64_t)k, (int64_t)i, rows, cols);
            }
        }
        data_set_destroy(&set);
        free(own);
    }
    if (st == FL_OK) {
        st = data_png_write(png, sheet, height, width, 1, 8, err);
    }
    free(sheet);
    free(scratch);
    return st;
}
