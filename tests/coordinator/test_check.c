/*
 * test_check.c - what an Offer, a piece and a document must be
 */
#include "check.h"

#include "base/json.h"
#include "coordinator/check.h"
#include "coordinator/round.h"
#include "fed/identity.h"

/* A site with keys, and a job over a table of two pieces. */
typedef struct {
    fed_identity *id;
    fed_verify_key key;
    fed_site_id site;
    nn_table *table;
    check_job job;
    fed_model_id base;
} setting;

enum { P = FED_PIECE_VALUES + 10 };

static setting setting_new(void)
{
    fl_err err = FL_ERR_INIT;
    setting s = {.id = fed_identity_new(), .table = nn_table_new(), .base = {{7}}};
    s.key = fed_identity_verify(s.id);
    check_ok(fed_site_id_parse(&s.site, "nord", &err), err);
    check_ok(nn_table_add(s.table, "w", NN_WEIGHT, &(nn_shape){1, {P - 4}}, &err), err);
    check_ok(nn_table_add(s.table, "m", NN_STAT, &(nn_shape){1, {4}}, &err), err);
    s.job = (check_job){
        .table = s.table, .enc = FED_ENC_F32, .n_classes = 2, .histogram_bins = 20};
    nn_table_hash(s.job.table_hash, s.table);
    return s;
}

static void setting_free(setting *s)
{
    fed_identity_destroy(&s->id);
    nn_table_destroy(&s->table);
}

static fed_offer offer_of(const setting *s, fed_order_kind kind)
{
    fed_offer o = {.key = {.kind = kind, .round = {1}}, .site = s->site, .base_model = s->base};
    if (kind == FED_TRAIN) {
        memcpy(o.table_hash, s->job.table_hash, sizeof o.table_hash);
        o.n_pieces = 2;
        o.n_bytes = 2 * FED_PIECE_HEAD + 4 * (uint64_t)P;
        fed_offer_set(&o, "weight", 120);
    } else if (kind == FED_CHECK) {
        o.base_model = (fed_model_id){{0}};
        o.key.round.n = 0;
        fed_offer_set(&o, "n_train", 10);
        fed_offer_set(&o, "n_val", 0);
        fed_offer_set(&o, "n_test", 3);
    } else if (kind == FED_LEND) {
        memcpy(o.table_hash, s->job.table_hash, sizeof o.table_hash);
        o.n_pieces = 2;
        o.n_bytes = 2 * FED_PIECE_HEAD + 4 * (uint64_t)P;
        fed_offer_set(&o, "allowed", 1);
        fed_offer_set(&o, "threshold", 0.3);
    } else if (kind == FED_SCORE || kind == FED_CROSS) {
        fed_offer_set(&o, "n", 20);
    }
    return o;
}

static fl_status look(const setting *s, fed_offer *o, fl_err *err)
{
    fl_buf bytes = FL_BUF_INIT;
    fed_offer_bytes(o, &bytes);
    fed_sign(&o->signature, s->id, "consilium contribution 1", bytes.data, bytes.n);
    fl_buf_clear(&bytes);
    return check_offer(&s->job, o, &s->site, &s->key, o->key.kind == FED_CHECK ? NULL : &s->base,
                       err);
}

static void a_proper_offer_of_each_kind_passes(void **state)
{
    (void)state;
    const fed_order_kind kinds[] = {FED_CHECK, FED_TRAIN, FED_SCORE, FED_TEST,
                                    FED_DONE,  FED_LEND,  FED_CROSS};
    setting s = setting_new();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        fl_err err = FL_ERR_INIT;
        fed_offer o = offer_of(&s, kinds[i]);
        check_ok(look(&s, &o, &err), err);
    }
    setting_free(&s);
}

