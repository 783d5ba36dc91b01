/*
 * test_rotation.c - the statement, and the folder at every place that a crash may leave it
 */
#include "check.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "fed/rotation.h"

static fed_site_id nord = {.text = "nord"};

static void the_old_key_and_the_new_one_sign_and_nothing_can_be_changed(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fed_identity *old = fed_identity_new(), *new = fed_identity_new();
    fed_rotation r, again;
    fed_rotation_make(&r, &nord, old, new);
    check(fed_rotation_verify(&r));
    json_t *json = fed_rotation_json(&r);
    check_ok(fed_rotation_parse(&again, json, &err), err);
    check_bytes(&again, &r, sizeof r);
    for (size_t i = 0; i < sizeof r; i++) {
        fed_rotation bad = r;
        if (i >= sizeof bad.site - (sizeof bad.site - strlen(bad.site.text)) &&
            i < sizeof bad.site) {
            continue;  // behind the name
        }
        ((uint8_t *)&bad)[i] ^= 4;
        check(!fed_rotation_verify(&bad));
    }
    const char *key;
    json_t *value;
    json_object_foreach (json, key, value) {
        json_t *without = json_copy(json);
        json_object_del(without, key);
        check_fails(fed_rotation_parse(&again, without, &err), FL_EFORMAT);
        json_decref(without);
    }
    fed_rotation_make(&r, &nord, old, old);
    check(!fed_rotation_verify(&r));  // to the same keys
    json_decref(json);
    fed_identity_destroy(&old);
    fed_identity_destroy(&new);
}

static void a_chain_leads_from_the_first_key_to_the_last(void **state)
{
    (void)state;
    fed_identity *id[4];
    fed_verify_key key[4];
    json_t *list = json_array();
    for (int i = 0; i < 4; i++) {
        id[i] = fed_identity_new();
        key[i] = fed_identity_verify(id[i]);
    }
    for (int i = 0; i < 3; i++) {
        fed_rotation r;
        fed_rotation_make(&r, &nord, id[i], id[i + 1]);
        json_array_append_new(list, fed_rotation_json(&r));
    }
    check(fed_rotations_lead(list, &key[0], &key[3]));
    check(fed_rotations_lead(list, &key[1], &key[3]));
    check(!fed_rotations_lead(list, &key[3], &key[0]));
    check(!fed_rotations_lead(list, &key[0], &key[2]));  // it goes on from there
    json_array_remove(list, 1);
    check(!fed_rotations_lead(list, &key[0], &key[3]));
    check(!fed_rotations_lead(NULL, &key[0], &key[3]));
    json_decref(list);
    for (int i = 0; i < 4; i++) {
        fed_identity_destroy(&id[i]);
    }
}

static fed_verify_key key_of(const char *dir)
{
    fl_err err = FL_ERR_INIT;
    fed_identity *id = NULL;
    check_ok(fed_identity_read(&id, dir, &err), err);
    fed_verify_key key = fed_identity_verify(id);
    fed_identity_destroy(&id);
    return key;
}

static char *new_keys(char **dir)
{
    fl_err err = FL_ERR_INIT;
    *dir = check_tmpdir();
    char *keys = fl_path_join(*dir, "keys");
    fed_identity *id = fed_identity_new();
    check_ok(fed_identity_write(id, keys, &err), err);
    fed_identity_destroy(&id);
    return keys;
}

static void the_old_keys_stay_until_the_other_side_knows(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir, *keys = new_keys(&dir);
    fed_verify_key old = key_of(keys);
    fed_rotation r, pending;
    check(!fed_rotation_pending(&pending, keys));
    check_ok(fed_rotation_begin(&r, keys, &nord, &err), err);
    check(fed_rotation_pending(&pending, keys));
    check_bytes(&pending, &r, sizeof r);
    fed_verify_key now = key_of(keys);
    check_bytes(&now, &old, sizeof old);
    check_fails(fed_rotation_begin(&pending, keys, &nord, &err), FL_ECONFLICT);
    check_ok(fed_rotation_finish(keys, &err), err);  // nothing was accepted
    now = key_of(keys);
    check_bytes(&now, &old, sizeof old);

    check_ok(fed_rotation_drop(keys, &err), err);  // the other side does not want them
    check(!fed_rotation_pending(&pending, keys));
    check_ok(fed_rotation_begin(&r, keys, &nord, &err), err);
    check_ok(fed_rotation_accept(keys, &err), err);
    now = key_of(keys);
    check_bytes(&now, &r.sign, sizeof now);
    check(!fed_rotation_pending(&pending, keys));
    json_t *former = NULL;
    check_ok(fed_rotation_former(&former, keys, &err), err);
    check_int(json_array_size(former), 1);
    check(fed_rotations_lead(former, &old, &now));
    json_decref(former);
    check_ok(fed_rotation_begin(&r, keys, &nord, &err), err);  // and once more
    free(keys);
    check_rmdir(&dir);
}

