/*
 * csv.c - comma-separated tables (RFC 4180)
 *
 * Cells are unquoted in place in one copy of the text, so a table costs its
 * own size and a pointer a cell.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/formats.h"

/* A walk over the text.  Cells are written behind the reader: unquoting only
 * shortens, and each cell's NUL takes the place of its separator. */
typedef struct {
    char *text;
    size_t n, at;  // at: next byte to read
    int line;      // of `at`, 1-based
    const char *name;
    char **cells;  // all cells of the table, row after row
    size_t n_cells, cap_cells;
    int *lines;  // of each row
    size_t n_rows, cap_rows;
    size_t n_cols;  // as the first row has them; 0 = not known yet
} csv_walk;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool ends_cell(const csv_walk *w, size_t at)
{
    return at >= w->n || w->text[at] == ',' || w->text[at] == '\n' || w->text[at] == '\r';
}

/* Steps over the end of a line, or over nothing at the end of the text. */
static void skip_line_end(csv_walk *w)
{
    if (w->at < w->n && w->text[w->at] == '\r') {
        w->at++;
    }
    if (w->at < w->n && w->text[w->at] == '\n') {
        w->at++;
    }
    w->line++;
}

static fl_status read_quoted(csv_walk *w, char **cell, fl_err *err)
{
    int begins = w->line;
    size_t to = ++w->at;

    *cell = w->text + to;
    for (;;) {
        if (w->at >= w->n) {
            return fl_fail(err, FL_EFORMAT, "%s:%d: a quoted cell that begins here never ends",
                           w->name, begins);
        }
        char c = w->text[w->at++];
        if (c == '"' && w->at < w->n && w->text[w->at] == '"') {
            w->at++;
        } else if (c == '"') {
            break;
        } else if (c == '\n') {
            w->line++;
        }
        w->text[to++] = c;
    }
    while (w->at < w->n && is_blank(w->text[w->at])) {
        w->at++;
    }
    if (!ends_cell(w, w->at)) {
        return fl_fail(err, FL_EFORMAT,
                       "%s:%d: expected a comma or the end of the line behind a closing quote",
                       w->name, w->line);
    }
    w->text[to] = '\0';  // at or before the closing quote
    return FL_OK;
}

static fl_status read_plain(csv_walk *w, char **cell, size_t *end, fl_err *err)
{
    *cell = w->text + w->at;
    while (!ends_cell(w, w->at)) {
        if (w->text[w->at] == '"') {
            return fl_fail(err, FL_EFORMAT, "%s:%d: a quote inside an unquoted cell", w->name,
                           w->line);
        }
        w->at++;
    }
    *end = w->at;
    while (w->text + *end > *cell && is_blank(w->text[*end - 1])) {
        --*end;
    }
    return FL_OK;
}

static fl_status add_cell(csv_walk *w, char *cell, fl_err *err)
{
    if (w->n_cells == DATA_MAX_CELLS) {
        return fl_fail(err, FL_ELIMIT, "%s: more than %d cells", w->name, DATA_MAX_CELLS);
    }
    if (w->n_cells == w->cap_cells) {
        w->cap_cells = w->cap_cells == 0 ? 256 : 2 * w->cap_cells;
        w->cells = fl_xrealloc(w->cells, w->cap_cells, sizeof *w->cells);
    }
    w->cells[w->n_cells++] = cell;
    return FL_OK;
}

static fl_status read_row(csv_walk *w, fl_err *err)
{
    fl_status st;
    size_t first = w->n_cells;
    int begins = w->line;
    char separator;

    do {
        char *cell;
        size_t end = 0;
        while (w->at < w->n && is_blank(w->text[w->at])) {
            w->at++;
        }
        bool quoted = w->at < w->n && w->text[w->at] == '"';
        st = quoted ? read_quoted(w, &cell, err) : read_plain(w, &cell, &end, err);
        if (st != FL_OK || (st = add_cell(w, cell, err)) != FL_OK) {
            return st;
        }
        separator = w->at < w->n ? w->text[w->at] : '\0';
        if (separator == ',') {
            w->at++;
        } else {
            skip_line_end(w);
        }
        if (!quoted) {
            w->text[end] = '\0';  // the separator was read before this
        }
    } while (separator == ',');

    size_t n = w->n_cells - first;
    if (w->n_cols == 0) {
        w->n_cols = n;
    }
    if (n > DATA_MAX_COLUMNS) {
        return fl_fail(err, FL_ELIMIT, "%s:%d: more than %d columns", w->name, begins,
                       DATA_MAX_COLUMNS);
    }
    if (n != w->n_cols) {
        return fl_fail(err, FL_EFORMAT, "%s:%d: expected %zu cells as in the first row, found %zu",
                       w->name, begins, w->n_cols, n);
    }
    if (w->n_rows == w->cap_rows) {
        w->cap_rows = w->cap_rows == 0 ? 64 : 2 * w->cap_rows;
        w->lines = fl_xrealloc(w->lines, w->cap_rows, sizeof *w->lines);
    }
    w->lines[w->n_rows++] = begins;
    return FL_OK;
}

