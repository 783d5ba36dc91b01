/*
 * manifest.c - manifest.csv: one row a case, its files, label and patient
 *
 * Rows are read and split first, then the files are decoded on all cores; a
 * bad file so never changes which patients are in the test.  Messages name
 * the manifest's line and not the image's path, which may hold a name.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sys.h"
#include "data/cache.h"
#include "data/image.h"
#include "data/known.h"
#include "data/labels.h"
#include "data/mask.h"
#include "data/resample.h"
#include "data/set.h"

typedef struct {
    const data_csv *csv;
    const data_recipe *r;
    const char *dir;              // files are relative to it
    int case_id, patient, split;  // columns; -1 = none
    int label;
    int file[DATA_MAX_STEPS];  // one a channel group
    size_t n_files;
    data_labels labels;  // multilabel
    int attribute[DATA_MAX_ATTRIBUTES];
    data_mask_columns masks;  // segment
    data_coding coding;
} manifest_columns;

static fl_status find_files(manifest_columns *m, fl_err *err)
{
    for (size_t i = 0; i < m->csv->n_cols; i++) {
        const char *name = m->csv->header[i];
        if (strcmp(name, "file") != 0 && strncmp(name, "file:", 5) != 0) {
            continue;
        }
        if (m->n_files == DATA_MAX_STEPS) {
            return fl_fail(err, FL_ELIMIT, "%s:1: more than %d file columns", m->r->manifest,
                           DATA_MAX_STEPS);
        }
        m->file[m->n_files++] = (int)i;
    }
    return m->n_files > 0
               ? FL_OK
               : fl_fail(err, FL_ECONFIG, "%s:1: there is no column file", m->r->manifest);
}

static fl_status find_columns(manifest_columns *m, fl_err *err)
{
    const data_csv *t = m->csv;

    m->case_id = data_csv_column(t, "case");
    m->patient = data_csv_column(t, "patient");
    m->label = data_csv_column(t, "label");
    m->split = data_csv_column(t, m->r->split.column);
    if (m->patient < 0) {
        return fl_fail(err, FL_ECONFIG,
                       "%s:1: there is no column patient; splits are made by patient",
                       m->r->manifest);
    }
    return find_files(m, err);
}

static fl_status find_labels(manifest_columns *m, data_spec *spec, fl_err *err)
{
    const data_csv *t = m->csv;
    if (spec->task == DATA_SEGMENT) {
        return data_mask_find(&m->masks, t, m->r->manifest, err);
    }
    if (spec->task == DATA_MULTILABEL) {
        return data_labels_find(&m->labels, spec, m->r, t, m->r->manifest, err);
    }
    return m->label >= 0
               ? FL_OK
               : fl_fail(err, FL_ECONFIG, "%s:1: there is no column label", m->r->manifest);
}

/* --- labels of a row --- */

static fl_status read_class(data_entry *e, const manifest_columns *m, size_t row, fl_err *err)
{
    const char *text = m->csv->cell[row][m->label];
    if (data_coding_label(&e->code, &m->coding, text)) {
        return FL_OK;
    }
    if (text[0] == '\0' || data_same_text(text, "-1")) {
        e->code = -1;
        return FL_OK;
    }
    char labels[512];
    data_coding_labels_text(labels, sizeof labels, &m->coding);
    return fl_fail(err, FL_ECONFIG, "%s:%d: label: expected %s, found %s", m->r->manifest, e->line,
                   labels, text);
}

static fl_status read_flags(data_entry *e, manifest_columns *m, size_t row, fl_arena *arena,
                            fl_err *err)
{
    e->target = fl_arena_alloc(arena, m->coding.spec->n_classes, sizeof *e->target);
    return data_labels_read(e->target, &m->labels, m->csv, row, err);
}

static fl_status read_number(data_entry *e, const manifest_columns *m, size_t row, fl_arena *arena,
                             fl_err *err)
{
    const char *text = m->csv->cell[row][m->label];
    double value = NAN;
    if (text[0] != '\0' && !data_parse_number(&value, text)) {
        return fl_fail(err, FL_ECONFIG, "%s:%d: label: expected a number, found %s", m->r->manifest,
                       e->line, text);
    }
    e->target = fl_arena_alloc(arena, 1, sizeof *e->target);
    e->target[0] = (float)value;
    return FL_OK;
}

