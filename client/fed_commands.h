/*
 * fed_commands.h - join, run, approve, sent, report, doctor ...: the client in a federation
 *
 * Each is a subcommand of main.c's table; argv[0] is its name.
 */
#ifndef CLIENT_FED_COMMANDS_H
#define CLIENT_FED_COMMANDS_H

#include "base/cli.h"
#include "base/err.h"

fl_status client_join(int argc, char **argv, fl_err *err);
const fl_opt *client_join_options(void);

fl_status client_run(int argc, char **argv, fl_err *err);
const fl_opt *client_run_options(void);

fl_status client_approve(int argc, char **argv, fl_err *err);
const fl_opt *client_approve_options(void);

/* verify.c */
fl_status client_verify(int argc, char **argv, fl_err *err);
const fl_opt *client_verify_options(void);

/* doctor.c */
fl_status client_doctor(int argc, char **argv, fl_err *err);
const fl_opt *client_doctor_options(void);

/* keys_command.c */
fl_status client_passphrase(int argc, char **argv, fl_err *err);
const fl_opt *client_passphrase_options(void);
fl_status client_rotate(int argc, char **argv, fl_err *err);
const fl_opt *client_rotate_options(void);
fl_status client_trust(int argc, char **argv, fl_err *err);
const fl_opt *client_trust_options(void);

/* report_command.c */
fl_status client_report(int argc, char **argv, fl_err *err);
const fl_opt *client_report_options(void);

fl_status client_sent(int argc, char **argv, fl_err *err);
const fl_opt *client_sent_options(void);

#endif
