/*
 * toy.h - small data sets on disk, made by a rule that tests know
 */
#ifndef TOY_H
#define TOY_H

#include "check.h"

#include "base/buf.h"
#include "base/rng.h"
#include "data/dataset.h"
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
