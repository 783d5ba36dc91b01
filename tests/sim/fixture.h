/*
 * fixture.h - small scenarios that the tests of sim/ write for themselves
 */
#ifndef TESTS_SIM_FIXTURE_H
#define TESTS_SIM_FIXTURE_H

#include "base/buf.h"
#include "check.h"
#include "sim/scenario.h"

#define FIXTURE_JOB                                             \
    "job:\n"                                                    \
    "  name: small\n"                                           \
    "  task: classify\n"                                        \
    "  data: {input: [1, 16, 16], classes: [normal, opacity], " \
    "positive: opacity}\n"                                      \
    "  model: {name: logistic}\n"                               \
    "  rounds: 3\n"                                             \
    "  seed: 5\n"

#define FIXTURE_GENERATE "generate: {phantom: xray, task: opacity, difficulty: 0.2, size: 16}\n"

/* Two hospitals of 24 patients, on lines 10 and 11 of FIXTURE_SMALL. */
#define FIXTURE_HOSPITALS                                           \
    "hospitals:\n"                                                  \
    "  - {name: nord, patients: {n: {train: 12, val: 6, test: 6}, " \
    "prevalence: 0.5}, shift: [blur: 1, noise: 1]}\n"               \
    "  - {name: sud, like: nord, shift: [resolution: 2]}\n"

#define FIXTURE_SMALL FIXTURE_JOB FIXTURE_GENERATE FIXTURE_HOSPITALS

#define FIXTURE_SHARED_JOB                                       \
    "job:\n  name: shared\n  task: classify\n"                   \
    "  data: {input: [1, 8, 8], classes: [a, b], positive: b}\n" \
    "  model: {name: logistic}\n  rounds: 1\n  seed: 3\n"

/* dir/real.npz, MedMNIST-style and stored: n[split] images of 8 x 8, every third of class 1 from
 * the first on.  The path is the caller's. */
char *fixture_npz(const char *dir, const size_t n[static 3]);

/* Writes dir/name; the path is the caller's. */
static inline char *fixture_file(const char *dir, const char *name, const char *text)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name);
    check_ok(fl_file_write(path, text, strlen(text), 0644, &err), err);
    return path;
}

/* Reads text as dir/s.yaml. */
static inline fl_status fixture_read(scenario *out, const char *dir, const char *text,
                                     const scenario_setting *set, size_t n_set, int64_t seed,
                                     fl_err *err)
{
    char *path = fixture_file(dir, "s.yaml", text);
    fl_status st = scenario_read(out, path, set, n_set, seed, err);
    free(path);
    return st;
}

/* Reads text as a scenario and makes its data sets in dir/out; that path is the caller's. */
char *fixture_make(scenario *s, const char *dir, const char *text, int64_t seed, const char *out);

/* Both folders have the same files with the same bytes. */
void fixture_same_tree(const char *a, const char *b);

/* The scenario's data have the same bytes when one core makes them and when all do. */
void fixture_same_on_one_core(const char *dir, const char *text);

#endif
