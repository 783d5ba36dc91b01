/*
 * fuzz_rotation.c - a line of former.jsonl, which a hospital may be handed
 */
#include <stddef.h>
#include <stdint.h>

#include "fed/rotation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fed_rotation r, again;
    fl_err err = FL_ERR_INIT;
    json_t *json = NULL;
    if (fl_json_parse(&json, (const char *)data, size, 1 << 16, "former.jsonl", &err) != FL_OK) {
        return 0;
    }
    if (fed_rotation_parse(&r, json, &err) == FL_OK) {
        json_t *same = fed_rotation_json(&r);
        FL_REQUIRE(fed_rotation_parse(&again, same, NULL) == FL_OK);
        FL_REQUIRE(memcmp(&again, &r, sizeof r) == 0);
        json_decref(same);
    }
    json_decref(json);
    return 0;
}
