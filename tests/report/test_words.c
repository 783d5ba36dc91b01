/*
 * test_words.c - pages in French: nothing is left in English
 *
 * The sources are read for every message, so that a sentence no sample report
 * brings onto a page is found as well; then whole pages are read for English.
 */
#include <ctype.h>

#include "check.h"
#include "report/html.h"
#include "report/messages.h"
#include "report/numbers.h"
#include "report/read.h"
#include "report/report.h"
#include "report/sample.h"
#include "report/words.h"

/* ---------------------------------------------------- messages in the sources */

static const taker pages[] = {
    {"REPORT_N", 1},
    {"report_say", 2},
    {"report_plain", 2},
    {"report_word", 2},
    {"report_fact", 2},
    {"report_fact_number", 2},
    {"fact_count", 2},
    {"fact_told", 2},
    {"fact_paper", 2},
    {"report_html_section", 3},
    {"open_section", 3},
    {"report_html_figure", 2},
    {"report_html_cell", 2},
    {"report_html_count", 2},
    {"report_html_value", 2},
    {"report_verdict_cell", 2},
    {"add_empty_cell", 2},
};

static void every_message_has_its_french_and_every_french_its_message(void **state)
{
    (void)state;
    messages m = {0};
    static const char *const folders[] = {"common/report", "client"};
    for (size_t f = 0; f < sizeof folders / sizeof folders[0]; f++) {
        messages_read(&m, folders[f], pages, sizeof pages / sizeof pages[0]);
    }
    check(m.n > 300);
    size_t n_missing = 0;
    for (size_t i = 0; i < m.n; i++) {
        bool found = false;
        for (const report_words_entry *e = report_words_said; e->english != NULL && !found; e++) {
            found = strcmp(e->english, m.text[i]) == 0;
        }
        if (!found) {
            print_message("# no French for: %s\n", m.text[i]);
            n_missing++;
        }
    }
    for (const report_words_entry *e = report_words_said; e->english != NULL; e++) {
        if (!messages_have(&m, e->english)) {
            print_message("# said by no page: %s\n", e->english);
            n_missing++;
        }
    }
    check_int(n_missing, 0);
    messages_clear(&m);
}

/* ------------------------------------------------------------- conversions */

/* "szs": the conversions of a format in the order of the arguments. */
static void kinds_of(char out[static 16], const char *format)
{
    size_t next = 0;
    memset(out, 0, 16);
    for (const char *p = strchr(format, '%'); p != NULL; p = strchr(p, '%')) {
        p++;
        size_t which = next;
        if (isdigit((unsigned char)p[0]) && p[1] == '$') {
            which = (size_t)(p[0] - '1');
            p += 2;
        }
        if (*p == '%') {
            p++;
            continue;
        }
        next++;
        check(which < 15);
        out[which] = *p;
    }
}

static void french_takes_the_arguments_of_its_message(void **state)
{
    (void)state;
    const report_words_entry *const tables[] = {report_words_said, report_words_heard};
    for (size_t t = 0; t < 2; t++) {
        for (const report_words_entry *e = tables[t]; e->english != NULL; e++) {
            char english[16], french[16];
            // A plain word may hold a per cent sign that is no conversion.
            if (strstr(e->english, " % ") != NULL) {
                continue;
            }
            kinds_of(english, e->english);
            kinds_of(french, e->french);
            if (strcmp(english, french) != 0) {
                check_fail("\"%s\": %s, in French %s", e->english, english, french);
            }
        }
    }
}

static void no_message_has_two_translations(void **state)
{
    (void)state;
    const report_words_entry *const tables[] = {report_words_said, report_words_heard};
    for (size_t t = 0; t < 2; t++) {
        for (const report_words_entry *e = tables[t]; e->english != NULL; e++) {
            for (const report_words_entry *other = e + 1; other->english != NULL; other++) {
                if (strcmp(e->english, other->english) == 0) {
                    check_fail("\"%s\" is in the table twice", e->english);
                }
            }
        }
    }
}

/* ---------------------------------------------------------------- whole pages */

