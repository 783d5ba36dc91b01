/*
 * matrix.c - what both pages say of the cross-site matrix beside its figures
 *
 * See parts.h: whether the models travelled, and which hospitals did not allow it.
 */
#include <stdlib.h>

#include "report/html.h"
#include "report/parts.h"
#include "report/read.h"

/* "sud: silent for 2 s; est: ..."; caller's. */
static char *reasons_text(const report_page *out, const json_t *list)
{
    fl_buf text = FL_BUF_INIT;
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) {
        char *reason = report_told_text(out, fl_json_get_string(item, "reason", "?"));
        fl_buf_printf(&text, "%s%s: %s", i > 0 ? "; " : "", fl_json_get_string(item, "site", "?"),
                      reason);
        free(reason);
    }
    return fl_buf_take(&text);
}

bool report_matrix_kept(report_page *out, const json_t *report)
{
    const json_t *kept = report_at(report, "baselines", "cross_site", "kept", NULL);
    if (json_array_size(kept) == 0) {
        return false;
    }
    char *reasons = reasons_text(out, kept);
    report_html(out, "<p class=\"note\">");
    report_say(out,
               "No hospital's own model was judged elsewhere, for that takes every hospital's "
               "leave (%s).",
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
        report_say(out, "Not everywhere (%s).", reasons);
        free(reasons);
    }
}
