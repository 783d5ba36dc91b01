/*
 * test_model.c - architectures by name
 */
#include "check.h"

#include "formula.h"
#include "model/model.h"
#include "nn/plan.h"

static const nn_shape table13 = {2, {NN_BATCH, 13}}, image28 = {4, {NN_BATCH, 1, 28, 28}},
                      image64 = {4, {NN_BATCH, 1, 64, 64}};

static nn_graph *build(const char *text, const nn_shape *input, int64_t n_outputs)
{
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    nn_graph *g;

    check_ok(model_config_parse(&cfg, text, &err), err);
    check_ok(model_build(&g, &cfg, &(model_io){*input, n_outputs}, &err), err);
    return g;
}

static void a_model_is_built_by_name(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    nn_graph *g;
    check_ok(model_config_parse(&cfg, "{name: cnn, dropout: 0.2}", &err), err);
    model_io io = {.input = {4, {NN_BATCH, 1, 64, 64}}, .n_outputs = 2};
    check_ok(model_build(&g, &cfg, &io, &err), err);
    static const char *const names[] = {"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
                                        "conv3.weight", "conv3.bias", "fc1.weight",   "fc1.bias",
                                        "fc2.weight",   "fc2.bias"};
    check_int(nn_table_n(nn_graph_table(g)), 10);
    for (size_t i = 0; i < 10; i++) {
        check_str(nn_table_at(nn_graph_table(g), i)->name, names[i]);
    }
    check_int(nn_table_find(nn_graph_table(g), "fc1.weight")->count, 128 * 64 * 8 * 8);
    nn_graph_destroy(&g);
}

static void logistic_regression_starts_within_one_over_root_of_features(void **state)
{
    (void)state;
    nn_graph *g = build("logistic", &table13, 1);
    float data[14];
    check(model_find("logistic")->single_logit);
    check_int(nn_table_count(nn_graph_table(g)), 14);
    float most = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        nn_graph_init(g, data, seed);
        most = fmaxf(most, nn_vec_max_abs(data, 14));  // weights and bias
    }
    check(most <= (float)(1 / sqrt(13)) && most > 0.9f * (float)(1 / sqrt(13)));
    nn_graph_destroy(&g);
}

static void options_change_the_widths(void **state)
{
    (void)state;
    nn_graph *g = build("{name: mlp, hidden: [5, 6, 7], dropout: 0.5}", &table13, 2);
    check_int(nn_table_count(nn_graph_table(g)), 14 * 5 + 6 * 6 + 7 * 7 + 8 * 2);
    check_int(nn_graph_n_nodes(g), 4 + 3 + 3);
    nn_graph_destroy(&g);
    g = build("{name: cnn, channels: [4, 8], fc: 16}", &image28, 3);
    check_int(nn_table_find(nn_graph_table(g), "fc1.weight")->count, 16 * 8 * 7 * 7);
    nn_graph_destroy(&g);
    g = build("{name: mlp}", &image28, 2);  // images are flattened
    check_int(nn_table_find(nn_graph_table(g), "fc1.weight")->shape.dim[1], 784);
    nn_graph_destroy(&g);
    g = build("{name: cnn, channels: [4]}", &(nn_shape){5, {NN_BATCH, 1, 8, 8, 8}}, 2);  // volumes
    check_int(nn_table_find(nn_graph_table(g), "conv1.weight")->shape.rank, 5);
    nn_graph_destroy(&g);
}

static void every_model_of_the_registry_trains(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    for (size_t i = 0; model_at(i) != NULL; i++) {
        const model_ops *ops = model_at(i);
        check(ops->paper != NULL && ops->help != NULL && model_find(ops->name) == ops);
        char spec[64];
        snprintf(spec, sizeof spec, "{name: %s%s%s}", ops->name,
                 (ops->keys & MODEL_BASE) != 0 ? ", base: 4" : "",
                 (ops->keys & MODEL_FC) != 0 ? ", fc: 16" : "");
        nn_graph *g = build(spec, &image64, 2);
        nn_plan *plan;
        nn_plan_config cfg = {
            .capacity = 4, .train = true, .threads = 1, .loss = {.kind = NN_LOSS_SOFTMAX_CE}};
        nn_params params, grad;
        check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
        check_ok(nn_params_init(&params, nn_graph_table(g), &err), err);
        check_ok(nn_params_init(&grad, nn_graph_table(g), &err), err);
        nn_graph_init(g, params.data, 1);
        for (int k = 0; k < 4 * 64 * 64; k++) {
            nn_plan_input(plan, 0)[k] = sinf((float)k);
        }
        double first = nn_plan_step(plan, params.data, grad.data, 4, NULL), last = first;
        for (int step = 0; step < 5; step++) {
            nn_vec_axpy(params.data, -0.01f, grad.data, nn_table_count(nn_graph_table(g)));
            last = nn_plan_step(plan, params.data, grad.data, 4, NULL);
        }
        check(last < first);
        nn_params_clear(&params);
        nn_params_clear(&grad);
        nn_plan_destroy(&plan);
        nn_graph_destroy(&g);
    }
}