static void every_field_that_is_off_is_refused_in_words(void **state)
{
    (void)state;
    setting s = setting_new();
    fl_err err = FL_ERR_INIT;
    fed_offer o = offer_of(&s, FED_TRAIN);
    o.base_model.bytes[31] ^= 1;
    check_fails(look(&s, &o, &err), FL_EDENIED);
    check_has(err.text, "another model");
    o = offer_of(&s, FED_TRAIN);
    o.table_hash[0] ^= 1;
    check_fails(look(&s, &o, &err), FL_EFORMAT);
    check_has(err.text, "table");
    o = offer_of(&s, FED_TRAIN);
    o.n_bytes++;
    check_fails(look(&s, &o, &err), FL_EFORMAT);
    o = offer_of(&s, FED_TRAIN);
    o.n_bytes = UINT64_C(10) << 30;  // a 10 GB announcement
    o.n_pieces = FED_MAX_PIECES;
    check_fails(look(&s, &o, &err), FL_EFORMAT);
    const double weights[] = {0, -1, 1.5, 1 << 25, 1e300};
    for (size_t i = 0; i < 5; i++) {
        o = offer_of(&s, FED_TRAIN);
        fed_offer_set(&o, "weight", weights[i]);
        check_fails(look(&s, &o, &err), FL_EFORMAT);
        check_has(err.text, "weight");
    }
    o = offer_of(&s, FED_SCORE);
    fed_offer_set(&o, "auc", 1.2);
    check_fails(look(&s, &o, &err), FL_EFORMAT);
    o = offer_of(&s, FED_CHECK);
    fed_offer_set(&o, "parameters", P - 1);
    check_fails(look(&s, &o, &err), FL_EFORMAT);
    check_has(err.text, "their versions differ");
    o = offer_of(&s, FED_TEST);
    o.n_pieces = 100;
    o.n_bytes = 100 * (uint64_t)FED_PIECE_BYTES;  // over the limit of a document
    check_fails(look(&s, &o, &err), FL_EFORMAT);
    o = offer_of(&s, FED_DONE);
    o.n_pieces = 1;
    o.n_bytes = 100;
    check_fails(look(&s, &o, &err), FL_EFORMAT);
    setting_free(&s);
}

/* As a site that does not keep to fed_offer_set may: NaN and infinity, too. */
static void put_scalar(fed_offer *o, const char *name, double value)
{
    fed_offer_set(o, name, 0);
    for (size_t i = 0; i < o->n_scalars; i++) {
        if (strcmp(o->scalars[i].name, name) == 0) {
            o->scalars[i].value = value;
        }
    }
}

static void every_impossible_statistic_is_refused_by_its_name(void **state)
{
    (void)state;
    static const struct {
        fed_order_kind kind;
        const char *name;
        double value;
    } odd[] = {
        {FED_CHECK, "n_train", -1},     {FED_CHECK, "n_train", NAN},
        {FED_CHECK, "n_val", 0.5},      {FED_CHECK, "n_test", INFINITY},
        {FED_CHECK, "n_test", 1e12},    {FED_TRAIN, "weight", NAN},
        {FED_SCORE, "n", -3},           {FED_SCORE, "n", NAN},
        {FED_SCORE, "n", 2.5},          {FED_SCORE, "n_positive", -1},
        {FED_SCORE, "n_positive", 0.5}, {FED_SCORE, "n_positive", 1e8},
        {FED_SCORE, "n_positive", NAN}, {FED_SCORE, "auc", NAN},
        {FED_SCORE, "auc", -0.1},       {FED_SCORE, "accuracy", 1.1},
        {FED_SCORE, "accuracy", NAN},   {FED_SCORE, "dice", 2},
        {FED_SCORE, "iou", -INFINITY},  {FED_SCORE, "mae", -1},
        {FED_SCORE, "mae", NAN},        {FED_SCORE, "rmse", INFINITY},
        {FED_TRAIN, "loss", INFINITY},  {FED_TRAIN, "loss", NAN},
        {FED_SCORE, "loss", NAN},       {FED_SCORE, "loss", -INFINITY},
    };
    setting s = setting_new();
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        fl_err err = FL_ERR_INIT;
        fed_offer o = offer_of(&s, odd[i].kind);
        put_scalar(&o, odd[i].name, odd[i].value);
        if (look(&s, &o, &err) != FL_EFORMAT || strstr(err.text, odd[i].name) == NULL) {
            check_fail("%s = %g: got \"%s\"", odd[i].name, odd[i].value, err.text);
        }
    }
    setting_free(&s);
}

