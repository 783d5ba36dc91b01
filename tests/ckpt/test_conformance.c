/*
 * test_conformance.c - ONNX's own models against the outputs that come with them
 *
 * Runs every model of $CONSILIUM_DATA/onnx-conformance, and prints how many
 * passed, failed and are not supported, with their names and the reason.  What
 * is supported must agree; how many are must not fall.
 *
 * The models were exported in opset 6: where an operator's attributes are
 * the same, they are read as opset 9.  Inputs shaped otherwise than the first
 * are constants to us, and are given to the reader as such.
 */
#include <dirent.h>
#include <onnx.pb-c.h>

#include "check.h"
#include "ckpt/ckpt.h"
#include "nn/plan.h"

enum { LEAST_PASSED = 89, MAX_INPUTS = 16 };

static struct {
    int passed, failed, unsupported;
} count;

static char *read_bytes(const char *dir, const char *name, size_t *n)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name), *bytes = NULL;

    if (fl_file_read(&bytes, n, path, (size_t)1 << 28, &err) != FL_OK) {
        bytes = NULL;
    }
    free(path);
    return bytes;
}

/* Input or output number i of the model's first data set; NULL when not there. */
static Onnx__TensorProto *read_tensor(const char *dir, const char *what, size_t i)
{
    char name[64];
    size_t n;
    Onnx__TensorProto *t = NULL;

    snprintf(name, sizeof name, "test_data_set_0/%s_%zu.pb", what, i);
    char *bytes = read_bytes(dir, name, &n);
    if (bytes != NULL) {
        t = onnx__tensor_proto__unpack(NULL, n, (const uint8_t *)bytes);
    }
    free(bytes);
    return t;
}

static int64_t count_of(const Onnx__TensorProto *t)
{
    int64_t n = 1;

    for (size_t i = 0; i < t->n_dims; i++) {
        n *= t->dims[i];
    }
    return n;
}

static const float *floats_of(const Onnx__TensorProto *t)
{
    if (t->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) {
        return NULL;
    }
    return t->has_raw_data && t->raw_data.len == (size_t)count_of(t) * sizeof(float)
               ? (const float *)t->raw_data.data
           : (int64_t)t->n_float_data == count_of(t) ? t->float_data
                                                     : NULL;
}

static bool same_dims(const Onnx__TensorProto *a, const Onnx__TensorProto *b)
{
    return a->n_dims == b->n_dims && memcmp(a->dims, b->dims, a->n_dims * sizeof *a->dims) == 0;
}

