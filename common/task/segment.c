/*
 * segment.c - a class for every pixel
 *
 * With one logit a class a pixel is the class of its greatest logit; with a
 * single one for two classes it is foreground from a probability of 0.5 on.  The
 * first class is the background and is not judged.  A case is measured
 * when it is predicted, so that no mask need be kept.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "task/ops.h"

static const char *const metrics[] = {"dice", "iou", "loss", NULL};

static int64_t n_logits(const data_spec *spec, bool single)
{
    return single && spec->n_classes == 2 ? 1 : (int64_t)spec->n_classes;
}

/* Classes that are judged. */
static size_t n_scores(int64_t L)
{
    return L == 1 ? 1 : (size_t)(L - 1);
}

static int64_t target_width(const data_spec *spec, int64_t L)
{
    (void)L;  // a code, or 0 and 1 of the one logit
    return (int64_t)data_spec_n_pixels(spec);
}

static bool is_labelled(const data_spec *spec, const data_case *c)
{
    (void)spec;
    return c->mask != NULL;
}

static int64_t target(float *row, const data_spec *spec, int64_t L, const data_case *c)
{
    size_t n = data_spec_n_pixels(spec);
    float unlabelled = L == 1 ? NAN : -1;
    int64_t n_labelled = 0;
    for (size_t i = 0; i < n; i++) {
        bool known = c->mask != NULL && c->mask[i] != EVAL_SEG_IGNORE;
        row[i] = known ? (float)c->mask[i] : unlabelled;
        n_labelled += known;
    }
    return n_labelled;
}

/* As classify's, by pixels. */
static void weigh(float *weight, const data_spec *spec, int64_t L, const data_set *set)
{
    double count[256] = {0};
    double n = 0;
    size_t n_pixels = data_spec_n_pixels(spec);
    const size_t *index = data_set_split(set, DATA_TRAIN);
    for (size_t i = 0; i < data_set_n_split(set, DATA_TRAIN); i++) {
        const uint8_t *mask = data_set_case(set, index[i]).mask;
        for (size_t p = 0; mask != NULL && p < n_pixels; p++) {
            count[mask[p]]++;
        }
    }
    for (size_t k = 0; k < spec->n_classes; k++) {
        n += count[k];
    }
    if (L == 1) {
        weight[0] = task_positive_weight(count[1], n);
        return;
    }
    for (int64_t k = 0; k < L; k++) {
        weight[k] = count[k] > 0 ? (float)(n / ((double)L * count[k])) : 1;
    }
}

// --------------------------------------------------------------- predictions

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

/* Probability that a pixel with these logits, n_pixels apart, is no background. */
static double foreground(const float *logits, int64_t L, size_t n_pixels, bool evidential)
{
    if (L == 1) {
        return 1 / (1 + exp(-(double)logits[0]));
    }
    double top = logits[0], sum = 0, background = 0;
    for (int64_t k = 1; k < L; k++) {
        top = fmax(top, logits[(size_t)k * n_pixels]);
    }
    for (int64_t k = 0; k < L; k++) {
        double x = logits[(size_t)k * n_pixels];
        double part = evidential ? 1 + softplus(x) : exp(x - top);
        background = k == 0 ? part : background;
        sum += part;
    }
    return 1 - background / sum;
}

void task_segment_codes(uint8_t *code, float *prob, const float *logits, int64_t L,
                        size_t n_pixels, bool evidential)
{
    for (size_t i = 0; i < n_pixels; i++) {
        code[i] = L == 1 && logits[i] >= 0;
    }
    if (L > 1) {
        for (size_t i = 0; i < n_pixels; i++) {
            float best = logits[i];
            for (int64_t k = 1; k < L; k++) {
                float x = logits[(size_t)k * n_pixels + i];
                code[i] = x > best ? (uint8_t)k : code[i];
                best = x > best ? x : best;
            }
        }
    }
    for (size_t i = 0; prob != NULL && i < n_pixels; i++) {
        prob[i] = (float)foreground(logits + i, L, n_pixels, evidential);
    }
}

