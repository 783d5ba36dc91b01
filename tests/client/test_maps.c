/*
 * test_maps.c - predicted masks on the grid of the images they were made from
 */
#include "client/maps.h"

#include "check.h"
#include "data/formats.h"

static void put_text(const char *dir, const char *name, const char *text)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    check_ok(fl_file_write(path, text, strlen(text), 0644, &err), err);
    free(path);
}

static void put_image(const char *dir, const char *name, int64_t rows, int64_t cols)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    float *x = fl_xcalloc((size_t)(rows * cols), sizeof *x);
    check_ok(data_png_write(path, x, rows, cols, 1, 8, &err), err);
    free(x);
    free(path);
}

static data_image read_back(const char *dir, const char *name)
{
    fl_err err = FL_ERR_INIT;
    data_image image;
    char *path = fl_path_join(dir, name);
    check_ok(data_image_read(&image, path, &err), err);
    free(path);
    return image;
}

/* An image of 8 x 16 that the model sees as 4 x 4. */
static data_set *open_flat(const char *dir, const char *classes, const char *case_id)
{
    fl_err err = FL_ERR_INIT;
    data_set *set = NULL;
    char *rows = fl_xasprintf("case,patient,file,mask,split\n%s,p1,a.png,a.png,test\n", case_id);
    char *yaml = fl_xasprintf("task: segment\nclasses: %s\npreprocess: [resize: 4]\n", classes);
    put_image(dir, "a.png", 8, 16);
    put_text(dir, "manifest.csv", rows);
    put_text(dir, "dataset.yaml", yaml);
    check_ok(data_set_open(&set, dir, NULL, &err), err);
    free(yaml);
    free(rows);
    return set;
}

