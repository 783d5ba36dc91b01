/*
 * loss.c - losses and their gradients in plain loops; see loss.h
 */
#include "nn/loss.h"

#include <math.h>
#include <string.h>

#include "base/err.h"

enum {
    MAX_CODES = 4096,  // classes, where their numbers are kept on the stack
    BLOCK = 256        // positions that are looked at together, class by class
};

/* Positions of the block that begins at from. */
static int64_t block_size(int64_t from, int64_t HW)
{
    return HW - from < BLOCK ? HW - from : BLOCK;
}

/* log(sum of exp(x)) without overflow (x minus its largest first). */
static double log_sum_exp(const float *x, int64_t K)
{
    double largest = x[0], sum = 0;

    for (int64_t k = 1; k < K; k++) {
        largest = x[k] > largest ? x[k] : largest;
    }
    for (int64_t k = 0; k < K; k++) {
        sum += exp(x[k] - largest);
    }
    return largest + log(sum);
}

/* The same at n <= BLOCK positions that lie side by side in x (K, HW). */
static void log_sums_exp(double *restrict out, const float *x, int64_t K, int64_t HW, int64_t n)
{
    float largest[BLOCK];

    memcpy(largest, x, (size_t)n * sizeof *x);
    for (int64_t k = 1; k < K; k++) {
        for (int64_t i = 0; i < n; i++) {
            float at = x[k * HW + i];
            largest[i] = at > largest[i] ? at : largest[i];
        }
    }
    memset(out, 0, (size_t)n * sizeof *out);
    for (int64_t k = 0; k < K; k++) {
        for (int64_t i = 0; i < n; i++) {
            out[i] += exp((double)x[k * HW + i] - largest[i]);
        }
    }
    for (int64_t i = 0; i < n; i++) {
        out[i] = largest[i] + log(out[i]);
    }
}

/* log(1 + exp(x)) without overflow. */
static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double weight_of(const nn_loss_config *cfg, int64_t k)
{
    return cfg->class_weight == NULL ? 1 : cfg->class_weight[k];
}

/* ------------------------------------------------ losses of a class's code */

/* Sum of the labels' weights; n codes. */
static double sum_of_weights(const nn_loss_config *cfg, const float *target, int64_t n, int64_t K)
{
    double total = 0;

    for (int64_t i = 0; i < n; i++) {
        FL_REQUIRE(target[i] < (float)K);
        total += target[i] >= 0 ? weight_of(cfg, (int64_t)target[i]) : 0;
    }
    return total;
}

/* A block's part of softmax_ce; x, dx: (K, HW) from its first position. */
static double softmax_ce_block(const nn_loss_config *cfg, const float *x, const float *target,
                               int64_t K, int64_t HW, int64_t n, double total, float *dx)
{
    double loss = 0, log_sum[BLOCK], w[BLOCK];

    log_sums_exp(log_sum, x, K, HW, n);
    for (int64_t i = 0; i < n; i++) {
        int64_t t = (int64_t)target[i];
        w[i] = target[i] >= 0 ? weight_of(cfg, t) / total : 0;
        loss += w[i] > 0 ? w[i] * (log_sum[i] - x[t * HW + i]) : 0;
    }
    for (int64_t k = 0; dx != NULL && k < K; k++) {
        for (int64_t i = 0; i < n; i++) {
            double p = exp(x[k * HW + i] - log_sum[i]);
            dx[k * HW + i] = w[i] > 0 ? (float)(w[i] * (p - ((float)k == target[i]))) : 0;
        }
    }
    return loss;
}

/* sum of w[t] (log sum exp(x) - x[t]) over sum of w[t] */
static double softmax_ce(const nn_loss_config *cfg, const float *logits, const float *target,
                         int64_t N, int64_t K, int64_t HW, float *dlogits)
{
    double loss = 0, total = sum_of_weights(cfg, target, N * HW, K);

    for (int64_t n = 0; n < N && total > 0; n++) {
        for (int64_t from = 0; from < HW; from += BLOCK) {
            int64_t at = n * K * HW + from;
            loss += softmax_ce_block(cfg, logits + at, target + n * HW + from, K, HW,
                                     block_size(from, HW), total,
                                     dlogits == NULL ? NULL : dlogits + at);
        }
    }
    return loss;
}

/* The loss of one position; dx (K): its gradient by the logits x (K), or NULL. */
typedef double (*row_loss)(const nn_loss_config *cfg, const float *x, int64_t t, int64_t K,
                           double w, double *dx);

