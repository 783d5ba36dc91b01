/*
 * home.c - see home.h
 */
#define _XOPEN_SOURCE 700  // realpath
#include "client/home.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cfg.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"
#include "client/peer.h"
#include "fed/secret.h"

enum { MAX_THREADS = 256 };

// ------------------------------------------------------------------- joining

/* A YAML scalar that reads back as text whatever is in it: JSON's quotes are
 * YAML's double quotes. */
static void add_text(fl_buf *b, const char *text)
{
    json_t *json = json_string(text);
    char *quoted = json == NULL ? NULL : json_dumps(json, JSON_ENCODE_ANY);
    fl_buf_puts(b, quoted == NULL ? "\"\"" : quoted);
    free(quoted);
    json_decref(json);
}

/* Where the data are must not depend on where the client is started. */
static char *absolute_path(const char *path)
{
    char *real = realpath(path, NULL);
    if (real != NULL) {
        return real;
    }
    char here[4096];
    if (getcwd(here, sizeof here) == NULL) {
        return fl_xstrdup(path);
    }
    return fl_path_join(here, path);
}

static void config_text(fl_buf *out, const fed_invitation *inv, const home_plan *plan)
{
    char curve[2 * FED_KEY_BYTES + 1], sign[2 * FED_KEY_BYTES + 1];
    char *path = absolute_path(plan->data);

    fl_hex(curve, inv->coordinator_curve.bytes, FED_KEY_BYTES);
    fl_hex(sign, inv->coordinator_sign.bytes, FED_KEY_BYTES);
    fl_buf_puts(out,
                "# client.yaml - made by `consilium-client join` from the invitation\n\nsite: ");
    add_text(out, inv->site.text);
    fl_buf_puts(out, "\nfederation: ");
    add_text(out, inv->federation);
    fl_buf_puts(out, "\ncoordinator:\n  address: ");
    add_text(out, inv->address);
    fl_buf_printf(out, "\n  curve_key: \"%s\"\n  sign_key: \"%s\"\n", curve, sign);
    fl_buf_puts(out, "\n# The hospital's data set.  It is read here and nowhere else.\ndata: ");
    add_text(out, path);
    fl_buf_puts(out, "\n\n# Most threads of one training; 0 = as the job says.\nthreads: 0\n"
                     "\n# Where there is no direct way out: http://HOST:PORT or socks5://HOST:PORT,\n"
                     "# with USER:PASSWORD@ before HOST where the proxy asks for them.\n"
                     "proxy: none\n"
                     "\n# Of the hospital's pages: en, or fr for French ones beside the English.\n");
    fl_buf_printf(out, "language: %s\n", report_language_code(plan->language));
    free(path);
}

static fl_status write_in(const char *dir, const char *name, const char *text, unsigned mode,
                          fl_err *err)
{
    char *path = fl_path_join(dir, name);
    fl_status st = fl_file_write(path, text, strlen(text), mode, err);
    free(path);
    return st;
}

static fl_status make_dir_in(const char *dir, const char *name, fl_err *err)
{
    char *path = fl_path_join(dir, name);
    fl_status st = fl_mkdirs(path, 0700, err);
    free(path);
    return st;
}

/* Everything of a home, into a folder that is renamed when it is whole. */
static fl_status fill(const char *dir, const home_plan *plan, const fed_invitation *inv,
                      fl_err *err)
{
    static const char *const folders[] = {"keys", "outbox", "pending", "runs"};
    fl_status st = FL_OK;
    fl_buf config = FL_BUF_INIT;
    char *keys = fl_path_join(dir, "keys");
    char *copy = fl_path_join(keys, "invitation.yaml");
    fed_identity *id = fed_identity_new();

    for (size_t i = 0; i < sizeof folders / sizeof *folders && st == FL_OK; i++) {
        st = make_dir_in(dir, folders[i], err);
    }
    config_text(&config, inv, plan);
    if (st != FL_OK || (st = fed_identity_write(id, keys, err)) != FL_OK ||
        (st = fed_invitation_write(inv, copy, err)) != FL_OK ||
        (st = write_in(dir, "policy.yaml", plan->policy, 0644, err)) != FL_OK ||
        (st = write_in(dir, "receipts.jsonl", "", 0600, err)) != FL_OK ||
        (st = write_in(dir, "client.yaml", config.data, 0600, err)) != FL_OK) {
        goto done;
    }
    st = fl_fsync_dir(dir, err);
done:
    fed_identity_destroy(&id);
    fl_buf_clear(&config);
    free(copy);
    free(keys);
    return st;
}

