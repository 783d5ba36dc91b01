/*
 * tool_explain.c - `client explain`: what the prediction of one case rests on
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/picture.h"
#include "client/tools.h"
#include "data/preprocess.h"
#include "explain/explain.h"
#include "explain/gradcam.h"
#include "explain/superpixels.h"

static struct {
    const char *model, *data, *out, *method, *of_class, *normalise;
    int64_t samples, pieces, seed, threads;
    bool json;
} options = {.normalise = "none", .samples = 2000, .pieces = 50, .seed = 1, .threads = 1};

const fl_opt *client_explain_options(void)
{
    static const fl_opt table[] = {
        {.name = "model", .kind = FL_OPT_TEXT, .arg = "MODEL.onnx",
         .help = "model to ask", .out = &options.model, .required = true},
        {.name = "data", .kind = FL_OPT_TEXT, .arg = "DATASET",
         .help = "the case is one of these; without it, IMAGE is a file, made "
                 "as large as the model's input",
         .out = &options.data},
        {.name = "out", .kind = FL_OPT_TEXT, .arg = "PNG",
         .help = "picture to write, for images; of a volume, the slice where the map is strongest",
         .out = &options.out},
        {.name = "method", .kind = FL_OPT_TEXT, .arg = "HOW",
         .help = "gradcam (default for images; volumes and models that outline have no other), "
                 "lime or shap (default for tables)",
         .out = &options.method},
        {.name = "class", .kind = FL_OPT_TEXT, .arg = "CLASS",
         .help = "whose score is explained; default: the highest; of a model that outlines, the "
                 "class most pixels are called",
         .out = &options.of_class},
        {.name = "samples", .kind = FL_OPT_INT, .arg = "N",
         .help = "questions of lime and shap; default 2000", .out = &options.samples,
         .min = 10, .max = 1e6},
        {.name = "pieces", .kind = FL_OPT_INT, .arg = "N",
         .help = "superpixels of an image, about; default 50", .out = &options.pieces,
         .min = 2, .max = 400},
        {.name = "normalise", .kind = FL_OPT_TEXT, .arg = "HOW",
         .help = "without --data: none (default), zscore or range, as the model was trained",
         .out = &options.normalise},
        {.name = "threads", .kind = FL_OPT_INT, .arg = "N",
         .help = "default 1", .out = &options.threads, .min = 1, .max = 256},
        {.name = "seed", .kind = FL_OPT_INT, .arg = "N",
         .help = "of the samples; default 1", .out = &options.seed, .min = 0, .max = 9e15},
        {.name = "json", .kind = FL_OPT_FLAG, .help = "print JSON", .out = &options.json},
        {0},
    };
    return table;
}

/* The case, what asks about it, and what came of it. */
typedef struct {
    task_model *model;
    float *params;
    data_set *set;  // NULL: a file
    data_spec spec;
    size_t F;
    float *x;       // (F) the input
    float *image;   // (F) in [0, 1], for images
    float *absent;  // (F) what stands for a feature that is not there
    int32_t *piece; // (pixels) images: feature of a pixel; tables: NULL
    size_t M;       // features
    size_t k;       // the class
    double *score;  // (K)
    double *weight; // (M)
    float *heat;    // (pixels) images
    bool *asked;    // (pixels) models that outline: whose answers are explained; else NULL
    size_t n_asked;
    double none, all, intercept, r2;
    task_scorer *scorer;
} explained;

/* Or a volume. */
static bool is_image(const explained *e)
{
    return e->spec.input.rank >= 3;
}

static bool is_volume(const explained *e)
{
    return e->spec.input.rank == 4;
}

static size_t n_pixels(const explained *e)
{
    return is_image(e) ? data_spec_n_pixels(&e->spec) : 1;
}

// -------------------------------------------------------------------- the case

static fl_status find_case(size_t *out, const data_set *set, const char *id, fl_err *err)
{
    for (size_t i = 0; i < data_set_n(set); i++) {
        if (strcmp(data_set_case(set, i).case_id, id) == 0) {
            *out = i;
            return FL_OK;
        }
    }
    return fl_fail(err, FL_ENOTFOUND, "%s: has no case %.80s", options.data, id);
}

/* Tables: the mean of the training rows. */
static void mean_row(explained *e)
{
    float *row = fl_xcalloc(e->F, sizeof *row);
    double *sum = fl_xcalloc(e->F, sizeof *sum);
    const size_t *index = data_set_split(e->set, DATA_TRAIN);
    size_t n = data_set_n_split(e->set, DATA_TRAIN);
    for (size_t i = 0; i < n; i++) {
        data_set_batch(e->set, index + i, 1, row);
        for (size_t f = 0; f < e->F; f++) {
            sum[f] += (double)row[f];
        }
    }
    for (size_t f = 0; f < e->F; f++) {
        e->absent[f] = n > 0 ? (float)(sum[f] / (double)n) : 0;
    }
    free(sum);
    free(row);
}

