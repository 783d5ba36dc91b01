/*
 * cfg.c - see cfg.h
 *
 * The text is read twice: once as events, to refuse what we do not want to
 * hold (aliases, tags, too much depth) before it is built, and once as
 * libyaml's document, whose nodes keep their lines.  A place that a reader
 * asked for and the document lacks gets a negative node number, so that a
 * complaint about it can still say where it belongs.
 */
#include "base/cfg.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "base/sys.h"

enum {
    MAX_BYTES = 1024 * 1024,  // of a file
    MAX_DEPTH = 32,           // of nested mappings and lists
    MAX_KEY = 64              // longest key that gets a spelling suggestion
};

typedef struct {
    int parent;          // the mapping or list the node is in; 0 = root
    bool known;          // for keys: a reader asked for it
    const char *origin;  // "--set a.b=3"; NULL = from the file
} node_info;

typedef struct {
    int parent;       // where the place would be
    const char *key;  // "[]": any item of a list
} missing_place;

typedef struct {
    int map;
    const char *key;
} asked_key;

struct fl_cfg {
    yaml_document_t doc;
    char *name;             // in messages
    char *dir;              // relative paths start here
    fl_arena *arena;        // text that is given out
    node_info *info;        // [node number]
    size_t n_info;
    missing_place *missing; // [-node number - 1]
    size_t n_missing;
    asked_key *asked;       // what readers know, for suggestions
    size_t n_asked;
    fl_err complaint;       // the first one
    FILE *describe;         // print the reference instead of reading
    const char **described; // paths printed so far
    size_t n_described;
};

static char *keep(fl_cfg *c, const char *text)
{
    return fl_arena_strdup(c->arena, text);
}

static yaml_node_t *node_of(fl_node n)
{
    return n.cfg == NULL || n.id <= 0 ? NULL : yaml_document_get_node(&n.cfg->doc, n.id);
}

static const char *scalar_text(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

static bool is_plain_null(const yaml_node_t *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->type != YAML_SCALAR_NODE ||
        node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return false;
    }
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++) {
        if (strcmp(scalar_text(node), nulls[i]) == 0) {
            return true;
        }
    }
    return false;
}

// ----------------------------------------------------- places and complaints