static bool is_initializer(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_initializer; i++) {
        if (strcmp(g->initializer[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

typedef struct {
    Onnx__ModelProto *model;
    Onnx__TensorProto *in[MAX_INPUTS], *want;
    Onnx__TensorProto *fed[MAX_INPUTS];  // those of in that the graph is run on
    size_t n_in, n_fed;
} sample;

static void sample_clear(sample *s)
{
    if (s->model != NULL) {
        onnx__model_proto__free_unpacked(s->model, NULL);
    }
    for (size_t i = 0; i < s->n_in; i++) {
        onnx__tensor_proto__free_unpacked(s->in[i], NULL);
    }
    if (s->want != NULL) {
        onnx__tensor_proto__free_unpacked(s->want, NULL);
    }
}

static bool sample_read(sample *s, const char *dir)
{
    size_t n;
    char *bytes = read_bytes(dir, "model.onnx", &n);

    *s = (sample){0};
    s->model = bytes == NULL ? NULL : onnx__model_proto__unpack(NULL, n, (const uint8_t *)bytes);
    free(bytes);
    while (s->n_in < MAX_INPUTS && (s->in[s->n_in] = read_tensor(dir, "input", s->n_in)) != NULL) {
        s->n_in++;
    }
    s->want = read_tensor(dir, "output", 0);
    return s->model != NULL && s->model->graph != NULL && s->n_in > 0 && s->want != NULL;
}

/* The model as the reader wants it: serialised, the caller's. */
static char *sample_pack(sample *s, size_t *n)
{
    Onnx__GraphProto *g = s->model->graph;
    Onnx__TensorProto **all = fl_xcalloc(g->n_initializer + MAX_INPUTS, sizeof *all);
    Onnx__TensorProto **before = g->initializer;
    size_t n_before = g->n_initializer, k = 0;
    char *names[MAX_INPUTS];

    if (n_before > 0) {
        memcpy(all, before, n_before * sizeof *all);
    }
    g->initializer = all;
    for (size_t i = 0; i < g->n_input && k < s->n_in; i++) {
        if (is_initializer(g, g->input[i]->name)) {
            continue;
        }
        Onnx__TensorProto *t = s->in[k];
        names[k++] = t->name;
        if (same_dims(t, s->in[0]) && floats_of(t) != NULL) {
            s->fed[s->n_fed++] = t;
        } else {
            t->name = g->input[i]->name;
            all[g->n_initializer++] = t;
        }
    }
    for (size_t i = 0; i < s->model->n_opset_import; i++) {
        if (s->model->opset_import[i]->version < 9) {
            s->model->opset_import[i]->version = 9;
        }
    }
    *n = onnx__model_proto__get_packed_size(s->model);
    char *file = fl_xcalloc(*n, 1);
    onnx__model_proto__pack(s->model, (uint8_t *)file);
    g->initializer = before;
    g->n_initializer = n_before;
    for (size_t i = 0; i < k; i++) {
        s->in[i]->name = names[i];
    }
    free(all);
    return file;
}

/* ONNX's own tolerance, and a little for numbers near 0. */
static bool agrees(const float *got, const Onnx__TensorProto *want)
{
    const float *w = floats_of(want);

    for (int64_t i = 0; i < count_of(want); i++) {
        if (!(fabs((double)got[i] - w[i]) <= 1e-5 + 1e-3 * fabs((double)w[i])) && got[i] != w[i] &&
            !(isnan(got[i]) && isnan(w[i]))) {
            return false;
        }
    }
    return true;
}

/* FL_OK and *right, or why it is not supported. */
static fl_status run(bool *right, sample *s, fl_err *err)
{
    nn_graph *g = NULL;
    float *data = NULL;
    nn_plan *plan = NULL;
    size_t n;
    char *file = sample_pack(s, &n);
    fl_status st = ckpt_onnx_unpack(&g, &data, NULL, file, n, err);

    free(file);
    nn_plan_config cfg = {.threads = 1, .capacity = s->in[0]->n_dims > 0 ? s->in[0]->dims[0] : 1};
    if (st == FL_OK &&
        (s->n_fed == 0 || nn_graph_n_inputs(g) != s->n_fed || floats_of(s->want) == NULL)) {
        st = fl_fail(err, FL_EUNSUPPORTED, "inputs or outputs are no batch of floats");
    }
    st = st == FL_OK ? nn_plan_new(&plan, g, &cfg, err) : st;
    if (st == FL_OK) {
        for (size_t i = 0; i < s->n_fed; i++) {
            memcpy(nn_plan_input(plan, i), floats_of(s->fed[i]),
                   (size_t)count_of(s->fed[i]) * sizeof(float));
        }
        nn_plan_forward(plan, data, cfg.capacity);
        const nn_shape *y = nn_graph_shape(g, nn_graph_output_at(g, 0));
        *right = nn_shape_count(y, cfg.capacity) == count_of(s->want) &&
                 agrees(nn_plan_output(plan, 0), s->want);
    }
    nn_plan_destroy(&plan);
    nn_graph_destroy(&g);
    free(data);
    return st;
}

static void run_folder(const char *dir, const char *name)
{
    fl_err err = FL_ERR_INIT;
    sample s;
    bool right = false;

    if (!sample_read(&s, dir)) {
        count.unsupported++;
        printf("unsupported  %s: no single tensors as inputs and output\n", name);
    } else if (run(&right, &s, &err) != FL_OK) {
        count.unsupported++;
        printf("unsupported  %s: %.150s\n", name, err.text);
    } else {
        count.passed += right;
        count.failed += !right;
        printf("%s %s\n", right ? "passed      " : "FAILED      ", name);
    }
    sample_clear(&s);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Every folder below dir that holds a model, in the order of names. */
static void run_tree(const char *dir, const char *name)
{
    char *model = fl_path_join(dir, "model.onnx");
    struct dirent **entries;
    int n = access(model, R_OK) == 0 ? 0 : scandir(dir, &entries, NULL, by_name);

    if (n == 0) {
        run_folder(dir, name);
    }
    for (int i = 0; i < n; i++) {
        char *path = fl_path_join(dir, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && fl_is_dir(path)) {
            run_tree(path, entries[i]->d_name);
        }
        free(path);
        free(entries[i]);
    }
    if (n > 0) {
        free(entries);
    }
    free(model);
}

static void supported_models_agree_with_their_outputs(void **state)
{
    (void)state;
    const char *root = getenv("CONSILIUM_DATA");
    char *data = root == NULL ? NULL : fl_path_join(root, "onnx-conformance");
    if (data == NULL || !fl_is_dir(data)) {
        free(data);
        check_skip("CONSILIUM_DATA/onnx-conformance is not here");
    }
    char *dir = check_tmpdir(), command[2048];
    snprintf(command, sizeof command,
             "for f in '%s'/*.tar.gz; do tar xzf \"$f\" -C '%s' || exit 1; done", data, dir);
    check_int(system(command), 0);
    run_tree(dir, "");
    printf("conformance: %d passed, %d failed, %d unsupported\n", count.passed, count.failed,
           count.unsupported);
    check_rmdir(&dir);
    free(data);
    check_int(count.failed, 0);
    check(count.passed >= LEAST_PASSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(supported_models_agree_with_their_outputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
