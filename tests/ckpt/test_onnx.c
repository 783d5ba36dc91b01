/*
 * test_onnx.c - whole models as ONNX files
 *
 * With KEEP=DIR in the environment the files written here stay in DIR, each
 * with an input and its output, for tests/vectors/nn_onnxruntime.py.
 */
#include "check.h"

#include "base/json.h"
#include "ckpt/ckpt.h"
#include "ckpt/onnx.h"
#include "nn/plan.h"

enum { ROWS = 3 };

/* ------------------------------------------------------------- the models */

/* A classifier as the project trains them. */
static nn_graph *new_cnn(void)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("cnn");
    nn_value x = nn_graph_input(g, "image", &(nn_shape){4, {NN_BATCH, 1, 12, 12}});

    x = nn_max_pool(g, nn_relu(g, nn_conv(g, "conv1", x, 4, 3, 1, 1)), 2, 2);
    x = nn_relu(g, nn_batch_norm(g, "bn1", nn_conv(g, "conv2", x, 8, 3, 1, 1)));
    x = nn_dropout(g, nn_relu(g, nn_gemm(g, "fc1", nn_flatten(g, x), 16)), 0.25);
    nn_graph_output(g, "logits", nn_gemm(g, "fc2", x, 3));
    check_ok(nn_graph_finish(g, &err), err);
    return g;
}

/* Every other operator, with attributes of every kind. */
static nn_graph *new_zoo(void)
{
    fl_err err = FL_ERR_INIT;
    int64_t kernel[] = {3, 3}, strides[] = {2, 1}, pads[] = {1, 0, 1, 2}, shape[] = {0, 2, -1},
            flat[] = {-1, 12};
    nn_graph *g = nn_graph_new("zoo");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, 2, 10, 9}});
    nn_value w = nn_graph_param(g, "w", NN_WEIGHT, &(nn_shape){4, {4, 1, 3, 3}}, NN_INIT_FAN_IN, 0);
    nn_value b = nn_graph_param(g, "b", NN_BIAS, &(nn_shape){3, {4, 1, 1}}, NN_INIT_FAN_IN, 9);
    nn_value m = nn_graph_param(g, "m", NN_WEIGHT, &(nn_shape){2, {12, 5}}, NN_INIT_FAN_IN, 12);
    nn_attr conv[] = {NN_INT("group", 2),
                      {.name = "auto_pad", .kind = NN_ATTR_TEXT, .text = "SAME_UPPER"}};
    nn_attr pool[] = {NN_INTS("kernel_shape", kernel, 2), NN_INTS("strides", strides, 2),
                      NN_INTS("pads", pads, 4), NN_INT("count_include_pad", 1)};

    x = nn_graph_op(g, "Conv", "c", (nn_value[]){x, w}, 2, conv, 2);
    x = nn_add(g, x, b);
    x = nn_graph_op(g, "AveragePool", "p", &x, 1, pool, 4);
    x = nn_add(g, x, nn_graph_op(g, "Sigmoid", NULL, &x, 1, NULL, 0));
    x = nn_conv(g, "c3", x, 12, 1, 1, 0);
    x = nn_global_average_pool(g, x);
    x = nn_graph_op(g, "Reshape", NULL, &x, 1, (nn_attr[]){NN_INTS("shape", shape, 3)}, 1);
    x = nn_graph_op(g, "Softmax", NULL, &x, 1, (nn_attr[]){NN_INT("axis", 1)}, 1);
    x = nn_graph_op(g, "Reshape", NULL, &x, 1, (nn_attr[]){NN_INTS("shape", flat, 2)}, 1);
    x = nn_graph_op(g, "Identity", NULL, &x, 1, NULL, 0);
    nn_graph_output(g, "y", nn_graph_op(g, "MatMul", NULL, (nn_value[]){x, m}, 2, NULL, 0));
    check_ok(nn_graph_finish(g, &err), err);
    return g;
}