static void small_images_keep_their_size_in_the_first_layers(void **state)
{
    (void)state;
    static const nn_shape image63 = {4, {NN_BATCH, 1, 64, 63}};
    static const struct {
        const char *model;
        const nn_shape *input;
        int64_t kernel;
    } cases[] = {{"resnet18", &image28, 3},
                 {"resnet18", &image63, 3},
                 {"resnet18", &image64, 7},
                 {"{name: resnet18, stem: small}", &image64, 3},
                 {"{name: resnet18, stem: full}", &image28, 7}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nn_graph *g = build(cases[i].model, cases[i].input, 2);
        check_int(nn_table_find(nn_graph_table(g), "conv1.weight")->shape.dim[2], cases[i].kernel);
        nn_graph_destroy(&g);
    }
}

static void a_norm_can_be_chosen(void **state)
{
    (void)state;
    nn_graph *g = build("{name: unet, base: 8, depth: 2, norm: group, groups: 4}", &image28, 1);
    size_t n_groups = 0;
    for (size_t i = 0; i < nn_graph_n_nodes(g); i++) {
        const nn_node *node = nn_graph_node(g, i);
        if (strcmp(node->op, "GroupNormalization") == 0) {
            int64_t C = nn_graph_shape(g, node->in[0])->dim[1];
            check_int(nn_node_attr(node, "num_groups")->i, C == 8 ? 2 : 4);  // 4 channels at least
            n_groups++;
        }
    }
    check_int(n_groups, 10);
    check(nn_table_find(nn_graph_table(g), "inc.double_conv.1.running_mean") == NULL);
    check(nn_table_find(nn_graph_table(g), "inc.double_conv.0.bias") == NULL);
    nn_graph_destroy(&g);
    g = build("{name: unet, base: 8, depth: 2, norm: none}", &image28, 1);
    check(nn_table_find(nn_graph_table(g), "inc.double_conv.1.weight") == NULL);
    check(nn_table_find(nn_graph_table(g), "inc.double_conv.0.bias") != NULL);
    nn_graph_destroy(&g);
}

static void volumes_are_images_too(void **state)
{
    (void)state;
    const nn_shape volume = {5, {NN_BATCH, 2, 64, 72, 64}};
    for (size_t i = 0; model_at(i) != NULL; i++) {
        nn_graph *g = build(model_at(i)->name, &volume, 3);
        const nn_shape *y = nn_graph_shape(g, nn_graph_output_at(g, 0));
        check_int(y->rank, model_at(i)->per_pixel ? 5 : 2);
        check_int(y->dim[1], 3);
        nn_graph_destroy(&g);
    }
}

static void dropout_is_the_papers_unless_said_otherwise(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        int n_dropouts;
        double rate;
    } cases[] = {{"alexnet", 2, 0.5},   {"{name: vgg16}", 2, 0.5},
                 {"googlenet", 1, 0.2}, {"{name: googlenet, dropout: 0}", 0, 0},
                 {"resnet18", 0, 0},    {"{name: resnet18, dropout: 0.3}", 1, 0.3}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nn_graph *g = build(cases[i].model, &image64, 2);
        int n = 0;
        for (size_t k = 0; k < nn_graph_n_nodes(g); k++) {
            const nn_node *node = nn_graph_node(g, k);
            if (strcmp(node->op, "Dropout") == 0) {
                check_near(nn_node_attr(node, "ratio")->f, cases[i].rate, 0);
                n++;
            }
        }
        check_int(n, cases[i].n_dropouts);
        nn_graph_destroy(&g);
    }
}

