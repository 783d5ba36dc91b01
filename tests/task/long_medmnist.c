/*
 * long_medmnist.c - BreastMNIST: MedMNIST's ResNet-18, and bf16 against fp32
 *
 * MedMNIST's protocol (Yang et al. 2023; their train_and_eval_pytorch.py): pixels
 * (x - 0.5) / 0.5, no augmentation, batches of 128 with the smaller last one, Adam
 * at 1e-3, a tenth of that from epoch 50 and again from epoch 75 of 100, the epoch
 * of the best validation AUC.  Its network starts as PyTorch's layers do when nobody
 * says otherwise (their models.py), not as torchvision's ResNet.  Published for ResNet-18 at 28 pixels: test AUC 0.901,
 * accuracy 0.863.
 *
 * An argument runs only the tests whose name matches: long_medmnist '*fp32*'.
 */
#include "check.h"

#include "base/rng.h"
#include "data/dataset.h"
#include "eval/eval.h"
#include "model/model.h"
#include "nn/optim.h"
#include "nn/plan.h"

enum { PIXELS = 28 * 28, MOST_CASES = 600 };

typedef struct {
    const char *model;
    int64_t batch, epochs;
    nn_precision precision;
    bool drops;       // the learning rate, at half and three quarters
    bool keeps_best;  // the epoch of the best validation AUC, else the last
    bool plain_init;  // kernels from U(+-1/sqrt(fan_in)), as torch.nn.Conv2d
} protocol;

typedef struct {
    double auc, accuracy;
} figures;

typedef struct {
    const protocol *how;
    const data_set *set;
    nn_graph *graph;
    nn_plan *training, *use;
    nn_optim *optim;
    nn_params params, grad, best;
} run;

static data_set *open_breastmnist(void)
{
    fl_err err = FL_ERR_INIT;
    const char *root = getenv("CONSILIUM_DATA");
    data_spec spec = {
        .task = DATA_CLASSIFY, .n_classes = 2, .positive = 1, .input = {3, {1, 28, 28}}};
    data_set *set = NULL;

    if (root == NULL) {
        check_skip("CONSILIUM_DATA is not set");
    }
    char *path = fl_path_join(root, "breastmnist/breastmnist.npz");
    if (access(path, R_OK) != 0) {
        free(path);
        check_skip("CONSILIUM_DATA has no breastmnist");
    }
    strcpy(spec.classes[0], "malignant");
    strcpy(spec.classes[1], "benign");
    check_ok(data_set_open(&set, path, &spec, &err), err);
    free(path);
    return set;
}

static void init_kernels(float *params, const nn_table *table, uint64_t seed)
{
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        fl_rng rng;

        if (p->kind != NN_WEIGHT || p->shape.rank != 4) {
            continue;
        }
        double bound = 1 / sqrt((double)(p->count / p->shape.dim[0]));
        fl_rng_init(&rng, seed, "init", p->name, 1);
        for (int64_t k = 0; k < p->count; k++) {
            params[p->offset + k] = (float)fl_rng_range(&rng, -bound, bound);
        }
    }
}

static void run_init(run *r, const protocol *how, const data_set *set, uint64_t seed)
{
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    nn_optim_config adam;
    nn_plan_config plan = {.capacity = how->batch,
                           .train = true,
                           .precision = how->precision,
                           .threads = 1,
                           .loss = {.kind = NN_LOSS_SOFTMAX_CE}};

    *r = (run){.how = how, .set = set};
    check_ok(model_config_parse(&cfg, how->model, &err), err);
    model_io io = {{4, {NN_BATCH, 1, 28, 28}}, 2};
    check_ok(model_build(&r->graph, &cfg, &io, &err), err);
    check_ok(nn_plan_new(&r->training, r->graph, &plan, &err), err);
    plan.train = false;
    check_ok(nn_plan_new(&r->use, r->graph, &plan, &err), err);
    nn_optim_defaults(&adam);
    adam.kind = NN_ADAM;
    adam.lr = 1e-3;
    const nn_table *table = nn_graph_table(r->graph);
    check_ok(nn_optim_new(&r->optim, &adam, table, &err), err);
    check_ok(nn_params_init(&r->params, table, &err), err);
    check_ok(nn_params_init(&r->grad, table, &err), err);
    check_ok(nn_params_init(&r->best, table, &err), err);
    nn_graph_init(r->graph, r->params.data, seed);
    if (how->plain_init) {
        init_kernels(r->params.data, table, seed);
    }
}

static void run_clear(run *r)
{
    nn_params_clear(&r->params);
    nn_params_clear(&r->grad);
    nn_params_clear(&r->best);
    nn_optim_destroy(&r->optim);
    nn_plan_destroy(&r->training);
    nn_plan_destroy(&r->use);
    nn_graph_destroy(&r->graph);
}

/* Cases index[0 .. n - 1] as MedMNIST normalises them. */
static void fill(nn_plan *plan, const data_set *set, const size_t *index, size_t n)
{
    float *x = nn_plan_input(plan, 0);

    data_set_batch(set, index, n, x);
    for (size_t i = 0; i < n * PIXELS; i++) {
        x[i] = (x[i] - 0.5f) / 0.5f;
    }
}

