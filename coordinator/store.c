/*
 * store.c - see store.h.  The only file that includes sqlite3.h.
 */
#include "coordinator/store.h"

#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"

enum { MAX_STATEMENTS = 96, BUSY_TIMEOUT_MS = 10000 };

struct store {
    sqlite3 *db;
    char *path;
    bool in_transaction;
    struct {
        const char *sql;  // a literal: its address is the key
        sqlite3_stmt *stmt;
    } cache[MAX_STATEMENTS];
    size_t n_cache;
    sqlite3_stmt *reading;  // the open store_find, or NULL
};

static fl_status fail(store *s, fl_err *err, int code)
{
    int primary = code & 0xff;
    int system = sqlite3_system_errno(s->db);
    if (primary == SQLITE_FULL ||
        (primary == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT))) {
        return fl_fail(err, FL_EFULL, "%s: the disk is full", s->path);
    }
    if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED) {
        return fl_fail(err, FL_ECONFLICT, "%s: another program keeps it locked", s->path);
    }
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
        return fl_fail(err, FL_EFORMAT, "%s: damaged, or not one of our files (%s)", s->path,
                       sqlite3_errmsg(s->db));
    }
    if (primary == SQLITE_READONLY || primary == SQLITE_CANTOPEN) {
        return fl_fail(err, FL_EIO, "%s: this user may not write it, or the disk is read-only",
                       s->path);
    }
    return fl_fail(err, FL_EIO, "%s: %s", s->path, sqlite3_errmsg(s->db));
}

static fl_status execute(store *s, const char *sql, fl_err *err)
{
    int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? FL_OK : fail(s, err, code);
}

static fl_status has_schema(store *s, bool *there, fl_err *err)
{
    fl_status st = store_find(s, err, "SELECT count(*) FROM sqlite_master WHERE name = 'store'",
                              "");
    while (st == FL_OK && store_row(s, &st, err)) {
        *there = store_int(s, 0) > 0;
    }
    return st;
}

static fl_status make_schema(store *s, const char *name, int version, const char *schema,
                             fl_err *err)
{
    fl_status st;
    bool there = false;
    if ((st = has_schema(s, &there, err)) != FL_OK || there) {
        return st;
    }
    if ((st = store_begin(s, err)) != FL_OK) {
        return st;
    }
    /* Another process may have been faster. */
    if ((st = has_schema(s, &there, err)) == FL_OK && !there &&
        (st = execute(s, "CREATE TABLE store (name TEXT, version INTEGER)", err)) == FL_OK &&
        (st = execute(s, schema, err)) == FL_OK) {
        st = store_do(s, err, "INSERT INTO store VALUES (?, ?)", "ti", name, (int64_t)version);
    }
    if (st == FL_OK) {
        st = store_commit(s, err);
    }
    store_rollback(s);
    return st;
}

static fl_status check_schema(store *s, const char *name, int version, fl_err *err)
{
    fl_status st = store_find(s, err, "SELECT name, version FROM store", "");
    while (st == FL_OK && store_row(s, &st, err)) {
        if (strcmp(store_text(s, 0), name) != 0 || store_int(s, 1) != version) {
            st = fl_fail(err, FL_EUNSUPPORTED,
                         "%s: holds %s version %d, this program knows %s version %d", s->path,
                         store_text(s, 0), (int)store_int(s, 1), name, version);
            store_end(s);
            break;
        }
    }
    return st;
}

/* May this user read the file but not write it, and has no log of commits been left beside it?  Then
 * nobody changes it, or a program of another user that will say so with such a log. */
static bool is_at_rest(const store *s)
{
    char *log = fl_xasprintf("%s-wal", s->path);
    bool rests = access(s->path, R_OK) == 0 && access(s->path, W_OK) != 0 && !fl_file_exists(log);
    free(log);
    return rests;
}

