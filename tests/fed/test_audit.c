/*
 * test_audit.c - a line that is changed, cut, moved or added is found
 */
#include "fed/audit.h"

#include "check.h"
#include "fed/golden.h"

/* A record of three lines in a temporary file, caller's to unlink. */
static char *write_record(fed_audit_head *head, const fed_offer *offer)
{
    char *path = fl_xstrdup("/tmp/test-audit-XXXXXX");
    FILE *file = fdopen(mkstemp(path), "wb");
    *head = (fed_audit_head){0};
    for (int i = 0; i < 3; i++) {
        json_t *fields = i == 1 ? fed_audit_of_offer(offer)
                                : json_pack("{s:s, s:i}", "what", "state", "round", i);
        char *line = fed_audit_line(fields, head, 1700000000000 + i);
        fprintf(file, "%s\n", line);
        fed_audit_extend(head, line, strlen(line));
        free(line);
    }
    fclose(file);
    return path;
}

static fed_offer some_offer(const fed_identity *id)
{
    fed_offer o = {.key = {.kind = FED_TRAIN, .round = {3}}, .n_bytes = 1000, .n_pieces = 1};
    memset(&o.key.job, 5, sizeof o.key.job);
    memset(&o.digest, 9, sizeof o.digest);
    snprintf(o.site.text, sizeof o.site.text, "nord");
    fed_offer_set(&o, "loss", 0.1);
    fed_offer_set(&o, "weight", 42);
    fed_offer_sign(&o, id);
    return o;
}

typedef struct {
    int n;
    fed_verify_key key;
    fed_offer offer;
} seen;

static fl_status look(void *ctx, const fed_audit_entry *e, fl_err *err)
{
    seen *s = ctx;
    s->n++;
    return e->head.n_lines == 2 ? fed_audit_offer(&s->offer, e->json, &s->key, err) : FL_OK;
}

static void a_record_is_read_back_line_by_line(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fed_identity *id = fed_identity_new();
    fed_offer offer = some_offer(id);
    fed_audit_head head, end;
    char *path = write_record(&head, &offer);
    seen s = {.key = fed_identity_verify(id)};
    check_ok(fed_audit_walk(&end, path, look, &s, &err), err);
    check_int(s.n, 3);
    check(fed_audit_head_equal(&end, &head));
    check_int(memcmp(&s.offer, &offer, sizeof offer), 0);
    unlink(path);
    free(path);
    fed_identity_destroy(&id);
}

static void heads_are_hashed_and_signed_as_written_down(void **state)
{
    (void)state;
    json_t *golden = golden_read(), *audit = json_object_get(golden, "audit");
    fed_audit_head head = {0};
    fed_line_id last;
    fed_signature signature;
    fed_verify_key key;
    fed_digest job;
    memset(&job, 1, sizeof job);
    for (size_t i = 0; i < 2; i++) {
        const char *line = json_string_value(json_array_get(json_object_get(audit, "lines"), i));
        fed_audit_extend(&head, line, strlen(line));
    }
    golden_bytes(&last, sizeof last, audit, "last");
    golden_bytes(&signature, sizeof signature, audit, "signature");
    golden_bytes(&key, sizeof key, json_object_get(golden, "identity"), "sign_public");
    check_int(head.n_lines, 2);
    check_int(memcmp(&head.last, &last, sizeof last), 0);
    check(fed_audit_verify(&signature, &key, &job, "chest", &head));
    check(!fed_audit_verify(&signature, &key, &job, "chess", &head));
    head.n_lines = 3;
    check(!fed_audit_verify(&signature, &key, &job, "chest", &head));
    json_decref(golden);
}

/* Reads the file with one change; true when that is noticed, by the chain or by the head. */
static bool is_found(const char *path, const char *bytes, size_t n, const fed_audit_head *head,
                     const fed_verify_key *key)
{
    fl_err err = FL_ERR_INIT;
    fed_audit_head end;
    seen s = {.key = *key};
    check_ok(fl_file_write(path, bytes, n, 0600, &err), err);
    return fed_audit_walk(&end, path, look, &s, &err) != FL_OK || !fed_audit_head_equal(&end, head);
}

static void every_changed_byte_cut_and_swap_is_found(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fed_identity *id = fed_identity_new();
    fed_verify_key key = fed_identity_verify(id);
    fed_offer offer = some_offer(id);
    fed_audit_head head;
    char *path = write_record(&head, &offer), *bytes = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&bytes, &n, path, 1 << 20, &err), err);
    check(!is_found(path, bytes, n, &head, &key));
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (char)(bytes[i] ^ 1);
        check(is_found(path, bytes, n, &head, &key));
        bytes[i] = (char)(bytes[i] ^ 1);
        check(is_found(path, bytes, i, &head, &key));
    }
    const char *second = strchr(bytes, '\n') + 1, *third = strchr(second, '\n') + 1;
    fl_buf swapped = FL_BUF_INIT;
    fl_buf_add(&swapped, second, (size_t)(third - second));
    fl_buf_add(&swapped, bytes, (size_t)(second - bytes));
    fl_buf_add(&swapped, third, n - (size_t)(third - bytes));
    check(is_found(path, swapped.data, n, &head, &key));
    fl_buf_clear(&swapped);
    unlink(path);
    free(path);
    free(bytes);
    fed_identity_destroy(&id);
}

static void the_first_line_that_does_not_hold_is_named(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fed_identity *id = fed_identity_new();
    fed_offer offer = some_offer(id);
    fed_audit_head head, end;
    char *path = write_record(&head, &offer), *bytes = NULL;
    size_t n = 0;
    seen s = {.key = fed_identity_verify(id)};
    check_ok(fl_file_read(&bytes, &n, path, 1 << 20, &err), err);
    strstr(bytes, "\"site\":\"nord\"")[8] = 'N';
    check_ok(fl_file_write(path, bytes, n, 0600, &err), err);
    check_fails(fed_audit_walk(&end, path, look, &s, &err), FL_EFORMAT);
    check_has(err.text, ":2: ");
    check_has(err.text, "differ from what was signed");
    memset(&s.key, 1, sizeof s.key);  // somebody else's
    strstr(bytes, "\"site\":\"Nord\"")[8] = 'n';
    check_ok(fl_file_write(path, bytes, n, 0600, &err), err);
    check_fails(fed_audit_walk(&end, path, look, &s, &err), FL_EFORMAT);
    check_has(err.text, "does not bear its signature");
    unlink(path);
    free(path);
    free(bytes);
    fed_identity_destroy(&id);
}

static void signed_bytes_that_are_no_contribution_are_refused(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fed_identity *id = fed_identity_new();
    fed_offer offer = some_offer(id), back;
    fl_buf bytes = FL_BUF_INIT;
    fed_offer_bytes(&offer, &bytes);
    check_ok(fed_offer_parse(&back, bytes.data, bytes.n, &err), err);
    for (size_t n = 0; n < bytes.n; n++) {
        check_fails(fed_offer_parse(&back, bytes.data, n, &err), FL_EFORMAT);
    }
    fl_buf_add(&bytes, "x", 1);
    check_fails(fed_offer_parse(&back, bytes.data, bytes.n, &err), FL_EFORMAT);
    fl_buf_clear(&bytes);
    fed_identity_destroy(&id);
}

int main(void)
{
    fed_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_read_back_line_by_line),
        cmocka_unit_test(heads_are_hashed_and_signed_as_written_down),
        cmocka_unit_test(every_changed_byte_cut_and_swap_is_found),
        cmocka_unit_test(the_first_line_that_does_not_hold_is_named),
        cmocka_unit_test(signed_bytes_that_are_no_contribution_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
