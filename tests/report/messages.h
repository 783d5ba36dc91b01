/*
 * messages.h - the messages that sources give to certain functions
 *
 * Read from the C text itself, as xgettext would: what no test brings about is
 * found too.
 */
#ifndef TESTS_REPORT_MESSAGES_H
#define TESTS_REPORT_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>

/* A function of which an argument is a message, and which one. */
typedef struct {
    const char *name;
    int argument;  // from 1 on
} taker;

/* Each once.  {0} is empty. */
typedef struct {
    char **text;
    size_t n;
} messages;

/* Adds those of every .c of a folder. */
void messages_read(messages *m, const char *folder, const taker *takers, size_t n_takers);
bool messages_have(const messages *m, const char *text);
void messages_clear(messages *m);

#endif
