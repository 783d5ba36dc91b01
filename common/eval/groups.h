/*
 * groups.h - the cells of an attribute, and which of them may be shown
 */
#ifndef EVAL_GROUPS_H
#define EVAL_GROUPS_H

#include "eval/disparity.h"
#include "eval/eval.h"

#define EVAL_UNKNOWN "unknown"  // cell of cases without a value

enum { EVAL_MAX_CELLS = 100 };  // a free text with more values makes no subgroups

typedef struct {
    const char *value;  // borrowed from the caller's array
    bool *in;           // (n) the cell's labelled cases
    size_t n_cases, n_patients;
    bool suppressed;
} eval_cell;

/* One cell a distinct value, sorted; suppressed ones marked.  The caller's: see
 * eval_cells_free.  More than EVAL_MAX_CELLS values: that many and one. */
size_t eval_cells_find(eval_cell **out, const char *const *value, const eval_predictions *p,
                       int64_t min_cell);
void eval_cells_free(eval_cell *cells, size_t n_cells);

/* Two cells or more, EVAL_PAIR_CELLS at most, and none of them is suppressed. */
bool eval_cells_all_shown(const char *const *value, const eval_predictions *p, int64_t min_cell);

/* Adds the figures of the cases in (n) to an entry of subgroups. */
typedef void eval_group_figures(void *ctx, json_t *entry, const bool *in);
/* As eval_subgroups and eval_subgroup_pairs, with figures of any kind; of cases, label
 * (-1: left out) and patient are looked at. */
void eval_subgroups_by(json_t *list, const char *attribute, const char *const *value,
                       const eval_predictions *cases, int64_t min_cell,
                       eval_group_figures *figures, void *ctx);
void eval_subgroup_pairs_by(json_t *list, const eval_attribute *attributes, size_t n_attributes,
                            const eval_predictions *cases, int64_t min_cell,
                            eval_group_figures *figures, void *ctx);

typedef struct {
    const eval_predictions *p;
    uint64_t seed;
} eval_classified;
/* ctx: eval_classified; eval_classify's metrics. */
void eval_classified_figures(void *ctx, json_t *entry, const bool *in);

/* Text of a hospital's table as JSON; bytes that are no UTF-8 become '?'. */
json_t *eval_text_json(const char *text);

#endif
