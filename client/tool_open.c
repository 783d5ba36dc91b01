/*
 * tool_open.c - data sets and models as the command line names them
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "client/tools.h"

fl_status tool_find_class(int *out, const data_spec *spec, const char *text,
                          fl_err *err)
{
    char *end;
    for (size_t k = 0; k < spec->n_classes; k++) {
        if (strcmp(spec->classes[k], text) == 0) {
            *out = (int)k;
            return FL_OK;
        }
    }
    long code = strtol(text, &end, 10);
    if (*text != '\0' && *end == '\0' && code >= 0 &&
        (size_t)code < spec->n_classes) {
        *out = (int)code;
        return FL_OK;
    }
    fl_buf names = FL_BUF_INIT;
    for (size_t k = 0; k < spec->n_classes; k++) {
        fl_buf_printf(&names, "%s%s", k > 0 ? ", " : "", spec->classes[k]);
    }
    fl_fail(err, FL_EUSAGE, "--positive: expected one of the classes %s, found "
                            "%s", names.data != NULL ? names.data : "(none)",
            text);
    fl_buf_clear(&names);
    return FL_EUSAGE;
}

fl_status tool_find_split(data_split *out, const char *text, fl_err *err)
{
    if (!data_split_parse(out, text)) {
        return fl_fail(err, FL_EUSAGE,
                       "--split: expected train, val or test, found %s", text);
    }
    return FL_OK;
}

fl_status tool_can_write(const char *path, fl_err *err)
{
    char *dir = fl_path_dir(path);
    fl_status st = FL_OK;
    if (!fl_is_dir(dir)) {
        st = fl_fail(err, FL_ENOTFOUND, "%s: there is no folder %s", path, dir);
    } else if (fl_is_dir(path)) {
        st = fl_fail(err, FL_EUSAGE, "%s: is a folder, expected a file", path);
    }
    free(dir);
    return st;
}

/* "a,b,c" into the spec's classes. */
static fl_status split_classes(data_spec *spec, const char *text, fl_err *err)
{
    while (*text != '\0') {
        size_t n = strcspn(text, ",");
        if (spec->n_classes == DATA_MAX_CLASSES) {
            return fl_fail(err, FL_EUSAGE, "--classes: at most %d",
                           DATA_MAX_CLASSES);
        }
        if (n == 0 || n >= DATA_NAME_BYTES) {
            return fl_fail(err, FL_EUSAGE,
                           "--classes: expected names of 1 to %d bytes "
                           "between commas", DATA_NAME_BYTES - 1);
        }
        memcpy(spec->classes[spec->n_classes++], text, n);
        text += n + (text[n] == ',');
    }
    return FL_OK;
}

fl_status tool_open_data(data_set **out, data_spec *spec, const char *path,
                         const tool_naming *naming, fl_err *err)
{
    bool says = naming->task != NULL || naming->classes != NULL;
    fl_status st = FL_OK;

    *out = NULL;
    *spec = (data_spec){.task = DATA_CLASSIFY, .positive = -1};
    if (naming->task != NULL && !data_task_parse(&spec->task, naming->task)) {
        return fl_fail(err, FL_EUSAGE,
                       "--task: expected classify, multilabel, segment or "
                       "regress, found %s", naming->task);
    }
    if (naming->classes != NULL &&
        (st = split_classes(spec, naming->classes, err)) != FL_OK) {
        return st;
    }
    if ((st = data_set_open(out, path, says ? spec : NULL, err)) != FL_OK) {
        return st;
    }
    *spec = *data_set_spec(*out);
    if (naming->positive != NULL) {
        st = tool_find_class(&spec->positive, spec, naming->positive, err);
    }
    if (st != FL_OK) {
        data_set_destroy(out);
    }
    return st;
}

/* The numbers of a .safetensors, which must be those of m. */
static fl_status read_numbers(float **params, const task_model *m, const char *path,
                              const char *graph, fl_err *err)
{
    nn_table *table = NULL;
    fl_status st = ckpt_safetensors_read(&table, params, NULL, path, err);
    if (st == FL_OK && !nn_table_equal(table, task_model_table(m))) {
        st = fl_fail(err, FL_EFORMAT, "%s: its parameters are not those of %s", path, graph);
        FL_FREE(*params);
    }
    nn_table_destroy(&table);
    return st;
}

fl_status tool_read_model(task_model **model, float **params, const char *path, const char *graph,
                          fl_err *err)
{
    static const char ending[] = ".safetensors";
    size_t n = strlen(path), k = strlen(ending);
    float *unused = NULL;
    *model = NULL;
    *params = NULL;
    if (n <= k || strcmp(path + n - k, ending) != 0) {
        return task_model_read(model, params, NULL, path, err);
    }
    if (graph == NULL) {
        return fl_fail(err, FL_EUSAGE, "%s: holds numbers only; --graph MODEL.onnx says of which "
                                       "network", path);
    }
    fl_status st = task_model_read(model, &unused, NULL, graph, err);
    if (st == FL_OK && (st = read_numbers(params, *model, path, graph, err)) != FL_OK) {
        task_model_destroy(model);
    }
    free(unused);
    return st;
}

/* The codes mean the same: class for class. */
static bool same_classes(const data_spec *a, const data_spec *b)
{
    if (a->task != b->task || a->n_classes != b->n_classes ||
        !nn_shape_equal(&a->input, &b->input)) {
        return false;
    }
    for (size_t k = 0; k < a->n_classes; k++) {
        if (strcmp(a->classes[k], b->classes[k]) != 0) {
            return false;
        }
    }
    return true;
}

static void take_attributes(data_spec *to, const data_spec *from)
{
    memcpy(to->attributes, from->attributes, sizeof to->attributes);
    to->n_attributes = from->n_attributes;
}

fl_status tool_open_for_model(data_set **out, data_spec *spec, task_model *m,
                              const char *path, fl_err *err)
{
    const data_spec *wanted = task_model_spec(m);
    bool knows_classes = wanted->n_classes > 0 || wanted->task == DATA_REGRESS;
    fl_err why = FL_ERR_INIT;
    data_set *set = NULL;
    fl_status st;

    *out = NULL;
    *spec = *wanted;
    // As the data set sees itself, for its attributes.
    st = data_set_open(&set, path, NULL, &why);
    if (st != FL_OK && !knows_classes) {
        return fl_fail(err, st, "%s", why.text);
    }
    if (st == FL_OK) {
        take_attributes(spec, data_set_spec(set));
    }
    if (!knows_classes) {
        st = task_model_set_spec(m, data_set_spec(set), err);
        *spec = *task_model_spec(m);
    } else if (st != FL_OK || !same_classes(wanted, data_set_spec(set))) {
        data_set_destroy(&set);
        st = data_set_open(&set, path, spec, err);  // with the model's codes
    }
    if (st != FL_OK) {
        data_set_destroy(&set);
        return st;
    }
    *out = set;
    return FL_OK;
}
