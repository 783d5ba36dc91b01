/*
 * test_onnx_bad.c - ONNX files that are wrong, hostile or in pieces
 */
#include <onnx.pb-c.h>
#include <unistd.h>

#include "check.h"
#include "ckpt/ckpt.h"
#include "ckpt/onnx.h"

/* x (N, 2) -> Gemm by w (3, 2) and b (3) -> Relu -> y, as messages to be spoilt. */
static Onnx__ModelProto *new_model(void)
{
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *path = fl_path_join(dir, "model.onnx"), *bytes;
    nn_graph *g = nn_graph_new("small");
    nn_value x = nn_graph_input(g, "x", &(nn_shape){2, {NN_BATCH, 2}});
    float data[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    size_t n;

    nn_graph_output(g, "y", nn_relu(g, nn_gemm(g, "fc", x, 3)));
    check_ok(nn_graph_finish(g, &err), err);
    check_ok(ckpt_onnx_write(path, g, data, NULL, &err), err);
    check_ok(fl_file_read(&bytes, &n, path, 1 << 20, &err), err);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, n, (const uint8_t *)bytes);
    check(m != NULL && m->graph->n_node == 2 && m->graph->n_initializer == 2);
    nn_graph_destroy(&g);
    free(bytes);
    free(path);
    check_rmdir(&dir);
    return m;
}

static fl_status unpack(const Onnx__ModelProto *m, const char *folder, float *first, fl_err *err)
{
    size_t n = onnx__model_proto__get_packed_size(m);
    uint8_t *bytes = malloc(n);
    nn_graph *g;
    float *data;
    ckpt_onnx_options options = {.folder = folder};

    onnx__model_proto__pack(m, bytes);
    fl_status st = ckpt_onnx_unpack_as(&g, &data, NULL, (const char *)bytes, n, &options, err);
    check((st == FL_OK) == (g != NULL) && (st == FL_OK) == (data != NULL));
    if (st == FL_OK && first != NULL) {
        *first = data[0];
    }
    nn_graph_destroy(&g);
    free(data);
    free(bytes);
    return st;
}

/* Takes m. */
static void check_refused(Onnx__ModelProto *m, fl_status wanted, const char *part)
{
    fl_err err = FL_ERR_INIT;

    check_fails(unpack(m, NULL, NULL, &err), wanted);
    check_has(err.text, part);
    onnx__model_proto__free_unpacked(m, NULL);
}

static void set_text(char **text, const char *to)
{
    free(*text);
    *text = fl_xstrdup(to);
}

static void a_cycle_is_refused(void **state)
{
    (void)state;
    Onnx__ModelProto *m = new_model();
    set_text(&m->graph->node[0]->input[0], m->graph->node[1]->output[0]);
    check_refused(m, FL_EFORMAT, "in a cycle");
    m = new_model();
    Onnx__NodeProto *first = m->graph->node[0];
    m->graph->node[0] = m->graph->node[1];
    m->graph->node[1] = first;
    check_refused(m, FL_EFORMAT, "computed later");
}

static void names_that_do_not_add_up_are_refused(void **state)
{
    (void)state;
    Onnx__ModelProto *m = new_model();
    set_text(&m->graph->node[1]->output[0], m->graph->node[0]->output[0]);
    check_refused(m, FL_EFORMAT, "defined twice");
    m = new_model();
    set_text(&m->graph->initializer[1]->name, m->graph->initializer[0]->name);
    check_refused(m, FL_EFORMAT, "defined twice");
    m = new_model();
    set_text(&m->graph->output[0]->name, "nowhere");
    check_refused(m, FL_EFORMAT, "computed by no node");
    m = new_model();
    set_text(&m->graph->node[0]->op_type, "NonMaxSuppression");
    set_text(&m->graph->node[0]->name, "the box picker");
    check_refused(m, FL_EUNSUPPORTED,
                  "node the box picker: operator NonMaxSuppression is not supported; supported are "
                  "Conv");
    m = new_model();
    set_text(&m->graph->node[1]->op_type, "Floor");  // of shapes only
    check_refused(m, FL_EUNSUPPORTED, "Floor of what is no constant");
    m = new_model();
    set_text(&m->graph->node[0]->domain, "com.microsoft");
    check_refused(m, FL_EUNSUPPORTED, "of domain com.microsoft");
}

