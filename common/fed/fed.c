/*
 * fed.c - see fed.h
 */
#include "fed/fed.h"

#include "fed/update.h"

fl_status fed_site_id_parse(fed_site_id *out, const char *text, fl_err *err)
{
    memset(out, 0, sizeof *out);
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t n = strspn(text, allowed);
    if (n == 0 || n >= FED_SITE_BYTES || text[n] != '\0') {
        return fl_fail(err, FL_EFORMAT,
                       "a site's name has 1 to %d of the characters a-z 0-9 _ -, found '%.60s'",
                       FED_SITE_BYTES - 1, text);
    }
    memcpy(out->text, text, n);
    return FL_OK;
}

bool fed_digest_equal(const fed_digest *a, const fed_digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool fed_digest_is_zero(const fed_digest *d)
{
    static const fed_digest zero;
    return fed_digest_equal(d, &zero);
}

void fed_job_digest(fed_digest *out, const char *yaml, size_t n)
{
    FL_REQUIRE(n > 0);
    uint64_t n_bytes;
    uint32_t n_pieces;
    fed_object_digest(out, FED_ENC_BYTES, yaml, n, &n_bytes, &n_pieces);
}
