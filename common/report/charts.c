/*
 * charts.c - see charts.h
 *
 * Colours are told apart by colour-blind eyes and in grey print too: every
 * series also has its own mark.
 */
#include "report/charts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/figures.h"
#include "report/gnuplot.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/parts.h"
#include "report/read.h"

enum {
    WIDTH = 460,    // of the drawing; pages scale it
    FEW_SITES = 8,  // more are drawn without names
    LABEL_LETTERS = 24,  // of a row
    REASON_LINES = 2,
    MOST_BARS = 40,
};

static const char preamble[] =
    "set encoding utf8\n"
    "set minussign\n"
    "set datafile missing 'NaN'\n"
    "set border 1 lc rgb '#9aa7ae'\n"
    "set xtics nomirror tc rgb '#55656f'\n"
    "set ytics nomirror tc rgb '#1b2a33'\n"
    "set grid x lt 1 lc rgb '#e6ebee'\n"
    "set key tmargin right horizontal samplen 1.2 spacing 1.15 tc rgb '#1b2a33'\n";

static void begin(fl_buf *script, const report_page *page, int height)
{
    fl_buf_printf(script,
                  "set terminal svg size %d,%d dynamic noenhanced rounded font 'sans-serif,13' "
                  "background '#ffffff'\n%s",
                  WIDTH, height, preamble);
    if (page->language == REPORT_FR) {
        fl_buf_puts(script, "set decimalsign ','\n");
    }
}

/* Runs the script and adds the figure; words: in the page's language. */
static void draw(report_page *out, const fl_buf *script, int id, const char *words)
{
    fl_buf svg = FL_BUF_INIT;
    report_html(out, "<figure>\n");
    if (report_gnuplot_run(&svg, script->data)) {
        report_figures_add(out, script->data, svg.data);
        report_gnuplot_inline(out, svg.data, id, words);
        report_html(out, "<figcaption>%s</figcaption>\n</figure>\n", words);
    } else {
        report_html(out, "<figcaption>%s ", words);
        report_say(out, "This chart could not be drawn (gnuplot is missing or failed); the table "
                        "holds the numbers.");
        report_html(out, "</figcaption>\n</figure>\n");
    }
    fl_buf_clear(&svg);
}

/* "set xlabel 'share'" and the like, a message. */
static void set_text(fl_buf *script, const report_page *page, const char *what, const char *message)
{
    fl_buf_printf(script, "set %s ", what);
    report_gnuplot_quote(script, report_word(page, message));
    fl_buf_puts(script, " tc rgb '#55656f'\n");
}

/* A title behind a plot's "title " or a label's text, a message. */
static void add_text(fl_buf *script, const report_page *page, const char *message)
{
    report_gnuplot_quote(script, report_word(page, message));
}

static void add_number(fl_buf *script, double value)
{
    fl_buf_printf(script, isnan(value) ? " NaN" : " %.8g", value);
}

/* ------------------------------------------------------------ forest chart */

typedef struct {
    const char *model, *title, *colour;
    int mark;       // gnuplot's point type
    double offset;  // in rows, upwards
} series;

static const series forest[] = {
    {"global", REPORT_N("shared"), "#0b6477", 7, 0.22},
    {"local", REPORT_N("own"), "#c0661a", 5, 0},
    {"centralised", REPORT_N("all in one place"), "#6b7780", 9, -0.22},
};

static const double letter_px = 8.2;  // at the size that style.h gives a chart on a phone