static void a_signature_binds_every_field(void **state)
{
    (void)state;
    setting s = setting_new();
    fl_err err = FL_ERR_INIT;
    fed_offer o = offer_of(&s, FED_TRAIN);
    check_ok(look(&s, &o, &err), err);
    o.digest.bytes[0] ^= 1;
    check_fails(check_offer(&s.job, &o, &s.site, &s.key, &s.base, &err), FL_EDENIED);
    check_has(err.text, "signature");
    o.digest.bytes[0] ^= 1;
    o.scalars[0].value++;
    check_fails(check_offer(&s.job, &o, &s.site, &s.key, &s.base, &err), FL_EDENIED);
    o.scalars[0].value--;
    o.key.round.n++;  // no replay into another round
    check_fails(check_offer(&s.job, &o, &s.site, &s.key, &s.base, &err), FL_EDENIED);
    fed_site_id other = {"sud"};
    o.key.round.n--;
    check_fails(check_offer(&s.job, &o, &other, &s.key, &s.base, &err), FL_EDENIED);
    check_has(err.text, "in the name of nord");
    setting_free(&s);
}

static void pieces_are_checked_by_kind(void **state)
{
    (void)state;
    setting s = setting_new();
    const fed_offer o = offer_of(&s, FED_TRAIN);
    fl_err err = FL_ERR_INIT;
    float *values = fl_xcalloc(P, sizeof *values);
    uint8_t *piece = fl_xcalloc(FED_PIECE_BYTES, 1);
    values[P - 1] = 1000;  // a running statistic may be large
    size_t n = fed_piece_pack(piece, FED_ENC_F32, values, P, 1);
    check_ok(check_piece(&s.job, &o, piece, n, 1, &err), err);
    values[P - 5] = 1000;  // a weight may not
    n = fed_piece_pack(piece, FED_ENC_F32, values, P, 1);
    check_fails(check_piece(&s.job, &o, piece, n, 1, &err), FL_EFORMAT);
    check_has(err.text, "parameters 65536 to 65541");
    values[P - 5] = NAN;
    n = fed_piece_pack(piece, FED_ENC_F32, values, P, 1);
    check_fails(check_piece(&s.job, &o, piece, n, 1, &err), FL_EFORMAT);
    values[P - 5] = 0;
    n = fed_piece_pack(piece, FED_ENC_F32, values, P, 0);
    check_ok(check_piece(&s.job, &o, piece, n, 0, &err), err);
    check_fails(check_piece(&s.job, &o, piece, n, 1, &err), FL_EFORMAT);  // longer than what is left
    check_fails(check_piece(&s.job, &o, piece, n, UINT32_MAX, &err), FL_EFORMAT);
    check_fails(check_piece(&s.job, &o, piece, 3, 0, &err), FL_EFORMAT);
    free(piece);
    free(values);
    setting_free(&s);
}

static fl_status document(fed_order_kind kind, uint32_t round, double n, const char *text,
                          fl_err *err)
{
    fed_offer o = {.key = {.kind = kind, .round = {round}}, .site = {"nord"}};
    fed_offer_set(&o, "n", n);
    const check_job job = {.histogram_bins = 20};
    return check_document(&job, &o, text, strlen(text), err);
}

