/*
 * check.c - see check.h
 */
#include "coordinator/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "coordinator/aggregate.h"
#include "coordinator/round.h"
#include "eval/eval.h"
#include "eval/uncertainty.h"
#include "fed/accum.h"
#include "fed/identity.h"
#include "report/report.h"

static const double MAX_STEPS = 1e9;  // of a round

static bool is_count(double x, double max)
{
    return x >= 0 && x <= max && x == floor(x);
}

static fl_status need_count(const fed_offer *o, const char *name, double min, double max,
                            fl_err *err)
{
    double x = fed_offer_get(o, name, NAN);
    if (is_count(x, max) && x >= min) {
        return FL_OK;
    }
    return fl_fail(err, FL_EFORMAT, "%s: expected a whole number from %.0f to %.0f, found %g", name,
                   min, max, x);
}

static fl_status need_share(const fed_offer *o, const char *name, fl_err *err)
{
    double x = fed_offer_get(o, name, 0);  // left out: undefined at this site
    if (x >= 0 && x <= 1) {
        return FL_OK;
    }
    return fl_fail(err, FL_EFORMAT, "%s: expected a number from 0 to 1, found %g", name, x);
}

/* If it is there, it is a finite number from 0 on. */
static fl_status need_error(const fed_offer *o, const char *name, fl_err *err)
{
    double x = fed_offer_get(o, name, 0);
    if (isfinite(x) && x >= 0) {
        return FL_OK;
    }
    return fl_fail(err, FL_EFORMAT, "%s: expected a number from 0 on, found %g", name, x);
}

/* If it is there, it is a finite number. */
static fl_status need_finite(const fed_offer *o, const char *name, fl_err *err)
{
    double x = fed_offer_get(o, name, 0);
    return isfinite(x) ? FL_OK
                       : fl_fail(err, FL_EFORMAT, "%s: expected a finite number, found %g", name,
                                 x);
}

/* What a site says of a model on its validation split. */
static fl_status check_score(const fed_offer *o, double most, fl_err *err)
{
    static const char *const shares[] = {"auc", "dice", "iou", "accuracy"};
    static const char *const errors[] = {"mae", "rmse"};
    fl_status st = need_count(o, "n", 0, most, err);
    if (st == FL_OK && !isnan(fed_offer_get(o, "n_positive", NAN))) {
        st = need_count(o, "n_positive", 0, fed_offer_get(o, "n", 0), err);
    } else if (st == FL_OK) {
        st = need_finite(o, "n_positive", err);
    }
    for (size_t i = 0; i < sizeof shares / sizeof *shares && st == FL_OK; i++) {
        st = need_share(o, shares[i], err);
    }
    for (size_t i = 0; i < sizeof errors / sizeof *errors && st == FL_OK; i++) {
        st = need_error(o, errors[i], err);
    }
    return st == FL_OK ? need_finite(o, "loss", err) : st;
}

/* A site's own model, or the word that there is none or that it stays. */
static fl_status check_lent(const fed_offer *o, fl_err *err)
{
    fl_status st = need_count(o, "allowed", o->n_pieces > 0, 1, err);
    return st == FL_OK ? need_share(o, "threshold", err) : st;
}

static fl_status check_scalars(const check_job *c, const fed_offer *o, fl_err *err)
{
    const double most = 1e9;  // cases
    fl_status st;
    switch (o->key.kind) {
    case FED_CHECK: {
        int64_t P = nn_table_count(c->table);
        if ((st = need_count(o, "n_train", 0, most, err)) != FL_OK ||
            (st = need_count(o, "n_val", 0, most, err)) != FL_OK ||
            (st = need_count(o, "n_test", 0, most, err)) != FL_OK) {
            return st;
        }
        double parameters = fed_offer_get(o, "parameters", (double)P);
        if (parameters != (double)P) {
            return fl_fail(err, FL_EFORMAT,
                           "the site's model has %.0f parameters, the coordinator's %lld: their "
                           "versions differ",
                           parameters, (long long)P);
        }
        return FL_OK;
    }
    case FED_TRAIN:
        st = need_count(o, "weight", 1, FED_MAX_WEIGHT_SUM, err);
        return st == FL_OK ? need_finite(o, "loss", err) : st;
    case FED_SCORE:
        return check_score(o, most, err);
    case FED_LEND:
        return check_lent(o, err);
    case FED_CROSS:
        return need_count(o, "n", 0, most, err);
    default:
        return FL_OK;
    }
}

