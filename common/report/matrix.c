/*
 * matrix.c - what both pages say of the cross-site matrix beside its figures
 *
 * See parts.h: whether the models travelled, and which hospitals did not allow it.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "report/html.h"
#include "report/parts.h"
#include "report/read.h"

/* "sud (silent for 2 s) and est (...)"; caller's. */
static char *reasons_text(const report_page *out, const json_t *list)
{
    size_t n = json_array_size(list), i;
    char **items = fl_xcalloc(n, sizeof *items);
    const json_t *item;
    json_array_foreach(list, i, item) {
        char *reason = report_told_text(out, fl_json_get_string(item, "reason", "?"));
        items[i] = fl_xasprintf("%s (%s)", fl_json_get_string(item, "site", "?"), reason);
        free(reason);
    }
    char *text = report_names_text(out, (const char *const *)items, n);
    for (i = 0; i < n; i++) {
        free(items[i]);
    }
    free(items);
    return text;
}

bool report_matrix_kept(report_page *out, const json_t *report)
{
    const json_t *kept = report_at(report, "baselines", "cross_site", "kept", NULL);
    const char *why = json_string_value(report_at(report, "baselines", "cross_site", "why", NULL));
    if (why != NULL) {
        char *told = report_told_text(out, why);
        report_html(out, "<p class=\"note\">");
        report_say(out, "No hospital's own model was judged elsewhere: %s.", told);
        report_html(out, "</p>\n");
        free(told);
        return true;
    }
    if (json_array_size(kept) == 0) {
        return false;
    }
    char *reasons = reasons_text(out, kept);
    report_html(out, "<p class=\"note\">");
    report_say(out,
               "No hospital's own model was judged elsewhere, for not every hospital allows "
               "it: %s.",
               reasons);
    report_html(out, "</p>\n");
    free(reasons);
    return true;
}

void report_matrix_note(report_page *out, const json_t *report)
{
    const json_t *absent = report_at(report, "baselines", "cross_site", "absent", NULL);
    report_html(out, " ");
    if (absent == NULL) {
        report_say(out, "The simulator's: in a federation these models stay where they are, unless "
                        "every hospital lets its own leave.");
        return;
    }
    report_say(out, "Every hospital let its own model leave for this; the coordinator deleted them "
                    "when all had been judged, which others need not have done.");
    if (json_array_size(absent) > 0) {
        char *reasons = reasons_text(out, absent);
        report_html(out, " ");
        report_say(out, "Not everywhere: %s.", reasons);
        free(reasons);
    }
}
