/*
 * index_words.c - the run in plain words: the first screen of its page
 *
 * Who took part, who benefits, who is served worst, who was missing; and the
 * numbers under it.
 */
#include "report/index_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/report.h"

void index_names_add(index_names *list, const char *name)
{
    list->names = fl_xrealloc(list->names, ++list->n, sizeof *list->names);
    list->names[list->n - 1] = name;
}

static void who_took_part(report_page *out, const json_t *report)
{
    const json_t *sites = json_object_get(report, "sites");
    index_names there = {0};
    size_t i;
    const json_t *item;
    json_array_foreach(sites, i, item) {
        index_names_add(&there, report_site_name(item));
    }
    json_array_foreach(json_object_get(report, "absent"), i, item) {
        const char *site = fl_json_get_string(item, "site", "?");
        if (!report_never_there(report, site)) {
            index_names_add(&there, site);
        }
    }
    char *names = report_names_text(out, there.names, there.n);
    report_html(out, "<p>");
    long long n_rounds = (long long)fl_json_get_int(report, "rounds_done", 0);
    const char *strategy = fl_json_get_string(report, "strategy", "?");
    if (there.n == 1) {
        report_say(out,
                   "One hospital (%s) trained a model in %lld rounds with %s; the data stayed "
                   "where they were.",
                   names, n_rounds, strategy);
    } else {
        report_say(out,
                   "%zu hospitals (%s) trained one model together in %lld rounds with %s; the "
                   "data stayed where they were.",
                   there.n, names, n_rounds, strategy);
    }
    free(names);
    json_array_foreach(json_object_get(report, "absent"), i, item) {
        const char *site = fl_json_get_string(item, "site", "?");
        char *reason = report_told_text(out, fl_json_get_string(item, "reason", "?"));
        report_html(out, " ");
        if (report_never_there(report, site)) {
            report_say(out, "%s was invited and has no figures: %s.", site, reason);
        } else {
            report_say(out, "%s took part in %zu of them and has no figures: %s.", site,
                       report_rounds_joined(report, site), reason);
        }
        free(reason);
    }
    json_array_foreach(sites, i, item) {
        report_earlier_homes(out, item);
    }
    int64_t planned = fl_json_get_int(report, "rounds_planned", -1);
    if (planned > fl_json_get_int(report, "rounds_done", 0)) {
        report_html(out, " ");
        report_say(out, "%lld rounds were planned.", (long long)planned);
    }
    if (json_is_true(json_object_get(report, "simulated"))) {
        report_html(out, " ");
        report_say(out, "The hospitals were played by the simulator.");
    }
    report_html(out, "</p>\n");
    free(there.names);
}

typedef struct {
    index_names of[REPORT_NO_VERDICT + 1];
    size_t n_compared, n_better;  // by the value alone
} verdicts;

static verdicts verdicts_of(const json_t *report, const char *metric)
{
    verdicts v = {0};
    double sign = report_higher_is_better(metric) ? 1 : -1;
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        double value = sign * report_value(report_figure(report, site, "benefit", metric));
        index_names_add(&v.of[report_verdict_of(report, site, metric)], report_site_name(site));
        v.n_compared += !isnan(value);
        v.n_better += value > 0;
    }
    return v;
}

static void verdicts_clear(verdicts *v)
{
    for (size_t i = 0; i <= REPORT_NO_VERDICT; i++) {
        free(v->of[i].names);
    }
}

/* The same where one hospital alone can be compared. */
static void headline_of_one(report_page *out, const verdicts *v, const char *metric)
{
    const char *label = report_label(out, metric);
    if (v->of[REPORT_HELPS].n > 0) {
        report_say(out,
                   "The shared model has the better %s at the one hospital that can be compared; "
                   "the difference is clear and large enough to matter.",
                   label);
    } else if (v->n_better > 0) {
        report_say(out,
                   "The shared model has the better %s at the one hospital that can be compared; "
                   "the difference is not clear, or too small to matter.",
                   label);
    } else {
        report_say(out,
                   "The shared model does not have the better %s at the one hospital that can be "
                   "compared.",
                   label);
    }
}