bool check_is_numbers(const fed_offer *o)
{
    return o->key.kind == FED_TRAIN || (o->key.kind == FED_LEND && o->n_pieces > 0);
}

fed_encoding check_encoding(const check_job *c, const fed_offer *o)
{
    return o->key.kind == FED_TRAIN ? c->enc : check_is_numbers(o) ? FED_ENC_F32 : FED_ENC_BYTES;
}

/* How refusals name it. */
static const char *numbers_name(const fed_offer *o)
{
    return o->key.kind == FED_TRAIN ? "the update" : "the site's own model";
}

static fl_status check_size(const check_job *c, const fed_offer *o, fl_err *err)
{
    static const uint64_t most[FED_N_ORDERS] = {[FED_CHECK] = 1 << 20,
                                                [FED_SCORE] = 1 << 20,
                                                [FED_TEST] = CHECK_MAX_DOCUMENT,
                                                [FED_DONE] = 0,
                                                [FED_LEND] = 0,
                                                [FED_CROSS] = 1 << 20};
    if (check_is_numbers(o)) {
        uint64_t P = (uint64_t)nn_table_count(c->table);
        fed_encoding enc = check_encoding(c, o);
        if (o->n_pieces != fed_pieces_of(enc, P) || o->n_bytes != fed_piece_bytes_of(enc, P)) {
            return fl_fail(err, FL_EFORMAT, "%s has %llu bytes in %u pieces, expected %llu in %u",
                           numbers_name(o), (unsigned long long)o->n_bytes, o->n_pieces,
                           (unsigned long long)fed_piece_bytes_of(enc, P), fed_pieces_of(enc, P));
        }
        return FL_OK;
    }
    uint64_t limit = most[o->key.kind];
    uint64_t heads = (uint64_t)o->n_pieces * FED_PIECE_HEAD;
    if (o->n_bytes > limit + heads || (o->n_pieces == 0) != (o->n_bytes == 0) ||
        (o->n_pieces > 0 && (o->n_bytes <= heads ||
                             o->n_pieces != fed_pieces_of(FED_ENC_BYTES, o->n_bytes - heads)))) {
        return fl_fail(err, FL_EFORMAT,
                       "%llu bytes in %u pieces do not fit a %s contribution (at most %llu)",
                       (unsigned long long)o->n_bytes, o->n_pieces, fed_order_name(o->key.kind),
                       (unsigned long long)limit);
    }
    return FL_OK;
}

fl_status check_offer(const check_job *c, const fed_offer *o, const fed_site_id *site,
                      const fed_verify_key *key, const fed_model_id *base, fl_err *err)
{
    static const fed_model_id none;
    static const uint8_t no_table[32];
    if (strcmp(o->site.text, site->text) != 0) {
        return fl_fail(err, FL_EDENIED, "the contribution is in the name of %s", o->site.text);
    }
    if (!fed_offer_verify(o, key)) {
        return fl_fail(err, FL_EDENIED, "the signature is not the site's");
    }
    if (memcmp(&o->base_model, base != NULL ? base : &none, sizeof none) != 0) {
        return fl_fail(err, FL_EDENIED, "it was made from another model than the order's");
    }
    const uint8_t *table = check_is_numbers(o) ? c->table_hash : no_table;
    if (memcmp(o->table_hash, table, sizeof no_table) != 0) {
        return fl_fail(err, FL_EFORMAT, "its table of parameters is not the job's");
    }
    fl_status st = check_size(c, o, err);
    return st == FL_OK ? check_scalars(c, o, err) : st;
}