/* SQLite's way to a log-keeping file without a place for the log: file:PATH?immutable=1. */
static int open_at_rest(store *s)
{
    fl_buf uri = FL_BUF_INIT;
    fl_buf_puts(&uri, "file:");
    for (const char *c = s->path; *c != '\0'; c++) {
        if (strchr("%?#", *c) != NULL) {
            fl_buf_printf(&uri, "%%%02x", (unsigned)*c);
        } else {
            fl_buf_add(&uri, c, 1);
        }
    }
    fl_buf_puts(&uri, "?immutable=1");
    int code = sqlite3_open_v2(uri.data, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    fl_buf_clear(&uri);
    return code;
}

/* alone: others are kept out, and SQLite's index of the log is in memory, where it is otherwise in a
 * file beside it, which is made by whoever comes first. */
static fl_status open_as(store **out, const char *path, const char *name, int version,
                         const char *schema, bool alone, fl_err *err)
{
    *out = NULL;
    store *s = fl_xcalloc(1, sizeof *s);
    s->path = fl_xstrdup(path);
    int code = is_at_rest(s)
                   ? open_at_rest(s)
                   : sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    fl_status st = code == SQLITE_OK ? FL_OK : fail(s, err, code);
    if (st == FL_OK) {
        sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
        sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, 64 << 20);
        st = alone ? execute(s, "PRAGMA locking_mode = EXCLUSIVE", err) : FL_OK;
    }
    if (st == FL_OK) {
        /* NORMAL: a commit alone flushes nothing; flush() does. */
        st = execute(
            s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
            " PRAGMA cache_size = -512",
            err);
    }
    if (st == FL_OK) {
        st = make_schema(s, name, version, schema, err);
    }
    if (st == FL_OK) {
        st = check_schema(s, name, version, err);
    }
    if (st != FL_OK) {
        store_close(&s);
        return st;
    }
    *out = s;
    return FL_OK;
}

fl_status store_open(store **out, const char *path, const char *name, int version,
                     const char *schema, fl_err *err)
{
    return open_as(out, path, name, version, schema, false, err);
}

fl_status store_look(store **out, const char *path, const char *name, int version,
                     const char *schema, fl_err *err)
{
    fl_err full = FL_ERR_INIT;
    fl_status st = open_as(out, path, name, version, schema, false, &full);
    return st == FL_EFULL  ? open_as(out, path, name, version, schema, true, err)
           : st != FL_OK ? fl_fail(err, st, "%s", full.text)
                         : st;
}

fl_status store_extend(store *s, const char *sql, fl_err *err)
{
    return execute(s, sql, err);
}

void store_close(store **s)
{
    if (*s == NULL) {
        return;
    }
    store_rollback(*s);
    for (size_t i = 0; i < (*s)->n_cache; i++) {
        sqlite3_finalize((*s)->cache[i].stmt);
    }
    sqlite3_close((*s)->db);
    free((*s)->path);
    FL_FREE(*s);
}

static fl_status begin(store *s, const char *sql, fl_err *err)
{
    FL_REQUIRE(!s->in_transaction);
    fl_status st = execute(s, sql, err);
    s->in_transaction = st == FL_OK;
    return st;
}

fl_status store_begin(store *s, fl_err *err)
{
    return begin(s, "BEGIN IMMEDIATE", err);
}

fl_status store_begin_reading(store *s, fl_err *err)
{
    return begin(s, "BEGIN DEFERRED", err);
}

/* The log that holds every commit since the last checkpoint, to the disk: what synchronous = FULL
 * does at each commit, at those of our choice. */
static fl_status flush(store *s, fl_err *err)
{
    sqlite3_file *log = NULL;
    int code = sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (code == SQLITE_OK && log != NULL && log->pMethods != NULL) {
        code = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
    }
    return code == SQLITE_OK ? FL_OK
                             : fl_fail(err, FL_EIO, "%s: cannot be flushed to the disk", s->path);
}

fl_status store_commit(store *s, fl_err *err)
{
    fl_status st = store_commit_later(s, err);
    return st == FL_OK ? flush(s, err) : st;
}

fl_status store_commit_later(store *s, fl_err *err)
{
    FL_REQUIRE(s->in_transaction);
    fl_status st = execute(s, "COMMIT", err);
    if (st == FL_OK) {
        s->in_transaction = false;
    } else {
        store_rollback(s);
    }
    return st;
}

void store_rollback(store *s)
{
    store_end(s);
    if (s->in_transaction) {
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        s->in_transaction = false;
    }
}

