/*
 * fuzz_image.c - image files of every format, recognised by their bytes
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "data/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fl_err err = FL_ERR_INIT;
    data_image image;

    if (data_image_parse(&image, data, size, "fuzz", &err) != FL_OK) {
        FL_REQUIRE(err.text[0] != '\0' && image.data == NULL);
        return 0;
    }
    int64_t n = image.channels * image.frames * image.rows * image.cols;
    FL_REQUIRE(n >= 1 && n <= DATA_MAX_PIXELS);
    for (int64_t i = 0; i < n; i++) {
        FL_REQUIRE(isfinite(image.data[i]) || strncmp(image.format, "NIfTI", 5) == 0);
    }
    data_image_clear(&image);
    return 0;
}