/* Steps decide how an update of partial work counts: at least one, and no more than were asked
 * for. */
static fl_status check_steps(const task_train_config *t, const fed_offer *o,
                             const fed_offer *joined, fl_err *err)
{
    double batches = ceil(fed_offer_get(joined, "n_train", 0) / (double)t->batch);
    double most = t->steps > 0 ? (double)t->steps : (double)t->epochs * fmax(batches, 1);
    return need_count(o, "steps", 1, fmin(most, MAX_STEPS), err);
}

fl_status check_counts(const check_job *c, const fed_offer *o, const fed_offer *joined,
                       fl_err *err)
{
    static const struct {
        const char *name, *most, *split;  // NULL: rests on none
    } counts[FED_N_ORDERS] = {[FED_TRAIN] = {"weight", "n_train", "training"},
                              [FED_SCORE] = {"n", "n_val", "validation"},
                              [FED_CROSS] = {"n", "n_test", "test"}};
    const char *name = counts[o->key.kind].name;
    bool trains = o->key.kind == FED_TRAIN;
    if (name == NULL) {
        return FL_OK;
    }
    double found = fed_offer_get(o, name, 0);
    double most = fed_offer_get(joined, counts[o->key.kind].most, 0);
    if (found <= most) {
        return trains && c->partial != NULL ? check_steps(c->partial, o, joined, err) : FL_OK;
    }
    return fl_fail(err, FL_EFORMAT, "%s: the site joined with %.0f %s cases, found %.0f", name,
                   most, counts[o->key.kind].split, found);
}

/* Values of an update go into the exact sum, those of a model nowhere. */
static fl_status check_values(const check_job *c, const fed_offer *o, const float *values,
                              int64_t offset, int64_t count, fl_err *err)
{
    if (o->key.kind != FED_TRAIN) {
        return nn_vec_is_finite(values, count)
                   ? FL_OK
                   : fl_fail(err, FL_EFORMAT, "%s: parameters %lld to %lld: not all are finite",
                             numbers_name(o), (long long)offset, (long long)(offset + count - 1));
    }
    fl_status st = FL_OK;
    for (int64_t at = 0; at < count && st == FL_OK;) {
        aggregate_stretch s = aggregate_stretch_at(c->table, offset + at, offset + count);
        st = fed_accum_check(values + at, s.count, s.trainable ? FED_SCALE_TRAINED : FED_SCALE_STAT,
                             err);
        if (st != FL_OK) {
            fl_wrap(err, st, "parameters %lld to %lld", (long long)s.offset,
                    (long long)(s.offset + s.count - 1));
        }
        at += s.count;
    }
    return st;
}

fl_status check_piece(const check_job *c, const fed_offer *o, const uint8_t *piece, size_t n,
                      uint32_t index, fl_err *err)
{
    fed_encoding enc;
    const uint8_t *bytes;
    uint32_t count;
    fl_status st = fed_piece_parse(piece, n, &enc, &bytes, &count, err);
    if (st != FL_OK) {
        return st;
    }
    int64_t offset = (int64_t)index * FED_PIECE_VALUES;
    if (enc != check_encoding(c, o) || offset + count > nn_table_count(c->table)) {
        return fl_fail(err, FL_EFORMAT, "piece %u is no part of %s", index,
                       o->key.kind == FED_TRAIN ? "an update" : numbers_name(o));
    }
    static float widened[FED_PIECE_VALUES];  // of the one thread
    FL_REQUIRE((uintptr_t)bytes % _Alignof(float) == 0);
    const float *values = (const float *)(const void *)bytes;
    if (enc != FED_ENC_F32) {
        fed_piece_values(widened, enc, bytes, count);
        values = widened;
    }
    return check_values(c, o, values, offset, count, err);
}

