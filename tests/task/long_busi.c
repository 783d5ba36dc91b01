/*
 * long_busi.c - U-Net and Attention U-Net on real breast ultrasound
 *
 * The 80 lesion images of busi-subset (Al-Dhabyani et al. 2020), 128 x 128, in
 * five folds; an image is a patient.  A fifth is the test, the next fifth
 * chooses the epoch, three train.  tests/vectors/task_busi.py did the same with
 * PyTorch's U-Net and wrote down its Dice of every image, so that the
 * difference is paired; of the other network it is only shown.  Fold by fold: `long_busi FOLD ...`, whose results are
 * kept in $BUSI_OUT (default build/busi) and used again.
 */
#include "toy.h"

#include <sys/resource.h>

#include "base/json.h"
#include "base/sys.h"

enum { FOLDS = 5, IMAGES = 40, CASES = 2 * IMAGES, EPOCHS = 30 };

static const char *const kinds[] = {"benign", "malignant"};
static const char *const models[] = {"unet", "attention_unet"};
static int only[FOLDS], n_only;  // folds asked for; 0 = all

static double cpu_seconds(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)r.ru_utime.tv_sec + 1e-6 * (double)r.ru_utime.tv_usec;
}

/* A data set whose test split is the fold. */
static data_set *open_fold(const char *dir, const char *busi, int fold)
{
    fl_buf b = FL_BUF_INIT;
    fl_buf_puts(&b, "case,patient,file,mask,split\n");
    for (int i = 0; i < CASES; i++) {
        const char *kind = kinds[i / IMAGES];
        int number = i % IMAGES + 1, of = (number - 1) % FOLDS;
        const char *split = of == fold ? "test" : of == (fold + 1) % FOLDS ? "val" : "train";
        fl_buf_printf(&b, "%s-%d,%s-%d,%s/%s/images/%s (%d).png,", kind, number, kind, number, busi,
                      kind, kind, number);
        char *mask = fl_xasprintf("%s/%s/mask/%s (%d)_mask", busi, kind, kind, number);
        char *second = fl_xasprintf("%s_1.png", mask);
        fl_buf_printf(&b, "%s.png%s%s,%s\n", mask, fl_file_exists(second) ? "|" : "",
                      fl_file_exists(second) ? second : "", split);
        free(second);
        free(mask);
    }
    toy_file(dir, "manifest.csv", b.data);
    fl_buf_clear(&b);
    toy_file(dir, "dataset.yaml",
             "task: segment\nclasses: {background: 0, lesion: 1}\n"
             "preprocess: [channels: 1, resize: 128, normalise: zscore]\n");
    return toy_open(dir);
}

static json_t *train_fold(const data_set *set, const char *model, int fold)
{
    fl_err err = FL_ERR_INIT;
    char *spec = fl_xasprintf("{name: %s, base: 16, depth: 4}", model);
    task_model *m = toy_model(set, spec);
    float *params = toy_params(m, (uint64_t)fold + 1);
    task_train_config cfg;
    task_trainer *t = NULL;
    task_fit_result r;
    task_scores s;
    task_train_defaults(&cfg);
    cfg.batch = 8;
    cfg.threads = 2;
    cfg.optim.kind = NN_ADAM;
    cfg.optim.lr = 1e-3;
    double cpu = cpu_seconds(), wall = fl_now();
    check_ok(task_trainer_new(&t, m, set, &cfg, &err), err);
    const task_fit_config fit = {.rounds = EPOCHS, .metric = "dice", .keep_best = true};
    check_ok(task_fit(params, t, (uint64_t)fold + 1, "", &fit, NULL, &r, &err), err);
    cpu = cpu_seconds() - cpu;
    wall = fl_now() - wall;
    check_ok(task_predict(&s, m, params, set, DATA_TEST, 2, &err), err);
    json_t *dice = json_object();
    double sum = 0;
    for (size_t i = 0; i < s.n; i++) {
        json_object_set_new(dice, data_set_case(set, s.index[i]).case_id, json_real(s.seg[i].dice));
        sum += s.seg[i].dice;
    }
    print_message("# %s, fold %d: %.0f s of CPU, %.0f s of wall clock, step %lld kept at "
                  "validation Dice %.3f, test Dice %.3f\n",
                  model, fold, cpu, wall, (long long)r.best_step, r.best.dice, sum / (double)s.n);
    task_scores_clear(&s);
    task_trainer_destroy(&t);
    free(params);
    task_model_destroy(&m);
    free(spec);
    return json_pack("{s:o, s:f, s:f, s:f}", "dice", dice, "cpu_seconds", cpu, "seconds", wall,
                     "val_dice", r.best.dice);
}

