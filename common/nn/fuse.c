/*
 * fuse.c - see fuse.h
 */
#include "nn/fuse.h"

#include <math.h>
#include <string.h>

#include "nn/ops.h"

static bool is_op(const nn_node *node, const char *op)
{
    return node != NULL && strcmp(node->op, op) == 0;
}

/* The operand of an Add beside v, if it is of v's shape and already there. */
static nn_value other_operand(nn_build *b, const nn_node *add, nn_value v)
{
    nn_value other = add->in[add->in[0] == v ? 1 : 0];
    nn_shape dims, out;

    nn_build_dims(b, other, &dims);
    nn_build_dims(b, v, &out);
    return nn_shape_equal(&dims, &out) && !nn_build_is_param(b, other) &&
                   nn_build_has_value(b, other)
               ? other
               : -1;
}

nn_fused nn_fuse_find(nn_build *b, const nn_node *conv, bool with_add)
{
    nn_fused f = {.other = -1, .last = conv->out[0]};
    const nn_node *reader = nn_build_sole_reader(b, f.last);
    bool training = nn_build_is_training(b);

    if (!training && is_op(reader, "BatchNormalization") && reader->in[0] == f.last) {
        f.norm = reader;
        f.last = reader->out[0];
        reader = nn_build_sole_reader(b, f.last);
    }
    if (!training && with_add && is_op(reader, "Add")) {
        f.other = other_operand(b, reader, f.last);
    }
    if (f.other >= 0) {
        f.add = reader;
        f.last = reader->out[0];
        reader = nn_build_sole_reader(b, f.last);
    }
    if (is_op(reader, "Relu")) {
        f.relu = reader;
        f.last = reader->out[0];
    }
    return f;
}

typedef struct {
    int64_t K, n;  // channels, weights of each
    float epsilon;  // as files hold it, and oneDNN takes it
    bool has_bias;
} fold_spec;

/* data: W b scale shift mean variance folded-W folded-b */
static void fold(const nn_call *call)
{
    const fold_spec *s = call->spec;
    const float *W = call->data[0], *bias = call->data[1];

    for (int64_t k = 0; k < s->K; k++) {
        double factor = call->data[2][k] / sqrt((double)call->data[5][k] + s->epsilon);
        double b = s->has_bias ? bias[k] : 0;
        for (int64_t i = 0; i < s->n; i++) {
            call->data[6][k * s->n + i] = (float)(factor * W[k * s->n + i]);
        }
        call->data[7][k] = (float)(factor * (b - call->data[4][k]) + call->data[3][k]);
    }
}

void nn_fuse_fold(nn_build *b, const nn_fused *f, const nn_node *conv, const nn_layout *plain,
                  nn_slot *weight, nn_slot *bias)
{
    nn_shape dims;

    nn_build_dims(b, conv->in[1], &dims);
    const nn_layout *channels = nn_layout_plain(nn_build_dnnl(b), 1, &dims.dim[0]);
    fold_spec s = {dims.dim[0], nn_shape_count(&dims, 1) / dims.dim[0],
                   (float)nn_node_float(f->norm, "epsilon", 1e-5),
                   conv->n_in > 2 && conv->in[2] >= 0};
    nn_use uses[8] = {{NN_WEIGHTS, nn_build_param(b, conv->in[1], plain, plain)},
                      {NN_BIAS_ARG, -1}};

    if (s.has_bias) {
        uses[1].slot = nn_build_param(b, conv->in[2], channels, channels);
    }
    for (int i = 1; i < 5; i++) {  // scale, shift, mean, variance
        uses[1 + i] = (nn_use){NN_SCALE, nn_build_param(b, f->norm->in[i], channels, channels)};
    }
    *weight = nn_build_slot(b, plain);
    *bias = nn_build_slot(b, channels);
    uses[6] = (nn_use){NN_DST, *weight};
    uses[7] = (nn_use){NN_DST, *bias};
    nn_build_kernel(b, fold, uses, 8, &s, sizeof s);
}

void nn_fuse_done(nn_build *b, const nn_fused *f, const nn_node *conv, nn_slot y)
{
    const nn_node *nodes[] = {f->norm, f->add, f->relu};

    nn_build_set_value(b, conv->out[0], y);
    for (int i = 0; i < 3; i++) {
        if (nodes[i] != NULL) {
            nn_build_set_value(b, nodes[i]->out[0], y);
            nn_build_mark_forward_done(b, nodes[i]);
        }
    }
}
