#include "check.h"

#include "base/cfg.h"

static fl_cfg *parse(const char *text)
{
    fl_cfg *c = NULL;
    fl_err err = FL_ERR_INIT;
    check_ok(fl_cfg_parse(&c, text, strlen(text), "job.yaml", "/data", &err), err);
    return c;
}

/* Finishes and frees c; the complaint is exactly this text, NULL for none. */
static void finish_says(fl_cfg *c, const char *expected)
{
    fl_err err = FL_ERR_INIT;
    fl_status st = fl_cfg_finish(c, &err);
    check_str(st == FL_OK ? NULL : err.text, expected);
    check_int(st, expected == NULL ? FL_OK : FL_ECONFIG);
    fl_cfg_destroy(&c);
}

static void a_reader_is_a_straight_line(void **state)
{
    (void)state;
    fl_cfg *c = parse("name: chest\n"
                      "rounds: 20\n"
                      "local: {lr: 0.01, batch: 32}\n"
                      "classes: [normal, opacity]\n");
    fl_node root = fl_cfg_root(c);
    check_str(fl_cfg_text(root, "name", FL_CFG_REQUIRED_TEXT, "of the job"), "chest");
    check_int(fl_cfg_int(root, "rounds", 1, 1000, FL_CFG_REQUIRED, "how many"), 20);
    fl_node local = fl_cfg_map(root, "local", "at each site");
    check_near(fl_cfg_num(local, "lr", 0, 10, 0.1, "learning rate"), 0.01, 0);
    check_int(fl_cfg_int(local, "batch", 1, 4096, 1, "images a step"), 32);
    check_int(fl_cfg_int(local, "epochs", 1, 100, 3, "a round"), 3);
    fl_node classes = fl_cfg_list(root, "classes", "in label order");
    check_int(fl_cfg_count(classes), 2);
    check_str(fl_node_text(fl_cfg_item(classes, 1), "class"), "opacity");
    finish_says(c, NULL);
}

static void an_unknown_key_is_named_with_its_line(void **state)
{
    (void)state;
    fl_cfg *c = parse("rounds: 2\nlocal:\n  batch: 3\n  epoch: 1\n");
    fl_node root = fl_cfg_root(c);
    fl_cfg_int(root, "rounds", 1, 10, 1, "");
    fl_node local = fl_cfg_map(root, "local", "");
    fl_cfg_int(local, "batch", 1, 10, 1, "");
    fl_cfg_int(local, "epochs", 1, 10, 1, "");
    finish_says(c, "job.yaml:4: local.epoch: unknown key; did you mean epochs?");

    c = parse("rounds: 2\nwhatever: 1\n");
    fl_cfg_int(fl_cfg_root(c), "rounds", 1, 10, 1, "");
    fl_cfg_int(fl_cfg_root(c), "seed", 1, 10, 1, "");
    finish_says(c, "job.yaml:2: whatever: unknown key; known here: rounds, seed");

    c = parse("list: [{a: 1}, {a: 1, b: 2}]\n");
    fl_node list = fl_cfg_list(fl_cfg_root(c), "list", "");
    fl_cfg_int(fl_cfg_item(list, 0), "a", 0, 1, 0, "");
    fl_cfg_int(fl_cfg_item(list, 1), "a", 0, 1, 0, "");
    finish_says(c, "job.yaml:1: list[1].b: unknown key; known here: a");
}

static void whole_numbers_are_whole(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "3.7", "nan",    ".nan", "inf",  "1e3", "0x10",
        "ten", "\"3\"",  "0",    "11",   "-3",  "99999999999999999999",
        "[3]", "{a: 3}", "3 4",  "true", "+",   "3-"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[80];
        snprintf(text, sizeof text, "n: %s\n", bad[i]);
        fl_cfg *c = parse(text);
        check_int(fl_cfg_int(fl_cfg_root(c), "n", 1, 10, 5, ""), 5);
        fl_err err = FL_ERR_INIT;
        check_fails(fl_cfg_finish(c, &err), FL_ECONFIG);
        check_has(err.text, "job.yaml:1: n: expected a whole number from 1 to 10, found ");
        fl_cfg_destroy(&c);
    }
    fl_cfg *c = parse("n: 3.7\n");
    fl_cfg_int(fl_cfg_root(c), "n", 1, 10, 5, "");
    finish_says(c, "job.yaml:1: n: expected a whole number from 1 to 10, found 3.7");
    c = parse("n: \"3\"\n");
    fl_cfg_int(fl_cfg_root(c), "n", INT64_MIN, INT64_MAX, 5, "");
    finish_says(c, "job.yaml:1: n: expected a whole number, found the text \"3\"");
}