static size_t n_letters(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

/* "your hospital: nord", without a long name; caller's. */
static char *row_label(const report_page *page, const char *name, const char *own)
{
    if (own == NULL || strcmp(own, name) != 0) {
        return fl_xasprintf("%.*s", LABEL_LETTERS, name);
    }
    char *label = fl_xasprintf("%s%s", report_word(page, "your hospital: "), name);
    if (n_letters(label) > LABEL_LETTERS) {
        free(label);
        label = fl_xstrdup(report_word(page, "your hospital"));
    }
    return label;
}

/* px from the chart's edge to its plot. */
static double label_room(const report_page *page, const json_t *sites, const char *own)
{
    size_t i, longest = 0;
    const json_t *site;
    json_array_foreach(sites, i, site) {
        char *label = row_label(page, report_site_name(site), own);
        size_t n = n_letters(label);
        longest = n > longest ? n : longest;
        free(label);
    }
    return 16 + letter_px * (double)longest;
}

/* A row a hospital, the first on top; a hospital without figure says why. */
static void add_rows(fl_buf *script, const report_page *page, const json_t *sites, const char *own)
{
    size_t i, n = json_array_size(sites);
    const json_t *site;
    fl_buf_puts(script, "set ytics scale 0 (");
    json_array_foreach(sites, i, site) {
        char *label = row_label(page, report_site_name(site), own);
        fl_buf_puts(script, i > 0 ? "," : "");
        report_gnuplot_quote(script, label);
        fl_buf_printf(script, " %zu", n - i);
        free(label);
    }
    fl_buf_printf(script, ")\nset yrange [0.4:%zu.6]\nset lmargin at screen %.4f\n", n,
                  label_room(page, sites, own) / WIDTH);
}

/* Bytes of the words at the start of text that stand in width letters; one word at least. */
static size_t fitting(const char *text, size_t width)
{
    size_t end = 0;
    while (text[end] != '\0') {
        size_t next = end + 1 + strcspn(text + end + 1, " ");
        char *line = fl_xstrndup(text, next);
        size_t n = n_letters(line);
        free(line);
        if (end > 0 && n > width) {
            break;
        }
        end = next;
    }
    return end;
}

/* In lines between words; of a very long one the table has the rest.  Returns how many lines, each
 * the caller's. */
static size_t break_reason(char *lines[static REASON_LINES], const char *text, size_t width)
{
    size_t n = 0;
    while (*text != '\0' && n < REASON_LINES) {
        bool last = n + 1 == REASON_LINES;
        size_t end = fitting(text, width);
        if (last && text[end] != '\0') {
            end = fitting(text, width > 2 ? width - 2 : width);
        }
        lines[n++] = fl_xasprintf("%.*s%s", (int)end, text, last && text[end] != '\0' ? " …" : "");
        text += end + (text[end] == ' ');
    }
    return n;
}

/* Right of the row's label; returns in how many lines. */
static size_t add_reason(fl_buf *script, const report_page *page, const json_t *figure, double row,
                         double room)
{
    if (figure == NULL || !isnan(report_value(figure))) {
        return 0;
    }
    char *why = report_told_text(page, fl_json_get_string(figure, "why", "")), *lines[REASON_LINES];
    size_t n = break_reason(lines, why, (size_t)(room / letter_px));
    for (size_t k = 0; k < n; k++) {
        fl_buf_puts(script, "set label ");
        report_gnuplot_quote(script, lines[k]);
        fl_buf_printf(script,
                      " at graph 0.02, first %.2f offset 0,%.2f font ',11' tc rgb '#55656f'\n", row,
                      0.9 * ((double)(n - 1) / 2 - (double)k));
        free(lines[k]);
    }
    free(why);
    return n;
}

static void add_points(fl_buf *script, const json_t *report, const series *s, const char *metric,
                       int block)
{
    const json_t *sites = json_object_get(report, "sites"), *site;
    size_t i, n = json_array_size(sites);
    fl_buf_printf(script, "$d%d << E\n", block);
    json_array_foreach(sites, i, site) {
        const json_t *figure = report_figure(report, site, s->model, metric);
        double value = report_value(figure);
        double low = fl_json_get_number(figure, "ci_low");
        double high = fl_json_get_number(figure, "ci_high");
        add_number(script, value);
        add_number(script, isnan(low) ? value : low);
        add_number(script, isnan(high) ? value : high);
        add_number(script, (double)(n - i) + s->offset);
        fl_buf_puts(script, "\n");
    }
    fl_buf_puts(script, "E\n");
}

/* Ends and ticks of the axis: five steps or so, of 1, 2 or 5 times a power of
 * ten, around every value and interval drawn. */
static void add_range(fl_buf *script, const json_t *report, const char *metric, size_t n_series)
{
    static const char *const keys[] = {"value", "ci_low", "ci_high"};
    double low = INFINITY, high = -INFINITY;
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        for (size_t s = 0; s < n_series; s++) {
            for (size_t k = 0; k < 3; k++) {
                double x = fl_json_get_number(report_figure(report, site, forest[s].model, metric),
                                              keys[k]);
                low = x < low ? x : low;
                high = x > high ? x : high;
            }
        }
    }
    if (!(low <= high)) {
        fl_buf_puts(script, "set xrange [0:1]\n");
        return;
    }
    double rough = fmax(high - low, 1e-3 * fmax(1, fabs(high))) / 4;
    double power = pow(10, floor(log10(rough))), lead = rough / power;
    double step = power * (lead > 5 ? 10 : lead > 2 ? 5 : lead > 1 ? 2 : 1);
    low = step * floor(low / step);
    high = step * ceil(high / step);
    int digits = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    fl_buf_printf(script, "set xrange [%.10g:%.10g]\nset xtics %.10g\nset format x '%%.%df'\n", low,
                  high > low ? high : low + step, step, digits);
}