/*
 * (1 - e) w[t] L[t] + e / K sum over k of w[k] L[k] with L[k] = log sum exp(x) - x[k],
 * as PyTorch's label_smoothing (Szegedy et al. 2016)
 */
static double smoothed_row(const nn_loss_config *cfg, const float *x, int64_t t, int64_t K,
                           double w, double *dx)
{
    double log_sum = log_sum_exp(x, K), e = cfg->smoothing, total = 0, loss = 0;

    for (int64_t k = 0; k < K; k++) {
        double q = (k == t ? (1 - e) * w : 0) + e / (double)K * weight_of(cfg, k);
        loss += q * (log_sum - x[k]);
        total += q;
        if (dx != NULL) {
            dx[k] = -q;
        }
    }
    for (int64_t k = 0; dx != NULL && k < K; k++) {
        dx[k] += total * exp(x[k] - log_sum);
    }
    return loss;
}

/* -w (1 - p)^gamma log(p) with p = softmax(x)[t] */
static double focal_row(const nn_loss_config *cfg, const float *x, int64_t t, int64_t K, double w,
                        double *dx)
{
    double log_sum = log_sum_exp(x, K), log_p = x[t] - log_sum, p = exp(log_p);
    double rest = -expm1(log_p), hard = pow(rest, cfg->gamma);
    /* by log(p); where nothing is left to learn, the second term is 0 */
    double slope = -w * (hard - (rest > 0 ? cfg->gamma * p * hard / rest * log_p : 0));

    for (int64_t k = 0; dx != NULL && k < K; k++) {
        dx[k] = slope * ((k == t) - exp(x[k] - log_sum));
    }
    return -w * hard * log_p;
}

/* log Gamma(x), its first and its second derivative, x > 0: Stirling's series
 * behind a shift (Abramowitz & Stegun 6.1.40, 6.3.18, 6.4.12). */
static void log_gamma(double x, double *value, double *first, double *second)
{
    double shift = 0, shift_1 = 0, shift_2 = 0;

    for (; x < 12; x++) {
        shift += log(x);
        shift_1 += 1 / x;
        shift_2 += 1 / (x * x);
    }
    double r = 1 / x, q = r * r;
    *value = (x - 0.5) * log(x) - x + 0.91893853320467274178 +
             r * (1.0 / 12 - q * (1.0 / 360 - q * (1.0 / 1260 - q / 1680))) - shift;
    *first = log(x) - r / 2 - q * (1.0 / 12 - q * (1.0 / 120 - q * (1.0 / 252 - q / 240))) -
             shift_1;
    *second = r + q / 2 + r * q * (1.0 / 6 - q * (1.0 / 30 - q * (1.0 / 42 - q / 30))) + shift_2;
}

/*
 * With alpha = 1 + softplus(x), S their sum, p = alpha / S and y = 1 at t:
 * sum of (y - p)^2 + p (1 - p) / (S + 1)  (Sensoy et al. 2018, equation 5)
 * + anneal KL(Dirichlet(y + (1 - y) alpha) | Dirichlet(1)).
 */
static double evidential_row(const nn_loss_config *cfg, const float *x, int64_t t, int64_t K,
                             double w, double *dx)
{
    double S = 0, loss = 0, mean = 0, spread = 0, value, first, second;

    for (int64_t k = 0; k < K; k++) {
        S += 1 + softplus(x[k]);
    }
    double wrong = S - softplus(x[t]);  // sum of the parameters without those of t
    for (int64_t k = 0; k < K; k++) {
        double p = (1 + softplus(x[k])) / S, e = (k == t) - p;
        loss += e * e + p * (1 - p) / (S + 1);
        spread += p * (1 - p);
        mean += p * (-2 * e + (1 - 2 * p) / (S + 1));
    }
    log_gamma(wrong, &value, &first, &second);
    double psi = first, psi_1 = second, kl = value;
    log_gamma((double)K, &value, &first, &second);
    kl -= value;
    for (int64_t k = 0; k < K; k++) {
        double alpha = 1 + softplus(x[k]), p = alpha / S, e = (k == t) - p;
        double slope = ((-2 * e + (1 - 2 * p) / (S + 1)) - mean) / S - spread / ((S + 1) * (S + 1));
        if (k != t) {
            log_gamma(alpha, &value, &first, &second);
            kl += (alpha - 1) * (first - psi) - value;
            slope += cfg->anneal * ((alpha - 1) * second - (wrong - (double)K) * psi_1);
        }
        if (dx != NULL) {
            dx[k] = w * slope * sigmoid(x[k]);
        }
    }
    return w * (loss + cfg->anneal * kl);
}

