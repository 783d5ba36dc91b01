/*
 * cfg_edit.c - values set from a command line, documents written as YAML
 */
#include "base/cfg_doc.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

/* A copy of a node of this or another document; the new node's number. */
static int copy_node(fl_cfg *c, yaml_document_t *from, int id, const char *origin)
{
    // By value: adding nodes moves them.
    const yaml_node_t node = *yaml_document_get_node(from, id);
    int copy = 0;
    if (node.type == YAML_SCALAR_NODE) {
        copy = yaml_document_add_scalar(&c->doc, NULL, node.data.scalar.value,
                                        (int)node.data.scalar.length, node.data.scalar.style);
    } else if (node.type == YAML_SEQUENCE_NODE) {
        copy = yaml_document_add_sequence(&c->doc, NULL, YAML_FLOW_SEQUENCE_STYLE);
        for (yaml_node_item_t *i = node.data.sequence.items.start; i < node.data.sequence.items.top;
             i++) {
            int item = copy_node(c, from, *i, origin);
            FL_REQUIRE(yaml_document_append_sequence_item(&c->doc, copy, item));
            c->info[item].parent = copy;
        }
    } else {
        copy = yaml_document_add_mapping(&c->doc, NULL, YAML_FLOW_MAPPING_STYLE);
        for (yaml_node_pair_t *p = node.data.mapping.pairs.start; p < node.data.mapping.pairs.top;
             p++) {
            int key = copy_node(c, from, p->key, origin);
            int value = copy_node(c, from, p->value, origin);
            FL_REQUIRE(yaml_document_append_mapping_pair(&c->doc, copy, key, value));
            c->info[key].parent = copy;
            c->info[value].parent = copy;
        }
    }
    FL_REQUIRE(copy > 0);
    cfg_grow(c);
    c->info[copy].origin = origin;
    if (from == &c->doc) {
        yaml_document_get_node(&c->doc, copy)->start_mark = node.start_mark;
    }
    return copy;
}

static int add_scalar(fl_cfg *c, const char *text, yaml_scalar_style_t style, const char *origin)
{
    int id = yaml_document_add_scalar(&c->doc, NULL, (const yaml_char_t *)text, -1, style);
    FL_REQUIRE(id > 0);
    cfg_grow(c);
    c->info[id].origin = origin;
    return id;
}

static int add_mapping(fl_cfg *c, const char *origin)
{
    int id = yaml_document_add_mapping(&c->doc, NULL, YAML_ANY_MAPPING_STYLE);
    FL_REQUIRE(id > 0);
    cfg_grow(c);
    c->info[id].origin = origin;
    return id;
}

/* The item of a list whose `name:` is word, or whose index it is; NULL if
 * there is none. */
static yaml_node_item_t *find_item(fl_cfg *c, int list, const char *word)
{
    const yaml_node_t *node = yaml_document_get_node(&c->doc, list);
    yaml_node_item_t *items = node->data.sequence.items.start;
    int64_t n = node->data.sequence.items.top - items;
    for (int64_t i = 0; i < n; i++) {
        if (!cfg_is_type((fl_node){c, items[i]}, YAML_MAPPING_NODE)) {
            continue;
        }
        const yaml_node_pair_t *name = cfg_find_pair(c, items[i], "name");
        fl_node value = {c, name != NULL ? name->value : 0};
        if (cfg_is_type(value, YAML_SCALAR_NODE) &&
            strcmp(cfg_scalar(cfg_node(value)), word) == 0) {
            return &items[i];
        }
    }
    int64_t index;
    return cfg_parse_int(&index, word) && index >= 0 && index < n ? &items[index] : NULL;
}

/* Goes one step down from *at, making a mapping where there is nothing; with
 * value > 0 puts that node there instead.  NULL, or what is wrong. */
