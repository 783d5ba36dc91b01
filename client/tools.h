/*
 * tools.h - the client's local work: no federation, nothing leaves
 *
 * Each command has a run function and its options for --help.  What they
 * share (opening data and models, figures as text) is at the end.
 * Threads: commands run on the main thread, one a process.
 */
#ifndef CLIENT_TOOLS_H
#define CLIENT_TOOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cli.h"
#include "base/err.h"
#include "base/json.h"
#include "data/dataset.h"
#include "data/label_map.h"
#include "eval/eval.h"
#include "task/members.h"
#include "task/ood.h"
#include "task/task.h"

fl_status client_check_data(int argc, char **argv, fl_err *err);
fl_status client_inspect(int argc, char **argv, fl_err *err);
fl_status client_train(int argc, char **argv, fl_err *err);
fl_status client_evaluate(int argc, char **argv, fl_err *err);
fl_status client_predict(int argc, char **argv, fl_err *err);
fl_status client_explain(int argc, char **argv, fl_err *err);
fl_status client_metrics(int argc, char **argv, fl_err *err);
fl_status client_keys(int argc, char **argv, fl_err *err);

const fl_opt *client_check_data_options(void);
const fl_opt *client_inspect_options(void);
const fl_opt *client_train_options(void);
const fl_opt *client_evaluate_options(void);
const fl_opt *client_predict_options(void);
const fl_opt *client_explain_options(void);
const fl_opt *client_metrics_options(void);

// ------------------------------------------------------ tool_open.c: opening

/* What a bare .npz does not say of itself, as on the command line. */
typedef struct {
    const char *task;      // "classify"; NULL = not said
    const char *classes;   // "malignant,benign"; NULL = not said
    const char *positive;  // a class's name or code; NULL = not said
} tool_naming;

/* Opens DATASET.  spec: what it is, with the positive class that was named.
 * FL_EUSAGE when the naming itself is odd. */
fl_status tool_open_data(data_set **out, data_spec *spec, const char *path,
                         const tool_naming *naming, fl_err *err);

/*
 * Opens DATASET for a model: class codes are the model's, attributes the data
 * set's.  A model whose file names no classes takes the data set's.
 */
fl_status tool_open_for_model(data_set **out, data_spec *spec, task_model *m,
                              const char *path, fl_err *err);

/*
 * A model of an .onnx file; or of a .safetensors with the network and threshold of graph's
 * file, whose parameters it must have.  FL_EUSAGE where graph is NULL then.
 * *params: the caller's.
 */
fl_status tool_read_model(task_model **model, float **params, const char *path, const char *graph,
                          fl_err *err);

/* The class called text, or whose code it is; FL_EUSAGE names the classes. */
fl_status tool_find_class(int *out, const data_spec *spec, const char *text,
                          fl_err *err);

/* FL_EUSAGE unless text is train, val or test. */
fl_status tool_find_split(data_split *out, const char *text, fl_err *err);

/* The folder that path will be written to exists: asked before an hour of
 * training, not after. */
fl_status tool_can_write(const char *path, fl_err *err);

// --------------------------------------------------- tool_groups.c: subgroups

/* An attribute of n cases, as text; "" = unknown. */
typedef struct {
    const char *name;
    const char **value;  // (n), the array is owned, the texts borrowed
} tool_column;

/*
 * Metrics by subgroup, as report.json's "subgroups"; new reference in *out.
 * by: "sex" or "age:40,60,80" each; none = every column.  A number with many
 * values that has no edges is cut at its quartiles.
 */
fl_status tool_subgroups(json_t **out, const tool_column *columns,
                         size_t n_columns, const task_grouped *all,
                         const fl_texts *by, fl_err *err);

// ------------------------------------------------- tool_doubt.c: uncertainty

typedef struct {
    task_members members;
    double refer;         // share of cases that a second reader can take
    double target_error;  // to reach by referring; NaN: half the error of all
    uint64_t seed;
    int threads;
    double alpha;           // classify: conformal sets miss the label as often; 0: no sets
    const fl_texts *shift;  // CHAIN[:1-5] that all is judged under again; NULL: none
    const task_scored *against;  // of the same cases, to hold the mean against; or NULL
    bool explained;         // segment: do the uncertain pixels lie where the model looked?
} tool_doubt;

/* --uncertainty HOW: FL_EUSAGE as task_members_parse. */
fl_status tool_doubt_parse(tool_doubt *out, const char *how, fl_err *err);

