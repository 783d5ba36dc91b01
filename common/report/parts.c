/*
 * parts.c - see parts.h
 */
#include "report/parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/numbers.h"

const char *report_label(const report_page *out, const char *metric)
{
    return report_word(out, report_metric_label(metric));
}

const char *report_usual(const report_page *out, const char *word)
{
    static const char *const words[] = {
        REPORT_N("sex"),     REPORT_N("age"),     REPORT_N("scanner"),
        REPORT_N("absent"),  REPORT_N("present"), REPORT_N("unlabelled"),
        REPORT_N("missing"), REPORT_N("unknown"), REPORT_N("other")};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], word) == 0) {
            return report_word(out, word);
        }
    }
    return word;
}

char *report_attribute_text(const report_page *out, const char *attribute)
{
    static const char crossed[] = " and ";
    fl_buf text = FL_BUF_INIT;
    for (const char *next; (next = strstr(attribute, crossed)) != NULL;
         attribute = next + strlen(crossed)) {
        char *one = fl_xstrndup(attribute, (size_t)(next - attribute));
        fl_buf_printf(&text, "%s%s", report_usual(out, one), report_word(out, crossed));
        free(one);
    }
    fl_buf_puts(&text, report_usual(out, attribute));
    return fl_buf_take(&text);
}

/* One of data/shift's names, or of its families'; others as they are. */
static const char *shift_word(const report_page *out, const char *name)
{
    static const struct {
        const char *name, *label;
    } words[] = {
        {"blur", REPORT_N("blur")},
        {"resolution", REPORT_N("resolution")},
        {"anisotropy", REPORT_N("thick slices")},
        {"partial_volume", REPORT_N("partial volume")},
        {"noise", REPORT_N("noise")},
        {"rician", REPORT_N("Rician noise")},
        {"speckle", REPORT_N("speckle")},
        {"gain", REPORT_N("gain")},
        {"gamma", REPORT_N("gamma")},
        {"bias", REPORT_N("bias field")},
        {"motion", REPORT_N("motion")},
        {"metal", REPORT_N("metal")},
        {"ring", REPORT_N("rings")},
        {"contrast", REPORT_N("contrast")},
        {"window", REPORT_N("window")},
        {"field_of_view", REPORT_N("field of view")},
        {"stain", REPORT_N("staining")},
        {"colour", REPORT_N("colour")},
        {"jpeg", REPORT_N("JPEG")},
        {"rotation", REPORT_N("rotation")},
        {"perspective", REPORT_N("perspective")},
        {"glare", REPORT_N("glare")},
        {"moire", REPORT_N("moire")},
        {"uneven_light", REPORT_N("uneven light")},
        {"scanner", REPORT_N("scanner")},
        {"artefact", REPORT_N("artefact")},
        {"protocol", REPORT_N("protocol")},
        {"workflow", REPORT_N("workflow")},
        {"mixed", REPORT_N("mixed")},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].name, name) == 0) {
            return report_word(out, words[i].label);
        }
    }
    return name;
}

char *report_shift_text(const report_page *out, const char *shift)
{
    fl_buf text = FL_BUF_INIT;
    while (*shift != '\0') {
        size_t n = strcspn(shift, ",");
        char *name = fl_xstrndup(shift, n);
        fl_buf_printf(&text, "%s%s", text.n > 0 ? ", " : "", shift_word(out, name));
        free(name);
        shift += n + (shift[n] == ',');
    }
    return fl_buf_take(&text);
}

char *report_group_value(const report_page *out, const json_t *group, const char *key)
{
    static const char below[] = "under ";
    const char *value = fl_json_get_string(group, key, "?");
    if (strncmp(value, below, strlen(below)) == 0) {
        report_page text = REPORT_PAGE(out->language);
        report_plain(&text, "under %s", value + strlen(below));
        return fl_buf_take(&text.text);
    }
    return fl_xstrdup(report_usual(out, value));
}

/* ---------------------------------------------------------------- verdicts */

