/*
 * test_choose.c - what another reader made of the cases of a data set
 */
#include <math.h>

#include "data/dataset.h"
#include "fixture.h"

/* dir/from: ten cases of 8 x 8; dir/share.yaml: those of cases.csv. */
static char *make_share(const char *dir, const char *yaml)
{
    fl_err err = FL_ERR_INIT;
    char *from = fl_path_join(dir, "from");
    check_ok(fl_mkdirs(from, 0755, &err), err);
    fixture_images(from, 10, yaml);
    free(from);
    fixture_text(dir, "share.yaml", "union: [from]\ncases: cases.csv\n");
    return fl_path_join(dir, "share.yaml");
}

static void check_refused(const char *dir, const char *share, const char *list, const char *says)
{
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    fixture_text(dir, "cases.csv", list);
    check_fails(data_set_open(&s, share, NULL, &err), FL_ECONFIG);
    check_has(err.text, says);
}

static void a_reader_may_give_cases_other_classes(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = check_tmpdir();
    char *share = make_share(dir, "task: classify\nclasses: {no: 0, yes: 1}\n");
    fixture_text(dir, "cases.csv",
                 "case,split,label\nc1,train,no\nc2,train,yes\nc4,val,\nc6,test,-1\n");
    check_ok(data_set_open(&s, share, NULL, &err), err);
    check_int(data_set_n(s), 4);
    check_int(data_set_case(s, 0).code, 0);
    check_int(data_set_case(s, 1).code, 1);
    check_int(data_set_case(s, 2).code, -1);
    check_int(data_set_case(s, 3).code, -1);
    data_set_destroy(&s);
    check_refused(dir, share, "case,label\nc1,yes\nc2,maybe\n",
                  ":3: label: there is no class maybe");
    check_refused(dir, share, "case,label:yes\nc1,1\n", "label: is for task multilabel");
    check_refused(dir, share, "case,mask\nc1,m.png\n", "mask is for task segment");
    free(share);
    check_rmdir(&dir);
}

static void findings_may_be_said_again(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = check_tmpdir();
    char *from = fl_path_join(dir, "from");
    char *share = make_share(dir, "task: multilabel\nclasses: {A: A, B: B}\n");
    fixture_text(from, "manifest.csv",
                 "case,patient,file,label:A,label:B\n"
                 "c1,p1,i1.png,1,0\nc2,p2,i2.png,0,1\nc3,p3,i3.png,1,1\n");
    fixture_text(dir, "cases.csv", "case,split,label:A,label:B\nc1,train,0,0\nc2,test,,-1\n");
    check_ok(data_set_open(&s, share, NULL, &err), err);
    check_near(data_set_case(s, 0).target[0], 0, 0);
    check_near(data_set_case(s, 0).target[1], 0, 0);
    check(isnan(data_set_case(s, 1).target[0]) && isnan(data_set_case(s, 1).target[1]));
    data_set_destroy(&s);
    check_refused(dir, share, "case,label:A\nc1,2\n", ":2: label:A: expected 0 or 1, found 2");
    check_refused(dir, share, "case,label:C\nc1,1\n", "names no class");
    free(from);
    free(share);
    check_rmdir(&dir);
}

static void masks_may_be_drawn_again(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    float codes[64];
    char *dir = check_tmpdir();
    char *from = fl_path_join(dir, "from");
    char *share = make_share(dir, "task: segment\nclasses: {no: 0, yes: 255}\n");
    fixture_text(from, "manifest.csv",
                 "case,patient,file,mask\nc1,p1,i1.png,i2.png\nc2,p2,i2.png,i3.png\n");
    for (int r = 0; r < 3; r++) {  // reader r: the first 8 (r + 1) pixels
        char name[8];
        for (int i = 0; i < 64; i++) {
            codes[i] = i < 8 * (r + 1) ? 1 / 255.0f : 0;
        }
        snprintf(name, sizeof name, "r%d.png", r);
        char *path = fl_path_join(dir, name);
        check_ok(data_png_write(path, codes, 8, 8, 1, 8, &err), err);
        free(path);
    }
    fixture_text(dir, "cases.csv",
                 "case,split,mask:x,mask:y,mask:z\nc1,train,r0.png,r1.png,r2.png\nc2,test,,,\n");
    check_ok(data_set_open(&s, share, NULL, &err), err);
    check_int(data_set_n_annotators(s), 3);
    check_str(data_set_annotator(s, 1), "y");
    for (int i = 0; i < 64; i++) {
        check_int(data_set_mask_by(s, 0, 2)[i], i < 24);
        check_int(data_set_case(s, 0).mask[i], i < 16);  // two of three
    }
    check(data_set_case(s, 1).mask == NULL && data_set_mask_by(s, 1, 0) == NULL);
    data_set_destroy(&s);

    fixture_text(dir, "cases.csv", "case,split,mask\nc1,train,r1.png\nc2,test,r2.png\n");
    check_ok(data_set_open(&s, share, NULL, &err), err);
    check_int(data_set_n_annotators(s), 0);
    check_int(data_set_case(s, 0).mask[15], 1);
    check_int(data_set_case(s, 0).mask[16], 0);
    data_set_destroy(&s);

    // A scanner that moves the image moves what was drawn, in a union and in a manifest.
    fixture_text(from, "moved.yaml",
                 "task: segment\nclasses: {no: 0, yes: 255}\nshift: [field_of_view: 5]\n"
                 "cases: ../cases.csv\n");
    fixture_text(dir, "moved.yaml", "union: [from]\ncases: cases.csv\nshift: [field_of_view: 5]\n");
    const char *const moved[] = {from, dir};
    for (int k = 0; k < 2; k++) {
        char *file = fl_path_join(moved[k], "moved.yaml");
        check_ok(data_set_open(&s, file, NULL, &err), err);
        const uint8_t *mask = data_set_case(s, 0).mask;  // row 1 is in row 2 now
        uint8_t again[64];
        data_shift chain = {.ops = {data_shift_find("field_of_view")}, .severity = {5}, .n = 1};
        data_case c1;
        check_ok(data_set_case_shifted(&c1, s, &chain, 1, 0, again, &err), err);
        check(c1.mask == again && mask[8 + 3] == 1 && again[8 + 3] == 0 && again[2 * 8 + 3] == 1);
        for (int c = 0; c < 8; c++) {
            check_int(mask[c], 0);
            check(c == 1 || c == 6 || mask[2 * 8 + c] == (c > 1 && c < 6));  // edges of the field
            check_int(mask[3 * 8 + c], 0);
        }
        data_set_destroy(&s);
        free(file);
    }

    fixture_png(dir, "large.png", 9, 0);
    fixture_png(dir, "gray.png", 8, 0);
    check_refused(dir, share, "case,mask\nc1,large.png\n",
                  ":2: mask: expected 1 x 8 x 8 pixels as the input has, found 1 x 9 x 9");
    check_refused(dir, share, "case,mask\nc1,gray.png\n", "expected class codes below 2, found 3");
    fixture_text(dir, "cases.csv", "case,mask\nc1,none.png\n");
    check_fails(data_set_open(&s, share, NULL, &err), FL_ENOTFOUND);
    check_has(err.text, "cases.csv:2");
    free(from);
    free(share);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_may_give_cases_other_classes),
        cmocka_unit_test(findings_may_be_said_again),
        cmocka_unit_test(masks_may_be_drawn_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
