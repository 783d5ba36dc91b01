/*
 * onnx_scan.c - limits on a protobuf before it is unpacked; see onnx.h
 *
 * The wire format: a field is a varint (number << 3 | type) and its value: a
 * varint (type 0), 8 bytes (1), a length and as many bytes (2), 4 bytes (5).
 * Which lengths hold messages is read from protobuf-c's own descriptors.
 */
#include <string.h>

#include "ckpt/onnx.h"

const onnx_constant onnx_constants[] = {
    {"Clip", 1, "min", NN_ATTR_FLOAT, 11},
    {"Clip", 2, "max", NN_ATTR_FLOAT, 11},
    {"Dropout", 1, "ratio", NN_ATTR_FLOAT, 12},
    {"Dropout", 2, NULL, NN_ATTR_INT, 12},  // training_mode: a plan knows whether it trains
    {"Expand", 1, "shape", NN_ATTR_INTS, 8},
    {"Gather", 1, "indices", NN_ATTR_INTS, 1},
    {"Pad", 1, "pads", NN_ATTR_INTS, 11},
    {"Pad", 2, "value", NN_ATTR_FLOAT, 11},
    {"Pad", 3, "axes", NN_ATTR_INTS, 18},
    {"ReduceMax", 1, "axes", NN_ATTR_INTS, 18},
    {"ReduceMean", 1, "axes", NN_ATTR_INTS, 18},
    {"ReduceSum", 1, "axes", NN_ATTR_INTS, 13},
    {"Reshape", 1, "shape", NN_ATTR_INTS, 5},
    {"Resize", 1, "roi", NN_ATTR_FLOATS, 11},
    {"Resize", 2, "scales", NN_ATTR_FLOATS, 11},
    {"Resize", 3, "sizes", NN_ATTR_INTS, 11},
    {"Slice", 1, "starts", NN_ATTR_INTS, 10},
    {"Slice", 2, "ends", NN_ATTR_INTS, 10},
    {"Slice", 3, "axes", NN_ATTR_INTS, 10},
    {"Slice", 4, "steps", NN_ATTR_INTS, 10},
    {"Split", 1, "split", NN_ATTR_INTS, 13},
    {"Squeeze", 1, "axes", NN_ATTR_INTS, 13},
    {"Tile", 1, "repeats", NN_ATTR_INTS, 6},
    {"Unsqueeze", 1, "axes", NN_ATTR_INTS, 13},
    {0},
};

const onnx_constant *onnx_constant_find(const char *op, size_t input)
{
    for (const onnx_constant *c = onnx_constants; c->op != NULL; c++) {
        if (c->input == input && strcmp(c->op, op) == 0) {
            return c;
        }
    }
    return NULL;
}

typedef struct {
    const uint8_t *at, *end;
} reader;

/* False when the number does not end within the bytes or within ten of them. */
static bool read_varint(reader *r, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

static bool skip(reader *r, uint64_t n)
{
    if (n > (uint64_t)(r->end - r->at)) {
        return false;
    }
    r->at += n;
    return true;
}

/* One frame for every message the scan is inside of. */
typedef struct {
    const ProtobufCMessageDescriptor *message;
    const uint8_t *end;
} frame;

fl_status onnx_scan(const uint8_t *bytes, size_t n, fl_err *err)
{
    frame stack[ONNX_MAX_DEPTH];
    int depth = 0;
    uint64_t key, value;
    reader r = {bytes, bytes + n};

    stack[0] = (frame){&onnx__model_proto__descriptor, bytes + n};
    for (size_t n_fields = 0; depth >= 0; n_fields++) {
        if (r.at == stack[depth].end) {
            depth--;
            continue;
        }
        r.end = stack[depth].end;
        if (n_fields > ONNX_MAX_FIELDS) {
            return fl_fail(err, FL_ELIMIT, "more than %d fields", ONNX_MAX_FIELDS);
        }
        size_t place = (size_t)(r.at - bytes);
        bool fits = read_varint(&r, &key);
        const ProtobufCFieldDescriptor *field = NULL;
        switch (key & 7) {
        case 0:
            fits = fits && read_varint(&r, &value);
            break;
        case 1:
            fits = fits && skip(&r, 8);
            break;
        case 5:
            fits = fits && skip(&r, 4);
            break;
        case 2:
            fits = fits && read_varint(&r, &value) && value <= (uint64_t)(r.end - r.at);
            field = fits && key >> 3 <= UINT32_MAX ? protobuf_c_message_descriptor_get_field(
                                                         stack[depth].message, (unsigned)(key >> 3))
                                                   : NULL;
            if (field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE) {
                if (depth + 1 == ONNX_MAX_DEPTH) {
                    return fl_fail(err, FL_ELIMIT, "messages are nested more than %d deep",
                                   ONNX_MAX_DEPTH);
                }
                stack[++depth] = (frame){field->descriptor, r.at + value};
            } else {
                fits = fits && skip(&r, value);
            }
            break;
        default:
            fits = false;
        }
        if (!fits) {
            return fl_fail(err, FL_EFORMAT, "no ONNX model, or a damaged one (at byte %zu)", place);
        }
    }
    return FL_OK;
}

bool onnx_field_next(onnx_field *f, const uint8_t *bytes, size_t *at, size_t end)
{
    reader r = {bytes + *at, bytes + end};
    uint64_t key, value = 0;

    if (*at >= end || !read_varint(&r, &key)) {
        return false;
    }
    *f = (onnx_field){.number = (unsigned)(key >> 3), .type = (int)(key & 7), .start = *at};
    bool fits = f->type == 0   ? read_varint(&r, &value)
                : f->type == 1 ? skip(&r, 8)
                : f->type == 5 ? skip(&r, 4)
                               : f->type == 2 && read_varint(&r, &value);
    f->value = (size_t)(r.at - bytes);
    f->length = f->type == 2 ? (size_t)value : 0;
    fits = fits && (f->type != 2 || skip(&r, value));
    f->end = *at = (size_t)(r.at - bytes);
    return fits;
}