static void numbers_are_decimal_and_finite(void **state)
{
    (void)state;
    static const char *const bad[] = {"nan",   ".nan", "inf",  "-.inf", "1e999", "0x1p3", "1,5",
                                      "\"1\"", "true", "1.5x", "-1",    "2.1",   "[1]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[80];
        snprintf(text, sizeof text, "x: %s\n", bad[i]);
        fl_cfg *c = parse(text);
        check_near(fl_cfg_num(fl_cfg_root(c), "x", 0, 2, 0.5, ""), 0.5, 0);
        fl_err err = FL_ERR_INIT;
        check_fails(fl_cfg_finish(c, &err), FL_ECONFIG);
        check_has(err.text, "expected a number from 0 to 2, found ");
        fl_cfg_destroy(&c);
    }
    fl_cfg *c = parse("a: 1\nb: 1e-3\nc: .5\nd: 2.\n");
    check_near(fl_cfg_num(fl_cfg_root(c), "a", 0, 2, 9, ""), 1, 0);
    check_near(fl_cfg_num(fl_cfg_root(c), "b", 0, 2, 9, ""), 1e-3, 0);
    check_near(fl_cfg_num(fl_cfg_root(c), "c", 0, 2, 9, ""), .5, 0);
    check_near(fl_cfg_num(fl_cfg_root(c), "d", 0, 2, 9, ""), 2, 0);
    finish_says(c, NULL);
}

static void a_required_key_must_be_there(void **state)
{
    (void)state;
    fl_cfg *c = parse("a: 1\nstrategy:\n  mu: 0.1\n");
    fl_cfg_int(fl_cfg_root(c), "a", 0, 1, 0, "");
    fl_node strategy = fl_cfg_map(fl_cfg_root(c), "strategy", "");
    check_str(fl_cfg_text(strategy, "name", FL_CFG_REQUIRED_TEXT, ""), "");
    finish_says(c, "job.yaml:3: strategy.name: is required");

    // In a section that is not there, and in a file that is empty.
    c = parse("a: 1\n");
    strategy = fl_cfg_map(fl_cfg_root(c), "strategy", "");
    check(!fl_cfg_present(strategy));
    check_int(fl_cfg_int(strategy, "mu", 7, 9, FL_CFG_REQUIRED, ""), 7);
    finish_says(c, "job.yaml:1: strategy.mu: is required");
    c = parse("# nothing\n");
    check_near(fl_cfg_num(fl_cfg_root(c), "x", 1, 2, FL_CFG_REQUIRED_NUM, ""), 1, 0);
    finish_says(c, "job.yaml: x: is required");
}

static void absent_and_null_give_the_default(void **state)
{
    (void)state;
    static const char *const texts[] = {"",          "---\n",  "# only a comment\n", "init: null\n",
                                        "init: ~\n", "init:\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fl_cfg *c = parse(texts[i]);
        fl_node root = fl_cfg_root(c);
        check(!fl_cfg_has(root, "init"));
        check_str(fl_cfg_text(root, "init", NULL, ""), NULL);
        check_str(fl_cfg_path(root, "init", NULL, ""), NULL);
        check_int(fl_cfg_int(root, "init", 0, 9, 4, ""), 4);
        check(!fl_cfg_present(fl_cfg_item(fl_cfg_list(root, "init", ""), 0)));
        check_int(fl_cfg_count(fl_cfg_map(root, "init", "")), 0);
        check(fl_cfg_bool(root, "init", true, ""));
        check_int(fl_cfg_duration_ms(root, "init", 0, 9, 4, ""), 4);
        finish_says(c, NULL);
    }
    // A zeroed node belongs to no document.
    fl_node none = {NULL, 0};
    check_int(fl_cfg_int(none, "x", 0, 9, 4, ""), 4);
    check_str(fl_cfg_path(none, "x", "y", ""), "y");
}

