/*
 * test_labels.c - findings with wholes and doubts; CheXpert's, NIH's and BUSI's layouts
 */
#include "data/dataset.h"
#include "fixture.h"

/* Opens a data set of PNGs a.png .. d.png with this manifest. */
static data_set *open_set(char **dir, const char *yaml, const char *manifest, fl_status *st,
                          fl_err *err)
{
    data_set *s = NULL;
    *dir = check_tmpdir();
    fixture_png(*dir, "a.png", 8, 1);
    fixture_png(*dir, "b.png", 8, 2);
    fixture_png(*dir, "c.png", 8, 3);
    fixture_png(*dir, "d.png", 8, 4);
    fixture_text(*dir, "dataset.yaml", yaml);
    fixture_text(*dir, "manifest.csv", manifest);
    *st = data_set_open(&s, *dir, NULL, err);
    return s;
}

static void check_target(const data_set *s, size_t i, const char *class, double expected)
{
    const data_spec *spec = data_set_spec(s);
    for (size_t k = 0; k < spec->n_classes; k++) {
        if (strcmp(spec->classes[k], class) == 0) {
            float v = data_set_case(s, i).target[k];
            if (isnan(expected)) {
                check(isnan(v));
            } else {
                check_near(v, expected, 0);
            }
            return;
        }
    }
    check(!"such a class");
}

static size_t count_problem(const data_set *s, const char *what)
{
    size_t n = 0;
    json_t *list = data_set_problems(s);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        if (strstr(fl_json_get_string(p, "what", ""), what) != NULL) {
            n += (size_t)fl_json_get_int(p, "n", 0);
        }
    }
    json_decref(list);
    return n;
}

static const char parents[] = "task: multilabel\n"
                              "parents: {Pneumonia: Consolidation, Consolidation: Opacity}\n";

static void a_part_makes_its_whole_present_and_an_absent_whole_its_parts_absent(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st;
    char *dir;
    data_set *s = open_set(&dir, parents,
                           "case,patient,file,label:Pneumonia,label:Consolidation,label:Opacity\n"
                           "1,p,a.png,1,,\n"
                           "2,q,b.png,,,0\n"
                           "3,r,c.png,,0,1\n"
                           "4,t,d.png,1,0,\n",
                           &st, &err);
    check_ok(st, err);
    check_target(s, 0, "Consolidation", 1);
    check_target(s, 0, "Opacity", 1);  // two steps up
    check_target(s, 1, "Pneumonia", 0);
    check_target(s, 1, "Consolidation", 0);
    check_target(s, 2, "Pneumonia", 0);
    check_target(s, 2, "Opacity", 1);
    check_target(s, 3, "Consolidation", 1);  // said to be absent, and is not
    check_target(s, 3, "Opacity", 1);
    check_int(count_problem(s, "absent although a kind of it is present"), 1);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void doubts_and_silence_count_as_said(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        double doubt, silence;
    } cases[] = {{"task: multilabel\n", NAN, NAN},
                 {"task: multilabel\nuncertain: positive\n", 1, NAN},
                 {"task: multilabel\nuncertain: negative\nunmentioned: negative\n", 0, 0}};
    for (size_t i = 0; i < 3; i++) {
        fl_err err = FL_ERR_INIT;
        fl_status st;
        char *dir;
        data_set *s = open_set(&dir, cases[i].yaml,
                               "case,patient,file,label:A,label:B\n1,p,a.png,-1.0,\n", &st, &err);
        check_ok(st, err);
        check_target(s, 0, "A", cases[i].doubt);
        check_target(s, 0, "B", cases[i].silence);
        data_set_destroy(&s);
        check_rmdir(&dir);
    }
}