static fl_status check_free(const char *dir, fl_err *err)
{
    char *config = fl_path_join(dir, "client.yaml");
    bool is_home = fl_file_exists(config);
    free(config);
    if (is_home) {
        return fl_fail(err, FL_ECONFLICT,
                       "%s is a hospital's home already; join with another "
                       "--home, or go on with `consilium-client run --home %s`",
                       dir, dir);
    }
    char **names = NULL;
    size_t n = 0;
    if (fl_file_exists(dir) && !fl_is_dir(dir)) {
        return fl_fail(err, FL_ECONFLICT, "%s is there and is no folder", dir);
    }
    if (fl_is_dir(dir)) {
        fl_status st = fl_list_dir(&names, &n, dir, err);
        fl_names_free(&names, n);
        if (st != FL_OK) {
            return st;
        }
    }
    if (n > 0) {
        return fl_fail(err, FL_ECONFLICT, "%s is there and is not empty; name a new folder", dir);
    }
    return FL_OK;
}

fl_status home_join(const home_plan *plan, fl_err *err)
{
    fed_invitation inv;
    fl_status st = fed_invitation_read(&inv, plan->invitation, err);
    if (st != FL_OK) {
        return st;
    }
    char *plain = fl_xstrdup(plan->dir);
    for (size_t n = strlen(plain); n > 1 && plain[n - 1] == '/'; n--) {
        plain[n - 1] = '\0';
    }
    char *partial = fl_xasprintf("%s.tmp-%ld", plain, (long)getpid());
    if (inv.expires_ms <= fl_wall_ms()) {
        char when[32];
        fl_iso_time(when, sizeof when, inv.expires_ms);
        st = fl_fail(err, FL_EDENIED,
                     "%s: the invitation expired on %s; ask the coordinator for "
                     "a new one",
                     plan->invitation, when);
        goto done;
    }
    if ((st = check_free(plain, err)) != FL_OK || (st = fl_mkdirs(partial, 0700, err)) != FL_OK ||
        (st = fill(partial, plan, &inv, err)) != FL_OK) {
        goto done;
    }
    if (rename(partial, plain) != 0) {
        st = fl_fail_errno(err, errno, plain);
        goto done;
    }
    char *parent = fl_path_dir(plain);
    st = fl_fsync_dir(parent, err);
    free(parent);
done:
    if (st != FL_OK) {
        (void)fl_remove_tree(partial, NULL);
    }
    fed_invitation_clear(&inv);
    free(partial);
    free(plain);
    return st;
}

// ------------------------------------------------------------------- opening

static void read_key(uint8_t key[static FED_KEY_BYTES], fl_node map, const char *name)
{
    const char *hex = fl_cfg_text(map, name, FL_CFG_REQUIRED_TEXT,
                                  "the coordinator's public key, 64 hexadecimal digits");
    if (fl_unhex(key, FED_KEY_BYTES, hex, NULL) != FL_OK) {
        fl_cfg_complain(map, "%s: expected 64 hexadecimal digits", name);
    }
}

static void read_short(char *out, size_t size, fl_node map, const char *key, const char *help)
{
    const char *text = fl_cfg_text(map, key, FL_CFG_REQUIRED_TEXT, help);
    if (strlen(text) >= size) {
        fl_cfg_complain(map, "%s: longer than %zu bytes", key, size - 1);
        return;
    }
    memcpy(out, text, strlen(text) + 1);
}

static void read_language(home *h, fl_node root)
{
    const char *code = fl_cfg_text(root, "language", "en", "of the pages: en or fr");
    if (!report_language_find(&h->language, code)) {
        fl_cfg_complain(root, "language: expected en or fr, found %.60s", code);
    }
}