/* A document of sums with one value at every point. */
static fl_status sums(int n, double slope, double curvature, int n_points, fl_err *err)
{
    json_t *a = json_array(), *b = json_array();
    for (int k = 0; k < n_points; k++) {
        json_array_append_new(a, json_real(slope));
        json_array_append_new(b, json_real(curvature));
    }
    json_t *json = json_pack("{s:{s:i, s:o, s:o}}", "temperature", "n", n, "slope", a, "curvature",
                             b);
    char *text = fl_json_text(json);
    fl_status st = document(FED_SCORE, 1 | FED_HISTOGRAM_BIT, 5, text, err);
    free(text);
    json_decref(json);
    return st;
}

static void sums_for_a_calibration_must_be_possible(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const uint32_t asks = 1 | FED_HISTOGRAM_BIT;
    check_ok(sums(5, -3, 2, 17, &err), err);
    check_fails(sums(6, -3, 2, 17, &err), FL_EFORMAT);  // more than it scored
    check_has(err.text, "temperature: n: expected 1 to 5, found 6");
    check_fails(sums(0, 0, 0, 17, &err), FL_EFORMAT);
    check_fails(sums(5, -3, 2, 16, &err), FL_EFORMAT);
    check_fails(sums(5, -3, -2, 17, &err), FL_EFORMAT);  // the loss is convex
    check_has(err.text, "curvature");
    check_fails(sums(5, 1e9, 2, 17, &err), FL_EFORMAT);
    check_ok(document(FED_SCORE, asks, 5,
                      "{\"nonconformity\": {\"bins\": 2, \"counts\": [5, 0]}}", &err),
             err);
    check_fails(document(FED_SCORE, asks, 5,
                         "{\"nonconformity\": {\"bins\": 2, \"counts\": [5, 1]}}", &err),
                FL_EFORMAT);
    check_has(err.text, "nonconformity: 6 cases in the bins, 5 said");
    check_fails(document(FED_SCORE, asks, 5,
                         "{\"nonconformity\": {\"bins\": 2, \"counts\": [-1, 0]}}", &err),
                FL_EFORMAT);
}

static void documents_must_add_up(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const uint32_t asks = 1 | FED_HISTOGRAM_BIT;
    check_ok(document(FED_CHECK, 0, 0, "{\"flow\": {}}", &err), err);
    check_fails(document(FED_CHECK, 0, 0, "[1, 2]", &err), FL_EFORMAT);
    check_fails(document(FED_CHECK, 0, 0, "{\"flow\": ", &err), FL_EFORMAT);
    check_ok(document(FED_SCORE, 1, 5, "", &err), err);
    check_fails(document(FED_SCORE, 1, 5, "{\"x\": 1}", &err), FL_EFORMAT);  // a score is scalars
    check_ok(document(FED_SCORE, asks, 5, "", &err), err);  // too few patients, or its policy
    check_ok(document(FED_SCORE, asks, 0, "", &err), err);
    check_ok(document(FED_SCORE, asks, 5,
                      "{\"bins\": 2, \"negatives\": [1, 2], \"positives\": [2, 0]}", &err),
             err);
    check_fails(document(FED_SCORE, asks, 6,
                         "{\"bins\": 2, \"negatives\": [1, 2], \"positives\": [2, 0]}", &err),
                FL_EFORMAT);
    check_fails(document(FED_SCORE, asks, 5,
                         "{\"bins\": 3, \"negatives\": [1, 2], \"positives\": [2, 0]}", &err),
                FL_EFORMAT);
    check_fails(document(FED_SCORE, asks, 5,
                         "{\"bins\": 2, \"negatives\": [-1, 4], \"positives\": [2, 0]}", &err),
                FL_EFORMAT);
    check_fails(document(FED_SCORE, asks, 5,
                         "{\"bins\": 2, \"negatives\": [1.5, 1.5], \"positives\": [2, 0]}", &err),
                FL_EFORMAT);
    check_fails(document(FED_SCORE, asks, 0,
                         "{\"bins\": 1000000000, \"negatives\": [], \"positives\": []}", &err),
                FL_EFORMAT);
    check_fails(document(FED_SCORE, asks, 5,
                         "{\"bins\": 3, \"negatives\": [1, 2, 0], \"positives\": [2, 0, 0]}", &err),
                FL_EFORMAT);  // 3 divides no 20
    check_has(err.text, "expected 20 bins or a divisor of it, found 3");
    check_fails(document(FED_TEST, 1, 0, "", &err), FL_EFORMAT);
    check_fails(document(FED_TEST, 1, 0,
                         "{\"name\": \"sud\", \"n_train\": 1, \"n_val\": 1, \"n_test\": 1}", &err),
                FL_EFORMAT);
    check_ok(document(FED_TEST, 1, 0,
                      "{\"name\": \"nord\", \"n_train\": 1, \"n_val\": 1, \"n_test\": 1}", &err),
             err);
}