static void a_mask_comes_back_on_the_images_own_grid(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = open_flat(dir, "{background: 0, lesion: 1}", "c-1");
    uint8_t code[16];
    float prob[16];
    for (int i = 0; i < 16; i++) {  // the left half, sure in the first row
        code[i] = i % 4 < 2;
        prob[i] = i % 4 < 2 ? (i < 4 ? 1.0f : 0.75f) : 0.0f;
    }
    maps m = {.dir = dir};
    check_ok(maps_take(&m, set, 0, &(task_map){.code = code, .prob = prob}, &err), err);
    check_int(m.n, 1);
    data_image mask = read_back(dir, "c-1.mask.png");
    data_image soft = read_back(dir, "c-1.prob.png");
    check_int(mask.rows, 8);
    check_int(mask.cols, 16);
    for (int r = 0; r < 8; r++) {
        for (int c = 0; c < 16; c++) {
            // Between the middles of the second and the third pixel, columns 5.5
            // and 9.5, the probability falls on a line.
            double across = c < 6 ? 1 : c > 9 ? 0 : (9.5 - c) / 4;
            double down = r < 1 ? 1 : r > 1 ? 0.75 : 0.9375;
            if (r == 2) {
                down = 0.8125;
            }
            check_near(soft.data[r * 16 + c] / 255, across * down, 0.003);
            check_int((int)mask.data[r * 16 + c], across * down >= 0.5 ? 255 : 0);
        }
    }
    data_image_clear(&soft);
    data_image_clear(&mask);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

/* Half of what can be is half of white. */
static void entropy_and_variance_lie_beside_it(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = open_flat(dir, "{background: 0, lesion: 1}", "c-1");
    uint8_t code[16] = {0};
    float prob[16] = {0}, entropy[16], variance[16];
    for (int i = 0; i < 16; i++) {
        entropy[i] = 0.5f * 0.6931472f;
        variance[i] = 0.125f;
    }
    maps m = {.dir = dir};
    const task_map map = {code, prob, entropy, variance};
    check_ok(maps_take(&m, set, 0, &map, &err), err);
    data_image a = read_back(dir, "c-1.entropy.png"), b = read_back(dir, "c-1.variance.png");
    check_int(a.rows * a.cols, 8 * 16);
    for (int p = 0; p < 8 * 16; p++) {
        check_near(a.data[p] / 255, 0.5, 0.003);
        check_near(b.data[p] / 255, 0.5, 0.003);
    }
    data_image_clear(&a);
    data_image_clear(&b);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

/* A map of 2 x 2 covers the image as a whole: what it says between its middles, which
 * are at a quarter and at three quarters, is on a line. */
static void a_coarser_map_is_spread_over_the_image(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = open_flat(dir, "{background: 0, lesion: 1}", "c-1");
    const float map[4] = {0, 1, 0, 1};
    maps m = {.dir = dir};
    check_ok(maps_take_own(&m, set, 0, "attention2", map, (int64_t[]){1, 2, 2}, &err), err);
    data_image image = read_back(dir, "c-1.attention2.png");
    check_int(image.rows, 8);
    check_int(image.cols, 16);
    for (int r = 0; r < 8; r++) {
        for (int c = 0; c < 16; c++) {
            double wanted = fmin(fmax((c - 3.5) / 8, 0), 1);
            check_near(image.data[r * 16 + c] / 255, wanted, 0.003);
        }
    }
    data_image_clear(&image);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void more_classes_are_written_as_their_codes(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    data_set *set = open_flat(dir, "{background: 0, core: 1, oedema: 2}", "../odd name");
    uint8_t code[16];
    float prob[16];
    for (int i = 0; i < 16; i++) {
        code[i] = (uint8_t)(i / 4 % 3);
        prob[i] = code[i] > 0;
    }
    maps m = {.dir = dir};
    check_ok(maps_take(&m, set, 0, &(task_map){.code = code, .prob = prob}, &err), err);
    data_image mask = read_back(dir, "_._odd_name-0.mask.png");  // no way out of the folder
    for (int r = 0; r < 8; r++) {
        check_int((int)mask.data[r * 16], r / 2 % 3);
    }
    data_image_clear(&mask);
    data_set_destroy(&set);
    check_rmdir(&dir);
}

static void a_volume_keeps_its_place_in_the_patient(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "v.nii");
    const double affine[12] = {0, -1.5, 0, 10, 2, 0, 0, -20, 0, 0, 3, 5};
    float x[2 * 4 * 6];
    for (int i = 0; i < 48; i++) {
        x[i] = (float)i;
    }
    check_ok(data_nifti_write_at(path, x, 2, 4, 6, affine, &err), err);
    put_text(dir, "manifest.csv", "case,patient,file,mask,split\nv,p1,v.nii,v.nii,test\n");
    put_text(dir, "dataset.yaml", "task: segment\nclasses: {background: 0, lesion: 1}\n");
    data_set *set = NULL;
    check_ok(data_set_open(&set, dir, NULL, &err), err);
    check_near(data_set_case(set, 0).spacing_mm[0], 3, 1e-6);
    check_near(data_set_case(set, 0).spacing_mm[1], 1.5, 1e-6);
    check_near(data_set_case(set, 0).spacing_mm[2], 2, 1e-6);
    uint8_t code[48];
    float prob[48];
    for (int i = 0; i < 48; i++) {
        code[i] = i % 5 == 0;
        prob[i] = code[i] ? 0.9f : 0.125f;
    }
    maps m = {.dir = dir};
    check_ok(maps_take(&m, set, 0, &(task_map){.code = code, .prob = prob}, &err), err);
    data_image mask = read_back(dir, "v.mask.nii"), soft = read_back(dir, "v.prob.nii");
    check_int(mask.frames, 2);
    for (int i = 0; i < 48; i++) {
        check_int((int)mask.data[i], code[i]);
        check_near(soft.data[i], code[i] ? 900 : 125, 0);
    }
    for (int i = 0; i < 12; i++) {
        check_near(mask.affine[i], affine[i], 1e-6);
    }
    data_image_clear(&soft);
    data_image_clear(&mask);
    data_set_destroy(&set);
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mask_comes_back_on_the_images_own_grid),
        cmocka_unit_test(entropy_and_variance_lie_beside_it),
        cmocka_unit_test(a_coarser_map_is_spread_over_the_image),
        cmocka_unit_test(more_classes_are_written_as_their_codes),
        cmocka_unit_test(a_volume_keeps_its_place_in_the_patient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
