/*
 * few.c - see few.h
 */
#include "client/few.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/contents.h"

static void hide_figures(json_t *figures, int64_t min_cell)
{
    char *why = fl_xasprintf("fewer than %" PRId64 " patients in the test split", min_cell);
    const char *name;
    json_t *figure;
    json_object_foreach(figures, name, figure) {
        json_t *hidden = json_pack("{s:n, s:n, s:n, s:n, s:n, s:n, s:s, s:s}", "value", "ci_low",
                                   "ci_high", "n", "n_positive", "n_patients", "method", "none",
                                   "why", why);
        json_object_set_new(figures, name, hidden);
    }
    free(why);
}

static bool are_few(const json_t *figures, int64_t min_cell)
{
    int64_t n = contents_patients(figures);
    return n > 0 && n < min_cell;
}

/* That a small split has one class says what its patients have. */
static void hide_problems(json_t *site, int64_t min_cell)
{
    json_t *problems = json_object_get(site, "problems");
    for (size_t i = json_array_size(problems); i-- > 0;) {
        const json_t *problem = json_array_get(problems, i);
        const char *where = fl_json_get_string(problem, "where", "");
        const json_t *split = json_object_get(json_object_get(site, "table1"), where);
        bool of_class = strcmp(fl_json_get_string(problem, "what", ""),
                               "a split with a single class") == 0;
        if (of_class && fl_json_get_int(split, "patients", min_cell) < min_cell) {
            json_array_remove(problems, i);
        }
    }
}

void few_hide(json_t *site, int64_t min_cell)
{
    static const char *const lists[] = {"subgroups", "disparities", "by_class", "calibration",
                                        "decision"};
    static const char *const others[] = {"confusion", "histogram", "uncertainty", "annotators",
                                         "unseen", "shift", "robustness"};
    json_t *models = json_object_get(site, "models"), *figures;
    const char *name;
    hide_problems(site, min_cell);
    // Dice, say, rests on the cases with something to outline, and uncertainty is of these alone.
    json_t *error = json_object_get(json_object_get(site, "uncertainty"), "error");
    int64_t n_judged = fl_json_get_int(error, "n_patients", 0);
    if (n_judged > 0 && n_judged < min_cell) {
        json_object_del(site, "uncertainty");
    }
    if (!are_few(json_object_get(models, "global"), min_cell)) {
        return;
    }
    json_object_foreach(models, name, figures) {
        hide_figures(figures, min_cell);
    }
    hide_figures(json_object_get(site, "benefit"), min_cell);
    hide_figures(json_object_get(site, "personal_gain"), min_cell);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        json_array_clear(json_object_get(site, lists[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        json_object_del(site, others[i]);
    }
}
