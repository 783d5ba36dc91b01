/*
 * unseen.c - diseases that a hospital's training cases never showed, and what they are called
 *
 * Of a site's "unseen" (proto/REPORT.md): a section of its page, and a table of all hospitals
 * on the run's.
 */
#include <math.h>
#include <string.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/site_parts.h"

enum { N_MODELS = 3 };
static const struct {
    const char *model, *column, *names_it, *no_finding;
} models[N_MODELS] = {
    {"global", "#" REPORT_N("Shared model"), "#" REPORT_N("Shared model: names it"),
     "#" REPORT_N("Shared model: no finding")},
    {"local", "#" REPORT_N("Own model"), "#" REPORT_N("Own model: names it"),
     "#" REPORT_N("Own model: no finding")},
    {"personal", "#" REPORT_N("Personalised"), "#" REPORT_N("Personalised: names it"),
     "#" REPORT_N("Personalised: no finding")},
};

/* The figure of a class that a model calls the entry's cases; NULL: not there. */
static const json_t *share_of(const json_t *entry, const char *model, const char *class)
{
    const json_t *one;
    size_t i;
    json_array_foreach(report_at(entry, "models", model, "called", NULL), i, one) {
        if (strcmp(fl_json_get_string(one, "class", ""), class) == 0) {
            return json_object_get(one, "share");
        }
    }
    return NULL;
}

static const json_t *no_finding(const json_t *entry, const char *model)
{
    return report_at(entry, "models", model, "no_finding", NULL);
}

/* What a model calls them most often. */
static const json_t *most_called(const json_t *entry, const char *model)
{
    const json_t *one, *most = NULL;
    size_t i;
    json_array_foreach(report_at(entry, "models", model, "called", NULL), i, one) {
        double share = report_value(json_object_get(one, "share"));
        if (most == NULL || share > report_value(json_object_get(most, "share"))) {
            most = one;
        }
    }
    return most;
}

/* ------------------------------------------------------------ a hospital's page */

static void findings_sentence(report_page *out, const json_t *entry)
{
    char text[REPORT_NUMBER_BYTES];
    const json_t *own = no_finding(entry, "local");
    report_say(out,
               "Your training cases never showed %s, which %lld of your test cases have. The shared "
               "model sees no finding at all in this share of them: %s",
               fl_json_get_string(entry, "class", ""), (long long)fl_json_get_int(entry, "n", 0),
               report_figure_text(text, out->language, no_finding(entry, "global"), 2, false));
    if (own != NULL) {
        report_say(out, "; the model trained on your data alone in %s",
                   report_figure_text(text, out->language, own, 2, false));
    }
    report_html(out, ".");
}

static void classes_sentence(report_page *out, const json_t *entry)
{
    char text[REPORT_NUMBER_BYTES];
    const json_t *shared = most_called(entry, "global"), *own = most_called(entry, "local");
    report_say(out,
               "Your training cases never showed %s, which %lld of your test cases are. The shared "
               "model most often calls them %s: %s",
               fl_json_get_string(entry, "class", ""), (long long)fl_json_get_int(entry, "n", 0),
               fl_json_get_string(shared, "class", "-"),
               report_figure_text(text, out->language, json_object_get(shared, "share"), 2, false));
    if (own != NULL) {
        report_say(out, "; the model trained on your data alone %s: %s",
                   fl_json_get_string(own, "class", "-"),
                   report_figure_text(text, out->language, json_object_get(own, "share"), 2,
                                      false));
    }
    report_html(out, ".");
}

static bool has_model(const json_t *entry, size_t m)
{
    return report_at(entry, "models", models[m].model, NULL) != NULL;
}

/* The table's columns, of the models that judged the entry's cases. */
static void begin_table(report_page *out, const json_t *entry)
{
    const char *columns[N_MODELS + 2] = {REPORT_N("Called")};
    size_t n = 1;
    for (size_t m = 0; m < N_MODELS; m++) {
        if (has_model(entry, m)) {
            columns[n++] = models[m].column;
        }
    }
    report_html_table(out, REPORT_CARDS, columns);
}

/* class NULL: no finding. */
static void add_row(report_page *out, const json_t *entry, const char *class)
{
    report_html(out, "<tr>");
    report_html_cell(out, "Called", false);
    report_html(out, "%s</td>", class != NULL ? class : report_word(out, "no finding"));
    for (size_t m = 0; m < N_MODELS; m++) {
        if (has_model(entry, m)) {
            report_html_figure(out, models[m].column + 1,
                               class != NULL ? share_of(entry, models[m].model, class)
                                             : no_finding(entry, models[m].model),
                               2, false);
        }
    }
    report_html(out, "</tr>\n");
}

