/*
 * round.c - THE state machine; see round.h (round_words.c says in words where it is)
 *
 *   CHECKING ------------> SELECTED r <--------------------------------+
 *      |  [check_closes]       |  [round_publish]                      |
 *      v                       v                                       |
 *   (stop: data misfit)    TRAINING r                                  |
 *                              |  [round_close]  every one of the      |
 *                              |  cohort is in or absent, and the      |
 *                              |  quorum is in; until then it waits    |
 *                              v                                       |
 *                          AGGREGATING r                               |
 *                              |  [round_commit]  run.c makes model r  |
 *                              v                                       |
 *                          EVALUATING r ------- r < rounds ------------+
 *                              |     ^  (TRAINING [round_abandon]: model r is model r - 1)
 *                              |  [round_score]    r + 1
 *                              v  r = rounds: the best round is selected
 *                          CHOOSING  (only if threshold or calibration need counts of scores)
 *                              |  the threshold is frozen
 *                              v
 *                          TESTING ----------------+
 *                              |                   |  each site's own model is to be
 *                              |                   v  judged by all, and all allow it
 *                              |               LENDING
 *                              |                   |  somebody does not, or has none: REPORTING
 *                              |                   v
 *                              |               CROSSING k <----+
 *                              |                   |  |        |  k < models
 *                              |                   |  +--------+  k + 1
 *                              v                   |
 *                          REPORTING <-------------+
 *                              |  run.c writes report and final model
 *                              v
 *                          HANDING  ------>  FINISHED
 *
 * A transition is stored before anything is done about it.  Per state: what is
 * on disk, what has been sent, and what a restart does.
 *
 *   CHECKING     the job and model 0 are on disk.  Orders CHECK are out.  A restart keeps
 *                the answers of the sites that joined and asks the others again.
 *   SELECTED     the cohort of r is on disk, nothing was sent.  A restart publishes.
 *   TRAINING     orders TRAIN are out.  Accepted updates are spools on disk and rows in the
 *                record; a half spool goes on where it ends.  A restart waits for the rest; an
 *                accepted spool that a power cut took is asked for again, under the same digest.
 *   AGGREGATING  the set of contributions is final.  A restart computes model r again: the same
 *                bits, because the sum is exact and the order is the sites' names.
 *   EVALUATING   model r is on disk and current, its spools may go.  Orders SCORE are out.
 *                A missing score is an absence and undoes nothing.
 *   CHOOSING     the selected round is on disk.  Orders SCORE with a histogram are out.
 *   TESTING      the threshold is on disk before any test split is opened.  Orders TEST are out.
 *   LENDING      orders LEND are out.  Accepted models are spools on disk, flushed, and rows in the
 *                record; a half spool goes on where it ends.
 *   CROSSING     which models there are is final, and which of them is judged is on disk.  Orders
 *                CROSS are out.  A missing judgement is an absence and undoes nothing.
 *   REPORTING    everything the report is made of is in the record.  A restart makes it again.
 *   HANDING      report and final model are on disk.  Orders DONE are out.
 *   FINISHED     sites that missed DONE are still served it.
 *
 * A round whose sites have all answered or left, and whose quorum is not in,
 * waits for the absent and takes in whoever joins: with the same base model an
 * update is an update of this round.  It is given up only when the job says after how
 * long (sites.abandon): then no update of it counts and its model is the one before.
 * The time is counted while nothing comes from the sites that are missing, and anew after
 * a restart.
 *
 * The only ways out of a stage's cohort: a contribution, or an absence with a
 * reason (silent, stalled, refused, removed, waiting for a person).  An absent site whose
 * contribution is accepted before the stage closes is in.
 *
 * A site's answer to the job is its home's.  Where the site was removed and invited anew, the new
 * home's data and policy are others: until REPORTING it is asked CHECK as any site that comes late
 * is, and takes no part before it has joined.  A restart finds who has joined with which keys.
 *
 * With late: carry an update that comes after its round's close is kept for the
 * next one (carry.h).  It is no answer to that round: the site is asked for one all
 * the same, and the quorum does not count it.
 */
#include "coordinator/round_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { HANDING_PATIENCE_MS = 60000 };  // a site that misses DONE gets it later