static const char *step_down(fl_cfg *c, int *at, const char *word, int value, const char *origin)
{
    const yaml_node_t *node = yaml_document_get_node(&c->doc, *at);
    if (node->type == YAML_SCALAR_NODE) {
        return "is not a mapping";
    }
    if (node->type == YAML_SEQUENCE_NODE) {
        yaml_node_item_t *item = find_item(c, *at, word);
        if (item == NULL) {
            return "has no item of that name";
        }
        if (value > 0) {
            *item = value;
            c->info[value].parent = *at;
        }
        *at = *item;
        return NULL;
    }
    yaml_node_pair_t *pair = cfg_find_pair(c, *at, word);
    if (pair != NULL && value == 0 && !fl_cfg_is_null((fl_node){c, pair->value})) {
        *at = pair->value;
        return NULL;
    }
    if (value == 0) {
        value = add_mapping(c, origin);
        pair = cfg_find_pair(c, *at, word);  // adding may have moved the nodes
    }
    c->info[value].parent = *at;
    if (pair != NULL) {
        pair->value = value;
    } else {
        int key = add_scalar(c, word, YAML_ANY_SCALAR_STYLE, origin);
        c->info[key].parent = *at;
        FL_REQUIRE(yaml_document_append_mapping_pair(&c->doc, *at, key, value));
    }
    *at = value;
    return NULL;
}

static fl_status set_value(fl_cfg *c, const char *path, int value, const char *origin, fl_err *err)
{
    char *words = fl_xstrdup(path);
    fl_status st = FL_OK;
    int at = 1;  // the root
    int depth = 0;
    for (char *word = words, *next; word != NULL && st == FL_OK; word = next) {
        char *dot = strchr(word, '.');
        next = dot != NULL ? dot + 1 : NULL;
        if (dot != NULL) {
            *dot = '\0';
        }
        const char *problem = *word == '\0' ? "has an empty name in it" : NULL;
        if (problem == NULL) {
            problem = step_down(c, &at, word, dot == NULL ? value : 0, origin);
        }
        if (problem == NULL && ++depth > CFG_MAX_DEPTH) {
            problem = "is too deep";
        }
        if (problem != NULL) {
            int end = (int)(word - words) - 1;  // what was reached so far
            st = *word == '\0' || end <= 0
                     ? fl_fail(err, FL_EUSAGE, "%s: %s %s", origin, path, problem)
                     : fl_fail(err, FL_EUSAGE, "%s: %.*s %s", origin, end, path, problem);
        }
    }
    free(words);
    return st;
}

fl_status fl_cfg_set(fl_cfg *c, const char *path, const char *value, fl_err *err)
{
    fl_cfg *parsed = NULL;
    char *origin_text = fl_xasprintf("--set %s=%s", path, value);
    const char *origin = cfg_keep(c, origin_text);
    free(origin_text);
    if (fl_cfg_parse(&parsed, value, strlen(value), origin, c->dir, err) != FL_OK) {
        return FL_EUSAGE;
    }
    if (!fl_cfg_present(fl_cfg_root(c))) {
        add_mapping(c, origin);  // the first node is the root
    }
    bool empty = !fl_cfg_present(fl_cfg_root(parsed));
    int id = empty ? add_scalar(c, "null", YAML_PLAIN_SCALAR_STYLE, origin)
                   : copy_node(c, &parsed->doc, 1, origin);
    fl_cfg_destroy(&parsed);
    return set_value(c, path, id, origin, err);
}

static int add_emitted(void *out, unsigned char *bytes, size_t n)
{
    fl_buf_add(out, bytes, n);
    return 1;
}

static fl_status emit_scalar(yaml_emitter_t *emitter, const yaml_node_t *node, bool expand,
                             fl_err *err)
{
    char *text = NULL;
    fl_status st = FL_OK;
    if (expand) {
        st = fl_expand_env(&text, cfg_scalar(node), err);
    } else {
        text = fl_xstrdup(cfg_scalar(node));
    }
    if (st != FL_OK) {
        return st;
    }
    yaml_event_t event;
    FL_REQUIRE(yaml_scalar_event_initialize(&event, NULL, NULL, (yaml_char_t *)text,
                                            (int)strlen(text), 1, 1, node->data.scalar.style));
    free(text);
    FL_REQUIRE(yaml_emitter_emit(emitter, &event));
    return FL_OK;
}