static void a_shape_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    Onnx__ModelProto *m = new_model();
    int64_t *dims = m->graph->initializer[0]->dims;
    dims[0] = 2;
    dims[1] = 3;  // as many numbers, the other way round
    check_refused(m, FL_ECONFIG, "cannot multiply Nx2 by 2x3 transposed");
    m = new_model();
    m->graph->initializer[0]->dims[0] = 4;
    check_refused(m, FL_EFORMAT, "does not hold as many numbers as its shape says");
    m = new_model();
    m->graph->initializer[0]->dims[0] = -3;
    check_refused(m, FL_EFORMAT, "does not hold as many numbers as its shape says");
    m = new_model();
    m->graph->initializer[0]->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
    check_refused(m, FL_EUNSUPPORTED, "holds string");
}

/* Before a byte of memory is asked for. */
static void a_billion_numbers_that_are_not_there_are_refused(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {
        {1000000000, 1}, {INT64_MAX, 2}, {INT64_MAX, INT64_MAX}, {1 << 16, 1 << 16}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        Onnx__ModelProto *m = new_model();
        memcpy(m->graph->initializer[0]->dims, sizes[i], sizeof sizes[i]);
        check_refused(m, FL_EFORMAT, "does not hold as many numbers as its shape says");
    }
}

static void operator_sets_outside_of_what_is_read_are_refused(void **state)
{
    (void)state;
    static const int64_t versions[] = {-1, 0, 8, 22, INT64_MAX};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        Onnx__ModelProto *m = new_model();
        m->opset_import[0]->version = versions[i];
        check_refused(m, FL_EUNSUPPORTED, "9 to 21 are read");
    }
    Onnx__ModelProto *m = new_model();
    set_text(&m->opset_import[0]->domain, "ai.onnx.ml");
    check_refused(m, FL_EFORMAT, "names no operator set");
}

/* -------------------------------------------------------------- external data */

static void add_entry(Onnx__TensorProto *t, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *e = malloc(sizeof *e);

    *e = (Onnx__StringStringEntryProto)ONNX__STRING_STRING_ENTRY_PROTO__INIT;
    e->key = fl_xstrdup(key);
    e->value = fl_xstrdup(value);
    t->external_data = fl_xrealloc(t->external_data, t->n_external_data + 1,
                                   sizeof *t->external_data);
    t->external_data[t->n_external_data++] = e;
}

/* The weight of the model, 24 bytes, in another file. */
static Onnx__ModelProto *new_external(const char *location, const char *offset, const char *length)
{
    Onnx__ModelProto *m = new_model();
    Onnx__TensorProto *t = m->graph->initializer[0];

    free(t->raw_data.data);
    t->raw_data = (ProtobufCBinaryData){0, NULL};
    t->has_raw_data = 0;
    t->has_data_location = 1;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    add_entry(t, "location", location);
    if (offset != NULL) {
        add_entry(t, "offset", offset);
    }
    if (length != NULL) {
        add_entry(t, "length", length);
    }
    return m;
}

static void check_external(const char *folder, const char *location, const char *offset,
                           const char *length, fl_status wanted, const char *part)
{
    fl_err err = FL_ERR_INIT;
    Onnx__ModelProto *m = new_external(location, offset, length);
    float first = 0;
    fl_status st = unpack(m, folder, &first, &err);

    if (wanted == FL_OK) {
        check_ok(st, err);
        check_near(first, 1.5, 0);
    } else {
        check_fails(st, wanted);
        check_has(err.text, part);
    }
    onnx__model_proto__free_unpacked(m, NULL);
}