// ---------------------------------------------------------------- documents

static fl_status check_bins(const json_t *list, size_t bins, int64_t *total, fl_err *err)
{
    if (!json_is_array(list) || json_array_size(list) != bins) {
        return fl_fail(err, FL_EFORMAT, "histogram: expected %zu bins of negatives and positives",
                       bins);
    }
    for (size_t i = 0; i < bins; i++) {
        const json_t *x = json_array_get(list, i);
        if (!json_is_integer(x) || json_integer_value(x) < 0 ||
            json_integer_value(x) > 1000000000) {
            return fl_fail(err, FL_EFORMAT, "histogram: bin %zu is no count", i);
        }
        *total += json_integer_value(x);
    }
    return FL_OK;
}

/* Histograms are summed over sites: a number of bins that fits no other would cost the others
 * theirs. */
static fl_status check_n_bins(const check_job *c, const json_t *histogram, fl_err *err)
{
    int64_t bins = fl_json_get_int(histogram, "bins", 0);
    if (bins >= 1 && bins <= c->histogram_bins && c->histogram_bins % bins == 0) {
        return FL_OK;
    }
    return fl_fail(err, FL_EFORMAT, "histogram: expected %lld bins or a divisor of it, found %lld",
                   (long long)c->histogram_bins, (long long)bins);
}

static fl_status check_histogram(const check_job *c, const fed_offer *o, const json_t *json,
                                 fl_err *err)
{
    int64_t bins = fl_json_get_int(json, "bins", 0), total = 0;
    fl_status st;
    if ((st = check_n_bins(c, json, err)) != FL_OK ||
        (st = check_bins(json_object_get(json, "negatives"), (size_t)bins, &total, err)) != FL_OK ||
        (st = check_bins(json_object_get(json, "positives"), (size_t)bins, &total, err)) != FL_OK) {
        return st;
    }
    if ((double)total != fed_offer_get(o, "n", 0)) {
        return fl_fail(err, FL_EFORMAT, "histogram: %lld cases in the bins, %g said",
                       (long long)total, fed_offer_get(o, "n", 0));
    }
    return FL_OK;
}

/* Sums of n cases at every point. */
static fl_status check_points(const json_t *list, const char *name, double least, double most,
                              fl_err *err)
{
    bool fits = json_array_size(list) == EVAL_TEMPERATURE_POINTS;
    for (size_t k = 0; fits && k < EVAL_TEMPERATURE_POINTS; k++) {
        const json_t *x = json_array_get(list, k);
        double value = json_is_number(x) ? json_number_value(x) : NAN;
        fits = value >= least && value <= most;
    }
    return fits ? FL_OK
                : fl_fail(err, FL_EFORMAT, "temperature: %s: expected %d numbers from %g to %g",
                          name, EVAL_TEMPERATURE_POINTS, least, most);
}

static fl_status check_temperature(const fed_offer *o, const json_t *t, fl_err *err)
{
    const double most_log = 700;  // of 1 / the smallest score
    double n = (double)fl_json_get_int(t, "n", -1), all = fed_offer_get(o, "n", 0);
    fl_status st;
    if (!(n >= 1 && n <= all)) {
        return fl_fail(err, FL_EFORMAT, "temperature: n: expected 1 to %g, found %g", all, n);
    }
    if ((st = check_points(json_object_get(t, "slope"), "slope", -n * most_log, n * most_log,
                           err)) != FL_OK) {
        return st;
    }
    return check_points(json_object_get(t, "curvature"), "curvature", 0, n * most_log * most_log,
                        err);
}

