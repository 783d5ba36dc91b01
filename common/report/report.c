/*
 * report.c - all files of a run's report, and the report as one site sees it
 */
#include "report/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"
#include "report/figures.h"
#include "report/read.h"

/* ------------------------------------------------------------- every file */

const char *report_page_suffix(report_language language)
{
    return language == REPORT_EN ? ".html" : ".fr.html";
}

static fl_status write_site_page(const json_t *report, const char *site, report_language language,
                                 report_figures *figures, const char *dir, fl_err *err)
{
    char *path = fl_xasprintf("%s/sites/%s%s", dir, site, report_page_suffix(language));
    fl_status st = report_write_site_with(report, site, language, figures, path, err);
    free(path);
    return st;
}

static fl_status write_tables(const json_t *report, const char *dir, fl_err *err)
{
    char *json = fl_path_join(dir, "report.json"), *rounds = fl_path_join(dir, "rounds.csv");
    char *sites = fl_path_join(dir, "sites.csv");
    fl_status st;
    if ((st = fl_json_write(report, json, err)) == FL_OK &&
        (st = report_write_rounds_csv(report, rounds, err)) == FL_OK) {
        st = report_write_sites_csv(report, sites, err);
    }
    free(json);
    free(rounds);
    free(sites);
    return st;
}

static fl_status write_pages(const json_t *report, report_language language,
                             report_figures *figures, const char *dir, fl_err *err)
{
    char *index = fl_xasprintf("%s/index%s", dir, report_page_suffix(language));
    char *sites = fl_path_join(dir, "sites");
    fl_status st;
    size_t i;
    const json_t *site;
    if ((st = fl_mkdirs(sites, 0755, err)) == FL_OK) {
        st = report_write_index_with(report, language, figures, index, err);
    }
    json_array_foreach(json_object_get(report, "sites"), i, site) {
        if (st == FL_OK) {
            st = write_site_page(report, report_site_name(site), language, figures, dir, err);
        }
    }
    free(index);
    free(sites);
    return st;
}

static fl_status write_all(const json_t *report, report_language language, report_figures *figures,
                           const char *dir, fl_err *err)
{
    fl_status st = report_check(report, err);
    if (st != FL_OK) {
        return fl_wrap(err, st, "report of %s", dir);
    }
    if ((st = fl_mkdirs(dir, 0755, err)) == FL_OK &&
        (st = write_tables(report, dir, err)) == FL_OK) {
        st = write_pages(report, language, figures, dir, err);
    }
    return st;
}

fl_status report_write_all(const json_t *report, report_language language, const char *dir,
                           fl_err *err)
{
    return write_all(report, language, NULL, dir, err);
}

fl_status report_write_all_figures(const json_t *report, report_language language, const char *dir,
                                   fl_err *err)
{
    report_figures *figures = report_figures_new();
    char *folder = fl_path_join(dir, "figures");
    fl_status st = write_all(report, language, figures, dir, err);
    if (st == FL_OK) {
        st = report_figures_write(figures, language, folder, err);
    }
    report_figures_destroy(&figures);
    free(folder);
    return st;
}

/* ------------------------------------------------------- names and codes */

typedef struct {
    char **name;  // sorted; the code of name[i] is H<i + 1>
    size_t n;
    const char *own;  // keeps its name
} codes;

static void codes_add(codes *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->name[i], name) == 0) {
            return;
        }
    }
    c->name = fl_xrealloc(c->name, ++c->n, sizeof *c->name);
    c->name[c->n - 1] = fl_xstrdup(name);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every hospital that a report can name. */
static codes codes_new(const json_t *report, const char *own)
{
    codes c = {.own = own};
    size_t i, k;
    const json_t *item, *part;
    json_array_foreach(json_object_get(report, "sites"), i, item) {
        codes_add(&c, report_site_name(item));
    }
    json_array_foreach(json_object_get(report, "absent"), i, item) {
        codes_add(&c, fl_json_get_string(item, "site", ""));
    }
    json_array_foreach(json_object_get(report, "rounds"), i, item) {
        json_array_foreach(json_object_get(item, "participants"), k, part) {
            codes_add(&c, json_string_value(part));
        }
        json_array_foreach(json_object_get(item, "absent"), k, part) {
            codes_add(&c, fl_json_get_string(part, "site", ""));
        }
    }
    const char *name;
    json_t *text;
    report_each_member(report_at(report, "environment", "sites", NULL), name, text) {
        codes_add(&c, name);
    }
    if (c.n > 0) {
        qsort(c.name, c.n, sizeof *c.name, by_text);
    }
    return c;
}

static void codes_clear(codes *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->name[i]);
    }
    free(c->name);
}

static void code_of(char out[static 32], const codes *c, const char *name)
{
    snprintf(out, 32, "H?");
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->name[i], name) == 0) {
            snprintf(out, 32, "H%zu", i + 1);
        }
    }
}

static json_t *coded(const codes *c, const char *name)
{
    char code[32];
    code_of(code, c, name);
    return json_string(strcmp(name, c->own) == 0 ? name : code);
}

static void code_member(json_t *object, const char *key, const codes *c)
{
    const json_t *name = json_object_get(object, key);
    if (json_is_string(name)) {
        json_object_set_new(object, key, coded(c, json_string_value(name)));
    }
}

