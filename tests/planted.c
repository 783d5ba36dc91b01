/*
 * planted.c - decides by memory that nobody wrote, and loses it: tests/under_valgrind must find it
 */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    volatile int *lost = malloc(16 * sizeof *lost);
    if (lost != NULL && lost[3] == 42) {
        puts("by chance");
    }
    lost = NULL;
    return lost != NULL;
}