/* The sentence in large type. */
static void headline(report_page *out, const verdicts *v, const char *metric)
{
    const index_names *helps = &v->of[REPORT_HELPS], *hurts = &v->of[REPORT_HURTS];
    report_html(out, "<p class=\"lead\">");
    if (v->n_compared == 0) {
        report_say(out,
                   "Whether joining helped cannot be said: there is no own model of a hospital "
                   "to compare with, or too few cases.");
        report_html(out, "</p>\n");
        return;
    }
    if (v->n_compared == 1) {
        headline_of_one(out, v, metric);
    } else if (helps->n > 0) {
        report_say(out,
                   "The shared model has the better %s at %zu of %zu hospitals; at %zu the "
                   "difference is clear and large enough to matter.",
                   report_label(out, metric), v->n_better, v->n_compared, helps->n);
    } else {
        report_say(out,
                   "The shared model has the better %s at %zu of %zu hospitals; at none is the "
                   "difference clear and large enough to matter.",
                   report_label(out, metric), v->n_better, v->n_compared);
    }
    if (hurts->n > 0) {
        char *names = report_names_text(out, hurts->names, hurts->n);
        report_html(out, " ");
        report_say(out, "Joining hurts %s.", names);
        free(names);
    }
    report_html(out, "</p>\n");
}

static void who_benefits(report_page *out, const verdicts *v)
{
    if (v->n_compared == 0) {
        return;
    }
    report_html(out, "<p>");
    for (report_verdict of = REPORT_HELPS; of <= REPORT_NO_VERDICT; of++) {
        if (v->of[of].n == 0) {
            continue;
        }
        char *names = report_names_text(out, v->of[of].names, v->of[of].n);
        switch (of) {
        case REPORT_HELPS:
            report_say(out, "Joining helps %s.", names);
            break;
        case REPORT_HURTS:
            report_say(out, "Joining hurts %s.", names);
            break;
        case REPORT_SAME:
            report_say(out, "Joining makes no difference that matters for %s.", names);
            break;
        case REPORT_UNSURE:
            report_say(out, "For %s the test cases are too few to tell.", names);
            break;
        case REPORT_NO_VERDICT:
            report_say(out, "Not judged: %s (the reasons are in the table).", names);
        }
        report_html(out, " ");
        free(names);
    }
    report_say(out, "Each hospital is compared with the model it could have trained alone.");
    report_html(out, "</p>\n");
}

static void worst_served(report_page *out, const json_t *report)
{
    const json_t *f = json_object_get(report, "fairness");
    const char *name = fl_json_get_string(f, "worst_site", NULL);
    const char *metric = fl_json_get_string(f, "metric", "auc");
    char value[REPORT_NUMBER_BYTES], other[REPORT_NUMBER_BYTES];
    if (name == NULL || isnan(fl_json_get_number(f, "worst"))) {
        return;
    }
    const json_t *figure = report_figure(report, report_site(report, name), "global", metric);
    report_number(value, out->language, fl_json_get_number(f, "worst"), 2);
    if (!isnan(report_value(figure))) {
        report_figure_text(value, out->language, figure, 2, false);
    }
    report_html(out, "<p>");
    report_say(out, "Worst served is %s, with %s %s; the gap to the best hospital is %s.", name,
               report_label(out, metric), value,
               report_number(other, out->language, fl_json_get_number(f, "gap"), 2));
    const json_t *pooled = report_pooled(report, metric);
    const json_t *all = report_at(report, "baselines", "centralised", "pooled", metric, NULL);
    if (!isnan(report_value(pooled)) && !isnan(report_value(all))) {
        report_html(out, " ");
        report_say(out,
                   "Over all test cases the shared model reaches %s; one trained on all data in "
                   "one place, possible only in a simulation, %s.",
                   report_figure_text(value, out->language, pooled, 2, false),
                   report_figure_text(other, out->language, all, 2, false));
    }
    report_html(out, "</p>\n");
}