static fl_status read_row(data_set *s, manifest_columns *m, size_t row, fl_err *err)
{
    char **cell = m->csv->cell[row];
    data_entry *e = data_set_add(s);

    e->row = row;
    e->line = m->csv->line[row];
    if (cell[m->patient][0] == '\0') {
        return fl_fail(err, FL_ECONFIG, "%s:%d: patient: expected a name, found nothing",
                       m->r->manifest, e->line);
    }
    e->patient = fl_arena_strdup(s->arena, cell[m->patient]);
    if (m->case_id >= 0) {
        e->case_id = fl_arena_strdup(s->arena, cell[m->case_id]);
    } else {
        char *name = fl_xasprintf("row-%zu", row + 1);
        e->case_id = fl_arena_strdup(s->arena, name);
        free(name);
    }
    fl_status st = s->spec.task == DATA_MULTILABEL ? read_flags(e, m, row, s->arena, err)
                   : s->spec.task == DATA_REGRESS  ? read_number(e, m, row, s->arena, err)
                   : s->spec.task == DATA_SEGMENT  ? FL_OK  // its masks come with the image
                                                   : read_class(e, m, row, err);
    if (st != FL_OK) {
        return st;
    }
    return data_attributes_read(&e->attributes, s->arena, m->attribute, &s->spec, m->r, m->csv, row,
                                m->r->manifest, err);
}

static fl_status assign_splits(data_set *s, const manifest_columns *m, fl_err *err)
{
    const char **column = NULL;
    if (m->split >= 0) {
        column = fl_xcalloc(s->n, sizeof *column);
        for (size_t i = 0; i < s->n; i++) {
            column[i] = m->csv->cell[s->entries[i].row][m->split];
        }
    }
    fl_status st = data_split_assign(s, &m->r->split, m->r->manifest, column, err);
    free(column);
    return st == FL_OK ? data_split_check(s, m->r->manifest, err) : st;
}

/* --- files --- */

typedef struct {
    data_set *set;
    const manifest_columns *columns;
    const nn_shape *expect;
    data_decoded *cases;  // [entry]
    size_t n_done;
    data_cache *cache;  // where their samples are, or NULL; the set's
} decoding;

/* Files of 8 and 16 bits both become 0 to 1; one without a full scale makes every channel go
 * from its least to its most value. */
static void one_scale(data_image *image, size_t n_first, float second_scale, size_t n_second)
{
    if (image->full_scale == 0.0f || second_scale == 0.0f) {
        image->full_scale = 0.0f;
        return;
    }
    for (size_t i = 0; i < n_first; i++) {
        image->data[i] /= image->full_scale;
    }
    for (size_t i = n_first; i < n_first + n_second; i++) {
        image->data[i] /= second_scale;
    }
    image->full_scale = 1.0f;
}

/* Appends a further file's image, on the first one's grid, as channels. */
static fl_status stack(data_image *to, data_image *more, const char *where, fl_err *err)
{
    fl_status st = data_image_match(more, to, where, err);
    if (st != FL_OK) {
        return st;
    }
    size_t plane = (size_t)(to->frames * to->rows * to->cols);
    size_t has = (size_t)to->channels * plane;
    size_t adds = (size_t)more->channels * plane;
    data_image all = {.frames = to->frames,
                      .rows = to->rows,
                      .cols = to->cols,
                      .channels = to->channels + more->channels};
    if ((st = data_image_check_size(&all, where, err)) != FL_OK) {
        return st;
    }
    all.data = fl_calloc(has + adds, sizeof *all.data, where, err);
    if (all.data == NULL) {
        return FL_ELIMIT;
    }
    memcpy(all.data, to->data, has * sizeof *all.data);
    memcpy(all.data + has, more->data, adds * sizeof *all.data);
    free(to->data);
    to->data = all.data;
    to->channels = all.channels;
    to->stacked = true;
    if (to->full_scale != more->full_scale) {
        one_scale(to, has, more->full_scale, adds);
    }
    return FL_OK;
}

