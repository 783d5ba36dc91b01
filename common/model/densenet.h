/*
 * densenet.h - every layer of a block sees all before it
 */
#ifndef MODEL_DENSENET_H
#define MODEL_DENSENET_H

#include "model/model.h"

extern const model_ops model_densenet121;

#endif