/* Appends the dotted path of a node: "hospitals[2].patients". */
static void add_path(fl_cfg *c, int id, fl_buf *out)
{
    if (id < 0) {
        const missing_place *m = &c->missing[-id - 1];
        add_path(c, m->parent, out);
        bool is_item = strcmp(m->key, "[]") == 0;
        fl_buf_printf(out, "%s%s", out->n > 0 && !is_item ? "." : "", m->key);
        return;
    }
    if (id <= 1) {
        return;
    }
    int parent = c->info[id].parent;
    add_path(c, parent, out);
    yaml_node_t *in = yaml_document_get_node(&c->doc, parent);
    if (in->type == YAML_SEQUENCE_NODE) {
        for (yaml_node_item_t *i = in->data.sequence.items.start;
             i < in->data.sequence.items.top; i++) {
            if (*i == id) {
                fl_buf_printf(out, "[%td]", i - in->data.sequence.items.start);
            }
        }
        return;
    }
    for (yaml_node_pair_t *p = in->data.mapping.pairs.start;
         p < in->data.mapping.pairs.top; p++) {
        if (p->key == id || p->value == id) {
            const yaml_node_t *key = yaml_document_get_node(&c->doc, p->key);
            fl_buf_printf(out, "%s%s", out->n > 0 ? "." : "", scalar_text(key));
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
    yaml_node_t *node = node_of(n);
    return node == NULL ? 0 : (int)node->start_mark.line + 1;
}

/* Keeps text as the complaint about a place unless there is one already. */
static void complain_at(fl_cfg *c, int id, const char *text)
{
    if (c->complaint.status != FL_OK || c->describe != NULL) {
        return;
    }
    int at = present_place(c, id);
    if (at > 0 && c->info[at].origin != NULL) {
        fl_fail(&c->complaint, FL_ECONFIG, "%s: %s", c->info[at].origin, text);
    } else if (at > 0) {
        fl_fail(&c->complaint, FL_ECONFIG, "%s:%d: %s", c->name,
                fl_cfg_line((fl_node){c, at}), text);
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
    complain_at(n.cfg, n.id, text);
}

/* As fl_cfg_complain with the place's path in front: "local.lr: expected". */
static void complain(fl_node n, const char *fmt, ...) FL_PRINTF(2, 3);
static void complain(fl_node n, const char *fmt, ...)
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
    add_path(n.cfg, n.id, &text);
    fl_buf_printf(&text, "%s%s", text.n > 0 ? ": " : "", what);
    complain_at(n.cfg, n.id, text.data);
    fl_buf_clear(&text);
}

/* What stands at a node, for "found ...". */
static const char *found(fl_node n)
{
    const yaml_node_t *node = node_of(n);
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
    snprintf(text, sizeof text, "%s%.60s%s", quoted ? "the text \"" : "", scalar_text(node),
             quoted ? "\"" : "");
    return keep(n.cfg, text[0] != '\0' ? text : "nothing");
}

// ------------------------------------------------------------------ reading

static fl_status yaml_problem(const fl_cfg *c, const yaml_parser_t *parser, fl_err *err)
{
    const char *problem = parser->problem != NULL ? parser->problem : "out of memory";
    if (parser->error == YAML_READER_ERROR) {
        return fl_fail(err, FL_ECONFIG, "%s: byte %zu: not YAML: %s", c->name,
                       parser->problem_offset, problem);
    }
    return fl_fail(err, FL_ECONFIG, "%s:%zu: not YAML: %s%s%s", c->name,
                   parser->problem_mark.line + 1, problem,
                   parser->context != NULL ? " " : "",
                   parser->context != NULL ? parser->context : "");
}

typedef struct {
    int depth;        // of open mappings and lists
    int n_documents;
} event_state;

/* What is wrong with an event, or NULL. */
static const char *event_problem(event_state *s, const yaml_event_t *event)
{
    const yaml_char_t *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return "aliases (*name) are not supported; write the value out";
    case YAML_DOCUMENT_START_EVENT:
        if (++s->n_documents > 1) {
            return "a second document (---) in one file";
        }
        return NULL;
    case YAML_SCALAR_EVENT:
        tag = event->data.scalar.tag;
        if (strlen((const char *)event->data.scalar.value) != event->data.scalar.length) {
            return "a NUL character in a text";
        }
        break;
    case YAML_SEQUENCE_START_EVENT:
        tag = event->data.sequence_start.tag;
        s->depth++;
        break;
    case YAML_MAPPING_START_EVENT:
        tag = event->data.mapping_start.tag;
        s->depth++;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        s->depth--;
        break;
    default:
        break;
    }
    if (tag != NULL) {
        return "tags (!name) are not supported";
    }
    return s->depth > MAX_DEPTH ? "more than 32 levels deep" : NULL;
}

static fl_status check_events(const fl_cfg *c, const char *text, size_t n, fl_err *err)
{
    yaml_parser_t parser;
    event_state state = {0, 0};
    fl_status st = FL_OK;
    FL_REQUIRE(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    for (bool over = false; !over && st == FL_OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            st = yaml_problem(c, &parser, err);
            break;
        }
        const char *problem = event_problem(&state, &event);
        if (problem != NULL) {
            st = fl_fail(err, FL_ECONFIG, "%s:%zu: %s", c->name,
                         event.start_mark.line + 1, problem);
        }
        over = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return st;
}

static fl_status load_document(fl_cfg *c, const char *text, size_t n, fl_err *err)
{
    yaml_parser_t parser;
    fl_status st = FL_OK;
    FL_REQUIRE(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    yaml_document_delete(&c->doc);
    if (!yaml_parser_load(&parser, &c->doc)) {
        st = yaml_problem(c, &parser, err);
        memset(&c->doc, 0, sizeof c->doc);
    }
    yaml_parser_delete(&parser);
    const yaml_node_t *root = st == FL_OK ? yaml_document_get_root_node(&c->doc) : NULL;
    if (root == NULL || is_plain_null(root)) {  // only comments, or nothing
        yaml_document_delete(&c->doc);
        FL_REQUIRE(yaml_document_initialize(&c->doc, NULL, NULL, NULL, 1, 1));
    }
    return st;
}

static void grow_info(fl_cfg *c)
{
    size_t n = (size_t)(c->doc.nodes.top - c->doc.nodes.start) + 1;
    if (n <= c->n_info) {
        return;
    }
    c->info = fl_xrealloc(c->info, n, sizeof *c->info);
    memset(c->info + c->n_info, 0, (n - c->n_info) * sizeof *c->info);
    c->n_info = n;
}

typedef struct {
    const char *text;
    int id;
} key_entry;

static int by_text(const void *a, const void *b)
{
    const key_entry *x = a;
    const key_entry *y = b;
    int order = strcmp(x->text, y->text);
    return order != 0 ? order : x->id - y->id;
}

/* Refuses keys that are not text and keys that occur twice. */
static void check_keys(fl_cfg *c, int map)
{
    const yaml_node_t *node = yaml_document_get_node(&c->doc, map);
    size_t n = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    key_entry *keys = fl_xcalloc(n, sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        int id = node->data.mapping.pairs.start[i].key;
        const yaml_node_t *key = yaml_document_get_node(&c->doc, id);
        if (key->type != YAML_SCALAR_NODE) {
            complain_at(c, id, "a key must be a word, not a list or mapping");
            goto done;
        }
        keys[i] = (key_entry){scalar_text(key), id};
    }
    qsort(keys, n, sizeof *keys, by_text);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(keys[i - 1].text, keys[i].text) == 0) {
            complain((fl_node){c, keys[i].id}, "is there twice, first on line %d",
                     fl_cfg_line((fl_node){c, keys[i - 1].id}));
            break;
        }
    }
done:
    free(keys);
}

/* Notes every node's parent, and whether the keys are in order. */
static void index_document(fl_cfg *c)
{
    grow_info(c);
    for (int id = 1; id < (int)c->n_info; id++) {
        const yaml_node_t *node = yaml_document_get_node(&c->doc, id);
        if (node->type == YAML_SEQUENCE_NODE) {
            for (yaml_node_item_t *i = node->data.sequence.items.start;
                 i < node->data.sequence.items.top; i++) {
                c->info[*i].parent = id;
            }
        } else if (node->type == YAML_MAPPING_NODE) {
            for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
                 p < node->data.mapping.pairs.top; p++) {
                c->info[p->key].parent = id;
                c->info[p->value].parent = id;
            }
        }
    }
    for (int id = 1; id < (int)c->n_info; id++) {
        if (yaml_document_get_node(&c->doc, id)->type == YAML_MAPPING_NODE) {
            check_keys(c, id);
        }
    }
}

