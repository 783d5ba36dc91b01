/*
 * tool_metrics.c - `client metrics`: figures of a predictions.csv
 *
 * Any tool's predictions will do: case, patient, label, score_0 .. score_K-1
 * and attributes, in any order of columns.  What stands behind "score_" names
 * the class, and a label is one of those names; an empty label or -1 is none.
 * One score column is a regression; label_X columns are findings of which a
 * case may have several.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/tools.h"
#include "data/formats.h"
#include "eval/cases.h"

static struct {
    bool json;
    const char *positive;
    const char *against, *metric;
    double threshold, against_threshold;
    double prevalence;
    fl_texts by;
    int64_t min_cell;
    int64_t seed;
} options = {.threshold = 0.5, .against_threshold = 0.5, .min_cell = 1, .seed = 1};

const fl_opt *client_metrics_options(void)
{
    static const fl_opt table[] = {
        {.name = "json", .kind = FL_OPT_FLAG, .help = "print JSON",
         .out = &options.json},
        {.name = "positive", .kind = FL_OPT_TEXT, .arg = "CLASS",
         .help = "the positive class, by name or code; default: the second",
         .out = &options.positive},
        {.name = "threshold", .kind = FL_OPT_NUM, .arg = "T",
         .help = "score from which a case is called positive; default 0.5",
         .out = &options.threshold, .min = 0, .max = 1},
        {.name = "against", .kind = FL_OPT_TEXT, .arg = "FILE.csv",
         .help = "another model's predictions of the same cases: prints what this one "
                 "has more, paired by case",
         .out = &options.against},
        {.name = "against-threshold", .kind = FL_OPT_NUM, .arg = "T",
         .help = "the other model's threshold; default 0.5",
         .out = &options.against_threshold, .min = 0, .max = 1},
        {.name = "metric", .kind = FL_OPT_TEXT, .arg = "NAME",
         .help = "with --against: this figure's difference alone", .out = &options.metric},
        {.name = "prevalence", .kind = FL_OPT_NUM, .arg = "R",
         .help = "of the positive class where the model is meant for: PPV and "
                 "NPV are given at it, too",
         .out = &options.prevalence, .min = 0, .max = 1},
        {.name = "by", .kind = FL_OPT_LIST, .arg = "NAME[:EDGE,..]",
         .help = "subgroups by this attribute; default: all attributes",
         .out = &options.by},
        {.name = "min-cell", .kind = FL_OPT_INT, .arg = "N",
         .help = "suppress subgroups of fewer patients; default 1: none",
         .out = &options.min_cell, .min = 1, .max = 1e9},
        {.name = "seed", .kind = FL_OPT_INT, .arg = "N",
         .help = "of the bootstrap; default 1", .out = &options.seed,
         .min = 0, .max = 9e15},
        {0},
    };
    return table;
}

/* A predictions.csv and what its columns are. */
typedef struct {
    const char *path;
    data_csv csv;
    data_spec spec;
    int label[DATA_MAX_CLASSES];  // columns; multilabel: one a class
    int score[DATA_MAX_CLASSES];
    tool_column *columns;         // attributes
    size_t n_columns;
    task_scores scores;
} predictions;

static void predictions_clear(predictions *p)
{
    for (size_t c = 0; c < p->n_columns; c++) {
        free(p->columns[c].value);
    }
    free(p->columns);
    task_scores_clear(&p->scores);
    data_csv_clear(&p->csv);
}

// ------------------------------------------------------------------- columns

static fl_status find_scores(predictions *p, fl_err *err)
{
    static const char prefix[] = "score_";
    data_spec *spec = &p->spec;
    for (size_t c = 0; c < p->csv.n_cols; c++) {
        const char *name = p->csv.header[c];
        if (strncmp(name, prefix, sizeof prefix - 1) != 0) {
            continue;
        }
        const char *class = name + sizeof prefix - 1;
        if (spec->n_classes == DATA_MAX_CLASSES || *class == '\0' ||
            strlen(class) >= DATA_NAME_BYTES) {
            return fl_fail(err, FL_EFORMAT,
                           "%s:1: expected 1 to %d score columns with names of "
                           "1 to %d bytes", p->path, DATA_MAX_CLASSES,
                           DATA_NAME_BYTES - 1);
        }
        memcpy(spec->classes[spec->n_classes], class, strlen(class) + 1);
        p->score[spec->n_classes++] = (int)c;
    }
    if (spec->n_classes == 0) {
        return fl_fail(err, FL_EFORMAT,
                       "%s:1: there is no column score_0; expected case, "
                       "patient, label, score_0, score_1 ...", p->path);
    }
    return FL_OK;
}

