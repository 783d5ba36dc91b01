/*
 * leave_out.c - see leave_out.h
 */
#include "sim/leave_out.h"

#include <stdlib.h>

#include "base/log.h"
#include "sim/baseline.h"
#include "sim/extra.h"

/* Plays the others' federation and judges its model at hospital h. */
static fl_status without(json_t **metrics, const scenario *s, size_t h, const char *data,
                         const char *out, fl_err *err)
{
    extra e;
    fl_status st = extra_without(&e, s, h, out, err);
    if (st != FL_OK) {
        return st;
    }
    char *model = extra_model(s, e.out), *last = scenario_last_folder(&s->hospitals[h]);
    if ((st = extra_play(&e, data, err)) == FL_OK) {
        st = baseline_evaluate(metrics, model, data, last, err);
    }
    free(last);
    free(model);
    extra_clear(&e);
    return st;
}

fl_status leave_out_figures(json_t **figures, const scenario *s, const char *data,
                            const char *out, fl_err *err)
{
    json_t *sites = json_object();
    fl_status st = FL_OK;
    *figures = NULL;
    for (size_t h = 0; h < s->n_hospitals && st == FL_OK; h++) {
        json_t *metrics = NULL;
        fl_progress("leaving one out: hospital %zu of %zu, %s", h + 1, s->n_hospitals,
                    s->hospitals[h].name);
        if ((st = without(&metrics, s, h, data, out, err)) == FL_OK) {
            json_object_set_new(sites, s->hospitals[h].name, metrics);
        } else {
            fl_wrap(err, st, "leaving %s out", s->hospitals[h].name);
        }
    }
    if (st == FL_OK) {
        *figures = json_pack("{s:O}", "sites", sites);
    }
    json_decref(sites);
    return st;
}