fl_status data_manifest_file(data_image *out, const char *dir, const char *file, const char *what,
                             const char *where, fl_err *err)
{
    *out = (data_image){0};
    if (file[0] == '\0') {
        return fl_fail(err, FL_ENOTFOUND, "%s: %s: expected a file's name, found nothing", where,
                       what);
    }
    char *path = fl_path_join(dir, file);
    fl_status st = data_image_read_as(out, path, where, err);
    if (st == FL_ENOTFOUND && !fl_is_dir(path)) {
        fl_fail(err, st, "%s: the %s named in this line does not exist", where, what);
    }
    free(path);
    return st;
}

static fl_status read_files(data_image *out, const manifest_columns *m, char *const *cell,
                            const char *where, fl_err *err)
{
    uint8_t digests[DATA_MAX_STEPS][FL_SHA256_BYTES];
    fl_status st = FL_OK;

    *out = (data_image){0};
    for (size_t i = 0; i < m->n_files && st == FL_OK; i++) {
        data_image image;
        st = data_manifest_file(&image, m->dir, cell[m->file[i]], "file", where, err);
        memcpy(digests[i], image.sha256, sizeof digests[i]);
        data_image_drop_alpha(&image);
        if (st == FL_OK && i == 0) {
            *out = image;
            continue;
        }
        if (st == FL_OK) {
            st = stack(out, &image, where, err);
        }
        data_image_clear(&image);
    }
    if (st == FL_OK && m->n_files > 1) {
        fl_sha256 hash;
        fl_sha256_init(&hash);
        fl_sha256_add(&hash, digests, m->n_files * sizeof digests[0]);
        fl_sha256_done(&hash, out->sha256);
    }
    return st;
}

static void decode(void *context, size_t i, data_decoded *out)
{
    const decoding *d = context;
    const data_entry *e = &d->set->entries[i];
    const manifest_columns *m = d->columns;
    fl_err err = FL_ERR_INIT;
    data_image image;

    char *where = fl_xasprintf("%s:%d", m->r->manifest, e->line);
    fl_status st = read_files(&image, m, m->csv->cell[e->row], where, &err);
    data_grid grid = data_grid_of(&image);
    if (st == FL_OK) {
        st = data_input_make(&out->input, &image, m->r, d->expect, e->case_id, where, &err);
    }
    if (st == FL_OK) {
        out->place = data_grid_place(&grid, image.view);
        data_place_widen(&out->place, &m->r->shift);
    }
    if (st == FL_OK && d->set->spec.task == DATA_SEGMENT) {
        st = data_masks_read(&out->masks, &m->masks, m->csv->cell[e->row], m->dir, &grid,
                             image.view, &out->input.shape, &m->coding, where, &err);
    }
    if (st == FL_OK) {
        st = data_masks_shift(&out->masks, m->masks.n, &out->input.shape, &m->r->shift,
                              m->r->shift_seed, e->case_id, &err);
    }
    if (st != FL_OK) {
        data_decoded_clear(out);
        out->error = fl_xcalloc(1, sizeof err);
        *out->error = err;
    }
    data_image_clear(&image);
    free(where);
}

static const char *reason_of(fl_status status)
{
    switch (status) {
    case FL_ENOTFOUND:
        return "missing file";
    case FL_EFORMAT:
        return "damaged file";
    case FL_ELIMIT:
        return "over a limit";
    case FL_EUNSUPPORTED:
        return "unknown format";
    case FL_ECONFIG:
        return "another shape";
    default:
        return "unreadable file";
    }
}

/* Without an expectation the first good image says what the others must be. */
static void expect_first_shape(decoding *d, data_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const nn_shape *shape = &d->cases[i].input.shape;
        if (d->cases[i].error != NULL) {
            continue;
        }
        if (s->spec.input.rank == 0) {
            s->spec.input = *shape;
        }
        if (!nn_shape_equal(shape, &s->spec.input)) {
            char ours[128];
            char theirs[128];
            nn_shape_text(ours, sizeof ours, shape);
            nn_shape_text(theirs, sizeof theirs, &s->spec.input);
            d->cases[i].error = fl_xcalloc(1, sizeof *d->cases[i].error);
            fl_fail(d->cases[i].error, FL_ECONFIG,
                    "%s:%d: input: expected %s as the first image, found %s (preprocess can change "
                    "channels and resize)",
                    d->columns->r->manifest, s->entries[i].line, theirs, ours);
        }
    }
}

