/*
 * linked.h - do a model's uncertain pixels lie where it looked?
 *
 * Of every case of a split that is outlined, the share of the tenth of pixels that is most
 * uncertain that lies in the tenth that the outline is explained by most (Seg-Grad-CAM).  By
 * chance it is a tenth.
 */
#ifndef CLIENT_LINKED_H
#define CLIENT_LINKED_H

#include "base/json.h"
#include "task/task.h"

typedef struct linked linked;

/* For a segmentation model, whose parameters are borrowed until destroy; FL_EUSAGE for others. */
fl_status linked_new(linked **out, const task_model *m, const float *params, fl_err *err);
void linked_destroy(linked **l);

/* Takes the maps of several predictions (task/members.h), case by case. */
task_maps linked_sink(linked *l);

/*
 * {"top", "chance", "share": FIGURE, "n_outlined", "n_without"}: the mean share over the cases
 * where something was outlined, explained and unsure; n_without: the others.  New reference.
 */
json_t *linked_json(const linked *l, uint64_t seed);

#endif
