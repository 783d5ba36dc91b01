/*
 * fuzz_csv.c - comma-separated tables, with and without a header
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "data/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int header = 0; header <= 1; header++) {
        fl_err err = FL_ERR_INIT;
        data_csv t;
        fl_status st = data_csv_parse(&t, (const char *)data, size, "fuzz.csv", header, &err);
        FL_REQUIRE(st == FL_OK || (err.text[0] != '\0' && t.cell == NULL));
        size_t length = 0;
        for (size_t i = 0; st == FL_OK && i < t.n_rows; i++) {
            FL_REQUIRE(t.line[i] >= 1);
            for (size_t k = 0; k < t.n_cols; k++) {
                length += strlen(t.cell[i][k]);
            }
        }
        FL_REQUIRE(length <= size);  // cells do not overlap
        data_csv_clear(&t);
    }
    return 0;
}