static fl_status find_labels(predictions *p, fl_err *err)
{
    data_spec *spec = &p->spec;
    int label = data_csv_column(&p->csv, "label");
    if (label >= 0) {
        p->label[0] = label;
        spec->task = spec->n_classes == 1 ? DATA_REGRESS : DATA_CLASSIFY;
        return FL_OK;
    }
    spec->task = DATA_MULTILABEL;
    for (size_t k = 0; k < spec->n_classes; k++) {
        char name[DATA_NAME_BYTES + 8];
        snprintf(name, sizeof name, "label_%s", spec->classes[k]);
        p->label[k] = data_csv_column(&p->csv, name);
        if (p->label[k] < 0) {
            return fl_fail(err, FL_EFORMAT,
                           "%s:1: there is no column label (or, for several "
                           "findings a case, %s)", p->path, name);
        }
    }
    return FL_OK;
}

static bool is_known_column(const predictions *p, int column)
{
    static const char *const names[] = {"case", "patient", "label"};
    const char *name = p->csv.header[column];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    for (size_t k = 0; k < p->spec.n_classes; k++) {
        if (p->score[k] == column ||
            (p->spec.task == DATA_MULTILABEL && p->label[k] == column)) {
            return true;
        }
    }
    return false;
}

static void find_attributes(predictions *p)
{
    p->columns = fl_xcalloc(p->csv.n_cols, sizeof *p->columns);
    for (size_t c = 0; c < p->csv.n_cols; c++) {
        if (is_known_column(p, (int)c)) {
            continue;
        }
        tool_column *to = &p->columns[p->n_columns++];
        to->name = p->csv.header[c];
        to->value = fl_xcalloc(p->csv.n_rows, sizeof *to->value);
        for (size_t i = 0; i < p->csv.n_rows; i++) {
            to->value[i] = p->csv.cell[i][c];
        }
    }
}

// --------------------------------------------------------------------- cells

static bool parse_number(double *out, const char *text)
{
    char *end;
    *out = strtod(text, &end);
    return *text != '\0' && *end == '\0' && isfinite(*out);
}

static fl_status bad_cell(const predictions *p, size_t row, int column,
                          const char *expected, fl_err *err)
{
    return fl_fail(err, FL_EFORMAT, "%s:%d: %s: expected %s, found %.40s",
                   p->path, p->csv.line[row], p->csv.header[column], expected,
                   p->csv.cell[row][column][0] != '\0'
                       ? p->csv.cell[row][column]
                       : "nothing");
}

static fl_status read_scores(predictions *p, size_t row, fl_err *err)
{
    const double rounding = 0.005;  // of scores printed with a few digits
    size_t K = p->spec.n_classes;
    double sum = 0;
    bool is_value = p->spec.task == DATA_REGRESS;
    for (size_t k = 0; k < K; k++) {
        double *score = &p->scores.score[row * K + k];
        if (!parse_number(score, p->csv.cell[row][p->score[k]]) ||
            (!is_value && (*score < 0 || *score > 1))) {
            return bad_cell(p, row, p->score[k],
                            is_value ? "a number" : "a number from 0 to 1", err);
        }
        sum += *score;
    }
    if (p->spec.task == DATA_CLASSIFY && fabs(sum - 1) > rounding * (double)K) {
        return fl_fail(err, FL_EFORMAT,
                       "%s:%d: the scores sum to %.6g; expected 1",
                       p->path, p->csv.line[row], sum);
    }
    return FL_OK;
}

/* The class that text names; 1.0 is code 1, too.  -1: none, -2: unknown. */
static int class_of(const data_spec *spec, const char *text)
{
    double number, code;
    bool is_number = parse_number(&number, text);
    if (*text == '\0' || (is_number && number == -1)) {
        return -1;
    }
    for (size_t k = 0; k < spec->n_classes; k++) {
        if (strcmp(spec->classes[k], text) == 0 ||
            (is_number && parse_number(&code, spec->classes[k]) &&
             code == number)) {
            return (int)k;
        }
    }
    return -2;
}

