/*
 * fixture.h - small files that the tests of data/ make for themselves
 */
#ifndef TESTS_DATA_FIXTURE_H
#define TESTS_DATA_FIXTURE_H

#include "check.h"

#include "base/buf.h"
#include "base/json.h"
#include "data/formats.h"

/* tests/vectors/name; decref. */
static inline json_t *fixture_vectors(const char *name)
{
    fl_err err = FL_ERR_INIT;
    json_t *json = NULL;
    char *path = fl_path_join("tests/vectors", name);
    check_ok(fl_json_read(&json, path, 1 << 20, &err), err);
    free(path);
    return json;
}

/* The bytes of a file, caller's. */
static inline uint8_t *fixture_bytes(const char *path, size_t *n)
{
    fl_err err = FL_ERR_INIT;
    char *bytes = NULL;
    check_ok(fl_file_read(&bytes, n, path, 1 << 24, &err), err);
    return (uint8_t *)bytes;
}

static inline void fixture_text(const char *dir, const char *name, const char *text)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    check_ok(fl_file_write(path, text, strlen(text), 0644, &err), err);
    free(path);
}

/* A gray PNG of side x side whose pixels are (seed + 3 i) mod 256. */
static inline void fixture_png(const char *dir, const char *name, int side, unsigned seed)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    float *x = fl_xcalloc((size_t)(side * side), sizeof *x);
    for (int i = 0; i < side * side; i++) {
        x[i] = (float)((seed + 3u * (unsigned)i) % 256u) / 255.0f;
    }
    check_ok(data_png_write(path, x, side, side, 1, 8, &err), err);
    free(x);
    free(path);
}

/*
 * A folder with n PNGs of 8 x 8: two a patient, labels 0 and 1 in turn, sex
 * F M by patient, age 40 + patient.  yaml is its dataset.yaml.
 */
static inline void fixture_images(const char *dir, int n, const char *yaml)
{
    fl_buf b = FL_BUF_INIT;
    fl_buf_puts(&b, "case,patient,file,label,sex,age\n");
    for (int i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "i%d.png", i);
        fixture_png(dir, name, 8, (unsigned)(7 * i));
        fl_buf_printf(&b, "c%d,p%d,%s,%d,%s,%d\n", i, i / 2, name, i % 2,
                      i / 2 % 2 == 0 ? "F" : "M", 40 + i / 2);
    }
    fixture_text(dir, "manifest.csv", b.data);
    fixture_text(dir, "dataset.yaml", yaml);
    fl_buf_clear(&b);
}

/*
 * dir/m.npz, MedMNIST-style: {train,val,test}_images (n, 4, 4) uint8 whose
 * pixels are 16 i + place, and labels (n, 1) that are i mod 2, from a counter
 * i that goes on from split to split.  Stored, not deflated.
 */
void fixture_npz(const char *dir, const char *name, const int n[static 3]);
/* The same of one split, whose labels have no columns. */
void fixture_npz_without_labels(const char *dir, const char *name);

/* The folder of real data sets, or NULL. */
static inline const char *fixture_real_data(void)
{
    const char *dir = getenv("CONSILIUM_DATA");
    return dir != NULL && dir[0] != '\0' && fl_is_dir(dir) ? dir : NULL;
}

#endif
