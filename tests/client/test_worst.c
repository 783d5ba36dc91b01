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

/* Images of noise, with a square mask beside each.  labels: names of the manifest's columns of
 * what is known of a case, and how it is written, from its number. */
static data_set *noise_of(const char *dir, const char *yaml_text, const char *labels,
                          void (*write)(fl_buf *out, int i))
{
    fl_err err = FL_ERR_INIT;
    data_set *set = NULL;
    fl_buf text = FL_BUF_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 3, "noise", "", 0);
    fl_buf_printf(&text, "case,patient,file,split,%s\n", labels);
    for (int i = 0; i < CASES; i++) {
        float x[SIDE * SIDE], mask[SIDE * SIDE];
        for (int p = 0; p < SIDE * SIDE; p++) {
            x[p] = (float)fl_rng_uniform(&rng);
            mask[p] = p / SIDE >= 3 && p / SIDE < 8 && p % SIDE >= 2 && p % SIDE < 6 ? 1 / 255.0f : 0;
        }
        char *path = fl_xasprintf("%s/i%d.png", dir, i), *beside = fl_xasprintf("%s/m%d.png", dir, i);
        check_ok(data_png_write(path, x, SIDE, SIDE, 1, 8, &err), err);
        check_ok(data_png_write(beside, mask, SIDE, SIDE, 1, 8, &err), err);
        free(beside);
        free(path);
        fl_buf_printf(&text, "<c%d>,p%d,i%d.png,test,", i, i, i);
        write(&text, i);
        fl_buf_puts(&text, "\n");
    }
    char *manifest = fl_path_join(dir, "manifest.csv"), *yaml = fl_path_join(dir, "dataset.yaml");
    check_ok(fl_file_write(manifest, text.data, text.n, 0644, &err), err);
    check_ok(fl_file_write(yaml, yaml_text, strlen(yaml_text), 0644, &err), err);
    fl_buf_clear(&text);
    free(manifest);
    free(yaml);
    check_ok(data_set_open(&set, dir, NULL, &err), err);
    return set;
}

/* Two of three are positive. */
static void write_class(fl_buf *out, int i)
{
    fl_buf_printf(out, "%d", i % 3 > 0);
}