round_machine *round_new(const round_config *cfg, int64_t now_ms)
{
    round_machine *m = fl_xcalloc(1, sizeof *m);
    m->cfg = *cfg;
    m->counts = fl_xcalloc(1, sizeof *m->counts);
    m->state = ROUND_CHECKING;
    m->since_ms = now_ms;
    return m;
}

void round_destroy(round_machine **m)
{
    if (*m != NULL) {
        free((*m)->sites);
        free((*m)->by_name);
        free((*m)->counts);
        FL_FREE(*m);
    }
}

void round_restore(round_machine *m, round_state state, uint32_t round, uint32_t selected)
{
    m->counts->known = false;
    m->state = state;
    m->round = round;
    m->selected = selected;
}

void round_restore_lent(round_machine *m, uint32_t lent, uint32_t n_lent)
{
    m->lent = lent;
    m->n_lent = n_lent;
}

size_t round_add_site(round_machine *m, const fed_site_id *name, int64_t now_ms)
{
    size_t low = 0, high = m->n_sites;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name->text, m->sites[m->by_name[middle]].name.text);
        if (order == 0) {
            return m->by_name[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    m->counts->known = false;
    m->by_name = fl_xrealloc(m->by_name, m->n_sites + 1, sizeof *m->by_name);
    memmove(m->by_name + low + 1, m->by_name + low, (m->n_sites - low) * sizeof *m->by_name);
    m->by_name[low] = m->n_sites;
    m->sites = fl_xrealloc(m->sites, m->n_sites + 1, sizeof *m->sites);
    m->sites[m->n_sites] = (round_site){
        .name = *name, .member = true, .heard_ms = now_ms, .progress_ms = now_ms};
    return m->n_sites++;
}

void round_restore_check(round_machine *m, size_t site, round_check check, const char *reason)
{
    m->counts->known = false;
    m->sites[site].check = check;
    snprintf(m->sites[site].check_reason, FED_TEXT_BYTES, "%s", reason);
}

void round_restore_answer(round_machine *m, size_t site, round_answer answer, const char *reason)
{
    m->counts->known = false;
    m->sites[site].answer = answer;
    snprintf(m->sites[site].reason, FED_TEXT_BYTES, "%s", reason);
}

// ------------------------------------------------------------ what happened

void round_set_member(round_machine *m, size_t site, bool member)
{
    m->counts->known = m->counts->known && m->sites[site].member == member;
    m->sites[site].member = member;
}

void round_heard(round_machine *m, size_t site, int64_t now_ms)
{
    m->sites[site].heard_ms = now_ms;
}

void round_was_deaf(round_machine *m, int64_t ms)
{
    m->since_ms += ms;
    m->short_ms += m->short_ms > 0 ? ms : 0;
    for (size_t i = 0; i < m->n_sites; i++) {
        m->sites[i].heard_ms += ms;
        m->sites[i].progress_ms += ms;
    }
}

void round_hello(round_machine *m, size_t site, int64_t now_ms)
{
    round_site *s = &m->sites[site];
    s->heard_ms = s->progress_ms = now_ms;
    s->said_no = s->waits_for_credit = false;
    s->phase = FED_IDLE;
    s->steps_done = s->steps_total = 0;
}

void round_progress(round_machine *m, size_t site, int64_t now_ms)
{
    m->sites[site].heard_ms = m->sites[site].progress_ms = now_ms;
}

void round_beat(round_machine *m, size_t site, fed_phase phase, uint64_t done, uint64_t total,
                int64_t now_ms)
{
    round_site *s = &m->sites[site];
    s->heard_ms = now_ms;
    if (s->phase != phase || s->steps_done != done) {
        s->progress_ms = now_ms;
    }
    s->phase = phase;
    s->steps_done = done;
    s->steps_total = total;
}

void round_set_waits_for_credit(round_machine *m, size_t site, bool waits)
{
    m->sites[site].waits_for_credit = waits;
}

// ------------------------------------------------------------------- stages

bool round_stage_of(const round_step *step, fed_order_kind *kind, uint32_t *order_round)
{
    *order_round = step->round;
    switch (step->state) {
    case ROUND_CHECKING:
        *kind = FED_CHECK;
        *order_round = 0;
        return true;
    case ROUND_SELECTED:
    case ROUND_TRAINING:
    case ROUND_AGGREGATING:
        *kind = FED_TRAIN;
        return true;
    case ROUND_EVALUATING:
        *kind = FED_SCORE;
        return true;
    case ROUND_CHOOSING:
        *kind = FED_SCORE;
        *order_round = step->round | FED_HISTOGRAM_BIT;
        return true;
    case ROUND_TESTING:
        *kind = FED_TEST;
        return true;
    case ROUND_LENDING:
        *kind = FED_LEND;
        return true;
    case ROUND_CROSSING:
        *kind = FED_CROSS;
        *order_round = step->lent;
        return true;
    case ROUND_HANDING:
    case ROUND_FINISHED:
        *kind = FED_DONE;
        return true;
    default:
        *kind = FED_WAIT;
        return false;
    }
}

bool round_stage(const round_machine *m, fed_order_kind *kind, uint32_t *round)
{
    const round_step now = {.state = m->state, .round = round_number(m), .lent = m->lent};
    return round_stage_of(&now, kind, round);
}

bool round_asks(round_state state)
{
    return state == ROUND_SELECTED || state == ROUND_EVALUATING || state == ROUND_CHOOSING ||
           state == ROUND_TESTING || state == ROUND_LENDING || state == ROUND_CROSSING ||
           state == ROUND_HANDING;
}

/* Orders of the stage are out and its contributions are welcome. */
static bool is_open(round_state state)
{
    return state == ROUND_TRAINING || state == ROUND_EVALUATING || state == ROUND_CHOOSING ||
           state == ROUND_TESTING || state == ROUND_LENDING || state == ROUND_CROSSING ||
           state == ROUND_HANDING || state == ROUND_FINISHED;
}

round_state round_now(const round_machine *m)
{
    return m->state;
}

uint32_t round_number(const round_machine *m)
{
    return m->state >= ROUND_CHOOSING ? m->selected : m->round;
}

uint32_t round_committed(const round_machine *m)
{
    if (m->state == ROUND_CHECKING) {
        return 0;
    }
    return m->state <= ROUND_AGGREGATING ? m->round - 1 : m->round;
}

uint32_t round_lent(const round_machine *m)
{
    return m->lent;
}

size_t round_n_sites(const round_machine *m)
{
    return m->n_sites;
}

const round_site *round_at(const round_machine *m, size_t site)
{
    FL_REQUIRE(site < m->n_sites);
    return &m->sites[site];
}

size_t round_count(const round_machine *m, round_answer answer)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_sites; i++) {
        n += m->sites[i].answer == answer;
    }
    return n;
}

