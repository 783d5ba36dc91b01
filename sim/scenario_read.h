/*
 * scenario_read.h - what the files that read scenario.yaml share; known to them only
 */
#ifndef SIM_SCENARIO_READ_H
#define SIM_SCENARIO_READ_H

#include "sim/scenario.h"

/* The node as YAML; expand: with its variables.  Caller's; complaints go to the document. */
char *scenario_emit(fl_node node, bool expand);

/* root.path = value, an existing file's path made absolute: the text is going
 * to be read from another folder.  A file that is not there stays as it is. */
void scenario_anchor(fl_cfg *c, const char *path, const char *value);

/* hospitals: and events: into s, whose job, generate and source have been read. */
void scenario_read_hospitals(scenario *s, fl_node root);
void scenario_read_events(scenario *s, fl_node root);
/* NULL when there is none of that name. */
scenario_hospital *scenario_find(const scenario *s, const char *name);
/* Their keys, for the reference. */
void scenario_describe_hospital(scenario *s, fl_node root);

/* scenario_compared.c: baselines, ensemble and snapshot; the job and the hospitals are read. */
void scenario_read_compared(scenario *s, fl_node root);
/* What of them the hospitals are to do, into the job's text: prefix is where it stands in the
 * document.  What is the simulator's alone is taken out. */
fl_status scenario_ask_more(const scenario *s, fl_cfg *c, const char *prefix, fl_err *err);

#endif
