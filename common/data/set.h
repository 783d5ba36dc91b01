/*
 * set.h - the inside of a data set; known to this folder only
 *
 * A source (manifest.c, table.c, medmnist.c) adds entries and their inputs;
 * split.c gives each its split; dataset.c finishes (standardises, indexes).
 * After that nothing changes.
 */
#ifndef DATA_SET_H
#define DATA_SET_H

#include "base/json.h"
#include "base/mem.h"
#include "data/cache.h"
#include "data/coding.h"
#include "data/dataset.h"
#include "data/input.h"
#include "data/recipe.h"

enum { DATA_NO_SPLIT = -1 };

typedef struct {
    const char *case_id;  // in the set's arena
    const char *patient;  // likewise
    int64_t patient_no;
    int split;                // data_split or DATA_NO_SPLIT
    int code;                 // -1: unlabelled
    float *target;            // (K) or (1) or NULL; in the arena
    const char **attributes;  // in spec's order; in the arena
    data_input input;         // samples: one of the set's blocks, or in one
    const uint8_t *mask;      // (pixels) segment: codes; in a block; NULL unlabelled
    const uint8_t **masks;    // [annotator] likewise, NULL where one drew none; or NULL
    const data_place *place;  // in the arena; NULL for tables and archives
    data_cache *cache;        // that the input's samples lie in, or NULL
    size_t row;               // 0-based in its file
    int line;                 // in its file, for messages
} data_entry;

typedef struct {
    char *reason;  // "missing file"
    size_t n;
} data_refusal;

typedef struct {  // what stands in for a set from a round on
    int64_t round;
    const char *path;  // in the arena; NULL: a union whose members are others then
    data_set *set;     // NULL until opened; owned
} data_later;

struct data_set {
    fl_arena *arena;  // texts, targets, attributes
    data_spec spec;
    data_entry *entries;
    size_t n, capacity;
    size_t *by_split[DATA_N_SPLITS];
    size_t n_split[DATA_N_SPLITS];
    int64_t n_patients;
    void **blocks;  // memory of the inputs, from malloc
    size_t n_blocks;
    data_cache *cache;        // of what is not kept in memory, or NULL
    size_t room;              // bytes of samples that it keeps in memory unasked
    const char **annotators;  // names, in the arena
    size_t n_annotators;
    const char **features;  // names of a table's columns, in the arena; or NULL
    bool standardise;       // a table that asks for it
    data_set **members;     // of a union: they own the texts and inputs
    size_t n_members;

    data_later *later;  // by rising round
    size_t n_later;

    size_t n_files, n_rows;  // what was looked at
    data_refusal *refusals;
    size_t n_refusals;
    json_t *notes;  // problems found while reading
    char *reference_standard;
    double prevalence;
};

/* A new entry, zeroed but for code and split; valid until the next is added. */
data_entry *data_set_add(data_set *s);
/* memory is now the set's. */
void data_set_own(data_set *s, void *memory);
/* Counts n files or rows that were left out. */
void data_set_refuse(data_set *s, const char *reason, size_t n);
/* Keeps a warning for data_set_problems. */
void data_set_note(data_set *s, const char *what, const char *where, size_t n);

/* Sources: fill s with cases that have their splits.  A failure leaves s to be
 * destroyed. */
fl_status data_manifest_load(data_set *s, const data_recipe *r, const data_spec *expect,
                             fl_err *err);
fl_status data_table_load(data_set *s, const data_recipe *r, const data_spec *expect, fl_err *err);
fl_status data_medmnist_load(data_set *s, const data_recipe *r, const data_spec *expect,
                             fl_err *err);

/* manifest.c */
/* Reads a file that a row names in a column (what: "file", "mask"); its path, which may hold a
 * name, is in no message. */
fl_status data_manifest_file(data_image *out, const char *dir, const char *file, const char *what,
                             const char *where, fl_err *err);

/* choose.c */
/* Leaves only the cases that the recipe's file lists, in the splits and with the labels that it
 * says. */
fl_status data_choose(data_set *s, const data_recipe *r, fl_err *err);

/* shift_set.c */
/* The recipe's chain over all samples of a union, which become the set's own. */
fl_status data_shift_set(data_set *s, const data_recipe *r, fl_err *err);

/* dataset.c */
/* Lists the cases of each split, again where cases have gone. */
void data_set_index(data_set *s);
/* A whole data set as it is in a round (0: before any change), what comes later left closed, and
 * patients by the names in the files. */
fl_status data_set_open_round(data_set **out, const char *path, const data_spec *expect,
                              int64_t round, fl_err *err);

/* later.c */
/* Keeps what the recipe says comes later. */
void data_later_note(data_set *s, const data_recipe *r);
/* The data set that the recipe names for a round > 0; NULL: itself. */
const char *data_later_path(const data_recipe *r, int64_t round);
/* A union changes when a member does. */
void data_later_join(data_set *s, const data_set *member);
/* Opens it, once s is complete: it must have s's shape, classes and attributes, and
 * no patient in another split.  path: of s.  Before patients are hidden. */
fl_status data_later_open(data_set *s, const char *path, fl_err *err);
void data_later_clear(data_set *s);

/* split.c */
/* Gives every case its split by the recipe's rule.  file: where the cases
 * stand, for messages; column: the split's cell of each case, or NULL. */
fl_status data_split_assign(data_set *s, const data_split_rule *rule, const char *file,
                            const char *const *column, fl_err *err);
/* Numbers patients in order of appearance; refuses one that is in two splits,
 * and two cases of one name. */
fl_status data_split_check(data_set *s, const char *file, fl_err *err);

#endif