static void a_wrong_kind_is_said_in_words(void **state)
{
    (void)state;
    fl_cfg *c = parse("a: [1]\n");
    fl_cfg_map(fl_cfg_root(c), "a", "");
    finish_says(c, "job.yaml:1: a: expected a mapping, found a list");
    c = parse("a: {b: 1}\n");
    fl_cfg_list(fl_cfg_root(c), "a", "");
    finish_says(c, "job.yaml:1: a: expected a list, found a mapping");
    c = parse("a: [1]\n");
    check_str(fl_cfg_text(fl_cfg_root(c), "a", "d", ""), "d");
    finish_says(c, "job.yaml:1: a: expected a text, found a list");
    c = parse("a: yes\n");
    check(!fl_cfg_bool(fl_cfg_root(c), "a", false, ""));
    finish_says(c, "job.yaml:1: a: expected true or false, found yes");
    c = parse("- 1\n- 2\n");
    fl_cfg_int(fl_cfg_root(c), "a", 0, 1, 0, "");
    finish_says(c, "job.yaml:1: expected a mapping, found a list");
    c = parse("a: {b: 1}\n");
    fl_node a = fl_cfg_get(fl_cfg_root(c), "a", "");
    fl_cfg_int(fl_cfg_get(a, "b", ""), "deeper", 0, 1, 0, "");
    finish_says(c, "job.yaml:1: a.b: expected a mapping, found 1");
}

static void only_the_first_complaint_is_kept(void **state)
{
    (void)state;
    fl_cfg *c = parse("a: x\nb: y\nunknown: 1\n");
    check(fl_cfg_ok(c));
    fl_cfg_int(fl_cfg_root(c), "b", 0, 1, 0, "");
    fl_cfg_int(fl_cfg_root(c), "a", 0, 1, 0, "");
    check(!fl_cfg_ok(c));
    finish_says(c, "job.yaml:2: b: expected a whole number from 0 to 1, found y");
}

static void a_reader_may_complain_about_a_place(void **state)
{
    (void)state;
    fl_cfg *c = parse("a: 1\nsites:\n  quorum: 5\n");
    fl_node sites = fl_cfg_map(fl_cfg_root(c), "sites", "");
    check_int(fl_cfg_line(sites), 3);
    fl_cfg_complain(fl_cfg_get(sites, "quorum", ""), "quorum %d exceeds the 4 sites", 5);
    finish_says(c, "job.yaml:3: quorum 5 exceeds the 4 sites");
}

static void a_choice_is_one_of_the_words(void **state)
{
    (void)state;
    static const char *const words[] = {"drop", "carry", "wait", NULL};
    fl_cfg *c = parse("late: wait\n");
    check_int(fl_cfg_choice(fl_cfg_root(c), "late", words, 0, ""), 2);
    check_int(fl_cfg_choice(fl_cfg_root(c), "other", words, 1, ""), 1);
    finish_says(c, NULL);
    c = parse("late: never\n");
    check_int(fl_cfg_choice(fl_cfg_root(c), "late", words, -1, ""), 0);
    finish_says(c, "job.yaml:1: late: expected drop, carry or wait, found never");
    c = parse("late: [drop]\n");
    check_int(fl_cfg_choice(fl_cfg_root(c), "late", words, 1, ""), 1);
    finish_says(c, "job.yaml:1: late: expected drop, carry or wait, found a list");
}

static void durations_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"10m", 600000},  {"90s", 90000}, {"250ms", 250},    {"2h", 7200000},
                {"1d", 86400000}, {"5", 5000},    {"1.5h", 5400000}, {"0", 0}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[64];
        snprintf(text, sizeof text, "t: %s\n", good[i].text);
        fl_cfg *c = parse(text);
        check_int(fl_cfg_duration_ms(fl_cfg_root(c), "t", 0, 86400000, 1, ""), good[i].ms);
        finish_says(c, NULL);
    }
    static const char *const bad[] = {
        "10 m",   "m",       "-1s",     "1e3s", "10min",
        "1.2.3s", "999999d", "\"10m\"", "2d",   "99999999999999999999999999999999999s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[64];
        snprintf(text, sizeof text, "t: %s\n", bad[i]);
        fl_cfg *c = parse(text);
        check_int(fl_cfg_duration_ms(fl_cfg_root(c), "t", 0, 86400000, 1, ""), 1);
        fl_err err = FL_ERR_INIT;
        check_fails(fl_cfg_finish(c, &err), FL_ECONFIG);
        check_has(err.text, "expected a duration such as 90s, 10m or 2h from 0ms to 1d");
        fl_cfg_destroy(&c);
    }
}

