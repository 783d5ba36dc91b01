/*
 * resnet.h - residual networks of 18, 34 and 50 layers
 */
#ifndef MODEL_RESNET_H
#define MODEL_RESNET_H

#include "model/model.h"

extern const model_ops model_resnet18, model_resnet34, model_resnet50;

#endif