/* Moves what fed_rotation_finish had moved when it was killed after n steps. */
static void leave_at(const char *keys, int n)
{
    static const char *const files[] = {"public.yaml", "curve.key", "sign.key"};
    for (int i = 0; i < n && i < 3; i++) {
        char *from = fl_xasprintf("%s/next/%s", keys, files[i]),
             *to = fl_xasprintf("%s/%s", keys, files[i]);
        check_int(rename(from, to), 0);
        free(from);
        free(to);
    }
    if (n == 4) {
        char *next = fl_xasprintf("%s/next", keys), *gone = fl_xasprintf("%s/next.done", keys);
        check_int(rename(next, gone), 0);
        free(next);
        free(gone);
    }
}

static void killed_while_they_are_moved_the_new_keys_are_found_whole(void **state)
{
    (void)state;
    for (int n = 0; n <= 4; n++) {
        fl_err err = FL_ERR_INIT;
        char *dir, *keys = new_keys(&dir);
        fed_rotation r;
        check_ok(fed_rotation_begin(&r, keys, &nord, &err), err);
        char *accepted = fl_xasprintf("%s/next/accepted", keys);
        check_ok(fl_file_write(accepted, "", 0, 0600, &err), err);
        leave_at(keys, n);
        fed_identity *id = NULL;
        check_ok(fed_identity_read(&id, keys, &err), err);
        fed_verify_key sign = fed_identity_verify(id);
        fed_public_key curve = fed_identity_public(id);
        check_bytes(&sign, &r.sign, sizeof sign);
        check_bytes(&curve, &r.curve, sizeof curve);
        fed_identity_destroy(&id);
        for (int i = 0; i < 2; i++) {
            check_ok(fed_rotation_finish(keys, &err), err);
            sign = key_of(keys);
            check_bytes(&sign, &r.sign, sizeof sign);
        }
        check_ok(fed_rotation_begin(&r, keys, &nord, &err), err);  // nothing is in the way
        free(accepted);
        free(keys);
        check_rmdir(&dir);
    }
}

static void keys_under_a_passphrase_stay_under_it(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir, *keys = new_keys(&dir), *file = fl_path_join(dir, "passphrase");
    check_ok(fl_file_write(file, "correct horse battery\n", 22, 0600, &err), err);
    setenv("CONSILIUM_PASSPHRASE_FILE", file, 1);
    fed_passphrase *pass = fed_passphrase_new("correct horse battery");
    fed_identity *id = NULL;
    fed_rotation r;
    check_ok(fed_identity_read(&id, keys, &err), err);
    check_ok(fed_identity_protect(id, keys, pass, &err), err);
    check_ok(fed_rotation_begin(&r, keys, &nord, &err), err);
    check_ok(fed_rotation_accept(keys, &err), err);
    fed_verify_key sign = key_of(keys);
    check_bytes(&sign, &r.sign, sizeof sign);
    unsetenv("CONSILIUM_PASSPHRASE_FILE");
    fed_identity *locked = NULL;
    check_fails(fed_identity_read(&locked, keys, &err), FL_EDENIED);
    fed_identity_destroy(&id);
    fed_passphrase_destroy(&pass);
    free(file);
    free(keys);
    check_rmdir(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_old_key_and_the_new_one_sign_and_nothing_can_be_changed),
        cmocka_unit_test(a_chain_leads_from_the_first_key_to_the_last),
        cmocka_unit_test(the_old_keys_stay_until_the_other_side_knows),
        cmocka_unit_test(killed_while_they_are_moved_the_new_keys_are_found_whole),
        cmocka_unit_test(keys_under_a_passphrase_stay_under_it),
    };
    fed_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