static fl_status open_case(explained *e, const char *id, fl_err *err)
{
    size_t at;
    fl_status st = find_case(&at, e->set, id, err);
    if (st == FL_OK) {
        data_set_batch(e->set, &at, 1, e->x);
        if (is_image(e)) {
            data_set_image(e->set, at, e->image);
        } else {
            mean_row(e);
        }
    }
    return st;
}

static fl_status open_file(explained *e, const char *path, fl_err *err)
{
    static const char *const names[] = {"none", "zscore", "range"};
    static const data_normalise kinds[] = {DATA_NORMALISE_NONE, DATA_NORMALISE_ZSCORE,
                                           DATA_NORMALISE_RANGE};
    data_image image = {0};
    data_preprocess p = {.n = 2};
    float mean, factor;
    size_t kind = 0;
    while (kind < 3 && strcmp(names[kind], options.normalise) != 0) {
        kind++;
    }
    if (kind == 3) {
        return fl_fail(err, FL_EUSAGE, "--normalise: expected none, zscore or range, found %.40s",
                       options.normalise);
    }
    p.steps[0] = (data_step){.kind = DATA_STEP_CHANNELS, .channels = e->spec.input.dim[0]};
    p.steps[1] = (data_step){.kind = DATA_STEP_RESIZE};
    fl_status st;
    if ((st = data_image_read(&image, path, err)) == FL_OK &&
        (st = data_preprocess_apply(&image, &p, &e->spec.input, path, err)) == FL_OK &&
        (size_t)(image.channels * image.frames * image.rows * image.cols) != e->F) {
        st = fl_fail(err, FL_ECONFIG, "%s: does not become an input of the model", path);
    }
    if (st == FL_OK) {
        float full = image.full_scale > 0 ? image.full_scale : 1;
        for (size_t f = 0; f < e->F; f++) {
            e->image[f] = image.data[f] / full;
        }
        data_normalise_of(kinds[kind], e->image, e->F, &mean, &factor);
        for (size_t f = 0; f < e->F; f++) {
            e->x[f] = (e->image[f] - mean) * factor;
        }
    }
    data_image_clear(&image);
    return st;
}

static fl_status open_all(explained *e, const char *id, fl_err *err)
{
    fl_status st = task_model_read(&e->model, &e->params, NULL, options.model, err);
    if (st != FL_OK) {
        return st;
    }
    if (options.data != NULL) {
        st = tool_open_for_model(&e->set, &e->spec, e->model, options.data, err);
    }
    e->spec = *task_model_spec(e->model);
    int rank = e->spec.input.rank;
    if (st != FL_OK || (st = task_scorer_new(&e->scorer, e->model, e->params,
                                             (int)options.threads, err)) != FL_OK) {
        return st;
    }
    if (rank != 1 && rank != 3 && rank != 4) {
        return fl_fail(err, FL_EUNSUPPORTED, "explain: for images, volumes and tables");
    }
    if (rank != 3 && options.data == NULL) {
        return fl_fail(err, FL_EUSAGE, "explain: a %s needs --data DATASET",
                       rank == 1 ? "row of a table" : "volume");
    }
    e->F = (size_t)nn_shape_count(&e->spec.input, 1);
    e->x = fl_xcalloc(e->F, sizeof *e->x);
    e->image = fl_xcalloc(e->F, sizeof *e->image);
    e->absent = fl_xcalloc(e->F, sizeof *e->absent);
    e->score = fl_xcalloc(task_model_n_scores(e->model), sizeof *e->score);
    return options.data != NULL ? open_case(e, id, err) : open_file(e, id, err);
}

// ------------------------------------------------------------------- questions

