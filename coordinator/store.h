/*
 * store.h - small tables on disk that survive a killed process
 *
 * The border to SQLite: opening with a schema, transactions, prepared
 * statements.  It knows no table; roster.c (federation.db) and record.c
 * (state.db) own theirs.  Write-ahead log, every commit fully synchronous: what
 * a commit has returned from is on the disk.
 * Threads: a store belongs to one thread.  Processes: several may open the same
 * file; a writer waits up to 10 s for another.
 */
#ifndef COORDINATOR_STORE_H
#define COORDINATOR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct store store;

/*
 * Opens path, making it with schema (SQL) when it is new.  name: its kind,
 * written into the file; another kind or a newer version is FL_EUNSUPPORTED.
 * Who may only read the file can read it when no program has it open.
 */
fl_status store_open(store **out, const char *path, const char *name, int version,
                     const char *schema, fl_err *err);
/* The same for who only reads: also where the disk is full.  Others have to wait meanwhile then, so
 * not for long. */
fl_status store_look(store **out, const char *path, const char *name, int version,
                     const char *schema, fl_err *err);
/* Adds what a later program of the same version keeps beside it: CREATE ... IF NOT EXISTS. */
fl_status store_extend(store *s, const char *sql, fl_err *err);
/* Rolls back what is not committed. */
void store_close(store **s);

fl_status store_begin(store *s, fl_err *err);
/* All readings until store_rollback are of one moment, whatever others commit meanwhile. */
fl_status store_begin_reading(store *s, fl_err *err);
fl_status store_commit(store *s, fl_err *err);  // on the disk when it returns
/* Survives the process; a power cut, once a later store_commit has returned. */
fl_status store_commit_later(store *s, fl_err *err);
void store_rollback(store *s);  // fine outside of a transaction

/*
 * One statement with its values.  sql must be a literal: prepared once and kept
 * by address.  types has a letter for each '?':
 *   i int64_t    d double (NAN: null)    t const char * (NULL: null)
 *   b const void *, size_t (NULL: null)
 */
fl_status store_do(store *s, fl_err *err, const char *sql, const char *types, ...);
/* Rows changed by the last store_do. */
int64_t store_changes(const store *s);

/*
 * Reading:  if ((st = store_find(s, err, "SELECT ...", "t", name)) == FL_OK) {
 *               while (store_row(s, &st, err)) { x = store_int(s, 0); }
 *           }
 * One reading at a time; ends when store_row says false or with store_end.
 */
fl_status store_find(store *s, fl_err *err, const char *sql, const char *types, ...);
bool store_row(store *s, fl_status *st, fl_err *err);
void store_end(store *s);
int64_t store_int(store *s, int column);
double store_num(store *s, int column);        // null: NAN
const char *store_text(store *s, int column);  // "" for null; borrowed until the next row
const void *store_bytes(store *s, int column, size_t *n);  // likewise
/* Exactly n bytes into out; FL_EFORMAT when the column has another number. */
fl_status store_copy(store *s, int column, void *out, size_t n, fl_err *err);

/* Changes whenever another connection has committed. */
int64_t store_version(store *s);

#endif
