/*
 * audit.c - see audit.h
 */
#include "coordinator/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"

struct audit {
    audit_config cfg;
    char *path, *head_path;
    int fd;               // of the file, at its end
    off_t size;           // of its whole lines
    fed_audit_head head;  // of what the file holds
    fed_signature signature;
};

// -------------------------------------------------------------------- mending

/* How far the file agrees with the record. */
typedef struct {
    audit *a;
    FILE *file;
    char *text;  // FED_AUDIT_LINE_BYTES
    bool ended;  // the file has no more whole lines
} survey;

static fl_status compare_line(void *ctx, uint64_t number, const char *line, fl_err *err)
{
    survey *s = ctx;
    size_t n = strlen(line);
    if (s->ended || fgets(s->text, FED_AUDIT_LINE_BYTES, s->file) == NULL ||
        strchr(s->text, '\n') == NULL) {
        s->ended = true;  // the rest is written again from here
        return FL_OK;
    }
    if (strncmp(s->text, line, n) != 0 || s->text[n] != '\n') {
        return fl_fail(err, FL_EFORMAT,
                       "%s:%llu differs from the record in state.db: it was changed since it was "
                       "written",
                       s->a->path, (unsigned long long)number);
    }
    s->a->size += (off_t)n + 1;
    fed_audit_extend(&s->a->head, line, n);
    return FL_OK;
}

/* Cuts what is behind the lines that the record has: a crash tore it, or its
 * transaction never came to be. */
static fl_status mend(audit *a, fl_err *err)
{
    survey s = {.a = a, .file = fopen(a->path, "ab+")};
    if (s.file == NULL) {
        return fl_fail_errno(err, errno, a->path);
    }
    rewind(s.file);
    s.text = fl_xcalloc(FED_AUDIT_LINE_BYTES, 1);
    fl_status st = record_lines(a->cfg.record, 1, compare_line, &s, err);
    struct stat now;
    if (st == FL_OK && fstat(fileno(s.file), &now) == 0 && now.st_size > a->size) {
        fl_log(FL_LOG_WARN, "audit.mended", "run=%s bytes=%lld", a->cfg.run,
               (long long)(now.st_size - a->size));
        if (truncate(a->path, a->size) != 0) {
            st = fl_fail_errno(err, errno, a->path);
        }
    }
    free(s.text);
    fclose(s.file);
    return st;
}

// ------------------------------------------------------------------ publishing

/* Whole, or not at all: half a line would spoil all that follow. */
static fl_status append_bytes(audit *a, const char *bytes, size_t n, fl_err *err)
{
    size_t done = 0;
    while (done < n) {
        ssize_t now = write(a->fd, bytes + done, n - done);
        if (now < 0 && errno != EINTR) {
            fl_status st = fl_fail_errno(err, errno, a->path);
            return ftruncate(a->fd, a->size) == 0 ? st : fl_fail_errno(err, errno, a->path);
        }
        done += now > 0 ? (size_t)now : 0;
    }
    a->size += (off_t)n;
    return FL_OK;
}

static fl_status append_line(void *ctx, uint64_t number, const char *line, fl_err *err)
{
    audit *a = ctx;
    (void)number;
    fl_buf text = FL_BUF_INIT;
    fl_buf_printf(&text, "%s\n", line);
    fl_status st = append_bytes(a, text.data, text.n, err);
    if (st == FL_OK) {
        fed_audit_extend(&a->head, line, text.n - 1);
    }
    fl_buf_clear(&text);
    return st;
}

static fl_status write_head(const audit *a, fl_err *err)
{
    char *job = fl_hex_of(&a->cfg.job, sizeof a->cfg.job);
    char *last = fl_hex_of(&a->head.last, sizeof a->head.last);
    char *signature = fl_hex_of(&a->signature, sizeof a->signature);
    fed_verify_key sign_key = fed_identity_verify(a->cfg.id);
    char *key = fl_hex_of(&sign_key, sizeof sign_key);
    json_t *head = json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s}", "format",
                             "consilium-audit-head-1", "run", a->cfg.run, "job", job, "lines",
                             (json_int_t)a->head.n_lines, "last", last, "coordinator", key,
                             "signature", signature);
    char *text = json_dumps(head, JSON_COMPACT);
    /* Renamed into place and not flushed: it follows from the record. */
    char *tmp = fl_xasprintf("%s.tmp", a->head_path);
    fl_status st = FL_OK;
    FILE *file = fopen(tmp, "wb");
    if (file == NULL || fprintf(file, "%s\n", text) < 0 || fclose(file) != 0 ||
        rename(tmp, a->head_path) != 0) {
        st = fl_fail_errno(err, errno, a->head_path);
    }
    json_decref(head);
    free(text);
    free(tmp);
    free(job);
    free(last);
    free(signature);
    free(key);
    return st;
}

fl_status audit_publish(audit *a, fl_err *err)
{
    if (fed_audit_head_equal(&a->head, record_head(a->cfg.record))) {
        return FL_OK;
    }
    fl_status st = record_lines(a->cfg.record, a->head.n_lines + 1, append_line, a, err);
    if (st == FL_OK) {
        FL_REQUIRE(fed_audit_head_equal(&a->head, record_head(a->cfg.record)));
        fed_audit_sign(&a->signature, a->cfg.id, &a->cfg.job, a->cfg.run, &a->head);
        st = write_head(a, err);
    }
    return st;
}

void audit_head(const audit *a, fed_audit_head *head, fed_signature *signature)
{
    *head = a->head;
    *signature = a->signature;
}

// ----------------------------------------------------------------- open, close

fl_status audit_open(audit **out, const audit_config *cfg, fl_err *err)
{
    *out = NULL;
    audit *a = fl_xcalloc(1, sizeof *a);
    a->cfg = *cfg;
    a->fd = -1;
    a->path = fl_path_join(cfg->dir, "audit.jsonl");
    a->head_path = fl_path_join(cfg->dir, "audit.head");
    fl_status st = mend(a, err);
    if (st == FL_OK && (a->fd = open(a->path, O_WRONLY | O_APPEND | O_CLOEXEC)) < 0) {
        st = fl_fail_errno(err, errno, a->path);
    }
    if (st == FL_OK) {
        fed_audit_sign(&a->signature, cfg->id, &cfg->job, cfg->run, &a->head);
        st = audit_publish(a, err);
    }
    if (st != FL_OK) {
        audit_close(&a);
        return st;
    }
    *out = a;
    return FL_OK;
}

void audit_close(audit **a)
{
    if (*a == NULL) {
        return;
    }
    if ((*a)->fd >= 0) {
        fsync((*a)->fd);
        close((*a)->fd);
    }
    free((*a)->path);
    free((*a)->head_path);
    FL_FREE(*a);
}