bool round_in_cohort(const round_machine *m, size_t site)
{
    return m->sites[site].member && m->sites[site].check == ROUND_CHECK_JOINED;
}

// --------------------------------------------------------- replies and steps

static const char removed[] = "removed from the federation";

static round_step absent(size_t site, const char *what, const char *why)
{
    round_step s = {.kind = ROUND_STEP_ABSENT, .site = site};
    snprintf(s.reason, sizeof s.reason, "%s%.480s", what, why);
    return s;
}

bool round_reply(round_machine *m, size_t site, const fed_order_key *key, fed_answer answer,
                 bool mismatch, const char *text, round_step *out)
{
    round_site *s = &m->sites[site];
    fed_order_kind kind;
    uint32_t round;
    if (key->kind == FED_CHECK) {
        if (s->check == ROUND_CHECK_JOINED || answer == FED_ACCEPT) {
            return false;
        }
        *out = (round_step){.kind = ROUND_STEP_CHECK, .site = site};
        out->check = answer == FED_PENDING ? ROUND_CHECK_PENDING
                     : mismatch            ? ROUND_CHECK_MISFIT
                                           : ROUND_CHECK_REFUSED;
        snprintf(out->reason, sizeof out->reason, "%s", text);
        s->said_no = answer == FED_REFUSE;
        return out->check != s->check || strcmp(out->reason, s->check_reason) != 0;
    }
    if (answer == FED_ACCEPT || !is_open(m->state) || !round_stage(m, &kind, &round) ||
        key->kind != kind || key->round.n != round || s->check != ROUND_CHECK_JOINED ||
        (s->answer != ROUND_ASKED && s->answer != ROUND_ABSENT)) {
        return false;
    }
    s->said_no = answer == FED_REFUSE;
    if (s->answer == ROUND_ABSENT) {
        return false;
    }
    if (answer == FED_PENDING) {  // not waited for, but its contribution is while the stage is open
        *out = absent(site, text, "");
        return true;
    }
    static const char *const failed[FED_N_ORDERS] = {[FED_TRAIN] = "training failed: ",
                                                     [FED_SCORE] = "validation failed: ",
                                                     [FED_TEST] = "test failed: ",
                                                     [FED_LEND] = "did not lend its own model: ",
                                                     [FED_CROSS] =
                                                         "did not judge another's model: ",
                                                     [FED_DONE] = "did not keep the model: "};
    *out = absent(site, failed[kind], text);
    return true;
}

