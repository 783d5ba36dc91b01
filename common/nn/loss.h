/*
 * loss.h - what training makes small
 *
 * Logits are (N, K, HW): K scores at each of HW positions, which are the pixels
 * of an image (H W, or D H W), or a single one for a score of the whole row.
 * Every loss is a mean over the labelled targets of the valid rows, summed in
 * double.  An unlabelled target (-1 for codes, NaN for values) weighs nothing.
 */
#ifndef NN_LOSS_H
#define NN_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    NN_LOSS_SOFTMAX_CE,      // softmax over K; target (N, HW) class codes as float
    NN_LOSS_SIGMOID_CE,      // target (N, K, HW) in [0, 1]
    NN_LOSS_MSE,             // target (N, K, HW)
    NN_LOSS_FOCAL,           // as SOFTMAX_CE, easy cases weigh less (Lin et al. 2017)
    NN_LOSS_EVIDENTIAL,      // as SOFTMAX_CE; a Dirichlet's parameters (Sensoy et al. 2018)
    NN_LOSS_L1,              // as MSE
    NN_LOSS_HUBER,           // as MSE; squares up to delta, then straight (Huber 1964)
    NN_LOSS_DICE,            // target as SIGMOID_CE; overlap over HW, for each row and class
    NN_LOSS_DICE_CE,         // the sum of DICE and SIGMOID_CE
    NN_LOSS_SOFTMAX_DICE,    // target as SOFTMAX_CE; DICE of each class, background too
    NN_LOSS_SOFTMAX_DICE_CE  // the sum of SOFTMAX_DICE and SOFTMAX_CE
} nn_loss_kind;

typedef struct {
    nn_loss_kind kind;
    /* softmax: weight of each class (K); sigmoid: weight of the positives of
     * each output (K).  NULL = 1.  Copied by the plan.  As PyTorch: softmax
     * divides by the sum of the weights of the targets.  DICE takes none. */
    const float *class_weight;
    double smoothing;  // SOFTMAX_CE: share of the label given to all classes alike
    double gamma;      // FOCAL: (1 - p)^gamma; 0 = SOFTMAX_CE
    double delta;      // HUBER, > 0
    double anneal;     // EVIDENTIAL: weight of the divergence from knowing nothing,
                       // which grows from 0 to 1 in the first epochs
} nn_loss_config;

/* Whether a target is one code a position, not a number for each output. */
bool nn_loss_takes_codes(nn_loss_kind kind);
/* Whether it compares areas, so that HW must be an image. */
bool nn_loss_is_of_areas(nn_loss_kind kind);

/*
 * The mean loss, and its gradient by the logits (same shape; rows from n_valid
 * on are set to 0; may be NULL).  K, HW >= 1.  This is the definition.
 */
double nn_loss_run(const nn_loss_config *cfg, const float *logits, const float *target,
                   int64_t n_valid, int64_t n_rows, int64_t K, int64_t HW, float *dlogits);

/* Scores from logits (N, K, HW): softmax over K, or sigmoid each.  In place is fine. */
void nn_softmax(float *prob, const float *logits, int64_t N, int64_t K, int64_t HW);
void nn_sigmoid(float *prob, const float *logits, int64_t n);

#endif