static float *new_params(const nn_graph *g)
{
    float *data = fl_xcalloc((size_t)nn_table_count(nn_graph_table(g)), sizeof *data);
    fl_rng rng;

    nn_graph_init(g, data, 1);
    fl_rng_init(&rng, 1, "statistics", "", 0);
    for (size_t i = 0; i < nn_table_n(nn_graph_table(g)); i++) {
        const nn_param *p = nn_table_at(nn_graph_table(g), i);
        for (int64_t k = 0; p->kind == NN_STAT && k < p->count; k++) {
            data[p->offset + k] = (float)fl_rng_range(&rng, 0.2, 1.5);
        }
    }
    return data;
}

/* Output for an input that is always the same, caller's; *n numbers. */
static float *predict(const nn_graph *g, const float *data, const float *input, int64_t *n)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    nn_plan_config cfg = {.capacity = ROWS, .train = false, .precision = NN_FP32, .threads = 1};
    int64_t n_in = nn_shape_count(nn_graph_shape(g, nn_graph_input_at(g, 0)), ROWS);
    fl_rng rng;

    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    fl_rng_init(&rng, 1, "input", "", 0);
    for (int64_t i = 0; i < n_in; i++) {
        nn_plan_input(plan, 0)[i] = input != NULL ? input[i] : (float)fl_rng_normal(&rng);
    }
    nn_plan_forward(plan, data, ROWS);
    *n = nn_shape_count(nn_graph_shape(g, nn_graph_output_at(g, 0)), ROWS);
    float *out = fl_xcalloc((size_t)*n, sizeof *out);
    nn_vec_copy(out, nn_plan_output(plan, 0), *n);
    nn_plan_destroy(&plan);
    return out;
}

/* Leaves g in KEEP, for nn_onnxruntime.py. */
static void keep(const nn_graph *g, const float *data, const float *output, int64_t n)
{
    fl_err err = FL_ERR_INIT;
    const char *dir = getenv("KEEP");
    fl_rng rng;

    if (dir == NULL) {
        return;
    }
    char *path = fl_xasprintf("%s/%s.onnx", dir, nn_graph_name(g));
    check_ok(ckpt_onnx_write(path, g, data, NULL, &err), err);
    json_t *golden = json_object(), *in = json_array(), *out = json_array();
    fl_rng_init(&rng, 1, "input", "", 0);
    int64_t n_in = nn_shape_count(nn_graph_shape(g, nn_graph_input_at(g, 0)), ROWS);
    for (int64_t i = 0; i < n_in; i++) {
        json_array_append_new(in, fl_json_number((float)fl_rng_normal(&rng)));
    }
    for (int64_t i = 0; i < n; i++) {
        json_array_append_new(out, fl_json_number(output[i]));
    }
    json_object_set_new(golden, "input", in);
    json_object_set_new(golden, "output", out);
    memcpy(strrchr(path, '.'), ".json", 5);
    check_ok(fl_json_write(golden, path, &err), err);
    json_decref(golden);
    free(path);
}

/* -------------------------------------------------------------- the tests */

static void check_round_trip(nn_graph *g)
{
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "model.onnx");
    float *data = new_params(g), *read;
    nn_graph *back;
    ckpt_meta notes = {0}, read_notes = {0};
    int64_t n, m;
    ckpt_meta_add(&notes, "classes", "normal,opacity");

    check_ok(ckpt_onnx_write(path, g, data, &notes, &err), err);
    check_ok(ckpt_onnx_read(&back, &read, &read_notes, path, &err), err);
    check(nn_table_equal(nn_graph_table(g), nn_graph_table(back)));
    check_bytes(read, data, (size_t)nn_table_count(nn_graph_table(g)) * sizeof *data);
    check_str(ckpt_meta_get(&read_notes, "classes"), "normal,opacity");
    check_int(nn_graph_n_nodes(back), nn_graph_n_nodes(g));
    check_str(nn_graph_value_name(back, nn_graph_input_at(back, 0)),
              nn_graph_value_name(g, nn_graph_input_at(g, 0)));
    check_str(nn_graph_value_name(back, nn_graph_output_at(back, 0)),
              nn_graph_value_name(g, nn_graph_output_at(g, 0)));
    float *before = predict(g, data, NULL, &n), *after = predict(back, read, NULL, &m);
    check_int(n, m);
    check_bytes(after, before, (size_t)n * sizeof *before);
    keep(g, data, before, n);

    free(before);
    free(after);
    free(data);
    free(read);
    ckpt_meta_clear(&notes);
    ckpt_meta_clear(&read_notes);
    nn_graph_destroy(&g);
    nn_graph_destroy(&back);
    free(path);
    check_rmdir(&dir);
}

