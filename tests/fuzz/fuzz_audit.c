/*
 * fuzz_audit.c - an audit record from somebody else's disk
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "fed/audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static fl_status look(void *ctx, const fed_audit_entry *e, fl_err *err)
{
    static const fed_verify_key key;
    fed_offer offer;
    (void)ctx;
    (void)err;
    (void)fed_audit_offer(&offer, e->json, &key, NULL);  // most lines are none
    return FL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64];
    fl_err err = FL_ERR_INIT;
    fed_audit_head end;
    if (path[0] == '\0') {
        snprintf(path, sizeof path, "/tmp/fuzz-audit-%ld", (long)getpid());
    }
    FILE *file = fopen(path, "wb");
    FL_REQUIRE(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    fl_status st = fed_audit_walk(&end, path, look, NULL, &err);
    FL_REQUIRE(st == FL_OK || err.text[0] != '\0');
    unlink(path);
    fed_offer offer, again;
    if (fed_offer_parse(&offer, data, size, NULL) == FL_OK) {
        fl_buf bytes = FL_BUF_INIT;
        fed_offer_bytes(&offer, &bytes);
        FL_REQUIRE(fed_offer_parse(&again, bytes.data, bytes.n, NULL) == FL_OK);
        fl_buf_clear(&bytes);
    }
    return 0;
}
