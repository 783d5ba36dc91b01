/*
 * steps.c - memory by lifetime, and running; see steps.h
 */
#include "nn/steps.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

typedef struct {
    const nn_layout *layout;
    nn_home home;
    nn_slot root;  // itself, or the slot it is a view of
    size_t bytes;
    size_t offset;       // bytes from the start of its home; planned for the arena
    size_t first, last;  // steps that use it; first > last: none
    bool pinned;
    nn_mem *mem;
    float *data;  // once there is memory
} slot_info;

typedef struct {
    nn_prim *prim;  // or NULL:
    nn_kernel kernel;
    nn_use uses[NN_MAX_STEP_SLOTS];
    size_t n_uses;
    nn_call call;  // of the kernel
    void *spec;    // owned
} step;

struct nn_steps {
    nn_dnnl *d;
    slot_info *slots;
    size_t n_slots, cap_slots;
    step *steps;
    size_t n_steps, cap_steps;
    unsigned char *arena;
    size_t arena_bytes;
    float *base[NN_N_HOMES];  // of the caller's vectors, as pointed last
    bool finished;
};

/* -------------------------------------------------------- making the list */

nn_steps *nn_steps_new(nn_dnnl *d)
{
    nn_steps *s = fl_xcalloc(1, sizeof *s);

    s->d = d;
    return s;
}

void nn_steps_destroy(nn_steps **sp)
{
    nn_steps *s = *sp;

    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->n_steps; i++) {
        free(s->steps[i].spec);
    }
    free(s->steps);
    free(s->slots);
    free(s->arena);
    FL_FREE(*sp);
}

static slot_info *slot_at(const nn_steps *s, nn_slot slot)
{
    FL_REQUIRE(slot >= 0 && (size_t)slot < s->n_slots);
    return &s->slots[slot];
}

static nn_slot add_slot(nn_steps *s, const slot_info *info)
{
    FL_REQUIRE(!s->finished);
    if (s->n_slots == s->cap_slots) {
        s->cap_slots = s->cap_slots == 0 ? 64 : 2 * s->cap_slots;
        s->slots = fl_xrealloc(s->slots, s->cap_slots, sizeof *s->slots);
    }
    s->slots[s->n_slots] = *info;
    return (nn_slot)s->n_slots++;
}

nn_slot nn_steps_slot(nn_steps *s, const nn_layout *l, nn_home home, int64_t offset)
{
    return add_slot(s, &(slot_info){.layout = l,
                                    .home = home,
                                    .root = (nn_slot)s->n_slots,
                                    .bytes = nn_layout_bytes(l),
                                    .offset = (size_t)offset * sizeof(float),
                                    .first = SIZE_MAX,
                                    .last = 0});
}

nn_slot nn_steps_view(nn_steps *s, nn_slot slot, const nn_layout *l)
{
    slot_info view = *slot_at(s, slot);

    FL_REQUIRE(nn_layout_bytes(l) <= view.bytes);
    view.layout = l;
    return add_slot(s, &view);
}

void nn_steps_pin(nn_steps *s, nn_slot slot)
{
    slot_at(s, slot_at(s, slot)->root)->pinned = true;
}

bool nn_steps_is_pinned(const nn_steps *s, nn_slot slot)
{
    return slot_at(s, slot_at(s, slot)->root)->pinned;
}

const nn_layout *nn_steps_layout(const nn_steps *s, nn_slot slot)
{
    return slot_at(s, slot)->layout;
}

nn_slot nn_steps_root(const nn_steps *s, nn_slot slot)
{
    return slot_at(s, slot)->root;
}

nn_home nn_steps_home(const nn_steps *s, nn_slot slot)
{
    return slot_at(s, slot)->home;
}

static step *add_step(nn_steps *s, const nn_use *uses, size_t n)
{
    FL_REQUIRE(!s->finished && n <= NN_MAX_STEP_SLOTS);
    if (s->n_steps == s->cap_steps) {
        s->cap_steps = s->cap_steps == 0 ? 64 : 2 * s->cap_steps;
        s->steps = fl_xrealloc(s->steps, s->cap_steps, sizeof *s->steps);
    }
    step *st = &s->steps[s->n_steps];
    memset(st, 0, sizeof *st);
    for (size_t i = 0; i < n; i++) {
        if (uses[i].slot >= 0) {
            slot_info *root = slot_at(s, slot_at(s, uses[i].slot)->root);
            root->first = root->first < s->n_steps ? root->first : s->n_steps;
            root->last = s->n_steps;
        }
        st->uses[st->n_uses++] = uses[i];
    }
    s->n_steps++;
    return st;
}

void nn_steps_add_prim(nn_steps *s, nn_prim *prim, const nn_use *uses, size_t n)
{
    add_step(s, uses, n)->prim = prim;
}

void nn_steps_add_kernel(nn_steps *s, nn_kernel kernel, const nn_use *uses, size_t n,
                         const void *spec, size_t spec_bytes)
{
    step *st = add_step(s, uses, n);

    st->kernel = kernel;
    if (spec_bytes > 0) {
        st->spec = fl_xcalloc(1, spec_bytes);
        memcpy(st->spec, spec, spec_bytes);
    }
    st->call.spec = st->spec;
}

size_t nn_steps_count(const nn_steps *s)
{
    return s->n_steps;
}

