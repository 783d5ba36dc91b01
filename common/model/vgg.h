/*
 * vgg.h - AlexNet and VGG: convolutions in a row, then three dense layers
 */
#ifndef MODEL_VGG_H
#define MODEL_VGG_H

#include "model/model.h"

extern const model_ops model_alexnet, model_vgg16;

#endif
