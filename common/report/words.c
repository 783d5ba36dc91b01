/*
 * words.c - see words.h
 */
#include "report/words.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char *const codes[REPORT_N_LANGUAGES] = {[REPORT_EN] = "en", [REPORT_FR] = "fr"};

const char *report_language_code(report_language language)
{
    return codes[language];
}

bool report_language_find(report_language *out, const char *code)
{
    for (int l = 0; l < REPORT_N_LANGUAGES; l++) {
        if (strcmp(codes[l], code) == 0) {
            *out = (report_language)l;
            return true;
        }
    }
    return false;
}

static const char *find(const report_words_entry *table, const char *message)
{
    for (; table->english != NULL; table++) {
        if (strcmp(table->english, message) == 0) {
            return table->french;
        }
    }
    return NULL;
}

const char *report_words(report_language language, const char *message)
{
    const char *french = language == REPORT_FR ? find(report_words_said, message) : NULL;
    return french != NULL ? french : message;
}

/* ------------------------------------------------------ what programs wrote */

enum { MOST_PARTS = 8 };

typedef struct {
    const char *at[MOST_PARTS];  // what stood for each %s, in the text
    size_t n[MOST_PARTS], count;
} parts;

/* Does text read as the pattern, in which "%s" is anything but nothing? */
static bool fits(parts *p, const char *pattern, const char *text)
{
    while (*pattern != '\0' && strncmp(pattern, "%s", 2) != 0) {
        if (*pattern++ != *text++) {
            return false;
        }
    }
    if (*pattern == '\0') {
        return *text == '\0';
    }
    size_t mine = p->count++, length = strlen(text);
    FL_REQUIRE(mine < MOST_PARTS);
    for (size_t n = 1; n <= length; n++) {
        size_t after = p->count;
        if (fits(p, pattern + 2, text + n)) {
            p->at[mine] = text;
            p->n[mine] = n;
            return true;
        }
        p->count = after;
    }
    return false;
}

/* "0.5" as that language writes it; other words of programs by the table. */
static void put_part(fl_buf *out, report_language language, char *part)
{
    char *point = strchr(part, '.');
    bool is_number = point != NULL && strspn(part, "0123456789.") == strlen(part);
    if (is_number && strchr(point + 1, '.') == NULL) {  // else the version of something
        *point = language == REPORT_FR ? ',' : '.';
        fl_buf_puts(out, part);
    } else {
        report_words_told(out, language, part);
    }
}

/* A part is put in by its number ("%2$s") or as the next one. */
static void put_together(fl_buf *out, report_language language, const char *french, const parts *p)
{
    size_t next = 0;
    while (*french != '\0') {
        size_t plain = strcspn(french, "%");
        fl_buf_add(out, french, plain);
        french += plain;
        if (*french == '\0') {
            break;
        }
        size_t which = next++;
        if (french[1] != 's') {
            which = (size_t)(french[1] - '1');
            french += 2;
        }
        french += 2;
        char *part = fl_xstrndup(p->at[which], p->n[which]);
        put_part(out, language, part);
        free(part);
    }
}

bool report_words_told(fl_buf *out, report_language language, const char *text)
{
    if (language == REPORT_FR) {
        for (const report_words_entry *e = report_words_heard; e->english != NULL; e++) {
            parts p = {.count = 0};
            if (fits(&p, e->english, text)) {
                put_together(out, language, e->french, &p);
                return true;
            }
        }
    }
    fl_buf_puts(out, text);
    return language == REPORT_EN;
}
