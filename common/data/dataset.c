/*
 * dataset.c - opening a data set, and giving out its cases
 *
 * Opening is: read the recipe, let a source fill the set (manifest.c, table.c,
 * medmnist.c, or the members of a union), standardise tables, index the
 * splits.  Copying a batch is the only way to the pixels, so that where they
 * are kept can change.
 */
#include "data/dataset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sys.h"
#include "data/mask.h"
#include "data/set.h"

enum {
    MAX_UNION_DEPTH = 4,  // unions of unions
    MAX_OPENED = 1024     // data sets opened for one, so that a union of
                          // unions of itself comes to an end
};

static const char *const split_names[] = {"train", "val", "test"};

const char *data_split_name(data_split split)
{
    FL_REQUIRE((unsigned)split < DATA_N_SPLITS);
    return split_names[split];
}

bool data_split_parse(data_split *out, const char *name)
{
    for (int i = 0; i < DATA_N_SPLITS; i++) {
        if (strcmp(split_names[i], name) == 0) {
            *out = (data_split)i;
            return true;
        }
    }
    return false;
}

/* --- filling --- */

data_entry *data_set_add(data_set *s)
{
    if (s->n == s->capacity) {
        s->capacity = s->capacity == 0 ? 64 : 2 * s->capacity;
        s->entries = fl_xrealloc(s->entries, s->capacity, sizeof *s->entries);
    }
    data_entry *e = &s->entries[s->n++];
    *e = (data_entry){.code = -1, .split = DATA_NO_SPLIT};
    return e;
}

void data_set_own(data_set *s, void *memory)
{
    if (memory == NULL) {
        return;
    }
    if ((s->n_blocks & (s->n_blocks - 1)) == 0) {  // full at powers of two
        size_t room = s->n_blocks == 0 ? 1 : 2 * s->n_blocks;
        s->blocks = fl_xrealloc(s->blocks, room, sizeof *s->blocks);
    }
    s->blocks[s->n_blocks++] = memory;
}

void data_set_refuse(data_set *s, const char *reason, size_t n)
{
    if (n == 0) {
        return;
    }
    for (size_t i = 0; i < s->n_refusals; i++) {
        if (strcmp(s->refusals[i].reason, reason) == 0) {
            s->refusals[i].n += n;
            return;
        }
    }
    s->refusals = fl_xrealloc(s->refusals, s->n_refusals + 1, sizeof *s->refusals);
    s->refusals[s->n_refusals++] = (data_refusal){fl_xstrdup(reason), n};
}

void data_set_note(data_set *s, const char *what, const char *where, size_t n)
{
    json_array_append_new(
        s->notes, json_pack("{s:s, s:s, s:I}", "what", what, "where", where, "n", (json_int_t)n));
}

/* --- opening --- */

typedef struct {
    int depth;      // unions around what is opened now
    int n_opened;   // data sets so far
    int64_t round;  // whose data are opened; 0: those before any change
    size_t room;    // bytes of samples that may yet be kept in memory unasked
} nesting;

static fl_status load(data_set **out, const char *path, const data_spec *expect, nesting *at,
                      fl_err *err);

/* A .csv without a dataset.yaml is a manifest if it names files. */
static fl_status is_manifest(bool *out, const data_recipe *r, fl_err *err)
{
    data_csv csv;

    *out = false;
    if (r->cfg != NULL || r->origin != DATA_FROM_TABLE) {
        return FL_OK;
    }
    fl_status st = data_csv_read(&csv, r->table.file, true, err);
    for (size_t i = 0; st == FL_OK && i < csv.n_cols; i++) {
        *out = *out || strcmp(csv.header[i], "file") == 0 ||
               strncmp(csv.header[i], "file:", 5) == 0;
    }
    data_csv_clear(&csv);
    return st;
}

/* "2/case": names of different members cannot meet. */
static const char *prefixed(data_set *s, size_t member, const char *name)
{
    char *text = fl_xasprintf("%zu/%s", member, name);
    const char *kept = fl_arena_strdup(s->arena, text);
    free(text);
    return kept;
}