/* Standard deviations, from thousands of draws: within 5 %. */
static void weights_start_as_torchvisions(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    static const struct {
        const char *model, *param;
        double sd;
    } cases[] = {
        {"{name: alexnet, fc: 16}", "features.3.weight", 0.014434},          // 1 / sqrt(3 64 25)
        {"{name: vgg16, base: 16, fc: 32}", "features.2.weight", 0.117851},  // sqrt(2 / (16 9))
        {"{name: vgg16, base: 16, fc: 32}", "classifier.0.weight", 0.01},
        {"{name: vgg16, base: 16, fc: 32}", "classifier.0.bias", 0},
        {"googlenet", "inception3a.branch2.1.conv.weight", 0.01},
        {"googlenet", "fc.weight", 0.01},
        {"{name: resnet18, base: 16}", "layer2.0.conv1.weight", 0.083333},     // sqrt(2 / (32 9))
        {"{name: resnet18, base: 16}", "layer2.0.downsample.0.weight", 0.25},  // sqrt(2 / 32)
        {"{name: densenet121, base: 32}", "features.denseblock2.denselayer1.conv1.weight",
         0.176777},  // sqrt(2 / 64)
        {"{name: densenet121, base: 32}", "classifier.bias", 0},
        {"{name: unet, base: 16}", "down1.maxpool_conv.1.double_conv.0.weight",
         0.117851},                                                         // sqrt(2 / (16 9))
        {"{name: unet, base: 16}", "up3.up.weight", 0.176777},              // sqrt(2 / 64)
        {"{name: attention_unet, base: 16}", "att1.psi.weight", 0},         // every gate open alike
        {"{name: attention_unet, base: 16}", "att1.W_g.weight", 0.088388},  // sqrt(2 / 256)
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nn_graph *g = build(cases[i].model, &image64, 2);
        const nn_param *p = nn_table_find(nn_graph_table(g), cases[i].param);
        nn_params params;
        check_ok(nn_params_init(&params, nn_graph_table(g), &err), err);
        nn_graph_init(g, params.data, 1);
        check(p != NULL);
        double sd = nn_vec_norm(params.data + p->offset, p->count) / sqrt((double)p->count);
        if (!(fabs(sd - cases[i].sd) <= 0.05 * cases[i].sd)) {
            check_fail("%s: %s starts with a deviation of %g, expected %g", cases[i].model,
                       cases[i].param, sd, cases[i].sd);
        }
        nn_params_clear(&params);
        nn_graph_destroy(&g);
    }
}

static void the_original_unet_has_a_smaller_output(void **state)
{
    (void)state;
    nn_graph *g = build("{name: unet, padding: valid, base: 64}",
                        &(nn_shape){4, {NN_BATCH, 1, 572, 572}}, 2);  // the paper's figure 1
    const nn_shape *y = nn_graph_shape(g, nn_graph_output_at(g, 0));
    check_int(y->dim[1], 2);
    check_int(y->dim[2], 388);
    check_int(y->dim[3], 388);
    nn_graph_destroy(&g);
}

/* Place k of a row of n pixels that goes on as in a mirror behind its ends. */
static int64_t mirrored(int64_t k, int64_t n)
{
    return k < 0 ? -k : k >= n ? 2 * (n - 1) - k : k;
}

/* The first output of g for two images x. */
static float *outputs_of(const nn_graph *g, const float *x)
{
    fl_err err = FL_ERR_INIT;
    nn_plan *plan;
    int64_t P = nn_table_count(nn_graph_table(g));
    int64_t n_in = nn_shape_count(nn_graph_shape(g, nn_graph_input_at(g, 0)), 2);
    int64_t n_out = nn_shape_count(nn_graph_shape(g, nn_graph_output_at(g, 0)), 2);
    float *params = fl_xcalloc((size_t)P, sizeof *params), *y;
    formula_parameters(params, nn_graph_table(g));
    check_ok(nn_plan_new(&plan, g, &(nn_plan_config){.capacity = 2, .threads = 1}, &err), err);
    nn_vec_copy(nn_plan_input(plan, 0), x, n_in);
    nn_plan_forward(plan, params, 2);
    y = fl_xcalloc((size_t)n_out, sizeof *y);
    nn_vec_copy(y, nn_plan_output(plan, 0), n_out);
    nn_plan_destroy(&plan);
    free(params);
    return y;
}

