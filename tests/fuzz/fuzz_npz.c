/*
 * fuzz_npz.c - NumPy arrays and archives of them
 */
#include <stddef.h>
#include <stdint.h>

#include "data/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every element can be looked at. */
static void sum(const data_array *a)
{
    volatile double total = 0;
    for (size_t i = 0; i < data_array_count(a); i++) {
        total += data_array_at(a, i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fl_err err = FL_ERR_INIT;
    data_npz npz;
    data_array array;

    if (data_npz_parse(&npz, data, size, "fuzz.npz", &err) == FL_OK) {
        for (size_t i = 0; i < npz.n; i++) {
            sum(&npz.items[i]);
        }
    } else {
        FL_REQUIRE(err.text[0] != '\0' && npz.items == NULL);
    }
    data_npz_clear(&npz);
    if (data_npy_parse(&array, data, size, "fuzz.npy", &err) == FL_OK) {
        sum(&array);
    } else {
        FL_REQUIRE(array.bytes == NULL);
    }
    data_array_clear(&array);
    return 0;
}
