/*
 * job_inside.h - what the readers of job.yaml share; known to this folder only
 */
#ifndef JOB_JOB_INSIDE_H
#define JOB_JOB_INSIDE_H

#include "job/job.h"

/* Copies text of less than size bytes, or complains; NULL: nothing. */
void job_take_text(char *out, size_t size, fl_node where, const char *key, const char *text);

/* evaluation.c: the key `evaluation` of root, whose task and data were read. */
void job_read_evaluation(job *j, fl_node root);

#endif