static void a_model_survives_the_trip(void **state)
{
    (void)state;
    check_round_trip(new_cnn());
}

static void every_operator_survives_the_trip(void **state)
{
    (void)state;
    check_round_trip(new_zoo());
}

/* Operators whose attributes ONNX passes as inputs, in the opset they need. */
static void arguments_that_are_inputs_survive_the_trip(void **state)
{
    (void)state;
    static const int64_t pads[] = {0, 0, 1, 0, 0, 0, 0, 2}, starts[] = {1, -1}, ends[] = {4, -9};
    static const int64_t axes[] = {1, 2}, steps[] = {1, -2}, indices[] = {2, 0}, space[] = {2, 3};
    static const double scales[] = {1, 1, 2, 1.5};
    for (int last = 0; last < 3; last++) {
        fl_err err = FL_ERR_INIT;
        nn_graph *g = nn_graph_new("arguments");
        nn_shape four = {1, {4}};
        nn_value x = nn_graph_input(g, "x", &(nn_shape){4, {NN_BATCH, 2, 6, 5}});
        x = nn_conv(g, "c", x, 4, 3, 1, 1);
        nn_value in[] = {x, nn_graph_param(g, "s", NN_NORM, &four, NN_INIT_ONE, 0),
                         nn_graph_param(g, "t", NN_NORM, &four, NN_INIT_ZERO, 0)};
        nn_attr groups = NN_INT("num_groups", 2);
        x = last == 1   ? nn_graph_op(g, "Gelu", NULL, &x, 1, NULL, 0)
            : last == 2 ? nn_graph_op(g, "GroupNormalization", NULL, in, 3, &groups, 1)
                        : nn_graph_op(g, "InstanceNormalization", NULL, in, 3, NULL, 0);
        x = nn_graph_op(g, "Clip", NULL, &x, 1, (nn_attr[]){NN_FLOAT("max", 0.5)}, 1);
        x = nn_graph_op(g, "Pad", NULL, &x, 1,
                        (nn_attr[]){NN_FLOAT("value", 0.25), NN_INTS("pads", pads, 8)}, 2);
        x = nn_graph_op(g, "Slice", NULL, &x, 1,
                        (nn_attr[]){NN_INTS("starts", starts, 2), NN_INTS("ends", ends, 2),
                                    NN_INTS("axes", axes, 2), NN_INTS("steps", steps, 2)}, 4);
        x = nn_graph_op(g, "Resize", NULL, &x, 1,
                        (nn_attr[]){NN_TEXT("mode", "linear"), NN_FLOATS("scales", scales, 4)}, 2);
        nn_value y = nn_graph_op(g, "Gather", NULL, &x, 1,
                                 (nn_attr[]){NN_INTS("indices", indices, 2), NN_INT("axis", 1)}, 2);
        nn_value z = nn_graph_op(g, "Gather", NULL, &x, 1,
                                 (nn_attr[]){NN_INT("indices", -1), NN_INT("axis", 1)}, 2);
        z = nn_graph_op(g, "Unsqueeze", NULL, &z, 1, (nn_attr[]){NN_INTS("axes", axes, 1)}, 1);
        x = nn_graph_op(g, "Concat", NULL, (nn_value[]){y, z}, 2,
                        (nn_attr[]){NN_INT("axis", 1)}, 1);
        x = nn_graph_op(g, "ReduceMean", NULL, &x, 1,
                        (nn_attr[]){NN_INTS("axes", space, 2), NN_INT("keepdims", 0)}, 2);
        nn_graph_output(g, "y", x);
        check_ok(nn_graph_finish(g, &err), err);
        check_round_trip(g);
    }
}

