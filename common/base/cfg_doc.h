/*
 * cfg_doc.h - what the cfg files share: the document behind an fl_cfg
 *
 * Only common/base/cfg*.c include this; readers of configuration include
 * cfg.h.  Nodes are libyaml's, which keep their lines.  A place that a reader
 * asked for and the document lacks gets a negative node number, so that a
 * complaint about it can still say where it belongs.
 */
#ifndef FL_CFG_DOC_H
#define FL_CFG_DOC_H

#include <stdio.h>
#include <yaml.h>

#include "base/cfg.h"
#include "base/mem.h"

enum {
    CFG_MAX_BYTES = 1024 * 1024,  // of a file
    CFG_MAX_DEPTH = 32            // of nested mappings and lists
};

typedef struct {
    int parent;          // the mapping or list the node is in; 0 = root
    bool known;          // for keys: a reader asked for it
    const char *origin;  // "--set a.b=3"; NULL = from the file
} cfg_node_info;

typedef struct {
    int parent;       // where the place would be
    const char *key;  // "[]": any item of a list
} cfg_missing;

typedef struct {
    int map;
    const char *key;
} cfg_asked;

struct fl_cfg {
    yaml_document_t doc;
    char *name;             // in messages
    char *dir;              // relative paths start here
    fl_arena *arena;        // text that is given out
    cfg_node_info *info;        // [node number]
    size_t n_info;
    cfg_missing *missing; // [-node number - 1]
    size_t n_missing;
    cfg_asked *asked;       // what readers know, for suggestions
    size_t n_asked;
    fl_err complaint;       // the first one
    FILE *describe;         // print the reference instead of reading
    const char **described; // paths printed so far
    size_t n_described;
};

/* A copy that lives as long as the document. */
char *cfg_keep(fl_cfg *c, const char *text);

/* libyaml's node; NULL when absent.  Adding nodes moves them. */
yaml_node_t *cfg_node(fl_node n);
bool cfg_is_type(fl_node n, yaml_node_type_t type);
const char *cfg_scalar(const yaml_node_t *node);
bool cfg_plain_null(const yaml_node_t *node);
/* The pair of mapping number map with this key, or NULL. */
yaml_node_pair_t *cfg_find_pair(fl_cfg *c, int map, const char *key);
/* The value of a key, which is known from now on; absent when there is none. */
fl_node cfg_child(fl_node map, const char *key);

/* Appends the dotted path of a node: "hospitals[2].patients". */
void cfg_add_path(fl_cfg *c, int id, fl_buf *out);
/* Keeps text as the complaint about a place unless there is one already. */
void cfg_complain_at(fl_cfg *c, int id, const char *text);
/* As fl_cfg_complain with the place's path in front: "local.lr: expected". */
void cfg_complain(fl_node n, const char *fmt, ...) FL_PRINTF(2, 3);
/* A required key that is absent, and one beside it that looks like it: says so
 * and is true. */
bool cfg_complain_misspelt(fl_node absent);
/* What stands at a node, for "found ..."; borrowed from the document. */
const char *cfg_found(fl_node n);

/* The node belongs to a reference that is being printed. */
bool cfg_describing(fl_node n);
/* Prints one line of the reference, once a path. */
void cfg_describe(fl_node n, const char *type, const char *range, const char *dflt,
                  const char *help);

/* Makes room in info for nodes that were added. */
void cfg_grow(fl_cfg *c);
/* A whole decimal number and nothing else. */
bool cfg_parse_int(int64_t *out, const char *text);

#endif
