/*
 * many.h - a data set of more images than memory should hold
 */
#ifndef TESTS_DATA_MANY_H
#define TESTS_DATA_MANY_H

#include <string.h>
#include <unistd.h>

#include <zip.h>

#include "base/rng.h"
#include "data/ahead.h"
#include "fixture.h"

enum { MANY_HEAD_BYTES = 128, MANY_KINDS = 8 };

/* What stands before the numbers of an array of bytes.  shape: "(3, 4)" */
static inline void many_head(uint8_t head[static MANY_HEAD_BYTES], const char *shape)
{
    char text[MANY_HEAD_BYTES];
    snprintf(text, sizeof text, "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }", shape);
    memset(head, ' ', MANY_HEAD_BYTES);
    memcpy(head, "\x93NUMPY\1\0\x76\0", 10);
    memcpy(head + 10, text, strlen(text));
    head[MANY_HEAD_BYTES - 1] = '\n';
}

/* Images differ by their number modulo MANY_KINDS. */
static inline void many_pixels(uint8_t *out, size_t pixels, size_t image)
{
    size_t f = image % MANY_KINDS;
    for (size_t i = 0; i < pixels; i++) {
        out[i] = (uint8_t)(i * (2 * f + 1) + f);
    }
}

/*
 * n gray images of side x side: links to a few .npy files, so that only what
 * is made of them takes room.  yaml: of dataset.yaml, with what is here.
 */
static inline void many_images(const char *dir, size_t n, int side, const char *yaml)
{
    fl_err err = FL_ERR_INIT;
    fl_buf b = FL_BUF_INIT;
    size_t pixels = (size_t)side * (size_t)side;
    uint8_t *bytes = fl_xcalloc(MANY_HEAD_BYTES + pixels, 1);
    char *shape = fl_xasprintf("(%d, %d)", side, side);

    many_head(bytes, shape);
    for (unsigned f = 0; f < MANY_KINDS; f++) {
        char *path = fl_xasprintf("%s/base%u.npy", dir, f);
        many_pixels(bytes + MANY_HEAD_BYTES, pixels, f);
        check_ok(fl_file_write(path, bytes, MANY_HEAD_BYTES + pixels, 0644, &err), err);
        free(path);
    }
    fl_buf_puts(&b, "case,patient,file,label\n");
    for (size_t i = 0; i < n; i++) {
        char *from = fl_xasprintf("%s/base%zu.npy", dir, i % MANY_KINDS);
        char *to = fl_xasprintf("%s/%zu.npy", dir, i);
        check(link(from, to) == 0);
        fl_buf_printf(&b, "c%zu,p%zu,%zu.npy,%zu\n", i, i, i, i % 2);
        free(from);
        free(to);
    }
    fixture_text(dir, "manifest.csv", b.data);
    fixture_text(dir, "dataset.yaml", yaml);
    fl_buf_clear(&b);
    free(shape);
    free(bytes);
}

/* The same images as a deflated archive of one split; yaml likewise, with `npz: m.npz`. */
static inline void many_archive(const char *dir, size_t n, int side, const char *yaml)
{
    static const char *const names[] = {"train_images.npy", "train_labels.npy"};
    size_t pixels = (size_t)side * (size_t)side;
    uint8_t *bytes = fl_xcalloc(pixels > MANY_HEAD_BYTES ? pixels : MANY_HEAD_BYTES, 1);
    char *to = fl_path_join(dir, "m.npz");
    zip_t *zip = zip_open(to, ZIP_CREATE | ZIP_TRUNCATE, NULL);

    check(zip != NULL);
    for (int k = 0; k < 2; k++) {
        char *path = fl_path_join(dir, names[k]);
        char *shape = k == 0 ? fl_xasprintf("(%zu, %d, %d)", n, side, side)
                             : fl_xasprintf("(%zu, 1)", n);
        FILE *file = fopen(path, "wb");
        check(file != NULL);
        many_head(bytes, shape);
        check(fwrite(bytes, 1, MANY_HEAD_BYTES, file) == MANY_HEAD_BYTES);
        for (size_t i = 0; i < n; i++) {
            size_t size = k == 0 ? pixels : 1;
            bytes[0] = (uint8_t)(i % 2);
            if (k == 0) {
                many_pixels(bytes, pixels, i);
            }
            check(fwrite(bytes, 1, size, file) == size);
        }
        check(fclose(file) == 0);
        zip_int64_t at = zip_file_add(zip, names[k], zip_source_file(zip, path, 0, -1), 0);
        check(at >= 0 && zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_DEFLATE, 1) == 0);
        free(shape);
        free(path);
    }
    check_int(zip_close(zip), 0);
    for (int k = 0; k < 2; k++) {
        char *path = fl_path_join(dir, names[k]);
        check(unlink(path) == 0);
        free(path);
    }
    fixture_text(dir, "dataset.yaml", yaml);
    free(to);
    free(bytes);
}

/* Opens it and trains, so to speak: epochs of shuffled batches, read ahead.  Bytes of
 * memory that the process holds at most.  plain: the images are as many_pixels made them. */
static inline size_t many_train(const char *dir, size_t n, int epochs, bool plain)
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
            const char *id = data_set_case(s, order[at]).case_id;
            unsigned f = (unsigned)atoi(id + strcspn(id, "0123456789")) % MANY_KINDS;
            check(!plain || fabs((double)x[5] - (uint8_t)(5 * (2 * f + 1) + f) / 255.0) < 1e-6);
        }
    }
    data_ahead_destroy(&a);
    data_set_destroy(&s);
    free(order);
    free(x);
    return fl_peak_rss_bytes();
}

#endif
