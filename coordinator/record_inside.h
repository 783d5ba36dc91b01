/*
 * record_inside.h - what record.c, record_read.c and record_audit.c share; for them alone
 *
 * record.c holds the tables, the transactions and what each step of the machine writes;
 * record_read.c what is read back; record_audit.c the lines of the audit record.
 */
#ifndef COORDINATOR_RECORD_INSIDE_H
#define COORDINATOR_RECORD_INSIDE_H

#include "coordinator/record.h"
#include "coordinator/store.h"

struct record {
    store *db;
    int64_t created_ms, entered_ms;
    fed_audit_head head;    // of the audit record, open transaction included
    fed_audit_head before;  // the open transaction
};

/* The state that a stored number stands for; false: none. */
bool record_state_of(round_state *out, int64_t stored);

#endif
