/*
 * fuzz_invitation.c - the file that a hospital is handed
 */
#include <stddef.h>
#include <stdint.h>

#include "fed/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fed_invitation inv;
    fl_err err = FL_ERR_INIT;
    fl_status st = fed_invitation_parse(&inv, (const char *)data, size, "invitation.yaml", &err);
    FL_REQUIRE((st == FL_OK) == (err.text[0] == '\0'));
    fed_invitation_clear(&inv);
    return 0;
}