static void code_list(json_t *list, const codes *c)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *name = json_array_get(list, i);
        if (json_is_string(name)) {
            json_array_set_new(list, i, coded(c, json_string_value(name)));
        }
    }
}

static void code_keys(json_t *parent, const char *key, const codes *c)
{
    const json_t *object = json_object_get(parent, key);
    if (!json_is_object(object)) {
        return;
    }
    json_t *renamed = json_object();
    const char *name;
    json_t *value;
    report_each_member(object, name, value) {
        json_t *code = coded(c, name);
        json_object_set(renamed, json_string_value(code), value);
        json_decref(code);
    }
    json_object_set_new(parent, key, renamed);
}

static bool in_name(char c)
{
    return c != '\0' && strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", c) != NULL;
}

/* Whole words that are another hospital's name, in a sentence. */
static void code_words(json_t *object, const char *key, const codes *c)
{
    const char *text = fl_json_get_string(object, key, NULL);
    if (text == NULL) {
        return;
    }
    fl_buf out = FL_BUF_INIT;
    while (*text != '\0') {
        size_t n = 0;
        while (in_name(text[n])) {
            n++;
        }
        char *word = fl_xstrndup(text, n > 0 ? n : 1), code[32];
        code_of(code, c, word);
        bool name = n > 0 && strcmp(code, "H?") != 0 && strcmp(word, c->own) != 0;
        fl_buf_puts(&out, name ? code : word);
        free(word);
        text += n > 0 ? n : 1;
    }
    json_object_set_new(object, key, json_string(out.n > 0 ? out.data : ""));
    fl_buf_clear(&out);
}

static void code_absences(json_t *list, const codes *c)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        code_member(item, "site", c);
        code_words(item, "reason", c);
    }
}

/* Another hospital's figures stay; its own words and population do not. */
static void code_site(json_t *site, const codes *c)
{
    static const char *const own_words[] = {"problems", "reference_standard", "table1", "flow"};
    if (strcmp(report_site_name(site), c->own) != 0) {
        for (size_t i = 0; i < sizeof own_words / sizeof own_words[0]; i++) {
            json_object_del(site, own_words[i]);
        }
    }
    code_member(site, "name", c);
}

static void code_environment(json_t *environment, const codes *c)
{
    const json_t *own = report_at(environment, "sites", c->own, NULL);
    if (json_object_get(environment, "sites") != NULL) {
        json_t *sites = json_object();
        if (own != NULL) {
            json_object_set(sites, c->own, (json_t *)(uintptr_t)own);
        }
        json_object_set_new(environment, "sites", sites);
    }
}

static void code_pooled(json_t *pooled, const codes *c)
{
    static const char *const over_sites[] = {"across_sites", "benefit_across_sites"};
    code_list(json_object_get(pooled, "missing"), c);
    for (size_t k = 0; k < 2; k++) {
        const char *metric;
        json_t *summary;
        report_each_member(json_object_get(pooled, over_sites[k]), metric, summary) {
            code_list(json_object_get(summary, "left_out"), c);
        }
    }
}

static void code_baselines(json_t *baselines, const codes *c)
{
    static const char *const by_site[] = {"centralised", "leave_one_out", "cross_site",
                                          "ensemble", "snapshot"};
    json_t *matrix = json_object_get(baselines, "cross_site");
    const char *row;
    json_t *columns;
    report_each_member(json_object_get(matrix, "sites"), row, columns) {
        code_keys(json_object_get(matrix, "sites"), row, c);
    }
    code_list(json_object_get(matrix, "missing"), c);
    code_absences(json_object_get(matrix, "absent"), c);
    code_absences(json_object_get(matrix, "kept"), c);
    for (size_t k = 0; k < sizeof by_site / sizeof *by_site; k++) {
        code_keys(json_object_get(baselines, by_site[k]), "sites", c);
    }
}

json_t *report_for_site(const json_t *report, const char *site)
{
    json_t *copy = json_deep_copy(report);
    if (strcmp(fl_json_get_string(report, "names", "real"), "codes") != 0) {
        return copy;
    }
    codes c = codes_new(report, site);
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(copy, "sites"), i, item) {
        code_site(item, &c);
    }
    json_array_foreach(json_object_get(copy, "rounds"), i, item) {
        code_list(json_object_get(item, "participants"), &c);
        code_list(json_object_get(item, "chosen"), &c);
        code_absences(json_object_get(item, "absent"), &c);
        code_absences(json_object_get(item, "carried"), &c);
        code_keys(item, "steps", &c);
        code_keys(json_object_get(item, "validation"), "sites", &c);
    }
    code_absences(json_object_get(copy, "absent"), &c);
    code_pooled(json_object_get(copy, "pooled"), &c);
    code_baselines(json_object_get(copy, "baselines"), &c);
    code_member(json_object_get(copy, "fairness"), "worst_site", &c);
    code_environment(json_object_get(copy, "environment"), &c);
    json_array_foreach(json_object_get(json_object_get(copy, "security"), "refusals"), i, item) {
        json_object_del(item, "address");
        code_words(item, "what", &c);
        code_words(item, "reason", &c);
    }
    codes_clear(&c);
    return copy;
}
