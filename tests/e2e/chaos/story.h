/*
 * story.h - what a run came to, in a form that two runs can be compared by
 *
 * One line an event that must not depend on faults: every accepted
 * contribution with its digest, every absence with its reason, every model
 * with its hash and participants, in the order of the round machine's states.
 * Within a state the order is that of the sites, not of arrival.
 */
#ifndef STORY_H
#define STORY_H

#include <stdbool.h>
#include <stddef.h>

#include "world.h"

/* What may be wrong with a run that ended. */
typedef enum {
    STORY_LOST,      // a contribution was acknowledged and is not in the record
    STORY_DOUBLE,    // one counts twice, or was made twice with other bits
    STORY_DIFFERS,   // another model, other participants, other events
    STORY_UNSAID,    // an absence without a reason, or with another exit code
    STORY_UNPROVEN,  // a record that does not hold
    STORY_HANGS,     // did not come to its end
    STORY_N
} story_fault;
const char *story_fault_name(story_fault f);

typedef struct {
    size_t n[STORY_N];
    size_t n_absent;  // absences in the record
    char first[512];  // of what is wrong, one sentence
} story_verdict;

void story_blame(story_verdict *v, story_fault f, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool story_is_good(const story_verdict *v);

/*
 * Reads what the run of the lane left; caller's.  Everything that is wrong
 * with it alone (lost, double, unsaid, unproven) is added to v.
 */
char *story_read(lane *l, story_verdict *v);
/* It must be the undisturbed run's. */
void story_compare(const char *story, const char *undisturbed, story_verdict *v);

#endif
