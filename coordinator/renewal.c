/*
 * renewal.c - see renewal.h
 */
#include "coordinator/renewal.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"

static const char hurry[] = "keys/next/now";  // goes with the folder

fl_status renewal_begin(fed_rotation *out, const federation *f, fl_err *err)
{
    char *keys = federation_path(f, "keys");
    fl_status st = fed_rotation_begin(out, keys, &fed_coordinator, err);
    free(keys);
    return st;
}

bool renewal_pending(fed_rotation *out, const federation *f)
{
    char *keys = federation_path(f, "keys");
    bool pending = fed_rotation_pending(out, keys);
    free(keys);
    return pending;
}

fl_status renewal_hurry(const federation *f, fl_err *err)
{
    char *path = federation_path(f, hurry);
    fl_status st = fl_file_write(path, "", 0, 0600, err);
    free(path);
    return st;
}

/* Removed sites are told nothing. */
static bool is_unaware(const roster_site *s, const fed_rotation *rotation)
{
    return s->status != ROSTER_REMOVED &&
           memcmp(&s->knows, &rotation->sign, sizeof s->knows) != 0;
}

bool renewal_is_due(const federation *f, const roster *r, const fed_rotation *rotation)
{
    bool waits = false;
    for (size_t i = 0; i < roster_n(r) && !waits; i++) {
        waits = is_unaware(roster_at(r, i), rotation);
    }
    char *path = federation_path(f, hurry);
    bool is_due = !waits || fl_file_exists(path);
    free(path);
    return is_due;
}

fl_status renewal_take(federation *f, fl_err *err)
{
    fed_rotation rotation;
    fed_identity *id = NULL;
    FL_REQUIRE(f->lock >= 0);
    if (!renewal_pending(&rotation, f)) {
        return FL_OK;
    }
    char *keys = federation_path(f, "keys");
    fl_status st = fed_rotation_accept(keys, err);
    if (st == FL_OK && (st = fed_identity_read_with(&id, keys, &f->pass, err)) == FL_OK) {
        fed_identity_destroy(&f->identity);
        f->identity = id;
    }
    free(keys);
    return st;
}

char *renewal_unaware(const roster *r, const fed_rotation *rotation)
{
    fl_buf text = FL_BUF_INIT;
    fl_buf_puts(&text, "");
    for (size_t i = 0; i < roster_n(r); i++) {
        const roster_site *s = roster_at(r, i);
        if (is_unaware(s, rotation)) {
            bool is_old = s->protocol != 0 && s->protocol < RENEWAL_SINCE;
            fl_buf_printf(&text, "%s%s%s", text.n > 0 ? ", " : "", s->name.text,
                          s->status == ROSTER_INVITED ? " (invited)"
                          : is_old                    ? " (its client is too old: upgrade it)"
                                                      : "");
        }
    }
    return text.data;  // the caller's
}
