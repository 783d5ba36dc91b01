/*
 * dataset.h - one hospital's cases: samples, splits by patient, batches
 *
 * A data set is opened from what FORMATS calls DATASET: a folder with
 * dataset.yaml + manifest.csv over image files, a dataset.yaml with a table, a
 * `.csv`, a MedMNIST-style `.npz`, or a dataset.yaml with `union: [...]` of
 * several (standardised as one).  Whatever the format, what comes out is the
 * same: an input array a case, a label, a patient, a split, attributes.
 *
 * A patient in two splits is an error.  A bad file stops the opening unless
 * dataset.yaml says on_error: skip; then it is counted in the flow.
 * Errors name file and line, never a patient.
 * Threads: an opened data set is read-only and may be shared.
 */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/json.h"
#include "base/rng.h"
#include "data/augment.h"
#include "data/shift.h"
#include "data/spec.h"

typedef enum { DATA_TRAIN, DATA_VAL, DATA_TEST, DATA_N_SPLITS } data_split;
const char *data_split_name(data_split split);  // "train" "val" "test"
bool data_split_parse(data_split *out, const char *name);

typedef struct data_set data_set;

/* Where an input lies in the file that it was read from. */
typedef struct {
    int64_t frames, rows, cols;  // of the file
    double spacing_mm[3];        // of the input's pixels: depth, row, column; 0 = unknown
    double affine[12];           // of the file's voxels (data_image); not there: 0
    bool has_affine;
    double view[12];  // input's pixel (frame, row, col, 1) to the file's, as of a data_image
} data_place;

typedef struct {
    const char *case_id;  // borrowed from the set; stays in the hospital
    const char *patient;  // likewise; never as the hospital writes it: see data_set_open_as
    int64_t patient_no;   // 0-based number of the patient within the set
    data_split split;
    int code;             // classify: class code; -1 unlabelled
    const uint8_t *mask;  // segment: (pixels) class codes of the input's grid; NULL unlabelled
    const float *target;  // multilabel (K) in {0, 1, NaN = unlabelled}; regress (1); else NULL
    double spacing_mm[3];  // of the input's pixels: depth, row, column; 0 = unknown
    const char *const *attributes;  // as text, in spec's order; "" = unknown
} data_case;

/*
 * Opens path.  expect: what the job asks for (shape, classes in the job's
 * order, attributes), or NULL to take what the data set says of itself; the
 * set's own spec is then data_set_spec().  Class codes are the expectation's.
 * A mismatch is FL_ECONFIG with key, expected and found ("classes: the job has
 * normal, opacity; this data set has normal, nodule").
 */
fl_status data_set_open(data_set **out, const char *path, const data_spec *expect, fl_err *err);
/*
 * As data_set_open, with the hospital's secret for patients.  Splits are made by the names
 * in the files; behind the opening a patient is 16 hexadecimal digits, BLAKE2b of
 * secret and name, the same in every run and data set of the hospital, or, without a
 * secret, a number in the order of the files ("patient-17").
 */
enum { DATA_SECRET_BYTES = 32 };
fl_status data_set_open_as(data_set **out, const char *path, const data_spec *expect,
                           const uint8_t *secret, fl_err *err);
void data_set_destroy(data_set **s);

/*
 * The data of a round of a federation: s itself, or what dataset.yaml says stands
 * in for it from a round on (`later:`), as when a scanner is replaced.  Borrowed
 * from s; of the same spec, and patients keep their splits.
 */
const data_set *data_set_in_round(const data_set *s, int64_t round);

const data_spec *data_set_spec(const data_set *s);
size_t data_set_n(const data_set *s);  // cases in all splits
size_t data_set_n_split(const data_set *s, data_split split);
/* Indices of a split's cases, in the file's order; borrowed. */
const size_t *data_set_split(const data_set *s, data_split split);
data_case data_set_case(const data_set *s, size_t i);
size_t data_set_n_features(const data_set *s);  // product of the input's shape
/* Pixels of a mask: the input's without its channels, (H, W) or (D, H, W). */
size_t data_set_n_pixels(const data_set *s);
/* Who drew masks (manifest's columns mask:NAME); data_case.mask is the column
 * mask, or what most of them say. */
