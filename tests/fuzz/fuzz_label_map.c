/*
 * fuzz_label_map.c - what another hospital's labels are, as YAML and as a table
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "data/label_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"map.yaml", "map.csv"};
    data_spec own = {.task = DATA_CLASSIFY, .n_classes = 2, .classes = {"a", "1"}};
    data_spec model = {.task = DATA_CLASSIFY, .n_classes = 2, .classes = {"x", "y"}};
    for (size_t k = 0; k < 2; k++) {
        fl_err err = FL_ERR_INIT;
        data_label_map *m;
        int to[DATA_MAX_CLASSES];
        fl_status st = data_label_map_parse(&m, (const char *)data, size, names[k], &err);
        FL_REQUIRE((st == FL_OK) == (m != NULL) && (st == FL_OK) == (err.text[0] == '\0'));
        if (st == FL_OK && data_label_map_find(to, m, &own, &model, &err) == FL_OK) {
            FL_REQUIRE(to[0] >= DATA_LABEL_IGNORED && to[0] < 2);
            FL_REQUIRE(to[1] >= DATA_LABEL_IGNORED && to[1] < 2);
        }
        data_label_map_destroy(&m);
    }
    return 0;
}