static fl_status read_label(predictions *p, size_t row, fl_err *err)
{
    if (p->spec.task == DATA_CLASSIFY) {
        int code = class_of(&p->spec, p->csv.cell[row][p->label[0]]);
        p->scores.label[row] = code;
        return code == -2 ? bad_cell(p, row, p->label[0],
                                     "a class that has a score column, or "
                                     "nothing", err)
                          : FL_OK;
    }
    for (size_t k = 0; k < p->spec.n_classes; k++) {
        const char *text = p->csv.cell[row][p->label[k]];
        double *target = &p->scores.target[row * p->spec.n_classes + k];
        *target = NAN;
        if (*text == '\0') {
            continue;
        }
        bool ok = parse_number(target, text);
        if (p->spec.task == DATA_MULTILABEL && ok && *target == -1) {
            *target = NAN;
        } else if (!ok || (p->spec.task == DATA_MULTILABEL && *target != 0 &&
                           *target != 1)) {
            return bad_cell(p, row, p->label[k],
                            p->spec.task == DATA_REGRESS ? "a number" : "0 or 1",
                            err);
        }
    }
    return FL_OK;
}

typedef struct {
    const char *text;
    size_t row;
} patient_row;

static int by_text_then_row(const void *a, const void *b)
{
    const patient_row *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order != 0 ? order : (x->row > y->row) - (x->row < y->row);
}

/* A patient's number is his first row, so that the order is the file's.
 * Without the column, and where it is empty, every case is its own patient. */
static void number_patients(predictions *p)
{
    int column = data_csv_column(&p->csv, "patient");
    size_t n = p->csv.n_rows;
    patient_row *rows = fl_xcalloc(n, sizeof *rows);
    for (size_t i = 0; i < n; i++) {
        rows[i] = (patient_row){column >= 0 ? p->csv.cell[i][column] : "", i};
    }
    qsort(rows, n, sizeof *rows, by_text_then_row);
    size_t first = 0;
    for (size_t i = 0; i < n; i++) {
        bool same = i > 0 && rows[i].text[0] != '\0' &&
                    strcmp(rows[i].text, rows[i - 1].text) == 0;
        first = same ? first : rows[i].row;
        p->scores.patient[rows[i].row] = (int64_t)first;
    }
    free(rows);
}

static fl_status read_rows(predictions *p, fl_err *err)
{
    size_t n = p->csv.n_rows;
    size_t K = p->spec.n_classes;
    size_t n_scores;
    if (!fl_size_mul(&n_scores, n, K)) {
        return fl_fail(err, FL_ELIMIT, "%s: too many rows", p->path);
    }
    p->scores.n = n;
    p->scores.K = K;
    p->scores.prevalence = options.prevalence;
    p->scores.score = fl_calloc(n_scores, sizeof(double), p->path, err);
    p->scores.target = fl_calloc(n_scores, sizeof(double), p->path, err);
    p->scores.label = fl_calloc(n, sizeof(int), p->path, err);
    p->scores.patient = fl_calloc(n, sizeof(int64_t), p->path, err);
    if (p->scores.score == NULL || p->scores.target == NULL ||
        p->scores.label == NULL || p->scores.patient == NULL) {
        return FL_ELIMIT;
    }
    for (size_t i = 0; i < n; i++) {
        fl_status st;
        if ((st = read_scores(p, i, err)) != FL_OK ||
            (st = read_label(p, i, err)) != FL_OK) {
            return st;
        }
    }
    number_patients(p);
    return FL_OK;
}

static fl_status choose_positive(data_spec *spec, fl_err *err)
{
    bool two = spec->task == DATA_CLASSIFY && spec->n_classes == 2;
    spec->positive = two ? 1 : -1;
    if (options.positive == NULL) {
        return FL_OK;
    }
    if (!two) {
        return fl_fail(err, FL_EUSAGE, "--positive: only for two classes");
    }
    return tool_find_class(&spec->positive, spec, options.positive, err);
}

