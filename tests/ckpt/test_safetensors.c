/*
 * test_safetensors.c - numbers at rest, and damage to them
 */
#include "check.h"

#include "ckpt/ckpt.h"

static nn_table *example_table(void)
{
    fl_err err = FL_ERR_INIT;
    nn_table *t = nn_table_new();

    check_ok(nn_table_add(t, "conv1.weight", NN_WEIGHT, &(nn_shape){4, {2, 1, 3, 3}}, &err), err);
    check_ok(nn_table_add(t, "scale", NN_NORM, &(nn_shape){1, {2}}, &err), err);
    check_ok(nn_table_add(t, "temperature", NN_BIAS, &(nn_shape){0, {0}}, &err), err);
    check_ok(nn_table_add(t, "bn1.running_var", NN_STAT, &(nn_shape){1, {2}}, &err), err);
    check_ok(nn_table_add(t, "stem.weight", NN_FROZEN, &(nn_shape){1, {3}}, &err), err);
    return t;
}

static void a_table_its_numbers_and_notes_survive_the_trip(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "model.safetensors");
    nn_table *table = example_table(), *back;
    float data[26], *read;
    ckpt_meta notes = {0}, read_notes = {0};
    for (int i = 0; i < 26; i++) {
        data[i] = (float)i / 3;
    }
    data[5] = -0.0f;
    ckpt_meta_add(&notes, "round", "12");
    ckpt_meta_add(&notes, "site", "Sankt J\xc3\xbcrgen \"Nord\"");

    check_ok(ckpt_safetensors_write(path, table, data, &notes, &err), err);
    check_ok(ckpt_safetensors_read(&back, &read, &read_notes, path, &err), err);
    check(nn_table_equal(table, back));  // names, kinds, shapes, order
    check_bytes(read, data, sizeof data);
    check_int(read_notes.n, 2);
    check_str(ckpt_meta_get(&read_notes, "round"), "12");
    check_str(ckpt_meta_get(&read_notes, "site"), "Sankt J\xc3\xbcrgen \"Nord\"");
    check(ckpt_meta_get(&read_notes, "kinds") == NULL);  // ours, not the caller's

    ckpt_meta_clear(&notes);
    ckpt_meta_clear(&read_notes);
    nn_table_destroy(&table);
    nn_table_destroy(&back);
    free(read);
    free(path);
    check_rmdir(&dir);
}

static void a_file_of_the_safetensors_library_is_read(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_table *table;
    float *data;
    ckpt_meta notes = {0};
    check_ok(
        ckpt_safetensors_read(&table, &data, &notes, "tests/vectors/nn_weights.safetensors", &err),
        err);
    struct {
        const char *name;
        nn_kind kind;
        int64_t count;
    } wanted[] = {{"conv1.weight", NN_WEIGHT, 18},   // F32
                  {"bn1.running_mean", NN_STAT, 5},  // F64
                  {"fc.weight", NN_WEIGHT, 6},       // BF16
                  {"fc.bias", NN_BIAS, 2}};
    check_int(nn_table_n(table), 4);  // without PyTorch's num_batches_tracked
    for (size_t i = 0; i < 4; i++) {
        const nn_param *p = nn_table_find(table, wanted[i].name);
        check(p != NULL);
        check_int(p->kind, wanted[i].kind);
        check_int(p->count, wanted[i].count);
        for (int64_t k = 0; k < p->count; k++) {
            check_near(data[p->offset + k], (double)k / 4 - 1, 0);
        }
    }
    check_str(ckpt_meta_get(&notes, "made by"), "safetensors");
    ckpt_meta_clear(&notes);
    nn_table_destroy(&table);
    free(data);
}

/* Reads bytes; whatever it says, it must not crash or leak. */
static fl_status read_bytes(const char *bytes, size_t n, fl_err *err)
{
    nn_table *table;
    float *data;
    ckpt_meta notes = {0};
    fl_status st = ckpt_safetensors_unpack(&table, &data, &notes, bytes, n, err);

    check((st == FL_OK) == (table != NULL) && (st == FL_OK) == (data != NULL));
    check(st == FL_OK || err->text[0] != '\0');
    ckpt_meta_clear(&notes);
    nn_table_destroy(&table);
    free(data);
    return st;
}

/* A copy that ends where the allocation ends, for AddressSanitizer. */
static fl_status read_exactly(const char *bytes, size_t n, fl_err *err)
{
    char *copy = malloc(n > 0 ? n : 1);
    if (n > 0) {
        memcpy(copy, bytes, n);
    }
    fl_status st = read_bytes(copy, n, err);
    free(copy);
    return st;
}

static void every_prefix_is_refused_and_every_flipped_bit_survived(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_table *table = example_table();
    float data[26] = {0};
    char *file;
    size_t n;
    check_ok(ckpt_safetensors_pack(&file, &n, table, data, NULL, &err), err);
    check_ok(read_exactly(file, n, &err), err);
    for (size_t k = 0; k < n; k++) {
        check(read_exactly(file, k, &err) != FL_OK);
    }
    for (size_t bit = 0; bit < 8 * n; bit++) {
        file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
        read_exactly(file, n, &err);
        file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
    }
    char *longer = fl_xcalloc(n + 1, 1);
    memcpy(longer, file, n);
    check_fails(read_exactly(longer, n + 1, &err), FL_EFORMAT);
    check_has(err.text, "bytes follow the last tensor");
    free(longer);
    free(file);
    nn_table_destroy(&table);
}

