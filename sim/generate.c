/*
 * generate.c - see generate.h
 */
#include "sim/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/dataset.h"
#include "data/formats.h"
#include "sim/readings.h"

enum { MAX_DRAWS = 2000 };  // of a patient, until one is what the hospital sees

/* What 1 is in volumes of pictures, which NIfTI keeps as integers. */
static const phantom_scale picture = {NULL, 0, 1000};

typedef struct {
    const scenario *s;
    const scenario_hospital *h;
    const phantom_ops *phantom;
    annotate_site readers;
    const char *dir;
    phantom_patient *patients;
    readings *outlines;  // one a patient, as errors: threads do not share
    fl_err *errors;
    size_t n;
} generation;

static bool has_masks(const generation *g)
{
    return g->s->job.data.task == DATA_SEGMENT;
}

/* Volumes and measurements; the others are pictures. */
static bool is_nifti(const generation *g)
{
    return g->s->generate.depth > 1 || g->phantom->scale.unit != NULL;
}

static const char *extension(const generation *g)
{
    return is_nifti(g) ? "nii" : "png";
}

/* Files that a case's images are in: one a named channel. */
static size_t n_files(const generation *g)
{
    return g->phantom->channels[0] != NULL ? (size_t)g->phantom->n_channels : 1;
}

static int split_of(const generation *g, size_t i)
{
    int split = 0;
    for (int64_t k = (int64_t)i; k >= g->h->n[split]; split++) {
        k -= g->h->n[split];
    }
    return split;
}

// -------------------------------------------------------------------- files

/* "images/000001.png", "images/000001-t1.nii", "masks/000001-reader-2.png"; caller's. */
static char *file_name(const generation *g, const char *folder, size_t i, const char *part)
{
    return fl_xasprintf("%s/%06zu%s%s.%s", folder, i + 1, part != NULL ? "-" : "",
                        part != NULL ? part : "", extension(g));
}

/* The patient is 120 x 240 x 240 mm; a scanner with a larger field shows more than that. */
static void spacing_of(double out[static 3], const generation *g)
{
    double side = 240.0 / (double)g->s->generate.size * data_shift_pixel_size(&g->h->shift);
    out[0] = 120.0 / (double)g->s->generate.depth;
    out[1] = out[2] = side;
}

/* channels: planes of x that are one file's picture; in [0, 1]. */
static void write_image(const generation *g, const char *name, float *x, int64_t channels,
                        fl_err *err)
{
    int64_t size = g->s->generate.size, depth = g->s->generate.depth, plane = size * size;
    char *path = fl_path_join(g->dir, name);
    if (is_nifti(g)) {
        const phantom_scale *scale = g->phantom->scale.unit != NULL ? &g->phantom->scale : &picture;
        double spacing_mm[3];
        spacing_of(spacing_mm, g);
        for (int64_t i = 0; i < depth * plane; i++) {
            x[i] = (float)(scale->low + (double)x[i] * (scale->high - scale->low));
        }
        data_nifti_write(path, x, depth, size, size, spacing_mm, err);
    } else if (channels == 1) {
        data_png_write(path, x, size, size, 1, 8, err);
    } else {
        float *last = fl_xcalloc((size_t)(channels * plane), sizeof *last);  // channels last
        for (int64_t i = 0; i < channels * plane; i++) {
            last[i % plane * channels + i / plane] = x[i];
        }
        data_png_write(path, last, size, size, (int)channels, 8, err);
        free(last);
    }
    free(path);
}

static void write_images(const generation *g, size_t i, float *x, fl_err *err)
{
    int64_t n = g->s->generate.depth * g->s->generate.size * g->s->generate.size;
    size_t files = n_files(g);
    int64_t channels = g->phantom->n_channels / (int64_t)files;
    for (size_t f = 0; f < files && err->status == FL_OK; f++) {
        char *name = file_name(g, "images", i, g->phantom->channels[f]);
        write_image(g, name, x + (int64_t)f * channels * n, channels, err);
        free(name);
    }
}

static void write_mask(const generation *g, const char *name, const float *mask, fl_err *err)
{
    int64_t size = g->s->generate.size, depth = g->s->generate.depth;
    char *path = fl_path_join(g->dir, name);
    if (is_nifti(g)) {
        double spacing_mm[3];
        spacing_of(spacing_mm, g);
        data_nifti_write(path, mask, depth, size, size, spacing_mm, err);
    } else {
        data_png_write(path, mask, size, size, 1, 8, err);
    }
    free(path);
}

/* Do readers outline as the truth is, and see everything? */
static bool readers_are_perfect(const annotate_rules *r)
{
    return r->variation <= 0 && r->missed <= 0 && r->threshold <= 0;
}

