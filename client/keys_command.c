/*
 * keys_command.c - `client passphrase`: the home's keys under a passphrase, or under none
 */
#include <stdio.h>
#include <stdlib.h>

#include "client/fed_commands.h"
#include "client/home.h"

static struct {
    const char *home;
    bool remove;
} chosen;

static const fl_opt options[] = {
    {"home", FL_OPT_TEXT, "DIR", "the hospital's home", &chosen.home, 0, 0, true},
    {"remove", FL_OPT_FLAG, NULL, "under none again", &chosen.remove, 0, 0, false},
    {0},
};

const fl_opt *client_passphrase_options(void)
{
    return options;
}

fl_status client_passphrase(int argc, char **argv, fl_err *err)
{
    home *h = NULL;
    fed_passphrase *pass = NULL;
    fl_texts pos = {NULL, 0};
    fl_status st = fl_cli_parse(argc, argv, options, 0, 0, &pos, err);
    if (st != FL_OK || (st = home_open(&h, chosen.home, err)) != FL_OK ||
        (!chosen.remove && (st = fed_passphrase_choose(&pass, err)) != FL_OK)) {
        goto done;
    }
    char *keys = home_path(h, "keys");
    if ((st = fed_identity_protect(h->id, keys, pass, err)) == FL_OK) {
        printf("the keys of %s are under %s passphrase now\n", h->dir,
               chosen.remove ? "no" : "the new");
    }
    free(keys);
done:
    fed_passphrase_destroy(&pass);
    home_close(&h);
    free(pos.items);
    return st;
}
