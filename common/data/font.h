/*
 * font.h - text in pictures
 */
#ifndef DATA_FONT_H
#define DATA_FONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DATA_FONT_ROWS = 11, DATA_FONT_COLS = 6 };  // of a letter

/* Draws text into rgb (rows, cols, 3); what lies outside is cut off. */
void data_font_draw(float *rgb, int64_t rows, int64_t cols, int64_t top, int64_t left,
                    const float ink[static 3], const char *text);

#endif