static void a_column_may_hold_lists(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_status st;
    char *dir;
    static const char manifest[] = "case,patient,file,label\n"
                                   "1,p,a.png,Mass | Effusion\n"
                                   "2,q,b.png,No Finding\n"
                                   "3,r,c.png,\n"
                                   "4,t,d.png,Mass\n";
    data_set *s = open_set(&dir, "task: multilabel\n", manifest, &st, &err);
    check_ok(st, err);
    check_int(data_set_spec(s)->n_classes, 2);
    check_str(data_set_spec(s)->classes[0], "Effusion");
    check_target(s, 0, "Mass", 1);
    check_target(s, 0, "Effusion", 1);
    check_target(s, 1, "Mass", 0);
    check_target(s, 2, "Mass", NAN);
    check_target(s, 3, "Effusion", 0);

    /* a job's class that nobody here has is absent, a word that nobody knows is refused */
    data_spec job = *data_set_spec(s);
    data_set_destroy(&s);
    strcpy(job.classes[0], "Hernia");
    check_fails(data_set_open(&s, dir, &job, &err), FL_ECONFIG);
    check_has(err.text, "manifest.csv:2: label: Effusion is no finding");
    job.n_classes = 3;
    strcpy(job.classes[2], "Effusion");
    check_ok(data_set_open(&s, dir, &job, &err), err);
    check_target(s, 0, "Hernia", 0);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void what_makes_no_sense_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *manifest, *says;
    } cases[] = {
        {"task: multilabel\nparents: {A: B, B: A}\n",
         "case,patient,file,label:A,label:B\n1,p,a.png,1,1\n", "would be a part of itself"},
        {"task: multilabel\n", "case,patient,file\n1,p,a.png\n",
         "no column label:NAME, and no column label with lists"},
        {"task: multilabel\n", "case,patient,file,label:A\n1,p,a.png,2\n",
         "manifest.csv:2: label:A: expected 0, 1, -1 or nothing, found 2"},
        {"recipe: {name: padchest, from: x.csv}\n", "x\n", "chexpert"},
        {"recipe: {name: chexpert}\n", "x\n", "from"},
        {"recipe: {name: busi, from: .}\n", "x\n", "expected the folders benign"},
        {"recipe: {name: chexpert, from: manifest.csv}\ntask: multilabel\n", "a,b\n1,2\n",
         "manifest.csv:1: recipe: chexpert: there is no column Path"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_err err = FL_ERR_INIT;
        fl_status st;
        char *dir;
        open_set(&dir, cases[i].yaml, cases[i].manifest, &st, &err);
        check(st != FL_OK);
        check_has(err.text, cases[i].says);
        check_rmdir(&dir);
    }
}

/* --- public collections: made-up rows in their layout --- */

static void make_dir(const char *dir, const char *name)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    check_ok(fl_mkdirs(path, 0755, &err), err);
    free(path);
}

