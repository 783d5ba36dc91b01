/*
 * peer.c - see peer.h
 */
#include "client/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"

static const char next_name[] = "keys/coordinator.next";
static const char chain_name[] = "keys/coordinator.jsonl";

static bool leads_on(const home *h, const fed_rotation *r)
{
    return strcmp(r->site.text, fed_coordinator.text) == 0 &&
           memcmp(&r->old_sign, &h->coordinator_sign, sizeof r->old_sign) == 0 &&
           memcmp(&r->old_curve, &h->coordinator_curve, sizeof r->old_curve) == 0;
}

/* Goes along the list as far as it leads; *n: by so many. */
static void follow(home *h, const json_t *list, size_t *n)
{
    size_t i;
    const json_t *item;
    *n = 0;
    json_array_foreach (list, i, item) {
        fed_rotation r;
        if (fed_rotation_parse(&r, item, NULL) == FL_OK && leads_on(h, &r)) {
            h->coordinator_sign = r.sign;
            h->coordinator_curve = r.curve;
            ++*n;
        }
    }
}

static void read_next(home *h)
{
    json_t *json = NULL;
    char *path = home_path(h, next_name);
    h->has_next = fl_json_read(&json, path, 1 << 16, NULL) == FL_OK &&
                  fed_rotation_parse(&h->next, json, NULL) == FL_OK && leads_on(h, &h->next);
    json_decref(json);
    free(path);
}

fl_status peer_read(home *h, fl_err *err)
{
    size_t n;
    char *path = home_path(h, chain_name);
    fl_status st = fed_rotations_read(&h->coordinators, path, err);
    if (st == FL_OK) {
        follow(h, h->coordinators, &n);
        read_next(h);
    }
    free(path);
    return st;
}

void peer_clear(home *h)
{
    json_decref(h->coordinators);
    h->coordinators = NULL;
}

fl_status peer_learn(home *h, const fed_rotation *r, fl_err *err)
{
    if (h->has_next && memcmp(&h->next, r, sizeof *r) == 0) {
        return FL_OK;
    }
    if (!leads_on(h, r) || !fed_rotation_verify(r)) {
        return fl_fail(err, FL_EDENIED,
                       "the coordinator's new keys do not bear the signature of those that this "
                       "hospital knows");
    }
    json_t *json = fed_rotation_json(r);
    char *text = json_dumps(json, JSON_COMPACT), *line = fl_xasprintf("%s\n", text);
    char *path = home_path(h, next_name), *keys = home_path(h, "keys");
    fl_status st = fl_file_write(path, line, strlen(line), 0600, err);
    if (st == FL_OK && (st = fl_fsync_dir(keys, err)) == FL_OK) {
        h->next = *r;
        h->has_next = true;
    }
    free(keys);
    free(path);
    free(line);
    free(text);
    json_decref(json);
    return st;
}

/* The rotation is behind the known keys from here on. */
static fl_status append(home *h, const fed_rotation *r, fl_err *err)
{
    char *path = home_path(h, chain_name), *keys = home_path(h, "keys");
    fl_status st = fed_rotations_add(path, r, err);
    if (st == FL_OK && (st = fl_fsync_dir(keys, err)) == FL_OK) {
        json_array_append_new(h->coordinators, fed_rotation_json(r));
        h->coordinator_sign = r->sign;
        h->coordinator_curve = r->curve;
    }
    free(keys);
    free(path);
    return st;
}

/* What is beside the known keys does not lead on from them any more. */
static void forget_next(home *h)
{
    char *path = home_path(h, next_name);
    h->has_next = false;
    unlink(path);  // or it is passed over when the home is opened
    free(path);
}

fl_status peer_takes_next(home *h, fl_err *err)
{
    FL_REQUIRE(h->has_next);
    const fed_rotation r = h->next;
    fl_status st = append(h, &r, err);
    if (st == FL_OK) {
        forget_next(h);
    }
    return st;
}

fl_status peer_trust(home *h, const char *path, size_t *n, fl_err *err)
{
    json_t *list = NULL;
    size_t i;
    const json_t *item;
    *n = 0;
    fl_status st = fl_file_exists(path) ? fed_rotations_read(&list, path, err)
                                        : fl_fail_errno(err, ENOENT, path);
    json_array_foreach (list, i, item) {
        fed_rotation r;
        if (st == FL_OK && (st = fed_rotation_parse(&r, item, err)) == FL_OK && leads_on(h, &r) &&
            (st = append(h, &r, err)) == FL_OK) {
            ++*n;
        }
    }
    if (st == FL_OK && *n == 0) {
        st = fl_fail(err, FL_EDENIED,
                     "%s: no rotation in it leads on from the coordinator's keys that this "
                     "hospital knows",
                     path);
    } else if (st == FL_OK) {
        forget_next(h);
    }
    json_decref(list);
    return st;
}

bool peer_knew(const home *h, const fed_verify_key *key)
{
    size_t i;
    const json_t *item;
    bool knew = memcmp(&h->coordinator_sign, key, sizeof *key) == 0;
    json_array_foreach (h->coordinators, i, item) {
        fed_rotation r;
        knew = knew || (fed_rotation_parse(&r, item, NULL) == FL_OK &&
                        memcmp(&r.old_sign, key, sizeof *key) == 0);
    }
    return knew;
}
