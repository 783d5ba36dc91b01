/*
 * test_sheet.c - a contact sheet shows the images where it says, and names nobody
 */
#include "data/font.h"
#include "data/sheet.h"
#include "fixture.h"

#define YAML "task: classify\nclasses: {no: 0, yes: 1}\nsplit: {by: patient, val: 0.2, test: 0.2}\n"

static void letters_are_drawn_inside_only(void **state)
{
    (void)state;
    float rgb[12 * 14 * 3] = {0};
    const float white[3] = {1, 1, 1};
    int n = 0;
    data_font_draw(rgb, 12, 14, 0, 0, white, "H ");
    for (int y = 0; y < 12; y++) {
        for (int x = 0; x < 14; x++) {
            n += rgb[3 * (14 * y + x)] > 0;
            check(rgb[3 * (14 * y + x)] == 0 || x < 6);
        }
    }
    check(n > 10);
    data_font_draw(rgb, 12, 14, -5, -3, white, "WWWWWWWWWW");  // cut off on all sides
    data_font_draw(rgb, 12, 14, 8, 10, white, "\xc3\xa9");     // not ASCII: a question mark each
}

/* A pixel of the sheet, red. */
static float red_at(const data_image *png, int64_t row, int64_t col)
{
    return png->data[row * png->cols + col];
}

static void every_split_and_class_has_a_row(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s;
    data_image png;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "sheet.png");

    fixture_images(dir, 40, YAML);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_ok(data_sheet_write(s, path, &err), err);
    check_ok(data_image_read(&png, path, &err), err);
    check_int(png.cols, 8 + 8 * 120);
    check_int(png.rows, 8 + 6 * (17 + 112 + 13 + 8));  // 3 splits of 2 classes
    /* the first image of class no: 8 x 8 pixels of 14 each, from its least to its most */
    float x[64];
    float least = INFINITY;
    float most = -INFINITY;
    size_t first = data_set_split(s, DATA_TRAIN)[0];
    while (data_set_case(s, first).code != 0) {
        first++;
    }
    data_set_batch(s, &first, 1, x);
    for (int i = 0; i < 64; i++) {
        least = fminf(least, x[i]);
        most = fmaxf(most, x[i]);
    }
    for (int r = 0; r < 8; r++) {
        for (int c = 0; c < 8; c++) {
            double mean = 0;
            for (int k = 0; k < 14 * 14; k++) {
                mean += (double)red_at(&png, 8 + 17 + 14 * r + k / 14, 8 + 14 * c + k % 14) / 196;
            }
            double wants = 255 * (double)((x[8 * r + c] - least) / (most - least));
            if (r > 0 && r < 7 && c > 0 && c < 7) {  // within, growing keeps a ramp's means
                check_near(mean, wants, 40);
            }
        }
    }
    data_image_clear(&png);
    data_set_destroy(&s);
    free(path);
    check_rmdir(&dir);
}

static void masks_have_an_outline(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s;
    data_image png;
    size_t n_yellow = 0;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "sheet.png");

    fixture_png(dir, "x.png", 8, 3);
    fixture_png(dir, "m.png", 8, 120);
    fixture_text(dir, "manifest.csv", "case,patient,file,mask,split\n1,p,x.png,m.png,train\n");
    fixture_text(dir, "dataset.yaml", "task: segment\nmask_threshold: 128\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_ok(data_sheet_write(s, path, &err), err);
    check_ok(data_image_read(&png, path, &err), err);
    size_t plane = (size_t)(png.rows * png.cols);
    for (size_t i = 0; i < plane; i++) {
        n_yellow += png.data[i] == 255 && png.data[plane + i] == 191 &&
                    png.data[2 * plane + i] == 0;
    }
    check(n_yellow > 4);
    data_image_clear(&png);
    data_set_destroy(&s);
    free(path);
    check_rmdir(&dir);
}

static void a_table_has_no_sheet(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "sheet.png");
    fixture_text(dir, "t.csv", "a,b\n1,0\n2,1\n3,0\n4,1\n5,1\n");
    fixture_text(dir, "dataset.yaml",
                 "table: {file: t.csv, label: {column: b, positive: '> 0'}}\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_fails(data_sheet_write(s, path, &err), FL_EUNSUPPORTED);
    check(!fl_file_exists(path));
    data_set_destroy(&s);
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_are_drawn_inside_only),
        cmocka_unit_test(every_split_and_class_has_a_row),
        cmocka_unit_test(masks_have_an_outline),
        cmocka_unit_test(a_table_has_no_sheet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