static void take_case(data_set *s, data_entry *e, const data_decoded *from, data_cache *cache)
{
    e->input = from->input;
    e->mask = from->masks.mask;
    e->masks = from->masks.masks;
    e->cache = cache;
    data_place *place = fl_arena_alloc(s->arena, 1, sizeof *place);
    *place = from->place;
    e->place = place;
    if (cache == NULL) {
        data_set_own(s, from->input.samples);
        data_set_own(s, from->masks.block);
    }
}

/* Keeps the entries whose files were good, or stops at the first bad one. */
static fl_status take_cases(data_set *s, decoding *d, bool skip, fl_err *err)
{
    fl_status st = FL_OK;
    size_t kept = 0, n_gone = 0;
    fl_err gone = FL_ERR_INIT;  // the first of those

    expect_first_shape(d, s);
    for (size_t i = 0; i < s->n; i++) {
        data_decoded *c = &d->cases[i];
        if (c->error == NULL && st == FL_OK) {
            take_case(s, &s->entries[i], c, d->cache);
            s->entries[kept++] = s->entries[i];
            continue;
        }
        if (c->error != NULL && skip) {
            data_set_refuse(s, reason_of(c->error->status), 1);
            if (c->error->status == FL_ENOTFOUND || c->error->status == FL_EIO) {
                gone = n_gone++ == 0 ? *c->error : gone;
            }
        } else if (c->error != NULL && st == FL_OK) {
            st = fl_fail(err, c->error->status, "%s", c->error->text);
        }
        if (d->cache != NULL) {
            free(c->error);  // the rest is the cache's
        } else {
            data_decoded_clear(c);
        }
    }
    if (n_gone > 0 && n_gone == s->n) {  // no bad files: their folder is not there
        st = fl_fail(err, gone.status, "%s", gone.text);
    }
    s->n = kept;
    return st;
}

/* --- in memory or in a cache --- */

/* All that the contents of a cache depend on. */
static void key_of(data_cache_plan *plan, const decoding *d)
{
    const manifest_columns *m = d->columns;
    const data_set *s = d->set;
    fl_sha256 hash;

    fl_sha256_init(&hash);
    fl_sha256_add(&hash, FL_VERSION, sizeof FL_VERSION);
    data_cache_add_identity(&hash, m->r->name);  // dataset.yaml
    data_cache_add_identity(&hash, m->r->manifest);
    fl_sha256_add(&hash, &s->spec.task, sizeof s->spec.task);
    fl_sha256_add(&hash, &s->spec.input, sizeof s->spec.input);
    fl_sha256_add(&hash, s->spec.classes, s->spec.n_classes * sizeof s->spec.classes[0]);
    for (size_t i = 0; i < s->n; i++) {
        char *const *cell = m->csv->cell[s->entries[i].row];
        for (size_t f = 0; f < m->n_files; f++) {
            char *path = fl_path_join(m->dir, cell[m->file[f]]);
            data_cache_add_identity(&hash, path);
            free(path);
        }
        if (s->spec.task == DATA_SEGMENT) {
            data_mask_add_identity(&hash, &m->masks, cell, m->dir);
        }
    }
    fl_sha256_done(&hash, plan->key);
    fl_sha256_init(&hash);
    fl_sha256_add(&hash, m->r->name, strlen(m->r->name));
    fl_sha256_done(&hash, plan->set);
}

static fl_status decode_to_cache(decoding *d, const char *dir, fl_err *err)
{
    data_set *s = d->set;
    data_cache_plan plan = {.dir = dir,
                            .n = s->n,
                            .n_annotators = d->columns->masks.n,
                            .stop = !d->columns->r->skip_bad_files};

    key_of(&plan, d);
    fl_status st = data_cache_open(&d->cache, &plan, decode, d, err);
    if (st != FL_OK) {
        return st;
    }
    s->cache = d->cache;
    for (size_t i = 0; i < s->n; i++) {
        data_cache_get(&d->cases[i], d->cache, i);
    }
    return FL_OK;
}

static void decode_here(void *context, size_t i)
{
    decoding *d = context;
    decode(d, d->n_done + i, &d->cases[d->n_done + i]);
}

/* Cases [n_done, to), on all cores. */
static void decode_up_to(decoding *d, size_t to)
{
    fl_parallel(fl_n_cores(), to - d->n_done, decode_here, d);
    d->n_done = to;
}