static data_set *noise(const char *dir)
{
    return noise_of(dir, "task: classify\nclasses: {no: 0, yes: 1}\npositive: yes\n", "label",
                    write_class);
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

/* Of a picture that was read back, (3, rows, cols) bytes. */
static bool is_blue(const float *at, int64_t plane)
{
    return at[2 * plane] > 250 && at[0] < 80;
}

static bool is_orange(const float *at, int64_t plane)
{
    return at[0] > 250 && at[2 * plane] < 30;
}

/* A model with its first values and what it says of the test cases. */
typedef struct {
    char *dir;
    data_set *set;
    task_model *m;
    float *params;
    task_scores s;
} judged;

static judged judge(char *dir, data_set *set, const char *model)
{
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    judged j = {.dir = dir, .set = set};
    check_ok(model_config_parse(&cfg, model, &err), err);
    check_ok(task_model_new(&j.m, data_set_spec(set), &cfg, &err), err);
    j.params = fl_xcalloc((size_t)nn_table_count(task_model_table(j.m)), sizeof *j.params);
    nn_graph_init(task_model_graph(j.m), j.params, 1);
    check_ok(task_predict(&j.s, j.m, j.params, set, DATA_TEST, 1, &err), err);
    return j;
}

/* The English page; the French one was written beside it. */
static char *write_pages(const judged *j, double threshold)
{
    fl_err err = FL_ERR_INIT;
    check_ok(worst_write(j->m, j->params, j->set, &j->s, threshold, REPORT_FR, j->dir, &err), err);
    char *french = read_page(j->dir, "index.fr.html");
    check_has(french, "elle appartient \xc3\xa0 l\xe2\x80\x99h\xc3\xb4pital");
    free(french);
    return read_page(j->dir, "index.html");
}

static void judged_clear(judged *j)
{
    task_scores_clear(&j->s);
    free(j->params);
    task_model_destroy(&j->m);
    data_set_destroy(&j->set);
    check_rmdir(&j->dir);
}

static void write_findings(fl_buf *out, int i)
{
    fl_buf_printf(out, "%s,%d", i % 5 == 0 ? "" : "1", i % 2);
}

static void wrong_findings_come_from_the_surest_on(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    judged j = judge(dir, noise_of(dir, "task: multilabel\nclasses: {left: left, right: right}\n",
                                   "label:left,label:right", write_findings),
                     "{name: cnn, channels: [4, 4], fc: 8}");
    json_t *explained = worst_explained(j.m, j.params, j.set);
    check_str(fl_json_get_string(explained, "method", ""), "Grad-CAM");
    json_decref(explained);
    // Right everywhere but in three answers; of case 0 nobody said whether it has the left one.
    for (size_t i = 0; i < j.s.n; i++) {
        j.s.score[2 * i] = 0.9;
        j.s.score[2 * i + 1] = j.s.target[2 * i + 1];
    }
    j.s.score[0] = 0.01;
    j.s.score[2 * 4] = 0.2;       // there, not seen
    j.s.score[2 * 6 + 1] = 0.95;  // not there, seen: surer
    j.s.score[2 * 7] = 0.35;
    char *page = write_pages(&j, 0.4);
    check_int(count(page, "<figure>"), 3);
    const char *first = strstr(page, "&lt;c6&gt;: right is seen and is not there; score 0.950");
    const char *second = strstr(page, "&lt;c4&gt;: left is there and is not seen; score 0.200");
    const char *third = strstr(page, "&lt;c7&gt;: left is there and is not seen; score 0.350");
    check(first != NULL && second != NULL && third != NULL && first < second && second < third);
    free(page);
    for (size_t i = 0; i < 2 * j.s.n; i++) {
        j.s.score[i] = j.s.target[i] > 0.5;
    }
    page = write_pages(&j, 0.4);
    check_has(page, "No finding of a test case was called wrongly.");
    free(page);
    judged_clear(&j);
}

static void write_mask(fl_buf *out, int i)
{
    if (i != 2) {  // nobody drew that one
        fl_buf_printf(out, "m%d.png", i);
    }
}

static void masks_of_the_lowest_dice_are_outlined(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    judged j = judge(dir, noise_of(dir, "task: segment\nclasses: {background: 0, square: 1}\n",
                                   "mask", write_mask), "{name: unet, base: 4, depth: 1}");
    check(j.s.label[2] < 0);
    check(worst_explained(j.m, j.params, j.set) == NULL);  // outlines, no maps
    for (size_t i = 0; i < j.s.n; i++) {
        j.s.seg[i].dice = 1;
    }
    j.s.seg[5] = (eval_seg_case){.dice = 0.25, .n_truth = 20, .n_pred = 12};
    j.s.seg[9] = (eval_seg_case){.dice = 0, .n_truth = 20};
    j.s.seg[7] = (eval_seg_case){.dice = 0, .n_pred = 3};
    char *page = write_pages(&j, NAN);
    check_int(count(page, "<figure>"), 3);
    const char *first = strstr(page, "&lt;c7&gt;: the reference has nothing, the model outlines 3");
    const char *second = strstr(page, "&lt;c9&gt;: the reference has 20 pixels, the model outlines "
                                      "nothing");
    const char *third = strstr(page, "&lt;c5&gt;: Dice 0.250; the reference has 20 pixels, the model "
                                     "outlines 12");
    check(first != NULL && second != NULL && third != NULL && first < second && second < third);
    free(page);
    // The reference's outline is where the square is: rows 3 to 7, columns 2 to 5.
    char *path = fl_path_join(dir, "worst/03.png");
    data_image image = {0};
    check_ok(data_image_read(&image, path, &err), err);
    int64_t times = image.rows / SIDE, right = image.cols - SIDE * times, plane = image.rows * image.cols;
    size_t on_border = 0;
    for (int64_t col = 2 * times; col < 6 * times; col++) {
        const float *at = (const float *)image.data + (3 * times) * image.cols + right + col;
        bool blue = is_blue(at, plane), orange = is_orange(at, plane);
        check(blue || orange);
        on_border += blue;
    }
    check(on_border > 0);
    data_image_clear(&image);
    free(path);
    judged_clear(&j);
}

static void write_number(fl_buf *out, int i)
{
    fl_buf_printf(out, "%d", i);
}

static void numbers_that_are_farthest_off_come_first(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    judged j = judge(dir, noise_of(dir, "task: regress\n", "label", write_number),
                     "{name: cnn, channels: [4, 4], fc: 8}");
    for (size_t i = 0; i < j.s.n; i++) {
        j.s.score[i] = j.s.target[i];
    }
    j.s.score[11] = 14.5;
    j.s.score[20] = 12;
    char *page = write_pages(&j, NAN);
    check_int(count(page, "<figure>"), 2);
    const char *first = strstr(page, "&lt;c20&gt;: 20.000, predicted 12.000; error 8.000");
    const char *second = strstr(page, "&lt;c11&gt;: 11.000, predicted 14.500; error 3.500");
    check(first != NULL && second != NULL && first < second);
    free(page);
    judged_clear(&j);
}

/* A dashed line over a solid one, and each alone. */
static void outlines_are_blue_and_dashed_orange(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "p.png");
    const float gray[4] = {0.5f, 0.5f, 0.5f, 0.5f};
    const uint8_t first[4] = {1, 0, 0, 0}, second[4] = {0, 0, 0, 1};
    const nn_shape shape = {3, {1, 2, 2}};
    data_image image = {0};
    check_ok(picture_write_outlines(path, gray, &shape, first, second, &err), err);
    check_ok(data_image_read(&image, path, &err), err);
    int64_t plane = image.rows * image.cols, left = 256 + 8;
    const float *x = image.data;
    size_t n_blue = 0, n_orange = 0, n_other = 0;
    for (int64_t r = 0; r < 256; r++) {
        for (int64_t c = 0; c < 256; c++) {
            const float *at = x + r * image.cols + left + c;
            bool blue = is_blue(at, plane), orange = is_orange(at, plane);
            bool border = (r < 128 ? r < 2 || r >= 126 : r < 130 || r >= 254) ||
                          (c < 128 ? c < 2 || c >= 126 : c < 130 || c >= 254);
            check(!blue || (r < 128 && c < 128 && border));
            check(!orange || (r >= 128 && c >= 128 && border));
            n_blue += blue;
            n_orange += orange;
            n_other += border && r < 128 && c < 128 && !blue;
        }
    }
    check_int(n_other, 0);  // solid
    check_near((double)n_orange / (double)n_blue, 0.5, 0.05);
    data_image_clear(&image);
    free(path);
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
        cmocka_unit_test(wrong_findings_come_from_the_surest_on),
        cmocka_unit_test(masks_of_the_lowest_dice_are_outlined),
        cmocka_unit_test(numbers_that_are_farthest_off_come_first),
        cmocka_unit_test(outlines_are_blue_and_dashed_orange),
        cmocka_unit_test(heat_is_red_and_blue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
