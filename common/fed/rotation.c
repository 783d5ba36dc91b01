/*
 * rotation.c - see rotation.h
 */
#include "fed/rotation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/sys.h"

static const char label[] = "consilium rotate 1";
enum { MAX_FILE_BYTES = 16 << 20 };
const fed_site_id fed_coordinator = {.text = "coordinator"};

// ---------------------------------------------------------------- the statement

static void rotation_bytes(const fed_rotation *r, fl_buf *out)
{
    uint8_t n = (uint8_t)strlen(r->site.text);
    fl_buf_add(out, &n, 1);
    fl_buf_add(out, r->site.text, n);
    fl_buf_add(out, r->old_sign.bytes, FED_KEY_BYTES);
    fl_buf_add(out, r->old_curve.bytes, FED_KEY_BYTES);
    fl_buf_add(out, r->sign.bytes, FED_KEY_BYTES);
    fl_buf_add(out, r->curve.bytes, FED_KEY_BYTES);
}

void fed_rotation_make(fed_rotation *out, const fed_site_id *site, const fed_identity *old,
                       const fed_identity *new)
{
    fl_buf bytes = FL_BUF_INIT;
    *out = (fed_rotation){.site = *site,
                          .old_sign = fed_identity_verify(old),
                          .sign = fed_identity_verify(new),
                          .old_curve = fed_identity_public(old),
                          .curve = fed_identity_public(new)};
    rotation_bytes(out, &bytes);
    fed_sign(&out->old_signature, old, label, bytes.data, bytes.n);
    fed_sign(&out->signature, new, label, bytes.data, bytes.n);
    fl_buf_clear(&bytes);
}

bool fed_rotation_verify(const fed_rotation *r)
{
    fl_buf bytes = FL_BUF_INIT;
    rotation_bytes(r, &bytes);
    bool holds = memcmp(&r->old_sign, &r->sign, sizeof r->sign) != 0 &&
                 memcmp(&r->old_curve, &r->curve, sizeof r->curve) != 0 &&
                 fed_verify(&r->old_signature, &r->old_sign, label, bytes.data, bytes.n) &&
                 fed_verify(&r->signature, &r->sign, label, bytes.data, bytes.n);
    fl_buf_clear(&bytes);
    return holds;
}

/* The members of its JSON that are bytes. */
enum { N_MEMBERS = 6 };
static void *member(fed_rotation *r, size_t i, const char **name, size_t *n)
{
    static const char *const names[N_MEMBERS] = {"old_sign_key", "old_curve_key", "sign_key",
                                                 "curve_key",    "old_signature", "signature"};
    void *const at[N_MEMBERS] = {&r->old_sign, &r->old_curve,     &r->sign,
                                 &r->curve,    &r->old_signature, &r->signature};
    *name = names[i];
    *n = i < 4 ? (size_t)FED_KEY_BYTES : (size_t)FED_SIGNATURE_BYTES;
    return at[i];
}

json_t *fed_rotation_json(const fed_rotation *r)
{
    fed_rotation copy = *r;
    json_t *json = json_pack("{s:s}", "site", r->site.text);
    for (size_t i = 0; i < N_MEMBERS; i++) {
        const char *name;
        size_t n;
        const void *bytes = member(&copy, i, &name, &n);
        char *hex = fl_hex_of(bytes, n);
        json_object_set_new(json, name, json_string(hex));
        free(hex);
    }
    return json;
}

fl_status fed_rotation_parse(fed_rotation *out, const json_t *json, fl_err *err)
{
    memset(out, 0, sizeof *out);
    fl_status st = fed_site_id_parse(&out->site, fl_json_get_string(json, "site", ""), err);
    for (size_t i = 0; i < N_MEMBERS && st == FL_OK; i++) {
        const char *name;
        size_t n;
        void *bytes = member(out, i, &name, &n);
        if (fl_unhex(bytes, n, fl_json_get_string(json, name, ""), NULL) != FL_OK) {
            st = fl_fail(err, FL_EFORMAT, "rotation: %s: expected %zu bytes in hexadecimal", name,
                         n);
        }
    }
    if (st == FL_OK && !fed_rotation_verify(out)) {
        st = fl_fail(err, FL_EFORMAT, "rotation: does not bear the signatures of both keys");
    }
    return st;
}