/* What reader k draws of patient i. */
static void draw_mask(float *out, const generation *g, size_t i, const float *truth, int64_t k)
{
    int64_t size = g->s->generate.size, depth = g->s->generate.depth;
    size_t n = (size_t)(depth * size * size);
    if (!annotate_sees(&g->readers, &g->patients[i], i, k)) {
        memset(out, 0, n * sizeof *out);
    } else if (g->h->labels.variation > 0) {
        annotate_mask(out, &g->readers, truth, depth, size, size, i, k);
    } else {
        memcpy(out, truth, n * sizeof *out);
    }
}

/* Several readers each draw every case; a single one draws what is trained on,
 * and the rest is the truth. */
static void write_masks(const generation *g, size_t i, const float *truth, fl_err *err)
{
    int64_t readers = g->h->labels.annotators, size = g->s->generate.size;
    size_t n = (size_t)(g->s->generate.depth * size * size);
    bool trains = split_of(g, i) == 0, is_counted = trains && annotate_is_drawn(&g->readers, i);
    float *drawn = fl_calloc(n, sizeof *drawn, "mask", err);
    for (int64_t k = 0; k < readers && err->status == FL_OK; k++) {
        char part[32];
        snprintf(part, sizeof part, "reader-%lld", (long long)(k + 1));
        char *name = file_name(g, "masks", i, readers > 1 ? part : NULL);
        if (readers_are_perfect(&g->h->labels) || (readers == 1 && !trains)) {
            write_mask(g, name, truth, err);
        } else {
            draw_mask(drawn, g, i, truth, k);
            write_mask(g, name, drawn, err);
            if (is_counted) {
                readings_add_outline(&g->outlines[i], drawn, truth, n);
            }
        }
        free(name);
    }
    free(drawn);
}

// ----------------------------------------------------------------- patients

/* Does the hospital see such patients in this split? */
static bool is_seen(const generation *g, const phantom_patient *who, int split)
{
    unsigned classes = g->phantom->multilabel ? who->findings : 1u << who->code;
    if (split < 2 && (classes & g->h->unseen) != 0) {
        return false;
    }
    if (split == 0 && g->h->curated > 0) {
        for (int k = 0; k < PHANTOM_MAX_CLASSES; k++) {
            if (who->conspicuity[k] < g->h->curated) {
                return false;
            }
        }
    }
    return true;
}

static void render(const generation *g, size_t i, phantom_case *out, fl_err *err)
{
    fl_rng rng;
    int split = split_of(g, i);
    fl_rng_init(&rng, g->s->job.seed, "phantom", g->h->name, i);
    for (int draw = 0; draw < MAX_DRAWS; draw++) {
        g->phantom->render(out, g->s->generate.difficulty, &g->h->population, &rng);
        if (is_seen(g, &out->patient, split)) {
            return;
        }
    }
    fl_fail(err, FL_ECONFIG,
            "patients: none of %d drawn is what unseen, curated and prevalence ask for", MAX_DRAWS);
}

/* Outlines move with what the scanner moves.  rng: at the start of the image's stream. */
static void move_mask(const generation *g, float *mask, const nn_shape *shape, fl_rng *rng,
                      fl_err *err)
{
    size_t n = (size_t)(nn_shape_count(shape, 1) / shape->dim[0]);
    uint8_t *codes = fl_calloc(n, 1, "mask", err);
    for (size_t i = 0; codes != NULL && i < n; i++) {
        codes[i] = mask[i] > 0.5f;
    }
    if (codes != NULL && data_shift_masks(&g->h->shift, &codes, 1, shape, rng, err) == FL_OK) {
        for (size_t i = 0; i < n; i++) {
            mask[i] = codes[i];
        }
    }
    free(codes);
}

static void make_patient(void *ctx, size_t i)
{
    generation *g = ctx;
    fl_err *err = &g->errors[i];
    nn_shape shape = scenario_generated_shape(g->s);
    phantom_case c = {.depth = g->s->generate.depth, .size = g->s->generate.size};
    size_t n = (size_t)(c.depth * c.size * c.size);
    c.image = fl_calloc((size_t)g->phantom->n_channels * n, sizeof *c.image, "image", err);
    c.mask = has_masks(g) ? fl_calloc(n, sizeof *c.mask, "mask", err) : NULL;
    if (err->status == FL_OK) {
        render(g, i, &c, err);
    }
    g->patients[i] = c.patient;
    fl_rng rng;
    fl_rng_init(&rng, g->s->job.seed, "scanner", g->h->name, i);
    if (err->status == FL_OK && has_masks(g) && data_shift_moves(&g->h->shift)) {
        fl_rng same = rng;
        move_mask(g, c.mask, &shape, &same, err);
    }
    if (err->status == FL_OK &&
        data_shift_apply(&g->h->shift, c.image, &shape, &rng, err) == FL_OK) {
        write_images(g, i, c.image, err);
    }
    if (err->status == FL_OK && has_masks(g)) {
        write_masks(g, i, c.mask, err);
    }
    free(c.image);
    free(c.mask);
}