static bool same_annotators(const data_set *a, const data_set *b)
{
    bool same = a->n_annotators == b->n_annotators;
    for (size_t i = 0; i < a->n_annotators && same; i++) {
        same = strcmp(a->annotators[i], b->annotators[i]) == 0;
    }
    return same;
}

/* Takes a member into a union; the member goes on owning texts and inputs.
 * alone: it is the only one, and its names stay. */
static fl_status add_member(data_set *s, data_set *member, bool alone, const char *name,
                            fl_err *err)
{
    size_t k = s->n_members;

    s->members = fl_xrealloc(s->members, k + 1, sizeof *s->members);
    s->members[s->n_members++] = member;
    if (k == 0) {
        s->spec = member->spec;
        s->standardise = member->standardise;
        s->features = member->features;
    }
    if (k == 0) {
        s->annotators = member->annotators;
        s->n_annotators = member->n_annotators;
    } else if (!same_annotators(s, member)) {
        s->n_annotators = 0;  // each member's consensus stays
    }
    if (member->standardise != s->standardise) {
        return fl_fail(err, FL_ECONFIG,
                       "%s: standardise is not as in the first member of the union", name);
    }
    for (size_t i = 0; i < member->n; i++) {
        data_entry *e = data_set_add(s);
        *e = member->entries[i];
        if (!alone) {
            e->case_id = prefixed(s, k, e->case_id);
            e->patient = prefixed(s, k, e->patient);
        }
    }
    s->n_files += member->n_files;
    s->n_rows += member->n_rows;
    for (size_t i = 0; i < member->n_refusals; i++) {
        data_set_refuse(s, member->refusals[i].reason, member->refusals[i].n);
    }
    json_array_extend(s->notes, member->notes);
    return FL_OK;
}

/* What a union does not say of itself its members do, where they say the same. */
static void join_standard(data_set *s, const data_recipe *r, const data_set *member, bool is_first)
{
    if (r->says_reference_standard ||
        (!is_first && strcmp(s->reference_standard, member->reference_standard) == 0)) {
        return;
    }
    free(s->reference_standard);
    s->reference_standard = fl_xstrdup(is_first ? member->reference_standard
                                                : "differs between its data sets");
}

static fl_status load_union(data_set *s, const data_recipe *r, const data_spec *expect, nesting *at,
                            fl_err *err)
{
    if (++at->depth > MAX_UNION_DEPTH) {
        return fl_fail(err, FL_ELIMIT, "%s: unions within unions within unions: more than %d deep",
                       r->name, MAX_UNION_DEPTH);
    }
    for (size_t i = 0; i < r->members.n; i++) {
        data_set *member = NULL;
        const data_spec *wants = i == 0 ? expect : &s->spec;
        fl_status st = load(&member, r->members.item[i], wants, at, err);
        if (st == FL_OK && member->n_later > 0 && r->n_changes > 0) {
            st = fl_fail(err, FL_EUNSUPPORTED,
                         "%s changes with the rounds (later:), and so does the union; one of them "
                         "can say when",
                         r->members.item[i]);
            data_set_destroy(&member);
        }
        if (st == FL_OK) {
            join_standard(s, r, member, i == 0);
            data_later_join(s, member);
            st = add_member(s, member, r->members.n == 1, r->members.item[i], err);
        }
        if (st != FL_OK) {
            return fl_wrap(err, st, "%s: union", r->name);
        }
    }
    at->depth--;
    return FL_OK;
}

/* Of the samples and masks that are no cache's. */
static size_t bytes_in_memory(const data_set *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const data_entry *e = &s->entries[i];
        const data_decoded d = {.input = e->input,
                                .masks = {.mask = e->mask, .masks = e->masks}};
        n += e->cache == NULL ? data_decoded_bytes(&d, s->n_annotators) : 0;
    }
    return n;
}

/* What s keeps in memory the rest of a union cannot. */
static void take_room(nesting *at, const data_set *s)
{
    size_t n = bytes_in_memory(s);
    at->room -= n < at->room ? n : at->room;
}