/* For a task the original's form takes and gives whole images: those of the plain form on
 * an image that a mirror has enlarged, pixel by pixel. */
static void the_original_unet_continues_the_image_as_in_a_mirror(void **state)
{
    (void)state;
    // By hand: depth 1 loses 16 pixels and wants even sizes, depth 2 loses 40 and wants
    // multiples of 4.
    static const struct {
        int depth;
        int64_t size, enlarged, before, out, cropped;
    } cases[] = {{1, 27, 44, 8, 28, 0}, {1, 28, 44, 8, 28, 0}, {2, 45, 88, 21, 48, 1}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        fl_err err = FL_ERR_INIT;
        int64_t size = cases[k].size, enlarged = cases[k].enlarged, out = cases[k].out;
        nn_shape input = {4, {NN_BATCH, 1, size, size}};
        char *text = fl_xasprintf("{name: unet, base: 2, depth: %d, padding: valid}", cases[k].depth);
        nn_graph *plain = build(text, &(nn_shape){4, {NN_BATCH, 1, enlarged, enlarged}}, 2), *whole;
        model_config cfg;
        check_ok(model_config_parse(&cfg, text, &err), err);
        cfg.padding = MODEL_PADDING_MIRRORED;
        check_ok(model_build(&whole, &cfg, &(model_io){input, 2}, &err), err);
        check(nn_table_equal(nn_graph_table(plain), nn_graph_table(whole)));
        check_int(nn_graph_shape(whole, nn_graph_output_at(whole, 0))->dim[2], size);
        check_int(nn_graph_shape(plain, nn_graph_output_at(plain, 0))->dim[2], out);

        float *x = fl_xcalloc((size_t)(2 * size * size), sizeof *x);
        float *big = fl_xcalloc((size_t)(2 * enlarged * enlarged), sizeof *big);
        for (int64_t i = 0; i < 2 * size * size; i++) {
            x[i] = formula_value(1, (uint64_t)i);
        }
        for (int64_t i = 0; i < 2 * enlarged * enlarged; i++) {
            int64_t n = i / (enlarged * enlarged);
            int64_t r = mirrored(i / enlarged % enlarged - cases[k].before, size);
            int64_t c = mirrored(i % enlarged - cases[k].before, size);
            big[i] = x[(n * size + r) * size + c];
        }
        float *y = outputs_of(whole, x), *wanted = outputs_of(plain, big);
        for (int64_t i = 0; i < 4 * size * size; i++) {
            int64_t r = i / size % size + cases[k].cropped, c = i % size + cases[k].cropped;
            float w = wanted[(i / (size * size) * out + r) * out + c];
            check_near(y[i], w, 1e-4 * (1 + fabsf(w)));
        }
        free(y);
        free(wanted);
        free(big);
        free(x);
        nn_graph_destroy(&plain);
        nn_graph_destroy(&whole);
        free(text);
    }
}

static void attention_maps_are_outputs_on_request(void **state)
{
    (void)state;
    nn_graph *g = build("{name: attention_unet, base: 4, maps: true}", &image28, 1);
    nn_graph *plain = build("{name: attention_unet, base: 4}", &image28, 1);
    static const int64_t size[] = {3, 7, 14};  // of the skips, deepest first
    check_int(nn_graph_n_outputs(plain), 1);
    check_int(nn_graph_n_outputs(g), 4);
    check_str(nn_graph_value_name(g, nn_graph_output_at(g, 0)), "logits");
    check_str(nn_graph_value_name(g, nn_graph_output_at(g, 1)), "attention1");
    for (size_t i = 0; i < 3; i++) {
        nn_shape wanted = {4, {NN_BATCH, 1, size[i], size[i]}};
        check(nn_shape_equal(nn_graph_shape(g, nn_graph_output_at(g, 1 + i)), &wanted));
    }
    check(nn_table_equal(nn_graph_table(g), nn_graph_table(plain)));  // so the same weights fit
    nn_graph_destroy(&g);
    nn_graph_destroy(&plain);
}

static void check_refused(const char *text, const char *part)
{
    fl_err err = FL_ERR_INIT;
    model_config cfg;

    check(model_config_parse(&cfg, text, &err) != FL_OK);
    check_has(err.text, part);
}