// ----------------------------------------------------------------- manifest

char *generate_quoted(const char *text)
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

/* The label columns' header, or with i >= 0 their cells of that patient. */
static void add_labels(fl_buf *csv, const generation *g, int64_t i)
{
    const char *const *classes = g->phantom->classes;
    const phantom_patient *who = i >= 0 ? &g->patients[i] : NULL;
    bool archive = who != NULL && split_of(g, (size_t)i) == 0;  // else the truth
    if (has_masks(g)) {
        int64_t n = g->h->labels.annotators;
        for (int64_t k = 0; k < n; k++) {
            char part[32];
            snprintf(part, sizeof part, "reader-%lld", (long long)(k + 1));
            char *name = who != NULL ? file_name(g, "masks", (size_t)i, n > 1 ? part : NULL) : NULL;
            if (who == NULL) {
                fl_buf_printf(csv, n > 1 ? ",mask:%s" : ",mask", part);
            } else {
                bool drawn = !archive || annotate_is_drawn(&g->readers, (size_t)i);
                fl_buf_printf(csv, ",%s", drawn ? name : "");
            }
            free(name);
        }
    } else if (g->phantom->multilabel) {
        unsigned findings = who != NULL ? who->findings : 0;
        bool labelled = !archive ||
                        annotate_findings(&findings, &g->readers, g->phantom, who, (size_t)i);
        for (size_t k = 0; classes[k] != NULL; k++) {
            if (who == NULL) {
                fl_buf_printf(csv, ",label:%s", classes[k]);
            } else {
                fl_buf_printf(csv, ",%s", !labelled ? "" : findings >> k & 1 ? "1" : "0");
            }
        }
    } else if (who == NULL) {
        fl_buf_puts(csv, ",label");
    } else {
        int code = archive ? annotate_label(&g->readers, g->phantom, who, (size_t)i) : who->code;
        fl_buf_printf(csv, ",%s", code >= 0 ? classes[code] : "");
    }
}

static fl_status write_manifest(const generation *g, fl_err *err)
{
    fl_buf csv = FL_BUF_INIT;
    char *scanner = generate_quoted(g->h->scanner[0] != '\0' ? g->h->scanner : "simulated");
    const char *const *channels = g->phantom->channels;
    fl_buf_puts(&csv, "case,patient");
    for (size_t f = 0; f < n_files(g); f++) {
        fl_buf_printf(&csv, ",file%s%s", channels[f] != NULL ? ":" : "",
                      channels[f] != NULL ? channels[f] : "");
    }
    add_labels(&csv, g, -1);
    fl_buf_puts(&csv, ",split,sex,age,scanner\n");
    for (size_t i = 0; i < g->n; i++) {
        const phantom_patient *who = &g->patients[i];
        fl_buf_printf(&csv, "%06zu,%s-%06zu", i + 1, g->h->name, i + 1);
        for (size_t f = 0; f < n_files(g); f++) {
            char *name = file_name(g, "images", i, channels[f]);
            fl_buf_printf(&csv, ",%s", name);
            free(name);
        }
        add_labels(&csv, g, (int64_t)i);
        fl_buf_printf(&csv, ",%s,%c,%.0f,%s\n", data_split_name((data_split)split_of(g, i)),
                      who->sex, who->age, scanner);
    }
    free(scanner);
    char *path = fl_path_join(g->dir, "manifest.csv");
    fl_status st = fl_file_write(path, csv.data, csv.n, 0644, err);
    free(path);
    fl_buf_clear(&csv);
    return st;
}

static size_t bits_of(unsigned v)
{
    size_t n = 0;
    for (; v != 0; v &= v - 1) {
        n++;
    }
    return n;
}