/* later: whether it may change with the rounds.  room: as a data_set has it. */
static data_set *set_new(const data_recipe *r, bool later, size_t room)
{
    data_set *s = fl_xcalloc(1, sizeof *s);
    s->arena = fl_arena_new(1 << 16);
    s->spec.positive = -1;
    s->notes = json_array();
    s->reference_standard = fl_xstrdup(r->reference_standard);
    s->prevalence = r->prevalence;
    s->room = room;
    if (later) {
        data_later_note(s, r);
    }
    return s;
}

/* The recipe of what stands at path in the round. */
static fl_status read_recipe(data_recipe *r, const char *path, int64_t round, fl_err *err)
{
    fl_status st = data_recipe_read(r, path, err);
    const char *then = st == FL_OK && round > 0 ? data_later_path(r, round) : NULL;
    if (then == NULL) {
        return st;
    }
    char *later = fl_xstrdup(then);
    data_recipe_clear(r);
    st = data_recipe_read(r, later, err);
    if (st == FL_OK && r->n_changes > 0) {
        st = fl_fail(err, FL_ECONFIG, "%s: a later data set has none that come later", later);
        data_recipe_clear(r);
    }
    free(later);
    return st;
}

/* Everything but what is done once over the whole: standardising, indexing. */
static fl_status load(data_set **out, const char *path, const data_spec *expect, nesting *at,
                      fl_err *err)
{
    data_recipe r;
    bool images = false;

    *out = NULL;
    if (++at->n_opened > MAX_OPENED) {
        return fl_fail(err, FL_ELIMIT, "%s: more than %d data sets in a union", path, MAX_OPENED);
    }
    fl_status st = read_recipe(&r, path, at->round, err);
    if (st != FL_OK) {
        return st;
    }
    data_set *s = set_new(&r, at->round == 0, at->room);
    if ((st = is_manifest(&images, &r, err)) == FL_OK) {
        data_origin origin = images ? DATA_FROM_MANIFEST : r.origin;
        switch (origin) {
        case DATA_FROM_MANIFEST:
            st = data_manifest_load(s, &r, expect, err);
            break;
        case DATA_FROM_TABLE:
            st = data_table_load(s, &r, expect, err);
            break;
        case DATA_FROM_NPZ:
            st = data_medmnist_load(s, &r, expect, err);
            break;
        case DATA_FROM_UNION:
            st = load_union(s, &r, expect, at, err);
            break;
        }
    }
    if (st == FL_OK && r.cases != NULL) {
        st = data_choose(s, &r, err);
    }
    if (st == FL_OK && r.origin == DATA_FROM_UNION) {
        s->room = at->room;  // its members are in
        st = data_shift_set(s, &r, err);
    }
    if (st == FL_OK && (r.origin != DATA_FROM_UNION || r.shift.n > 0)) {
        take_room(at, s);
    }
    if (st == FL_OK && s->n == 0) {
        st = fl_fail(err, FL_ECONFIG, "%s: there is no case left in it", r.name);
    }
    if (st == FL_OK) {
        st = data_split_check(s, r.name, err);
    }
    if (st == FL_OK) {
        *out = s;
        s = NULL;  // now the caller's
    }
    data_set_destroy(&s);
    data_recipe_clear(&r);
    return st;
}

/* --- standardising a table --- */

/*
 * Each feature minus its mean, divided by its standard deviation (n - 1),
 * over the training rows, as FLamby does (Ogier du Terrail et al. 2022).  A
 * feature that is constant there is centred and left unscaled.
 */