static fl_cfg *cfg_new(const char *name, const char *dir)
{
    fl_cfg *c = fl_xcalloc(1, sizeof *c);
    c->name = fl_xstrdup(name);
    c->dir = fl_xstrdup(dir);
    c->arena = fl_arena_new(4096);
    FL_REQUIRE(yaml_document_initialize(&c->doc, NULL, NULL, NULL, 1, 1));
    return c;
}

fl_status fl_cfg_parse(fl_cfg **out, const char *text, size_t n, const char *name,
                       const char *dir, fl_err *err)
{
    *out = NULL;
    if (n > MAX_BYTES) {
        return fl_fail(err, FL_ELIMIT, "%s: %zu bytes, at most %d are read", name, n,
                       MAX_BYTES);
    }
    fl_status st;
    fl_cfg *c = cfg_new(name, dir);
    if ((st = check_events(c, text, n, err)) != FL_OK ||
        (st = load_document(c, text, n, err)) != FL_OK) {
        goto done;
    }
    index_document(c);
    if (!fl_cfg_ok(c)) {
        st = fl_fail(err, FL_ECONFIG, "%s", c->complaint.text);
        goto done;
    }
    *out = c;
    c = NULL;  // now the caller's
done:
    fl_cfg_destroy(&c);
    return st;
}

fl_status fl_cfg_read(fl_cfg **out, const char *path, fl_err *err)
{
    char *text = NULL;
    char *dir = NULL;
    size_t n = 0;
    *out = NULL;
    fl_status st = fl_file_read(&text, &n, path, MAX_BYTES, err);
    if (st == FL_OK) {
        dir = fl_path_dir(path);
        st = fl_cfg_parse(out, text, n, path, dir, err);
    }
    free(dir);
    free(text);
    return st;
}

fl_cfg *fl_cfg_describe(FILE *out)
{
    fl_cfg *c = cfg_new("reference", ".");
    c->describe = out;
    return c;
}

void fl_cfg_destroy(fl_cfg **c)
{
    if (*c == NULL) {
        return;
    }
    yaml_document_delete(&(*c)->doc);
    free((*c)->name);
    free((*c)->dir);
    free((*c)->info);
    free((*c)->missing);
    free((*c)->asked);
    free((*c)->described);
    fl_arena_destroy(&(*c)->arena);
    FL_FREE(*c);
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

// ----------------------------------------------------------------- children

fl_node fl_cfg_root(fl_cfg *c)
{
    return (fl_node){c, yaml_document_get_root_node(&c->doc) != NULL ? 1 : 0};
}

static bool describing(fl_node n)
{
    return n.cfg != NULL && n.cfg->describe != NULL;
}

bool fl_cfg_present(fl_node n)
{
    return describing(n) || node_of(n) != NULL;
}

bool fl_cfg_is_null(fl_node n)
{
    const yaml_node_t *node = node_of(n);
    return node != NULL && is_plain_null(node);
}

static bool is_type(fl_node n, yaml_node_type_t type)
{
    const yaml_node_t *node = node_of(n);
    return node != NULL && node->type == type;
}

bool fl_cfg_is_map(fl_node n)
{
    return describing(n) || is_type(n, YAML_MAPPING_NODE);
}

bool fl_cfg_is_list(fl_node n)
{
    return describing(n) || is_type(n, YAML_SEQUENCE_NODE);
}

bool fl_cfg_is_scalar(fl_node n)
{
    return !describing(n) && is_type(n, YAML_SCALAR_NODE);
}

static fl_node missing_node(fl_node parent, const char *key)
{
    fl_cfg *c = parent.cfg;
    if (c == NULL) {
        return (fl_node){NULL, 0};
    }
    c->missing = fl_xrealloc(c->missing, c->n_missing + 1, sizeof *c->missing);
    c->missing[c->n_missing++] = (missing_place){parent.id, keep(c, key)};
    return (fl_node){c, -(int)c->n_missing};
}

/* The pair of a mapping with this key, or NULL. */
static yaml_node_pair_t *find_pair(fl_cfg *c, int map, const char *key)
{
    const yaml_node_t *node = yaml_document_get_node(&c->doc, map);
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top; p++) {
        if (strcmp(scalar_text(yaml_document_get_node(&c->doc, p->key)), key) == 0) {
            return p;
        }
    }
    return NULL;
}

