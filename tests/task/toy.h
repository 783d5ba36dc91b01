/*
 * toy.h - small data sets on disk, made by a rule that tests know
 */
#ifndef TOY_H
#define TOY_H

#include "check.h"

#include "base/buf.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "data/formats.h"
#include "task/task.h"

static inline void toy_file(const char *dir, const char *name, const char *text)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    check_ok(fl_file_write(path, text, strlen(text), 0644, &err), err);
    free(path);
}

static inline data_set *toy_open(const char *dir)
{
    fl_err err = FL_ERR_INIT;
    data_set *set = NULL;
    check_ok(data_set_open(&set, dir, NULL, &err), err);
    return set;
}

/*
 * n cases of two features in a ring: class "in" within radius 1, "out" beyond
 * it, none near the border.  No line separates them, a small network does.
 * Every fifth case is val, every fourth of the others test.
 */
static inline data_set *toy_rings(const char *dir, int n)
{
    fl_buf text = FL_BUF_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 3, "toy", "", 0);
    fl_buf_puts(&text, "case,split,x,y,label\n");
    for (int i = 0; i < n; i++) {
        bool out = fl_rng_uniform(&rng) < 0.5;
        double r = out ? fl_rng_range(&rng, 1.2, 2) : fl_rng_range(&rng, 0, 0.8);
        double angle = fl_rng_range(&rng, 0, 6.283185307179586);
        const char *split = i % 5 == 0   ? "val"
                            : i % 4 == 0 ? "test"
                                         : "train";
        fl_buf_printf(&text, "c%d,%s,%.5f,%.5f,%s\n", i, split, r * cos(angle),
                      r * sin(angle), out ? "out" : "in");
    }
    toy_file(dir, "rings.csv", text.data);
    fl_buf_clear(&text);
    toy_file(dir, "dataset.yaml",
             "task: classify\n"
             "classes: {in: in, out: out}\n"
             "positive: out\n"
             "table: {file: rings.csv, case: case, label: {column: label}}\n"
             "split: {column: split}\n");
    return toy_open(dir);
}

/* The table of tests/vectors/task_logistic.py. */
static inline data_set *toy_logistic(const char *dir)
{
    fl_err err = FL_ERR_INIT;
    char *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, "tests/vectors/task_logistic.csv",
                          1 << 20, &err), err);
    toy_file(dir, "logistic.csv", text);
    free(text);
    toy_file(dir, "dataset.yaml",
             "task: classify\n"
             "classes: {no: 0, yes: 1}\n"
             "positive: yes\n"
             "table: {file: logistic.csv, label: {column: label}}\n"
             "split: {column: split}\n");
    return toy_open(dir);
}

enum { TOY_SIDE = 16 };

static inline void toy_png(const char *dir, const char *name, const float *x)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    check_ok(data_png_write(path, x, TOY_SIDE, TOY_SIDE, 1, 8, &err), err);
    free(path);
}

/*
 * n images of noise with a bright square of varying place and size; the mask
 * is the square, or with three classes its left half 1 and its right half 2.
 * Case 3 has no mask.  Train, val and test in turn by fifths.
 */