static fl_status read_rows(csv_walk *w, fl_err *err)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";

    if (memchr(w->text, '\0', w->n) != NULL) {
        return fl_fail(err, FL_EFORMAT, "%s: a zero byte: this is not text", w->name);
    }
    if (w->n >= 3 && memcmp(w->text, byte_order_mark, 3) == 0) {
        w->at = 3;
    }
    while (w->at < w->n) {
        if (w->text[w->at] == '\n' || w->text[w->at] == '\r') {
            skip_line_end(w);
            continue;
        }
        fl_status st = read_row(w, err);
        if (st != FL_OK) {
            return st;
        }
    }
    return w->n_rows > 0 ? FL_OK : fl_fail(err, FL_EFORMAT, "%s: an empty table", w->name);
}

static fl_status check_header(const data_csv *t, const char *name, fl_err *err)
{
    for (size_t i = 0; i < t->n_cols; i++) {
        if (t->header[i][0] == '\0') {
            return fl_fail(err, FL_EFORMAT, "%s:1: column %zu of the header has no name", name,
                           i + 1);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(t->header[i], t->header[j]) == 0) {
                return fl_fail(err, FL_EFORMAT, "%s:1: column %s is there twice", name,
                               t->header[i]);
            }
        }
    }
    return FL_OK;
}

/* Makes rows of the walk's cells; takes its text. */
static fl_status take_table(data_csv *out, csv_walk *w, bool has_header, fl_err *err)
{
    out->n_cols = w->n_cols;
    out->n_rows = w->n_rows - (has_header ? 1 : 0);
    out->text = w->text;
    w->text = NULL;
    out->cell = fl_xcalloc(out->n_rows + 1, sizeof *out->cell);
    out->line = fl_xcalloc(out->n_rows + 1, sizeof *out->line);

    char **from = w->cells;
    if (has_header) {
        out->header = fl_xcalloc(w->n_cols, sizeof *out->header);
        memcpy(out->header, from, w->n_cols * sizeof *out->header);
        from += w->n_cols;
    }
    size_t n_pointers = out->n_rows * w->n_cols;
    char **block = fl_xcalloc(n_pointers + 1, sizeof *block);
    memcpy(block, from, n_pointers * sizeof *block);
    for (size_t i = 0; i < out->n_rows; i++) {
        out->cell[i] = block + i * w->n_cols;
        out->line[i] = w->lines[i + (has_header ? 1 : 0)];
    }
    out->cell[out->n_rows] = block;  // kept here for freeing when n_rows == 0
    return has_header ? check_header(out, w->name, err) : FL_OK;
}

fl_status data_csv_parse(data_csv *out, const char *text, size_t n, const char *name,
                         bool has_header, fl_err *err)
{
    fl_status st = FL_ELIMIT;
    csv_walk w = {.n = n, .line = 1, .name = name};

    *out = (data_csv){0};
    w.text = fl_calloc(n + 1, 1, name, err);
    if (w.text == NULL) {
        goto done;
    }
    memcpy(w.text, text, n);
    if ((st = read_rows(&w, err)) != FL_OK) {
        goto done;
    }
    st = take_table(out, &w, has_header, err);
done:
    free(w.text);
    free(w.cells);
    free(w.lines);
    if (st != FL_OK) {
        data_csv_clear(out);
    }
    return st;
}

fl_status data_csv_read(data_csv *out, const char *path, bool has_header, fl_err *err)
{
    char *text = NULL;
    size_t n = 0;

    *out = (data_csv){0};
    fl_status st = fl_file_read(&text, &n, path, DATA_MAX_FILE_BYTES, err);
    if (st == FL_OK) {
        st = data_csv_parse(out, text, n, path, has_header, err);
    }
    free(text);
    return st;
}

int data_csv_column(const data_csv *t, const char *name)
{
    for (size_t i = 0; t->header != NULL && i < t->n_cols; i++) {
        if (strcmp(t->header[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

void data_csv_clear(data_csv *t)
{
    if (t->cell != NULL) {
        free(t->cell[t->n_rows]);
    }
    free(t->cell);
    free(t->line);
    free(t->header);
    free(t->text);
    *t = (data_csv){0};
}
