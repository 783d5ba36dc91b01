/*
 * test_manifest.c - manifest.csv: files, labels, attributes, damage
 */
#include "data/dataset.h"
#include "fixture.h"

static const char yaml[] = "task: classify\n"
                           "classes: {normal: 0, opacity: 1}\n"
                           "split: {column: split}\n";

/* Two good images, and what the manifest says of them. */
static char *make_folder(const char *recipe, const char *manifest)
{
    char *dir = check_tmpdir();
    fixture_png(dir, "a.png", 8, 1);
    fixture_png(dir, "b.png", 8, 2);
    fixture_png(dir, "small.png", 4, 3);
    fixture_text(dir, "broken.png", "\x89PNG\r\n\x1a\n and then nothing");
    fixture_text(dir, "dataset.yaml", recipe);
    fixture_text(dir, "manifest.csv", manifest);
    return dir;
}

static void rows_become_cases(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_folder(yaml, "case,patient,file,label,split\n"
                                  "x,p1,a.png,1,train\n"
                                  "y,p2,b.png,0,test\n"
                                  "z,p1,b.png,,train\n"
                                  "w,p2,a.png,-1,test\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 4);
    check_int(data_set_case(s, 0).code, 1);
    check_int(data_set_case(s, 1).code, 0);
    check_int(data_set_case(s, 2).code, -1);  // unlabelled
    check_int(data_set_case(s, 3).code, -1);
    check_int(data_set_case(s, 3).patient_no, 1);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void several_files_become_channels(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_folder(yaml, "case,patient,file:t1,file:flair,label,split\n"
                                  "x,p1,a.png,small.png,1,train\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_spec(s)->input.dim[0], 2);
    check_int(data_set_spec(s)->input.dim[1], 8);
    float x[128];
    const size_t first = 0;
    data_set_batch(s, &first, 1, x);
    check_near(x[0], 1 / 255.0f, 0);
    check_near(x[64], 3 / 255.0, 1e-2);  // the small one's corner, on 8 x 8
    data_set_destroy(&s);
    check_rmdir(&dir);
}

/* Stands for (C, D, H, W); without a window the rescaled values become 0 to 1. */
static void volumes_are_inputs_of_four_dimensions(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    data_image image;
    size_t n;
    char *dir = make_folder(yaml, "case,patient,file,label,split\n"
                                  "x,p1,v.nii.gz,1,train\n"
                                  "y,p2,v.hdr,1,train\n");
    static const char *const files[][2] = {{"scaled.nii.gz", "v.nii.gz"},
                                           {"time.nii", "t.nii"},
                                           {"pair.hdr", "v.hdr"},
                                           {"pair.img", "v.img"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *from = fl_path_join("tests/fuzz/corpus/nifti", files[i][0]);
        char *to = fl_path_join(dir, files[i][1]);
        uint8_t *bytes = fixture_bytes(from, &n);
        check_ok(fl_file_write(to, bytes, n, 0644, &err), err);
        free(bytes);
        free(to);
        free(from);
    }
    check_fails(data_set_open(&s, dir, NULL, &err), FL_ECONFIG);  // one point of time, and three
    check_has(err.text, "manifest.csv:3: input: expected");
    fixture_text(dir, "manifest.csv", "case,patient,file,label,split\nx,p1,v.nii.gz,1,train\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_spec(s)->input.rank, 4);
    check_int(data_set_spec(s)->input.dim[1], 2);  // D
    check_int(data_set_spec(s)->input.dim[3], 4);  // W
    float x[24];
    const size_t first = 0;
    data_set_batch(s, &first, 1, x);
    check_ok(data_image_read(&image, "tests/fuzz/corpus/nifti/scaled.nii.gz", &err), err);
    double range = image.stored_max - image.stored_min;
    for (int i = 0; i < 24; i++) {
        double stored = ((double)image.data[i] + 1024) / 0.1;
        check_near(x[i], (stored - image.stored_min) / range, 1e-6);
    }
    data_image_clear(&image);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void several_labels_become_targets(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    static const char rows[] = "case,patient,file,label:edema,label:mass,split\n"
                               "x,p1,a.png,1,0,train\n"
                               "y,p2,b.png,-1,,train\n";
    static const struct {
        const char *rule;
        double uncertain;
    } cases[] = {{"ignore", NAN}, {"positive", 1}, {"negative", 0}};
    for (int k = 0; k < 3; k++) {
        data_set *s = NULL;
        char *recipe = fl_xasprintf("task: multilabel\nuncertain: %s\n", cases[k].rule);
        char *dir = make_folder(recipe, rows);
        check_ok(data_set_open(&s, dir, NULL, &err), err);
        check_int(data_set_spec(s)->n_classes, 2);
        check_str(data_set_spec(s)->classes[1], "mass");
        check_near(data_set_case(s, 0).target[0], 1, 0);
        check_near(data_set_case(s, 0).target[1], 0, 0);
        check_near(data_set_case(s, 1).target[0], cases[k].uncertain, 0);
        check_near(data_set_case(s, 1).target[1], NAN, 0);
        data_set_destroy(&s);
        free(recipe);
        check_rmdir(&dir);
    }
}

static void attributes_take_the_jobs_codes(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *recipe = fl_xasprintf("%sattributes: {age: years, sex: {column: Geschlecht, "
                                "values: {F: [w, 2], M: m}}}\n",
                                yaml);
    char *dir = make_folder(recipe, "case,patient,file,label,split,Geschlecht,years\n"
                                    "x,p1,a.png,1,train,w,61\n"
                                    "y,p2,b.png,0,test,m,\n"
                                    "z,p3,b.png,0,test,2.0,7.5\n");
    data_spec expect = {.task = DATA_CLASSIFY, .n_classes = 2, .positive = 1, .n_attributes = 2};
    strcpy(expect.classes[0], "normal");
    strcpy(expect.classes[1], "opacity");
    expect.attributes[0] = (data_attribute){"sex", DATA_ATTR_CODES, "", {"F", "M"}, 2};
    expect.attributes[1] = (data_attribute){"age", DATA_ATTR_NUMBER, "years", {""}, 0};
    check_ok(data_set_open(&s, dir, &expect, &err), err);
    check_str(data_set_case(s, 0).attributes[0], "F");
    check_str(data_set_case(s, 1).attributes[0], "M");
    check_str(data_set_case(s, 2).attributes[0], "F");
    check_str(data_set_case(s, 0).attributes[1], "61");
    check_str(data_set_case(s, 1).attributes[1], "");
    data_set_destroy(&s);

    strcpy(expect.attributes[0].codes[1], "X");
    check_fails(data_set_open(&s, dir, &expect, &err), FL_ECONFIG);
    check_has(err.text, "manifest.csv:3: sex: expected one of F, X, found M");
    strcpy(expect.attributes[0].name, "scanner");
    check_fails(data_set_open(&s, dir, &expect, &err), FL_ECONFIG);
    check_has(err.text, "attributes: the job asks for scanner");
    free(recipe);
    check_rmdir(&dir);
}

static void a_bad_file_stops_or_is_counted(void **state)
{
    (void)state;
    static const char rows[] = "case,patient,file,label,split\n"
                               "v,p1,a.png,1,train\n"
                               "w,p1,missing.png,1,train\n"
                               "x,p2,broken.png,0,test\n"
                               "y,p2,small.png,0,test\n"
                               "z,p2,b.png,0,test\n";
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_folder(yaml, rows);
    check_fails(data_set_open(&s, dir, NULL, &err), FL_ENOTFOUND);
    check_has(err.text, "manifest.csv:3: the file named in this line does not "
                        "exist");
    check(strstr(err.text, "missing.png") == NULL);  // names may be patients'

    char *skip = fl_xasprintf("%son_error: skip\n", yaml);
    fixture_text(dir, "dataset.yaml", skip);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 2);
    check_str(data_set_case(s, 1).case_id, "z");
    json_t *flow = data_set_flow(s);
    const json_t *refused = json_object_get(flow, "refused");
    check_int(fl_json_get_int(flow, "files", -1), 5);
    check_int(fl_json_get_int(refused, "missing file", -1), 1);
    check_int(fl_json_get_int(refused, "damaged file", -1), 1);
    check_int(fl_json_get_int(refused, "another shape", -1), 1);
    json_decref(flow);
    data_set_destroy(&s);

    // Where all are gone it is not the files that are bad.
    fixture_text(dir, "manifest.csv",
                 "case,patient,file,label,split\n"
                 "w,p1,missing.png,1,train\n"
                 "x,p2,gone.png,0,test\n");
    check_fails(data_set_open(&s, dir, NULL, &err), FL_ENOTFOUND);
    check_has(err.text, "manifest.csv:2: the file named in this line does not exist");
    free(skip);
    check_rmdir(&dir);
}

static void another_shape_than_the_jobs_is_a_sentence(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_folder(yaml, "case,patient,file,label,split\n"
                                  "x,p1,a.png,1,train\n");
    data_spec expect = {
        .task = DATA_CLASSIFY, .n_classes = 2, .positive = 1, .input = {3, {3, 16, 16}}};
    strcpy(expect.classes[0], "normal");
    strcpy(expect.classes[1], "opacity");
    check_fails(data_set_open(&s, dir, &expect, &err), FL_ECONFIG);
    check_has(err.text, "manifest.csv:2: input: expected 3x16x16, found 1x8x8");

    char *resized = fl_xasprintf("%spreprocess: [channels: 3, resize: input]\n", yaml);
    fixture_text(dir, "dataset.yaml", resized);
    check_ok(data_set_open(&s, dir, &expect, &err), err);
    check_int(data_set_n_features(s), 3 * 16 * 16);
    data_set_destroy(&s);
    free(resized);
    check_rmdir(&dir);
}

static void wrong_manifests_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *rows;
        const char *says;
    } cases[] = {
        {"case,patient,file,label,split\nx,p,a.png,7,train\n",
         "manifest.csv:2: label: expected 0 or 1, found 7"},
        {"case,patient,file,label,split\nx,p,a.png,1,train\ny,p,b.png,1,test\n",
         "manifest.csv:3: a patient in two splits: test here, train in line 2; 1 patient is in "},
        {"case,patient,file,label,split\nx,p,a.png,1,train\ny,p,b.png,1,test\nz,p,a.png,1,val\n"
         "u,q,a.png,1,train\nv,q,b.png,1,val\nw,r,b.png,1,val\n",
         "; 2 patients are in more than one split"},
        {"case,patient,file,label,split\nx,p,a.png,1,train\nx,q,b.png,1,train\n",
         "manifest.csv:3: this case has the name of the one in line 2"},
        {"case,patient,file,label,split\nx,p,a.png,1,dev\n",
         "manifest.csv:2: split: expected train, val or test, found dev"},
        {"case,patient,file,label\nx,p,a.png,1\n", "manifest.csv:1: there is no column split"},
        {"case,file,label,split\nx,a.png,1,train\n", "no column patient"},
        {"case,patient,label,split\nx,p,1,train\n", "no column file"},
        {"case,patient,file,split\nx,p,a.png,train\n", "no column label"},
        {"case,patient,file,label,split\nx,,a.png,1,train\n",
         "manifest.csv:2: patient: expected a name"},
        {"case,patient,file,label,split\nx,p,broken.png,1,train\n", "manifest.csv:2: PNG: "},
        {"case,patient,file,label,split\nx,p,,1,train\n",
         "manifest.csv:2: file: expected a file's name"},
        {"case,patient,file,label,split\n", "no case left"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        data_set *s = NULL;
        char *dir = make_folder(yaml, cases[i].rows);
        check(data_set_open(&s, dir, NULL, &err) != FL_OK);
        check_has(err.text, cases[i].says);
        check(s == NULL);
        check_rmdir(&dir);
    }
}

static void deep_images_keep_their_depth(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *dir = make_folder(yaml, "case,patient,file,label,split\n"
                                  "x,p1,deep.png,1,train\n");
    char *path = fl_path_join(dir, "deep.png");
    const float deep[] = {0, 1.0f / 65535, 0.5f, 1};
    check_ok(data_png_write(path, deep, 2, 2, 1, 16, &err), err);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    float x[4];
    const size_t first = 0;
    data_set_batch(s, &first, 1, x);
    check_near(x[1], 1.0 / 65535, 1e-12);
    check_near(x[3], 1, 0);
    data_set_destroy(&s);
    free(path);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_become_cases),
        cmocka_unit_test(several_files_become_channels),
        cmocka_unit_test(volumes_are_inputs_of_four_dimensions),
        cmocka_unit_test(several_labels_become_targets),
        cmocka_unit_test(attributes_take_the_jobs_codes),
        cmocka_unit_test(a_bad_file_stops_or_is_counted),
        cmocka_unit_test(another_shape_than_the_jobs_is_a_sentence),
        cmocka_unit_test(wrong_manifests_are_refused_with_their_line),
        cmocka_unit_test(deep_images_keep_their_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
