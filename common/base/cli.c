/*
 * cli.c - see cli.h
 */
#include "base/cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum {
    HELP_COLUMNS = 80,    // longer lines of help are broken
    OPTION_COLUMNS = 30,  // "  --name ARG" up to here has its help beside it
};

static const fl_opt *find_option(const fl_opt *opts, const char *name, size_t n)
{
    for (const fl_opt *o = opts; o != NULL && o->name != NULL; o++) {
        if (strlen(o->name) == n && strncmp(o->name, name, n) == 0) {
            return o;
        }
    }
    return NULL;
}

static bool in_range(const fl_opt *o, double value)
{
    return (o->min == 0 && o->max == 0) || (value >= o->min && value <= o->max);
}

static fl_status bad_value(const fl_opt *o, const char *value, fl_err *err)
{
    const char *kind = o->kind == FL_OPT_INT ? "a whole number" : "a number";
    if (o->min == 0 && o->max == 0) {
        return fl_fail(err, FL_EUSAGE, "--%s: expected %s, found %s", o->name, kind, value);
    }
    return fl_fail(err, FL_EUSAGE, "--%s: expected %s from %.15g to %.15g, found %s", o->name, kind,
                   o->min, o->max, value);
}

static void append(fl_texts *list, const char *text)
{
    list->items = fl_xrealloc(list->items, list->n + 1, sizeof *list->items);
    list->items[list->n++] = text;
}

static fl_status store_value(const fl_opt *o, const char *value, fl_err *err)
{
    char *end = NULL;
    errno = 0;
    switch (o->kind) {
    case FL_OPT_FLAG:
        *(bool *)o->out = true;
        return FL_OK;
    case FL_OPT_TEXT:
        *(const char **)o->out = value;
        return FL_OK;
    case FL_OPT_INT: {
        long long number = strtoll(value, &end, 10);
        if (*value == '\0' || *end != '\0' || errno != 0 || !in_range(o, (double)number)) {
            return bad_value(o, value, err);
        }
        *(int64_t *)o->out = number;
        return FL_OK;
    }
    case FL_OPT_NUM: {
        double number = strtod(value, &end);
        if (*value == '\0' || *end != '\0' || !isfinite(number) || !in_range(o, number)) {
            return bad_value(o, value, err);
        }
        *(double *)o->out = number;
        return FL_OK;
    }
    case FL_OPT_LIST:
        append(o->out, value);
        return FL_OK;
    }
    return FL_OK;
}

/* argv[*i] is "--name" or "--name=value"; *i moves on past a separate value. */
static fl_status take_option(int argc, char **argv, int *i, const fl_opt *opts, bool *given,
                             fl_err *err)
{
    const char *name = argv[*i] + 2;
    const char *equals = strchr(name, '=');
    size_t n = equals == NULL ? strlen(name) : (size_t)(equals - name);
    const fl_opt *o = find_option(opts, name, n);
    if (o == NULL) {
        return fl_fail(err, FL_EUSAGE, "unknown option --%.*s", (int)n, name);
    }
    if (given[o - opts] && o->kind != FL_OPT_LIST) {
        return fl_fail(err, FL_EUSAGE, "--%s is given twice", o->name);
    }
    given[o - opts] = true;
    if (o->kind == FL_OPT_FLAG) {
        if (equals != NULL) {
            return fl_fail(err, FL_EUSAGE, "--%s takes no value", o->name);
        }
        return store_value(o, NULL, err);
    }
    if (equals != NULL) {
        return store_value(o, equals + 1, err);
    }
    if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0) {
        return fl_fail(err, FL_EUSAGE, "--%s needs a value: %s", o->name,
                       o->arg != NULL ? o->arg : "VALUE");
    }
    return store_value(o, argv[++*i], err);
}

