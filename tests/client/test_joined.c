/*
 * test_joined.c - data that changed since the site joined the run are noticed
 */
#include "fixture.h"

#include <unistd.h>

#include "client/joined.h"
#include "data/formats.h"

/* A hospital whose data set is what a test writes; a run whose folder is its home. */
typedef struct {
    coordinator *c;
    hospital h;
} desk;

static desk desk_new(void)
{
    desk d = {.c = coordinator_new(hospital_job)};
    d.h = hospital_new(d.c, "nord", NULL);
    return d;
}

static void desk_destroy(desk *d)
{
    hospital_destroy(&d->h);
    coordinator_destroy(&d->c);
}

typedef fl_status use(const local *l, const desk *d, fl_err *err);

/* The data as they are now. */
static fl_status with_data(const desk *d, const data_spec *expect, use *f, fl_err *err)
{
    fl_err why = FL_ERR_INIT;
    local l = {.job.rounds = 9};
    check_ok(data_set_open_as(&l.set, d->h.data, expect, NULL, &why), why);
    fl_status st = f(&l, d, err);
    data_set_destroy(&l.set);
    return st;
}

static fl_status keep(const local *l, const desk *d, fl_err *err)
{
    return joined_keep(l, d->h.home, d->h.home_dir, err);
}

static fl_status look(const local *l, const desk *d, fl_err *err)
{
    return joined_check(l, d->h.home, d->h.home_dir, 10, err);
}

static void join(const desk *d)
{
    fl_err err = FL_ERR_INIT;
    check_ok(with_data(d, NULL, keep, &err), err);
}

static void check_same(const desk *d)
{
    fl_err err = FL_ERR_INIT;
    check_ok(with_data(d, NULL, look, &err), err);
}

static void check_changed(const desk *d, const char *how)
{
    fl_err err = FL_ERR_INIT;
    check_fails(with_data(d, NULL, look, &err), FL_ECONFLICT);
    check_has(err.text, "the data are not those that this hospital joined the run with: ");
    check_has(err.text, how);
    check_has(err.text, "corrected labels belong");
    check(strstr(err.text, d->h.dir) == NULL);
}

/* In file, every one of from becomes to. */
static void replace(const desk *d, const char *file, const char *from, const char *to)
{
    fl_err err = FL_ERR_INIT;
    fl_buf out = FL_BUF_INIT;
    char *path = fl_path_join(d->h.data, file), *text = NULL;
    size_t n = 0, n_found = 0;
    check_ok(fl_file_read(&text, &n, path, 1 << 20, &err), err);
    for (const char *at = text; *at != '\0';) {
        bool here = strncmp(at, from, strlen(from)) == 0;
        n_found += here;
        fl_buf_add(&out, here ? to : at, here ? strlen(to) : 1);
        at += here ? strlen(from) : 1;
    }
    check(n_found > 0);
    hospital_file(d->h.data, file, out.data);
    fl_buf_clear(&out);
    free(text);
    free(path);
}

/* The fixture's 400 cases: 200 to train, 100 to validate, 100 to test. */
static void codes_that_are_swapped_are_noticed(void **state)
{
    (void)state;
    desk d = desk_new();
    join(&d);
    check_same(&d);
    replace(&d, "dataset.yaml", "{well: well, ill: ill}", "{well: ill, ill: well}");
    check_changed(&d, "another label for 400 cases, another split for 0, 0 new;");
    replace(&d, "dataset.yaml", "{well: ill, ill: well}", "{well: well, ill: ill}");
    check_same(&d);
    desk_destroy(&d);
}

static void cases_may_go_and_not_come(void **state)
{
    (void)state;
    desk d = desk_new();
    join(&d);
    free(hospital_data(d.h.dir, 360, true));
    check_same(&d);
    free(hospital_data(d.h.dir, 400, true));  // and come back
    check_same(&d);
    free(hospital_data(d.h.dir, 412, true));
    check_changed(&d, "another label for 0 cases, another split for 0, 12 new;");
    free(hospital_data(d.h.dir, 409, true));  // as few as may not be counted outside
    check_changed(&d, "another label for 0 cases, another split for 0, 1-9 new;");
    free(hospital_data(d.h.dir, 400, false));  // what was the validation split is trained on
    check_changed(&d, "another label for 0 cases, another split for 100, 0 new;");
    desk_destroy(&d);
}

static void what_is_no_label_may_change(void **state)
{
    (void)state;
    desk d = desk_new();
    join(&d);
    replace(&d, "t.csv", ",F,", ",M,");
    replace(&d, "dataset.yaml", "positive: ill\n", "positive: ill\nreference_standard: a panel\n");
    check_same(&d);
    desk_destroy(&d);
}

/* Splits by patient are drawn from all of them: without one, others are tested on. */
static void splits_that_are_drawn_anew_are_noticed(void **state)
{
    (void)state;
    desk d = desk_new();
    replace(&d, "dataset.yaml", "split: {column: split}", "split: {by: patient, seed: 1}");
    replace(&d, "dataset.yaml", "drop: [sex, age]", "drop: [sex, age, split]");
    join(&d);
    check_same(&d);
    replace(&d, "dataset.yaml", "seed: 1", "seed: 2");
    check_changed(&d, "another label for 0 cases, another split for ");
    replace(&d, "dataset.yaml", "seed: 2", "seed: 1");
    check_same(&d);
    desk_destroy(&d);
}