bool round_ask_anew(const round_machine *m, size_t site, round_step *out)
{
    const round_site *s = &m->sites[site];
    if (s->check == ROUND_CHECK_ASKED || m->state >= ROUND_REPORTING) {
        return false;
    }
    if (s->answer == ROUND_ASKED) {
        *out = absent(site, removed, "");
        return true;
    }
    *out = (round_step){.kind = ROUND_STEP_CHECK, .site = site, .check = ROUND_CHECK_ASKED};
    snprintf(out->reason, sizeof out->reason, "its home is new and has not joined yet");
    return true;
}

bool round_expects(const round_machine *m, size_t site, fed_order_kind kind, uint32_t round)
{
    const round_site *s = &m->sites[site];
    bool joined = s->check == ROUND_CHECK_JOINED;
    if (!s->member || joined == (kind == FED_CHECK)) {
        return false;
    }
    if (kind == FED_CHECK) {
        return round == 0 && m->state < ROUND_REPORTING;
    }
    fed_order_kind now;
    uint32_t now_round;
    return is_open(m->state) && round_stage(m, &now, &now_round) && kind == now &&
           round == now_round && (s->answer == ROUND_ASKED || s->answer == ROUND_ABSENT);
}

uint32_t round_next_close(const round_machine *m)
{
    switch (m->state) {
    case ROUND_SELECTED:
    case ROUND_TRAINING:
        return m->round;
    case ROUND_AGGREGATING:  // its set is final
    case ROUND_EVALUATING:
        return m->round < m->cfg.n_rounds ? m->round + 1 : 0;
    default:
        return 0;
    }
}

/* The next site that leaves the stage without a contribution. */
static bool next_absence(const round_machine *m, int64_t now_ms, round_step *out)
{
    int64_t patience = m->cfg.patience_ms;
    if (m->state == ROUND_HANDING && patience > HANDING_PATIENCE_MS) {
        patience = HANDING_PATIENCE_MS;
    }
    bool waits = m->state == ROUND_TRAINING && m->cfg.waits_for_late;
    char time[32], long_time[32];
    round_duration(time, sizeof time, patience);
    round_duration(long_time, sizeof long_time, m->cfg.patience_ms);
    for (size_t i = 0; i < m->n_sites; i++) {
        const round_site *s = &m->sites[i];
        if (s->answer != ROUND_ASKED) {
            continue;
        }
        if (!s->member) {
            *out = absent(i, removed, "");
        } else if (waits) {
            continue;
        } else if (now_ms - s->heard_ms > patience) {
            *out = absent(i, "silent for ", time);
        } else if (!s->waits_for_credit && now_ms - s->progress_ms > m->cfg.patience_ms) {
            *out = absent(i, "stalled: no progress for ", long_time);
        } else {
            continue;
        }
        return true;
    }
    return false;
}

static bool enter(round_step *out, round_state state, uint32_t round)
{
    *out = (round_step){.kind = ROUND_STEP_ENTER, .state = state, .round = round};
    return true;
}

static bool enter_crossing(round_step *out, const round_machine *m, uint32_t lent)
{
    enter(out, ROUND_CROSSING, m->selected);
    out->lent = lent;
    out->n_lent = m->n_lent;
    return true;
}