/* The case with some features absent, a batch of questions at a time. */
static fl_status ask(void *ctx, double *answer, const bool *present, size_t n, fl_err *err)
{
    enum { AT_ONCE = 64 };
    explained *e = ctx;
    size_t K = task_model_n_scores(e->model), P = n_pixels(e);
    float *x = fl_calloc(AT_ONCE * e->F, sizeof *x, "questions", err);
    double *score = fl_xcalloc(AT_ONCE * K, sizeof *score);
    for (size_t from = 0; from < n && x != NULL; from += AT_ONCE) {
        size_t rows = n - from < AT_ONCE ? n - from : AT_ONCE;
        for (size_t i = 0; i < rows; i++) {
            const bool *z = present + (from + i) * e->M;
            for (size_t f = 0; f < e->F; f++) {
                bool there = z[e->piece != NULL ? (size_t)e->piece[f % P] : f];
                x[i * e->F + f] = there ? e->x[f] : e->absent[f];
            }
        }
        task_scorer_run(e->scorer, score, x, rows);
        for (size_t i = 0; i < rows; i++) {
            answer[from + i] = score[i * K + e->k];
        }
    }
    fl_status st = x != NULL ? FL_OK : FL_ELIMIT;
    free(score);
    free(x);
    return st;
}

/* Images: superpixels, and each channel's mean in the place of an absent one. */
static void cut_up(explained *e)
{
    size_t P = n_pixels(e);
    const nn_shape *s = &e->spec.input;
    e->M = e->F;
    if (!is_image(e)) {
        return;
    }
    e->piece = fl_xcalloc(P, sizeof *e->piece);
    e->M = explain_superpixels(e->piece, e->image, s->dim[0], s->dim[1], s->dim[2],
                               (size_t)options.pieces);
    for (size_t f = 0; f < e->F; f += P) {
        double sum = 0;
        for (size_t i = 0; i < P; i++) {
            sum += (double)e->x[f + i];
        }
        for (size_t i = 0; i < P; i++) {
            e->absent[f + i] = (float)(sum / (double)P);
        }
    }
}

static fl_status weigh(explained *e, bool shap, fl_err *err)
{
    cut_up(e);
    if (e->M > EXPLAIN_MAX_FEATURES) {
        return fl_fail(err, FL_ELIMIT, "explain: %zu features; at most %d can be weighed", e->M,
                       EXPLAIN_MAX_FEATURES);
    }
    explain_game game = {.n_features = e->M, .ctx = e, .ask = ask};
    e->weight = fl_xcalloc(e->M, sizeof *e->weight);
    if (shap) {
        return explain_shap(e->weight, &e->none, &e->all, &game, (size_t)options.samples,
                            (uint64_t)options.seed, err);
    }
    explain_lime_config cfg;
    explain_lime_defaults(&cfg);
    cfg.n_samples = (size_t)options.samples;
    cfg.seed = (uint64_t)options.seed;
    return explain_lime(e->weight, &e->intercept, &e->r2, &game, &cfg, err);
}

static fl_status look(explained *e, fl_err *err)
{
    explain_cam cam;
    int sign;
    if (!is_image(e)) {
        return fl_fail(err, FL_EUSAGE, "--method gradcam: for images; a table takes lime or shap");
    }
    int64_t logit = task_model_logit_of(e->model, e->k, &sign);
    const nn_graph *g = task_model_graph(e->model);
    const nn_shape *input = &e->spec.input;
    fl_status st = e->asked != NULL
                       ? explain_seg_gradcam(&cam, g, e->params, e->x, logit, sign, e->asked, err)
                       : explain_gradcam(&cam, g, e->params, e->x, logit, sign, err);
    if (st == FL_OK) {
        explain_cam_resize(e->heat, is_volume(e) ? input->dim[1] : 1, input->dim[input->rank - 2],
                           input->dim[input->rank - 1], &cam);
        free(cam.map);
    }
    return st;
}

static void heat_of_weights(explained *e)
{
    double most = 0;
    for (size_t j = 0; j < e->M; j++) {
        most = fmax(most, fabs(e->weight[j]));
    }
    for (size_t i = 0; i < n_pixels(e) && most > 0; i++) {
        e->heat[i] = (float)(e->weight[e->piece[i]] / most);
    }
}

// --------------------------------------------------------------------- picture

/* The slice whose map is strongest in sum; 0 of an image. */
static size_t strongest_slice(const explained *e)
{
    const nn_shape *s = &e->spec.input;
    size_t D = is_volume(e) ? (size_t)s->dim[1] : 1, n = n_pixels(e) / D, best = 0;
    double most = -1;
    for (size_t d = 0; d < D; d++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            sum += fabs((double)e->heat[d * n + i]);
        }
        best = sum > most ? d : best;
        most = fmax(most, sum);
    }
    return best;
}