const char *report_verdict_class(report_verdict v)
{
    return v == REPORT_HELPS    ? "good"
           : v == REPORT_HURTS  ? "bad"
           : v == REPORT_UNSURE ? "unsure"
                                : "";
}

void report_verdict_cell(report_page *out, const char *column, report_verdict v)
{
    static const char *const signs[] = {
        [REPORT_HELPS] = "\xe2\x96\xb2",  // up
        [REPORT_HURTS] = "\xe2\x96\xbc",  // down
        [REPORT_SAME] = "\xe2\x89\x88",   // about equal
        [REPORT_UNSURE] = "?",
        [REPORT_NO_VERDICT] = "\xe2\x80\x93",  // dash
    };
    report_html_cell(out, column, false);
    report_html(out, "<span class=\"chip %s\">%s %s</span></td>", report_verdict_class(v), signs[v],
                report_word(out, report_verdict_word(v)));
}

void report_verdict_rules(report_page *out, const json_t *report, const char *metric)
{
    const char *label = report_label(out, metric);
    double smallest = report_margin(report, metric);
    char margin[REPORT_NUMBER_BYTES];
    report_number(margin, out->language, smallest, 3);
    report_html(out, "<p>");
    report_say(out,
               "The benefit of joining is a difference (%s): the value of the shared model minus "
               "that of the hospital's own model, which had as many training steps and was chosen "
               "on the hospital's validation data. Both are judged on the same test cases, so the "
               "interval is paired.",
               label);
    report_html(out, " ");
    if (smallest > 0) {
        report_say(out, "The smallest difference that matters was declared before the run: %s.",
                   margin);
    } else {
        report_say(out, "No smallest difference that matters was declared before the run: any "
                        "counts.");
    }
    report_html(out, "</p>\n<ul>\n<li>");
    report_say(out,
               "<b>helps</b>: the 95 %% interval lies wholly on the better side of 0, and the "
               "difference is at least %s.",
               margin);
    report_html(out, "</li>\n<li>");
    report_say(out, "<b>hurts</b>: the same on the worse side.");
    report_html(out, "</li>\n<li>");
    report_say(out, "<b>no difference</b>: the interval lies wholly within %s of 0.", margin);
    report_html(out, "</li>\n<li>");
    report_say(out, "<b>cannot tell</b>: none of these; more cases would be needed.");
    report_html(out, "</li>\n<li>");
    report_say(out, "<b>not judged</b>: there is no interval; the reason stands beside it.");
    report_html(out, "</li>\n<li>");
    report_say(out,
               "<b>few cases</b>: under %d test cases of either class. Below 10 no interval of the "
               "AUC is given.",
               REPORT_FEW);
    report_html(out, "</li>\n</ul>\n");
}

void report_rules_note(report_page *out)
{
    report_html(out, "<p class=\"note\">");
    report_say(out, "These sentences are made by rules, which are listed <a href=\"#rules\">at the "
                    "end of the page</a>.");
    report_html(out, "</p>\n");
}

/* ------------------------------------------------------------------- facts */

void report_fact(report_page *out, const char *what, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        report_html(out, "<dt>%s</dt><dd>%s</dd>\n", report_word(out, what), value);
    }
}

void report_fact_number(report_page *out, const char *what, double value, int digits)
{
    char text[REPORT_NUMBER_BYTES];
    report_fact(out, what, isnan(value) ? NULL : report_number(text, out->language, value, digits));
}

/* A fact that a program wrote into the report. */
static void fact_told(report_page *out, const char *what, const char *text)
{
    if (text[0] != '\0') {
        report_html(out, "<dt>%s</dt><dd>", report_word(out, what));
        report_told(out, text);
        report_html(out, "</dd>\n");
    }
}

/* A paper's title stays in its language. */
static void fact_paper(report_page *out, const char *what, const char *paper)
{
    if (paper[0] != '\0') {
        report_html(out, "<dt>%s</dt><dd lang=\"en\">%s</dd>\n", report_word(out, what), paper);
    }
}

