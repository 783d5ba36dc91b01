/*
 * figures.c - see figures.h
 */
#include "report/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "report/gnuplot.h"

typedef struct {
    char *name, *script, *svg;
} drawing;

struct report_figures {
    char prefix[64];
    drawing *item;
    size_t n;
};

report_figures *report_figures_new(void)
{
    return fl_xcalloc(1, sizeof(report_figures));
}

void report_figures_destroy(report_figures **f)
{
    for (size_t i = 0; *f != NULL && i < (*f)->n; i++) {
        free((*f)->item[i].name);
        free((*f)->item[i].script);
        free((*f)->item[i].svg);
    }
    free(*f != NULL ? (*f)->item : NULL);
    free(*f);
    *f = NULL;
}

void report_figures_prefix(report_figures *f, const char *prefix)
{
    if (f != NULL) {
        snprintf(f->prefix, sizeof f->prefix, "%.60s", prefix);
    }
}

/* The id of the section that the page has begun last; "figure" before any. */
static char *section_of(const report_page *page)
{
    static const char mark[] = "<section id=\"";
    const char *last = NULL;
    for (const char *at = page->text.n > 0 ? strstr(page->text.data, mark) : NULL; at != NULL;
         at = strstr(at + 1, mark)) {
        last = at + strlen(mark);
    }
    return last != NULL ? fl_xstrndup(last, strcspn(last, "\"")) : fl_xstrdup("figure");
}

static bool has_name(const report_figures *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->item[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

void report_figures_add(report_page *page, const char *script, const char *svg)
{
    report_figures *f = page->figures;
    if (f == NULL) {
        return;
    }
    char *section = section_of(page);
    char *name = fl_xasprintf("%s-%s", f->prefix, section);
    for (int k = 2; has_name(f, name); k++) {  // the second drawing of a section
        free(name);
        name = fl_xasprintf("%s-%s-%d", f->prefix, section, k);
    }
    free(section);
    f->item = fl_xrealloc(f->item, ++f->n, sizeof *f->item);
    f->item[f->n - 1] = (drawing){name, fl_xstrdup(script), fl_xstrdup(svg)};
}

/* The same drawing on gnuplot's PDF terminal; sizes in pixels of 1/72 inch. */
static fl_status draw_pdf(fl_buf *out, const drawing *d, fl_err *err)
{
    int width = 0, height = 0;
    FL_REQUIRE(sscanf(d->script, "set terminal svg size %d,%d", &width, &height) == 2);
    fl_buf script = FL_BUF_INIT;
    fl_buf_printf(&script,
                  "set terminal pdfcairo size %.3fin,%.3fin noenhanced rounded font "
                  "'sans-serif,9' fontscale 1 background '#ffffff'%s",
                  width / 72.0, height / 72.0, d->script + strcspn(d->script, "\n"));
    bool ok = report_gnuplot_bytes(out, script.data) && out->n > 4 &&
              memcmp(out->data, "%PDF", 4) == 0;
    fl_buf_clear(&script);
    return ok ? FL_OK : fl_fail(err, FL_EIO, "gnuplot could not draw %s as PDF", d->name);
}

static fl_status write_drawing(const drawing *d, report_language language, const char *dir,
                               fl_err *err)
{
    const char *suffix = language == REPORT_EN ? "" : ".fr";
    char *svg = fl_xasprintf("%s/%s%s.svg", dir, d->name, suffix);
    char *pdf = fl_xasprintf("%s/%s%s.pdf", dir, d->name, suffix);
    fl_buf bytes = FL_BUF_INIT;
    fl_status st;
    if ((st = fl_file_write(svg, d->svg, strlen(d->svg), 0644, err)) == FL_OK &&
        (st = draw_pdf(&bytes, d, err)) == FL_OK) {
        st = fl_file_write(pdf, bytes.data, bytes.n, 0644, err);
    }
    fl_buf_clear(&bytes);
    free(svg);
    free(pdf);
    return st;
}

fl_status report_figures_write(const report_figures *f, report_language language, const char *dir,
                               fl_err *err)
{
    fl_status st = fl_mkdirs(dir, 0755, err);
    for (size_t i = 0; i < f->n && st == FL_OK; i++) {
        st = write_drawing(&f->item[i], language, dir, err);
    }
    return st;
}
