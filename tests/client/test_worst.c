/*
 * test_worst.c - the worst errors are kept as pictures in the hospital's own folder
 */
#include "client/worst.h"

#include <sys/stat.h>

#include "base/buf.h"
#include "base/rng.h"
#include "check.h"
#include "client/picture.h"
#include "data/formats.h"

enum { SIDE = 12, CASES = 30 };

/* Images of noise; two of three are positive. */
static data_set *noise(const char *dir)
{
    fl_err err = FL_ERR_INIT;
    data_set *set = NULL;
    fl_buf text = FL_BUF_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 3, "noise", "", 0);
    fl_buf_puts(&text, "case,patient,file,label,split\n");
    for (int i = 0; i < CASES; i++) {
        float x[SIDE * SIDE];
        for (int p = 0; p < SIDE * SIDE; p++) {
            x[p] = (float)fl_rng_uniform(&rng);
        }
        char *path = fl_xasprintf("%s/i%d.png", dir, i);
        check_ok(data_png_write(path, x, SIDE, SIDE, 1, 8, &err), err);
        free(path);
        fl_buf_printf(&text, "<c%d>,p%d,i%d.png,%d,test\n", i, i, i, i % 3 > 0);
    }
    char *manifest = fl_path_join(dir, "manifest.csv"), *yaml = fl_path_join(dir, "dataset.yaml");
    check_ok(fl_file_write(manifest, text.data, text.n, 0644, &err), err);
    fl_buf_clear(&text);
    fl_buf_puts(&text, "task: classify\nclasses: {no: 0, yes: 1}\npositive: yes\n");
    check_ok(fl_file_write(yaml, text.data, text.n, 0644, &err), err);
    fl_buf_clear(&text);
    free(manifest);
    free(yaml);
    check_ok(data_set_open(&set, dir, NULL, &err), err);
    return set;
}

static char *read_page(const char *dir, const char *name)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_xasprintf("%s/worst/%s", dir, name), *text = NULL;
    size_t n;
    check_ok(fl_file_read(&text, &n, path, 1 << 20, &err), err);
    free(path);
    return text;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)) != NULL; p++) {
        n++;
    }
    return n;
}

static void the_worst_errors_are_pictures_that_stay(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = noise(dir);
    model_config cfg;
    task_model *m = NULL;
    task_scores s;
    check_ok(model_config_parse(&cfg, "{name: cnn, channels: [4, 4], fc: 8}", &err), err);
    check_ok(task_model_new(&m, data_set_spec(set), &cfg, &err), err);
    float *params = fl_xcalloc((size_t)nn_table_count(task_model_table(m)), sizeof *params);
    nn_graph_init(task_model_graph(m), params, 1);
    check_ok(task_predict(&s, m, params, set, DATA_TEST, 1, &err), err);

    // All are called negative: 20 are wrong, of which 12 are shown.
    check_ok(worst_write(m, params, set, &s, 1, REPORT_FR, dir, &err), err);
    char *page = read_page(dir, "index.fr.html");
    check_has(page, "<html lang=\"fr\">");
    check_int(count(page, "annot\xc3\xa9 yes, class\xc3\xa9 no"), WORST_CASES);
    free(page);
    page = read_page(dir, "index.html");
    check_int(count(page, "<figure>"), WORST_CASES);
    check_int(count(page, "labelled yes, called no"), WORST_CASES);
    check_has(page, "&lt;c");  // a case's name is text
    double lowest = 1;
    for (size_t i = 0; i < s.n; i++) {
        lowest = s.label[i] == 1 && s.score[2 * i + 1] < lowest ? s.score[2 * i + 1] : lowest;
    }
    char first[64];
    snprintf(first, sizeof first, "score of yes %.3f", lowest);
    check(strstr(page, first) != NULL && strstr(page, first) < strstr(page, "02.png"));
    free(page);

    struct stat about;
    char *path = fl_path_join(dir, "worst");
    check(stat(path, &about) == 0);
    check_int(about.st_mode & 077, 0);
    free(path);
    data_image image = {0};
    path = fl_path_join(dir, "worst/12.png");
    check_ok(data_image_read(&image, path, &err), err);
    check(image.cols > 2 * image.rows && image.rows >= 256 && image.channels == 3);
    data_image_clear(&image);
    free(path);

    // A later look with fewer errors leaves no picture of the one before.
    for (size_t i = 0; i < s.n; i++) {
        s.score[2 * i + 1] = s.label[i];
        s.score[2 * i] = 1 - s.label[i];
    }
    check_ok(worst_write(m, params, set, &s, 0.5, REPORT_EN, dir, &err), err);
    page = read_page(dir, "index.html");
    check_has(page, "No test case was called wrongly");
    free(page);
    path = fl_path_join(dir, "worst/01.png");
    check(!fl_file_exists(path));
    free(path);
    path = fl_path_join(dir, "worst/index.fr.html");
    check(!fl_file_exists(path));
    free(path);

    task_scores_clear(&s);
    free(params);
    task_model_destroy(&m);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void heat_is_red_and_blue(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "p.png");
    const float gray[4] = {0.5f, 0.5f, 0.5f, 0.5f}, heat[4] = {1, -1, 0, 0};
    const nn_shape shape = {3, {1, 2, 2}};
    data_image image = {0};
    check_ok(picture_write(path, gray, &shape, heat, &err), err);
    check_ok(data_image_read(&image, path, &err), err);
    check_int(image.rows, 256);
    check_int(image.cols, 2 * 256 + 8);
    int64_t plane = image.rows * image.cols, left = 256 + 8;
    const float *x = image.data;
    check(x[left] > x[2 * plane + left]);                    // red over the first pixel
    check(x[left + 200] < x[2 * plane + left + 200]);        // blue over the second
    check_near((double)x[0], (double)x[plane], 0);           // gray beside it
    data_image_clear(&image);
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worst_errors_are_pictures_that_stay),
        cmocka_unit_test(heat_is_red_and_blue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
