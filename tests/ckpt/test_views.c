/*
 * test_views.c - graphs of a file that move the batch away from the first dimension
 *
 * What PyTorch's attention does is in test_exports.c; here are the pieces, against
 * indices by hand, and what is refused.
 */
#include <onnx.pb-c.h>

#include "check.h"
#include "ckpt/ckpt.h"
#include "nn/plan.h"

enum { N = 3, L = 4, E = 6, MAX_STEPS = 8, MAX_INTS = 6 };

/* out = op(in, ...): a Transpose's ints are its perm, a Reshape's its shape, others' its axes;
 * with `other` an input more. */
typedef struct {
    const char *op, *in, *other, *out;
    int64_t ints[MAX_INTS];
    size_t n;
} step;

static Onnx__TensorShapeProto__Dimension *dimension(int64_t size)
{
    Onnx__TensorShapeProto__Dimension *d = fl_xcalloc(1, sizeof *d);
    onnx__tensor_shape_proto__dimension__init(d);
    d->value_case = size > 0 ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
                             : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    if (size > 0) {
        d->dim_value = size;
    } else {
        d->dim_param = fl_xstrdup("N");
    }
    return d;
}

static Onnx__ValueInfoProto *value_info(const char *name, bool has_shape)
{
    Onnx__ValueInfoProto *info = fl_xcalloc(1, sizeof *info);
    onnx__value_info_proto__init(info);
    info->name = fl_xstrdup(name);
    if (!has_shape) {
        return info;
    }
    info->type = fl_xcalloc(1, sizeof *info->type);
    onnx__type_proto__init(info->type);
    info->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    Onnx__TypeProto__Tensor *t = info->type->tensor_type = fl_xcalloc(1, sizeof *t);
    onnx__type_proto__tensor__init(t);
    t->has_elem_type = 1;
    t->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    t->shape = fl_xcalloc(1, sizeof *t->shape);
    onnx__tensor_shape_proto__init(t->shape);
    t->shape->n_dim = 3;
    t->shape->dim = fl_xcalloc(3, sizeof *t->shape->dim);
    t->shape->dim[0] = dimension(0);
    t->shape->dim[1] = dimension(L);
    t->shape->dim[2] = dimension(E);
    return info;
}

static Onnx__TensorProto *list(const char *name, const step *s)
{
    Onnx__TensorProto *t = fl_xcalloc(1, sizeof *t);
    onnx__tensor_proto__init(t);
    t->name = fl_xstrdup(name);
    t->has_data_type = 1;
    t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    t->n_dims = 1;
    t->dims = fl_xcalloc(1, sizeof *t->dims);
    t->dims[0] = (int64_t)s->n;
    t->n_int64_data = s->n;
    t->int64_data = fl_xcalloc(s->n, sizeof *t->int64_data);
    memcpy(t->int64_data, s->ints, s->n * sizeof *t->int64_data);
    return t;
}

static void add_attribute(Onnx__NodeProto *node, const char *name, const step *s)
{
    Onnx__AttributeProto *a = fl_xcalloc(1, sizeof *a);
    onnx__attribute_proto__init(a);
    a->name = fl_xstrdup(name);
    a->has_type = 1;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    a->n_ints = s->n;
    a->ints = fl_xcalloc(s->n, sizeof *a->ints);
    memcpy(a->ints, s->ints, s->n * sizeof *a->ints);
    node->attribute = fl_xcalloc(1, sizeof *node->attribute);
    node->attribute[node->n_attribute++] = a;
}

