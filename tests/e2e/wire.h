/*
 * wire.h - whether something can be read in what a proxy saw
 */
#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>

#include "proxy.h"

/* How often the bytes were seen, in either direction. */
size_t wire_n_seen(const proxy *p, const void *bytes, size_t n);
/* Fails the test when the text is readable. */
void wire_check_text(const proxy *p, const char *text);
/* Fails the test when 32 bytes of the file in a row are, or when the search would not find
 * them. */
void wire_check_file(const proxy *p, const char *path);

#endif
