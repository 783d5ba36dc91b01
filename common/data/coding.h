/*
 * coding.h - from what a hospital's files say to the job's codes
 *
 * One hospital writes 1 where another writes "malignant", and F where the
 * next writes 0.  Known to this folder only.
 */
#ifndef DATA_CODING_H
#define DATA_CODING_H

#include "base/mem.h"
#include "data/recipe.h"

typedef struct {
    const char *text;
    int code;
} data_code;

typedef struct {
    const data_spec *spec;      // borrowed
    const data_recipe *recipe;  // borrowed
    data_code *codes;
    size_t n_codes;
    bool by_number;  // a label that is no text of these is a code
} data_coding;

/* True when the texts are equal or are the same number ("1" and "1.0"). */
bool data_same_text(const char *a, const char *b);
/* A finite decimal number and nothing else. */
bool data_parse_number(double *out, const char *text);

/*
 * Fills what spec says of task and classes from the expectation (may be NULL),
 * the recipe, or, when neither names classes, the n labels found.  The rest
 * of spec is the expectation's or empty.  Mismatch is FL_ECONFIG.
 */
fl_status data_coding_init(data_coding *out, data_spec *spec, const data_recipe *r,
                           const data_spec *expect, const char *const *labels, size_t n,
                           fl_err *err);
void data_coding_clear(data_coding *c);

/* The code of a class; false when there is no such label. */
bool data_coding_label(int *code, const data_coding *c, const char *text);
/* "0, 1 or 2": how labels may be written. */
void data_coding_labels_text(char *out, size_t n, const data_coding *c);

/*
 * Where the attributes of spec stand in a table: column[i] for attribute i.
 * Without an expectation spec's attributes are the recipe's, as texts.
 * FL_ECONFIG when an expected one is not there.
 */
fl_status data_attributes_find(int column[static DATA_MAX_ATTRIBUTES], data_spec *spec,
                               const data_recipe *r, const data_spec *expect, const data_csv *table,
                               fl_err *err);
/* The row's attributes, kept in the arena.  where: "file:line". */
fl_status data_attributes_read(const char ***out, fl_arena *arena,
                               const int column[static DATA_MAX_ATTRIBUTES], const data_spec *spec,
                               const data_recipe *r, const data_csv *table, size_t row,
                               const char *file, fl_err *err);

/* Sets kind and codes: numbers if all n texts are ("" is unknown), codes if
 * they are few, else text. */
void data_attribute_guess(data_attribute *a, const char *const *texts, size_t n);

#endif