static void fact_count(report_page *out, const char *what, const json_t *object, const char *key)
{
    char text[REPORT_NUMBER_BYTES];
    int64_t count = fl_json_get_int(object, key, -1);
    report_fact(out, what, count < 0 ? NULL : report_count(text, out->language, count));
}

char *report_rounds_text(const report_page *out, const report_absence *a)
{
    if (a->n_rounds == 0) {
        return fl_xstrdup(report_word(out, a->rounds));
    }
    return fl_xasprintf("%s %s", report_word(out, a->n_rounds == 1 ? "round" : "rounds"),
                        a->rounds);
}

void report_not_shown(report_page *out, const json_t *group, size_t n_columns)
{
    char *why = report_told_text(out, fl_json_get_string(group, "why", ""));
    report_html(out, "<td class=\"text soft\" data-l=\"\" colspan=\"%zu\">", n_columns);
    report_say(out, "not shown: %s", why);
    report_html(out, "</td>");
    free(why);
}

int64_t report_n_positive(const json_t *site)
{
    static const char *const metrics[] = {"auc", "accuracy", "brier"};
    for (size_t i = 0; i < 3; i++) {
        const json_t *figure = report_at(site, "models", "global", metrics[i], NULL);
        int64_t n = fl_json_get_int(figure, "n_positive", -1);
        if (n >= 0) {
            return n;
        }
    }
    return -1;
}

int64_t report_rarer_class(const json_t *site)
{
    int64_t positives = report_n_positive(site);
    int64_t n = fl_json_get_int(report_at(site, "models", "global", "accuracy", NULL), "n",
                                fl_json_get_int(site, "n_test", 0));
    return positives < 0 ? -1 : positives < n - positives ? positives : n - positives;
}

/* ----------------------------------------------------------------- privacy */

static bool is_protected(const json_t *privacy)
{
    return json_is_true(json_object_get(privacy, "secure_aggregation")) ||
           strcmp(fl_json_get_string(privacy, "dp", "none"), "none") != 0;
}

void report_privacy_sentence(report_page *out, const json_t *report)
{
    static const char seen[] = "The coordinator could see each hospital's update";
    const json_t *privacy = json_object_get(report, "privacy");
    const char *statement = fl_json_get_string(privacy, "statement", "");
    report_html(out, "<p class=\"privacy\"><b>");
    report_say(out, "Privacy.");
    report_html(out, "</b> ");
    if (!is_protected(privacy) && strstr(statement, seen) == NULL) {
        report_html(out, "%s ",
                    report_word(out, "The coordinator could see each hospital's "
                                     "update."));
    }
    report_told(out, statement);
    report_html(out, "</p>\n");
}

void report_earlier_homes(report_page *out, const json_t *site)
{
    size_t i;
    const json_t *home;
    json_array_foreach(json_object_get(site, "earlier_homes"), i, home) {
        report_html(out, " ");
        report_say(out,
                   "%s gave %lld of its %lld updates from an earlier installation, with %lld "
                   "training cases, which was removed in mid-run.",
                   report_site_name(site), (long long)fl_json_get_int(home, "rounds_joined", 0),
                   (long long)fl_json_get_int(site, "rounds_joined", 0),
                   (long long)fl_json_get_int(home, "n_train", 0));
    }
}

void report_privacy_section(report_page *out, const json_t *report)
{
    const json_t *privacy = json_object_get(report, "privacy");
    bool sums_only = json_is_true(json_object_get(privacy, "secure_aggregation"));
    report_html_section(out, "privacy", "Privacy: what left the hospitals");
    report_privacy_sentence(out, report);
    report_html(out, "<dl>\n");
    report_fact(out, "Secure aggregation", report_word(out, sums_only ? "on" : "off"));
    fact_told(out, "Differential privacy", fl_json_get_string(privacy, "dp", "none"));
    report_html(out, "</dl>\n");
    size_t i;
    const json_t *item;
    const json_t *left = json_object_get(privacy, "left");
    if (json_array_size(left) > 0) {
        report_html(out, "<p>");
        report_say(out, "What left a hospital, and nothing else:");
        report_html(out, "</p>\n<ul>\n");
        json_array_foreach(left, i, item) {
            report_html(out, "<li>");
            report_told(out, json_string_value(item));
            report_html(out, "</li>\n");
        }
        report_html(out, "</ul>\n");
    }
    report_html_section_end(out);
}

