/*
 * messages.c - see messages.h
 */
#include "report/messages.h"

#include <ctype.h>

#include "base/buf.h"
#include "check.h"

bool messages_have(const messages *m, const char *text)
{
    for (size_t i = 0; i < m->n; i++) {
        if (strcmp(m->text[i], text) == 0) {
            return true;
        }
    }
    return false;
}

static void add_message(messages *m, fl_buf *text)
{
    if (text->n > 0 && !messages_have(m, text->data)) {
        m->text = fl_xrealloc(m->text, ++m->n, sizeof *m->text);
        m->text[m->n - 1] = fl_xstrdup(text->data);
    }
    fl_buf_reset(text);
}

/* One literal from its first quote on, with its escapes undone; behind it. */
static const char *read_literal(fl_buf *out, const char *p)
{
    for (p++; *p != '"' && *p != '\0'; p++) {
        if (*p == '\\') {
            p++;
            if (*p == 'x') {
                char byte = (char)strtol((char[]){p[1], p[2], '\0'}, NULL, 16);
                fl_buf_add(out, &byte, 1);
                p += 2;
                continue;
            }
            fl_buf_puts(out, *p == 'n' ? "\n" : "");
            fl_buf_add(out, p, *p != 'n');
        } else {
            fl_buf_add(out, p, 1);
        }
    }
    return p + (*p != '\0');
}

/* The literals of one argument of a call; p: behind its bracket.  Neighbours are one message, the
 * two of a ?: are two. */
static void read_call(messages *m, const char *p, int wanted)
{
    fl_buf text = FL_BUF_INIT;
    int depth = 0, argument = 1;
    while (*p != '\0') {
        if (*p == '"') {
            fl_buf elsewhere = FL_BUF_INIT;
            p = read_literal(argument == wanted && depth == 0 ? &text : &elsewhere, p);
            fl_buf_clear(&elsewhere);
        } else if (isspace((unsigned char)*p)) {
            p++;
        } else if (strncmp(p, "//", 2) == 0) {
            p += strcspn(p, "\n");
        } else {
            add_message(m, &text);
            if (*p == ')' && depth-- == 0) {
                break;
            }
            depth += *p == '(';
            argument += *p == ',' && depth == 0;
            p++;
        }
    }
    fl_buf_clear(&text);
}

static void read_source(messages *m, const char *source, const taker *takers, size_t n)
{
    for (size_t t = 0; t < n; t++) {
        char *call = fl_xasprintf("%s(", takers[t].name);
        for (const char *at = strstr(source, call); at != NULL; at = strstr(at + 1, call)) {
            bool word = at == source || (!isalnum((unsigned char)at[-1]) && at[-1] != '_');
            if (word) {
                read_call(m, at + strlen(call), takers[t].argument);
            }
        }
        free(call);
    }
}

void messages_read(messages *m, const char *folder, const taker *takers, size_t n_takers)
{
    fl_err err = FL_ERR_INIT;
    char **names = NULL;
    size_t n = 0;
    check_ok(fl_list_dir(&names, &n, folder, &err), err);
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(names[i]);
        if (length < 2 || strcmp(names[i] + length - 2, ".c") != 0) {
            continue;
        }
        char *path = fl_path_join(folder, names[i]), *text = NULL;
        size_t n_text = 0;
        check_ok(fl_file_read(&text, &n_text, path, 4 << 20, &err), err);
        read_source(m, text, takers, n_takers);
        free(text);
        free(path);
    }
    fl_names_free(&names, n);
}

void messages_clear(messages *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->text[i]);
    }
    free(m->text);
}