/* The text of a page as a reader sees it: no tags, nothing that is marked as English. */
static char *visible(const char *html)
{
    fl_buf out = FL_BUF_INIT;
    const char *p = strstr(html, "</style>");
    check(p != NULL);
    while (*p != '\0') {
        if (strncmp(p, "<svg", 4) == 0) {
            fl_buf_puts(&out, " ");
            p = strstr(p, ">");
        }
        const char *marked = strstr(p, " lang=\"en\">");
        if (*p == '<' && marked != NULL && strcspn(p, ">") > (size_t)(marked - p)) {
            const char *end = strchr(marked, '<');
            p = end != NULL ? end : p + strlen(p);
            continue;
        }
        if (*p == '<') {
            p += strcspn(p, ">");
            p += *p != '\0';
            fl_buf_puts(&out, " ");
        } else {
            char c = (char)tolower((unsigned char)*p++);
            fl_buf_add(&out, &c, 1);
        }
    }
    return fl_buf_take(&out);
}

/* Whole words of English that no French sentence has. */
static void check_french(const char *html, const char *what)
{
    static const char *const english[] = {
        "the",         "of",          "and",      "is",     "are",       "was",       "were",
        "which",       "with",        "than",     "their",  "your",      "hospital",  "hospitals",
        "cases",       "case",        "rounds",   "round",  "threshold", "joining",   "benefit",
        "shared",      "model",       "unknown",  "under",  "too",       "few",       "never",
        "not",         "by",          "from",     "each",   "all",       "between",   "mean",
        "share",       "score's",     "figures",  "needed", "interval",  "positives", "negative",
        "sensitivity", "specificity", "accuracy", "error",  "loss",      "steps",     "updates",
        "site's",      "once",
    };
    char *text = visible(html);
    for (size_t i = 0; i < sizeof english / sizeof english[0]; i++) {
        size_t n = strlen(english[i]);
        for (const char *at = strstr(text, english[i]); at != NULL;
             at = strstr(at + 1, english[i])) {
            bool starts = at == text || (!isalnum((unsigned char)at[-1]) && at[-1] != '-' &&
                                         at[-1] != '_' && (signed char)at[-1] > 0);
            bool ends = !isalnum((unsigned char)at[n]) && at[n] != '_' && (signed char)at[n] >= 0 &&
                        !(at[n] == '.' && isalnum((unsigned char)at[n + 1]));
            if (starts && ends) {
                check_fail("%s is left in English: \"...%.60s\"", what,
                           at - text > 25 ? at - 25 : text);
            }
        }
    }
    free(text);
}

/* Numbers of a page: no hyphen for a minus, and in French no point for a comma. */
static void check_numbers_of(const char *html, const char *what, bool french)
{
    char *text = visible(html);
    for (const char *at = text; *at != '\0'; at++) {
        bool free = at == text || strchr(" [(\n", at[-1]) != NULL;
        if (*at == '-' && free && isdigit((unsigned char)at[1])) {
            check_fail("%s: a hyphen for a minus: \"...%.60s\"", what,
                       at - text > 25 ? at - 25 : text);
        }
        size_t digits = free ? strspn(at, "0123456789") : 0;
        size_t behind = digits > 0 && at[digits] == '.' ? strspn(at + digits + 1, "0123456789") : 0;
        // "0.1.0" is a version.
        if (french && behind > 0 && at[digits + 1 + behind] != '.') {
            check_fail("%s: a point for a comma: \"...%.60s\"", what,
                       at - text > 25 ? at - 25 : text);
        }
    }
    free(text);
}

/* What a hospital or a job writes in its own words is not ours to translate. */
static json_t *report_of_french_hospitals(const char *sample)
{
    json_t *report = sample_read_of(sample);
    sample_set(
        report, "intended_use",
        json_string("tri des radiographies thoraciques de l'adulte, deuxi\xc3\xa8me lecture"));
    sample_set(report, "positive", json_string("opacit\xc3\xa9"));
    for (size_t i = 0; i < json_array_size(json_object_get(report, "sites")); i++) {
        char path[64];
        snprintf(path, sizeof path, "sites[%zu].reference_standard", i);
        sample_set(report, path, json_string("deux radiologues"));
    }
    return report;
}

static char *written(const char *dir, const char *name)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(dir, name), *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, path, 64 << 20, &err), err);
    free(path);
    return text;
}

