/*
 * log.h - levelled lines of `event key=value`
 *
 * One line per event on stderr (or a file), with a UTC time stamp; on a
 * terminal the time of day.  May be called from any thread.  Never logged: a patient's value, case or patient
 * identifiers, paths inside a hospital's data set, any key.  A site's name, a round, a
 * count, a digest may be.
 */
#ifndef FL_LOG_H
#define FL_LOG_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

typedef enum { FL_LOG_ERROR, FL_LOG_WARN, FL_LOG_INFO, FL_LOG_DEBUG } fl_log_level;

/* Default: stderr at FL_LOG_INFO; CONSILIUM_LOG=error|warn|info|debug changes
 * the level at start. */
void fl_log_setup(FILE *to, fl_log_level level);
bool fl_log_on(fl_log_level level);

/* fl_log(FL_LOG_INFO, "round.commit", "round=%d sites=%zu", r, n); */
void fl_log(fl_log_level level, const char *event, const char *fmt, ...)
    FL_PRINTF(3, 4);

/*
 * One line of progress.  On a terminal it overwrites itself, is cut to the
 * terminal's width and is wiped by fl_progress_end, which comes before other
 * output.  Elsewhere it prints a plain line when the text has changed, at most
 * one every ten seconds, and the last one always.
 */
void fl_progress(const char *fmt, ...) FL_PRINTF(1, 2);
void fl_progress_end(void);

#endif
