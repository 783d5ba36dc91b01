/*
 * test_resample.c - every step keeps what lies where in the patient
 */
#include "data/dataset.h"
#include "data/image.h"
#include "data/resample.h"
#include "fixture.h"

/* A field that linear interpolation gives back exactly. */
static double field(const double mm[3])
{
    return 100 + 0.7 * mm[0] - 1.3 * mm[1] + 0.4 * mm[2];
}

static void place_of(double mm[3], const data_image *image, double frame, double row, double col)
{
    for (int i = 0; i < 3; i++) {
        const double *m = image->affine + 4 * i;
        mm[i] = m[0] * col + m[1] * row + m[2] * frame + m[3];
    }
}

/* An oblique volume of two channels: the field, and its negative. */
static data_image make_volume(int64_t frames, int64_t rows, int64_t cols, const double affine[12])
{
    data_image image = {.frames = frames, .rows = rows, .cols = cols, .channels = 2};
    size_t n = (size_t)(frames * rows * cols);
    static const double as_it_is[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};

    memcpy(image.affine, affine, sizeof image.affine);
    memcpy(image.view, as_it_is, sizeof image.view);
    for (int axis = 0; axis < 3; axis++) {
        const double *a = affine + 2 - axis;
        image.spacing_mm[axis] = sqrt(a[0] * a[0] + a[4] * a[4] + a[8] * a[8]);
    }
    data_image_set_orientation(&image);
    image.data = fl_xcalloc(2 * n, sizeof *image.data);
    size_t at = 0;
    for (int64_t d = 0; d < frames; d++) {
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t c = 0; c < cols; c++, at++) {
                double mm[3];
                place_of(mm, &image, (double)d, (double)r, (double)c);
                image.data[at] = (float)field(mm);
                image.data[n + at] = -image.data[at];
            }
        }
    }
    return image;
}

static const double oblique[12] = {-1.9, 0.2, 0.1, 40, 0.15, -0.1, 2.9, -30, 0.2, 1.4, 0.1, 5};

/*
 * Every value is the field's at the place that the affine gives, and, by view, that of a
 * pixel of the file; `margin` voxels at the edges are not looked at.
 */
static void check_kept(const data_image *now, const data_image *was, int64_t margin, double slack)
{
    size_t n = (size_t)(now->frames * now->rows * now->cols);
    size_t n_seen = 0;
    for (int64_t d = margin; d < now->frames - margin; d++) {
        for (int64_t r = margin; r < now->rows - margin; r++) {
            for (int64_t c = margin; c < now->cols - margin; c++) {
                double mm[3];
                double there[3];
                double at[3];
                const double here[3] = {(double)d, (double)r, (double)c};
                float v = now->data[(d * now->rows + r) * now->cols + c];
                place_of(mm, now, here[0], here[1], here[2]);
                check_near(v, field(mm), slack);
                check_near(now->data[n + (size_t)((d * now->rows + r) * now->cols + c)], -v, 0);
                for (int i = 0; i < 3; i++) {
                    const double *m = now->view + 4 * i;
                    at[i] = m[0] * here[0] + m[1] * here[1] + m[2] * here[2] + m[3];
                }
                place_of(there, was, at[0], at[1], at[2]);
                for (int i = 0; i < 3; i++) {
                    check_near(there[i], mm[i], 1e-9);
                }
                n_seen++;
            }
        }
    }
    check(n_seen > 0);
}

static void turning_moves_every_voxel_with_its_place(void **state)
{
    (void)state;
    static const char *const all[] = {"RAS", "LPS", "SAR", "PIL", "ASR", "IRP"};
    fl_err err = FL_ERR_INIT;
    const data_image was = make_volume(4, 5, 6, oblique);
    check_str(was.orientation, "LSA");
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        data_image image = make_volume(4, 5, 6, oblique);
        check_ok(data_image_orient(&image, all[k], "x", &err), err);
        check_kept(&image, &was, 0, 1e-4);
        check_str(image.orientation, all[k]);
        data_image_set_orientation(&image);  // of the affine
        check_str(image.orientation, all[k]);
        for (int axis = 0; axis < 3; axis++) {
            const double *a = image.affine + 2 - axis;
            check_near(image.spacing_mm[axis], sqrt(a[0] * a[0] + a[4] * a[4] + a[8] * a[8]),
                       1e-12);
        }
        data_image_clear(&image);
    }
    data_image gone = was;
    data_image_clear(&gone);
}

static void what_has_no_axes_or_would_not_stay_flat_is_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_image image = make_volume(1, 5, 6, oblique);
    check_ok(data_image_orient(&image, "RIP", "x", &err), err);
    check_fails(data_image_orient(&image, "RAS", "x", &err), FL_ECONFIG);
    check_has(err.text, "on its edge");
    image.orientation[0] = '\0';
    check_fails(data_image_orient(&image, "RAS", "x", &err), FL_ECONFIG);
    check_has(err.text, "does not say where its axes point");
    data_image_clear(&image);
}