static void paths_expand_variables_and_start_at_the_file(void **state)
{
    (void)state;
    setenv("CFG_TEST_DIR", "/mnt/x", 1);
    unsetenv("CFG_TEST_UNSET");
    fl_cfg *c = parse("a: sub/file\nb: ${CFG_TEST_DIR}/y\nc: /abs\nd: [z]\ne: ''\n");
    fl_node root = fl_cfg_root(c);
    check_str(fl_cfg_path(root, "a", NULL, ""), "/data/sub/file");
    check_str(fl_cfg_path(root, "b", NULL, ""), "/mnt/x/y");
    check_str(fl_cfg_path(root, "c", NULL, ""), "/abs");
    check_str(fl_node_path(fl_cfg_item(fl_cfg_list(root, "d", ""), 0), ""), "/data/z");
    check_str(fl_cfg_path(root, "e", "", ""), "");
    check_str(fl_cfg_path(root, "none", "manifest.csv", ""), "/data/manifest.csv");
    finish_says(c, NULL);

    c = parse("a: ${CFG_TEST_UNSET}/y\n");
    fl_cfg_path(fl_cfg_root(c), "a", NULL, "");
    finish_says(c, "job.yaml:1: a: the environment variable CFG_TEST_UNSET is not set");
    c = parse("a: ${CFG_TEST\n");
    fl_cfg_path(fl_cfg_root(c), "a", NULL, "");
    finish_says(c, "job.yaml:1: a: ${ without } in '${CFG_TEST'");
}

static void pairs_of_a_mapping_are_known_once_asked(void **state)
{
    (void)state;
    fl_cfg *c = parse("classes: {normal: 0, opacity: 1}\n");
    fl_node classes = fl_cfg_map(fl_cfg_root(c), "classes", "");
    check_int(fl_cfg_count(classes), 2);
    const char *key = NULL;
    check_int(fl_node_int(fl_cfg_pair(classes, 1, &key), 0, 9, "code"), 1);
    check_str(key, "opacity");
    check_int(fl_node_int(fl_cfg_pair(classes, 0, &key), 0, 9, "code"), 0);
    check_str(key, "normal");
    check(!fl_cfg_present(fl_cfg_pair(classes, 2, &key)));
    finish_says(c, NULL);
}

static void parse_refuses(const char *text, const char *expected)
{
    fl_cfg *c = NULL;
    fl_err err = FL_ERR_INIT;
    check_fails(fl_cfg_parse(&c, text, strlen(text), "x.yaml", ".", &err), FL_ECONFIG);
    check(c == NULL);
    check_str(err.text, expected);
}

static void what_we_do_not_want_in_a_file_is_refused(void **state)
{
    (void)state;
    parse_refuses("a: 1\nb: 2\na: 3\n", "x.yaml:3: a: is there twice, first on line 1");
    parse_refuses("l: [{k: 1, k: 2}]\n", "x.yaml:1: l[0].k: is there twice, first on line 1");
    parse_refuses("a: &x 1\nb: *x\n",
                  "x.yaml:2: aliases (*name) are not supported; write the value out");
    parse_refuses("a: 1\n---\nb: 2\n", "x.yaml:2: a second document (---) in one file");
    parse_refuses("a: !!int 1\n", "x.yaml:1: tags (!name) are not supported");
    parse_refuses("a: \"x\\0y\"\n", "x.yaml:1: a NUL character in a text");
    parse_refuses("[1, 2]: x\n", "x.yaml:1: a key must be a word, not a list or mapping");
    parse_refuses("a: [1\nb: 2\n", "x.yaml:2: not YAML: did not find expected ',' or ']' "
                                   "while parsing a flow sequence");
}

