/*
 * check_annotators.c - a site's "annotators" (check.h)
 */
#include <string.h>

#include "report/check.h"
#include "report/read.h"

static fl_status is_dice(report_walk *w, const json_t *v)
{
    return report_is_number_figure(w, v, "dice", false);
}

static fl_status is_dice_difference(report_walk *w, const json_t *v)
{
    return report_is_number_figure(w, v, "dice", true);
}

/* With a figure, or hidden and a reason. */
static fl_status is_shown_or_hidden(report_walk *w, const json_t *v)
{
    bool shown = json_object_get(v, "dice") != NULL;
    return shown || fl_json_get_string(v, "why", "")[0] != '\0'
               ? FL_OK
               : report_refuse(w, "without dice and without a reason (why)");
}

static fl_status is_verdict(report_walk *w, const json_t *v)
{
    const char *text = json_string_value(v);
    bool known = text != NULL && (strcmp(text, "as well") == 0 || strcmp(text, "less well") == 0 ||
                                  strcmp(text, "cannot tell") == 0);
    return known ? FL_OK : report_wrong(w, v, "as well, less well or cannot tell");
}

static const report_field pair_fields[] = {
    {"a", .check = report_is_text, .required = true},
    {"b", .check = report_is_text, .required = true},
    {"n", .check = report_is_count},
    {"dice", .check = is_dice},
    {"why", .check = report_is_text},
    {0},
};

static const report_field model_fields[] = {
    {"annotator", .check = report_is_text, .required = true},
    {"n", .check = report_is_count},
    {"dice", .check = is_dice},
    {"why", .check = report_is_text},
    {0},
};

static const report_field consensus_fields[] = {
    {"n", .check = report_is_count},
    {"dice", .check = is_dice},
    {"why", .check = report_is_text},
    {0},
};

static const report_field comparison_fields[] = {
    {"margin", .check = report_is_positive, .required = true},
    {"verdict", .check = is_verdict, .required = true},
    {"n", .check = report_is_count},
    {"human", .check = is_dice},
    {"model", .check = is_dice},
    {"difference", .check = is_dice_difference},
    {"why", .check = report_is_text},
    {0},
};

const report_field report_annotators_fields[] = {
    {"annotators", .check = report_is_count, .required = true},
    {"pairs", REPORT_LIST, .fields = pair_fields, .check = is_shown_or_hidden, .required = true},
    {"model", REPORT_LIST, .fields = model_fields, .check = is_shown_or_hidden, .required = true},
    {"consensus", .fields = consensus_fields, .check = is_shown_or_hidden, .required = true},
    {"comparison", .fields = comparison_fields, .required = true},
    {0},
};
