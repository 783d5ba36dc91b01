/*
 * fuzz_series.c - a folder of hostile DICOM slices
 *
 * The input is up to four files, each after its length in two bytes,
 * little-endian; a file that the input is too short for is what is left of it.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/image.h"

enum { MOST_FILES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *folder;  // made for the first input, removed at exit

static void remove_folder(void)
{
    fl_remove_tree(folder, NULL);
    FL_FREE(folder);
}

static void make_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    folder = fl_xasprintf("%s/consilium-fuzz-XXXXXX", tmp != NULL ? tmp : "/tmp");
    FL_REQUIRE(mkdtemp(folder) != NULL);
    atexit(remove_folder);
}

static void write_slice(int i, const uint8_t *bytes, size_t n)
{
    char name[16];
    snprintf(name, sizeof name, "%d.dcm", i);
    char *path = fl_path_join(folder, name);
    FILE *file = fopen(path, "wb");
    FL_REQUIRE(file != NULL && fwrite(bytes, 1, n, file) == n && fclose(file) == 0);
    free(path);
}

/* Returns how many there are; those of the last input are gone. */
static int write_slices(const uint8_t *data, size_t size)
{
    int n = 0;
    for (int i = 0; i < MOST_FILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.dcm", i);
        char *path = fl_path_join(folder, name);
        remove(path);
        free(path);
    }
    while (size > 2 && n < MOST_FILES) {
        size_t length = data[0] | (size_t)data[1] << 8;
        length = length < size - 2 ? length : size - 2;
        write_slice(n++, data + 2, length);
        data += 2 + length;
        size -= 2 + length;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fl_err err = FL_ERR_INIT;
    data_image image;

    if (folder == NULL) {
        make_folder();
    }
    int n = write_slices(data, size);
    if (data_dicom_series_read(&image, folder, "fuzz", &err) != FL_OK) {
        FL_REQUIRE(err.text[0] != '\0' && image.data == NULL);
        return 0;
    }
    FL_REQUIRE(image.frames == n);
    for (int i = 0; i < 3; i++) {
        FL_REQUIRE(isfinite(image.spacing_mm[i]) && image.spacing_mm[i] >= 0);
    }
    data_image_clear(&image);
    return 0;
}
