/*
 * test_spool.c - payloads on disk, and objects that sites fetch
 */
#include "check.h"

#include "base/rng.h"
#include "ckpt/ckpt.h"
#include "coordinator/objects.h"
#include "coordinator/spool.h"
#include "fed/bf16.h"

enum { N = 2 * FED_PIECE_VALUES + 1000 };  // three pieces

/* An update and its pieces. */
typedef struct {
    char *dir, *path;
    float *values;
    fed_digest digest;
    uint64_t n_bytes;
    uint32_t n_pieces;
} sample;

static sample sample_new(void)
{
    sample s = {.dir = check_tmpdir(), .values = fl_xcalloc(N, sizeof(float))};
    fl_rng rng;
    fl_rng_init(&rng, 1, "spool", "", 0);
    for (size_t i = 0; i < N; i++) {
        s.values[i] = (float)fl_rng_normal(&rng);
    }
    s.path = fl_path_join(s.dir, "spool");
    fed_object_digest(&s.digest, FED_ENC_F32, s.values, N, &s.n_bytes, &s.n_pieces);
    check_int(s.n_pieces, 3);
    return s;
}

static void sample_free(sample *s)
{
    free(s->values);
    free(s->path);
    check_rmdir(&s->dir);
}

static void append(spool *p, const sample *s, uint32_t index)
{
    fl_err err = FL_ERR_INIT;
    uint8_t *piece = fl_xcalloc(FED_PIECE_BYTES, 1);
    size_t n = fed_piece_pack(piece, FED_ENC_F32, s->values, N, index);
    check_int(spool_next(p), index);
    check_ok(spool_append(p, piece, n, &err), err);
    free(piece);
}

static spool *opened(const sample *s)
{
    fl_err err = FL_ERR_INIT;
    spool *p = NULL;
    check_ok(spool_open(&p, s->path, FED_ENC_F32, s->n_bytes, s->n_pieces, &err), err);
    return p;
}

static void pieces_are_appended_hashed_and_read_by_block(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    sample s = sample_new();
    spool *p = opened(&s);
    fed_digest digest;
    for (uint32_t i = 0; i < 3; i++) {
        check(!spool_is_whole(p));
        append(p, &s, i);
    }
    check(spool_is_whole(p));
    spool_digest(p, &digest);
    check(fed_digest_equal(&digest, &s.digest));
    spool_digest(p, &digest);  // may be asked twice
    check(fed_digest_equal(&digest, &s.digest));
    check(spool_verify(s.path, FED_ENC_F32, s.n_bytes, s.n_pieces, &s.digest));

    float *block = fl_xcalloc(N, sizeof *block);
    const int64_t cuts[][2] = {{0, 1},         {0, N},         {65535, 2},
                               {65536, 65536}, {131072, 1000}, {70000, 62000}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        check_ok(spool_read_values(s.path, FED_ENC_F32, block, cuts[i][0], cuts[i][1], &err), err);
        check_bytes(block, s.values + cuts[i][0], (size_t)cuts[i][1] * sizeof *block);
    }
    check_fails(spool_read_values(s.path, FED_ENC_F32, block, N - 1, 2, &err), FL_EIO);
    free(block);
    spool_close(&p);
    sample_free(&s);
}

/* Whatever a kill left: whole pieces are kept, the torn rest is asked for again. */
static void a_torn_tail_is_cut_to_whole_pieces(void **state)
{
    (void)state;
    sample s = sample_new();
    const off_t lengths[] = {0,
                             1,
                             7,
                             FED_PIECE_BYTES - 1,
                             FED_PIECE_BYTES,
                             FED_PIECE_BYTES + 1,
                             2 * FED_PIECE_BYTES - 1,
                             2 * FED_PIECE_BYTES,
                             2 * FED_PIECE_BYTES + 4007,
                             2 * FED_PIECE_BYTES + 4008};
    const uint32_t kept[] = {0, 0, 0, 0, 1, 1, 1, 2, 2, 3};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        spool *p = opened(&s);
        fed_digest digest;
        while (!spool_is_whole(p)) {
            append(p, &s, spool_next(p));
        }
        spool_close(&p);
        check_int(truncate(s.path, lengths[i]), 0);
        p = opened(&s);
        check_int(spool_next(p), kept[i]);
        while (!spool_is_whole(p)) {
            append(p, &s, spool_next(p));
        }
        spool_digest(p, &digest);
        check(fed_digest_equal(&digest, &s.digest));
        spool_close(&p);
    }
    sample_free(&s);
}

