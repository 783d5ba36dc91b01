/*
 * recipe.h - dataset.yaml as a struct; known to this folder only
 *
 * Reads and checks what a hospital wrote about its data; opens nothing that
 * the file names.  Texts are borrowed from the document, which the recipe
 * keeps until it is cleared.
 */
#ifndef DATA_RECIPE_H
#define DATA_RECIPE_H

#include "base/cfg.h"
#include "data/preprocess.h"
#include "data/shift.h"
#include "data/spec.h"

enum {
    DATA_MAX_CODES_OF_CLASS = 16,  // ways to write one class
    DATA_MAX_PARENTS = 128,
    DATA_MAX_MEMBERS = 256,  // of a union
    DATA_MAX_CHANGES = 16    // of a data set while a federation runs
};

typedef enum { DATA_FROM_MANIFEST, DATA_FROM_TABLE, DATA_FROM_NPZ, DATA_FROM_UNION } data_origin;

typedef struct {  // a list of texts
    const char **item;
    size_t n;
} data_words;

typedef struct {  // one name of ours and how the files write it
    const char *name;
    data_words texts;
} data_naming;

typedef struct {
    const char *name;     // the job's: "sex"
    const char *column;   // the file's
    data_naming *values;  // code and how the file writes it; may be empty
    size_t n_values;
} data_attribute_rule;

/* How cases come to their split. */
typedef enum {
    DATA_SPLIT_DEFAULT,  // the column `split` where there is one, else PATIENT
    DATA_SPLIT_PATIENT,
    DATA_SPLIT_COLUMN,
    DATA_SPLIT_FILE
} data_split_kind;

typedef struct {
    data_split_kind kind;
    double val, test;  // parts of the patients; with COLUMN and FILE, val
                       // is carved out of train where it is > 0
    uint64_t seed;
    const char *column;  // COLUMN
    const char *file;    // FILE
    const char *site;    // FILE: rows of this site; NULL = all
    const char *site_column, *row_column, *set_column;
} data_split_rule;

typedef enum { DATA_MISSING_STOP, DATA_MISSING_DROP } data_missing_rule;

/* Comparison in `positive: '> 0'`. */
typedef enum { DATA_NO_RULE, DATA_LT, DATA_LE, DATA_EQ, DATA_NE, DATA_GE, DATA_GT } data_relation;

typedef struct {  // one column that becomes 0-1 columns
    const char *column;
    data_words levels;  // n 0: those found in the table, sorted
} data_one_hot;

typedef struct {
    const char *file;
    data_words header;   // n 0: the file's first row
    data_words missing;  // "" and these stand for a missing value
    data_words drop;
    data_missing_rule rows_with_missing;
    data_one_hot *one_hot;
    size_t n_one_hot;
    bool drop_first;         // first level has no column of its own
    bool place_last;         // else in the column's place
    const char *label;       // column
    data_relation relation;  // how the label makes two classes
    double threshold;
    const char *case_column, *patient_column;  // or NULL: every row its own
    bool standardise;
} data_table_rule;

typedef enum {
    DATA_UNCERTAIN_IGNORE,
    DATA_UNCERTAIN_POSITIVE,
    DATA_UNCERTAIN_NEGATIVE
} data_uncertain;

typedef struct {  // a finding that is a kind or a part of another
    const char *part, *whole;
} data_parent;

typedef struct data_known data_known;  // a public collection's layout: known.h

typedef struct {  // `later:`: another data set from a round on
    int64_t round;
    const char *path;
} data_change;

typedef struct {
    fl_cfg *cfg;       // the document, or NULL for a bare file
    const char *name;  // of dataset.yaml or the bare file, for messages
    char *owned_path;  // of a bare file
    data_origin origin;

    bool has_task;
    data_task task;
    data_naming *classes;  // in the order that they are written
    size_t n_classes;
    const char *positive;
    const char *reference_standard;
    bool says_reference_standard;
    data_attribute_rule attributes[DATA_MAX_ATTRIBUTES];
    size_t n_attributes;
    data_split_rule split;
    data_preprocess preprocess;
    bool skip_bad_files;
    const char *cache;  // path of a folder; NULL = beside dataset.yaml, for large sets
    bool no_cache;      // all in memory
    data_uncertain uncertain;
    bool unmentioned_is_absent;  // multilabel: what an empty cell says
    const char *no_finding;      // in a list of findings: there is none
    data_parent *parents;
    size_t n_parents;
    double prevalence;  // NAN when not said
    data_change changes[DATA_MAX_CHANGES];
    size_t n_changes;
    double mask_threshold;  // segment: the least foreground value
    bool says_mask_threshold;

    const char *manifest;     // path; with known its table or folder
    const data_known *known;  // or NULL
    const char *known_images, *known_view, *known_test;
    data_table_rule table;
    const char *npz, *rows;  // paths
    const char *cases;       // path of those that are taken, or NULL
    data_shift shift;
    uint64_t shift_seed;
    data_words members;  // of a union: paths
} data_recipe;

/* Reads the keys of dataset.yaml; complaints go to the document. */
void data_recipe_read_keys(data_recipe *out, fl_node root);

/*
 * From a folder with dataset.yaml, a .yaml, a .npz (with a dataset.yaml
 * beside it, if there is one) or a .csv.
 */
fl_status data_recipe_read(data_recipe *out, const char *path, fl_err *err);
void data_recipe_clear(data_recipe *r);

#endif
