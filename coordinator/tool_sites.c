/*
 * tool_sites.c - `coordinator sites`
 *
 * Reads what a running coordinator writes; may be called at any time, without the passphrase.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"
#include "coordinator/federation.h"
#include "coordinator/roster.h"
#include "coordinator/tools.h"

fl_status coordinator_look(federation *f, roster **r, const char *dir, fl_err *err)
{
    fl_status st = federation_look(f, dir, err);
    if (st != FL_OK) {
        return st;
    }
    char *db = federation_path(f, "federation.db");
    if ((st = roster_look(r, db, err)) != FL_OK) {
        federation_close(f);
    }
    free(db);
    return st;
}

fl_status coordinator_open(federation *f, roster **r, const char *dir, fl_err *err)
{
    fl_status st = federation_open(f, dir, err);
    if (st == FL_OK) {
        char *db = federation_path(f, "federation.db");
        if ((st = roster_open(r, db, err)) != FL_OK) {
            federation_close(f);
        }
        free(db);
    }
    return st;
}

static void time_text(char out[static 32], int64_t wall_ms)
{
    if (wall_ms == 0) {
        snprintf(out, 32, "-");
    } else {
        fl_iso_time(out, 32, wall_ms);
    }
}

static struct {
    const char *confirm;
    bool json;
} sites_o;

static const fl_opt sites_options[] = {
    {"confirm", FL_OPT_TEXT, "SITE", "the fingerprint of this site was compared and is right",
     &sites_o.confirm, 0, 0, false},
    {"json", FL_OPT_FLAG, NULL, "as JSON", &sites_o.json, 0, 0, false},
    {0},
};

const fl_opt *coordinator_sites_options(void)
{
    return sites_options;
}

static json_t *site_json(const roster_site *s)
{
    char enrolled[32], seen[32], expires[32];
    time_text(enrolled, s->enrolled_ms);
    time_text(seen, s->seen_ms);
    time_text(expires, s->expires_ms);
    return json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?}", "name", s->name.text, "status",
                     roster_status_text(s->status), "fingerprint",
                     s->fingerprint[0] != '\0' ? s->fingerprint : NULL, "enrolled",
                     s->enrolled_ms != 0 ? enrolled : NULL, "seen", s->seen_ms != 0 ? seen : NULL,
                     "expires", s->expires_ms != 0 ? expires : NULL, "software",
                     s->software[0] != '\0' ? s->software : NULL);
}

static void print_site(const roster_site *s)
{
    char when[32];
    bool invited = s->status == ROSTER_INVITED;
    time_text(when, invited ? s->expires_ms : s->seen_ms);
    printf("%-16s  %-11s  %-39s  %s%s\n", s->name.text, roster_status_text(s->status),
           s->fingerprint[0] != '\0' ? s->fingerprint : "-", invited ? "until " : "", when);
}

fl_status coordinator_sites(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    federation f;
    roster *r = NULL;
    fl_status st = fl_cli_parse(argc, argv, sites_options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = coordinator_look(&f, &r, pos.items[0], err)) != FL_OK) {
        goto done;
    }
    if (sites_o.confirm != NULL && (st = roster_confirm(r, sites_o.confirm, err)) != FL_OK) {
        goto close;
    }
    json_t *list = json_array();
    if (!sites_o.json && roster_n(r) > 0) {
        printf("%-16s  %-11s  %-39s  %s\n", "site", "status", "fingerprint",
               "last connected");
    }
    for (size_t i = 0; i < roster_n(r); i++) {
        if (sites_o.json) {
            json_array_append_new(list, site_json(roster_at(r, i)));
        } else {
            print_site(roster_at(r, i));
        }
    }
    if (sites_o.json) {
        char *text = fl_json_text(list);
        fputs(text, stdout);
        free(text);
    } else if (roster_n(r) == 0) {
        printf("no site yet: `consilium-coordinator invite %s --site NAME` makes an invitation\n",
               pos.items[0]);
    }
    json_decref(list);
close:
    roster_close(&r);
    federation_close(&f);
done:
    free(pos.items);
    return st;
}
