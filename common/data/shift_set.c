/*
 * shift_set.c - another scanner's look for a data set that is used where it lies
 *
 * The members of a union stay as they are; what the scanner makes of them stands beside
 * them, in memory or, above what the set may keep there, in a cache.  Its key is over the
 * members' samples and masks themselves, since they may come from anywhere.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sys.h"
#include "data/set.h"

typedef struct {
    data_set *set;
    const data_recipe *r;
    data_decoded *cases;  // [entry] in memory
} shifting;

static void looked_at(const data_entry *e, size_t n_pixels)
{
    if (e->cache != NULL) {
        data_cache_looked_at(e->cache, data_input_bytes(&e->input) + n_pixels);
    }
}

/* Masks move with what is shown; where nothing moves they stay the member's. */
static fl_status shift_masks(data_masks *out, const shifting *w, const data_entry *e, fl_err *err)
{
    const data_set *s = w->set;
    const data_masks whose = {.mask = e->mask, .masks = e->masks};
    fl_status st;

    *out = whose;
    if (!data_shift_moves(&w->r->shift)) {
        return FL_OK;
    }
    if ((st = data_masks_copy(out, &whose, s->n_annotators, data_set_n_pixels(s), "shifted masks",
                              err)) != FL_OK) {
        return st;
    }
    return data_masks_shift(out, s->n_annotators, &s->spec.input, &w->r->shift, w->r->shift_seed,
                            e->case_id, err);
}

static void shift_case(void *context, size_t i, data_decoded *out)
{
    const shifting *w = context;
    const data_recipe *r = w->r;
    const data_entry *e = &w->set->entries[i];
    fl_err err = FL_ERR_INIT;

    *out = (data_decoded){.input = e->input};
    if (data_input_shift(&out->input, &r->shift, r->shift_seed, e->case_id, &err) != FL_OK) {
        out->input.samples = NULL;  // the member's
    }
    if (err.status == FL_OK) {
        shift_masks(&out->masks, w, e, &err);
    }
    if (err.status != FL_OK) {
        data_decoded_clear(out);
        out->error = fl_xcalloc(1, sizeof err);
        fl_fail(out->error, err.status, "%s: %s", r->name, err.text);
    }
    looked_at(e, 0);
}

static void shift_here(void *context, size_t i)
{
    shifting *w = context;
    shift_case(w, i, &w->cases[i]);
}

static fl_status shift_in_memory(shifting *w, fl_err *err)
{
    data_set *s = w->set;
    fl_status st = FL_OK;

    w->cases = fl_xcalloc(s->n + 1, sizeof *w->cases);
    fl_parallel(fl_n_cores(), s->n, shift_here, w);
    for (size_t i = 0; i < s->n; i++) {
        const data_decoded *c = &w->cases[i];
        if (c->error == NULL) {
            s->entries[i].input = c->input;
            s->entries[i].mask = c->masks.mask;
            s->entries[i].masks = c->masks.masks;
            s->entries[i].cache = NULL;
            data_set_own(s, c->input.samples);
            data_set_own(s, c->masks.block);
        } else if (st == FL_OK) {
            st = fl_fail(err, c->error->status, "%s", c->error->text);
        }
        free(c->error);
    }
    free(w->cases);
    return st;
}

// ------------------------------------------------------------------- in a cache

/* mask: NULL where nobody drew. */
static void add_mask(fl_blake2b *hash, const uint8_t *mask, size_t n_pixels)
{
    const uint8_t drawn = mask != NULL;
    fl_blake2b_add(hash, &drawn, sizeof drawn);
    if (drawn) {
        fl_blake2b_add(hash, mask, n_pixels);
    }
}

static void add_masks(fl_blake2b *hash, const data_entry *e, size_t n_annotators, size_t n_pixels)
{
    for (size_t a = 0; e->masks != NULL && a < n_annotators; a++) {
        add_mask(hash, e->masks[a], n_pixels);
    }
    add_mask(hash, e->mask, n_pixels);
}