static fl_status write_picture(const explained *e, fl_err *err)
{
    const nn_shape *s = &e->spec.input;
    nn_shape flat = {3, {s->dim[0], s->dim[s->rank - 2], s->dim[s->rank - 1]}};
    size_t D = is_volume(e) ? (size_t)s->dim[1] : 1, n = n_pixels(e) / D, d = strongest_slice(e);
    float *slice = fl_xcalloc((size_t)s->dim[0] * n, sizeof *slice);
    for (size_t c = 0; c < (size_t)s->dim[0]; c++) {
        memcpy(slice + c * n, e->image + (c * D + d) * n, n * sizeof *slice);
    }
    fl_status st = picture_write(options.out, slice, &flat, e->heat + d * n, err);
    free(slice);
    return st;
}

// --------------------------------------------------------------------- answers

static json_t *features_json(const explained *e)
{
    json_t *list = json_array();
    for (size_t j = 0; j < e->M; j++) {
        const char *name = e->set != NULL && !is_image(e) ? data_set_feature_name(e->set, j) : NULL;
        char number[32];
        snprintf(number, sizeof number, "%s %zu", is_image(e) ? "piece" : "feature", j);
        json_t *one = json_pack("{s:s, s:f}", "feature", name != NULL ? name : number, "weight",
                                e->weight[j]);
        if (!is_image(e)) {
            json_object_set_new(one, "value", fl_json_number((double)e->x[j]));
        }
        json_array_append_new(list, one);
    }
    return list;
}

static const char *class_name(const explained *e, size_t k)
{
    return k < e->spec.n_classes ? e->spec.classes[k] : "value";
}

static json_t *answer_json(const explained *e, const char *id, const char *method)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:f}", "case", id, "method", method, "class",
                             class_name(e, e->k), "score", e->score[e->k]);
    if (e->asked != NULL) {
        json_object_set_new(json, "pixels", json_integer((json_int_t)e->n_asked));
    }
    if (is_volume(e)) {
        json_object_set_new(json, "slice", json_integer((json_int_t)strongest_slice(e)));
        json_object_set_new(json, "slices", json_integer((json_int_t)e->spec.input.dim[1]));
    }
    if (strcmp(method, "shap") == 0) {
        json_object_set_new(json, "without", fl_json_number(e->none));
    } else if (strcmp(method, "lime") == 0) {
        json_object_set_new(json, "intercept", fl_json_number(e->intercept));
        json_object_set_new(json, "r2", fl_json_number(e->r2));
    }
    if (e->weight != NULL) {
        json_object_set_new(json, "features", features_json(e));
    }
    return json;
}

static void print_answer(const json_t *json)
{
    const json_t *features = json_object_get(json, "features"), *one;
    size_t i;
    printf("%s: %s %.4f, by %s\n", fl_json_get_string(json, "case", ""),
           fl_json_get_string(json, "class", ""), fl_json_get_number(json, "score"),
           fl_json_get_string(json, "method", ""));
    if (json_object_get(json, "pixels") != NULL) {
        printf("of %lld pixels that are called so; the score is their mean\n",
               (long long)fl_json_get_int(json, "pixels", 0));
    }
    if (json_object_get(json, "slice") != NULL) {
        printf("shown is slice %lld of %lld, counted from 0: where the map is strongest\n",
               (long long)fl_json_get_int(json, "slice", 0),
               (long long)fl_json_get_int(json, "slices", 0));
    }
    if (json_object_get(json, "without") != NULL) {
        printf("%-24s %9.4f\n", "with nothing of it", fl_json_get_number(json, "without"));
    }
    if (json_object_get(json, "r2") != NULL) {
        printf("%-24s %9.4f\n", "fit of the line (R2)", fl_json_get_number(json, "r2"));
    }
    json_array_foreach(features, i, one) {
        printf("%-24s %+9.4f\n", fl_json_get_string(one, "feature", ""),
               fl_json_get_number(one, "weight"));
    }
    if (options.out != NULL) {
        printf("%s: red speaks for it, blue against\n", options.out);
    }
}

// ------------------------------------------------------------------- the whole

static fl_status find_class(size_t *out, const explained *e, fl_err *err)
{
    for (size_t k = 0; k < e->spec.n_classes; k++) {
        if (strcmp(e->spec.classes[k], options.of_class) == 0) {
            *out = k;
            return FL_OK;
        }
    }
    return fl_fail(err, FL_EUSAGE, "--class: the model has no class %.80s", options.of_class);
}

/* The highest score, or that of --class. */
static fl_status choose_score(explained *e, fl_err *err)
{
    task_scorer_run(e->scorer, e->score, e->x, 1);
    for (size_t k = 1; k < task_model_n_scores(e->model); k++) {
        e->k = e->score[k] > e->score[e->k] ? k : e->k;
    }
    return options.of_class == NULL ? FL_OK : find_class(&e->k, e, err);
}