static fl_status standardise(data_set *s, const char *path, fl_err *err)
{
    size_t F = data_set_n_features(s);
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        n += s->entries[i].split == DATA_TRAIN;
    }
    if (n == 0) {
        return fl_fail(err, FL_ECONFIG, "%s: standardise: site needs training rows; there are none",
                       path);
    }
    for (size_t f = 0; f < F; f++) {
        double sum = 0;
        double squares = 0;
        for (size_t i = 0; i < s->n; i++) {
            const float *x = s->entries[i].input.samples;
            sum += s->entries[i].split == DATA_TRAIN ? (double)x[f] : 0;
        }
        double mean = sum / (double)n;
        for (size_t i = 0; i < s->n; i++) {
            const float *x = s->entries[i].input.samples;
            double d = (double)x[f] - mean;
            squares += s->entries[i].split == DATA_TRAIN ? d * d : 0;
        }
        double sd = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
        double factor = sd > 0 ? 1 / sd : 1;
        for (size_t i = 0; i < s->n; i++) {
            float *x = s->entries[i].input.samples;
            x[f] = (float)(((double)x[f] - mean) * factor);
        }
    }
    return FL_OK;
}

void data_set_index(data_set *s)
{
    for (int k = 0; k < DATA_N_SPLITS; k++) {
        free(s->by_split[k]);
        s->by_split[k] = fl_xcalloc(s->n, sizeof *s->by_split[k]);
        s->n_split[k] = 0;
    }
    for (size_t i = 0; i < s->n; i++) {
        int k = s->entries[i].split;
        s->by_split[k][s->n_split[k]++] = i;
    }
}

/* Where no job says what attributes are, all cases together do. */
static void guess_attributes(data_set *s)
{
    const char **texts = fl_xcalloc(s->n, sizeof *texts);
    for (size_t a = 0; a < s->spec.n_attributes; a++) {
        for (size_t i = 0; i < s->n; i++) {
            texts[i] = s->entries[i].attributes[a];
        }
        data_attribute_guess(&s->spec.attributes[a], texts, s->n);
    }
    free(texts);
}

/* What a patient is called from here on. */
static const char *pseudonym(data_set *s, const data_entry *e, const uint8_t *secret)
{
    uint8_t digest[FL_DIGEST_BYTES];
    char text[64];
    fl_blake2b hash;

    if (secret == NULL) {
        snprintf(text, sizeof text, "patient-%lld", (long long)e->patient_no + 1);
        return fl_arena_strdup(s->arena, text);
    }
    fl_blake2b_init(&hash, "patient");
    fl_blake2b_add(&hash, secret, DATA_SECRET_BYTES);
    fl_blake2b_add(&hash, e->patient, strlen(e->patient));
    fl_blake2b_done(&hash, digest);
    fl_hex(text, digest, 8);
    return fl_arena_strdup(s->arena, text);
}

static void hide_patients(data_set *s, const uint8_t *secret)
{
    const char **name = fl_xcalloc((size_t)s->n_patients, sizeof *name);
    for (size_t i = 0; i < s->n; i++) {
        data_entry *e = &s->entries[i];
        if (name[e->patient_no] == NULL) {
            name[e->patient_no] = pseudonym(s, e, secret);
        }
        e->patient = name[e->patient_no];
    }
    free(name);
}

fl_status data_set_open_round(data_set **out, const char *path, const data_spec *expect,
                              int64_t round, fl_err *err)
{
    nesting at = {.round = round, .room = DATA_MEMORY_BYTES};
    fl_status st = load(out, path, expect, &at, err);
    if (st == FL_OK && (*out)->standardise) {
        st = standardise(*out, path, err);
    }
    if (st != FL_OK) {
        data_set_destroy(out);
        return st;
    }
    if (expect == NULL) {
        guess_attributes(*out);
    }
    data_set_index(*out);
    return FL_OK;
}

fl_status data_set_open(data_set **out, const char *path, const data_spec *expect, fl_err *err)
{
    return data_set_open_as(out, path, expect, NULL, err);
}

fl_status data_set_open_as(data_set **out, const char *path, const data_spec *expect,
                           const uint8_t *secret, fl_err *err)
{
    fl_status st = data_set_open_round(out, path, expect, 0, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = data_later_open(*out, path, err)) != FL_OK) {
        data_set_destroy(out);
        return st;
    }
    hide_patients(*out, secret);
    for (size_t i = 0; i < (*out)->n_later; i++) {
        hide_patients((*out)->later[i].set, secret);
    }
    return FL_OK;
}