/* ----------------------------------------------------------------- memory */

static int by_size(const void *a, const void *b)
{
    const slot_info *x = *(slot_info *const *)a, *y = *(slot_info *const *)b;

    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1)
                                : (x->root > y->root) - (x->root < y->root);
}

static bool lives_overlap(const slot_info *a, const slot_info *b)
{
    return a->pinned || b->pinned || (a->first <= b->last && b->first <= a->last);
}

/*
 * Gives every arena slot its place: the largest first, each at the lowest
 * offset where no slot of overlapping life is (greedy by size, Pisarchyk &
 * Lee 2020).  Returns the bytes of the arena.
 */
static size_t place_slots(nn_steps *s)
{
    slot_info **wanted = fl_xcalloc(s->n_slots, sizeof *wanted);
    slot_info **placed = fl_xcalloc(s->n_slots, sizeof *placed);  // by offset
    size_t n_wanted = 0, n_placed = 0, total = 0;

    for (size_t i = 0; i < s->n_slots; i++) {
        slot_info *slot = &s->slots[i];
        bool is_used = slot->pinned || slot->first <= slot->last;
        if (slot->home == NN_HOME_ARENA && slot->root == (nn_slot)i && is_used) {
            wanted[n_wanted++] = slot;
        }
    }
    qsort(wanted, n_wanted, sizeof *wanted, by_size);
    for (size_t i = 0; i < n_wanted; i++) {
        slot_info *slot = wanted[i];
        size_t bytes = (slot->bytes + FL_ALIGN - 1) / FL_ALIGN * FL_ALIGN, at = 0;
        for (size_t k = 0; k < n_placed; k++) {
            const slot_info *other = placed[k];
            size_t end = other->offset + (other->bytes + FL_ALIGN - 1) / FL_ALIGN * FL_ALIGN;
            if (!lives_overlap(slot, other)) {
                continue;
            }
            if (other->offset >= at + bytes) {
                break;  // it fits before this one, and those behind are further on
            }
            at = end > at ? end : at;
        }
        slot->offset = at;
        total = at + bytes > total ? at + bytes : total;
        size_t k = n_placed++;
        for (; k > 0 && placed[k - 1]->offset > at; k--) {
            placed[k] = placed[k - 1];
        }
        placed[k] = slot;
    }
    free(wanted);
    free(placed);
    return total;
}

static void point_kernels(nn_steps *s)
{
    for (size_t i = 0; i < s->n_steps; i++) {
        step *st = &s->steps[i];
        for (size_t k = 0; st->prim == NULL && k < st->n_uses; k++) {
            st->call.data[k] = st->uses[k].slot < 0 ? NULL : s->slots[st->uses[k].slot].data;
        }
    }
}

fl_status nn_steps_finish(nn_steps *s, fl_err *err)
{
    s->arena_bytes = place_slots(s);
    s->arena = fl_calloc_aligned(s->arena_bytes, 1, "the activations of a batch", err);
    if (s->arena == NULL) {
        return FL_ELIMIT;
    }
    s->finished = true;
    for (size_t i = 0; i < s->n_slots; i++) {
        slot_info *slot = &s->slots[i];
        if (slot->home == NN_HOME_ARENA) {
            slot->offset = s->slots[slot->root].offset;  // a view lies where its root lies
            slot->data = (float *)(void *)(s->arena + slot->offset);
        }
    }
    for (size_t i = 0; i < s->n_steps; i++) {
        const step *st = &s->steps[i];
        for (size_t k = 0; st->prim != NULL && k < st->n_uses; k++) {
            if (st->uses[k].slot < 0) {
                continue;
            }
            slot_info *slot = &s->slots[st->uses[k].slot];
            if (slot->mem == NULL) {
                slot->mem = nn_mem_new(s->d, slot->layout, slot->data);
            }
            nn_prim_bind(st->prim, st->uses[k].arg, slot->mem);
        }
    }
    point_kernels(s);
    return FL_OK;
}

size_t nn_steps_bytes(const nn_steps *s)
{
    return s->arena_bytes;
}

float *nn_steps_data(const nn_steps *s, nn_slot slot)
{
    FL_REQUIRE(s->finished);
    return slot_at(s, slot)->data;
}

/* ---------------------------------------------------------------- running */

void nn_steps_point(nn_steps *s, nn_home home, float *base)
{
    if (s->base[home] == base) {
        return;
    }
    s->base[home] = base;
    for (size_t i = 0; i < s->n_slots; i++) {
        slot_info *slot = &s->slots[i];
        if (slot->home == home) {
            slot->data = base + slot->offset / sizeof(float);
            if (slot->mem != NULL) {
                nn_mem_point(slot->mem, slot->data);
            }
        }
    }
    point_kernels(s);
}

void nn_steps_run(nn_steps *s, size_t from, size_t to, const nn_call *run)
{
    for (size_t i = from; i < to; i++) {
        step *st = &s->steps[i];
        if (st->prim != NULL) {
            nn_prim_run(st->prim);
            continue;
        }
        st->call.n_valid = run->n_valid;
        st->call.capacity = run->capacity;
        st->call.threads = run->threads;
        st->call.rng = run->rng;
        st->call.advance = run->advance;
        st->kernel(&st->call);
    }
}
