/*
 * jit.h - may code be made at run time?
 *
 * oneDNN makes the code of every layer when a network is built.  A system that forbids memory which
 * is written and then executed (MemoryDenyWriteExecute of systemd, SELinux's execmem) leaves a
 * hospital that joins each job and is absent from each round.
 */
#ifndef CLIENT_JIT_H
#define CLIENT_JIT_H

#include "base/err.h"

/* FL_ECONFIG, with what to do, when the system forbids it. */
fl_status jit_look(fl_err *err);

#endif
