/*
 * build.h - what an operator may ask of the plan that is being built
 *
 * A plan is a list of steps over slots.  A slot is a tensor with a layout and
 * a lifetime; its address is known once all steps are.  An operator's planner
 * looks up the slots of its inputs, appends steps and says which slot holds its
 * output; in the reverse direction it does the same with gradients.
 * A slot has a type too: float32, or with mixed precision bfloat16 where a
 * primitive likes it.  Whoever needs float32 asks for a layout of that type.
 * The first failure is kept; after it every call does nothing and returns -1 or
 * NULL, so planners read as straight lines.  Internal to nn/.
 */
#ifndef NN_BUILD_H
#define NN_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"
#include "nn/dnnl.h"
#include "nn/graph.h"

struct nn_steps;
typedef struct nn_build nn_build;
typedef int nn_slot;  // -1 after a failure

enum { NN_MAX_STEP_SLOTS = 12 };

/* What a step of our own gets when it runs. */
typedef struct {
    float *data[NN_MAX_STEP_SLOTS];  // the slots it named, in that order
    const void *spec;                // what it was made with
    int64_t n_valid, capacity;       // rows of this batch, rows of the plan
    int threads;                     // for nn_parallel
    fl_rng *rng;                     // NULL: no randomness, as in inference
    bool advance;                    // running statistics may change
} nn_call;
typedef void (*nn_kernel)(const nn_call *call);

typedef struct {
    nn_arg arg;    // of a primitive; a kernel of ours knows its slots by their order
    nn_slot slot;  // -1: this argument is left out
} nn_use;

/* --- the whole, for plan.c */

/* g and d are borrowed until destroy. */
nn_build *nn_build_new(const nn_graph *g, nn_dnnl *d, struct nn_steps *steps, int64_t capacity,
                       bool training, bool dropping);
void nn_build_destroy(nn_build **b);
/* Appends the steps of every node in order; then, from the gradients that were
 * added for outputs, those of every node in reverse order. */
void nn_build_forward(nn_build *b);
void nn_build_backward(nn_build *b);
/* Whether a step writes the gradient of parameter number i of the table. */
bool nn_build_has_param_grad(const nn_build *b, size_t i);
/* The first failure. */
fl_status nn_build_status(const nn_build *b, fl_err *err);

/* --- for every operator */

nn_dnnl *nn_build_dnnl(nn_build *b);
bool nn_build_is_training(const nn_build *b);
/* Whether dropout may draw: in training, and in plans that sample. */
bool nn_build_is_dropping(const nn_build *b);
void nn_build_fail(nn_build *b, fl_status status, const char *fmt, ...) FL_PRINTF(3, 4);

/* --- the graph, seen from its nodes */

/* Dimensions of a value, the batch replaced by the capacity. */
void nn_build_dims(const nn_build *b, nn_value v, nn_shape *out);
/* Whether its first dimension is the batch. */
bool nn_build_is_batch(const nn_build *b, nn_value v);
bool nn_build_is_param(const nn_build *b, nn_value v);
/* A parameter that stays as it is. */
bool nn_build_is_frozen(const nn_build *b, nn_value v);
/* The only reader of v when there is exactly one and v is no output; or NULL. */
const nn_node *nn_build_sole_reader(const nn_build *b, nn_value v);
/* The node that makes v, or NULL. */
const nn_node *nn_build_producer(const nn_build *b, nn_value v);
/* The planner of an earlier node has already done a node's work (a fused
 * activation); mark it, and ask. */
void nn_build_mark_forward_done(nn_build *b, const nn_node *node);
bool nn_build_is_forward_done(const nn_build *b, const nn_node *node);
void nn_build_mark_grad_done(nn_build *b, const nn_node *node);
bool nn_build_is_grad_done(const nn_build *b, const nn_node *node);
/* What a node's forward planner leaves for its reverse planner. */
typedef struct {
    nn_prim *prim;
    nn_slot slot[4];  // -1 until set
} nn_memo;
nn_memo *nn_build_memo(nn_build *b, const nn_node *node);
/* Whether v is an output of the graph. */
bool nn_build_is_output(const nn_build *b, nn_value v);
/* Whether the loss's gradient by v is wanted: some parameter lies behind it. */
bool nn_build_wants_grad(const nn_build *b, nn_value v);

