/*
 * cfg.h - YAML files people write, behind typed getters
 *
 * A reader asks for each key it knows, with range and default; what nobody
 * asked for is an unknown key.  The first complaint is kept and comes out of
 * fl_cfg_finish with file:line, so that readers read as straight lines:
 *
 *     fl_cfg *c;
 *     fl_status st = fl_cfg_read(&c, "job.yaml", err);
 *     if (st != FL_OK) { return st; }
 *     fl_node root = fl_cfg_root(c);
 *     job->rounds = fl_cfg_int(root, "rounds", 1, 100000, FL_CFG_REQUIRED, "...");
 *     st = fl_cfg_finish(c, err);       // job.yaml:7: rounds: expected a whole
 *                                       // number from 1 to 100000, found 3.7
 *
 * The same reader run on fl_cfg_describe()'s document prints the reference of
 * its keys (make docs), so documentation cannot drift.
 * Limits: 1 MiB a file, 32 levels, no anchors that expand (aliases are refused).
 */
#ifndef FL_CFG_H
#define FL_CFG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"

typedef struct fl_cfg fl_cfg; // one document and its first complaint

/* A place in a document; a plain value, borrowed from its fl_cfg.  A node that
 * is absent is fine to ask: every getter gives its default. */
typedef struct {
    fl_cfg *cfg;
    int id;          // libyaml's node number; 0 or less = absent
} fl_node;

#define FL_CFG_REQUIRED INT64_MIN       // as an integer default: must be there
#define FL_CFG_REQUIRED_NUM (-HUGE_VAL) // as a number default (math.h)
#define FL_CFG_REQUIRED_TEXT ((const char *)"\001required")

fl_status fl_cfg_read(fl_cfg **out, const char *path, fl_err *err);
/* name stands for the file in messages; relative paths start at dir. */
fl_status fl_cfg_parse(fl_cfg **out, const char *text, size_t n, const char *name,
                       const char *dir, fl_err *err);
/* A document that answers every getter with its default and prints one line a
 * key to out: path, type, range, default, help.  Every place is present, a
 * mapping and a list of one item (key "NAME"); complaints are dropped. */
fl_cfg *fl_cfg_describe(FILE *out);
/* The first complaint, else the first key that nobody asked for, else FL_OK. */
fl_status fl_cfg_finish(fl_cfg *c, fl_err *err) FL_MUST_CHECK;
void fl_cfg_destroy(fl_cfg **c);

fl_node fl_cfg_root(fl_cfg *c);
bool fl_cfg_has(fl_node map, const char *key);  // there and not null; counts as asked for
bool fl_cfg_present(fl_node n);
bool fl_cfg_is_null(fl_node n);
bool fl_cfg_is_map(fl_node n);
bool fl_cfg_is_list(fl_node n);
bool fl_cfg_is_scalar(fl_node n);

/* Children.  An absent key gives an absent node. */
fl_node fl_cfg_get(fl_node map, const char *key, const char *help);
fl_node fl_cfg_map(fl_node map, const char *key, const char *help);   // complains unless a mapping
fl_node fl_cfg_list(fl_node map, const char *key, const char *help);  // complains unless a list
size_t fl_cfg_count(fl_node n);          // items of a list or pairs of a mapping; else 0
fl_node fl_cfg_item(fl_node list, size_t i);
/* The i-th pair of a mapping; asking makes the key known.  *key is borrowed. */
fl_node fl_cfg_pair(fl_node map, size_t i, const char **key);

/* Typed getters by key.  A range error, a wrong type or a missing required key
 * is kept as the complaint; the default is returned (of a required key: min,
 * "" or choice 0).  null reads as absent. */
int64_t fl_cfg_int(fl_node map, const char *key, int64_t min, int64_t max, int64_t dflt, const char *help);
double fl_cfg_num(fl_node map, const char *key, double min, double max, double dflt, const char *help); // finite
bool fl_cfg_bool(fl_node map, const char *key, bool dflt, const char *help);
/* Borrowed until destroy.  dflt may be NULL (optional). */
const char *fl_cfg_text(fl_node map, const char *key, const char *dflt, const char *help);
/* One of the words; the index.  words ends with NULL.  dflt: an index, or -1 =
 * required. */
int fl_cfg_choice(fl_node map, const char *key, const char *const *words, int dflt, const char *help);
/* "10m", "90s", "250ms", "2h" or a number of seconds -> milliseconds. */
int64_t fl_cfg_duration_ms(fl_node map, const char *key, int64_t min, int64_t max, int64_t dflt, const char *help);
/* ${VARS} expanded, relative to the document's folder (the default, too);
 * borrowed.  Whether the file exists is not looked at. */
const char *fl_cfg_path(fl_node map, const char *key, const char *dflt, const char *help);

/* The node itself as a value (items of lists). */
int64_t fl_node_int(fl_node n, int64_t min, int64_t max, const char *what);
double fl_node_num(fl_node n, double min, double max, const char *what);
const char *fl_node_text(fl_node n, const char *what);  // "" after a complaint
const char *fl_node_path(fl_node n, const char *what);

/* A complaint of the reader's own about this place ("quorum 5 exceeds the 4
 * sites"), with file:line in front; kept if it is the first. */
void fl_cfg_complain(fl_node n, const char *fmt, ...) FL_PRINTF(2, 3);
bool fl_cfg_ok(const fl_cfg *c);        // no complaint so far
int fl_cfg_line(fl_node n);             // 1-based; 0 when absent
const char *fl_cfg_name(const fl_cfg *c);
const char *fl_cfg_dir(const fl_cfg *c);

/* Sets root.a.b to a scalar written as in YAML ("3", "fedprox", "[1, 2]" is
 * parsed too), making mappings on the way; a list item is addressed by its
 * `name:` value (hospitals.nord.patients) or its index.  FL_EUSAGE says which
 * part of the path is not there.  For --set; before the first getter. */
fl_status fl_cfg_set(fl_cfg *c, const char *path, const char *value, fl_err *err);

/* Copies into a mapping what it lacks and another mapping of the same document
 * has, deep: where both have a mapping, that one inherits in turn.  For `like:`. */
void fl_cfg_inherit(fl_node into, fl_node from);

/* The node as YAML text, marking everything in it as known; ${VARS} in scalars
 * expanded when expand is true. */
fl_status fl_cfg_emit(fl_node n, bool expand, fl_buf *out, fl_err *err);

#endif