static void steps_of_partial_work_are_at_most_what_was_asked_for(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_new();
    task_train_config training = {.epochs = 2, .batch = 32};
    fed_offer joined = offer_of(&s, FED_CHECK), o = offer_of(&s, FED_TRAIN);
    fed_offer_set(&joined, "n_train", 120);  // 4 batches
    fed_offer_set(&o, "steps", 9);
    check_ok(check_counts(&s.job, &o, &joined, &err), err);  // nobody asks
    s.job.partial = &training;
    check_fails(check_counts(&s.job, &o, &joined, &err), FL_EFORMAT);
    check_has(err.text, "steps: expected a whole number from 1 to 8, found 9");
    fed_offer_set(&o, "steps", 8);
    check_ok(check_counts(&s.job, &o, &joined, &err), err);
    fed_offer_set(&o, "steps", 0);
    check_fails(check_counts(&s.job, &o, &joined, &err), FL_EFORMAT);
    training = (task_train_config){.steps = 5, .batch = 32};
    fed_offer_set(&o, "steps", 6);
    check_fails(check_counts(&s.job, &o, &joined, &err), FL_EFORMAT);
    fed_offer_set(&o, "steps", 2.5);
    check_fails(check_counts(&s.job, &o, &joined, &err), FL_EFORMAT);
    setting_free(&s);
}

static void counts_are_those_the_site_joined_with(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    setting s = setting_new();
    fed_offer joined = offer_of(&s, FED_CHECK);
    fed_offer_set(&joined, "n_train", 120);
    fed_offer_set(&joined, "n_val", 20);
    const fed_order_kind kinds[] = {FED_TRAIN, FED_SCORE, FED_TEST, FED_DONE};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        fed_offer o = offer_of(&s, kinds[i]);
        check_ok(check_counts(&s.job, &o, &joined, &err), err);
    }
    fed_offer o = offer_of(&s, FED_TRAIN);
    fed_offer_set(&o, "weight", 121);
    check_fails(check_counts(&s.job, &o, &joined, &err), FL_EFORMAT);
    check_has(err.text, "weight: the site joined with 120 training cases, found 121");
    o = offer_of(&s, FED_SCORE);
    fed_offer_set(&o, "n", 1e9);
    check_fails(check_counts(&s.job, &o, &joined, &err), FL_EFORMAT);
    check_has(err.text, "n: the site joined with 20 validation cases");
    setting_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proper_offer_of_each_kind_passes),
        cmocka_unit_test(every_field_that_is_off_is_refused_in_words),
        cmocka_unit_test(every_impossible_statistic_is_refused_by_its_name),
        cmocka_unit_test(a_signature_binds_every_field),
        cmocka_unit_test(pieces_are_checked_by_kind),
        cmocka_unit_test(sums_for_a_calibration_must_be_possible),
        cmocka_unit_test(documents_must_add_up),
        cmocka_unit_test(steps_of_partial_work_are_at_most_what_was_asked_for),
        cmocka_unit_test(counts_are_those_the_site_joined_with),
    };
    fed_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
