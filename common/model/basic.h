/*
 * basic.h - the small models: logistic regression, perceptron, small CNN
 */
#ifndef MODEL_BASIC_H
#define MODEL_BASIC_H

#include "model/model.h"

extern const model_ops model_logistic, model_mlp, model_cnn;

#endif