/* round_close: the quorum is in, or whoever joined meanwhile is asked to fill it. */
static bool round_closes(const round_machine *m, round_step *out)
{
    if ((int64_t)round_count(m, ROUND_IN) >= m->cfg.quorum) {
        return enter(out, ROUND_AGGREGATING, m->round);
    }
    for (size_t i = 0; i < m->n_sites; i++) {
        if (m->sites[i].answer == ROUND_UNASKED && round_in_cohort(m, i)) {
            *out = (round_step){.kind = ROUND_STEP_ASK, .site = i};
            return true;
        }
    }
    return false;
}

/* Nobody is left that could bring the quorum but those who left. */
static bool is_short(const round_machine *m)
{
    round_step ignored;
    return m->state == ROUND_TRAINING && round_count(m, ROUND_ASKED) == 0 &&
           !round_closes(m, &ignored);
}

/* round_abandon: short for so long, and nothing came from those who are missing. */
static bool is_abandoned(const round_machine *m, int64_t now_ms, round_step *out)
{
    if (m->cfg.abandon_ms == 0 || !is_short(m)) {
        return false;
    }
    int64_t since = m->short_ms > m->since_ms ? m->short_ms : m->since_ms;
    for (size_t i = 0; i < m->n_sites; i++) {
        const round_site *s = &m->sites[i];
        if (s->member && s->answer == ROUND_ABSENT && s->progress_ms > since) {
            since = s->progress_ms;
        }
    }
    if (now_ms - since < m->cfg.abandon_ms) {
        return false;
    }
    char time[32];
    size_t in = round_count(m, ROUND_IN);
    round_duration(time, sizeof time, m->cfg.abandon_ms);
    enter(out, ROUND_EVALUATING, m->round);
    snprintf(out->reason, sizeof out->reason, "%zu of %zu updates, %lld of them too few, for %s", in,
             in + round_count(m, ROUND_ABSENT), (long long)m->cfg.quorum - (long long)in, time);
    return true;
}

/* CHECKING: starts when everyone answered, or after patience; with a quorum. */
static bool check_closes(const round_machine *m, int64_t now_ms, round_step *out)
{
    size_t joined = 0, waiting = 0, misfits = 0;
    for (size_t i = 0; i < m->n_sites; i++) {
        const round_site *s = &m->sites[i];
        if (s->member) {
            joined += s->check == ROUND_CHECK_JOINED;
            waiting += s->check == ROUND_CHECK_ASKED || s->check == ROUND_CHECK_PENDING;
            misfits += s->check == ROUND_CHECK_MISFIT;
        }
    }
    if (waiting > 0 && now_ms - m->since_ms < m->cfg.patience_ms) {
        return false;
    }
    if (misfits > 0) {
        *out = (round_step){.kind = ROUND_STEP_STOP};
        return true;
    }
    return (int64_t)joined >= m->cfg.quorum && enter(out, ROUND_SELECTED, 1);
}

bool round_next(const round_machine *m, int64_t now_ms, round_step *out)
{
    if (is_open(m->state) && m->state != ROUND_FINISHED && next_absence(m, now_ms, out)) {
        return true;
    }
    bool all_answered = round_count(m, ROUND_ASKED) == 0;
    switch (m->state) {
    case ROUND_CHECKING:
        return check_closes(m, now_ms, out);
    case ROUND_SELECTED:  // round_publish
        return enter(out, ROUND_TRAINING, m->round);
    case ROUND_TRAINING:  // round_close
        return (all_answered && round_closes(m, out)) || is_abandoned(m, now_ms, out);
    case ROUND_AGGREGATING:  // round_commit
        return enter(out, ROUND_EVALUATING, m->round);
    case ROUND_EVALUATING:  // round_score
        if (!all_answered) {
            return false;
        }
        if (m->round < m->cfg.n_rounds) {
            return enter(out, ROUND_SELECTED, m->round + 1);
        }
        return enter(out, m->cfg.asks_validation ? ROUND_CHOOSING : ROUND_TESTING, 0);
    case ROUND_CHOOSING:
        return all_answered && enter(out, ROUND_TESTING, m->selected);
    case ROUND_TESTING:
        return all_answered &&
               enter(out, m->cfg.lends ? ROUND_LENDING : ROUND_REPORTING, m->selected);
    case ROUND_LENDING:
        return all_answered && enter_crossing(out, m, 1);
    case ROUND_CROSSING:
        return all_answered && (m->lent < m->n_lent ? enter_crossing(out, m, m->lent + 1)
                                                    : enter(out, ROUND_REPORTING, m->selected));
    case ROUND_REPORTING:
        return enter(out, ROUND_HANDING, m->selected);
    case ROUND_HANDING:
        return all_answered && enter(out, ROUND_FINISHED, m->selected);
    default:
        return false;
    }
}

