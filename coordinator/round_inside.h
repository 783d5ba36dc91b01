/*
 * round_inside.h - what round.c and round_words.c share; for them alone
 *
 * round.c holds the machine and its steps; round_words.c says where it is.
 */
#ifndef COORDINATOR_ROUND_INSIDE_H
#define COORDINATOR_ROUND_INSIDE_H

#include "coordinator/round.h"

/* How far a stage is, as every site that waits is told: counted once a change, not once a site. */
typedef struct {
    bool known;
    size_t in, all;
} stage_counts;

struct round_machine {
    round_config cfg;
    stage_counts *counts;
    round_state state;
    uint32_t round;     // being trained, or last trained
    uint32_t selected;  // 0 until a round was selected
    uint32_t lent, n_lent;  // CROSSING: which model of how many
    int64_t since_ms;   // this state was entered, or the coordinator started
    int64_t short_ms;   // nobody is asked any more and the quorum is not in; 0: not so
    round_site *sites;
    size_t *by_name;  // indices of sites, sorted by name
    size_t n_sites;
};

/* The stage's name and how far it is, as a site that waits reads it. */
void round_describe_stage(const round_machine *m, char *out, size_t n);

#endif
