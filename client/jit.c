/*
 * jit.c - see jit.h
 */
#define _DEFAULT_SOURCE  // MAP_ANONYMOUS
#include "client/jit.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Runs what was written to the page, where we know the processor's language. */
static fl_status run_it(uint8_t *page, fl_err *err)
{
#if defined(__x86_64__) || defined(__i386__)
    static const uint8_t give_back_42[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov eax, 42; ret
    int (*made)(void) = NULL;
    memcpy(page, give_back_42, sizeof give_back_42);
    memcpy(&made, &page, sizeof made);
    if (made() != 42) {
        return fl_fail(err, FL_ECONFIG, "code that is made at run time gives a wrong result");
    }
#else
    (void)page;
    (void)err;
#endif
    return FL_OK;
}

/* oneDNN's way: a page that is written, then made executable as well. */
fl_status jit_look(fl_err *err)
{
    size_t n = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *page = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return fl_fail(err, FL_ELIMIT, "no memory: %s", strerror(errno));
    }
    fl_status st =
        mprotect(page, n, PROT_READ | PROT_WRITE | PROT_EXEC) != 0
            ? fl_fail(err, FL_ECONFIG,
                      "this system forbids code that is made at run time (%s), which oneDNN needs "
                      "to train: MemoryDenyWriteExecute=no in the unit, or the policy's execmem",
                      strerror(errno))
            : run_it(page, err);
    munmap(page, n);
    return st;
}
