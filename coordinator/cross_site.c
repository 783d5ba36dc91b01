/*
 * cross_site.c - see cross_site.h
 */
#include "coordinator/cross_site.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static json_t *with_reason(const char *site, const char *reason)
{
    char clean[FED_TEXT_BYTES];  // cut in mid-letter it would be no JSON
    return json_pack("{s:s, s:s}", "site", site, "reason",
                     fed_msg_clean_text(clean, sizeof clean, reason));
}

// -------------------------------------------------------------- who allows it

/* {SITE: reason} of those that were tested, until they are known to allow it. */
static fl_status note_tested(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    json_object_set_new(ctx, a->site.text,
                        json_string("its client is older than the cross-site matrix"));
    return FL_OK;
}

/* What its policy said when it joined. */
static fl_status note_policy(void *ctx, const record_answer *a, fl_err *err)
{
    json_t *answer = NULL;
    if (json_object_get(ctx, a->site.text) == NULL || a->n_payload == 0) {
        return FL_OK;
    }
    fl_status st = fl_json_parse(&answer, a->payload, a->n_payload, a->n_payload, a->site.text,
                                 err);
    if (st != FL_OK) {
        return st;
    }
    const char *said = fl_json_get_string(json_object_get(answer, "policy"), "own_model", "");
    if (strcmp(said, "leaves") == 0) {
        json_object_del(ctx, a->site.text);
    } else if (*said != '\0') {
        json_object_set_new(ctx, a->site.text, json_string("its policy keeps its own model"));
    }
    json_decref(answer);
    return FL_OK;
}

/* What it said when it was asked for the model. */
static fl_status note_refusal(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    if (a->state == ROUND_IN && fed_offer_get(&a->offer, "allowed", 0) == 0) {
        json_object_set_new(ctx, a->site.text,
                            json_string("its policy keeps its own model, since the run began"));
    }
    return FL_OK;
}

static fl_status count_tested(void *ctx, const record_answer *a, fl_err *err)
{
    (void)a;
    (void)err;
    ++*(size_t *)ctx;
    return FL_OK;
}

fl_status cross_site_is_too_large(bool *out, record *r, uint32_t selected, fl_err *err)
{
    size_t n = 0;
    fl_status st = record_answers(r, FED_TEST, selected, count_tested, &n, err);
    *out = n > CROSS_SITE_MOST;
    return st;
}