/* The pixels of the class that most are called, or of --class; their score is the mean
 * probability of what they are called, background or not. */
static fl_status choose_pixels(explained *e, fl_err *err)
{
    size_t P = n_pixels(e), count[DATA_MAX_CLASSES] = {0};
    uint8_t *code = fl_xcalloc(P, sizeof *code);
    float *prob = fl_xcalloc(P, sizeof *prob);
    double sum = 0;
    fl_status st = FL_OK;
    task_scorer_mask(e->scorer, code, prob, e->x);
    for (size_t i = 0; i < P; i++) {
        count[code[i]]++;
    }
    e->k = 1;
    for (size_t k = 2; k < e->spec.n_classes; k++) {
        e->k = count[k] > count[e->k] ? k : e->k;
    }
    st = options.of_class == NULL ? FL_OK : find_class(&e->k, e, err);
    e->asked = fl_xcalloc(P, sizeof *e->asked);
    for (size_t i = 0; i < P; i++) {
        e->asked[i] = code[i] == e->k;
        sum += !e->asked[i] ? 0 : e->k == 0 ? 1 - (double)prob[i] : (double)prob[i];
    }
    e->n_asked = count[e->k];
    free(prob);
    free(code);
    if (st == FL_OK && e->n_asked == 0) {
        return fl_fail(err, FL_ENOTFOUND, "explain: the model calls no pixel %s; there is nothing "
                                          "to explain", e->spec.classes[e->k]);
    }
    free(e->score);
    e->score = fl_xcalloc(e->spec.n_classes, sizeof *e->score);
    e->score[e->k] = sum / (double)e->n_asked;
    return st;
}

static fl_status choose(explained *e, const char **method, fl_err *err)
{
    *method = options.method != NULL ? options.method : is_image(e) ? "gradcam" : "shap";
    bool known = strcmp(*method, "gradcam") == 0 || strcmp(*method, "lime") == 0 ||
                 strcmp(*method, "shap") == 0;
    if (!known) {
        return fl_fail(err, FL_EUSAGE, "--method: expected gradcam, lime or shap, found %.40s",
                       *method);
    }
    if (is_image(e) != (options.out != NULL)) {
        return fl_fail(err, FL_EUSAGE,
                       is_image(e) ? "explain: an image needs --out PNG"
                                   : "--out: for images; a table's weights are printed");
    }
    bool of_pixels = task_scorer_is_of_pixels(e->scorer);
    if ((of_pixels || is_volume(e)) && strcmp(*method, "gradcam") != 0) {
        return fl_fail(err, FL_EUNSUPPORTED, "--method %s: for images and tables with one answer a "
                                             "case; a %s takes gradcam", *method,
                       of_pixels ? "model that outlines" : "volume");
    }
    return of_pixels ? choose_pixels(e, err) : choose_score(e, err);
}

static void explained_clear(explained *e)
{
    task_scorer_destroy(&e->scorer);
    free(e->heat);
    free(e->asked);
    free(e->weight);
    free(e->piece);
    free(e->score);
    free(e->absent);
    free(e->image);
    free(e->x);
    free(e->params);
    data_set_destroy(&e->set);
    task_model_destroy(&e->model);
}

static fl_status explain(const char *id, fl_err *err)
{
    explained e = {0};
    const char *method = NULL;
    fl_status st;
    if ((options.out != NULL && (st = tool_can_write(options.out, err)) != FL_OK) ||
        (st = open_all(&e, id, err)) != FL_OK || (st = choose(&e, &method, err)) != FL_OK) {
        goto done;
    }
    e.heat = fl_xcalloc(n_pixels(&e), sizeof *e.heat);
    bool by_sight = strcmp(method, "gradcam") == 0;
    st = by_sight ? look(&e, err) : weigh(&e, strcmp(method, "shap") == 0, err);
    if (st != FL_OK) {
        goto done;
    }
    if (is_image(&e)) {
        if (!by_sight) {
            heat_of_weights(&e);
        }
        st = write_picture(&e, err);
    }
    if (st == FL_OK) {
        json_t *json = answer_json(&e, id, method);
        if (options.json) {
            tool_print_json(json);
        } else {
            print_answer(json);
            json_decref(json);
        }
    }
done:
    explained_clear(&e);
    return st;
}

fl_status client_explain(int argc, char **argv, fl_err *err)
{
    fl_texts cases = {0};
    fl_status st = fl_cli_parse(argc, argv, client_explain_options(), 1, 1, &cases, err);
    if (st == FL_OK) {
        st = explain(cases.items[0], err);
    }
    free(cases.items);
    return st;
}
