/*
 * commit_before_record.c - a bug for the rig to find: acts before it is recorded
 *
 * Linked into a coordinator of its own, in front of record.c: four of five
 * commits say that they are done and leave the transaction open.  So
 * contributions are acknowledged, models handed out and heads of the audit record
 * given away that a killed coordinator knows nothing of.
 */
#include "coordinator/record.h"

enum { REALLY_EVERY = 5 };

fl_status __real_record_begin(record *r, fl_err *err);
fl_status __real_record_commit(record *r, fl_err *err);
void __real_record_rollback(record *r);
void __real_record_close(record **r);
fl_status __wrap_record_begin(record *r, fl_err *err);
fl_status __wrap_record_commit(record *r, fl_err *err);
fl_status __wrap_record_commit_later(record *r, fl_err *err);
void __wrap_record_rollback(record *r);
void __wrap_record_close(record **r);

static record *open_one;  // its transaction was only said to be committed
static int n_commits;

fl_status __wrap_record_begin(record *r, fl_err *err)
{
    return r == open_one ? FL_OK : __real_record_begin(r, err);
}

fl_status __wrap_record_commit(record *r, fl_err *err)
{
    if (++n_commits % REALLY_EVERY != 0) {
        open_one = r;
        return FL_OK;
    }
    open_one = NULL;
    return __real_record_commit(r, err);
}

fl_status __wrap_record_commit_later(record *r, fl_err *err)
{
    return __wrap_record_commit(r, err);
}

void __wrap_record_rollback(record *r)
{
    if (r != open_one) {
        __real_record_rollback(r);
    }
}

void __wrap_record_close(record **r)
{
    if (*r != NULL && *r == open_one) {
        open_one = NULL;
        (void)__real_record_commit(*r, NULL);
    }
    __real_record_close(r);
}