void data_set_destroy(data_set **set)
{
    data_set *s = *set;
    if (s == NULL) {
        return;
    }
    data_later_clear(s);
    for (size_t i = 0; i < s->n_members; i++) {
        data_set_destroy(&s->members[i]);
    }
    free(s->members);
    for (size_t i = 0; i < s->n_blocks; i++) {
        free(s->blocks[i]);
    }
    free(s->blocks);
    data_cache_destroy(&s->cache);
    for (int k = 0; k < DATA_N_SPLITS; k++) {
        free(s->by_split[k]);
    }
    for (size_t i = 0; i < s->n_refusals; i++) {
        free(s->refusals[i].reason);
    }
    free(s->refusals);
    json_decref(s->notes);
    free(s->reference_standard);
    free(s->entries);
    fl_arena_destroy(&s->arena);
    FL_FREE(*set);
}

/* --- giving out --- */

const data_spec *data_set_spec(const data_set *s)
{
    return &s->spec;
}

size_t data_set_n(const data_set *s)
{
    return s->n;
}

size_t data_set_n_split(const data_set *s, data_split split)
{
    FL_REQUIRE((unsigned)split < DATA_N_SPLITS);
    return s->n_split[split];
}

const size_t *data_set_split(const data_set *s, data_split split)
{
    FL_REQUIRE((unsigned)split < DATA_N_SPLITS);
    return s->by_split[split];
}

data_case data_set_case(const data_set *s, size_t i)
{
    FL_REQUIRE(i < s->n);
    const data_entry *e = &s->entries[i];
    static const data_place unknown = {.frames = 0};
    const double *mm = (e->place != NULL ? e->place : &unknown)->spacing_mm;
    return (data_case){
        .spacing_mm = {mm[0], mm[1], mm[2]},
        .case_id = e->case_id,
        .patient = e->patient,
        .patient_no = e->patient_no,
        .split = (data_split)e->split,
        .code = e->code,
        .mask = e->mask,
        .target = e->target,
        .attributes = e->attributes,
    };
}

size_t data_set_n_features(const data_set *s)
{
    return (size_t)nn_shape_count(&s->spec.input, 1);
}

size_t data_set_n_pixels(const data_set *s)
{
    return data_spec_n_pixels(&s->spec);
}

size_t data_set_n_annotators(const data_set *s)
{
    return s->n_annotators;
}

const char *data_set_annotator(const data_set *s, size_t a)
{
    FL_REQUIRE(a < s->n_annotators);
    return s->annotators[a];
}

const data_place *data_set_place(const data_set *s, size_t i)
{
    FL_REQUIRE(i < s->n);
    return s->entries[i].place;
}

const uint8_t *data_set_mask_by(const data_set *s, size_t i, size_t a)
{
    FL_REQUIRE(i < s->n && a < s->n_annotators);
    return s->entries[i].masks != NULL ? s->entries[i].masks[a] : NULL;
}

size_t data_set_vote(uint8_t *code, const data_set *s, size_t i)
{
    size_t n_drawn = 0;
    for (size_t a = 0; a < s->n_annotators; a++) {
        n_drawn += data_set_mask_by(s, i, a) != NULL;
    }
    if (n_drawn > 0) {
        data_mask_vote(code, s->entries[i].masks, s->n_annotators, data_set_n_pixels(s));
    }
    return n_drawn;
}

const char *data_set_feature_name(const data_set *s, size_t i)
{
    FL_REQUIRE(i < data_set_n_features(s));
    return s->features != NULL ? s->features[i] : NULL;
}

/* A cache must know what is read of it, or the process would come to hold all of its pages. */
static void looked_at(const data_entry *e)
{
    if (e->cache != NULL) {
        data_cache_looked_at(e->cache, data_input_bytes(&e->input));
    }
}

void data_set_batch(const data_set *s, const size_t *index, size_t n, float *x)
{
    size_t F = data_set_n_features(s);
    for (size_t i = 0; i < n; i++) {
        FL_REQUIRE(index[i] < s->n);
        const data_entry *e = &s->entries[index[i]];
        data_input_copy(x + i * F, &e->input, F);
        looked_at(e);
    }
}

