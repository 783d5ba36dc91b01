/*
 * groups.h - the cells of an attribute, and which of them may be shown
 */
#ifndef EVAL_GROUPS_H
#define EVAL_GROUPS_H

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

/* Text of a hospital's table as JSON; bytes that are no UTF-8 become '?'. */
json_t *eval_text_json(const char *text);

#endif
