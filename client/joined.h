/*
 * joined.h - are the data still those that the site joined the run with?
 *
 * A process that is started again in mid-run opens its data anew, and they may mean something
 * else by then: codes swapped in dataset.yaml, another label map, labels corrected, splits drawn
 * anew, so that cases of the test are trained on.  Nobody could see that from outside.  So each
 * case's label and split are kept when the site joins, in runs/R/joined, as keyed digests
 * (BLAKE2b with the secret of keys/patients.key: of a case's name, and of its name and label), and
 * compared once whenever the data were opened.  Cases that are gone are allowed; a case that is
 * new, or whose label or split is another, is not.  Of inputs nothing is kept: a picture that was
 * replaced is not found.
 *
 * A table without a column for cases names them by their rows, and `split: {by: patient}` is
 * drawn from all patients: there, others change when some go.
 * The file never leaves, and is removed when the job is done.
 * Threads: a worker's.
 */
#ifndef CLIENT_JOINED_H
#define CLIENT_JOINED_H

#include <stdint.h>

#include "base/err.h"
#include "client/home.h"
#include "client/local.h"

/* Keeps what the data are now, in the place of what was kept before. */
fl_status joined_keep(const local *l, const home *h, const char *run_dir, fl_err *err);

/*
 * Compares.  FL_ECONFLICT when they are others, with how many cases, as the sentence may leave:
 * a number from 1 to min_cell - 1 is said as that range; the exact ones are logged.  Where nothing
 * was kept, by an older client, it is now.  FL_EFORMAT: the file is damaged.
 */
fl_status joined_check(const local *l, const home *h, const char *run_dir, int64_t min_cell,
                       fl_err *err);

/* At the end of the job: forgets it. */
fl_status joined_drop(const char *run_dir, fl_err *err);

#endif