static void chexperts_table_is_read_as_it_is(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s;
    char *dir = check_tmpdir();
    make_dir(dir, "CheXpert-v1.0-small/train/patient00001/study1");
    make_dir(dir, "CheXpert-v1.0-small/train/patient00002/study2");
    fixture_png(dir, "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg", 8, 1);
    fixture_png(dir, "CheXpert-v1.0-small/train/patient00001/study1/view2_lateral.jpg", 8, 2);
    fixture_png(dir, "CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg", 8, 3);
    fixture_text(
        dir, "train.csv",
        "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,"
        "Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,"
        "Pleural Effusion,Pleural Other,Fracture,Support Devices\n"
        "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,"
        ",,,,,,,1.0,-1.0,0.0,,,,1.0\n"
        "CheXpert-v1.0-small/train/patient00001/study1/view2_lateral.jpg,Female,68,Lateral,,"
        ",,,,,,,,,,,,,\n"
        "CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg,Male,50,Frontal,PA,"
        "1.0,0.0,,,,,,,,,,,,\n");
    fixture_text(dir, "dataset.yaml",
                 "task: multilabel\nrecipe: {name: chexpert, from: train.csv, view: Frontal}\n"
                 "uncertain: positive\nattributes: {sex: Sex, age: Age}\n"
                 "split: {val: 0, test: 0.5}\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 2);
    check_int(data_set_spec(s)->n_classes, 14);
    check_target(s, 0, "Pneumonia", 1);
    check_target(s, 0, "Consolidation", 1);  // of which pneumonia is a kind
    check_target(s, 0, "Lung Opacity", 1);
    check_target(s, 0, "Atelectasis", 1);  // in doubt
    check_target(s, 0, "Pneumothorax", 0);
    check_target(s, 0, "Edema", NAN);
    check_target(s, 1, "Cardiomegaly", 0);  // the mediastinum is not enlarged
    check_str(data_set_case(s, 0).attributes[0], "Female");
    check_str(data_set_case(s, 1).attributes[1], "50");
    check(data_set_case(s, 0).patient_no != data_set_case(s, 1).patient_no);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void nihs_table_and_archives_are_read_as_they_are(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s;
    char *dir = check_tmpdir();
    make_dir(dir, "images_001/images");
    make_dir(dir, "images_002/images");
    fixture_png(dir, "images_001/images/00000001_000.png", 8, 1);
    fixture_png(dir, "images_001/images/00000001_001.png", 8, 2);
    fixture_png(dir, "images_002/images/00000002_000.png", 8, 3);
    static const char table[] =
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View "
        "Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
        "00000001_000.png,Cardiomegaly|Emphysema,0,1,58,M,PA,2682,2749,0.143,0.143,\n"
        "00000001_001.png,No Finding,1,1,58,M,PA,2894,2729,0.143,0.143,\n"
        "00000002_000.png,%s,0,2,81,F,PA,2500,2048,0.168,0.168,\n";
    char *text = fl_xasprintf(table, "Pleural_Thickening");
    fixture_text(dir, "Data_Entry_2017.csv", text);
    free(text);
    fixture_text(dir, "test_list.txt", "00000002_000.png\n");
    fixture_text(
        dir, "dataset.yaml",
        "task: multilabel\nrecipe: {name: chestxray14, from: Data_Entry_2017.csv, "
        "test_list: test_list.txt}\nattributes: {sex: Patient Gender, age: Patient Age}\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 3);
    check_int(data_set_spec(s)->n_classes, 14);
    check_target(s, 0, "Cardiomegaly", 1);
    check_target(s, 0, "Emphysema", 1);
    check_target(s, 0, "Hernia", 0);
    check_target(s, 1, "Cardiomegaly", 0);
    check_target(s, 2, "Pleural_Thickening", 1);
    check_int(data_set_case(s, 1).split, DATA_TRAIN);
    check_int(data_set_case(s, 2).split, DATA_TEST);
    check_int(data_set_case(s, 0).patient_no, data_set_case(s, 1).patient_no);
    check_str(data_set_case(s, 2).attributes[0], "F");
    data_set_destroy(&s);

    text = fl_xasprintf(table, "Broken Rib");
    fixture_text(dir, "Data_Entry_2017.csv", text);
    free(text);
    check_fails(data_set_open(&s, dir, NULL, &err), FL_ECONFIG);
    check_has(err.text, "Data_Entry_2017.csv:4: Finding Labels: Broken Rib is none of");
    check_rmdir(&dir);
}

static void busis_folders_are_read_as_they_are(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s;
    char *dir = check_tmpdir();
    make_dir(dir, "benign");
    make_dir(dir, "malignant");
    make_dir(dir, "normal");
    fixture_png(dir, "benign/benign (1).png", 8, 1);
    fixture_png(dir, "benign/benign (1)_mask.png", 8, 120);
    fixture_png(dir, "benign/benign (1)_mask_1.png", 8, 7);
    fixture_png(dir, "benign/benign (10).png", 8, 2);
    fixture_png(dir, "benign/benign (10)_mask.png", 8, 9);
    fixture_png(dir, "malignant/malignant (1).png", 8, 3);
    fixture_png(dir, "malignant/malignant (1)_mask.png", 8, 4);
    fixture_png(dir, "normal/normal (1).png", 8, 5);
    fixture_text(dir, "dataset.yaml", "task: classify\nrecipe: {name: busi, from: .}\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 4);
    check_int(data_set_spec(s)->n_classes, 3);
    check_str(data_set_spec(s)->classes[data_set_case(s, 2).code], "malignant");
    data_set_destroy(&s);

    fixture_text(dir, "dataset.yaml",
                 "task: segment\nrecipe: {name: busi, from: .}\nmask_threshold: 128\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    for (unsigned i = 0; i < 64; i++) {  // of two lesions
        bool drawn = (120 + 3 * i) % 256 >= 128 || (7 + 3 * i) % 256 >= 128;
        check_int(data_set_case(s, 0).mask[i], drawn);
    }
    check(data_set_case(s, 3).mask == NULL);
    data_set_destroy(&s);
    check_rmdir(&dir);
}

static void the_busi_subset_is_read(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s;
    char *folder = fixture_real_data() == NULL
                       ? NULL
                       : fl_path_join(fixture_real_data(), "busi-subset/data");
    if (folder == NULL || !fl_is_dir(folder)) {
        free(folder);
        check_skip("CONSILIUM_DATA/busi-subset is not here");
    }
    char *dir = check_tmpdir();
    char *yaml = fl_xasprintf("task: segment\nrecipe: {name: busi, from: %s}\n"
                              "preprocess: [channels: 1, resize: 32]\nmask_threshold: 1\n",
                              folder);
    fixture_text(dir, "dataset.yaml", yaml);
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), 100);
    json_t *flow = data_set_flow(s);
    check_int(fl_json_get_int(flow, "files", 0), 202);
    json_decref(flow);
    data_set_destroy(&s);
    check_rmdir(&dir);
    free(yaml);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_makes_its_whole_present_and_an_absent_whole_its_parts_absent),
        cmocka_unit_test(doubts_and_silence_count_as_said),
        cmocka_unit_test(a_column_may_hold_lists),
        cmocka_unit_test(what_makes_no_sense_is_told),
        cmocka_unit_test(chexperts_table_is_read_as_it_is),
        cmocka_unit_test(nihs_table_and_archives_are_read_as_they_are),
        cmocka_unit_test(busis_folders_are_read_as_they_are),
        cmocka_unit_test(the_busi_subset_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
