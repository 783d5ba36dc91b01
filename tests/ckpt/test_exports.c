/*
 * test_exports.c - what PyTorch and Keras export is read as it was meant
 *
 * tests/vectors/ckpt_exports.py made the files and what PyTorch computes with
 * them.  With KEEP=DIR in the environment what we write of each stays in DIR, for
 * the same script to load back.
 */
#include "base/json.h"
#include "check.h"
#include "ckpt/ckpt.h"
#include "nn/plan.h"

enum { ROWS = 2 };

static json_t *golden;

static int read_golden(void **state)
{
    fl_err err = FL_ERR_INIT;

    (void)state;
    check_ok(fl_json_read(&golden, "tests/vectors/exports.json", 1 << 20, &err), err);
    return 0;
}

static int drop_golden(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

typedef struct {
    nn_graph *g;
    float *data;
    ckpt_meta meta;
} model;

static model model_read(const char *path)
{
    fl_err err = FL_ERR_INIT;
    model m = {0};

    check_ok(ckpt_onnx_read(&m.g, &m.data, &m.meta, path, &err), err);
    return m;
}

static void model_clear(model *m)
{
    ckpt_meta_clear(&m->meta);
    nn_graph_destroy(&m->g);
    free(m->data);
}

static void fill_input(nn_plan *p, const json_t *numbers)
{
    for (size_t i = 0; i < json_array_size(numbers); i++) {
        nn_plan_input(p, 0)[i] = (float)json_number_value(json_array_get(numbers, i));
    }
}

/* The outputs that the other tool computed, from its own input. */
static void check_outputs(const char *name, const model *m)
{
    fl_err err = FL_ERR_INIT;
    const json_t *wanted = json_object_get(golden, name), *out = json_object_get(wanted, "output");
    nn_plan_config cfg = {.capacity = ROWS, .threads = 1};
    nn_plan *p;
    double largest = 0, apart = 0;

    check_ok(nn_plan_new(&p, m->g, &cfg, &err), err);
    fill_input(p, json_object_get(wanted, "input"));
    nn_plan_forward(p, m->data, ROWS);
    check_int(nn_shape_count(nn_graph_shape(m->g, nn_graph_output_at(m->g, 0)), ROWS),
              json_array_size(out));
    for (size_t i = 0; i < json_array_size(out); i++) {
        double y = json_number_value(json_array_get(out, i));
        largest = fmax(largest, fabs(y));
        apart = fmax(apart, fabs(y - (double)nn_plan_output(p, 0)[i]));
    }
    printf("%-22s %zu parameters, %zu nodes, outputs apart by %.1e\n", name,
           nn_table_n(nn_graph_table(m->g)), nn_graph_n_nodes(m->g), apart / largest);
    check(apart <= 1e-5 * largest);
    nn_plan_destroy(&p);
}

/* Every trainable parameter gets a gradient. */
static void check_is_trained(const model *m)
{
    fl_err err = FL_ERR_INIT;
    const nn_table *table = nn_graph_table(m->g);
    nn_plan_config cfg = {
        .capacity = ROWS, .train = true, .threads = 1, .loss = {.kind = NN_LOSS_MSE}};
    nn_plan *p;
    float *grad = fl_xcalloc((size_t)nn_table_count(table), sizeof *grad);
    float *data = fl_xcalloc((size_t)nn_table_count(table), sizeof *data);
    fl_rng rng;

    nn_vec_copy(data, m->data, nn_table_count(table));
    check_ok(nn_plan_new(&p, m->g, &cfg, &err), err);
    fl_rng_init(&rng, 1, "input", "", 0);
    int64_t n = nn_shape_count(nn_graph_shape(m->g, nn_graph_input_at(m->g, 0)), ROWS);
    for (int64_t i = 0; i < n; i++) {
        nn_plan_input(p, 0)[i] = (float)fl_rng_normal(&rng);
    }
    check(isfinite(nn_plan_step(p, data, grad, ROWS, NULL)));
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *q = nn_table_at(table, i);
        bool moves = nn_vec_max_abs(grad + q->offset, q->count) > 0;
        if (moves != nn_kind_trainable(q->kind)) {
            fail_msg("%s (%s): gradient %s", q->name, nn_kind_name(q->kind), moves ? "!" : "0");
        }
    }
    free(grad);
    free(data);
    nn_plan_destroy(&p);
}

/* Writes what was read in both formats, and reads it again. */
static void check_comes_back(const char *name, const model *m)
{
    fl_err err = FL_ERR_INIT;
    const char *kept = getenv("KEEP");
    char *dir = check_tmpdir(), *onnx = fl_xasprintf("%s/%s.onnx", kept != NULL ? kept : dir, name);
    char *weights = fl_xasprintf("%s/%s.safetensors", kept != NULL ? kept : dir, name);
    const nn_table *table = nn_graph_table(m->g);
    nn_table *back;
    float *values;

    check_ok(ckpt_onnx_write(onnx, m->g, m->data, NULL, &err), err);
    model again = model_read(onnx);
    check(nn_table_equal(nn_graph_table(again.g), table));
    check_bytes(again.data, m->data, (size_t)nn_table_count(table) * sizeof *m->data);
    check_outputs(name, &again);
    model_clear(&again);
    check_ok(ckpt_safetensors_write(weights, table, m->data, NULL, &err), err);
    check_ok(ckpt_safetensors_read(&back, &values, NULL, weights, &err), err);
    check(nn_table_equal(back, table));
    nn_table_destroy(&back);
    free(values);
    free(onnx);
    free(weights);
    check_rmdir(&dir);
}