static void add_entry(report_page *out, const json_t *entry)
{
    const json_t *none = no_finding(entry, "global"), *one;
    size_t i;
    report_html(out, "<p>");
    if (none != NULL) {
        findings_sentence(out, entry);
    } else {
        classes_sentence(out, entry);
    }
    report_html(out, "</p>\n");
    begin_table(out, entry);
    if (none != NULL) {
        add_row(out, entry, NULL);
    }
    json_array_foreach(report_at(entry, "models", "global", "called", NULL), i, one) {
        add_row(out, entry, fl_json_get_string(one, "class", ""));
    }
    report_html_table_end(out);
}

void report_site_unseen(report_page *out, const json_t *site)
{
    const json_t *entry;
    size_t i;
    bool several = false;
    if (json_array_size(json_object_get(site, "unseen")) == 0) {
        return;
    }
    report_html_section(out, "unseen", "What your training cases never showed");
    json_array_foreach(json_object_get(site, "unseen"), i, entry) {
        several = several || no_finding(entry, "global") != NULL;
        add_entry(out, entry);
    }
    report_html(out, "<p class=\"note\">");
    report_say(out, "Shares of those test cases, by what each model calls them at its threshold.");
    if (several) {
        report_html(out, " ");
        report_say(out, "A case can have several findings.");
    }
    report_html(out, "</p>\n");
    report_html_section_end(out);
}

/* ------------------------------------------------------------------ the run's page */

/* What the run's table has of a model: a column, or two where cases have several findings. */
typedef struct {
    bool there[N_MODELS], several;
} shown;

static shown what_is_shown(const json_t *sites)
{
    const json_t *site, *entry;
    size_t i, k;
    shown s = {.several = false};
    json_array_foreach(sites, i, site) {
        json_array_foreach(json_object_get(site, "unseen"), k, entry) {
            s.several = s.several || no_finding(entry, "global") != NULL;
            for (size_t m = 0; m < N_MODELS; m++) {
                s.there[m] = s.there[m] || has_model(entry, m);
            }
        }
    }
    return s;
}

static void begin_all(report_page *out, const shown *s)
{
    const char *columns[2 * N_MODELS + 4] = {REPORT_N("Hospital"), REPORT_N("Disease"),
                                             "#" REPORT_N("Test cases")};
    size_t n = 3;
    for (size_t m = 0; m < N_MODELS; m++) {
        if (s->there[m]) {
            columns[n++] = models[m].names_it;
        }
        if (s->there[m] && s->several) {
            columns[n++] = models[m].no_finding;
        }
    }
    report_html_table(out, REPORT_CARDS, columns);
}

static void add_hospital(report_page *out, const json_t *site, const json_t *entry, const shown *s)
{
    const char *class = fl_json_get_string(entry, "class", "");
    report_html(out, "<tr>");
    report_html_cell(out, "Hospital", false);
    report_html(out, "%s</td>", report_site_name(site));
    report_html_cell(out, "Disease", false);
    report_html(out, "%s</td>", class);
    report_html_count(out, "Test cases", fl_json_get_int(entry, "n", 0));
    for (size_t m = 0; m < N_MODELS; m++) {
        if (s->there[m]) {
            report_html_figure(out, models[m].names_it + 1,
                               share_of(entry, models[m].model, class), 2, false);
        }
        if (s->there[m] && s->several) {
            report_html_figure(out, models[m].no_finding + 1, no_finding(entry, models[m].model), 2,
                               false);
        }
    }
    report_html(out, "</tr>\n");
}

void report_unseen_section(report_page *out, const json_t *report)
{
    const json_t *sites = json_object_get(report, "sites"), *site, *entry;
    const shown s = what_is_shown(sites);
    size_t i, k;
    if (!s.there[0]) {
        return;
    }
    report_html_section(out, "unseen", "Diseases that a hospital's training cases never showed");
    begin_all(out, &s);
    json_array_foreach(sites, i, site) {
        json_array_foreach(json_object_get(site, "unseen"), k, entry) {
            add_hospital(out, site, entry, &s);
        }
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\">");
    report_say(out, "Shares of that hospital's test cases with the disease that are called by its "
                    "name.");
    report_html(out, " ");
    if (s.several) {
        report_say(out, "No finding: called as without any.");
        report_html(out, " ");
    }
    report_say(out, "The own model was trained on that hospital's cases alone; the personalised one "
                    "is the shared model, fine-tuned on them.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
}