static void depth_and_size_have_limits(void **state)
{
    (void)state;
    char deep[200] = "a: ";
    memset(deep + 3, '[', 31);
    memset(deep + 34, ']', 31);
    fl_cfg *c = parse(deep);  // 32 levels with the root
    fl_cfg_destroy(&c);
    memset(deep + 3, '[', 32);
    memset(deep + 35, ']', 32);
    parse_refuses(deep, "x.yaml:1: more than 32 levels deep");

    size_t n = 1024 * 1024 + 1;
    char *large = fl_xcalloc(n + 1, 1);
    memset(large, '[', n);
    fl_err err = FL_ERR_INIT;
    check_fails(fl_cfg_parse(&c, large, n, "x.yaml", ".", &err), FL_ELIMIT);
    double start = fl_now();
    check_fails(fl_cfg_parse(&c, large, n - 1, "x.yaml", ".", &err), FL_ECONFIG);
    // A mebibyte of brackets is refused at once, not after minutes.
    check(fl_now() - start < 5);
    free(large);
}

static void set_changes_what_the_file_says(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_cfg *c = parse("rounds: 3\n"
                      "local:\n"
                      "hospitals: [{name: nord, patients: {n: 5}}, {name: sud}]\n");
    check_ok(fl_cfg_set(c, "rounds", "7", &err), err);
    check_ok(fl_cfg_set(c, "strategy.name", "fedprox", &err), err);
    check_ok(fl_cfg_set(c, "local.lr", "0.5", &err), err);
    check_ok(fl_cfg_set(c, "hospitals.nord.patients.n", "9", &err), err);
    check_ok(fl_cfg_set(c, "hospitals.sud.shift", "[blur: 1, noise: 2]", &err), err);
    check_ok(fl_cfg_set(c, "hospitals.1.name", "est", &err), err);
    check_ok(fl_cfg_set(c, "init", "", &err), err);
    fl_buf text = FL_BUF_INIT;
    check_ok(fl_cfg_emit(fl_cfg_root(c), false, &text, &err), err);
    check_str(text.data, "rounds: 7\n"
                         "local:\n"
                         "  lr: 0.5\n"
                         "hospitals: [{name: nord, patients: {n: 9}}, "
                         "{name: est, shift: [{blur: 1}, {noise: 2}]}]\n"
                         "strategy:\n"
                         "  name: fedprox\n"
                         "init: null\n");
    fl_buf_clear(&text);
    finish_says(c, NULL);
}

static void a_mapping_inherits_what_it_lacks(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_cfg *c = parse("- name: nord\n"
                      "  patients: {n: 900, age: [62, 14]}\n"
                      "  shift: [noise: 2]\n"
                      "  bad: 1\n"
                      "- name: sud\n"
                      "  patients: {n: 150}\n");
    fl_node nord = fl_cfg_item(fl_cfg_root(c), 0);
    fl_node sud = fl_cfg_item(fl_cfg_root(c), 1);
    fl_cfg_inherit(sud, nord);
    fl_buf out = FL_BUF_INIT;
    check_str(fl_cfg_text(sud, "name", NULL, ""), "sud");
    fl_node patients = fl_cfg_map(sud, "patients", "");
    check_int(fl_cfg_int(patients, "n", 0, 1000, 0, ""), 150);
    fl_node age = fl_cfg_list(patients, "age", "");
    check_int(fl_node_int(fl_cfg_item(age, 1), 0, 99, "sd"), 14);
    // A complaint about an inherited value names the line it was written on.
    fl_node shift = fl_cfg_item(fl_cfg_list(sud, "shift", ""), 0);
    check_int(fl_cfg_int(shift, "noise", 0, 1, 0, ""), 0);
    check_ok(fl_cfg_emit(nord, false, &out, &err), err);
    fl_buf_clear(&out);
    finish_says(c, "job.yaml:3: [1].shift[0].noise: expected a whole number from 0 to 1, found 2");
}

static void set_works_on_an_empty_document(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_cfg *c = parse("");
    check_ok(fl_cfg_set(c, "a.b", "{c: 1}", &err), err);
    fl_node b = fl_cfg_map(fl_cfg_map(fl_cfg_root(c), "a", ""), "b", "");
    check_int(fl_cfg_int(b, "c", 0, 9, 0, ""), 1);
    finish_says(c, NULL);
}

static void complaints_about_set_values_name_the_option(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    fl_cfg *c = parse("rounds: 3\n");
    check_ok(fl_cfg_set(c, "rounds", "3.7", &err), err);
    fl_cfg_int(fl_cfg_root(c), "rounds", 1, 9, 1, "");
    finish_says(c, "--set rounds=3.7: rounds: expected a whole number from 1 to 9, found 3.7");
    c = parse("rounds: 3\n");
    check_ok(fl_cfg_set(c, "round", "4", &err), err);
    fl_cfg_int(fl_cfg_root(c), "rounds", 1, 9, 1, "");
    finish_says(c, "--set round=4: round: unknown key; did you mean rounds?");
}