fl_status cross_site_keepers(json_t **out, record *r, uint32_t selected, fl_err *err)
{
    json_t *keepers = json_object();
    const char *site;
    json_t *reason;
    fl_status st;
    *out = json_array();
    if ((st = record_answers(r, FED_TEST, selected, note_tested, keepers, err)) == FL_OK &&
        (st = record_answers(r, FED_CHECK, 0, note_policy, keepers, err)) == FL_OK) {
        st = record_answers(r, FED_LEND, selected, note_refusal, keepers, err);
    }
    json_object_foreach(keepers, site, reason) {
        json_array_append_new(*out, with_reason(site, json_string_value(reason)));
    }
    json_decref(keepers);
    if (st != FL_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

// ------------------------------------------------------------ the models lent

static bool is_lent(const record_answer *a)
{
    return a->state == ROUND_IN && a->has_offer && a->offer.n_pieces > 0;
}

typedef struct {
    uint32_t n, which;  // seen; wanted, 0: none
    fed_offer *found;
} search;

static fl_status pass_lent(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    search *s = ctx;
    if (is_lent(a) && ++s->n == s->which) {
        *s->found = a->offer;
    }
    return FL_OK;
}

fl_status cross_site_count(uint32_t *n, record *r, uint32_t selected, fl_err *err)
{
    search s = {.which = 0};
    fl_status st = record_answers(r, FED_LEND, selected, pass_lent, &s, err);
    *n = s.n;
    return st;
}

fl_status cross_site_find(fed_offer *out, record *r, uint32_t selected, uint32_t which,
                          fl_err *err)
{
    search s = {.which = which, .found = out};
    fl_status st = record_answers(r, FED_LEND, selected, pass_lent, &s, err);
    return st == FL_OK && s.n < which
               ? fl_fail(err, FL_ENOTFOUND, "own model %u of %u is not recorded", which, s.n)
               : st;
}

// ------------------------------------------------------------------ the report

typedef struct {
    json_t *rows;     // [owner...], in the order in which they were judged
    json_t *missing;  // sites without a row
    json_t *absent;   // [{"site", "reason"}]: whose row or cells are missing, each reason once
    json_t *row;      // {COLUMN: {METRIC: FIGURE}} that is filled in
    json_t *looks;    // {SITE: n}, the caller's
} matrix;

/* A site counts its looks at its test split itself; an older client does not say them, and has
 * taken one where it has figures. */
static void note_looks(matrix *m, const char *site, const json_t *judged)
{
    json_int_t before = fl_json_get_int(m->looks, site, 0);
    json_int_t now = fl_json_get_int(judged, "test_opened", -1);
    if (now < 0) {
        now = before + (json_object_get(judged, "metrics") != NULL);
    }
    if (now > before) {
        json_object_set_new(m->looks, site, json_integer(now));
    }
}

static void note_absence(matrix *m, const char *site, const char *reason)
{
    json_t *new = with_reason(site, reason), *item;
    size_t i;
    bool known = false;
    json_array_foreach(m->absent, i, item) {
        known = known || json_equal(item, new);
    }
    if (!known) {
        json_array_append(m->absent, new);
    }
    json_decref(new);
}

static fl_status list_row(void *ctx, const record_answer *a, fl_err *err)
{
    (void)err;
    matrix *m = ctx;
    json_array_append_new(is_lent(a) ? m->rows : m->missing, json_string(a->site.text));
    if (a->state != ROUND_IN) {
        note_absence(m, a->site.text, a->reason);
    }
    return FL_OK;
}

static fl_status add_cell(void *ctx, const record_answer *a, fl_err *err)
{
    matrix *m = ctx;
    json_t *judged = NULL;
    if (a->state != ROUND_IN) {
        note_absence(m, a->site.text, a->reason);
        return FL_OK;
    }
    fl_status st = fl_json_parse(&judged, a->payload, a->n_payload, a->n_payload, a->site.text,
                                 err);
    if (st != FL_OK) {
        return st;
    }
    note_looks(m, a->site.text, judged);
    json_t *metrics = json_object_get(judged, "metrics");
    if (metrics != NULL) {
        json_object_set(m->row, a->site.text, metrics);
    } else {
        note_absence(m, a->site.text, fl_json_get_string(judged, "why", ""));
    }
    json_decref(judged);
    return FL_OK;
}

/* Which sites lent a model, and what every site says of each. */
static fl_status fill(json_t *json, matrix *m, record *r, uint32_t selected, fl_err *err)
{
    json_t *sites = json_object(), *owner;
    size_t i;
    json_object_set_new(json, "sites", sites);
    fl_status st = record_answers(r, FED_LEND, selected, list_row, m, err);
    json_array_foreach(m->rows, i, owner) {
        m->row = json_object();
        json_object_set_new(sites, json_string_value(owner), m->row);
        if (st == FL_OK) {
            st = record_answers(r, FED_CROSS, (uint32_t)i + 1, add_cell, m, err);
        }
    }
    json_object_set(json, "missing", m->missing);
    json_object_set(json, "absent", m->absent);
    return st;
}

fl_status cross_site_json(json_t **out, json_t *looks, record *r, uint32_t selected, fl_err *err)
{
    json_t *keepers = NULL, *json = json_object();
    matrix m = {json_array(), json_array(), json_array(), NULL, looks};
    bool too_large = false;
    fl_status st = cross_site_is_too_large(&too_large, r, selected, err);
    *out = NULL;
    if (st == FL_OK) {
        st = cross_site_keepers(&keepers, r, selected, err);
    }
    if (st == FL_OK && too_large) {
        char *why = fl_xasprintf("the matrix of more than %d hospitals is more than a report takes",
                                 CROSS_SITE_MOST);
        json_object_set_new(json, "sites", json_object());
        json_object_set_new(json, "why", json_string(why));
        free(why);
    } else if (st == FL_OK && json_array_size(keepers) > 0) {
        json_object_set_new(json, "sites", json_object());
        json_object_set(json, "kept", keepers);
    } else if (st == FL_OK) {
        st = fill(json, &m, r, selected, err);
    }
    if (st == FL_OK) {
        *out = json_incref(json);
    }
    json_decref(json);
    json_decref(keepers);
    json_decref(m.rows);
    json_decref(m.missing);
    json_decref(m.absent);
    return st;
}
