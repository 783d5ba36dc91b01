/*
 * test_torch.c - the architectures against PyTorch's and torchvision's
 *
 * tests/vectors/model_torch.py built the same networks; model_torch.json holds
 * what they are made of and what they say.
 */
#include "check.h"

#include "base/hash.h"
#include "base/json.h"
#include "formula.h"
#include "model/model.h"
#include "nn/plan.h"

/* A forward pass in fp32 on both sides, with sums in another order and Winograd's
 * convolutions (relative error some 1e-6 each) on ours; relative to the largest
 * number of the output. */
static const double tolerance = 5e-5;

static json_t *read_vectors(void)
{
    fl_err err = FL_ERR_INIT;
    json_t *vectors;

    check_ok(fl_json_read(&vectors, "tests/vectors/model_torch.json", 1 << 20, &err), err);
    return vectors;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* SHA-256 over the sorted lines "name 3x4x5". */
static void hash_names(char hex[static FL_HEX_DIGEST], const nn_table *table)
{
    size_t n = nn_table_n(table);
    char **line = fl_xcalloc(n, sizeof *line), shape[128];
    uint8_t digest[FL_SHA256_BYTES];
    fl_sha256 h;

    for (size_t i = 0; i < n; i++) {
        nn_shape_text(shape, sizeof shape, &nn_table_at(table, i)->shape);
        line[i] = fl_xasprintf("%s %s\n", nn_table_at(table, i)->name, shape);
    }
    qsort(line, n, sizeof *line, by_text);
    fl_sha256_init(&h);
    for (size_t i = 0; i < n; i++) {
        fl_sha256_add(&h, line[i], strlen(line[i]));
        free(line[i]);
    }
    fl_sha256_done(&h, digest);
    fl_hex(hex, digest, sizeof digest);
    free(line);
}

static void check_table(const json_t *tables, const char *key, const char *model)
{
    const json_t *wanted = json_object_get(tables, key);
    nn_graph *g = formula_build(model, &(nn_shape){4, {NN_BATCH, 3, 224, 224}}, 1000);
    const nn_table *table = nn_graph_table(g);
    char hex[FL_HEX_DIGEST];
    int64_t trained = 0;

    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        trained += nn_kind_trainable(p->kind) ? p->count : 0;
    }
    check(wanted != NULL);
    check_int(trained, json_integer_value(json_object_get(wanted, "trained")));
    check_int(nn_table_n(table), json_integer_value(json_object_get(wanted, "tensors")));
    hash_names(hex, table);
    check_str(hex, json_string_value(json_object_get(wanted, "sha256")));
    nn_graph_destroy(&g);
}

/* So a state dict of torchvision's loads by name. */
static void parameters_are_torchvisions_in_name_shape_and_number(void **state)
{
    (void)state;
    json_t *vectors = read_vectors();
    const json_t *tables = json_object_get(vectors, "tables");

    check_table(tables, "resnet18", "resnet18");
    check_table(tables, "resnet34", "resnet34");
    check_table(tables, "resnet50", "resnet50");
    check_table(tables, "alexnet", "alexnet");
    check_table(tables, "vgg16", "vgg16");
    check_table(tables, "vgg16_bn", "{name: vgg16, norm: batch}");
    check_table(tables, "googlenet", "googlenet");
    check_table(tables, "densenet121", "densenet121");
    check_table(tables, "unet", "{name: unet, base: 64}");
    check_table(tables, "attention_unet", "{name: attention_unet, base: 64}");
    json_decref(vectors);
}

static void published_numbers_of_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        int64_t trained;
    } published[] = {
        {"resnet18", 11689512}, {"resnet34", 21797672}, {"resnet50", 25557032},
        {"alexnet", 61100840},  {"vgg16", 138357544},   {"densenet121", 7978856},
        {"googlenet", 6624904},  // the 13,004,888 count two auxiliary classifiers, too
    };

    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        nn_graph *g = formula_build(published[i].model, &(nn_shape){4, {NN_BATCH, 3, 224, 224}},
                                    1000);
        const nn_table *table = nn_graph_table(g);
        int64_t trained = nn_table_count(table);
        for (size_t k = 0; k < nn_table_n(table); k++) {
            const nn_param *p = nn_table_at(table, k);
            trained -= nn_kind_trainable(p->kind) ? 0 : p->count;
        }
        check_int(trained, published[i].trained);
        nn_graph_destroy(&g);
    }
}

static nn_shape input_of(const json_t *item)
{
    const json_t *dims = json_object_get(item, "input");
    nn_shape shape = {(int)json_array_size(dims) + 1, {NN_BATCH}};

    for (size_t i = 0; i < json_array_size(dims); i++) {
        shape.dim[1 + i] = json_integer_value(json_array_get(dims, i));
    }
    return shape;
}

/* Outputs of two images, of which PyTorch's side kept every stride-th number. */
static void check_output(const json_t *item)
{
    fl_err err = FL_ERR_INIT;
    const char *model = json_string_value(json_object_get(item, "model"));
    int64_t stride = json_integer_value(json_object_get(item, "stride"));
    const json_t *wanted = json_object_get(item, "output");
    nn_shape input = input_of(item);
    nn_params params;
    nn_plan *plan;

    nn_graph *g = formula_build(model, &input,
                                json_integer_value(json_object_get(item, "outputs")));
    check_ok(nn_params_init(&params, nn_graph_table(g), &err), err);
    formula_parameters(params.data, nn_graph_table(g));
    check_ok(nn_plan_new(&plan, g, &(nn_plan_config){.capacity = 2, .threads = 1}, &err), err);
    for (int64_t i = 0; i < nn_shape_count(&input, 2); i++) {
        nn_plan_input(plan, 0)[i] = formula_value(1, (uint64_t)i);
    }
    nn_plan_forward(plan, params.data, 2);
    const nn_shape *shape = nn_graph_shape(g, nn_graph_output_at(g, 0));
    check_int(nn_shape_count(shape, 2), json_integer_value(json_object_get(item, "count")));
    double largest = 0;
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        largest = fmax(largest, fabs(json_number_value(json_array_get(wanted, i))));
    }
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        double got = nn_plan_output(plan, 0)[(int64_t)i * stride];
        double expected = json_number_value(json_array_get(wanted, i));
        if (!(fabs(got - expected) <= tolerance * largest)) {
            check_fail("%s: output %zu is %.9g, PyTorch's %.9g (largest %g)", model, i, got,
                       expected, largest);
        }
    }
    nn_plan_destroy(&plan);
    nn_params_clear(&params);
    nn_graph_destroy(&g);
}

static void outputs_are_pytorchs(void **state)
{
    (void)state;
    json_t *vectors = read_vectors();
    const json_t *outputs = json_object_get(vectors, "outputs");

    check(json_array_size(outputs) > 0);
    for (size_t i = 0; i < json_array_size(outputs); i++) {
        check_output(json_array_get(outputs, i));
    }
    json_decref(vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_torchvisions_in_name_shape_and_number),
        cmocka_unit_test(published_numbers_of_parameters),
        cmocka_unit_test(outputs_are_pytorchs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