static fl_status prepare(store *s, sqlite3_stmt **out, const char *sql, fl_err *err)
{
    for (size_t i = 0; i < s->n_cache; i++) {
        if (s->cache[i].sql == sql) {
            *out = s->cache[i].stmt;
            return FL_OK;
        }
    }
    FL_REQUIRE(s->n_cache < MAX_STATEMENTS);
    int code = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    if (code != SQLITE_OK) {
        return fail(s, err, code);
    }
    s->cache[s->n_cache].sql = sql;
    s->cache[s->n_cache++].stmt = *out;
    return FL_OK;
}

/* Values stay the caller's until the statement is reset. */
static void bind(sqlite3_stmt *stmt, const char *types, va_list ap)
{
    FL_REQUIRE((int)strlen(types) == sqlite3_bind_parameter_count(stmt));
    for (int i = 1; *types != '\0'; types++, i++) {
        if (*types == 'i') {
            sqlite3_bind_int64(stmt, i, va_arg(ap, int64_t));
        } else if (*types == 'd') {
            double value = va_arg(ap, double);
            if (isnan(value)) {
                sqlite3_bind_null(stmt, i);
            } else {
                sqlite3_bind_double(stmt, i, value);
            }
        } else if (*types == 't') {
            sqlite3_bind_text(stmt, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
        } else {
            FL_REQUIRE(*types == 'b');
            const void *bytes = va_arg(ap, const void *);
            size_t n = va_arg(ap, size_t);
            sqlite3_bind_blob64(stmt, i, bytes, n, SQLITE_TRANSIENT);
        }
    }
}

fl_status store_do(store *s, fl_err *err, const char *sql, const char *types, ...)
{
    sqlite3_stmt *stmt = NULL;
    fl_status st = prepare(s, &stmt, sql, err);
    if (st != FL_OK) {
        return st;
    }
    va_list ap;
    va_start(ap, types);
    bind(stmt, types, ap);
    va_end(ap);
    int code = sqlite3_step(stmt);
    if (code != SQLITE_DONE && code != SQLITE_ROW) {
        st = fail(s, err, code);
    }
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return st == FL_OK && !s->in_transaction ? flush(s, err) : st;
}

int64_t store_changes(const store *s)
{
    return sqlite3_changes(s->db);
}

fl_status store_find(store *s, fl_err *err, const char *sql, const char *types, ...)
{
    FL_REQUIRE(s->reading == NULL);
    sqlite3_stmt *stmt = NULL;
    fl_status st = prepare(s, &stmt, sql, err);
    if (st != FL_OK) {
        return st;
    }
    va_list ap;
    va_start(ap, types);
    bind(stmt, types, ap);
    va_end(ap);
    s->reading = stmt;
    return FL_OK;
}

bool store_row(store *s, fl_status *st, fl_err *err)
{
    FL_REQUIRE(s->reading != NULL);
    int code = sqlite3_step(s->reading);
    if (code == SQLITE_ROW) {
        return true;
    }
    if (code != SQLITE_DONE) {
        *st = fail(s, err, code);
    }
    store_end(s);
    return false;
}

void store_end(store *s)
{
    if (s->reading != NULL) {
        sqlite3_reset(s->reading);
        sqlite3_clear_bindings(s->reading);
        s->reading = NULL;
    }
}

int64_t store_int(store *s, int column)
{
    return sqlite3_column_int64(s->reading, column);
}

double store_num(store *s, int column)
{
    return sqlite3_column_type(s->reading, column) == SQLITE_NULL
               ? NAN
               : sqlite3_column_double(s->reading, column);
}

const char *store_text(store *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s->reading, column);
    return text != NULL ? text : "";
}

const void *store_bytes(store *s, int column, size_t *n)
{
    const void *bytes = sqlite3_column_blob(s->reading, column);
    *n = (size_t)sqlite3_column_bytes(s->reading, column);
    return bytes;
}

fl_status store_copy(store *s, int column, void *out, size_t n, fl_err *err)
{
    size_t found = 0;
    const void *bytes = store_bytes(s, column, &found);
    if (found != n) {
        return fl_fail(err, FL_EFORMAT, "%s: damaged: a field of %zu bytes has %zu", s->path, n,
                       found);
    }
    memcpy(out, bytes, n);
    return FL_OK;
}

int64_t store_version(store *s)
{
    int64_t version = 0;
    fl_status st = store_find(s, NULL, "PRAGMA data_version", "");
    while (st == FL_OK && store_row(s, &st, NULL)) {
        version = store_int(s, 0);
    }
    return version;
}
