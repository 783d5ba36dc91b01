/*
 * fuzz_msg.c - a header from the wire
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fed/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fed_msg m;
    fl_err err = FL_ERR_INIT;
    if (fed_msg_unpack(&m, data, size, &err) != FL_OK) {
        FL_REQUIRE(err.text[0] != '\0');
        return 0;
    }
    // A header has one encoding: what was let in is written as it came.
    fl_buf again = FL_BUF_INIT;
    fed_msg_pack_as(&m, m.version, &again);
    FL_REQUIRE(again.n == size && memcmp(again.data, data, size) == 0);
    if (m.type == FED_MSG_OFFER) {
        fed_offer_bytes(&m.u.offer, &again);
        fed_offer_get(&m.u.offer, "loss", 0);
    } else if (m.type == FED_MSG_ENROL) {
        fed_enrol_bytes(&m.u.enrol, &again);
    }
    fl_buf_clear(&again);
    return 0;
}
