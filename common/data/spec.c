/*
 * spec.c - reads the `data:` part of a job
 */
#include "data/spec.h"

#include <string.h>

static const char *const task_names[] = {"classify", "multilabel", "segment", "regress", NULL};

const char *data_task_name(data_task task)
{
    FL_REQUIRE((size_t)task < sizeof task_names / sizeof *task_names - 1);
    return task_names[task];
}

bool data_task_parse(data_task *out, const char *name)
{
    for (int i = 0; task_names[i] != NULL; i++) {
        if (strcmp(task_names[i], name) == 0) {
            *out = (data_task)i;
            return true;
        }
    }
    return false;
}

size_t data_spec_n_pixels(const data_spec *spec)
{
    const nn_shape *input = &spec->input;
    return input->rank < 3 ? 1 : (size_t)(nn_shape_count(input, 1) / input->dim[0]);
}

/* Complains about a name that is empty or too long for its place. */
static void read_name(char out[static DATA_NAME_BYTES], fl_node n, const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length >= DATA_NAME_BYTES) {
        fl_cfg_complain(n, "expected a name of 1 to %d bytes, found %zu", DATA_NAME_BYTES - 1,
                        length);
        return;
    }
    memcpy(out, text, length + 1);
}

static void read_input(nn_shape *out, fl_node data)
{
    static const int64_t max_side = 1 << 20;  // features of a table, or pixels
    fl_node list = fl_cfg_list(data, "input",
                               "channels, height, width; or the number of features of a table");
    size_t n = fl_cfg_count(list);
    if (n == 0) {
        return;
    }
    if (n == 2 || n > 4) {
        fl_cfg_complain(list,
                        "input: expected [features], [channels, height, width] or [channels, "
                        "depth, height, width], found %zu numbers",
                        n);
        return;
    }
    out->rank = (int)n;
    for (size_t i = 0; i < n; i++) {
        out->dim[i] = fl_node_int(fl_cfg_item(list, i), 1, max_side, "input");
    }
}

static void read_classes(data_spec *out, fl_node data)
{
    fl_node list = fl_cfg_list(data, "classes", "names; their order fixes the label codes");
    size_t n = fl_cfg_count(list);
    if (n > DATA_MAX_CLASSES) {
        fl_cfg_complain(list, "classes: expected at most %d, found %zu", DATA_MAX_CLASSES, n);
        return;
    }
    for (size_t k = 0; k < n; k++) {
        fl_node item = fl_cfg_item(list, k);
        read_name(out->classes[k], item, fl_node_text(item, "class"));
        for (size_t j = 0; j < k; j++) {
            if (strcmp(out->classes[j], out->classes[k]) == 0) {
                fl_cfg_complain(item, "classes: %s is there twice", out->classes[k]);
            }
        }
    }
    out->n_classes = n;

    fl_node where = fl_cfg_present(list) ? list : data;
    if (out->task == DATA_CLASSIFY && n < 2) {
        fl_cfg_complain(where, "classes: task classify needs two or more, found %zu", n);
    } else if (out->task == DATA_MULTILABEL && n < 1) {
        fl_cfg_complain(where, "classes: task multilabel needs one or more");
    } else if (out->task == DATA_SEGMENT && n < 2) {
        fl_cfg_complain(where,
                        "classes: task segment needs two or more, the background first; found %zu",
                        n);
    } else if (out->task == DATA_REGRESS && n > 0) {
        fl_cfg_complain(where, "classes: task regress has none");
    }
}

static void read_positive(data_spec *out, fl_node data)
{
    const char *name = fl_cfg_text(data, "positive", NULL,
                                   "the positive class; required with two classes");
    bool two_classes = out->task == DATA_CLASSIFY && out->n_classes == 2;

    if (name == NULL) {
        if (two_classes) {
            fl_cfg_complain(data,
                            "positive: expected one of the two classes %s, %s; it is not there",
                            out->classes[0], out->classes[1]);
        }
        return;
    }
    fl_node where = fl_cfg_get(data, "positive", "");
    if (!two_classes) {
        fl_cfg_complain(where, "positive: only for task classify with two classes");
        return;
    }
    for (size_t k = 0; k < out->n_classes; k++) {
        if (strcmp(out->classes[k], name) == 0) {
            out->positive = (int)k;
            return;
        }
    }
    fl_cfg_complain(where, "positive: expected %s or %s, found %s", out->classes[0],
                    out->classes[1], name);
}

static void read_attribute(data_attribute *out, const char *name, fl_node n)
{
    read_name(out->name, n, name);
    if (fl_cfg_is_list(n)) {
        out->kind = DATA_ATTR_CODES;
        out->n_codes = fl_cfg_count(n);
        if (out->n_codes < 1 || out->n_codes > DATA_MAX_CODES) {
            fl_cfg_complain(n, "attributes: %s: expected 1 to %d codes, found %zu", name,
                            DATA_MAX_CODES, out->n_codes);
            out->n_codes = 0;
        }
        for (size_t i = 0; i < out->n_codes; i++) {
            fl_node item = fl_cfg_item(n, i);
            read_name(out->codes[i], item, fl_node_text(item, name));
        }
        return;
    }
    const char *unit = fl_node_text(n, name);
    if (strcmp(unit, "text") == 0) {
        out->kind = DATA_ATTR_TEXT;
        return;
    }
    out->kind = DATA_ATTR_NUMBER;
    read_name(out->unit, n, unit);
}

static void read_attributes(data_spec *out, fl_node data)
{
    fl_node map = fl_cfg_map(
        data, "attributes",
        "what is known of a patient: a list of codes, a unit, or the word text");
    size_t n = fl_cfg_count(map);
    if (n > DATA_MAX_ATTRIBUTES) {
        fl_cfg_complain(map, "attributes: expected at most %d, found %zu", DATA_MAX_ATTRIBUTES, n);
        return;
    }
    out->n_attributes = n;
    for (size_t i = 0; i < n; i++) {
        const char *name;
        fl_node value = fl_cfg_pair(map, i, &name);
        read_attribute(&out->attributes[i], name, value);
    }
}

void data_spec_read(data_spec *out, fl_node root)
{
    *out = (data_spec){.positive = -1};
    int task = fl_cfg_choice(root, "task", task_names, -1, "kind of problem to solve");
    out->task = task >= 0 ? (data_task)task : DATA_CLASSIFY;

    fl_node data = fl_cfg_map(root, "data", "what every site must have");
    read_input(&out->input, data);
    read_classes(out, data);
    read_positive(out, data);
    read_attributes(out, data);
}