static void external_data_lies_in_the_models_folder(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *folder = fl_path_join(dir, "model");
    char *inside = fl_path_join(folder, "w.bin"), *outside = fl_path_join(dir, "w.bin");
    char *link = fl_path_join(folder, "link.bin"), *below = fl_path_join(folder, "sub");
    char *deep = fl_path_join(below, "w.bin");
    float numbers[7] = {0, 1.5f, 2, 3, 4, 5, 6};
    check_ok(fl_mkdirs(below, 0755, &err), err);
    check_ok(fl_file_write(inside, numbers, sizeof numbers, 0644, &err), err);
    check_ok(fl_file_write(deep, numbers, sizeof numbers, 0644, &err), err);
    check_ok(fl_file_write(outside, numbers, sizeof numbers, 0644, &err), err);
    check_int(symlink(outside, link), 0);

    check_external(folder, "w.bin", "4", "24", FL_OK, NULL);
    check_external(folder, "./w.bin", "4", NULL, FL_OK, NULL);
    check_external(folder, "sub/w.bin", "4", "24", FL_OK, NULL);
    check_external(folder, "w.bin", "0", "28", FL_EFORMAT, "does not hold as many numbers");
    check_external(folder, "w.bin", "8", "24", FL_EFORMAT, "has no such bytes (it holds 28)");
    check_external(folder, "w.bin", "29", NULL, FL_EFORMAT, "has no such bytes");
    check_external(folder, "w.bin", "-4", "24", FL_EFORMAT, "has no such bytes");
    check_external(folder, "w.bin", "4x", "24", FL_EFORMAT, "has no such bytes");
    check_external(folder, "w.bin", "18446744073709551612", "28", FL_EFORMAT, "no such bytes");
    check_external(folder, "w.bin", "99999999999999999999999", "24", FL_EFORMAT, "no such bytes");
    check_external(folder, "not.bin", "4", "24", FL_ENOTFOUND, "not.bin");
    check_external(folder, "../w.bin", "4", "24", FL_EFORMAT, "a file in the model's folder");
    check_external(folder, "sub/../../w.bin", "4", "24", FL_EFORMAT,
                   "a file in the model's folder");
    check_external(folder, "sub/..", "4", "24", FL_EFORMAT, "a file in the model's folder");
    check_external(folder, outside, "4", "24", FL_EFORMAT, "a file in the model's folder");
    check_external(folder, "", "4", "24", FL_EFORMAT, "a file in the model's folder");
    check_external(folder, "link.bin", "4", "24", FL_EFORMAT, "leads out of the model's folder");
    check_external(folder, "sub", "0", "24", FL_EIO, "not a file");
    check_external(NULL, "w.bin", "4", "24", FL_EUNSUPPORTED, "save the model as one file");

    /* As a file, in its folder. */
    Onnx__ModelProto *m = new_external("w.bin", "4", "24");
    size_t n = onnx__model_proto__get_packed_size(m);
    uint8_t *bytes = malloc(n);
    char *path = fl_path_join(folder, "model.onnx");
    nn_graph *g;
    float *data;
    onnx__model_proto__pack(m, bytes);
    check_ok(fl_file_write(path, bytes, n, 0644, &err), err);
    check_ok(ckpt_onnx_read(&g, &data, NULL, path, &err), err);
    check_near(data[0], 1.5, 0);
    nn_graph_destroy(&g);
    free(data);
    free(bytes);
    free(path);
    onnx__model_proto__free_unpacked(m, NULL);
    free(inside);
    free(outside);
    free(link);
    free(below);
    free(deep);
    free(folder);
    check_rmdir(&dir);
}

/* ------------------------------------------------------------------- folding */

/* A node that makes a constant of a million numbers of shape. */
static Onnx__NodeProto *new_filler(size_t i)
{
    Onnx__NodeProto *node = malloc(sizeof *node);

    *node = (Onnx__NodeProto)ONNX__NODE_PROTO__INIT;
    node->op_type = fl_xstrdup("ConstantOfShape");
    node->input = malloc(sizeof *node->input);
    node->input[0] = fl_xstrdup("million");
    node->n_input = 1;
    node->output = malloc(sizeof *node->output);
    node->output[0] = fl_xasprintf("filler%zu", i);
    node->n_output = 1;
    return node;
}

static void constants_have_a_limit_together(void **state)
{
    (void)state;
    enum { FILLERS = 1000 };
    Onnx__ModelProto *m = new_model();
    Onnx__GraphProto *g = m->graph;
    Onnx__TensorProto *t = malloc(sizeof *t);
    *t = (Onnx__TensorProto)ONNX__TENSOR_PROTO__INIT;
    t->name = fl_xstrdup("million");
    t->has_data_type = 1;
    t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    t->n_dims = t->n_int64_data = 1;
    t->dims = malloc(sizeof *t->dims);
    t->dims[0] = 1;
    t->int64_data = malloc(sizeof *t->int64_data);
    t->int64_data[0] = 1000000;
    g->initializer = fl_xrealloc(g->initializer, 3, sizeof *g->initializer);
    g->initializer[g->n_initializer++] = t;
    g->node = fl_xrealloc(g->node, 2 + FILLERS, sizeof *g->node);
    for (size_t i = 0; i < FILLERS; i++) {
        g->node[g->n_node++] = new_filler(i);
    }
    check_refused(m, FL_ELIMIT, "constants of more than");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cycle_is_refused),
        cmocka_unit_test(names_that_do_not_add_up_are_refused),
        cmocka_unit_test(a_shape_that_does_not_fit_is_refused),
        cmocka_unit_test(a_billion_numbers_that_are_not_there_are_refused),
        cmocka_unit_test(operator_sets_outside_of_what_is_read_are_refused),
        cmocka_unit_test(external_data_lies_in_the_models_folder),
        cmocka_unit_test(constants_have_a_limit_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
