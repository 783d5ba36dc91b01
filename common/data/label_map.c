/*
 * label_map.c - see label_map.h
 */
#include "data/label_map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cfg.h"
#include "base/mem.h"
#include "base/sys.h"
#include "data/formats.h"
#include "data/set.h"

typedef struct {
    const char *label;  // the hospital's; in the map's arena
    const char *to;     // the model's class, or "ignore"; likewise
    int line;
} mapped;

struct data_label_map {
    char *name;
    fl_arena *arena;
    mapped entry[DATA_MAP_MAX_LABELS];
    size_t n;
};

static const char ignore[] = "ignore";
static const char out_of_scope[] = "out of the model's scope";  // in the flow

// ------------------------------------------------------------------- reading

static void take(data_label_map *m, const char *label, const char *to, int line)
{
    m->entry[m->n++] = (mapped){fl_arena_strdup(m->arena, label), fl_arena_strdup(m->arena, to),
                                line};
}

static void read_keys(data_label_map *m, fl_node root)
{
    fl_node map = fl_cfg_map(root, "labels", "the hospital's labels, and the model's class of each");
    size_t n = fl_cfg_count(map);
    if (n == 0 || n > DATA_MAP_MAX_LABELS) {
        fl_cfg_complain(root, "labels: expected 1 to %d, found %zu", DATA_MAP_MAX_LABELS, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const char *label;
        fl_node node = fl_cfg_pair(map, i, &label);
        const char *to = fl_node_text(node, "a class of the model; ignore: out of its scope");
        take(m, label, to, fl_cfg_line(node));
    }
}

static fl_status read_yaml(data_label_map *m, const char *text, size_t n, fl_err *err)
{
    fl_cfg *doc;
    fl_status st = fl_cfg_parse(&doc, text, n, m->name, ".", err);
    if (st != FL_OK) {
        return st;
    }
    read_keys(m, fl_cfg_root(doc));
    st = fl_cfg_finish(doc, err);
    fl_cfg_destroy(&doc);
    return st;
}

static fl_status read_csv(data_label_map *m, const char *text, size_t n, fl_err *err)
{
    data_csv table;
    fl_status st = data_csv_parse(&table, text, n, m->name, true, err);
    if (st != FL_OK) {
        return st;
    }
    int label = data_csv_column(&table, "label"), to = data_csv_column(&table, "class");
    if (label < 0 || to < 0) {
        st = fl_fail(err, FL_ECONFIG, "%s:1: expected the columns label and class", m->name);
    } else if (table.n_rows == 0 || table.n_rows > DATA_MAP_MAX_LABELS) {
        st = fl_fail(err, FL_ECONFIG, "%s: labels: expected 1 to %d, found %zu", m->name,
                     DATA_MAP_MAX_LABELS, table.n_rows);
    }
    for (size_t i = 0; st == FL_OK && i < table.n_rows; i++) {
        take(m, table.cell[i][label], table.cell[i][to], table.line[i]);
    }
    data_csv_clear(&table);
    return st;
}

/* Each label once, and nothing empty. */
static fl_status check(const data_label_map *m, fl_err *err)
{
    for (size_t i = 0; i < m->n; i++) {
        const mapped *e = &m->entry[i];
        if (e->label[0] == '\0' || e->to[0] == '\0') {
            return fl_fail(err, FL_ECONFIG,
                           "%s:%d: expected a label and its class, or ignore; one of them is empty",
                           m->name, e->line);
        }
        for (size_t j = 0; j < i; j++) {
            if (data_same_text(m->entry[j].label, e->label)) {
                return fl_fail(err, FL_ECONFIG, "%s:%d: label %.60s is there twice, first on line "
                               "%d", m->name, e->line, e->label, m->entry[j].line);
            }
        }
    }
    return FL_OK;
}

static bool is_table(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".csv") == 0;
}

fl_status data_label_map_parse(data_label_map **out, const char *text, size_t n, const char *name,
                               fl_err *err)
{
    data_label_map *m = fl_xcalloc(1, sizeof *m);
    *out = NULL;
    m->name = fl_xstrdup(name);
    m->arena = fl_arena_new(1 << 12);
    fl_status st = is_table(name) ? read_csv(m, text, n, err) : read_yaml(m, text, n, err);
    if (st == FL_OK) {
        st = check(m, err);
    }
    if (st == FL_OK) {
        *out = m;
        m = NULL;  // now the caller's
    }
    data_label_map_destroy(&m);
    return st;
}

fl_status data_label_map_read(data_label_map **out, const char *path, fl_err *err)
{
    char *text = NULL;
    size_t n = 0;
    *out = NULL;
    fl_status st = fl_file_read(&text, &n, path, DATA_MAP_MAX_BYTES, err);
    if (st == FL_OK) {
        st = data_label_map_parse(out, text, n, path, err);
    }
    free(text);
    return st;
}

void data_label_map_destroy(data_label_map **map)
{
    data_label_map *m = *map;
    if (m == NULL) {
        return;
    }
    fl_arena_destroy(&m->arena);
    free(m->name);
    FL_FREE(*map);
}

const char *data_label_map_name(const data_label_map *m)
{
    return m->name;
}

void data_label_map_keys(FILE *out)
{
    data_label_map m = {.arena = fl_arena_new(1 << 10)};
    fl_cfg *doc = fl_cfg_describe(out);
    read_keys(&m, fl_cfg_root(doc));
    fl_cfg_destroy(&doc);
    fl_arena_destroy(&m.arena);
}

// ------------------------------------------------------------------- finding