static void mistakes_in_the_config_are_named(void **state)
{
    (void)state;
    check_refused("resnet99", "no model is called 'resnet99'; known are logistic, mlp, cnn");
    check_refused("{dropout: 0.1}", "either a name or an onnx file");
    check_refused("{name: cnn, onnx: a.onnx}", "either a name or an onnx file");
    check_refused(
        "{name: cnn, depth: 3}",
        "model:1: model.depth: model cnn has no such key; it takes dropout, channels, fc");
    check_refused("{name: logistic, dropout: 0.5}", "it takes no keys");
    check_refused("{name: resnet18, hidden: [3]}", "it takes dropout, norm, groups, stem, base");
    check_refused("{name: resnet18, norm: none}", "model resnet18 cannot have norm: none");
    check_refused("{name: resnet18, norm: layer}", "norm");
    check_refused("{name: attention_unet, padding: valid}", "has no such key");
    check_refused("{onnx: a.onnx, base: 4}", "model of a file has no such key");
    check_refused("{name: unet, colour: 4}", "colour");
    check_refused("{name: cnn, dropout: 1.5}", "dropout");
    check_refused("{name: mlp, hidden: [3, x]}", "hidden");
    check_refused("{name: mlp, hidden: []}", "hidden");
    check_refused("{name: mlp, hidden: 3}", "hidden");
    check_refused("[cnn]", "model");
}

static void check_unfit(const char *model, nn_shape input, const char *part)
{
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    nn_graph *g;

    check_ok(model_config_parse(&cfg, model, &err), err);
    check_fails(model_build(&g, &cfg, &(model_io){input, 2}, &err), FL_ECONFIG);
    check_has(err.text, part);
    check(g == NULL);
}

static void what_does_not_fit_the_input_is_said(void **state)
{
    (void)state;
    check_unfit("cnn", table13, "needs images");
    check_unfit("cnn", (nn_shape){4, {NN_BATCH, 1, 28, 7}}, "7 pixels are too few");
    check_unfit("resnet18", table13, "needs images");
    check_unfit("resnet18", (nn_shape){4, {NN_BATCH, 1, 28, 7}}, "7 pixels are too few");
    check_unfit("alexnet", (nn_shape){4, {NN_BATCH, 1, 62, 64}}, "62 pixels are too few");
    check_unfit("vgg16", image28, "28 pixels are too few");
    check_unfit("unet", (nn_shape){5, {NN_BATCH, 1, 15, 64, 64}}, "15 pixels are too few");
    check_unfit("{name: unet, padding: valid}", (nn_shape){4, {NN_BATCH, 1, 572, 570}},
                "fits 556 or 572 pixels, not 570");
    check_unfit("{name: unet, padding: valid}", (nn_shape){4, {NN_BATCH, 1, 28, 28}},
                "needs at least 188 pixels, not 28");
    check_unfit("{name: attention_unet, depth: 1}", image28, "no gate at depth: 1");
    check_unfit("{name: unet, norm: instance}", (nn_shape){4, {NN_BATCH, 1, 16, 16}},
                "would normalise single numbers");
}

static void a_model_of_a_file_keeps_its_path(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    check_ok(model_config_parse(&cfg, "{onnx: /data/net.onnx}", &err), err);
    check_str(cfg.onnx, "/data/net.onnx");
    check_str(cfg.name, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_built_by_name),
        cmocka_unit_test(logistic_regression_starts_within_one_over_root_of_features),
        cmocka_unit_test(options_change_the_widths),
        cmocka_unit_test(every_model_of_the_registry_trains),
        cmocka_unit_test(small_images_keep_their_size_in_the_first_layers),
        cmocka_unit_test(a_norm_can_be_chosen),
        cmocka_unit_test(volumes_are_images_too),
        cmocka_unit_test(dropout_is_the_papers_unless_said_otherwise),
        cmocka_unit_test(weights_start_as_torchvisions),
        cmocka_unit_test(the_original_unet_has_a_smaller_output),
        cmocka_unit_test(the_original_unet_continues_the_image_as_in_a_mirror),
        cmocka_unit_test(attention_maps_are_outputs_on_request),
        cmocka_unit_test(mistakes_in_the_config_are_named),
        cmocka_unit_test(what_does_not_fit_the_input_is_said),
        cmocka_unit_test(a_model_of_a_file_keeps_its_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
