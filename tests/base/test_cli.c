#include "check.h"

#include "base/cli.h"

typedef struct {
    bool json;
    const char *out;
    int64_t seed;
    double lr;
    fl_texts homes;
    fl_texts pos;
} parsed;

/* Parses the words ("train --seed 3") into *p; words must stay alive. */
static fl_status parse(parsed *p, char *words, fl_err *err)
{
    char *argv[32];
    int argc = 0;
    char *rest = NULL;
    for (char *w = strtok_r(words, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = w;
    }
    *p = (parsed){.out = "default", .seed = 1, .lr = 0.5};
    const fl_opt opts[] = {
        {"json", FL_OPT_FLAG, NULL, "print facts", &p->json, 0, 0, false},
        {"out", FL_OPT_TEXT, "FILE", "where to", &p->out, 0, 0, false},
        {"seed", FL_OPT_INT, "N", "of the run", &p->seed, 0, 1000, false},
        {"lr", FL_OPT_NUM, "L", "learning rate", &p->lr, 0, 0, false},
        {"home", FL_OPT_LIST, "DIR", "a hospital", &p->homes, 0, 0, true},
        {0},
    };
    return fl_cli_parse(argc, argv, opts, 1, 2, &p->pos, err);
}

static void options_go_where_the_table_says(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    parsed p;
    char words[] = "train --seed 42 DIR --json --home a --lr=-0.25 --home=b --out x y";
    check_ok(parse(&p, words, &err), err);
    check(p.json);
    check_str(p.out, "x");
    check_int(p.seed, 42);
    check_near(p.lr, -0.25, 0);
    check_int(p.homes.n, 2);
    check_str(p.homes.items[0], "a");
    check_str(p.homes.items[1], "b");
    check_int(p.pos.n, 2);
    check_str(p.pos.items[0], "DIR");
    check_str(p.pos.items[1], "y");
    free(p.homes.items);
    free(p.pos.items);
}

static void defaults_stay_when_nothing_is_said(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    parsed p;
    char words[] = "train --home h -- --json";
    check_ok(parse(&p, words, &err), err);
    check(!p.json);
    check_str(p.out, "default");
    check_int(p.seed, 1);
    check_str(p.pos.items[0], "--json");  // after -- everything is an argument
    free(p.homes.items);
    free(p.pos.items);
}

static void wrong_usage_is_one_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *words, *says;
    } bad[] = {
        {"t --home h x --sede 3", "unknown option --sede"},
        {"t --home h x -s 3", "unknown option -s"},
        {"t --home h x --seed", "--seed needs a value: N"},
        {"t --home h x --seed --json", "--seed needs a value: N"},
        {"t --home h x --seed 3.7", "--seed: expected a whole number from 0 to 1000, found 3.7"},
        {"t --home h x --seed nan", "--seed: expected a whole number from 0 to 1000, found nan"},
        {"t --home h x --seed 1001", "--seed: expected a whole number from 0 to 1000, found 1001"},
        {"t --home h x --seed=", "--seed: expected a whole number from 0 to 1000, found "},
        {"t --home h x --lr nan", "--lr: expected a number, found nan"},
        {"t --home h x --lr 1x", "--lr: expected a number, found 1x"},
        {"t --home h x --json=yes", "--json takes no value"},
        {"t --home h x --out a --out b", "--out is given twice"},
        {"t x", "--home is required"},
        {"t --home h", "1 more argument is needed"},
        {"t --home h x y z", "unexpected argument z"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fl_err err = FL_ERR_INIT;
        parsed p;
        char *words = fl_xstrdup(bad[i].words);
        check_fails(parse(&p, words, &err), FL_EUSAGE);
        check_str(err.text, bad[i].says);
        check(p.pos.items == NULL);
        free(p.homes.items);
        free(words);
    }
}

static int ran_with;

static fl_status run_good(int argc, char **argv, fl_err *err)
{
    (void)err;
    ran_with = argc;
    check_str(argv[0], "good");
    return FL_OK;
}

static fl_status run_bad(int argc, char **argv, fl_err *err)
{
    (void)argc;
    (void)argv;
    return fl_fail(err, FL_EIO, "disk on fire");
}

static const fl_opt *good_options(void)
{
    static bool json;
    static bool later;
    static const fl_opt opts[] = {
        {"json", FL_OPT_FLAG, NULL, "print facts", &json, 0, 0, false},
        {"later", FL_OPT_FLAG, NULL, NULL, &later, 0, 0, false},
        {"a-name-that-is-much-too-long", FL_OPT_FLAG, NULL,
         "a help so long that it reaches the last column of a terminal and goes on", &later, 0, 0, false},
        {0},
    };
    return opts;
}