static int find_class(const data_spec *spec, const char *name)
{
    for (size_t k = 0; k < spec->n_classes; k++) {
        if (strcmp(spec->classes[k], name) == 0) {
            return (int)k;
        }
    }
    return DATA_LABEL_IGNORED;
}

/* "normal, effusion" */
static void list_classes(char *out, size_t size, const data_spec *spec)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t k = 0; k < spec->n_classes && at < size; k++) {
        at += (size_t)snprintf(out + at, size - at, "%s%s", k > 0 ? ", " : "", spec->classes[k]);
    }
}

static fl_status check_named_classes(const data_label_map *m, const data_spec *model, fl_err *err)
{
    char classes[512];
    if (find_class(model, ignore) != DATA_LABEL_IGNORED) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: the model has a class that is called ignore, which a label map needs "
                       "for labels out of scope", m->name);
    }
    for (size_t i = 0; i < m->n; i++) {
        const mapped *e = &m->entry[i];
        if (strcmp(e->to, ignore) != 0 && find_class(model, e->to) == DATA_LABEL_IGNORED) {
            list_classes(classes, sizeof classes, model);
            return fl_fail(err, FL_ECONFIG,
                           "%s:%d: %.60s: expected a class of the model (%s) or ignore, found %.60s",
                           m->name, e->line, e->label, classes, e->to);
        }
    }
    return FL_OK;
}

fl_status data_label_map_find(int *to, const data_label_map *m, const data_spec *own,
                              const data_spec *model, fl_err *err)
{
    fl_status st = check_named_classes(m, model, err);
    if (st != FL_OK) {
        return st;
    }
    for (size_t k = 0; k < own->n_classes; k++) {
        size_t i = 0;
        while (i < m->n && !data_same_text(m->entry[i].label, own->classes[k])) {
            i++;
        }
        if (i == m->n) {
            return fl_fail(err, FL_ECONFIG,
                           "%s: does not name the label %s of this data set; give its class, or "
                           "ignore", m->name, own->classes[k]);
        }
        to[k] = find_class(model, m->entry[i].to);
    }
    return FL_OK;
}

// ------------------------------------------------------------------- mapping

static bool has_label(const data_set *s, const data_entry *e, size_t k)
{
    return s->spec.task == DATA_CLASSIFY ? e->code == (int)k
                                         : e->target != NULL && e->target[k] == 1.0f;
}

static json_t *count_labels(const data_set *s, const int *to, const data_spec *model)
{
    json_t *list = json_array();
    for (size_t k = 0; k < s->spec.n_classes; k++) {
        json_t *one = json_pack("{s:s}", "label", s->spec.classes[k]);
        json_object_set_new(one, "class", to[k] == DATA_LABEL_IGNORED
                                              ? json_null()
                                              : json_string(model->classes[to[k]]));
        for (int split = 0; split < DATA_N_SPLITS; split++) {
            json_int_t n = 0;
            for (size_t i = 0; i < s->n_split[split]; i++) {
                n += has_label(s, &s->entries[s->by_split[split][i]], k);
            }
            json_object_set_new(one, data_split_name((data_split)split), json_integer(n));
        }
        json_array_append_new(list, one);
    }
    return list;
}

/* Drops the cases whose label is ignored. */
static void map_codes(data_set *s, const int *to)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        data_entry e = s->entries[i];
        if (e.code >= 0 && to[e.code] == DATA_LABEL_IGNORED) {
            continue;
        }
        e.code = e.code >= 0 ? to[e.code] : e.code;
        s->entries[kept++] = e;
    }
    data_set_refuse(s, out_of_scope, s->n - kept);
    s->n = kept;
}

/* Of the findings that are one class: present before unlabelled before absent. */
static void map_findings(data_set *s, const int *to, size_t n_classes)
{
    for (size_t i = 0; i < s->n; i++) {
        data_entry *e = &s->entries[i];
        if (e->target == NULL) {
            continue;
        }
        float *target = fl_arena_alloc(s->arena, n_classes, sizeof *target);
        bool said[DATA_MAX_CLASSES] = {false};
        for (size_t k = 0; k < n_classes; k++) {
            target[k] = NAN;
        }
        for (size_t k = 0; k < s->spec.n_classes; k++) {
            if (to[k] == DATA_LABEL_IGNORED) {
                continue;
            }
            float *t = &target[to[k]], own = e->target[k];
            *t = !said[to[k]] ? own : *t == 1.0f || own == 1.0f ? 1.0f : *t + own;
            said[to[k]] = true;
        }
        e->target = target;
    }
}

fl_status data_set_map_labels(data_set *s, json_t **labels, const data_label_map *m,
                              const data_spec *model, fl_err *err)
{
    int to[DATA_MAX_CLASSES];
    fl_status st;

    *labels = NULL;
    if (s->spec.task != DATA_CLASSIFY && s->spec.task != DATA_MULTILABEL) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: a label map is for the tasks classify and multilabel; this data set "
                       "is of task %s", m->name, data_task_name(s->spec.task));
    }
    if ((st = data_label_map_find(to, m, &s->spec, model, err)) != FL_OK) {
        return st;
    }
    *labels = count_labels(s, to, model);
    if (s->spec.task == DATA_CLASSIFY) {
        map_codes(s, to);
    } else {
        map_findings(s, to, model->n_classes);
    }
    memcpy(s->spec.classes, model->classes, sizeof s->spec.classes);
    s->spec.n_classes = model->n_classes;
    s->spec.positive = model->positive;
    data_set_index(s);
    return data_split_check(s, m->name, err);  // numbers the patients that are left
}
