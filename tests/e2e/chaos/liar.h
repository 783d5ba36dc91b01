/*
 * liar.h - a hospital whose client lies
 *
 * It is enrolled, takes part in a run, and gives updates by a formula.  Before
 * an honest answer to an order to train it tells a lie, twice; a third one
 * would cost it its place.  So whatever it says, the run must end as with the
 * honest answers alone, and each lie that is a lie must be in the report.
 */
#ifndef LIAR_H
#define LIAR_H

#include <stddef.h>

/* Name of lie i; goes round. */
const char *liar_lie(size_t i);
/* How the refusal begins that it must earn; "": none, it is ignored. */
const char *liar_earns(const char *lie);
/* Plays the site of a home to the end of a run; exit code. */
int liar_main(const char *home, const char *lie);

#endif