static void a_pytorch_export_is_read_as_a_trainable_graph(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    nn_graph *g;
    float *data;
    json_t *golden;
    int64_t n;
    check_ok(ckpt_onnx_read(&g, &data, NULL, "tests/vectors/nn_torch.onnx", &err), err);
    check_ok(fl_json_read(&golden, "tests/vectors/nn_torch.json", 1 << 20, &err), err);
    const nn_table *table = nn_graph_table(g);
    const json_t *names = json_object_get(golden, "names");
    check_int(nn_table_n(table), json_array_size(names));
    for (size_t i = 0; i < nn_table_n(table); i++) {  // state_dict's names, in its order
        check_str(nn_table_at(table, i)->name, json_string_value(json_array_get(names, i)));
    }
    check_int(nn_table_find(table, "bn1.weight")->kind, NN_NORM);
    check_int(nn_table_find(table, "bn1.running_var")->kind, NN_STAT);
    check_int(nn_table_find(table, "fc1.bias")->kind, NN_BIAS);

    float input[ROWS * 18 * 18] = {0};
    const json_t *in = json_object_get(golden, "input"), *out = json_object_get(golden, "output");
    for (size_t i = 0; i < json_array_size(in); i++) {
        input[i] = (float)json_number_value(json_array_get(in, i));
    }
    float *y = predict(g, data, input, &n);
    for (size_t i = 0; i < json_array_size(out); i++) {
        check_near(y[i], json_number_value(json_array_get(out, i)), 1e-5);
    }
    free(y);

    nn_plan *plan;
    nn_plan_config cfg = {
        .capacity = 2, .train = true, .threads = 1, .loss = {.kind = NN_LOSS_SOFTMAX_CE}};
    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    float *grad = fl_xcalloc((size_t)nn_table_count(table), sizeof *grad);
    memcpy(nn_plan_input(plan, 0), input, 2 * 18 * 18 * sizeof *input);
    check(isfinite(nn_plan_step(plan, data, grad, 2, NULL)));
    check(nn_vec_norm(grad, 36) > 0);  // down to conv1.weight
    free(grad);
    nn_plan_destroy(&plan);
    free(data);
    json_decref(golden);
    nn_graph_destroy(&g);
}

/* A copy that ends where the allocation ends, for AddressSanitizer. */
static fl_status read_exactly(const char *bytes, size_t n, fl_err *err)
{
    nn_graph *g;
    float *data;
    ckpt_meta notes = {0};
    char *copy = malloc(n > 0 ? n : 1);

    if (n > 0) {
        memcpy(copy, bytes, n);
    }
    fl_status st = ckpt_onnx_unpack(&g, &data, &notes, copy, n, err);
    check((st == FL_OK) == (g != NULL) && (st == FL_OK) == (data != NULL));
    check(st == FL_OK || err->text[0] != '\0');
    ckpt_meta_clear(&notes);
    nn_graph_destroy(&g);
    free(data);
    free(copy);
    return st;
}

/* The bytes of a model, caller's. */
static char *bytes_of(nn_graph *g, size_t *n)
{
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "model.onnx"), *bytes;
    float *data = new_params(g);

    check_ok(ckpt_onnx_write(path, g, data, NULL, &err), err);
    check_ok(fl_file_read(&bytes, n, path, 1 << 20, &err), err);
    free(data);
    free(path);
    check_rmdir(&dir);
    nn_graph_destroy(&g);
    return bytes;
}

static void damage_is_refused_or_harmless(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    size_t n;
    char *file = bytes_of(new_cnn(), &n);
    check_ok(read_exactly(file, n, &err), err);
    for (size_t k = 0; k < n; k++) {
        read_exactly(file, k, &err);
    }
    /* All bits where structure is dense, one bit in seven elsewhere. */
    for (size_t bit = 0; bit < 8 * n; bit += bit < 4000 || bit > 8 * n - 12000 ? 1 : 7) {
        file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
        read_exactly(file, n, &err);
        file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
    }
    free(file);
}