/* A file of this header and n_data zero bytes. */
static fl_status read_header(const char *header, size_t n_data, fl_err *err)
{
    size_t length = strlen(header);
    char *file = fl_xcalloc(8 + length + n_data, 1);
    uint64_t prefix = length;

    memcpy(file, &prefix, 8);
    memcpy(file + 8, header, length);
    fl_status st = read_exactly(file, 8 + length + n_data, err);
    free(file);
    return st;
}

static void headers_that_lie_are_refused_in_words(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    struct {
        const char *header;
        fl_status status;
        const char *part;
    } cases[] = {
        {"[]", FL_EFORMAT, "no JSON object"},
        {"{}", FL_EFORMAT, "no tensor"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{}}", FL_EFORMAT,
         "header"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", FL_EFORMAT,
         "does not fit its 8 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9]}}", FL_EFORMAT, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", FL_EFORMAT,
         "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", FL_EFORMAT, "gap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         FL_EFORMAT, "overlaps"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", FL_EFORMAT,
         "dimension"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}",
         FL_EFORMAT, "fit"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", FL_ELIMIT,
         "dimensions"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}}", FL_EUNSUPPORTED,
         "I32"},
        {"{\"__metadata__\":{\"k\":1},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"
         "}}",
         FL_EFORMAT, "text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_fails(read_header(cases[i].header, 8, &err), cases[i].status);
        check_has(err.text, cases[i].part);
    }
}

static void a_header_over_the_limit_is_refused_before_it_is_read(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "x.safetensors");
    nn_table *table;
    float *data;
    uint64_t lengths[] = {UINT64_MAX, UINT64_C(1) << 60, (16 << 20) + 1};
    size_t n = 17 << 20;
    char *file = fl_xcalloc(n, 1);
    for (size_t i = 0; i < 3; i++) {
        memcpy(file, &lengths[i], 8);
        check(read_exactly(file, n, &err) != FL_OK);
    }
    check_has(err.text, "at most 16777216 are read");
    free(file);
    check_fails(ckpt_safetensors_read(&table, &data, NULL, path, &err), FL_ENOTFOUND);
    check_has(err.text, "x.safetensors");
    check(table == NULL && data == NULL);
    free(path);
    check_rmdir(&dir);
}

static const char *const library_file = "tests/vectors/nn_weights.safetensors";

static void weights_are_loaded_by_name(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    ckpt_match match;
    float data[40] = {0};
    nn_table *ours = nn_table_new();
    check_ok(nn_table_add(ours, "head.weight", NN_WEIGHT, &(nn_shape){1, {4}}, &err), err);
    check_ok(nn_table_add(ours, "fc.bias", NN_BIAS, &(nn_shape){1, {2}}, &err), err);
    check_ok(nn_table_add(ours, "conv1.weight", NN_WEIGHT, &(nn_shape){2, {2, 9}}, &err), err);
    check_ok(ckpt_load_into(library_file, ours, data, &match, &err), err);
    check_near(data[4], -1, 0);
    check_near(data[0], 0, 0);
    check_near(data[6], 0, 0);
    check_int(match.n, 3);
    check_int(match.n_matched, 1);
    check_str(match.matched, "fc");
    check_str(match.missing, "head.weight");
    check_str(match.other_shape, "conv1.weight (2x1x3x3 there, 2x9 here)");
    check_has(match.extra, "fc.weight");
    check_has(match.extra, "bn1.running_mean");
    char *text = ckpt_match_text(&match, "weights.safetensors");
    check_has(text, "weights.safetensors: 1 of the model's 3 parameters start from it");
    check_has(text, "not in the file: head.weight");
    free(text);
    ckpt_match_clear(&match);
    nn_table_destroy(&ours);
}

static void weights_that_fit_nothing_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    ckpt_match match;
    float data[40] = {0};
    nn_table *ours = nn_table_new();
    check_ok(nn_table_add(ours, "conv1.weight", NN_WEIGHT, &(nn_shape){2, {2, 9}}, &err), err);
    check_fails(ckpt_load_into(library_file, ours, data, &match, &err), FL_ECONFIG);
    check_has(err.text, "conv1.weight (2x1x3x3 there, 2x9 here)");
    ckpt_match_clear(&match);
    check_fails(ckpt_load_into("weights.pt", ours, data, &match, &err), FL_ECONFIG);
    ckpt_match_clear(&match);
    nn_table_destroy(&ours);
}

/* It would stay as it was drawn at random. */
static void what_is_frozen_must_be_in_the_file(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    ckpt_match match;
    float data[40] = {0};
    nn_table *ours = nn_table_new();
    check_ok(nn_table_add(ours, "fc.bias", NN_BIAS, &(nn_shape){1, {2}}, &err), err);
    check_ok(nn_table_add(ours, "conv9.weight", NN_FROZEN, &(nn_shape){1, {4}}, &err), err);
    check_fails(ckpt_load_into(library_file, ours, data, &match, &err), FL_ECONFIG);
    check_has(err.text, "conv9.weight is frozen, but the file does not hold it");
    ckpt_match_clear(&match);
    nn_table_destroy(&ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_its_numbers_and_notes_survive_the_trip),
        cmocka_unit_test(a_file_of_the_safetensors_library_is_read),
        cmocka_unit_test(every_prefix_is_refused_and_every_flipped_bit_survived),
        cmocka_unit_test(headers_that_lie_are_refused_in_words),
        cmocka_unit_test(a_header_over_the_limit_is_refused_before_it_is_read),
        cmocka_unit_test(weights_are_loaded_by_name),
        cmocka_unit_test(weights_that_fit_nothing_are_refused),
        cmocka_unit_test(what_is_frozen_must_be_in_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