void data_set_image(const data_set *s, size_t i, float *x)
{
    data_input_copy_raw(x, &s->entries[i].input, data_set_n_features(s));
}

/* Normalises an image that something was done to. */
static void normalise(float *image, size_t F, data_normalise kind)
{
    float mean;
    float factor;
    data_normalise_of(kind, image, F, &mean, &factor);
    for (size_t f = 0; f < F; f++) {
        image[f] = (image[f] - mean) * factor;
    }
}

void data_set_batch_augmented(const data_set *s, const data_augment *a, uint64_t seed,
                              const char *site, uint64_t epoch, const size_t *index, size_t n,
                              float *x, uint8_t *masks, float *scratch)
{
    enum { NAME_BYTES = 512 };
    size_t F = data_set_n_features(s);
    size_t n_pixels = data_set_n_pixels(s);
    char name[NAME_BYTES];
    fl_rng rng;

    for (size_t i = 0; i < n; i++) {
        FL_REQUIRE(index[i] < s->n);
        const data_entry *e = &s->entries[index[i]];
        uint8_t *mask = masks != NULL && e->mask != NULL ? masks + i * n_pixels : NULL;
        data_input_copy_raw(x + i * F, &e->input, F);
        looked_at(e);
        if (mask != NULL) {
            memcpy(mask, e->mask, n_pixels);
        }
        snprintf(name, sizeof name, "%s/%s", site, e->case_id);
        fl_rng_init(&rng, seed, "augment", name, epoch);
        data_augment_apply(a, x + i * F, mask, &s->spec.input, &rng, scratch);
        normalise(x + i * F, F, e->input.normalise);
    }
}

fl_status data_set_batch_shifted(const data_set *s, const data_shift *chain, uint64_t seed,
                                 const size_t *index, size_t n, float *x, fl_err *err)
{
    size_t F = data_set_n_features(s);

    for (size_t i = 0; i < n; i++) {
        FL_REQUIRE(index[i] < s->n);
        const data_entry *e = &s->entries[index[i]];
        float *image = x + i * F;
        data_input_copy_raw(image, &e->input, F);
        looked_at(e);
        fl_status st = data_input_shift_values(image, &s->spec.input, chain, seed, e->case_id, err);
        if (st != FL_OK) {
            return st;
        }
        normalise(image, F, e->input.normalise);
    }
    return FL_OK;
}

fl_status data_set_case_shifted(data_case *out, const data_set *s, const data_shift *chain,
                                uint64_t seed, size_t i, uint8_t *mask, fl_err *err)
{
    *out = data_set_case(s, i);
    double size = data_shift_pixel_size(chain);
    out->spacing_mm[1] *= size;
    out->spacing_mm[2] *= size;
    if (out->mask == NULL || !data_shift_moves(chain)) {
        return FL_OK;
    }
    memcpy(mask, out->mask, data_set_n_pixels(s));
    out->mask = mask;
    return data_input_shift_masks(&mask, 1, &s->spec.input, chain, seed, out->case_id, err);
}

void data_set_shuffle(const data_set *s, data_split split, uint64_t seed, const char *site,
                      uint64_t epoch, size_t *order)
{
    fl_rng rng;
    size_t n = data_set_n_split(s, split);

    memcpy(order, s->by_split[split], n * sizeof *order);
    fl_rng_init(&rng, seed, "shuffle", site, epoch);
    fl_rng_shuffle(&rng, order, n);
}

const char *data_set_reference_standard(const data_set *s)
{
    return s->reference_standard;
}

double data_set_prevalence(const data_set *s)
{
    return s->prevalence;
}

void data_set_keys(FILE *out)
{
    data_recipe r;
    fl_cfg *cfg = fl_cfg_describe(out);
    data_recipe_read_keys(&r, fl_cfg_root(cfg));
    data_recipe_clear(&r);
    fl_cfg_destroy(&cfg);
}