/* Exports compute shapes, and their tensors are small: other code than above. */
static void damage_of_an_export_is_refused_or_harmless(void **state)
{
    (void)state;
    static const char *const files[] = {"vit_script17", "unet_dynamo18"};
    fl_err err = FL_ERR_INIT;
    for (size_t i = 0; i < 2; i++) {
        char *path = fl_xasprintf("tests/vectors/exports/%s.onnx", files[i]), *file;
        size_t n;
        check_ok(fl_file_read(&file, &n, path, 1 << 20, &err), err);
        for (size_t k = 0; k < n; k += 3) {
            read_exactly(file, k, &err);
        }
        for (size_t bit = 0; bit < 8 * n; bit += 37) {
            file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
            read_exactly(file, n, &err);
            file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
        }
        check_ok(read_exactly(file, n, &err), err);
        free(file);
        free(path);
    }
}

static void bottomless_nesting_is_refused_without_recursion(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    /* graph (7) { node (1) { attribute (5) { g (6) { node ... */
    enum { DEEP = 10000, TAIL = 1 << 17 };
    static const uint8_t keys[] = {1 << 3 | 2, 5 << 3 | 2, 6 << 3 | 2};
    uint8_t *file = fl_xcalloc(TAIL, 1), *at = file + TAIL;
    size_t inside = 0;
    for (int level = 0; level < DEEP; level++) {
        uint8_t length[10];
        size_t k = 0;
        for (size_t rest = inside; k == 0 || rest > 0; rest >>= 7) {
            length[k++] = (uint8_t)((rest & 0x7f) | (rest >> 7 > 0 ? 0x80 : 0));
        }
        at -= k;
        memcpy(at, length, k);
        *--at = level == DEEP - 1 ? 7 << 3 | 2 : keys[(DEEP - 2 - level) % 3];
        inside += k + 1;
    }
    check_fails(read_exactly((const char *)at, inside, &err), FL_ELIMIT);
    check_has(err.text, "nested");
    free(file);
}

static void too_many_fields_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    size_t n = 2 * (size_t)(ONNX_MAX_FIELDS + 2);
    char *file = fl_xcalloc(n, 1);  // varint fields of two bytes: ir_version = 0
    for (size_t i = 0; i < n; i += 2) {
        file[i] = 1 << 3;
    }
    check_fails(read_exactly(file, n, &err), FL_ELIMIT);
    free(file);
}

/* The zoo's file with one text replaced by another of the same length. */
static void check_edited(const char *from, const char *to, fl_status wanted, const char *part)
{
    fl_err err = FL_ERR_INIT;
    size_t n, length = strlen(from), found = 0;
    char *file = bytes_of(new_zoo(), &n);

    for (size_t i = 0; i + length <= n; i++) {
        if (memcmp(file + i, from, length) == 0) {
            memcpy(file + i, to, length);
            found++;
        }
    }
    check(found > 0);
    check_fails(read_exactly(file, n, &err), wanted);
    check_has(err.text, part);
    free(file);
}

static void what_is_not_understood_is_named(void **state)
{
    (void)state;
    check_edited("Sigmoid", "Sigmund", FL_EUNSUPPORTED,
                 "operator Sigmund is not supported; supported are");
    check_edited("AveragePool", "AveragePoem", FL_EUNSUPPORTED, "node p");
    check_edited("auto_pad", "auto_pod", FL_EUNSUPPORTED, "attribute auto_pod");
    check_edited("SAME_UPPER", "SAME_OTHER", FL_ECONFIG, "auto_pad must be");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_survives_the_trip),
        cmocka_unit_test(every_operator_survives_the_trip),
        cmocka_unit_test(arguments_that_are_inputs_survive_the_trip),
        cmocka_unit_test(a_pytorch_export_is_read_as_a_trainable_graph),
        cmocka_unit_test(damage_is_refused_or_harmless),
        cmocka_unit_test(damage_of_an_export_is_refused_or_harmless),
        cmocka_unit_test(bottomless_nesting_is_refused_without_recursion),
        cmocka_unit_test(too_many_fields_are_refused),
        cmocka_unit_test(what_is_not_understood_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
