/*
 * fixture.c - see fixture.h
 */
#define _GNU_SOURCE  // sched_setaffinity

#include "fixture.h"

#include <sched.h>

#include "sim/hospital.h"

/* Appends names and contents of everything under dir. */
static void add_tree(fl_buf *out, const char *dir)
{
    fl_err err = FL_ERR_INIT;
    char **names = NULL;
    size_t n = 0;
    check_ok(fl_list_dir(&names, &n, dir, &err), err);
    for (size_t i = 0; i < n; i++) {
        char *path = fl_path_join(dir, names[i]);
        if (fl_is_dir(path)) {
            fl_buf_printf(out, "%s/\n", names[i]);
            add_tree(out, path);
        } else {
            char *bytes = NULL;
            size_t size = 0;
            check_ok(fl_file_read(&bytes, &size, path, 1 << 24, &err), err);
            fl_buf_printf(out, "%s %zu\n", names[i], size);
            fl_buf_add(out, bytes, size);
            free(bytes);
        }
        free(path);
    }
    fl_names_free(&names, n);
}

void fixture_same_tree(const char *a, const char *b)
{
    fl_buf in_a = FL_BUF_INIT, in_b = FL_BUF_INIT;
    add_tree(&in_a, a);
    add_tree(&in_b, b);
    check_int(in_a.n, in_b.n);
    check_bytes(in_a.data, in_b.data, in_a.n);
    fl_buf_clear(&in_a);
    fl_buf_clear(&in_b);
}

char *fixture_make(scenario *s, const char *dir, const char *text, int64_t seed, const char *out)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, out);
    check_ok(fixture_read(s, dir, text, NULL, 0, seed, &err), err);
    check_ok(hospital_make_all(s, path, &err), err);
    return path;
}

void fixture_same_on_one_core(const char *dir, const char *text)
{
    scenario s;
    cpu_set_t all, one;
    char *on_all = fixture_make(&s, dir, text, -1, "all");
    scenario_clear(&s);
    check_int(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &one);
        }
    }
    check_int(sched_setaffinity(0, sizeof one, &one), 0);
    check_int(fl_n_cores(), 1);
    char *on_one = fixture_make(&s, dir, text, -1, "one");
    scenario_clear(&s);
    check_int(sched_setaffinity(0, sizeof all, &all), 0);
    fixture_same_tree(on_all, on_one);
    free(on_all);
    free(on_one);
}

// ------------------------------------------------------------ a MedMNIST-style file

static void put_u16(fl_buf *b, unsigned v)
{
    uint8_t bytes[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
    fl_buf_add(b, bytes, 2);
}

static void put_u32(fl_buf *b, uint32_t v)
{
    put_u16(b, v & 0xffff);
    put_u16(b, v >> 16);
}

static uint32_t crc32_of(const uint8_t *bytes, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int k = 0; k < 8; k++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
        }
    }
    return ~crc;
}

/* One member into the archive and its directory. */
static void add_member(fl_buf *zip, fl_buf *directory, const char *name, const fl_buf *bytes)
{
    fl_buf head = FL_BUF_INIT;
    uint32_t crc = crc32_of((const uint8_t *)bytes->data, bytes->n), at = (uint32_t)zip->n;
    put_u16(&head, 20);  // version needed
    put_u16(&head, 0);
    put_u16(&head, 0);  // stored
    put_u32(&head, 0);  // time
    put_u32(&head, crc);
    put_u32(&head, (uint32_t)bytes->n);
    put_u32(&head, (uint32_t)bytes->n);
    put_u16(&head, (unsigned)strlen(name));
    put_u16(&head, 0);
    put_u32(zip, 0x04034b50);
    fl_buf_add(zip, head.data, head.n);
    fl_buf_puts(zip, name);
    fl_buf_add(zip, bytes->data, bytes->n);
    put_u32(directory, 0x02014b50);
    put_u16(directory, 20);
    fl_buf_add(directory, head.data, head.n);
    put_u16(directory, 0);
    put_u16(directory, 0);
    put_u16(directory, 0);
    put_u32(directory, 0);
    put_u32(directory, at);
    fl_buf_puts(directory, name);
    fl_buf_clear(&head);
}

static void add_npy(fl_buf *out, const char *shape, const uint8_t *bytes, size_t n)
{
    char header[119];
    int used = snprintf(header, sizeof header,
                        "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }", shape);
    memset(header + used, ' ', sizeof header - (size_t)used);
    header[117] = '\n';
    fl_buf_add(out, "\x93NUMPY\x01\x00", 8);
    put_u16(out, 118);
    fl_buf_add(out, header, 118);
    fl_buf_add(out, bytes, n);
}

char *fixture_npz(const char *dir, const size_t n[static 3])
{
    static const char *const names[] = {"train", "val", "test"};
    fl_buf zip = FL_BUF_INIT, directory = FL_BUF_INIT, npy = FL_BUF_INIT;
    fl_err err = FL_ERR_INIT;
    for (int split = 0; split < 3; split++) {
        uint8_t *images = fl_xcalloc(n[split], 64), *labels = fl_xcalloc(n[split], 1);
        char shape[64], member[64];
        for (size_t i = 0; i < n[split]; i++) {
            labels[i] = i % 3 == 0;
            for (size_t k = 0; k < 64; k++) {
                images[64 * i + k] = (uint8_t)(i * 7 + k * 3 + (size_t)split);
            }
        }
        snprintf(shape, sizeof shape, "(%zu, 8, 8)", n[split]);
        add_npy(&npy, shape, images, 64 * n[split]);
        snprintf(member, sizeof member, "%s_images.npy", names[split]);
        add_member(&zip, &directory, member, &npy);
        fl_buf_reset(&npy);
        snprintf(shape, sizeof shape, "(%zu, 1)", n[split]);
        add_npy(&npy, shape, labels, n[split]);
        snprintf(member, sizeof member, "%s_labels.npy", names[split]);
        add_member(&zip, &directory, member, &npy);
        fl_buf_reset(&npy);
        free(images);
        free(labels);
    }
    uint32_t at = (uint32_t)zip.n;
    fl_buf_add(&zip, directory.data, directory.n);
    put_u32(&zip, 0x06054b50);
    put_u32(&zip, 0);
    put_u16(&zip, 6);
    put_u16(&zip, 6);
    put_u32(&zip, (uint32_t)directory.n);
    put_u32(&zip, at);
    put_u16(&zip, 0);
    char *path = fl_path_join(dir, "real.npz");
    check_ok(fl_file_write(path, zip.data, zip.n, 0644, &err), err);
    fl_buf_clear(&zip);
    fl_buf_clear(&directory);
    fl_buf_clear(&npy);
    return path;
}