static fl_status check_nonconformity(const check_job *c, const fed_offer *o, const json_t *json,
                                     fl_err *err)
{
    int64_t total = 0;
    fl_status st = check_n_bins(c, json, err);
    if (st == FL_OK && (st = check_bins(json_object_get(json, "counts"),
                                        (size_t)fl_json_get_int(json, "bins", 0), &total,
                                        err)) == FL_OK &&
        (double)total > fed_offer_get(o, "n", 0)) {
        st = fl_fail(err, FL_EFORMAT, "%lld cases in the bins, %g said", (long long)total,
                     fed_offer_get(o, "n", 0));
    }
    return st == FL_OK ? st : fl_wrap(err, st, "nonconformity");
}

/* What threshold and calibration take of validation scores; each may be left out. */
static fl_status check_counted(const check_job *c, const fed_offer *o, const json_t *json,
                               fl_err *err)
{
    const json_t *temperature = json_object_get(json, "temperature");
    const json_t *nonconformity = json_object_get(json, "nonconformity");
    bool has_more = temperature != NULL || nonconformity != NULL;
    fl_status st = FL_OK;
    if (!has_more || json_object_get(json, "bins") != NULL) {
        st = check_histogram(c, o, json, err);
    }
    if (st == FL_OK && temperature != NULL) {
        st = check_temperature(o, temperature, err);
    }
    return st == FL_OK && nonconformity != NULL ? check_nonconformity(c, o, nonconformity, err)
                                                : st;
}

static fl_status check_test(const check_job *c, const fed_offer *o, const json_t *json, fl_err *err)
{
    const json_t *histogram = json_object_get(json, "histogram");
    if (strcmp(fl_json_get_string(json, "name", ""), o->site.text) != 0) {
        return fl_fail(err, FL_EFORMAT, "figures: name: expected %s", o->site.text);
    }
    fl_status st = report_check_site(json, err);
    if (st == FL_OK && json_is_object(histogram)) {
        st = check_n_bins(c, histogram, err);
    }
    return st == FL_OK ? st : fl_wrap(err, st, "figures");
}

/* Figures of another site's model, of no more cases than the site says, or why there are none. */
static fl_status check_crossed(const fed_offer *o, const json_t *json, fl_err *err)
{
    fl_status st = report_check_crossed(json, err);
    if (st == FL_OK && (double)fl_json_get_int(json, "n_test", -1) != fed_offer_get(o, "n", 0)) {
        st = fl_fail(err, FL_EFORMAT, "figures: n_test: %lld, %g said",
                     (long long)fl_json_get_int(json, "n_test", -1), fed_offer_get(o, "n", 0));
    }
    return st;
}

fl_status check_document(const check_job *c, const fed_offer *o, const char *text, size_t n,
                         fl_err *err)
{
    bool histogram = o->key.kind == FED_SCORE && (o->key.round.n & FED_HISTOGRAM_BIT) != 0;
    if (n == 0) {
        return o->key.kind == FED_TEST || o->key.kind == FED_CROSS
                   ? fl_fail(err, FL_EFORMAT, "a %s contribution needs its figures",
                             fed_order_name(o->key.kind))
                   : FL_OK;
    }
    if (o->key.kind == FED_SCORE && !histogram) {
        return fl_fail(err, FL_EFORMAT,
                       "a score without a histogram has no document, found %zu bytes", n);
    }
    json_t *json = NULL;
    fl_status st = fl_json_parse(&json, text, n, CHECK_MAX_DOCUMENT, fed_order_name(o->key.kind),
                                 err);
    if (st == FL_OK && !json_is_object(json)) {
        st = fl_fail(err, FL_EFORMAT, "%s: expected an object", fed_order_name(o->key.kind));
    }
    if (st == FL_OK && histogram) {
        st = check_counted(c, o, json, err);
    } else if (st == FL_OK && o->key.kind == FED_TEST) {
        st = check_test(c, o, json, err);
    } else if (st == FL_OK && o->key.kind == FED_CROSS) {
        st = check_crossed(o, json, err);
    }
    json_decref(json);
    return st;
}
