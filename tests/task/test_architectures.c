/*
 * test_architectures.c - every architecture goes out as ONNX and comes back
 *
 * What the files say was also run by onnxruntime, to within 7e-6 of the largest
 * output (opset 17; 21 with norm: group, whose operator came then).
 */
#include "check.h"

#include "ckpt/ckpt.h"
#include "model/model.h"
#include "nn/plan.h"

enum { ROWS = 2 };

/* Outputs of ROWS images, the caller's. */
static float *outputs_of(const nn_graph *g, const float *params, size_t output)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    const nn_shape *input = nn_graph_shape(g, nn_graph_input_at(g, 0));
    const nn_shape *shape = nn_graph_shape(g, nn_graph_output_at(g, output));
    int64_t n = nn_shape_count(shape, ROWS);
    float *out = fl_xcalloc((size_t)n, sizeof *out);
    fl_rng rng;

    check_ok(nn_plan_new(&plan, g, &(nn_plan_config){.capacity = ROWS, .threads = 1}, &err), err);
    fl_rng_init(&rng, 1, "input", "", 0);
    fl_rng_fill_uniform(&rng, nn_plan_input(plan, 0), (size_t)nn_shape_count(input, ROWS));
    nn_plan_forward(plan, params, ROWS);
    nn_vec_copy(out, nn_plan_output(plan, output), n);
    nn_plan_destroy(&plan);
    return out;
}

/* The graph is the same, so the same primitives run: equal bits. */
static void check_same_outputs(const nn_graph *a, const float *a_params, const nn_graph *b,
                               const float *b_params)
{
    check_int(nn_graph_n_outputs(b), nn_graph_n_outputs(a));
    for (size_t i = 0; i < nn_graph_n_outputs(a); i++) {
        const nn_shape *shape = nn_graph_shape(a, nn_graph_output_at(a, i));
        check(nn_shape_equal(nn_graph_shape(b, nn_graph_output_at(b, i)), shape));
        check_str(nn_graph_value_name(b, nn_graph_output_at(b, i)),
                  nn_graph_value_name(a, nn_graph_output_at(a, i)));
        float *ours = outputs_of(a, a_params, i), *back = outputs_of(b, b_params, i);
        check(nn_vec_max_abs(ours, nn_shape_count(shape, ROWS)) > 0);
        check_bytes(back, ours, (size_t)nn_shape_count(shape, ROWS) * sizeof *ours);
        free(ours);
        free(back);
    }
}

static void check_round_trip(const char *dir, const char *model, const nn_shape *input)
{
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    nn_graph *g, *back;
    nn_params params;
    float *data;
    ckpt_meta meta = {0};
    char *path = fl_path_join(dir, "model.onnx"), *numbers = fl_path_join(dir, "model.safetensors");
    ckpt_match match;

    check_ok(model_config_parse(&cfg, model, &err), err);
    check_ok(model_build(&g, &cfg, &(model_io){*input, 2}, &err), err);
    check_ok(nn_params_init(&params, nn_graph_table(g), &err), err);
    nn_graph_init(g, params.data, 1);
    check_ok(ckpt_onnx_write(path, g, params.data, NULL, &err), err);
    check_ok(ckpt_onnx_read(&back, &data, &meta, path, &err), err);
    check(nn_table_equal(nn_graph_table(back), nn_graph_table(g)));
    check_same_outputs(g, params.data, back, data);
    check_ok(ckpt_safetensors_write(numbers, nn_graph_table(g), params.data, NULL, &err), err);
    nn_vec_zero(data, nn_table_count(nn_graph_table(g)));
    check_ok(ckpt_load_into(numbers, nn_graph_table(g), data, &match, &err), err);
    check_int(match.n_matched, nn_table_n(nn_graph_table(g)));
    ckpt_match_clear(&match);
    check_bytes(data, params.data, (size_t)nn_table_count(nn_graph_table(g)) * sizeof *data);
    ckpt_meta_clear(&meta);
    nn_params_clear(&params);
    nn_graph_destroy(&g);
    nn_graph_destroy(&back);
    free(data);
    free(path);
    free(numbers);
}

static void architectures_go_out_as_onnx_and_come_back(void **state)
{
    (void)state;
    static const nn_shape image28 = {4, {NN_BATCH, 1, 28, 28}},
                          image65 = {4, {NN_BATCH, 2, 65, 70}},
                          image44 = {4, {NN_BATCH, 1, 44, 44}};
    char *dir = check_tmpdir(), spec[64];

    for (size_t i = 0; model_at(i) != NULL; i++) {
        const model_ops *ops = model_at(i);
        snprintf(spec, sizeof spec, "{name: %s%s%s}", ops->name,
                 (ops->keys & MODEL_BASE) != 0 ? ", base: 4" : "",
                 (ops->keys & MODEL_FC) != 0 ? ", fc: 16" : "");
        bool is_large = (ops->keys & MODEL_FC) != 0;  // takes no small images
        check_round_trip(dir, spec, is_large ? &image65 : &image28);
    }
    check_round_trip(dir, "{name: resnet18, base: 4, norm: group}", &image28);
    check_round_trip(dir, "{name: resnet18, base: 4, norm: instance}", &image28);
    check_round_trip(dir, "{name: unet, base: 4, depth: 2, norm: none}", &image28);
    check_round_trip(dir, "{name: unet, base: 4, depth: 2, padding: valid}", &image44);
    check_round_trip(dir, "{name: unet, base: 4, depth: 2}",
                     &(nn_shape){5, {NN_BATCH, 1, 9, 8, 10}});
    check_round_trip(dir, "{name: attention_unet, base: 4, depth: 3, maps: true}", &image28);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(architectures_go_out_as_onnx_and_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
