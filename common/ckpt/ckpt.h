/*
 * ckpt.h - models at rest: safetensors for numbers, ONNX for whole models
 *
 * safetensors: 8 bytes little-endian header length, a JSON header, then the
 * data; float32 only is written, F32, F64 and BF16 are read.  Metadata holds the
 * kinds, so that a table survives the trip.  ONNX (IR 8, opset 17) holds the
 * graph and its numbers, plus what the model needs to be used (classes, input
 * shape, preprocessing, threshold) as metadata_props.
 * Readers have hard limits: 16 MiB of header, 100,000 tensors, 8 GiB of data; sizes are
 * checked against the file's length before anything is allocated.  Files are
 * written whole or not at all.
 */
#ifndef CKPT_CKPT_H
#define CKPT_CKPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/graph.h"
#include "nn/params.h"

/* key=value notes of a file, in order.  Owned by whoever made it. */
typedef struct {
    char **keys, **values;
    size_t n;
} ckpt_meta;
void ckpt_meta_add(ckpt_meta *m, const char *key, const char *value);  // copies; replaces a key
const char *ckpt_meta_get(const ckpt_meta *m, const char *key);        // or NULL
void ckpt_meta_clear(ckpt_meta *m);

/* meta may be NULL. */
fl_status ckpt_safetensors_write(const char *path, const nn_table *table, const float *data,
                                 const ckpt_meta *meta, fl_err *err);
/* As file bytes in memory, caller's to free. */
fl_status ckpt_safetensors_pack(char **out, size_t *n, const nn_table *table, const float *data,
                                const ckpt_meta *meta, fl_err *err);
/* *table and *data are the caller's (nn_table_destroy, free).  Kinds come from the metadata, else from
 * the names (running_mean, running_var: stat; bias; the rest weight). */
fl_status ckpt_safetensors_read(nn_table **table, float **data, ckpt_meta *meta, const char *path,
                                fl_err *err);

/* The same from file bytes in memory. */
fl_status ckpt_safetensors_unpack(nn_table **table, float **data, ckpt_meta *meta, const char *file,
                                  size_t n, fl_err *err);

fl_status ckpt_onnx_write(const char *path, const nn_graph *g, const float *data,
                          const ckpt_meta *meta, fl_err *err);
/* As file bytes in memory, caller's to free: the same for the same graph and numbers. */
fl_status ckpt_onnx_pack(char **out, size_t *n, const nn_graph *g, const float *data,
                         const ckpt_meta *meta, fl_err *err);
/* The graph as trainable operators, and its numbers (P floats, caller's). */
fl_status ckpt_onnx_read(nn_graph **g, float **data, ckpt_meta *meta, const char *path,
                         fl_err *err);

/* How a file is read; zeros are usual. */
typedef struct {
    const char *folder;  // external data may lie there or below; NULL: nowhere
    /* The first dimension of an input is a number like the others, not the batch.
     * Such a graph runs, for inference, in a plan of capacity 1. */
    bool keeps_batch;
} ckpt_onnx_options;

/* The same from file bytes in memory. */
fl_status ckpt_onnx_unpack_as(nn_graph **g, float **data, ckpt_meta *meta, const char *file,
                              size_t n, const ckpt_onnx_options *options, fl_err *err);
fl_status ckpt_onnx_unpack(nn_graph **g, float **data, ckpt_meta *meta, const char *file, size_t n,
                           fl_err *err);

/*
 * One sentence on what the export that made a file has lost (batch normalisation
 * that was folded, Dropout that was left out), with the call that keeps it; false
 * when there is nothing to say.  meta: as read with the graph.
 */
bool ckpt_onnx_note(char *out, size_t n, const nn_graph *g, const ckpt_meta *meta);
#define CKPT_ONNX_PRODUCER "producer"  // key under which meta has the tool's name

/* What came of starting a model from a file, names with blanks between them.
 * Parameters that were not loaded keep the numbers they had. */
typedef struct {
    size_t n, n_matched;  // parameters of the model; those of them that were loaded
    char *matched;        // layers: names up to the last dot
    char *other_shape;    // "fc.weight (1000x512 there, 2x512 here)"
    char *missing;        // not in the file
    char *extra;          // only in the file
} ckpt_match;
void ckpt_match_clear(ckpt_match *m);
/* As lines of text for people, the caller's: what is not empty of the above. */
char *ckpt_match_text(const ckpt_match *m, const char *path);

/*
 * Copies by name what path (.safetensors or .onnx) holds into data.  match: what
 * matched, the caller's to clear, also on failure.
 * FL_ECONFIG when nothing matches, or a parameter that is NN_FROZEN does not: it would stay
 * as it was drawn.
 */
fl_status ckpt_load_into(const char *path, const nn_table *table, float *data, ckpt_match *match,
                         fl_err *err);

#endif