static fl_status read_config(home *h, const char *path, fl_err *err)
{
    fl_cfg *cfg = NULL;
    fl_status st = fl_cfg_read(&cfg, path, err);
    if (st != FL_OK) {
        return st;
    }
    fl_node root = fl_cfg_root(cfg);
    char site[FED_SITE_BYTES] = "";
    read_short(site, sizeof site, root, "site", "this hospital's name in the federation");
    read_short(h->federation, sizeof h->federation, root, "federation", "name of the federation");
    fl_node peer = fl_cfg_map(root, "coordinator", "who this hospital talks to");
    read_short(h->address, sizeof h->address, peer, "address", "tcp://HOST:PORT");
    read_key(h->coordinator_curve.bytes, peer, "curve_key");
    read_key(h->coordinator_sign.bytes, peer, "sign_key");
    h->data = fl_xstrdup(fl_cfg_path(root, "data", FL_CFG_REQUIRED_TEXT, "the data set"));
    h->max_threads = (int)fl_cfg_int(root, "threads", 0, MAX_THREADS, 0,
                                     "most threads of one training; 0 = as the job says");
    h->proxy = fl_xstrdup(fl_cfg_text(root, "proxy", "none",
                                      "http://HOST:PORT or socks5://HOST:PORT to go through"));
    memcpy(h->dial, h->address, sizeof h->dial);
    read_language(h, root);
    if ((st = fl_cfg_finish(cfg, err)) == FL_OK &&
        (st = fed_site_id_parse(&h->site, site, err)) != FL_OK) {
        st = fl_wrap(err, st, "%s: site", path);
    }
    fl_cfg_destroy(&cfg);
    return st;
}

/* All but its own keys. */
static fl_status open_without_keys(home **out, const char *dir, fl_err *err)
{
    *out = NULL;
    home *h = fl_xcalloc(1, sizeof *h);
    h->lock_fd = -1;
    h->receipts = fl_xcalloc(1, sizeof *h->receipts);
    h->dir = fl_xstrdup(dir);
    char *config = home_path(h, "client.yaml");
    char *keys = home_path(h, "keys");
    fl_status st = fl_file_visible(config, err);

    if (st == FL_ENOTFOUND) {
        st = fl_fail(err, FL_ENOTFOUND,
                     "%s is no hospital's home: it has no client.yaml; make one "
                     "with `consilium-client join INVITATION --home %s --data DATASET`",
                     dir, dir);
    }
    if (st != FL_OK || (st = read_config(h, config, err)) != FL_OK || (st = peer_read(h, err)) != FL_OK ||
        (st = fed_rotation_finish(keys, err)) != FL_OK ||
        (st = fed_rotation_former(&h->rotations, keys, err)) != FL_OK) {
        goto done;
    }
    *out = h;
    h = NULL;  // now the caller's
done:
    home_close(&h);
    free(keys);
    free(config);
    return st;
}

fl_status home_open(home **out, const char *dir, fl_err *err)
{
    fl_status st = open_without_keys(out, dir, err);
    if (st == FL_OK) {
        fed_identity *id = NULL;
        char *keys = home_path(*out, "keys");
        st = fed_identity_read(&id, keys, err);
        (*out)->id = id;
        free(keys);
    }
    if (st != FL_OK) {
        home_close(out);
    }
    return st;
}

fl_status home_look(home **out, const char *dir, fl_err *err)
{
    fl_status st = open_without_keys(out, dir, err);
    if (st == FL_OK) {
        char *keys = home_path(*out, "keys");
        st = fed_identity_look(&(*out)->seen_curve, &(*out)->seen_sign, keys, err);
        free(keys);
    }
    if (st != FL_OK) {
        home_close(out);
    }
    return st;
}

void home_close(home **h)
{
    if (*h == NULL) {
        return;
    }
    fed_identity *id = (*h)->id;
    fed_identity_destroy(&id);
    for (size_t i = 0; i < (*h)->n_old; i++) {
        fed_identity_destroy(&(*h)->old_id[i]);
    }
    free((*h)->old_id);
    json_decref((*h)->rotations);
    peer_clear(*h);
    if ((*h)->lock_fd >= 0) {
        close((*h)->lock_fd);
    }
    if ((*h)->proxy != NULL) {
        fed_wipe((*h)->proxy, strlen((*h)->proxy));
    }
    free((*h)->proxy);
    free((*h)->data);
    free((*h)->receipts);
    free((*h)->dir);
    FL_FREE(*h);
}

