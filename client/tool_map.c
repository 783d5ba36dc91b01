/*
 * tool_map.c - `--label-map FILE`: a data set whose labels are not the model's classes
 */
#include <stdio.h>
#include <string.h>

#include "client/tools.h"

/* At least one case of the split can be judged. */
static fl_status check_labelled(const data_set *set, data_split split, const char *path,
                                const data_label_map *map, fl_err *err)
{
    const size_t *index = data_set_split(set, split);
    for (size_t i = 0; i < data_set_n_split(set, split); i++) {
        data_case c = data_set_case(set, index[i]);
        if (task_is_labelled(data_set_spec(set), &c)) {
            return FL_OK;
        }
    }
    return fl_fail(err, FL_ECONFIG, "%s: leaves no class of the model with a case in the %s split "
                   "of %s", data_label_map_name(map), data_split_name(split), path);
}

/* As the data set sees itself, in the model's task and shape. */
static fl_status open_own(data_set **out, const data_spec *wanted, const char *path, fl_err *err)
{
    data_spec spec = *wanted;
    fl_err why = FL_ERR_INIT;
    fl_status st = data_set_open(out, path, NULL, &why);
    if (st == FL_OK && data_set_spec(*out)->task == wanted->task &&
        nn_shape_equal(&data_set_spec(*out)->input, &wanted->input)) {
        return FL_OK;
    }
    if (st == FL_OK) {
        memcpy(spec.attributes, data_set_spec(*out)->attributes, sizeof spec.attributes);
        spec.n_attributes = data_set_spec(*out)->n_attributes;
    }
    data_set_destroy(out);
    spec.n_classes = 0;  // its own
    spec.positive = -1;
    return data_set_open(out, path, &spec, err);
}

fl_status tool_open_mapped(data_set **out, data_spec *spec, json_t **labels, const task_model *m,
                           const char *path, const data_label_map *map, data_split split,
                           fl_err *err)
{
    const data_spec *wanted = task_model_spec(m);
    fl_status st;

    *out = NULL;
    *labels = NULL;
    if (wanted->task != DATA_CLASSIFY && wanted->task != DATA_MULTILABEL) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "--label-map is for models of the tasks classify and multilabel; this one "
                       "is of task %s", data_task_name(wanted->task));
    }
    if (wanted->n_classes == 0) {
        return fl_fail(err, FL_EUSAGE, "--label-map: the model's file names no classes that labels "
                       "could be mapped to; --reference DATASET, which it learnt from, does");
    }
    if ((st = open_own(out, wanted, path, err)) != FL_OK ||
        (st = data_set_map_labels(*out, labels, map, wanted, err)) != FL_OK ||
        (st = check_labelled(*out, split, path, map, err)) != FL_OK) {
        json_decref(*labels);
        *labels = NULL;
        data_set_destroy(out);
        return st;
    }
    *spec = *data_set_spec(*out);
    return FL_OK;
}

void tool_print_labels(const json_t *labels, const data_label_map *map, data_split split)
{
    size_t i;
    const json_t *one;
    if (labels == NULL) {
        return;
    }
    printf("labels by %s\n", data_label_map_name(map));
    json_array_foreach(labels, i, one) {
        const char *to = fl_json_get_string(one, "class", NULL);
        printf("  %-28.60s %s %-28.60s %7lld\n", fl_json_get_string(one, "label", ""),
               to != NULL ? "->" : "  ", to != NULL ? to : "out of the model's scope",
               (long long)fl_json_get_int(one, data_split_name(split), 0));
    }
    printf("\n");
}