/* Sum over positions over the sum of their labels' weights. */
static double of_codes(const nn_loss_config *cfg, row_loss row, const float *logits,
                       const float *target, int64_t N, int64_t K, int64_t HW, float *dlogits)
{
    double loss = 0, total = sum_of_weights(cfg, target, N * HW, K), dx[MAX_CODES];
    float x[MAX_CODES];

    FL_REQUIRE(K <= MAX_CODES);
    for (int64_t i = 0; i < N * HW && total > 0; i++) {
        int64_t t = (int64_t)target[i], first = i / HW * K * HW + i % HW;
        if (!(target[i] >= 0)) {
            continue;
        }
        for (int64_t k = 0; k < K; k++) {
            x[k] = logits[first + k * HW];
        }
        loss += row(cfg, x, t, K, weight_of(cfg, t), dx) / total;
        for (int64_t k = 0; dlogits != NULL && k < K; k++) {
            dlogits[first + k * HW] = (float)(dx[k] / total);
        }
    }
    return loss;
}

/* ---------------------------------------------- losses of a number for each */

/* mean of w t softplus(-x) + (1 - t) softplus(x) */
static double sigmoid_ce(const nn_loss_config *cfg, const float *logits, const float *target,
                         int64_t N, int64_t K, int64_t HW, int64_t n_labelled, float *dlogits)
{
    double loss = 0;

    for (int64_t i = 0; i < N * K * HW; i++) {
        double x = logits[i], t = target[i], w = weight_of(cfg, i / HW % K);
        if (isnan(target[i])) {
            continue;
        }
        double small = exp(-fabs(x)), rest = log1p(small);  // both signs follow from these two
        loss += w * t * ((x < 0 ? -x : 0) + rest) + (1 - t) * ((x > 0 ? x : 0) + rest);
        if (dlogits != NULL) {
            double p = (x >= 0 ? 1 : small) / (1 + small);
            dlogits[i] = (float)(((1 - t) * p - w * t * (1 - p)) / (double)n_labelled);
        }
    }
    return n_labelled > 0 ? loss / (double)n_labelled : 0;
}

/* mean of (x - t)^2 */
static double mse(const float *output, const float *target, int64_t n, int64_t n_labelled,
                  float *doutput)
{
    double loss = 0;

    for (int64_t i = 0; i < n; i++) {
        if (isnan(target[i])) {
            continue;
        }
        double e = (double)output[i] - target[i];
        loss += e * e;
        if (doutput != NULL) {
            doutput[i] = (float)(2 * e / (double)n_labelled);
        }
    }
    return n_labelled > 0 ? loss / (double)n_labelled : 0;
}

/* mean of |x - t|, or of Huber's d^2 / 2 up to delta and delta (d - delta / 2) */
static double robust(const nn_loss_config *cfg, const float *output, const float *target, int64_t n,
                     int64_t n_labelled, float *doutput)
{
    double loss = 0, delta = cfg->delta;
    bool is_l1 = cfg->kind == NN_LOSS_L1;

    for (int64_t i = 0; i < n; i++) {
        double e = (double)output[i] - target[i], d = fabs(e), sign = (e > 0) - (e < 0);
        if (isnan(target[i])) {
            continue;
        }
        loss += is_l1 ? d : d <= delta ? d * d / 2 : delta * (d - delta / 2);
        if (doutput != NULL) {
            double slope = is_l1 ? sign : d <= delta ? e : delta * sign;
            doutput[i] = (float)(slope / (double)n_labelled);
        }
    }
    return n_labelled > 0 ? loss / (double)n_labelled : 0;
}

/* ---------------------------------------------------------- losses of areas */

/* Of one class in one image: sum of p t, sum of p + t, and whether any of its
 * positions is labelled. */
typedef struct {
    double both, sum;
    bool is_labelled;
} overlap;

/* 1 - (2 both + 1) / (sum + 1) (Milletari et al. 2016, with sums for squares) */
static double dice_of(const overlap *o)
{
    return 1 - (2 * o->both + 1) / (o->sum + 1);
}

/* dice_of by p at a position whose target is t. */
static double dice_slope(const overlap *o, double t)
{
    return (-2 * t + (2 * o->both + 1) / (o->sum + 1)) / (o->sum + 1);
}

