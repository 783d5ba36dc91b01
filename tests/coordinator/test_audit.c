/*
 * test_audit.c - audit.jsonl follows the record, through crashes and after changes
 */
#include "coordinator/audit.h"

#include "base/hash.h"
#include "base/log.h"
#include "check.h"

typedef struct {
    char dir[32];
    char *path;
    fed_identity *id;
    record *record;
    audit_config cfg;
} folder;

static void folder_open(folder *f)
{
    fl_err err = FL_ERR_INIT;
    char *db = fl_path_join(f->dir, "state.db");
    memset(&f->cfg.job, 1, sizeof f->cfg.job);
    check_ok(record_open(&f->record, db, &f->cfg.job, "toy", &err), err);
    f->cfg.dir = f->dir;
    f->cfg.run = "toy";
    f->cfg.record = f->record;
    f->cfg.id = f->id;
    free(db);
}

static int setup(void **state)
{
    folder *f = fl_xcalloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/test-audit-XXXXXX");
    check(mkdtemp(f->dir) != NULL);
    f->path = fl_path_join(f->dir, "audit.jsonl");
    fed_init();
    f->id = fed_identity_new();
    folder_open(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    folder *f = *state;
    record_close(&f->record);
    fed_identity_destroy(&f->id);
    fl_remove_tree(f->dir, NULL);
    free(f->path);
    free(f);
    return 0;
}

/* One transaction that notes a line. */
static void note(folder *f, const char *what, bool commit)
{
    fl_err err = FL_ERR_INIT;
    check_ok(record_begin(f->record, &err), err);
    check_ok(record_note(f->record, json_pack("{s:s}", "what", what), &err), err);
    if (commit) {
        check_ok(record_commit(f->record, &err), err);
    }
    record_rollback(f->record);
}

static fed_audit_head head_of_file(const folder *f)
{
    fl_err err = FL_ERR_INIT;
    fed_audit_head end;
    check_ok(fed_audit_walk(&end, f->path, NULL, NULL, &err), err);
    return end;
}

static void the_file_follows_what_was_committed(void **state)
{
    folder *f = *state;
    fl_err err = FL_ERR_INIT;
    audit *a = NULL;
    check_ok(audit_open(&a, &f->cfg, &err), err);
    note(f, "first", true);
    note(f, "never", false);
    note(f, "second", true);
    check_ok(audit_publish(a, &err), err);

    fed_audit_head head, end = head_of_file(f);
    fed_signature signature;
    fed_verify_key key = fed_identity_verify(f->id);
    audit_head(a, &head, &signature);
    check_int(head.n_lines, 3);  // the run's own line is the first
    check(fed_audit_head_equal(&head, &end));
    check(fed_audit_head_equal(&head, record_head(f->record)));
    check(fed_audit_verify(&signature, &key, &f->cfg.job, "toy", &head));
    audit_close(&a);
}

/* A process may be killed between its commit and any byte of the file. */
static void what_a_crash_tore_is_mended(void **state)
{
    folder *f = *state;
    fl_err err = FL_ERR_INIT;
    audit *a = NULL;
    char *bytes = NULL;
    size_t n = 0;
    check_ok(audit_open(&a, &f->cfg, &err), err);
    note(f, "one", true);
    note(f, "two", true);
    check_ok(audit_publish(a, &err), err);
    audit_close(&a);
    check_ok(fl_file_read(&bytes, &n, f->path, 1 << 20, &err), err);
    for (size_t left = 0; left <= n; left++) {
        check_ok(fl_file_write(f->path, bytes, left, 0600, &err), err);
        check_ok(audit_open(&a, &f->cfg, &err), err);
        fed_audit_head end = head_of_file(f);
        check(fed_audit_head_equal(&end, record_head(f->record)));
        audit_close(&a);
    }
    // A line whose transaction never came to be, and half of one.
    check_ok(fl_file_append(f->path, "{\"what\":\"x\"}\n{\"wh", 17, &err), err);
    check_ok(audit_open(&a, &f->cfg, &err), err);
    fed_audit_head end = head_of_file(f);
    check(fed_audit_head_equal(&end, record_head(f->record)));
    audit_close(&a);
    free(bytes);
}

static void a_line_that_was_changed_is_not_built_upon(void **state)
{
    folder *f = *state;
    fl_err err = FL_ERR_INIT;
    audit *a = NULL;
    char *bytes = NULL;
    size_t n = 0;
    check_ok(audit_open(&a, &f->cfg, &err), err);
    note(f, "one", true);
    check_ok(audit_publish(a, &err), err);
    audit_close(&a);
    check_ok(fl_file_read(&bytes, &n, f->path, 1 << 20, &err), err);
    strstr(bytes, "\"one\"")[1] = 'O';
    check_ok(fl_file_write(f->path, bytes, n, 0600, &err), err);
    check_fails(audit_open(&a, &f->cfg, &err), FL_EFORMAT);
    check_has(err.text, "audit.jsonl:2 differs from the record");
    check(a == NULL);
    free(bytes);
}

static void a_record_that_is_opened_again_goes_on_with_its_chain(void **state)
{
    folder *f = *state;
    note(f, "one", true);
    fed_audit_head before = *record_head(f->record);
    record_close(&f->record);
    folder_open(f);
    check(fed_audit_head_equal(&before, record_head(f->record)));
}

/* A flood of equal refusals leaves a line for each doubling, and all are counted in the end. */
static void refusals_are_noted_when_their_number_doubles(void **state)
{
    folder *f = *state;
    fl_err err = FL_ERR_INIT;
    uint64_t before = record_head(f->record)->n_lines;
    check_ok(record_begin(f->record, &err), err);
    for (int i = 0; i < 1000; i++) {
        check_ok(record_refuse(f->record, "message", "malformed", "site nord", 1, &err), err);
    }
    check_int(record_head(f->record)->n_lines - before, 10);  // 1, 2, 4 ... 512
    check_ok(record_note_refusals(f->record, &err), err);
    check_int(record_head(f->record)->n_lines - before, 11);
    check_ok(record_note_refusals(f->record, &err), err);
    check_int(record_head(f->record)->n_lines - before, 11);
    check_ok(record_commit(f->record, &err), err);
    record_rollback(f->record);
}

static void a_site_is_noted_when_it_is_news(void **state)
{
    folder *f = *state;
    fl_err err = FL_ERR_INIT;
    fed_site_id nord = {"nord"};
    fed_public_key curve = fed_identity_public(f->id);
    fed_verify_key sign = fed_identity_verify(f->id);
    uint64_t before = record_head(f->record)->n_lines;
    check_ok(record_begin(f->record, &err), err);
    for (int i = 0; i < 2; i++) {
        check_ok(record_follow_site(f->record, &nord, "invited", NULL, NULL, NULL, &err), err);
    }
    check_int(record_head(f->record)->n_lines - before, 1);
    for (int i = 0; i < 2; i++) {
        check_ok(record_follow_site(f->record, &nord, "enrolled", &curve, &sign, NULL, &err), err);
    }
    check_ok(record_follow_site(f->record, &nord, "removed", &curve, &sign, NULL, &err), err);
    check_int(record_head(f->record)->n_lines - before, 3);
    record_rollback(f->record);
    check_int(record_head(f->record)->n_lines, before);
}

int main(void)
{
    fl_log_setup(stderr, FL_LOG_ERROR);  // mending is said each time
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_file_follows_what_was_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_crash_tore_is_mended, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_that_was_changed_is_not_built_upon, setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_that_is_opened_again_goes_on_with_its_chain, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(refusals_are_noted_when_their_number_doubles, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_site_is_noted_when_it_is_news, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
