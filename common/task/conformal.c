/*
 * conformal.c - conformal sets of a split's scores, as figures (members.h)
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/uncertainty.h"
#include "task/members.h"

void task_conformal_own(task_conformal *c, const task_scores *val)
{
    double *s = fl_xcalloc(val->n, sizeof *s);
    c->n = eval_conformal_nonconformity(s, val->score, val->label, val->n, val->K);
    if (c->n >= EVAL_CONFORMAL_CASES) {
        c->quantile = eval_conformal_quantile(s, c->n, c->alpha);
        c->source = "own";
    }
    free(s);
}

json_t *task_conformal_json(const task_conformal *c, const task_scores *s, uint64_t seed)
{
    if (isnan(c->quantile)) {
        return json_pack("{s:f, s:n, s:s}", "alpha", c->alpha, "quantile", "why",
                         "fewer than 200 validation cases of one's own, and no pooled quantile");
    }
    eval_conformal judged;
    eval_conformal_judge(&judged, s->score, s->label, s->patient, s->n, s->K, c->quantile, seed);
    return json_pack("{s:f, s:f, s:s, s:I, s:o, s:o, s:o, s:o}", "alpha", c->alpha, "quantile",
                     fmin(1, c->quantile), "source", c->source, "n_calibration",
                     (json_int_t)c->n, "coverage", eval_figure_json(&judged.coverage), "set_size",
                     eval_figure_json(&judged.set_size), "single", fl_json_number(judged.single),
                     "empty", fl_json_number(judged.empty));
}