static bool some_site_has(const json_t *report, const char *model, const char *metric)
{
    size_t i;
    const json_t *site;
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        if (!isnan(report_value(report_figure(report, site, model, metric)))) {
            return true;
        }
    }
    return false;
}

void report_chart_forest(report_page *out, const json_t *report, const char *metric,
                         const char *own, int id)
{
    const json_t *sites = json_object_get(report, "sites"), *site;
    fl_buf script = FL_BUF_INIT, reasons = FL_BUF_INIT;
    size_t i, n = json_array_size(sites), n_series = own != NULL ? 1 : 3, drawn = 0, n_lines = 1;
    double room = WIDTH - 12 - label_room(out, sites, own);
    json_array_foreach(sites, i, site) {
        size_t lines = add_reason(&reasons, out, report_figure(report, site, "global", metric),
                                  (double)(n - i), room);
        n_lines = lines > n_lines ? lines : n_lines;
    }
    begin(&script, out, 80 + (int)n * (own == NULL ? 52 : n_lines == 1 ? 30 : 42));
    add_rows(&script, out, sites, own);
    fl_buf_add(&script, reasons.data, reasons.n);
    fl_buf_clear(&reasons);
    set_text(&script, out, "xlabel", report_metric_label(metric));
    add_range(&script, report, metric, n_series);
    if (own != NULL) {
        fl_buf_puts(&script, "unset key\n");
    }
    for (size_t s = 0; s < n_series; s++) {
        series one = forest[s];
        one.offset = n_series == 1 ? 0 : one.offset;
        add_points(&script, report, &one, metric, (int)s);
    }
    for (size_t s = 0; s < n_series; s++) {
        if (some_site_has(report, forest[s].model, metric)) {
            fl_buf_printf(&script,
                          "%s$d%zu using 1:4:2:3 with xerrorbars pt %d ps 0.75 lw 1.6 lc rgb '%s' "
                          "title ",
                          drawn++ > 0 ? ", " : "plot ", s, forest[s].mark, forest[s].colour);
            add_text(&script, out, forest[s].title);
        }
    }
    fl_buf_puts(&script, drawn > 0 ? "\n" : "plot NaN notitle\n");
    report_page words = REPORT_PAGE(out->language);
    if (own != NULL) {
        report_plain(&words,
                     "%s of the shared model on each hospital's own test cases, with 95 %% "
                     "intervals.",
                     report_word(out, report_metric_label(metric)));
    } else {
        report_plain(&words,
                     "%s of the models on each hospital's own test cases, with 95 %% intervals.",
                     report_word(out, report_metric_label(metric)));
    }
    draw(out, &script, id, words.text.data);
    fl_buf_clear(&script);
    report_page_clear(&words);
}

/* ------------------------------------------------------- validation curves */

/* The key of "validation" to draw: the one selected by, or what there is. */
static const char *curve_key(const json_t *report)
{
    static const char *const keys[] = {"auc", "accuracy", "dice", "iou", "mae", "rmse", "loss"};
    const char *selected = fl_json_get_string(json_object_get(report, "select"), "metric", "");
    const char *found = NULL;
    size_t i;
    const json_t *round;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        json_array_foreach(json_object_get(report, "rounds"), i, round) {
            bool there = !isnan(fl_json_get_number(json_object_get(round, "validation"), keys[k]));
            if (there && (found == NULL || strcmp(keys[k], selected) == 0)) {
                found = keys[k];
            }
        }
    }
    return found;
}