static void note_asked(fl_cfg *c, int map, const char *key)
{
    for (size_t i = 0; i < c->n_asked; i++) {
        if (c->asked[i].map == map && strcmp(c->asked[i].key, key) == 0) {
            return;
        }
    }
    c->asked = fl_xrealloc(c->asked, c->n_asked + 1, sizeof *c->asked);
    c->asked[c->n_asked++] = (asked_key){map, keep(c, key)};
}

static fl_node child(fl_node map, const char *key)
{
    const yaml_node_t *node = node_of(map);
    if (node == NULL || is_plain_null(node)) {
        return missing_node(map, key);
    }
    if (node->type != YAML_MAPPING_NODE) {
        complain(map, "expected a mapping, found %s", found(map));
        return missing_node(map, key);
    }
    note_asked(map.cfg, map.id, key);
    const yaml_node_pair_t *pair = find_pair(map.cfg, map.id, key);
    if (pair == NULL) {
        return missing_node(map, key);
    }
    map.cfg->info[pair->key].known = true;
    return (fl_node){map.cfg, pair->value};
}

bool fl_cfg_has(fl_node map, const char *key)
{
    fl_node n = child(map, key);
    return fl_cfg_present(n) && !fl_cfg_is_null(n);
}

static void describe(fl_node n, const char *type, const char *range, const char *dflt,
                     const char *help);

fl_node fl_cfg_get(fl_node map, const char *key, const char *help)
{
    fl_node n = child(map, key);
    if (describing(n)) {
        describe(n, "any", "", "", help);
    }
    return n;
}

/* A child of the wanted type; absent when null or, after a complaint, when it
 * is something else. */
