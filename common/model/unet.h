/*
 * unet.h - encoders and decoders with skips, for one output a pixel
 */
#ifndef MODEL_UNET_H
#define MODEL_UNET_H

#include "model/model.h"

extern const model_ops model_unet, model_attention_unet;

#endif
