/*
 * cfg_get.c - typed values out of a document, and the reference of all keys
 */
#include "base/cfg_doc.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

// ---------------------------------------------------------------- reference

/* Prints one line of the reference, once a path. */
void cfg_describe(fl_node n, const char *type, const char *range, const char *dflt,
                  const char *help)
{
    fl_cfg *c = n.cfg;
    fl_buf path = FL_BUF_INIT;
    cfg_add_path(c, n.id, &path);
    bool is_new = path.n > 0;
    for (size_t i = 0; i < c->n_described && is_new; i++) {
        is_new = strcmp(c->described[i], path.data) != 0;
    }
    if (is_new) {
        c->described = fl_xrealloc(c->described, c->n_described + 1, sizeof *c->described);
        c->described[c->n_described++] = cfg_keep(c, path.data);
        fprintf(c->describe, "%-34s %-13s %-24s %-12s %s\n", path.data, type, range, dflt,
                help != NULL ? help : "");
    }
    fl_buf_clear(&path);
}

// ------------------------------------------------------------------ getters

/* Absent or null, so that the default holds; complains when it may not. */
static bool takes_default(fl_node n, bool required)
{
    if (cfg_node(n) != NULL && !fl_cfg_is_null(n)) {
        return false;
    }
    if (required && !cfg_complain_misspelt(n)) {
        cfg_complain(n, "is required");
    }
    return true;
}

/* The text of an unquoted scalar, or NULL. */
static const char *plain_text(fl_node n)
{
    const yaml_node_t *node = cfg_node(n);
    bool plain = node != NULL && node->type == YAML_SCALAR_NODE &&
                 node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return plain ? cfg_scalar(node) : NULL;
}

