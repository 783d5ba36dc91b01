/*
 * replay.c - a fuzz harness as a plain test
 *
 * Linked with one fuzz_NAME.c.  Feeds it every file of
 * tests/fuzz/corpus/NAME, whole, cut at every length (in steps for long
 * files) and with single bits flipped, so that `make check` notices a reader
 * that crashes although nobody ran the fuzzer.  With arguments it feeds those
 * files only: that is how a crash found by `make fuzz` is looked at.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"

enum {
    MAX_SEED = 16 * 1024 * 1024,  // bytes of a corpus file
    N_CUTS = 400,                 // lengths tried for a file
    N_FLIPS = 2000                // bits flipped in a file
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t n_inputs;

/* From a block of exactly this size, so that a sanitizer sees every step
 * beyond it. */
static void feed(const char *bytes, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    FL_REQUIRE(copy != NULL);
    if (n > 0) {
        memcpy(copy, bytes, n);
    }
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    n_inputs++;
}

static void feed_damaged(char *bytes, size_t n)
{
    size_t step = n / N_CUTS + 1;
    for (size_t cut = 0; cut < n; cut += step) {
        feed(bytes, cut);
    }
    size_t bits = 8 * n;
    size_t stride = bits / N_FLIPS + 1;
    for (size_t bit = 0; bit < bits; bit += stride) {
        bytes[bit / 8] ^= (char)(1 << (bit % 8));
        feed(bytes, n);
        bytes[bit / 8] ^= (char)(1 << (bit % 8));
    }
}

static int feed_file(const char *path, int damaged)
{
    char *bytes = NULL;
    size_t n = 0;
    fl_err err = FL_ERR_INIT;
    if (fl_file_read(&bytes, &n, path, MAX_SEED, &err) != FL_OK) {
        printf("not ok - %s\n", err.text);
        return 1;
    }
    feed(bytes, n);
    if (damaged) {
        feed_damaged(bytes, n);
    }
    free(bytes);
    return 0;
}

/* ".../test_cfg" -> "tests/fuzz/corpus/cfg" */
static char *corpus_of(const char *program)
{
    const char *name = fl_path_base(program);
    FL_REQUIRE(strncmp(name, "test_", 5) == 0);
    return fl_path_join("tests/fuzz/corpus", name + 5);
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        failed |= feed_file(argv[i], 0);
    }
    if (argc > 1) {
        return failed;
    }
    char *corpus = corpus_of(argv[0]);
    char **names = NULL;
    size_t n = 0;
    fl_err err = FL_ERR_INIT;
    feed("", 0);
    if (fl_is_dir(corpus) && fl_list_dir(&names, &n, corpus, &err) != FL_OK) {
        printf("not ok - %s\n", err.text);
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        char *path = fl_path_join(corpus, names[i]);
        failed |= feed_file(path, 1);
        free(path);
    }
    fl_names_free(&names, n);
    free(corpus);
    if (!failed) {
        printf("ok - %zu inputs are read or refused\n", n_inputs);
    }
    return failed;
}