static void add_step(Onnx__GraphProto *g, const step *s)
{
    Onnx__NodeProto *node = fl_xcalloc(1, sizeof *node);
    bool reshapes = strcmp(s->op, "Reshape") == 0;
    onnx__node_proto__init(node);
    node->op_type = fl_xstrdup(s->op);
    node->name = fl_xasprintf("to_%s", s->out);
    node->input = fl_xcalloc(2, sizeof *node->input);
    node->input[node->n_input++] = fl_xstrdup(s->in);
    node->output = fl_xcalloc(1, sizeof *node->output);
    node->output[node->n_output++] = fl_xstrdup(s->out);
    if (reshapes) {
        char *name = fl_xasprintf("%s.shape", s->out);
        g->initializer[g->n_initializer++] = list(name, s);
        node->input[node->n_input++] = name;
    } else if (s->n > 0) {
        add_attribute(node, strcmp(s->op, "Transpose") == 0 ? "perm" : "axes", s);
    }
    if (s->other != NULL) {
        node->input[node->n_input++] = fl_xstrdup(s->other);
    }
    g->node[g->n_node++] = node;
}

/* x (N, L, E) through the steps; y is the last one's output. */
static fl_status read_steps(nn_graph **out, const step *steps, fl_err *err)
{
    Onnx__ModelProto *m = fl_xcalloc(1, sizeof *m);
    onnx__model_proto__init(m);
    Onnx__GraphProto *g = m->graph = fl_xcalloc(1, sizeof *g);
    onnx__graph_proto__init(g);
    m->opset_import = fl_xcalloc(1, sizeof *m->opset_import);
    m->opset_import[m->n_opset_import++] = fl_xcalloc(1, sizeof(Onnx__OperatorSetIdProto));
    onnx__operator_set_id_proto__init(m->opset_import[0]);
    m->opset_import[0]->has_version = 1;
    m->opset_import[0]->version = 12;
    g->input = fl_xcalloc(1, sizeof *g->input);
    g->input[g->n_input++] = value_info("x", true);
    g->node = fl_xcalloc(MAX_STEPS, sizeof *g->node);
    g->initializer = fl_xcalloc(MAX_STEPS, sizeof *g->initializer);
    const char *last = "x";
    for (const step *s = steps; s->op != NULL; s++) {
        add_step(g, s);
        last = s->out;
    }
    g->output = fl_xcalloc(1, sizeof *g->output);
    g->output[g->n_output++] = value_info(last, false);

    size_t n = onnx__model_proto__get_packed_size(m);
    uint8_t *bytes = fl_xcalloc(n, 1);
    float *data;
    onnx__model_proto__pack(m, bytes);
    fl_status st = ckpt_onnx_unpack(out, &data, NULL, (const char *)bytes, n, err);
    onnx__model_proto__free_unpacked(m, NULL);
    free(bytes);
    free(data);
    return st;
}

/* What the steps make of x, whose numbers count from 1; y (N, n). */
static void run_steps(float *y, int64_t n, const step *steps)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g;
    nn_plan *p;
    check_ok(read_steps(&g, steps, &err), err);
    const nn_shape *shape = nn_graph_shape(g, nn_graph_output_at(g, 0));
    check_int(shape->dim[0], NN_BATCH);
    check_int(nn_shape_count(shape, 1), n);
    check_ok(nn_plan_new(&p, g, &(nn_plan_config){.capacity = N, .threads = 1}, &err), err);
    for (int i = 0; i < N * L * E; i++) {
        nn_plan_input(p, 0)[i] = (float)(1 + i);
    }
    nn_plan_forward(p, NULL, N);
    nn_vec_copy(y, nn_plan_output(p, 0), N * n);
    nn_plan_destroy(&p);
    nn_graph_destroy(&g);
}

static double x_at(int n, int l, int e)
{
    return 1 + (n * L + l) * E + e;
}

