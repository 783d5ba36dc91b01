/*
 * check_unseen.c - a site's "unseen" (check.h)
 */
#include <inttypes.h>

#include "report/check.h"
#include "report/read.h"

static fl_status is_share_figure(report_walk *w, const json_t *v)
{
    return report_is_number_figure(w, v, "accuracy", false);
}

static const report_field called_fields[] = {
    {"class", .check = report_is_text, .required = true},
    {"share", .check = is_share_figure, .required = true},
    {0},
};

static const report_field model_fields[] = {
    {"called", REPORT_LIST, .fields = called_fields, .required = true},
    {"no_finding", .check = is_share_figure},
    {0},
};

static fl_status fits_the_split(report_walk *w, const json_t *v)
{
    int64_t n = fl_json_get_int(v, "n", 0);
    return w->n_most < 0 || n <= w->n_most
               ? FL_OK
               : report_refuse(w, "%" PRId64 " cases, the split has %" PRId64, n, w->n_most);
}

static const report_field unseen_fields[] = {
    {"class", .check = report_is_text, .required = true},
    {"n", .check = report_is_count, .required = true},
    {"models", REPORT_BY_NAME, .fields = model_fields, .required = true},
    {0},
};

fl_status report_is_unseen(report_walk *w, const json_t *v)
{
    fl_status st = report_walk_fields(w, v, unseen_fields);
    return st == FL_OK ? fits_the_split(w, v) : st;
}