/* --------------------------------------------------------------- selection */

/* "val" as a page calls it. */
static const char *split_word(const report_page *out, const char *split)
{
    return report_word(out, strcmp(split, "val") == 0     ? "validation"
                            : strcmp(split, "train") == 0 ? "training"
                                                          : split);
}

static void add_threshold(report_page *out, const json_t *report)
{
    const json_t *threshold = json_object_get(report, "threshold");
    double value = fl_json_get_number(threshold, "value");
    double at = fl_json_get_number(threshold, "at");
    const char *rule = fl_json_get_string(threshold, "rule", "");
    char number[REPORT_NUMBER_BYTES], wanted[REPORT_NUMBER_BYTES];
    if (isnan(value)) {
        return;
    }
    report_html(out, "<dt>%s</dt><dd>%s", report_word(out, "Decision threshold"),
                report_number(number, out->language, value, 3));
    if (strcmp(rule, "sensitivity") == 0) {
        report_say(out, ", the largest with a sensitivity of at least %s",
                   report_number(wanted, out->language, at, 2));
    } else if (strcmp(rule, "youden") == 0) {
        report_say(out, ", where sensitivity + specificity is largest");
    } else if (strcmp(rule, "fixed") == 0) {
        report_say(out, ", fixed in the job");
    }
    if (strcmp(rule, "fixed") != 0) {
        report_say(out, " on the pooled score histograms of the %s data (%lld bins)",
                   split_word(out, fl_json_get_string(threshold, "split", "val")),
                   (long long)fl_json_get_int(threshold, "bins", 0));
    }
    report_say(out, ". Frozen before any test split was opened.");
    report_html(out, " ");
    report_told(out, fl_json_get_string(threshold, "why", ""));
    report_html(out, "</dd>\n");
}

static void add_chosen_model(report_page *out, const json_t *select)
{
    const char *metric = fl_json_get_string(select, "metric", "");
    const char *split = split_word(out, fl_json_get_string(select, "split", "val"));
    int64_t round = fl_json_get_int(select, "round", -1);
    double value = fl_json_get_number(select, "value");
    char number[REPORT_NUMBER_BYTES];
    if (round < 0) {
        return;
    }
    report_html(out, "<dt>%s</dt><dd>", report_word(out, "Model"));
    if (strcmp(fl_json_get_string(select, "keep", "best"), "best") == 0) {
        report_say(out, "of round %lld, the best on the %s data (%s)", (long long)round, split,
                   report_label(out, metric));
    } else {
        report_say(out, "of round %lld, the last one (%s data, %s)", (long long)round, split,
                   report_label(out, metric));
    }
    if (!isnan(value)) {
        report_say(out, ": %s", report_number(number, out->language, value, 3));
    }
    report_html(out, " ");
    report_told(out, fl_json_get_string(select, "why", ""));
    report_html(out, "</dd>\n");
}

void report_selection_section(report_page *out, const json_t *report)
{
    int64_t opened = fl_json_get_int(report, "test_evaluations", -1);
    report_html_section(out, "selection", "Selection and threshold");
    report_html(out, "<p>");
    report_say(out, "Validation data chose the model and the threshold; test data judged them.");
    report_html(out, "</p>\n<dl>\n");
    add_chosen_model(out, json_object_get(report, "select"));
    add_threshold(out, report);
    if (opened >= 0) {
        report_html(out, "<dt>%s</dt><dd>", report_word(out, "Test data"));
        if (opened == 0) {
            report_say(out, "never opened");
        } else if (opened == 1) {
            report_say(out, "opened once at each hospital, for the selected model");
        } else if (json_object_size(json_object_get(
                       json_object_get(json_object_get(report, "baselines"), "cross_site"),
                       "sites")) > 0) {
            report_say(out,
                       "opened %lld times at the hospital that opened them most: for the selected "
                       "model, and for the hospitals' own models in the matrix",
                       (long long)opened);
        } else {
            report_say(out, "opened more than once at some hospital: %lld times",
                       (long long)opened);
        }
        report_html(out, "</dd>\n");
    }
    const json_t *evaluation = json_object_get(report, "evaluation");
    fact_count(out, "Smallest subgroup shown (patients)", evaluation, "min_cell");
    fact_count(out, "Bins of score histograms", evaluation, "histogram_bins");
    report_html(out, "</dl>\n");
    report_html_section_end(out);
}

