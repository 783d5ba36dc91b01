/*
 * keys_command.c - `coordinator passphrase` and `coordinator rotate`: the federation's own keys
 */
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/federation.h"
#include "coordinator/renewal.h"
#include "coordinator/roster.h"
#include "coordinator/tools.h"

static bool passphrase_remove;

static const fl_opt passphrase_options[] = {
    {"remove", FL_OPT_FLAG, NULL, "under none again", &passphrase_remove, 0, 0, false},
    {0},
};

const fl_opt *coordinator_passphrase_options(void)
{
    return passphrase_options;
}

fl_status coordinator_passphrase(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    federation f;
    fed_passphrase *pass = NULL;
    fed_rotation rotation;
    fl_status st = fl_cli_parse(argc, argv, passphrase_options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = federation_open(&f, pos.items[0], err)) == FL_OK) {
        char *keys = federation_path(&f, "keys");
        if (renewal_pending(&rotation, &f)) {
            st = fl_fail(err, FL_ECONFLICT,
                         "a rotation of these keys is under way; wait until it is over, or end it "
                         "with `consilium-coordinator rotate %s --now`",
                         f.dir);
        } else if ((passphrase_remove || (st = fed_passphrase_choose(&pass, err)) == FL_OK) &&
                   (st = fed_identity_protect(f.identity, keys, pass, err)) == FL_OK) {
            printf("the keys of %s are under %s passphrase now\n", f.dir,
                   passphrase_remove ? "no" : "the new");
        }
        fed_passphrase_destroy(&pass);
        free(keys);
        federation_close(&f);
    }
    free(pos.items);
    return st;
}

// --------------------------------------------------------------------- rotate

static bool rotate_now;

static const fl_opt rotate_options[] = {
    {"now", FL_OPT_FLAG, NULL, "do not wait for sites that do not know the new keys yet",
     &rotate_now, 0, 0, false},
    {0},
};

const fl_opt *coordinator_rotate_options(void)
{
    return rotate_options;
}

/* whom: of these; "" = all, or "those that ..." */
static void print_file_hint(const federation *f, const char *unaware, const char *whom)
{
    if (*unaware != '\0') {
        printf("Do not know them yet: %s.\nGive %s %s/keys/former.jsonl, which is no secret, for\n"
               "`consilium-client trust --home H FILE`; those who have not enrolled: a new "
               "invitation.\n",
               unaware, *whom != '\0' ? whom : "them", f->dir);
    }
}

/* The new keys, at once where no coordinator runs, else by the one that does. */
static fl_status take_or_leave(federation *f, const roster *r, const fed_rotation *rotation,
                               fl_err *err)
{
    fl_err runs = FL_ERR_INIT;
    char *unaware = renewal_unaware(r, rotation);
    fl_status st = FL_OK;
    bool is_due = renewal_is_due(f, r, rotation);
    if (is_due && federation_lock(f, 0, &runs) == FL_OK) {
        if ((st = renewal_take(f, err)) == FL_OK) {
            printf("These keys are in use now; the old ones are refused.\n");
            print_file_hint(f, unaware, "");
        }
    } else if (is_due) {
        printf("The coordinator that runs on %s takes them within seconds, and tells the sites that\n"
               "are connected.\n",
               f->dir);
        print_file_hint(f, unaware, "those of them that are not connected now");
    } else {
        printf("The coordinator that runs on %s (or the next one) tells the sites, under the old\n"
               "keys' signature, and takes the new keys when every site knows them, or after\n"
               "`rotate --now`.  It waits for: %s\n",
               f->dir, unaware);
    }
    free(unaware);
    return st;
}

fl_status coordinator_rotate(int argc, char **argv, fl_err *err)
{
    fl_texts pos;
    federation f;
    roster *r = NULL;
    fed_rotation rotation;
    fl_status st = fl_cli_parse(argc, argv, rotate_options, 1, 1, &pos, err);
    if (st != FL_OK) {
        return st;
    }
    if ((st = federation_open(&f, pos.items[0], err)) != FL_OK) {
        free(pos.items);
        return st;
    }
    char *db = federation_path(&f, "federation.db");
    if ((st = roster_open(&r, db, err)) == FL_OK && !renewal_pending(&rotation, &f)) {
        st = renewal_begin(&rotation, &f, err);
    }
    if (st == FL_OK && (!rotate_now || (st = renewal_hurry(&f, err)) == FL_OK)) {
        char fingerprint[FED_FINGERPRINT_BYTES];
        fed_fingerprint(fingerprint, &rotation.curve, &rotation.sign);
        printf("new fingerprint of the coordinator  %s\n", fingerprint);
        st = take_or_leave(&f, r, &rotation, err);
    }
    roster_close(&r);
    federation_close(&f);
    free(db);
    free(pos.items);
    return st;
}
