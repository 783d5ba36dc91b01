/*
 * loss.c - losses and their gradients in plain loops; see loss.h
 */
#include "nn/loss.h"

#include <math.h>
#include <string.h>

#include "base/err.h"

enum { MAX_CODES = 4096 };  // classes, where a row's gradient is kept on the stack

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

/* sum of w[t] (log sum exp(x) - x[t]) over sum of w[t] */
static double softmax_ce(const nn_loss_config *cfg, const float *logits, const float *target,
                         int64_t N, int64_t K, float *dlogits)
{
    double loss = 0, total = 0;

    for (int64_t n = 0; n < N; n++) {
        FL_REQUIRE(target[n] < (float)K);
        total += target[n] >= 0 ? weight_of(cfg, (int64_t)target[n]) : 0;
    }
    for (int64_t n = 0; n < N; n++) {
        const float *x = logits + n * K;
        if (!(target[n] >= 0) || total == 0) {
            continue;
        }
        int64_t t = (int64_t)target[n];
        double w = weight_of(cfg, t) / total, log_sum = log_sum_exp(x, K);
        loss += w * (log_sum - x[t]);
        for (int64_t k = 0; dlogits != NULL && k < K; k++) {
            dlogits[n * K + k] = (float)(w * (exp(x[k] - log_sum) - (k == t)));
        }
    }
    return loss;
}

/* mean of w t softplus(-x) + (1 - t) softplus(x) */
static double sigmoid_ce(const nn_loss_config *cfg, const float *logits, const float *target,
                         int64_t N, int64_t K, int64_t n_labelled, float *dlogits)
{
    double loss = 0;

    for (int64_t i = 0; i < N * K; i++) {
        double x = logits[i], t = target[i], w = weight_of(cfg, i % K);
        if (isnan(target[i])) {
            continue;
        }
        loss += w * t * softplus(-x) + (1 - t) * softplus(x);
        if (dlogits != NULL) {
            double p = sigmoid(x);
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

/* ------------------------------------------------ losses of a class's code */

/* One row's loss; dx (K): its gradient by the logits, or NULL. */
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

/* Sum over rows over the sum of their labels' weights. */
static double of_codes(const nn_loss_config *cfg, row_loss row, const float *logits,
                       const float *target, int64_t N, int64_t K, float *dlogits)
{
    double loss = 0, total = 0;

    for (int64_t n = 0; n < N; n++) {
        FL_REQUIRE(target[n] < (float)K);
        total += target[n] >= 0 ? weight_of(cfg, (int64_t)target[n]) : 0;
    }
    for (int64_t n = 0; n < N && total > 0; n++) {
        if (!(target[n] >= 0)) {
            continue;
        }
        int64_t t = (int64_t)target[n];
        double dx[MAX_CODES];
        FL_REQUIRE(K <= MAX_CODES);
        loss += row(cfg, logits + n * K, t, K, weight_of(cfg, t), dx) / total;
        for (int64_t k = 0; dlogits != NULL && k < K; k++) {
            dlogits[n * K + k] = (float)(dx[k] / total);
        }
    }
    return loss;
}

/* ---------------------------------------------- losses of a number for each */

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

/*
 * Mean over images of 1 - (2 sum p t + 1) / (sum p + sum t + 1), p = sigmoid(x),
 * over labelled pixels (Milletari et al. 2016, with sums for squares); an image
 * without any weighs nothing.  Adds to dlogits.
 */
static double soft_dice(const float *logits, const float *target, int64_t N, int64_t K,
                        float *dlogits)
{
    double loss = 0;
    int64_t n_images = 0;

    for (int64_t n = 0; n < N; n++) {
        int64_t k = 0;
        while (k < K && isnan(target[n * K + k])) {
            k++;
        }
        n_images += k < K;
    }
    for (int64_t n = 0; n < N; n++) {
        double both = 0, sum = 0;
        int64_t n_labelled = 0;
        for (int64_t i = n * K; i < (n + 1) * K; i++) {
            double p = sigmoid(logits[i]), t = target[i];
            if (!isnan(t)) {
                both += p * t;
                sum += p + t;
                n_labelled++;
            }
        }
        loss += n_labelled > 0 ? (1 - (2 * both + 1) / (sum + 1)) / (double)n_images : 0;
        for (int64_t i = n * K; dlogits != NULL && i < (n + 1) * K; i++) {
            double p = sigmoid(logits[i]), t = target[i];
            if (!isnan(t)) {
                double slope = -2 * t / (sum + 1) + (2 * both + 1) / ((sum + 1) * (sum + 1));
                dlogits[i] += (float)(slope * p * (1 - p) / (double)n_images);
            }
        }
    }
    return loss;
}

bool nn_loss_takes_codes(nn_loss_kind kind)
{
    return kind == NN_LOSS_SOFTMAX_CE || kind == NN_LOSS_FOCAL || kind == NN_LOSS_EVIDENTIAL;
}

double nn_loss_run(const nn_loss_config *cfg, const float *logits, const float *target,
                   int64_t n_valid, int64_t n_rows, int64_t K, float *dlogits)
{
    int64_t n_labelled = 0;

    if (dlogits != NULL) {
        memset(dlogits, 0, (size_t)(n_rows * K) * sizeof *dlogits);
    }
    if (cfg->kind == NN_LOSS_SOFTMAX_CE && cfg->smoothing == 0) {
        return softmax_ce(cfg, logits, target, n_valid, K, dlogits);
    }
    if (nn_loss_takes_codes(cfg->kind)) {
        row_loss row = cfg->kind == NN_LOSS_FOCAL        ? focal_row
                       : cfg->kind == NN_LOSS_EVIDENTIAL ? evidential_row
                                                         : smoothed_row;
        return of_codes(cfg, row, logits, target, n_valid, K, dlogits);
    }
    for (int64_t i = 0; i < n_valid * K; i++) {
        n_labelled += !isnan(target[i]);
    }
    double loss = 0;
    switch (cfg->kind) {
    case NN_LOSS_SIGMOID_CE:
        return sigmoid_ce(cfg, logits, target, n_valid, K, n_labelled, dlogits);
    case NN_LOSS_L1:
    case NN_LOSS_HUBER:
        return robust(cfg, logits, target, n_valid * K, n_labelled, dlogits);
    case NN_LOSS_DICE_CE:
        loss = sigmoid_ce(cfg, logits, target, n_valid, K, n_labelled, dlogits);
        return loss + soft_dice(logits, target, n_valid, K, dlogits);
    case NN_LOSS_DICE:
        return soft_dice(logits, target, n_valid, K, dlogits);
    default:
        return mse(logits, target, n_valid * K, n_labelled, dlogits);
    }
}

void nn_softmax(float *prob, const float *logits, int64_t N, int64_t K)
{
    for (int64_t n = 0; n < N; n++) {
        double log_sum = log_sum_exp(logits + n * K, K);
        for (int64_t k = 0; k < K; k++) {
            prob[n * K + k] = (float)exp(logits[n * K + k] - log_sum);
        }
    }
}

void nn_sigmoid(float *prob, const float *logits, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        prob[i] = (float)sigmoid(logits[i]);
    }
}