static void set_says_where_a_path_ends(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *value;
        const char *says;
    } bad[] = {
        {"rounds.x", "1", "--set rounds.x=1: rounds is not a mapping"},
        {"hospitals.est.n", "1", "--set hospitals.est.n=1: hospitals has no item of that name"},
        {"hospitals.9", "1", "--set hospitals.9=1: hospitals has no item of that name"},
        {"", "1", "--set =1:  has an empty name in it"},
        {"a..b", "1", "--set a..b=1: a..b has an empty name in it"},
        {"a.", "1", "--set a.=1: a. has an empty name in it"},
        {"a", "[1", NULL},
        {"a", "*x", NULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fl_err err = FL_ERR_INIT;
        fl_cfg *c = parse("rounds: 3\nhospitals: [{name: nord}]\n");
        check_fails(fl_cfg_set(c, bad[i].path, bad[i].value, &err), FL_EUSAGE);
        if (bad[i].says != NULL) {
            check_str(err.text, bad[i].says);
        }
        fl_cfg_destroy(&c);
    }
}

static void emit_gives_back_what_was_read(void **state)
{
    (void)state;
    static const char text[] = "name: \"yes: no\"\n"
                               "list: [1, 2.5, 'three']\n"
                               "nested:\n"
                               "  empty: {}\n"
                               "  none: null\n"
                               "  text: |\n"
                               "    two\n"
                               "    lines\n"
                               "path: ${CFG_TEST_DIR}/y\n";
    fl_err err = FL_ERR_INIT;
    fl_buf out = FL_BUF_INIT;
    setenv("CFG_TEST_DIR", "/mnt/x", 1);
    fl_cfg *c = parse(text);
    check_ok(fl_cfg_emit(fl_cfg_root(c), false, &out, &err), err);
    check_str(out.data, text);
    fl_buf_reset(&out);
    check_ok(fl_cfg_emit(fl_cfg_root(c), true, &out, &err), err);
    check_has(out.data, "path: /mnt/x/y\n");
    fl_buf_reset(&out);
    fl_node nested = fl_cfg_get(fl_cfg_root(c), "nested", "");
    check_ok(fl_cfg_emit(nested, false, &out, &err), err);
    check_str(out.data, "empty: {}\nnone: null\ntext: |\n  two\n  lines\n");
    fl_buf_reset(&out);
    check_ok(fl_cfg_emit(fl_cfg_get(nested, "absent", ""), false, &out, &err), err);
    check_str(out.data, "{}\n");
    fl_buf_reset(&out);
    unsetenv("CFG_TEST_DIR");
    check_fails(fl_cfg_emit(fl_cfg_root(c), true, &out, &err), FL_ECONFIG);
    check_str(err.text, "job.yaml:9: the environment variable CFG_TEST_DIR is not set");
    fl_buf_clear(&out);
    finish_says(c, NULL);  // emitting made every key known
}

/* A reader as others write it; describes itself. */
static void read_job(fl_cfg *c)
{
    static const char *const late[] = {"drop", "carry", NULL};
    fl_node root = fl_cfg_root(c);
    fl_cfg_text(root, "name", FL_CFG_REQUIRED_TEXT, "of the job");
    fl_cfg_int(root, "rounds", 1, 100, FL_CFG_REQUIRED, "rounds to play");
    fl_node sites = fl_cfg_map(root, "sites", "who takes part");
    fl_cfg_duration_ms(sites, "patience", 1000, 3600000, 600000, "the only timeout");
    fl_cfg_choice(sites, "late", late, 0, "what a late update is for");
    fl_node list = fl_cfg_list(root, "hospitals", "who they are");
    for (size_t i = 0; i < fl_cfg_count(list); i++) {
        fl_cfg_num(fl_cfg_item(list, i), "age", 0, 120, 62, "mean");
    }
    fl_cfg_complain(root, "never shown in a reference");
}

