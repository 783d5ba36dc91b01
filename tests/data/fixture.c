/*
 * fixture.c - the one file the tests cannot write with the code under test
 */
#include "fixture.h"

#include <zip.h>

static void add_member(zip_t *zip, const char *name, const char *header, const uint8_t *body,
                       size_t n, fl_buf *keep)
{
    const char length[] = {(char)strlen(header), 0};
    fl_buf_add(keep, "\x93NUMPY\1\0", 8);
    fl_buf_add(keep, length, 2);
    fl_buf_puts(keep, header);
    fl_buf_add(keep, body, n);
    zip_source_t *source = zip_source_buffer(zip, keep->data, keep->n, 0);
    check(source != NULL);
    zip_int64_t at = zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8);
    check(at >= 0);
    check_int(zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_STORE, 0), 0);
}

void fixture_npz(const char *dir, const char *name, const int n[static 3])
{
    static const char *const splits[] = {"train", "val", "test"};
    char *path = fl_path_join(dir, name);
    fl_buf keep[6] = {FL_BUF_INIT, FL_BUF_INIT, FL_BUF_INIT, FL_BUF_INIT, FL_BUF_INIT, FL_BUF_INIT};
    uint8_t images[64 * 16];
    uint8_t labels[64];
    int at = 0;
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    check(zip != NULL);

    for (int k = 0; k < 3; k++) {
        char member[32];
        char header[128];
        check(n[k] <= 64);
        for (int i = 0; i < n[k]; i++, at++) {
            labels[i] = (uint8_t)(at % 2);
            for (int p = 0; p < 16; p++) {
                images[i * 16 + p] = (uint8_t)(16 * at + p);
            }
        }
        if (n[k] == 0) {
            continue;
        }
        snprintf(member, sizeof member, "%s_images.npy", splits[k]);
        snprintf(header, sizeof header,
                 "{'descr': '|u1', 'fortran_order': False, "
                 "'shape': (%d, 4, 4), }\n",
                 n[k]);
        add_member(zip, member, header, images, (size_t)n[k] * 16, &keep[2 * k]);
        snprintf(member, sizeof member, "%s_labels.npy", splits[k]);
        snprintf(header, sizeof header,
                 "{'descr': '|u1', 'fortran_order': False, "
                 "'shape': (%d, 1), }\n",
                 n[k]);
        add_member(zip, member, header, labels, (size_t)n[k], &keep[2 * k + 1]);
    }
    check_int(zip_close(zip), 0);
    for (int k = 0; k < 6; k++) {
        fl_buf_clear(&keep[k]);
    }
    free(path);
}

void fixture_npz_without_labels(const char *dir, const char *name)
{
    static const char *const splits[] = {"train_images.npy", "train_labels.npy"};
    static const char *const shapes[] = {"(2, 4, 4)", "(2, 0)"};
    char *path = fl_path_join(dir, name);
    fl_buf keep[2] = {FL_BUF_INIT, FL_BUF_INIT};
    const uint8_t images[2 * 16] = {0};
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    check(zip != NULL);

    for (int k = 0; k < 2; k++) {
        char header[128];
        snprintf(header, sizeof header, "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }\n",
                 shapes[k]);
        if (k == 0) {
            memcpy(strstr(header, "<f8"), "|u1", 3);
        }
        add_member(zip, splits[k], header, images, k == 0 ? sizeof images : 0, &keep[k]);
    }
    check_int(zip_close(zip), 0);
    fl_buf_clear(&keep[0]);
    fl_buf_clear(&keep[1]);
    free(path);
}
