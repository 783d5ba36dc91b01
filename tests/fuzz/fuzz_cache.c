/*
 * fuzz_cache.c - a cache of decoded cases that somebody has changed
 *
 * A sound file of four cases, one of them with an error, is made once.  The
 * input is a list of changes to it, five bytes each: where (32 bits, little-endian,
 * modulo the file's length) and what.  The digest is then made to fit again, as
 * a stranger would, so that what is behind it is tried.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/cache.h"

enum {
    N_CASES = 4,
    N_ANNOTATORS = 2,
    SIDE = 4,
    HEADER_BYTES = 256,
    DIGEST_AT = 88  // in the header
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *folder;  // made for the first input, removed at exit
static char *sound;   // the file's bytes
static size_t n_sound;
static data_cache_plan plan;
static char *path;

static void decode(void *context, size_t i, data_decoded *out)
{
    (void)context;
    if (i == 2) {
        out->error = fl_xcalloc(1, sizeof *out->error);
        fl_fail(out->error, FL_ECONFIG, "case %zu has an error", i);
        return;
    }
    uint8_t *samples = fl_xcalloc(SIDE * SIDE, 1);
    // as in mask.c one block: who drew, and then the masks
    const uint8_t **drawn = fl_xcalloc(1, N_ANNOTATORS * sizeof *drawn + 3 * SIDE * SIDE);
    uint8_t *masks = (uint8_t *)(drawn + N_ANNOTATORS);
    for (size_t k = 0; k < SIDE * SIDE; k++) {
        samples[k] = (uint8_t)(16 * i + k);
    }
    out->input = (data_input){.samples = samples,
                              .sample = DATA_SAMPLE_U8,
                              .full = 255,
                              .factor = 1,
                              .shape = {3, {1, SIDE, SIDE}}};
    drawn[0] = masks;
    drawn[1] = i == 1 ? NULL : masks + SIDE * SIDE;
    out->masks.block = drawn;
    out->masks.masks = drawn;
    out->masks.mask = masks + 2 * SIDE * SIDE;
}

static void clean_up(void)
{
    fl_remove_tree(folder, NULL);
    FL_FREE(folder);
    FL_FREE(sound);
    FL_FREE(path);
}

static void prepare(void)
{
    const char *tmp = getenv("TMPDIR");
    data_cache *c = NULL;
    char **names;
    size_t n;

    folder = fl_xasprintf("%s/consilium-fuzz-XXXXXX", tmp != NULL ? tmp : "/tmp");
    FL_REQUIRE(mkdtemp(folder) != NULL);
    atexit(clean_up);
    plan = (data_cache_plan){.dir = folder, .n = N_CASES, .n_annotators = N_ANNOTATORS};
    FL_REQUIRE(data_cache_open(&c, &plan, decode, NULL, NULL) == FL_OK);
    data_cache_destroy(&c);
    FL_REQUIRE(fl_list_dir(&names, &n, folder, NULL) == FL_OK);
    for (size_t i = 0; i < n; i++) {
        char *one = fl_path_join(folder, names[i]);
        if (path == NULL && fl_file_read(&sound, &n_sound, one, 1 << 20, NULL) == FL_OK &&
            n_sound > HEADER_BYTES) {
            path = one;
            continue;
        }
        free(one);
    }
    fl_names_free(&names, n);
    FL_REQUIRE(path != NULL);
}

static void fit_digest(uint8_t *file)
{
    fl_blake2b h;
    memset(file + DIGEST_AT, 0, FL_DIGEST_BYTES);
    fl_blake2b_init(&h, "cache");
    fl_blake2b_add(&h, file + HEADER_BYTES, n_sound - HEADER_BYTES);
    fl_blake2b_add(&h, file, HEADER_BYTES);
    fl_blake2b_done(&h, file + DIGEST_AT);
}

static void write_changed(const uint8_t *data, size_t size)
{
    uint8_t *file = fl_xcalloc(n_sound, 1);
    memcpy(file, sound, n_sound);
    for (; size >= 5; data += 5, size -= 5) {
        uint32_t at = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
                      (uint32_t)data[3] << 24;
        file[at % n_sound] = data[4];
    }
    fit_digest(file);
    FILE *out = fopen(path, "wb");
    FL_REQUIRE(out != NULL && fwrite(file, 1, n_sound, out) == n_sound && fclose(out) == 0);
    free(file);
}

/* Touches all that a case says it has. */
static void look_at(const data_cache *c, size_t i)
{
    data_decoded d;
    uint64_t sum = 0;

    data_cache_get(&d, c, i);
    if (d.error != NULL) {
        FL_REQUIRE(strlen(d.error->text) < sizeof d.error->text);
        free(d.error);
        return;
    }
    size_t n_pixels = (size_t)(nn_shape_count(&d.input.shape, 1) / d.input.shape.dim[0]);
    for (size_t k = 0; k < data_input_bytes(&d.input); k++) {
        sum += ((const uint8_t *)d.input.samples)[k];
    }
    for (size_t a = 0; a <= N_ANNOTATORS && d.masks.masks != NULL; a++) {
        const uint8_t *mask = a < N_ANNOTATORS ? d.masks.masks[a] : d.masks.mask;
        for (size_t k = 0; mask != NULL && k < n_pixels; k++) {
            sum += mask[k];
        }
    }
    FL_REQUIRE(sum < UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fl_err err = FL_ERR_INIT;
    data_cache *c = NULL;

    if (folder == NULL) {
        prepare();
    }
    write_changed(data, size);
    FL_REQUIRE(data_cache_open(&c, &plan, decode, NULL, &err) == FL_OK);
    for (size_t i = 0; i < N_CASES; i++) {
        look_at(c, i);
    }
    data_cache_destroy(&c);
    return 0;
}