static fl_status predictions_read(predictions *p, const char *path,
                                  fl_err *err)
{
    fl_status st;
    *p = (predictions){.path = path};
    if ((st = data_csv_read(&p->csv, path, true, err)) != FL_OK) {
        return st;
    }
    if (p->csv.n_rows == 0) {
        return fl_fail(err, FL_EFORMAT, "%s: there are no cases in it", path);
    }
    if ((st = find_scores(p, err)) != FL_OK ||
        (st = find_labels(p, err)) != FL_OK ||
        (st = choose_positive(&p->spec, err)) != FL_OK ||
        (st = read_rows(p, err)) != FL_OK) {
        return st;
    }
    find_attributes(p);
    return FL_OK;
}

// ------------------------------------------------------- another model's scores

typedef struct {
    const char *name;
    size_t row;
} case_row;

static int by_case(const void *a, const void *b)
{
    return strcmp(((const case_row *)a)->name, ((const case_row *)b)->name);
}

/* Rows by the name of their case, each once; caller's. */
static fl_status cases_of(case_row **out, const predictions *p, fl_err *err)
{
    int column = data_csv_column(&p->csv, "case");
    *out = NULL;
    if (column < 0) {
        return fl_fail(err, FL_EFORMAT, "%s:1: there is no column case to pair by", p->path);
    }
    case_row *rows = fl_xcalloc(p->csv.n_rows, sizeof *rows);
    for (size_t i = 0; i < p->csv.n_rows; i++) {
        rows[i] = (case_row){p->csv.cell[i][column], i};
    }
    qsort(rows, p->csv.n_rows, sizeof *rows, by_case);
    for (size_t i = 1; i < p->csv.n_rows; i++) {
        if (strcmp(rows[i].name, rows[i - 1].name) == 0) {
            fl_status st = fl_fail(err, FL_EFORMAT, "%s:%d: case %.40s is there twice", p->path,
                                   p->csv.line[rows[i].row], rows[i].name);
            free(rows);
            return st;
        }
    }
    *out = rows;
    return FL_OK;
}

static bool same_label(const predictions *a, size_t i, const predictions *b, size_t j)
{
    if (a->spec.task == DATA_CLASSIFY) {
        return a->scores.label[i] == b->scores.label[j];
    }
    double x = a->scores.target[i], y = b->scores.target[j];
    return x == y || (isnan(x) && isnan(y));
}

/* Brings the other's scores into the order of p's cases. */
static fl_status pair_cases(predictions *other, const predictions *p, fl_err *err)
{
    size_t n = p->csv.n_rows, K = p->spec.n_classes;
    case_row *mine = NULL, *theirs = NULL;
    double *score = NULL;
    fl_status st;
    if ((st = cases_of(&mine, p, err)) != FL_OK || (st = cases_of(&theirs, other, err)) != FL_OK) {
        goto done;
    }
    score = fl_xcalloc(n * K, sizeof *score);
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        if (other->csv.n_rows != n || strcmp(mine[i].name, theirs[i].name) != 0 ||
            !same_label(p, mine[i].row, other, theirs[i].row)) {
            st = fl_fail(err, FL_EFORMAT,
                         "%s and %s are not of the same cases with the same labels: see case %.40s",
                         p->path, other->path, mine[i].name);
            break;
        }
        memcpy(score + mine[i].row * K, other->scores.score + theirs[i].row * K,
               K * sizeof *score);
    }
    if (st == FL_OK) {
        memcpy(other->scores.score, score, n * K * sizeof *score);
    }
done:
    free(mine);
    free(theirs);
    free(score);
    return st;
}

static bool is_of_classes(const char *metric)
{
    for (int m = 0; m < EVAL_N_CLASS_METRICS; m++) {
        if (strcmp(eval_class_metric_names[m], metric) == 0) {
            return true;
        }
    }
    return false;
}

