/*
 * played.h - what the tests of whole runs start with, and ask of a report
 */
#ifndef PLAYED_H
#define PLAYED_H

#include "fake.h"

/* A federation with n sites, started on a small job; more: further lines of it. */
fake *started(size_t n_sites, int quorum, int rounds, const char *patience, const char *more);

/* The reason of a site in a list of absences; NULL when it is not in it. */
const char *absence_in(const json_t *list, const char *site);
/* Why site was absent from a round; NULL when it was not. */
const char *absence(const json_t *report, size_t round, const char *site);
/* Is there such a refusal in the report; reason: a part of it. */
bool was_refused(const json_t *report, const char *what, const char *reason);

/* For fake_until. */
bool is_training(fake *f);
bool a_is_in(fake *f);     // alone, in a round that trains
bool hears_wait(fake *f);  // the second site
#endif