static inline data_set *toy_squares(const char *dir, int n, int n_classes)
{
    fl_rng rng;
    fl_buf text = FL_BUF_INIT;
    fl_rng_init(&rng, 5, "squares", "", 0);
    fl_buf_puts(&text, "case,patient,file,mask,split\n");
    for (int i = 0; i < n; i++) {
        float x[TOY_SIDE * TOY_SIDE], mask[TOY_SIDE * TOY_SIDE] = {0};
        char name[32];
        int side = 4 + (int)(fl_rng_uniform(&rng) * 6);
        int row = (int)(fl_rng_uniform(&rng) * (TOY_SIDE - side));
        int col = (int)(fl_rng_uniform(&rng) * (TOY_SIDE - side));
        for (int p = 0; p < TOY_SIDE * TOY_SIDE; p++) {
            int r = p / TOY_SIDE - row, c = p % TOY_SIDE - col;
            bool in = r >= 0 && r < side && c >= 0 && c < side;
            bool right = n_classes == 3 && c >= side / 2;
            x[p] = (float)(0.3 * fl_rng_uniform(&rng) + (in ? (right ? 0.7 : 0.45) : 0));
            mask[p] = in ? (right ? 2 : 1) / 255.0f : 0;
        }
        snprintf(name, sizeof name, "i%d.png", i);
        toy_png(dir, name, x);
        snprintf(name, sizeof name, "m%d.png", i);
        toy_png(dir, name, mask);
        const char *split = i % 5 == 1 ? "val" : i % 5 == 2 ? "test" : "train";
        fl_buf_printf(&text, "c%d,p%d,i%d.png,%s,%s\n", i, i, i, i == 3 ? "" : name, split);
    }
    toy_file(dir, "manifest.csv", text.data);
    fl_buf_clear(&text);
    toy_file(dir, "dataset.yaml",
             n_classes == 2 ? "task: segment\nclasses: {background: 0, square: 1}\n"
                            : "task: segment\nclasses: {background: 0, left: 1, right: 2}\n");
    return toy_open(dir);
}

/*
 * n images of two pixels; a finding is a bright pixel, left or right.  Of every seventh
 * case nobody said whether it has the left one.  Every third case is test.
 */
static inline data_set *toy_findings(const char *dir, int n)
{
    fl_err err = FL_ERR_INIT;
    fl_buf text = FL_BUF_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 4, "toy", "", 0);
    fl_buf_puts(&text, "case,patient,file,split,label:left,label:right\n");
    for (int i = 0; i < n; i++) {
        char name[32];
        float x[2] = {(float)fl_rng_uniform(&rng), (float)fl_rng_uniform(&rng)};
        snprintf(name, sizeof name, "%d.png", i);
        char *path = fl_path_join(dir, name);
        check_ok(data_png_write(path, x, 1, 2, 1, 16, &err), err);
        free(path);
        fl_buf_printf(&text, "c%d,p%d,%s,%s,%s,%d\n", i, i, name, i % 3 == 0 ? "test" : "train",
                      i % 7 == 0 ? "" : x[0] > 0.5F ? "1" : "0", x[1] > 0.7F);
    }
    toy_file(dir, "manifest.csv", text.data);
    fl_buf_clear(&text);
    toy_file(dir, "dataset.yaml",
             "task: multilabel\nclasses: {left: left, right: right}\n"
             "split: {column: split}\n");
    return toy_open(dir);
}

/* n rows of two features a and b; the label is 2 a - b + 1.  Every third row is test. */
static inline data_set *toy_plane(const char *dir, int n)
{
    fl_buf text = FL_BUF_INIT;
    fl_rng rng;
    fl_rng_init(&rng, 4, "toy", "", 0);
    fl_buf_puts(&text, "split,a,b,label\n");
    for (int i = 0; i < n; i++) {
        double a = fl_rng_normal(&rng), b = fl_rng_normal(&rng);
        fl_buf_printf(&text, "%s,%.5f,%.5f,%.5f\n", i % 3 == 0 ? "test" : "train", a, b,
                      2 * a - b + 1);
    }
    toy_file(dir, "t.csv", text.data);
    fl_buf_clear(&text);
    toy_file(dir, "dataset.yaml",
             "task: regress\ntable: {file: t.csv}\nsplit: {column: split}\n");
    return toy_open(dir);
}

static inline task_model *toy_model(const data_set *set, const char *spec)
{
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    task_model *m = NULL;
    check_ok(model_config_parse(&cfg, spec, &err), err);
    check_ok(task_model_new(&m, data_set_spec(set), &cfg, &err), err);
    return m;
}

/* Its first values, the caller's. */
static inline float *toy_params(const task_model *m, uint64_t seed)
{
    size_t P = (size_t)nn_table_count(task_model_table(m));
    float *params = fl_xcalloc(P, sizeof *params);
    nn_graph_init(task_model_graph(m), params, seed);
    return params;
}

#endif