static const fl_command commands[] = {
    {"good", "DIR [--json]", "does well", ".starts with a dot\nand a \\", run_good, good_options},
    {"bad", NULL, "does not", NULL, run_bad, NULL},
    {0},
};
static const fl_program program = {"consilium-test", "a program for tests", commands};

/* Runs the program with its standard output and error in files; the exit
 * code.  *out and *complaints are the caller's. */
static int run(char **out, char **complaints, int argc, char **argv)
{
    FILE *files[2] = {tmpfile(), tmpfile()};
    int saved[2];
    char *texts[2];
    for (int i = 0; i < 2; i++) {
        fflush(i == 0 ? stdout : stderr);
        saved[i] = dup(i + 1);
        check(dup2(fileno(files[i]), i + 1) >= 0);
    }
    int code = fl_cli_main(&program, argc, argv);
    for (int i = 0; i < 2; i++) {
        fflush(i == 0 ? stdout : stderr);
        check(dup2(saved[i], i + 1) >= 0);
        close(saved[i]);
        texts[i] = fl_xcalloc(16384, 1);
        rewind(files[i]);
        check(fread(texts[i], 1, 16383, files[i]) < 16383);
        fclose(files[i]);
    }
    *out = texts[0];
    *complaints = texts[1];
    return code;
}

/* Runs "consilium-test FIRST SECOND" and checks code and a part of what it
 * prints; a NULL part means nothing at all is printed there. */
static void run_says(const char *first, const char *second, int code, const char *out_part,
                     const char *complaint_part)
{
    char *words[3] = {fl_xstrdup("consilium-test"), fl_xstrdup(first), fl_xstrdup(second)};
    char *argv[4] = {words[0], words[1], words[2], NULL};
    int argc = second != NULL ? 3 : first != NULL ? 2 : 1;
    char *out = NULL;
    char *complaints = NULL;
    check_int(run(&out, &complaints, argc, argv), code);
    if (out_part == NULL) {
        check_str(out, "");
    } else {
        check_has(out, out_part);
    }
    if (complaint_part == NULL) {
        check_str(complaints, "");
    } else {
        check_has(complaints, complaint_part);
    }
    free(out);
    free(complaints);
    for (int i = 0; i < 3; i++) {
        free(words[i]);
    }
}

static void a_program_runs_its_commands(void **state)
{
    (void)state;
    run_says("good", "x", 0, NULL, NULL);
    check_int(ran_with, 2);
    run_says("bad", NULL, 1, NULL, "consilium-test bad: disk on fire\n");
    run_says("ugly", NULL, 2, NULL, "no command 'ugly'");
    run_says(NULL, NULL, 2, NULL, "usage: consilium-test COMMAND");
}

static void help_comes_from_the_table(void **state)
{
    (void)state;
    run_says("--help", NULL, 0, "  good         does well\n", NULL);
    run_says("help", NULL, 0, "  bad          does not\n", NULL);
    run_says("help", "good", 0, "usage: consilium-test good DIR [--json]\n", NULL);
    run_says("good", "--help", 0,
             "\n\noptions:\n"
             "  --json  print facts\n"
             "  --a-name-that-is-much-too-long\n"
             "          a help so long that it reaches the last column of a terminal and goes\n"
             "          on\n\n.starts with",
             NULL);
    run_says("help", "bad", 0, "usage: consilium-test bad\n\ndoes not\n", NULL);
    run_says("help", "ugly", 2, NULL, "no command 'ugly'");
    run_says("--version", NULL, 0, "consilium-test " FL_VERSION "\n", NULL);
}

static void the_man_page_escapes_what_roff_would_take(void **state)
{
    (void)state;
    run_says("--man", NULL, 0, ".SH NAME\nconsilium\\-test \\- a program for tests\n", NULL);
    run_says("--man", NULL, 0, "\n\\&.starts with a dot\nand a \\e\n", NULL);
    run_says("--man", NULL, 0, ".TP\n.B \\-\\-json \nprint facts\n", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_go_where_the_table_says),
        cmocka_unit_test(defaults_stay_when_nothing_is_said),
        cmocka_unit_test(wrong_usage_is_one_sentence),
        cmocka_unit_test(a_program_runs_its_commands),
        cmocka_unit_test(help_comes_from_the_table),
        cmocka_unit_test(the_man_page_escapes_what_roff_would_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