/* The pages of a sample, which are names, say nothing in English. */
static void check_all_french(const char *sample, const char *const *names)
{
    fl_err err = FL_ERR_INIT;
    json_t *report = report_of_french_hospitals(sample);
    char *dir = check_tmpdir();
    const json_t *runs[] = {report, report};
    check_ok(report_write_all(report, REPORT_FR, dir, &err), err);
    check_ok(report_write_compare(runs, 2, NULL, REPORT_FR, dir, &err), err);
    for (size_t i = 0; names[i] != NULL; i++) {
        char *text = written(dir, names[i]);
        check_has(text, "<html lang=\"fr\">");
        check_has(text, "N\xe2\x80\x99"
                        "est pas un dispositif m\xc3\xa9"
                        "dical.");
        // Whatever the programs wrote into this report has its French too.
        check(strstr(text, "<span lang=\"en\">") == NULL);
        check_french(text, names[i]);
        check_numbers_of(text, names[i], true);
        free(text);
    }
    check_ok(report_write_all(report, REPORT_EN, dir, &err), err);
    char *text = written(dir, "index.html");
    check_numbers_of(text, "index.html", false);
    free(text);
    text = written(dir, "sites/nord.html");
    check_numbers_of(text, "sites/nord.html", false);
    free(text);
    check_rmdir(&dir);
    json_decref(report);
}

static void no_english_is_left_on_french_pages(void **state)
{
    (void)state;
    static const char *const made_up[] = {"index.fr.html",       "sites/nord.fr.html",
                                          "sites/sud.fr.html",   "sites/ouest.fr.html",
                                          "compare.fr.html",     NULL};
    static const char *const of_scores[] = {"index.fr.html", "sites/nord.fr.html",
                                            "sites/sud.fr.html", "sites/est.fr.html", NULL};
    static const char *const of_masks[] = {"index.fr.html", "sites/nord.fr.html",
                                           "sites/sud.fr.html", "compare.fr.html", NULL};
    check_all_french("sample.json", made_up);
    check_all_french("sure.json", of_scores);
    check_all_french("masks.json", of_masks);
    static const char *const of_all[] = {"index.fr.html", "sites/nord.fr.html",
                                         "sites/ouest.fr.html", "sites/iles.fr.html", NULL};
    check_all_french("full.json", of_all);
}

static void a_french_page_reads_as_french(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *report = report_of_french_hospitals("sample.json");
    char *dir = check_tmpdir();
    check_ok(report_write_all(report, REPORT_FR, dir, &err), err);
    char *text = written(dir, "sites/sud.fr.html");
    check_has(text, "La participation est utile \xc3\xa0 votre h\xc3\xb4pital\xc2\xa0: AUC +0,13 "
                    "[+0,08\xc2\xa0;\xc2\xa0+0,17].");
    check_has(text, "sensibilit\xc3\xa9");
    check_has(text, "sp\xc3\xa9"
                    "cificit\xc3\xa9");
    check_has(text, "valeur pr\xc3\xa9"
                    "dictive positive");
    check_has(text, "intervalles de confiance \xc3\xa0 95\xc2\xa0%");
    check_has(text, "tours 7-8 (aucun progr\xc3\xa8s pendant 10m\xc2\xa0: bloqu\xc3\xa9 au pas 31 "
                    "sur 60)");
    check_has(text, "31/01/2026 \xc3\xa0 12:00 UTC");
    free(text);
    text = written(dir, "index.fr.html");
    check_has(text, "<a href=\"sites/nord.fr.html\">nord</a>");
    check_has(text, "centre \xc3\xa9tait invit\xc3\xa9 et n\xe2\x80\x99"
                    "a pas de r\xc3\xa9sultats");
    free(text);
    check_rmdir(&dir);
    json_decref(report);
}

/* ------------------------------------------------------- words and numbers */

static void what_programs_wrote_is_found_by_its_pattern(void **state)
{
    (void)state;
    fl_buf out = FL_BUF_INIT;
    check(report_words_told(&out, REPORT_FR,
                            "too few cases: 6 positive, 16 negative; 10 of each are needed"));
    check_str(out.data,
              "trop peu de cas : 6 positifs, 16 n\xc3\xa9gatifs ; il en faut 10 de chaque");
    fl_buf_reset(&out);
    check(report_words_told(&out, REPORT_FR, "the validation cases do not define it: 0.5"));
    check_has(out.data, ": 0,5");
    fl_buf_reset(&out);
    check(report_words_told(&out, REPORT_FR, "no test figures: silent for 4 s"));
    check_str(out.data, "pas de r\xc3\xa9sultats de test : silencieux pendant 4 s");
    fl_buf_reset(&out);
    check(report_words_told(
        &out, REPORT_FR,
        "training failed: the data are not those that this hospital joined the run with: another "
        "label for 0 cases, another split for 1-9, 12 new; put them back, or take part in the "
        "next run, where corrected labels belong"));
    check_has(out.data, " : les donn\xc3\xa9" "es ne sont pas celles");
    check_has(out.data, "tiquette pour 0 cas, un autre jeu pour 1-9, 12 de plus ; remettez-les");
    fl_buf_reset(&out);
    check(!report_words_told(&out, REPORT_FR, "a reason that nobody has written before"));
    check_str(out.data, "a reason that nobody has written before");
    fl_buf_reset(&out);
    check(report_words_told(&out, REPORT_EN, "anything"));
    check_str(out.data, "anything");
    fl_buf_clear(&out);
}