static void apply_enter(round_machine *m, const round_step *step, int64_t now_ms)
{
    m->state = step->state;
    m->since_ms = now_ms;
    if (step->state >= ROUND_CHOOSING) {
        FL_REQUIRE(step->round >= 1);
        m->selected = step->round;
        m->lent = step->lent;
        m->n_lent = step->n_lent;
    } else {
        m->round = step->round;
    }
    for (size_t i = 0; i < m->n_sites; i++) {
        round_site *s = &m->sites[i];
        if (round_asks(step->state)) {
            s->answer = round_in_cohort(m, i) ? ROUND_ASKED : ROUND_UNASKED;
            s->reason[0] = '\0';
        } else if (step->state == ROUND_REPORTING) {
            s->answer = ROUND_UNASKED;
        }
        if (s->check == ROUND_CHECK_JOINED) {
            s->said_no = false;
        }
        s->waits_for_credit = false;
        s->progress_ms = now_ms;
    }
}

void round_apply(round_machine *m, const round_step *step, int64_t now_ms)
{
    round_site *s = step->kind == ROUND_STEP_ENTER || step->kind == ROUND_STEP_STOP
                        ? NULL
                        : &m->sites[step->site];
    m->counts->known = false;
    switch (step->kind) {
    case ROUND_STEP_ENTER:
        apply_enter(m, step, now_ms);
        break;
    case ROUND_STEP_CHECK:
        s->check = step->check;
        s->said_no = s->said_no && step->check != ROUND_CHECK_ASKED;
        memcpy(s->check_reason, step->reason, sizeof s->check_reason);
        break;
    case ROUND_STEP_ACCEPT:
        if (step->contribution == FED_CHECK) {
            s->check = ROUND_CHECK_JOINED;
            s->check_reason[0] = '\0';
        } else {
            s->answer = ROUND_IN;
            s->reason[0] = '\0';
        }
        s->said_no = s->waits_for_credit = false;
        break;
    case ROUND_STEP_CARRY:  // of another round: its answer to this one is still to come
        s->waits_for_credit = false;
        s->progress_ms = now_ms;
        break;
    case ROUND_STEP_ABSENT:
        s->answer = ROUND_ABSENT;
        memcpy(s->reason, step->reason, sizeof s->reason);
        break;
    case ROUND_STEP_ASK:
    case ROUND_STEP_LOST:
        s->answer = ROUND_ASKED;
        s->progress_ms = now_ms;  // it had nothing to get on with
        break;
    case ROUND_STEP_STOP:
        break;
    }
    m->short_ms = !is_short(m) ? 0 : m->short_ms == 0 ? now_ms : m->short_ms;
}

// ------------------------------------------------------------------- orders

void round_order(const round_machine *m, size_t site, fed_order_kind *kind, uint32_t *round,
                 char *text)
{
    const round_site *s = &m->sites[site];
    text[0] = '\0';
    if (is_open(m->state) && !s->said_no && s->check == ROUND_CHECK_JOINED &&
        (s->answer == ROUND_ASKED || s->answer == ROUND_ABSENT) && round_stage(m, kind, round)) {
        return;
    }
    *kind = FED_WAIT;
    *round = round_number(m);
    if (s->check != ROUND_CHECK_JOINED && m->state < ROUND_REPORTING) {
        if (!s->said_no) {
            *kind = FED_CHECK;
            *round = 0;
        } else {
            snprintf(text, FED_TEXT_BYTES, "not in this job: %.480s", s->check_reason);
        }
        return;
    }
    round_describe_stage(m, text, FED_TEXT_BYTES);
}
