/*
 * tool_predict.c - `client predict`: a model's scores of one's own cases
 *
 * Writes DIR/predictions.csv for this hospital's eyes: it names patients.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sys.h"
#include "client/maps.h"
#include "client/tools.h"

static struct {
    const char *model, *data, *split, *out, *uncertainty, *reference;
    double refer;
    int64_t threads, seed;
    bool maps;
} options = {.split = "test", .refer = 0.2, .threads = 1, .seed = 1};

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
         .help = "segment: masks, probabilities and a model's own maps too, as PNG or NIfTI on the "
                 "images' grid; with --uncertainty entropy and variance instead of its own",
         .out = &options.maps},
        {.name = "uncertainty", .kind = FL_OPT_TEXT, .arg = "HOW",
         .help = "how sure the model is of each case: mc:N passes with dropout, tta:N turned "
                 "inputs, or one: of its scores",
         .out = &options.uncertainty},
        {.name = "reference", .kind = FL_OPT_TEXT, .arg = "DATASET",
         .help = "what the model learnt from: flags cases unlike it, by a limit that its "
                 "validation cases set",
         .out = &options.reference},
        {.name = "refer", .kind = FL_OPT_NUM, .arg = "SHARE",
         .help = "with --uncertainty: of the validation cases, the most uncertain, which set "
                 "the limit from which a case is flagged; default 0.2",
         .out = &options.refer, .min = 0.001, .max = 0.999},
        {.name = "seed", .kind = FL_OPT_INT, .arg = "N",
         .help = "of the dropout of mc; default 1", .out = &options.seed, .min = 0, .max = 9e15},
        {0},
    };
    return table;
}

static fl_status write_scores(const task_scores *s, const data_set *set, const data_spec *spec,
                              const task_column *more, size_t n_more, fl_err *err)
{
    char *path = fl_path_join(options.out, "predictions.csv");
    fl_status st = task_predictions_write_more(s, set, spec, more, n_more, path, err);
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

/* The columns that --reference asks for. */
typedef struct {
    double *distance, *unlike;  // (n) of the split; NULL: not asked for
    task_column column[2];
    size_t n;
} strangeness;

static void strangeness_clear(strangeness *s)
{
    free(s->distance);
    free(s->unlike);
}

/* Distance of each case, and 1 where it is unlike the training images. */
static fl_status find_strange(strangeness *out, task_model *model, const float *params,
                              const data_set *set, data_split split, fl_err *err)
{
    size_t n = data_set_n_split(set, split), n_unlike = 0;
    tool_reference reference;
    data_split set_by;
    *out = (strangeness){.n = 0};
    if (options.reference == NULL) {
        return FL_OK;
    }
    fl_status st = tool_reference_open(&reference, model, params, options.reference, DATA_TEST,
                                       (int)options.threads, err);
    if (st != FL_OK) {
        return st;
    }
    out->distance = fl_xcalloc(n, sizeof *out->distance);
    out->unlike = fl_xcalloc(n, sizeof *out->unlike);
    double limit = task_ood_limit(reference.ood, &set_by);
    st = task_ood_distance(reference.ood, out->distance, set, data_set_split(set, split), n, err);
    for (size_t i = 0; i < n; i++) {
        out->unlike[i] = out->distance[i] > limit;
        n_unlike += out->distance[i] > limit;
    }
    out->column[0] = (task_column){"distance", out->distance};
    out->column[1] = (task_column){"unlike", out->unlike};
    out->n = 2;
    tool_reference_clear(&reference);
    if (st == FL_OK && n_unlike > 0) {
        printf("%zu of %zu cases are unlike the training images (unlike = 1): look at the image "
               "before the answer\n", n_unlike, n);
    } else if (st == FL_OK) {
        printf("no case is unlike the training images\n");
    }
    return st;
}

/* Scores with a column a measure, and 1 in the column flag where a case is as uncertain
 * as the least sure of the validation split. */
static fl_status predict_doubt(const task_member *model, const data_set *set,
                               const data_spec *spec, data_split split, const task_maps *sink,
                               const strangeness *strange, fl_err *err)
{
    tool_doubt how = {.refer = options.refer, .seed = (uint64_t)options.seed,
                      .threads = (int)options.threads};
    eval_doubt measures[TASK_MAX_DOUBTS];
    task_column columns[TASK_MAX_DOUBTS + 3];
    task_doubt doubt;
    double limit;
    const char *why;
    fl_status st = tool_doubt_parse(&how, options.uncertainty, err);
    if (st != FL_OK ||
        (st = tool_doubt_limit(&limit, &why, &how, model, 1, set, split, err)) != FL_OK ||
        (st = task_doubt_of(&doubt, &how.members, model, 1, set, split, how.seed, how.threads,
                            sink, err)) != FL_OK) {
        return st;
    }
    size_t n = task_doubts(measures, &doubt);
    double *flag = fl_xcalloc(doubt.scores.n, sizeof *flag);
    for (size_t k = 0; k < n; k++) {
        columns[k] = (task_column){measures[k].name, measures[k].value};
    }
    for (size_t i = 0; i < doubt.scores.n; i++) {
        flag[i] = measures[0].value[i] >= limit;
    }
    size_t n_columns = n;
    if (!isnan(limit)) {
        columns[n_columns++] = (task_column){"flag", flag};
    }
    for (size_t k = 0; k < strange->n; k++) {
        columns[n_columns++] = strange->column[k];
    }
    st = write_scores(&doubt.scores, set, spec, columns, n_columns, err);
    if (st == FL_OK && isnan(limit)) {
        printf("no case is flagged: %s\n", why);
    } else if (st == FL_OK) {
        printf("flagged where %s is %.4g or more, a limit set on validation\n", measures[0].name,
               limit);
    }
    free(flag);
    task_doubt_clear(&doubt);
    return st;
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
    const task_maps sink = {&written, maps_take, maps_take_own};
    strangeness strange = {.n = 0};

    if ((st = task_model_read(&model, &params, NULL, options.model, err)) !=
            FL_OK ||
        (st = tool_open_for_model(&set, &spec, model, options.data, err)) !=
            FL_OK ||
        (st = check_maps(&spec, err)) != FL_OK || (st = check_cases(set, split, err)) != FL_OK ||
        (st = find_strange(&strange, model, params, set, split, err)) != FL_OK ||
        (st = fl_mkdirs(options.out, 0755, err)) != FL_OK) {
        goto done;
    }
    if (options.uncertainty != NULL) {
        const task_member one = {model, params};
        st = predict_doubt(&one, set, &spec, split, options.maps ? &sink : NULL, &strange, err);
        goto done;
    }
    if ((st = task_predict_maps(&scores, model, params, set, split, (int)options.threads,
                                options.maps ? &sink : NULL, err)) != FL_OK) {
        goto done;
    }
    st = write_scores(&scores, set, &spec, strange.column, strange.n, err);
done:
    strangeness_clear(&strange);
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