static void what_is_not_in_the_table_is_marked_as_english(void **state)
{
    (void)state;
    report_page out = REPORT_PAGE(REPORT_FR);
    report_told(&out, "a <new> reason");
    check_str(out.text.data, "<span lang=\"en\">a &lt;new&gt; reason</span>");
    report_page_clear(&out);
}

static void a_minus_is_no_hyphen(void **state)
{
    (void)state;
    report_page page = REPORT_PAGE(REPORT_EN);
    report_html(&page, "<p>%s, %s; %s, %s to %s, [%s, %s] (%s) at %s</p>", "-0.20", "2026-01-31",
                "7-8", "-.5", "7", "-1", "2", "-3", "saint-1");
    check_str(page.text.data, "<p>\xe2\x88\x92" "0.20, 2026-01-31; 7-8, \xe2\x88\x92.5 to 7, "
                              "[\xe2\x88\x92" "1, 2] (\xe2\x88\x92" "3) at saint-1</p>");
    report_page_clear(&page);
    page = (report_page)REPORT_PAGE(REPORT_FR);
    report_html(&page, "<p>%s</p>", "0,10 [-0,20 ; -0,05]");
    check_str(page.text.data, "<p>0,10 [\xe2\x88\x92" "0,20\xc2\xa0;\xc2\xa0\xe2\x88\x92"
                              "0,05]</p>");
    report_page_clear(&page);
}

static void numbers_are_written_as_their_language_does(void **state)
{
    (void)state;
    char text[REPORT_NUMBER_BYTES];
    check_str(report_number(text, REPORT_EN, 0.845, 2), "0.84");
    check_str(report_number(text, REPORT_FR, -1.25, 2), "-1,25");
    check_str(report_number(text, REPORT_FR, NAN, 2), "-");
    check_str(report_signed(text, REPORT_FR, 0.061, 2), "+0,06");
    check_str(report_signed(text, REPORT_FR, -0.001, 2), "0,00");
    check_str(report_short(text, REPORT_FR, 0.01), "0,01");
    check_str(report_percent(text, REPORT_EN, 0.083, 3), "8.3 %");
    check_str(report_percent(text, REPORT_FR, 0.083, 3), "8,3 %");
    check_str(report_count(text, REPORT_EN, 1234567), "1 234 567");
    check_str(report_count(text, REPORT_FR, 12345), "12\xe2\x80\xaf"
                                                    "345");
    check_str(report_bytes(text, REPORT_EN, 1.44e6), "1.4 MB");
    check_str(report_bytes(text, REPORT_FR, 1.44e6), "1,4 Mo");
    check_str(report_duration(text, REPORT_FR, 3.25), "3,2 s");
    check_str(report_duration(text, REPORT_FR, 125), "2 min 05 s");
    check_str(report_time(text, REPORT_FR, "2026-01-31T12:00:00Z"),
              "31/01/2026 \xc3\xa0 12:00 UTC");
    check_str(report_time(text, REPORT_FR, "yesterday"), "yesterday");
    json_t *figure = json_pack("{s:f, s:f, s:f}", "value", 0.84, "ci_low", 0.8, "ci_high", 0.88);
    check_str(report_figure_text(text, REPORT_FR, figure, 2, false), "0,84 [0,80 ; 0,88]");
    check_str(report_figure_text(text, REPORT_EN, figure, 2, true), "+0.84 [+0.80, +0.88]");
    json_decref(figure);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_has_its_french_and_every_french_its_message),
        cmocka_unit_test(french_takes_the_arguments_of_its_message),
        cmocka_unit_test(no_message_has_two_translations),
        cmocka_unit_test(no_english_is_left_on_french_pages),
        cmocka_unit_test(a_french_page_reads_as_french),
        cmocka_unit_test(what_programs_wrote_is_found_by_its_pattern),
        cmocka_unit_test(what_is_not_in_the_table_is_marked_as_english),
        cmocka_unit_test(a_minus_is_no_hyphen),
        cmocka_unit_test(numbers_are_written_as_their_language_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
