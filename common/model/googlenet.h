/*
 * googlenet.h - Inception: branches of several kernel sizes side by side
 */
#ifndef MODEL_GOOGLENET_H
#define MODEL_GOOGLENET_H

#include "model/model.h"

extern const model_ops model_googlenet;

#endif