/* Names and shapes are those of the network's state_dict, no more and no fewer. */
static void check_names(const char *name, const model *m)
{
    const nn_table *table = nn_graph_table(m->g);
    json_t *names = json_object_get(json_object_get(golden, name), "names");
    const char *key;
    json_t *dims;

    json_object_foreach(names, key, dims) {
        const nn_param *p = nn_table_find(table, key);
        if (p == NULL) {
            fail_msg("%s: %s is not there", name, key);
        }
        check_int(p->shape.rank, json_array_size(dims));
        for (int d = 0; d < p->shape.rank; d++) {
            check_int(p->shape.dim[d], json_integer_value(json_array_get(dims, (size_t)d)));
        }
    }
    check_int(nn_table_n(table), json_object_size(names));
}

static bool is_folded(const char *name)
{
    return strstr(name, "folded") != NULL;
}

static void exports_compute_and_train_as_in_the_tool_they_come_from(void **state)
{
    (void)state;
    const char *name;
    json_t *wanted;
    json_object_foreach(golden, name, wanted) {
        char *path = fl_xasprintf("tests/vectors/exports/%s.onnx", name);
        model m = model_read(path);
        check_outputs(name, &m);
        check_is_trained(&m);
        check_comes_back(name, &m);
        if (!is_folded(name)) {
            check_names(name, &m);
        }
        model_clear(&m);
        free(path);
    }
}

static nn_kind kind_of(const model *m, const char *name)
{
    const nn_param *p = nn_table_find(nn_graph_table(m->g), name);

    check(p != NULL);
    return p->kind;
}

static void parameters_have_their_kinds(void **state)
{
    (void)state;
    static const char *const files[] = {"cnn_script9", "cnn_script13", "cnn_dynamo18"};
    for (size_t i = 0; i < 3; i++) {
        char *path = fl_xasprintf("tests/vectors/exports/%s.onnx", files[i]);
        model m = model_read(path);
        check_int(kind_of(&m, "conv1.weight"), NN_WEIGHT);
        check_int(kind_of(&m, "conv1.bias"), NN_BIAS);
        check_int(kind_of(&m, "block.1.weight"), NN_NORM);
        check_int(kind_of(&m, "block.1.bias"), NN_NORM);
        check_int(kind_of(&m, "bn1.running_mean"), NN_STAT);
        check_int(kind_of(&m, "bn1.running_var"), NN_STAT);
        check_int(kind_of(&m, "fc2.bias"), NN_BIAS);
        model_clear(&m);
        free(path);
    }
    model m = model_read("tests/vectors/exports/keras15.onnx");
    check_int(kind_of(&m, "model/bn/gamma:0"), NN_NORM);
    check_int(kind_of(&m, "model/bn/var:0"), NN_STAT);
    check_int(kind_of(&m, "model/dense/MatMul/ReadVariableOp:0"), NN_WEIGHT);
    check_int(kind_of(&m, "model/dense/BiasAdd/ReadVariableOp:0"), NN_BIAS);
    model_clear(&m);
}

static double dropout_ratio(const nn_graph *g)
{
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        if (strcmp(node->op, "Dropout") == 0) {
            return nn_node_attr(node, "ratio")->f;
        }
    }
    return NAN;
}

static void what_is_trained_only_is_kept(void **state)
{
    (void)state;
    static const char *const files[] = {"cnn_script9", "cnn_script13", "cnn_dynamo18"};
    for (size_t i = 0; i < 3; i++) {
        char *path = fl_xasprintf("tests/vectors/exports/%s.onnx", files[i]), note[600];
        model m = model_read(path);
        check_near(dropout_ratio(m.g), 0.3, 1e-7);
        check(!ckpt_onnx_note(note, sizeof note, m.g, &m.meta));
        model_clear(&m);
        free(path);
    }
}

static void what_an_export_lost_is_said(void **state)
{
    (void)state;
    char note[600];
    model m = model_read("tests/vectors/exports/cnn_script13_folded.onnx");
    check(ckpt_onnx_note(note, sizeof note, m.g, &m.meta));
    check_has(note, "folded batch normalisation");
    check_has(note, "onnx::Conv_");
    check_has(note, "no Dropout");
    check_has(note, "do_constant_folding=False");
    model_clear(&m);
    m = model_read("tests/vectors/exports/cnn_dynamo18_folded.onnx");
    check(ckpt_onnx_note(note, sizeof note, m.g, &m.meta));
    check_has(note, "folded batch normalisation");
    check_has(note, "optimize=False");
    model_clear(&m);
    m = model_read("tests/vectors/exports/unet_dynamo18.onnx");
    check(ckpt_onnx_note(note, sizeof note, m.g, &m.meta));
    check_has(note, "if the network has it");
    model_clear(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exports_compute_and_train_as_in_the_tool_they_come_from),
        cmocka_unit_test(parameters_have_their_kinds),
        cmocka_unit_test(what_is_trained_only_is_kept),
        cmocka_unit_test(what_an_export_lost_is_said),
    };
    return cmocka_run_group_tests(tests, read_golden, drop_golden);
}