static char *out_path(const char *model, int fold)
{
    fl_err err = FL_ERR_INIT;
    const char *out = getenv("BUSI_OUT");
    const char *dir = out != NULL ? out : "build/busi";
    check_ok(fl_mkdirs(dir, 0755, &err), err);
    return fl_xasprintf("%s/%s-%d.json", dir, model, fold);
}

/* The fold's Dice by image, trained unless that was done before. */
static json_t *fold_of(const data_set *set, const char *model, int fold)
{
    fl_err err = FL_ERR_INIT;
    char *path = out_path(model, fold);
    json_t *result = NULL;
    if (fl_file_exists(path)) {
        check_ok(fl_json_read(&result, path, 1 << 20, &err), err);
    } else {
        result = train_fold(set, model, fold);
        char *text = json_dumps(result, JSON_INDENT(1));
        check_ok(fl_file_write(path, text, strlen(text), 0644, &err), err);
        free(text);
    }
    free(path);
    return result;
}

static bool is_asked(int fold)
{
    bool found = n_only == 0;
    for (int i = 0; i < n_only; i++) {
        found = found || only[i] == fold;
    }
    return found;
}

/* Every case's Dice, and of those whose Dice is known on both sides. */
typedef struct {
    eval_seg_case all[CASES], ours[CASES], theirs[CASES];
    size_t n, n_pairs;
} results;

static void add_fold(results *p, const json_t *dice, const json_t *reference)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)dice, name, value) {
        double theirs = fl_json_get_number(reference, name);
        eval_seg_case ours = {.dice = json_number_value(value), .n_truth = 1};
        FL_REQUIRE(p->n < CASES);
        p->all[p->n++] = ours;
        if (!isnan(theirs)) {
            p->ours[p->n_pairs] = ours;
            p->theirs[p->n_pairs++] = (eval_seg_case){.dice = theirs, .n_truth = 1};
        }
    }
}

/* is_peers: PyTorch's is the same network in the same set-up. */
static void judge(const char *model, const results *p, bool is_peers)
{
    eval_metrics ours, theirs;
    eval_figure d;
    eval_segment(&ours, p->all, p->n, 1, NULL, 1);
    const eval_figure *f = eval_metrics_find(&ours, "dice");
    print_message("# %s: test Dice %.3f [%.3f, %.3f] of %zu images\n", model, f->value, f->ci_low,
                  f->ci_high, p->n);
    check(f->ci_low > 0.50);
    if (p->n_pairs == 0) {
        print_message("# no Dice of PyTorch's of these images in tests/vectors/task_busi.json\n");
        return;
    }
    eval_segment(&theirs, p->theirs, p->n_pairs, 1, NULL, 1);
    eval_segment_difference(&d, "dice", p->theirs, p->ours, p->n_pairs, 1, NULL, 1);
    const eval_figure *g = eval_metrics_find(&theirs, "dice");
    print_message("# PyTorch's unet: %.3f [%.3f, %.3f] of %zu of them; difference %+.3f [%+.3f, "
                  "%+.3f]\n",
                  g->value, g->ci_low, g->ci_high, p->n_pairs, d.value, d.ci_low, d.ci_high);
    if (is_peers) {
        check(d.value >= -0.03);
    }
}

static void lesions_are_found_as_well_as_by_pytorch(void **state)
{
    (void)state;
    const char *data = getenv("CONSILIUM_DATA");
    char *busi = data != NULL ? fl_path_join(data, "busi-subset/data") : NULL;
    if (busi == NULL || !fl_is_dir(busi)) {
        free(busi);
        check_skip("there is no busi-subset in $CONSILIUM_DATA");
    }
    fl_err err = FL_ERR_INIT;
    json_t *vectors = NULL;
    static const char reference_path[] = "tests/vectors/task_busi.json";
    if (fl_file_exists(reference_path)) {
        check_ok(fl_json_read(&vectors, reference_path, 1 << 20, &err), err);
    }
    const json_t *reference = json_object_get(vectors, "dice");
    static results all[2];
    char *dir = check_tmpdir();
    for (int fold = 0; fold < FOLDS; fold++) {
        if (!is_asked(fold)) {
            continue;
        }
        data_set *set = open_fold(dir, busi, fold);
        for (int k = 0; k < 2; k++) {
            json_t *result = fold_of(set, models[k], fold);
            add_fold(&all[k], json_object_get(result, "dice"), reference);
            json_decref(result);
        }
        data_set_destroy(&set);
    }
    for (int k = 0; k < 2; k++) {
        judge(models[k], &all[k], k == 0);
    }
    json_decref(vectors);
    check_rmdir(&dir);
    free(busi);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lesions_are_found_as_well_as_by_pytorch),
    };
    for (int i = 1; i < argc && n_only < FOLDS; i++) {
        only[n_only++] = atoi(argv[i]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