static void a_changed_byte_changes_the_digest(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    sample s = sample_new();
    spool *p = opened(&s);
    for (uint32_t i = 0; i < 3; i++) {
        append(p, &s, i);
    }
    spool_close(&p);
    char *bytes = NULL;
    size_t n;
    check_ok(fl_file_read(&bytes, &n, s.path, 1 << 24, &err), err);
    check_int(n, s.n_bytes);
    const size_t places[] = {
        0, 4, 8, FED_PIECE_BYTES, FED_PIECE_BYTES + 9, 2 * FED_PIECE_BYTES + 500};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bytes[places[i]] ^= 1;
        check_ok(fl_file_write(s.path, bytes, n, 0600, &err), err);
        check(!spool_verify(s.path, FED_ENC_F32, s.n_bytes, s.n_pieces, &s.digest));
        bytes[places[i]] ^= 1;
    }
    check_ok(fl_file_write(s.path, bytes, n, 0600, &err), err);
    check(spool_verify(s.path, FED_ENC_F32, s.n_bytes, s.n_pieces, &s.digest));
    check(!spool_verify("/nowhere", FED_ENC_F32, s.n_bytes, s.n_pieces, &s.digest));
    free(bytes);
    sample_free(&s);
}

static void pieces_of_another_size_or_kind_are_refused_and_change_nothing(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    sample s = sample_new();
    spool *p = opened(&s);
    uint8_t *piece = fl_xcalloc(FED_PIECE_BYTES, 1);
    size_t n = fed_piece_pack(piece, FED_ENC_F32, s.values, N, 2);
    check_fails(spool_append(p, piece, n, &err), FL_EFORMAT);  // the last comes last
    n = fed_piece_pack(piece, FED_ENC_BYTES, s.values, 4 * FED_PIECE_VALUES, 0);
    check_fails(spool_append(p, piece, n, &err), FL_EFORMAT);
    check_fails(spool_append(p, piece, 0, &err), FL_EFORMAT);
    check_int(spool_next(p), 0);
    append(p, &s, 0);
    check_ok(spool_reset(p, &err), err);
    append(p, &s, 0);
    spool_close(&p);
    check_fails(spool_open(&p, s.path, FED_ENC_F32, s.n_bytes, s.n_pieces + 1, &err), FL_EFORMAT);
    check_fails(spool_open(&p, s.path, FED_ENC_F32, 0, 0, &err), FL_EFORMAT);
    check_fails(spool_open(&p, s.path, FED_ENC_F32, UINT64_MAX, FED_MAX_PIECES, &err), FL_EFORMAT);
    free(piece);
    sample_free(&s);
}

static void documents_come_back_as_text(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "doc"), *text = NULL;
    const size_t sizes[] = {1, 100, 4 * FED_PIECE_VALUES, 4 * FED_PIECE_VALUES + 1, 600000};
    uint8_t *piece = fl_xcalloc(FED_PIECE_BYTES, 1);
    char *doc = fl_xcalloc(600000, 1);
    for (size_t i = 0; i < 600000; i++) {
        doc[i] = (char)('a' + i % 26);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        spool *p = NULL;
        size_t n;
        uint32_t n_pieces = fed_pieces_of(FED_ENC_BYTES, sizes[i]);
        check_ok(spool_open(&p, path, FED_ENC_BYTES, fed_piece_bytes_of(FED_ENC_BYTES, sizes[i]),
                            n_pieces, &err),
                 err);
        check_ok(spool_reset(p, &err), err);
        for (uint32_t k = 0; k < n_pieces; k++) {
            size_t size = fed_piece_pack(piece, FED_ENC_BYTES, doc, sizes[i], k);
            check_ok(spool_append(p, piece, size, &err), err);
        }
        spool_close(&p);
        check_ok(spool_read_bytes(path, &text, &n, 1 << 20, &err), err);
        check_int(n, sizes[i]);
        check_bytes(text, doc, n);
        free(text);
        check_fails(spool_read_bytes(path, &text, &n, sizes[i] - 1, &err), FL_ELIMIT);
        check_int(truncate(path, 0), 0);
    }
    free(doc);
    free(piece);
    free(path);
    check_rmdir(&dir);
}

// ------------------------------------------------------------------ objects