/* ------------------------------------------------------------------- model */

/* "mu 0.01, beta 0.9": keys as the job writes them. */
static void add_settings(report_page *out, const json_t *settings)
{
    const char *key;
    json_t *value;
    bool first = true;
    report_each_member(settings, key, value) {
        char number[REPORT_NUMBER_BYTES] = "";
        if (json_is_integer(value)) {
            report_count(number, out->language, json_integer_value(value));
        } else if (json_is_real(value)) {
            report_short(number, out->language, json_real_value(value));
        } else if (json_is_boolean(value)) {
            snprintf(number, sizeof number, "%s",
                     report_word(out, json_is_true(value) ? "yes" : "no"));
        }
        report_html(out, "%s%s %s",
                    first ? "" : out->language == REPORT_FR ? " ; " : ", ", key,
                    json_is_string(value) ? json_string_value(value) : number);
        first = false;
    }
}

/* what: as it is to be shown; a hospital's name is one too. */
static void add_facts_of(report_page *out, const char *what, const json_t *value)
{
    report_html(out, "<dt>%s</dt><dd>", what);
    if (json_is_string(value)) {
        report_told(out, json_string_value(value));
    } else {
        add_settings(out, value);
    }
    report_html(out, "</dd>\n");
}

void report_model_section(report_page *out, const json_t *report)
{
    const json_t *model = json_object_get(report, "model");
    const json_t *environment = json_object_get(report, "environment");
    const json_t *settings = json_object_get(report, "strategy_settings");
    const json_t *coordinator = json_object_get(environment, "coordinator");
    const char *sha256 = fl_json_get_string(model, "sha256", "");
    char number[REPORT_NUMBER_BYTES];
    report_html_section(out, "model", "Model, strategy and environment");
    report_html(out, "<dl>\n");
    report_fact(out, "Model", fl_json_get_string(model, "name", ""));
    fact_paper(out, "Architecture", fl_json_get_string(model, "paper", ""));
    fact_count(out, "Parameters", model, "parameters");
    if (sha256[0] != '\0') {
        report_html(out, "<dt>model.sha256</dt><dd><code>%s</code></dd>\n", sha256);
    }
    report_fact(out, "Strategy", fl_json_get_string(report, "strategy", ""));
    if (json_object_size(settings) > 0) {
        add_facts_of(out, report_word(out, "Settings"), settings);
    }
    fact_paper(out, "Described in", fl_json_get_string(report, "strategy_paper", ""));
    report_fact(out, "Seed",
                report_count(number, out->language, fl_json_get_int(report, "seed", 0)));
    report_fact(out, "Consilium", fl_json_get_string(environment, "consilium", ""));
    report_fact(out, "Training in", fl_json_get_string(environment, "precision", ""));
    if (json_object_size(coordinator) > 0) {
        add_facts_of(out, report_word(out, "Coordinator"), coordinator);
    }
    const char *site;
    json_t *text;
    report_each_member(json_object_get(environment, "sites"), site, text) {
        add_facts_of(out, site, text);
    }
    report_html(out, "</dl>\n<p class=\"note\">");
    report_say(out,
               "Same bits again: same program and libraries, same CPU features, same threads a "
               "site, same recorded hospitals of every round, no privacy noise.");
    report_html(out, "</p>\n");
    report_html_section_end(out);
}
