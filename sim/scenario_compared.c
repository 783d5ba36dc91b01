/*
 * scenario_compared.c - what a scenario compares the shared model with
 *
 * `baselines:`, `ensemble:` and `snapshot:`; the job's `evaluation: full` is short for all
 * that a simulator can do.  It needs nobody's leave to judge hospitals' own models elsewhere, so
 * the consortium that it plays is not asked to, unless the job says `cross_site: true`.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/scenario.h"
#include "sim/scenario_read.h"

enum {
    FULL_MEMBERS = 5,     // of the ensemble that evaluation: full plays
    MAX_MEMBERS = 100,
    LEAST_TO_LEAVE = 3,   // hospitals: two must remain
};

static void read_list(scenario *s, fl_node list)
{
    scenario_compared *c = &s->compared;
    const struct {
        const char *name;
        bool *flag;
    } known[] = {{"personal", &c->personal},
                 {"centralised", &s->centralised},
                 {"leave_one_out", &c->leave_one_out},
                 {"cross_site", &c->cross_site}};
    for (size_t i = 0; i < fl_cfg_count(list); i++) {
        const char *name = fl_node_text(fl_cfg_item(list, i), "baseline");
        bool found = strcmp(name, "local") == 0;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
            if (strcmp(name, known[k].name) == 0) {
                *known[k].flag = found = true;
            }
        }
        if (!found) {
            fl_cfg_complain(list,
                            "baselines: expected local, personal, centralised, leave_one_out or "
                            "cross_site, found %s",
                            name);
        }
    }
}

/* What cannot be done is refused where it was asked for. */
static void check_compared(const scenario *s, fl_node list, fl_node snapshot)
{
    const scenario_compared *c = &s->compared;
    if (c->leave_one_out && s->n_hospitals < LEAST_TO_LEAVE) {
        fl_cfg_complain(list, "baselines: leave_one_out: expected %d hospitals or more, found %zu",
                        LEAST_TO_LEAVE, s->n_hospitals);
    }
    if (c->cross_site && !s->job.evaluation.local_baseline) {
        fl_cfg_complain(list, "baselines: cross_site needs each hospital's own model; expected "
                              "evaluation.local_baseline.budget same_steps, found none");
    }
    if (c->snapshot > s->job.rounds) {
        fl_cfg_complain(snapshot, "snapshot: expected at most the %lld rounds of the job, found "
                                  "%lld",
                        (long long)s->job.rounds, (long long)c->snapshot);
    }
}

void scenario_read_compared(scenario *s, fl_node root)
{
    static const char ensemble_help[] =
        "federations with seeds of their own, this one among them, whose models are the members "
        "of a deep ensemble";
    static const char snapshot_help[] = "so many of the last rounds' models as members";
    scenario_compared *c = &s->compared;
    fl_node list = fl_cfg_list(root, "baselines",
                               "[local, personal, centralised, leave_one_out, cross_site]: what "
                               "the global model is compared with; personal is the job's "
                               "evaluation.personal; leave_one_out plays a federation more for "
                               "every hospital; cross_site judges each hospital's own model at "
                               "every other");
    read_list(s, list);
    c->ensemble = fl_cfg_int(root, "ensemble", 2, MAX_MEMBERS, 0, ensemble_help);
    c->snapshot = fl_cfg_int(root, "snapshot", 2, MAX_MEMBERS, 0, snapshot_help);
    if (s->job.evaluation.full) {
        c->personal = c->leave_one_out = c->cross_site = true;
        c->ensemble = c->ensemble > 0 ? c->ensemble : FULL_MEMBERS;
    }
    if (fl_cfg_ok(root.cfg)) {
        check_compared(s, fl_cfg_present(list) ? list : root, fl_cfg_get(root, "snapshot", ""));
    }
}

static fl_status set(fl_cfg *c, const char *prefix, const char *key, const char *value, fl_err *err)
{
    char *path = fl_xasprintf("%s%s", prefix, key);
    fl_status st = fl_cfg_set(c, path, value, err);
    free(path);
    return st;
}

fl_status scenario_ask_more(const scenario *s, fl_cfg *c, const char *prefix, fl_err *err)
{
    const job_evaluation *e = &s->job.evaluation;
    fl_node at = prefix[0] != '\0' ? fl_cfg_get(fl_cfg_root(c), "job", "") : fl_cfg_root(c);
    fl_node evaluation = fl_cfg_get(at, "evaluation", "");
    bool is_word = fl_cfg_is_scalar(evaluation);
    bool says_how = !is_word && fl_cfg_has(evaluation, "personal");
    fl_status st = FL_OK;
    if (e->full) {
        st = is_word ? set(c, prefix, "evaluation", "{extent: basic}", err)
                     : set(c, prefix, "evaluation.extent", "basic", err);
    }
    return st == FL_OK && s->compared.personal && !says_how
               ? set(c, prefix, "evaluation.personal", "{}", err)
               : st;
}