/* Whether all cases would need more memory than a data set is given, by the first few. */
static bool is_large(decoding *d)
{
    size_t n = d->set->n;
    size_t n_few = (size_t)fl_n_cores() < n ? (size_t)fl_n_cores() : n;
    size_t most = 0;

    decode_up_to(d, n_few);
    for (size_t i = 0; i < n_few; i++) {
        size_t bytes = data_decoded_bytes(&d->cases[i], d->columns->masks.n);
        most = bytes > most ? bytes : most;
    }
    if (most <= d->set->room / n) {
        return false;
    }
    for (size_t i = 0; i < n_few; i++) {
        data_decoded_clear(&d->cases[i]);
    }
    d->n_done = 0;
    return true;
}

static fl_status decode_all(data_set *s, const manifest_columns *m, fl_err *err)
{
    decoding d = {.set = s, .columns = m, .expect = &s->spec.input};
    fl_status st = FL_OK;
    char *dir = NULL;

    s->n_files = s->n * m->n_files;
    for (size_t i = 0; i < s->n && s->spec.task == DATA_SEGMENT; i++) {
        s->n_files += data_mask_count_files(&m->masks, m->csv->cell[s->entries[i].row]);
    }
    d.cases = fl_xcalloc(s->n, sizeof *d.cases);
    const char *wanted = m->r->cache;
    if (s->n > 0 && wanted == NULL && !m->r->no_cache && is_large(&d)) {
        st = data_cache_default_dir(&dir, m->r->name, err);
        wanted = dir;
    }
    if (st == FL_OK && s->n > 0 && wanted != NULL) {
        st = decode_to_cache(&d, wanted, err);
    } else if (st == FL_OK) {
        decode_up_to(&d, s->n);
    }
    if (st == FL_OK) {
        st = take_cases(s, &d, m->r->skip_bad_files, err);
    }
    free(dir);
    free(d.cases);
    return st;
}

static void keep_annotators(data_set *s, const data_mask_columns *masks)
{
    s->annotators = fl_arena_alloc(s->arena, masks->n, sizeof *s->annotators);
    for (size_t a = 0; a < masks->n; a++) {
        s->annotators[s->n_annotators++] = fl_arena_strdup(s->arena, masks->name[a]);
    }
}

static fl_status load(data_set *s, manifest_columns *m, const data_spec *expect, fl_err *err)
{
    fl_status st;
    const data_csv *t = m->csv;

    if ((st = find_columns(m, err)) != FL_OK) {
        return st;
    }
    const char **labels = fl_xcalloc(t->n_rows, sizeof *labels);
    size_t n_labels = m->label >= 0 ? t->n_rows : 0;
    for (size_t i = 0; i < n_labels; i++) {
        labels[i] = t->cell[i][m->label];
    }
    st = data_coding_init(&m->coding, &s->spec, m->r, expect, labels, n_labels, err);
    free(labels);
    if (st != FL_OK || (st = find_labels(m, &s->spec, err)) != FL_OK ||
        (st = data_attributes_find(m->attribute, &s->spec, m->r, expect, t, err)) != FL_OK) {
        return st;
    }
    keep_annotators(s, &m->masks);
    for (size_t i = 0; i < t->n_rows; i++) {
        if ((st = read_row(s, m, i, err)) != FL_OK) {
            return st;
        }
    }
    if (m->labels.n_contradictions > 0) {
        data_set_note(s, "a finding said to be absent although a kind of it is present", "parents",
                      m->labels.n_contradictions);
    }
    if ((st = assign_splits(s, m, err)) != FL_OK) {
        return st;
    }
    return decode_all(s, m, err);
}

fl_status data_manifest_load(data_set *s, const data_recipe *r, const data_spec *expect,
                             fl_err *err)
{
    data_csv csv;
    fl_status st = r->known != NULL ? data_known_read(&csv, r, err)
                                    : data_csv_read(&csv, r->manifest, true, err);
    if (st != FL_OK) {
        return st;
    }
    char *dir = r->known != NULL ? fl_xstrdup(r->known_images) : fl_path_dir(r->manifest);
    manifest_columns m = {.csv = &csv, .r = r, .dir = dir};
    st = load(s, &m, expect, err);
    data_coding_clear(&m.coding);
    free(dir);
    data_csv_clear(&csv);
    return st;
}