/* round, mean, then a column a hospital. */
static void add_curves(fl_buf *script, const json_t *report, const char *key)
{
    size_t i, k;
    const json_t *round, *site;
    fl_buf_puts(script, "$d << E\n");
    json_array_foreach(json_object_get(report, "rounds"), i, round) {
        const json_t *validation = json_object_get(round, "validation");
        add_number(script, fl_json_get_number(round, "round"));
        add_number(script, fl_json_get_number(validation, key));
        json_array_foreach(json_object_get(report, "sites"), k, site) {
            add_number(script,
                       fl_json_get_number(
                           report_at(validation, "sites", report_site_name(site), NULL), key));
        }
        fl_buf_puts(script, "\n");
    }
    fl_buf_puts(script, "E\n");
}

bool report_chart_curves(report_page *out, const json_t *report, int id)
{
    static const char *const colours[FEW_SITES] = {"#3b8ea5", "#c0661a", "#6a994e", "#8e6bb0",
                                                   "#b08900", "#b5476b", "#4f6d8f", "#7a7a52"};
    const char *key = curve_key(report);
    if (key == NULL) {
        return false;
    }
    const json_t *sites = json_object_get(report, "sites"), *site;
    bool named = json_array_size(sites) <= FEW_SITES;
    int64_t selected = fl_json_get_int(json_object_get(report, "select"), "round", -1);
    const char *label = report_word(out, strcmp(key, "loss") == 0 ? REPORT_N("loss")
                                                                  : report_metric_label(key));
    fl_buf script = FL_BUF_INIT;
    report_page words = REPORT_PAGE(out->language);

    begin(&script, out, 300);
    add_curves(&script, report, key);
    set_text(&script, out, "xlabel", REPORT_N("round"));
    fl_buf_puts(&script, "set grid y lt 1 lc rgb '#e6ebee'\nset format y '%.2f'\n");
    report_plain(&words, "validation: %s", label);
    set_text(&script, out, "ylabel", words.text.data);
    fl_buf_reset(&words.text);
    if (selected >= 0) {
        fl_buf_printf(&script,
                      "set arrow from first %" PRId64 ", graph 0 to first %" PRId64
                      ", graph 1 nohead lw 1 dt 2 lc rgb '#1b2a33' back\n",
                      selected, selected);
    }
    if (json_array_size(json_object_get(report, "rounds")) <= 10) {
        fl_buf_puts(&script, "set xtics 1\n");
    }
    fl_buf_puts(&script, "plot ");
    size_t k;
    json_array_foreach(sites, k, site) {
        fl_buf_printf(&script, "$d using 1:%zu with lines lw 1.3 lc rgb '%s' ", k + 3,
                      named ? colours[k] : "#b5c0c6");
        fl_buf_puts(&script, named ? "title " : "notitle ");
        if (named) {
            report_gnuplot_quote(&script, report_site_name(site));
        }
        fl_buf_puts(&script, ", ");
    }
    fl_buf_puts(&script, "$d using 1:2 with linespoints pt 7 ps 0.35 lw 2.6 lc rgb '#1b2a33' "
                         "title ");
    add_text(&script, out, REPORT_N("mean"));
    fl_buf_puts(&script, "\n");
    if (named) {
        report_plain(&words,
                     "Validation (%s) of each round's model: each hospital, and the mean "
                     "weighted by cases.",
                     label);
    } else {
        report_plain(&words,
                     "Validation (%s) of each round's model: each hospital (grey), and the "
                     "mean weighted by cases.",
                     label);
    }
    if (selected >= 0) {
        fl_buf_puts(&words.text, " ");
        report_plain(&words, "The dashed line is the selected round.");
    }
    draw(out, &script, id, words.text.data);
    fl_buf_clear(&script);
    report_page_clear(&words);
    return true;
}

/* --------------------------------------------------------------- histogram */