/* This model's figures less the other's, both on p's cases. */
static fl_status differences(eval_metrics *out, const predictions *p, const predictions *other,
                             fl_err *err)
{
    uint64_t seed = (uint64_t)options.seed;
    *out = (eval_metrics){0};
    if (p->spec.task == DATA_CLASSIFY) {
        eval_predictions old = task_predictions(&other->scores, &p->spec,
                                                options.against_threshold);
        eval_predictions new = task_predictions(&p->scores, &p->spec, options.threshold);
        old.label = new.label;
        old.patient = new.patient;
        if (options.metric == NULL) {
            eval_differences(out, &old, &new, seed);
            return FL_OK;
        }
        if (!is_of_classes(options.metric)) {
            return fl_fail(err, FL_EUSAGE, "--metric: no figure of classes is called %s",
                           options.metric);
        }
        out->n = 1;
        snprintf(out->item[0].name, sizeof out->item[0].name, "%s", options.metric);
        eval_difference(&out->item[0].figure, options.metric, &old, &new, seed);
        return FL_OK;
    }
    if (p->spec.task != DATA_REGRESS) {
        return fl_fail(err, FL_EUSAGE, "--against: several findings a case cannot be compared yet; "
                                       "give a file of one finding a case");
    }
    static const char *const errors[] = {"mae", "rmse"};
    for (size_t m = 0; m < 2; m++) {
        if (options.metric != NULL && strcmp(options.metric, errors[m]) != 0) {
            continue;
        }
        eval_metric *item = &out->item[out->n++];
        snprintf(item->name, sizeof item->name, "%s", errors[m]);
        eval_regress_difference(&item->figure, errors[m], other->scores.score, p->scores.score,
                                p->scores.target, p->scores.patient, p->scores.n, seed);
    }
    return FL_OK;
}

static bool same_columns(const predictions *a, const predictions *b)
{
    bool same = a->spec.task == b->spec.task && a->spec.n_classes == b->spec.n_classes;
    for (size_t k = 0; same && k < a->spec.n_classes; k++) {
        same = strcmp(a->spec.classes[k], b->spec.classes[k]) == 0;
    }
    return same;
}

static fl_status print_differences(const predictions *p, fl_err *err)
{
    predictions other;
    eval_metrics found;
    fl_status st = predictions_read(&other, options.against, err);
    if (st == FL_OK && !same_columns(p, &other)) {
        st = fl_fail(err, FL_EFORMAT, "%s:1: the score columns are not those of %s", other.path,
                     p->path);
    }
    if (st == FL_OK && (st = pair_cases(&other, p, err)) == FL_OK &&
        (st = differences(&found, p, &other, err)) == FL_OK) {
        if (options.json) {
            json_t *json = json_object();
            json_object_set_new(json, "differences", eval_metrics_json(&found));
            tool_print_json(json);
        } else {
            printf("%zu cases; %s less %s\n\n", p->scores.n, p->path, other.path);
            tool_print_metrics(&found);
        }
    }
    predictions_clear(&other);
    return st;
}

// -------------------------------------------------------------------- output

static fl_status print_figures(const predictions *p, fl_err *err)
{
    eval_metrics metrics;
    json_t *subgroups;
    const data_spec *spec = &p->spec;
    task_evaluate(&metrics, &p->scores, spec, options.threshold,
                  (uint64_t)options.seed);
    const task_grouped all = {.scores = &p->scores, .spec = spec, .threshold = options.threshold,
                              .min_cell = options.min_cell, .seed = (uint64_t)options.seed};
    fl_status st = tool_subgroups(&subgroups, p->columns, p->n_columns, &all, &options.by, err);
    if (st != FL_OK) {
        return st;
    }
    if (!options.json) {
        printf("%zu cases", p->scores.n);
        if (spec->positive >= 0) {
            printf(", positive: %s at %g or more",
                   spec->classes[spec->positive], options.threshold);
        }
        printf("\n\n");
        tool_print_metrics(&metrics);
        tool_print_subgroups(subgroups);
        json_decref(subgroups);
        return FL_OK;
    }
    json_t *json = json_object();
    json_object_set_new(json, "metrics", eval_metrics_json(&metrics));
    json_object_set_new(json, "subgroups", subgroups);
    tool_print_json(json);
    return FL_OK;
}

fl_status client_metrics(int argc, char **argv, fl_err *err)
{
    fl_texts files;
    predictions p;
    fl_status st = fl_cli_parse(argc, argv, client_metrics_options(), 1, 1,
                                &files, err);
    if (st != FL_OK) {
        return st;
    }
    st = predictions_read(&p, files.items[0], err);
    if (st == FL_OK) {
        st = options.against != NULL ? print_differences(&p, err) : print_figures(&p, err);
    }
    predictions_clear(&p);
    free(options.by.items);
    free(files.items);
    return st;
}