/* --- slots */

/* The slot that holds v: an activation, or a parameter in the caller's vector. */
nn_slot nn_build_value(nn_build *b, nn_value v);
void nn_build_set_value(nn_build *b, nn_value v, nn_slot slot);
/* Whether v has been computed by an earlier step. */
bool nn_build_has_value(const nn_build *b, nn_value v);
/* Whether the steps of `at` may overwrite slot: of the nodes from it on, nobody but
 * reader looks at it, and it is no input or output of the plan. */
bool nn_build_may_overwrite(const nn_build *b, nn_slot slot, const nn_node *reader,
                            const nn_node *at);
nn_slot nn_build_slot(nn_build *b, const nn_layout *l);
/* A slot of n floats without a shape (masks, small scratch). */
nn_slot nn_build_flat(nn_build *b, int64_t n);
/* The same memory under another layout. */
nn_slot nn_build_view(nn_build *b, nn_slot slot, const nn_layout *l);
/* The same numbers in layout l: slot itself, or a new one behind a reorder. */
nn_slot nn_build_in_layout(nn_build *b, nn_slot slot, const nn_layout *l);
/* The same numbers row-major, as float32; and in the type that they have. */
nn_slot nn_build_in_plan_type(nn_build *b, nn_slot slot);  // the same numbers, lying alike
nn_slot nn_build_in_plain(nn_build *b, nn_slot slot, const nn_shape *dims);
nn_slot nn_build_in_rows(nn_build *b, nn_slot slot, const nn_shape *dims);
/* The same numbers as float32, wherever they lie. */
nn_slot nn_build_in_float(nn_build *b, nn_slot slot);
/* Parameter v seen through a row-major layout, in the layout a primitive wants. */
nn_slot nn_build_param(nn_build *b, nn_value v, const nn_layout *plain, const nn_layout *wanted);
const nn_layout *nn_build_layout(nn_build *b, nn_slot slot);

/* --- gradients */

/* The gradient by v that has arrived so far; -1 when none has. */
nn_slot nn_build_grad(nn_build *b, nn_value v);
/* One more contribution to the gradient by v.  slot may be the
 * very slot that was arriving at the output, or a view of it. */
void nn_build_add_grad(nn_build *b, nn_value v, nn_slot slot);
/* Whether nobody else looks at this gradient, so that it may be overwritten. */
bool nn_build_owns_grad(const nn_build *b, nn_slot slot);
/*
 * The gradient of parameter v, which a step leaves in layout l: where that step
 * is to write, before it; and after it, that it has.  plain: v's row-major
 * layout, as in nn_build_param.  One that nobody wants is written to scratch.
 */
nn_slot nn_build_param_grad(nn_build *b, nn_value v, const nn_layout *plain, const nn_layout *l);
void nn_build_param_grad_done(nn_build *b, nn_value v, const nn_layout *plain, nn_slot slot);

/* --- steps */

/* Appends a primitive.  Its scratchpad is added here; a NULL prim is a failure. */
void nn_build_prim(nn_build *b, nn_prim *prim, const nn_use *uses, size_t n);
/* Appends a kernel of our own, which computes in float32; spec is copied. */
void nn_build_kernel(nn_build *b, nn_kernel kernel, const nn_use *uses, size_t n, const void *spec,
                     size_t spec_bytes);
/* One that knows the types of its slots. */
void nn_build_typed_kernel(nn_build *b, nn_kernel kernel, const nn_use *uses, size_t n,
                           const void *spec, size_t spec_bytes);

#endif
