/*
 * steps.h - a list of steps over slots, and the memory they share
 *
 * A slot is a tensor with a layout and a home: the arena, the caller's
 * parameter vector, or the caller's gradient vector.  A step reads and writes
 * slots; it is a primitive of oneDNN or a kernel of ours.  When the list is
 * complete, the arena is planned by how long each slot lives (first to last
 * step that uses it), so that two slots share bytes when their lives do not
 * overlap.  Running the list allocates nothing.
 * Internal to nn/: build.c makes lists, plan.c runs them.
 */
#ifndef NN_STEPS_H
#define NN_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/build.h"
#include "nn/dnnl.h"

typedef enum { NN_HOME_ARENA, NN_HOME_PARAMS, NN_HOME_GRAD, NN_N_HOMES } nn_home;

typedef struct nn_steps nn_steps;

/* d is borrowed until destroy. */
nn_steps *nn_steps_new(nn_dnnl *d);
void nn_steps_destroy(nn_steps **s);

/* offset: of the first float, for the caller's vectors. */
nn_slot nn_steps_slot(nn_steps *s, const nn_layout *l, nn_home home, int64_t offset);
/* The same memory under another layout of no more bytes. */
nn_slot nn_steps_view(nn_steps *s, nn_slot slot, const nn_layout *l);
/* Lives as long as the list: inputs, outputs, targets. */
void nn_steps_pin(nn_steps *s, nn_slot slot);
bool nn_steps_is_pinned(const nn_steps *s, nn_slot slot);
const nn_layout *nn_steps_layout(const nn_steps *s, nn_slot slot);
/* The slot that slot is a view of, or itself. */
nn_slot nn_steps_root(const nn_steps *s, nn_slot slot);
nn_home nn_steps_home(const nn_steps *s, nn_slot slot);

void nn_steps_add_prim(nn_steps *s, nn_prim *prim, const nn_use *uses, size_t n);
void nn_steps_add_kernel(nn_steps *s, nn_kernel kernel, const nn_use *uses, size_t n,
                         const void *spec, size_t spec_bytes);
size_t nn_steps_count(const nn_steps *s);

/* Plans and allocates the arena.  No slot or step may be added any more. */
fl_status nn_steps_finish(nn_steps *s, fl_err *err);
size_t nn_steps_bytes(const nn_steps *s);
float *nn_steps_data(const nn_steps *s, nn_slot slot);

/* Where the caller's vectors are in this run; cheap when they did not move. */
void nn_steps_point(nn_steps *s, nn_home home, float *base);
/* Runs steps [from, to).  run: the fields that differ from run to run. */
void nn_steps_run(nn_steps *s, size_t from, size_t to, const nn_call *run);

#endif