bool fed_rotations_lead(const json_t *list, const fed_verify_key *from, const fed_verify_key *to)
{
    fed_verify_key at = *from;
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) {
        fed_rotation r;
        if (fed_rotation_parse(&r, item, NULL) == FL_OK &&
            memcmp(&r.old_sign, &at, sizeof at) == 0) {
            at = r.sign;
        }
    }
    return memcmp(&at, to, sizeof at) == 0;
}

// ------------------------------------------------------------------- the folder

static char *in_next(const char *dir, const char *name)
{
    char *next = fl_path_join(dir, "next"), *path = fl_path_join(next, name);
    free(next);
    return path;
}

static bool has(const char *dir, const char *name)
{
    char *path = in_next(dir, name);
    bool there = fl_file_exists(path);
    free(path);
    return there;
}

static fl_status write_rotation(const fed_rotation *r, const char *dir, fl_err *err)
{
    json_t *json = fed_rotation_json(r);
    char *text = json_dumps(json, JSON_COMPACT), *line = fl_xasprintf("%s\n", text);
    char *path = fl_path_join(dir, "rotation.json");
    fl_status st = fl_file_write(path, line, strlen(line), 0600, err);
    free(path);
    free(line);
    free(text);
    json_decref(json);
    return st;
}

static fl_status under_way(const char *next, fl_err *err)
{
    return fl_fail(err, FL_ECONFLICT,
                   "%s: a rotation is under way; it ends when the other side knows the new keys",
                   next);
}

fl_status fed_rotation_begin(fed_rotation *out, const char *dir, const fed_site_id *site,
                             fl_err *err)
{
    fed_identity *old = NULL, *new = NULL;
    fed_passphrase *pass = NULL;
    char *next = fl_path_join(dir, "next");
    char *partial = fl_xasprintf("%s.tmp-%ld", next, (long)getpid());
    fl_status st;
    if (fl_is_dir(next)) {
        st = under_way(next, err);
        goto done;
    }
    if ((st = fed_identity_read_with(&old, dir, &pass, err)) != FL_OK) {
        goto done;
    }
    new = fed_identity_new();
    fed_rotation_make(out, site, old, new);
    if ((st = fed_identity_write(new, partial, err)) != FL_OK ||
        (pass != NULL && (st = fed_identity_protect(new, partial, pass, err)) != FL_OK) ||
        (st = write_rotation(out, partial, err)) != FL_OK ||
        (st = fl_fsync_dir(partial, err)) != FL_OK) {
        goto done;
    }
    if (rename(partial, next) != 0) {  // ENOTEMPTY, EEXIST: another process was faster
        st = errno == ENOTEMPTY || errno == EEXIST ? under_way(next, err)
                                                   : fl_fail_errno(err, errno, next);
        goto done;
    }
    st = fl_fsync_dir(dir, err);
done:
    if (st != FL_OK) {
        (void)fl_remove_tree(partial, NULL);
    }
    fed_passphrase_destroy(&pass);
    fed_identity_destroy(&old);
    fed_identity_destroy(&new);
    free(partial);
    free(next);
    return st;
}

static fl_status read_rotation(fed_rotation *out, const char *dir, fl_err *err)
{
    json_t *json = NULL;
    char *path = in_next(dir, "rotation.json");
    fl_status st = fl_json_read(&json, path, 1 << 16, err);
    if (st == FL_OK && (st = fed_rotation_parse(out, json, err)) != FL_OK) {
        fl_wrap(err, st, "%s", path);
    }
    json_decref(json);
    free(path);
    return st;
}

bool fed_rotation_pending(fed_rotation *out, const char *dir)
{
    return has(dir, "rotation.json") && !has(dir, "accepted") &&
           read_rotation(out, dir, NULL) == FL_OK;
}

