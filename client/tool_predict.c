/*
 * tool_predict.c - `client predict`: a model's scores of one's own cases
 *
 * Writes DIR/predictions.csv for this hospital's eyes: it names patients.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/sys.h"
#include "client/maps.h"
#include "client/tools.h"

static struct {
    const char *model, *data, *split, *out;
    int64_t threads;
    bool maps;
} options = {.split = "test", .threads = 1};

const fl_opt *client_predict_options(void)
{
    static const fl_opt table[] = {
        {.name = "model", .kind = FL_OPT_TEXT, .arg = "MODEL.onnx",
         .help = "model to ask", .out = &options.model, .required = true},
        {.name = "data", .kind = FL_OPT_TEXT, .arg = "DATASET",
         .help = "folder, dataset.yaml, .csv or .npz", .out = &options.data,
         .required = true},
        {.name = "out", .kind = FL_OPT_TEXT, .arg = "DIR",
         .help = "folder for predictions.csv; made if it is not there",
         .out = &options.out, .required = true},
        {.name = "split", .kind = FL_OPT_TEXT, .arg = "SPLIT",
         .help = "train, val or test; default test", .out = &options.split},
        {.name = "threads", .kind = FL_OPT_INT, .arg = "N",
         .help = "default 1", .out = &options.threads, .min = 1, .max = 256},
        {.name = "maps", .kind = FL_OPT_FLAG,
         .help = "segment: masks and probabilities too, as PNG or NIfTI on the images' grid",
         .out = &options.maps},
        {0},
    };
    return table;
}

static fl_status write_scores(const task_scores *s, const data_set *set,
                              const data_spec *spec, fl_err *err)
{
    char *path = fl_path_join(options.out, "predictions.csv");
    fl_status st = task_predictions_write(s, set, spec, path, err);
    if (st == FL_OK) {
        printf("%s: %zu cases of the %s split\n", path, s->n, options.split);
    }
    free(path);
    return st;
}

static fl_status check_maps(const data_spec *spec, fl_err *err)
{
    return !options.maps || spec->task == DATA_SEGMENT
               ? FL_OK
               : fl_fail(err, FL_EUSAGE, "--maps: only for task segment, this model is for %s",
                         data_task_name(spec->task));
}

static fl_status check_cases(const data_set *set, data_split split, fl_err *err)
{
    return data_set_n_split(set, split) > 0
               ? FL_OK
               : fl_fail(err, FL_ENOTFOUND, "%s: the %s split is empty", options.data,
                         options.split);
}

static fl_status predict(data_split split, fl_err *err)
{
    fl_status st;
    task_model *model = NULL;
    data_set *set = NULL;
    float *params = NULL;
    task_scores scores = {0};
    data_spec spec;
    maps written = {.dir = options.out};
    const task_maps sink = {&written, maps_take};

    if ((st = task_model_read(&model, &params, NULL, options.model, err)) !=
            FL_OK ||
        (st = tool_open_for_model(&set, &spec, model, options.data, err)) !=
            FL_OK ||
        (st = check_maps(&spec, err)) != FL_OK || (st = check_cases(set, split, err)) != FL_OK ||
        (st = fl_mkdirs(options.out, 0755, err)) != FL_OK ||
        (st = task_predict_maps(&scores, model, params, set, split, (int)options.threads,
                                options.maps ? &sink : NULL, err)) != FL_OK) {
        goto done;
    }
    st = write_scores(&scores, set, &spec, err);
done:
    task_scores_clear(&scores);
    free(params);
    data_set_destroy(&set);
    task_model_destroy(&model);
    return st;
}

fl_status client_predict(int argc, char **argv, fl_err *err)
{
    fl_texts none = {0};
    data_split split;
    fl_status st = fl_cli_parse(argc, argv, client_predict_options(), 0, 0,
                                &none, err);
    if (st != FL_OK) {
        return st;
    }
    free(none.items);
    st = tool_find_split(&split, options.split, err);
    return st == FL_OK ? predict(split, err) : st;
}