/* Middle of the bin, negatives, positives; bins are joined to at most MOST_BARS. */
static double add_bins(fl_buf *script, const json_t *histogram)
{
    const json_t *negatives = json_object_get(histogram, "negatives");
    const json_t *positives = json_object_get(histogram, "positives");
    size_t n_bins = json_array_size(negatives);
    size_t joined = (n_bins + MOST_BARS - 1) / MOST_BARS;
    double width = (double)joined / (double)n_bins;
    fl_buf_puts(script, "$d << E\n");
    for (size_t first = 0; first < n_bins; first += joined) {
        double sum[2] = {0, 0};
        for (size_t b = first; b < first + joined && b < n_bins; b++) {
            sum[0] += json_number_value(json_array_get(negatives, b));
            sum[1] += json_number_value(json_array_get(positives, b));
        }
        fl_buf_printf(script, "%.8g %.8g %.8g\n", (double)first / (double)n_bins + width / 2,
                      sum[0], sum[1]);
    }
    fl_buf_puts(script, "E\n");
    return width;
}

/* A dashed line with its number. */
static void mark_threshold(fl_buf *script, const report_page *page, double threshold)
{
    bool right = threshold > 0.7;
    char number[REPORT_NUMBER_BYTES];
    report_page label = REPORT_PAGE(page->language);
    report_plain(&label, "threshold %s", report_number(number, page->language, threshold, 2));
    fl_buf_printf(script,
                  "set arrow from first %.8g, graph 0 to first %.8g, graph 1 nohead lw 1.4 dt 2 "
                  "lc rgb '#1b2a33' front\nset label ",
                  threshold, threshold);
    report_gnuplot_quote(script, label.text.data);
    fl_buf_printf(script,
                  " at first %.8g, graph 0.96 %s offset %s,0 front tc rgb '#1b2a33' font ',12'\n",
                  threshold, right ? "right" : "left", right ? "-0.6" : "0.6");
    report_page_clear(&label);
}

void report_chart_histogram(report_page *out, const json_t *report, const json_t *site, int id)
{
    const json_t *histogram = json_object_get(site, "histogram");
    const char *positive = fl_json_get_string(report, "positive", report_word(out, "positive"));
    double threshold = fl_json_get_number(json_object_get(site, "thresholds"), "global");
    fl_buf script = FL_BUF_INIT;
    report_page title = REPORT_PAGE(out->language);
    if (isnan(threshold)) {
        threshold = fl_json_get_number(json_object_get(report, "threshold"), "value");
    }
    begin(&script, out, 290);
    double width = add_bins(&script, histogram);
    fl_buf_puts(&script, "set xrange [0:1]\nset xtics 0.2\nset format x '%.1f'\n"
                         "set style fill solid 0.85 noborder\n"
                         "set yrange [0:*]\nset grid noxtics y lt 1 lc rgb '#e6ebee'\n");
    set_text(&script, out, "xlabel", REPORT_N("score"));
    set_text(&script, out, "ylabel", REPORT_N("test cases"));
    if (!isnan(threshold)) {
        mark_threshold(&script, out, threshold);
    }
    fl_buf_printf(&script, "plot $d using ($1-%.8g):2:(%.8g) with boxes lc rgb '#8fa3ad' title ",
                  width * 0.22, width * 0.42);
    add_text(&script, out, REPORT_N("the others"));
    fl_buf_printf(&script, ", $d using ($1+%.8g):3:(%.8g) with boxes lc rgb '#c0661a' title ",
                  width * 0.22, width * 0.42);
    report_plain(&title, "with %s", positive);
    report_gnuplot_quote(&script, title.text.data);
    fl_buf_puts(&script, "\n");
    draw(out, &script, id,
         report_word(out, "Scores of the shared model on this hospital's test cases. Cases to the "
                          "right of the dashed line are called positive."));
    fl_buf_clear(&script);
    report_page_clear(&title);
}

/* -------------------------------------------------------------- robustness */

static double lost_by(const json_t *shift, const char *metric)
{
    return fl_json_get_number(report_at(shift, "lost", metric, NULL), "value");
}

/* How many shifts lose more than this one. */
static size_t place_of(const json_t *shifts, size_t at, const char *metric)
{
    double own = lost_by(json_array_get(shifts, at), metric);
    size_t i, before = 0;
    const json_t *other;
    json_array_foreach(shifts, i, other) {
        double x = lost_by(other, metric);
        before += x > own || (x == own && i < at);
    }
    return before;
}