static void what_goes_there_comes_back(void **state)
{
    (void)state;
    float y[N * L * E];
    static const step cases[][7] = {
        {{"Transpose", "x", NULL, "a", {1, 0, 2}, 3}, {"Transpose", "a", NULL, "y", {1, 0, 2}, 3}},
        {{"Reshape", "x", NULL, "a", {-1, E}, 2},
         {"Relu", "a", NULL, "b", {0}, 0},
         {"Reshape", "b", NULL, "y", {-1, L, E}, 3}},
        {{"Transpose", "x", NULL, "a", {2, 0, 1}, 3},
         {"Unsqueeze", "a", NULL, "b", {1}, 1},
         {"Squeeze", "b", NULL, "c", {1}, 1},
         {"Transpose", "c", NULL, "y", {1, 2, 0}, 3}},
        {{"Transpose", "x", NULL, "a", {1, 0, 2}, 3},
         {"Reshape", "a", NULL, "b", {L, -1, 2}, 3},  // as attention's heads
         {"Transpose", "b", NULL, "c", {1, 0, 2}, 3},
         {"Transpose", "c", NULL, "d", {1, 0, 2}, 3},
         {"Reshape", "d", NULL, "e", {L, -1, E}, 3},
         {"Transpose", "e", NULL, "y", {1, 0, 2}, 3}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        run_steps(y, L * E, cases[k]);
        for (int i = 0; i < N * L * E; i++) {
            check_near(y[i], 1 + i, 0);
        }
    }
}

/* (N, L, E) as (L, 3 N, 2), then (3 N, L, 2), then (N, 3, L, 2). */
static void heads_come_out_of_the_batch(void **state)
{
    (void)state;
    float y[N * L * E];
    run_steps(y, L * E, (step[]){{"Transpose", "x", NULL, "a", {1, 0, 2}, 3},
                                 {"Reshape", "a", NULL, "b", {L, -1, 2}, 3},
                                 {"Transpose", "b", NULL, "c", {1, 0, 2}, 3},
                                 {"Reshape", "c", NULL, "y", {-1, 3, L, 2}, 4},
                                 {NULL, NULL, NULL, NULL, {0}, 0}});
    for (int i = 0; i < N * L * E; i++) {
        int n = i / (L * E), h = i / (L * 2) % 3, l = i / 2 % L, d = i % 2;
        check_near(y[i], x_at(n, l, 2 * h + d), 0);
    }
}

static void an_axis_is_named_as_the_file_counts(void **state)
{
    (void)state;
    float y[N * E];
    run_steps(y, E, (step[]){{"Transpose", "x", NULL, "a", {1, 0, 2}, 3},
                             {"ReduceMax", "a", NULL, "b", {0}, 1},
                             {"Squeeze", "b", NULL, "y", {0}, 1},
                             {NULL, NULL, NULL, NULL, {0}, 0}});
    for (int i = 0; i < N * E; i++) {
        check_near(y[i], x_at(i / E, L - 1, i % E), 0);
    }
}

static void check_refused(const step *steps, const char *part)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g;
    check_fails(read_steps(&g, steps, &err), FL_EUNSUPPORTED);
    check_has(err.text, part);
    check(g == NULL);
}

static void what_is_not_read_so_is_refused_by_name(void **state)
{
    (void)state;
    static const step end = {NULL, NULL, NULL, NULL, {0}, 0};
    const step turned = {"Transpose", "x", NULL, "a", {1, 0, 2}, 3};
    check_refused((step[]){turned, end}, "the batch must be the first dimension of a");
    check_refused((step[]){turned, {"MaxPool", "a", NULL, "y", {0}, 0}, end},
                  "node to_y (MaxPool): the batch is not the first dimension");
    check_refused((step[]){turned, {"Add", "a", "x", "y", {0}, 0}, end}, "node to_y (Add)");
    check_refused((step[]){turned, {"ReduceMean", "a", NULL, "y", {1}, 1}, end},
                  "node to_y (ReduceMean)");
    check_refused((step[]){turned, {"Reshape", "a", NULL, "b", {-1, 4 * E}, 2}, end},
                  "node to_b (Reshape): it mixes the batch");
    check_refused((step[]){turned, {"Reshape", "a", NULL, "b", {-1, 5}, 2}, end},
                  "node to_b (Reshape): its shape does not fit");
    check_refused((step[]){turned,
                           {"Reshape", "a", NULL, "b",
                            {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, -1}, 5}, end},
                  "its shape does not fit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_there_comes_back),
        cmocka_unit_test(heads_come_out_of_the_batch),
        cmocka_unit_test(an_axis_is_named_as_the_file_counts),
        cmocka_unit_test(what_is_not_read_so_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
