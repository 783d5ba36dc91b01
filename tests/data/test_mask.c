/*
 * test_mask.c - masks: files of a case, codes, grids, annotators, refusals
 */
#include "data/mask.h"

#include "data/dataset.h"
#include "fixture.h"

/* A gray PNG whose pixels are the bytes of value (rows, cols). */
static void put_mask(const char *dir, const char *name, const int *value, int rows, int cols)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    float *x = fl_xcalloc((size_t)(rows * cols), sizeof *x);
    for (int i = 0; i < rows * cols; i++) {
        x[i] = (float)value[i] / 255.0f;
    }
    check_ok(data_png_write(path, x, rows, cols, 1, 8, &err), err);
    free(x);
    free(path);
}

static const int left[16] = {255, 255, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
static const int right[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};
static const int nothing[16] = {0};
static const int codes[16] = {0, 1, 2, 0, 1, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0, 2};

static char *make_folder(const char *recipe, const char *manifest)
{
    char *dir = check_tmpdir();
    fixture_png(dir, "a.png", 4, 1);
    fixture_png(dir, "b.png", 4, 2);
    put_mask(dir, "left.png", left, 4, 4);
    put_mask(dir, "right.png", right, 4, 4);
    put_mask(dir, "nothing.png", nothing, 4, 4);
    put_mask(dir, "codes.png", codes, 4, 4);
    put_mask(dir, "small.png", codes, 2, 2);
    fixture_text(dir, "dataset.yaml", recipe);
    fixture_text(dir, "manifest.csv", manifest);
    return dir;
}

static const char two_classes[] = "task: segment\n"
                                  "classes: {background: 0, lesion: 1}\n"
                                  "split: {column: split}\n";

static void check_codes(const uint8_t *mask, const char *expected)
{
    char text[65] = "none";
    for (size_t i = 0; mask != NULL && i < strlen(expected); i++) {
        text[i] = (char)('0' + mask[i]);
        text[i + 1] = '\0';
    }
    check_str(text, expected);
}

static void a_case_has_a_mask_or_none_and_an_empty_one_is_a_label(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_folder(two_classes, "case,patient,file,mask,split\n"
                                         "x,p1,a.png,left.png,train\n"
                                         "y,p2,b.png,nothing.png,train\n"
                                         "z,p3,b.png,,train\n"
                                         "w,p4,b.png,left.png | right.png,test\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n_pixels(s), 16);
    check_codes(data_set_case(s, 0).mask, "1100110000000000");
    check_codes(data_set_case(s, 1).mask, "0000000000000000");
    check(data_set_case(s, 2).mask == NULL);
    check_codes(data_set_case(s, 3).mask, "1100110000000011");  // two lesions
    check_int(data_set_n_annotators(s), 0);

    json_t *flow = data_set_flow(s);
    check_int(fl_json_get_int(flow, "unlabelled", -1), 1);
    check_int(fl_json_get_int(flow, "files", -1), 8);  // four images, four masks
    json_decref(flow);
    json_t *table = data_set_table1(s, 1);
    const json_t *train = json_object_get(json_object_get(table, "train"), "classes");
    const json_t *lesion = json_object_get(train, "lesion");
    check_int(fl_json_get_int(json_object_get(lesion, "present"), "n", -1), 1);
    check_int(fl_json_get_int(json_object_get(lesion, "absent"), "n", -1), 1);
    check_int(fl_json_get_int(json_object_get(lesion, "unlabelled"), "n", -1), 1);
    json_decref(table);
    json_t *problems = data_set_problems(s);
    char *text = json_dumps(problems, 0);
    check_has(text, "masks in which nothing is drawn");
    free(text);
    json_decref(problems);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

/* What is drawn belongs to a data set's name. */
static void another_mask_is_another_data_set(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    uint8_t digest[3][32];
    static const char *const masks[] = {"left.png", "right.png", ""};
    for (int i = 0; i < 3; i++) {
        data_set *s = NULL;
        char *rows = fl_xasprintf("case,patient,file,mask,split\nx,p1,a.png,%s,train\n", masks[i]);
        char *dir = make_folder(two_classes, rows);
        check_ok(data_set_open(&s, dir, NULL, &err), err);
        data_set_sha256(digest[i], s);
        data_set_destroy(&s);
        check_rmdir(&dir);
        free(rows);
    }
    check(memcmp(digest[0], digest[1], 32) != 0);
    check(memcmp(digest[0], digest[2], 32) != 0);
}

static void values_become_the_jobs_classes(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    static const char rows[] = "case,patient,file,mask,split\nx,p1,a.png,codes.png,train\n";
    static const struct {
        const char *recipe, *expected;
    } cases[] = {
        // the values are the codes
        {"task: segment\nclasses: {background: 0, core: 1, oedema: 2}\n", "0120112200000002"},
        // this hospital writes them otherwise
        {"task: segment\nclasses: {background: 0, core: 2, oedema: 1}\n", "0210221100000001"},
        {"task: segment\nclasses: {background: 0, core: [1, 2]}\n", "0110111100000001"},
        // two classes: everything drawn, or what is bright enough, or what is named
        {"task: segment\n", "0110111100000001"},
        {"task: segment\nmask_threshold: 2\n", "0010001100000001"},
        {"task: segment\nclasses: {background: [0, 1], core: 2}\n", "0010001100000001"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = make_folder(cases[i].recipe, rows);
        check_ok(data_set_open(&s, dir, NULL, &err), err);
        check_codes(data_set_case(s, 0).mask, cases[i].expected);
        data_set_destroy(&s);
        check_rmdir(&dir);
    }
}

/* The middle of each input pixel is looked up, as the image's own grid went. */
static void masks_follow_the_images_grid(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    static const char rows[] = "case,patient,file,mask,split\nx,p1,a.png,codes.png,train\n";
    static const struct {
        const char *steps, *expected;
    } cases[] = {
        {"resize: 2", "1202"},
        {"resize: [4, 2]", "10120002"},
        {"resize: [2, 8]", "1111222200000022"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *recipe = fl_xasprintf("task: segment\nclasses: {background: 0, core: 1, oedema: 2}\n"
                                    "preprocess: [%s]\n",
                                    cases[i].steps);
        char *dir = make_folder(recipe, rows);
        check_ok(data_set_open(&s, dir, NULL, &err), err);
        check_int(data_set_n_pixels(s), (long)strlen(cases[i].expected));
        check_codes(data_set_case(s, 0).mask, cases[i].expected);
        data_set_destroy(&s);
        check_rmdir(&dir);
        free(recipe);
    }
}

static void annotators_vote_where_there_is_no_reference(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_folder(two_classes, "case,patient,file,mask:anna,mask:bela,mask:cleo,split\n"
                                         "x,p1,a.png,left.png,right.png,left.png,train\n"
                                         "y,p2,b.png,left.png,nothing.png,,train\n"
                                         "z,p3,b.png,,,,train\n"
                                         "w,p4,b.png,,nothing.png,left.png,train\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n_annotators(s), 3);
    check_str(data_set_annotator(s, 1), "bela");
    check_codes(data_set_case(s, 0).mask, "1100110000000000");
    check_codes(data_set_case(s, 1).mask, "1100110000000000");  // one to one: anna comes first
    check(data_set_case(s, 2).mask == NULL);
    check_codes(data_set_case(s, 3).mask, "0000000000000000");  // bela before cleo
    check_codes(data_set_mask_by(s, 0, 1), "0000000000000011");
    check(data_set_mask_by(s, 1, 2) == NULL);
    uint8_t vote[16] = {0};
    check_int(data_set_vote(vote, s, 0), 3);
    check_codes(vote, "1100110000000000");
    check_int(data_set_vote(vote, s, 2), 0);
    check_int(data_set_vote(vote, s, 3), 2);
    check_codes(vote, "0000000000000000");
    data_set_destroy(&s);

    fixture_text(dir, "manifest.csv", "case,patient,file,mask:anna,mask,split\n"
                                      "x,p1,a.png,left.png,right.png,train\n"
                                      "y,p2,a.png,left.png,,train\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_codes(data_set_case(s, 0).mask, "0000000000000011");  // the reference has the word
    check(data_set_case(s, 1).mask == NULL);
    check_codes(data_set_mask_by(s, 1, 0), "1100110000000000");
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void masks_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const char three[] = "task: segment\nclasses: {background: 0, core: 1, oedema: 3}\n";
    static const struct {
        const char *recipe, *mask, *sentence;
    } cases[] = {
        {two_classes, "small.png",
         "manifest.csv:2: mask: expected the image's 1 frames of 4 x 4 pixels, found 1 of 2 x 2"},
        {three, "codes.png", "manifest.csv:2: mask: expected the values 0, 1 or 3, found 2"},
        {three, "left.png", "manifest.csv:2: mask: expected the values 0, 1 or 3, found 255"},
        {two_classes, "missing.png",
         "manifest.csv:2: the mask named in this line does not exist"},
        {two_classes, "left.png|", "manifest.csv:2: mask: expected a file's name, found nothing"},
        {two_classes, "dataset.yaml", "manifest.csv:2: expected an image"},
        {"task: segment\nclasses: {lesion: 1}\n", "left.png",
         "classes: task segment needs two or more, the background first; found 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        data_set *s = NULL;
        char *rows = fl_xasprintf("case,patient,file,mask,split\nx,p1,a.png,%s,train\n",
                                  cases[i].mask);
        char *dir = make_folder(cases[i].recipe, rows);
        check(data_set_open(&s, dir, NULL, &err) != FL_OK);
        check_has(err.text, cases[i].sentence);
        check_rmdir(&dir);
        free(rows);
    }
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_folder(two_classes, "case,patient,file,label,split\nx,p1,a.png,1,train\n");
    check_fails(data_set_open(&s, dir, NULL, &err), FL_ECONFIG);
    check_has(err.text, "manifest.csv:1: there is no column mask or mask:ANNOTATOR");
    check_rmdir(&dir);
}

/* on_error: skip counts a bad mask as it counts a bad image. */
static void a_bad_mask_can_be_left_out_and_counted(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_folder("task: segment\non_error: skip\nsplit: {column: split}\n",
                            "case,patient,file,mask,split\n"
                            "x,p1,a.png,small.png,train\n"
                            "y,p2,b.png,left.png,train\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 1);
    check_codes(data_set_case(s, 0).mask, "1100110000000000");
    data_set_destroy(&s);
    check_rmdir(&dir);
}

/* Volumes: a mask drawn on the same numbers of voxels but elsewhere. */
static void a_mask_elsewhere_in_the_patient_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_coding coding;
    data_spec spec;
    const data_recipe r = {.mask_threshold = 1, .name = "d.yaml", .origin = DATA_FROM_MANIFEST};
    const data_spec expect = {
        .task = DATA_SEGMENT, .n_classes = 2, .classes = {"background", "x"}, .positive = -1};
    check_ok(data_coding_init(&coding, &spec, &r, &expect, NULL, 0, &err), err);

    float x[8] = {0, 0, 0, 5, 0, 0, 0, 0};
    data_image mask = {.frames = 2, .rows = 2, .cols = 2, .channels = 1, .bits = 16, .data = x,
                       .spacing_mm = {3, 2, 1}, .orientation = "RAS",
                       .affine = {1, 0, 0, -7, 0, 2, 0, 4, 0, 0, 3, 0}};
    data_grid grid = data_grid_of(&mask);
    static const double view[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
    const nn_shape shape = {4, {1, 2, 2, 2}};
    uint8_t code[8] = {0};
    check_ok(data_mask_add(code, &mask, &grid, view, &shape, &coding, "v", &err), err);
    check_codes(code, "00010000");
    mask.affine[3] += 0.3;  // within half a voxel
    check_ok(data_mask_add(code, &mask, &grid, view, &shape, &coding, "v", &err), err);
    mask.affine[3] += 1;
    check_fails(data_mask_add(code, &mask, &grid, view, &shape, &coding, "v", &err), FL_ECONFIG);
    check_has(err.text, "v: mask: lies elsewhere in the patient than the image");

    double spacing[3];
    static const double halved[12] = {1, 0, 0, 0, 0, 2, 0, 0.5, 0, 0, 2, 0.5};
    data_grid_spacing(spacing, &grid, halved);
    check_near(spacing[0], 3, 0);
    check_near(spacing[1], 4, 0);
    check_near(spacing[2], 2, 0);
    data_coding_clear(&coding);
}

/* 1-bit, RGB and RGBA files with one or two masks an image (Al-Dhabyani et al. 2020). */
static void real_ultrasound_masks_open(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    const char *data = fixture_real_data();
    char *busi = data != NULL ? fl_path_join(data, "busi-subset/data") : NULL;
    if (busi == NULL || !fl_is_dir(busi)) {
        free(busi);
        check_skip("there is no busi-subset in $CONSILIUM_DATA");
    }
    char *dir = check_tmpdir();
    fl_buf b = FL_BUF_INIT;
    fl_buf_puts(&b, "case,patient,file,mask\n");
    static const char *const kinds[] = {"benign", "malignant", "normal"};
    for (int k = 0; k < 3; k++) {
        for (int i = 1; i <= 3; i++) {
            fl_buf_printf(&b, "%s%d,%s%d,", kinds[k], i, kinds[k], i);
            fl_buf_printf(&b, "%s/%s/images/%s (%d).png,", busi, kinds[k], kinds[k], i);
            fl_buf_printf(&b, "%s/%s/mask/%s (%d)_mask.png\n", busi, kinds[k], kinds[k], i);
        }
    }
    fixture_text(dir, "manifest.csv", b.data);
    fl_buf_clear(&b);
    fixture_text(dir, "dataset.yaml", "task: segment\npreprocess: [channels: 1, resize: 128]\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 9);
    for (size_t i = 0; i < 9; i++) {
        int64_t drawn = 0;
        const uint8_t *mask = data_set_case(s, i).mask;
        for (size_t k = 0; k < 128 * 128; k++) {
            drawn += mask[k];
        }
        if (i < 6) {
            assert_in_range(drawn, 50, 128 * 128 / 2);
        } else {
            check_int(drawn, 0);  // normal: nothing is drawn, which is a label
        }
    }
    data_set_destroy(&s);
    check_rmdir(&dir);
    free(busi);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_case_has_a_mask_or_none_and_an_empty_one_is_a_label),
        cmocka_unit_test(another_mask_is_another_data_set),
        cmocka_unit_test(values_become_the_jobs_classes),
        cmocka_unit_test(masks_follow_the_images_grid),
        cmocka_unit_test(annotators_vote_where_there_is_no_reference),
        cmocka_unit_test(masks_that_do_not_fit_are_refused),
        cmocka_unit_test(a_bad_mask_can_be_left_out_and_counted),
        cmocka_unit_test(a_mask_elsewhere_in_the_patient_is_refused),
        cmocka_unit_test(real_ultrasound_masks_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