/* A block a shift: severity and value, from the images as they are. */
static void add_shift(fl_buf *script, const json_t *site, const json_t *shift, const char *metric,
                      size_t block)
{
    const char *name = fl_json_get_string(shift, "shift", "");
    const json_t *clean = report_at(site, "robustness", "clean", metric, NULL), *point;
    size_t i;
    fl_buf_printf(script, "$d%zu << E\n0", block);
    add_number(script, fl_json_get_number(clean, "value"));
    fl_buf_puts(script, "\n");
    json_array_foreach(json_object_get(site, "shift"), i, point) {
        if (strcmp(fl_json_get_string(point, "shift", ""), name) == 0) {
            add_number(script, fl_json_get_number(point, "severity"));
            add_number(script, fl_json_get_number(json_object_get(point, metric), "value"));
            fl_buf_puts(script, "\n");
        }
    }
    fl_buf_puts(script, "E\n");
}

void report_chart_shift(report_page *out, const json_t *site, const char *metric, int id)
{
    enum { NAMED = 6 };
    static const struct {
        const char *colour;
        int mark;
    } style[NAMED] = {{"#c0661a", 7},  {"#0b6477", 5},  {"#8e6bb0", 9},
                      {"#6a994e", 13}, {"#b5476b", 11}, {"#4f6d8f", 3}};
    const json_t *shifts = report_at(site, "robustness", "shifts", NULL), *shift;
    fl_buf script = FL_BUF_INIT;
    size_t i;
    begin(&script, out, 330);
    json_array_foreach(shifts, i, shift) {
        add_shift(&script, site, shift, metric, i);
    }
    fl_buf_puts(&script, "set xrange [-0.1:5.1]\nset xtics 1\nset format y '%.2f'\n"
                         "set grid y lt 1 lc rgb '#e6ebee'\n");
    set_text(&script, out, "xlabel", REPORT_N("severity (0: the images as they are)"));
    set_text(&script, out, "ylabel", report_metric_label(metric));
    fl_buf_puts(&script, "plot ");
    json_array_foreach(shifts, i, shift) {
        size_t place = place_of(shifts, i, metric);
        bool named = place < NAMED;
        fl_buf_printf(&script, "%s$d%zu using 1:2 with linespoints pt %d ps 0.6 lw %s lc rgb '%s' ",
                      i > 0 ? ", " : "", i, named ? style[place].mark : 7, named ? "1.8" : "1",
                      named ? style[place].colour : "#b5c0c6");
        fl_buf_puts(&script, named ? "title " : "notitle");
        if (named) {
            char *name = report_shift_text(out, fl_json_get_string(shift, "shift", ""));
            report_gnuplot_quote(&script, name);
            free(name);
        }
    }
    fl_buf_puts(&script, "\n");
    draw(out, &script, id,
         report_word(out, "The shared model on your test cases, seen through each shift. The "
                          "shifts that lose most are named."));
    fl_buf_clear(&script);
}

/* ------------------------------------------------- calibration and decisions */

/* A row a point, the keys in columns; what is not there is NaN. */
static void add_table(fl_buf *script, const json_t *list, const char *const *keys)
{
    size_t i;
    const json_t *point;
    fl_buf_puts(script, "$d << E\n");
    json_array_foreach(list, i, point) {
        for (size_t k = 0; keys[k] != NULL; k++) {
            add_number(script, fl_json_get_number(point, keys[k]));
        }
        fl_buf_puts(script, "\n");
    }
    fl_buf_puts(script, "E\n");
}