/* Areas, (n, HW), with at least one labelled position. */
static int64_t labelled_areas(const float *target, int64_t n, int64_t HW)
{
    int64_t n_labelled = 0;

    for (int64_t a = 0; a < n; a++) {
        int64_t i = 0;
        while (i < HW && isnan(target[a * HW + i])) {
            i++;
        }
        n_labelled += i < HW;
    }
    return n_labelled;
}

/*
 * Mean of dice_of over the images and classes with a label, p = sigmoid(x).
 * Adds to dlogits.
 */
static double sigmoid_dice(const float *logits, const float *target, int64_t N, int64_t K,
                           int64_t HW, float *dlogits)
{
    double loss = 0, n_areas = (double)labelled_areas(target, N * K, HW);

    for (int64_t from = 0; from < N * K * HW; from += HW) {
        overlap o = {0};
        for (int64_t i = from; i < from + HW; i++) {
            double p = sigmoid(logits[i]), t = target[i];
            if (!isnan(t)) {
                o.both += p * t;
                o.sum += p + t;
                o.is_labelled = true;
            }
        }
        loss += o.is_labelled ? dice_of(&o) / n_areas : 0;
        for (int64_t i = from; dlogits != NULL && o.is_labelled && i < from + HW; i++) {
            double p = sigmoid(logits[i]), t = target[i];
            if (!isnan(t)) {
                dlogits[i] += (float)(dice_slope(&o, t) * p * (1 - p) / n_areas);
            }
        }
    }
    return loss;
}

/* Adds a block's part of every class's overlap. */
static void add_overlaps(overlap *o, const float *x, const float *target, int64_t K, int64_t HW,
                         int64_t n)
{
    double log_sum[BLOCK];

    log_sums_exp(log_sum, x, K, HW, n);
    for (int64_t k = 0; k < K; k++) {
        for (int64_t i = 0; i < n; i++) {
            double p = exp(x[k * HW + i] - log_sum[i]), t = (float)k == target[i];
            o[k].both += target[i] >= 0 ? p * t : 0;
            o[k].sum += target[i] >= 0 ? p + t : 0;
            o[k].is_labelled |= target[i] >= 0;
        }
    }
}

/* dx += p (slope - sum over classes of p slope), slope that of the class's dice / n_areas */
static void add_dice_grad(const overlap *o, const float *x, const float *target, int64_t K,
                          int64_t HW, int64_t n, double n_areas, float *dx)
{
    double log_sum[BLOCK], mean[BLOCK] = {0};

    log_sums_exp(log_sum, x, K, HW, n);
    for (int64_t k = 0; k < K; k++) {
        for (int64_t i = 0; i < n; i++) {
            double p = exp(x[k * HW + i] - log_sum[i]);
            mean[i] += p * dice_slope(&o[k], (float)k == target[i]);
        }
    }
    for (int64_t k = 0; k < K; k++) {
        for (int64_t i = 0; i < n; i++) {
            double p = exp(x[k * HW + i] - log_sum[i]);
            double slope = dice_slope(&o[k], (float)k == target[i]) - mean[i];
            dx[k * HW + i] += target[i] >= 0 ? (float)(p * slope / n_areas) : 0;
        }
    }
}

/*
 * Mean of dice_of over the labelled images' classes, p = softmax(x) and t = 1
 * for the position's class.  Adds to dlogits.
 */
static double softmax_dice(const float *logits, const float *target, int64_t N, int64_t K,
                           int64_t HW, float *dlogits)
{
    double loss = 0;
    int64_t n_images = 0;
    overlap o[MAX_CODES];

    FL_REQUIRE(K <= MAX_CODES);
    for (int64_t n = 0; n < N; n++) {
        bool is_labelled = false;
        for (int64_t i = n * HW; i < (n + 1) * HW; i++) {
            FL_REQUIRE(target[i] < (float)K);
            is_labelled |= target[i] >= 0;
        }
        n_images += is_labelled;
    }
    for (int64_t n = 0; n < N; n++) {
        const float *x = logits + n * K * HW, *t = target + n * HW;
        double n_areas = (double)(n_images * K);
        memset(o, 0, (size_t)K * sizeof *o);
        for (int64_t from = 0; from < HW; from += BLOCK) {
            add_overlaps(o, x + from, t + from, K, HW, block_size(from, HW));
        }
        for (int64_t k = 0; k < K; k++) {
            loss += o[k].is_labelled ? dice_of(&o[k]) / n_areas : 0;
        }
        for (int64_t from = 0; dlogits != NULL && o[0].is_labelled && from < HW; from += BLOCK) {
            add_dice_grad(o, x + from, t + from, K, HW, block_size(from, HW), n_areas,
                          dlogits + n * K * HW + from);
        }
    }
    return loss;
}