static fl_status emit_node(yaml_emitter_t *emitter, fl_cfg *c, int id, bool expand, fl_err *err)
{
    const yaml_node_t *node = yaml_document_get_node(&c->doc, id);
    yaml_event_t event;
    fl_status st = FL_OK;
    if (node->type == YAML_SCALAR_NODE) {
        st = emit_scalar(emitter, node, expand, err);
        return st == FL_OK ? st : fl_wrap(err, st, "%s:%d", c->name, fl_cfg_line((fl_node){c, id}));
    }
    if (node->type == YAML_SEQUENCE_NODE) {
        FL_REQUIRE(yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                        node->data.sequence.style) &&
                   yaml_emitter_emit(emitter, &event));
        for (yaml_node_item_t *i = node->data.sequence.items.start;
             i < node->data.sequence.items.top && st == FL_OK; i++) {
            st = emit_node(emitter, c, *i, expand, err);
        }
        FL_REQUIRE(st != FL_OK || (yaml_sequence_end_event_initialize(&event) &&
                                   yaml_emitter_emit(emitter, &event)));
        return st;
    }
    FL_REQUIRE(
        yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, node->data.mapping.style) &&
        yaml_emitter_emit(emitter, &event));
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top && st == FL_OK; p++) {
        c->info[p->key].known = true;
        if ((st = emit_node(emitter, c, p->key, false, err)) == FL_OK) {
            st = emit_node(emitter, c, p->value, expand, err);
        }
    }
    FL_REQUIRE(st != FL_OK ||
               (yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event)));
    return st;
}

fl_status fl_cfg_emit(fl_node n, bool expand, fl_buf *out, fl_err *err)
{
    if (cfg_node(n) == NULL) {
        fl_buf_puts(out, "{}\n");
        return FL_OK;
    }
    yaml_emitter_t emitter;
    yaml_event_t event;
    FL_REQUIRE(yaml_emitter_initialize(&emitter));
    yaml_emitter_set_output(&emitter, add_emitted, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    FL_REQUIRE(yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
               yaml_emitter_emit(&emitter, &event));
    FL_REQUIRE(yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
               yaml_emitter_emit(&emitter, &event));
    fl_status st = emit_node(&emitter, n.cfg, n.id, expand, err);
    if (st == FL_OK) {
        FL_REQUIRE(yaml_document_end_event_initialize(&event, 1) &&
                   yaml_emitter_emit(&emitter, &event));
        FL_REQUIRE(yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(&emitter, &event));
    }
    yaml_emitter_delete(&emitter);
    return st;
}

/* Number of pairs of a mapping; adding nodes does not change it. */
static int pair_count(fl_cfg *c, int map)
{
    const yaml_node_t *node = yaml_document_get_node(&c->doc, map);
    return (int)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
}

static yaml_node_pair_t pair_at(fl_cfg *c, int map, int i)
{
    return yaml_document_get_node(&c->doc, map)->data.mapping.pairs.start[i];
}

static void inherit(fl_cfg *c, int into, int from)
{
    for (int i = 0; i < pair_count(c, from); i++) {
        yaml_node_pair_t theirs = pair_at(c, from, i);
        const char *key = cfg_scalar(yaml_document_get_node(&c->doc, theirs.key));
        const yaml_node_pair_t *own = cfg_find_pair(c, into, key);
        if (own == NULL) {
            const char *origin = c->info[theirs.key].origin;
            int name = copy_node(c, &c->doc, theirs.key, origin);
            int value = copy_node(c, &c->doc, theirs.value, origin);
            FL_REQUIRE(yaml_document_append_mapping_pair(&c->doc, into, name, value));
            c->info[name].parent = into;
            c->info[value].parent = into;
        } else if (cfg_is_type((fl_node){c, own->value}, YAML_MAPPING_NODE) &&
                   cfg_is_type((fl_node){c, theirs.value}, YAML_MAPPING_NODE)) {
            inherit(c, own->value, theirs.value);
        }
    }
}

void fl_cfg_inherit(fl_node into, fl_node from)
{
    if (into.id > 0 && from.id > 0 && into.cfg == from.cfg && fl_cfg_is_map(into) &&
        fl_cfg_is_map(from)) {
        inherit(into.cfg, into.id, from.id);
    }
}
