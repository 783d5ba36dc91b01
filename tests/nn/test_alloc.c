/*
 * test_alloc.c - nothing of ours is allocated in a step
 *
 * The allocator's functions are replaced by ones that count the calls from
 * this program's own code.  oneDNN's few small ones for each primitive it runs
 * (its list of arguments) are its own and not counted.
 */
#include "check.h"

#include "nn/optim.h"
#include "nn/plan.h"

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

static void check_allocations(nn_precision precision)
{
    fl_err err = FL_ERR_INIT;
    nn_graph *g = nn_graph_new("test");
    nn_value x = nn_graph_input(g, "image", &(nn_shape){4, {NN_BATCH, 1, 12, 12}});
    x = nn_max_pool(g, nn_relu(g, nn_batch_norm(g, "bn", nn_conv(g, "conv1", x, 16, 3, 1, 1))), 2,
                    2);
    x = nn_dropout(g, nn_relu(g, nn_gemm(g, "fc1", nn_flatten(g, x), 64)), 0.5);
    nn_graph_output(g, "logits", nn_gemm(g, "fc2", x, 3));
    check_ok(nn_graph_finish(g, &err), err);
    nn_params params, grad;
    nn_optim *optim;
    nn_plan *plan;
    nn_optim_config adam;
    nn_plan_config cfg = {.capacity = 8,
                          .train = true,
                          .precision = precision,
                          .threads = 1,
                          .loss = {.kind = NN_LOSS_SOFTMAX_CE}};
    check_ok(nn_params_init(&params, nn_graph_table(g), &err), err);
    check_ok(nn_params_init(&grad, nn_graph_table(g), &err), err);
    nn_optim_defaults(&adam);
    adam.kind = NN_ADAM;
    check_ok(nn_optim_new(&optim, &adam, nn_graph_table(g), &err), err);

    counting = true;
    check_ok(nn_plan_new(&plan, g, &cfg, &err), err);
    check(n_allocations > 0);  // the counter counts
    nn_graph_init(g, params.data, 1);
    fl_rng rng;
    fl_rng_init(&rng, 1, "dropout", "", 0);
    n_allocations = 0;
    for (int step = 0; step < 3; step++) {
        nn_plan_step(plan, params.data, grad.data, 8, &rng);
        nn_optim_step(optim, params.data, grad.data, 1);
    }
    counting = false;
    check_int(n_allocations, 0);
    nn_plan_destroy(&plan);
    nn_optim_destroy(&optim);
    nn_params_clear(&params);
    nn_params_clear(&grad);
    nn_graph_destroy(&g);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    if (!CAN_COUNT) {
        check_skip("the sanitizer has the allocator");
    }
    check_allocations(NN_FP32);
}

static void a_step_in_bf16_allocates_nothing(void **state)
{
    (void)state;
    if (!CAN_COUNT || nn_precision_why_not(NN_BF16) != NULL) {
        check_skip("the sanitizer has the allocator, or the CPU no bf16");
    }
    check_allocations(NN_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(a_step_in_bf16_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