fl_status fl_cli_parse(int argc, char **argv, const fl_opt *opts, size_t min_pos, size_t max_pos,
                       fl_texts *pos, fl_err *err)
{
    fl_texts found = {NULL, 0};
    size_t n_opts = 0;
    while (opts != NULL && opts[n_opts].name != NULL) {
        n_opts++;
    }
    bool *given = fl_xcalloc(n_opts, sizeof *given);
    fl_status st = FL_OK;
    bool options_over = false;
    *pos = found;
    for (int i = 1; i < argc && st == FL_OK; i++) {
        if (!options_over && strcmp(argv[i], "--") == 0) {
            options_over = true;
        } else if (!options_over && strncmp(argv[i], "--", 2) == 0) {
            st = take_option(argc, argv, &i, opts, given, err);
        } else if (!options_over && argv[i][0] == '-' && argv[i][1] != '\0') {
            st = fl_fail(err, FL_EUSAGE, "unknown option %s", argv[i]);
        } else if (found.n == max_pos) {
            st = fl_fail(err, FL_EUSAGE, "unexpected argument %s", argv[i]);
        } else {
            append(&found, argv[i]);
        }
    }
    for (size_t i = 0; i < n_opts && st == FL_OK; i++) {
        if (opts[i].required && !given[i]) {
            st = fl_fail(err, FL_EUSAGE, "--%s is required", opts[i].name);
        }
    }
    if (st == FL_OK && found.n < min_pos) {
        st = fl_fail(err, FL_EUSAGE, "%zu more argument%s needed", min_pos - found.n,
                     min_pos - found.n == 1 ? " is" : "s are");
    }
    free(given);
    if (st != FL_OK) {
        free(found.items);
        return st;
    }
    *pos = found;  // items are now the caller's
    return FL_OK;
}

// -------------------------------------------------------- help and man pages

static const fl_command *find_command(const fl_program *p, const char *name)
{
    for (const fl_command *c = p->commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }
    return NULL;
}

/* Up to a space, but [--seed N] is one word. */
static size_t word_length(const char *text)
{
    size_t n = 0;
    int depth = 0;
    for (; text[n] != '\0' && text[n] != '\n' && (text[n] != ' ' || depth > 0); n++) {
        depth += (text[n] == '[') - (text[n] == ']');
    }
    return n;
}

/* Prints words up to HELP_COLUMNS; an empty line begins a paragraph.  column:
 * where the cursor stands, indent: where further lines begin. */
static void print_filled(FILE *to, const char *text, size_t column, size_t indent)
{
    bool first = true;
    while (*text != '\0') {
        size_t n_spaces = strspn(text, " \n"), n = word_length(text + n_spaces);
        if (strncmp(text, "\n\n", 2) == 0) {
            fprintf(to, "\n\n%*s", (int)indent, "");
            column = indent;
        } else if (!first && n > 0 && column + n_spaces + n > HELP_COLUMNS) {
            fprintf(to, "\n%*s", (int)indent, "");
            column = indent;
        } else {
            fprintf(to, "%*s", (int)n_spaces, "");
            column += n_spaces;
        }
        fprintf(to, "%.*s", (int)n, text + n_spaces);
        column += n;
        text += n_spaces + n;
        first = false;
    }
    fputc('\n', to);
}

static void print_usage(FILE *to, const fl_program *p)
{
    fprintf(to, "%s - %s\n\n", p->name, p->summary);
    fprintf(to, "usage: %s COMMAND [ARGUMENT]...\n\ncommands:\n", p->name);
    for (const fl_command *c = p->commands; c->name != NULL; c++) {
        fprintf(to, "  %-12s %s\n", c->name, c->help);
    }
    fprintf(to, "\n`%s help COMMAND` tells more; --version, --man.\n", p->name);
}

static void print_synopsis(FILE *to, const fl_program *p, const fl_command *c)
{
    char start[128];
    int n = snprintf(start, sizeof start, "usage: %s %s", p->name, c->name);
    bool has_args = c->args != NULL && c->args[0] != '\0';
    fprintf(to, "%s%s", start, has_args ? " " : "");
    print_filled(to, has_args ? c->args : "", (size_t)n + has_args, 4);
}

/* The longest "  --name ARG  " that still has its help beside it. */
static size_t width_of_options(const fl_opt *opts)
{
    size_t width = 0;
    for (const fl_opt *o = opts; o != NULL && o->name != NULL; o++) {
        size_t n = strlen("  --") + strlen(o->name) + (o->arg != NULL ? 1 + strlen(o->arg) : 0) + 2;
        width = o->help != NULL && n <= OPTION_COLUMNS && n > width ? n : width;
    }
    return width;
}

static void print_options(FILE *to, const fl_opt *opts)
{
    size_t width = width_of_options(opts);
    for (const fl_opt *o = opts; o != NULL && o->name != NULL; o++) {
        if (o->help == NULL) {
            continue;
        }
        char *left = fl_xasprintf("  --%s%s%s", o->name, o->arg != NULL ? " " : "",
                                  o->arg != NULL ? o->arg : "");
        char *help = fl_xasprintf("%s%s%s", o->help, o->required ? " (required)" : "",
                                  o->kind == FL_OPT_LIST ? " (repeatable)" : "");
        if (strlen(left) + 2 > width) {
            fprintf(to, "%s\n%*s", left, (int)width, "");
        } else {
            fprintf(to, "%-*s", (int)width, left);
        }
        print_filled(to, help, width, width);
        free(help);
        free(left);
    }
}

