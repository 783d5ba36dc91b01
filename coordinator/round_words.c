/*
 * round_words.c - where the state machine is, in words
 *
 * For logs, progress, sites that wait and reports; see round.h.
 */
#include "coordinator/round_inside.h"

#include <stdio.h>
#include <string.h>

const char *round_state_name(round_state state)
{
    static const char *const names[] = {"checking",    "selected", "training", "aggregating",
                                        "evaluating",  "choosing", "testing",  "lending",
                                        "crossing",    "reporting", "handing out", "finished"};
    return names[state];
}

void round_duration(char *out, size_t n, int64_t ms)
{
    if (ms >= 60000 && ms % 60000 == 0) {
        snprintf(out, n, "%lld m", (long long)(ms / 60000));
    } else {
        snprintf(out, n, "%g s", (double)ms / 1000);
    }
}

static const stage_counts *count_stage(const round_machine *m)
{
    stage_counts *c = m->counts;
    if (c->known) {
        return c;
    }
    *c = (stage_counts){.known = true};
    for (size_t i = 0; i < m->n_sites; i++) {
        const round_site *s = &m->sites[i];
        if (m->state == ROUND_CHECKING) {
            c->all += s->member;
            c->in += s->member && s->check != ROUND_CHECK_ASKED && s->check != ROUND_CHECK_PENDING;
        } else {
            c->all += s->answer != ROUND_UNASKED;
            c->in += s->answer == ROUND_IN;
        }
    }
    return c;
}

void round_describe_stage(const round_machine *m, char *out, size_t n)
{
    const size_t in = count_stage(m)->in, all = count_stage(m)->all;
    switch (m->state) {
    case ROUND_CHECKING:
        snprintf(out, n, "checking: %zu of %zu sites have answered, quorum %lld", in, all,
                 (long long)m->cfg.quorum);
        break;
    case ROUND_SELECTED:
    case ROUND_TRAINING:
    case ROUND_AGGREGATING:
        snprintf(out, n, "round %u of %u: %zu of %zu updates are in", m->round, m->cfg.n_rounds, in,
                 all);
        break;
    case ROUND_EVALUATING:
        snprintf(out, n, "round %u of %u: %zu of %zu validation scores are in", m->round,
                 m->cfg.n_rounds, in, all);
        break;
    case ROUND_CHOOSING:
        snprintf(out, n, "freezing the threshold: %zu of %zu sites have sent their counts", in, all);
        break;
    case ROUND_TESTING:
        snprintf(out, n, "testing round %u's model: %zu of %zu sites are done", m->selected, in,
                 all);
        break;
    case ROUND_LENDING:
        snprintf(out, n, "lending own models: %zu of %zu sites have answered", in, all);
        break;
    case ROUND_CROSSING:
        snprintf(out, n, "own model %u of %u: %zu of %zu sites have judged it", m->lent, m->n_lent,
                 in, all);
        break;
    case ROUND_HANDING:
        snprintf(out, n, "handing out model and report: %zu of %zu sites have them", in, all);
        break;
    default:
        snprintf(out, n, "%s", round_state_name(m->state));
    }
}

void round_describe(const round_machine *m, char *out, size_t n)
{
    round_describe_stage(m, out, n);
    size_t used = strlen(out);
    size_t waiting = 0, asked = 0;
    for (size_t i = 0; i < m->n_sites; i++) {
        const round_site *s = &m->sites[i];
        bool waits = m->state == ROUND_CHECKING ? s->member && (s->check == ROUND_CHECK_ASKED ||
                                                                s->check == ROUND_CHECK_PENDING)
                                                : s->answer == ROUND_ASKED;
        asked += waits;
        if (!waits || waiting == 3 || used + 80 >= n) {
            continue;
        }
        used += (size_t)snprintf(out + used, n - used, "%s %s",
                                 waiting++ == 0 ? "; waiting for" : ",", s->name.text);
        if (s->check == ROUND_CHECK_PENDING) {
            used += (size_t)snprintf(out + used, n - used, " (pending)");
        } else if (s->steps_done <= s->steps_total && s->steps_total > 0 &&
                   s->phase == FED_WORKING) {
            used += (size_t)snprintf(out + used, n - used, " (%llu/%llu)",
                                     (unsigned long long)s->steps_done,
                                     (unsigned long long)s->steps_total);
        }
    }
    if (asked > waiting && used + 20 < n) {
        used += (size_t)snprintf(out + used, n - used, " and %zu more", asked - waiting);
    }
    if (m->state == ROUND_TRAINING && asked == 0 && used + 60 < n) {
        used += (size_t)snprintf(out + used, n - used,
                                 "; fewer than the quorum of %lld: waiting for absent sites",
                                 (long long)m->cfg.quorum);
        if (m->cfg.abandon_ms > 0 && used + 60 < n) {
            char time[32];
            round_duration(time, sizeof time, m->cfg.abandon_ms);
            snprintf(out + used, n - used, ", abandoned after %s", time);
        }
    }
}