fl_status fed_rotations_add(const char *path, const fed_rotation *r, fl_err *err)
{
    fed_rotation last;
    json_t *list = NULL;
    fl_status st = fed_rotations_read(&list, path, err);
    if (st != FL_OK) {
        return st;
    }
    size_t n = json_array_size(list);
    bool noted = n > 0 && fed_rotation_parse(&last, json_array_get(list, n - 1), NULL) == FL_OK &&
                 memcmp(&last, r, sizeof last) == 0;
    if (!noted) {
        json_t *json = fed_rotation_json(r);
        char *text = json_dumps(json, JSON_COMPACT), *line = fl_xasprintf("\n%s\n", text);
        st = fl_file_append(path, line, strlen(line), err);  // a torn line before it stands alone
        free(line);
        free(text);
        json_decref(json);
    }
    json_decref(list);
    return st;
}

static fl_status note_former(const char *dir, fl_err *err)
{
    fed_rotation r;
    char *path = fl_path_join(dir, "former.jsonl");
    fl_status st = read_rotation(&r, dir, err);
    if (st == FL_OK) {
        st = fed_rotations_add(path, &r, err);
    }
    free(path);
    return st;
}

fl_status fed_rotation_finish(const char *dir, fl_err *err)
{
    static const char *const files[] = {"public.yaml", "curve.key", "sign.key"};
    fl_status st = FL_OK;
    if (!has(dir, "accepted")) {
        return FL_OK;
    }
    if ((st = note_former(dir, err)) != FL_OK) {
        return st;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files && st == FL_OK; i++) {
        char *from = in_next(dir, files[i]), *to = fl_path_join(dir, files[i]);
        if (rename(from, to) != 0 && errno != ENOENT) {  // ENOENT: moved before
            st = fl_fail_errno(err, errno, to);
        }
        free(from);
        free(to);
    }
    char *next = fl_path_join(dir, "next"), *gone = fl_path_join(dir, "next.done");
    if (st == FL_OK && (st = fl_fsync_dir(dir, err)) == FL_OK) {
        (void)fl_remove_tree(gone, NULL);
        if (rename(next, gone) != 0 && errno != ENOENT) {  // another process was faster
            st = fl_fail_errno(err, errno, next);
        } else if ((st = fl_fsync_dir(dir, err)) == FL_OK) {
            st = fl_remove_tree(gone, err);
        }
    }
    free(next);
    free(gone);
    return st;
}

fl_status fed_rotation_accept(const char *dir, fl_err *err)
{
    char *path = in_next(dir, "accepted"), *next = fl_path_join(dir, "next");
    fl_status st = fl_file_write(path, "", 0, 0600, err);
    if (st == FL_OK && (st = fl_fsync_dir(next, err)) == FL_OK) {
        st = fed_rotation_finish(dir, err);
    }
    free(next);
    free(path);
    return st;
}

fl_status fed_rotation_drop(const char *dir, fl_err *err)
{
    char *next = fl_path_join(dir, "next"), *gone = fl_path_join(dir, "next.done");
    fl_status st = FL_OK;
    (void)fl_remove_tree(gone, NULL);
    if (rename(next, gone) != 0 && errno != ENOENT) {
        st = fl_fail_errno(err, errno, next);
    } else {
        st = fl_remove_tree(gone, err);
    }
    free(next);
    free(gone);
    return st;
}

fl_status fed_rotation_former(json_t **out, const char *dir, fl_err *err)
{
    char *path = fl_path_join(dir, "former.jsonl");
    fl_status st = fed_rotations_read(out, path, err);
    free(path);
    return st;
}

fl_status fed_rotations_read(json_t **out, const char *path, fl_err *err)
{
    char *text = NULL, *rest = NULL;
    size_t n = 0;
    *out = json_array();
    fl_status st = fl_file_read(&text, &n, path, MAX_FILE_BYTES, err);
    for (char *line = st == FL_OK ? strtok_r(text, "\n", &rest) : NULL; line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        fed_rotation r;
        json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (json != NULL && fed_rotation_parse(&r, json, NULL) == FL_OK) {
            json_array_append(*out, json);  // a torn line is none
        }
        json_decref(json);
    }
    free(text);
    return st == FL_ENOTFOUND ? FL_OK : st;
}
