/*
 * cfg_read.c - text to document
 *
 * The text is read twice: once as events, to refuse what we do not want to
 * hold (aliases, tags, too much depth) before it is built, and once as
 * libyaml's document.
 */
#include "base/cfg_doc.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

static fl_status yaml_problem(const fl_cfg *c, const yaml_parser_t *parser, fl_err *err)
{
    const char *problem = parser->problem != NULL ? parser->problem : "out of memory";
    if (parser->error == YAML_READER_ERROR) {
        return fl_fail(err, FL_ECONFIG, "%s: byte %zu: not YAML: %s", c->name,
                       parser->problem_offset, problem);
    }
    return fl_fail(err, FL_ECONFIG, "%s:%zu: not YAML: %s%s%s", c->name,
                   parser->problem_mark.line + 1, problem, parser->context != NULL ? " " : "",
                   parser->context != NULL ? parser->context : "");
}

typedef struct {
    int depth;  // of open mappings and lists
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
    return s->depth > CFG_MAX_DEPTH ? "more than 32 levels deep" : NULL;
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
            st = fl_fail(err, FL_ECONFIG, "%s:%zu: %s", c->name, event.start_mark.line + 1,
                         problem);
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
    if (root == NULL || cfg_plain_null(root)) {  // only comments, or nothing
        yaml_document_delete(&c->doc);
        FL_REQUIRE(yaml_document_initialize(&c->doc, NULL, NULL, NULL, 1, 1));
    }
    return st;
}

void cfg_grow(fl_cfg *c)
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
            cfg_complain_at(c, id, "a key must be a word, not a list or mapping");
            goto done;
        }
        keys[i] = (key_entry){cfg_scalar(key), id};
    }
    qsort(keys, n, sizeof *keys, by_text);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(keys[i - 1].text, keys[i].text) == 0) {
            cfg_complain((fl_node){c, keys[i].id}, "is there twice, first on line %d",
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
    cfg_grow(c);
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

fl_status fl_cfg_parse(fl_cfg **out, const char *text, size_t n, const char *name, const char *dir,
                       fl_err *err)
{
    *out = NULL;
    if (n > CFG_MAX_BYTES) {
        return fl_fail(err, FL_ELIMIT, "%s: %zu bytes, at most %d are read", name, n,
                       CFG_MAX_BYTES);
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
    fl_status st = fl_file_read(&text, &n, path, CFG_MAX_BYTES, err);
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
