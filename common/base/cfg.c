/*
 * cfg.c - places in a document, complaints about them, and unknown keys
 *
 * See cfg.h.  Text becomes a document in cfg_read.c, values are taken out in
 * cfg_get.c, and cfg_edit.c changes documents and writes them.
 */
#include "base/cfg_doc.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEY = 64 };  // longest key that gets a spelling suggestion

char *cfg_keep(fl_cfg *c, const char *text)
{
    return fl_arena_strdup(c->arena, text);
}

yaml_node_t *cfg_node(fl_node n)
{
    return n.cfg == NULL || n.id <= 0 ? NULL : yaml_document_get_node(&n.cfg->doc, n.id);
}

const char *cfg_scalar(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

bool cfg_plain_null(const yaml_node_t *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return false;
    }
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++) {
        if (strcmp(cfg_scalar(node), nulls[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool fl_cfg_ok(const fl_cfg *c)
{
    return c->complaint.status == FL_OK;
}

const char *fl_cfg_name(const fl_cfg *c)
{
    return c->name;
}

const char *fl_cfg_dir(const fl_cfg *c)
{
    return c->dir;
}

// ----------------------------------------------------- places and complaints

/* Appends the dotted path of a node: "hospitals[2].patients". */
void cfg_add_path(fl_cfg *c, int id, fl_buf *out)
{
    if (id < 0) {
        const cfg_missing *m = &c->missing[-id - 1];
        cfg_add_path(c, m->parent, out);
        bool is_item = strcmp(m->key, "[]") == 0;
        fl_buf_printf(out, "%s%s", out->n > 0 && !is_item ? "." : "", m->key);
        return;
    }
    if (id <= 1) {
        return;
    }
    int parent = c->info[id].parent;
    cfg_add_path(c, parent, out);
    yaml_node_t *in = yaml_document_get_node(&c->doc, parent);
    if (in->type == YAML_SEQUENCE_NODE) {
        for (yaml_node_item_t *i = in->data.sequence.items.start; i < in->data.sequence.items.top;
             i++) {
            if (*i == id) {
                fl_buf_printf(out, "[%td]", i - in->data.sequence.items.start);
            }
        }
        return;
    }
    for (yaml_node_pair_t *p = in->data.mapping.pairs.start; p < in->data.mapping.pairs.top; p++) {
        if (p->key == id || p->value == id) {
            const yaml_node_t *key = yaml_document_get_node(&c->doc, p->key);
            fl_buf_printf(out, "%s%s", out->n > 0 ? "." : "", cfg_scalar(key));
        }
    }
}

/* The nearest place around a node that the document has; 0 = none. */
static int present_place(const fl_cfg *c, int id)
{
    while (id < 0) {
        id = c->missing[-id - 1].parent;
    }
    return id;
}

int fl_cfg_line(fl_node n)
{
    yaml_node_t *node = cfg_node(n);
    return node == NULL ? 0 : (int)node->start_mark.line + 1;
}

/* Keeps text as the complaint about a place unless there is one already. */
void cfg_complain_at(fl_cfg *c, int id, const char *text)
{
    if (c->complaint.status != FL_OK || c->describe != NULL) {
        return;
    }
    int at = present_place(c, id);
    if (at > 0 && c->info[at].origin != NULL) {
        fl_fail(&c->complaint, FL_ECONFIG, "%s: %s", c->info[at].origin, text);
    } else if (at > 0) {
        fl_fail(&c->complaint, FL_ECONFIG, "%s:%d: %s", c->name, fl_cfg_line((fl_node){c, at}),
                text);
    } else {
        fl_fail(&c->complaint, FL_ECONFIG, "%s: %s", c->name, text);
    }
}

void fl_cfg_complain(fl_node n, const char *fmt, ...)
{
    FL_REQUIRE(n.cfg != NULL);
    char text[FL_ERR_TEXT];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cfg_complain_at(n.cfg, n.id, text);
}

/* As fl_cfg_complain with the place's path in front: "local.lr: expected". */
void cfg_complain(fl_node n, const char *fmt, ...)
{
    if (n.cfg == NULL) {
        return;
    }
    fl_buf text = FL_BUF_INIT;
    char what[FL_ERR_TEXT];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    cfg_add_path(n.cfg, n.id, &text);
    fl_buf_printf(&text, "%s%s", text.n > 0 ? ": " : "", what);
    cfg_complain_at(n.cfg, n.id, text.data);
    fl_buf_clear(&text);
}

/* What stands at a node, for "found ...". */
const char *cfg_found(fl_node n)
{
    const yaml_node_t *node = cfg_node(n);
    if (node == NULL) {
        return "nothing";
    }
    switch (node->type) {
    case YAML_MAPPING_NODE:
        return "a mapping";
    case YAML_SEQUENCE_NODE:
        return "a list";
    default:
        break;
    }
    bool quoted = node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    char text[80];
    snprintf(text, sizeof text, "%s%.60s%s", quoted ? "the text \"" : "", cfg_scalar(node),
             quoted ? "\"" : "");
    return cfg_keep(n.cfg, text[0] != '\0' ? text : "nothing");
}

// ----------------------------------------------------------------- children

fl_node fl_cfg_root(fl_cfg *c)
{
    return (fl_node){c, yaml_document_get_root_node(&c->doc) != NULL ? 1 : 0};
}

bool cfg_describing(fl_node n)
{
    return n.cfg != NULL && n.cfg->describe != NULL;
}

bool fl_cfg_present(fl_node n)
{
    return cfg_describing(n) || cfg_node(n) != NULL;
}

bool fl_cfg_is_null(fl_node n)
{
    const yaml_node_t *node = cfg_node(n);
    return node != NULL && cfg_plain_null(node);
}

bool cfg_is_type(fl_node n, yaml_node_type_t type)
{
    const yaml_node_t *node = cfg_node(n);
    return node != NULL && node->type == type;
}

bool fl_cfg_is_map(fl_node n)
{
    return cfg_describing(n) || cfg_is_type(n, YAML_MAPPING_NODE);
}

bool fl_cfg_is_list(fl_node n)
{
    return cfg_describing(n) || cfg_is_type(n, YAML_SEQUENCE_NODE);
}

bool fl_cfg_is_scalar(fl_node n)
{
    return !cfg_describing(n) && cfg_is_type(n, YAML_SCALAR_NODE);
}

static fl_node missing_node(fl_node parent, const char *key)
{
    fl_cfg *c = parent.cfg;
    if (c == NULL) {
        return (fl_node){NULL, 0};
    }
    c->missing = fl_xrealloc(c->missing, c->n_missing + 1, sizeof *c->missing);
    c->missing[c->n_missing++] = (cfg_missing){parent.id, cfg_keep(c, key)};
    return (fl_node){c, -(int)c->n_missing};
}

/* The pair of a mapping with this key, or NULL. */
yaml_node_pair_t *cfg_find_pair(fl_cfg *c, int map, const char *key)
{
    const yaml_node_t *node = yaml_document_get_node(&c->doc, map);
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
         p++) {
        if (strcmp(cfg_scalar(yaml_document_get_node(&c->doc, p->key)), key) == 0) {
            return p;
        }
    }
    return NULL;
}

static void note_asked(fl_cfg *c, int map, const char *key)
{
    // Readers ask one mapping at a time: what was asked of it stands last.
    for (size_t i = c->n_asked; i > 0 && c->asked[i - 1].map == map; i--) {
        if (strcmp(c->asked[i - 1].key, key) == 0) {
            return;
        }
    }
    c->asked = fl_xrealloc(c->asked, c->n_asked + 1, sizeof *c->asked);
    c->asked[c->n_asked++] = (cfg_asked){map, cfg_keep(c, key)};
}

fl_node cfg_child(fl_node map, const char *key)
{
    const yaml_node_t *node = cfg_node(map);
    if (node == NULL || cfg_plain_null(node)) {
        return missing_node(map, key);
    }
    if (node->type != YAML_MAPPING_NODE) {
        cfg_complain(map, "expected a mapping, found %s", cfg_found(map));
        return missing_node(map, key);
    }
    note_asked(map.cfg, map.id, key);
    const yaml_node_pair_t *pair = cfg_find_pair(map.cfg, map.id, key);
    if (pair == NULL) {
        return missing_node(map, key);
    }
    map.cfg->info[pair->key].known = true;
    return (fl_node){map.cfg, pair->value};
}

bool fl_cfg_has(fl_node map, const char *key)
{
    fl_node n = cfg_child(map, key);
    return fl_cfg_present(n) && !fl_cfg_is_null(n);
}

fl_node fl_cfg_get(fl_node map, const char *key, const char *help)
{
    fl_node n = cfg_child(map, key);
    if (cfg_describing(n)) {
        cfg_describe(n, "any", "", "", help);
    }
    return n;
}

/* A child of the wanted type; absent when null or, after a complaint, when it
 * is something else. */
static fl_node typed_child(fl_node map, const char *key, yaml_node_type_t type,
                           const char *type_name, const char *help)
{
    fl_node n = cfg_child(map, key);
    if (cfg_describing(n)) {
        cfg_describe(n, type_name, "", "", help);
        return n;
    }
    if (cfg_node(n) == NULL || cfg_is_type(n, type)) {
        return n;
    }
    if (!fl_cfg_is_null(n)) {
        cfg_complain(n, "expected a %s, found %s", type_name, cfg_found(n));
    }
    return missing_node(map, key);
}

fl_node fl_cfg_map(fl_node map, const char *key, const char *help)
{
    return typed_child(map, key, YAML_MAPPING_NODE, "mapping", help);
}

fl_node fl_cfg_list(fl_node map, const char *key, const char *help)
{
    return typed_child(map, key, YAML_SEQUENCE_NODE, "list", help);
}

size_t fl_cfg_count(fl_node n)
{
    const yaml_node_t *node = cfg_node(n);
    if (cfg_describing(n)) {
        return 1;  // one item stands for all
    }
    if (node != NULL && node->type == YAML_SEQUENCE_NODE) {
        return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    }
    if (node != NULL && node->type == YAML_MAPPING_NODE) {
        return (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    }
    return 0;
}

fl_node fl_cfg_item(fl_node list, size_t i)
{
    if (cfg_describing(list)) {
        return missing_node(list, "[]");
    }
    const yaml_node_t *node = cfg_node(list);
    if (node == NULL || node->type != YAML_SEQUENCE_NODE || i >= fl_cfg_count(list)) {
        return missing_node(list, "[]");
    }
    return (fl_node){list.cfg, node->data.sequence.items.start[i]};
}

fl_node fl_cfg_pair(fl_node map, size_t i, const char **key)
{
    *key = "NAME";
    if (cfg_describing(map)) {
        return missing_node(map, "NAME");
    }
    const yaml_node_t *node = cfg_node(map);
    if (node == NULL || node->type != YAML_MAPPING_NODE || i >= fl_cfg_count(map)) {
        return missing_node(map, "NAME");
    }
    yaml_node_pair_t pair = node->data.mapping.pairs.start[i];
    map.cfg->info[pair.key].known = true;
    *key = cfg_scalar(yaml_document_get_node(&map.cfg->doc, pair.key));
    return (fl_node){map.cfg, pair.value};
}

// ------------------------------------------------------------- unknown keys

/* Edit distance, for words of at most MAX_KEY characters. */
static size_t distance(const char *a, const char *b)
{
    size_t row[MAX_KEY + 1];
    size_t n = strlen(b);
    if (strlen(a) > MAX_KEY || n > MAX_KEY) {
        return MAX_KEY;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

/* Names the known key that was probably meant, else all that are known. */
bool cfg_complain_misspelt(fl_node absent)
{
    fl_cfg *c = absent.cfg;
    if (c == NULL || absent.id >= 0 || c->missing[-absent.id - 1].parent <= 0) {
        return false;
    }
    const cfg_missing *want = &c->missing[-absent.id - 1];
    const yaml_node_t *map = yaml_document_get_node(&c->doc, want->parent);
    if (map == NULL || map->type != YAML_MAPPING_NODE) {
        return false;
    }
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const char *key = cfg_scalar(yaml_document_get_node(&c->doc, p->key));
        size_t d = distance(key, want->key);
        if (!c->info[p->key].known && d < 3 && 2 * d <= strlen(key)) {
            cfg_complain((fl_node){c, p->key}, "unknown key; did you mean %s?", want->key);
            return true;
        }
    }
    return false;
}

static void complain_unknown(fl_cfg *c, int map, int key_id)
{
    const char *key = cfg_scalar(yaml_document_get_node(&c->doc, key_id));
    const char *meant = NULL;
    size_t nearest = 3;
    fl_buf known = FL_BUF_INIT;
    fl_buf_puts(&known, "");
    for (size_t i = 0; i < c->n_asked; i++) {
        if (c->asked[i].map != map) {
            continue;
        }
        size_t d = distance(key, c->asked[i].key);
        if (d < nearest && 2 * d <= strlen(key)) {
            nearest = d;
            meant = c->asked[i].key;
        }
        fl_buf_printf(&known, "%s%s", known.n > 0 ? ", " : "", c->asked[i].key);
    }
    fl_node n = {c, key_id};
    if (meant != NULL) {
        cfg_complain(n, "unknown key; did you mean %s?", meant);
    } else if (known.n > 0) {
        cfg_complain(n, "unknown key; known here: %s", known.data);
    } else {
        cfg_complain(n, "unknown key");
    }
    fl_buf_clear(&known);
}

static void check_known(fl_cfg *c, int id)
{
    const yaml_node_t *node = yaml_document_get_node(&c->doc, id);
    if (node->type == YAML_SEQUENCE_NODE) {
        for (yaml_node_item_t *i = node->data.sequence.items.start;
             i < node->data.sequence.items.top; i++) {
            check_known(c, *i);
        }
    } else if (node->type == YAML_MAPPING_NODE) {
        for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
             p < node->data.mapping.pairs.top && fl_cfg_ok(c); p++) {
            if (!c->info[p->key].known) {
                complain_unknown(c, id, p->key);
                return;
            }
            check_known(c, p->value);
        }
    }
}

fl_status fl_cfg_finish(fl_cfg *c, fl_err *err)
{
    if (fl_cfg_ok(c) && c->describe == NULL && fl_cfg_present(fl_cfg_root(c))) {
        check_known(c, 1);
    }
    return fl_cfg_ok(c) ? FL_OK : fl_fail(err, c->complaint.status, "%s", c->complaint.text);
}