fl_status home_lock(home *h, int wait_ms, fl_err *err)
{
    FL_REQUIRE(h->lock_fd < 0);
    char *path = home_path(h, "lock");
    fl_status st = fl_file_lock(&h->lock_fd, path, 0600, wait_ms, err);
    free(path);
    return st == FL_ECONFLICT
               ? fl_fail(err, st, "%s is served by another process already", h->dir)
               : st;
}

fl_status home_patient_secret(uint8_t out[static FED_KEY_BYTES], const home *h, fl_err *err)
{
    char *path = home_path(h, "keys/patients.key");
    fl_status st = fed_secret_open(out, path, err);
    free(path);
    return st;
}

// ------------------------------------------------------------------ rotation

fed_verify_key home_verify_key(const home *h)
{
    return h->id != NULL ? fed_identity_verify(h->id) : h->seen_sign;
}

void home_fingerprint(char out[static FED_FINGERPRINT_BYTES], const home *h)
{
    fed_public_key curve = h->id != NULL ? fed_identity_public(h->id) : h->seen_curve;
    fed_verify_key sign = home_verify_key(h);
    fed_fingerprint(out, &curve, &sign);
}

bool home_had_key(const home *h, const fed_verify_key *key)
{
    fed_verify_key own = home_verify_key(h);
    if (memcmp(&own, key, sizeof own) == 0) {
        return true;
    }
    size_t i;
    const json_t *item;
    json_array_foreach(h->rotations, i, item) {
        fed_rotation r;
        if (fed_rotation_parse(&r, item, NULL) == FL_OK &&
            (memcmp(&r.old_sign, key, sizeof *key) == 0 ||
             memcmp(&r.sign, key, sizeof *key) == 0)) {
            return true;
        }
    }
    return false;
}

bool home_rotation(const home *h, fed_rotation *out)
{
    char *keys = home_path(h, "keys");
    bool pending = fed_rotation_pending(out, keys);
    free(keys);
    return pending;
}

fl_status home_rotated(home *h, fl_err *err)
{
    char *keys = home_path(h, "keys");
    json_t *rotations = NULL;
    fed_identity *id = NULL;
    fl_status st;
    if ((st = fed_rotation_accept(keys, err)) == FL_OK &&
        (st = fed_rotation_former(&rotations, keys, err)) == FL_OK &&
        (st = fed_identity_read(&id, keys, err)) == FL_OK) {
        json_decref(h->rotations);
        h->rotations = json_incref(rotations);
        h->old_id = fl_xrealloc(h->old_id, h->n_old + 1, sizeof *h->old_id);
        h->old_id[h->n_old++] = h->id;
        h->id = id;
    }
    json_decref(rotations);
    free(keys);
    return st;
}

fl_status home_not_rotated(home *h, fl_err *err)
{
    char *keys = home_path(h, "keys");
    fl_status st = fed_rotation_drop(keys, err);
    free(keys);
    return st;
}

// ----------------------------------------------------------------- enrolment

bool home_invitation(const home *h, fed_invitation *out, fl_err *err)
{
    char *path = home_path(h, "keys/invitation.yaml");
    bool there = fl_file_exists(path) && fed_invitation_read(out, path, err) == FL_OK;
    free(path);
    return there;
}

fl_status home_enrolled(const home *h, fl_err *err)
{
    char *path = home_path(h, "keys/invitation.yaml");
    char *keys = home_path(h, "keys");
    fl_status st = FL_OK;
    if (unlink(path) != 0 && errno != ENOENT) {
        st = fl_fail_errno(err, errno, path);
    } else {
        st = fl_fsync_dir(keys, err);
    }
    free(keys);
    free(path);
    return st;
}

// --------------------------------------------------------------------- paths

char *home_path(const home *h, const char *name)
{
    return fl_path_join(h->dir, name);
}

fl_status home_run_path(char **out, const home *h, const char *run, fl_err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    *out = NULL;
    if (run[0] == '\0' || run[0] == '.' || run[strspn(run, allowed)] != '\0') {
        return fl_fail(err, FL_EFORMAT,
                       "the coordinator named the run in a way that is no file "
                       "name: letters, digits, '.', '_' and '-' are expected");
    }
    char *runs = home_path(h, "runs");
    *out = fl_path_join(runs, run);
    free(runs);
    return FL_OK;
}
