/*
 * keys_command.c - `client passphrase`, `client rotate` and `client trust`: the home's keys
 */
#include <stdio.h>
#include <stdlib.h>

#include "client/fed_commands.h"
#include "client/home.h"
#include "client/peer.h"

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
    fed_rotation rotation;
    fl_texts pos = {NULL, 0};
    fl_status st = fl_cli_parse(argc, argv, options, 0, 0, &pos, err);
    if (st == FL_OK && (st = home_open(&h, chosen.home, err)) == FL_OK &&
        home_rotation(h, &rotation)) {
        st = fl_fail(err, FL_ECONFLICT,
                     "a rotation of these keys is under way; wait until the coordinator knows them");
    }
    if (st != FL_OK ||
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

// --------------------------------------------------------------------- rotate

static const char *rotate_home;

static const fl_opt rotate_options[] = {
    {"home", FL_OPT_TEXT, "DIR", "the hospital's home", &rotate_home, 0, 0, true},
    {0},
};

const fl_opt *client_rotate_options(void)
{
    return rotate_options;
}

fl_status client_rotate(int argc, char **argv, fl_err *err)
{
    home *h = NULL;
    char *keys = NULL;
    fed_invitation inv;
    fed_rotation rotation;
    fl_texts pos = {NULL, 0};
    fl_status st = fl_cli_parse(argc, argv, rotate_options, 0, 0, &pos, err);
    if (st != FL_OK || (st = home_open(&h, rotate_home, err)) != FL_OK) {
        goto done;
    }
    keys = home_path(h, "keys");
    if (home_invitation(h, &inv, NULL)) {
        fed_invitation_clear(&inv);
        st = fl_fail(err, FL_ECONFLICT,
                     "%s is not enrolled yet: nobody knows its keys; to have others, join again",
                     h->site.text);
    } else if ((st = fed_rotation_begin(&rotation, keys, &h->site, err)) == FL_OK) {
        char fingerprint[FED_FINGERPRINT_BYTES];
        fed_fingerprint(fingerprint, &rotation.curve, &rotation.sign);
        printf("new fingerprint  %s\n"
               "The client that runs on %s (or the next one) tells the coordinator, under the "
               "old\nkeys' signature; they stay in use until it has answered.\n",
               fingerprint, h->dir);
    }
done:
    home_close(&h);
    free(keys);
    free(pos.items);
    return st;
}

// ---------------------------------------------------------------------- trust

static const char *trust_home;

static const fl_opt trust_options[] = {
    {"home", FL_OPT_TEXT, "DIR", "the hospital's home", &trust_home, 0, 0, true},
    {0},
};

const fl_opt *client_trust_options(void)
{
    return trust_options;
}

fl_status client_trust(int argc, char **argv, fl_err *err)
{
    home *h = NULL;
    fl_texts pos = {NULL, 0};
    size_t n = 0;
    fl_status st = fl_cli_parse(argc, argv, trust_options, 1, 1, &pos, err);
    if (st == FL_OK && (st = home_open(&h, trust_home, err)) == FL_OK &&
        (st = home_lock(h, 0, err)) == FL_OK &&
        (st = peer_trust(h, pos.items[0], &n, err)) == FL_OK) {
        char fingerprint[FED_FINGERPRINT_BYTES];
        fed_fingerprint(fingerprint, &h->coordinator_curve, &h->coordinator_sign);
        printf("fingerprint of the coordinator  %s\n%zu change%s of its keys followed, each under "
               "the signature of the keys before.\n",
               fingerprint, n, n == 1 ? "" : "s");
    }
    home_close(&h);
    free(pos.items);
    return st;
}
