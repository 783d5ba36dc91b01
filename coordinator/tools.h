/*
 * tools.h - the coordinator's commands that listen to nobody
 */
#ifndef COORDINATOR_TOOLS_H
#define COORDINATOR_TOOLS_H

#include "base/cli.h"
#include "base/err.h"
#include "coordinator/federation.h"
#include "coordinator/roster.h"

/* `aggregate`: one aggregation step from files (tool_aggregate.c). */
fl_status coordinator_aggregate(int argc, char **argv, fl_err *err);
const fl_opt *coordinator_aggregate_options(void);
/* `report`: pages again from report.json (tool_report.c). */
fl_status coordinator_report(int argc, char **argv, fl_err *err);
const fl_opt *coordinator_report_options(void);
/* `verify`: a run's folder against its audit record (tool_verify.c). */
fl_status coordinator_verify(int argc, char **argv, fl_err *err);
const fl_opt *coordinator_verify_options(void);
/* `passphrase` and `rotate` (keys_command.c). */
fl_status coordinator_passphrase(int argc, char **argv, fl_err *err);
const fl_opt *coordinator_passphrase_options(void);
fl_status coordinator_rotate(int argc, char **argv, fl_err *err);
const fl_opt *coordinator_rotate_options(void);
/* `sites` (tool_sites.c). */
fl_status coordinator_sites(int argc, char **argv, fl_err *err);
const fl_opt *coordinator_sites_options(void);
/* Opens the federation of DIR, without its keys, and its roster; the caller closes both. */
fl_status coordinator_look(federation *f, roster **r, const char *dir, fl_err *err);
/* The same with its keys. */
fl_status coordinator_open(federation *f, roster **r, const char *dir, fl_err *err);
/* `invite` (tool_invite.c). */
fl_status coordinator_invite(int argc, char **argv, fl_err *err);
const fl_opt *coordinator_invite_options(void);
/* `status` (tool_status.c). */
fl_status coordinator_status(int argc, char **argv, fl_err *err);
const fl_opt *coordinator_status_options(void);

#endif