void report_chart_calibration(report_page *out, const json_t *site, int id)
{
    static const char *const keys[] = {"predicted", "observed", "ci_low", "ci_high", NULL};
    fl_buf script = FL_BUF_INIT;
    begin(&script, out, 330);
    add_table(&script, json_object_get(site, "calibration"), keys);
    fl_buf_puts(&script, "set xrange [0:1]\nset yrange [0:1]\nset xtics 0.2\nset ytics 0.2\n"
                         "set format '%.1f'\nset grid y lt 1 lc rgb '#e6ebee'\nset key left\n");
    set_text(&script, out, "xlabel", REPORT_N("mean score"));
    set_text(&script, out, "ylabel", REPORT_N("share that is positive"));
    fl_buf_puts(&script, "plot x with lines dt 2 lw 1.2 lc rgb '#6b7780' title ");
    add_text(&script, out, REPORT_N("perfect"));
    fl_buf_puts(&script, ", $d using 1:2:3:4 with yerrorbars pt 7 ps 0.7 lw 1.6 lc rgb '#0b6477' "
                         "title ");
    add_text(&script, out, REPORT_N("your test cases"));
    fl_buf_puts(&script, "\n");
    draw(out, &script, id,
         report_word(out, "Calibration: of the cases with about this score, how many are positive. "
                          "The dashed line is perfect; bars are 95 % intervals; bins are joined "
                          "until none holds few patients."));
    fl_buf_clear(&script);
}

void report_chart_decision(report_page *out, const json_t *site, int id)
{
    static const char *const keys[] = {"threshold", "net_benefit", "treat_all", NULL};
    const json_t *list = json_object_get(site, "decision"), *point;
    double most = 0;
    size_t i;
    json_array_foreach(list, i, point) {
        most = fmax(most, fmax(fl_json_get_number(point, "net_benefit"),
                               fl_json_get_number(point, "treat_all")));
    }
    fl_buf script = FL_BUF_INIT;
    begin(&script, out, 330);
    add_table(&script, list, keys);
    fl_buf_printf(&script,
                  "set xrange [0:1]\nset xtics 0.2\nset yrange [%.4g:%.4g]\n"
                  "set grid y lt 1 lc rgb '#e6ebee'\nset format x '%%.1f'\nset format y '%%.2f'\n",
                  -0.3 * fmax(most, 0.05), 1.15 * fmax(most, 0.05));
    set_text(&script, out, "xlabel", REPORT_N("threshold"));
    set_text(&script, out, "ylabel", REPORT_N("net benefit"));
    fl_buf_puts(&script, "plot 0 with lines lw 1.4 lc rgb '#6b7780' title ");
    add_text(&script, out, REPORT_N("act on none"));
    fl_buf_puts(&script, ", $d using 1:3 with lines dt 2 lw 1.6 lc rgb '#c0661a' title ");
    add_text(&script, out, REPORT_N("on all"));
    fl_buf_puts(&script, ", $d using 1:2 with linespoints pt 7 ps 0.5 lw 2 lc rgb '#0b6477' "
                         "title ");
    add_text(&script, out, REPORT_N("on the score"));
    fl_buf_puts(&script, "\n");
    draw(out, &script, id,
         report_word(out, "Net benefit: what acting on scores above a threshold is worth in true "
                          "positives a case, false alarms taken off at the threshold's odds. The "
                          "highest line is the best thing to do."));
    fl_buf_clear(&script);
}

/* ------------------------------------------------------- arms of a comparison */

enum { MOST_ARMS = 6 };  // drawn; the table has all

