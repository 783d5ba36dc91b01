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