bool cfg_parse_int(int64_t *out, const char *text)
{
    if (text == NULL || *text == '\0' || strspn(text, "+-0123456789") != strlen(text)) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

/* Decimal and finite: strtod alone would also take "nan", "inf" and "0x1". */
static bool parse_num(double *out, const char *text)
{
    if (text == NULL || *text == '\0' || strspn(text, "+-.eE0123456789") != strlen(text)) {
        return false;
    }
    char *end = NULL;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

enum { RANGE_TEXT = 96 };

static void int_range(char *out, int64_t min, int64_t max)
{
    if (min == INT64_MIN && max == INT64_MAX) {
        out[0] = '\0';
    } else if (max == INT64_MAX) {
        snprintf(out, RANGE_TEXT, "of at least %lld", (long long)min);
    } else if (min == INT64_MIN) {
        snprintf(out, RANGE_TEXT, "of at most %lld", (long long)max);
    } else {
        snprintf(out, RANGE_TEXT, "from %lld to %lld", (long long)min, (long long)max);
    }
}

static void num_range(char *out, double min, double max)
{
    if (isinf(min) && isinf(max)) {
        out[0] = '\0';
    } else if (isinf(max)) {
        snprintf(out, RANGE_TEXT, "of at least %.10g", min);
    } else if (isinf(min)) {
        snprintf(out, RANGE_TEXT, "of at most %.10g", max);
    } else {
        snprintf(out, RANGE_TEXT, "from %.10g to %.10g", min, max);
    }
}

/* "from 1 to 3" -> " from 1 to 3", "" -> "". */
static const char *space_before(const char *range)
{
    return range[0] != '\0' ? " " : "";
}

static bool read_int(int64_t *out, fl_node n, int64_t min, int64_t max)
{
    if (cfg_parse_int(out, plain_text(n)) && *out >= min && *out <= max) {
        return true;
    }
    char range[RANGE_TEXT];
    int_range(range, min, max);
    cfg_complain(n, "expected a whole number%s%s, found %s", space_before(range), range,
                 cfg_found(n));
    return false;
}

static bool read_num(double *out, fl_node n, double min, double max)
{
    if (parse_num(out, plain_text(n)) && *out >= min && *out <= max) {
        return true;
    }
    char range[RANGE_TEXT];
    num_range(range, min, max);
    cfg_complain(n, "expected a number%s%s, found %s", space_before(range), range, cfg_found(n));
    return false;
}

int64_t fl_cfg_int(fl_node map, const char *key, int64_t min, int64_t max, int64_t dflt,
                   const char *help)
{
    bool required = dflt == FL_CFG_REQUIRED;
    int64_t fallback = required ? min : dflt;
    fl_node n = cfg_child(map, key);
    if (cfg_describing(n)) {
        char range[RANGE_TEXT];
        char text[32] = "required";
        int_range(range, min, max);
        if (!required) {
            snprintf(text, sizeof text, "%lld", (long long)dflt);
        }
        cfg_describe(n, "whole number", range, text, help);
        return fallback;
    }
    int64_t value;
    if (takes_default(n, required) || !read_int(&value, n, min, max)) {
        return fallback;
    }
    return value;
}

double fl_cfg_num(fl_node map, const char *key, double min, double max, double dflt,
                  const char *help)
{
    bool required = dflt == FL_CFG_REQUIRED_NUM;
    double fallback = required ? min : dflt;
    fl_node n = cfg_child(map, key);
    if (cfg_describing(n)) {
        char range[RANGE_TEXT];
        char text[32] = "required";
        num_range(range, min, max);
        if (!required) {
            snprintf(text, sizeof text, "%.10g", dflt);
        }
        cfg_describe(n, "number", range, text, help);
        return fallback;
    }
    double value;
    if (takes_default(n, required) || !read_num(&value, n, min, max)) {
        return fallback;
    }
    return value;
}

bool fl_cfg_bool(fl_node map, const char *key, bool dflt, const char *help)
{
    fl_node n = cfg_child(map, key);
    if (cfg_describing(n)) {
        cfg_describe(n, "true or false", "", dflt ? "true" : "false", help);
        return dflt;
    }
    if (takes_default(n, false)) {
        return dflt;
    }
    const char *text = plain_text(n);
    bool is_true = text != NULL && strcmp(text, "true") == 0;
    if (!is_true && (text == NULL || strcmp(text, "false") != 0)) {
        cfg_complain(n, "expected true or false, found %s", cfg_found(n));
        return dflt;
    }
    return is_true;
}

static bool is_required_text(const char *dflt)
{
    return dflt != NULL && strcmp(dflt, FL_CFG_REQUIRED_TEXT) == 0;
}

/* The text of a scalar, or NULL after a complaint. */
static const char *read_text(fl_node n)
{
    if (!cfg_is_type(n, YAML_SCALAR_NODE)) {
        cfg_complain(n, "expected a text, found %s", cfg_found(n));
        return NULL;
    }
    return cfg_scalar(cfg_node(n));
}

/* ${VARS} expanded and relative to the document; NULL after a complaint. */
static const char *resolve_path(fl_node n, const char *text)
{
    fl_err why = FL_ERR_INIT;
    char *expanded = NULL;
    if (fl_expand_env(&expanded, text, &why) != FL_OK) {
        cfg_complain(n, "%s", why.text);
        return NULL;
    }
    char *joined = strcmp(n.cfg->dir, ".") == 0 ? fl_xstrdup(expanded)
                                                : fl_path_join(n.cfg->dir, expanded);
    const char *path = cfg_keep(n.cfg, joined);
    free(joined);
    free(expanded);
    return path;
}

const char *fl_cfg_text(fl_node map, const char *key, const char *dflt, const char *help)
{
    bool required = is_required_text(dflt);
    const char *fallback = required ? "" : dflt;
    fl_node n = cfg_child(map, key);
    if (cfg_describing(n)) {
        cfg_describe(n, "text", "", required ? "required" : dflt != NULL ? dflt : "none", help);
        return fallback;
    }
    if (takes_default(n, required)) {
        return fallback;
    }
    const char *text = read_text(n);
    return text != NULL ? text : fallback;
}

const char *fl_cfg_path(fl_node map, const char *key, const char *dflt, const char *help)
{
    bool required = is_required_text(dflt);
    const char *fallback = required ? "" : dflt;
    fl_node n = cfg_child(map, key);
    if (cfg_describing(n)) {
        cfg_describe(n, "path", "", required ? "required" : dflt != NULL ? dflt : "none", help);
        return fallback;
    }
    const char *text = takes_default(n, required) ? fallback : read_text(n);
    if (text == NULL || text[0] == '\0' || n.cfg == NULL) {
        return fallback;
    }
    const char *path = resolve_path(n, text);
    return path != NULL ? path : fallback;
}

/* "a, b or c" */
static void list_words(fl_buf *out, const char *const *words, const char *last_join)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        const char *join = words[i + 1] == NULL ? last_join : ", ";
        fl_buf_printf(out, "%s%s", i == 0 ? "" : join, words[i]);
    }
}

