/*
 * tool_invite.c - `coordinator invite`: one-time keys for hospitals that are to enrol
 *
 * Until the coordinator knows the new invitation an earlier one of the site is valid, and a person
 * holds it; so the files come first, under names of their own, then the roster, and what is then
 * left to do is to give them their names.  A kill leaves the earlier invitation, or the new one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/sys.h"
#include "coordinator/tools.h"

enum { DAYS = 14 };
static const double day_ms = 86400000;

static struct {
    fl_texts sites;
    const char *address, *out;
    double days;
    bool confirm;
} o = {.days = DAYS};

static const fl_opt options[] = {
    {"site", FL_OPT_LIST, "NAME", "the hospital: a-z, 0-9, _ and -; again for more",
     &o.sites, 0, 0, true},
    {"address", FL_OPT_TEXT, "A", "another address than federation.yaml's", &o.address, 0, 0,
     false},
    {"out", FL_OPT_TEXT, "FILE", "where it goes (DIR/invitations/NAME.yaml)", &o.out, 0, 0,
     false},
    {"days", FL_OPT_NUM, "D", "valid for so many days (14), 0.04 is an hour", &o.days, 1e-6,
     3650, false},
    {"confirm", FL_OPT_FLAG, NULL, "a person here must confirm the site's fingerprint",
     &o.confirm, 0, 0, false},
    {0},
};

const fl_opt *coordinator_invite_options(void)
{
    return options;
}

/* A fresh one-time key; the invitation's id follows from its public half. */
static fl_status fill_invitation(fed_invitation *inv, const federation *f, const char *site,
                                 fl_err *err)
{
    fl_status st;
    int port;
    const char *address = o.address != NULL ? o.address : f->address;
    if ((st = fed_site_id_parse(&inv->site, site, err)) != FL_OK ||
        (st = federation_port(&port, address, err)) != FL_OK) {
        return st;
    }
    fed_identity *one_time = fed_identity_new();
    uint8_t id[FL_DIGEST_BYTES];
    snprintf(inv->federation, sizeof inv->federation, "%s", f->name);
    snprintf(inv->address, sizeof inv->address, "%s", address);
    inv->coordinator_curve = fed_identity_public(f->identity);
    inv->coordinator_sign = fed_identity_verify(f->identity);
    inv->curve_public = fed_identity_public(one_time);
    memcpy(inv->curve_secret, fed_identity_curve_secret(one_time), sizeof inv->curve_secret);
    fl_blake2b_of(id, "invitation", &inv->curve_public, sizeof inv->curve_public);
    memcpy(inv->id, id, sizeof inv->id);
    inv->expires_ms = fl_wall_ms() + (int64_t)(o.days * day_ms);
    fed_identity_destroy(&one_time);
    return FL_OK;
}

/* An invitation on its way into a person's hands. */
typedef struct {
    fed_invitation *inv;  // (n)
    char **path, **staged;  // (n) where it goes, and lies until the coordinator knows it
    size_t n, n_staged;
    size_t n_before;  // sites that had an invitation
} batch;

static fl_status begin(batch *b, const federation *f, const roster *r, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t i = 0; i < b->n && st == FL_OK; i++) {
        const char *site = o.sites.items[i];
        int known = roster_find(r, site);
        b->n_before += known >= 0 && roster_at(r, (size_t)known)->status == ROSTER_INVITED;
        char *part = fl_xasprintf("invitations/%s.yaml", site);
        b->path[i] = o.out != NULL ? fl_xstrdup(o.out) : federation_path(f, part);
        b->staged[i] = fl_xasprintf("%s.new", b->path[i]);
        free(part);
        if ((st = fill_invitation(&b->inv[i], f, site, err)) == FL_OK && fl_is_dir(b->path[i])) {
            st = fl_fail(err, FL_EIO, "%s is a folder; --out names the invitation's file",
                         b->path[i]);
        }
    }
    return st;
}

static fl_status stage(batch *b, fl_err *err)
{
    fl_status st = FL_OK;
    while (b->n_staged < b->n &&
           (st = fed_invitation_write(&b->inv[b->n_staged], b->staged[b->n_staged], err)) ==
               FL_OK) {
        b->n_staged++;
    }
    return st == FL_OK ? st
                       : fl_wrap(err, st, "no invitation is made%s",
                                 b->n_before > 0 ? ", the earlier one stays valid" : "");
}

/* The coordinator knows them: this must not fail, and where it does all the same nothing is lost. */
static fl_status give_names(const batch *b, fl_err *err)
{
    fl_status st = FL_OK;
    for (size_t i = 0; i < b->n; i++) {
        char *dir = fl_path_dir(b->path[i]);
        bool named = rename(b->staged[i], b->path[i]) == 0;
        int why = errno;
        fl_status flushed = fl_fsync_dir(dir, named ? err : NULL);
        if (named) {
            printf("%s\n", b->path[i]);
            st = flushed != FL_OK ? flushed : st;
        } else {
            fl_fail_errno(err, why, b->path[i]);
            st = fl_wrap(err, FL_EIO, "the invitation is valid and lies in %s", b->staged[i]);
        }
        free(dir);
    }
    return st;
}

static void print_valid(const batch *b)
{
    char until[32];
    fl_iso_time(until, sizeof until, b->inv[0].expires_ms);
    printf("valid until %s; hand %s to %s over a channel you trust: who holds it can enrol once\n",
           until, b->n > 1 ? "each" : "it", b->n > 1 ? "its site" : o.sites.items[0]);
    if (b->n_before > 0) {
        printf("the earlier invitation%s of %s useless now\n", b->n_before == 1 ? "" : "s",
               b->n > 1 ? "those who had one are" : "this site is");
    }
}

static void clear(batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        fed_invitation_clear(&b->inv[i]);
        free(b->path[i]);
        free(b->staged[i]);
    }
    free(b->inv);
    free(b->path);
    free(b->staged);
}

static fl_status invite(const federation *f, roster *r, fl_err *err)
{
    size_t n = o.sites.n;
    if (n > 1 && o.out != NULL) {
        return fl_fail(err, FL_EUSAGE, "--out names the file of one invitation, %zu are asked for",
                       n);
    }
    batch b = {.n = n,
               .inv = fl_xcalloc(n, sizeof *b.inv),
               .path = fl_xcalloc(n, sizeof *b.path),
               .staged = fl_xcalloc(n, sizeof *b.staged)};
    fl_status st = begin(&b, f, r, err);
    if (st == FL_OK && ((st = stage(&b, err)) != FL_OK ||
                        (st = roster_invite_all(r, b.inv, n, o.confirm, err)) != FL_OK)) {
        for (size_t i = 0; i < b.n_staged; i++) {
            unlink(b.staged[i]);
        }
    } else if (st == FL_OK && (st = give_names(&b, err)) == FL_OK) {
        print_valid(&b);
    }
    clear(&b);
    return st;
}

fl_status coordinator_invite(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    federation f;
    roster *r = NULL;
    fl_status st = fl_cli_parse(argc, argv, options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = coordinator_open(&f, &r, pos.items[0], err)) == FL_OK) {
        st = invite(&f, r, err);
        roster_close(&r);
        federation_close(&f);
    }
    free(o.sites.items);
    free(pos.items);
    return st;
}
