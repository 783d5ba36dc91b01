/*
 * tool_check.c - `client check-data`: a hospital's data before anyone asks
 *
 * Shows what was read, what was left out and what looks odd, and says whether
 * the data fit a job; exit code 1 when they do not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tools.h"
#include "data/sheet.h"
#include "job/job.h"

static struct {
    const char *job;
    tool_naming naming;
    const char *sheet;
    bool json;
} options;

const fl_opt *client_check_data_options(void)
{
    static const fl_opt table[] = {
        {.name = "job", .kind = FL_OPT_TEXT, .arg = "JOB.yaml",
         .help = "do the data fit this job?", .out = &options.job},
        {.name = "task", .kind = FL_OPT_TEXT, .arg = "TASK",
         .help = "of a bare .npz", .out = &options.naming.task},
        {.name = "classes", .kind = FL_OPT_TEXT, .arg = "A,B",
         .help = "of a bare .npz, in code order",
         .out = &options.naming.classes},
        {.name = "sheet", .kind = FL_OPT_TEXT, .arg = "OUT.png",
         .help = "write a contact sheet: images of every split and class",
         .out = &options.sheet},
        {.name = "json", .kind = FL_OPT_FLAG, .help = "print JSON",
         .out = &options.json},
        {0},
    };
    return table;
}

// --------------------------------------------------------------------- facts

static json_t *facts_of(const data_set *set, const char *mismatch)
{
    const data_spec *spec = data_set_spec(set);
    json_t *input = json_array();
    json_t *classes = json_array();
    for (int i = 0; i < spec->input.rank; i++) {
        json_array_append_new(input, json_integer(spec->input.dim[i]));
    }
    for (size_t k = 0; k < spec->n_classes; k++) {
        json_array_append_new(classes, json_string(spec->classes[k]));
    }
    json_t *json = json_object();
    json_object_set_new(json, "task", json_string(data_task_name(spec->task)));
    json_object_set_new(json, "input", input);
    json_object_set_new(json, "classes", classes);
    json_object_set_new(json, "reference_standard",
                        json_string(data_set_reference_standard(set)));
    json_object_set_new(json, "prevalence",
                        fl_json_number(data_set_prevalence(set)));
    json_object_set_new(json, "flow", data_set_flow(set));
    // Nothing leaves: no cell needs to be hidden from its own hospital.
    json_object_set_new(json, "table1", data_set_table1(set, 1));
    json_object_set_new(json, "problems", data_set_problems(set));
    json_object_set_new(json, "mismatch", mismatch != NULL
                                              ? json_string(mismatch)
                                              : json_null());
    return json;
}

/* A cell of table1: its n; of a finding: how many have it. */
static void print_cell(const char *name, const json_t *cell)
{
    const json_t *present = json_object_get(cell, "present");
    cell = present != NULL ? present : cell;
    int64_t n = json_is_integer(cell) ? json_integer_value(cell)
                                      : fl_json_get_int(cell, "n", -1);
    if (n > 0 || strcmp(name, "unlabelled") != 0) {
        printf("  %s %lld", name, (long long)n);
    }
}

/* "F 12  M 30", "62.1 +- 14 (n 42)" or "5 different". */
static void print_attribute(const char *name, const json_t *value)
{
    const char *key;
    json_t *cell;
    printf("    %-14s", name);
    if (json_object_get(value, "mean") != NULL) {
        printf("  %.4g +- %.3g (n %lld)", fl_json_get_number(value, "mean"),
               fl_json_get_number(value, "sd"),
               (long long)fl_json_get_int(value, "n", 0));
    } else if (json_object_get(value, "different") != NULL) {
        printf("  %lld different",
               (long long)fl_json_get_int(value, "different", 0));
    } else {
        json_object_foreach((json_t *)value, key, cell) {
            print_cell(key, cell);
        }
    }
    printf("\n");
}

static void print_split(const char *name, const json_t *split)
{
    const char *key;
    json_t *value;
    printf("  %-5s %6lld cases, %lld patients:", name,
           (long long)fl_json_get_int(split, "n", 0),
           (long long)fl_json_get_int(split, "patients", 0));
    json_object_foreach(json_object_get(split, "classes"), key, value) {
        print_cell(key, value);
    }
    printf("\n");
    if (json_object_get(split, "target") != NULL) {
        print_attribute("target", json_object_get(split, "target"));
    }
    json_object_foreach(json_object_get(split, "attributes"), key, value) {
        print_attribute(key, value);
    }
}