/* How the validation split's cases set the limit from which one is flagged: NaN
 * where there are none, or they are what is judged, and *why says so. */
fl_status tool_doubt_limit(double *limit, const char **why, const tool_doubt *d,
                           const task_member *models, size_t n_models, const data_set *set,
                           data_split split, fl_err *err);

/* Metrics of the members' mean, report.json's "uncertainty", and the mean's metrics less
 * those of what it is held against, as {"metrics", "uncertainty", "differences"}; new
 * reference. */
fl_status tool_doubt_judge(json_t **out, eval_metrics *metrics, const tool_doubt *d,
                           const task_member *models, size_t n_models, const data_set *set,
                           const data_spec *spec, data_split split, double threshold, fl_err *err);

void tool_print_doubt(const json_t *uncertainty);

// ---------------------------------------------- tool_ensemble.c: several models

typedef struct {
    const char *const *path;  // (n) as tool_read_model
    size_t n;
    const char *graph, *data;
    data_split split;
    double threshold;  // NaN: the mean of those in the models' files, else 0.5
    const data_label_map *map;  // of the data's labels; NULL: they are the models' classes
    const tool_doubt *doubt;
    bool prints;  // text for people
} tool_ensemble;

/* {"model", "split", "n", "threshold"} and tool_doubt_judge's of the models' mean, held
 * against the first; new reference. */
fl_status tool_ensemble_judge(json_t **out, const tool_ensemble *e, fl_err *err);

// ------------------------------------------- tool_annotators.c: several of them

/* report.json's "annotators"; nothing for NULL. */
void tool_print_annotators(const json_t *annotators);

// ----------------------------------------- tool_map.c: labels of their own

/*
 * As tool_open_for_model, of a data set whose labels the map brings to the model's classes.
 * *labels: what became of them, as data_set_map_labels; new reference.  Fails as that, or
 * where no case of the split is left.
 */
fl_status tool_open_mapped(data_set **out, data_spec *spec, json_t **labels, const task_model *m,
                           const char *path, const data_label_map *map, data_split split,
                           fl_err *err);
/* A line a label, with its cases of the split; nothing for NULL. */
void tool_print_labels(const json_t *labels, const data_label_map *map, data_split split);

// ------------------------------------ tool_ood.c: unlike what a model learnt from

/* --reference DATASET, fitted. */
typedef struct {
    const char *path;  // borrowed
    data_set *set;
    task_ood *ood;
} tool_reference;

/* split: whose cases are compared with.  Fails as tool_open_for_model and task_ood_new. */
fl_status tool_reference_open(tool_reference *out, task_model *m, const float *params,
                              const char *path, data_split split, int threads, fl_err *err);
void tool_reference_clear(tool_reference *r);  // fine when it is empty

/* Opens DATASET for a model, or, where its classes are others, as it sees itself: *own_classes.
 * FL_ECONFIG when its inputs are not the model's. */
fl_status tool_open_given(data_set **out, data_spec *spec, bool *own_classes, task_model *m,
                          const char *path, fl_err *err);
bool tool_same_files(const char *a, const char *b);

/* Of task_ood_judge, with "reference", its path; nothing for NULL. */
void tool_print_outside(const json_t *outside);

// --------------------------------------------------- tool_shift.c: robustness

/* What every --shift CHAIN[:1-5] names, and the severities, which are 1 to 5 unless said
 * and the same for all.  FL_EUSAGE and FL_EUNSUPPORTED as data_shift_curves_add. */
fl_status tool_find_shifts(data_shift_curves *out, int *first, int *last, const fl_texts *chains,
                           const data_spec *spec, fl_err *err);
/* A line a shift, of task_robustness's points and summary; nothing where they are NULL. */
void tool_print_shift(const json_t *points, const json_t *robustness);

// ----------------------------------------------- tool_print.c: text for people

/* "0.912  0.880 to 0.940", always as wide. */
void tool_print_value(double value, double low, double high);
void tool_print_figure(const json_t *figure);
/* A line: what it is, the figure, its n, and the method or why there is none. */
void tool_print_line(const char *what, const json_t *figure);

/* A line a metric: value, interval, n, method; or why there is none. */
void tool_print_metrics(const eval_metrics *m);
/* A line a subgroup, with the figures that matter first. */
void tool_print_subgroups(const json_t *subgroups);
/* Prints and releases. */
void tool_print_json(json_t *json);

#endif