size_t data_set_n_annotators(const data_set *s);
const char *data_set_annotator(const data_set *s, size_t a);
/* What annotator a drew of case i, as data_case.mask; NULL: nothing. */
const uint8_t *data_set_mask_by(const data_set *s, size_t i, size_t a);
/* What most of them drew of case i: code (pixels); where several classes of a pixel have
 * as many votes, that of the annotator whose column comes first.  Returns how many drew
 * it; for 0 code is as it was. */
size_t data_set_vote(uint8_t *code, const data_set *s, size_t i);
/* Borrowed; NULL for tables and archives. */
const data_place *data_set_place(const data_set *s, size_t i);
/* Copies the inputs of n cases, in order, to x (n, input...): float32.  Images
 * are in [0, 1] before `normalise`. */
void data_set_batch(const data_set *s, const size_t *index, size_t n, float *x);
/* The image of case i in [0, 1], as it is before `normalise`: for a person to look at. */
void data_set_image(const data_set *s, size_t i, float *x);
/*
 * As data_set_batch, the images augmented in [0, 1], then `normalise`, and their
 * masks with them: masks (n, n_pixels), or NULL.  The random part comes from
 * the stream (seed, "augment", site/case, epoch).  scratch: room for one input.
 * Images only.
 */
void data_set_batch_augmented(const data_set *s, const data_augment *a, uint64_t seed,
                              const char *site, uint64_t epoch, const size_t *index, size_t n,
                              float *x, uint8_t *masks, float *scratch);
/* As data_set_batch, the images seen by another scanner: chain is applied to
 * the image in [0, 1], then `normalise`.  The random part comes from the
 * stream (seed, "shift", case), so a case looks the same in every batch.
 * FL_EUNSUPPORTED as data_shift_check. */
fl_status data_set_batch_shifted(const data_set *s, const data_shift *chain, uint64_t seed,
                                 const size_t *index, size_t n, float *x, fl_err *err);
/*
 * The case as the image that data_set_batch_shifted makes of it is: its mask moved with
 * what is shown, its pixels as large as the chain makes them.  mask: room for
 * n_pixels, borrowed by *out where there is one.
 */
fl_status data_set_case_shifted(data_case *out, const data_set *s, const data_shift *chain,
                                uint64_t seed, size_t i, uint8_t *mask, fl_err *err);
/* Name of feature i of a table ("age", "cp=2"), borrowed; NULL for images. */
const char *data_set_feature_name(const data_set *s, size_t i);

/* Flow of cases as report.json's "flow": files, rows, refused by reason,
 * cases, patients, unlabelled, labelled and analysed by split.  New reference. */
json_t *data_set_flow(const data_set *s);
/*
 * "table1": per split n, patients, classes {CLASS: cell}, attributes {NAME:
 * {CODE: cell} or {"n", "mean", "sd"}}.  A cell is {"n"}; below min_cell
 * patients, or where it would give such a one away, n is null with why.  New
 * reference.
 */
json_t *data_set_table1(const data_set *s, int64_t min_cell);
/* What dataset.yaml says of itself, for reports: reference_standard ("not provided"), prevalence (NaN). */
const char *data_set_reference_standard(const data_set *s);
double data_set_prevalence(const data_set *s);
/* SHA-256 over contents (inputs, labels, splits, in order): names a data set in local records. */
void data_set_sha256(uint8_t out[static 32], const data_set *s);

/* Warnings a person should see (disguised missing values, single-class split,
 * duplicate images across splits, tiny splits): JSON list of {"what", "where", "n"}; no
 * patient's data in it.  New reference. */
json_t *data_set_problems(const data_set *s);

/* Prints every key of dataset.yaml with type, default and range (make docs). */
void data_set_keys(FILE *out);

/*
 * The order in which one epoch of a split visits its cases, from the stream
 * (seed, "shuffle", site, epoch).  order has data_set_n_split entries.
 */
void data_set_shuffle(const data_set *s, data_split split, uint64_t seed, const char *site,
                      uint64_t epoch, size_t *order);

#endif
