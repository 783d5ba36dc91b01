/*
 * text.c - a run in a terminal, at most 100 columns
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "report/numbers.h"
#include "report/read.h"
#include "report/report.h"

enum { NAME_COLUMNS = 12, COLUMNS = 96 };

static void add_head(fl_buf *out, const json_t *report)
{
    const json_t *select = json_object_get(report, "select");
    fl_buf_printf(out, "%s: %s, %" PRId64, fl_json_get_string(report, "job", "run"),
                  fl_json_get_string(report, "strategy", "?"),
                  fl_json_get_int(report, "rounds_done", 0));
    int64_t planned = fl_json_get_int(report, "rounds_planned", -1);
    if (planned >= 0) {
        fl_buf_printf(out, " of %" PRId64, planned);
    }
    fl_buf_puts(out, " rounds");
    int64_t round = fl_json_get_int(select, "round", -1);
    if (round >= 0) {
        char value[REPORT_NUMBER_BYTES];
        fl_buf_printf(out, "; model of round %" PRId64, round);
        double best = fl_json_get_number(select, "value");
        if (!isnan(best)) {
            fl_buf_printf(out, " (%s %s on %s)",
                          report_metric_label(fl_json_get_string(select, "metric", "")),
                          report_number(value, REPORT_EN, best, 3),
                          fl_json_get_string(select, "split", "val"));
        }
    }
    fl_buf_puts(out, "\n");
}

static void add_site(fl_buf *out, const json_t *report, const json_t *site, const char *metric)
{
    char global[REPORT_NUMBER_BYTES], local[REPORT_NUMBER_BYTES], benefit[REPORT_NUMBER_BYTES];
    report_figure_text(global, REPORT_EN, report_figure(report, site, "global", metric), 2, false);
    report_figure_text(local, REPORT_EN, report_figure(report, site, "local", metric), 2, false);
    report_figure_text(benefit, REPORT_EN, report_figure(report, site, "benefit", metric), 2, true);
    fl_buf_printf(out, "%-*.*s %6" PRId64 " %6" PRId64 "  %-18.18s %-18.18s %-21.21s %s\n",
                  NAME_COLUMNS, NAME_COLUMNS, report_site_name(site),
                  fl_json_get_int(site, "n_train", 0), fl_json_get_int(site, "n_test", 0), global,
                  local, benefit, report_verdict_word(report_verdict_of(report, site, metric)));
}

static void add_pooled(fl_buf *out, const json_t *report, const char *metric)
{
    char text[REPORT_NUMBER_BYTES];
    const json_t *pooled = report_pooled(report, metric);
    const json_t *centralised = report_at(report, "baselines", "centralised", "pooled", metric,
                                          NULL);
    if (!isnan(report_value(pooled))) {
        fl_buf_printf(out, "pooled: %s", report_figure_text(text, REPORT_EN, pooled, 3, false));
        if (!isnan(report_value(centralised))) {
            fl_buf_printf(out, "; centralised %s",
                          report_figure_text(text, REPORT_EN, centralised, 3, false));
        }
        fl_buf_puts(out, "\n");
    }
}

static void add_fairness(fl_buf *out, const json_t *report)
{
    char number[REPORT_NUMBER_BYTES];
    const json_t *f = json_object_get(report, "fairness");
    const char *site = fl_json_get_string(f, "worst_site", NULL);
    if (site != NULL) {
        fl_buf_printf(out, "worst: %s %s", site,
                      report_number(number, REPORT_EN, fl_json_get_number(f, "worst"), 3));
        fl_buf_printf(out, "; gap %s",
                      report_number(number, REPORT_EN, fl_json_get_number(f, "gap"), 3));
        fl_buf_printf(out, "; mean %s\n",
                      report_number(number, REPORT_EN, fl_json_get_number(f, "mean"), 3));
    }
}

static void add_absent(fl_buf *out, const json_t *report)
{
    size_t n = 0;
    report_absence *list = report_absences(report, &n);
    for (size_t i = 0; i < n; i++) {
        fl_buf_printf(out, "absent: %s (%s%s): %s\n", list[i].site,
                      list[i].n_rounds == 0   ? ""
                      : list[i].n_rounds == 1 ? "round "
                                              : "rounds ",
                      list[i].rounds, list[i].reason);
    }
    free(list);
}

/* Breaks at spaces before COLUMNS; words longer than a line stay whole. */
static void add_wrapped(fl_buf *out, const char *text)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column > 0) {
            bool fits = column + 1 + word <= COLUMNS;
            fl_buf_puts(out, fits ? " " : "\n  ");
            column = fits ? column + 1 : 2;
        }
        fl_buf_add(out, text, word);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    fl_buf_puts(out, "\n");
}

char *report_text(const json_t *report)
{
    fl_buf out = FL_BUF_INIT;
    const char *metric = report_main_metric(report);
    const char *label = report_metric_label(metric);
    char global[32], local[32];
    snprintf(global, sizeof global, "%.10s global", label);
    snprintf(local, sizeof local, "%.10s local", label);

    add_head(&out, report);
    fl_buf_printf(&out, "\n%-*s %6s %6s  %-18s %-18s %-21s %s\n", NAME_COLUMNS, "site", "train",
                  "test", global, local, "benefit", "joining");
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        add_site(&out, report, site, metric);
    }
    fl_buf_puts(&out, "\n");
    add_pooled(&out, report, metric);
    add_fairness(&out, report);
    add_absent(&out, report);
    const char *statement = fl_json_get_string(json_object_get(report, "privacy"), "statement", "");
    if (statement[0] != '\0') {
        fl_buf line = FL_BUF_INIT;
        fl_buf_printf(&line, "privacy: %s", statement);
        add_wrapped(&out, line.data);
        fl_buf_clear(&line);
    }
    return fl_buf_take(&out);
}