static void a_reader_prints_its_own_reference(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    fl_err err = FL_ERR_INIT;
    fl_cfg *c = fl_cfg_describe(file);
    read_job(c);
    read_job(c);  // a line is printed once
    check_ok(fl_cfg_finish(c, &err), err);
    fl_cfg_destroy(&c);
    char text[4096] = {0};
    rewind(file);
    check(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    int n_lines = 0;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++) {
        n_lines++;
    }
    check_int(n_lines, 7);
    check_has(text, "name ");
    check_has(text, "from 1 to 100");
    check_has(text, "required");
    check_has(text, "sites.patience ");
    check_has(text, "10m");
    check_has(text, "drop, carry");
    check_has(text, "hospitals[].age ");
    check_has(text, "the only timeout\n");
}

static void a_file_is_read_from_where_it_lies(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    char *path = fl_path_join(dir, "job.yaml");
    char *expected = fl_path_join(dir, "x.csv");
    fl_cfg *c = NULL;
    check_fails(fl_cfg_read(&c, path, &err), FL_ENOTFOUND);
    check_has(err.text, path);
    check_ok(fl_file_write(path, "file: x.csv\n", 12, 0644, &err), err);
    check_ok(fl_cfg_read(&c, path, &err), err);
    check_str(fl_cfg_name(c), path);
    check_str(fl_cfg_dir(c), dir);
    check_str(fl_cfg_path(fl_cfg_root(c), "file", NULL, ""), expected);
    finish_says(c, NULL);
    free(expected);
    free(path);
    check_rmdir(&dir);
}

/* Reads text with every getter; only a crash would fail. */
static void read_everything(const char *bytes, size_t n)
{
    fl_cfg *c = NULL;
    fl_err err = FL_ERR_INIT;
    // A block of exactly n bytes, so that a sanitizer sees a step beyond it.
    char *copy = fl_xcalloc(n, 1);
    memcpy(copy, bytes, n);
    if (fl_cfg_parse(&c, copy, n, "damaged.yaml", "/data", &err) == FL_OK) {
        fl_buf out = FL_BUF_INIT;
        read_job(c);
        (void)!fl_cfg_set(c, "hospitals.nord.n", "4", &err);
        (void)!fl_cfg_emit(fl_cfg_root(c), true, &out, &err);
        (void)!fl_cfg_finish(c, &err);
        fl_buf_clear(&out);
        fl_cfg_destroy(&c);
    }
    free(copy);
}

static void damaged_text_is_read_or_refused(void **state)
{
    (void)state;
    char text[] = "name: \"a\"\nrounds: 3\nsites: {patience: 1m, late: drop}\n"
                  "hospitals:\n  - {name: nord, age: 62}\n  - name: 'sud'\n    age: [1, 2]\n";
    size_t n = strlen(text);
    for (size_t cut = 0; cut < n; cut++) {
        read_everything(text, cut);
    }
    for (size_t bit = 0; bit < 8 * n; bit++) {
        text[bit / 8] ^= (char)(1 << (bit % 8));
        read_everything(text, n);
        text[bit / 8] ^= (char)(1 << (bit % 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_is_a_straight_line),
        cmocka_unit_test(an_unknown_key_is_named_with_its_line),
        cmocka_unit_test(whole_numbers_are_whole),
        cmocka_unit_test(numbers_are_decimal_and_finite),
        cmocka_unit_test(a_required_key_must_be_there),
        cmocka_unit_test(absent_and_null_give_the_default),
        cmocka_unit_test(a_wrong_kind_is_said_in_words),
        cmocka_unit_test(only_the_first_complaint_is_kept),
        cmocka_unit_test(a_reader_may_complain_about_a_place),
        cmocka_unit_test(a_choice_is_one_of_the_words),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(paths_expand_variables_and_start_at_the_file),
        cmocka_unit_test(pairs_of_a_mapping_are_known_once_asked),
        cmocka_unit_test(what_we_do_not_want_in_a_file_is_refused),
        cmocka_unit_test(depth_and_size_have_limits),
        cmocka_unit_test(set_changes_what_the_file_says),
        cmocka_unit_test(a_mapping_inherits_what_it_lacks),
        cmocka_unit_test(set_works_on_an_empty_document),
        cmocka_unit_test(complaints_about_set_values_name_the_option),
        cmocka_unit_test(set_says_where_a_path_ends),
        cmocka_unit_test(emit_gives_back_what_was_read),
        cmocka_unit_test(a_reader_prints_its_own_reference),
        cmocka_unit_test(a_file_is_read_from_where_it_lies),
        cmocka_unit_test(damaged_text_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