static void resizing_and_cropping_keep_places(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    const data_image was = make_volume(8, 9, 10, oblique);
    data_image image = make_volume(8, 9, 10, oblique);
    check_ok(data_image_resize(&image, (const int64_t[]){16, 12, 5}, "x", &err), err);
    check_int(image.frames, 16);
    check_near(image.spacing_mm[0], was.spacing_mm[0] / 2, 1e-12);
    check_kept(&image, &was, 1, 1e-3);
    check_ok(data_image_crop(&image, (const int64_t[]){9, 8, 4}, "x", &err), err);
    check_int(image.cols, 4);
    check_kept(&image, &was, 0, 1e-3);
    float least = INFINITY;
    for (int i = 0; i < 2 * 9 * 8 * 4; i++) {
        least = fminf(least, image.data[i]);
    }
    check_ok(data_image_crop(&image, (const int64_t[]){9, 10, 4}, "x", &err), err);
    check_near(image.data[0], least, 0);  // around it
    check_kept(&image, &was, 1, 1e-3);
    data_image_clear(&image);
    data_image gone = was;
    data_image_clear(&gone);
}

/* PET on CT's grid, as it were: the other is coarser, turned and smaller. */
static void another_grid_is_met_at_the_same_places(void **state)
{
    (void)state;
    static const double straight[12] = {0.9, 0, 0, 18, 0, -1.1, 0, 1, 0, 0, 1.5, 8};
    fl_err err = FL_ERR_INIT;
    data_image to = make_volume(5, 12, 14, straight);
    data_image image = make_volume(20, 20, 30, oblique);
    check_ok(data_image_match(&image, &to, "x", &err), err);
    check_int(image.cols, 14);
    size_t n = 5 * 12 * 14;
    size_t n_inside = 0;
    size_t n_exact = 0;
    for (size_t i = 0; i < n; i++) {
        if (image.data[i] != 0.0f) {
            check_near(image.data[i], to.data[i], 2.5);  // half a voxel beyond the last
            check_near(image.data[n + i], -image.data[i], 0);
            n_inside++;
            n_exact += fabsf(image.data[i] - to.data[i]) < 1e-3f;
        }
    }
    check(n_inside > n / 2);  // outside of it there is nothing
    check(n_exact > n_inside * 9 / 10);
    data_image_clear(&image);

    /* a finer one is averaged first; a linear field's averages are its values */
    static const double fine[12] = {0.3, 0, 0, 14, 0, -0.3, 0, 5, 0, 0, 0.3, 5};
    image = make_volume(40, 60, 70, fine);
    check_ok(data_image_match(&image, &to, "x", &err), err);
    n_inside = 0;
    for (size_t i = 0; i < n; i++) {
        if (image.data[i] != 0.0f) {
            check_near(image.data[i], to.data[i], 0.8);  // at the edge half a voxel is missing
            n_inside++;
        }
    }
    check(n_inside > n / 2);
    image.orientation[0] = '\0';
    image.frames = 4;
    check_fails(data_image_match(&image, &to, "x", &err), FL_EUNSUPPORTED);
    check_has(err.text, "cannot be put on one grid");
    data_image_clear(&image);
    data_image_clear(&to);
}

/* Two volumes a case, the second with other voxels, as channels of one spacing. */
static void a_case_of_two_volumes_is_one_input_of_two_channels(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    data_set *s;
    char *dir = check_tmpdir();
    char *ct = fl_path_join(dir, "ct.nii");
    char *pet = fl_path_join(dir, "pet.nii");
    float x[8 * 10 * 12];
    for (int i = 0; i < 8 * 10 * 12; i++) {
        x[i] = (float)(i % 12 * 100 - 400);  // along the columns
    }
    check_ok(data_nifti_write(ct, x, 8, 10, 12, (const double[]){2, 1, 1}, &err), err);
    for (int i = 0; i < 4 * 5 * 6; i++) {
        x[i] = (float)(i % 6 * 10);
    }
    check_ok(data_nifti_write(pet, x, 4, 5, 6, (const double[]){4, 2, 2}, &err), err);
    fixture_text(dir, "manifest.csv",
                 "case,patient,file:ct,file:pet,label\n1,p,ct.nii,pet.nii,0\n");
    fixture_text(
        dir, "dataset.yaml",
        "task: classify\nclasses: {no: 0, yes: 1}\npreprocess: [window: {centre: 0, width: "
        "800, channel: 1}, spacing: 2.0, crop: [7, 4, 4]]\n");
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    const nn_shape *input = &data_set_spec(s)->input;
    check_int(input->rank, 4);
    check_int(input->dim[0], 2);
    check_int(input->dim[1], 7);
    check_int(input->dim[2], 4);
    check_int(input->dim[3], 4);
    check_near(data_set_case(s, 0).spacing_mm[2], 2, 1e-6);
    float y[2 * 7 * 4 * 4];
    const size_t first = 0;
    data_set_batch(s, &first, 1, y);
    for (int i = 0; i < 4; i++) {
        /* columns 2i+2 and 2i+3 of CT, averaged: by the window k / 8, clipped */
        check_near(y[i], fmin((2.5 + 2 * i) / 8, 1), 2e-3);
        check(y[7 * 16 + i] >= (i == 0 ? 0 : y[7 * 16 + i - 1]));  // PET rises too
    }
    data_set_destroy(&s);
    free(ct);
    free(pet);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turning_moves_every_voxel_with_its_place),
        cmocka_unit_test(what_has_no_axes_or_would_not_stay_flat_is_refused),
        cmocka_unit_test(resizing_and_cropping_keep_places),
        cmocka_unit_test(another_grid_is_met_at_the_same_places),
        cmocka_unit_test(a_case_of_two_volumes_is_one_input_of_two_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