static void a_number_that_is_another_is_noticed(void **state)
{
    (void)state;
    desk d = desk_new();
    hospital_file(d.h.data, "dataset.yaml",
                  "task: regress\ntable: {file: r.csv, case: case, label: {column: y}}\n"
                  "split: {column: split}\n");
    hospital_file(d.h.data, "r.csv",
                  "case,split,x,y\na,train,1,0.5\nb,train,2,\nc,val,3,1\nd,test,4,2\n");
    join(&d);
    check_same(&d);
    replace(&d, "r.csv", "d,test,4,2", "d,test,4,3");
    replace(&d, "r.csv", "b,train,2,", "b,train,2,7");  // one without a label has one now
    check_changed(&d, "another label for 1-9 cases, another split for 0, 0 new;");
    desk_destroy(&d);
}

static void write_square(const desk *d, const char *name, int n_white)
{
    fl_err err = FL_ERR_INIT;
    float x[64] = {0};
    char *path = fl_path_join(d->h.data, name);
    for (int i = 0; i < n_white; i++) {
        x[i] = 1;
    }
    check_ok(data_png_write(path, x, 8, 8, 1, 8, &err), err);
    free(path);
}

static void a_mask_that_is_drawn_anew_is_noticed(void **state)
{
    (void)state;
    desk d = desk_new();
    hospital_file(d.h.data, "dataset.yaml",
                  "task: segment\nclasses: {background: 0, lesion: 255}\n");
    hospital_file(d.h.data, "manifest.csv",
                  "case,patient,file,mask,split\n"
                  "a,p,i.png,a.png,train\nb,q,i.png,b.png,val\nc,r,i.png,b.png,test\n");
    write_square(&d, "i.png", 40);
    write_square(&d, "a.png", 10);
    write_square(&d, "b.png", 20);
    join(&d);
    check_same(&d);
    write_square(&d, "i.png", 50);  // of inputs nothing is kept
    check_same(&d);
    write_square(&d, "b.png", 21);
    check_changed(&d, "another label for 1-9 cases, another split for 0, 0 new;");
    desk_destroy(&d);
}

/* Round 5's scanner: other cases, which were joined with too. */
static void what_comes_later_is_looked_at_too(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new();
    char *later = fl_path_join(d.h.data, "later"), *from = NULL, *to = NULL;
    check_ok(fl_mkdirs(later, 0700, &err), err);
    static const char *const files[] = {"dataset.yaml", "t.csv"};
    for (size_t i = 0; i < 2; i++) {
        char *text = NULL;
        size_t n = 0;
        from = fl_path_join(d.h.data, files[i]);
        to = fl_path_join(later, files[i]);
        check_ok(fl_file_read(&text, &n, from, 1 << 20, &err), err);
        check_ok(fl_file_write(to, text, n, 0644, &err), err);
        free(text);
        free(from);
        free(to);
    }
    replace(&d, "dataset.yaml", "split:", "later: [{round: 5, data: later}]\nsplit:");
    join(&d);
    check_same(&d);
    replace(&d, "later/dataset.yaml", "{well: well, ill: ill}", "{well: ill, ill: well}");
    check_changed(&d, "another label for 400 cases, another split for 0, 0 new;");
    replace(&d, "dataset.yaml", "later: [{round: 5, data: later}]\n", "");
    check_same(&d);
    free(later);
    desk_destroy(&d);
}

/* A client of before, or a new run, has nothing to compare with; what is damaged is not believed. */
static void what_is_kept_is_the_hospitals_own(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    desk d = desk_new(), other = desk_new();
    check_same(&d);
    free(hospital_data(d.h.dir, 420, true));
    check_changed(&d, "20 new");
    join(&d);  // the next run
    check_same(&d);
    free(hospital_data(d.h.dir, 400, true));
    join(&d);
    join(&other);
    char *mine = fl_path_join(d.h.home_dir, "joined"), *text = NULL;
    char *theirs = fl_path_join(other.h.home_dir, "joined"), *their_text = NULL;
    size_t n = 0, n_theirs = 0;
    check_ok(fl_file_read(&text, &n, mine, 1 << 20, &err), err);
    check_ok(fl_file_read(&their_text, &n_theirs, theirs, 1 << 20, &err), err);
    check_int(n, 8 + 400 * 32);
    check_int(n_theirs, n);
    check(memcmp(text + 8, their_text + 8, 400 * 32) != 0);  // the same cases, under another key
    check_int(truncate(mine, (off_t)n - 1), 0);
    check_fails(with_data(&d, NULL, look, &err), FL_EFORMAT);
    check_has(err.text, "damaged");
    check_ok(joined_drop(d.h.home_dir, &err), err);
    check(!fl_file_exists(mine));
    check_ok(joined_drop(d.h.home_dir, &err), err);
    free(their_text);
    free(text);
    free(theirs);
    free(mine);
    desk_destroy(&other);
    desk_destroy(&d);
}

int main(void)
{
    fl_log_setup(NULL, FL_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_that_are_swapped_are_noticed),
        cmocka_unit_test(cases_may_go_and_not_come),
        cmocka_unit_test(what_is_no_label_may_change),
        cmocka_unit_test(splits_that_are_drawn_anew_are_noticed),
        cmocka_unit_test(a_number_that_is_another_is_noticed),
        cmocka_unit_test(a_mask_that_is_drawn_anew_is_noticed),
        cmocka_unit_test(what_comes_later_is_looked_at_too),
        cmocka_unit_test(what_is_kept_is_the_hospitals_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
