/*
 * label_map.h - what another hospital's labels are among a model's classes
 *
 * A hospital that took no part in a training has words of its own, finer or wider
 * than the model's classes.  The map is a small file: YAML,
 *
 *     labels: {no_finding: normal, empyema: effusion, hydrothorax: effusion, fracture: ignore}
 *
 * or CSV with the columns label and class.  Several labels may be one class; `ignore`
 * takes a label out of the model's scope.  Every label of the hospital must be named,
 * so that nothing is left out by mistake.
 */
#ifndef DATA_LABEL_MAP_H
#define DATA_LABEL_MAP_H

#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "base/json.h"
#include "data/dataset.h"

enum {
    DATA_MAP_MAX_BYTES = 1 << 20,  // of the file
    DATA_MAP_MAX_LABELS = 512,
    DATA_LABEL_IGNORED = -1
};

typedef struct data_label_map data_label_map;

/* FL_ECONFIG or FL_EFORMAT with file:line for anything odd. */
fl_status data_label_map_read(data_label_map **out, const char *path, fl_err *err);
/* From memory; a name that ends in .csv is a table, every other is YAML. */
fl_status data_label_map_parse(data_label_map **out, const char *text, size_t n, const char *name,
                               fl_err *err);
void data_label_map_destroy(data_label_map **m);  // fine on NULL
const char *data_label_map_name(const data_label_map *m);

/*
 * to[k]: the class of model that class k of own is, or DATA_LABEL_IGNORED; (own's n_classes).
 * FL_ECONFIG when a label of own is not named, or a named class is none of model's.
 */
fl_status data_label_map_find(int *to, const data_label_map *m, const data_spec *own,
                              const data_spec *model, fl_err *err);

/*
 * Brings a data set that was opened as it sees itself to model's classes; it keeps its
 * attributes.  classify: cases whose label is ignored are left out, and counted in the flow
 * as "out of the model's scope".  multilabel: a class is present where a finding that is
 * of it is, absent where all of them are said to be, else unlabelled; as it is everywhere
 * when no finding is of it.  *labels: [{"label", "class" (null: ignored), "train", "val",
 * "test"}], the cases of each split that have the label; new reference.
 * FL_EUNSUPPORTED for other tasks; else as data_label_map_find, the set then as it was.
 */
fl_status data_set_map_labels(data_set *s, json_t **labels, const data_label_map *m,
                              const data_spec *model, fl_err *err);

/* Prints the file's keys (make docs). */
void data_label_map_keys(FILE *out);

#endif