int fl_cfg_choice(fl_node map, const char *key, const char *const *words, int dflt,
                  const char *help)
{
    bool required = dflt < 0;
    int fallback = required ? 0 : dflt;
    fl_node n = cfg_child(map, key);
    fl_buf list = FL_BUF_INIT;
    if (cfg_describing(n)) {
        list_words(&list, words, ", ");
        cfg_describe(n, "one of", list.data, required ? "required" : words[dflt], help);
        fl_buf_clear(&list);
        return fallback;
    }
    if (takes_default(n, required)) {
        return fallback;
    }
    const yaml_node_t *node = cfg_node(n);
    for (int i = 0; node->type == YAML_SCALAR_NODE && words[i] != NULL; i++) {
        if (strcmp(cfg_scalar(node), words[i]) == 0) {
            return i;
        }
    }
    list_words(&list, words, " or ");
    cfg_complain(n, "expected %s, found %s", list.data, cfg_found(n));
    fl_buf_clear(&list);
    return fallback;
}

static const struct {
    const char *name;
    int64_t ms;
} duration_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

/* In the largest unit that is whole: "90s", "2h". */
static void duration_text(char *out, size_t n, int64_t ms)
{
    size_t unit = sizeof duration_units / sizeof *duration_units - 1;
    while (unit > 0 && (ms == 0 || ms % duration_units[unit].ms != 0)) {
        unit--;
    }
    snprintf(out, n, "%lld%s", (long long)(ms / duration_units[unit].ms),
             duration_units[unit].name);
}

static bool parse_duration(int64_t *out_ms, const char *text)
{
    if (text == NULL) {
        return false;
    }
    size_t digits = strspn(text, "0123456789.");
    int64_t unit_ms = text[digits] == '\0' ? 1000 : 0;
    for (size_t i = 0; i < sizeof duration_units / sizeof *duration_units; i++) {
        if (strcmp(text + digits, duration_units[i].name) == 0) {
            unit_ms = duration_units[i].ms;
        }
    }
    char number[32];
    double value;
    if (unit_ms == 0 || digits >= sizeof number) {
        return false;
    }
    memcpy(number, text, digits);
    number[digits] = '\0';
    if (!parse_num(&value, number) || value * (double)unit_ms > 1e15) {
        return false;
    }
    *out_ms = (int64_t)rint(value * (double)unit_ms);
    return true;
}

int64_t fl_cfg_duration_ms(fl_node map, const char *key, int64_t min, int64_t max, int64_t dflt,
                           const char *help)
{
    bool required = dflt == FL_CFG_REQUIRED;
    int64_t fallback = required ? min : dflt;
    fl_node n = cfg_child(map, key);
    char low[32];
    char high[32];
    duration_text(low, sizeof low, min);
    duration_text(high, sizeof high, max);
    if (cfg_describing(n)) {
        char range[RANGE_TEXT];
        char text[32] = "required";
        snprintf(range, sizeof range, "from %s to %s", low, high);
        if (!required) {
            duration_text(text, sizeof text, dflt);
        }
        cfg_describe(n, "duration", range, text, help);
        return fallback;
    }
    if (takes_default(n, required)) {
        return fallback;
    }
    int64_t ms;
    if (!parse_duration(&ms, plain_text(n)) || ms < min || ms > max) {
        cfg_complain(n, "expected a duration such as 90s, 10m or 2h from %s to %s, found %s", low,
                     high, cfg_found(n));
        return fallback;
    }
    return ms;
}

// ------------------------------------------------------- the node as a value

int64_t fl_node_int(fl_node n, int64_t min, int64_t max, const char *what)
{
    int64_t value;
    if (cfg_describing(n)) {
        char range[RANGE_TEXT];
        int_range(range, min, max);
        cfg_describe(n, "whole number", range, "", what);
        return min;
    }
    return read_int(&value, n, min, max) ? value : min;
}

double fl_node_num(fl_node n, double min, double max, const char *what)
{
    double value;
    if (cfg_describing(n)) {
        char range[RANGE_TEXT];
        num_range(range, min, max);
        cfg_describe(n, "number", range, "", what);
        return min;
    }
    return read_num(&value, n, min, max) ? value : min;
}

const char *fl_node_text(fl_node n, const char *what)
{
    if (cfg_describing(n)) {
        cfg_describe(n, "text", "", "", what);
        return "";
    }
    const char *text = read_text(n);
    return text != NULL ? text : "";
}

const char *fl_node_path(fl_node n, const char *what)
{
    if (cfg_describing(n)) {
        cfg_describe(n, "path", "", "", what);
        return "";
    }
    const char *text = read_text(n);
    const char *path = text != NULL && text[0] != '\0' ? resolve_path(n, text) : NULL;
    return path != NULL ? path : "";
}