static void print_command(FILE *to, const fl_program *p, const fl_command *c)
{
    print_synopsis(to, p, c);
    fprintf(to, "\n%s\n", c->help);
    const fl_opt *opts = c->options != NULL ? c->options() : NULL;
    if (opts != NULL && opts->name != NULL) {
        fprintf(to, "\noptions:\n");
        print_options(to, opts);
    }
    if (c->details != NULL) {
        fputc('\n', to);
        print_filled(to, c->details, 0, 0);
    }
}

/* Text that roff must not take for commands. */
static void print_roff(const char *text)
{
    bool line_start = true;
    for (const char *c = text; *c != '\0'; c++) {
        if (line_start && (*c == '.' || *c == '\'')) {
            fputs("\\&", stdout);
        }
        if (*c == '\\') {
            fputs("\\e", stdout);
        } else if (*c == '-') {
            fputs("\\-", stdout);
        } else {
            putchar(*c);
        }
        line_start = *c == '\n';
    }
}

static void print_man(const fl_program *p)
{
    printf(".TH \"%s\" 1 \"\" \"Consilium %s\" \"User Commands\"\n", p->name, FL_VERSION);
    printf(".SH NAME\n");
    print_roff(p->name);
    printf(" \\- ");
    print_roff(p->summary);
    printf("\n.SH SYNOPSIS\n.B ");
    print_roff(p->name);
    printf("\n.I COMMAND\n[ARGUMENT]...\n.SH COMMANDS\n");
    for (const fl_command *c = p->commands; c->name != NULL; c++) {
        printf(".SS ");
        print_roff(c->name);
        printf(" ");
        print_roff(c->args != NULL ? c->args : "");
        printf("\n");
        print_roff(c->help);
        printf("\n");
        const fl_opt *opts = c->options != NULL ? c->options() : NULL;
        for (const fl_opt *o = opts; o != NULL && o->name != NULL; o++) {
            if (o->help == NULL) {
                continue;
            }
            printf(".TP\n.B \\-\\-");
            print_roff(o->name);
            printf(" ");
            print_roff(o->arg != NULL ? o->arg : "");
            printf("\n");
            print_roff(o->help);
            printf("%s\n", o->required ? " (required)" : "");
        }
        if (c->details != NULL) {
            printf(".PP\n");
            print_roff(c->details);
            printf("\n");
        }
    }
    printf(".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage or configuration, 3 done without somebody.\n");
}

/* --help anywhere before a bare "--". */
static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

static int unknown_command(const fl_program *p, const char *name)
{
    fprintf(stderr, "%s: no command '%s'; `%s --help` lists them\n", p->name, name, p->name);
    return fl_exit_code(FL_EUSAGE);
}

static int run_command(const fl_program *p, const fl_command *c, int argc, char **argv)
{
    fl_err err = FL_ERR_INIT;
    fl_status st = c->run(argc, argv, &err);
    if (st == FL_OK) {
        return 0;
    }
    const char *text = err.text[0] != '\0' ? err.text : fl_status_text(st);
    fl_progress_end();
    fprintf(stderr, "%s %s: %s\n", p->name, c->name, text);
    if (st == FL_EUSAGE) {
        fprintf(stderr, "usage: %s %s%s%s\n", p->name, c->name, c->args != NULL ? " " : "",
                c->args != NULL ? c->args : "");
    }
    return fl_exit_code(st);
}

/* Output that could not be written (a full disk) is a failure, too. */
static int flush_output(const fl_program *p, int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "%s: standard output could not be written\n", p->name);
        return code == 0 ? 1 : code;
    }
    return code;
}

int fl_cli_main(const fl_program *program, int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "";
    if (strcmp(first, "") == 0) {
        print_usage(stderr, program);
        return fl_exit_code(FL_EUSAGE);
    }
    if (strcmp(first, "--version") == 0) {
        printf("%s %s\n", program->name, FL_VERSION);
        return flush_output(program, 0);
    }
    if (strcmp(first, "--man") == 0) {
        print_man(program);
        return flush_output(program, 0);
    }
    bool is_help = strcmp(first, "help") == 0;
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 || (is_help && argc == 2)) {
        print_usage(stdout, program);
        return flush_output(program, 0);
    }
    const char *name = is_help ? argv[2] : first;
    const fl_command *command = find_command(program, name);
    if (command == NULL) {
        return unknown_command(program, name);
    }
    if (is_help || wants_help(argc - 1, argv + 1)) {
        print_command(stdout, program, command);
        return flush_output(program, 0);
    }
    return flush_output(program, run_command(program, command, argc - 1, argv + 1));
}
