/*
 * fuzz_safetensors.c - bytes that are read as parameters, written and read back
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ckpt/ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fl_err err = FL_ERR_INIT;
    nn_table *table, *table_again;
    float *values, *values_again;
    ckpt_meta meta = {0};
    char *file;
    size_t n;

    if (ckpt_safetensors_unpack(&table, &values, &meta, (const char *)data, size, &err) == FL_OK) {
        FL_REQUIRE(ckpt_safetensors_pack(&file, &n, table, values, &meta, &err) == FL_OK);
        FL_REQUIRE(ckpt_safetensors_unpack(&table_again, &values_again, NULL, file, n, &err) ==
                   FL_OK);
        size_t bytes = (size_t)nn_table_count(table) * sizeof *values;
        FL_REQUIRE(nn_table_equal(table, table_again) && memcmp(values, values_again, bytes) == 0);
        nn_table_destroy(&table_again);
        free(values_again);
        free(file);
    } else {
        FL_REQUIRE(err.text[0] != '\0');
    }
    ckpt_meta_clear(&meta);
    nn_table_destroy(&table);
    free(values);
    return 0;
}
