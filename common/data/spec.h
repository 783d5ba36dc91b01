/*
 * spec.h - what every hospital's data must look like
 *
 * The `data:` part of a job: shape of the input, classes in the order that fixes
 * their codes, the positive class, attributes with their codes.  A data set that
 * differs is refused before round 1 with what was expected and what was found.
 */
#ifndef DATA_SPEC_H
#define DATA_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cfg.h"
#include "base/err.h"
#include "nn/tensor.h"

enum { DATA_MAX_CLASSES = 64, DATA_MAX_ATTRIBUTES = 16, DATA_NAME_BYTES = 64, DATA_MAX_CODES = 16 };

typedef enum { DATA_CLASSIFY, DATA_MULTILABEL, DATA_SEGMENT, DATA_REGRESS } data_task;
const char *data_task_name(data_task task);  // "classify" ...
bool data_task_parse(data_task *out, const char *name);

typedef enum { DATA_ATTR_CODES, DATA_ATTR_NUMBER, DATA_ATTR_TEXT } data_attr_kind;

typedef struct {
    char name[DATA_NAME_BYTES];  // "sex"
    data_attr_kind kind;
    char unit[DATA_NAME_BYTES];                   // NUMBER: "years"
    char codes[DATA_MAX_CODES][DATA_NAME_BYTES];  // CODES: the allowed values
    size_t n_codes;
} data_attribute;

typedef struct {
    data_task task;
    nn_shape input;  // without the batch: {3, {C, H, W}} or {1, {features}}; rank 0 = not said
    char classes[DATA_MAX_CLASSES][DATA_NAME_BYTES];  // code = index
    size_t n_classes;                                 // 0 = not said (and for regression)
    int positive;  // index of the positive class, two-class tasks; else -1
    data_attribute attributes[DATA_MAX_ATTRIBUTES];
    size_t n_attributes;
} data_spec;

/* Pixels of a mask: the input's without its channels, (H, W) or (D, H, W); 1 for a table. */
size_t data_spec_n_pixels(const data_spec *spec);

/* Reads `task:` of root and the mapping `data:`; complaints go to the document. */
void data_spec_read(data_spec *out, fl_node root);

#endif
