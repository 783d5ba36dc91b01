/*
 * federation.h - the coordinator's folder
 *
 *   DIR/federation.yaml        name and address, for people to edit
 *   DIR/keys/                  the coordinator's own keys; next/ and former.jsonl: renewal.h
 *   DIR/federation.db          sites, invitations, refusals (roster.h)
 *   DIR/invitations/SITE.yaml  as handed to the hospitals
 *   DIR/runs/R/                one folder a run (run.h)
 *   DIR/lock                   held by the one coordinator that runs here
 */
#ifndef COORDINATOR_FEDERATION_H
#define COORDINATOR_FEDERATION_H

#include <stdbool.h>
#include <stdio.h>

#include "base/cfg.h"
#include "base/err.h"
#include "fed/identity.h"

enum { FEDERATION_ADDRESS_BYTES = 256, FEDERATION_PORT = 7700 };

typedef struct {
    char *dir;  // owned
    char name[FED_NAME_BYTES];
    char address[FEDERATION_ADDRESS_BYTES];  // "tcp://host:7700", as sites reach it
    fed_identity *identity;                  // owned
    fed_passphrase *pass;                    // that its keys are under; owned; NULL = none
    int lock;                                // descriptor; -1: not held
} federation;

/* Makes DIR with fresh keys.  FL_ECONFLICT when there is a federation already.
 * name, address: NULL = the folder's name, this machine's name. */
fl_status federation_init(const char *dir, const char *name, const char *address, fl_err *err);
/* FL_ENOTFOUND, with what to do, when DIR holds no federation. */
fl_status federation_look(federation *out, const char *dir, fl_err *err);  // without its keys
fl_status federation_open(federation *out, const char *dir, fl_err *err);
void federation_close(federation *f);
/* FL_ECONFLICT when another coordinator runs on this folder, and still does after wait_ms: one that
 * starts waits for a command that has the folder for a moment. */
fl_status federation_lock(federation *f, int wait_ms, fl_err *err);
/* The keys of federation.yaml, for `coordinator keys`. */
void federation_describe(FILE *out);

/* DIR/part; caller's. */
char *federation_path(const federation *f, const char *part);
/* "tcp://host:7700" -> 7700; FL_ECONFIG when it is no address. */
fl_status federation_port(int *port, const char *address, fl_err *err);

#endif
