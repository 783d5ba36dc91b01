/*
 * test_alloc.c - nothing of ours is allocated in a step
 *
 * The allocator's functions are replaced by ones that count the calls from
 * this program's own code.  oneDNN's few small ones for each primitive it runs
 * (its list of arguments) are its own and not counted.
 */
#include "check.h"

#include "model/model.h"
#include "nn/optim.h"
#include "nn/plan.h"

enum { ROWS = 2 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define CAN_COUNT 0
static bool counting;
static size_t n_allocations;
#else
#define CAN_COUNT 1

static bool counting;
static size_t n_allocations;

extern char __executable_start, etext;  // set by the linker
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

static void count(const void *caller)
{
    const char *at = caller;

    if (counting && at >= &__executable_start && at < &etext) {
        n_allocations++;
    }
}

void *malloc(size_t n)
{
    count(__builtin_return_address(0));
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    count(__builtin_return_address(0));
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    count(__builtin_return_address(0));
    return __libc_memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
    count(__builtin_return_address(0));
    *p = __libc_memalign(align, n);
    return *p == NULL ? 12 : 0;  // ENOMEM
}
#endif

/* Of three steps of training; takes the graph. */
static void check_allocations(nn_graph *g, nn_precision precision, bool of_pixels)
{
    fl_err err = FL_ERR_INIT;
    nn_params params, grad;
    nn_optim *optim = NULL;
    nn_plan *plan;
    nn_optim_config adam;
    nn_plan_config cfg = {.capacity = ROWS,
                          .train = true,
                          .precision = precision,
                          .threads = 1,
                          .loss = {.kind = of_pixels ? NN_LOSS_DICE_CE : NN_LOSS_SOFTMAX_CE}};
    check_ok(nn_params_init(&params, nn_graph_table(g), &err), err);
    check_ok(nn_params_init(&grad, nn_graph_table(g), &err), err);
    nn_optim_defaults(&adam);
    adam.kind = NN_ADAM;
    if (nn_table_count(nn_graph_table(g)) < 20000000) {  // Adam keeps twice as much
        check_ok(nn_optim_new(&optim, &adam, nn_graph_table(g), &err), err);
    }

    counting = true;
    n_allocations = 0;
    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    check(n_allocations > 0);  // the counter counts
    fl_rng rng;                // parameters are 0: what the numbers are does not matter
    fl_rng_init(&rng, 1, "dropout", "", 0);
    n_allocations = 0;
    for (int step = 0; step < 3; step++) {
        nn_plan_step(plan, params.data, grad.data, ROWS, &rng);
        if (optim != NULL) {
            nn_optim_step(optim, params.data, grad.data, 1);
        }
    }
    counting = false;
    check_int(n_allocations, 0);
    nn_plan_destroy(&plan);
    nn_optim_destroy(&optim);
    nn_params_clear(&params);
    nn_params_clear(&grad);
    nn_graph_destroy(&g);
}

/* Every architecture, as small as it can be. */
static void check_registry(nn_precision precision)
{
    static const struct {
        const char *name, *text;  // where it can be made smaller
    } smaller[] = {
        {"cnn", "{name: cnn, dropout: 0.5}"},
        {"resnet18", "{name: resnet18, base: 8}"},
        {"resnet34", "{name: resnet34, base: 8}"},
        {"resnet50", "{name: resnet50, base: 8}"},
        {"unet", "{name: unet, base: 8, depth: 2, dropout: 0.1}"},
        {"attention_unet", "{name: attention_unet, base: 8, depth: 2}"},
    };
    for (size_t i = 0; model_at(i) != NULL; i++) {
        const model_ops *ops = model_at(i);
        const char *text = ops->name;
        for (size_t k = 0; k < sizeof smaller / sizeof *smaller; k++) {
            text = strcmp(smaller[k].name, text) == 0 ? smaller[k].text : text;
        }
        fl_err err = FL_ERR_INIT;
        model_config cfg;
        nn_graph *g;
        int64_t pixels = strcmp(ops->name, "alexnet") == 0 ? 64 : 32;  // the least it takes
        model_io io = {{4, {NN_BATCH, 1, pixels, pixels}}, 2};
        check_ok(model_config_parse(&cfg, text, &err), err);
        check_ok(model_build(&g, &cfg, &io, &err), err);
        check_allocations(g, precision, ops->per_pixel);
    }
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    if (!CAN_COUNT) {
        check_skip("the sanitizer has the allocator");
    }
    check_registry(NN_FP32);
}

static void a_step_in_bf16_allocates_nothing(void **state)
{
    (void)state;
    if (!CAN_COUNT || nn_precision_why_not(NN_BF16) != NULL) {
        check_skip("the sanitizer has the allocator, or the CPU no bf16");
    }
    check_registry(NN_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(a_step_in_bf16_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