static fl_node typed_child(fl_node map, const char *key, yaml_node_type_t type,
                           const char *type_name, const char *help)
{
    fl_node n = child(map, key);
    if (describing(n)) {
        describe(n, type_name, "", "", help);
        return n;
    }
    if (node_of(n) == NULL || is_type(n, type)) {
        return n;
    }
    if (!fl_cfg_is_null(n)) {
        complain(n, "expected a %s, found %s", type_name, found(n));
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
    const yaml_node_t *node = node_of(n);
    if (describing(n)) {
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
    if (describing(list)) {
        return missing_node(list, "[]");
    }
    const yaml_node_t *node = node_of(list);
    if (node == NULL || node->type != YAML_SEQUENCE_NODE || i >= fl_cfg_count(list)) {
        return missing_node(list, "[]");
    }
    return (fl_node){list.cfg, node->data.sequence.items.start[i]};
}

fl_node fl_cfg_pair(fl_node map, size_t i, const char **key)
{
    *key = "NAME";
    if (describing(map)) {
        return missing_node(map, "NAME");
    }
    const yaml_node_t *node = node_of(map);
    if (node == NULL || node->type != YAML_MAPPING_NODE || i >= fl_cfg_count(map)) {
        return missing_node(map, "NAME");
    }
    yaml_node_pair_t pair = node->data.mapping.pairs.start[i];
    map.cfg->info[pair.key].known = true;
    *key = scalar_text(yaml_document_get_node(&map.cfg->doc, pair.key));
    return (fl_node){map.cfg, pair.value};
}

// ---------------------------------------------------------------- reference

/* Prints one line of the reference, once a path. */
static void describe(fl_node n, const char *type, const char *range, const char *dflt,
                     const char *help)
{
    fl_cfg *c = n.cfg;
    fl_buf path = FL_BUF_INIT;
    add_path(c, n.id, &path);
    bool is_new = path.n > 0;
    for (size_t i = 0; i < c->n_described && is_new; i++) {
        is_new = strcmp(c->described[i], path.data) != 0;
    }
    if (is_new) {
        c->described = fl_xrealloc(c->described, c->n_described + 1, sizeof *c->described);
        c->described[c->n_described++] = keep(c, path.data);
        fprintf(c->describe, "%-34s %-13s %-24s %-12s %s\n", path.data, type, range, dflt,
                help != NULL ? help : "");
    }
    fl_buf_clear(&path);
}

// ------------------------------------------------------------------ getters

/* Absent or null, so that the default holds; complains when it may not. */
static bool takes_default(fl_node n, bool required)
{
    if (node_of(n) != NULL && !fl_cfg_is_null(n)) {
        return false;
    }
    if (required) {
        complain(n, "is required");
    }
    return true;
}

/* The text of an unquoted scalar, or NULL. */
static const char *plain_text(fl_node n)
{
    const yaml_node_t *node = node_of(n);
    bool plain = node != NULL && node->type == YAML_SCALAR_NODE &&
                 node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return plain ? scalar_text(node) : NULL;
}

static bool parse_int(int64_t *out, const char *text)
{
    if (text == NULL || *text == '\0' || strspn(text, "+-0123456789") != strlen(text)) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

/* Decimal and finite: strtod alone would also take "nan", "inf" and "0x1". */
static bool parse_num(double *out, const char *text)
{
    if (text == NULL || *text == '\0' || strspn(text, "+-.eE0123456789") != strlen(text)) {
        return false;
    }
    char *end = NULL;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

enum { RANGE_TEXT = 96 };

static void int_range(char *out, int64_t min, int64_t max)
{
    if (min == INT64_MIN && max == INT64_MAX) {
        out[0] = '\0';
    } else if (max == INT64_MAX) {
        snprintf(out, RANGE_TEXT, "of at least %lld", (long long)min);
    } else if (min == INT64_MIN) {
        snprintf(out, RANGE_TEXT, "of at most %lld", (long long)max);
    } else {
        snprintf(out, RANGE_TEXT, "from %lld to %lld", (long long)min, (long long)max);
    }
}

static void num_range(char *out, double min, double max)
{
    if (isinf(min) && isinf(max)) {
        out[0] = '\0';
    } else if (isinf(max)) {
        snprintf(out, RANGE_TEXT, "of at least %.10g", min);
    } else if (isinf(min)) {
        snprintf(out, RANGE_TEXT, "of at most %.10g", max);
    } else {
        snprintf(out, RANGE_TEXT, "from %.10g to %.10g", min, max);
    }
}

/* "from 1 to 3" -> " from 1 to 3", "" -> "". */
static const char *space_before(const char *range)
{
    return range[0] != '\0' ? " " : "";
}

static bool read_int(int64_t *out, fl_node n, int64_t min, int64_t max)
{
    if (parse_int(out, plain_text(n)) && *out >= min && *out <= max) {
        return true;
    }
    char range[RANGE_TEXT];
    int_range(range, min, max);
    complain(n, "expected a whole number%s%s, found %s", space_before(range), range, found(n));
    return false;
}

static bool read_num(double *out, fl_node n, double min, double max)
{
    if (parse_num(out, plain_text(n)) && *out >= min && *out <= max) {
        return true;
    }
    char range[RANGE_TEXT];
    num_range(range, min, max);
    complain(n, "expected a number%s%s, found %s", space_before(range), range, found(n));
    return false;
}

int64_t fl_cfg_int(fl_node map, const char *key, int64_t min, int64_t max, int64_t dflt,
                   const char *help)
{
    bool required = dflt == FL_CFG_REQUIRED;
    int64_t fallback = required ? min : dflt;
    fl_node n = child(map, key);
    if (describing(n)) {
        char range[RANGE_TEXT];
        char text[32] = "required";
        int_range(range, min, max);
        if (!required) {
            snprintf(text, sizeof text, "%lld", (long long)dflt);
        }
        describe(n, "whole number", range, text, help);
        return fallback;
    }
    int64_t value;
    if (takes_default(n, required) || !read_int(&value, n, min, max)) {
        return fallback;
    }
    return value;
}

double fl_cfg_num(fl_node map, const char *key, double min, double max, double dflt,
                  const char *help)
{
    bool required = dflt == FL_CFG_REQUIRED_NUM;
    double fallback = required ? min : dflt;
    fl_node n = child(map, key);
    if (describing(n)) {
        char range[RANGE_TEXT];
        char text[32] = "required";
        num_range(range, min, max);
        if (!required) {
            snprintf(text, sizeof text, "%.10g", dflt);
        }
        describe(n, "number", range, text, help);
        return fallback;
    }
    double value;
    if (takes_default(n, required) || !read_num(&value, n, min, max)) {
        return fallback;
    }
    return value;
}

bool fl_cfg_bool(fl_node map, const char *key, bool dflt, const char *help)
{
    fl_node n = child(map, key);
    if (describing(n)) {
        describe(n, "true or false", "", dflt ? "true" : "false", help);
        return dflt;
    }
    if (takes_default(n, false)) {
        return dflt;
    }
    const char *text = plain_text(n);
    bool is_true = text != NULL && strcmp(text, "true") == 0;
    if (!is_true && (text == NULL || strcmp(text, "false") != 0)) {
        complain(n, "expected true or false, found %s", found(n));
        return dflt;
    }
    return is_true;
}

static bool is_required_text(const char *dflt)
{
    return dflt != NULL && strcmp(dflt, FL_CFG_REQUIRED_TEXT) == 0;
}

/* The text of a scalar, or NULL after a complaint. */
static const char *read_text(fl_node n)
{
    if (!is_type(n, YAML_SCALAR_NODE)) {
        complain(n, "expected a text, found %s", found(n));
        return NULL;
    }
    return scalar_text(node_of(n));
}

/* ${VARS} expanded and relative to the document; NULL after a complaint. */
static const char *resolve_path(fl_node n, const char *text)
{
    fl_err why = FL_ERR_INIT;
    char *expanded = NULL;
    if (fl_expand_env(&expanded, text, &why) != FL_OK) {
        complain(n, "%s", why.text);
        return NULL;
    }
    char *joined = strcmp(n.cfg->dir, ".") == 0 ? fl_xstrdup(expanded)
                                                : fl_path_join(n.cfg->dir, expanded);
    const char *path = keep(n.cfg, joined);
    free(joined);
    free(expanded);
    return path;
}

const char *fl_cfg_text(fl_node map, const char *key, const char *dflt, const char *help)
{
    bool required = is_required_text(dflt);
    const char *fallback = required ? "" : dflt;
    fl_node n = child(map, key);
    if (describing(n)) {
        describe(n, "text", "", required ? "required" : dflt != NULL ? dflt : "none", help);
        return fallback;
    }
    if (takes_default(n, required)) {
        return fallback;
    }
    const char *text = read_text(n);
    return text != NULL ? text : fallback;
}

const char *fl_cfg_path(fl_node map, const char *key, const char *dflt, const char *help)
{
    bool required = is_required_text(dflt);
    const char *fallback = required ? "" : dflt;
    fl_node n = child(map, key);
    if (describing(n)) {
        describe(n, "path", "", required ? "required" : dflt != NULL ? dflt : "none", help);
        return fallback;
    }
    const char *text = takes_default(n, required) ? fallback : read_text(n);
    if (text == NULL || text[0] == '\0' || n.cfg == NULL) {
        return fallback;
    }
    const char *path = resolve_path(n, text);
    return path != NULL ? path : fallback;
}

/* "a, b or c" */
static void list_words(fl_buf *out, const char *const *words, const char *last_join)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        const char *join = words[i + 1] == NULL ? last_join : ", ";
        fl_buf_printf(out, "%s%s", i == 0 ? "" : join, words[i]);
    }
}

int fl_cfg_choice(fl_node map, const char *key, const char *const *words, int dflt,
                  const char *help)
{
    bool required = dflt < 0;
    int fallback = required ? 0 : dflt;
    fl_node n = child(map, key);
    fl_buf list = FL_BUF_INIT;
    if (describing(n)) {
        list_words(&list, words, ", ");
        describe(n, "one of", list.data, required ? "required" : words[dflt], help);
        fl_buf_clear(&list);
        return fallback;
    }
    if (takes_default(n, required)) {
        return fallback;
    }
    const yaml_node_t *node = node_of(n);
    for (int i = 0; node->type == YAML_SCALAR_NODE && words[i] != NULL; i++) {
        if (strcmp(scalar_text(node), words[i]) == 0) {
            return i;
        }
    }
    list_words(&list, words, " or ");
    complain(n, "expected %s, found %s", list.data, found(n));
    fl_buf_clear(&list);
    return fallback;
}

static const struct {
    const char *name;
    int64_t ms;
} duration_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

/* In the largest unit that is whole: "90s", "2h". */
static void duration_text(char *out, size_t n, int64_t ms)
{
    size_t unit = sizeof duration_units / sizeof *duration_units - 1;
    while (unit > 0 && (ms == 0 || ms % duration_units[unit].ms != 0)) {
        unit--;
    }
    snprintf(out, n, "%lld%s", (long long)(ms / duration_units[unit].ms),
             duration_units[unit].name);
}

static bool parse_duration(int64_t *out_ms, const char *text)
{
    if (text == NULL) {
        return false;
    }
    size_t digits = strspn(text, "0123456789.");
    int64_t unit_ms = text[digits] == '\0' ? 1000 : 0;
    for (size_t i = 0; i < sizeof duration_units / sizeof *duration_units; i++) {
        if (strcmp(text + digits, duration_units[i].name) == 0) {
            unit_ms = duration_units[i].ms;
        }
    }
    char number[32];
    double value;
    if (unit_ms == 0 || digits >= sizeof number) {
        return false;
    }
    memcpy(number, text, digits);
    number[digits] = '\0';
    if (!parse_num(&value, number) || value * (double)unit_ms > 1e15) {
        return false;
    }
    *out_ms = (int64_t)rint(value * (double)unit_ms);
    return true;
}

int64_t fl_cfg_duration_ms(fl_node map, const char *key, int64_t min, int64_t max, int64_t dflt,
                           const char *help)
{
    bool required = dflt == FL_CFG_REQUIRED;
    int64_t fallback = required ? min : dflt;
    fl_node n = child(map, key);
    char low[32];
    char high[32];
    duration_text(low, sizeof low, min);
    duration_text(high, sizeof high, max);
    if (describing(n)) {
        char range[RANGE_TEXT];
        char text[32] = "required";
        snprintf(range, sizeof range, "from %s to %s", low, high);
        if (!required) {
            duration_text(text, sizeof text, dflt);
        }
        describe(n, "duration", range, text, help);
        return fallback;
    }
    if (takes_default(n, required)) {
        return fallback;
    }
    int64_t ms;
    if (!parse_duration(&ms, plain_text(n)) || ms < min || ms > max) {
        complain(n, "expected a duration such as 90s, 10m or 2h from %s to %s, found %s", low,
                 high, found(n));
        return fallback;
    }
    return ms;
}

// ------------------------------------------------------- the node as a value

int64_t fl_node_int(fl_node n, int64_t min, int64_t max, const char *what)
{
    int64_t value;
    if (describing(n)) {
        char range[RANGE_TEXT];
        int_range(range, min, max);
        describe(n, "whole number", range, "", what);
        return min;
    }
    return read_int(&value, n, min, max) ? value : min;
}

double fl_node_num(fl_node n, double min, double max, const char *what)
{
    double value;
    if (describing(n)) {
        char range[RANGE_TEXT];
        num_range(range, min, max);
        describe(n, "number", range, "", what);
        return min;
    }
    return read_num(&value, n, min, max) ? value : min;
}

const char *fl_node_text(fl_node n, const char *what)
{
    if (describing(n)) {
        describe(n, "text", "", "", what);
        return "";
    }
    const char *text = read_text(n);
    return text != NULL ? text : "";
}

const char *fl_node_path(fl_node n, const char *what)
{
    if (describing(n)) {
        describe(n, "path", "", "", what);
        return "";
    }
    const char *text = read_text(n);
    const char *path = text != NULL && text[0] != '\0' ? resolve_path(n, text) : NULL;
    return path != NULL ? path : "";
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
static void complain_unknown(fl_cfg *c, int map, int key_id)
{
    const char *key = scalar_text(yaml_document_get_node(&c->doc, key_id));
    const char *meant = NULL;
    size_t nearest = 3;
    fl_buf known = FL_BUF_INIT;
    fl_buf_puts(&known, "");
    for (size_t i = 0; i < c->n_asked; i++) {
        if (c->asked[i].map != map) {
            continue;
        }
        size_t d = distance(key, c->asked[i].key);
        if (d < nearest) {
            nearest = d;
            meant = c->asked[i].key;
        }
        fl_buf_printf(&known, "%s%s", known.n > 0 ? ", " : "", c->asked[i].key);
    }
    fl_node n = {c, key_id};
    if (meant != NULL) {
        complain(n, "unknown key; did you mean %s?", meant);
    } else if (known.n > 0) {
        complain(n, "unknown key; known here: %s", known.data);
    } else {
        complain(n, "unknown key");
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

// ---------------------------------------------------------- setting, emitting

/* A copy of a node of another document; the new node's number. */
static int copy_node(fl_cfg *c, yaml_document_t *from, int id, const char *origin)
{
    const yaml_node_t *node = yaml_document_get_node(from, id);
    int copy = 0;
    if (node->type == YAML_SCALAR_NODE) {
        copy = yaml_document_add_scalar(&c->doc, NULL, node->data.scalar.value,
                                        (int)node->data.scalar.length, node->data.scalar.style);
    } else if (node->type == YAML_SEQUENCE_NODE) {
        copy = yaml_document_add_sequence(&c->doc, NULL, YAML_FLOW_SEQUENCE_STYLE);
        for (yaml_node_item_t *i = node->data.sequence.items.start;
             i < node->data.sequence.items.top; i++) {
            int item = copy_node(c, from, *i, origin);
            FL_REQUIRE(yaml_document_append_sequence_item(&c->doc, copy, item));
            c->info[item].parent = copy;
        }
    } else {
        copy = yaml_document_add_mapping(&c->doc, NULL, YAML_FLOW_MAPPING_STYLE);
        for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
             p < node->data.mapping.pairs.top; p++) {
            int key = copy_node(c, from, p->key, origin);
            int value = copy_node(c, from, p->value, origin);
            FL_REQUIRE(yaml_document_append_mapping_pair(&c->doc, copy, key, value));
            c->info[key].parent = copy;
            c->info[value].parent = copy;
        }
    }
    FL_REQUIRE(copy > 0);
    grow_info(c);
    c->info[copy].origin = origin;
    return copy;
}

static int add_word(fl_cfg *c, const char *word, const char *origin)
{
    int id = yaml_document_add_scalar(&c->doc, NULL, (const yaml_char_t *)word, -1,
                                      YAML_ANY_SCALAR_STYLE);
    FL_REQUIRE(id > 0);
    grow_info(c);
    c->info[id].origin = origin;
    return id;
}

static int add_mapping(fl_cfg *c, const char *origin)
{
    int id = yaml_document_add_mapping(&c->doc, NULL, YAML_ANY_MAPPING_STYLE);
    FL_REQUIRE(id > 0);
    grow_info(c);
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
        if (!is_type((fl_node){c, items[i]}, YAML_MAPPING_NODE)) {
            continue;
        }
        const yaml_node_pair_t *name = find_pair(c, items[i], "name");
        fl_node value = {c, name != NULL ? name->value : 0};
        if (is_type(value, YAML_SCALAR_NODE) &&
            strcmp(scalar_text(node_of(value)), word) == 0) {
            return &items[i];
        }
    }
    int64_t index;
    return parse_int(&index, word) && index >= 0 && index < n ? &items[index] : NULL;
}

/* Goes one step down from *at, making a mapping where there is nothing; with
 * value > 0 puts that node there instead.  NULL, or what is wrong. */
static const char *step_down(fl_cfg *c, int *at, const char *word, int value,
                             const char *origin)
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
    yaml_node_pair_t *pair = find_pair(c, *at, word);
    if (pair != NULL && value == 0 && !fl_cfg_is_null((fl_node){c, pair->value})) {
        *at = pair->value;
        return NULL;
    }
    if (value == 0) {
        value = add_mapping(c, origin);
        pair = find_pair(c, *at, word);  // adding may have moved the nodes
    }
    c->info[value].parent = *at;
    if (pair != NULL) {
        pair->value = value;
    } else {
        int key = add_word(c, word, origin);
        c->info[key].parent = *at;
        FL_REQUIRE(yaml_document_append_mapping_pair(&c->doc, *at, key, value));
    }
    *at = value;
    return NULL;
}

static fl_status set_value(fl_cfg *c, const char *path, int value, const char *origin,
                           fl_err *err)
{
    char *words = fl_xstrdup(path);
    fl_status st = FL_OK;
    int at = fl_cfg_present(fl_cfg_root(c)) ? 1 : add_mapping(c, origin);
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
        if (problem == NULL && ++depth > MAX_DEPTH) {
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
    const char *origin = keep(c, origin_text);
    free(origin_text);
    if (fl_cfg_parse(&parsed, value, strlen(value), origin, c->dir, err) != FL_OK) {
        return FL_EUSAGE;
    }
    bool empty = !fl_cfg_present(fl_cfg_root(parsed));
    // The value is added first: making the root must not be overtaken by it.
    if (!fl_cfg_present(fl_cfg_root(c))) {
        add_mapping(c, origin);
    }
    int id = empty ? add_word(c, "null", origin) : copy_node(c, &parsed->doc, 1, origin);
    if (empty) {
        yaml_document_get_node(&c->doc, id)->data.scalar.style = YAML_PLAIN_SCALAR_STYLE;
    }
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
        st = fl_expand_env(&text, scalar_text(node), err);
    } else {
        text = fl_xstrdup(scalar_text(node));
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
        return st == FL_OK ? st
                           : fl_wrap(err, st, "%s:%d", c->name, fl_cfg_line((fl_node){c, id}));
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
    FL_REQUIRE(yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                                   node->data.mapping.style) &&
               yaml_emitter_emit(emitter, &event));
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top && st == FL_OK; p++) {
        c->info[p->key].known = true;
        if ((st = emit_node(emitter, c, p->key, false, err)) == FL_OK) {
            st = emit_node(emitter, c, p->value, expand, err);
        }
    }
    FL_REQUIRE(st != FL_OK || (yaml_mapping_end_event_initialize(&event) &&
                               yaml_emitter_emit(emitter, &event)));
    return st;
}

fl_status fl_cfg_emit(fl_node n, bool expand, fl_buf *out, fl_err *err)
{
    if (node_of(n) == NULL) {
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
        FL_REQUIRE(yaml_stream_end_event_initialize(&event) &&
                   yaml_emitter_emit(&emitter, &event));
    }
    yaml_emitter_delete(&emitter);
    return st;
}