/* ------------------------------------------------------------------ for all */

bool nn_loss_takes_codes(nn_loss_kind kind)
{
    return kind == NN_LOSS_SOFTMAX_CE || kind == NN_LOSS_FOCAL || kind == NN_LOSS_EVIDENTIAL ||
           kind == NN_LOSS_SOFTMAX_DICE || kind == NN_LOSS_SOFTMAX_DICE_CE;
}

bool nn_loss_is_of_areas(nn_loss_kind kind)
{
    return kind == NN_LOSS_DICE || kind == NN_LOSS_DICE_CE || kind == NN_LOSS_SOFTMAX_DICE ||
           kind == NN_LOSS_SOFTMAX_DICE_CE;
}

static double run_codes(const nn_loss_config *cfg, const float *logits, const float *target,
                        int64_t N, int64_t K, int64_t HW, float *dlogits)
{
    double loss = 0;

    switch (cfg->kind) {
    case NN_LOSS_FOCAL:
        return of_codes(cfg, focal_row, logits, target, N, K, HW, dlogits);
    case NN_LOSS_EVIDENTIAL:
        return of_codes(cfg, evidential_row, logits, target, N, K, HW, dlogits);
    case NN_LOSS_SOFTMAX_DICE:
        return softmax_dice(logits, target, N, K, HW, dlogits);
    default:
        loss = cfg->smoothing == 0 ? softmax_ce(cfg, logits, target, N, K, HW, dlogits)
                                   : of_codes(cfg, smoothed_row, logits, target, N, K, HW, dlogits);
        return cfg->kind == NN_LOSS_SOFTMAX_DICE_CE
                   ? loss + softmax_dice(logits, target, N, K, HW, dlogits)
                   : loss;
    }
}

static double run_values(const nn_loss_config *cfg, const float *logits, const float *target,
                         int64_t N, int64_t K, int64_t HW, float *dlogits)
{
    double loss = 0;
    int64_t n = N * K * HW, n_labelled = 0;

    for (int64_t i = 0; i < n; i++) {
        n_labelled += !isnan(target[i]);
    }
    switch (cfg->kind) {
    case NN_LOSS_SIGMOID_CE:
        return sigmoid_ce(cfg, logits, target, N, K, HW, n_labelled, dlogits);
    case NN_LOSS_L1:
    case NN_LOSS_HUBER:
        return robust(cfg, logits, target, n, n_labelled, dlogits);
    case NN_LOSS_DICE:
        return sigmoid_dice(logits, target, N, K, HW, dlogits);
    case NN_LOSS_DICE_CE:
        loss = sigmoid_ce(cfg, logits, target, N, K, HW, n_labelled, dlogits);
        return loss + sigmoid_dice(logits, target, N, K, HW, dlogits);
    default:
        return mse(logits, target, n, n_labelled, dlogits);
    }
}

double nn_loss_run(const nn_loss_config *cfg, const float *logits, const float *target,
                   int64_t n_valid, int64_t n_rows, int64_t K, int64_t HW, float *dlogits)
{
    if (dlogits != NULL) {
        memset(dlogits, 0, (size_t)(n_rows * K * HW) * sizeof *dlogits);
    }
    return nn_loss_takes_codes(cfg->kind)
               ? run_codes(cfg, logits, target, n_valid, K, HW, dlogits)
               : run_values(cfg, logits, target, n_valid, K, HW, dlogits);
}

void nn_softmax(float *prob, const float *logits, int64_t N, int64_t K, int64_t HW)
{
    double log_sum[BLOCK];

    for (int64_t n = 0; n < N; n++) {
        for (int64_t from = 0; from < HW; from += BLOCK) {
            int64_t at = n * K * HW + from, size = block_size(from, HW);
            log_sums_exp(log_sum, logits + at, K, HW, size);
            for (int64_t k = 0; k < K; k++) {
                for (int64_t i = 0; i < size; i++) {
                    prob[at + k * HW + i] = (float)exp(logits[at + k * HW + i] - log_sum[i]);
                }
            }
        }
    }
}

void nn_sigmoid(float *prob, const float *logits, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        prob[i] = (float)sigmoid(logits[i]);
    }
}