static void print_refused(const json_t *flow)
{
    const char *reason;
    json_t *count;
    json_object_foreach(json_object_get(flow, "refused"), reason, count) {
        printf("  left out: %lld, %s\n", (long long)json_integer_value(count),
               reason);
    }
}

static void print_facts(const data_set *set, const json_t *facts)
{
    char shape[128];
    const data_spec *spec = data_set_spec(set);
    const json_t *flow = json_object_get(facts, "flow");
    const json_t *table1 = json_object_get(facts, "table1");
    nn_shape_text(shape, sizeof shape, &spec->input);
    printf("task %s, input %s, reference standard: %s\n",
           data_task_name(spec->task), shape, data_set_reference_standard(set));
    printf("  %lld files, %lld cases, %lld patients\n",
           (long long)fl_json_get_int(flow, "files", 0),
           (long long)fl_json_get_int(flow, "cases", 0),
           (long long)fl_json_get_int(flow, "patients", 0));
    print_refused(flow);
    for (data_split split = 0; split < DATA_N_SPLITS; split++) {
        const char *name = data_split_name(split);
        print_split(name, json_object_get(table1, name));
    }
    size_t i;
    json_t *problem;
    json_array_foreach(json_object_get(facts, "problems"), i, problem) {
        printf("look at: %s (%s, %lld)\n",
               fl_json_get_string(problem, "what", ""),
               fl_json_get_string(problem, "where", ""),
               (long long)fl_json_get_int(problem, "n", 0));
    }
}

// ----------------------------------------------------------------- the check

/*
 * Opens the data as the job wants them.  When they do not fit, *mismatch says
 * why, and *set is the data as they see themselves (NULL when even that
 * fails).
 */
static fl_status open_for_job(data_set **set, fl_err *mismatch,
                              const char *path, fl_err *err)
{
    job j;
    data_spec ignored;
    fl_status st = job_read(&j, options.job, err);
    if (st != FL_OK) {
        return st;
    }
    if (data_set_open(set, path, &j.data, mismatch) == FL_OK) {
        job_check_data(*set, mismatch);
    } else if (tool_open_data(set, &ignored, path, &options.naming, NULL) !=
               FL_OK) {
        *set = NULL;
    }
    job_clear(&j);
    return FL_OK;
}

static fl_status check(const char *path, fl_err *err)
{
    data_set *set = NULL;
    data_spec ignored;
    fl_err mismatch = FL_ERR_INIT;
    fl_status st = options.job != NULL
                       ? open_for_job(&set, &mismatch, path, err)
                       : tool_open_data(&set, &ignored, path, &options.naming,
                                        err);
    if (st != FL_OK) {
        return st;
    }
    bool fits = mismatch.status == FL_OK;
    if (set != NULL && options.sheet != NULL) {
        st = data_sheet_write(set, options.sheet, err);
    }
    if (set != NULL) {
        json_t *facts = facts_of(set, fits ? NULL : mismatch.text);
        if (options.json) {
            tool_print_json(json_incref(facts));
        } else {
            print_facts(set, facts);
        }
        json_decref(facts);
    }
    data_set_destroy(&set);
    if (st != FL_OK) {
        return st;
    }
    if (!fits) {
        // A job that does not fit is an answer, not a wrong command line.
        return fl_fail(err, FL_ECONFLICT, "the data do not fit %s: %s",
                       options.job, mismatch.text);
    }
    if (options.job != NULL && !options.json) {
        printf("the data fit %s\n", options.job);
    }
    return FL_OK;
}

fl_status client_check_data(int argc, char **argv, fl_err *err)
{
    fl_texts sets;
    fl_status st = fl_cli_parse(argc, argv, client_check_data_options(), 1, 1,
                                &sets, err);
    if (st != FL_OK) {
        return st;
    }
    st = check(sets.items[0], err);
    free(sets.items);
    return st;
}
