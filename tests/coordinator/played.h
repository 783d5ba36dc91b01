/*
 * played.h - what the tests of whole runs start with, and ask of a report
 */
#ifndef PLAYED_H
#define PLAYED_H

#include "fake.h"

/* A federation with n sites, started on a small job; more: further lines of it. */
fake *started(size_t n_sites, int quorum, int rounds, const char *patience, const char *more);

/* Plays the job undisturbed with n sites, all in every round; its model's sha256, caller's. */
char *undisturbed(size_t n_sites, const char *yaml);
/* "" when there is none; borrowed from the report. */
const char *model_sha256(const json_t *report);
/* Of the run's report; caller's. */
char *played_sha256(const fake *f);

/* Kills at each place that was not seen yet: a probe of the run, ctx a killer of zeros. */
typedef struct {
    char seen[200][64];
    size_t n;
} killer;
bool kill_once_everywhere(void *ctx, const char *where);

/* Three sites on the job, of which the second speaks that version of the protocol (0: the newest),
 * played into its second round. */
fake *in_second_round(const char *yaml, uint32_t version);
/* Plays it to its end: the model is the one of that sha256. */
void plays_to(fake *f, const char *sha256);

/* The reason of a site in a list of absences; NULL when it is not in it. */
const char *absence_in(const json_t *list, const char *site);
/* Why site was absent from a round; NULL when it was not. */
const char *absence(const json_t *report, size_t round, const char *site);
/* Is there such a refusal in the report; reason: a part of it. */
bool was_refused(const json_t *report, const char *what, const char *reason);

const round_machine *machine_of(fake *f);

/* For fake_until. */
bool is_training(fake *f);
bool is_training_second(fake *f);  // the second round
bool a_is_in(fake *f);     // alone, in a round that trains
bool hears_wait(fake *f);  // the second site
bool b_has_rotated(fake *f);  // the second site, and is back with its new keys
#endif