static void train_epoch(run *r, uint64_t seed, int64_t epoch)
{
    size_t order[MOST_CASES], n_cases = data_set_n_split(r->set, DATA_TRAIN);
    bool half = epoch >= r->how->epochs / 2, last = epoch >= 3 * r->how->epochs / 4;
    double scale = !r->how->drops ? 1 : last ? 0.01 : half ? 0.1 : 1;
    fl_rng dropout;

    check(n_cases <= MOST_CASES);
    fl_rng_init(&dropout, seed, "dropout", "", (uint64_t)epoch);
    data_set_shuffle(r->set, DATA_TRAIN, seed, "", (uint64_t)epoch, order);
    for (size_t from = 0; from < n_cases; from += (size_t)r->how->batch) {
        size_t left = n_cases - from, n = left;
        n = n < (size_t)r->how->batch ? n : (size_t)r->how->batch;
        fill(r->training, r->set, order + from, n);
        for (size_t i = 0; i < n; i++) {
            nn_plan_target(r->training)[i] = (float)data_set_case(r->set, order[from + i]).code;
        }
        double loss = nn_plan_step(r->training, r->params.data, r->grad.data, (int64_t)n, &dropout);
        check(isfinite(loss));
        nn_optim_step(r->optim, r->params.data, r->grad.data, scale);
    }
}

static figures judge(run *r, const float *params, data_split split)
{
    const size_t *index = data_set_split(r->set, split);
    size_t n_cases = data_set_n_split(r->set, split), n_right = 0;
    double score[MOST_CASES];
    int is_positive[MOST_CASES];

    check(n_cases <= MOST_CASES);
    for (size_t from = 0; from < n_cases; from += (size_t)r->how->batch) {
        size_t left = n_cases - from, n = left;
        n = n < (size_t)r->how->batch ? n : (size_t)r->how->batch;
        fill(r->use, r->set, index + from, n);
        nn_plan_forward(r->use, params, (int64_t)n);
        for (size_t i = 0; i < n; i++) {
            const float *logit = nn_plan_output(r->use, 0) + 2 * i;
            is_positive[from + i] = data_set_case(r->set, index[from + i]).code;
            score[from + i] = logit[1] - logit[0];
            n_right += (score[from + i] > 0) == (is_positive[from + i] != 0);
        }
    }
    return (figures){eval_auc(score, is_positive, n_cases), (double)n_right / (double)n_cases};
}

/* Figures on the test split. */
static figures train(const protocol *how, const data_set *set, uint64_t seed)
{
    run r;
    double best_auc = -1;
    const nn_table *table;

    run_init(&r, how, set, seed);
    table = nn_graph_table(r.graph);
    for (int64_t epoch = 0; epoch < how->epochs; epoch++) {
        train_epoch(&r, seed, epoch);
        double auc = how->keeps_best ? judge(&r, r.params.data, DATA_VAL).auc : (double)epoch;
        if (auc > best_auc) {
            best_auc = auc;
            nn_vec_copy(r.best.data, r.params.data, nn_table_count(table));
        }
    }
    figures f = judge(&r, r.best.data, DATA_TEST);
    run_clear(&r);
    return f;
}

static void check_published(nn_precision precision)
{
    const protocol medmnist = {.model = "resnet18",
                               .batch = 128,
                               .epochs = 100,
                               .precision = precision,
                               .drops = true,
                               .keeps_best = true,
                               .plain_init = true};
    const char *why_not = nn_precision_why_not(precision);
    enum { SEEDS = 3 };
    figures mean = {0, 0};

    if (why_not != NULL) {
        check_skip(why_not);
    }
    data_set *set = open_breastmnist();
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        figures f = train(&medmnist, set, seed);
        print_message("# seed %d: test AUC %.3f, accuracy %.3f\n", (int)seed, f.auc, f.accuracy);
        mean.auc += f.auc / SEEDS;
        mean.accuracy += f.accuracy / SEEDS;
    }
    print_message("# mean of %d: test AUC %.3f (published .901), accuracy %.3f (.863)\n", SEEDS,
                  mean.auc, mean.accuracy);
    data_set_destroy(&set);
    check_near(mean.auc, 0.901, 0.03);
    check_near(mean.accuracy, 0.863, 0.03);
}

static void resnet18_in_fp32_is_as_good_as_medmnist_publishes(void **state)
{
    (void)state;
    check_published(NN_FP32);
}

static void resnet18_in_bf16_is_as_good_as_medmnist_publishes(void **state)
{
    (void)state;
    check_published(NN_BF16);
}

/* Student's interval of the mean of paired differences. */
static void cnn_in_bf16_is_as_good_as_in_fp32(void **state)
{
    (void)state;
    enum { SEEDS = 10 };
    const double t975 = 2.262157;  // of 9 degrees of freedom
    const char *why_not = nn_precision_why_not(NN_BF16);
    protocol how = {.model = "cnn", .batch = 32, .epochs = 20};
    double difference[SEEDS], mean = 0, square = 0;

    if (why_not != NULL) {
        check_skip(why_not);
    }
    data_set *set = open_breastmnist();
    for (int i = 0; i < SEEDS; i++) {
        how.precision = NN_FP32;
        figures full = train(&how, set, (uint64_t)i + 1);
        how.precision = NN_BF16;
        figures half = train(&how, set, (uint64_t)i + 1);
        print_message("# seed %d: test AUC %.4f in fp32, %.4f in bf16\n", i + 1, full.auc,
                      half.auc);
        check(full.auc > 0.7);  // so that there is something to lose
        difference[i] = half.auc - full.auc;
        mean += difference[i] / SEEDS;
    }
    for (int i = 0; i < SEEDS; i++) {
        square += (difference[i] - mean) * (difference[i] - mean) / (SEEDS - 1);
    }
    double reach = t975 * sqrt(square / SEEDS);
    print_message("# mean difference %.4f, 95 %% interval %.4f to %.4f\n", mean, mean - reach,
                  mean + reach);
    data_set_destroy(&set);
    check(mean - reach > -0.02 && mean + reach < 0.02);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resnet18_in_fp32_is_as_good_as_medmnist_publishes),
        cmocka_unit_test(resnet18_in_bf16_is_as_good_as_medmnist_publishes),
        cmocka_unit_test(cnn_in_bf16_is_as_good_as_in_fp32),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