/* What the scanner sees. */
static void digest_of(uint8_t out[static FL_DIGEST_BYTES], const data_set *s)
{
    size_t n_pixels = s->spec.task == DATA_SEGMENT ? data_set_n_pixels(s) : 0;
    fl_blake2b hash;

    fl_blake2b_init(&hash, "scanned");
    for (size_t i = 0; i < s->n; i++) {
        const data_entry *e = &s->entries[i];
        const data_input *in = &e->input;
        const uint32_t kinds[2] = {(uint32_t)in->sample, (uint32_t)in->normalise};
        fl_blake2b_add(&hash, e->case_id, strlen(e->case_id) + 1);
        fl_blake2b_add(&hash, kinds, sizeof kinds);
        fl_blake2b_add(&hash, &in->full, sizeof in->full);
        fl_blake2b_add(&hash, in->digest, sizeof in->digest);
        fl_blake2b_add(&hash, in->samples, data_input_bytes(in));
        add_masks(&hash, e, s->n_annotators, n_pixels);
        looked_at(e, n_pixels);
    }
    fl_blake2b_done(&hash, out);
}

static void key_of(data_cache_plan *plan, const data_set *s, const data_recipe *r)
{
    uint8_t seen[FL_DIGEST_BYTES];
    fl_sha256 hash;

    digest_of(seen, s);
    fl_sha256_init(&hash);
    fl_sha256_add(&hash, FL_VERSION, sizeof FL_VERSION);
    data_cache_add_identity(&hash, r->name);  // dataset.yaml, which has the chain
    fl_sha256_add(&hash, &s->spec.input, sizeof s->spec.input);
    fl_sha256_add(&hash, seen, sizeof seen);
    fl_sha256_done(&hash, plan->key);
    fl_sha256_init(&hash);
    fl_sha256_add(&hash, r->name, strlen(r->name));
    fl_sha256_done(&hash, plan->set);
}

static fl_status shift_to_cache(shifting *w, const char *dir, fl_err *err)
{
    data_set *s = w->set;
    data_cache_plan plan = {.dir = dir, .n = s->n, .n_annotators = s->n_annotators, .stop = true};

    key_of(&plan, s, w->r);
    fl_status st = data_cache_open(&s->cache, &plan, shift_case, w, err);
    for (size_t i = 0; i < s->n && st == FL_OK; i++) {
        data_entry *e = &s->entries[i];
        data_decoded c;
        data_cache_get(&c, s->cache, i);
        e->input = c.input;
        e->mask = c.masks.mask;
        e->masks = c.masks.masks;
        e->cache = s->cache;
    }
    return st;
}

/* A larger field has larger pixels. */
static void widen(data_set *s, const data_shift *chain)
{
    for (size_t i = 0; i < s->n && data_shift_pixel_size(chain) != 1; i++) {
        data_entry *e = &s->entries[i];
        if (e->place != NULL) {
            data_place *place = fl_arena_alloc(s->arena, 1, sizeof *place);
            *place = *e->place;
            data_place_widen(place, chain);
            e->place = place;
        }
    }
}

/* Samples become float32, whatever they were. */
static bool is_large(const data_set *s)
{
    return s->n > 0 && data_set_n_features(s) * sizeof(float) > s->room / s->n;
}

fl_status data_shift_set(data_set *s, const data_recipe *r, fl_err *err)
{
    shifting w = {.set = s, .r = r};
    fl_status st = FL_OK;
    char *dir = NULL;

    if (r->shift.n == 0 || s->n == 0) {
        return FL_OK;
    }
    bool images = s->spec.input.rank > 1;  // what is none cannot be shifted: see there
    if (r->cache == NULL && !r->no_cache && images && is_large(s)) {
        st = data_cache_default_dir(&dir, r->name, err);
    }
    const char *wanted = r->cache != NULL ? r->cache : dir;
    if (st == FL_OK) {
        st = wanted != NULL && images ? shift_to_cache(&w, wanted, err) : shift_in_memory(&w, err);
    }
    if (st == FL_OK) {
        widen(s, &r->shift);
    }
    free(dir);
    return st;
}
