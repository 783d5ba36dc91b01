/*
 * csv.c - the report's numbers as tidy tables
 *
 * RFC 4180 with a dot as decimal mark.  A text that a spreadsheet would take
 * for a formula gets an apostrophe in front: a site's words must not run
 * anything on the machine of who opens the table.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"
#include "report/csv.h"
#include "report/read.h"
#include "report/report.h"

void report_csv_text(fl_buf *out, const char *text)
{
    bool formula = text[0] != '\0' && strchr("=+-@\t", text[0]) != NULL;
    bool quote = strpbrk(text, ",\"\r\n") != NULL;
    fl_buf_puts(out, quote ? "\"" : "");
    fl_buf_puts(out, formula ? "'" : "");
    for (const char *c = text; *c != '\0'; c++) {
        fl_buf_add(out, c, 1);
        if (*c == '"') {
            fl_buf_add(out, c, 1);
        }
    }
    fl_buf_puts(out, quote ? "\"" : "");
}

void report_csv_number(fl_buf *out, double value)
{
    if (!isnan(value)) {
        fl_buf_printf(out, "%.10g", value);
    }
}

static void add_count(fl_buf *out, const json_t *figure, const char *key)
{
    int64_t count = fl_json_get_int(figure, key, -1);
    if (count >= 0) {
        fl_buf_printf(out, "%" PRId64, count);
    }
}

void report_csv_figure(fl_buf *out, const json_t *figure)
{
    static const char *const numbers[] = {"value", "ci_low", "ci_high"};
    static const char *const counts[] = {"n", "n_positive", "n_patients"};
    for (size_t i = 0; i < 3; i++) {
        fl_buf_puts(out, i > 0 ? "," : "");
        report_csv_number(out, fl_json_get_number(figure, numbers[i]));
    }
    for (size_t i = 0; i < 3; i++) {
        fl_buf_puts(out, ",");
        add_count(out, figure, counts[i]);
    }
    fl_buf_puts(out, ",");
    report_csv_text(out, fl_json_get_string(figure, "method", ""));
    fl_buf_puts(out, ",");
    report_csv_text(out, fl_json_get_string(figure, "why", ""));
    fl_buf_puts(out, "\n");
}

/* "nord;sud", or "nord: stalled;sud: out of patience". */
static void add_names(fl_buf *out, const json_t *list)
{
    fl_buf names = FL_BUF_INIT;
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) {
        fl_buf_puts(&names, i > 0 ? ";" : "");
        if (json_is_string(item)) {
            fl_buf_puts(&names, json_string_value(item));
        } else {
            fl_buf_printf(&names, "%s: %s", fl_json_get_string(item, "site", ""),
                          fl_json_get_string(item, "reason", ""));
        }
    }
    report_csv_text(out, names.n > 0 ? names.data : "");
    fl_buf_clear(&names);
}

fl_status report_write_rounds_csv(const json_t *report, const char *path, fl_err *err)
{
    fl_buf out = FL_BUF_INIT;
    fl_buf_puts(&out, "round,seconds,bytes_up,bytes_down,loss,participants,absent\n");
    size_t i;
    const json_t *round;
    json_array_foreach(json_object_get(report, "rounds"), i, round) {
        static const char *const numbers[] = {"seconds", "bytes_up", "bytes_down", "loss"};
        fl_buf_printf(&out, "%" PRId64, fl_json_get_int(round, "round", 0));
        for (size_t k = 0; k < 4; k++) {
            fl_buf_puts(&out, ",");
            report_csv_number(&out, fl_json_get_number(round, numbers[k]));
        }
        fl_buf_puts(&out, ",");
        add_names(&out, json_object_get(round, "participants"));
        fl_buf_puts(&out, ",");
        add_names(&out, json_object_get(round, "absent"));
        fl_buf_puts(&out, "\n");
    }
    fl_status st = fl_file_write(path, out.data, out.n, 0644, err);
    fl_buf_clear(&out);
    return st;
}

void report_csv_figures(fl_buf *out, const char *prefix, const char *site, const char *model,
                        const json_t *figures)
{
    for (size_t m = 0; report_metrics[m] != NULL; m++) {
        const json_t *figure = json_object_get(figures, report_metrics[m]);
        if (figure != NULL) {
            fl_buf_puts(out, prefix);
            report_csv_text(out, site);
            fl_buf_puts(out, ",");
            report_csv_text(out, model);
            fl_buf_printf(out, ",%s,", report_metrics[m]);
            report_csv_figure(out, figure);
        }
    }
}

void report_csv_sites(fl_buf *out, const char *prefix, const json_t *report)
{
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        const char *name = report_site_name(site), *model;
        json_t *figures;
        report_each_member(json_object_get(site, "models"), model, figures) {
            report_csv_figures(out, prefix, name, model, figures);
        }
        const json_t *centralised = report_at(report, "baselines", "centralised", "sites", name,
                                              NULL);
        report_csv_figures(out, prefix, name, "centralised", centralised);
        report_csv_figures(out, prefix, name, "left_out",
                           report_at(report, "baselines", "leave_one_out", "sites", name, NULL));
        const char *trained_at;
        report_each_member(report_at(report, "baselines", "cross_site", "sites", NULL), trained_at,
                           figures) {
            char *label = fl_xasprintf("local of %s", trained_at);
            report_csv_figures(out, prefix, name, label, json_object_get(figures, name));
            free(label);
        }
        static const char *const teams[] = {"ensemble", "snapshot"};
        for (size_t t = 0; t < sizeof teams / sizeof *teams; t++) {
            report_csv_figures(out, prefix, name, teams[t],
                               report_at(report, "baselines", teams[t], "sites", name, "metrics",
                                         NULL));
        }
        report_csv_figures(out, prefix, name, "benefit", json_object_get(site, "benefit"));
        report_csv_figures(out, prefix, name, "personal_gain",
                           json_object_get(site, "personal_gain"));
    }
    report_csv_figures(out, prefix, "pooled", "global",
                       report_at(report, "pooled", "global", NULL));
    report_csv_figures(out, prefix, "pooled", "centralised",
                       report_at(report, "baselines", "centralised", "pooled", NULL));
}

fl_status report_write_sites_csv(const json_t *report, const char *path, fl_err *err)
{
    fl_buf out = FL_BUF_INIT;
    fl_buf_puts(&out,
                "site,model,metric,value,ci_low,ci_high,n,n_positive,n_patients,method,why\n");
    report_csv_sites(&out, "", report);
    fl_status st = fl_file_write(path, out.data, out.n, 0644, err);
    fl_buf_clear(&out);
    return st;
}