static void a_model_is_served_from_its_file_as_from_memory(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    sample s = sample_new();
    nn_table *t = nn_table_new();
    check_ok(nn_table_add(t, "w", NN_WEIGHT, &(nn_shape){2, {N / 2, 2}}, &err), err);
    check_ok(ckpt_safetensors_write(s.path, t, s.values, NULL, &err), err);
    objects *o = objects_new();
    fed_digest digest;
    check_ok(objects_add_model(o, s.path, t, FED_ENC_F32, &digest, &err), err);
    check(fed_digest_equal(&digest, &s.digest));
    check_bytes(objects_model(o, &digest), s.values, N * sizeof(float));
    uint32_t n_pieces;
    uint64_t n_bytes;
    check(objects_find(o, &digest, &n_pieces, &n_bytes));
    check(n_pieces == s.n_pieces && n_bytes == s.n_bytes);
    uint8_t *a = fl_xcalloc(2, FED_PIECE_BYTES), *b = a + FED_PIECE_BYTES;
    for (uint32_t i = 0; i < n_pieces; i++) {
        size_t n = objects_piece(o, &digest, i, a);
        check_int(n, fed_piece_pack(b, FED_ENC_F32, s.values, N, i));
        check_bytes(a, b, n);
    }
    objects_drop(o, &digest);
    check(!objects_find(o, &digest, &n_pieces, &n_bytes));

    nn_table *other = nn_table_new();  // a file of another size is no model of this table
    check_ok(nn_table_add(other, "w", NN_WEIGHT, &(nn_shape){1, {N - 1}}, &err), err);
    check_fails(objects_add_model(o, s.path, other, FED_ENC_F32, &digest, &err), FL_EFORMAT);
    check_fails(objects_add_model(o, "/nowhere", t, FED_ENC_F32, &digest, &err), FL_ENOTFOUND);
    objects_destroy(&o);
    nn_table_destroy(&other);
    nn_table_destroy(&t);
    free(a);
    sample_free(&s);
}

static void a_rounded_spool_is_read_as_numbers(void **state)
{
    (void)state;
    enum { COUNT = 2 * FED_PIECE_VALUES + 77 };
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "spool");
    float *values = fl_xcalloc(COUNT, sizeof *values), *back = fl_xcalloc(COUNT, sizeof *back);
    static uint8_t piece[FED_PIECE_BYTES];
    fed_digest digest, found;
    uint64_t n_bytes;
    uint32_t n_pieces;
    for (int i = 0; i < COUNT; i++) {
        values[i] = 1e-4f * (float)(i % 1999 - 999);
    }
    fed_bf16_round(values, NULL, COUNT);
    fed_object_digest(&digest, FED_ENC_BF16, values, COUNT, &n_bytes, &n_pieces);
    spool *p = NULL;
    for (uint32_t i = 0; i < n_pieces; i++) {  // opened anew before every piece, as after a kill
        check_ok(spool_open(&p, path, FED_ENC_BF16, n_bytes, n_pieces, &err), err);
        check_int(spool_next(p), i);
        size_t n = fed_piece_pack(piece, FED_ENC_BF16, values, COUNT, i);
        check_ok(spool_append(p, piece, n, &err), err);
        if (i + 1 == n_pieces) {
            spool_digest(p, &found);
        }
        spool_close(&p);
    }
    check_bytes(&found, &digest, sizeof digest);
    check(spool_verify(path, FED_ENC_BF16, n_bytes, n_pieces, &digest));
    check(!spool_verify(path, FED_ENC_F32, n_bytes, n_pieces, &digest));
    const int64_t cuts[][2] = {{0, COUNT}, {1, 5}, {FED_PIECE_VALUES - 3, 7}, {COUNT - 1, 1}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        check_ok(spool_read_values(path, FED_ENC_BF16, back, cuts[i][0], cuts[i][1], &err), err);
        check_bytes(back, values + cuts[i][0], (size_t)cuts[i][1] * sizeof *back);
    }
    check_fails(spool_read_values(path, FED_ENC_BF16, back, COUNT - 1, 2, &err), FL_EIO);
    free(back);
    free(values);
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rounded_spool_is_read_as_numbers),
        cmocka_unit_test(pieces_are_appended_hashed_and_read_by_block),
        cmocka_unit_test(a_torn_tail_is_cut_to_whole_pieces),
        cmocka_unit_test(a_changed_byte_changes_the_digest),
        cmocka_unit_test(pieces_of_another_size_or_kind_are_refused_and_change_nothing),
        cmocka_unit_test(documents_come_back_as_text),
        cmocka_unit_test(a_model_is_served_from_its_file_as_from_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
