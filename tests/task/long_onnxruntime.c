/*
 * long_onnxruntime.c - what we write, onnxruntime computes as we do
 *
 * Every model of the registry, with weights and statistics drawn at random, and
 * every export that is checked in, read and written again: within 1e-4 of our
 * outputs (tests/vectors/nn_onnxruntime.py).  PYTHON names a python with onnx
 * and onnxruntime; without, the test is skipped.
 */
#include "base/json.h"
#include "check.h"
#include "ckpt/ckpt.h"
#include "model/model.h"
#include "nn/plan.h"

enum { ROWS = 3 };

static const char *python(void)
{
    const char *name = getenv("PYTHON");

    return name != NULL ? name : "python3";
}

static json_t *numbers(const float *x, int64_t n)
{
    json_t *list = json_array();

    for (int64_t i = 0; i < n; i++) {
        json_array_append_new(list, fl_json_number((double)x[i]));
    }
    return list;
}

/* NAME.onnx and NAME.json in dir: the model, an input and our output. */
static void leave(const char *dir, const char *name, const nn_graph *g, const float *data)
{
    fl_err err = FL_ERR_INIT;
    nn_plan_config cfg = {.capacity = ROWS, .threads = 1};
    char *onnx = fl_xasprintf("%s/%s.onnx", dir, name);
    char *path = fl_xasprintf("%s/%s.json", dir, name);
    int64_t n_in = nn_shape_count(nn_graph_shape(g, nn_graph_input_at(g, 0)), ROWS);
    int64_t n_out = nn_shape_count(nn_graph_shape(g, nn_graph_output_at(g, 0)), ROWS);
    nn_plan *p;
    fl_rng rng;

    check_ok(nn_plan_new(&p, g, &cfg, &err), err);
    fl_rng_init(&rng, 1, "input", name, 0);
    for (int64_t i = 0; i < n_in; i++) {
        nn_plan_input(p, 0)[i] = (float)fl_rng_normal(&rng);
    }
    json_t *golden = json_object();
    json_object_set_new(golden, "input", numbers(nn_plan_input(p, 0), n_in));
    nn_plan_forward(p, data, ROWS);
    json_object_set_new(golden, "output", numbers(nn_plan_output(p, 0), n_out));
    check_ok(fl_json_write(golden, path, &err), err);
    check_ok(ckpt_onnx_write(onnx, g, data, NULL, &err), err);
    json_decref(golden);
    nn_plan_destroy(&p);
    free(onnx);
    free(path);
}

/* Weights as training starts, statistics and scales as it leaves them. */
static float *new_params(const nn_graph *g)
{
    const nn_table *table = nn_graph_table(g);
    float *data = fl_xcalloc((size_t)nn_table_count(table), sizeof *data);
    fl_rng rng;

    nn_graph_init(g, data, 1);
    fl_rng_init(&rng, 1, "statistics", "", 0);
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        bool is_drawn = p->kind == NN_STAT || p->kind == NN_NORM;
        for (int64_t k = 0; is_drawn && k < p->count; k++) {
            data[p->offset + k] = (float)fl_rng_range(&rng, 0.5, 1.5);
        }
    }
    return data;
}

static void leave_model(const char *dir, const model_ops *ops, model_norm norm,
                        model_padding padding)
{
    fl_err err = FL_ERR_INIT;
    model_config cfg = {.norm = norm, .padding = padding, .fc = 32};
    model_io image = {{4, {NN_BATCH, 1, 64, 64}}, 3}, table = {{2, {NN_BATCH, 13}}, 3};
    bool is_table = strcmp(ops->name, "logistic") == 0 || strcmp(ops->name, "mlp") == 0;
    static const char *const norm_names[] = {"", "-batch", "-group", "-instance", "-none"};
    nn_graph *g;

    if ((ops->keys & MODEL_FC) == 0) {
        cfg.fc = 0;
    }
    snprintf(cfg.name, sizeof cfg.name, "%s", ops->name);
    cfg.groups = 8;
    cfg.depth = 3;
    check_ok(model_build(&g, &cfg, is_table ? &table : &image, &err), err);
    float *data = new_params(g);
    char *name = fl_xasprintf("%s%s%s", ops->name, norm_names[norm],
                              padding == MODEL_PADDING_MIRRORED ? "-mirrored" : "");
    leave(dir, name, g, data);
    free(name);
    free(data);
    nn_graph_destroy(&g);
}

static void leave_export(const char *dir, const char *file)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_xasprintf("tests/vectors/exports/%s", file);
    char *name = fl_xasprintf("export-%.*s", (int)strlen(file) - 5, file);
    nn_graph *g;
    float *data;

    check_ok(ckpt_onnx_read(&g, &data, NULL, path, &err), err);
    leave(dir, name, g, data);
    nn_graph_destroy(&g);
    free(data);
    free(name);
    free(path);
}

static void written_models_run_in_onnxruntime(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char command[1024], **files;
    size_t n;
    snprintf(command, sizeof command, "%s -c 'import onnx, onnxruntime' 2>/dev/null", python());
    if (system(command) != 0) {
        check_skip("no onnxruntime here; PYTHON names a python that has it");
    }
    char *dir = check_tmpdir();
    leave_model(dir, model_find("unet"), MODEL_NORM_DEFAULT, MODEL_PADDING_MIRRORED);
    for (size_t i = 0; model_at(i) != NULL; i++) {
        leave_model(dir, model_at(i), MODEL_NORM_DEFAULT, MODEL_PADDING_SAME);
        for (model_norm norm = MODEL_NORM_BATCH; norm <= MODEL_NORM_NONE; norm++) {
            bool is_unet = strstr(model_at(i)->name, "unet") != NULL;
            if (is_unet && (model_at(i)->norms & 1u << norm) != 0) {
                leave_model(dir, model_at(i), norm, MODEL_PADDING_SAME);
            }
        }
    }
    check_ok(fl_list_dir(&files, &n, "tests/vectors/exports", &err), err);
    for (size_t i = 0; i < n; i++) {
        leave_export(dir, files[i]);
    }
    fl_names_free(&files, n);
    snprintf(command, sizeof command, "%s tests/vectors/nn_onnxruntime.py '%s'", python(), dir);
    check_int(system(command), 0);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_models_run_in_onnxruntime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