/* Rows of a hospital ("" first: their mean), a series an arm. */
void report_chart_contrasts(report_page *out, const json_t *contrasts, const char *list, int id)
{
    static const char *const colours[MOST_ARMS] = {"#0b6477", "#c0661a", "#6a994e",
                                                   "#8e6bb0", "#b08900", "#b5476b"};
    const json_t *items = json_object_get(contrasts, list), *item;
    const json_t *arms = json_object_get(contrasts, "arms");
    size_t n_arms = json_array_size(arms), i, n_rows = 0;
    n_arms = n_arms > MOST_ARMS + 1 ? MOST_ARMS + 1 : n_arms;
    json_t *rows = json_object();
    json_array_foreach(items, i, item) {
        const char *site = fl_json_get_string(item, "site", "");
        if (json_object_get(rows, site) == NULL) {
            json_object_set_new(rows, site, json_integer((json_int_t)n_rows++));
        }
    }
    fl_buf script = FL_BUF_INIT;
    begin(&script, out, 90 + (int)n_rows * (18 + 12 * (int)n_arms));
    fl_buf_puts(&script, "set ytics scale 0 (");
    const char *site;
    json_t *row;
    json_object_foreach(rows, site, row) {
        size_t at = (size_t)json_integer_value(row);
        fl_buf_puts(&script, at > 0 ? "," : "");
        report_gnuplot_quote(&script,
                             site[0] != '\0' ? site : report_word(out, "mean of hospitals"));
        fl_buf_printf(&script, " %zu", n_rows - at);
    }
    fl_buf_printf(&script,
                  ")\nset yrange [0.4:%zu.6]\nset arrow from first 0, graph 0 to first 0, "
                  "graph 1 nohead lw 1.2 lc rgb '#1b2a33' back\n",
                  n_rows);
    for (size_t a = 1; a < n_arms; a++) {
        fl_buf_printf(&script, "$d%zu << E\n", a);
        json_array_foreach(items, i, item) {
            if ((size_t)fl_json_get_int(item, "arm", 0) != a) {
                continue;
            }
            size_t at = (size_t)json_integer_value(
                json_object_get(rows, fl_json_get_string(item, "site", "")));
            double value = report_value(item), low = fl_json_get_number(item, "ci_low");
            double high = fl_json_get_number(item, "ci_high");
            add_number(&script, value);
            add_number(&script, isnan(low) ? value : low);
            add_number(&script, isnan(high) ? value : high);
            add_number(&script, (double)(n_rows - at) + 0.25 - 0.5 * (double)a / (double)n_arms);
            fl_buf_puts(&script, "\n");
        }
        fl_buf_puts(&script, "E\n");
    }
    set_text(&script, out, "xlabel",
             report_metric_label(fl_json_get_string(contrasts, "metric", "")));
    fl_buf_puts(&script, "set format x '%.2f'\nset xtics autofreq\n");
    for (size_t a = 1; a < n_arms; a++) {
        fl_buf_printf(
            &script,
            "%s$d%zu using 1:4:2:3 with xerrorbars pt %zu ps 0.7 lw 1.6 lc rgb '%s' title ",
            a > 1 ? ", " : "plot ", a, 5 + 2 * ((a - 1) % 4), colours[a - 1]);
        report_gnuplot_quote(&script, fl_json_get_string(json_array_get(arms, a), "label", "?"));
    }
    fl_buf_puts(&script, n_arms > 1 && n_rows > 0 ? "\n" : "plot NaN notitle\n");
    report_page words = REPORT_PAGE(out->language);
    if (strcmp(list, "seeds") == 0) {
        report_plain(&words,
                     "Difference from %s at each hospital; bars are 95 %% intervals over "
                     "seeds.",
                     fl_json_get_string(json_array_get(arms, 0), "label", "?"));
    } else {
        report_plain(&words,
                     "Difference from %s at each hospital; bars are 95 %% intervals over "
                     "test cases.",
                     fl_json_get_string(json_array_get(arms, 0), "label", "?"));
    }
    draw(out, &script, id, words.text.data);
    report_page_clear(&words);
    fl_buf_clear(&script);
    json_decref(rows);
}

void report_chart_risk(report_page *out, const json_t *site, int id)
{
    static const char *const keys[] = {"coverage", "risk", NULL};
    const json_t *list = report_at(site, "uncertainty", "risk_coverage", NULL), *point;
    double most = 0;
    size_t i;
    json_array_foreach(list, i, point) {
        most = fmax(most, fl_json_get_number(point, "risk"));
    }
    fl_buf script = FL_BUF_INIT;
    begin(&script, out, 330);
    add_table(&script, list, keys);
    fl_buf_printf(&script,
                  "set xrange [0:1]\nset xtics 0.2\nset yrange [0:%.4g]\n"
                  "set grid y lt 1 lc rgb '#e6ebee'\nset format x '%%.1f'\nset format y '%%.2f'\n",
                  1.15 * fmax(most, 0.01));
    set_text(&script, out, "xlabel", REPORT_N("share of cases kept, the surest first"));
    set_text(&script, out, "ylabel", REPORT_N("their error"));
    fl_buf_puts(&script, "plot $d using 1:2 with linespoints pt 7 ps 0.5 lw 2 lc rgb '#0b6477' "
                         "notitle\n");
    draw(out, &script, id,
         report_word(out, "Error of the cases that are kept when the least sure are referred. A "
                          "line that falls to the left says that uncertainty marks the errors."));
    fl_buf_clear(&script);
}
