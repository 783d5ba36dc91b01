/*
 * fuzz_dicom.c - DICOM images of every transfer syntax
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
    FL_REQUIRE(image.stored_min <= image.stored_max);
    for (int i = 0; i < 3; i++) {
        FL_REQUIRE(isfinite(image.spacing_mm[i]) && image.spacing_mm[i] >= 0);
    }
    FL_REQUIRE(strlen(image.orientation) == 0 || strlen(image.orientation) == 3);
    data_image_clear(&image);
    return 0;
}