/* What add_labels writes of the training cases, held against the truth. */
static readings read_all(const generation *g)
{
    readings all = {0};
    for (size_t i = 0; i < g->n && split_of(g, i) == 0; i++) {
        const phantom_patient *who = &g->patients[i];
        unsigned findings;
        if (has_masks(g)) {
            all.n_found += g->outlines[i].n_found;
            all.n_overlooked += g->outlines[i].n_overlooked;
            all.dice += g->outlines[i].dice;
        } else if (g->phantom->multilabel) {
            bool labelled = annotate_findings(&findings, &g->readers, g->phantom, who, i);
            all.n_labels += labelled ? phantom_n_classes(g->phantom) : 0;
            all.n_wrong += labelled ? bits_of(findings ^ who->findings) : 0;
        } else {
            int code = annotate_label(&g->readers, g->phantom, who, i);
            all.n_labels += code >= 0;
            all.n_wrong += code >= 0 && code != who->code;
        }
    }
    return all;
}

static fl_status write_dataset(const generation *g, fl_err *err)
{
    fl_buf yaml = FL_BUF_INIT;
    readings all = read_all(g);
    char *standard = readings_text(&all, &g->h->labels, "the simulator's own truth");
    fl_buf_printf(&yaml, "task: %s\nclasses: ", data_task_name(g->s->job.data.task));
    if (has_masks(g)) {
        fl_buf_printf(&yaml, "{background: 0, %s: %d}", g->phantom->structure,
                      is_nifti(g) ? 1 : 255);
    } else {
        for (size_t c = 0; g->phantom->classes[c] != NULL; c++) {
            const char *name = g->phantom->classes[c];
            fl_buf_printf(&yaml, "%s%s: %s", c > 0 ? ", " : "{", name, name);
        }
        fl_buf_puts(&yaml, "}");
    }
    fl_buf_printf(&yaml, "\nreference_standard: %s\n", standard);
    fl_buf_puts(&yaml, "attributes: {sex: sex, age: age, scanner: scanner}\n"
                       "split: {column: split}\npreprocess: [");
    free(standard);
    if (is_nifti(g)) {
        const phantom_scale *scale = g->phantom->scale.unit != NULL ? &g->phantom->scale : &picture;
        fl_buf_printf(&yaml, "window: {centre: %g, width: %g}, ", (scale->low + scale->high) / 2,
                      scale->high - scale->low);
    }
    fl_buf_puts(&yaml, "normalise: zscore]\n");
    scenario_add_later(&yaml, g->h);
    char *path = fl_path_join(g->dir, "dataset.yaml");
    fl_status st = fl_file_write(path, yaml.data, yaml.n, 0644, err);
    free(path);
    fl_buf_clear(&yaml);
    return st;
}

static fl_status make_folders(const generation *g, fl_err *err)
{
    char *images = fl_path_join(g->dir, "images"), *masks = fl_path_join(g->dir, "masks");
    fl_status st = fl_mkdirs(images, 0755, err);
    if (st == FL_OK && has_masks(g)) {
        st = fl_mkdirs(masks, 0755, err);
    }
    free(images);
    free(masks);
    return st;
}

static fl_status generate_now(const scenario *s, const scenario_hospital *h, const char *dir,
                              fl_err *err)
{
    generation g = {.s = s,
                    .h = h,
                    .phantom = s->generate.phantom,
                    .readers = {&h->labels, s->job.seed, h->name},
                    .dir = dir};
    for (int split = 0; split < SCENARIO_SPLITS; split++) {
        g.n += (size_t)h->n[split];
    }
    fl_status st = make_folders(&g, err);
    if (st != FL_OK) {
        return st;
    }
    g.patients = fl_calloc(g.n, sizeof *g.patients, "patients", err);
    g.outlines = fl_calloc(g.n, sizeof *g.outlines, "patients", err);
    g.errors = fl_calloc(g.n, sizeof *g.errors, "patients", err);
    if (g.patients == NULL || g.outlines == NULL || g.errors == NULL) {
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
    if (st == FL_OK && (st = write_manifest(&g, err)) == FL_OK) {
        st = write_dataset(&g, err);
    }
    free(g.patients);
    free(g.outlines);
    free(g.errors);
    return st;
}

fl_status generate_hospital(const scenario *s, const scenario_hospital *h, const char *dir,
                            fl_err *err)
{
    fl_status st = generate_now(s, h, dir, err);
    for (size_t i = 0; i < h->n_changes && st == FL_OK; i++) {
        const scenario_change *c = &h->changes[i];
        scenario_hospital then = *h;  // the same patients, by another scanner
        then.shift = c->shift;
        then.n_changes = 0;
        if (c->scanner[0] != '\0') {
            memcpy(then.scanner, c->scanner, sizeof then.scanner);
        }
        char *folder = scenario_change_folder(c), *path = fl_path_join(dir, folder);
        st = generate_now(s, &then, path, err);
        free(folder);
        free(path);
    }
    return st;
}