static void who_was_missing(report_page *out, const json_t *report)
{
    fl_buf missing = FL_BUF_INIT;
    size_t n = 0;
    report_absence *list = report_absences(report, &n);
    for (size_t i = 0; i < n; i++) {
        if (list[i].n_rounds > 0) {
            char *rounds = report_rounds_text(out, &list[i]);
            fl_buf_printf(&missing, "%s%s (%s)", missing.n > 0 ? ", " : "", list[i].site, rounds);
            free(rounds);
        }
    }
    report_html(out, "<p>");
    if (missing.n > 0) {
        report_say(out, "Missing: %s. The reasons are <a href=\"#rounds\">below</a>.",
                   missing.data);
    } else if (n > 0) {
        report_say(out, "No other hospital missed a round.");
    } else {
        report_say(out, "No hospital missed a round.");
    }
    report_html(out, "</p>\n");
    fl_buf_clear(&missing);
    free(list);
}

void index_summary(report_page *out, const json_t *report, const char *metric)
{
    verdicts v = verdicts_of(report, metric);
    size_t helps = v.of[REPORT_HELPS].n, hurts = v.of[REPORT_HURTS].n;
    report_html(out, "<section id=\"summary\" class=\"verdict %s\">\n<h2>%s</h2>\n",
                helps > 0 && hurts == 0   ? "good"
                : hurts > 0 && helps == 0 ? "bad"
                                          : "unsure",
                report_word(out, "In short"));
    headline(out, &v, metric);
    who_took_part(out, report);
    who_benefits(out, &v);
    worst_served(out, report);
    who_was_missing(out, report);
    report_privacy_sentence(out, report);
    report_rules_note(out);
    report_html_section_end(out);
    verdicts_clear(&v);
}

static void add_tile(report_page *out, const char *value, const char *what, const char *more)
{
    report_html(out, "<div class=\"tile\"><b>%s</b><span>%s</span><span>%s</span></div>\n", value,
                report_word(out, what), more);
}

void index_tiles(report_page *out, const json_t *report, const char *metric)
{
    const json_t *f = json_object_get(report, "fairness");
    const json_t *pooled = report_pooled(report, metric);
    const json_t *all = report_at(report, "baselines", "centralised", "pooled", metric, NULL);
    char value[REPORT_NUMBER_BYTES];
    char *over_all = fl_xasprintf("%s, %s", report_label(out, metric),
                                  report_word(out, "all test cases"));
    report_html(out, "<div class=\"tiles\">\n");
    if (!isnan(report_value(pooled))) {
        add_tile(out, report_number(value, out->language, report_value(pooled), 3),
                 REPORT_N("shared model"), over_all);
    }
    if (!isnan(report_value(all))) {
        add_tile(out, report_number(value, out->language, report_value(all), 3),
                 REPORT_N("all data in one place"), over_all);
    }
    if (!isnan(fl_json_get_number(f, "worst"))) {
        add_tile(out, report_number(value, out->language, fl_json_get_number(f, "worst"), 3),
                 REPORT_N("worst hospital"), fl_json_get_string(f, "worst_site", ""));
        add_tile(out, report_number(value, out->language, fl_json_get_number(f, "gap"), 3),
                 REPORT_N("gap"), report_word(out, "best to worst hospital"));
    }
    report_html(out, "<div class=\"tile\"><b>%s</b><span>%s</span><span>",
                report_count(value, out->language, fl_json_get_int(report, "rounds_done", 0)),
                report_word(out, "rounds"));
    report_say(out, "of %lld planned",
               (long long)fl_json_get_int(report, "rounds_planned",
                                          fl_json_get_int(report, "rounds_done", 0)));
    report_html(out, "</span></div>\n</div>\n");
    free(over_all);
}
