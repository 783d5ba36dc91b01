/*
 * audit.h - runs/R/audit.jsonl: what happened in a run, for everybody to check
 *
 * The lines are rows of the record (record.h), written in the transaction of
 * what they tell.  The file is their copy, appended to after each commit; what
 * a crash tore or kept from it is mended when the run is opened.  audit.head
 * beside it holds the last head with the coordinator's signature, which also
 * goes with every order (fed/audit.h).
 * Threads: one.
 */
#ifndef COORDINATOR_AUDIT_H
#define COORDINATOR_AUDIT_H

#include "base/err.h"
#include "coordinator/record.h"
#include "fed/audit.h"

typedef struct audit audit;

typedef struct {
    const char *dir;         // the run's folder
    const char *run;         // its name
    fed_digest job;
    record *record;          // borrowed until closed, as the next
    const fed_identity *id;  // the coordinator's
} audit_config;

/*
 * Mends the file.  FL_EFORMAT when it says something else than the record: it
 * was changed, and nothing is added to it.
 */
fl_status audit_open(audit **out, const audit_config *cfg, fl_err *err);
void audit_close(audit **a);
/* After a commit: brings the file up to the record. */
fl_status audit_publish(audit *a, fl_err *err);
/* The head that was published last, signed. */
void audit_head(const audit *a, fed_audit_head *head, fed_signature *signature);

#endif
