/*
 * many.h - a data set of more images than memory should hold
 */
#ifndef TESTS_DATA_MANY_H
#define TESTS_DATA_MANY_H

#include <unistd.h>

#include "base/rng.h"
#include "data/ahead.h"
#include "fixture.h"

/*
 * n gray images of side x side: links to a few .npy files, so that only what
 * is made of them takes room.  yaml: of dataset.yaml, with what is here.
 */
static inline void many_images(const char *dir, size_t n, int side, const char *yaml)
{
    enum { N_FILES = 8 };
    fl_err err = FL_ERR_INIT;
    fl_buf b = FL_BUF_INIT;
    size_t pixels = (size_t)side * (size_t)side;
    uint8_t *bytes = fl_xcalloc(128 + pixels, 1);
    char *header = fl_xasprintf("%-117s\n", "");
    char *dict = fl_xasprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d), }", side,
                              side);

    memcpy(header, dict, strlen(dict));
    memcpy(bytes, "\x93NUMPY\1\0\x76\0", 10);
    memcpy(bytes + 10, header, 118);
    for (unsigned f = 0; f < N_FILES; f++) {
        char *path = fl_xasprintf("%s/base%u.npy", dir, f);
        for (size_t i = 0; i < pixels; i++) {
            bytes[128 + i] = (uint8_t)(i * (2 * f + 1) + f);
        }
        check_ok(fl_file_write(path, bytes, 128 + pixels, 0644, &err), err);
        free(path);
    }
    fl_buf_puts(&b, "case,patient,file,label\n");
    for (size_t i = 0; i < n; i++) {
        char *from = fl_xasprintf("%s/base%zu.npy", dir, i % N_FILES);
        char *to = fl_xasprintf("%s/%zu.npy", dir, i);
        check(link(from, to) == 0);
        fl_buf_printf(&b, "c%zu,p%zu,%zu.npy,%zu\n", i, i, i, i % 2);
        free(from);
        free(to);
    }
    fixture_text(dir, "manifest.csv", b.data);
    fixture_text(dir, "dataset.yaml", yaml);
    fl_buf_clear(&b);
    free(dict);
    free(header);
    free(bytes);
}

/* Opens it and trains, so to speak: epochs of shuffled batches, read ahead.  Bytes of
 * memory that the process holds at most. */
static inline size_t many_train(const char *dir, size_t n, int epochs)
{
    enum { BATCH = 32 };
    fl_err err = FL_ERR_INIT;
    data_set *s;
    check_ok(data_set_open(&s, dir, NULL, &err), err);
    check_int(data_set_n(s), n);
    size_t n_train = data_set_n_split(s, DATA_TRAIN);
    size_t F = data_set_n_features(s);
    size_t *order = fl_xcalloc(n_train, sizeof *order);
    float *x = fl_xcalloc(BATCH * F, sizeof *x);
    data_ahead *a = data_ahead_new(s);
    check(a != NULL);  // it is cached
    for (int epoch = 0; epoch < epochs; epoch++) {
        data_set_shuffle(s, DATA_TRAIN, 1, "s", (uint64_t)epoch, order);
        data_ahead_start(a, order, n_train);
        for (size_t at = 0; at + BATCH <= n_train; at += BATCH) {
            data_ahead_at(a, at);
            data_set_batch(s, order + at, BATCH, x);
            unsigned f = (unsigned)atoi(data_set_case(s, order[at]).case_id + 1) % 8;
            check_near(x[5], (uint8_t)(5 * (2 * f + 1) + f) / 255.0, 1e-6);
        }
    }
    data_ahead_destroy(&a);
    data_set_destroy(&s);
    free(order);
    free(x);
    return fl_peak_rss_bytes();
}

#endif