static void two_probs(double *prob, const float *logits, size_t n, const uint32_t *from)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = from != NULL ? from[i] : i;
        prob[n + at] = 1 / (1 + exp(-(double)logits[i]));
        prob[at] = 1 / (1 + exp((double)logits[i]));
    }
}

void task_segment_probs(double *prob, const float *logits, int64_t L, size_t n_pixels,
                        bool evidential, const uint32_t *from)
{
    if (L == 1) {
        two_probs(prob, logits, n_pixels, from);
        return;
    }
    for (size_t i = 0; i < n_pixels; i++) {
        size_t at = from != NULL ? from[i] : i;
        double top = logits[i], sum = 0;
        for (int64_t k = 1; k < L; k++) {
            top = fmax(top, logits[(size_t)k * n_pixels + i]);
        }
        for (int64_t k = 0; k < L; k++) {
            double x = logits[(size_t)k * n_pixels + i];
            double part = evidential ? 1 + softplus(x) : exp(x - top);
            prob[(size_t)k * n_pixels + at] = part;
            sum += part;
        }
        for (int64_t k = 0; k < L; k++) {
            prob[(size_t)k * n_pixels + at] /= sum;
        }
    }
}

eval_grid task_segment_grid(const data_spec *spec, const double spacing_mm[static 3])
{
    const nn_shape *input = &spec->input;
    eval_grid g = {.size = {input->rank == 4 ? input->dim[1] : 1, input->dim[input->rank - 2],
                            input->dim[input->rank - 1]}};
    g.in_mm = spacing_mm[1] > 0 && spacing_mm[2] > 0 && (g.size[0] == 1 || spacing_mm[0] > 0);
    for (int i = 0; i < 3; i++) {
        g.spacing[i] = g.in_mm && spacing_mm[i] > 0 ? spacing_mm[i] : 1;
    }
    return g;
}

void task_segment_measure(eval_seg_case *cases, const uint8_t *code, const data_spec *spec,
                          const data_case *c)
{
    eval_grid g = task_segment_grid(spec, c->spacing_mm);
    double tolerance = eval_seg_tolerance(&g);
    for (size_t k = 1; k < spec->n_classes; k++) {
        eval_seg_measure(&cases[k - 1], code, c->mask, (uint8_t)k, &g, tolerance);
    }
}

// ------------------------------------------------------------------- figures

/* The labelled cases of a split, one behind the other. */
typedef struct {
    eval_seg_case *cases;  // (n, K)
    int64_t *patient;
    size_t n;
} judged;

static judged labelled_of(const task_scores *s)
{
    judged j = {.cases = fl_xcalloc(s->n * s->K, sizeof *j.cases),
                .patient = fl_xcalloc(s->n, sizeof *j.patient)};
    for (size_t i = 0; i < s->n; i++) {
        if (s->label[i] >= 0) {
            memcpy(j.cases + j.n * s->K, s->seg + i * s->K, s->K * sizeof *j.cases);
            j.patient[j.n++] = s->patient[i];
        }
    }
    return j;
}

static void judged_clear(judged *j)
{
    free(j->cases);
    free(j->patient);
}

static void evaluate(eval_metrics *out, const task_scores *s, const data_spec *spec,
                     double threshold, uint64_t seed)
{
    (void)spec;
    (void)threshold;
    judged j = labelled_of(s);
    eval_segment(out, j.cases, j.n, s->K, j.patient, seed);
    judged_clear(&j);
}

static void differences(eval_metrics *out, const task_scored *a, const task_scored *b,
                        const data_spec *spec, uint64_t seed)
{
    judged x = labelled_of(a->scores);
    judged y = labelled_of(b->scores);
    evaluate(out, a->scores, spec, NAN, seed);  // for their names
    for (size_t i = 0; i < out->n; i++) {
        eval_segment_difference(&out->item[i].figure, out->item[i].name, x.cases, y.cases, x.n,
                                a->scores->K, x.patient, seed);
    }
    judged_clear(&x);
    judged_clear(&y);
}

