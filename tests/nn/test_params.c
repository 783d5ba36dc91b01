/*
 * test_params.c - the table of parameters and arithmetic on the vector
 */
#include "check.h"

#include <float.h>

#include "base/hash.h"
#include "nn/params.h"

static nn_table *example_table(void)
{
    fl_err err = FL_ERR_INIT;
    nn_table *t = nn_table_new();

    check_ok(nn_table_add(t, "conv1.weight", NN_WEIGHT, &(nn_shape){4, {2, 1, 3, 3}}, &err), err);
    check_ok(nn_table_add(t, "conv1.bias", NN_BIAS, &(nn_shape){1, {2}}, &err), err);
    check_ok(nn_table_add(t, "bn1.weight", NN_NORM, &(nn_shape){1, {2}}, &err), err);
    check_ok(nn_table_add(t, "bn1.running_mean", NN_STAT, &(nn_shape){1, {2}}, &err), err);
    return t;
}

static void a_table_names_stretches_of_one_vector(void **state)
{
    (void)state;
    nn_table *t = example_table();
    check_int(nn_table_n(t), 4);
    check_int(nn_table_count(t), 24);
    const nn_param *p = nn_table_find(t, "conv1.bias");
    check_int(p->offset, 18);
    check_int(p->count, 2);
    check(nn_table_find(t, "conv2.bias") == NULL);
    nn_table_destroy(&t);
    nn_table_destroy(&t);
}

static void names_are_unique_and_sizes_limited(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_table *t = example_table();
    char name[200];
    memset(name, 'a', sizeof name);
    name[NN_NAME_BYTES] = '\0';
    check_fails(nn_table_add(t, "conv1.bias", NN_BIAS, &(nn_shape){1, {9}}, &err), FL_ECONFLICT);
    check_has(err.text, "conv1.bias");
    check_fails(nn_table_add(t, name, NN_BIAS, &(nn_shape){1, {9}}, &err), FL_ELIMIT);
    check_fails(nn_table_add(t, "", NN_BIAS, &(nn_shape){1, {9}}, &err), FL_ELIMIT);
    check_fails(nn_table_add(t, "x", NN_BIAS, &(nn_shape){1, {0}}, &err), FL_ELIMIT);
    check_fails(nn_table_add(t, "x", NN_BIAS, &(nn_shape){2, {1 << 20, 1 << 20}}, &err), FL_ELIMIT);
    check_fails(
        nn_table_add(t, "x", NN_BIAS, &(nn_shape){2, {INT64_C(1) << 40, INT64_C(1) << 40}}, &err),
        FL_ELIMIT);
    check_int(nn_table_n(t), 4);
    nn_table_destroy(&t);
}

static void many_names_are_found_again(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_table *t = nn_table_new();
    char name[32];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "layer%d", i);
        check_ok(nn_table_add(t, name, NN_WEIGHT, &(nn_shape){0, {0}}, &err), err);
    }
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "layer%d", i);
        check_int(nn_table_find(t, name)->offset, i);
    }
    nn_table_destroy(&t);
}

static void a_filter_chooses_by_name_and_kind(void **state)
{
    (void)state;
    nn_table *t = example_table();
    size_t *index;
    const char *patterns[] = {"bn*", "*.bias"};
    nn_table *some = nn_table_filter(t, patterns, 2, 0, &index);
    check_int(nn_table_n(some), 3);
    check_str(nn_table_at(some, 0)->name, "conv1.bias");
    check_int(nn_table_at(some, 1)->offset, 2);
    check_int(index[2], 3);
    free(index);
    nn_table_destroy(&some);
    some = nn_table_filter(t, patterns, 2, 1u << NN_BIAS | 1u << NN_STAT, &index);
    check_int(nn_table_n(some), 2);
    free(index);
    nn_table_destroy(&some);
    some = nn_table_copy(t);
    check(nn_table_equal(some, t));
    nn_table_destroy(&some);
    nn_table_destroy(&t);
}

static void the_hash_is_that_of_the_canonical_text(void **state)
{
    (void)state;
    static const char text[] = "conv1.weight weight 2x1x3x3\nconv1.bias bias 2\nbn1.weight norm 2\n"
                               "bn1.running_mean stat 2\n";
    uint8_t got[32], wanted[32];
    float data[24];
    fl_sha256 h;
    nn_table *t = example_table();
    for (int i = 0; i < 24; i++) {
        data[i] = (float)i;
    }
    fl_sha256_init(&h);
    fl_sha256_add(&h, text, strlen(text));
    fl_sha256_done(&h, wanted);
    nn_table_hash(got, t);
    check_bytes(got, wanted, 32);
    fl_sha256_init(&h);
    fl_sha256_add(&h, text, strlen(text));
    fl_sha256_add(&h, data, sizeof data);
    fl_sha256_done(&h, wanted);
    nn_params_sha256(got, t, data);
    check_bytes(got, wanted, 32);
    nn_table_destroy(&t);
}

static void kinds_have_names(void **state)
{
    (void)state;
    for (nn_kind k = NN_WEIGHT; k <= NN_STAT; k++) {
        nn_kind back;
        check(nn_kind_parse(&back, nn_kind_name(k)));
        check_int(back, k);
        check_int(nn_kind_trainable(k), k != NN_STAT);
    }
    check(!nn_kind_parse(&(nn_kind){0}, "scale"));
}

static void vector_arithmetic(void **state)
{
    (void)state;
    float x[19], y[19], z[19];
    for (int i = 0; i < 19; i++) {
        x[i] = (float)(i + 1);
        y[i] = 1;
    }
    nn_vec_axpy(y, 2, x, 19);  // 1 + 2 (i + 1)
    nn_vec_sub(z, y, x, 19);   // i + 2
    nn_vec_scale(z, -1, 19);
    for (int i = 0; i < 19; i++) {
        check_near(z[i], -(i + 2), 0);
    }
    check_near(nn_vec_dot(x, x, 19), 2470, 0);
    check_near(nn_vec_norm(x, 19), sqrt(2470), 1e-12);
    check_near(nn_vec_max_abs(z, 19), 20, 0);
    nn_vec_zero(z, 19);
    nn_vec_copy(y, z, 19);
    check_near(nn_vec_max_abs(y, 19), 0, 0);
}

static void finite_means_no_nan_and_no_infinity(void **state)
{
    (void)state;
    float bad[] = {NAN, INFINITY, -INFINITY, FLT_MAX};
    float x[40] = {0};
    check(nn_vec_is_finite(x, 40));
    for (int i = 0; i < 4; i++) {
        x[37] = bad[i];
        check_int(nn_vec_is_finite(x, 40), i == 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_names_stretches_of_one_vector),
        cmocka_unit_test(names_are_unique_and_sizes_limited),
        cmocka_unit_test(many_names_are_found_again),
        cmocka_unit_test(a_filter_chooses_by_name_and_kind),
        cmocka_unit_test(the_hash_is_that_of_the_canonical_text),
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(vector_arithmetic),
        cmocka_unit_test(finite_means_no_nan_and_no_infinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
