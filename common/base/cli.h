/*
 * cli.h - subcommands, options, --help and man pages from one table
 *
 * Programs describe themselves as const tables; parsing, --help, --version
 * and the man page come from the same table.  Exit codes: 0 done, 1 failed,
 * 2 usage or configuration, 3 done without somebody.
 */
#ifndef FL_CLI_H
#define FL_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

typedef enum {
    FL_OPT_FLAG,   // --json                  out: bool
    FL_OPT_TEXT,   // --out FILE              out: const char *
    FL_OPT_INT,    // --seed N, in [min, max] out: int64_t
    FL_OPT_NUM,    // --lr L,   in [min, max] out: double
    FL_OPT_LIST    // --home DIR, repeatable  out: fl_texts
} fl_opt_kind;

typedef struct { const char **items; size_t n; } fl_texts; // items borrowed from argv; free(items)

typedef struct {
    const char *name;    // without the dashes
    fl_opt_kind kind;
    const char *arg;     // "DIR" in the help; NULL for flags
    const char *help;    // one line; NULL: not shown
    void *out;           // where the value goes; holds the default before
    double min, max;     // FL_OPT_INT and FL_OPT_NUM; both 0 = any
    bool required;
} fl_opt;

/* Parses what follows the subcommand.  Positionals: at least min_pos, at most
 * max_pos, borrowed into *pos.  An unknown option, a missing value or `3.7`
 * for a whole number is FL_EUSAGE in one sentence. opts ends with {0}. */
fl_status fl_cli_parse(int argc, char **argv, const fl_opt *opts, size_t min_pos,
                       size_t max_pos, fl_texts *pos, fl_err *err);

typedef struct fl_command {
    const char *name;     // "init"
    const char *args;     // "DIR [--name N]" as in the help
    const char *help;     // one line
    const char *details;  // paragraphs for --help and the man page; may be NULL
    /* argv[0] is the subcommand.  Returns a status; main prints err. */
    fl_status (*run)(int argc, char **argv, fl_err *err);
    /* This command's options for --help (values ignored), ends with {0}; may
     * be NULL. */
    const fl_opt *(*options)(void);
} fl_command;

typedef struct {
    const char *name;          // "consilium-coordinator"
    const char *summary;       // one line
    const fl_command *commands; // ends with {0}
} fl_program;

/* Finds and runs the subcommand; handles --help, --version, `help CMD` and
 * `--man` (prints the page in man format).  Returns the exit code. */
int fl_cli_main(const fl_program *program, int argc, char **argv);

#endif
