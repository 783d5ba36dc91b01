/*
 * loss.c - losses and their gradients in plain loops; see loss.h
 */
#include "nn/loss.h"

#include <math.h>
#include <string.h>

#include "base/err.h"

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

double nn_loss_run(const nn_loss_config *cfg, const float *logits, const float *target,
                   int64_t n_valid, int64_t n_rows, int64_t K, float *dlogits)
{
    int64_t n_labelled = 0;

    if (dlogits != NULL) {
        memset(dlogits, 0, (size_t)(n_rows * K) * sizeof *dlogits);
    }
    if (cfg->kind == NN_LOSS_SOFTMAX_CE) {
        return softmax_ce(cfg, logits, target, n_valid, K, dlogits);
    }
    for (int64_t i = 0; i < n_valid * K; i++) {
        n_labelled += !isnan(target[i]);
    }
    return cfg->kind == NN_LOSS_SIGMOID_CE
               ? sigmoid_ce(cfg, logits, target, n_valid, K, n_labelled, dlogits)
               : mse(logits, target, n_valid * K, n_labelled, dlogits);
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