/* Mean over the cases that have a value, of the mean over their classes. */
static void quick(task_quick *out, const task_scores *s, const data_spec *spec, int64_t min_cell)
{
    (void)spec;
    bool *drawn = fl_xcalloc(s->n, sizeof *drawn);
    double dice = 0, iou = 0;
    int64_t n_defined = 0;
    for (size_t i = 0; i < s->n; i++) {
        double case_dice = 0, case_iou = 0;
        int n_classes = 0;
        for (size_t k = 0; k < s->K && s->label[i] >= 0; k++) {
            const eval_seg_case *c = &s->seg[i * s->K + k];
            if (!isnan(c->dice)) {
                case_dice += c->dice;
                case_iou += c->iou;
                n_classes++;
            }
        }
        if (n_classes > 0) {
            dice += case_dice / n_classes;
            iou += case_iou / n_classes;
            n_defined++;
            drawn[i] = true;
        }
        out->n += s->label[i] >= 0;
    }
    out->n_positive = n_defined;
    out->dice = n_defined > 0 ? dice / (double)n_defined : NAN;
    out->iou = n_defined > 0 ? iou / (double)n_defined : NAN;
    if (!task_are_enough(s, drawn, min_cell)) {
        out->dice = out->iou = NAN;
        out->n_positive = -1;
    }
    free(drawn);
}

/* Over the classes that are in the true mask: a case without any is not asked. */
static double case_dice(const task_scores *s, size_t i, double threshold)
{
    (void)threshold;
    double sum = 0;
    int n = 0;
    for (size_t k = 0; k < s->K && s->label[i] >= 0; k++) {
        const eval_seg_case *c = &s->seg[i * s->K + k];
        if (c->n_truth > 0) {
            sum += c->dice;
            n++;
        }
    }
    return n > 0 ? sum / n : NAN;
}

/* Over the classes that are in either mask; NaN: none is. */
static double case_error(const task_scores *s, const data_spec *spec, size_t i, double threshold)
{
    (void)spec;
    (void)threshold;
    double sum = 0;
    int n = 0;
    for (size_t k = 0; k < s->K && s->label[i] >= 0; k++) {
        double dice = s->seg[i * s->K + k].dice;
        sum += isnan(dice) ? 0 : 1 - dice;
        n += !isnan(dice);
    }
    return n > 0 ? sum / n : NAN;
}

/* Of the class that pixel i is called. */
static double pixel_sure(const float *logits, int64_t L, size_t n_pixels, size_t i, bool evidential)
{
    if (L == 1) {
        return 1 / (1 + exp(-fabs((double)logits[i])));
    }
    double greatest = -INFINITY, sum = 0;
    for (int64_t k = 0; k < L; k++) {
        greatest = fmax(greatest, (double)logits[(size_t)k * n_pixels + i]);
    }
    if (evidential) {
        return (1 + softplus(greatest)) / task_evidence(logits + i, L, n_pixels);
    }
    for (int64_t k = 0; k < L; k++) {
        sum += exp((double)logits[(size_t)k * n_pixels + i] - greatest);
    }
    return 1 / sum;
}

/* The mean over the pixels of the greatest softmax probability. */
static double sure(const data_spec *spec, int64_t L, const float *logits, bool evidential)
{
    size_t n = data_spec_n_pixels(spec);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += pixel_sure(logits, L, n, i, evidential);
    }
    return sum / (double)n;
}

const task_ops task_segment = {
    .task = DATA_SEGMENT,
    .of_pixels = true,
    .metrics = metrics,
    .n_logits = n_logits,
    .n_scores = n_scores,
    .target_width = target_width,
    .is_labelled = is_labelled,
    .target = target,
    .weigh = weigh,
    .evaluate = evaluate,
    .differences = differences,
    .case_metric = "dice",
    .case_value = case_dice,
    .error_of = TASK_ERROR_OUTLINES,
    .case_error = case_error,
    .sure_name = "mean_max_softmax",
    .sure = sure,
    .groups = &task_groups_of_masks,
    .quick = quick,
};
